
/*
 * What an edge node keeps, within the limits of acr_edge_cache.
 *
 *     ngx_http_acr_evict.c   the manager: removes what was not used for long
 *     ngx_http_acr_used.c    notes what is used
 *
 * One worker of a node manages, in slices in "acr_slow".  A walk over all blobs
 * counts them, removes those that are inactive, and finds the oldest, so many
 * that memory is bounded; these go one by one whenever there is too much, until
 * none of them is left and the next walk is needed.  How much there is stands
 * in the gauges of acr_zone: walks set them, and fills and removals change them
 * in between.
 *
 * A blob may be removed at any time.  Who has its file open reads on, all
 * others see that it is gone, and fetch it again.
 */

#ifndef NGX_HTTP_ACR_EVICT_H
#define NGX_HTTP_ACR_EVICT_H

#include "../ngx_http_acr.h"


/* for init_process, of an edge node; arms registry->keeper in the worker that
   manages.  NGX_ERROR: no memory. */
ngx_int_t ngx_http_acr_evict_start(ngx_http_acr_registry_t *registry,
    ngx_cycle_t *cycle);

/* a blob of that size came in */
void ngx_http_acr_evict_stored(ngx_http_acr_registry_t *registry, off_t size);

/* a blob is sent from its file; a thread notes it, if that was not noted
   lately */
void ngx_http_acr_used(ngx_http_acr_registry_t *registry,
    acr_digest_t *digest);

/* NGX_ERROR: no memory */
ngx_int_t ngx_http_acr_used_start(ngx_http_acr_registry_t *registry,
    ngx_cycle_t *cycle);

/* seconds between two notes: a use may be so much later than is known */
time_t ngx_http_acr_used_grain(ngx_http_acr_registry_t *registry);


#endif /* NGX_HTTP_ACR_EVICT_H */
