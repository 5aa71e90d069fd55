
#include "../ngx_http_acr.h"


typedef struct {
    ngx_atomic_t               serial;     /* 0: never used */
    ngx_atomic_t               state;
    ngx_atomic_t               owner;      /* its pid, and... */
    ngx_atomic_t               worker;     /* ...its place in the zone */
    ngx_atomic_t               size;       /* 0: not known, else 1 more */
    ngx_atomic_t               mark;
    ngx_atomic_t               error;
    ngx_atomic_t               source;
    uint32_t                   registry;
    uint32_t                   len;
    u_char                     digest[ACR_DIGEST_MAX];
} ngx_http_acr_fills_slot_t;


struct ngx_http_acr_fills_s {
    ngx_atomic_t               serial;     /* the last that was given */
    ngx_atomic_t               turn;       /* of what is received... */
    ngx_atomic_t               taken;      /* ...and how much that is */
    ngx_http_acr_fills_slot_t  slots[NGX_HTTP_ACR_FILLS_MAX];
};


static ngx_http_acr_fills_slot_t *ngx_http_acr_fills_slot(
    ngx_http_acr_zone_t *zone, ngx_http_acr_fills_ref_t *ref);
static ngx_http_acr_fills_slot_t *ngx_http_acr_fills_find(
    ngx_http_acr_fills_t *fills, uint32_t registry, ngx_str_t *digest);
static ngx_http_acr_fills_slot_t *ngx_http_acr_fills_oldest(
    ngx_http_acr_fills_t *fills);
static ngx_uint_t ngx_http_acr_fills_runs(ngx_http_acr_zone_t *zone,
    ngx_http_acr_fills_slot_t *slot);
static ngx_uint_t ngx_http_acr_fills_count(ngx_http_acr_zone_t *zone);


size_t
ngx_http_acr_fills_size(void)
{
    return sizeof(ngx_http_acr_fills_t);
}


ngx_http_acr_fills_t *
ngx_http_acr_fills_init(void *p)
{
    ngx_memzero(p, sizeof(ngx_http_acr_fills_t));

    return p;
}


/* NULL: it is of another fill by now */

static ngx_http_acr_fills_slot_t *
ngx_http_acr_fills_slot(ngx_http_acr_zone_t *zone,
    ngx_http_acr_fills_ref_t *ref)
{
    ngx_http_acr_fills_slot_t  *slot;

    slot = &zone->fills->slots[ref->slot];

    return (slot->serial == ref->serial) ? slot : NULL;
}


ngx_int_t
ngx_http_acr_fills_join(ngx_http_acr_zone_t *zone, uint32_t registry,
    ngx_str_t *digest, ngx_http_acr_fills_ref_t *ref)
{
    ngx_int_t                   rc;
    ngx_http_acr_fills_t       *fills;
    ngx_http_acr_fills_slot_t  *slot;

    rc = NGX_OK;
    fills = zone->fills;

    ngx_shmtx_lock(&zone->shpool->mutex);

    slot = ngx_http_acr_fills_find(fills, registry, digest);

    if (slot == NULL) {
        slot = ngx_http_acr_fills_oldest(fills);

        if (slot == NULL) {
            rc = NGX_BUSY;
            goto done;
        }

        /* without a serial nobody finds it before it is all set */

        slot->serial = 0;
        ngx_memory_barrier();

        slot->state = NGX_HTTP_ACR_FILL_IDLE;
        slot->owner = 0;
        slot->size = 0;
        slot->mark = 0;
        slot->source = 0;
        slot->registry = registry;
        slot->len = digest->len;
        ngx_memcpy(slot->digest, digest->data, digest->len);

        ngx_memory_barrier();
        slot->serial = ++fills->serial;
    }

    ref->slot = slot - fills->slots;
    ref->serial = slot->serial;

done:

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return rc;
}


/* one that is not over */

static ngx_http_acr_fills_slot_t *
ngx_http_acr_fills_find(ngx_http_acr_fills_t *fills, uint32_t registry,
    ngx_str_t *digest)
{
    ngx_uint_t                  i;
    ngx_http_acr_fills_slot_t  *slot;

    for (i = 0; i < NGX_HTTP_ACR_FILLS_MAX; i++) {
        slot = &fills->slots[i];

        if (slot->serial
            && slot->state <= NGX_HTTP_ACR_FILL_RUNNING
            && slot->registry == registry
            && slot->len == digest->len
            && ngx_memcmp(slot->digest, digest->data, digest->len) == 0)
        {
            return slot;
        }
    }

    return NULL;
}


/*
 * A slot that was never used, else that of the fill which is over for longest:
 * those who have followed it have seen how it ended.  Only then one that is
 * IDLE, whose followers may have left, or were killed; if not, they join again.
 */

static ngx_http_acr_fills_slot_t *
ngx_http_acr_fills_oldest(ngx_http_acr_fills_t *fills)
{
    ngx_uint_t                  i, idle, found_idle;
    ngx_http_acr_fills_slot_t  *slot, *found;

    found = NULL;
    found_idle = 0;

    for (i = 0; i < NGX_HTTP_ACR_FILLS_MAX; i++) {
        slot = &fills->slots[i];

        if (slot->serial == 0) {
            return slot;
        }

        if (slot->state == NGX_HTTP_ACR_FILL_RUNNING) {
            continue;
        }

        idle = (slot->state == NGX_HTTP_ACR_FILL_IDLE);

        if (found == NULL
            || idle < found_idle
            || (idle == found_idle && slot->serial < found->serial))
        {
            found = slot;
            found_idle = idle;
        }
    }

    return found;
}


