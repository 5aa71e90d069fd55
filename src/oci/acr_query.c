
#include "acr_query.h"


static int
acr_query_hex(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }

    return -1;
}


/* decodes into buf, which needs no more room than the source has */

static int
acr_query_decode(unsigned char *buf, const unsigned char *p, size_t n,
    acr_text_t *text)
{
    int     high, low;
    size_t  i, len;

    len = 0;

    for (i = 0; i < n; i++) {

        switch (p[i]) {

        case '+':
            buf[len++] = ' ';
            break;

        case '%':

            if (n - i < 3) {
                return ACR_INVALID;
            }

            high = acr_query_hex(p[i + 1]);
            low = acr_query_hex(p[i + 2]);

            if (high < 0 || low < 0) {
                return ACR_INVALID;
            }

            buf[len++] = (unsigned char) (high << 4 | low);
            i += 2;
            break;

        default:
            buf[len++] = p[i];
            break;
        }
    }

    text->data = buf;
    text->len = len;

    return ACR_OK;
}


int
acr_query_next(acr_text_t *rest, unsigned char *buf, acr_text_t *name,
    acr_text_t *value)
{
    size_t                len, equals;
    const unsigned char  *p;

    while (rest->len && *rest->data == '&') {
        rest->data++;
        rest->len--;
    }

    if (rest->len == 0) {
        return ACR_DONE;
    }

    p = rest->data;

    for (len = 0; len < rest->len && p[len] != '&'; len++) {
        /* void */
    }

    for (equals = 0; equals < len && p[equals] != '='; equals++) {
        /* void */
    }

    rest->data += len;
    rest->len -= len;

    if (acr_query_decode(buf, p, equals, name) != ACR_OK) {
        return ACR_INVALID;
    }

    buf += name->len;

    if (equals == len) {
        value->data = buf;
        value->len = 0;
        return ACR_OK;
    }

    return acr_query_decode(buf, p + equals + 1, len - equals - 1, value);
}


size_t
acr_query_escape(unsigned char *buf, const unsigned char *p, size_t n)
{
    size_t                      i;
    unsigned char               c, *b;
    static const unsigned char  hex[] = "0123456789ABCDEF";

    b = buf;

    for (i = 0; i < n; i++) {
        c = p[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
            || (c >= '0' && c <= '9')
            || c == '-' || c == '.' || c == '_' || c == '~')
        {
            *b++ = c;
            continue;
        }

        *b++ = '%';
        *b++ = hex[c >> 4];
        *b++ = hex[c & 0x0f];
    }

    return (size_t) (b - buf);
}
