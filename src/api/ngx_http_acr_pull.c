
#include "ngx_http_acr_api.h"


typedef struct {
    ngx_http_acr_ctx_t    *ctx;
    ngx_http_acr_store_t  *store;
    acr_digest_t           digest;
    off_t                  size;
    ngx_str_t              type;
    u_char                 text[ACR_MEDIA_TYPE_MAX];  /* of the type */
    acr_error_e            unknown;
    unsigned               by_tag:1;
    unsigned               locked:1;       /* it may not be read */
} ngx_http_acr_pull_t;


static ngx_http_acr_pull_t *ngx_http_acr_pull_create(ngx_http_request_t *r,
    acr_digest_t *digest);
static ngx_int_t ngx_http_acr_pull_find_blob(void *data, ngx_log_t *log);
static ngx_int_t ngx_http_acr_pull_readable(ngx_http_acr_pull_t *pull,
    ngx_str_t *tag, acr_digest_t *digest, ngx_log_t *log);
static ngx_int_t ngx_http_acr_pull_find_manifest(void *data, ngx_log_t *log);
static ngx_int_t ngx_http_acr_pull_type(ngx_http_acr_pull_t *pull, u_char *p,
    size_t n, ngx_log_t *log);
static void ngx_http_acr_pull_found(ngx_http_request_t *r, void *data,
    ngx_int_t rc);


void
ngx_http_acr_pull_blob(ngx_http_request_t *r, acr_digest_t *digest)
{
    ngx_http_acr_pull_t  *pull;

    pull = ngx_http_acr_pull_create(r, digest);

    if (pull == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    pull->unknown = ACR_E_BLOB_UNKNOWN;

    ngx_http_acr_run(r, pull->ctx->registry->slow,
                     ngx_http_acr_pull_find_blob, pull,
                     ngx_http_acr_pull_found);
}


void
ngx_http_acr_pull_manifest(ngx_http_request_t *r, acr_digest_t *digest)
{
    ngx_http_acr_pull_t  *pull;

    pull = ngx_http_acr_pull_create(r, digest);

    if (pull == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    pull->unknown = ACR_E_MANIFEST_UNKNOWN;

    ngx_http_acr_run(r, pull->ctx->registry->slow,
                     ngx_http_acr_pull_find_manifest, pull,
                     ngx_http_acr_pull_found);
}


static ngx_http_acr_pull_t *
ngx_http_acr_pull_create(ngx_http_request_t *r, acr_digest_t *digest)
{
    ngx_http_acr_pull_t  *pull;

    pull = ngx_pcalloc(r->pool, sizeof(ngx_http_acr_pull_t));

    if (pull == NULL) {
        return NULL;
    }

    pull->ctx = ngx_http_acr_get_ctx(r);
    pull->store = &pull->ctx->registry->store;

    ngx_http_acr_count(pull->ctx->registry->zone,
                       NGX_HTTP_ACR_C_LOOKUPS + NGX_HTTP_ACR_SOURCE_disk, 1);

    if (digest) {
        pull->digest = *digest;

    } else {
        pull->by_tag = 1;
    }

    return pull;
}


static ngx_int_t
ngx_http_acr_pull_find_blob(void *data, ngx_log_t *log)
{
    ngx_http_acr_pull_t *pull = data;

    ngx_int_t  rc;

    rc = ngx_http_acr_store_find_link(pull->store, &pull->ctx->repository,
                                      NGX_HTTP_ACR_LAYER, &pull->digest, log);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_pull_readable(pull, NULL, NULL, log);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_acr_store_size(pull->store, &pull->digest, &pull->size,
                                   log);
}


/* NGX_DECLINED, with pull->locked: no */

static ngx_int_t
ngx_http_acr_pull_readable(ngx_http_acr_pull_t *pull, ngx_str_t *tag,
    acr_digest_t *digest, ngx_log_t *log)
{
    ngx_int_t  rc;

    rc = ngx_http_acr_store_readable(pull->store, &pull->ctx->repository, tag,
                                     digest, log);

    if (rc == NGX_DECLINED) {
        pull->locked = 1;
    }

    return rc;
}


static ngx_int_t
ngx_http_acr_pull_find_manifest(void *data, ngx_log_t *log)
{
    ngx_http_acr_pull_t *pull = data;

    u_char     *p;
    size_t      n;
    ngx_int_t   rc;

    if (pull->by_tag) {
        rc = ngx_http_acr_store_find_tag(pull->store, &pull->ctx->repository,
                                         &pull->ctx->reference, &pull->digest,
                                         log);

    } else {
        rc = ngx_http_acr_store_find_link(pull->store, &pull->ctx->repository,
                                          NGX_HTTP_ACR_REVISION,
                                          &pull->digest, log);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_pull_readable(pull,
                                    pull->by_tag ? &pull->ctx->reference
                                                 : NULL,
                                    &pull->digest, log);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_load(pull->store, &pull->digest,
                                 pull->ctx->conf->max_manifest_size, &p, &n,
                                 log);
    if (rc != NGX_OK) {
        return (rc == NGX_ABORT) ? NGX_DECLINED : rc;
    }

    pull->size = n;

    rc = ngx_http_acr_pull_type(pull, p, n, log);

    ngx_free(p);

    return rc;
}


/* the media type: that of the push, if it was kept, else what the bytes tell */

static ngx_int_t
ngx_http_acr_pull_type(ngx_http_acr_pull_t *pull, u_char *p, size_t n,
    ngx_log_t *log)
{
    int              rc;
    ngx_int_t        found;
    acr_manifest_t   m;

    pull->type.data = pull->text;

    found = ngx_http_acr_store_type_get(pull->store, &pull->ctx->repository,
                                        &pull->digest, pull->text,
                                        &pull->type.len, log);
    if (found != NGX_DECLINED) {
        return found;
    }

    rc = acr_manifest_parse(&m, p, n, NULL, 0);

    if (rc == ACR_OK) {
        pull->type.len = ngx_strlen(m.media_type);
        ngx_memcpy(pull->text, m.media_type, pull->type.len);
        found = NGX_OK;

    } else {
        found = (rc == ACR_NOMEM) ? NGX_ENOMEM : NGX_DECLINED;
    }

    acr_manifest_free(&m);

    return found;
}


static void
ngx_http_acr_pull_found(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_pull_t *pull = data;

    ngx_http_acr_ctx_t  *ctx;

    ctx = pull->ctx;

    if (pull->locked) {
        ngx_http_acr_locked(r);
        return;
    }

    /* it may be elsewhere, but cannot be kept now */

    if (rc == NGX_DECLINED && ctx->through) {
        ngx_http_acr_fail(r, ACR_E_UNAVAILABLE, "the index does not answer",
                          NULL, NULL);
        return;
    }

    if (rc == NGX_DECLINED) {
        ngx_http_acr_missing(r, pull->unknown, NULL, "reference",
                             &ctx->reference);
        return;
    }

    if (rc != NGX_OK) {
        ngx_http_acr_fail_errno(r, rc);
        return;
    }

    if (pull->by_tag) {
        ctx->digest = ngx_http_acr_digest_text(r, &pull->digest);

        if (ctx->digest.data == NULL) {
            ngx_http_acr_fail_errno(r, NGX_ERROR);
            return;
        }
    }

    if (pull->unknown == ACR_E_BLOB_UNKNOWN) {
        ngx_http_acr_blob_send(r, &pull->digest, pull->size);
        return;
    }

    ngx_http_acr_send_content(r, pull->size, &pull->type, pull->by_tag,
                              pull->unknown);
}
