
/*
 * What a filler asks of the origin, and how its answers are taken.  What the
 * file has already is not asked for again, and an origin that fails in between
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

/* of an answer that is an error */
#define NGX_HTTP_ACR_FILLER_ERROR    4096


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
static void ngx_http_acr_filler_answered(
    ngx_http_acr_remote_request_t *request);
static void ngx_http_acr_filler_failed(ngx_http_acr_filler_t *filler);


void
ngx_http_acr_filler_ask(ngx_http_acr_filler_t *filler)
{
    ngx_http_acr_remote_request_t  *request;

    filler->state = NGX_HTTP_ACR_FILLER_RECEIVE;
    filler->began = ngx_http_acr_ring_offset(filler->ring);
    filler->skip = 0;
    filler->again = 0;
    filler->held = 0;
    filler->paid = 0;

    ngx_http_acr_filler_headers(filler);

    request = &filler->request;

    request->remote = filler->fill->source.remote;
    request->max = NGX_HTTP_ACR_FILLER_ERROR;
    request->idle = request->remote->timeout;
    request->head = ngx_http_acr_filler_head;
    request->piece = ngx_http_acr_filler_piece;
    request->done = ngx_http_acr_filler_answered;

    ngx_add_timer(&filler->timer, NGX_HTTP_ACR_FILL_GUARD);

    if (ngx_http_acr_remote_start(request) != NGX_OK) {
        ngx_http_acr_filler_give_up(filler, NGX_HTTP_ACR_FILL_E_ORIGIN, 0);
    }
}


/* a name and a digest need no escaping */

ngx_int_t
ngx_http_acr_filler_prepare(ngx_http_acr_filler_t *filler)
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

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_acr_remote_header(request, "ETag", &etag) == NGX_OK
        && etag.len <= NGX_HTTP_ACR_FILL_ETAG)
    {
        ngx_memcpy(filler->file.etag, etag.data, etag.len);
        filler->file.etag_len = etag.len;
    }

    filler->heard = 1;

    if (filler->file.size != -1) {
        ngx_http_acr_fills_set_size(filler->fill->registry->zone,
                                    &filler->fill->ref, filler->file.size);
    }

    ngx_http_acr_filler_mark(filler);

    return NGX_OK;
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
    if (filler->file.size == size) {
        return NGX_OK;
    }

    if (filler->file.size != -1 || size < filler->began) {
        ngx_str_set(&filler->request.error, "the content has another size");
        filler->discard = 1;
        return NGX_ERROR;
    }

    filler->file.size = size;

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

    if (done == 0 && !filler->paid
        && ngx_http_acr_fills_take(registry->zone, registry->fill_rate, n)
           != NGX_OK)
    {
        return ngx_http_acr_filler_hold(filler, 1);
    }

    filler->paid = 1;

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

    ngx_http_acr_count(registry->zone, NGX_HTTP_ACR_C_FETCHED, skip + taken);

    if (!filler->flush.timer_set) {
        ngx_add_timer(&filler->flush, NGX_HTTP_ACR_FILLER_FLUSH);
    }

    if (done < n) {
        filler->again = done;
        return ngx_http_acr_filler_hold(filler, 0);
    }

    filler->again -= ngx_min(filler->again, n);
    filler->paid = (filler->again != 0);

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

    /* a save may have nothing else that begins it */

    if ((turn || filler->saving) && !filler->flush.timer_set) {
        ngx_add_timer(&filler->flush, NGX_HTTP_ACR_FILLS_TURN);
    }

    return NGX_AGAIN;
}


void
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

    ngx_http_acr_filler_over(filler);
}


static void
ngx_http_acr_filler_failed(ngx_http_acr_filler_t *filler)
{
    ngx_uint_t                      level;
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

    level = (request->result == NGX_HTTP_ACR_REMOTE_MISSING) ? NGX_LOG_INFO
                                                             : NGX_LOG_ERR;

    ngx_log_error(level, ngx_cycle->log, 0,
                  "acr: fetching \"%V\" from \"%V/%V\" failed at %O of %O: %V",
                  &fill->text, &fill->source.remote->host,
                  &fill->source.repository,
                  ngx_http_acr_ring_offset(filler->ring), filler->file.size,
                  &request->error);

    /* it is not the origin that has failed: this worker ends */

    if (ngx_http_acr_fetch_closing(request->remote->client)) {
        filler->handed = 1;
        ngx_http_acr_filler_give_up(filler, NGX_HTTP_ACR_FILL_E_ORIGIN, 0);
        return;
    }

    error = ngx_http_acr_fill_error(request->result);

    if (error == NGX_HTTP_ACR_FILL_E_ORIGIN) {

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
            && !filler->discard)
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


ngx_http_acr_fill_error_e
ngx_http_acr_fill_error(ngx_http_acr_remote_result_e result)
{
    switch (result) {

    case NGX_HTTP_ACR_REMOTE_MISSING:
        return NGX_HTTP_ACR_FILL_E_MISSING;

    case NGX_HTTP_ACR_REMOTE_DENIED:
        return NGX_HTTP_ACR_FILL_E_DENIED;

    case NGX_HTTP_ACR_REMOTE_LIMITED:
        return NGX_HTTP_ACR_FILL_E_LIMITED;

    default:
        return NGX_HTTP_ACR_FILL_E_ORIGIN;
    }
}
