
/*
 * What a registry elsewhere wants to see before it answers: the challenges of
 * WWW-Authenticate, RFC 9110 section 11.6.1, of which the schemes Basic (RFC
 * 7617) and Bearer (RFC 6750, and Docker's token authentication) are known.
 *
 * The header is a stranger's: what is malformed in it is passed over, and no
 * more of it is looked at than ACR_CHALLENGE_MAX bytes.
 */

#ifndef ACR_CHALLENGE_H
#define ACR_CHALLENGE_H

#include "acr_core.h"

/* longest value of a header, in bytes, that is looked at */
#define ACR_CHALLENGE_MAX  8192

typedef enum {
    ACR_CHALLENGE_BASIC = 0,
    ACR_CHALLENGE_BEARER
} acr_challenge_e;

typedef struct {
    acr_challenge_e   scheme;
    acr_text_t        realm;       /* each as it was meant, without quotes and
                                      escapes; empty (NULL, 0) if it is not
                                      there */
    acr_text_t        service;
    acr_text_t        scope;
    acr_text_t        error;
} acr_challenge_t;

/*
 * Takes the next challenge of a known scheme off *rest, the value of a header,
 * which moves on.  Texts of the challenge are in buf, which has room for
 * rest->len bytes, until it is used again.
 *
 * Other schemes are passed over, with token68 or parameters, and so are
 * challenges that are malformed: a parameter that is there twice, a quote that
 * is not closed, control characters, a value that needs quotes and has none, a
 * Bearer without a realm.  Names of schemes and parameters are the same in
 * upper and lower case; unknown parameters are left out.
 *
 * ACR_OK, or ACR_DONE: there is no further one, or the value was too long.
 */
int acr_challenge_next(acr_text_t *rest, unsigned char *buf,
    acr_challenge_t *challenge);

#endif /* ACR_CHALLENGE_H */
