
#include "acr_query.h"
#include "fuzz.h"


/* a pair, escaped and read again, is the pair */

static void
round_trip(const acr_text_t *name, const acr_text_t *value)
{
    size_t          len;
    acr_text_t      rest, n, v;
    unsigned char  *text, *buf;

    text = fuzz_alloc(3 * name->len + 1 + 3 * value->len);

    len = acr_query_escape(text, name->data, name->len);
    text[len++] = '=';
    len += acr_query_escape(text + len, value->data, value->len);

    rest.data = text;
    rest.len = len;
    buf = fuzz_alloc(len);

    check(acr_query_next(&rest, buf, &n, &v) == ACR_OK);
    check(fuzz_same(n.data, n.len, name->data, name->len));
    check(fuzz_same(v.data, v.len, value->data, value->len));
    check(rest.len == 0);
    check(acr_query_next(&rest, buf, &n, &v) == ACR_DONE);

    free(text);
    free(buf);
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    int             rc;
    size_t          before;
    acr_text_t      rest, name, value;
    unsigned char  *buf;

    rest.data = p;
    rest.len = n;

    do {
        before = rest.len;
        buf = fuzz_alloc(before);

        rc = acr_query_next(&rest, buf, &name, &value);

        check(rest.data + rest.len == p + n);

        if (rc == ACR_OK) {
            check(rest.len < before);
            check(name.len + value.len <= before - rest.len);
            round_trip(&name, &value);

        } else if (rc == ACR_INVALID) {
            check(rest.len < before);

        } else {
            check(rc == ACR_DONE && rest.len == 0);
        }

        free(buf);

    } while (rc != ACR_DONE);

    return 0;
}
