
/*
 * What is read from the directory when the index cannot tell: tags, links,
 * content, media types.
 */

#include "ngx_shim.h"


#define REPO   "docker/registry/v2/repositories/team/app"
#define TYPES  "acr/repositories"

static ngx_http_acr_store_t  *store;
static acr_digest_t          *from, *to;
static int                    moves;


static ngx_int_t
find_tag(const char *tag, acr_digest_t *d)
{
    return ngx_http_acr_store_find_tag(store, shim_str("team/app"),
                                       shim_str(tag), d, &shim_log);
}


static ngx_int_t
find_link(ngx_uint_t kind, acr_digest_t *d)
{
    return ngx_http_acr_store_find_link(store, shim_str("team/app"), kind, d,
                                        &shim_log);
}


static ngx_int_t
links(ngx_uint_t kinds, acr_digest_t *d)
{
    return ngx_http_acr_store_links_apply(store, shim_str("team/app"), d,
                                          kinds, &shim_log);
}


static ngx_int_t
name(const char *tag, acr_digest_t *d)
{
    return ngx_http_acr_store_tag_apply(store, shim_str("team/app"),
                                        shim_str(tag), d, NULL, &shim_log);
}


static ngx_int_t
put(acr_digest_t *d, const char *content)
{
    return ngx_http_acr_store_put(store, d, (u_char *) content,
                                  strlen(content), NULL, &shim_log);
}


static void
test_links(void)
{
    size_t         i;
    const char    *layer;
    acr_digest_t  *d, found;

    static const char  *torn[] = { "", "sha256:12", "hello\n" };

    shim_lines = 0;
    d = shim_digest("one");
    layer = shim_path(REPO "/_layers/sha256/%s/link", shim_hex(d));

    is_int(find_link(NGX_HTTP_ACR_LAYER, d), NGX_DECLINED, "no repository");
    is_int(find_tag("v1", &found), NGX_DECLINED, "so no tag");

    (void) links(NGX_HTTP_ACR_LAYER, d);
    is_int(find_link(NGX_HTTP_ACR_LAYER, d), NGX_OK, "a layer");
    is_int(find_link(NGX_HTTP_ACR_REVISION, d), NGX_DECLINED,
           "is no revision");

    for (i = 0; i < sizeof(torn) / sizeof(torn[0]); i++) {
        shim_put(layer, torn[i]);
        is_int(find_link(NGX_HTTP_ACR_LAYER, d), NGX_DECLINED, "torn");
    }

    shim_put(layer, shim_text(shim_digest("two")));
    is_int(find_link(NGX_HTTP_ACR_LAYER, d), NGX_DECLINED, "another digest");

    unlink(layer);
    mkfifo(layer, 0644);
    is_int(find_link(NGX_HTTP_ACR_LAYER, d), NGX_DECLINED,
           "a pipe blocks nobody");
    unlink(layer);
    is_int(shim_lines, 0, "nothing was logged");

    mkdir(layer, 0755);
    is_int(find_link(NGX_HTTP_ACR_LAYER, d), EISDIR, "a directory");
    is_int(shim_lines, 1, "%s", shim_logged);
    rmdir(layer);
}


static void
test_tags(void)
{
    acr_digest_t  *one, *two, found;
    const char    *link;

    shim_lines = 0;
    one = shim_digest("one");
    two = shim_digest("two");
    link = shim_path(REPO "/_manifests/tags/v1/current/link");

    (void) name("v1", one);
    is_int(find_tag("v1", &found), NGX_DECLINED, "a tag without a revision");

    (void) links(NGX_HTTP_ACR_REVISION, one);
    is_int(find_tag("v1", &found), NGX_OK, "a tag");
    ok(acr_digest_equal(&found, one), "what it names");
    is_int(find_tag("v2", &found), NGX_DECLINED, "another tag");

    shim_put(link, shim_text(two));
    is_int(find_tag("v1", &found), NGX_DECLINED,
           "it names what the repository has not");
    ok(acr_digest_equal(&found, one), "nothing is said then");

    shim_put(link, "");
    is_int(find_tag("v1", &found), NGX_DECLINED, "an empty link");
    shim_put(link, "sha256:");
    is_int(find_tag("v1", &found), NGX_DECLINED, "a torn link");

    shim_put(shim_path(REPO "/_manifests/tags/file"), "");
    is_int(find_tag("file", &found), NGX_DECLINED, "a file for a tag");
    unlink(shim_path(REPO "/_manifests/tags/file"));

    is_int(shim_lines, 0, "nothing was logged");
}


/* between the reads of the tag and of the revision */

static void
move(const char *path)
{
    if (strstr(path, "/revisions/") == NULL || moves == 0) {
        return;
    }

    moves--;
    shim_before_open = NULL;

    (void) links(NGX_HTTP_ACR_REVISION, to);
    (void) name("hot", to);
    (void) links(0, from);

    shim_before_open = move;
}