ngx_int_t
ngx_http_acr_fills_look(ngx_http_acr_zone_t *zone,
    ngx_http_acr_fills_ref_t *ref, ngx_http_acr_fills_look_t *look)
{
    ngx_http_acr_fills_slot_t  *slot;

    slot = ngx_http_acr_fills_slot(zone, ref);

    if (slot == NULL) {
        return NGX_DECLINED;
    }

    /* in this order: what is WHOLE has its size */

    look->state = slot->state;

    ngx_memory_barrier();

    look->size = (off_t) slot->size - 1;
    look->mark = slot->mark;
    look->error = slot->error;
    look->source = slot->source;

    if (look->state == NGX_HTTP_ACR_FILL_RUNNING
        && !ngx_http_acr_fills_runs(zone, slot))
    {
        look->state = NGX_HTTP_ACR_FILL_IDLE;
    }

    ngx_memory_barrier();

    return (slot->serial == ref->serial) ? NGX_OK : NGX_DECLINED;
}


/* a worker that was killed has lost its place to another one, or is no process
   any more */

static ngx_uint_t
ngx_http_acr_fills_runs(ngx_http_acr_zone_t *zone,
    ngx_http_acr_fills_slot_t *slot)
{
    ngx_http_acr_zone_worker_t  *worker;

    if (slot->state != NGX_HTTP_ACR_FILL_RUNNING) {
        return 0;
    }

    worker = &zone->counters->workers[slot->worker];

    return worker->pid == slot->owner && ngx_http_acr_zone_lives(worker);
}


ngx_int_t
ngx_http_acr_fills_claim(ngx_http_acr_zone_t *zone,
    ngx_http_acr_fills_ref_t *ref, uint32_t source, ngx_uint_t max)
{
    ngx_int_t                   rc;
    ngx_http_acr_fills_slot_t  *slot;

    rc = NGX_DECLINED;

    ngx_shmtx_lock(&zone->shpool->mutex);

    slot = ngx_http_acr_fills_slot(zone, ref);

    if (slot && slot->state <= NGX_HTTP_ACR_FILL_RUNNING
        && !ngx_http_acr_fills_runs(zone, slot))
    {
        if (ngx_http_acr_fills_count(zone) >= max) {
            rc = NGX_BUSY;

        } else {

            /* what another source has sent is nothing that this one has */

            if (slot->source != source) {
                slot->size = 0;
                slot->mark = 0;
                ngx_memory_barrier();
                slot->source = source;
            }

            slot->owner = ngx_pid;
            slot->worker = ngx_process_slot;
            slot->state = NGX_HTTP_ACR_FILL_RUNNING;
            rc = NGX_OK;
        }
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return rc;
}


static ngx_uint_t
ngx_http_acr_fills_count(ngx_http_acr_zone_t *zone)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < NGX_HTTP_ACR_FILLS_MAX; i++) {
        n += ngx_http_acr_fills_runs(zone, &zone->fills->slots[i]);
    }

    return n;
}


ngx_uint_t
ngx_http_acr_fills_running(ngx_http_acr_zone_t *zone)
{
    ngx_uint_t  n;

    ngx_shmtx_lock(&zone->shpool->mutex);

    n = ngx_http_acr_fills_count(zone);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return n;
}


void
ngx_http_acr_fills_set_size(ngx_http_acr_zone_t *zone,
    ngx_http_acr_fills_ref_t *ref, off_t size)
{
    zone->fills->slots[ref->slot].size = size + 1;
}


void
ngx_http_acr_fills_set_mark(ngx_http_acr_zone_t *zone,
    ngx_http_acr_fills_ref_t *ref, off_t mark)
{
    ngx_http_acr_fills_slot_t  *slot;

    slot = &zone->fills->slots[ref->slot];

    if ((off_t) slot->mark < mark) {
        slot->mark = mark;
    }
}


void
ngx_http_acr_fills_end(ngx_http_acr_zone_t *zone,
    ngx_http_acr_fills_ref_t *ref, ngx_http_acr_fill_state_e state,
    ngx_http_acr_fill_error_e error, uint32_t source)
{
    ngx_http_acr_fills_slot_t  *slot;

    ngx_shmtx_lock(&zone->shpool->mutex);

    slot = &zone->fills->slots[ref->slot];

    if (state == NGX_HTTP_ACR_FILL_WHOLE) {
        slot->mark = slot->size - 1;
    }

    slot->error = error;
    slot->source = source;
    slot->owner = 0;

    ngx_memory_barrier();
    slot->state = state;

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


ngx_int_t
ngx_http_acr_fills_take(ngx_http_acr_zone_t *zone, size_t rate, size_t n)
{
    ngx_int_t              rc;
    ngx_atomic_uint_t      turn;
    ngx_http_acr_fills_t  *fills;

    if (rate == 0) {
        return NGX_OK;
    }

    rc = NGX_OK;
    fills = zone->fills;
    turn = ngx_current_msec / NGX_HTTP_ACR_FILLS_TURN;

    ngx_shmtx_lock(&zone->shpool->mutex);

    if (fills->turn != turn) {
        fills->turn = turn;
        fills->taken = 0;
    }

    /* one piece at least, however slow */

    if (fills->taken
        && fills->taken + n > rate / (1000 / NGX_HTTP_ACR_FILLS_TURN))
    {
        rc = NGX_AGAIN;

    } else {
        fills->taken += n;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return rc;
}
