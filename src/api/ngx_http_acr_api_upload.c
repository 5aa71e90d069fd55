
/*
 * Upload sessions: POST begins one (or does all at once, or mounts), GET tells
 * how far it is, DELETE cancels it, PATCH and PUT take it over and go on.
 */

#include "ngx_http_acr_upload.h"
#include "../auth/ngx_http_acr_auth.h"

#include <openssl/rand.h>


static void ngx_http_acr_upload_post_mount(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u, ngx_str_t *mount);
static void ngx_http_acr_upload_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_upload_created(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_upload_ask(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, ngx_uint_t script, ngx_http_acr_answer_pt next);
static ngx_http_acr_upload_t *ngx_http_acr_upload_open(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_upload_status(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_upload_cancelled(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_upload_deleted(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static ngx_int_t ngx_http_acr_upload_range(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u);
static void ngx_http_acr_upload_take(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u);
static void ngx_http_acr_upload_taken(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static ngx_int_t ngx_http_acr_upload_resume(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u, ngx_str_t *v);
static ngx_uint_t ngx_http_acr_upload_file_valid(ngx_str_t *file);
static ngx_int_t ngx_http_acr_upload_copy(ngx_pool_t *pool, ngx_str_t *dst,
    ngx_str_t *src);
static void ngx_http_acr_upload_unknown(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_upload_close(void *data);
static ngx_int_t ngx_http_acr_upload_where(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u, ngx_str_t *text);
static ngx_uint_t ngx_http_acr_uuid_valid(ngx_str_t *uuid);


void
ngx_http_acr_upload_post(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_int_t               rc;
    ngx_str_t               text;
    ngx_http_acr_upload_t  *u;

    u = ngx_http_acr_upload_create(r, ctx);

    if (u == NULL) {
        return;
    }

    if (ngx_http_acr_uuid(r, &u->uuid) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    rc = ngx_http_acr_arg(r, "mount", &text);

    if (rc == NGX_OK) {
        ngx_http_acr_upload_post_mount(r, u, &text);
        return;
    }

    if (rc == NGX_DECLINED) {
        rc = ngx_http_acr_arg(r, "digest", &text);
    }

    if (rc == NGX_ERROR) {
        ngx_http_acr_fail(r, ACR_E_BLOB_UPLOAD_INVALID,
                          "the query is malformed", "query", &r->args);
        return;
    }

    if (rc == NGX_DECLINED) {
        ngx_http_acr_upload_post_session(r, u);
        return;
    }

    /* a blob in a single request needs no session */

    if (ngx_http_acr_need_digest(r, &u->digest, &text) != NGX_OK) {
        return;
    }

    u->finish = 1;
    acr_hash_init(&u->hash, u->digest.alg);
    ngx_str_set(&u->file, "data");

    ngx_http_acr_upload_begin(r, u);
}


/* OCI distribution-spec "Mounting a blob from another repository" */

static void
ngx_http_acr_upload_post_mount(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u, ngx_str_t *mount)
{
    ngx_int_t  rc;
    ngx_str_t  args[3];

    if (ngx_http_acr_need_digest(r, &u->digest, mount) != NGX_OK) {
        return;
    }

    rc = ngx_http_acr_arg(r, "from", &args[2]);

    if (rc == NGX_ERROR) {
        ngx_http_acr_fail(r, ACR_E_BLOB_UPLOAD_INVALID,
                          "the query is malformed", "query", &r->args);
        return;
    }

    if (rc == NGX_DECLINED) {
        ngx_str_null(&args[2]);

    } else if (!acr_name_valid(args[2].data, args[2].len)) {
        ngx_http_acr_fail(r, ACR_E_NAME_INVALID, NULL, "from", &args[2]);
        return;
    }

    /*
     * A blob is found only where the caller may read; where it is not told
     * where, nobody looks.  Both end as if it were nowhere.
     */

    if (u->ctx->conf->auth.enable
        && (args[2].len == 0
            || !(ngx_http_acr_may(u->ctx, &args[2]) & ACR_MAY_PULL)))
    {
        ngx_str_null(&u->ctx->digest);
        ngx_http_acr_upload_post_session(r, u);
        return;
    }

    args[0] = u->ctx->repository;
    args[1] = u->ctx->digest;

    ngx_http_acr_ask(r, ACR_SCRIPT_BLOB_FIND, args, 3,
                     ngx_http_acr_upload_found, u);
}


static void
ngx_http_acr_upload_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_upload_t *u = data;

    if (reply->status != NGX_HTTP_ACR_META_OK) {
        ngx_str_null(&u->ctx->digest);
        ngx_http_acr_upload_post_session(r, u);
        return;
    }

    u->size = NGX_ERROR;

    if (reply->n == 2) {
        u->size = ngx_atoof(reply->v[0].data, reply->v[0].len);
    }

    if (u->size == NGX_ERROR
        || ngx_http_acr_upload_copy(r->pool, &u->source, &reply->v[1])
           != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_upload_mount(r, u);
}


void
ngx_http_acr_upload_post_session(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u)
{
    u_char     ttl[NGX_TIME_T_LEN];
    ngx_int_t  rc;
    ngx_str_t  args[4];

    rc = ngx_http_acr_arg(r, "digest-algorithm", &args[2]);

    if (rc == NGX_ERROR) {
        ngx_http_acr_fail(r, ACR_E_BLOB_UPLOAD_INVALID,
                          "the query is malformed", "query", &r->args);
        return;
    }

    if (rc == NGX_DECLINED) {
        ngx_str_set(&args[2], "sha256");

    } else if (acr_algorithm(args[2].data, args[2].len) == NULL) {
        ngx_http_acr_fail(r, ACR_E_DIGEST_INVALID,
                          "the algorithm is not supported",
                          "digest-algorithm", &args[2]);
        return;
    }

    args[0] = u->uuid;
    args[1] = u->ctx->repository;

    args[3].data = ttl;
    args[3].len = ngx_sprintf(ttl, "%T", u->ctx->conf->upload_expires) - ttl;

    ngx_http_acr_ask(r, ACR_SCRIPT_UPLOAD_CREATE, args, 4,
                     ngx_http_acr_upload_created, u);
}


static void
ngx_http_acr_upload_created(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_upload_t *u = data;

    if (reply->status != NGX_HTTP_ACR_META_OK
        || ngx_http_acr_upload_headers(r, u, 0) != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_send_status(r, NGX_HTTP_ACCEPTED);
}


void
ngx_http_acr_upload_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_upload_ask(r, ctx, ACR_SCRIPT_UPLOAD_GET,
                            ngx_http_acr_upload_status);
}


static void
ngx_http_acr_upload_status(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_upload_t *u = data;

    if (reply->status != NGX_HTTP_ACR_META_OK) {
        ngx_http_acr_upload_not_ok(r, u, reply->status);
        return;
    }

    if (ngx_http_acr_upload_where(r, u, &reply->v[0]) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_send_status(r, NGX_HTTP_NO_CONTENT);
}


void
ngx_http_acr_upload_delete(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_upload_ask(r, ctx, ACR_SCRIPT_UPLOAD_CANCEL,
                            ngx_http_acr_upload_cancelled);
}


static void
ngx_http_acr_upload_cancelled(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    if (reply->status != NGX_HTTP_ACR_META_OK) {
        ngx_http_acr_upload_not_ok(r, data, reply->status);
        return;
    }

    ngx_http_acr_upload_discard(r, data, ngx_http_acr_upload_deleted);
}


static void
ngx_http_acr_upload_deleted(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_send_status(r, NGX_HTTP_NO_CONTENT);
}


void
ngx_http_acr_upload_patch(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_upload_t  *u;

    u = ngx_http_acr_upload_open(r, ctx);

    if (u == NULL || ngx_http_acr_upload_range(r, u) != NGX_OK) {
        return;
    }

    ngx_http_acr_upload_take(r, u);
}


void
ngx_http_acr_upload_put(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_int_t               rc;
    ngx_str_t               text;
    ngx_http_acr_upload_t  *u;

    u = ngx_http_acr_upload_open(r, ctx);

    if (u == NULL) {
        return;
    }

    rc = ngx_http_acr_arg(r, "digest", &text);

    if (rc != NGX_OK) {
        ngx_http_acr_fail(r, ACR_E_DIGEST_INVALID,
                          "the parameter \"digest\" is missing", NULL, NULL);
        return;
    }

    if (ngx_http_acr_need_digest(r, &u->digest, &text) != NGX_OK
        || ngx_http_acr_upload_range(r, u) != NGX_OK)
    {
        return;
    }

    u->finish = 1;

    ngx_http_acr_upload_take(r, u);
}


/* asks about the session that the path names */

static void
ngx_http_acr_upload_ask(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_uint_t script, ngx_http_acr_answer_pt next)
{
    ngx_str_t               args[2];
    ngx_http_acr_upload_t  *u;

    u = ngx_http_acr_upload_open(r, ctx);

    if (u == NULL) {
        return;
    }

    args[0] = u->uuid;
    args[1] = ctx->repository;

    ngx_http_acr_ask(r, script, args, 2, next, u);
}


/* the session that the path names */

static ngx_http_acr_upload_t *
ngx_http_acr_upload_open(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_upload_t  *u;

    if (!ngx_http_acr_uuid_valid(&ctx->reference)) {
        ngx_http_acr_fail(r, ACR_E_BLOB_UPLOAD_UNKNOWN, NULL, "uuid",
                          &ctx->reference);
        return NULL;
    }

    u = ngx_http_acr_upload_create(r, ctx);

    if (u != NULL) {
        u->uuid = ctx->reference;
    }

    return u;
}


/*
 * Reads Content-Range, and checks it against the length if that is known.
 * NGX_OK, or NGX_DONE after it has failed the request.
 */

static ngx_int_t
ngx_http_acr_upload_range(ngx_http_request_t *r, ngx_http_acr_upload_t *u)
{
    off_t       length;
    ngx_str_t  *value;

    length = r->headers_in.content_length_n;

    /* without a body there is nothing that could be in the wrong place */

    if (r->headers_in.content_range == NULL || length == 0) {
        return NGX_OK;
    }

    value = &r->headers_in.content_range->value;

    if (acr_range_parse(&u->range, value->data, value->len) != ACR_OK) {
        ngx_http_acr_fail(r, ACR_E_BLOB_UPLOAD_INVALID,
                          "Content-Range is malformed", "range", value);
        return NGX_DONE;
    }

    u->has_range = 1;

    if (length > 0
        && (uint64_t) length != u->range.end - u->range.start + 1)
    {
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_REQUEST, ACR_E_SIZE_INVALID,
                                 "Content-Range contradicts Content-Length",
                                 "range", value);
        return NGX_DONE;
    }

    return NGX_OK;
}


/* makes this request the session's owner */

static void
ngx_http_acr_upload_take(ngx_http_request_t *r, ngx_http_acr_upload_t *u)
{
    u_char     start[NGX_INT64_LEN], ttl[NGX_TIME_T_LEN];
    ngx_str_t  args[4];

    args[0] = u->uuid;
    args[1] = u->ctx->repository;

    args[2].data = start;
    args[2].len = u->has_range
                  ? (size_t) (ngx_sprintf(start, "%uL", u->range.start)
                              - start)
                  : 0;

    args[3].data = ttl;
    args[3].len = ngx_sprintf(ttl, "%T", u->ctx->conf->upload_expires) - ttl;

    ngx_http_acr_ask(r, ACR_SCRIPT_UPLOAD_TAKE, args, 4,
                     ngx_http_acr_upload_taken, u);
}


static void
ngx_http_acr_upload_taken(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_upload_t *u = data;

    if (reply->status == NGX_HTTP_ACR_META_RANGE) {
        if (ngx_http_acr_upload_where(r, u, &reply->v[0]) != NGX_OK) {
            ngx_http_acr_fail_errno(r, NGX_ERROR);
            return;
        }

        ngx_http_acr_fail_status(r, NGX_HTTP_RANGE_NOT_SATISFIABLE,
                                 ACR_E_BLOB_UPLOAD_INVALID,
                                 "the chunk does not begin where the upload "
                                 "ends", "range",
                                 &r->headers_in.content_range->value);
        return;
    }

    if (reply->status != NGX_HTTP_ACR_META_OK) {
        ngx_http_acr_upload_not_ok(r, u, reply->status);
        return;
    }

    if (ngx_http_acr_upload_resume(r, u, reply->v) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_upload_begin(r, u);
}


/*
 * Takes over what upload_take.lua gave: owner, offset, algorithm, hash state,
 * staging file, whether the owner before has let it go, and whether Redis may
 * have lost a part of that.  If it has not let go, it may still write, so this
 * owner has a file of its own.
 */

static ngx_int_t
ngx_http_acr_upload_resume(ngx_http_request_t *r, ngx_http_acr_upload_t *u,
    ngx_str_t *v)
{
    u_char                 *p;
    const acr_algorithm_t  *alg;

    u->offset = ngx_atoof(v[1].data, v[1].len);
    alg = acr_algorithm(v[2].data, v[2].len);
    u->clean = (v[5].len == 1 && v[5].data[0] == '1');
    u->doubt = (v[6].len == 1 && v[6].data[0] == '1');

    u->start = u->offset;
    u->point = u->offset;

    if (u->offset == NGX_ERROR || alg == NULL
        || ngx_atoof(v[0].data, v[0].len) == NGX_ERROR
        || !ngx_http_acr_upload_file_valid(&v[4]))
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "acr: upload %V of \"%V\" has no usable entry in Redis",
                      &u->uuid, &u->ctx->repository);
        return NGX_ERROR;
    }

    if (ngx_http_acr_upload_copy(r->pool, &u->owner, &v[0]) != NGX_OK
        || ngx_http_acr_upload_copy(r->pool, &u->from, &v[4]) != NGX_OK)
    {
        return NGX_ERROR;
    }

    acr_hash_init(&u->hash, alg);

    if (v[3].len
        && acr_hash_restore(&u->hash, v[3].data, v[3].len) != ACR_OK)
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "acr: upload %V of \"%V\" has no usable digest state",
                      &u->uuid, &u->ctx->repository);
        return NGX_ERROR;
    }

    if (u->clean && u->from.len) {
        u->file = u->from;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, sizeof("data.") - 1 + u->owner.len);

    if (p == NULL) {
        return NGX_ERROR;
    }

    u->file.data = p;
    u->file.len = ngx_sprintf(p, "data.%V", &u->owner) - p;

    return NGX_OK;
}


/* "data", or "data." and the number of an owner; empty before the first save */

static ngx_uint_t
ngx_http_acr_upload_file_valid(ngx_str_t *file)
{
    size_t  n;

    n = sizeof("data") - 1;

    if (file->len == 0) {
        return 1;
    }

    if (file->len < n || ngx_memcmp(file->data, "data", n) != 0) {
        return 0;
    }

    return file->len == n
           || (file->data[n] == '.'
               && ngx_atoof(file->data + n + 1, file->len - n - 1)
                  != NGX_ERROR);
}


static ngx_int_t
ngx_http_acr_upload_copy(ngx_pool_t *pool, ngx_str_t *dst, ngx_str_t *src)
{
    dst->len = src->len;
    dst->data = ngx_pstrdup(pool, src);

    return (dst->data == NULL && src->len) ? NGX_ERROR : NGX_OK;
}


ngx_http_acr_upload_t *
ngx_http_acr_upload_create(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_pool_cleanup_t     *cln;
    ngx_http_acr_upload_t  *u;

    u = ngx_pcalloc(r->pool, sizeof(ngx_http_acr_upload_t));
    cln = ngx_pool_cleanup_add(r->pool, 0);

    if (u == NULL || cln == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NULL;
    }

    u->request = r;
    u->ctx = ctx;
    u->fd = -1;
    u->lock = -1;

    cln->handler = ngx_http_acr_upload_close;
    cln->data = u;

    return u;
}


static void
ngx_http_acr_upload_close(void *data)
{
    ngx_http_acr_upload_t *u = data;

    if (u->fd != -1 && close(u->fd) == -1) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                      "acr: close() of an upload failed");
    }

    ngx_http_acr_store_unlock(&u->lock, ngx_cycle->log);
    ngx_http_acr_store_unlock_names(&u->change.locks, ngx_cycle->log);
}


/* the same headers, with the offset as a script gives it */

static ngx_int_t
ngx_http_acr_upload_where(ngx_http_request_t *r, ngx_http_acr_upload_t *u,
    ngx_str_t *text)
{
    off_t  offset;

    offset = ngx_atoof(text->data, text->len);

    if (offset == NGX_ERROR) {
        return NGX_ERROR;
    }

    return ngx_http_acr_upload_headers(r, u, offset);
}


ngx_int_t
ngx_http_acr_upload_headers(ngx_http_request_t *r, ngx_http_acr_upload_t *u,
    off_t offset)
{
    /*
     * "0-0" for an upload that is still empty is what Docker's registry says
     * and its clients expect; the specification has no way to say it.
     */

    if (ngx_http_acr_location(r, "/v2/%V/blobs/uploads/%V",
                              &u->ctx->repository, &u->uuid)
        != NGX_OK
        || ngx_http_acr_header_printf(r, "Range", "0-%O",
                                      offset ? offset - 1 : 0)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_acr_header(r, "Docker-Upload-UUID", &u->uuid);
}


void
ngx_http_acr_upload_not_ok(ngx_http_request_t *r, ngx_http_acr_upload_t *u,
    ngx_http_acr_meta_status_e status)
{
    if (status == NGX_HTTP_ACR_META_LOST) {
        ngx_http_acr_fail_status(r, NGX_HTTP_CONFLICT,
                                 ACR_E_BLOB_UPLOAD_INVALID,
                                 "another request has taken this upload over",
                                 "uuid", &u->uuid);
        return;
    }

    if (status == NGX_HTTP_ACR_META_UNKNOWN) {

        /* it was closed or cancelled; this request may have come too late to
           see its files go */

        ngx_http_acr_upload_discard(r, u, ngx_http_acr_upload_unknown);
        return;
    }

    if (status == NGX_HTTP_ACR_META_LOCKED) {
        ngx_http_acr_locked(r);
        return;
    }

    ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                  "acr: unexpected answer %d about upload %V",
                  (int) status, &u->uuid);

    ngx_http_acr_fail_errno(r, NGX_ERROR);
}


static void
ngx_http_acr_upload_unknown(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_upload_t *u = data;

    ngx_http_acr_fail(r, ACR_E_BLOB_UPLOAD_UNKNOWN, NULL, "uuid", &u->uuid);
}


ngx_int_t
ngx_http_acr_uuid(ngx_http_request_t *r, ngx_str_t *uuid)
{
    u_char      *p, bytes[16];
    ngx_uint_t   i;

    p = ngx_pnalloc(r->pool, NGX_HTTP_ACR_UUID_LEN);

    if (p == NULL) {
        return NGX_ERROR;
    }

    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        ngx_log_error(NGX_LOG_CRIT, r->connection->log, 0,
                      "acr: RAND_bytes() failed");
        return NGX_ERROR;
    }

    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;

    uuid->data = p;
    uuid->len = NGX_HTTP_ACR_UUID_LEN;

    for (i = 0; i < sizeof(bytes); i++) {

        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *p++ = '-';
        }

        p = ngx_hex_dump(p, &bytes[i], 1);
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_acr_uuid_valid(ngx_str_t *uuid)
{
    u_char  c;
    size_t  i;

    if (uuid->len != NGX_HTTP_ACR_UUID_LEN) {
        return 0;
    }

    for (i = 0; i < uuid->len; i++) {
        c = uuid->data[i];

        if (i == 8 || i == 13 || i == 18 || i == 23) {

            if (c != '-') {
                return 0;
            }

        } else if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return 0;
        }
    }

    return 1;
}
