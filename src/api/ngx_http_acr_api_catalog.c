
#include "ngx_http_acr_manifest.h"
#include "../auth/ngx_http_acr_auth.h"


/* with access control, so many times the names of a page are looked at first,
   and then as many at once as the index gives */
#define NGX_HTTP_ACR_CATALOG_LOOK  10
#define NGX_HTTP_ACR_CATALOG_MAX   1000


typedef struct {
    ngx_http_acr_list_t   list;
    ngx_array_t           names;           /* that the caller may read */
} ngx_http_acr_catalog_t;


static void ngx_http_acr_catalog_ask(ngx_http_request_t *r,
    ngx_http_acr_catalog_t *catalog, ngx_str_t *last, ngx_uint_t n);
static void ngx_http_acr_catalog_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_catalog_filter(ngx_http_request_t *r,
    ngx_http_acr_catalog_t *catalog, ngx_http_acr_meta_reply_t *reply);
static ngx_int_t ngx_http_acr_catalog_keep(ngx_http_request_t *r,
    ngx_array_t *names, ngx_str_t *name);


/* GET /v2/_catalog: the repositories, in pages as tags have them */

void
ngx_http_acr_catalog_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_str_t                last;
    ngx_uint_t               n;
    ngx_http_acr_catalog_t  *catalog;

    catalog = ngx_pcalloc(r->pool, sizeof(ngx_http_acr_catalog_t));

    if (catalog == NULL
        || ngx_array_init(&catalog->names, r->pool, 16, sizeof(ngx_str_t))
           != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    if (ngx_http_acr_page(r, &catalog->list.n, &last) != NGX_OK) {
        return;
    }

    n = catalog->list.n;

    if (ctx->conf->auth.enable) {
        n = ngx_min(n * NGX_HTTP_ACR_CATALOG_LOOK, NGX_HTTP_ACR_CATALOG_MAX);
    }

    ngx_http_acr_catalog_ask(r, catalog, &last, n);
}


static void
ngx_http_acr_catalog_ask(ngx_http_request_t *r,
    ngx_http_acr_catalog_t *catalog, ngx_str_t *last, ngx_uint_t n)
{
    u_char     number[NGX_INT_T_LEN];
    ngx_str_t  args[2];

    args[0] = *last;
    args[1].data = number;
    args[1].len = ngx_sprintf(number, "%ui", n) - number;

    ngx_http_acr_ask(r, ACR_SCRIPT_CATALOG, args, 2,
                     ngx_http_acr_catalog_found, catalog);
}


static void
ngx_http_acr_catalog_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_catalog_t *catalog = data;

    ngx_http_acr_ctx_t  *ctx;

    if (reply->status != NGX_HTTP_ACR_META_OK || reply->n < 2) {
        ngx_http_acr_manifest_unexpected(r);
        return;
    }

    ctx = ngx_http_acr_get_ctx(r);

    if (ctx->acr) {
        ngx_str_set(&catalog->list.path, "/acr/v1/_catalog");

    } else {
        ngx_str_set(&catalog->list.path, "/v2/_catalog");
    }

    ngx_str_set(&catalog->list.head, "{\"repositories\":[");
    ngx_str_set(&catalog->list.tail, "]}\n");

    if (ctx->conf->auth.enable) {
        ngx_http_acr_catalog_filter(r, catalog, reply);
        return;
    }

    ngx_http_acr_list_send(r, &catalog->list, &reply->v[0], &reply->v[1],
                           &reply->v[2], reply->n - 2);
}


/*
 * What the caller may not read does not exist for them: a page is looked for
 * until it is full, since a Link to the next one that goes on behind another
 * repository would name it.
 */

static void
ngx_http_acr_catalog_filter(ngx_http_request_t *r,
    ngx_http_acr_catalog_t *catalog, ngx_http_acr_meta_reply_t *reply)
{
    ngx_str_t           *name, *names, more, last;
    ngx_uint_t           i;
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);
    more = reply->v[0];

    for (i = 2; i < reply->n; i++) {
        name = &reply->v[i];

        if (!(ngx_http_acr_rights(ctx, &ctx->credential->principal, name)
              & (ACR_MAY_PULL|ACR_MAY_METADATA_READ)))
        {
            continue;
        }

        if (catalog->names.nelts == catalog->list.n) {
            ngx_str_set(&more, "1");
            break;
        }

        if (ngx_http_acr_catalog_keep(r, &catalog->names, name) != NGX_OK) {
            ngx_http_acr_fail_errno(r, NGX_ERROR);
            return;
        }
    }

    if (catalog->names.nelts < catalog->list.n && reply->v[1].len
        && more.len == 1 && more.data[0] == '1')
    {
        ngx_http_acr_catalog_ask(r, catalog, &reply->v[1],
                                 NGX_HTTP_ACR_CATALOG_MAX);
        return;
    }

    names = catalog->names.elts;
    ngx_str_null(&last);

    if (catalog->names.nelts) {
        last = names[catalog->names.nelts - 1];
    }

    ngx_http_acr_list_send(r, &catalog->list, &more, &last, names,
                           catalog->names.nelts);
}


static ngx_int_t
ngx_http_acr_catalog_keep(ngx_http_request_t *r, ngx_array_t *names,
    ngx_str_t *name)
{
    ngx_str_t  *copy;

    copy = ngx_array_push(names);

    if (copy == NULL) {
        return NGX_ERROR;
    }

    copy->len = name->len;
    copy->data = ngx_pstrdup(r->pool, name);

    return copy->data ? NGX_OK : NGX_ERROR;
}
