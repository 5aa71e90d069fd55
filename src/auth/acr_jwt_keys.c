
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "acr_jwt_core.h"


acr_jwt_keys_t *
acr_jwt_keys_create(void)
{
    return calloc(1, sizeof(acr_jwt_keys_t));
}


void
acr_jwt_keys_cut(acr_jwt_keys_t *keys, unsigned n)
{
    acr_jwt_key_t  *key;

    while (keys->n > n) {
        key = &keys->keys[--keys->n];

        EVP_PKEY_free(key->pkey);
        free(key->kid);
    }
}


void
acr_jwt_keys_free(acr_jwt_keys_t *keys)
{
    if (keys) {
        acr_jwt_keys_cut(keys, 0);
        free(keys);
    }
}


unsigned
acr_jwt_keys_count(const acr_jwt_keys_t *keys)
{
    return keys->n;
}


int
acr_jwt_keys_can_sign(const acr_jwt_keys_t *keys)
{
    return keys->n && keys->keys[0].secret;
}


int
acr_jwt_keys_secret(const acr_jwt_keys_t *keys, const char *what,
    unsigned char *secret)
{
    int             n;
    unsigned char  *der, *mac;

    if (!acr_jwt_keys_can_sign(keys)) {
        return ACR_INVALID;
    }

    der = NULL;
    n = i2d_PrivateKey(keys->keys[0].pkey, &der);

    if (n <= 0) {
        return acr_jwt_failed(ACR_INVALID);
    }

    mac = HMAC(EVP_sha256(), der, n, (const unsigned char *) what,
               strlen(what), secret, NULL);

    OPENSSL_clear_free(der, (size_t) n);

    return mac ? ACR_OK : acr_jwt_failed(ACR_NOMEM);
}


static json_t *
acr_jwt_json_base64(const unsigned char *p, size_t n)
{
    unsigned char  buf[acr_jwt_base64_len(ACR_JWT_BYTES_MAX)], *end;

    end = acr_jwt_base64_encode(buf, p, n);

    return json_stringn((char *) buf, (size_t) (end - buf));
}


/* a number of the key; size: its length, or 0: as short as can be */

static json_t *
acr_jwt_json_number(const EVP_PKEY *pkey, const char *name, size_t size)
{
    int            n;
    BIGNUM        *bn;
    unsigned char  buf[ACR_JWT_BYTES_MAX];

    bn = NULL;

    if (!EVP_PKEY_get_bn_param(pkey, name, &bn)) {
        return NULL;
    }

    n = size ? (int) size : BN_num_bytes(bn);

    if (n > (int) sizeof(buf)) {
        n = -1;

    } else {
        n = BN_bn2binpad(bn, buf, n);
    }

    BN_free(bn);

    return n < 0 ? NULL : acr_jwt_json_base64(buf, (size_t) n);
}


static json_t *
acr_jwt_json_raw(const EVP_PKEY *pkey)
{
    size_t         len;
    unsigned char  buf[ACR_JWT_BYTES_MAX];

    len = sizeof(buf);

    if (!EVP_PKEY_get_raw_public_key(pkey, buf, &len)) {
        return NULL;
    }

    return acr_jwt_json_base64(buf, len);
}


/*
 * The public half as a JWK of only those members that its thumbprint is made of
 * (RFC 7638 section 3.2); NULL: no memory.
 */

