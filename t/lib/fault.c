
/*
 * A library to be preloaded that makes calls of the file system fail, wait, or
 * end their process.  ACR::Shim builds it and writes its rules.
 *
 * The rules are records of a file that every process maps, so a change of them
 * holds at once everywhere, and so does the count of how often each was met.
 * ACR_FAULT names that file when the process starts; each rule that fires adds
 * a line to the file of ACR_FAULT_LOG before it acts.  With ACR_FAULT_LAZY
 * syncs do nothing, which no test can tell that has a running system.
 *
 * Calls are made by syscall(2): there is nothing to be resolved, and it does
 * not matter which other library is in between.  Commands of hiredis are the
 * exception: they fail here for the want of memory that no file system has.
 */

#define _GNU_SOURCE

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#undef open
#undef open64
#undef openat
#undef openat64
#undef creat
#undef creat64


/* as ACR::Shim packs them */

#define FAULT_RULES  16

typedef struct {
    uint32_t         error;     /* an errno, or 0 */
    uint32_t         delay;     /* in ms */
    uint32_t         signal;    /* to the thread; 0: none */
} fault_action_t;


typedef struct {
    uint32_t         active;
    uint32_t         skip;      /* fires after so many... */
    uint32_t         count;     /* ... and so often; 0: always */
    uint32_t         hits;      /* calls that were met */
    uint32_t         fired;
    uint32_t         after;     /* acts once the call has succeeded */
    fault_action_t   action;
    char             call[24];
    char             path[192]; /* for fnmatch() */
} fault_rule_t;


/* a call that rules may be for */

typedef struct {
    int              watched;
    const char      *call;
    char             path[2 * PATH_MAX];
} fault_t;


typedef int (*fault_command_pt)(void *ac, void *handler, void *data, int argc,
    const char **argv, const size_t *argvlen);


static fault_rule_t  *fault_rules;
static int            fault_log = -1;
static int            fault_lazy;       /* nothing is really synced */


static void fault_start(void) __attribute__((constructor));
static int fault_any(const char *call);
static int fault_met(fault_t *fault, uint32_t after);
static void fault_note(fault_rule_t *rule, const char *call,
    const char *path);
static int fault_act(fault_action_t *action);
static int fault_begin_fd(fault_t *fault, const char *call, int fd);
static int fault_begin_two(fault_t *fault, const char *call, int from_dir,
    const char *from, int to_dir, const char *to);
static int fault_begin_at(fault_t *fault, const char *call, int dir,
    const char *path);
static void fault_path_at(char *buf, size_t size, int dir, const char *path);
static void fault_path_fd(char *buf, size_t size, int fd);
static long fault_end(fault_t *fault, long rc);
static int fault_open(int dir, const char *path, int flags, mode_t mode);
static int fault_fcntl(int fd, int cmd, void *arg);


static void
fault_start(void)
{
    int    fd;
    char  *name;
    void  *p;

    name = getenv("ACR_FAULT_LOG");

    if (name) {
        fault_log = syscall(SYS_openat, AT_FDCWD, name,
                            O_WRONLY|O_APPEND|O_CLOEXEC, 0);
    }

    fault_lazy = (getenv("ACR_FAULT_LAZY") != NULL);

    name = getenv("ACR_FAULT");

    if (name == NULL) {
        return;
    }

    fd = syscall(SYS_openat, AT_FDCWD, name, O_RDWR|O_CLOEXEC, 0);

    if (fd == -1) {
        return;
    }

    p = mmap(NULL, FAULT_RULES * sizeof(fault_rule_t), PROT_READ|PROT_WRITE,
             MAP_SHARED, fd, 0);

    (void) syscall(SYS_close, fd);

    if (p != MAP_FAILED) {
        fault_rules = p;
    }
}


/* --- rules */

