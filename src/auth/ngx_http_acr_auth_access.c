
#include "ngx_http_acr_auth_shared.h"
#include "ngx_http_acr_oidc.h"


static ngx_int_t ngx_http_acr_access_read(void *data, const u_char *p,
    size_t n, ngx_log_t *log);
static void ngx_http_acr_access_loaded(void *data, ngx_int_t rc);
static void ngx_http_acr_access_set(ngx_http_acr_auth_t *auth,
    ngx_http_acr_access_t *access);


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

    auth->document.registry = registry;
    auth->document.file = &ngx_http_acr_store_access;
    auth->document.parse = ngx_http_acr_access_read;
    auth->document.parsed = ngx_http_acr_access_loaded;
    auth->document.data = auth;

    registry->auth = auth;

    if (ngx_http_acr_oidc_start(auth, cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_acr_document_start(&auth->document, cycle);

    return NGX_OK;
}


void
ngx_http_acr_auth_stop(ngx_http_acr_registry_t *registry)
{
    if (registry->auth == NULL) {
        return;
    }

    ngx_http_acr_document_stop(&registry->auth->document);
    ngx_http_acr_oidc_stop(registry->auth);
}


static ngx_int_t
ngx_http_acr_access_read(void *data, const u_char *p, size_t n,
    ngx_log_t *log)
{
    ngx_http_acr_auth_t *auth = data;

    return ngx_http_acr_access_parse(&auth->read, p, n, log);
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

    } else if (auth->read) {
        ngx_http_acr_access_release(auth->read);
    }

    auth->read = NULL;
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


void
ngx_http_acr_access_take(ngx_http_acr_auth_t *auth,
    ngx_http_acr_access_t *access)
{
    ngx_http_acr_access_set(auth, access);

    ngx_http_acr_document_again(&auth->document);
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
