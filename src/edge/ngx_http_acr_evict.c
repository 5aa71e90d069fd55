
#include "../ngx_http_acr_registry.h"
#include "../store/ngx_http_acr_store_oldest.h"
#include "../store/ngx_http_acr_store_walk.h"
#include "ngx_http_acr_evict.h"


#define NGX_HTTP_ACR_EVICT_TICK    1000      /* ms */

/* ticks between sweeps, and between looks at the free space if nothing of ours
   has changed */
#define NGX_HTTP_ACR_EVICT_SWEEP   3600
#define NGX_HTTP_ACR_EVICT_LOOK    10

/* ms between two walks; with no limit they only correct the gauges */
#define NGX_HTTP_ACR_EVICT_PERIOD  60000
#define NGX_HTTP_ACR_EVICT_IDLE    3600000

/* a walk is this many times as long in coming as the one before has taken */
#define NGX_HTTP_ACR_EVICT_REST    20

/* files that a slice looks at, or tries to remove */
#define NGX_HTTP_ACR_EVICT_FILES   256
#define NGX_HTTP_ACR_EVICT_REMOVE  32

/* that a walk finds; each takes some 150 bytes of memory */
#define NGX_HTTP_ACR_EVICT_OLDEST  4096

/* ms for which the space of what was removed counts as free: a file that is
   still being sent, or is in nginx's cache of open files, goes later */
#define NGX_HTTP_ACR_EVICT_OPEN    60000


typedef struct {
    ngx_http_acr_registry_t      *registry;
    ngx_http_acr_sweep_t          sweep;
    ngx_http_acr_task_t           task;
    ngx_uint_t                    ticks;

    /* of a walk */
    ngx_http_acr_store_blobs_t   *blobs;     /* or NULL */
    ngx_http_acr_store_oldest_t   oldest;
    int64_t                       inactive;  /* what was used before goes; 0:
                                                nothing */
    ngx_uint_t                    count;
    ngx_uint_t                    bytes;
    ngx_uint_t                    kept;      /* bytes, when it began */
    ngx_uint_t                    known;     /* bytes of what it found, without
                                                what was removed since */
    ngx_msec_t                    began;
    ngx_msec_t                    rest;      /* ms until the next, at least */
    ngx_msec_t                    next;      /* when that is */

    /* of the free space: what there was, and what was kept then */
    uint64_t                      free;
    ngx_uint_t                    free_kept;
    ngx_msec_t                    free_time;
    ngx_uint_t                    looked;    /* what was kept at the last
                                                look */

    /* what a slice has removed */
    ngx_uint_t                    removed;
    off_t                         freed;

    unsigned                      passed:1;  /* over some of the oldest: they
                                                are used, locked, or gone */
    unsigned                      measured:1;
    unsigned                      warned:1;
} ngx_http_acr_evict_t;


