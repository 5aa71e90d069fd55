
#include "acr_query.h"
#include "tap.h"


/* takes a whole query apart: "name|value;" for each pair, "!;" if broken */

static void
query(const char *s, size_t n, const char *want, const char *label)
{
    int            rc;
    size_t         len;
    unsigned char  buf[256], *exact, *b;
    acr_text_t     rest, name, value;

    rest.data = tap_copy(s, n);
    rest.len = n;
    b = buf;

    for ( ;; ) {
        len = rest.len;
        exact = malloc(len ? len : 1);

        rc = acr_query_next(&rest, exact, &name, &value);

        if (rc == ACR_DONE) {
            free(exact);
            break;
        }

        if (rc == ACR_INVALID) {
            *b++ = '!';

        } else {
            memcpy(b, name.data, name.len);
            b += name.len;
            *b++ = '|';
            memcpy(b, value.data, value.len);
            b += value.len;
        }

        *b++ = ';';
        free(exact);

        if (rest.len >= len) {
            break;
        }
    }

    if (!ok((size_t) (b - buf) == strlen(want)
            && memcmp(buf, want, strlen(want)) == 0, "%s", label))
    {
        printf("#   got '%.*s'\n", (int) (b - buf), (char *) buf);
    }
}


#define is(s, want)  query(s, sizeof(s) - 1, want, #s)


int
main(void)
{
    int            c, wrong;
    size_t         n;
    acr_text_t     rest, name, value;
    unsigned char  all[256], out[768], back[768];

    is("", "");
    is("&", "");
    is("&&&", "");
    is("a", "a|;");
    is("a=", "a|;");
    is("=", "|;");
    is("=a", "|a;");
    is("a=b", "a|b;");
    is("a=b=c", "a|b=c;");
    is("a=b&c=d", "a|b;c|d;");
    is("&&a=b&&c=d&&", "a|b;c|d;");
    is("tag=a&tag=b&tag=c", "tag|a;tag|b;tag|c;");
    is("digest=sha256%3Aab", "digest|sha256:ab;");
    is("digest=sha256:ab", "digest|sha256:ab;");
    is("a+b=c+d", "a b|c d;");
    is("a=%2b%2B", "a|++;");
    is("a%3Db=%26", "a=b|&;");
    is("%41%4a%4A=%7a", "AJJ|z;");
    is("a=%", "!;");
    is("a=%4", "!;");
    is("a=%4&b=c", "!;b|c;");
    is("a=%&b=c", "!;b|c;");
    is("a=%zz", "!;");
    is("a=%4g", "!;");
    is("a=%g4", "!;");
    is("%=b", "!;");
    is("%4=b&c", "!;c|;");
    is("a=%4%41", "!;");
    is("a=%%41", "!;");
    is("a=% 1", "!;");
    is("a=%-1", "!;");
    is("a=\xff;b", "a|\xff;b;");
    is("a=%C3%A9", "a|\xc3\xa9;");

    rest.data = (const unsigned char *) "a%00b=%00";
    rest.len = 9;
    is_int(acr_query_next(&rest, out, &name, &value), ACR_OK, "zero bytes");
    ok(name.len == 3 && memcmp(name.data, "a\0b", 3) == 0, "in the name");
    ok(value.len == 1 && value.data[0] == 0, "in the value");
    is_int(acr_query_next(&rest, out, &name, &value), ACR_DONE, "the end");
    is_int(acr_query_next(&rest, out, &name, &value), ACR_DONE, "is final");

    for (c = 0; c < 256; c++) {
        all[c] = (unsigned char) c;
    }

    n = acr_query_escape(out, all, 256);
    is_int(n, 66 + 3 * 190, "66 unreserved characters");

    rest.data = out;
    rest.len = n;
    is_int(acr_query_next(&rest, back, &name, &value), ACR_OK, "read back");
    ok(name.len == 256 && memcmp(name.data, all, 256) == 0, "as it was");

    n = acr_query_escape(out, LIT("aZ09-._~/:+ %\xff"));
    ok(n == 26 && memcmp(out, "aZ09-._~%2F%3A%2B%20%25%FF", n) == 0,
       "escaped in upper case");
    is_int(acr_query_escape(out, NULL, 0), 0, "nothing escaped");

    wrong = 0;

    for (n = 0; n < 256; n++) {
        rest.data = tap_copy("%41%41%41%41%41%41%41%41%41%41", n % 31);
        rest.len = n % 31;

        if (rest.len == 0) {
            continue;
        }

        wrong += acr_query_next(&rest, out, &name, &value)
                 != (n % 31 % 3 ? ACR_INVALID : ACR_OK);
    }

    is_int(wrong, 0, "cut at every place");

    return done();
}
