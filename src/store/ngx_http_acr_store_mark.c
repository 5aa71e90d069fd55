
/*
 * Marks: the highest sequence that a node has acknowledged.
 *
 * A slot is a line of 64 bytes, "<sequence> <boot id>", spaces, newline, at
 * the worker's number times 64.  The file itself is the record: during a
 * reload two workers have the same number.
 *
 * Marks are not synced, so a power loss takes the newest.  But the first one
 * of a boot is, so that there is a line then whose boot id tells of it.  The
 * boot id of a line that was synced at an orderly exit is all zeroes.
 */

#include "ngx_http_acr_store_path.h"


/* milliseconds */
#define NGX_HTTP_ACR_STORE_MARK_WAIT  2000


typedef ngx_int_t (*ngx_http_acr_store_mark_pt)(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, int fd, uint64_t seq, ngx_log_t *log);


static ngx_int_t ngx_http_acr_store_mark_file(ngx_http_acr_store_t *store,
    ngx_http_acr_store_mark_pt handler, uint64_t seq, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_mark_open(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, uint64_t seq, int *fd, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_mark_raise(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, int fd, uint64_t seq, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_mark_seal_own(
    ngx_http_acr_store_t *store, ngx_http_acr_store_path_t *path, int fd,
    uint64_t seq, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_mark_seal_old(
    ngx_http_acr_store_t *store, ngx_http_acr_store_path_t *path, int fd,
    uint64_t seq, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_mark_seal_slot(
    ngx_http_acr_store_path_t *path, int fd, off_t offset, const char *boot,
    ngx_uint_t *sealed, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_mark_sync(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, int fd, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_mark_write(
    ngx_http_acr_store_path_t *path, int fd, off_t offset,
    ngx_http_acr_store_slot_t *slot, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_mark_lock(
    ngx_http_acr_store_path_t *path, int fd, off_t offset, ngx_log_t *log);


/* threads of a worker wait here, not for each other's file locks, which costs
   a round trip on a network file system */

static pthread_mutex_t  ngx_http_acr_store_mark_mutex =
                                                    PTHREAD_MUTEX_INITIALIZER;


ngx_int_t
ngx_http_acr_store_mark(ngx_http_acr_store_t *store, uint64_t seq,
    ngx_log_t *log)
{
    return ngx_http_acr_store_mark_file(store, ngx_http_acr_store_mark_raise,
                                        seq, log);
}


ngx_int_t
ngx_http_acr_store_mark_seal(ngx_http_acr_store_t *store, ngx_log_t *log)
{
    return ngx_http_acr_store_mark_file(store,
                                        ngx_http_acr_store_mark_seal_own, 0,
                                        log);
}


ngx_int_t
ngx_http_acr_store_marks_seal(ngx_http_acr_store_t *store, ngx_log_t *log)
{
    return ngx_http_acr_store_mark_file(store,
                                        ngx_http_acr_store_mark_seal_old, 0,
                                        log);
}


static ngx_int_t
ngx_http_acr_store_mark_file(ngx_http_acr_store_t *store,
    ngx_http_acr_store_mark_pt handler, uint64_t seq, ngx_log_t *log)
{
    int                        fd;
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_path_set(&path, store, "/acr/nodes/");
    ngx_http_acr_store_path_add(&path, store->node.data, store->node.len);

    (void) pthread_mutex_lock(&ngx_http_acr_store_mark_mutex);

    rc = ngx_http_acr_store_mark_open(store, &path, seq, &fd, log);

    if (rc == NGX_OK && fd != -1) {
        rc = handler(store, &path, fd, seq, log);

        if (close(fd) == -1 && ngx_errno != EINTR && rc == NGX_OK) {
            rc = ngx_http_acr_store_failed(log, ngx_errno, "close()",
                                           path.data);
        }
    }

    (void) pthread_mutex_unlock(&ngx_http_acr_store_mark_mutex);

    return rc;
}


/* a node that has never marked has nothing to seal: *fd is -1 then */

static ngx_int_t
ngx_http_acr_store_mark_open(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, uint64_t seq, int *fd, ngx_log_t *log)
{
    if (seq == 0 && access(path->data, F_OK) == -1 && ngx_errno == ENOENT) {
        *fd = -1;
        return NGX_OK;
    }

    return ngx_http_acr_store_open(store, path, O_RDWR|O_CREAT, fd, log);
}


/* locks and reads our own slot: what mark_read() returns, or an errno value */

static ngx_int_t
ngx_http_acr_store_mark_own(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, int fd, const char **boot, off_t *offset,
    ngx_http_acr_store_slot_t *slot, ngx_log_t *log)
{
    ngx_int_t  rc;

    *offset = (off_t) store->slot * NGX_HTTP_ACR_STORE_SLOT;

    rc = ngx_http_acr_store_boot_id(boot, log);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_mark_lock(path, fd, *offset, log);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_acr_store_mark_read(path, fd, *offset, slot, log);
}


static ngx_int_t
ngx_http_acr_store_mark_raise(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, int fd, uint64_t seq, ngx_log_t *log)
{
    off_t                       offset;
    ngx_int_t                   rc;
    const char                 *boot;
    ngx_uint_t                  first;
    ngx_http_acr_store_slot_t   slot;

    rc = ngx_http_acr_store_mark_own(store, path, fd, &boot, &offset, &slot,
                                     log);
    if (rc > 0) {
        return rc;
    }

    if (rc == NGX_OK && slot.seq >= seq) {
        return NGX_OK;
    }

    first = (rc != NGX_OK || ngx_strcmp(slot.boot, boot) != 0);

    slot.seq = seq;
    ngx_memcpy(slot.boot, boot, sizeof(slot.boot));

    rc = ngx_http_acr_store_mark_write(path, fd, offset, &slot, log);

    if (rc == NGX_OK && first) {
        rc = ngx_http_acr_store_mark_sync(store, path, fd, log);
    }

    return rc;
}


static ngx_int_t
ngx_http_acr_store_mark_seal_own(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, int fd, uint64_t seq, ngx_log_t *log)
{
    off_t                       offset;
    ngx_int_t                   rc;
    const char                 *boot;
    ngx_http_acr_store_slot_t   slot;

    rc = ngx_http_acr_store_mark_own(store, path, fd, &boot, &offset, &slot,
                                     log);
    if (rc > 0) {
        return rc;
    }

    if (rc != NGX_OK || ngx_strcmp(slot.boot, boot) != 0) {
        return NGX_OK;
    }

    ngx_memcpy(slot.boot, NGX_HTTP_ACR_STORE_SEALED, sizeof(slot.boot));

    rc = ngx_http_acr_store_mark_write(path, fd, offset, &slot, log);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_acr_store_mark_sync(store, path, fd, log);
}


static ngx_int_t
ngx_http_acr_store_mark_seal_old(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, int fd, uint64_t seq, ngx_log_t *log)
{
    off_t        offset;
    ngx_int_t    rc;
    const char  *boot;
    ngx_uint_t   sealed;

    rc = ngx_http_acr_store_boot_id(&boot, log);
    if (rc != NGX_OK) {
        return rc;
    }

    sealed = 0;

    for (offset = 0; rc == NGX_OK; offset += NGX_HTTP_ACR_STORE_SLOT) {
        rc = ngx_http_acr_store_mark_seal_slot(path, fd, offset, boot,
                                               &sealed, log);
    }

    if (rc != NGX_DECLINED) {
        return rc;
    }

    return sealed ? ngx_http_acr_store_mark_sync(store, path, fd, log)
                  : NGX_OK;
}


/*
 * What is no mark is emptied.  NGX_DECLINED: the file ends before.
 */

static ngx_int_t
ngx_http_acr_store_mark_seal_slot(ngx_http_acr_store_path_t *path, int fd,
    off_t offset, const char *boot, ngx_uint_t *sealed, ngx_log_t *log)
{
    ngx_int_t                  rc;
    ngx_http_acr_store_slot_t  slot;

    rc = ngx_http_acr_store_mark_lock(path, fd, offset, log);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_mark_read(path, fd, offset, &slot, log);

    if (rc == NGX_AGAIN) {
        return NGX_OK;
    }

    if (rc == NGX_OK) {

        if (ngx_strcmp(slot.boot, boot) == 0
            || ngx_strcmp(slot.boot, NGX_HTTP_ACR_STORE_SEALED) == 0)
        {
            return NGX_OK;
        }

        ngx_memcpy(slot.boot, NGX_HTTP_ACR_STORE_SEALED, sizeof(slot.boot));

    } else if (rc == NGX_ABORT) {
        slot.boot[0] = '\0';

    } else {
        return rc;
    }

    *sealed = 1;

    return ngx_http_acr_store_mark_write(path, fd, offset, &slot, log);
}


static ngx_int_t
ngx_http_acr_store_mark_sync(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, int fd, ngx_log_t *log)
{
    ngx_int_t  rc;

    rc = ngx_http_acr_store_sync(store, fd, log);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_sync_above(store, path, log);

    if (rc == NGX_DECLINED) {
        return ngx_http_acr_store_failed(log, ENOENT, "fsync()", path->data);
    }

    return rc;
}


/* no boot id: the slot becomes one that was never written */

static ngx_int_t
ngx_http_acr_store_mark_write(ngx_http_acr_store_path_t *path, int fd,
    off_t offset, ngx_http_acr_store_slot_t *slot, ngx_log_t *log)
{
    int      len;
    char     text[NGX_HTTP_ACR_STORE_SLOT];
    u_char   line[NGX_HTTP_ACR_STORE_SLOT];
    ssize_t  n;

    if (slot->boot[0] == '\0') {
        ngx_memzero(line, sizeof(line));

    } else {
        len = snprintf(text, sizeof(text), "%llu %s",
                       (unsigned long long) slot->seq, slot->boot);

        ngx_memset(line, ' ', sizeof(line));
        ngx_memcpy(line, text, len);
        line[sizeof(line) - 1] = '\n';
    }

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
