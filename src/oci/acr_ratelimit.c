
#include "acr_ratelimit.h"


static int acr_ratelimit_number(const unsigned char **p,
    const unsigned char *end, int64_t *number);
static void acr_ratelimit_blanks(const unsigned char **p,
    const unsigned char *end);


int
acr_ratelimit_parse(acr_ratelimit_t *limit, const unsigned char *p, size_t n)
{
    int                   w;
    const unsigned char  *end;

    limit->count = 0;
    limit->window = 0;

    if (n == 0) {
        return ACR_INVALID;
    }

    end = p + n;

    acr_ratelimit_blanks(&p, end);

    if (acr_ratelimit_number(&p, end, &limit->count) != ACR_OK) {
        return ACR_INVALID;
    }

    for ( ;; ) {
        acr_ratelimit_blanks(&p, end);

        if (p == end || *p == ',') {
            return ACR_OK;
        }

        if (*p != ';') {
            return ACR_INVALID;
        }

        p++;
        acr_ratelimit_blanks(&p, end);

        w = (end - p > 1 && (*p == 'w' || *p == 'W') && p[1] == '=');

        if (w) {
            p += 2;

            if (acr_ratelimit_number(&p, end, &limit->window) != ACR_OK) {
                return ACR_INVALID;
            }

            continue;
        }

        while (p < end && *p != ';' && *p != ',') {
            p++;
        }
    }
}


int
acr_retry_after_parse(int64_t *seconds, const unsigned char *p, size_t n)
{
    const unsigned char  *end;

    *seconds = 0;

    if (n == 0) {
        return ACR_INVALID;
    }

    end = p + n;

    acr_ratelimit_blanks(&p, end);

    if (acr_ratelimit_number(&p, end, seconds) != ACR_OK) {
        return ACR_INVALID;
    }

    acr_ratelimit_blanks(&p, end);

    if (p < end) {
        *seconds = 0;
        return ACR_INVALID;
    }

    return ACR_OK;
}


static int
acr_ratelimit_number(const unsigned char **p, const unsigned char *end,
    int64_t *number)
{
    const unsigned char  *start;

    *number = 0;

    for (start = *p; *p < end && **p >= '0' && **p <= '9'; (*p)++) {

        if (*number < ACR_RATELIMIT_MAX) {
            *number = *number * 10 + (**p - '0');
        }
    }

    if (*number > ACR_RATELIMIT_MAX) {
        *number = ACR_RATELIMIT_MAX;
    }

    return *p == start ? ACR_INVALID : ACR_OK;
}


static void
acr_ratelimit_blanks(const unsigned char **p, const unsigned char *end)
{
    while (*p < end && (**p == ' ' || **p == '\t')) {
        (*p)++;
    }
}
