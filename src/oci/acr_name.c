
#include "acr_name.h"


static int
acr_name_alnum(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}


int
acr_name_valid(const unsigned char *p, size_t n)
{
    size_t  i;

    if (n == 0 || n > ACR_NAME_MAX) {
        return 0;
    }

    i = 0;

    for ( ;; ) {

        /* the grammar is runs of [a-z0-9], joined by one separator each */

        if (i == n || !acr_name_alnum(p[i])) {
            return 0;
        }

        while (i < n && acr_name_alnum(p[i])) {
            i++;
        }

        if (i == n) {
            return 1;
        }

        switch (p[i]) {

        case '/':
        case '.':
            i++;
            break;

        case '_':
            i++;

            if (i < n && p[i] == '_') {
                i++;
            }

            break;

        case '-':

            while (i < n && p[i] == '-') {
                i++;
            }

            break;

        default:
            return 0;
        }
    }
}


int
acr_tag_valid(const unsigned char *p, size_t n)
{
    size_t         i;
    unsigned char  c;

    if (n == 0 || n > ACR_TAG_MAX) {
        return 0;
    }

    for (i = 0; i < n; i++) {
        c = p[i];

        if (acr_name_alnum(c) || (c >= 'A' && c <= 'Z') || c == '_') {
            continue;
        }

        if (i > 0 && (c == '.' || c == '-')) {
            continue;
        }

        return 0;
    }

    return 1;
}
