
#include "acr_jwt_core.h"


unsigned char *
acr_jwt_base64_encode(unsigned char *buf, const unsigned char *p, size_t n)
{
    unsigned                    bits, word;
    static const unsigned char  set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "abcdefghijklmnopqrstuvwxyz"
                                        "0123456789-_";

    bits = 0;
    word = 0;

    while (n) {
        word = (word << 8 | *p++) & 0xffff;
        bits += 8;
        n--;

        while (bits >= 6) {
            bits -= 6;
            *buf++ = set[word >> bits & 0x3f];
        }
    }

    if (bits) {
        *buf++ = set[word << (6 - bits) & 0x3f];
    }

    return buf;
}


/* 64: no character of base64url */

static unsigned
acr_jwt_base64_value(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }

    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }

    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }

    return c == '-' ? 62 : c == '_' ? 63 : 64;
}


int
acr_jwt_base64_decode(unsigned char *buf, size_t *len,
    const unsigned char *p, size_t n)
{
    unsigned        bits, word, value;
    unsigned char  *start;

    start = buf;
    bits = 0;
    word = 0;

    /* one character alone has not even a byte */

    if (n % 4 == 1) {
        return ACR_INVALID;
    }

    while (n) {
        value = acr_jwt_base64_value(*p++);
        n--;

        if (value == 64) {
            return ACR_INVALID;
        }

        word = (word << 6 | value) & 0xffff;
        bits += 6;

        if (bits >= 8) {
            bits -= 8;
            *buf++ = (unsigned char) (word >> bits);
        }
    }

    /* bits that say nothing would make two texts of one token */

    if (word & ((1u << bits) - 1)) {
        return ACR_INVALID;
    }

    *len = (size_t) (buf - start);

    return ACR_OK;
}
