
#include "ngx_http_acr_response.h"
#include "ngx_http_acr_settle.h"


#define NGX_HTTP_ACR_SETTLE_RETRY  5         /* ms between tries to lock */
#define NGX_HTTP_ACR_SETTLE_TRIES  2000


/* a name, and what Redis says: the digest of a tag, or the kinds of a digest;
   and the attributes */

typedef struct {
    ngx_str_t                 name;
    ngx_str_t                 what;
    ngx_str_t                 attributes;
} ngx_http_acr_settle_name_t;


/* names that are being settled: of their own pool, whoever waits for them */

typedef struct {
    ngx_pool_t               *pool;
    ngx_http_acr_registry_t  *registry;
    ngx_str_t                 repository;
    ngx_http_acr_prepared_t   prepared;
    ngx_http_acr_change_t     change;

    ngx_http_acr_settle_name_t
                              names[NGX_HTTP_ACR_STORE_NAMES];
    ngx_uint_t                n;

    ngx_uint_t                losses;    /* when Redis was asked */
    ngx_uint_t                tries;
    ngx_int_t                 rc;        /* is it to be acknowledged? */
    unsigned                  asked:1;
    unsigned                  itself:1;  /* and then the repository */

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
    ngx_uint_t                settling;  /* of them */
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
static ngx_int_t ngx_http_acr_settle_names(
    ngx_http_acr_registry_t *registry, ngx_str_t *repository,
    ngx_str_t *names, ngx_uint_t n, ngx_http_acr_change_t *change,
    ngx_http_acr_prepared_t *prepared, ngx_http_acr_done_pt done, void *data);
static ngx_int_t ngx_http_acr_settle_copies(ngx_http_acr_settle_t *settle,
    ngx_str_t *repository, ngx_str_t *names,
    ngx_http_acr_prepared_t *prepared);
static ngx_int_t ngx_http_acr_settle_copy(ngx_pool_t *pool, ngx_str_t *to,
    ngx_str_t *from);
static ngx_int_t ngx_http_acr_settle_begin(ngx_http_acr_settle_t *settle);
static void ngx_http_acr_settle_post(ngx_http_acr_settle_t *settle,
    ngx_http_acr_work_pt work, ngx_http_acr_done_pt done);
static ngx_int_t ngx_http_acr_settle_lock(void *data, ngx_log_t *log);
static void ngx_http_acr_settle_locked(void *data, ngx_int_t rc);
static void ngx_http_acr_settle_timer(ngx_event_t *ev);
static void ngx_http_acr_settle_ask(ngx_http_acr_settle_t *settle);
static ngx_int_t ngx_http_acr_settle_question(
    ngx_http_acr_settle_t *settle);
static void ngx_http_acr_settle_now(void *data,
    ngx_http_acr_meta_reply_t *reply);
static ngx_int_t ngx_http_acr_settle_understand(
    ngx_http_acr_settle_t *settle, ngx_http_acr_meta_reply_t *reply);
static ngx_int_t ngx_http_acr_settle_apply(void *data, ngx_log_t *log);
static ngx_int_t ngx_http_acr_settle_apply_name(
    ngx_http_acr_settle_t *settle, ngx_http_acr_settle_name_t *name,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_settle_attributes(
    ngx_http_acr_settle_t *settle, ngx_http_acr_settle_name_t *name,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_settle_name(ngx_http_acr_settle_t *settle,
    ngx_http_acr_settle_name_t *name, ngx_log_t *log);
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


ngx_int_t
ngx_http_acr_linked(ngx_http_acr_registry_t *registry,
    ngx_http_acr_change_t *change, ngx_http_acr_meta_reply_t *reply)
{
    if (ngx_http_acr_changed(registry, change, reply) != NGX_OK
        || reply->n < 2 || reply->v[1].len > sizeof(change->kinds))
    {
        return NGX_ERROR;
    }

    change->nkinds = reply->v[1].len;
    ngx_memcpy(change->kinds, reply->v[1].data, change->nkinds);

    return NGX_OK;
}


void
ngx_http_acr_settle_hold(ngx_http_acr_store_t *store, ngx_str_t *repository,
    ngx_str_t *names, ngx_uint_t n, ngx_http_acr_change_t *change,
    ngx_log_t *log)
{
    if (n <= NGX_HTTP_ACR_STORE_NAMES) {
        (void) ngx_http_acr_store_lock_names(store, repository, names, n,
                                             &change->locks, log);
    }
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

    list->settling = ngx_min(list->n, NGX_HTTP_ACR_STORE_NAMES);

    if (ngx_http_acr_settle_names(ctx->registry, &ctx->repository,
                                  list->names, list->settling, list->change,
                                  list->prepared,
                                  ngx_http_acr_settle_next_done, list)
        != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_EAGAIN);
        return;
    }

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
            list->names += list->settling;
            list->n -= list->settling;

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
 * These names, and those after them, are settled later, by somebody who does
 * without the temporary files of the tags, and knows nothing of the session.
 */

static ngx_int_t
ngx_http_acr_settle_abandon(void *data, ngx_log_t *log)
{
    ngx_http_acr_settle_list_t *list = data;

    ngx_str_t  *name, *last;

    if (list->prepared == NULL) {
        return NGX_OK;
    }

    if (list->prepared->session.len) {
        (void) ngx_http_acr_store_discard(list->store, list->repository,
                                          &list->prepared->session, log);
    }

    last = list->names + list->n;

    for (name = list->names; name < last; name++) {

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

    if (list->change && list->change->told) {
        ngx_http_acr_get_ctx(r)->settling = list;
        list->next(r, list->data, list->rc);
        return;
    }

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
    return ngx_http_acr_settle_names(registry, repository, name, 1, change,
                                     prepared, done, data);
}


static ngx_int_t
ngx_http_acr_settle_names(ngx_http_acr_registry_t *registry,
    ngx_str_t *repository, ngx_str_t *names, ngx_uint_t n,
    ngx_http_acr_change_t *change, ngx_http_acr_prepared_t *prepared,
    ngx_http_acr_done_pt done, void *data)
{
    ngx_uint_t              i;
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
    settle->n = n;
    settle->done = done;
    settle->data = data;
    settle->task.data = settle;

    if (ngx_http_acr_settle_copies(settle, repository, names, prepared)
        != NGX_OK)
    {
        goto failed;
    }

    if (change) {
        settle->change = *change;
        settle->losses = change->losses;

        /* on this node it is seen before it is acknowledged */

        for (i = 0; registry->zone && registry->zone->cache && i < n; i++) {
            ngx_http_acr_cache_changed(registry->zone->cache, repository,
                                       &names[i]);
        }
    }

    if (ngx_http_acr_settle_begin(settle) != NGX_OK) {
        goto failed;
    }

    if (change) {
        change->locks.n = 0;
    }

    return NGX_OK;

failed:

    ngx_destroy_pool(pool);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_acr_settle_copies(ngx_http_acr_settle_t *settle,
    ngx_str_t *repository, ngx_str_t *names,
    ngx_http_acr_prepared_t *prepared)
{
    ngx_uint_t   i;
    ngx_pool_t  *pool;

    pool = settle->pool;

    if (ngx_http_acr_settle_copy(pool, &settle->repository, repository)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < settle->n; i++) {

        if (ngx_http_acr_settle_copy(pool, &settle->names[i].name, &names[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (prepared
        && (ngx_http_acr_settle_copy(pool, &settle->prepared.token,
                                     &prepared->token)
            != NGX_OK
            || ngx_http_acr_settle_copy(pool, &settle->prepared.type,
                                        &prepared->type)
               != NGX_OK
            || ngx_http_acr_settle_copy(pool, &settle->prepared.session,
                                        &prepared->session)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_settle_copy(ngx_pool_t *pool, ngx_str_t *to, ngx_str_t *from)
{
    ngx_str_null(to);

    if (from->len == 0) {
        return NGX_OK;
    }

    to->len = from->len;
    to->data = ngx_pstrdup(pool, from);

    return (to->data == NULL) ? NGX_ERROR : NGX_OK;
}


/* the locks may be held already, and what is to be done may be known */

static ngx_int_t
ngx_http_acr_settle_begin(ngx_http_acr_settle_t *settle)
{
    ngx_uint_t              i;
    ngx_http_acr_change_t  *change;

    change = &settle->change;

    if (change->locks.n && change->nkinds == 0) {
        return ngx_http_acr_settle_question(settle);
    }

    if (change->locks.n) {
        settle->names[0].what.data = change->kinds;
        settle->names[0].what.len = change->nkinds;

        for (i = 1; i < settle->n; i++) {
            settle->names[i].what = settle->names[0].name;
        }

        settle->task.work = ngx_http_acr_settle_apply;
        settle->task.done = ngx_http_acr_settle_applied;

    } else {
        settle->task.work = ngx_http_acr_settle_lock;
        settle->task.done = ngx_http_acr_settle_locked;
    }

    return ngx_http_acr_task_post(&settle->task, settle->registry->slow);
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

    ngx_str_t   names[NGX_HTTP_ACR_STORE_NAMES];
    ngx_uint_t  i;

    for (i = 0; i < settle->n; i++) {
        names[i] = settle->names[i].name;
    }

    return ngx_http_acr_store_lock_names(&settle->registry->store,
                                         &settle->repository, names,
                                         settle->n, &settle->change.locks,
                                         log);
}


static void
ngx_http_acr_settle_locked(void *data, ngx_int_t rc)
{
    ngx_http_acr_settle_t *settle = data;

    if (rc == NGX_AGAIN) {

        if (++settle->tries == NGX_HTTP_ACR_SETTLE_TRIES) {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "acr: \"%V\" of \"%V\" stays locked",
                          &settle->names[0].name, &settle->repository);

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
    if (ngx_http_acr_settle_question(settle) != NGX_OK) {
        ngx_http_acr_settle_end(settle, NGX_ERROR);
    }
}


static ngx_int_t
ngx_http_acr_settle_question(ngx_http_acr_settle_t *settle)
{
    ngx_str_t   args[1 + NGX_HTTP_ACR_STORE_NAMES];
    ngx_uint_t  i;

    args[0] = settle->repository;

    for (i = 0; i < settle->n; i++) {
        args[1 + i] = settle->names[i].name;
    }

    return ngx_http_acr_meta_call(settle->registry->meta, ACR_SCRIPT_LINK_NOW,
                                  args, 1 + settle->n,
                                  ngx_http_acr_settle_now, settle);
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

    if (reply->status != NGX_HTTP_ACR_META_OK) {
        ngx_http_acr_settle_end(settle, first ? NGX_ERROR : settle->rc);
        return;
    }

    if (ngx_http_acr_settle_understand(settle, reply) != NGX_OK) {
        ngx_http_acr_settle_end(settle, NGX_ERROR);
        return;
    }

    ngx_http_acr_settle_post(settle, ngx_http_acr_settle_apply,
                             ngx_http_acr_settle_applied);
}


static ngx_int_t
ngx_http_acr_settle_understand(ngx_http_acr_settle_t *settle,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_str_t                   *v;
    ngx_uint_t                   i;
    ngx_http_acr_settle_name_t  *name;

    if (reply->n != 1 + 2 * settle->n) {
        return NGX_ERROR;
    }

    v = reply->v;

    settle->itself = (settle->names[0].name.len && v->len == 1
                      && v->data[0] == '1');

    for (i = 0; i < settle->n; i++) {
        name = &settle->names[i];

        if (ngx_http_acr_settle_copy(settle->pool, &name->what, ++v) != NGX_OK
            || ngx_http_acr_settle_copy(settle->pool, &name->attributes, ++v)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * The session's files are nobody's, whatever becomes of the rest; what cannot
 * be removed now is swept later.
 */

static ngx_int_t
ngx_http_acr_settle_apply(void *data, ngx_log_t *log)
{
    ngx_http_acr_settle_t *settle = data;

    ngx_int_t              rc;
    ngx_uint_t             i;
    ngx_http_acr_store_t  *store;

    store = &settle->registry->store;
    rc = NGX_OK;

    if (settle->prepared.session.len) {
        (void) ngx_http_acr_store_discard(store, &settle->repository,
                                          &settle->prepared.session, log);
    }

    if (settle->change.seq) {
        rc = ngx_http_acr_store_mark(store, settle->change.seq, log);
    }

    for (i = 0; rc == NGX_OK && i < settle->n; i++) {
        rc = ngx_http_acr_settle_apply_name(settle, &settle->names[i], log);
    }

    return rc;
}


/*
 * Attributes without links are nobody's; but links must never have those of
 * what was there before.  So what is made gets its attributes first, and what
 * goes loses them last.
 */

static ngx_int_t
ngx_http_acr_settle_apply_name(ngx_http_acr_settle_t *settle,
    ngx_http_acr_settle_name_t *name, ngx_log_t *log)
{
    ngx_int_t  rc;

    rc = name->what.len ? ngx_http_acr_settle_attributes(settle, name, log)
                        : NGX_OK;

    if (rc == NGX_OK && name->name.len) {
        rc = ngx_http_acr_settle_name(settle, name, log);
    }

    if (rc == NGX_OK && name->what.len == 0) {
        rc = ngx_http_acr_settle_attributes(settle, name, log);
    }

    return rc;
}


static ngx_int_t
ngx_http_acr_settle_attributes(ngx_http_acr_settle_t *settle,
    ngx_http_acr_settle_name_t *name, ngx_log_t *log)
{
    return ngx_http_acr_store_attributes_apply(&settle->registry->store,
                                               &settle->repository,
                                               &name->name, &name->attributes,
                                               log);
}


static ngx_int_t
ngx_http_acr_settle_name(ngx_http_acr_settle_t *settle,
    ngx_http_acr_settle_name_t *name, ngx_log_t *log)
{
    u_char                 buf[NGX_HTTP_ACR_META_TEXT];
    ngx_str_t             *token, text;
    ngx_uint_t             kinds, i;
    acr_digest_t           digest;
    ngx_http_acr_store_t  *store;

    store = &settle->registry->store;
    token = settle->prepared.token.len ? &settle->prepared.token : NULL;

    if (acr_digest_parse(&digest, name->name.data, name->name.len)
        == ACR_OK)
    {
        kinds = 0;

        for (i = 0; i < name->what.len; i++) {
            kinds |= (name->what.data[i] == 'b') ? NGX_HTTP_ACR_LAYER
                                                   : NGX_HTTP_ACR_REVISION;
        }

        return ngx_http_acr_settle_links(settle, &digest, kinds, log);
    }

    if (name->what.len == 0) {
        return ngx_http_acr_store_tag_apply(store, &settle->repository,
                                            &name->name, NULL, token, log);
    }

    if (acr_digest_parse(&digest, name->what.data, name->what.len)
        == ACR_OK)
    {
        return ngx_http_acr_store_tag_apply(store, &settle->repository,
                                            &name->name, &digest, token,
                                            log);
    }

    text = ngx_http_acr_meta_printable(buf, &name->what);

    ngx_log_error(NGX_LOG_ALERT, log, 0,
                  "acr: tag \"%V\" of \"%V\" names \"%V\", no digest",
                  &name->name, &settle->repository, &text);

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

    ngx_str_t                   *arg, args[1 + 3 * NGX_HTTP_ACR_STORE_NAMES];
    ngx_uint_t                   i;
    ngx_http_acr_settle_name_t  *name;

    if (rc != NGX_OK) {
        ngx_http_acr_settle_end(settle, rc);
        return;
    }

    arg = args;
    *arg++ = settle->repository;

    for (i = 0; i < settle->n; i++) {
        name = &settle->names[i];

        *arg++ = name->name;
        *arg++ = name->what;
        *arg++ = name->attributes;
    }

    if (ngx_http_acr_meta_call(settle->registry->meta,
                               ACR_SCRIPT_PENDING_DONE, args, arg - args,
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
                  &settle->names[0].name, &settle->repository);

    settle->rc = NGX_ERROR;
}


/* with another lock, so this one is given back */

static void
ngx_http_acr_settle_itself(ngx_http_acr_settle_t *settle)
{
    ngx_http_acr_store_unlock_names(&settle->change.locks, ngx_cycle->log);

    ngx_str_null(&settle->names[0].name);
    settle->n = 1;
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

    ngx_http_acr_store_unlock_names(&settle->change.locks, ngx_cycle->log);

    ngx_destroy_pool(settle->pool);

    done(data, rc);
}
