
/*
 * Blobs that break, and blobs that go; the sweep in slices.
 */

#include "ngx_shim.h"


#define REPO        "docker/registry/v2/repositories"
#define TAGS        REPO "/a/b/_manifests/tags"
#define BLOBS       "docker/registry/v2/blobs"
#define QUARANTINE  "acr/quarantine"
#define TOKEN       "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"

#define ROUNDS  300
#define LARGE   (40 * 1024 * 1024)


static ngx_http_acr_store_t  *store;
static acr_digest_t          *healing;
static int                    failures;


static ngx_int_t
put(acr_digest_t *d, const char *content)
{
    return ngx_http_acr_store_put(store, d, (u_char *) content,
                                  strlen(content), NULL, &shim_log);
}


static const char *
blob(acr_digest_t *d)
{
    return shim_path(BLOBS "/sha256/%.2s/%s/data", shim_hex(d), shim_hex(d));
}


static ngx_int_t
verify(acr_digest_t *d, off_t want)
{
    off_t      bytes;
    ngx_int_t  rc;

    bytes = 77;
    shim_lines = 0;

    rc = ngx_http_acr_store_verify(store, d, &bytes, &shim_log);

    is_int(bytes, want, "bytes read");

    return rc;
}


static ngx_int_t
quarantine(acr_digest_t *d)
{
    shim_lines = 0;

    return ngx_http_acr_store_quarantine(store, d, NULL, &shim_log);
}


/* the only file there says so; it is removed */

static int
quarantined(acr_digest_t *d, const char *content)
{
    int             rc;
    DIR            *dir;
    char            prefix[256];
    const char     *path;
    struct dirent  *e;

    rc = 0;
    dir = opendir(shim_path(QUARANTINE));

    snprintf(prefix, sizeof(prefix), "sha256-%s.", shim_hex(d));

    while ((e = readdir(dir)) != NULL) {

        if (e->d_name[0] == '.') {
            continue;
        }

        path = shim_path(QUARANTINE "/%s", e->d_name);

        rc += strncmp(e->d_name, prefix, strlen(prefix)) == 0
              && strspn(e->d_name + strlen(prefix), "0123456789") > 9
              && shim_is(path, content) ? 1 : 100;
        unlink(path);
    }

    closedir(dir);

    return rc == 1;
}


static void
test_verify(void)
{
    off_t                         bytes;
    u_char                       *p;
    ngx_int_t                     rc;
    acr_hash_t                    h;
    acr_digest_t                 *d, *empty, large;
    ngx_http_acr_store_verify_t  *v;

    d = shim_digest("content");
    empty = shim_digest("");

    is_int(verify(d, 0), NGX_DECLINED, "not there");
    is_int(shim_lines, 0, "is no failure");

    (void) put(d, "content");
    (void) put(empty, "");
    is_int(verify(d, 7), NGX_OK, "right");
    is_int(verify(empty, 0), NGX_OK, "empty");
    is_int(shim_lines, 0, "nothing is logged");

    shim_put(blob(d), "Content");
    is_int(verify(d, 7), NGX_ABORT, "broken");
    is_int(shim_lines, 1, "%s", shim_logged);
    shim_put(blob(d), "conten");
    is_int(verify(d, 6), NGX_ABORT, "shorter");
    shim_put(blob(d), "");
    is_int(verify(d, 0), NGX_ABORT, "emptied");

    (void) put(d, "content");
    shim_fail_read = EIO;
    is_int(verify(d, 0), EIO, "cannot be read");
    is_int(shim_lines, 1, "%s", shim_logged);
    shim_fail_read = 0;

    shim_no_memory = 1;
    is_int(verify(d, 0), ENOMEM, "no memory");
    shim_no_memory = 0;

    unlink(blob(d));
    mkdir(blob(d), 0755);
    is_int(verify(d, 0), NGX_DECLINED, "a directory");
    rmdir(blob(d));

    /* in steps */

    p = calloc(1, LARGE);
    acr_hash_init(&h, acr_algorithm((const u_char *) "sha256", 6));
    acr_hash_update(&h, p, LARGE);
    acr_hash_final(&h, &large);

    (void) ngx_http_acr_store_put(store, &large, p, LARGE, NULL, &shim_log);
    free(p);

    is_int(verify(&large, LARGE), NGX_OK, "a large one");

    is_int(ngx_http_acr_store_verify_open(store, &large, &v, &shim_log),
           NGX_OK, "in steps");
    is_int(ngx_http_acr_store_verify_step(v, 1000001, &bytes, &shim_log),
           NGX_AGAIN, "there is more");
    is_int(bytes, 1000001, "behind the first");

    do {
        rc = ngx_http_acr_store_verify_step(v, 10000000, &bytes, &shim_log);
    } while (rc == NGX_AGAIN);

    is_int(rc, NGX_OK, "it is right");
    is_int(bytes, LARGE, "all of it was read");
    ngx_http_acr_store_verify_close(v);

    (void) ngx_http_acr_store_verify_open(store, &large, &v, &shim_log);
    (void) ngx_http_acr_store_verify_step(v, 1000000, &bytes, &shim_log);
    (void) !truncate(blob(&large), LARGE - 1);
    rc = ngx_http_acr_store_verify_step(v, LARGE, &bytes, &shim_log);
    is_int(rc, EIO, "cut meanwhile");
    ngx_http_acr_store_verify_close(v);

    unlink(blob(&large));
}


