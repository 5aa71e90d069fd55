
#include "ngx_http_acr_ring.h"
#include "ngx_http_acr_store_path.h"

#include <fcntl.h>


/* a large buffer has to fill this quickly, or the transfer goes on with the
   small one */
#define NGX_HTTP_ACR_RING_FAST   250         /* ms */

/* what the kernel is told to write back at once */
#define NGX_HTTP_ACR_RING_WINDOW (8 * 1024 * 1024)


/* every buffer goes through both */

#define NGX_HTTP_ACR_RING_WRITE  0
#define NGX_HTTP_ACR_RING_HASH   1
#define NGX_HTTP_ACR_RING_LANES  2


typedef struct ngx_http_acr_slot_s  ngx_http_acr_slot_t;

struct ngx_http_acr_slot_s {
    u_char                     *data;        /* NULL: none at present */
    size_t                      size;
    size_t                      len;
    off_t                       offset;      /* of its first byte */
    off_t                       flush;       /* begin write-back there... */
    off_t                       flush_len;   /* ... of so many bytes, if > 0 */
    ngx_msec_t                  began;       /* the time of its first byte */
    ngx_http_acr_slot_t        *next[NGX_HTTP_ACR_RING_LANES];
    ngx_uint_t                  lanes;       /* that it has not gone through */
    unsigned                    large:1;
};


/*
 * A lane has one task at a time, which takes all buffers that wait by then: two
 * writes to a file would wait for each other, hashing has an order, and a
 * thread that is woken costs more than the next buffer.
 */

typedef struct {
    ngx_http_acr_ring_t        *ring;
    ngx_uint_t                  number;
    ngx_http_acr_slot_t        *queue;       /* waits */
    ngx_http_acr_slot_t       **last;
    ngx_http_acr_slot_t        *taken;       /* by the task */
    ngx_http_acr_task_t         task;
} ngx_http_acr_lane_t;


struct ngx_http_acr_ring_s {
    ngx_http_acr_pool_t        *tp;
    ngx_http_acr_buffers_t     *buffers;
    ngx_http_acr_ring_owner_t   owner;
    void                       *data;

    int                         fd;
    ngx_int_t                   error;       /* errno, or 0 */
    off_t                       offset;      /* behind all that was put */
    off_t                       written;
    off_t                       flushed;
    acr_hash_t                  hash;

    ngx_http_acr_slot_t        *filling;     /* or NULL */
    ngx_http_acr_lane_t         lanes[NGX_HTTP_ACR_RING_LANES];

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
static void ngx_http_acr_ring_submit(ngx_http_acr_ring_t *ring);
static void ngx_http_acr_ring_begin(ngx_http_acr_lane_t *lane);
static ngx_int_t ngx_http_acr_ring_write_all(void *data, ngx_log_t *log);
static ngx_int_t ngx_http_acr_ring_write(ngx_http_acr_ring_t *ring,
    ngx_http_acr_slot_t *slot, ngx_log_t *log);
static ngx_int_t ngx_http_acr_ring_hash_all(void *data, ngx_log_t *log);
static void ngx_http_acr_ring_done(void *data, ngx_int_t rc);
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
    ngx_http_acr_lane_t  *lane;
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
    ring->written = offset;
    ring->flushed = offset;
    ring->hash = *hash;
    ring->write_back = write_back;
    ring->nslots = 1 + ngx_min(large, NGX_HTTP_ACR_RING_LARGE);

    ring->idle.data = ring;
    ring->idle.handler = ngx_http_acr_ring_idle;
    ring->idle.log = ngx_cycle->log;

    for (i = 0; i < ring->nslots; i++) {
        slot = &ring->slots[i];

        slot->large = (i != 0);
        slot->size = slot->large ? buffers->size : NGX_HTTP_ACR_RING_SMALL;
    }

