
/*
 * The walk over all blobs.
 */

#include "ngx_http_acr_store_path.h"


#define NGX_HTTP_ACR_STORE_FANOUT  256


struct ngx_http_acr_store_blobs_s {
    ngx_http_acr_store_t        *store;
    unsigned                     alg;      /* algorithms are numbered in the
                                              order of their names */
    ngx_uint_t                   first;    /* two digits of the directory */
    DIR                         *dir;
    size_t                       len;      /* of its path */
    ngx_uint_t                   warned;
    int64_t                      used;     /* the last one */
    ngx_http_acr_store_path_t    path;
};


static ngx_int_t ngx_http_acr_store_blobs_enter(
    ngx_http_acr_store_blobs_t *blobs, ngx_log_t *log);
static void ngx_http_acr_store_blobs_forth(ngx_http_acr_store_blobs_t *blobs);
static ngx_int_t ngx_http_acr_store_blobs_one(
    ngx_http_acr_store_blobs_t *blobs, const char *name, acr_digest_t *digest,
    off_t *size, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_blobs_digest(
    ngx_http_acr_store_blobs_t *blobs, const char *name,
    acr_digest_t *digest);
static void ngx_http_acr_store_blobs_seek(ngx_http_acr_store_blobs_t *blobs,
    const char *after);
static ngx_int_t ngx_http_acr_store_blobs_hex(char c);


static const char  ngx_http_acr_store_hex[] = "0123456789abcdef";


ngx_http_acr_store_blobs_t *
ngx_http_acr_store_blobs_open(ngx_http_acr_store_t *store, const char *after,
    ngx_log_t *log)
{
    ngx_http_acr_store_blobs_t  *blobs;

    blobs = ngx_alloc(sizeof(ngx_http_acr_store_blobs_t), log);

    if (blobs == NULL) {
        return NULL;
    }

    blobs->store = store;
    blobs->alg = 0;
    blobs->first = 0;
    blobs->dir = NULL;
    blobs->used = 0;

    if (after) {
        ngx_http_acr_store_blobs_seek(blobs, after);
    }

    return blobs;
}


ngx_int_t
ngx_http_acr_store_blobs_next(ngx_http_acr_store_blobs_t *blobs,
    acr_digest_t *digest, off_t *size, ngx_log_t *log)
{
    ngx_int_t    rc;
    const char  *name;

    while (acr_algorithm_by_id(blobs->alg)) {

        if (blobs->dir == NULL) {
            rc = ngx_http_acr_store_blobs_enter(blobs, log);

            if (rc != NGX_OK) {
                ngx_http_acr_store_blobs_forth(blobs);

                if (rc != NGX_DECLINED) {
                    return rc;
                }

                continue;
            }
        }

        ngx_http_acr_store_path_cut(&blobs->path, blobs->len);

        rc = ngx_http_acr_store_dir_read(blobs->dir, &blobs->path, &name,
                                         log);

        if (rc != NGX_OK) {
            ngx_http_acr_store_blobs_forth(blobs);

            if (rc != NGX_DONE) {
                return rc;
            }

            continue;
        }

        rc = ngx_http_acr_store_blobs_one(blobs, name, digest, size, log);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    return NGX_DONE;
}


int64_t
ngx_http_acr_store_blobs_used(ngx_http_acr_store_blobs_t *blobs)
{
    return blobs->used;
}


void
ngx_http_acr_store_blobs_at(ngx_http_acr_store_blobs_t *blobs, char *buf)
{
    u_char                 *p;
    ngx_uint_t              first;
    const acr_algorithm_t  *alg;

    first = blobs->first;
    alg = acr_algorithm_by_id(blobs->alg);

    if (alg == NULL) {
        first = NGX_HTTP_ACR_STORE_FANOUT - 1;
        alg = acr_algorithm_by_id(blobs->alg - 1);
    }

    p = ngx_cpymem(buf, alg->name, alg->name_len);

    *p++ = '/';
    *p++ = ngx_http_acr_store_hex[first >> 4];
    *p++ = ngx_http_acr_store_hex[first & 0x0f];
    *p = '\0';
}


void
ngx_http_acr_store_blobs_close(ngx_http_acr_store_blobs_t *blobs)
{
    if (blobs->dir) {
        (void) closedir(blobs->dir);
    }

    ngx_free(blobs);
}


static ngx_int_t
ngx_http_acr_store_blobs_enter(ngx_http_acr_store_blobs_t *blobs,
    ngx_log_t *log)
{
    char  at[NGX_HTTP_ACR_STORE_AT];

    ngx_http_acr_store_blobs_at(blobs, at);

    ngx_http_acr_store_path_set(&blobs->path, blobs->store,
                                NGX_HTTP_ACR_STORE_BLOBS);
    ngx_http_acr_store_path_add(&blobs->path, at, ngx_strlen(at));

    blobs->len = blobs->path.len;
    blobs->warned = 0;

    return ngx_http_acr_store_dir_open(&blobs->path, &blobs->dir, log);
}


static void
ngx_http_acr_store_blobs_forth(ngx_http_acr_store_blobs_t *blobs)
{
    if (blobs->dir) {
        (void) closedir(blobs->dir);
        blobs->dir = NULL;
    }

    if (++blobs->first == NGX_HTTP_ACR_STORE_FANOUT) {
        blobs->first = 0;
        blobs->alg++;
    }
}


/* NGX_DECLINED: it is no blob */

static ngx_int_t
ngx_http_acr_store_blobs_one(ngx_http_acr_store_blobs_t *blobs,
    const char *name, acr_digest_t *digest, off_t *size, ngx_log_t *log)
{
    ngx_err_t    err;
    struct stat  st;

    ngx_http_acr_store_path_add(&blobs->path, "/", 1);
    ngx_http_acr_store_path_add(&blobs->path, name, ngx_strlen(name));

    if (ngx_http_acr_store_blobs_digest(blobs, name, digest) == NGX_OK) {

        ngx_http_acr_store_path_add(&blobs->path, "/data",
                                    sizeof("/data") - 1);

        if (stat(blobs->path.data, &st) == 0) {

            if (S_ISREG(st.st_mode)) {
                *size = st.st_size;
                blobs->used = ngx_http_acr_store_mtime(&st);
                return NGX_OK;
            }

        } else {
            err = ngx_errno;

            /* it is being stored or collected */

            if (ngx_http_acr_store_gone(err)) {
                return NGX_DECLINED;
            }

            if (err != ENOTDIR) {
                return ngx_http_acr_store_failed(log, err, "stat()",
                                                 blobs->path.data);
            }
        }
    }

    if (!blobs->warned) {
        blobs->warned = 1;

        ngx_log_error(NGX_LOG_WARN, log, 0, "acr: \"%s\" is no blob",
                      blobs->path.data);
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_acr_store_blobs_digest(ngx_http_acr_store_blobs_t *blobs,
    const char *name, acr_digest_t *digest)
{
    size_t                  len;
    u_char                 *p, text[ACR_DIGEST_MAX];
    const acr_algorithm_t  *alg;

    alg = acr_algorithm_by_id(blobs->alg);
    len = ngx_strlen(name);

    if (len != alg->hex_len
        || name[0] != ngx_http_acr_store_hex[blobs->first >> 4]
        || name[1] != ngx_http_acr_store_hex[blobs->first & 0x0f])
    {
        return NGX_DECLINED;
    }

    p = ngx_cpymem(text, alg->name, alg->name_len);
    *p++ = ':';
    p = ngx_cpymem(p, name, len);

    return acr_digest_parse(digest, text, p - text) == ACR_OK ? NGX_OK
                                                              : NGX_DECLINED;
}


static void
ngx_http_acr_store_blobs_seek(ngx_http_acr_store_blobs_t *blobs,
    const char *after)
{
    size_t                  len;
    ngx_int_t               high, low;
    const char             *p;
    const acr_algorithm_t  *alg;

    p = strchr(after, '/');
    len = ngx_strlen(after);

    if (p == NULL || len - (p - after) != sizeof("/3f") - 1) {
        return;
    }

    alg = acr_algorithm((const u_char *) after, p - after);
    high = ngx_http_acr_store_blobs_hex(p[1]);
    low = ngx_http_acr_store_blobs_hex(p[2]);

    if (alg == NULL || high == NGX_ERROR || low == NGX_ERROR) {
        return;
    }

    blobs->alg = alg->id;
    blobs->first = high << 4 | low;
}


static ngx_int_t
ngx_http_acr_store_blobs_hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : NGX_ERROR;
}
