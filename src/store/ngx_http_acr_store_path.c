
/*
 * Paths of the layout on disk (DESIGN "Layout on disk").
 */

#include "ngx_http_acr_store_path.h"

#include <sys/random.h>


void
ngx_http_acr_store_path_add(ngx_http_acr_store_path_t *path, const void *p,
    size_t n)
{
    if (path->len >= PATH_MAX || n >= PATH_MAX - path->len) {

        /* an empty path names nothing: better than a shortened one */

        path->len = PATH_MAX;
        path->data[0] = '\0';

        return;
    }

    ngx_memcpy(path->data + path->len, p, n);

    path->len += n;
    path->data[path->len] = '\0';
}


void
ngx_http_acr_store_path_cut(ngx_http_acr_store_path_t *path, size_t len)
{
    /* what did not fit has overwritten no more than the first byte */

    if (path->len >= PATH_MAX) {
        path->data[0] = '/';
    }

    path->len = len;
    path->data[len] = '\0';
}


void
ngx_http_acr_store_path_set(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, const char *below)
{
    path->len = 0;

    ngx_http_acr_store_path_add(path, store->root.data, store->root.len);
    ngx_http_acr_store_path_add(path, below, ngx_strlen(below));
}


void
ngx_http_acr_store_path_repository(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, ngx_str_t *repository, const char *below)
{
    ngx_http_acr_store_path_set(path, store, NGX_HTTP_ACR_STORE_REPOSITORIES);
    ngx_http_acr_store_path_add(path, repository->data, repository->len);
    ngx_http_acr_store_path_add(path, below, ngx_strlen(below));
}


void
ngx_http_acr_store_path_session(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, ngx_str_t *repository, ngx_str_t *uuid)
{
    ngx_http_acr_store_path_repository(path, store, repository, "/_uploads/");
    ngx_http_acr_store_path_add(path, uuid->data, uuid->len);
}


void
ngx_http_acr_store_path_link(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, ngx_str_t *repository, ngx_uint_t kind,
    acr_digest_t *digest)
{
    ngx_http_acr_store_path_repository(path, store, repository,
        kind == NGX_HTTP_ACR_LAYER ? "/_layers/" : "/_manifests/revisions/");

    ngx_http_acr_store_path_digest(path, digest);
    ngx_http_acr_store_path_add(path, "/link", sizeof("/link") - 1);
}


void
ngx_http_acr_store_path_tag(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, ngx_str_t *repository, ngx_str_t *tag,
    const char *below)
{
    ngx_http_acr_store_path_repository(path, store, repository,
                                       "/_manifests/tags/");
    ngx_http_acr_store_path_add(path, tag->data, tag->len);
    ngx_http_acr_store_path_add(path, below, ngx_strlen(below));
}


void
ngx_http_acr_store_path_blob(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, acr_digest_t *digest)
{
    ngx_http_acr_store_path_set(path, store, NGX_HTTP_ACR_STORE_BLOBS);
    ngx_http_acr_store_path_add(path, digest->alg->name,
                                digest->alg->name_len);
    ngx_http_acr_store_path_add(path, "/", 1);
    ngx_http_acr_store_path_add(path, digest->hex, 2);
    ngx_http_acr_store_path_add(path, "/", 1);
    ngx_http_acr_store_path_add(path, digest->hex, digest->alg->hex_len);
    ngx_http_acr_store_path_add(path, "/data", sizeof("/data") - 1);
}


void
ngx_http_acr_store_path_digest(ngx_http_acr_store_path_t *path,
    acr_digest_t *digest)
{
    ngx_http_acr_store_path_add(path, digest->alg->name,
                                digest->alg->name_len);
    ngx_http_acr_store_path_add(path, "/", 1);
    ngx_http_acr_store_path_add(path, digest->hex, digest->alg->hex_len);
}


size_t
ngx_http_acr_store_blob_path(ngx_http_acr_store_t *store,
    acr_digest_t *digest, u_char *buf)
{
    u_char  *p;

    p = ngx_cpymem(buf, store->root.data, store->root.len);
    p = ngx_cpymem(p, NGX_HTTP_ACR_STORE_BLOBS,
                   sizeof(NGX_HTTP_ACR_STORE_BLOBS) - 1);
    p = ngx_cpymem(p, digest->alg->name, digest->alg->name_len);
    *p++ = '/';
    p = ngx_cpymem(p, digest->hex, 2);
    *p++ = '/';
    p = ngx_cpymem(p, digest->hex, digest->alg->hex_len);
    p = ngx_cpymem(p, "/data", sizeof("/data"));

    return p - buf - 1;
}


ngx_int_t
ngx_http_acr_store_random(char *buf)
{
    ssize_t             n;
    ngx_uint_t          i;
    u_char              bytes[NGX_HTTP_ACR_STORE_RANDOM / 2];
    static const char   hex[] = "0123456789abcdef";

    do {
        n = getrandom(bytes, sizeof(bytes), 0);
    } while (n == -1 && ngx_errno == EINTR);

    if (n != (ssize_t) sizeof(bytes)) {
        return n == -1 ? ngx_errno : EIO;
    }

    for (i = 0; i < sizeof(bytes); i++) {
        buf[2 * i] = hex[bytes[i] >> 4];
        buf[2 * i + 1] = hex[bytes[i] & 0x0f];
    }

    buf[2 * i] = '\0';

    return NGX_OK;
}
