
#include "acr_digest.h"
#include "fuzz.h"


/* what is parsed prints as it was read */

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    int            rc;
    acr_digest_t   d, again;
    unsigned char  text[ACR_DIGEST_MAX];

    rc = acr_digest_parse(&d, p, n);

    if (rc != ACR_OK) {
        check(rc == ACR_INVALID || rc == ACR_UNSUPPORTED);
        check(rc == ACR_INVALID || memchr(p, ':', n));
        return 0;
    }

    check(d.alg == acr_algorithm(p, d.alg->name_len));
    check(d.alg->hex_len <= ACR_HEX_MAX);
    check(fuzz_same(text, acr_digest_print(text, &d), p, n));

    check(acr_digest_parse(&again, text, n) == ACR_OK);
    check(acr_digest_equal(&d, &again));

    again.hex[n % again.alg->hex_len] ^= 1;
    check(!acr_digest_equal(&d, &again));

    return 0;
}
