
/*
 * Blobs that nobody needs go.
 */

#include "ngx_http_acr_store_path.h"


ngx_int_t
ngx_http_acr_store_collect(ngx_http_acr_store_t *store, acr_digest_t *digest,
    off_t *freed, ngx_log_t *log)
{
    ngx_int_t                  rc;
    struct stat                st;
    ngx_http_acr_store_path_t  path;

    *freed = 0;

    ngx_http_acr_store_path_blob(&path, store, digest);

    rc = ngx_http_acr_store_stat(&path, &st, log);

    if (rc != NGX_OK && rc != NGX_DECLINED) {
        return rc;
    }

    if (rc == NGX_OK) {
        rc = ngx_http_acr_store_unlink(&path, log);
        if (rc != NGX_OK) {
            return rc;
        }

        *freed = st.st_size;
    }

    /* also if it was not there: somebody may have removed it and died */

    rc = ngx_http_acr_store_sync_above(store, &path, log);

    if (rc != NGX_OK && rc != NGX_DECLINED) {
        return rc;
    }

    return ngx_http_acr_store_prune_blob(store, &path, digest, log);
}


/*
 * Whoever stores another blob may just have made the directory that this one
 * shares with it; it is made again then (ngx_http_acr_store_rename).
 */

ngx_int_t
ngx_http_acr_store_prune_blob(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, acr_digest_t *digest, ngx_log_t *log)
{
    return ngx_http_acr_store_prune_above(path,
                                          store->root.len
                                          + sizeof(NGX_HTTP_ACR_STORE_BLOBS)
                                          - 1 + digest->alg->name_len, log);
}
