
/*
 * Links and tags: what is interrupted, torn, at the same time, or without
 * space.
 */

#include "ngx_shim.h"

#include <ftw.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>


#define REPO   "docker/registry/v2/repositories/team/app"
#define TAGS   REPO "/_manifests/tags"
#define TOKEN  "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"

#define THREADS  4
#define ROUNDS   200


static ngx_http_acr_store_t  *store;

/* what the tag is "in Redis"; changed under the tag's lock */
static acr_digest_t          *truth;
static int                    failures;


static ngx_int_t
set_link(ngx_uint_t kind, acr_digest_t *d)
{
    return ngx_http_acr_store_link(store, shim_str("team/app"), kind, d,
                                   &shim_log);
}


static ngx_int_t
set_links(ngx_uint_t kinds, acr_digest_t *d)
{
    return ngx_http_acr_store_links_apply(store, shim_str("team/app"), d,
                                          kinds, &shim_log);
}


static ngx_int_t
tag_prepare(const char *tag, acr_digest_t *d, const char *token)
{
    return ngx_http_acr_store_tag_prepare(store, shim_str("team/app"),
                                          shim_str(tag), d, shim_str(token),
                                          &shim_log);
}


static ngx_int_t
tag_apply(const char *tag, acr_digest_t *d, const char *token)
{
    return ngx_http_acr_store_tag_apply(store, shim_str("team/app"),
                                        shim_str(tag), d,
                                        token ? shim_str(token) : NULL,
                                        &shim_log);
}


static void
tag_abandon(const char *tag, const char *token)
{
    ngx_http_acr_store_tag_abandon(store, shim_str("team/app"), shim_str(tag),
                                   shim_str(token), &shim_log);
}


static void
test_links(void)
{
    ngx_uint_t     i;
    const char    *layer, *revision;
    acr_digest_t  *d;

    static const char  *torn[] = { "", "sha256:12", "sha256:" };

    d = shim_digest("layer");
    layer = shim_path(REPO "/_layers/sha256/%s/link", shim_hex(d));
    revision = shim_path(REPO "/_manifests/revisions/sha256/%s/link",
                         shim_hex(d));

    shim_trace();
    is_int(set_link(NGX_HTTP_ACR_LAYER, d), NGX_OK, "a layer");
    ok(shim_is(layer, shim_text(d)), "says its digest, without a newline");

    ok(shim_traced("sync /docker/registry/v2/repositories/team")
       > shim_traced("mkdir /" REPO), "the repository is durable");
    ok(shim_traced("sync /" REPO) > shim_traced("mkdir /" REPO "/_layers"),
       "so is what is below");
    ok(shim_traced("sync /" REPO "/_layers/sha256/%s", shim_hex(d))
       > shim_traced("rename /" REPO "/_layers/sha256/%s/link", shim_hex(d)),
       "and the link");

    shim_trace();
    is_int(set_link(NGX_HTTP_ACR_LAYER, d), NGX_OK, "again");
    is_int(shim_syncs(), 1, "the directory is synced all the same");
    is_int(shim_traced("rename /" REPO "/_layers/sha256/%s/link",
                       shim_hex(d)), -1, "the link is left alone");

    for (i = 0; i < sizeof(torn) / sizeof(torn[0]); i++) {
        shim_put(layer, torn[i]);
        is_int(set_link(NGX_HTTP_ACR_LAYER, d), NGX_OK, "over a torn one");
        ok(shim_is(layer, shim_text(d)), "is whole");
    }

    shim_put(layer, shim_text(shim_digest("another")));
    is_int(set_link(NGX_HTTP_ACR_LAYER, d), NGX_OK, "over a wrong one");
    ok(shim_is(layer, shim_text(d)), "is right");

    is_int(set_links(NGX_HTTP_ACR_LAYER|NGX_HTTP_ACR_REVISION, d), NGX_OK,
           "both");
    ok(shim_is(layer, shim_text(d)) && shim_is(revision, shim_text(d)),
       "are there");

    shim_trace();
    is_int(set_links(NGX_HTTP_ACR_REVISION, d), NGX_OK, "one");
    ok(!shim_exists(layer) && shim_is(revision, shim_text(d)), "is there");
    ok(shim_traced("sync /" REPO "/_layers/sha256/%s", shim_hex(d)) >= 0,
       "the removal is durable");
    is_int(shim_count(shim_path(REPO "/_layers/sha256")), 0,
           "its directory is gone");

    is_int(set_links(0, d), NGX_OK, "none");
    is_int(set_links(0, d), NGX_OK, "none again");
    ok(!shim_exists(revision), "is there");

    store->fsync = 0;
    shim_trace();
    (void) set_links(NGX_HTTP_ACR_LAYER, d);
    (void) set_links(0, d);
    is_int(shim_syncs(), 0, "acr_fsync off: no sync");
    store->fsync = 1;

    shim_fail_sync = EIO;
    is_int(set_link(NGX_HTTP_ACR_LAYER, d), EIO, "a sync that fails");
    shim_fail_sync = 0;

    is_int(shim_count(shim_path("acr/tmp")), 0, "nothing is left over");
}