static void ngx_http_acr_evict_tick(ngx_event_t *ev);
static ngx_uint_t ngx_http_acr_evict_due(ngx_http_acr_evict_t *evict);
static ngx_uint_t ngx_http_acr_evict_kept(ngx_http_acr_evict_t *evict);
static void ngx_http_acr_evict_walk(ngx_http_acr_evict_t *evict);
static ngx_int_t ngx_http_acr_evict_walk_slice(void *data, ngx_log_t *log);
static void ngx_http_acr_evict_walk_done(void *data, ngx_int_t rc);
static void ngx_http_acr_evict_walked(ngx_http_acr_evict_t *evict);
static ngx_int_t ngx_http_acr_evict_slice(void *data, ngx_log_t *log);
static void ngx_http_acr_evict_done(void *data, ngx_int_t rc);
static ngx_uint_t ngx_http_acr_evict_over(ngx_http_acr_evict_t *evict,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_evict_free(ngx_http_acr_evict_t *evict,
    uint64_t *bytes, ngx_log_t *log);
static ngx_int_t ngx_http_acr_evict_one(ngx_http_acr_evict_t *evict,
    ngx_http_acr_store_aged_t *aged, ngx_log_t *log);
static void ngx_http_acr_evict_post(ngx_http_acr_evict_t *evict,
    ngx_http_acr_work_pt work, ngx_http_acr_done_pt done);
static void ngx_http_acr_evict_say(ngx_http_acr_evict_t *evict);


ngx_int_t
ngx_http_acr_evict_start(ngx_http_acr_registry_t *registry, ngx_cycle_t *cycle)
{
    ngx_http_acr_evict_t  *evict;

    if (ngx_http_acr_used_start(registry, cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    /* during a reload there may be two, of which none harms the other */

    if (ngx_worker != 0) {
        return NGX_OK;
    }

    evict = ngx_pcalloc(cycle->pool, sizeof(ngx_http_acr_evict_t));

    if (evict == NULL) {
        return NGX_ERROR;
    }

    evict->registry = registry;
    evict->sweep.registry = registry;
    evict->next = ngx_current_msec;
    evict->oldest.max = NGX_HTTP_ACR_EVICT_OLDEST;
    evict->oldest.elts = ngx_palloc(cycle->pool,
                                    NGX_HTTP_ACR_EVICT_OLDEST
                                    * sizeof(ngx_http_acr_store_aged_t));

    if (evict->oldest.elts == NULL) {
        return NGX_ERROR;
    }

    registry->keeper.data = evict;
    registry->keeper.handler = ngx_http_acr_evict_tick;
    registry->keeper.log = cycle->log;
    registry->keeper.cancelable = 1;

    ngx_add_timer(&registry->keeper, NGX_HTTP_ACR_EVICT_TICK);

    return NGX_OK;
}


void
ngx_http_acr_evict_stored(ngx_http_acr_registry_t *registry, off_t size)
{
    ngx_http_acr_gauge_more(registry->zone, NGX_HTTP_ACR_C_KEPT_BLOBS, 1);
    ngx_http_acr_gauge_more(registry->zone, NGX_HTTP_ACR_C_KEPT_BYTES, size);
}


static void
ngx_http_acr_evict_tick(ngx_event_t *ev)
{
    ngx_http_acr_evict_t  *evict;

    evict = ev->data;

    if (ngx_exiting) {
        return;
    }

    ngx_add_timer(ev, NGX_HTTP_ACR_EVICT_TICK);

    if (evict->ticks++ % NGX_HTTP_ACR_EVICT_SWEEP == 0) {
        ngx_http_acr_sweep(&evict->sweep);
    }

    if (evict->task.active) {
        return;
    }

    if ((ngx_msec_int_t) (ngx_current_msec - evict->next) >= 0) {
        ngx_http_acr_evict_walk(evict);

    } else if (ngx_http_acr_evict_due(evict)) {
        ngx_http_acr_evict_post(evict, ngx_http_acr_evict_slice,
                                ngx_http_acr_evict_done);
    }
}


/* there may be too much: a thread knows it, or does at once what is known */

static ngx_uint_t
ngx_http_acr_evict_due(ngx_http_acr_evict_t *evict)
{
    ngx_uint_t                  kept;
    ngx_http_acr_edge_cache_t  *limits;

    limits = &evict->registry->edge_cache;
    kept = ngx_http_acr_evict_kept(evict);

    if (limits->max_size && kept > (ngx_uint_t) limits->max_size) {
        return 1;
    }

    return limits->min_free
           && (kept != evict->looked
               || evict->ticks % NGX_HTTP_ACR_EVICT_LOOK == 0);
}


static ngx_uint_t
ngx_http_acr_evict_kept(ngx_http_acr_evict_t *evict)
{
    return ngx_http_acr_counted(evict->registry->zone,
                                NGX_HTTP_ACR_C_KEPT_BYTES);
}


/* --- a walk */

static void
ngx_http_acr_evict_walk(ngx_http_acr_evict_t *evict)
{
    time_t                    inactive;
    ngx_http_acr_registry_t  *registry;

    registry = evict->registry;
    inactive = registry->edge_cache.inactive;

    evict->began = ngx_current_msec;
    evict->kept = ngx_http_acr_evict_kept(evict);
    evict->count = 0;
    evict->bytes = 0;

    evict->inactive = inactive ? (int64_t) (ngx_time() - inactive
                                        - ngx_http_acr_used_grain(registry))
                                 * 1000000
                               : 0;

    ngx_http_acr_store_oldest_clear(&evict->oldest);

    ngx_http_acr_evict_post(evict, ngx_http_acr_evict_walk_slice,
                            ngx_http_acr_evict_walk_done);
}


static ngx_int_t
ngx_http_acr_evict_walk_slice(void *data, ngx_log_t *log)
{
    ngx_http_acr_evict_t *evict = data;

    ngx_int_t                  rc;
    ngx_uint_t                 i;
    ngx_http_acr_store_aged_t  aged;

    evict->removed = 0;
    evict->freed = 0;

    if (evict->blobs == NULL) {
        evict->blobs = ngx_http_acr_store_blobs_open(&evict->registry->store,
                                                     NULL, log);
        if (evict->blobs == NULL) {
            return NGX_ERROR;
        }
    }

    for (i = 0; i < NGX_HTTP_ACR_EVICT_FILES; i++) {

        rc = ngx_http_acr_store_blobs_next(evict->blobs, &aged.digest,
                                           &aged.size, log);
        if (rc == NGX_DONE) {
            return NGX_OK;
        }

        /* a directory that cannot be read is passed over */

        if (rc != NGX_OK) {
            continue;
        }

        aged.used = ngx_http_acr_store_blobs_used(evict->blobs);

        if (aged.used < evict->inactive
            && ngx_http_acr_evict_one(evict, &aged, log) == NGX_OK)
        {
            continue;
        }

        evict->count++;
        evict->bytes += aged.size;

        ngx_http_acr_store_oldest_add(&evict->oldest, &aged);
    }

    return NGX_AGAIN;
}


static void
ngx_http_acr_evict_walk_done(void *data, ngx_int_t rc)
{
    ngx_http_acr_evict_t *evict = data;

    ngx_http_acr_evict_say(evict);

    if (rc == NGX_AGAIN && !ngx_exiting) {
        ngx_http_acr_evict_post(evict, ngx_http_acr_evict_walk_slice,
                                ngx_http_acr_evict_walk_done);
        return;
    }

    if (evict->blobs) {
        ngx_http_acr_store_blobs_close(evict->blobs);
        evict->blobs = NULL;
    }

    if (rc == NGX_OK && !ngx_exiting) {
        ngx_http_acr_evict_walked(evict);
        return;
    }

    /* what was found is not all */

    ngx_http_acr_store_oldest_clear(&evict->oldest);

    evict->next = ngx_current_msec + NGX_HTTP_ACR_EVICT_PERIOD;
}


static void
ngx_http_acr_evict_walked(ngx_http_acr_evict_t *evict)
{
    ngx_uint_t                  changed;
    ngx_msec_t                  period;
    ngx_http_acr_zone_t        *zone;
    ngx_http_acr_edge_cache_t  *limits;

    zone = evict->registry->zone;
    limits = &evict->registry->edge_cache;

    /* what came in behind the walk is found by the next one */

    changed = (ngx_http_acr_evict_kept(evict) != evict->kept);

    ngx_http_acr_gauge_set(zone, NGX_HTTP_ACR_C_KEPT_BLOBS, evict->count);
    ngx_http_acr_gauge_set(zone, NGX_HTTP_ACR_C_KEPT_BYTES, evict->bytes);

    ngx_http_acr_store_oldest_sort(&evict->oldest);

    evict->passed = 0;
    evict->measured = 0;
    evict->known = evict->bytes;
    evict->rest = (ngx_current_msec - evict->began) * NGX_HTTP_ACR_EVICT_REST;

    if (changed) {
        period = NGX_HTTP_ACR_EVICT_TICK;

    } else if (limits->inactive) {
        period = ngx_http_acr_used_grain(evict->registry) * 1000;
        period = ngx_min(period, NGX_HTTP_ACR_EVICT_PERIOD);

    } else if (limits->max_size || limits->min_free) {
        period = NGX_HTTP_ACR_EVICT_PERIOD;

    } else {
        period = NGX_HTTP_ACR_EVICT_IDLE;
    }

    evict->next = ngx_current_msec + ngx_max(period, evict->rest);

    if (ngx_http_acr_evict_due(evict)) {
        ngx_http_acr_evict_post(evict, ngx_http_acr_evict_slice,
                                ngx_http_acr_evict_done);
    }
}


/* --- the oldest */

/* NGX_AGAIN: there is more to do; NGX_DECLINED: there would be, but nothing is
   left that is known */

static ngx_int_t
ngx_http_acr_evict_slice(void *data, ngx_log_t *log)
{
    ngx_http_acr_evict_t *evict = data;

    ngx_int_t                   rc;
    ngx_uint_t                  i;
    ngx_http_acr_zone_t        *zone;
    ngx_http_acr_store_aged_t  *aged;

    zone = evict->registry->zone;

    evict->removed = 0;
    evict->freed = 0;

    for (i = 0; i < NGX_HTTP_ACR_EVICT_REMOVE; i++) {

        if (!ngx_http_acr_evict_over(evict, log)) {
            return NGX_OK;
        }

        aged = ngx_http_acr_store_oldest_next(&evict->oldest);

        if (aged == NULL) {
            return NGX_DECLINED;
        }

        rc = ngx_http_acr_evict_one(evict, aged, log);

        if (rc == NGX_OK) {
            evict->known -= aged->size;

            ngx_http_acr_gauge_less(zone, NGX_HTTP_ACR_C_KEPT_BLOBS, 1);
            ngx_http_acr_gauge_less(zone, NGX_HTTP_ACR_C_KEPT_BYTES,
                                    aged->size);

        } else if (rc == NGX_DECLINED || rc == NGX_AGAIN) {
            evict->passed = 1;
        }
    }

    return NGX_AGAIN;
}


static void
ngx_http_acr_evict_done(void *data, ngx_int_t rc)
{
    ngx_http_acr_evict_t *evict = data;

    ngx_msec_t  soon;

    ngx_http_acr_evict_say(evict);

    if (ngx_exiting) {
        return;
    }

    if (rc == NGX_AGAIN) {
        ngx_http_acr_evict_post(evict, ngx_http_acr_evict_slice,
                                ngx_http_acr_evict_done);
        return;
    }

    evict->looked = ngx_http_acr_evict_kept(evict);

    if (rc == NGX_OK) {
        evict->warned = 0;
        return;
    }

    /* does a walk find more? */

    if (evict->oldest.more || evict->passed || evict->looked > evict->known) {
        soon = evict->began + evict->rest;

        if ((ngx_msec_int_t) (evict->next - soon) > 0) {
            evict->next = soon;
        }

        return;
    }

    if (!evict->warned) {
        evict->warned = 1;

        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "acr: nothing more can be removed from \"%V\", but the "
                      "limits of \"acr_edge_cache\" are not kept",
                      &evict->registry->store.root);
    }
}


/* is there too much? */

static ngx_uint_t
ngx_http_acr_evict_over(ngx_http_acr_evict_t *evict, ngx_log_t *log)
{
    uint64_t                    bytes;
    ngx_uint_t                  kept;
    ngx_http_acr_edge_cache_t  *limits;

    limits = &evict->registry->edge_cache;
    kept = ngx_http_acr_evict_kept(evict);

    if (limits->max_size && kept > (ngx_uint_t) limits->max_size) {
        return 1;
    }

    return limits->min_free
           && ngx_http_acr_evict_free(evict, &bytes, log) == NGX_OK
           && bytes < (uint64_t) limits->min_free;
}


/*
 * What is free, or will be when all that was removed lately is closed: else the
 * space of one file that is still open would cost all others.
 */

static ngx_int_t
ngx_http_acr_evict_free(ngx_http_acr_evict_t *evict, uint64_t *bytes,
    ngx_log_t *log)
{
    uint64_t    will;
    ngx_uint_t  kept;

    if (ngx_http_acr_store_free(&evict->registry->store, bytes, log)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    kept = ngx_http_acr_evict_kept(evict);

    if (!evict->measured
        || ngx_current_msec - evict->free_time >= NGX_HTTP_ACR_EVICT_OPEN)
    {
        evict->measured = 1;
        evict->free = *bytes;
        evict->free_kept = kept;
        evict->free_time = ngx_current_msec;
    }

    will = evict->free + evict->free_kept;
    will = (will > kept) ? will - kept : 0;

    *bytes = ngx_max(*bytes, will);

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_evict_one(ngx_http_acr_evict_t *evict,
    ngx_http_acr_store_aged_t *aged, ngx_log_t *log)
{
    off_t                 freed;
    ngx_int_t             rc;
    ngx_http_acr_zone_t  *zone;

    zone = evict->registry->zone;

    rc = ngx_http_acr_store_evict(&evict->registry->store, &aged->digest,
                                  aged->used, &freed, log);

    if (rc == NGX_OK) {
        evict->removed++;
        evict->freed += freed;

        ngx_http_acr_count(zone, NGX_HTTP_ACR_C_EVICTED_BLOBS, 1);
        ngx_http_acr_count(zone, NGX_HTTP_ACR_C_EVICTED_BYTES, freed);
    }

    return rc;
}


/* if the pool takes no more now, a later tick tries it again */

static void
ngx_http_acr_evict_post(ngx_http_acr_evict_t *evict, ngx_http_acr_work_pt work,
    ngx_http_acr_done_pt done)
{
    evict->task.work = work;
    evict->task.done = done;
    evict->task.data = evict;

    if (ngx_http_acr_task_post(&evict->task, evict->registry->slow) != NGX_OK
        && evict->blobs)
    {
        ngx_http_acr_store_blobs_close(evict->blobs);
        evict->blobs = NULL;
    }
}


static void
ngx_http_acr_evict_say(ngx_http_acr_evict_t *evict)
{
    if (evict->removed) {
        ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                      "acr: %ui blobs of %O bytes removed from \"%V\"",
                      evict->removed, evict->freed,
                      &evict->registry->store.root);
    }
}
