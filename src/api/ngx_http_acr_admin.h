
/*
 * The operator's verbs, as JSON over HTTP: docs/admin.md describes them.  The
 * location is the operator's to protect: who reaches it may do all.
 */

#ifndef NGX_HTTP_ACR_ADMIN_H
#define NGX_HTTP_ACR_ADMIN_H

#include "ngx_http_acr_api.h"

#include <jansson.h>


/* the content handler of a location with "acr_admin" */
ngx_int_t ngx_http_acr_admin(ngx_http_request_t *r);

/* ".../access/<kind>...": 1 if the path is one of these, and the request is
   seen to; the body is not read yet */
ngx_uint_t ngx_http_acr_admin_access(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);

/* ".../remotes/<host>...": the same */
ngx_uint_t ngx_http_acr_admin_remote(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);

/* ".../prewarm": the same */
ngx_uint_t ngx_http_acr_admin_prewarm(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);

/* sends root, which it takes over, and ends the request; NULL: no memory */
void ngx_http_acr_admin_send(ngx_http_request_t *r, ngx_uint_t status,
    json_t *root);


#endif /* NGX_HTTP_ACR_ADMIN_H */
