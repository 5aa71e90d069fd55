
#include <jansson.h>

#include "acr_error.h"
#include "fuzz.h"


/* the inside of a JSON string, whatever it was; UTF-8 comes back as it was */

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    size_t          len, i;
    json_t         *utf8, *back;
    unsigned char  *text, *exact;

    text = fuzz_alloc(6 * n);
    len = acr_json_escape(text, p, n);
    check(len >= n && len <= 6 * n);

    exact = fuzz_alloc(len + 2);
    exact[0] = '"';
    memcpy(exact + 1, text, len);
    exact[len + 1] = '"';

    back = json_loadb((char *) exact, len + 2,
                      JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    check(back != NULL && json_is_string(back));

    utf8 = json_stringn((const char *) p, n);

    if (utf8) {
        check(json_equal(utf8, back));

    } else {
        check(json_string_length(back) >= 3);
    }

    for (i = 0; i < len; i++) {
        check(text[i] >= 0x20);
    }

    json_decref(utf8);
    json_decref(back);
    free(exact);
    free(text);

    return 0;
}
