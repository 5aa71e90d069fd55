
/*
 * DELETE /acr/v1/<name>: manifests with their tags, then blobs.  What is pushed
 * meanwhile may stay.  If it is cut short, what was not deleted is still there,
 * and a repetition goes on.
 */

#include "ngx_http_acr_v1.h"
#include "ngx_http_acr_manifest.h"


/* what one call of repository_next.lua gives */
#define NGX_HTTP_ACR_V1_SLICE   100

/* so many names of each are told in the answer */
#define NGX_HTTP_ACR_V1_TOLD    10000


typedef struct {
    ngx_http_acr_ctx_t      *ctx;
    ngx_str_t                before;       /* when it began, as Redis says */
    u_char                   before_text[NGX_INT64_LEN];

    ngx_str_t                digests[NGX_HTTP_ACR_V1_SLICE];
    u_char                   text[NGX_HTTP_ACR_V1_SLICE][ACR_DIGEST_MAX];
    ngx_uint_t               n;
    ngx_uint_t               next;

    ngx_http_acr_delete_t    del;          /* of the present manifest */
    ngx_http_acr_change_t    change;       /* of the present blob */

    json_t                  *manifests;
    json_t                  *tags;
} ngx_http_acr_v1_delete_t;


static void ngx_http_acr_v1_delete_cleanup(void *data);
static void ngx_http_acr_v1_delete_next(ngx_http_request_t *r,
    ngx_http_acr_v1_delete_t *del);
