
#include <string.h>

#include "acr_core.h"


static unsigned char
acr_text_lower(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') ? (unsigned char) (c | 0x20) : c;
}


int
acr_text_begins(const acr_text_t *text, const char *s)
{
    size_t  i, len;

    len = strlen(s);

    if (text->len < len) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (acr_text_lower(text->data[i])
            != acr_text_lower((unsigned char) s[i]))
        {
            return 0;
        }
    }

    return 1;
}


int
acr_text_is(const acr_text_t *text, const char *s)
{
    return text->len == strlen(s) && acr_text_begins(text, s);
}


int
acr_text_equal(const acr_text_t *a, const acr_text_t *b)
{
    return a->len == b->len
           && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}
