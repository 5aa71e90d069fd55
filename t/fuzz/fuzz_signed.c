
#include "acr_signed.h"
#include "fuzz.h"


#define ONE   "0123456789abcdef0123456789abcdef"
#define TWO   "fedcba9876543210fedcba9876543210"

#define NOW   1800000000

/* an address ends with the id of its key and the signature */
#define FROM_KEY  (ACR_SIGNED_ID + sizeof("&sig=") - 1 + ACR_SIGNED_SIG)


/* they live as long as the process */

static const acr_signed_keys_t *
fixed_keys(void)
{
    static acr_signed_keys_t  *keys;

    if (keys == NULL) {
        keys = acr_signed_keys_create();
        check(keys != NULL);
        check(acr_signed_keys_add(keys, (const uint8_t *) ONE, sizeof(ONE) - 1)
              == ACR_OK);
        check(acr_signed_keys_add(keys, (const uint8_t *) TWO, sizeof(TWO) - 1)
              == ACR_OK);
    }

    return keys;
}


/* an address that is good is, by the first key, what would be made */

static void
again(const acr_digest_t *digest, int64_t expires, const uint8_t *p, size_t n,
    int first)
{
    size_t    len;
    uint8_t  *buf;

    buf = fuzz_alloc(ACR_SIGNED_MAX);

    check(acr_signed_print(fixed_keys(), digest, expires, buf, &len)
          == ACR_OK);
    check(len <= ACR_SIGNED_MAX);
    check(!first || fuzz_same(buf, len, p, n));

    free(buf);
}


static void
verify(const uint8_t *p, size_t n)
{
    int             rc;
    int64_t         expires;
    acr_text_t      path, args;
    acr_digest_t    digest;
    const uint8_t  *mark;

    mark = n ? memchr(p, '?', n) : NULL;

    path.data = p;
    path.len = mark ? (size_t) (mark - p) : n;
    args.data = mark ? mark + 1 : p + n;
    args.len = mark ? n - path.len - 1 : 0;

    rc = acr_signed_verify(fixed_keys(), &path, &args, NOW, &digest, &expires);

    check(rc == ACR_OK || rc == ACR_DONE || rc == ACR_INVALID);

    if (rc != ACR_INVALID) {
        check((rc == ACR_OK) == (expires > NOW));
        check(n > FROM_KEY);
        again(&digest, expires, p, n,
              memcmp(p + n - FROM_KEY, "9867684d", ACR_SIGNED_ID) == 0);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    int                 rc;
    uint8_t            *copy;
    acr_text_t          base;
    acr_signed_keys_t  *keys;

    copy = fuzz_alloc(n);
    memcpy(copy, p, n);

    verify(copy, n);

    base.data = copy;
    base.len = n;

    if (acr_signed_base(&base) == ACR_OK) {
        check(base.data == copy && base.len > 7 && base.len <= n);
        check(base.data[base.len - 1] != '/');
        check(memchr(base.data, '\n', base.len) == NULL);
    }

    keys = acr_signed_keys_create();
    check(keys != NULL);

    rc = acr_signed_keys_add(keys, copy, n);
    check(rc == ACR_OK || rc == ACR_INVALID);
    check(rc == ACR_INVALID || (n >= 32 && n <= ACR_SIGNED_SECRET_MAX + 2));

    acr_signed_keys_free(keys);
    free(copy);

    return 0;
}
