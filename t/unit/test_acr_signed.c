
#include <openssl/err.h>
#include <openssl/crypto.h>

#include "acr_signed.h"
#include "tap.h"


#define ONE     "0123456789abcdef0123456789abcdef"
#define TWO     "fedcba9876543210fedcba9876543210"

#define HEX     "abababababababababababababababab"                           \
                "abababababababababababababababab"
#define PATH    "sha256/" HEX

/* made by Perl's Digest::SHA: what others compute is the same */

#define WHEN    1800000000
#define ARGS_1  "expires=1800000000&key=9867684d"                            \
                "&sig=xeD_XzL7pzqHiyJ7vBx76tDneEAOzs7xvaBHjtGCsLE"
#define ARGS_2  "expires=1800000000&key=3f481dcc"                            \
                "&sig=X1bhWCTKR8O1CTZ07s6b_CWB1uzLqStoZUX1U3cWR2w"


/* how often malloc() of OpenSSL may still succeed; -1: always */

static long  allocations_left = -1;


static void *
crypto_malloc(size_t n, const char *file, int line)
{
    (void) file;
    (void) line;

    if (allocations_left == 0) {
        return NULL;
    }

    if (allocations_left > 0) {
        allocations_left--;
    }

    return n ? malloc(n) : NULL;
}


static void *
crypto_realloc(void *p, size_t n, const char *file, int line)
{
    (void) file;
    (void) line;

    return realloc(p, n);
}


static void
crypto_free(void *p, const char *file, int line)
{
    (void) file;
    (void) line;

    free(p);
}


static acr_text_t
text(const char *s, size_t n)
{
    acr_text_t  copy;

    copy.data = tap_copy(s, n);
    copy.len = n;

    return copy;
}


static acr_signed_keys_t *
keys_of(const char *first, const char *second)
{
    acr_signed_keys_t  *keys;

    keys = acr_signed_keys_create();

    if (keys == NULL
        || acr_signed_keys_add(keys, (unsigned char *) first, strlen(first))
           != ACR_OK
        || (second
            && acr_signed_keys_add(keys, (unsigned char *) second,
                                   strlen(second))
               != ACR_OK))
    {
        printf("Bail out! no keys\n");
        exit(2);
    }

    return keys;
}


static int
verify_n(const acr_signed_keys_t *keys, const char *path, size_t path_len,
    const char *args, size_t args_len, int64_t now)
{
    int64_t       expires;
    acr_text_t    p, a;
    acr_digest_t  digest;

    p = text(path, path_len);
    a = text(args, args_len);

    return acr_signed_verify(keys, &p, &a, now, &digest, &expires);
}


static int
verify(const acr_signed_keys_t *keys, const char *path, const char *args,
    int64_t now)
{
    return verify_n(keys, path, strlen(path), args, strlen(args), now);
}


static int
add(const char *s, size_t n)
{
    int                 rc;
    acr_signed_keys_t  *keys;

    keys = acr_signed_keys_create();
    rc = acr_signed_keys_add(keys, tap_copy(s, n), n);
    acr_signed_keys_free(keys);

    return rc;
}


static void
secrets(void)
{
    int                 c, rc, wrong;
    char                many[ACR_SIGNED_SECRET_MAX + 3];
    unsigned            i;
    acr_signed_keys_t  *keys;

    is_int(add(ONE, 32), ACR_OK, "a secret");
    is_int(add(ONE, 31), ACR_INVALID, "a short one");
    is_int(add(ONE, 0), ACR_INVALID, "none");
    is_int(add(ONE "\n", 33), ACR_OK, "a line");
    is_int(add(ONE "\r\n", 34), ACR_OK, "of another kind");
    is_int(add(ONE "\n\n", 34), ACR_INVALID, "two lines");
    is_int(add(ONE "\r", 33), ACR_INVALID, "no line end");
    is_int(add("\n", 1), ACR_INVALID, "an empty line");
    is_int(add("\r\n", 2), ACR_INVALID, "and another");
    is_int(add("0123456789abcdef0123456789abcde\n", 32), ACR_INVALID,
           "the line end does not count");

    wrong = 0;

    for (c = 0; c < 256; c++) {
        memcpy(many, ONE, 32);
        many[10] = (char) c;
        rc = add(many, 32);
        wrong += (rc == ACR_OK) != (c >= 0x20 && c < 0x7f);
    }

    is_int(wrong, 0, "characters that can be printed");

    memset(many, 'x', sizeof(many));
    is_int(add(many, ACR_SIGNED_SECRET_MAX), ACR_OK, "the longest");
    is_int(add(many, ACR_SIGNED_SECRET_MAX + 1), ACR_INVALID, "a longer one");

    keys = keys_of(ONE, TWO);
    is_int(acr_signed_keys_add(keys, LIT(ONE "\n")), ACR_UNSUPPORTED,
           "the same twice");

    for (i = 2; i < ACR_SIGNED_KEYS_MAX; i++) {
        memset(many, 'a' + (int) i, 32);
        rc = acr_signed_keys_add(keys, (unsigned char *) many, 32);
        ok(rc == ACR_OK, "key %u", i);
    }

    is_int(acr_signed_keys_add(keys, LIT(ONE "x")), ACR_UNSUPPORTED,
           "one too many");
    is_int(verify(keys, PATH, ARGS_2, 1), ACR_OK, "the others stay");

    acr_signed_keys_free(keys);
    acr_signed_keys_free(NULL);
}


