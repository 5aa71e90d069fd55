
#include "ngx_http_acr_response.h"
#include "ngx_http_acr_settle.h"


#define NGX_HTTP_ACR_SETTLE_RETRY  5         /* ms between tries to lock */
#define NGX_HTTP_ACR_SETTLE_TRIES  2000


/* one name that is being settled: of its own pool, whoever waits for it */

typedef struct {
    ngx_pool_t               *pool;
    ngx_http_acr_registry_t  *registry;
    ngx_str_t                 repository;
    ngx_str_t                 name;
    ngx_http_acr_prepared_t   prepared;
    ngx_http_acr_change_t     change;

    ngx_uint_t                losses;    /* when Redis was asked */
    ngx_uint_t                tries;
    ngx_int_t                 rc;        /* is it to be acknowledged? */
    unsigned                  asked:1;
    unsigned                  itself:1;  /* and then the repository */
    int                       lock;

    /* what Redis says: the digest of a tag, or the kinds of a digest; and the
       attributes */
    u_char                    now[ACR_DIGEST_MAX];
    ngx_str_t                 what;
    ngx_str_t                 attributes;

    ngx_http_acr_task_t       task;
    ngx_event_t               timer;
    ngx_http_acr_done_pt      done;
    void                     *data;
} ngx_http_acr_settle_t;


/* the names of a request */

typedef struct ngx_http_acr_settle_list_s  ngx_http_acr_settle_list_t;

struct ngx_http_acr_settle_list_s {
    ngx_http_request_t       *request;
    ngx_str_t                *names;
    ngx_uint_t                n;
    ngx_http_acr_change_t    *change;
    ngx_http_acr_prepared_t  *prepared;
    ngx_http_acr_next_pt      next;
    void                     *data;

    ngx_http_acr_store_t     *store;
    ngx_str_t                *repository;
    ngx_http_acr_pool_t      *slow;
    ngx_int_t                 rc;        /* why one could not be settled */
};


static void ngx_http_acr_settle_next(ngx_http_request_t *r,
    ngx_http_acr_settle_list_t *list);
