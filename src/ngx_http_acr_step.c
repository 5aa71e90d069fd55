
#include "ngx_http_acr_response.h"
#include "ngx_http_acr_step.h"


typedef struct ngx_http_acr_step_s  ngx_http_acr_step_t;

struct ngx_http_acr_step_s {
    ngx_http_request_t      *request;
    ngx_http_acr_step_t     *spare;        /* the next one */
    void                    *data;
    ngx_http_acr_work_pt     work;
    ngx_http_acr_next_pt     next;
    ngx_http_acr_answer_pt   answer;
    ngx_http_acr_task_t      task;
    ngx_event_t              timer;
    unsigned                 any:1;        /* answer is called in any case */
};


static ngx_http_acr_step_t *ngx_http_acr_step_create(ngx_http_request_t *r,
    void *data);
static void ngx_http_acr_step_ask(ngx_http_request_t *r, ngx_uint_t script,
    ngx_str_t *args, ngx_uint_t nargs, ngx_http_acr_answer_pt next,
    void *data, ngx_uint_t any);
static void *ngx_http_acr_step_over(ngx_http_request_t *r,
    ngx_http_acr_step_t *step);
static ngx_int_t ngx_http_acr_step_work(void *data, ngx_log_t *log);
static void ngx_http_acr_step_done(void *data, ngx_int_t rc);
static void ngx_http_acr_step_answer(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_step_unavailable(ngx_http_request_t *r,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_step_await(ngx_http_request_t *r,
    ngx_http_acr_next_pt next, void *data);
static void ngx_http_acr_step_known(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_step_timer(ngx_event_t *ev);


void
ngx_http_acr_run(ngx_http_request_t *r, ngx_http_acr_pool_t *tp,
    ngx_http_acr_work_pt work, void *data, ngx_http_acr_next_pt next)
{
    ngx_http_acr_step_t  *step;

    step = ngx_http_acr_step_create(r, data);

    if (step == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    step->work = work;
    step->next = next;

    step->task.work = ngx_http_acr_step_work;
    step->task.done = ngx_http_acr_step_done;
    step->task.data = step;

    if (ngx_http_acr_task_post(&step->task, tp) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_EAGAIN);
        return;
    }

    ngx_http_acr_enter(r);
}


void
ngx_http_acr_ask(ngx_http_request_t *r, ngx_uint_t script, ngx_str_t *args,
    ngx_uint_t nargs, ngx_http_acr_answer_pt next, void *data)
{
    ngx_http_acr_step_ask(r, script, args, nargs, next, data, 0);
}


void
ngx_http_acr_look_up(ngx_http_request_t *r, ngx_uint_t script,
    ngx_str_t *args, ngx_uint_t nargs, ngx_http_acr_answer_pt next,
    void *data)
{
    ngx_http_acr_step_ask(r, script, args, nargs, next, data, 1);
}


static void
ngx_http_acr_step_ask(ngx_http_request_t *r, ngx_uint_t script,
    ngx_str_t *args, ngx_uint_t nargs, ngx_http_acr_answer_pt next,
    void *data, ngx_uint_t any)
{
    ngx_http_acr_ctx_t   *ctx;
    ngx_http_acr_step_t  *step;

    step = ngx_http_acr_step_create(r, data);

    if (step == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    step->any = any;
    step->answer = next;

    ctx = ngx_http_acr_get_ctx(r);

    if (ngx_http_acr_meta_call(ctx->registry->meta, script, args, nargs,
                               ngx_http_acr_step_answer, step)
        != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_enter(r);
}


void
ngx_http_acr_later(ngx_http_request_t *r, ngx_msec_t delay,
    ngx_http_acr_next_pt next, void *data)
{
    ngx_http_acr_step_t  *step;

    step = ngx_http_acr_step_create(r, data);

    if (step == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    step->next = next;
    step->timer.data = step;
    step->timer.handler = ngx_http_acr_step_timer;
    step->timer.log = ngx_cycle->log;

    ngx_add_timer(&step->timer, delay);

    ngx_http_acr_enter(r);
}


/* a request may have any number of steps, one after the other */

static ngx_http_acr_step_t *
ngx_http_acr_step_create(ngx_http_request_t *r, void *data)
{
    ngx_http_acr_ctx_t   *ctx;
    ngx_http_acr_step_t  *step;

    ctx = ngx_http_acr_get_ctx(r);
    step = ctx->steps;

    if (step) {
        ctx->steps = step->spare;
        ngx_memzero(step, sizeof(ngx_http_acr_step_t));

    } else {
        step = ngx_pcalloc(r->pool, sizeof(ngx_http_acr_step_t));

        if (step == NULL) {
            return NULL;
        }
    }

    step->request = r;
    step->data = data;

    return step;
}


static ngx_int_t
ngx_http_acr_step_work(void *data, ngx_log_t *log)
{
    ngx_http_acr_step_t  *step = data;

    return step->work(step->data, log);
}


static void
ngx_http_acr_step_done(void *data, ngx_int_t rc)
{
    ngx_http_acr_step_t *step = data;

    ngx_connection_t      *c;
    ngx_http_request_t    *r;
    ngx_http_acr_next_pt   next;

    r = step->request;
    c = r->connection;

    if (ngx_http_acr_leave(r) == NGX_OK) {
        next = step->next;
        data = ngx_http_acr_step_over(r, step);

        next(r, data, rc);
    }

    ngx_http_run_posted_requests(c);
}


/* the next step may take its place; returns what it was given */

static void *
ngx_http_acr_step_over(ngx_http_request_t *r, ngx_http_acr_step_t *step)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    step->spare = ctx->steps;
    ctx->steps = step;

    return step->data;
}


static void
ngx_http_acr_step_answer(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_step_t *step = data;

    ngx_uint_t               any;
    ngx_connection_t        *c;
    ngx_http_request_t      *r;
    ngx_http_acr_answer_pt   answer;

    r = step->request;
    c = r->connection;

    if (ngx_http_acr_leave(r) == NGX_OK) {
        any = step->any;
        answer = step->answer;
        data = ngx_http_acr_step_over(r, step);

        if (any) {
            answer(r, data, reply);

        } else if (reply->status == NGX_HTTP_ACR_META_DOWN
                   || reply->status == NGX_HTTP_ACR_META_BEHIND)
        {
            ngx_http_acr_step_unavailable(r, reply);

        } else if (reply->status == NGX_HTTP_ACR_META_LOCKED) {
            ngx_http_acr_locked(r);

        } else {
            answer(r, data, reply);
        }
    }

    ngx_http_run_posted_requests(c);
}


ngx_uint_t
ngx_http_acr_unanswered(ngx_http_request_t *r,
    ngx_http_acr_meta_reply_t *reply, ngx_uint_t *tries,
    ngx_http_acr_next_pt again, void *data)
{
    if (reply->status == NGX_HTTP_ACR_META_BEHIND
        && ++*tries < NGX_HTTP_ACR_COMMIT_TRIES)
    {
        ngx_http_acr_step_await(r, again, data);
        return 1;
    }

    if (reply->status == NGX_HTTP_ACR_META_DOWN
        || reply->status == NGX_HTTP_ACR_META_BEHIND)
    {
        ngx_http_acr_step_unavailable(r, reply);
        return 1;
    }

    return 0;
}


static void
ngx_http_acr_step_unavailable(ngx_http_request_t *r,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_fail(r, ACR_E_UNAVAILABLE,
                      reply->status == NGX_HTTP_ACR_META_BEHIND
                      ? "the index is being rebuilt"
                      : "the index does not answer",
                      NULL, NULL);
}


/* a list of no tags: lists wait */

static void
ngx_http_acr_step_await(ngx_http_request_t *r, ngx_http_acr_next_pt next,
    void *data)
{
    ngx_str_t             args[3];
    ngx_http_acr_ctx_t   *ctx;
    ngx_http_acr_step_t  *step;

    ctx = ngx_http_acr_get_ctx(r);
    step = ngx_http_acr_step_create(r, data);

    if (step == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    step->next = next;

    args[0] = ctx->repository;
    ngx_str_null(&args[1]);
    ngx_str_set(&args[2], "0");

    ngx_http_acr_ask(r, ACR_SCRIPT_TAGS_LIST, args, 3,
                     ngx_http_acr_step_known, step);
}


static void
ngx_http_acr_step_known(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_step_t *step = data;

    step->next(r, step->data, NGX_OK);
}


static void
ngx_http_acr_step_timer(ngx_event_t *ev)
{
    ngx_http_acr_step_done(ev->data, NGX_OK);
}


void
ngx_http_acr_enter(ngx_http_request_t *r)
{
    r->main->blocked++;
}


ngx_int_t
ngx_http_acr_leave(ngx_http_request_t *r)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    ngx_http_set_log_request(r->connection->log, r);

    r->main->blocked--;

    /* "post_action" of a request that was terminated has no context of ours */

    if (ctx && (!ctx->gone || ctx->committing)) {
        return NGX_OK;
    }

    if (r->main->blocked == 0) {
        ngx_http_finalize_request(r, NGX_ERROR);
    }

    return NGX_DONE;
}


ngx_int_t
ngx_http_acr_watch(ngx_http_request_t *r)
{
    ngx_event_t  *rev;

    r->write_event_handler = ngx_http_request_empty_handler;

    /* what reads a body away does so for nginx, and tells of errors only: it is
       not seen if this client just leaves */

    if (r->discard_body) {
        return NGX_OK;
    }

    r->read_event_handler = ngx_http_test_reading;

    /* it may have left when nobody was looking */

    rev = r->connection->read;

    if (rev->ready) {
        ngx_post_event(rev, &ngx_posted_events);
        return NGX_OK;
    }

    return ngx_handle_read_event(rev, 0);
}


ngx_int_t
ngx_http_acr_resume(ngx_http_request_t *r)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    ngx_http_set_log_request(r->connection->log, r);

    return (ctx && !ctx->gone) ? NGX_OK : NGX_DONE;
}


void
ngx_http_acr_finalize(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    ctx->committing = 0;

    if (ctx->gone) {

        if (r->main->blocked == 0) {
            ngx_http_finalize_request(r, NGX_ERROR);
        }

        return;
    }

    ngx_http_finalize_request(r, rc);
}
