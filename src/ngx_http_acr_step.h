
/*
 * One asynchronous step of a request: work in a thread pool, or a question to
 * Redis, and the function that continues.
 *
 * The router holds a reference to the request (r->main->count) from the first
 * step to ngx_http_acr_finalize().  While a step is under way the request is
 * blocked, so that nginx keeps it although the client has left; a timer that
 * cannot be cancelled keeps an exiting worker alive for it.
 *
 * When nginx has terminated the request meanwhile, the continuation is not
 * called and the request ends, unless ctx->committing is set: a change that
 * was begun is carried to its end, and only its answer reaches nobody.
 */

#ifndef NGX_HTTP_ACR_STEP_H
#define NGX_HTTP_ACR_STEP_H

#include "ngx_http_acr.h"


/* runs in a thread: must not touch the request, its pool or its connection */
typedef ngx_int_t (*ngx_http_acr_work_pt)(void *data, ngx_log_t *log);

/* runs on the event loop with what the work has returned */
typedef void (*ngx_http_acr_next_pt)(ngx_http_request_t *r, void *data,
    ngx_int_t rc);


/*
 * Posts the work to the pool and continues with next.  NGX_OK, or NGX_ERROR
 * if it could not be posted (next is not called then).  data must live until
 * next is called; memory of r->pool does.  Several may be under way at once.
 */
ngx_int_t ngx_http_acr_run(ngx_http_request_t *r, ngx_thread_pool_t *pool,
    ngx_http_acr_work_pt work, void *data, ngx_http_acr_next_pt next);

/* the same after a delay, for what has to be tried again */
ngx_int_t ngx_http_acr_run_later(ngx_http_request_t *r, ngx_msec_t delay,
    ngx_thread_pool_t *pool, ngx_http_acr_work_pt work, void *data,
    ngx_http_acr_next_pt next);

/*
 * The two halves of any other asynchronous step: enter before it is started;
 * leave first thing when it is over, which tells NGX_OK to continue, or
 * NGX_DONE if the request is gone and nothing of it may be touched any more.
 */
void ngx_http_acr_enter(ngx_http_request_t *r);
ngx_int_t ngx_http_acr_leave(ngx_http_request_t *r);

/* the end of a request: rc as for ngx_http_finalize_request() */
void ngx_http_acr_finalize(ngx_http_request_t *r, ngx_int_t rc);

/* lets nginx go on with what a step's continuation has made ready */
void ngx_http_acr_run_posted(ngx_connection_t *c);


#endif /* NGX_HTTP_ACR_STEP_H */
