
#include "ngx_http_acr_referred_list.h"
#include "../edge/ngx_http_acr_rule.h"
#include "../edge/ngx_http_acr_turn.h"


/* ms after which a timer that keeps an exiting worker alive is set anew */
#define NGX_HTTP_ACR_REFERRED_GUARD  60000

#define NGX_HTTP_ACR_REFERRED_LINK   4096


/* in memory the time when it was asked for comes before the list's text */

typedef struct {
    ngx_http_request_t             *request;
    ngx_http_acr_rule_found_t       rule;
    ngx_str_t                       type;
    ngx_str_t                       key;       /* of the memory and the turn */

    ngx_http_acr_turn_t             turn;
    ngx_http_acr_remote_request_t   remote;
    ngx_http_acr_fetch_header_t     accept;
    ngx_event_t                     guard;
    ngx_uint_t                      pages;

    u_char                         *page;      /* malloc'd, for a thread */
    size_t                          len;
    ngx_http_acr_referred_list_t    there;     /* what it has found */

    ngx_array_t                    *list;
    ngx_http_acr_next_pt            next;
    void                           *data;

    unsigned                        tag:1;     /* the tag is asked for */
} ngx_http_acr_referred_ask_t;


static ngx_int_t ngx_http_acr_referred_key(ngx_http_request_t *r,
    ngx_http_acr_referred_ask_t *ask);
static void ngx_http_acr_referred_cleanup(void *data);
static ngx_int_t ngx_http_acr_referred_recall(
    ngx_http_acr_referred_ask_t *ask);