static void ngx_http_acr_settle_next_done(void *data, ngx_int_t rc);
static ngx_int_t ngx_http_acr_settle_abandon(void *data, ngx_log_t *log);
static void ngx_http_acr_settle_abandoned(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static ngx_int_t ngx_http_acr_settle_copy(ngx_pool_t *pool, ngx_str_t *to,
    ngx_str_t *from);
static void ngx_http_acr_settle_post(ngx_http_acr_settle_t *settle,
    ngx_http_acr_work_pt work, ngx_http_acr_done_pt done);
static ngx_int_t ngx_http_acr_settle_lock(void *data, ngx_log_t *log);
static void ngx_http_acr_settle_locked(void *data, ngx_int_t rc);
static void ngx_http_acr_settle_timer(ngx_event_t *ev);
static void ngx_http_acr_settle_ask(ngx_http_acr_settle_t *settle);
static void ngx_http_acr_settle_now(void *data,
    ngx_http_acr_meta_reply_t *reply);
static ngx_int_t ngx_http_acr_settle_apply(void *data, ngx_log_t *log);
static ngx_int_t ngx_http_acr_settle_attributes(
    ngx_http_acr_settle_t *settle, ngx_log_t *log);
static ngx_int_t ngx_http_acr_settle_name(ngx_http_acr_settle_t *settle,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_settle_links(ngx_http_acr_settle_t *settle,
    acr_digest_t *digest, ngx_uint_t kinds, ngx_log_t *log);
static void ngx_http_acr_settle_applied(void *data, ngx_int_t rc);
static void ngx_http_acr_settle_dropped(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_settle_doubt(ngx_http_acr_settle_t *settle);
static void ngx_http_acr_settle_itself(ngx_http_acr_settle_t *settle);
static void ngx_http_acr_settle_end(ngx_http_acr_settle_t *settle,
    ngx_int_t rc);


ngx_int_t
ngx_http_acr_changed(ngx_http_acr_registry_t *registry,
    ngx_http_acr_change_t *change, ngx_http_acr_meta_reply_t *reply)
{
    ngx_int_t  seq;

    if (reply->n == 0) {
        return NGX_ERROR;
    }

    seq = ngx_atoi(reply->v[0].data, reply->v[0].len);

    if (seq == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (change->seq == 0) {
        change->losses = ngx_http_acr_meta_losses(registry->meta);
    }

    change->seq = seq;

    return NGX_OK;
}


void
ngx_http_acr_settle(ngx_http_request_t *r, ngx_str_t *names, ngx_uint_t n,
    ngx_http_acr_change_t *change, ngx_http_acr_prepared_t *prepared,
    ngx_http_acr_next_pt next, void *data)
{
    ngx_http_acr_ctx_t          *ctx;
    ngx_http_acr_settle_list_t  *list;

    ctx = ngx_http_acr_get_ctx(r);

    /* a request may have any number of them, one after the other */

    list = ctx->settling;

    if (list) {
        ctx->settling = NULL;

    } else {
        list = ngx_palloc(r->pool, sizeof(ngx_http_acr_settle_list_t));

        if (list == NULL) {
            ngx_http_acr_fail_errno(r, NGX_ERROR);
            return;
        }
    }

    list->request = r;
    list->names = names;
    list->n = n;
    list->change = change;
    list->prepared = prepared;
    list->next = next;
    list->data = data;

    list->store = &ctx->registry->store;
    list->repository = &ctx->repository;
    list->slow = ctx->registry->slow;

    ngx_http_acr_settle_next(r, list);
}


static void
ngx_http_acr_settle_next(ngx_http_request_t *r,
    ngx_http_acr_settle_list_t *list)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);

    if (list->n == 0) {
        ctx->settling = list;
        list->next(r, list->data, NGX_OK);
        return;
    }

    if (ngx_http_acr_settle_one(ctx->registry, &ctx->repository, list->names,
                                list->change, list->prepared,
                                ngx_http_acr_settle_next_done, list)
        != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_EAGAIN);
        return;
    }

    list->names++;
    list->n--;

    ngx_http_acr_enter(r);
}


static void
ngx_http_acr_settle_next_done(void *data, ngx_int_t rc)
{
    ngx_http_acr_settle_list_t *list = data;

    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = list->request;
    c = r->connection;

    if (ngx_http_acr_leave(r) == NGX_OK) {

        if (rc == NGX_OK) {
            ngx_http_acr_settle_next(r, list);

        } else {
            list->rc = rc;
            ngx_http_acr_run(r, list->slow, ngx_http_acr_settle_abandon, list,
                             ngx_http_acr_settle_abandoned);
        }
    }

    ngx_http_run_posted_requests(c);
}


/*
 * This name, and those after it, are settled later, by somebody who does
 * without the temporary files of the tags.
 */

static ngx_int_t
ngx_http_acr_settle_abandon(void *data, ngx_log_t *log)
{
    ngx_http_acr_settle_list_t *list = data;

    ngx_str_t  *name, *last;

    if (list->prepared == NULL) {
        return NGX_OK;
    }

    last = list->names + list->n;

    for (name = list->names - 1; name < last; name++) {

        if (acr_tag_valid(name->data, name->len)) {
            ngx_http_acr_store_tag_abandon(list->store, list->repository,
                                           name, &list->prepared->token, log);
        }
    }

    return NGX_OK;
}


static void
ngx_http_acr_settle_abandoned(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_settle_list_t *list = data;

    if (list->rc == NGX_ERROR) {
        ngx_http_acr_fail(r, ACR_E_UNAVAILABLE,
                          "the change could not be completed yet", NULL,
                          NULL);
        return;
    }

    ngx_http_acr_fail_errno(r, list->rc);
}


ngx_int_t
ngx_http_acr_settle_one(ngx_http_acr_registry_t *registry,
    ngx_str_t *repository, ngx_str_t *name, ngx_http_acr_change_t *change,
    ngx_http_acr_prepared_t *prepared, ngx_http_acr_done_pt done, void *data)
{
    ngx_pool_t             *pool;
    ngx_http_acr_settle_t  *settle;

    pool = ngx_create_pool(2048, ngx_cycle->log);

    if (pool == NULL) {
        return NGX_ERROR;
    }

    settle = ngx_pcalloc(pool, sizeof(ngx_http_acr_settle_t));

    if (settle == NULL) {
        goto failed;
    }

    settle->pool = pool;
    settle->registry = registry;
    settle->lock = -1;
    settle->done = done;
    settle->data = data;

    if (change) {
        settle->change = *change;

        /* on this node it is seen before it is acknowledged */

        if (registry->zone && registry->zone->cache) {
            ngx_http_acr_cache_changed(registry->zone->cache, repository,
                                       name);
        }
    }

    if (ngx_http_acr_settle_copy(pool, &settle->repository, repository)
        != NGX_OK
        || ngx_http_acr_settle_copy(pool, &settle->name, name) != NGX_OK)
    {
        goto failed;
    }

    if (prepared
        && (ngx_http_acr_settle_copy(pool, &settle->prepared.token,
                                     &prepared->token)
            != NGX_OK
            || ngx_http_acr_settle_copy(pool, &settle->prepared.type,
                                        &prepared->type)
               != NGX_OK))
    {
        goto failed;
    }

    settle->task.data = settle;
    settle->task.work = ngx_http_acr_settle_lock;
    settle->task.done = ngx_http_acr_settle_locked;

    if (ngx_http_acr_task_post(&settle->task, registry->slow) != NGX_OK) {
        goto failed;
    }

    return NGX_OK;

failed:

    ngx_destroy_pool(pool);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_acr_settle_copy(ngx_pool_t *pool, ngx_str_t *to, ngx_str_t *from)
{
    if (from->len == 0) {
        return NGX_OK;
    }

    to->len = from->len;
    to->data = ngx_pstrdup(pool, from);

    return (to->data == NULL) ? NGX_ERROR : NGX_OK;
}


static void
ngx_http_acr_settle_post(ngx_http_acr_settle_t *settle,
    ngx_http_acr_work_pt work, ngx_http_acr_done_pt done)
{
    settle->task.work = work;
    settle->task.done = done;

    if (ngx_http_acr_task_post(&settle->task, settle->registry->slow)
        != NGX_OK)
    {
        ngx_http_acr_settle_end(settle, NGX_ERROR);
    }
}


static ngx_int_t
ngx_http_acr_settle_lock(void *data, ngx_log_t *log)
{
    ngx_http_acr_settle_t *settle = data;

    ngx_int_t              rc;
    ngx_http_acr_store_t  *store;

    store = &settle->registry->store;

    rc = ngx_http_acr_store_lock(store, &settle->repository, &settle->name,
                                 &settle->lock, log);

    if (rc == NGX_OK && settle->change.seq) {
        rc = ngx_http_acr_store_mark(store, settle->change.seq, log);
    }

    return rc;
}


static void
ngx_http_acr_settle_locked(void *data, ngx_int_t rc)
{
    ngx_http_acr_settle_t *settle = data;

    if (rc == NGX_AGAIN) {

        if (++settle->tries == NGX_HTTP_ACR_SETTLE_TRIES) {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "acr: \"%V\" of \"%V\" stays locked",
                          &settle->name, &settle->repository);

            ngx_http_acr_settle_end(settle, NGX_ERROR);
            return;
        }

        settle->timer.data = settle;
        settle->timer.handler = ngx_http_acr_settle_timer;
        settle->timer.log = ngx_cycle->log;

        ngx_add_timer(&settle->timer, NGX_HTTP_ACR_SETTLE_RETRY);
        return;
    }

    if (rc != NGX_OK) {
        ngx_http_acr_settle_end(settle, rc);
        return;
    }

    ngx_http_acr_settle_ask(settle);
}


static void
ngx_http_acr_settle_timer(ngx_event_t *ev)
{
    ngx_http_acr_settle_post(ev->data, ngx_http_acr_settle_lock,
                             ngx_http_acr_settle_locked);
}


static void
ngx_http_acr_settle_ask(ngx_http_acr_settle_t *settle)
{
    ngx_str_t  args[2];

    args[0] = settle->repository;
    args[1] = settle->name;

    if (ngx_http_acr_meta_call(settle->registry->meta, ACR_SCRIPT_LINK_NOW,
                               args, 2, ngx_http_acr_settle_now, settle)
        != NGX_OK)
    {
        ngx_http_acr_settle_end(settle, NGX_ERROR);
    }
}


/*
 * The disk follows what Redis says now, whatever has become of the change.
 */

static void
ngx_http_acr_settle_now(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_settle_t *settle = data;

    ngx_uint_t  first;

    first = !settle->asked;

    settle->asked = 1;
    settle->losses = ngx_http_acr_meta_losses(settle->registry->meta);

    if (first && settle->change.losses != settle->losses) {
        ngx_http_acr_settle_doubt(settle);
    }

    switch (reply->status) {

    case NGX_HTTP_ACR_META_OK:

        ngx_str_null(&settle->attributes);

        if (reply->n < 3
            || reply->v[0].len > sizeof(settle->now)
            || ngx_http_acr_settle_copy(settle->pool, &settle->attributes,
                                        &reply->v[1])
               != NGX_OK)
        {
            ngx_http_acr_settle_end(settle, NGX_ERROR);
            return;
        }

        settle->itself = (settle->name.len && reply->v[2].len == 1
                          && reply->v[2].data[0] == '1');
        settle->what.data = settle->now;
        settle->what.len = reply->v[0].len;
        ngx_memcpy(settle->now, reply->v[0].data, reply->v[0].len);
        break;

    default:
        ngx_http_acr_settle_end(settle, first ? NGX_ERROR : settle->rc);
        return;
    }

    ngx_http_acr_settle_post(settle, ngx_http_acr_settle_apply,
                             ngx_http_acr_settle_applied);
}


/*
 * Attributes without links are nobody's; but links must never have those of
 * what was there before.  So what is made gets its attributes first, and what
 * goes loses them last.
 */

static ngx_int_t
ngx_http_acr_settle_apply(void *data, ngx_log_t *log)
{
    ngx_http_acr_settle_t *settle = data;

    ngx_int_t  rc;

    rc = settle->what.len ? ngx_http_acr_settle_attributes(settle, log)
                          : NGX_OK;

    if (rc == NGX_OK && settle->name.len) {
        rc = ngx_http_acr_settle_name(settle, log);
    }

    if (rc == NGX_OK && settle->what.len == 0) {
        rc = ngx_http_acr_settle_attributes(settle, log);
    }

    return rc;
}


static ngx_int_t
ngx_http_acr_settle_attributes(ngx_http_acr_settle_t *settle, ngx_log_t *log)
{
    return ngx_http_acr_store_attributes_apply(&settle->registry->store,
                                               &settle->repository,
                                               &settle->name,
                                               &settle->attributes, log);
}


static ngx_int_t
ngx_http_acr_settle_name(ngx_http_acr_settle_t *settle, ngx_log_t *log)
{
    u_char                 buf[NGX_HTTP_ACR_META_TEXT];
    ngx_str_t             *token, text;
    ngx_uint_t             kinds, i;
    acr_digest_t           digest;
    ngx_http_acr_store_t  *store;

    store = &settle->registry->store;
    token = settle->prepared.token.len ? &settle->prepared.token : NULL;

    if (acr_digest_parse(&digest, settle->name.data, settle->name.len)
        == ACR_OK)
    {
        kinds = 0;

        for (i = 0; i < settle->what.len; i++) {
            kinds |= (settle->what.data[i] == 'b') ? NGX_HTTP_ACR_LAYER
                                                   : NGX_HTTP_ACR_REVISION;
        }

        return ngx_http_acr_settle_links(settle, &digest, kinds, log);
    }

    if (settle->what.len == 0) {
        return ngx_http_acr_store_tag_apply(store, &settle->repository,
                                            &settle->name, NULL, token, log);
    }

    if (acr_digest_parse(&digest, settle->what.data, settle->what.len)
        == ACR_OK)
    {
        return ngx_http_acr_store_tag_apply(store, &settle->repository,
                                            &settle->name, &digest, token,
                                            log);
    }

    text = ngx_http_acr_meta_printable(buf, &settle->what);

    ngx_log_error(NGX_LOG_ALERT, log, 0,
                  "acr: tag \"%V\" of \"%V\" names \"%V\", no digest",
                  &settle->name, &settle->repository, &text);

    return NGX_ERROR;
}


/* a removal before us may have taken away the media type that we had put */

static ngx_int_t
ngx_http_acr_settle_links(ngx_http_acr_settle_t *settle, acr_digest_t *digest,
    ngx_uint_t kinds, ngx_log_t *log)
{
    ngx_int_t              rc;
    ngx_str_t             *type;
    ngx_http_acr_store_t  *store;

    store = &settle->registry->store;
    type = &settle->prepared.type;

    if (type->len && (kinds & NGX_HTTP_ACR_REVISION)) {
        rc = ngx_http_acr_store_type_put(store, &settle->repository, digest,
                                         (char *) type->data, type->len, log);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ngx_http_acr_store_links_apply(store, &settle->repository, digest,
                                          kinds, log);
}


static void
ngx_http_acr_settle_applied(void *data, ngx_int_t rc)
{
    ngx_http_acr_settle_t *settle = data;

    ngx_str_t  args[4];

    if (rc != NGX_OK) {
        ngx_http_acr_settle_end(settle, rc);
        return;
    }

    args[0] = settle->repository;
    args[1] = settle->name;
    args[2] = settle->what;
    args[3] = settle->attributes;

    if (ngx_http_acr_meta_call(settle->registry->meta,
                               ACR_SCRIPT_PENDING_DONE, args, 4,
                               ngx_http_acr_settle_dropped, settle)
        != NGX_OK)
    {
        ngx_http_acr_settle_end(settle, NGX_ERROR);
    }
}


/*
 * The disk is right, so the entry may stay: because Redis has gone, or because
 * somebody has changed the name again, who waits for our lock now.  But what
 * another Redis has said than the one that there is now may be wrong.
 *
 * A master that was given up may still answer lookups, after others have begun
 * to work with the next one and have read our mark too early to miss the
 * change.  It cannot answer this: without its replicas it takes no writes.
 */

static void
ngx_http_acr_settle_dropped(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_settle_t *settle = data;

    ngx_uint_t  same;

    same = (settle->losses
            == ngx_http_acr_meta_losses(settle->registry->meta));

    if (!same || reply->status == NGX_HTTP_ACR_META_DOWN) {
        ngx_http_acr_settle_doubt(settle);
    }

    if (!same) {
        ngx_http_acr_settle_ask(settle);
        return;
    }

    if (settle->itself && settle->rc == NGX_OK) {
        ngx_http_acr_settle_itself(settle);
        return;
    }

    ngx_http_acr_settle_end(settle, settle->rc);
}


/* has Redis kept the change that this is about, if any? */

static void
ngx_http_acr_settle_doubt(ngx_http_acr_settle_t *settle)
{
    if (settle->change.seq == 0 || settle->rc != NGX_OK) {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "acr: a change of \"%V\" of \"%V\" is not acknowledged: "
                  "Redis may have lost it",
                  &settle->name, &settle->repository);

    settle->rc = NGX_ERROR;
}


/* with another lock, so this one is given back */

static void
ngx_http_acr_settle_itself(ngx_http_acr_settle_t *settle)
{
    ngx_http_acr_store_unlock(&settle->lock, ngx_cycle->log);

    ngx_str_null(&settle->name);
    settle->itself = 0;
    settle->tries = 0;

    ngx_http_acr_settle_post(settle, ngx_http_acr_settle_lock,
                             ngx_http_acr_settle_locked);
}


static void
ngx_http_acr_settle_end(ngx_http_acr_settle_t *settle, ngx_int_t rc)
{
    void                  *data;
    ngx_http_acr_done_pt   done;

    done = settle->done;
    data = settle->data;

    ngx_http_acr_store_unlock(&settle->lock, ngx_cycle->log);

    ngx_destroy_pool(settle->pool);

    done(data, rc);
}
