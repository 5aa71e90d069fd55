
#include "acr_hash.h"
#include "fuzz.h"


/* a state that is restored saves as it was, and goes on as it would have */

static void
restored(const uint8_t *p, size_t n)
{
    size_t          len;
    acr_hash_t      h, moved;
    acr_digest_t    want, got;
    unsigned char   saved[ACR_HASH_SAVED_MAX];

    if (acr_hash_restore(&h, p, n) != ACR_OK) {
        return;
    }

    check(fuzz_same(saved, acr_hash_save(&h, saved), p, n));

    /* the count of a real upload is far from its end */

    if (acr_hash_count(&h) > UINT64_C(1) << 60) {
        return;
    }

    acr_hash_update(&h, p, n);
    len = acr_hash_save(&h, saved);
    check(len <= ACR_HASH_SAVED_MAX);

    check(acr_hash_restore(&moved, saved, len) == ACR_OK);
    check(acr_hash_count(&moved) == acr_hash_count(&h));

    acr_hash_update(&h, "x", 1);
    acr_hash_update(&moved, "x", 1);
    acr_hash_final(&h, &want);
    acr_hash_final(&moved, &got);
    check(acr_digest_equal(&want, &got));
}


/* data hashed in two parts, moved between them, is the data hashed at once */

static void
in_two(const uint8_t *p, size_t n, const acr_algorithm_t *alg)
{
    size_t         cut, len;
    acr_hash_t     h;
    acr_digest_t   want, got;
    unsigned char  saved[ACR_HASH_SAVED_MAX];

    cut = n ? p[0] * n / 256 : 0;

    acr_hash_init(&h, alg);
    acr_hash_update(&h, p, n);
    acr_hash_final(&h, &want);

    acr_hash_init(&h, alg);
    acr_hash_update(&h, p, cut);
    len = acr_hash_save(&h, saved);
    check(acr_hash_restore(&h, saved, len) == ACR_OK);
    acr_hash_update(&h, p + cut, n - cut);
    acr_hash_final(&h, &got);

    check(acr_digest_equal(&want, &got));
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    int             i;
    size_t          block, num;
    unsigned char  *state;

    restored(p, n);

    in_two(p, n, acr_algorithm((const unsigned char *) "sha256", 6));
    in_two(p, n, acr_algorithm((const unsigned char *) "sha512", 6));

    /* the same text made into a state whose count fits its length */

    state = fuzz_alloc(n);
    memcpy(state, p, n);

    for (i = 0; i < 2; i++) {
        block = i ? 128 : 64;

        if (n < 10 + block / 2 || n - 10 - block / 2 >= block) {
            continue;
        }

        num = n - 10 - block / 2;

        state[0] = 1;
        state[1] = (unsigned char) i;
        state[2] &= 0x1f;
        state[9] = (unsigned char) ((p[9] & ~(block - 1)) | num);

        restored(state, n);
    }

    free(state);

    return 0;
}
