
/*
 * Walks: repositories, what they have, blobs.
 */

#include "ngx_shim.h"

#include <sys/wait.h>


#define REPOS  "docker/registry/v2/repositories"
#define BLOBS  "docker/registry/v2/blobs"
#define REPO   REPOS "/team/app"
#define TAGS   REPO "/_manifests/tags"

#define NAMES  4096


static ngx_http_acr_store_t  *store;

/* what a walk has found: names, each in brackets; and how often what else */
static char                   found[NAMES];
static int                    declined, errors;


static int
has(const char *fmt, ...)
{
    char     name[1024];
    va_list  args;

    name[0] = '[';

    va_start(args, fmt);
    vsnprintf(name + 1, sizeof(name) - 2, fmt, args);
    va_end(args);

    strcat(name, "]");

    return strstr(found, name) != NULL;
}


static void
add(const char *name, size_t len)
{
    size_t  used;

    used = strlen(found);

    if (used + len + 3 < sizeof(found)) {
        snprintf(found + used, sizeof(found) - used, "[%.*s]", (int) len,
                 name);
    }
}


static int
nfds(void)
{
    return shim_count("/proc/self/fd");
}


/* --- repositories */

static int
walk(void)
{
    int                         n;
    ngx_int_t                   rc;
    ngx_str_t                   repository;
    ngx_http_acr_store_walk_t  *w;

    found[0] = '\0';
    errors = 0;
    shim_lines = 0;

    w = ngx_http_acr_store_walk_open(store, &shim_log);

    for (n = 0; w; /* void */ ) {
        rc = ngx_http_acr_store_walk_next(w, &repository, &shim_log);

        if (rc == NGX_OK) {
            add((char *) repository.data, repository.len);
            n++;

        } else if (rc == NGX_DONE) {
            break;

        } else {
            errors++;
        }
    }

    is_int(ngx_http_acr_store_walk_next(w, &repository, &shim_log), NGX_DONE,
           "the end stays");
    ngx_http_acr_store_walk_close(w);

    return n;
}


static void
test_walk(void)
{
    int    fds, status;
    pid_t  pid;

    fds = nfds();

    is_int(walk(), 0, "no repositories");
    is_int(shim_lines, 0, "is no failure");

    shim_mkdir(shim_path(REPOS "/a/_layers"));
    shim_mkdir(shim_path(REPOS "/a/b/_manifests"));
    shim_mkdir(shim_path(REPOS "/a/b/c/_uploads"));
    shim_mkdir(shim_path(REPOS "/x/y/z/_layers/_layers"));
    shim_mkdir(shim_path(REPOS "/x/y/z/_manifests/tags/v1/_uploads"));
    shim_mkdir(shim_path(REPOS "/nothing/in/it"));
    shim_mkdir(shim_path(REPOS "/other/_foreign"));
    shim_mkdir(shim_path(REPOS "/a__b-c.d/_layers"));
    shim_put(shim_path(REPOS "/file"), "");
    shim_put(shim_path(REPOS "/other/_layers"), "");
    (void) !symlink("a", shim_path(REPOS "/link"));

    is_int(walk(), 5, "the repositories");
    ok(has("a") && has("a/b") && has("a/b/c") && has("x/y/z")
       && has("a__b-c.d"), "%s", found);
    is_int(shim_lines, 0, "nothing to complain of");

    shim_mkdir(shim_path(REPOS "/Upper/_layers"));
    shim_mkdir(shim_path(REPOS "/.hidden/a/_layers"));
    shim_mkdir(shim_path(REPOS "/a/b/c/a..b/_layers"));
    is_int(walk(), 5, "what cannot be one is not");
    is_int(errors, 0, "that is no error");
    is_int(shim_lines, 2, "one line for each directory: %s", shim_logged);
    shim_clear(shim_path(REPOS "/Upper"));
    shim_clear(shim_path(REPOS "/.hidden"));
    shim_clear(shim_path(REPOS "/a/b/c/a..b"));

    chmod(shim_path(REPOS "/a/b"), 0);
    pid = fork();

    if (pid == 0) {
        if (geteuid() == 0 && (setgid(65534) || setuid(65534))) {
            _exit(1);
        }

        _exit(walk() == 3 && errors == 1 && shim_lines == 1
              && has("x/y/z") ? 0 : 2);
    }

    waitpid(pid, &status, 0);
    is_int(status, 0, "it goes on behind what cannot be read");
    chmod(shim_path(REPOS "/a/b"), 0755);

    shim_no_memory = 1;
    ok(ngx_http_acr_store_walk_open(store, &shim_log) == NULL, "no memory");
    shim_no_memory = 0;

    is_int(nfds(), fds, "all is closed");
}


