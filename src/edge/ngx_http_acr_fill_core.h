
/*
 * What ngx_http_acr_fill.c and ngx_http_acr_filler.c share;
 * ngx_http_acr_fill.h is for all others.
 */

#ifndef NGX_HTTP_ACR_FILL_CORE_H
#define NGX_HTTP_ACR_FILL_CORE_H

#include "ngx_http_acr_fill.h"


/* ms after which a timer that keeps an exiting worker alive is set anew */
#define NGX_HTTP_ACR_FILL_GUARD  60000


typedef struct ngx_http_acr_filler_s  ngx_http_acr_filler_t;


/* a fill in a worker: there is one of it while somebody follows it, it is to be
   adopted, or this worker fetches it */

struct ngx_http_acr_fill_s {
    ngx_queue_t                  queue;      /* registry->fills */
    ngx_http_acr_registry_t     *registry;
    ngx_pool_t                  *pool;
    acr_digest_t                 digest;
    ngx_str_t                    text;       /* of the digest */
    ngx_http_acr_fills_ref_t     ref;

    ngx_http_acr_source_t        source;     /* if this worker fetches it */
    ngx_http_acr_buffers_t      *buffers;
    ngx_uint_t                   large;

    ngx_queue_t                  followers;
    ngx_queue_t                  waiting;    /* those that wait */
    ngx_queue_t                  adopters;   /* repositories that it becomes */

    ngx_event_t                  moved;      /* posted: look at it */
    ngx_msec_t                   woken;      /* when all were */

    ngx_http_acr_task_t          open;
    ngx_fd_t                     fd;

    ngx_http_acr_filler_t       *filler;     /* of this worker, or NULL */
    ngx_uint_t                   busy;       /* it is needed */
};


/* something may have changed: looks soon */
void ngx_http_acr_fill_moved(ngx_http_acr_fill_t *fill);

/* one who needed it (busy) does no more */
void ngx_http_acr_fill_release(ngx_http_acr_fill_t *fill);


/* ngx_http_acr_filler.c: this worker has claimed it.  NGX_ERROR: no memory. */
ngx_int_t ngx_http_acr_filler_start(ngx_http_acr_fill_t *fill);

/* for exit_process */
void ngx_http_acr_filler_stop(ngx_http_acr_filler_t *filler);


/*
 * ngx_http_acr_adopt.c: the blob of that size, which is in the store, becomes
 * one of the repository, durably and in the index.  done(data, rc) with NGX_OK,
 * NGX_DECLINED (its file is gone), NGX_ERROR or an errno value, after a log
 * line.  Everything is copied.  NGX_ERROR: no memory; done is not called.
 */
ngx_int_t ngx_http_acr_adopt(ngx_http_acr_registry_t *registry,
    ngx_str_t *repository, acr_digest_t *digest, off_t size,
    ngx_http_acr_done_pt done, void *data);


#endif /* NGX_HTTP_ACR_FILL_CORE_H */
