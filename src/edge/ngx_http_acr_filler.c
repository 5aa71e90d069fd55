
/*
 * Fetches a content: what comes goes through a ring (write and hash) to a file,
 * and when all is there and has the right digest it becomes a blob.
 */

#include "ngx_http_acr_evict.h"
#include "ngx_http_acr_fill_core.h"


static ngx_int_t ngx_http_acr_filler_open(void *data, ngx_log_t *log);
static void ngx_http_acr_filler_opened(void *data, ngx_int_t rc);
static ngx_int_t ngx_http_acr_filler_ring(ngx_http_acr_filler_t *filler);

static void ngx_http_acr_filler_enter(void *data);
static ngx_int_t ngx_http_acr_filler_leave(void *data);
static void ngx_http_acr_filler_ready(void *data);
static void ngx_http_acr_filler_done(void *data);
static ngx_uint_t ngx_http_acr_filler_save(ngx_http_acr_filler_t *filler);
static ngx_int_t ngx_http_acr_filler_save_work(void *data, ngx_log_t *log);
static void ngx_http_acr_filler_save_done(void *data, ngx_int_t rc);
static void ngx_http_acr_filler_drained(ngx_http_acr_filler_t *filler);
static void ngx_http_acr_filler_store(ngx_http_acr_filler_t *filler);
static ngx_int_t ngx_http_acr_filler_store_work(void *data, ngx_log_t *log);
static void ngx_http_acr_filler_stored(void *data, ngx_int_t rc);
static ngx_int_t ngx_http_acr_filler_give_up_work(void *data, ngx_log_t *log);
static void ngx_http_acr_filler_given_up(void *data, ngx_int_t rc);
static void ngx_http_acr_filler_post(ngx_http_acr_filler_t *filler,
    ngx_http_acr_work_pt work, ngx_http_acr_done_pt done);
static void ngx_http_acr_filler_flush(ngx_event_t *ev);
static void ngx_http_acr_filler_timer(ngx_event_t *ev);
static void ngx_http_acr_filler_end(ngx_http_acr_filler_t *filler,
    ngx_http_acr_fill_state_e state);


static const ngx_http_acr_ring_owner_t  ngx_http_acr_filler_owner = {
    ngx_http_acr_filler_enter,
    ngx_http_acr_filler_leave,
    ngx_http_acr_filler_ready,
    ngx_http_acr_filler_done,
    NULL
};


