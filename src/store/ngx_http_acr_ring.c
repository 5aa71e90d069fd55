
#include "ngx_http_acr_ring.h"
#include "ngx_http_acr_store_path.h"

#include <fcntl.h>


/* a large buffer has to fill this quickly, or the transfer goes on with the
   small one */
#define NGX_HTTP_ACR_RING_FAST   250         /* ms */

/* what the kernel is told to write back at once */
#define NGX_HTTP_ACR_RING_WINDOW (8 * 1024 * 1024)


typedef struct ngx_http_acr_slot_s  ngx_http_acr_slot_t;

struct ngx_http_acr_slot_s {
    ngx_http_acr_ring_t        *ring;
    u_char                     *data;        /* NULL: none at present */
    size_t                      size;
    size_t                      len;
    off_t                       offset;      /* of its first byte */
    off_t                       flush;       /* begin write-back there... */
    off_t                       flush_len;   /* ... of so many bytes, if > 0 */
    ngx_msec_t                  began;       /* the time of its first byte */
    ngx_http_acr_slot_t        *next;        /* waits to be hashed */
    ngx_http_acr_task_t         write;
    ngx_http_acr_task_t         hash;
    unsigned                    large:1;
    unsigned                    queued:1;    /* waits to be hashed */
};


struct ngx_http_acr_ring_s {
    ngx_http_acr_pool_t        *tp;
    ngx_http_acr_buffers_t     *buffers;
    ngx_http_acr_ring_owner_t   owner;
    void                       *data;

    int                         fd;
    ngx_int_t                   error;       /* errno, or 0 */
    off_t                       offset;      /* behind all that was put */
    off_t                       flushed;
    acr_hash_t                  hash;

    ngx_http_acr_slot_t        *filling;     /* or NULL */
    ngx_http_acr_slot_t        *hashing;     /* or NULL */
    ngx_http_acr_slot_t        *queue;       /* to be hashed after that */
    ngx_http_acr_slot_t       **queue_last;
    ngx_uint_t                  tasks;       /* under way */

    ngx_event_t                 idle;

    ngx_uint_t                  nslots;
    ngx_uint_t                  nlarge;      /* large buffers held */
    unsigned                    write_back:1;
    unsigned                    fast:1;      /* large buffers pay */

    ngx_http_acr_slot_t         slots[1 + NGX_HTTP_ACR_RING_LARGE];
};


static ngx_http_acr_slot_t *ngx_http_acr_ring_slot(ngx_http_acr_ring_t *ring);
static ngx_int_t ngx_http_acr_ring_buffer(ngx_http_acr_ring_t *ring,
    ngx_http_acr_slot_t *slot);
static ngx_uint_t ngx_http_acr_ring_busy(ngx_http_acr_slot_t *slot);
static void ngx_http_acr_ring_submit(ngx_http_acr_ring_t *ring);
static void ngx_http_acr_ring_hash_next(ngx_http_acr_ring_t *ring);
static void ngx_http_acr_ring_begin(ngx_http_acr_ring_t *ring,
    ngx_http_acr_task_t *task);
static ngx_int_t ngx_http_acr_ring_write_work(void *data, ngx_log_t *log);
static ngx_int_t ngx_http_acr_ring_hash_work(void *data, ngx_log_t *log);
static void ngx_http_acr_ring_write_done(void *data, ngx_int_t rc);
static void ngx_http_acr_ring_hash_done(void *data, ngx_int_t rc);
static void ngx_http_acr_ring_end(ngx_http_acr_slot_t *slot);
static void ngx_http_acr_ring_idle(ngx_event_t *ev);
static void ngx_http_acr_ring_slow(ngx_http_acr_ring_t *ring);
static void ngx_http_acr_ring_release(ngx_http_acr_ring_t *ring,
    ngx_http_acr_slot_t *slot);
static void ngx_http_acr_ring_cleanup(void *data);


ngx_http_acr_ring_t *
ngx_http_acr_ring_create(ngx_pool_t *pool, ngx_http_acr_pool_t *tp,
    ngx_http_acr_buffers_t *buffers, ngx_uint_t large, int fd, off_t offset,
    const acr_hash_t *hash, ngx_uint_t write_back,
    const ngx_http_acr_ring_owner_t *owner, void *data)
{
    ngx_uint_t            i;
    ngx_pool_cleanup_t   *cln;
    ngx_http_acr_slot_t  *slot;
    ngx_http_acr_ring_t  *ring;

    cln = ngx_pool_cleanup_add(pool, 0);
    ring = ngx_pcalloc(pool, sizeof(ngx_http_acr_ring_t));

    if (cln == NULL || ring == NULL) {
        return NULL;
    }

    ring->tp = tp;
    ring->buffers = buffers;
    ring->owner = *owner;
    ring->data = data;
    ring->fd = fd;
    ring->offset = offset;
    ring->flushed = offset;
    ring->hash = *hash;
    ring->write_back = write_back;
    ring->queue_last = &ring->queue;
    ring->nslots = 1 + ngx_min(large, NGX_HTTP_ACR_RING_LARGE);

    ring->idle.data = ring;
    ring->idle.handler = ngx_http_acr_ring_idle;
    ring->idle.log = ngx_cycle->log;

    for (i = 0; i < ring->nslots; i++) {
        slot = &ring->slots[i];

        slot->ring = ring;
        slot->large = (i != 0);
        slot->size = slot->large ? buffers->size : NGX_HTTP_ACR_RING_SMALL;

        slot->write.work = ngx_http_acr_ring_write_work;
        slot->write.done = ngx_http_acr_ring_write_done;
        slot->write.data = slot;

        slot->hash.work = ngx_http_acr_ring_hash_work;
        slot->hash.done = ngx_http_acr_ring_hash_done;
        slot->hash.data = slot;
    }

    cln->handler = ngx_http_acr_ring_cleanup;
    cln->data = ring;

    return ring;
}


