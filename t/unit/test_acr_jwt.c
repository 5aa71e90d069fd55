
#include <openssl/err.h>
#include <openssl/evp.h>

#include "acr_jwt_core.h"
#include "tap.h"
#include "test_acr_jwt.h"


/* P-256 of RFC 7515 appendix A.3, Ed25519 of RFC 8037 appendix A.2 */

#define EC_X    "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define EC_Y    "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define ED_X    "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"

#define EC_KEY  "'kty':'EC','crv':'P-256','x':'" EC_X "','y':'" EC_Y "'"
#define ED_KEY  "'kty':'OKP','crv':'Ed25519','x':'" ED_X "'"
#define RSA_KEY "'kty':'RSA','e':'AQAB','n':'" RFC7515_N "'"

#define THUMBPRINT_8037  "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
#define THUMBPRINT_7638  "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


/* how often malloc() of jansson and OpenSSL may still succeed; -1: always */

static long  allocations_left = -1;


static int
may_allocate(void)
{
    if (allocations_left == 0) {
        return 0;
    }

    if (allocations_left > 0) {
        allocations_left--;
    }

    return 1;
}


static void *
json_malloc(size_t n)
{
    return may_allocate() ? malloc(n) : NULL;
}


static void *
crypto_malloc(size_t n, const char *file, int line)
{
    (void) file;
    (void) line;

    return n && may_allocate() ? malloc(n) : NULL;
}


static void *
crypto_realloc(void *p, size_t n, const char *file, int line)
{
    (void) file;
    (void) line;

    if (n == 0) {
        free(p);
        return NULL;
    }

    return may_allocate() ? realloc(p, n) : NULL;
}


static void
crypto_free(void *p, const char *file, int line)
{
    (void) file;
    (void) line;

    free(p);
}


/* JSON with ' for ", as a copy that goes with done() */

static char *
quoted(const char *s, size_t n)
{
    char    *copy;
    size_t   i;

    copy = (char *) tap_copy(s, n);

    for (i = 0; i < n; i++) {
        if (copy[i] == '\'') {
            copy[i] = '"';
        }
    }

    return copy;
}


static json_t *
object(const char *s)
{
    json_t  *json;

    json = json_loadb(quoted(s, strlen(s)), strlen(s), 0, NULL);

    if (json == NULL) {
        printf("Bail out! no JSON: %s\n", s);
        exit(2);
    }

    return json;
}


static acr_jwt_keys_t *
create(void)
{
    acr_jwt_keys_t  *keys;

    keys = acr_jwt_keys_create();

    if (keys == NULL) {
        printf("Bail out! no memory\n");
        exit(2);
    }

    return keys;
}


static int
add_pem(acr_jwt_keys_t *keys, const char *pem)
{
    return acr_jwt_keys_add_pem(keys, tap_copy(pem, strlen(pem)),
                                strlen(pem));
}


static int
add_jwks(acr_jwt_keys_t *keys, const char *s)
{
    return acr_jwt_keys_add_jwks(keys, (unsigned char *) quoted(s, strlen(s)),
                                 strlen(s));
}


/* a set of one key of a PEM text */

static acr_jwt_keys_t *
pem(const char *text)
{
    acr_jwt_keys_t  *keys;

    keys = create();
    is_int(add_pem(keys, text), ACR_OK, "a key");

    return keys;
}


static acr_jwt_keys_t *
jwks(const char *text)
{
    acr_jwt_keys_t  *keys;

    keys = create();
    is_int(add_jwks(keys, text), ACR_OK, "a JWK set");

    return keys;
}


static acr_jwt_e
verify_n(const acr_jwt_keys_t *keys, const char *token, size_t n)
{
    json_t         *claims;
    acr_jwt_e       e;
    unsigned char  *exact;

    /* there are too many for tap_copy() */

    exact = malloc(n ? n : 1);

    if (exact == NULL) {
        exit(2);
    }

    memcpy(exact, token, n);

    claims = (json_t *) 1;
    e = acr_jwt_verify(keys, exact, n, &claims);
    free(exact);

    if ((e == ACR_JWT_OK) != (claims != NULL) || ERR_peek_error() != 0) {
        ok(0, "claims, or an error that is left");
    }

    json_decref(claims);

    return e;
}


static acr_jwt_e
verify(const acr_jwt_keys_t *keys, const char *token)
{
    return verify_n(keys, token, strlen(token));
}


/* parts of a token, put together and signed as alg says (NULL: not at all) */

static char *
craft_raw(const acr_jwt_keys_t *keys, const char *alg, const char *header,
    size_t header_len, const char *payload, size_t payload_len)
{
    size_t                len;
    acr_text_t            name;
    unsigned char        *token, *p, signature[ACR_JWT_BYTES_MAX];
    const acr_jwt_alg_t  *a;

    token = malloc(2 * (header_len + payload_len) + 2048);

    if (token == NULL) {
        exit(2);
    }

    p = acr_jwt_base64_encode(token, (const unsigned char *) header,
                              header_len);
    *p++ = '.';
    p = acr_jwt_base64_encode(p, (const unsigned char *) payload, payload_len);

    len = 0;

    if (alg) {
        name.data = (const unsigned char *) alg;
        name.len = strlen(alg);
        a = acr_jwt_alg(&name);

        if (a == NULL
            || acr_jwt_key_sign(&keys->keys[0], a, token,
                                (size_t) (p - token), signature, &len)
               != ACR_OK)
        {
            printf("Bail out! cannot sign with %s\n", alg);
            exit(2);
        }
    }

    *p++ = '.';
    p = acr_jwt_base64_encode(p, signature, len);
    *p = '\0';

    return (char *) token;
}


static acr_jwt_e
craft(const acr_jwt_keys_t *keys, const char *alg, const char *header,
    const char *payload)
{
    char       *token;
    acr_jwt_e   e;

    token = craft_raw(keys, alg, quoted(header, strlen(header)),
                      strlen(header), quoted(payload, strlen(payload)),
                      strlen(payload));
    e = verify(keys, token);
    free(token);

    return e;
}


/* a number of each character of the alphabet, and of none */

static int
base64(const char *s, size_t want)
{
    int             rc;
    size_t          len, n;
    unsigned char  *buf, *again, *end;

    n = strlen(s);
    buf = tap_copy(s, acr_jwt_base64_decoded(n));
    len = 0;

    rc = acr_jwt_base64_decode(buf, &len, tap_copy(s, n), n);

    if (rc != ACR_OK) {
        return 0;
    }

    again = malloc(n ? n : 1);
    end = acr_jwt_base64_encode(again, buf, len);
    rc = len == want && (size_t) (end - again) == n
         && memcmp(again, s, n) == 0;
    free(again);

    return rc;
}


static void
test_base64(void)
{
    int            c, wrong, good;
    char           s[5];
    size_t         len;
    unsigned char  buf[3];

    ok(base64("", 0), "nothing");
    ok(base64("AA", 1), "one byte");
    ok(base64("_w", 1), "another");
    ok(base64("AAA", 2), "two");
    ok(base64("__8", 2), "two of ones");
    ok(base64("AAAA", 3), "three");
    ok(base64("-_-_", 3), "what is not in base64");
    ok(base64("AAAAAA", 4), "four");
    ok(!base64("A", 0), "a character too few");
    ok(!base64("AAAAA", 0), "a character too few at the end");
    ok(!base64("AB", 1), "stray bits");
    ok(!base64("_x", 1), "stray bits after ones");
    ok(!base64("AAB", 2), "two stray bits");
    ok(!base64("AA==", 1), "padding");
    ok(!base64("AAA=", 2), "less padding");
    ok(!base64("AA\n", 1), "a line's end");
    ok(!base64(" AAA", 2), "a space");
    ok(!base64("+/AA", 3), "base64");

    wrong = 0;
    good = 0;

    for (c = 0; c < 256; c++) {
        s[0] = (char) c;
        memcpy(s + 1, "AAA", 4);

        if (acr_jwt_base64_decode(buf, &len, (unsigned char *) s, 4)
            == ACR_OK)
        {
            good++;
            wrong += len != 3 || buf[1] != 0 || buf[2] != 0;
        }
    }

    is_int(good, 64, "64 characters");
    is_int(wrong, 0, "of six bits each");

    wrong = 0;

    for (c = 0; c < 256; c++) {
        buf[0] = (unsigned char) c;
        good = (int) (acr_jwt_base64_encode((unsigned char *) s, buf, 1)
                      - (unsigned char *) s);
        wrong += good != 2
                 || acr_jwt_base64_decode(buf + 1, &len, (unsigned char *) s,
                                          2)
                    != ACR_OK
                 || buf[1] != c;
    }

    is_int(wrong, 0, "each byte is read back");
}