static void
addresses(void)
{
    size_t              n, len;
    int64_t             expires;
    unsigned            i, wrong;
    acr_text_t          path, args;
    acr_digest_t        digest, other;
    unsigned char       buf[ACR_SIGNED_MAX];
    char                copy[sizeof(ARGS_1) + 1];
    acr_signed_keys_t  *keys, *none;

    keys = keys_of(ONE, TWO);
    none = acr_signed_keys_create();

    acr_digest_parse(&digest, LIT("sha256:" HEX));

    is_int(acr_signed_print(keys, &digest, WHEN, buf, &len), ACR_OK, "made");
    ok(len == sizeof(PATH "?" ARGS_1) - 1
       && memcmp(buf, PATH "?" ARGS_1, len) == 0, "as Perl makes it");

    path = text(PATH, sizeof(PATH) - 1);
    args = text(ARGS_1, sizeof(ARGS_1) - 1);
    is_int(acr_signed_verify(keys, &path, &args, WHEN - 1, &other, &expires),
           ACR_OK, "it is good");
    ok(acr_digest_equal(&digest, &other), "for its digest");
    is_int(expires, WHEN, "until then");

    is_int(verify(keys, PATH, ARGS_1, WHEN), ACR_DONE, "and not longer");
    is_int(verify(keys, PATH, ARGS_2, WHEN - 1), ACR_OK, "by another key");
    is_int(verify(none, PATH, ARGS_1, 1), ACR_INVALID, "by none");
    is_int(acr_signed_print(none, &digest, WHEN, buf, &len), ACR_INVALID,
           "none makes one");

    is_int(acr_signed_print(keys, &digest, 999999999999, buf, &len), ACR_OK,
           "the last time");
    is_int(acr_signed_print(keys, &digest, 1000000000000, buf, &len),
           ACR_INVALID, "is the last one");
    is_int(acr_signed_print(keys, &digest, 0, buf, &len), ACR_INVALID, "zero");
    is_int(acr_signed_print(keys, &digest, -1, buf, &len), ACR_INVALID,
           "a time before");

    /* every byte counts, whatever it becomes; what is cut; what is added */

    wrong = 0;

    for (n = 0; n < sizeof(ARGS_1) - 1; n++) {
        for (i = 1; i < 256; i++) {
            memcpy(copy, ARGS_1, sizeof(ARGS_1));
            copy[n] ^= (char) i;

            path.data = (const unsigned char *) PATH;
            path.len = sizeof(PATH) - 1;
            args.data = (const unsigned char *) copy;
            args.len = sizeof(ARGS_1) - 1;

            wrong += acr_signed_verify(keys, &path, &args, 1, &other,
                                       &expires)
                     != ACR_INVALID;
        }
    }

    is_int(wrong, 0, "changed at any place");

    wrong = 0;

    for (n = 0; n < sizeof(ARGS_1) - 1; n++) {
        wrong += verify_n(keys, PATH, sizeof(PATH) - 1, ARGS_1, n, 1)
                 != ACR_INVALID;
    }

    for (n = 0; n < sizeof(PATH) - 1; n++) {
        wrong += verify_n(keys, PATH, n, ARGS_1, sizeof(ARGS_1) - 1, 1)
                 != ACR_INVALID;
    }

    is_int(wrong, 0, "cut at any place");

    is_int(verify(keys, PATH, ARGS_1 "A", 1), ACR_INVALID, "a byte more");
    is_int(verify(keys, PATH, ARGS_1 "=", 1), ACR_INVALID, "padding");
    is_int(verify(keys, PATH, ARGS_1 "&", 1), ACR_INVALID, "an empty one");
    is_int(verify(keys, PATH, ARGS_1 "&x=1", 1), ACR_INVALID, "one more");
    is_int(verify(keys, PATH, "&" ARGS_1, 1), ACR_INVALID, "before");
    is_int(verify(keys, PATH, ARGS_1 "&" ARGS_1, 1), ACR_INVALID, "twice");
    is_int(verify(keys, PATH, "x=1&" ARGS_1, 1), ACR_INVALID, "another first");
    is_int(verify_n(keys, PATH, sizeof(PATH) - 1, ARGS_1, sizeof(ARGS_1), 1),
           ACR_INVALID, "a zero byte");
    is_int(verify(keys, PATH, "key=9867684d&expires=1800000000"
                  "&sig=xeD_XzL7pzqHiyJ7vBx76tDneEAOzs7xvaBHjtGCsLE", 1),
           ACR_INVALID, "in another order");
    is_int(verify(keys, PATH, "expires=01800000000&key=9867684d"
                  "&sig=xeD_XzL7pzqHiyJ7vBx76tDneEAOzs7xvaBHjtGCsLE", 1),
           ACR_INVALID, "a leading zero");
    is_int(verify(keys, PATH, "expires=+1800000000&key=9867684d"
                  "&sig=xeD_XzL7pzqHiyJ7vBx76tDneEAOzs7xvaBHjtGCsLE", 1),
           ACR_INVALID, "a sign");
    is_int(verify(keys, PATH, "expires=&key=9867684d"
                  "&sig=xeD_XzL7pzqHiyJ7vBx76tDneEAOzs7xvaBHjtGCsLE", 1),
           ACR_INVALID, "no time");
    is_int(verify(keys, PATH, "expires=18000000000000000000000&key=9867684d"
                  "&sig=xeD_XzL7pzqHiyJ7vBx76tDneEAOzs7xvaBHjtGCsLE", 1),
           ACR_INVALID, "a long one");
    is_int(verify(keys, PATH, "expires=1800000000&key=3f481dcc"
                  "&sig=xeD_XzL7pzqHiyJ7vBx76tDneEAOzs7xvaBHjtGCsLE", 1),
           ACR_INVALID, "another key than it says");

    is_int(verify(keys, "sha256:" HEX, ARGS_1, 1), ACR_INVALID, "a colon");
    is_int(verify(keys, "/" PATH, ARGS_1, 1), ACR_INVALID, "a slash before");
    is_int(verify(keys, PATH "/", ARGS_1, 1), ACR_INVALID, "and behind");
    is_int(verify(keys, PATH "/data", ARGS_1, 1), ACR_INVALID, "a longer path");
    is_int(verify(keys, "sha512/" HEX HEX, ARGS_1, 1), ACR_INVALID,
           "another algorithm");
    is_int(verify(keys, "md5/" HEX, ARGS_1, 1), ACR_INVALID, "an unknown one");
    is_int(verify(keys, "sha256/ABABABABABABABABABABABABABABABAB"
                  "abababababababababababababababab", ARGS_1, 1), ACR_INVALID,
           "capitals");
    is_int(verify(keys, "", ARGS_1, 1), ACR_INVALID, "no path");

    acr_digest_parse(&digest, LIT("sha512:" HEX HEX));
    is_int(acr_signed_print(keys, &digest, 999999999999, buf, &len), ACR_OK,
           "sha512");
    is_int(len, ACR_SIGNED_MAX, "is the longest address");
    path.data = buf;
    path.len = sizeof("sha512/" HEX HEX) - 1;
    args.data = buf + path.len + 1;
    args.len = len - path.len - 1;
    is_int(acr_signed_verify(keys, &path, &args, 1, &other, &expires), ACR_OK,
           "and good");

    acr_signed_keys_free(keys);
    acr_signed_keys_free(none);
}


