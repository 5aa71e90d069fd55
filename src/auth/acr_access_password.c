
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "acr_access_core.h"


#define ACR_ACCESS_RANDOM_LEN      32      /* of a password */
#define ACR_ACCESS_ITERATIONS_MAX  100000

#define ACR_ACCESS_SALT_TEXT       24      /* in base64 */
#define ACR_ACCESS_KEY_TEXT        44

#define ACR_ACCESS_HASH            "pbkdf2-sha256$"


/* what a name without a password is hashed against; nothing matches it */

static const acr_access_secret_t  acr_access_dummy = {
    NULL, ACR_ACCESS_NEVER, ACR_ACCESS_ITERATIONS, { 0 }, { 0 }
};


static int
acr_access_derive(const void *password, size_t n,
    const acr_access_secret_t *secret, unsigned char *key)
{
    return PKCS5_PBKDF2_HMAC(password, (int) n, secret->salt,
                             ACR_ACCESS_SALT_LEN, (int) secret->iterations,
                             EVP_sha256(), ACR_ACCESS_KEY_LEN, key)
           == 1;
}


/* base32 of RFC 4648 without its padding */

static void
acr_access_base32(char *out, const unsigned char *p, size_t n)
{
    size_t    i;
    unsigned  bits, nbits;

    static const char  alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

    bits = 0;
    nbits = 0;

    for (i = 0; i < n; i++) {
        bits = (bits << 8 | p[i]) & 0xfff;
        nbits += 8;

        while (nbits >= 5) {
            nbits -= 5;
            *out++ = alphabet[(bits >> nbits) & 0x1f];
        }
    }

    if (nbits) {
        *out++ = alphabet[(bits << (5 - nbits)) & 0x1f];
    }

    *out = '\0';
}


int
acr_access_password_make(char password[ACR_ACCESS_PASSWORD_LEN + 1],
    char hash[ACR_ACCESS_HASH_MAX])
{
    int                  rc;
    unsigned char        random[ACR_ACCESS_RANDOM_LEN];
    unsigned char        salt[ACR_ACCESS_SALT_TEXT + 1];
    unsigned char        key[ACR_ACCESS_KEY_TEXT + 1];
    acr_access_secret_t  secret;

    memset(&secret, 0, sizeof(acr_access_secret_t));
    secret.iterations = ACR_ACCESS_ITERATIONS;

    rc = RAND_bytes(random, sizeof(random)) == 1
         && RAND_bytes(secret.salt, sizeof(secret.salt)) == 1;

    if (rc) {
        acr_access_base32(password, random, sizeof(random));

        rc = acr_access_derive(password, ACR_ACCESS_PASSWORD_LEN, &secret,
                               secret.key);
    }

    if (rc) {
        EVP_EncodeBlock(salt, secret.salt, sizeof(secret.salt));
        EVP_EncodeBlock(key, secret.key, sizeof(secret.key));

        snprintf(hash, ACR_ACCESS_HASH_MAX, ACR_ACCESS_HASH "%u$%s$%s",
                 secret.iterations, (char *) salt, (char *) key);
    }

    OPENSSL_cleanse(random, sizeof(random));
    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(&secret, sizeof(acr_access_secret_t));

    return rc;
}


int
acr_access_password_id(char id[ACR_ACCESS_ID_LEN + 1])
{
    size_t         i;
    unsigned char  random[ACR_ACCESS_ID_LEN / 2];

    static const char  hex[] = "0123456789abcdef";

    if (RAND_bytes(random, sizeof(random)) != 1) {
        return 0;
    }

    for (i = 0; i < sizeof(random); i++) {
        id[2 * i] = hex[random[i] >> 4];
        id[2 * i + 1] = hex[random[i] & 0xf];
    }

    id[ACR_ACCESS_ID_LEN] = '\0';

    return 1;
}


/*
 * OpenSSL's decoder forgives spaces, gives the bytes of padding too, and does
 * not mind what the last bits are; so what it made is encoded again.
 */

static int
acr_access_decode(unsigned char *out, size_t n, const unsigned char *p,
    size_t len)
{
    unsigned char  again[ACR_ACCESS_KEY_TEXT + 1];
    unsigned char  decoded[ACR_ACCESS_KEY_TEXT];

    if (EVP_DecodeBlock(decoded, p, (int) len) < (int) n) {
        return 0;
    }

    EVP_EncodeBlock(again, decoded, (int) n);

    if (memcmp(again, p, len) != 0) {
        return 0;
    }

    memcpy(out, decoded, n);

    return 1;
}


