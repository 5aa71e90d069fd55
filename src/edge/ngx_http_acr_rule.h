
/*
 * acr_cache_rule: repositories that fill themselves from a registry elsewhere.
 */

#ifndef NGX_HTTP_ACR_RULE_H
#define NGX_HTTP_ACR_RULE_H

#include "ngx_http_acr_remote.h"
#include "../ngx_http_acr.h"
#include "../oci/acr_rule.h"


typedef struct {
    acr_rule_t                  rule;
    ngx_http_acr_remote_t      *remote;
    time_t                      valid;     /* seconds for which a tag is not
                                              looked at again */
    unsigned                    gone:1;    /* a tag that the origin does not
                                              have any more is answered with
                                              404 */
} ngx_http_acr_rule_t;


/* acr_cache_rule: ngx_array_t * of ngx_http_acr_rule_t at cmd->offset */
char *ngx_http_acr_set_cache_rule(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* what a rule says for one repository: a copy, for as long as it is needed */

typedef struct {
    ngx_http_acr_remote_t      *remote;
    ngx_str_t                   source;    /* the repository's name there, in
                                              name */
    time_t                      valid;
    ngx_uint_t                  gone;
    u_char                      name[ACR_NAME_MAX];
} ngx_http_acr_rule_found_t;


/* 1 if there are rules for requests of this location: those of nginx.conf, and
   those of the registry (ngx_http_acr_rules.h) */
ngx_uint_t ngx_http_acr_rule_any(ngx_http_acr_ctx_t *ctx);

/*
 * NGX_OK, or NGX_DECLINED: no rule is for this repository.  A rule of one
 * repository comes before one of many, and else nginx.conf comes first.
 */
ngx_int_t ngx_http_acr_rule_find(ngx_http_acr_ctx_t *ctx,
    ngx_str_t *repository, ngx_http_acr_rule_found_t *found);

/* the name here of a repository that a client knows by its name at a host, or
   by one here that begins with that host, in buf of ACR_NAME_MAX bytes or as it
   was; NGX_DECLINED: there is none */
ngx_int_t ngx_http_acr_rule_target(ngx_http_acr_ctx_t *ctx, ngx_str_t *host,
    ngx_str_t *name, ngx_str_t *repository, u_char *buf);


#endif /* NGX_HTTP_ACR_RULE_H */
