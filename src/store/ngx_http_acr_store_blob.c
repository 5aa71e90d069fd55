
/*
 * Content: staging files and manifests become blobs.
 */

#include "ngx_http_acr_store_path.h"


#define NGX_HTTP_ACR_STORE_HASH_BUF  65536


ngx_int_t
ngx_http_acr_store_put(ngx_http_acr_store_t *store, acr_digest_t *digest,
    u_char *p, size_t n, int *lock, ngx_log_t *log)
{
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  path;

    rc = ngx_http_acr_store_write_temp(store, &path, p, n, log);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_rename_blob(store, &path, digest, lock, log);

    if (rc != NGX_OK) {
        (void) ngx_http_acr_store_unlink(&path, log);
    }

    return rc;
}


ngx_int_t
ngx_http_acr_store_commit(ngx_http_acr_store_t *store, ngx_str_t *repository,
    ngx_str_t *uuid, ngx_str_t *file, int fd, acr_digest_t *digest,
    int *lock, ngx_log_t *log)
{
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  path, temp;

    rc = ngx_http_acr_store_sync(store, fd, log);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_acr_store_path_session(&path, store, repository, uuid);
    ngx_http_acr_store_path_add(&path, "/", 1);
    ngx_http_acr_store_path_add(&path, file->data, file->len);

    rc = ngx_http_acr_store_link_temp(store, &path, &temp, log);

    if (rc == NGX_DECLINED) {
        return ngx_http_acr_store_rename_blob(store, &path, digest, lock,
                                              log);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_rename_blob(store, &temp, digest, lock, log);

    /* it is still there also if both names were of one file already */

    (void) ngx_http_acr_store_unlink(&temp, log);

    return rc;
}


/*
 * The lock keeps a collector, which asks once more and then unlinks under the
 * same lock, from removing what is being stored again.  So it is held until the
 * index knows who needs the blob.
 */

ngx_int_t
ngx_http_acr_store_rename_blob(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *from, acr_digest_t *digest, int *lock,
    ngx_log_t *log)
{
    int                        fd;
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  to;

    ngx_http_acr_store_path_blob(&to, store, digest);

    rc = ngx_http_acr_store_lock_blob(store, digest, &fd, log);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_rename(store, from, &to, log);

    if (rc == NGX_OK) {
        rc = ngx_http_acr_store_sync_above(store, &to, log);

        if (rc == NGX_DECLINED) {
            rc = ngx_http_acr_store_failed(log, ENOENT, "fsync()", to.data);
        }
    }

    if (rc == NGX_OK && lock) {
        *lock = fd;

    } else {
        (void) close(fd);
    }

    return rc;
}


ngx_int_t
ngx_http_acr_store_hash(int fd, off_t size, acr_hash_t *h, ngx_log_t *log)
{
    return ngx_http_acr_store_hash_part(fd, 0, size, h, log);
}


ngx_int_t
ngx_http_acr_store_hash_part(int fd, off_t offset, off_t end, acr_hash_t *h,
    ngx_log_t *log)
{
    size_t   len;
    ssize_t  n;
    u_char   buf[NGX_HTTP_ACR_STORE_HASH_BUF];

    while (offset < end) {
        len = (size_t) ngx_min(end - offset, (off_t) sizeof(buf));

        n = pread(fd, buf, len, offset);

        if (n == -1) {

            if (ngx_errno == EINTR) {
                continue;
            }

            return ngx_http_acr_store_fd_failed(log, ngx_errno, "pread()",
                                                fd);
        }

        if (n == 0) {

            /* shorter than it must be: somebody else has cut it */

            return ngx_http_acr_store_fd_failed(log, EIO, "pread()", fd);
        }

        acr_hash_update(h, buf, n);
        offset += n;
    }

    return NGX_OK;
}