/* somebody stores the blob again before we have its lock */

static void
heal(const char *path)
{
    if (strstr(path, "/acr/locks/") == NULL) {
        return;
    }

    shim_before_open = NULL;
    (void) put(healing, "content");
}


static void
test_quarantine(void)
{
    int            fd;
    acr_digest_t  *d;

    d = shim_digest("content");

    is_int(quarantine(d), NGX_DECLINED, "not there");
    (void) put(d, "content");
    is_int(quarantine(d), NGX_DECLINED, "right");
    is_int(shim_lines, 0, "nothing is logged");
    ok(shim_is(blob(d), "content"), "it stays");
    is_int(shim_count(shim_path(QUARANTINE)), 0, "nothing is put away");

    shim_put(blob(d), "broken");
    shim_trace();
    is_int(quarantine(d), NGX_OK, "broken");
    is_int(shim_lines, 1, "%s", shim_logged);
    ok(shim_traced("sync /" QUARANTINE) >= 0
       && shim_traced("sync /" BLOBS "/sha256/%.2s/%s", shim_hex(d),
                      shim_hex(d)) > shim_traced("sync /" QUARANTINE),
       "durably, first there and then here");
    ok(quarantined(d, "broken"), "it is in quarantine");
    ok(!shim_exists(shim_path(BLOBS "/sha256/%.2s", shim_hex(d))),
       "and its directories are gone");

    is_int(put(d, "content"), NGX_OK, "it can be stored again");
    shim_fail_read = EIO;
    is_int(quarantine(d), NGX_OK, "it gives an error");
    shim_fail_read = ENOMEM;
    ok(quarantined(d, "content"), "so it is put away");
    (void) put(d, "content");
    shim_clear(shim_path(QUARANTINE));
    shim_fail_read = 0;
    shim_fail_open = EIO;
    is_int(quarantine(d), NGX_OK, "it cannot even be opened");
    shim_fail_open = 0;
    ok(quarantined(d, "content"), "so it is put away");
    (void) put(d, "content");
    shim_fail_read = ENOMEM;
    is_int(quarantine(d), ENOMEM, "another error");
    shim_fail_read = 0;
    ok(shim_is(blob(d), "content"), "is no reason");

    shim_put(blob(d), "broken");
    shim_fail_sync = EIO;
    is_int(quarantine(d), NGX_OK, "moved, though it may come back");
    shim_fail_sync = 0;
    ok(quarantined(d, "broken"), "the index has to know");
    (void) put(d, "content");
    shim_clear(shim_path(QUARANTINE));

    shim_put(blob(d), "broken");
    healing = d;
    shim_before_open = heal;
    is_int(quarantine(d), NGX_DECLINED, "healed at the last moment");
    shim_before_open = NULL;
    ok(shim_is(blob(d), "content"), "it stays");

    shim_put(blob(d), "broken");
    shim_clear(shim_path(QUARANTINE));
    is_int(quarantine(d), NGX_OK, "the directory is made on demand");
    ok(quarantined(d, "broken"), "as needed");

    shim_make(blob(d), "broken");
    is_int(ngx_http_acr_store_lock_digest(store, d, &fd, &shim_log), NGX_OK,
           "somebody has the lock");
    shim_no_sleep = 1;
    is_int(quarantine(d), EBUSY, "and keeps it");
    shim_no_sleep = 0;
    ok(shim_is(blob(d), "broken"), "nothing is moved");
    close(fd);
}


