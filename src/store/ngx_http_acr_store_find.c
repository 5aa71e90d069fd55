
/*
 * What the directory says, for when the index cannot tell.
 *
 * On network file systems a name that somebody has just made or replaced may
 * not be seen at once, so what is not there is looked for twice.
 */

#include "ngx_http_acr_store_path.h"


#define NGX_HTTP_ACR_STORE_LOOKS  2


static ngx_int_t ngx_http_acr_store_find_read(
    ngx_http_acr_store_path_t *path, acr_digest_t *digest, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_load_fd(ngx_http_acr_store_path_t *path,
    int fd, off_t size, acr_digest_t *digest, u_char **p, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_load_read(
    ngx_http_acr_store_path_t *path, int fd, u_char *p, size_t *n,
    ngx_log_t *log);


/*
 * Between the two reads the tag may move on, and what it named before may be
 * deleted.
 */

ngx_int_t
ngx_http_acr_store_find_tag(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *tag, acr_digest_t *digest,
    ngx_log_t *log)
{
    ngx_int_t                  rc;
    ngx_uint_t                 n;
    acr_digest_t               now, last;
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_path_tag(&path, store, repository, tag,
                                "/current/link");

    for (n = 0; n < NGX_HTTP_ACR_STORE_TRIES; n++) {

        rc = ngx_http_acr_store_find_read(&path, &now, log);

        if (rc != NGX_OK) {
            return rc;
        }

        if (n > 0 && acr_digest_equal(&now, &last)) {
            return NGX_DECLINED;
        }

        rc = ngx_http_acr_store_find_link(store, repository,
                                          NGX_HTTP_ACR_REVISION, &now, log);

        if (rc == NGX_OK) {
            *digest = now;
            return NGX_OK;
        }

        if (rc != NGX_DECLINED) {
            return rc;
        }

        last = now;
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_acr_store_find_link(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_uint_t kind, acr_digest_t *digest,
    ngx_log_t *log)
{
    ngx_int_t                  rc;
    acr_digest_t               named;
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_path_link(&path, store, repository, kind, digest);

    rc = ngx_http_acr_store_find_read(&path, &named, log);

    if (rc == NGX_OK && !acr_digest_equal(&named, digest)) {
        return NGX_DECLINED;
    }

    return rc;
}


static ngx_int_t
ngx_http_acr_store_find_read(ngx_http_acr_store_path_t *path,
    acr_digest_t *digest, ngx_log_t *log)
{
    ngx_int_t   rc;
    ngx_uint_t  n;

    for (n = 0; n < NGX_HTTP_ACR_STORE_LOOKS; n++) {
        rc = ngx_http_acr_store_link_read(path, digest, NULL, log);

        if (rc != NGX_DECLINED) {
            return rc == NGX_ABORT ? NGX_DECLINED : rc;
        }
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_acr_store_link_read(ngx_http_acr_store_path_t *path,
    acr_digest_t *digest, struct stat *st, ngx_log_t *log)
{
    size_t     n;
    u_char     text[ACR_DIGEST_MAX + 1];
    ngx_int_t  rc;

    n = sizeof(text);

    rc = ngx_http_acr_store_read(path, text, &n, st, log);

    if (rc != NGX_OK) {
        return rc;
    }

    return acr_digest_parse(digest, text, n) == ACR_OK ? NGX_OK : NGX_ABORT;
}


/* --- content */

ngx_int_t
ngx_http_acr_store_size(ngx_http_acr_store_t *store, acr_digest_t *digest,
    off_t *size, ngx_log_t *log)
{
    ngx_err_t                  err;
    ngx_uint_t                 n;
    struct stat                st;
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_path_blob(&path, store, digest);

    for (n = 0; n < NGX_HTTP_ACR_STORE_LOOKS; n++) {

        if (stat(path.data, &st) == 0) {

            if (!S_ISREG(st.st_mode)) {
                return NGX_DECLINED;
            }

            *size = st.st_size;
            return NGX_OK;
        }

        err = ngx_errno;

        if (!ngx_http_acr_store_gone(err) && err != ENOTDIR) {
            return ngx_http_acr_store_failed(log, err, "stat()", path.data);
        }
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_acr_store_open_blob(ngx_http_acr_store_path_t *path, int *fd,
    off_t *size, ngx_log_t *log)
{
    ngx_err_t    err;
    ngx_uint_t   n;
    struct stat  st;

    *size = 0;

    for (n = 0; n < NGX_HTTP_ACR_STORE_LOOKS; /* void */ ) {

        *fd = open(path->data, O_RDONLY|O_NONBLOCK|O_CLOEXEC);

        if (*fd == -1) {
            err = ngx_errno;

            if (err == EINTR) {
                continue;
            }

        } else if (fstat(*fd, &st) == 0) {

            if (S_ISREG(st.st_mode)) {
                *size = st.st_size;
                return NGX_OK;
            }

            (void) close(*fd);
            break;

        } else {
            err = ngx_errno;
            (void) close(*fd);
        }

        if (!ngx_http_acr_store_gone(err) && err != ENOTDIR) {
            *fd = -1;
            return ngx_http_acr_store_failed(log, err, "open()", path->data);
        }

        n++;
    }

    *fd = -1;

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_acr_store_load(ngx_http_acr_store_t *store, acr_digest_t *digest,
    size_t max, u_char **p, size_t *n, ngx_log_t *log)
{
    int                        fd;
    off_t                      size;
    ngx_int_t                  rc;
    ngx_uint_t                 i;
    ngx_http_acr_store_path_t  path;

    *p = NULL;
    *n = 0;

    ngx_http_acr_store_path_blob(&path, store, digest);

    rc = NGX_DECLINED;

    for (i = 0; i < NGX_HTTP_ACR_STORE_LOOKS; i++) {

        rc = ngx_http_acr_store_open_blob(&path, &fd, &size, log);

        if (rc != NGX_OK) {
            return rc;
        }

        if ((uint64_t) size > max) {
            rc = ngx_http_acr_store_failed(log, EFBIG, "read()", path.data);

        } else {
            rc = ngx_http_acr_store_load_fd(&path, fd, size, digest, p, log);
        }

        (void) close(fd);

        /* another file has taken its place meanwhile */

        if (rc != NGX_DECLINED) {
            break;
        }
    }

    if (rc == NGX_OK) {
        *n = (size_t) size;
    }

    return rc;
}


static ngx_int_t
ngx_http_acr_store_load_fd(ngx_http_acr_store_path_t *path, int fd,
    off_t size, acr_digest_t *digest, u_char **p, ngx_log_t *log)
{
    size_t         n;
    u_char        *buf;
    ngx_int_t      rc;
    acr_hash_t     hash;
    acr_digest_t   found;

    n = (size_t) size;

    buf = ngx_alloc(n ? n : 1, log);

    if (buf == NULL) {
        return ENOMEM;
    }

    rc = ngx_http_acr_store_load_read(path, fd, buf, &n, log);

    if (rc == NGX_OK) {
        acr_hash_init(&hash, digest->alg);
        acr_hash_update(&hash, buf, n);
        acr_hash_final(&hash, &found);

        if (n == (size_t) size && acr_digest_equal(&found, digest)) {
            *p = buf;
            return NGX_OK;
        }

        ngx_log_error(NGX_LOG_CRIT, log, 0,
                      "acr: \"%s\" does not match its digest", path->data);
        rc = NGX_ABORT;
    }

    ngx_free(buf);

    return rc;
}


/* NGX_DECLINED, without a log line: the file was replaced */

static ngx_int_t
ngx_http_acr_store_load_read(ngx_http_acr_store_path_t *path, int fd,
    u_char *p, size_t *n, ngx_log_t *log)
{
    size_t   got;
    ssize_t  rc;

    got = 0;

    while (got < *n) {
        rc = pread(fd, p + got, *n - got, got);

        if (rc == 0) {
            break;
        }

        if (rc > 0) {
            got += rc;
            continue;
        }

        if (ngx_errno == ESTALE) {
            return NGX_DECLINED;
        }

        if (ngx_errno != EINTR) {
            return ngx_http_acr_store_failed(log, ngx_errno, "pread()",
                                             path->data);
        }
    }

    *n = got;

    return NGX_OK;
}
