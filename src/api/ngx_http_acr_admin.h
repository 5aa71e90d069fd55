
/*
 * The operator's verbs, as JSON over HTTP: docs/admin.md describes them.  The
 * location is the operator's to protect: who reaches it may do all.
 */

#ifndef NGX_HTTP_ACR_ADMIN_H
#define NGX_HTTP_ACR_ADMIN_H

#include "ngx_http_acr_api.h"


/* the content handler of a location with "acr_admin" */
ngx_int_t ngx_http_acr_admin(ngx_http_request_t *r);


#endif /* NGX_HTTP_ACR_ADMIN_H */
