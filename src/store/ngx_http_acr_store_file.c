
/*
 * The operations on files that everything durable is made of.
 */

#include "ngx_http_acr_store_path.h"


static ngx_int_t ngx_http_acr_store_mkdir(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, ngx_log_t *log);
static uint64_t ngx_http_acr_store_clock(void);
static void ngx_http_acr_store_synced(ngx_http_acr_store_t *store,
    uint64_t began, ngx_err_t err);
static ngx_int_t ngx_http_acr_store_path_temp(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_write_fd(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, int fd, const void *p, size_t n,
    ngx_log_t *log);


ngx_int_t
ngx_http_acr_store_failed(ngx_log_t *log, ngx_err_t err,
    const char *operation, const char *path)
{
    ngx_uint_t  level;

    level = ngx_http_acr_store_gone(err) || err == EBUSY ? NGX_LOG_ERR
                                                         : NGX_LOG_CRIT;

    ngx_log_error(level, log, err, "acr: %s \"%s\" failed", operation, path);

    return err;
}


ngx_int_t
ngx_http_acr_store_fd_failed(ngx_log_t *log, ngx_err_t err,
    const char *operation, int fd)
{
    ssize_t  n;
    char     link[sizeof("/proc/self/fd/") + NGX_INT_T_LEN], path[PATH_MAX];

    (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);

    n = readlink(link, path, sizeof(path) - 1);
    path[n < 0 ? 0 : n] = '\0';

    return ngx_http_acr_store_failed(log, err, operation, path);
}


ngx_int_t
ngx_http_acr_store_make(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, ngx_log_t *log)
{
    char       *p, *end, *root;
    ngx_int_t   rc;

    rc = NGX_OK;
    root = path->data + store->root.len;
    end = path->data + path->len;
    p = end;

    if (path->len >= PATH_MAX || path->len <= store->root.len) {
        return ngx_http_acr_store_failed(log, ENAMETOOLONG, "mkdir()",
                                         path->data);
    }

    /* up to the first directory that is there, or can be made */

    do {
        do { p--; } while (*p != '/');

        if (p == root) {
            break;
        }

        *p = '\0';
        rc = ngx_http_acr_store_mkdir(store, path, log);
        *p = '/';

    } while (rc == NGX_AGAIN);

    if (rc != NGX_OK && rc != NGX_AGAIN) {
        return rc;
    }

    /* and down again */

    for (p++; p < end; p++) {

        if (*p != '/') {
            continue;
        }

        *p = '\0';
        rc = ngx_http_acr_store_mkdir(store, path, log);
        *p = '/';

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


/* NGX_AGAIN: what is above is not there */

static ngx_int_t
ngx_http_acr_store_mkdir(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, ngx_log_t *log)
{
    ngx_int_t  rc;

    while (mkdir(path->data, NGX_HTTP_ACR_STORE_DIR_ACCESS) == -1) {

        if (ngx_errno == EEXIST) {
            return NGX_OK;
        }

        if (ngx_http_acr_store_gone(ngx_errno)) {
            return NGX_AGAIN;
        }

        if (ngx_errno != EINTR) {
            return ngx_http_acr_store_failed(log, ngx_errno, "mkdir()",
                                             path->data);
        }
    }

    rc = ngx_http_acr_store_sync_above(store, path, log);

    return rc == NGX_DECLINED ? NGX_AGAIN : rc;
}


ngx_int_t
ngx_http_acr_store_open(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, int flags, int *fd, ngx_log_t *log)
{
    ngx_err_t   err;
    ngx_int_t   rc;
    ngx_uint_t  n;

    err = 0;

    for (n = 0; n < NGX_HTTP_ACR_STORE_TRIES; n++) {

        *fd = open(path->data, flags|O_CLOEXEC,
                   NGX_HTTP_ACR_STORE_FILE_ACCESS);

        if (*fd != -1) {
            return NGX_OK;
        }

        err = ngx_errno;

        if (err == EINTR) {
            continue;
        }

        if (!ngx_http_acr_store_gone(err)) {
            break;
        }

        if (!(flags & O_CREAT)) {

            if (err == ENOENT) {
                break;
            }

            continue;
        }

        rc = ngx_http_acr_store_make(store, path, log);

        if (rc != NGX_OK && rc != NGX_AGAIN) {
            return rc;
        }
    }

    return ngx_http_acr_store_failed(log, err, "open()", path->data);
}


ngx_int_t
ngx_http_acr_store_rename(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *from, ngx_http_acr_store_path_t *to,
    ngx_log_t *log)
{
    ngx_err_t   err;
    ngx_int_t   rc;
    ngx_uint_t  n;

    err = 0;

    for (n = 0; n < NGX_HTTP_ACR_STORE_TRIES; n++) {

        if (rename(from->data, to->data) == 0) {
            return NGX_OK;
        }

        err = ngx_errno;

        if (err == EINTR) {
            continue;
        }

        if (!ngx_http_acr_store_gone(err)) {
            break;
        }

        if (access(from->data, F_OK) == -1 && ngx_errno == ENOENT) {
            return ngx_http_acr_store_failed(log, ENOENT, "rename()",
                                             from->data);
        }

        rc = ngx_http_acr_store_make(store, to, log);

        if (rc != NGX_OK && rc != NGX_AGAIN) {
            return rc;
        }
    }

    return ngx_http_acr_store_failed(log, err, "rename()", to->data);
}


ngx_int_t
ngx_http_acr_store_sync(ngx_http_acr_store_t *store, int fd, ngx_log_t *log)
{
    uint64_t   began;
    ngx_err_t  err;

    if (!store->fsync) {
        return NGX_OK;
    }

    began = ngx_http_acr_store_clock();

    do {
        err = fdatasync(fd) == -1 ? ngx_errno : 0;
    } while (err == EINTR);

    ngx_http_acr_store_synced(store, began, err);

    return err ? ngx_http_acr_store_fd_failed(log, err, "fdatasync()", fd)
               : NGX_OK;
}


ngx_int_t
ngx_http_acr_store_sync_above(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, ngx_log_t *log)
{
    int         fd;
    char       *p;
    uint64_t    began;
    ngx_err_t   err;
    ngx_int_t   rc;

    if (!store->fsync) {
        return NGX_OK;
    }

    rc = NGX_OK;
    p = strrchr(path->data, '/');

    if (p == NULL) {
        return ngx_http_acr_store_failed(log, EINVAL, "fsync()", path->data);
    }

    *p = '\0';

    do {
        fd = open(path->data, O_RDONLY|O_DIRECTORY|O_CLOEXEC);
    } while (fd == -1 && ngx_errno == EINTR);

    if (fd == -1) {
        err = ngx_errno;

        rc = ngx_http_acr_store_gone(err) ? NGX_DECLINED
             : ngx_http_acr_store_failed(log, err, "open()", path->data);

        *p = '/';
        return rc;
    }

    began = ngx_http_acr_store_clock();

    do {
        err = fsync(fd) == -1 ? ngx_errno : 0;
    } while (err == EINTR);

    /* EINVAL: this file system has nothing to sync in a directory */

    if (err == EINVAL) {
        err = 0;
    }

    ngx_http_acr_store_synced(store, began, err);

    if (err) {
        rc = err == ESTALE ? NGX_DECLINED
             : ngx_http_acr_store_failed(log, err, "fsync()", path->data);
    }

    (void) close(fd);

    *p = '/';

    return rc;
}


static uint64_t
ngx_http_acr_store_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


static void
ngx_http_acr_store_synced(ngx_http_acr_store_t *store, uint64_t began,
    ngx_err_t err)
{
    if (store->synced) {
        store->synced(store->data, ngx_http_acr_store_clock() - began, err);
    }
}


ngx_int_t
ngx_http_acr_store_write(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, const void *p, size_t n, ngx_log_t *log)
{
    int        fd;
    ngx_int_t  rc;

    rc = ngx_http_acr_store_open(store, path, O_WRONLY|O_CREAT|O_TRUNC, &fd,
                                 log);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_acr_store_write_fd(store, path, fd, p, n, log);
}


ngx_int_t
ngx_http_acr_store_write_temp(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, const void *p, size_t n, ngx_log_t *log)
{
    int        fd;
    ngx_int_t  rc;

    rc = ngx_http_acr_store_path_temp(store, path, log);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_open(store, path, O_WRONLY|O_CREAT|O_EXCL, &fd,
                                 log);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_acr_store_write_fd(store, path, fd, p, n, log);
}


static ngx_int_t
ngx_http_acr_store_path_temp(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, ngx_log_t *log)
{
    char       name[NGX_HTTP_ACR_STORE_RANDOM + 1];
    ngx_int_t  rc;

    ngx_http_acr_store_path_set(path, store, "/acr/tmp/");

    rc = ngx_http_acr_store_random(name);
    if (rc != NGX_OK) {
        return ngx_http_acr_store_failed(log, rc, "getrandom()", path->data);
    }

    ngx_http_acr_store_path_add(path, name, NGX_HTTP_ACR_STORE_RANDOM);

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_store_link_temp(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, ngx_http_acr_store_path_t *temp,
    ngx_log_t *log)
{
    ngx_err_t  err;
    ngx_int_t  rc;

    rc = ngx_http_acr_store_path_temp(store, temp, log);
    if (rc != NGX_OK) {
        return rc;
    }

    while (link(path->data, temp->data) == -1) {
        err = ngx_errno;

        if (err == EINTR) {
            continue;
        }

        if (err == EPERM || err == EOPNOTSUPP || err == ENOSYS
            || err == EMLINK)
        {
            return NGX_DECLINED;
        }

        return ngx_http_acr_store_failed(log, err, "link()", path->data);
    }

    return NGX_OK;
}


/* closes it, and leaves no file behind that is not whole */

static ngx_int_t
ngx_http_acr_store_write_fd(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, int fd, const void *p, size_t n,
    ngx_log_t *log)
{
    ssize_t        written;
    ngx_int_t      rc;
    const u_char  *pos;

    rc = NGX_OK;
    pos = p;

    while (n) {
        written = write(fd, pos, n);

        if (written == -1) {

            if (ngx_errno == EINTR) {
                continue;
            }

            rc = ngx_http_acr_store_failed(log, ngx_errno, "write()",
                                           path->data);
            break;
        }

        pos += written;
        n -= written;
    }

    if (rc == NGX_OK) {
        rc = ngx_http_acr_store_sync(store, fd, log);
    }

    /* over NFS it is close() that tells what the write ran into */

    if (close(fd) == -1 && ngx_errno != EINTR && rc == NGX_OK) {
        rc = ngx_http_acr_store_failed(log, ngx_errno, "close()", path->data);
    }

    if (rc != NGX_OK) {
        (void) ngx_http_acr_store_unlink(path, log);
    }

    return rc;
}


ngx_int_t
ngx_http_acr_store_unlink(ngx_http_acr_store_path_t *path, ngx_log_t *log)
{
    while (unlink(path->data) == -1) {

        if (ngx_http_acr_store_gone(ngx_errno)) {
            return NGX_OK;
        }

        if (ngx_errno != EINTR) {
            return ngx_http_acr_store_failed(log, ngx_errno, "unlink()",
                                             path->data);
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_store_rmdir(ngx_http_acr_store_path_t *path, ngx_log_t *log)
{
    while (rmdir(path->data) == -1) {

        if (ngx_http_acr_store_gone(ngx_errno)
            || ngx_errno == ENOTEMPTY || ngx_errno == EEXIST)
        {
            return NGX_OK;
        }

        if (ngx_errno != EINTR) {
            return ngx_http_acr_store_failed(log, ngx_errno, "rmdir()",
                                             path->data);
        }
    }

    return NGX_OK;
}