/* what is printed of a set can be read, and then verifies */

static acr_jwt_keys_t *
printed(const acr_jwt_keys_t *keys, const char *kty, const char *crv,
    const char *alg)
{
    int              rc;
    char            *text;
    json_t          *root, *jwk;
    const char      *name;
    acr_jwt_keys_t  *copy;

    text = acr_jwt_keys_print(keys);

    if (!ok(text != NULL, "printed")) {
        exit(2);
    }

    root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    jwk = json_array_get(json_object_get(root, "keys"), 0);

    name = json_string_value(json_object_get(jwk, "kty"));
    ok(name && strcmp(name, kty) == 0, "kty is %s", kty);

    name = json_string_value(json_object_get(jwk, "crv"));
    ok(crv ? name && strcmp(name, crv) == 0 : name == NULL, "crv");

    name = json_string_value(json_object_get(jwk, "alg"));
    ok(alg ? name && strcmp(name, alg) == 0 : name == NULL, "alg");

    name = json_string_value(json_object_get(jwk, "use"));
    ok(name && strcmp(name, "sig") == 0, "use");
    ok(json_string_length(json_object_get(jwk, "kid")) == 43, "kid");
    ok(json_object_get(jwk, "d") == NULL && strstr(text, "\"d\"") == NULL
       && strstr(text, "\"p\"") == NULL, "nothing secret");

    json_decref(root);

    copy = create();
    rc = acr_jwt_keys_add_jwks(copy, tap_copy(text, strlen(text)),
                               strlen(text));
    is_int(rc, ACR_OK, "read again");
    is_int(acr_jwt_keys_count(copy), acr_jwt_keys_count(keys), "all of it");
    ok(!acr_jwt_keys_can_sign(copy), "which cannot sign");

    free(text);

    return copy;
}


static void
round_trip(const char *secret, const char *public, const char *other,
    const char *kty, const char *crv, const char *alg, int says)
{
    char            *token, *bad;
    size_t           i, n, wrong;
    json_t          *claims, *got, *header;
    unsigned char    buf[512];
    acr_jwt_keys_t  *keys, *set;

    printf("# %s %s\n", kty, crv ? crv : "");

    claims = object("{'iss':'acr','sub':'\xc3\xa9','n':[1,2,{'a':null}]}");

    keys = pem(secret);
    is_int(acr_jwt_keys_count(keys), 1, "one key");
    ok(acr_jwt_keys_can_sign(keys), "that can sign");

    token = acr_jwt_sign(keys, claims);

    if (!ok(token != NULL, "signed")) {
        exit(2);
    }

    is_int(ERR_peek_error(), 0, "no error left");

    /* the header */

    n = (size_t) (strchr(token, '.') - token);
    is_int(acr_jwt_base64_decode(buf, &i, (unsigned char *) token, n), ACR_OK,
           "the header");
    header = json_loadb((char *) buf, i, 0, NULL);
    ok(json_object_size(header) == 3, "of three members");
    ok(strcmp(json_string_value(json_object_get(header, "typ")), "JWT") == 0,
       "typ");
    ok(strcmp(json_string_value(json_object_get(header, "alg")), alg) == 0,
       "alg");
    ok(json_string_length(json_object_get(header, "kid"))
       == keys->keys[0].kid_len, "kid");
    json_decref(header);

    /* a secret of it */

    set = pem(secret);
    is_int(acr_jwt_keys_secret(keys, "a", buf), ACR_OK, "a secret");
    is_int(acr_jwt_keys_secret(set, "a", buf + ACR_JWT_SECRET), ACR_OK,
           "once more");
    ok(memcmp(buf, buf + ACR_JWT_SECRET, ACR_JWT_SECRET) == 0, "is the same");
    is_int(acr_jwt_keys_secret(set, "b", buf + ACR_JWT_SECRET), ACR_OK,
           "one for something else");
    ok(memcmp(buf, buf + ACR_JWT_SECRET, ACR_JWT_SECRET) != 0, "is another");
    is_int(ERR_peek_error(), 0, "no error left");
    acr_jwt_keys_free(set);

    set = pem(other);
    is_int(acr_jwt_keys_secret(set, "a", buf + ACR_JWT_SECRET), ACR_OK,
           "one of another key");
    ok(memcmp(buf, buf + ACR_JWT_SECRET, ACR_JWT_SECRET) != 0, "is another");
    acr_jwt_keys_free(set);

    /* verified by each half */

    is_int(acr_jwt_verify(keys, tap_copy(token, strlen(token)), strlen(token),
                          &got), ACR_JWT_OK, "by the signer");
    ok(json_equal(claims, got), "the claims");
    json_decref(got);

    set = pem(public);
    ok(!acr_jwt_keys_can_sign(set), "public");
    ok(acr_jwt_sign(set, claims) == NULL, "does not sign");
    is_int(acr_jwt_keys_secret(set, "a", buf), ACR_INVALID,
           "and has no secret");
    is_int(verify(set, token), ACR_JWT_OK, "by the public half");
    acr_jwt_keys_free(set);

    set = printed(keys, kty, crv, says ? alg : NULL);
    is_int(verify(set, token), ACR_JWT_OK, "by a JWK");
    acr_jwt_keys_free(set);

    /* and by no other */

    set = pem(other);
    is_int(verify(set, token), ACR_JWT_KEY, "not by another key");
    is_int(add_pem(set, public), ACR_OK, "with this one");
    is_int(verify(set, token), ACR_JWT_OK, "by the second");
    acr_jwt_keys_free(set);

    set = create();
    is_int(verify(set, token), ACR_JWT_KEY, "not by none");
    acr_jwt_keys_free(set);

    /* cut, longer, and with a bit of each character changed */

    n = strlen(token);
    wrong = 0;

    for (i = 0; i < n; i++) {
        wrong += verify_n(keys, token, i) == ACR_JWT_OK;
    }

    is_int(wrong, 0, "cut at every place");

    bad = malloc(n + 2);
    memcpy(bad, token, n);

    for (i = 0; i < n; i++) {
        bad[i] = token[i] == 'A' ? 'B' : 'A';
        wrong += verify_n(keys, bad, n) == ACR_JWT_OK;
        bad[i] ^= (char) 0x80;
        wrong += verify_n(keys, bad, n) != ACR_JWT_MALFORMED;
        bad[i] = token[i];
    }

    is_int(wrong, 0, "changed at every place");

    for (i = 0; i < 256; i++) {
        bad[n] = (char) i;
        wrong += verify_n(keys, bad, n + 1) == ACR_JWT_OK;
    }

    is_int(wrong, 0, "with a character more");

    free(bad);
    free(token);
    json_decref(claims);
    acr_jwt_keys_free(keys);
}


static int
has_kid(const acr_jwt_keys_t *keys, unsigned i, const char *kid)
{
    const acr_jwt_key_t  *key;

    key = &keys->keys[i];

    return i < keys->n && key->kid_len == strlen(kid)
           && memcmp(key->kid, kid, key->kid_len) == 0;
}


