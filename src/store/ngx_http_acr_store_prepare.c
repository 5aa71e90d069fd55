
/*
 * The directories that every volume has, and whether the workers can use
 * them.  This runs while the configuration is read, perhaps as root and before
 * there is a worker, so it takes the workers' identity for file access and
 * tries what they will do.
 */

#include "ngx_http_acr_store_path.h"

#include <sys/fsuid.h>


#define NGX_HTTP_ACR_STORE_GROUPS  256

/* what the longest path adds to acr_root */
#define NGX_HTTP_ACR_STORE_BELOW   1024


typedef struct {
    uid_t         uid;
    gid_t         gid;
    int           ngroups;
    int           nsaved;
    gid_t         groups[NGX_HTTP_ACR_STORE_GROUPS];
    gid_t         saved[NGX_HTTP_ACR_STORE_GROUPS];
    ngx_uint_t    other;       /* the workers are not who we are */
} ngx_http_acr_store_who_t;


static const char *ngx_http_acr_store_prepare_as(
    ngx_http_acr_store_t *store, ngx_http_acr_store_who_t *who, char *newer,
    size_t size, ngx_err_t *err, ngx_http_acr_store_path_t *path);
static ngx_int_t ngx_http_acr_store_who(ngx_http_acr_store_who_t *who,
    uid_t uid, gid_t gid);
static ngx_int_t ngx_http_acr_store_assume(ngx_http_acr_store_who_t *who);
static ngx_int_t ngx_http_acr_store_resume(ngx_http_acr_store_who_t *who);
static ngx_int_t ngx_http_acr_store_prepare_mkdir(
    ngx_http_acr_store_who_t *who, const char *path, mode_t mode,
    ngx_uint_t *made);
static const char *ngx_http_acr_store_probe(ngx_http_acr_store_t *store,
    const char *name, ngx_err_t *err, ngx_http_acr_store_path_t *path);
static const char *ngx_http_acr_store_probe_rename(
    ngx_http_acr_store_t *store, const char *name, ngx_err_t *err,
    ngx_http_acr_store_path_t *path);
static const char *ngx_http_acr_store_probe_file(ngx_err_t *err,
    ngx_http_acr_store_path_t *path);
static ngx_int_t ngx_http_acr_store_prepare_file(ngx_http_acr_store_t *store,
    const char *name, const char *text, const char *random, ngx_uint_t *made,
    ngx_http_acr_store_path_t *path);
static ngx_int_t ngx_http_acr_store_prepare_temp(ngx_http_acr_store_t *store,
    const char *path, const char *text);
static ngx_int_t ngx_http_acr_store_syncfs(const char *path);


static const char  *ngx_http_acr_store_dirs[] = {
    "/docker",
    "/docker/registry",
    "/docker/registry/v2",
    "/docker/registry/v2/blobs",
    "/docker/registry/v2/repositories",
    "/acr",
    "/acr/tmp",
    "/acr/fills",
    "/acr/locks",
    "/acr/nodes",
    "/acr/quarantine",
    NULL
};


static const char  ngx_http_acr_store_denied[] =
    "the workers cannot write to";


const char *
ngx_http_acr_store_prepare(ngx_http_acr_store_t *store, uid_t uid, gid_t gid,
    char *newer, size_t size, ngx_err_t *err, char *path)
{
    const char                *text;
    ngx_http_acr_store_who_t   who;
    ngx_http_acr_store_path_t  p;

    *err = 0;
    *newer = '\0';

    ngx_http_acr_store_path_set(&p, store, "");
    ngx_memcpy(path, p.data, ngx_strlen(p.data) + 1);

    if (store->root.len > PATH_MAX - NGX_HTTP_ACR_STORE_BELOW) {
        return "the path is too long:";
    }

    if (ngx_http_acr_store_who(&who, uid, gid) != NGX_OK
        || ngx_http_acr_store_assume(&who) != NGX_OK)
    {
        *err = ngx_errno;
        (void) ngx_http_acr_store_resume(&who);
        return "cannot take the identity of the workers to check";
    }

    text = ngx_http_acr_store_prepare_as(store, &who, newer, size, err, &p);

    ngx_memcpy(path, p.data, ngx_strlen(p.data) + 1);

    if (ngx_http_acr_store_resume(&who) != NGX_OK && text == NULL) {
        *err = ngx_errno;
        return "cannot be root again after the check of";
    }

    return text;
}


