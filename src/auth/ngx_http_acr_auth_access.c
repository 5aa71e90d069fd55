
#include "ngx_http_acr_auth_shared.h"
#include "ngx_http_acr_oidc.h"


/* milliseconds between two looks: what was taken away ends within a second */
#define NGX_HTTP_ACR_ACCESS_LOOK  500


static ngx_int_t ngx_http_acr_access_load(void *data, ngx_log_t *log);
static void ngx_http_acr_access_loaded(void *data, ngx_int_t rc);
static void ngx_http_acr_access_set(ngx_http_acr_auth_t *auth,
    ngx_http_acr_access_t *access);
static void ngx_http_acr_access_timer(ngx_event_t *ev);


ngx_int_t
ngx_http_acr_auth_start(ngx_http_acr_registry_t *registry, ngx_cycle_t *cycle)
{
    ngx_uint_t            i;
    ngx_http_acr_auth_t  *auth;

    auth = ngx_pcalloc(cycle->pool, sizeof(ngx_http_acr_auth_t));

    if (auth == NULL) {
        return NGX_ERROR;
    }

    auth->registry = registry;

    /* an edge node has nothing that others share, but its configuration */

    if (registry->origin) {
        ngx_memcpy(auth->secret, registry->salt, sizeof(registry->salt));

    } else if (acr_jwt_keys_secret(registry->token_keys, "failures",
                                   auth->secret)
               != ACR_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "acr: nothing can be made of the first token key");
        return NGX_ERROR;
    }

    if (ngx_http_acr_shared_start(auth, cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_queue_init(&auth->order);

    for (i = 0; i < NGX_HTTP_ACR_AUTH_BUCKETS; i++) {
        ngx_queue_init(&auth->buckets[i]);
    }

    auth->task.work = ngx_http_acr_access_load;
    auth->task.done = ngx_http_acr_access_loaded;
    auth->task.data = auth;

    auth->timer.data = auth;
    auth->timer.handler = ngx_http_acr_access_timer;
    auth->timer.log = cycle->log;
    auth->timer.cancelable = 1;

    registry->auth = auth;

    if (ngx_http_acr_oidc_start(auth, cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    /* nothing is served yet, so this may wait */

    ngx_http_acr_access_loaded(auth, ngx_http_acr_access_load(auth,
                                                              cycle->log));

    ngx_add_timer(&auth->timer, NGX_HTTP_ACR_ACCESS_LOOK);

    return NGX_OK;
}


void
ngx_http_acr_auth_stop(ngx_http_acr_registry_t *registry)
{
    if (registry->auth == NULL) {
        return;
    }

    if (registry->auth->timer.timer_set) {
        ngx_del_timer(&registry->auth->timer);
    }

    ngx_http_acr_oidc_stop(registry->auth);
}


static void
ngx_http_acr_access_timer(ngx_event_t *ev)
{
    ngx_http_acr_auth_t *auth = ev->data;

    if (ngx_exiting && ngx_event_no_timers_left() == NGX_OK) {
        return;
    }

    if (!auth->task.active) {

        if (auth->again) {
            ngx_memzero(&auth->version, sizeof(ngx_http_acr_store_version_t));
            auth->again = 0;
        }

        (void) ngx_http_acr_task_post(&auth->task, auth->registry->slow);
    }

    ngx_add_timer(ev, NGX_HTTP_ACR_ACCESS_LOOK);
}


static ngx_int_t
ngx_http_acr_access_load(void *data, ngx_log_t *log)
{
    ngx_http_acr_auth_t *auth = data;

    u_char     *p;
    size_t      n;
    ngx_int_t   rc;

    rc = ngx_http_acr_store_access_read(&auth->registry->store,
                                        &auth->version, &p, &n, log);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_access_parse(&auth->read, p, n, log);

    ngx_free(p);

    if (rc == ENOMEM) {

        /* as if it had not been read: the next look tries it again */

        ngx_memzero(&auth->version, sizeof(ngx_http_acr_store_version_t));
    }

    return rc;
}


/*
 * What cannot be read for a moment leaves the rights as they were; what can be
 * read and is wrong takes them all away, since it may have been to take some.
 */

static void
ngx_http_acr_access_loaded(void *data, ngx_int_t rc)
{
    ngx_http_acr_auth_t *auth = data;

    if (rc == NGX_OK || rc == NGX_ERROR) {
        ngx_http_acr_access_set(auth, auth->read);
        auth->read = NULL;
    }
}


ngx_int_t
ngx_http_acr_access_parse(ngx_http_acr_access_t **access, const u_char *p,
    size_t n, ngx_log_t *log)
{
    const char             *error;
    ngx_http_acr_access_t  *a;

    *access = NULL;

    a = ngx_alloc(sizeof(ngx_http_acr_access_t), log);

    if (a == NULL) {
        return ENOMEM;
    }

    a->refs = 1;
    a->rights = acr_access_load(p, n, &error);

    if (a->rights == NULL && error == acr_access_nomem) {
        ngx_log_error(NGX_LOG_ERR, log, ENOMEM,
                      "acr: acr/access.json could not be read");
        ngx_free(a);
        return ENOMEM;
    }

    if (a->rights == NULL) {
        ngx_log_error(NGX_LOG_CRIT, log, 0,
                      "acr: acr/access.json is refused, nobody has any rights "
                      "but by nginx.conf: %s", error);
        ngx_free(a);
        return NGX_ERROR;
    }

    *access = a;

    return NGX_OK;
}


/*
 * Two changes that were written one after the other may arrive in the other
 * order, and a look may have seen the later one: so the file is read again.
 */

void
ngx_http_acr_access_take(ngx_http_acr_auth_t *auth,
    ngx_http_acr_access_t *access)
{
    ngx_http_acr_access_set(auth, access);

    auth->again = 1;
}


static void
ngx_http_acr_access_set(ngx_http_acr_auth_t *auth,
    ngx_http_acr_access_t *access)
{
    if (auth->access) {
        ngx_http_acr_access_release(auth->access);
    }

    auth->access = access;
}


void
ngx_http_acr_access_release(ngx_http_acr_access_t *access)
{
    if (--access->refs) {
        return;
    }

    acr_access_free(access->rights);
    ngx_free(access);
}
