
#include "ngx_http_acr_work.h"
#include "../ngx_http_acr_registry.h"


static ngx_uint_t ngx_http_acr_work_args(ngx_http_acr_work_t *work,
    ngx_str_t *args);
static void ngx_http_acr_work_call(ngx_http_acr_work_t *work,
    ngx_uint_t script, ngx_str_t *args, ngx_uint_t n,
    ngx_http_acr_meta_pt handler);
static void ngx_http_acr_work_taken(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_work_noted(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_work_last(ngx_http_acr_work_t *work, ngx_int_t rc);
static void ngx_http_acr_work_leave(ngx_http_acr_work_t *work,
    const char *done);
static void ngx_http_acr_work_ended(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_work_free(ngx_http_acr_work_t *work);
static size_t ngx_http_acr_work_copy(u_char *buf, ngx_str_t *text);


void *
ngx_http_acr_work_create(ngx_http_acr_registry_t *registry, const char *kind,
    ngx_http_acr_work_counter_t *counters, size_t size, ngx_uint_t *busy)
{
    ngx_pool_t           *pool;
    ngx_http_acr_work_t  *work;

    pool = ngx_create_pool(1024, ngx_cycle->log);

    if (pool == NULL) {
        return NULL;
    }

    work = ngx_pcalloc(pool, size);

    if (work == NULL
        || ngx_http_acr_registry_token(registry, pool, &work->owner) != NGX_OK)
    {
        ngx_destroy_pool(pool);
        return NULL;
    }

    work->pool = pool;
    work->registry = registry;
    work->kind = kind;
    work->counters = counters;
    work->busy = busy;
    work->started = ngx_time();

    *busy = 1;

    return work;
}


void
ngx_http_acr_work_take(ngx_http_acr_work_t *work, time_t every,
    ngx_http_acr_work_next_pt next)
{
    u_char      seconds[NGX_TIME_T_LEN];
    ngx_str_t   args[3];
    ngx_uint_t  n;

    work->next = next;

    n = ngx_http_acr_work_args(work, args);

    args[n].data = seconds;
    args[n++].len = ngx_sprintf(seconds, "%T", every) - seconds;

    ngx_http_acr_work_call(work, ACR_SCRIPT_WORK_TAKE, args, n,
                           ngx_http_acr_work_taken);
}


/* what every call begins with */

static ngx_uint_t
ngx_http_acr_work_args(ngx_http_acr_work_t *work, ngx_str_t *args)
{
    args[0].data = (u_char *) work->kind;
    args[0].len = ngx_strlen(work->kind);
    args[1] = work->owner;

    return 2;
}


static void
ngx_http_acr_work_call(ngx_http_acr_work_t *work, ngx_uint_t script,
    ngx_str_t *args, ngx_uint_t n, ngx_http_acr_meta_pt handler)
{
    ngx_http_acr_meta_reply_t  none;

    if (ngx_http_acr_meta_call(work->registry->meta, script, args, n, handler,
                               work)
        != NGX_OK)
    {
        ngx_memzero(&none, sizeof(ngx_http_acr_meta_reply_t));
        handler(work, &none);
    }
}


static void
ngx_http_acr_work_taken(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_work_t *work = data;

    ngx_int_t  rc;

    rc = NGX_ERROR;

    if (reply->status == NGX_HTTP_ACR_META_OK && reply->n == 2) {
        work->request_len = ngx_http_acr_work_copy(work->request,
                                                   &reply->v[0]);
        work->at_len = ngx_http_acr_work_copy(work->at, &reply->v[1]);
        work->note = ngx_current_msec - NGX_HTTP_ACR_WORK_NOTE;
        work->taken = 1;

        rc = NGX_OK;

    } else if (reply->status == NGX_HTTP_ACR_META_BUSY
               || reply->status == NGX_HTTP_ACR_META_UNKNOWN)
    {
        rc = NGX_DECLINED;
    }

    work->next(work, rc);
}


static size_t
ngx_http_acr_work_copy(u_char *buf, ngx_str_t *text)
{
    if (text->len > NGX_HTTP_ACR_WORK_AT) {
        return 0;
    }

    ngx_memcpy(buf, text->data, text->len);

    return text->len;
}


void
ngx_http_acr_work_go_on(ngx_http_acr_work_t *work, ngx_uint_t now,
    ngx_http_acr_work_next_pt next)
{
    u_char      number[NGX_HTTP_ACR_WORK_COUNTERS][NGX_INT_T_LEN];
    ngx_str_t   args[3 + 2 * NGX_HTTP_ACR_WORK_COUNTERS];
    ngx_uint_t  i, n, more;

    if (ngx_exiting) {
        next(work, NGX_DECLINED);
        return;
    }

    if (!now && ngx_current_msec - work->note < NGX_HTTP_ACR_WORK_NOTE) {
        next(work, NGX_OK);
        return;
    }

    work->note = ngx_current_msec;
    work->next = next;

    n = ngx_http_acr_work_args(work, args);

    args[n].data = work->at;
    args[n++].len = work->at_len;

    for (i = 0; work->counters[i].name; i++) {
        more = work->counted[i] - work->noted[i];

        if (more == 0) {
            continue;
        }

        work->noted[i] = work->counted[i];

        if (work->counters[i].metric != NGX_HTTP_ACR_WORK_UNCOUNTED
            && work->request_len == 0)
        {
            ngx_http_acr_count(work->registry->zone, work->counters[i].metric,
                               more);
        }

        args[n].data = (u_char *) work->counters[i].name;
        args[n++].len = ngx_strlen(work->counters[i].name);

        args[n].data = number[i];
        args[n++].len = ngx_sprintf(number[i], "%ui", more) - number[i];
    }

    ngx_http_acr_work_call(work, ACR_SCRIPT_WORK_NOTE, args, n,
                           ngx_http_acr_work_noted);
}


static void
ngx_http_acr_work_noted(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_work_t *work = data;

    switch (reply->status) {

    case NGX_HTTP_ACR_META_OK:
        work->next(work, NGX_OK);
        return;

    case NGX_HTTP_ACR_META_LOST:
        work->next(work, NGX_DECLINED);
        return;

    default:
        work->next(work, NGX_ERROR);
    }
}


void
ngx_http_acr_work_end(ngx_http_acr_work_t *work, ngx_uint_t done)
{
    if (done) {
        work->at_len = 0;
        ngx_http_acr_work_go_on(work, 1, ngx_http_acr_work_last);
        return;
    }

    if (work->taken) {
        ngx_http_acr_work_leave(work, "0");
        return;
    }

    ngx_http_acr_work_free(work);
}


static void
ngx_http_acr_work_last(ngx_http_acr_work_t *work, ngx_int_t rc)
{
    ngx_http_acr_work_leave(work, rc == NGX_OK ? "1" : "0");
}


static void
ngx_http_acr_work_leave(ngx_http_acr_work_t *work, const char *done)
{
    ngx_str_t  args[3];

    (void) ngx_http_acr_work_args(work, args);

    args[2].data = (u_char *) done;
    args[2].len = 1;

    ngx_http_acr_work_call(work, ACR_SCRIPT_WORK_END, args, 3,
                           ngx_http_acr_work_ended);
}


/* if Redis did not answer, the lease ends by itself and somebody does it
   again */

static void
ngx_http_acr_work_ended(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_work_free(data);
}


static void
ngx_http_acr_work_free(ngx_http_acr_work_t *work)
{
    *work->busy = 0;

    ngx_destroy_pool(work->pool);
}
