
/*
 * Media types of manifests whose bytes do not tell them:
 * acr/repositories/<name>/_manifests/<alg>/<hex>.json
 */

#include "ngx_http_acr_store_path.h"

#include "../oci/acr_json.h"
#include "../oci/acr_media_type.h"


#define NGX_HTTP_ACR_STORE_TYPE_HEAD  "{\"mediaType\":\""
#define NGX_HTTP_ACR_STORE_TYPE_TAIL  "\"}"

/* what other versions write may have more fields */
#define NGX_HTTP_ACR_STORE_TYPE_FILE  4096


static ngx_int_t ngx_http_acr_store_type_parse(
    ngx_http_acr_store_path_t *path, u_char *text, size_t n, u_char *buf,
    size_t *len, ngx_log_t *log);
static void ngx_http_acr_store_type_path(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, ngx_str_t *repository, acr_digest_t *digest);


ngx_int_t
ngx_http_acr_store_type_put(ngx_http_acr_store_t *store,
    ngx_str_t *repository, acr_digest_t *digest, const char *type, size_t len,
    ngx_log_t *log)
{
    u_char                     *p;
    u_char                      text[sizeof(NGX_HTTP_ACR_STORE_TYPE_HEAD)
                                     + ACR_MEDIA_TYPE_MAX
                                     + sizeof(NGX_HTTP_ACR_STORE_TYPE_TAIL)];
    ngx_http_acr_store_path_t   path;

    ngx_http_acr_store_type_path(&path, store, repository, digest);

    if (!acr_media_type_valid((const u_char *) type, len)) {
        return ngx_http_acr_store_failed(log, EINVAL, "write()", path.data);
    }

    /* a media type has no bytes that JSON escapes */

    p = ngx_cpymem(text, NGX_HTTP_ACR_STORE_TYPE_HEAD,
                   sizeof(NGX_HTTP_ACR_STORE_TYPE_HEAD) - 1);
    p = ngx_cpymem(p, type, len);
    p = ngx_cpymem(p, NGX_HTTP_ACR_STORE_TYPE_TAIL,
                   sizeof(NGX_HTTP_ACR_STORE_TYPE_TAIL) - 1);

    return ngx_http_acr_store_replace(store, &path, text, p - text, log);
}


ngx_int_t
ngx_http_acr_store_type_get(ngx_http_acr_store_t *store,
    ngx_str_t *repository, acr_digest_t *digest, u_char *buf, size_t *len,
    ngx_log_t *log)
{
    size_t                     n;
    u_char                     text[NGX_HTTP_ACR_STORE_TYPE_FILE + 1];
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_type_path(&path, store, repository, digest);

    n = sizeof(text);

    rc = ngx_http_acr_store_read(&path, text, &n, NULL, log);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = NGX_DECLINED;

    if (n <= NGX_HTTP_ACR_STORE_TYPE_FILE) {
        rc = ngx_http_acr_store_type_parse(&path, text, n, buf, len, log);
    }

    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "acr: \"%s\" has no media type", path.data);
    }

    return rc;
}


static ngx_int_t
ngx_http_acr_store_type_parse(ngx_http_acr_store_path_t *path, u_char *text,
    size_t n, u_char *buf, size_t *len, ngx_log_t *log)
{
    int          rc;
    json_t      *root;
    acr_text_t   type;
    const char  *error;

    rc = acr_json_load(&root, text, n, &error);

    if (rc == ACR_NOMEM) {
        return ngx_http_acr_store_failed(log, ENOMEM, "read()", path->data);
    }

    if (rc != ACR_OK) {
        return NGX_DECLINED;
    }

    type = acr_json_text(json_object_get(root, "mediaType"));

    if (type.len == 0 || !acr_media_type_valid(type.data, type.len)) {
        json_decref(root);
        return NGX_DECLINED;
    }

    ngx_memcpy(buf, type.data, type.len);
    *len = type.len;

    json_decref(root);

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_store_type_remove(ngx_http_acr_store_t *store,
    ngx_str_t *repository, acr_digest_t *digest, ngx_log_t *log)
{
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_type_path(&path, store, repository, digest);

    return ngx_http_acr_store_detail_remove(store, &path, log);
}


ngx_int_t
ngx_http_acr_store_detail_remove(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, ngx_log_t *log)
{
    size_t     keep;
    ngx_int_t  rc;

    while (unlink(path->data) == -1) {

        /* most things have none */

        if (ngx_http_acr_store_gone(ngx_errno)) {
            return NGX_OK;
        }

        if (ngx_errno != EINTR) {
            return ngx_http_acr_store_failed(log, ngx_errno, "unlink()",
                                             path->data);
        }
    }

    rc = ngx_http_acr_store_sync_above(store, path, log);

    if (rc != NGX_OK && rc != NGX_DECLINED) {
        return rc;
    }

    keep = store->root.len + sizeof(NGX_HTTP_ACR_STORE_DETAILS) - 2;

    return ngx_http_acr_store_prune_above(path, keep, log);
}


static void
ngx_http_acr_store_type_path(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, ngx_str_t *repository, acr_digest_t *digest)
{
    ngx_http_acr_store_path_set(path, store, NGX_HTTP_ACR_STORE_DETAILS);
    ngx_http_acr_store_path_add(path, repository->data, repository->len);
    ngx_http_acr_store_path_add(path, "/_manifests/",
                                sizeof("/_manifests/") - 1);
    ngx_http_acr_store_path_digest(path, digest);
    ngx_http_acr_store_path_add(path, ".json", sizeof(".json") - 1);
}
