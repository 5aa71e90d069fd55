
/*
 * Tokens at an edge node: "/oauth2/token" and "/oauth2/exchange" of its origin.
 */

#include "ngx_http_acr_edge.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <jansson.h>


#define NGX_HTTP_ACR_EDGE_TOKEN_BODY    16384
#define NGX_HTTP_ACR_EDGE_TOKEN_ANSWER  65536
#define NGX_HTTP_ACR_EDGE_TOKEN_KEY     64       /* hex digits */

/* of an answer that does not say, as Docker's specification has it */
#define NGX_HTTP_ACR_EDGE_TOKEN_LIVES   60
#define NGX_HTTP_ACR_EDGE_TOKEN_MAX     (365 * 24 * 3600)

#define NGX_HTTP_ACR_EDGE_TOKEN_GUARD   60000


/* how an answer is remembered; the answer follows */

typedef struct {
    time_t                        ends;
} ngx_http_acr_edge_granted_t;


typedef struct {
    ngx_http_request_t           *request;
    ngx_http_acr_remote_t        *origin;
    ngx_http_acr_fetch_t          fetch;
    ngx_http_acr_fetch_header_t   headers[3];
    ngx_event_t                   guard;
    u_char                       *p;           /* the body */
    size_t                        n;
    ngx_str_t                     key;
    u_char                        hex[NGX_HTTP_ACR_EDGE_TOKEN_KEY];
    unsigned                      probe:1;
} ngx_http_acr_edge_token_t;


static void ngx_http_acr_edge_token_cleanup(void *data);
static void ngx_http_acr_edge_token_read(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static ngx_int_t ngx_http_acr_edge_token_key(ngx_http_request_t *r,
    ngx_http_acr_edge_token_t *token);
static ngx_int_t ngx_http_acr_edge_token_url(ngx_http_request_t *r,
    ngx_http_acr_edge_token_t *token);
static ngx_int_t ngx_http_acr_edge_token_start(ngx_http_request_t *r,
    ngx_http_acr_edge_token_t *token);
static void ngx_http_acr_edge_token_guard(ngx_event_t *ev);
static void ngx_http_acr_edge_token_done(ngx_http_acr_fetch_t *fetch);
static void ngx_http_acr_edge_token_answered(ngx_http_request_t *r,
    ngx_http_acr_edge_token_t *token);
static ngx_int_t ngx_http_acr_edge_token_outcome(ngx_http_acr_fetch_t *fetch);
static void ngx_http_acr_edge_token_note(ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_edge_token_t *token);
static void ngx_http_acr_edge_token_again(ngx_http_request_t *r,
    ngx_http_acr_edge_token_t *token);
static uint64_t ngx_http_acr_edge_token_kind(ngx_http_acr_ctx_t *ctx);
static ngx_int_t ngx_http_acr_edge_token_pass(ngx_http_request_t *r,
    ngx_http_acr_fetch_t *fetch, const char *name);


static ngx_str_t  ngx_http_acr_edge_token_any = ngx_string("");


void
ngx_http_acr_edge_token(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_acr_edge_token_t  *token;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_edge_token_t));

    if (cln == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    token = cln->data;

    ngx_memzero(token, sizeof(ngx_http_acr_edge_token_t));

    token->request = r;
    token->origin = ctx->registry->origin;

    token->guard.handler = ngx_http_acr_edge_token_guard;
    token->guard.data = token;
    token->guard.log = ngx_cycle->log;

    cln->handler = ngx_http_acr_edge_token_cleanup;

    if (r->method == NGX_HTTP_POST) {
        ngx_http_acr_body_collect(r, NGX_HTTP_ACR_EDGE_TOKEN_BODY, &token->p,
                                  &token->n, ngx_http_acr_edge_token_read,
                                  token);
        return;
    }

    ngx_http_acr_discard(r);
    ngx_http_acr_edge_token_read(r, token, NGX_OK);
}


