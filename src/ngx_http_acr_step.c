
/*
 * Steps of a request that leave the event loop.
 */

#include "ngx_http_acr_step.h"


/* how long an exiting worker waits before it looks again */
#define NGX_HTTP_ACR_STEP_GUARD  60000


typedef struct {
    ngx_http_request_t    *request;
    ngx_thread_pool_t     *pool;
    ngx_http_acr_work_pt   work;
    ngx_http_acr_next_pt   next;
    void                  *data;
    ngx_int_t              rc;
    ngx_event_t            delay;
} ngx_http_acr_step_t;


static ngx_thread_task_t *ngx_http_acr_step_create(ngx_http_request_t *r,
    ngx_thread_pool_t *pool, ngx_http_acr_work_pt work, void *data,
    ngx_http_acr_next_pt next);
static ngx_int_t ngx_http_acr_step_post(ngx_thread_task_t *task);
static void ngx_http_acr_step_thread(void *data, ngx_log_t *log);
static void ngx_http_acr_step_event(ngx_event_t *ev);
static void ngx_http_acr_step_delayed(ngx_event_t *ev);
static void ngx_http_acr_step_done(ngx_http_acr_step_t *step);


ngx_int_t
ngx_http_acr_run(ngx_http_request_t *r, ngx_thread_pool_t *pool,
    ngx_http_acr_work_pt work, void *data, ngx_http_acr_next_pt next)
{
    ngx_thread_task_t  *task;

    task = ngx_http_acr_step_create(r, pool, work, data, next);
    if (task == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_acr_step_post(task) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_acr_enter(r);

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_run_later(ngx_http_request_t *r, ngx_msec_t delay,
    ngx_thread_pool_t *pool, ngx_http_acr_work_pt work, void *data,
    ngx_http_acr_next_pt next)
{
    ngx_thread_task_t    *task;
    ngx_http_acr_step_t  *step;

    task = ngx_http_acr_step_create(r, pool, work, data, next);
    if (task == NULL) {
        return NGX_ERROR;
    }

    step = task->ctx;

    step->delay.data = task;
    step->delay.handler = ngx_http_acr_step_delayed;
    step->delay.log = ngx_cycle->log;

    ngx_add_timer(&step->delay, delay);

    ngx_http_acr_enter(r);

    return NGX_OK;
}


static ngx_thread_task_t *
ngx_http_acr_step_create(ngx_http_request_t *r, ngx_thread_pool_t *pool,
    ngx_http_acr_work_pt work, void *data, ngx_http_acr_next_pt next)
{
    ngx_thread_task_t    *task;
    ngx_http_acr_step_t  *step;

    task = ngx_thread_task_alloc(r->pool, sizeof(ngx_http_acr_step_t));
    if (task == NULL) {
        return NULL;
    }

    step = task->ctx;

    ngx_memzero(step, sizeof(ngx_http_acr_step_t));

    step->request = r;
    step->pool = pool;
    step->work = work;
    step->next = next;
    step->data = data;

    task->handler = ngx_http_acr_step_thread;
    task->event.data = task;
    task->event.handler = ngx_http_acr_step_event;
    task->event.log = ngx_cycle->log;

    return task;
}


static ngx_int_t
ngx_http_acr_step_post(ngx_thread_task_t *task)
{
    ngx_http_acr_step_t  *step;

    step = task->ctx;

    if (ngx_thread_task_post(step->pool, task) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_add_timer(&task->event, NGX_HTTP_ACR_STEP_GUARD);

    return NGX_OK;
}


static void
ngx_http_acr_step_thread(void *data, ngx_log_t *log)
{
    ngx_http_acr_step_t  *step = data;

    step->rc = step->work(step->data, log);
}


static void
ngx_http_acr_step_event(ngx_event_t *ev)
{
    ngx_thread_task_t  *task;

    task = ev->data;

    if (ev->timedout && !ev->complete) {
        ev->timedout = 0;
        ngx_add_timer(ev, NGX_HTTP_ACR_STEP_GUARD);
        return;
    }

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    ngx_http_acr_step_done(task->ctx);
}


static void
ngx_http_acr_step_delayed(ngx_event_t *ev)
{
    ngx_thread_task_t    *task;
    ngx_http_acr_step_t  *step;

    task = ev->data;
    step = task->ctx;

    if (ngx_http_acr_step_post(task) != NGX_OK) {
        step->rc = NGX_ERROR;
        ngx_http_acr_step_done(step);
    }
}


static void
ngx_http_acr_step_done(ngx_http_acr_step_t *step)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = step->request;
    c = r->connection;

    if (ngx_http_acr_leave(r) == NGX_OK) {
        step->next(r, step->data, step->rc);
    }

    ngx_http_acr_run_posted(c);
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

    if (!ctx->gone || ctx->committing) {
        return NGX_OK;
    }

    if (r->main->blocked == 0) {
        ngx_http_finalize_request(r, NGX_ERROR);
    }

    return NGX_DONE;
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


void
ngx_http_acr_run_posted(ngx_connection_t *c)
{
    ngx_http_run_posted_requests(c);
}