static void
test_tags(void)
{
    int            n;
    const char    *link, *temp, *index1, *index2;
    acr_digest_t  *one, *two;

    one = shim_digest("one");
    two = shim_digest("two");
    link = shim_path(TAGS "/v1/current/link");
    temp = shim_path(TAGS "/v1/current/link." TOKEN);
    index1 = shim_path(TAGS "/v1/index/sha256/%s/link", shim_hex(one));
    index2 = shim_path(TAGS "/v1/index/sha256/%s/link", shim_hex(two));

    shim_trace();
    is_int(tag_prepare("v1", one, TOKEN), NGX_OK, "prepare");
    ok(shim_is(temp, shim_text(one)), "the temporary file");
    ok(shim_is(index1, shim_text(one)), "the index");
    ok(!shim_exists(link), "no link yet");
    n = shim_traced("sync /" TAGS "/v1/current/link." TOKEN);
    ok(n >= 0 && shim_traced("sync /" TAGS "/v1/current") > n,
       "it is durable");

    shim_trace();
    is_int(tag_apply("v1", one, TOKEN), NGX_OK, "apply");
    ok(shim_is(link, shim_text(one)), "the link");
    ok(!shim_exists(temp), "it was the temporary file");
    is_int(shim_traced("rename /" TAGS "/v1/current/link"), 0,
           "renamed at once");
    is_int(shim_traced("sync /" TAGS "/v1/current"), 1, "and synced");
    is_int(shim_syncs(), 1, "no more than that");

    shim_trace();
    is_int(tag_apply("v1", one, NULL), NGX_OK, "apply again");
    is_int(shim_traced("sync /" TAGS "/v1/current"), 0, "only syncs");

    (void) tag_prepare("v1", two, TOKEN);
    is_int(tag_apply("v1", one, TOKEN), NGX_OK, "a put that was overtaken");
    ok(shim_is(link, shim_text(one)) && !shim_exists(temp), "leaves nothing");

    is_int(tag_apply("v1", two, TOKEN), NGX_OK, "without a temporary file");
    ok(shim_is(link, shim_text(two)) && shim_is(index2, shim_text(two)),
       "it works too");

    (void) tag_prepare("v1", one, TOKEN);
    shim_put(temp, "sha2");
    is_int(tag_apply("v1", one, TOKEN), NGX_OK, "a torn temporary file");
    ok(shim_is(link, shim_text(one)) && !shim_exists(temp), "is not used");

    shim_put(link, "");
    is_int(tag_apply("v1", one, NULL), NGX_OK, "a torn link");
    ok(shim_is(link, shim_text(one)), "is replaced");

    (void) tag_prepare("v1", two, TOKEN);
    tag_abandon("v1", TOKEN);
    tag_abandon("v1", TOKEN);
    ok(!shim_exists(temp) && shim_is(link, shim_text(one)), "abandon");

    shim_put(shim_path(TAGS "/v1/current/link.old"), "x");
    shim_age(shim_path(TAGS "/v1/current/link.old"), 7200);
    shim_put(shim_path(TAGS "/v1/current/link.new"), "x");
    (void) tag_apply("v1", one, NULL);
    ok(!shim_exists(shim_path(TAGS "/v1/current/link.old"))
       && shim_exists(shim_path(TAGS "/v1/current/link.new")),
       "what a dead put left goes after an hour");

    shim_trace();
    is_int(tag_apply("v1", NULL, NULL), NGX_OK, "a put in the way of untag");
    ok(!shim_exists(link) && !shim_exists(index1) && !shim_exists(index2),
       "the links are gone");
    ok(shim_exists(shim_path(TAGS "/v1/current/link.new")),
       "what is new stays");
    is_int(shim_traced("unlink /" TAGS "/v1/current/link"), 0, "its own first");
    is_int(shim_traced("sync /" TAGS "/v1/current"), 1, "and durably");

    is_int(tag_apply("v1", one, "new"), NGX_OK, "it is applied");
    ok(shim_is(link, shim_text(one)) && shim_is(index1, shim_text(one)),
       "and makes again what is missing");

    is_int(tag_apply("v1", NULL, TOKEN), NGX_OK, "untag");
    is_int(shim_count(shim_path(TAGS)), 0, "all of it is gone");
    is_int(tag_apply("v1", NULL, NULL), NGX_OK, "untag again");
    is_int(shim_count(shim_path("acr/tmp")), 0, "nothing is left over");
}


