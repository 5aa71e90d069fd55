
/*
 * Content that is being fetched from another registry: acr/fills.
 *
 * A file grows from its beginning, and others read it meanwhile.  Beside it is
 * what is known of it at a moment when its data was synced: how much, the state
 * of the hash, the size and ETag of all.
 */

#include "ngx_http_acr_store_path.h"

#include "../oci/acr_json.h"


#define NGX_HTTP_ACR_STORE_FILLS       "/acr/fills/"
#define NGX_HTTP_ACR_STORE_FILL_STATE  ".state"

/* the whole of such a file is well below */
#define NGX_HTTP_ACR_STORE_FILL_FILE   4096


static void ngx_http_acr_store_fill_path(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, acr_digest_t *digest, const char *tail);
static void ngx_http_acr_store_fill_anew(ngx_http_acr_store_fill_t *fill);
static ngx_int_t ngx_http_acr_store_fill_load(ngx_http_acr_store_t *store,
    ngx_http_acr_store_fill_t *fill, ngx_log_t *log);
static ngx_uint_t ngx_http_acr_store_fill_parse(
    ngx_http_acr_store_fill_t *fill, json_t *root);
static ngx_int_t ngx_http_acr_store_fill_hex(acr_text_t text, u_char *buf,
    size_t size);
static json_t *ngx_http_acr_store_fill_json(ngx_http_acr_store_fill_t *fill);


static void
ngx_http_acr_store_fill_path(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, acr_digest_t *digest, const char *tail)
{
    size_t   start;

    ngx_http_acr_store_path_set(path, store, NGX_HTTP_ACR_STORE_FILLS);
    ngx_http_acr_store_path_add(path, store->node.data, store->node.len);
    ngx_http_acr_store_path_add(path, ".", 1);

    start = path->len;
    ngx_http_acr_store_path_digest(path, digest);

    /* one name, no directory */

    if (path->len > start + digest->alg->name_len) {
        path->data[start + digest->alg->name_len] = '-';
    }

    ngx_http_acr_store_path_add(path, tail, ngx_strlen(tail));
}


ngx_int_t
ngx_http_acr_store_fill_open(ngx_http_acr_store_t *store,
    ngx_http_acr_store_fill_t *fill, ngx_log_t *log)
{
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  path;

    fill->fd = -1;

    rc = ngx_http_acr_store_size(store, &fill->digest, &fill->size, log);

    if (rc != NGX_DECLINED) {
        return (rc == NGX_OK) ? NGX_DONE : rc;
    }

    ngx_http_acr_store_fill_anew(fill);
    ngx_http_acr_store_fill_path(&path, store, &fill->digest, "");

    rc = ngx_http_acr_store_open(store, &path, O_RDWR|O_CREAT, &fill->fd, log);

    if (rc != NGX_OK) {
        fill->fd = -1;
        return rc;
    }

    rc = ngx_http_acr_store_fill_load(store, fill, log);

    if (rc != NGX_OK) {
        (void) close(fill->fd);
        fill->fd = -1;
    }

    return rc;
}


static void
ngx_http_acr_store_fill_anew(ngx_http_acr_store_fill_t *fill)
{
    fill->offset = 0;
    fill->size = -1;
    fill->etag_len = 0;

    acr_hash_init(&fill->hash, fill->digest.alg);
}


/* a state that is torn, or of another file, is none */

static ngx_int_t
ngx_http_acr_store_fill_load(ngx_http_acr_store_t *store,
    ngx_http_acr_store_fill_t *fill, ngx_log_t *log)
{
    size_t                     n;
    u_char                     text[NGX_HTTP_ACR_STORE_FILL_FILE];
    json_t                    *root;
    ngx_int_t                  rc;
    const char                *error;
    struct stat                st;
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_fill_path(&path, store, &fill->digest,
                                 NGX_HTTP_ACR_STORE_FILL_STATE);
    n = sizeof(text);

    rc = ngx_http_acr_store_read(&path, text, &n, NULL, log);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (fstat(fill->fd, &st) == -1) {
        return ngx_http_acr_store_fd_failed(log, ngx_errno, "fstat()",
                                            fill->fd);
    }

    rc = acr_json_load(&root, text, n, &error);

    if (rc == ACR_NOMEM) {
        return ngx_http_acr_store_failed(log, ENOMEM, "read()", path.data);
    }

    if (rc == ACR_OK) {

        if (ngx_http_acr_store_fill_parse(fill, root)
            && st.st_size >= fill->offset)
        {
            json_decref(root);
            return NGX_OK;
        }

        json_decref(root);
    }

    ngx_log_error(NGX_LOG_WARN, log, 0,
                  "acr: \"%s\" does not fit its file, which is fetched anew",
                  path.data);

    ngx_http_acr_store_fill_anew(fill);

    return NGX_OK;
}


/* 1 if it is a state of this digest */

static ngx_uint_t
ngx_http_acr_store_fill_parse(ngx_http_acr_store_fill_t *fill, json_t *root)
{
    u_char       hash[ACR_HASH_SAVED_MAX];
    ngx_int_t    n;
    acr_text_t   etag;

    fill->offset = json_integer_value(json_object_get(root, "offset"));
    fill->size = json_is_integer(json_object_get(root, "size"))
                 ? json_integer_value(json_object_get(root, "size")) : -1;

    etag = acr_json_text(json_object_get(root, "etag"));

    n = ngx_http_acr_store_fill_hex(
                           acr_json_text(json_object_get(root, "hash")), hash,
                           sizeof(hash));

    if (n == NGX_ERROR
        || etag.len > sizeof(fill->etag)
        || acr_hash_restore(&fill->hash, hash, n) != ACR_OK
        || fill->hash.alg != fill->digest.alg
        || fill->offset < 0
        || acr_hash_count(&fill->hash) != (uint64_t) fill->offset
        || fill->size < -1
        || (fill->size != -1 && fill->size < fill->offset))
    {
        return 0;
    }

    fill->etag_len = etag.len;

    if (etag.len) {
        ngx_memcpy(fill->etag, etag.data, etag.len);
    }

    return 1;
}