/* the deepest name and one that is deeper */

static void
test_walk_deep(void)
{
    int   i;
    char  name[300];

    for (i = 0; i < 128; i++) {
        name[2 * i] = 'd';
        name[2 * i + 1] = '/';
    }

    name[255] = '\0';
    shim_mkdir(shim_path(REPOS "/%s/_layers", name));

    is_int(walk(), 6, "128 levels");
    ok(has("%s", name), "all of it");
    is_int(shim_lines, 0, "no log line");

    shim_mkdir(shim_path(REPOS "/%s/d/_layers", name));
    is_int(walk(), 6, "129 levels are too many");
    is_int(shim_lines, 1, "%s", shim_logged);

    ok(shim_clear(shim_path(REPOS "/d")), "removed");
}


static void *
walk_some(void *data)
{
    int                         i;
    ngx_str_t                   repository;
    ngx_http_acr_store_walk_t  *w;

    w = data;

    for (i = 0; i < 2; i++) {
        if (ngx_http_acr_store_walk_next(w, &repository, &shim_log) == NGX_OK)
        {
            add((char *) repository.data, repository.len);
        }
    }

    return NULL;
}


/* some now, some later, by another thread; and directories that vanish */

static void
test_walk_slices(void)
{
    int                         i, fds;
    pthread_t                   tid;
    ngx_str_t                   repository;
    ngx_http_acr_store_walk_t  *w;

    fds = nfds();
    found[0] = '\0';
    shim_lines = 0;
    w = ngx_http_acr_store_walk_open(store, &shim_log);

    for (i = 0; i < 3; i++) {
        pthread_create(&tid, NULL, walk_some, w);
        pthread_join(tid, NULL);
    }

    ok(has("a") && has("a/b") && has("a/b/c") && has("x/y/z")
       && has("a__b-c.d"), "%s", found);
    ngx_http_acr_store_walk_close(w);

    shim_mkdir(shim_path(REPOS "/v/v/v/v/v/_layers"));
    w = ngx_http_acr_store_walk_open(store, &shim_log);

    do {
        (void) ngx_http_acr_store_walk_next(w, &repository, &shim_log);
    } while (repository.len != 9);

    ok(shim_clear(shim_path(REPOS "/v")), "what it is in vanishes");

    for (i = 0; i < 10; i++) {
        if (ngx_http_acr_store_walk_next(w, &repository, &shim_log)
            == NGX_DONE)
        {
            break;
        }
    }

    ok(i < 10, "it ends");
    is_int(shim_lines, 0, "that is no failure");
    ngx_http_acr_store_walk_close(w);

    w = ngx_http_acr_store_walk_open(store, &shim_log);
    (void) ngx_http_acr_store_walk_next(w, &repository, &shim_log);
    ngx_http_acr_store_walk_close(w);
    is_int(nfds(), fds, "closed in the middle");
}


/* --- lists */

static int
list(ngx_uint_t kind)
{
    int                          n;
    ngx_int_t                    rc;
    ngx_http_acr_store_list_t   *l;
    ngx_http_acr_store_entry_t   entry;

    found[0] = '\0';
    declined = 0;
    errors = 0;
    shim_lines = 0;

    l = ngx_http_acr_store_list_open(store, shim_str("team/app"), kind,
                                     &shim_log);

    for (n = 0; l; /* void */ ) {
        memset(&entry, 0, sizeof(entry));

        rc = ngx_http_acr_store_list_next(l, &entry, &shim_log);

        if (rc == NGX_DONE) {
            break;
        }

        if (rc == NGX_OK) {
            n++;

            if (kind == NGX_HTTP_ACR_TAG) {
                add((char *) entry.tag.data, entry.tag.len);
            }

            add(shim_text(&entry.digest), strlen(shim_text(&entry.digest)));

            if (entry.mtime == 1234567890123456) {
                add("mtime", 5);
            }

        } else if (rc == NGX_DECLINED) {
            declined++;

            if (kind == NGX_HTTP_ACR_TAG) {
                add((char *) entry.tag.data, entry.tag.len);

            } else {
                add(shim_text(&entry.digest),
                    strlen(shim_text(&entry.digest)));
            }

        } else {
            errors++;
        }
    }

    is_int(ngx_http_acr_store_list_next(l, &entry, &shim_log), NGX_DONE,
           "the end stays");
    ngx_http_acr_store_list_close(l);

    return n;
}


