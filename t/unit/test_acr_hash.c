
#include "acr_hash.h"
#include "tap.h"

#define SHA256_EMPTY                                                         \
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SHA256_ABC                                                           \
    "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SHA512_ABC                                                           \
    "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"\
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"


static const unsigned char  *names[] = {
    (const unsigned char *) "sha256", (const unsigned char *) "sha512"
};


static void
once(const acr_algorithm_t *alg, const unsigned char *p, size_t n,
    acr_digest_t *d)
{
    acr_hash_t  h;

    acr_hash_init(&h, alg);
    acr_hash_update(&h, p, n);
    acr_hash_final(&h, d);
}


static void
known(const char *name, const char *text, const char *want)
{
    size_t         n;
    acr_digest_t   d;
    unsigned char  buf[ACR_DIGEST_MAX];

    once(acr_algorithm((const unsigned char *) name, 6),
         (const unsigned char *) text, strlen(text), &d);
    n = acr_digest_print(buf, &d);

    ok(n == strlen(want) && memcmp(buf, want, n) == 0, "%s of '%s'", name,
       text);
}


/* hashes p with a save and a restore at each of the random cuts */

static int
moved(const acr_algorithm_t *alg, const unsigned char *p, size_t n)
{
    size_t         i, part, len;
    acr_hash_t     h;
    acr_digest_t   want, got;
    unsigned char  saved[ACR_HASH_SAVED_MAX], again[ACR_HASH_SAVED_MAX];

    once(alg, p, n, &want);
    acr_hash_init(&h, alg);

    for (i = 0; i < n; i += part) {
        part = 1 + (size_t) rand() % (n - i);

        if (rand() % 2 && part > 300) {
            part = 1 + (size_t) rand() % 300;
        }

        acr_hash_update(&h, p + i, part);
        len = acr_hash_save(&h, saved);

        if (len > (alg->id == ACR_SHA256 ? 42 + 63 : 74 + 127)) {
            return 0;
        }

        memset(&h, 0xa5, sizeof(acr_hash_t));

        if (acr_hash_restore(&h, saved, len) != ACR_OK
            || acr_hash_count(&h) != i + part
            || acr_hash_save(&h, again) != len
            || memcmp(saved, again, len) != 0)
        {
            return 0;
        }
    }

    acr_hash_final(&h, &got);

    return acr_digest_equal(&want, &got);
}


int
main(void)
{
    int                     wrong;
    size_t                  i, a, n, len;
    acr_hash_t              h;
    acr_digest_t            want, got;
    const acr_algorithm_t  *alg;
    static unsigned char    data[70000];
    unsigned char           saved[ACR_HASH_SAVED_MAX + 1], *exact;

    srand(1);

    for (i = 0; i < sizeof(data); i++) {
        data[i] = (unsigned char) rand();
    }

    known("sha256", "", SHA256_EMPTY);
    known("sha256", "abc", SHA256_ABC);
    known("sha512", "abc", SHA512_ABC);

    for (a = 0; a < 2; a++) {
        alg = acr_algorithm(names[a], 6);

        wrong = 0;

        for (n = 0; n < 600; n++) {
            wrong += !moved(alg, data, n);
        }

        is_int(wrong, 0, "%s: every length to 600, random cuts", alg->name);

        wrong = 0;

        for (i = 0; i < 300; i++) {
            wrong += !moved(alg, data, (size_t) rand() % sizeof(data));
        }

        is_int(wrong, 0, "%s: random lengths, random cuts", alg->name);

        wrong = 0;
        once(alg, data, 400, &want);

        for (i = 0; i <= 400; i++) {
            acr_hash_init(&h, alg);
            acr_hash_update(&h, data, i);
            len = acr_hash_save(&h, saved);
            exact = tap_copy(saved, len);
            wrong += acr_hash_restore(&h, exact, len) != ACR_OK;
            wrong += acr_hash_count(&h) != i;
            acr_hash_update(&h, data + i, 400 - i);
            acr_hash_final(&h, &got);
            wrong += !acr_digest_equal(&want, &got);
        }

        is_int(wrong, 0, "%s: one cut at every place", alg->name);

        acr_hash_init(&h, alg);
        acr_hash_update(&h, NULL, 0);
        is_int(acr_hash_count(&h), 0, "%s: nothing hashed", alg->name);
        len = acr_hash_save(&h, saved);
        is_int(len, a ? 74 : 42, "%s: length of the empty state", alg->name);
        ok(saved[0] == 1 && saved[1] == a, "%s: version, algorithm",
           alg->name);

        acr_hash_update(&h, data, 200);
        len = acr_hash_save(&h, saved);
        ok(memcmp(saved + 2, "\0\0\0\0\0\0\0\xc8", 8) == 0,
           "%s: count in bytes", alg->name);
        ok(memcmp(saved + len - 200 % (a ? 128 : 64),
                  data + 200 - 200 % (a ? 128 : 64), 200 % (a ? 128 : 64))
           == 0, "%s: the unfinished block", alg->name);

        wrong = 0;

        for (i = 0; i <= len + 1; i++) {
            exact = tap_copy(saved, i);
            wrong += (acr_hash_restore(&h, exact, i) == ACR_OK) != (i == len);
        }

        is_int(wrong, 0, "%s: no other length is accepted", alg->name);

        saved[0] = 2;
        is_int(acr_hash_restore(&h, saved, len), ACR_INVALID, "%s: version",
               alg->name);
        saved[0] = 1;
        saved[1] = 2;
        is_int(acr_hash_restore(&h, saved, len), ACR_INVALID,
               "%s: algorithm", alg->name);
        saved[1] = (unsigned char) !a;
        is_int(acr_hash_restore(&h, saved, len), ACR_INVALID,
               "%s: the other algorithm", alg->name);
        saved[1] = (unsigned char) a;
        saved[9]++;
        is_int(acr_hash_restore(&h, saved, len), ACR_INVALID,
               "%s: a count that does not fit", alg->name);
        saved[9]--;
        is_int(acr_hash_restore(&h, saved, len), ACR_OK, "%s: intact",
               alg->name);

        /* the largest count there is: 2^61 - 1 bytes */

        memset(saved, 0, sizeof(saved));
        saved[0] = 1;
        saved[1] = (unsigned char) a;
        saved[2] = 0x1f;
        memset(saved + 3, 0xff, 7);
        len = a ? 74 + 127 : 42 + 63;
        is_int(acr_hash_restore(&h, saved, len), ACR_OK, "%s: 2^61 - 1",
               alg->name);
        ok(acr_hash_count(&h) == (UINT64_C(1) << 61) - 1, "%s: counted",
           alg->name);
        saved[2] = 0x20;
        memset(saved + 3, 0, 7);
        is_int(acr_hash_restore(&h, saved, a ? 74 : 42), ACR_INVALID,
               "%s: 2^61", alg->name);

        /* beyond 2^32 bits, where SHA256_CTX has its second counter */

        memset(saved, 0, sizeof(saved));
        saved[0] = 1;
        saved[1] = (unsigned char) a;
        saved[4] = 0x12;
        saved[5] = 0x34;
        is_int(acr_hash_restore(&h, saved, a ? 74 : 42), ACR_OK,
               "%s: many bytes", alg->name);
        ok(acr_hash_count(&h) == UINT64_C(0x123400000000), "%s: counted",
           alg->name);
        acr_hash_update(&h, data, 129);
        ok(acr_hash_count(&h) == UINT64_C(0x123400000081), "%s: and on",
           alg->name);
    }

    is_int(acr_hash_restore(&h, NULL, 0), ACR_INVALID, "no state at all");

    return done();
}
