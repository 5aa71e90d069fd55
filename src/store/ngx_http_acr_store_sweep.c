
/*
 * Removes what was begun and never finished: sessions, temporary links of
 * tags, temporary files, fills.
 */

#include "ngx_http_acr_store_path.h"


typedef enum {
    NGX_HTTP_ACR_STORE_SWEEP_BEGIN = 0,
    NGX_HTTP_ACR_STORE_SWEEP_TEMP,
    NGX_HTTP_ACR_STORE_SWEEP_FILLS,
    NGX_HTTP_ACR_STORE_SWEEP_UPLOADS,
    NGX_HTTP_ACR_STORE_SWEEP_TAGS,
    NGX_HTTP_ACR_STORE_SWEEP_END
} ngx_http_acr_store_sweep_e;


struct ngx_http_acr_store_sweep_s {
    ngx_http_acr_store_t        *store;
    time_t                       before;   /* what was not written since then
                                              goes */
    ngx_uint_t                   removed;
    ngx_int_t                    first;    /* error */

    ngx_http_acr_store_walk_t   *walk;
    ngx_str_t                    repository;

    ngx_http_acr_store_sweep_e   what;     /* of the directory */
    DIR                         *dir;
    size_t                       len;      /* of its path */
    ngx_http_acr_store_path_t    path;
};


typedef struct {
    time_t       mtime;
    ngx_uint_t   depth;
} ngx_http_acr_store_newest_t;


typedef struct {
    time_t       before;
    ngx_uint_t   used;         /* there is a link, or a put is under way */
} ngx_http_acr_store_current_t;


