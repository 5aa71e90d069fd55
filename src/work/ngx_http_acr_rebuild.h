
/*
 * Making the index again from the directory.  DESIGN "Complete or behind";
 * src/meta/schema.md has the protocol, rebuild_*.lua its steps.
 *
 *   ngx_http_acr_rebuild.c         one repository: its steps
 *   ngx_http_acr_rebuild_read.c    what a thread reads for them
 *   ngx_http_acr_rebuild_volume.c  all repositories of the volume
 */

#ifndef NGX_HTTP_ACR_REBUILD_H
#define NGX_HTTP_ACR_REBUILD_H

#include "../ngx_http_acr.h"
#include "../ngx_http_acr_task.h"
#include "../store/ngx_http_acr_store_walk.h"


/* what was applied, and what was passed over: torn links, missing content, what
   cannot be read.  A log line tells each of the last. */

typedef struct {
    ngx_uint_t   manifests;
    ngx_uint_t   blobs;
    ngx_uint_t   tags;
    ngx_uint_t   skipped;
    unsigned     current:1;    /* it was before: nothing was done */
} ngx_http_acr_rebuild_counts_t;


/* NGX_OK: the repository is current; NGX_ERROR: it is not */
typedef void (*ngx_http_acr_rebuild_pt)(void *data, ngx_int_t rc,
    ngx_http_acr_rebuild_counts_t *counts);


/*
 * Rebuilds a repository, whose name was checked, of a Redis that is behind.
 * done, if it is not NULL, is called once, later.  NGX_OK; NGX_DECLINED: it is
 * being rebuilt by this worker already, and done will not be called;
 * NGX_ERROR: no memory, or the queue of the thread pool is full.
 *
 * Calls of this worker that wait for the repository are told of its end
 * (ngx_http_acr_meta_rebuilt()).
 */
ngx_int_t ngx_http_acr_rebuild_repository(ngx_http_acr_registry_t *registry,
    ngx_str_t *repository, ngx_http_acr_rebuild_pt done, void *data);

/*
 * Rebuilds all repositories, if nobody else is at it: the work "rebuild" of
 * work_take.lua.  busy is set to 1 now, and to 0 when it has ended.
 */
void ngx_http_acr_rebuild_volume(ngx_http_acr_registry_t *registry,
    ngx_uint_t *busy);


/* --- for the files of the rebuild only */

/* of one kind of link, so many are read at once; manifests also until they have
   so many bytes */
#define NGX_HTTP_ACR_REBUILD_MANIFESTS  32
#define NGX_HTTP_ACR_REBUILD_LINKS      250
#define NGX_HTTP_ACR_REBUILD_BYTES      (1024 * 1024)


/* a manifest, or another link */

typedef struct {
    ngx_http_acr_store_entry_t   entry;
    off_t                        size;
    acr_manifest_t               manifest;
    char                        *descriptor; /* if there is a subject */
    u_char                      *attributes; /* or NULL */
    size_t                       nattributes;
    unsigned                     unread:1;   /* nothing else is known of it */
} ngx_http_acr_rebuild_item_t;


typedef struct {
    ngx_http_acr_store_t         *store;
    ngx_str_t                     repository;
    ngx_uint_t                    kind;      /* of link; 0: the repository */
    ngx_http_acr_store_list_t    *list;      /* or NULL: not begun */
    ngx_http_acr_rebuild_item_t  *items;     /* room for ..._LINKS */
    ngx_uint_t                    nitems;
    ngx_uint_t                    skipped;
    int64_t                       created;   /* of kind 0: microseconds, or 0 */
    unsigned                      last:1;    /* there are no more */
    unsigned                      details:1; /* there may be attributes */
} ngx_http_acr_rebuild_batch_t;


/* reads the next items of the kind, in a thread; NGX_OK or an errno value */
ngx_int_t ngx_http_acr_rebuild_read(void *data, ngx_log_t *log);

/* frees what the items have, so that the next can be read */
void ngx_http_acr_rebuild_release(ngx_http_acr_rebuild_batch_t *batch);


#endif /* NGX_HTTP_ACR_REBUILD_H */
