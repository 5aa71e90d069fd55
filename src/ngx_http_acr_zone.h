
/*
 * acr_zone: the shared memory of a registry.  It belongs to one registry, is
 * shared by its workers, and survives a reload.  In it are the verified
 * credentials (src/auth), the answers to lookups (ngx_http_acr_cache.h), what
 * is being fetched from other registries (ngx_http_acr_fills.h), and counters.
 *
 * The counters are listed here and nowhere else: a row of a table below is a
 * metric, which acr_metrics prints.  Every label has a fixed set of values, so
 * that nothing a client sends makes a new series.
 *
 * The functions of counters may be called in any thread and cost an atomic
 * addition.  They take a zone that is NULL (there is no acr_zone), and do
 * nothing then.
 */

#ifndef NGX_HTTP_ACR_ZONE_H
#define NGX_HTTP_ACR_ZONE_H

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_acr_cache.h"
#include "edge/ngx_http_acr_fills.h"


/* --- labels: X(value) */

/* bytes of a zone that has room for fills, and for what is known of tags
   elsewhere */
#define NGX_HTTP_ACR_ZONE_FILLS  (2 * 1024 * 1024)


/* the router's names of operations; "none": refused before that was known */
#define NGX_HTTP_ACR_OPERATIONS(X)                                           \
    X(none) X(base_get) X(extensions_get) X(catalog_get) X(tags_get)         \
    X(referrers_get) X(blob_get) X(blob_delete) X(data_get) X(upload_post)   \
    X(upload_patch) X(upload_put) X(upload_get) X(upload_delete)             \
    X(manifest_get) X(manifest_put) X(manifest_delete)                       \
    X(admin_stats) X(admin_sessions) X(admin_rebuild) X(admin_rebuild_get)   \
    X(admin_gc) X(admin_gc_get) X(admin_gc_stop) X(admin_scrub)              \
    X(admin_scrub_get) X(admin_scrub_stop) X(admin_access) X(admin_remotes)  \
    X(admin_prewarm) X(admin_cache_rules)                                    \
    X(token_get) X(token_post) X(token_exchange) X(token_keys)               \
    X(acr_catalog_get) X(acr_repository_get) X(acr_repository_patch)         \
    X(acr_repository_delete) X(acr_tags_get) X(acr_tag_get)                  \
    X(acr_tag_patch) X(acr_tag_delete) X(acr_manifests_get)                  \
    X(acr_manifest_get) X(acr_manifest_patch) X(events_get)

/* the codes that we send; what is not here counts for its class */
#define NGX_HTTP_ACR_STATUSES(X)                                             \
    X(200) X(201) X(202) X(204) X(206) X(304) X(307) X(400) X(401) X(403)    \
    X(404) X(405) X(408) X(409) X(412) X(413) X(416) X(429) X(499) X(500)    \
    X(503) X(507) X(2xx) X(3xx) X(4xx) X(5xx) X(none)

/* where the answer to a lookup was found */
#define NGX_HTTP_ACR_SOURCES(X)  X(redis) X(disk) X(memory)

/* what has come of credentials: they were known, have been verified, or were
   wrong */
#define NGX_HTTP_ACR_RESULTS(X)  X(known) X(verified) X(refused)

/* why a call of Redis had no useful answer */
#define NGX_HTTP_ACR_KINDS(X)    X(down) X(error) X(deadline)

#define NGX_HTTP_ACR_POOLS(X)    X(acr) X(acr_slow)

/* $acr_cache_status */
#define NGX_HTTP_ACR_CACHES(X)                                               \
    X(HIT) X(MISS) X(STALE) X(REVALIDATED) X(EXPIRED)

#define NGX_HTTP_ACR_NOTHING(X)  X(x)


/* --- metrics: X(id, type, label, second label, name, help)
       COUNTER    only rises
       GAUGE      whoever knows it sets it
       HISTOGRAM  of times */

