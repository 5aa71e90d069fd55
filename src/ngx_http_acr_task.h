
/*
 * Work for a thread pool, on its own (ngx_http_acr_step.h has the same for a
 * request).  A task is memory of its owner, may be used again as soon as it
 * is done, and allocates nothing, so that a transfer of any length needs only
 * a few.
 *
 * While a task is under way a timer that cannot be cancelled keeps an exiting
 * worker alive: nginx 1.22 looks only at timers.
 */

#ifndef NGX_HTTP_ACR_TASK_H
#define NGX_HTTP_ACR_TASK_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_thread_pool.h>

#include "ngx_http_acr_zone.h"


/* a thread pool, and where a registry counts what it gives to it */

typedef struct {
    ngx_thread_pool_t     *tp;
    ngx_http_acr_zone_t   *zone;      /* or NULL */
    ngx_uint_t             label;     /* NGX_HTTP_ACR_POOL_... */
} ngx_http_acr_pool_t;


typedef struct ngx_http_acr_task_s  ngx_http_acr_task_t;

/* runs in a thread: must not touch a request, a pool or a connection */
typedef ngx_int_t (*ngx_http_acr_work_pt)(void *data, ngx_log_t *log);

/* runs on the event loop with what the work has returned */
typedef void (*ngx_http_acr_done_pt)(void *data, ngx_int_t rc);


struct ngx_http_acr_task_s {
    ngx_thread_task_t      task;
    ngx_http_acr_work_pt   work;
    ngx_http_acr_done_pt   done;
    ngx_http_acr_pool_t   *pool;      /* that it was posted to */
    void                  *data;      /* for both */
    ngx_int_t              rc;
    unsigned               active:1;  /* posted, and done was not called yet */
};


/*
 * Posts the task, of which work, done and data are set and all else was zero
 * when it was first posted.  NGX_OK, or NGX_ERROR if the queue of the pool is
 * full (done is not called then).  It must stay where it is until done is
 * called, which may free it or post it again.
 */
ngx_int_t ngx_http_acr_task_post(ngx_http_acr_task_t *task,
    ngx_http_acr_pool_t *pool);


#endif /* NGX_HTTP_ACR_TASK_H */
