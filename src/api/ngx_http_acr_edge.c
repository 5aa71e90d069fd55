
#include "ngx_http_acr_edge.h"
#include "ngx_http_acr_metrics.h"
#include "ngx_http_acr_through.h"
#include "../auth/ngx_http_acr_auth.h"
#include "../edge/ngx_http_acr_evict.h"
#include "../edge/ngx_http_acr_fill.h"
#include "../edge/ngx_http_acr_turn.h"


/* what the origin has said of a blob in a repository, as it is remembered */

typedef struct {
    time_t                          when;
    uint64_t                        generation;
    off_t                           size;      /* -1: it is there no more */
} ngx_http_acr_held_t;


typedef struct {
    ngx_http_request_t             *owner;
    acr_digest_t                    digest;
    ngx_http_acr_held_t             held;
    ngx_http_acr_turn_t             turn;
    ngx_http_acr_remote_request_t   request;
    ngx_event_t                     guard;
    unsigned                        known:1;   /* held is of some time */
} ngx_http_acr_edge_t;


/* ms after which a timer that keeps an exiting worker alive is set anew */
#define NGX_HTTP_ACR_EDGE_GUARD    60000

/* times that a request has something fetched */
#define NGX_HTTP_ACR_EDGE_REFILLS  3


static ngx_int_t ngx_http_acr_edge_handler(ngx_http_request_t *r);
static void ngx_http_acr_edge_route(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_edge_write(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, acr_path_e resource);
static ngx_uint_t ngx_http_acr_edge_basic(ngx_http_request_t *r);
static void ngx_http_acr_edge_admitted(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_edge_go_on(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_edge_blob(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_edge_cleanup(void *data);
static ngx_uint_t ngx_http_acr_edge_held(ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_edge_t *edge);
static void ngx_http_acr_edge_note(ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_edge_t *edge, off_t size);
static uint64_t ngx_http_acr_edge_kind(ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_edge_take(ngx_http_request_t *r,
    ngx_http_acr_edge_t *edge);
static void ngx_http_acr_edge_shared(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_edge_ask(ngx_http_request_t *r,
    ngx_http_acr_edge_t *edge);
static void ngx_http_acr_edge_guard(ngx_event_t *ev);
static void ngx_http_acr_edge_answered(
    ngx_http_acr_remote_request_t *request);
static ngx_http_acr_remote_result_e ngx_http_acr_edge_result(
    ngx_http_request_t *r, ngx_http_acr_edge_t *edge);
static void ngx_http_acr_edge_told(ngx_http_request_t *r,
    ngx_http_acr_edge_t *edge, ngx_http_acr_remote_result_e result);
static void ngx_http_acr_edge_fail(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, ngx_http_acr_remote_result_e result);
static void ngx_http_acr_edge_send(ngx_http_request_t *r,
    ngx_http_acr_edge_t *edge);
static ngx_int_t ngx_http_acr_edge_open(ngx_http_request_t *r,
    acr_digest_t *digest);
static void ngx_http_acr_edge_follow(ngx_http_request_t *r,
    acr_digest_t *digest);
static void ngx_http_acr_edge_whole(ngx_http_request_t *r, off_t size);


char *
ngx_http_acr_set_origin(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_acr_loc_conf_t *alcf = conf;

    ngx_str_t  *value, s;

    if (alcf->origin != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 3) {

        if (ngx_strncmp(value[2].data, "valid=", 6) != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" of \"acr_origin\"",
                               &value[2]);
            return NGX_CONF_ERROR;
        }

        s.data = value[2].data + 6;
        s.len = value[2].len - 6;

        alcf->origin_valid = ngx_parse_time(&s, 1);

        if (alcf->origin_valid == (time_t) NGX_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" of \"acr_origin\" is no time",
                               &value[2]);
            return NGX_CONF_ERROR;
        }
    }

    alcf->origin = ngx_http_acr_remote_conf(cf, &value[1]);

    return (alcf->origin == NULL) ? NGX_CONF_ERROR : NGX_CONF_OK;
}


ngx_int_t
ngx_http_acr_edge_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *handler;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    handler = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);

    if (handler == NULL) {
        return NGX_ERROR;
    }

    *handler = ngx_http_acr_edge_handler;

    ngx_http_acr_edge_answer_init();

    return NGX_OK;
}


/*
 * The last phase before that of the content, which is proxy_pass's.  It is come
 * to once more when the request goes on there.
 */

static ngx_int_t
ngx_http_acr_edge_handler(ngx_http_request_t *r)
{
    ngx_http_acr_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_acr_module);

    if (!conf->edge || r != r->main || ngx_http_acr_get_ctx(r)) {
        return NGX_DECLINED;
    }

    /* as the content phase does it: no event runs the phases on, and what its
       handler returns is told */

    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_http_finalize_request(r, ngx_http_acr_handle(r,
                                                     ngx_http_acr_edge_route));
    return NGX_DONE;
}


static void
ngx_http_acr_edge_route(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_int_t   rc;
    ngx_str_t   host;
    ngx_uint_t  all, any;
    acr_path_e  resource;

    if (ngx_http_acr_route_path(r, ctx, &resource) != NGX_OK) {
        return;
    }

    /* the origin may have another repository for that than the one of the path,
       for which rights are looked at here */

    rc = ngx_http_acr_arg(r, "ns", &host);

    if (ctx->repository.len && rc != NGX_DECLINED
        && (rc != NGX_OK || !ngx_http_acr_through_own(ctx, &host)))
    {
        ngx_http_acr_fail(r, ACR_E_NAME_UNKNOWN,
                          "an edge node knows no other registry", "name",
                          &ctx->repository);
        return;
    }

    if (r->method == NGX_HTTP_POST
        && (resource == ACR_PATH_TOKEN || resource == ACR_PATH_EXCHANGE))
    {
        (void) ngx_http_acr_route_rights(r, ctx, resource, &all, &any);
        ngx_http_acr_metrics_begin(ctx);
        ngx_http_acr_edge_token(r, ctx);
        return;
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))
        || ngx_http_acr_route_rights(r, ctx, resource, &all, &any) != NGX_OK)
    {
        ngx_http_acr_edge_write(r, ctx, resource);
        return;
    }

    ngx_http_acr_metrics_begin(ctx);

    switch (resource) {

    case ACR_PATH_BASE:
        ngx_http_acr_authenticate(r, ctx, 1, ngx_http_acr_base_get);
        return;

    case ACR_PATH_TOKEN:
        ngx_http_acr_edge_token(r, ctx);
        return;

    case ACR_PATH_KEYS:
        ngx_http_acr_edge_go_on(r, ctx);
        return;

    case ACR_PATH_BLOB:
        ngx_http_acr_discard(r);
        ngx_http_acr_authorize(r, ctx, all, any, ngx_http_acr_edge_blob);
        return;

    case ACR_PATH_EXTENSIONS:

        if (ctx->repository.len == 0) {
            ngx_http_acr_authenticate(r, ctx, 1, ngx_http_acr_edge_admitted);
            return;
        }

        break;

    default:
        break;
    }

    ngx_http_acr_authorize(r, ctx, all, any, ngx_http_acr_edge_admitted);
}


