
#include "ngx_http_acr_registry.h"
#include "ngx_http_acr_events.h"
#include "auth/ngx_http_acr_auth.h"
#include "edge/ngx_http_acr_evict.h"
#include "edge/ngx_http_acr_fill.h"
#include "edge/ngx_http_acr_rules.h"
#include "edge/ngx_http_acr_watch.h"
#include "work/ngx_http_acr_rebuild.h"


static ngx_int_t ngx_http_acr_registry_edge(ngx_http_acr_registry_t *registry,
    ngx_cycle_t *cycle);
static uint32_t ngx_http_acr_registry_identity(
    ngx_http_acr_registry_t *registry);
static ngx_int_t ngx_http_acr_registry_volume(void *data,
    ngx_http_acr_meta_volume_t *volume, ngx_log_t *log);
static ngx_int_t ngx_http_acr_registry_unsure(void *data,
    ngx_str_t *repository);
static void ngx_http_acr_registry_complete(void *data);
static void ngx_http_acr_registry_changed(void *data, ngx_str_t *repository,
    ngx_str_t *name);
static ngx_int_t ngx_http_acr_registry_seal(void *data, ngx_log_t *log);
static void ngx_http_acr_registry_sealed(void *data, ngx_int_t rc);


ngx_int_t
ngx_http_acr_registry_start(ngx_http_acr_registry_t *registry,
    ngx_cycle_t *cycle)
{
    ngx_http_acr_main_conf_t   *mcf;
    ngx_http_acr_meta_owner_t   owner;

    registry->store.slot = ngx_process_slot;

    ngx_queue_init(&registry->rebuilds);
    ngx_queue_init(&registry->turns);

    ngx_http_acr_fill_start(registry);

    owner.volume = ngx_http_acr_registry_volume;
    owner.unsure = ngx_http_acr_registry_unsure;
    owner.complete = ngx_http_acr_registry_complete;
    owner.changed = (registry->zone && registry->zone->cache)
                    ? ngx_http_acr_registry_changed : NULL;
    owner.data = registry;
    owner.zone = registry->zone;

    ngx_http_acr_zone_start(registry->zone);

    registry->identity = ngx_http_acr_registry_identity(registry);

    if (registry->origin) {
        return ngx_http_acr_registry_edge(registry, cycle);
    }

    if (ngx_http_acr_events_start(registry, cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    registry->meta = ngx_http_acr_meta_create(cycle->pool,
                                              registry->meta_conf,
                                              &registry->name,
                                              registry->slow, &owner,
                                              cycle->log);

    if (registry->meta == NULL) {
        return NGX_ERROR;
    }

    if (registry->auth_on
        && ngx_http_acr_auth_start(registry, cycle) != NGX_OK)
    {
        return NGX_ERROR;
    }

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_acr_module);

    if (ngx_http_acr_rules_start(registry, &mcf->remotes, cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    /* one worker of a node keeps; nodes may do the same work twice */

    return (ngx_worker == 0) ? ngx_http_acr_keeper_start(registry, cycle)
                             : NGX_OK;
}


/* what is cached of another registry */

static ngx_int_t
ngx_http_acr_registry_edge(ngx_http_acr_registry_t *registry,
    ngx_cycle_t *cycle)
{
    if (registry->auth_on
        && ngx_http_acr_auth_start(registry, cycle) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_worker == 0
        && ngx_http_acr_watch_start(registry, cycle) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_acr_evict_start(registry, cycle);
}


/* of where it is, in Redis and on the disk */

static uint32_t
ngx_http_acr_registry_identity(ngx_http_acr_registry_t *registry)
{
    uint32_t   hash;
    ngx_str_t  *root, *redis;

    root = &registry->store.root;
    redis = registry->origin ? &registry->origin->host
                             : &registry->meta_conf->text;

    ngx_crc32_init(hash);
    ngx_crc32_update(&hash, registry->name.data, registry->name.len);
    ngx_crc32_update(&hash, (u_char *) "", 1);
    ngx_crc32_update(&hash, root->data, root->len);
    ngx_crc32_update(&hash, (u_char *) "", 1);
    ngx_crc32_update(&hash, redis->data, redis->len);

    if (registry->meta_conf) {
        ngx_crc32_update(&hash, (u_char *) &registry->meta_conf->db,
                         sizeof(ngx_uint_t));
    }

    ngx_crc32_final(hash);

    return hash;
}


void
ngx_http_acr_registry_stop(ngx_http_acr_registry_t *registry)
{
    if (registry->keeper.timer_set) {
        ngx_del_timer(&registry->keeper);
    }

    ngx_http_acr_watch_stop(registry);
    ngx_http_acr_events_stop(registry);
    ngx_http_acr_fill_stop(registry);
    ngx_http_acr_auth_stop(registry);
    ngx_http_acr_rules_stop(registry);

    if (registry->meta) {
        ngx_http_acr_meta_close(registry->meta);

        /* this worker acknowledges nothing more */

        (void) ngx_http_acr_store_mark_seal(&registry->store, ngx_cycle->log);
    }

    ngx_http_acr_zone_stop(registry->zone);
}


ngx_int_t
ngx_http_acr_registry_token(ngx_http_acr_registry_t *registry,
    ngx_pool_t *pool, ngx_str_t *token)
{
    token->data = ngx_pnalloc(pool, registry->store.node.len
                                    + 3 * NGX_INT64_LEN + sizeof("//-") - 1);

    if (token->data == NULL) {
        return NGX_ERROR;
    }

    token->len = ngx_sprintf(token->data, "%V/%P/%T-%ui",
                             &registry->store.node, ngx_pid, ngx_time(),
                             ++registry->tokens)
                 - token->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_registry_volume(void *data, ngx_http_acr_meta_volume_t *volume,
    ngx_log_t *log)
{
    ngx_http_acr_registry_t *registry = data;

    ngx_int_t  rc;

    rc = ngx_http_acr_store_version(&registry->store, volume->newer,
                                    sizeof(volume->newer), log);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_acr_store_marks(&registry->store, volume->mark,
                                    volume->epoch, &volume->certain,
                                    &volume->empty, log);
}


/* somebody waits for this repository, so it does not wait for its turn */

static ngx_int_t
ngx_http_acr_registry_unsure(void *data, ngx_str_t *repository)
{
    ngx_int_t  rc;

    rc = ngx_http_acr_rebuild_repository(data, repository, NULL, NULL);

    return (rc == NGX_DECLINED) ? NGX_OK : rc;
}


static void
ngx_http_acr_registry_changed(void *data, ngx_str_t *repository,
    ngx_str_t *name)
{
    ngx_http_acr_registry_t *registry = data;

    static ngx_str_t  all = ngx_string("");

    ngx_http_acr_cache_changed(registry->zone->cache,
                               repository ? repository : &all,
                               name ? name : &all);

    /* who is told of it may ask at once */

    ngx_http_acr_events_changed(registry);
}


/* what a power loss may have taken has been seen to */

static void
ngx_http_acr_registry_complete(void *data)
{
    ngx_http_acr_registry_t *registry = data;

    if (registry->seal.active) {
        return;
    }

    registry->seal.work = ngx_http_acr_registry_seal;
    registry->seal.done = ngx_http_acr_registry_sealed;
    registry->seal.data = registry;

    (void) ngx_http_acr_task_post(&registry->seal, registry->slow);
}


static ngx_int_t
ngx_http_acr_registry_seal(void *data, ngx_log_t *log)
{
    ngx_http_acr_registry_t *registry = data;

    return ngx_http_acr_store_marks_seal(&registry->store, log);
}


/* if it has failed, which was logged, the next join asks for it again */

static void
ngx_http_acr_registry_sealed(void *data, ngx_int_t rc)
{
}
