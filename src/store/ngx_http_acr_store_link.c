
/*
 * Links: small files with the text of a digest, without a newline.  What a
 * repository holds and what its tags name.
 */

#include "ngx_http_acr_store_path.h"


/* a temporary link of a put that was not applied for so long, in seconds, is
   nobody's any more */
#define NGX_HTTP_ACR_STORE_LINK_STALE  3600


static ngx_int_t ngx_http_acr_store_link_says(
    ngx_http_acr_store_path_t *path, acr_digest_t *digest, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_link_put(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, acr_digest_t *digest, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_link_remove(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, ngx_log_t *log);

static ngx_int_t ngx_http_acr_store_tag_name(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *tag, acr_digest_t *digest,
    ngx_str_t *token, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_tag_remove(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *tag, ngx_log_t *log);
static void ngx_http_acr_store_tag_clean(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *tag, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_tag_stale(ngx_http_acr_store_path_t *path,
    const char *name, void *data, ngx_log_t *log);

static void ngx_http_acr_store_index_path(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, ngx_str_t *repository, ngx_str_t *tag,
    acr_digest_t *digest);
static void ngx_http_acr_store_token_path(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, ngx_str_t *repository, ngx_str_t *tag,
    ngx_str_t *token);


ngx_int_t
ngx_http_acr_store_link(ngx_http_acr_store_t *store, ngx_str_t *repository,
    ngx_uint_t kind, acr_digest_t *digest, ngx_log_t *log)
{
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_path_link(&path, store, repository, kind, digest);

    return ngx_http_acr_store_link_put(store, &path, digest, log);
}


ngx_int_t
ngx_http_acr_store_links_apply(ngx_http_acr_store_t *store,
    ngx_str_t *repository, acr_digest_t *digest, ngx_uint_t kinds,
    ngx_log_t *log)
{
    ngx_int_t                  rc;
    ngx_uint_t                 kind;
    ngx_http_acr_store_path_t  path;

    for (kind = NGX_HTTP_ACR_LAYER; kind <= NGX_HTTP_ACR_REVISION; kind <<= 1)
    {
        ngx_http_acr_store_path_link(&path, store, repository, kind, digest);

        if (kinds & kind) {
            rc = ngx_http_acr_store_link_put(store, &path, digest, log);

        } else {
            rc = ngx_http_acr_store_link_remove(store, &path, log);
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (!(kinds & NGX_HTTP_ACR_REVISION)) {
        return ngx_http_acr_store_type_remove(store, repository, digest, log);
    }

    return NGX_OK;
}


/*
 * NGX_OK if the link is there and names the digest; NGX_DECLINED, without a
 * log line, if it is missing, torn or names another.
 */

static ngx_int_t
ngx_http_acr_store_link_says(ngx_http_acr_store_path_t *path,
    acr_digest_t *digest, ngx_log_t *log)
{
    size_t  len;
    u_char  text[ACR_DIGEST_MAX];

    len = acr_digest_print(text, digest);

    return ngx_http_acr_store_says(path, text, len, log);
}


static ngx_int_t
ngx_http_acr_store_link_put(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, acr_digest_t *digest, ngx_log_t *log)
{
    size_t  len;
    u_char  text[ACR_DIGEST_MAX];

    len = acr_digest_print(text, digest);

    return ngx_http_acr_store_replace(store, path, text, len, log);
}


/*
 * The sync comes even if there was no link: somebody may have removed it and
 * died.  The directory goes only after it, so where there is no directory
 * the removal is durable.
 */

static ngx_int_t
ngx_http_acr_store_link_remove(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, ngx_log_t *log)
{
    ngx_int_t  rc;

    rc = ngx_http_acr_store_unlink(path, log);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_sync_above(store, path, log);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    ngx_http_acr_store_path_cut(path, path->len - (sizeof("/link") - 1));

    return ngx_http_acr_store_rmdir(path, log);
}


/* --- tags */

ngx_int_t
ngx_http_acr_store_tag_prepare(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *tag, acr_digest_t *digest,
    ngx_str_t *token, ngx_log_t *log)
{
    size_t                     len;
    u_char                     text[ACR_DIGEST_MAX];
    ngx_int_t                  rc;
    ngx_uint_t                 n;
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_index_path(&path, store, repository, tag, digest);

    rc = ngx_http_acr_store_link_put(store, &path, digest, log);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_acr_store_token_path(&path, store, repository, tag, token);

    len = acr_digest_print(text, digest);

    for (n = 0; n < NGX_HTTP_ACR_STORE_TRIES; n++) {

        rc = ngx_http_acr_store_write(store, &path, text, len, log);
        if (rc != NGX_OK) {
            return rc;
        }

        rc = ngx_http_acr_store_sync_above(store, &path, log);

        if (rc == NGX_OK) {
            return NGX_OK;
        }

        if (rc != NGX_DECLINED) {
            (void) ngx_http_acr_store_unlink(&path, log);
            return rc;
        }
    }

    return ngx_http_acr_store_failed(log, ENOENT, "fsync()", path.data);
}


void
ngx_http_acr_store_tag_abandon(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *tag, ngx_str_t *token, ngx_log_t *log)
{
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_token_path(&path, store, repository, tag, token);

    (void) ngx_http_acr_store_unlink(&path, log);
}


ngx_int_t
ngx_http_acr_store_tag_apply(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *tag, acr_digest_t *digest,
    ngx_str_t *token, ngx_log_t *log)
{
    ngx_int_t  rc;

    if (digest) {
        rc = ngx_http_acr_store_tag_name(store, repository, tag, digest,
                                         token, log);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    /* what another put has overtaken, or what was right already */

    if (token) {
        ngx_http_acr_store_tag_abandon(store, repository, tag, token, log);
    }

    ngx_http_acr_store_tag_clean(store, repository, tag, log);

    if (digest == NULL) {
        return ngx_http_acr_store_tag_remove(store, repository, tag, log);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_store_tag_name(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *tag, acr_digest_t *digest,
    ngx_str_t *token, ngx_log_t *log)
{
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  path, temp;

    /* made by prepare, and removed since if the tag was deleted meanwhile */

    ngx_http_acr_store_index_path(&path, store, repository, tag, digest);

    rc = ngx_http_acr_store_link_says(&path, digest, log);

    if (rc == NGX_DECLINED) {
        rc = ngx_http_acr_store_link_put(store, &path, digest, log);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_acr_store_path_tag(&path, store, repository, tag,
                                "/current/link");

    rc = ngx_http_acr_store_link_says(&path, digest, log);

    if (rc == NGX_DECLINED && token) {
        ngx_http_acr_store_token_path(&temp, store, repository, tag, token);

        rc = ngx_http_acr_store_link_says(&temp, digest, log);

        if (rc == NGX_OK) {
            rc = ngx_http_acr_store_rename(store, &temp, &path, log);
        }
    }

    if (rc != NGX_OK && rc != NGX_DECLINED) {
        return rc;
    }

    /* syncs what is right by now, or does without the temporary file */

    return ngx_http_acr_store_link_put(store, &path, digest, log);
}


static ngx_int_t
ngx_http_acr_store_tag_remove(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *tag, ngx_log_t *log)
{
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_path_tag(&path, store, repository, tag,
                                "/current/link");

    rc = ngx_http_acr_store_link_remove(store, &path, log);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_acr_store_path_tag(&path, store, repository, tag, "/index");

    rc = ngx_http_acr_store_prune(&path, log);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_acr_store_path_tag(&path, store, repository, tag, "");

    return ngx_http_acr_store_rmdir(&path, log);
}


/* temporary files of puts that died; failures are only logged */

static void
ngx_http_acr_store_tag_clean(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *tag, ngx_log_t *log)
{
    time_t                     before;
    ngx_http_acr_store_path_t  path;

    before = time(NULL) - NGX_HTTP_ACR_STORE_LINK_STALE;

    ngx_http_acr_store_path_tag(&path, store, repository, tag, "/current");

    (void) ngx_http_acr_store_each(&path, ngx_http_acr_store_tag_stale,
                                   &before, log);
}


static ngx_int_t
ngx_http_acr_store_tag_stale(ngx_http_acr_store_path_t *path,
    const char *name, void *data, ngx_log_t *log)
{
    time_t  *before = data;

    struct stat  st;

    if (ngx_strncmp(name, "link.", sizeof("link.") - 1) != 0
        || lstat(path->data, &st) == -1
        || st.st_mtime > *before)
    {
        return NGX_OK;
    }

    return ngx_http_acr_store_unlink(path, log);
}


/* --- paths */

static void
ngx_http_acr_store_index_path(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, ngx_str_t *repository, ngx_str_t *tag,
    acr_digest_t *digest)
{
    ngx_http_acr_store_path_tag(path, store, repository, tag, "/index/");
    ngx_http_acr_store_path_digest(path, digest);
    ngx_http_acr_store_path_add(path, "/link", sizeof("/link") - 1);
}


static void
ngx_http_acr_store_token_path(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, ngx_str_t *repository, ngx_str_t *tag,
    ngx_str_t *token)
{
    ngx_http_acr_store_path_tag(path, store, repository, tag,
                                "/current/link.");
    ngx_http_acr_store_path_add(path, token->data, token->len);
}
