
/*
 * Blobs that do not match their digest any more are found and put away.
 */

#include "ngx_http_acr_store_path.h"

#include <sys/uio.h>


/* bytes that are read before what was cached is dropped */
#define NGX_HTTP_ACR_STORE_SCRUB_STEP  (16 * 1024 * 1024)


struct ngx_http_acr_store_verify_s {
    int                          fd;
    off_t                        size;
    off_t                        offset;
    ngx_uint_t                   cached;
    ngx_uint_t                   quiet;
    acr_hash_t                   hash;
    acr_digest_t                 digest;
    ngx_http_acr_store_path_t    path;
};


static ngx_uint_t ngx_http_acr_store_cached(int fd);
static ngx_int_t ngx_http_acr_store_verify_all(
    ngx_http_acr_store_verify_t *verify, off_t *bytes, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_quarantine_locked(
    ngx_http_acr_store_t *store, acr_digest_t *digest,
    ngx_http_acr_store_verify_t *verify, ngx_log_t *log);
static void ngx_http_acr_store_quarantine_after(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *from, ngx_http_acr_store_path_t *to,
    acr_digest_t *digest, ngx_http_acr_store_verify_t *verify,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_quarantine_same(
    ngx_http_acr_store_path_t *path, ngx_http_acr_store_verify_t *verify,
    ngx_log_t *log);


ngx_int_t
ngx_http_acr_store_verify(ngx_http_acr_store_t *store, acr_digest_t *digest,
    off_t *bytes, ngx_log_t *log)
{
    ngx_int_t                     rc;
    ngx_http_acr_store_verify_t  *verify;

    *bytes = 0;

    rc = ngx_http_acr_store_verify_open(store, digest, &verify, log);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_verify_all(verify, bytes, log);

    ngx_http_acr_store_verify_close(verify);

    return rc;
}


ngx_int_t
ngx_http_acr_store_verify_open(ngx_http_acr_store_t *store,
    acr_digest_t *digest, ngx_http_acr_store_verify_t **verify,
    ngx_log_t *log)
{
    ngx_int_t                     rc;
    ngx_http_acr_store_verify_t  *v;

    *verify = NULL;

    v = ngx_alloc(sizeof(ngx_http_acr_store_verify_t), log);

    if (v == NULL) {
        return ENOMEM;
    }

    ngx_http_acr_store_path_blob(&v->path, store, digest);

    rc = ngx_http_acr_store_open_blob(&v->path, &v->fd, &v->size, log);

    if (rc != NGX_OK) {
        ngx_free(v);
        return rc;
    }

    v->offset = 0;
    v->quiet = 0;
    v->digest = *digest;
    v->cached = ngx_http_acr_store_cached(v->fd);

    acr_hash_init(&v->hash, digest->alg);

    *verify = v;

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_store_verify_step(ngx_http_acr_store_verify_t *verify, off_t max,
    off_t *bytes, ngx_log_t *log)
{
    off_t         end;
    ngx_int_t     rc;
    acr_digest_t  found;

    end = (verify->size - verify->offset > max) ? verify->offset + max
                                                : verify->size;

    rc = ngx_http_acr_store_hash_part(verify->fd, verify->offset, end,
                                      &verify->hash, log);

    /* only a hint: what it says of its success changes nothing */

    if (!verify->cached && end > verify->offset) {
        (void) posix_fadvise(verify->fd, verify->offset,
                             end - verify->offset, POSIX_FADV_DONTNEED);
    }

    verify->offset = end;
    *bytes = (off_t) acr_hash_count(&verify->hash);

    if (rc != NGX_OK) {
        return rc;
    }

    if (end < verify->size) {
        return NGX_AGAIN;
    }

    acr_hash_final(&verify->hash, &found);

    if (acr_digest_equal(&found, &verify->digest)) {
        return NGX_OK;
    }

    if (!verify->quiet) {
        ngx_log_error(NGX_LOG_CRIT, log, 0,
                      "acr: \"%s\" does not match its digest",
                      verify->path.data);
    }

    return NGX_ABORT;
}


void
ngx_http_acr_store_verify_close(ngx_http_acr_store_verify_t *verify)
{
    (void) close(verify->fd);

    ngx_free(verify);
}


static ngx_int_t
ngx_http_acr_store_verify_all(ngx_http_acr_store_verify_t *verify,
    off_t *bytes, ngx_log_t *log)
{
    ngx_int_t  rc;

    do {
        rc = ngx_http_acr_store_verify_step(verify,
                                            NGX_HTTP_ACR_STORE_SCRUB_STEP,
                                            bytes, log);
    } while (rc == NGX_AGAIN);

    return rc;
}


/* what is pulled often has its beginning in the page cache, and is to keep
   the rest there too */

static ngx_uint_t
ngx_http_acr_store_cached(int fd)
{
    char          c;
    struct iovec  iov;

    iov.iov_base = &c;
    iov.iov_len = 1;

    return preadv2(fd, &iov, 1, 0, RWF_NOWAIT) == 1;
}


/* --- quarantine */

ngx_int_t
ngx_http_acr_store_quarantine(ngx_http_acr_store_t *store,
    acr_digest_t *digest, int *lock, ngx_log_t *log)
{
    int                           fd;
    off_t                         bytes;
    ngx_int_t                     rc;
    ngx_http_acr_store_verify_t  *verify;

    rc = ngx_http_acr_store_verify_open(store, digest, &verify, log);

    if (rc == NGX_OK) {
        verify->quiet = 1;

        rc = ngx_http_acr_store_verify_all(verify, &bytes, log);
    }

    if (rc == NGX_ABORT || rc == EIO) {

        rc = ngx_http_acr_store_lock_blob(store, digest, &fd, log);

        if (rc == NGX_OK) {
            rc = ngx_http_acr_store_quarantine_locked(store, digest, verify,
                                                      log);
            if (rc == NGX_OK && lock) {
                *lock = fd;

            } else {
                (void) close(fd);
            }
        }

    } else if (rc == NGX_OK) {
        rc = NGX_DECLINED;
    }

    if (verify) {
        ngx_http_acr_store_verify_close(verify);
    }

    return rc;
}


static ngx_int_t
ngx_http_acr_store_quarantine_locked(ngx_http_acr_store_t *store,
    acr_digest_t *digest, ngx_http_acr_store_verify_t *verify, ngx_log_t *log)
{
    int                        len;
    char                       name[ACR_DIGEST_MAX + NGX_INT64_LEN + 3];
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  from, to;

    ngx_http_acr_store_path_blob(&from, store, digest);

    rc = ngx_http_acr_store_quarantine_same(&from, verify, log);

    if (rc != NGX_OK) {
        return rc;
    }

    len = snprintf(name, sizeof(name), "%s-%.*s.%lld", digest->alg->name,
                   (int) digest->alg->hex_len, (const char *) digest->hex,
                   (long long) time(NULL));

    ngx_http_acr_store_path_set(&to, store, "/acr/quarantine/");
    ngx_http_acr_store_path_add(&to, name, len);

    rc = ngx_http_acr_store_rename(store, &from, &to, log);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_log_error(NGX_LOG_CRIT, log, 0,
                  "acr: \"%s\" does not match its digest, moved to \"%s\"",
                  from.data, to.data);

    ngx_http_acr_store_quarantine_after(store, &from, &to, digest, verify,
                                        log);

    return NGX_OK;
}


/*
 * It has been moved, and the index has to know, whatever fails from here on:
 * after a power loss the file may be back, and is found broken again.
 */

static void
ngx_http_acr_store_quarantine_after(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *from, ngx_http_acr_store_path_t *to,
    acr_digest_t *digest, ngx_http_acr_store_verify_t *verify, ngx_log_t *log)
{
    ngx_int_t  rc;

    /*
     * Who still has it open can tell by this that it was moved away.  A volume
     * that somebody else has written may have files that are not ours.
     */

    if (verify && fchmod(verify->fd, 0) == -1 && ngx_errno != EPERM) {
        (void) ngx_http_acr_store_failed(log, ngx_errno, "fchmod()", to->data);
    }

    /* rather in both places after a power loss than in none */

    rc = ngx_http_acr_store_sync_above(store, to, log);

    if (rc == NGX_OK) {
        rc = ngx_http_acr_store_sync_above(store, from, log);
    }

    if (rc == NGX_DECLINED) {
        rc = ngx_http_acr_store_failed(log, ENOENT, "fsync()", to->data);
    }

    if (rc == NGX_OK) {
        (void) ngx_http_acr_store_prune_blob(store, from, digest, log);
    }
}


/*
 * Is what stands there still the file that was found broken?  It was kept
 * open, so its number cannot have become another's.  NGX_DECLINED: not.
 */

static ngx_int_t
ngx_http_acr_store_quarantine_same(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_verify_t *verify, ngx_log_t *log)
{
    int          fd;
    off_t        size;
    ngx_int_t    rc;
    struct stat  now, then;

    if (verify == NULL) {

        /* it could not even be opened */

        rc = ngx_http_acr_store_open_blob(path, &fd, &size, log);

        if (rc == NGX_OK) {
            (void) close(fd);
            return NGX_DECLINED;
        }

        return rc == EIO ? NGX_OK : rc;
    }

    if (fstat(verify->fd, &then) == -1) {
        return ngx_http_acr_store_failed(log, ngx_errno, "fstat()",
                                         path->data);
    }

    if (stat(path->data, &now) == -1) {

        if (ngx_http_acr_store_gone(ngx_errno)) {
            return NGX_DECLINED;
        }

        return ngx_http_acr_store_failed(log, ngx_errno, "stat()",
                                         path->data);
    }

    return now.st_dev == then.st_dev && now.st_ino == then.st_ino
           ? NGX_OK : NGX_DECLINED;
}


ngx_uint_t
ngx_http_acr_store_stale(int fd)
{
    struct stat  st;

    return fstat(fd, &st) == 0
           && ((st.st_mode & S_IRUSR) == 0 || st.st_nlink == 0);
}