/*
 * The origin knows what may be done there, and who may.  But those without a
 * token for it are refused here: it gets no bodies that are for nothing, and
 * counts no wrong tokens for the address of this node.  Passwords it alone
 * knows.
 */

static void
ngx_http_acr_edge_write(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    acr_path_e resource)
{
    ngx_int_t   rc;
    ngx_uint_t  all, any;

    rc = ngx_http_acr_route_rights(r, ctx, resource, &all, &any);

    ngx_http_acr_metrics_begin(ctx);

    if (rc != NGX_OK || ngx_http_acr_edge_basic(r)) {
        ngx_http_acr_edge_go_on(r, ctx);
        return;
    }

    ngx_http_acr_authorize(r, ctx, all, any, ngx_http_acr_edge_admitted);
}


static ngx_uint_t
ngx_http_acr_edge_basic(ngx_http_request_t *r)
{
    ngx_str_t  *value;

    if (r->headers_in.authorization == NULL) {
        return 0;
    }

    value = &r->headers_in.authorization->value;

    return value->len >= sizeof("Basic ") - 1
           && ngx_strncasecmp(value->data, (u_char *) "Basic ",
                              sizeof("Basic ") - 1)
              == 0;
}


static void
ngx_http_acr_edge_admitted(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_edge_go_on(r, ctx);
}


/* to the next phase, that of proxy_pass, whose the reference is now */

static void
ngx_http_acr_edge_go_on(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    if (ctx->gone) {
        ngx_http_acr_finalize(r, NGX_ERROR);
        return;
    }

    r->write_event_handler = ngx_http_core_run_phases;
    r->phase_handler++;

    ngx_http_core_run_phases(r);
}


/* --- blobs */

