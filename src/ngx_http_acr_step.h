
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
 * was begun is carried to its end, and only its answer reaches nobody.  So
 * what a handler holds beside memory of r->pool (a descriptor, malloc'd
 * memory) belongs to a cleanup of r->pool.
 */

#ifndef NGX_HTTP_ACR_STEP_H
#define NGX_HTTP_ACR_STEP_H

#include "ngx_http_acr.h"
#include "ngx_http_acr_task.h"


/* runs on the event loop with what the work has returned */
typedef void (*ngx_http_acr_next_pt)(ngx_http_request_t *r, void *data,
    ngx_int_t rc);

/* runs on the event loop with an answer that is none of DOWN, BEHIND and LOCKED
   (but see ngx_http_acr_look_up()) */
typedef void (*ngx_http_acr_answer_pt)(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);


/*
 * Runs work(data, log) in the pool and continues with next.  data must live
 * until then; memory of r->pool does.  If the work cannot be posted (the
 * queue is full) the request is answered with 503 and next is not called.
 */
void ngx_http_acr_run(ngx_http_request_t *r, ngx_http_acr_pool_t *tp,
    ngx_http_acr_work_pt work, void *data, ngx_http_acr_next_pt next);

/*
 * Runs a script (ngx_http_acr_meta_call()) and continues with next.  If Redis
 * does not answer, or does not know the repository in time, the request is
 * answered with 503, and if attributes forbid it with 405; next is not called
 * then.
 */
void ngx_http_acr_ask(ngx_http_request_t *r, ngx_uint_t script,
    ngx_str_t *args, ngx_uint_t nargs, ngx_http_acr_answer_pt next,
    void *data);

/*
 * The same for a lookup that the directory can answer as well, and for a
 * commit: next is called with DOWN, BEHIND and LOCKED, too.
 */
void ngx_http_acr_look_up(ngx_http_request_t *r, ngx_uint_t script,
    ngx_str_t *args, ngx_uint_t nargs, ngx_http_acr_answer_pt next,
    void *data);

/* how often a commit is tried, and the ms between tries while the collector
   holds its digest, or a removal is under way */
#define NGX_HTTP_ACR_COMMIT_TRIES  200
#define NGX_HTTP_ACR_COMMIT_RETRY  50

/*
 * Whether the answer to a commit is none.  DOWN: the request is answered with
 * 503.  BEHIND: again(r, data, NGX_OK) is called when Redis knows the
 * repository in ctx, which may take its rebuild, and counted in tries; if that
 * takes too long, or was tried too often, it is 503 as well.
 */
ngx_uint_t ngx_http_acr_unanswered(ngx_http_request_t *r,
    ngx_http_acr_meta_reply_t *reply, ngx_uint_t *tries,
    ngx_http_acr_next_pt again, void *data);

/*
 * Calls next(r, data, NGX_OK) after the delay: for what has to be tried again.
 */
void ngx_http_acr_later(ngx_http_request_t *r, ngx_msec_t delay,
    ngx_http_acr_next_pt next, void *data);

/*
 * The two halves of any other asynchronous step: enter before it is started;
 * leave first thing when it is over, which tells NGX_OK to continue, or
 * NGX_DONE if the request is gone and nothing of it may be touched any more.
 * After it has continued, ngx_http_run_posted_requests(c) is to be called
 * with the connection, noted before.
 */
void ngx_http_acr_enter(ngx_http_request_t *r);
ngx_int_t ngx_http_acr_leave(ngx_http_request_t *r);

/*
 * For a request that waits without being entered: nginx frees it when its
 * client leaves, as it does in its upstream; but not if it had a body that was
 * still to be read away.  What is to happen then stands in
 * a cleanup of the request, and what it waits for calls nothing afterwards.
 * Someone else's timer keeps an exiting worker alive meanwhile.  NGX_ERROR: the
 * request is yet to be failed.
 */
ngx_int_t ngx_http_acr_watch(ngx_http_request_t *r);

/* first thing when such a wait is over, as ngx_http_acr_leave() */
ngx_int_t ngx_http_acr_resume(ngx_http_request_t *r);

/* the end of a request: rc as for ngx_http_finalize_request() */
void ngx_http_acr_finalize(ngx_http_request_t *r, ngx_int_t rc);


#endif /* NGX_HTTP_ACR_STEP_H */
