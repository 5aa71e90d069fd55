
#include <jansson.h>

#include "test_acr_manifest.h"


/*
 * The file under test once more, under other names and with a malloc() that
 * can fail; what jansson allocates is counted as well.
 */

static long  allocations_left = -1;


static void *
failing_malloc(size_t n)
{
    if (allocations_left == 0) {
        return NULL;
    }

    if (allocations_left > 0) {
        allocations_left--;
    }

    return malloc(n);
}


#define malloc(n)                failing_malloc(n)
#define acr_manifest_parse       failing_manifest_parse
#define acr_manifest_free        failing_manifest_free
#define acr_manifest_descriptor  failing_manifest_descriptor
#include "acr_manifest.c"
#undef malloc
#undef acr_manifest_parse
#undef acr_manifest_free
#undef acr_manifest_descriptor


/*
 * Every allocation fails once: nothing leaks (the sanitizer sees to that) and
 * no half of a manifest is taken for the whole.  An allocation that fails in
 * jansson's lexer while its buffer grows goes unnoticed there, hence what
 * is expected of the parser is less exact.
 */

static void
test_memory(void)
{
    int              rc, failures, exact, wrong;
    char            *json;
    size_t           n;
    unsigned char   *copy;
    acr_digest_t     digest;
    acr_manifest_t   f;

    static const char  text[] = IMAGE(",'subject':" DESC(OCI, "5", "1", "")
                                      ",'annotations':{'a':'b'}");

    n = sizeof(text) - 1;
    copy = quoted(text, n);
    wrong = 0;
    exact = 0;

    json_set_alloc_funcs(failing_malloc, free);

    for (failures = 0; failures < 1000; failures++) {
        allocations_left = failures;
        rc = failing_manifest_parse(&f, copy, n, NULL, 0);
        exact += rc == ACR_NOMEM;

        if (allocations_left > 0) {
            failing_manifest_free(&f);
            break;
        }

        wrong += rc != ACR_OK && f.error == NULL;
        failing_manifest_free(&f);
    }

    allocations_left = -1;
    json_set_alloc_funcs(malloc, free);

    ok(failures > 50 && failures < 1000, "%d allocations fail", failures);
    ok(exact > failures / 2, "%d of them as ACR_NOMEM", exact);
    is_int(wrong, 0, "each with an error");

    /* our own alone: media type, references, artifact type, annotations */

    for (failures = 0; failures < 3; failures++) {
        allocations_left = failures;
        rc = failing_manifest_parse(&f, copy, n, NULL, 0);
        allocations_left = -1;

        is_int(rc, ACR_NOMEM, "our allocation %d", failures);
        ok(f.error != NULL, "with an error");
        failing_manifest_free(&f);
        ok(f.media_type == NULL && f.references == NULL, "and is free");
    }

    acr_digest_parse(&digest, LIT(SHA("a")));
    rc = failing_manifest_parse(&f, copy, n, NULL, 0);
    is_int(rc, ACR_OK, "enough memory");

    allocations_left = 0;
    json = failing_manifest_descriptor(&f, &digest, 1);
    allocations_left = -1;
    ok(json == NULL, "no memory for a descriptor");

    json = failing_manifest_descriptor(&f, &digest, 1);
    ok(json != NULL, "memory for a descriptor");
    free(json);
    failing_manifest_free(&f);
}


int
main(void)
{
    test_memory();

    acr_manifest_free(&m);

    return done();
}
