
#include <string.h>

#include "acr_error.h"


static const acr_error_t  acr_errors[] = {
#define ACR_ERROR_ROW(code, status, message)  { #code, status, message },
    ACR_ERRORS(ACR_ERROR_ROW)
#undef ACR_ERROR_ROW
};


/* the length of the UTF-8 sequence at p, or 0 if there is no valid one */

static size_t
acr_utf8_len(const unsigned char *p, size_t n)
{
    size_t         len, i;
    unsigned char  low, high;

    /* RFC 3629: what the second byte may be depends on the first one */

    low = 0x80;
    high = 0xbf;

    if (p[0] < 0x80) {
        return 1;
    }

    if (p[0] < 0xc2 || p[0] > 0xf4) {
        return 0;
    }

    if (p[0] < 0xe0) {
        len = 2;

    } else if (p[0] < 0xf0) {
        len = 3;

        if (p[0] == 0xe0) {
            low = 0xa0;

        } else if (p[0] == 0xed) {
            high = 0x9f;
        }

    } else {
        len = 4;

        if (p[0] == 0xf0) {
            low = 0x90;

        } else if (p[0] == 0xf4) {
            high = 0x8f;
        }
    }

    if (len > n || p[1] < low || p[1] > high) {
        return 0;
    }

    for (i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }

    return len;
}


const acr_error_t *
acr_error(acr_error_e e)
{
    if ((unsigned) e >= ACR_E_MAX) {
        e = ACR_E_UNKNOWN;
    }

    return &acr_errors[e];
}


size_t
acr_json_escape(unsigned char *buf, const unsigned char *p, size_t n)
{
    size_t                      len;
    unsigned char               c, *b;
    static const unsigned char  hex[] = "0123456789abcdef";

    b = buf;

    while (n) {
        c = *p;
        len = 1;

        switch (c) {

        case '"':
        case '\\':
            *b++ = '\\';
            *b++ = c;
            break;

        case '\b':
            *b++ = '\\';
            *b++ = 'b';
            break;

        case '\t':
            *b++ = '\\';
            *b++ = 't';
            break;

        case '\n':
            *b++ = '\\';
            *b++ = 'n';
            break;

        case '\f':
            *b++ = '\\';
            *b++ = 'f';
            break;

        case '\r':
            *b++ = '\\';
            *b++ = 'r';
            break;

        default:

            if (c < 0x20) {
                *b++ = '\\';
                *b++ = 'u';
                *b++ = '0';
                *b++ = '0';
                *b++ = hex[c >> 4];
                *b++ = hex[c & 0x0f];
                break;
            }

            len = acr_utf8_len(p, n);

            if (len == 0) {
                len = 1;
                *b++ = 0xef;
                *b++ = 0xbf;
                *b++ = 0xbd;
                break;
            }

            memcpy(b, p, len);
            b += len;
            break;
        }

        p += len;
        n -= len;
    }

    return (size_t) (b - buf);
}
