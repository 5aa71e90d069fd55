
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "acr_jwt_core.h"
#include "acr_signed.h"


#define ACR_SIGNED_MAC     32

#define ACR_SIGNED_METHOD  "GET "
#define ACR_SIGNED_WHAT    "acr data key id"


/*
 * The context has its key and nothing else, and is never used up: to look HMAC
 * up and to set a key costs several times what a signature does.
 */

typedef struct {
    EVP_MAC_CTX    *mac;
    unsigned char   id[ACR_SIGNED_ID];
} acr_signed_key_t;

struct acr_signed_keys_s {
    acr_signed_key_t  keys[ACR_SIGNED_KEYS_MAX];
    unsigned          n;
};


acr_signed_keys_t *
acr_signed_keys_create(void)
{
    return calloc(1, sizeof(acr_signed_keys_t));
}


void
acr_signed_keys_free(acr_signed_keys_t *keys)
{
    unsigned  i;

    if (keys == NULL) {
        return;
    }

    for (i = 0; i < keys->n; i++) {
        EVP_MAC_CTX_free(keys->keys[i].mac);
    }

    free(keys);
}


/* the HMAC of a text; mac has room for ACR_SIGNED_MAC */

static int
acr_signed_mac(EVP_MAC_CTX *key, const void *p, size_t n, unsigned char *mac)
{
    int           rc;
    size_t        len;
    EVP_MAC_CTX  *ctx;

    ctx = EVP_MAC_CTX_dup(key);

    rc = ctx && EVP_MAC_update(ctx, p, n)
         && EVP_MAC_final(ctx, mac, &len, ACR_SIGNED_MAC)
         && len == ACR_SIGNED_MAC;

    EVP_MAC_CTX_free(ctx);

    return rc ? ACR_OK : acr_jwt_failed(ACR_NOMEM);
}


/* NULL: no memory */

static EVP_MAC_CTX *
acr_signed_key(const unsigned char *p, size_t n)
{
    int           rc;
    char          md[] = "SHA256";
    EVP_MAC      *hmac;
    OSSL_PARAM    params[2];
    EVP_MAC_CTX  *ctx;

    hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    ctx = hmac ? EVP_MAC_CTX_new(hmac) : NULL;

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, md, 0);
    params[1] = OSSL_PARAM_construct_end();

    rc = ctx && EVP_MAC_init(ctx, p, n, params);

    EVP_MAC_free(hmac);

    if (!rc) {
        EVP_MAC_CTX_free(ctx);
        (void) acr_jwt_failed(ACR_NOMEM);
        return NULL;
    }

    return ctx;
}


/* the key of an id, or NULL; an id is no secret */

static const acr_signed_key_t *
acr_signed_find(const acr_signed_keys_t *keys, const unsigned char *id)
{
    unsigned  i;

    for (i = 0; i < keys->n; i++) {
        if (memcmp(keys->keys[i].id, id, ACR_SIGNED_ID) == 0) {
            return &keys->keys[i];
        }
    }

    return NULL;
}


int
acr_signed_keys_add(acr_signed_keys_t *keys, const unsigned char *p, size_t n)
{
    size_t                      i;
    acr_signed_key_t           *key;
    unsigned char               mac[ACR_SIGNED_MAC];
    static const unsigned char  hex[] = "0123456789abcdef";

    if (n && p[n - 1] == '\n') {
        n--;

        if (n && p[n - 1] == '\r') {
            n--;
        }
    }

    if (n < ACR_SIGNED_SECRET_MIN || n > ACR_SIGNED_SECRET_MAX) {
        return ACR_INVALID;
    }

    for (i = 0; i < n; i++) {
        if (p[i] < 0x20 || p[i] > 0x7e) {
            return ACR_INVALID;
        }
    }

    if (keys->n == ACR_SIGNED_KEYS_MAX) {
        return ACR_UNSUPPORTED;
    }

    key = &keys->keys[keys->n];
    key->mac = acr_signed_key(p, n);

    if (key->mac == NULL) {
        return ACR_NOMEM;
    }

    if (acr_signed_mac(key->mac, ACR_SIGNED_WHAT, sizeof(ACR_SIGNED_WHAT) - 1,
                       mac)
        != ACR_OK)
    {
        EVP_MAC_CTX_free(key->mac);
        return ACR_NOMEM;
    }

    for (i = 0; i < ACR_SIGNED_ID / 2; i++) {
        key->id[2 * i] = hex[mac[i] >> 4];
        key->id[2 * i + 1] = hex[mac[i] & 0x0f];
    }

    if (acr_signed_find(keys, key->id)) {
        EVP_MAC_CTX_free(key->mac);
        return ACR_UNSUPPORTED;
    }

    keys->n++;

    return ACR_OK;
}