#define NGX_HTTP_ACR_METRICS(X)                                              \
                                                                             \
    X(REQUESTS, COUNTER, OPERATION, STATUS, "acr_requests_total",            \
      "Requests that were answered.")                                        \
    X(REQUEST_TIME, HISTOGRAM, OPERATION, NOTHING,                           \
      "acr_request_duration_seconds",                                        \
      "Time from the first byte of a request to the last of its answer.")    \
    X(RECEIVED, COUNTER, NOTHING, NOTHING, "acr_received_bytes_total",       \
      "Bytes of requests, heads included.")                                  \
    X(SENT, COUNTER, NOTHING, NOTHING, "acr_sent_bytes_total",               \
      "Bytes of answers, heads included.")                                   \
    X(SESSIONS, GAUGE, NOTHING, NOTHING, "acr_upload_sessions",              \
      "Open upload sessions of the registry, on all nodes.")                 \
    X(LOOKUPS, COUNTER, SOURCE, NOTHING, "acr_lookups_total",                \
      "Lookups of tags, manifests and blobs, by what answered them.")        \
    X(LOGINS, COUNTER, RESULT, NOTHING, "acr_logins_total",                  \
      "Credentials that requests had, by what has come of them.")            \
    X(BEHIND, GAUGE, NOTHING, NOTHING, "acr_index_behind",                   \
      "Whether Redis has lost something that is to be rebuilt.")             \
    X(PENDING_AGE, GAUGE, NOTHING, NOTHING, "acr_pending_age_seconds",       \
      "Age of the oldest change whose disk step is not done.")               \
                                                                             \
    X(REDIS_CALLS, COUNTER, NOTHING, NOTHING, "acr_redis_calls_total",       \
      "Scripts that Redis was asked to run.")                                \
    X(REDIS_ERRORS, COUNTER, KIND, NOTHING, "acr_redis_errors_total",        \
      "Calls of Redis that had no useful answer.")                           \
    X(REDIS_CONNECTS, COUNTER, NOTHING, NOTHING, "acr_redis_connects_total", \
      "Connections to Redis that were made.")                                \
    X(REDIS_TIME, HISTOGRAM, NOTHING, NOTHING,                               \
      "acr_redis_call_duration_seconds",                                     \
      "Time from a call of Redis to its answer.")                            \
                                                                             \
    X(TASKS, COUNTER, POOL, NOTHING, "acr_thread_tasks_total",               \
      "Tasks that were given to a thread pool.")                             \
    X(TASKS_REFUSED, COUNTER, POOL, NOTHING, "acr_thread_refused_total",     \
      "Tasks that a thread pool did not take, because its queue is full.")   \
                                                                             \
    X(SYNC_TIME, HISTOGRAM, NOTHING, NOTHING, "acr_sync_duration_seconds",   \
      "Time of fsync() and fdatasync().")                                    \
    X(SYNC_ERRORS, COUNTER, NOTHING, NOTHING, "acr_sync_errors_total",       \
      "Calls of fsync() and fdatasync() that have failed.")                  \
                                                                             \
    X(COLLECTED_BLOBS, COUNTER, NOTHING, NOTHING,                            \
      "acr_collected_blobs_total",                                           \
      "Contents that the garbage collector has removed.")                    \
    X(COLLECTED_BYTES, COUNTER, NOTHING, NOTHING,                            \
      "acr_collected_bytes_total",                                           \
      "Bytes that the garbage collector has freed.")                         \
    X(COLLECTED_LINKS, COUNTER, NOTHING, NOTHING,                            \
      "acr_collected_links_total",                                           \
      "Links to layers that the garbage collector has removed.")             \
    X(COLLECTED_MANIFESTS, COUNTER, NOTHING, NOTHING,                        \
      "acr_collected_manifests_total",                                       \
      "Untagged manifests that the garbage collector has removed.")          \
    X(SCRUBBED_BLOBS, COUNTER, NOTHING, NOTHING,                             \
      "acr_scrubbed_blobs_total",                                            \
      "Contents that were compared with their digests.")                     \
    X(SCRUBBED_BYTES, COUNTER, NOTHING, NOTHING,                             \
      "acr_scrubbed_bytes_total",                                            \
      "Bytes that were read for that.")                                      \
    X(SCRUB_BROKEN, COUNTER, NOTHING, NOTHING, "acr_scrub_broken_total",     \
      "Contents that did not match their digests.")                          \
    X(BROKEN, GAUGE, NOTHING, NOTHING, "acr_broken_contents",                \
      "Contents that a scrub has found broken and nobody has pushed since.") \
    X(GC_FINISHED, GAUGE, NOTHING, NOTHING,                                  \
      "acr_gc_finished_timestamp_seconds",                                   \
      "When the garbage collector has ended last, on any node.")             \
    X(SCRUB_FINISHED, GAUGE, NOTHING, NOTHING,                               \
      "acr_scrub_finished_timestamp_seconds",                                \
      "When a scrub has ended last, on any node.")                           \
    X(REBUILT_REPOSITORIES, COUNTER, NOTHING, NOTHING,                       \
      "acr_rebuilt_repositories_total",                                      \
      "Repositories whose index was made anew from the directory.")          \
    X(REBUILT_MANIFESTS, COUNTER, NOTHING, NOTHING,                          \
      "acr_rebuilt_manifests_total",                                         \
      "Manifests that were read for that.")                                  \
                                                                             \
    X(CACHE_REQUESTS, COUNTER, CACHE, NOTHING, "acr_cache_requests_total",   \
      "Requests for what may come from elsewhere, by where it was.")         \
    X(CACHE_SENT, COUNTER, CACHE, NOTHING, "acr_cache_sent_bytes_total",     \
      "Bytes of their answers, heads included.")                             \
    X(FETCHED, COUNTER, NOTHING, NOTHING, "acr_fetched_bytes_total",         \
      "Bytes of contents that came from other registries.")                  \
    X(EVENTS_UP, GAUGE, NOTHING, NOTHING, "acr_origin_events_up",            \
      "Whether an edge node hears of changes at its origin.")                \
    X(KEPT_BLOBS, GAUGE, NOTHING, NOTHING, "acr_edge_blobs",                 \
      "Contents that an edge node keeps.")                                   \
    X(KEPT_BYTES, GAUGE, NOTHING, NOTHING, "acr_edge_bytes",                 \
      "Their bytes.")                                                        \
    X(EVICTED_BLOBS, COUNTER, NOTHING, NOTHING,                              \
      "acr_edge_evicted_blobs_total",                                        \
      "Contents that an edge node has removed to make room.")                \
    X(EVICTED_BYTES, COUNTER, NOTHING, NOTHING,                              \
      "acr_edge_evicted_bytes_total",                                        \
      "Their bytes.")

