
/*
 * The query of a request, RFC 3986 section 3.4 in the form of HTML forms:
 * name=value pairs between "&", percent-encoded, "+" for a space.  Parameters
 * may repeat (tag=a&tag=b), hence an iterator.
 */

#ifndef ACR_QUERY_H
#define ACR_QUERY_H

#include "acr_core.h"

/*
 * Takes the next pair off *rest (which moves on) and writes its decoded name
 * and value into buf, which has room for rest->len bytes.  A pair without "="
 * has an empty value; empty pairs ("&&") are passed over.
 * ACR_OK, ACR_DONE at the end, ACR_INVALID for a broken percent-encoding
 * (*rest has moved on behind it).
 */
int acr_query_next(acr_text_t *rest, unsigned char *buf, acr_text_t *name,
    acr_text_t *value);

/*
 * Percent-encodes everything but RFC 3986 unreserved characters; returns the
 * length written.  buf has room for 3 * n bytes.
 */
size_t acr_query_escape(unsigned char *buf, const unsigned char *p, size_t n);

#endif /* ACR_QUERY_H */
