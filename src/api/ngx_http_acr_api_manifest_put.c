
#include "ngx_http_acr_manifest.h"
#include "ngx_http_acr_upload.h"


/* arguments of manifest_put.lua before the tags */
#define NGX_HTTP_ACR_PUT_ARGS  10


static ngx_http_acr_put_t *ngx_http_acr_put_create(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_put_cleanup(void *data);
static ngx_int_t ngx_http_acr_put_reference(ngx_http_request_t *r,
    ngx_http_acr_put_t *put);
static ngx_int_t ngx_http_acr_put_tags(ngx_http_request_t *r,
    ngx_http_acr_put_t *put);
static ngx_int_t ngx_http_acr_put_tag(ngx_http_request_t *r,
    ngx_http_acr_put_t *put, ngx_str_t *tag);

static void ngx_http_acr_put_read(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static ngx_int_t ngx_http_acr_put_parse(void *data, ngx_log_t *log);
static void ngx_http_acr_put_parsed(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_put_failed(ngx_http_request_t *r,
    ngx_http_acr_put_t *put);
static ngx_int_t ngx_http_acr_put_prepare(ngx_http_request_t *r,
    ngx_http_acr_put_t *put);
static ngx_int_t ngx_http_acr_put_args(ngx_http_request_t *r,
    ngx_http_acr_put_t *put);
static ngx_str_t *ngx_http_acr_put_references(ngx_str_t *arg, u_char *text,
    ngx_http_acr_put_t *put);
static const char *ngx_http_acr_put_kind(ngx_http_acr_put_t *put, size_t i);

static void ngx_http_acr_put_check(ngx_http_request_t *r,
    ngx_http_acr_put_t *put);
static void ngx_http_acr_put_checked(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);


/* PUT /v2/<name>/manifests/<reference> */

void
ngx_http_acr_manifest_put(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_put_t  *put;

    put = ngx_http_acr_put_create(r, ctx);

    if (put == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    if (ngx_http_acr_put_reference(r, put) != NGX_OK
        || ngx_http_acr_put_tags(r, put) != NGX_OK)
    {
        return;
    }

    if (ngx_http_acr_manifest_conditions(r, ctx, &put->conditions) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_body_collect(r, ctx->conf->max_manifest_size, &put->p,
                              &put->n, ngx_http_acr_put_read, put);
}


void
ngx_http_acr_manifest_store(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_str_t *content_type, u_char *p, size_t n, ngx_http_acr_next_pt next,
    void *data)
{
    ngx_http_acr_put_t  *put;

    put = ngx_http_acr_put_create(r, ctx);

    if (put == NULL) {
        next(r, data, NGX_ERROR);
        return;
    }

    if (ngx_http_acr_put_reference(r, put) != NGX_OK) {
        return;
    }

    put->content_type = *content_type;
    put->p = p;
    put->n = n;
    put->next = next;
    put->data = data;
    put->change.told = 1;

    ngx_http_acr_put_read(r, put, NGX_OK);
}


static ngx_http_acr_put_t *
ngx_http_acr_put_create(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_pool_cleanup_t  *cln;
    ngx_http_acr_put_t  *put;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_put_t));

    if (cln == NULL) {
        return NULL;
    }

    put = cln->data;

    ngx_memzero(put, sizeof(ngx_http_acr_put_t));

    put->ctx = ctx;
    put->lock = -1;
    put->store = &ctx->registry->store;
    put->repository = ctx->repository;

    if (r->headers_in.content_type) {
        put->content_type = r->headers_in.content_type->value;
    }

    cln->handler = ngx_http_acr_put_cleanup;

    return put;
}


static void
ngx_http_acr_put_cleanup(void *data)
{
    ngx_http_acr_put_t *put = data;

    acr_manifest_free(&put->manifest);
    free(put->descriptor);
    ngx_http_acr_store_unlock(&put->lock, ngx_cycle->log);
    ngx_http_acr_store_unlock_names(&put->change.locks, ngx_cycle->log);
}


/* NGX_OK, or NGX_DONE after it has failed the request */

static ngx_int_t
ngx_http_acr_put_reference(ngx_http_request_t *r, ngx_http_acr_put_t *put)
{
    ngx_int_t  rc;

    /* of the specification's codes, none is of tags alone */

    rc = ngx_http_acr_manifest_reference(r, put->ctx, &put->digest,
                                         ACR_E_MANIFEST_INVALID);

    if (rc == NGX_OK) {
        put->by_digest = 1;
        return NGX_OK;
    }

    if (rc == NGX_DECLINED) {
        put->digest.alg = acr_algorithm((u_char *) "sha256", 6);
        put->names[1] = put->ctx->reference;
        put->ntags = 1;
        return NGX_OK;
    }

    return NGX_DONE;
}


/*
 * The tags of the query, OCI distribution-spec "Pushing Manifests".  NGX_OK,
 * or NGX_DONE after it has failed the request.
 */

static ngx_int_t
ngx_http_acr_put_tags(ngx_http_request_t *r, ngx_http_acr_put_t *put)
{
    int          rc;
    u_char      *buf;
    ngx_str_t    tag;
    acr_text_t   rest, name, value;

    if (r->args.len == 0) {
        return NGX_OK;
    }

    buf = ngx_pnalloc(r->pool, r->args.len);

    if (buf == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NGX_DONE;
    }

    rest.data = r->args.data;
    rest.len = r->args.len;

    for ( ;; ) {

        /* what is decoded is never longer than what was taken */

        rc = acr_query_next(&rest, buf + (r->args.len - rest.len), &name,
                            &value);

        if (rc == ACR_DONE) {
            return NGX_OK;
        }

        if (rc != ACR_OK) {
            ngx_http_acr_fail(r, ACR_E_MANIFEST_INVALID,
                              "the query is malformed", "query", &r->args);
            return NGX_DONE;
        }

        if (name.len != 3 || ngx_memcmp(name.data, "tag", 3) != 0) {
            continue;
        }

        tag.data = (u_char *) value.data;
        tag.len = value.len;

        if (ngx_http_acr_put_tag(r, put, &tag) != NGX_OK) {
            return NGX_DONE;
        }
    }
}


static ngx_int_t
ngx_http_acr_put_tag(ngx_http_request_t *r, ngx_http_acr_put_t *put,
    ngx_str_t *tag)
{
    ngx_uint_t  i;

    if (!put->by_digest) {
        ngx_http_acr_fail(r, ACR_E_MANIFEST_INVALID,
                          "\"tag\" parameters need a digest in the path",
                          "tag", tag);
        return NGX_DONE;
    }

    if (!acr_tag_valid(tag->data, tag->len)) {
        ngx_http_acr_fail(r, ACR_E_MANIFEST_INVALID, "this is no tag", "tag",
                          tag);
        return NGX_DONE;
    }

    for (i = 1; i <= put->ntags; i++) {

        if (put->names[i].len == tag->len
            && ngx_memcmp(put->names[i].data, tag->data, tag->len) == 0)
        {
            return NGX_OK;
        }
    }

    if (put->ntags == NGX_HTTP_ACR_PUT_TAGS) {
        ngx_http_acr_fail_status(r, NGX_HTTP_REQUEST_URI_TOO_LARGE,
                                 ACR_E_MANIFEST_INVALID,
                                 "more than 100 tags at once", NULL, NULL);
        return NGX_DONE;
    }

    put->names[++put->ntags] = *tag;

    return NGX_OK;
}


static void
ngx_http_acr_put_read(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_put_t *put = data;

    ngx_http_acr_run(r, put->ctx->registry->fast, ngx_http_acr_put_parse, put,
                     ngx_http_acr_put_parsed);
}


/* NGX_DECLINED: another digest; NGX_ABORT: no manifest; NGX_ERROR: no memory */

static ngx_int_t
ngx_http_acr_put_parse(void *data, ngx_log_t *log)
{
    ngx_http_acr_put_t *put = data;

    int         rc;
    acr_hash_t  hash;

    acr_hash_init(&hash, put->digest.alg);
    acr_hash_update(&hash, put->p, put->n);
    acr_hash_final(&hash, &put->computed);

    if (put->by_digest && !acr_digest_equal(&put->digest, &put->computed)) {
        return NGX_DECLINED;
    }

    rc = acr_manifest_parse(&put->manifest, put->p, put->n,
                            put->content_type.data, put->content_type.len);

    if (rc == ACR_NOMEM) {
        return NGX_ERROR;
    }

    if (rc != ACR_OK) {
        return NGX_ABORT;
    }

    if (put->manifest.has_subject) {
        put->descriptor = acr_manifest_descriptor(&put->manifest,
                                                  &put->computed, put->n);

        if (put->descriptor == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_acr_put_parsed(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_put_t *put = data;

    if (put->next && rc != NGX_OK) {
        put->next(r, put->data, (rc == NGX_ERROR) ? NGX_ERROR : NGX_ABORT);
        return;
    }

    put->names[0] = ngx_http_acr_digest_text(r, &put->computed);

    if (put->names[0].data == NULL || rc == NGX_ERROR) {
        ngx_http_acr_put_failed(r, put);
        return;
    }

    if (rc == NGX_DECLINED) {
        ngx_http_acr_fail(r, ACR_E_DIGEST_INVALID,
                          "the content has another digest", "digest",
                          &put->names[0]);
        return;
    }

    if (rc == NGX_ABORT) {
        ngx_http_acr_fail(r, ACR_E_MANIFEST_INVALID, put->manifest.error,
                          NULL, NULL);
        return;
    }

    put->digest = put->computed;
    put->ctx->digest = put->names[0];

    if (ngx_http_acr_put_prepare(r, put) != NGX_OK) {
        ngx_http_acr_put_failed(r, put);
        return;
    }

    /* of what comes from elsewhere nothing has to be there */

    if (put->next) {
        ngx_http_acr_put_commit(r, put);
        return;
    }

    ngx_http_acr_put_check(r, put);
}


/* no memory, or no random numbers */

static void
ngx_http_acr_put_failed(ngx_http_request_t *r, ngx_http_acr_put_t *put)
{
    if (put->next) {
        put->next(r, put->data, NGX_ERROR);
        return;
    }

    ngx_http_acr_fail_errno(r, NGX_ERROR);
}


static ngx_int_t
ngx_http_acr_put_prepare(ngx_http_request_t *r, ngx_http_acr_put_t *put)
{
    if (put->manifest.has_subject) {
        put->subject = ngx_http_acr_digest_text(r, &put->manifest.subject);

        if (put->subject.data == NULL) {
            return NGX_ERROR;
        }
    }

    if (ngx_http_acr_uuid(r, &put->prepared.token) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!put->manifest.typed) {
        put->prepared.type =
            ngx_http_acr_meta_argument(put->manifest.media_type);
    }

    return ngx_http_acr_put_args(r, put);
}


/* the arguments of manifest_put.lua */

static ngx_int_t
ngx_http_acr_put_args(ngx_http_request_t *r, ngx_http_acr_put_t *put)
{
    u_char          *text;
    size_t           n;
    ngx_str_t       *arg;
    acr_manifest_t  *m;

    m = &put->manifest;
    n = m->nreferences;

    arg = ngx_pcalloc(r->pool, (NGX_HTTP_ACR_PUT_ARGS + put->ntags + 1 + 2 * n)
                               * sizeof(ngx_str_t));

    text = ngx_pnalloc(r->pool, 2 * NGX_SIZE_T_LEN + NGX_INT_T_LEN
                                + n * ACR_DIGEST_MAX);

    if (arg == NULL || text == NULL) {
        return NGX_ERROR;
    }

    put->args = arg;

    *arg++ = put->repository;
    *arg++ = put->names[0];

    arg->data = text;
    text = ngx_sprintf(text, "%uz", put->n);
    arg->len = text - arg->data;
    arg++;

    *arg++ = ngx_http_acr_meta_argument(m->media_type);
    *arg++ = put->subject;
    *arg++ = ngx_http_acr_meta_argument(m->artifact_type);
    *arg++ = ngx_http_acr_meta_argument(put->descriptor);
    *arg++ = put->conditions;
    *arg++ = ngx_http_acr_meta_argument(NULL);

    arg->data = text;
    text = ngx_sprintf(text, "%ui", put->ntags);
    arg->len = text - arg->data;
    arg++;

    ngx_memcpy(arg, &put->names[1], put->ntags * sizeof(ngx_str_t));

    arg = ngx_http_acr_put_references(arg + put->ntags, text, put);

    put->nargs = arg - put->args;

    return NGX_OK;
}


/* their number, then the kind and digest of each */

static ngx_str_t *
ngx_http_acr_put_references(ngx_str_t *arg, u_char *text,
    ngx_http_acr_put_t *put)
{
    size_t            i;
    acr_manifest_t   *m;
    acr_reference_t  *ref;

    m = &put->manifest;

    arg->data = text;
    text = ngx_sprintf(text, "%uz", m->nreferences);
    arg->len = text - arg->data;
    arg++;

    for (i = 0; i < m->nreferences; i++) {
        *arg++ = ngx_http_acr_meta_argument(ngx_http_acr_put_kind(put, i));

        ref = &m->references[i];

        arg->data = text;
        arg->len = acr_digest_print(text, &ref->digest);
        text += arg->len;
        arg++;
    }

    return arg;
}


/*
 * A blob that must be there, a manifest or blob that must be, or what may be
 * missing.  The first reference of an image is its config, which must be there
 * also where images may be sparse.  What comes from elsewhere comes when it is
 * asked for.
 */

static const char *
ngx_http_acr_put_kind(ngx_http_acr_put_t *put, size_t i)
{
    acr_reference_t          *ref;
    ngx_http_acr_loc_conf_t  *conf;

    conf = put->ctx->conf;
    ref = &put->manifest.references[i];

    if (ref->manifest && !ref->optional) {
        return (conf->sparse_index || put->next) ? "n" : "m";
    }

    if (ref->optional || put->next) {
        return "o";
    }

    if (conf->sparse_image && i
        && put->manifest.kind == ACR_MANIFEST_IMAGE)
    {
        return "o";
    }

    return "b";
}


/* is everything there?  Asked before anything is written. */

static void
ngx_http_acr_put_check(ngx_http_request_t *r, ngx_http_acr_put_t *put)
{
    ngx_str_t   *args;
    ngx_uint_t   head, nrefs;

    head = NGX_HTTP_ACR_PUT_ARGS + put->ntags;
    nrefs = put->nargs - head;

    args = ngx_palloc(r->pool, (3 + nrefs) * sizeof(ngx_str_t));

    if (args == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    args[0] = put->repository;
    args[1] = put->by_digest ? ngx_http_acr_meta_argument(NULL)
                             : put->names[1];
    args[2] = put->conditions;

    ngx_memcpy(&args[3], &put->args[head], nrefs * sizeof(ngx_str_t));

    ngx_http_acr_ask(r, ACR_SCRIPT_MANIFEST_CHECK, args, 3 + nrefs,
                     ngx_http_acr_put_checked, put);
}


static void
ngx_http_acr_put_checked(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_put_t *put = data;

    if (reply->status == NGX_HTTP_ACR_META_MISSING && reply->n) {
        ngx_http_acr_fail(r, ACR_E_MANIFEST_BLOB_UNKNOWN, NULL, "digest",
                          &reply->v[0]);
        return;
    }

    if (reply->status == NGX_HTTP_ACR_META_CHANGED) {
        ngx_http_acr_manifest_changed(r);
        return;
    }

    if (reply->status != NGX_HTTP_ACR_META_OK) {
        ngx_http_acr_manifest_unexpected(r);
        return;
    }

    ngx_http_acr_put_commit(r, put);
}
