
/*
 * If-Match and If-None-Match of PUT and DELETE, RFC 9110 section 13: a client
 * changes a tag only if it still is what the client has seen, or makes it
 * only if there is none.  The index decides, in the script of the change.
 */

#include "ngx_http_acr_manifest.h"


static u_char *ngx_http_acr_condition(u_char *p, const char *kind,
    ngx_str_t *name, ngx_str_t *value);
static u_char *ngx_http_acr_condition_list(u_char *p, ngx_str_t *value,
    ngx_uint_t weak);


ngx_int_t
ngx_http_acr_manifest_conditions(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, ngx_str_t *conditions)
{
    u_char           *p;
    size_t            len;
    ngx_table_elt_t  *match, *none;

    match = r->headers_in.if_match;
    none = r->headers_in.if_none_match;

    ngx_str_null(conditions);

    if (match == NULL && none == NULL) {
        return NGX_OK;
    }

    len = (match ? ctx->reference.len + match->value.len : 0)
          + (none ? ctx->reference.len + none->value.len : 0)
          + 2 * sizeof("m  \n");

    p = ngx_pnalloc(r->pool, len);

    if (p == NULL) {
        return NGX_ERROR;
    }

    conditions->data = p;

    if (match) {
        p = ngx_http_acr_condition(p, "m", &ctx->reference, &match->value);
    }

    if (none) {
        p = ngx_http_acr_condition(p, "n", &ctx->reference, &none->value);
    }

    conditions->len = p - conditions->data;

    return NGX_OK;
}


static u_char *
ngx_http_acr_condition(u_char *p, const char *kind, ngx_str_t *name,
    ngx_str_t *value)
{
    p = ngx_sprintf(p, "%s %V ", kind, name);

    if (value->len == 1 && value->data[0] == '*') {
        *p++ = '*';

    } else {

        /* a weak tag is never strongly the same, section 8.8.3.2 */

        p = ngx_http_acr_condition_list(p, value, *kind == 'n');
    }

    *p++ = '\n';

    return p;
}


/* the digests among the entity tags, each with a space behind it */

static u_char *
ngx_http_acr_condition_list(u_char *p, ngx_str_t *value, ngx_uint_t weak)
{
    u_char        *s, *end, *last;
    ngx_uint_t     is_weak;
    acr_digest_t   digest;

    s = value->data;
    last = s + value->len;

    while (s < last) {
        is_weak = 0;

        if (last - s > 2 && s[0] == 'W' && s[1] == '/') {
            is_weak = 1;
            s += 2;
        }

        if (*s != '"') {
            s++;
            continue;
        }

        end = ngx_strlchr(s + 1, last, '"');

        if (end == NULL) {
            break;
        }

        if ((weak || !is_weak)
            && acr_digest_parse(&digest, s + 1, end - s - 1) == ACR_OK)
        {
            p = ngx_cpymem(p, s + 1, end - s - 1);
            *p++ = ' ';
        }

        s = end + 1;
    }

    return p;
}


void
ngx_http_acr_manifest_changed(ngx_http_request_t *r)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    ngx_http_acr_fail_status(r, NGX_HTTP_PRECONDITION_FAILED,
                             ACR_E_MANIFEST_INVALID,
                             "it is not what If-Match or If-None-Match "
                             "demands", "reference", &ctx->reference);
}
