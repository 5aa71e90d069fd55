
#include "acr_range.h"


/*
 * Takes a number off the text at *p that ends at "end".  Leading zeros are
 * allowed, as the specification's [0-9]+ does.
 */

static int
acr_range_number(const unsigned char **p, const unsigned char *end,
    uint64_t *number)
{
    unsigned              digit;
    uint64_t              value;
    const unsigned char  *start;

    value = 0;

    for (start = *p; *p < end && **p >= '0' && **p <= '9'; (*p)++) {
        digit = **p - '0';

        if (value > ((uint64_t) INT64_MAX - digit) / 10) {
            return ACR_INVALID;
        }

        value = value * 10 + digit;
    }

    if (*p == start) {
        return ACR_INVALID;
    }

    *number = value;

    return ACR_OK;
}


int
acr_range_parse(acr_range_t *range, const unsigned char *p, size_t n)
{
    size_t                      i;
    uint64_t                    first, last, total;
    const unsigned char        *end;
    static const unsigned char  unit[] = "bytes ";

    end = p + n;

    /* RFC 9110 has the names of range units in any case */

    for (i = 0; i < sizeof(unit) - 1 && i < n; i++) {
        if ((i == sizeof(unit) - 2 ? p[i] : (p[i] | 0x20)) != unit[i]) {
            break;
        }
    }

    if (i == sizeof(unit) - 1) {
        p += i;

    } else {
        i = 0;
    }

    if (acr_range_number(&p, end, &first) != ACR_OK) {
        return ACR_INVALID;
    }

    if (p == end || *p++ != '-') {
        return ACR_INVALID;
    }

    if (acr_range_number(&p, end, &last) != ACR_OK) {
        return ACR_INVALID;
    }

    if (i) {

        /* the form with a unit has "/" and the whole length or a star */

        if (p == end || *p++ != '/') {
            return ACR_INVALID;
        }

        if (p < end && *p == '*') {
            p++;

        } else {

            if (acr_range_number(&p, end, &total) != ACR_OK || total <= last) {
                return ACR_INVALID;
            }
        }
    }

    if (p != end || last < first) {
        return ACR_INVALID;
    }

    range->start = first;
    range->end = last;

    return ACR_OK;
}
