
/*
 * Locks between threads and processes, and marks.
 */

#include "ngx_shim.h"

#include <signal.h>
#include <sys/wait.h>


#define THREADS     4
#define NO_BOOT     "00000000-0000-0000-0000-000000000000"
#define OTHER_BOOT  "01234567-89ab-cdef-0123-456789abcdef"


static ngx_http_acr_store_t  *store;
static ngx_uint_t             certain, empty;


static ngx_int_t
lock(const char *repository, const char *name, int *fd)
{
    return ngx_http_acr_store_lock(store, shim_str(repository),
                                   shim_str(name), fd, &shim_log);
}


/* a process that takes the lock, says so, and sleeps */

static pid_t
holder(const char *repository, const char *name, int ms)
{
    int    fd, pipes[2];
    char   c;
    pid_t  pid;

    if (pipe(pipes) == -1) {
        exit(2);
    }

    pid = fork();

    if (pid == 0) {
        c = lock(repository, name, &fd) == NGX_OK ? 'y' : 'n';
        (void) !write(pipes[1], &c, 1);
        usleep(ms * 1000);
        _exit(0);
    }

    c = 0;
    (void) !read(pipes[0], &c, 1);
    close(pipes[0]);
    close(pipes[1]);

    ok(c == 'y', "another process has %s of %s", name, repository);

    return pid;
}


static void
test_lock(void)
{
    int    a, b;
    pid_t  pid;

    is_int(lock("r", "v1", &a), NGX_OK, "lock");
    is_int(lock("r", "v1", &b), NGX_AGAIN, "the same process has it");
    is_int(b, -1, "no descriptor");
    is_int(lock("r", "v2", &b), NGX_OK, "another tag");
    close(b);
    is_int(lock("r2", "v1", &b), NGX_OK, "another repository");
    close(b);
    close(a);
    is_int(lock("r", "v1", &a), NGX_OK, "given back");
    close(a);

    pid = holder("r", "v1", 60000);
    shim_lines = 0;
    is_int(lock("r", "v1", &a), NGX_AGAIN, "another process has it");
    is_int(shim_lines, 0, "that is no failure");
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    is_int(lock("r", "v1", &a), NGX_OK, "it dies with its holder");
    close(a);

    ok(shim_count(shim_path("acr/locks")) <= 3, "few files");
}


/* a name that has the file of "v1" */

static void
same_file(char *name, size_t size)
{
    int        i, a, b;
    ngx_int_t  rc;

    (void) lock("r", "v1", &a);

    for (i = 0, rc = NGX_OK; i < 100000 && rc == NGX_OK; i++) {
        snprintf(name, size, "n%d", i);
        rc = lock("r", name, &b);

        if (rc == NGX_OK) {
            close(b);
        }
    }

    close(a);
}


static void
test_lock_names(void)
{
    int                         a;
    char                        same[16];
    ngx_str_t                   names[3];
    ngx_http_acr_store_locks_t  locks;

    same_file(same, sizeof(same));

    names[0] = *shim_str("v1");
    names[1] = *shim_str("v2");
    names[2] = *shim_str(same);

    is_int(ngx_http_acr_store_lock_names(store, shim_str("r"), names, 3,
                                         &locks, &shim_log),
           NGX_OK, "several names");
    is_int(locks.n, 2, "of which two have one file");
    is_int(lock("r", "v1", &a), NGX_AGAIN, "the first is locked");
    is_int(lock("r", "v2", &a), NGX_AGAIN, "so is the second");
    ngx_http_acr_store_unlock_names(&locks, &shim_log);
    is_int(locks.n, 0, "given back");

    is_int(lock("r", "v2", &a), NGX_OK, "somebody has the second");
    is_int(ngx_http_acr_store_lock_names(store, shim_str("r"), names, 3,
                                         &locks, &shim_log),
           NGX_AGAIN, "not all can be had");
    is_int(locks.n, 0, "so none is");
    close(a);

    is_int(lock("r", "v1", &a), NGX_OK, "not even the first");
    close(a);
}


/* two processes count in a file; without a lock they would lose some */

static void
count_to(const char *path, int n)
{
    int   fd, lock_fd;
    char  buf[32];

    while (n) {
        if (lock("r", "counter", &lock_fd) != NGX_OK) {
            usleep(20);
            continue;
        }

        fd = open(path, O_RDWR);
        memset(buf, 0, sizeof(buf));
        (void) !read(fd, buf, sizeof(buf) - 1);
        snprintf(buf, sizeof(buf), "%d", atoi(buf) + 1);
        (void) !pwrite(fd, buf, strlen(buf), 0);
        close(fd);
        close(lock_fd);
        n--;
    }
}


