
#include "acr_etag.h"
#include "fuzz.h"


/* every tag lies inside the list, behind the one before, between quotes */

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    uint8_t        *copy;
    acr_text_t      rest;
    acr_etag_t      etag;
    const uint8_t  *last;

    copy = fuzz_alloc(n);

    if (n) {
        memcpy(copy, p, n);
    }

    rest.data = copy;
    rest.len = n;
    last = copy;

    while (acr_etag_next(&rest, &etag) == ACR_OK) {
        check(etag.tag.data > last || etag.tag.data == copy + 1);
        check(etag.tag.data + etag.tag.len < copy + n);
        check(etag.tag.data[-1] == '"');
        check(etag.tag.data[etag.tag.len] == '"');
        check(memchr(etag.tag.data, '"', etag.tag.len) == NULL);
        check(!etag.weak || memcmp(etag.tag.data - 3, "W/\"", 3) == 0);
        check(rest.data + rest.len == copy + n);

        last = etag.tag.data;
    }

    check(rest.len == 0);
    free(copy);

    return 0;
}
