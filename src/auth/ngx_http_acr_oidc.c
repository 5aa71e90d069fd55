
#include "ngx_http_acr_oidc.h"


typedef struct {
    ngx_http_acr_oidc_t    *oidc;
    ngx_http_acr_next_pt    next;
    void                   *data;
} ngx_http_acr_oidc_renewal_t;


static ngx_int_t ngx_http_acr_oidc_find(ngx_http_acr_oidc_t *oidc,
    ngx_str_t *token);
static ngx_int_t ngx_http_acr_oidc_credential(
    ngx_http_acr_oidc_issuer_t *issuer, json_t *claims, time_t now,
    ngx_http_acr_credential_t **credential, const char **why);
static void ngx_http_acr_oidc_renewed(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_oidc_refused(ngx_http_acr_oidc_t *oidc,
    const char *why, ngx_log_t *log);


ngx_int_t
ngx_http_acr_oidc_start(ngx_http_acr_auth_t *auth, ngx_cycle_t *cycle)
{
    ngx_uint_t                   i;
    ngx_array_t                 *issuers;
    ngx_http_acr_oidc_issuer_t  *issuer;

    issuers = auth->registry->issuers;

    if (issuers == NULL) {
        return NGX_OK;
    }

    auth->oidc = ngx_pcalloc(cycle->pool, issuers->nelts
                                          * sizeof(auth->oidc[0]));
    if (auth->oidc == NULL) {
        return NGX_ERROR;
    }

    issuer = issuers->elts;

    for (i = 0; i < issuers->nelts; i++) {
        auth->oidc[i] = ngx_http_acr_oidc_keys_start(&issuer[i].source,
                                                     auth->registry->slow,
                                                     cycle);

        if (auth->oidc[i] == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


void
ngx_http_acr_oidc_stop(ngx_http_acr_auth_t *auth)
{
    ngx_uint_t  i;

    if (auth->oidc == NULL) {
        return;
    }

    for (i = 0; i < auth->registry->issuers->nelts; i++) {
        if (auth->oidc[i]) {
            ngx_http_acr_oidc_keys_stop(auth->oidc[i]);
        }
    }

    auth->oidc = NULL;
}


ngx_int_t
ngx_http_acr_oidc_take(ngx_http_acr_oidc_t *oidc,
    ngx_http_acr_registry_t *registry, ngx_pool_t *pool)
{
    ngx_uint_t  i, n;

    n = registry->issuers->nelts;

    oidc->registry = registry;
    oidc->sets = ngx_palloc(pool, n * sizeof(oidc->sets[0]));

    if (oidc->sets == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        oidc->sets[i] = ngx_http_acr_oidc_keys_get(registry->auth->oidc[i]);
    }

    return NGX_OK;
}


void
ngx_http_acr_oidc_release(ngx_http_acr_oidc_t *oidc)
{
    ngx_uint_t  i;

    if (oidc->sets == NULL) {
        return;
    }

    for (i = 0; i < oidc->registry->issuers->nelts; i++) {
        if (oidc->sets[i]) {
            ngx_http_acr_oidc_keys_release(oidc->sets[i]);
            oidc->sets[i] = NULL;
        }
    }
}


ngx_int_t
ngx_http_acr_oidc_read(ngx_http_acr_oidc_t *oidc, ngx_str_t *token,
    time_t now, ngx_http_acr_credential_t **credential, ngx_log_t *log)
{
    json_t                      *claims;
    acr_jwt_e                    error;
    ngx_int_t                    rc;
    const char                  *why;
    ngx_http_acr_oidc_set_t     *set;
    ngx_http_acr_oidc_issuer_t  *issuer;

    *credential = NULL;

    rc = ngx_http_acr_oidc_find(oidc, token);

    if (rc != NGX_OK) {
        return rc;
    }

    issuer = oidc->registry->issuers->elts;
    issuer += oidc->issuer;

    set = oidc->sets[oidc->issuer];

    if (set == NULL) {
        return NGX_AGAIN;
    }

    error = acr_jwt_verify(set->keys, token->data, token->len, &claims);

    switch (error) {

    case ACR_JWT_OK:
        rc = ngx_http_acr_oidc_credential(issuer, claims, now, credential,
                                          &why);
        json_decref(claims);
        break;

    case ACR_JWT_NOMEM:
        return NGX_ERROR;

    case ACR_JWT_KEY:
        return NGX_AGAIN;

    case ACR_JWT_SIGNATURE:

        /* without a name it may be that of a new key */

        if (!acr_jwt_has_kid(token->data, token->len)) {
            return NGX_AGAIN;
        }

        /* fall through */

    default:
        rc = NGX_DECLINED;
        why = acr_jwt_error(error);
        break;
    }

    if (rc == NGX_DECLINED || rc == NGX_DONE) {
        ngx_http_acr_oidc_refused(oidc, why, log);
    }

    return rc;
}


/* the issuer whose keys are to be tried; NGX_ABORT: none of ours */

static ngx_int_t
ngx_http_acr_oidc_find(ngx_http_acr_oidc_t *oidc, ngx_str_t *token)
{
    size_t                       len;
    acr_jwt_e                    error;
    ngx_uint_t                   i;
    ngx_array_t                 *issuers;
    ngx_http_acr_oidc_issuer_t  *issuer;
    u_char                       name[ACR_OIDC_ISSUER_MAX];

    len = sizeof(name);

    error = acr_jwt_issuer(token->data, token->len, name, &len);

    if (error != ACR_JWT_OK) {
        return (error == ACR_JWT_NOMEM) ? NGX_ERROR : NGX_ABORT;
    }

    issuers = oidc->registry->issuers;
    issuer = issuers->elts;

    for (i = 0; i < issuers->nelts; i++) {

        if (issuer[i].source.issuer.len == len
            && ngx_memcmp(issuer[i].source.issuer.data, name, len) == 0)
        {
            oidc->issuer = i;
            return NGX_OK;
        }
    }

    return NGX_ABORT;
}


/*
 * What is got for it does not end with it: it tells who somebody is now, and
 * those of CI are over in minutes.
 */

static ngx_int_t
ngx_http_acr_oidc_credential(ngx_http_acr_oidc_issuer_t *issuer,
    json_t *claims, time_t now, ngx_http_acr_credential_t **credential,
    const char **why)
{
    acr_oidc_e                  error;
    acr_principal_t             principal;
    ngx_http_acr_credential_t  *c;
    u_char                      buf[ACR_OIDC_BUFFER];

    error = acr_oidc_principal(&issuer->mapping, claims, now, buf, &principal);

    if (error != ACR_OIDC_OK) {
        *why = acr_oidc_error(error);

        return (error == ACR_OIDC_TIME) ? NGX_DONE : NGX_DECLINED;
    }

    c = ngx_http_acr_credential_create(&principal);

    if (c == NULL) {
        return NGX_ERROR;
    }

    c->ends = (time_t) json_number_value(json_object_get(claims, "exp"));
    c->until = ngx_min(c->ends + ACR_OIDC_SKEW,
                       now + NGX_HTTP_ACR_KNOWN_REMEMBER);

    *credential = c;

    return NGX_OK;
}


void
ngx_http_acr_oidc_renew(ngx_http_request_t *r, ngx_http_acr_oidc_t *oidc,
    ngx_http_acr_next_pt next, void *data)
{
    ngx_http_acr_oidc_keys_t     *keys;
    ngx_http_acr_oidc_renewal_t  *renewal;

    renewal = ngx_palloc(r->pool, sizeof(ngx_http_acr_oidc_renewal_t));

    if (renewal == NULL) {
        next(r, data, NGX_ERROR);
        return;
    }

    renewal->oidc = oidc;
    renewal->next = next;
    renewal->data = data;

    keys = oidc->registry->auth->oidc[oidc->issuer];

    ngx_http_acr_oidc_keys_renew(r, keys, ngx_http_acr_oidc_renewed, renewal);
}


/* keys that are not asked for again may be others than those that were tried:
   another request has renewed them meanwhile */

static void
ngx_http_acr_oidc_renewed(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_oidc_renewal_t *renewal = data;

    ngx_http_acr_oidc_t      *oidc;
    ngx_http_acr_oidc_set_t  *set, *now;

    oidc = renewal->oidc;
    set = oidc->sets[oidc->issuer];

    now = ngx_http_acr_oidc_keys_get(oidc->registry->auth->oidc[oidc->issuer]);

    oidc->sets[oidc->issuer] = now;

    if (now == NULL) {
        rc = NGX_ERROR;

    } else if (rc != NGX_ERROR) {
        rc = (now == set) ? NGX_DECLINED : NGX_OK;
    }

    if (set) {
        ngx_http_acr_oidc_keys_release(set);
    }

    renewal->next(r, renewal->data, rc);
}


void
ngx_http_acr_oidc_unknown(ngx_http_acr_oidc_t *oidc, ngx_log_t *log)
{
    ngx_http_acr_oidc_refused(oidc, acr_jwt_error(ACR_JWT_KEY), log);
}


static void
ngx_http_acr_oidc_refused(ngx_http_acr_oidc_t *oidc, const char *why,
    ngx_log_t *log)
{
    ngx_http_acr_oidc_issuer_t  *issuer;

    issuer = oidc->registry->issuers->elts;

    ngx_log_error(NGX_LOG_INFO, log, 0,
                  "acr: a token of \"%V\" is refused: %s",
                  &issuer[oidc->issuer].source.issuer, why);
}
