
#include "ngx_http_acr_manifest.h"
#include "ngx_http_acr_through.h"
#include "../edge/ngx_http_acr_fill.h"
#include "../edge/ngx_http_acr_rule.h"
#include "../edge/ngx_http_acr_turn.h"


/* seconds for which an origin is believed that something is not there */
#define NGX_HTTP_ACR_THROUGH_MISSING  10

/* no change of what is here makes what an origin has said out of date */
#define NGX_HTTP_ACR_THROUGH_STAMP    ((uint64_t) -1)

/* ms that an origin may take to say whether a tag is what it was: there is
   something to send without it */
#define NGX_HTTP_ACR_THROUGH_PATIENCE 5000

/* ms after which a timer that keeps an exiting worker alive is set anew */
#define NGX_HTTP_ACR_THROUGH_GUARD    60000


/* what an origin has said of a tag or digest, as it is remembered */

typedef struct {
    time_t                          when;
    uint32_t                        source;    /* a hash of whom: another rule
                                                  asks anew */
    uint32_t                        result;    /* OK or MISSING */
} ngx_http_acr_through_asked_t;


struct ngx_http_acr_through_s {
    ngx_http_request_t             *request_of;
    ngx_http_acr_rule_found_t       rule;

    acr_digest_t                    content;   /* of a blob */
    ngx_str_t                       question;  /* of those, one is asked at a
                                                  time */
    ngx_http_acr_turn_t             turn;
    ngx_http_acr_remote_request_t   request;
    ngx_http_acr_fetch_header_t     accept;
    ngx_event_t                     guard;

    /* what is here of a tag */
    off_t                           size;
    ngx_str_t                       type;
    ngx_str_t                       digest;

    ngx_http_acr_next_pt            next;      /* instead of an answer... */
    void                           *data;      /* ...or NULL */

    unsigned                        here:1;
    unsigned                        by_tag:1;
    unsigned                        blob:1;    /* and not a manifest */
    unsigned                        asked:1;   /* what is here is sent now */
    unsigned                        unstored:1;
};


