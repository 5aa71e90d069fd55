
/*
 * Directories and what is in them.
 */

#include "ngx_http_acr_store_path.h"


static ngx_int_t ngx_http_acr_store_prune_one(ngx_http_acr_store_path_t *path,
    const char *name, void *data, ngx_log_t *log);


ngx_int_t
ngx_http_acr_store_each(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_visit_pt visit, void *data, ngx_log_t *log)
{
    DIR            *dir;
    size_t          len;
    ngx_int_t       rc, first;
    struct dirent  *entry;

    dir = opendir(path->data);

    if (dir == NULL) {

        if (ngx_http_acr_store_gone(ngx_errno) || ngx_errno == ENOTDIR) {
            return NGX_OK;
        }

        return ngx_http_acr_store_failed(log, ngx_errno, "opendir()",
                                         path->data);
    }

    first = NGX_OK;
    len = path->len;

    for ( ;; ) {
        ngx_set_errno(0);

        entry = readdir(dir);

        if (entry == NULL) {

            if (ngx_errno != 0 && !ngx_http_acr_store_gone(ngx_errno)
                && first == NGX_OK)
            {
                first = ngx_http_acr_store_failed(log, ngx_errno,
                                                  "readdir()", path->data);
            }

            break;
        }

        if (ngx_strcmp(entry->d_name, ".") == 0
            || ngx_strcmp(entry->d_name, "..") == 0)
        {
            continue;
        }

        ngx_http_acr_store_path_add(path, "/", 1);
        ngx_http_acr_store_path_add(path, entry->d_name,
                                    ngx_strlen(entry->d_name));

        if (path->len < PATH_MAX) {
            rc = visit(path, entry->d_name, data, log);

        } else {
            rc = ngx_http_acr_store_failed(log, ENAMETOOLONG, "readdir()",
                                           entry->d_name);
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