static int
fault_any(const char *call)
{
    int  i;

    for (i = 0; fault_rules && i < FAULT_RULES; i++) {

        if (__atomic_load_n(&fault_rules[i].active, __ATOMIC_ACQUIRE)
            && strcmp(fault_rules[i].call, call) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* acts by the rules for before the call, or for after it; -1: it has failed */

static int
fault_met(fault_t *fault, uint32_t after)
{
    int              i, rc;
    uint32_t         hit;
    fault_rule_t    *rule;
    fault_action_t   action;

    rc = 0;

    for (i = 0; i < FAULT_RULES; i++) {
        rule = &fault_rules[i];

        if (!__atomic_load_n(&rule->active, __ATOMIC_ACQUIRE)
            || rule->after != after
            || strcmp(rule->call, fault->call) != 0
            || fnmatch(rule->path, fault->path, 0) != 0)
        {
            continue;
        }

        hit = __atomic_fetch_add(&rule->hits, 1, __ATOMIC_ACQ_REL);

        if (hit < rule->skip
            || (rule->count && hit - rule->skip >= rule->count))
        {
            continue;
        }

        /* the rules may be others once it goes on */

        action = rule->action;

        fault_note(rule, fault->call, fault->path);

        rc |= fault_act(&action);
    }

    return rc;
}


static void
fault_note(fault_rule_t *rule, const char *call, const char *path)
{
    int   n;
    char  line[2 * PATH_MAX + 128];

    n = snprintf(line, sizeof(line), "%d %d %s %s\n",
                 (int) (rule - fault_rules), (int) getpid(), call, path);

    if (n > 0 && (size_t) n < sizeof(line) && fault_log != -1) {
        (void) syscall(SYS_write, fault_log, line, (size_t) n);
    }

    (void) __atomic_fetch_add(&rule->fired, 1, __ATOMIC_ACQ_REL);
}


/* The signal goes to this thread, so that it stops or dies here. */

static int
fault_act(fault_action_t *action)
{
    struct timespec  ts;

    if (action->delay) {
        ts.tv_sec = action->delay / 1000;
        ts.tv_nsec = (action->delay % 1000) * 1000000L;

        while (nanosleep(&ts, &ts) == -1 && errno == EINTR) { /* void */ }
    }

    if (action->signal) {
        (void) syscall(SYS_tgkill, getpid(), syscall(SYS_gettid),
                       action->signal);
    }

    if (action->error) {
        errno = action->error;
        return -1;
    }

    return 0;
}


/* -1: the call has failed */

static int
fault_begin_fd(fault_t *fault, const char *call, int fd)
{
    int  err;

    fault->call = call;
    fault->watched = fault_any(call);

    if (!fault->watched) {
        return 0;
    }

    err = errno;
    fault_path_fd(fault->path, PATH_MAX, fd);
    errno = err;

    return fault_met(fault, 0);
}


static int
fault_begin_at(fault_t *fault, const char *call, int dir, const char *path)
{
    fault->call = call;
    fault->watched = fault_any(call);

    if (!fault->watched) {
        return 0;
    }

    fault_path_at(fault->path, PATH_MAX, dir, path);

    return fault_met(fault, 0);
}


/* a rule looks at "FROM TO" */

static int
fault_begin_two(fault_t *fault, const char *call, int from_dir,
    const char *from, int to_dir, const char *to)
{
    size_t  n;

    fault->call = call;
    fault->watched = fault_any(call);

    if (!fault->watched) {
        return 0;
    }

    fault_path_at(fault->path, PATH_MAX, from_dir, from);

    n = strlen(fault->path);
    fault->path[n++] = ' ';

    fault_path_at(fault->path + n, PATH_MAX, to_dir, to);

    return fault_met(fault, 0);
}


static void
fault_path_at(char *buf, size_t size, int dir, const char *path)
{
    int     err;
    size_t  n;

    n = 0;

    if (dir != AT_FDCWD && path[0] != '/') {
        err = errno;
        fault_path_fd(buf, size - 1, dir);
        errno = err;

        n = strlen(buf);
        buf[n++] = '/';
    }

    (void) snprintf(buf + n, size - n, "%s", path);
}


static void
fault_path_fd(char *buf, size_t size, int fd)
{
    char     link[64];
    ssize_t  n;

    (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);

    n = syscall(SYS_readlinkat, AT_FDCWD, link, buf, size - 1);

    buf[n < 0 ? 0 : n] = '\0';
}


static long
fault_end(fault_t *fault, long rc)
{
    int  err;

    if (!fault->watched || rc == -1) {
        return rc;
    }

    err = errno;

    if (fault_met(fault, 1) == -1) {
        return -1;
    }

    errno = err;

    return rc;
}


/* --- calls */

static int
fault_open(int dir, const char *path, int flags, mode_t mode)
{
    fault_t      fault;
    const char  *call;

    call = (flags & (O_CREAT|O_WRONLY|O_RDWR)) ? "open" : "read_open";

    if (fault_begin_at(&fault, call, dir, path) == -1) {
        return -1;
    }

    return fault_end(&fault, syscall(SYS_openat, dir, path, flags, mode));
}


#define fault_mode(mode, flags)                                               \
    mode = 0;                                                                 \
    if (flags & (O_CREAT|__O_TMPFILE)) {                                      \
        va_list  args;                                                        \
                                                                              \
        va_start(args, flags);                                                \
        mode = va_arg(args, mode_t);                                          \
        va_end(args);                                                         \
    }


int
open(const char *path, int flags, ...)
{
    mode_t  mode;

    fault_mode(mode, flags);

    return fault_open(AT_FDCWD, path, flags, mode);
}


int
open64(const char *path, int flags, ...)
{
    mode_t  mode;

    fault_mode(mode, flags);

    return fault_open(AT_FDCWD, path, flags|O_LARGEFILE, mode);
}


int
openat(int dir, const char *path, int flags, ...)
{
    mode_t  mode;

    fault_mode(mode, flags);

    return fault_open(dir, path, flags, mode);
}


int
openat64(int dir, const char *path, int flags, ...)
{
    mode_t  mode;

    fault_mode(mode, flags);

    return fault_open(dir, path, flags|O_LARGEFILE, mode);
}


/* what a call of open() becomes by _FORTIFY_SOURCE */

int
__open_2(const char *path, int flags)
{
    return fault_open(AT_FDCWD, path, flags, 0);
}


int
__open64_2(const char *path, int flags)
{
    return fault_open(AT_FDCWD, path, flags|O_LARGEFILE, 0);
}


int
__openat_2(int dir, const char *path, int flags)
{
    return fault_open(dir, path, flags, 0);
}


int
__openat64_2(int dir, const char *path, int flags)
{
    return fault_open(dir, path, flags|O_LARGEFILE, 0);
}


int
creat(const char *path, mode_t mode)
{
    return fault_open(AT_FDCWD, path, O_CREAT|O_WRONLY|O_TRUNC, mode);
}


int
creat64(const char *path, mode_t mode)
{
    return fault_open(AT_FDCWD, path, O_CREAT|O_WRONLY|O_TRUNC|O_LARGEFILE,
                      mode);
}


ssize_t
write(int fd, const void *buf, size_t n)
{
    fault_t  fault;

    if (fault_begin_fd(&fault, "write", fd) == -1) {
        return -1;
    }

    return fault_end(&fault, syscall(SYS_write, fd, buf, n));
}


ssize_t
pwrite(int fd, const void *buf, size_t n, off_t offset)
{
    fault_t  fault;

    if (fault_begin_fd(&fault, "pwrite", fd) == -1) {
        return -1;
    }

    return fault_end(&fault, syscall(SYS_pwrite64, fd, buf, n, offset));
}


ssize_t
pwrite64(int fd, const void *buf, size_t n, off64_t offset)
{
    return pwrite(fd, buf, n, offset);
}


ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    fault_t  fault;

    if (fault_begin_fd(&fault, "pwritev", fd) == -1) {
        return -1;
    }

    return fault_end(&fault, syscall(SYS_pwritev, fd, iov, (long) n,
                                     (long) offset, 0L));
}


ssize_t
pwritev64(int fd, const struct iovec *iov, int n, off64_t offset)
{
    return pwritev(fd, iov, n, offset);
}


int
fsync(int fd)
{
    fault_t  fault;

    if (fault_begin_fd(&fault, "fsync", fd) == -1) {
        return -1;
    }

    return fault_end(&fault, fault_lazy ? 0 : syscall(SYS_fsync, fd));
}


int
fdatasync(int fd)
{
    fault_t  fault;

    if (fault_begin_fd(&fault, "fdatasync", fd) == -1) {
        return -1;
    }

    return fault_end(&fault, fault_lazy ? 0 : syscall(SYS_fdatasync, fd));
}


int
ftruncate(int fd, off_t size)
{
    fault_t  fault;

    if (fault_begin_fd(&fault, "ftruncate", fd) == -1) {
        return -1;
    }

    return fault_end(&fault, syscall(SYS_ftruncate, fd, size));
}


int
ftruncate64(int fd, off64_t size)
{
    return ftruncate(fd, size);
}


ssize_t
copy_file_range(int in, off64_t *in_offset, int out, off64_t *out_offset,
    size_t n, unsigned int flags)
{
    fault_t  fault;

    if (fault_begin_fd(&fault, "copy_file_range", out) == -1) {
        return -1;
    }

    return fault_end(&fault, syscall(SYS_copy_file_range, in, in_offset, out,
                                     out_offset, n, flags));
}


int
ioctl(int fd, unsigned long request, ...)
{
    void     *arg;
    fault_t   fault;
    va_list   args;

    va_start(args, request);
    arg = va_arg(args, void *);
    va_end(args);

    if (request != FICLONE) {
        return syscall(SYS_ioctl, fd, request, arg);
    }

    if (fault_begin_fd(&fault, "ficlone", fd) == -1) {
        return -1;
    }

    return fault_end(&fault, syscall(SYS_ioctl, fd, request, arg));
}


static int
fault_fcntl(int fd, int cmd, void *arg)
{
    fault_t  fault;

    if (cmd != F_OFD_SETLK) {
        return syscall(SYS_fcntl, fd, cmd, arg);
    }

    if (fault_begin_fd(&fault, "lock", fd) == -1) {
        return -1;
    }

    return fault_end(&fault, syscall(SYS_fcntl, fd, cmd, arg));
}


int
fcntl(int fd, int cmd, ...)
{
    void     *arg;
    va_list   args;

    va_start(args, cmd);
    arg = va_arg(args, void *);
    va_end(args);

    return fault_fcntl(fd, cmd, arg);
}


int
fcntl64(int fd, int cmd, ...)
{
    void     *arg;
    va_list   args;

    va_start(args, cmd);
    arg = va_arg(args, void *);
    va_end(args);

    return fault_fcntl(fd, cmd, arg);
}


/* as NFS does it, the descriptor is closed also if that fails */

int
close(int fd)
{
    int      failed;
    fault_t  fault;

    failed = fault_begin_fd(&fault, "close", fd);

    if (failed) {
        failed = errno;
        (void) syscall(SYS_close, fd);
        errno = failed;
        return -1;
    }

    return fault_end(&fault, syscall(SYS_close, fd));
}


int
renameat2(int from_dir, const char *from, int to_dir, const char *to,
    unsigned int flags)
{
    fault_t  fault;

    if (fault_begin_two(&fault, "rename", from_dir, from, to_dir, to) == -1) {
        return -1;
    }

    return fault_end(&fault, syscall(SYS_renameat2, from_dir, from, to_dir,
                                     to, flags));
}


int
renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return renameat2(from_dir, from, to_dir, to, 0);
}


int
rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}


