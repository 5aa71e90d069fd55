
#include "ngx_http_acr_prewarm.h"
#include "ngx_http_acr_through.h"
#include "../edge/ngx_http_acr_rule.h"


static void ngx_http_acr_prewarm_cleanup(void *data);
static ngx_http_acr_prewarm_manifest_t *ngx_http_acr_prewarm_manifest(
    ngx_http_acr_prewarm_t *prewarm, ngx_str_t *repository,
    ngx_str_t *reference, ngx_str_t *name, ngx_http_acr_rule_found_t *rule);
static void ngx_http_acr_prewarm_event(ngx_event_t *ev);
static ngx_http_acr_prewarm_manifest_t *ngx_http_acr_prewarm_present(
    ngx_http_acr_prewarm_t *prewarm);
static void ngx_http_acr_prewarm_begin(ngx_http_acr_prewarm_t *prewarm);
static void ngx_http_acr_prewarm_look(ngx_http_acr_prewarm_t *prewarm);
static void ngx_http_acr_prewarm_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static ngx_int_t ngx_http_acr_prewarm_answer(ngx_http_acr_prewarm_t *prewarm,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_prewarm_fetch(ngx_http_acr_prewarm_t *prewarm,
    ngx_str_t *here);
static void ngx_http_acr_prewarm_fetched(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_prewarm_have(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static const char *ngx_http_acr_prewarm_children(
    ngx_http_acr_prewarm_t *prewarm);
static void ngx_http_acr_prewarm_done(ngx_http_acr_prewarm_t *prewarm,
    const char *error);


ngx_http_acr_prewarm_t *
ngx_http_acr_prewarm_create(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_pool_cleanup_t      *cln;
    ngx_http_acr_prewarm_t  *prewarm;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_prewarm_t));

    if (cln == NULL) {
        return NULL;
    }

    prewarm = cln->data;

    ngx_memzero(prewarm, sizeof(ngx_http_acr_prewarm_t));

    prewarm->request = r;
    prewarm->ctx = ctx;

    ngx_queue_init(&prewarm->waiting);
    ngx_queue_init(&prewarm->active);
    ngx_queue_init(&prewarm->over);

    prewarm->event.handler = ngx_http_acr_prewarm_event;
    prewarm->event.data = prewarm;
    prewarm->event.log = ngx_cycle->log;

    cln->handler = ngx_http_acr_prewarm_cleanup;

    if (ngx_array_init(&prewarm->platforms, r->pool, 4,
                       sizeof(ngx_http_acr_prewarm_platform_t))
        != NGX_OK
        || ngx_array_init(&prewarm->errors, r->pool, 4,
                          sizeof(ngx_http_acr_prewarm_error_t))
           != NGX_OK
        || ngx_array_init(&prewarm->list, r->pool, 8,
                          sizeof(ngx_http_acr_prewarm_manifest_t *))
           != NGX_OK)
    {
        return NULL;
    }

    return prewarm;
}


static void
ngx_http_acr_prewarm_cleanup(void *data)
{
    ngx_http_acr_prewarm_t *prewarm = data;

    ngx_http_acr_prewarm_blob_leave(prewarm);

    if (prewarm->event.posted) {
        ngx_delete_posted_event(&prewarm->event);
    }

    if (prewarm->children) {
        ngx_free(prewarm->children);
    }
}


ngx_int_t
ngx_http_acr_prewarm_add(ngx_http_acr_prewarm_t *prewarm, ngx_str_t *name)
{
    u_char                     *p, *last;
    ngx_str_t                   repository, reference;
    acr_digest_t                digest;
    ngx_http_acr_rule_found_t  *rule;

    last = name->data + name->len;

    p = ngx_strlchr(name->data, last, '@');

    if (p) {

        if (acr_digest_parse(&digest, p + 1, last - p - 1) != ACR_OK) {
            return NGX_DECLINED;
        }

    } else {
        p = ngx_strlchr(name->data, last, ':');

        if (p == NULL || !acr_tag_valid(p + 1, last - p - 1)) {
            return NGX_DECLINED;
        }
    }

    repository.data = name->data;
    repository.len = p - name->data;

    reference.data = p + 1;
    reference.len = last - p - 1;

    rule = ngx_palloc(prewarm->request->pool,
                      sizeof(ngx_http_acr_rule_found_t));

    if (rule == NULL) {
        return NGX_ERROR;
    }

    if (!acr_name_valid(repository.data, repository.len)
        || ngx_http_acr_rule_find(prewarm->ctx, &repository, rule) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    return ngx_http_acr_prewarm_manifest(prewarm, &repository, &reference,
                                         name, rule)
           ? NGX_OK : NGX_ERROR;
}


/* the texts stay */

static ngx_http_acr_prewarm_manifest_t *
ngx_http_acr_prewarm_manifest(ngx_http_acr_prewarm_t *prewarm,
    ngx_str_t *repository, ngx_str_t *reference, ngx_str_t *name,
    ngx_http_acr_rule_found_t *rule)
{
    ngx_http_acr_prewarm_manifest_t  *manifest, **place;

    manifest = ngx_palloc(prewarm->request->pool,
                          sizeof(ngx_http_acr_prewarm_manifest_t));
    place = ngx_array_push(&prewarm->list);

    if (manifest == NULL || place == NULL) {
        return NULL;
    }

    manifest->repository = *repository;
    manifest->reference = *reference;
    manifest->name = *name;
    manifest->rule = rule;

    *place = manifest;

    prewarm->manifests.total = prewarm->list.nelts;

    return manifest;
}


void
ngx_http_acr_prewarm_start(ngx_http_acr_prewarm_t *prewarm)
{
    ngx_http_acr_prewarm_next(prewarm);
}


void
ngx_http_acr_prewarm_next(ngx_http_acr_prewarm_t *prewarm)
{
    prewarm->busy = 0;

    ngx_post_event(&prewarm->event, &ngx_posted_events);
}


/*
 * All manifests come first, so that it is soon known how much there is to do.
 * One step follows the other; beside them blobs are fetched.
 */

static void
ngx_http_acr_prewarm_event(ngx_event_t *ev)
{
    ngx_int_t                rc;
    ngx_connection_t        *c;
    ngx_http_request_t      *r;
    ngx_http_acr_prewarm_t  *prewarm;

    prewarm = ev->data;
    r = prewarm->request;
    c = r->connection;

    if (prewarm->busy || prewarm->ctx->gone) {
        return;
    }

    ngx_http_set_log_request(c->log, r);

    prewarm->busy = 1;

    if (prewarm->manifests.done < prewarm->list.nelts) {
        ngx_http_acr_prewarm_begin(prewarm);

    } else {
        ngx_str_null(&prewarm->current);

        rc = ngx_http_acr_prewarm_blob_next(prewarm);

        if (rc == NGX_AGAIN) {
            prewarm->busy = 0;

        } else if (rc == NGX_DONE) {
            prewarm->ended(prewarm);
        }
    }

    ngx_http_run_posted_requests(c);
}


void
ngx_http_acr_prewarm_fail(ngx_http_acr_prewarm_t *prewarm,
    ngx_http_acr_prewarm_manifest_t *manifest, ngx_str_t *digest,
    const char *error)
{
    ngx_http_acr_prewarm_error_t  *e;

    prewarm->nerrors++;

    ngx_log_error(NGX_LOG_ERR, prewarm->request->connection->log, 0,
                  "acr: pre-warming \"%V\", digest \"%V\": %s",
                  &manifest->name, digest, error);

    if (prewarm->errors.nelts == NGX_HTTP_ACR_PREWARM_ERRORS) {
        return;
    }

    e = ngx_array_push(&prewarm->errors);

    if (e) {
        e->name = manifest->name;
        e->digest = *digest;
        e->error = error;
    }
}


/* --- a manifest */

static ngx_http_acr_prewarm_manifest_t *
ngx_http_acr_prewarm_present(ngx_http_acr_prewarm_t *prewarm)
{
    ngx_http_acr_prewarm_manifest_t  **list;

    list = prewarm->list.elts;

    return list[prewarm->manifests.done];
}


/* the context is as it is for a pull */

static void
ngx_http_acr_prewarm_begin(ngx_http_acr_prewarm_t *prewarm)
{
    ngx_http_acr_ctx_t               *ctx;
    ngx_http_acr_prewarm_manifest_t  *manifest;

    ctx = prewarm->ctx;
    manifest = ngx_http_acr_prewarm_present(prewarm);

    prewarm->current = manifest->name;
    prewarm->fetch = 0;
    ngx_str_null(&prewarm->digest);

    ctx->repository = manifest->repository;
    ctx->reference = manifest->reference;
    ctx->through = NULL;

    ngx_str_null(&ctx->digest);

    prewarm->tag = (ngx_strlchr(manifest->reference.data,
                                manifest->reference.data
                                + manifest->reference.len, ':')
                    == NULL);

    if (!prewarm->tag) {
        ctx->digest = manifest->reference;
    }

    prewarm->changed(prewarm);

    if (ngx_http_acr_through_begin(prewarm->request, ctx, manifest->rule)
        != NGX_OK)
    {
        ngx_http_acr_prewarm_done(prewarm, "no memory");
        return;
    }

    ngx_http_acr_prewarm_look(prewarm);
}


static void
ngx_http_acr_prewarm_look(ngx_http_acr_prewarm_t *prewarm)
{
    ngx_str_t                         args[3];
    ngx_http_acr_prewarm_manifest_t  *manifest;

    manifest = ngx_http_acr_prewarm_present(prewarm);

    args[0] = manifest->repository;
    args[1] = manifest->reference;

    if (prewarm->tag) {
        ngx_str_set(&args[2], "tag");

    } else {
        ngx_str_set(&args[2], "digest");
    }

    ngx_http_acr_look_up(prewarm->request, ACR_SCRIPT_MANIFEST_GET, args, 3,
                         ngx_http_acr_prewarm_found, prewarm);
}


static void
ngx_http_acr_prewarm_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_prewarm_t *prewarm = data;

    switch (reply->status) {

    case NGX_HTTP_ACR_META_OK:
        break;

    case NGX_HTTP_ACR_META_MISS:

        if (prewarm->fetch) {
            ngx_http_acr_prewarm_done(prewarm, "it is gone again");
            return;
        }

        ngx_http_acr_prewarm_fetch(prewarm, NULL);
        return;

    case NGX_HTTP_ACR_META_LOCKED:
        ngx_http_acr_prewarm_done(prewarm, "it is locked");
        return;

    default:
        ngx_http_acr_prewarm_done(prewarm, "the index does not answer");
        return;
    }

    if (ngx_http_acr_prewarm_answer(prewarm, reply) != NGX_OK) {
        ngx_http_acr_prewarm_done(prewarm, "unexpected answer of the index");
        return;
    }

    /* a tag may have moved there */

    if (prewarm->tag && !prewarm->fetch) {
        ngx_http_acr_prewarm_fetch(prewarm, &prewarm->digest);
        return;
    }

    ngx_http_acr_run(r, prewarm->ctx->registry->slow,
                     ngx_http_acr_prewarm_read, prewarm,
                     ngx_http_acr_prewarm_have);
}


static ngx_int_t
ngx_http_acr_prewarm_answer(ngx_http_acr_prewarm_t *prewarm,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_pool_t  *pool;

    pool = prewarm->request->pool;

    if (reply->n != 3) {
        return NGX_ERROR;
    }

    prewarm->digest.len = reply->v[0].len;
    prewarm->digest.data = ngx_pstrdup(pool, &reply->v[0]);

    prewarm->type.len = reply->v[2].len;
    prewarm->type.data = ngx_pstrdup(pool, &reply->v[2]);

    return (prewarm->digest.data && prewarm->type.data) ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_acr_prewarm_fetch(ngx_http_acr_prewarm_t *prewarm, ngx_str_t *here)
{
    if (prewarm->text > NGX_HTTP_ACR_PREWARM_TEXT) {
        ngx_http_acr_prewarm_done(prewarm, "too much for one request");
        return;
    }

    prewarm->fetch = 1;

    ngx_http_acr_through_fetch(prewarm->request, prewarm->ctx, here,
                               ngx_http_acr_prewarm_fetched, prewarm);
}


static void
ngx_http_acr_prewarm_fetched(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_prewarm_t *prewarm = data;

    const char  *error;

    switch (rc) {

    case NGX_HTTP_ACR_REMOTE_OK:
        ngx_http_acr_prewarm_look(prewarm);
        return;

    case NGX_HTTP_ACR_REMOTE_MISSING:
        error = "the origin does not have it";
        break;

    case NGX_HTTP_ACR_REMOTE_DENIED:
        error = "the origin does not give it, or it is locked here";
        break;

    case NGX_HTTP_ACR_REMOTE_LIMITED:
        error = "the origin has a limit";
        break;

    default:
        error = "the origin does not answer, or what it sends is no manifest";
    }

    ngx_http_acr_prewarm_done(prewarm, error);
}


static void
ngx_http_acr_prewarm_have(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_prewarm_t *prewarm = data;

    const char  *error;

    switch (rc) {

    case NGX_OK:
        error = ngx_http_acr_prewarm_children(prewarm);
        break;

    case NGX_DECLINED:
        error = prewarm->platforms.nelts
                ? "it is an index that has none of the platforms"
                : "it is an index, and no platforms are named";
        break;

    case NGX_ABORT:
        error = "it is no manifest";
        break;

    default:
        error = "it cannot be read";
    }

    if (prewarm->children) {
        ngx_free(prewarm->children);
        prewarm->children = NULL;
        prewarm->nchildren = 0;
    }

    ngx_http_acr_prewarm_done(prewarm, error);
}


/* NULL, or what is wrong */

static const char *
ngx_http_acr_prewarm_children(ngx_http_acr_prewarm_t *prewarm)
{
    ngx_int_t                         rc;
    ngx_str_t                         text;
    ngx_uint_t                        i;
    ngx_http_acr_prewarm_child_t     *child;
    ngx_http_acr_prewarm_manifest_t  *manifest;

    manifest = ngx_http_acr_prewarm_present(prewarm);

    for (i = 0; i < prewarm->nchildren; i++) {
        child = &prewarm->children[i];

        if (!child->manifest) {
            rc = ngx_http_acr_prewarm_blob_add(prewarm, manifest, child);

        } else if (prewarm->list.nelts >= NGX_HTTP_ACR_PREWARM_MANIFESTS) {
            rc = NGX_DECLINED;

        } else {
            text = ngx_http_acr_digest_text(prewarm->request, &child->digest);

            rc = (text.data
                  && ngx_http_acr_prewarm_manifest(prewarm,
                                                   &manifest->repository,
                                                   &text, &manifest->name,
                                                   manifest->rule))
                 ? NGX_OK : NGX_ERROR;
        }

        if (rc != NGX_OK) {
            return (rc == NGX_DECLINED) ? "too much for one request"
                                        : "no memory";
        }
    }

    return NULL;
}


static void
ngx_http_acr_prewarm_done(ngx_http_acr_prewarm_t *prewarm, const char *error)
{
    if (error) {
        ngx_http_acr_prewarm_fail(prewarm,
                                  ngx_http_acr_prewarm_present(prewarm),
                                  prewarm->digest.len ? &prewarm->digest
                                                      : &prewarm->ctx->digest,
                                  error);
    }

    prewarm->manifests.done++;
    prewarm->ctx->through = NULL;

    prewarm->changed(prewarm);

    ngx_http_acr_prewarm_next(prewarm);
}
