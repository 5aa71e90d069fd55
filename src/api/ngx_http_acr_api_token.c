
/*
 * The token service: Docker token authentication ("Requesting a Token",
 * "Token authentication OAuth 2"), and ACR's /oauth2/exchange.
 *
 * What is asked for beyond the caller's rights is left out, not refused: the
 * resource says 401 where that is not enough.
 */

#include "ngx_http_acr_api.h"
#include "../auth/ngx_http_acr_auth.h"

#include <jansson.h>


#define NGX_HTTP_ACR_TOKEN_FORM     65536
#define NGX_HTTP_ACR_TOKEN_SCOPES   64

/* bytes: in base64 and with its header and signature, of RSA with 8192 bits at
   most, a token has fewer than ACR_JWT_MAX */
#define NGX_HTTP_ACR_TOKEN_CLAIMS   10240

/* of a refresh token, in seconds */
#define NGX_HTTP_ACR_TOKEN_REFRESH_LIFETIME  (3 * 3600)


typedef struct {
    ngx_http_acr_ctx_t   *ctx;
    ngx_str_t             form;
    ngx_uint_t            exchange;
    ngx_uint_t            post;

    ngx_str_t             grant_type;
    ngx_str_t             service;
    ngx_str_t             username;
    ngx_str_t             password;
    ngx_str_t             refresh_token;
    ngx_str_t             given;      /* an "access_token" to be exchanged */
    ngx_str_t             access_type;
    ngx_str_t             offline;
    ngx_str_t             scopes[NGX_HTTP_ACR_TOKEN_SCOPES];
    ngx_uint_t            nscopes;

    time_t                lifetime;   /* of the access token */
    json_t               *access;     /* claims of the two, and what they...  */
    json_t               *refresh;
    char                 *access_token;    /* ...become, from malloc() */
    char                 *refresh_token_new;
} ngx_http_acr_token_t;


static ngx_http_acr_token_t *ngx_http_acr_token_create(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, ngx_str_t *form);
static void ngx_http_acr_token_cleanup(void *data);
static ngx_int_t ngx_http_acr_token_parse(ngx_http_request_t *r,
    ngx_http_acr_token_t *token);