static void
ngx_http_acr_edge_token_cleanup(void *data)
{
    ngx_http_acr_edge_token_t *token = data;

    ngx_http_acr_fetch_cancel(&token->fetch);

    if (token->probe) {
        ngx_http_acr_breaker_unsure(&token->origin->state->breaker,
                                    ngx_current_msec);
    }

    if (token->guard.timer_set) {
        ngx_del_timer(&token->guard);
    }
}


static void
ngx_http_acr_edge_token_read(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_edge_token_t *token = data;

    if (ngx_http_acr_edge_token_key(r, token) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    if (ngx_http_acr_edge_token_url(r, token) != NGX_OK) {
        return;
    }

    rc = ngx_http_acr_breaker_pass(&token->origin->state->breaker,
                                   ngx_current_msec, token->origin->timeout);

    if (rc == NGX_DECLINED) {
        ngx_http_acr_edge_token_again(r, token);
        return;
    }

    token->probe = (rc == NGX_DONE);

    if (ngx_http_acr_edge_token_start(r, token) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_add_timer(&token->guard, NGX_HTTP_ACR_EDGE_TOKEN_GUARD);
    ngx_http_acr_enter(r);
}


/*
 * Of all that the answer depends on: credentials, scope, service.  It is keyed,
 * so that the memory tells nothing of passwords.
 */

static ngx_int_t
ngx_http_acr_edge_token_key(ngx_http_request_t *r,
    ngx_http_acr_edge_token_t *token)
{
    u_char               *text, *p, mac[EVP_MAX_MD_SIZE];
    size_t                n;
    unsigned              len;
    ngx_str_t             nobody, *authorization;
    ngx_http_acr_zone_t  *zone;

    ngx_str_set(&nobody, "");

    authorization = r->headers_in.authorization
                    ? &r->headers_in.authorization->value : &nobody;

    n = r->unparsed_uri.len + authorization->len + token->n + 2;

    text = ngx_pnalloc(r->pool, n);

    if (text == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(text, "%V\n%V\n", &r->unparsed_uri, authorization);

    if (token->n) {
        p = ngx_cpymem(p, token->p, token->n);
    }

    zone = ngx_http_acr_get_ctx(r)->registry->zone;

    if (HMAC(EVP_sha256(), zone->head->secret, NGX_HTTP_ACR_ZONE_SECRET, text,
             p - text, mac, &len)
        == NULL
        || 2 * len != NGX_HTTP_ACR_EDGE_TOKEN_KEY)
    {
        return NGX_ERROR;
    }

    (void) ngx_hex_dump(token->hex, mac, len);

    token->key.data = token->hex;
    token->key.len = NGX_HTTP_ACR_EDGE_TOKEN_KEY;

    return NGX_OK;
}


/* NGX_DONE: it is answered.  What our client refuses says nothing of the
   origin. */

static ngx_int_t
ngx_http_acr_edge_token_url(ngx_http_request_t *r,
    ngx_http_acr_edge_token_t *token)
{
    u_char      *p;
    ngx_str_t   *url;
    ngx_uint_t   https;
    const char  *why;

    url = &token->fetch.url;

    url->len = token->origin->url.len + r->unparsed_uri.len;
    url->data = ngx_pnalloc(r->pool, url->len);

    if (url->data == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NGX_DONE;
    }

    p = ngx_cpymem(url->data, token->origin->url.data, token->origin->url.len);
    ngx_memcpy(p, r->unparsed_uri.data, r->unparsed_uri.len);

    why = ngx_http_acr_fetch_check(url, &https);

    if (why) {
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_REQUEST, ACR_E_UNSUPPORTED,
                                 why, NULL, NULL);
        return NGX_DONE;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_edge_token_start(ngx_http_request_t *r,
    ngx_http_acr_edge_token_t *token)
{
    ngx_http_acr_fetch_t         *fetch;
    ngx_http_acr_fetch_header_t  *header;

    fetch = &token->fetch;
    header = token->headers;

    /* the client's own, and nothing of this node's */

    if (r->headers_in.authorization) {
        ngx_str_set(&header->name, "Authorization");
        header->value = r->headers_in.authorization->value;
        header++;
    }

    if (r->headers_in.content_type) {
        ngx_str_set(&header->name, "Content-Type");
        header->value = r->headers_in.content_type->value;
        header++;
    }

    /* the origin counts failures of addresses */

    ngx_str_set(&header->name, "X-Forwarded-For");
    header->value = r->connection->addr_text;
    header++;

    fetch->written = token->origin->url;
    fetch->method = r->method_name;
    fetch->headers = token->headers;
    fetch->nheaders = header - token->headers;
    fetch->body.data = token->p;
    fetch->body.len = token->n;
    fetch->max = NGX_HTTP_ACR_EDGE_TOKEN_ANSWER;
    fetch->timeout = token->origin->timeout;
    fetch->connect = token->origin->connect;
    fetch->done = ngx_http_acr_edge_token_done;
    fetch->data = token;

    return ngx_http_acr_fetch_start(token->origin->client, fetch);
}


static void
ngx_http_acr_edge_token_guard(ngx_event_t *ev)
{
    ngx_add_timer(ev, NGX_HTTP_ACR_EDGE_TOKEN_GUARD);
}


static void
ngx_http_acr_edge_token_done(ngx_http_acr_fetch_t *fetch)
{
    ngx_connection_t           *c;
    ngx_http_request_t         *r;
    ngx_http_acr_edge_token_t  *token;

    token = fetch->data;
    r = token->request;
    c = r->connection;

    ngx_del_timer(&token->guard);

    if (ngx_http_acr_leave(r) == NGX_OK) {
        ngx_http_acr_edge_token_answered(r, token);
    }

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_acr_edge_token_answered(ngx_http_request_t *r,
    ngx_http_acr_edge_token_t *token)
{
    u_char                *p;
    ngx_uint_t             probe;
    ngx_http_acr_ctx_t    *ctx;
    ngx_http_acr_fetch_t  *fetch;

    ctx = ngx_http_acr_get_ctx(r);
    fetch = &token->fetch;

    probe = token->probe;
    token->probe = 0;

    ngx_http_acr_origin_told(token->origin,
                             ngx_http_acr_edge_token_outcome(fetch), probe,
                             r->connection->log);

    if (fetch->status == 0
        || fetch->status >= NGX_HTTP_INTERNAL_SERVER_ERROR)
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "acr: origin \"%V\" gives no token: %ui %V",
                      &token->origin->host, fetch->status, &fetch->error);

        ngx_http_acr_edge_token_again(r, token);
        return;
    }

    if (fetch->status == NGX_HTTP_OK) {
        ngx_http_acr_edge_token_note(ctx, token);
    }

    p = ngx_pnalloc(r->pool, fetch->answer.len + 1);

    if (p == NULL
        || ngx_http_acr_edge_token_pass(r, fetch, "WWW-Authenticate") != NGX_OK
        || ngx_http_acr_edge_token_pass(r, fetch, "Retry-After") != NGX_OK
        || ngx_http_acr_edge_token_pass(r, fetch, "Cache-Control") != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_memcpy(p, fetch->answer.data, fetch->answer.len);

    ngx_http_acr_send_body(r, fetch->status, "application/json", p,
                           fetch->answer.len);
}


/* NGX_ERROR: the origin is dead */

static ngx_int_t
ngx_http_acr_edge_token_outcome(ngx_http_acr_fetch_t *fetch)
{
    ngx_str_t   value;
    ngx_uint_t  speaks;

    if (fetch->status == 0) {
        return fetch->large ? NGX_OK : NGX_ERROR;
    }

    speaks = (ngx_http_acr_fetch_header(fetch,
                                        "Docker-Distribution-Api-Version",
                                        &value)
              == NGX_OK);

    return ngx_http_acr_origin_dead(fetch->status, 0, speaks) ? NGX_ERROR
                                                              : NGX_OK;
}


/* what it was granted for is in the key */

static void
ngx_http_acr_edge_token_note(ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_edge_token_t *token)
{
    u_char                       *p;
    size_t                        n;
    json_t                       *root;
    json_int_t                    lives;
    ngx_str_t                    *answer;
    ngx_http_acr_cache_t         *cache;
    ngx_http_acr_edge_granted_t   granted;

    cache = ctx->registry->zone->cache;
    answer = &token->fetch.answer;

    root = json_loadb((char *) answer->data, answer->len, 0, NULL);

    if (root == NULL || cache == NULL) {
        json_decref(root);
        return;
    }

    lives = json_integer_value(json_object_get(root, "expires_in"));

    json_decref(root);

    if (lives <= 0 || lives > NGX_HTTP_ACR_EDGE_TOKEN_MAX) {
        lives = NGX_HTTP_ACR_EDGE_TOKEN_LIVES;
    }

    granted.ends = ngx_time() + (time_t) lives;

    n = sizeof(granted) + answer->len;
    p = ngx_alloc(n, ngx_cycle->log);

    if (p == NULL) {
        return;
    }

    ngx_memcpy(p, &granted, sizeof(granted));
    ngx_memcpy(p + sizeof(granted), answer->data, answer->len);

    ngx_http_acr_cache_put(cache, ngx_http_acr_edge_token_kind(ctx),
                           &ngx_http_acr_edge_token_any, &token->key,
                           ngx_http_acr_cache_stamp(cache), p, n);

    ngx_explicit_memzero(p, n);
    ngx_free(p);
}


/* the origin is down */

static void
ngx_http_acr_edge_token_again(ngx_http_request_t *r,
    ngx_http_acr_edge_token_t *token)
{
    u_char                       *p;
    ssize_t                       n;
    ngx_http_acr_ctx_t           *ctx;
    ngx_http_acr_cache_t         *cache;
    ngx_http_acr_edge_granted_t   granted;

    ctx = ngx_http_acr_get_ctx(r);
    cache = ctx->registry->zone->cache;

    p = ngx_pnalloc(r->pool, sizeof(granted) + NGX_HTTP_ACR_EDGE_TOKEN_ANSWER);

    if (p == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    n = (cache == NULL)
        ? NGX_DECLINED
        : ngx_http_acr_cache_get(cache, ngx_http_acr_edge_token_kind(ctx),
                                 &ngx_http_acr_edge_token_any, &token->key, p,
                                 sizeof(granted)
                                 + NGX_HTTP_ACR_EDGE_TOKEN_ANSWER);

    if (n > (ssize_t) sizeof(granted)) {
        ngx_memcpy(&granted, p, sizeof(granted));

        if (ngx_time() < granted.ends + ctx->registry->offline) {
            ctx->cache_status = "STALE";
            ngx_http_acr_send_body(r, NGX_HTTP_OK, "application/json",
                                   p + sizeof(granted), n - sizeof(granted));
            return;
        }
    }

    ngx_http_acr_fail(r, ACR_E_UNAVAILABLE, "the origin does not answer", NULL,
                      NULL);
}


static uint64_t
ngx_http_acr_edge_token_kind(ngx_http_acr_ctx_t *ctx)
{
    return (uint64_t) ctx->registry->identity << 8
           | NGX_HTTP_ACR_CACHE_TOKEN;
}


/* NGX_ERROR: no memory */

static ngx_int_t
ngx_http_acr_edge_token_pass(ngx_http_request_t *r,
    ngx_http_acr_fetch_t *fetch, const char *name)
{
    ngx_str_t  value, copy;

    if (ngx_http_acr_fetch_header(fetch, name, &value) != NGX_OK) {
        return NGX_OK;
    }

    copy.len = value.len;
    copy.data = ngx_pstrdup(r->pool, &value);

    if (copy.data == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_acr_header(r, name, &copy);
}
