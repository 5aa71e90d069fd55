
/*
 * What a request asks of the shared memory (ngx_http_acr_cache.h) before it
 * asks Redis or opens a file, and what it tells it.  DESIGN "Pull".
 *
 * Lookups are answered from there while all changes are heard of, and
 * "acr_tag_consistency" is not "strict"; contents, which never change, also
 * with "strict".
 */

#ifndef NGX_HTTP_ACR_MEMORY_H
#define NGX_HTTP_ACR_MEMORY_H

#include "ngx_http_acr.h"


/* what is not larger is sent, and remembered, as a whole: most manifests, and
   configs */
#define NGX_HTTP_ACR_MEMORY_CONTENT      32768


/*
 * Lookups of ctx->reference, a tag or (with ctx->digest set) the digest of a
 * manifest, or of the blob ctx->digest, in ctx->repository.  Before Redis is
 * asked: what it says is good for ..._found() of the same request.
 *
 * NGX_OK: *size and type, which is in r->pool, are set, and of a tag
 * ctx->digest; NGX_DECLINED: nothing is remembered; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_acr_memory_manifest(ngx_http_request_t *r, off_t *size,
    ngx_str_t *type);
ngx_int_t ngx_http_acr_memory_blob(ngx_http_request_t *r, off_t *size);

/* what Redis has said; ctx->digest is set.  by_tag: the reference is a tag */
void ngx_http_acr_memory_manifest_found(ngx_http_request_t *r, off_t size,
    ngx_str_t *type, ngx_uint_t by_tag);
void ngx_http_acr_memory_blob_found(ngx_http_request_t *r, off_t size);

/*
 * The content ctx->digest, of that many bytes: b becomes a copy in r->pool, or
 * stays empty for a HEAD.  NGX_OK, NGX_DECLINED or NGX_ERROR, as above; where
 * it is declined, b may have memory for all of it, from start to end.
 */
ngx_int_t ngx_http_acr_memory_content(ngx_http_request_t *r, off_t size,
    ngx_buf_t *b);

/* what its file has; after ngx_http_acr_memory_content() of this request */
void ngx_http_acr_memory_content_read(ngx_http_request_t *r, u_char *p,
    size_t n);


#endif /* NGX_HTTP_ACR_MEMORY_H */
