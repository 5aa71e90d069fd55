
#include "ngx_http_acr_rules.h"


static ngx_int_t ngx_http_acr_rules_read(void *data, const u_char *p,
    size_t n, ngx_log_t *log);
static void ngx_http_acr_rules_loaded(void *data, ngx_int_t rc);
static void ngx_http_acr_rules_tell(ngx_http_acr_rules_set_t *set,
    ngx_http_acr_rules_set_t *before, ngx_log_t *log);
static ngx_uint_t ngx_http_acr_rules_idle(ngx_http_acr_rules_set_t *set,
    acr_text_t *name);


ngx_int_t
ngx_http_acr_rules_start(ngx_http_acr_registry_t *registry,
    ngx_http_acr_remotes_t *remotes, ngx_cycle_t *cycle)
{
    ngx_http_acr_rules_t  *rules;

    if (remotes->remotes.nelts == 0
        || registry->zone == NULL
        || registry->zone->size < NGX_HTTP_ACR_ZONE_FILLS)
    {
        return NGX_OK;
    }

    rules = ngx_pcalloc(cycle->pool, sizeof(ngx_http_acr_rules_t));

    if (rules == NULL) {
        return NGX_ERROR;
    }

    rules->remotes = remotes;

    rules->document.registry = registry;
    rules->document.file = &ngx_http_acr_store_rules;
    rules->document.parse = ngx_http_acr_rules_read;
    rules->document.parsed = ngx_http_acr_rules_loaded;
    rules->document.data = rules;

    registry->rules = rules;

    ngx_http_acr_document_start(&rules->document, cycle);

    return NGX_OK;
}


void
ngx_http_acr_rules_stop(ngx_http_acr_registry_t *registry)
{
    if (registry->rules) {
        ngx_http_acr_document_stop(&registry->rules->document);
    }
}


static ngx_int_t
ngx_http_acr_rules_read(void *data, const u_char *p, size_t n, ngx_log_t *log)
{
    ngx_http_acr_rules_t *rules = data;

    return ngx_http_acr_rules_parse(&rules->read, rules->remotes, p, n, log);
}


/* what cannot be read, or is wrong, leaves the rules as they were */

static void
ngx_http_acr_rules_loaded(void *data, ngx_int_t rc)
{
    ngx_http_acr_rules_t *rules = data;

    if (rc != NGX_OK) {
        ngx_http_acr_rules_free(rules->read);
        rules->read = NULL;
        return;
    }

    /* one worker speaks for all */

    if (ngx_worker == 0) {
        ngx_http_acr_rules_tell(rules->read, rules->set, ngx_cycle->log);
    }

    ngx_http_acr_rules_free(rules->set);

    rules->set = rules->read;
    rules->read = NULL;
}


/* of those that are not followed, unless they were not before */

static void
ngx_http_acr_rules_tell(ngx_http_acr_rules_set_t *set,
    ngx_http_acr_rules_set_t *before, ngx_log_t *log)
{
    ngx_str_t             name, host;
    ngx_uint_t            i;
    acr_rules_entry_t    *entry;
    ngx_http_acr_rule_t  *rule;

    rule = set->list.elts;

    for (i = 0; i < set->list.nelts; i++) {
        entry = &set->rules->entries[i];

        if (rule[i].remote
            || (before && ngx_http_acr_rules_idle(before, &entry->name)))
        {
            continue;
        }

        name.data = (u_char *) entry->name.data;
        name.len = entry->name.len;

        host.data = (u_char *) entry->rule.host.data;
        host.len = entry->rule.host.len;

        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "acr: cache rule \"%V\" of acr/rules.json is not "
                      "followed: there is no \"acr_remote\" \"%V\"", &name,
                      &host);
    }
}


/* there is a rule of this name, and it is not followed */

static ngx_uint_t
ngx_http_acr_rules_idle(ngx_http_acr_rules_set_t *set, acr_text_t *name)
{
    size_t                i;
    ngx_http_acr_rule_t  *rule;

    rule = set->list.elts;
    i = acr_rules_find(set->rules, name);

    return i < set->list.nelts && rule[i].remote == NULL;
}


ngx_int_t
ngx_http_acr_rules_parse(ngx_http_acr_rules_set_t **set,
    ngx_http_acr_remotes_t *remotes, const u_char *p, size_t n, ngx_log_t *log)
{
    ngx_str_t                  host;
    ngx_uint_t                 i;
    const char                *error;
    acr_rules_entry_t         *entry;
    ngx_http_acr_rule_t       *rule;
    ngx_http_acr_rules_set_t  *s;

    *set = NULL;

    s = ngx_calloc(sizeof(ngx_http_acr_rules_set_t), log);

    if (s == NULL) {
        return ENOMEM;
    }

    s->rules = acr_rules_load(p, n, &error);

    if (s->rules == NULL) {
        ngx_free(s);

        if (error == acr_rules_nomem) {
            ngx_log_error(NGX_LOG_ERR, log, ENOMEM,
                          "acr: acr/rules.json could not be read");
            return ENOMEM;
        }

        ngx_log_error(NGX_LOG_CRIT, log, 0,
                      "acr: acr/rules.json is refused, cache rules stay as "
                      "they were: %s", error);
        return NGX_ERROR;
    }

    rule = ngx_calloc((s->rules->n + 1) * sizeof(ngx_http_acr_rule_t), log);

    if (rule == NULL) {
        ngx_http_acr_rules_free(s);
        return ENOMEM;
    }

    s->list.elts = rule;
    s->list.nelts = s->rules->n;

    for (i = 0; i < s->rules->n; i++) {
        entry = &s->rules->entries[i];

        host.data = (u_char *) entry->rule.host.data;
        host.len = entry->rule.host.len;

        rule[i].rule = entry->rule;
        rule[i].valid = entry->valid;
        rule[i].gone = entry->gone;
        rule[i].remote = ngx_http_acr_remote_find(remotes, &host);

        if (rule[i].remote) {
            s->followed++;
        }
    }

    *set = s;

    return NGX_OK;
}


void
ngx_http_acr_rules_take(ngx_http_acr_rules_t *rules,
    ngx_http_acr_rules_set_t *set)
{
    ngx_http_acr_rules_free(rules->set);

    rules->set = set;

    ngx_http_acr_document_again(&rules->document);
}


void
ngx_http_acr_rules_free(ngx_http_acr_rules_set_t *set)
{
    if (set) {
        acr_rules_free(set->rules);
        ngx_free(set->list.elts);
        ngx_free(set);
    }
}