static void
test_vectors(void)
{
    char            *changed, *p;
    json_t          *claims;
    acr_jwt_keys_t  *keys;

    keys = jwks("{'keys':[{" RSA_KEY ",'alg':'RS256'}]}");
    is_int(acr_jwt_verify(keys, LIT(RFC7515_RS256), &claims), ACR_JWT_OK,
           "RFC 7515 A.2");
    ok(json_integer_value(json_object_get(claims, "exp")) == 1300819380,
       "its claims");
    json_decref(claims);
    is_int(verify(keys, RFC7515_ES256), ACR_JWT_ALGORITHM, "A.3 is not RSA");
    acr_jwt_keys_free(keys);

    keys = jwks("{'keys':[{" EC_KEY "}]}");
    is_int(verify(keys, RFC7515_ES256), ACR_JWT_OK, "RFC 7515 A.3");
    is_int(verify(keys, RFC7515_RS256), ACR_JWT_ALGORITHM, "A.2 is not EC");
    acr_jwt_keys_free(keys);

    /* what is signed in RFC 8037 is no JSON, and not looked at unless it is
       signed */

    keys = jwks("{'keys':[{" ED_KEY "}]}");
    ok(has_kid(keys, 0, THUMBPRINT_8037), "RFC 8037 A.3");
    is_int(verify(keys, RFC8037_EDDSA), ACR_JWT_MALFORMED, "RFC 8037 A.4");

    changed = (char *) tap_copy(RFC8037_EDDSA, sizeof(RFC8037_EDDSA));
    p = strrchr(changed, '.') + 1;
    *p = *p == 'A' ? 'B' : 'A';
    is_int(verify(keys, changed), ACR_JWT_SIGNATURE, "changed");
    acr_jwt_keys_free(keys);

    keys = jwks("{'keys':[{'kty':'RSA','alg':'RS256','kid':'2011-04-29',"
                "'e':'AQAB','n':'" RFC7638_N "'},"
                "{'kty':'RSA','e':'AQAB','n':'" RFC7638_N "'}]}");
    ok(has_kid(keys, 0, "2011-04-29"), "its own kid");
    ok(has_kid(keys, 1, THUMBPRINT_7638), "RFC 7638 3.1");
    acr_jwt_keys_free(keys);

    /* all at once, without kid */

    keys = jwks("{'keys':[{" ED_KEY ",'kid':'a'},{" RSA_KEY ",'kid':'b'},"
                "{" EC_KEY ",'kid':'c'}]}");
    is_int(verify(keys, RFC7515_RS256), ACR_JWT_OK, "found");
    is_int(verify(keys, RFC7515_ES256), ACR_JWT_OK, "found too");
    acr_jwt_keys_free(keys);
}


/* each is said of the key it is: forged, none of them verifies */

static void
test_algorithms(void)
{
    size_t           len, i;
    char            *token, text[256];
    unsigned char    mac[EVP_MAX_MD_SIZE], *p;
    acr_jwt_keys_t  *rsa, *ec, *ec3, *ed;

    static const char  *algs[] = {
        "RS256", "RS384", "RS512", "PS256"
    };

    static const char  *refused[] = {
        "none", "None", "NONE", "", "HS256", "HS384", "HS512", "PS384",
        "PS512", "ES512", "ES256K", "RS1", "rs256", "RS256 ", "Ed448",
        "Ed25519", "eddsa", "ES384"
    };

    rsa = pem(RSA_PEM);
    ec = pem(P256_PEM);
    ec3 = pem(P384_PEM);
    ed = pem(ED25519_PEM);

    for (i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
        snprintf(text, sizeof(text), "{'alg':'%s'}", algs[i]);
        is_int(craft(rsa, algs[i], text, "{}"), ACR_JWT_OK, "%s", algs[i]);
        is_int(craft(rsa, algs[(i + 1) % 4], text, "{}"), ACR_JWT_SIGNATURE,
               "%s is not %s", algs[(i + 1) % 4], algs[i]);
    }

    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        snprintf(text, sizeof(text), "{'alg':'%s'}", refused[i]);
        is_int(craft(rsa, "RS256", text, "{}"), ACR_JWT_ALGORITHM,
               "alg %s", refused[i]);
        is_int(craft(rsa, NULL, text, "{}"), ACR_JWT_ALGORITHM,
               "alg %s, not signed", refused[i]);
    }

    is_int(craft(ec, "ES256", "{'alg':'ES256'}", "{}"), ACR_JWT_OK, "ES256");
    is_int(craft(ec3, "ES384", "{'alg':'ES384'}", "{}"), ACR_JWT_OK, "ES384");
    is_int(craft(ed, "EdDSA", "{'alg':'EdDSA'}", "{}"), ACR_JWT_OK, "EdDSA");

    is_int(craft(ec, "ES384", "{'alg':'ES384'}", "{}"), ACR_JWT_ALGORITHM,
           "ES384 with P-256");
    is_int(craft(ec3, "ES256", "{'alg':'ES256'}", "{}"), ACR_JWT_ALGORITHM,
           "ES256 with P-384");
    is_int(craft(ec, "ES256", "{'alg':'RS256'}", "{}"), ACR_JWT_ALGORITHM,
           "RS256 with P-256");
    is_int(craft(ec, "ES256", "{'alg':'EdDSA'}", "{}"), ACR_JWT_ALGORITHM,
           "EdDSA with P-256");
    is_int(craft(ed, "EdDSA", "{'alg':'ES256'}", "{}"), ACR_JWT_ALGORITHM,
           "ES256 with Ed25519");
    is_int(craft(rsa, "RS256", "{'alg':'ES256'}", "{}"), ACR_JWT_ALGORITHM,
           "ES256 with RSA");

    is_int(craft(rsa, NULL, "{'alg':'RS256'}", "{}"), ACR_JWT_SIGNATURE,
           "RS256 without a signature");
    is_int(craft(ec, NULL, "{'alg':'ES256'}", "{}"), ACR_JWT_SIGNATURE,
           "ES256 without a signature");
    is_int(craft(ed, NULL, "{'alg':'EdDSA'}", "{}"), ACR_JWT_SIGNATURE,
           "EdDSA without a signature");

    /* the public key as a secret, once honestly and once under RS256 */

    for (i = 0; i < 2; i++) {
        snprintf(text, sizeof(text), "{\"alg\":\"%s\"}",
                 i ? "RS256" : "HS256");
        token = craft_raw(NULL, NULL, text, strlen(text), "{}", 2);
        len = strlen(token);

        if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, RSA_PUBLIC,
                      sizeof(RSA_PUBLIC) - 1, (unsigned char *) token,
                      len - 1, mac, sizeof(mac), &len)
            == NULL)
        {
            exit(2);
        }

        p = acr_jwt_base64_encode((unsigned char *) token + strlen(token), mac,
                                  len);
        *p = '\0';

        is_int(verify(rsa, token), i ? ACR_JWT_SIGNATURE : ACR_JWT_ALGORITHM,
               "the public key as a secret");
        free(token);
    }

    acr_jwt_keys_free(rsa);
    acr_jwt_keys_free(ec);
    acr_jwt_keys_free(ec3);
    acr_jwt_keys_free(ed);
}


/* a signature of n bytes of this value */

static acr_jwt_e
filled(const acr_jwt_keys_t *keys, const char *header, int value, size_t n)
{
    char           *token, *json;
    acr_jwt_e       e;
    unsigned char   sig[ACR_JWT_BYTES_MAX + 64], *p;

    json = quoted(header, strlen(header));
    token = craft_raw(NULL, NULL, json, strlen(header), "{}", 2);

    memset(sig, value, n);
    p = acr_jwt_base64_encode((unsigned char *) token + strlen(token), sig, n);
    *p = '\0';

    e = verify(keys, token);
    free(token);

    return e;
}


