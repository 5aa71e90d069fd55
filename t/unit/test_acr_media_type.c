
#include "acr_media_type.h"
#include "tap.h"


static int
valid(const char *s, size_t n)
{
    return acr_media_type_valid(tap_copy(s, n), n);
}


static void
bare(const char *s, const char *want)
{
    size_t      n;
    acr_text_t  text;

    n = strlen(s);
    text = acr_media_type_bare(tap_copy(s, n), n);

    ok(text.len == strlen(want)
       && (text.len == 0 || memcmp(text.data, want, text.len) == 0),
       "bare '%s'", s);
}


int
main(void)
{
    int         c, right;
    char        s[300];
    acr_text_t  text;

    static const char  *good[] = {
        "a/b", "application/json", "A/B", "0/9",
        "application/vnd.oci.image.manifest.v1+json",
        "x!#$&-^_.+/y!#$&-^_.+"
    };
    static const char  *bad[] = {
        "", "/", "a", "a/", "/b", "a//b", "a/b/c", " a/b", "a/b ", "a /b",
        "a/b;c", "a/b,c/d", "*/*", "a/*", ".a/b", "a/.b", "+a/b", "a/-b",
        "a/b\n", "a/b\"", "a/b\\", "a/\xc3\xa9", "a/b\x7f"
    };

    for (c = 0; c < (int) (sizeof(good) / sizeof(good[0])); c++) {
        ok(valid(good[c], strlen(good[c])), "valid: %s", good[c]);
    }

    for (c = 0; c < (int) (sizeof(bad) / sizeof(bad[0])); c++) {
        ok(!valid(bad[c], strlen(bad[c])), "invalid: row %d", c);
    }

    ok(!valid("a/b\0", 4) && !valid("a\0/b", 4) && !valid("\0/b", 3),
       "zero bytes");

    /* names of 127 bytes, not 128 */

    memset(s, 'x', sizeof(s));
    s[127] = '/';
    ok(valid(s, 128 + 127), "two names of 127 bytes");
    is_int(128 + 127, ACR_MEDIA_TYPE_MAX, "are the longest media type");
    ok(!valid(s, 128 + 128), "a subtype of 128");
    s[127] = 'x';
    s[128] = '/';
    ok(!valid(s, 130), "a type of 128");

    /* which bytes may stand in a name, and which begin one */

    right = 0;

    for (c = 0; c < 256; c++) {
        s[0] = 'a';
        s[1] = '/';
        s[2] = 'a';
        s[3] = (char) c;
        right += valid(s, 4);
        s[2] = (char) c;
        right += 1000 * valid(s, 3);
    }

    is_int(right, 62 * 1000 + 71, "62 bytes begin a name, 71 go on");

    bare("a/b", "a/b");
    bare(" \ta/b \t", "a/b");
    bare("a/b;c=d", "a/b");
    bare("a/b ; c=\"d;e\"", "a/b");
    bare("a b", "a b");
    bare(";a/b", "");
    bare(" ; ", "");
    bare("   ", "");
    bare("", "");

    text = acr_media_type_bare(NULL, 0);
    is_int(text.len, 0, "no text at all");

    return done();
}