static void
set_link(ngx_uint_t kind, acr_digest_t *d)
{
    (void) ngx_http_acr_store_link(store, shim_str("team/app"), kind, d,
                                   &shim_log);
}


static void
set_mtime(const char *path)
{
    struct timespec  ts[2];

    ts[0].tv_sec = 1234567890;
    ts[0].tv_nsec = 123456789;
    ts[1] = ts[0];

    utimensat(AT_FDCWD, path, ts, 0);
}


static void
test_digests(ngx_uint_t kind, const char *dir)
{
    int            fds;
    char           sha512[200];
    acr_hash_t     h;
    acr_digest_t  *one, *two, long_one;

    fds = nfds();
    one = shim_digest("one");
    two = shim_digest("two");
    acr_hash_init(&h, acr_algorithm((const u_char *) "sha512", 6));
    acr_hash_final(&h, &long_one);
    snprintf(sha512, sizeof(sha512), "%s", shim_text(&long_one));

    is_int(list(kind), 0, "%s: no directory", dir);
    is_int(shim_lines + errors, 0, "is no failure");

    set_link(kind, one);
    set_link(kind, two);
    set_link(kind, &long_one);
    set_mtime(shim_path(REPO "/%s/sha256/%s/link", dir, shim_hex(two)));

    is_int(list(kind), 3, "all");
    ok(has("%s", shim_text(one)) && has("%s", shim_text(two))
       && has("%s", sha512), "of all algorithms");
    ok(has("%s][mtime", shim_text(two)), "with the times of the links");
    is_int(shim_lines, 0, "no log line");

    /* a digest in another place, other names, what has no link */

    shim_make(shim_path(REPO "/%s/sha256/%s/link", dir,
                        shim_hex(&long_one)), "x");
    shim_make(shim_path(REPO "/%s/sha384/%s/link", dir, shim_hex(one)), "x");
    shim_make(shim_path(REPO "/%s/sha256/abc/link", dir), "x");
    shim_mkdir(shim_path(REPO "/%s/sha256/%s", dir,
                         shim_hex(shim_digest("empty"))));
    shim_put(shim_path(REPO "/%s/sha256/%s", dir,
                       shim_hex(shim_digest("file"))), "");
    shim_put(shim_path(REPO "/%s/sha256/%s/link.x", dir, shim_hex(one)), "");

    is_int(list(kind), 3, "what is none of them");
    is_int(shim_lines + errors + declined, 0, "is passed over silently");

    shim_put(shim_path(REPO "/%s/sha256/%s/link", dir, shim_hex(one)), "");
    shim_put(shim_path(REPO "/%s/sha256/%s/link", dir, shim_hex(two)),
             shim_text(one));
    is_int(list(kind), 1, "an empty one, one that names another");
    is_int(declined, 2, "are told");
    is_int(shim_lines, 2, "%s", shim_logged);
    ok(has("%s", shim_text(one)) && has("%s", shim_text(two)),
       "by what they should be");

    unlink(shim_path(REPO "/%s/sha256/%s/link", dir, shim_hex(one)));
    mkdir(shim_path(REPO "/%s/sha256/%s/link", dir, shim_hex(one)), 0755);
    is_int(list(kind), 1, "a directory for a link");
    is_int(errors, 1, "is an error");

    is_int(nfds(), fds, "all is closed");
}