static void ngx_http_acr_referred_take(ngx_http_acr_referred_ask_t *ask);
static void ngx_http_acr_referred_shared(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_referred_first(ngx_http_acr_referred_ask_t *ask);
static ngx_int_t ngx_http_acr_referred_path(ngx_http_acr_referred_ask_t *ask);
static void ngx_http_acr_referred_send(ngx_http_acr_referred_ask_t *ask);
static void ngx_http_acr_referred_guard(ngx_event_t *ev);
static void ngx_http_acr_referred_answered(
    ngx_http_acr_remote_request_t *request);
static void ngx_http_acr_referred_answer(ngx_http_acr_referred_ask_t *ask);
static ngx_uint_t ngx_http_acr_referred_missing(
    ngx_http_acr_remote_request_t *request);
static ngx_int_t ngx_http_acr_referred_link(ngx_http_acr_referred_ask_t *ask);
static ngx_int_t ngx_http_acr_referred_read(void *data, ngx_log_t *log);
static void ngx_http_acr_referred_got(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_referred_note(ngx_http_acr_referred_ask_t *ask);
static void ngx_http_acr_referred_end(ngx_http_acr_referred_ask_t *ask,
    ngx_int_t rc);


void
ngx_http_acr_referred(ngx_http_request_t *r, ngx_str_t *type,
    ngx_array_t *list, ngx_http_acr_next_pt next, void *data)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_acr_ctx_t           *ctx;
    ngx_http_acr_referred_ask_t  *ask;

    ctx = ngx_http_acr_get_ctx(r);

    if (!ngx_http_acr_rule_any(ctx)) {
        next(r, data, NGX_DECLINED);
        return;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_referred_ask_t));

    if (cln == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ask = cln->data;

    ngx_memzero(ask, sizeof(ngx_http_acr_referred_ask_t));

    if (ngx_http_acr_rule_find(ctx, &ctx->repository, &ask->rule) != NGX_OK) {
        next(r, data, NGX_DECLINED);
        return;
    }

    ask->request = r;
    ask->type = *type;
    ask->list = list;
    ask->next = next;
    ask->data = data;

    cln->handler = ngx_http_acr_referred_cleanup;

    if (ngx_http_acr_referred_key(r, ask) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    if (ngx_http_acr_referred_recall(ask) == NGX_OK) {
        ctx->cache_status = "HIT";
        next(r, data, NGX_OK);
        return;
    }

    ngx_http_acr_referred_take(ask);
}


/* no tag has it as a name, and no digest; at its end is what is different */

static ngx_int_t
ngx_http_acr_referred_key(ngx_http_request_t *r,
    ngx_http_acr_referred_ask_t *ask)
{
    ngx_str_t  *digest, *host;

    digest = &ngx_http_acr_get_ctx(r)->digest;
    host = &ask->rule.remote->host;

    ask->key.data = ngx_pnalloc(r->pool, ask->type.len + host->len
                                         + ask->rule.source.len + digest->len
                                         + sizeof("?/?") - 1);

    if (ask->key.data == NULL) {
        return NGX_ERROR;
    }

    ask->key.len = ngx_sprintf(ask->key.data, "%V?%V/%V?%V", &ask->type, host,
                               &ask->rule.source, digest)
                   - ask->key.data;

    return NGX_OK;
}


static void
ngx_http_acr_referred_cleanup(void *data)
{
    ngx_http_acr_referred_ask_t *ask = data;

    ngx_http_acr_remote_cancel(&ask->remote);
    ngx_http_acr_turn_leave(&ask->turn);

    if (ask->guard.timer_set) {
        ngx_del_timer(&ask->guard);
    }

    if (ask->page) {
        ngx_free(ask->page);
    }

    ngx_http_acr_referred_list_free(&ask->there);
}


static ngx_int_t
ngx_http_acr_referred_recall(ngx_http_acr_referred_ask_t *ask)
{
    time_t                when;
    ssize_t               n;
    uint64_t              kind;
    ngx_str_t             text;
    ngx_http_acr_ctx_t   *ctx;
    ngx_http_acr_zone_t  *zone;

    ctx = ngx_http_acr_get_ctx(ask->request);
    zone = ctx->registry->zone;

    if (zone->cache == NULL) {
        return NGX_DECLINED;
    }

    kind = (uint64_t) ctx->registry->identity << 8
           | NGX_HTTP_ACR_CACHE_REFERRED;

    n = ngx_http_acr_cache_get(zone->cache, kind, &ctx->repository, &ask->key,
                               NULL, NGX_MAX_SIZE_T_VALUE);

    if (n < (ssize_t) sizeof(when)) {
        return NGX_DECLINED;
    }

    text.data = ngx_pnalloc(ask->request->pool, n);

    if (text.data == NULL
        || ngx_http_acr_cache_get(zone->cache, kind, &ctx->repository,
                                  &ask->key, text.data, n)
           != n)
    {
        return NGX_DECLINED;
    }

    ngx_memcpy(&when, text.data, sizeof(when));

    if (ngx_time() - when >= ask->rule.valid) {
        return NGX_DECLINED;
    }

    text.data += sizeof(when);
    text.len = n - sizeof(when);

    return ngx_http_acr_referred_list_read(ask->list, &text);
}


static void
ngx_http_acr_referred_take(ngx_http_acr_referred_ask_t *ask)
{
    if (ngx_http_acr_turn_take(ask->request, &ask->turn, &ask->key,
                               ngx_http_acr_referred_shared, ask)
        == NGX_OK)
    {
        ngx_http_acr_referred_first(ask);
    }
}


/* another request has asked; a list that is too large to be remembered each one
   asks for by itself */

static void
ngx_http_acr_referred_shared(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_referred_ask_t *ask = data;

    if (rc == NGX_OK && ngx_http_acr_referred_recall(ask) != NGX_OK) {
        ngx_http_acr_referred_first(ask);
        return;
    }

    if (rc == NGX_AGAIN) {
        ngx_http_acr_referred_take(ask);
        return;
    }

    ngx_http_acr_referred_end(ask, rc);
}


/* --- the origin */

static void
ngx_http_acr_referred_first(ngx_http_acr_referred_ask_t *ask)
{
    ngx_str_t                      *scope;
    ngx_http_request_t             *r;
    ngx_http_acr_remote_request_t  *request;

    r = ask->request;
    request = &ask->remote;
    scope = &request->scope;

    ngx_str_set(&ask->accept.name, "Accept");
    ngx_str_set(&ask->accept.value, "application/vnd.oci.image.index.v1+json");

    request->remote = ask->rule.remote;
    request->headers = &ask->accept;
    request->nheaders = 1;
    request->max = ngx_http_acr_get_ctx(r)->conf->max_manifest_size;
    request->done = ngx_http_acr_referred_answered;
    request->data = ask;

    ask->guard.handler = ngx_http_acr_referred_guard;
    ask->guard.data = ask;
    ask->guard.log = ngx_cycle->log;

    scope->data = ngx_pnalloc(r->pool, sizeof("repository::pull")
                                       + ask->rule.source.len);

    if (scope->data == NULL || ngx_http_acr_referred_path(ask) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    scope->len = ngx_sprintf(scope->data, "repository:%V:pull",
                             &ask->rule.source)
                 - scope->data;

    ngx_http_acr_referred_send(ask);
}


/* names, digests and tags need no escaping */

static ngx_int_t
ngx_http_acr_referred_path(ngx_http_acr_referred_ask_t *ask)
{
    u_char     *p;
    ngx_str_t  *digest, *path;

    path = &ask->remote.path;
    digest = &ngx_http_acr_get_ctx(ask->request)->digest;

    path->data = ngx_pnalloc(ask->request->pool,
                             sizeof("/v2//referrers/?artifactType=")
                             + ask->rule.source.len + digest->len
                             + 3 * ask->type.len);

    if (path->data == NULL) {
        return NGX_ERROR;
    }

    if (ask->tag) {
        p = ngx_sprintf(path->data, "/v2/%V/manifests/%V", &ask->rule.source,
                        digest);

        *ngx_strlchr(p - digest->len, p, ':') = '-';

    } else {
        p = ngx_sprintf(path->data, "/v2/%V/referrers/%V", &ask->rule.source,
                        digest);

        if (ask->type.len) {
            p = ngx_sprintf(p, "?artifactType=");
            p += acr_query_escape(p, ask->type.data, ask->type.len);
        }
    }

    path->len = p - path->data;

    return NGX_OK;
}


static void
ngx_http_acr_referred_send(ngx_http_acr_referred_ask_t *ask)
{
    ask->pages++;

    if (ngx_http_acr_remote_start(&ask->remote) != NGX_OK) {
        ngx_http_acr_referred_end(ask, NGX_ERROR);
        return;
    }

    ngx_add_timer(&ask->guard, NGX_HTTP_ACR_REFERRED_GUARD);

    ngx_http_acr_enter(ask->request);
}


static void
ngx_http_acr_referred_guard(ngx_event_t *ev)
{
    ngx_add_timer(ev, NGX_HTTP_ACR_REFERRED_GUARD);
}


static void
ngx_http_acr_referred_answered(ngx_http_acr_remote_request_t *request)
{
    ngx_connection_t             *c;
    ngx_http_request_t           *r;
    ngx_http_acr_referred_ask_t  *ask;

    ask = request->data;
    r = ask->request;
    c = r->connection;

    ngx_del_timer(&ask->guard);

    if (ngx_http_acr_leave(r) == NGX_OK) {
        ngx_http_acr_referred_answer(ask);
    }

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_acr_referred_answer(ngx_http_acr_referred_ask_t *ask)
{
    ngx_http_request_t             *r;
    ngx_http_acr_remote_request_t  *request;

    r = ask->request;
    request = &ask->remote;

    if (ngx_http_acr_referred_missing(request)) {

        if (ask->tag || ask->pages > 1) {
            ngx_str_null(&request->path);
            ngx_http_acr_referred_got(r, ask, NGX_OK);
            return;
        }

        ask->tag = 1;

        if (ngx_http_acr_referred_path(ask) != NGX_OK) {
            ngx_http_acr_fail_errno(r, NGX_ERROR);
            return;
        }

        ngx_http_acr_referred_send(ask);
        return;
    }

    if (request->result != NGX_HTTP_ACR_REMOTE_OK) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "acr: referrers of \"%V\" in \"%V/%V\" were not "
                      "fetched: %V", &ngx_http_acr_get_ctx(r)->digest,
                      &ask->rule.remote->host, &ask->rule.source,
                      &request->error);

        ngx_http_acr_referred_end(ask, NGX_ERROR);
        return;
    }

    /* they go with the answer */

    if (ngx_http_acr_referred_link(ask) != NGX_OK) {
        ngx_str_null(&request->path);
    }

    ask->len = request->answer.len;
    ask->page = ngx_alloc(ask->len + 1, r->connection->log);

    if (ask->page == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    if (ask->len) {
        ngx_memcpy(ask->page, request->answer.data, ask->len);
    }

    ngx_http_acr_run(r, ngx_http_acr_get_ctx(r)->registry->slow,
                     ngx_http_acr_referred_read, ask,
                     ngx_http_acr_referred_got);
}


/* whatever else 4xx may be, it is none: 400 and 405 are usual, too */

static ngx_uint_t
ngx_http_acr_referred_missing(ngx_http_acr_remote_request_t *request)
{
    return request->result == NGX_HTTP_ACR_REMOTE_MISSING
           || (request->result == NGX_HTTP_ACR_REMOTE_FAILED
               && request->status / 100 == 4);
}


/* the path of the next page, if it is of the same registry */

static ngx_int_t
ngx_http_acr_referred_link(ngx_http_acr_referred_ask_t *ask)
{
    u_char     *p, *last;
    ngx_str_t   link, *url, *path;

    url = &ask->rule.remote->url;
    path = &ask->remote.path;

    if (ask->tag
        || ngx_http_acr_remote_header(&ask->remote, "Link", &link) != NGX_OK
        || link.len < 2 || link.data[0] != '<'
        || ngx_strlcasestrn(link.data, link.data + link.len,
                            (u_char *) "next", 4 - 1)
           == NULL)
    {
        return NGX_DECLINED;
    }

    p = link.data + 1;
    last = ngx_strlchr(p, link.data + link.len, '>');

    if (last == NULL || last - p > NGX_HTTP_ACR_REFERRED_LINK) {
        return NGX_DECLINED;
    }

    if ((size_t) (last - p) > url->len
        && ngx_memcmp(p, url->data, url->len) == 0)
    {
        p += url->len;
    }

    if (last - p < 4 || ngx_memcmp(p, "/v2/", 4) != 0) {
        return NGX_DECLINED;
    }

    link.data = p;
    link.len = last - p;

    for ( /* void */ ; p < last; p++) {

        if (*p <= ' ' || *p > '~') {
            return NGX_DECLINED;
        }
    }

    path->len = link.len;
    path->data = ngx_pstrdup(ask->request->pool, &link);

    return (path->data == NULL) ? NGX_DECLINED : NGX_OK;
}


static ngx_int_t
ngx_http_acr_referred_read(void *data, ngx_log_t *log)
{
    ngx_http_acr_referred_ask_t *ask = data;

    ngx_int_t  rc;

    rc = ngx_http_acr_referred_list_add(&ask->there, ask->page, ask->len,
                                        &ask->type);

    ngx_free(ask->page);
    ask->page = NULL;

    return rc;
}


static void
ngx_http_acr_referred_got(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_referred_ask_t *ask = data;

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "acr: the referrers of \"%V\" in \"%V/%V\" are no list",
                      &ngx_http_acr_get_ctx(r)->digest,
                      &ask->rule.remote->host, &ask->rule.source);

        ngx_http_acr_referred_end(ask, NGX_ERROR);
        return;
    }

    if (ask->remote.path.len && ask->pages < NGX_HTTP_ACR_REFERRED_PAGES
        && ask->there.n < NGX_HTTP_ACR_REFERRED_MAX)
    {
        ngx_http_acr_referred_send(ask);
        return;
    }

    ngx_http_acr_referred_note(ask);
}


static void
ngx_http_acr_referred_note(ngx_http_acr_referred_ask_t *ask)
{
    u_char                   *p, *text;
    time_t                    when;
    ngx_str_t                 lines;
    ngx_http_acr_ctx_t       *ctx;
    ngx_http_acr_registry_t  *registry;

    ctx = ngx_http_acr_get_ctx(ask->request);
    registry = ctx->registry;

    text = ngx_pnalloc(ask->request->pool, sizeof(when)
                                            + ask->there.size);

    if (text == NULL) {
        ngx_http_acr_fail_errno(ask->request, NGX_ERROR);
        return;
    }

    when = ngx_time();

    lines.data = ngx_cpymem(text, &when, sizeof(when));
    p = ngx_http_acr_referred_list_print(&ask->there, lines.data);
    lines.len = p - lines.data;

    if (registry->zone->cache) {
        ngx_http_acr_cache_put(registry->zone->cache,
                               (uint64_t) registry->identity << 8
                               | NGX_HTTP_ACR_CACHE_REFERRED,
                               &ctx->repository, &ask->key,
                               ngx_http_acr_cache_stamp(registry->zone->cache),
                               text, p - text);
    }

    if (ngx_http_acr_referred_list_read(ask->list, &lines) != NGX_OK) {
        ngx_http_acr_fail_errno(ask->request, NGX_ERROR);
        return;
    }

    ngx_http_acr_referred_end(ask, NGX_OK);
}


static void
ngx_http_acr_referred_end(ngx_http_acr_referred_ask_t *ask, ngx_int_t rc)
{
    ngx_http_acr_get_ctx(ask->request)->cache_status = (rc == NGX_OK)
                                                       ? "MISS" : "STALE";

    ngx_http_acr_turn_give(&ask->turn, rc);

    ask->next(ask->request, ask->data, rc);
}
