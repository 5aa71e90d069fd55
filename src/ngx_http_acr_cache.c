
#include "ngx_http_acr_cache.h"


/* names, and repositories, that change with a stamp of their own; those that
   share one change together */
#define NGX_HTTP_ACR_CACHE_NAMES         4096
#define NGX_HTTP_ACR_CACHE_REPOSITORIES  512

/* places that a record may have in the index: a line of the CPU's cache */
#define NGX_HTTP_ACR_CACHE_WAYS          4

/* bytes of the ring for each place of the index: few records are as small, so
   that the index is never full and what is in use finds its place */
#define NGX_HTTP_ACR_CACHE_RECORD        96

#define NGX_HTTP_ACR_CACHE_ALIGN         8

/* bytes of a name that make its hash, the last ones */
#define NGX_HTTP_ACR_CACHE_HASHED        24


/*
 * Positions in the ring are counted from the first byte that was ever written
 * to it, and never used again.  What lies further back than the ring is large
 * has been overwritten.
 */

typedef struct {
    uint64_t     pos;
    uint64_t     hash;
} ngx_http_acr_cache_place_t;


/* the repository, the name and the value follow */

typedef struct {
    uint64_t     pos;          /* its own */
    uint64_t     stamp;
    uint32_t     len;          /* of the value */
    uint16_t     repository;   /* lengths */
    uint16_t     name;
    uint64_t     kind;
} ngx_http_acr_cache_record_t;


struct ngx_http_acr_cache_s {
    ngx_shmtx_t                 *mutex;

    uint64_t                     stamp;
    uint64_t                     everything;
    uint64_t                     names[NGX_HTTP_ACR_CACHE_NAMES];
    uint64_t                     repositories[NGX_HTTP_ACR_CACHE_REPOSITORIES];

    uint64_t                     head;       /* where the next record begins */
    size_t                       size;       /* of the ring */
    u_char                      *ring;
    ngx_uint_t                   sets;
    ngx_http_acr_cache_place_t  *index;      /* sets * WAYS */
};


/* what is looked for */

typedef struct {
    uint64_t                     kind;
    ngx_str_t                   *repository;
    ngx_str_t                   *name;
    uint64_t                     hash;
    uint64_t                    *changed[2]; /* of name, of repository */
} ngx_http_acr_cache_key_t;


static void ngx_http_acr_cache_key(ngx_http_acr_cache_t *cache,
    ngx_http_acr_cache_key_t *key, uint64_t kind, ngx_str_t *repository,
    ngx_str_t *name);
static ngx_http_acr_cache_place_t *ngx_http_acr_cache_find(
    ngx_http_acr_cache_t *cache, ngx_http_acr_cache_key_t *key);
static ngx_http_acr_cache_record_t *ngx_http_acr_cache_record(
    ngx_http_acr_cache_t *cache, uint64_t pos);
static ngx_uint_t ngx_http_acr_cache_valid(ngx_http_acr_cache_t *cache,
    ngx_http_acr_cache_key_t *key, uint64_t stamp);
static ngx_http_acr_cache_place_t *ngx_http_acr_cache_oldest(
    ngx_http_acr_cache_t *cache, ngx_http_acr_cache_key_t *key);
static uint64_t ngx_http_acr_cache_room(ngx_http_acr_cache_t *cache,
    size_t size);
static size_t ngx_http_acr_cache_record_size(ngx_http_acr_cache_record_t *r);
static void ngx_http_acr_cache_renew(ngx_http_acr_cache_t *cache,
    ngx_http_acr_cache_place_t *place);


ngx_http_acr_cache_t *
ngx_http_acr_cache_init(u_char *p, size_t size, ngx_shmtx_t *mutex)
{
    size_t                 set;
    ngx_http_acr_cache_t  *cache;

    cache = (ngx_http_acr_cache_t *) p;

    ngx_memzero(cache, sizeof(ngx_http_acr_cache_t));

    cache->mutex = mutex;

    size -= sizeof(ngx_http_acr_cache_t);
    set = NGX_HTTP_ACR_CACHE_WAYS * sizeof(ngx_http_acr_cache_place_t);

    cache->sets = size / (set + NGX_HTTP_ACR_CACHE_WAYS
                                * NGX_HTTP_ACR_CACHE_RECORD);
    cache->index = (ngx_http_acr_cache_place_t *) (cache + 1);

    ngx_memzero(cache->index, cache->sets * set);

    cache->ring = (u_char *) cache->index + cache->sets * set;
    cache->size = size - cache->sets * set;
    cache->size -= cache->size % NGX_HTTP_ACR_CACHE_ALIGN;

    /* so that position 0, of an empty place, has been overwritten */

    cache->head = 2 * cache->size;

    return cache;
}