/* removals that were interrupted after each of their steps */

static void
test_interrupted(void)
{
    int            i;
    acr_digest_t  *d;

    d = shim_digest("one");

    for (i = 0; i < 5; i++) {
        (void) tag_prepare("v2", d, TOKEN);
        (void) tag_apply("v2", d, TOKEN);

        switch (i) {
        case 4:
            unlink(shim_path(TAGS "/v2/index/sha256/%s/link", shim_hex(d)));
            /* fall through */
        case 3:
            rmdir(shim_path(TAGS "/v2/index/sha256/%s", shim_hex(d)));
            /* fall through */
        case 2:
            unlink(shim_path(TAGS "/v2/current/link"));
            rmdir(shim_path(TAGS "/v2/current"));
            break;
        case 1:
            unlink(shim_path(TAGS "/v2/current/link"));
        }

        shim_trace();
        is_int(tag_apply("v2", NULL, NULL), NGX_OK, "goes on after %d", i);
        ok(!shim_exists(shim_path(TAGS "/v2")), "to the end");

        if (i == 1) {
            is_int(shim_traced("sync /" TAGS "/v2/current"), 0,
                   "a removal that was not synced is");
        }
    }
}


static void *
tag_thread(void *data)
{
    int            i, fd, n, k;
    char           token[16];
    ngx_int_t      rc;
    acr_digest_t  *d;

    n = (int) (intptr_t) data;

    static const char  *content[] = { "one", "two", "three", "four" };

    for (i = 0; i < ROUNDS; i++) {
        d = (i + n) % 3 ? shim_digest(content[(i + n) % 4]) : NULL;
        snprintf(token, sizeof(token), "%d.%d", n, i);

        if (d && tag_prepare("hot", d, token) != NGX_OK) {
            __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
            continue;
        }

        if (d && i % 5 == 0) {
            tag_abandon("hot", token);
            continue;
        }

        for (k = 0; k < 100000; k++) {
            rc = ngx_http_acr_store_lock(store, shim_str("team/app"),
                                         shim_str("hot"), &fd, &shim_log);
            if (rc != NGX_AGAIN) {
                break;
            }

            usleep(50);
        }

        if (rc != NGX_OK) {
            __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
            continue;
        }

        truth = d;

        if (tag_apply("hot", d, d ? token : NULL) != NGX_OK
            || (d && !shim_is(shim_path(TAGS "/hot/current/link"),
                              shim_text(d))))
        {
            __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
        }

        close(fd);

        if (set_link(NGX_HTTP_ACR_LAYER, shim_digest("shared")) != NGX_OK
            || set_links(n % 2 ? NGX_HTTP_ACR_LAYER : 0,
                         shim_digest("shared")) != NGX_OK)
        {
            __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
        }
    }

    return NULL;
}