/*
 * What each worker has of its own: a worker begins with zeros, and only those
 * of living workers are printed, so that one that is killed leaves nothing.
 *     SUM, MIN: what the node has, from what its workers have; MIN is of
 *     Redis, and left out where there is none
 */

#define NGX_HTTP_ACR_WORKER_METRICS(X)                                       \
                                                                             \
    X(REQUESTS, SUM, OPERATION, NOTHING, "acr_requests_in_progress",         \
      "Requests that are being answered.")                                   \
    X(TASKS, SUM, POOL, NOTHING, "acr_thread_tasks",                         \
      "Tasks of a thread pool that are queued or run.")                      \
    X(FILLS, SUM, NOTHING, NOTHING, "acr_fills",                             \
      "Contents that are being fetched from other registries.")              \
    X(FOLLOWERS, SUM, NOTHING, NOTHING, "acr_fill_followers",                \
      "Requests that are sent these, or wait for them.")                     \
    X(REDIS_UP, MIN, NOTHING, NOTHING, "acr_redis_up",                       \
      "Whether every worker of this node can use Redis.")                    \
    X(FEED_UP, MIN, NOTHING, NOTHING, "acr_feed_up",                         \
      "Whether every worker of this node hears what others change.")


/* upper bounds of a histogram's buckets, but for the last: X(us, seconds) */

