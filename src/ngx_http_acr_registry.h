
/*
 * A registry at work in a worker: its index, and the keeper, which does the
 * background work: it settles what a killed worker left pending, goes on with
 * removals that were cut short, and sweeps staging files of expired sessions.
 * DESIGN "Background work".
 */

#ifndef NGX_HTTP_ACR_REGISTRY_H
#define NGX_HTTP_ACR_REGISTRY_H

#include "ngx_http_acr.h"


/* for init_process and exit_process */
ngx_int_t ngx_http_acr_registry_start(ngx_http_acr_registry_t *registry,
    ngx_cycle_t *cycle);
void ngx_http_acr_registry_stop(ngx_http_acr_registry_t *registry);

/* a text that no other attempt at any work has, on any node; NGX_ERROR: no
   memory */
ngx_int_t ngx_http_acr_registry_token(ngx_http_acr_registry_t *registry,
    ngx_pool_t *pool, ngx_str_t *token);


/* what was begun in the directory and never finished: memory of its owner, all
   zero at first but for the registry */

typedef struct {
    ngx_http_acr_registry_t     *registry;
    ngx_http_acr_task_t          task;
    ngx_http_acr_store_sweep_t  *swept;    /* so far, or NULL */
} ngx_http_acr_sweep_t;

/* removes what is older than acr_upload_expires and an hour, in threads;
   nothing happens while it is at work */
void ngx_http_acr_sweep(ngx_http_acr_sweep_t *sweep);

/* arms registry->keeper, a timer that does not keep an exiting worker alive;
   NGX_ERROR: no memory */
ngx_int_t ngx_http_acr_keeper_start(ngx_http_acr_registry_t *registry,
    ngx_cycle_t *cycle);


#endif /* NGX_HTTP_ACR_REGISTRY_H */
