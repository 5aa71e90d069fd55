
/*
 * Removes what was begun and never finished: sessions, and temporary files.
 */

#include "ngx_http_acr_store_path.h"

#include "../oci/acr_name.h"


typedef struct {
    size_t       base;         /* length of the path of the repositories */
    time_t       before;       /* what was not written since then goes */
    ngx_uint_t   removed;
} ngx_http_acr_store_sweep_t;


typedef struct {
    time_t       mtime;
    ngx_uint_t   depth;
} ngx_http_acr_store_newest_t;


static ngx_int_t ngx_http_acr_store_sweep_temp(
    ngx_http_acr_store_path_t *path, const char *name, void *data,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_sweep_repository(
    ngx_http_acr_store_path_t *path, const char *name, void *data,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_sweep_session(
    ngx_http_acr_store_path_t *path, const char *name, void *data,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_newest(ngx_http_acr_store_path_t *path,
    const char *name, void *data, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_stat(ngx_http_acr_store_path_t *path,
    struct stat *st, ngx_log_t *log);


ngx_int_t
ngx_http_acr_store_sweep(ngx_http_acr_store_t *store, time_t age,
    ngx_uint_t *removed, ngx_log_t *log)
{
    ngx_int_t                    rc, first;
    ngx_http_acr_store_path_t    path;
    ngx_http_acr_store_sweep_t   sweep;

    sweep.removed = 0;
    sweep.before = time(NULL) - age;

    ngx_http_acr_store_path_set(&path, store, "/acr/tmp");

    first = ngx_http_acr_store_each(&path, ngx_http_acr_store_sweep_temp,
                                    &sweep, log);

    ngx_http_acr_store_path_set(&path, store, NGX_HTTP_ACR_STORE_REPOSITORIES);
    ngx_http_acr_store_path_cut(&path, path.len - 1);

    sweep.base = path.len;

    rc = ngx_http_acr_store_each(&path, ngx_http_acr_store_sweep_repository,
                                 &sweep, log);

    *removed = sweep.removed;

    return first == NGX_OK ? rc : first;
}


static ngx_int_t
ngx_http_acr_store_sweep_temp(ngx_http_acr_store_path_t *path,
    const char *name, void *data, ngx_log_t *log)
{
    ngx_http_acr_store_sweep_t *sweep = data;

    ngx_int_t    rc;
    struct stat  st;

    rc = ngx_http_acr_store_stat(path, &st, log);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    if (rc == NGX_OK && S_ISREG(st.st_mode) && st.st_mtime <= sweep->before) {
        return ngx_http_acr_store_unlink(path, log);
    }

    return rc;
}


/*
 * What begins with "_" belongs to the repository above, and no name begins
 * with a dot.  Names are bounded, and so is the depth.
 */

static ngx_int_t
ngx_http_acr_store_sweep_repository(ngx_http_acr_store_path_t *path,
    const char *name, void *data, ngx_log_t *log)
{
    ngx_http_acr_store_sweep_t *sweep = data;

    ngx_int_t    rc;
    struct stat  st;

    if (name[0] == '_') {

        if (ngx_strcmp(name, "_uploads") != 0) {
            return NGX_OK;
        }

        return ngx_http_acr_store_each(path, ngx_http_acr_store_sweep_session,
                                       sweep, log);
    }

    if (name[0] == '.' || path->len - sweep->base - 1 > ACR_NAME_MAX) {
        return NGX_OK;
    }

    rc = ngx_http_acr_store_stat(path, &st, log);

    if (rc == NGX_DECLINED || (rc == NGX_OK && !S_ISDIR(st.st_mode))) {
        return NGX_OK;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_acr_store_each(path, ngx_http_acr_store_sweep_repository,
                                   sweep, log);
}


static ngx_int_t
ngx_http_acr_store_sweep_session(ngx_http_acr_store_path_t *path,
    const char *name, void *data, ngx_log_t *log)
{
    ngx_http_acr_store_sweep_t *sweep = data;

    ngx_int_t                    rc;
    ngx_http_acr_store_newest_t  newest;

    newest.mtime = -1;
    newest.depth = 0;

    rc = ngx_http_acr_store_newest(path, name, &newest, log);

    if (rc != NGX_OK || newest.mtime == -1 || newest.mtime > sweep->before) {
        return rc;
    }

    rc = ngx_http_acr_store_prune(path, log);

    if (rc == NGX_OK) {
        sweep->removed++;
    }

    return rc;
}


static ngx_int_t
ngx_http_acr_store_newest(ngx_http_acr_store_path_t *path, const char *name,
    void *data, ngx_log_t *log)
{
    ngx_http_acr_store_newest_t *newest = data;

    ngx_int_t    rc;
    struct stat  st;

    rc = ngx_http_acr_store_stat(path, &st, log);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    newest->mtime = ngx_max(newest->mtime, st.st_mtime);

    if (!S_ISDIR(st.st_mode)) {
        return NGX_OK;
    }

    if (newest->depth == NGX_HTTP_ACR_STORE_DEPTH) {
        return ngx_http_acr_store_failed(log, ELOOP, "opendir()", path->data);
    }

    newest->depth++;
    rc = ngx_http_acr_store_each(path, ngx_http_acr_store_newest, newest, log);
    newest->depth--;

    return rc;
}


/* NGX_DECLINED: gone meanwhile */

static ngx_int_t
ngx_http_acr_store_stat(ngx_http_acr_store_path_t *path, struct stat *st,
    ngx_log_t *log)
{
    if (lstat(path->data, st) == 0) {
        return NGX_OK;
    }

    if (ngx_http_acr_store_gone(ngx_errno)) {
        return NGX_DECLINED;
    }

    return ngx_http_acr_store_failed(log, ngx_errno, "lstat()", path->data);
}
