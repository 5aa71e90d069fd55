
/*
 * Identities of OpenID providers: "acr_oidc_issuer".
 *
 *   ngx_http_acr_oidc_conf.c   the directive
 *   ngx_http_acr_oidc.c        credentials that are tokens of a provider
 *   ngx_http_acr_oidc_keys.c   the keys of a provider, in a worker
 *   acr_oidc.c                 whom the claims of a token are of
 *
 * A registry has one list of issuers, which all its locations with "acr_auth
 * on" have named; each worker keeps the keys of each of them.
 */

#ifndef NGX_HTTP_ACR_OIDC_H
#define NGX_HTTP_ACR_OIDC_H

#include "ngx_http_acr_auth.h"
#include "ngx_http_acr_oidc_keys.h"
#include "acr_oidc.h"


#define NGX_HTTP_ACR_OIDC_ISSUERS_MAX  16

/* one "acr_oidc_issuer" */

typedef struct {
    acr_oidc_issuer_t             mapping;
    ngx_http_acr_oidc_source_t    source;
    ngx_str_t                     file;    /* of the keys; empty: none */
    ngx_str_t                    *args;    /* as they were written */
    ngx_uint_t                    nargs;
} ngx_http_acr_oidc_issuer_t;


/* the keys of all issuers of a registry as they were at one time, for a thread
   that verifies a token with them */

typedef struct {
    ngx_http_acr_registry_t      *registry;
    ngx_http_acr_oidc_set_t     **sets;    /* of each issuer; NULL: none */
    ngx_uint_t                    issuer;  /* that the token names */
} ngx_http_acr_oidc_t;


/* 1 if two lists are the same, word for word; they may be NULL */
ngx_uint_t ngx_http_acr_oidc_same(ngx_array_t *a, ngx_array_t *b);

/* reads the keys of those issuers whose keys are in files: once the whole
   configuration is known.  NGX_OK, or NGX_ERROR after a log line */
ngx_int_t ngx_http_acr_oidc_read_files(ngx_conf_t *cf, ngx_array_t *issuers);


/* the keys of a registry in this worker, for ngx_http_acr_auth_start() and
   ngx_http_acr_auth_stop(); NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_acr_oidc_start(ngx_http_acr_auth_t *auth,
    ngx_cycle_t *cycle);
void ngx_http_acr_oidc_stop(ngx_http_acr_auth_t *auth);

/* the sets, in memory of the pool, each with a reference; those from before are
   released.  NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_acr_oidc_take(ngx_http_acr_oidc_t *oidc,
    ngx_http_acr_registry_t *registry, ngx_pool_t *pool);
void ngx_http_acr_oidc_release(ngx_http_acr_oidc_t *oidc);

/*
 * The credential that a token of one of the issuers is, in a pool of its own:
 * for a thread.  NGX_OK; NGX_ABORT: it names none of the issuers; NGX_AGAIN: it
 * names a key that is not there, or there are none, which are perhaps to be
 * renewed; after a log line NGX_DECLINED: it is refused, or NGX_DONE: it was
 * good, but is over; NGX_ERROR.
 */
ngx_int_t ngx_http_acr_oidc_read(ngx_http_acr_oidc_t *oidc, ngx_str_t *token,
    time_t now, ngx_http_acr_credential_t **credential, ngx_log_t *log);

/*
 * After NGX_AGAIN: continues with next, whose rc is NGX_OK: other keys are in
 * oidc now, so try again; NGX_DECLINED: it has those that there are;
 * NGX_ERROR: there are none, or they cannot be asked for.
 */
void ngx_http_acr_oidc_renew(ngx_http_request_t *r, ngx_http_acr_oidc_t *oidc,
    ngx_http_acr_next_pt next, void *data);

/* the log line of a token whose key is not there in the end */
void ngx_http_acr_oidc_unknown(ngx_http_acr_oidc_t *oidc, ngx_log_t *log);


#endif /* NGX_HTTP_ACR_OIDC_H */
