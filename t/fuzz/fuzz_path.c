
#include "acr_path.h"
#include "fuzz.h"


/* name and reference, put together again, are the path */

static int
is_path(const uint8_t *p, size_t n, const acr_path_t *path,
    const char *between, int reference)
{
    char    *text;
    int      same;
    size_t   len;

    text = fuzz_alloc(n + 64);

    len = (size_t) sprintf(text, "%s", path->resource >= ACR_PATH_ACR_CATALOG
                                       ? "/acr/v1" : "/v2");

    if (path->name.len) {
        text[len++] = '/';
        memcpy(text + len, path->name.data, path->name.len);
        len += path->name.len;
    }

    len += (size_t) sprintf(text + len, "%s", between);

    if (reference) {
        check(path->reference.len);
        memcpy(text + len, path->reference.data, path->reference.len);
        len += path->reference.len;

    } else {
        check(path->reference.data == NULL && path->reference.len == 0);
    }

    same = fuzz_same(text, len, p, n);
    free(text);

    return same;
}


static void
inside(const acr_text_t *text, const uint8_t *p, size_t n)
{
    if (text->len) {
        check(text->data >= p && text->data < p + n);
        check(text->len <= (size_t) (p + n - text->data));
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    acr_path_t  path;

    acr_path_parse(&path, p, n);

    inside(&path.name, p, n);
    inside(&path.reference, p, n);

    switch (path.resource) {

    case ACR_PATH_NONE:
        check(path.name.len == 0 && path.reference.len == 0);
        return 0;

    case ACR_PATH_BASE:
        check(path.name.len == 0);
        check(is_path(p, n, &path, "", 0) || is_path(p, n, &path, "/", 0));
        return 0;

    case ACR_PATH_CATALOG:
        check(path.name.len == 0 && is_path(p, n, &path, "/_catalog", 0));
        return 0;

    case ACR_PATH_ACR_CATALOG:
        check(path.name.len == 0 && is_path(p, n, &path, "/_catalog", 0));
        return 0;

    case ACR_PATH_ACR_EVENTS:
        check(path.name.len == 0 && is_path(p, n, &path, "/_events", 0));
        return 0;

    case ACR_PATH_TOKEN:
        check(fuzz_same(p, n, "/oauth2/token", 13));
        return 0;

    case ACR_PATH_EXCHANGE:
        check(fuzz_same(p, n, "/oauth2/exchange", 16));
        return 0;

    case ACR_PATH_KEYS:
        check(fuzz_same(p, n, "/oauth2/keys", 12));
        return 0;

    case ACR_PATH_EXTENSIONS:
        check(is_path(p, n, &path, "/_oci/ext/discover", 0));
        return 0;

    default:
        check(path.name.len);
        break;
    }

    switch (path.resource) {

    case ACR_PATH_BLOB:
        check(is_path(p, n, &path, "/blobs/", 1));
        break;

    case ACR_PATH_UPLOADS:
        check(is_path(p, n, &path, "/blobs/uploads", 0)
              || is_path(p, n, &path, "/blobs/uploads/", 0));
        break;

    case ACR_PATH_UPLOAD:
        check(is_path(p, n, &path, "/blobs/uploads/", 1));
        break;

    case ACR_PATH_MANIFEST:
        check(is_path(p, n, &path, "/manifests/", 1));
        break;

    case ACR_PATH_TAGS:
        check(is_path(p, n, &path, "/tags/list", 0));
        break;

    case ACR_PATH_REFERRERS:
        check(is_path(p, n, &path, "/referrers/", 1));
        break;

    case ACR_PATH_ACR_REPOSITORY:
        check(is_path(p, n, &path, "", 0));
        break;

    case ACR_PATH_ACR_TAGS:
        check(is_path(p, n, &path, "/_tags", 0));
        break;

    case ACR_PATH_ACR_TAG:
        check(is_path(p, n, &path, "/_tags/", 1));
        break;

    case ACR_PATH_ACR_MANIFESTS:
        check(is_path(p, n, &path, "/_manifests", 0));
        break;

    case ACR_PATH_ACR_MANIFEST:
        check(is_path(p, n, &path, "/_manifests/", 1));
        break;

    default:
        check(!"a resource of this list");
    }

    return 0;
}
