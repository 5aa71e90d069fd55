
/*
 * What a repository has: layers, revisions, tags.
 */

#include "ngx_http_acr_store_path.h"


struct ngx_http_acr_store_list_s {
    ngx_http_acr_store_t        *store;
    ngx_str_t                    repository;
    ngx_uint_t                   kind;
    ngx_uint_t                   next;     /* directory, as numbered below */
    const acr_algorithm_t       *alg;      /* of the one that is open */
    DIR                         *dir;
    size_t                       len;      /* of its path */
    ngx_http_acr_store_path_t    path;
    u_char                       name[ACR_NAME_MAX];
};


static ngx_int_t ngx_http_acr_store_list_enter(
    ngx_http_acr_store_list_t *list, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_list_name(ngx_http_acr_store_list_t *list,
    ngx_http_acr_store_entry_t *entry, const char *name, ngx_str_t *lock);
static ngx_int_t ngx_http_acr_store_list_read(ngx_http_acr_store_list_t *list,
    ngx_http_acr_store_entry_t *entry, ngx_str_t *name, ngx_log_t *log);
static void ngx_http_acr_store_list_created(ngx_http_acr_store_list_t *list,
    ngx_http_acr_store_entry_t *entry);


ngx_http_acr_store_list_t *
ngx_http_acr_store_list_open(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_uint_t kind, ngx_log_t *log)
{
    ngx_http_acr_store_list_t  *list;

    if (repository->len > ACR_NAME_MAX) {
        (void) ngx_http_acr_store_failed(log, ENAMETOOLONG, "opendir()",
                                         NGX_HTTP_ACR_STORE_REPOSITORIES);
        return NULL;
    }

    list = ngx_alloc(sizeof(ngx_http_acr_store_list_t), log);

    if (list == NULL) {
        return NULL;
    }

    list->store = store;
    list->kind = kind;
    list->next = 0;
    list->alg = NULL;
    list->dir = NULL;

    list->repository.len = repository->len;
    list->repository.data = list->name;
    ngx_memcpy(list->name, repository->data, repository->len);

    return list;
}


ngx_int_t
ngx_http_acr_store_list_next(ngx_http_acr_store_list_t *list,
    ngx_http_acr_store_entry_t *entry, ngx_log_t *log)
{
    u_char       text[ACR_DIGEST_MAX];
    ngx_int_t    rc;
    ngx_str_t    lock;
    const char  *name;

    lock.data = text;

    for ( ;; ) {

        if (list->dir == NULL) {
            rc = ngx_http_acr_store_list_enter(list, log);

            if (rc == NGX_DECLINED) {
                continue;
            }

            if (rc != NGX_OK) {
                return rc;
            }
        }

        ngx_http_acr_store_path_cut(&list->path, list->len);

        rc = ngx_http_acr_store_dir_read(list->dir, &list->path, &name, log);

        if (rc != NGX_OK) {
            (void) closedir(list->dir);
            list->dir = NULL;

            if (rc != NGX_DONE) {
                return rc;
            }

            continue;
        }

        if (ngx_http_acr_store_list_name(list, entry, name, &lock) != NGX_OK)
        {
            continue;
        }

        rc = ngx_http_acr_store_list_read(list, entry, &lock, log);

        if (rc == NGX_DECLINED) {
            continue;
        }

        return rc == NGX_ABORT ? NGX_DECLINED : rc;
    }
}


void
ngx_http_acr_store_list_close(ngx_http_acr_store_list_t *list)
{
    if (list->dir) {
        (void) closedir(list->dir);
    }

    ngx_free(list);
}


/*
 * Tags are in one directory, digests in one for each algorithm.  NGX_DECLINED:
 * it is not there; NGX_DONE: there is no further one.
 */

static ngx_int_t
ngx_http_acr_store_list_enter(ngx_http_acr_store_list_t *list, ngx_log_t *log)
{
    const char  *below;

    if (list->kind == NGX_HTTP_ACR_TAG) {

        if (list->next) {
            return NGX_DONE;
        }

        below = "/_manifests/tags";

    } else {
        list->alg = acr_algorithm_by_id(list->next);

        if (list->alg == NULL) {
            return NGX_DONE;
        }

        below = (list->kind == NGX_HTTP_ACR_LAYER) ? "/_layers/"
                                                   : "/_manifests/revisions/";
    }

    list->next++;

    ngx_http_acr_store_path_repository(&list->path, list->store,
                                       &list->repository, below);

    if (list->alg) {
        ngx_http_acr_store_path_add(&list->path, list->alg->name,
                                    list->alg->name_len);
    }

    list->len = list->path.len;

    return ngx_http_acr_store_dir_open(&list->path, &list->dir, log);
}


/*
 * What the entry is, the path of its link, and the name that its lock has:
 * lock->data has room for a digest.  NGX_DECLINED: it is none.
 */

static ngx_int_t
ngx_http_acr_store_list_name(ngx_http_acr_store_list_t *list,
    ngx_http_acr_store_entry_t *entry, const char *name, ngx_str_t *lock)
{
    size_t  len;

    len = ngx_strlen(name);

    entry->tag.len = 0;
    entry->tag.data = entry->name;
    entry->mtime = 0;
    entry->created = 0;
    entry->unread = 0;

    ngx_http_acr_store_path_add(&list->path, "/", 1);
    ngx_http_acr_store_path_add(&list->path, name, len);

    if (list->kind == NGX_HTTP_ACR_TAG) {

        if (!acr_tag_valid((const u_char *) name, len)) {
            return NGX_DECLINED;
        }

        entry->tag.len = len;
        ngx_memcpy(entry->name, name, len);

        lock->len = len;
        ngx_memcpy(lock->data, name, len);

        ngx_http_acr_store_path_add(&list->path, "/current",
                                    sizeof("/current") - 1);

    } else {

        if (len != list->alg->hex_len) {
            return NGX_DECLINED;
        }

        lock->len = list->alg->name_len + 1 + len;

        ngx_memcpy(lock->data, list->alg->name, list->alg->name_len);
        lock->data[list->alg->name_len] = ':';
        ngx_memcpy(lock->data + list->alg->name_len + 1, name, len);

        if (acr_digest_parse(&entry->digest, lock->data, lock->len)
            != ACR_OK)
        {
            return NGX_DECLINED;
        }
    }

    ngx_http_acr_store_path_add(&list->path, "/link", sizeof("/link") - 1);

    return NGX_OK;
}


/* NGX_DECLINED: there is no link; NGX_ABORT: it is no right one, or cannot be
   read */

static ngx_int_t
ngx_http_acr_store_list_read(ngx_http_acr_store_list_t *list,
    ngx_http_acr_store_entry_t *entry, ngx_str_t *name, ngx_log_t *log)
{
    int           lock;
    ngx_int_t     rc;
    struct stat   st;
    acr_digest_t  digest;

    rc = ngx_http_acr_store_lock_wait(list->store, &list->repository, name,
                                      &lock, log);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_acr_store_link_read(&list->path, &digest, &st, log);

    (void) close(lock);

    if (rc == EIO) {
        entry->unread = 1;
        return NGX_ABORT;
    }

    if (rc == NGX_OK && list->kind != NGX_HTTP_ACR_TAG
        && !acr_digest_equal(&digest, &entry->digest))
    {
        rc = NGX_ABORT;
    }

    if (rc == NGX_ABORT) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "acr: link \"%s\" is empty, torn or of another digest",
                      list->path.data);
    }

    if (rc == NGX_OK) {
        entry->digest = digest;
        entry->mtime = ngx_http_acr_store_mtime(&st);
        entry->created = entry->mtime;

        if (list->kind == NGX_HTTP_ACR_TAG) {
            ngx_http_acr_store_list_created(list, entry);
        }
    }

    return rc;
}


/* what is in the tag's directory is made once, when the tag is */

static void
ngx_http_acr_store_list_created(ngx_http_acr_store_list_t *list,
    ngx_http_acr_store_entry_t *entry)
{
    struct stat  st;

    ngx_http_acr_store_path_cut(&list->path,
                                list->path.len
                                - (sizeof("/current/link") - 1));

    if (stat(list->path.data, &st) == 0) {
        entry->created = ngx_min(entry->mtime,
                                 ngx_http_acr_store_mtime(&st));
    }
}
