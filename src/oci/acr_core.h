
/*
 * What every file of src/oci shares.  These files are plain C: they know
 * nothing of nginx, of files or of the network, so that each can be tested
 * and fuzzed alone.
 *
 * Text is a pointer and a length, never terminated by a zero; unless a
 * function says otherwise it neither keeps nor changes what it was given.
 */

#ifndef ACR_CORE_H
#define ACR_CORE_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const unsigned char  *data;
    size_t                len;
} acr_text_t;

/* 1 if both have the same bytes */
int acr_text_equal(const acr_text_t *a, const acr_text_t *b);

/* 1 if the text is s, or begins with s, in upper or lower case of ASCII */
int acr_text_is(const acr_text_t *text, const char *s);
int acr_text_begins(const acr_text_t *text, const char *s);

#define ACR_OK           0
#define ACR_INVALID     -1     /* not of the required syntax */
#define ACR_UNSUPPORTED -2     /* well-formed, but not something we can do */
#define ACR_NOMEM       -3     /* an allocation failed */
#define ACR_DONE        -4     /* an iteration is over */

#endif /* ACR_CORE_H */
