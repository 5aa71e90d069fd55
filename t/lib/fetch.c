
/*
 * A second module, loaded after ours by ACR::Fetch: it lets a test use the HTTP
 * client as an owner would.  In a location with "test_fetch":
 *
 *     /fetch?url=URL&...  answered when the fetch is done, with what it was
 *     /state              how many bytes were taken, and whether it is paused
 *     /resume, /cancel    for the last fetch that was started
 *
 * Arguments: written, method, header, max, timeout, connect, idle; stream=1 for
 * an answer by piece, of 2xx only; hold=N pauses before each Nth byte; auto=1
 * lets it go on after that by an event; refuse=head or refuse=piece, which says
 * what is in say.
 */

#include "../../src/ngx_http_acr.h"

#include <ngx_md5.h>


typedef struct {
    ngx_http_request_t    *request;
    ngx_http_acr_fetch_t   fetch;
    ngx_event_t            resume;
    ngx_event_t            keep;    /* an exiting worker alive */
    ngx_md5_t              md5;
    ngx_str_t              refuse;
    ngx_str_t              say;
    ngx_str_t              length;
    off_t                  hold;
    off_t                  next;    /* the byte before which it pauses */
    ngx_uint_t             heads;
    ngx_uint_t             status;  /* as head was told */
    ngx_uint_t             pauses;
    unsigned               go:1;    /* on by itself */
    unsigned               paused:1;
} ngx_test_fetch_t;


static char *ngx_test_fetch_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_test_fetch_handler(ngx_http_request_t *r);
static ngx_int_t ngx_test_fetch_start(ngx_http_request_t *r);
static ngx_str_t ngx_test_fetch_text(ngx_http_request_t *r, const char *name);
static ngx_int_t ngx_test_fetch_number(ngx_http_request_t *r,
    const char *name);
static ngx_int_t ngx_test_fetch_head(ngx_http_acr_fetch_t *fetch);
static ngx_int_t ngx_test_fetch_piece(ngx_http_acr_fetch_t *fetch, u_char *p,
    size_t n);
static ngx_int_t ngx_test_fetch_refused(ngx_test_fetch_t *test,
    const char *where);
static void ngx_test_fetch_resume(ngx_event_t *ev);
static void ngx_test_fetch_done(ngx_http_acr_fetch_t *fetch);
static void ngx_test_fetch_gone(void *data);
static ngx_int_t ngx_test_fetch_send(ngx_http_request_t *r, u_char *data,
    size_t n);


static ngx_test_fetch_t  *ngx_test_fetch_last;


