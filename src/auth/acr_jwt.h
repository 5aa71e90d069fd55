
/*
 * JSON Web Tokens (RFC 7519) in the compact form (RFC 7515), and the keys that
 * sign them (RFC 7517).  Plain C over OpenSSL and jansson; no nginx, no I/O.
 *
 * Algorithms: RS256, RS384, RS512, PS256, ES256, ES384 (RFC 7518) and EdDSA
 * with Ed25519 (RFC 8037).  "none" and the HMAC algorithms do not exist here: a
 * key that was published can never be taken for a shared secret.  The key
 * decides which algorithms may be used with it, never the token alone: RSA
 * keys RS* and PS256, P-256 ES256, P-384 ES384, Ed25519 EdDSA.  RSA keys under
 * 2048 bits and other curves are refused.
 */

#ifndef ACR_JWT_H
#define ACR_JWT_H

#include <jansson.h>

#include "acr_core.h"

#define ACR_JWT_MAX      16384     /* bytes of a token that is looked at */
#define ACR_JWT_KID_MAX  256       /* bytes of a key's name */
#define ACR_JWT_KEYS_MAX 64        /* of a set */
#define ACR_JWT_PEM_MAX  65536     /* bytes of a text that is looked at */
#define ACR_JWT_JWKS_MAX 262144

typedef struct acr_jwt_keys_s  acr_jwt_keys_t;

/* why a token is refused; all but OK and NOMEM mean that it is no good */
typedef enum {
    ACR_JWT_OK = 0,
    ACR_JWT_NOMEM,
    ACR_JWT_MALFORMED,         /* not three parts of base64url, no JSON object,
                                  duplicate members, too long, "crit" */
    ACR_JWT_TYPE,              /* it says that it is something else */
    ACR_JWT_ALGORITHM,         /* not one of ours, or not the key's */
    ACR_JWT_KEY,               /* nobody has a key of this name: perhaps a new
                                  one, to be fetched */
    ACR_JWT_SIGNATURE          /* wrong */
} acr_jwt_e;

/* a static text for the log */
const char *acr_jwt_error(acr_jwt_e e);

/* an empty set of keys; NULL: no memory */
acr_jwt_keys_t *acr_jwt_keys_create(void);
void acr_jwt_keys_free(acr_jwt_keys_t *keys);

/*
 * Adds the key of a PEM text: private (PKCS#8, or as OpenSSL writes them) or
 * public.  Its name is its thumbprint (RFC 7638, SHA-256, base64url).  Other
 * blocks of the text are skipped, such as a curve, and further keys.  ACR_OK;
 * ACR_INVALID: no key, or encrypted, or a private half that is not that of its
 * public one, or longer than ACR_JWT_PEM_MAX; ACR_UNSUPPORTED: of a kind or
 * size that we do not use, or the set is full; ACR_NOMEM.
 */
int acr_jwt_keys_add_pem(acr_jwt_keys_t *keys, const unsigned char *p,
    size_t n);

/*
 * Adds the keys of a JWK set (RFC 7517 section 5) that can verify: those of
 * another kind, use ("enc", "key_ops") or algorithm are passed over without an
 * error, as are broken ones and those behind the first ACR_JWT_KEYS_MAX.  Of a
 * private key the public half is taken.  If a key says its "alg", it is used
 * with no other.  "kid" is kept as it is; a key without one has its thumbprint.
 * ACR_OK, also if none was added; ACR_INVALID: no JWK set, or longer than
 * ACR_JWT_JWKS_MAX; ACR_NOMEM: then none was added.
 */
int acr_jwt_keys_add_jwks(acr_jwt_keys_t *keys, const unsigned char *p,
    size_t n);

/* how many there are; 1 if the first one is private, so that it can sign */
unsigned acr_jwt_keys_count(const acr_jwt_keys_t *keys);
int acr_jwt_keys_can_sign(const acr_jwt_keys_t *keys);

/*
 * A secret that all have who have the private half of the first key, and of
 * which nobody else learns anything: ACR_JWT_SECRET bytes.  what is what it is
 * for; others are for something else.  ACR_OK; ACR_INVALID: the key cannot
 * sign; ACR_NOMEM.
 */
#define ACR_JWT_SECRET  32

int acr_jwt_keys_secret(const acr_jwt_keys_t *keys, const char *what,
    unsigned char *secret);

/* the public halves as a JWK set: text from malloc(), or NULL: no memory */
char *acr_jwt_keys_print(const acr_jwt_keys_t *keys);

/*
 * Signs with the first key: ES256, ES384, EdDSA, or RS256 for RSA.  The header
 * has "typ":"JWT", "alg" and "kid".  Text from malloc(), terminated by a zero,
 * or NULL: no memory, the key cannot sign, the claims are no object, or so long
 * that the token had more than ACR_JWT_MAX bytes.
 */
char *acr_jwt_sign(const acr_jwt_keys_t *keys, json_t *claims);

/*
 * Checks the form and the signature; *claims is a new reference on ACR_JWT_OK.
 * A "typ" that the header has must be "JWT" or "at+jwt" (RFC 9068), so that a
 * logout token, or whatever else an issuer signs with its keys, is not taken
 * for one that says who somebody is (RFC 8725 section 3.11).
 * Claims are not looked at here, and are not even parsed unless the signature
 * is good.  If the header has no "kid", each key that fits the algorithm is
 * tried; if none does it is ACR_JWT_ALGORITHM, or ACR_JWT_KEY if the set is
 * empty.
 */
acr_jwt_e acr_jwt_verify(const acr_jwt_keys_t *keys, const unsigned char *p,
    size_t n, json_t **claims);

/*
 * 1 if a token that acr_jwt_verify() has found to have a wrong signature names
 * the key ("kid") that should have made it; 0 if that may be one that is not
 * here, and if memory is short.
 */
int acr_jwt_has_kid(const unsigned char *p, size_t n);

/*
 * The issuer ("iss") that a token names, in buf, which has room for *len bytes.
 * Nothing of it has been verified: it is for choosing the keys to try, and has
 * to be compared again with the claims that acr_jwt_verify() gives.
 * ACR_JWT_OK, with its length in *len; ACR_JWT_MALFORMED: no token, no claims,
 * no issuer, or a longer one; ACR_JWT_NOMEM.
 */
acr_jwt_e acr_jwt_issuer(const unsigned char *p, size_t n, unsigned char *buf,
    size_t *len);

/*
 * The times of RFC 7519 section 4.1 (exp is needed, nbf and iat are not), in
 * seconds, with a skew that is forgiven: 1 if the token is valid at now.
 * Values that are no numbers, or beyond 2^53, are refused; an iat that is one
 * says nothing more.
 */
int acr_jwt_in_time(const json_t *claims, int64_t now, int64_t skew);

/* 1 if "aud" (a string, or an array that has it) is the text */
int acr_jwt_audience(const json_t *claims, const char *audience);

#endif /* ACR_JWT_H */
