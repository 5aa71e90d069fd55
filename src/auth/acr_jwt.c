
#include <string.h>

#include "acr_json.h"
#include "acr_jwt_core.h"


/* beyond it a double has no seconds any more */
#define ACR_JWT_TIME_MAX  ((int64_t) 1 << 53)


/* a token taken apart; buf has what is decoded */

typedef struct {
    unsigned char  *buf;
    acr_text_t      input;          /* what is signed */
    acr_text_t      header;
    acr_text_t      payload;
    acr_text_t      signature;
} acr_jwt_token_t;


const char *
acr_jwt_error(acr_jwt_e e)
{
    switch (e) {

    case ACR_JWT_OK:
        return "valid";

    case ACR_JWT_NOMEM:
        return "not enough memory";

    case ACR_JWT_MALFORMED:
        return "malformed token";

    case ACR_JWT_TYPE:
        return "token is of another type";

    case ACR_JWT_ALGORITHM:
        return "algorithm of the token is not allowed";

    case ACR_JWT_KEY:
        return "no such key";

    case ACR_JWT_SIGNATURE:
        return "signature is wrong";
    }

    return "unknown";
}


static acr_jwt_e
acr_jwt_split(acr_jwt_token_t *token, const unsigned char *p, size_t n)
{
    size_t                i, len;
    unsigned char        *buf;
    acr_text_t           *parts[3];
    const unsigned char  *end, *dot;

    token->buf = NULL;

    if (n == 0 || n > ACR_JWT_MAX) {
        return ACR_JWT_MALFORMED;
    }

    buf = malloc(n);

    if (buf == NULL) {
        return ACR_JWT_NOMEM;
    }

    token->buf = buf;
    token->input.data = p;

    parts[0] = &token->header;
    parts[1] = &token->payload;
    parts[2] = &token->signature;

    end = p + n;

    for (i = 0; i < 3; i++) {
        dot = memchr(p, '.', (size_t) (end - p));

        /* two dots, not one more or less */

        if ((dot == NULL) != (i == 2)) {
            return ACR_JWT_MALFORMED;
        }

        if (dot == NULL) {
            dot = end;
            token->input.len = (size_t) (p - 1 - token->input.data);
        }

        if (acr_jwt_base64_decode(buf, &len, p, (size_t) (dot - p))
            != ACR_OK)
        {
            return ACR_JWT_MALFORMED;
        }

        parts[i]->data = buf;
        parts[i]->len = len;

        buf += len;
        p = dot + 1;
    }

    return ACR_JWT_OK;
}


static acr_jwt_e
acr_jwt_object(json_t **object, const acr_text_t *text)
{
    const char  *error;

    switch (acr_json_load(object, text->data, text->len, &error)) {

    case ACR_OK:
        return ACR_JWT_OK;

    case ACR_NOMEM:
        return ACR_JWT_NOMEM;

    default:
        return ACR_JWT_MALFORMED;
    }
}


/*
 * A set may have a name twice: RFC 7517 section 4.5.  What comes nearest to a
 * success is told.
 */

static acr_jwt_e
acr_jwt_try(const acr_jwt_keys_t *keys, const acr_text_t *kid,
    const acr_jwt_alg_t *alg, const acr_jwt_token_t *token)
{
    int                   rc;
    unsigned              i;
    acr_jwt_e             e;
    const acr_jwt_key_t  *key;

    e = ACR_JWT_KEY;

    for (i = 0; i < keys->n; i++) {
        key = &keys->keys[i];

        if (kid
            && (key->kid_len != kid->len
                || memcmp(key->kid, kid->data, kid->len) != 0))
        {
            continue;
        }

        if (!(key->algs & alg->bit)) {

            if (e == ACR_JWT_KEY) {
                e = ACR_JWT_ALGORITHM;
            }

            continue;
        }

        rc = acr_jwt_key_verify(key, alg, token->input.data, token->input.len,
                                &token->signature);

        if (rc == ACR_OK) {
            return ACR_JWT_OK;
        }

        if (rc == ACR_NOMEM) {
            return ACR_JWT_NOMEM;
        }

        e = ACR_JWT_SIGNATURE;
    }

    return e;
}


/* a media type, of which "application/" may be left out: RFC 7515 section
   4.1.9 */