/* with fsync on, a directory may also vanish before it is synced */

static void
test_threads(ngx_flag_t fsync)
{
    int        i;
    pthread_t  tid[THREADS];

    store->fsync = fsync;
    shim_no_sync = 1;
    shim_lines = 0;

    for (i = 0; i < THREADS; i++) {
        pthread_create(&tid[i], NULL, tag_thread, (void *) (intptr_t) i);
    }

    for (i = 0; i < THREADS; i++) {
        pthread_join(tid[i], NULL);
    }

    store->fsync = 1;
    shim_no_sync = 0;

    is_int(failures, 0, "%d threads: no failure", THREADS);
    is_int(shim_lines, 0, "no log line: %s", shim_logged);
    is_int(tag_apply("hot", NULL, NULL), NGX_OK, "untag");
    ok(!shim_exists(shim_path(TAGS "/hot")), "nothing is left of it");
    is_int(shim_count(shim_path("acr/tmp")), 0, "nothing is left over");
}


static int
whole(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    if (type != FTW_F || strcmp(path + ftw->base, "link") != 0
        || strstr(path, "/_manifests/") == NULL)
    {
        return 0;
    }

    return st->st_size == 71 ? 0 : 1;
}


/* whatever a killed process leaves, links are whole, and work goes on */

static void
test_killed(void)
{
    int            i, k, status;
    pid_t          pid;
    ngx_uint_t     n;
    acr_digest_t  *d;

    for (i = 0; i < 30; i++) {
        pid = fork();

        if (pid == 0) {
            for (k = 0; /* void */ ; k++) {
                d = shim_digest(k % 2 ? "one" : "two");
                (void) ngx_http_acr_store_put(store, d, (u_char *) "x", 1, NULL,
                                              &shim_log);
                (void) set_link(NGX_HTTP_ACR_REVISION, d);
                (void) tag_prepare("v3", d, TOKEN);
                (void) tag_apply("v3", d, TOKEN);

                if (k % 3 == 0) {
                    (void) tag_apply("v3", NULL, NULL);
                    (void) set_links(0, d);
                }
            }
        }

        usleep(3000 + 700 * i);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);

        if (nftw(shim_path(REPO), whole, 16, FTW_PHYS) != 0) {
            break;
        }

        d = shim_digest("one");

        if (tag_prepare("v3", d, TOKEN) != NGX_OK
            || tag_apply("v3", d, TOKEN) != NGX_OK
            || !shim_is(shim_path(TAGS "/v3/current/link"), shim_text(d)))
        {
            break;
        }
    }

    is_int(i, 30, "killed so often");

    is_int(tag_apply("v3", NULL, TOKEN), NGX_OK, "untag");
    ok(!shim_exists(shim_path(TAGS "/v3")), "nothing is left of it");
    is_int(ngx_http_acr_store_sweep(store, -1, &n, &shim_log), NGX_OK,
           "sweep");
    is_int(shim_count(shim_path("acr/tmp")), 0, "nothing is left over");
}


