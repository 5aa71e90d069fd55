
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "acr_jwt_core.h"


/* r and s of P-384 with their headers, and that of the sequence */
#define ACR_JWT_DER_MAX      112

#define ACR_JWT_ED25519_LEN  32


static const acr_jwt_alg_t  acr_jwt_algs[] = {
    { "RS256", ACR_JWT_ALG_RS256, "SHA256", 0 },
    { "RS384", ACR_JWT_ALG_RS384, "SHA384", 0 },
    { "RS512", ACR_JWT_ALG_RS512, "SHA512", 0 },
    { "PS256", ACR_JWT_ALG_PS256, "SHA256", 1 },
    { "ES256", ACR_JWT_ALG_ES256, "SHA256", 0 },
    { "ES384", ACR_JWT_ALG_ES384, "SHA384", 0 },
    { "EdDSA", ACR_JWT_ALG_EDDSA, NULL, 0 }
};

#define ACR_JWT_ALGS  (sizeof(acr_jwt_algs) / sizeof(acr_jwt_algs[0]))

/* at the place of its acr_jwt_kind_e */

static const acr_jwt_kind_t  acr_jwt_kinds[] = {
    { "RSA", NULL, 0, ACR_JWT_ALG_RS256 | ACR_JWT_ALG_RS384
                      | ACR_JWT_ALG_RS512 | ACR_JWT_ALG_PS256,
      ACR_JWT_ALG_RS256 },
    { "EC", "P-256", 32, ACR_JWT_ALG_ES256, ACR_JWT_ALG_ES256 },
    { "EC", "P-384", 48, ACR_JWT_ALG_ES384, ACR_JWT_ALG_ES384 },
    { "OKP", "Ed25519", ACR_JWT_ED25519_LEN, ACR_JWT_ALG_EDDSA,
      ACR_JWT_ALG_EDDSA }
};


const acr_jwt_alg_t *
acr_jwt_alg(const acr_text_t *name)
{
    size_t                i;
    const acr_jwt_alg_t  *alg;

    for (i = 0; i < ACR_JWT_ALGS; i++) {
        alg = &acr_jwt_algs[i];

        if (name->len == strlen(alg->name)
            && memcmp(name->data, alg->name, name->len) == 0)
        {
            return alg;
        }
    }

    return NULL;
}


const acr_jwt_alg_t *
acr_jwt_alg_by_bit(unsigned bit)
{
    size_t  i;

    for (i = 0; i < ACR_JWT_ALGS; i++) {
        if (acr_jwt_algs[i].bit == bit) {
            return &acr_jwt_algs[i];
        }
    }

    return NULL;
}


const acr_jwt_kind_t *
acr_jwt_kind(acr_jwt_kind_e kind)
{
    return &acr_jwt_kinds[kind];
}


int
acr_jwt_failed(int rc)
{
    unsigned long  e;

    while ((e = ERR_get_error()) != 0) {
        if (ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE) {
            rc = ACR_NOMEM;
        }
    }

    return rc;
}


static int
acr_jwt_rsa_check(EVP_PKEY *pkey)
{
    int      rc, bits;
    BIGNUM  *n, *e;

    bits = EVP_PKEY_get_bits(pkey);

    if (bits < ACR_JWT_RSA_BITS_MIN || bits > ACR_JWT_RSA_BITS_MAX) {
        return ACR_UNSUPPORTED;
    }

    /* EVP_PKEY_public_check() looks for primes, and that takes minutes if n is
       one itself */

    n = NULL;
    e = NULL;

    if (!EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n)
        || !EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e))
    {
        rc = ACR_INVALID;

    } else if (BN_num_bits(e) > ACR_JWT_RSA_E_BITS) {
        rc = ACR_UNSUPPORTED;

    } else {

        /* with 1 everybody can sign, an even one is none */

        rc = BN_is_odd(n) && BN_is_odd(e) && !BN_is_one(e) ? ACR_OK
                                                           : ACR_INVALID;
    }

    BN_free(n);
    BN_free(e);

    return rc;
}


/*
 * OpenSSL has no such check: x^2 = (y^2 - 1) / (d y^2 + 1) must have a root,
 * with d = -121665/121666 mod p.  Whether it has is not changed by a square as
 * a factor, so there is no division here: the fraction is multiplied by the
 * squares of 121666 and of the denominator.  -1 is a square too.
 */

