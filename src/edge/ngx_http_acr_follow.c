
/*
 * Requests for contents that are being fetched.  Until the size is known such a
 * request waits; then its head is sent, and nginx's range filter and ours
 * (ngx_http_acr_ahead.h) send what is there of the body, and wait for the rest.
 * A part that is far ahead comes directly (ngx_http_acr_direct.h).
 */

#include "../ngx_http_acr_ahead.h"
#include "../ngx_http_acr_response.h"
#include "../ngx_http_acr_step.h"
#include "ngx_http_acr_direct.h"


typedef struct {
    ngx_http_request_t       *request;
    acr_digest_t              digest;
    ngx_http_acr_source_t     source;
    ngx_http_acr_follow_pt    whole;
    void                    (*ask)(ngx_http_request_t *r);
    ngx_http_acr_follower_t   follower;
    ngx_http_acr_growing_t    growing;
} ngx_http_acr_follow_t;


static void ngx_http_acr_follow_cleanup(void *data);
static void ngx_http_acr_follow_join(ngx_http_request_t *r,
    ngx_http_acr_follow_t *follow);
static void ngx_http_acr_follow_check(ngx_http_request_t *r,
    ngx_http_acr_follow_t *follow);
static void ngx_http_acr_follow_near(ngx_http_request_t *r, void *data);
static void ngx_http_acr_follow_moved(void *data);
static void ngx_http_acr_follow_fail(ngx_http_request_t *r,
    ngx_http_acr_fill_error_e error);
static void ngx_http_acr_follow_send(ngx_http_request_t *r,
    ngx_http_acr_follow_t *follow, ngx_http_acr_fill_look_t *look);
static off_t ngx_http_acr_follow_there(void *data);
static void ngx_http_acr_follow_wait(void *data, off_t offset);
static void ngx_http_acr_follow_grown(void *data);


void
ngx_http_acr_follow(ngx_http_request_t *r, acr_digest_t *digest,
    ngx_http_acr_source_t *source, ngx_http_acr_follow_pt whole,
    void (*ask)(ngx_http_request_t *r))
{
    ngx_pool_cleanup_t     *cln;
    ngx_http_acr_follow_t  *follow;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_follow_t));

    if (cln == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    follow = cln->data;

    ngx_memzero(follow, sizeof(ngx_http_acr_follow_t));

    follow->request = r;
    follow->digest = *digest;
    follow->source = *source;
    follow->whole = whole;
    follow->ask = ask;

    cln->handler = ngx_http_acr_follow_cleanup;

    ngx_http_acr_follow_join(r, follow);
}


static void
ngx_http_acr_follow_cleanup(void *data)
{
    ngx_http_acr_follow_t *follow = data;

    ngx_http_acr_fill_leave(&follow->follower);
}


