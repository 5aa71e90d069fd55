
/*
 * Small files that are read and replaced as a whole: links, media types.
 *
 * One that is there already may have been made by a process that died before
 * it could sync the directory, so whoever relies on it syncs again.
 */

#include "ngx_http_acr_store_path.h"


/* what has more bytes is written again although it may be the same */
#define NGX_HTTP_ACR_STORE_TEXT_MAX  511


ngx_int_t
ngx_http_acr_store_read(ngx_http_acr_store_path_t *path, u_char *buf,
    size_t *n, struct stat *st, ngx_log_t *log)
{
    int        fd;
    size_t     got;
    ssize_t    rc;
    ngx_err_t  err;

    /* a pipe of that name must not block us */

    do {
        fd = open(path->data, O_RDONLY|O_NONBLOCK|O_CLOEXEC);
    } while (fd == -1 && ngx_errno == EINTR);

    if (fd == -1) {

        if (ngx_http_acr_store_gone(ngx_errno) || ngx_errno == ENOTDIR) {
            return NGX_DECLINED;
        }

        return ngx_http_acr_store_failed(log, ngx_errno, "open()",
                                         path->data);
    }

    err = 0;
    got = 0;

    while (got < *n) {
        rc = read(fd, buf + got, *n - got);

        if (rc == 0) {
            break;
        }

        if (rc > 0) {
            got += rc;
            continue;
        }

        if (ngx_errno != EINTR) {
            err = ngx_errno;
            break;
        }
    }

    if (err == 0 && st && fstat(fd, st) == -1) {
        err = ngx_errno;
    }

    (void) close(fd);

    if (err == ESTALE) {
        return NGX_DECLINED;
    }

    if (err) {
        return ngx_http_acr_store_failed(log, err, "read()", path->data);
    }

    *n = got;

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_store_says(ngx_http_acr_store_path_t *path, const void *p,
    size_t n, ngx_log_t *log)
{
    size_t     got;
    u_char     buf[NGX_HTTP_ACR_STORE_TEXT_MAX + 1];
    ngx_int_t  rc;

    if (n > NGX_HTTP_ACR_STORE_TEXT_MAX) {
        return ngx_http_acr_store_failed(log, EFBIG, "read()", path->data);
    }

    got = n + 1;

    rc = ngx_http_acr_store_read(path, buf, &got, NULL, log);

    if (rc != NGX_OK) {
        return rc;
    }

    return got == n && ngx_memcmp(buf, p, n) == 0 ? NGX_OK : NGX_DECLINED;
}


/*
 * Whoever removes files at the same time may take the directory away between
 * the rename and the sync; then it begins again.
 */

ngx_int_t
ngx_http_acr_store_replace(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, const void *p, size_t n, ngx_log_t *log)
{
    ngx_int_t                  rc;
    ngx_uint_t                 i;
    ngx_http_acr_store_path_t  temp;

    for (i = 0; i < NGX_HTTP_ACR_STORE_TRIES; i++) {

        rc = NGX_DECLINED;

        if (n <= NGX_HTTP_ACR_STORE_TEXT_MAX) {
            rc = ngx_http_acr_store_says(path, p, n, log);
        }

        if (rc == NGX_DECLINED) {
            rc = ngx_http_acr_store_write_temp(store, &temp, p, n, log);
            if (rc != NGX_OK) {
                return rc;
            }

            rc = ngx_http_acr_store_rename(store, &temp, path, log);

            if (rc != NGX_OK) {
                (void) ngx_http_acr_store_unlink(&temp, log);
            }
        }

        if (rc != NGX_OK) {
            return rc;
        }

        rc = ngx_http_acr_store_sync_above(store, path, log);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    return ngx_http_acr_store_failed(log, ENOENT, "fsync()", path->data);
}
