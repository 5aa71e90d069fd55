
/*
 * An upload at work in a request: what the files of the upload resource
 * share.  OCI distribution-spec "Pushing blobs"; DESIGN "Push".
 *
 *   ngx_http_acr_api_upload.c   POST, status, cancel
 *   ngx_http_acr_upload_data.c  the body of PATCH, PUT and POST to the file
 *   ngx_http_acr_upload_commit.c  from the file to the repository; mounts
 */

#ifndef NGX_HTTP_ACR_UPLOAD_H
#define NGX_HTTP_ACR_UPLOAD_H

#include "ngx_http_acr_api.h"
#include "../store/ngx_http_acr_ring.h"


typedef struct {
    ngx_http_request_t     *request;
    ngx_http_acr_ctx_t     *ctx;

    ngx_str_t               uuid;
    ngx_str_t               owner;     /* number; empty without a session */
    ngx_str_t               from;      /* the staging file so far, or empty */
    ngx_str_t               file;      /* the staging file of this request */

    off_t                   start;     /* where this request's body goes */
    off_t                   offset;    /* what is saved, and its hash */
    acr_hash_t              hash;

    int                     fd;        /* closed by a cleanup, as is... */
    int                     lock;      /* ...that of the digest, or -1 */
    ngx_http_acr_ring_t    *ring;
    off_t                   received;  /* bytes of the body */
    ngx_int_t               body_rc;   /* how the body ended */

    acr_range_t             range;     /* if there is a Content-Range */
    acr_digest_t            digest;    /* of PUT, POST and mounts; its text
                                          is in ctx->digest */
    acr_digest_t            computed;
    ngx_str_t               source;    /* repository of a mount */
    off_t                   size;      /* of the whole blob, at commit */
    ngx_uint_t              tries;

    ngx_http_acr_change_t   change;    /* the commit */
    ngx_http_acr_prepared_t prepared;

    /* what blob_commit.lua said, if that was not OK (else 0) */
    ngx_http_acr_meta_status_e  verdict;

    /* why it is refused, once that is known */
    ngx_uint_t              status;
    acr_error_e             error;
    const char             *reason;
    ngx_int_t               err;       /* errno instead */

    /* a save on the way, while the body goes on */
    off_t                   point;
    acr_hash_t              point_hash;
    ngx_http_acr_task_t     point_sync;

    unsigned                clean:1;   /* the owner before has let go */
    unsigned                doubt:1;   /* Redis may have lost a part of it */
    unsigned                has_range:1;
    unsigned                finish:1;  /* PUT or POST: the blob is complete */
    unsigned                mount:1;   /* no file: only a link */
    unsigned                refused:1;
    unsigned                draining:1;
    unsigned                holding:1; /* drains for a save on the way */
    unsigned                saving:1;  /* a save on the way is under way */
} ngx_http_acr_upload_t;


/* the state of a new upload; NULL after it has failed the request */
ngx_http_acr_upload_t *ngx_http_acr_upload_create(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);

/* a random UUID (RFC 9562 version 4) in r->pool; NGX_ERROR: no memory, or no
   randomness */
ngx_int_t ngx_http_acr_uuid(ngx_http_request_t *r, ngx_str_t *uuid);

/* adds Location, Range and Docker-Upload-UUID of the session; NGX_ERROR: no
   memory */
ngx_int_t ngx_http_acr_upload_headers(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u, off_t offset);

/* a script about this session did not say OK: answers that, and removes the
   files of a session that is gone */
void ngx_http_acr_upload_not_ok(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u, ngx_http_acr_meta_status_e status);

/* in a thread: opens the staging file, unless that was done already */
ngx_int_t ngx_http_acr_upload_stage(void *data, ngx_log_t *log);

/* opens the staging file and reads the body into it, then commits it
   (u->finish) or answers 202 */
void ngx_http_acr_upload_begin(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u);

/* the file is written and hashed up to u->size: checks the digest, commits,
   answers 201 */
void ngx_http_acr_upload_finish(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u);

/* a session for a mount that is none, or for an upload; answers 202 */
void ngx_http_acr_upload_post_session(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u);

/* links a blob that another repository, u->source, has: u->digest, u->size */
void ngx_http_acr_upload_mount(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u);

/* removes the staging files, then continues with next */
void ngx_http_acr_upload_discard(ngx_http_request_t *r,
    ngx_http_acr_upload_t *u, ngx_http_acr_next_pt next);


#endif /* NGX_HTTP_ACR_UPLOAD_H */
