
#include "ngx_shim.h"

#include <ftw.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <sys/ioctl.h>


#define SHIM_TRACES   256
#define SHIM_BUFFERS  16

int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_rename(const char *from, const char *to);
int __real_mkdir(const char *path, mode_t mode);
ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __real_pread(int fd, void *p, size_t n, off_t offset);
int __real_open(const char *path, int flags, ...);
int __real_unlink(const char *path);
int __real_usleep(useconds_t usec);
ssize_t __real_copy_file_range(int in, off_t *in_offset, int out,
    off_t *out_offset, size_t n, unsigned flags);

ngx_log_t  shim_log = { NGX_LOG_WARN };
char       shim_logged[2 * PATH_MAX];
int        shim_lines;

int        shim_fail_sync, shim_fail_copy, shim_clone, shim_short;
int        shim_no_sleep, shim_no_sync, shim_no_memory, shim_fail_read;
int        shim_fail_open;

void     (*shim_before_open)(const char *path);

static char             shim_root[PATH_MAX];
static pid_t            shim_owner;
static char             shim_calls[SHIM_TRACES][512];
static int              shim_ncalls, shim_nsyncs;
static pthread_mutex_t  shim_mutex = PTHREAD_MUTEX_INITIALIZER;


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    int      n;
    va_list  args;

    (void) level;
    (void) log;

    pthread_mutex_lock(&shim_mutex);

    va_start(args, fmt);
    n = vsnprintf(shim_logged, sizeof(shim_logged), fmt, args);
    va_end(args);

    if (err && (size_t) n < sizeof(shim_logged)) {
        snprintf(shim_logged + n, sizeof(shim_logged) - n, " (%d: %s)", err,
                 strerror(err));
    }

    shim_lines++;

    pthread_mutex_unlock(&shim_mutex);
}


void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    void  *p;

    p = shim_no_memory ? NULL : malloc(size);

    if (p == NULL) {
        ngx_log_error(NGX_LOG_CRIT, log, ENOMEM, "malloc(%d) failed",
                      (int) size);
    }

    return p;
}


static int
shim_remove_one(const char *path, const struct stat *st, int type,
    struct FTW *ftw)
{
    (void) st;
    (void) type;
    (void) ftw;

    return remove(path);
}


static void
shim_remove(void)
{
    if (getpid() == shim_owner) {
        nftw(shim_root, shim_remove_one, 16, FTW_DEPTH|FTW_PHYS);
    }
}


ngx_http_acr_store_t *
shim_store(void)
{
    char                        *tmp, path[PATH_MAX];
    char                         newer[NGX_HTTP_ACR_STORE_NEWER];
    ngx_err_t                    err;
    const char                  *text;
    static ngx_http_acr_store_t  store;

    if (store.root.len) {
        return &store;
    }

    umask(022);

    tmp = getenv("TMPDIR");
    snprintf(shim_root, sizeof(shim_root), "%s/acr-store.XXXXXX",
             tmp ? tmp : "/tmp");

    if (mkdtemp(shim_root) == NULL || chmod(shim_root, 0755) == -1) {
        printf("Bail out! no directory %s\n", shim_root);
        exit(2);
    }

    shim_owner = getpid();
    atexit(shim_remove);

    store.root.data = (u_char *) shim_root;
    store.root.len = strlen(shim_root);
    store.fsync = 1;
    store.node = *shim_str("node1");

    text = ngx_http_acr_store_prepare(&store, geteuid(), getegid(), newer,
                                      sizeof(newer), &err, path);
    if (text) {
        printf("Bail out! %s \"%s\" (%d: %s)\n", text, path, err,
               strerror(err));
        exit(2);
    }

    return &store;
}


const char *
shim_path(const char *fmt, ...)
{
    int                   n;
    va_list               args;
    static __thread int   next;
    static __thread char  buf[SHIM_BUFFERS][PATH_MAX];

    next = (next + 1) % SHIM_BUFFERS;

    n = snprintf(buf[next], PATH_MAX, "%s/", shim_root);

    va_start(args, fmt);
    vsnprintf(buf[next] + n, PATH_MAX - n, fmt, args);
    va_end(args);

    return buf[next];
}


