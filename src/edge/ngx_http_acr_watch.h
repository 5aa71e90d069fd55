
/*
 * What changes at the origin of an edge node: one worker keeps asking it for
 * its events (GET /acr/v1/_events, a long poll), and what the node has of a
 * repository in which something has changed is out of date from then on
 * (ngx_http_acr_generation_raise()).  If some events were missed, all of it is.
 *
 * It only makes that known sooner: while an origin cannot be watched, or has no
 * events, what is cached is good for as long as its directives say.
 */

#ifndef NGX_HTTP_ACR_WATCH_H
#define NGX_HTTP_ACR_WATCH_H

#include "../ngx_http_acr.h"


typedef struct ngx_http_acr_watch_s  ngx_http_acr_watch_t;

/* for init_process and exit_process; NGX_ERROR: no memory */
ngx_int_t ngx_http_acr_watch_start(ngx_http_acr_registry_t *registry,
    ngx_cycle_t *cycle);
void ngx_http_acr_watch_stop(ngx_http_acr_registry_t *registry);


#endif /* NGX_HTTP_ACR_WATCH_H */
