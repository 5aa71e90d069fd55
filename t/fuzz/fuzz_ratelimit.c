
#include "acr_ratelimit.h"
#include "fuzz.h"


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    char             text[64];
    int64_t          seconds, again;
    uint8_t         *copy;
    acr_ratelimit_t  limit, other;

    copy = fuzz_alloc(n);

    if (n) {
        memcpy(copy, p, n);
    }

    if (acr_ratelimit_parse(&limit, copy, n) == ACR_OK) {
        check(limit.count >= 0 && limit.count <= ACR_RATELIMIT_MAX);
        check(limit.window >= 0 && limit.window <= ACR_RATELIMIT_MAX);

        snprintf(text, sizeof(text), "%lld;w=%lld", (long long) limit.count,
                 (long long) limit.window);

        check(acr_ratelimit_parse(&other, (uint8_t *) text, strlen(text))
              == ACR_OK);
        check(other.count == limit.count && other.window == limit.window);
    }

    if (acr_retry_after_parse(&seconds, copy, n) == ACR_OK) {
        check(seconds >= 0 && seconds <= ACR_RATELIMIT_MAX);

        /* what has seconds is a limit without a window, too */

        check(acr_ratelimit_parse(&limit, copy, n) == ACR_OK);
        check(limit.count == seconds && limit.window == 0);

        snprintf(text, sizeof(text), "%lld", (long long) seconds);

        check(acr_retry_after_parse(&again, (uint8_t *) text, strlen(text))
              == ACR_OK);
        check(again == seconds);

    } else {
        check(seconds == 0);
    }

    free(copy);

    return 0;
}
