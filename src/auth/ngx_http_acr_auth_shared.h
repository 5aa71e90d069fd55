
/*
 * What the workers of a node tell one another about credentials, in acr_zone:
 * which were verified lately, and how many were wrong.  Without acr_zone each
 * worker has it for itself.
 *
 * A credential is found by a hash of what the client has sent, salted with
 * random bytes that never leave the memory, so there are no secrets here; what
 * is kept is whose it is and, of a token, what it is for.  That it may still be
 * used is asked each time, as ngx_http_acr_auth.h says.  Some of the salt is of
 * the configuration: after a reload all are verified anew, by the keys and
 * issuers that there are then.
 *
 * Places are of one size and in one table, written under a lock that nginx
 * takes from a worker that was killed; one that was being written then is
 * empty.
 */

#ifndef NGX_HTTP_ACR_AUTH_SHARED_H
#define NGX_HTTP_ACR_AUTH_SHARED_H

#include "ngx_http_acr_auth.h"


/*
 * For init_process: finds or makes auth->shared, in acr_zone if there is one
 * with room for it.  NGX_ERROR after a log line.
 */
ngx_int_t ngx_http_acr_shared_start(ngx_http_acr_auth_t *auth,
    ngx_cycle_t *cycle);

/* what keys are salted with: NGX_HTTP_ACR_SALT_LEN bytes */
u_char *ngx_http_acr_shared_salt(ngx_http_acr_auth_t *auth);

/* a credential that another worker has verified, in a pool of its own; NULL:
   there is none */
ngx_http_acr_credential_t *ngx_http_acr_shared_find(ngx_http_acr_auth_t *auth,
    u_char *key);

/* tells the others of one; one that has too much to tell stays this worker's */
void ngx_http_acr_shared_add(ngx_http_acr_auth_t *auth,
    ngx_http_acr_credential_t *credential);

/* failures that were noted under the key in the last minute, with one more if
   count is 1 */
ngx_uint_t ngx_http_acr_shared_failures(ngx_http_acr_auth_t *auth,
    u_char *key, ngx_uint_t count);

/* there were n at all nodes, if that is more */
void ngx_http_acr_shared_failures_raise(ngx_http_acr_auth_t *auth,
    u_char *key, ngx_uint_t n);


#endif /* NGX_HTTP_ACR_AUTH_SHARED_H */