static const char *
ngx_http_acr_store_prepare_as(ngx_http_acr_store_t *store,
    ngx_http_acr_store_who_t *who, char *newer, size_t size, ngx_err_t *err,
    ngx_http_acr_store_path_t *path)
{
    char          random[NGX_HTTP_ACR_STORE_RANDOM + 1];
    mode_t        mode;
    const char   *text;
    ngx_uint_t    i, made;

    *err = ngx_http_acr_store_version_read(store, newer, size, path);
    if (*err) {
        return "cannot read";
    }

    if (*newer) {
        return NULL;
    }

    ngx_http_acr_store_path_set(path, store, "");

    made = 0;
    mode = 0750;

    for (i = 0; /* void */ ; i++) {

        if (ngx_http_acr_store_prepare_mkdir(who, path->data, mode, &made)
            != NGX_OK)
        {
            *err = ngx_errno;
            return "cannot make the directory";
        }

        if (ngx_http_acr_store_dirs[i] == NULL) {
            break;
        }

        mode = NGX_HTTP_ACR_STORE_DIR_ACCESS;
        ngx_http_acr_store_path_set(path, store, ngx_http_acr_store_dirs[i]);
    }

    *err = ngx_http_acr_store_random(random);
    if (*err) {
        return "no random bytes for";
    }

    text = ngx_http_acr_store_probe(store, random, err, path);
    if (text) {
        return text;
    }

    if (ngx_http_acr_store_prepare_file(store, "/acr/epoch", random, random,
                                        &made, path)
        != NGX_OK)
    {
        *err = ngx_errno;
        return "cannot make";
    }

    /* no version is the first one, so a full disk is none either */

    if (ngx_http_acr_store_prepare_file(store, NGX_HTTP_ACR_STORE_VERSION,
                                        NGX_HTTP_ACR_STORE_KNOWN "\n",
                                        random, &made, path)
        != NGX_OK
        && ngx_errno != ENOSPC && ngx_errno != EDQUOT)
    {
        *err = ngx_errno;
        return "cannot make";
    }

    ngx_http_acr_store_path_set(path, store, "");

    if (made && store->fsync
        && ngx_http_acr_store_syncfs(path->data) != NGX_OK)
    {
        *err = ngx_errno;
        return "cannot sync";
    }

    return NULL;
}


/* --- identity */