static void
test_contention(void)
{
    pid_t        pid;
    const char  *path;

    path = shim_path("counter");
    shim_put(path, "0");

    pid = fork();
    count_to(path, 500);

    if (pid == 0) {
        _exit(0);
    }

    waitpid(pid, NULL, 0);
    ok(shim_is(path, "1000"), "two processes count to 1000");
}


static void
test_blob_lock(void)
{
    int            fd;
    char           blob[PATH_MAX];
    pid_t          pid;
    clock_t        begun;
    ngx_int_t      rc;
    acr_digest_t  *d;

    d = shim_digest("blob");
    (void) ngx_http_acr_store_blob_path(store, d, (u_char *) blob);

    pid = holder("blob", shim_text(d), 200);
    begun = clock();
    rc = ngx_http_acr_store_put(store, d, (u_char *) "blob", 4,
                                NULL, &shim_log);
    is_int(rc, NGX_OK, "put waits");
    ok(shim_is(blob, "blob"), "until the holder has gone");
    ok(clock() - begun < CLOCKS_PER_SEC / 10, "without spinning");
    is_int(waitpid(pid, NULL, 0), pid, "the holder ends");

    is_int(lock("blob", shim_text(d), &fd), NGX_OK, "it was given back");

    shim_no_sleep = 1;
    shim_lines = 0;
    rc = ngx_http_acr_store_put(store, d, (u_char *) "blob", 4,
                                NULL, &shim_log);
    is_int(rc, EBUSY, "but not forever");
    is_int(shim_lines, 1, "%s", shim_logged);
    shim_no_sleep = 0;
    close(fd);

    is_int(shim_count(shim_path("acr/tmp")), 0, "nothing is left over");
}


static int
marks_are(const char *want)
{
    char  mark[64], epoch[64];

    certain = 77;
    empty = 77;

    return ngx_http_acr_store_marks(store, mark, epoch, &certain, &empty,
                                    &shim_log) == NGX_OK
           && strlen(epoch) == 32 && strcmp(mark, want) == 0;
}


/* the lines of a file of marks */

static void
marks_put(const char *path, const char *lines[], int n)
{
    int   i;
    char  text[1024];

    for (i = 0; i < n; i++) {
        snprintf(text + 64 * i, 65, "%-63s\n", lines[i]);
    }

    shim_put(path, text);
}


static void *
mark_thread(void *data)
{
    int  i;

    for (i = 0; i < 100; i++) {
        if (ngx_http_acr_store_mark(store, 2000000 + i * THREADS
                                           + (intptr_t) data, &shim_log)
            != NGX_OK)
        {
            return data;
        }
    }

    return NULL;
}


static void
test_marks(void)
{
    int                   i, bad;
    char                  text[512], *p;
    FILE                 *f;
    void                 *rc;
    pthread_t             tid[THREADS];
    const char           *path;
    ngx_http_acr_store_t  old;

    old = *store;
    path = shim_path("acr/nodes/node1");

    ok(marks_are("0"), "no mark yet");
    is_int(ngx_http_acr_store_mark(store, 1234567, &shim_log), NGX_OK,
           "mark");
    ok(marks_are("1234567"), "is read");
    is_int(ngx_http_acr_store_mark(store, 99, &shim_log), NGX_OK, "lower");
    ok(marks_are("1234567"), "the highest wins");

    f = fopen(path, "r");
    p = f ? fgets(text, sizeof(text), f) : NULL;
    ok(p && strlen(p) == 64 && strncmp(p, "1234567 ", 8) == 0
       && p[63] == '\n', "a line of 64 bytes");
    fclose(f);

    store->slot = 3;
    is_int(ngx_http_acr_store_mark(store, 1234568, &shim_log), NGX_OK,
           "another slot");
    ok(marks_are("1234568"), "is read, across slots never written");

    store->node = *shim_str("node2");
    is_int(ngx_http_acr_store_mark(store, UINT64_MAX, &shim_log), NGX_OK,
           "another node, the greatest number");
    ok(marks_are("18446744073709551615"), "is read");
    unlink(shim_path("acr/nodes/node2"));

    *store = old;

    for (i = 0; i < THREADS; i++) {
        pthread_create(&tid[i], NULL, mark_thread, (void *) (intptr_t) i);
    }

    bad = 0;

    for (i = 0; i < THREADS; i++) {
        pthread_join(tid[i], &rc);
        bad += rc != NULL;
    }

    is_int(bad, 0, "threads mark at once");
    ok(marks_are("2000399"), "the highest wins");

    shim_put(path,
             "3000000 00000000-0000-0000-0000-000000000000                   "
             "\n"
             "99999999999999999999 00000000-0000-0000-0000-000000000000      "
             "\n"
             "4000000 0000                                                   "
             "\n"
             "hello                                                          "
             "\n"
             "5000000 00000000-0000-0000-0000-0000000000");
    shim_lines = 0;
    ok(marks_are("3000000"), "a mark of another boot counts");
    is_int(shim_lines, 4, "%s", shim_logged);

    is_int(ngx_http_acr_store_mark(store, 6000000, &shim_log), NGX_OK,
           "mark in such a file");
    ok(marks_are("6000000"), "is read");

    /* whichever of the two is found first, the last line is of this */

    unlink(path);
    mkdir(shim_path("acr/nodes/directory"), 0755);
    ok(!marks_are("6000000"), "what cannot be read is an error");
    ok(strstr(shim_logged, "/acr/nodes/directory\" failed (21: "), "%s",
       shim_logged);
    rmdir(shim_path("acr/nodes/directory"));

    unlink(shim_path("acr/epoch"));
    ok(!marks_are("6000000"), "so is a missing epoch");
}