static int
acr_jwt_typed(const acr_text_t *typ)
{
    size_t      n;
    acr_text_t  type;

    n = sizeof("application/") - 1;
    type = *typ;

    if (acr_text_begins(&type, "application/")) {
        type.data += n;
        type.len -= n;
    }

    return acr_text_is(&type, "JWT") || acr_text_is(&type, "at+jwt");
}


/*
 * Of the header only what names the key is used, never what brings one ("jwk",
 * "jku", "x5c", "x5u").
 */

static acr_jwt_e
acr_jwt_check(const acr_jwt_keys_t *keys, const acr_jwt_token_t *token,
    const json_t *header)
{
    json_t               *value;
    acr_text_t            text, kid_text;
    const acr_text_t     *kid;
    const acr_jwt_alg_t  *alg;

    /* it would name what must be understood, and we understand none of it */

    if (json_object_get(header, "crit")) {
        return ACR_JWT_MALFORMED;
    }

    value = json_object_get(header, "typ");

    if (value) {
        text = acr_json_text(value);

        if (!json_is_string(value)) {
            return ACR_JWT_MALFORMED;
        }

        if (!acr_jwt_typed(&text)) {
            return ACR_JWT_TYPE;
        }
    }

    value = json_object_get(header, "alg");

    if (!json_is_string(value)) {
        return ACR_JWT_MALFORMED;
    }

    text = acr_json_text(value);
    alg = acr_jwt_alg(&text);

    if (alg == NULL) {
        return ACR_JWT_ALGORITHM;
    }

    kid = NULL;
    value = json_object_get(header, "kid");

    if (value) {
        kid_text = acr_json_text(value);

        if (!json_is_string(value) || kid_text.len > ACR_JWT_KID_MAX) {
            return ACR_JWT_MALFORMED;
        }

        kid = &kid_text;
    }

    return acr_jwt_try(keys, kid, alg, token);
}


acr_jwt_e
acr_jwt_verify(const acr_jwt_keys_t *keys, const unsigned char *p, size_t n,
    json_t **claims)
{
    json_t           *header;
    acr_jwt_e         e;
    acr_jwt_token_t   token;

    *claims = NULL;

    e = acr_jwt_split(&token, p, n);

    if (e == ACR_JWT_OK) {
        e = acr_jwt_object(&header, &token.header);

        if (e == ACR_JWT_OK) {
            e = acr_jwt_check(keys, &token, header);
            json_decref(header);
        }
    }

    /* nobody's claims reach the parser but those of a signer */

    if (e == ACR_JWT_OK) {
        e = acr_jwt_object(claims, &token.payload);
    }

    free(token.buf);

    return e;
}


int
acr_jwt_has_kid(const unsigned char *p, size_t n)
{
    int               has;
    json_t           *header;
    acr_jwt_token_t   token;

    has = 0;

    if (acr_jwt_split(&token, p, n) == ACR_JWT_OK
        && acr_jwt_object(&header, &token.header) == ACR_JWT_OK)
    {
        has = json_is_string(json_object_get(header, "kid"));
        json_decref(header);
    }

    free(token.buf);

    return has;
}


acr_jwt_e
acr_jwt_issuer(const unsigned char *p, size_t n, unsigned char *buf,
    size_t *len)
{
    json_t           *claims, *iss;
    acr_jwt_e         e;
    acr_jwt_token_t   token;

    claims = NULL;

    e = acr_jwt_split(&token, p, n);

    if (e == ACR_JWT_OK) {
        e = acr_jwt_object(&claims, &token.payload);
    }

    if (e == ACR_JWT_OK) {
        iss = json_object_get(claims, "iss");

        if (json_is_string(iss) && json_string_length(iss) <= *len) {
            *len = json_string_length(iss);
            memcpy(buf, json_string_value(iss), *len);

        } else {
            e = ACR_JWT_MALFORMED;
        }
    }

    json_decref(claims);
    free(token.buf);

    return e;
}


/* the token, or NULL: the header and claims are too long, or no memory */

