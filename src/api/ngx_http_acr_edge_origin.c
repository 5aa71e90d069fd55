
/*
 * What goes on from an edge node to its origin by nginx's proxy: whether it may
 * be asked, what has come of that, and what an answer is kept under.
 */

#include "ngx_http_acr_edge.h"


/*
 * A question that the breaker has let through.  What came of it is looked at
 * when the memory of the client's request goes: the log phase has no context
 * after error_page has led to a named location, and there is none for the
 * requests by which nginx renews its cache in the background.
 */

struct ngx_http_acr_asked_s {
    ngx_http_request_t         *request;   /* that asks: the client's, or one in
                                              the background */
    ngx_http_acr_remote_t      *origin;
    unsigned                    probe:1;
    unsigned                    pull:1;    /* of what anybody pulls */
};


static ngx_http_acr_asked_t *ngx_http_acr_origin_ask(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, ngx_http_acr_remote_t *origin);
static void ngx_http_acr_origin_asks(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_origin_over(void *data);
static ngx_int_t ngx_http_acr_origin_outcome(ngx_http_acr_asked_t *asked);
static ngx_http_upstream_state_t *ngx_http_acr_origin_state(
    ngx_http_request_t *r);
static ngx_uint_t ngx_http_acr_origin_says(ngx_http_upstream_t *u,
    const char *name);
static ngx_uint_t ngx_http_acr_origin_is(ngx_http_acr_ctx_t *ctx,
    const char *operation);
static uint64_t ngx_http_acr_origin_generation(ngx_http_acr_ctx_t *ctx);
static ngx_int_t ngx_http_acr_origin_args(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, ngx_str_t *text);


ngx_int_t
ngx_http_acr_origin_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_uint_t                up;
    ngx_http_acr_ctx_t       *ctx;
    ngx_http_acr_remote_t    *origin;
    ngx_http_acr_loc_conf_t  *conf;

    static ngx_str_t  states[] = { ngx_string("down"), ngx_string("up") };

    ctx = ngx_http_acr_get_ctx(r->main);
    conf = ngx_http_get_module_loc_conf(r, ngx_http_acr_module);
    origin = conf->origin;

    if (ctx == NULL || origin == NULL || origin->state == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    /* the breaker is asked once, and a log line says what was so then */

    if (ctx->asked == NULL && !ctx->refused) {
        ctx->asked = ngx_http_acr_origin_ask(r, ctx, origin);

        if (ctx->asked == NULL && !ctx->refused) {
            return NGX_ERROR;
        }
    }

    ngx_http_acr_origin_asks(r, ctx);

    up = (ctx->asked != NULL);

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = states[up].len;
    v->data = states[up].data;

    return NGX_OK;
}


/* NULL: it is refused, or there is no memory */

static ngx_http_acr_asked_t *
ngx_http_acr_origin_ask(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_remote_t *origin)
{
    ngx_int_t              rc;
    ngx_pool_cleanup_t    *cln;
    ngx_http_acr_asked_t  *asked;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_asked_t));

    if (cln == NULL) {
        return NULL;
    }

    rc = ngx_http_acr_breaker_pass(&origin->state->breaker, ngx_current_msec,
                                   origin->timeout);

    if (rc == NGX_DECLINED) {
        ctx->refused = 1;
        return NULL;
    }

    asked = cln->data;

    asked->request = r;
    asked->origin = origin;
    asked->probe = (rc == NGX_DONE);
    asked->pull = ngx_http_acr_origin_is(ctx, "manifest_get")
                  || ngx_http_acr_origin_is(ctx, "tags_get")
                  || ngx_http_acr_origin_is(ctx, "blob_get");

    cln->handler = ngx_http_acr_origin_over;

    return asked;
}


/*
 * Of a request in the background no phase comes by us: it begins with that of
 * the content, and what it has from $acr_origin is what its parent had.  But it
 * makes a key of its own.
 */

static void
ngx_http_acr_origin_asks(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    if (r != r->main && ctx->asked) {
        ctx->asked->request = r;
    }
}


