
#include "ngx_http_acr_v1.h"
#include "ngx_http_acr_manifest.h"
#include "ngx_http_acr_upload.h"
#include "../auth/ngx_http_acr_auth.h"


#define NGX_HTTP_ACR_V1_PAGE      100
#define NGX_HTTP_ACR_V1_PATCH     (64 * 1024)
#define NGX_HTTP_ACR_V1_ID_MAX    128


typedef struct {
    ngx_http_acr_ctx_t         *ctx;
    ngx_str_t                   name;      /* tag, digest, or empty */
    ngx_http_acr_handler_pt     get;       /* answers with what it is now */
    u_char                     *p;         /* the body */
    size_t                      n;
    acr_attributes_change_t     set;
    ngx_http_acr_change_t       change;
} ngx_http_acr_v1_patch_t;


static void ngx_http_acr_v1_repository_found(ngx_http_request_t *r,
    void *data, ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_v1_patch(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, ngx_str_t *name, ngx_http_acr_handler_pt get);
static void ngx_http_acr_v1_patch_cleanup(void *data);
static void ngx_http_acr_v1_patch_read(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_v1_patched(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_v1_patch_settled(ngx_http_request_t *r, void *data,
    ngx_int_t rc);


/* what every answer has; a client's own id is sent back if it is harmless */

ngx_int_t
ngx_http_acr_v1_headers(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    u_char            c;
    size_t            i;
    ngx_str_t         id;
    ngx_uint_t        n;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    static ngx_str_t  name = ngx_string("x-ms-client-request-id");

    ctx->acr = 1;

    if (ngx_http_acr_uuid(r, &id) != NGX_OK
        || ngx_http_acr_header(r, "X-Ms-Correlation-Request-Id", &id)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (n = 0; n < part->nelts; n++) {

            if (h[n].key.len != name.len
                || ngx_strncasecmp(h[n].key.data, name.data, name.len) != 0)
            {
                continue;
            }

            for (i = 0; i < h[n].value.len; i++) {
                c = h[n].value.data[i];

                if (!((c >= '0' && c <= '9')
                      || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
                      || c == '-' || c == '.' || c == '_'))
                {
                    return NGX_OK;
                }
            }

            if (i == 0 || i > NGX_HTTP_ACR_V1_ID_MAX) {
                return NGX_OK;
            }

            return ngx_http_acr_header(r, "X-Ms-Client-Request-Id",
                                       &h[n].value);
        }
    }

    return NGX_OK;
}


/* GET /acr/v1/<name> */

void
ngx_http_acr_v1_repository_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_ask(r, ACR_SCRIPT_ACR_REPOSITORY, &ctx->repository, 1,
                     ngx_http_acr_v1_repository_found, NULL);
}


static void
ngx_http_acr_v1_repository_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    json_t              *root;
    ngx_str_t            registry;
    ngx_int_t            manifests, tags;
    ngx_http_acr_ctx_t  *ctx;

    if (reply->status == NGX_HTTP_ACR_META_MISS) {
        ngx_http_acr_v1_unknown(r);
        return;
    }

    if (reply->status != NGX_HTTP_ACR_META_OK || reply->n != 5) {
        ngx_http_acr_manifest_unexpected(r);
        return;
    }

    manifests = ngx_atoi(reply->v[0].data, reply->v[0].len);
    tags = ngx_atoi(reply->v[1].data, reply->v[1].len);

    if (manifests == NGX_ERROR || tags == NGX_ERROR) {
        ngx_http_acr_manifest_unexpected(r);
        return;
    }

    if (ngx_http_acr_service(r, &registry) != NGX_OK) {
        return;
    }

    ctx = ngx_http_acr_get_ctx(r);

    root = ngx_http_acr_v1_root(&registry, &ctx->repository);

    if (root == NULL
        || json_object_set_new(root, "createdTime",
                               ngx_http_acr_v1_time(&reply->v[2]))
           != 0
        || json_object_set_new(root, "lastUpdateTime",
                               ngx_http_acr_v1_time(&reply->v[3]))
           != 0
        || json_object_set_new(root, "manifestCount", json_integer(manifests))
           != 0
        || json_object_set_new(root, "tagCount", json_integer(tags)) != 0
        || ngx_http_acr_v1_attributes(root, &reply->v[4]) != NGX_OK)
    {
        json_decref(root);
        root = NULL;
    }

    ngx_http_acr_send_json(r, NGX_HTTP_OK, root);
}


/* --- PATCH: attributes change */

void
ngx_http_acr_v1_repository_patch(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx)
{
    ngx_str_t  name;

    ngx_str_null(&name);

    ngx_http_acr_v1_patch(r, ctx, &name, ngx_http_acr_v1_repository_get);
}


void
ngx_http_acr_v1_tag_patch(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    if (!acr_tag_valid(ctx->reference.data, ctx->reference.len)) {
        ngx_http_acr_fail(r, ACR_E_TAG_UNKNOWN, NULL, "tag", &ctx->reference);
        return;
    }

    ngx_http_acr_v1_patch(r, ctx, &ctx->reference, ngx_http_acr_v1_tag_get);
}


void
ngx_http_acr_v1_manifest_patch(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    acr_digest_t  digest;

    if (ngx_http_acr_need_digest(r, &digest, &ctx->reference) != NGX_OK) {
        return;
    }

    ngx_http_acr_v1_patch(r, ctx, &ctx->digest, ngx_http_acr_v1_manifest_get);
}


static void
ngx_http_acr_v1_patch(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_str_t *name, ngx_http_acr_handler_pt get)
{
    ngx_pool_cleanup_t       *cln;
    ngx_http_acr_v1_patch_t  *patch;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_v1_patch_t));

    if (cln == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    patch = cln->data;

    ngx_memzero(patch, sizeof(ngx_http_acr_v1_patch_t));

    patch->ctx = ctx;
    patch->name = *name;
    patch->get = get;

    cln->handler = ngx_http_acr_v1_patch_cleanup;

    ngx_http_acr_body_collect(r, NGX_HTTP_ACR_V1_PATCH, &patch->p, &patch->n,
                              ngx_http_acr_v1_patch_read, patch);
}


