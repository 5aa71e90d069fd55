
#include "ngx_http_acr_response.h"


#define NGX_HTTP_ACR_LOCATION_MAX  4096

#define ngx_http_acr_is(str, s)                                              \
    ((str)->len == sizeof(s) - 1                                             \
     && ngx_strncasecmp((str)->data, (u_char *) s, sizeof(s) - 1) == 0)


static void ngx_http_acr_forwarded(ngx_http_request_t *r, ngx_str_t *scheme,
    ngx_str_t *host);
static ngx_uint_t ngx_http_acr_host_valid(ngx_str_t *host);


/*
 * Not r->headers_out.location: nginx would make that absolute by itself, with
 * the port that it listens on.
 */

ngx_int_t
ngx_http_acr_location(ngx_http_request_t *r, const char *fmt, ...)
{
    u_char              *p;
    va_list              args;
    ngx_str_t            path, scheme, host;
    ngx_http_acr_ctx_t  *ctx;
    u_char               buf[NGX_HTTP_ACR_LOCATION_MAX];

    va_start(args, fmt);
    p = ngx_vslprintf(buf, buf + NGX_HTTP_ACR_LOCATION_MAX, fmt, args);
    va_end(args);

    if (p == buf + NGX_HTTP_ACR_LOCATION_MAX) {
        return NGX_ERROR;
    }

    path.data = buf;
    path.len = p - buf;

    ctx = ngx_http_acr_get_ctx(r);

    if (ctx->conf->location == NGX_HTTP_ACR_LOCATION_RELATIVE
        || ngx_http_acr_origin(r, &scheme, &host) != NGX_OK)
    {
        return ngx_http_acr_header_printf(r, "Location", "%V", &path);
    }

    return ngx_http_acr_header_printf(r, "Location", "%V://%V%V", &scheme,
                                      &host, &path);
}


ngx_int_t
ngx_http_acr_origin(ngx_http_request_t *r, ngx_str_t *scheme, ngx_str_t *host)
{
    ngx_http_acr_ctx_t  *ctx;

    ngx_str_set(scheme, "http");

#if (NGX_HTTP_SSL)
    if (r->connection->ssl) {
        ngx_str_set(scheme, "https");
    }
#endif

    if (r->headers_in.host) {
        *host = r->headers_in.host->value;

    } else if (r->host_start && r->host_end > r->host_start) {

        /* ":authority" of HTTP/2 and HTTP/3 */

        host->data = r->host_start;
        host->len = r->host_end - r->host_start;

    } else {
        ngx_str_null(host);
    }

    ctx = ngx_http_acr_get_ctx(r);

    if (ctx->conf->location == NGX_HTTP_ACR_LOCATION_FORWARDED) {
        ngx_http_acr_forwarded(r, scheme, host);
    }

    return ngx_http_acr_host_valid(host) ? NGX_OK : NGX_DECLINED;
}


/* the first value of each header counts, if it can be one */

static void
ngx_http_acr_forwarded(ngx_http_request_t *r, ngx_str_t *scheme,
    ngx_str_t *host)
{
    u_char           *comma;
    ngx_str_t         value;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            value = h[i].value;

            comma = ngx_strlchr(value.data, value.data + value.len, ',');

            if (comma) {
                value.len = comma - value.data;
            }

            if (ngx_http_acr_is(&h[i].key, "X-Forwarded-Host")) {

                if (ngx_http_acr_host_valid(&value)) {
                    *host = value;
                }

            } else if (ngx_http_acr_is(&h[i].key, "X-Forwarded-Proto")) {

                if (ngx_http_acr_is(&value, "https")) {
                    ngx_str_set(scheme, "https");

                } else if (ngx_http_acr_is(&value, "http")) {
                    ngx_str_set(scheme, "http");
                }
            }
        }
    }
}


static ngx_uint_t
ngx_http_acr_host_valid(ngx_str_t *host)
{
    u_char  c;
    size_t  i;

    for (i = 0; i < host->len; i++) {
        c = host->data[i];

        if ((c >= '0' && c <= '9')
            || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
            || c == '.' || c == '-' || c == '_' || c == ':'
            || c == '[' || c == ']')
        {
            continue;
        }

        return 0;
    }

    return (host->len != 0);
}
