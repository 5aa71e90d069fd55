
/*
 * Whether the directory can be written and read.  These are asked again and
 * again, so they write no log lines: the caller tells of changes.
 */

#include "ngx_http_acr_store_path.h"


#define NGX_HTTP_ACR_STORE_BLOCK  4096


static ngx_int_t ngx_http_acr_store_probe_open(ngx_http_acr_store_t *store,
    const char *below, int flags, int *fd);


ngx_int_t
ngx_http_acr_store_probe_write(ngx_http_acr_store_t *store, ngx_log_t *log)
{
    u_char                     block[NGX_HTTP_ACR_STORE_BLOCK];
    ngx_int_t                  rc;
    ngx_log_t                  quiet;
    ngx_http_acr_store_path_t  path;

    quiet = *log;
    quiet.log_level = 0;

    ngx_memset(block, 'x', sizeof(block));

    rc = ngx_http_acr_store_write_temp(store, &path, block, sizeof(block),
                                       &quiet);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_acr_store_unlink(&path, &quiet);
}


ngx_int_t
ngx_http_acr_store_probe_read(ngx_http_acr_store_t *store)
{
    int        fd;
    char       byte;
    ssize_t    n;
    ngx_int_t  rc;

    rc = ngx_http_acr_store_probe_open(store, NGX_HTTP_ACR_STORE_BLOBS,
                                       O_RDONLY|O_DIRECTORY, &fd);
    if (rc != NGX_OK) {
        return rc;
    }

    (void) close(fd);

    rc = ngx_http_acr_store_probe_open(store, "/acr/epoch", O_RDONLY, &fd);
    if (rc != NGX_OK) {
        return rc;
    }

    do {
        n = read(fd, &byte, 1);
    } while (n == -1 && ngx_errno == EINTR);

    /* every volume has a word there */

    if (n != 1) {
        rc = (n == -1) ? ngx_errno : ENOENT;
    }

    (void) close(fd);

    return rc;
}


static ngx_int_t
ngx_http_acr_store_probe_open(ngx_http_acr_store_t *store, const char *below,
    int flags, int *fd)
{
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_path_set(&path, store, below);

    do {
        *fd = open(path.data, flags|O_CLOEXEC);
    } while (*fd == -1 && ngx_errno == EINTR);

    return *fd == -1 ? ngx_errno : NGX_OK;
}
