
/*
 * What a thread reads of a repository to rebuild it: its links, and what they
 * lead to.  What is not whole is passed over after a log line, and is no
 * reason to leave the rest out.  What cannot be read (one bad sector, or a
 * network file system that was away for a moment) is passed over too, but as an
 * item, so that nothing is collected that it may need.
 */

#include "ngx_http_acr_rebuild.h"


/* manifests were not larger when they were pushed */
#define NGX_HTTP_ACR_REBUILD_MAX  (64 * 1024 * 1024)


static ngx_int_t ngx_http_acr_rebuild_itself(
    ngx_http_acr_rebuild_batch_t *batch, ngx_log_t *log);
static ngx_int_t ngx_http_acr_rebuild_attributes(
    ngx_http_acr_rebuild_batch_t *batch, ngx_http_acr_rebuild_item_t *item,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_rebuild_entry(
    ngx_http_acr_rebuild_batch_t *batch, ngx_http_acr_rebuild_item_t *item,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_rebuild_item(
    ngx_http_acr_rebuild_batch_t *batch, ngx_http_acr_rebuild_item_t *item,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_rebuild_content(
    ngx_http_acr_rebuild_batch_t *batch, ngx_http_acr_rebuild_item_t *item,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_rebuild_manifest(
    ngx_http_acr_rebuild_batch_t *batch, ngx_http_acr_rebuild_item_t *item,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_rebuild_parse(
    ngx_http_acr_rebuild_batch_t *batch, ngx_http_acr_rebuild_item_t *item,
    u_char *p, size_t n, ngx_log_t *log);
static ngx_int_t ngx_http_acr_rebuild_skip(
    ngx_http_acr_rebuild_batch_t *batch, ngx_http_acr_rebuild_item_t *item,
    const char *why, ngx_log_t *log);


ngx_int_t
ngx_http_acr_rebuild_read(void *data, ngx_log_t *log)
{
    ngx_http_acr_rebuild_batch_t *batch = data;

    size_t                        bytes;
    ngx_int_t                     rc;
    ngx_uint_t                    max;
    ngx_http_acr_rebuild_item_t  *item;

    batch->nitems = 0;
    batch->skipped = 0;

    if (batch->kind == 0) {
        return ngx_http_acr_rebuild_itself(batch, log);
    }

    if (batch->list == NULL) {
        batch->list = ngx_http_acr_store_list_open(batch->store,
                                                   &batch->repository,
                                                   batch->kind, log);
        if (batch->list == NULL) {
            return NGX_ENOMEM;
        }
    }

    max = (batch->kind == NGX_HTTP_ACR_REVISION)
          ? NGX_HTTP_ACR_REBUILD_MANIFESTS
          : NGX_HTTP_ACR_REBUILD_LINKS;

    bytes = 0;

    /* what is passed over counts too, so that a slice ends */

    while (batch->nitems + batch->skipped < max
           && bytes < NGX_HTTP_ACR_REBUILD_BYTES)
    {
        item = &batch->items[batch->nitems];

        ngx_memzero(item, sizeof(ngx_http_acr_rebuild_item_t));

        rc = ngx_http_acr_rebuild_entry(batch, item, log);

        if (rc == NGX_DONE) {
            batch->last = 1;
            break;
        }

        if (rc == NGX_DECLINED) {
            batch->skipped++;
            continue;
        }

        if (rc != NGX_OK) {
            return rc;
        }

        if (batch->kind == NGX_HTTP_ACR_REVISION) {
            bytes += item->size;
        }

        batch->nitems++;
    }

    return NGX_OK;
}


/* what is known of the repository itself: an item without a name */

static ngx_int_t
ngx_http_acr_rebuild_itself(ngx_http_acr_rebuild_batch_t *batch,
    ngx_log_t *log)
{
    int                           lock;
    ngx_int_t                     rc;
    ngx_str_t                     itself;
    ngx_http_acr_rebuild_item_t  *item;

    batch->last = 1;
    batch->created = ngx_http_acr_store_created(batch->store,
                                                &batch->repository);

    item = &batch->items[0];

    ngx_memzero(item, sizeof(ngx_http_acr_rebuild_item_t));

    /* a disk step that has asked before has it until its file is right; for
       tags and manifests the list has waited for that */

    ngx_str_null(&itself);

    rc = ngx_http_acr_store_lock_wait(batch->store, &batch->repository,
                                      &itself, &lock, log);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_rebuild_attributes(batch, item, log);

    ngx_http_acr_store_unlock(&lock, log);

    if (rc == NGX_OK) {
        batch->nitems = 1;
    }

    return rc;
}


/* what cannot be read is locked until somebody has looked at it */

static ngx_int_t
ngx_http_acr_rebuild_attributes(ngx_http_acr_rebuild_batch_t *batch,
    ngx_http_acr_rebuild_item_t *item, ngx_log_t *log)
{
    size_t     len;
    u_char     text[ACR_DIGEST_MAX], buf[ACR_ATTRIBUTES_MAX];
    ngx_int_t  rc;
    ngx_str_t  name;

    /* most repositories have none */

    if (!ngx_http_acr_store_has_details(batch->store, &batch->repository)) {
        return NGX_OK;
    }

    ngx_str_null(&name);

    if (batch->kind == NGX_HTTP_ACR_TAG) {
        name = item->entry.tag;

    } else if (batch->kind) {
        name.data = text;
        name.len = acr_digest_print(text, &item->entry.digest);
    }

    rc = ngx_http_acr_store_attributes_read(batch->store, &batch->repository,
                                            &name, buf, &len, log);

    if ((rc != NGX_OK && rc != EIO) || len == 0) {
        return rc;
    }

    item->attributes = ngx_alloc(len, log);

    if (item->attributes == NULL) {
        return NGX_ENOMEM;
    }

    ngx_memcpy(item->attributes, buf, len);
    item->nattributes = len;

    return NGX_OK;
}


/* the next name; NGX_DONE: there is none; NGX_DECLINED: it is to be passed
   over */

static ngx_int_t
ngx_http_acr_rebuild_entry(ngx_http_acr_rebuild_batch_t *batch,
    ngx_http_acr_rebuild_item_t *item, ngx_log_t *log)
{
    ngx_int_t  rc;

    rc = ngx_http_acr_store_list_next(batch->list, &item->entry, log);

    if (rc == NGX_DECLINED && item->entry.unread) {
        rc = EIO;

    } else if (rc == NGX_DECLINED && batch->kind != NGX_HTTP_ACR_TAG) {

        /* what the index does not know, the collector removes */

        rc = ngx_http_acr_store_mend(batch->store, &batch->repository,
                                     batch->kind, &item->entry.digest, log);

        item->entry.mtime = (int64_t) time(NULL) * 1000000;

    } else if (rc != NGX_OK) {
        return rc;
    }

    if (rc == NGX_OK) {
        rc = ngx_http_acr_rebuild_item(batch, item, log);
    }

    if (rc == EIO) {
        item->unread = 1;
        (void) ngx_http_acr_rebuild_skip(batch, item, "cannot be read", log);

        /* its locks hold all the same */

        rc = ngx_http_acr_rebuild_attributes(batch, item, log);
    }

    return rc;
}


/* NGX_DECLINED: it is to be passed over */

static ngx_int_t
ngx_http_acr_rebuild_item(ngx_http_acr_rebuild_batch_t *batch,
    ngx_http_acr_rebuild_item_t *item, ngx_log_t *log)
{
    int        lock;
    ngx_int_t  rc;

    if (batch->kind == NGX_HTTP_ACR_TAG) {
        return ngx_http_acr_rebuild_attributes(batch, item, log);
    }

    /* a collector that has asked holds it until the file is gone */

    rc = ngx_http_acr_store_lock_blob(batch->store, &item->entry.digest,
                                      &lock, log);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_rebuild_content(batch, item, log);

    ngx_http_acr_store_unlock(&lock, log);

    return rc;
}


static ngx_int_t
ngx_http_acr_rebuild_content(ngx_http_acr_rebuild_batch_t *batch,
    ngx_http_acr_rebuild_item_t *item, ngx_log_t *log)
{
    ngx_int_t  rc;

    if (batch->kind == NGX_HTTP_ACR_REVISION) {
        rc = ngx_http_acr_rebuild_manifest(batch, item, log);

        if (rc == NGX_OK) {
            rc = ngx_http_acr_rebuild_attributes(batch, item, log);

            if (rc != NGX_OK) {
                acr_manifest_free(&item->manifest);
                free(item->descriptor);
            }
        }

        return rc;
    }

    rc = ngx_http_acr_store_size(batch->store, &item->entry.digest,
                                 &item->size, log);

    return (rc == NGX_DECLINED)
           ? ngx_http_acr_rebuild_skip(batch, item, "is missing", log)
           : rc;
}


static ngx_int_t
ngx_http_acr_rebuild_manifest(ngx_http_acr_rebuild_batch_t *batch,
    ngx_http_acr_rebuild_item_t *item, ngx_log_t *log)
{
    u_char     *p;
    size_t      n;
    ngx_int_t   rc;

    rc = ngx_http_acr_store_load(batch->store, &item->entry.digest,
                                 NGX_HTTP_ACR_REBUILD_MAX, &p, &n, log);

    switch (rc) {

    case NGX_OK:
        break;

    case NGX_DECLINED:
        return ngx_http_acr_rebuild_skip(batch, item, "is missing", log);

    case NGX_ABORT:
        return ngx_http_acr_rebuild_skip(batch, item, "has other content",
                                         log);

    case EFBIG:
        return ngx_http_acr_rebuild_skip(batch, item, "is too large", log);

    default:
        return rc;
    }

    item->size = n;

    rc = ngx_http_acr_rebuild_parse(batch, item, p, n, log);

    ngx_free(p);

    if (rc != NGX_OK) {
        acr_manifest_free(&item->manifest);
    }

    return rc;
}


static ngx_int_t
ngx_http_acr_rebuild_parse(ngx_http_acr_rebuild_batch_t *batch,
    ngx_http_acr_rebuild_item_t *item, u_char *p, size_t n, ngx_log_t *log)
{
    int              rc;
    size_t           len;
    u_char           type[ACR_MEDIA_TYPE_MAX];
    ngx_int_t        found;
    acr_manifest_t  *m;

    /* the type that a push told, where the bytes do not tell it */

    found = ngx_http_acr_store_type_get(batch->store, &batch->repository,
                                        &item->entry.digest, type, &len, log);

    if (found == NGX_DECLINED) {
        len = 0;

    } else if (found != NGX_OK) {
        return found;
    }

    m = &item->manifest;

    rc = acr_manifest_parse(m, p, n, type, len);

    if (rc == ACR_NOMEM) {
        return NGX_ENOMEM;
    }

    if (rc != ACR_OK) {
        return ngx_http_acr_rebuild_skip(batch, item, m->error, log);
    }

    if (m->has_subject) {
        item->descriptor = acr_manifest_descriptor(m, &item->entry.digest, n);

        if (item->descriptor == NULL) {
            return NGX_ENOMEM;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_rebuild_skip(ngx_http_acr_rebuild_batch_t *batch,
    ngx_http_acr_rebuild_item_t *item, const char *why, ngx_log_t *log)
{
    u_char     text[ACR_DIGEST_MAX];
    ngx_str_t  name;

    name = item->entry.tag;

    if (batch->kind != NGX_HTTP_ACR_TAG) {
        name.data = text;
        name.len = acr_digest_print(text, &item->entry.digest);
    }

    ngx_log_error(NGX_LOG_WARN, log, 0,
                  "acr: rebuild: %s \"%V\" of \"%V\" is passed over: %s",
                  batch->kind == NGX_HTTP_ACR_REVISION ? "manifest"
                  : batch->kind == NGX_HTTP_ACR_LAYER ? "blob" : "tag",
                  &name, &batch->repository, why);

    return NGX_DECLINED;
}


void
ngx_http_acr_rebuild_release(ngx_http_acr_rebuild_batch_t *batch)
{
    ngx_uint_t                    i;
    ngx_http_acr_rebuild_item_t  *item;

    for (i = 0; i < batch->nitems; i++) {
        item = &batch->items[i];

        acr_manifest_free(&item->manifest);
        free(item->descriptor);

        if (item->attributes) {
            ngx_free(item->attributes);
        }
    }

    batch->nitems = 0;
}
