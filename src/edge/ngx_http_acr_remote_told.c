
/*
 * What an answer, or that there is none, tells of the remote.
 */

#include "ngx_http_acr_remote_core.h"
#include "../oci/acr_ratelimit.h"


static void ngx_http_acr_remote_limits(ngx_http_acr_remote_t *remote,
    ngx_http_acr_fetch_t *fetch);
static void ngx_http_acr_remote_later(ngx_http_acr_remote_t *remote,
    ngx_atomic_t *until, ngx_http_acr_fetch_t *fetch, const char *what);
static ngx_uint_t ngx_http_acr_remote_down(ngx_http_acr_fetch_t *fetch);
static ngx_int_t ngx_http_acr_remote_ratelimit(ngx_http_acr_fetch_t *fetch,
    const char *name, acr_ratelimit_t *limit);
static void ngx_http_acr_remote_break(ngx_http_acr_remote_t *remote,
    ngx_http_acr_breaker_t *breaker, ngx_http_acr_fetch_t *fetch,
    ngx_uint_t probe, const char *what);


void
ngx_http_acr_remote_told(ngx_http_acr_remote_request_t *request)
{
    ngx_http_acr_fetch_t   *fetch;
    ngx_http_acr_remote_t  *remote;

    remote = request->remote;
    fetch = &request->fetch;

    if (fetch->status && !fetch->elsewhere) {
        ngx_http_acr_remote_limits(remote, fetch);
        ngx_http_acr_remote_later(remote, &remote->state->until, fetch, "");
    }

    ngx_http_acr_remote_break(remote, &remote->state->breaker, fetch,
                              request->probe, "");

    request->told = 1;
    request->probe = 0;
}


void
ngx_http_acr_remote_told_service(ngx_http_acr_remote_t *remote,
    ngx_http_acr_fetch_t *fetch, ngx_uint_t probe)
{
    if (fetch->status && !fetch->elsewhere) {
        ngx_http_acr_remote_later(remote, &remote->state->service_until,
                                  fetch, "the token service of ");
    }

    ngx_http_acr_remote_break(remote, &remote->state->service, fetch, probe,
                              "the token service of ");
}


static void
ngx_http_acr_remote_limits(ngx_http_acr_remote_t *remote,
    ngx_http_acr_fetch_t *fetch)
{
    acr_ratelimit_t               limit;
    ngx_http_acr_remote_state_t  *state;

    state = remote->state;

    if (ngx_http_acr_remote_ratelimit(fetch, "RateLimit-Limit", &limit)
        == NGX_OK)
    {
        state->limit = limit.count + 1;
        state->window = limit.window;
    }

    if (ngx_http_acr_remote_ratelimit(fetch, "RateLimit-Remaining", &limit)
        == NGX_OK)
    {
        state->remaining = limit.count + 1;
    }
}


static void
ngx_http_acr_remote_later(ngx_http_acr_remote_t *remote, ngx_atomic_t *until,
    ngx_http_acr_fetch_t *fetch, const char *what)
{
    ngx_msec_t  time;
    ngx_uint_t  seconds;

    if (ngx_http_acr_remote_result(fetch) != NGX_HTTP_ACR_REMOTE_LIMITED) {
        return;
    }

    seconds = ngx_http_acr_remote_retry_after(fetch);

    if (seconds == 0) {
        return;
    }

    if (ngx_http_acr_remote_seconds(*until) == 0) {
        ngx_log_error(NGX_LOG_WARN, remote->log, 0,
                      "acr: %sremote \"%V\" answers %ui, and is not asked for "
                      "%ui s", what, &remote->host, fetch->status, seconds);
    }

    time = ngx_current_msec + seconds * 1000;

    *until = time ? time : 1;
}


static ngx_int_t
ngx_http_acr_remote_ratelimit(ngx_http_acr_fetch_t *fetch, const char *name,
    acr_ratelimit_t *limit)
{
    ngx_str_t  value;

    if (ngx_http_acr_fetch_header(fetch, name, &value) != NGX_OK) {
        return NGX_DECLINED;
    }

    return acr_ratelimit_parse(limit, value.data, value.len) == ACR_OK
           ? NGX_OK : NGX_DECLINED;
}


