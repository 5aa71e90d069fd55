
/*
 * acr_health: whether nginx answers, and whether the registry works.
 */

#ifndef NGX_HTTP_ACR_HEALTH_H
#define NGX_HTTP_ACR_HEALTH_H

#include "../ngx_http_acr.h"


/* the content handler of a location with "acr_health" */
ngx_int_t ngx_http_acr_health(ngx_http_request_t *r);


#endif /* NGX_HTTP_ACR_HEALTH_H */
