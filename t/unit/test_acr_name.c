
#include "acr_name.h"
#include "tap.h"


static const char  *good[] = {
    "a", "0", "a/b", "library/nginx", "a.b", "a_b", "a__b", "a-b", "a---b",
    "a-----------b/c", "blobs", "a/manifests/b", "x/tags/list/y", "a.b_c__d-e",
    "0/1/2/3", "blobs/uploads", NULL
};

static const char  *bad[] = {
    "", "/", "a/", "/a", "a//b", "A", "aB", ".", "..", "a/..", "../a", ".a",
    "a.", "a..b", "_a", "a_", "a___b", "-a", "a-", "a-/b", "a/-b", "a._b",
    "a_.b", "a-.b", "a-_b", "a_-b", "a/_b", "a/.b", "a b", "a%2fb", "a:b",
    "a@b", "a\\b", "a\nb", "a\n", "\xc3\xa9", "a/_oci", "_catalog", "a__",
    "a/__b", NULL
};

static const char  *good_tags[] = {
    "latest", "A", "_", "_a", "0", "1.2.3-rc.1", "a..b", "a--", "a.", "__", NULL
};

static const char  *bad_tags[] = {
    "", ".", "..", ".a", "-a", "a/b", "a b", "a:b", "a@b", "a+b", "a\n",
    "\xff", "a%20", NULL
};


int
main(void)
{
    int            c, wrong;
    size_t         i, n;
    unsigned char  text[300], one[1], three[3];

    for (i = 0; good[i]; i++) {
        n = strlen(good[i]);
        ok(acr_name_valid(tap_copy(good[i], n), n), "name '%s'", good[i]);
    }

    for (i = 0; bad[i]; i++) {
        n = strlen(bad[i]);
        ok(!acr_name_valid(tap_copy(bad[i], n), n), "no name %d", (int) i);
    }

    memset(text, 'a', sizeof(text));
    ok(acr_name_valid(tap_copy(text, 255), 255), "name of 255 bytes");
    ok(!acr_name_valid(tap_copy(text, 256), 256), "name of 256 bytes");

    memset(text + 1, '-', 253);
    ok(acr_name_valid(tap_copy(text, 255), 255), "253 dashes");
    ok(!acr_name_valid(tap_copy(text, 254), 254), "dashes at the end");

    ok(!acr_name_valid(LIT("a\0b")), "zero byte in a name");
    ok(!acr_name_valid(LIT("a\0")), "zero byte behind a name");
    ok(!acr_name_valid(NULL, 0), "no name at all");

    wrong = 0;

    for (c = 0; c < 256; c++) {
        one[0] = (unsigned char) c;
        n = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        wrong += acr_name_valid(one, 1) != (int) n;

        three[0] = 'a';
        three[1] = (unsigned char) c;
        three[2] = 'b';
        n = n || c == '.' || c == '_' || c == '-' || c == '/';
        wrong += acr_name_valid(three, 3) != (int) n;
    }

    is_int(wrong, 0, "every byte, alone and between letters");

    for (i = 0; good_tags[i]; i++) {
        n = strlen(good_tags[i]);
        ok(acr_tag_valid(tap_copy(good_tags[i], n), n), "tag '%s'",
           good_tags[i]);
    }

    for (i = 0; bad_tags[i]; i++) {
        n = strlen(bad_tags[i]);
        ok(!acr_tag_valid(tap_copy(bad_tags[i], n), n), "no tag %d", (int) i);
    }

    memset(text, 'Z', sizeof(text));
    ok(acr_tag_valid(tap_copy(text, 128), 128), "tag of 128 bytes");
    ok(!acr_tag_valid(tap_copy(text, 129), 129), "tag of 129 bytes");
    ok(!acr_tag_valid(LIT("a\0")), "zero byte in a tag");
    ok(!acr_tag_valid(NULL, 0), "no tag at all");

    return done();
}
