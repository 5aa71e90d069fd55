
/*
 * The body of an upload, on its way to the staging file.  Steps that follow
 * one another use ngx_http_acr_run() and ngx_http_acr_ask(), which end the
 * request where they fail; what goes on beside the body (the ring, a save on
 * the way) must not, and only notes what happened.
 */

#include "ngx_http_acr_upload.h"


/* bytes after which the offset is saved although the body goes on */
#define NGX_HTTP_ACR_UPLOAD_POINT   (64 * 1024 * 1024)

/* nginx's own buffers for the body */
#define NGX_HTTP_ACR_UPLOAD_READ    (32 * 1024)
#define NGX_HTTP_ACR_UPLOAD_WINDOW  (1024 * 1024)


static void ngx_http_acr_upload_staged(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static ngx_int_t ngx_http_acr_upload_ring(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u);
static ssize_t ngx_http_acr_upload_sink(ngx_http_request_t *r, void *data,
    u_char *p, size_t n);
static void ngx_http_acr_upload_enter(void *data);
static ngx_int_t ngx_http_acr_upload_leave(void *data);
static void ngx_http_acr_upload_ready(void *data);
static void ngx_http_acr_upload_over(void *data);
static void ngx_http_acr_upload_point(ngx_http_acr_upload_t *u);
static void ngx_http_acr_upload_point_synced(void *data, ngx_int_t rc);
static void ngx_http_acr_upload_point_saved(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_upload_body(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_upload_drain(ngx_http_acr_upload_t *u);
static void ngx_http_acr_upload_drained(ngx_http_acr_upload_t *u);
static ngx_int_t ngx_http_acr_upload_sync(void *data, ngx_log_t *log);
static void ngx_http_acr_upload_synced(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_upload_save(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u, off_t offset, const acr_hash_t *hash,
    ngx_uint_t release, ngx_http_acr_answer_pt next);
static ngx_uint_t ngx_http_acr_upload_save_args(ngx_http_acr_upload_t *u,
    off_t offset, const acr_hash_t *hash, ngx_uint_t release,
    ngx_str_t *args, u_char *buf);
static void ngx_http_acr_upload_saved(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_upload_refuse(ngx_http_acr_upload_t *u,
    ngx_uint_t status, acr_error_e error, const char *reason);
static void ngx_http_acr_upload_let_go(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u);
static ngx_int_t ngx_http_acr_upload_cut(void *data, ngx_log_t *log);
static void ngx_http_acr_upload_back(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_upload_gone(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_upload_dropped(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_upload_answer(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u);


#define NGX_HTTP_ACR_UPLOAD_SAVE_ARGS  7
#define NGX_HTTP_ACR_UPLOAD_SAVE_BUF   (ACR_HASH_SAVED_MAX + 2 * NGX_INT64_LEN)


void
ngx_http_acr_upload_begin(ngx_http_request_t *r, ngx_http_acr_upload_t *u)
{
    off_t  max, length;

    max = u->ctx->conf->max_blob_size;
    length = r->headers_in.content_length_n;

    if (max && (u->start > max || length > max - u->start)) {
        ngx_http_acr_upload_refuse(u, 0, ACR_E_SIZE_INVALID,
                                   "the blob is too large");
        ngx_http_acr_upload_let_go(r, u);
        return;
    }

    if (u->finish && length <= 0 && !r->headers_in.chunked
        && u->hash.alg == u->digest.alg)
    {
        /* nothing comes: the staging file is opened when it is committed */

        u->size = u->offset;

        ngx_http_acr_upload_finish(r, u);
        return;
    }

    ngx_http_acr_run(r, u->ctx->registry->slow, ngx_http_acr_upload_stage, u,
                     ngx_http_acr_upload_staged);
}


ngx_int_t
ngx_http_acr_upload_stage(void *data, ngx_log_t *log)
{
    ngx_http_acr_upload_t *u = data;

    if (u->fd != -1) {
        return NGX_OK;
    }

    return ngx_http_acr_store_stage(&u->ctx->registry->store,
                                    &u->ctx->repository, &u->uuid, &u->from,
                                    &u->file, u->offset, &u->fd, log);
}


static void
ngx_http_acr_upload_staged(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_upload_t *u = data;

    size_t  size;

    if (rc != NGX_OK) {

        if (rc == NGX_ENOENT) {
            ngx_http_acr_fail(r, ACR_E_BLOB_UPLOAD_UNKNOWN,
                              "the data of this upload is gone", "uuid",
                              &u->uuid);
            return;
        }

        u->err = rc;
        ngx_http_acr_upload_let_go(r, u);
        return;
    }

    size = (r->http_version >= NGX_HTTP_VERSION_20)
           ? NGX_HTTP_ACR_UPLOAD_WINDOW
           : NGX_HTTP_ACR_UPLOAD_READ;

    if (ngx_http_acr_upload_ring(r, u) != NGX_OK) {
        u->err = NGX_ERROR;
        ngx_http_acr_upload_let_go(r, u);
        return;
    }

    ngx_http_acr_body_read(r, size, ngx_http_acr_upload_sink,
                           ngx_http_acr_upload_body, u);
}


static ngx_int_t
ngx_http_acr_upload_ring(ngx_http_request_t *r, ngx_http_acr_upload_t *u)
{
    ngx_http_acr_loc_conf_t    *conf;
    ngx_http_acr_ring_owner_t   owner;

    conf = u->ctx->conf;

    owner.enter = ngx_http_acr_upload_enter;
    owner.leave = ngx_http_acr_upload_leave;
    owner.ready = ngx_http_acr_upload_ready;
    owner.over = ngx_http_acr_upload_over;
    owner.over_data = r->connection;

    u->ring = ngx_http_acr_ring_create(r->pool, u->ctx->registry->fast,
                                       &conf->large, conf->upload_buffers.num,
                                       u->fd, u->offset, &u->hash,
                                       u->ctx->registry->store.fsync, &owner,
                                       u);

    return (u->ring == NULL) ? NGX_ERROR : NGX_OK;
}


static ssize_t
ngx_http_acr_upload_sink(ngx_http_request_t *r, void *data, u_char *p,
    size_t n)
{
    ngx_http_acr_upload_t *u = data;

    off_t    max;
    ssize_t  taken;

    if (u->holding) {
        return 0;
    }

    if (u->refused) {
        return NGX_ERROR;
    }

    max = u->ctx->conf->max_blob_size;

    if (max && (off_t) n > max - u->start - u->received) {
        ngx_http_acr_upload_refuse(u, 0, ACR_E_SIZE_INVALID,
                                   "the blob is too large");
        return NGX_ERROR;
    }

    if (u->has_range
        && u->received + n > u->range.end - u->range.start + 1)
    {
        ngx_http_acr_upload_refuse(u, NGX_HTTP_BAD_REQUEST,
                                   ACR_E_SIZE_INVALID,
                                   "the body is longer than Content-Range");
        return NGX_ERROR;
    }

    taken = ngx_http_acr_ring_put(u->ring, p, n);

    if (taken == NGX_ERROR) {
        return NGX_ERROR;
    }

    u->received += taken;

    if (u->owner.len && !u->saving
        && ngx_http_acr_ring_offset(u->ring) - u->point
           >= NGX_HTTP_ACR_UPLOAD_POINT)
    {
        ngx_http_acr_upload_point(u);
    }

    return taken;
}


static void
ngx_http_acr_upload_enter(void *data)
{
    ngx_http_acr_upload_t *u = data;

    ngx_http_acr_enter(u->request);
}


static ngx_int_t
ngx_http_acr_upload_leave(void *data)
{
    ngx_http_acr_upload_t *u = data;

    return ngx_http_acr_leave(u->request);
}


/* a task of the ring is done */

static void
ngx_http_acr_upload_ready(void *data)
{
    ngx_http_acr_upload_t *u = data;

    if (u->draining) {
        ngx_http_acr_upload_drain(u);
        return;
    }

    if (u->holding) {
        ngx_http_acr_upload_point(u);
        return;
    }

    ngx_http_acr_body_resume(u->request);
}


static void
ngx_http_acr_upload_over(void *data)
{
    ngx_http_run_posted_requests(data);
}


/*
 * A save on the way.  The body is held up only until what is in the buffers is
 * written and hashed; it goes on while that is synced and saved.  If a save
 * fails the next one or the last one will tell, unless the session is lost:
 * then there is no use in going on.
 */

static void
ngx_http_acr_upload_point(ngx_http_acr_upload_t *u)
{
    u->holding = 1;

    if (ngx_http_acr_ring_drain(u->ring) == NGX_AGAIN) {
        return;
    }

    u->holding = 0;

    if (ngx_http_acr_ring_error(u->ring) == 0) {
        u->point = ngx_http_acr_ring_offset(u->ring);
        u->point_hash = *ngx_http_acr_ring_hash(u->ring);

        u->point_sync.work = ngx_http_acr_upload_sync;
        u->point_sync.done = ngx_http_acr_upload_point_synced;
        u->point_sync.data = u;

        if (ngx_http_acr_task_post(&u->point_sync, u->ctx->registry->slow)
            == NGX_OK)
        {
            u->saving = 1;
            ngx_http_acr_enter(u->request);
        }
    }

    ngx_http_acr_body_resume(u->request);
}


static void
ngx_http_acr_upload_point_synced(void *data, ngx_int_t rc)
{
    ngx_http_acr_upload_t *u = data;

    u_char               buf[NGX_HTTP_ACR_UPLOAD_SAVE_BUF];
    ngx_str_t            args[NGX_HTTP_ACR_UPLOAD_SAVE_ARGS];
    ngx_uint_t           n;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = u->request;
    c = r->connection;

    if (ngx_http_acr_leave(r) != NGX_OK) {
        ngx_http_run_posted_requests(c);
        return;
    }

    if (rc == NGX_OK) {
        n = ngx_http_acr_upload_save_args(u, u->point, &u->point_hash, 0,
                                          args, buf);

        if (ngx_http_acr_meta_call(u->ctx->registry->meta,
                                   ACR_SCRIPT_UPLOAD_SAVE, args, n,
                                   ngx_http_acr_upload_point_saved, u)
            == NGX_OK)
        {
            ngx_http_acr_enter(r);
            return;
        }

    } else {
        ngx_http_acr_upload_refuse(u, 0, ACR_E_UNKNOWN, NULL);
        u->err = rc;
    }

    u->saving = 0;

    if (u->draining) {
        ngx_http_acr_upload_drain(u);
    }

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_acr_upload_point_saved(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_upload_t *u = data;

    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = u->request;
    c = r->connection;

    if (ngx_http_acr_leave(r) == NGX_OK) {
        u->saving = 0;

        if (reply->status == NGX_HTTP_ACR_META_OK) {
            u->offset = u->point;
            u->hash = u->point_hash;

        } else if (reply->status == NGX_HTTP_ACR_META_LOST
                   || reply->status == NGX_HTTP_ACR_META_UNKNOWN)
        {
            ngx_http_acr_upload_refuse(u, NGX_HTTP_CONFLICT,
                                       ACR_E_BLOB_UPLOAD_INVALID,
                                       "another request has taken this "
                                       "upload over");
        }

        if (u->draining) {
            ngx_http_acr_upload_drain(u);
        }
    }

    ngx_http_run_posted_requests(c);
}


/* the body is over, one way or another */

static void
ngx_http_acr_upload_body(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_upload_t *u = data;

    u->body_rc = rc;
    u->holding = 0;
    u->draining = 1;

    ngx_http_acr_upload_drain(u);
}


/* called until nothing is under way beside us */

static void
ngx_http_acr_upload_drain(ngx_http_acr_upload_t *u)
{
    if (ngx_http_acr_ring_drain(u->ring) == NGX_AGAIN || u->saving) {
        return;
    }

    u->draining = 0;

    ngx_http_acr_upload_drained(u);
}


static void
ngx_http_acr_upload_drained(ngx_http_acr_upload_t *u)
{
    ngx_http_request_t  *r;

    r = u->request;

    if (ngx_http_acr_ring_error(u->ring)) {
        u->err = ngx_http_acr_ring_error(u->ring);
    }

    if (u->err || u->refused) {
        ngx_http_acr_upload_let_go(r, u);
        return;
    }

    if (u->body_rc == NGX_OK && u->has_range
        && (uint64_t) u->received != u->range.end - u->range.start + 1)
    {
        ngx_http_acr_upload_refuse(u, NGX_HTTP_BAD_REQUEST,
                                   ACR_E_SIZE_INVALID,
                                   "the body is shorter than Content-Range");
        ngx_http_acr_upload_let_go(r, u);
        return;
    }

    if (u->body_rc == NGX_OK && u->finish) {
        u->size = ngx_http_acr_ring_offset(u->ring);
        u->hash = *ngx_http_acr_ring_hash(u->ring);

        ngx_http_acr_upload_finish(r, u);
        return;
    }

    if (u->owner.len == 0) {

        /* the client has left a blob in a single request: nothing to keep */

        ngx_http_acr_upload_discard(r, u, ngx_http_acr_upload_dropped);
        return;
    }

    /*
     * What has arrived is saved, whether the client has sent all or has left:
     * it can go on from there.
     */

    ngx_http_acr_run(r, u->ctx->registry->slow, ngx_http_acr_upload_sync, u,
                     ngx_http_acr_upload_synced);
}


static ngx_int_t
ngx_http_acr_upload_sync(void *data, ngx_log_t *log)
{
    ngx_http_acr_upload_t *u = data;

    return ngx_http_acr_store_sync(&u->ctx->registry->store, u->fd, log);
}


static void
ngx_http_acr_upload_synced(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_upload_t *u = data;

    if (rc != NGX_OK) {
        u->err = rc;
        ngx_http_acr_upload_let_go(r, u);
        return;
    }

    ngx_http_acr_upload_save(r, u, ngx_http_acr_ring_offset(u->ring),
                             ngx_http_acr_ring_hash(u->ring),
                             1, ngx_http_acr_upload_saved);
}


/* the last save of this request */

static void
ngx_http_acr_upload_save(ngx_http_request_t *r, ngx_http_acr_upload_t *u,
    off_t offset, const acr_hash_t *hash, ngx_uint_t release,
    ngx_http_acr_answer_pt next)
{
    u_char      buf[NGX_HTTP_ACR_UPLOAD_SAVE_BUF];
    ngx_str_t   args[NGX_HTTP_ACR_UPLOAD_SAVE_ARGS];
    ngx_uint_t  n;

    n = ngx_http_acr_upload_save_args(u, offset, hash, release, args, buf);

    ngx_http_acr_ask(r, ACR_SCRIPT_UPLOAD_SAVE, args, n, next, u);
}


static ngx_uint_t
ngx_http_acr_upload_save_args(ngx_http_acr_upload_t *u, off_t offset,
    const acr_hash_t *hash, ngx_uint_t release, ngx_str_t *args, u_char *buf)
{
    args[0] = u->uuid;
    args[1] = u->owner;

    args[2].data = buf;
    args[2].len = ngx_sprintf(buf, "%O", offset) - buf;
    buf += args[2].len;

    args[3].data = buf;
    args[3].len = acr_hash_save(hash, buf);
    buf += args[3].len;

    args[4] = u->file;

    if (release) {
        ngx_str_set(&args[5], "1");

    } else {
        ngx_str_set(&args[5], "0");
    }

    args[6].data = buf;
    args[6].len = ngx_sprintf(buf, "%T", u->ctx->conf->upload_expires) - buf;

    return NGX_HTTP_ACR_UPLOAD_SAVE_ARGS;
}


static void
ngx_http_acr_upload_saved(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_upload_t *u = data;

    if (u->body_rc != NGX_OK) {
        ngx_http_acr_upload_gone(r, u, reply);
        return;
    }

    if (reply->status != NGX_HTTP_ACR_META_OK) {
        ngx_http_acr_upload_not_ok(r, u, reply->status);
        return;
    }

    if (ngx_http_acr_upload_headers(r, u, ngx_http_acr_ring_offset(u->ring))
        != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_send_status(r, NGX_HTTP_ACCEPTED);
}


static void
ngx_http_acr_upload_refuse(ngx_http_acr_upload_t *u, ngx_uint_t status,
    acr_error_e error, const char *reason)
{
    u->refused = 1;
    u->status = status;
    u->error = error;
    u->reason = reason;
}


/*
 * The request is refused, or has failed: the session goes back to what was
 * saved before, so that the client can go on from there.
 */

static void
ngx_http_acr_upload_let_go(ngx_http_request_t *r, ngx_http_acr_upload_t *u)
{
    if (u->owner.len == 0) {
        ngx_http_acr_upload_discard(r, u, ngx_http_acr_upload_dropped);
        return;
    }

    if (u->fd != -1) {
        ngx_http_acr_run(r, u->ctx->registry->slow, ngx_http_acr_upload_cut,
                         u, ngx_http_acr_upload_back);
        return;
    }

    ngx_http_acr_upload_back(r, u, NGX_OK);
}


/*
 * What is not saved would only keep the room from others.  A save on the way
 * whose answer was lost may have happened.
 */

static ngx_int_t
ngx_http_acr_upload_cut(void *data, ngx_log_t *log)
{
    ngx_http_acr_upload_t *u = data;

    if (ftruncate(u->fd, u->point) == -1) {
        ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                      "acr: ftruncate() of upload %V failed", &u->uuid);
    }

    return NGX_OK;
}


/*
 * If this request has no file of its own yet, the session keeps the one it
 * had, and is not let go if somebody else may still write there.
 */

static void
ngx_http_acr_upload_back(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_upload_t *u = data;

    ngx_uint_t  release;

    release = 1;

    if (u->fd == -1) {
        u->file = u->from;
        release = u->clean || u->from.len == 0;
    }

    ngx_http_acr_upload_save(r, u, u->offset, &u->hash, release,
                             ngx_http_acr_upload_gone);
}


static void
ngx_http_acr_upload_gone(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_upload_t *u = data;

    if (reply->status == NGX_HTTP_ACR_META_UNKNOWN) {

        /* it was cancelled, perhaps before this request had made its file */

        ngx_http_acr_upload_discard(r, u, ngx_http_acr_upload_dropped);
        return;
    }

    ngx_http_acr_upload_answer(r, u);
}


static void
ngx_http_acr_upload_dropped(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_upload_answer(r, data);
}


static void
ngx_http_acr_upload_answer(ngx_http_request_t *r, ngx_http_acr_upload_t *u)
{
    if (u->err) {
        ngx_http_acr_fail_errno(r, u->err);
        return;
    }

    if (!u->refused) {
        ngx_http_acr_body_failed(r, u->body_rc);
        return;
    }

    if (u->status) {
        ngx_http_acr_fail_status(r, u->status, u->error, u->reason, "uuid",
                                 &u->uuid);
        return;
    }

    ngx_http_acr_fail(r, u->error, u->reason, "uuid", &u->uuid);
}
