
#include "ngx_http_acr_events.h"
#include "ngx_http_acr_response.h"
#include "ngx_http_acr_step.h"

#include <ngx_event.h>


/* requests that wait, of a worker */
#define NGX_HTTP_ACR_EVENTS_MAX    1024

/* ms between looks at those whose time is over, at the feed, and whether this
   worker exits */
#define NGX_HTTP_ACR_EVENTS_TICK   200

/* ms between questions while the feed is not to be relied on */
#define NGX_HTTP_ACR_EVENTS_POLL   1000


struct ngx_http_acr_events_s {
    ngx_http_acr_registry_t   *registry;
    ngx_queue_t                waiting;    /* ngx_http_acr_events_wait_t's */
    ngx_uint_t                 nwaiting;
    ngx_msec_t                 asked;      /* when all were, last */
    ngx_event_t                ask;        /* posted */
    ngx_event_t                tick;       /* while somebody waits; it keeps an
                                              exiting worker alive for them */
    unsigned                   asking:1;
};


static void ngx_http_acr_events_cleanup(void *data);
static void ngx_http_acr_events_leave(ngx_http_acr_events_wait_t *wait);
static void ngx_http_acr_events_due(ngx_http_acr_events_t *events);
static void ngx_http_acr_events_ask(ngx_event_t *ev);
static void ngx_http_acr_events_told(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_events_tick(ngx_event_t *ev);
static void ngx_http_acr_events_answer(ngx_http_acr_events_wait_t *wait,
    ngx_http_acr_events_text_t *text);
static void ngx_http_acr_events_nothing(ngx_http_acr_events_wait_t *wait);
static ngx_uint_t ngx_http_acr_events_over(ngx_http_acr_events_wait_t *wait);
static void ngx_http_acr_events_release(void *data);


ngx_int_t
ngx_http_acr_events_start(ngx_http_acr_registry_t *registry,
    ngx_cycle_t *cycle)
{
    ngx_http_acr_events_t  *events;

    events = ngx_pcalloc(cycle->pool, sizeof(ngx_http_acr_events_t));

    if (events == NULL) {
        return NGX_ERROR;
    }

    events->registry = registry;
    ngx_queue_init(&events->waiting);

    events->ask.handler = ngx_http_acr_events_ask;
    events->ask.data = events;
    events->ask.log = cycle->log;

    events->tick.handler = ngx_http_acr_events_tick;
    events->tick.data = events;
    events->tick.log = cycle->log;

    registry->events = events;

    return NGX_OK;
}


void
ngx_http_acr_events_stop(ngx_http_acr_registry_t *registry)
{
    ngx_http_acr_events_t  *events;

    events = registry->events;

    if (events == NULL) {
        return;
    }

    if (events->ask.posted) {
        ngx_delete_posted_event(&events->ask);
    }

    if (events->tick.timer_set) {
        ngx_del_timer(&events->tick);
    }
}


void
ngx_http_acr_events_changed(ngx_http_acr_registry_t *registry)
{
    if (registry->events) {
        ngx_http_acr_events_due(registry->events);
    }
}


ngx_int_t
ngx_http_acr_events_wait(ngx_http_request_t *r,
    ngx_http_acr_events_wait_t *wait)
{
    ngx_http_cleanup_t     *cln;
    ngx_http_acr_ctx_t     *ctx;
    ngx_http_acr_events_t  *events;

    ctx = ngx_http_acr_get_ctx(r);
    events = ctx->registry->events;

    if (events->nwaiting == NGX_HTTP_ACR_EVENTS_MAX) {
        return NGX_BUSY;
    }

    cln = ngx_http_cleanup_add(r, 0);

    if (cln == NULL || ngx_http_acr_watch(r) != NGX_OK) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_acr_events_cleanup;
    cln->data = wait;

    wait->request = r;
    wait->events = events;
    wait->began = ngx_current_msec;
    wait->due = 1;
    wait->asked = 0;

    ngx_queue_insert_tail(&events->waiting, &wait->queue);
    events->nwaiting++;

    ngx_post_event(&events->ask, &ngx_posted_events);

    if (!events->tick.timer_set) {
        events->asked = ngx_current_msec;
        ngx_add_timer(&events->tick, NGX_HTTP_ACR_EVENTS_TICK);
    }

    return NGX_OK;
}


static void
ngx_http_acr_events_cleanup(void *data)
{
    ngx_http_acr_events_leave(data);
}


static void
ngx_http_acr_events_leave(ngx_http_acr_events_wait_t *wait)
{
    if (wait->events) {
        ngx_queue_remove(&wait->queue);
        wait->events->nwaiting--;
        wait->events = NULL;
    }
}


static void
ngx_http_acr_events_due(ngx_http_acr_events_t *events)
{
    ngx_queue_t                 *q;
    ngx_http_acr_events_wait_t  *wait;

    if (ngx_queue_empty(&events->waiting)) {
        return;
    }

    for (q = ngx_queue_head(&events->waiting);
         q != ngx_queue_sentinel(&events->waiting);
         q = ngx_queue_next(q))
    {
        wait = ngx_queue_data(q, ngx_http_acr_events_wait_t, queue);
        wait->due = 1;
    }

    events->asked = ngx_current_msec;
    ngx_post_event(&events->ask, &ngx_posted_events);
}


/* for the first one that is due, and all like it */

static void
ngx_http_acr_events_ask(ngx_event_t *ev)
{
    u_char                       after[NGX_OFF_T_LEN], n[NGX_INT_T_LEN];
    ngx_str_t                    args[2];
    ngx_queue_t                 *q;
    ngx_http_acr_events_t       *events;
    ngx_http_acr_events_wait_t  *wait, *first;
    ngx_http_acr_meta_reply_t    none;

    events = ev->data;

    if (events->asking) {
        return;
    }

    first = NULL;

    for (q = ngx_queue_head(&events->waiting);
         q != ngx_queue_sentinel(&events->waiting);
         q = ngx_queue_next(q))
    {
        wait = ngx_queue_data(q, ngx_http_acr_events_wait_t, queue);

        if (!wait->due) {
            continue;
        }

        if (first == NULL) {
            first = wait;
        }

        if (wait->after == first->after && wait->n == first->n) {
            wait->due = 0;
            wait->asked = 1;
        }
    }

    if (first == NULL) {
        return;
    }

    args[0].data = after;
    args[0].len = (first->after < 0) ? 0
                  : ngx_sprintf(after, "%O", first->after) - after;
    args[1].data = n;
    args[1].len = ngx_sprintf(n, "%ui", first->n) - n;

    events->asking = 1;

    if (ngx_http_acr_meta_call(events->registry->meta, ACR_SCRIPT_EVENTS_READ,
                               args, 2, ngx_http_acr_events_told, events)
        != NGX_OK)
    {
        ngx_memzero(&none, sizeof(ngx_http_acr_meta_reply_t));
        ngx_http_acr_events_told(events, &none);
    }
}


static void
ngx_http_acr_events_told(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_events_t *events = data;

    ngx_queue_t                  asked, *q, *next;
    ngx_uint_t                   empty;
    ngx_http_acr_zone_t         *zone;
    ngx_http_acr_events_page_t   page;
    ngx_http_acr_events_text_t  *text;
    ngx_http_acr_events_wait_t  *wait;

    events->asking = 0;
    zone = events->registry->zone;

    text = NULL;
    empty = 0;

    if (ngx_http_acr_events_page(&page, reply) == NGX_OK) {
        empty = (page.n == 0 && !page.gap);

        if (zone && zone->cache) {
            ngx_http_acr_events_forget(&page, zone->cache);
        }

        text = ngx_http_acr_events_text(&page, ngx_cycle->log);
    }

    ngx_queue_init(&asked);

    for (q = ngx_queue_head(&events->waiting);
         q != ngx_queue_sentinel(&events->waiting);
         q = next)
    {
        next = ngx_queue_next(q);
        wait = ngx_queue_data(q, ngx_http_acr_events_wait_t, queue);

        if (!wait->asked) {
            continue;
        }

        wait->asked = 0;

        if (text && empty && wait->after >= 0) {
            wait->after = page.next;

            if (!ngx_http_acr_events_over(wait)) {
                continue;
            }
        }

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&asked, q);
    }

    /* the end of a request may be that of others, which then leave the queue */

    while (!ngx_queue_empty(&asked)) {
        q = ngx_queue_head(&asked);
        wait = ngx_queue_data(q, ngx_http_acr_events_wait_t, queue);

        ngx_http_acr_events_answer(wait, text);
    }

    if (text) {
        ngx_http_acr_events_release(text);
    }

    ngx_post_event(&events->ask, &ngx_posted_events);
}


