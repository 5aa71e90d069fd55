
#include "ngx_http_acr_v1.h"
#include "../ngx_http_acr_events.h"


#define NGX_HTTP_ACR_EVENTS_PAGE       1000

/* seconds */
#define NGX_HTTP_ACR_EVENTS_WAIT       30
#define NGX_HTTP_ACR_EVENTS_WAIT_MAX   60

/* sequences are exact as numbers of JSON */
#define NGX_HTTP_ACR_EVENTS_AFTER_MAX  ((off_t) 1 << 53)


static ngx_int_t ngx_http_acr_v1_events_args(ngx_http_request_t *r,
    ngx_http_acr_events_wait_t *wait);
static ngx_int_t ngx_http_acr_v1_events_number(ngx_http_request_t *r,
    const char *name, off_t max, off_t *number);
static void ngx_http_acr_v1_events_send(ngx_http_request_t *r,
    ngx_http_acr_events_text_t *text);


/* GET /acr/v1/_events?after=&n=&wait=: of ours, not of ACR's */

void
ngx_http_acr_v1_events_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_http_acr_events_wait_t  *wait;

    wait = ngx_pcalloc(r->pool, sizeof(ngx_http_acr_events_wait_t));

    if (wait == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    if (ngx_http_acr_v1_events_args(r, wait) != NGX_OK) {
        return;
    }

    wait->handler = ngx_http_acr_v1_events_send;

    rc = ngx_http_acr_events_wait(r, wait);

    if (rc == NGX_BUSY) {
        ngx_http_acr_fail(r, ACR_E_UNAVAILABLE, "too many wait for events",
                          NULL, NULL);
        return;
    }

    if (rc != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
    }
}


/* NGX_OK, or NGX_DONE after it has failed the request */

static ngx_int_t
ngx_http_acr_v1_events_args(ngx_http_request_t *r,
    ngx_http_acr_events_wait_t *wait)
{
    off_t  n, seconds;

    n = NGX_HTTP_ACR_EVENTS_PAGE;
    seconds = NGX_HTTP_ACR_EVENTS_WAIT;

    wait->after = -1;

    if (ngx_http_acr_v1_events_number(r, "after",
                                      NGX_HTTP_ACR_EVENTS_AFTER_MAX,
                                      &wait->after)
        != NGX_OK
        || ngx_http_acr_v1_events_number(r, "wait", NGX_MAX_OFF_T_VALUE,
                                         &seconds)
           != NGX_OK
        || ngx_http_acr_v1_events_number(r, "n", NGX_MAX_OFF_T_VALUE, &n)
           != NGX_OK)
    {
        return NGX_DONE;
    }

    if (n == 0) {
        ngx_http_acr_fail(r, ACR_E_PAGINATION_NUMBER_INVALID, NULL, NULL,
                          NULL);
        return NGX_DONE;
    }

    wait->n = (ngx_uint_t) ngx_min(n, NGX_HTTP_ACR_EVENTS_PAGE);
    wait->wait = (ngx_msec_t) ngx_min(seconds, NGX_HTTP_ACR_EVENTS_WAIT_MAX)
                 * 1000;

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_v1_events_number(ngx_http_request_t *r, const char *name,
    off_t max, off_t *number)
{
    off_t      value;
    ngx_int_t  rc;
    ngx_str_t  text;

    rc = ngx_http_acr_arg(r, name, &text);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    if (rc != NGX_OK) {
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_REQUEST, ACR_E_UNSUPPORTED,
                                 "the query is malformed", "query", &r->args);
        return NGX_DONE;
    }

    value = ngx_atoof(text.data, text.len);

    if (value == NGX_ERROR || value > max) {
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_REQUEST, ACR_E_UNSUPPORTED,
                                 "this is no such number", name, &text);
        return NGX_DONE;
    }

    *number = value;

    return NGX_OK;
}


static void
ngx_http_acr_v1_events_send(ngx_http_request_t *r,
    ngx_http_acr_events_text_t *text)
{
    static ngx_str_t  no_store = ngx_string("no-store");

    if (text == NULL) {
        ngx_http_acr_fail(r, ACR_E_UNAVAILABLE, "the index does not answer",
                          NULL, NULL);
        return;
    }

    if (ngx_http_acr_events_keep(r, text) != NGX_OK
        || ngx_http_acr_header(r, "Cache-Control", &no_store) != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_send_body(r, NGX_HTTP_OK, NGX_HTTP_ACR_JSON_UTF8,
                           text->text.data, text->text.len);
}
