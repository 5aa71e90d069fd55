
#include "ngx_http_acr_task.h"


/* how long an exiting worker waits before it looks again */
#define NGX_HTTP_ACR_TASK_GUARD  60000


static void ngx_http_acr_task_thread(void *data, ngx_log_t *log);
static void ngx_http_acr_task_event(ngx_event_t *ev);


ngx_int_t
ngx_http_acr_task_post(ngx_http_acr_task_t *task, ngx_http_acr_pool_t *pool)
{
    ngx_thread_task_t  *t;

    t = &task->task;

    t->ctx = task;
    t->handler = ngx_http_acr_task_thread;
    t->event.data = task;
    t->event.handler = ngx_http_acr_task_event;
    t->event.log = ngx_cycle->log;
    t->event.complete = 0;

    task->active = 1;
    task->pool = pool;

    if (ngx_thread_task_post(pool->tp, t) != NGX_OK) {
        task->active = 0;
        ngx_http_acr_count(pool->zone, NGX_HTTP_ACR_C_TASKS_REFUSED
                                       + pool->label, 1);
        return NGX_ERROR;
    }

    ngx_http_acr_count(pool->zone, NGX_HTTP_ACR_C_TASKS + pool->label, 1);
    ngx_http_acr_worker_add(pool->zone, NGX_HTTP_ACR_W_TASKS + pool->label,
                            1);

    ngx_add_timer(&t->event, NGX_HTTP_ACR_TASK_GUARD);

    return NGX_OK;
}


static void
ngx_http_acr_task_thread(void *data, ngx_log_t *log)
{
    ngx_http_acr_task_t  *task = data;

    task->rc = task->work(task->data, log);
}


/* called twice: by the timer, and with "complete" by the thread pool */

static void
ngx_http_acr_task_event(ngx_event_t *ev)
{
    ngx_http_acr_task_t  *task;

    task = ev->data;

    if (!ev->complete) {
        ev->timedout = 0;
        ngx_add_timer(ev, NGX_HTTP_ACR_TASK_GUARD);
        return;
    }

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    ngx_http_acr_worker_add(task->pool->zone,
                            NGX_HTTP_ACR_W_TASKS + task->pool->label, -1);

    task->active = 0;
    task->done(task->data, task->rc);
}
