
/*
 * Tokens that the registry issues: Docker token authentication
 * ("Token Authentication Implementation"), with the claims that ACR has.
 */

#include "ngx_http_acr_auth.h"

#include <openssl/rand.h>


static ngx_int_t ngx_http_acr_token_principal(
    ngx_http_acr_credential_t *credential, json_t *claims);
static ngx_int_t ngx_http_acr_token_scopes(
    ngx_http_acr_credential_t *credential, json_t *access);
static ngx_uint_t ngx_http_acr_token_registry(json_t *item);
static ngx_int_t ngx_http_acr_token_copy(ngx_pool_t *pool, acr_text_t *text,
    const json_t *value);
static ngx_int_t ngx_http_acr_credential_copy(ngx_pool_t *pool,
    acr_text_t *text);


static const char *ngx_http_acr_token_kinds[] = {
    "anonymous", "admin", "token", "user"
};


json_t *
ngx_http_acr_token_claims(acr_principal_t *principal, ngx_str_t *service,
    ngx_uint_t type, time_t now, time_t lifetime, json_t *access)
{
    u_char      random[16], id[32];
    json_t     *claims, *groups;
    ngx_uint_t  i;

    if (RAND_bytes(random, sizeof(random)) != 1) {
        return NULL;
    }

    (void) ngx_hex_dump(id, random, sizeof(random));

    claims = json_pack("{s:s%, s:s%, s:s%, s:s%, s:I, s:I, s:I, s:s, s:s, s:s}",
                       "jti", id, sizeof(id),
                       "iss", service->data, service->len,
                       "aud", service->data, service->len,
                       "sub", principal->name.len ? (const char *)
                                                    principal->name.data : "",
                              principal->name.len,
                       "iat", (json_int_t) now, "nbf", (json_int_t) now,
                       "exp", (json_int_t) (now + lifetime),
                       "version", "1.0",
                       "kind", ngx_http_acr_token_kinds[principal->kind],
                       "grant_type", type == NGX_HTTP_ACR_TOKEN_ACCESS
                                     ? "access_token" : "refresh_token");
    if (claims == NULL) {
        return NULL;
    }

    if (principal->password
        && json_object_set_new(claims, "key",
                               json_string(principal->password))
           != 0)
    {
        goto failed;
    }

    if (principal->ngroups) {
        groups = json_array();

        for (i = 0; i < principal->ngroups; i++) {
            if (json_array_append_new(groups,
                    json_stringn((const char *) principal->groups[i].data,
                                 principal->groups[i].len))
                != 0)
            {
                json_decref(groups);
                goto failed;
            }
        }

        if (json_object_set_new(claims, "groups", groups) != 0) {
            goto failed;
        }
    }

    if (access && json_object_set(claims, "access", access) != 0) {
        goto failed;
    }

    return claims;

failed:

    json_decref(claims);

    return NULL;
}