static void
ngx_http_acr_events_tick(ngx_event_t *ev)
{
    ngx_queue_t                  over, *q, *next;
    ngx_http_acr_events_t       *events;
    ngx_http_acr_events_wait_t  *wait;

    events = ev->data;

    ngx_queue_init(&over);

    for (q = ngx_queue_head(&events->waiting);
         q != ngx_queue_sentinel(&events->waiting);
         q = next)
    {
        next = ngx_queue_next(q);
        wait = ngx_queue_data(q, ngx_http_acr_events_wait_t, queue);

        if (!wait->due && !wait->asked && ngx_http_acr_events_over(wait)) {
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&over, q);
        }
    }

    while (!ngx_queue_empty(&over)) {
        q = ngx_queue_head(&over);
        wait = ngx_queue_data(q, ngx_http_acr_events_wait_t, queue);

        ngx_http_acr_events_nothing(wait);
    }

    if (ngx_queue_empty(&events->waiting)) {
        return;
    }

    if (ngx_current_msec - events->asked >= NGX_HTTP_ACR_EVENTS_POLL
        && !ngx_http_acr_meta_fresh(events->registry->meta))
    {
        ngx_http_acr_events_due(events);
    }

    if (!ev->timer_set) {
        ngx_add_timer(ev, NGX_HTTP_ACR_EVENTS_TICK);
    }
}


