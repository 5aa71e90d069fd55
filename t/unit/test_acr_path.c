
#include "acr_path.h"
#include "tap.h"


static int
same(const acr_text_t *text, const char *want, const unsigned char *p,
    size_t n)
{
    if (text->len != strlen(want)) {
        return 0;
    }

    if (text->len == 0) {
        return 1;
    }

    return memcmp(text->data, want, text->len) == 0
           && text->data >= p && text->data + text->len <= p + n;
}


static void
path(const char *s, size_t n, acr_path_e resource, const char *name,
    const char *reference, const char *label)
{
    acr_path_t      got;
    unsigned char  *p;

    p = tap_copy(s, n);
    memset(&got, 0xff, sizeof(acr_path_t));

    acr_path_parse(&got, p, n);

    if (!ok(got.resource == resource
            && same(&got.name, name, p, n)
            && same(&got.reference, reference, p, n), "%s", label))
    {
        printf("#   got %d '%.*s' '%.*s'\n", got.resource,
               (int) got.name.len, (char *) got.name.data,
               (int) got.reference.len, (char *) got.reference.data);
    }
}


#define is(s, resource, name, reference)                                     \
    path(s, sizeof(s) - 1, ACR_PATH_##resource, name, reference, #s)
#define none(s)  is(s, NONE, "", "")


int
main(void)
{
    acr_path_t  zero;

    is("/v2", BASE, "", "");
    is("/v2/", BASE, "", "");
    is("/v2/_catalog", CATALOG, "", "");
    is("/v2/_oci/ext/discover", EXTENSIONS, "", "");
    is("/v2/a/_oci/ext/discover", EXTENSIONS, "a", "");
    is("/v2/a/b/_oci/ext/discover", EXTENSIONS, "a/b", "");

    is("/v2/a/blobs/d", BLOB, "a", "d");
    is("/v2/a/b/blobs/sha256:x", BLOB, "a/b", "sha256:x");
    is("/v2/a/blobs/uploads", UPLOADS, "a", "");
    is("/v2/a/blobs/uploads/", UPLOADS, "a", "");
    is("/v2/a/blobs/uploads/u", UPLOAD, "a", "u");
    is("/v2/a/manifests/latest", MANIFEST, "a", "latest");
    is("/v2/a/tags/list", TAGS, "a", "");
    is("/v2/a/referrers/d", REFERRERS, "a", "d");

    /* names made of the words of the interface */

    is("/v2/blobs/blobs/d", BLOB, "blobs", "d");
    is("/v2/blobs/uploads/blobs/uploads/u", UPLOAD, "blobs/uploads", "u");
    is("/v2/blobs/uploads/blobs/uploads", UPLOADS, "blobs/uploads", "");
    is("/v2/blobs/uploads/blobs/uploads/", UPLOADS, "blobs/uploads", "");
    is("/v2/blobs/uploads/blobs/d", BLOB, "blobs/uploads", "d");
    is("/v2/blobs/uploads/manifests/t", MANIFEST, "blobs/uploads", "t");
    is("/v2/a/manifests/b/manifests/c", MANIFEST, "a/manifests/b", "c");
    is("/v2/a/manifests/b/blobs/d", BLOB, "a/manifests/b", "d");
    is("/v2/x/tags/list/y/tags/list", TAGS, "x/tags/list/y", "");
    is("/v2/tags/list/tags/list", TAGS, "tags/list", "");
    is("/v2/a/blobs/uploads/tags/list", TAGS, "a/blobs/uploads", "");
    is("/v2/manifests/manifests/manifests", MANIFEST, "manifests",
       "manifests");
    is("/v2/a/blobs/manifests/d", MANIFEST, "a/blobs", "d");
    is("/v2/a/blobs/uploads/uploads", UPLOAD, "a", "uploads");
    is("/v2/a/uploads/blobs/uploads", UPLOADS, "a/uploads", "");
    is("/v2/referrers/referrers/d", REFERRERS, "referrers", "d");
    is("/v2/v2/v2/manifests/v2", MANIFEST, "v2/v2", "v2");

    /* the name and the reference are for others to check */

    is("/v2/../manifests/x", MANIFEST, "..", "x");
    is("/v2/A B/manifests/:", MANIFEST, "A B", ":");
    is("/v2/a//manifests/x", MANIFEST, "a/", "x");
    is("/v2/_catalog/manifests/x", MANIFEST, "_catalog", "x");
    is("/v2/a/blobs/..", BLOB, "a", "..");
    is("/v2/a//blobs/uploads/", UPLOADS, "a/", "");

    /* ACR's API */

    is("/acr/v1/_catalog", ACR_CATALOG, "", "");
    is("/acr/v1/_events", ACR_EVENTS, "", "");
    is("/acr/v1/_events/", ACR_REPOSITORY, "_events/", "");
    is("/acr/v1/a/_events", ACR_REPOSITORY, "a/_events", "");
    is("/acr/v1/a", ACR_REPOSITORY, "a", "");
    is("/acr/v1/a/b", ACR_REPOSITORY, "a/b", "");
    is("/acr/v1/a/_tags", ACR_TAGS, "a", "");
    is("/acr/v1/a/b/_tags", ACR_TAGS, "a/b", "");
    is("/acr/v1/a/b/_tags/t", ACR_TAG, "a/b", "t");
    is("/acr/v1/a/_tags/_tags", ACR_TAGS, "a/_tags", "");
    is("/acr/v1/a/_manifests", ACR_MANIFESTS, "a", "");
    is("/acr/v1/a/b/_manifests/d", ACR_MANIFEST, "a/b", "d");
    is("/acr/v1/manifests/tags", ACR_REPOSITORY, "manifests/tags", "");
    is("/acr/v1/_tags", ACR_REPOSITORY, "_tags", "");
    is("/acr/v1/_tags/t", ACR_REPOSITORY, "_tags/t", "");
    is("/acr/v1/a/_tags/t/u", ACR_REPOSITORY, "a/_tags/t/u", "");
    is("/acr/v1/a/_catalog", ACR_REPOSITORY, "a/_catalog", "");
    is("/acr/v1/a/", ACR_REPOSITORY, "a/", "");

    none("");
    none("/");
    none("/acr/v1");
    none("/acr/v1/");
    none("/acr/v2/a");
    none("/acr/v1/a/_tags/");
    none("/acr/v1//_tags");
    none("/acr/v1//_tags/t");
    none("/acr/v1/a/_manifests/");
    none("/v");
    none("/v1/");
    none("/v2x");
    none("v2/");
    none("/V2/");
    none("//v2/");
    none("/v2//");
    none("/v22/a/tags/list");
    none("/v2/a");
    none("/v2/a/b/c/d");
    none("/v2/_catalog/");
    none("/v2/_catalogx");
    none("/v2/a/_catalog");
    none("/v2/_oci/ext");
    none("/v2/_oci/ext/discover/");
    none("/v2//_oci/ext/discover");
    none("/v2/manifests/x");
    none("/v2//manifests/x");
    none("/v2/a/manifests");
    none("/v2/a/manifests/");
    none("/v2/a/manifests/x/");
    none("/v2/a/blobs");
    none("/v2/a/blobs/");
    none("/v2/blobs/d");
    none("/v2/blobs/uploads");
    none("/v2/blobs/uploads/");
    none("/v2/blobs/uploads/u");
    none("/v2//blobs/uploads/u");
    none("/v2//blobs/uploads/");
    none("/v2/a/blobs/uploads/u/");
    none("/v2/a/blobs/uploads//");
    none("/v2/a/blobs/uploads/u/v");
    none("/v2/a/blobsuploads/u");
    none("/v2/xblobs/uploads/u");
    none("/v2/a/tags");
    none("/v2/a/tags/");
    none("/v2/a/tags/list/");
    none("/v2/a/tags/lists");
    none("/v2/tags/list");
    none("/v2//tags/list");
    none("/v2/a/referrers");
    none("/v2/a/referrers/");
    none("/v2/a/Manifests/x");
    none("/v2/a\\manifests\\x");
    none("/v2\0/a/tags/list");

    acr_path_parse(&zero, LIT("/v2/a\0b/manifests/\0"));
    ok(zero.resource == ACR_PATH_MANIFEST
       && zero.name.len == 3 && memcmp(zero.name.data, "a\0b", 3) == 0
       && zero.reference.len == 1 && zero.reference.data[0] == 0,
       "zero bytes are bytes");

    return done();
}