int64_t
acr_signed_expires(const acr_digest_t *digest, int64_t now, int64_t lifetime)
{
    size_t   i;
    int64_t  step, shift;

    step = lifetime / 2;
    shift = 0;

    for (i = 0; i < 8; i++) {
        shift = (shift << 4) + (digest->hex[i] & 0x0f)
                + (digest->hex[i] > '9' ? 9 : 0);
    }

    shift %= step;

    return ((now + shift) / step + 2) * step - shift;
}


/* the end of the digits, or NULL: there are none for it */

static unsigned char *
acr_signed_number(unsigned char *p, int64_t value)
{
    size_t         n;
    unsigned char  digits[ACR_SIGNED_DIGITS];

    if (value <= 0) {
        return NULL;
    }

    n = 0;

    while (value) {

        if (n == ACR_SIGNED_DIGITS) {
            return NULL;
        }

        digits[n++] = (unsigned char) ('0' + value % 10);
        value /= 10;
    }

    while (n) {
        *p++ = digits[--n];
    }

    return p;
}


static unsigned char *
acr_signed_copy(unsigned char *p, const void *text, size_t n)
{
    memcpy(p, text, n);

    return p + n;
}


#define acr_signed_literal(p, s)  acr_signed_copy(p, s, sizeof(s) - 1)


/* the signature itself; mac has room for ACR_SIGNED_MAC */

static int
acr_signed_sign(const acr_signed_key_t *key, const acr_digest_t *digest,
    int64_t expires, unsigned char *mac)
{
    unsigned char  *p;
    unsigned char   text[sizeof(ACR_SIGNED_METHOD " ") + ACR_DIGEST_MAX
                         + ACR_SIGNED_DIGITS];

    p = acr_signed_literal(text, ACR_SIGNED_METHOD);
    p += acr_digest_print(p, digest);
    *p++ = ' ';
    p = acr_signed_number(p, expires);

    if (p == NULL) {
        return ACR_INVALID;
    }

    return acr_signed_mac(key->mac, text, (size_t) (p - text), mac);
}


int
acr_signed_print(const acr_signed_keys_t *keys, const acr_digest_t *digest,
    int64_t expires, unsigned char *buf, size_t *len)
{
    int                      rc;
    unsigned char           *p;
    const acr_signed_key_t  *key;
    unsigned char            mac[ACR_SIGNED_MAC];

    if (keys->n == 0) {
        return ACR_INVALID;
    }

    key = &keys->keys[0];

    rc = acr_signed_sign(key, digest, expires, mac);

    if (rc != ACR_OK) {
        return rc;
    }

    p = acr_signed_copy(buf, digest->alg->name, digest->alg->name_len);
    *p++ = '/';
    p = acr_signed_copy(p, digest->hex, digest->alg->hex_len);
    p = acr_signed_literal(p, "?expires=");
    p = acr_signed_number(p, expires);
    p = acr_signed_literal(p, "&key=");
    p = acr_signed_copy(p, key->id, ACR_SIGNED_ID);
    p = acr_signed_literal(p, "&sig=");
    p = acr_jwt_base64_encode(p, mac, ACR_SIGNED_MAC);

    *len = (size_t) (p - buf);

    return ACR_OK;
}


/* takes s off the text, or does not */

static int
acr_signed_skip(acr_text_t *text, const char *s)
{
    size_t  n;

    n = strlen(s);

    if (text->len < n || memcmp(text->data, s, n) != 0) {
        return ACR_INVALID;
    }

    text->data += n;
    text->len -= n;

    return ACR_OK;
}


