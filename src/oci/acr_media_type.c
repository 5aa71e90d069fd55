
#include <string.h>

#include "acr_media_type.h"


#define ACR_MEDIA_TYPE_NAME_MAX  127


static unsigned char
acr_media_type_lower(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') ? (unsigned char) (c | 0x20) : c;
}


static int
acr_media_type_space(unsigned char c)
{
    return c == ' ' || c == '\t';
}


/* the length of RFC 6838's restricted-name at p, or 0 */

static size_t
acr_media_type_name(const unsigned char *p, size_t n)
{
    size_t         i;
    unsigned char  c;

    for (i = 0; i < n; i++) {
        c = acr_media_type_lower(p[i]);

        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
            continue;
        }

        if (i == 0 || c == '\0' || strchr("!#$&-^_.+", c) == NULL) {
            break;
        }
    }

    return i > ACR_MEDIA_TYPE_NAME_MAX ? 0 : i;
}


int
acr_media_type_valid(const unsigned char *p, size_t n)
{
    size_t  len;

    len = acr_media_type_name(p, n);

    if (len == 0 || len == n || p[len] != '/') {
        return 0;
    }

    p += len + 1;
    n -= len + 1;

    return n != 0 && acr_media_type_name(p, n) == n;
}


int
acr_media_type_begins(const acr_text_t *text, const char *s)
{
    size_t  i, len;

    len = strlen(s);

    if (text->len < len) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (acr_media_type_lower(text->data[i])
            != acr_media_type_lower((unsigned char) s[i]))
        {
            return 0;
        }
    }

    return 1;
}


int
acr_media_type_is(const acr_text_t *text, const char *s)
{
    return text->len == strlen(s) && acr_media_type_begins(text, s);
}


acr_text_t
acr_media_type_bare(const unsigned char *p, size_t n)
{
    acr_text_t  text;

    text.data = p;
    text.len = 0;

    while (text.len < n && p[text.len] != ';') {
        text.len++;
    }

    while (text.len && acr_media_type_space(text.data[text.len - 1])) {
        text.len--;
    }

    while (text.len && acr_media_type_space(*text.data)) {
        text.data++;
        text.len--;
    }

    return text;
}
