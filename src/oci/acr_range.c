
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
    int                   unit;
    uint64_t              first, last, total;
    acr_text_t            text;
    const unsigned char  *end;

    end = p + n;

    text.data = p;
    text.len = n;

    /* RFC 9110 has the names of range units in any case */

    unit = acr_text_begins(&text, "bytes ");

    if (unit) {
        p += sizeof("bytes ") - 1;
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

    if (unit) {

        /* then "/" follows, and the whole length or a star */

        if (p == end || *p++ != '/') {
            return ACR_INVALID;
        }

        if (p < end && *p == '*') {
            p++;

        } else if (acr_range_number(&p, end, &total) != ACR_OK
                   || total <= last)
        {
            return ACR_INVALID;
        }
    }

    if (p != end || last < first) {
        return ACR_INVALID;
    }

    range->start = first;
    range->end = last;

    return ACR_OK;
}


int
acr_content_range_parse(acr_range_t *range, uint64_t *total,
    const unsigned char *p, size_t n)
{
    acr_text_t            text;
    const unsigned char  *end;

    text.data = p;
    text.len = n;

    if (!acr_text_begins(&text, "bytes ")
        || acr_range_parse(range, p, n) != ACR_OK)
    {
        return ACR_INVALID;
    }

    end = p + n;

    while (*p++ != '/') { /* void */ }

    if (*p == '*') {
        *total = ACR_RANGE_ANY;
        return ACR_OK;
    }

    return acr_range_number(&p, end, total);
}


int
acr_range_single(acr_range_t *range, uint64_t size, const unsigned char *p,
    size_t n)
{
    uint64_t              first, last;
    acr_text_t            text;
    const unsigned char  *end;

    end = p + n;

    text.data = p;
    text.len = n;

    if (size == 0 || !acr_text_begins(&text, "bytes=")) {
        return ACR_INVALID;
    }

    p += sizeof("bytes=") - 1;
    last = size - 1;

    if (p < end && *p == '-') {
        p++;

        /* the last so many */

        if (acr_range_number(&p, end, &first) != ACR_OK || first == 0) {
            return ACR_INVALID;
        }

        first = (first < size) ? size - first : 0;

    } else {

        if (acr_range_number(&p, end, &first) != ACR_OK
            || p == end || *p++ != '-'
            || (p != end && acr_range_number(&p, end, &last) != ACR_OK))
        {
            return ACR_INVALID;
        }
    }

    if (p != end || last < first || first >= size) {
        return ACR_INVALID;
    }

    range->start = first;
    range->end = (last < size) ? last : size - 1;

    return ACR_OK;
}
