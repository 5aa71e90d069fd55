
/*
 * "prewarm" of a location with "acr_admin": docs/admin.md describes it.  The
 * answer is a line of JSON for each change, as far as the client reads them,
 * and one with the result.
 */

#include "ngx_http_acr_admin.h"
#include "ngx_http_acr_metrics.h"
#include "ngx_http_acr_prewarm.h"
#include "../oci/acr_json.h"


#define NGX_HTTP_ACR_ADMIN_PREWARM_BODY  262144
#define NGX_HTTP_ACR_ADMIN_PREWARM_LINE  2048

/* ms after which bytes that have come are a change; and this keeps an exiting
   worker alive */
#define NGX_HTTP_ACR_ADMIN_PREWARM_TICK  1000


typedef struct {
    ngx_http_acr_ctx_t      *ctx;
    ngx_str_t                text;       /* what the client has sent */
    json_t                  *body;       /* has the texts of platforms */
    ngx_http_acr_prewarm_t  *prewarm;

    ngx_event_t              event;      /* posted: something has changed */
    ngx_event_t              timer;
    off_t                    received;   /* as of the last line */
    ngx_buf_t                line;       /* that is being sent */
    ngx_chain_t              link;
    unsigned                 changed:1;  /* since then */
} ngx_http_acr_admin_prewarm_t;


static ngx_uint_t ngx_http_acr_admin_prewarm_path(ngx_str_t *uri);
static void ngx_http_acr_admin_prewarm_cleanup(void *data);
static void ngx_http_acr_admin_prewarm_read(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static ngx_int_t ngx_http_acr_admin_prewarm_body(ngx_http_request_t *r,
    ngx_http_acr_admin_prewarm_t *a);
static ngx_int_t ngx_http_acr_admin_prewarm_begin(ngx_http_request_t *r,
    ngx_http_acr_admin_prewarm_t *a);
static void ngx_http_acr_admin_prewarm_changed(
    ngx_http_acr_prewarm_t *prewarm);
static void ngx_http_acr_admin_prewarm_event(ngx_event_t *ev);
static void ngx_http_acr_admin_prewarm_line(ngx_http_acr_admin_prewarm_t *a);
static json_t *ngx_http_acr_admin_prewarm_counts(
    ngx_http_acr_admin_prewarm_t *a);
static json_t *ngx_http_acr_admin_prewarm_pair(const char *one, ngx_uint_t n,
    const char *two, ngx_uint_t m);
static void ngx_http_acr_admin_prewarm_ended(ngx_http_acr_prewarm_t *prewarm);
static json_t *ngx_http_acr_admin_prewarm_errors(
    ngx_http_acr_prewarm_t *prewarm);
static void ngx_http_acr_admin_prewarm_timer(ngx_event_t *ev);
static void ngx_http_acr_admin_prewarm_write(ngx_http_request_t *r);
static void ngx_http_acr_admin_prewarm_sent(ngx_http_request_t *r,
    ngx_int_t rc);


ngx_uint_t
ngx_http_acr_admin_prewarm(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_pool_cleanup_t            *cln;
    ngx_http_acr_admin_prewarm_t  *a;

    static ngx_str_t  allow = ngx_string("POST");

    if (!ngx_http_acr_admin_prewarm_path(&r->uri)) {
        return 0;
    }

    ctx->operation = "admin_prewarm";
    ngx_http_acr_metrics_begin(ctx);

    if (r->method != NGX_HTTP_POST) {
        ngx_http_acr_fail_method(r, &allow);
        return 1;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_admin_prewarm_t));

    if (cln == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return 1;
    }

    a = cln->data;

    ngx_memzero(a, sizeof(ngx_http_acr_admin_prewarm_t));

    a->ctx = ctx;

    cln->handler = ngx_http_acr_admin_prewarm_cleanup;

    ngx_http_acr_body_collect(r, NGX_HTTP_ACR_ADMIN_PREWARM_BODY,
                              &a->text.data, &a->text.len,
                              ngx_http_acr_admin_prewarm_read, a);
    return 1;
}


/* the last component of the path */

static ngx_uint_t
ngx_http_acr_admin_prewarm_path(ngx_str_t *uri)
{
    size_t  len;

    static ngx_str_t  name = ngx_string("/prewarm");

    len = uri->len;

    if (len && uri->data[len - 1] == '/') {
        len--;
    }

    return len >= name.len
           && ngx_memcmp(uri->data + len - name.len, name.data, name.len) == 0;
}


static void
ngx_http_acr_admin_prewarm_cleanup(void *data)
{
    ngx_http_acr_admin_prewarm_t *a = data;

    json_decref(a->body);

    if (a->event.posted) {
        ngx_delete_posted_event(&a->event);
    }

    if (a->timer.timer_set) {
        ngx_del_timer(&a->timer);
    }
}