static void
ngx_http_acr_edge_blob(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_pool_cleanup_t   *cln;
    ngx_http_acr_edge_t  *edge;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_edge_t));

    if (cln == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    edge = cln->data;

    ngx_memzero(edge, sizeof(ngx_http_acr_edge_t));

    edge->owner = r;

    if (ngx_http_acr_need_digest(r, &edge->digest, &ctx->reference) != NGX_OK)
    {
        return;
    }

    cln->handler = ngx_http_acr_edge_cleanup;

    if (ngx_http_acr_edge_held(ctx, edge)) {
        ngx_http_acr_edge_send(r, edge);
        return;
    }

    ngx_http_acr_edge_take(r, edge);
}


static void
ngx_http_acr_edge_cleanup(void *data)
{
    ngx_http_acr_edge_t *edge = data;

    ngx_http_acr_remote_cancel(&edge->request);
    ngx_http_acr_turn_leave(&edge->turn);

    if (edge->guard.timer_set) {
        ngx_del_timer(&edge->guard);
    }
}


/* has the origin said so, not too long ago? */

static ngx_uint_t
ngx_http_acr_edge_held(ngx_http_acr_ctx_t *ctx, ngx_http_acr_edge_t *edge)
{
    ngx_http_acr_zone_t  *zone;

    zone = ctx->registry->zone;

    if (zone->cache == NULL
        || ngx_http_acr_cache_get(zone->cache, ngx_http_acr_edge_kind(ctx),
                                  &ctx->repository, &ctx->digest,
                                  (u_char *) &edge->held, sizeof(edge->held))
           != sizeof(edge->held))
    {
        return 0;
    }

    edge->known = (edge->held.size >= 0);

    return edge->known
           && edge->held.generation == ngx_http_acr_generation(zone,
                                                            &ctx->repository,
                                                            &ctx->digest)
           && ngx_time() - edge->held.when < ctx->conf->origin_valid;
}


static void
ngx_http_acr_edge_note(ngx_http_acr_ctx_t *ctx, ngx_http_acr_edge_t *edge,
    off_t size)
{
    ngx_http_acr_zone_t  *zone;

    zone = ctx->registry->zone;

    edge->held.when = ngx_time();
    edge->held.size = size;

    if (zone->cache) {
        ngx_http_acr_cache_put(zone->cache, ngx_http_acr_edge_kind(ctx),
                               &ctx->repository, &ctx->digest,
                               ngx_http_acr_cache_stamp(zone->cache),
                               (u_char *) &edge->held, sizeof(edge->held));
    }
}


static uint64_t
ngx_http_acr_edge_kind(ngx_http_acr_ctx_t *ctx)
{
    return (uint64_t) ctx->registry->identity << 8
           | NGX_HTTP_ACR_CACHE_HELD;
}


/* one request asks, and all that wait are told */

static void
ngx_http_acr_edge_take(ngx_http_request_t *r, ngx_http_acr_edge_t *edge)
{
    if (ngx_http_acr_turn_take(r, &edge->turn,
                               &ngx_http_acr_get_ctx(r)->digest,
                               ngx_http_acr_edge_shared, edge)
        == NGX_OK)
    {
        ngx_http_acr_edge_ask(r, edge);
    }
}


static void
ngx_http_acr_edge_shared(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_edge_t *edge = data;

    if (rc == NGX_AGAIN) {
        ngx_http_acr_edge_take(r, edge);
        return;
    }

    if (rc == NGX_HTTP_ACR_REMOTE_OK
        && !ngx_http_acr_edge_held(ngx_http_acr_get_ctx(r), edge))
    {
        /* it has changed meanwhile, or is forgotten already */

        ngx_http_acr_edge_take(r, edge);
        return;
    }

    ngx_http_acr_edge_told(r, edge, rc);
}


/* by the node's own credentials: the client's right is its token's */

