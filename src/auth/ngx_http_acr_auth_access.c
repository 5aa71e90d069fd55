
#include "ngx_http_acr_auth_shared.h"
#include "ngx_http_acr_oidc.h"


typedef struct {
    ngx_http_acr_auth_t           *auth;
    ngx_http_acr_access_t         *before;
    ngx_http_acr_access_t         *read;
    ngx_http_acr_store_version_t   version;
    ngx_http_acr_next_pt           next;
    void                          *data;
} ngx_http_acr_access_renew_t;


static ngx_int_t ngx_http_acr_access_read(void *data, const u_char *p,
    size_t n, ngx_log_t *log);
static void ngx_http_acr_access_loaded(void *data, ngx_int_t rc);
static ngx_int_t ngx_http_acr_access_renew_work(void *data, ngx_log_t *log);
static void ngx_http_acr_access_renewed(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_access_renew_cleanup(void *data);
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

    ngx_int_t  rc;

    rc = ngx_http_acr_access_parse(&auth->read, p, n, log);

    if (rc == NGX_OK) {
        auth->read->version = auth->document.version;
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

    ngx_memzero(a, sizeof(ngx_http_acr_access_t));

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


void
ngx_http_acr_access_renew(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_next_pt next, void *data)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_acr_auth_t          *auth;
    ngx_http_acr_access_renew_t  *renew;

    auth = ctx->registry->auth;

    ctx->renewed = 1;

    if (ctx->registry->origin || auth->access == NULL) {
        next(r, data, NGX_DECLINED);
        return;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_access_renew_t));

    if (cln == NULL) {
        next(r, data, NGX_DECLINED);
        return;
    }

    renew = cln->data;

    ngx_memzero(renew, sizeof(ngx_http_acr_access_renew_t));

    renew->auth = auth;
    renew->before = auth->access;
    renew->before->refs++;
    renew->version = auth->access->version;
    renew->next = next;
    renew->data = data;

    cln->handler = ngx_http_acr_access_renew_cleanup;

    ngx_http_acr_run(r, ctx->registry->fast, ngx_http_acr_access_renew_work,
                     renew, ngx_http_acr_access_renewed);
}


/* what is wrong with the file the next look of the worker tells */

static ngx_int_t
ngx_http_acr_access_renew_work(void *data, ngx_log_t *log)
{
    ngx_http_acr_access_renew_t *renew = data;

    u_char     *p;
    size_t      n;
    ngx_int_t   rc;
    ngx_log_t   quiet;

    quiet = *log;
    quiet.log_level = NGX_LOG_STDERR;

    rc = ngx_http_acr_store_document_read(&renew->auth->registry->store,
                                          &ngx_http_acr_store_access,
                                          &renew->version, &p, &n, &quiet);
    if (rc != NGX_OK) {
        return NGX_DECLINED;
    }

    rc = ngx_http_acr_access_parse(&renew->read, p, n, &quiet);

    ngx_free(p);

    if (rc != NGX_OK) {
        return NGX_DECLINED;
    }

    renew->read->version = renew->version;

    return NGX_OK;
}


static void
ngx_http_acr_access_renewed(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_access_renew_t *renew = data;

    ngx_http_acr_auth_t  *auth;

    auth = renew->auth;

    /* others may have come meanwhile, which are newer */

    if (rc == NGX_OK && auth->access == renew->before) {
        ngx_http_acr_access_take(auth, renew->read);
        renew->read = NULL;
    }

    renew->next(r, renew->data, (auth->access == renew->before) ? NGX_DECLINED
                                                                : NGX_OK);
}


static void
ngx_http_acr_access_renew_cleanup(void *data)
{
    ngx_http_acr_access_renew_t *renew = data;

    ngx_http_acr_access_release(renew->before);

    if (renew->read) {
        ngx_http_acr_access_release(renew->read);
    }
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