static void
test_signatures(void)
{
    int              v, wrong;
    char            *token, *p;
    size_t           n, len;
    unsigned char    raw[66], sig[66];
    acr_jwt_keys_t  *rsa, *ec, *ec3, *ed;

    rsa = pem(RSA_PEM);
    ec = pem(P256_PEM);
    ec3 = pem(P384_PEM);
    ed = pem(ED25519_PEM);

    for (v = 0; v < 256; v += 0x55) {
        is_int(filled(ec, "{'alg':'ES256'}", v, 64), ACR_JWT_SIGNATURE,
               "ES256 of %d", v);
        is_int(filled(ec3, "{'alg':'ES384'}", v, 96), ACR_JWT_SIGNATURE,
               "ES384 of %d", v);
        is_int(filled(ed, "{'alg':'EdDSA'}", v, 64), ACR_JWT_SIGNATURE,
               "EdDSA of %d", v);
        is_int(filled(rsa, "{'alg':'RS256'}", v, 256), ACR_JWT_SIGNATURE,
               "RS256 of %d", v);
        is_int(filled(rsa, "{'alg':'PS256'}", v, 256), ACR_JWT_SIGNATURE,
               "PS256 of %d", v);
    }

    wrong = 0;

    for (n = 0; n < 300; n++) {
        wrong += filled(ec, "{'alg':'ES256'}", 1, n) != ACR_JWT_SIGNATURE;
        wrong += filled(ec3, "{'alg':'ES384'}", 1, n) != ACR_JWT_SIGNATURE;
        wrong += filled(ed, "{'alg':'EdDSA'}", 1, n) != ACR_JWT_SIGNATURE;
        wrong += filled(rsa, "{'alg':'RS256'}", 1, n) != ACR_JWT_SIGNATURE;
    }

    is_int(wrong, 0, "of every length");
    is_int(filled(rsa, "{'alg':'RS256'}", 0, 1024), ACR_JWT_SIGNATURE,
           "a long one");

    /* r and s with zeros before them are other texts of the same signature */

    token = craft_raw(ec, "ES256", "{\"alg\":\"ES256\"}", 15, "{}", 2);
    is_int(verify(ec, token), ACR_JWT_OK, "64 bytes");

    p = strrchr(token, '.') + 1;
    memset(sig, 0, sizeof(sig));
    is_int(acr_jwt_base64_decode(raw, &len, (unsigned char *) p, strlen(p)),
           ACR_OK, "taken apart");
    memcpy(sig + 1, raw, 32);
    memcpy(sig + 34, raw + 32, 32);
    *acr_jwt_base64_encode((unsigned char *) p, sig, 66) = '\0';
    is_int(verify(ec, token), ACR_JWT_SIGNATURE, "66 bytes");
    free(token);

    acr_jwt_keys_free(rsa);
    acr_jwt_keys_free(ec);
    acr_jwt_keys_free(ec3);
    acr_jwt_keys_free(ed);
}


static void
test_form(void)
{
    int              i;
    char            *token, *big, *text;
    size_t           n;
    acr_jwt_keys_t  *ed;

    /* each is signed well: it is the form that is refused */

    static const char  *headers[] = {
        "", "null", "[]", "'EdDSA'", "{", "{}", "{'alg':null}", "{'alg':1}",
        "{'alg':['EdDSA']}", "{'alg':'EdDSA','alg':'EdDSA'}",
        "{'alg':'none','alg':'EdDSA'}", "{'alg':'EdDSA'}x",
        "{'alg':'EdDSA'}{}", "{'alg':'EdDSA','a':{'b':1,'b':2}}",
        "{'alg':'EdDSA\\u0000'}", "{'alg':'EdDSA','crit':['exp']}",
        "{'alg':'EdDSA','crit':[]}", "{'alg':'EdDSA','crit':null}",
        "{'alg':'EdDSA','b64':false,'crit':['b64']}",
        "{'alg':'EdDSA','kid':1}", "{'alg':'EdDSA','kid':null}",
        "{'alg':'EdDSA','kid':['a']}", "{'alg':'EdDSA','a':'\xff'}",
        "\xef\xbb\xbf{'alg':'EdDSA'}", "{'ALG':'EdDSA'}"
    };

    static const char  *payloads[] = {
        "", "null", "[]", "'a'", "1", "{", "{}{}", "{'a':1,'a':2}",
        "{'exp':1e999}", "{'exp':99999999999999999999}", "{'a':'\xff'}"
    };

    static const char  *forms[] = {
        "", ".", "..", "...", "a", "a.b", "a.b.c", "a.b.c.d",
        "eyJhbGciOiJFZERTQSJ9", "eyJhbGciOiJFZERTQSJ9.e30",
        "eyJhbGciOiJFZERTQSJ9.e30.AA.", "eyJhbGciOiJFZERTQSJ9.e30.AA.AA.AA",
        ".eyJhbGciOiJFZERTQSJ9.e30.AA", "eyJhbGciOiJFZERTQSJ9.e30=.AA",
        "eyJhbGciOiJFZERTQSJ9.e30.AA==", "eyJhbGciOiJFZERTQSJ9.e31.AA",
        "eyJhbGciOiJFZERTQSJ9 .e30.AA", " eyJhbGciOiJFZERTQSJ9.e30.AA",
        "eyJhbGciOiJFZERTQSJ9.e30.AA\n", "eyJhbGciOiJFZERTQSJ9.e30.AB",
        "Bearer eyJhbGciOiJFZERTQSJ9.e30.AA", "..AA", ".e30.AA"
    };

    ed = pem(ED25519_PEM);

    for (i = 0; i < (int) (sizeof(headers) / sizeof(headers[0])); i++) {
        is_int(craft(ed, "EdDSA", headers[i], "{}"), ACR_JWT_MALFORMED,
               "header %d: %s", i, headers[i]);
    }

    for (i = 0; i < (int) (sizeof(payloads) / sizeof(payloads[0])); i++) {
        is_int(craft(ed, "EdDSA", "{'alg':'EdDSA'}", payloads[i]),
               ACR_JWT_MALFORMED, "payload %d", i);
        is_int(craft(ed, NULL, "{'alg':'EdDSA'}", payloads[i]),
               ACR_JWT_SIGNATURE, "payload %d, not signed", i);
    }

    for (i = 0; i < (int) (sizeof(forms) / sizeof(forms[0])); i++) {
        is_int(verify(ed, forms[i]), ACR_JWT_MALFORMED, "form %d", i);
    }

    is_int(craft(ed, "EdDSA", "{'alg':'EdDSA','typ':'at+jwt'}", "{}"),
           ACR_JWT_OK, "another typ");
    is_int(craft(ed, "EdDSA", "{'alg':'EdDSA','typ':'application/At+JWT'}",
                 "{}"),
           ACR_JWT_OK, "as a media type");
    is_int(craft(ed, "EdDSA", "{'alg':'EdDSA','typ':'jwt'}", "{}"),
           ACR_JWT_OK, "in lower case");
    is_int(craft(ed, "EdDSA", "{'alg':'EdDSA','typ':'logout+jwt'}", "{}"),
           ACR_JWT_TYPE, "a logout token");
    is_int(craft(ed, "EdDSA", "{'alg':'EdDSA','typ':''}", "{}"),
           ACR_JWT_TYPE, "an empty typ");
    is_int(craft(ed, "EdDSA", "{'alg':'EdDSA','typ':'application/'}", "{}"),
           ACR_JWT_TYPE, "half a media type");
    is_int(craft(ed, "EdDSA", "{'alg':'EdDSA','typ':1}", "{}"),
           ACR_JWT_MALFORMED, "a typ that is none");
    is_int(craft(ed, "EdDSA", " { 'alg' : '\\u0045dDSA' } \n", "{}"),
           ACR_JWT_OK, "other JSON of the same");

    /* as long as can be, and one more */

    text = malloc(ACR_JWT_MAX);
    n = acr_jwt_base64_decoded(ACR_JWT_MAX - 20 - 1 - 1 - 86);
    memset(text, ' ', ACR_JWT_MAX);
    text[0] = '{';
    text[n - 1] = '}';

    token = craft_raw(ed, "EdDSA", "{\"alg\":\"EdDSA\"}", 15, text, n);
    is_int(strlen(token), ACR_JWT_MAX, "a token of the longest");
    is_int(verify(ed, token), ACR_JWT_OK, "is taken");
    free(token);

    text[n - 1] = ' ';
    text[n] = '}';
    token = craft_raw(ed, "EdDSA", "{\"alg\":\"EdDSA\"}", 15, text, n + 1);
    ok(strlen(token) > ACR_JWT_MAX, "one that is longer");
    is_int(verify(ed, token), ACR_JWT_MALFORMED, "is not");
    free(token);
    free(text);

    n = 1 << 20;
    big = malloc(n);
    memset(big, 'A', n);
    is_int(verify_n(ed, big, n), ACR_JWT_MALFORMED, "a huge one");
    memset(big, '.', n);
    is_int(verify_n(ed, big, n), ACR_JWT_MALFORMED, "dots");

    memset(big, '[', 1000);
    token = craft_raw(NULL, NULL, big, 1000, "{}", 2);
    is_int(verify(ed, token), ACR_JWT_MALFORMED, "a deep header");
    free(token);
    memcpy(big, "{\"a\":", 5);
    token = craft_raw(ed, "EdDSA", "{\"alg\":\"EdDSA\"}", 15, big, 1000);
    is_int(verify(ed, token), ACR_JWT_MALFORMED, "deep claims");
    free(token);
    free(big);

    acr_jwt_keys_free(ed);
}


