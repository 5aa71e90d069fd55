
#include "ngx_http_acr_oidc.h"
#include "../ngx_http_acr_response.h"
#include "../ngx_http_acr_step.h"


#define NGX_HTTP_ACR_LOGIN_MAX       512    /* of a name or a password */

/* the name that goes with a token as password, as ACR has it */
#define NGX_HTTP_ACR_LOGIN_NOBODY    "00000000-0000-0000-0000-000000000000"

#define ngx_http_acr_login_is(str, s)                                        \
    ((str)->len == sizeof(s) - 1                                             \
     && ngx_strncmp((str)->data, (u_char *) s, sizeof(s) - 1) == 0)


#define ngx_http_acr_login_count(registry, result)                           \
    ngx_http_acr_count((registry)->zone,                                     \
                       NGX_HTTP_ACR_C_LOGINS + NGX_HTTP_ACR_##result, 1)


typedef struct {
    ngx_http_acr_ctx_t         *ctx;
    ngx_http_acr_registry_t    *registry;
    ngx_http_acr_access_t      *access;
    ngx_str_t                   service;
    ngx_str_t                   user;      /* empty: secret is a token */
    ngx_str_t                   secret;
    ngx_str_t                   identity;  /* who it is if the token is none
                                              of ours */
    time_t                      now;
    u_char                      key[NGX_HTTP_ACR_KEY_LEN];
    ngx_http_acr_credential_t  *credential;
    ngx_http_acr_oidc_t         oidc;
    ngx_http_acr_next_pt        next;
    void                       *data;
    unsigned                    any:1;     /* a refresh token will do, or one
                                              of an OpenID provider */
    unsigned                    renewed:1; /* keys of that were asked for */
} ngx_http_acr_login_t;


static ngx_int_t ngx_http_acr_login_identity(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, ngx_str_t *name);
static ngx_int_t ngx_http_acr_login_user(ngx_http_request_t *r,
    ngx_str_t *name);
static ngx_int_t ngx_http_acr_login_header(ngx_http_request_t *r,
    ngx_str_t *scheme, ngx_str_t *value);
static ngx_int_t ngx_http_acr_login_basic(ngx_http_request_t *r,
    ngx_str_t *value, ngx_str_t *user, ngx_str_t *password);
static void ngx_http_acr_login_begin(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, ngx_str_t *user, ngx_str_t *secret,
    ngx_uint_t any, ngx_str_t *identity, ngx_http_acr_next_pt next,
    void *data);
static ngx_int_t ngx_http_acr_login_work(void *data, ngx_log_t *log);
static ngx_int_t ngx_http_acr_login_password(ngx_http_acr_login_t *login);
static ngx_int_t ngx_http_acr_login_token(ngx_http_acr_login_t *login,
    ngx_log_t *log);
static void ngx_http_acr_login_again(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_login_renewed(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_login_done(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static ngx_int_t ngx_http_acr_login_set(ngx_http_request_t *r,
    ngx_http_acr_credential_t *credential);
static void ngx_http_acr_login_cleanup(void *data);
static void ngx_http_acr_login_forget(void *data);


ngx_http_acr_credential_t  ngx_http_acr_anonymous;


void
ngx_http_acr_login(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_next_pt next, void *data)
{
    ngx_int_t  rc;
    ngx_str_t  scheme, value, identity, user, password;

    if (ngx_http_acr_login_identity(r, ctx, &identity) != NGX_OK) {
        next(r, data, NGX_ERROR);
        return;
    }

    rc = ngx_http_acr_login_header(r, &scheme, &value);

    if (rc == NGX_OK && scheme.len == 6
        && ngx_strncasecmp(scheme.data, (u_char *) "Bearer", 6) == 0)
    {
        ngx_http_acr_login_begin(r, ctx, NULL, &value, 0, &identity, next,
                                 data);
        return;
    }

    if (identity.len) {
        next(r, data, ngx_http_acr_login_user(r, &identity));
        return;
    }

    /* passwords are the origin's business: an edge node sends who has one to
       its token service */

    if (rc != NGX_OK || ctx->registry->origin) {
        ctx->credential = &ngx_http_acr_anonymous;
        next(r, data, NGX_OK);
        return;
    }

    if (scheme.len == 5
        && ngx_strncasecmp(scheme.data, (u_char *) "Basic", 5) == 0
        && ngx_http_acr_login_basic(r, &value, &user, &password) == NGX_OK)
    {
        if (ngx_http_acr_login_is(&user, NGX_HTTP_ACR_LOGIN_NOBODY)) {
            ngx_http_acr_login_begin(r, ctx, NULL, &password, 1, NULL, next,
                                     data);

        } else {
            ngx_http_acr_login_begin(r, ctx, &user, &password, 0, NULL, next,
                                     data);
        }

        return;
    }

    next(r, data, NGX_DECLINED);
}


void
ngx_http_acr_login_as(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_str_t *user, ngx_str_t *secret, ngx_http_acr_next_pt next, void *data)
{
    if (user && ngx_http_acr_login_is(user, NGX_HTTP_ACR_LOGIN_NOBODY)) {
        user = NULL;
    }

    ngx_http_acr_login_begin(r, ctx, user, secret, 1, NULL, next, data);
}


/*
 * Somebody whom nginx has verified: a client certificate, auth_basic,
 * auth_request...  Empty: nobody.
 */

static ngx_int_t
ngx_http_acr_login_identity(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_str_t *name)
{
    ngx_str_null(name);

    if (ctx->conf->auth.identity == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, ctx->conf->auth.identity, name) != NGX_OK) {
        return NGX_ERROR;
    }

    if (name->len > ACR_ACCESS_NAME_MAX) {
        ngx_str_null(name);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_login_user(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_int_t                   rc;
    acr_principal_t             principal;
    ngx_http_acr_credential_t  *credential;

    ngx_memzero(&principal, sizeof(acr_principal_t));

    principal.kind = ACR_PRINCIPAL_USER;
    principal.name.data = name->data;
    principal.name.len = name->len;

    credential = ngx_http_acr_credential_create(&principal);

    if (credential == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_acr_login_set(r, credential);

    ngx_http_acr_credential_release(credential);

    return rc;
}


/* "<scheme> <value>"; NGX_DECLINED: there is no such header */

static ngx_int_t
ngx_http_acr_login_header(ngx_http_request_t *r, ngx_str_t *scheme,
    ngx_str_t *value)
{
    u_char     *p, *last;
    ngx_str_t  *header;

    if (r->headers_in.authorization == NULL) {
        return NGX_DECLINED;
    }

    header = &r->headers_in.authorization->value;

    p = header->data;
    last = p + header->len;

    scheme->data = p;

    while (p < last && *p != ' ') {
        p++;
    }

    scheme->len = p - scheme->data;

    while (p < last && *p == ' ') {
        p++;
    }

    value->data = p;
    value->len = last - p;

    return NGX_OK;
}


/* RFC 7617; in r->pool */

static ngx_int_t
ngx_http_acr_login_basic(ngx_http_request_t *r, ngx_str_t *value,
    ngx_str_t *user, ngx_str_t *password)
{
    u_char     *colon;
    ngx_str_t   text;

    if (value->len > ACR_JWT_MAX * 4 / 3 + NGX_HTTP_ACR_LOGIN_MAX) {
        return NGX_DECLINED;
    }

    text.data = ngx_pnalloc(r->pool, ngx_base64_decoded_length(value->len));

    if (text.data == NULL || ngx_decode_base64(&text, value) != NGX_OK) {
        return NGX_DECLINED;
    }

    colon = ngx_strlchr(text.data, text.data + text.len, ':');

    if (colon == NULL || colon == text.data) {
        return NGX_DECLINED;
    }

    user->data = text.data;
    user->len = colon - text.data;

    password->data = colon + 1;
    password->len = text.data + text.len - password->data;

    return NGX_OK;
}


/* user is NULL for a token; identity, or NULL, is who it is if that is none of
   ours */

static void
ngx_http_acr_login_begin(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_str_t *user, ngx_str_t *secret, ngx_uint_t any, ngx_str_t *identity,
    ngx_http_acr_next_pt next, void *data)
{
    ngx_int_t                   rc;
    ngx_str_t                   parts[5];
    ngx_pool_cleanup_t         *cln;
    ngx_http_acr_auth_t        *auth;
    ngx_http_acr_login_t       *login;
    ngx_http_acr_credential_t  *credential;

    auth = ctx->registry->auth;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_login_t));

    if (cln == NULL) {
        next(r, data, NGX_ERROR);
        return;
    }

    login = cln->data;
    ngx_memzero(login, sizeof(ngx_http_acr_login_t));

    if (ngx_http_acr_service(r, &login->service) != NGX_OK) {
        return;
    }

    login->ctx = ctx;
    login->registry = ctx->registry;
    login->secret = *secret;
    login->now = ngx_time();
    login->next = next;
    login->data = data;
    login->any = any;

    if (user) {
        login->user = *user;
    }

    if (identity) {
        login->identity = *identity;
    }

    if ((user && (user->len == 0 || user->len > NGX_HTTP_ACR_LOGIN_MAX
                  || secret->len > NGX_HTTP_ACR_LOGIN_MAX))
        || secret->len > ACR_JWT_MAX)
    {
        next(r, data, login->identity.len
                      ? ngx_http_acr_login_user(r, &login->identity)
                      : NGX_DECLINED);
        return;
    }

    /* it may have been verified a moment ago */

    parts[0] = login->user;
    parts[1] = *secret;
    parts[2] = login->service;

    if (user) {

        /* it is the same for all of them */

        ngx_str_null(&parts[2]);
    }

    parts[3].data = (u_char *) "any";
    parts[3].len = any ? 3 : 0;

    parts[4].data = ctx->registry->salt;
    parts[4].len = sizeof(ctx->registry->salt);

    ngx_http_acr_known_key(auth, login->key, parts, 5);

    credential = ngx_http_acr_known_find(auth, login->key);

    if (credential) {
        ngx_http_acr_login_count(ctx->registry, RESULT_known);

        rc = ngx_http_acr_login_set(r, credential);

        ngx_http_acr_credential_release(credential);

        next(r, data, rc);
        return;
    }

    /* who is known to nginx does not suffer for others */

    if (login->identity.len == 0
        && ngx_http_acr_failing(auth, r, &login->user))
    {
        next(r, data, NGX_BUSY);
        return;
    }

    /* rights that cannot be read know no passwords */

    if (user && auth->access == NULL) {
        next(r, data, NGX_ERROR);
        return;
    }

    login->access = auth->access;

    if (login->access) {
        login->access->refs++;
    }

    cln->handler = ngx_http_acr_login_forget;

    if (user == NULL && any && ctx->registry->issuers
        && ngx_http_acr_oidc_take(&login->oidc, ctx->registry, r->pool)
           != NGX_OK)
    {
        next(r, data, NGX_ERROR);
        return;
    }

    ngx_http_acr_run(r, ctx->registry->fast, ngx_http_acr_login_work, login,
                     ngx_http_acr_login_done);
}


static ngx_int_t
ngx_http_acr_login_work(void *data, ngx_log_t *log)
{
    ngx_http_acr_login_t *login = data;

    if (login->user.len) {
        return ngx_http_acr_login_password(login);
    }

    return ngx_http_acr_login_token(login, log);
}


/*
 * One of ours has a key of ours, and is never one of a provider; what has none
 * may be that.
 */

static ngx_int_t
ngx_http_acr_login_token(ngx_http_acr_login_t *login, ngx_log_t *log)
{
    ngx_int_t    rc, orc;
    const char  *why;

    rc = ngx_http_acr_token_read(login->registry, &login->secret,
                                 &login->service, login->any, login->now,
                                 &login->credential, &why);

    if ((rc == NGX_DECLINED || rc == NGX_ABORT) && login->oidc.sets) {
        orc = ngx_http_acr_oidc_read(&login->oidc, &login->secret, login->now,
                                     &login->credential, log);

        if (orc != NGX_ABORT) {
            return orc;
        }
    }

    if (rc == NGX_DECLINED || rc == NGX_ABORT || rc == NGX_DONE) {
        ngx_log_error(NGX_LOG_INFO, log, 0, "acr: a token is refused: %s",
                      why);
    }

    return rc;
}


static ngx_int_t
ngx_http_acr_login_password(ngx_http_acr_login_t *login)
{
    int              rc;
    acr_text_t       name, password;
    acr_principal_t  principal;

    name.data = login->user.data;
    name.len = login->user.len;
    password.data = login->secret.data;
    password.len = login->secret.len;

    rc = acr_access_password(login->access->rights, &name, &password,
                             login->now, &principal);

    if (rc != ACR_OK) {
        return (rc == ACR_NOMEM) ? NGX_ERROR : NGX_DECLINED;
    }

    login->credential = ngx_http_acr_credential_create(&principal);

    if (login->credential == NULL) {
        return NGX_ERROR;
    }

    login->credential->until = login->now + NGX_HTTP_ACR_KNOWN_REMEMBER;

    return NGX_OK;
}


static void
ngx_http_acr_login_done(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_login_t *login = data;

    ngx_http_acr_auth_t        *auth;
    ngx_http_acr_credential_t  *credential;

    auth = login->registry->auth;
    credential = login->credential;

    if (rc == NGX_AGAIN) {

        if (!login->renewed) {
            login->renewed = 1;
            ngx_http_acr_oidc_renew(r, &login->oidc,
                                    ngx_http_acr_login_renewed, login);
            return;
        }

        ngx_http_acr_oidc_unknown(&login->oidc, r->connection->log);
        rc = NGX_DECLINED;
    }

    if (rc == NGX_OK) {
        ngx_http_acr_login_count(login->registry, RESULT_verified);

        ngx_memcpy(credential->key, login->key, NGX_HTTP_ACR_KEY_LEN);
        ngx_http_acr_known_add(auth, credential);

        rc = ngx_http_acr_login_set(r, credential);

    } else if (rc == NGX_ABORT && login->identity.len) {

        /* nginx may have verified that token, or it is of no use here */

        rc = ngx_http_acr_login_user(r, &login->identity);

    } else if (rc == NGX_DECLINED && login->user.len
               && !login->ctx->renewed)
    {
        ngx_http_acr_access_renew(r, login->ctx, ngx_http_acr_login_again,
                                  login);
        return;

    } else if (rc == NGX_DECLINED || rc == NGX_ABORT) {
        rc = NGX_DECLINED;

        ngx_http_acr_login_count(login->registry, RESULT_refused);
        ngx_http_acr_failed(auth, r, &login->user);

        /* not the name: a password may have been typed there */

        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "acr: a wrong %s", login->user.len ? "password or name"
                                                         : "token");

    } else if (rc == NGX_DONE) {

        /* clients find out so that a token is over, many of them at once */

        rc = NGX_DECLINED;
    }

    login->next(r, login->data, rc);
}


/* the password may be one that was made just now */

static void
ngx_http_acr_login_again(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_login_t *login = data;

    ngx_http_acr_access_t  *access;

    access = login->registry->auth->access;

    if (rc != NGX_OK || access == NULL) {
        ngx_http_acr_login_done(r, login, NGX_DECLINED);
        return;
    }

    ngx_http_acr_access_release(login->access);

    login->access = access;
    login->access->refs++;

    ngx_http_acr_run(r, login->registry->fast, ngx_http_acr_login_work, login,
                     ngx_http_acr_login_done);
}


/* the provider may have a new key */

static void
ngx_http_acr_login_renewed(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_login_t *login = data;

    if (rc == NGX_ERROR) {
        ngx_http_acr_fail(r, ACR_E_UNAVAILABLE,
                          "the keys of the OpenID provider are not there",
                          NULL, NULL);
        return;
    }

    if (rc == NGX_DECLINED) {
        ngx_http_acr_login_done(r, login, NGX_AGAIN);
        return;
    }

    login->now = ngx_time();

    ngx_http_acr_run(r, login->registry->fast, ngx_http_acr_login_work, login,
                     ngx_http_acr_login_done);
}


/* of this request from now on */

static ngx_int_t
ngx_http_acr_login_set(ngx_http_request_t *r,
    ngx_http_acr_credential_t *credential)
{
    ngx_http_acr_ctx_t  *ctx;
    ngx_pool_cleanup_t  *cln;

    ctx = ngx_http_acr_get_ctx(r);

    cln = ngx_pool_cleanup_add(r->pool, 0);

    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_acr_login_cleanup;
    cln->data = credential;

    credential->refs++;

    ctx->credential = credential;
    ctx->identity.data = (u_char *) credential->principal.name.data;
    ctx->identity.len = credential->principal.name.len;

    return NGX_OK;
}


static void
ngx_http_acr_login_cleanup(void *data)
{
    ngx_http_acr_credential_release(data);
}


/* what the thread was given, and has made */

static void
ngx_http_acr_login_forget(void *data)
{
    ngx_http_acr_login_t *login = data;

    if (login->access) {
        ngx_http_acr_access_release(login->access);
    }

    if (login->credential) {
        ngx_http_acr_credential_release(login->credential);
    }

    ngx_http_acr_oidc_release(&login->oidc);
}
