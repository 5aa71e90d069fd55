
/*
 * What a registry keeps beside the layout, a JSON file each that is replaced as
 * a whole: DESIGN "Layout on disk".
 */

#include "ngx_http_acr_store_path.h"


static ngx_int_t ngx_http_acr_store_document_write(
    ngx_http_acr_store_t *store, const ngx_http_acr_store_document_t *document,
    const u_char *p, size_t n, ngx_log_t *log);


/* hashes of passwords are of no use to other users */

const ngx_http_acr_store_document_t  ngx_http_acr_store_access = {
    "/acr/access.json", ngx_string("access.json"), 32 * 1024 * 1024, 0600
};

const ngx_http_acr_store_document_t  ngx_http_acr_store_rules = {
    "/acr/rules.json", ngx_string("rules.json"), 4 * 1024 * 1024, 0644
};


ngx_int_t
ngx_http_acr_store_document_read(ngx_http_acr_store_t *store,
    const ngx_http_acr_store_document_t *document,
    ngx_http_acr_store_version_t *version, u_char **p, size_t *n,
    ngx_log_t *log)
{
    ngx_int_t                     rc;
    struct stat                   st;
    ngx_http_acr_store_path_t     path;
    ngx_http_acr_store_version_t  now;

    *p = NULL;
    *n = 0;

    ngx_http_acr_store_path_set(&path, store, document->path);
    ngx_memzero(&now, sizeof(ngx_http_acr_store_version_t));

    if (stat(path.data, &st) == -1) {

        if (ngx_errno != ENOENT) {
            return ngx_http_acr_store_failed(log, ngx_errno, "stat()",
                                             path.data);
        }

        /* not so if the volume is away: then nothing has been taken back */

        if (ngx_http_acr_store_probe_read(store) != NGX_OK) {
            return ENOENT;
        }

        now.known = 1;

    } else {

        if (!S_ISREG(st.st_mode)) {
            return ngx_http_acr_store_failed(log, EINVAL, "stat()", path.data);
        }

        if (st.st_size > document->max) {
            return ngx_http_acr_store_failed(log, EFBIG, "stat()", path.data);
        }

        now.known = 1;
        now.ino = st.st_ino;
        now.size = st.st_size;
        now.sec = st.st_mtim.tv_sec;
        now.nsec = st.st_mtim.tv_nsec;
    }

    if (version && ngx_memcmp(version, &now, sizeof(now)) == 0) {
        return NGX_DECLINED;
    }

    if (now.ino) {

        /* one byte more shows that it has grown */

        *n = (size_t) st.st_size + 1;
        *p = ngx_alloc(*n, log);

        if (*p == NULL) {
            return ENOMEM;
        }

        rc = ngx_http_acr_store_read(&path, *p, n, NULL, log);

        if (rc == NGX_OK && *n != (size_t) st.st_size) {
            rc = ngx_http_acr_store_failed(log, EAGAIN, "read()", path.data);
        }

        if (rc != NGX_OK) {
            ngx_free(*p);
            *p = NULL;

            /* replaced between the two: the next look will tell */

            return rc == NGX_DECLINED ? EAGAIN : rc;
        }
    }

    if (version) {
        *version = now;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_store_document_change(ngx_http_acr_store_t *store,
    const ngx_http_acr_store_document_t *document,
    ngx_http_acr_store_change_pt change, void *data, ngx_log_t *log)
{
    int               lock;
    char              newer[NGX_HTTP_ACR_STORE_NEWER];
    size_t            n, len;
    u_char           *p, *text;
    ngx_int_t         rc;
    ngx_str_t         name;

    static ngx_str_t  nobody = ngx_string("");

    name = document->name;

    /* of a newer volume the lock may be another one */

    rc = ngx_http_acr_store_version(store, newer, sizeof(newer), log);

    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "acr: \"%s\": %s: %s is not changed",
                      store->root.data, newer, document->path + 1);
        return EROFS;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_lock_wait(store, &nobody, &name, &lock, log);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_document_read(store, document, NULL, &p, &n, log);

    if (rc == NGX_OK) {
        text = NULL;
        rc = change(data, p, n, &text, &len, log);

        if (rc == NGX_OK) {
            rc = ngx_http_acr_store_document_write(store, document, text, len,
                                                   log);
        }

        free(text);
        ngx_free(p);
    }

    ngx_http_acr_store_unlock(&lock, log);

    return rc;
}


static ngx_int_t
ngx_http_acr_store_document_write(ngx_http_acr_store_t *store,
    const ngx_http_acr_store_document_t *document, const u_char *p, size_t n,
    ngx_log_t *log)
{
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  path, temp;

    ngx_http_acr_store_path_set(&path, store, document->path);

    rc = ngx_http_acr_store_write_temp(store, &temp, p, n, log);

    if (rc != NGX_OK) {
        return rc;
    }

    if (chmod(temp.data, document->mode) == -1) {
        rc = ngx_http_acr_store_failed(log, ngx_errno, "chmod()", temp.data);

    } else {
        rc = ngx_http_acr_store_rename(store, &temp, &path, log);
    }

    if (rc != NGX_OK) {
        (void) ngx_http_acr_store_unlink(&temp, log);
        return rc;
    }

    rc = ngx_http_acr_store_sync_above(store, &path, log);

    return rc == NGX_DECLINED ? ENOENT : rc;
}
