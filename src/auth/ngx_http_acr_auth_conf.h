
/*
 * Directives of access control: acr_auth, acr_token_key, acr_token_lifetime,
 * acr_service, acr_realm, acr_identity, acr_role, acr_anonymous_pull,
 * acr_oidc_issuer.  docs/directives.md says what they mean.
 */

#ifndef NGX_HTTP_ACR_AUTH_CONF_H
#define NGX_HTTP_ACR_AUTH_CONF_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "acr_access.h"
#include "acr_jwt.h"
#include "../store/ngx_http_acr_store.h"


#define NGX_HTTP_ACR_ROLE_ANONYMOUS  0     /* anybody */
#define NGX_HTTP_ACR_ROLE_USER       1
#define NGX_HTTP_ACR_ROLE_GROUP      2

/* of acr_role and acr_anonymous_pull */

typedef struct {
    ngx_uint_t                 kind;
    ngx_str_t                  name;       /* of the user or group */
    ngx_uint_t                 may;        /* ACR_MAY_* */
    acr_text_t                 scope;      /* a pattern of repositories */
} ngx_http_acr_role_t;


typedef struct {
    ngx_flag_t                 enable;
    ngx_array_t               *key_files;  /* ngx_str_t; NULL: acr/token.key */
    time_t                     lifetime;
    ngx_uint_t                 failures;   /* of an account from an address in
                                              a minute; 0: any number */
    ngx_http_complex_value_t  *service;    /* NULL: the Host */
    ngx_http_complex_value_t  *realm;      /* NULL: scheme and Host */
    ngx_http_complex_value_t  *identity;   /* NULL: only what clients show */
    ngx_array_t               *roles;      /* ngx_http_acr_role_t, or NULL */
    ngx_array_t               *issuers;    /* ngx_http_acr_oidc_issuer_t, or
                                              NULL */
} ngx_http_acr_auth_conf_t;


/* for the functions of the location's configuration */
void ngx_http_acr_auth_create_conf(ngx_http_acr_auth_conf_t *auth);
void ngx_http_acr_auth_merge_conf(ngx_http_acr_auth_conf_t *prev,
    ngx_http_acr_auth_conf_t *auth);
char *ngx_http_acr_auth_check_conf(ngx_conf_t *cf,
    ngx_http_acr_auth_conf_t *auth);

/* setters; conf is the location's */
char *ngx_http_acr_set_token_key(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_acr_set_role(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_acr_set_anonymous_pull(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_acr_set_oidc_issuer(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * The keys that a registry's tokens are signed and verified with, from the
 * files or, where files is NULL, from acr/token.key, which is made if it is
 * missing, for uid and gid.  They live as long as the configuration.  With
 * sign the first one has to be private.  NULL after a log line.
 */
acr_jwt_keys_t *ngx_http_acr_auth_keys(ngx_conf_t *cf, ngx_array_t *files,
    ngx_http_acr_store_t *store, uid_t uid, gid_t gid, ngx_uint_t sign);


#endif /* NGX_HTTP_ACR_AUTH_CONF_H */
