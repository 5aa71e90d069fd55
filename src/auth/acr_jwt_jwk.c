
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include "acr_json.h"
#include "acr_jwt_core.h"


/* decodes a member of a JWK: its length; 0: there is none, or it is too long */

static size_t
acr_jwt_jwk_bytes(const json_t *jwk, const char *name, unsigned char *buf,
    size_t max)
{
    size_t       len;
    acr_text_t   text;
    json_t      *value;

    value = json_object_get(jwk, name);

    if (!json_is_string(value)) {
        return 0;
    }

    text = acr_json_text(value);

    if (text.len > acr_jwt_base64_len(max)
        || acr_jwt_base64_decode(buf, &len, text.data, text.len) != ACR_OK)
    {
        return 0;
    }

    return len;
}


static int
acr_jwt_fromdata(EVP_PKEY **pkey, const char *type, OSSL_PARAM *params)
{
    int            rc;
    EVP_PKEY_CTX  *ctx;

    *pkey = NULL;
    ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);

    if (ctx == NULL) {
        return ACR_NOMEM;
    }

    rc = EVP_PKEY_fromdata_init(ctx) > 0
         && EVP_PKEY_fromdata(ctx, pkey, EVP_PKEY_PUBLIC_KEY, params) > 0
         ? ACR_OK : ACR_INVALID;

    EVP_PKEY_CTX_free(ctx);

    return rc;
}


static int
acr_jwt_jwk_rsa(EVP_PKEY **pkey, const json_t *jwk)
{
    int              rc;
    size_t           n_len, e_len;
    BIGNUM          *n, *e;
    OSSL_PARAM      *params;
    unsigned char    n_buf[ACR_JWT_BYTES_MAX + 1];
    unsigned char    e_buf[ACR_JWT_RSA_E_BITS / 8 + 1];
    OSSL_PARAM_BLD  *bld;

    /* some write a zero before the first bit: RFC 7518 section 6.3.1.1 */

    n_len = acr_jwt_jwk_bytes(jwk, "n", n_buf, sizeof(n_buf));
    e_len = acr_jwt_jwk_bytes(jwk, "e", e_buf, sizeof(e_buf));

    if (n_len == 0 || e_len == 0) {
        return ACR_INVALID;
    }

    params = NULL;

    bld = OSSL_PARAM_BLD_new();
    n = BN_bin2bn(n_buf, (int) n_len, NULL);
    e = BN_bin2bn(e_buf, (int) e_len, NULL);

    if (bld && n && e
        && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n)
        && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e))
    {
        params = OSSL_PARAM_BLD_to_param(bld);
    }

    rc = params ? acr_jwt_fromdata(pkey, "RSA", params) : ACR_NOMEM;

    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_free(n);
    BN_free(e);

    return rc;
}


static int
acr_jwt_jwk_curve(EVP_PKEY **pkey, const json_t *jwk, acr_jwt_kind_e id)
{
    size_t                 size;
    OSSL_PARAM             params[3];
    unsigned char          point[1 + ACR_JWT_COORDINATE_MAX * 2];
    const acr_jwt_kind_t  *kind;

    kind = acr_jwt_kind(id);
    size = kind->size;

    if (acr_jwt_jwk_bytes(jwk, "x", point + 1, size) != size) {
        return ACR_INVALID;
    }

    if (id == ACR_JWT_ED25519) {
        params[0] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
                                                      point + 1, size);
        params[1] = OSSL_PARAM_construct_end();

        return acr_jwt_fromdata(pkey, "ED25519", params);
    }

    if (acr_jwt_jwk_bytes(jwk, "y", point + 1 + size, size) != size) {
        return ACR_INVALID;
    }

    point[0] = POINT_CONVERSION_UNCOMPRESSED;

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                                 (char *) kind->crv, 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
                                                  point, 1 + 2 * size);
    params[2] = OSSL_PARAM_construct_end();

    return acr_jwt_fromdata(pkey, "EC", params);
}


/* a member that is a string of this text */

static int
acr_jwt_jwk_is(const json_t *jwk, const char *name, const char *want)
{
    const char  *value;

    value = json_string_value(json_object_get(jwk, name));

    return value && strcmp(value, want) == 0;
}