static json_t *
acr_jwt_key_json(const acr_jwt_key_t *key)
{
    json_t                *jwk;
    const acr_jwt_kind_t  *kind;

    kind = acr_jwt_kind(key->kind);

    switch (key->kind) {

    case ACR_JWT_RSA:
        jwk = json_pack("{s:s,s:o,s:o}", "kty", kind->kty,
                        "n", acr_jwt_json_number(key->pkey,
                                                 OSSL_PKEY_PARAM_RSA_N, 0),
                        "e", acr_jwt_json_number(key->pkey,
                                                 OSSL_PKEY_PARAM_RSA_E, 0));
        break;

    case ACR_JWT_ED25519:
        jwk = json_pack("{s:s,s:s,s:o}", "kty", kind->kty, "crv", kind->crv,
                        "x", acr_jwt_json_raw(key->pkey));
        break;

    default:
        jwk = json_pack("{s:s,s:s,s:o,s:o}", "kty", kind->kty,
                        "crv", kind->crv,
                        "x", acr_jwt_json_number(key->pkey,
                                                 OSSL_PKEY_PARAM_EC_PUB_X,
                                                 kind->size),
                        "y", acr_jwt_json_number(key->pkey,
                                                 OSSL_PKEY_PARAM_EC_PUB_Y,
                                                 kind->size));
        break;
    }

    ERR_clear_error();

    return jwk;
}


static int
acr_jwt_thumbprint(acr_jwt_key_t *key)
{
    int             rc;
    char           *text;
    json_t         *jwk;
    unsigned char   md[EVP_MAX_MD_SIZE];
    size_t          len;

    jwk = acr_jwt_key_json(key);

    if (jwk == NULL) {
        return ACR_NOMEM;
    }

    text = json_dumps(jwk, JSON_COMPACT|JSON_SORT_KEYS);

    json_decref(jwk);

    if (text == NULL) {
        return ACR_NOMEM;
    }

    rc = ACR_NOMEM;
    key->kid = malloc(ACR_JWT_THUMBPRINT);

    if (key->kid
        && EVP_Q_digest(NULL, "SHA256", NULL, text, strlen(text), md, &len))
    {
        acr_jwt_base64_encode((unsigned char *) key->kid, md, len);
        key->kid_len = ACR_JWT_THUMBPRINT;
        rc = ACR_OK;
    }

    free(text);

    return rc;
}


int
acr_jwt_keys_add(acr_jwt_keys_t *keys, EVP_PKEY *pkey, int secret,
    const acr_text_t *kid, unsigned algs)
{
    int             rc;
    acr_jwt_key_t  *key;

    if (keys->n == ACR_JWT_KEYS_MAX) {
        return ACR_UNSUPPORTED;
    }

    key = &keys->keys[keys->n];
    memset(key, 0, sizeof(acr_jwt_key_t));

    rc = acr_jwt_key_check(pkey, &key->kind);

    if (rc != ACR_OK) {
        return rc;
    }

    key->pkey = pkey;
    key->secret = secret;
    key->algs = acr_jwt_kind(key->kind)->algs;

    if (algs) {
        key->algs &= algs;
    }

    if (key->algs == 0) {
        return ACR_UNSUPPORTED;
    }

    if (kid == NULL) {
        rc = acr_jwt_thumbprint(key);

    } else {
        key->kid = malloc(kid->len ? kid->len : 1);
        key->kid_len = kid->len;

        if (key->kid) {
            memcpy(key->kid, kid->data, kid->len);

        } else {
            rc = ACR_NOMEM;
        }
    }

    if (rc != ACR_OK) {
        free(key->kid);
        return acr_jwt_failed(rc);
    }

    keys->n++;

    return ACR_OK;
}


/* the first key of a PEM text; others' blocks, such as a curve, are skipped */

static EVP_PKEY *
acr_jwt_pem_read(BIO *bio, int *secret)
{
    int                   found;
    char                 *name, *header;
    long                  len;
    size_t                n;
    EVP_PKEY             *pkey;
    unsigned char        *data;
    const unsigned char  *p;

    static const char     tail[] = "PRIVATE KEY";

    pkey = NULL;
    found = 0;

    while (!found && PEM_read_bio(bio, &name, &header, &data, &len)) {
        p = data;
        n = strlen(name);

        *secret = n >= sizeof(tail) - 1
                  && strcmp(name + n - (sizeof(tail) - 1), tail) == 0;

        found = *secret || strcmp(name, "PUBLIC KEY") == 0;

        /* a header says that it is encrypted: nobody is asked for a password */

        if (!found || *header || strncmp(name, "ENCRYPTED", 9) == 0) {
            pkey = NULL;

        } else if (*secret) {
            pkey = d2i_AutoPrivateKey(NULL, &p, len);

        } else {
            pkey = d2i_PUBKEY(NULL, &p, len);
        }

        if (pkey && p != data + len) {
            EVP_PKEY_free(pkey);
            pkey = NULL;
        }

        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(data, (size_t) len);
    }

    return pkey;
}


