
/*
 * Staging files of upload sessions.
 *
 * They need not survive a power loss, so making one syncs nothing but the
 * directories of its repository, which links use too.
 */

#include "ngx_http_acr_store_path.h"

#include <sys/ioctl.h>
#include <linux/fs.h>


#define NGX_HTTP_ACR_STORE_COPY_BUF  65536


static ngx_int_t ngx_http_acr_store_stage_source(
    ngx_http_acr_store_t *store, ngx_http_acr_store_path_t *path, int flags,
    off_t offset, int *fd, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_stage_create(
    ngx_http_acr_store_t *store, ngx_http_acr_store_path_t *path,
    size_t session, int *fd, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_stage_mkdir(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, size_t session, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_clone(int from, int to, off_t size,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_copy_range(int from, int to, off_t size,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_copy(int from, int to, off_t done,
    off_t size, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_pwrite(int fd, u_char *p, size_t n,
    off_t offset, ngx_log_t *log);


ngx_int_t
ngx_http_acr_store_stage(ngx_http_acr_store_t *store, ngx_str_t *repository,
    ngx_str_t *uuid, ngx_str_t *from, ngx_str_t *file, off_t offset, int *fd,
    ngx_log_t *log)
{
    int                        source;
    size_t                     session;
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  path;

    *fd = -1;
    source = -1;

    ngx_http_acr_store_path_session(&path, store, repository, uuid);

    session = path.len;

    if (from->len || offset) {
        ngx_http_acr_store_path_add(&path, "/", 1);
        ngx_http_acr_store_path_add(&path, from->data, from->len);

        if (from->len == file->len
            && ngx_memcmp(from->data, file->data, file->len) == 0)
        {
            return ngx_http_acr_store_stage_source(store, &path, O_RDWR,
                                                   offset, fd, log);
        }

        rc = ngx_http_acr_store_stage_source(store, &path, O_RDONLY, offset,
                                             &source, log);
        if (rc != NGX_OK) {
            return rc;
        }

        ngx_http_acr_store_path_cut(&path, session);
    }

    ngx_http_acr_store_path_add(&path, "/", 1);
    ngx_http_acr_store_path_add(&path, file->data, file->len);

    rc = ngx_http_acr_store_stage_create(store, &path, session, fd, log);

    if (rc == NGX_OK && offset) {
        rc = ngx_http_acr_store_clone(source, *fd, offset, log);

        if (rc != NGX_OK) {
            (void) close(*fd);
            (void) ngx_http_acr_store_unlink(&path, log);

            *fd = -1;
        }
    }

    if (source != -1) {
        (void) close(source);
    }

    return rc;
}


/* the file so far, which is also the file to go on with if it may be
   written */

static ngx_int_t
ngx_http_acr_store_stage_source(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, int flags, off_t offset, int *fd,
    ngx_log_t *log)
{
    ngx_err_t    err;
    ngx_int_t    rc;
    const char  *operation;
    struct stat  st;

    rc = ngx_http_acr_store_open(store, path, flags, fd, log);
    if (rc != NGX_OK) {
        return rc == ESTALE ? ENOENT : rc;
    }

    err = 0;
    operation = "fstat()";

    if (fstat(*fd, &st) == -1) {
        err = ngx_errno;

    } else if (!S_ISREG(st.st_mode) || st.st_size < offset) {
        err = ENOENT;

    } else if (flags == O_RDWR) {

        operation = "ftruncate()";

        while (ftruncate(*fd, offset) == -1) {

            if (ngx_errno != EINTR) {
                err = ngx_errno;
                break;
            }
        }

        if (err == 0 && lseek(*fd, offset, SEEK_SET) == -1) {
            operation = "lseek()";
            err = ngx_errno;
        }
    }

    if (err == 0) {
        return NGX_OK;
    }

    (void) close(*fd);
    *fd = -1;

    return ngx_http_acr_store_failed(log, err, operation, path->data);
}


/*
 * A file of that name is not opened but replaced: somebody may still write
 * to it.
 */

static ngx_int_t
ngx_http_acr_store_stage_create(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, size_t session, int *fd, ngx_log_t *log)
{
    ngx_err_t   err;
    ngx_int_t   rc;
    ngx_uint_t  n;

    err = 0;

    for (n = 0; n < NGX_HTTP_ACR_STORE_TRIES; n++) {

        *fd = open(path->data, O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC,
                   NGX_HTTP_ACR_STORE_FILE_ACCESS);

        if (*fd != -1) {
            return NGX_OK;
        }

        err = ngx_errno;

        if (err == EINTR) {
            continue;
        }

        if (err == EEXIST) {
            rc = ngx_http_acr_store_unlink(path, log);

        } else if (ngx_http_acr_store_gone(err)) {
            rc = ngx_http_acr_store_stage_mkdir(store, path, session, log);

        } else {
            break;
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ngx_http_acr_store_failed(log, err, "open()", path->data);
}


static ngx_int_t
ngx_http_acr_store_stage_mkdir(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, size_t session, ngx_log_t *log)
{
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  dir;

    dir.len = 0;
    ngx_http_acr_store_path_add(&dir, path->data, session);

    if (mkdir(dir.data, NGX_HTTP_ACR_STORE_DIR_ACCESS) == 0
        || ngx_errno == EEXIST)
    {
        return NGX_OK;
    }

    if (!ngx_http_acr_store_gone(ngx_errno)) {
        return ngx_http_acr_store_failed(log, ngx_errno, "mkdir()", dir.data);
    }

    rc = ngx_http_acr_store_make(store, &dir, log);

    return rc == NGX_AGAIN ? NGX_OK : rc;
}


/*
 * The first size bytes.  Sharing them costs nothing where the file system can
 * do it; the file is checked afterwards, since its owner may be alive and cut
 * it.
 */

static ngx_int_t
ngx_http_acr_store_clone(int from, int to, off_t size, ngx_log_t *log)
{
    ngx_int_t    rc;
    struct stat  st;

    if (ioctl(to, FICLONE, from) == 0) {

        if (fstat(to, &st) == -1) {
            return ngx_http_acr_store_fd_failed(log, ngx_errno, "fstat()",
                                                to);
        }

        if (st.st_size < size) {
            return ngx_http_acr_store_fd_failed(log, ENOENT,
                                                "ioctl(FICLONE)", from);
        }

        if (ftruncate(to, size) == -1) {
            return ngx_http_acr_store_fd_failed(log, ngx_errno,
                                                "ftruncate()", to);
        }

    } else {
        rc = ngx_http_acr_store_copy_range(from, to, size, log);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (lseek(to, size, SEEK_SET) == -1) {
        return ngx_http_acr_store_fd_failed(log, ngx_errno, "lseek()", to);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_store_copy_range(int from, int to, off_t size, ngx_log_t *log)
{
    off_t    in, out;
    size_t   len;
    ssize_t  n;

    in = 0;
    out = 0;

    while (out < size) {
        len = (size_t) ngx_min(size - out, (off_t) 1 << 30);

        n = copy_file_range(from, &in, to, &out, len, 0);

        if (n > 0 || (n == -1 && ngx_errno == EINTR)) {
            continue;
        }

        if (n == -1 && (ngx_errno == ENOSPC || ngx_errno == EDQUOT
                        || ngx_errno == EIO || ngx_errno == EFBIG))
        {
            return ngx_http_acr_store_fd_failed(log, ngx_errno,
                                                "copy_file_range()", to);
        }

        /* it cannot do it here, or says that the file ends: some file systems
           say so without reason */

        break;
    }

    return ngx_http_acr_store_copy(from, to, out, size, log);
}


static ngx_int_t
ngx_http_acr_store_copy(int from, int to, off_t done, off_t size,
    ngx_log_t *log)
{
    size_t     len;
    ssize_t    n;
    u_char     buf[NGX_HTTP_ACR_STORE_COPY_BUF];
    ngx_int_t  rc;

    while (done < size) {
        len = (size_t) ngx_min(size - done, (off_t) sizeof(buf));

        n = pread(from, buf, len, done);

        if (n == -1) {

            if (ngx_errno == EINTR) {
                continue;
            }

            return ngx_http_acr_store_fd_failed(log, ngx_errno, "pread()",
                                                from);
        }

        if (n == 0) {
            return ngx_http_acr_store_fd_failed(log, ENOENT, "pread()", from);
        }

        rc = ngx_http_acr_store_pwrite(to, buf, n, done, log);
        if (rc != NGX_OK) {
            return rc;
        }

        done += n;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_store_pwrite(int fd, u_char *p, size_t n, off_t offset,
    ngx_log_t *log)
{
    ssize_t  written;

    while (n) {
        written = pwrite(fd, p, n, offset);

        if (written == -1) {

            if (ngx_errno == EINTR) {
                continue;
            }

            return ngx_http_acr_store_fd_failed(log, ngx_errno, "pwrite()",
                                                fd);
        }

        p += written;
        n -= written;
        offset += written;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_store_discard(ngx_http_acr_store_t *store, ngx_str_t *repository,
    ngx_str_t *uuid, ngx_log_t *log)
{
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_path_session(&path, store, repository, uuid);

    return ngx_http_acr_store_prune(&path, log);
}
