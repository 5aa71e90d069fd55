
/*
 * Fetches images before somebody asks for them: manifests, those of an index
 * for some platforms, and all blobs that they refer to, by the rules and the
 * engine that pulls have.  It belongs to a request, whose end ends it: what has
 * been begun then is fetched to its end, and nothing else is begun.
 *
 *     ngx_http_acr_prewarm.c         manifests, and what is to be done next
 *     ngx_http_acr_prewarm_read.c    what a manifest refers to
 *     ngx_http_acr_prewarm_blob.c    blobs
 *     ngx_http_acr_prewarm_body.c    what is asked for, as JSON
 *     ngx_http_acr_admin_prewarm.c   the request
 *
 * A manifest that goes wrong, and a blob, is noted, and the others go on.
 */

#ifndef NGX_HTTP_ACR_PREWARM_H
#define NGX_HTTP_ACR_PREWARM_H

#include "ngx_http_acr_api.h"
#include "../edge/ngx_http_acr_rule.h"
#include "../edge/ngx_http_acr_fill.h"


/* of one request; the texts of its manifests are in its pool */
#define NGX_HTTP_ACR_PREWARM_MANIFESTS  1000
#define NGX_HTTP_ACR_PREWARM_TEXT       (64 * 1024 * 1024)
#define NGX_HTTP_ACR_PREWARM_BLOBS      4000
#define NGX_HTTP_ACR_PREWARM_ERRORS     100       /* that are told */

/* blobs at once; how many of these are fetched is limited by acr_fill_max */
#define NGX_HTTP_ACR_PREWARM_AT_ONCE    4


typedef struct ngx_http_acr_prewarm_s  ngx_http_acr_prewarm_t;


/* "linux/arm64/v8"; without a variant it means any, and all empty any platform,
   and none at all */

typedef struct {
    acr_text_t                     os;
    acr_text_t                     architecture;
    acr_text_t                     variant;
} ngx_http_acr_prewarm_platform_t;


typedef struct {
    ngx_str_t                      repository;
    ngx_str_t                      reference;     /* a tag or a digest */
    ngx_str_t                      name;          /* as it was asked for */
    ngx_http_acr_rule_found_t     *rule;          /* when that was */
} ngx_http_acr_prewarm_manifest_t;


typedef struct {
    ngx_str_t                      name;
    ngx_str_t                      digest;        /* or empty */
    const char                    *error;
} ngx_http_acr_prewarm_error_t;


typedef struct {
    ngx_uint_t                     done;
    ngx_uint_t                     total;         /* as far as it is known */
} ngx_http_acr_prewarm_count_t;


typedef struct {
    ngx_queue_t                    queue;
    ngx_http_acr_prewarm_t        *prewarm;
    ngx_http_acr_prewarm_manifest_t  *manifest;   /* that refers to it first */
    acr_digest_t                   digest;
    ngx_str_t                      text;
    off_t                          size;
    ngx_http_acr_follower_t        follower;
    uint32_t                       source;        /* that we have named */
    ngx_uint_t                     tries;
    unsigned                       asked:1;       /* it was not here */
    unsigned                       whole:1;       /* it has come */
    unsigned                       unsaid:1;      /* it has, but not from its
                                                     origin, which... */
    unsigned                       has:1;         /* ...has it, too */
} ngx_http_acr_prewarm_blob_t;


/* what a manifest refers to, as a thread has found it */

typedef struct {
    acr_digest_t                   digest;
    off_t                          size;
    unsigned                       manifest:1;
} ngx_http_acr_prewarm_child_t;


struct ngx_http_acr_prewarm_s {

    /* set by the owner, after ngx_http_acr_prewarm_create() */
    void                         (*changed)(ngx_http_acr_prewarm_t *prewarm);
    void                         (*ended)(ngx_http_acr_prewarm_t *prewarm);
    void                          *data;

