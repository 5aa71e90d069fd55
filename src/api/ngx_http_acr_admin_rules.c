
/*
 * Cache rules, for operators: below "cache-rules" of a location with
 * "acr_admin".  docs/admin.md describes it; acr_rules.h has what each change
 * means.
 */

#include "ngx_http_acr_admin.h"
#include "ngx_http_acr_metrics.h"
#include "../edge/ngx_http_acr_rules.h"


#define NGX_HTTP_ACR_ADMIN_RULES_BODY  65536


typedef struct {
    ngx_http_acr_ctx_t         *ctx;
    ngx_http_acr_remotes_t     *remotes;
    acr_text_t                  name;
    int                         method;

    ngx_str_t                   text;      /* what the client has sent */
    json_t                     *body;

    ngx_http_acr_rules_set_t   *set;       /* what has become of it */
    acr_change_e                code;
    const char                 *error;
} ngx_http_acr_admin_rules_t;


static ngx_http_acr_admin_rules_t *ngx_http_acr_admin_rules_create(
    ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_admin_rules_cleanup(void *data);

static void ngx_http_acr_admin_rules_show(ngx_http_request_t *r,
    ngx_http_acr_admin_rules_t *a);
static json_t *ngx_http_acr_admin_rules_list(ngx_http_acr_ctx_t *ctx);
static json_t *ngx_http_acr_admin_rules_written(ngx_http_acr_rule_t *rule);
static json_t *ngx_http_acr_admin_rules_name(ngx_str_t *host,
    acr_text_t *name, ngx_uint_t many);
static json_t *ngx_http_acr_admin_rules_made(ngx_http_acr_rules_set_t *set,
    ngx_uint_t place);
static json_t *ngx_http_acr_admin_rules_more(json_t *rule, ngx_uint_t active);

static void ngx_http_acr_admin_rules_read(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static ngx_int_t ngx_http_acr_admin_rules_work(void *data, ngx_log_t *log);
static ngx_int_t ngx_http_acr_admin_rules_change(void *data, const u_char *p,
    size_t n, u_char **text, size_t *len, ngx_log_t *log);
static ngx_int_t ngx_http_acr_admin_rules_check(
    ngx_http_acr_admin_rules_t *a);
static void ngx_http_acr_admin_rules_done(ngx_http_request_t *r, void *data,
    ngx_int_t rc);


ngx_uint_t
ngx_http_acr_admin_rules(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_str_t                    rest;
    ngx_http_acr_admin_rules_t  *a;

    static ngx_str_t  kind = ngx_string("/cache-rules");
    static ngx_str_t  all = ngx_string("GET, HEAD");
    static ngx_str_t  one = ngx_string("GET, HEAD, PUT, DELETE");

    if (ngx_http_acr_admin_below(&r->uri, &kind, &rest) != NGX_OK) {
        return 0;
    }

    ctx->operation = "admin_cache_rules";
    ngx_http_acr_metrics_begin(ctx);

    a = ngx_http_acr_admin_rules_create(r, ctx);

    if (a == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return 1;
    }

    a->name.data = rest.data;
    a->name.len = rest.len;

    switch (r->method) {

    case NGX_HTTP_GET:
    case NGX_HTTP_HEAD:
        ngx_http_acr_discard(r);
        ngx_http_acr_admin_rules_show(r, a);
        return 1;

    case NGX_HTTP_PUT:

        if (rest.len == 0) {
            break;
        }

        a->method = 'P';

        ngx_http_acr_body_collect(r, NGX_HTTP_ACR_ADMIN_RULES_BODY,
                                  &a->text.data, &a->text.len,
                                  ngx_http_acr_admin_rules_read, a);
        return 1;

    case NGX_HTTP_DELETE:

        if (rest.len == 0) {
            break;
        }

        a->method = 'D';

        ngx_http_acr_discard(r);
        ngx_http_acr_admin_rules_read(r, a, NGX_OK);
        return 1;

    default:
        break;
    }

    ngx_http_acr_fail_method(r, rest.len ? &one : &all);

    return 1;
}


static ngx_http_acr_admin_rules_t *
ngx_http_acr_admin_rules_create(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx)
{
    ngx_pool_cleanup_t          *cln;
    ngx_http_acr_main_conf_t    *mcf;
    ngx_http_acr_admin_rules_t  *a;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_admin_rules_t));

    if (cln == NULL) {
        return NULL;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_acr_module);
    a = cln->data;

    ngx_memzero(a, sizeof(ngx_http_acr_admin_rules_t));

    a->ctx = ctx;
    a->remotes = &mcf->remotes;

    cln->handler = ngx_http_acr_admin_rules_cleanup;

    return a;
}