static void
test_no_space(void)
{
    int                    fd, i;
    char                   path[PATH_MAX], name[64];
    char                   newer[NGX_HTTP_ACR_STORE_NEWER];
    ngx_err_t              err;
    acr_digest_t          *one, *two;
    static u_char          big[1 << 20];
    ngx_http_acr_store_t   old;

    if (geteuid() != 0 || mkdir(shim_path("small"), 0755) == -1
        || mount("tmpfs", shim_path("small"), "tmpfs", 0,
                 "size=256k,nr_inodes=200") == -1)
    {
        printf("# cannot mount: no test of a full disk\n");
        return;
    }

    old = *store;
    store->root = *shim_str(shim_path("small"));
    one = shim_digest("one");
    two = shim_digest("two");

    ok(ngx_http_acr_store_prepare(store, 0, 0, newer, sizeof(newer), &err,
                                  path)
       == NULL, "a small disk");
    unlink(shim_path("small/acr/version"));

    shim_lines = 0;
    is_int(ngx_http_acr_store_put(store, one, big, sizeof(big),
                                  NULL, &shim_log),
           ENOSPC, "put more than there is room");
    is_int(shim_lines, 1, "%s", shim_logged);
    is_int(shim_count(shim_path("small/acr/tmp")), 0,
           "gives the room back");

    is_int(tag_prepare("v1", one, TOKEN), NGX_OK, "prepare");
    is_int(tag_apply("v1", one, TOKEN), NGX_OK, "apply");
    is_int(tag_prepare("v1", two, TOKEN), NGX_OK, "prepare");

    for (i = 0; /* void */ ; i++) {
        snprintf(name, sizeof(name), "small/fill%d", i);
        fd = open(shim_path("%s", name), O_WRONLY|O_CREAT, 0644);

        if (fd == -1) {
            break;
        }

        while (write(fd, big, 4096) > 0) { /* void */ }
        close(fd);
    }

    is_int(set_link(NGX_HTTP_ACR_LAYER, one), ENOSPC, "no link any more");
    is_int(tag_prepare("v1", one, "other"), ENOSPC, "no tag");
    ok(ngx_http_acr_store_prepare(store, 0, 0, newer, sizeof(newer), &err,
                                  path)
       == NULL, "a full disk is no reason not to start");
    ok(!shim_exists(shim_path("small/acr/version")), "without a version");
    is_int(tag_apply("v1", two, TOKEN), NGX_OK,
           "what was prepared needs no space");
    ok(shim_is(shim_path("small/" TAGS "/v1/current/link"), shim_text(two)),
       "and is there");
    is_int(tag_apply("v1", NULL, NULL), NGX_OK, "and things can be removed");

    *store = old;
    umount(shim_path("small"));
}


static void
test_read_only(void)
{
    int            status;
    pid_t          pid;
    ngx_int_t      rc;
    acr_digest_t  *d;

    d = shim_digest("locked");

    chmod(shim_path(REPO "/_layers/sha256"), 0555);
    pid = fork();

    if (pid == 0) {
        if (geteuid() == 0 && (setgid(65534) || setuid(65534))) {
            _exit(1);
        }

        shim_lines = 0;
        rc = set_link(NGX_HTTP_ACR_LAYER, d);
        _exit(rc == EACCES && shim_lines == 1 ? 0 : 2);
    }

    waitpid(pid, &status, 0);
    is_int(status, 0, "a directory that is read-only: EACCES, one line");
    chmod(shim_path(REPO "/_layers/sha256"), 0755);

    mkdir(shim_path(REPO "/_layers/sha256/%s", shim_hex(d)), 0755);
    mkdir(shim_path(REPO "/_layers/sha256/%s/link", shim_hex(d)), 0755);
    is_int(set_link(NGX_HTTP_ACR_LAYER, d), EISDIR,
           "a directory where the link should be");
}


int
main(void)
{
    store = shim_store();

    test_links();
    test_tags();
    test_interrupted();
    test_threads(0);
    test_threads(1);
    test_killed();
    test_no_space();
    test_read_only();

    return done();
}
