
/*
 * What becomes of an answer: it is collected, given to its owner piece by
 * piece, or dropped; and how long nothing of it may come.
 *
 * libcurl 7.88 gives what it kept during a pause from within
 * curl_easy_pause(), and 8.22 must not be told to go on from within its
 * callbacks: so that is done from an event, never from where an owner is.
 */

#include "ngx_http_acr_fetch_core.h"


#define NGX_HTTP_ACR_FETCH_FIRST  4096     /* bytes of an answer's buffer */
#define NGX_HTTP_ACR_FETCH_MOVED  65536    /* of a redirect's body are read */


static ngx_uint_t ngx_http_acr_fetch_answer_moved(
    ngx_http_acr_fetch_transfer_t *t);
static size_t ngx_http_acr_fetch_answer_collect(
    ngx_http_acr_fetch_transfer_t *t, char *p, size_t n);
static ngx_int_t ngx_http_acr_fetch_answer_room(
    ngx_http_acr_fetch_transfer_t *t, size_t size);
static size_t ngx_http_acr_fetch_answer_give(ngx_http_acr_fetch_transfer_t *t,
    char *p, size_t n);
static size_t ngx_http_acr_fetch_answer_drop(ngx_http_acr_fetch_transfer_t *t,
    size_t n);
static void ngx_http_acr_fetch_answer_resume(ngx_event_t *ev);
static void ngx_http_acr_fetch_answer_idle(ngx_event_t *ev);


void
ngx_http_acr_fetch_answer_init(ngx_http_acr_fetch_transfer_t *t)
{
    t->idle.data = t;
    t->idle.handler = ngx_http_acr_fetch_answer_idle;
    t->idle.log = t->client->log;
    t->idle.cancelable = 1;

    t->resume.data = t;
    t->resume.handler = ngx_http_acr_fetch_answer_resume;
    t->resume.log = t->client->log;
}


size_t
ngx_http_acr_fetch_answer_header(char *p, size_t size, size_t n, void *data)
{
    ngx_http_acr_fetch_answer_heard(data);

    return size * n;
}


/* libcurl ends the request with an error if less is taken than was given */

size_t
ngx_http_acr_fetch_answer_write(char *p, size_t size, size_t n, void *data)
{
    ngx_http_acr_fetch_transfer_t *t = data;

    if (t->failed.posted) {
        return 0;
    }

    ngx_http_acr_fetch_answer_heard(t);

    if (n == 0) {
        return 0;
    }

    if (t->to == NGX_HTTP_ACR_FETCH_UNKNOWN
        && ngx_http_acr_fetch_answer_head(t) != NGX_OK)
    {
        return 0;
    }

    switch (t->to) {

    case NGX_HTTP_ACR_FETCH_GIVE:
        return ngx_http_acr_fetch_answer_give(t, p, n);

    case NGX_HTTP_ACR_FETCH_DROP:
        return ngx_http_acr_fetch_answer_drop(t, n);

    default:
        return ngx_http_acr_fetch_answer_collect(t, p, n);
    }
}


ngx_int_t
ngx_http_acr_fetch_answer_head(ngx_http_acr_fetch_transfer_t *t)
{
    ngx_int_t              rc;
    ngx_http_acr_fetch_t  *fetch;

    fetch = t->fetch;

    t->status = 0;
    (void) curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->status);

    fetch->easy = t->easy;

    if (ngx_http_acr_fetch_answer_moved(t)) {
        t->to = NGX_HTTP_ACR_FETCH_DROP;
        return NGX_OK;
    }

    fetch->status = t->status;

    rc = fetch->head ? fetch->head(fetch) : NGX_OK;

    if (rc == NGX_ERROR) {
        t->unwanted = 1;
        return NGX_ERROR;
    }

    t->to = (rc == NGX_OK && fetch->piece) ? NGX_HTTP_ACR_FETCH_GIVE
                                           : NGX_HTTP_ACR_FETCH_COLLECT;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_acr_fetch_answer_moved(ngx_http_acr_fetch_transfer_t *t)
{
    ngx_str_t  location;

    switch (t->status) {

    case NGX_HTTP_MOVED_PERMANENTLY:
    case NGX_HTTP_MOVED_TEMPORARILY:
    case NGX_HTTP_SEE_OTHER:
    case NGX_HTTP_TEMPORARY_REDIRECT:
    case NGX_HTTP_PERMANENT_REDIRECT:
        return ngx_http_acr_fetch_header(t->fetch, "Location", &location)
               == NGX_OK;

    default:
        return 0;
    }
}