static void
ngx_http_acr_origin_over(void *data)
{
    ngx_http_acr_asked_t *asked = data;

    ngx_http_acr_origin_told(asked->origin, ngx_http_acr_origin_outcome(asked),
                             asked->probe, asked->request->connection->log);
}


void
ngx_http_acr_origin_told(ngx_http_acr_remote_t *origin, ngx_int_t rc,
    ngx_uint_t probe, ngx_log_t *log)
{
    ngx_http_acr_breaker_t  *breaker;

    breaker = &origin->state->breaker;

    switch (rc) {

    case NGX_OK:

        if (ngx_http_acr_breaker_good(breaker)) {
            ngx_log_error(NGX_LOG_NOTICE, log, 0,
                          "acr: origin \"%V\" answers again", &origin->host);
        }

        return;

    case NGX_ERROR:

        if (ngx_http_acr_breaker_bad(breaker, ngx_current_msec, probe)) {
            ngx_log_error(NGX_LOG_WARN, log, 0,
                          "acr: origin \"%V\" is assumed to be down",
                          &origin->host);
        }

        return;

    default:

        if (probe) {
            ngx_http_acr_breaker_unsure(breaker, ngx_current_msec);
        }
    }
}


static ngx_int_t
ngx_http_acr_origin_outcome(ngx_http_acr_asked_t *asked)
{
    ngx_uint_t                  speaks;
    ngx_http_upstream_t        *u;
    ngx_http_upstream_state_t  *state;

    state = ngx_http_acr_origin_state(asked->request);

    /* the answer was in nginx's cache, or the client has left, or has sent
       something wrong, before there was one */

    if (state == NULL || state->status == 0) {
        return NGX_AGAIN;
    }

    if (state->status < NGX_HTTP_INTERNAL_SERVER_ERROR) {
        return NGX_OK;
    }

    /* there were no headers: it is nginx that says 502 or 504 */

    if (state->header_time == (ngx_msec_t) -1) {
        return NGX_ERROR;
    }

    u = asked->request->upstream;

    speaks = ngx_http_acr_origin_says(u, "Retry-After")
             || ((state->status == NGX_HTTP_BAD_GATEWAY
                  || state->status == NGX_HTTP_GATEWAY_TIME_OUT)
                 && ngx_http_acr_origin_says(u,
                                            "Docker-Distribution-Api-Version"));

    if (!ngx_http_acr_origin_dead(state->status, asked->pull, speaks)) {
        return NGX_OK;
    }

#if (NGX_HTTP_CACHE)

    /* its headers gave way to those of what was cached */

    if (u && u->cache_status == NGX_HTTP_CACHE_STALE) {
        return NGX_AGAIN;
    }

#endif

    return NGX_ERROR;
}


ngx_uint_t
ngx_http_acr_origin_dead(ngx_uint_t status, ngx_uint_t pull, ngx_uint_t speaks)
{
    if (status < NGX_HTTP_INTERNAL_SERVER_ERROR) {
        return 0;
    }

    switch (status) {

    case NGX_HTTP_BAD_GATEWAY:
    case NGX_HTTP_GATEWAY_TIME_OUT:
        return !speaks;

    case NGX_HTTP_SERVICE_UNAVAILABLE:
    case NGX_HTTP_INSUFFICIENT_STORAGE:
        return pull && !speaks;

    default:

        /* one without its index may not write, and is pulled from */

        return pull;
    }
}


/* of the last server that was asked; NULL: none was.  An empty one is where
   something else begins to ask, as a location of error_page does. */

static ngx_http_upstream_state_t *
ngx_http_acr_origin_state(ngx_http_request_t *r)
{
    ngx_uint_t                  i;
    ngx_http_upstream_state_t  *state, *last;

    if (r->upstream_states == NULL) {
        return NULL;
    }

    last = NULL;
    state = r->upstream_states->elts;

    for (i = 0; i < r->upstream_states->nelts; i++) {

        if (state[i].peer == NULL) {
            break;
        }

        last = &state[i];
    }

    return last;
}


