
/*
 * The disk step of every change, (c) of DESIGN "Push": under the lock of the
 * tag or digest, notes the mark, asks Redis what it is now, makes the links and
 * the attributes on disk equal to that, and takes the entry out of "pending".
 * So the order of writers does not matter, and whoever finds an old entry can
 * do it again.
 *
 * The mark comes before the question.  A Redis that answers it in the state of
 * the change has the change; and one that takes its place later is joined by
 * nodes that read the marks after that, so if it lacks the change, they find
 * it behind.  Noted later, the mark could come after all of that.
 */

#ifndef NGX_HTTP_ACR_SETTLE_H
#define NGX_HTTP_ACR_SETTLE_H

#include "ngx_http_acr_step.h"


/* what a put has prepared */

typedef struct {
    ngx_str_t    token;        /* of ngx_http_acr_store_tag_prepare() */
    ngx_str_t    type;         /* media type that the manifest's bytes do not
                                  tell, or empty */
} ngx_http_acr_prepared_t;


/* a change that Redis has made, perhaps in several calls; zeroed at first */

typedef struct {
    uint64_t     seq;          /* the last; 0: there was none */
    ngx_uint_t   losses;       /* ngx_http_acr_meta_losses() at the first */
} ngx_http_acr_change_t;


/*
 * Notes what a script has answered whose first element is the sequence of a
 * change; to be called at once.  NGX_ERROR: it is none.
 */
ngx_int_t ngx_http_acr_changed(ngx_http_acr_registry_t *registry,
    ngx_http_acr_change_t *change, ngx_http_acr_meta_reply_t *reply);

/*
 * Settles n names of the repository in ctx (digests "sha256:...", tags, and the
 * empty one for the repository itself), one after the other, then continues
 * with next(r, data, NGX_OK).  change is NULL if there was none; prepared may
 * be NULL.  What they refer to must live until then.
 *
 * If it cannot be done the request is answered with 503 or the store's error;
 * the entry stays pending and is settled later.  So it is if Redis is another
 * one, or has lost something, since the first call of the change: that may
 * have been part of it, and is not acknowledged.
 */
void ngx_http_acr_settle(ngx_http_request_t *r, ngx_str_t *names,
    ngx_uint_t n, ngx_http_acr_change_t *change,
    ngx_http_acr_prepared_t *prepared, ngx_http_acr_next_pt next, void *data);

/*
 * The same without a request: done(data, rc) with NGX_OK, NGX_ERROR (Redis or
 * lock) or an errno value.  Everything is copied.  NGX_ERROR: no memory, or the
 * queue of the thread pool is full (done is not called then).
 */
ngx_int_t ngx_http_acr_settle_one(ngx_http_acr_registry_t *registry,
    ngx_str_t *repository, ngx_str_t *name, ngx_http_acr_change_t *change,
    ngx_http_acr_prepared_t *prepared, ngx_http_acr_done_pt done, void *data);


#endif /* NGX_HTTP_ACR_SETTLE_H */
