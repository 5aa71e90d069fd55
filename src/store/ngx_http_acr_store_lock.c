
/*
 * Locks between threads, workers and nodes.
 *
 * They are open file description locks: unlike others they hold between the
 * threads of a process as well, and are not lost when another descriptor of
 * the file is closed.  They end with their holder.
 */

#include "ngx_http_acr_store_path.h"


#define NGX_HTTP_ACR_STORE_LOCKS      1024

/* milliseconds */
#define NGX_HTTP_ACR_STORE_LOCK_STEP  2
#define NGX_HTTP_ACR_STORE_LOCK_WAIT  10000


static ngx_int_t ngx_http_acr_store_lock_open(ngx_http_acr_store_t *store,
    ngx_str_t *scope, ngx_str_t *name, ngx_http_acr_store_path_t *path,
    int *fd, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_lock_try(
    ngx_http_acr_store_path_t *path, int fd, ngx_log_t *log);
static ngx_uint_t ngx_http_acr_store_lock_number(ngx_str_t *scope,
    ngx_str_t *name);
static uint32_t ngx_http_acr_store_lock_hash(uint32_t hash, ngx_str_t *s);


/* in the place of a repository's name, for what all of them share */
static ngx_str_t  ngx_http_acr_store_lock_blobs = ngx_string("blob");


ngx_int_t
ngx_http_acr_store_lock(ngx_http_acr_store_t *store, ngx_str_t *repository,
    ngx_str_t *name, int *fd, ngx_log_t *log)
{
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  path;

    rc = ngx_http_acr_store_lock_open(store, repository, name, &path, fd, log);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_lock_try(&path, *fd, log);

    if (rc != NGX_OK) {
        (void) close(*fd);
        *fd = -1;
    }

    return rc;
}


ngx_int_t
ngx_http_acr_store_lock_names(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *names, ngx_uint_t n,
    ngx_http_acr_store_locks_t *locks, ngx_log_t *log)
{
    ngx_int_t   rc;
    ngx_uint_t  i, k, numbers[NGX_HTTP_ACR_STORE_NAMES];

    locks->n = 0;

    for (i = 0; i < n; i++) {
        numbers[i] = ngx_http_acr_store_lock_number(repository, &names[i]);

        for (k = 0; numbers[k] != numbers[i]; k++) { /* void */ }

        if (k < i) {
            continue;
        }

        rc = ngx_http_acr_store_lock(store, repository, &names[i],
                                     &locks->fd[locks->n], log);

        if (rc != NGX_OK) {
            ngx_http_acr_store_unlock_names(locks, log);
            return rc;
        }

        locks->n++;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_store_lock_digest(ngx_http_acr_store_t *store,
    acr_digest_t *digest, int *fd, ngx_log_t *log)
{
    u_char     text[ACR_DIGEST_MAX];
    ngx_str_t  name;

    name.len = acr_digest_print(text, digest);
    name.data = text;

    return ngx_http_acr_store_lock(store, &ngx_http_acr_store_lock_blobs,
                                   &name, fd, log);
}


ngx_int_t
ngx_http_acr_store_lock_blob(ngx_http_acr_store_t *store,
    acr_digest_t *digest, int *fd, ngx_log_t *log)
{
    u_char     text[ACR_DIGEST_MAX];
    ngx_str_t  name;

    name.len = acr_digest_print(text, digest);
    name.data = text;

    return ngx_http_acr_store_lock_wait(store, &ngx_http_acr_store_lock_blobs,
                                        &name, fd, log);
}


void
ngx_http_acr_store_unlock(int *fd, ngx_log_t *log)
{
    if (*fd != -1 && close(*fd) == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      "acr: close() of a lock failed");
    }

    *fd = -1;
}


void
ngx_http_acr_store_unlock_names(ngx_http_acr_store_locks_t *locks,
    ngx_log_t *log)
{
    while (locks->n) {
        ngx_http_acr_store_unlock(&locks->fd[--locks->n], log);
    }
}


ngx_int_t
ngx_http_acr_store_lock_wait(ngx_http_acr_store_t *store, ngx_str_t *scope,
    ngx_str_t *name, int *fd, ngx_log_t *log)
{
    ngx_int_t                  rc;
    ngx_uint_t                 n;
    ngx_http_acr_store_path_t  path;

    rc = ngx_http_acr_store_lock_open(store, scope, name, &path, fd, log);
    if (rc != NGX_OK) {
        return rc;
    }

    n = NGX_HTTP_ACR_STORE_LOCK_WAIT / NGX_HTTP_ACR_STORE_LOCK_STEP;

    for ( ;; ) {
        rc = ngx_http_acr_store_lock_try(&path, *fd, log);

        if (rc == NGX_OK) {
            return NGX_OK;
        }

        if (rc != NGX_AGAIN) {
            break;
        }

        if (n-- == 0) {
            rc = ngx_http_acr_store_failed(log, EBUSY, "fcntl(F_OFD_SETLK)",
                                           path.data);
            break;
        }

        ngx_msleep(NGX_HTTP_ACR_STORE_LOCK_STEP);
    }

    (void) close(*fd);
    *fd = -1;

    return rc;
}


static ngx_int_t
ngx_http_acr_store_lock_open(ngx_http_acr_store_t *store, ngx_str_t *scope,
    ngx_str_t *name, ngx_http_acr_store_path_t *path, int *fd, ngx_log_t *log)
{
    char           file[4];
    ngx_uint_t     number;
    static u_char  hex[] = "0123456789abcdef";

    number = ngx_http_acr_store_lock_number(scope, name);

    file[0] = '/';
    file[1] = hex[number >> 8];
    file[2] = hex[number >> 4 & 0x0f];
    file[3] = hex[number & 0x0f];

    ngx_http_acr_store_path_set(path, store, "/acr/locks");
    ngx_http_acr_store_path_add(path, file, sizeof(file));

    return ngx_http_acr_store_open(store, path, O_RDWR|O_CREAT, fd, log);
}


static ngx_int_t
ngx_http_acr_store_lock_try(ngx_http_acr_store_path_t *path, int fd,
    ngx_log_t *log)
{
    struct flock  fl;

    ngx_memzero(&fl, sizeof(struct flock));

    fl.l_type = F_WRLCK;
    fl.l_whence = SEEK_SET;

    while (fcntl(fd, F_OFD_SETLK, &fl) == -1) {

        if (ngx_errno == EAGAIN || ngx_errno == EACCES) {
            return NGX_AGAIN;
        }

        if (ngx_errno != EINTR) {
            return ngx_http_acr_store_failed(log, ngx_errno,
                                             "fcntl(F_OFD_SETLK)",
                                             path->data);
        }
    }

    return NGX_OK;
}


/* nodes of different versions have to agree on it */

static ngx_uint_t
ngx_http_acr_store_lock_number(ngx_str_t *scope, ngx_str_t *name)
{
    uint32_t          hash;
    static ngx_str_t  space = ngx_string(" ");

    hash = ngx_http_acr_store_lock_hash(2166136261u, scope);
    hash = ngx_http_acr_store_lock_hash(hash, &space);
    hash = ngx_http_acr_store_lock_hash(hash, name);

    return (hash ^ (hash >> 16)) % NGX_HTTP_ACR_STORE_LOCKS;
}


/* FNV-1a */

static uint32_t
ngx_http_acr_store_lock_hash(uint32_t hash, ngx_str_t *s)
{
    size_t  i;

    for (i = 0; i < s->len; i++) {
        hash = (hash ^ s->data[i]) * 16777619u;
    }

    return hash;
}
