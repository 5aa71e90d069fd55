
/*
 * A store that is a cache: when a blob was used last is the mtime of its file,
 * and what was not used for long goes.
 */

#include "ngx_http_acr_store_path.h"

#include <sys/statvfs.h>


ngx_int_t
ngx_http_acr_store_use(ngx_http_acr_store_t *store, acr_digest_t *digest,
    time_t grain, ngx_log_t *log)
{
    ngx_int_t                  rc;
    struct stat                st;
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_path_blob(&path, store, digest);

    rc = ngx_http_acr_store_stat(&path, &st, log);

    if (rc != NGX_OK || st.st_mtime + grain > time(NULL)) {
        return rc;
    }

    if (utimensat(AT_FDCWD, path.data, NULL, 0) == -1) {

        if (ngx_http_acr_store_gone(ngx_errno)) {
            return NGX_DECLINED;
        }

        return ngx_http_acr_store_failed(log, ngx_errno, "utimensat()",
                                         path.data);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_store_evict(ngx_http_acr_store_t *store, acr_digest_t *digest,
    int64_t used, off_t *freed, ngx_log_t *log)
{
    int                        lock;
    ngx_int_t                  rc;
    struct stat                st;
    ngx_http_acr_store_path_t  path;

    *freed = 0;

    rc = ngx_http_acr_store_lock_digest(store, digest, &lock, log);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_acr_store_path_blob(&path, store, digest);

    rc = ngx_http_acr_store_stat(&path, &st, log);

    if (rc == NGX_OK && ngx_http_acr_store_mtime(&st) > used) {
        rc = NGX_DECLINED;
    }

    if (rc == NGX_OK) {
        rc = ngx_http_acr_store_unlink(&path, log);
    }

    /* nothing is synced: a file that comes back is as good as it was */

    if (rc == NGX_OK) {
        *freed = st.st_size;

        (void) ngx_http_acr_store_prune_blob(store, &path, digest, log);
    }

    ngx_http_acr_store_unlock(&lock, log);

    return rc;
}


ngx_int_t
ngx_http_acr_store_free(ngx_http_acr_store_t *store, uint64_t *bytes,
    ngx_log_t *log)
{
    struct statvfs             st;
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_path_set(&path, store, NGX_HTTP_ACR_STORE_BLOBS);

    if (statvfs(path.data, &st) == -1) {
        return ngx_http_acr_store_failed(log, ngx_errno, "statvfs()",
                                         path.data);
    }

    *bytes = (uint64_t) st.f_bavail * st.f_frsize;

    return NGX_OK;
}
