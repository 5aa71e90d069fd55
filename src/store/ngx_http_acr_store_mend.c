
/*
 * Links of layers and revisions that do not name their digest, though its
 * content is there.  A link is empty or torn after a crash of a registry that
 * does not sync.  And Distribution keeps one file of a blob, by its sha256:
 * where a client pushed by another digest, the link of that names this file.
 */

#include "ngx_http_acr_store_path.h"


static ngx_int_t ngx_http_acr_store_mend_named(
    ngx_http_acr_store_path_t *link, acr_digest_t *digest,
    acr_digest_t *named, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_mend_check(
    ngx_http_acr_store_path_t *path, acr_digest_t *digest, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_mend_file(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *from, acr_digest_t *digest, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_mend_link(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_uint_t kind, ngx_http_acr_store_path_t *link,
    acr_digest_t *digest, ngx_log_t *log);


ngx_int_t
ngx_http_acr_store_mend(ngx_http_acr_store_t *store, ngx_str_t *repository,
    ngx_uint_t kind, acr_digest_t *digest, ngx_log_t *log)
{
    ngx_int_t                  rc;
    acr_digest_t               named;
    ngx_http_acr_store_path_t  link, path;

    ngx_http_acr_store_path_link(&link, store, repository, kind, digest);

    rc = ngx_http_acr_store_mend_named(&link, digest, &named, log);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_acr_store_path_blob(&path, store, &named);

    rc = ngx_http_acr_store_mend_check(&path, digest, log);

    if (rc == NGX_OK && !acr_digest_equal(&named, digest)) {
        rc = ngx_http_acr_store_mend_file(store, &path, digest, log);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_acr_store_mend_link(store, repository, kind, &link,
                                        digest, log);
}


/*
 * Whose file should have the content: that of a torn link is the digest's own.
 * NGX_DECLINED: there is no link, or one that names what it cannot mean.
 */

static ngx_int_t
ngx_http_acr_store_mend_named(ngx_http_acr_store_path_t *link,
    acr_digest_t *digest, acr_digest_t *named, ngx_log_t *log)
{
    ngx_int_t  rc;

    rc = ngx_http_acr_store_link_read(link, named, NULL, log);

    if (rc == NGX_ABORT) {
        *named = *digest;
        return NGX_OK;
    }

    if (rc == NGX_OK && named->alg == digest->alg
        && !acr_digest_equal(named, digest))
    {
        return NGX_DECLINED;
    }

    return rc;
}


/* NGX_DECLINED: the file is not there, or has another digest */

static ngx_int_t
ngx_http_acr_store_mend_check(ngx_http_acr_store_path_t *path,
    acr_digest_t *digest, ngx_log_t *log)
{
    int           fd;
    off_t         size;
    ngx_int_t     rc;
    acr_hash_t    hash;
    acr_digest_t  found;

    rc = ngx_http_acr_store_open_blob(path, &fd, &size, log);

    if (rc != NGX_OK) {
        return rc;
    }

    acr_hash_init(&hash, digest->alg);

    rc = ngx_http_acr_store_hash(fd, size, &hash, log);

    (void) close(fd);

    if (rc != NGX_OK) {
        return rc;
    }

    acr_hash_final(&hash, &found);

    return acr_digest_equal(&found, digest) ? NGX_OK : NGX_DECLINED;
}


/* a second name for the file */

static ngx_int_t
ngx_http_acr_store_mend_file(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *from, acr_digest_t *digest, ngx_log_t *log)
{
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  temp;

    rc = ngx_http_acr_store_link_temp(store, from, &temp, log);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_rename_blob(store, &temp, digest, NULL, log);

    /* it is still there also if both names were of one file already */

    (void) ngx_http_acr_store_unlink(&temp, log);

    return rc;
}


/* under the lock of the name: the link may have been removed meanwhile */

static ngx_int_t
ngx_http_acr_store_mend_link(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_uint_t kind, ngx_http_acr_store_path_t *link,
    acr_digest_t *digest, ngx_log_t *log)
{
    int           lock;
    u_char        text[ACR_DIGEST_MAX];
    ngx_int_t     rc;
    ngx_str_t     name;
    acr_digest_t  now;

    name.data = text;
    name.len = acr_digest_print(text, digest);

    rc = ngx_http_acr_store_lock_wait(store, repository, &name, &lock, log);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_mend_named(link, digest, &now, log);

    if (rc == NGX_OK) {
        rc = ngx_http_acr_store_link(store, repository, kind, digest, log);
    }

    (void) close(lock);

    if (rc == NGX_OK) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "acr: link \"%s\" was mended: the content is there",
                      link->data);
    }

    return rc;
}
