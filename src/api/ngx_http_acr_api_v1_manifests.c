
/*
 * What the index does not have of a manifest (sizes, platform, what it names)
 * is read from the manifests themselves, in a thread: few ask for it, and the
 * directory is the record.
 */

#include "ngx_http_acr_v1.h"
#include "ngx_http_acr_manifest.h"
#include "../auth/ngx_http_acr_auth.h"
#include "../oci/acr_about.h"


/* acr_manifests.lua gives no more at once */
#define NGX_HTTP_ACR_V1_MANIFESTS  100

/* what one request may read: files and bytes; what is beyond is left out */
#define NGX_HTTP_ACR_V1_FILES      300
#define NGX_HTTP_ACR_V1_BYTES      (8 * 1024 * 1024)

/* so many of a worker read at once, so that pushes have threads too */
#define NGX_HTTP_ACR_V1_AT_ONCE    2
#define NGX_HTTP_ACR_V1_RETRY      20       /* ms */

/* digest, "<size> <media type>", time, attributes, ntags */
#define NGX_HTTP_ACR_V1_MANIFEST   5


typedef struct {
    ngx_str_t                digest;
    ngx_str_t                type;
    ngx_str_t                time;
    ngx_str_t                attributes;
    ngx_str_t               *tags;
    ngx_uint_t               ntags;
} ngx_http_acr_v1_manifest_t;


typedef struct {
    ngx_http_acr_ctx_t      *ctx;
    ngx_http_acr_store_t    *store;
    ngx_http_acr_v1_page_t   page;
    ngx_str_t                registry;
    ngx_array_t              items;        /* ngx_http_acr_v1_manifest_t */
    ngx_uint_t               files;        /* that were read */
    size_t                   bytes;
    char                    *text;         /* the answer */
    unsigned                 one:1;        /* not a list */
    unsigned                 reading:1;    /* counted in the registry */
} ngx_http_acr_v1_manifests_t;