/* a private half that is not that of the public one would sign for nobody */

static int
acr_jwt_key_try(const acr_jwt_key_t *key)
{
    int                         rc;
    size_t                      len;
    acr_text_t                  signature;
    unsigned char               buf[ACR_JWT_BYTES_MAX];
    const acr_jwt_alg_t        *alg;
    static const unsigned char  text[] = "acr";

    alg = acr_jwt_alg_by_bit(acr_jwt_kind(key->kind)->sign);

    rc = acr_jwt_key_sign(key, alg, text, sizeof(text), buf, &len);

    if (rc != ACR_OK) {
        return rc;
    }

    signature.data = buf;
    signature.len = len;

    return acr_jwt_key_verify(key, alg, text, sizeof(text), &signature);
}


int
acr_jwt_keys_add_pem(acr_jwt_keys_t *keys, const unsigned char *p, size_t n)
{
    int        rc, secret;
    BIO       *bio;
    EVP_PKEY  *pkey;

    if (n == 0 || n > ACR_JWT_PEM_MAX) {
        return ACR_INVALID;
    }

    ERR_clear_error();

    bio = BIO_new_mem_buf(p, (int) n);

    if (bio == NULL) {
        return acr_jwt_failed(ACR_NOMEM);
    }

    secret = 0;
    pkey = acr_jwt_pem_read(bio, &secret);

    BIO_free(bio);

    rc = acr_jwt_failed(ACR_INVALID);

    if (pkey == NULL) {
        return rc;
    }

    rc = acr_jwt_keys_add(keys, pkey, secret, NULL, 0);

    if (rc != ACR_OK) {
        EVP_PKEY_free(pkey);
        return rc;
    }

    if (secret) {
        rc = acr_jwt_key_try(&keys->keys[keys->n - 1]);

        if (rc != ACR_OK) {
            acr_jwt_keys_cut(keys, keys->n - 1);
        }
    }

    return rc;
}


/* what others must know of the key; NULL: no memory */

static json_t *
acr_jwt_key_print(const acr_jwt_key_t *key)
{
    json_t               *jwk;
    const acr_jwt_alg_t  *alg;

    jwk = acr_jwt_key_json(key);

    /* the functions with "new" take a NULL for their failure */

    if (json_object_set_new(jwk, "use", json_string("sig")) != 0
        || json_object_set_new(jwk, "kid",
                               json_stringn(key->kid, key->kid_len))
           != 0)
    {
        json_decref(jwk);
        return NULL;
    }

    alg = acr_jwt_alg_by_bit(key->algs);

    if (alg
        && json_object_set_new(jwk, "alg", json_string(alg->name)) != 0)
    {
        json_decref(jwk);
        return NULL;
    }

    return jwk;
}


char *
acr_jwt_keys_print(const acr_jwt_keys_t *keys)
{
    char      *text;
    json_t    *root, *list;
    unsigned   i;

    list = json_array();

    for (i = 0; i < keys->n; i++) {
        if (json_array_append_new(list, acr_jwt_key_print(&keys->keys[i]))
            != 0)
        {
            json_decref(list);
            return NULL;
        }
    }

    root = json_pack("{s:o}", "keys", list);

    if (root == NULL) {
        return NULL;
    }

    text = json_dumps(root, JSON_COMPACT);

    json_decref(root);

    return text;
}
