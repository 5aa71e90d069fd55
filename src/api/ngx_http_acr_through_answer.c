
#include "ngx_http_acr_manifest.h"
#include "ngx_http_acr_through_core.h"


static void ngx_http_acr_through_stale(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_http_acr_remote_result_e result);
static void ngx_http_acr_through_fail(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_http_acr_remote_result_e result);
static void ngx_http_acr_through_unsaid(ngx_http_request_t *r);
static void ngx_http_acr_through_whole(ngx_http_request_t *r, off_t size);


void
ngx_http_acr_through_end(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_http_acr_remote_result_e result)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    ctx->committing = 0;

    if (!through->blob
        && (result == NGX_HTTP_ACR_REMOTE_OK
            || result == NGX_HTTP_ACR_REMOTE_MISSING))
    {
        ngx_http_acr_through_note(ctx, result);
    }

    ngx_http_acr_turn_give(&through->turn, result);

    if (ctx->gone) {
        ngx_http_acr_finalize(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_through_go_on(r, through, result);
}


void
ngx_http_acr_through_go_on(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_http_acr_remote_result_e result)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    through->asked = 1;

    if (through->next) {
        through->next(r, through->data, result);
        return;
    }

    if (result == NGX_HTTP_ACR_REMOTE_OK && through->blob) {
        ngx_http_acr_through_follow(r, through, 1);
        return;
    }

    if (result == NGX_HTTP_ACR_REMOTE_OK) {

        if (through->by_tag) {
            ngx_str_null(&ctx->digest);
        }

        ngx_http_acr_manifest_look_up(r, ctx);
        return;
    }

    if (through->here
        && !(result == NGX_HTTP_ACR_REMOTE_MISSING && through->rule.gone))
    {
        ngx_http_acr_through_stale(r, through, result);
        return;
    }

    ngx_http_acr_through_fail(r, through, result);
}


/*
 * The last that is known.  RFC 9111 has no Warning any more, but clients of
 * registries print it: OCI distribution-spec "Warnings".
 */

static void
ngx_http_acr_through_stale(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_http_acr_remote_result_e result)
{
    ngx_str_t           *text;
    ngx_http_acr_ctx_t  *ctx;

    static ngx_str_t  warnings[] = {
        ngx_string("299 - \"the origin does not answer, this may be out of "
                   "date\""),
        ngx_string("299 - \"the origin does not have this tag any more\"")
    };

    ctx = ngx_http_acr_get_ctx(r);

    text = &warnings[result == NGX_HTTP_ACR_REMOTE_MISSING];

    ctx->cache_status = "STALE";
    ctx->digest = through->digest;

    if (ngx_http_acr_header(r, "Warning", text) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_send_content(r, through->size, &through->type, 1,
                              ACR_E_MANIFEST_UNKNOWN);
}


static void
ngx_http_acr_through_fail(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_http_acr_remote_result_e result)
{
    char       *key;
    ngx_str_t  *reference;

    key = through->blob ? "digest" : "reference";
    reference = &ngx_http_acr_get_ctx(r)->reference;

    if (through->unstored) {
        ngx_http_acr_fail(r, ACR_E_UNAVAILABLE, "it cannot be stored", key,
                          reference);
        return;
    }

    switch (result) {

    case NGX_HTTP_ACR_REMOTE_MISSING:
        ngx_http_acr_fail(r, through->blob ? ACR_E_BLOB_UNKNOWN
                                           : ACR_E_MANIFEST_UNKNOWN,
                          NULL, key, reference);
        return;

    case NGX_HTTP_ACR_REMOTE_DENIED:
        ngx_http_acr_fail(r, ACR_E_DENIED, "the origin does not give it",
                          key, reference);
        return;

    case NGX_HTTP_ACR_REMOTE_LIMITED:
        ngx_http_acr_fail(r, ACR_E_TOOMANYREQUESTS, "the origin has a limit",
                          key, reference);
        return;

    default:
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_GATEWAY, ACR_E_UNAVAILABLE,
                                 "the origin does not answer", key,
                                 reference);
    }
}


/* --- blobs */

void
ngx_http_acr_through_follow(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_uint_t has)
{
    ngx_http_acr_source_t  source;

    ngx_http_acr_through_source(through, has, &source);

    ngx_http_acr_follow(r, &through->content, &source,
                        ngx_http_acr_through_whole,
                        ngx_http_acr_through_unsaid);
}


/*
 * The content is here, but not by this origin: it is asked whether the
 * repository has it.  Else whoever knows a digest could have what he may not
 * read where it is.
 */

static void
ngx_http_acr_through_unsaid(ngx_http_request_t *r)
{
    ngx_http_acr_through_take(r, ngx_http_acr_get_ctx(r));
}


static void
ngx_http_acr_through_whole(ngx_http_request_t *r, off_t size)
{
    static ngx_str_t  type = ngx_string("application/octet-stream");

    ngx_http_acr_send_content(r, size, &type, 0, ACR_E_BLOB_UNKNOWN);
}
