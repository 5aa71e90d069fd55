
/*
 * Content: the directories of a volume, staging files, blobs, the sweep.
 */

#include "ngx_shim.h"

#include <sys/mount.h>
#include <sys/wait.h>


#define UUID   "11111111-2222-3333-4444-555555555555"
#define REPO   "docker/registry/v2/repositories"
#define BLOBS  "docker/registry/v2/blobs"


static ngx_http_acr_store_t  *store;
static char                   newer[NGX_HTTP_ACR_STORE_NEWER];


static ngx_int_t
prepare(ngx_http_acr_store_t *s, uid_t uid, gid_t gid, const char **text,
    char *path)
{
    ngx_err_t  err;

    *text = ngx_http_acr_store_prepare(s, uid, gid, newer, sizeof(newer),
                                       &err, path);

    return err;
}


static int
reads(int fd, const char *want)
{
    char     buf[256];
    ssize_t  n;

    n = pread(fd, buf, sizeof(buf), 0);

    return n == (ssize_t) strlen(want) && memcmp(buf, want, n) == 0;
}


static ngx_int_t
marks(ngx_http_acr_store_t *s, char *mark, char *epoch)
{
    ngx_uint_t  certain, empty;

    return ngx_http_acr_store_marks(s, mark, epoch, &certain, &empty,
                                    &shim_log);
}


static ngx_int_t
no_change(void *data, const u_char *p, size_t n, u_char **text, size_t *len,
    ngx_log_t *log)
{
    *(int *) data = 1;

    return NGX_DECLINED;
}


/* a file that is new is durable; what we do not know is left alone */

static void
test_version(void)
{
    int          asked;
    char         path[PATH_MAX], file[PATH_MAX];
    size_t       i;
    const char  *text;

    static const char  *others[] = {
        "2\n", "2", "10\n", "11111111111111111111111\n", "0\n", " 1\n", "1 \n",
        "\n", "one\n", "\033[1m\xff\n"
    };

    strcpy(file, shim_path("acr/version"));

    ok(shim_is(file, "1\n"), "a new volume has version 1");
    is_int(ngx_http_acr_store_version(store, newer, sizeof(newer), &shim_log),
           NGX_OK, "which is known");

    unlink(file);
    is_int(ngx_http_acr_store_version(store, newer, sizeof(newer), &shim_log),
           NGX_OK, "so is a volume without one");

    shim_trace();
    is_int(prepare(store, geteuid(), getegid(), &text, path), 0, "it");
    ok(text == NULL && *newer == '\0' && shim_is(file, "1\n"), "gets one");
    ok(shim_syncs() > 0, "which is synced");

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        shim_put(file, others[i]);
        is_int(ngx_http_acr_store_version(store, newer, sizeof(newer),
                                          &shim_log),
               NGX_DECLINED, "another one is not");
        ok(strstr(newer, "this module knows \"1\"")
           && strspn(newer, " !\"#$%&'()*+,-./0123456789:;<=>?[]@_"
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                            "abcdefghijklmnopqrstuvwxyz")
              == strlen(newer), "%s", newer);

        rename(shim_path("acr/tmp"), shim_path("acr/other"));
        is_int(prepare(store, geteuid(), getegid(), &text, path), 0,
               "such a volume is no error");
        ok(text == NULL && *newer && !shim_exists(shim_path("acr/tmp")),
           "and nothing is made in it");
        rename(shim_path("acr/other"), shim_path("acr/tmp"));

        asked = 0;
        is_int(ngx_http_acr_store_document_change(store,
                                                  &ngx_http_acr_store_access,
                                                  no_change, &asked,
                                                  &shim_log),
               EROFS, "nor is access changed");
        ok(!asked && shim_is(file, others[i]), "at all");
    }

    shim_put(file, "");
    is_int(ngx_http_acr_store_version(store, newer, sizeof(newer), &shim_log),
           NGX_OK, "an empty one is none");
    is_int(prepare(store, geteuid(), getegid(), &text, path), 0, "it");
    ok(*newer == '\0' && shim_is(file, "1\n"), "is replaced");

    unlink(file);
    mkdir(file, 0755);
    is_int(ngx_http_acr_store_version(store, newer, sizeof(newer), &shim_log),
           EISDIR, "what cannot be read is not known");
    is_int(prepare(store, geteuid(), getegid(), &text, path), EISDIR,
           "and an error at the start");
    ok(text && strcmp(path, file) == 0, "%s %s", text, path);
    rmdir(file);
    (void) prepare(store, geteuid(), getegid(), &text, path);
}