#define NGX_HTTP_ACR_BOUNDS(X)                                               \
    X(200, "0.0002") X(1000, "0.001") X(5000, "0.005") X(20000, "0.02")      \
    X(100000, "0.1") X(500000, "0.5") X(2000000, "2") X(10000000, "10")      \
    X(60000000, "60")


/* --- what the lists become */

#define NGX_HTTP_ACR_ONE(...)  + 1

enum {
    NGX_HTTP_ACR_N_OPERATION = 0 NGX_HTTP_ACR_OPERATIONS(NGX_HTTP_ACR_ONE),
    NGX_HTTP_ACR_N_STATUS = 0 NGX_HTTP_ACR_STATUSES(NGX_HTTP_ACR_ONE),
    NGX_HTTP_ACR_N_SOURCE = 0 NGX_HTTP_ACR_SOURCES(NGX_HTTP_ACR_ONE),
    NGX_HTTP_ACR_N_RESULT = 0 NGX_HTTP_ACR_RESULTS(NGX_HTTP_ACR_ONE),
    NGX_HTTP_ACR_N_KIND = 0 NGX_HTTP_ACR_KINDS(NGX_HTTP_ACR_ONE),
    NGX_HTTP_ACR_N_POOL = 0 NGX_HTTP_ACR_POOLS(NGX_HTTP_ACR_ONE),
    NGX_HTTP_ACR_N_CACHE = 0 NGX_HTTP_ACR_CACHES(NGX_HTTP_ACR_ONE),
    NGX_HTTP_ACR_N_NOTHING = 1,
    NGX_HTTP_ACR_N_BOUNDS = 0 NGX_HTTP_ACR_BOUNDS(NGX_HTTP_ACR_ONE)
};

/* NGX_HTTP_ACR_SOURCE_disk, NGX_HTTP_ACR_KIND_down, NGX_HTTP_ACR_POOL_acr:
   to be added to the metric's number */

#define NGX_HTTP_ACR_LABEL(value)  NGX_HTTP_ACR_SOURCE_##value,
enum { NGX_HTTP_ACR_SOURCES(NGX_HTTP_ACR_LABEL) };
#undef NGX_HTTP_ACR_LABEL

#define NGX_HTTP_ACR_LABEL(value)  NGX_HTTP_ACR_RESULT_##value,
enum { NGX_HTTP_ACR_RESULTS(NGX_HTTP_ACR_LABEL) };
#undef NGX_HTTP_ACR_LABEL

#define NGX_HTTP_ACR_LABEL(value)  NGX_HTTP_ACR_KIND_##value,
enum { NGX_HTTP_ACR_KINDS(NGX_HTTP_ACR_LABEL) };
#undef NGX_HTTP_ACR_LABEL

#define NGX_HTTP_ACR_LABEL(value)  NGX_HTTP_ACR_POOL_##value,
enum { NGX_HTTP_ACR_POOLS(NGX_HTTP_ACR_LABEL) };
#undef NGX_HTTP_ACR_LABEL

/* words of one series; of a histogram: the buckets, and the sum in us */

#define NGX_HTTP_ACR_WORDS_COUNTER    1
#define NGX_HTTP_ACR_WORDS_GAUGE      1
#define NGX_HTTP_ACR_WORDS_SUM        1
#define NGX_HTTP_ACR_WORDS_MIN        1
#define NGX_HTTP_ACR_WORDS_MAX        1
#define NGX_HTTP_ACR_WORDS_HISTOGRAM  (NGX_HTTP_ACR_N_BOUNDS + 2)

