
/*
 * acr_cache_rule: repositories that fill themselves from a registry elsewhere.
 */

#ifndef NGX_HTTP_ACR_RULE_H
#define NGX_HTTP_ACR_RULE_H

#include "ngx_http_acr_remote.h"
#include "../oci/acr_rule.h"


#define NGX_HTTP_ACR_RULES_MAX  1000


typedef struct {
    acr_rule_t                  rule;
    ngx_http_acr_remote_t      *remote;
    time_t                      valid;     /* seconds for which a tag is not
                                              looked at again */
} ngx_http_acr_rule_t;


/* acr_cache_rule: ngx_array_t * of ngx_http_acr_rule_t at cmd->offset */
char *ngx_http_acr_set_cache_rule(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * The rule for a repository, or NULL; source becomes the repository's name
 * there, in buf of ACR_NAME_MAX bytes.  rules may be NULL.
 */
ngx_http_acr_rule_t *ngx_http_acr_rule_find(ngx_array_t *rules,
    ngx_str_t *repository, ngx_str_t *source, u_char *buf);

/* the name here of a repository that a client knows by its name at a host, or
   by one here that begins with that host; NGX_DECLINED: there is none */
ngx_int_t ngx_http_acr_rule_target(ngx_array_t *rules, ngx_str_t *host,
    ngx_str_t *name, ngx_str_t *repository, u_char *buf);


#endif /* NGX_HTTP_ACR_RULE_H */
