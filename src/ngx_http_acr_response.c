
#include "ngx_http_acr_response.h"
#include "ngx_http_acr_step.h"


/* a larger body is not read away to keep the connection */
#define NGX_HTTP_ACR_DISCARD_MAX   (64 * 1024 * 1024)

/* how much of what a client sent goes into an answer or a log line */
#define NGX_HTTP_ACR_VALUE_MAX     256

#define NGX_HTTP_ACR_HEADER_MAX    4096

#define NGX_HTTP_ACR_RETRY_AFTER   "5"


static ngx_int_t ngx_http_acr_error_body(ngx_http_request_t *r,
    const acr_error_t *error, const char *reason, const char *key,
    ngx_str_t *value, ngx_str_t *body);
static void ngx_http_acr_error_log(ngx_http_request_t *r, ngx_uint_t status,
    const char *reason);
static size_t ngx_http_acr_cut(ngx_str_t *value);
static ngx_int_t ngx_http_acr_begin(ngx_http_request_t *r, ngx_uint_t status);
static void ngx_http_acr_forget_headers(ngx_http_request_t *r);


void
ngx_http_acr_fail(ngx_http_request_t *r, acr_error_e e, const char *reason,
    const char *key, ngx_str_t *value)
{
    ngx_http_acr_fail_status(r, acr_error(e)->status, e, reason, key, value);
}


void
ngx_http_acr_fail_errno(ngx_http_request_t *r, ngx_int_t err)
{
    if (err == ENOSPC || err == EDQUOT) {
        ngx_http_acr_fail(r, ACR_E_STORAGE_FULL, NULL, NULL, NULL);
        return;
    }

    /* EBUSY: somebody has held a lock for long */

    if (err == NGX_EAGAIN || err == NGX_EBUSY) {
        ngx_http_acr_fail(r, ACR_E_UNAVAILABLE, "too much is under way",
                          NULL, NULL);
        return;
    }

    ngx_http_acr_fail(r, ACR_E_UNKNOWN, NULL, NULL, NULL);
}


