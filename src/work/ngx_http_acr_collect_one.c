
/*
 * The collection of one digest that no repository holds.
 *
 *   1. gc_begin.lua makes it "collecting", if it still is a candidate that is
 *      due; from here on every commit and put of it waits
 *   2. the digest's lock is taken; from here on nobody renames a file there
 *   3. gc_ask.lua tells whether 1 still holds: another collector may have been
 *      here while we were stopped
 *   4. the file is unlinked
 *   5. gc_end.lua ends 1, and then the lock is given back
 *
 * A commit holds that lock from its rename until its script has answered.  So
 * either all of it comes before 2, and 3 finds that the blob is needed; or its
 * rename comes after 5; or its script finds "collecting", which makes it give
 * the lock back and store its file again after 5.  If we die between 1 and 5,
 * the lock is free and the keeper of any node begins at 2 again.
 */

#include "ngx_http_acr_collect.h"


#define NGX_HTTP_ACR_COLLECT_RETRY  5        /* ms between tries to lock */
#define NGX_HTTP_ACR_COLLECT_TRIES  2000


typedef struct {
    ngx_http_acr_registry_t       *registry;
    acr_digest_t                   digest;
    u_char                         text[ACR_DIGEST_MAX];
    ngx_str_t                      name;       /* in text */

    int                            lock;
    ngx_uint_t                     tries;
    off_t                          freed;
    ngx_int_t                      err;        /* of the unlink */

    ngx_http_acr_task_t            task;
    ngx_event_t                    timer;
    ngx_http_acr_collected_pt      done;
    void                          *data;
} ngx_http_acr_collect_one_t;


static ngx_http_acr_collect_one_t *ngx_http_acr_collect_create(
    ngx_http_acr_registry_t *registry, ngx_str_t *digest,
    ngx_http_acr_collected_pt done, void *data);
static void ngx_http_acr_collect_call(ngx_http_acr_collect_one_t *one,
    ngx_uint_t script, ngx_str_t *args, ngx_uint_t n,
    ngx_http_acr_meta_pt handler);
static void ngx_http_acr_collect_post(ngx_http_acr_collect_one_t *one,
    ngx_http_acr_work_pt work, ngx_http_acr_done_pt done);
