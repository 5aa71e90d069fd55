
#include "ngx_http_acr_ahead.h"
#include "ngx_http_acr_memory.h"
#include "ngx_http_acr_response.h"
#include "ngx_http_acr_step.h"

#include <sys/uio.h>


typedef struct {
    ngx_http_acr_store_t  *store;
    acr_error_e            error;
    const char            *reason;
    const char            *key;
    ngx_str_t             *value;
} ngx_http_acr_missing_t;


static ngx_int_t ngx_http_acr_missing_probe(void *data, ngx_log_t *log);
static void ngx_http_acr_missing_probed(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static ngx_int_t ngx_http_acr_file_begin(ngx_http_request_t *r,
    ngx_uint_t by_tag, acr_error_e missing);
static ngx_int_t ngx_http_acr_file_content(ngx_http_request_t *r, off_t *size,
    ngx_buf_t *b);
static ngx_int_t ngx_http_acr_file_open(ngx_http_request_t *r, off_t size,
    ngx_str_t *path, ngx_open_file_info_t *of);
static ngx_int_t ngx_http_acr_file_try(ngx_http_request_t *r,
    ngx_open_file_cache_t *cache, ngx_str_t *path, ngx_open_file_info_t *of);
static ngx_int_t ngx_http_acr_file_read(ngx_http_request_t *r, ngx_fd_t fd,
    off_t size, ngx_buf_t *b);
static ngx_int_t ngx_http_acr_file_headers(ngx_http_request_t *r,
    ngx_str_t *digest, ngx_uint_t by_tag);
static ngx_uint_t ngx_http_acr_file_match(ngx_str_t *list, ngx_str_t *digest);


void
ngx_http_acr_send_content(ngx_http_request_t *r, off_t size, ngx_str_t *type,
    ngx_uint_t by_tag, acr_error_e missing)
{
    ngx_int_t   rc;
    ngx_buf_t  *b;
    ngx_str_t  *digest;

    digest = &ngx_http_acr_get_ctx(r)->digest;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    rc = ngx_http_acr_open_content(r, &size, b);

    if (rc == NGX_DECLINED) {
        ngx_http_acr_missing(r, missing, "the content is missing", "digest",
                             digest);
        return;
    }

    if (rc != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_send_opened(r, size, type, by_tag, missing, b);
}


ngx_int_t
ngx_http_acr_open_content(ngx_http_request_t *r, off_t *size, ngx_buf_t *b)
{
    ngx_int_t  rc;

    rc = (*size == NGX_HTTP_ACR_SIZE_UNKNOWN)
         ? NGX_DECLINED : ngx_http_acr_memory_content(r, *size, b);

    return (rc == NGX_DECLINED) ? ngx_http_acr_file_content(r, size, b) : rc;
}


void
ngx_http_acr_send_opened(ngx_http_request_t *r, off_t size, ngx_str_t *type,
    ngx_uint_t by_tag, acr_error_e missing, ngx_buf_t *b)
{
    if (ngx_http_acr_file_begin(r, by_tag, missing) != NGX_OK) {
        return;
    }

    r->allow_ranges = size ? 1 : 0;

    ngx_http_acr_send_buf(r, NGX_HTTP_OK, type, size, b);
}


ngx_int_t
ngx_http_acr_send_part(ngx_http_request_t *r, acr_range_t *range, off_t size,
    ngx_str_t *type, ngx_uint_t by_tag, acr_error_e missing)
{
    if (ngx_http_acr_file_begin(r, by_tag, missing) != NGX_OK) {
        return NGX_DONE;
    }

    if (ngx_http_acr_header_printf(r, "Content-Range", "bytes %uL-%uL/%O",
                                   range->start, range->end, size)
        != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NGX_DONE;
    }

    return ngx_http_acr_send_head(r, NGX_HTTP_PARTIAL_CONTENT, type,
                                  range->end - range->start + 1);
}


/* conditions and headers; NGX_DONE: the request has ended */

static ngx_int_t
ngx_http_acr_file_begin(ngx_http_request_t *r, ngx_uint_t by_tag,
    acr_error_e missing)
{
    ngx_str_t  *digest;

    digest = &ngx_http_acr_get_ctx(r)->digest;

    /*
     * nginx would answer If-Match with its own page.  There is no date of
     * modification, so conditions on it do not count.  Ranges are of GET
     * only, and any range of nothing is nothing.
     */

    if (r->headers_in.if_match
        && !ngx_http_acr_file_match(&r->headers_in.if_match->value, digest))
    {
        ngx_http_acr_fail_status(r, NGX_HTTP_PRECONDITION_FAILED, missing,
                                 "If-Match names other content", "digest",
                                 digest);
        return NGX_DONE;
    }

    r->headers_in.if_match = NULL;
    r->headers_in.if_modified_since = NULL;
    r->headers_in.if_unmodified_since = NULL;

    if (r->method == NGX_HTTP_HEAD) {
        r->headers_in.range = NULL;
    }

    if (ngx_http_acr_file_headers(r, digest, by_tag) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NGX_DONE;
    }

    return NGX_OK;
}


void
ngx_http_acr_missing(ngx_http_request_t *r, acr_error_e error,
    const char *reason, const char *key, ngx_str_t *value)
{
    ngx_http_acr_missing_t  *missing;

    missing = ngx_palloc(r->pool, sizeof(ngx_http_acr_missing_t)
                                  + sizeof(ngx_str_t));
    if (missing == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    missing->store = &ngx_http_acr_get_ctx(r)->registry->store;
    missing->error = error;
    missing->reason = reason;
    missing->key = key;
    missing->value = (ngx_str_t *) &missing[1];
    *missing->value = *value;

    ngx_http_acr_run(r, ngx_http_acr_get_ctx(r)->registry->slow,
                     ngx_http_acr_missing_probe, missing,
                     ngx_http_acr_missing_probed);
}


static ngx_int_t
ngx_http_acr_missing_probe(void *data, ngx_log_t *log)
{
    ngx_http_acr_missing_t *missing = data;

    return ngx_http_acr_store_probe_read(missing->store);
}


static void
ngx_http_acr_missing_probed(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_missing_t *missing = data;

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_CRIT, r->connection->log, rc,
                      "acr: \"%V\" is no volume of a registry (is it "
                      "mounted?)", &missing->store->root);

        ngx_http_acr_fail(r, ACR_E_UNAVAILABLE, "the volume is away", NULL,
                          NULL);
        return;
    }

    ngx_http_acr_fail(r, missing->error, missing->reason, missing->key,
                      missing->value);
}


/* the same as ngx_http_acr_file_open(); b becomes the file's, and *size what it
   has */

static ngx_int_t
ngx_http_acr_file_content(ngx_http_request_t *r, off_t *size, ngx_buf_t *b)
{
    ngx_int_t              rc;
    ngx_str_t              path;
    ngx_open_file_info_t   of;

    rc = ngx_http_acr_file_open(r, *size, &path, &of);

    if (rc != NGX_OK) {
        return rc;
    }

    *size = of.size;

    b->file = ngx_pcalloc(r->pool, sizeof(ngx_file_t));

    if (b->file == NULL) {
        return NGX_ERROR;
    }

    b->file->fd = of.fd;
    b->file->name = path;
    b->file->log = r->connection->log;
    b->file->directio = of.is_directio;

    b->file_pos = 0;
    b->file_last = *size;
    b->in_file = *size ? 1 : 0;

    if (*size && *size <= NGX_HTTP_ACR_MEMORY_CONTENT && !of.is_directio) {
        rc = ngx_http_acr_file_read(r, of.fd, *size, b);

        if (rc == NGX_OK) {
            ngx_http_acr_memory_content_read(r, b->pos, *size);
        }
    }

    if (rc != NGX_ERROR && b->in_file) {
        rc = ngx_http_acr_ahead(r, b, NULL);
    }

    return (rc == NGX_ERROR) ? NGX_ERROR : NGX_OK;
}


/*
 * Opens the blob's file and checks its size, if that is known.  NGX_DECLINED:
 * it is not there, with a log line if somebody has said that it is; NGX_ERROR,
 * after one: anything else.
 */

static ngx_int_t
ngx_http_acr_file_open(ngx_http_request_t *r, off_t size, ngx_str_t *path,
    ngx_open_file_info_t *of)
{
    ngx_int_t                  rc;
    ngx_uint_t                 known, missing;
    acr_digest_t               digest;
    ngx_http_acr_ctx_t        *ctx;
    ngx_http_acr_store_t      *store;
    ngx_http_core_loc_conf_t  *clcf;

    ctx = ngx_http_acr_get_ctx(r);
    store = &ctx->registry->store;
    known = (size != NGX_HTTP_ACR_SIZE_UNKNOWN);

    if (acr_digest_parse(&digest, ctx->digest.data, ctx->digest.len)
        != ACR_OK)
    {
        return NGX_ERROR;
    }

    path->data = ngx_pnalloc(r->pool, ngx_http_acr_store_path_max(store));
    if (path->data == NULL) {
        return NGX_ERROR;
    }

    path->len = ngx_http_acr_store_blob_path(store, &digest, path->data);

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    rc = ngx_http_acr_file_try(r, clcf->open_file_cache, path, of);

    /*
     * nginx's cache, or the client of a network file system, may remember
     * what was there before: ask once more, past the cache.
     */

    if ((rc != NGX_OK && (of->err == NGX_ENOENT || of->err == ESTALE))
        || (rc == NGX_OK && known && of->size != size)
        || (rc == NGX_OK && clcf->open_file_cache
            && ngx_http_acr_store_stale(of->fd)))
    {
        rc = ngx_http_acr_file_try(r, NULL, path, of);
    }

    if (rc != NGX_OK) {

        if (of->err == 0) {
            return NGX_ERROR;
        }

        missing = (of->err == NGX_ENOENT || of->err == NGX_ENOTDIR
                   || of->err == ESTALE);

        if (known || !missing) {
            ngx_log_error(NGX_LOG_CRIT, r->connection->log, of->err,
                          "acr: %s \"%V\" failed, repository: \"%V\", "
                          "digest: \"%V\"",
                          of->failed, path, &ctx->repository, &ctx->digest);
        }

        return missing ? NGX_DECLINED : NGX_ERROR;
    }

    if (!of->is_file || (known && of->size != size)) {
        ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                      "acr: \"%V\" is no file of %O bytes (but of %O), "
                      "repository: \"%V\", digest: \"%V\"",
                      path, size, of->size, &ctx->repository, &ctx->digest);

        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_file_try(ngx_http_request_t *r, ngx_open_file_cache_t *cache,
    ngx_str_t *path, ngx_open_file_info_t *of)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    ngx_memzero(of, sizeof(ngx_open_file_info_t));

    of->read_ahead = clcf->read_ahead;
    of->directio = clcf->directio;
    of->valid = clcf->open_file_cache_valid;
    of->min_uses = clcf->open_file_cache_min_uses;
    of->events = clcf->open_file_cache_events;

    /* of->errors is 0: what is missing now may be there in a moment */

    if (ngx_http_set_disable_symlinks(r, clcf, path, of) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_open_cached_file(cache, path, of, r->pool);
}


/*
 * Reads a small file if that needs no waiting, because it is in the page
 * cache: then head and body go out by one call, and no thread is asked.
 * NGX_DECLINED: it is left to nginx.
 */

static ngx_int_t
ngx_http_acr_file_read(ngx_http_request_t *r, ngx_fd_t fd, off_t size,
    ngx_buf_t *b)
{
#ifdef RWF_NOWAIT

    u_char        *p;
    struct iovec   iov;

    p = b->start ? b->start : ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    iov.iov_base = p;
    iov.iov_len = size;

    if (preadv2(fd, &iov, 1, 0, RWF_NOWAIT) != (ssize_t) size) {
        return NGX_DECLINED;
    }

    b->start = p;
    b->pos = p;
    b->last = p + size;
    b->end = b->last;
    b->temporary = 1;
    b->in_file = 0;

    return NGX_OK;

#else

    return NGX_DECLINED;

#endif
}


static ngx_int_t
ngx_http_acr_file_headers(ngx_http_request_t *r, ngx_str_t *digest,
    ngx_uint_t by_tag)
{
    u_char              *p, buf[sizeof("Mon, 28 Sep 1970 06:00:00 GMT")];
    ngx_table_elt_t     *h;
    ngx_http_acr_ctx_t  *ctx;
    static ngx_str_t     public = ngx_string("public, immutable");
    static ngx_str_t     revalidate = ngx_string("no-cache");
    static ngx_str_t     immutable =
                             ngx_string("private, max-age=31536000, immutable");

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    p = ngx_pnalloc(r->pool, digest->len + 2);
    if (p == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    ngx_str_set(&h->key, "ETag");
    h->value.data = p;
    h->value.len = digest->len + 2;

    *p++ = '"';
    p = ngx_cpymem(p, digest->data, digest->len);
    *p = '"';

    r->headers_out.etag = h;

    if (ngx_http_acr_header(r, "Docker-Content-Digest", digest) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx = ngx_http_acr_get_ctx(r);

    if (ctx->expires == 0) {
        return ngx_http_acr_header(r, "Cache-Control",
                                   by_tag ? &revalidate : &immutable);
    }

    /*
     * A cache must not answer by an address that is over.  "max-age" would
     * begin anew at each cache of several that says no Age, as nginx does not;
     * a date is the same for all.
     */

    if (ngx_http_acr_header(r, "Cache-Control", &public) != NGX_OK) {
        return NGX_ERROR;
    }

    p = ngx_http_time(buf, ctx->expires);

    return ngx_http_acr_header_printf(r, "Expires", "%*s", (size_t) (p - buf),
                                      buf);
}


/* if the list of If-Match has our digest; a weak tag is never the same */

static ngx_uint_t
ngx_http_acr_file_match(ngx_str_t *list, ngx_str_t *digest)
{
    acr_text_t  rest;
    acr_etag_t  etag;

    rest.data = list->data;
    rest.len = list->len;

    if (acr_etag_any(&rest)) {
        return 1;
    }

    while (acr_etag_next(&rest, &etag) == ACR_OK) {

        if (!etag.weak && etag.tag.len == digest->len
            && ngx_memcmp(etag.tag.data, digest->data, digest->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}
