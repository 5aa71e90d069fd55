
/*
 * What the workers of a node remember of lookups, in the shared memory of
 * acr_zone, DESIGN "Pull": of a tag its digest, of a manifest or blob that a
 * repository has its size and media type, and the bytes of small contents.
 *
 * What is remembered is as old as its stamp.  Whoever looks something up takes
 * the stamp before he asks Redis, and gives it with what he has been told; each
 * change of a name raises the stamp and puts it to that name, so that what is
 * older is found no more.  So a lookup that a change has overtaken is
 * forgotten, whichever of the two comes first.  Whether all changes are heard
 * of is the business of the feed (ngx_http_acr_meta_fresh()).
 *
 * The memory is a ring: what is remembered next takes the place of what is
 * oldest, but what is found while it is old is moved to the front.  There are
 * no pointers in it, and nothing is found before it is whole, so that a worker
 * may be killed at any point.  Every function takes the zone's lock for the
 * time of a copy.
 */

#ifndef NGX_HTTP_ACR_CACHE_H
#define NGX_HTTP_ACR_CACHE_H

#include <ngx_config.h>
#include <ngx_core.h>


typedef struct ngx_http_acr_cache_s  ngx_http_acr_cache_t;


/*
 * Kinds are the low byte of what the functions below take.  The rest is of
 * whoever asks, and tells answers of one from those of another: after a reload
 * the memory may be that of another registry, and the workers of both at work.
 */

typedef enum {
    NGX_HTTP_ACR_CACHE_TAG = 1,        /* the digest's text */
    NGX_HTTP_ACR_CACHE_MANIFEST,       /* of a digest: size, media type */
    NGX_HTTP_ACR_CACHE_BLOB,           /* of a digest: size */
    NGX_HTTP_ACR_CACHE_CONTENT,        /* of a digest, in any repository */
    NGX_HTTP_ACR_CACHE_ASKED,          /* of a tag or digest: when its origin
                                          was asked, and what it said */
    NGX_HTTP_ACR_CACHE_HELD,           /* of a digest: when the origin has said
                                          that it is a blob of the repository,
                                          and of how many bytes */
    NGX_HTTP_ACR_CACHE_TOKEN,          /* of a request for a token: the answer
                                          of the origin, until the token ends */
    NGX_HTTP_ACR_CACHE_REFERRED        /* of a digest: when its origin was asked
                                          for its referrers, and the list */
} ngx_http_acr_cache_kind_e;


/* what has less memory remembers nothing */
#define NGX_HTTP_ACR_CACHE_MIN  (256 * 1024)


/*
 * Makes a cache of size bytes, NGX_HTTP_ACR_CACHE_MIN at least, at p, which is
 * aligned as for any type.  Mutex is that of the shared memory.
 */
ngx_http_acr_cache_t *ngx_http_acr_cache_init(u_char *p, size_t size,
    ngx_shmtx_t *mutex);

/* to be taken before Redis is asked, for ngx_http_acr_cache_put() */
uint64_t ngx_http_acr_cache_stamp(ngx_http_acr_cache_t *cache);

/*
 * Something has changed: a tag, or the digest of a manifest or blob; with an
 * empty name all of a repository; with an empty repository everything.
 */
void ngx_http_acr_cache_changed(ngx_http_acr_cache_t *cache,
    ngx_str_t *repository, ngx_str_t *name);

/*
 * What is remembered of the name: copies it into buf, unless that is NULL, and
 * returns its length.  NGX_DECLINED: nothing, or more than size bytes.
 */
ssize_t ngx_http_acr_cache_get(ngx_http_acr_cache_t *cache, uint64_t kind,
    ngx_str_t *repository, ngx_str_t *name, u_char *buf, size_t size);

/*
 * Remembers a value, in place of another one of that kind and name, unless
 * something of the name has changed since the stamp, or the value is too large
 * (an eighth of the memory).
 */
void ngx_http_acr_cache_put(ngx_http_acr_cache_t *cache, uint64_t kind,
    ngx_str_t *repository, ngx_str_t *name, uint64_t stamp, u_char *value,
    size_t len);


#endif /* NGX_HTTP_ACR_CACHE_H */