static int
acr_jwt_jwk_pkey(EVP_PKEY **pkey, const json_t *jwk)
{
    acr_jwt_kind_e         id;
    const acr_jwt_kind_t  *kind;

    if (acr_jwt_jwk_is(jwk, "kty", "RSA")) {
        return acr_jwt_jwk_rsa(pkey, jwk);
    }

    for (id = ACR_JWT_P256; id <= ACR_JWT_ED25519; id++) {
        kind = acr_jwt_kind(id);

        if (acr_jwt_jwk_is(jwk, "kty", kind->kty)
            && acr_jwt_jwk_is(jwk, "crv", kind->crv))
        {
            return acr_jwt_jwk_curve(pkey, jwk, id);
        }
    }

    return ACR_UNSUPPORTED;
}


/* whether the key is there to verify signatures: 1, 0 */

static int
acr_jwt_jwk_verifies(const json_t *jwk)
{
    size_t   i;
    json_t  *ops, *op;

    if (acr_json_get(jwk, "use") && !acr_jwt_jwk_is(jwk, "use", "sig")) {
        return 0;
    }

    ops = acr_json_get(jwk, "key_ops");

    if (ops == NULL) {
        return 1;
    }

    json_array_foreach(ops, i, op) {
        if (json_is_string(op)
            && strcmp(json_string_value(op), "verify") == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* ACR_INVALID and ACR_UNSUPPORTED: it is passed over */

static int
acr_jwt_jwk_add(acr_jwt_keys_t *keys, const json_t *jwk)
{
    int                   rc;
    json_t               *value;
    unsigned              algs;
    EVP_PKEY             *pkey;
    acr_text_t            text;
    const acr_text_t     *kid;
    const acr_jwt_alg_t  *alg;

    if (!acr_jwt_jwk_verifies(jwk)) {
        return ACR_UNSUPPORTED;
    }

    algs = 0;
    value = acr_json_get(jwk, "alg");

    if (value) {

        if (!json_is_string(value)) {
            return ACR_INVALID;
        }

        text = acr_json_text(value);
        alg = acr_jwt_alg(&text);

        if (alg == NULL) {
            return ACR_UNSUPPORTED;
        }

        algs = alg->bit;
    }

    kid = NULL;
    value = acr_json_get(jwk, "kid");

    if (value) {
        text = acr_json_text(value);

        if (!json_is_string(value) || text.len > ACR_JWT_KID_MAX) {
            return ACR_INVALID;
        }

        kid = &text;
    }

    rc = acr_jwt_jwk_pkey(&pkey, jwk);

    if (rc != ACR_OK) {
        return acr_jwt_failed(rc);
    }

    rc = acr_jwt_keys_add(keys, pkey, 0, kid, algs);

    if (rc != ACR_OK) {
        EVP_PKEY_free(pkey);
    }

    return rc;
}


int
acr_jwt_keys_add_jwks(acr_jwt_keys_t *keys, const unsigned char *p, size_t n)
{
    int          rc;
    size_t       i;
    json_t      *root, *list, *jwk;
    unsigned     before;
    const char  *error;

    if (n > ACR_JWT_JWKS_MAX) {
        return ACR_INVALID;
    }

    ERR_clear_error();

    rc = acr_json_load(&root, p, n, &error);

    if (rc != ACR_OK) {
        return rc;
    }

    before = keys->n;
    list = json_object_get(root, "keys");

    rc = json_is_array(list) ? ACR_OK : ACR_INVALID;

    json_array_foreach(list, i, jwk) {

        if (!json_is_object(jwk)) {
            rc = ACR_INVALID;
            break;
        }

        /* each takes time, whether it is used in the end or not */

        if (i < ACR_JWT_KEYS_MAX && keys->n < ACR_JWT_KEYS_MAX
            && acr_jwt_jwk_add(keys, jwk) == ACR_NOMEM)
        {
            rc = ACR_NOMEM;
            break;
        }
    }

    if (rc != ACR_OK) {
        acr_jwt_keys_cut(keys, before);
    }

    json_decref(root);

    return rc;
}