#define NGX_HTTP_ACR_WORDS(type, one, two)                                   \
    (NGX_HTTP_ACR_WORDS_##type * NGX_HTTP_ACR_N_##one * NGX_HTTP_ACR_N_##two)

/* NGX_HTTP_ACR_C_RECEIVED, of all workers together, and NGX_HTTP_ACR_W_TASKS,
   of each: the number of the metric's first word */

enum {
#define NGX_HTTP_ACR_FIRST(id, type, one, two, name, help)                   \
    NGX_HTTP_ACR_C_##id,                                                     \
    NGX_HTTP_ACR_C_LAST_##id = NGX_HTTP_ACR_C_##id                           \
                               + NGX_HTTP_ACR_WORDS(type, one, two) - 1,
    NGX_HTTP_ACR_METRICS(NGX_HTTP_ACR_FIRST)
#undef NGX_HTTP_ACR_FIRST
    NGX_HTTP_ACR_C_N
};

enum {
#define NGX_HTTP_ACR_FIRST(id, type, one, two, name, help)                   \
    NGX_HTTP_ACR_W_##id,                                                     \
    NGX_HTTP_ACR_W_LAST_##id = NGX_HTTP_ACR_W_##id                           \
                               + NGX_HTTP_ACR_WORDS(type, one, two) - 1,
    NGX_HTTP_ACR_WORKER_METRICS(NGX_HTTP_ACR_FIRST)
#undef NGX_HTTP_ACR_FIRST
    NGX_HTTP_ACR_W_N
};


/* --- the zone */

typedef struct {
    ngx_atomic_t                  pid;       /* 0: not in use */
    ngx_atomic_t                  words[NGX_HTTP_ACR_W_N];
} ngx_http_acr_zone_worker_t;

/*
 * Workers count in one of several parts, which are added up when they are
 * printed, so that they do not take lines of memory from each other.  Gauges
 * are in the first part.
 */

#define NGX_HTTP_ACR_ZONE_PARTS   8

typedef struct {
    ngx_atomic_t                  words[NGX_HTTP_ACR_C_N];
    u_char                        apart[NGX_CPU_CACHE_LINE];
} ngx_http_acr_zone_part_t;

typedef struct {
    ngx_http_acr_zone_part_t      parts[NGX_HTTP_ACR_ZONE_PARTS];
    ngx_http_acr_zone_worker_t    workers[NGX_MAX_PROCESSES];
} ngx_http_acr_counters_t;

#define NGX_HTTP_ACR_ZONE_SECRET  32

/* more would be for fewer names each */
#define NGX_HTTP_ACR_GENERATIONS  4096

/* the first thing in the zone; another version has another number */

typedef struct {
    ngx_uint_t                    version;
    ngx_http_acr_counters_t      *counters;
    void                         *credentials;  /* of src/auth, or NULL */
    ngx_http_acr_cache_t         *cache;     /* NULL: the zone is too small */
    ngx_http_acr_fills_t         *fills;
    u_char                        secret[NGX_HTTP_ACR_ZONE_SECRET];
                                             /* nobody else knows it */

    /* raised when something has changed at the origin, and so has what an edge
       node keeps of it: of all, and of the names with the hash */
    ngx_atomic_t                  origin;    /* the hash of its host */
    ngx_atomic_t                  next;      /* event of the origin, and one
                                                more; 0: none was heard of */
    ngx_atomic_t                  generation; /* begins with the time */
    ngx_atomic_t                  generations[NGX_HTTP_ACR_GENERATIONS];
} ngx_http_acr_zone_head_t;

typedef struct ngx_http_acr_zone_s {
    ngx_str_t                     name;
    size_t                        size;
    void                         *owner;     /* the registry that it is of */
    ngx_slab_pool_t              *shpool;    /* NULL: not there yet */
    void                        **credentials;  /* in the head */
    ngx_http_acr_cache_t         *cache;     /* or NULL */
    ngx_http_acr_fills_t         *fills;
    ngx_http_acr_zone_head_t     *head;
    ngx_http_acr_counters_t      *counters;  /* in shared memory */
    ngx_atomic_t                 *words;     /* of the part of this worker */
    ngx_http_acr_zone_worker_t   *worker;    /* of this worker, or NULL */
} ngx_http_acr_zone_t;


/*
 * "acr_zone name:size": the zone, made or found by its name, whose shared
 * memory is there when the configuration has been read.  *zone is set on
 * NGX_CONF_OK; else what is wrong, as a directive returns it.
 */
char *ngx_http_acr_zone_conf(ngx_conf_t *cf, ngx_http_acr_zone_t **zone);

/* for init_process and exit_process: this worker's own words */
void ngx_http_acr_zone_start(ngx_http_acr_zone_t *zone);
void ngx_http_acr_zone_stop(ngx_http_acr_zone_t *zone);

/* 1 if these words are of a worker that lives */
ngx_uint_t ngx_http_acr_zone_lives(ngx_http_acr_zone_worker_t *worker);

/* what ngx_http_acr_store_t calls after each sync; data is the zone */
void ngx_http_acr_zone_synced(void *data, uint64_t us, ngx_err_t err);

/* a clock for times in us; it has no date */
uint64_t ngx_http_acr_zone_clock(void);


/*
 * The generation of what is kept of a name in a repository: a tag, a digest, or
 * the empty one for its lists.  And a new one: of the name, without a name of
 * all of the repository, without a repository of everything.
 */
uint64_t ngx_http_acr_generation(ngx_http_acr_zone_t *zone,
    ngx_str_t *repository, ngx_str_t *name);
void ngx_http_acr_generation_raise(ngx_http_acr_zone_t *zone,
    ngx_str_t *repository, ngx_str_t *name);


/* n more of NGX_HTTP_ACR_C_... */

static ngx_inline void
ngx_http_acr_count(ngx_http_acr_zone_t *zone, ngx_uint_t metric, ngx_uint_t n)
{
    if (zone && zone->words) {
        (void) ngx_atomic_fetch_add(&zone->words[metric],
                                    (ngx_atomic_int_t) n);
    }
}


/* a gauge NGX_HTTP_ACR_C_... */

static ngx_inline void
ngx_http_acr_gauge_set(ngx_http_acr_zone_t *zone, ngx_uint_t metric,
    ngx_uint_t value)
{
    if (zone && zone->counters) {
        zone->counters->parts[0].words[metric] = value;
    }
}


/* the gauge becomes n more, or less, but not less than 0 */

static ngx_inline void
ngx_http_acr_gauge_more(ngx_http_acr_zone_t *zone, ngx_uint_t metric,
    ngx_uint_t n)
{
    if (zone && zone->counters) {
        (void) ngx_atomic_fetch_add(&zone->counters->parts[0].words[metric],
                                    (ngx_atomic_int_t) n);
    }
}

void ngx_http_acr_gauge_less(ngx_http_acr_zone_t *zone, ngx_uint_t metric,
    ngx_uint_t n);


/* a word of all workers together, NGX_HTTP_ACR_C_...; there are counters */
ngx_uint_t ngx_http_acr_counted(ngx_http_acr_zone_t *zone, ngx_uint_t metric);

/* a time of a histogram NGX_HTTP_ACR_C_... */

void ngx_http_acr_observe(ngx_http_acr_zone_t *zone, ngx_uint_t metric,
    uint64_t us);


/* NGX_HTTP_ACR_W_... of this worker becomes n more, or less */

static ngx_inline void
ngx_http_acr_worker_add(ngx_http_acr_zone_t *zone, ngx_uint_t metric,
    ngx_int_t n)
{
    if (zone && zone->worker) {
        (void) ngx_atomic_fetch_add(&zone->worker->words[metric], n);
    }
}


static ngx_inline void
ngx_http_acr_worker_set(ngx_http_acr_zone_t *zone, ngx_uint_t metric,
    ngx_uint_t value)
{
    if (zone && zone->worker) {
        zone->worker->words[metric] = value;
    }
}


#endif /* NGX_HTTP_ACR_ZONE_H */
