
/*
 * How often a registry elsewhere may be asked, as it says itself: the headers
 * "ratelimit-limit: 100;w=21600" and "ratelimit-remaining: 76;w=21600", in the
 * form of Docker Hub and of draft-ietf-httpapi-ratelimit-headers-03, and
 * Retry-After, RFC 9110 section 10.2.3.
 */

#ifndef ACR_RATELIMIT_H
#define ACR_RATELIMIT_H

#include "acr_core.h"

/* a larger number than this is this */
#define ACR_RATELIMIT_MAX  1000000000

typedef struct {
    int64_t   count;     /* requests */
    int64_t   window;    /* seconds in which they are counted; 0: not said */
} acr_ratelimit_t;

/*
 * Parses the value of a header: a number, and parameters of which "w" is known;
 * of a list the first.  ACR_OK, or ACR_INVALID: there is no number, or "w" has
 * none.
 */
int acr_ratelimit_parse(acr_ratelimit_t *limit, const unsigned char *p,
    size_t n);

/* Retry-After in seconds.  ACR_OK, or ACR_INVALID: it is no number, but may be
   a date. */
int acr_retry_after_parse(int64_t *seconds, const unsigned char *p, size_t n);

#endif /* ACR_RATELIMIT_H */