static void
times(void)
{
    int64_t       now, lifetime, expires, last;
    unsigned      wrong, changes;
    acr_digest_t  a, b;

    acr_digest_parse(&a, LIT("sha256:" HEX));
    acr_digest_parse(&b, LIT("sha256:ffffffff" "abababababababababababab"
                             "abababababababababababababababab"));
    wrong = 0;

    for (lifetime = 2; lifetime < 200; lifetime++) {
        last = 0;
        changes = 0;

        for (now = 1800000000; now < 1800000000 + 2 * lifetime; now++) {
            expires = acr_signed_expires(&a, now, lifetime);
            wrong += expires - now <= lifetime / 2
                     || expires - now > lifetime || expires < last;
            changes += expires != last;
            last = expires;
        }

        wrong += changes > 6;
    }

    is_int(wrong, 0, "more than half of the lifetime, no more than all of it");
    ok(acr_signed_expires(&a, 1800000000, 3600)
       != acr_signed_expires(&b, 1800000000, 3600),
       "different digests end at different times");
    is_int(acr_signed_expires(&b, 1, 2), 3, "the shortest");
}


static void
base(const char *s, const char *want)
{
    acr_text_t  t;

    t = text(s, strlen(s));

    if (want == NULL) {
        is_int(acr_signed_base(&t), ACR_INVALID, "no base: %s", s);
        return;
    }

    is_int(acr_signed_base(&t), ACR_OK, "a base: %s", s);
    ok(t.len == strlen(want) && memcmp(t.data, want, t.len) == 0, "is %s",
       want);
}


