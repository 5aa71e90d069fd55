
/*
 * The write and hash pipeline of a transfer: bytes are copied into a buffer;
 * when it is full one thread task writes it and another hashes it, while the
 * next one is filled.  DESIGN "Push".
 *
 * A transfer begins with one buffer of 64 KiB and is given large ones only
 * while it fills them quickly; those come from a bounded pool of the worker.
 */

#ifndef NGX_HTTP_ACR_RING_H
#define NGX_HTTP_ACR_RING_H

#include <ngx_config.h>
#include <ngx_core.h>

#include "../ngx_http_acr_task.h"
#include "../oci/acr_hash.h"


#define NGX_HTTP_ACR_RING_SMALL  65536       /* bytes of the first buffer */
#define NGX_HTTP_ACR_RING_LARGE  16          /* large ones of a transfer */


/* the large buffers of a worker */

typedef struct {
    size_t       size;                 /* bytes of each */
    ngx_uint_t   max;                  /* in use at most */
    ngx_uint_t   used;
} ngx_http_acr_buffers_t;


/* what follows events of a ring, with the data of the ring's owner */
typedef void (*ngx_http_acr_ring_pt)(void *data);

typedef struct ngx_http_acr_ring_s  ngx_http_acr_ring_t;


/*
 * A ring that writes to fd at offset and goes on with hash, a state that
 * becomes the ring's.  large: large buffers at most.  write_back: the kernel
 * is told to begin to write as data arrives, since a sync is to follow.
 *
 * The owner is told by calls with data, none before the call that
 * caused it has returned: enter() when a task is begun and leave() first thing
 * when it is done, which returns NGX_OK or, if the owner is gone, NGX_DONE;
 * then, if it is not gone, ready(); and last over() with over_data, for all
 * else may have been freed by then (it runs nginx's posted requests).
 *
 * Memory is of the pool, whose cleanup gives the buffers back; it must live
 * while a task is under way.  NULL: no memory.
 */
typedef struct {
    ngx_http_acr_ring_pt   enter;
    ngx_int_t            (*leave)(void *data);
    ngx_http_acr_ring_pt   ready;
    ngx_http_acr_ring_pt   over;
    void                  *over_data;
} ngx_http_acr_ring_owner_t;

ngx_http_acr_ring_t *ngx_http_acr_ring_create(ngx_pool_t *pool,
    ngx_http_acr_pool_t *tp, ngx_http_acr_buffers_t *buffers, ngx_uint_t large,
    int fd, off_t offset, const acr_hash_t *hash, ngx_uint_t write_back,
    const ngx_http_acr_ring_owner_t *owner, void *data);

/*
 * Copies up to n bytes, returns how many: fewer if all buffers are busy; then
 * ready() will tell when to go on.  NGX_ERROR after a write has failed, or
 * without memory: ngx_http_acr_ring_error() has the errno value.
 */
ssize_t ngx_http_acr_ring_put(ngx_http_acr_ring_t *ring, u_char *p, size_t n);

/*
 * Writes and hashes what is left.  NGX_OK if nothing is under way any more,
 * or NGX_AGAIN: ready() is called once that is so.  Nothing may be put
 * meanwhile.  Afterwards the offset and the hash are those of all that was
 * put (unless there was an error), and putting may go on.
 */
ngx_int_t ngx_http_acr_ring_drain(ngx_http_acr_ring_t *ring);

/* begins to write what is there of a buffer that is not full; ready() is called
   when that is done */
void ngx_http_acr_ring_flush(ngx_http_acr_ring_t *ring);

ngx_int_t ngx_http_acr_ring_error(ngx_http_acr_ring_t *ring);
off_t ngx_http_acr_ring_offset(ngx_http_acr_ring_t *ring);

/* what is before this offset has been written */
off_t ngx_http_acr_ring_written(ngx_http_acr_ring_t *ring);

acr_hash_t *ngx_http_acr_ring_hash(ngx_http_acr_ring_t *ring);


#endif /* NGX_HTTP_ACR_RING_H */
