
/*
 * The rebuild of one repository.  Its token keeps others away from it; all that
 * Redis has of it is removed, in slices; what the directory says is applied:
 * manifests, then blobs (so that it is known which of them a manifest needs),
 * then tags; and from the last step on Redis knows the repository.  If it is
 * interrupted anywhere it is begun again, by whoever wants it.  One that fails
 * lets go of its token, so that nobody waits for the end of its time.
 */

#include "ngx_http_acr_rebuild.h"
#include "../ngx_http_acr_registry.h"


/* while somebody else is at it */
#define NGX_HTTP_ACR_REBUILD_RETRY   100     /* ms */
#define NGX_HTTP_ACR_REBUILD_TRIES   300

/* repository, token, digest, size, type, subject, artifact type, descriptor,
   time, number of references */
#define NGX_HTTP_ACR_REBUILD_ARGS    10


typedef struct {
    ngx_queue_t                     queue;       /* of the registry */
    ngx_pool_t                     *pool;
    ngx_http_acr_registry_t        *registry;
    ngx_str_t                       repository;
    ngx_str_t                       token;

    ngx_http_acr_rebuild_batch_t    batch;
    ngx_uint_t                      next;        /* kind, in the table */
    ngx_uint_t                      calls;       /* under way */
    ngx_int_t                       rc;
    ngx_uint_t                      tries;
    ngx_uint_t                      taken;       /* 1: the token may be known
                                                    to Redis */
    ngx_http_acr_rebuild_counts_t   counts;

    ngx_http_acr_task_t             task;
    ngx_event_t                     timer;
    ngx_http_acr_rebuild_pt         done;
    void                           *data;
} ngx_http_acr_rebuild_t;


static void ngx_http_acr_rebuild_call(ngx_http_acr_rebuild_t *rebuild,
    ngx_uint_t script, ngx_str_t *args, ngx_uint_t n,
    ngx_http_acr_meta_pt handler);