static void
test_lock_digest(void)
{
    int            a, b;
    acr_digest_t  *d;

    d = shim_digest("content");

    is_int(ngx_http_acr_store_lock_digest(store, d, &a, &shim_log), NGX_OK,
           "lock");
    shim_lines = 0;
    is_int(ngx_http_acr_store_lock_digest(store, d, &b, &shim_log),
           NGX_AGAIN, "does not wait");
    is_int(shim_lines, 0, "nor complain");
    shim_no_sleep = 1;
    is_int(put(d, "content"), EBUSY, "who stores the blob has to wait");
    shim_no_sleep = 0;
    close(a);
    is_int(put(d, "content"), NGX_OK, "until it is given back");
}


static ngx_int_t
collect(acr_digest_t *d, off_t want)
{
    off_t      freed;
    ngx_int_t  rc;

    freed = 77;

    rc = ngx_http_acr_store_collect(store, d, &freed, &shim_log);

    is_int(freed, want, "bytes freed");

    return rc;
}


/* another digest in the same two-digit directory */

static acr_digest_t *
neighbour(acr_digest_t *d)
{
    static acr_digest_t  other;

    other = *d;
    memset(other.hex + 2, '0', 62);

    return &other;
}


static void
test_collect(void)
{
    char           dir[PATH_MAX];
    acr_digest_t  *d, *other;

    d = shim_digest("content");
    other = neighbour(d);

    snprintf(dir, sizeof(dir), "%s",
             shim_path(BLOBS "/sha256/%.2s", shim_hex(d)));
    shim_clear(dir);

    shim_lines = 0;
    is_int(collect(d, 0), NGX_OK, "not there");

    (void) put(d, "content");
    (void) put(other, "other");
    shim_trace();
    is_int(collect(d, 7), NGX_OK, "collect");
    ok(shim_traced("sync /" BLOBS "/sha256/%.2s/%s", shim_hex(d),
                   shim_hex(d))
       > shim_traced("unlink /" BLOBS "/sha256/%.2s/%s/data", shim_hex(d),
                     shim_hex(d)), "durably");
    is_int(shim_count(dir), 1, "its directory is gone");
    ok(shim_is(blob(other), "other"), "the other stays");

    is_int(collect(other, 5), NGX_OK, "collect the other");
    ok(!shim_exists(dir), "their directory is gone");
    is_int(collect(other, 0), NGX_OK, "again");
    is_int(shim_lines, 0, "nothing was logged");

    (void) put(d, "content");
    unlink(blob(d));
    is_int(collect(d, 0), NGX_OK, "one that was cut short");
    ok(!shim_exists(dir), "goes on to the end");

    shim_mkdir(blob(d));
    is_int(collect(d, 0), EISDIR, "a directory for data");
    shim_clear(dir);

    (void) put(d, "content");
    shim_fail_sync = EIO;
    is_int(collect(d, 7), EIO, "a sync that fails");
    shim_fail_sync = 0;
    shim_clear(dir);
}


static void *
collect_thread(void *data)
{
    int            i, n, fd;
    off_t          freed;
    ngx_int_t      rc;
    acr_digest_t   d, *own;

    n = (int) (intptr_t) data;

    d = *shim_digest("content");
    memset(d.hex + 2, '0' + n, 62);
    own = &d;

    for (i = 0; i < ROUNDS; i++) {

        if (put(own, "x") != NGX_OK || !shim_is(blob(own), "x")) {
            __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
            continue;
        }

        do {
            rc = ngx_http_acr_store_lock_digest(store, own, &fd, &shim_log);
        } while (rc == NGX_AGAIN);

        if (rc != NGX_OK
            || ngx_http_acr_store_collect(store, own, &freed, &shim_log)
               != NGX_OK
            || freed != 1)
        {
            __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
        }

        close(fd);
    }

    return NULL;
}


/* blobs in one directory, which comes and goes */

