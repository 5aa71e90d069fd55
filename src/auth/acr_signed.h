
/*
 * Signed addresses of blobs: who has one may read that blob, without any other
 * proof, until the address is over.
 *
 *     <alg>/<hex>?expires=<seconds>&key=<id>&sig=<signature>
 *
 * The seconds are those of the Unix clock, in decimal without leading zeros.
 * The signature is the HMAC-SHA256 (RFC 2104), in base64url without padding, of
 *
 *     GET <alg>:<hex> <seconds>
 *
 * and the id of its key is the first 4 bytes, in lower-case hex, of the
 * HMAC-SHA256 of "acr data key id".  The key is the text of a secret.  A digest
 * and a time have one address by a key, and nothing that is written otherwise
 * is one: caches have one entry of it, and nobody makes others.
 *
 * Plain C over OpenSSL; no nginx, no I/O.
 */

#ifndef ACR_SIGNED_H
#define ACR_SIGNED_H

#include "acr_core.h"
#include "acr_digest.h"

#define ACR_SIGNED_KEYS_MAX    16
#define ACR_SIGNED_SECRET_MIN  32         /* characters of a secret */
#define ACR_SIGNED_SECRET_MAX  1024
#define ACR_SIGNED_ID          8          /* of the id of a key */
#define ACR_SIGNED_SIG         43         /* of a signature */
#define ACR_SIGNED_DIGITS      12         /* of the seconds, at most */

/* of an address */
#define ACR_SIGNED_MAX                                                       \
    (ACR_DIGEST_MAX + sizeof("?expires=&key=&sig=") - 1                      \
     + ACR_SIGNED_DIGITS + ACR_SIGNED_ID + ACR_SIGNED_SIG)

typedef struct acr_signed_keys_s  acr_signed_keys_t;

/* an empty set of keys; NULL: no memory */
acr_signed_keys_t *acr_signed_keys_create(void);
void acr_signed_keys_free(acr_signed_keys_t *keys);

/*
 * Adds the key of a text: one line of ACR_SIGNED_SECRET_MIN to
 * ACR_SIGNED_SECRET_MAX printable characters of ASCII, with or without a line
 * end, which is none of the secret.  The first one signs, all of them verify.
 * ACR_OK; ACR_INVALID: it is no such line; ACR_UNSUPPORTED: the set is full, or
 * has a key of that id; ACR_NOMEM.
 */
int acr_signed_keys_add(acr_signed_keys_t *keys, const unsigned char *p,
    size_t n);

/*
 * When an address that is made now should be over: in more than half of the
 * lifetime, and in no more than all of it.  It stays the same for half of the
 * lifetime, so that caches see one address again and again, and moves on for
 * different digests at different times.  lifetime: at least 2 seconds.
 */
int64_t acr_signed_expires(const acr_digest_t *digest, int64_t now,
    int64_t lifetime);

/* writes the address, and its length to *len; buf has room for ACR_SIGNED_MAX.
   ACR_OK; ACR_INVALID: there is no key, or no such time; ACR_NOMEM */
int acr_signed_print(const acr_signed_keys_t *keys,
    const acr_digest_t *digest, int64_t expires, unsigned char *buf,
    size_t *len);

/*
 * Verifies an address: path is what is before the "?", args what is behind.
 * ACR_OK, with its digest and the time when it is over; ACR_DONE: it was good,
 * and is over by now; ACR_INVALID: anything else; ACR_NOMEM.  How long that
 * takes tells nothing of a signature that would be right.
 */
int acr_signed_verify(const acr_signed_keys_t *keys, const acr_text_t *path,
    const acr_text_t *args, int64_t now, acr_digest_t *digest,
    int64_t *expires);

/*
 * If base is an absolute URL of http or https that an address can follow, with
 * a "/" between: a host, perhaps a port and a path; no user, query or fragment.
 * Slashes at its end are taken off.  ACR_OK or ACR_INVALID.
 */
int acr_signed_base(acr_text_t *base);

#endif /* ACR_SIGNED_H */
