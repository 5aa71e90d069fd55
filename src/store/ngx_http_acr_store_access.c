
/*
 * Who may do what: acr/access.json, and the key that tokens are signed with,
 * acr/token.key.
 */

#include "ngx_http_acr_store_path.h"


#define NGX_HTTP_ACR_STORE_ACCESS  "/acr/access.json"


static ngx_int_t ngx_http_acr_store_access_write(ngx_http_acr_store_t *store,
    const u_char *p, size_t n, ngx_log_t *log);


ngx_int_t
ngx_http_acr_store_access_read(ngx_http_acr_store_t *store,
    ngx_http_acr_store_version_t *version, u_char **p, size_t *n,
    ngx_log_t *log)
{
    ngx_int_t                     rc;
    struct stat                   st;
    ngx_http_acr_store_path_t     path;
    ngx_http_acr_store_version_t  now;

    *p = NULL;
    *n = 0;

    ngx_http_acr_store_path_set(&path, store, NGX_HTTP_ACR_STORE_ACCESS);
    ngx_memzero(&now, sizeof(ngx_http_acr_store_version_t));

    if (stat(path.data, &st) == -1) {

        if (ngx_errno != ENOENT) {
            return ngx_http_acr_store_failed(log, ngx_errno, "stat()",
                                             path.data);
        }

        /* not so if the volume is away: then nobody has been granted less */

        if (ngx_http_acr_store_probe_read(store) != NGX_OK) {
            return ENOENT;
        }

        now.known = 1;

    } else {

        if (st.st_size > NGX_HTTP_ACR_STORE_ACCESS_MAX) {
            return ngx_http_acr_store_failed(log, EFBIG, "stat()", path.data);
        }

        now.known = 1;
        now.ino = st.st_ino;
        now.size = st.st_size;
        now.sec = st.st_mtim.tv_sec;
        now.nsec = st.st_mtim.tv_nsec;
    }

    if (version && ngx_memcmp(version, &now, sizeof(now)) == 0) {
        return NGX_DECLINED;
    }

    if (now.ino) {

        /* one byte more shows that it has grown */

        *n = (size_t) st.st_size + 1;
        *p = ngx_alloc(*n, log);

        if (*p == NULL) {
            return ENOMEM;
        }

        rc = ngx_http_acr_store_read(&path, *p, n, NULL, log);

        if (rc == NGX_OK && *n != (size_t) st.st_size) {
            rc = ngx_http_acr_store_failed(log, EAGAIN, "read()", path.data);
        }

        if (rc != NGX_OK) {
            ngx_free(*p);
            *p = NULL;

            /* replaced between the two: the next look will tell */

            return rc == NGX_DECLINED ? EAGAIN : rc;
        }
    }

    if (version) {
        *version = now;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_store_access_change(ngx_http_acr_store_t *store,
    ngx_http_acr_store_change_pt change, void *data, ngx_log_t *log)
{
    int               lock;
    char              newer[NGX_HTTP_ACR_STORE_NEWER];
    size_t            n, len;
    u_char           *p, *text;
    ngx_int_t         rc;

    static ngx_str_t  nobody = ngx_string("");
    static ngx_str_t  name = ngx_string("access.json");

    /* of a newer volume the lock may be another one */

    rc = ngx_http_acr_store_version(store, newer, sizeof(newer), log);

    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "acr: \"%s\": %s: access is not changed",
                      store->root.data, newer);
        return EROFS;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_lock_wait(store, &nobody, &name, &lock, log);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_access_read(store, NULL, &p, &n, log);

    if (rc == NGX_OK) {
        text = NULL;
        rc = change(data, p, n, &text, &len, log);

        if (rc == NGX_OK) {
            rc = ngx_http_acr_store_access_write(store, text, len, log);
        }

        free(text);
        ngx_free(p);
    }

    ngx_http_acr_store_unlock(&lock, log);

    return rc;
}


static ngx_int_t
ngx_http_acr_store_access_write(ngx_http_acr_store_t *store, const u_char *p,
    size_t n, ngx_log_t *log)
{
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  path, temp;

    ngx_http_acr_store_path_set(&path, store, NGX_HTTP_ACR_STORE_ACCESS);

    rc = ngx_http_acr_store_write_temp(store, &temp, p, n, log);

    if (rc != NGX_OK) {
        return rc;
    }

    /* hashes are of no use to other users either */

    if (chmod(temp.data, 0600) == -1) {
        rc = ngx_http_acr_store_failed(log, ngx_errno, "chmod()", temp.data);

    } else {
        rc = ngx_http_acr_store_rename(store, &temp, &path, log);
    }

    if (rc != NGX_OK) {
        (void) ngx_http_acr_store_unlink(&temp, log);
        return rc;
    }

    rc = ngx_http_acr_store_sync_above(store, &path, log);

    return rc == NGX_DECLINED ? ENOENT : rc;
}


const char *
ngx_http_acr_store_key(ngx_http_acr_store_t *store, const char *pem,
    uid_t uid, gid_t gid, char *buf, size_t *n, ngx_err_t *err)
{
    int                        fd;
    size_t                     len;
    ssize_t                    done;
    const char                *failed;
    ngx_http_acr_store_path_t  path, temp;

    *err = 0;
    failed = NULL;

    ngx_http_acr_store_path_set(&path, store, "/acr/token.key");

    if (access(path.data, F_OK) == -1) {

        ngx_http_acr_store_path_set(&temp, store, "/acr/tmp/key-XXXXXX");

        fd = mkostemp(temp.data, O_CLOEXEC);

        if (fd == -1) {
            *err = ngx_errno;
            return "cannot make";
        }

        len = ngx_strlen(pem);
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
