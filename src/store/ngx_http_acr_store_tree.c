
/*
 * Directories and what is in them.
 */

#include "ngx_http_acr_store_path.h"


static ngx_int_t ngx_http_acr_store_prune_one(ngx_http_acr_store_path_t *path,
    const char *name, void *data, ngx_log_t *log);


ngx_int_t
ngx_http_acr_store_dir_open(ngx_http_acr_store_path_t *path, DIR **dir,
    ngx_log_t *log)
{
    *dir = opendir(path->data);

    if (*dir) {
        return NGX_OK;
    }

    if (ngx_http_acr_store_gone(ngx_errno) || ngx_errno == ENOTDIR) {
        return NGX_DECLINED;
    }

    return ngx_http_acr_store_failed(log, ngx_errno, "opendir()", path->data);
}


ngx_int_t
ngx_http_acr_store_dir_read(DIR *dir, ngx_http_acr_store_path_t *path,
    const char **name, ngx_log_t *log)
{
    struct dirent  *entry;

    *name = "";

    do {
        ngx_set_errno(0);

        entry = readdir(dir);

        if (entry == NULL) {

            if (ngx_errno == 0 || ngx_http_acr_store_gone(ngx_errno)) {
                return NGX_DONE;
            }

            return ngx_http_acr_store_failed(log, ngx_errno, "readdir()",
                                             path->data);
        }

    } while (ngx_strcmp(entry->d_name, ".") == 0
             || ngx_strcmp(entry->d_name, "..") == 0);

    *name = entry->d_name;

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_store_each(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_visit_pt visit, void *data, ngx_log_t *log)
{
    DIR         *dir;
    size_t       len;
    ngx_int_t    rc, first;
    const char  *name;

    rc = ngx_http_acr_store_dir_open(path, &dir, log);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    first = NGX_OK;
    len = path->len;

    for ( ;; ) {
        rc = ngx_http_acr_store_dir_read(dir, path, &name, log);

        if (rc != NGX_OK) {

            if (rc != NGX_DONE && first == NGX_OK) {
                first = rc;
            }

            break;
        }

        ngx_http_acr_store_path_add(path, "/", 1);
        ngx_http_acr_store_path_add(path, name, ngx_strlen(name));

        if (path->len < PATH_MAX) {
            rc = visit(path, name, data, log);

        } else {
            rc = ngx_http_acr_store_failed(log, ENAMETOOLONG, "readdir()",
                                           name);
        }

        ngx_http_acr_store_path_cut(path, len);

        if (rc != NGX_OK && first == NGX_OK) {
            first = rc;
        }
    }

    (void) closedir(dir);

    return first;
}


ngx_int_t
ngx_http_acr_store_stat(ngx_http_acr_store_path_t *path, struct stat *st,
    ngx_log_t *log)
{
    if (lstat(path->data, st) == 0) {
        return NGX_OK;
    }

    if (ngx_http_acr_store_gone(ngx_errno) || ngx_errno == ENOTDIR) {
        return NGX_DECLINED;
    }

    return ngx_http_acr_store_failed(log, ngx_errno, "lstat()", path->data);
}


ngx_int_t
ngx_http_acr_store_prune(ngx_http_acr_store_path_t *path, ngx_log_t *log)
{
    ngx_uint_t  depth;

    depth = 0;

    return ngx_http_acr_store_prune_one(path, NULL, &depth, log);
}


static ngx_int_t
ngx_http_acr_store_prune_one(ngx_http_acr_store_path_t *path,
    const char *name, void *data, ngx_log_t *log)
{
    ngx_uint_t  *depth = data;

    ngx_int_t  rc;

    if (unlink(path->data) == 0 || ngx_http_acr_store_gone(ngx_errno)) {
        return NGX_OK;
    }

    if (ngx_errno != EISDIR) {
        return ngx_http_acr_store_failed(log, ngx_errno, "unlink()",
                                         path->data);
    }

    if (*depth == NGX_HTTP_ACR_STORE_DEPTH) {
        return ngx_http_acr_store_failed(log, ELOOP, "rmdir()", path->data);
    }

    (*depth)++;

    rc = ngx_http_acr_store_each(path, ngx_http_acr_store_prune_one, depth,
                                 log);
    (*depth)--;

    return rc == NGX_OK ? ngx_http_acr_store_rmdir(path, log) : rc;
}


ngx_int_t
ngx_http_acr_store_prune_above(ngx_http_acr_store_path_t *path, size_t keep,
    ngx_log_t *log)
{
    char  *p;

    for ( ;; ) {
        p = strrchr(path->data, '/');

        if (p == NULL || (size_t) (p - path->data) <= keep) {
            return NGX_OK;
        }

        ngx_http_acr_store_path_cut(path, p - path->data);

        while (rmdir(path->data) == -1) {

            if (ngx_http_acr_store_gone(ngx_errno)) {
                break;
            }

            if (ngx_errno == ENOTEMPTY || ngx_errno == EEXIST) {
                return NGX_OK;
            }

            if (ngx_errno != EINTR) {
                return ngx_http_acr_store_failed(log, ngx_errno, "rmdir()",
                                                 path->data);
            }
        }
    }
}
