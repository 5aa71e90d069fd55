
/*
 * Fetches a content: what its file has already is not asked for again, what
 * comes goes through a ring (write and hash) to the file, and when all is there
 * and has the right digest it becomes a blob.  An origin that fails in between
 * is asked for the rest.
 */

#include "ngx_http_acr_fill_core.h"


/* bytes after which what is there is synced and noted */
#define NGX_HTTP_ACR_FILLER_SAVE     (64 * 1024 * 1024)

/* requests without a byte between them, and the ms before the second; those
   before the third and so on are as many times longer */
#define NGX_HTTP_ACR_FILLER_TRIES    4
#define NGX_HTTP_ACR_FILLER_RETRY    500

/* ms for which bytes may wait for others before they are written */
#define NGX_HTTP_ACR_FILLER_FLUSH    20

/* of an answer that is an error, for a log line */
#define NGX_HTTP_ACR_FILLER_ERROR    4096


typedef enum {
    NGX_HTTP_ACR_FILLER_OPEN = 0,
    NGX_HTTP_ACR_FILLER_RECEIVE,       /* a request is under way... */
    NGX_HTTP_ACR_FILLER_PAUSE,         /* ...or the next one soon is */
    NGX_HTTP_ACR_FILLER_DRAIN,         /* it has ended: what came is written */
    NGX_HTTP_ACR_FILLER_STORE,
    NGX_HTTP_ACR_FILLER_GIVE_UP
} ngx_http_acr_filler_state_e;


struct ngx_http_acr_filler_s {
    ngx_http_acr_fill_t            *fill;
    ngx_pool_t                     *pool;
    ngx_http_acr_filler_state_e     state;

    ngx_http_acr_store_fill_t       file;
    ngx_http_acr_ring_t            *ring;
    ngx_http_acr_task_t             task;
    off_t                           saved;     /* up to here it is noted */
    ngx_uint_t                      saving;

    ngx_http_acr_remote_request_t   request;
    ngx_http_acr_fetch_header_t     headers[2];
    u_char                          range[sizeof("bytes=-") + NGX_OFF_T_LEN];
    u_char                          etag[NGX_HTTP_ACR_FILL_ETAG];
    off_t                           began;     /* at this offset */
    off_t                           skip;      /* bytes that come, but are
                                                  there */
    size_t                          again;     /* bytes that will come again */
    ngx_uint_t                      tries;

    ngx_event_t                     flush;
    ngx_event_t                     timer;     /* of a pause, or to keep the
                                                  worker alive */

    ngx_http_acr_fill_error_e       error;
    unsigned                        held:1;    /* the origin is not read */
    unsigned                        match:1;   /* If-Match is of no use */
    unsigned                        over:1;    /* all has come */
    unsigned                        discard:1;
};


static ngx_int_t ngx_http_acr_filler_open(void *data, ngx_log_t *log);
static void ngx_http_acr_filler_opened(void *data, ngx_int_t rc);
static ngx_int_t ngx_http_acr_filler_ring(ngx_http_acr_filler_t *filler);
static void ngx_http_acr_filler_ask(ngx_http_acr_filler_t *filler);
static ngx_int_t ngx_http_acr_filler_path(ngx_http_acr_filler_t *filler);
static void ngx_http_acr_filler_headers(ngx_http_acr_filler_t *filler);
static ngx_int_t ngx_http_acr_filler_head(
    ngx_http_acr_remote_request_t *request);
static ngx_int_t ngx_http_acr_filler_whole(ngx_http_acr_filler_t *filler);
static ngx_int_t ngx_http_acr_filler_part(ngx_http_acr_filler_t *filler);
static ngx_int_t ngx_http_acr_filler_size(ngx_http_acr_filler_t *filler,
    off_t size);
static ngx_int_t ngx_http_acr_filler_piece(
    ngx_http_acr_remote_request_t *request, u_char *p, size_t n);
static ngx_int_t ngx_http_acr_filler_hold(ngx_http_acr_filler_t *filler,
    ngx_uint_t turn);
static void ngx_http_acr_filler_resume(ngx_http_acr_filler_t *filler);
static void ngx_http_acr_filler_answered(
    ngx_http_acr_remote_request_t *request);
static void ngx_http_acr_filler_failed(ngx_http_acr_filler_t *filler);

