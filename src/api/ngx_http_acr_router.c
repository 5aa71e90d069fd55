
#include "ngx_http_acr_api.h"
#include "ngx_http_acr_metrics.h"
#include "ngx_http_acr_through.h"
#include "../auth/ngx_http_acr_auth.h"


typedef struct {
    acr_path_e                resource;
    ngx_uint_t                methods;
    unsigned                  reads:1;     /* its handler reads the body */
    unsigned                  deletes:1;   /* "acr_delete off" takes it away */
    ngx_uint_t                all;         /* rights that it needs: ACR_MAY_* */
    ngx_uint_t                any;         /* and one of these, if there are */
    const char               *operation;
    ngx_http_acr_handler_pt   handler;
} ngx_http_acr_route_t;


static void ngx_http_acr_router_cleanup(void *data);
static void ngx_http_acr_route(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_route_admit(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, ngx_http_acr_route_t *route);
static ngx_uint_t ngx_http_acr_path_clean(ngx_http_request_t *r);
static ngx_http_acr_route_t *ngx_http_acr_route_find(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, acr_path_e resource);
static void ngx_http_acr_route_method(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, acr_path_e resource);


static ngx_http_acr_route_t  ngx_http_acr_routes[] = {

    { ACR_PATH_BASE, NGX_HTTP_GET|NGX_HTTP_HEAD, 0, 0,
      0, 0,
      "base_get", ngx_http_acr_base_get },

    { ACR_PATH_EXTENSIONS, NGX_HTTP_GET|NGX_HTTP_HEAD, 0, 0,
      ACR_MAY_PULL, 0,
      "extensions_get", ngx_http_acr_extensions_get },

    { ACR_PATH_BLOB, NGX_HTTP_GET|NGX_HTTP_HEAD, 0, 0,
      ACR_MAY_PULL, 0,
      "blob_get", ngx_http_acr_blob_get },

    { ACR_PATH_BLOB, NGX_HTTP_DELETE, 0, 1,
      ACR_MAY_DELETE, 0,
      "blob_delete", ngx_http_acr_blob_delete },

    { ACR_PATH_UPLOADS, NGX_HTTP_POST, 1, 0,
      ACR_MAY_PULL|ACR_MAY_PUSH, 0,
      "upload_post", ngx_http_acr_upload_post },

    { ACR_PATH_UPLOAD, NGX_HTTP_PATCH, 1, 0,
      ACR_MAY_PULL|ACR_MAY_PUSH, 0,
      "upload_patch", ngx_http_acr_upload_patch },

    { ACR_PATH_UPLOAD, NGX_HTTP_PUT, 1, 0,
      ACR_MAY_PULL|ACR_MAY_PUSH, 0,
      "upload_put", ngx_http_acr_upload_put },

    { ACR_PATH_UPLOAD, NGX_HTTP_GET|NGX_HTTP_HEAD, 0, 0,
      ACR_MAY_PULL|ACR_MAY_PUSH, 0,
      "upload_get", ngx_http_acr_upload_get },

    { ACR_PATH_UPLOAD, NGX_HTTP_DELETE, 0, 0,
      ACR_MAY_PULL|ACR_MAY_PUSH, 0,
      "upload_delete", ngx_http_acr_upload_delete },

    { ACR_PATH_MANIFEST, NGX_HTTP_GET|NGX_HTTP_HEAD, 0, 0,
      ACR_MAY_PULL, 0,
      "manifest_get", ngx_http_acr_manifest_get },

    { ACR_PATH_MANIFEST, NGX_HTTP_PUT, 1, 0,
      ACR_MAY_PULL|ACR_MAY_PUSH, 0,
      "manifest_put", ngx_http_acr_manifest_put },

    { ACR_PATH_MANIFEST, NGX_HTTP_DELETE, 0, 1,
      ACR_MAY_DELETE, 0,
      "manifest_delete", ngx_http_acr_manifest_delete },

    { ACR_PATH_TAGS, NGX_HTTP_GET|NGX_HTTP_HEAD, 0, 0,
      0, ACR_MAY_PULL|ACR_MAY_METADATA_READ,
      "tags_get", ngx_http_acr_tags_get },

    { ACR_PATH_REFERRERS, NGX_HTTP_GET|NGX_HTTP_HEAD, 0, 0,
      ACR_MAY_PULL, 0,
      "referrers_get", ngx_http_acr_referrers_get },

    { ACR_PATH_CATALOG, NGX_HTTP_GET|NGX_HTTP_HEAD, 0, 0,
      ACR_MAY_CATALOG, 0,
      "catalog_get", ngx_http_acr_catalog_get },

    { ACR_PATH_ACR_CATALOG, NGX_HTTP_GET|NGX_HTTP_HEAD, 0, 0,
      ACR_MAY_CATALOG, 0,
      "acr_catalog_get", ngx_http_acr_catalog_get },

    { ACR_PATH_ACR_EVENTS, NGX_HTTP_GET|NGX_HTTP_HEAD, 0, 0,
      ACR_MAY_EVENTS, 0,
      "events_get", ngx_http_acr_v1_events_get },

    { ACR_PATH_ACR_REPOSITORY, NGX_HTTP_GET|NGX_HTTP_HEAD, 0, 0,
      ACR_MAY_METADATA_READ, 0,
      "acr_repository_get", ngx_http_acr_v1_repository_get },

    { ACR_PATH_ACR_REPOSITORY, NGX_HTTP_PATCH, 1, 0,
      ACR_MAY_METADATA_WRITE, 0,
      "acr_repository_patch", ngx_http_acr_v1_repository_patch },

    { ACR_PATH_ACR_REPOSITORY, NGX_HTTP_DELETE, 0, 1,
      ACR_MAY_DELETE, 0,
      "acr_repository_delete", ngx_http_acr_v1_repository_delete },

    { ACR_PATH_ACR_TAGS, NGX_HTTP_GET|NGX_HTTP_HEAD, 0, 0,
      ACR_MAY_METADATA_READ, 0,
      "acr_tags_get", ngx_http_acr_v1_tags_get },

    { ACR_PATH_ACR_TAG, NGX_HTTP_GET|NGX_HTTP_HEAD, 0, 0,
      ACR_MAY_METADATA_READ, 0,
      "acr_tag_get", ngx_http_acr_v1_tag_get },

    { ACR_PATH_ACR_TAG, NGX_HTTP_PATCH, 1, 0,
      ACR_MAY_METADATA_WRITE, 0,
      "acr_tag_patch", ngx_http_acr_v1_tag_patch },

    { ACR_PATH_ACR_TAG, NGX_HTTP_DELETE, 0, 1,
      ACR_MAY_DELETE, 0,
      "acr_tag_delete", ngx_http_acr_v1_tag_delete },

    { ACR_PATH_ACR_MANIFESTS, NGX_HTTP_GET|NGX_HTTP_HEAD, 0, 0,
      ACR_MAY_METADATA_READ, 0,
      "acr_manifests_get", ngx_http_acr_v1_manifests_get },

    { ACR_PATH_ACR_MANIFEST, NGX_HTTP_GET|NGX_HTTP_HEAD, 0, 0,
      ACR_MAY_METADATA_READ, 0,
      "acr_manifest_get", ngx_http_acr_v1_manifest_get },

    { ACR_PATH_ACR_MANIFEST, NGX_HTTP_PATCH, 1, 0,
      ACR_MAY_METADATA_WRITE, 0,
      "acr_manifest_patch", ngx_http_acr_v1_manifest_patch },

    { ACR_PATH_TOKEN, NGX_HTTP_GET|NGX_HTTP_HEAD, 0, 0,
      0, 0,
      "token_get", ngx_http_acr_token_get },

    { ACR_PATH_TOKEN, NGX_HTTP_POST, 1, 0,
      0, 0,
      "token_post", ngx_http_acr_token_post },

    { ACR_PATH_EXCHANGE, NGX_HTTP_POST, 1, 0,
      0, 0,
      "token_exchange", ngx_http_acr_token_exchange },

    { ACR_PATH_KEYS, NGX_HTTP_GET|NGX_HTTP_HEAD, 0, 0,
      0, 0,
      "token_keys", ngx_http_acr_token_keys },

    { ACR_PATH_NONE, 0, 0, 0, 0, 0, NULL, NULL }
};


ngx_int_t
ngx_http_acr_router(ngx_http_request_t *r)
{
    return ngx_http_acr_handle(r, ngx_http_acr_route);
}


ngx_int_t
ngx_http_acr_handle(ngx_http_request_t *r, ngx_http_acr_handler_pt handler)
{
    ngx_http_acr_ctx_t  *ctx;

    if (r != r->main) {
        return NGX_HTTP_NOT_FOUND;
    }

    ctx = ngx_http_acr_ctx_create(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* ngx_http_acr_finalize() gives this reference back, perhaps at once */

    r->main->count++;

    handler(r, ctx);

    return NGX_DONE;
}


ngx_http_acr_ctx_t *
ngx_http_acr_ctx_create(ngx_http_request_t *r)
{
    ngx_http_cleanup_t  *cln;
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_acr_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_acr_router_cleanup;
    cln->data = ctx;

    ctx->conf = ngx_http_get_module_loc_conf(r, ngx_http_acr_module);
    ctx->registry = ctx->conf->registry;

    ngx_http_set_ctx(r, ctx, ngx_http_acr_module);

    return ctx;
}


static void
ngx_http_acr_router_cleanup(void *data)
{
    ngx_http_acr_ctx_t *ctx = data;

    ctx->gone = 1;
    ngx_http_acr_metrics_end(ctx);
}


static void
ngx_http_acr_route(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    acr_path_e             resource;
    ngx_http_acr_route_t  *route;

    if (ngx_http_acr_route_path(r, ctx, &resource) != NGX_OK) {
        return;
    }

    if (ctx->repository.len && ngx_http_acr_through_namespace(r, ctx) != NGX_OK)
    {
        return;
    }

    route = ngx_http_acr_route_find(r, ctx, resource);

    if (route == NULL) {
        ngx_http_acr_route_method(r, ctx, resource);
        return;
    }

    ctx->operation = route->operation;
    ngx_http_acr_metrics_begin(ctx);

    if (!route->reads) {
        ngx_http_acr_discard(r);
    }

    ngx_http_acr_route_admit(r, ctx, route);
}


ngx_int_t
ngx_http_acr_route_rights(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    acr_path_e resource, ngx_uint_t *all, ngx_uint_t *any)
{
    ngx_http_acr_route_t  *route;

    route = ngx_http_acr_route_find(r, ctx, resource);

    if (route == NULL) {
        return NGX_DECLINED;
    }

    ctx->operation = route->operation;

    *all = route->all;
    *any = route->any;

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_route_path(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    acr_path_e *resource)
{
    ngx_str_t   name;
    acr_path_t  path;

    if (r->uri.len >= sizeof("/acr/v1") - 1
        && ngx_strncmp(r->uri.data, "/acr/v1", sizeof("/acr/v1") - 1) == 0
        && ngx_http_acr_v1_headers(r, ctx) != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NGX_DONE;
    }

    if (!ngx_http_acr_path_clean(r)) {
        ngx_http_acr_fail(r, ACR_E_NAME_INVALID, "the path has an empty or "
                          "dot component, or a control character", "path",
                          &r->unparsed_uri);
        return NGX_DONE;
    }

    acr_path_parse(&path, r->uri.data, r->uri.len);

    if (path.resource == ACR_PATH_NONE) {
        ngx_http_acr_fail_status(r, NGX_HTTP_NOT_FOUND, ACR_E_UNSUPPORTED,
                                 "there is no such resource", "path",
                                 &r->uri);
        return NGX_DONE;
    }

    name.data = (u_char *) path.name.data;
    name.len = path.name.len;

    if (name.len && !acr_name_valid(name.data, name.len)) {
        ngx_http_acr_fail(r, ACR_E_NAME_INVALID,
                          name.len > ACR_NAME_MAX ? "the name is too long"
                                                  : NULL,
                          "name", &name);
        return NGX_DONE;
    }

    ctx->repository = name;
    ctx->reference.data = (u_char *) path.reference.data;
    ctx->reference.len = path.reference.len;

    *resource = path.resource;

    return NGX_OK;
}


/* who may, goes on to the handler */

static void
ngx_http_acr_route_admit(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_route_t *route)
{
    switch (route->resource) {

    case ACR_PATH_BASE:
        ngx_http_acr_authenticate(r, ctx, 1, route->handler);
        return;

    case ACR_PATH_EXTENSIONS:

        if (ctx->repository.len == 0) {
            ngx_http_acr_authenticate(r, ctx, 1, route->handler);
            return;
        }

        break;

    case ACR_PATH_TOKEN:
    case ACR_PATH_EXCHANGE:
    case ACR_PATH_KEYS:

        /* the token service looks itself at who asks */

        if (ctx->conf->auth.enable) {
            route->handler(r, ctx);
            return;
        }

        ngx_http_acr_fail_status(r, NGX_HTTP_NOT_FOUND, ACR_E_UNSUPPORTED,
                                 "there is no access control here", NULL,
                                 NULL);
        return;

    default:
        break;
    }

    ngx_http_acr_authorize(r, ctx, route->all, route->any, route->handler);
}


/*
 * nginx merges slashes and resolves "." and ".." before we see the path, so
 * that a name could become another repository's: look at what was sent.  A
 * slash at the end is none of an empty component.
 */

static ngx_uint_t
ngx_http_acr_path_clean(ngx_http_request_t *r)
{
    u_char      c, *p, *last;
    size_t      len;
    ngx_int_t   n;
    ngx_uint_t  dots;

    /* nginx has seen nothing of that, nor anything quoted */

    if (!r->complex_uri && !r->quoted_uri) {
        return 1;
    }

    p = r->unparsed_uri.data;
    last = p + r->unparsed_uri.len;

    len = 0;
    dots = 0;

    if (p < last && *p == '/') {
        p++;
    }

    while (p < last && *p != '?') {
        c = *p++;

        if (c == '#') {
            return 0;
        }

        if (c == '%' && last - p >= 2) {
            n = ngx_hextoi(p, 2);

            if (n == NGX_ERROR) {
                return 0;
            }

            c = (u_char) n;
            p += 2;
        }

        if (c < 0x20 || c == 0x7f) {
            return 0;
        }

        if (c != '/') {
            len++;
            dots += (c == '.');
            continue;
        }

        if (len == 0 || (len == dots && len <= 2)) {
            return 0;
        }

        len = 0;
        dots = 0;
    }

    return len == 0 || len != dots || len > 2;
}


static ngx_http_acr_route_t *
ngx_http_acr_route_find(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    acr_path_e resource)
{
    ngx_http_acr_route_t  *route;

    for (route = ngx_http_acr_routes; route->handler; route++) {

        if (route->resource == resource
            && (route->methods & r->method)
            && (!route->deletes || ctx->conf->delete))
        {
            return route;
        }
    }

    return NULL;
}


static void
ngx_http_acr_route_method(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    acr_path_e resource)
{
    u_char                *p, *last;
    const char            *reason;
    ngx_uint_t             i, methods;
    ngx_http_acr_route_t  *route;
    u_char                 buf[64];

    static const struct {
        ngx_uint_t   method;
        const char  *name;
    } names[] = {
        { NGX_HTTP_GET, "GET" },
        { NGX_HTTP_HEAD, "HEAD" },
        { NGX_HTTP_POST, "POST" },
        { NGX_HTTP_PUT, "PUT" },
        { NGX_HTTP_PATCH, "PATCH" },
        { NGX_HTTP_DELETE, "DELETE" }
    };

    methods = 0;
    reason = NULL;

    for (route = ngx_http_acr_routes; route->handler; route++) {

        if (route->resource != resource) {
            continue;
        }

        if (route->deletes && !ctx->conf->delete) {

            if (route->methods & r->method) {
                reason = "deletion is switched off";
            }

            continue;
        }

        methods |= route->methods;
    }

    p = buf;
    last = buf + sizeof(buf);

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (methods & names[i].method) {
            p = ngx_slprintf(p, last, "%s%s", p == buf ? "" : ", ",
                             names[i].name);
        }
    }

    if (ngx_http_acr_header_printf(r, "Allow", "%*s", (size_t) (p - buf), buf)
        != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_fail(r, ACR_E_UNSUPPORTED, reason, "method", &r->method_name);
}


ngx_int_t
ngx_http_acr_need_get(ngx_http_request_t *r)
{
    static ngx_str_t  allow = ngx_string("GET, HEAD");

    if (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)) {
        ngx_http_acr_discard(r);
        return NGX_OK;
    }

    ngx_http_acr_fail_method(r, &allow);

    return NGX_DONE;
}


void
ngx_http_acr_fail_method(ngx_http_request_t *r, ngx_str_t *allow)
{
    if (ngx_http_acr_header(r, "Allow", allow) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_fail(r, ACR_E_UNSUPPORTED, NULL, "method", &r->method_name);
}
