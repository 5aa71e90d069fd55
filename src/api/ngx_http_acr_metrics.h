
/*
 * acr_metrics, and the three places where a request is counted.  What is
 * counted is listed in ngx_http_acr_zone.h.
 */

#ifndef NGX_HTTP_ACR_METRICS_H
#define NGX_HTTP_ACR_METRICS_H

#include "../ngx_http_acr.h"


/* the content handler of a location with "acr_metrics" */
ngx_int_t ngx_http_acr_metrics(ngx_http_request_t *r);

/* the operation of a request is known; it has ended, or its client has left */
void ngx_http_acr_metrics_begin(ngx_http_acr_ctx_t *ctx);
void ngx_http_acr_metrics_end(ngx_http_acr_ctx_t *ctx);

/* the log phase: counts the request if it is one of the registry */
ngx_int_t ngx_http_acr_metrics_log(ngx_http_request_t *r);

/* what there is about the remotes of the node, and no text of that is longer;
   the state of each is there */
u_char *ngx_http_acr_metrics_remotes(u_char *p, u_char *last,
    ngx_http_acr_registry_t *registry, ngx_array_t *remotes);
size_t ngx_http_acr_metrics_remotes_size(ngx_http_acr_registry_t *registry,
    ngx_array_t *remotes);


#endif /* NGX_HTTP_ACR_METRICS_H */
