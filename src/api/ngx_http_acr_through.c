
#include "ngx_http_acr_through_core.h"


/* seconds for which an origin is believed that something is not there */
#define NGX_HTTP_ACR_THROUGH_MISSING  10

/* no change of what is here makes what an origin has said out of date */
#define NGX_HTTP_ACR_THROUGH_STAMP    ((uint64_t) -1)


/* what an origin has said of a tag or digest, as it is remembered */

typedef struct {
    time_t                          when;
    uint32_t                        source;    /* a hash of whom: another rule
                                                  asks anew */
    uint32_t                        result;    /* OK or MISSING */
} ngx_http_acr_through_asked_t;


static void ngx_http_acr_through_cleanup(void *data);
static ngx_int_t ngx_http_acr_through_known(ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_through_asked_t *asked);
static uint32_t ngx_http_acr_through_whom(ngx_http_acr_through_t *through);


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
ngx_http_acr_through_begin(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_rule_found_t *rule)
{
    ngx_pool_cleanup_t      *cln;
    ngx_http_acr_through_t  *through;

    if (rule == NULL && !ngx_http_acr_rule_any(ctx)) {
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_through_t));

    if (cln == NULL) {
        return NGX_ERROR;
    }

    through = cln->data;

    ngx_memzero(through, sizeof(ngx_http_acr_through_t));

    if (rule) {
        through->rule = *rule;
        through->rule.source.data = through->rule.name;

    } else if (ngx_http_acr_rule_find(ctx, &ctx->repository, &through->rule)
               != NGX_OK)
    {
        return NGX_OK;
    }

    through->request_of = r;
    through->by_tag = (ctx->digest.len == 0);

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

    ngx_http_acr_through_take(r, ctx);

    return NGX_OK;
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
        ngx_http_acr_through_take(r, ctx);
        return NGX_OK;
    }

    valid = through->rule.valid;

    if (asked.result == NGX_HTTP_ACR_REMOTE_MISSING) {
        valid = ngx_min(valid, NGX_HTTP_ACR_THROUGH_MISSING);
    }

    if (ngx_time() - asked.when >= valid) {
        ngx_http_acr_through_take(r, ctx);
        return NGX_OK;
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

    ngx_http_acr_through_take(r, ctx);
}


void
ngx_http_acr_through_has(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_next_pt next, void *data)
{
    ctx->through->next = next;
    ctx->through->data = data;
    ctx->through->blob = 1;

    ngx_http_acr_through_take(r, ctx);
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
        || asked->source != ngx_http_acr_through_whom(ctx->through))
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


void
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
    asked.source = ngx_http_acr_through_whom(ctx->through);
    asked.result = result;

    ngx_http_acr_cache_put(registry->zone->cache,
                           (uint64_t) registry->identity << 8
                           | NGX_HTTP_ACR_CACHE_ASKED,
                           &ctx->repository, &ctx->reference,
                           NGX_HTTP_ACR_THROUGH_STAMP,
                           (u_char *) &asked, sizeof(asked));
}


static uint32_t
ngx_http_acr_through_whom(ngx_http_acr_through_t *through)
{
    ngx_http_acr_source_t  source;

    ngx_http_acr_through_source(through, 0, &source);

    return ngx_http_acr_fill_source(&source);
}


void
ngx_http_acr_through_source(ngx_http_acr_through_t *through, ngx_uint_t has,
    ngx_http_acr_source_t *source)
{
    source->remote = through->rule.remote;
    source->repository = through->rule.source;
    source->has = has;
}


ngx_uint_t
ngx_http_acr_through_is(ngx_http_acr_through_t *through, ngx_str_t *digest)
{
    return digest->len == through->digest.len
           && ngx_memcmp(digest->data, through->digest.data, digest->len)
              == 0;
}


void
ngx_http_acr_through_blob(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    acr_digest_t *digest)
{
    ctx->cache_status = "MISS";
    ctx->through->blob = 1;
    ctx->through->content = *digest;

    ngx_http_acr_through_follow(r, ctx->through, 0);
}
