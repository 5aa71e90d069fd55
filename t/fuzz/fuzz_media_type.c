
#include <regex.h>

#include "acr_media_type.h"
#include "fuzz.h"


/* image-spec's own expression says the same */

#define NAME  "[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    int             valid;
    char           *text;
    acr_text_t      bare, whole;
    static regex_t  re;

    bare = acr_media_type_bare(p, n);
    check(bare.len <= n);
    check(bare.len == 0 || (bare.data >= p
                            && bare.data + bare.len <= p + n));
    check(bare.len == 0 || memchr(bare.data, ';', bare.len) == NULL);

    valid = acr_media_type_valid(p, n);

    if (n > 1000 || (n && memchr(p, '\0', n))) {
        check(!valid);
        return 0;
    }

    text = fuzz_alloc(n + 1);
    memcpy(text, p, n);
    text[n] = '\0';

    if (re.re_nsub == 0) {
        check(regcomp(&re, "^(" NAME "/" NAME ")$", REG_EXTENDED) == 0);
    }

    check(valid == (regexec(&re, text, 0, NULL, 0) == 0));

    whole.data = p;
    whole.len = n;
    check(acr_text_is(&whole, text));
    check(acr_text_begins(&whole, text));

    if (valid) {
        check(n <= ACR_MEDIA_TYPE_MAX);
        check(fuzz_same(bare.data, bare.len, p, n));
    }

    free(text);

    return 0;
}
