
#include <inttypes.h>

#include "acr_range.h"
#include "fuzz.h"


/* what is parsed, printed in the specification's form, is the same range */

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    int          len;
    char         text[64];
    uint64_t     total;
    acr_range_t  range, again;

    if (acr_content_range_parse(&range, &total, p, n) == ACR_OK) {
        check(total == ACR_RANGE_ANY
              || (range.end < total && total <= INT64_MAX));
        check(acr_range_parse(&again, p, n) == ACR_OK);
    }

    if (acr_range_single(&range, 1000, p, n) == ACR_OK) {
        check(range.start <= range.end && range.end < 1000);
    }

    if (acr_range_parse(&range, p, n) != ACR_OK) {
        return 0;
    }

    check(range.start <= range.end && range.end <= INT64_MAX);

    len = sprintf(text, "%" PRIu64 "-%" PRIu64, range.start, range.end);
    check(acr_range_parse(&again, (unsigned char *) text, (size_t) len)
          == ACR_OK);
    check(again.start == range.start && again.end == range.end);

    text[len++] = '/';
    check(acr_range_parse(&again, (unsigned char *) text, (size_t) len)
          == ACR_INVALID);

    return 0;
}
