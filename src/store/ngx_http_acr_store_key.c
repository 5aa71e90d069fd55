
/*
 * The key that tokens are signed with: acr/token.key.
 */

#include "ngx_http_acr_store_path.h"


const char *
ngx_http_acr_store_key(ngx_http_acr_store_t *store, const char *pem,
    uid_t uid, gid_t gid, char *buf, size_t *n, ngx_err_t *err)
{
    int                        fd;
    char                       newer[NGX_HTTP_ACR_STORE_NEWER];
    size_t                     len;
    ssize_t                    done;
    const char                *failed;
    ngx_http_acr_store_path_t  path, temp;

    *err = 0;
    failed = NULL;

    ngx_http_acr_store_path_set(&path, store, "/acr/token.key");

    if (access(path.data, F_OK) == -1) {

        len = ngx_strlen(pem);

        *err = ngx_http_acr_store_version_read(store, newer, sizeof(newer),
                                               &temp);
        if (*err) {
            return "cannot read the version, and so not make";
        }

        if (*newer) {

            /* it may have another place: until the next start this node has
               one of its own */

            *n = ngx_min(len, *n);
            ngx_memcpy(buf, pem, *n);

            return NULL;
        }

        ngx_http_acr_store_path_set(&temp, store, "/acr/tmp/key-XXXXXX");

        fd = mkostemp(temp.data, O_CLOEXEC);

        if (fd == -1) {
            *err = ngx_errno;
            return "cannot make";
        }

        ngx_set_errno(0);

        if (write(fd, pem, len) != (ssize_t) len
            || (geteuid() == 0 && fchown(fd, uid, gid) == -1)
            || (store->fsync && fsync(fd) == -1))
        {
            *err = ngx_errno ? ngx_errno : ENOSPC;
            failed = "cannot write";

        /* the first of several nodes wins */

        } else if (link(temp.data, path.data) == -1 && ngx_errno != EEXIST) {
            *err = ngx_errno;
            failed = "cannot make";
        }

        (void) close(fd);
        (void) unlink(temp.data);

        if (failed) {
            return failed;
        }
    }

    fd = open(path.data, O_RDONLY|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1) {
        *err = ngx_errno;
        return "cannot open";
    }

    done = read(fd, buf, *n);

    if (done == -1) {
        *err = ngx_errno;
        failed = "cannot read";

    } else if ((size_t) done == *n) {
        failed = "too long:";
    }

    (void) close(fd);

    *n = (done > 0) ? (size_t) done : 0;

    return failed;
}