    /* to be read by it */
    ngx_http_acr_prewarm_count_t   manifests;
    ngx_http_acr_prewarm_count_t   blobs;
    ngx_http_acr_prewarm_count_t   bytes;         /* of blobs that are done */
    ngx_http_acr_prewarm_count_t   fetched;       /* blobs, and their bytes */
    ngx_uint_t                     nerrors;
    ngx_array_t                    errors;        /* the first of them */
    ngx_str_t                      current;       /* the name of a manifest, or
                                                     empty */

    /* its own */
    ngx_array_t                    platforms;     /* ..._platform_t */
    ngx_http_request_t            *request;
    ngx_http_acr_ctx_t            *ctx;
    ngx_event_t                    event;         /* posted: what is next? */
    ngx_array_t                    list;          /* ..._manifest_t * */
    size_t                         text;          /* bytes of manifests */

    ngx_str_t                      digest;        /* of the present one */
    ngx_str_t                      type;
    ngx_http_acr_prewarm_child_t  *children;      /* malloc'd */
    ngx_uint_t                     nchildren;

    ngx_queue_t                    waiting;       /* blobs... */
    ngx_queue_t                    active;        /* ...that are fetched, or
                                                     have just been... */
    ngx_queue_t                    over;          /* ...and all others */
    ngx_uint_t                     nactive;

    unsigned                       busy:1;        /* a step is under way */
    unsigned                       tag:1;         /* the present one is one */
    unsigned                       fetch:1;       /* the origin was asked */
};


/* NULL: no memory */
ngx_http_acr_prewarm_t *ngx_http_acr_prewarm_create(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);

/* ngx_http_acr_prewarm_body.c: platforms and references of what a client has
   sent, which stays.  NGX_OK, or NGX_DONE after it has failed the request */
ngx_int_t ngx_http_acr_prewarm_body(ngx_http_acr_prewarm_t *prewarm,
    json_t *body);

/* a reference, "name:tag" or "name@digest".  NGX_OK; NGX_DECLINED: it is none,
   or of no repository that fills itself; NGX_ERROR: no memory */
ngx_int_t ngx_http_acr_prewarm_add(ngx_http_acr_prewarm_t *prewarm,
    ngx_str_t *name);

/* begins: changed() is called now and then, from events, and ended() once */
void ngx_http_acr_prewarm_start(ngx_http_acr_prewarm_t *prewarm);

/* bytes of blobs that have come so far */
off_t ngx_http_acr_prewarm_received(ngx_http_acr_prewarm_t *prewarm);


/* --- between its files */

/* soon looks for what is next */
void ngx_http_acr_prewarm_next(ngx_http_acr_prewarm_t *prewarm);

void ngx_http_acr_prewarm_fail(ngx_http_acr_prewarm_t *prewarm,
    ngx_http_acr_prewarm_manifest_t *manifest, ngx_str_t *digest,
    const char *error);

/*
 * ngx_http_acr_prewarm_read.c, in a thread: sets children to what the manifest
 * "digest" refers to, of an index to what is wanted of it.  NGX_DECLINED: none
 * of an index is; NGX_ABORT: it is no manifest; NGX_ERROR: it cannot be read,
 * or there is no memory.
 */
ngx_int_t ngx_http_acr_prewarm_read(void *data, ngx_log_t *log);

/* ngx_http_acr_prewarm_blob.c: a blob that a manifest refers to.  NGX_DECLINED:
   there are too many; NGX_ERROR: no memory. */
ngx_int_t ngx_http_acr_prewarm_blob_add(ngx_http_acr_prewarm_t *prewarm,
    ngx_http_acr_prewarm_manifest_t *manifest,
    ngx_http_acr_prewarm_child_t *child);

/* does what can be done next with a blob: NGX_OK if a step is under way;
   NGX_AGAIN: those that are active are waited for; NGX_DONE: none is left */
ngx_int_t ngx_http_acr_prewarm_blob_next(ngx_http_acr_prewarm_t *prewarm);

/* for the cleanup */
void ngx_http_acr_prewarm_blob_leave(ngx_http_acr_prewarm_t *prewarm);


#endif /* NGX_HTTP_ACR_PREWARM_H */