static void
ngx_http_acr_admin_prewarm_read(ngx_http_request_t *r, void *data,
    ngx_int_t rc)
{
    ngx_http_acr_admin_prewarm_t *a = data;

    a->prewarm = ngx_http_acr_prewarm_create(r, a->ctx);

    if (a->prewarm == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    if (ngx_http_acr_admin_prewarm_body(r, a) != NGX_OK
        || ngx_http_acr_admin_prewarm_begin(r, a) != NGX_OK)
    {
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                  "acr: pre-warming %ui references",
                  a->prewarm->manifests.total);

    ngx_http_acr_prewarm_start(a->prewarm);
}


/* NGX_OK, or NGX_DONE after it has failed the request */

static ngx_int_t
ngx_http_acr_admin_prewarm_body(ngx_http_request_t *r,
    ngx_http_acr_admin_prewarm_t *a)
{
    int          rc;
    const char  *error;

    rc = acr_json_load(&a->body, a->text.data, a->text.len, &error);

    if (rc == ACR_NOMEM) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NGX_DONE;
    }

    if (rc != ACR_OK) {
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_REQUEST, ACR_E_UNSUPPORTED,
                                 error, NULL, NULL);
        return NGX_DONE;
    }

    return ngx_http_acr_prewarm_body(a->prewarm, a->body);
}


/* --- the answer */

static ngx_int_t
ngx_http_acr_admin_prewarm_begin(ngx_http_request_t *r,
    ngx_http_acr_admin_prewarm_t *a)
{
    u_char     *p;
    ngx_buf_t  *b;

    static ngx_str_t  type = ngx_string("application/x-ndjson");

    p = ngx_palloc(r->pool, NGX_HTTP_ACR_ADMIN_PREWARM_LINE);

    if (p == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NGX_DONE;
    }

    b = &a->line;

    b->start = p;
    b->pos = p;
    b->last = p;
    b->end = p + NGX_HTTP_ACR_ADMIN_PREWARM_LINE;
    b->tag = (ngx_buf_tag_t) &ngx_http_acr_module;
    b->temporary = 1;
    b->flush = 1;

    a->prewarm->changed = ngx_http_acr_admin_prewarm_changed;
    a->prewarm->ended = ngx_http_acr_admin_prewarm_ended;
    a->prewarm->data = a;

    a->event.handler = ngx_http_acr_admin_prewarm_event;
    a->event.data = a;
    a->event.log = ngx_cycle->log;

    a->timer.handler = ngx_http_acr_admin_prewarm_timer;
    a->timer.data = a;
    a->timer.log = ngx_cycle->log;

    r->disable_not_modified = 1;

    if (ngx_http_acr_send_head(r, NGX_HTTP_OK, &type, -1) != NGX_OK) {
        return NGX_DONE;
    }

    ngx_add_timer(&a->timer, NGX_HTTP_ACR_ADMIN_PREWARM_TICK);

    /* a client that leaves is noticed */

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_acr_admin_prewarm_write;

    return NGX_OK;
}


/* from within the work, which must not end here: the line is sent later */

static void
ngx_http_acr_admin_prewarm_changed(ngx_http_acr_prewarm_t *prewarm)
{
    ngx_http_acr_admin_prewarm_t  *a;

    a = prewarm->data;

    a->changed = 1;

    ngx_post_event(&a->event, &ngx_posted_events);
}


static void
ngx_http_acr_admin_prewarm_event(ngx_event_t *ev)
{
    ngx_connection_t              *c;
    ngx_http_acr_admin_prewarm_t  *a;

    a = ev->data;
    c = a->prewarm->request->connection;

    if (a->ctx->gone) {
        return;
    }

    ngx_http_set_log_request(c->log, a->prewarm->request);

    ngx_http_acr_admin_prewarm_line(a);

    ngx_http_run_posted_requests(c);
}


/* what has changed while the last line was not sent is in the next one */

static void
ngx_http_acr_admin_prewarm_line(ngx_http_acr_admin_prewarm_t *a)
{
    size_t               n;
    json_t              *root;
    ngx_buf_t           *b;
    ngx_http_request_t  *r;

    r = a->prewarm->request;
    b = &a->line;

    if (!a->changed || r->connection->buffered || ngx_buf_size(b)) {
        return;
    }

    a->changed = 0;

    root = ngx_http_acr_admin_prewarm_counts(a);

    n = json_dumpb(root, (char *) b->start, b->end - b->start - 1,
                   JSON_COMPACT);

    json_decref(root);

    if (n == 0 || n >= (size_t) (b->end - b->start)) {
        return;
    }

    b->pos = b->start;
    b->last = b->start + n;
    *b->last++ = '\n';

    a->link.buf = b;
    a->link.next = NULL;

    ngx_http_acr_admin_prewarm_sent(r, ngx_http_output_filter(r, &a->link));
}


