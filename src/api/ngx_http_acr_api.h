
/*
 * The resources of the API, OCI distribution-spec "Endpoints".  The table in
 * ngx_http_acr_router.c names the handler of each; each resource has one
 * file.
 *
 * A handler is called in the content phase with ctx filled by the router: the
 * repository's name is valid, the reference is as the client wrote it.  It
 * holds a reference to the request, and ends it by one of the functions of
 * ngx_http_acr_response.h, at once or later.
 */

#ifndef NGX_HTTP_ACR_API_H
#define NGX_HTTP_ACR_API_H

#include "../ngx_http_acr.h"
#include "../ngx_http_acr_body.h"
#include "../ngx_http_acr_response.h"
#include "../ngx_http_acr_settle.h"
#include "../ngx_http_acr_step.h"


typedef void (*ngx_http_acr_handler_pt)(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);


/* the content handler of a location with "acr" */
ngx_int_t ngx_http_acr_router(ngx_http_request_t *r);

/* what a content handler of ours does: makes the context, and gives the request
   to handler */
ngx_int_t ngx_http_acr_handle(ngx_http_request_t *r,
    ngx_http_acr_handler_pt handler);

/*
 * What the path of the request names: sets *resource, and what ctx has of it.
 * NGX_OK, or NGX_DONE after it has failed the request: it is no such path.
 */
ngx_int_t ngx_http_acr_route_path(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, acr_path_e *resource);

/* the rights that the resource needs, by this method; NGX_DECLINED: it does not
   have it */
ngx_int_t ngx_http_acr_route_rights(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, acr_path_e resource, ngx_uint_t *all,
    ngx_uint_t *any);

/* for a resource that has only GET and HEAD.  NGX_OK, or NGX_DONE after it has
   failed the request with 405. */
ngx_int_t ngx_http_acr_need_get(ngx_http_request_t *r);

/* 405: the resource has other methods than this one, those of allow */
void ngx_http_acr_fail_method(ngx_http_request_t *r, ngx_str_t *allow);

/* the context of a request, which is told when nginx terminates it; NULL: no
   memory */
ngx_http_acr_ctx_t *ngx_http_acr_ctx_create(ngx_http_request_t *r);

void ngx_http_acr_base_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_extensions_get(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);

void ngx_http_acr_blob_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_blob_delete(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);

void ngx_http_acr_upload_post(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_upload_patch(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_upload_put(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_upload_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_upload_delete(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);

/* GET and HEAD */
void ngx_http_acr_manifest_get(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_manifest_put(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_manifest_delete(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);

void ngx_http_acr_tags_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_referrers_get(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_catalog_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);

/* ACR's data-plane API: /acr/v1/..., see ngx_http_acr_v1.h */
ngx_int_t ngx_http_acr_v1_headers(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_v1_repository_get(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_v1_repository_patch(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_v1_repository_delete(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_v1_tags_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_v1_tag_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_v1_tag_patch(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_v1_tag_delete(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_v1_manifests_get(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_v1_manifest_get(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_v1_manifest_patch(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);

/* and beside it, of ours, the log of events: see ngx_http_acr_events.h */
void ngx_http_acr_v1_events_get(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);

/* Docker token authentication and ACR's variant of it: /oauth2/... */
void ngx_http_acr_token_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_token_post(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_token_exchange(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);

/* the public keys of tokens, RFC 7517 */
void ngx_http_acr_token_keys(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);

/*
 * Pulls that Redis cannot answer, because it is down or does not know the
 * repository yet: answered from the directory, which has all that was ever
 * acknowledged.  DESIGN, promise 3.  They end the request.
 */
void ngx_http_acr_pull_blob(ngx_http_request_t *r, acr_digest_t *digest);

/* sends a blob that the request may have, or the address where it is */
void ngx_http_acr_blob_send(ngx_http_request_t *r, acr_digest_t *digest,
    off_t size);

/* digest: NULL for the tag in ctx->reference */
void ngx_http_acr_pull_manifest(ngx_http_request_t *r, acr_digest_t *digest);


#endif /* NGX_HTTP_ACR_API_H */