static size_t
ngx_http_acr_fetch_answer_collect(ngx_http_acr_fetch_transfer_t *t, char *p,
    size_t n)
{
    if (n > t->fetch->max - t->len) {
        t->large = 1;
        return 0;
    }

    if (n > t->size - t->len
        && ngx_http_acr_fetch_answer_room(t, t->len + n) != NGX_OK)
    {
        return 0;
    }

    ngx_memcpy(t->answer + t->len, p, n);
    t->len += n;

    return n;
}


static ngx_int_t
ngx_http_acr_fetch_answer_room(ngx_http_acr_fetch_transfer_t *t, size_t size)
{
    u_char  *answer;

    size = ngx_max(size, 2 * t->size);
    size = ngx_max(size, NGX_HTTP_ACR_FETCH_FIRST);
    size = ngx_min(size, t->fetch->max);

    answer = ngx_alloc(size, t->client->log);

    if (answer == NULL) {
        return NGX_ERROR;
    }

    if (t->answer) {
        ngx_memcpy(answer, t->answer, t->len);
        ngx_free(t->answer);
    }

    t->answer = answer;
    t->size = size;

    return NGX_OK;
}


static size_t
ngx_http_acr_fetch_answer_give(ngx_http_acr_fetch_transfer_t *t, char *p,
    size_t n)
{
    ngx_int_t              rc;
    ngx_http_acr_fetch_t  *fetch;

    fetch = t->fetch;

    rc = fetch->piece(fetch, (u_char *) p, n);

    if (rc == NGX_OK) {
        fetch->received += n;
        return n;
    }

    if (rc == NGX_AGAIN) {
        t->paused = 1;

        if (t->idle.timer_set) {
            ngx_del_timer(&t->idle);
        }

        return CURL_WRITEFUNC_PAUSE;
    }

    t->unwanted = 1;

    return 0;
}


/* a short one is read, a long one is not worth it */

static size_t
ngx_http_acr_fetch_answer_drop(ngx_http_acr_fetch_transfer_t *t, size_t n)
{
    t->len += n;

    if (t->len > NGX_HTTP_ACR_FETCH_MOVED) {
        t->enough = 1;
        return 0;
    }

    return n;
}


/* the next events: an owner that is always ready lets others have their turn */

void
ngx_http_acr_fetch_resume(ngx_http_acr_fetch_t *fetch)
{
    ngx_http_acr_fetch_transfer_t  *t;

    t = fetch->transfer;

    if (t && t->paused) {
        ngx_post_event(&t->resume, &ngx_posted_next_events);
    }
}


static void
ngx_http_acr_fetch_answer_resume(ngx_event_t *ev)
{
    ngx_http_acr_fetch_transfer_t *t = ev->data;

    CURLcode  rc;

    t->paused = 0;

    ngx_http_acr_fetch_answer_heard(t);

    rc = ngx_http_acr_fetch_loop_resume(t);

    if (rc != CURLE_OK) {
        ngx_http_acr_fetch_requested(t, rc);
    }
}


/* the timer is not set anew for each byte: it looks when the last one was */

void
ngx_http_acr_fetch_answer_heard(ngx_http_acr_fetch_transfer_t *t)
{
    t->heard = ngx_current_msec;

    if (t->fetch->idle && !t->idle.timer_set) {
        ngx_add_timer(&t->idle, t->fetch->idle);
    }
}


static void
ngx_http_acr_fetch_answer_idle(ngx_event_t *ev)
{
    ngx_http_acr_fetch_transfer_t *t = ev->data;

    ngx_msec_t  silent;

    silent = ngx_current_msec - t->heard;

    if (silent < t->fetch->idle) {
        ngx_add_timer(&t->idle, t->fetch->idle - silent);
        return;
    }

    if (t->easy == NULL) {
        ngx_http_acr_fetch_fail(t, "its name was not found in %M ms",
                                t->fetch->idle);

    } else {
        ngx_http_acr_fetch_fail(t, "no byte of its answer in %M ms",
                                t->fetch->idle);
    }

    ngx_http_acr_fetch_end(t);
}


void
ngx_http_acr_fetch_answer_reset(ngx_http_acr_fetch_transfer_t *t)
{
    t->to = NGX_HTTP_ACR_FETCH_UNKNOWN;
    t->status = 0;
    t->len = 0;
    t->enough = 0;
}


void
ngx_http_acr_fetch_answer_detach(ngx_http_acr_fetch_transfer_t *t)
{
    if (t->idle.timer_set) {
        ngx_del_timer(&t->idle);
    }

    if (t->resume.posted) {
        ngx_delete_posted_event(&t->resume);
    }
}
