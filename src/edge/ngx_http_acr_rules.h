
/*
 * Rules that operators have made while the registry runs (acr/rules.json, by
 * the operator's API), beside those of acr_cache_rule: they hold in all
 * locations of their registry.  Each worker has its copy.
 *
 * Only registries that nginx.conf names can be asked, by acr_remote or in an
 * acr_cache_rule: as whom, by which way and at which address is said there.  A
 * rule for another one is not followed.
 */

#ifndef NGX_HTTP_ACR_RULES_H
#define NGX_HTTP_ACR_RULES_H

#include "ngx_http_acr_rule.h"
#include "../ngx_http_acr_document.h"
#include "../oci/acr_rules.h"


/* what was made of one text */

typedef struct {
    acr_rules_t                *rules;
    ngx_array_t                 list;      /* ngx_http_acr_rule_t, at the
                                              places that they have in rules;
                                              remote is NULL if it is not to be
                                              asked */
    ngx_uint_t                  followed;  /* how many can be */
} ngx_http_acr_rules_set_t;


struct ngx_http_acr_rules_s {
    ngx_http_acr_document_t     document;
    ngx_http_acr_remotes_t     *remotes;
    ngx_http_acr_rules_set_t   *set;       /* or NULL: there were none yet */
    ngx_http_acr_rules_set_t   *read;      /* by a thread, just now */
};


/* for init_process and exit_process: registry->rules, where any registry can be
   asked and there is a zone for what comes; NGX_ERROR: no memory */
ngx_int_t ngx_http_acr_rules_start(ngx_http_acr_registry_t *registry,
    ngx_http_acr_remotes_t *remotes, ngx_cycle_t *cycle);
void ngx_http_acr_rules_stop(ngx_http_acr_registry_t *registry);

/*
 * In a thread as well: what a text says; if it is NULL, nothing.  NGX_OK;
 * NGX_ERROR after a log line: it is no such text; ENOMEM.
 */
ngx_int_t ngx_http_acr_rules_parse(ngx_http_acr_rules_set_t **set,
    ngx_http_acr_remotes_t *remotes, const u_char *p, size_t n,
    ngx_log_t *log);

/* these, which the caller has written, hold from now on, and go with it */
void ngx_http_acr_rules_take(ngx_http_acr_rules_t *rules,
    ngx_http_acr_rules_set_t *set);
void ngx_http_acr_rules_free(ngx_http_acr_rules_set_t *set);


#endif /* NGX_HTTP_ACR_RULES_H */
