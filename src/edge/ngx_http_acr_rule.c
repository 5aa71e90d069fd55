
#include "ngx_http_acr_rule.h"


#define NGX_HTTP_ACR_RULE_VALID  300


static char *ngx_http_acr_rule_parameter(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_acr_rule_t *rule);
static char *ngx_http_acr_rule_valid(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_acr_rule_t *rule);
static ngx_uint_t ngx_http_acr_rule_better(ngx_http_acr_rule_t *rule,
    ngx_http_acr_rule_t *found);
static ngx_uint_t ngx_http_acr_rule_named(ngx_array_t *rules, ngx_str_t *host,
    ngx_str_t *name);
static acr_text_t ngx_http_acr_rule_text(ngx_str_t *s);


char *
ngx_http_acr_set_cache_rule(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    ngx_str_t            *value, host;
    ngx_uint_t            i;
    const char           *error;
    ngx_array_t         **rules;
    ngx_http_acr_rule_t  *rule, *other;

    rules = (ngx_array_t **) (p + cmd->offset);
    value = cf->args->elts;

    if (*rules == NGX_CONF_UNSET_PTR) {
        *rules = ngx_array_create(cf->pool, 4, sizeof(ngx_http_acr_rule_t));

        if (*rules == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    if ((*rules)->nelts == NGX_HTTP_ACR_RULES_MAX) {
        return "is there too often: 1000 times at most";
    }

    rule = ngx_array_push(*rules);

    if (rule == NULL) {
        return NGX_CONF_ERROR;
    }

    if (acr_rule_parse(&rule->rule, ngx_http_acr_rule_text(&value[1]),
                       ngx_http_acr_rule_text(&value[2]), &error)
        != ACR_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_cache_rule\" \"%V\" from \"%V\": %s",
                           &value[1], &value[2], error);
        return NGX_CONF_ERROR;
    }

    other = (*rules)->elts;

    for (i = 0; i + 1 < (*rules)->nelts; i++) {

        if (acr_rule_overlaps(&other[i].rule, &rule->rule)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"acr_cache_rule\" \"%V\" overlaps with an "
                               "earlier one", &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    rule->valid = NGX_HTTP_ACR_RULE_VALID;
    rule->gone = 0;

    for (i = 3; i < cf->args->nelts; i++) {

        if (ngx_http_acr_rule_parameter(cf, &value[i], rule) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }
    }

    host.data = (u_char *) rule->rule.host.data;
    host.len = rule->rule.host.len;

    rule->remote = ngx_http_acr_remote_conf(cf, &host);

    return (rule->remote == NULL) ? NGX_CONF_ERROR : NGX_CONF_OK;
}


static char *
ngx_http_acr_rule_parameter(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_acr_rule_t *rule)
{
    if (ngx_strncmp(value->data, "valid=", 6) == 0) {
        return ngx_http_acr_rule_valid(cf, value, rule);
    }

    if (ngx_strcmp(value->data, "gone=keep") == 0) {
        rule->gone = 0;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value->data, "gone=404") == 0) {
        rule->gone = 1;
        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\" of \"acr_cache_rule\"",
                       value);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_acr_rule_valid(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_acr_rule_t *rule)
{
    ngx_str_t  s;

    s.data = value->data + 6;
    s.len = value->len - 6;

    rule->valid = ngx_parse_time(&s, 1);

    if (rule->valid == (time_t) NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" of \"acr_cache_rule\" is no time", value);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


ngx_http_acr_rule_t *
ngx_http_acr_rule_find(ngx_array_t *rules, ngx_str_t *repository,
    ngx_str_t *source, u_char *buf)
{
    size_t                n;
    u_char                name[ACR_NAME_MAX];
    ngx_uint_t            i;
    ngx_http_acr_rule_t  *rule, *found;

    if (rules == NULL) {
        return NULL;
    }

    found = NULL;
    rule = rules->elts;

    for (i = 0; i < rules->nelts; i++) {

        if (!ngx_http_acr_rule_better(&rule[i], found)) {
            continue;
        }

        n = acr_rule_source(&rule[i].rule, ngx_http_acr_rule_text(repository),
                            name);
        if (n) {
            found = &rule[i];

            ngx_memcpy(buf, name, n);
            source->data = buf;
            source->len = n;
        }
    }

    return found;
}


/* of one repository, not of many */

static ngx_uint_t
ngx_http_acr_rule_better(ngx_http_acr_rule_t *rule, ngx_http_acr_rule_t *found)
{
    return found == NULL || (found->rule.many && !rule->rule.many);
}


ngx_int_t
ngx_http_acr_rule_target(ngx_array_t *rules, ngx_str_t *host, ngx_str_t *name,
    ngx_str_t *repository, u_char *buf)
{
    size_t                n;
    u_char                target[ACR_NAME_MAX];
    ngx_str_t             source;
    ngx_uint_t            i;
    ngx_http_acr_rule_t  *rule, *found;

    if (rules == NULL) {
        return NGX_DECLINED;
    }

    if (ngx_http_acr_rule_named(rules, host, name)) {
        *repository = *name;
        return NGX_OK;
    }

    /* the repository may be the name itself, and the next rule asks for it */

    source = *name;
    found = NULL;
    rule = rules->elts;

    for (i = 0; i < rules->nelts; i++) {

        if (!ngx_http_acr_rule_better(&rule[i], found)) {
            continue;
        }

        n = acr_rule_target(&rule[i].rule, ngx_http_acr_rule_text(host),
                            ngx_http_acr_rule_text(&source), target);

        if (n) {
            found = &rule[i];

            ngx_memcpy(buf, target, n);
            repository->data = buf;
            repository->len = n;
        }
    }

    return found ? NGX_OK : NGX_DECLINED;
}


/*
 * 1 if it is the name here: it begins with the host, and is filled from there.
 * Clients that have such a path to a mirror ("override_path" of containerd) say
 * what host it is as well.
 */

static ngx_uint_t
ngx_http_acr_rule_named(ngx_array_t *rules, ngx_str_t *host, ngx_str_t *name)
{
    u_char                buf[ACR_NAME_MAX];
    ngx_str_t             source;
    ngx_http_acr_rule_t  *rule;

    if (host->len == 0
        || name->len <= host->len
        || name->data[host->len] != '/'
        || ngx_memcmp(name->data, host->data, host->len) != 0)
    {
        return 0;
    }

    rule = ngx_http_acr_rule_find(rules, name, &source, buf);

    return rule
           && rule->rule.host.len == host->len
           && ngx_memcmp(rule->rule.host.data, host->data, host->len) == 0;
}


static acr_text_t
ngx_http_acr_rule_text(ngx_str_t *s)
{
    acr_text_t  text;

    text.data = s->data;
    text.len = s->len;

    return text;
}