int
linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    fault_t  fault;

    if (fault_begin_two(&fault, "link", from_dir, from, to_dir, to) == -1) {
        return -1;
    }

    return fault_end(&fault, syscall(SYS_linkat, from_dir, from, to_dir, to,
                                     flags));
}


int
link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}


int
unlinkat(int dir, const char *path, int flags)
{
    fault_t  fault;

    if (fault_begin_at(&fault, flags & AT_REMOVEDIR ? "rmdir" : "unlink", dir,
                       path)
        == -1)
    {
        return -1;
    }

    return fault_end(&fault, syscall(SYS_unlinkat, dir, path, flags));
}


int
unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}


int
rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}


int
mkdirat(int dir, const char *path, mode_t mode)
{
    fault_t  fault;

    if (fault_begin_at(&fault, "mkdir", dir, path) == -1) {
        return -1;
    }

    return fault_end(&fault, syscall(SYS_mkdirat, dir, path, mode));
}


int
mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}


/* --- hiredis: the path is the command, a slash, and the end of its first
   argument with _ for all that a rule cannot have */

int
redisAsyncCommandArgv(void *ac, void *handler, void *data, int argc,
    const char **argv, const size_t *argvlen)
{
    int                i;
    char              *p;
    size_t             n, from;
    fault_t            fault;
    fault_command_pt   command;

    /* the module's library is there by now */

    *(void **) &command = dlsym(RTLD_NEXT, "redisAsyncCommandArgv");

    if (command == NULL) {
        return -1;
    }

    fault.call = "command";
    fault.watched = fault_any(fault.call);

    if (fault.watched) {
        p = fault.path;

        for (i = 0; i < argc && i < 2; i++) {

            if (i) {
                *p++ = '/';
            }

            from = (i && argvlen[i] > 64) ? argvlen[i] - 64 : 0;

            for (n = from; n < argvlen[i] && n < from + 64; n++) {
                *p++ = isgraph((unsigned char) argv[i][n]) ? argv[i][n] : '_';
            }
        }

        *p = '\0';

        if (fault_met(&fault, 0) == -1) {
            return -1;
        }
    }

    return command(ac, handler, data, argc, argv, argvlen);
}
