
#include "ngx_http_acr_api.h"
#include "ngx_http_acr_data.h"
#include "ngx_http_acr_metrics.h"


static void ngx_http_acr_data_get(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static int ngx_http_acr_data_verify(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, acr_digest_t *digest);


/*
 * HEAD is answered from here: that saves its client a trip, and what it says of
 * the blob is the same.
 */

ngx_int_t
ngx_http_acr_data_redirect(ngx_http_request_t *r, acr_digest_t *digest,
    off_t size)
{
    int                            rc;
    size_t                         len;
    int64_t                        expires;
    ngx_str_t                      url;
    acr_text_t                     base;
    ngx_http_acr_ctx_t            *ctx;
    ngx_http_acr_data_endpoint_t  *endpoint;
    u_char                         buf[ACR_SIGNED_MAX];
    static ngx_str_t               no_store = ngx_string("no-store");

    ctx = ngx_http_acr_get_ctx(r);
    endpoint = ctx->conf->data.endpoint;

    if (endpoint == NULL || r->method != NGX_HTTP_GET
        || size == 0 || size < endpoint->min_size)
    {
        return NGX_DECLINED;
    }

    if (ngx_http_complex_value(r, &endpoint->url, &url) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NGX_DONE;
    }

    /* variables may say that there is none for this client */

    if (url.len == 0
        || (url.len == 3 && ngx_strncmp(url.data, "off", 3) == 0))
    {
        return NGX_DECLINED;
    }

    base.data = url.data;
    base.len = url.len;

    if (acr_signed_base(&base) != ACR_OK) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "acr: what \"acr_data_endpoint\" has become is no URL, "
                      "the blob is sent from here");
        return NGX_DECLINED;
    }

    expires = acr_signed_expires(digest, ngx_time(), endpoint->lifetime);

    rc = acr_signed_print(ctx->conf->data.keys, digest, expires, buf, &len);

    /*
     * A cache between would give the address of one client to others, and
     * longer than it holds.
     */

    if (rc != ACR_OK
        || ngx_http_acr_header(r, "Docker-Content-Digest", &ctx->digest)
           != NGX_OK
        || ngx_http_acr_header(r, "Cache-Control", &no_store) != NGX_OK
        || ngx_http_acr_header_printf(r, "Location",
                                      "%*s" NGX_HTTP_ACR_DATA_PATH "%*s",
                                      base.len, base.data, len, buf)
           != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NGX_DONE;
    }

    ngx_http_acr_send_status(r, NGX_HTTP_TEMPORARY_REDIRECT);

    return NGX_DONE;
}


ngx_int_t
ngx_http_acr_data(ngx_http_request_t *r)
{
    return ngx_http_acr_handle(r, ngx_http_acr_data_get);
}


/*
 * GET, HEAD /acr/data/<alg>/<hex>?expires=&key=&sig=: there is no repository,
 * since whoever has signed has looked at that, and no question to Redis: the
 * blob is served as long as its file is there.
 */

static void
ngx_http_acr_data_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    int               rc;
    acr_digest_t      digest;
    static ngx_str_t  type = ngx_string("application/octet-stream");

    ctx->operation = "data_get";
    ngx_http_acr_metrics_begin(ctx);

    if (ngx_http_acr_need_get(r) != NGX_OK) {
        return;
    }

    rc = ngx_http_acr_data_verify(r, ctx, &digest);

    if (rc == ACR_NOMEM) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    if (rc != ACR_OK) {

        /* the client is not told more: one that guesses learns nothing */

        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "acr: the address of the blob is %s",
                      rc == ACR_DONE ? "over" : "none that was signed");

        ngx_http_acr_fail(r, ACR_E_DENIED,
                          "the address is not signed, or is over", NULL, NULL);
        return;
    }

    ctx->digest = ngx_http_acr_digest_text(r, &digest);

    if (ctx->digest.data == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_send_content(r, NGX_HTTP_ACR_SIZE_UNKNOWN, &type, 0,
                              ACR_E_BLOB_UNKNOWN);
}


/* ACR_OK, ACR_DONE, ACR_INVALID, ACR_NOMEM as acr_signed_verify() */

static int
ngx_http_acr_data_verify(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    acr_digest_t *digest)
{
    int         rc;
    size_t      n;
    int64_t     expires;
    acr_text_t  path, args;

    n = sizeof(NGX_HTTP_ACR_DATA_PATH) - 1;

    /* one address is written in one way: nothing encoded, no "//" or "/../" */

    if (r->complex_uri || r->quoted_uri
        || r->uri.len < n
        || ngx_memcmp(r->uri.data, NGX_HTTP_ACR_DATA_PATH, n) != 0)
    {
        return ACR_INVALID;
    }

    ctx->reference.data = r->uri.data + n;
    ctx->reference.len = r->uri.len - n;

    path.data = ctx->reference.data;
    path.len = ctx->reference.len;
    args.data = r->args.data;
    args.len = r->args.len;

    rc = acr_signed_verify(ctx->conf->data.keys, &path, &args, ngx_time(),
                           digest, &expires);

    if (rc == ACR_OK) {
        ctx->expires = expires;
    }

    return rc;
}
