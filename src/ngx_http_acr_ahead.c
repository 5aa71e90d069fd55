
#include "ngx_http_acr_ahead.h"

#include <sys/uio.h>


/* so much is looked at, and sent, at once */
#define NGX_HTTP_ACR_AHEAD_PART  (2 * 1024 * 1024)

/* the kernel reads in steps of this, so a page in each tells of the others */
#define NGX_HTTP_ACR_AHEAD_STEP  (128 * 1024)

/* ms for which that is good */
#define NGX_HTTP_ACR_AHEAD_GOOD  1000

/* in r->buffered, beside those of nginx: there is more to be sent */
#define NGX_HTTP_ACR_AHEAD_MORE  0x08


struct ngx_http_acr_ahead_s {
    ngx_http_request_t     *request;
    ngx_http_acr_pool_t    *tp;
    ngx_file_t             *file;

    ngx_chain_t            *rest;        /* what is still to be given on */
    ngx_buf_t               part;        /* that the next filter has */
    ngx_chain_t             link;

    ngx_http_acr_growing_t *growing;     /* or NULL: all of it is there */
    off_t                   end;         /* up to here it is there */

    off_t                   cached;      /* up to here it is in memory */
    ngx_msec_t              looked;      /* when that was found out */

    ngx_http_acr_task_t     task;
    off_t                   from;        /* what it reads */
    size_t                  len;
};


static ngx_int_t ngx_http_acr_ahead_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_uint_t ngx_http_acr_ahead_has(ngx_http_acr_ahead_t *ahead,
    ngx_chain_t *in);
static ngx_int_t ngx_http_acr_ahead_send(ngx_http_acr_ahead_t *ahead);
static ngx_buf_t *ngx_http_acr_ahead_buf(ngx_http_acr_ahead_t *ahead);
static size_t ngx_http_acr_ahead_size(ngx_http_acr_ahead_t *ahead);
static ngx_chain_t *ngx_http_acr_ahead_next(ngx_http_acr_ahead_t *ahead);
static ngx_int_t ngx_http_acr_ahead_grown(ngx_http_acr_ahead_t *ahead);
static ngx_uint_t ngx_http_acr_ahead_cached(ngx_http_acr_ahead_t *ahead);
static ngx_int_t ngx_http_acr_ahead_fetch(ngx_http_acr_ahead_t *ahead);
static ngx_int_t ngx_http_acr_ahead_read(void *data, ngx_log_t *log);
static void ngx_http_acr_ahead_done(void *data, ngx_int_t rc);


static ngx_http_output_body_filter_pt  ngx_http_next_body_filter;


void
ngx_http_acr_ahead_init(void)
{
    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_acr_ahead_filter;
}


