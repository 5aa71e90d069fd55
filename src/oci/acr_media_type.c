
#include <string.h>

#include "acr_media_type.h"


#define ACR_MEDIA_TYPE_NAME_MAX  127


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
        c = p[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
            || (c >= '0' && c <= '9'))
        {
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
