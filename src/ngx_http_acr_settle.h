
/*
 * The disk step of every change, (c) of DESIGN "Push": under the lock of the
 * tag or digest, asks Redis what it is now, notes the mark, makes the links and
 * the attributes on disk equal to that, and takes the entry out of "pending".
 * So the order of writers does not matter, and whoever finds an old entry can
 * do it again.
 *
 * What was changed under its lock need not be asked about: the change's own
 * answer tells what it is now, since nobody else's disk step can have come
 * between.
 *
 * The mark comes before the last question, that takes the entry out.  A Redis
 * that answers it in the state of the change has the change; and one that takes
 * its place later is joined by nodes that read the marks after that, so if it
 * lacks the change, they find it behind.  Noted later, the mark could come
 * after all of that.
 */

#ifndef NGX_HTTP_ACR_SETTLE_H
#define NGX_HTTP_ACR_SETTLE_H

#include "ngx_http_acr_step.h"


/* what a put has prepared */

typedef struct {
    ngx_str_t    token;        /* of ngx_http_acr_store_tag_prepare() */
    ngx_str_t    type;         /* media type that the manifest's bytes do not
                                  tell, or empty */
    ngx_str_t    session;      /* that is over, so that its files go, or
                                  empty */
} ngx_http_acr_prepared_t;


/* a change that Redis has made, perhaps in several calls; zeroed at first */

typedef struct {
    uint64_t     seq;          /* the last; 0: there was none */
    ngx_uint_t   losses;       /* ngx_http_acr_meta_losses() at the first */

    /* of all names, if they were taken before the change was asked for; who
       settles them gives them back, or else the owner of this */
    ngx_http_acr_store_locks_t  locks;

    /* what the links of the first name are to be, a digest; the others are tags
       of it; none of them has attributes.  Empty: that has to be asked */
    size_t       nkinds;
    u_char       kinds[2];

    unsigned     told:1;       /* next is called in any case */
} ngx_http_acr_change_t;


/*
 * In a thread: takes the locks of the names that a change will be about, if
 * there are few, and nobody has one of them.  It does not wait, so it may be
 * called with other locks held.
 */
void ngx_http_acr_settle_hold(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *names, ngx_uint_t n,
    ngx_http_acr_change_t *change, ngx_log_t *log);


/*
 * Notes what a script has answered whose first element is the sequence of a
 * change; to be called at once.  NGX_ERROR: it is none.
 */
ngx_int_t ngx_http_acr_changed(ngx_http_acr_registry_t *registry,
    ngx_http_acr_change_t *change, ngx_http_acr_meta_reply_t *reply);

/*
 * The same of blob_commit and manifest_put, which also answer how the first
 * name that is settled then, their digest, is linked.
 */
ngx_int_t ngx_http_acr_linked(ngx_http_acr_registry_t *registry,
    ngx_http_acr_change_t *change, ngx_http_acr_meta_reply_t *reply);

/*
 * Settles n names of the repository in ctx (digests "sha256:...", tags, and the
 * empty one for the repository itself) in their order, then continues with
 * next(r, data, NGX_OK).  change is NULL if there was none; prepared may be
 * NULL.  What they refer to must live until then.
 *
 * If it cannot be done the request is answered with 503 or the store's error;
 * the entry stays pending and is settled later.  So it is if Redis is another
 * one, or has lost something, since the first call of the change: that may
 * have been part of it, and is not acknowledged.  With change->told next is
 * called then, with NGX_ERROR or an errno value.
 */
void ngx_http_acr_settle(ngx_http_request_t *r, ngx_str_t *names,
    ngx_uint_t n, ngx_http_acr_change_t *change,
    ngx_http_acr_prepared_t *prepared, ngx_http_acr_next_pt next, void *data);

/*
 * One name without a request: done(data, rc) with NGX_OK, NGX_ERROR (Redis or
 * lock) or an errno value.  Everything is copied.  NGX_ERROR: no memory, or the
 * queue of the thread pool is full (done is not called then).
 */
ngx_int_t ngx_http_acr_settle_one(ngx_http_acr_registry_t *registry,
    ngx_str_t *repository, ngx_str_t *name, ngx_http_acr_change_t *change,
    ngx_http_acr_prepared_t *prepared, ngx_http_acr_done_pt done, void *data);


#endif /* NGX_HTTP_ACR_SETTLE_H */
