
/*
 * A remote's token service: Docker's "Token Authentication Specification" (GET)
 * and "OAuth2 Token Authentication" (POST).
 */

#include "ngx_http_acr_remote_core.h"
#include "../oci/acr_json.h"
#include "../oci/acr_query.h"


#define NGX_HTTP_ACR_REMOTE_ANSWER    65536    /* bytes, of the service */
#define NGX_HTTP_ACR_REMOTE_TOKEN     16384    /* bytes, of a token */
#define NGX_HTTP_ACR_REMOTE_LIFE      60       /* seconds, if none are said */
#define NGX_HTTP_ACR_REMOTE_LIFE_MAX  3600
#define NGX_HTTP_ACR_REMOTE_MARGIN    30000    /* ms, at most */


static ngx_int_t ngx_http_acr_remote_token_fetch(
    ngx_http_acr_remote_token_t *t, ngx_str_t *scope);
static ngx_int_t ngx_http_acr_remote_token_arguments(
    ngx_http_acr_remote_t *remote, ngx_str_t *scope, ngx_uint_t post,
    ngx_str_t *text);
static u_char *ngx_http_acr_remote_token_argument(u_char *p, const char *name,
    const u_char *value, size_t n);
static ngx_int_t ngx_http_acr_remote_token_start(
    ngx_http_acr_remote_token_t *t, ngx_str_t *arguments,
    ngx_str_t *authorization);
static void ngx_http_acr_remote_token_fetched(ngx_http_acr_fetch_t *fetch);
static void ngx_http_acr_remote_token_answer(ngx_http_acr_remote_token_t *t);
static const char *ngx_http_acr_remote_token_read(
    ngx_http_acr_remote_token_t *t, json_t *root);
static const char *ngx_http_acr_remote_token_take(
    ngx_http_acr_remote_token_t *t, json_t *value, json_t *life);


const char *
ngx_http_acr_remote_token_ask(ngx_http_acr_remote_token_t *t, ngx_str_t *scope,
    ngx_http_acr_remote_request_t *request)
{
    ngx_int_t                     rc;
    ngx_http_acr_breaker_t       *breaker;
    ngx_http_acr_remote_state_t  *state;

    state = t->remote->state;
    breaker = &state->service;

    request->wait = ngx_http_acr_remote_seconds(state->service_until);

    if (request->wait) {
        return "its token service is not to be asked yet";
    }

    rc = request->insist ? NGX_DONE
                         : ngx_http_acr_breaker_pass(breaker, ngx_current_msec,
                                                     t->remote->timeout);

    if (rc == NGX_DECLINED) {
        return "its token service is assumed to be down";
    }

    t->probe = (rc == NGX_DONE);
    t->asked = ngx_http_acr_remote_generation(t->remote);

    if (ngx_http_acr_remote_token_fetch(t, scope) == NGX_OK) {
        t->busy = 1;
        return NULL;
    }

    ngx_http_acr_remote_token_body(t);

    if (t->probe) {
        ngx_http_acr_breaker_unsure(breaker, ngx_current_msec);
    }

    return "no memory";
}