static void
ngx_http_acr_edge_ask(ngx_http_request_t *r, ngx_http_acr_edge_t *edge)
{
    ngx_http_acr_ctx_t             *ctx;
    ngx_http_acr_remote_request_t  *request;

    ctx = ngx_http_acr_get_ctx(r);
    request = &edge->request;

    edge->held.generation = ngx_http_acr_generation(ctx->registry->zone,
                                                    &ctx->repository,
                                                    &ctx->digest);

    ngx_str_set(&request->method, "HEAD");

    request->remote = ctx->registry->origin;
    request->done = ngx_http_acr_edge_answered;
    request->data = edge;

    request->path.data = ngx_pnalloc(r->pool, sizeof("/v2//blobs/")
                                              + ctx->repository.len
                                              + ctx->digest.len);
    request->scope.data = ngx_pnalloc(r->pool, sizeof("repository::pull")
                                               + ctx->repository.len);

    if (request->path.data == NULL || request->scope.data == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    request->path.len = ngx_sprintf(request->path.data, "/v2/%V/blobs/%V",
                                    &ctx->repository, &ctx->digest)
                        - request->path.data;
    request->scope.len = ngx_sprintf(request->scope.data,
                                     "repository:%V:pull", &ctx->repository)
                         - request->scope.data;

    edge->guard.handler = ngx_http_acr_edge_guard;
    edge->guard.data = edge;
    edge->guard.log = ngx_cycle->log;

    if (ngx_http_acr_remote_start(request) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_add_timer(&edge->guard, NGX_HTTP_ACR_EDGE_GUARD);
    ngx_http_acr_enter(r);
}


static void
ngx_http_acr_edge_guard(ngx_event_t *ev)
{
    ngx_add_timer(ev, NGX_HTTP_ACR_EDGE_GUARD);
}


static void
ngx_http_acr_edge_answered(ngx_http_acr_remote_request_t *request)
{
    ngx_connection_t               *c;
    ngx_http_request_t             *r;
    ngx_http_acr_edge_t            *edge;
    ngx_http_acr_remote_result_e    result;

    edge = request->data;
    r = edge->owner;
    c = r->connection;

    ngx_del_timer(&edge->guard);

    if (ngx_http_acr_leave(r) == NGX_OK) {
        result = ngx_http_acr_edge_result(r, edge);

        ngx_http_acr_turn_give(&edge->turn, result);
        ngx_http_acr_edge_told(r, edge, result);
    }

    ngx_http_run_posted_requests(c);
}


static ngx_http_acr_remote_result_e
ngx_http_acr_edge_result(ngx_http_request_t *r, ngx_http_acr_edge_t *edge)
{
    off_t                           size;
    ngx_str_t                       length;
    ngx_uint_t                      level;
    ngx_http_acr_ctx_t             *ctx;
    ngx_http_acr_remote_request_t  *request;

    ctx = ngx_http_acr_get_ctx(r);
    request = &edge->request;

    if (request->result != NGX_HTTP_ACR_REMOTE_OK) {
        level = (request->result == NGX_HTTP_ACR_REMOTE_MISSING)
                ? NGX_LOG_INFO : NGX_LOG_ERR;

        ngx_log_error(level, r->connection->log, 0,
                      "acr: origin \"%V\" was asked for \"%V\" of \"%V\": %V",
                      &request->remote->host, &ctx->digest, &ctx->repository,
                      &request->error);

        /* what was so before is not once more when the origin is down */

        if (edge->known
            && (request->result == NGX_HTTP_ACR_REMOTE_MISSING
                || request->result == NGX_HTTP_ACR_REMOTE_DENIED))
        {
            ngx_http_acr_edge_note(ctx, edge, -1);
        }

        return request->result;
    }

    size = NGX_ERROR;

    if (ngx_http_acr_remote_header(request, "Content-Length", &length)
        == NGX_OK)
    {
        size = ngx_atoof(length.data, length.len);
    }

    if (size == NGX_ERROR) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "acr: origin \"%V\" does not tell the size of \"%V\"",
                      &request->remote->host, &ctx->digest);

        return NGX_HTTP_ACR_REMOTE_FAILED;
    }

    ngx_http_acr_edge_note(ctx, edge, size);

    return NGX_HTTP_ACR_REMOTE_OK;
}


/* what was so once is so while the origin says nothing else */

static void
ngx_http_acr_edge_told(ngx_http_request_t *r, ngx_http_acr_edge_t *edge,
    ngx_http_acr_remote_result_e result)
{
    ngx_http_acr_ctx_t  *ctx;

    static ngx_str_t  warning = ngx_string(
                             "299 - \"the origin does not answer, this may be "
                             "out of date\"");

    ctx = ngx_http_acr_get_ctx(r);

    switch (result) {

    case NGX_HTTP_ACR_REMOTE_OK:
        ngx_http_acr_edge_send(r, edge);
        return;

    case NGX_HTTP_ACR_REMOTE_LIMITED:
    case NGX_HTTP_ACR_REMOTE_FAILED:

        if (!edge->known) {
            break;
        }

        if (ngx_http_acr_header(r, "Warning", &warning) != NGX_OK) {
            ngx_http_acr_fail_errno(r, NGX_ERROR);
            return;
        }

        ctx->cache_status = "STALE";
        ngx_http_acr_edge_send(r, edge);
        return;

    default:
        break;
    }

    ngx_http_acr_edge_fail(r, ctx, result);
}


