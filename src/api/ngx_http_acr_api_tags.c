
#include "ngx_http_acr_manifest.h"


static void ngx_http_acr_tags_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static ngx_int_t ngx_http_acr_tags_format(ngx_http_request_t *r, ngx_str_t *s,
    const char *format, ngx_str_t *repository);


/* GET /v2/<name>/tags/list, OCI distribution-spec "Listing Tags" */

void
ngx_http_acr_tags_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    u_char                number[NGX_INT_T_LEN];
    ngx_str_t             args[3];
    ngx_http_acr_list_t  *list;

    list = ngx_pcalloc(r->pool, sizeof(ngx_http_acr_list_t));

    if (list == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    args[0] = ctx->repository;

    if (ngx_http_acr_page(r, &list->n, &args[1]) != NGX_OK) {
        return;
    }

    args[2].data = number;
    args[2].len = ngx_sprintf(number, "%ui", list->n) - number;

    ngx_http_acr_ask(r, ACR_SCRIPT_TAGS_LIST, args, 3,
                     ngx_http_acr_tags_found, list);
}


static void
ngx_http_acr_tags_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_list_t *list = data;

    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    if (reply->status != NGX_HTTP_ACR_META_OK || reply->n < 3) {
        ngx_http_acr_manifest_unexpected(r);
        return;
    }

    if (reply->v[0].len != 1 || reply->v[0].data[0] != '1') {
        ngx_http_acr_fail(r, ACR_E_NAME_UNKNOWN, NULL, "name",
                          &ctx->repository);
        return;
    }

    if (ngx_http_acr_tags_format(r, &list->path, "/v2/%V/tags/list",
                                 &ctx->repository)
        != NGX_OK
        || ngx_http_acr_tags_format(r, &list->head,
                                    "{\"name\":\"%V\",\"tags\":[",
                                    &ctx->repository)
           != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_str_set(&list->tail, "]}\n");

    ngx_http_acr_list_send(r, list, &reply->v[1], &reply->v[2], &reply->v[3],
                           reply->n - 3);
}


static ngx_int_t
ngx_http_acr_tags_format(ngx_http_request_t *r, ngx_str_t *s,
    const char *format, ngx_str_t *repository)
{
    s->data = ngx_pnalloc(r->pool, ngx_strlen(format) + repository->len);

    if (s->data == NULL) {
        return NGX_ERROR;
    }

    s->len = ngx_sprintf(s->data, format, repository) - s->data;

    return NGX_OK;
}


void
ngx_http_acr_list_send(ngx_http_request_t *r, ngx_http_acr_list_t *list,
    ngx_str_t *more, ngx_str_t *last, ngx_str_t *names, ngx_uint_t nnames)
{
    u_char      *p, *body;
    size_t       size;
    ngx_uint_t   i;
    const char  *type;

    size = list->head.len + list->tail.len;

    for (i = 0; i < nnames; i++) {
        size += names[i].len + sizeof("\"\",") - 1;
    }

    body = ngx_pnalloc(r->pool, size);

    if (body == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    p = ngx_cpymem(body, list->head.data, list->head.len);

    for (i = 0; i < nnames; i++) {
        p = ngx_sprintf(p, "%s\"%V\"", i ? "," : "", &names[i]);
    }

    p = ngx_cpymem(p, list->tail.data, list->tail.len);

    if (last->len && more->len == 1 && more->data[0] == '1'
        && ngx_http_acr_link_next(r, &list->path, list->n, last, NULL)
           != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    type = ngx_http_acr_get_ctx(r)->acr ? NGX_HTTP_ACR_JSON_UTF8
                                        : "application/json";

    ngx_http_acr_send_body(r, NGX_HTTP_OK, type, body, p - body);
}
