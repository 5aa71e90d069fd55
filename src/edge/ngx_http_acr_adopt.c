
/*
 * A blob of the store becomes one of a repository without a request: as at the
 * end of a push (ngx_http_acr_upload_commit.c), with its content there already.
 */

#include "../ngx_http_acr_settle.h"
#include "ngx_http_acr_fill_core.h"


/* the collector has the digest, or Redis does not know the repository yet: how
   often it is tried, and the ms between */
#define NGX_HTTP_ACR_ADOPT_TRIES  20
#define NGX_HTTP_ACR_ADOPT_RETRY  250


typedef struct {
    ngx_pool_t               *pool;
    ngx_http_acr_registry_t  *registry;
    ngx_str_t                 repository;
    acr_digest_t              digest;
    ngx_str_t                 text;
    off_t                     size;
    ngx_http_acr_change_t     change;
    int                       lock;
    ngx_uint_t                tries;
    ngx_event_t               timer;
    ngx_http_acr_task_t       task;
    ngx_http_acr_done_pt      done;
    void                     *data;
} ngx_http_acr_adopt_t;


static void ngx_http_acr_adopt_begin(ngx_http_acr_adopt_t *adopt);
static ngx_int_t ngx_http_acr_adopt_link(void *data, ngx_log_t *log);
static void ngx_http_acr_adopt_linked(void *data, ngx_int_t rc);
static void ngx_http_acr_adopt_committed(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_adopt_again(ngx_http_acr_adopt_t *adopt);
static void ngx_http_acr_adopt_timer(ngx_event_t *ev);
static void ngx_http_acr_adopt_settle(ngx_http_acr_adopt_t *adopt,
    ngx_http_acr_change_t *change, ngx_http_acr_done_pt done);
static void ngx_http_acr_adopt_undone(void *data, ngx_int_t rc);
static void ngx_http_acr_adopt_end(void *data, ngx_int_t rc);


ngx_int_t
ngx_http_acr_adopt(ngx_http_acr_registry_t *registry, ngx_str_t *repository,
    acr_digest_t *digest, off_t size, ngx_http_acr_done_pt done, void *data)
{
    ngx_pool_t            *pool;
    ngx_http_acr_adopt_t  *adopt;

    pool = ngx_create_pool(2048, ngx_cycle->log);

    if (pool == NULL) {
        return NGX_ERROR;
    }

    adopt = ngx_pcalloc(pool, sizeof(ngx_http_acr_adopt_t));

    if (adopt == NULL) {
        goto failed;
    }

    adopt->pool = pool;
    adopt->registry = registry;
    adopt->digest = *digest;
    adopt->size = size;
    adopt->lock = -1;
    adopt->done = done;
    adopt->data = data;

    adopt->timer.handler = ngx_http_acr_adopt_timer;
    adopt->timer.data = adopt;
    adopt->timer.log = ngx_cycle->log;

    adopt->task.data = adopt;
    adopt->task.work = ngx_http_acr_adopt_link;
    adopt->task.done = ngx_http_acr_adopt_linked;

    adopt->repository.len = repository->len;
    adopt->repository.data = ngx_pstrdup(pool, repository);
    adopt->text.data = ngx_pnalloc(pool, ACR_DIGEST_MAX);

    if (adopt->repository.data == NULL || adopt->text.data == NULL) {
        goto failed;
    }

    adopt->text.len = acr_digest_print(adopt->text.data, digest);

    if (ngx_http_acr_task_post(&adopt->task, registry->slow) != NGX_OK) {
        goto failed;
    }

    return NGX_OK;

failed:

    ngx_destroy_pool(pool);

    return NGX_ERROR;
}


static void
ngx_http_acr_adopt_begin(ngx_http_acr_adopt_t *adopt)
{
    if (ngx_http_acr_task_post(&adopt->task, adopt->registry->slow) != NGX_OK)
    {
        ngx_http_acr_adopt_end(adopt, NGX_EAGAIN);
    }
}


/* under the digest's lock no collector removes the file, until the index knows
   who needs it */

static ngx_int_t
ngx_http_acr_adopt_link(void *data, ngx_log_t *log)
{
    ngx_http_acr_adopt_t *adopt = data;

    off_t                  size;
    ngx_int_t              rc;
    ngx_http_acr_store_t  *store;

    store = &adopt->registry->store;

    rc = ngx_http_acr_store_lock_blob(store, &adopt->digest, &adopt->lock,
                                      log);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_size(store, &adopt->digest, &size, log);

    if (rc == NGX_OK && size != adopt->size) {
        rc = NGX_DECLINED;
    }

    if (rc == NGX_OK) {
        rc = ngx_http_acr_store_link(store, &adopt->repository,
                                     NGX_HTTP_ACR_LAYER, &adopt->digest, log);
    }

    if (rc != NGX_OK) {
        ngx_http_acr_store_unlock(&adopt->lock, log);
    }

    return rc;
}


static void
ngx_http_acr_adopt_linked(void *data, ngx_int_t rc)
{
    ngx_http_acr_adopt_t *adopt = data;

    u_char     size[NGX_OFF_T_LEN];
    ngx_str_t  args[7];

    if (rc != NGX_OK) {
        ngx_http_acr_adopt_end(adopt, rc);
        return;
    }

    ngx_memzero(args, sizeof(args));

    args[0] = adopt->repository;
    args[1] = adopt->text;
    args[2].data = size;
    args[2].len = ngx_sprintf(size, "%O", adopt->size) - size;

    if (ngx_http_acr_meta_call(adopt->registry->meta, ACR_SCRIPT_BLOB_COMMIT,
                               args, 7, ngx_http_acr_adopt_committed, adopt)
        != NGX_OK)
    {
        ngx_http_acr_store_unlock(&adopt->lock, ngx_cycle->log);
        ngx_http_acr_adopt_end(adopt, NGX_ERROR);
    }
}


static void
ngx_http_acr_adopt_committed(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_adopt_t *adopt = data;

    ngx_http_acr_store_unlock(&adopt->lock, ngx_cycle->log);

    switch (reply->status) {

    case NGX_HTTP_ACR_META_OK:

        if (ngx_http_acr_changed(adopt->registry, &adopt->change, reply)
            != NGX_OK)
        {
            ngx_http_acr_adopt_end(adopt, NGX_ERROR);
            return;
        }

        ngx_http_acr_adopt_settle(adopt, &adopt->change,
                                  ngx_http_acr_adopt_end);
        return;

    case NGX_HTTP_ACR_META_COLLECTING:
    case NGX_HTTP_ACR_META_BEHIND:
        ngx_http_acr_adopt_again(adopt);
        return;

    default:

        /* the repository is locked, or Redis is away: the link goes again, if
           the index says so */

        ngx_http_acr_adopt_settle(adopt, NULL, ngx_http_acr_adopt_undone);
    }
}


static void
ngx_http_acr_adopt_again(ngx_http_acr_adopt_t *adopt)
{
    if (++adopt->tries == NGX_HTTP_ACR_ADOPT_TRIES) {
        ngx_http_acr_adopt_settle(adopt, NULL, ngx_http_acr_adopt_undone);
        return;
    }

    ngx_add_timer(&adopt->timer, NGX_HTTP_ACR_ADOPT_RETRY);
}


static void
ngx_http_acr_adopt_timer(ngx_event_t *ev)
{
    ngx_http_acr_adopt_begin(ev->data);
}


static void
ngx_http_acr_adopt_settle(ngx_http_acr_adopt_t *adopt,
    ngx_http_acr_change_t *change, ngx_http_acr_done_pt done)
{
    if (ngx_http_acr_settle_one(adopt->registry, &adopt->repository,
                                &adopt->text, change, NULL, done, adopt)
        != NGX_OK)
    {
        ngx_http_acr_adopt_end(adopt, NGX_ERROR);
    }
}


static void
ngx_http_acr_adopt_undone(void *data, ngx_int_t rc)
{
    ngx_http_acr_adopt_end(data, NGX_ERROR);
}


static void
ngx_http_acr_adopt_end(void *data, ngx_int_t rc)
{
    ngx_http_acr_adopt_t *adopt = data;

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, rc > 0 ? rc : 0,
                      "acr: what was fetched has not become a blob of its "
                      "repository, repository: \"%V\", digest: \"%V\"",
                      &adopt->repository, &adopt->text);
    }

    adopt->done(adopt->data, rc);

    ngx_destroy_pool(adopt->pool);
}