ssize_t
ngx_http_acr_ring_put(ngx_http_acr_ring_t *ring, u_char *p, size_t n)
{
    size_t                size, done;
    ngx_http_acr_slot_t  *slot;

    done = 0;

    while (done < n) {

        if (ring->error) {
            return NGX_ERROR;
        }

        if (ring->filling == NULL) {
            ring->filling = ngx_http_acr_ring_slot(ring);

            if (ring->filling == NULL) {
                return ring->error ? NGX_ERROR : (ssize_t) done;
            }
        }

        slot = ring->filling;

        size = ngx_min(n - done, slot->size - slot->len);

        ngx_memcpy(slot->data + slot->len, p + done, size);

        slot->len += size;
        ring->offset += size;
        done += size;

        if (slot->len == slot->size) {
            ngx_http_acr_ring_submit(ring);

            if (ngx_current_msec - slot->began <= NGX_HTTP_ACR_RING_FAST) {
                ring->fast = 1;

            } else {
                ngx_http_acr_ring_slow(ring);
            }
        }
    }

    return done;
}


ngx_int_t
ngx_http_acr_ring_drain(ngx_http_acr_ring_t *ring)
{
    if (ring->filling) {
        ngx_http_acr_ring_submit(ring);
    }

    return ring->tasks ? NGX_AGAIN : NGX_OK;
}


ngx_int_t
ngx_http_acr_ring_error(ngx_http_acr_ring_t *ring)
{
    return ring->error;
}


off_t
ngx_http_acr_ring_offset(ngx_http_acr_ring_t *ring)
{
    return ring->offset;
}


acr_hash_t *
ngx_http_acr_ring_hash(ngx_http_acr_ring_t *ring)
{
    return &ring->hash;
}


/* a free slot with a buffer, a large one if that pays, or NULL */

static ngx_http_acr_slot_t *
ngx_http_acr_ring_slot(ngx_http_acr_ring_t *ring)
{
    ngx_uint_t            i;
    ngx_http_acr_slot_t  *slot;

    for (i = ring->nslots; i; i--) {
        slot = &ring->slots[i - 1];

        if (ngx_http_acr_ring_busy(slot)
            || (slot->large && !ring->fast)
            || ngx_http_acr_ring_buffer(ring, slot) != NGX_OK)
        {
            continue;
        }

        /* with large ones at hand the small one only makes small writes */

        if (!slot->large && ring->fast && ring->nlarge) {
            return NULL;
        }

        slot->len = 0;
        slot->offset = ring->offset;
        slot->began = ngx_current_msec;

        if (slot->large) {
            ngx_add_timer(&ring->idle, 4 * NGX_HTTP_ACR_RING_FAST);
        }

        return slot;
    }

    return NULL;
}