ngx_int_t
ngx_http_acr_token_read(ngx_http_acr_registry_t *registry, ngx_str_t *token,
    ngx_str_t *service, ngx_uint_t any, time_t now,
    ngx_http_acr_credential_t **credential, const char **why)
{
    json_t                     *claims, *access;
    acr_jwt_e                   error;
    ngx_int_t                   rc;
    ngx_uint_t                  refresh;
    const char                 *type, *p;
    acr_principal_t             nobody;
    ngx_http_acr_credential_t  *c;
    char                        audience[NGX_MAXHOSTNAMELEN + 8];

    *why = NULL;
    *credential = NULL;

    error = acr_jwt_verify(registry->token_keys, token->data, token->len,
                           &claims);

    if (error == ACR_JWT_NOMEM) {
        return NGX_ERROR;
    }

    if (error != ACR_JWT_OK) {
        *why = acr_jwt_error(error);

        /* one with a wrong signature says that it is ours, if it names a key
           of ours, as ours do */

        return (error == ACR_JWT_SIGNATURE
                && acr_jwt_has_kid(token->data, token->len))
               ? NGX_DECLINED : NGX_ABORT;
    }

    c = NULL;
    rc = NGX_DONE;

    access = json_object_get(claims, "access");
    p = json_string_value(json_object_get(claims, "grant_type"));
    type = p ? p : "";
    refresh = (ngx_strcmp(type, "refresh_token") == 0);

    if (service->len >= sizeof(audience)) {
        *why = "its audience is too long";
        goto done;
    }

    ngx_memcpy(audience, service->data, service->len);
    audience[service->len] = '\0';

    if (!acr_jwt_in_time(claims, now,
                         NGX_HTTP_ACR_TOKEN_SKEW
                         + ngx_http_acr_auth_offline(registry)))
    {
        *why = "it is over, or not valid yet";

    } else if (!acr_jwt_audience(claims, audience)) {
        *why = "it is for another service";

    } else if (!refresh && ngx_strcmp(type, "access_token") != 0) {
        *why = "it is no token of ours";

    } else if (refresh && !any) {
        *why = "it is a refresh token";
    }

    if (*why) {
        goto done;
    }

    rc = NGX_ERROR;

    ngx_memzero(&nobody, sizeof(acr_principal_t));

    c = ngx_http_acr_credential_create(&nobody);

    if (c == NULL) {
        goto done;
    }

    rc = ngx_http_acr_token_principal(c, claims);

    if (rc == NGX_OK && !refresh) {
        c->narrowed = 1;
        rc = ngx_http_acr_token_scopes(c, access);
    }

    if (rc == NGX_DECLINED) {
        *why = "its claims are not those of this registry";
    }

    c->bearer = 1;
    c->ends = (time_t) json_integer_value(json_object_get(claims, "exp"));
    c->until = c->ends + NGX_HTTP_ACR_TOKEN_SKEW + registry->offline;

done:

    json_decref(claims);

    if (rc == NGX_OK) {
        *credential = c;

    } else if (c) {
        ngx_http_acr_credential_release(c);
    }

    return rc;
}


static ngx_int_t
ngx_http_acr_token_principal(ngx_http_acr_credential_t *credential,
    json_t *claims)
{
    size_t            i;
    json_t           *groups;
    ngx_int_t         rc;
    const char       *kind;
    acr_text_t        key;
    acr_principal_t  *principal;

    principal = &credential->principal;
    kind = json_string_value(json_object_get(claims, "kind"));

    for (i = 0; i < sizeof(ngx_http_acr_token_kinds) / sizeof(char *); i++) {
        if (kind && ngx_strcmp(kind, ngx_http_acr_token_kinds[i]) == 0) {
            break;
        }
    }

    if (i == sizeof(ngx_http_acr_token_kinds) / sizeof(char *)) {
        return NGX_DECLINED;
    }

    principal->kind = (acr_principal_e) i;

    rc = ngx_http_acr_token_copy(credential->pool, &principal->name,
                                 json_object_get(claims, "sub"));
    if (rc != NGX_OK) {
        return rc;
    }

    /* it dies with the password that it was got for */

    if (principal->kind == ACR_PRINCIPAL_ADMIN
        || principal->kind == ACR_PRINCIPAL_TOKEN)
    {
        rc = ngx_http_acr_token_copy(credential->pool, &key,
                                     json_object_get(claims, "key"));
        if (rc != NGX_OK) {
            return rc;
        }

        principal->password = (const char *) key.data;
    }

    groups = json_object_get(claims, "groups");

    for (i = 0; i < json_array_size(groups); i++) {

        if (i == ACR_ACCESS_GROUPS_MAX) {
            return NGX_DECLINED;
        }

        rc = ngx_http_acr_token_copy(credential->pool, &principal->groups[i],
                                     json_array_get(groups, i));
        if (rc != NGX_OK) {
            return rc;
        }

        principal->ngroups++;
    }

    return NGX_OK;
}


/* [{"type":"repository","name":"a/b","actions":["pull","push"]}] */