int
acr_access_password_parse(acr_access_secret_t *secret, const acr_text_t *hash)
{
    size_t                n, head;
    unsigned              iterations;
    const unsigned char  *p;

    head = sizeof(ACR_ACCESS_HASH) - 1;

    if (hash->len < head || memcmp(hash->data, ACR_ACCESS_HASH, head) != 0) {
        return 0;
    }

    p = hash->data + head;
    n = hash->len - head;
    iterations = 0;

    while (n && *p >= '0' && *p <= '9') {
        iterations = iterations * 10 + (unsigned) (*p - '0');

        if (iterations == 0 || iterations > ACR_ACCESS_ITERATIONS_MAX) {
            return 0;
        }

        p++;
        n--;
    }

    if (iterations < ACR_ACCESS_ITERATIONS
        || n != 1 + ACR_ACCESS_SALT_TEXT + 1 + ACR_ACCESS_KEY_TEXT
        || p[0] != '$' || p[1 + ACR_ACCESS_SALT_TEXT] != '$')
    {
        return 0;
    }

    secret->iterations = iterations;
    p++;

    if (!acr_access_decode(secret->salt, ACR_ACCESS_SALT_LEN, p,
                           ACR_ACCESS_SALT_TEXT))
    {
        return 0;
    }

    p += ACR_ACCESS_SALT_TEXT + 1;

    return acr_access_decode(secret->key, ACR_ACCESS_KEY_LEN, p,
                             ACR_ACCESS_KEY_TEXT);
}


int
acr_access_password_index(const acr_text_t *name, int admin)
{
    size_t                i;
    const unsigned char  *p;

    static const char  password[] = "password";

    i = sizeof(password) - 1;
    p = name->data;

    if (name->len < i || memcmp(p, password, i) != 0) {
        return -1;
    }

    if (name->len == i) {
        return admin ? 0 : -1;
    }

    if (name->len > i + 1) {
        return -1;
    }

    return p[i] == '2' ? 1 : p[i] == '1' && !admin ? 0 : -1;
}


int
acr_access_password(const acr_access_t *access, const acr_text_t *name,
    const acr_text_t *password, int64_t now, acr_principal_t *principal)
{
    int                         failed, same;
    unsigned                    i;
    acr_text_t                  admin;
    const char                 *id;
    unsigned char               key[ACR_ACCESS_KEY_LEN];
    const acr_access_token_t   *owner;
    const acr_access_secret_t  *secret;

    /* no password that was made here, whoever has it: worth no hash */

    if (password->len != ACR_ACCESS_PASSWORD_LEN) {
        return ACR_INVALID;
    }

    admin.data = (const unsigned char *) ACR_ACCESS_ADMIN;
    admin.len = sizeof(ACR_ACCESS_ADMIN) - 1;

    owner = acr_access_compare(name, &admin) == 0
            ? &access->admin
            : acr_access_find(access->tokens, access->ntokens,
                              sizeof(acr_access_token_t), name);

    /* always two hashes, whether there are as many passwords or not */

    id = NULL;
    failed = 0;
    memset(key, 0, sizeof(key));

    for (i = 0; i < ACR_ACCESS_PASSWORDS; i++) {
        secret = &acr_access_dummy;

        if (owner && owner->secrets[i].id) {
            secret = &owner->secrets[i];
        }

        failed |= !acr_access_derive(password->data, password->len, secret,
                                     key);

        same = CRYPTO_memcmp(key, secret->key, ACR_ACCESS_KEY_LEN) == 0;

        if (same && secret->expiry > now) {
            id = secret->id;
        }
    }

    OPENSSL_cleanse(key, sizeof(key));

    if (failed) {
        return ACR_NOMEM;
    }

    if (id == NULL || !owner->enabled) {
        return ACR_INVALID;
    }

    memset(principal, 0, sizeof(acr_principal_t));

    principal->kind = owner == &access->admin ? ACR_PRINCIPAL_ADMIN
                                              : ACR_PRINCIPAL_TOKEN;
    principal->name = owner->name;
    principal->password = id;

    return ACR_OK;
}
