
#include "ngx_http_acr_manifest.h"
#include "../ngx_http_acr_memory.h"
#include "ngx_http_acr_through.h"


static void ngx_http_acr_manifest_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_manifest_send(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, off_t size, ngx_str_t *type, ngx_uint_t by_tag);
static void ngx_http_acr_manifest_pull(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);


/* GET, HEAD /v2/<name>/manifests/<reference> */

void
ngx_http_acr_manifest_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    acr_digest_t  digest;

    if (ngx_http_acr_manifest_reference(r, ctx, &digest,
                                        ACR_E_MANIFEST_UNKNOWN)
        == NGX_DONE)
    {
        return;
    }

    if (ngx_http_acr_through_begin(r, ctx, NULL) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_manifest_look_up(r, ctx);
}


void
ngx_http_acr_manifest_look_up(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    off_t       size;
    ngx_int_t   rc;
    ngx_str_t   args[3], type;
    ngx_uint_t  by_tag;

    by_tag = (ctx->digest.len == 0);

    rc = ngx_http_acr_memory_manifest(r, &size, &type);

    if (rc == NGX_OK) {
        ngx_http_acr_manifest_send(r, ctx, size, &type, by_tag);
        return;
    }

    if (rc == NGX_ERROR) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    args[0] = ctx->repository;

    if (!by_tag) {
        args[1] = ctx->digest;
        ngx_str_set(&args[2], "digest");

    } else {
        args[1] = ctx->reference;
        ngx_str_set(&args[2], "tag");
    }

    ngx_http_acr_look_up(r, ACR_SCRIPT_MANIFEST_GET, args, 3,
                         ngx_http_acr_manifest_found, NULL);
}


/* whatever Accept says: a manifest is never converted or refused */

static void
ngx_http_acr_manifest_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    off_t                       size;
    ngx_str_t                   type;
    ngx_uint_t                  by_tag;
    acr_digest_t                digest;
    ngx_http_acr_ctx_t         *ctx;
    ngx_http_acr_meta_status_e  status;

    ctx = ngx_http_acr_get_ctx(r);

    if (reply->status == NGX_HTTP_ACR_META_DOWN
        || reply->status == NGX_HTTP_ACR_META_BEHIND)
    {
        ngx_http_acr_manifest_pull(r, ctx);
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

        if (ctx->through && ngx_http_acr_through_manifest(r, ctx) == NGX_OK) {
            return;
        }

        ngx_http_acr_fail(r, ACR_E_MANIFEST_UNKNOWN, NULL, "reference",
                          &ctx->reference);
        return;
    }

    if (reply->status != NGX_HTTP_ACR_META_OK
        || reply->n != 3
        || acr_digest_parse(&digest, reply->v[0].data, reply->v[0].len)
           != ACR_OK
        || !acr_media_type_valid(reply->v[2].data, reply->v[2].len))
    {
        ngx_http_acr_manifest_unexpected(r);
        return;
    }

    size = ngx_atoof(reply->v[1].data, reply->v[1].len);

    if (size == NGX_ERROR) {
        ngx_http_acr_manifest_unexpected(r);
        return;
    }

    by_tag = (ctx->digest.len == 0);

    if (by_tag) {
        ctx->digest = ngx_http_acr_digest_text(r, &digest);
    }

    type.len = reply->v[2].len;
    type.data = ngx_pstrdup(r->pool, &reply->v[2]);

    if (ctx->digest.data == NULL || type.data == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_memory_manifest_found(r, size, &type, by_tag);

    ngx_http_acr_manifest_send(r, ctx, size, &type, by_tag);
}


/* of a repository that fills itself, a tag may be out of date */

static void
ngx_http_acr_manifest_send(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    off_t size, ngx_str_t *type, ngx_uint_t by_tag)
{
    if (ctx->through && by_tag
        && ngx_http_acr_through_tag(r, ctx, size, type) == NGX_OK)
    {
        return;
    }

    ngx_http_acr_send_content(r, size, type, by_tag, ACR_E_MANIFEST_UNKNOWN);
}


static void
ngx_http_acr_manifest_pull(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    acr_digest_t  digest;

    if (ctx->digest.len == 0) {
        ngx_http_acr_pull_manifest(r, NULL);
        return;
    }

    if (acr_digest_parse(&digest, ctx->digest.data, ctx->digest.len)
        != ACR_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_pull_manifest(r, &digest);
}


ngx_int_t
ngx_http_acr_manifest_reference(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    acr_digest_t *digest, acr_error_e bad_tag)
{
    ngx_str_t  *reference;

    reference = &ctx->reference;

    if (ngx_strlchr(reference->data, reference->data + reference->len, ':')) {
        return ngx_http_acr_need_digest(r, digest, reference);
    }

    if (acr_tag_valid(reference->data, reference->len)) {
        return NGX_DECLINED;
    }

    ngx_http_acr_fail(r, bad_tag, "this is no tag", "reference", reference);

    return NGX_DONE;
}


void
ngx_http_acr_manifest_unexpected(ngx_http_request_t *r)
{
    ngx_http_acr_fail(r, ACR_E_UNKNOWN, "unexpected answer of the index",
                      NULL, NULL);
}
