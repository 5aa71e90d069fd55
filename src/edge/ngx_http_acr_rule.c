
#include "ngx_http_acr_rules.h"


#define NGX_HTTP_ACR_RULE_LISTS  2


static char *ngx_http_acr_rule_parameter(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_acr_rule_t *rule);
static char *ngx_http_acr_rule_valid(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_acr_rule_t *rule);
static ngx_uint_t ngx_http_acr_rule_lists(ngx_http_acr_ctx_t *ctx,
    ngx_array_t **lists);
static ngx_http_acr_rule_t *ngx_http_acr_rule_best(ngx_http_acr_ctx_t *ctx,
    ngx_str_t *host, ngx_str_t *from, ngx_str_t *to);
static ngx_uint_t ngx_http_acr_rule_named(ngx_http_acr_ctx_t *ctx,
    ngx_str_t *host, ngx_str_t *name);
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

    if ((*rules)->nelts == ACR_RULES_MAX) {
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

    rule->valid = ACR_RULES_VALID;
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


ngx_uint_t
ngx_http_acr_rule_any(ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_rules_t  *rules;

    rules = ctx->registry->rules;

    return ctx->conf->cache_rules
           || (rules && rules->set && rules->set->followed);
}


/* what comes first is asked first; how many there are */

static ngx_uint_t
ngx_http_acr_rule_lists(ngx_http_acr_ctx_t *ctx, ngx_array_t **lists)
{
    ngx_uint_t             n;
    ngx_http_acr_rules_t  *rules;

    n = 0;
    rules = ctx->registry->rules;

    if (ctx->conf->cache_rules) {
        lists[n++] = ctx->conf->cache_rules;
    }

    if (rules && rules->set) {
        lists[n++] = &rules->set->list;
    }

    return n;
}


ngx_int_t
ngx_http_acr_rule_find(ngx_http_acr_ctx_t *ctx, ngx_str_t *repository,
    ngx_http_acr_rule_found_t *found)
{
    ngx_http_acr_rule_t  *rule;

    found->source.data = found->name;

    rule = ngx_http_acr_rule_best(ctx, NULL, repository, &found->source);

    if (rule == NULL) {
        return NGX_DECLINED;
    }

    found->remote = rule->remote;
    found->valid = rule->valid;
    found->gone = rule->gone;

    return NGX_OK;
}


/*
 * The rule for a repository of this name, here (host is NULL) or at a host, or
 * NULL; to->data, of ACR_NAME_MAX bytes, gets the name that it has at the other
 * side, to->len its length.
 */

static ngx_http_acr_rule_t *
ngx_http_acr_rule_best(ngx_http_acr_ctx_t *ctx, ngx_str_t *host,
    ngx_str_t *from, ngx_str_t *to)
{
    size_t                n;
    u_char                name[ACR_NAME_MAX];
    ngx_uint_t            i, j, nlists;
    ngx_array_t          *lists[NGX_HTTP_ACR_RULE_LISTS];
    ngx_http_acr_rule_t  *rule, *best;

    best = NULL;
    nlists = ngx_http_acr_rule_lists(ctx, lists);

    for (i = 0; i < nlists; i++) {
        rule = lists[i]->elts;

        for (j = 0; j < lists[i]->nelts; j++) {

            /* it can be followed, and is of one repository, not of many */

            if (rule[j].remote == NULL
                || (best && (!best->rule.many || rule[j].rule.many)))
            {
                continue;
            }

            n = host ? acr_rule_target(&rule[j].rule,
                                       ngx_http_acr_rule_text(host),
                                       ngx_http_acr_rule_text(from), name)
                     : acr_rule_source(&rule[j].rule,
                                       ngx_http_acr_rule_text(from), name);

            if (n) {
                best = &rule[j];

                ngx_memcpy(to->data, name, n);
                to->len = n;
            }
        }
    }

    return best;
}


ngx_int_t
ngx_http_acr_rule_target(ngx_http_acr_ctx_t *ctx, ngx_str_t *host,
    ngx_str_t *name, ngx_str_t *repository, u_char *buf)
{
    ngx_str_t  target;

    if (ngx_http_acr_rule_named(ctx, host, name)) {
        *repository = *name;
        return NGX_OK;
    }

    target.data = buf;

    if (ngx_http_acr_rule_best(ctx, host, name, &target) == NULL) {
        return NGX_DECLINED;
    }

    *repository = target;

    return NGX_OK;
}


/*
 * 1 if it is the name here: it begins with the host, and is filled from there.
 * Clients that have such a path to a mirror ("override_path" of containerd) say
 * what host it is as well.
 */

static ngx_uint_t
ngx_http_acr_rule_named(ngx_http_acr_ctx_t *ctx, ngx_str_t *host,
    ngx_str_t *name)
{
    ngx_http_acr_rule_found_t  found;

    return host->len
           && name->len > host->len
           && name->data[host->len] == '/'
           && ngx_memcmp(name->data, host->data, host->len) == 0
           && ngx_http_acr_rule_find(ctx, name, &found) == NGX_OK
           && found.remote->host.len == host->len
           && ngx_memcmp(found.remote->host.data, host->data, host->len) == 0;
}


static acr_text_t
ngx_http_acr_rule_text(ngx_str_t *s)
{
    acr_text_t  text;

    text.data = s->data;
    text.len = s->len;

    return text;
}