static ngx_int_t ngx_http_acr_store_sweep_next(
    ngx_http_acr_store_sweep_t *sweep, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_sweep_enter(
    ngx_http_acr_store_sweep_t *sweep, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_sweep_temp(
    ngx_http_acr_store_sweep_t *sweep, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_sweep_session(
    ngx_http_acr_store_sweep_t *sweep, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_newest(ngx_http_acr_store_path_t *path,
    const char *name, void *data, ngx_log_t *log);

static ngx_int_t ngx_http_acr_store_sweep_tag(
    ngx_http_acr_store_sweep_t *sweep, const char *name, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_sweep_old(
    ngx_http_acr_store_sweep_t *sweep, ngx_uint_t *old, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_sweep_link(
    ngx_http_acr_store_path_t *path, const char *name, void *data,
    ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_sweep_untag(
    ngx_http_acr_store_sweep_t *sweep, const char *name, ngx_log_t *log);


ngx_int_t
ngx_http_acr_store_sweep(ngx_http_acr_store_t *store, time_t age,
    ngx_uint_t *removed, ngx_log_t *log)
{
    ngx_http_acr_store_sweep_t  *sweep;

    *removed = 0;

    sweep = ngx_http_acr_store_sweep_begin(store, age, log);

    if (sweep == NULL) {
        return ENOMEM;
    }

    while (ngx_http_acr_store_sweep_step(sweep, 1000, log) != NGX_DONE) {
        /* void */
    }

    return ngx_http_acr_store_sweep_end(sweep, removed);
}


ngx_http_acr_store_sweep_t *
ngx_http_acr_store_sweep_begin(ngx_http_acr_store_t *store, time_t age,
    ngx_log_t *log)
{
    ngx_http_acr_store_sweep_t  *sweep;

    sweep = ngx_alloc(sizeof(ngx_http_acr_store_sweep_t), log);

    if (sweep == NULL) {
        return NULL;
    }

    ngx_memzero(sweep, sizeof(ngx_http_acr_store_sweep_t));

    sweep->store = store;
    sweep->before = time(NULL) - age;

    return sweep;
}


ngx_int_t
ngx_http_acr_store_sweep_step(ngx_http_acr_store_sweep_t *sweep, ngx_uint_t n,
    ngx_log_t *log)
{
    ngx_int_t  rc;

    while (n--) {
        rc = ngx_http_acr_store_sweep_next(sweep, log);

        if (rc == NGX_DONE) {
            return NGX_DONE;
        }

        if (rc != NGX_OK && sweep->first == NGX_OK) {
            sweep->first = rc;
        }
    }

    return NGX_AGAIN;
}


ngx_int_t
ngx_http_acr_store_sweep_end(ngx_http_acr_store_sweep_t *sweep,
    ngx_uint_t *removed)
{
    ngx_int_t  rc;

    rc = sweep->first;
    *removed = sweep->removed;

    if (sweep->dir) {
        (void) closedir(sweep->dir);
    }

    if (sweep->walk) {
        ngx_http_acr_store_walk_close(sweep->walk);
    }

    ngx_free(sweep);

    return rc;
}


/* an entry of the directory, or the next directory */

static ngx_int_t
ngx_http_acr_store_sweep_next(ngx_http_acr_store_sweep_t *sweep,
    ngx_log_t *log)
{
    ngx_int_t    rc;
    const char  *name;

    if (sweep->dir == NULL) {
        rc = ngx_http_acr_store_sweep_enter(sweep, log);
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    ngx_http_acr_store_path_cut(&sweep->path, sweep->len);

    rc = ngx_http_acr_store_dir_read(sweep->dir, &sweep->path, &name, log);

    if (rc != NGX_OK) {
        (void) closedir(sweep->dir);
        sweep->dir = NULL;

        return rc == NGX_DONE ? NGX_OK : rc;
    }

    ngx_http_acr_store_path_add(&sweep->path, "/", 1);
    ngx_http_acr_store_path_add(&sweep->path, name, ngx_strlen(name));

    if (sweep->what == NGX_HTTP_ACR_STORE_SWEEP_TEMP
        || sweep->what == NGX_HTTP_ACR_STORE_SWEEP_FILLS)
    {
        return ngx_http_acr_store_sweep_temp(sweep, log);
    }

    if (sweep->what == NGX_HTTP_ACR_STORE_SWEEP_UPLOADS) {
        return ngx_http_acr_store_sweep_session(sweep, log);
    }

    return ngx_http_acr_store_sweep_tag(sweep, name, log);
}


/* NGX_DECLINED: it is not there; NGX_DONE: there is no further one */

static ngx_int_t
ngx_http_acr_store_sweep_enter(ngx_http_acr_store_sweep_t *sweep,
    ngx_log_t *log)
{
    ngx_int_t  rc;

    switch (sweep->what) {

    case NGX_HTTP_ACR_STORE_SWEEP_BEGIN:
        sweep->what = NGX_HTTP_ACR_STORE_SWEEP_TEMP;

        ngx_http_acr_store_path_set(&sweep->path, sweep->store, "/acr/tmp");
        break;

    case NGX_HTTP_ACR_STORE_SWEEP_TEMP:
        sweep->what = NGX_HTTP_ACR_STORE_SWEEP_FILLS;

        ngx_http_acr_store_path_set(&sweep->path, sweep->store, "/acr/fills");
        break;

    case NGX_HTTP_ACR_STORE_SWEEP_UPLOADS:
        sweep->what = NGX_HTTP_ACR_STORE_SWEEP_TAGS;

        ngx_http_acr_store_path_repository(&sweep->path, sweep->store,
                                           &sweep->repository,
                                           "/_manifests/tags");
        break;

    case NGX_HTTP_ACR_STORE_SWEEP_END:
        return NGX_DONE;

    default:

        if (sweep->walk == NULL) {
            sweep->walk = ngx_http_acr_store_walk_begin(sweep->store,
                                                        NGX_LOG_INFO, log);
            if (sweep->walk == NULL) {
                sweep->what = NGX_HTTP_ACR_STORE_SWEEP_END;
                return ENOENT;
            }
        }

        rc = ngx_http_acr_store_walk_next(sweep->walk, &sweep->repository,
                                          log);

        if (rc != NGX_OK) {

            if (rc == NGX_DONE) {
                sweep->what = NGX_HTTP_ACR_STORE_SWEEP_END;
            }

            return rc;
        }

        sweep->what = NGX_HTTP_ACR_STORE_SWEEP_UPLOADS;

        ngx_http_acr_store_path_repository(&sweep->path, sweep->store,
                                           &sweep->repository, "/_uploads");
    }

    sweep->len = sweep->path.len;

    return ngx_http_acr_store_dir_open(&sweep->path, &sweep->dir, log);
}


static ngx_int_t
ngx_http_acr_store_sweep_temp(ngx_http_acr_store_sweep_t *sweep,
    ngx_log_t *log)
{
    ngx_int_t    rc;
    struct stat  st;

    rc = ngx_http_acr_store_stat(&sweep->path, &st, log);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    if (rc == NGX_OK && S_ISREG(st.st_mode) && st.st_mtime <= sweep->before) {
        return ngx_http_acr_store_unlink(&sweep->path, log);
    }

    return rc;
}


/* --- sessions */

static ngx_int_t
ngx_http_acr_store_sweep_session(ngx_http_acr_store_sweep_t *sweep,
    ngx_log_t *log)
{
    ngx_int_t                    rc;
    ngx_http_acr_store_newest_t  newest;

    newest.mtime = -1;
    newest.depth = 0;

    rc = ngx_http_acr_store_newest(&sweep->path, NULL, &newest, log);

    if (rc != NGX_OK || newest.mtime == -1 || newest.mtime > sweep->before) {
        return rc;
    }

    rc = ngx_http_acr_store_prune(&sweep->path, log);

    if (rc == NGX_OK) {
        sweep->removed++;
    }

    return rc;
}


static ngx_int_t
ngx_http_acr_store_newest(ngx_http_acr_store_path_t *path, const char *name,
    void *data, ngx_log_t *log)
{
    ngx_http_acr_store_newest_t *newest = data;

    ngx_int_t    rc;
    struct stat  st;

    rc = ngx_http_acr_store_stat(path, &st, log);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    newest->mtime = ngx_max(newest->mtime, st.st_mtime);

    if (!S_ISDIR(st.st_mode)) {
        return NGX_OK;
    }

    if (newest->depth == NGX_HTTP_ACR_STORE_DEPTH) {
        return ngx_http_acr_store_failed(log, ELOOP, "opendir()", path->data);
    }

    newest->depth++;
    rc = ngx_http_acr_store_each(path, ngx_http_acr_store_newest, newest, log);
    newest->depth--;

    return rc;
}


/* --- tags */

static ngx_int_t
ngx_http_acr_store_sweep_tag(ngx_http_acr_store_sweep_t *sweep,
    const char *name, ngx_log_t *log)
{
    ngx_int_t                     rc;
    ngx_uint_t                    old;
    ngx_http_acr_store_current_t  current;

    if (!acr_tag_valid((const u_char *) name, ngx_strlen(name))) {
        return NGX_OK;
    }

    old = 1;

    rc = ngx_http_acr_store_sweep_old(sweep, &old, log);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_acr_store_path_add(&sweep->path, "/current",
                                sizeof("/current") - 1);

    rc = ngx_http_acr_store_sweep_old(sweep, &old, log);
    if (rc != NGX_OK) {
        return rc;
    }

    current.before = sweep->before;
    current.used = 0;

    rc = ngx_http_acr_store_each(&sweep->path, ngx_http_acr_store_sweep_link,
                                 &current, log);

    if (rc != NGX_OK || current.used || !old) {
        return rc;
    }

    return ngx_http_acr_store_sweep_untag(sweep, name, log);
}


/* sets *old to 0 if something was made or removed there lately */

static ngx_int_t
ngx_http_acr_store_sweep_old(ngx_http_acr_store_sweep_t *sweep,
    ngx_uint_t *old, ngx_log_t *log)
{
    ngx_int_t    rc;
    struct stat  st;

    rc = ngx_http_acr_store_stat(&sweep->path, &st, log);

    if (rc == NGX_OK && (!S_ISDIR(st.st_mode) || st.st_mtime > sweep->before))
    {
        *old = 0;
    }

    return rc == NGX_DECLINED ? NGX_OK : rc;
}


static ngx_int_t
ngx_http_acr_store_sweep_link(ngx_http_acr_store_path_t *path,
    const char *name, void *data, ngx_log_t *log)
{
    ngx_http_acr_store_current_t *current = data;

    ngx_int_t    rc;
    struct stat  st;

    if (ngx_strncmp(name, "link.", sizeof("link.") - 1) != 0) {
        current->used = 1;
        return NGX_OK;
    }

    rc = ngx_http_acr_store_stat(path, &st, log);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (st.st_mtime > current->before) {
        current->used = 1;
        return NGX_OK;
    }

    return ngx_http_acr_store_unlink(path, log);
}


/*
 * What is left of the tag is its history.  Distribution would list it, since
 * it looks only for the directory.  If the lock is taken, a later sweep may do
 * it.
 */

static ngx_int_t
ngx_http_acr_store_sweep_untag(ngx_http_acr_store_sweep_t *sweep,
    const char *name, ngx_log_t *log)
{
    int          lock;
    ngx_int_t    rc;
    ngx_str_t    tag;
    struct stat  st;
    u_char       text[ACR_TAG_MAX];

    tag.data = text;
    tag.len = ngx_strlen(name);
    ngx_memcpy(text, name, tag.len);

    rc = ngx_http_acr_store_lock(sweep->store, &sweep->repository, &tag,
                                 &lock, log);

    if (rc != NGX_OK) {
        return rc == NGX_AGAIN ? NGX_OK : rc;
    }

    ngx_http_acr_store_path_add(&sweep->path, "/link", sizeof("/link") - 1);

    rc = ngx_http_acr_store_stat(&sweep->path, &st, log);

    if (rc == NGX_DECLINED) {
        rc = ngx_http_acr_store_tag_apply(sweep->store, &sweep->repository,
                                          &tag, NULL, NULL, log);
    }

    (void) close(lock);

    return rc;
}