static void
test_kid(void)
{
    char             text[1024], kid[300], *token;
    acr_jwt_keys_t  *keys, *other;

    keys = pem(ED25519_PEM);

    snprintf(text, sizeof(text), "{'alg':'EdDSA','kid':'%.43s'}",
             keys->keys[0].kid);
    is_int(craft(keys, "EdDSA", text, "{}"), ACR_JWT_OK, "its kid");
    text[strlen(text) - 3] ^= 1;
    is_int(craft(keys, "EdDSA", text, "{}"), ACR_JWT_KEY, "another kid");
    is_int(craft(keys, "EdDSA", "{'alg':'EdDSA','kid':''}", "{}"),
           ACR_JWT_KEY, "an empty kid");
    snprintf(text, sizeof(text), "{'alg':'EdDSA','kid':'%.42s'}",
             keys->keys[0].kid);
    is_int(craft(keys, "EdDSA", text, "{}"), ACR_JWT_KEY, "half a kid");
    snprintf(text, sizeof(text), "{'alg':'RS256','kid':'%.43s'}",
             keys->keys[0].kid);
    is_int(craft(keys, "EdDSA", text, "{}"), ACR_JWT_ALGORITHM,
           "its kid with another algorithm");

    memset(kid, 'k', sizeof(kid));
    snprintf(text, sizeof(text), "{'alg':'EdDSA','kid':'%.256s'}", kid);
    is_int(craft(keys, "EdDSA", text, "{}"), ACR_JWT_KEY, "a long kid");
    snprintf(text, sizeof(text), "{'alg':'EdDSA','kid':'%.257s'}", kid);
    is_int(craft(keys, "EdDSA", text, "{}"), ACR_JWT_MALFORMED,
           "a longer one");

    /* keys that came with the token are nobody's */

    other = pem(P256_PEM);
    is_int(craft(other, "ES256",
                 "{'alg':'ES256','jwk':{" EC_KEY "},"
                 "'jku':'https://localhost/','x5u':'https://localhost/',"
                 "'x5c':['AAAA']}", "{}"), ACR_JWT_OK, "an ignored jwk");
    acr_jwt_keys_free(other);

    other = jwks("{'keys':[{" ED_KEY "}]}");
    is_int(add_pem(keys, P384_PEM), ACR_OK, "one more");

    snprintf(text, sizeof(text),
             "{\"alg\":\"EdDSA\",\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
             "\"x\":\"%s\"}}", ED_X);

    token = craft_raw(keys, "EdDSA", text, strlen(text), "{}", 2);
    is_int(verify(other, token), ACR_JWT_SIGNATURE, "of another key");
    is_int(verify(keys, token), ACR_JWT_OK, "of this one");
    free(token);

    acr_jwt_keys_free(other);

    /* a name for two keys: RFC 7517 section 4.5 */

    other = jwks("{'keys':[{" RSA_KEY ",'kid':'a'},{" EC_KEY ",'kid':'a'},"
                 "{" ED_KEY ",'kid':'a'}]}");
    is_int(acr_jwt_keys_count(other), 3, "three of a name");
    is_int(verify(other, RFC7515_ES256), ACR_JWT_OK, "are three");
    acr_jwt_keys_free(other);
    acr_jwt_keys_free(keys);
}


static void
pem_is(const char *text, int want, const char *label)
{
    acr_jwt_keys_t  *keys;

    keys = create();
    is_int(add_pem(keys, text), want, "%s", label);
    is_int(acr_jwt_keys_count(keys), want == ACR_OK, "its number of keys");
    is_int(ERR_peek_error(), 0, "no error left");
    acr_jwt_keys_free(keys);
}


static void
test_pem(void)
{
    char            *big;
    size_t           i, n;
    unsigned         count;
    acr_jwt_keys_t  *keys;

    pem_is(RSA_OLD, ACR_OK, "RSA PRIVATE KEY");
    pem_is(P256_OLD, ACR_OK, "EC PARAMETERS and EC PRIVATE KEY");
    pem_is("a comment\n" CERTIFICATE P256_PUBLIC, ACR_OK, "after others");
    pem_is(P256_PUBLIC RSA_SMALL, ACR_OK, "before others");
    pem_is(RSA_SMALL, ACR_UNSUPPORTED, "1024 bits");
    pem_is(RSA_PSS, ACR_UNSUPPORTED, "RSA-PSS");
    pem_is(P521_PEM, ACR_UNSUPPORTED, "P-521");
    pem_is(SECP256K1_PEM, ACR_UNSUPPORTED, "secp256k1");
    pem_is(X25519_PEM, ACR_UNSUPPORTED, "X25519");
    pem_is(ED448_PEM, ACR_UNSUPPORTED, "Ed448");
    pem_is(P256_ENCRYPTED, ACR_INVALID, "encrypted");
    pem_is(P256_OLD_ENCRYPTED, ACR_INVALID, "encrypted as of old");
    pem_is(P256_ENCRYPTED P256_PEM, ACR_INVALID, "encrypted before another");
    pem_is(P256_MISMATCH, ACR_INVALID, "halves of two keys");
    pem_is(CERTIFICATE, ACR_INVALID, "a certificate");
    pem_is("", ACR_INVALID, "nothing");
    pem_is("{}", ACR_INVALID, "JSON");
    pem_is("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
           ACR_INVALID, "no key in it");
    pem_is("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
           ACR_INVALID, "zeros in it");
    pem_is("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
           ACR_INVALID, "zeros in a public one");

    n = ACR_JWT_PEM_MAX;
    big = malloc(n + 1);
    memset(big, '\n', n + 1);
    memcpy(big, P256_PEM, sizeof(P256_PEM) - 1);
    keys = create();
    is_int(acr_jwt_keys_add_pem(keys, (unsigned char *) big, n), ACR_OK,
           "as long as can be");
    is_int(acr_jwt_keys_add_pem(keys, (unsigned char *) big, n + 1),
           ACR_INVALID, "too long");
    acr_jwt_keys_free(keys);
    free(big);

    n = sizeof(P256_PEM) - 1;
    keys = create();

    for (i = 0; i < n - 1; i++) {
        if (acr_jwt_keys_add_pem(keys, tap_copy(P256_PEM, i), i)
            != ACR_INVALID)
        {
            break;
        }
    }

    is_int(i, n - 1, "cut at every place");
    is_int(acr_jwt_keys_count(keys), 0, "nothing was added");

    for (count = 0; count < ACR_JWT_KEYS_MAX; count++) {
        if (add_pem(keys, P256_PUBLIC) != ACR_OK) {
            break;
        }
    }

    is_int(count, ACR_JWT_KEYS_MAX, "a full set");
    is_int(add_pem(keys, P256_PEM), ACR_UNSUPPORTED, "takes no more");
    is_int(add_jwks(keys, "{'keys':[{" EC_KEY "}]}"), ACR_OK, "nor of JWK");
    is_int(acr_jwt_keys_count(keys), ACR_JWT_KEYS_MAX, "as many as before");
    acr_jwt_keys_free(keys);
    acr_jwt_keys_free(NULL);
}


/* the good key behind each shows that the set goes on */

