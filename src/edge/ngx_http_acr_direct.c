
#include "../ngx_http_acr_response.h"
#include "../ngx_http_acr_step.h"
#include "ngx_http_acr_direct.h"


#define NGX_HTTP_ACR_DIRECT_BUFS   4
#define NGX_HTTP_ACR_DIRECT_BUF    32768

/* of an answer that is an error */
#define NGX_HTTP_ACR_DIRECT_ERROR  4096

/* ms after which the timer that keeps an exiting worker alive is set anew */
#define NGX_HTTP_ACR_DIRECT_GUARD  60000


struct ngx_http_acr_direct_s {
    ngx_http_request_t             *request;
    ngx_http_acr_registry_t        *registry;
    ngx_http_acr_source_t          *source;
    ngx_str_t                       digest;    /* "post_action" has no context
                                                  of ours */
    acr_range_t                     range;
    off_t                           size;      /* of the whole content */
    off_t                           left;      /* of the part, to be received */

    ngx_http_acr_remote_request_t   remote;
    ngx_http_acr_fetch_header_t     header;
    u_char                          text[sizeof("bytes=-")
                                         + 2 * NGX_INT64_LEN];
    size_t                          again;     /* bytes that will come again */

    /* the buffers are taken in turn; how many were filled, given to nginx, and
       sent, since the begin */
    ngx_buf_t                       bufs[NGX_HTTP_ACR_DIRECT_BUFS];
    ngx_chain_t                     link;
    ngx_uint_t                      filled;
    ngx_uint_t                      given;
    ngx_uint_t                      sent;

    ngx_event_t                     moved;     /* posted: there is more */
    ngx_event_t                     timer;

    ngx_http_acr_direct_pt          declined;
    void                           *data;

    unsigned                        held:1;    /* the origin is not read... */
    unsigned                        turn:1;    /* ...for the bandwidth's sake */
    unsigned                        good:1;    /* it gives what was asked for */
    unsigned                        begun:1;   /* the head was sent */
    unsigned                        over:1;    /* nothing more comes */
};


static ngx_int_t ngx_http_acr_direct_wanted(ngx_http_request_t *r, off_t size,
    off_t mark, acr_range_t *range);
static void ngx_http_acr_direct_cleanup(void *data);
static ngx_int_t ngx_http_acr_direct_ask(ngx_http_acr_direct_t *direct);
static ngx_int_t ngx_http_acr_direct_head(
    ngx_http_acr_remote_request_t *request);
static ngx_int_t ngx_http_acr_direct_piece(
    ngx_http_acr_remote_request_t *request, u_char *p, size_t n);
static size_t ngx_http_acr_direct_put(ngx_http_acr_direct_t *direct,
    u_char *p, size_t n);
static ngx_buf_t *ngx_http_acr_direct_buf(ngx_http_acr_direct_t *direct);
static void ngx_http_acr_direct_answered(
    ngx_http_acr_remote_request_t *request);
static void ngx_http_acr_direct_moved(ngx_event_t *ev);
static void ngx_http_acr_direct_go_on(ngx_http_acr_direct_t *direct);
static void ngx_http_acr_direct_decline(ngx_http_acr_direct_t *direct);
static ngx_int_t ngx_http_acr_direct_begin(ngx_http_acr_direct_t *direct);
static void ngx_http_acr_direct_write(ngx_http_request_t *r);
static void ngx_http_acr_direct_send(ngx_http_acr_direct_t *direct);
static ngx_int_t ngx_http_acr_direct_output(ngx_http_acr_direct_t *direct);
static void ngx_http_acr_direct_resume(ngx_http_acr_direct_t *direct);
static void ngx_http_acr_direct_timer(ngx_event_t *ev);


ngx_int_t
ngx_http_acr_direct(ngx_http_request_t *r, ngx_http_acr_source_t *source,
    off_t size, off_t mark, ngx_http_acr_direct_pt declined, void *data)
{
    acr_range_t               range;
    ngx_pool_cleanup_t       *cln;
    ngx_http_acr_ctx_t       *ctx;
    ngx_http_acr_direct_t    *direct;
    ngx_http_acr_registry_t  *registry;

    ctx = ngx_http_acr_get_ctx(r);
    registry = ctx->registry;

    if (ctx->direct
        || registry->directs >= registry->fill_max
        || ngx_http_acr_direct_wanted(r, size, mark, &range) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_direct_t));

    if (cln == NULL) {
        return NGX_DECLINED;
    }

    direct = cln->data;

    ngx_memzero(direct, sizeof(ngx_http_acr_direct_t));

    direct->request = r;
    direct->registry = registry;
    direct->source = source;
    direct->digest = ctx->digest;
    direct->range = range;
    direct->size = size;
    direct->left = range.end - range.start + 1;
    direct->declined = declined;
    direct->data = data;

    direct->moved.handler = ngx_http_acr_direct_moved;
    direct->moved.data = direct;
    direct->moved.log = ngx_cycle->log;

    direct->timer.handler = ngx_http_acr_direct_timer;
    direct->timer.data = direct;
    direct->timer.log = ngx_cycle->log;

    /* if the client leaves the origin's request goes with it */

    if (ngx_http_acr_watch(r) != NGX_OK
        || ngx_http_acr_direct_ask(direct) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    ctx->direct = direct;
    registry->directs++;
    cln->handler = ngx_http_acr_direct_cleanup;

    ngx_add_timer(&direct->timer, NGX_HTTP_ACR_DIRECT_GUARD);

    return NGX_OK;
}