/* "<alg>/<hex>" */

static int
acr_signed_path(const acr_text_t *path, acr_digest_t *digest)
{
    size_t         i;
    unsigned char  text[ACR_DIGEST_MAX];

    if (path->len > ACR_DIGEST_MAX) {
        return ACR_INVALID;
    }

    for (i = 0; i < path->len; i++) {

        /* a digest has one colon, which is a slash here */

        text[i] = path->data[i] == '/' ? ':'
                  : path->data[i] == ':' ? '/' : path->data[i];
    }

    return acr_digest_parse(digest, text, path->len) == ACR_OK ? ACR_OK
                                                               : ACR_INVALID;
}


/* takes the seconds off the text */

static int
acr_signed_seconds(acr_text_t *text, int64_t *seconds)
{
    size_t         n;
    unsigned char  c;

    *seconds = 0;

    for (n = 0; n < text->len; n++) {
        c = text->data[n];

        if (c < '0' || c > '9') {
            break;
        }

        if (n == ACR_SIGNED_DIGITS || (n == 0 && c == '0')) {
            return ACR_INVALID;
        }

        *seconds = *seconds * 10 + (c - '0');
    }

    text->data += n;
    text->len -= n;

    return n ? ACR_OK : ACR_INVALID;
}


int
acr_signed_verify(const acr_signed_keys_t *keys, const acr_text_t *path,
    const acr_text_t *args, int64_t now, acr_digest_t *digest,
    int64_t *expires)
{
    int                      rc;
    size_t                   len;
    acr_text_t               rest;
    const acr_signed_key_t  *key;
    unsigned char            mac[ACR_SIGNED_MAC];
    unsigned char            sig[acr_jwt_base64_decoded(ACR_SIGNED_SIG)];

    rest = *args;

    if (acr_signed_path(path, digest) != ACR_OK
        || acr_signed_skip(&rest, "expires=") != ACR_OK
        || acr_signed_seconds(&rest, expires) != ACR_OK
        || acr_signed_skip(&rest, "&key=") != ACR_OK
        || rest.len < ACR_SIGNED_ID)
    {
        return ACR_INVALID;
    }

    key = acr_signed_find(keys, rest.data);

    rest.data += ACR_SIGNED_ID;
    rest.len -= ACR_SIGNED_ID;

    if (key == NULL
        || acr_signed_skip(&rest, "&sig=") != ACR_OK
        || rest.len != ACR_SIGNED_SIG
        || acr_jwt_base64_decode(sig, &len, rest.data, rest.len) != ACR_OK
        || len != ACR_SIGNED_MAC)
    {
        return ACR_INVALID;
    }

    rc = acr_signed_sign(key, digest, *expires, mac);

    if (rc != ACR_OK) {
        return rc;
    }

    if (CRYPTO_memcmp(mac, sig, ACR_SIGNED_MAC) != 0) {
        return ACR_INVALID;
    }

    return now < *expires ? ACR_OK : ACR_DONE;
}


/* what may stand in a URL as it is, without what ends its path */

static int
acr_signed_base_char(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c >= '0' && c <= '9')
           || (c && strchr("-._~/:[]%!$&'()*+,;=", c) != NULL);
}


int
acr_signed_base(acr_text_t *base)
{
    size_t      i;
    acr_text_t  host;

    while (base->len && base->data[base->len - 1] == '/') {
        base->len--;
    }

    host = *base;

    if (acr_text_begins(&host, "http://")) {
        i = sizeof("http://") - 1;

    } else if (acr_text_begins(&host, "https://")) {
        i = sizeof("https://") - 1;

    } else {
        return ACR_INVALID;
    }

    host.data += i;
    host.len -= i;

    if (host.len == 0 || host.data[0] == '/' || host.data[0] == ':') {
        return ACR_INVALID;
    }

    for (i = 0; i < host.len; i++) {
        if (!acr_signed_base_char(host.data[i])) {
            return ACR_INVALID;
        }
    }

    return ACR_OK;
}