static void
jwk_is(const char *jwk, unsigned want, const char *label)
{
    char            *text;
    size_t           n;
    acr_jwt_keys_t  *keys;

    n = strlen(jwk) + 256;
    text = malloc(n);
    snprintf(text, n, "{'keys':[{%s},{%s}]}", jwk, EC_KEY);

    keys = create();
    is_int(add_jwks(keys, text), ACR_OK, "%s", label);
    is_int(acr_jwt_keys_count(keys), want + 1, "its number of keys");
    is_int(ERR_peek_error(), 0, "no error left");

    acr_jwt_keys_free(keys);
    free(text);
}


/* RSA with a modulus of n bytes, after some zeros */

static void
rsa_is(size_t zeros, size_t n, int last, const char *e, unsigned want,
    const char *label)
{
    char           *text;
    unsigned char  *bytes, *base, *end;

    bytes = malloc(zeros + n);
    base = malloc(2 * (zeros + n) + 4);
    text = malloc(2 * (zeros + n) + 256);

    memset(bytes, 0, zeros);
    memset(bytes + zeros, 0xa5, n);
    bytes[zeros + n - 1] = (unsigned char) last;

    end = acr_jwt_base64_encode(base, bytes, zeros + n);
    snprintf(text, 2 * (zeros + n) + 256,
             "'kty':'RSA','e':'%s','n':'%.*s'", e, (int) (end - base), base);
    jwk_is(text, want, label);

    free(bytes);
    free(base);
    free(text);
}


#define EC(x, y)   "'kty':'EC','crv':'P-256','x':'" x "','y':'" y "'"
#define ED(x)      "'kty':'OKP','crv':'Ed25519','x':'" x "'"
#define ZEROS      "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


static void
jwks_is(const char *text, int want, const char *label)
{
    acr_jwt_keys_t  *keys;

    keys = create();
    is_int(add_jwks(keys, text), want, "%s", label);
    is_int(acr_jwt_keys_count(keys), 0, "nothing added");
    acr_jwt_keys_free(keys);
}