static void
test_collect_threads(void)
{
    int        i;
    pthread_t  tid[4];

    shim_no_sync = 1;
    shim_lines = 0;

    for (i = 0; i < 4; i++) {
        pthread_create(&tid[i], NULL, collect_thread, (void *) (intptr_t) i);
    }

    for (i = 0; i < 4; i++) {
        pthread_join(tid[i], NULL);
    }

    shim_no_sync = 0;

    is_int(failures, 0, "threads store and collect: no failure");
    is_int(shim_lines, 0, "no log line: %s", shim_logged);
    ok(!shim_exists(shim_path(BLOBS "/sha256/%.2s",
                              shim_hex(shim_digest("content")))),
       "nothing is left");
    is_int(shim_count(shim_path("acr/tmp")), 0, "nothing is left over");
}


/* --- the sweep */

static ngx_uint_t
sweep(time_t age)
{
    ngx_uint_t  n;

    n = 77;
    is_int(ngx_http_acr_store_sweep(store, age, &n, &shim_log), NGX_OK,
           "sweep");

    return n;
}


static void
test_sweep_tags(void)
{
    int            fd;
    ngx_str_t     *r;
    acr_digest_t  *d;

    r = shim_str("a/b");
    d = shim_digest("one");
    shim_lines = 0;

    (void) ngx_http_acr_store_tag_prepare(store, r, shim_str("dead"), d,
                                          shim_str(TOKEN), &shim_log);
    (void) ngx_http_acr_store_tag_prepare(store, r, shim_str("young"), d,
                                          shim_str(TOKEN), &shim_log);
    (void) ngx_http_acr_store_tag_prepare(store, r, shim_str("locked"), d,
                                          shim_str(TOKEN), &shim_log);
    (void) ngx_http_acr_store_tag_apply(store, r, shim_str("live"), d, NULL,
                                        &shim_log);
    shim_put(shim_path(TAGS "/live/current/link.old"), "");
    shim_put(shim_path(TAGS "/live/current/link.new"), "");
    shim_mkdir(shim_path(TAGS "/empty/current"));
    shim_mkdir(shim_path(TAGS "/index/index/sha256"));
    shim_mkdir(shim_path(TAGS "/.other/current"));
    shim_put(shim_path(TAGS "/file"), "");

    shim_age(shim_path(TAGS "/live/current/link.old"), 100);
    shim_age(shim_path(TAGS "/live/current/link"), 100);
    shim_age(shim_path(TAGS "/live/current"), 100);
    shim_age(shim_path(TAGS "/live"), 100);
    shim_age(shim_path(TAGS "/dead/current/link." TOKEN), 100);
    shim_age(shim_path(TAGS "/dead/current"), 100);
    shim_age(shim_path(TAGS "/dead"), 100);
    shim_age(shim_path(TAGS "/locked/current/link." TOKEN), 100);
    shim_age(shim_path(TAGS "/locked/current"), 100);
    shim_age(shim_path(TAGS "/locked"), 100);
    shim_age(shim_path(TAGS "/young/current"), 100);
    shim_age(shim_path(TAGS "/young"), 100);
    shim_age(shim_path(TAGS "/empty/current"), 100);
    shim_age(shim_path(TAGS "/empty"), 100);
    shim_age(shim_path(TAGS "/index"), 100);
    shim_age(shim_path(TAGS "/.other/current"), 100);
    shim_age(shim_path(TAGS "/.other"), 100);
    shim_age(shim_path(TAGS "/file"), 100);

    (void) ngx_http_acr_store_lock(store, r, shim_str("locked"), &fd,
                                   &shim_log);
    is_int(sweep(60), 0, "no session");
    close(fd);

    ok(shim_is(shim_path(TAGS "/live/current/link"), shim_text(d))
       && shim_exists(shim_path(TAGS "/live/index/sha256/%s/link",
                                shim_hex(d))), "a tag stays");
    ok(!shim_exists(shim_path(TAGS "/live/current/link.old")),
       "what a dead put left beside it goes");
    ok(shim_exists(shim_path(TAGS "/live/current/link.new")),
       "what is new stays");
    ok(!shim_exists(shim_path(TAGS "/dead")), "a tag that never was goes");
    ok(shim_exists(shim_path(TAGS "/young/current/link." TOKEN))
       && shim_exists(shim_path(TAGS "/young/index/sha256/%s/link",
                                shim_hex(d))), "one that may be soon stays");
    ok(!shim_exists(shim_path(TAGS "/empty"))
       && !shim_exists(shim_path(TAGS "/index")), "what is left of one goes");
    ok(shim_exists(shim_path(TAGS "/.other")), "what is no tag stays");
    ok(shim_exists(shim_path(TAGS "/locked/index")),
       "so does what somebody works on");
    is_int(shim_lines, 0, "nothing was logged: %s", shim_logged);

    shim_age(shim_path(TAGS "/locked/current"), 100);
    (void) sweep(60);
    ok(!shim_exists(shim_path(TAGS "/locked")), "until the next time");

    is_int(ngx_http_acr_store_tag_apply(store, r, shim_str("young"), d,
                                        shim_str(TOKEN), &shim_log), NGX_OK,
           "a put goes on");
    ok(shim_is(shim_path(TAGS "/young/current/link"), shim_text(d)),
       "and is there");
}


