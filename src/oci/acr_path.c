
#include <string.h>

#include "acr_path.h"


#define acr_path_is(text, s)                                                 \
    ((text)->len == sizeof(s) - 1                                            \
     && memcmp((text)->data, s, sizeof(s) - 1) == 0)


/*
 * Takes the last component off the path, with the slash before it.  Returns
 * 0 if there is no slash: such a component could only be the name.
 */

static int
acr_path_last(acr_text_t *path, acr_text_t *last)
{
    size_t  i;

    for (i = path->len; i; i--) {

        if (path->data[i - 1] == '/') {
            last->data = path->data + i;
            last->len = path->len - i;
            path->len = i - 1;
            return 1;
        }
    }

    return 0;
}


static void
acr_path_set(acr_path_t *path, acr_path_e resource, const acr_text_t *name,
    const acr_text_t *reference)
{
    if (name->len == 0 || (reference && reference->len == 0)) {
        return;
    }

    path->resource = resource;
    path->name = *name;

    if (reference) {
        path->reference = *reference;
    }
}


/* what is below /acr/v1/; no component of a name begins with "_" */

static void
acr_path_parse_acr(acr_path_t *path, acr_text_t *rest)
{
    acr_text_t  name, last, kind;

    if (acr_path_is(rest, "_catalog")) {
        path->resource = ACR_PATH_ACR_CATALOG;
        return;
    }

    if (acr_path_is(rest, "_events")) {
        path->resource = ACR_PATH_ACR_EVENTS;
        return;
    }

    name = *rest;

    if (!acr_path_last(&name, &last)) {
        acr_path_set(path, ACR_PATH_ACR_REPOSITORY, rest, NULL);
        return;
    }

    if (acr_path_is(&last, "_tags")) {
        acr_path_set(path, ACR_PATH_ACR_TAGS, &name, NULL);
        return;
    }

    if (acr_path_is(&last, "_manifests")) {
        acr_path_set(path, ACR_PATH_ACR_MANIFESTS, &name, NULL);
        return;
    }

    if (acr_path_last(&name, &kind)) {

        if (acr_path_is(&kind, "_tags")) {
            acr_path_set(path, ACR_PATH_ACR_TAG, &name, &last);
            return;
        }

        if (acr_path_is(&kind, "_manifests")) {
            acr_path_set(path, ACR_PATH_ACR_MANIFEST, &name, &last);
            return;
        }
    }

    acr_path_set(path, ACR_PATH_ACR_REPOSITORY, rest, NULL);
}


void
acr_path_parse(acr_path_t *path, const unsigned char *p, size_t n)
{
    acr_text_t  rest, last, kind, before;

    memset(path, 0, sizeof(acr_path_t));

    if (n > 8 && memcmp(p, "/acr/v1/", 8) == 0) {
        rest.data = p + 8;
        rest.len = n - 8;

        acr_path_parse_acr(path, &rest);
        return;
    }

    if (n > 8 && memcmp(p, "/oauth2/", 8) == 0) {
        last.data = p + 8;
        last.len = n - 8;

        if (acr_path_is(&last, "token")) {
            path->resource = ACR_PATH_TOKEN;

        } else if (acr_path_is(&last, "exchange")) {
            path->resource = ACR_PATH_EXCHANGE;

        } else if (acr_path_is(&last, "keys")) {
            path->resource = ACR_PATH_KEYS;
        }

        return;
    }

    if (n < 3 || memcmp(p, "/v2", 3) != 0) {
        return;
    }

    if (n == 3 || (n == 4 && p[3] == '/')) {
        path->resource = ACR_PATH_BASE;
        return;
    }

    if (p[3] != '/') {
        return;
    }

    rest.data = p + 4;
    rest.len = n - 4;

    if (acr_path_is(&rest, "_catalog")) {
        path->resource = ACR_PATH_CATALOG;
        return;
    }

    if (acr_path_is(&rest, "_oci/ext/discover")) {
        path->resource = ACR_PATH_EXTENSIONS;
        return;
    }

    if (!acr_path_last(&rest, &last) || !acr_path_last(&rest, &kind)) {
        return;
    }

    /* what is left in "rest" is the name, unless a third component counts */

    if (acr_path_is(&kind, "manifests")) {
        acr_path_set(path, ACR_PATH_MANIFEST, &rest, &last);
        return;
    }

    if (acr_path_is(&kind, "referrers")) {
        acr_path_set(path, ACR_PATH_REFERRERS, &rest, &last);
        return;
    }

    if (acr_path_is(&kind, "tags")) {

        if (acr_path_is(&last, "list")) {
            acr_path_set(path, ACR_PATH_TAGS, &rest, NULL);
        }

        return;
    }

    if (acr_path_is(&kind, "blobs")) {

        if (acr_path_is(&last, "uploads")) {
            acr_path_set(path, ACR_PATH_UPLOADS, &rest, NULL);

        } else {
            acr_path_set(path, ACR_PATH_BLOB, &rest, &last);
        }

        return;
    }

    if (!acr_path_last(&rest, &before)) {
        return;
    }

    if (acr_path_is(&kind, "uploads") && acr_path_is(&before, "blobs")) {

        if (last.len) {
            acr_path_set(path, ACR_PATH_UPLOAD, &rest, &last);

        } else {
            acr_path_set(path, ACR_PATH_UPLOADS, &rest, NULL);
        }

        return;
    }

    if (acr_path_is(&last, "discover")
        && acr_path_is(&kind, "ext")
        && acr_path_is(&before, "_oci"))
    {
        acr_path_set(path, ACR_PATH_EXTENSIONS, &rest, NULL);
    }
}
