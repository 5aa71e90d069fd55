
#include <regex.h>

#include "acr_name.h"
#include "fuzz.h"


/* the specification's own expressions say the same */

#define PART  "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*"


static int
matches(regex_t *re, const char *expression, const char *text)
{
    if (re->re_nsub == 0) {
        check(regcomp(re, expression, REG_EXTENDED) == 0);
    }

    return regexec(re, text, 0, NULL, 0) == 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    int             name, tag;
    char           *text;
    static regex_t  name_re, tag_re;

    name = acr_name_valid(p, n);
    tag = acr_tag_valid(p, n);

    if (n > 300 || (n && memchr(p, '\0', n))) {
        check(!name && !tag);
        return 0;
    }

    text = fuzz_alloc(n + 1);
    memcpy(text, p, n);
    text[n] = '\0';

    check(name == (n <= ACR_NAME_MAX
                   && matches(&name_re, "^" PART "(/" PART ")*$", text)));
    check(tag == matches(&tag_re, "^([a-zA-Z0-9_][a-zA-Z0-9._-]{0,127})$",
                         text));

    if (name) {
        check(strstr(text, "..") == NULL && strstr(text, "//") == NULL);
        check(strstr(text, "/.") == NULL && strstr(text, "/_") == NULL);
    }

    free(text);

    return 0;
}
