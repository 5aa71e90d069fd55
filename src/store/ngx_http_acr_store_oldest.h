
/*
 * Of any number of blobs those that were not used for the longest time, so many
 * at most: no blob that is not among them is older than one that is.
 *
 * A use makes a blob newer, and a new one is newer than all.  So what is here
 * stays the oldest, in this order, whatever happens later, but for what was
 * used or removed meanwhile: ngx_http_acr_store_evict() finds that.
 */

#ifndef NGX_HTTP_ACR_STORE_OLDEST_H
#define NGX_HTTP_ACR_STORE_OLDEST_H

#include "ngx_http_acr_store.h"


typedef struct {
    int64_t                      used;     /* microseconds */
    off_t                        size;
    acr_digest_t                 digest;
} ngx_http_acr_store_aged_t;


typedef struct {
    ngx_http_acr_store_aged_t   *elts;     /* memory of the owner, for max */
    ngx_uint_t                   max;
    ngx_uint_t                   n;
    ngx_uint_t                   next;
    unsigned                     more:1;   /* there were others */
} ngx_http_acr_store_oldest_t;


/* none yet; elts and max are set */
void ngx_http_acr_store_oldest_clear(ngx_http_acr_store_oldest_t *oldest);

/* one blob of all; it is copied if it is one of the oldest so far */
void ngx_http_acr_store_oldest_add(ngx_http_acr_store_oldest_t *oldest,
    ngx_http_acr_store_aged_t *aged);

/* after the last one was added, and before the first is taken */
void ngx_http_acr_store_oldest_sort(ngx_http_acr_store_oldest_t *oldest);

/* the oldest that was not taken yet, or NULL */
ngx_http_acr_store_aged_t *ngx_http_acr_store_oldest_next(
    ngx_http_acr_store_oldest_t *oldest);


#endif /* NGX_HTTP_ACR_STORE_OLDEST_H */
