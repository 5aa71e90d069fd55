
/*
 * What the files of manifests and lists share.
 */

#ifndef NGX_HTTP_ACR_MANIFEST_H
#define NGX_HTTP_ACR_MANIFEST_H

#include "ngx_http_acr_api.h"


/*
 * Reads the reference of the path.  NGX_OK: a digest, noted in ctx->digest;
 * NGX_DECLINED: a tag; NGX_DONE after it has failed the request: with
 * DIGEST_INVALID if there is a colon, else with bad_tag.
 */
ngx_int_t ngx_http_acr_manifest_reference(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, acr_digest_t *digest, acr_error_e bad_tag);

/*
 * If-Match and If-None-Match of a change, as the scripts take them (unexpected
 * in common.lua), in r->pool; empty if there is none.  ETags are digests, so
 * what is no digest matches nothing.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_acr_manifest_conditions(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, ngx_str_t *conditions);

/* GET, HEAD of ctx->reference, which is a tag unless ctx->digest is set */
void ngx_http_acr_manifest_look_up(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);

/* fails the request with 412: a condition does not hold */
void ngx_http_acr_manifest_changed(ngx_http_request_t *r);

/* fails the request: a script has not answered as its head says */
void ngx_http_acr_manifest_unexpected(ngx_http_request_t *r);


/*
 * Sends a page of names, which are safe in JSON by their syntax: head, the
 * names as strings, tail.  n is what was asked for; with more there is a Link
 * to the page of path that goes on after last.
 */

typedef struct {
    ngx_str_t    path;
    ngx_str_t    head;
    ngx_str_t    tail;
    ngx_uint_t   n;
} ngx_http_acr_list_t;

void ngx_http_acr_list_send(ngx_http_request_t *r, ngx_http_acr_list_t *list,
    ngx_str_t *more, ngx_str_t *last, ngx_str_t *names, ngx_uint_t nnames);


/*
 * The deletion of a manifest, or of one tag.  Its tags are worked off in
 * slices, all in this memory, so that their number does not matter.
 */

/* tags that one call removes, and that are settled before the next */
#define NGX_HTTP_ACR_DELETE_TAGS  100

typedef struct ngx_http_acr_delete_s  ngx_http_acr_delete_t;

struct ngx_http_acr_delete_s {
    ngx_http_acr_ctx_t   *ctx;
    ngx_str_t             digest;      /* of the manifest */
    ngx_str_t             names[NGX_HTTP_ACR_DELETE_TAGS];
    ngx_uint_t            nnames;
    u_char                text[NGX_HTTP_ACR_DELETE_TAGS][ACR_TAG_MAX];
    ngx_http_acr_change_t change;
    ngx_str_t             conditions;

    /* told of each slice of tags (names), unless it is NULL */
    ngx_int_t           (*gone)(ngx_http_acr_delete_t *del);

    ngx_http_acr_next_pt  next;
    void                 *data;

    unsigned              begun:1;     /* it is hidden: by us */
    unsigned              more:1;      /* tags are left */
};

/* deletes the manifest, and continues with next: NGX_OK, or NGX_DECLINED if
   there is none.  Failures end the request. */
void ngx_http_acr_delete_manifest(ngx_http_request_t *r,
    ngx_http_acr_delete_t *del);


/*
 * A PUT at work:
 *
 *   ngx_http_acr_api_manifest_put.c  reads and checks
 *   ngx_http_acr_manifest_commit.c   from a checked manifest to the answer
 */

/* "tag" parameters of the query; manifest_put.lua takes as many */
#define NGX_HTTP_ACR_PUT_TAGS  100

typedef struct {
    ngx_http_acr_ctx_t        *ctx;
    ngx_http_acr_store_t      *store;
    ngx_str_t                  repository;

    ngx_str_t                  content_type;
    u_char                    *p;          /* the body */
    size_t                     n;

    acr_digest_t               digest;     /* of the reference, or only its
                                              algorithm before the hash */
    acr_digest_t               computed;
    acr_manifest_t             manifest;
    char                      *descriptor; /* if there is a subject */
    ngx_str_t                  subject;

    ngx_str_t                  names[1 + NGX_HTTP_ACR_PUT_TAGS];
                                           /* the digest, and the tags */
    ngx_uint_t                 ntags;
    ngx_http_acr_prepared_t    prepared;
    ngx_http_acr_change_t      change;
    ngx_str_t                  conditions;

    ngx_str_t                 *args;       /* of manifest_put.lua */
    ngx_uint_t                 nargs;
    ngx_uint_t                 tries;
    int                        lock;       /* of the digest, or -1; closed by
                                              the cleanup */

    /* why it is refused, once something was written */
    ngx_int_t                  err;        /* errno, or 0 */
    acr_error_e                error;
    ngx_str_t                  missing;

    ngx_http_acr_next_pt       next;       /* instead of an answer, or NULL */
    void                      *data;

    unsigned                   by_digest:1;
    unsigned                   changed:1;  /* a condition does not hold */
} ngx_http_acr_put_t;


/*
 * Stores a manifest that comes from elsewhere as ctx->reference, whatever it
 * refers to is there or not, and continues with next.  NGX_OK; NGX_DECLINED:
 * attributes forbid it; NGX_ABORT: it is no manifest, or of another digest;
 * NGX_ERROR (also if Redis does not answer) or an errno value.  p stays the
 * caller's, and is in r->pool.
 */
void ngx_http_acr_manifest_store(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, ngx_str_t *content_type, u_char *p, size_t n,
    ngx_http_acr_next_pt next, void *data);

/* everything is checked: stores it, commits it, answers 201 */
void ngx_http_acr_put_commit(ngx_http_request_t *r, ngx_http_acr_put_t *put);


#endif /* NGX_HTTP_ACR_MANIFEST_H */
