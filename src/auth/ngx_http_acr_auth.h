
/*
 * Who is asking, and may they?  DESIGN "A request".
 *
 *   ngx_http_acr_auth.c         the decision, on the way to a handler
 *   ngx_http_acr_auth_access.c  this worker's copy of acr/access.json
 *   ngx_http_acr_auth_login.c   credentials of a request: Basic, Bearer, those
 *                               that nginx has verified, none
 *   ngx_http_acr_auth_known.c   those that were verified lately; failures
 *   ngx_http_acr_auth_shared.c  what workers tell one another of both
 *   ngx_http_acr_auth_token.c   tokens that the registry issues, and their keys
 *   ngx_http_acr_auth_conf.c    directives
 *   ngx_http_acr_oidc*.c        tokens of OpenID providers
 *
 * Rights are asked of access.json and nginx.conf at each request, so what is
 * remembered is only that a credential is genuine: taking a right away holds
 * as soon as the file is read again, half a second later at most.  One that was
 * given holds at once, since the file is looked at before somebody is refused.
 */

#ifndef NGX_HTTP_ACR_AUTH_H
#define NGX_HTTP_ACR_AUTH_H

#include "../ngx_http_acr.h"
#include "../ngx_http_acr_document.h"
#include "../ngx_http_acr_step.h"


#define NGX_HTTP_ACR_KEY_LEN   64
#define NGX_HTTP_ACR_SALT_LEN  32

/* rights at one time; several requests and threads may use them */

typedef struct {
    acr_access_t              *rights;
    ngx_http_acr_store_version_t  version; /* of the file; all zeroes: it is not
                                              known */
    ngx_uint_t                 refs;       /* of the event loop alone */
} ngx_http_acr_access_t;


/* somebody who has shown who they are */

struct ngx_http_acr_credential_s {
    ngx_queue_t                order;      /* of use */
    ngx_queue_t                bucket;
    ngx_pool_t                *pool;       /* it is in there itself */
    ngx_uint_t                 refs;
    u_char                     key[NGX_HTTP_ACR_KEY_LEN];
    time_t                     until;      /* it ends itself, or is checked
                                              anew */
    time_t                     ends;       /* "exp" of a token; 0: none */
    acr_principal_t            principal;
    acr_scope_t               *scopes;     /* a token is for these only */
    ngx_uint_t                 nscopes;
    unsigned                   registry;   /* bits of ACR_MAY_REGISTRY among
                                              them */
    unsigned                   narrowed:1; /* there are such */
    unsigned                   bearer:1;   /* it is a token of ours: what is
                                              got for it ends with it */
};


/* seconds that a password is remembered for after it was last used; that it
   still is one is asked each time */
#define NGX_HTTP_ACR_KNOWN_REMEMBER  600

#define NGX_HTTP_ACR_AUTH_BUCKETS   1024

typedef struct ngx_http_acr_shared_s  ngx_http_acr_shared_t;


/* of a registry in a worker */

struct ngx_http_acr_auth_s {
    ngx_http_acr_registry_t   *registry;

    ngx_http_acr_access_t     *access;     /* NULL: it cannot be read */
    ngx_http_acr_access_t     *read;       /* by a thread, just now */
    ngx_http_acr_document_t    document;

    struct ngx_http_acr_oidc_keys_s  **oidc;   /* of each issuer, or NULL */

    ngx_queue_t                order;
    ngx_queue_t                buckets[NGX_HTTP_ACR_AUTH_BUCKETS];
    ngx_uint_t                 known;

    u_char                     secret[ACR_JWT_SECRET];
                                           /* of the registry: what failures
                                              are counted under */
    ngx_http_acr_shared_t     *shared;
    ngx_slab_pool_t           *shpool;     /* NULL: it is not shared */
};


/* the handler of a resource, or another function of that form */
typedef void (*ngx_http_acr_auth_next_pt)(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);


/* --- the decision */

/*
 * Goes on with next if the caller has all rights of "all" and, unless that is
 * 0, one of "any" (ACR_MAY_*) on ctx->repository; else ends the request with
 * 401 and the challenge, in which those rights stand as the scope, with 429, or
 * with 503 if the rights cannot be read.  At once where access control is off.
 */
void ngx_http_acr_authorize(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_uint_t all, ngx_uint_t any, ngx_http_acr_auth_next_pt next);

/* only that whoever asks is who they say: ctx->credential; for "/v2/" (known is
   1: the anonymous are challenged) and the token service */
void ngx_http_acr_authenticate(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_uint_t known, ngx_http_acr_auth_next_pt next);

/* what has come of ngx_http_acr_login(): NGX_OK; NGX_DECLINED: it is nobody, or
   nobody any more; NGX_DONE after it has failed the request */
ngx_int_t ngx_http_acr_auth_outcome(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, ngx_int_t rc);

/* what a request that was let through may do with another repository:
   ACR_MAY_*, all where access control is off */
ngx_uint_t ngx_http_acr_may(ngx_http_acr_ctx_t *ctx, ngx_str_t *repository);

/* and with the registry, where access control is on: of ACR_MAY_REGISTRY */
ngx_uint_t ngx_http_acr_may_registry(ngx_http_acr_ctx_t *ctx);

/* the same, of a credential, without what narrows a token */
ngx_uint_t ngx_http_acr_rights(ngx_http_acr_ctx_t *ctx,
    acr_principal_t *principal, ngx_str_t *repository);
ngx_uint_t ngx_http_acr_rights_registry(ngx_http_acr_ctx_t *ctx,
    acr_principal_t *principal);