uint64_t
ngx_http_acr_cache_stamp(ngx_http_acr_cache_t *cache)
{
    uint64_t  stamp;

    ngx_shmtx_lock(cache->mutex);

    stamp = cache->stamp;

    ngx_shmtx_unlock(cache->mutex);

    return stamp;
}


void
ngx_http_acr_cache_changed(ngx_http_acr_cache_t *cache, ngx_str_t *repository,
    ngx_str_t *name)
{
    uint64_t                  *changed;
    ngx_http_acr_cache_key_t   key;

    if (repository->len == 0) {
        changed = &cache->everything;

    } else {
        ngx_http_acr_cache_key(cache, &key, NGX_HTTP_ACR_CACHE_TAG,
                               repository, name);

        changed = key.changed[name->len ? 0 : 1];
    }

    ngx_shmtx_lock(cache->mutex);

    *changed = ++cache->stamp;

    ngx_shmtx_unlock(cache->mutex);
}


static void
ngx_http_acr_cache_key(ngx_http_acr_cache_t *cache,
    ngx_http_acr_cache_key_t *key, uint64_t kind, ngx_str_t *repository,
    ngx_str_t *name)
{
    size_t    len;
    uint32_t  r, n;

    /* the end of a digest tells as much as all of it */

    len = ngx_min(name->len, NGX_HTTP_ACR_CACHE_HASHED);

    r = ngx_murmur_hash2(repository->data, repository->len);
    n = ngx_murmur_hash2(name->data + name->len - len, len)
        ^ (r * 0x9e3779b1u);

    key->kind = kind;
    key->repository = repository;
    key->name = name;
    key->hash = (uint64_t) r << 32 | n;
    key->changed[0] = &cache->names[n % NGX_HTTP_ACR_CACHE_NAMES];
    key->changed[1] = &cache->repositories[r
                                           % NGX_HTTP_ACR_CACHE_REPOSITORIES];
}


ssize_t
ngx_http_acr_cache_get(ngx_http_acr_cache_t *cache, uint64_t kind,
    ngx_str_t *repository, ngx_str_t *name, u_char *buf, size_t size)
{
    u_char                       *value;
    ssize_t                       rc;
    ngx_http_acr_cache_key_t      key;
    ngx_http_acr_cache_place_t   *place;
    ngx_http_acr_cache_record_t  *record;

    ngx_http_acr_cache_key(cache, &key, kind, repository, name);

    rc = NGX_DECLINED;

    ngx_shmtx_lock(cache->mutex);

    place = ngx_http_acr_cache_find(cache, &key);

    if (place) {
        record = ngx_http_acr_cache_record(cache, place->pos);

        if (record->len <= size
            && ngx_http_acr_cache_valid(cache, &key, record->stamp))
        {
            value = (u_char *) (record + 1) + record->repository
                    + record->name;
            rc = record->len;

            if (buf) {
                ngx_memcpy(buf, value, record->len);
            }

            if (cache->head - place->pos > cache->size - cache->size / 4) {
                ngx_http_acr_cache_renew(cache, place);
            }
        }
    }

    ngx_shmtx_unlock(cache->mutex);

    return rc;
}


void
ngx_http_acr_cache_put(ngx_http_acr_cache_t *cache, uint64_t kind,
    ngx_str_t *repository, ngx_str_t *name, uint64_t stamp, u_char *value,
    size_t len)
{
    u_char                       *p;
    uint64_t                      pos;
    ngx_http_acr_cache_key_t      key;
    ngx_http_acr_cache_place_t   *place;
    ngx_http_acr_cache_record_t  *record, r;

    if (repository->len > 0xffff || name->len > 0xffff
        || len > cache->size / 8)
    {
        return;
    }

    r.stamp = stamp;
    r.len = (uint32_t) len;
    r.repository = (uint16_t) repository->len;
    r.name = (uint16_t) name->len;
    r.kind = kind;

    ngx_http_acr_cache_key(cache, &key, kind, repository, name);

    ngx_shmtx_lock(cache->mutex);

    if (!ngx_http_acr_cache_valid(cache, &key, stamp)) {
        goto done;
    }

    place = ngx_http_acr_cache_find(cache, &key);

    if (place == NULL) {
        place = ngx_http_acr_cache_oldest(cache, &key);

    } else if (ngx_http_acr_cache_record(cache, place->pos)->stamp > stamp) {

        /* somebody was told later than we were */

        goto done;
    }

    pos = ngx_http_acr_cache_room(cache, ngx_http_acr_cache_record_size(&r));

    r.pos = pos;

    record = ngx_http_acr_cache_record(cache, pos);
    *record = r;

    p = (u_char *) (record + 1);
    p = ngx_cpymem(p, repository->data, repository->len);
    p = ngx_cpymem(p, name->data, name->len);

    if (len) {
        ngx_memcpy(p, value, len);
    }

    ngx_memory_barrier();

    place->hash = key.hash;
    place->pos = pos;

done:

    ngx_shmtx_unlock(cache->mutex);
}


