
/*
 * Requests that wait for an event: readers of the registry's log
 * (events_read.lua) that have all of it.
 *
 * They hold no connection of Redis, and are not blocked, so that nginx frees
 * one whose client leaves at once.  The feed wakes them; while it is not to be
 * relied on they are asked for every second.  A worker asks one question at a
 * time, for all that are at the same place of the log, and what it is told is
 * sent to all of these.
 */

#ifndef NGX_HTTP_ACR_EVENTS_H
#define NGX_HTTP_ACR_EVENTS_H

#include "ngx_http_acr.h"


/* of a registry in a worker */
typedef struct ngx_http_acr_events_s  ngx_http_acr_events_t;

/* a text that several requests send; from ngx_alloc(), with its bytes */

typedef struct {
    ngx_uint_t                 refs;
    ngx_str_t                  text;
} ngx_http_acr_events_text_t;

typedef struct {

    /*
     * Called once, unless nginx terminates the request before: with what is to
     * be answered, JSON, of which the request may take a reference; or with
     * NULL: Redis does not answer.
     */
    void                     (*handler)(ngx_http_request_t *r,
                                        ngx_http_acr_events_text_t *text);

    off_t                      after;      /* a sequence; less than 0: only the
                                              newest is asked for, at once */
    ngx_uint_t                 n;          /* events at most */
    ngx_msec_t                 wait;

    /* of ngx_http_acr_events.c */

    ngx_queue_t                queue;
    ngx_http_request_t        *request;
    ngx_http_acr_events_t     *events;     /* NULL: it does not wait */
    ngx_msec_t                 began;
    unsigned                   due:1;      /* there may be something */
    unsigned                   asked:1;    /* it is being asked for */
} ngx_http_acr_events_wait_t;


/* for init_process and exit_process; NGX_ERROR: no memory */
ngx_int_t ngx_http_acr_events_start(ngx_http_acr_registry_t *registry,
    ngx_cycle_t *cycle);
void ngx_http_acr_events_stop(ngx_http_acr_registry_t *registry);

/* something has happened, or may have */
void ngx_http_acr_events_changed(ngx_http_acr_registry_t *registry);

/*
 * The request asks, and waits if there is nothing yet; never answered before
 * this returns.  wait lives in r->pool and is filled in but for what is ours.
 * A worker that exits answers all that wait with nothing.  NGX_OK; NGX_BUSY:
 * too many wait; NGX_ERROR.
 */
ngx_int_t ngx_http_acr_events_wait(ngx_http_request_t *r,
    ngx_http_acr_events_wait_t *wait);

/* keeps the text as long as the request; NGX_ERROR: no memory */
ngx_int_t ngx_http_acr_events_keep(ngx_http_request_t *r,
    ngx_http_acr_events_text_t *text);


/* --- ngx_http_acr_events_text.c: what events_read.lua says */

typedef struct {
    off_t                      next;       /* where the reader goes on */
    ngx_uint_t                 gap;
    ngx_str_t                 *v;          /* six elements of each event */
    ngx_uint_t                 n;          /* events */
} ngx_http_acr_events_page_t;

/* NGX_ERROR: it says something that is not known */
ngx_int_t ngx_http_acr_events_page(ngx_http_acr_events_page_t *page,
    ngx_http_acr_meta_reply_t *reply);

/* as JSON, with one reference; NULL: no memory */
ngx_http_acr_events_text_t *ngx_http_acr_events_text(
    ngx_http_acr_events_page_t *page, ngx_log_t *log);

/* what they are about is not to be answered from the shared memory any more,
   though the feed may not have told of it yet */
void ngx_http_acr_events_forget(ngx_http_acr_events_page_t *page,
    ngx_http_acr_cache_t *cache);


#endif /* NGX_HTTP_ACR_EVENTS_H */
