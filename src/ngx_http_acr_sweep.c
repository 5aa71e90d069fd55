
/*
 * What was begun and never finished is removed, in slices.
 */

#include "ngx_http_acr_registry.h"


/* names that a slice looks at */
#define NGX_HTTP_ACR_SWEEP_ENTRIES  1000


static ngx_int_t ngx_http_acr_sweep_slice(void *data, ngx_log_t *log);
static void ngx_http_acr_sweep_done(void *data, ngx_int_t rc);


void
ngx_http_acr_sweep(ngx_http_acr_sweep_t *sweep)
{
    if (sweep->task.active) {
        return;
    }

    sweep->task.work = ngx_http_acr_sweep_slice;
    sweep->task.done = ngx_http_acr_sweep_done;
    sweep->task.data = sweep;

    (void) ngx_http_acr_task_post(&sweep->task, sweep->registry->slow);
}


/* NGX_AGAIN: there is more */

static ngx_int_t
ngx_http_acr_sweep_slice(void *data, ngx_log_t *log)
{
    ngx_http_acr_sweep_t *sweep = data;

    char                      newer[NGX_HTTP_ACR_STORE_NEWER];
    ngx_http_acr_registry_t  *registry;

    registry = sweep->registry;

    if (sweep->swept == NULL) {

        /* what looks old to us may be in use by a newer module */

        if (ngx_http_acr_store_version(&registry->store, newer, sizeof(newer),
                                       log)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        /* an hour more, since the session's last renewal may be later */

        sweep->swept = ngx_http_acr_store_sweep_begin(&registry->store,
                                               registry->upload_expires + 3600,
                                               log);
        if (sweep->swept == NULL) {
            return NGX_ERROR;
        }
    }

    return ngx_http_acr_store_sweep_step(sweep->swept,
                                         NGX_HTTP_ACR_SWEEP_ENTRIES, log);
}


/* what could not be removed was logged, and is tried again the next time */

static void
ngx_http_acr_sweep_done(void *data, ngx_int_t rc)
{
    ngx_http_acr_sweep_t *sweep = data;

    ngx_uint_t  removed;

    if (rc == NGX_AGAIN && !ngx_exiting
        && ngx_http_acr_task_post(&sweep->task, sweep->registry->slow)
           == NGX_OK)
    {
        return;
    }

    if (sweep->swept == NULL) {
        return;
    }

    (void) ngx_http_acr_store_sweep_end(sweep->swept, &removed);

    sweep->swept = NULL;

    if (removed) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "acr: %ui expired uploads removed from \"%V\"",
                      removed, &sweep->registry->store.root);
    }
}