static int
acr_jwt_ed25519_on_curve(const BIGNUM *y)
{
    int      rc, on;
    BIGNUM  *p, *u, *v;
    BN_CTX  *ctx;

    rc = ACR_NOMEM;

    ctx = BN_CTX_new();
    p = BN_new();
    u = BN_new();
    v = BN_new();

    if (ctx == NULL || p == NULL || u == NULL || v == NULL
        || !BN_set_bit(p, 255) || !BN_sub_word(p, 19))
    {
        goto done;
    }

    if (BN_cmp(y, p) >= 0) {
        rc = ACR_INVALID;
        goto done;
    }

    /* u = 121666 (y^2 - 1), v = 121665 y^2 - 121666 */

    if (!BN_mod_sqr(u, y, p, ctx)
        || BN_copy(v, u) == NULL
        || !BN_mul_word(v, 121665)
        || !BN_sub_word(v, 121666)
        || !BN_sub_word(u, 1)
        || !BN_mul_word(u, 121666)
        || !BN_mod_mul(u, u, v, p, ctx))
    {
        goto done;
    }

    on = BN_kronecker(u, p, ctx);

    if (on == -2) {
        goto done;
    }

    /* 0: y is 1 or -1 */

    rc = (on == 1) ? ACR_OK : ACR_INVALID;

done:

    BN_free(p);
    BN_free(u);
    BN_free(v);
    BN_CTX_free(ctx);

    return rc;
}


static int
acr_jwt_ed25519_check(EVP_PKEY *pkey)
{
    int            rc;
    size_t         i, len;
    BIGNUM        *y;
    unsigned char  key[ACR_JWT_ED25519_LEN];

    /*
     * y of the points of order 4 and 8; those of order 1 and 2 are found below.
     * Whose key is one of these has everybody sign for him.
     */

    static const unsigned char  small[][ACR_JWT_ED25519_LEN] = {
        { 0 },
        { 0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
          0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
          0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05 },
        { 0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
          0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
          0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a }
    };

    len = sizeof(key);

    if (!EVP_PKEY_get_raw_public_key(pkey, key, &len) || len != sizeof(key)) {
        return ACR_INVALID;
    }

    key[sizeof(key) - 1] &= 0x7f;

    for (i = 0; i < sizeof(small) / sizeof(small[0]); i++) {
        if (memcmp(key, small[i], sizeof(key)) == 0) {
            return ACR_INVALID;
        }
    }

    y = BN_lebin2bn(key, (int) len, NULL);

    if (y == NULL) {
        return ACR_NOMEM;
    }

    rc = acr_jwt_ed25519_on_curve(y);

    BN_free(y);

    return rc;
}


static int
acr_jwt_ec_check(EVP_PKEY *pkey, acr_jwt_kind_e *kind)
{
    int            rc;
    char           name[32];
    EVP_PKEY_CTX  *ctx;

    /* fails for a curve that has no name */

    if (!EVP_PKEY_get_group_name(pkey, name, sizeof(name), NULL)) {
        return ACR_UNSUPPORTED;
    }

    if (strcmp(name, SN_X9_62_prime256v1) == 0) {
        *kind = ACR_JWT_P256;

    } else if (strcmp(name, SN_secp384r1) == 0) {
        *kind = ACR_JWT_P384;

    } else {
        return ACR_UNSUPPORTED;
    }

    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);

    if (ctx == NULL) {
        return ACR_NOMEM;
    }

    rc = EVP_PKEY_public_check(ctx) == 1 ? ACR_OK : ACR_INVALID;

    EVP_PKEY_CTX_free(ctx);

    return rc;
}


int
acr_jwt_key_check(EVP_PKEY *pkey, acr_jwt_kind_e *kind)
{
    int  rc;

    if (EVP_PKEY_is_a(pkey, "RSA")) {
        *kind = ACR_JWT_RSA;
        rc = acr_jwt_rsa_check(pkey);

    } else if (EVP_PKEY_is_a(pkey, "EC")) {
        rc = acr_jwt_ec_check(pkey, kind);

    } else if (EVP_PKEY_is_a(pkey, "ED25519")) {
        *kind = ACR_JWT_ED25519;
        rc = acr_jwt_ed25519_check(pkey);

    } else {
        rc = ACR_UNSUPPORTED;
    }

    return acr_jwt_failed(rc);
}


/* without the padding said a key could have brought its own idea of it */

static int
acr_jwt_padding(EVP_PKEY_CTX *ctx, const acr_jwt_alg_t *alg)
{
    if (!alg->pss) {
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0;
    }

    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0
           && EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0
           && EVP_PKEY_CTX_set_rsa_mgf1_md_name(ctx, alg->md, NULL) > 0;
}


/* r and s of a fixed length, as JOSE has them, from DER */