/* these are kept for each thread, since some tests have several */

ngx_str_t *
shim_str(const char *s)
{
    static __thread int        next;
    static __thread ngx_str_t  str[SHIM_BUFFERS];

    next = (next + 1) % SHIM_BUFFERS;

    str[next].data = (u_char *) s;
    str[next].len = strlen(s);

    return &str[next];
}


acr_digest_t *
shim_digest(const char *content)
{
    acr_hash_t                    h;
    static __thread int           next;
    static __thread acr_digest_t  digest[SHIM_BUFFERS];

    next = (next + 1) % SHIM_BUFFERS;

    acr_hash_init(&h, acr_algorithm((const u_char *) "sha256", 6));
    acr_hash_update(&h, content, strlen(content));
    acr_hash_final(&h, &digest[next]);

    return &digest[next];
}


const char *
shim_hex(acr_digest_t *digest)
{
    return strchr(shim_text(digest), ':') + 1;
}


const char *
shim_text(acr_digest_t *digest)
{
    static __thread int   next;
    static __thread char  text[SHIM_BUFFERS][ACR_DIGEST_MAX + 1];

    next = (next + 1) % SHIM_BUFFERS;

    text[next][acr_digest_print((u_char *) text[next], digest)] = '\0';

    return text[next];
}


void
shim_put(const char *path, const char *content)
{
    FILE  *f;

    f = fopen(path, "w");

    if (f == NULL || fputs(content, f) == EOF || fclose(f) != 0) {
        printf("Bail out! cannot write %s\n", path);
        exit(2);
    }
}


void
shim_mkdir(const char *path)
{
    char  *p, copy[PATH_MAX];

    snprintf(copy, sizeof(copy), "%s/", path);

    for (p = copy + 1; *p; p++) {
        if (*p != '/') {
            continue;
        }

        *p = '\0';

        if (mkdir(copy, 0755) == -1 && errno != EEXIST) {
            printf("Bail out! cannot make %s\n", copy);
            exit(2);
        }

        *p = '/';
    }
}


void
shim_make(const char *path, const char *content)
{
    char  copy[PATH_MAX];

    snprintf(copy, sizeof(copy), "%s", path);
    *strrchr(copy, '/') = '\0';

    shim_mkdir(copy);
    shim_put(path, content);
}


int
shim_is(const char *path, const char *content)
{
    char    buf[4096];
    FILE   *f;
    size_t  n;

    f = fopen(path, "r");

    if (f == NULL) {
        return 0;
    }

    n = fread(buf, 1, sizeof(buf), f);
    fclose(f);

    return n == strlen(content) && memcmp(buf, content, n) == 0;
}


int
shim_exists(const char *path)
{
    struct stat  st;

    return lstat(path, &st) == 0;
}


int
shim_count(const char *path)
{
    int   n;
    DIR  *dir;

    dir = opendir(path);

    if (dir == NULL) {
        return -1;
    }

    for (n = -2; readdir(dir); n++) { /* void */ }

    closedir(dir);

    return n;
}


int
shim_clear(const char *path)
{
    return nftw(path, shim_remove_one, 16, FTW_DEPTH|FTW_PHYS) == 0;
}


void
shim_age(const char *path, int seconds)
{
    struct timespec  ts[2];

    ts[0].tv_sec = time(NULL) - seconds;
    ts[0].tv_nsec = 0;
    ts[1] = ts[0];

    if (utimensat(AT_FDCWD, path, ts, AT_SYMLINK_NOFOLLOW) == -1) {
        printf("Bail out! cannot age %s\n", path);
        exit(2);
    }
}


/* --- system calls */

void
shim_trace(void)
{
    shim_ncalls = 0;
    shim_nsyncs = 0;
}


int
shim_traced(const char *fmt, ...)
{
    int      i;
    char     call[512];
    va_list  args;

    va_start(args, fmt);
    vsnprintf(call, sizeof(call), fmt, args);
    va_end(args);

    for (i = 0; i < shim_ncalls; i++) {
        if (strcmp(shim_calls[i], call) == 0) {
            return i;
        }
    }

    return -1;
}


