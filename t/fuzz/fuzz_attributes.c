
#include "acr_attributes.h"
#include "fuzz.h"


/* what the index has becomes JSON, and that the same again */

static void
round_trip(const unsigned char *p, size_t n)
{
    char               *text;
    size_t              len;
    json_t             *root;
    unsigned char      *buf;
    acr_attributes_t    a, b;

    if (acr_attributes_parse(&a, p, n) != ACR_OK) {
        return;
    }

    root = acr_attributes_json(&a);

    if (root == NULL) {

        /* the details are no UTF-8 */

        check(a.details.len);
        return;
    }

    text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    check(text && strlen(text) <= ACR_ATTRIBUTES_JSON_MAX);

    buf = fuzz_alloc(ACR_ATTRIBUTES_MAX);

    /* a zero byte in the details is no JSON of ours */

    if (acr_attributes_load(buf, &len, (unsigned char *) text, strlen(text))
        == ACR_OK)
    {
        check(acr_attributes_parse(&b, buf, len) == ACR_OK);
        check(a.off == b.off);
        check(fuzz_same(a.state.data, a.state.len, b.state.data,
                        b.state.len));
        check(fuzz_same(a.details.data, a.details.len, b.details.data,
                        b.details.len));

    } else {
        check(memchr(p, 0, n) != NULL);
    }

    free(buf);
    free(text);
}


int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    size_t                     len;
    const char                *error;
    unsigned char             *buf;
    acr_attributes_t           a;
    acr_attributes_change_t    c;

    round_trip(data, size);

    if (acr_attributes_change(&c, data, size, 1, &error) == ACR_OK) {
        check(c.off <= 15 && c.on <= 15);
        check(c.details.len <= ACR_ATTRIBUTES_DETAILS_MAX);

        buf = fuzz_alloc(ACR_ATTRIBUTES_MAX);
        check(acr_attributes_load(buf, &len, data, size) == ACR_OK);
        check(len <= ACR_ATTRIBUTES_MAX);
        check(acr_attributes_parse(&a, buf, len) == ACR_OK);
        check(a.off == c.off);
        free(buf);
    }

    acr_attributes_change_free(&c);

    return 0;
}