    for (i = 0; i < NGX_HTTP_ACR_RING_LANES; i++) {
        lane = &ring->lanes[i];

        lane->ring = ring;
        lane->number = i;
        lane->last = &lane->queue;
        lane->task.work = (i == NGX_HTTP_ACR_RING_WRITE)
                          ? ngx_http_acr_ring_write_all
                          : ngx_http_acr_ring_hash_all;
        lane->task.done = ngx_http_acr_ring_done;
        lane->task.data = lane;
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
    ngx_http_acr_ring_flush(ring);

    return (ring->lanes[NGX_HTTP_ACR_RING_WRITE].task.active
            || ring->lanes[NGX_HTTP_ACR_RING_HASH].task.active)
           ? NGX_AGAIN : NGX_OK;
}


void
ngx_http_acr_ring_flush(ngx_http_acr_ring_t *ring)
{
    if (ring->filling) {
        ngx_http_acr_ring_submit(ring);
    }
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


off_t
ngx_http_acr_ring_written(ngx_http_acr_ring_t *ring)
{
    return ring->written;
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

        if (slot->lanes
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


/* the slot that is being filled goes to the threads */

static void
ngx_http_acr_ring_submit(ngx_http_acr_ring_t *ring)
{
    off_t                 end;
    ngx_uint_t            i;
    ngx_http_acr_slot_t  *slot;
    ngx_http_acr_lane_t  *lane;

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

    slot->lanes = NGX_HTTP_ACR_RING_LANES;

    for (i = 0; i < NGX_HTTP_ACR_RING_LANES; i++) {
        lane = &ring->lanes[i];

        slot->next[i] = NULL;
        *lane->last = slot;
        lane->last = &slot->next[i];

        ngx_http_acr_ring_begin(lane);
    }
}


static void
ngx_http_acr_ring_begin(ngx_http_acr_lane_t *lane)
{
    ngx_http_acr_ring_t  *ring;

    if (lane->task.active || lane->queue == NULL) {
        return;
    }

    ring = lane->ring;

    lane->taken = lane->queue;
    lane->queue = NULL;
    lane->last = &lane->queue;

    if (ngx_http_acr_task_post(&lane->task, ring->tp) != NGX_OK) {
        ring->error = EAGAIN;
        return;
    }

    ring->owner.enter(ring->data);
}


static ngx_int_t
ngx_http_acr_ring_write_all(void *data, ngx_log_t *log)
{
    ngx_http_acr_lane_t *lane = data;

    ngx_int_t             rc;
    ngx_http_acr_slot_t  *slot;

    for (slot = lane->taken; slot; slot = slot->next[lane->number]) {
        rc = ngx_http_acr_ring_write(lane->ring, slot, log);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_ring_write(ngx_http_acr_ring_t *ring, ngx_http_acr_slot_t *slot,
    ngx_log_t *log)
{
    int      fd;
    size_t   done;
    ssize_t  n;

    fd = ring->fd;

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
ngx_http_acr_ring_hash_all(void *data, ngx_log_t *log)
{
    ngx_http_acr_lane_t *lane = data;

    ngx_http_acr_slot_t  *slot;

    for (slot = lane->taken; slot; slot = slot->next[lane->number]) {
        acr_hash_update(&lane->ring->hash, slot->data, slot->len);
    }

    return NGX_OK;
}


static void
ngx_http_acr_ring_done(void *data, ngx_int_t rc)
{
    ngx_http_acr_lane_t *lane = data;

    ngx_http_acr_slot_t        *slot;
    ngx_http_acr_ring_t        *ring;
    ngx_http_acr_ring_owner_t   owner;

    ring = lane->ring;

    if (rc != NGX_OK) {
        ring->error = rc;
    }

    for (slot = lane->taken; slot; slot = slot->next[lane->number]) {
        slot->lanes--;

        if (lane->number == NGX_HTTP_ACR_RING_WRITE && rc == NGX_OK) {
            ring->written = slot->offset + slot->len;
        }

        if (slot->lanes == 0 && slot->large && !ring->fast) {
            ngx_http_acr_ring_release(ring, slot);
        }
    }

    lane->taken = NULL;

    ngx_http_acr_ring_begin(lane);

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

    ngx_http_acr_ring_flush(ring);
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

        if (slot->data && slot->lanes == 0) {
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
