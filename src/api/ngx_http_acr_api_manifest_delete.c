
#include "ngx_http_acr_manifest.h"
#include "ngx_http_acr_v1.h"


static ngx_http_acr_delete_t *ngx_http_acr_delete_begin(
    ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_delete_tag(ngx_http_request_t *r,
    ngx_http_acr_delete_t *del);
static void ngx_http_acr_delete_tag_gone(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_delete_slice_gone(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_delete_slice_settled(ngx_http_request_t *r,
    void *data, ngx_int_t rc);
static void ngx_http_acr_delete_settled(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_delete_ended(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static ngx_int_t ngx_http_acr_delete_names(ngx_http_acr_delete_t *del,
    ngx_str_t *tags, ngx_uint_t n);
static void ngx_http_acr_delete_unknown(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);


/* DELETE /v2/<name>/manifests/<reference> */

void
ngx_http_acr_manifest_delete(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_int_t               rc;
    acr_digest_t            digest;
    ngx_http_acr_delete_t  *del;

    rc = ngx_http_acr_manifest_reference(r, ctx, &digest,
                                         ACR_E_MANIFEST_UNKNOWN);
    if (rc == NGX_DONE) {
        return;
    }

    del = ngx_http_acr_delete_begin(r, ctx);

    if (del == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    if (rc == NGX_OK) {
        del->digest = ctx->digest;
        ngx_http_acr_delete_manifest(r, del);

    } else {
        ngx_http_acr_delete_tag(r, del);
    }
}


/* DELETE /acr/v1/<name>/_tags/<tag> */

void
ngx_http_acr_v1_tag_delete(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_delete_t  *del;

    if (!acr_tag_valid(ctx->reference.data, ctx->reference.len)) {
        ngx_http_acr_delete_unknown(r, ctx);
        return;
    }

    del = ngx_http_acr_delete_begin(r, ctx);

    if (del == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_delete_tag(r, del);
}


static ngx_http_acr_delete_t *
ngx_http_acr_delete_begin(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_delete_t  *del;

    del = ngx_pcalloc(r->pool, sizeof(ngx_http_acr_delete_t));

    if (del == NULL
        || ngx_http_acr_manifest_conditions(r, ctx, &del->conditions)
           != NGX_OK)
    {
        return NULL;
    }

    del->ctx = ctx;
    del->next = ngx_http_acr_delete_ended;
    del->data = del;

    ctx->committing = 1;

    return del;
}


static void
ngx_http_acr_delete_tag(ngx_http_request_t *r, ngx_http_acr_delete_t *del)
{
    ngx_str_t  args[4];

    args[0] = del->ctx->repository;
    args[1] = del->ctx->reference;
    ngx_str_null(&args[2]);
    args[3] = del->conditions;

    ngx_http_acr_ask(r, ACR_SCRIPT_TAG_DELETE, args, 4,
                     ngx_http_acr_delete_tag_gone, del);
}


static void
ngx_http_acr_delete_tag_gone(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_delete_t *del = data;

    if (reply->status == NGX_HTTP_ACR_META_UNKNOWN) {
        ngx_http_acr_delete_unknown(r, del->ctx);
        return;
    }

    if (reply->status == NGX_HTTP_ACR_META_CHANGED) {
        ngx_http_acr_manifest_changed(r);
        return;
    }

    if (reply->status != NGX_HTTP_ACR_META_OK
        || ngx_http_acr_changed(del->ctx->registry, &del->change, reply)
           != NGX_OK)
    {
        ngx_http_acr_manifest_unexpected(r);
        return;
    }

    ngx_http_acr_settle(r, &del->ctx->reference, 1, &del->change, NULL,
                        ngx_http_acr_delete_settled, del);
}


void
ngx_http_acr_delete_manifest(ngx_http_request_t *r,
    ngx_http_acr_delete_t *del)
{
    u_char     limit[NGX_INT_T_LEN];
    ngx_str_t  args[5];

    args[0] = del->ctx->repository;
    args[1] = del->digest;
    ngx_str_null(&args[2]);

    args[3].data = limit;
    args[3].len = ngx_sprintf(limit, "%ui",
                              (ngx_uint_t) NGX_HTTP_ACR_DELETE_TAGS)
                  - limit;

    /* without conditions it only goes on: somebody may have put the manifest
       again */

    args[4] = del->conditions;

    ngx_http_acr_ask(r, ACR_SCRIPT_MANIFEST_DELETE, args, del->begun ? 4 : 5,
                     ngx_http_acr_delete_slice_gone, del);
}


static void
ngx_http_acr_delete_slice_gone(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_delete_t *del = data;

    if (reply->status == NGX_HTTP_ACR_META_UNKNOWN) {

        if (!del->begun) {
            del->next(r, del->data, NGX_DECLINED);
            return;
        }

        /* somebody else has removed the rest */

        del->more = 0;
        ngx_http_acr_delete_slice_settled(r, del, NGX_OK);
        return;
    }

    if (reply->status == NGX_HTTP_ACR_META_CHANGED) {
        ngx_http_acr_manifest_changed(r);
        return;
    }

    if (reply->status != NGX_HTTP_ACR_META_OK
        || ngx_http_acr_changed(del->ctx->registry, &del->change, reply)
           != NGX_OK
        || reply->n < 2
        || ngx_http_acr_delete_names(del, &reply->v[2], reply->n - 2)
           != NGX_OK)
    {
        ngx_http_acr_manifest_unexpected(r);
        return;
    }

    if (del->gone && del->gone(del) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    del->begun = 1;
    del->more = (reply->v[1].len == 1 && reply->v[1].data[0] == '1');

    ngx_http_acr_settle(r, del->names, del->nnames, &del->change, NULL,
                        ngx_http_acr_delete_slice_settled, del);
}


/* the digest comes last, so that the links on disk never name what is gone */

static void
ngx_http_acr_delete_slice_settled(ngx_http_request_t *r, void *data,
    ngx_int_t rc)
{
    ngx_http_acr_delete_t *del = data;

    if (del->more) {
        ngx_http_acr_delete_manifest(r, del);
        return;
    }

    ngx_http_acr_settle(r, &del->digest, 1, &del->change, NULL,
                        ngx_http_acr_delete_settled, del);
}


static void
ngx_http_acr_delete_settled(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_delete_t *del = data;

    del->next(r, del->data, NGX_OK);
}


static void
ngx_http_acr_delete_ended(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_delete_t *del = data;

    if (rc == NGX_DECLINED) {
        ngx_http_acr_delete_unknown(r, del->ctx);
        return;
    }

    ngx_http_acr_send_status(r, NGX_HTTP_ACCEPTED);
}


/* NGX_DECLINED: the script has not answered as it should */

static ngx_int_t
ngx_http_acr_delete_names(ngx_http_acr_delete_t *del, ngx_str_t *tags,
    ngx_uint_t n)
{
    ngx_uint_t  i;

    if (n > NGX_HTTP_ACR_DELETE_TAGS) {
        return NGX_DECLINED;
    }

    for (i = 0; i < n; i++) {

        if (!acr_tag_valid(tags[i].data, tags[i].len)) {
            return NGX_DECLINED;
        }

        ngx_memcpy(del->text[i], tags[i].data, tags[i].len);

        del->names[i].data = del->text[i];
        del->names[i].len = tags[i].len;
    }

    del->nnames = n;

    return NGX_OK;
}


static void
ngx_http_acr_delete_unknown(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    if (ctx->acr) {
        ctx->committing = 0;
        ngx_http_acr_v1_item_unknown(r, ctx);
        return;
    }

    ngx_http_acr_fail(r, ACR_E_MANIFEST_UNKNOWN, NULL, "reference",
                      &ctx->reference);
}