/* a tag that moves on, and what it named is removed, is there all the time */

static void
test_moving(void)
{
    acr_digest_t  found;

    from = shim_digest("one");
    to = shim_digest("two");

    shim_lines = 0;
    (void) links(NGX_HTTP_ACR_REVISION, from);
    (void) name("hot", from);

    moves = 1;
    shim_before_open = move;
    is_int(find_tag("hot", &found), NGX_OK, "found all the same");
    shim_before_open = NULL;

    is_int(moves, 0, "it has moved meanwhile");
    ok(acr_digest_equal(&found, to), "what it names now");
    is_int(shim_lines, 0, "no log line");
}


static ngx_int_t
load(acr_digest_t *d, size_t max, const char *want)
{
    size_t     n;
    u_char    *p;
    ngx_int_t  rc;

    p = (u_char *) "x";
    n = 77;

    rc = ngx_http_acr_store_load(store, d, max, &p, &n, &shim_log);

    if (rc == NGX_OK) {
        ok(p && want && n == strlen(want) && memcmp(p, want, n) == 0,
           "the content");
        ngx_free(p);

    } else {
        ok(p == NULL && n == 0, "nothing");
    }

    return rc;
}


static void
test_load(void)
{
    off_t          size;
    char           blob[PATH_MAX];
    acr_digest_t  *d, *empty;

    d = shim_digest("content");
    empty = shim_digest("");
    (void) ngx_http_acr_store_blob_path(store, d, (u_char *) blob);

    shim_lines = 0;
    is_int(load(d, 100, NULL), NGX_DECLINED, "not there");
    is_int(ngx_http_acr_store_size(store, d, &size, &shim_log), NGX_DECLINED,
           "no size");
    is_int(shim_lines, 0, "nothing was logged");

    (void) put(d, "content");
    (void) put(empty, "");

    size = 77;
    is_int(ngx_http_acr_store_size(store, d, &size, &shim_log), NGX_OK,
           "there");
    is_int(size, 7, "its size");
    is_int(load(d, 7, "content"), NGX_OK, "as long as it may be");
    is_int(load(empty, 0, ""), NGX_OK, "empty");
    is_int(ngx_http_acr_store_size(store, empty, &size, &shim_log), NGX_OK,
           "has a size");
    is_int(size, 0, "of nothing");
    is_int(shim_lines, 0, "nothing was logged");

    is_int(load(d, 6, NULL), EFBIG, "longer than that");
    is_int(shim_lines, 1, "%s", shim_logged);

    shim_put(blob, "Content");
    is_int(load(d, 100, NULL), NGX_ABORT, "a bit is wrong");
    is_int(shim_lines, 2, "%s", shim_logged);
    ok(strstr(shim_logged, blob), "the path is named");
    shim_put(blob, "conten");
    is_int(load(d, 100, NULL), NGX_ABORT, "cut");
    shim_put(blob, "contents");
    is_int(load(d, 100, NULL), NGX_ABORT, "something behind it");
    shim_put(blob, "");
    is_int(load(d, 100, NULL), NGX_ABORT, "emptied");

    (void) put(d, "content");
    shim_fail_read = EIO;
    is_int(load(d, 100, NULL), EIO, "the disk fails");
    shim_fail_read = ESTALE;
    is_int(load(d, 100, NULL), NGX_DECLINED, "replaced again and again");
    shim_fail_read = 0;

    shim_no_memory = 1;
    is_int(load(d, 100, NULL), ENOMEM, "no memory");
    shim_no_memory = 0;

    unlink(blob);
    mkdir(blob, 0755);
    is_int(load(d, 100, NULL), NGX_DECLINED, "a directory");
    is_int(ngx_http_acr_store_size(store, d, &size, &shim_log), NGX_DECLINED,
           "has no size");
    rmdir(blob);
}


static ngx_int_t
type_put(acr_digest_t *d, const char *type)
{
    return ngx_http_acr_store_type_put(store, shim_str("team/app"), d, type,
                                       strlen(type), &shim_log);
}


static ngx_int_t
type_get(acr_digest_t *d, const char *want)
{
    size_t     n;
    u_char     buf[ACR_MEDIA_TYPE_MAX];
    ngx_int_t  rc;

    rc = ngx_http_acr_store_type_get(store, shim_str("team/app"), d, buf, &n,
                                     &shim_log);

    if (rc == NGX_OK) {
        ok(n == strlen(want) && memcmp(buf, want, n) == 0, "is %s", want);
    }

    return rc;
}