static ngx_int_t
ngx_http_acr_token_scopes(ngx_http_acr_credential_t *credential,
    json_t *access)
{
    size_t         i, j, n;
    json_t        *item, *actions;
    unsigned       bit;
    ngx_int_t      rc;
    const char    *type, *action;
    acr_scope_t   *scope;

    n = json_array_size(access);

    if (n == 0) {
        return NGX_OK;
    }

    credential->scopes = ngx_pcalloc(credential->pool,
                                     n * sizeof(acr_scope_t));
    if (credential->scopes == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        item = json_array_get(access, i);
        type = json_string_value(json_object_get(item, "type"));
        actions = json_object_get(item, "actions");

        if (type == NULL) {
            return NGX_DECLINED;
        }

        if (ngx_strcmp(type, "registry") == 0) {
            credential->registry |= ngx_http_acr_token_registry(item);
            continue;
        }

        scope = &credential->scopes[credential->nscopes++];

        rc = ngx_http_acr_token_copy(credential->pool, &scope->name,
                                     json_object_get(item, "name"));
        if (rc != NGX_OK) {
            return rc;
        }

        for (j = 0; j < json_array_size(actions); j++) {
            action = json_string_value(json_array_get(actions, j));

            for (bit = 1; action && bit < ACR_MAY_ALL; bit <<= 1) {
                if (ngx_strcmp(action, acr_scope_action(bit)) == 0) {
                    scope->may |= bit;
                }
            }
        }
    }

    return NGX_OK;
}


/* [{"type":"registry","name":"catalog","actions":["*"]}]: of the names that we
   give there is one action each */

static ngx_uint_t
ngx_http_acr_token_registry(json_t *item)
{
    unsigned     bit;
    const char  *name, *is, *action;

    is = json_string_value(json_object_get(item, "name"));

    for (bit = 1; is && bit <= ACR_MAY_LAST; bit <<= 1) {
        name = acr_scope_registry(bit, &action);

        if (name && ngx_strcmp(name, is) == 0) {
            return bit;
        }
    }

    return 0;
}


/* zero-terminated */

static ngx_int_t
ngx_http_acr_token_copy(ngx_pool_t *pool, acr_text_t *text,
    const json_t *value)
{
    u_char  *p;
    size_t   n;

    if (!json_is_string(value)) {
        return NGX_DECLINED;
    }

    n = json_string_length(value);
    p = ngx_pnalloc(pool, n + 1);

    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, json_string_value(value), n);
    p[n] = '\0';

    text->data = p;
    text->len = n;

    return NGX_OK;
}


ngx_http_acr_credential_t *
ngx_http_acr_credential_create(acr_principal_t *principal)
{
    u_char                     *p;
    size_t                      n;
    ngx_uint_t                  i;
    ngx_pool_t                 *pool;
    ngx_http_acr_credential_t  *credential;

    pool = ngx_create_pool(2048, ngx_cycle->log);

    if (pool == NULL) {
        return NULL;
    }

    credential = ngx_pcalloc(pool, sizeof(ngx_http_acr_credential_t));

    if (credential == NULL) {
        goto failed;
    }

    credential->pool = pool;
    credential->refs = 1;
    credential->principal = *principal;

    if (ngx_http_acr_credential_copy(pool, &credential->principal.name)
        != NGX_OK)
    {
        goto failed;
    }

    for (i = 0; i < principal->ngroups; i++) {
        if (ngx_http_acr_credential_copy(pool,
                                         &credential->principal.groups[i])
            != NGX_OK)
        {
            goto failed;
        }
    }

    if (principal->password) {
        n = ngx_strlen(principal->password) + 1;
        p = ngx_pnalloc(pool, n);

        if (p == NULL) {
            goto failed;
        }

        ngx_memcpy(p, principal->password, n);
        credential->principal.password = (const char *) p;
    }

    return credential;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


static ngx_int_t
ngx_http_acr_credential_copy(ngx_pool_t *pool, acr_text_t *text)
{
    u_char  *p;

    if (text->len == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, text->len);

    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, text->data, text->len);
    text->data = p;

    return NGX_OK;
}
