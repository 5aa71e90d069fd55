
/*
 * The public keys of an OpenID provider in a worker: read from a file when the
 * configuration is read, or fetched by src/fetch in the background, directly
 * ("jwks=https://...") or by discovery (OpenID Connect Discovery 1.0, section
 * 4: <issuer>/.well-known/openid-configuration has "jwks_uri").
 *
 * Keys that were fetched are kept until others have been: a provider that is
 * down locks nobody out whose key is known.  They are fetched anew every hour,
 * and when a token names a key that is not among them, but not more often than
 * every NGX_HTTP_ACR_OIDC_PAUSE seconds, whatever clients send.
 */

#ifndef NGX_HTTP_ACR_OIDC_KEYS_H
#define NGX_HTTP_ACR_OIDC_KEYS_H

#include "../ngx_http_acr_step.h"
#include "acr_jwt.h"


#define NGX_HTTP_ACR_OIDC_REFRESH  3600
#define NGX_HTTP_ACR_OIDC_PAUSE    10


/* one set, shared by the requests and threads that use it; never changed */

typedef struct {
    acr_jwt_keys_t              *keys;
    ngx_uint_t                   refs;     /* of the event loop alone */
} ngx_http_acr_oidc_set_t;


/* where the keys of a provider come from: of the configuration, whose reader
   calls ngx_http_acr_fetch_need() if they are to be fetched */

typedef struct {
    ngx_str_t                    issuer;   /* "iss", to the letter */
    ngx_str_t                    url;      /* of the JWK set; empty: the
                                              issuer's discovery names it */
    ngx_http_acr_oidc_set_t     *fixed;    /* of a file: never fetched */
} ngx_http_acr_oidc_source_t;


typedef struct ngx_http_acr_oidc_keys_s  ngx_http_acr_oidc_keys_t;


/*
 * Starts to keep the keys of a source in this worker: for init_process; the
 * first fetch begins at once.  What was fetched is read in a thread of the
 * pool.  Timers do not keep an exiting worker alive.  NULL: no memory.
 */
ngx_http_acr_oidc_keys_t *ngx_http_acr_oidc_keys_start(
    ngx_http_acr_oidc_source_t *source, ngx_http_acr_pool_t *pool,
    ngx_cycle_t *cycle);

/* for exit_process */
void ngx_http_acr_oidc_keys_stop(ngx_http_acr_oidc_keys_t *keys);

/* the keys as they are now, with a reference; NULL: none was got yet */
ngx_http_acr_oidc_set_t *ngx_http_acr_oidc_keys_get(
    ngx_http_acr_oidc_keys_t *keys);
void ngx_http_acr_oidc_keys_release(ngx_http_acr_oidc_set_t *set);

/*
 * A token names a key that is not there, or there are none yet: continues with
 * next(r, data, NGX_OK) when keys have been fetched since the call, or joined
 * from a fetch that was under way; NGX_DECLINED at once if they were fetched,
 * or tried, less than NGX_HTTP_ACR_OIDC_PAUSE seconds ago, or are fixed;
 * NGX_ERROR if the fetch failed.  A step of the request as those of
 * ngx_http_acr_step.h: next is not called when the request is gone.
 */
void ngx_http_acr_oidc_keys_renew(ngx_http_request_t *r,
    ngx_http_acr_oidc_keys_t *keys, ngx_http_acr_next_pt next, void *data);


#endif /* NGX_HTTP_ACR_OIDC_KEYS_H */