static void
test_prepare(void)
{
    char                  path[PATH_MAX], mark[64], epoch[64], again[64];
    ngx_int_t             err;
    const char           *text;
    struct stat           st;
    ngx_http_acr_store_t  s;

    s = *store;

    ok(shim_count(shim_path(BLOBS)) == 0, "blobs is there and empty");
    ok(shim_count(shim_path(REPO)) == 0, "so is repositories");
    ok(shim_count(shim_path("acr/locks")) == 0, "so is acr/locks");
    ok(shim_count(shim_path("acr/nodes")) == 0, "so is acr/nodes");
    ok(shim_count(shim_path("acr/tmp")) == 0, "so is acr/tmp");

    is_int(marks(&s, mark, epoch), NGX_OK,
           "marks of a new volume");
    ok(strcmp(mark, "0") == 0 && strlen(epoch) == 32, "0 and an epoch");

    is_int(prepare(&s, geteuid(), getegid(), &text, path), 0, "once more");
    ok(text == NULL, "is harmless");
    (void) marks(&s, mark, again);
    ok(strcmp(epoch, again) == 0, "the epoch stays");

    shim_put(shim_path("acr/epoch"), "");
    is_int(marks(&s, mark, again), EINVAL,
           "an empty epoch is an error");
    (void) prepare(&s, geteuid(), getegid(), &text, path);
    is_int(marks(&s, mark, again), NGX_OK,
           "and is replaced");
    ok(strlen(again) == 32 && strcmp(epoch, again) != 0, "by a new one");
    is_int(shim_count(shim_path("acr/tmp")), 0, "nothing is left over");

    s.root = *shim_str(shim_path("no/such/root"));
    err = prepare(&s, geteuid(), getegid(), &text, path);
    is_int(err, ENOENT, "acr_root lies in no directory");
    ok(text && strcmp(path, (char *) s.root.data) == 0, "%s %s", text, path);

    shim_put(shim_path("file"), "");
    s.root = *shim_str(shim_path("file"));
    is_int(prepare(&s, geteuid(), getegid(), &text, path), ENOTDIR,
           "acr_root is a file");
    unlink(shim_path("file"));

    if (geteuid() != 0) {
        printf("# not root: no test of identities and mounts\n");
        return;
    }

    s.root = *shim_str(shim_path("nobody"));
    is_int(prepare(&s, 65534, 65534, &text, path), 0, "for nobody");
    ok(stat(shim_path("nobody/" BLOBS), &st) == 0 && st.st_uid == 65534
       && st.st_gid == 65534, "the directories are nobody's");
    ok(stat(shim_path("nobody/acr/epoch"), &st) == 0 && st.st_uid == 65534,
       "and the epoch");
    ok(geteuid() == 0 && mkdir(shim_path("own"), 0700) == 0
       && stat(shim_path("own"), &st) == 0 && st.st_uid == 0,
       "and we are root again");

    s.root = *shim_str(shim_path("own"));
    is_int(prepare(&s, 65534, 65534, &text, path), EACCES,
           "a root that nobody may not enter");
    ok(text, "%s %s", text, path);

    chmod(shim_path("own"), 0755);
    is_int(prepare(&s, 65534, 65534, &text, path), 0,
           "an empty root that belongs to root");

    is_int(chown(shim_path("own/" BLOBS), 0, 0), 0, "blobs of root");
    is_int(prepare(&s, 65534, 65534, &text, path), EACCES, "is an error");
    ok(strcmp(path, shim_path("own/" BLOBS)) == 0, "%s %s", text, path);
    is_int(shim_count(shim_path("own/acr/tmp")), 0, "no probe is left");
    is_int(shim_count(shim_path("own/" REPO)), 0, "none there");

    if (mount("tmpfs", shim_path(BLOBS), "tmpfs", 0, "size=64k") == -1) {
        printf("# no mount: no test of file systems\n");
        return;
    }

    s.root = store->root;
    is_int(prepare(&s, 0, 0, &text, path), EXDEV, "another file system");
    ok(strcmp(path, shim_path(BLOBS)) == 0, "%s %s", text, path);
    umount(shim_path(BLOBS));

    if (mount(shim_path(BLOBS), shim_path(BLOBS), "", MS_BIND, "") == 0) {
        is_int(prepare(&s, 0, 0, &text, path), EXDEV,
               "another mount of the same one");
        umount(shim_path(BLOBS));
    }
}


