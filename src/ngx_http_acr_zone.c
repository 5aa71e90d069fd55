
#include "ngx_http_acr.h"

#include <openssl/rand.h>

#include <signal.h>
#include <time.h>


#define NGX_HTTP_ACR_ZONE_VERSION  7

/* counters and fills are less than this */
#define NGX_HTTP_ACR_ZONE_MIN      (1024 * 1024)


static ngx_int_t ngx_http_acr_zone_init(ngx_shm_zone_t *shm_zone, void *data);
static ngx_http_acr_cache_t *ngx_http_acr_zone_cache(ngx_slab_pool_t *shpool,
    size_t size);
static ngx_uint_t ngx_http_acr_generation_slot(ngx_str_t *repository,
    ngx_str_t *name);


static ngx_uint_t  ngx_http_acr_zone_bounds[] = {
#define NGX_HTTP_ACR_BOUND(us, seconds)  us,
    NGX_HTTP_ACR_BOUNDS(NGX_HTTP_ACR_BOUND)
#undef NGX_HTTP_ACR_BOUND
};


char *
ngx_http_acr_zone_conf(ngx_conf_t *cf, ngx_http_acr_zone_t **zone)
{
    u_char          *p;
    ssize_t          size;
    ngx_str_t       *value, name, s;
    ngx_shm_zone_t  *shm_zone;

    value = cf->args->elts;

    p = (u_char *) ngx_strchr(value[1].data, ':');

    if (p == NULL || p == value[1].data) {
        return "must be \"name:size\"";
    }

    name.data = value[1].data;
    name.len = p - name.data;

    s.data = p + 1;
    s.len = value[1].data + value[1].len - s.data;

    size = ngx_parse_size(&s);

    if (size == NGX_ERROR) {
        return "has no valid size";
    }

    if (size < NGX_HTTP_ACR_ZONE_MIN) {
        return "is too small: it needs 1m at least";
    }

    shm_zone = ngx_shared_memory_add(cf, &name, size, &ngx_http_acr_module);

    if (shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (shm_zone->data == NULL) {
        shm_zone->data = ngx_pcalloc(cf->pool, sizeof(ngx_http_acr_zone_t));

        if (shm_zone->data == NULL) {
            return NGX_CONF_ERROR;
        }

        shm_zone->init = ngx_http_acr_zone_init;
    }

    *zone = shm_zone->data;
    (*zone)->name = name;
    (*zone)->size = size;

    return NGX_CONF_OK;
}


/* with data of the configuration before, the memory is the same */

static ngx_int_t
ngx_http_acr_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_time_t                *tp;
    ngx_slab_pool_t           *shpool;
    ngx_http_acr_zone_t       *zone;
    ngx_http_acr_zone_head_t  *head;

    zone = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (data || shm_zone->shm.exists) {
        head = shpool->data;

        if (head->version != NGX_HTTP_ACR_ZONE_VERSION) {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                          "\"acr_zone\" \"%V\" was made by another version of "
                          "the module: restart nginx", &zone->name);
            return NGX_ERROR;
        }

        goto done;
    }

    head = ngx_slab_calloc(shpool, sizeof(ngx_http_acr_zone_head_t));

    if (head == NULL) {
        return NGX_ERROR;
    }

    head->version = NGX_HTTP_ACR_ZONE_VERSION;

    /* nginx's cache is still there: a generation of before must not come back,
       and there was less than one of them in a microsecond */

    tp = ngx_timeofday();

    head->generation = (ngx_atomic_uint_t) tp->sec * 1000000
                       + tp->msec * 1000;

    head->counters = ngx_slab_calloc(shpool, sizeof(ngx_http_acr_counters_t));

    if (head->counters == NULL) {
        return NGX_ERROR;
    }

    if (RAND_bytes(head->secret, sizeof(head->secret)) != 1) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "acr: RAND_bytes() failed");
        return NGX_ERROR;
    }

    head->fills = ngx_slab_alloc(shpool, ngx_http_acr_fills_size());

    if (head->fills == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_http_acr_fills_init(head->fills);

    head->cache = ngx_http_acr_zone_cache(shpool, shm_zone->shm.size);

    shpool->data = head;

done:

    zone->shpool = shpool;
    zone->counters = head->counters;
    zone->words = head->counters->parts[0].words;
    zone->credentials = &head->credentials;
    zone->cache = head->cache;
    zone->fills = head->fills;
    zone->head = head;

    return NGX_OK;
}


/* three quarters of what counters and the like leave */

