
#include "ngx_http_acr_manifest.h"


static void ngx_http_acr_catalog_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);


/* GET /v2/_catalog: the repositories, in pages as tags have them */

void
ngx_http_acr_catalog_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    u_char                number[NGX_INT_T_LEN];
    ngx_str_t             args[2];
    ngx_http_acr_list_t  *list;

    list = ngx_pcalloc(r->pool, sizeof(ngx_http_acr_list_t));

    if (list == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    if (ngx_http_acr_page(r, &list->n, &args[0]) != NGX_OK) {
        return;
    }

    args[1].data = number;
    args[1].len = ngx_sprintf(number, "%ui", list->n) - number;

    ngx_http_acr_ask(r, ACR_SCRIPT_CATALOG, args, 2,
                     ngx_http_acr_catalog_found, list);
}


static void
ngx_http_acr_catalog_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_list_t *list = data;

    if (reply->status != NGX_HTTP_ACR_META_OK || reply->n < 1) {
        ngx_http_acr_manifest_unexpected(r);
        return;
    }

    ngx_str_set(&list->path, "/v2/_catalog");
    ngx_str_set(&list->head, "{\"repositories\":[");
    ngx_str_set(&list->tail, "]}\n");

    ngx_http_acr_list_send(r, list, &reply->v[0], &reply->v[1], reply->n - 1);
}