static void
test_put(void)
{
    char           buf[4096 + PATH_MAX], blob[512];
    size_t         n;
    const char    *hex;
    acr_digest_t  *d, sha512;

    d = shim_digest("manifest");
    hex = shim_hex(d);

    n = ngx_http_acr_store_blob_path(store, d, (u_char *) buf);
    snprintf(blob, sizeof(blob), BLOBS "/sha256/%.2s/%s", hex, hex);
    ok(n == strlen(buf) && strcmp(buf, shim_path("%s/data", blob)) == 0,
       "the path of a blob");

    shim_trace();
    is_int(ngx_http_acr_store_put(store, d, (u_char *) "manifest", 8, NULL,
                                  &shim_log), NGX_OK, "put");
    ok(shim_is(buf, "manifest"), "it is there");

    ok(shim_traced("mkdir /" BLOBS "/sha256") >= 0
       && shim_traced("sync /" BLOBS)
          > shim_traced("mkdir /" BLOBS "/sha256"),
       "a new directory's parent is synced");
    ok(shim_traced("sync /" BLOBS "/sha256/%.2s", hex)
       > shim_traced("mkdir /%s", blob), "the next too");
    ok(shim_traced("sync /%s", blob) > shim_traced("rename /%s/data", blob),
       "the directory is synced after the rename");
    is_int(shim_syncs(), 5, "syncs: data, 3 parents, directory");

    shim_put(buf, "broken");
    shim_trace();
    is_int(ngx_http_acr_store_put(store, d, (u_char *) "manifest", 8, NULL,
                                  &shim_log), NGX_OK, "put over a broken one");
    ok(shim_is(buf, "manifest"), "heals it");
    is_int(shim_syncs(), 2, "syncs: data, directory");

    shim_short = 1;
    is_int(ngx_http_acr_store_put(store, d, (u_char *) "manifest", 8, NULL,
                                  &shim_log), NGX_OK,
           "put with short writes and signals");
    ok(shim_is(buf, "manifest"), "is whole");
    shim_short = 0;

    store->fsync = 0;
    shim_trace();
    (void) ngx_http_acr_store_put(store, shim_digest("x"), (u_char *) "x", 1,
                                  NULL, &shim_log);
    is_int(shim_syncs(), 0, "acr_fsync off: no sync");
    store->fsync = 1;

    shim_fail_sync = EIO;
    shim_lines = 0;
    d = shim_digest("never");
    is_int(ngx_http_acr_store_put(store, d, (u_char *) "never", 5,
                                  NULL, &shim_log),
           EIO, "a sync that fails");
    is_int(shim_lines, 1, "one line: %s", shim_logged);
    ok(strstr(shim_logged, "acr: fdatasync() \"/") == shim_logged
       && strstr(shim_logged, "\" failed (5: "), "as nginx writes it");
    ngx_http_acr_store_blob_path(store, d, (u_char *) buf);
    ok(!shim_exists(buf), "there is no blob");
    shim_fail_sync = 0;

    is_int(shim_count(shim_path("acr/tmp")), 0, "nothing is left over");

    sha512.alg = acr_algorithm((const u_char *) "sha512", 6);
    memset(sha512.hex, 'a', ACR_HEX_MAX);
    is_int(ngx_http_acr_store_put(store, &sha512, (u_char *) "", 0, NULL,
                                  &shim_log), NGX_OK, "sha512, 0 bytes");
    ngx_http_acr_store_blob_path(store, &sha512, (u_char *) buf);
    ok(shim_is(buf, ""), "is there");

    rmdir(shim_path("acr/tmp"));
    is_int(ngx_http_acr_store_put(store, &sha512, (u_char *) "", 0, NULL,
                                  &shim_log), NGX_OK,
           "acr/tmp is made again");
}


