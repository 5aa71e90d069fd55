
/*
 * The collector: removes what nothing refers to.  src/meta/schema.md has the
 * protocol; gc_*.lua are its steps.
 *
 *   ngx_http_acr_collect.c      a run: what is due, in slices
 *   ngx_http_acr_collect_one.c  the collection of one digest
 */

#ifndef NGX_HTTP_ACR_COLLECT_H
#define NGX_HTTP_ACR_COLLECT_H

#include "ngx_http_acr_work.h"


/*
 * NGX_OK: the file is gone, and freed bytes with it (0 if there was none);
 * NGX_DECLINED: it is no candidate any more; NGX_ABORT: it could not be
 * removed, after a log line; NGX_ERROR: Redis, a lock or memory were not to be
 * had, and the keeper takes it up again.
 */
typedef void (*ngx_http_acr_collected_pt)(void *data, ngx_int_t rc,
    off_t freed);


/*
 * Collects a digest if it has been a candidate for age seconds.  NGX_OK: done
 * is called later; NGX_ERROR: no memory, or no digest.
 */
ngx_int_t ngx_http_acr_collect_digest(ngx_http_acr_registry_t *registry,
    ngx_str_t *digest, time_t age, ngx_http_acr_collected_pt done,
    void *data);

/* goes on for a collector that died after its first step */
ngx_int_t ngx_http_acr_collect_resume(ngx_http_acr_registry_t *registry,
    ngx_str_t *digest, ngx_http_acr_collected_pt done, void *data);


#endif /* NGX_HTTP_ACR_COLLECT_H */
