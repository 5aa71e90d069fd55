
#include "ngx_http_acr_body.h"
#include "ngx_http_acr_response.h"
#include "ngx_http_acr_step.h"


struct ngx_http_acr_body_s {
    ngx_http_acr_body_sink_pt   sink;
    ngx_http_acr_body_done_pt   done;
    void                       *data;
    void                      **loc_conf;
    ngx_int_t                   rc;        /* how it ends, 0: not known */
    unsigned                    begun:1;
    unsigned                    stalled:1;
    unsigned                    ended:1;
};


typedef struct {
    u_char                    **p;
    size_t                     *n;
    size_t                      max;
    size_t                      size;      /* allocated */
    ngx_http_acr_next_pt        next;
    void                       *data;
    unsigned                    too_large:1;
} ngx_http_acr_collect_t;


static ngx_int_t ngx_http_acr_body_buffer(ngx_http_request_t *r,
    ngx_http_acr_body_t *body, size_t size);
static void ngx_http_acr_body_begin(ngx_http_request_t *r);
static void ngx_http_acr_body_event(ngx_http_request_t *r);
static void ngx_http_acr_body_stall(ngx_http_request_t *r,
    ngx_http_acr_body_t *body);
static ngx_int_t ngx_http_acr_body_feed(ngx_http_request_t *r,
    ngx_http_acr_body_t *body);
static void ngx_http_acr_body_end(ngx_http_request_t *r, ngx_int_t rc);
static ssize_t ngx_http_acr_collect_sink(ngx_http_request_t *r, void *data,
    u_char *p, size_t n);
static void ngx_http_acr_collect_done(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_collect_cleanup(void *data);


void
ngx_http_acr_body_read(ngx_http_request_t *r, size_t buffer,
    ngx_http_acr_body_sink_pt sink, ngx_http_acr_body_done_pt done,
    void *data)
{
    ngx_int_t             rc;
    ngx_http_acr_ctx_t   *ctx;
    ngx_http_acr_body_t  *body;

    body = ngx_pcalloc(r->pool, sizeof(ngx_http_acr_body_t));

    if (body == NULL || ngx_http_acr_body_buffer(r, body, buffer) != NGX_OK) {
        done(r, data, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    body->sink = sink;
    body->done = done;
    body->data = data;

    ctx = ngx_http_acr_get_ctx(r);
    ctx->body = body;

    r->request_body_no_buffering = 1;

    rc = ngx_http_read_client_request_body(r, ngx_http_acr_body_begin);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {

        /* nginx has dropped the reference that it took */

        r->loc_conf = body->loc_conf;

        ngx_http_acr_body_end(r, rc);
        return;
    }

    if (!body->begun) {

        /*
         * A stream of HTTP/2 that has ended already: nginx would go on by a
         * handler of its own, which answers errors by itself.
         */

        r->request_body_no_buffering = 1;
        r->reading_body = 1;

        ngx_http_acr_body_begin(r);
    }

    ngx_http_finalize_request(r, NGX_DONE);
}


/*
 * nginx makes its buffer as large as the location says, so it is shown a copy
 * while it does that.  Not longer: nginx looks at the configuration of a
 * request also after it has freed its pool.
 */

static ngx_int_t
ngx_http_acr_body_buffer(ngx_http_request_t *r, ngx_http_acr_body_t *body,
    size_t size)
{
    void                      **loc_conf;
    ngx_http_core_loc_conf_t   *clcf, *copy;

    body->loc_conf = r->loc_conf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->client_body_buffer_size >= size) {
        return NGX_OK;
    }

    copy = ngx_palloc(r->pool, sizeof(ngx_http_core_loc_conf_t));
    loc_conf = ngx_palloc(r->pool, ngx_http_max_module * sizeof(void *));

    if (copy == NULL || loc_conf == NULL) {
        return NGX_ERROR;
    }

    *copy = *clcf;
    copy->client_body_buffer_size = size;

    ngx_memcpy(loc_conf, r->loc_conf, ngx_http_max_module * sizeof(void *));
    loc_conf[ngx_http_core_module.ctx_index] = copy;

    r->loc_conf = loc_conf;

    return NGX_OK;
}


void
ngx_http_acr_body_resume(ngx_http_request_t *r)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    if (ctx->body->stalled) {
        ctx->body->stalled = 0;
        ngx_http_acr_body_event(r);
    }
}


static void
ngx_http_acr_body_begin(ngx_http_request_t *r)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    ctx->body->begun = 1;
    r->loc_conf = ctx->body->loc_conf;

    r->read_event_handler = ngx_http_acr_body_event;

    ngx_http_acr_body_event(r);
}


