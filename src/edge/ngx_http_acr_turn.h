
/*
 * One question of many requests: the first one of a worker asks it, the others
 * wait and share the answer.  Who waits is not blocked, so that its client may
 * leave; who asks goes on without one, or has the next of them ask.
 */

#ifndef NGX_HTTP_ACR_TURN_H
#define NGX_HTTP_ACR_TURN_H

#include "../ngx_http_acr_step.h"


/* memory of a request, which leaves when it ends */

typedef struct {
    ngx_http_request_t    *request;
    ngx_str_t              repository;
    ngx_str_t              name;
    ngx_http_acr_next_pt   next;
    void                  *data;

    ngx_queue_t            queue;
    ngx_queue_t            waiting;    /* for the one who asks */
    ngx_event_t            event;
    ngx_int_t              rc;
    unsigned               asks:1;
    unsigned               waits:1;    /* in the queue of the one who asks */
} ngx_http_acr_turn_t;


/*
 * The question is about a name in the repository of ctx; both live as long as
 * the request.  NGX_OK: it is this request's to ask.  NGX_AGAIN: somebody asks,
 * and next is called with what ngx_http_acr_turn_give() will be given, or with
 * NGX_AGAIN if the one who asks has left.  NGX_ERROR after it has failed the
 * request.
 */
ngx_int_t ngx_http_acr_turn_take(ngx_http_request_t *r,
    ngx_http_acr_turn_t *turn, ngx_str_t *name, ngx_http_acr_next_pt next,
    void *data);

/* nothing happens if it does not ask */
void ngx_http_acr_turn_give(ngx_http_acr_turn_t *turn, ngx_int_t rc);

/* for a cleanup of the pool: it neither asks nor waits any more */
void ngx_http_acr_turn_leave(ngx_http_acr_turn_t *turn);


#endif /* NGX_HTTP_ACR_TURN_H */