static ngx_http_acr_v1_manifests_t *ngx_http_acr_v1_manifests_create(
    ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_v1_manifests_cleanup(void *data);
static void ngx_http_acr_v1_manifest_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_v1_manifests_found(ngx_http_request_t *r,
    void *data, ngx_http_acr_meta_reply_t *reply);
static ngx_int_t ngx_http_acr_v1_manifest_copy(ngx_http_request_t *r,
    ngx_http_acr_v1_manifests_t *list, ngx_str_t *digest, ngx_str_t *v,
    ngx_str_t *tags, ngx_uint_t ntags);
static void ngx_http_acr_v1_manifests_run(ngx_http_request_t *r,
    ngx_http_acr_v1_manifests_t *list);
static void ngx_http_acr_v1_manifests_wait(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static ngx_int_t ngx_http_acr_v1_manifests_read(void *data, ngx_log_t *log);
static json_t *ngx_http_acr_v1_manifests_json(
    ngx_http_acr_v1_manifests_t *list, ngx_log_t *log);
static json_t *ngx_http_acr_v1_manifest_json(
    ngx_http_acr_v1_manifests_t *list, ngx_http_acr_v1_manifest_t *item,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_v1_manifest_about(
    ngx_http_acr_v1_manifests_t *list, ngx_http_acr_v1_manifest_t *item,
    json_t *object, ngx_log_t *log);
static ngx_int_t ngx_http_acr_v1_load(ngx_http_acr_v1_manifests_t *list,
    acr_digest_t *digest, u_char **p, size_t *n, ngx_log_t *log);
static ngx_int_t ngx_http_acr_v1_about_load(ngx_http_acr_v1_manifests_t *list,
    acr_digest_t *digest, acr_about_t *about, ngx_log_t *log);
static ngx_int_t ngx_http_acr_v1_about_children(
    ngx_http_acr_v1_manifests_t *list, acr_about_t *about, ngx_log_t *log);
static ngx_int_t ngx_http_acr_v1_about_platform(
    ngx_http_acr_v1_manifests_t *list, acr_about_t *about, json_t *object,
    ngx_log_t *log);
static void ngx_http_acr_v1_manifests_done(ngx_http_request_t *r, void *data,
    ngx_int_t rc);


/* GET /acr/v1/<name>/_manifests/<digest> */

void
ngx_http_acr_v1_manifest_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_str_t                     args[2];
    acr_digest_t                  digest;
    ngx_http_acr_v1_manifests_t  *list;

    if (ngx_http_acr_need_digest(r, &digest, &ctx->reference) != NGX_OK) {
        return;
    }

    list = ngx_http_acr_v1_manifests_create(r, ctx);

    if (list == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    list->one = 1;

    args[0] = ctx->repository;
    args[1] = ctx->digest;

    ngx_http_acr_ask(r, ACR_SCRIPT_ACR_MANIFEST, args, 2,
                     ngx_http_acr_v1_manifest_found, list);
}


/* GET /acr/v1/<name>/_manifests */

void
ngx_http_acr_v1_manifests_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_str_t                     args[5];
    ngx_http_acr_v1_manifests_t  *list;

    list = ngx_http_acr_v1_manifests_create(r, ctx);

    if (list == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    if (ngx_http_acr_v1_page(r, &list->page, NGX_HTTP_ACR_V1_MANIFESTS)
        != NGX_OK)
    {
        return;
    }

    args[0] = ctx->repository;
    args[1] = list->page.last;
    args[2] = list->page.number_text;
    args[3] = list->page.order;
    args[4] = list->page.time;

    ngx_http_acr_ask(r, ACR_SCRIPT_ACR_MANIFESTS, args, 5,
                     ngx_http_acr_v1_manifests_found, list);
}


static ngx_http_acr_v1_manifests_t *
ngx_http_acr_v1_manifests_create(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_acr_v1_manifests_t  *list;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_v1_manifests_t));

    if (cln == NULL) {
        return NULL;
    }

    list = cln->data;

    ngx_memzero(list, sizeof(ngx_http_acr_v1_manifests_t));

    list->ctx = ctx;
    list->store = &ctx->registry->store;

    cln->handler = ngx_http_acr_v1_manifests_cleanup;

    if (ngx_array_init(&list->items, r->pool, 4,
                       sizeof(ngx_http_acr_v1_manifest_t))
        != NGX_OK)
    {
        return NULL;
    }

    return list;
}


static void
ngx_http_acr_v1_manifests_cleanup(void *data)
{
    ngx_http_acr_v1_manifests_t *list = data;

    free(list->text);

    if (list->reading) {
        list->ctx->registry->reading--;
    }
}


static void
ngx_http_acr_v1_manifest_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_v1_manifests_t *list = data;

    ngx_http_acr_ctx_t  *ctx;

    ctx = list->ctx;

    if (reply->status == NGX_HTTP_ACR_META_MISS && reply->n == 1) {

        if (reply->v[0].data[0] == '1') {
            ngx_http_acr_fail(r, ACR_E_MANIFEST_UNKNOWN, NULL, "digest",
                              &ctx->digest);

        } else {
            ngx_http_acr_v1_unknown(r);
        }

        return;
    }

    if (reply->status != NGX_HTTP_ACR_META_OK || reply->n < 3) {
        ngx_http_acr_manifest_unexpected(r);
        return;
    }

    if (ngx_http_acr_v1_manifest_copy(r, list, &ctx->digest, reply->v,
                                      &reply->v[3], reply->n - 3)
        != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_v1_manifests_run(r, list);
}


static void
ngx_http_acr_v1_manifests_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_v1_manifests_t *list = data;

    ngx_int_t    n;
    ngx_str_t   *v;
    ngx_uint_t   left;

    if (reply->status != NGX_HTTP_ACR_META_OK || reply->n < 4
        || reply->v[0].len != 1)
    {
        ngx_http_acr_manifest_unexpected(r);
        return;
    }

    if (reply->v[0].data[0] != '1') {
        ngx_http_acr_v1_unknown(r);
        return;
    }

    v = &reply->v[4];
    left = reply->n - 4;

    while (left) {
        n = (left < NGX_HTTP_ACR_V1_MANIFEST)
            ? NGX_ERROR : ngx_atoi(v[4].data, v[4].len);

        if (n == NGX_ERROR
            || (ngx_uint_t) n > left - NGX_HTTP_ACR_V1_MANIFEST)
        {
            ngx_http_acr_manifest_unexpected(r);
            return;
        }

        if (ngx_http_acr_v1_manifest_copy(r, list, &v[0], &v[1],
                                          &v[NGX_HTTP_ACR_V1_MANIFEST], n)
            != NGX_OK)
        {
            ngx_http_acr_fail_errno(r, NGX_ERROR);
            return;
        }

        v += NGX_HTTP_ACR_V1_MANIFEST + n;
        left -= NGX_HTTP_ACR_V1_MANIFEST + n;
    }

    if (ngx_http_acr_v1_link(r, "_manifests", &list->page, &reply->v[1])
        != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_v1_manifests_run(r, list);
}


/* v: "<size> <media type>", time, attributes */

static ngx_int_t
ngx_http_acr_v1_manifest_copy(ngx_http_request_t *r,
    ngx_http_acr_v1_manifests_t *list, ngx_str_t *digest, ngx_str_t *v,
    ngx_str_t *tags, ngx_uint_t ntags)
{
    u_char                      *p;
    ngx_str_t                    type;
    ngx_uint_t                   i;
    ngx_http_acr_v1_manifest_t  *item;

    struct {
        ngx_str_t  *to;
        ngx_str_t  *from;
    } texts[4];

    item = ngx_array_push(&list->items);

    if (item == NULL) {
        return NGX_ERROR;
    }

    /* none of its manifests, or the index has been meddled with */

    type = v[0];
    p = ngx_strlchr(type.data, type.data + type.len, ' ');

    if (p) {
        type.len -= p + 1 - type.data;
        type.data = p + 1;
    }

    texts[0].to = &item->digest;
    texts[0].from = digest;
    texts[1].to = &item->type;
    texts[1].from = &type;
    texts[2].to = &item->time;
    texts[2].from = &v[1];
    texts[3].to = &item->attributes;
    texts[3].from = &v[2];

    for (i = 0; i < 4; i++) {
        texts[i].to->len = texts[i].from->len;
        texts[i].to->data = ngx_pstrdup(r->pool, texts[i].from);

        if (texts[i].to->data == NULL) {
            return NGX_ERROR;
        }
    }

    item->ntags = ntags;
    item->tags = ngx_palloc(r->pool, ntags * sizeof(ngx_str_t) + 1);

    if (item->tags == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < ntags; i++) {
        item->tags[i].len = tags[i].len;
        item->tags[i].data = ngx_pstrdup(r->pool, &tags[i]);

        if (item->tags[i].data == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_acr_v1_manifests_run(ngx_http_request_t *r,
    ngx_http_acr_v1_manifests_t *list)
{
    if (ngx_http_acr_service(r, &list->registry) != NGX_OK) {
        return;
    }

    ngx_http_acr_v1_manifests_wait(r, list, NGX_OK);
}


static void
ngx_http_acr_v1_manifests_wait(ngx_http_request_t *r, void *data,
    ngx_int_t rc)
{
    ngx_http_acr_v1_manifests_t *list = data;

    ngx_http_acr_registry_t  *registry;

    registry = list->ctx->registry;

    /* who has waited may have left meanwhile */

    if (r->connection->read->pending_eof || r->connection->error) {
        ngx_http_acr_finalize(r, NGX_HTTP_CLIENT_CLOSED_REQUEST);
        return;
    }

    if (registry->reading == NGX_HTTP_ACR_V1_AT_ONCE) {
        ngx_http_acr_later(r, NGX_HTTP_ACR_V1_RETRY,
                           ngx_http_acr_v1_manifests_wait, list);
        return;
    }

    registry->reading++;
    list->reading = 1;

    ngx_http_acr_run(r, registry->slow, ngx_http_acr_v1_manifests_read, list,
                     ngx_http_acr_v1_manifests_done);
}


static ngx_int_t
ngx_http_acr_v1_manifests_read(void *data, ngx_log_t *log)
{
    ngx_http_acr_v1_manifests_t *list = data;

    json_t  *root;

    root = ngx_http_acr_v1_manifests_json(list, log);

    if (root) {
        list->text = json_dumps(root, JSON_COMPACT);
        json_decref(root);
    }

    return list->text ? NGX_OK : NGX_ERROR;
}


/* NULL: no memory */

static json_t *
ngx_http_acr_v1_manifests_json(ngx_http_acr_v1_manifests_t *list,
    ngx_log_t *log)
{
    json_t                      *root, *array;
    ngx_uint_t                   i;
    ngx_http_acr_v1_manifest_t  *item;

    root = ngx_http_acr_v1_root(&list->registry, &list->ctx->repository);
    item = list->items.elts;

    if (list->one) {

        if (root == NULL
            || json_object_set_new(root, "manifest",
                                   ngx_http_acr_v1_manifest_json(list, item,
                                                                 log))
               != 0)
        {
            goto failed;
        }

        return root;
    }

    array = json_array();

    if (root == NULL || json_object_set_new(root, "manifests", array) != 0) {
        goto failed;
    }

    for (i = 0; i < list->items.nelts; i++) {

        if (json_array_append_new(array,
                                  ngx_http_acr_v1_manifest_json(list,
                                                                &item[i],
                                                                log))
            != 0)
        {
            goto failed;
        }
    }

    return root;

failed:

    json_decref(root);

    return NULL;
}


static json_t *
ngx_http_acr_v1_manifest_json(ngx_http_acr_v1_manifests_t *list,
    ngx_http_acr_v1_manifest_t *item, ngx_log_t *log)
{
    json_t      *object, *tags;
    ngx_uint_t   i;

    /* a manifest never changes: both times are that of its push */

    object = json_pack("{s:s%, s:o, s:o, s:s%}",
                       "digest", item->digest.data, item->digest.len,
                       "createdTime", ngx_http_acr_v1_time(&item->time),
                       "lastUpdateTime", ngx_http_acr_v1_time(&item->time),
                       "mediaType", item->type.data, item->type.len);

    if (object == NULL
        || ngx_http_acr_v1_attributes(object, &item->attributes) != NGX_OK)
    {
        goto failed;
    }

    if (item->ntags) {
        tags = json_array();

        if (json_object_set_new(object, "tags", tags) != 0) {
            goto failed;
        }

        for (i = 0; i < item->ntags; i++) {

            if (json_array_append_new(tags,
                                  json_stringn((char *) item->tags[i].data,
                                               item->tags[i].len))
                != 0)
            {
                goto failed;
            }
        }
    }

    if (ngx_http_acr_v1_manifest_about(list, item, object, log) != NGX_OK) {
        goto failed;
    }

    return object;

failed:

    json_decref(object);

    return NULL;
}


/* what cannot be read is left out; NGX_ERROR: no memory */

static ngx_int_t
ngx_http_acr_v1_manifest_about(ngx_http_acr_v1_manifests_t *list,
    ngx_http_acr_v1_manifest_t *item, json_t *object, ngx_log_t *log)
{
    ngx_int_t      rc;
    acr_about_t    about;
    acr_digest_t   digest;

    if (acr_digest_parse(&digest, item->digest.data, item->digest.len)
        != ACR_OK)
    {
        return NGX_OK;
    }

    rc = ngx_http_acr_v1_about_load(list, &digest, &about, log);

    if (rc != NGX_OK) {
        return (rc == NGX_ENOMEM) ? NGX_ERROR : NGX_OK;
    }

    /* a list of indexes would be of all that they name */

    if (!list->one) {
        json_decref(about.references);
        about.references = NULL;
    }

    rc = NGX_ERROR;

    if (ngx_http_acr_v1_about_children(list, &about, log) != NGX_OK) {
        goto done;
    }

    if (!about.partial
        && json_object_set_new(object, "imageSize",
                               json_integer((json_int_t) about.size))
           != 0)
    {
        goto done;
    }

    if (about.config_media_type
        && json_object_set_new(object, "configMediaType",
                               json_string(about.config_media_type))
           != 0)
    {
        goto done;
    }

    if (json_array_size(about.references)
        && json_object_set(object, "references", about.references) != 0)
    {
        goto done;
    }

    rc = ngx_http_acr_v1_about_platform(list, &about, object, log);

done:

    acr_about_free(&about);

    return rc;
}


/* NGX_DECLINED also for what is too much */

static ngx_int_t
ngx_http_acr_v1_load(ngx_http_acr_v1_manifests_t *list, acr_digest_t *digest,
    u_char **p, size_t *n, ngx_log_t *log)
{
    off_t      size;
    ngx_int_t  rc;

    rc = ngx_http_acr_store_size(list->store, digest, &size, log);

    if (rc != NGX_OK) {
        return rc;
    }

    if (list->files == NGX_HTTP_ACR_V1_FILES
        || (uint64_t) size > NGX_HTTP_ACR_V1_BYTES - list->bytes)
    {
        return NGX_DECLINED;
    }

    list->files++;
    list->bytes += (size_t) size;

    return ngx_http_acr_store_load(list->store, digest, (size_t) size, p, n,
                                   log);
}


/* on NGX_OK about is to be freed */

static ngx_int_t
ngx_http_acr_v1_about_load(ngx_http_acr_v1_manifests_t *list,
    acr_digest_t *digest, acr_about_t *about, ngx_log_t *log)
{
    int         found;
    u_char     *p;
    size_t      n;
    ngx_int_t   rc;

    rc = ngx_http_acr_v1_load(list, digest, &p, &n, log);

    if (rc != NGX_OK) {
        return rc;
    }

    found = acr_about_manifest(about, p, n);

    ngx_free(p);

    if (found != ACR_OK) {
        acr_about_free(about);
        return (found == ACR_NOMEM) ? NGX_ENOMEM : NGX_DECLINED;
    }

    return NGX_OK;
}


/* the size of an index is that of the manifests which the repository has */

static ngx_int_t
ngx_http_acr_v1_about_children(ngx_http_acr_v1_manifests_t *list,
    acr_about_t *about, ngx_log_t *log)
{
    size_t       i;
    ngx_int_t    rc;
    acr_about_t  child;

    for (i = 0; i < about->nchildren; i++) {

        if (list->files == NGX_HTTP_ACR_V1_FILES) {
            about->partial = 1;
            return NGX_OK;
        }

        rc = ngx_http_acr_store_find_link(list->store,
                                          &list->ctx->repository,
                                          NGX_HTTP_ACR_REVISION,
                                          &about->children[i], log);
        if (rc != NGX_OK) {
            continue;
        }

        rc = ngx_http_acr_v1_about_load(list, &about->children[i], &child,
                                        log);

        if (rc == NGX_ENOMEM) {
            return NGX_ERROR;
        }

        if (rc != NGX_OK) {
            about->partial = 1;
            return NGX_OK;
        }

        if (child.partial || about->size > INT64_MAX - child.size) {
            about->partial = 1;

        } else {
            about->size += child.size;
        }

        acr_about_free(&child);
    }

    return NGX_OK;
}


/* of the config, if it is the repository's */

static ngx_int_t
ngx_http_acr_v1_about_platform(ngx_http_acr_v1_manifests_t *list,
    acr_about_t *about, json_t *object, ngx_log_t *log)
{
    u_char     *p;
    size_t      n;
    json_t     *architecture, *os;
    ngx_int_t   rc;

    if (!about->has_config
        || ngx_http_acr_store_find_link(list->store, &list->ctx->repository,
                                        NGX_HTTP_ACR_LAYER, &about->config,
                                        log)
           != NGX_OK)
    {
        return NGX_OK;
    }

    rc = ngx_http_acr_v1_load(list, &about->config, &p, &n, log);
    if (rc != NGX_OK) {
        return (rc == NGX_ENOMEM) ? NGX_ERROR : NGX_OK;
    }

    rc = acr_about_config(p, n, &architecture, &os) == ACR_OK ? NGX_OK
                                                              : NGX_ERROR;
    ngx_free(p);

    if (architecture
        && json_object_set_new(object, "architecture", architecture) != 0)
    {
        rc = NGX_ERROR;
    }

    if (os && json_object_set_new(object, "os", os) != 0) {
        rc = NGX_ERROR;
    }

    return rc;
}


static void
ngx_http_acr_v1_manifests_done(ngx_http_request_t *r, void *data,
    ngx_int_t rc)
{
    ngx_http_acr_v1_manifests_t *list = data;

    if (rc != NGX_OK) {
        ngx_http_acr_fail_errno(r, rc);
        return;
    }

    list->ctx->registry->reading--;
    list->reading = 0;

    /* the text lives as long as the request */

    ngx_http_acr_send_body(r, NGX_HTTP_OK, NGX_HTTP_ACR_JSON_UTF8,
                           (u_char *) list->text, ngx_strlen(list->text));
}