static ngx_command_t  ngx_test_fetch_commands[] = {

    { ngx_string("test_fetch"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_test_fetch_set,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_test_fetch_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_test_fetch_module = {
    NGX_MODULE_V1,
    &ngx_test_fetch_module_ctx,            /* module context */
    ngx_test_fetch_commands,               /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* what nginx's build would write */

ngx_module_t  *ngx_modules[] = { &ngx_test_fetch_module, NULL };
char          *ngx_module_names[] = { "ngx_test_fetch_module", NULL };
char          *ngx_module_order[] = { NULL };


static char *
ngx_test_fetch_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_test_fetch_handler;

    ngx_http_acr_fetch_need(cf);

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_test_fetch_handler(ngx_http_request_t *r)
{
    u_char            *p;
    u_char             text[NGX_OFF_T_LEN + sizeof(" 1\n")];
    ngx_connection_t  *c;
    ngx_test_fetch_t  *test;

    test = ngx_test_fetch_last;

    if (ngx_strncmp(r->uri.data, "/fetch", 6) == 0) {
        return ngx_test_fetch_start(r);
    }

    if (test == NULL) {
        return NGX_HTTP_NOT_FOUND;
    }

    p = ngx_sprintf(text, "%O %ui\n", test->fetch.received,
                    (ngx_uint_t) test->paused);

    if (ngx_strncmp(r->uri.data, "/resume", 7) == 0) {
        ngx_http_acr_fetch_resume(&test->fetch);

    } else if (ngx_strncmp(r->uri.data, "/cancel", 7) == 0) {
        ngx_http_acr_fetch_cancel(&test->fetch);
        c = test->request->connection;
        ngx_http_finalize_request(test->request, NGX_HTTP_CLOSE);
        ngx_http_run_posted_requests(c);
    }

    return ngx_test_fetch_send(r, text, p - text);
}


static ngx_int_t
ngx_test_fetch_start(ngx_http_request_t *r)
{
    ngx_test_fetch_t             *test;
    ngx_pool_cleanup_t           *cln;
    ngx_http_acr_fetch_t         *fetch;
    ngx_http_acr_main_conf_t     *mcf;
    ngx_http_acr_fetch_header_t  *header;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_acr_module);

    test = ngx_pcalloc(r->pool, sizeof(ngx_test_fetch_t));
    header = ngx_pcalloc(r->pool, sizeof(ngx_http_acr_fetch_header_t));
    cln = ngx_pool_cleanup_add(r->pool, 0);

    if (test == NULL || header == NULL || cln == NULL) {
        return NGX_ERROR;
    }

    test->request = r;
    test->refuse = ngx_test_fetch_text(r, "refuse");
    test->say = ngx_test_fetch_text(r, "say");
    test->hold = ngx_test_fetch_number(r, "hold");
    test->go = ngx_test_fetch_number(r, "auto");
    ngx_md5_init(&test->md5);

    test->resume.data = test;
    test->resume.handler = ngx_test_fetch_resume;
    test->resume.log = ngx_cycle->log;
    test->resume.cancelable = 1;

    test->keep.data = test;
    test->keep.handler = ngx_test_fetch_resume;
    test->keep.log = ngx_cycle->log;

    fetch = &test->fetch;
    fetch->url = ngx_test_fetch_text(r, "url");
    fetch->written = ngx_test_fetch_text(r, "written");
    fetch->method = ngx_test_fetch_text(r, "method");
    header->value = ngx_test_fetch_text(r, "header");
    ngx_str_set(&header->name, "Authorization");
    fetch->headers = header;
    fetch->nheaders = header->value.len ? 1 : 0;
    fetch->max = ngx_test_fetch_number(r, "max");
    fetch->timeout = ngx_test_fetch_number(r, "timeout");
    fetch->connect = ngx_test_fetch_number(r, "connect");
    fetch->idle = ngx_test_fetch_number(r, "idle");
    fetch->done = ngx_test_fetch_done;
    fetch->data = test;

    if (ngx_test_fetch_number(r, "stream")) {
        fetch->head = ngx_test_fetch_head;
        fetch->piece = ngx_test_fetch_piece;
    }

    if (ngx_http_acr_fetch_start(mcf->fetch.client, fetch) != NGX_OK) {
        return NGX_ERROR;
    }

    cln->handler = ngx_test_fetch_gone;
    cln->data = test;

    ngx_add_timer(&test->keep, 300000);

    ngx_test_fetch_last = test;
    r->main->count++;

    /* so that a client that leaves is seen */

    r->read_event_handler = ngx_http_test_reading;

    return NGX_DONE;
}


static ngx_str_t
ngx_test_fetch_text(ngx_http_request_t *r, const char *name)
{
    u_char     *src, *dst;
    ngx_str_t   value, text;

    ngx_str_null(&text);

    if (ngx_http_arg(r, (u_char *) name, ngx_strlen(name), &value) == NGX_OK) {
        text.data = ngx_pnalloc(r->pool, value.len + 1);

        if (text.data) {
            src = value.data;
            dst = text.data;
            ngx_unescape_uri(&dst, &src, value.len, 0);
            text.len = dst - text.data;
        }
    }

    return text;
}


static ngx_int_t
ngx_test_fetch_number(ngx_http_request_t *r, const char *name)
{
    ngx_str_t  text;

    text = ngx_test_fetch_text(r, name);

    return text.len ? ngx_atoi(text.data, text.len) : 0;
}


static ngx_int_t
ngx_test_fetch_head(ngx_http_acr_fetch_t *fetch)
{
    ngx_test_fetch_t  *test = fetch->data;

    test->heads++;
    test->status = fetch->status;

    if (ngx_test_fetch_refused(test, "head")) {
        return NGX_ERROR;
    }

    return (fetch->status / 100 == 2) ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_test_fetch_piece(ngx_http_acr_fetch_t *fetch, u_char *p, size_t n)
{
    ngx_test_fetch_t  *test = fetch->data;

    if (ngx_test_fetch_refused(test, "piece")) {
        return NGX_ERROR;
    }

    if (test->hold && !test->paused
        && fetch->received + (off_t) n >= test->next)
    {
        test->next += test->hold;
        test->pauses++;
        test->paused = 1;

        if (test->go) {
            ngx_add_timer(&test->resume, 1);
        }

        return NGX_AGAIN;
    }

    test->paused = 0;
    ngx_md5_update(&test->md5, p, n);

    return NGX_OK;
}


static ngx_int_t
ngx_test_fetch_refused(ngx_test_fetch_t *test, const char *where)
{
    if (test->refuse.len == 0
        || ngx_strncmp(test->refuse.data, where, test->refuse.len) != 0)
    {
        return 0;
    }

    test->fetch.error = test->say;

    return 1;
}


static void
ngx_test_fetch_resume(ngx_event_t *ev)
{
    ngx_test_fetch_t  *test = ev->data;

    ngx_http_acr_fetch_resume(&test->fetch);
}


static void
ngx_test_fetch_done(ngx_http_acr_fetch_t *fetch)
{
    ngx_test_fetch_t  *test = fetch->data;

    size_t               n;
    u_char              *p, *last, *text;
    u_char               sum[16];
    ngx_str_t            length;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = test->request;
    c = r->connection;

    if (ngx_http_acr_fetch_header(fetch, "Content-Length", &length)
        != NGX_OK)
    {
        ngx_str_set(&length, "none");
    }

    ngx_md5_final(sum, &test->md5);

    n = 1024 + fetch->answer.len;
    text = ngx_pnalloc(r->pool, n);

    if (text == NULL) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    last = text + n;
    p = ngx_slprintf(text, last, "status %ui\nheads %ui\ntold %ui\n"
                     "received %O\npauses %ui\nlength %V\nerror %V\nsum ",
                     fetch->status, test->heads, test->status,
                     fetch->received, test->pauses, &length, &fetch->error);
    p = ngx_hex_dump(p, sum, 16);
    p = ngx_slprintf(p, last, "\nanswer %V", &fetch->answer);

    ngx_http_finalize_request(r, ngx_test_fetch_send(r, text, p - text));
    ngx_http_run_posted_requests(c);
}


static void
ngx_test_fetch_gone(void *data)
{
    ngx_test_fetch_t  *test = data;

    ngx_http_acr_fetch_cancel(&test->fetch);

    if (test->resume.timer_set) {
        ngx_del_timer(&test->resume);
    }

    if (test->keep.timer_set) {
        ngx_del_timer(&test->keep);
    }

    if (ngx_test_fetch_last == test) {
        ngx_test_fetch_last = NULL;
    }
}


static ngx_int_t
ngx_test_fetch_send(ngx_http_request_t *r, u_char *data, size_t n)
{
    ngx_int_t    rc;
    ngx_buf_t   *b;
    ngx_chain_t  out;

    b = ngx_create_temp_buf(r->pool, n);

    if (b == NULL) {
        return NGX_ERROR;
    }

    b->last = ngx_cpymem(b->last, data, n);
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = n;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK) {
        return rc;
    }

    return ngx_http_output_filter(r, &out);
}