static void
ngx_http_acr_follow_join(ngx_http_request_t *r, ngx_http_acr_follow_t *follow)
{
    ngx_int_t                 rc;
    ngx_str_t                *repository;
    ngx_http_acr_ctx_t       *ctx;
    ngx_http_acr_loc_conf_t  *conf;

    ctx = ngx_http_acr_get_ctx(r);
    conf = ctx->conf;

    /* an edge node only has contents */

    repository = ctx->registry->origin ? NULL : &ctx->repository;

    follow->follower.moved = ngx_http_acr_follow_moved;
    follow->follower.data = follow;

    rc = ngx_http_acr_fill_follow(ctx->registry, &follow->digest,
                                  &follow->source, &conf->large,
                                  conf->upload_buffers.num, repository,
                                  &follow->follower);

    if (rc == NGX_BUSY) {
        ngx_http_acr_fail(r, ACR_E_UNAVAILABLE, "too much is being fetched",
                          NULL, NULL);
        return;
    }

    if (rc != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_follow_check(r, follow);
}


/* before there is an answer */

static void
ngx_http_acr_follow_check(ngx_http_request_t *r, ngx_http_acr_follow_t *follow)
{
    uint32_t                  source;
    ngx_int_t                 rc;
    ngx_http_acr_fill_look_t  look;

    rc = ngx_http_acr_fill_look(&follow->follower, &look);
    source = ngx_http_acr_fill_source(&follow->source);

    /*
     * What one source does not have, or does not give us, another may: the
     * first one to ask has named the source.  And what one has sent is nothing
     * to those who may not read it there.
     */

    if (rc != NGX_OK
        || (look.now.state == NGX_HTTP_ACR_FILL_FAILED
            && look.now.error != NGX_HTTP_ACR_FILL_E_DISK
            && look.now.source != source))
    {
        ngx_http_acr_fill_leave(&follow->follower);
        ngx_http_acr_follow_join(r, follow);
        return;
    }

    if (!follow->source.has && look.now.source != source
        && (look.now.state == NGX_HTTP_ACR_FILL_WHOLE
            || look.now.state == NGX_HTTP_ACR_FILL_RUNNING))
    {
        ngx_http_acr_fill_leave(&follow->follower);
        follow->ask(r);
        return;
    }

    if (look.now.state == NGX_HTTP_ACR_FILL_WHOLE) {
        ngx_http_acr_fill_leave(&follow->follower);
        follow->whole(r, look.now.size);
        return;
    }

    if (look.now.state == NGX_HTTP_ACR_FILL_FAILED) {
        ngx_http_acr_fill_leave(&follow->follower);
        ngx_http_acr_follow_fail(r, look.now.error);
        return;
    }

    if (look.now.size > 0
        && (follow->source.has || look.now.source == source))
    {
        if (ngx_http_acr_direct(r, &follow->source, look.now.size,
                                look.now.mark, ngx_http_acr_follow_near,
                                follow)
            == NGX_OK)
        {
            return;
        }

        if (look.fd != NGX_INVALID_FILE) {
            ngx_http_acr_follow_send(r, follow, &look);
            return;
        }
    }

    /* what has no bytes, or an unknown number of them, is sent when it is
       whole */

    if (ngx_http_acr_watch(r) != NGX_OK) {
        ngx_http_acr_fill_leave(&follow->follower);
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_fill_wait(&follow->follower, -1);
}


/* the origin does not give the part by itself */

static void
ngx_http_acr_follow_near(ngx_http_request_t *r, void *data)
{
    ngx_http_acr_follow_check(r, data);
}


static void
ngx_http_acr_follow_moved(void *data)
{
    ngx_http_acr_follow_t *follow = data;

    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = follow->request;
    c = r->connection;

    if (ngx_http_acr_resume(r) == NGX_OK) {
        ngx_http_acr_follow_check(r, follow);
    }

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_acr_follow_fail(ngx_http_request_t *r,
    ngx_http_acr_fill_error_e error)
{
    ngx_str_t  *digest;

    digest = &ngx_http_acr_get_ctx(r)->digest;

    switch (error) {

    case NGX_HTTP_ACR_FILL_E_MISSING:
        ngx_http_acr_fail(r, ACR_E_BLOB_UNKNOWN, NULL, "digest", digest);
        return;

    case NGX_HTTP_ACR_FILL_E_DENIED:
        ngx_http_acr_fail(r, ACR_E_DENIED, "the origin does not give it",
                          "digest", digest);
        return;

    case NGX_HTTP_ACR_FILL_E_LIMITED:
        ngx_http_acr_fail(r, ACR_E_TOOMANYREQUESTS, "the origin has a limit",
                          "digest", digest);
        return;

    case NGX_HTTP_ACR_FILL_E_ORIGIN:
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_GATEWAY, ACR_E_UNAVAILABLE,
                                 "the origin does not answer", "digest",
                                 digest);
        return;

    case NGX_HTTP_ACR_FILL_E_DIGEST:
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_GATEWAY, ACR_E_UNAVAILABLE,
                                 "the origin has sent something else",
                                 "digest", digest);
        return;

    default: /* NGX_HTTP_ACR_FILL_E_DISK */
        ngx_http_acr_fail_errno(r, NGX_ERROR);
    }
}


static void
ngx_http_acr_follow_send(ngx_http_request_t *r, ngx_http_acr_follow_t *follow,
    ngx_http_acr_fill_look_t *look)
{
    ngx_buf_t  *b;

    static ngx_str_t  type = ngx_string("application/octet-stream");

    b = ngx_calloc_buf(r->pool);

    if (b == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    b->file = ngx_pcalloc(r->pool, sizeof(ngx_file_t));

    if (b->file == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    b->file->fd = look->fd;
    b->file->name = ngx_http_acr_get_ctx(r)->digest;
    b->file->log = r->connection->log;
    b->file_last = look->now.size;
    b->in_file = 1;

    follow->growing.there = ngx_http_acr_follow_there;
    follow->growing.wait = ngx_http_acr_follow_wait;
    follow->growing.data = follow;

    follow->follower.moved = ngx_http_acr_follow_grown;

    if (ngx_http_acr_ahead(r, b, &follow->growing) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_send_opened(r, look->now.size, &type, 0, ACR_E_BLOB_UNKNOWN,
                             b);
}


/* --- its body */

static off_t
ngx_http_acr_follow_there(void *data)
{
    ngx_http_acr_follow_t *follow = data;

    ngx_http_acr_fill_look_t  look;

    if (ngx_http_acr_fill_look(&follow->follower, &look) != NGX_OK
        || look.now.state == NGX_HTTP_ACR_FILL_FAILED)
    {
        ngx_log_error(NGX_LOG_ERR, follow->request->connection->log, 0,
                      "acr: the rest of \"%V\" does not come",
                      &ngx_http_acr_get_ctx(follow->request)->digest);

        return NGX_ERROR;
    }

    return look.now.mark;
}


static void
ngx_http_acr_follow_wait(void *data, off_t offset)
{
    ngx_http_acr_follow_t *follow = data;

    ngx_http_acr_fill_wait(&follow->follower, offset);
}


static void
ngx_http_acr_follow_grown(void *data)
{
    ngx_http_acr_follow_t *follow = data;

    ngx_http_acr_ahead_go_on(follow->request);
}
