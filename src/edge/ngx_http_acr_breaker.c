
#include "ngx_http_acr_breaker.h"


static ngx_atomic_uint_t ngx_http_acr_breaker_until(ngx_msec_t now,
    ngx_msec_t ms);
static ngx_msec_t ngx_http_acr_breaker_pause(ngx_uint_t failures);


ngx_int_t
ngx_http_acr_breaker_pass(ngx_http_acr_breaker_t *breaker, ngx_msec_t now,
    ngx_msec_t patience)
{
    ngx_msec_t         pause;
    ngx_atomic_uint_t  until;

    until = breaker->until;

    if (until == 0) {
        return NGX_OK;
    }

    if ((ngx_msec_int_t) (until - now) > 0) {
        return NGX_DECLINED;
    }

    /* a probe whose process has died is followed by another */

    pause = ngx_http_acr_breaker_pause(breaker->failures);
    pause = ngx_max(pause, patience);

    if (ngx_atomic_cmp_set(&breaker->until, until,
                           ngx_http_acr_breaker_until(now, pause)))
    {
        return NGX_DONE;
    }

    return breaker->until ? NGX_DECLINED : NGX_OK;
}


ngx_uint_t
ngx_http_acr_breaker_good(ngx_http_acr_breaker_t *breaker)
{
    ngx_atomic_uint_t  until;

    until = breaker->until;

    if (until == 0) {
        return 0;
    }

    breaker->failures = 0;

    return ngx_atomic_cmp_set(&breaker->until, until, 0);
}


/* those that were under way when it was opened are no news */

ngx_uint_t
ngx_http_acr_breaker_bad(ngx_http_acr_breaker_t *breaker, ngx_msec_t now,
    ngx_uint_t probe)
{
    ngx_msec_t  pause;

    if (breaker->until == 0) {
        breaker->failures = 1;
        pause = ngx_http_acr_breaker_pause(1);

        return ngx_atomic_cmp_set(&breaker->until, 0,
                                  ngx_http_acr_breaker_until(now, pause));
    }

    if (probe) {
        breaker->failures++;
        pause = ngx_http_acr_breaker_pause(breaker->failures);
        breaker->until = ngx_http_acr_breaker_until(now, pause);
    }

    return 0;
}


void
ngx_http_acr_breaker_unsure(ngx_http_acr_breaker_t *breaker, ngx_msec_t now)
{
    ngx_atomic_uint_t  until;

    until = breaker->until;

    if (until) {
        (void) ngx_atomic_cmp_set(&breaker->until, until,
                                  ngx_http_acr_breaker_until(now, 0));
    }
}


ngx_uint_t
ngx_http_acr_breaker_open(ngx_http_acr_breaker_t *breaker, ngx_msec_t now,
    ngx_msec_t *left)
{
    ngx_atomic_uint_t  until;

    until = breaker->until;

    *left = (until && (ngx_msec_int_t) (until - now) > 0) ? until - now : 0;

    return until != 0;
}


/* 0 has a meaning of its own */

static ngx_atomic_uint_t
ngx_http_acr_breaker_until(ngx_msec_t now, ngx_msec_t ms)
{
    return (now + ms) ? now + ms : 1;
}


static ngx_msec_t
ngx_http_acr_breaker_pause(ngx_uint_t failures)
{
    ngx_msec_t  pause;

    pause = NGX_HTTP_ACR_BREAKER_MIN;

    while (failures > 1 && pause < NGX_HTTP_ACR_BREAKER_MAX) {
        pause *= 2;
        failures--;
    }

    return ngx_min(pause, NGX_HTTP_ACR_BREAKER_MAX);
}