ngx_int_t
ngx_http_acr_ahead(ngx_http_request_t *r, ngx_buf_t *b,
    ngx_http_acr_growing_t *growing)
{
    ngx_http_acr_ctx_t    *ctx;
    ngx_http_acr_ahead_t  *ahead;

    /* direct input does without the page cache */

    if (b->file->directio) {
        return NGX_OK;
    }

    ahead = ngx_pcalloc(r->pool, sizeof(ngx_http_acr_ahead_t));

    if (ahead == NULL) {
        return NGX_ERROR;
    }

    ctx = ngx_http_acr_get_ctx(r);

    ahead->request = r;
    ahead->tp = ctx->registry->slow;
    ahead->file = b->file;
    ahead->growing = growing;
    ahead->end = growing ? 0 : NGX_MAX_OFF_T_VALUE;

    ctx->ahead = ahead;

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_ahead_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_acr_ctx_t    *ctx;
    ngx_http_acr_ahead_t  *ahead;

    ctx = ngx_http_get_module_ctx(r, ngx_http_acr_module);

    if (ctx == NULL || ctx->ahead == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    ahead = ctx->ahead;

    if (ahead->rest == NULL && ngx_http_acr_ahead_has(ahead, in)) {

        /* the links are the caller's */

        if (ngx_chain_add_copy(r->pool, &ahead->rest, in) != NGX_OK) {
            return NGX_ERROR;
        }

    } else if (in || ahead->rest == NULL) {
        ctx->ahead = NULL;
        return ngx_http_next_body_filter(r, in);
    }

    return ngx_http_acr_ahead_send(ahead);
}


/* there are several if the client wants several ranges */

static ngx_uint_t
ngx_http_acr_ahead_has(ngx_http_acr_ahead_t *ahead, ngx_chain_t *in)
{
    for ( /* void */ ; in; in = in->next) {

        if (in->buf->in_file && in->buf->file == ahead->file) {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_acr_ahead_send(ngx_http_acr_ahead_t *ahead)
{
    ngx_int_t            rc;
    ngx_event_t         *wev;
    ngx_http_request_t  *r;

    r = ahead->request;
    wev = r->connection->write;

    /* what the next filters still have goes first */

    if (ngx_buf_size(&ahead->part) || r->connection->buffered
        || (r->buffered & NGX_HTTP_COPY_BUFFERED))
    {
        rc = ngx_http_next_body_filter(r, NULL);

        if (rc == NGX_ERROR || ngx_buf_size(&ahead->part)
            || !wev->ready || wev->delayed)
        {
            return rc;
        }
    }

    rc = ngx_http_acr_ahead_grown(ahead);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_AGAIN
        || (!ngx_http_acr_ahead_cached(ahead)
            && ngx_http_acr_ahead_fetch(ahead) == NGX_OK))
    {
        r->buffered |= NGX_HTTP_ACR_AHEAD_MORE;
        return NGX_AGAIN;
    }

    rc = ngx_http_next_body_filter(r, ngx_http_acr_ahead_next(ahead));

    if (rc == NGX_ERROR || ahead->rest == NULL) {
        return rc;
    }

    /*
     * Others have their turn before the next part, as after each
     * sendfile_max_chunk.  NGX_AGAIN may be only that TLS waits for a record to
     * be full, for which no event comes.
     */

    if (ngx_buf_size(&ahead->part) == 0 && wev->ready && !wev->delayed) {
        ngx_post_event(wev, &ngx_posted_next_events);
        return NGX_AGAIN;
    }

    return rc;
}


/* the next one of the rest that is of the file, or NULL */

static ngx_buf_t *
ngx_http_acr_ahead_buf(ngx_http_acr_ahead_t *ahead)
{
    ngx_chain_t  *cl;

    for (cl = ahead->rest; cl; cl = cl->next) {

        if (cl->buf->in_file) {
            return cl->buf;
        }
    }

    return NULL;
}


/* of the next part of this one, perhaps the last */

static size_t
ngx_http_acr_ahead_size(ngx_http_acr_ahead_t *ahead)
{
    off_t       size;
    ngx_buf_t  *buf;

    buf = ngx_http_acr_ahead_buf(ahead);

    size = ngx_min(ngx_buf_size(buf), NGX_HTTP_ACR_AHEAD_PART);

    return ngx_min(size, ahead->end - buf->file_pos);
}


/* what comes before the next part, and the part */

static ngx_chain_t *
ngx_http_acr_ahead_next(ngx_http_acr_ahead_t *ahead)
{
    size_t         size;
    ngx_buf_t     *buf, *part;
    ngx_chain_t   *out, *cl, **last;

    out = NULL;
    last = &out;
    part = &ahead->part;

    for (cl = ahead->rest; cl && !cl->buf->in_file; cl = cl->next) {
        *last = cl;
        last = &cl->next;
    }

    if (cl) {
        buf = cl->buf;
        size = ngx_http_acr_ahead_size(ahead);

        *part = *buf;
        part->file_last = part->file_pos + size;
        buf->file_pos += size;

        ahead->link.buf = part;
        ahead->link.next = NULL;
        *last = &ahead->link;

        if (buf->file_pos == buf->file_last) {
            cl = cl->next;

        } else {
            part->last_buf = 0;
            part->last_in_chain = 0;
        }
    }

    ahead->rest = cl;

    if (cl) {
        ahead->request->buffered |= NGX_HTTP_ACR_AHEAD_MORE;

        /* or a small part would wait for the next one */

        part->flush = 1;

    } else {
        ahead->request->buffered &= ~NGX_HTTP_ACR_AHEAD_MORE;
    }

    return out;
}


/*
 * Is the beginning of the next part there?  NGX_AGAIN: it is told when it is;
 * NGX_ERROR: it never will be.
 */

static ngx_int_t
ngx_http_acr_ahead_grown(ngx_http_acr_ahead_t *ahead)
{
    ngx_buf_t  *buf;

    buf = ngx_http_acr_ahead_buf(ahead);

    if (buf == NULL || buf->file_pos < ahead->end) {
        return NGX_OK;
    }

    ahead->end = ahead->growing->there(ahead->growing->data);

    if (ahead->end == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (buf->file_pos < ahead->end) {
        return NGX_OK;
    }

    ahead->growing->wait(ahead->growing->data, buf->file_pos);

    return NGX_AGAIN;
}


/* is the next part in memory?  What was there a moment ago is not looked at
   again. */

static ngx_uint_t
ngx_http_acr_ahead_cached(ngx_http_acr_ahead_t *ahead)
{
#ifdef RWF_NOWAIT

    off_t         last;
    u_char        byte;
    ngx_buf_t    *buf;
    struct iovec  iov;

    buf = ngx_http_acr_ahead_buf(ahead);

    if (buf == NULL) {
        return 1;
    }

    iov.iov_base = &byte;
    iov.iov_len = 1;

    last = buf->file_pos + ngx_http_acr_ahead_size(ahead);

    /* ranges may be in any order */

    if (ahead->cached < buf->file_pos
        || ahead->cached - buf->file_pos > 2 * NGX_HTTP_ACR_AHEAD_PART
        || ngx_current_msec - ahead->looked > NGX_HTTP_ACR_AHEAD_GOOD)
    {
        ahead->looked = ngx_current_msec;
        ahead->cached = buf->file_pos;
    }

    while (ahead->cached < last) {

        if (preadv2(ahead->file->fd, &iov, 1, ahead->cached, RWF_NOWAIT) != 1)
        {
            return 0;
        }

        ahead->cached += NGX_HTTP_ACR_AHEAD_STEP;
    }

#endif

    return 1;
}


/* NGX_ERROR: no thread can be had, so the worker may have to wait */

static ngx_int_t
ngx_http_acr_ahead_fetch(ngx_http_acr_ahead_t *ahead)
{
    ngx_http_request_t  *r;

    r = ahead->request;

    ahead->from = ngx_http_acr_ahead_buf(ahead)->file_pos;
    ahead->len = ngx_http_acr_ahead_size(ahead);

    ahead->task.work = ngx_http_acr_ahead_read;
    ahead->task.done = ngx_http_acr_ahead_done;
    ahead->task.data = ahead;

    if (ngx_http_acr_task_post(&ahead->task, ahead->tp) != NGX_OK) {
        return NGX_ERROR;
    }

    r->main->blocked++;
    r->aio = 1;

    return NGX_OK;
}


/* whatever goes wrong will be met again by who sends it */

static ngx_int_t
ngx_http_acr_ahead_read(void *data, ngx_log_t *log)
{
    ngx_http_acr_ahead_t *ahead = data;

    size_t     done;
    u_char    *p;
    ssize_t    n;
    ngx_fd_t   fd;

    fd = ahead->file->fd;
    p = ngx_alloc(NGX_HTTP_ACR_AHEAD_STEP, log);

    if (p == NULL) {
        return NGX_ERROR;
    }

    /* this part and the next one, which the disk reads while this is sent */

    (void) posix_fadvise(fd, ahead->from, 2 * ahead->len,
                         POSIX_FADV_WILLNEED);

    for (done = 0; done < ahead->len; done += n) {
        n = pread(fd, p, ngx_min(ahead->len - done, NGX_HTTP_ACR_AHEAD_STEP),
                  ahead->from + done);

        if (n <= 0) {
            break;
        }
    }

    ngx_free(p);

    return NGX_OK;
}


static void
ngx_http_acr_ahead_done(void *data, ngx_int_t rc)
{
    ngx_http_acr_ahead_t *ahead = data;

    ngx_http_request_t  *r;

    r = ahead->request;

    /* nobody looks again at what was read just now, so that the transfer goes
       on even if it is in the cache no more */

    ahead->cached = ahead->from + ahead->len;
    ahead->looked = ngx_current_msec;

    r->main->blocked--;
    r->aio = 0;

    ngx_http_acr_ahead_go_on(r);
}


/* as nginx's copy filter does it after a thread has read */

void
ngx_http_acr_ahead_go_on(ngx_http_request_t *r)
{
    ngx_connection_t  *c;

    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    r->write_event_handler(r);

    ngx_http_run_posted_requests(c);
}
