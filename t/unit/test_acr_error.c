
#include <jansson.h>

#include "acr_error.h"
#include "tap.h"


static void
escape(const char *p, size_t n, const char *want, const char *name)
{
    size_t         len;
    unsigned char  *buf;

    buf = tap_copy("", 0);

    if (n) {
        free(tap_copies[--tap_ncopies]);
        buf = malloc(6 * n);
        tap_copies[tap_ncopies++] = buf;
    }

    len = acr_json_escape(buf, tap_copy(p, n), n);

    if (!ok(len == strlen(want) && memcmp(buf, want, len) == 0, "%s", name)) {
        printf("#   got '%.*s'\n", (int) len, (char *) buf);
    }
}


int
main(void)
{
    int                 c, wrong;
    size_t              len;
    json_t             *json;
    unsigned char       byte, buf[8], text[3];
    const acr_error_t  *e;

    e = acr_error(ACR_E_BLOB_UNKNOWN);
    ok(strcmp(e->code, "BLOB_UNKNOWN") == 0, "the first code");
    is_int(e->status, 404, "its status");
    e = acr_error(ACR_E_UNKNOWN);
    ok(strcmp(e->code, "UNKNOWN") == 0, "the last code");
    is_int(e->status, 500, "its status");

    wrong = 0;

    for (c = 0; c < ACR_E_MAX; c++) {
        e = acr_error((acr_error_e) c);
        wrong += e == NULL || e->code[0] == '\0' || e->message[0] == '\0'
                 || e->status < 400 || e->status > 599;
    }

    is_int(wrong, 0, "every row is complete");
    ok(acr_error((acr_error_e) ACR_E_MAX) == acr_error(ACR_E_UNKNOWN),
       "behind the table");
    ok(acr_error((acr_error_e) -1) == acr_error(ACR_E_UNKNOWN),
       "before the table");

#define is(s, want)  escape(s, sizeof(s) - 1, want, #s)
#define FFFD  "\xef\xbf\xbd"

    is("", "");
    is("plain text/123", "plain text/123");
    is("\"\\", "\\\"\\\\");
    is("\b\t\n\f\r", "\\b\\t\\n\\f\\r");
    is("\0\x01\x1f\x7f", "\\u0000\\u0001\\u001f\x7f");
    is("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
       "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    is("\x80", FFFD);
    is("\xff\xfe", FFFD FFFD);
    is("\xc0\x80", FFFD FFFD);
    is("\xc1\xbf", FFFD FFFD);
    is("\xc2", FFFD);
    is("\xc2x", FFFD "x");
    is("\xe0\x9f\xbf", FFFD FFFD FFFD);
    is("\xe0\xa0\x80", "\xe0\xa0\x80");
    is("\xed\x9f\xbf", "\xed\x9f\xbf");
    is("\xed\xa0\x80", FFFD FFFD FFFD);
    is("\xe2\x82", FFFD FFFD);
    is("\xe2\x82\"", FFFD FFFD "\\\"");
    is("\xf0\x8f\xbf\xbf", FFFD FFFD FFFD FFFD);
    is("\xf0\x90\x80\x80", "\xf0\x90\x80\x80");
    is("\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf");
    is("\xf4\x90\x80\x80", FFFD FFFD FFFD FFFD);
    is("\xf5\x80\x80\x80", FFFD FFFD FFFD FFFD);
    is("\xf0\x9f\x98", FFFD FFFD FFFD);

    wrong = 0;

    for (c = 0; c < 256; c++) {
        byte = (unsigned char) c;
        buf[0] = '"';
        len = acr_json_escape(buf + 1, &byte, 1);
        buf[len + 1] = '"';
        json = json_loadb((char *) buf, len + 2,
                          JSON_DECODE_ANY|JSON_ALLOW_NUL, NULL);

        if (json == NULL) {
            wrong++;
            continue;
        }

        if (c < 128) {
            wrong += json_string_length(json) != 1
                     || json_string_value(json)[0] != (char) c;

        } else {
            memcpy(text, FFFD, 3);
            wrong += json_string_length(json) != 3
                     || memcmp(json_string_value(json), text, 3) != 0;
        }

        json_decref(json);
    }

    is_int(wrong, 0, "every byte, read back by jansson");

    return done();
}