int
shim_syncs(void)
{
    return shim_nsyncs;
}


static void
shim_note(const char *call, const char *path)
{
    size_t  len;

    len = strlen(shim_root);

    if (strncmp(path, shim_root, len) == 0) {
        path += len;
    }

    pthread_mutex_lock(&shim_mutex);

    if (shim_ncalls < SHIM_TRACES) {
        snprintf(shim_calls[shim_ncalls++], 512, "%s %s", call, path);
    }

    pthread_mutex_unlock(&shim_mutex);
}


static int
shim_note_sync(int fd)
{
    char     link[64], path[PATH_MAX];
    ssize_t  n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);

    n = readlink(link, path, sizeof(path) - 1);
    path[n < 0 ? 0 : n] = '\0';

    shim_note("sync", path);

    __atomic_add_fetch(&shim_nsyncs, 1, __ATOMIC_RELAXED);

    errno = shim_fail_sync;

    return shim_fail_sync ? -1 : 0;
}


int
__wrap_fsync(int fd)
{
    if (shim_note_sync(fd) == -1) {
        return -1;
    }

    return shim_no_sync ? 0 : __real_fsync(fd);
}


int
__wrap_fdatasync(int fd)
{
    if (shim_note_sync(fd) == -1) {
        return -1;
    }

    return shim_no_sync ? 0 : __real_fdatasync(fd);
}


int
__wrap_rename(const char *from, const char *to)
{
    int  rc;

    rc = __real_rename(from, to);

    if (rc == 0) {
        shim_note("rename", to);
    }

    return rc;
}


int
__wrap_open(const char *path, int flags, ...)
{
    mode_t   mode;
    va_list  args;

    va_start(args, flags);
    mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);

    if (shim_before_open) {
        shim_before_open(path);
    }

    if (shim_fail_open && strstr(path, "/data")) {
        errno = shim_fail_open;
        return -1;
    }

    return __real_open(path, flags, mode);
}


int
__wrap_unlink(const char *path)
{
    int  rc;

    rc = __real_unlink(path);

    if (rc == 0) {
        shim_note("unlink", path);
    }

    return rc;
}


ssize_t
__wrap_pread(int fd, void *p, size_t n, off_t offset)
{
    if (shim_fail_read) {
        errno = shim_fail_read;
        return -1;
    }

    return __real_pread(fd, p, n, offset);
}


int
__wrap_mkdir(const char *path, mode_t mode)
{
    int  rc;

    rc = __real_mkdir(path, mode);

    if (rc == 0) {
        shim_note("mkdir", path);
    }

    return rc;
}


ssize_t
__wrap_write(int fd, const void *p, size_t n)
{
    static int  calls;

    if (!shim_short || n == 0) {
        return __real_write(fd, p, n);
    }

    if (calls++ % 2) {
        errno = EINTR;
        return -1;
    }

    return __real_write(fd, p, 1);
}


int
__wrap_usleep(useconds_t usec)
{
    return shim_no_sleep ? 0 : __real_usleep(usec);
}


ssize_t
__wrap_copy_file_range(int in, off_t *in_offset, int out, off_t *out_offset,
    size_t n, unsigned flags)
{
    if (shim_fail_copy) {
        errno = shim_fail_copy;
        return -1;
    }

    return __real_copy_file_range(in, in_offset, out, out_offset, n, flags);
}


int
__wrap_ioctl(int fd, unsigned long request, int from)
{
    char     buf[65536];
    off_t    offset;
    ssize_t  n;

    if (request != FICLONE || !shim_clone) {
        errno = EOPNOTSUPP;
        return -1;
    }

    for (offset = 0; /* void */ ; offset += n) {
        n = pread(from, buf, sizeof(buf), offset);

        if (n <= 0) {
            return n;
        }

        if (pwrite(fd, buf, n, offset) != n) {
            return -1;
        }
    }
}
