
/*
 * A breaker: somebody who has not answered is assumed to be down for a while,
 * in which nobody waits for them.  The first failure is good for a second, each
 * further one for twice as long, 30 s at most.  After that one question is let
 * through, the probe; what becomes of it decides.
 *
 * It has no pointers and is all zero at first, so it may be in shared memory;
 * its functions may be called by several processes at once.  Times are ms of
 * ngx_current_msec, which is the same in all processes of a machine.
 */

#ifndef NGX_HTTP_ACR_BREAKER_H
#define NGX_HTTP_ACR_BREAKER_H

#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_ACR_BREAKER_MIN  1000
#define NGX_HTTP_ACR_BREAKER_MAX  30000


typedef struct {
    ngx_atomic_t   failures;    /* in a row */
    ngx_atomic_t   until;       /* when the next probe may go; 0: closed, all
                                   is let through */
} ngx_http_acr_breaker_t;


/*
 * May they be asked?  NGX_OK; NGX_DONE: yes, as the probe, which is over after
 * so many ms of patience at the latest; NGX_DECLINED: no.  Who was let through
 * calls one of the functions below when it is known what has become of it.
 */
ngx_int_t ngx_http_acr_breaker_pass(ngx_http_acr_breaker_t *breaker,
    ngx_msec_t now, ngx_msec_t patience);

/* they have answered: 1 if they were assumed to be down until now */
ngx_uint_t ngx_http_acr_breaker_good(ngx_http_acr_breaker_t *breaker);

/* they have not: 1 if they were not assumed to be down until now */
ngx_uint_t ngx_http_acr_breaker_bad(ngx_http_acr_breaker_t *breaker,
    ngx_msec_t now, ngx_uint_t probe);

/* the probe has ended without an outcome: another one may go at once */
void ngx_http_acr_breaker_unsure(ngx_http_acr_breaker_t *breaker,
    ngx_msec_t now);

/* 1 while they are assumed to be down; *left: ms until the next probe, or 0 */
ngx_uint_t ngx_http_acr_breaker_open(ngx_http_acr_breaker_t *breaker,
    ngx_msec_t now, ngx_msec_t *left);


#endif /* NGX_HTTP_ACR_BREAKER_H */
