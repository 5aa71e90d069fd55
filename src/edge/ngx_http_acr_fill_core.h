
/*
 * What the files of fills share; ngx_http_acr_fill.h is for all others.
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


/* --- one who fetches it */

typedef enum {
    NGX_HTTP_ACR_FILLER_OPEN = 0,
    NGX_HTTP_ACR_FILLER_RECEIVE,       /* a request is under way... */
    NGX_HTTP_ACR_FILLER_PAUSE,         /* ...or the next one soon is */
    NGX_HTTP_ACR_FILLER_DRAIN,         /* it has ended: what came is written */
    NGX_HTTP_ACR_FILLER_STORE,
    NGX_HTTP_ACR_FILLER_GIVE_UP
} ngx_http_acr_filler_state_e;


struct ngx_http_acr_filler_s {
    ngx_http_acr_fill_t            *fill;
    ngx_pool_t                     *pool;
    ngx_http_acr_filler_state_e     state;

    ngx_http_acr_store_fill_t       file;
    ngx_http_acr_ring_t            *ring;
    ngx_http_acr_task_t             task;
    off_t                           saved;     /* up to here it is noted */
    ngx_uint_t                      saving;

    /* of the origin */
    ngx_http_acr_remote_request_t   request;
    ngx_http_acr_fetch_header_t     headers[2];
    u_char                          range[sizeof("bytes=-") + NGX_OFF_T_LEN];
    u_char                          etag[NGX_HTTP_ACR_FILL_ETAG];
    off_t                           began;     /* at this offset */
    off_t                           skip;      /* bytes that come, but are
                                                  there */
    size_t                          again;     /* bytes that will come again */
    ngx_uint_t                      tries;

    ngx_event_t                     flush;
    ngx_event_t                     timer;     /* of a pause, or to keep the
                                                  worker alive */

    ngx_http_acr_fill_error_e       error;
    unsigned                        heard:1;   /* the origin has it */
    unsigned                        held:1;    /* the origin is not read */
    unsigned                        match:1;   /* If-Match is of no use */
    unsigned                        discard:1;
};


/* ngx_http_acr_filler.c: this worker has claimed it.  NGX_ERROR: no memory. */
ngx_int_t ngx_http_acr_filler_start(ngx_http_acr_fill_t *fill);

/* for exit_process */
void ngx_http_acr_filler_stop(ngx_http_acr_filler_t *filler);

/* what there is may be given out, if the origin has it */
void ngx_http_acr_filler_mark(ngx_http_acr_filler_t *filler);

/* all that there is has come */
void ngx_http_acr_filler_over(ngx_http_acr_filler_t *filler);

/* discard: what is there is of no use to those who try it again */
void ngx_http_acr_filler_give_up(ngx_http_acr_filler_t *filler,
    ngx_http_acr_fill_error_e error, ngx_uint_t discard);


/* ngx_http_acr_filler_ask.c: what the origin is asked for.  NGX_ERROR: no
   memory. */
ngx_int_t ngx_http_acr_filler_prepare(ngx_http_acr_filler_t *filler);

/* asks for what is not there yet */
void ngx_http_acr_filler_ask(ngx_http_acr_filler_t *filler);

/* there may be room for more */
void ngx_http_acr_filler_resume(ngx_http_acr_filler_t *filler);


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
