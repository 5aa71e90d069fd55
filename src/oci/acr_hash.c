
#include <string.h>

#include "acr_hash.h"


#define ACR_HASH_VERSION    1

/* version, algorithm and count stand before the words */
#define ACR_HASH_HEADER     10
#define ACR_HASH_WORDS      8

/* both algorithms count in bits: SHA-256 has 64 bits for that */
#define ACR_HASH_COUNT_MAX  (UINT64_MAX / 8)


static unsigned char *
acr_hash_put(unsigned char *p, uint64_t value, size_t bytes)
{
    while (bytes) {
        bytes--;
        *p++ = (unsigned char) (value >> (bytes * 8));
    }

    return p;
}


static uint64_t
acr_hash_get(const unsigned char *p, size_t bytes)
{
    uint64_t  value;

    value = 0;

    while (bytes) {
        value = value << 8 | *p++;
        bytes--;
    }

    return value;
}


void
acr_hash_init(acr_hash_t *h, const acr_algorithm_t *alg)
{
    /* a state is compared and copied as a whole, so leave nothing unset */

    memset(h, 0, sizeof(acr_hash_t));

    h->alg = alg;

    if (alg->id == ACR_SHA512) {
        (void) SHA512_Init(&h->u.sha512);

    } else {
        (void) SHA256_Init(&h->u.sha256);
    }
}


void
acr_hash_update(acr_hash_t *h, const void *p, size_t n)
{
    if (n == 0) {
        return;
    }

    if (h->alg->id == ACR_SHA512) {
        (void) SHA512_Update(&h->u.sha512, p, n);

    } else {
        (void) SHA256_Update(&h->u.sha256, p, n);
    }
}


void
acr_hash_final(acr_hash_t *h, acr_digest_t *d)
{
    size_t                      i, len;
    unsigned char               md[SHA512_DIGEST_LENGTH];
    static const unsigned char  hex[] = "0123456789abcdef";

    if (h->alg->id == ACR_SHA512) {
        (void) SHA512_Final(md, &h->u.sha512);

    } else {
        (void) SHA256_Final(md, &h->u.sha256);
    }

    d->alg = h->alg;
    len = h->alg->hex_len / 2;

    for (i = 0; i < len; i++) {
        d->hex[2 * i] = hex[md[i] >> 4];
        d->hex[2 * i + 1] = hex[md[i] & 0x0f];
    }
}


size_t
acr_hash_save(const acr_hash_t *h, unsigned char *buf)
{
    size_t          i, num;
    unsigned char  *p;

    p = buf;

    *p++ = ACR_HASH_VERSION;
    *p++ = (unsigned char) h->alg->id;

    p = acr_hash_put(p, acr_hash_count(h), 8);

    if (h->alg->id == ACR_SHA512) {

        for (i = 0; i < ACR_HASH_WORDS; i++) {
            p = acr_hash_put(p, h->u.sha512.h[i], 8);
        }

        num = h->u.sha512.num;
        memcpy(p, h->u.sha512.u.p, num);

    } else {

        for (i = 0; i < ACR_HASH_WORDS; i++) {
            p = acr_hash_put(p, h->u.sha256.h[i], 4);
        }

        num = h->u.sha256.num;
        memcpy(p, h->u.sha256.data, num);
    }

    return (size_t) (p - buf) + num;
}


int
acr_hash_restore(acr_hash_t *h, const unsigned char *p, size_t n)
{
    size_t                  i, word, block, num;
    uint64_t                count;
    const acr_algorithm_t  *alg;

    if (n < ACR_HASH_HEADER || p[0] != ACR_HASH_VERSION) {
        return ACR_INVALID;
    }

    alg = acr_algorithm_by_id(p[1]);

    if (alg == NULL) {
        return ACR_INVALID;
    }

    /* of both, the words are the digest, and a block is twice as long */

    word = alg->hex_len / 2 / ACR_HASH_WORDS;
    block = alg->hex_len;

    count = acr_hash_get(p + 2, 8);

    if (count > ACR_HASH_COUNT_MAX) {
        return ACR_INVALID;
    }

    num = (size_t) (count % block);

    if (n != ACR_HASH_HEADER + ACR_HASH_WORDS * word + num) {
        return ACR_INVALID;
    }

    /* also sets what is not saved, such as md_len */

    acr_hash_init(h, alg);

    p += ACR_HASH_HEADER;

    if (alg->id == ACR_SHA512) {

        for (i = 0; i < ACR_HASH_WORDS; i++) {
            h->u.sha512.h[i] = acr_hash_get(p, word);
            p += word;
        }

        h->u.sha512.Nl = count << 3;
        h->u.sha512.Nh = 0;
        h->u.sha512.num = (unsigned) num;
        memcpy(h->u.sha512.u.p, p, num);

    } else {

        for (i = 0; i < ACR_HASH_WORDS; i++) {
            h->u.sha256.h[i] = (SHA_LONG) acr_hash_get(p, word);
            p += word;
        }

        h->u.sha256.Nl = (SHA_LONG) (count << 3);
        h->u.sha256.Nh = (SHA_LONG) (count >> 29);
        h->u.sha256.num = (unsigned) num;
        memcpy(h->u.sha256.data, p, num);
    }

    return ACR_OK;
}


uint64_t
acr_hash_count(const acr_hash_t *h)
{
    if (h->alg->id == ACR_SHA512) {
        return (uint64_t) h->u.sha512.Nh << 61
               | (uint64_t) h->u.sha512.Nl >> 3;
    }

    return (uint64_t) h->u.sha256.Nh << 29 | (uint64_t) h->u.sha256.Nl >> 3;
}