static void
bases(void)
{
    base("https://data.example", "https://data.example");
    base("https://data.example/", "https://data.example");
    base("https://data.example///", "https://data.example");
    base("HTTP://data.example:8080", "HTTP://data.example:8080");
    base("https://[::1]:443/a/b%20c/", "https://[::1]:443/a/b%20c");
    base("", NULL);
    base("/", NULL);
    base("https://", NULL);
    base("https:///a", NULL);
    base("https://:443", NULL);
    base("http:", NULL);
    base("ftp://data.example", NULL);
    base("data.example", NULL);
    base("//data.example", NULL);
    base("https://user@data.example", NULL);
    base("https://data.example?a", NULL);
    base("https://data.example/#a", NULL);
    base("https://data.example/a b", NULL);
    base("https://data.example/a\tb", NULL);
    base("https://data.example/\"", NULL);
    base("https://data.example/<", NULL);
    base("https://data.example/\\", NULL);
    base("https://data.example/\xc3\xa9", NULL);
    base("https://data.example\x7f", NULL);
}


/* whatever allocation fails, nothing is wrong or lost */

static void
memory(void)
{
    int                 rc;
    long                n;
    unsigned            refused;
    unsigned char       buf[ACR_SIGNED_MAX];
    size_t              len;
    acr_digest_t        digest;
    acr_signed_keys_t  *keys;

    acr_digest_parse(&digest, LIT("sha256:" HEX));
    refused = 0;

    for (n = 0; n < 200; n++) {
        keys = acr_signed_keys_create();

        allocations_left = n;
        rc = acr_signed_keys_add(keys, LIT(ONE));
        allocations_left = -1;

        refused += rc == ACR_NOMEM;

        if (rc != ACR_OK && rc != ACR_NOMEM) {
            break;
        }

        acr_signed_keys_free(keys);
    }

    is_int(n, 200, "a key, or no memory for it");
    ok(refused > 0, "which has happened");

    keys = keys_of(ONE, NULL);
    refused = 0;

    for (n = 0; n < 50; n++) {
        allocations_left = n;
        rc = acr_signed_print(keys, &digest, WHEN, buf, &len);
        allocations_left = -1;

        refused += rc == ACR_NOMEM;

        if (rc != ACR_NOMEM
            && (rc != ACR_OK || memcmp(buf, PATH "?" ARGS_1, len) != 0))
        {
            break;
        }
    }

    is_int(n, 50, "an address, or no memory for it");
    ok(refused > 0, "which has happened");
    is_int(ERR_peek_error(), 0, "OpenSSL's queue of errors is empty");

    acr_signed_keys_free(keys);
}


int
main(void)
{
    if (!CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc,
                                  crypto_free))
    {
        printf("Bail out! OpenSSL has allocated already\n");
        return 2;
    }

    secrets();
    addresses();
    times();
    bases();
    memory();

    return done();
}
