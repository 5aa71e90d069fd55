
/*
 * A registry at work in a worker: its index, and the background work that the
 * keeper does: settling what a killed worker left pending, going on with
 * removals that were cut short, sweeping staging files of expired sessions.
 */

#ifndef NGX_HTTP_ACR_REGISTRY_H
#define NGX_HTTP_ACR_REGISTRY_H

#include "ngx_http_acr.h"


/* for init_process and exit_process */
ngx_int_t ngx_http_acr_registry_start(ngx_http_acr_registry_t *registry,
    ngx_cycle_t *cycle);
void ngx_http_acr_registry_stop(ngx_http_acr_registry_t *registry);


#endif /* NGX_HTTP_ACR_REGISTRY_H */
