
#include "ngx_http_acr_v1.h"
#include "ngx_http_acr_manifest.h"
#include "../auth/ngx_http_acr_auth.h"


/* acr_tags.lua gives no more at once */
#define NGX_HTTP_ACR_V1_TAGS  200

/* tag, digest, updated, created, attributes */
#define NGX_HTTP_ACR_V1_TAG   5


static void ngx_http_acr_v1_tag_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_v1_item_unknown_where(ngx_http_request_t *r,
    void *data, ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_v1_tags_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static json_t *ngx_http_acr_v1_tag(ngx_str_t *tag, ngx_str_t *v);


/* GET /acr/v1/<name>/_tags/<tag> */

void
ngx_http_acr_v1_tag_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_str_t  args[2];

    if (!acr_tag_valid(ctx->reference.data, ctx->reference.len)) {
        ngx_http_acr_fail(r, ACR_E_TAG_UNKNOWN, NULL, "tag", &ctx->reference);
        return;
    }

    args[0] = ctx->repository;
    args[1] = ctx->reference;

    ngx_http_acr_ask(r, ACR_SCRIPT_ACR_TAG, args, 2, ngx_http_acr_v1_tag_found,
                     NULL);
}


static void
ngx_http_acr_v1_tag_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    json_t              *root;
    ngx_str_t            registry;
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    if (reply->status == NGX_HTTP_ACR_META_MISS && reply->n == 1) {

        if (reply->v[0].data[0] == '1') {
            ngx_http_acr_fail(r, ACR_E_TAG_UNKNOWN, NULL, "tag",
                              &ctx->reference);

        } else {
            ngx_http_acr_v1_unknown(r);
        }

        return;
    }

    if (reply->status != NGX_HTTP_ACR_META_OK
        || reply->n != NGX_HTTP_ACR_V1_TAG - 1)
    {
        ngx_http_acr_manifest_unexpected(r);
        return;
    }

    if (ngx_http_acr_service(r, &registry) != NGX_OK) {
        return;
    }

    root = ngx_http_acr_v1_root(&registry, &ctx->repository);

    if (root == NULL
        || json_object_set_new(root, "tag",
                               ngx_http_acr_v1_tag(&ctx->reference, reply->v))
           != 0)
    {
        json_decref(root);
        root = NULL;
    }

    ngx_http_acr_send_json(r, NGX_HTTP_OK, root);
}


void
ngx_http_acr_v1_item_unknown(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_ask(r, ACR_SCRIPT_ACR_REPOSITORY, &ctx->repository, 1,
                     ngx_http_acr_v1_item_unknown_where, NULL);
}


static void
ngx_http_acr_v1_item_unknown_where(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    if (reply->status == NGX_HTTP_ACR_META_MISS) {
        ngx_http_acr_v1_unknown(r);
        return;
    }

    if (ctx->digest.len) {
        ngx_http_acr_fail(r, ACR_E_MANIFEST_UNKNOWN, NULL, "digest",
                          &ctx->digest);
        return;
    }

    ngx_http_acr_fail(r, ACR_E_TAG_UNKNOWN, NULL, "tag", &ctx->reference);
}


/* GET /acr/v1/<name>/_tags */

void
ngx_http_acr_v1_tags_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_str_t                args[6];
    acr_digest_t             digest;
    ngx_http_acr_v1_page_t  *page;

    page = ngx_pcalloc(r->pool, sizeof(ngx_http_acr_v1_page_t));

    if (page == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    if (ngx_http_acr_v1_page(r, page, NGX_HTTP_ACR_V1_TAGS) != NGX_OK) {
        return;
    }

    if (page->digest.len
        && ngx_http_acr_need_digest(r, &digest, &page->digest) != NGX_OK)
    {
        return;
    }

    args[0] = ctx->repository;
    args[1] = page->last;
    args[2] = page->number_text;
    args[3] = page->order;
    args[4] = page->time;
    args[5] = page->digest;

    ngx_http_acr_ask(r, ACR_SCRIPT_ACR_TAGS, args, 6,
                     ngx_http_acr_v1_tags_found, page);
}


static void
ngx_http_acr_v1_tags_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_v1_page_t *page = data;

    json_t              *root, *tags;
    ngx_str_t            registry;
    ngx_uint_t           i;
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    if (reply->status != NGX_HTTP_ACR_META_OK || reply->n < 4
        || (reply->n - 4) % NGX_HTTP_ACR_V1_TAG || reply->v[0].len != 1)
    {
        ngx_http_acr_manifest_unexpected(r);
        return;
    }

    if (reply->v[0].data[0] != '1') {
        ngx_http_acr_v1_unknown(r);
        return;
    }

    if (ngx_http_acr_service(r, &registry) != NGX_OK) {
        return;
    }

    if (ngx_http_acr_v1_link(r, "_tags", page, &reply->v[1]) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    root = ngx_http_acr_v1_root(&registry, &ctx->repository);
    tags = json_array();

    if (root == NULL || json_object_set(root, "tags", tags) != 0) {
        goto failed;
    }

    for (i = 4; i < reply->n; i += NGX_HTTP_ACR_V1_TAG) {

        if (json_array_append_new(tags,
                                  ngx_http_acr_v1_tag(&reply->v[i],
                                                      &reply->v[i + 1]))
            != 0)
        {
            goto failed;
        }
    }

    json_decref(tags);

    ngx_http_acr_send_json(r, NGX_HTTP_OK, root);
    return;

failed:

    json_decref(tags);
    json_decref(root);

    ngx_http_acr_fail_errno(r, NGX_ERROR);
}


/* v: digest, updated, created, attributes */

static json_t *
ngx_http_acr_v1_tag(ngx_str_t *tag, ngx_str_t *v)
{
    json_t  *object;

    object = json_pack("{s:s%, s:s%, s:o, s:o, s:b}",
                       "name", tag->data, tag->len,
                       "digest", v[0].data, v[0].len,
                       "createdTime", ngx_http_acr_v1_time(&v[2]),
                       "lastUpdateTime", ngx_http_acr_v1_time(&v[1]),
                       "signed", 0);

    if (object == NULL
        || ngx_http_acr_v1_attributes(object, &v[3]) != NGX_OK)
    {
        json_decref(object);
        return NULL;
    }

    return object;
}