static ngx_http_acr_cache_t *
ngx_http_acr_zone_cache(ngx_slab_pool_t *shpool, size_t size)
{
    u_char  *p;

    size = (size - NGX_HTTP_ACR_ZONE_MIN) / 4 * 3;

    if (size < NGX_HTTP_ACR_CACHE_MIN) {
        return NULL;
    }

    p = ngx_slab_alloc(shpool, size);

    return p ? ngx_http_acr_cache_init(p, size, &shpool->mutex) : NULL;
}


uint64_t
ngx_http_acr_generation(ngx_http_acr_zone_t *zone, ngx_str_t *repository,
    ngx_str_t *name)
{
    ngx_http_acr_zone_head_t  *head;

    head = zone->head;

    /* each only rises, so no sum comes twice */

    return (uint64_t) head->generation
           + head->generations[ngx_http_acr_generation_slot(repository, NULL)]
           + head->generations[ngx_http_acr_generation_slot(repository, name)];
}


void
ngx_http_acr_generation_raise(ngx_http_acr_zone_t *zone,
    ngx_str_t *repository, ngx_str_t *name)
{
    ngx_uint_t                 n;
    ngx_http_acr_zone_head_t  *head;

    head = zone->head;

    if (repository == NULL) {
        (void) ngx_atomic_fetch_add(&head->generation, 1);
        return;
    }

    n = ngx_http_acr_generation_slot(repository, name);

    (void) ngx_atomic_fetch_add(&head->generations[n], 1);
}


static ngx_uint_t
ngx_http_acr_generation_slot(ngx_str_t *repository, ngx_str_t *name)
{
    uint32_t  hash;

    ngx_crc32_init(hash);
    ngx_crc32_update(&hash, repository->data, repository->len);

    if (name) {
        ngx_crc32_update(&hash, (u_char *) ":", 1);
        ngx_crc32_update(&hash, name->data, name->len);
    }

    ngx_crc32_final(hash);

    return hash % NGX_HTTP_ACR_GENERATIONS;
}


/*
 * No two living workers have the same slot, also not of two configurations: a
 * slot is given away only when its process has ended.
 */

void
ngx_http_acr_zone_start(ngx_http_acr_zone_t *zone)
{
    ngx_http_acr_zone_worker_t  *worker;

    if (zone == NULL || zone->counters == NULL) {
        return;
    }

    worker = &zone->counters->workers[ngx_process_slot];

    worker->pid = 0;
    ngx_memzero((void *) worker->words, sizeof(worker->words));

    ngx_memory_barrier();

    worker->pid = ngx_pid;

    zone->worker = worker;
    zone->words = zone->counters->parts[ngx_worker % NGX_HTTP_ACR_ZONE_PARTS]
                      .words;
}


void
ngx_http_acr_zone_stop(ngx_http_acr_zone_t *zone)
{
    if (zone && zone->worker) {
        zone->worker->pid = 0;
        zone->worker = NULL;
    }
}


/* one that was killed while it ended is in no one's place */

ngx_uint_t
ngx_http_acr_zone_lives(ngx_http_acr_zone_worker_t *worker)
{
    ngx_pid_t  pid;

    pid = (ngx_pid_t) worker->pid;

    if (pid == 0) {
        return 0;
    }

    return pid == ngx_pid || kill(pid, 0) == 0 || ngx_errno != ESRCH;
}


void
ngx_http_acr_zone_synced(void *data, uint64_t us, ngx_err_t err)
{
    ngx_http_acr_observe(data, NGX_HTTP_ACR_C_SYNC_TIME, us);

    if (err) {
        ngx_http_acr_count(data, NGX_HTTP_ACR_C_SYNC_ERRORS, 1);
    }
}


uint64_t
ngx_http_acr_zone_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


void
ngx_http_acr_observe(ngx_http_acr_zone_t *zone, ngx_uint_t metric, uint64_t us)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_ACR_N_BOUNDS; i++) {
        if (us <= ngx_http_acr_zone_bounds[i]) {
            break;
        }
    }

    ngx_http_acr_count(zone, metric + i, 1);

    if (us) {
        ngx_http_acr_count(zone, metric + NGX_HTTP_ACR_N_BOUNDS + 1, us);
    }
}


void
ngx_http_acr_gauge_less(ngx_http_acr_zone_t *zone, ngx_uint_t metric,
    ngx_uint_t n)
{
    ngx_atomic_t       *word;
    ngx_atomic_uint_t   old;

    if (zone == NULL || zone->counters == NULL) {
        return;
    }

    word = &zone->counters->parts[0].words[metric];

    do {
        old = *word;
    } while (!ngx_atomic_cmp_set(word, old, old - ngx_min(old, n)));
}


ngx_uint_t
ngx_http_acr_counted(ngx_http_acr_zone_t *zone, ngx_uint_t metric)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < NGX_HTTP_ACR_ZONE_PARTS; i++) {
        n += zone->counters->parts[i].words[metric];
    }

    return n;
}