static void
ngx_http_acr_edge_fail(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_remote_result_e result)
{
    switch (result) {

    case NGX_HTTP_ACR_REMOTE_MISSING:
        ngx_http_acr_fail(r, ACR_E_BLOB_UNKNOWN, NULL, "digest",
                          &ctx->digest);
        return;

    case NGX_HTTP_ACR_REMOTE_LIMITED:
        ngx_http_acr_fail(r, ACR_E_TOOMANYREQUESTS, "the origin has a limit",
                          "digest", &ctx->digest);
        return;

    case NGX_HTTP_ACR_REMOTE_DENIED:
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_GATEWAY, ACR_E_UNAVAILABLE,
                                 "the origin refuses this node", "digest",
                                 &ctx->digest);
        return;

    default:
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_GATEWAY, ACR_E_UNAVAILABLE,
                                 "the origin does not answer", "digest",
                                 &ctx->digest);
    }
}


static void
ngx_http_acr_edge_send(ngx_http_request_t *r, ngx_http_acr_edge_t *edge)
{
    ngx_buf_t  *b;

    static ngx_str_t  type = ngx_string("application/octet-stream");

    if (r->method == NGX_HTTP_HEAD) {
        b = ngx_calloc_buf(r->pool);

        if (b == NULL) {
            ngx_http_acr_fail_errno(r, NGX_ERROR);
            return;
        }

        ngx_http_acr_send_opened(r, edge->held.size, &type, 0,
                                 ACR_E_BLOB_UNKNOWN, b);
        return;
    }

    if (ngx_http_acr_edge_open(r, &edge->digest) == NGX_DECLINED) {
        ngx_http_acr_edge_follow(r, &edge->digest);
    }
}


/* NGX_DECLINED: it is not here; else the request is answered.  NULL: it was
   just fetched. */

static ngx_int_t
ngx_http_acr_edge_open(ngx_http_request_t *r, acr_digest_t *digest)
{
    off_t                size;
    ngx_buf_t           *b;
    ngx_int_t            rc;
    ngx_http_acr_ctx_t  *ctx;

    static ngx_str_t  type = ngx_string("application/octet-stream");

    ctx = ngx_http_acr_get_ctx(r);

    b = ngx_calloc_buf(r->pool);

    if (b == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NGX_ERROR;
    }

    size = NGX_HTTP_ACR_SIZE_UNKNOWN;

    rc = ngx_http_acr_open_content(r, &size, b);

    if (rc == NGX_DECLINED) {
        return NGX_DECLINED;
    }

    if (rc != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NGX_ERROR;
    }

    if (ctx->cache_status == NULL) {
        ctx->cache_status = "HIT";
    }

    if (digest) {
        ngx_http_acr_used(ctx->registry, digest);
    }

    ngx_http_acr_send_opened(r, size, &type, 0, ACR_E_BLOB_UNKNOWN, b);

    return NGX_OK;
}


static void
ngx_http_acr_edge_follow(ngx_http_request_t *r, acr_digest_t *digest)
{
    ngx_http_acr_ctx_t     *ctx;
    ngx_http_acr_source_t   source;

    ctx = ngx_http_acr_get_ctx(r);

    ctx->cache_status = "MISS";

    source.remote = ctx->registry->origin;
    source.repository = ctx->repository;
    source.has = 1;

    ngx_http_acr_follow(r, digest, &source, ngx_http_acr_edge_whole, NULL);
}


/* it came, but may be gone again: room was made for others */

static void
ngx_http_acr_edge_whole(ngx_http_request_t *r, off_t size)
{
    acr_digest_t         digest;
    ngx_http_acr_ctx_t  *ctx;

    if (ngx_http_acr_edge_open(r, NULL) != NGX_DECLINED) {
        return;
    }

    ctx = ngx_http_acr_get_ctx(r);

    if (++ctx->refills == NGX_HTTP_ACR_EDGE_REFILLS
        || acr_digest_parse(&digest, ctx->digest.data, ctx->digest.len)
           != ACR_OK)
    {
        ngx_http_acr_fail(r, ACR_E_UNAVAILABLE,
                          "what was fetched did not stay", "digest",
                          &ctx->digest);
        return;
    }

    ngx_http_acr_edge_follow(r, &digest);
}