static void
ngx_http_acr_body_event(ngx_http_request_t *r)
{
    ngx_int_t             rc;
    ngx_http_acr_ctx_t   *ctx;
    ngx_http_acr_body_t  *body;

    ctx = ngx_http_acr_get_ctx(r);
    body = ctx->body;

    if (body->ended) {
        return;
    }

    if (body->stalled) {

        /* nginx sets the timer with every frame of HTTP/2 */

        ngx_http_acr_body_stall(r, body);
        return;
    }

    for ( ;; ) {

        rc = ngx_http_acr_body_feed(r, body);

        if (rc == NGX_AGAIN) {
            ngx_http_acr_body_stall(r, body);
            return;
        }

        if (rc == NGX_ERROR) {
            ngx_http_acr_body_end(r, NGX_ABORT);
            return;
        }

        if (rc == NGX_DECLINED) {
            ngx_http_acr_body_end(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
            return;
        }

        if (body->rc || !r->reading_body) {
            ngx_http_acr_body_end(r, body->rc);
            return;
        }

        rc = ngx_http_read_unbuffered_request_body(r);

        if (rc == NGX_ERROR) {
            rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {

            /* what came before that counts */

            body->rc = rc;
            continue;
        }

        if (rc == NGX_AGAIN && r->request_body->bufs == NULL) {
            return;
        }
    }
}


/* it is we who wait now, not the client who is late */

static void
ngx_http_acr_body_stall(ngx_http_request_t *r, ngx_http_acr_body_t *body)
{
    ngx_event_t  *rev;

    body->stalled = 1;

    rev = r->connection->read;

    if (rev->timer_set) {
        ngx_del_timer(rev);
    }
}


/*
 * Gives the sink what nginx has read.  Links go back to the pool at once, so
 * that a body of any length needs only a few; the buffers stay nginx's.
 * NGX_DECLINED: another module has had nginx read it into a file.
 */

static ngx_int_t
ngx_http_acr_body_feed(ngx_http_request_t *r, ngx_http_acr_body_t *body)
{
    size_t                    size;
    ssize_t                   n;
    ngx_buf_t                *b;
    ngx_chain_t              *cl;
    ngx_http_request_body_t  *rb;

    rb = r->request_body;

    while (rb->bufs) {
        cl = rb->bufs;
        b = cl->buf;
        size = b->last - b->pos;

        if (b->in_file) {
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                          "acr: the request's body was read before, into a "
                          "file: does \"mirror\" need \"mirror_request_body "
                          "off\"?");
            return NGX_DECLINED;
        }

        if (size) {
            n = body->sink(r, body->data, b->pos, size);

            if (n == NGX_ERROR) {
                return NGX_ERROR;
            }

            b->pos += n;

            if ((size_t) n < size) {
                return NGX_AGAIN;
            }
        }

        rb->bufs = cl->next;
        ngx_free_chain(r->pool, cl);
    }

    return NGX_OK;
}


static void
ngx_http_acr_body_end(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_http_acr_ctx_t   *ctx;
    ngx_http_acr_body_t  *body;

    ctx = ngx_http_acr_get_ctx(r);
    body = ctx->body;

    body->ended = 1;
    r->read_event_handler = ngx_http_block_reading;

    body->done(r, body->data, rc);
}


void
ngx_http_acr_body_failed(ngx_http_request_t *r, ngx_int_t rc)
{
    if (r->connection->error || rc == NGX_HTTP_REQUEST_TIME_OUT) {
        ngx_http_acr_finalize(r, rc);
        return;
    }

    /* where the body ends is not known */

    r->keepalive = 0;

    if (rc == NGX_HTTP_BAD_REQUEST) {
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_REQUEST, ACR_E_SIZE_INVALID,
                                 "the request's body is malformed", NULL,
                                 NULL);
        return;
    }

    ngx_http_acr_fail(r, ACR_E_UNKNOWN, NULL, NULL, NULL);
}


void
ngx_http_acr_body_collect(ngx_http_request_t *r, size_t max, u_char **p,
    size_t *n, ngx_http_acr_next_pt next, void *data)
{
    ngx_pool_cleanup_t      *cln;
    ngx_http_acr_collect_t  *collect;

    if (r->headers_in.content_length_n > (off_t) max) {
        ngx_http_acr_fail(r, ACR_E_SIZE_INVALID, "the body is too large",
                          NULL, NULL);
        return;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_collect_t));

    if (cln == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    collect = cln->data;

    ngx_memzero(collect, sizeof(ngx_http_acr_collect_t));

    collect->p = p;
    collect->n = n;
    collect->max = max;
    collect->next = next;
    collect->data = data;

    *p = NULL;
    *n = 0;

    cln->handler = ngx_http_acr_collect_cleanup;

    ngx_http_acr_body_read(r, 0, ngx_http_acr_collect_sink,
                           ngx_http_acr_collect_done, collect);
}


static ssize_t
ngx_http_acr_collect_sink(ngx_http_request_t *r, void *data, u_char *p,
    size_t n)
{
    ngx_http_acr_collect_t *collect = data;

    size_t   size;
    u_char  *new;

    if (n > collect->max - *collect->n) {
        collect->too_large = 1;
        return NGX_ERROR;
    }

    if (n > collect->size - *collect->n) {
        size = ngx_max(2 * collect->size, *collect->n + n);
        size = ngx_min(ngx_max(size, 4096), collect->max);

        new = realloc(*collect->p, size);

        if (new == NULL) {
            ngx_log_error(NGX_LOG_EMERG, r->connection->log, ngx_errno,
                          "acr: realloc(%uz) failed", size);
            return NGX_ERROR;
        }

        *collect->p = new;
        collect->size = size;
    }

    ngx_memcpy(*collect->p + *collect->n, p, n);
    *collect->n += n;

    return n;
}


static void
ngx_http_acr_collect_done(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_collect_t *collect = data;

    if (rc == NGX_OK) {
        collect->next(r, collect->data, NGX_OK);
        return;
    }

    if (rc != NGX_ABORT) {
        ngx_http_acr_body_failed(r, rc);
        return;
    }

    if (collect->too_large) {
        ngx_http_acr_fail(r, ACR_E_SIZE_INVALID, "the body is too large",
                          NULL, NULL);
        return;
    }

    ngx_http_acr_fail_errno(r, NGX_ERROR);
}


static void
ngx_http_acr_collect_cleanup(void *data)
{
    ngx_http_acr_collect_t *collect = data;

    free(*collect->p);
}
