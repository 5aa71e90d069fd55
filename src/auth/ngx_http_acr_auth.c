
#include "ngx_http_acr_auth.h"
#include "../ngx_http_acr_response.h"


typedef struct {
    ngx_uint_t                  all;
    ngx_uint_t                  any;
    ngx_uint_t                  known;
    ngx_http_acr_next_pt        decide;
    ngx_http_acr_auth_next_pt   next;
} ngx_http_acr_wanted_t;


static void ngx_http_acr_auth_begin(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, ngx_http_acr_next_pt decide, ngx_uint_t all,
    ngx_uint_t any, ngx_uint_t known, ngx_http_acr_auth_next_pt next);
static void ngx_http_acr_auth_decide(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_auth_known(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static ngx_int_t ngx_http_acr_auth_alive(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, ngx_http_acr_wanted_t *wanted, ngx_int_t rc);
static ngx_uint_t ngx_http_acr_auth_again(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, ngx_http_acr_wanted_t *wanted);
static void ngx_http_acr_auth_renewed(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static ngx_uint_t ngx_http_acr_auth_granted(ngx_http_acr_ctx_t *ctx);
static ngx_uint_t ngx_http_acr_auth_narrowed(ngx_http_acr_ctx_t *ctx,
    ngx_str_t *repository);
static ngx_uint_t ngx_http_acr_auth_static(ngx_http_acr_ctx_t *ctx,
    acr_principal_t *principal, acr_text_t *repository);
static ngx_uint_t ngx_http_acr_auth_principal(ngx_http_acr_role_t *role,
    acr_principal_t *principal);
static ngx_int_t ngx_http_acr_auth_value(ngx_http_request_t *r,
    ngx_http_complex_value_t *cv, ngx_str_t *value);
static size_t ngx_http_acr_challenge_scope(u_char *buf,
    ngx_http_acr_ctx_t *ctx, ngx_uint_t may);
static void ngx_http_acr_challenge_body(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, ngx_uint_t may);


void
ngx_http_acr_authorize(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_uint_t all, ngx_uint_t any, ngx_http_acr_auth_next_pt next)
{
    ngx_http_acr_auth_begin(r, ctx, ngx_http_acr_auth_decide, all, any, 0,
                            next);
}


void
ngx_http_acr_authenticate(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_uint_t known, ngx_http_acr_auth_next_pt next)
{
    ngx_http_acr_auth_begin(r, ctx, ngx_http_acr_auth_known, 0, 0, known,
                            next);
}


static void
ngx_http_acr_auth_begin(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_next_pt decide, ngx_uint_t all, ngx_uint_t any,
    ngx_uint_t known, ngx_http_acr_auth_next_pt next)
{
    ngx_http_acr_wanted_t  *wanted;

    if (!ctx->conf->auth.enable) {
        next(r, ctx);
        return;
    }

    wanted = ngx_palloc(r->pool, sizeof(ngx_http_acr_wanted_t));

    if (wanted == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    wanted->all = all;
    wanted->any = any;
    wanted->known = known;
    wanted->decide = decide;
    wanted->next = next;

    ngx_http_acr_login(r, ctx, decide, wanted);
}


static void
ngx_http_acr_auth_decide(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_wanted_t *wanted = data;

    ngx_uint_t           may;
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    if (ngx_http_acr_auth_alive(r, ctx, wanted, rc) != NGX_OK) {
        return;
    }

    may = ngx_http_acr_auth_granted(ctx);

    if ((may & wanted->all) == wanted->all
        && (wanted->any == 0 || (may & wanted->any)))
    {
        wanted->next(r, ctx);
        return;
    }

    if (ngx_http_acr_auth_again(r, ctx, wanted)) {
        return;
    }

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "acr: \"%V\" may do 0x%xi here, not 0x%xi",
                  &ctx->identity, may, wanted->all | wanted->any);

    ngx_http_acr_challenge(r, ctx, wanted->all, wanted->any,
                           ctx->credential == &ngx_http_acr_anonymous
                           ? NULL : "insufficient_scope");
}


static void
ngx_http_acr_auth_known(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_wanted_t *wanted = data;

    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    if (ngx_http_acr_auth_alive(r, ctx, wanted, rc) != NGX_OK) {
        return;
    }

    if (wanted->known && ctx->credential == &ngx_http_acr_anonymous) {
        ngx_http_acr_challenge(r, ctx, 0, 0, NULL);
        return;
    }

    wanted->next(r, ctx);
}


/* NGX_OK, or NGX_DONE after it has ended the request */

static ngx_int_t
ngx_http_acr_auth_alive(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_wanted_t *wanted, ngx_int_t rc)
{
    rc = ngx_http_acr_auth_outcome(r, ctx, rc);

    if (rc == NGX_DECLINED && !ngx_http_acr_auth_again(r, ctx, wanted)) {
        ngx_http_acr_challenge(r, ctx, wanted->all, wanted->any,
                               "invalid_token");
    }

    return (rc == NGX_OK) ? NGX_OK : NGX_DONE;
}


/*
 * 1 if the decision is made once more, by the rights that there are now.  Who
 * is nobody in particular is refused at the begin of most pulls, and asks again
 * then.
 */

static ngx_uint_t
ngx_http_acr_auth_again(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_wanted_t *wanted)
{
    if (ctx->renewed
        || ctx->credential == NULL
        || ctx->credential == &ngx_http_acr_anonymous)
    {
        return 0;
    }

    ngx_http_acr_access_renew(r, ctx, ngx_http_acr_auth_renewed, wanted);

    return 1;
}


static void
ngx_http_acr_auth_renewed(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_wanted_t *wanted = data;

    wanted->decide(r, wanted, NGX_OK);
}


ngx_int_t
ngx_http_acr_auth_outcome(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_int_t rc)
{
    acr_principal_t        *principal;
    ngx_http_acr_access_t  *access;

    if (rc == NGX_BUSY) {
        ngx_http_acr_fail(r, ACR_E_TOOMANYREQUESTS,
                          "too many wrong passwords or tokens", NULL, NULL);
        return NGX_DONE;
    }

    if (rc == NGX_DECLINED) {
        return NGX_DECLINED;
    }

    /* one that is remembered may be over meanwhile */

    if (rc == NGX_OK
        && ctx->credential->ends
        && ngx_time() > ctx->credential->ends
                        + NGX_HTTP_ACR_TOKEN_SKEW
                        + ngx_http_acr_auth_offline(ctx->registry))
    {
        return NGX_DECLINED;
    }

    /* an edge node believes tokens of its origin, those that are over only
       while that is down */

    if (rc == NGX_OK && ctx->registry->origin) {
        return NGX_OK;
    }

    access = ctx->registry->auth->access;

    if (rc == NGX_OK) {
        principal = &ctx->credential->principal;

        /* users are known to others, and nobody need be */

        if (principal->kind == ACR_PRINCIPAL_USER
            || principal->kind == ACR_PRINCIPAL_ANONYMOUS)
        {
            return NGX_OK;
        }

        /* it may have been switched off, or its password changed */

        if (access) {
            return acr_access_alive(access->rights, principal, ngx_time())
                   ? NGX_OK : NGX_DECLINED;
        }
    }

    ngx_http_acr_fail(r, ACR_E_UNAVAILABLE,
                      "who may do what cannot be read", NULL, NULL);

    return NGX_DONE;
}


time_t
ngx_http_acr_auth_offline(ngx_http_acr_registry_t *registry)
{
    ngx_msec_t  left;

    if (registry->origin == NULL || registry->offline == 0
        || !ngx_http_acr_breaker_open(&registry->origin->state->breaker,
                                      ngx_current_msec, &left))
    {
        return 0;
    }

    return registry->offline;
}


/* what the request may do with what it names */

static ngx_uint_t
ngx_http_acr_auth_granted(ngx_http_acr_ctx_t *ctx)
{
    if (ctx->repository.len) {
        return ngx_http_acr_may(ctx, &ctx->repository);
    }

    return ngx_http_acr_may_registry(ctx);
}


ngx_uint_t
ngx_http_acr_may_registry(ngx_http_acr_ctx_t *ctx)
{
    ngx_uint_t                  may;
    ngx_http_acr_credential_t  *credential;

    credential = ctx->credential;

    may = ngx_http_acr_rights_registry(ctx, &credential->principal);

    return credential->narrowed ? may & credential->registry : may;
}


ngx_uint_t
ngx_http_acr_may(ngx_http_acr_ctx_t *ctx, ngx_str_t *repository)
{
    ngx_uint_t  may;

    if (!ctx->conf->auth.enable) {
        return ACR_MAY_ALL|ACR_MAY_REGISTRY;
    }

    may = ngx_http_acr_rights(ctx, &ctx->credential->principal, repository);

    if (ctx->credential->narrowed) {
        may &= ngx_http_acr_auth_narrowed(ctx, repository);
    }

    return may;
}


/* what the token was issued for */

static ngx_uint_t
ngx_http_acr_auth_narrowed(ngx_http_acr_ctx_t *ctx, ngx_str_t *repository)
{
    ngx_uint_t    i, may;
    acr_text_t    text;
    acr_scope_t  *scope;

    text.data = repository->data;
    text.len = repository->len;
    may = 0;

    for (i = 0; i < ctx->credential->nscopes; i++) {
        scope = &ctx->credential->scopes[i];

        if (acr_pattern_match(&scope->name, &text)) {
            may |= scope->may;
        }
    }

    return may;
}


ngx_uint_t
ngx_http_acr_rights(ngx_http_acr_ctx_t *ctx, acr_principal_t *principal,
    ngx_str_t *repository)
{
    ngx_uint_t              may;
    acr_text_t              text;
    ngx_http_acr_access_t  *access;

    text.data = repository->data;
    text.len = repository->len;

    may = ngx_http_acr_auth_static(ctx, principal, &text) & ACR_MAY_ALL;

    /* the origin has looked at that when it issued the token, by which the
       rights are narrowed */

    if (ctx->registry->origin) {
        return ctx->credential->bearer ? ACR_MAY_ALL : may;
    }

    access = ctx->registry->auth->access;

    if (access) {
        may |= acr_access_repository(access->rights, principal, &text,
                                     ngx_time());

        /* what anybody may do, everybody may */

        if (principal->kind != ACR_PRINCIPAL_ANONYMOUS) {
            may |= acr_access_repository(access->rights,
                                         &ngx_http_acr_anonymous.principal,
                                         &text, ngx_time());
        }
    }

    return may;
}


ngx_uint_t
ngx_http_acr_rights_registry(ngx_http_acr_ctx_t *ctx,
    acr_principal_t *principal)
{
    ngx_uint_t              may;
    acr_text_t              all;
    ngx_http_acr_access_t  *access;

    all.data = (u_char *) "*";
    all.len = 1;

    may = (ngx_http_acr_auth_static(ctx, principal, NULL) & ACR_MAY_CATALOG)
          | (ngx_http_acr_auth_static(ctx, principal, &all) & ACR_MAY_EVENTS);

    if (ctx->registry->origin) {
        return ctx->credential->bearer ? ACR_MAY_CATALOG|ACR_MAY_EVENTS : may;
    }

    access = ctx->registry->auth->access;

    if (access) {
        may |= acr_access_registry(access->rights, principal, ngx_time());
    }

    return may;
}


/* acr_role and acr_anonymous_pull of nginx.conf; repository is NULL for the
   registry */

static ngx_uint_t
ngx_http_acr_auth_static(ngx_http_acr_ctx_t *ctx, acr_principal_t *principal,
    acr_text_t *repository)
{
    ngx_uint_t            i, may;
    ngx_array_t          *roles;
    ngx_http_acr_role_t  *role;

    roles = ctx->conf->auth.roles;

    if (roles == NULL) {
        return 0;
    }

    may = 0;
    role = roles->elts;

    for (i = 0; i < roles->nelts; i++) {

        if (ngx_http_acr_auth_principal(&role[i], principal)
            && (repository == NULL
                || acr_pattern_match(&role[i].scope, repository)))
        {
            may |= role[i].may;
        }
    }

    return may;
}


static ngx_uint_t
ngx_http_acr_auth_principal(ngx_http_acr_role_t *role,
    acr_principal_t *principal)
{
    ngx_uint_t   i;
    acr_text_t  *name;

    /* what anybody may do, everybody may */

    if (role->kind == NGX_HTTP_ACR_ROLE_ANONYMOUS) {
        return 1;
    }

    if (principal->kind != ACR_PRINCIPAL_USER) {
        return 0;
    }

    if (role->kind == NGX_HTTP_ACR_ROLE_USER) {
        name = &principal->name;

        return name->len == role->name.len
               && ngx_memcmp(name->data, role->name.data, name->len) == 0;
    }

    for (i = 0; i < principal->ngroups; i++) {
        name = &principal->groups[i];

        if (name->len == role->name.len
            && ngx_memcmp(name->data, role->name.data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* --- the challenge */

void
ngx_http_acr_challenge(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_uint_t all, ngx_uint_t any, const char *error)
{
    size_t     len;
    ngx_str_t  service, realm;
    u_char     scope[ACR_SCOPE_MAX];

    if (ngx_http_acr_service(r, &service) != NGX_OK) {
        return;
    }

    if (ngx_http_acr_realm(r, ctx, &service, &realm) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    len = ngx_http_acr_challenge_scope(scope, ctx, all | any);

    /* without spaces after the commas: clients of ACR take them for a part of
       the next name */

    if (ngx_http_acr_header_printf(r, "WWW-Authenticate",
                                   "Bearer realm=\"%V\",service=\"%V\""
                                   "%s%*s%s%s%s%s",
                                   &realm, &service,
                                   len ? ",scope=\"" : "", len, scope,
                                   len ? "\"" : "",
                                   error ? ",error=\"" : "",
                                   error ? error : "", error ? "\"" : "")
        != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_challenge_body(r, ctx, all | any);
}


static size_t
ngx_http_acr_challenge_scope(u_char *buf, ngx_http_acr_ctx_t *ctx,
    ngx_uint_t may)
{
    acr_scope_t  scope;

    if (may == 0) {
        return 0;
    }

    scope.name.data = ctx->repository.data;
    scope.name.len = ctx->repository.len;
    scope.may = may;

    return acr_scope_print(buf, &scope);
}


/* one entry of "detail" for each action, as ACR has it */

static void
ngx_http_acr_challenge_body(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_uint_t may)
{
    u_char      *p, *body;
    unsigned     bit;
    ngx_uint_t   n;
    const char  *name, *action;

    body = ngx_pnalloc(r->pool, 512 + 7 * (ctx->repository.len + 80));

    if (body == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ctx->error = acr_error(ACR_E_UNAUTHORIZED);

    p = ngx_sprintf(body, "{\"errors\":[{\"code\":\"%s\",\"message\":\"%s\","
                    "\"detail\":[", ctx->error->code, ctx->error->message);
    n = 0;

    for (bit = 1; bit <= ACR_MAY_LAST; bit <<= 1) {

        if (!(may & bit)) {
            continue;
        }

        if (n++) {
            *p++ = ',';
        }

        name = acr_scope_registry(bit, &action);

        if (name) {
            p = ngx_sprintf(p, "{\"Type\":\"registry\",\"Name\":\"%s\","
                            "\"Action\":\"%s\"}", name, action);
            continue;
        }

        p = ngx_sprintf(p, "{\"Type\":\"repository\",\"Name\":\"%V\","
                        "\"Action\":\"%s\"}", &ctx->repository,
                        acr_scope_action(bit));
    }

    p = ngx_sprintf(p, "]}]}\n");

    ngx_http_acr_send_body(r, NGX_HTTP_UNAUTHORIZED,
                           ctx->acr ? NGX_HTTP_ACR_JSON_UTF8
                                    : "application/json",
                           body, p - body);
}


ngx_int_t
ngx_http_acr_realm(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_str_t *otherwise, ngx_str_t *realm)
{
    ngx_str_t  scheme, host;

    if (ctx->conf->auth.realm) {
        return ngx_http_acr_auth_value(r, ctx->conf->auth.realm, realm);
    }

    if (ngx_http_acr_origin(r, &scheme, &host) != NGX_OK) {
        host = *otherwise;
    }

    realm->len = scheme.len + sizeof("://") - 1 + host.len
                 + sizeof("/oauth2/token") - 1;
    realm->data = ngx_pnalloc(r->pool, realm->len);

    if (realm->data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(realm->data, "%V://%V/oauth2/token", &scheme, &host);

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_service(ngx_http_request_t *r, ngx_str_t *service)
{
    ngx_str_t            scheme;
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    if (ctx->conf->auth.service) {

        if (ngx_http_acr_auth_value(r, ctx->conf->auth.service, service)
            != NGX_OK)
        {
            ngx_http_acr_fail_errno(r, NGX_ERROR);
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    if (ngx_http_acr_origin(r, &scheme, service) != NGX_OK) {
        ngx_str_set(service, "registry");
    }

    return NGX_OK;
}


/*
 * A text of the configuration that goes into a quoted string of a header, and
 * whose variables a client may have a say in.  NGX_OK or NGX_ERROR.
 */

static ngx_int_t
ngx_http_acr_auth_value(ngx_http_request_t *r, ngx_http_complex_value_t *cv,
    ngx_str_t *value)
{
    u_char  c;
    size_t  i;

    if (ngx_http_complex_value(r, cv, value) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\') {
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                          "acr: \"acr_service\" or \"acr_realm\" has become "
                          "a text with a quote, a backslash or what is not "
                          "printable ASCII");
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
