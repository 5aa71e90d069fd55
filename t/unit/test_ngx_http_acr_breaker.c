
#include "ngx_http_acr_breaker.h"
#include "tap.h"


static ngx_http_acr_breaker_t  breaker;


static void
left(ngx_msec_t now, int open, ngx_msec_t want, const char *name)
{
    ngx_msec_t  got;

    is_int(ngx_http_acr_breaker_open(&breaker, now, &got), open, "%s", name);
    is_int(got, want, "for %u ms", (unsigned) want);
}


/* at a time "now", from closed to closed */

static void
cycle(ngx_msec_t now)
{
    int         i;
    ngx_msec_t  pause;

    memset(&breaker, 0, sizeof(breaker));

    left(now, 0, 0, "closed");
    is_int(ngx_http_acr_breaker_pass(&breaker, now, 10), NGX_OK, "passes");
    is_int(ngx_http_acr_breaker_good(&breaker), 0, "good is no news");

    is_int(ngx_http_acr_breaker_bad(&breaker, now, 0), 1, "the first failure");
    is_int(ngx_http_acr_breaker_bad(&breaker, now, 0), 0, "one that was on");
    left(now, 1, 1000, "open");
    is_int(ngx_http_acr_breaker_pass(&breaker, now + 999, 10), NGX_DECLINED,
           "nobody passes");

    now += 1000;
    left(now, 1, 0, "still open");

    for (i = 0, pause = 2000; i < 8; i++) {
        is_int(ngx_http_acr_breaker_pass(&breaker, now, 10), NGX_DONE,
               "the probe passes");
        is_int(ngx_http_acr_breaker_pass(&breaker, now, 10), NGX_DECLINED,
               "and nobody else");
        is_int(ngx_http_acr_breaker_bad(&breaker, now, 1), 0, "it fails");
        left(now, 1, pause, "open");

        now += pause;
        pause = pause > 15000 ? 30000 : 2 * pause;
    }

    /* a probe that tells nothing, and one of which nobody hears */

    is_int(ngx_http_acr_breaker_pass(&breaker, now, 10), NGX_DONE, "another");
    ngx_http_acr_breaker_unsure(&breaker, now);
    is_int(ngx_http_acr_breaker_pass(&breaker, now, 40000), NGX_DONE,
           "and another");
    is_int(ngx_http_acr_breaker_pass(&breaker, now + 39999, 10), NGX_DECLINED,
           "which has its time");

    now += 40000;
    is_int(ngx_http_acr_breaker_pass(&breaker, now, 10), NGX_DONE,
           "the next one");
    is_int(ngx_http_acr_breaker_good(&breaker), 1, "is good");
    is_int(ngx_http_acr_breaker_good(&breaker), 0, "once");
    left(now, 0, 0, "closed");
    is_int(ngx_http_acr_breaker_pass(&breaker, now, 10), NGX_OK, "passes");

    ngx_http_acr_breaker_unsure(&breaker, now);
    left(now, 0, 0, "nothing to be unsure of");

    is_int(ngx_http_acr_breaker_bad(&breaker, now, 1), 1, "a failure");
    left(now, 1, 1000, "begins anew");
}


int
main(void)
{
    cycle(1000000);

    /* the clock may pass zero */

    cycle((ngx_msec_t) -500);
    cycle((ngx_msec_t) -1001);
    cycle((ngx_msec_t) -40001);

    return done();
}
