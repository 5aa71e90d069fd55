
/*
 * The tokens that are kept, and the requests that wait for one.
 */

#include "ngx_http_acr_remote_core.h"


static ngx_http_acr_remote_token_t *ngx_http_acr_remote_token_find(
    ngx_http_acr_remote_t *remote, ngx_str_t *scope);
static ngx_http_acr_remote_token_t *ngx_http_acr_remote_token_create(
    ngx_http_acr_remote_t *remote, ngx_str_t *scope, const char **why);
static ngx_uint_t ngx_http_acr_remote_token_evict(
    ngx_http_acr_remote_t *remote);
static void ngx_http_acr_remote_token_free(ngx_http_acr_remote_token_t *t);
static ngx_uint_t ngx_http_acr_remote_token_good(
    ngx_http_acr_remote_token_t *t);
static void ngx_http_acr_remote_token_send(
    ngx_http_acr_remote_request_t *request, ngx_http_acr_remote_token_t *t);
static void ngx_http_acr_remote_token_ready(ngx_http_acr_wait_t *wait);


void
ngx_http_acr_remote_token(ngx_http_acr_remote_request_t *request,
    ngx_str_t *scope)
{
    const char                   *why;
    ngx_http_acr_remote_t        *remote;
    ngx_http_acr_remote_token_t  *t;

    remote = request->remote;
    why = NULL;

    t = ngx_http_acr_remote_token_find(remote, &request->scope);

    if (t == NULL) {
        t = ngx_http_acr_remote_token_create(remote, &request->scope, &why);

    } else {
        ngx_queue_remove(&t->queue);
        ngx_queue_insert_head(&remote->order, &t->queue);
    }

    /* one that was refused is not tried again */

    if (t && ngx_http_acr_remote_token_good(t) && t->stamp != request->stamp) {
        ngx_http_acr_remote_token_send(request, t);
        return;
    }

    if (t && !t->busy) {
        why = ngx_http_acr_remote_token_ask(t, scope, request);
    }

    if (why) {
        ngx_http_acr_remote_fail(request,
                                 request->wait ? NGX_HTTP_ACR_REMOTE_LIMITED
                                               : NGX_HTTP_ACR_REMOTE_FAILED,
                                 "%s", why);
        return;
    }

    request->token = t;
    request->waiter.ready = ngx_http_acr_remote_token_ready;
    request->waiter.data = request;
    request->waiting = 1;

    ngx_queue_insert_tail(&t->waiters, &request->waiter.queue);
}


static ngx_http_acr_remote_token_t *
ngx_http_acr_remote_token_find(ngx_http_acr_remote_t *remote,
    ngx_str_t *scope)
{
    uint32_t  hash;

    hash = ngx_crc32_long(scope->data, scope->len);

    return (ngx_http_acr_remote_token_t *)
           ngx_str_rbtree_lookup(&remote->tokens, scope, hash);
}


static ngx_http_acr_remote_token_t *
ngx_http_acr_remote_token_create(ngx_http_acr_remote_t *remote,
    ngx_str_t *scope, const char **why)
{
    ngx_http_acr_remote_token_t  *t;

    if (remote->ntokens == NGX_HTTP_ACR_REMOTE_TOKENS
        && !ngx_http_acr_remote_token_evict(remote))
    {
        *why = "too many of its tokens are waited for";
        return NULL;
    }

    t = ngx_calloc(sizeof(ngx_http_acr_remote_token_t) + scope->len,
                   remote->log);

    if (t == NULL) {
        *why = "no memory";
        return NULL;
    }

    t->remote = remote;
    t->node.str.data = (u_char *) (t + 1);
    t->node.str.len = scope->len;

    if (scope->len) {
        ngx_memcpy(t->node.str.data, scope->data, scope->len);
    }

    t->node.node.key = ngx_crc32_long(scope->data, scope->len);

    ngx_queue_init(&t->waiters);

    ngx_rbtree_insert(&remote->tokens, &t->node.node);
    ngx_queue_insert_head(&remote->order, &t->queue);
    remote->ntokens++;

    return t;
}


/* the one that was used the longest ago, unless somebody waits for it */

