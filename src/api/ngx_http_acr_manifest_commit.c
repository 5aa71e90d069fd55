
/*
 * From a checked manifest to the answer, DESIGN "Push", step 4: makes durable
 * what can fail for want of space, commits it in the index, makes the links on
 * disk equal to that.
 */

#include "ngx_http_acr_manifest.h"


static void ngx_http_acr_put_again(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static ngx_int_t ngx_http_acr_put_write(void *data, ngx_log_t *log);
static void ngx_http_acr_put_written(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_put_committed(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_put_collecting(ngx_http_request_t *r,
    ngx_http_acr_put_t *put);
static void ngx_http_acr_put_done(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_put_unexpected(ngx_http_request_t *r,
    ngx_http_acr_put_t *put);
static void ngx_http_acr_put_next(ngx_http_request_t *r,
    ngx_http_acr_put_t *put, ngx_int_t rc);
static ngx_int_t ngx_http_acr_put_headers(ngx_http_request_t *r,
    ngx_http_acr_put_t *put);

static void ngx_http_acr_put_refuse(ngx_http_request_t *r,
    ngx_http_acr_put_t *put);
static ngx_int_t ngx_http_acr_put_abandon(void *data, ngx_log_t *log);
static void ngx_http_acr_put_abandoned(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_put_refused(ngx_http_request_t *r, void *data,
    ngx_int_t rc);


/* from here on the change is carried to its end, whoever leaves */

void
ngx_http_acr_put_commit(ngx_http_request_t *r, ngx_http_acr_put_t *put)
{
    put->ctx->committing = 1;

    ngx_http_acr_put_again(r, put, NGX_OK);
}


static void
ngx_http_acr_put_again(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_put_t *put = data;

    ngx_http_acr_run(r, put->ctx->registry->slow, ngx_http_acr_put_write, put,
                     ngx_http_acr_put_written);
}


static ngx_int_t
ngx_http_acr_put_write(void *data, ngx_log_t *log)
{
    ngx_http_acr_put_t *put = data;

    ngx_int_t   rc;
    ngx_uint_t  i;

    rc = ngx_http_acr_store_put(put->store, &put->digest, put->p, put->n,
                                &put->lock, log);

    if (rc != NGX_OK) {
        return rc;
    }

    if (put->prepared.type.len) {
        rc = ngx_http_acr_store_type_put(put->store, &put->repository,
                                         &put->digest,
                                         (char *) put->prepared.type.data,
                                         put->prepared.type.len, log);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_http_acr_store_link(put->store, &put->repository,
                                 NGX_HTTP_ACR_REVISION, &put->digest, log);

    for (i = 1; rc == NGX_OK && i <= put->ntags; i++) {
        rc = ngx_http_acr_store_tag_prepare(put->store, &put->repository,
                                            &put->names[i], &put->digest,
                                            &put->prepared.token, log);
    }

    if (rc == NGX_OK) {
        ngx_http_acr_settle_hold(put->store, &put->repository, put->names,
                                 1 + put->ntags, &put->change, log);
    }

    return rc;
}


static void
ngx_http_acr_put_written(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_put_t *put = data;

    if (rc != NGX_OK) {
        ngx_http_acr_store_unlock(&put->lock, ngx_cycle->log);

        put->err = rc;
        ngx_http_acr_put_refuse(r, put);
        return;
    }

    ngx_http_acr_look_up(r, ACR_SCRIPT_MANIFEST_PUT, put->args, put->nargs,
                         ngx_http_acr_put_committed, put);
}


static void
ngx_http_acr_put_committed(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_put_t *put = data;

    /* whoever has waited for that finds out by the index */

    ngx_http_acr_store_unlock(&put->lock, ngx_cycle->log);

    if (reply->status != NGX_HTTP_ACR_META_OK) {
        ngx_http_acr_store_unlock_names(&put->change.locks, ngx_cycle->log);
    }

    /* who asks may have something to send, and does not wait for a rebuild */

    if (put->next
        && (reply->status == NGX_HTTP_ACR_META_DOWN
            || reply->status == NGX_HTTP_ACR_META_BEHIND))
    {
        ngx_http_acr_put_next(r, put, NGX_ERROR);
        return;
    }

    if (ngx_http_acr_unanswered(r, reply, &put->tries,
                                ngx_http_acr_put_again, put))
    {
        return;
    }

    if (reply->n == 0
        && reply->status != NGX_HTTP_ACR_META_CHANGED
        && reply->status != NGX_HTTP_ACR_META_LOCKED)
    {
        ngx_http_acr_put_unexpected(r, put);
        return;
    }

    switch (reply->status) {

    case NGX_HTTP_ACR_META_CHANGED:
        put->changed = 1;
        ngx_http_acr_put_refuse(r, put);
        return;

    case NGX_HTTP_ACR_META_LOCKED:
        put->error = ACR_E_REGISTRY_DISALLOWED_OPERATION;
        ngx_http_acr_put_refuse(r, put);
        return;

    case NGX_HTTP_ACR_META_OK:

        if (ngx_http_acr_linked(put->ctx->registry, &put->change, reply)
            != NGX_OK)
        {
            ngx_http_acr_put_unexpected(r, put);
            return;
        }

        ngx_http_acr_settle(r, put->names, 1 + put->ntags, &put->change,
                            &put->prepared, ngx_http_acr_put_done, put);
        return;

    case NGX_HTTP_ACR_META_COLLECTING:
        ngx_http_acr_put_collecting(r, put);
        return;

    case NGX_HTTP_ACR_META_MISSING:
        put->error = ACR_E_MANIFEST_BLOB_UNKNOWN;
        put->missing.len = reply->v[0].len;
        put->missing.data = ngx_pstrdup(r->pool, &reply->v[0]);

        if (put->missing.data == NULL) {
            put->err = NGX_ENOMEM;
        }

        ngx_http_acr_put_refuse(r, put);
        return;

    default:
        ngx_http_acr_put_unexpected(r, put);
    }
}


/* the collector may have removed what we have written: it is written again */

static void
ngx_http_acr_put_collecting(ngx_http_request_t *r, ngx_http_acr_put_t *put)
{
    if (++put->tries < NGX_HTTP_ACR_COMMIT_TRIES) {
        ngx_http_acr_later(r, NGX_HTTP_ACR_COMMIT_RETRY,
                           ngx_http_acr_put_again, put);
        return;
    }

    put->error = ACR_E_UNAVAILABLE;
    ngx_http_acr_put_refuse(r, put);
}


static void
ngx_http_acr_put_done(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_put_t *put = data;

    if (put->next) {
        ngx_http_acr_put_next(r, put, rc);
        return;
    }

    if (ngx_http_acr_put_headers(r, put) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_send_status(r, NGX_HTTP_CREATED);
}


static void
ngx_http_acr_put_unexpected(ngx_http_request_t *r, ngx_http_acr_put_t *put)
{
    ngx_http_acr_store_unlock_names(&put->change.locks, ngx_cycle->log);

    if (put->next) {
        ngx_http_acr_put_next(r, put, NGX_ERROR);
        return;
    }

    ngx_http_acr_manifest_unexpected(r);
}


/* the change is over: the rest is for who asks, if anybody is there */

static void
ngx_http_acr_put_next(ngx_http_request_t *r, ngx_http_acr_put_t *put,
    ngx_int_t rc)
{
    put->ctx->committing = 0;

    put->next(r, put->data, rc);
}


static ngx_int_t
ngx_http_acr_put_headers(ngx_http_request_t *r, ngx_http_acr_put_t *put)
{
    ngx_uint_t  i;

    if (ngx_http_acr_location(r, "/v2/%V/manifests/%V", &put->repository,
                              &put->names[0])
        != NGX_OK
        || ngx_http_acr_header(r, "Docker-Content-Digest", &put->names[0])
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (put->subject.len
        && ngx_http_acr_header(r, "OCI-Subject", &put->subject) != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 1; put->by_digest && i <= put->ntags; i++) {

        if (ngx_http_acr_header(r, "OCI-Tag", &put->names[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * After something was written: takes it away as far as nobody else needs it.
 * What the index says decides that, as after a change.
 */

static void
ngx_http_acr_put_refuse(ngx_http_request_t *r, ngx_http_acr_put_t *put)
{
    ngx_http_acr_run(r, put->ctx->registry->slow, ngx_http_acr_put_abandon,
                     put, ngx_http_acr_put_abandoned);
}


static ngx_int_t
ngx_http_acr_put_abandon(void *data, ngx_log_t *log)
{
    ngx_http_acr_put_t *put = data;

    ngx_uint_t  i;

    for (i = 1; i <= put->ntags; i++) {
        ngx_http_acr_store_tag_abandon(put->store, &put->repository,
                                       &put->names[i], &put->prepared.token,
                                       log);
    }

    return NGX_OK;
}


static void
ngx_http_acr_put_abandoned(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_put_t *put = data;

    ngx_http_acr_settle(r, put->names, 1 + put->ntags, NULL, NULL,
                        ngx_http_acr_put_refused, put);
}


static void
ngx_http_acr_put_refused(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_put_t *put = data;

    if (put->next) {
        ngx_http_acr_put_next(r, put,
                      put->err ? put->err
                      : (put->error == ACR_E_REGISTRY_DISALLOWED_OPERATION)
                        ? NGX_DECLINED : NGX_ERROR);
        return;
    }

    if (put->changed) {
        ngx_http_acr_manifest_changed(r);
        return;
    }

    if (put->err) {
        ngx_http_acr_fail_errno(r, put->err);
        return;
    }

    if (put->error == ACR_E_REGISTRY_DISALLOWED_OPERATION) {
        ngx_http_acr_locked(r);
        return;
    }

    if (put->error == ACR_E_UNAVAILABLE) {
        ngx_http_acr_fail(r, put->error, "a digest is being collected",
                          "digest", &put->names[0]);
        return;
    }

    ngx_http_acr_fail(r, put->error, NULL, "digest", &put->missing);
}