ngx_uint_t
ngx_http_acr_remote_retry_after(ngx_http_acr_fetch_t *fetch)
{
    time_t     date;
    int64_t    seconds;
    ngx_str_t  value;

    if (ngx_http_acr_fetch_header(fetch, "Retry-After", &value) != NGX_OK) {
        return 0;
    }

    if (acr_retry_after_parse(&seconds, value.data, value.len) != ACR_OK) {
        date = ngx_parse_http_time(value.data, value.len);

        if (date == NGX_ERROR) {
            return 0;
        }

        seconds = date - ngx_time();
    }

    if (seconds <= 0) {
        return 0;
    }

    return ngx_min(seconds, NGX_HTTP_ACR_REMOTE_WAIT / 1000);
}


ngx_uint_t
ngx_http_acr_remote_limited(ngx_http_acr_remote_t *remote)
{
    return ngx_http_acr_remote_seconds(remote->state->until);
}


ngx_uint_t
ngx_http_acr_remote_seconds(ngx_msec_t until)
{
    ngx_msec_t  left;

    left = until - ngx_current_msec;

    /* a time from long ago must not become one to come */

    if (until == 0 || (ngx_msec_int_t) left <= 0
        || left > NGX_HTTP_ACR_REMOTE_WAIT)
    {
        return 0;
    }

    return (left + 999) / 1000;
}


ngx_http_acr_remote_result_e
ngx_http_acr_remote_result(ngx_http_acr_fetch_t *fetch)
{
    switch (fetch->status) {

    case NGX_HTTP_NOT_MODIFIED:
        return NGX_HTTP_ACR_REMOTE_OK;

    case NGX_HTTP_UNAUTHORIZED:
    case NGX_HTTP_FORBIDDEN:
        return NGX_HTTP_ACR_REMOTE_DENIED;

    case NGX_HTTP_NOT_FOUND:
    case 410:
        return NGX_HTTP_ACR_REMOTE_MISSING;

    case NGX_HTTP_TOO_MANY_REQUESTS:
        return NGX_HTTP_ACR_REMOTE_LIMITED;

    case NGX_HTTP_SERVICE_UNAVAILABLE:
        return ngx_http_acr_remote_retry_after(fetch)
               ? NGX_HTTP_ACR_REMOTE_LIMITED : NGX_HTTP_ACR_REMOTE_FAILED;

    default:
        return (fetch->status >= 200 && fetch->status < 300)
               ? NGX_HTTP_ACR_REMOTE_OK : NGX_HTTP_ACR_REMOTE_FAILED;
    }
}


static ngx_uint_t
ngx_http_acr_remote_down(ngx_http_acr_fetch_t *fetch)
{
    /* who redirects has answered, and who sends too much as well */

    if (fetch->elsewhere || fetch->large) {
        return 0;
    }

    if (fetch->status == 0) {
        return 1;
    }

    return fetch->status >= 500
           && ngx_http_acr_remote_result(fetch) == NGX_HTTP_ACR_REMOTE_FAILED;
}


static void
ngx_http_acr_remote_break(ngx_http_acr_remote_t *remote,
    ngx_http_acr_breaker_t *breaker, ngx_http_acr_fetch_t *fetch,
    ngx_uint_t probe, const char *what)
{
    if (!ngx_http_acr_remote_down(fetch)) {

        if (ngx_http_acr_breaker_good(breaker)) {
            ngx_log_error(NGX_LOG_NOTICE, remote->log, 0,
                          "acr: %sremote \"%V\" answers again", what,
                          &remote->host);
        }

        return;
    }

    /* what a worker that is to end does not wait for says nothing */

    if (ngx_exiting || ngx_terminate) {

        if (probe) {
            ngx_http_acr_breaker_unsure(breaker, ngx_current_msec);
        }

        return;
    }

    if (!ngx_http_acr_breaker_bad(breaker, ngx_current_msec, probe)) {
        return;
    }

    if (fetch->status) {
        ngx_log_error(NGX_LOG_WARN, remote->log, 0,
                      "acr: %sremote \"%V\" is assumed to be down: it answers "
                      "%ui", what, &remote->host, fetch->status);

    } else {
        ngx_log_error(NGX_LOG_WARN, remote->log, 0,
                      "acr: %sremote \"%V\" is assumed to be down: %V", what,
                      &remote->host, &fetch->error);
    }
}
