
#include "ngx_http_acr_registry.h"
#include "ngx_http_acr_settle.h"


#define NGX_HTTP_ACR_KEEPER_TICK   5000      /* ms */
#define NGX_HTTP_ACR_KEEPER_SWEEP  720       /* ticks between sweeps: 1 hour */

/* what is pending for so many seconds is settled, so many entries a tick */
#define NGX_HTTP_ACR_KEEPER_AGE    "10"
#define NGX_HTTP_ACR_KEEPER_SLICE  "100"


typedef struct {
    ngx_http_acr_registry_t  *registry;
    ngx_http_acr_task_t       sweep;
    ngx_uint_t                ticks;
    ngx_uint_t                settling;      /* entries under way */
    ngx_uint_t                removed;
    unsigned                  asking:1;
} ngx_http_acr_keeper_t;


static ngx_int_t ngx_http_acr_registry_marks(void *data, char *mark,
    char *epoch, ngx_log_t *log);
static void ngx_http_acr_keeper_tick(ngx_event_t *ev);
static void ngx_http_acr_keeper_pending(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_keeper_settle(ngx_http_acr_keeper_t *keeper,
    ngx_str_t *member);
static void ngx_http_acr_keeper_settled(void *data, ngx_int_t rc);
static ngx_int_t ngx_http_acr_keeper_sweep(void *data, ngx_log_t *log);
static void ngx_http_acr_keeper_swept(void *data, ngx_int_t rc);


ngx_int_t
ngx_http_acr_registry_start(ngx_http_acr_registry_t *registry,
    ngx_cycle_t *cycle)
{
    ngx_http_acr_keeper_t  *keeper;

    registry->store.slot = ngx_process_slot;

    registry->meta = ngx_http_acr_meta_create(cycle->pool,
                                              registry->meta_conf,
                                              &registry->name,
                                              registry->slow,
                                              ngx_http_acr_registry_marks,
                                              registry, cycle->log);

    if (registry->meta == NULL) {
        return NGX_ERROR;
    }

    /* one worker of a node keeps; nodes may do the same work twice */

    if (ngx_worker != 0) {
        return NGX_OK;
    }

    keeper = ngx_pcalloc(cycle->pool, sizeof(ngx_http_acr_keeper_t));

    if (keeper == NULL) {
        return NGX_ERROR;
    }

    keeper->registry = registry;
    keeper->sweep.work = ngx_http_acr_keeper_sweep;
    keeper->sweep.done = ngx_http_acr_keeper_swept;
    keeper->sweep.data = keeper;

    registry->keeper.data = keeper;
    registry->keeper.handler = ngx_http_acr_keeper_tick;
    registry->keeper.log = cycle->log;
    registry->keeper.cancelable = 1;

    ngx_add_timer(&registry->keeper, NGX_HTTP_ACR_KEEPER_TICK);

    return NGX_OK;
}


void
ngx_http_acr_registry_stop(ngx_http_acr_registry_t *registry)
{
    if (registry->keeper.timer_set) {
        ngx_del_timer(&registry->keeper);
    }

    if (registry->meta) {
        ngx_http_acr_meta_close(registry->meta);
    }
}


static ngx_int_t
ngx_http_acr_registry_marks(void *data, char *mark, char *epoch,
    ngx_log_t *log)
{
    ngx_http_acr_registry_t *registry = data;

    return ngx_http_acr_store_marks(&registry->store, mark, epoch, log);
}


static void
ngx_http_acr_keeper_tick(ngx_event_t *ev)
{
    ngx_str_t                 args[2];
    ngx_http_acr_keeper_t    *keeper;
    ngx_http_acr_registry_t  *registry;

    keeper = ev->data;
    registry = keeper->registry;

    if (ngx_exiting) {
        return;
    }

    ngx_add_timer(ev, NGX_HTTP_ACR_KEEPER_TICK);

    if (keeper->ticks++ % NGX_HTTP_ACR_KEEPER_SWEEP == 0
        && !keeper->sweep.active)
    {
        (void) ngx_http_acr_task_post(&keeper->sweep, registry->slow);
    }

    if (keeper->asking || keeper->settling) {
        return;
    }

    ngx_str_set(&args[0], NGX_HTTP_ACR_KEEPER_AGE);
    ngx_str_set(&args[1], NGX_HTTP_ACR_KEEPER_SLICE);

    if (ngx_http_acr_meta_call(registry->meta, ACR_SCRIPT_PENDING_LIST, args,
                               2, ngx_http_acr_keeper_pending, keeper)
        == NGX_OK)
    {
        keeper->asking = 1;
    }
}


static void
ngx_http_acr_keeper_pending(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_keeper_t *keeper = data;

    ngx_uint_t  i;

    keeper->asking = 0;

    if (reply->status != NGX_HTTP_ACR_META_OK || ngx_exiting) {
        return;
    }

    for (i = 0; i < reply->n; i++) {
        ngx_http_acr_keeper_settle(keeper, &reply->v[i]);
    }
}


/* "<repository>:<tag>" or "<repository>@<digest>" */

static void
ngx_http_acr_keeper_settle(ngx_http_acr_keeper_t *keeper, ngx_str_t *member)
{
    size_t        n;
    ngx_str_t     repository, name;
    acr_digest_t  digest;

    for (n = 0; n < member->len; n++) {
        if (member->data[n] == ':' || member->data[n] == '@') {
            break;
        }
    }

    repository.data = member->data;
    repository.len = n;

    name.data = member->data + n + 1;
    name.len = (n < member->len) ? member->len - n - 1 : 0;

    if (!acr_name_valid(repository.data, repository.len)
        || !(acr_tag_valid(name.data, name.len)
             || acr_digest_parse(&digest, name.data, name.len) == ACR_OK))
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "acr: \"%V\" in the pending changes is no name",
                      member);
        return;
    }

    if (ngx_http_acr_settle_one(keeper->registry, &repository, &name, 0, NULL,
                                ngx_http_acr_keeper_settled, keeper)
        == NGX_OK)
    {
        keeper->settling++;
    }
}


static void
ngx_http_acr_keeper_settled(void *data, ngx_int_t rc)
{
    ngx_http_acr_keeper_t *keeper = data;

    keeper->settling--;
}


static ngx_int_t
ngx_http_acr_keeper_sweep(void *data, ngx_log_t *log)
{
    ngx_http_acr_keeper_t *keeper = data;

    ngx_http_acr_registry_t  *registry;

    registry = keeper->registry;

    /* an hour more, since the session's last renewal may be later */

    return ngx_http_acr_store_sweep(&registry->store,
                                    registry->upload_expires + 3600,
                                    &keeper->removed, log);
}


static void
ngx_http_acr_keeper_swept(void *data, ngx_int_t rc)
{
    ngx_http_acr_keeper_t *keeper = data;

    if (rc == NGX_OK && keeper->removed) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "acr: %ui expired uploads removed from \"%V\"",
                      keeper->removed, &keeper->registry->store.root);
    }
}
