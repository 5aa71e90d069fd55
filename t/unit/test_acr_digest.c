
#include "acr_digest.h"
#include "tap.h"

#define HEX64                                                                \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"


static int
parse(const char *s, size_t n)
{
    acr_digest_t  d;

    return acr_digest_parse(&d, tap_copy(s, n), n);
}


int
main(void)
{
    int            c, wrong;
    size_t         n;
    acr_digest_t   d, e;
    unsigned char  buf[ACR_DIGEST_MAX], text[] = "sha256:" HEX64;

    is_int(acr_digest_parse(&d, LIT("sha256:" HEX64)), ACR_OK, "sha256");
    is_int(d.alg->id, ACR_SHA256, "algorithm");
    n = acr_digest_print(buf, &d);
    is_int(n, 71, "length printed");
    ok(memcmp(buf, "sha256:" HEX64, n) == 0, "printed as parsed");

    is_int(acr_digest_parse(&e, LIT("sha512:" HEX64 HEX64)), ACR_OK, "sha512");
    is_int(e.alg->id, ACR_SHA512, "algorithm");
    n = acr_digest_print(buf, &e);
    is_int(n, ACR_DIGEST_MAX, "longest digest");
    ok(memcmp(buf, "sha512:" HEX64 HEX64, n) == 0, "printed as parsed");

    ok(!acr_digest_equal(&d, &e), "of two algorithms");
    ok(acr_digest_equal(&d, &d), "equal to itself");
    e = d;
    ok(acr_digest_equal(&d, &e), "equal to its copy");
    e.hex[63] = '0';
    ok(!acr_digest_equal(&d, &e), "differs in the last digit");
    e = d;
    e.hex[64] = '!';
    ok(acr_digest_equal(&d, &e), "bytes behind the digits do not count");

#define is(s, rc)  is_int(parse(s, sizeof(s) - 1), rc, "%s", #s)

    is("", ACR_INVALID);
    is(":", ACR_INVALID);
    is("sha256", ACR_INVALID);
    is("sha256:", ACR_INVALID);
    is(":" HEX64, ACR_INVALID);
    is("sha256" HEX64, ACR_INVALID);
    is("SHA256:" HEX64, ACR_INVALID);
    is(" sha256:" HEX64, ACR_INVALID);
    is("sha256:" HEX64 " ", ACR_INVALID);
    is("sha256:" HEX64 "\n", ACR_INVALID);
    is("sha256:" HEX64 "\0", ACR_INVALID);
    is("sha256:" HEX64 "0", ACR_INVALID);
    is("sha256:" HEX64 HEX64, ACR_INVALID);
    is("sha512:" HEX64, ACR_INVALID);
    is("sha256::" HEX64, ACR_INVALID);
    is("sha256:baddigeststring", ACR_INVALID);
    is("sha256\0:" HEX64, ACR_INVALID);
    is("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
       ACR_INVALID);
    is("md5:d41d8cd98f00b204e9800998ecf8427e", ACR_UNSUPPORTED);
    is("sha384:abc", ACR_UNSUPPORTED);
    is("sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564",
       ACR_UNSUPPORTED);
    is("multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
       ACR_UNSUPPORTED);
    is("a.b_c-d+e:x=", ACR_UNSUPPORTED);
    is("sha25:a", ACR_UNSUPPORTED);
    is("sha2566:a", ACR_UNSUPPORTED);
    is("md5:", ACR_INVALID);
    is("md5:a:b", ACR_INVALID);
    is("md5:a/b", ACR_INVALID);
    is("md5:../../x", ACR_INVALID);
    is("+md5:a", ACR_INVALID);
    is("md5+:a", ACR_INVALID);
    is("md++5:a", ACR_INVALID);
    is("Md5:a", ACR_INVALID);
    is("md5:\xff", ACR_INVALID);

    wrong = 0;

    for (c = 0; c < 256; c++) {
        text[7 + 31] = (unsigned char) c;
        n = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        wrong += acr_digest_parse(&d, text, sizeof(text) - 1)
                 != (n ? ACR_OK : ACR_INVALID);
    }

    is_int(wrong, 0, "every byte as a digit");

    d.alg = NULL;
    (void) acr_digest_parse(&d, LIT("sha256:zz"));
    ok(d.alg == NULL, "left alone if invalid");

    ok(acr_algorithm(LIT("sha256"))->hex_len == 64, "sha256 is known");
    ok(acr_algorithm(LIT("sha512"))->hex_len == 128, "sha512 is known");
    ok(acr_algorithm(LIT("sha")) == NULL, "sha is not");
    ok(acr_algorithm(LIT("sha256\0")) == NULL, "nor with a zero byte");
    ok(acr_algorithm(LIT("")) == NULL, "nor the empty name");

    ok(acr_algorithm_by_id(ACR_SHA256) == acr_algorithm(LIT("sha256")),
       "sha256 by its id");
    ok(acr_algorithm_by_id(ACR_SHA512) == acr_algorithm(LIT("sha512")),
       "sha512 by its id");
    ok(acr_algorithm_by_id(ACR_SHA512)->id == ACR_SHA512, "as it says");
    ok(acr_algorithm_by_id(2) == NULL && acr_algorithm_by_id(255) == NULL,
       "no other id");

    return done();
}