static ngx_int_t
ngx_http_acr_remote_token_fetch(ngx_http_acr_remote_token_t *t,
    ngx_str_t *scope)
{
    ngx_int_t                    rc;
    ngx_str_t                    arguments, basic;
    ngx_uint_t                   post;
    ngx_http_acr_credentials_t  *set;

    set = t->remote->credentials;
    post = (set && set->token);

    ngx_str_null(&basic);

    if (ngx_http_acr_remote_token_arguments(t->remote, scope, post, &arguments)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (post) {
        t->body = arguments;

        return ngx_http_acr_remote_token_start(t, NULL, &basic);
    }

    if (set && ngx_http_acr_credentials_basic(set, &basic) == NGX_ERROR) {
        ngx_free(arguments.data);
        return NGX_ERROR;
    }

    rc = ngx_http_acr_remote_token_start(t, &arguments, &basic);

    ngx_free(arguments.data);

    if (basic.len) {
        ngx_explicit_memzero(basic.data, basic.len);
        ngx_free(basic.data);
    }

    return rc;
}


/* each scope by itself, or all of them in one argument of POST; allocated */

static ngx_int_t
ngx_http_acr_remote_token_arguments(ngx_http_acr_remote_t *remote,
    ngx_str_t *scope, ngx_uint_t post, ngx_str_t *text)
{
    u_char      *p, *q, *last;
    size_t       n, size;
    ngx_str_t   *secret;

    static const char  grant[] = "grant_type=refresh_token"
                                 "&client_id=ngx_http_acr_module";

    secret = post ? &remote->credentials->secret.text : NULL;

    /* "&scope=" and its one character take what eight escaped ones would */

    size = sizeof(grant) + sizeof("&service=&refresh_token=")
           + 3 * remote->service.len + 8 * scope->len + 8
           + (post ? 3 * secret->len : 0);

    text->data = ngx_alloc(size, remote->log);

    if (text->data == NULL) {
        return NGX_ERROR;
    }

    p = text->data;

    if (post) {
        p = ngx_cpymem(p, grant, sizeof(grant) - 1);
        p = ngx_http_acr_remote_token_argument(p, "&refresh_token=",
                                               secret->data, secret->len);
    }

    if (remote->service.len) {
        p = ngx_http_acr_remote_token_argument(p, "&service=",
                                               remote->service.data,
                                               remote->service.len);
    }

    q = scope->data;
    last = q + scope->len;

    if (post && scope->len) {
        p = ngx_http_acr_remote_token_argument(p, "&scope=", q, scope->len);
        q = last;
    }

    while (q < last) {
        n = 0;

        while (q + n < last && q[n] != ' ') {
            n++;
        }

        if (n) {
            p = ngx_http_acr_remote_token_argument(p, "&scope=", q, n);
        }

        q += n + 1;
    }

    text->len = p - text->data;

    return NGX_OK;
}


static u_char *
ngx_http_acr_remote_token_argument(u_char *p, const char *name,
    const u_char *value, size_t n)
{
    p = ngx_cpymem(p, name, ngx_strlen(name));

    return p + acr_query_escape(p, value, n);
}


/* arguments: NULL for POST, which has t->body */

static ngx_int_t
ngx_http_acr_remote_token_start(ngx_http_acr_remote_token_t *t,
    ngx_str_t *arguments, ngx_str_t *authorization)
{
    u_char                       *p, *q, *last;
    ngx_int_t                     rc;
    ngx_http_acr_fetch_t         *fetch;
    ngx_http_acr_remote_t        *remote;
    ngx_http_acr_fetch_header_t   headers[2];

    remote = t->remote;
    fetch = &t->fetch;

    ngx_str_set(&headers[0].name, "Accept");
    ngx_str_set(&headers[0].value, "application/json");

    fetch->headers = headers;
    fetch->nheaders = 1;

    fetch->url.len = remote->service_url.len + (arguments ? arguments->len : 0);
    fetch->url.data = ngx_alloc(fetch->url.len, remote->log);

    if (fetch->url.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(fetch->url.data, remote->service_url.data,
                   remote->service_url.len);

    if (arguments) {
        ngx_memcpy(p, arguments->data, arguments->len);

        /* the first of them begins with "&" */

        last = p;
        q = ngx_strlchr(fetch->url.data, last, '?');

        if (arguments->len && q == NULL) {
            *p = '?';
        }

        ngx_str_null(&fetch->method);
        ngx_str_null(&fetch->body);

        if (authorization->len) {
            ngx_str_set(&headers[1].name, "Authorization");
            headers[1].value = *authorization;
            fetch->nheaders = 2;
        }

    } else {
        ngx_str_set(&fetch->method, "POST");
        fetch->body = t->body;

        ngx_str_set(&headers[1].name, "Content-Type");
        ngx_str_set(&headers[1].value, "application/x-www-form-urlencoded");
        fetch->nheaders = 2;
    }

    /* a host that is neither the remote's nor this one has to be public */

    fetch->written = (remote->realm.len
                      && ngx_http_acr_fetch_same_host(&remote->realm,
                                                      &remote->service_url))
                     ? remote->realm : remote->url;

    fetch->max = NGX_HTTP_ACR_REMOTE_ANSWER;
    fetch->connect = remote->connect;
    fetch->timeout = remote->timeout;
    fetch->done = ngx_http_acr_remote_token_fetched;
    fetch->data = t;

    rc = ngx_http_acr_fetch_start(remote->client, fetch);

    ngx_free(fetch->url.data);

    return rc;
}


void
ngx_http_acr_remote_token_body(ngx_http_acr_remote_token_t *t)
{
    if (t->body.data) {
        ngx_explicit_memzero(t->body.data, t->body.len);
        ngx_free(t->body.data);
    }

    ngx_str_null(&t->body);
}


static void
ngx_http_acr_remote_token_fetched(ngx_http_acr_fetch_t *fetch)
{
    ngx_http_acr_remote_token_t  *t;

    t = fetch->data;

    t->busy = 0;

    ngx_http_acr_remote_told_service(t->remote, fetch, t->probe);
    ngx_http_acr_remote_token_body(t);
    ngx_http_acr_remote_token_answer(t);

    if (t->result != NGX_HTTP_ACR_REMOTE_OK) {

        /* the remote may want something else by now: the next one asks it */

        t->remote->known = 0;

        ngx_log_error(NGX_LOG_ERR, t->remote->log, 0,
                      "acr: remote \"%V\": no token for \"%V\": %s",
                      &t->remote->host, &t->node.str, t->error);
    }

    ngx_http_acr_remote_token_wake(t);
}


/* sets the result, and the token or the error */

static void
ngx_http_acr_remote_token_answer(ngx_http_acr_remote_token_t *t)
{
    int                    rc;
    json_t                *root;
    const char            *why;
    ngx_http_acr_fetch_t  *fetch;

    fetch = &t->fetch;

    t->wait = 0;
    t->result = NGX_HTTP_ACR_REMOTE_FAILED;

    if (fetch->status == 0) {
        why = (char *) fetch->error.data;

    } else if (fetch->status != NGX_HTTP_OK) {
        t->result = ngx_http_acr_remote_result(fetch);

        if (t->result == NGX_HTTP_ACR_REMOTE_LIMITED) {
            t->wait = ngx_http_acr_remote_retry_after(fetch);

        } else if (fetch->status == NGX_HTTP_BAD_REQUEST
                   && fetch->method.len)
        {
            /* RFC 6749, section 5.2: also of a token that is good no more */

            t->result = NGX_HTTP_ACR_REMOTE_DENIED;

        } else if (t->result != NGX_HTTP_ACR_REMOTE_DENIED) {
            t->result = NGX_HTTP_ACR_REMOTE_FAILED;
        }

        *ngx_snprintf(t->error, sizeof(t->error) - 1,
                      "its token service answers %ui", fetch->status)
            = '\0';
        return;

    } else {
        rc = acr_json_load(&root, fetch->answer.data, fetch->answer.len, &why);

        if (rc == ACR_OK) {
            why = ngx_http_acr_remote_token_read(t, root);
            json_decref(root);

        } else if (rc == ACR_NOMEM) {
            why = "no memory";
        }
    }

    if (why == NULL) {
        t->result = NGX_HTTP_ACR_REMOTE_OK;
        return;
    }

    *ngx_snprintf(t->error, sizeof(t->error) - 1, "its token service: %s", why)
        = '\0';
}


static const char *
ngx_http_acr_remote_token_read(ngx_http_acr_remote_token_t *t, json_t *root)
{
    size_t       i, n;
    json_t      *value;
    const char  *p;

    value = acr_json_get(root, "token");

    if (!json_is_string(value) || json_string_length(value) == 0) {
        value = acr_json_get(root, "access_token");
    }

    if (!json_is_string(value) || json_string_length(value) == 0) {
        return "there is no token in its answer";
    }

    p = json_string_value(value);
    n = json_string_length(value);

    if (n > NGX_HTTP_ACR_REMOTE_TOKEN) {
        return "its token is too long";
    }

    for (i = 0; i < n; i++) {
        if (p[i] <= ' ' || p[i] > '~') {
            return "its token cannot be in a header";
        }
    }

    return ngx_http_acr_remote_token_take(t, value,
                                          acr_json_get(root, "expires_in"));
}


static const char *
ngx_http_acr_remote_token_take(ngx_http_acr_remote_token_t *t, json_t *value,
    json_t *life)
{
    u_char      *p;
    size_t       n;
    double       seconds;
    ngx_msec_t   ms;

    n = json_string_length(value);
    p = ngx_alloc(n, t->remote->log);

    if (p == NULL) {
        return "no memory";
    }

    ngx_memcpy(p, json_string_value(value), n);

    if (t->value.data) {
        ngx_explicit_memzero(t->value.data, t->value.len);
        ngx_free(t->value.data);
    }

    t->value.data = p;
    t->value.len = n;

    seconds = json_number_value(life);

    if (seconds < 1) {
        seconds = NGX_HTTP_ACR_REMOTE_LIFE;
    }

    /* it is older than it seems, and will be still older when it arrives */

    ms = (ngx_msec_t) (1000 * ngx_min(seconds, NGX_HTTP_ACR_REMOTE_LIFE_MAX));
    ms -= ngx_min(ms / 10, NGX_HTTP_ACR_REMOTE_MARGIN);

    t->expires = ngx_current_msec + ms;
    t->generation = t->asked;
    t->stamp = ++t->remote->stamp;

    return NULL;
}
