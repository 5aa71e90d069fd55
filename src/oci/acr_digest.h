
/*
 * Digests, OCI image-spec "Digests": algorithm ":" encoded.  The registered
 * algorithms stand in one table (acr_digest.c); everything else asks it.
 */

#ifndef ACR_DIGEST_H
#define ACR_DIGEST_H

#include "acr_core.h"

#define ACR_HEX_MAX     128    /* the longest encoded part: sha512 */
#define ACR_DIGEST_MAX  (sizeof("sha512:") - 1 + ACR_HEX_MAX)

typedef struct {
    const char  *name;         /* "sha256" */
    size_t       name_len;
    size_t       hex_len;      /* length of the encoded part */
    unsigned     id;           /* ACR_SHA256, ACR_SHA512 */
} acr_algorithm_t;

#define ACR_SHA256  0
#define ACR_SHA512  1

typedef struct {
    const acr_algorithm_t  *alg;
    unsigned char           hex[ACR_HEX_MAX];   /* lower case, alg->hex_len */
} acr_digest_t;

/* the algorithm of that name ("sha256"), or NULL */
const acr_algorithm_t *acr_algorithm(const unsigned char *p, size_t n);

/* the algorithm with that id, or NULL */
const acr_algorithm_t *acr_algorithm_by_id(unsigned id);

/*
 * Parses "sha256:<64 lower-case hex digits>".  ACR_OK; ACR_UNSUPPORTED if it
 * has the general syntax of a digest with an algorithm that is not in the
 * table; ACR_INVALID otherwise.  *d is set only on ACR_OK.
 */
int acr_digest_parse(acr_digest_t *d, const unsigned char *p, size_t n);

/* writes "sha256:<hex>" without a terminating zero, returns its length;
   buf has room for ACR_DIGEST_MAX bytes */
size_t acr_digest_print(unsigned char *buf, const acr_digest_t *d);

/* 1 if both name the same content, else 0 */
int acr_digest_equal(const acr_digest_t *a, const acr_digest_t *b);

#endif /* ACR_DIGEST_H */
