
/*
 * What is done about a challenge of a remote.
 */

#include "ngx_http_acr_remote_core.h"


static ngx_int_t ngx_http_acr_remote_challenges(
    ngx_http_acr_remote_request_t *request, acr_challenge_t *best,
    u_char *buf);
static ngx_int_t ngx_http_acr_remote_bearer(
    ngx_http_acr_remote_request_t *request, acr_challenge_t *challenge);
static const char *ngx_http_acr_remote_service(ngx_http_acr_remote_t *remote,
    acr_challenge_t *challenge);


ngx_int_t
ngx_http_acr_remote_challenge(ngx_http_acr_remote_request_t *request)
{
    u_char                      *buf;
    ngx_int_t                    rc;
    acr_challenge_t              challenge;
    ngx_http_acr_remote_t       *remote;
    ngx_http_acr_credentials_t  *set;

    remote = request->remote;
    set = remote->credentials;

    /* half of it for the one that is best so far */

    buf = ngx_alloc(2 * ACR_CHALLENGE_MAX, remote->log);

    if (buf == NULL) {
        ngx_http_acr_remote_error(request, "no memory");
        return NGX_DECLINED;
    }

    rc = ngx_http_acr_remote_challenges(request, &challenge, buf);

    if (rc != NGX_OK) {
        ngx_http_acr_remote_error(request, "it answers 401 without a "
                                  "challenge that is known");

    } else if (challenge.scheme == ACR_CHALLENGE_BEARER) {
        rc = ngx_http_acr_remote_bearer(request, &challenge);

    } else if (set == NULL || set->user.text.len == 0) {
        ngx_http_acr_remote_error(request, "it wants a user and a password");
        rc = NGX_DECLINED;

    } else if (request->basic) {
        ngx_http_acr_remote_error(request, "it does not take the user and "
                                  "the password");
        rc = NGX_DECLINED;

    } else {
        remote->known = 1;
        remote->scheme = ACR_CHALLENGE_BASIC;

        ngx_http_acr_remote_basic(request);
    }

    ngx_free(buf);

    return rc;
}


/* Bearer before Basic, the first one of each */

static ngx_int_t
ngx_http_acr_remote_challenges(ngx_http_acr_remote_request_t *request,
    acr_challenge_t *best, u_char *buf)
{
    u_char           *p;
    ngx_uint_t        n, found;
    ngx_str_t         value;
    acr_text_t        rest;
    acr_challenge_t   challenge;

    found = 0;
    p = buf;

    for (n = 0;
         ngx_http_acr_fetch_header_nth(&request->fetch, "WWW-Authenticate", n,
                                       &value)
         == NGX_OK;
         n++)
    {
        rest.data = value.data;
        rest.len = value.len;

        while (acr_challenge_next(&rest, p, &challenge) == ACR_OK) {

            if (found && challenge.scheme != ACR_CHALLENGE_BEARER) {
                continue;
            }

            found = 1;
            *best = challenge;

            if (challenge.scheme == ACR_CHALLENGE_BEARER) {
                return NGX_OK;
            }

            p = buf + ACR_CHALLENGE_MAX;
        }
    }

    return found ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_acr_remote_bearer(ngx_http_acr_remote_request_t *request,
    acr_challenge_t *challenge)
{
    ngx_str_t    scope;
    const char  *why;

    if (challenge->scope.len > NGX_HTTP_ACR_REMOTE_SCOPE) {
        why = "its challenge has too long a scope";

    } else {
        why = ngx_http_acr_remote_service(request->remote, challenge);
    }

    if (why) {
        ngx_http_acr_remote_error(request, "%s", why);
        return NGX_DECLINED;
    }

    scope.data = (u_char *) challenge->scope.data;
    scope.len = challenge->scope.len;

    if (scope.len == 0) {
        scope = request->scope;
    }

    ngx_http_acr_remote_token(request, &scope);

    return NGX_OK;
}


/* notes where tokens come from: NULL, or why they cannot */

static const char *
ngx_http_acr_remote_service(ngx_http_acr_remote_t *remote,
    acr_challenge_t *challenge)
{
    u_char      *p;
    ngx_str_t    realm, service;
    ngx_uint_t   https;

    realm.data = (u_char *) challenge->realm.data;
    realm.len = challenge->realm.len;

    service.data = (u_char *) challenge->service.data;
    service.len = challenge->service.len;

    if (ngx_http_acr_fetch_check(&realm, &https) != NULL
        || ngx_strlchr(realm.data, realm.data + realm.len, '#') != NULL)
    {
        return "its token service has no good URL";
    }

    if (remote->https && !https) {
        return "its token service is not of https";
    }

    if (remote->known && remote->scheme == ACR_CHALLENGE_BEARER
        && remote->service_url.len == realm.len
        && ngx_memcmp(remote->service_url.data, realm.data, realm.len) == 0
        && remote->service.len == service.len
        && (service.len == 0
            || ngx_memcmp(remote->service.data, service.data, service.len)
               == 0))
    {
        return NULL;
    }

    p = ngx_alloc(realm.len + service.len, remote->log);

    if (p == NULL) {
        return "no memory";
    }

    if (remote->service_url.data) {
        ngx_free(remote->service_url.data);
    }

    remote->service_url.data = p;
    remote->service_url.len = realm.len;
    p = ngx_cpymem(p, realm.data, realm.len);

    remote->service.data = p;
    remote->service.len = service.len;

    if (service.len) {
        ngx_memcpy(p, service.data, service.len);
    }

    remote->known = 1;
    remote->scheme = ACR_CHALLENGE_BEARER;

    return NULL;
}