static void
test_types(void)
{
    char           longest[ACR_MEDIA_TYPE_MAX + 1], large[5000];
    size_t         i;
    const char    *file;
    acr_digest_t  *d, *other;

    static const char  *bad[] = {
        "", "{", "[]", "{}", "\"a/b\"", "{\"mediaType\":5}",
        "{\"mediaType\":\"\"}", "{\"mediaType\":\"a\"}",
        "{\"mediaType\":\"a/b\\n\"}", "{\"mediaType\":\"a/b; c=d\"}",
        "{\"mediaType\":\"a/b\"}x"
    };

    d = shim_digest("typed");
    other = shim_digest("other");
    file = shim_path(TYPES "/team/app/_manifests/sha256/%s.json",
                     shim_hex(d));

    shim_lines = 0;
    is_int(type_get(d, NULL), NGX_DECLINED, "no type");
    is_int(shim_lines, 0, "is no failure");

    shim_trace();
    is_int(type_put(d, "application/vnd.x+json"), NGX_OK, "a type");
    ok(shim_is(file, "{\"mediaType\":\"application/vnd.x+json\"}"), "%s",
       file);
    ok(shim_traced("sync /" TYPES "/team/app/_manifests/sha256")
       > shim_traced("rename /" TYPES "/team/app/_manifests/sha256/%s.json",
                     shim_hex(d)), "it is durable");
    ok(shim_traced("sync /acr") > shim_traced("mkdir /" TYPES)
       && shim_traced("sync /" TYPES) > shim_traced("mkdir /" TYPES "/team"),
       "to the root");
    is_int(type_get(d, "application/vnd.x+json"), NGX_OK, "read");

    is_int(type_put(d, "a/b"), NGX_OK, "another");
    is_int(type_get(d, "a/b"), NGX_OK, "read");

    shim_trace();
    is_int(type_put(d, "a/b"), NGX_OK, "the same");
    is_int(shim_syncs(), 1, "is only synced");

    memset(longest, 'x', sizeof(longest) - 1);
    longest[127] = '/';
    longest[sizeof(longest) - 1] = '\0';
    is_int(type_put(d, longest), NGX_OK, "the longest");
    is_int(type_get(d, longest), NGX_OK, "read");

    is_int(type_put(d, "a/b\"c"), EINVAL, "no type");
    is_int(type_put(d, ""), EINVAL, "nothing");
    is_int(type_get(d, longest), NGX_OK, "changes nothing");

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        shim_put(file, bad[i]);
        shim_lines = 0;
        is_int(type_get(d, NULL), NGX_DECLINED, "bad: %s", bad[i]);
        is_int(shim_lines, 1, "%s", shim_logged);
    }

    memset(large, ' ', sizeof(large) - 1);
    memcpy(large, "{\"mediaType\":\"a/b\"}", 19);
    large[sizeof(large) - 1] = '\0';
    shim_put(file, large);
    is_int(type_get(d, NULL), NGX_DECLINED, "a large file");
    large[4096] = '\0';
    shim_put(file, large);
    is_int(type_get(d, "a/b"), NGX_OK, "one that is not too large");
    shim_put(file, "{\"x\":1,\"mediaType\":\"a/b\",\"y\":[]}");
    is_int(type_get(d, "a/b"), NGX_OK, "with other fields");

    (void) type_put(other, "a/c");
    (void) links(NGX_HTTP_ACR_REVISION|NGX_HTTP_ACR_LAYER, d);
    is_int(type_get(d, "a/b"), NGX_OK, "stays while the revision is there");
    (void) links(NGX_HTTP_ACR_REVISION, d);
    is_int(type_get(d, "a/b"), NGX_OK, "also without the layer");

    shim_trace();
    is_int(links(NGX_HTTP_ACR_LAYER, d), NGX_OK, "the revision goes");
    is_int(type_get(d, NULL), NGX_DECLINED, "so does the type");
    ok(shim_traced("sync /" TYPES "/team/app/_manifests/sha256")
       > shim_traced("unlink /" TYPES "/team/app/_manifests/sha256/%s.json",
                     shim_hex(d)), "durably");
    is_int(type_get(other, "a/c"), NGX_OK, "another stays");

    shim_put(shim_path(TYPES "/team/x"), "");
    is_int(links(0, other), NGX_OK, "the last one goes");
    ok(!shim_exists(shim_path(TYPES "/team/app")), "with its directories");
    ok(shim_exists(shim_path(TYPES "/team")), "but for what has others");
    unlink(shim_path(TYPES "/team/x"));

    (void) type_put(d, "a/b");
    is_int(links(0, d), NGX_OK, "once more");
    is_int(shim_count(shim_path(TYPES)), 0, "nothing is left");

    shim_lines = 0;
    shim_trace();
    is_int(links(0, d), NGX_OK, "and again");
    is_int(shim_lines, 0, "which is no failure");
    is_int(shim_count(shim_path("acr/tmp")), 0, "nothing is left over");
}


int
main(void)
{
    store = shim_store();

    test_links();
    test_tags();
    test_moving();
    test_load();
    test_types();

    return done();
}
