
#include "ngx_http_acr_memory.h"


/* of a manifest, as it is remembered */

typedef struct {
    off_t   size;
    u_char  type[ACR_MEDIA_TYPE_MAX];
} ngx_http_acr_memory_manifest_t;


static ngx_http_acr_cache_t *ngx_http_acr_memory_cache(
    ngx_http_acr_ctx_t *ctx);
static ngx_http_acr_cache_t *ngx_http_acr_memory_lookups(
    ngx_http_acr_ctx_t *ctx);
static ngx_int_t ngx_http_acr_memory_declined(ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_cache_t *cache);
static void ngx_http_acr_memory_answered(ngx_http_acr_ctx_t *ctx);


/* see ngx_http_acr_cache.h */

#define ngx_http_acr_memory_kind(ctx, kind)                                  \
    ((uint64_t) (ctx)->registry->identity << 8 | NGX_HTTP_ACR_CACHE_##kind)


static ngx_str_t  ngx_http_acr_memory_any = ngx_string("");


/* NULL: there is none, or it cannot be relied on */

static ngx_http_acr_cache_t *
ngx_http_acr_memory_cache(ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_zone_t  *zone;

    zone = ctx->registry->zone;

    if (zone == NULL || zone->cache == NULL
        || (ctx->registry->meta
            && !ngx_http_acr_meta_fresh(ctx->registry->meta)))
    {
        return NULL;
    }

    return zone->cache;
}


static ngx_http_acr_cache_t *
ngx_http_acr_memory_lookups(ngx_http_acr_ctx_t *ctx)
{
    if (ctx->conf->consistency == NGX_HTTP_ACR_CONSISTENCY_STRICT) {
        return NULL;
    }

    return ngx_http_acr_memory_cache(ctx);
}


ngx_int_t
ngx_http_acr_memory_manifest(ngx_http_request_t *r, off_t *size,
    ngx_str_t *type)
{
    ssize_t                          n;
    ngx_str_t                        text;
    ngx_http_acr_ctx_t              *ctx;
    ngx_http_acr_cache_t            *cache;
    ngx_http_acr_memory_manifest_t   manifest;
    u_char                           buf[ACR_DIGEST_MAX];

    ctx = ngx_http_acr_get_ctx(r);
    cache = ngx_http_acr_memory_lookups(ctx);

    if (cache == NULL) {
        return NGX_DECLINED;
    }

    text = ctx->digest;

    if (text.len == 0) {
        n = ngx_http_acr_cache_get(cache, ngx_http_acr_memory_kind(ctx, TAG),
                                   &ctx->repository, &ctx->reference, buf,
                                   sizeof(buf));
        if (n == NGX_DECLINED) {
            return ngx_http_acr_memory_declined(ctx, cache);
        }

        text.data = buf;
        text.len = n;
    }

    n = ngx_http_acr_cache_get(cache, ngx_http_acr_memory_kind(ctx, MANIFEST),
                               &ctx->repository, &text, (u_char *) &manifest,
                               sizeof(manifest));

    if (n < (ssize_t) offsetof(ngx_http_acr_memory_manifest_t, type)) {
        return ngx_http_acr_memory_declined(ctx, cache);
    }

    type->len = n - offsetof(ngx_http_acr_memory_manifest_t, type);
    type->data = ngx_pnalloc(r->pool, type->len + text.len);

    if (type->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(type->data, manifest.type, type->len);

    if (ctx->digest.len == 0) {
        ctx->digest.len = text.len;
        ctx->digest.data = type->data + type->len;
        ngx_memcpy(ctx->digest.data, text.data, text.len);
    }

    *size = manifest.size;

    ngx_http_acr_memory_answered(ctx);

    return NGX_OK;
}


void
ngx_http_acr_memory_manifest_found(ngx_http_request_t *r, off_t size,
    ngx_str_t *type, ngx_uint_t by_tag)
{
    ngx_http_acr_ctx_t              *ctx;
    ngx_http_acr_cache_t            *cache;
    ngx_http_acr_memory_manifest_t   manifest;

    ctx = ngx_http_acr_get_ctx(r);

    if (!ctx->remembers || type->len > sizeof(manifest.type)) {
        return;
    }

    cache = ctx->registry->zone->cache;

    manifest.size = size;
    ngx_memcpy(manifest.type, type->data, type->len);

    ngx_http_acr_cache_put(cache, ngx_http_acr_memory_kind(ctx, MANIFEST),
                           &ctx->repository, &ctx->digest, ctx->stamp,
                           (u_char *) &manifest,
                           offsetof(ngx_http_acr_memory_manifest_t, type)
                           + type->len);
    if (by_tag) {
        ngx_http_acr_cache_put(cache, ngx_http_acr_memory_kind(ctx, TAG),
                               &ctx->repository, &ctx->reference, ctx->stamp,
                               ctx->digest.data, ctx->digest.len);
    }
}


ngx_int_t
ngx_http_acr_memory_blob(ngx_http_request_t *r, off_t *size)
{
    ngx_http_acr_ctx_t    *ctx;
    ngx_http_acr_cache_t  *cache;

    ctx = ngx_http_acr_get_ctx(r);
    cache = ngx_http_acr_memory_lookups(ctx);

    if (cache == NULL) {
        return NGX_DECLINED;
    }

    if (ngx_http_acr_cache_get(cache, ngx_http_acr_memory_kind(ctx, BLOB),
                               &ctx->repository, &ctx->digest,
                               (u_char *) size, sizeof(off_t))
        != sizeof(off_t))
    {
        return ngx_http_acr_memory_declined(ctx, cache);
    }

    ngx_http_acr_memory_answered(ctx);

    return NGX_OK;
}


void
ngx_http_acr_memory_blob_found(ngx_http_request_t *r, off_t size)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    if (ctx->remembers) {
        ngx_http_acr_cache_put(ctx->registry->zone->cache,
                               ngx_http_acr_memory_kind(ctx, BLOB),
                               &ctx->repository, &ctx->digest, ctx->stamp,
                               (u_char *) &size, sizeof(off_t));
    }
}


/* what Redis will say is as new as the stamp, at least */

static ngx_int_t
ngx_http_acr_memory_declined(ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_cache_t *cache)
{
    ctx->stamp = ngx_http_acr_cache_stamp(cache);
    ctx->remembers = 1;

    return NGX_DECLINED;
}


static void
ngx_http_acr_memory_answered(ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_count(ctx->registry->zone,
                       NGX_HTTP_ACR_C_LOOKUPS + NGX_HTTP_ACR_SOURCE_memory,
                       1);
}


ngx_int_t
ngx_http_acr_memory_content(ngx_http_request_t *r, off_t size, ngx_buf_t *b)
{
    u_char                *p;
    ngx_http_acr_ctx_t    *ctx;
    ngx_http_acr_cache_t  *cache;

    ctx = ngx_http_acr_get_ctx(r);

    ctx->remembers = 0;

    if (size == 0 || size > NGX_HTTP_ACR_MEMORY_CONTENT) {
        return NGX_DECLINED;
    }

    cache = ngx_http_acr_memory_cache(ctx);

    if (cache == NULL) {
        return NGX_DECLINED;
    }

    p = NULL;

    if (r->method != NGX_HTTP_HEAD) {
        p = ngx_pnalloc(r->pool, size);

        if (p == NULL) {
            return NGX_ERROR;
        }

        b->start = p;
        b->end = p + size;
    }

    if (ngx_http_acr_cache_get(cache, ngx_http_acr_memory_kind(ctx, CONTENT),
                               &ngx_http_acr_memory_any, &ctx->digest, p,
                               size)
        != (ssize_t) size)
    {
        return ngx_http_acr_memory_declined(ctx, cache);
    }

    b->pos = b->start;
    b->last = b->end;
    b->temporary = p ? 1 : 0;

    return NGX_OK;
}


void
ngx_http_acr_memory_content_read(ngx_http_request_t *r, u_char *p, size_t n)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    if (ctx->remembers) {
        ngx_http_acr_cache_put(ctx->registry->zone->cache,
                               ngx_http_acr_memory_kind(ctx, CONTENT),
                               &ngx_http_acr_memory_any, &ctx->digest,
                               ctx->stamp, p, n);
    }
}