static void
ngx_http_acr_v1_patch_cleanup(void *data)
{
    ngx_http_acr_v1_patch_t *patch = data;

    acr_attributes_change_free(&patch->set);
}


static void
ngx_http_acr_v1_patch_read(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_v1_patch_t *patch = data;

    u_char                   *p, off[4], on[4];
    ngx_str_t                 args[7];
    const char               *error;
    acr_attributes_change_t  *set;

    set = &patch->set;

    switch (acr_attributes_change(set, patch->p, patch->n,
                                  patch->ctx->digest.len != 0, &error))
    {
    case ACR_OK:
        break;

    case ACR_INVALID:
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_REQUEST, ACR_E_UNSUPPORTED,
                                 error, NULL, NULL);
        return;

    default:
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    if (!set->off && !set->on && !set->state.len && !set->detailed) {
        patch->get(r, patch->ctx);
        return;
    }

    p = ngx_pnalloc(r->pool, 1 + set->details.len);

    if (p == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    args[0] = patch->ctx->repository;
    args[1] = patch->name;
    args[2].data = off;
    args[2].len = acr_attributes_letters(off, set->off);
    args[3].data = on;
    args[3].len = acr_attributes_letters(on, set->on);
    args[4].data = (u_char *) set->state.data;
    args[4].len = set->state.len;

    *p = '=';

    if (set->details.len) {
        ngx_memcpy(p + 1, set->details.data, set->details.len);
    }

    args[5].data = p;
    args[5].len = set->detailed ? 1 + set->details.len : 0;

    ngx_str_null(&args[6]);

    patch->ctx->committing = 1;

    ngx_http_acr_ask(r, ACR_SCRIPT_ATTRIBUTES_SET, args, 7,
                     ngx_http_acr_v1_patched, patch);
}


static void
ngx_http_acr_v1_patched(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_v1_patch_t *patch = data;

    if (reply->status == NGX_HTTP_ACR_META_UNKNOWN) {

        patch->ctx->committing = 0;

        if (patch->name.len) {
            ngx_http_acr_v1_item_unknown(r, patch->ctx);

        } else {
            ngx_http_acr_v1_unknown(r);
        }

        return;
    }

    if (reply->status != NGX_HTTP_ACR_META_OK
        || ngx_http_acr_changed(patch->ctx->registry, &patch->change, reply)
           != NGX_OK)
    {
        ngx_http_acr_manifest_unexpected(r);
        return;
    }

    ngx_http_acr_settle(r, &patch->name, 1, &patch->change, NULL,
                        ngx_http_acr_v1_patch_settled, patch);
}


static void
ngx_http_acr_v1_patch_settled(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_v1_patch_t *patch = data;

    patch->ctx->committing = 0;
    patch->get(r, patch->ctx);
}


/* --- what lists share */

ngx_int_t
ngx_http_acr_v1_page(ngx_http_request_t *r, ngx_http_acr_v1_page_t *page,
    ngx_uint_t max)
{
    ngx_int_t   rc, n;
    ngx_str_t   value;
    ngx_uint_t  i;

    struct {
        const char  *name;
        ngx_str_t   *value;
    } args[] = {
        { "last", &page->last },
        { "orderby", &page->order },
        { "time", &page->time },
        { "digest", &page->digest },
        { NULL, NULL }
    };

    page->n = NGX_HTTP_ACR_V1_PAGE;

    rc = ngx_http_acr_arg(r, "n", &value);

    if (rc == NGX_OK) {
        n = ngx_atoi(value.data, value.len);

        if (n == NGX_ERROR || n == 0) {
            ngx_http_acr_fail(r, ACR_E_PAGINATION_NUMBER_INVALID, NULL, "n",
                              &value);
            return NGX_DONE;
        }

        page->n = n;
    }

    for (i = 0; rc != NGX_ERROR && args[i].name; i++) {
        ngx_str_null(args[i].value);
        rc = ngx_http_acr_arg(r, args[i].name, args[i].value);
    }

    if (rc == NGX_ERROR) {
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_REQUEST, ACR_E_UNSUPPORTED,
                                 "the query is malformed", "query", &r->args);
        return NGX_DONE;
    }

    if (page->order.len == 4 && ngx_strncmp(page->order.data, "none", 4) == 0)
    {
        page->order.len = 0;
    }

    if (page->order.len
        && !(page->order.len == 7
             && ngx_strncmp(page->order.data, "timeasc", 7) == 0)
        && !(page->order.len == 8
             && ngx_strncmp(page->order.data, "timedesc", 8) == 0))
    {
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_REQUEST, ACR_E_UNSUPPORTED,
                                 "\"orderby\" is none of \"none\", "
                                 "\"timeasc\" and \"timedesc\"", "orderby",
                                 &page->order);
        return NGX_DONE;
    }

    if (page->time.len
        && (page->time.len > NGX_INT64_LEN
            || ngx_atoof(page->time.data, page->time.len) == NGX_ERROR))
    {
        ngx_str_null(&page->time);
    }

    page->n = ngx_min(page->n, max);

    page->number_text.data = page->number;
    page->number_text.len = ngx_sprintf(page->number, "%ui", page->n)
                            - page->number;

    return NGX_OK;
}