static void
ngx_http_acr_admin_rules_cleanup(void *data)
{
    ngx_http_acr_admin_rules_t *a = data;

    json_decref(a->body);
    ngx_http_acr_rules_free(a->set);
}


/* --- what there is */

static void
ngx_http_acr_admin_rules_show(ngx_http_request_t *r,
    ngx_http_acr_admin_rules_t *a)
{
    json_t                    *root;
    ngx_uint_t                 place;
    ngx_http_acr_rules_t      *rules;
    ngx_http_acr_rules_set_t  *set;

    if (a->name.len == 0) {
        root = json_object();

        (void) json_object_set_new(root, "cacheRules",
                                   ngx_http_acr_admin_rules_list(a->ctx));

        ngx_http_acr_admin_send(r, NGX_HTTP_OK, root);
        return;
    }

    rules = a->ctx->registry->rules;
    set = rules ? rules->set : NULL;
    place = set ? acr_rules_find(set->rules, &a->name) : 0;

    if (set && place < set->list.nelts) {
        ngx_http_acr_admin_send(r, NGX_HTTP_OK,
                                ngx_http_acr_admin_rules_made(set, place));
        return;
    }

    ngx_http_acr_fail_status(r, NGX_HTTP_NOT_FOUND, ACR_E_UNSUPPORTED,
                             "there is no rule of this name", "path", &r->uri);
}


/* those of nginx.conf, of this location, and those that were made */

static json_t *
ngx_http_acr_admin_rules_list(ngx_http_acr_ctx_t *ctx)
{
    json_t                *list;
    ngx_uint_t             i;
    ngx_array_t           *written;
    ngx_http_acr_rule_t   *rule;
    ngx_http_acr_rules_t  *rules;

    list = json_array();
    written = ctx->conf->cache_rules;

    if (written) {
        rule = written->elts;

        for (i = 0; i < written->nelts; i++) {
            (void) json_array_append_new(list,
                                  ngx_http_acr_admin_rules_written(&rule[i]));
        }
    }

    rules = ctx->registry->rules;

    if (rules && rules->set) {

        for (i = 0; i < rules->set->list.nelts; i++) {
            (void) json_array_append_new(list,
                               ngx_http_acr_admin_rules_made(rules->set, i));
        }
    }

    return list;
}


/* of nginx.conf: the same members, without a name and a time */

static json_t *
ngx_http_acr_admin_rules_written(ngx_http_acr_rule_t *rule)
{
    json_t  *root;

    root = json_object();

    (void) json_object_set_new(root, "name", json_null());
    (void) json_object_set_new(root, "created", json_null());
    (void) json_object_set_new(root, "targetRepository",
                            ngx_http_acr_admin_rules_name(NULL,
                                                          &rule->rule.target,
                                                          rule->rule.many));
    (void) json_object_set_new(root, "sourceRepository",
                            ngx_http_acr_admin_rules_name(&rule->remote->host,
                                                          &rule->rule.source,
                                                          rule->rule.many));
    (void) json_object_set_new(root, "valid", json_integer(rule->valid));
    (void) json_object_set_new(root, "gone", json_string(rule->gone ? "404"
                                                                    : "keep"));

    return ngx_http_acr_admin_rules_more(root, 1);
}


/* as it was written; host is NULL for a name here */

static json_t *
ngx_http_acr_admin_rules_name(ngx_str_t *host, acr_text_t *name,
    ngx_uint_t many)
{
    u_char  *p;
    u_char   buf[ACR_RULE_HOST_MAX + 1 + ACR_NAME_MAX + 2];

    p = buf;

    if (host) {
        p = ngx_sprintf(p, "%V/", host);
    }

    p = ngx_cpymem(p, name->data, name->len);

    if (many) {
        *p++ = '*';
    }

    return json_stringn((char *) buf, p - buf);
}