static void ngx_http_acr_through_cleanup(void *data);
static ngx_int_t ngx_http_acr_through_known(ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_through_asked_t *asked);
static void ngx_http_acr_through_note(ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_remote_result_e result);
static uint32_t ngx_http_acr_through_source(ngx_http_acr_through_t *through);
static ngx_int_t ngx_http_acr_through_take(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_through_shared(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_through_ask(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_uint_t head);
static ngx_int_t ngx_http_acr_through_path(ngx_http_request_t *r,
    ngx_http_acr_through_t *through);
static void ngx_http_acr_through_guard(ngx_event_t *ev);
static void ngx_http_acr_through_answered(
    ngx_http_acr_remote_request_t *request);
static void ngx_http_acr_through_answer(ngx_http_request_t *r,
    ngx_http_acr_through_t *through);
static ngx_uint_t ngx_http_acr_through_same(ngx_http_acr_through_t *through);
static ngx_uint_t ngx_http_acr_through_is(ngx_http_acr_through_t *through,
    ngx_str_t *digest);
static void ngx_http_acr_through_store(ngx_http_request_t *r,
    ngx_http_acr_through_t *through);
static void ngx_http_acr_through_stored(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_through_end(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_http_acr_remote_result_e result);
static void ngx_http_acr_through_go_on(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_http_acr_remote_result_e result);
static void ngx_http_acr_through_stale(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_http_acr_remote_result_e result);
static void ngx_http_acr_through_fail(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_http_acr_remote_result_e result);
static void ngx_http_acr_through_follow(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_uint_t has);
static void ngx_http_acr_through_unsaid(ngx_http_request_t *r);
static void ngx_http_acr_through_whole(ngx_http_request_t *r, off_t size);


/* everything that a registry may have, what we know best first; some give
   schema 1 to those who ask for anything */

static ngx_str_t  ngx_http_acr_through_accept = ngx_string(
    "application/vnd.oci.image.index.v1+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.oci.artifact.manifest.v1+json");


ngx_int_t
ngx_http_acr_through_namespace(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    u_char     *buf;
    ngx_int_t   rc;
    ngx_str_t   host;

    if (!ngx_http_acr_rule_any(ctx)) {
        return NGX_OK;
    }

    rc = ngx_http_acr_arg(r, "ns", &host);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    if (rc == NGX_OK && ngx_http_acr_through_own(ctx, &host)) {
        return NGX_OK;
    }

    buf = ngx_pnalloc(r->pool, ACR_NAME_MAX);

    if (buf == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NGX_DONE;
    }

    if (rc != NGX_OK
        || ngx_http_acr_rule_target(ctx, &host, &ctx->repository,
                                    &ctx->repository, buf)
           != NGX_OK)
    {
        ngx_http_acr_fail(r, ACR_E_NAME_UNKNOWN,
                          "no repository is filled from there", "name",
                          &ctx->repository);
        return NGX_DONE;
    }

    /* it is the host of a rule */

    if (ngx_http_acr_header(r, "OCI-Namespace", &host) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NGX_DONE;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_http_acr_through_own(ngx_http_acr_ctx_t *ctx, ngx_str_t *host)
{
    ngx_http_complex_value_t  *service;

    service = ctx->conf->auth.service;

    return service && service->lengths == NULL
           && service->value.len == host->len
           && ngx_strncasecmp(service->value.data, host->data, host->len) == 0;
}


ngx_http_acr_meta_status_e
ngx_http_acr_through_status(ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_meta_reply_t *reply)
{
    /* of what is there nothing follows */

    if (reply->status == NGX_HTTP_ACR_META_LOCKED && reply->n
        && ctx->through == NULL)
    {
        return NGX_HTTP_ACR_META_MISS;
    }

    return reply->status;
}


ngx_int_t
ngx_http_acr_through_begin(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_pool_cleanup_t      *cln;
    ngx_http_acr_through_t  *through;

    if (!ngx_http_acr_rule_any(ctx)) {
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_through_t));

    if (cln == NULL) {
        return NGX_ERROR;
    }

    through = cln->data;

    ngx_memzero(through, sizeof(ngx_http_acr_through_t));

    if (ngx_http_acr_rule_find(ctx, &ctx->repository, &through->rule)
        != NGX_OK)
    {
        return NGX_OK;
    }

    through->request_of = r;
    through->by_tag = (ctx->digest.len == 0);
    through->question = ctx->reference;

    cln->handler = ngx_http_acr_through_cleanup;

    ctx->through = through;
    ctx->cache_status = "HIT";

    return NGX_OK;
}


static void
ngx_http_acr_through_cleanup(void *data)
{
    ngx_http_acr_through_t *through = data;

    ngx_http_acr_remote_cancel(&through->request);
    ngx_http_acr_turn_leave(&through->turn);

    if (through->guard.timer_set) {
        ngx_del_timer(&through->guard);
    }
}


/* --- what is not here, or may be out of date */

ngx_int_t
ngx_http_acr_through_manifest(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_through_asked_t  asked;

    if (ctx->through->asked) {
        return NGX_DECLINED;
    }

    if (ngx_http_acr_through_known(ctx, &asked) == NGX_OK
        && asked.result == NGX_HTTP_ACR_REMOTE_MISSING
        && ngx_time() - asked.when < NGX_HTTP_ACR_THROUGH_MISSING)
    {
        return NGX_DECLINED;
    }

    return ngx_http_acr_through_take(r, ctx);
}


ngx_int_t
ngx_http_acr_through_tag(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    off_t size, ngx_str_t *type)
{
    time_t                         valid;
    ngx_http_acr_through_t        *through;
    ngx_http_acr_through_asked_t   asked;

    through = ctx->through;

    if (through->asked) {

        if (through->here) {
            ctx->cache_status = ngx_http_acr_through_is(through, &ctx->digest)
                                ? "REVALIDATED" : "EXPIRED";
        }

        return NGX_DECLINED;
    }

    through->here = 1;
    through->size = size;
    through->type = *type;
    through->digest = ctx->digest;

    if (ngx_http_acr_through_known(ctx, &asked) != NGX_OK) {
        return ngx_http_acr_through_take(r, ctx);
    }

    valid = through->rule.valid;

    if (asked.result == NGX_HTTP_ACR_REMOTE_MISSING) {
        valid = ngx_min(valid, NGX_HTTP_ACR_THROUGH_MISSING);
    }

    if (ngx_time() - asked.when >= valid) {
        return ngx_http_acr_through_take(r, ctx);
    }

    if (asked.result == NGX_HTTP_ACR_REMOTE_OK) {
        return NGX_DECLINED;
    }

    ngx_http_acr_through_go_on(r, through, asked.result);

    return NGX_OK;
}


void
ngx_http_acr_through_fetch(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_str_t *here, ngx_http_acr_next_pt next, void *data)
{
    ngx_http_acr_through_t  *through;

    through = ctx->through;

    through->next = next;
    through->data = data;

    if (here) {
        through->here = 1;
        through->digest = *here;
    }

    (void) ngx_http_acr_through_take(r, ctx);
}


void
ngx_http_acr_through_has(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_next_pt next, void *data)
{
    ctx->through->next = next;
    ctx->through->data = data;
    ctx->through->blob = 1;

    ngx_http_acr_through_unsaid(r);
}


static ngx_int_t
ngx_http_acr_through_known(ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_through_asked_t *asked)
{
    ngx_http_acr_registry_t  *registry;

    registry = ctx->registry;

    if (registry->zone->cache == NULL
        || ngx_http_acr_cache_get(registry->zone->cache,
                                  (uint64_t) registry->identity << 8
                                  | NGX_HTTP_ACR_CACHE_ASKED,
                                  &ctx->repository, &ctx->reference,
                                  (u_char *) asked, sizeof(*asked))
           != sizeof(*asked)
        || asked->source != ngx_http_acr_through_source(ctx->through))
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void
ngx_http_acr_through_note(ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_remote_result_e result)
{
    ngx_http_acr_registry_t       *registry;
    ngx_http_acr_through_asked_t   asked;

    registry = ctx->registry;

    if (registry->zone->cache == NULL) {
        return;
    }

    asked.when = ngx_time();
    asked.source = ngx_http_acr_through_source(ctx->through);
    asked.result = result;

    ngx_http_acr_cache_put(registry->zone->cache,
                           (uint64_t) registry->identity << 8
                           | NGX_HTTP_ACR_CACHE_ASKED,
                           &ctx->repository, &ctx->reference,
                           NGX_HTTP_ACR_THROUGH_STAMP,
                           (u_char *) &asked, sizeof(asked));
}


static uint32_t
ngx_http_acr_through_source(ngx_http_acr_through_t *through)
{
    uint32_t    hash;
    ngx_str_t  *host, *source;

    host = &through->rule.remote->host;
    source = &through->rule.source;

    ngx_crc32_init(hash);
    ngx_crc32_update(&hash, host->data, host->len);
    ngx_crc32_update(&hash, (u_char *) "/", 1);
    ngx_crc32_update(&hash, source->data, source->len);
    ngx_crc32_final(hash);

    return hash;
}


/* --- the origin */

static ngx_int_t
ngx_http_acr_through_take(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_through_t  *through;

    through = ctx->through;

    if (!through->here) {
        ctx->cache_status = "MISS";
    }

    if (ngx_http_acr_turn_take(r, &through->turn, &through->question,
                               ngx_http_acr_through_shared, through)
        == NGX_OK)
    {
        ngx_http_acr_through_ask(r, through, through->here || through->blob);
    }

    return NGX_OK;
}


/* another request has asked, and this is the result; or it was given up */

static void
ngx_http_acr_through_shared(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_through_t *through = data;

    if (rc == NGX_AGAIN) {
        (void) ngx_http_acr_through_take(r, ngx_http_acr_get_ctx(r));
        return;
    }

    ngx_http_acr_through_go_on(r, through, rc);
}


/* it is carried to its end even if this client leaves */

static void
ngx_http_acr_through_ask(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_uint_t head)
{
    ngx_http_acr_remote_request_t  *request;

    request = &through->request;

    ngx_memzero(request, sizeof(ngx_http_acr_remote_request_t));

    ngx_str_set(&through->accept.name, "Accept");
    through->accept.value = ngx_http_acr_through_accept;

    if (head) {
        ngx_str_set(&request->method, "HEAD");
        request->timeout = ngx_min(through->rule.remote->timeout,
                                   NGX_HTTP_ACR_THROUGH_PATIENCE);
    }

    request->remote = through->rule.remote;
    request->headers = &through->accept;
    request->nheaders = 1;
    request->max = ngx_http_acr_get_ctx(r)->conf->max_manifest_size;
    request->done = ngx_http_acr_through_answered;
    request->data = through;

    through->guard.handler = ngx_http_acr_through_guard;
    through->guard.data = through;
    through->guard.log = ngx_cycle->log;

    if (ngx_http_acr_through_path(r, through) != NGX_OK
        || ngx_http_acr_remote_start(request) != NGX_OK)
    {
        ngx_http_acr_through_end(r, through, NGX_HTTP_ACR_REMOTE_FAILED);
        return;
    }

    ngx_add_timer(&through->guard, NGX_HTTP_ACR_THROUGH_GUARD);

    ngx_http_acr_get_ctx(r)->committing = 1;
    ngx_http_acr_enter(r);
}


/* names, tags and digests need no escaping */

static ngx_int_t
ngx_http_acr_through_path(ngx_http_request_t *r,
    ngx_http_acr_through_t *through)
{
    char       *kind;
    ngx_str_t  *path, *scope, *reference;

    kind = through->blob ? "blobs" : "manifests";
    path = &through->request.path;
    scope = &through->request.scope;
    reference = &ngx_http_acr_get_ctx(r)->reference;

    path->data = ngx_pnalloc(r->pool, sizeof("/v2//manifests/")
                                      + through->rule.source.len
                                      + reference->len);
    scope->data = ngx_pnalloc(r->pool, sizeof("repository::pull")
                                       + through->rule.source.len);

    if (path->data == NULL || scope->data == NULL) {
        return NGX_ERROR;
    }

    path->len = ngx_sprintf(path->data, "/v2/%V/%s/%V", &through->rule.source,
                            kind, reference)
                - path->data;
    scope->len = ngx_sprintf(scope->data, "repository:%V:pull",
                             &through->rule.source)
                 - scope->data;

    return NGX_OK;
}


static void
ngx_http_acr_through_guard(ngx_event_t *ev)
{
    ngx_add_timer(ev, NGX_HTTP_ACR_THROUGH_GUARD);
}


static void
ngx_http_acr_through_answered(ngx_http_acr_remote_request_t *request)
{
    ngx_connection_t        *c;
    ngx_http_request_t      *r;
    ngx_http_acr_through_t  *through;

    through = request->data;
    r = through->request_of;
    c = r->connection;

    ngx_del_timer(&through->guard);

    if (ngx_http_acr_leave(r) == NGX_OK) {
        ngx_http_acr_through_answer(r, through);
    }

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_acr_through_answer(ngx_http_request_t *r,
    ngx_http_acr_through_t *through)
{
    ngx_uint_t                      level;
    ngx_http_acr_remote_request_t  *request;

    request = &through->request;

    if (request->result != NGX_HTTP_ACR_REMOTE_OK) {
        level = (request->result == NGX_HTTP_ACR_REMOTE_MISSING)
                ? NGX_LOG_INFO : NGX_LOG_ERR;

        ngx_log_error(level, r->connection->log, 0,
                      "acr: %s \"%V\" of \"%V/%V\" was not fetched: %V",
                      through->blob ? "blob" : "manifest",
                      &ngx_http_acr_get_ctx(r)->reference,
                      &through->rule.remote->host, &through->rule.source,
                      &request->error);

        ngx_http_acr_through_end(r, through, request->result);
        return;
    }

    if (through->blob) {
        ngx_http_acr_through_end(r, through, NGX_HTTP_ACR_REMOTE_OK);
        return;
    }

    if (request->method.len) {

        if (ngx_http_acr_through_same(through)) {
            ngx_http_acr_through_end(r, through, NGX_HTTP_ACR_REMOTE_OK);
            return;
        }

        ngx_http_acr_through_ask(r, through, 0);
        return;
    }

    ngx_http_acr_through_store(r, through);
}


/* a HEAD: the tag there names what it names here */

static ngx_uint_t
ngx_http_acr_through_same(ngx_http_acr_through_t *through)
{
    ngx_str_t  digest;

    return ngx_http_acr_remote_header(&through->request,
                                      "Docker-Content-Digest", &digest)
           == NGX_OK
           && ngx_http_acr_through_is(through, &digest);
}


/* what the tag has named here when the request came */

static ngx_uint_t
ngx_http_acr_through_is(ngx_http_acr_through_t *through, ngx_str_t *digest)
{
    return digest->len == through->digest.len
           && ngx_memcmp(digest->data, through->digest.data, digest->len)
              == 0;
}


static void
ngx_http_acr_through_store(ngx_http_request_t *r,
    ngx_http_acr_through_t *through)
{
    u_char              *p;
    ngx_str_t            type, *answer;
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);
    answer = &through->request.answer;

    if (ngx_http_acr_remote_header(&through->request, "Content-Type", &type)
        != NGX_OK)
    {
        ngx_str_null(&type);
    }

    p = ngx_pnalloc(r->pool, answer->len + type.len + 1);

    if (p == NULL) {
        ngx_http_acr_through_end(r, through, NGX_HTTP_ACR_REMOTE_FAILED);
        return;
    }

    ngx_memcpy(p, answer->data, answer->len);
    type.data = ngx_cpymem(p + answer->len, type.data, type.len) - type.len;

    if (through->by_tag) {
        ngx_str_null(&ctx->digest);
    }

    ngx_http_acr_manifest_store(r, ctx, &type, p, answer->len,
                                ngx_http_acr_through_stored, through);
}


static void
ngx_http_acr_through_stored(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_through_t *through = data;

    ngx_http_acr_remote_result_e   result;

    switch (rc) {

    case NGX_OK:
        result = NGX_HTTP_ACR_REMOTE_OK;
        break;

    case NGX_DECLINED:

        /* what is locked stays as it is; what is not here will not be */

        result = NGX_HTTP_ACR_REMOTE_DENIED;

        if (through->here) {
            result = NGX_HTTP_ACR_REMOTE_OK;
        }

        break;

    default:
        through->unstored = (rc == NGX_ERROR);

        ngx_log_error(NGX_LOG_ERR, r->connection->log, rc > 0 ? rc : 0,
                      "acr: manifest \"%V\" of \"%V/%V\" %s",
                      &ngx_http_acr_get_ctx(r)->reference,
                      &through->rule.remote->host, &through->rule.source,
                      (rc == NGX_ABORT) ? "is none, or has another digest"
                                        : "cannot be stored");

        result = NGX_HTTP_ACR_REMOTE_FAILED;
    }

    ngx_http_acr_through_end(r, through, result);
}


/* --- and the answer */

static void
ngx_http_acr_through_end(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_http_acr_remote_result_e result)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    ctx->committing = 0;

    if (!through->blob
        && (result == NGX_HTTP_ACR_REMOTE_OK
            || result == NGX_HTTP_ACR_REMOTE_MISSING))
    {
        ngx_http_acr_through_note(ctx, result);
    }

    ngx_http_acr_turn_give(&through->turn, result);

    if (ctx->gone) {
        ngx_http_acr_finalize(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_through_go_on(r, through, result);
}


static void
ngx_http_acr_through_go_on(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_http_acr_remote_result_e result)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    through->asked = 1;

    if (through->next) {
        through->next(r, through->data, result);
        return;
    }

    if (result == NGX_HTTP_ACR_REMOTE_OK && through->blob) {
        ngx_http_acr_through_follow(r, through, 1);
        return;
    }

    if (result == NGX_HTTP_ACR_REMOTE_OK) {

        if (through->by_tag) {
            ngx_str_null(&ctx->digest);
        }

        ngx_http_acr_manifest_look_up(r, ctx);
        return;
    }

    if (through->here
        && !(result == NGX_HTTP_ACR_REMOTE_MISSING && through->rule.gone))
    {
        ngx_http_acr_through_stale(r, through, result);
        return;
    }

    ngx_http_acr_through_fail(r, through, result);
}


/*
 * The last that is known.  RFC 9111 has no Warning any more, but clients of
 * registries print it: OCI distribution-spec "Warnings".
 */

static void
ngx_http_acr_through_stale(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_http_acr_remote_result_e result)
{
    ngx_str_t           *text;
    ngx_http_acr_ctx_t  *ctx;

    static ngx_str_t  warnings[] = {
        ngx_string("299 - \"the origin does not answer, this may be out of "
                   "date\""),
        ngx_string("299 - \"the origin does not have this tag any more\"")
    };

    ctx = ngx_http_acr_get_ctx(r);

    text = &warnings[result == NGX_HTTP_ACR_REMOTE_MISSING];

    ctx->cache_status = "STALE";
    ctx->digest = through->digest;

    if (ngx_http_acr_header(r, "Warning", text) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_send_content(r, through->size, &through->type, 1,
                              ACR_E_MANIFEST_UNKNOWN);
}


static void
ngx_http_acr_through_fail(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_http_acr_remote_result_e result)
{
    char       *key;
    ngx_str_t  *reference;

    key = through->blob ? "digest" : "reference";
    reference = &ngx_http_acr_get_ctx(r)->reference;

    if (through->unstored) {
        ngx_http_acr_fail(r, ACR_E_UNAVAILABLE, "it cannot be stored", key,
                          reference);
        return;
    }

    switch (result) {

    case NGX_HTTP_ACR_REMOTE_MISSING:
        ngx_http_acr_fail(r, through->blob ? ACR_E_BLOB_UNKNOWN
                                           : ACR_E_MANIFEST_UNKNOWN,
                          NULL, key, reference);
        return;

    case NGX_HTTP_ACR_REMOTE_DENIED:
        ngx_http_acr_fail(r, ACR_E_DENIED, "the origin does not give it",
                          key, reference);
        return;

    case NGX_HTTP_ACR_REMOTE_LIMITED:
        ngx_http_acr_fail(r, ACR_E_TOOMANYREQUESTS, "the origin has a limit",
                          key, reference);
        return;

    default:
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_GATEWAY, ACR_E_UNAVAILABLE,
                                 "the origin does not answer", key,
                                 reference);
    }
}


/* --- blobs */

void
ngx_http_acr_through_blob(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    acr_digest_t *digest)
{
    ctx->cache_status = "MISS";
    ctx->through->blob = 1;
    ctx->through->content = *digest;

    ngx_http_acr_through_follow(r, ctx->through, 0);
}


static void
ngx_http_acr_through_follow(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_uint_t has)
{
    ngx_http_acr_source_t  source;

    source.remote = through->rule.remote;
    source.repository = through->rule.source;
    source.has = has;

    ngx_http_acr_follow(r, &through->content, &source,
                        ngx_http_acr_through_whole,
                        ngx_http_acr_through_unsaid);
}


/*
 * The content is here, but not by this origin: it is asked whether the
 * repository has it.  Else whoever knows a digest could have what he may not
 * read where it is.
 */

static void
ngx_http_acr_through_unsaid(ngx_http_request_t *r)
{
    ngx_http_acr_through_t  *through;

    static ngx_str_t  blob = ngx_string("blobs/");

    through = ngx_http_acr_get_ctx(r)->through;

    /* the same digest may be asked for as a manifest */

    through->question.len = blob.len
                            + ngx_http_acr_get_ctx(r)->reference.len;
    through->question.data = ngx_pnalloc(r->pool, through->question.len);

    if (through->question.data == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    (void) ngx_sprintf(through->question.data, "%V%V", &blob,
                       &ngx_http_acr_get_ctx(r)->reference);

    (void) ngx_http_acr_through_take(r, ngx_http_acr_get_ctx(r));
}


static void
ngx_http_acr_through_whole(ngx_http_request_t *r, off_t size)
{
    static ngx_str_t  type = ngx_string("application/octet-stream");

    ngx_http_acr_send_content(r, size, &type, 0, ACR_E_BLOB_UNKNOWN);
}
