
#include "ngx_http_acr_manifest.h"
#include "ngx_http_acr_through_core.h"


/* ms that an origin may take to say whether a tag is what it was: there is
   something to send without it */
#define NGX_HTTP_ACR_THROUGH_PATIENCE 5000

/* ms after which a timer that keeps an exiting worker alive is set anew */
#define NGX_HTTP_ACR_THROUGH_GUARD    60000


static ngx_int_t ngx_http_acr_through_question(ngx_http_request_t *r,
    ngx_http_acr_through_t *through);
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
static void ngx_http_acr_through_store(ngx_http_request_t *r,
    ngx_http_acr_through_t *through);
static void ngx_http_acr_through_stored(ngx_http_request_t *r, void *data,
    ngx_int_t rc);


/* everything that a registry may have, what we know best first; some give
   schema 1 to those who ask for anything */

static ngx_str_t  ngx_http_acr_through_accept = ngx_string(
    "application/vnd.oci.image.index.v1+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.oci.artifact.manifest.v1+json");


void
ngx_http_acr_through_take(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_through_t  *through;

    through = ctx->through;

    if (!through->here) {
        ctx->cache_status = "MISS";
    }

    if (ngx_http_acr_through_question(r, through) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    if (ngx_http_acr_turn_take(r, &through->turn, &through->question,
                               ngx_http_acr_through_shared, through)
        == NGX_OK)
    {
        ngx_http_acr_through_ask(r, through, through->here || through->blob);
    }
}


/*
 * What others may ask, too: of the same origin, since the rule may be another
 * one by now, and of the same kind, since one digest may be that of both.
 */

static ngx_int_t
ngx_http_acr_through_question(ngx_http_request_t *r,
    ngx_http_acr_through_t *through)
{
    ngx_str_t  *host, *question, *reference;

    question = &through->question;
    host = &through->rule.remote->host;
    reference = &ngx_http_acr_get_ctx(r)->reference;

    question->data = ngx_pnalloc(r->pool, sizeof("manifests//?") + host->len
                                          + through->rule.source.len
                                          + reference->len);
    if (question->data == NULL) {
        return NGX_ERROR;
    }

    question->len = ngx_sprintf(question->data, "%s/%V/%V?%V",
                                through->blob ? "blobs" : "manifests", host,
                                &through->rule.source, reference)
                    - question->data;

    return NGX_OK;
}


/* another request has asked, and this is the result; or it was given up */

static void
ngx_http_acr_through_shared(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_through_t *through = data;

    if (rc == NGX_AGAIN) {
        ngx_http_acr_through_take(r, ngx_http_acr_get_ctx(r));
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
