
/*
 * Media types, RFC 6838 section 4.2: type "/" subtype.  They have no case:
 * acr_text_is() compares them.
 */

#ifndef ACR_MEDIA_TYPE_H
#define ACR_MEDIA_TYPE_H

#include "acr_core.h"

#define ACR_MEDIA_TYPE_MAX  255    /* two names of at most 127 bytes */

/* 1 if the text has the form of a media type, without parameters, else 0 */
int acr_media_type_valid(const unsigned char *p, size_t n);

/*
 * The media type of a text that may have parameters ("; charset=utf-8"),
 * without them and the space around it.  It points into the text; not yet
 * checked.
 */
acr_text_t acr_media_type_bare(const unsigned char *p, size_t n);

#endif /* ACR_MEDIA_TYPE_H */
