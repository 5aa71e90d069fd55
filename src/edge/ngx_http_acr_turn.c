
#include "../ngx_http_acr_response.h"
#include "ngx_http_acr_turn.h"


static ngx_uint_t ngx_http_acr_turn_same(ngx_http_acr_turn_t *a,
    ngx_http_acr_turn_t *b);
static void ngx_http_acr_turn_event(ngx_event_t *ev);


ngx_int_t
ngx_http_acr_turn_take(ngx_http_request_t *r, ngx_http_acr_turn_t *turn,
    ngx_str_t *name, ngx_http_acr_next_pt next, void *data)
{
    ngx_queue_t          *q, *turns;
    ngx_http_acr_turn_t  *other;

    turns = &ngx_http_acr_get_ctx(r)->registry->turns;

    ngx_memzero(turn, sizeof(ngx_http_acr_turn_t));

    turn->request = r;
    turn->repository = ngx_http_acr_get_ctx(r)->repository;
    turn->name = *name;
    turn->next = next;
    turn->data = data;

    for (q = ngx_queue_head(turns); q != ngx_queue_sentinel(turns);
         q = ngx_queue_next(q))
    {
        other = ngx_queue_data(q, ngx_http_acr_turn_t, queue);

        if (ngx_http_acr_turn_same(other, turn)) {

            if (ngx_http_acr_watch(r) != NGX_OK) {
                ngx_http_acr_fail_errno(r, NGX_ERROR);
                return NGX_ERROR;
            }

            turn->waits = 1;
            ngx_queue_insert_tail(&other->waiting, &turn->queue);

            return NGX_AGAIN;
        }
    }

    turn->asks = 1;
    ngx_queue_init(&turn->waiting);
    ngx_queue_insert_tail(turns, &turn->queue);

    return NGX_OK;
}


static ngx_uint_t
ngx_http_acr_turn_same(ngx_http_acr_turn_t *a, ngx_http_acr_turn_t *b)
{
    return a->repository.len == b->repository.len
           && ngx_memcmp(a->repository.data, b->repository.data,
                         a->repository.len)
              == 0
           && a->name.len == b->name.len
           && ngx_memcmp(a->name.data, b->name.data, a->name.len) == 0;
}


void
ngx_http_acr_turn_give(ngx_http_acr_turn_t *turn, ngx_int_t rc)
{
    ngx_queue_t          *q;
    ngx_http_acr_turn_t  *other;

    if (!turn->asks) {
        return;
    }

    for (q = ngx_queue_head(&turn->waiting);
         q != ngx_queue_sentinel(&turn->waiting);
         q = ngx_queue_next(q))
    {
        other = ngx_queue_data(q, ngx_http_acr_turn_t, queue);

        other->waits = 0;
        other->rc = rc;
        other->event.handler = ngx_http_acr_turn_event;
        other->event.data = other;
        other->event.log = ngx_cycle->log;

        ngx_post_event(&other->event, &ngx_posted_next_events);
    }

    turn->asks = 0;
    ngx_queue_remove(&turn->queue);
}


void
ngx_http_acr_turn_leave(ngx_http_acr_turn_t *turn)
{
    if (turn->waits) {
        ngx_queue_remove(&turn->queue);
        turn->waits = 0;

    } else {
        ngx_http_acr_turn_give(turn, NGX_AGAIN);
    }

    if (turn->event.posted) {
        ngx_delete_posted_event(&turn->event);
    }
}


static void
ngx_http_acr_turn_event(ngx_event_t *ev)
{
    ngx_connection_t     *c;
    ngx_http_request_t   *r;
    ngx_http_acr_turn_t  *turn;

    turn = ev->data;
    r = turn->request;
    c = r->connection;

    if (ngx_http_acr_resume(r) == NGX_OK) {
        turn->next(r, turn->data, turn->rc);
    }

    ngx_http_run_posted_requests(c);
}
