
/*
 * The fills of a node: which contents are being fetched from other registries,
 * by which worker, and how far it has come.  In the shared memory of acr_zone,
 * so that a content is fetched once for all workers.
 *
 * There are no pointers in it and a worker may be killed at any point: whoever
 * finds that the owner of a fill has died makes it his own.  Changes are made
 * under the zone's lock; size and mark are read without.
 */

#ifndef NGX_HTTP_ACR_FILLS_H
#define NGX_HTTP_ACR_FILLS_H

#include <ngx_config.h>
#include <ngx_core.h>


typedef struct ngx_http_acr_fills_s  ngx_http_acr_fills_t;

struct ngx_http_acr_zone_s;

/* at once, with those that wait for their turn */
#define NGX_HTTP_ACR_FILLS_MAX  512


typedef enum {
    NGX_HTTP_ACR_FILL_IDLE = 0,        /* nobody fetches it at present */
    NGX_HTTP_ACR_FILL_RUNNING,
    NGX_HTTP_ACR_FILL_WHOLE,           /* it is a blob */
    NGX_HTTP_ACR_FILL_FAILED
} ngx_http_acr_fill_state_e;


/* why it has failed */

typedef enum {
    NGX_HTTP_ACR_FILL_E_MISSING = 0,   /* the origin does not have it... */
    NGX_HTTP_ACR_FILL_E_DENIED,        /* ...or does not give it to us */
    NGX_HTTP_ACR_FILL_E_LIMITED,       /* too many requests */
    NGX_HTTP_ACR_FILL_E_ORIGIN,        /* it cannot be asked, or fails */
    NGX_HTTP_ACR_FILL_E_DIGEST,        /* what came has another digest */
    NGX_HTTP_ACR_FILL_E_DISK           /* it cannot be stored */
} ngx_http_acr_fill_error_e;


typedef struct {
    ngx_uint_t                  slot;
    ngx_uint_t                  serial;
} ngx_http_acr_fills_ref_t;


typedef struct {
    ngx_http_acr_fill_state_e   state;
    off_t                       size;      /* of all of it; -1: not known */
    off_t                       mark;      /* so much may be read */
    ngx_http_acr_fill_error_e   error;     /* FAILED: why */
    uint32_t                    source;    /* it comes, or came, from there;
                                              0: it was there, or nobody has
                                              fetched it yet */
} ngx_http_acr_fills_look_t;


/* bytes that it takes; makes one at p, aligned as for any type */
size_t ngx_http_acr_fills_size(void);
ngx_http_acr_fills_t *ngx_http_acr_fills_init(void *p);

/*
 * The fill of this content, a digest's text, for this registry: that which is
 * under way, or a new one, IDLE.  NGX_BUSY: there are too many.
 */
ngx_int_t ngx_http_acr_fills_join(struct ngx_http_acr_zone_s *zone,
    uint32_t registry, ngx_str_t *digest, ngx_http_acr_fills_ref_t *ref);

/* NGX_DECLINED: it was over long ago, and is forgotten.  A fill whose owner has
   died is IDLE. */
ngx_int_t ngx_http_acr_fills_look(struct ngx_http_acr_zone_s *zone,
    ngx_http_acr_fills_ref_t *ref, ngx_http_acr_fills_look_t *look);

/*
 * An IDLE one becomes this worker's, and RUNNING, from that source.
 * NGX_DECLINED: somebody else has it, or it is over; NGX_BUSY: max of them are
 * running.
 */
ngx_int_t ngx_http_acr_fills_claim(struct ngx_http_acr_zone_s *zone,
    ngx_http_acr_fills_ref_t *ref, uint32_t source, ngx_uint_t max);

/* by its owner.  The mark never goes back, so that one who fetches again what
   was there takes nothing from those that read. */
void ngx_http_acr_fills_set_size(struct ngx_http_acr_zone_s *zone,
    ngx_http_acr_fills_ref_t *ref, off_t size);
void ngx_http_acr_fills_set_mark(struct ngx_http_acr_zone_s *zone,
    ngx_http_acr_fills_ref_t *ref, off_t mark);

/* by its owner, who is none then: IDLE, WHOLE, or FAILED with the error */
void ngx_http_acr_fills_end(struct ngx_http_acr_zone_s *zone,
    ngx_http_acr_fills_ref_t *ref, ngx_http_acr_fill_state_e state,
    ngx_http_acr_fill_error_e error, uint32_t source);

/*
 * May n bytes more be received, of rate a second for all fills together?
 * NGX_AGAIN: not now; it may be asked again after NGX_HTTP_ACR_FILLS_TURN ms.
 */
#define NGX_HTTP_ACR_FILLS_TURN  50

ngx_int_t ngx_http_acr_fills_take(struct ngx_http_acr_zone_s *zone,
    size_t rate, size_t n);

/* how many are RUNNING */
ngx_uint_t ngx_http_acr_fills_running(struct ngx_http_acr_zone_s *zone);


#endif /* NGX_HTTP_ACR_FILLS_H */