static ngx_int_t
ngx_http_acr_ring_buffer(ngx_http_acr_ring_t *ring, ngx_http_acr_slot_t *slot)
{
    if (slot->data) {
        return NGX_OK;
    }

    if (slot->large && ring->buffers->used == ring->buffers->max) {
        return NGX_DECLINED;
    }

    slot->data = ngx_alloc(slot->size, ngx_cycle->log);

    if (slot->data == NULL) {

        /* without large ones the transfer goes on all the same */

        if (!slot->large) {
            ring->error = ENOMEM;
        }

        return NGX_DECLINED;
    }

    if (slot->large) {
        ring->nlarge++;
        ring->buffers->used++;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_acr_ring_busy(ngx_http_acr_slot_t *slot)
{
    return slot->write.active || slot->hash.active || slot->queued;
}


/* the slot that is being filled goes to the threads */

static void
ngx_http_acr_ring_submit(ngx_http_acr_ring_t *ring)
{
    off_t                 end;
    ngx_http_acr_slot_t  *slot;

    slot = ring->filling;
    ring->filling = NULL;

    if (ring->idle.timer_set) {
        ngx_del_timer(&ring->idle);
    }

    end = slot->offset + slot->len;
    slot->flush_len = 0;

    if (ring->write_back && end - ring->flushed >= NGX_HTTP_ACR_RING_WINDOW) {
        slot->flush = ring->flushed;
        slot->flush_len = end - ring->flushed;
        ring->flushed = end;
    }

    slot->queued = 1;
    slot->next = NULL;
    *ring->queue_last = slot;
    ring->queue_last = &slot->next;

    ngx_http_acr_ring_begin(ring, &slot->write);
    ngx_http_acr_ring_hash_next(ring);
}


/* hashing goes in order, one buffer at a time */

static void
ngx_http_acr_ring_hash_next(ngx_http_acr_ring_t *ring)
{
    ngx_http_acr_slot_t  *slot;

    if (ring->hashing || ring->queue == NULL) {
        return;
    }

    slot = ring->queue;
    ring->queue = slot->next;

    if (ring->queue == NULL) {
        ring->queue_last = &ring->queue;
    }

    slot->queued = 0;
    ring->hashing = slot;

    ngx_http_acr_ring_begin(ring, &slot->hash);

    if (!slot->hash.active) {
        ring->hashing = NULL;
    }
}


static void
ngx_http_acr_ring_begin(ngx_http_acr_ring_t *ring, ngx_http_acr_task_t *task)
{
    if (ngx_http_acr_task_post(task, ring->tp) != NGX_OK) {
        ring->error = EAGAIN;
        return;
    }

    ring->tasks++;
    ring->owner.enter(ring->data);
}


static ngx_int_t
ngx_http_acr_ring_write_work(void *data, ngx_log_t *log)
{
    ngx_http_acr_slot_t *slot = data;

    int      fd;
    size_t   done;
    ssize_t  n;

    fd = slot->ring->fd;

    for (done = 0; done < slot->len; done += n) {
        n = pwrite(fd, slot->data + done, slot->len - done,
                   slot->offset + done);

        if (n == -1) {

            if (ngx_errno == NGX_EINTR) {
                n = 0;
                continue;
            }

            return ngx_http_acr_store_fd_failed(log, ngx_errno, "pwrite()",
                                                fd);
        }
    }

#ifdef SYNC_FILE_RANGE_WRITE

    /* only makes the sync shorter, which will tell what went wrong */

    if (slot->flush_len) {
        (void) sync_file_range(fd, slot->flush, slot->flush_len,
                               SYNC_FILE_RANGE_WRITE);
    }

#endif

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_ring_hash_work(void *data, ngx_log_t *log)
{
    ngx_http_acr_slot_t *slot = data;

    acr_hash_update(&slot->ring->hash, slot->data, slot->len);

    return NGX_OK;
}


static void
ngx_http_acr_ring_write_done(void *data, ngx_int_t rc)
{
    ngx_http_acr_slot_t *slot = data;

    if (rc != NGX_OK) {
        slot->ring->error = rc;
    }

    ngx_http_acr_ring_end(slot);
}


static void
ngx_http_acr_ring_hash_done(void *data, ngx_int_t rc)
{
    ngx_http_acr_slot_t *slot = data;

    slot->ring->hashing = NULL;

    ngx_http_acr_ring_hash_next(slot->ring);
    ngx_http_acr_ring_end(slot);
}


static void
ngx_http_acr_ring_end(ngx_http_acr_slot_t *slot)
{
    void                       *data;
    ngx_int_t                   rc;
    ngx_http_acr_ring_t        *ring;
    ngx_http_acr_ring_owner_t   owner;

    ring = slot->ring;
    ring->tasks--;

    if (!ngx_http_acr_ring_busy(slot) && slot->large && !ring->fast) {
        ngx_http_acr_ring_release(ring, slot);
    }

    /* from here on the ring may be freed by what its owner does */

    owner = ring->owner;
    data = ring->data;

    rc = owner.leave(data);

    if (rc == NGX_OK) {
        owner.ready(data);
    }

    owner.over(owner.over_data);
}


/* a transfer that does not fill its large buffer gives it back */

static void
ngx_http_acr_ring_idle(ngx_event_t *ev)
{
    ngx_http_acr_ring_t  *ring;

    ring = ev->data;

    if (ring->filling) {
        ngx_http_acr_ring_submit(ring);
    }

    ngx_http_acr_ring_slow(ring);
}


static void
ngx_http_acr_ring_slow(ngx_http_acr_ring_t *ring)
{
    ngx_uint_t            i;
    ngx_http_acr_slot_t  *slot;

    ring->fast = 0;

    for (i = 1; i < ring->nslots; i++) {
        slot = &ring->slots[i];

        if (slot->data && !ngx_http_acr_ring_busy(slot)) {
            ngx_http_acr_ring_release(ring, slot);
        }
    }
}


static void
ngx_http_acr_ring_release(ngx_http_acr_ring_t *ring, ngx_http_acr_slot_t *slot)
{
    ngx_free(slot->data);
    slot->data = NULL;

    if (slot->large) {
        ring->nlarge--;
        ring->buffers->used--;
    }
}


static void
ngx_http_acr_ring_cleanup(void *data)
{
    ngx_http_acr_ring_t *ring = data;

    ngx_uint_t  i;

    if (ring->idle.timer_set) {
        ngx_del_timer(&ring->idle);
    }

    for (i = 0; i < ring->nslots; i++) {
        if (ring->slots[i].data) {
            ngx_http_acr_ring_release(ring, &ring->slots[i]);
        }
    }
}