static void ngx_http_acr_filler_enter(void *data);
static ngx_int_t ngx_http_acr_filler_leave(void *data);
static void ngx_http_acr_filler_ready(void *data);
static void ngx_http_acr_filler_done(void *data);
static void ngx_http_acr_filler_mark(ngx_http_acr_filler_t *filler);
static ngx_uint_t ngx_http_acr_filler_save(ngx_http_acr_filler_t *filler);
static ngx_int_t ngx_http_acr_filler_save_work(void *data, ngx_log_t *log);
static void ngx_http_acr_filler_save_done(void *data, ngx_int_t rc);
static void ngx_http_acr_filler_drained(ngx_http_acr_filler_t *filler);
static void ngx_http_acr_filler_store(ngx_http_acr_filler_t *filler);
static ngx_int_t ngx_http_acr_filler_store_work(void *data, ngx_log_t *log);
static void ngx_http_acr_filler_stored(void *data, ngx_int_t rc);
static void ngx_http_acr_filler_give_up(ngx_http_acr_filler_t *filler,
    ngx_http_acr_fill_error_e error, ngx_uint_t discard);
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

    if (ngx_http_acr_filler_path(filler) != NGX_OK) {
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

    return NGX_OK;
}


/* what it has is where another worker goes on, as of the last save */