static void
test_jwks(void)
{
    char            *big;
    size_t           n;
    acr_jwt_keys_t  *keys;

    jwks_is("", ACR_INVALID, "nothing");
    jwks_is("[]", ACR_INVALID, "an array");
    jwks_is("{}", ACR_INVALID, "an object");
    jwks_is("{'keys':{}}", ACR_INVALID, "keys is an object");
    jwks_is("{'keys':null}", ACR_INVALID, "keys is null");
    jwks_is("{" EC_KEY "}", ACR_INVALID, "a key alone");
    jwks_is("{'keys':[{" EC_KEY "},1]}", ACR_INVALID, "a key that is none");
    jwks_is("{'keys':[{" EC_KEY "}],'keys':[]}", ACR_INVALID, "keys twice");
    jwks_is("{'keys':[{" EC_KEY ",'kty':'EC'}]}", ACR_INVALID, "kty twice");
    jwks_is("{'keys':[]}", ACR_OK, "an empty one");
    jwks_is("{'keys':[{}]}", ACR_OK, "an empty key");

    n = ACR_JWT_JWKS_MAX + 1;
    big = malloc(n);
    memset(big, ' ', n);
    memcpy(big, "{\"keys\":[]}", 11);
    keys = create();
    is_int(acr_jwt_keys_add_jwks(keys, (unsigned char *) big, n - 1), ACR_OK,
           "as long as can be");
    is_int(acr_jwt_keys_add_jwks(keys, (unsigned char *) big, n), ACR_INVALID,
           "too long");
    acr_jwt_keys_free(keys);
    free(big);

    jwk_is(RSA_KEY, 1, "RSA");
    jwk_is(ED_KEY, 1, "Ed25519");
    jwk_is(EC_KEY, 1, "P-256");
    jwk_is(EC_KEY ",'use':'sig'", 1, "to sign");
    jwk_is(EC_KEY ",'use':null,'alg':null,'kid':null", 1, "null");
    jwk_is(EC_KEY ",'use':'enc'", 0, "to encrypt");
    jwk_is(EC_KEY ",'use':1", 0, "a use that is none");
    jwk_is(EC_KEY ",'key_ops':['sign','verify']", 1, "to verify");
    jwk_is(EC_KEY ",'key_ops':['sign',1]", 0, "only to sign");
    jwk_is(EC_KEY ",'key_ops':'verify'", 0, "key_ops that are none");
    jwk_is(EC_KEY ",'alg':'ES256'", 1, "alg");
    jwk_is(EC_KEY ",'alg':'ES384'", 0, "alg of another curve");
    jwk_is(EC_KEY ",'alg':'ECDH-ES'", 0, "alg to encrypt");
    jwk_is(EC_KEY ",'alg':1", 0, "alg that is none");
    jwk_is(EC_KEY ",'kid':1", 0, "kid that is none");
    jwk_is(EC_KEY ",'kid':''", 1, "an empty kid");
    jwk_is(EC_KEY ",'x5c':['AAAA'],'other':{}", 1, "other members");
    jwk_is("'kty':'oct','k':'AAAA','alg':'HS256'", 0, "a shared secret");
    jwk_is("'kty':'EC','crv':'P-521','x':'AA','y':'AA'", 0, "P-521");
    jwk_is("'kty':'EC','crv':'Ed25519','x':'" ED_X "'", 0, "not EC");
    jwk_is("'kty':'OKP','crv':'X25519','x':'" ED_X "'", 0, "X25519");
    jwk_is("'kty':['EC'],'crv':'P-256'", 0, "kty that is none");
    jwk_is("'kty':'ec','crv':'P-256','x':'" EC_X "','y':'" EC_Y "'", 0,
           "kty in lower case");
    jwk_is("'kty':'RSA','n':'" RFC7515_N "'", 0, "RSA without e");
    jwk_is("'kty':'RSA','e':'AQAB'", 0, "RSA without n");
    jwk_is("'kty':'RSA','e':65537,'n':'" RFC7515_N "'", 0, "e is a number");

    /* points */

    jwk_is(EC(EC_Y, EC_X), 0, "off the curve");
    jwk_is(EC(EC_X, "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a4"), 0,
           "off the curve by a bit");
    jwk_is(EC(ZEROS, ZEROS), 0, "zeros");
    jwk_is(EC("", ""), 0, "empty");
    jwk_is(EC(EC_X, "AA"), 0, "a short y");
    jwk_is(EC("AA" EC_X, EC_Y), 0, "a long x");
    jwk_is(EC(EC_X "=", EC_Y), 0, "padding");
    jwk_is(EC(EC_X, "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a1"), 0,
           "stray bits");
    jwk_is("'kty':'EC','crv':'P-256','x':'" EC_X "'", 0, "no y");
    jwk_is("'kty':'EC','crv':'P-384','x':'" EC_X "','y':'" EC_Y "'", 0,
           "another curve");
    jwk_is(ED(ZEROS), 0, "Ed25519 of order 4");
    jwk_is(ED("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIA"), 0,
           "the other one of order 4");
    jwk_is(ED("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), 0, "neutral");
    jwk_is(ED("7P_______________________________________38"), 0, "order 2");
    jwk_is(ED("JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU"), 0, "order 8");
    jwk_is(ED("JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_IU"), 0,
           "order 8 with a sign");
    jwk_is(ED("xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o"), 0,
           "order 8 again");
    jwk_is(ED("7f_______________________________________38"), 0, "y is p");
    jwk_is(ED("__________________________________________8"), 0, "all ones");
    jwk_is(ED("AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), 0,
           "Ed25519 off the curve");
    jwk_is(ED("WGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY"), 1,
           "the base point");
    jwk_is(ED("AAAA"), 0, "a short one");

    /* RSA */

    rsa_is(0, 256, 0xa5, "AQAB", 1, "2048 bits");
    rsa_is(1, 256, 0xa5, "AQAB", 1, "2048 bits and a zero");
    rsa_is(0, 255, 0xa5, "AQAB", 0, "2040 bits");
    rsa_is(8, 255, 0xa5, "AQAB", 0, "2040 bits and zeros");
    rsa_is(0, 1024, 0xa5, "AQAB", 1, "8192 bits");
    rsa_is(1, 1024, 0xa5, "AQAB", 1, "8192 bits and a zero");
    rsa_is(0, 1025, 0xa5, "AQAB", 0, "8200 bits");
    rsa_is(0, 50000, 0xa5, "AQAB", 0, "400000 bits");
    rsa_is(0, 256, 0xa4, "AQAB", 0, "an even n");
    rsa_is(256, 1, 0, "AQAB", 0, "n is 0");
    rsa_is(0, 256, 0xa5, "Aw", 1, "e is 3");
    rsa_is(0, 256, 0xa5, "AQ", 0, "e is 1");
    rsa_is(0, 256, 0xa5, "AA", 0, "e is 0");
    rsa_is(0, 256, 0xa5, "", 0, "e is empty");
    rsa_is(0, 256, 0xa5, "AQAA", 0, "e is even");
    rsa_is(0, 256, 0xa5, "_____w", 1, "e of 32 bits");
    rsa_is(0, 256, 0xa5, "AQAAAAE", 0, "e of 33 bits");
    rsa_is(0, 256, 0xa5, "AQAAAAAB", 0, "a long e");
    rsa_is(0, 256, 0xa5, "AQAB=", 0, "padding");
    jwk_is("'kty':'RSA','e':'AQAB','n':'" RSA_SMALL_N "'", 0, "1024 bits");

    /* what a key says it is used for */

    keys = jwks("{'keys':[{" RSA_KEY ",'alg':'PS256'}]}");
    is_int(verify(keys, RFC7515_RS256), ACR_JWT_ALGORITHM, "RS256 with PS256");
    acr_jwt_keys_free(printed(keys, "RSA", NULL, "PS256"));
    acr_jwt_keys_free(keys);

    /* a private one loses what is secret */

    keys = jwks("{'keys':[{" ED_KEY ",'d':'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcD"
                "usAxyuf2A'}]}");
    ok(!acr_jwt_keys_can_sign(keys), "only public");
    acr_jwt_keys_free(printed(keys, "OKP", "Ed25519", "EdDSA"));
    acr_jwt_keys_free(keys);
}


static int
in_time(const char *claims, int64_t now, int64_t skew)
{
    int      rc;
    json_t  *json;

    json = object(claims);
    rc = acr_jwt_in_time(json, now, skew);
    json_decref(json);

    return rc;
}


static void
test_times(void)
{
    size_t  i;

    static const char  *refused[] = {
        "{}", "{'exp':null}", "{'exp':'2000'}", "{'exp':true}",
        "{'exp':[2000]}", "{'exp':{}}", "{'exp':-1}", "{'exp':-2000}",
        "{'exp':0}", "{'exp':1000}", "{'exp':999.5}", "{'exp':1000.0}",
        "{'exp':9007199254740993}", "{'exp':1152921504606846976}",
        "{'exp':9223372036854775807}", "{'exp':-9223372036854775808}",
        "{'exp':1e300}", "{'exp':1e16}", "{'exp':-1e300}",
        "{'exp':2000,'nbf':1001}", "{'exp':2000,'nbf':'0'}",
        "{'exp':2000,'nbf':null}", "{'exp':2000,'nbf':1000.5}",
        "{'exp':2000,'nbf':1152921504606846976}",
        "{'exp':2000,'nbf':-1152921504606846976}",
        "{'exp':2000,'iat':'0'}", "{'exp':2000,'iat':null}",
        "{'exp':2000,'iat':1e300}", "{'nbf':1,'iat':1}"
    };

    static const char  *taken[] = {
        "{'exp':1001}", "{'exp':1000.5}", "{'exp':9007199254740992}",
        "{'exp':2e3}", "{'exp':1001,'nbf':1000}", "{'exp':1001,'nbf':999.5}",
        "{'exp':1001,'nbf':-5}", "{'exp':1001,'nbf':-9007199254740992}",
        "{'exp':1001,'iat':2000}", "{'exp':1001,'iat':0.25}"
    };

    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        ok(!in_time(refused[i], 1000, 0), "not at 1000: %s", refused[i]);
    }

    for (i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        ok(in_time(taken[i], 1000, 0), "at 1000: %s", taken[i]);
    }

    ok(in_time("{'exp':1000}", 1059, 60), "59 s late");
    ok(!in_time("{'exp':1000}", 1060, 60), "60 s late");
    ok(in_time("{'exp':2000,'nbf':1000}", 940, 60), "60 s early");
    ok(!in_time("{'exp':2000,'nbf':1000}", 939, 60), "61 s early");
    ok(in_time("{'exp':1000.5}", 1060, 60), "59.5 s late");
    ok(!in_time("{'exp':1000.5}", 1061, 60), "60.5 s late");
    ok(in_time("{'exp':2000,'nbf':1000.5}", 941, 60), "59.5 s early");
    ok(!in_time("{'exp':2000,'nbf':1000.5}", 940, 60), "60.5 s early");
    ok(!in_time("{'exp':1000}", 1000, -60), "no negative skew");
    ok(in_time("{'exp':1000}", 999, -60), "no negative skew before");
    ok(in_time("{'exp':9007199254740992,'nbf':-9007199254740992}", 0,
               INT64_MAX), "the longest skew");
    ok(!in_time("{'exp':9007199254740992}", INT64_MAX, INT64_MAX), "the end");
    ok(!in_time("{'exp':2000,'nbf':0}", INT64_MIN, INT64_MAX), "the start");
    ok(!acr_jwt_in_time(NULL, 0, 0), "no claims");
}


static int
audience(const char *claims, const char *text)
{
    int      rc;
    json_t  *json;

    json = object(claims);
    rc = acr_jwt_audience(json, text);
    json_decref(json);

    return rc;
}


static void
test_audience(void)
{
    json_t  *json;

    ok(audience("{'aud':'a'}", "a"), "a string");
    ok(!audience("{'aud':'a'}", "b"), "another");
    ok(!audience("{'aud':'a'}", "ab"), "a longer one");
    ok(!audience("{'aud':'ab'}", "a"), "a shorter one");
    ok(!audience("{'aud':'A'}", "a"), "another case");
    ok(audience("{'aud':['b','a']}", "a"), "an array");
    ok(!audience("{'aud':['b','c']}", "a"), "an array without");
    ok(!audience("{'aud':[]}", "a"), "an empty array");
    ok(!audience("{'aud':[['a']]}", "a"), "an array in an array");
    ok(audience("{'aud':[1,null,'a']}", "a"), "an array of others");
    ok(!audience("{'aud':{'a':'a'}}", "a"), "an object");
    ok(!audience("{'aud':null}", "a"), "null");
    ok(!audience("{'aud':1}", "1"), "a number");
    ok(!audience("{}", "a"), "none");
    ok(!audience("{}", ""), "none, and none wanted");
    ok(!acr_jwt_audience(NULL, "a"), "no claims");

    json = json_pack("{s:s%}", "aud", "a\0b", 3);
    ok(!acr_jwt_audience(json, "a"), "a zero byte");
    json_decref(json);
}


static void
test_sign(void)
{
    char            *token, *text;
    json_t          *claims;
    acr_jwt_keys_t  *keys;

    keys = create();
    claims = json_object();
    ok(acr_jwt_sign(keys, claims) == NULL, "nothing signs");
    is_int(add_pem(keys, P256_PUBLIC), ACR_OK, "a public key");
    is_int(add_pem(keys, P256_PEM), ACR_OK, "before a private one");
    ok(acr_jwt_sign(keys, claims) == NULL, "does not sign");
    acr_jwt_keys_free(keys);

    keys = pem(P256_PEM);
    ok(acr_jwt_sign(keys, NULL) == NULL, "no claims");

    text = malloc(2 * ACR_JWT_MAX);
    memset(text, 'a', 2 * ACR_JWT_MAX);
    json_object_set_new(claims, "a", json_stringn(text, 12000));
    token = acr_jwt_sign(keys, claims);
    ok(token && verify(keys, token) == ACR_JWT_OK, "long claims");
    free(token);
    json_object_set_new(claims, "a", json_stringn(text, 13000));
    ok(acr_jwt_sign(keys, claims) == NULL, "too long claims");
    json_object_set_new(claims, "a", json_stringn(text, 2 * ACR_JWT_MAX));
    ok(acr_jwt_sign(keys, claims) == NULL, "far too long claims");
    free(text);

    json_decref(claims);

    claims = json_array();
    ok(acr_jwt_sign(keys, claims) == NULL, "claims that are none");
    json_decref(claims);

    acr_jwt_keys_free(keys);
}


static void
test_errors(void)
{
    acr_jwt_e  e;

    for (e = ACR_JWT_OK; e <= ACR_JWT_SIGNATURE; e++) {
        ok(strcmp(acr_jwt_error(e), "unknown") != 0, "%s", acr_jwt_error(e));
    }
}


/*
 * Each allocation of jansson and OpenSSL fails once.  What is the answer then
 * is up to them; but nothing may leak, and no key or token be taken for a good
 * one that is not.
 */

static void
memory(const char *text)
{
    int              rc, wrong;
    long             i, last;
    char            *token, *printed_text, *again;
    json_t          *claims, *got;
    acr_jwt_e        e;
    acr_jwt_keys_t  *keys, *good;

    good = pem(text);
    claims = object("{'a':'b'}");
    token = acr_jwt_sign(good, claims);
    printed_text = acr_jwt_keys_print(good);
    wrong = 0;
    last = 0;

    /* most are those of OpenSSL's decoders */

    for (i = 0; i < 20000; i += i < 100 ? 1 : 17) {
        keys = create();
        allocations_left = i;
        rc = acr_jwt_keys_add_pem(keys, (const unsigned char *) text,
                                  strlen(text));
        last = allocations_left;
        allocations_left = -1;
        wrong += acr_jwt_keys_count(keys) != (rc == ACR_OK);
        acr_jwt_keys_free(keys);

        if (last > 0) {
            break;
        }
    }

    ok(last > 0, "%ld allocations of PEM", i);

    for (i = 0; i < 20000; i++) {
        keys = create();
        allocations_left = i;
        rc = acr_jwt_keys_add_jwks(keys, (unsigned char *) printed_text,
                                   strlen(printed_text));
        last = allocations_left;
        allocations_left = -1;
        wrong += acr_jwt_keys_count(keys) > (rc == ACR_OK);
        acr_jwt_keys_free(keys);

        if (last > 0) {
            break;
        }
    }

    ok(last > 0, "%ld of JWK", i);

    for (i = 0; i < 20000; i++) {
        allocations_left = i;
        e = acr_jwt_verify(good, (unsigned char *) token, strlen(token), &got);
        last = allocations_left;
        allocations_left = -1;
        wrong += (got != NULL) != (e == ACR_JWT_OK);
        json_decref(got);

        if (last > 0) {
            break;
        }
    }

    ok(last > 0 && e == ACR_JWT_OK, "%ld of verifying", i);

    for (i = 0; i < 20000; i++) {
        allocations_left = i;
        again = acr_jwt_sign(good, claims);
        last = allocations_left;
        allocations_left = -1;
        wrong += again && verify(good, again) != ACR_JWT_OK;
        free(again);

        if (last > 0) {
            break;
        }
    }

    ok(last > 0, "%ld of signing", i);

    for (i = 0; i < 20000; i++) {
        allocations_left = i;
        again = acr_jwt_keys_print(good);
        last = allocations_left;
        allocations_left = -1;
        wrong += again && strcmp(again, printed_text) != 0;
        free(again);

        if (last > 0) {
            break;
        }
    }

    ok(last > 0, "%ld of printing", i);
    is_int(wrong, 0, "nothing half done");
    is_int(ERR_peek_error(), 0, "no error left");

    free(token);
    free(printed_text);
    json_decref(claims);
    acr_jwt_keys_free(good);
}


/* what acr_jwt_issuer() says, with room for size bytes */

static acr_jwt_e
issuer(const char *payload, size_t size, const char *want)
{
    char           *token;
    size_t          len;
    acr_jwt_e       e;
    unsigned char  *buf, *copy;

    token = craft_raw(NULL, NULL, "x", 1, quoted(payload, strlen(payload)),
                      strlen(payload));
    copy = tap_copy(token, strlen(token));
    buf = tap_copy("0123456789", size);
    len = size;

    e = acr_jwt_issuer(copy, strlen(token), buf, &len);

    if (e == ACR_JWT_OK) {
        ok(len == strlen(want) && memcmp(buf, want, len) == 0, "%s", want);
    }

    free(token);

    return e;
}


static void
test_issuer(void)
{
    int             i;
    size_t          len;
    unsigned char   buf[10];

    static const char  *none[] = {
        "{}", "{'iss':null}", "{'iss':1}", "{'iss':['abc']}", "'abc'", "[]",
        "", "{'iss':'abc'", "{'iss':'a','iss':'b'}", "{'iss':'a\\u0000b'}",
        "{'a':{'iss':'abc'}}", "{'iss':'abc'}{'iss':'abc'}"
    };

    static const char  *forms[] = { "", ".", "..", "a.b", "x.e30.", "..AA.",
                                    "e30.eyJpc3MiOiJhIn0",
                                    "e30.eyJpc3MiOiJhIn0.x.",
                                    "e30.eyJpc3MiOiJhIn0=.AA" };

    is_int(issuer("{'iss':'abc'}", 10, "abc"), ACR_JWT_OK, "an issuer");
    is_int(issuer("{'iss':'abc'}", 3, "abc"), ACR_JWT_OK, "that just fits");
    is_int(issuer("{'iss':'abc'}", 2, NULL), ACR_JWT_MALFORMED, "or not");
    is_int(issuer("{'iss':''}", 0, ""), ACR_JWT_OK, "an empty one");

    for (i = 0; i < (int) (sizeof(none) / sizeof(none[0])); i++) {
        is_int(issuer(none[i], 10, NULL), ACR_JWT_MALFORMED, "no issuer %d",
               i);
    }

    for (i = 0; i < (int) (sizeof(forms) / sizeof(forms[0])); i++) {
        len = sizeof(buf);
        is_int(acr_jwt_issuer(tap_copy(forms[i], strlen(forms[i])),
                              strlen(forms[i]), buf, &len),
               ACR_JWT_MALFORMED, "no token %d", i);
    }

    len = sizeof(buf);
    is_int(acr_jwt_issuer(tap_copy(forms[0], 0), ACR_JWT_MAX + 1, buf, &len),
           ACR_JWT_MALFORMED, "a long one is not looked at");
}


int
main(void)
{
    if (!CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free))
    {
        printf("Bail out! OpenSSL keeps its own malloc()\n");
        return 2;
    }

    test_base64();

    /* {"alg":"ES256","kid":"a"}, {"alg":"ES256"}, {"kid":1} and no JSON */

    ok(acr_jwt_has_kid(LIT("eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.e30.AA")),
       "a token that names its key");
    ok(!acr_jwt_has_kid(LIT("eyJhbGciOiJFUzI1NiJ9.e30.AA")),
       "one that does not");
    ok(!acr_jwt_has_kid(LIT("eyJraWQiOjF9.e30.AA")), "a name that is none");
    ok(!acr_jwt_has_kid(LIT("e30")) && !acr_jwt_has_kid(LIT("AA.AA.AA")),
       "what is no token");

    round_trip(RSA_PEM, RSA_PUBLIC, RSA_OLD, "RSA", NULL, "RS256", 0);
    round_trip(P256_PEM, P256_PUBLIC, P256_OLD, "EC", "P-256", "ES256", 1);
    round_trip(P384_PEM, P384_PUBLIC, P256_PEM, "EC", "P-384", "ES384", 1);
    round_trip(ED25519_PEM, ED25519_PUBLIC, RSA_PEM, "OKP", "Ed25519",
               "EdDSA", 1);

    test_vectors();
    test_algorithms();
    test_signatures();
    test_form();
    test_kid();
    test_pem();
    test_jwks();
    test_times();
    test_audience();
    test_issuer();
    test_sign();
    test_errors();

    json_set_alloc_funcs(json_malloc, free);
    memory(ED25519_PEM);
    memory(P256_PEM);
    memory(RSA_PEM);
    json_set_alloc_funcs(malloc, free);

    return done();
}
