
/*
 * From a complete staging file, or a blob of another repository, to a blob of
 * this one: digest, store, index, disk step, 201.  DESIGN "Push", step 3.
 */

#include "ngx_http_acr_upload.h"


static ngx_int_t ngx_http_acr_upload_hash(void *data, ngx_log_t *log);
static void ngx_http_acr_upload_hashed(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_upload_check(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u);
static void ngx_http_acr_upload_mismatch(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_upload_mismatched(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_upload_commit(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u);
static void ngx_http_acr_upload_store(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static ngx_int_t ngx_http_acr_upload_commit_work(void *data, ngx_log_t *log);
static void ngx_http_acr_upload_stored(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_upload_committed(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_upload_undo(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u);
static void ngx_http_acr_upload_undo_link(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_upload_undone(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_upload_done(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static ngx_int_t ngx_http_acr_upload_discard_work(void *data,
    ngx_log_t *log);


void
ngx_http_acr_upload_finish(ngx_http_request_t *r, ngx_http_acr_upload_t *u)
{
    if (u->hash.alg == u->digest.alg) {
        acr_hash_final(&u->hash, &u->computed);
        ngx_http_acr_upload_check(r, u);
        return;
    }

    /*
     * The session was begun for another algorithm, since the client did not
     * tell: the file is read once more.
     */

    ngx_http_acr_run(r, u->ctx->registry->slow, ngx_http_acr_upload_hash, u,
                     ngx_http_acr_upload_hashed);
}


static ngx_int_t
ngx_http_acr_upload_hash(void *data, ngx_log_t *log)
{
    ngx_http_acr_upload_t *u = data;

    ngx_int_t   rc;
    acr_hash_t  hash;

    acr_hash_init(&hash, u->digest.alg);

    rc = ngx_http_acr_store_hash(u->fd, u->size, &hash, log);

    if (rc == NGX_OK) {
        acr_hash_final(&hash, &u->computed);
    }

    return rc;
}


static void
ngx_http_acr_upload_hashed(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    if (rc != NGX_OK) {
        ngx_http_acr_fail_errno(r, rc);
        return;
    }

    ngx_http_acr_upload_check(r, data);
}


static void
ngx_http_acr_upload_check(ngx_http_request_t *r, ngx_http_acr_upload_t *u)
{
    ngx_str_t  args[3];

    if (acr_digest_equal(&u->digest, &u->computed)) {
        ngx_http_acr_upload_commit(r, u);
        return;
    }

    if (u->owner.len == 0) {
        ngx_http_acr_upload_discard(r, u, ngx_http_acr_upload_mismatched);
        return;
    }

    args[0] = u->uuid;
    args[1] = u->ctx->repository;
    args[2] = u->owner;

    ngx_http_acr_ask(r, ACR_SCRIPT_UPLOAD_CANCEL, args, 3,
                     ngx_http_acr_upload_mismatch, u);
}


static void
ngx_http_acr_upload_mismatch(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    if (reply->status == NGX_HTTP_ACR_META_LOST) {

        /* the session goes on with its new owner */

        ngx_http_acr_upload_mismatched(r, data, NGX_OK);
        return;
    }

    ngx_http_acr_upload_discard(r, data, ngx_http_acr_upload_mismatched);
}


static void
ngx_http_acr_upload_mismatched(ngx_http_request_t *r, void *data,
    ngx_int_t rc)
{
    ngx_http_acr_upload_t *u = data;

    if (u->doubt) {

        /* the client may have sent more than is known here */

        ngx_http_acr_fail(r, ACR_E_BLOB_UPLOAD_UNKNOWN,
                          "a part of this upload was lost", "uuid", &u->uuid);
        return;
    }

    ngx_http_acr_fail(r, ACR_E_DIGEST_INVALID,
                      "the content has another digest", "digest",
                      &u->ctx->digest);
}


void
ngx_http_acr_upload_mount(ngx_http_request_t *r, ngx_http_acr_upload_t *u)
{
    u->mount = 1;

    ngx_http_acr_upload_commit(r, u);
}


/* from here on the change is carried to its end, whoever leaves */

static void
ngx_http_acr_upload_commit(ngx_http_request_t *r, ngx_http_acr_upload_t *u)
{
    u->ctx->committing = 1;

    ngx_http_acr_upload_store(r, u, NGX_OK);
}


static void
ngx_http_acr_upload_store(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_upload_t *u = data;

    ngx_http_acr_run(r, u->ctx->registry->slow,
                     ngx_http_acr_upload_commit_work, u,
                     ngx_http_acr_upload_stored);
}


static ngx_int_t
ngx_http_acr_upload_commit_work(void *data, ngx_log_t *log)
{
    ngx_http_acr_upload_t *u = data;

    ngx_int_t              rc;
    ngx_http_acr_store_t  *store;

    store = &u->ctx->registry->store;

    if (!u->mount) {
        rc = ngx_http_acr_upload_stage(u, log);

        if (rc != NGX_OK) {
            return rc;
        }

        rc = ngx_http_acr_store_commit(store, &u->ctx->repository, &u->uuid,
                                       &u->file, u->fd, &u->digest, &u->lock,
                                       log);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_http_acr_store_link(store, &u->ctx->repository,
                                 NGX_HTTP_ACR_LAYER, &u->digest, log);

    if (rc == NGX_OK) {
        ngx_http_acr_settle_hold(store, &u->ctx->repository, &u->ctx->digest,
                                 1, &u->change, log);
    }

    return rc;
}


static void
ngx_http_acr_upload_stored(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_upload_t *u = data;

    u_char     size[NGX_OFF_T_LEN];
    ngx_str_t  args[7];

    if (rc != NGX_OK) {
        ngx_http_acr_store_unlock(&u->lock, ngx_cycle->log);

        u->err = rc;
        ngx_http_acr_upload_undo(r, u);
        return;
    }

    args[0] = u->ctx->repository;
    args[1] = u->ctx->digest;

    args[2].data = size;
    args[2].len = ngx_sprintf(size, "%O", u->size) - size;

    if (u->owner.len) {
        args[3] = u->uuid;

    } else {
        ngx_str_null(&args[3]);
    }

    args[4] = u->owner;
    ngx_str_null(&args[5]);
    args[6] = u->source;

    ngx_http_acr_look_up(r, ACR_SCRIPT_BLOB_COMMIT, args, 7,
                         ngx_http_acr_upload_committed, u);
}


static void
ngx_http_acr_upload_committed(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_upload_t *u = data;

    /* whoever has waited for that finds out by the index */

    ngx_http_acr_store_unlock(&u->lock, ngx_cycle->log);

    if (reply->status != NGX_HTTP_ACR_META_OK) {
        ngx_http_acr_store_unlock_names(&u->change.locks, ngx_cycle->log);
    }

    if (ngx_http_acr_unanswered(r, reply, &u->tries,
                                ngx_http_acr_upload_store, u))
    {
        return;
    }

    if (reply->status == NGX_HTTP_ACR_META_COLLECTING) {

        if (++u->tries == NGX_HTTP_ACR_COMMIT_TRIES) {
            ngx_http_acr_fail(r, ACR_E_UNAVAILABLE,
                              "this digest is being collected", "digest",
                              &u->ctx->digest);
            return;
        }

        /* the collector may have removed the file: it is stored again */

        ngx_http_acr_later(r, NGX_HTTP_ACR_COMMIT_RETRY,
                           ngx_http_acr_upload_store, u);
        return;
    }

    if (reply->status != NGX_HTTP_ACR_META_OK) {
        u->verdict = reply->status;
        ngx_http_acr_upload_undo(r, u);
        return;
    }

    if (ngx_http_acr_linked(u->ctx->registry, &u->change, reply) != NGX_OK) {
        ngx_http_acr_fail(r, ACR_E_UNKNOWN, "unexpected answer of the index",
                          NULL, NULL);
        return;
    }

    if (!u->mount) {
        u->prepared.session = u->uuid;
    }

    ngx_http_acr_settle(r, &u->ctx->digest, 1, &u->change, &u->prepared,
                        ngx_http_acr_upload_done, u);
}


/*
 * The blob is not the repository's after all: its link may be there already,
 * and has to go if the index says so.
 */

static void
ngx_http_acr_upload_undo(ngx_http_request_t *r, ngx_http_acr_upload_t *u)
{
    if (u->owner.len == 0 && !u->mount) {
        ngx_http_acr_upload_discard(r, u, ngx_http_acr_upload_undo_link);
        return;
    }

    ngx_http_acr_upload_undo_link(r, u, NGX_OK);
}


static void
ngx_http_acr_upload_undo_link(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_upload_t *u = data;

    ngx_http_acr_settle(r, &u->ctx->digest, 1, NULL, NULL,
                        ngx_http_acr_upload_undone, u);
}


static void
ngx_http_acr_upload_undone(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_upload_t *u = data;

    if (u->err == NGX_ENOENT) {
        ngx_http_acr_fail(r, ACR_E_BLOB_UPLOAD_UNKNOWN,
                          "the data of this upload is gone", "uuid",
                          &u->uuid);
        return;
    }

    if (u->err) {
        ngx_http_acr_fail_errno(r, u->err);
        return;
    }

    if (u->mount && u->verdict == NGX_HTTP_ACR_META_UNKNOWN) {

        /* the source has let it go meanwhile */

        u->ctx->committing = 0;
        ngx_str_null(&u->ctx->digest);
        ngx_http_acr_upload_post_session(r, u);
        return;
    }

    ngx_http_acr_upload_not_ok(r, u, u->verdict);
}


static void
ngx_http_acr_upload_done(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_upload_t *u = data;

    if (ngx_http_acr_location(r, "/v2/%V/blobs/%V", &u->ctx->repository,
                              &u->ctx->digest)
        != NGX_OK
        || ngx_http_acr_header(r, "Docker-Content-Digest", &u->ctx->digest)
           != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_send_status(r, NGX_HTTP_CREATED);
}


void
ngx_http_acr_upload_discard(ngx_http_request_t *r, ngx_http_acr_upload_t *u,
    ngx_http_acr_next_pt next)
{
    ngx_http_acr_run(r, u->ctx->registry->slow,
                     ngx_http_acr_upload_discard_work, u, next);
}


/* what cannot be removed now is swept later */

static ngx_int_t
ngx_http_acr_upload_discard_work(void *data, ngx_log_t *log)
{
    ngx_http_acr_upload_t *u = data;

    return ngx_http_acr_store_discard(&u->ctx->registry->store,
                                      &u->ctx->repository, &u->uuid, log);
}