void
ngx_http_acr_filler_stop(ngx_http_acr_filler_t *filler)
{
    ngx_http_acr_remote_cancel(&filler->request);

    ngx_http_acr_fills_end(filler->fill->registry->zone, &filler->fill->ref,
                           NGX_HTTP_ACR_FILL_IDLE, 0, 0);
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

    filler->saved = filler->file.offset;

    if (filler->file.size != -1) {
        ngx_http_acr_fills_set_size(fill->registry->zone, &fill->ref,
                                    filler->file.size);
    }

    ngx_http_acr_filler_mark(filler);

    if (filler->file.offset == filler->file.size) {

        /* all was there when somebody died */

        filler->over = 1;
        filler->state = NGX_HTTP_ACR_FILLER_DRAIN;
        ngx_http_acr_filler_drained(filler);
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


/* --- the origin */

static void
ngx_http_acr_filler_ask(ngx_http_acr_filler_t *filler)
{
    ngx_http_acr_remote_request_t  *request;

    filler->state = NGX_HTTP_ACR_FILLER_RECEIVE;
    filler->began = ngx_http_acr_ring_offset(filler->ring);
    filler->skip = 0;
    filler->again = 0;
    filler->held = 0;

    ngx_http_acr_filler_headers(filler);

    request = &filler->request;

    request->remote = filler->fill->source.remote;
    request->max = NGX_HTTP_ACR_FILLER_ERROR;
    request->head = ngx_http_acr_filler_head;
    request->piece = ngx_http_acr_filler_piece;
    request->done = ngx_http_acr_filler_answered;

    ngx_add_timer(&filler->timer, NGX_HTTP_ACR_FILL_GUARD);

    if (ngx_http_acr_remote_start(request) != NGX_OK) {
        ngx_http_acr_filler_give_up(filler, NGX_HTTP_ACR_FILL_E_ORIGIN, 0);
    }
}


/* a name and a digest need no escaping */

static ngx_int_t
ngx_http_acr_filler_path(ngx_http_acr_filler_t *filler)
{
    ngx_str_t            *name, *digest, *path, *scope;
    ngx_http_acr_fill_t  *fill;

    fill = filler->fill;
    name = &fill->source.repository;
    digest = &fill->text;
    path = &filler->request.path;
    scope = &filler->request.scope;

    path->data = ngx_pnalloc(filler->pool, sizeof("/v2//blobs/") + name->len
                                           + digest->len);
    scope->data = ngx_pnalloc(filler->pool, sizeof("repository::pull")
                                            + name->len);

    if (path->data == NULL || scope->data == NULL) {
        return NGX_ERROR;
    }

    path->len = ngx_sprintf(path->data, "/v2/%V/blobs/%V", name, digest)
                - path->data;
    scope->len = ngx_sprintf(scope->data, "repository:%V:pull", name)
                 - scope->data;

    return NGX_OK;
}


/*
 * The rest only, of the same content.  If-Match is for those that know ETags;
 * the digest decides in any case.
 */

static void
ngx_http_acr_filler_headers(ngx_http_acr_filler_t *filler)
{
    ngx_http_acr_fetch_header_t  *header;

    header = filler->headers;

    if (filler->began) {
        ngx_str_set(&header->name, "Range");
        header->value.data = filler->range;
        header->value.len = ngx_sprintf(filler->range, "bytes=%O-",
                                        filler->began)
                            - filler->range;
        header++;

        if (filler->file.etag_len && !filler->match) {
            ngx_memcpy(filler->etag, filler->file.etag,
                       filler->file.etag_len);

            ngx_str_set(&header->name, "If-Match");
            header->value.data = filler->etag;
            header->value.len = filler->file.etag_len;
            header++;
        }
    }

    filler->request.headers = filler->headers;
    filler->request.nheaders = header - filler->headers;
}


/* from within libcurl, as ..._piece() */

static ngx_int_t
ngx_http_acr_filler_head(ngx_http_acr_remote_request_t *request)
{
    ngx_int_t               rc;
    ngx_str_t               etag;
    ngx_http_acr_filler_t  *filler;

    filler = request->data;

    if (request->status == NGX_HTTP_OK) {
        rc = ngx_http_acr_filler_whole(filler);

    } else if (request->status == NGX_HTTP_PARTIAL_CONTENT) {
        rc = ngx_http_acr_filler_part(filler);

    } else {
        return NGX_DECLINED;
    }

    if (rc == NGX_OK
        && ngx_http_acr_remote_header(request, "ETag", &etag) == NGX_OK
        && etag.len <= NGX_HTTP_ACR_FILL_ETAG)
    {
        ngx_memcpy(filler->file.etag, etag.data, etag.len);
        filler->file.etag_len = etag.len;
    }

    return rc;
}


static ngx_int_t
ngx_http_acr_filler_whole(ngx_http_acr_filler_t *filler)
{
    off_t      size;
    ngx_str_t  length;

    filler->skip = filler->began;

    if (ngx_http_acr_remote_header(&filler->request, "Content-Length",
                                   &length)
        != NGX_OK)
    {
        return NGX_OK;
    }

    size = ngx_atoof(length.data, length.len);

    return (size == NGX_ERROR) ? NGX_ERROR
                               : ngx_http_acr_filler_size(filler, size);
}


static ngx_int_t
ngx_http_acr_filler_part(ngx_http_acr_filler_t *filler)
{
    uint64_t     total;
    ngx_str_t    text;
    acr_range_t  range;

    if (ngx_http_acr_remote_header(&filler->request, "Content-Range", &text)
        != NGX_OK
        || acr_content_range_parse(&range, &total, text.data, text.len)
           != ACR_OK
        || range.start != (uint64_t) filler->began)
    {
        ngx_str_set(&filler->request.error,
                    "the answer has another part than was asked for");
        return NGX_ERROR;
    }

    return (total == ACR_RANGE_ANY) ? NGX_OK
                                    : ngx_http_acr_filler_size(filler, total);
}


/* an origin that has another size for the same content is wrong now, or was */

static ngx_int_t
ngx_http_acr_filler_size(ngx_http_acr_filler_t *filler, off_t size)
{
    ngx_http_acr_fill_t  *fill;

    fill = filler->fill;

    if (filler->file.size == size) {
        return NGX_OK;
    }

    if (filler->file.size != -1 || size < filler->began) {
        ngx_str_set(&filler->request.error, "the content has another size");
        filler->discard = 1;
        return NGX_ERROR;
    }

    filler->file.size = size;

    ngx_http_acr_fills_set_size(fill->registry->zone, &fill->ref, size);
    ngx_http_acr_fill_moved(fill);

    return NGX_OK;
}


/*
 * What is not taken as a whole comes again from its beginning, and is passed
 * over then as far as it was taken.
 */

static ngx_int_t
ngx_http_acr_filler_piece(ngx_http_acr_remote_request_t *request, u_char *p,
    size_t n)
{
    off_t                     left;
    size_t                    done, skip;
    ssize_t                   taken;
    ngx_http_acr_filler_t    *filler;
    ngx_http_acr_registry_t  *registry;

    filler = request->data;
    registry = filler->fill->registry;

    if (filler->saving) {
        return ngx_http_acr_filler_hold(filler, 0);
    }

    done = ngx_min(filler->again, n);

    if (done == 0
        && ngx_http_acr_fills_take(registry->zone, registry->fill_rate, n)
           != NGX_OK)
    {
        return ngx_http_acr_filler_hold(filler, 1);
    }

    skip = ngx_min(filler->skip, (off_t) (n - done));
    filler->skip -= skip;
    done += skip;

    if (filler->file.size != -1) {
        left = filler->file.size - ngx_http_acr_ring_offset(filler->ring);

        if ((off_t) (n - done) > left) {
            ngx_str_set(&request->error, "the content is too long");
            return NGX_ERROR;
        }
    }

    taken = ngx_http_acr_ring_put(filler->ring, p + done, n - done);

    if (taken == NGX_ERROR) {
        ngx_str_set(&request->error, "it cannot be stored");
        return NGX_ERROR;
    }

    done += taken;

    if (!filler->flush.timer_set) {
        ngx_add_timer(&filler->flush, NGX_HTTP_ACR_FILLER_FLUSH);
    }

    if (done < n) {
        filler->again = done;
        return ngx_http_acr_filler_hold(filler, 0);
    }

    filler->again -= ngx_min(filler->again, n);

    /* holds what comes next */

    if (ngx_http_acr_ring_offset(filler->ring) - filler->saved
        >= NGX_HTTP_ACR_FILLER_SAVE)
    {
        filler->saving = 1;
    }

    return NGX_OK;
}


/* turn: until there may be more of all fills together, else until there is
   room */

static ngx_int_t
ngx_http_acr_filler_hold(ngx_http_acr_filler_t *filler, ngx_uint_t turn)
{
    filler->held = 1;

    if (turn && !filler->flush.timer_set) {
        ngx_add_timer(&filler->flush, NGX_HTTP_ACR_FILLS_TURN);
    }

    return NGX_AGAIN;
}


static void
ngx_http_acr_filler_resume(ngx_http_acr_filler_t *filler)
{
    if (filler->held && !filler->saving) {
        filler->held = 0;
        ngx_http_acr_remote_resume(&filler->request);
    }
}


static void
ngx_http_acr_filler_answered(ngx_http_acr_remote_request_t *request)
{
    off_t                   offset;
    ngx_http_acr_filler_t  *filler;

    filler = request->data;
    offset = ngx_http_acr_ring_offset(filler->ring);

    if (offset > filler->began) {
        filler->tries = 0;
    }

    if (request->result != NGX_HTTP_ACR_REMOTE_OK) {
        ngx_http_acr_filler_failed(filler);
        return;
    }

    if (filler->skip || (filler->file.size != -1
                         && offset < filler->file.size))
    {
        ngx_str_set(&request->error, "the answer has ended early");
        ngx_http_acr_filler_failed(filler);
        return;
    }

    filler->over = 1;
    filler->state = NGX_HTTP_ACR_FILLER_DRAIN;

    if (ngx_http_acr_ring_drain(filler->ring) == NGX_OK) {
        ngx_http_acr_filler_drained(filler);
    }
}


static void
ngx_http_acr_filler_failed(ngx_http_acr_filler_t *filler)
{
    ngx_http_acr_fill_t            *fill;
    ngx_http_acr_fill_error_e       error;
    ngx_http_acr_remote_request_t  *request;

    fill = filler->fill;
    request = &filler->request;

    if (ngx_http_acr_ring_error(filler->ring)) {
        ngx_http_acr_filler_give_up(filler, NGX_HTTP_ACR_FILL_E_DISK, 0);
        return;
    }

    if (request->status == NGX_HTTP_PRECONDITION_FAILED && !filler->match) {
        filler->match = 1;
        ngx_http_acr_filler_ask(filler);
        return;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "acr: fetching \"%V\" from \"%V/%V\" failed at %O of %O: %V",
                  &fill->text, &fill->source.remote->host,
                  &fill->source.repository,
                  ngx_http_acr_ring_offset(filler->ring), filler->file.size,
                  &request->error);

    switch (request->result) {

    case NGX_HTTP_ACR_REMOTE_MISSING:
        error = NGX_HTTP_ACR_FILL_E_MISSING;
        break;

    case NGX_HTTP_ACR_REMOTE_DENIED:
        error = NGX_HTTP_ACR_FILL_E_DENIED;
        break;

    case NGX_HTTP_ACR_REMOTE_LIMITED:
        error = NGX_HTTP_ACR_FILL_E_LIMITED;
        break;

    default:
        error = NGX_HTTP_ACR_FILL_E_ORIGIN;

        if (request->status == NGX_HTTP_RANGE_NOT_SATISFIABLE) {
            filler->discard = 1;
        }

        /*
         * Who waits for the rest has seen the beginning, so the origin is asked
         * for it even if it is assumed to be down by now.  Who has seen nothing
         * is told at once.
         */

        if (ngx_http_acr_ring_offset(filler->ring)
            && ++filler->tries < NGX_HTTP_ACR_FILLER_TRIES
            && !filler->discard && !ngx_exiting)
        {
            request->insist = 1;
            filler->state = NGX_HTTP_ACR_FILLER_PAUSE;
            ngx_del_timer(&filler->timer);
            ngx_add_timer(&filler->timer,
                          filler->tries * NGX_HTTP_ACR_FILLER_RETRY);
            return;
        }
    }

    ngx_http_acr_filler_give_up(filler, error, filler->discard);
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

static void
ngx_http_acr_filler_mark(ngx_http_acr_filler_t *filler)
{
    off_t                 mark;
    ngx_http_acr_fill_t  *fill;

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

    if (filler->file.size == -1) {
        filler->file.size = filler->file.offset;

        ngx_http_acr_fills_set_size(fill->registry->zone, &fill->ref,
                                    filler->file.size);
    }

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

    ngx_http_acr_filler_end(filler, NGX_HTTP_ACR_FILL_WHOLE);
}


/* discard: what is there is of no use to those who try it again */

static void
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
                           ngx_http_acr_fill_source(&fill->source));

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

    ngx_http_acr_fill_moved(fill);

    ngx_destroy_pool(filler->pool);

    ngx_http_acr_fill_release(fill);
}
