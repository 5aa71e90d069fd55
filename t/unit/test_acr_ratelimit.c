
#include "acr_ratelimit.h"
#include "tap.h"


static void
limit(const char *header, int want, long long count, long long window)
{
    size_t           n;
    acr_ratelimit_t  got;

    n = strlen(header);

    is_int(acr_ratelimit_parse(&got, tap_copy(header, n), n), want,
           "limit \"%s\"", header);

    if (want == ACR_OK) {
        is_int(got.count, count, "its number");
        is_int(got.window, window, "its window");
    }
}


static void
after(const char *header, int want, long long seconds)
{
    size_t   n;
    int64_t  got;

    n = strlen(header);

    is_int(acr_retry_after_parse(&got, tap_copy(header, n), n), want,
           "after \"%s\"", header);
    is_int(got, seconds, "is %lld s", seconds);
}


int
main(void)
{
    limit("100;w=21600", ACR_OK, 100, 21600);
    limit("0;w=21600", ACR_OK, 0, 21600);
    limit("76", ACR_OK, 76, 0);
    limit(" 76 ; W=60 ", ACR_OK, 76, 60);
    limit("10, 10;w=1, 1000;w=3600", ACR_OK, 10, 0);
    limit("10;w=1, 1000;w=3600", ACR_OK, 10, 1);
    limit("10;burst=3;w=1;comment=\"x\"", ACR_OK, 10, 1);
    limit("10;", ACR_OK, 10, 0);
    limit("99999999999999999999999;w=99999999999999999999", ACR_OK,
          ACR_RATELIMIT_MAX, ACR_RATELIMIT_MAX);
    limit("000000000000000000000000007", ACR_OK, 7, 0);

    limit("", ACR_INVALID, 0, 0);
    limit(" ", ACR_INVALID, 0, 0);
    limit("many", ACR_INVALID, 0, 0);
    limit("-1", ACR_INVALID, 0, 0);
    limit("10 w=1", ACR_INVALID, 0, 0);
    limit("10;w=", ACR_INVALID, 0, 0);
    limit("10;w=-1", ACR_INVALID, 0, 0);
    limit("1.5", ACR_INVALID, 0, 0);

    after("0", ACR_OK, 0);
    after("120", ACR_OK, 120);
    after(" 120\t", ACR_OK, 120);
    after("99999999999999999999", ACR_OK, ACR_RATELIMIT_MAX);

    after("", ACR_INVALID, 0);
    after("  ", ACR_INVALID, 0);
    after("Fri, 31 Dec 1999 23:59:59 GMT", ACR_INVALID, 0);
    after("1.5", ACR_INVALID, 0);
    after("-1", ACR_INVALID, 0);
    after("12 s", ACR_INVALID, 0);

    return done();
}