void
ngx_http_acr_fail_status(ngx_http_request_t *r, ngx_uint_t status,
    acr_error_e e, const char *reason, const char *key, ngx_str_t *value)
{
    ngx_str_t            body;
    const char          *type;
    ngx_http_acr_ctx_t  *ctx;
    static ngx_str_t     no_store = ngx_string("no-store");
    static ngx_str_t     retry_after =
                                     ngx_string(NGX_HTTP_ACR_RETRY_AFTER);

    ctx = ngx_http_acr_get_ctx(r);

    ctx->error = acr_error(e);

    ngx_http_acr_error_log(r, status, reason);

    if (ngx_http_acr_error_body(r, ctx->error, reason, key, value, &body)
        != NGX_OK)
    {
        ngx_http_acr_finalize(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    if ((status == NGX_HTTP_SERVICE_UNAVAILABLE
         || status == NGX_HTTP_TOO_MANY_REQUESTS)
        && ngx_http_acr_header(r, "Retry-After", &retry_after) != NGX_OK)
    {
        ngx_http_acr_finalize(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    /* caches may keep a 404 that says nothing of that (RFC 9110, 15.1) */

    if (ngx_http_acr_header(r, "Cache-Control", &no_store) != NGX_OK) {
        ngx_http_acr_finalize(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    type = ctx->acr ? NGX_HTTP_ACR_JSON_UTF8 : "application/json";

    ngx_http_acr_send_body(r, status, type, body.data, body.len);
}


/* a 405 has to say what is allowed (RFC 9110 section 15.5.6) */

void
ngx_http_acr_locked(ngx_http_request_t *r)
{
    ngx_str_t         *allow;

    static ngx_str_t   nothing = ngx_string("");
    static ngx_str_t   reading = ngx_string("GET, HEAD");

    allow = (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)) ? &nothing : &reading;

    if (ngx_http_acr_header(r, "Allow", allow) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_fail(r, ACR_E_REGISTRY_DISALLOWED_OPERATION,
                      "it is locked by its attributes", NULL, NULL);
}


static ngx_int_t
ngx_http_acr_error_body(ngx_http_request_t *r, const acr_error_t *error,
    const char *reason, const char *key, ngx_str_t *value, ngx_str_t *body)
{
    u_char  *p;
    size_t   len, cut;

    cut = 0;

    if (key == NULL || value == NULL) {
        key = NULL;

    } else {
        cut = ngx_http_acr_cut(value);
    }

    len = sizeof("{\"errors\":[{\"code\":\"\",\"message\":\"\",\"detail\":"
                 "{\"reason\":\"\",\"\":\"\"}}]}\n")
          + ngx_strlen(error->code) + ngx_strlen(error->message)
          + (reason ? 6 * ngx_strlen(reason) : 0)
          + (key ? ngx_strlen(key) + 6 * cut : 0);

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;

    p = ngx_sprintf(p, "{\"errors\":[{\"code\":\"%s\",\"message\":\"%s\","
                    "\"detail\":", error->code, error->message);

    if (reason == NULL && key == NULL) {
        p = ngx_sprintf(p, "null");

    } else {
        *p++ = '{';

        if (reason) {
            p = ngx_sprintf(p, "\"reason\":\"");
            p += acr_json_escape(p, (u_char *) reason, ngx_strlen(reason));
            *p++ = '"';
        }

        if (reason && key) {
            *p++ = ',';
        }

        if (key) {
            p = ngx_sprintf(p, "\"%s\":\"", key);
            p += acr_json_escape(p, value->data, cut);
            *p++ = '"';
        }

        *p++ = '}';
    }

    p = ngx_sprintf(p, "}]}\n");

    body->len = p - body->data;

    return NGX_OK;
}


static void
ngx_http_acr_error_log(ngx_http_request_t *r, ngx_uint_t status,
    const char *reason)
{
    ngx_str_t            reference;
    ngx_uint_t           level;
    ngx_http_acr_ctx_t  *ctx;
    u_char               buf[6 * NGX_HTTP_ACR_VALUE_MAX];

    ctx = ngx_http_acr_get_ctx(r);

    level = (status >= NGX_HTTP_INTERNAL_SERVER_ERROR) ? NGX_LOG_ERR
                                                       : NGX_LOG_INFO;

    /* nobody has checked the reference yet: control bytes are escaped */

    reference.data = buf;
    reference.len = acr_json_escape(buf, ctx->reference.data,
                                    ngx_http_acr_cut(&ctx->reference));

    ngx_log_error(level, r->connection->log, 0,
                  "acr: %ui %s%s%s, operation: %s, repository: \"%V\", "
                  "reference: \"%V\"",
                  status, ctx->error->code, reason ? ": " : "",
                  reason ? reason : "",
                  ctx->operation ? ctx->operation : "none",
                  &ctx->repository, &reference);
}


/* how much of the value is shown: no part of a UTF-8 sequence at the end */

static size_t
ngx_http_acr_cut(ngx_str_t *value)
{
    size_t  n;

    if (value->len <= NGX_HTTP_ACR_VALUE_MAX) {
        return value->len;
    }

    n = NGX_HTTP_ACR_VALUE_MAX;

    while (n > NGX_HTTP_ACR_VALUE_MAX - 3 && (value->data[n] & 0xc0) == 0x80) {
        n--;
    }

    return n;
}


void
ngx_http_acr_send_status(ngx_http_request_t *r, ngx_uint_t status)
{
    ngx_http_acr_send_body(r, status, NULL, NULL, 0);
}


void
ngx_http_acr_send_body(ngx_http_request_t *r, ngx_uint_t status,
    const char *type, u_char *p, size_t n)
{
    ngx_buf_t  *b;
    ngx_str_t   content_type;

    content_type.data = (u_char *) type;
    content_type.len = type ? ngx_strlen(type) : 0;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        ngx_http_acr_finalize(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    b->start = p;
    b->pos = p;
    b->last = p + n;
    b->end = b->last;
    b->memory = n ? 1 : 0;

    if (n == 0) {
        r->header_only = 1;
    }

    /* what is made for one request has no validators */

    r->disable_not_modified = 1;

    ngx_http_acr_send_buf(r, status, &content_type, n, b);
}


void
ngx_http_acr_send_json(ngx_http_request_t *r, ngx_uint_t status, json_t *root)
{
    u_char  *p;
    size_t   n;

    n = root ? json_dumpb(root, NULL, 0, JSON_COMPACT) : 0;
    p = n ? ngx_pnalloc(r->pool, n) : NULL;

    if (p == NULL || json_dumpb(root, (char *) p, n, JSON_COMPACT) != n) {
        json_decref(root);
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    json_decref(root);

    ngx_http_acr_send_body(r, status, NGX_HTTP_ACR_JSON_UTF8, p, n);
}


void
ngx_http_acr_send_buf(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, off_t size, ngx_buf_t *b)
{
    ngx_chain_t  out;

    if (ngx_http_acr_send_head(r, status, type, size) != NGX_OK) {
        return;
    }

    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    ngx_http_acr_finalize(r, ngx_http_output_filter(r, &out));
}


ngx_int_t
ngx_http_acr_send_head(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, off_t size)
{
    ngx_int_t  rc;

    if (ngx_http_acr_begin(r, status) != NGX_OK) {
        return NGX_DONE;
    }

    r->headers_out.content_length_n = size;

    /*
     * The type is sent as it is.  A charset that is set already keeps the
     * charset filter away, and nginx appends it only where the two lengths
     * are equal; filters that look for a type of theirs see an empty one.
     */

    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = 0;
    r->headers_out.content_type_lowcase = NULL;
    ngx_str_set(&r->headers_out.charset, "-");

    rc = ngx_http_send_header(r);

    if (rc == NGX_HTTP_RANGE_NOT_SATISFIABLE && !r->header_sent) {
        ngx_http_acr_forget_headers(r);
        ngx_http_acr_fail_status(r, NGX_HTTP_RANGE_NOT_SATISFIABLE,
                                 ACR_E_SIZE_INVALID,
                                 "no part of the range exists", NULL, NULL);
        return NGX_DONE;
    }

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        ngx_http_acr_finalize(r, rc);
        return NGX_DONE;
    }

    return NGX_OK;
}


/*
 * What every answer has.  NGX_ERROR: there is none, and the request has
 * ended.
 */

static ngx_int_t
ngx_http_acr_begin(ngx_http_request_t *r, ngx_uint_t status)
{
    ngx_http_acr_ctx_t  *ctx;
    static ngx_str_t     version = ngx_string("registry/2.0");

    ctx = ngx_http_acr_get_ctx(r);

    if (ctx->gone || r->header_sent) {
        ngx_http_acr_finalize(r, NGX_ERROR);
        return NGX_ERROR;
    }

    ngx_http_acr_discard(r);

    if (ngx_http_acr_header(r, "Docker-Distribution-Api-Version", &version)
        != NGX_OK)
    {
        ngx_http_acr_finalize(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NGX_ERROR;
    }

#if (NGX_HTTP_GZIP)
    r->gzip_tested = 1;
    r->gzip_ok = 0;
#endif

    r->headers_out.status = status;
    r->headers_out.status_line.len = 0;

    r->connection->log->action = "sending response to client";

    return NGX_OK;
}


void
ngx_http_acr_discard(ngx_http_request_t *r)
{
    ngx_uint_t  expect, body;

    expect = (r->headers_in.expect && !r->expect_tested);

    /* otherwise nginx would say "100 Continue" even to read a body away */

    r->expect_tested = 1;

    if (r->http_version >= NGX_HTTP_VERSION_20) {
        (void) ngx_http_discard_request_body(r);
        return;
    }

    if (r->reading_body) {

        /* nginx will close: the answer should say so */

        r->keepalive = 0;
        return;
    }

    if (!r->keepalive || r->discard_body || r->request_body) {
        return;
    }

    body = (r->headers_in.content_length_n > 0 || r->headers_in.chunked);

    if ((expect && body)
        || r->headers_in.content_length_n > NGX_HTTP_ACR_DISCARD_MAX
        || ngx_http_discard_request_body(r) != NGX_OK)
    {
        r->keepalive = 0;
        r->lingering_close = 1;
    }
}


/* an answer becomes an error: of its headers only Content-Range stays */

static void
ngx_http_acr_forget_headers(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (&h[i] != r->headers_out.content_range) {
                h[i].hash = 0;
            }
        }
    }

    r->headers_out.etag = NULL;
    r->headers_out.accept_ranges = NULL;
}


ngx_int_t
ngx_http_acr_header(ngx_http_request_t *r, const char *key, ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    /* nginx 1.23 and later have h->next, too */

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.data = (u_char *) key;
    h->key.len = ngx_strlen(key);
    h->value = *value;

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_header_printf(ngx_http_request_t *r, const char *key,
    const char *fmt, ...)
{
    u_char     *p;
    va_list     args;
    ngx_str_t   value;
    u_char      buf[NGX_HTTP_ACR_HEADER_MAX];

    va_start(args, fmt);
    p = ngx_vslprintf(buf, buf + NGX_HTTP_ACR_HEADER_MAX, fmt, args);
    va_end(args);

    if (p == buf + NGX_HTTP_ACR_HEADER_MAX) {
        return NGX_ERROR;
    }

    value.len = p - buf;
    value.data = ngx_pnalloc(r->pool, value.len);

    if (value.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(value.data, buf, value.len);

    return ngx_http_acr_header(r, key, &value);
}
