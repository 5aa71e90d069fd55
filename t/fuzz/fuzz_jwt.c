
#include "acr_jwt.h"
#include "fuzz.h"


/*
 * The keys of t/unit/test_acr_jwt.h: the private one is of no use but for this
 * test, it is public.
 */

#define ED25519 \
    "-----BEGIN PRIVATE KEY-----\n" \
    "MC4CAQAwBQYDK2VwBCIEIO26blyXrMP+8wNVe0smNMPoPm64Ok88LZW9FeJS0Lf+\n" \
    "-----END PRIVATE KEY-----\n"

#define P384 \
    "-----BEGIN PUBLIC KEY-----\n" \
    "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEL4T4KiA15Ioc7tpS10rcgyPdlPLZPgfk\n" \
    "uBbmqDT2PrQqdGSr6jobglAuWsT2MyCBibxPd0CCGGB9SQFeH3TjGSobhME/SKa/\n" \
    "d6f5pjOXF8I8hkNKQygBQvPmTTYYh+TO\n" \
    "-----END PUBLIC KEY-----\n"

#define JWKS \
    "{\"keys\": [{\"kty\": \"RSA\", \"kid\": \"a\", \"n\": \"yQ615L7R" \
    "NXzLISaTpNj7RO5dMCaKkrnKCF6m4lROXYlPfzQrLA-LAJyK07tLGEzc3OXYFnhF" \
    "p3EypVf57ovLlCLy7uvKdzvUWPL_YTlcDhOf7ZrqICVfjCrmXfs_O6I3lAblVIKY" \
    "VtD8pVM-eMp4V_AKYPmwubXiGKyxKpPwPW5Y8w54lF176zz2szlYYn9KnlTKqDuR" \
    "l8eY3_RMnOHhuo5703Lc2r5wP2rLjqPTWUUlkeS-_5aU4Olq4fpYWqEOJ3dLwK-k" \
    "Au6atgW3VfBmPpmam_yJ1QyytgChLto_XHfpJalJGk8d6ePSLHDcqCqu4EOWOOYa" \
    "2FIH8ksDUHSdvQ\", \"e\": \"AQAB\"}, {\"kty\": \"EC\", \"kid\": \"" \
    "b\", \"crv\": \"P-256\", \"x\": \"R_gdbGxjzOJSgnRNcE2enSHjt1HHTx" \
    "mbDTiLoi4s1OU\", \"y\": \"wpdBBarEiJvqpNi4trFM4XbN3sXV_Y1JebaYbZ" \
    "7JpBQ\"}]}"


/* the first is private; they live as long as the process */

static const acr_jwt_keys_t *
fixed_keys(void)
{
    static acr_jwt_keys_t  *keys;

    if (keys) {
        return keys;
    }

    keys = acr_jwt_keys_create();
    check(keys != NULL);

    check(acr_jwt_keys_add_pem(keys, (const uint8_t *) ED25519,
                               sizeof(ED25519) - 1) == ACR_OK);
    check(acr_jwt_keys_add_pem(keys, (const uint8_t *) P384,
                               sizeof(P384) - 1) == ACR_OK);
    check(acr_jwt_keys_add_jwks(keys, (const uint8_t *) JWKS,
                                sizeof(JWKS) - 1) == ACR_OK);
    check(acr_jwt_keys_count(keys) == 4);

    return keys;
}


static void
claims_of(json_t *claims)
{
    int  early, late;

    check(json_is_object(claims));

    /* a skew forgives, and no time is both too early and too late */

    early = acr_jwt_in_time(claims, 1000, 0);
    late = acr_jwt_in_time(claims, 1000, 100);
    check(early <= late);

    (void) acr_jwt_in_time(claims, INT64_MAX, INT64_MAX);
    (void) acr_jwt_in_time(claims, INT64_MIN, INT64_MAX);

    if (acr_jwt_audience(claims, "acr")) {
        check(json_object_get(claims, "aud") != NULL);
    }
}


/* what has a good signature keeps none if a byte of it is another */

static void
verified(const acr_jwt_keys_t *keys, const uint8_t *p, size_t n)
{
    json_t   *claims;
    size_t    i;
    uint8_t  *copy;

    copy = fuzz_alloc(n);
    memcpy(copy, p, n);

    for (i = 0; i < n; i += 1 + n / 16) {
        copy[i] = p[i] == 'A' ? 'B' : 'A';

        check(acr_jwt_verify(keys, copy, n, &claims) != ACR_JWT_OK);
        check(claims == NULL);

        copy[i] = p[i];
    }

    free(copy);
}


static void
token(const uint8_t *p, size_t n)
{
    json_t     *claims;
    acr_jwt_e   e;

    e = acr_jwt_verify(fixed_keys(), p, n, &claims);

    check(acr_jwt_error(e) != NULL);
    check((e == ACR_JWT_OK) == (claims != NULL));
    check(e != ACR_JWT_NOMEM);

    if (e == ACR_JWT_OK) {
        claims_of(claims);
        verified(fixed_keys(), p, n);
        json_decref(claims);
    }
}


/* claims that are signed here come back as they were */

static void
signed_claims(const uint8_t *p, size_t n)
{
    char    *text;
    json_t  *claims, *got;

    claims = json_loadb((const char *) p, n, JSON_REJECT_DUPLICATES, NULL);

    if (!json_is_object(claims)) {
        json_decref(claims);
        return;
    }

    claims_of(claims);

    text = acr_jwt_sign(fixed_keys(), claims);

    /* none if it were too long; what is nested too deeply is refused later */

    if (text) {
        if (acr_jwt_verify(fixed_keys(), (uint8_t *) text, strlen(text), &got)
            == ACR_JWT_OK)
        {
            check(json_equal(claims, got));
            json_decref(got);
        }

        free(text);
    }

    json_decref(claims);
}


/* keys that were read are printed, and read as just as many */

static void
keys(const uint8_t *p, size_t n, int pem)
{
    int              rc;
    char            *text, *again;
    unsigned         count;
    acr_jwt_keys_t  *set, *copy;

    set = acr_jwt_keys_create();
    copy = acr_jwt_keys_create();
    check(set != NULL && copy != NULL);

    rc = pem ? acr_jwt_keys_add_pem(set, p, n)
             : acr_jwt_keys_add_jwks(set, p, n);
    count = acr_jwt_keys_count(set);

    check(rc == ACR_OK || rc == ACR_INVALID || (pem && rc == ACR_UNSUPPORTED));
    check(count <= ACR_JWT_KEYS_MAX);
    check(rc == ACR_OK || count == 0);
    check(!pem || count == (rc == ACR_OK));
    check(pem || !acr_jwt_keys_can_sign(set));

    text = acr_jwt_keys_print(set);
    check(text != NULL);

    rc = acr_jwt_keys_add_jwks(copy, (uint8_t *) text, strlen(text));
    check(rc == ACR_OK);
    check(acr_jwt_keys_count(copy) == count);
    check(!acr_jwt_keys_can_sign(copy));

    again = acr_jwt_keys_print(copy);
    check(again != NULL && strcmp(text, again) == 0);

    free(text);
    free(again);
    acr_jwt_keys_free(set);
    acr_jwt_keys_free(copy);
}


/* the first byte says which */

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n == 0) {
        return 0;
    }

    switch (*p) {

    case 'c':
        signed_claims(p + 1, n - 1);
        break;

    case 'j':
        keys(p + 1, n - 1, 0);
        break;

    case 'p':
        keys(p + 1, n - 1, 1);
        break;

    default:
        token(p + 1, n - 1);
        break;
    }

    return 0;
}