static json_t *
ngx_http_acr_admin_rules_made(ngx_http_acr_rules_set_t *set, ngx_uint_t place)
{
    ngx_http_acr_rule_t  *rule;

    rule = set->list.elts;

    return ngx_http_acr_admin_rules_more(acr_rules_show(set->rules, place),
                                         rule[place].remote != NULL);
}


/* NULL: no memory */

static json_t *
ngx_http_acr_admin_rules_more(json_t *rule, ngx_uint_t active)
{
    (void) json_object_set_new(rule, "active", json_boolean(active));

    return rule;
}


/* --- changes */

static void
ngx_http_acr_admin_rules_read(ngx_http_request_t *r, void *data,
    ngx_int_t rc)
{
    ngx_http_acr_admin_rules_t *a = data;

    if (a->method == 'P'
        && ngx_http_acr_admin_body(r, &a->text, &a->body) != NGX_OK)
    {
        return;
    }

    /* it goes on when the client has left: who looks then finds it done */

    a->ctx->committing = 1;

    ngx_http_acr_run(r, a->ctx->registry->slow, ngx_http_acr_admin_rules_work,
                     a, ngx_http_acr_admin_rules_done);
}


static ngx_int_t
ngx_http_acr_admin_rules_work(void *data, ngx_log_t *log)
{
    ngx_http_acr_admin_rules_t *a = data;

    return ngx_http_acr_store_document_change(&a->ctx->registry->store,
                                              &ngx_http_acr_store_rules,
                                              ngx_http_acr_admin_rules_change,
                                              a, log);
}


static ngx_int_t
ngx_http_acr_admin_rules_change(void *data, const u_char *p, size_t n,
    u_char **text, size_t *len, ngx_log_t *log)
{
    ngx_http_acr_admin_rules_t *a = data;

    ngx_int_t  rc;

    *text = acr_rules_change(p, n, &a->name, a->method, a->body,
                             (int64_t) time(NULL), len, &a->code, &a->error);

    if (*text == NULL) {
        return NGX_DECLINED;
    }

    rc = ngx_http_acr_rules_parse(&a->set, a->remotes, *text, *len, log);

    if (rc != NGX_OK) {
        return rc;
    }

    return (a->method == 'P') ? ngx_http_acr_admin_rules_check(a) : NGX_OK;
}


/* what the text alone does not tell */

static ngx_int_t
ngx_http_acr_admin_rules_check(ngx_http_acr_admin_rules_t *a)
{
    ngx_uint_t            i, place;
    ngx_array_t          *written;
    ngx_http_acr_rule_t  *rule, *other;

    place = acr_rules_find(a->set->rules, &a->name);
    rule = (ngx_http_acr_rule_t *) a->set->list.elts + place;

    if (a->ctx->registry->rules == NULL && a->remotes->remotes.nelts) {
        a->code = ACR_CHANGE_INVALID;
        a->error = "the registry has no \"acr_zone\" of 2m at least";

        return NGX_DECLINED;
    }

    if (rule->remote == NULL) {
        a->code = ACR_CHANGE_INVALID;
        a->error = "nginx.conf has no \"acr_remote\" of the source's host";

        return NGX_DECLINED;
    }

    written = a->ctx->conf->cache_rules;

    if (written == NULL) {
        return NGX_OK;
    }

    other = written->elts;

    for (i = 0; i < written->nelts; i++) {

        if (acr_rule_overlaps(&other[i].rule, &rule->rule)) {
            a->code = ACR_CHANGE_CONFLICT;
            a->error = "it overlaps with an \"acr_cache_rule\"";

            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


static void
ngx_http_acr_admin_rules_done(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_admin_rules_t *a = data;

    ngx_str_t              name;
    ngx_http_acr_rules_t  *rules;

    name.data = (u_char *) a->name.data;
    name.len = a->name.len;

    if (rc == NGX_DECLINED) {
        ngx_http_acr_admin_refuse(r, a->code, a->error, &name);
        return;
    }

    if (rc != NGX_OK) {
        ngx_http_acr_fail_errno(r, rc);
        return;
    }

    /* this worker need not wait for its next look */

    rules = a->ctx->registry->rules;

    if (rules) {
        ngx_http_acr_rules_take(rules, a->set);
        a->set = NULL;
    }

    ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                  "acr: cache rule \"%V\" was %s", &name,
                  a->method == 'D' ? "removed" : "made or changed");

    ngx_http_acr_send_status(r, NGX_HTTP_NO_CONTENT);
}