static void
test_sweep_slices(void)
{
    int                          i, fds, steps;
    char                         path[PATH_MAX];
    ngx_uint_t                   n;
    ngx_http_acr_store_sweep_t  *s;

    fds = shim_count("/proc/self/fd");

    for (i = 0; i < 10; i++) {
        snprintf(path, sizeof(path), "%s",
                 shim_path(REPO "/s%d/_uploads/u%d/data", i % 3, i));
        shim_make(path, "x");
        shim_age(path, 100);
        *strrchr(path, '/') = '\0';
        shim_age(path, 100);

        shim_put(shim_path("acr/tmp/t%d", i), "");
        shim_age(shim_path("acr/tmp/t%d", i), 100);
    }

    s = ngx_http_acr_store_sweep_begin(store, 60, &shim_log);

    is_int(ngx_http_acr_store_sweep_step(s, 5, &shim_log), NGX_AGAIN,
           "a few");
    i = shim_count(shim_path("acr/tmp"));
    ok(i > 4 && i < 10, "are done: %d are left", i);

    for (steps = 0; steps < 100; steps++) {
        if (ngx_http_acr_store_sweep_step(s, 1, &shim_log) == NGX_DONE) {
            break;
        }
    }

    ok(steps >= 14 && steps < 100, "the rest one by one: %d", steps);
    is_int(ngx_http_acr_store_sweep_step(s, 1, &shim_log), NGX_DONE,
           "the end stays");
    is_int(ngx_http_acr_store_sweep_end(s, &n), NGX_OK, "without an error");
    is_int(n, 10, "ten sessions are removed");
    is_int(shim_count(shim_path("acr/tmp")), 0, "and the temporary files");

    shim_mkdir(shim_path(REPO "/s0/_uploads/deep/1/2/3/4/5/6/7/8/9"));
    shim_make(shim_path(REPO "/s2/_uploads/u/data"), "x");
    shim_age(shim_path(REPO "/s2/_uploads/u/data"), 100);
    shim_age(shim_path(REPO "/s2/_uploads/u"), 100);

    n = 77;
    is_int(ngx_http_acr_store_sweep(store, 60, &n, &shim_log), ELOOP,
           "an error");
    is_int(n, 1, "stops nothing");
    shim_clear(shim_path(REPO "/s0"));

    shim_put(shim_path("acr/tmp/t"), "");
    shim_age(shim_path("acr/tmp/t"), 100);
    s = ngx_http_acr_store_sweep_begin(store, 60, &shim_log);
    (void) ngx_http_acr_store_sweep_step(s, 6, &shim_log);
    is_int(ngx_http_acr_store_sweep_end(s, &n), NGX_OK, "given up");
    is_int(shim_count("/proc/self/fd"), fds, "all is closed");

    shim_no_memory = 1;
    ok(ngx_http_acr_store_sweep_begin(store, 60, &shim_log) == NULL,
       "no memory");
    shim_no_memory = 0;
}


int
main(void)
{
    store = shim_store();

    test_verify();
    test_quarantine();
    test_lock_digest();
    test_collect();
    test_collect_threads();
    test_sweep_tags();
    test_sweep_slices();

    return done();
}