static void ngx_http_acr_rebuild_begin(ngx_http_acr_rebuild_t *rebuild);
static void ngx_http_acr_rebuild_begun(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_rebuild_timer(ngx_event_t *ev);
static void ngx_http_acr_rebuild_next_kind(ngx_http_acr_rebuild_t *rebuild);
static void ngx_http_acr_rebuild_next(ngx_http_acr_rebuild_t *rebuild);
static void ngx_http_acr_rebuild_have(void *data, ngx_int_t rc);
static ngx_int_t ngx_http_acr_rebuild_send_unread(
    ngx_http_acr_rebuild_t *rebuild, ngx_http_acr_rebuild_item_t *item);
static ngx_int_t ngx_http_acr_rebuild_send_manifest(
    ngx_http_acr_rebuild_t *rebuild, ngx_http_acr_rebuild_item_t *item);
static ngx_int_t ngx_http_acr_rebuild_attributes_next(
    ngx_http_acr_rebuild_t *rebuild);
static ngx_int_t ngx_http_acr_rebuild_send_attributes(
    ngx_http_acr_rebuild_t *rebuild, ngx_http_acr_rebuild_item_t *item);
static ngx_int_t ngx_http_acr_rebuild_send_links(
    ngx_http_acr_rebuild_t *rebuild);
static void ngx_http_acr_rebuild_applied(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_rebuild_finished(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_rebuild_end(ngx_http_acr_rebuild_t *rebuild,
    ngx_int_t rc);
static void ngx_http_acr_rebuild_left(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_rebuild_free(ngx_http_acr_rebuild_t *rebuild,
    ngx_int_t rc);


static ngx_uint_t  ngx_http_acr_rebuild_kinds[] = {
    NGX_HTTP_ACR_REVISION,
    NGX_HTTP_ACR_LAYER,
    NGX_HTTP_ACR_TAG,
    0                              /* the repository itself */
};

#define NGX_HTTP_ACR_REBUILD_KINDS                                           \
    (sizeof(ngx_http_acr_rebuild_kinds)                                      \
     / sizeof(ngx_http_acr_rebuild_kinds[0]))


ngx_int_t
ngx_http_acr_rebuild_repository(ngx_http_acr_registry_t *registry,
    ngx_str_t *repository, ngx_http_acr_rebuild_pt done, void *data)
{
    ngx_pool_t              *pool;
    ngx_queue_t             *q;
    ngx_http_acr_rebuild_t  *rebuild;

    for (q = ngx_queue_head(&registry->rebuilds);
         q != ngx_queue_sentinel(&registry->rebuilds);
         q = ngx_queue_next(q))
    {
        rebuild = ngx_queue_data(q, ngx_http_acr_rebuild_t, queue);

        if (rebuild->repository.len == repository->len
            && ngx_memcmp(rebuild->repository.data, repository->data,
                          repository->len)
               == 0)
        {
            return NGX_DECLINED;
        }
    }

    pool = ngx_create_pool(1024, ngx_cycle->log);

    if (pool == NULL) {
        return NGX_ERROR;
    }

    rebuild = ngx_pcalloc(pool, sizeof(ngx_http_acr_rebuild_t));

    if (rebuild == NULL
        || ngx_http_acr_registry_token(registry, pool, &rebuild->token)
           != NGX_OK)
    {
        goto failed;
    }

    rebuild->pool = pool;
    rebuild->registry = registry;
    rebuild->done = done;
    rebuild->data = data;

    rebuild->repository.len = repository->len;
    rebuild->repository.data = ngx_pstrdup(pool, repository);

    rebuild->batch.store = &registry->store;
    rebuild->batch.repository = rebuild->repository;
    rebuild->batch.items = ngx_palloc(pool,
                                      NGX_HTTP_ACR_REBUILD_LINKS
                                      * sizeof(ngx_http_acr_rebuild_item_t));

    if (rebuild->repository.data == NULL || rebuild->batch.items == NULL) {
        goto failed;
    }

    rebuild->task.data = &rebuild->batch;

    rebuild->timer.data = rebuild;
    rebuild->timer.handler = ngx_http_acr_rebuild_timer;
    rebuild->timer.log = ngx_cycle->log;

    /* by the timer, so that nothing is called back before this returns */

    ngx_add_timer(&rebuild->timer, 0);

    ngx_queue_insert_tail(&registry->rebuilds, &rebuild->queue);

    return NGX_OK;

failed:

    ngx_destroy_pool(pool);

    return NGX_ERROR;
}


static void
ngx_http_acr_rebuild_call(ngx_http_acr_rebuild_t *rebuild, ngx_uint_t script,
    ngx_str_t *args, ngx_uint_t n, ngx_http_acr_meta_pt handler)
{
    if (ngx_http_acr_meta_call(rebuild->registry->meta, script, args, n,
                               handler, rebuild)
        != NGX_OK)
    {
        ngx_http_acr_rebuild_end(rebuild, NGX_ERROR);
    }
}


static void
ngx_http_acr_rebuild_begin(ngx_http_acr_rebuild_t *rebuild)
{
    ngx_str_t  args[2];

    args[0] = rebuild->repository;
    args[1] = rebuild->token;

    rebuild->taken = 1;

    ngx_http_acr_rebuild_call(rebuild, ACR_SCRIPT_REBUILD_BEGIN, args, 2,
                              ngx_http_acr_rebuild_begun);
}


static void
ngx_http_acr_rebuild_begun(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_rebuild_t *rebuild = data;

    switch (reply->status) {

    case NGX_HTTP_ACR_META_OK:

        if (reply->n && reply->v[0].len == 1 && reply->v[0].data[0] == '1') {
            ngx_http_acr_rebuild_begin(rebuild);
            return;
        }

        ngx_http_acr_rebuild_next_kind(rebuild);
        return;

    case NGX_HTTP_ACR_META_BUSY:
        rebuild->taken = 0;

        if (++rebuild->tries < NGX_HTTP_ACR_REBUILD_TRIES && !ngx_exiting) {
            ngx_add_timer(&rebuild->timer, NGX_HTTP_ACR_REBUILD_RETRY);
            return;
        }

        ngx_http_acr_rebuild_end(rebuild, NGX_ERROR);
        return;

    case NGX_HTTP_ACR_META_CURRENT:
        rebuild->counts.current = 1;
        ngx_http_acr_rebuild_end(rebuild, NGX_OK);
        return;

    default:
        ngx_http_acr_rebuild_end(rebuild, NGX_ERROR);
    }
}


static void
ngx_http_acr_rebuild_timer(ngx_event_t *ev)
{
    ngx_http_acr_rebuild_begin(ev->data);
}


static void
ngx_http_acr_rebuild_next_kind(ngx_http_acr_rebuild_t *rebuild)
{
    u_char                         created[NGX_INT64_LEN];
    ngx_str_t                      args[3];
    ngx_http_acr_rebuild_batch_t  *batch;

    batch = &rebuild->batch;

    if (batch->list) {
        ngx_http_acr_store_list_close(batch->list);
        batch->list = NULL;
    }

    batch->last = 0;

    if (rebuild->next < NGX_HTTP_ACR_REBUILD_KINDS) {
        batch->kind = ngx_http_acr_rebuild_kinds[rebuild->next++];
        ngx_http_acr_rebuild_next(rebuild);
        return;
    }

    args[0] = rebuild->repository;
    args[1] = rebuild->token;
    args[2].data = created;
    args[2].len = batch->created
                  ? ngx_sprintf(created, "%L", batch->created) - created : 0;

    ngx_http_acr_rebuild_call(rebuild, ACR_SCRIPT_REBUILD_FINISH, args, 3,
                              ngx_http_acr_rebuild_finished);
}


static void
ngx_http_acr_rebuild_next(ngx_http_acr_rebuild_t *rebuild)
{
    rebuild->task.work = ngx_http_acr_rebuild_read;
    rebuild->task.done = ngx_http_acr_rebuild_have;

    if (ngx_http_acr_task_post(&rebuild->task, rebuild->registry->slow)
        != NGX_OK)
    {
        ngx_http_acr_rebuild_end(rebuild, NGX_ERROR);
    }
}


static void
ngx_http_acr_rebuild_have(void *data, ngx_int_t rc)
{
    ngx_uint_t                     i;
    ngx_http_acr_rebuild_t        *rebuild;
    ngx_http_acr_rebuild_batch_t  *batch;

    batch = data;
    rebuild = (ngx_http_acr_rebuild_t *)
                  ((u_char *) batch - offsetof(ngx_http_acr_rebuild_t, batch));

    rebuild->counts.skipped += batch->skipped;
    rebuild->rc = rc;

    /* the call that is not sent holds the end up until all are */

    rebuild->calls = 1;

    for (i = 0; rebuild->rc == NGX_OK && i < batch->nitems; i++) {

        if (batch->items[i].unread) {
            rebuild->rc = ngx_http_acr_rebuild_send_unread(rebuild,
                                                          &batch->items[i]);

        } else if (batch->kind == NGX_HTTP_ACR_REVISION) {
            rebuild->rc = ngx_http_acr_rebuild_send_manifest(rebuild,
                                                          &batch->items[i]);
        }
    }

    if (rebuild->rc == NGX_OK && batch->kind
        && batch->kind != NGX_HTTP_ACR_REVISION)
    {
        rebuild->rc = ngx_http_acr_rebuild_send_links(rebuild);
    }

    ngx_http_acr_rebuild_applied(rebuild, NULL);
}


/*
 * Attributes of the batch, when what they are of has been applied: calls may be
 * sent once more, so they are not answered in their order.  NGX_DECLINED: there
 * are none, or they have been sent.
 */

static ngx_int_t
ngx_http_acr_rebuild_attributes_next(ngx_http_acr_rebuild_t *rebuild)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i;
    ngx_http_acr_rebuild_batch_t  *batch;

    batch = &rebuild->batch;

    rc = NGX_DECLINED;
    rebuild->calls = 1;

    for (i = 0; i < batch->nitems; i++) {

        if (batch->items[i].attributes == NULL) {
            continue;
        }

        rc = ngx_http_acr_rebuild_send_attributes(rebuild, &batch->items[i]);

        if (rc != NGX_OK) {
            rebuild->rc = rc;
            break;
        }

        ngx_free(batch->items[i].attributes);
        batch->items[i].attributes = NULL;
    }

    if (rc == NGX_DECLINED) {
        return NGX_DECLINED;
    }

    ngx_http_acr_rebuild_applied(rebuild, NULL);

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_rebuild_send_unread(ngx_http_acr_rebuild_t *rebuild,
    ngx_http_acr_rebuild_item_t *item)
{
    u_char     text[ACR_DIGEST_MAX];
    ngx_str_t  args[3];

    args[0] = rebuild->repository;
    args[1] = rebuild->token;

    /* which manifest a tag that cannot be read names is not known */

    args[2].data = text;
    args[2].len = item->entry.tag.len
                  ? 0
                  : acr_digest_print(text, &item->entry.digest);

    if (ngx_http_acr_meta_call(rebuild->registry->meta,
                               ACR_SCRIPT_REBUILD_UNREAD, args, 3,
                               ngx_http_acr_rebuild_applied, rebuild)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rebuild->calls++;
    rebuild->counts.skipped++;

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_rebuild_send_manifest(ngx_http_acr_rebuild_t *rebuild,
    ngx_http_acr_rebuild_item_t *item)
{
    u_char          *p, *text;
    size_t           i;
    ngx_int_t        rc;
    ngx_str_t       *arg, *args;
    acr_manifest_t  *m;

    m = &item->manifest;

    args = ngx_alloc((NGX_HTTP_ACR_REBUILD_ARGS + 2 * m->nreferences)
                     * sizeof(ngx_str_t)
                     + 3 * NGX_INT64_LEN
                     + (2 + m->nreferences) * ACR_DIGEST_MAX,
                     ngx_cycle->log);

    if (args == NULL) {
        return NGX_ERROR;
    }

    arg = args;
    text = (u_char *) &args[NGX_HTTP_ACR_REBUILD_ARGS + 2 * m->nreferences];

#define ngx_http_acr_rebuild_arg(end)                                        \
    p = end;                                                                 \
    arg->data = text;                                                        \
    arg->len = p - text;                                                     \
    arg++;                                                                   \
    text = p

    *arg++ = rebuild->repository;
    *arg++ = rebuild->token;
    ngx_http_acr_rebuild_arg(text + acr_digest_print(text,
                                                     &item->entry.digest));
    ngx_http_acr_rebuild_arg(ngx_sprintf(text, "%O", item->size));
    *arg++ = ngx_http_acr_meta_argument(m->media_type);
    ngx_http_acr_rebuild_arg(text + (m->has_subject
                                     ? acr_digest_print(text, &m->subject)
                                     : 0));
    *arg++ = ngx_http_acr_meta_argument(m->artifact_type);
    *arg++ = ngx_http_acr_meta_argument(item->descriptor);
    ngx_http_acr_rebuild_arg(ngx_sprintf(text, "%L", item->entry.mtime));
    ngx_http_acr_rebuild_arg(ngx_sprintf(text, "%uz", m->nreferences));

    for (i = 0; i < m->nreferences; i++) {

        /* whether it is there was checked when the manifest was pushed */

        *arg++ = ngx_http_acr_meta_argument(m->references[i].manifest ? "n"
                                                                      : "o");

        ngx_http_acr_rebuild_arg(text
                                 + acr_digest_print(text,
                                                   &m->references[i].digest));
    }

#undef ngx_http_acr_rebuild_arg

    rc = ngx_http_acr_meta_call(rebuild->registry->meta,
                                ACR_SCRIPT_REBUILD_MANIFEST, args, arg - args,
                                ngx_http_acr_rebuild_applied, rebuild);

    ngx_free(args);

    if (rc == NGX_OK) {
        rebuild->calls++;
        rebuild->counts.manifests++;
    }

    return rc;
}


static ngx_int_t
ngx_http_acr_rebuild_send_attributes(ngx_http_acr_rebuild_t *rebuild,
    ngx_http_acr_rebuild_item_t *item)
{
    u_char     text[ACR_DIGEST_MAX];
    ngx_str_t  args[4];

    args[0] = rebuild->repository;
    args[1] = rebuild->token;
    ngx_str_null(&args[2]);

    if (rebuild->batch.kind == NGX_HTTP_ACR_TAG) {
        args[2] = item->entry.tag;

    } else if (rebuild->batch.kind) {
        args[2].data = text;
        args[2].len = acr_digest_print(text, &item->entry.digest);
    }

    args[3].data = item->attributes;
    args[3].len = item->nattributes;

    if (ngx_http_acr_meta_call(rebuild->registry->meta,
                               ACR_SCRIPT_REBUILD_ATTRIBUTES, args, 4,
                               ngx_http_acr_rebuild_applied, rebuild)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rebuild->calls++;

    return NGX_OK;
}


/* blobs with their sizes, or tags with their digests and times */

static ngx_int_t
ngx_http_acr_rebuild_send_links(ngx_http_acr_rebuild_t *rebuild)
{
    u_char                        *text;
    ngx_int_t                      rc;
    ngx_str_t                     *arg, *args;
    ngx_uint_t                     i, n, tags, script;
    ngx_http_acr_rebuild_item_t   *item;
    ngx_http_acr_rebuild_batch_t  *batch;

    batch = &rebuild->batch;
    tags = (batch->kind == NGX_HTTP_ACR_TAG);
    script = tags ? ACR_SCRIPT_REBUILD_TAGS : ACR_SCRIPT_REBUILD_BLOBS;

    args = ngx_alloc((2 + 4 * batch->nitems) * sizeof(ngx_str_t)
                     + batch->nitems * (ACR_DIGEST_MAX + 2 * NGX_INT64_LEN),
                     ngx_cycle->log);

    if (args == NULL) {
        return NGX_ERROR;
    }

    args[0] = rebuild->repository;
    args[1] = rebuild->token;

    n = 0;
    arg = &args[2];
    text = (u_char *) &args[2 + 4 * batch->nitems];

    for (i = 0; i < batch->nitems; i++) {
        item = &batch->items[i];

        if (item->unread) {
            continue;
        }

        n++;

        if (tags) {
            *arg++ = item->entry.tag;
        }

        arg->data = text;
        arg->len = acr_digest_print(text, &item->entry.digest);
        text += arg->len;
        arg++;

        arg->data = text;
        text = ngx_sprintf(text, "%L", tags ? item->entry.mtime
                                            : (int64_t) item->size);
        arg->len = text - arg->data;
        arg++;

        if (tags) {
            arg->data = text;
            text = ngx_sprintf(text, "%L", item->entry.created);
            arg->len = text - arg->data;
            arg++;
        }
    }

    if (n == 0) {
        ngx_free(args);
        return NGX_OK;
    }

    rc = ngx_http_acr_meta_call(rebuild->registry->meta, script, args,
                                arg - args, ngx_http_acr_rebuild_applied,
                                rebuild);

    ngx_free(args);

    if (rc != NGX_OK) {
        return rc;
    }

    rebuild->calls++;

    if (tags) {
        rebuild->counts.tags += n;

    } else {
        rebuild->counts.blobs += n;
    }

    return NGX_OK;
}


/* reply is NULL for the call that was not sent */

static void
ngx_http_acr_rebuild_applied(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_rebuild_t *rebuild = data;

    u_char      buf[NGX_HTTP_ACR_META_TEXT];
    ngx_str_t   tag;
    ngx_uint_t  i;

    if (reply && reply->status != NGX_HTTP_ACR_META_OK) {
        rebuild->rc = NGX_ERROR;

    } else if (reply && rebuild->batch.kind == NGX_HTTP_ACR_TAG) {

        for (i = 0; i < reply->n; i++) {
            tag = ngx_http_acr_meta_printable(buf, &reply->v[i]);

            ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                          "acr: rebuild: tag \"%V\" of \"%V\" is passed "
                          "over: it names no manifest",
                          &tag, &rebuild->repository);
        }

        rebuild->counts.tags -= reply->n;
        rebuild->counts.skipped += reply->n;
    }

    if (--rebuild->calls) {
        return;
    }

    if (rebuild->rc == NGX_OK
        && ngx_http_acr_rebuild_attributes_next(rebuild) == NGX_OK)
    {
        return;
    }

    ngx_http_acr_rebuild_release(&rebuild->batch);

    if (rebuild->rc != NGX_OK) {
        ngx_http_acr_rebuild_end(rebuild, NGX_ERROR);

    } else if (rebuild->batch.last) {
        ngx_http_acr_rebuild_next_kind(rebuild);

    } else {
        ngx_http_acr_rebuild_next(rebuild);
    }
}


static void
ngx_http_acr_rebuild_finished(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_rebuild_end(data, reply->status == NGX_HTTP_ACR_META_OK
                                   ? NGX_OK : NGX_ERROR);
}


static void
ngx_http_acr_rebuild_end(ngx_http_acr_rebuild_t *rebuild, ngx_int_t rc)
{
    ngx_str_t  args[2];

    if (rc == NGX_OK || !rebuild->taken) {
        ngx_http_acr_rebuild_free(rebuild, rc);
        return;
    }

    args[0] = rebuild->repository;
    args[1] = rebuild->token;

    if (ngx_http_acr_meta_call(rebuild->registry->meta,
                               ACR_SCRIPT_REBUILD_LEAVE, args, 2,
                               ngx_http_acr_rebuild_left, rebuild)
        != NGX_OK)
    {
        ngx_http_acr_rebuild_free(rebuild, rc);
    }
}


/* if Redis did not answer, the token's time ends by itself */

static void
ngx_http_acr_rebuild_left(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_rebuild_free(data, NGX_ERROR);
}


static void
ngx_http_acr_rebuild_free(ngx_http_acr_rebuild_t *rebuild, ngx_int_t rc)
{
    ngx_queue_remove(&rebuild->queue);

    if (rebuild->batch.list) {
        ngx_http_acr_store_list_close(rebuild->batch.list);
    }

    if (rebuild->done) {
        rebuild->done(rebuild->data, rc, &rebuild->counts);
    }

    ngx_http_acr_meta_rebuilt(rebuild->registry->meta, &rebuild->repository,
                              rc == NGX_OK);

    ngx_destroy_pool(rebuild->pool);
}
