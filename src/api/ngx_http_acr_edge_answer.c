
/*
 * What an origin answers to what has gone on to it, as clients of an edge node
 * may see it: every address leads through the node, and what a write has
 * changed is out of date here before its client knows that it is done.
 */

#include "ngx_http_acr_edge.h"
#include "../auth/ngx_http_acr_auth.h"


static ngx_int_t ngx_http_acr_edge_answer_filter(ngx_http_request_t *r);
static ngx_table_elt_t *ngx_http_acr_edge_answer_header(ngx_http_request_t *r,
    const char *name);
static ngx_int_t ngx_http_acr_edge_answer_realm(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_edge_answer_location(ngx_http_request_t *r);
static void ngx_http_acr_edge_answer_changed(ngx_http_acr_ctx_t *ctx);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


void
ngx_http_acr_edge_answer_init(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_acr_edge_answer_filter;
}


static ngx_int_t
ngx_http_acr_edge_answer_filter(ngx_http_request_t *r)
{
    ngx_uint_t           status;
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_acr_module);

    if (ctx == NULL || !ctx->conf->edge || r->upstream == NULL
        || r != r->main)
    {
        return ngx_http_next_header_filter(r);
    }

    status = r->headers_out.status;

    /* nginx reads the rest away and closes, so the client has to know */

    if (r->reading_body) {
        r->keepalive = 0;
    }

    if (status == NGX_HTTP_UNAUTHORIZED && ctx->conf->auth.enable
        && ngx_http_acr_edge_answer_realm(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (status >= NGX_HTTP_OK && status < NGX_HTTP_SPECIAL_RESPONSE
        && !(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)))
    {
        ngx_http_acr_edge_answer_location(r);
        ngx_http_acr_edge_answer_changed(ctx);
    }

    return ngx_http_next_header_filter(r);
}


static ngx_table_elt_t *
ngx_http_acr_edge_answer_header(ngx_http_request_t *r, const char *name)
{
    size_t            len;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    len = ngx_strlen(name);

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].hash && h[i].key.len == len
                && ngx_strncasecmp(h[i].key.data, (u_char *) name, len) == 0)
            {
                return &h[i];
            }
        }
    }

    return NULL;
}


/* the origin may have no way to it that a client could go */

static ngx_int_t
ngx_http_acr_edge_answer_realm(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    u_char           *p, *first, *quote, *last;
    size_t            len;
    ngx_str_t         realm;
    ngx_table_elt_t  *h;

    static char  bearer[] = "Bearer realm=\"";

    h = ngx_http_acr_edge_answer_header(r, "WWW-Authenticate");

    if (h == NULL || h->value.len < sizeof(bearer) - 1
        || ngx_strncasecmp(h->value.data, (u_char *) bearer,
                           sizeof(bearer) - 1) != 0)
    {
        return NGX_OK;
    }

    first = h->value.data + sizeof(bearer) - 1;
    last = h->value.data + h->value.len;
    quote = ngx_strlchr(first, last, '"');

    if (quote == NULL) {
        return NGX_OK;
    }

    if (ngx_http_acr_realm(r, ctx, &ctx->registry->origin->host, &realm)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    len = sizeof(bearer) - 1 + realm.len + (last - quote);
    p = ngx_pnalloc(r->pool, len);

    if (p == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(p, "%s%V%*s", bearer, &realm, (size_t) (last - quote),
                       quote);

    h->value.data = p;
    h->value.len = len;

    return NGX_OK;
}


/* an upload goes on where it has begun: here, whatever the origin's name is */

static void
ngx_http_acr_edge_answer_location(ngx_http_request_t *r)
{
    u_char           *p, *last;
    ngx_table_elt_t  *h;

    h = ngx_http_acr_edge_answer_header(r, "Location");

    if (h == NULL || h->value.len == 0 || h->value.data[0] == '/') {
        return;
    }

    last = h->value.data + h->value.len;
    p = ngx_strlcasestrn(h->value.data, last, (u_char *) "://", 3 - 1);

    if (p == NULL) {
        return;
    }

    p = ngx_strlchr(p + 3, last, '/');

    if (p == NULL || last - p < 4 || ngx_strncmp(p, "/v2/", 4) != 0) {
        return;
    }

    h->value.data = p;
    h->value.len = last - p;

    /* or nginx makes it absolute, with the port that it listens on */

    r->headers_out.location = NULL;
}


/* the origin's events tell all others */

static void
ngx_http_acr_edge_answer_changed(ngx_http_acr_ctx_t *ctx)
{
    u_char               *last;
    ngx_uint_t            put, deleted;
    ngx_http_acr_zone_t  *zone;

    static ngx_str_t  lists = ngx_string("");

    zone = ctx->registry->zone;

    if (zone == NULL || ctx->operation == NULL || ctx->repository.len == 0) {
        return;
    }

    last = ctx->reference.data + ctx->reference.len;

    put = (ngx_strcmp(ctx->operation, "manifest_put") == 0);
    deleted = (ngx_strcmp(ctx->operation, "manifest_delete") == 0);

    if (ngx_strcmp(ctx->operation, "blob_delete") == 0) {
        ngx_http_acr_generation_raise(zone, &ctx->repository, &ctx->reference);

    } else if (put || (deleted && ngx_strlchr(ctx->reference.data, last, ':')
                                  == NULL))
    {
        ngx_http_acr_generation_raise(zone, &ctx->repository, &ctx->reference);
        ngx_http_acr_generation_raise(zone, &ctx->repository, &lists);

    } else if (deleted
               || ngx_strncmp(ctx->operation, "acr_", sizeof("acr_") - 1) == 0)
    {
        /* a manifest takes its tags along */

        ngx_http_acr_generation_raise(zone, &ctx->repository, NULL);
    }
}
