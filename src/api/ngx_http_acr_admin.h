
/*
 * The operator's verbs, as JSON over HTTP: docs/admin.md describes them.  The
 * location is the operator's to protect: who reaches it may do all.
 */

#ifndef NGX_HTTP_ACR_ADMIN_H
#define NGX_HTTP_ACR_ADMIN_H

#include "ngx_http_acr_api.h"
#include "../oci/acr_change.h"

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

/* ".../cache-rules/<name>": the same */
ngx_uint_t ngx_http_acr_admin_rules(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);

/* ".../prewarm": the same */
ngx_uint_t ngx_http_acr_admin_prewarm(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);

/* the path has this component, "/<kind>": rest is what follows it, without a
   slash at either end; or NGX_DECLINED */
ngx_int_t ngx_http_acr_admin_below(ngx_str_t *uri, ngx_str_t *kind,
    ngx_str_t *rest);

/* reads the JSON object that a client has sent into *body, a new reference;
   NGX_ERROR after it has failed the request */
ngx_int_t ngx_http_acr_admin_body(ngx_http_request_t *r, ngx_str_t *text,
    json_t **body);

/* a change of a document was refused: error says why, name of what */
void ngx_http_acr_admin_refuse(ngx_http_request_t *r, acr_change_e code,
    const char *error, ngx_str_t *name);

/* sends root, which it takes over, and ends the request; NULL: no memory */
void ngx_http_acr_admin_send(ngx_http_request_t *r, ngx_uint_t status,
    json_t *root);


#endif /* NGX_HTTP_ACR_ADMIN_H */