/* conditions that could make it another answer than a part are left to nginx */

static ngx_int_t
ngx_http_acr_direct_wanted(ngx_http_request_t *r, off_t size, off_t mark,
    acr_range_t *range)
{
    ngx_str_t                 *value, *digest;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    digest = &ngx_http_acr_get_ctx(r)->digest;

    if (r->method != NGX_HTTP_GET
        || r->http_version < NGX_HTTP_VERSION_10
        || r->headers_in.range == NULL
        || r->headers_in.if_none_match
        || clcf->max_ranges == 0)
    {
        return NGX_DECLINED;
    }

    if (r->headers_in.if_range) {
        value = &r->headers_in.if_range->value;

        if (value->len != digest->len + 2
            || value->data[0] != '"' || value->data[value->len - 1] != '"'
            || ngx_memcmp(value->data + 1, digest->data, digest->len) != 0)
        {
            return NGX_DECLINED;
        }
    }

    value = &r->headers_in.range->value;

    if (acr_range_single(range, size, value->data, value->len) != ACR_OK
        || (off_t) range->start - mark < NGX_HTTP_ACR_DIRECT_AHEAD)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void
ngx_http_acr_direct_cleanup(void *data)
{
    ngx_http_acr_direct_t *direct = data;

    ngx_http_acr_remote_cancel(&direct->remote);

    if (direct->moved.posted) {
        ngx_delete_posted_event(&direct->moved);
    }

    if (direct->timer.timer_set) {
        ngx_del_timer(&direct->timer);
    }

    direct->registry->directs--;
}


/* --- the origin; a name and a digest need no escaping */

static ngx_int_t
ngx_http_acr_direct_ask(ngx_http_acr_direct_t *direct)
{
    u_char                         *p;
    ngx_str_t                      *name, *digest;
    ngx_http_request_t             *r;
    ngx_http_acr_remote_request_t  *request;

    r = direct->request;
    request = &direct->remote;
    name = &direct->source->repository;
    digest = &direct->digest;

    p = ngx_pnalloc(r->pool, 2 * name->len + digest->len
                             + sizeof("/v2//blobs/repository::pull"));

    if (p == NULL) {
        return NGX_ERROR;
    }

    request->path.data = p;
    p = ngx_sprintf(p, "/v2/%V/blobs/%V", name, digest);
    request->path.len = p - request->path.data;

    request->scope.data = p;
    p = ngx_sprintf(p, "repository:%V:pull", name);
    request->scope.len = p - request->scope.data;

    ngx_str_set(&direct->header.name, "Range");
    direct->header.value.data = direct->text;
    direct->header.value.len = ngx_sprintf(direct->text, "bytes=%uL-%uL",
                                           direct->range.start,
                                           direct->range.end)
                               - direct->text;

    request->remote = direct->source->remote;
    request->headers = &direct->header;
    request->nheaders = 1;
    request->max = NGX_HTTP_ACR_DIRECT_ERROR;
    request->idle = request->remote->timeout;
    request->head = ngx_http_acr_direct_head;
    request->piece = ngx_http_acr_direct_piece;
    request->done = ngx_http_acr_direct_answered;
    request->data = direct;

    return ngx_http_acr_remote_start(request);
}


/*
 * From within libcurl, as ..._piece().  An origin that does not know ranges
 * sends all from the beginning, which the fill has got in part: to follow that
 * is sooner done than to read it once more.
 */

static ngx_int_t
ngx_http_acr_direct_head(ngx_http_acr_remote_request_t *request)
{
    uint64_t                total;
    ngx_str_t               text;
    acr_range_t             range;
    ngx_http_acr_direct_t  *direct;

    direct = request->data;

    if (request->status != NGX_HTTP_PARTIAL_CONTENT) {
        ngx_str_set(&request->error, "the origin does not know ranges");
        return NGX_ERROR;
    }

    if (ngx_http_acr_remote_header(request, "Content-Range", &text) != NGX_OK
        || acr_content_range_parse(&range, &total, text.data, text.len)
           != ACR_OK
        || range.start != direct->range.start
        || range.end != direct->range.end
        || (total != ACR_RANGE_ANY && total != (uint64_t) direct->size))
    {
        ngx_str_set(&request->error,
                    "the answer has another part than was asked for");
        return NGX_ERROR;
    }

    direct->good = 1;

    ngx_post_event(&direct->moved, &ngx_posted_events);

    return NGX_OK;
}


/*
 * What is not taken as a whole comes again from its beginning, and is passed
 * over then as far as it was taken.
 */

static ngx_int_t
ngx_http_acr_direct_piece(ngx_http_acr_remote_request_t *request, u_char *p,
    size_t n)
{
    size_t                    done;
    ngx_http_acr_direct_t    *direct;
    ngx_http_acr_registry_t  *registry;

    direct = request->data;
    registry = direct->registry;

    done = ngx_min(direct->again, n);

    if (done == 0
        && ngx_http_acr_fills_take(registry->zone, registry->fill_rate, n)
           != NGX_OK)
    {
        direct->held = 1;
        direct->turn = 1;
        ngx_add_timer(&direct->timer, NGX_HTTP_ACR_FILLS_TURN);
        return NGX_AGAIN;
    }

    if ((off_t) (n - done) > direct->left) {
        ngx_str_set(&request->error, "the answer is too long");
        return NGX_ERROR;
    }

    done += ngx_http_acr_direct_put(direct, p + done, n - done);

    ngx_post_event(&direct->moved, &ngx_posted_events);

    if (done < n) {
        direct->again = done;
        direct->held = 1;
        return NGX_AGAIN;
    }

    direct->again -= ngx_min(direct->again, n);

    return NGX_OK;
}


/* as much as there is room for */

static size_t
ngx_http_acr_direct_put(ngx_http_acr_direct_t *direct, u_char *p, size_t n)
{
    size_t      done, size;
    ngx_buf_t  *b;

    for (done = 0; done < n; done += size) {
        b = ngx_http_acr_direct_buf(direct);

        if (b == NULL) {
            break;
        }

        size = ngx_min((size_t) (b->end - b->last), n - done);

        b->last = ngx_cpymem(b->last, p + done, size);
        direct->left -= size;
    }

    return done;
}


/* one with room that nginx does not have, or NULL */

static ngx_buf_t *
ngx_http_acr_direct_buf(ngx_http_acr_direct_t *direct)
{
    ngx_buf_t  *b;

    if (direct->filled > direct->given) {
        b = &direct->bufs[(direct->filled - 1) % NGX_HTTP_ACR_DIRECT_BUFS];

        if (b->last < b->end) {
            return b;
        }
    }

    if (direct->filled - direct->sent == NGX_HTTP_ACR_DIRECT_BUFS) {
        return NULL;
    }

    b = &direct->bufs[direct->filled % NGX_HTTP_ACR_DIRECT_BUFS];

    if (b->start == NULL) {
        b->start = ngx_palloc(direct->request->pool, NGX_HTTP_ACR_DIRECT_BUF);

        if (b->start == NULL) {
            return NULL;
        }

        b->end = b->start + NGX_HTTP_ACR_DIRECT_BUF;
        b->tag = (ngx_buf_tag_t) &ngx_http_acr_module;
        b->temporary = 1;

        /* or a small one would wait for the next one */

        b->flush = 1;
    }

    b->pos = b->start;
    b->last = b->start;

    direct->filled++;

    return b;
}


static void
ngx_http_acr_direct_answered(ngx_http_acr_remote_request_t *request)
{
    ngx_uint_t              level;
    ngx_http_acr_direct_t  *direct;

    direct = request->data;

    direct->over = 1;

    if (direct->left) {
        level = direct->begun ? NGX_LOG_ERR : NGX_LOG_WARN;

        ngx_log_error(level, direct->request->connection->log, 0,
                      "acr: a part of \"%V\" from \"%V/%V\" failed at %O: %s",
                      &direct->digest,
                      &direct->source->remote->host,
                      &direct->source->repository,
                      (off_t) direct->range.end + 1 - direct->left,
                      request->error.len ? (char *) request->error.data
                                         : "the answer has ended early");
    }

    ngx_post_event(&direct->moved, &ngx_posted_events);
}


/* --- and the client */

static void
ngx_http_acr_direct_moved(ngx_event_t *ev)
{
    ngx_connection_t       *c;
    ngx_http_request_t     *r;
    ngx_http_acr_direct_t  *direct;

    direct = ev->data;
    r = direct->request;
    c = r->connection;

    if (ngx_http_acr_resume(r) == NGX_OK) {
        ngx_http_acr_direct_go_on(direct);
    }

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_acr_direct_go_on(ngx_http_acr_direct_t *direct)
{
    if (!direct->begun) {

        if (!direct->good || (direct->over && direct->left)) {
            ngx_http_acr_direct_decline(direct);
            return;
        }

        if (ngx_http_acr_direct_begin(direct) != NGX_OK) {
            return;
        }
    }

    ngx_http_acr_direct_send(direct);
}


/* others may have their turn, and the request goes on as if it had not tried;
   it does not try again */

static void
ngx_http_acr_direct_decline(ngx_http_acr_direct_t *direct)
{
    ngx_http_request_t  *r;

    r = direct->request;

    ngx_del_timer(&direct->timer);

    direct->declined(r, direct->data);
}


/* NGX_DONE: the request has ended */

static ngx_int_t
ngx_http_acr_direct_begin(ngx_http_acr_direct_t *direct)
{
    ngx_http_request_t  *r;

    static ngx_str_t  type = ngx_string("application/octet-stream");

    r = direct->request;

    direct->begun = 1;

    ngx_http_acr_get_ctx(r)->cache_status = "BYPASS";

    if (ngx_http_acr_send_part(r, &direct->range, direct->size, &type, 0,
                               ACR_E_BLOB_UNKNOWN)
        != NGX_OK)
    {
        return NGX_DONE;
    }

    r->write_event_handler = ngx_http_acr_direct_write;

    return NGX_OK;
}


/* as ngx_http_writer() does it */

static void
ngx_http_acr_direct_write(ngx_http_request_t *r)
{
    ngx_event_t       *wev;
    ngx_connection_t  *c;

    c = r->connection;
    wev = c->write;

    if (wev->timedout) {
        ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT,
                      "client timed out");
        c->timedout = 1;

        ngx_http_acr_finalize(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    ngx_http_acr_direct_send(ngx_http_acr_get_ctx(r)->direct);
}


static void
ngx_http_acr_direct_send(ngx_http_acr_direct_t *direct)
{
    ngx_event_t               *wev;
    ngx_connection_t          *c;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = direct->request;
    c = r->connection;
    wev = c->write;
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (ngx_http_acr_direct_output(direct) == NGX_ERROR
        || (direct->over && direct->left))
    {
        ngx_http_acr_finalize(r, NGX_ERROR);
        return;
    }

    /* all is with nginx, which ends it */

    if (direct->over && direct->given == direct->filled) {
        ngx_http_acr_finalize(r, ngx_http_send_special(r, NGX_HTTP_LAST));
        return;
    }

    if (!wev->delayed) {

        if (c->buffered) {
            ngx_add_timer(wev, clcf->send_timeout);

        } else if (wev->timer_set) {
            ngx_del_timer(wev);
        }
    }

    if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
        ngx_http_acr_finalize(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_direct_resume(direct);
}


/* one at a time: nginx keeps nothing of a link that it can pass on at once */

static ngx_int_t
ngx_http_acr_direct_output(ngx_http_acr_direct_t *direct)
{
    ngx_int_t            rc;
    ngx_buf_t           *b;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = direct->request;
    c = r->connection;
    rc = NGX_OK;

    if (c->buffered) {
        rc = ngx_http_output_filter(r, NULL);
    }

    while (rc != NGX_ERROR && !c->buffered && direct->given < direct->filled)
    {
        direct->link.buf = &direct->bufs[direct->given
                                         % NGX_HTTP_ACR_DIRECT_BUFS];
        direct->link.next = NULL;
        direct->given++;

        rc = ngx_http_output_filter(r, &direct->link);
    }

    while (direct->sent < direct->given) {
        b = &direct->bufs[direct->sent % NGX_HTTP_ACR_DIRECT_BUFS];

        if (ngx_buf_size(b)) {
            break;
        }

        direct->sent++;
    }

    return rc;
}


static void
ngx_http_acr_direct_resume(ngx_http_acr_direct_t *direct)
{
    if (direct->held && !direct->turn
        && direct->filled - direct->sent < NGX_HTTP_ACR_DIRECT_BUFS)
    {
        direct->held = 0;
        ngx_http_acr_remote_resume(&direct->remote);
    }
}


static void
ngx_http_acr_direct_timer(ngx_event_t *ev)
{
    ngx_http_acr_direct_t  *direct;

    direct = ev->data;

    ngx_add_timer(ev, NGX_HTTP_ACR_DIRECT_GUARD);

    if (direct->turn) {
        direct->turn = 0;
        ngx_http_acr_direct_resume(direct);
    }
}