static void ngx_http_acr_token_collect(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, ngx_uint_t exchange);
static void ngx_http_acr_token_form(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_token_grant(ngx_http_request_t *r,
    ngx_http_acr_token_t *token);
static void ngx_http_acr_token_known(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static time_t ngx_http_acr_token_lifetime(ngx_http_acr_ctx_t *ctx,
    time_t now, time_t lifetime);
static ngx_int_t ngx_http_acr_token_fits(ngx_http_request_t *r,
    json_t *claims);
static ngx_int_t ngx_http_acr_token_alive(ngx_http_request_t *r,
    ngx_int_t rc);
static json_t *ngx_http_acr_token_access(ngx_http_request_t *r,
    ngx_http_acr_token_t *token);
static ngx_int_t ngx_http_acr_token_scope(ngx_http_acr_ctx_t *ctx,
    json_t *access, acr_scope_t *scope);
static ngx_int_t ngx_http_acr_token_sign(void *data, ngx_log_t *log);
static void ngx_http_acr_token_signed(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_token_send(ngx_http_request_t *r, json_t *root);
static void ngx_http_acr_token_refuse(ngx_http_request_t *r,
    const char *reason);

#define ngx_http_acr_token_is(str, s)                                        \
    ((str)->len == sizeof(s) - 1                                             \
     && ngx_strncmp((str)->data, (u_char *) s, sizeof(s) - 1) == 0)


/* GET /oauth2/token?service=...&scope=...&scope=... with Basic, or anonymous */

void
ngx_http_acr_token_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_token_t  *token;

    token = ngx_http_acr_token_create(r, ctx, &r->args);

    if (token == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    if (ngx_http_acr_token_parse(r, token) != NGX_OK) {
        return;
    }

    ngx_http_acr_login(r, ctx, ngx_http_acr_token_known, token);
}


void
ngx_http_acr_token_post(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_token_collect(r, ctx, 0);
}


void
ngx_http_acr_token_exchange(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_token_collect(r, ctx, 1);
}


static void
ngx_http_acr_token_collect(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_uint_t exchange)
{
    ngx_str_t              none;
    ngx_http_acr_token_t  *token;

    ngx_str_null(&none);

    token = ngx_http_acr_token_create(r, ctx, &none);

    if (token == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    token->post = 1;
    token->exchange = exchange;

    ngx_http_acr_body_collect(r, NGX_HTTP_ACR_TOKEN_FORM, &token->form.data,
                              &token->form.len, ngx_http_acr_token_form,
                              token);
}


static ngx_http_acr_token_t *
ngx_http_acr_token_create(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_str_t *form)
{
    ngx_pool_cleanup_t    *cln;
    ngx_http_acr_token_t  *token;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_token_t));

    if (cln == NULL) {
        return NULL;
    }

    token = cln->data;

    ngx_memzero(token, sizeof(ngx_http_acr_token_t));

    token->ctx = ctx;
    token->form = *form;

    cln->handler = ngx_http_acr_token_cleanup;

    return token;
}


static void
ngx_http_acr_token_cleanup(void *data)
{
    ngx_http_acr_token_t *token = data;

    json_decref(token->access);
    json_decref(token->refresh);
    free(token->access_token);
    free(token->refresh_token_new);
}


/* NGX_OK, or NGX_DONE after it has failed the request */

static ngx_int_t
ngx_http_acr_token_parse(ngx_http_request_t *r, ngx_http_acr_token_t *token)
{
    int          rc;
    u_char      *buf;
    ngx_uint_t   i;
    acr_text_t   rest, name, value;

    struct {
        ngx_str_t    name;
        ngx_str_t   *value;
    } fields[] = {
        { ngx_string("grant_type"), &token->grant_type },
        { ngx_string("service"), &token->service },
        { ngx_string("username"), &token->username },
        { ngx_string("password"), &token->password },
        { ngx_string("refresh_token"), &token->refresh_token },
        { ngx_string("access_token"), &token->given },
        { ngx_string("access_type"), &token->access_type },
        { ngx_string("offline_token"), &token->offline },
        { ngx_null_string, NULL }
    };

    rest.data = token->form.data;
    rest.len = token->form.len;

    /* one for all fields: none is longer decoded than it was */

    buf = ngx_pnalloc(r->pool, rest.len + 1);

    if (buf == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NGX_DONE;
    }

    while (rest.len) {
        rc = acr_query_next(&rest, buf, &name, &value);

        if (rc == ACR_DONE) {
            break;
        }

        if (rc != ACR_OK) {
            ngx_http_acr_token_refuse(r, "the form is malformed");
            return NGX_DONE;
        }

        buf += name.len + value.len;

        if (name.len == 5 && ngx_memcmp(name.data, "scope", 5) == 0) {

            if (token->nscopes == NGX_HTTP_ACR_TOKEN_SCOPES) {
                ngx_http_acr_token_refuse(r, "too many scopes");
                return NGX_DONE;
            }

            token->scopes[token->nscopes].data = (u_char *) value.data;
            token->scopes[token->nscopes++].len = value.len;
            continue;
        }

        for (i = 0; fields[i].value; i++) {

            if (name.len == fields[i].name.len
                && ngx_memcmp(name.data, fields[i].name.data, name.len) == 0)
            {
                fields[i].value->data = (u_char *) value.data;
                fields[i].value->len = value.len;
                break;
            }
        }
    }

    return NGX_OK;
}


static void
ngx_http_acr_token_form(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_token_t *token = data;

    if (ngx_http_acr_token_parse(r, token) == NGX_OK) {
        ngx_http_acr_token_grant(r, token);
    }
}


/*
 * Anonymous clients of ACR send "grant_type=password" with an empty
 * refresh_token and no username.  Those that exchange a token of an OpenID
 * provider may have a refresh token of that, too, which is of no use here.
 */

static void
ngx_http_acr_token_grant(ngx_http_request_t *r, ngx_http_acr_token_t *token)
{
    ngx_uint_t  both;

    if (ngx_http_acr_token_is(&token->grant_type, "password")
        && !token->exchange)
    {
        if (token->username.len) {
            ngx_http_acr_login_as(r, token->ctx, &token->username,
                                  &token->password, ngx_http_acr_token_known,
                                  token);
            return;
        }

        ngx_http_acr_login(r, token->ctx, ngx_http_acr_token_known, token);
        return;
    }

    both = ngx_http_acr_token_is(&token->grant_type,
                                 "access_token_refresh_token");

    if (token->exchange
        && (both || ngx_http_acr_token_is(&token->grant_type, "access_token")))
    {
        if (token->given.len) {
            ngx_http_acr_login_as(r, token->ctx, NULL, &token->given,
                                  ngx_http_acr_token_known, token);
            return;
        }

        if (!both) {
            ngx_http_acr_token_refuse(r, "\"access_token\" is missing");
            return;
        }
    }

    if (both || ngx_http_acr_token_is(&token->grant_type, "refresh_token")) {

        if (token->refresh_token.len) {
            ngx_http_acr_login_as(r, token->ctx, NULL, &token->refresh_token,
                                  ngx_http_acr_token_known, token);
            return;
        }

        ngx_http_acr_token_refuse(r, "\"refresh_token\" is missing");
        return;
    }

    ngx_http_acr_token_refuse(r, "this grant_type is not supported");
}


static void
ngx_http_acr_token_known(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_token_t *token = data;

    json_t                     *access;
    time_t                      now;
    ngx_str_t                   service;
    ngx_http_acr_ctx_t         *ctx;
    ngx_http_acr_credential_t  *credential;

    if (ngx_http_acr_token_alive(r, rc) != NGX_OK
        || ngx_http_acr_service(r, &service) != NGX_OK)
    {
        return;
    }

    ctx = token->ctx;
    credential = ctx->credential;
    now = ngx_time();

    if (!token->exchange) {
        access = ngx_http_acr_token_access(r, token);

        if (access == NULL) {
            return;
        }

        token->lifetime = ngx_http_acr_token_lifetime(ctx, now,
                                                ctx->conf->auth.lifetime);

        token->access = ngx_http_acr_token_claims(&credential->principal,
                                                  &service,
                                                  NGX_HTTP_ACR_TOKEN_ACCESS,
                                                  now, token->lifetime,
                                                  access);
        json_decref(access);

        if (ngx_http_acr_token_fits(r, token->access) != NGX_OK) {
            return;
        }
    }

    /* an access token cannot be turned into one that may do more */

    if (token->exchange
        || (credential->principal.kind != ACR_PRINCIPAL_ANONYMOUS
            && !credential->narrowed
            && (ngx_http_acr_token_is(&token->offline, "true")
                || ngx_http_acr_token_is(&token->access_type, "offline"))))
    {
        if (credential->narrowed
            || credential->principal.kind == ACR_PRINCIPAL_ANONYMOUS)
        {
            ngx_http_acr_token_refuse(r, "this is no refresh token");
            return;
        }

        token->refresh = ngx_http_acr_token_claims(&credential->principal,
                                         &service, NGX_HTTP_ACR_TOKEN_REFRESH,
                                         now,
                                         ngx_http_acr_token_lifetime(ctx, now,
                                         NGX_HTTP_ACR_TOKEN_REFRESH_LIFETIME),
                                         NULL);

        if (ngx_http_acr_token_fits(r, token->refresh) != NGX_OK) {
            return;
        }
    }

    ngx_http_acr_run(r, ctx->registry->fast, ngx_http_acr_token_sign, token,
                     ngx_http_acr_token_signed);
}


/* what is got for a token ends with it, else one that leaked would be good for
   ever; less than 0 in the seconds that clocks may differ */

static time_t
ngx_http_acr_token_lifetime(ngx_http_acr_ctx_t *ctx, time_t now,
    time_t lifetime)
{
    if (!ctx->credential->bearer) {
        return lifetime;
    }

    return ngx_min(lifetime, ctx->credential->ends - now);
}


/* claims may be NULL; NGX_DONE after it has failed the request */

static ngx_int_t
ngx_http_acr_token_fits(ngx_http_request_t *r, json_t *claims)
{
    size_t  n;

    n = claims ? json_dumpb(claims, NULL, 0, JSON_COMPACT) : 0;

    if (n == 0) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NGX_DONE;
    }

    if (n > NGX_HTTP_ACR_TOKEN_CLAIMS) {
        ngx_http_acr_token_refuse(r, "too many scopes");
        return NGX_DONE;
    }

    return NGX_OK;
}


/* NGX_OK, or NGX_DONE after it has failed the request */

static ngx_int_t
ngx_http_acr_token_alive(ngx_http_request_t *r, ngx_int_t rc)
{
    rc = ngx_http_acr_auth_outcome(r, ngx_http_acr_get_ctx(r), rc);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    ngx_http_acr_fail(r, ACR_E_UNAUTHORIZED, "wrong name, password or token",
                      NULL, NULL);
    return NGX_DONE;
}


/* what of the scopes is granted; NULL after it has failed the request */

static json_t *
ngx_http_acr_token_access(ngx_http_request_t *r, ngx_http_acr_token_t *token)
{
    int           rc;
    json_t       *access;
    ngx_uint_t    i, n;
    acr_text_t    text;
    acr_scope_t   scope;

    access = json_array();

    if (access == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NULL;
    }

    n = 0;

    for (i = 0; i < token->nscopes; i++) {
        text.data = token->scopes[i].data;
        text.len = token->scopes[i].len;

        for ( ;; ) {
            rc = acr_scope_next(&text, &scope);

            if (rc == ACR_DONE) {
                break;
            }

            if (rc != ACR_OK) {
                json_decref(access);
                ngx_http_acr_token_refuse(r, "a scope is malformed");
                return NULL;
            }

            /* each is looked up, and one parameter may have many */

            if (++n > NGX_HTTP_ACR_TOKEN_SCOPES) {
                json_decref(access);
                ngx_http_acr_token_refuse(r, "too many scopes");
                return NULL;
            }

            if (scope.may
                && ngx_http_acr_token_scope(token->ctx, access, &scope)
                   != NGX_OK)
            {
                json_decref(access);
                ngx_http_acr_fail_errno(r, NGX_ERROR);
                return NULL;
            }
        }
    }

    return access;
}


static ngx_int_t
ngx_http_acr_token_scope(ngx_http_acr_ctx_t *ctx, json_t *access,
    acr_scope_t *scope)
{
    json_t      *item, *actions;
    unsigned     bit, may;
    ngx_str_t    name;
    const char  *registry, *action;

    actions = json_array();

    if (actions == NULL) {
        return NGX_ERROR;
    }

    registry = acr_scope_registry(scope->may, &action);

    if (registry) {

        if (scope->may & ngx_http_acr_may_registry(ctx)) {
            (void) json_array_append_new(actions, json_string(action));
        }

        item = json_pack("{s:s, s:s, s:o}", "type", "registry",
                         "name", registry, "actions", actions);

    } else {
        name.data = (u_char *) scope->name.data;
        name.len = scope->name.len;

        may = scope->may & ngx_http_acr_may(ctx, &name);

        for (bit = 1; bit < ACR_MAY_ALL; bit <<= 1) {
            if (may & bit) {
                (void) json_array_append_new(actions,
                                         json_string(acr_scope_action(bit)));
            }
        }

        item = json_pack("{s:s, s:s%, s:o}", "type", "repository",
                         "name", name.data, name.len, "actions", actions);
    }

    if (item == NULL) {
        return NGX_ERROR;
    }

    /* an action that could not be added is one less that may be done */

    if (json_array_size(actions) == 0) {
        json_decref(item);
        return NGX_OK;
    }

    return json_array_append_new(access, item) == 0 ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_acr_token_sign(void *data, ngx_log_t *log)
{
    ngx_http_acr_token_t *token = data;

    acr_jwt_keys_t  *keys;

    keys = token->ctx->registry->token_keys;

    if (token->access) {
        token->access_token = acr_jwt_sign(keys, token->access);

        if (token->access_token == NULL) {
            return NGX_ERROR;
        }
    }

    if (token->refresh) {
        token->refresh_token_new = acr_jwt_sign(keys, token->refresh);

        if (token->refresh_token_new == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_acr_token_signed(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_token_t *token = data;

    json_t  *root;
    time_t   now;
    ngx_tm_t tm;
    char     issued[sizeof("1970-01-01T00:00:00Z")];

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_CRIT, r->connection->log, 0,
                      "acr: a token could not be signed");
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    root = json_object();

    if (token->access_token) {
        now = (time_t) json_integer_value(json_object_get(token->access,
                                                          "iat"));
        ngx_gmtime(now, &tm);

        (void) ngx_sprintf((u_char *) issued,
                           "%4d-%02d-%02dT%02d:%02d:%02dZ%Z",
                           tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                           tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec);

        /* Docker's clients read "token", those of OAuth and ACR the other */

        if (json_object_set_new(root, "token",
                                json_string(token->access_token))
            != 0
            || json_object_set_new(root, "access_token",
                                   json_string(token->access_token))
               != 0
            || json_object_set_new(root, "expires_in",
                              json_integer(ngx_max(token->lifetime, 0)))
               != 0
            || json_object_set_new(root, "issued_at", json_string(issued))
               != 0)
        {
            goto failed;
        }
    }

    if (token->refresh_token_new
        && json_object_set_new(root, "refresh_token",
                               json_string(token->refresh_token_new))
           != 0)
    {
        goto failed;
    }

    ngx_http_acr_token_send(r, root);
    return;

failed:

    json_decref(root);
    ngx_http_acr_fail_errno(r, NGX_ERROR);
}


/* takes root over; tokens are for nobody's cache (RFC 6749 section 5.1) */

static void
ngx_http_acr_token_send(ngx_http_request_t *r, json_t *root)
{
    static ngx_str_t  no_store = ngx_string("no-store");

    if (ngx_http_acr_header(r, "Cache-Control", &no_store) != NGX_OK) {
        json_decref(root);
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_send_json(r, NGX_HTTP_OK, root);
}


static void
ngx_http_acr_token_refuse(ngx_http_request_t *r, const char *reason)
{
    ngx_http_acr_fail_status(r, NGX_HTTP_BAD_REQUEST, ACR_E_UNSUPPORTED,
                             reason, NULL, NULL);
}


void
ngx_http_acr_token_keys(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    u_char  *p;
    size_t   n;
    char    *text;

    text = acr_jwt_keys_print(ctx->registry->token_keys);

    n = text ? ngx_strlen(text) : 0;
    p = text ? ngx_pnalloc(r->pool, n) : NULL;

    if (p == NULL) {
        free(text);
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_memcpy(p, text, n);
    free(text);

    ngx_http_acr_send_body(r, NGX_HTTP_OK, "application/jwk-set+json", p, n);
}