static ngx_uint_t
ngx_http_acr_origin_says(ngx_http_upstream_t *u, const char *name)
{
    size_t            len;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

    if (u == NULL) {
        return 0;
    }

    len = ngx_strlen(name);

    for (part = &u->headers_in.headers.part; part; part = part->next) {

        header = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (header[i].hash && header[i].key.len == len
                && ngx_strncasecmp(header[i].key.data, (u_char *) name, len)
                   == 0)
            {
                return 1;
            }
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_acr_origin_is(ngx_http_acr_ctx_t *ctx, const char *operation)
{
    return ctx->operation && ngx_strcmp(ctx->operation, operation) == 0;
}


ngx_int_t
ngx_http_acr_generation_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char              *p;
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r->main);

    if (ctx == NULL || ctx->registry->zone == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_acr_origin_asks(r, ctx);

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);

    if (p == NULL) {
        return NGX_ERROR;
    }

    v->len = ngx_sprintf(p, "%uL", ngx_http_acr_origin_generation(ctx)) - p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = p;

    return NGX_OK;
}


/* the digest of a list of referrers is not what changes */

static uint64_t
ngx_http_acr_origin_generation(ngx_http_acr_ctx_t *ctx)
{
    static ngx_str_t  lists = ngx_string("");

    return ngx_http_acr_generation(ctx->registry->zone, &ctx->repository,
                                   ngx_http_acr_origin_is(ctx, "manifest_get")
                                   ? &ctx->reference : &lists);
}


/*
 * What rights were looked at for, and what the origin answers by, and nothing
 * else that a client may write.  Arguments have their lengths before them, and
 * the reference is at the end: both may have spaces.
 */

ngx_int_t
ngx_http_acr_cache_key_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char              *p;
    size_t               len;
    ngx_str_t            args, *host;
    const char          *operation;
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r->main);

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    if (ctx == NULL || ctx->registry->zone == NULL
        || ctx->registry->origin == NULL)
    {
        /* not an empty one, under which all would be the same */

        v->len = r->unparsed_uri.len;
        v->data = r->unparsed_uri.data;

        return NGX_OK;
    }

    ngx_http_acr_origin_asks(r, ctx);

    if (ngx_http_acr_origin_args(r->main, ctx, &args) != NGX_OK) {
        return NGX_ERROR;
    }

    host = &ctx->registry->origin->host;
    operation = ctx->operation ? ctx->operation : "none";

    len = NGX_INT64_LEN + host->len + ngx_strlen(operation)
          + ctx->repository.len + args.len + ctx->reference.len + 5;

    p = ngx_pnalloc(r->pool, len);

    if (p == NULL) {
        return NGX_ERROR;
    }

    v->data = p;
    v->len = ngx_sprintf(p, "%uL %V %s %V %V %V",
                         ngx_http_acr_origin_generation(ctx), host, operation,
                         &ctx->repository, &args, &ctx->reference)
             - p;

    return NGX_OK;
}


/* decoded as the origin does it; all, where we do not know which count */

static ngx_int_t
ngx_http_acr_origin_args(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_str_t *text)
{
    u_char      *p;
    ngx_int_t    rc;
    ngx_str_t    value;
    ngx_uint_t   i;

    static const char  *names[] = { "n", "last", "artifactType" };

    text->len = 0;
    text->data = NULL;

    if (r->args.len == 0 || ngx_http_acr_origin_is(ctx, "manifest_get")) {
        return NGX_OK;
    }

    if (!ngx_http_acr_origin_is(ctx, "tags_get")
        && !ngx_http_acr_origin_is(ctx, "referrers_get"))
    {
        *text = r->args;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, 3 * (NGX_SIZE_T_LEN + 2 + r->args.len));

    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    for (i = 0; i < 3; i++) {
        rc = ngx_http_acr_arg(r, names[i], &value);

        if (rc == NGX_ERROR) {
            *text = r->args;
            return NGX_OK;
        }

        if (rc == NGX_OK) {
            p = ngx_sprintf(p, "%ui=%uz:%V", i, value.len, &value);
        }
    }

    text->len = p - text->data;

    return NGX_OK;
}
