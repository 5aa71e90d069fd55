
#include "acr_jwt.h"
#include "acr_oidc.h"
#include "fuzz.h"


#define NOW  1000000

/* lines of the input: what the directive says, and the claims */

enum { PREFIX = 0, USER, GROUPS, CLAIM, VALUE, CLAIMS, PARTS };


static void
name(const acr_text_t *prefix, const acr_text_t *text)
{
    char        principal[sizeof("user:") + ACR_ACCESS_NAME_MAX];
    acr_text_t  user;

    check(text->len > prefix->len && text->len <= ACR_ACCESS_NAME_MAX);
    check(fuzz_same(text->data, prefix->len, prefix->data, prefix->len));

    memcpy(principal, "user:", 5);
    memcpy(principal + 5, text->data, text->len);

    user.data = (const unsigned char *) principal;
    user.len = 5 + text->len;

    check(acr_access_principal_valid(&user));
}


/* who it is may not be somebody else, whatever the claims are */

static void
user(const acr_oidc_issuer_t *issuer, const json_t *claims,
    const acr_principal_t *principal)
{
    size_t    total;
    json_t   *iss;
    unsigned  i;

    iss = json_object_get(claims, "iss");

    check(fuzz_same(json_string_value(iss), json_string_length(iss),
                    issuer->issuer.data, issuer->issuer.len));
    check(acr_jwt_audience(claims, "acr"));
    check(acr_jwt_in_time(claims, NOW, ACR_OIDC_SKEW));

    check(principal->kind == ACR_PRINCIPAL_USER);
    check(principal->password == NULL);
    check(principal->ngroups <= ACR_ACCESS_GROUPS_MAX);

    name(&issuer->prefix, &principal->name);

    total = 0;

    for (i = 0; i < principal->ngroups; i++) {
        name(&issuer->prefix, &principal->groups[i]);
        total += principal->groups[i].len + 3;
    }

    check(total <= ACR_OIDC_GROUPS_LEN);
}


static acr_oidc_e
ask(const acr_oidc_issuer_t *issuer, const json_t *claims)
{
    acr_oidc_e        e;
    unsigned char    *buf;
    acr_principal_t   principal;

    buf = fuzz_alloc(ACR_OIDC_BUFFER);

    e = acr_oidc_principal(issuer, claims, NOW, buf, &principal);

    check(strcmp(acr_oidc_error(e), "unknown") != 0);

    if (e == ACR_OIDC_OK) {
        user(issuer, claims, &principal);
    }

    free(buf);

    return e;
}


static void
map(const acr_text_t *part)
{
    json_t                    *claims;
    acr_oidc_e                 e;
    acr_oidc_issuer_t          issuer;
    acr_oidc_require_t         require;

    static const char         *audiences[] = { "acr" };
    static const unsigned char iss[] = "https://idp";

    claims = json_loadb((const char *) part[CLAIMS].data, part[CLAIMS].len,
                        JSON_REJECT_DUPLICATES, NULL);

    if (!json_is_object(claims) || !acr_oidc_prefix_valid(&part[PREFIX])) {
        json_decref(claims);
        return;
    }

    check(part[PREFIX].len <= ACR_OIDC_PREFIX_MAX);

    require.claim = part[CLAIM];
    require.value = part[VALUE];

    issuer.issuer.data = iss;
    issuer.issuer.len = sizeof(iss) - 1;
    issuer.audiences = audiences;
    issuer.naudiences = 1;
    issuer.user = part[USER];
    issuer.groups = part[GROUPS];
    issuer.prefix = part[PREFIX];
    issuer.require = &require;
    issuer.nrequire = 1;

    e = ask(&issuer, claims);

    /* without it there is one reason less to refuse them */

    issuer.nrequire = 0;

    if (e == ACR_OIDC_REQUIRED) {
        (void) ask(&issuer, claims);

    } else {
        check(ask(&issuer, claims) == e);
    }

    json_decref(claims);
}


/* what a token says of itself has room, and is the same with more room */

static void
token(const uint8_t *p, size_t n)
{
    size_t          len, again;
    acr_jwt_e       e;
    unsigned char  *buf, *more;

    buf = fuzz_alloc(16);
    more = fuzz_alloc(ACR_JWT_MAX);

    len = 16;
    again = ACR_JWT_MAX;

    e = acr_jwt_issuer(p, n, buf, &len);

    check(e == ACR_JWT_OK || e == ACR_JWT_MALFORMED);

    if (e == ACR_JWT_OK) {
        check(len <= 16);
        check(acr_jwt_issuer(p, n, more, &again) == ACR_JWT_OK);
        check(fuzz_same(buf, len, more, again));

    } else if (acr_jwt_issuer(p, n, more, &again) == ACR_JWT_OK) {
        check(again > 16);
    }

    free(buf);
    free(more);
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    size_t          i;
    acr_text_t      part[PARTS];
    const uint8_t  *end, *line;

    token(p, n);

    end = p + n;

    for (i = 0; i < CLAIMS; i++) {
        line = n ? memchr(p, '\n', (size_t) (end - p)) : NULL;

        if (line == NULL) {
            return 0;
        }

        part[i].data = p;
        part[i].len = (size_t) (line - p);
        p = line + 1;
    }

    part[CLAIMS].data = p;
    part[CLAIMS].len = (size_t) (end - p);

    map(part);

    return 0;
}