static ngx_int_t
stage(const char *from, const char *file, off_t offset, int *fd)
{
    return ngx_http_acr_store_stage(store, shim_str("a/b"), shim_str(UUID),
                                    shim_str(from), shim_str(file), offset,
                                    fd, &shim_log);
}


static void
test_stage(void)
{
    int          fd, late;
    ngx_int_t    rc;
    const char  *dir;

    dir = shim_path(REPO "/a/b/_uploads/" UUID);

    is_int(stage("", "data.1", 0, &fd), NGX_OK, "a new session");
    is_int(write(fd, "0123456789", 10), 10, "write");
    is_int(ngx_http_acr_store_sync(store, fd, &shim_log), NGX_OK, "sync");
    late = fd;

    is_int(stage("data.1", "data.1", 6, &fd), NGX_OK, "goes on at 6");
    is_int(lseek(fd, 0, SEEK_CUR), 6, "is positioned");
    ok(reads(fd, "012345"), "is cut to that");
    (void) !write(fd, "abcd", 4);
    close(fd);

    is_int(stage("data.1", "data.1", 11, &fd), ENOENT, "is too short");
    is_int(fd, -1, "no descriptor");
    is_int(stage("data.7", "data.7", 1, &fd), ENOENT, "is gone");
    is_int(stage("data.7", "data.8", 1, &fd), ENOENT, "is gone, copying");
    is_int(stage("", "data.8", 1, &fd), ENOENT, "was never there");
    ok(!shim_exists(shim_path(REPO "/a/b/_uploads/" UUID "/data.8")),
       "nothing is made of nothing");

    is_int(stage("data.1", "data.2", 8, &fd), NGX_OK, "taken over at 8");
    ok(reads(fd, "012345ab"), "has the prefix");
    is_int(lseek(fd, 0, SEEK_CUR), 8, "is positioned");
    (void) !pwrite(late, "late", 4, 0);
    ok(reads(fd, "012345ab"), "a late writer does not reach it");
    close(fd);

    shim_fail_copy = EXDEV;
    is_int(stage("data.2", "data.3", 7, &fd), NGX_OK, "by read and write");
    ok(reads(fd, "012345a"), "has the prefix");
    close(fd);

    shim_fail_copy = ENOSPC;
    is_int(stage("data.2", "data.4", 7, &fd), ENOSPC, "no space");
    is_int(fd, -1, "no descriptor");
    ok(!shim_exists(shim_path(REPO "/a/b/_uploads/" UUID "/data.4")),
       "no file");
    shim_fail_copy = 0;

    shim_clone = 1;
    is_int(stage("data.2", "data.4", 5, &fd), NGX_OK, "by a clone");
    ok(reads(fd, "01234"), "has the prefix");
    is_int(lseek(fd, 0, SEEK_CUR), 5, "is positioned");
    close(fd);
    shim_clone = 0;

    is_int(stage("data.1", "data.4", 0, &fd), NGX_OK,
           "again, over a file that is there");
    ok(reads(fd, ""), "is empty");
    close(fd);
    close(late);

    is_int(shim_count(dir), 4, "the files of before are left alone");

    is_int(ngx_http_acr_store_discard(store, shim_str("a/b"), shim_str(UUID),
                                      &shim_log), NGX_OK, "discard");
    ok(!shim_exists(dir), "removes all");
    is_int(ngx_http_acr_store_discard(store, shim_str("a/b"), shim_str(UUID),
                                      &shim_log), NGX_OK, "discard nothing");

    store->fsync = 0;
    shim_trace();
    (void) stage("", "data.1", 0, &fd);
    is_int(ngx_http_acr_store_sync(store, fd, &shim_log), NGX_OK, "sync");
    is_int(shim_syncs(), 0, "acr_fsync off: no sync");
    store->fsync = 1;
    close(fd);

    rc = ngx_http_acr_store_discard(store, shim_str("a/b"), shim_str(UUID),
                                    &shim_log);
    is_int(rc, NGX_OK, "discard");
}