static void
test_tags(void)
{
    int            fds, fd;
    char           longest[ACR_TAG_MAX + 1];
    pid_t          pid;
    acr_digest_t  *one, *two;

    fds = nfds();
    one = shim_digest("one");
    two = shim_digest("two");

    memset(longest, 't', ACR_TAG_MAX);
    longest[ACR_TAG_MAX] = '\0';

    is_int(list(NGX_HTTP_ACR_TAG), 0, "no tags");
    is_int(shim_lines, 0, "is no failure");

    shim_make(shim_path(TAGS "/v1/current/link"), shim_text(one));
    shim_make(shim_path(TAGS "/v2/current/link"), shim_text(two));
    shim_make(shim_path(TAGS "/%s/current/link", longest), shim_text(one));
    set_mtime(shim_path(TAGS "/v2/current/link"));

    is_int(list(NGX_HTTP_ACR_TAG), 3, "three");
    ok(has("v1][%s", shim_text(one)), "one");
    ok(has("v2][%s][mtime", shim_text(two)), "with its time");
    ok(has("%s", longest), "the longest");

    shim_mkdir(shim_path(TAGS "/gone/current"));
    shim_mkdir(shim_path(TAGS "/gone2/index/sha256"));
    shim_make(shim_path(TAGS "/begun/current/link.0123"), shim_text(one));
    shim_make(shim_path(TAGS "/.bad/current/link"), shim_text(one));
    shim_make(shim_path(TAGS "/b d/current/link"), shim_text(one));
    shim_put(shim_path(TAGS "/file"), "");
    is_int(list(NGX_HTTP_ACR_TAG), 3, "what is none");
    is_int(shim_lines + errors + declined, 0, "is passed over silently");

    shim_put(shim_path(TAGS "/v1/current/link"), "");
    shim_put(shim_path(TAGS "/v2/current/link"), "sha256:12");
    is_int(list(NGX_HTTP_ACR_TAG), 1, "torn ones");
    is_int(declined, 2, "are told");
    ok(has("v1") && has("v2"), "%s", shim_logged);
    is_int(shim_lines, 2, "with a line each");

    shim_put(shim_path(TAGS "/v1/current/link"), shim_text(one));
    shim_put(shim_path(TAGS "/v2/current/link"), shim_text(one));

    /* who has the lock changes the link before it lets go */

    pid = fork();

    if (pid == 0) {
        (void) ngx_http_acr_store_lock(store, shim_str("team/app"),
                                       shim_str("v2"), &fd, &shim_log);
        shim_make(shim_path("locked"), "");
        usleep(100000);
        shim_put(shim_path(TAGS "/v2/current/link"), shim_text(two));
        _exit(0);
    }

    while (!shim_exists(shim_path("locked"))) {
        usleep(1000);
    }

    is_int(list(NGX_HTTP_ACR_TAG), 3, "a lock is waited for");
    ok(has("v2][%s", shim_text(two)), "what it was about to say");
    waitpid(pid, NULL, 0);

    (void) ngx_http_acr_store_lock(store, shim_str("team/app"),
                                   shim_str("v2"), &fd, &shim_log);
    shim_no_sleep = 1;
    is_int(list(NGX_HTTP_ACR_TAG), 2, "but not forever");
    shim_no_sleep = 0;
    is_int(errors, 1, "%s", shim_logged);
    close(fd);

    is_int(nfds(), fds, "all is closed");
}


/* --- blobs */

static int
blobs(const char *after)
{
    int                          n;
    off_t                        size;
    ngx_int_t                    rc;
    acr_digest_t                 d;
    ngx_http_acr_store_blobs_t  *b;

    found[0] = '\0';
    errors = 0;
    shim_lines = 0;

    b = ngx_http_acr_store_blobs_open(store, after, &shim_log);

    for (n = 0; b; /* void */ ) {
        rc = ngx_http_acr_store_blobs_next(b, &d, &size, &shim_log);

        if (rc == NGX_DONE) {
            break;
        }

        if (rc == NGX_OK) {
            add(shim_text(&d), strlen("sha256:") + 2);
            n++;

            if (size == 4) {
                add("four", 4);
            }

        } else {
            errors++;
        }
    }

    is_int(ngx_http_acr_store_blobs_next(b, &d, &size, &shim_log), NGX_DONE,
           "the end stays");
    ngx_http_acr_store_blobs_close(b);

    return n;
}


/* a blob whose digest is this digit, sixty-four or so times */

static const char *
blob(const char *alg, char digit)
{
    int          n;
    static char  path[PATH_MAX];
    char         hex[ACR_HEX_MAX + 1];

    n = strcmp(alg, "sha256") == 0 ? 64 : 128;

    memset(hex, digit, n);
    hex[n] = '\0';

    snprintf(path, sizeof(path), "%s",
             shim_path(BLOBS "/%s/%.2s/%s/data", alg, hex, hex));

    return path;
}