static ngx_int_t
ngx_http_acr_store_who(ngx_http_acr_store_who_t *who, uid_t uid, gid_t gid)
{
    struct passwd  *pw;

    ngx_memzero(who, sizeof(ngx_http_acr_store_who_t));

    who->uid = uid;
    who->gid = gid;

    if (geteuid() != 0 || uid == 0) {
        return NGX_OK;
    }

    who->nsaved = getgroups(NGX_HTTP_ACR_STORE_GROUPS, who->saved);

    if (who->nsaved == -1) {
        return NGX_ERROR;
    }

    who->ngroups = NGX_HTTP_ACR_STORE_GROUPS;
    pw = getpwuid(uid);

    if (pw == NULL) {
        who->groups[0] = gid;
        who->ngroups = 1;

    } else if (getgrouplist(pw->pw_name, gid, who->groups, &who->ngroups)
               == -1)
    {
        who->ngroups = NGX_HTTP_ACR_STORE_GROUPS;
    }

    who->other = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_store_assume(ngx_http_acr_store_who_t *who)
{
    if (!who->other) {
        return NGX_OK;
    }

    if (setgroups(who->ngroups, who->groups) == -1) {
        return NGX_ERROR;
    }

    (void) setfsgid(who->gid);
    (void) setfsuid(who->uid);

    /* they return the identity before, also when they have failed */

    if ((gid_t) setfsgid((gid_t) -1) != who->gid
        || (uid_t) setfsuid((uid_t) -1) != who->uid)
    {
        ngx_set_errno(EPERM);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_store_resume(ngx_http_acr_store_who_t *who)
{
    if (!who->other) {
        return NGX_OK;
    }

    (void) setfsuid(geteuid());
    (void) setfsgid(getegid());

    return setgroups(who->nsaved, who->saved) == -1 ? NGX_ERROR : NGX_OK;
}


/* --- directories */

static ngx_int_t
ngx_http_acr_store_prepare_mkdir(ngx_http_acr_store_who_t *who,
    const char *path, mode_t mode, ngx_uint_t *made)
{
    ngx_err_t  err;

    if (mkdir(path, mode) == 0) {
        *made = 1;
        return NGX_OK;
    }

    if (ngx_errno == EEXIST) {
        return NGX_OK;
    }

    if (!who->other || (ngx_errno != EACCES && ngx_errno != EPERM)) {
        return NGX_ERROR;
    }

    /* what is above belongs to root: root makes it, and gives it away */

    if (ngx_http_acr_store_resume(who) != NGX_OK) {
        return NGX_ERROR;
    }

    err = 0;

    if (mkdir(path, mode) == -1
        || lchown(path, who->uid, who->gid) == -1)
    {
        err = ngx_errno == EEXIST ? 0 : ngx_errno;
    }

    if (ngx_http_acr_store_assume(who) != NGX_OK) {
        return NGX_ERROR;
    }

    *made = 1;
    ngx_set_errno(err);

    return err ? NGX_ERROR : NGX_OK;
}


/*
 * A full disk is no reason not to start: pulls go on.  So here it says
 * nothing.
 */

static const char *
ngx_http_acr_store_probe(ngx_http_acr_store_t *store, const char *name,
    ngx_err_t *err, ngx_http_acr_store_path_t *path)
{
    ngx_uint_t           i;
    const char          *text;
    static const char   *dirs[] = { "/acr/locks/", "/acr/nodes/",
                                    "/acr/tmp/", NULL };

    text = NULL;

    for (i = 0; text == NULL && dirs[i]; i++) {
        ngx_http_acr_store_path_set(path, store, dirs[i]);
        ngx_http_acr_store_path_add(path, name, ngx_strlen(name));

        text = ngx_http_acr_store_probe_file(err, path);
    }

    if (text == NULL) {
        text = ngx_http_acr_store_probe_rename(store, name, err, path);
    }

    if (text && (*err == ENOSPC || *err == EDQUOT)) {
        *err = 0;
        return NULL;
    }

    return text;
}


static const char *
ngx_http_acr_store_probe_file(ngx_err_t *err, ngx_http_acr_store_path_t *path)
{
    int            fd;
    struct flock   fl;

    fd = open(path->data, O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC,
              NGX_HTTP_ACR_STORE_FILE_ACCESS);

    if (fd == -1) {
        *err = ngx_errno;
        *strrchr(path->data, '/') = '\0';
        return ngx_http_acr_store_denied;
    }

    ngx_memzero(&fl, sizeof(struct flock));

    fl.l_type = F_WRLCK;
    fl.l_whence = SEEK_SET;

    if (fcntl(fd, F_OFD_SETLK, &fl) == -1) {
        *err = ngx_errno;
    }

    (void) close(fd);
    (void) unlink(path->data);

    if (*err) {
        return "no file locks (F_OFD_SETLK) on";
    }

    return NULL;
}


/*
 * From the temporary files to the repositories and on to the blobs.  A device
 * number would not tell: two mounts of one file system have the same.
 */

static const char *
ngx_http_acr_store_probe_rename(ngx_http_acr_store_t *store, const char *name,
    ngx_err_t *err, ngx_http_acr_store_path_t *path)
{
    int                         fd;
    ngx_uint_t                  i;
    ngx_http_acr_store_path_t   from;
    static const char          *dirs[] = { NGX_HTTP_ACR_STORE_REPOSITORIES,
                                           NGX_HTTP_ACR_STORE_BLOBS, NULL };

    ngx_http_acr_store_path_set(&from, store, "/acr/tmp/");
    ngx_http_acr_store_path_add(&from, name, ngx_strlen(name));

    fd = open(from.data, O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC,
              NGX_HTTP_ACR_STORE_FILE_ACCESS);

    if (fd == -1) {
        *err = ngx_errno;
        ngx_http_acr_store_path_set(path, store, "/acr/tmp");
        return ngx_http_acr_store_denied;
    }

    (void) close(fd);

    for (i = 0; dirs[i]; i++) {

        /* nothing that walks a repository or the blobs takes it for its own */

        ngx_http_acr_store_path_set(path, store, dirs[i]);
        ngx_http_acr_store_path_add(path, NGX_HTTP_ACR_STORE_PROBE,
                                    sizeof(NGX_HTTP_ACR_STORE_PROBE) - 1);
        ngx_http_acr_store_path_add(path, name, ngx_strlen(name));

        if (rename(from.data, path->data) == -1) {
            *err = ngx_errno;
            break;
        }

        from = *path;
    }

    (void) unlink(from.data);

    if (*err == 0) {
        return NULL;
    }

    *strrchr(path->data, '/') = '\0';

    return *err == EXDEV ? "blobs, repositories and temporary files must be "
                           "on one file system, but another is"
                         : ngx_http_acr_store_denied;
}


/* --- what a volume has from its beginning on: its epoch, its version */

static ngx_int_t
ngx_http_acr_store_prepare_file(ngx_http_acr_store_t *store,
    const char *name, const char *text, const char *random, ngx_uint_t *made,
    ngx_http_acr_store_path_t *path)
{
    int                        rc;
    ngx_err_t                  err;
    struct stat                st;
    ngx_http_acr_store_path_t  temp;

    ngx_http_acr_store_path_set(path, store, name);

    rc = stat(path->data, &st);

    if (rc == -1 && ngx_errno != ENOENT) {
        return NGX_ERROR;
    }

    if (rc == 0 && st.st_size) {
        return NGX_OK;
    }

    ngx_http_acr_store_path_set(&temp, store, "/acr/tmp/");
    ngx_http_acr_store_path_add(&temp, random, ngx_strlen(random));

    if (ngx_http_acr_store_prepare_temp(store, temp.data, text) != NGX_OK) {
        return NGX_ERROR;
    }

    *made = 1;
    err = 0;

    /* an empty one is replaced; otherwise the first of several nodes wins */

    if (rc == 0) {

        if (rename(temp.data, path->data) == -1) {
            err = ngx_errno;
        }

    } else if (link(temp.data, path->data) == -1 && ngx_errno != EEXIST) {
        err = ngx_errno;
    }

    (void) unlink(temp.data);

    ngx_set_errno(err);

    return err ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_http_acr_store_prepare_temp(ngx_http_acr_store_t *store, const char *path,
    const char *text)
{
    int        fd;
    size_t     len;
    ssize_t    n;
    ngx_err_t  err;

    fd = open(path, O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC,
              NGX_HTTP_ACR_STORE_FILE_ACCESS);

    if (fd == -1) {
        return NGX_ERROR;
    }

    err = 0;
    len = ngx_strlen(text);
    n = write(fd, text, len);

    if (n != (ssize_t) len) {
        err = n == -1 ? ngx_errno : ENOSPC;

    } else if (store->fsync && fsync(fd) == -1) {
        err = ngx_errno;
    }

    if (close(fd) == -1 && err == 0) {
        err = ngx_errno;
    }

    if (err == 0) {
        return NGX_OK;
    }

    (void) unlink(path);
    ngx_set_errno(err);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_acr_store_syncfs(const char *path)
{
    int        fd;
    ngx_err_t  err;

    fd = open(path, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd == -1) {
        return NGX_ERROR;
    }

    err = syncfs(fd) == -1 ? ngx_errno : 0;

    (void) close(fd);

    ngx_set_errno(err);

    return err ? NGX_ERROR : NGX_OK;
}