static ngx_uint_t
ngx_http_acr_remote_token_evict(ngx_http_acr_remote_t *remote)
{
    ngx_queue_t                  *q;
    ngx_http_acr_remote_token_t  *t;

    for (q = ngx_queue_last(&remote->order);
         q != ngx_queue_sentinel(&remote->order);
         q = ngx_queue_prev(q))
    {
        t = ngx_queue_data(q, ngx_http_acr_remote_token_t, queue);

        if (!t->busy) {
            ngx_http_acr_remote_token_free(t);
            return 1;
        }
    }

    return 0;
}


static void
ngx_http_acr_remote_token_free(ngx_http_acr_remote_token_t *t)
{
    ngx_rbtree_delete(&t->remote->tokens, &t->node.node);
    ngx_queue_remove(&t->queue);
    t->remote->ntokens--;

    ngx_http_acr_remote_token_body(t);

    if (t->value.data) {
        ngx_explicit_memzero(t->value.data, t->value.len);
        ngx_free(t->value.data);
    }

    ngx_free(t);
}


static ngx_uint_t
ngx_http_acr_remote_token_good(ngx_http_acr_remote_token_t *t)
{
    return t->value.len
           && t->generation == ngx_http_acr_remote_generation(t->remote)
           && (ngx_msec_int_t) (t->expires - ngx_current_msec) > 0;
}


ngx_uint_t
ngx_http_acr_remote_generation(ngx_http_acr_remote_t *remote)
{
    return remote->credentials ? remote->credentials->generation : 0;
}


static void
ngx_http_acr_remote_token_send(ngx_http_acr_remote_request_t *request,
    ngx_http_acr_remote_token_t *t)
{
    u_char     *p;
    ngx_str_t   value;

    value.len = sizeof("Bearer ") - 1 + t->value.len;
    value.data = ngx_alloc(value.len, t->remote->log);

    if (value.data == NULL) {
        ngx_http_acr_remote_fail(request, NGX_HTTP_ACR_REMOTE_FAILED,
                                 "no memory");
        return;
    }

    p = ngx_cpymem(value.data, "Bearer ", sizeof("Bearer ") - 1);
    ngx_memcpy(p, t->value.data, t->value.len);

    request->stamp = t->stamp;
    request->bearer = 1;
    request->basic = 0;

    ngx_http_acr_remote_send(request, &value);

    ngx_explicit_memzero(value.data, value.len);
    ngx_free(value.data);
}


void
ngx_http_acr_remote_token_wake(ngx_http_acr_remote_token_t *t)
{
    ngx_queue_t           waiters, *q;
    ngx_http_acr_wait_t  *wait;

    ngx_queue_init(&waiters);

    if (!ngx_queue_empty(&t->waiters)) {
        ngx_queue_add(&waiters, &t->waiters);
        ngx_queue_init(&t->waiters);
    }

    /* none of them calls its owner from here */

    while (!ngx_queue_empty(&waiters)) {
        q = ngx_queue_head(&waiters);
        ngx_queue_remove(q);

        wait = ngx_queue_data(q, ngx_http_acr_wait_t, queue);
        wait->ready(wait);
    }
}


static void
ngx_http_acr_remote_token_ready(ngx_http_acr_wait_t *wait)
{
    ngx_http_acr_remote_token_t    *t;
    ngx_http_acr_remote_request_t  *request;

    request = wait->data;
    t = request->token;

    request->waiting = 0;
    request->token = NULL;

    if (t->result == NGX_HTTP_ACR_REMOTE_OK) {
        ngx_http_acr_remote_token_send(request, t);
        return;
    }

    request->wait = t->wait;

    ngx_http_acr_remote_fail(request, t->result, "%s", t->error);
}


void
ngx_http_acr_remote_tokens_exit(ngx_http_acr_remote_t *remote)
{
    ngx_queue_t                  *q;
    ngx_http_acr_remote_token_t  *t;

    while (!ngx_queue_empty(&remote->order)) {
        q = ngx_queue_head(&remote->order);
        t = ngx_queue_data(q, ngx_http_acr_remote_token_t, queue);

        ngx_http_acr_fetch_cancel(&t->fetch);
        ngx_http_acr_remote_token_free(t);
    }
}