static void
test_blobs(void)
{
    int                          fds;
    char                         at[NGX_HTTP_ACR_STORE_AT], *p;
    off_t                        size;
    acr_digest_t                 d;
    ngx_http_acr_store_blobs_t  *b;

    fds = nfds();

    is_int(blobs(NULL), 0, "no blobs");
    is_int(shim_lines + errors, 0, "is no failure");

    shim_make(blob("sha512", '0'), "");
    shim_make(blob("sha256", 'f'), "1234");
    shim_make(blob("sha256", '9'), "1");
    shim_make(blob("sha256", 'a'), "2");
    shim_make(blob("sha256", '0'), "");

    is_int(blobs(NULL), 5, "all");
    ok(strcmp(found, "[sha256:00][sha256:99][sha256:aa][sha256:ff][four]"
                     "[sha512:00]") == 0, "%s", found);
    is_int(shim_lines + errors, 0, "no log line");

    is_int(blobs("sha256/99"), 4, "from 99");
    is_int(blobs("sha256/9a"), 3, "from 9a");
    is_int(blobs("sha256/ff"), 2, "from ff");
    is_int(blobs("sha512/00"), 1, "from 512");
    is_int(blobs("sha512/01"), 0, "from the last");
    is_int(blobs("sha256/9g") + blobs("sha256/9") + blobs("sha256/99a")
           + blobs("sha384/99") + blobs("/99") + blobs("") + blobs("99"), 35,
           "from what is no place: all");

    /* interrupted at any place, and resumed */

    b = ngx_http_acr_store_blobs_open(store, NULL, &shim_log);
    ngx_http_acr_store_blobs_at(b, at);
    ok(strcmp(at, "sha256/00") == 0, "at the beginning: %s", at);
    (void) ngx_http_acr_store_blobs_next(b, &d, &size, &shim_log);
    (void) ngx_http_acr_store_blobs_next(b, &d, &size, &shim_log);
    ngx_http_acr_store_blobs_at(b, at);
    ok(strcmp(at, "sha256/99") == 0 && d.hex[0] == '9', "at %s", at);
    ngx_http_acr_store_blobs_close(b);
    is_int(nfds(), fds, "closed in the middle");
    is_int(blobs(at), 4, "its directory comes again");

    b = ngx_http_acr_store_blobs_open(store, at, &shim_log);
    while (ngx_http_acr_store_blobs_next(b, &d, &size, &shim_log)
           != NGX_DONE) { /* void */ }
    ngx_http_acr_store_blobs_at(b, at);
    ok(strcmp(at, "sha512/ff") == 0, "at the end: %s", at);
    ngx_http_acr_store_blobs_close(b);

    /* what is none */

    p = strdup(blob("sha256", 'b'));
    *strrchr(p, '/') = '\0';
    shim_mkdir(p);
    is_int(blobs(NULL), 5, "one without data");
    is_int(shim_lines, 0, "is being stored or removed");
    shim_mkdir(blob("sha256", 'b'));
    is_int(blobs(NULL), 5, "data that is a directory");
    is_int(shim_lines, 1, "%s", shim_logged);
    free(p);

    shim_mkdir(shim_path(BLOBS "/sha256/bb/x"));
    shim_put(shim_path(BLOBS "/sha256/bb/file"), "");
    shim_put(shim_path(BLOBS "/sha256/cc"), "");
    shim_mkdir(shim_path(BLOBS "/_acr.0123"));
    is_int(blobs(NULL), 5, "other names");
    is_int(shim_lines, 1, "one line for a directory: %s", shim_logged);
    is_int(errors, 0, "no error");

    p = strdup(blob("sha256", 'd'));
    shim_make(p, "");
    memmove(strstr(p, "/dd/"), "/99/", 4);
    shim_make(p, "");
    is_int(blobs(NULL), 6, "a blob in a wrong directory is none");
    is_int(shim_lines, 2, "%s", shim_logged);
    free(p);

    is_int(nfds(), fds, "all is closed");
}


int
main(void)
{
    store = shim_store();
    shim_no_sync = 1;

    test_walk();
    test_walk_deep();
    test_walk_slices();
    test_digests(NGX_HTTP_ACR_LAYER, "_layers");
    test_digests(NGX_HTTP_ACR_REVISION, "_manifests/revisions");
    test_tags();
    test_blobs();

    return done();
}
