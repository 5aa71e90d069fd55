
/*
 * Incremental hashing whose state can be saved and go on elsewhere, which an
 * upload session needs that moves between workers and nodes.  OpenSSL's EVP
 * contexts cannot be saved, so this uses SHA256_CTX and SHA512_CTX.
 *
 * The saved form is portable: one version byte, one algorithm byte, the
 * count of bytes hashed (64 bits, big-endian), the chaining words in
 * big-endian order, and the bytes of the unfinished block.
 */

#ifndef ACR_HASH_H
#define ACR_HASH_H

#include "acr_digest.h"

#ifndef OPENSSL_SUPPRESS_DEPRECATED
#define OPENSSL_SUPPRESS_DEPRECATED
#endif
#include <openssl/sha.h>

#define ACR_HASH_SAVED_MAX  256        /* bytes of a saved state at most */

typedef struct {
    const acr_algorithm_t  *alg;
    union {
        SHA256_CTX          sha256;
        SHA512_CTX          sha512;
    } u;
} acr_hash_t;

void acr_hash_init(acr_hash_t *h, const acr_algorithm_t *alg);
void acr_hash_update(acr_hash_t *h, const void *p, size_t n);

/* the digest of what was hashed; h is used up, save it before if needed */
void acr_hash_final(acr_hash_t *h, acr_digest_t *d);

/* writes the state to buf (ACR_HASH_SAVED_MAX bytes), returns its length */
size_t acr_hash_save(const acr_hash_t *h, unsigned char *buf);

/* ACR_OK, or ACR_INVALID if the text is no saved state of this version */
int acr_hash_restore(acr_hash_t *h, const unsigned char *p, size_t n);

/* the number of bytes hashed so far */
uint64_t acr_hash_count(const acr_hash_t *h);

#endif /* ACR_HASH_H */
