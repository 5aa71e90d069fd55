
/*
 * If-Match and If-None-Match of PUT and DELETE, RFC 9110 section 13: a client
 * changes a tag only if it still is what the client has seen, or makes it
 * only if there is none.  The index decides, in the script of the change.
 */

#include "ngx_http_acr_manifest.h"


static u_char *ngx_http_acr_condition(u_char *p, const char *kind,
    ngx_str_t *name, ngx_str_t *value);


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


/*
 * The digests among the entity tags, each with a space behind it.  A weak tag
 * is never strongly the same, section 8.8.3.2.
 */

static u_char *
ngx_http_acr_condition(u_char *p, const char *kind, ngx_str_t *name,
    ngx_str_t *value)
{
    acr_text_t    rest;
    acr_etag_t    etag;
    acr_digest_t  digest;

    p = ngx_sprintf(p, "%s %V ", kind, name);

    rest.data = value->data;
    rest.len = value->len;

    if (acr_etag_any(&rest)) {
        *p++ = '*';
        *p++ = '\n';

        return p;
    }

    while (acr_etag_next(&rest, &etag) == ACR_OK) {

        if ((etag.weak && *kind == 'm')
            || acr_digest_parse(&digest, etag.tag.data, etag.tag.len)
               != ACR_OK)
        {
            continue;
        }

        p = ngx_cpymem(p, etag.tag.data, etag.tag.len);
        *p++ = ' ';
    }

    *p++ = '\n';

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
