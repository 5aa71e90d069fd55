
/*
 * What the files of acr_jwt.h share: acr_jwt.c has tokens and claims,
 * acr_jwt_keys.c sets of keys, PEM and what is printed, acr_jwt_jwk.c reads
 * JWK, acr_jwt_crypto.c has what is done with one key, acr_jwt_base64.c
 * base64url.
 *
 * Functions that call OpenSSL leave its queue of errors empty: what stays there
 * would be taken by nginx for an error of the next TLS connection.
 */

#ifndef ACR_JWT_CORE_H
#define ACR_JWT_CORE_H

#include <openssl/evp.h>

#include "acr_jwt.h"

#define ACR_JWT_RSA_BITS_MIN  2048
#define ACR_JWT_RSA_BITS_MAX  8192

/* RFC 8017 allows any odd exponent; a long one only costs time */
#define ACR_JWT_RSA_E_BITS    32

/* of a signature, and of a number in a key */
#define ACR_JWT_BYTES_MAX     (ACR_JWT_RSA_BITS_MAX / 8)

#define ACR_JWT_COORDINATE_MAX  48

/* SHA-256 in base64url */
#define ACR_JWT_THUMBPRINT    43

/* how long base64url is, without padding; at most as long is what is decoded */
#define acr_jwt_base64_len(n)      (((n) * 4 + 2) / 3)
#define acr_jwt_base64_decoded(n)  ((n) * 3 / 4)

typedef enum {
    ACR_JWT_RSA = 0,
    ACR_JWT_P256,
    ACR_JWT_P384,
    ACR_JWT_ED25519
} acr_jwt_kind_e;

typedef struct {
    const char     *kty;
    const char     *crv;
    size_t          size;       /* of a coordinate; 0: RSA */
    unsigned        algs;       /* ACR_JWT_ALG_* that it can be used with */
    unsigned        sign;       /* that one it signs with */
} acr_jwt_kind_t;

#define ACR_JWT_ALG_RS256  0x01
#define ACR_JWT_ALG_RS384  0x02
#define ACR_JWT_ALG_RS512  0x04
#define ACR_JWT_ALG_PS256  0x08
#define ACR_JWT_ALG_ES256  0x10
#define ACR_JWT_ALG_ES384  0x20
#define ACR_JWT_ALG_EDDSA  0x40

typedef struct {
    const char     *name;
    unsigned        bit;
    const char     *md;         /* NULL: Ed25519 has its own */
    int             pss;
} acr_jwt_alg_t;

typedef struct {
    EVP_PKEY       *pkey;
    acr_jwt_kind_e  kind;
    unsigned        algs;       /* those of its kind, or the one its JWK says */
    int             secret;     /* it can sign */
    char           *kid;        /* from malloc() */
    size_t          kid_len;
} acr_jwt_key_t;

struct acr_jwt_keys_s {
    acr_jwt_key_t   keys[ACR_JWT_KEYS_MAX];
    unsigned        n;
};


/*
 * buf has room for acr_jwt_base64_len(n); returns the end.  Decoding takes what
 * encoding gives and nothing else: ACR_OK or ACR_INVALID, into a buf with room
 * for acr_jwt_base64_decoded(n).
 */
unsigned char *acr_jwt_base64_encode(unsigned char *buf,
    const unsigned char *p, size_t n);
int acr_jwt_base64_decode(unsigned char *buf, size_t *len,
    const unsigned char *p, size_t n);

/* NULL: not one of ours */
const acr_jwt_alg_t *acr_jwt_alg(const acr_text_t *name);
const acr_jwt_alg_t *acr_jwt_alg_by_bit(unsigned bit);
const acr_jwt_kind_t *acr_jwt_kind(acr_jwt_kind_e kind);

/*
 * Adds a key, which goes with the set on ACR_OK.  kid: NULL: its thumbprint;
 * algs: 0: those of its kind.  Otherwise what acr_jwt_key_check() says, and
 * ACR_UNSUPPORTED: none of the algorithms is of its kind, or the set is full.
 */
int acr_jwt_keys_add(acr_jwt_keys_t *keys, EVP_PKEY *pkey, int secret,
    const acr_text_t *kid, unsigned algs);

/* leaves the first n */
void acr_jwt_keys_cut(acr_jwt_keys_t *keys, unsigned n);

/* empties OpenSSL's queue of errors: ACR_NOMEM if it tells of that, else rc */
int acr_jwt_failed(int rc);

/*
 * Which kind of key it is, and whether it is a good one.  ACR_OK; ACR_INVALID:
 * no point of the curve, or one that makes signatures worthless;
 * ACR_UNSUPPORTED: of a kind or size that we do not use; ACR_NOMEM.
 */
int acr_jwt_key_check(EVP_PKEY *pkey, acr_jwt_kind_e *kind);

/*
 * The signature as JOSE has it.  buf has room for ACR_JWT_BYTES_MAX.  ACR_OK,
 * ACR_INVALID: the key cannot sign; ACR_NOMEM.
 */
int acr_jwt_key_sign(const acr_jwt_key_t *key, const acr_jwt_alg_t *alg,
    const unsigned char *p, size_t n, unsigned char *buf, size_t *len);

/* ACR_OK, ACR_INVALID, ACR_NOMEM; alg must be one of the key's */
int acr_jwt_key_verify(const acr_jwt_key_t *key, const acr_jwt_alg_t *alg,
    const unsigned char *p, size_t n, const acr_text_t *signature);

#endif /* ACR_JWT_CORE_H */