/*
 * Ends the request with 401: "Bearer" with realm, service and, unless all and
 * any are 0, the scope; error is NULL, "invalid_token" or "insufficient_scope"
 * (RFC 6750).
 */
void ngx_http_acr_challenge(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_uint_t all, ngx_uint_t any, const char *error);

/* the realm of challenges: acr_realm, else the token service at the Host, at
   another host if there is none; NGX_ERROR: the request is yet to be failed */
ngx_int_t ngx_http_acr_realm(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_str_t *otherwise, ngx_str_t *realm);

/* whom tokens are for: acr_service, else the Host; NGX_ERROR after it has
   failed the request */
ngx_int_t ngx_http_acr_service(ngx_http_request_t *r, ngx_str_t *service);


/* --- this worker's copy of the rights */

/* for init_process and exit_process, where registry->auth_on */
ngx_int_t ngx_http_acr_auth_start(ngx_http_acr_registry_t *registry,
    ngx_cycle_t *cycle);
void ngx_http_acr_auth_stop(ngx_http_acr_registry_t *registry);

/* rights that were read by somebody else in a thread: text is copied.  NGX_OK;
   NGX_ERROR after a log line: it is no such text; or ENOMEM */
ngx_int_t ngx_http_acr_access_parse(ngx_http_acr_access_t **access,
    const u_char *p, size_t n, ngx_log_t *log);

/*
 * Before a request is refused, once, which ctx->renewed tells: looks whether
 * there are other rights by now, and takes them.  next(r, data, NGX_OK): there
 * may be; NGX_DECLINED: not so, or they are another registry's.
 */
void ngx_http_acr_access_renew(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_next_pt next, void *data);

/* these, which the caller has written, are valid from now on; and who holds
   some gives them back */
void ngx_http_acr_access_take(ngx_http_acr_auth_t *auth,
    ngx_http_acr_access_t *access);
void ngx_http_acr_access_release(ngx_http_acr_access_t *access);


/* --- credentials */

/*
 * Whose request this is, from its headers and what nginx has verified:
 * next(r, data, rc) with ctx->credential set.  A token of ours comes before a
 * user of nginx, since who sends one wants no more than that.  rc: NGX_OK;
 * NGX_DECLINED: they are wrong; NGX_BUSY: too many were wrong lately;
 * NGX_ERROR.
 */
void ngx_http_acr_login(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_next_pt next, void *data);

/* the same for a user and a password, or a refresh token (user is NULL) */
void ngx_http_acr_login_as(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_str_t *user, ngx_str_t *secret, ngx_http_acr_next_pt next, void *data);

/* nobody in particular */
extern ngx_http_acr_credential_t  ngx_http_acr_anonymous;


/* --- those that are known */

/* SHA-256 of the node's salt, the parts and their lengths, in hex */
void ngx_http_acr_known_key(ngx_http_acr_auth_t *auth, u_char *key,
    ngx_str_t *parts, ngx_uint_t n);
ngx_http_acr_credential_t *ngx_http_acr_known_find(ngx_http_acr_auth_t *auth,
    u_char *key);

/* takes it over, with a reference */
void ngx_http_acr_known_add(ngx_http_acr_auth_t *auth,
    ngx_http_acr_credential_t *credential);
void ngx_http_acr_credential_release(ngx_http_acr_credential_t *credential);

/*
 * Too many failures of this address in the last minute, or of the account
 * (empty for a token) from there?  One more is counted here at once, and by
 * Redis for all nodes, of which this one learns with the answer.
 */
ngx_uint_t ngx_http_acr_failing(ngx_http_acr_auth_t *auth,
    ngx_http_request_t *r, ngx_str_t *account);
void ngx_http_acr_failed(ngx_http_acr_auth_t *auth, ngx_http_request_t *r,
    ngx_str_t *account);


/* --- tokens */

/* seconds that clocks of nodes may differ */
#define NGX_HTTP_ACR_TOKEN_SKEW     30

#define NGX_HTTP_ACR_TOKEN_ACCESS   0
#define NGX_HTTP_ACR_TOKEN_REFRESH  1

/*
 * The claims of a token for the principal: ACR's, with "kind", "key" (the id of
 * the password that was given) and "groups" of our own.  access: the array of
 * that name, of which a reference is taken, or NULL.  A new reference; NULL: no
 * memory.
 */
json_t *ngx_http_acr_token_claims(acr_principal_t *principal,
    ngx_str_t *service, ngx_uint_t type, time_t now, time_t lifetime,
    json_t *access);

/*
 * The credential that a token is, in a pool of its own: for a thread.  NGX_OK;
 * NGX_DECLINED: it is wrong; NGX_ABORT: it does not even name a key of ours;
 * NGX_DONE: it is ours, but is over, or for something else, which is no guess;
 * *why (static) tells of all three.  NGX_ERROR.
 */
ngx_int_t ngx_http_acr_token_read(ngx_http_acr_registry_t *registry,
    ngx_str_t *token, ngx_str_t *service, ngx_uint_t any, time_t now,
    ngx_http_acr_credential_t **credential, const char **why);

/* seconds for which tokens are good beyond their end, just now: an edge node's,
   whose origin is down */
time_t ngx_http_acr_auth_offline(ngx_http_acr_registry_t *registry);

/* a credential in a pool of its own, with copies of the texts */
ngx_http_acr_credential_t *ngx_http_acr_credential_create(
    acr_principal_t *principal);


#endif /* NGX_HTTP_ACR_AUTH_H */