/* the number of bytes, or NGX_ERROR */

static ngx_int_t
ngx_http_acr_store_fill_hex(acr_text_t text, u_char *buf, size_t size)
{
    size_t       i;
    const char  *high, *low;

    static const char  digits[] = "0123456789abcdef";

    if (text.len == 0 || text.len % 2 || text.len / 2 > size) {
        return NGX_ERROR;
    }

    for (i = 0; i < text.len; i += 2) {
        high = strchr(digits, text.data[i]);
        low = strchr(digits, text.data[i + 1]);

        if (high == NULL || low == NULL || *high == '\0' || *low == '\0') {
            return NGX_ERROR;
        }

        buf[i / 2] = (u_char) ((high - digits) << 4 | (low - digits));
    }

    return text.len / 2;
}


ngx_int_t
ngx_http_acr_store_fill_read(ngx_http_acr_store_t *store,
    acr_digest_t *digest, int *fd, ngx_log_t *log)
{
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_fill_path(&path, store, digest, "");

    do {
        *fd = open(path.data, O_RDONLY|O_CLOEXEC);
    } while (*fd == -1 && ngx_errno == EINTR);

    if (*fd != -1) {
        return NGX_OK;
    }

    if (ngx_http_acr_store_gone(ngx_errno)) {
        return NGX_DECLINED;
    }

    return ngx_http_acr_store_failed(log, ngx_errno, "open()", path.data);
}


ngx_int_t
ngx_http_acr_store_fill_save(ngx_http_acr_store_t *store,
    ngx_http_acr_store_fill_t *fill, ngx_log_t *log)
{
    char                       *text;
    json_t                     *root;
    ngx_int_t                   rc;
    ngx_http_acr_store_path_t   path;

    rc = ngx_http_acr_store_sync(store, fill->fd, log);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_acr_store_fill_path(&path, store, &fill->digest,
                                 NGX_HTTP_ACR_STORE_FILL_STATE);

    root = ngx_http_acr_store_fill_json(fill);
    text = root ? json_dumps(root, JSON_COMPACT) : NULL;

    json_decref(root);

    if (text == NULL) {
        return ngx_http_acr_store_failed(log, ENOMEM, "write()", path.data);
    }

    rc = ngx_http_acr_store_replace(store, &path, text, ngx_strlen(text), log);

    free(text);

    return rc;
}


static json_t *
ngx_http_acr_store_fill_json(ngx_http_acr_store_fill_t *fill)
{
    size_t        i, n;
    char          hex[2 * ACR_HASH_SAVED_MAX + 1];
    json_t       *root;
    u_char        hash[ACR_HASH_SAVED_MAX];

    n = acr_hash_save(&fill->hash, hash);

    for (i = 0; i < n; i++) {
        (void) snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    }

    root = json_pack("{s:I, s:s}", "offset", (json_int_t) fill->offset,
                     "hash", hex);

    if (root == NULL) {
        return NULL;
    }

    if ((fill->size != -1
         && json_object_set_new(root, "size", json_integer(fill->size)) == -1)
        || (fill->etag_len
            && json_object_set_new(root, "etag",
                                   json_stringn((char *) fill->etag,
                                                fill->etag_len))
               == -1))
    {
        json_decref(root);
        return NULL;
    }

    return root;
}


ngx_int_t
ngx_http_acr_store_fill_commit(ngx_http_acr_store_t *store,
    ngx_http_acr_store_fill_t *fill, ngx_log_t *log)
{
    int                        lock;
    ngx_int_t                  rc;
    struct stat                st;
    ngx_http_acr_store_path_t  path;

    if (fstat(fill->fd, &st) == -1) {
        return ngx_http_acr_store_fd_failed(log, ngx_errno, "fstat()",
                                            fill->fd);
    }

    if (st.st_size < fill->size) {
        return ngx_http_acr_store_fd_failed(log, ENOENT, "fstat()", fill->fd);
    }

    /* an origin that has been another one before may have sent more */

    if (st.st_size > fill->size && ftruncate(fill->fd, fill->size) == -1) {
        return ngx_http_acr_store_fd_failed(log, ngx_errno, "ftruncate()",
                                            fill->fd);
    }

    /* it may have been whole for long, when somebody died */

    (void) futimens(fill->fd, NULL);

    rc = ngx_http_acr_store_sync(store, fill->fd, log);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_acr_store_fill_path(&path, store, &fill->digest, "");

    lock = -1;

    rc = ngx_http_acr_store_rename_blob(store, &path, &fill->digest, &lock,
                                        log);

    ngx_http_acr_store_unlock(&lock, log);

    if (rc != NGX_OK) {
        return rc;
    }

    /* without its file it says nothing */

    ngx_http_acr_store_fill_path(&path, store, &fill->digest,
                                 NGX_HTTP_ACR_STORE_FILL_STATE);

    (void) ngx_http_acr_store_unlink(&path, log);

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_store_fill_discard(ngx_http_acr_store_t *store,
    acr_digest_t *digest, ngx_log_t *log)
{
    ngx_int_t                  rc;
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_fill_path(&path, store, digest,
                                 NGX_HTTP_ACR_STORE_FILL_STATE);

    rc = ngx_http_acr_store_unlink(&path, log);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_acr_store_fill_path(&path, store, digest, "");

    return ngx_http_acr_store_unlink(&path, log);
}
