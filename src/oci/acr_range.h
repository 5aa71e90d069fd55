
/*
 * Ranges: of what is pushed, asked for, and answered.
 *
 * Content-Range of an upload's PATCH or PUT, OCI distribution-spec "Pushing a
 * blob in chunks": ^[0-9]+-[0-9]+$, both ends inclusive.  "bytes 0-9/<star>"
 * of RFC 9110 is accepted as well, since some clients send it.
 */

#ifndef ACR_RANGE_H
#define ACR_RANGE_H

#include "acr_core.h"

typedef struct {
    uint64_t  start;
    uint64_t  end;             /* inclusive */
} acr_range_t;

/* ACR_OK, or ACR_INVALID: bad syntax, end < start, or beyond INT64_MAX */
int acr_range_parse(acr_range_t *range, const unsigned char *p, size_t n);

/*
 * Content-Range of an answer, RFC 9110 14.4: "bytes 0-9/10", or with a star for
 * the total.  ACR_OK, with *total set, INT64_MAX at most, or to ACR_RANGE_ANY
 * for a star; or ACR_INVALID.
 */
#define ACR_RANGE_ANY  UINT64_MAX

int acr_content_range_parse(acr_range_t *range, uint64_t *total,
    const unsigned char *p, size_t n);

/*
 * Range of a request for something of that size, RFC 9110 14.2: ACR_OK if it is
 * a single one that exists, as far as it does: "bytes=0-9", "bytes=5-" or
 * "bytes=-5".  ACR_INVALID: it is anything else.
 */
int acr_range_single(acr_range_t *range, uint64_t size,
    const unsigned char *p, size_t n);

#endif /* ACR_RANGE_H */