/* ACR percent-encodes the name as well */

ngx_int_t
ngx_http_acr_v1_link(ngx_http_request_t *r, const char *what,
    ngx_http_acr_v1_page_t *page, ngx_str_t *v)
{
    u_char              *p;
    ngx_str_t            link;
    ngx_http_acr_ctx_t  *ctx;

    if (v[0].len != 1 || v[0].data[0] != '1' || v[1].len == 0) {
        return NGX_OK;
    }

    ctx = ngx_http_acr_get_ctx(r);

    link.data = ngx_pnalloc(r->pool,
                            sizeof("</acr/v1//?last=&n=&orderby=&time="
                                   "&digest=>; rel=\"next\"")
                            + 3 * (ctx->repository.len + v[1].len
                                   + page->digest.len)
                            + ngx_strlen(what) + NGX_INT_T_LEN
                            + page->order.len + v[2].len);

    if (link.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(link.data, "</acr/v1/");
    p += acr_query_escape(p, ctx->repository.data, ctx->repository.len);
    p = ngx_sprintf(p, "/%s?last=", what);
    p += acr_query_escape(p, v[1].data, v[1].len);
    p = ngx_sprintf(p, "&n=%ui&orderby=%V", page->n, &page->order);

    if (page->order.len && v[2].len) {
        p = ngx_sprintf(p, "&time=%V", &v[2]);
    }

    if (page->digest.len) {
        p = ngx_sprintf(p, "&digest=");
        p += acr_query_escape(p, page->digest.data, page->digest.len);
    }

    p = ngx_sprintf(p, ">; rel=\"next\"");

    link.len = p - link.data;

    return ngx_http_acr_header(r, "Link", &link);
}


/* --- JSON */

json_t *
ngx_http_acr_v1_root(ngx_str_t *registry, ngx_str_t *repository)
{
    return json_pack("{s:s%, s:s%}",
                     "registry", registry->data, registry->len,
                     "imageName", repository->data, repository->len);
}


json_t *
ngx_http_acr_v1_time(ngx_str_t *us)
{
    off_t      value;
    u_char    *p;
    ngx_tm_t   tm;
    u_char     text[sizeof("1970-01-01T00:00:00.0000000Z") + NGX_INT64_LEN];

    value = ngx_atoof(us->data, us->len);

    if (value == NGX_ERROR) {
        value = 0;
    }

    ngx_gmtime((time_t) (value / 1000000), &tm);

    /* a year of ours has four digits */

    p = ngx_sprintf(text, "%4d-%02d-%02dT%02d:%02d:%02d.%06O0Z",
                    tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                    tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec,
                    value % 1000000);

    return json_stringn((char *) text, p - text);
}


ngx_int_t
ngx_http_acr_v1_attributes(json_t *object, ngx_str_t *text)
{
    acr_attributes_t  attributes;

    if (acr_attributes_parse(&attributes, text->data, text->len) != ACR_OK
        || json_object_set_new(object, "changeableAttributes",
                               acr_attributes_json(&attributes))
           != 0)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_http_acr_v1_unknown(ngx_http_request_t *r)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    ngx_http_acr_fail(r, ACR_E_NAME_UNKNOWN, NULL, "name", &ctx->repository);
}