static ngx_http_acr_cache_place_t *
ngx_http_acr_cache_find(ngx_http_acr_cache_t *cache,
    ngx_http_acr_cache_key_t *key)
{
    u_char                       *p;
    ngx_uint_t                    i;
    ngx_http_acr_cache_place_t   *place;
    ngx_http_acr_cache_record_t  *record;

    place = &cache->index[key->hash % cache->sets * NGX_HTTP_ACR_CACHE_WAYS];

    for (i = 0; i < NGX_HTTP_ACR_CACHE_WAYS; i++, place++) {

        if (place->hash != key->hash
            || cache->head - place->pos > cache->size)
        {
            continue;
        }

        record = ngx_http_acr_cache_record(cache, place->pos);
        p = (u_char *) (record + 1);

        if (record->pos == place->pos
            && record->kind == key->kind
            && record->repository == key->repository->len
            && record->name == key->name->len
            && ngx_memcmp(p, key->repository->data, record->repository) == 0
            && ngx_memcmp(p + record->repository, key->name->data,
                          record->name)
               == 0)
        {
            return place;
        }
    }

    return NULL;
}


static ngx_http_acr_cache_record_t *
ngx_http_acr_cache_record(ngx_http_acr_cache_t *cache, uint64_t pos)
{
    return (ngx_http_acr_cache_record_t *) (cache->ring + pos % cache->size);
}


/* contents are what their digest says, in every repository, but for one that a
   scrub has found to be something else */

static ngx_uint_t
ngx_http_acr_cache_valid(ngx_http_acr_cache_t *cache,
    ngx_http_acr_cache_key_t *key, uint64_t stamp)
{
    if (cache->everything > stamp) {
        return 0;
    }

    return (key->kind & 0xff) == NGX_HTTP_ACR_CACHE_CONTENT
           || (*key->changed[0] <= stamp && *key->changed[1] <= stamp);
}


static ngx_http_acr_cache_place_t *
ngx_http_acr_cache_oldest(ngx_http_acr_cache_t *cache,
    ngx_http_acr_cache_key_t *key)
{
    ngx_uint_t                   i;
    ngx_http_acr_cache_place_t  *place, *oldest;

    place = &cache->index[key->hash % cache->sets * NGX_HTTP_ACR_CACHE_WAYS];
    oldest = place;

    for (i = 1; i < NGX_HTTP_ACR_CACHE_WAYS; i++) {

        if (place[i].pos < oldest->pos) {
            oldest = &place[i];
        }
    }

    return oldest;
}


/* no record goes over the end of the ring */

static uint64_t
ngx_http_acr_cache_room(ngx_http_acr_cache_t *cache, size_t size)
{
    size_t    left;
    uint64_t  pos;

    left = cache->size - cache->head % cache->size;
    pos = (left < size) ? cache->head + left : cache->head;

    /* from here on what was there is overwritten */

    cache->head = pos + size;

    ngx_memory_barrier();

    return pos;
}


static size_t
ngx_http_acr_cache_record_size(ngx_http_acr_cache_record_t *r)
{
    return ngx_align(sizeof(ngx_http_acr_cache_record_t) + r->repository
                     + r->name + r->len, NGX_HTTP_ACR_CACHE_ALIGN);
}


/* the old place may overlap with the new one */

static void
ngx_http_acr_cache_renew(ngx_http_acr_cache_t *cache,
    ngx_http_acr_cache_place_t *place)
{
    size_t                        size;
    uint64_t                      pos;
    ngx_http_acr_cache_record_t  *old, *new;

    old = ngx_http_acr_cache_record(cache, place->pos);
    size = ngx_http_acr_cache_record_size(old);

    pos = ngx_http_acr_cache_room(cache, size);
    new = ngx_http_acr_cache_record(cache, pos);

    ngx_memmove(new, old, size);

    new->pos = pos;

    ngx_memory_barrier();

    place->pos = pos;
}