static json_t *
ngx_http_acr_admin_prewarm_counts(ngx_http_acr_admin_prewarm_t *a)
{
    json_t                  *root;
    ngx_http_acr_prewarm_t  *prewarm;

    prewarm = a->prewarm;

    a->received = ngx_http_acr_prewarm_received(prewarm);

    root = json_object();

    (void) json_object_set_new(root, "reference", prewarm->current.len
                               ? json_stringn((char *) prewarm->current.data,
                                              prewarm->current.len)
                               : json_null());
    (void) json_object_set_new(root, "manifests",
                ngx_http_acr_admin_prewarm_pair("done", prewarm->manifests.done,
                                         "total", prewarm->manifests.total));
    (void) json_object_set_new(root, "blobs",
                  ngx_http_acr_admin_prewarm_pair("done", prewarm->blobs.done,
                                           "total", prewarm->blobs.total));
    (void) json_object_set_new(root, "bytes",
                  ngx_http_acr_admin_prewarm_pair("done", a->received,
                                           "total", prewarm->bytes.total));
    (void) json_object_set_new(root, "errors",
                               json_integer(prewarm->nerrors));

    return root;
}


static json_t *
ngx_http_acr_admin_prewarm_pair(const char *one, ngx_uint_t n,
    const char *two, ngx_uint_t m)
{
    json_t  *pair;

    pair = json_object();

    (void) json_object_set_new(pair, one, json_integer(n));
    (void) json_object_set_new(pair, two, json_integer(m));

    return pair;
}


static void
ngx_http_acr_admin_prewarm_ended(ngx_http_acr_prewarm_t *prewarm)
{
    char                          *text;
    size_t                         n;
    json_t                        *root;
    ngx_buf_t                     *b;
    ngx_chain_t                    out;
    ngx_http_request_t            *r;
    ngx_http_acr_admin_prewarm_t  *a;

    a = prewarm->data;
    r = prewarm->request;

    /* from here on it is nginx's to send */

    ngx_del_timer(&a->timer);

    if (a->event.posted) {
        ngx_delete_posted_event(&a->event);
    }

    root = ngx_http_acr_admin_prewarm_counts(a);

    (void) json_object_del(root, "reference");
    (void) json_object_set_new(root, "fetched",
               ngx_http_acr_admin_prewarm_pair("blobs", prewarm->fetched.done,
                                        "bytes", prewarm->fetched.total));
    (void) json_object_set_new(root, "errors",
                               ngx_http_acr_admin_prewarm_errors(prewarm));
    (void) json_object_set_new(root, "result",
                               json_string(prewarm->nerrors ? "incomplete"
                                                            : "ok"));

    text = root ? json_dumps(root, JSON_COMPACT) : NULL;

    json_decref(root);

    n = text ? ngx_strlen(text) : 0;
    b = n ? ngx_create_temp_buf(r->pool, n + 1) : NULL;

    if (b) {
        b->last = ngx_cpymem(b->last, text, n);
        *b->last++ = '\n';
    }

    free(text);

    if (b == NULL) {
        ngx_http_acr_finalize(r, NGX_ERROR);
        return;
    }

    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    ngx_http_acr_finalize(r, ngx_http_output_filter(r, &out));
}


static json_t *
ngx_http_acr_admin_prewarm_errors(ngx_http_acr_prewarm_t *prewarm)
{
    json_t                        *list, *one;
    ngx_uint_t                     i;
    ngx_http_acr_prewarm_error_t  *e;

    list = json_array();
    e = prewarm->errors.elts;

    for (i = 0; i < prewarm->errors.nelts; i++) {
        one = json_object();

        (void) json_object_set_new(one, "reference",
                                   json_stringn((char *) e[i].name.data,
                                                e[i].name.len));
        (void) json_object_set_new(one, "digest", e[i].digest.len
                                   ? json_stringn((char *) e[i].digest.data,
                                                  e[i].digest.len)
                                   : json_null());
        (void) json_object_set_new(one, "error", json_string(e[i].error));

        (void) json_array_append_new(list, one);
    }

    return list;
}


static void
ngx_http_acr_admin_prewarm_timer(ngx_event_t *ev)
{
    ngx_http_acr_admin_prewarm_t  *a;

    a = ev->data;

    ngx_add_timer(ev, NGX_HTTP_ACR_ADMIN_PREWARM_TICK);

    if (a->changed
        || ngx_http_acr_prewarm_received(a->prewarm) != a->received)
    {
        ngx_http_acr_admin_prewarm_changed(a->prewarm);
    }
}


/* the client reads on; what has changed meanwhile the timer tells */

static void
ngx_http_acr_admin_prewarm_write(ngx_http_request_t *r)
{
    ngx_connection_t  *c;

    c = r->connection;

    if (c->write->timedout) {
        ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT,
                      "client timed out");
        c->timedout = 1;

        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    if (c->buffered) {
        ngx_http_acr_admin_prewarm_sent(r, ngx_http_output_filter(r, NULL));
    }
}


/*
 * A step may be under way, which ends the request when it is over; if it has
 * begun to change something (ctx->committing) it goes on, as when a client
 * leaves.
 */

static void
ngx_http_acr_admin_prewarm_sent(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_event_t               *wev;
    ngx_connection_t          *c;
    ngx_http_core_loc_conf_t  *clcf;

    c = r->connection;
    wev = c->write;
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (rc == NGX_ERROR) {
        ngx_http_finalize_request(r, NGX_ERROR);
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
        ngx_http_finalize_request(r, NGX_ERROR);
    }
}
