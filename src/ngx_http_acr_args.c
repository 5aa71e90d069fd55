
#include "ngx_http_acr_response.h"


#define NGX_HTTP_ACR_PAGE_MAX  1000


static u_char *ngx_http_acr_link_arg(u_char *p, const char *name,
    ngx_str_t *value);


ngx_str_t
ngx_http_acr_digest_text(ngx_http_request_t *r, const acr_digest_t *digest)
{
    ngx_str_t  text;

    text.len = 0;
    text.data = ngx_pnalloc(r->pool, ACR_DIGEST_MAX);

    if (text.data) {
        text.len = acr_digest_print(text.data, digest);
    }

    return text;
}


ngx_int_t
ngx_http_acr_need_digest(ngx_http_request_t *r, acr_digest_t *digest,
    ngx_str_t *text)
{
    ngx_http_acr_ctx_t  *ctx;

    switch (acr_digest_parse(digest, text->data, text->len)) {

    case ACR_OK:
        break;

    case ACR_UNSUPPORTED:
        ngx_http_acr_fail(r, ACR_E_DIGEST_INVALID,
                          "the digest algorithm is not supported", "digest",
                          text);
        return NGX_DONE;

    default:
        ngx_http_acr_fail(r, ACR_E_DIGEST_INVALID, "this is no digest",
                          "digest", text);
        return NGX_DONE;
    }

    ctx = ngx_http_acr_get_ctx(r);

    ctx->digest = ngx_http_acr_digest_text(r, digest);

    if (ctx->digest.data == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NGX_DONE;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_arg(ngx_http_request_t *r, const char *name, ngx_str_t *value)
{
    int          rc;
    u_char      *buf;
    size_t       len;
    acr_text_t   rest, key, text;

    if (r->args.len == 0) {
        return NGX_DECLINED;
    }

    buf = ngx_pnalloc(r->pool, r->args.len);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    len = ngx_strlen(name);

    rest.data = r->args.data;
    rest.len = r->args.len;

    for ( ;; ) {
        rc = acr_query_next(&rest, buf, &key, &text);

        if (rc == ACR_DONE) {
            return NGX_DECLINED;
        }

        if (rc != ACR_OK) {
            return NGX_ERROR;
        }

        if (key.len == len && ngx_memcmp(key.data, name, len) == 0) {
            break;
        }
    }

    value->data = (u_char *) text.data;
    value->len = text.len;

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_page(ngx_http_request_t *r, ngx_uint_t *n, ngx_str_t *last)
{
    size_t      i;
    ngx_int_t   rc;
    ngx_str_t   value;

    *n = NGX_HTTP_ACR_PAGE_MAX;

    rc = ngx_http_acr_arg(r, "n", &value);

    if (rc == NGX_ERROR) {
        goto malformed;
    }

    if (rc == NGX_OK) {
        *n = 0;

        for (i = 0; i < value.len; i++) {

            if (value.data[i] < '0' || value.data[i] > '9') {
                break;
            }

            *n = ngx_min(*n * 10 + (value.data[i] - '0'),
                         NGX_HTTP_ACR_PAGE_MAX);
        }

        if (value.len == 0 || i < value.len) {
            ngx_http_acr_fail_status(r, NGX_HTTP_BAD_REQUEST,
                                     ACR_E_UNSUPPORTED, "\"n\" is no number",
                                     "n", &value);
            return NGX_DONE;
        }
    }

    rc = ngx_http_acr_arg(r, "last", last);

    if (rc == NGX_ERROR) {
        goto malformed;
    }

    if (rc == NGX_DECLINED) {
        ngx_str_null(last);
    }

    return NGX_OK;

malformed:

    ngx_http_acr_fail_status(r, NGX_HTTP_BAD_REQUEST, ACR_E_UNSUPPORTED,
                             "the query is malformed", "query", &r->args);
    return NGX_DONE;
}


ngx_int_t
ngx_http_acr_link_next(ngx_http_request_t *r, ngx_str_t *path, ngx_uint_t n,
    ngx_str_t *last, ngx_str_t *artifact_type)
{
    u_char     *p;
    size_t      len;
    ngx_str_t   value;

    len = sizeof("<?n=&last=&artifactType=>; rel=\"next\"") - 1
          + path->len + NGX_INT_T_LEN + 3 * last->len
          + (artifact_type ? 3 * artifact_type->len : 0);

    value.data = ngx_pnalloc(r->pool, len);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(value.data, "<%V?n=%ui", path, n);

    p = ngx_http_acr_link_arg(p, "last", last);

    if (artifact_type) {
        p = ngx_http_acr_link_arg(p, "artifactType", artifact_type);
    }

    p = ngx_sprintf(p, ">; rel=\"next\"");

    value.len = p - value.data;

    return ngx_http_acr_header(r, "Link", &value);
}


static u_char *
ngx_http_acr_link_arg(u_char *p, const char *name, ngx_str_t *value)
{
    p = ngx_sprintf(p, "&%s=", name);

    return p + acr_query_escape(p, value->data, value->len);
}
