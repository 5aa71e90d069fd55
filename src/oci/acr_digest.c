
#include <string.h>

#include "acr_digest.h"


/* at the place of its id */

static const acr_algorithm_t  acr_algorithms[] = {
    { "sha256", sizeof("sha256") - 1, 64, ACR_SHA256 },
    { "sha512", sizeof("sha512") - 1, 128, ACR_SHA512 }
};

#define ACR_ALGORITHMS  (sizeof(acr_algorithms) / sizeof(acr_algorithms[0]))


/* "component ( [+._-] component )*", a component being [a-z0-9]+ */

static int
acr_digest_algorithm_syntax(const unsigned char *p, size_t n)
{
    int     component;
    size_t  i;

    component = 0;

    for (i = 0; i < n; i++) {

        if ((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= '0' && p[i] <= '9')) {
            component = 1;
            continue;
        }

        if (!component) {
            return 0;
        }

        if (p[i] != '+' && p[i] != '.' && p[i] != '_' && p[i] != '-') {
            return 0;
        }

        component = 0;
    }

    return component;
}


/* "[a-zA-Z0-9=_-]+" */

static int
acr_digest_encoded_syntax(const unsigned char *p, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {

        if ((p[i] >= 'a' && p[i] <= 'z')
            || (p[i] >= 'A' && p[i] <= 'Z')
            || (p[i] >= '0' && p[i] <= '9')
            || p[i] == '=' || p[i] == '_' || p[i] == '-')
        {
            continue;
        }

        return 0;
    }

    return n != 0;
}


const acr_algorithm_t *
acr_algorithm(const unsigned char *p, size_t n)
{
    size_t                  i;
    const acr_algorithm_t  *alg;

    for (i = 0; i < ACR_ALGORITHMS; i++) {
        alg = &acr_algorithms[i];

        if (alg->name_len == n && memcmp(alg->name, p, n) == 0) {
            return alg;
        }
    }

    return NULL;
}


const acr_algorithm_t *
acr_algorithm_by_id(unsigned id)
{
    return id < ACR_ALGORITHMS ? &acr_algorithms[id] : NULL;
}


int
acr_digest_parse(acr_digest_t *d, const unsigned char *p, size_t n)
{
    size_t                  i, len;
    const unsigned char    *hex;
    const acr_algorithm_t  *alg;

    len = 0;

    while (len < n && p[len] != ':') {
        len++;
    }

    if (len == 0 || len == n) {
        return ACR_INVALID;
    }

    alg = acr_algorithm(p, len);

    hex = p + len + 1;
    n -= len + 1;

    if (alg == NULL) {

        if (acr_digest_algorithm_syntax(p, len)
            && acr_digest_encoded_syntax(hex, n))
        {
            return ACR_UNSUPPORTED;
        }

        return ACR_INVALID;
    }

    if (n != alg->hex_len) {
        return ACR_INVALID;
    }

    for (i = 0; i < n; i++) {

        if ((hex[i] >= '0' && hex[i] <= '9')
            || (hex[i] >= 'a' && hex[i] <= 'f'))
        {
            continue;
        }

        return ACR_INVALID;
    }

    d->alg = alg;
    memcpy(d->hex, hex, n);

    return ACR_OK;
}


size_t
acr_digest_print(unsigned char *buf, const acr_digest_t *d)
{
    size_t  len;

    len = d->alg->name_len;

    memcpy(buf, d->alg->name, len);
    buf[len++] = ':';

    memcpy(buf + len, d->hex, d->alg->hex_len);

    return len + d->alg->hex_len;
}


int
acr_digest_equal(const acr_digest_t *a, const acr_digest_t *b)
{
    return a->alg == b->alg && memcmp(a->hex, b->hex, a->alg->hex_len) == 0;
}
