
/*
 * The walk over the repositories, from above to below.
 */

#include "ngx_http_acr_store_path.h"


/* a component of a name and its slash have two bytes at least */
#define NGX_HTTP_ACR_STORE_LEVELS  (ACR_NAME_MAX / 2 + 2)


typedef struct {
    DIR                               *dir;
    size_t                             len;      /* of its path */
    ngx_uint_t                         warned;
} ngx_http_acr_store_level_t;


struct ngx_http_acr_store_walk_s {
    ngx_http_acr_store_path_t          path;
    size_t                             base;     /* of repositories */
    ngx_uint_t                         level;    /* of log lines */
    ngx_uint_t                         depth;
    ngx_http_acr_store_level_t         levels[NGX_HTTP_ACR_STORE_LEVELS];
};


static ngx_int_t ngx_http_acr_store_walk_down(ngx_http_acr_store_walk_t *walk,
    ngx_http_acr_store_level_t *level, const char *name, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_walk_push(ngx_http_acr_store_walk_t *walk,
    DIR *dir, ngx_log_t *log);
static ngx_int_t ngx_http_acr_store_walk_repository(
    ngx_http_acr_store_walk_t *walk, ngx_log_t *log);


ngx_http_acr_store_walk_t *
ngx_http_acr_store_walk_open(ngx_http_acr_store_t *store, ngx_log_t *log)
{
    return ngx_http_acr_store_walk_begin(store, NGX_LOG_WARN, log);
}


ngx_http_acr_store_walk_t *
ngx_http_acr_store_walk_begin(ngx_http_acr_store_t *store, ngx_uint_t level,
    ngx_log_t *log)
{
    DIR                        *dir;
    ngx_int_t                   rc;
    ngx_http_acr_store_walk_t  *walk;

    walk = ngx_alloc(sizeof(ngx_http_acr_store_walk_t), log);

    if (walk == NULL) {
        return NULL;
    }

    walk->level = level;
    walk->depth = 0;

    ngx_http_acr_store_path_set(&walk->path, store,
                                NGX_HTTP_ACR_STORE_REPOSITORIES);
    ngx_http_acr_store_path_cut(&walk->path, walk->path.len - 1);

    walk->base = walk->path.len;

    rc = ngx_http_acr_store_dir_open(&walk->path, &dir, log);

    if (rc == NGX_DECLINED) {
        rc = ngx_http_acr_store_failed(log, ENOENT, "opendir()",
                                       walk->path.data);
    }

    if (rc != NGX_OK
        || ngx_http_acr_store_walk_push(walk, dir, log) != NGX_OK)
    {
        ngx_free(walk);
        return NULL;
    }

    return walk;
}


ngx_int_t
ngx_http_acr_store_walk_next(ngx_http_acr_store_walk_t *walk,
    ngx_str_t *repository, ngx_log_t *log)
{
    ngx_int_t                    rc;
    const char                  *name;
    ngx_http_acr_store_level_t  *level;

    while (walk->depth) {
        level = &walk->levels[walk->depth - 1];

        ngx_http_acr_store_path_cut(&walk->path, level->len);

        rc = ngx_http_acr_store_dir_read(level->dir, &walk->path, &name, log);

        if (rc != NGX_OK) {
            (void) closedir(level->dir);
            walk->depth--;

            if (rc != NGX_DONE) {
                return rc;
            }

            continue;
        }

        /* this belongs to the repository above */

        if (name[0] == '_') {
            continue;
        }

        rc = ngx_http_acr_store_walk_down(walk, level, name, log);

        if (rc == NGX_OK) {
            rc = ngx_http_acr_store_walk_repository(walk, log);
        }

        if (rc == NGX_DECLINED) {
            continue;
        }

        if (rc == NGX_OK) {
            repository->data = (u_char *) walk->path.data + walk->base + 1;
            repository->len = walk->path.len - walk->base - 1;
        }

        return rc;
    }

    return NGX_DONE;
}


void
ngx_http_acr_store_walk_close(ngx_http_acr_store_walk_t *walk)
{
    while (walk->depth) {
        (void) closedir(walk->levels[--walk->depth].dir);
    }

    ngx_free(walk);
}


/* NGX_DECLINED: it is no directory, gone, or no repository's name */

static ngx_int_t
ngx_http_acr_store_walk_down(ngx_http_acr_store_walk_t *walk,
    ngx_http_acr_store_level_t *level, const char *name, ngx_log_t *log)
{
    int         fd;
    DIR        *dir;
    ngx_err_t   err;

    do {
        fd = openat(dirfd(level->dir), name,
                    O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);
    } while (fd == -1 && ngx_errno == EINTR);

    err = ngx_errno;

    ngx_http_acr_store_path_add(&walk->path, "/", 1);
    ngx_http_acr_store_path_add(&walk->path, name, ngx_strlen(name));

    if (fd == -1) {

        if (ngx_http_acr_store_gone(err) || err == ENOTDIR || err == ELOOP) {
            return NGX_DECLINED;
        }

        return ngx_http_acr_store_failed(log, err, "openat()",
                                         walk->path.data);
    }

    if (!acr_name_valid((u_char *) walk->path.data + walk->base + 1,
                        walk->path.len - walk->base - 1))
    {
        (void) close(fd);

        if (!level->warned) {
            level->warned = 1;

            ngx_log_error(walk->level, log, 0,
                          "acr: \"%s\" cannot be a repository",
                          walk->path.data);
        }

        return NGX_DECLINED;
    }

    dir = fdopendir(fd);

    if (dir == NULL) {
        err = ngx_errno;

        (void) close(fd);

        return ngx_http_acr_store_failed(log, err, "fdopendir()",
                                         walk->path.data);
    }

    return ngx_http_acr_store_walk_push(walk, dir, log);
}


static ngx_int_t
ngx_http_acr_store_walk_push(ngx_http_acr_store_walk_t *walk, DIR *dir,
    ngx_log_t *log)
{
    ngx_http_acr_store_level_t  *level;

    if (walk->depth == NGX_HTTP_ACR_STORE_LEVELS) {
        (void) closedir(dir);

        return ngx_http_acr_store_failed(log, ELOOP, "opendir()",
                                         walk->path.data);
    }

    level = &walk->levels[walk->depth++];

    level->dir = dir;
    level->len = walk->path.len;
    level->warned = 0;

    return NGX_OK;
}


/* NGX_DECLINED: the directory is only above others */

static ngx_int_t
ngx_http_acr_store_walk_repository(ngx_http_acr_store_walk_t *walk,
    ngx_log_t *log)
{
    int                 fd;
    ngx_uint_t          i;
    struct stat         st;
    static const char  *names[] = { "_manifests", "_layers", "_uploads",
                                    NULL };

    fd = dirfd(walk->levels[walk->depth - 1].dir);

    for (i = 0; names[i]; i++) {

        if (fstatat(fd, names[i], &st, 0) == 0) {

            if (S_ISDIR(st.st_mode)) {
                return NGX_OK;
            }

        } else if (!ngx_http_acr_store_gone(ngx_errno)) {
            return ngx_http_acr_store_failed(log, ngx_errno, "fstatat()",
                                             walk->path.data);
        }
    }

    return NGX_DECLINED;
}