/* what a power loss may have taken, and what it cannot */

static void
test_certain(void)
{
    int                   i;
    char                  boot[37], text[64], large[128];
    FILE                 *f;
    const char           *path;
    ngx_http_acr_store_t  old;

    static const char  *lines[] = {
        "5 " OTHER_BOOT, "7 " OTHER_BOOT, "hello", "6 " NO_BOOT
    };

    old = *store;
    path = shim_path("acr/nodes/node1");
    shim_put(shim_path("acr/epoch"), "0123456789abcdef0123456789abcdef\n");
    unlink(path);

    f = fopen("/proc/sys/kernel/random/boot_id", "r");
    ok(f && fscanf(f, "%36s", boot) == 1, "a boot id");
    fclose(f);

    ok(marks_are("0") && certain, "no marks at all");
    is_int(ngx_http_acr_store_mark_seal(store, &shim_log), NGX_OK,
           "nothing to seal");
    is_int(ngx_http_acr_store_marks_seal(store, &shim_log), NGX_OK,
           "also of others");
    ok(!shim_exists(path), "no file is made for it");

    shim_trace();
    is_int(ngx_http_acr_store_mark(store, 10, &shim_log), NGX_OK, "a mark");
    ok(shim_traced("sync /acr/nodes/node1") >= 0
       && shim_traced("sync /acr/nodes") >= 0, "the first one is synced");
    shim_trace();
    is_int(ngx_http_acr_store_mark(store, 11, &shim_log), NGX_OK, "another");
    is_int(shim_syncs(), 0, "is not");
    ok(marks_are("11") && certain, "certain: no power loss since");
    snprintf(text, sizeof(text), "11 %s", boot);
    snprintf(large, sizeof(large), "%-63s\n", text);
    ok(shim_is(path, large), "%s", text);

    is_int(ngx_http_acr_store_marks_seal(store, &shim_log), NGX_OK,
           "what is of this boot");
    ok(shim_is(path, large), "is not sealed with the old ones");

    shim_trace();
    is_int(ngx_http_acr_store_mark_seal(store, &shim_log), NGX_OK, "seal");
    ok(shim_traced("sync /acr/nodes/node1") >= 0
       && shim_traced("sync /acr/nodes") >= 0, "is synced");
    snprintf(large, sizeof(large), "%-63s\n", "11 " NO_BOOT);
    ok(shim_is(path, large), "11 " NO_BOOT);
    ok(marks_are("11") && certain, "certain");

    shim_trace();
    is_int(ngx_http_acr_store_mark_seal(store, &shim_log), NGX_OK, "again");
    is_int(shim_syncs(), 0, "has nothing to do");
    is_int(ngx_http_acr_store_mark(store, 9, &shim_log), NGX_OK, "lower");
    ok(shim_is(path, large), "leaves it sealed");
    shim_trace();
    is_int(ngx_http_acr_store_mark(store, 12, &shim_log), NGX_OK, "higher");
    is_int(shim_syncs(), 2, "is the first one again");
    snprintf(text, sizeof(text), "12 %s", boot);
    snprintf(large, sizeof(large), "%-63s\n", text);
    ok(shim_is(path, large), "%s", text);

    shim_fail_sync = EIO;
    is_int(ngx_http_acr_store_mark_seal(store, &shim_log), EIO,
           "a seal that is not durable");
    shim_fail_sync = 0;

    marks_put(path, &lines[0], 1);
    ok(marks_are("5") && !certain, "a power loss");
    store->node = *shim_str("node2");
    ok(marks_are("5") && certain, "of another node is not ours");
    *store = old;
    is_int(ngx_http_acr_store_mark_seal(store, &shim_log), NGX_OK,
           "a worker that has not marked yet");
    ok(marks_are("5") && !certain, "seals nothing");
    is_int(ngx_http_acr_store_mark(store, 13, &shim_log), NGX_OK, "a mark");
    ok(marks_are("13") && certain, "above it");

    marks_put(path, &lines[2], 1);
    ok(marks_are("0") && !certain, "a line that is no mark");
    marks_put(path, &lines[3], 1);
    ok(marks_are("6") && certain, "one that was sealed");

    marks_put(path, lines, 4);
    ok(marks_are("7") && !certain, "several");
    store->slot = 2;
    is_int(ngx_http_acr_store_mark(store, 8, &shim_log), NGX_OK, "a mark");
    store->slot = 0;
    ok(marks_are("8") && !certain, "beside old ones");
    shim_trace();
    is_int(ngx_http_acr_store_marks_seal(store, &shim_log), NGX_OK, "seal");
    is_int(shim_syncs(), 2, "is synced");
    ok(marks_are("8") && certain, "certain");
    shim_trace();
    is_int(ngx_http_acr_store_marks_seal(store, &shim_log), NGX_OK, "again");
    is_int(shim_syncs(), 0, "has nothing to do");

    marks_put(path, &lines[2], 2);
    is_int(ngx_http_acr_store_marks_seal(store, &shim_log), NGX_OK,
           "what is no mark");
    shim_lines = 0;
    ok(marks_are("6") && certain, "is emptied");
    is_int(shim_lines, 0, "and says nothing any more");

    store->fsync = 0;
    shim_trace();
    for (i = 20; i < 22; i++) {
        (void) ngx_http_acr_store_mark(store, i, &shim_log);
        (void) ngx_http_acr_store_mark_seal(store, &shim_log);
    }
    is_int(shim_syncs(), 0, "acr_fsync off: no sync");
    store->fsync = 1;
}


