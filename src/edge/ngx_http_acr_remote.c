
#include "ngx_http_acr_remote_core.h"


/* room for the body that comes with a challenge, if the owner wants less */
#define NGX_HTTP_ACR_REMOTE_MAX  16384


static void ngx_http_acr_remote_looked(ngx_http_acr_wait_t *wait);
static void ngx_http_acr_remote_begin(ngx_http_acr_remote_request_t *request);
static ngx_int_t ngx_http_acr_remote_pass(
    ngx_http_acr_remote_request_t *request);
static void ngx_http_acr_remote_authorize(
    ngx_http_acr_remote_request_t *request);
static ngx_int_t ngx_http_acr_remote_headed(ngx_http_acr_fetch_t *fetch);
static ngx_int_t ngx_http_acr_remote_piece(ngx_http_acr_fetch_t *fetch,
    u_char *p, size_t n);
static ngx_int_t ngx_http_acr_remote_owner(
    ngx_http_acr_remote_request_t *request, ngx_int_t rc);
static void ngx_http_acr_remote_fetched(ngx_http_acr_fetch_t *fetch);
static ngx_uint_t ngx_http_acr_remote_asks(
    ngx_http_acr_remote_request_t *request);
static void ngx_http_acr_remote_answered(
    ngx_http_acr_remote_request_t *request);
static void ngx_http_acr_remote_event(ngx_event_t *ev);
static void ngx_http_acr_remote_end(ngx_http_acr_remote_request_t *request);
static void ngx_http_acr_remote_unsure(
    ngx_http_acr_remote_request_t *request);


ngx_int_t
ngx_http_acr_remote_start(ngx_http_acr_remote_request_t *request)
{
    ngx_http_acr_remote_t  *remote;

    remote = request->remote;

    if (remote->client == NULL) {
        return NGX_ERROR;
    }

    request->result = NGX_HTTP_ACR_REMOTE_FAILED;
    request->status = 0;
    ngx_str_null(&request->answer);
    ngx_str_null(&request->error);
    request->wait = 0;
    request->bearer = 0;
    request->basic = 0;

    request->token = NULL;
    request->stamp = 0;
    request->active = 1;
    request->waiting = 0;
    request->probe = 0;
    request->told = 0;
    request->refused = 0;
    request->challenged = 0;

    request->event.data = request;
    request->event.handler = ngx_http_acr_remote_event;
    request->event.log = remote->log;

    if (request->nheaders > NGX_HTTP_ACR_REMOTE_HEADERS
        || request->scope.len > NGX_HTTP_ACR_REMOTE_SCOPE
        || request->path.len == 0 || request->path.data[0] != '/')
    {
        ngx_http_acr_remote_fail(request, NGX_HTTP_ACR_REMOTE_FAILED,
                                 "it is no request for a registry");
        return NGX_OK;
    }

    request->waiter.ready = ngx_http_acr_remote_looked;
    request->waiter.data = request;

    if (remote->credentials
        && ngx_http_acr_credentials_look(remote->credentials,
                                         &request->waiter)
           == NGX_AGAIN)
    {
        request->waiting = 1;
        return NGX_OK;
    }

    ngx_http_acr_remote_begin(request);

    return NGX_OK;
}


void
ngx_http_acr_remote_cancel(ngx_http_acr_remote_request_t *request)
{
    if (!request->active) {
        return;
    }

    request->active = 0;

    ngx_http_acr_fetch_cancel(&request->fetch);

    if (request->waiting) {
        ngx_queue_remove(&request->waiter.queue);
        request->waiting = 0;
    }

    if (request->event.posted) {
        ngx_delete_posted_event(&request->event);
    }

    ngx_http_acr_remote_unsure(request);
}


void
ngx_http_acr_remote_resume(ngx_http_acr_remote_request_t *request)
{
    ngx_http_acr_fetch_resume(&request->fetch);
}


ngx_int_t
ngx_http_acr_remote_header(ngx_http_acr_remote_request_t *request,
    const char *name, ngx_str_t *value)
{
    if (request->status == 0) {
        return NGX_DECLINED;
    }

    return ngx_http_acr_fetch_header(&request->fetch, name, value);
}


static void
ngx_http_acr_remote_looked(ngx_http_acr_wait_t *wait)
{
    ngx_http_acr_remote_request_t  *request;

    request = wait->data;
    request->waiting = 0;

    ngx_http_acr_remote_begin(request);
}


static void
ngx_http_acr_remote_begin(ngx_http_acr_remote_request_t *request)
{
    request->wait = ngx_http_acr_remote_limited(request->remote);

    if (request->wait) {
        ngx_http_acr_remote_fail(request, NGX_HTTP_ACR_REMOTE_LIMITED,
                                 "it is not to be asked for another %ui s",
                                 request->wait);
        return;
    }

    if (ngx_http_acr_remote_pass(request) != NGX_OK) {
        ngx_http_acr_remote_fail(request, NGX_HTTP_ACR_REMOTE_FAILED,
                                 "it is assumed to be down");
        return;
    }

    ngx_http_acr_remote_authorize(request);
}