static void
test_large_copy(void)
{
    int                   fd, to, i;
    char                  buf[4096];
    acr_hash_t            h;
    acr_digest_t          want, got;
    const acr_algorithm_t *alg;

    alg = acr_algorithm((const u_char *) "sha256", 6);

    (void) stage("", "big", 0, &fd);
    acr_hash_init(&h, alg);

    for (i = 0; i < 100; i++) {
        memset(buf, i, sizeof(buf));
        is_int(write(fd, buf, sizeof(buf)), sizeof(buf), "fill");
        acr_hash_update(&h, buf, i == 99 ? 77 : sizeof(buf));
    }

    acr_hash_final(&h, &want);

    for (i = 0; i < 3; i++) {
        shim_fail_copy = i == 1 ? EOPNOTSUPP : 0;
        shim_clone = i == 2;

        is_int(stage("big", "copy", 99 * 4096 + 77, &to), NGX_OK, "copy");
        acr_hash_init(&h, alg);
        is_int(ngx_http_acr_store_hash(to, 99 * 4096 + 77, &h, &shim_log),
               NGX_OK, "hash");
        acr_hash_final(&h, &got);
        ok(acr_digest_equal(&want, &got), "is the same, way %d", i);
        close(to);
    }

    shim_clone = 0;

    acr_hash_init(&h, alg);
    is_int(ngx_http_acr_store_hash(fd, 500000, &h, &shim_log), EIO,
           "hash of a file that is too short");
    close(fd);
    acr_hash_init(&h, alg);
    is_int(ngx_http_acr_store_hash(fd, 1, &h, &shim_log), EBADF,
           "hash of no file");

    (void) ngx_http_acr_store_discard(store, shim_str("a/b"), shim_str(UUID),
                                      &shim_log);
}


static void
test_commit(void)
{
    int            fd;
    char           blob[PATH_MAX];
    ngx_int_t      rc;
    acr_digest_t  *d;

    d = shim_digest("layer");
    (void) ngx_http_acr_store_blob_path(store, d, (u_char *) blob);

    (void) stage("", "data.1", 0, &fd);
    (void) !write(fd, "layer", 5);

    shim_trace();
    rc = ngx_http_acr_store_commit(store, shim_str("a/b"), shim_str(UUID),
                                   shim_str("data.1"), fd, d, NULL, &shim_log);
    is_int(rc, NGX_OK, "commit");
    ok(shim_is(blob, "layer"), "is the blob");
    ok(reads(fd, "layer"), "the descriptor is still ours");
    close(fd);

    ok(shim_traced("sync /" REPO "/a/b/_uploads/" UUID "/data.1") == 0,
       "the data is synced first");
    is_int(shim_count(shim_path(REPO "/a/b/_uploads/" UUID)), 1,
           "the staging file keeps its name");
    is_int(shim_count(shim_path("acr/tmp")), 0, "no other name is left");

    (void) stage("", "data.1", 0, &fd);
    (void) !write(fd, "x", 1);
    ok(shim_is(blob, "layer"), "who stages anew does not write to the blob");
    (void) ftruncate(fd, 0);
    (void) lseek(fd, 0, SEEK_SET);

    rc = ngx_http_acr_store_commit(store, shim_str("a/b"), shim_str(UUID),
                                   shim_str("data.2"), fd, d, NULL, &shim_log);
    is_int(rc, ENOENT, "commit of a file that is gone");
    ok(strstr(shim_logged, "_uploads/" UUID "/data.2\""), "%s", shim_logged);
    ok(shim_is(blob, "layer"), "the blob stays");

    shim_put(blob, "torn");
    (void) !write(fd, "layer", 5);
    rc = ngx_http_acr_store_commit(store, shim_str("a/b"), shim_str(UUID),
                                   shim_str("data.1"), fd, d, NULL, &shim_log);
    is_int(rc, NGX_OK, "commit over a torn blob");
    ok(shim_is(blob, "layer"), "heals it");
    close(fd);
}


