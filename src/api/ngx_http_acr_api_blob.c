
#include "ngx_http_acr_api.h"
#include "ngx_http_acr_data.h"
#include "../ngx_http_acr_memory.h"
#include "ngx_http_acr_through.h"


typedef struct {
    acr_digest_t           digest;
    ngx_http_acr_change_t  change;
} ngx_http_acr_blob_t;


static ngx_http_acr_blob_t *ngx_http_acr_blob_begin(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_blob_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_blob_deleted(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_blob_settled(ngx_http_request_t *r, void *data,
    ngx_int_t rc);


/* GET, HEAD /v2/<name>/blobs/<digest> */

void
ngx_http_acr_blob_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    off_t                 size;
    ngx_str_t             args[3];
    ngx_http_acr_blob_t  *blob;

    blob = ngx_http_acr_blob_begin(r, ctx);
    if (blob == NULL) {
        return;
    }

    if (ngx_http_acr_through_begin(r, ctx, NULL) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    args[0] = ctx->repository;
    args[1] = ctx->digest;

    /* who asks whether it is there relies on it a little later, which Redis
       has to know */

    if (r->method == NGX_HTTP_HEAD) {
        ngx_str_set(&args[2], "1");

    } else if (ngx_http_acr_memory_blob(r, &size) == NGX_OK) {
        ngx_http_acr_blob_send(r, &blob->digest, size);
        return;

    } else {
        ngx_str_set(&args[2], "0");
    }

    ngx_http_acr_look_up(r, ACR_SCRIPT_BLOB_STAT, args, 3,
                         ngx_http_acr_blob_found, blob);
}


static void
ngx_http_acr_blob_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_blob_t *blob = data;

    off_t                       size;
    ngx_http_acr_ctx_t         *ctx;
    ngx_http_acr_meta_status_e  status;

    ctx = ngx_http_acr_get_ctx(r);

    if (reply->status == NGX_HTTP_ACR_META_DOWN
        || reply->status == NGX_HTTP_ACR_META_BEHIND)
    {
        ngx_http_acr_pull_blob(r, &blob->digest);
        return;
    }

    ngx_http_acr_count(ctx->registry->zone,
                       NGX_HTTP_ACR_C_LOOKUPS + NGX_HTTP_ACR_SOURCE_redis, 1);

    status = ngx_http_acr_through_status(ctx, reply);

    if (status == NGX_HTTP_ACR_META_LOCKED) {
        ngx_http_acr_locked(r);
        return;
    }

    if (status == NGX_HTTP_ACR_META_MISS) {

        if (ctx->through) {
            ngx_http_acr_through_blob(r, ctx, &blob->digest);
            return;
        }

        ngx_http_acr_fail(r, ACR_E_BLOB_UNKNOWN, NULL, "digest",
                          &ctx->digest);
        return;
    }

    size = NGX_ERROR;

    if (reply->status == NGX_HTTP_ACR_META_OK && reply->n) {
        size = ngx_atoof(reply->v[0].data, reply->v[0].len);
    }

    if (size == NGX_ERROR) {
        ngx_http_acr_fail(r, ACR_E_UNKNOWN, "unexpected answer of the index",
                          NULL, NULL);
        return;
    }

    ngx_http_acr_memory_blob_found(r, size);

    ngx_http_acr_blob_send(r, &blob->digest, size);
}


void
ngx_http_acr_blob_send(ngx_http_request_t *r, acr_digest_t *digest, off_t size)
{
    static ngx_str_t  type = ngx_string("application/octet-stream");

    if (ngx_http_acr_data_redirect(r, digest, size) == NGX_DONE) {
        return;
    }

    ngx_http_acr_send_content(r, size, &type, 0, ACR_E_BLOB_UNKNOWN);
}


/* DELETE /v2/<name>/blobs/<digest> */

void
ngx_http_acr_blob_delete(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_str_t             args[3];
    ngx_http_acr_blob_t  *blob;

    blob = ngx_http_acr_blob_begin(r, ctx);
    if (blob == NULL) {
        return;
    }

    args[0] = ctx->repository;
    args[1] = ctx->digest;
    ngx_str_null(&args[2]);

    ctx->committing = 1;

    ngx_http_acr_ask(r, ACR_SCRIPT_BLOB_DELETE, args, 3,
                     ngx_http_acr_blob_deleted, blob);
}


static void
ngx_http_acr_blob_deleted(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_blob_t *blob = data;

    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    if (reply->status == NGX_HTTP_ACR_META_UNKNOWN) {
        ngx_http_acr_fail(r, ACR_E_BLOB_UNKNOWN, NULL, "digest",
                          &ctx->digest);
        return;
    }

    if (reply->status != NGX_HTTP_ACR_META_OK
        || ngx_http_acr_changed(ctx->registry, &blob->change, reply)
           != NGX_OK)
    {
        ngx_http_acr_fail(r, ACR_E_UNKNOWN, "unexpected answer of the index",
                          NULL, NULL);
        return;
    }

    ngx_http_acr_settle(r, &ctx->digest, 1, &blob->change, NULL,
                        ngx_http_acr_blob_settled, blob);
}


static void
ngx_http_acr_blob_settled(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_send_status(r, NGX_HTTP_ACCEPTED);
}


/* NULL: the request has failed */

static ngx_http_acr_blob_t *
ngx_http_acr_blob_begin(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_blob_t  *blob;

    blob = ngx_pcalloc(r->pool, sizeof(ngx_http_acr_blob_t));
    if (blob == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NULL;
    }

    if (ngx_http_acr_need_digest(r, &blob->digest, &ctx->reference)
        != NGX_OK)
    {
        return NULL;
    }

    return blob;
}