ngx_int_t
ngx_http_acr_filler_start(ngx_http_acr_fill_t *fill)
{
    ngx_pool_t             *pool;
    ngx_http_acr_filler_t  *filler;

    pool = ngx_create_pool(4096, ngx_cycle->log);

    if (pool == NULL) {
        return NGX_ERROR;
    }

    filler = ngx_pcalloc(pool, sizeof(ngx_http_acr_filler_t));

    if (filler == NULL) {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    filler->fill = fill;
    filler->pool = pool;
    filler->file.digest = fill->digest;
    filler->file.fd = -1;

    filler->flush.handler = ngx_http_acr_filler_flush;
    filler->flush.data = filler;
    filler->flush.log = ngx_cycle->log;

    filler->timer.handler = ngx_http_acr_filler_timer;
    filler->timer.data = filler;
    filler->timer.log = ngx_cycle->log;

    if (ngx_http_acr_filler_prepare(filler) != NGX_OK) {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    filler->request.data = filler;

    filler->task.work = ngx_http_acr_filler_open;
    filler->task.done = ngx_http_acr_filler_opened;
    filler->task.data = filler;

    if (ngx_http_acr_task_post(&filler->task, fill->registry->slow) != NGX_OK)
    {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    fill->filler = filler;
    fill->busy++;

    ngx_http_acr_worker_add(fill->registry->zone, NGX_HTTP_ACR_W_FILLS, 1);

    return NGX_OK;
}


/* what it has is where another worker goes on, as of the last save */

void
ngx_http_acr_filler_stop(ngx_http_acr_filler_t *filler)
{
    ngx_http_acr_remote_cancel(&filler->request);

    ngx_http_acr_fills_end(filler->fill->registry->zone, &filler->fill->ref,
                           NGX_HTTP_ACR_FILL_IDLE, 0,
                           ngx_http_acr_fill_source(&filler->fill->source));
}


static ngx_int_t
ngx_http_acr_filler_open(void *data, ngx_log_t *log)
{
    ngx_http_acr_filler_t *filler = data;

    return ngx_http_acr_store_fill_open(&filler->fill->registry->store,
                                        &filler->file, log);
}


static void
ngx_http_acr_filler_opened(void *data, ngx_int_t rc)
{
    ngx_http_acr_filler_t *filler = data;

    ngx_http_acr_fill_t  *fill;

    fill = filler->fill;

    if (rc == NGX_DONE) {
        ngx_http_acr_fills_set_size(fill->registry->zone, &fill->ref,
                                    filler->file.size);
        ngx_http_acr_filler_end(filler, NGX_HTTP_ACR_FILL_WHOLE);
        return;
    }

    if (rc != NGX_OK || ngx_http_acr_filler_ring(filler) != NGX_OK) {
        ngx_http_acr_filler_give_up(filler, NGX_HTTP_ACR_FILL_E_DISK, 0);
        return;
    }

    /* whoever has sent that, nobody gets it before this origin has answered */

    filler->saved = filler->file.offset;

    if (filler->file.offset == filler->file.size) {

        /* all was there when somebody died */

        ngx_http_acr_filler_over(filler);
        return;
    }

    ngx_http_acr_filler_ask(filler);
}


static ngx_int_t
ngx_http_acr_filler_ring(ngx_http_acr_filler_t *filler)
{
    ngx_http_acr_fill_t      *fill;
    ngx_http_acr_registry_t  *registry;

    fill = filler->fill;
    registry = fill->registry;

    filler->ring = ngx_http_acr_ring_create(filler->pool, registry->fast,
                                            fill->buffers, fill->large,
                                            filler->file.fd,
                                            filler->file.offset,
                                            &filler->file.hash,
                                            registry->store.fsync,
                                            &ngx_http_acr_filler_owner,
                                            filler);

    return (filler->ring == NULL) ? NGX_ERROR : NGX_OK;
}


/* --- the file */

static void
ngx_http_acr_filler_enter(void *data)
{
}


static ngx_int_t
ngx_http_acr_filler_leave(void *data)
{
    return NGX_OK;
}


static void
ngx_http_acr_filler_ready(void *data)
{
    ngx_http_acr_filler_t *filler = data;

    ngx_http_acr_filler_mark(filler);

    if (filler->state >= NGX_HTTP_ACR_FILLER_DRAIN) {

        if (ngx_http_acr_ring_drain(filler->ring) == NGX_OK) {
            ngx_http_acr_filler_drained(filler);
        }

        return;
    }

    if (ngx_http_acr_ring_error(filler->ring)) {
        ngx_http_acr_filler_give_up(filler, NGX_HTTP_ACR_FILL_E_DISK, 0);
        return;
    }

    if (!ngx_http_acr_filler_save(filler)) {
        ngx_http_acr_filler_resume(filler);
    }
}


/* the ring's tasks have no one else */

static void
ngx_http_acr_filler_done(void *data)
{
}


/* the last byte is not given out before all is known to be right */

void
ngx_http_acr_filler_mark(ngx_http_acr_filler_t *filler)
{
    off_t                 mark;
    ngx_http_acr_fill_t  *fill;

    if (!filler->heard) {
        return;
    }

    fill = filler->fill;
    mark = ngx_http_acr_ring_written(filler->ring);

    if (filler->file.size != -1 && mark >= filler->file.size) {
        mark = ngx_max(filler->file.size - 1, 0);
    }

    ngx_http_acr_fills_set_mark(fill->registry->zone, &fill->ref, mark);
    ngx_http_acr_fill_moved(fill);
}


/* 1 while that is under way */

static ngx_uint_t
ngx_http_acr_filler_save(ngx_http_acr_filler_t *filler)
{
    if (!filler->saving) {
        return 0;
    }

    if (filler->task.active
        || ngx_http_acr_ring_drain(filler->ring) != NGX_OK)
    {
        return 1;
    }

    filler->file.offset = ngx_http_acr_ring_offset(filler->ring);
    filler->file.hash = *ngx_http_acr_ring_hash(filler->ring);

    ngx_http_acr_filler_post(filler, ngx_http_acr_filler_save_work,
                             ngx_http_acr_filler_save_done);
    return 1;
}


static ngx_int_t
ngx_http_acr_filler_save_work(void *data, ngx_log_t *log)
{
    ngx_http_acr_filler_t *filler = data;

    return ngx_http_acr_store_fill_save(&filler->fill->registry->store,
                                        &filler->file, log);
}


static void
ngx_http_acr_filler_save_done(void *data, ngx_int_t rc)
{
    ngx_http_acr_filler_t *filler = data;

    filler->saving = 0;
    filler->saved = filler->file.offset;

    if (filler->state >= NGX_HTTP_ACR_FILLER_DRAIN) {

        if (ngx_http_acr_ring_drain(filler->ring) == NGX_OK) {
            ngx_http_acr_filler_drained(filler);
        }

        return;
    }

    if (rc != NGX_OK) {
        ngx_http_acr_filler_give_up(filler, NGX_HTTP_ACR_FILL_E_DISK, 0);
        return;
    }

    ngx_http_acr_filler_resume(filler);
}


void
ngx_http_acr_filler_over(ngx_http_acr_filler_t *filler)
{
    filler->state = NGX_HTTP_ACR_FILLER_DRAIN;

    if (ngx_http_acr_ring_drain(filler->ring) == NGX_OK) {
        ngx_http_acr_filler_drained(filler);
    }
}


/* all that came is in the file, and nothing is under way */

static void
ngx_http_acr_filler_drained(ngx_http_acr_filler_t *filler)
{
    acr_hash_t            hash;
    acr_digest_t          digest;
    ngx_http_acr_fill_t  *fill;

    fill = filler->fill;

    if (filler->task.active) {
        return;
    }

    filler->file.offset = ngx_http_acr_ring_offset(filler->ring);
    filler->file.hash = *ngx_http_acr_ring_hash(filler->ring);

    if (filler->state == NGX_HTTP_ACR_FILLER_GIVE_UP) {
        ngx_http_acr_filler_post(filler, ngx_http_acr_filler_give_up_work,
                                 ngx_http_acr_filler_given_up);
        return;
    }

    if (ngx_http_acr_ring_error(filler->ring)) {
        ngx_http_acr_filler_give_up(filler, NGX_HTTP_ACR_FILL_E_DISK, 0);
        return;
    }

    hash = filler->file.hash;
    acr_hash_final(&hash, &digest);

    if (!acr_digest_equal(&digest, &fill->digest)) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "acr: what \"%V/%V\" has sent is not \"%V\"",
                      &fill->source.remote->host, &fill->source.repository,
                      &fill->text);

        ngx_http_acr_filler_give_up(filler, NGX_HTTP_ACR_FILL_E_DIGEST, 1);
        return;
    }

    filler->file.size = filler->file.offset;

    ngx_http_acr_fills_set_size(fill->registry->zone, &fill->ref,
                                filler->file.size);

    ngx_http_acr_filler_store(filler);
}


static void
ngx_http_acr_filler_store(ngx_http_acr_filler_t *filler)
{
    filler->state = NGX_HTTP_ACR_FILLER_STORE;

    ngx_http_acr_filler_post(filler, ngx_http_acr_filler_store_work,
                             ngx_http_acr_filler_stored);
}


static ngx_int_t
ngx_http_acr_filler_store_work(void *data, ngx_log_t *log)
{
    ngx_http_acr_filler_t *filler = data;

    return ngx_http_acr_store_fill_commit(&filler->fill->registry->store,
                                          &filler->file, log);
}


static void
ngx_http_acr_filler_stored(void *data, ngx_int_t rc)
{
    ngx_http_acr_filler_t *filler = data;

    if (rc != NGX_OK) {
        ngx_http_acr_filler_give_up(filler, NGX_HTTP_ACR_FILL_E_DISK, 0);
        return;
    }

    if (filler->fill->registry->origin) {
        ngx_http_acr_evict_stored(filler->fill->registry, filler->file.size);
    }

    ngx_http_acr_filler_end(filler, NGX_HTTP_ACR_FILL_WHOLE);
}


void
ngx_http_acr_filler_give_up(ngx_http_acr_filler_t *filler,
    ngx_http_acr_fill_error_e error, ngx_uint_t discard)
{
    filler->state = NGX_HTTP_ACR_FILLER_GIVE_UP;
    filler->error = error;
    filler->discard = discard;

    ngx_http_acr_remote_cancel(&filler->request);

    if (filler->ring == NULL) {
        ngx_http_acr_filler_given_up(filler, NGX_OK);
        return;
    }

    if (ngx_http_acr_ring_drain(filler->ring) == NGX_OK) {
        ngx_http_acr_filler_drained(filler);
    }
}


static ngx_int_t
ngx_http_acr_filler_give_up_work(void *data, ngx_log_t *log)
{
    ngx_http_acr_filler_t *filler = data;

    ngx_http_acr_store_t  *store;

    store = &filler->fill->registry->store;

    if (filler->discard) {
        return ngx_http_acr_store_fill_discard(store, &filler->file.digest,
                                               log);
    }

    if (filler->file.offset == 0 || ngx_http_acr_ring_error(filler->ring)) {
        return NGX_OK;
    }

    return ngx_http_acr_store_fill_save(store, &filler->file, log);
}


static void
ngx_http_acr_filler_given_up(void *data, ngx_int_t rc)
{
    ngx_http_acr_filler_t *filler = data;

    ngx_http_acr_filler_end(filler, ngx_exiting ? NGX_HTTP_ACR_FILL_IDLE
                                                : NGX_HTTP_ACR_FILL_FAILED);
}


/* there is one task at a time; if none can be had it is as if it had failed */

static void
ngx_http_acr_filler_post(ngx_http_acr_filler_t *filler,
    ngx_http_acr_work_pt work, ngx_http_acr_done_pt done)
{
    filler->task.work = work;
    filler->task.done = done;

    if (ngx_http_acr_task_post(&filler->task, filler->fill->registry->slow)
        != NGX_OK)
    {
        done(filler, NGX_EAGAIN);
    }
}


/* --- time */

static void
ngx_http_acr_filler_flush(ngx_event_t *ev)
{
    ngx_http_acr_filler_t  *filler;

    filler = ev->data;

    if (filler->state != NGX_HTTP_ACR_FILLER_RECEIVE) {
        return;
    }

    ngx_http_acr_ring_flush(filler->ring);

    if (!ngx_http_acr_filler_save(filler)) {
        ngx_http_acr_filler_resume(filler);
    }
}


static void
ngx_http_acr_filler_timer(ngx_event_t *ev)
{
    ngx_http_acr_filler_t  *filler;

    filler = ev->data;

    if (filler->state == NGX_HTTP_ACR_FILLER_PAUSE) {
        ngx_http_acr_filler_ask(filler);
        return;
    }

    ngx_add_timer(ev, NGX_HTTP_ACR_FILL_GUARD);
}


static void
ngx_http_acr_filler_end(ngx_http_acr_filler_t *filler,
    ngx_http_acr_fill_state_e state)
{
    ngx_http_acr_fill_t  *fill;

    fill = filler->fill;

    ngx_http_acr_fills_end(fill->registry->zone, &fill->ref, state,
                           filler->error,
                           (state == NGX_HTTP_ACR_FILL_WHOLE
                            && !filler->heard)
                           ? 0 : ngx_http_acr_fill_source(&fill->source));

    if (filler->flush.timer_set) {
        ngx_del_timer(&filler->flush);
    }

    if (filler->timer.timer_set) {
        ngx_del_timer(&filler->timer);
    }

    if (filler->file.fd != -1 && close(filler->file.fd) == -1) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                      "acr: close() of a fill failed, digest: \"%V\"",
                      &fill->text);
    }

    fill->filler = NULL;

    ngx_http_acr_worker_add(fill->registry->zone, NGX_HTTP_ACR_W_FILLS, -1);
    ngx_http_acr_fill_moved(fill);

    ngx_destroy_pool(filler->pool);

    ngx_http_acr_fill_release(fill);
}