static int
acr_jwt_ecdsa_from_der(const unsigned char *p, size_t n, size_t size,
    unsigned char *buf)
{
    int         rc;
    ECDSA_SIG  *sig;

    sig = d2i_ECDSA_SIG(NULL, &p, (long) n);

    if (sig == NULL) {
        return ACR_NOMEM;
    }

    rc = BN_bn2binpad(ECDSA_SIG_get0_r(sig), buf, (int) size) >= 0
         && BN_bn2binpad(ECDSA_SIG_get0_s(sig), buf + size, (int) size) >= 0
         ? ACR_OK : ACR_INVALID;

    ECDSA_SIG_free(sig);

    return rc;
}


static int
acr_jwt_ecdsa_to_der(const unsigned char *p, size_t size, unsigned char *buf,
    size_t *len)
{
    int         n;
    BIGNUM     *r, *s;
    ECDSA_SIG  *sig;

    sig = ECDSA_SIG_new();
    r = BN_bin2bn(p, (int) size, NULL);
    s = BN_bin2bn(p + size, (int) size, NULL);

    if (sig == NULL || r == NULL || s == NULL || !ECDSA_SIG_set0(sig, r, s)) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(sig);
        return ACR_NOMEM;
    }

    n = i2d_ECDSA_SIG(sig, NULL);

    if (n > 0 && n <= ACR_JWT_DER_MAX) {
        n = i2d_ECDSA_SIG(sig, &buf);

    } else {
        n = 0;
    }

    ECDSA_SIG_free(sig);

    *len = (size_t) n;

    return n > 0 ? ACR_OK : ACR_NOMEM;
}


int
acr_jwt_key_sign(const acr_jwt_key_t *key, const acr_jwt_alg_t *alg,
    const unsigned char *p, size_t n, unsigned char *buf, size_t *len)
{
    int                    rc, ec;
    EVP_MD_CTX            *ctx;
    EVP_PKEY_CTX          *pctx;
    unsigned char          der[ACR_JWT_DER_MAX];
    const acr_jwt_kind_t  *kind;

    ERR_clear_error();

    kind = acr_jwt_kind(key->kind);
    ec = key->kind == ACR_JWT_P256 || key->kind == ACR_JWT_P384;

    ctx = EVP_MD_CTX_new();

    if (ctx == NULL) {
        return acr_jwt_failed(ACR_NOMEM);
    }

    *len = ec ? sizeof(der) : ACR_JWT_BYTES_MAX;
    rc = ACR_INVALID;

    if (EVP_DigestSignInit_ex(ctx, &pctx, alg->md, NULL, NULL, key->pkey, NULL)
        > 0
        && (key->kind != ACR_JWT_RSA || acr_jwt_padding(pctx, alg))
        && EVP_DigestSign(ctx, ec ? der : buf, len, p, n) > 0)
    {
        rc = ACR_OK;
    }

    EVP_MD_CTX_free(ctx);

    if (rc == ACR_OK && ec) {
        rc = acr_jwt_ecdsa_from_der(der, *len, kind->size, buf);
        *len = 2 * kind->size;
    }

    return acr_jwt_failed(rc);
}


int
acr_jwt_key_verify(const acr_jwt_key_t *key, const acr_jwt_alg_t *alg,
    const unsigned char *p, size_t n, const acr_text_t *signature)
{
    int                    rc;
    size_t                 len;
    EVP_MD_CTX            *ctx;
    EVP_PKEY_CTX          *pctx;
    unsigned char          der[ACR_JWT_DER_MAX];
    const unsigned char   *sig;
    const acr_jwt_kind_t  *kind;

    ERR_clear_error();

    kind = acr_jwt_kind(key->kind);

    /* one length only, else there were many texts of a signature */

    len = kind->size ? 2 * kind->size
                     : (size_t) EVP_PKEY_get_size(key->pkey);

    if (signature->len != len) {
        return ACR_INVALID;
    }

    sig = signature->data;

    if (key->kind == ACR_JWT_P256 || key->kind == ACR_JWT_P384) {

        if (acr_jwt_ecdsa_to_der(sig, kind->size, der, &len) != ACR_OK) {
            return acr_jwt_failed(ACR_NOMEM);
        }

        sig = der;
    }

    ctx = EVP_MD_CTX_new();

    if (ctx == NULL) {
        return acr_jwt_failed(ACR_NOMEM);
    }

    rc = ACR_INVALID;

    if (EVP_DigestVerifyInit_ex(ctx, &pctx, alg->md, NULL, NULL, key->pkey,
                                NULL)
        > 0
        && (key->kind != ACR_JWT_RSA || acr_jwt_padding(pctx, alg))
        && EVP_DigestVerify(ctx, sig, len, p, n) == 1)
    {
        rc = ACR_OK;
    }

    EVP_MD_CTX_free(ctx);

    return acr_jwt_failed(rc);
}