static void
test_sweep(void)
{
    int         fd;
    ngx_uint_t  n;

    is_int(ngx_http_acr_store_sweep(store, 60, &n, &shim_log), NGX_OK,
           "sweep");
    is_int(n, 0, "nothing to do");

    (void) stage("", "data.1", 0, &fd);
    close(fd);
    mkdir(shim_path(REPO "/a/b/_uploads/other"), 0755);
    mkdir(shim_path(REPO "/a/b/_uploads/other/hashstates"), 0755);
    mkdir(shim_path(REPO "/a/b/_uploads/other/hashstates/sha256"), 0755);
    shim_put(shim_path(REPO "/a/b/_uploads/other/hashstates/sha256/0"), "x");
    mkdir(shim_path(REPO "/a/_uploads"), 0755);
    mkdir(shim_path(REPO "/a/_uploads/third"), 0755);
    mkdir(shim_path(REPO "/a/_layers"), 0755);
    mkdir(shim_path(REPO "/a/_layers/_uploads"), 0755);
    mkdir(shim_path(REPO "/a/_layers/_uploads/no"), 0755);
    shim_put(shim_path("acr/tmp/old"), "x");
    shim_put(shim_path("acr/tmp/new"), "x");

    shim_age(shim_path("acr/tmp/old"), 100);
    shim_age(shim_path(REPO "/a/_layers/_uploads/no"), 100);
    shim_age(shim_path(REPO "/a/_uploads/third"), 100);
    shim_age(shim_path(REPO "/a/b/_uploads/" UUID), 100);

    is_int(ngx_http_acr_store_sweep(store, 60, &n, &shim_log), NGX_OK,
           "sweep");
    is_int(n, 1, "one is old");
    ok(!shim_exists(shim_path(REPO "/a/_uploads/third")), "the third");
    ok(shim_exists(shim_path(REPO "/a/_layers/_uploads/no")),
       "what is no session stays");
    ok(!shim_exists(shim_path("acr/tmp/old")), "an old temporary file goes");
    ok(shim_exists(shim_path("acr/tmp/new")), "a new one stays");

    shim_age(shim_path(REPO "/a/b/_uploads/" UUID "/data.1"), 100);
    shim_age(shim_path(REPO "/a/b/_uploads/" UUID), 100);
    shim_age(shim_path(REPO "/a/b/_uploads/other/hashstates/sha256"), 100);
    shim_age(shim_path(REPO "/a/b/_uploads/other/hashstates"), 100);
    shim_age(shim_path(REPO "/a/b/_uploads/other"), 100);

    is_int(ngx_http_acr_store_sweep(store, 60, &n, &shim_log), NGX_OK,
           "sweep");
    is_int(n, 1, "a file is as good as its directory");

    shim_age(shim_path(REPO "/a/b/_uploads/other/hashstates/sha256/0"), 100);

    is_int(ngx_http_acr_store_sweep(store, 60, &n, &shim_log), NGX_OK,
           "sweep");
    is_int(n, 1, "and the other");
    is_int(shim_count(shim_path(REPO "/a/b/_uploads")), 0, "all gone");
    unlink(shim_path("acr/tmp/new"));
}


/* a name of 127 components, the deepest that there is */

static void
test_deep(void)
{
    int         fd, i;
    char        name[256];
    ngx_str_t   repository;
    ngx_uint_t  n;

    for (i = 0; i < 127; i++) {
        name[2 * i] = 'd';
        name[2 * i + 1] = '/';
    }

    repository.data = (u_char *) name;
    repository.len = 253;

    is_int(ngx_http_acr_store_stage(store, &repository, shim_str(UUID),
                                    shim_str(""), shim_str("f"), 0, &fd,
                                    &shim_log), NGX_OK, "127 levels");
    close(fd);

    is_int(ngx_http_acr_store_sweep(store, -1, &n, &shim_log), NGX_OK,
           "sweep them");
    is_int(n, 1, "all removed");
}


int
main(void)
{
    store = shim_store();

    test_prepare();
    test_version();
    test_put();
    test_stage();
    test_large_copy();
    test_commit();
    test_sweep();
    test_deep();

    return done();
}