static void ngx_http_acr_v1_delete_slice(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static ngx_int_t ngx_http_acr_v1_delete_copy(ngx_http_acr_v1_delete_t *del,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_v1_delete_manifest(ngx_http_request_t *r,
    ngx_http_acr_v1_delete_t *del);
static ngx_int_t ngx_http_acr_v1_delete_tags(ngx_http_acr_delete_t *manifest);
static void ngx_http_acr_v1_delete_manifest_gone(ngx_http_request_t *r,
    void *data, ngx_int_t rc);
static void ngx_http_acr_v1_delete_blob(ngx_http_request_t *r,
    ngx_http_acr_v1_delete_t *del);
static void ngx_http_acr_v1_delete_blob_gone(ngx_http_request_t *r,
    void *data, ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_v1_delete_blob_settled(ngx_http_request_t *r,
    void *data, ngx_int_t rc);
static void ngx_http_acr_v1_delete_itself(ngx_http_request_t *r,
    ngx_http_acr_v1_delete_t *del);
static void ngx_http_acr_v1_deleted(ngx_http_request_t *r, void *data,
    ngx_int_t rc);


void
ngx_http_acr_v1_repository_delete(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx)
{
    ngx_pool_cleanup_t        *cln;
    ngx_http_acr_v1_delete_t  *del;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_v1_delete_t));

    if (cln == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    del = cln->data;

    ngx_memzero(del, sizeof(ngx_http_acr_v1_delete_t));

    cln->handler = ngx_http_acr_v1_delete_cleanup;

    del->ctx = ctx;
    del->manifests = json_array();
    del->tags = json_array();

    if (del->manifests == NULL || del->tags == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_v1_delete_next(r, del);
}


static void
ngx_http_acr_v1_delete_cleanup(void *data)
{
    ngx_http_acr_v1_delete_t *del = data;

    json_decref(del->manifests);
    json_decref(del->tags);
}


/* between two slices it may end, if nobody waits for it any more */

static void
ngx_http_acr_v1_delete_next(ngx_http_request_t *r,
    ngx_http_acr_v1_delete_t *del)
{
    ngx_str_t  args[2];

    del->ctx->committing = 0;

    args[0] = del->ctx->repository;
    args[1] = del->before;

    ngx_http_acr_ask(r, ACR_SCRIPT_REPOSITORY_NEXT, args, 2,
                     ngx_http_acr_v1_delete_slice, del);
}


static void
ngx_http_acr_v1_delete_slice(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_v1_delete_t *del = data;

    if (reply->status == NGX_HTTP_ACR_META_UNKNOWN) {
        ngx_http_acr_v1_unknown(r);
        return;
    }

    if (reply->status != NGX_HTTP_ACR_META_OK || reply->n < 2
        || ngx_http_acr_v1_delete_copy(del, reply) != NGX_OK)
    {
        ngx_http_acr_manifest_unexpected(r);
        return;
    }

    if (reply->v[1].len == 0) {
        ngx_http_acr_v1_delete_itself(r, del);
        return;
    }

    del->ctx->committing = 1;
    del->next = 0;

    if (reply->v[1].data[0] == 'm') {
        ngx_http_acr_v1_delete_manifest(r, del);

    } else {
        ngx_http_acr_v1_delete_blob(r, del);
    }
}


static ngx_int_t
ngx_http_acr_v1_delete_copy(ngx_http_acr_v1_delete_t *del,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_uint_t    i;
    acr_digest_t  digest;

    if (reply->n - 2 > NGX_HTTP_ACR_V1_SLICE
        || reply->v[0].len > NGX_INT64_LEN)
    {
        return NGX_ERROR;
    }

    del->before.len = reply->v[0].len;
    del->before.data = del->before_text;
    ngx_memcpy(del->before_text, reply->v[0].data, reply->v[0].len);

    del->n = reply->n - 2;

    for (i = 0; i < del->n; i++) {

        if (acr_digest_parse(&digest, reply->v[2 + i].data,
                             reply->v[2 + i].len)
            != ACR_OK)
        {
            return NGX_ERROR;
        }

        del->digests[i].data = del->text[i];
        del->digests[i].len = acr_digest_print(del->text[i], &digest);
    }

    return NGX_OK;
}


/* --- manifests */

static void
ngx_http_acr_v1_delete_manifest(ngx_http_request_t *r,
    ngx_http_acr_v1_delete_t *del)
{
    ngx_http_acr_delete_t  *manifest;

    if (del->next == del->n) {
        ngx_http_acr_v1_delete_next(r, del);
        return;
    }

    manifest = &del->del;

    ngx_memzero(manifest, sizeof(ngx_http_acr_delete_t));

    manifest->ctx = del->ctx;
    manifest->digest = del->digests[del->next];
    manifest->gone = ngx_http_acr_v1_delete_tags;
    manifest->next = ngx_http_acr_v1_delete_manifest_gone;
    manifest->data = del;

    ngx_http_acr_delete_manifest(r, manifest);
}


static ngx_int_t
ngx_http_acr_v1_delete_tags(ngx_http_acr_delete_t *manifest)
{
    ngx_uint_t                 i;
    ngx_http_acr_v1_delete_t  *del;

    del = manifest->data;

    for (i = 0; i < manifest->nnames; i++) {

        if (json_array_size(del->tags) == NGX_HTTP_ACR_V1_TOLD) {
            break;
        }

        if (json_array_append_new(del->tags,
                              json_stringn((char *) manifest->names[i].data,
                                           manifest->names[i].len))
            != 0)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* one that somebody else has deleted meanwhile is gone as well */

static void
ngx_http_acr_v1_delete_manifest_gone(ngx_http_request_t *r, void *data,
    ngx_int_t rc)
{
    ngx_http_acr_v1_delete_t *del = data;

    ngx_str_t  *digest;

    digest = &del->digests[del->next++];

    if (rc == NGX_OK
        && json_array_size(del->manifests) < NGX_HTTP_ACR_V1_TOLD
        && json_array_append_new(del->manifests,
                                 json_stringn((char *) digest->data,
                                              digest->len))
           != 0)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_v1_delete_manifest(r, del);
}


/* --- blobs */

static void
ngx_http_acr_v1_delete_blob(ngx_http_request_t *r,
    ngx_http_acr_v1_delete_t *del)
{
    ngx_str_t  args[3];

    if (del->next == del->n) {
        ngx_http_acr_v1_delete_next(r, del);
        return;
    }

    ngx_memzero(&del->change, sizeof(ngx_http_acr_change_t));

    args[0] = del->ctx->repository;
    args[1] = del->digests[del->next];
    ngx_str_null(&args[2]);

    ngx_http_acr_ask(r, ACR_SCRIPT_BLOB_DELETE, args, 3,
                     ngx_http_acr_v1_delete_blob_gone, del);
}


static void
ngx_http_acr_v1_delete_blob_gone(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_v1_delete_t *del = data;

    ngx_str_t  *digest;

    digest = &del->digests[del->next++];

    if (reply->status == NGX_HTTP_ACR_META_UNKNOWN) {
        ngx_http_acr_v1_delete_blob(r, del);
        return;
    }

    if (reply->status != NGX_HTTP_ACR_META_OK
        || ngx_http_acr_changed(del->ctx->registry, &del->change, reply)
           != NGX_OK)
    {
        ngx_http_acr_manifest_unexpected(r);
        return;
    }

    ngx_http_acr_settle(r, digest, 1, &del->change, NULL,
                        ngx_http_acr_v1_delete_blob_settled, del);
}


static void
ngx_http_acr_v1_delete_blob_settled(ngx_http_request_t *r, void *data,
    ngx_int_t rc)
{
    ngx_http_acr_v1_delete_blob(r, data);
}


/* --- the end: the attributes of the repository go with it */

static void
ngx_http_acr_v1_delete_itself(ngx_http_request_t *r,
    ngx_http_acr_v1_delete_t *del)
{
    static ngx_str_t  itself = ngx_null_string;

    del->ctx->committing = 1;

    ngx_http_acr_settle(r, &itself, 1, NULL, NULL, ngx_http_acr_v1_deleted,
                        del);
}


static void
ngx_http_acr_v1_deleted(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_v1_delete_t *del = data;

    ngx_http_acr_send_json(r, NGX_HTTP_ACCEPTED,
                           json_pack("{s:O, s:O}",
                                     "manifestsDeleted", del->manifests,
                                     "tagsDeleted", del->tags));
}
