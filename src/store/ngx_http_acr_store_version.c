
/*
 * The version of the volume.  Redis has one of its index, which changes more
 * often; this one is for what nodes have to agree on although Redis was lost:
 * what the locks are, what a mark is, what stands below acr.  Nobody joins
 * Redis without having looked at it, and so nobody writes.
 */

#include "ngx_http_acr_store_path.h"


/* so much of the file is looked at */
#define NGX_HTTP_ACR_STORE_VERSION_MAX  16


ngx_int_t
ngx_http_acr_store_version(ngx_http_acr_store_t *store, char *newer,
    size_t size, ngx_log_t *log)
{
    ngx_err_t                  err;
    ngx_http_acr_store_path_t  path;

    err = ngx_http_acr_store_version_read(store, newer, size, &path);

    if (err) {
        return ngx_http_acr_store_failed(log, err, "reading", path.data);
    }

    return *newer ? NGX_DECLINED : NGX_OK;
}


ngx_err_t
ngx_http_acr_store_version_read(ngx_http_acr_store_t *store, char *newer,
    size_t size, ngx_http_acr_store_path_t *path)
{
    int        fd;
    char      *p, text[NGX_HTTP_ACR_STORE_VERSION_MAX + 1];
    ssize_t    n;
    ngx_err_t  err;

    *newer = '\0';

    ngx_http_acr_store_path_set(path, store, NGX_HTTP_ACR_STORE_VERSION);

    fd = open(path->data, O_RDONLY|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1) {
        return ngx_http_acr_store_gone(ngx_errno) ? 0 : ngx_errno;
    }

    n = read(fd, text, NGX_HTTP_ACR_STORE_VERSION_MAX);
    err = ngx_errno;

    (void) close(fd);

    if (n < 0) {
        return err;
    }

    text[n] = '\0';

    for (p = text; *p && *p != '\n'; p++) {
        if (*p < ' ' || *p > '~') {
            *p = '?';
        }
    }

    *p = '\0';

    /* a file that is empty has none yet, as one that is not there */

    if (n > 0 && ngx_strcmp(text, NGX_HTTP_ACR_STORE_KNOWN) != 0) {
        (void) snprintf(newer, size, "the directory has version \"%s\", and "
                        "this module knows \"" NGX_HTTP_ACR_STORE_KNOWN "\"",
                        text);
    }

    return 0;
}
