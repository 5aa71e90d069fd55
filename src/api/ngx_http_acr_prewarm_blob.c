
#include "ngx_http_acr_prewarm.h"
#include "ngx_http_acr_through.h"
#include "../edge/ngx_http_acr_rule.h"


/* what has come becomes a blob of its repository a little later: how often that
   is looked for, and the ms between */
#define NGX_HTTP_ACR_PREWARM_TRIES  200
#define NGX_HTTP_ACR_PREWARM_RETRY  50

/* ms after which a fill that there was no room for is tried again */
#define NGX_HTTP_ACR_PREWARM_ROOM   500


static ngx_uint_t ngx_http_acr_prewarm_blob_known(
    ngx_http_acr_prewarm_t *prewarm, ngx_str_t *repository,
    acr_digest_t *digest);
static ngx_http_acr_prewarm_blob_t *ngx_http_acr_prewarm_blob_whole(
    ngx_http_acr_prewarm_t *prewarm);
static void ngx_http_acr_prewarm_blob_look(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_prewarm_blob_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_prewarm_blob_ask(ngx_http_acr_prewarm_blob_t *blob);
static void ngx_http_acr_prewarm_blob_said(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_prewarm_blob_fetch(
    ngx_http_acr_prewarm_blob_t *blob);
static ngx_int_t ngx_http_acr_prewarm_blob_follow(
    ngx_http_acr_prewarm_blob_t *blob);
static void ngx_http_acr_prewarm_blob_moved(void *data);
static void ngx_http_acr_prewarm_blob_check(
    ngx_http_acr_prewarm_blob_t *blob);
static const char *ngx_http_acr_prewarm_blob_error(
    ngx_http_acr_fill_error_e error);
static void ngx_http_acr_prewarm_blob_end(ngx_http_acr_prewarm_blob_t *blob,
    const char *error);


ngx_int_t
ngx_http_acr_prewarm_blob_add(ngx_http_acr_prewarm_t *prewarm,
    ngx_http_acr_prewarm_manifest_t *manifest,
    ngx_http_acr_prewarm_child_t *child)
{
    ngx_http_acr_prewarm_blob_t  *blob;

    if (ngx_http_acr_prewarm_blob_known(prewarm, &manifest->repository,
                                        &child->digest))
    {
        return NGX_OK;
    }

    if (prewarm->blobs.total == NGX_HTTP_ACR_PREWARM_BLOBS) {
        return NGX_DECLINED;
    }

    blob = ngx_pcalloc(prewarm->request->pool,
                       sizeof(ngx_http_acr_prewarm_blob_t));

    if (blob == NULL) {
        return NGX_ERROR;
    }

    blob->prewarm = prewarm;
    blob->manifest = manifest;
    blob->digest = child->digest;
    blob->size = child->size;

    blob->text = ngx_http_acr_digest_text(prewarm->request, &child->digest);

    if (blob->text.data == NULL) {
        return NGX_ERROR;
    }

    prewarm->blobs.total++;
    prewarm->bytes.total += blob->size;

    ngx_queue_insert_tail(&prewarm->waiting, &blob->queue);

    return NGX_OK;
}


/* no blob is begun before the last manifest is known, so all of them wait */

static ngx_uint_t
ngx_http_acr_prewarm_blob_known(ngx_http_acr_prewarm_t *prewarm,
    ngx_str_t *repository, acr_digest_t *digest)
{
    ngx_str_t                    *other;
    ngx_queue_t                  *q;
    ngx_http_acr_prewarm_blob_t  *blob;

    for (q = ngx_queue_head(&prewarm->waiting);
         q != ngx_queue_sentinel(&prewarm->waiting);
         q = ngx_queue_next(q))
    {
        blob = ngx_queue_data(q, ngx_http_acr_prewarm_blob_t, queue);
        other = &blob->manifest->repository;

        if (acr_digest_equal(&blob->digest, digest)
            && other->len == repository->len
            && ngx_memcmp(other->data, repository->data, other->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_http_acr_prewarm_blob_next(ngx_http_acr_prewarm_t *prewarm)
{
    ngx_queue_t                  *q;
    ngx_http_acr_prewarm_blob_t  *blob;

    blob = ngx_http_acr_prewarm_blob_whole(prewarm);

    if (blob == NULL
        && prewarm->nactive < NGX_HTTP_ACR_PREWARM_AT_ONCE
        && !ngx_queue_empty(&prewarm->waiting))
    {
        q = ngx_queue_head(&prewarm->waiting);
        blob = ngx_queue_data(q, ngx_http_acr_prewarm_blob_t, queue);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&prewarm->active, q);
        prewarm->nactive++;
    }

    if (blob && blob->unsaid) {
        ngx_http_acr_prewarm_blob_ask(blob);
        return NGX_OK;
    }

    if (blob) {
        ngx_http_acr_prewarm_blob_look(prewarm->request, blob, NGX_OK);
        return NGX_OK;
    }

    return prewarm->nactive ? NGX_AGAIN : NGX_DONE;
}


static ngx_http_acr_prewarm_blob_t *
ngx_http_acr_prewarm_blob_whole(ngx_http_acr_prewarm_t *prewarm)
{
    ngx_queue_t                  *q;
    ngx_http_acr_prewarm_blob_t  *blob;

    for (q = ngx_queue_head(&prewarm->active);
         q != ngx_queue_sentinel(&prewarm->active);
         q = ngx_queue_next(q))
    {
        blob = ngx_queue_data(q, ngx_http_acr_prewarm_blob_t, queue);

        if (blob->whole || blob->unsaid) {
            return blob;
        }
    }

    return NULL;
}


/* the collector leaves it alone from then on */

static void
ngx_http_acr_prewarm_blob_look(ngx_http_request_t *r, void *data,
    ngx_int_t rc)
{
    ngx_http_acr_prewarm_blob_t *blob = data;

    ngx_str_t  args[3];

    args[0] = blob->manifest->repository;
    args[1] = blob->text;
    ngx_str_set(&args[2], "1");

    ngx_http_acr_look_up(r, ACR_SCRIPT_BLOB_STAT, args, 3,
                         ngx_http_acr_prewarm_blob_found, blob);
}


static void
ngx_http_acr_prewarm_blob_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_prewarm_blob_t *blob = data;

    switch (reply->status) {

    case NGX_HTTP_ACR_META_OK:
        ngx_http_acr_prewarm_blob_end(blob, NULL);
        break;

    case NGX_HTTP_ACR_META_MISS:

        if (!blob->whole) {
            blob->asked = 1;
            ngx_http_acr_prewarm_blob_fetch(blob);
            return;
        }

        if (++blob->tries < NGX_HTTP_ACR_PREWARM_TRIES) {
            ngx_http_acr_later(r, NGX_HTTP_ACR_PREWARM_RETRY,
                               ngx_http_acr_prewarm_blob_look, blob);
            return;
        }

        ngx_http_acr_prewarm_blob_end(blob, "it has not become a blob of "
                                      "its repository");
        break;

    case NGX_HTTP_ACR_META_LOCKED:
        ngx_http_acr_prewarm_blob_end(blob, "it is locked");
        break;

    default:
        ngx_http_acr_prewarm_blob_end(blob, "the index does not answer");
    }

    ngx_http_acr_prewarm_next(blob->prewarm);
}


/* a digest is no right: what is here, or comes for somebody else, is this
   repository's only if its origin says so */

static void
ngx_http_acr_prewarm_blob_ask(ngx_http_acr_prewarm_blob_t *blob)
{
    ngx_http_acr_ctx_t      *ctx;
    ngx_http_acr_prewarm_t  *prewarm;

    prewarm = blob->prewarm;
    ctx = prewarm->ctx;

    blob->unsaid = 0;

    ctx->repository = blob->manifest->repository;
    ctx->reference = blob->text;
    ctx->digest = blob->text;
    ctx->through = NULL;

    if (ngx_http_acr_through_begin(prewarm->request, ctx,
                                   blob->manifest->rule)
        != NGX_OK)
    {
        ngx_http_acr_prewarm_blob_end(blob, "no memory");
        ngx_http_acr_prewarm_next(prewarm);
        return;
    }

    ngx_http_acr_through_has(prewarm->request, ctx,
                             ngx_http_acr_prewarm_blob_said, blob);
}


static void
ngx_http_acr_prewarm_blob_said(ngx_http_request_t *r, void *data,
    ngx_int_t rc)
{
    ngx_http_acr_prewarm_blob_t *blob = data;

    ngx_http_acr_fill_error_e  error;

    if (rc == NGX_HTTP_ACR_REMOTE_OK) {
        blob->has = 1;
        ngx_http_acr_prewarm_blob_fetch(blob);
        return;
    }

    error = ngx_http_acr_fill_error(rc);

    ngx_http_acr_prewarm_blob_end(blob, ngx_http_acr_prewarm_blob_error(error));
    ngx_http_acr_prewarm_next(blob->prewarm);
}


/* --- one that is fetched: no step of the request, but beside them */

static void
ngx_http_acr_prewarm_blob_fetch(ngx_http_acr_prewarm_blob_t *blob)
{
    ngx_int_t  rc;

    rc = ngx_http_acr_prewarm_blob_follow(blob);

    if (rc == NGX_BUSY) {
        ngx_http_acr_later(blob->prewarm->request, NGX_HTTP_ACR_PREWARM_ROOM,
                           ngx_http_acr_prewarm_blob_look, blob);
        return;
    }

    if (rc != NGX_OK) {
        ngx_http_acr_prewarm_blob_end(blob, "no memory");

    } else {
        ngx_http_acr_prewarm_blob_check(blob);
    }

    ngx_http_acr_prewarm_next(blob->prewarm);
}


static ngx_int_t
ngx_http_acr_prewarm_blob_follow(ngx_http_acr_prewarm_blob_t *blob)
{
    ngx_http_acr_ctx_t     *ctx;
    ngx_http_acr_source_t   source;

    ctx = blob->prewarm->ctx;

    source.remote = blob->manifest->rule->remote;
    source.repository = blob->manifest->rule->source;
    source.has = blob->has;
    blob->source = ngx_http_acr_fill_source(&source);

    blob->follower.moved = ngx_http_acr_prewarm_blob_moved;
    blob->follower.data = blob;

    return ngx_http_acr_fill_follow(ctx->registry, &blob->digest, &source,
                                    &ctx->conf->large,
                                    ctx->conf->upload_buffers.num,
                                    &blob->manifest->repository,
                                    &blob->follower);
}


static void
ngx_http_acr_prewarm_blob_moved(void *data)
{
    ngx_http_acr_prewarm_blob_t *blob = data;

    ngx_http_acr_prewarm_blob_check(blob);

    if (blob->follower.fill == NULL) {
        ngx_post_event(&blob->prewarm->event, &ngx_posted_events);
    }
}


/*
 * It may be one that the request of a client has begun, of another repository:
 * then what that does not have ours may.
 */

static void
ngx_http_acr_prewarm_blob_check(ngx_http_acr_prewarm_blob_t *blob)
{
    ngx_int_t                  rc;
    ngx_http_acr_fill_look_t   look;

    rc = ngx_http_acr_fill_look(&blob->follower, &look);

    if (rc == NGX_OK && !blob->has && look.now.source != blob->source
        && (look.now.state == NGX_HTTP_ACR_FILL_WHOLE
            || look.now.state == NGX_HTTP_ACR_FILL_RUNNING))
    {
        ngx_http_acr_fill_leave(&blob->follower);
        blob->unsaid = 1;
        return;
    }

    if (rc == NGX_OK && look.now.state <= NGX_HTTP_ACR_FILL_RUNNING) {
        ngx_http_acr_fill_wait(&blob->follower, NGX_MAX_OFF_T_VALUE);
        return;
    }

    ngx_http_acr_fill_leave(&blob->follower);

    if (rc == NGX_OK && look.now.state == NGX_HTTP_ACR_FILL_FAILED) {

        if (look.now.error != NGX_HTTP_ACR_FILL_E_DISK
            && look.now.source != blob->source
            && ++blob->tries < NGX_HTTP_ACR_PREWARM_TRIES
            && ngx_http_acr_prewarm_blob_follow(blob) == NGX_OK)
        {
            ngx_http_acr_fill_wait(&blob->follower, NGX_MAX_OFF_T_VALUE);
            return;
        }

        ngx_http_acr_prewarm_blob_end(blob,
                              ngx_http_acr_prewarm_blob_error(look.now.error));
        return;
    }

    /* or it is forgotten how it has ended: that is seen */

    blob->whole = 1;
}


static const char *
ngx_http_acr_prewarm_blob_error(ngx_http_acr_fill_error_e error)
{
    switch (error) {

    case NGX_HTTP_ACR_FILL_E_MISSING:
        return "the origin does not have it";

    case NGX_HTTP_ACR_FILL_E_DENIED:
        return "the origin does not give it";

    case NGX_HTTP_ACR_FILL_E_LIMITED:
        return "the origin has a limit";

    case NGX_HTTP_ACR_FILL_E_ORIGIN:
        return "the origin does not answer";

    case NGX_HTTP_ACR_FILL_E_DIGEST:
        return "the origin has sent something else";

    default: /* NGX_HTTP_ACR_FILL_E_DISK */
        return "it cannot be stored";
    }
}


static void
ngx_http_acr_prewarm_blob_end(ngx_http_acr_prewarm_blob_t *blob,
    const char *error)
{
    ngx_http_acr_prewarm_t  *prewarm;

    prewarm = blob->prewarm;

    ngx_queue_remove(&blob->queue);
    ngx_queue_insert_tail(&prewarm->over, &blob->queue);
    prewarm->nactive--;

    if (error) {
        ngx_http_acr_prewarm_fail(prewarm, blob->manifest, &blob->text, error);

    } else {
        prewarm->blobs.done++;
        prewarm->bytes.done += blob->size;

        if (blob->asked) {
            prewarm->fetched.done++;
            prewarm->fetched.total += blob->size;
        }
    }

    prewarm->changed(prewarm);
}


off_t
ngx_http_acr_prewarm_received(ngx_http_acr_prewarm_t *prewarm)
{
    off_t                         received;
    ngx_queue_t                  *q;
    ngx_http_acr_fill_look_t      look;
    ngx_http_acr_prewarm_blob_t  *blob;

    received = prewarm->bytes.done;

    for (q = ngx_queue_head(&prewarm->active);
         q != ngx_queue_sentinel(&prewarm->active);
         q = ngx_queue_next(q))
    {
        blob = ngx_queue_data(q, ngx_http_acr_prewarm_blob_t, queue);

        if (blob->whole) {
            received += blob->size;

        } else if (blob->follower.fill
                   && ngx_http_acr_fill_look(&blob->follower, &look) == NGX_OK)
        {
            received += look.now.mark;
        }
    }

    return received;
}


void
ngx_http_acr_prewarm_blob_leave(ngx_http_acr_prewarm_t *prewarm)
{
    ngx_queue_t                  *q;
    ngx_http_acr_prewarm_blob_t  *blob;

    for (q = ngx_queue_head(&prewarm->active);
         q != ngx_queue_sentinel(&prewarm->active);
         q = ngx_queue_next(q))
    {
        blob = ngx_queue_data(q, ngx_http_acr_prewarm_blob_t, queue);

        ngx_http_acr_fill_leave(&blob->follower);
    }
}
