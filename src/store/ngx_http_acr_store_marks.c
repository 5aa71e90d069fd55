
/*
 * Marks as they are read: lines, all files of them, and what else tells
 * whether a Redis may have lost something.
 */

#include "ngx_http_acr_store_path.h"


typedef struct {
    ngx_str_t    *node;        /* whose file is ours */
    const char   *boot;
    uint64_t      max;
    ngx_uint_t    certain;
} ngx_http_acr_store_marks_t;


static ngx_int_t ngx_http_acr_store_marks_file(
    ngx_http_acr_store_path_t *path, const char *name, void *data,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_marks_lines(
    ngx_http_acr_store_path_t *path, int fd, ngx_uint_t own,
    ngx_http_acr_store_marks_t *marks, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_mark_parse(u_char *line,
    ngx_http_acr_store_slot_t *slot);
static ngx_int_t ngx_http_acr_store_epoch(ngx_http_acr_store_t *store,
    char *epoch, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_empty(ngx_http_acr_store_t *store,
    const char *below, ngx_uint_t *empty, ngx_log_t *log);
static ssize_t ngx_http_acr_store_pread(int fd, void *buf, size_t n,
    off_t offset);


ngx_int_t
ngx_http_acr_store_marks(ngx_http_acr_store_t *store, char *mark, char *epoch,
    ngx_uint_t *certain, ngx_uint_t *empty, ngx_log_t *log)
{
    ngx_int_t                   rc;
    ngx_http_acr_store_path_t   path;
    ngx_http_acr_store_marks_t  marks;

    marks.node = &store->node;
    marks.max = 0;
    marks.certain = 1;

    rc = ngx_http_acr_store_boot_id(&marks.boot, log);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_acr_store_path_set(&path, store, "/acr/nodes");

    rc = ngx_http_acr_store_each(&path, ngx_http_acr_store_marks_file, &marks,
                                 log);
    if (rc != NGX_OK) {
        return rc;
    }

    (void) snprintf(mark, NGX_HTTP_ACR_STORE_SLOT, "%llu",
                    (unsigned long long) marks.max);

    *certain = marks.certain;
    *empty = 1;

    rc = ngx_http_acr_store_empty(store, NGX_HTTP_ACR_STORE_REPOSITORIES,
                                  empty, log);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_empty(store, NGX_HTTP_ACR_STORE_BLOBS, empty,
                                  log);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_acr_store_epoch(store, epoch, log);
}


static ngx_int_t
ngx_http_acr_store_marks_file(ngx_http_acr_store_path_t *path,
    const char *name, void *data, ngx_log_t *log)
{
    ngx_http_acr_store_marks_t *marks = data;

    int         fd;
    ngx_int_t   rc;
    ngx_uint_t  own;

    own = ngx_strlen(name) == marks->node->len
          && ngx_memcmp(name, marks->node->data, marks->node->len) == 0;

    fd = open(path->data, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {

        if (ngx_errno == ENOENT) {
            return NGX_OK;
        }

        return ngx_http_acr_store_failed(log, ngx_errno, "open()",
                                         path->data);
    }

    rc = ngx_http_acr_store_marks_lines(path, fd, own, marks, log);

    (void) close(fd);

    return rc;
}


static ngx_int_t
ngx_http_acr_store_marks_lines(ngx_http_acr_store_path_t *path, int fd,
    ngx_uint_t own, ngx_http_acr_store_marks_t *marks, ngx_log_t *log)
{
    off_t                      offset;
    ngx_int_t                  rc;
    ngx_http_acr_store_slot_t  slot;

    for (offset = 0; /* void */ ; offset += NGX_HTTP_ACR_STORE_SLOT) {

        rc = ngx_http_acr_store_mark_read(path, fd, offset, &slot, log);

        switch (rc) {

        case NGX_OK:
            marks->max = ngx_max(marks->max, slot.seq);

            if (own && ngx_strcmp(slot.boot, marks->boot) != 0
                && ngx_strcmp(slot.boot, NGX_HTTP_ACR_STORE_SEALED) != 0)
            {
                marks->certain = 0;
            }

            break;

        case NGX_AGAIN:
            break;

        case NGX_ABORT:
            ngx_log_error(NGX_LOG_WARN, log, 0,
                          "acr: \"%s\" has a line that is no mark at %d",
                          path->data, (int) offset);

            if (own) {
                marks->certain = 0;
            }

            break;

        default:
            return rc == NGX_DECLINED ? NGX_OK : rc;
        }
    }
}


/* its owner may be writing it, so it is read until it is the same twice */

ngx_int_t
ngx_http_acr_store_mark_read(ngx_http_acr_store_path_t *path, int fd,
    off_t offset, ngx_http_acr_store_slot_t *slot, ngx_log_t *log)
{
    u_char      line[NGX_HTTP_ACR_STORE_SLOT];
    u_char      again[NGX_HTTP_ACR_STORE_SLOT];
    ssize_t     n;
    ngx_uint_t  i;

    ngx_memzero(again, sizeof(again));
    ngx_memzero(slot, sizeof(ngx_http_acr_store_slot_t));

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
            return ngx_http_acr_store_mark_parse(line, slot);
        }

        ngx_memcpy(again, line, sizeof(again));
    }

    return ngx_http_acr_store_failed(log, EBUSY, "pread()", path->data);
}


static ngx_int_t
ngx_http_acr_store_mark_parse(u_char *line, ngx_http_acr_store_slot_t *slot)
{
    u_char    *p, *last;
    uint64_t   value;

    last = line + NGX_HTTP_ACR_STORE_SLOT;

    for (p = line; p < last && *p == '\0'; p++) { /* void */ }

    if (p == last) {
        return NGX_AGAIN;
    }

    value = 0;

    for (p = line; p < last && *p >= '0' && *p <= '9'; p++) {

        if (value > (UINT64_MAX - (*p - '0')) / 10) {
            return NGX_ABORT;
        }

        value = value * 10 + (*p - '0');
    }

    /* the boot id and the newline tell that the line is whole */

    if (p == line || p == last || *p++ != ' '
        || last - p < NGX_HTTP_ACR_UUID_LEN + 1)
    {
        return NGX_ABORT;
    }

    ngx_memcpy(slot->boot, p, NGX_HTTP_ACR_UUID_LEN);
    slot->boot[NGX_HTTP_ACR_UUID_LEN] = '\0';

    last = p + NGX_HTTP_ACR_UUID_LEN;

    for ( /* void */ ; p < last; p++) {

        if (!(*p >= '0' && *p <= '9') && !(*p >= 'a' && *p <= 'f')
            && *p != '-')
        {
            return NGX_ABORT;
        }
    }

    last = line + NGX_HTTP_ACR_STORE_SLOT;

    while (p < last - 1 && *p == ' ') {
        p++;
    }

    if (p != last - 1 || *p != '\n') {
        return NGX_ABORT;
    }

    slot->seq = value;

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_store_epoch(ngx_http_acr_store_t *store, char *epoch,
    ngx_log_t *log)
{
    size_t                     n;
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_path_set(&path, store, "/acr/epoch");

    n = NGX_HTTP_ACR_STORE_SLOT;

    rc = ngx_http_acr_store_read(&path, (u_char *) epoch, &n, NULL, log);

    if (rc == NGX_DECLINED) {
        return ngx_http_acr_store_failed(log, ENOENT, "open()", path.data);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (n > 0 && epoch[n - 1] == '\n') {
        n--;
    }

    if (n == 0 || n == NGX_HTTP_ACR_STORE_SLOT) {
        return ngx_http_acr_store_failed(log, EINVAL, "read()", path.data);
    }

    epoch[n] = '\0';

    return NGX_OK;
}


/* *empty becomes 0 if there is anything but what a node that starts tries */

static ngx_int_t
ngx_http_acr_store_empty(ngx_http_acr_store_t *store, const char *below,
    ngx_uint_t *empty, ngx_log_t *log)
{
    DIR                        *dir;
    ngx_int_t                   rc;
    const char                 *name;
    ngx_http_acr_store_path_t   path;

    ngx_http_acr_store_path_set(&path, store, below);

    rc = ngx_http_acr_store_dir_open(&path, &dir, log);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    do {
        rc = ngx_http_acr_store_dir_read(dir, &path, &name, log);

    } while (rc == NGX_OK
             && ngx_strncmp(name, NGX_HTTP_ACR_STORE_PROBE,
                            sizeof(NGX_HTTP_ACR_STORE_PROBE) - 1)
                == 0);

    (void) closedir(dir);

    if (rc == NGX_OK) {
        *empty = 0;
    }

    return rc == NGX_DONE ? NGX_OK : rc;
}


/* --- the boot id */

ngx_int_t
ngx_http_acr_store_boot_id(const char **boot, ngx_log_t *log)
{
    int                     fd;
    char                    buf[NGX_HTTP_ACR_UUID_LEN + 4];
    ssize_t                 n;
    ngx_err_t               err;
    ngx_int_t               rc;
    const char             *path;
    static char             cached[NGX_HTTP_ACR_UUID_LEN + 1];
    static pthread_mutex_t  mutex = PTHREAD_MUTEX_INITIALIZER;

    rc = NGX_OK;
    *boot = cached;
    path = "/proc/sys/kernel/random/boot_id";

    (void) pthread_mutex_lock(&mutex);

    if (cached[0] == '\0') {
        fd = open(path, O_RDONLY|O_CLOEXEC);

        if (fd == -1) {
            rc = ngx_http_acr_store_failed(log, ngx_errno, "open()", path);

        } else {
            n = ngx_http_acr_store_pread(fd, buf, sizeof(buf), 0);
            err = (n == -1) ? ngx_errno : EINVAL;

            (void) close(fd);

            /* a UUID and a newline */

            if (n == NGX_HTTP_ACR_UUID_LEN + 1) {
                ngx_memcpy(cached, buf, NGX_HTTP_ACR_UUID_LEN);

            } else {
                rc = ngx_http_acr_store_failed(log, err, "pread()", path);
            }
        }
    }

    (void) pthread_mutex_unlock(&mutex);

    return rc;
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