static char *
acr_jwt_join(const acr_jwt_key_t *key, const acr_jwt_alg_t *alg,
    const char *header, const char *claims)
{
    size_t          header_len, claims_len, len;
    unsigned char   signature[ACR_JWT_BYTES_MAX], *token, *p;

    header_len = strlen(header);
    claims_len = strlen(claims);

    if (header_len > ACR_JWT_MAX || claims_len > ACR_JWT_MAX) {
        return NULL;
    }

    token = malloc(acr_jwt_base64_len(header_len) + 1
                   + acr_jwt_base64_len(claims_len) + 1
                   + acr_jwt_base64_len(sizeof(signature)) + 1);

    if (token == NULL) {
        return NULL;
    }

    p = acr_jwt_base64_encode(token, (const unsigned char *) header,
                              header_len);
    *p++ = '.';
    p = acr_jwt_base64_encode(p, (const unsigned char *) claims, claims_len);

    if (acr_jwt_key_sign(key, alg, token, (size_t) (p - token), signature,
                         &len)
        != ACR_OK)
    {
        free(token);
        return NULL;
    }

    *p++ = '.';
    p = acr_jwt_base64_encode(p, signature, len);

    if (p - token > ACR_JWT_MAX) {
        free(token);
        return NULL;
    }

    *p = '\0';

    return (char *) token;
}


char *
acr_jwt_sign(const acr_jwt_keys_t *keys, json_t *claims)
{
    char                 *header_text, *claims_text, *token;
    json_t               *header;
    const acr_jwt_key_t  *key;
    const acr_jwt_alg_t  *alg;

    if (!acr_jwt_keys_can_sign(keys) || !json_is_object(claims)) {
        return NULL;
    }

    key = &keys->keys[0];
    alg = acr_jwt_alg_by_bit(acr_jwt_kind(key->kind)->sign);

    header = json_pack("{s:s,s:s,s:s%}", "typ", "JWT", "alg", alg->name,
                       "kid", key->kid, key->kid_len);

    if (header == NULL) {
        return NULL;
    }

    header_text = json_dumps(header, JSON_COMPACT);
    claims_text = json_dumps(claims, JSON_COMPACT);

    json_decref(header);

    token = NULL;

    if (header_text && claims_text) {
        token = acr_jwt_join(key, alg, header_text, claims_text);
    }

    free(header_text);
    free(claims_text);

    return token;
}


/*
 * Seconds, rounded up: with whole seconds of now that changes no comparison,
 * neither "before" nor "not before".  ACR_DONE: there is no such claim.
 */

static int
acr_jwt_time(const json_t *claims, const char *name, int64_t *t)
{
    double         real;
    json_t        *value;
    json_int_t     integer;

    value = json_object_get(claims, name);

    if (value == NULL) {
        return ACR_DONE;
    }

    if (json_is_integer(value)) {
        integer = json_integer_value(value);

        if (integer > ACR_JWT_TIME_MAX || integer < -ACR_JWT_TIME_MAX) {
            return ACR_INVALID;
        }

        *t = integer;

        return ACR_OK;
    }

    if (!json_is_real(value)) {
        return ACR_INVALID;
    }

    real = json_real_value(value);

    if (!(real <= (double) ACR_JWT_TIME_MAX
          && real >= -(double) ACR_JWT_TIME_MAX))
    {
        return ACR_INVALID;
    }

    *t = (int64_t) real;

    if ((double) *t < real) {
        (*t)++;
    }

    return ACR_OK;
}


int
acr_jwt_in_time(const json_t *claims, int64_t now, int64_t skew)
{
    int      rc;
    int64_t  t;

    /* so that no sum below overflows */

    if (skew < 0) {
        skew = 0;

    } else if (skew > ACR_JWT_TIME_MAX) {
        skew = ACR_JWT_TIME_MAX;
    }

    if (acr_jwt_time(claims, "exp", &t) != ACR_OK || now >= t + skew) {
        return 0;
    }

    rc = acr_jwt_time(claims, "nbf", &t);

    if (rc == ACR_INVALID || (rc == ACR_OK && now < t - skew)) {
        return 0;
    }

    return acr_jwt_time(claims, "iat", &t) != ACR_INVALID;
}


static int
acr_jwt_is(const json_t *value, const char *text)
{
    return json_is_string(value)
           && json_string_length(value) == strlen(text)
           && memcmp(json_string_value(value), text, strlen(text)) == 0;
}


int
acr_jwt_audience(const json_t *claims, const char *audience)
{
    size_t         i;
    json_t        *value;
    const json_t  *aud;

    aud = json_object_get(claims, "aud");

    if (!json_is_array(aud)) {
        return acr_jwt_is(aud, audience);
    }

    json_array_foreach(aud, i, value) {
        if (acr_jwt_is(value, audience)) {
            return 1;
        }
    }

    return 0;
}
