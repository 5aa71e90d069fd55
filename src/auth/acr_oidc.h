
/*
 * Whom a token of an OpenID provider is of.  Plain C over jansson; no nginx, no
 * I/O.
 *
 * The claims that come here are those of a token whose signature is that of a
 * key of the issuer (acr_jwt_verify()).  What is asked of them besides (OpenID
 * Connect Core 1.0 section 3.1.3.7, RFC 7519, RFC 8725): "iss" is the issuer to
 * the letter, so that an issuer whose keys another has too cannot speak for it;
 * "aud" has one of the audiences; "exp" is needed, and times are right; the
 * claims that are required are there.  "azp" says which client got the token,
 * not whom it is for, and is not looked at, nor is "nonce", which is that
 * client's affair.  A token with "events" is no identity: it tells of one (RFC
 * 8417), such as that it has logged out.
 *
 * A claim is named as it is, or by a path with dots, as realm_access.roles of
 * Keycloak.  Names may have dots themselves, as kubernetes.io.namespace, where
 * kubernetes.io is one: in each object the longest name that is there counts.
 */

#ifndef ACR_OIDC_H
#define ACR_OIDC_H

#include "acr_access.h"

#define ACR_OIDC_ISSUER_MAX  512
#define ACR_OIDC_PREFIX_MAX  64
#define ACR_OIDC_SKEW        30      /* seconds that clocks may differ */

/*
 * Bytes of all groups, as they are in JSON: our own tokens carry them, in a
 * header for which nginx has 8 KiB.
 */
#define ACR_OIDC_GROUPS_LEN  4096

/* what the texts of a principal need */
#define ACR_OIDC_BUFFER      (ACR_ACCESS_NAME_MAX + ACR_OIDC_GROUPS_LEN)

/* a claim that has to have this value, or a list that has it */

typedef struct {
    acr_text_t                 claim;
    acr_text_t                 value;
} acr_oidc_require_t;

typedef struct {
    acr_text_t                 issuer;
    const char               **audiences;   /* each ends with a zero */
    size_t                     naudiences;
    acr_text_t                 user;        /* the claim of the name */
    acr_text_t                 groups;      /* and that of its groups */
    acr_text_t                 prefix;      /* of both kinds of names */
    const acr_oidc_require_t  *require;
    size_t                     nrequire;
} acr_oidc_issuer_t;

typedef enum {
    ACR_OIDC_OK = 0,
    ACR_OIDC_KIND,             /* it is no token of an identity */
    ACR_OIDC_ISSUER,           /* of somebody else */
    ACR_OIDC_AUDIENCE,         /* for somebody else */
    ACR_OIDC_REQUIRED,         /* a claim is missing, or has another value */
    ACR_OIDC_USER,             /* no name, or none that a user can have */
    ACR_OIDC_TIME              /* over, or not valid yet; all else is right */
} acr_oidc_e;

/* a static text for the log */
const char *acr_oidc_error(acr_oidc_e e);

/*
 * The user that the claims are of, with groups, for now in seconds; texts point
 * into buf, of ACR_OIDC_BUFFER bytes.  Names are valid ones of acr_access.h,
 * with the prefix in front.  Of the groups (an array of strings, or one string)
 * those that are no names are passed over, and those that are too many: beyond
 * ACR_ACCESS_GROUPS_MAX, or ACR_OIDC_GROUPS_LEN.  What principal has is of use
 * on ACR_OIDC_OK only.
 */
acr_oidc_e acr_oidc_principal(const acr_oidc_issuer_t *issuer,
    const json_t *claims, int64_t now, unsigned char *buf,
    acr_principal_t *principal);

/*
 * 1 if the text can be a prefix: empty, or up to ACR_OIDC_PREFIX_MAX bytes that
 * a name may begin with.
 */
int acr_oidc_prefix_valid(const acr_text_t *prefix);

/*
 * 1 if a name with one prefix can be one with the other, too: one of them
 * begins with the other.
 */
int acr_oidc_prefix_meet(const acr_text_t *a, const acr_text_t *b);

#endif /* ACR_OIDC_H */
