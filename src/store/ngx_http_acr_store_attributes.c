
/*
 * Attributes of repositories, tags and manifests.  Only those that are not the
 * default have a file.
 */

#include "ngx_http_acr_store_path.h"


#define NGX_HTTP_ACR_STORE_CLOSED  "dwr - "


static void ngx_http_acr_store_attributes_path(
    ngx_http_acr_store_path_t *path, ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *name);
static ngx_int_t ngx_http_acr_store_readable_one(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *name, ngx_log_t *log);


ngx_int_t
ngx_http_acr_store_attributes_apply(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *name, ngx_str_t *text, ngx_log_t *log)
{
    char                       *json;
    json_t                     *root;
    ngx_int_t                   rc;
    acr_attributes_t            attributes;
    ngx_http_acr_store_path_t   path;

    ngx_http_acr_store_attributes_path(&path, store, repository, name);

    if (text->len == 0) {
        return ngx_http_acr_store_detail_remove(store, &path, log);
    }

    if (acr_attributes_parse(&attributes, text->data, text->len) != ACR_OK) {
        return ngx_http_acr_store_failed(log, EINVAL, "write()", path.data);
    }

    root = acr_attributes_json(&attributes);
    json = root ? json_dumps(root, JSON_COMPACT) : NULL;

    json_decref(root);

    if (json == NULL) {
        return ngx_http_acr_store_failed(log, ENOMEM, "write()", path.data);
    }

    rc = ngx_http_acr_store_replace(store, &path, json, ngx_strlen(json),
                                    log);
    free(json);

    return rc;
}


ngx_int_t
ngx_http_acr_store_attributes_read(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *name, u_char *buf, size_t *len,
    ngx_log_t *log)
{
    size_t                      n;
    u_char                     *json;
    ngx_int_t                   rc;
    ngx_http_acr_store_path_t   path;

    *len = 0;

    ngx_http_acr_store_attributes_path(&path, store, repository, name);

    /* nothing is allocated for the many that have none */

    if (access(path.data, F_OK) == -1 && ngx_http_acr_store_gone(ngx_errno)) {
        return NGX_OK;
    }

    n = ACR_ATTRIBUTES_JSON_MAX + 1;
    json = ngx_alloc(n, log);

    if (json == NULL) {
        return ENOMEM;
    }

    rc = ngx_http_acr_store_read(&path, json, &n, NULL, log);

    if (rc == NGX_OK) {

        switch (acr_attributes_load(buf, len, json, n)) {

        case ACR_OK:
            break;

        case ACR_NOMEM:
            rc = ENOMEM;
            break;

        default:
            rc = ngx_http_acr_store_failed(log, EIO, "reading attributes in",
                                           path.data);
        }

    } else if (rc == NGX_DECLINED) {
        rc = NGX_OK;
    }

    ngx_free(json);

    /* waiting does not help with any of these */

    if (rc == EACCES || rc == EPERM || rc == EISDIR || rc == ELOOP) {
        rc = EIO;
    }

    if (rc == EIO) {
        *len = sizeof(NGX_HTTP_ACR_STORE_CLOSED) - 1;
        ngx_memcpy(buf, NGX_HTTP_ACR_STORE_CLOSED, *len);
    }

    return rc;
}


ngx_int_t
ngx_http_acr_store_readable(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *tag, acr_digest_t *digest,
    ngx_log_t *log)
{
    u_char      text[ACR_DIGEST_MAX];
    ngx_int_t   rc;
    ngx_str_t   name;

    if (!ngx_http_acr_store_has_details(store, repository)) {
        return NGX_OK;
    }

    ngx_str_null(&name);

    rc = ngx_http_acr_store_readable_one(store, repository, &name, log);

    if (rc == NGX_OK && tag) {
        rc = ngx_http_acr_store_readable_one(store, repository, tag, log);
    }

    if (rc == NGX_OK && digest) {
        name.data = text;
        name.len = acr_digest_print(text, digest);

        rc = ngx_http_acr_store_readable_one(store, repository, &name, log);
    }

    return rc;
}


static ngx_int_t
ngx_http_acr_store_readable_one(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *name, ngx_log_t *log)
{
    size_t             len;
    u_char             text[ACR_ATTRIBUTES_MAX];
    ngx_int_t          rc;
    acr_attributes_t   attributes;

    rc = ngx_http_acr_store_attributes_read(store, repository, name, text,
                                            &len, log);

    if (rc != NGX_OK && rc != EIO) {
        return rc;
    }

    if (acr_attributes_parse(&attributes, text, len) != ACR_OK
        || (attributes.off & ACR_ATTRIBUTE_READ))
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_http_acr_store_has_details(ngx_http_acr_store_t *store,
    ngx_str_t *repository)
{
    ngx_http_acr_store_path_t  path;

    ngx_http_acr_store_path_set(&path, store, NGX_HTTP_ACR_STORE_DETAILS);
    ngx_http_acr_store_path_add(&path, repository->data, repository->len);

    return access(path.data, F_OK) == 0 || !ngx_http_acr_store_gone(ngx_errno);
}


/*
 * Nothing is made in these directories but at their beginning (and for another
 * algorithm), so their time is the one of the first push.
 */

int64_t
ngx_http_acr_store_created(ngx_http_acr_store_t *store, ngx_str_t *repository)
{
    int64_t                    created, time;
    ngx_uint_t                 i;
    struct stat                st;
    ngx_http_acr_store_path_t  path;

    static const char         *dirs[] = { "/_layers", "/_manifests" };

    created = 0;

    for (i = 0; i < 2; i++) {
        ngx_http_acr_store_path_repository(&path, store, repository, dirs[i]);

        if (stat(path.data, &st) == -1) {
            continue;
        }

        time = ngx_http_acr_store_mtime(&st);

        if (created == 0 || time < created) {
            created = time;
        }
    }

    return created;
}


static void
ngx_http_acr_store_attributes_path(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, ngx_str_t *repository, ngx_str_t *name)
{
    acr_digest_t  digest;

#define ngx_http_acr_store_attributes_add(s)                                 \
    ngx_http_acr_store_path_add(path, s, sizeof(s) - 1)

    ngx_http_acr_store_path_set(path, store, NGX_HTTP_ACR_STORE_DETAILS);
    ngx_http_acr_store_path_add(path, repository->data, repository->len);

    if (name->len == 0) {
        ngx_http_acr_store_attributes_add("/_attributes.json");

    } else if (acr_digest_parse(&digest, name->data, name->len) == ACR_OK) {
        ngx_http_acr_store_attributes_add("/_manifests/");
        ngx_http_acr_store_path_digest(path, &digest);
        ngx_http_acr_store_attributes_add(".attributes.json");

    } else {
        ngx_http_acr_store_attributes_add("/_tags/");
        ngx_http_acr_store_path_add(path, name->data, name->len);
        ngx_http_acr_store_attributes_add(".json");
    }

#undef ngx_http_acr_store_attributes_add
}
