
#include "ngx_http_acr_evict.h"


#define NGX_HTTP_ACR_USED_NOTES  1024


/* of some of the blobs: two that share a place are noted more often than they
   have to be, which the thread finds */

struct ngx_http_acr_used_s {
    uint32_t                  hash;
    time_t                    when;
};


typedef struct {
    ngx_http_acr_registry_t  *registry;
    acr_digest_t              digest;
    ngx_http_acr_task_t       task;
} ngx_http_acr_used_note_t;


static ngx_int_t ngx_http_acr_used_work(void *data, ngx_log_t *log);
static void ngx_http_acr_used_done(void *data, ngx_int_t rc);


ngx_int_t
ngx_http_acr_used_start(ngx_http_acr_registry_t *registry, ngx_cycle_t *cycle)
{
    registry->used = ngx_pcalloc(cycle->pool,
                                 NGX_HTTP_ACR_USED_NOTES
                                 * sizeof(ngx_http_acr_used_t));

    return (registry->used == NULL) ? NGX_ERROR : NGX_OK;
}


time_t
ngx_http_acr_used_grain(ngx_http_acr_registry_t *registry)
{
    time_t  grain;

    grain = 3600;

    if (registry->edge_cache.inactive) {
        grain = ngx_min(grain, registry->edge_cache.inactive / 4);
    }

    return ngx_max(grain, 1);
}


/* it is no matter if one is missed */

void
ngx_http_acr_used(ngx_http_acr_registry_t *registry, acr_digest_t *digest)
{
    uint32_t                   hash;
    ngx_http_acr_used_t       *used;
    ngx_http_acr_used_note_t  *note;

    hash = ngx_crc32_short(digest->hex, digest->alg->hex_len);
    used = &registry->used[hash % NGX_HTTP_ACR_USED_NOTES];

    if (used->hash == hash
        && ngx_time() - used->when < ngx_http_acr_used_grain(registry) / 2)
    {
        return;
    }

    note = ngx_calloc(sizeof(ngx_http_acr_used_note_t), ngx_cycle->log);

    if (note == NULL) {
        return;
    }

    note->registry = registry;
    note->digest = *digest;
    note->task.work = ngx_http_acr_used_work;
    note->task.done = ngx_http_acr_used_done;
    note->task.data = note;

    if (ngx_http_acr_task_post(&note->task, registry->slow) != NGX_OK) {
        ngx_free(note);
        return;
    }

    used->hash = hash;
    used->when = ngx_time();
}


/* another worker may have noted it; both together are half a grain late */

static ngx_int_t
ngx_http_acr_used_work(void *data, ngx_log_t *log)
{
    ngx_http_acr_used_note_t *note = data;

    return ngx_http_acr_store_use(&note->registry->store, &note->digest,
                                  ngx_http_acr_used_grain(note->registry) / 2,
                                  log);
}


static void
ngx_http_acr_used_done(void *data, ngx_int_t rc)
{
    ngx_free(data);
}
