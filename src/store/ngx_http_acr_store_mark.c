
/*
 * Marks: the highest sequence that a node has acknowledged.
 *
 * A slot is a line of 64 bytes, "<sequence> <boot id>", spaces, newline, at
 * the worker's number times 64.  The file itself is the record: during a
 * reload two workers have the same number.
 */

#include "ngx_http_acr_store_path.h"


#define NGX_HTTP_ACR_STORE_SLOT       64

/* milliseconds */
#define NGX_HTTP_ACR_STORE_MARK_WAIT  2000


static ngx_int_t ngx_http_acr_store_mark_write(
    ngx_http_acr_store_path_t *path, int fd, off_t offset, uint64_t seq,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_mark_lock(
    ngx_http_acr_store_path_t *path, int fd, off_t offset, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_boot_id(char *buf, size_t size,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_marks_file(
    ngx_http_acr_store_path_t *path, const char *name, void *data,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_mark_read(ngx_http_acr_store_path_t *path,
    int fd, off_t offset, u_char *line, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_mark_parse(u_char *line, uint64_t *seq);
static ngx_int_t ngx_http_acr_store_epoch(ngx_http_acr_store_t *store,
    char *epoch, ngx_log_t *log);
static ssize_t ngx_http_acr_store_pread(int fd, void *buf, size_t n,
    off_t offset);


/* threads of a worker wait here, not for each other's file locks, which costs
   a round trip on a network file system */

static pthread_mutex_t  ngx_http_acr_store_mark_mutex =
                                                    PTHREAD_MUTEX_INITIALIZER;


ngx_int_t
ngx_http_acr_store_mark(ngx_http_acr_store_t *store, uint64_t seq,
    ngx_log_t *log)
{
    int                        fd;
    off_t                      offset;
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_path_set(&path, store, "/acr/nodes/");
    ngx_http_acr_store_path_add(&path, store->node.data, store->node.len);

    offset = (off_t) store->slot * NGX_HTTP_ACR_STORE_SLOT;

    (void) pthread_mutex_lock(&ngx_http_acr_store_mark_mutex);

    rc = ngx_http_acr_store_open(store, &path, O_RDWR|O_CREAT, &fd, log);

    if (rc == NGX_OK) {
        rc = ngx_http_acr_store_mark_lock(&path, fd, offset, log);

        if (rc == NGX_OK) {
            rc = ngx_http_acr_store_mark_write(&path, fd, offset, seq, log);
        }

        if (close(fd) == -1 && ngx_errno != EINTR && rc == NGX_OK) {
            rc = ngx_http_acr_store_failed(log, ngx_errno, "close()",
                                           path.data);
        }
    }

    (void) pthread_mutex_unlock(&ngx_http_acr_store_mark_mutex);

    return rc;
}


static ngx_int_t
ngx_http_acr_store_mark_write(ngx_http_acr_store_path_t *path, int fd,
    off_t offset, uint64_t seq, ngx_log_t *log)
{
    int        len;
    char       text[NGX_HTTP_ACR_STORE_SLOT], boot[40];
    u_char     line[NGX_HTTP_ACR_STORE_SLOT];
    ssize_t    n;
    uint64_t   old;
    ngx_int_t  rc;

    rc = ngx_http_acr_store_mark_read(path, fd, offset, line, log);

    if (rc != NGX_OK && rc != NGX_DECLINED) {
        return rc;
    }

    if (rc == NGX_OK
        && ngx_http_acr_store_mark_parse(line, &old) == NGX_OK
        && old >= seq)
    {
        return NGX_OK;
    }

    rc = ngx_http_acr_store_boot_id(boot, sizeof(boot), log);
    if (rc != NGX_OK) {
        return rc;
    }

    len = snprintf(text, sizeof(text), "%llu %s", (unsigned long long) seq,
                   boot);

    ngx_memset(line, ' ', sizeof(line));
    ngx_memcpy(line, text, len);
    line[sizeof(line) - 1] = '\n';

    do {
        n = pwrite(fd, line, sizeof(line), offset);
    } while (n == -1 && ngx_errno == EINTR);

    if (n != (ssize_t) sizeof(line)) {

        /* a part of a line is written only when the space is used up */

        return ngx_http_acr_store_failed(log, n == -1 ? ngx_errno : ENOSPC,
                                         "pwrite()", path->data);
    }

    return NGX_OK;
}


/* the lock of the slot, against a worker that is about to exit */

static ngx_int_t
ngx_http_acr_store_mark_lock(ngx_http_acr_store_path_t *path, int fd,
    off_t offset, ngx_log_t *log)
{
    ngx_err_t     err;
    ngx_uint_t    n;
    struct flock  fl;

    ngx_memzero(&fl, sizeof(struct flock));

    fl.l_type = F_WRLCK;
    fl.l_whence = SEEK_SET;
    fl.l_start = offset;
    fl.l_len = NGX_HTTP_ACR_STORE_SLOT;

    for (n = 0; fcntl(fd, F_OFD_SETLK, &fl) == -1; /* void */ ) {
        err = ngx_errno;

        if (err == EINTR) {
            continue;
        }

        if ((err != EAGAIN && err != EACCES)
            || n++ == NGX_HTTP_ACR_STORE_MARK_WAIT)
        {
            return ngx_http_acr_store_failed(log,
                                             err == EAGAIN ? EBUSY : err,
                                             "fcntl(F_OFD_SETLK)",
                                             path->data);
        }

        ngx_msleep(1);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_store_boot_id(char *buf, size_t size, ngx_log_t *log)
{
    int          fd;
    ssize_t      n;
    ngx_err_t    err;
    const char  *path;

    path = "/proc/sys/kernel/random/boot_id";

    fd = open(path, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {
        return ngx_http_acr_store_failed(log, ngx_errno, "open()", path);
    }

    n = ngx_http_acr_store_pread(fd, buf, size, 0);
    err = ngx_errno;

    (void) close(fd);

    if (n == -1) {
        return ngx_http_acr_store_failed(log, err, "pread()", path);
    }

    /* a UUID and a newline */

    if (n != NGX_HTTP_ACR_UUID_LEN + 1) {
        return ngx_http_acr_store_failed(log, EINVAL, "pread()", path);
    }

    buf[NGX_HTTP_ACR_UUID_LEN] = '\0';

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_store_marks(ngx_http_acr_store_t *store, char *mark, char *epoch,
    ngx_log_t *log)
{
    uint64_t                   seq;
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  path;

    seq = 0;

    ngx_http_acr_store_path_set(&path, store, "/acr/nodes");

    rc = ngx_http_acr_store_each(&path, ngx_http_acr_store_marks_file, &seq,
                                 log);
    if (rc != NGX_OK) {
        return rc;
    }

    (void) snprintf(mark, NGX_HTTP_ACR_STORE_SLOT, "%llu",
                    (unsigned long long) seq);

    return ngx_http_acr_store_epoch(store, epoch, log);
}


static ngx_int_t
ngx_http_acr_store_marks_file(ngx_http_acr_store_path_t *path,
    const char *name, void *data, ngx_log_t *log)
{
    uint64_t  *max = data;

    int        fd;
    off_t      offset;
    u_char     line[NGX_HTTP_ACR_STORE_SLOT];
    uint64_t   seq;
    ngx_int_t  rc;

    fd = open(path->data, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {

        if (ngx_errno == ENOENT) {
            return NGX_OK;
        }

        return ngx_http_acr_store_failed(log, ngx_errno, "open()",
                                         path->data);
    }

    for (offset = 0; /* void */ ; offset += NGX_HTTP_ACR_STORE_SLOT) {

        rc = ngx_http_acr_store_mark_read(path, fd, offset, line, log);

        if (rc != NGX_OK) {
            rc = rc == NGX_DECLINED ? NGX_OK : rc;
            break;
        }

        rc = ngx_http_acr_store_mark_parse(line, &seq);

        if (rc == NGX_OK) {
            *max = ngx_max(*max, seq);

        } else if (rc == NGX_ERROR) {
            ngx_log_error(NGX_LOG_WARN, log, 0,
                          "acr: \"%s\" has a line that is no mark at %d",
                          path->data, (int) offset);
        }
    }

    (void) close(fd);

    return rc;
}


/*
 * Reads the slot until it is the same twice, since its owner may be writing
 * it.  NGX_DECLINED: the file ends before.
 */

static ngx_int_t
ngx_http_acr_store_mark_read(ngx_http_acr_store_path_t *path, int fd,
    off_t offset, u_char *line, ngx_log_t *log)
{
    u_char      again[NGX_HTTP_ACR_STORE_SLOT];
    ssize_t     n;
    ngx_uint_t  i;

    ngx_memzero(again, sizeof(again));

    for (i = 0; i < NGX_HTTP_ACR_STORE_TRIES; i++) {

        ngx_memzero(line, NGX_HTTP_ACR_STORE_SLOT);

        n = ngx_http_acr_store_pread(fd, line, NGX_HTTP_ACR_STORE_SLOT,
                                     offset);

        if (n == -1) {
            return ngx_http_acr_store_failed(log, ngx_errno, "pread()",
                                             path->data);
        }

        if (n == 0) {
            return NGX_DECLINED;
        }

        if (i > 0 && ngx_memcmp(line, again, sizeof(again)) == 0) {
            return NGX_OK;
        }

        ngx_memcpy(again, line, sizeof(again));
    }

    return ngx_http_acr_store_failed(log, EBUSY, "pread()", path->data);
}


/* NGX_DECLINED: the slot was never written; NGX_ERROR: it is no mark */

static ngx_int_t
ngx_http_acr_store_mark_parse(u_char *line, uint64_t *seq)
{
    u_char    *p, *last;
    uint64_t   value;

    last = line + NGX_HTTP_ACR_STORE_SLOT;

    for (p = line; p < last && *p == '\0'; p++) { /* void */ }

    if (p == last) {
        return NGX_DECLINED;
    }

    value = 0;

    for (p = line; p < last && *p >= '0' && *p <= '9'; p++) {

        if (value > (UINT64_MAX - (*p - '0')) / 10) {
            return NGX_ERROR;
        }

        value = value * 10 + (*p - '0');
    }

    /* the boot id and the newline tell that the line is whole */

    if (p == line || p == last || *p++ != ' '
        || last - p < NGX_HTTP_ACR_UUID_LEN + 1)
    {
        return NGX_ERROR;
    }

    last = p + NGX_HTTP_ACR_UUID_LEN;

    for ( /* void */ ; p < last; p++) {

        if (!(*p >= '0' && *p <= '9') && !(*p >= 'a' && *p <= 'f')
            && *p != '-')
        {
            return NGX_ERROR;
        }
    }

    last = line + NGX_HTTP_ACR_STORE_SLOT;

    while (p < last - 1 && *p == ' ') {
        p++;
    }

    if (p != last - 1 || *p != '\n') {
        return NGX_ERROR;
    }

    *seq = value;

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_store_epoch(ngx_http_acr_store_t *store, char *epoch,
    ngx_log_t *log)
{
    int                        fd;
    ssize_t                    n;
    ngx_err_t                  err;
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_path_set(&path, store, "/acr/epoch");

    rc = ngx_http_acr_store_open(store, &path, O_RDONLY, &fd, log);
    if (rc != NGX_OK) {
        return rc;
    }

    n = ngx_http_acr_store_pread(fd, epoch, NGX_HTTP_ACR_STORE_SLOT, 0);
    err = ngx_errno;

    (void) close(fd);

    if (n == -1) {
        return ngx_http_acr_store_failed(log, err, "pread()", path.data);
    }

    if (n > 0 && epoch[n - 1] == '\n') {
        n--;
    }

    if (n == 0 || n == NGX_HTTP_ACR_STORE_SLOT) {
        return ngx_http_acr_store_failed(log, EINVAL, "pread()", path.data);
    }

    epoch[n] = '\0';

    return NGX_OK;
}


/* as much as there is, in spite of signals */

static ssize_t
ngx_http_acr_store_pread(int fd, void *buf, size_t n, off_t offset)
{
    size_t   got;
    ssize_t  rc;

    got = 0;

    while (got < n) {
        rc = pread(fd, (u_char *) buf + got, n - got, offset + got);

        if (rc == 0) {
            break;
        }

        if (rc > 0) {
            got += rc;
            continue;
        }

        if (ngx_errno != EINTR) {
            return -1;
        }
    }

    return got;
}