static void ngx_http_acr_collect_begun(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_collect_timer(ngx_event_t *ev);
static ngx_int_t ngx_http_acr_collect_lock(void *data, ngx_log_t *log);
static void ngx_http_acr_collect_locked(void *data, ngx_int_t rc);
static void ngx_http_acr_collect_asked(void *data,
    ngx_http_acr_meta_reply_t *reply);
static ngx_int_t ngx_http_acr_collect_unlink(void *data, ngx_log_t *log);
static void ngx_http_acr_collect_unlinked(void *data, ngx_int_t rc);
static void ngx_http_acr_collect_ended(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_collect_end(ngx_http_acr_collect_one_t *one,
    ngx_int_t rc);


ngx_int_t
ngx_http_acr_collect_digest(ngx_http_acr_registry_t *registry,
    ngx_str_t *digest, time_t age, ngx_http_acr_collected_pt done, void *data)
{
    u_char                       seconds[NGX_TIME_T_LEN];
    ngx_str_t                    args[2];
    ngx_http_acr_collect_one_t  *one;

    one = ngx_http_acr_collect_create(registry, digest, done, data);

    if (one == NULL) {
        return NGX_ERROR;
    }

    args[0] = one->name;
    args[1].data = seconds;
    args[1].len = ngx_sprintf(seconds, "%T", age) - seconds;

    if (ngx_http_acr_meta_call(registry->meta, ACR_SCRIPT_GC_BEGIN, args, 2,
                               ngx_http_acr_collect_begun, one)
        != NGX_OK)
    {
        ngx_free(one);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_collect_resume(ngx_http_acr_registry_t *registry,
    ngx_str_t *digest, ngx_http_acr_collected_pt done, void *data)
{
    ngx_http_acr_collect_one_t  *one;

    one = ngx_http_acr_collect_create(registry, digest, done, data);

    if (one == NULL) {
        return NGX_ERROR;
    }

    /* by the timer, so that nothing is called back before this returns */

    ngx_add_timer(&one->timer, 0);

    return NGX_OK;
}


static ngx_http_acr_collect_one_t *
ngx_http_acr_collect_create(ngx_http_acr_registry_t *registry,
    ngx_str_t *digest, ngx_http_acr_collected_pt done, void *data)
{
    u_char                       buf[NGX_HTTP_ACR_META_TEXT];
    ngx_str_t                    text;
    ngx_http_acr_collect_one_t  *one;

    one = ngx_calloc(sizeof(ngx_http_acr_collect_one_t), ngx_cycle->log);

    if (one == NULL) {
        return NULL;
    }

    if (acr_digest_parse(&one->digest, digest->data, digest->len) != ACR_OK) {
        text = ngx_http_acr_meta_printable(buf, digest);

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "acr: a candidate is no digest: \"%V\"", &text);
        ngx_free(one);
        return NULL;
    }

    one->name.data = one->text;
    one->name.len = acr_digest_print(one->text, &one->digest);

    one->registry = registry;
    one->lock = -1;
    one->done = done;
    one->data = data;

    one->task.data = one;

    one->timer.data = one;
    one->timer.handler = ngx_http_acr_collect_timer;
    one->timer.log = ngx_cycle->log;

    return one;
}


static void
ngx_http_acr_collect_call(ngx_http_acr_collect_one_t *one, ngx_uint_t script,
    ngx_str_t *args, ngx_uint_t n, ngx_http_acr_meta_pt handler)
{
    if (ngx_http_acr_meta_call(one->registry->meta, script, args, n, handler,
                               one)
        != NGX_OK)
    {
        ngx_http_acr_collect_end(one, NGX_ERROR);
    }
}


static void
ngx_http_acr_collect_post(ngx_http_acr_collect_one_t *one,
    ngx_http_acr_work_pt work, ngx_http_acr_done_pt done)
{
    one->task.work = work;
    one->task.done = done;

    if (ngx_http_acr_task_post(&one->task, one->registry->slow) != NGX_OK) {
        ngx_http_acr_collect_end(one, NGX_ERROR);
    }
}


static void
ngx_http_acr_collect_begun(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_collect_one_t *one = data;

    switch (reply->status) {

    case NGX_HTTP_ACR_META_OK:
        ngx_http_acr_collect_post(one, ngx_http_acr_collect_lock,
                                  ngx_http_acr_collect_locked);
        return;

    case NGX_HTTP_ACR_META_UNKNOWN:
        ngx_http_acr_collect_end(one, NGX_DECLINED);
        return;

    default:
        ngx_http_acr_collect_end(one, NGX_ERROR);
    }
}


static void
ngx_http_acr_collect_timer(ngx_event_t *ev)
{
    ngx_http_acr_collect_post(ev->data, ngx_http_acr_collect_lock,
                              ngx_http_acr_collect_locked);
}


static ngx_int_t
ngx_http_acr_collect_lock(void *data, ngx_log_t *log)
{
    ngx_http_acr_collect_one_t *one = data;

    return ngx_http_acr_store_lock_digest(&one->registry->store, &one->digest,
                                          &one->lock, log);
}


static void
ngx_http_acr_collect_locked(void *data, ngx_int_t rc)
{
    ngx_http_acr_collect_one_t *one = data;

    if (rc == NGX_AGAIN && ++one->tries < NGX_HTTP_ACR_COLLECT_TRIES) {
        ngx_add_timer(&one->timer, NGX_HTTP_ACR_COLLECT_RETRY);
        return;
    }

    if (rc != NGX_OK) {
        ngx_http_acr_collect_end(one, NGX_ERROR);
        return;
    }

    ngx_http_acr_collect_call(one, ACR_SCRIPT_GC_ASK, &one->name, 1,
                              ngx_http_acr_collect_asked);
}


static void
ngx_http_acr_collect_asked(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_collect_one_t *one = data;

    switch (reply->status) {

    case NGX_HTTP_ACR_META_OK:
        ngx_http_acr_collect_post(one, ngx_http_acr_collect_unlink,
                                  ngx_http_acr_collect_unlinked);
        return;

    case NGX_HTTP_ACR_META_UNKNOWN:
        ngx_http_acr_collect_end(one, NGX_DECLINED);
        return;

    default:
        ngx_http_acr_collect_end(one, NGX_ERROR);
    }
}


static ngx_int_t
ngx_http_acr_collect_unlink(void *data, ngx_log_t *log)
{
    ngx_http_acr_collect_one_t *one = data;

    return ngx_http_acr_store_collect(&one->registry->store, &one->digest,
                                      &one->freed, log);
}


/* what could not be removed is a candidate again */

static void
ngx_http_acr_collect_unlinked(void *data, ngx_int_t rc)
{
    ngx_http_acr_collect_one_t *one = data;

    ngx_str_t  args[2];

    one->err = rc;

    args[0] = one->name;
    args[1].data = (u_char *) (rc == NGX_OK ? "0" : "1");
    args[1].len = 1;

    ngx_http_acr_collect_call(one, ACR_SCRIPT_GC_END, args, 2,
                              ngx_http_acr_collect_ended);
}


static void
ngx_http_acr_collect_ended(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_collect_one_t *one = data;

    if (one->err != NGX_OK) {
        ngx_http_acr_collect_end(one, NGX_ABORT);
        return;
    }

    /* the file is gone, also if Redis could not be told */

    ngx_http_acr_collect_end(one, NGX_OK);
}


static void
ngx_http_acr_collect_end(ngx_http_acr_collect_one_t *one, ngx_int_t rc)
{
    ngx_http_acr_store_unlock(&one->lock, ngx_cycle->log);

    one->done(one->data, rc, one->freed);

    ngx_free(one);
}