static ngx_int_t
ngx_http_acr_remote_pass(ngx_http_acr_remote_request_t *request)
{
    ngx_int_t               rc;
    ngx_msec_t              timeout;
    ngx_http_acr_remote_t  *remote;

    remote = request->remote;
    timeout = request->timeout ? request->timeout : remote->timeout;

    /* of those who insist the outcome counts as that of a probe */

    rc = request->insist ? NGX_DONE
                         : ngx_http_acr_breaker_pass(&remote->state->breaker,
                                                     ngx_current_msec,
                                                     timeout);

    request->probe = (rc == NGX_DONE);

    return (rc == NGX_DECLINED) ? NGX_DECLINED : NGX_OK;
}


/* as the remote has wanted it the last time */

static void
ngx_http_acr_remote_authorize(ngx_http_acr_remote_request_t *request)
{
    ngx_http_acr_remote_t  *remote;

    static ngx_str_t  nothing = ngx_null_string;

    remote = request->remote;

    if (remote->known && remote->scheme == ACR_CHALLENGE_BEARER) {
        ngx_http_acr_remote_token(request, &request->scope);

    } else if (remote->known && remote->credentials
               && remote->credentials->user.text.len)
    {
        ngx_http_acr_remote_basic(request);

    } else {
        ngx_http_acr_remote_send(request, &nothing);
    }
}


void
ngx_http_acr_remote_basic(ngx_http_acr_remote_request_t *request)
{
    ngx_str_t  value;

    if (ngx_http_acr_credentials_basic(request->remote->credentials, &value)
        != NGX_OK)
    {
        ngx_http_acr_remote_fail(request, NGX_HTTP_ACR_REMOTE_FAILED,
                                 "no memory");
        return;
    }

    request->basic = 1;
    request->bearer = 0;

    ngx_http_acr_remote_send(request, &value);

    ngx_explicit_memzero(value.data, value.len);
    ngx_free(value.data);
}


void
ngx_http_acr_remote_send(ngx_http_acr_remote_request_t *request,
    ngx_str_t *authorization)
{
    ngx_int_t                     rc;
    ngx_http_acr_fetch_t         *fetch;
    ngx_http_acr_remote_t        *remote;
    ngx_http_acr_fetch_header_t   headers[NGX_HTTP_ACR_REMOTE_HEADERS + 1];

    remote = request->remote;
    fetch = &request->fetch;

    if (request->nheaders) {
        ngx_memcpy(headers, request->headers,
                   request->nheaders * sizeof(ngx_http_acr_fetch_header_t));
    }

    fetch->headers = headers;
    fetch->nheaders = request->nheaders;

    if (authorization->len) {
        ngx_str_set(&headers[fetch->nheaders].name, "Authorization");
        headers[fetch->nheaders].value = *authorization;
        fetch->nheaders++;
    }

    fetch->url.len = remote->url.len + request->path.len;
    fetch->url.data = ngx_alloc(fetch->url.len, remote->log);

    if (fetch->url.data == NULL) {
        ngx_http_acr_remote_fail(request, NGX_HTTP_ACR_REMOTE_FAILED,
                                 "no memory");
        return;
    }

    ngx_memcpy(ngx_cpymem(fetch->url.data, remote->url.data, remote->url.len),
               request->path.data, request->path.len);

    fetch->written = remote->url;
    fetch->method = request->method;
    fetch->max = ngx_max(request->max, NGX_HTTP_ACR_REMOTE_MAX);
    fetch->connect = remote->connect;
    fetch->idle = request->idle;
    fetch->timeout = (request->timeout || request->idle) ? request->timeout
                                                         : remote->timeout;
    fetch->head = ngx_http_acr_remote_headed;
    fetch->piece = request->piece ? ngx_http_acr_remote_piece : NULL;
    fetch->done = ngx_http_acr_remote_fetched;
    fetch->data = request;

    rc = ngx_http_acr_fetch_start(remote->client, fetch);

    /* texts were copied */

    ngx_free(fetch->url.data);

    if (rc != NGX_OK) {
        ngx_http_acr_remote_fail(request, NGX_HTTP_ACR_REMOTE_FAILED,
                                 "no memory");
    }
}


/* from within libcurl */

static ngx_int_t
ngx_http_acr_remote_headed(ngx_http_acr_fetch_t *fetch)
{
    ngx_http_acr_remote_request_t  *request;

    request = fetch->data;

    ngx_http_acr_remote_told(request);

    request->status = fetch->status;
    request->result = ngx_http_acr_remote_result(fetch);

    if (request->result == NGX_HTTP_ACR_REMOTE_LIMITED) {
        request->wait = ngx_http_acr_remote_retry_after(fetch);
    }

    if (request->result != NGX_HTTP_ACR_REMOTE_OK || request->piece == NULL) {
        return NGX_DECLINED;
    }

    return request->head
           ? ngx_http_acr_remote_owner(request, request->head(request))
           : NGX_OK;
}