/* there is nothing behind where it is */

static void
ngx_http_acr_events_nothing(ngx_http_acr_events_wait_t *wait)
{
    ngx_http_acr_events_page_t   page;
    ngx_http_acr_events_text_t  *text;

    ngx_memzero(&page, sizeof(ngx_http_acr_events_page_t));
    page.next = wait->after;

    text = ngx_http_acr_events_text(&page, ngx_cycle->log);

    ngx_http_acr_events_answer(wait, text);

    if (text) {
        ngx_http_acr_events_release(text);
    }
}


static ngx_uint_t
ngx_http_acr_events_over(ngx_http_acr_events_wait_t *wait)
{
    return ngx_exiting || ngx_current_msec - wait->began >= wait->wait;
}


static void
ngx_http_acr_events_answer(ngx_http_acr_events_wait_t *wait,
    ngx_http_acr_events_text_t *text)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = wait->request;
    c = r->connection;

    ngx_http_acr_events_leave(wait);

    if (ngx_http_acr_resume(r) == NGX_OK) {
        wait->handler(r, text);
    }

    ngx_http_run_posted_requests(c);
}


ngx_int_t
ngx_http_acr_events_keep(ngx_http_request_t *r,
    ngx_http_acr_events_text_t *text)
{
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(r->pool, 0);

    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_acr_events_release;
    cln->data = text;

    text->refs++;

    return NGX_OK;
}


static void
ngx_http_acr_events_release(void *data)
{
    ngx_http_acr_events_text_t *text = data;

    if (--text->refs == 0) {
        ngx_free(text);
    }
}