static void
test_empty(void)
{
    const char  *blobs, *repositories;

    repositories = "docker/registry/v2/repositories";
    blobs = "docker/registry/v2/blobs";

    ok(marks_are("21") && !empty, "the tests before have left something");
    ok(shim_clear(shim_path("%s", blobs))
       && shim_clear(shim_path("%s", repositories)),
       "it is removed");

    ok(marks_are("21") && empty, "no directories");
    mkdir(shim_path("%s", blobs), 0755);
    mkdir(shim_path("%s", repositories), 0755);
    ok(marks_are("21") && empty, "empty directories");

    mkdir(shim_path("%s/_acr.0123", blobs), 0755);
    shim_put(shim_path("%s/_acr.0123", repositories), "");
    ok(marks_are("21") && empty, "a node that is starting");

    mkdir(shim_path("%s/a", repositories), 0755);
    ok(marks_are("21") && !empty, "a repository");
    rmdir(shim_path("%s/a", repositories));
    mkdir(shim_path("%s/sha256", blobs), 0755);
    ok(marks_are("21") && !empty, "blobs");
}


/* a worker that exits writes while its successor does */

static void
test_mark_processes(void)
{
    int        i, status;
    pid_t      pid;

    shim_put(shim_path("acr/epoch"), "0123456789abcdef0123456789abcdef\n");

    pid = fork();

    for (i = 0; i < 300; i++) {
        if (ngx_http_acr_store_mark(store, 7000000 + 2 * i + (pid == 0),
                                    &shim_log) != NGX_OK)
        {
            break;
        }
    }

    if (pid == 0) {
        _exit(i == 300 ? 0 : 1);
    }

    waitpid(pid, &status, 0);
    is_int(i, 300, "this one");
    is_int(status, 0, "and the other");
    ok(marks_are("7000599"), "the highest of both");
}


int
main(void)
{
    store = shim_store();

    test_lock();
    test_lock_names();
    test_contention();
    test_blob_lock();
    test_marks();
    test_mark_processes();
    test_certain();
    test_empty();

    return done();
}