static ngx_int_t
ngx_http_acr_remote_piece(ngx_http_acr_fetch_t *fetch, u_char *p, size_t n)
{
    ngx_http_acr_remote_request_t  *request;

    request = fetch->data;

    return ngx_http_acr_remote_owner(request, request->piece(request, p, n));
}


/* what it does not want says nothing of the remote */

static ngx_int_t
ngx_http_acr_remote_owner(ngx_http_acr_remote_request_t *request,
    ngx_int_t rc)
{
    if (rc == NGX_ERROR) {
        request->refused = 1;
        request->fetch.error = request->error;
    }

    return rc;
}


static void
ngx_http_acr_remote_fetched(ngx_http_acr_fetch_t *fetch)
{
    ngx_http_acr_remote_request_t  *request;

    request = fetch->data;

    /* no answer, or no whole one */

    if (fetch->status == 0 && !request->refused) {
        ngx_http_acr_remote_told(request);
    }

    if (ngx_http_acr_remote_asks(request)) {
        request->challenged = 1;

        if (ngx_http_acr_remote_challenge(request) == NGX_OK) {
            return;
        }
    }

    ngx_http_acr_remote_answered(request);
}


/* a challenge of somebody else is none of the remote's */

static ngx_uint_t
ngx_http_acr_remote_asks(ngx_http_acr_remote_request_t *request)
{
    ngx_http_acr_fetch_t  *fetch;

    fetch = &request->fetch;

    return fetch->status == NGX_HTTP_UNAUTHORIZED && !fetch->elsewhere
           && !request->challenged;
}


static void
ngx_http_acr_remote_answered(ngx_http_acr_remote_request_t *request)
{
    ngx_http_acr_fetch_t  *fetch;

    fetch = &request->fetch;

    request->answer = fetch->answer;

    /* an error that was too long is an answer all the same */

    if (fetch->status || !fetch->large
        || request->result == NGX_HTTP_ACR_REMOTE_OK)
    {
        request->status = fetch->status;
    }

    if (request->status == 0) {
        request->result = NGX_HTTP_ACR_REMOTE_FAILED;
        ngx_http_acr_remote_error(request, "%V", &fetch->error);

    } else if (request->result == NGX_HTTP_ACR_REMOTE_OK
               && fetch->answer.len > request->max)
    {
        request->result = NGX_HTTP_ACR_REMOTE_FAILED;
        ngx_http_acr_remote_error(request, "its answer has more than %uz "
                                  "bytes", request->max);

    } else if (request->result != NGX_HTTP_ACR_REMOTE_OK
               && request->error.len == 0)
    {
        ngx_http_acr_remote_error(request, "it answers %ui%s", request->status,
                                  fetch->elsewhere ? ", where it redirects to"
                                                   : "");
    }

    ngx_http_acr_remote_end(request);
}


void
ngx_http_acr_remote_fail(ngx_http_acr_remote_request_t *request,
    ngx_http_acr_remote_result_e result, const char *fmt, ...)
{
    u_char   *last;
    va_list   args;

    request->result = result;
    request->status = 0;
    request->error.data = request->text;

    va_start(args, fmt);
    last = ngx_vslprintf(request->text,
                         request->text + sizeof(request->text) - 1, fmt, args);
    va_end(args);

    *last = '\0';
    request->error.len = last - request->text;

    /* the next events, since the loop may not have begun to wait for any */

    ngx_post_event(&request->event, &ngx_posted_next_events);
}


static void
ngx_http_acr_remote_event(ngx_event_t *ev)
{
    ngx_http_acr_remote_end(ev->data);
}


static void
ngx_http_acr_remote_end(ngx_http_acr_remote_request_t *request)
{
    request->active = 0;

    ngx_http_acr_remote_unsure(request);

    request->done(request);
}


void
ngx_http_acr_remote_error(ngx_http_acr_remote_request_t *request,
    const char *fmt, ...)
{
    u_char   *last;
    va_list   args;

    va_start(args, fmt);
    last = ngx_vslprintf(request->text,
                         request->text + sizeof(request->text) - 1, fmt, args);
    va_end(args);

    *last = '\0';

    request->error.data = request->text;
    request->error.len = last - request->text;
}


/* a probe that has told nothing must not be waited for */

static void
ngx_http_acr_remote_unsure(ngx_http_acr_remote_request_t *request)
{
    if (request->probe && !request->told && !request->insist) {
        ngx_http_acr_breaker_unsure(&request->remote->state->breaker,
                                    ngx_current_msec);
    }

    request->probe = 0;
}
