
#include "acr_range.h"
#include "tap.h"


static void
range(const char *s, size_t n, int rc, uint64_t start, uint64_t end,
    const char *name)
{
    int          got;
    acr_range_t  r;

    r.start = 77;
    r.end = 77;

    got = acr_range_parse(&r, tap_copy(s, n), n);

    ok(got == rc && r.start == start && r.end == end, "%s", name);
}


#define good(s, start, end)  range(s, sizeof(s) - 1, ACR_OK, start, end, #s)
#define bad(s)               range(s, sizeof(s) - 1, ACR_INVALID, 77, 77, #s)


static void
content_range(const char *s, size_t n, int rc, uint64_t start, uint64_t end,
    uint64_t total, const char *name)
{
    int          got;
    uint64_t     all;
    acr_range_t  r;

    all = 77;
    r.start = 77;
    r.end = 77;

    got = acr_content_range_parse(&r, &all, tap_copy(s, n), n);

    ok(got == rc && (got != ACR_OK || (r.start == start && r.end == end
                                       && all == total)),
       "%s of an answer", name);
}


#define answer(s, rc, start, end, total)                                     \
    content_range(s, sizeof(s) - 1, rc, start, end, total, #s)


static void
single(const char *s, size_t n, uint64_t size, int rc, uint64_t start,
    uint64_t end, const char *name)
{
    int          got;
    acr_range_t  r;

    r.start = 77;
    r.end = 77;

    got = acr_range_single(&r, size, tap_copy(s, n), n);

    ok(got == rc && (got != ACR_OK || (r.start == start && r.end == end)),
       "%s of a request, of %d", name, (int) size);
}


#define asked(s, size, start, end)                                           \
    single(s, sizeof(s) - 1, size, ACR_OK, start, end, #s)
#define other(s, size)                                                       \
    single(s, sizeof(s) - 1, size, ACR_INVALID, 0, 0, #s)


int
main(void)
{
    asked("bytes=0-9", 10, 0, 9);
    asked("bytes=0-0", 10, 0, 0);
    asked("Bytes=5-", 10, 5, 9);
    asked("bytes=9-", 10, 9, 9);
    asked("bytes=5-100", 10, 5, 9);
    asked("bytes=-3", 10, 7, 9);
    asked("bytes=-30", 10, 0, 9);
    asked("bytes=5-9223372036854775807", 10, 5, 9);
    other("bytes=-0", 10);
    other("bytes=10-", 10);
    other("bytes=5-4", 10);
    other("bytes=0-", 0);
    other("bytes=-1", 0);
    other("bytes=0-1,3-4", 10);
    other("bytes= 0-1", 10);
    other("bytes=0-1 ", 10);
    other("bytes=", 10);
    other("bytes=-", 10);
    other("bytes=5", 10);
    other("bytes=a-b", 10);
    other("bytes=5-9223372036854775808", 10);
    other("items=0-1", 10);
    other("bytes", 10);
    other("", 10);

    answer("bytes 0-9/10", ACR_OK, 0, 9, 10);
    answer("Bytes 5-9/1000", ACR_OK, 5, 9, 1000);
    answer("bytes 0-0/9223372036854775807", ACR_OK, 0, 0, INT64_MAX);
    answer("bytes 5-9/*", ACR_OK, 5, 9, ACR_RANGE_ANY);
    answer("0-9", ACR_INVALID, 0, 0, 0);
    answer("bytes 0-9", ACR_INVALID, 0, 0, 0);
    answer("bytes 0-9/", ACR_INVALID, 0, 0, 0);
    answer("bytes 0-9/9", ACR_INVALID, 0, 0, 0);
    answer("bytes */10", ACR_INVALID, 0, 0, 0);
    answer("bytes 0-9/9223372036854775808", ACR_INVALID, 0, 0, 0);
    answer("bytes", ACR_INVALID, 0, 0, 0);
    answer("", ACR_INVALID, 0, 0, 0);

    good("0-0", 0, 0);
    good("0-9", 0, 9);
    good("5-5", 5, 5);
    good("1024-2047", 1024, 2047);
    good("000-0009", 0, 9);
    good("0-9223372036854775807", 0, INT64_MAX);
    good("9223372036854775807-9223372036854775807", INT64_MAX, INT64_MAX);
    good("00000000000000000000000000000000000-1", 0, 1);
    good("bytes 0-9/*", 0, 9);
    good("Bytes 0-9/*", 0, 9);
    good("BYTES 0-9/10", 0, 9);
    good("bytes 0-9/11", 0, 9);

    bad("");
    bad("-");
    bad("0");
    bad("0-");
    bad("-0");
    bad("-1-5");
    bad("0--1");
    bad("9-0");
    bad("1-0");
    bad("0-9 ");
    bad(" 0-9");
    bad("0 -9");
    bad("0-9\n");
    bad("0-9\0");
    bad("+0-9");
    bad("0-+9");
    bad("0x0-9");
    bad("0-9a");
    bad("0-9,11-12");
    bad("0-9/*");
    bad("0-9/10");
    bad("0-9223372036854775808");
    bad("9223372036854775808-9223372036854775808");
    bad("0-18446744073709551615");
    bad("0-18446744073709551616");
    bad("0-99999999999999999999999999999999999999");
    bad("bytes");
    bad("bytes ");
    bad("bytes 0-9");
    bad("bytes 0-9/");
    bad("bytes 0-9/9");
    bad("bytes 0-9/**");
    bad("bytes 0-9/10x");
    bad("bytes 0-9/9223372036854775808");
    bad("bytes  0-9/*");
    bad("bytes\t0-9/*");
    bad("bytes=0-9/*");
    bad("bytes=0-9");
    bad("bytes */10");
    bad("bytes 9-0/*");
    bad("byte 0-9/*");
    bad("items 0-9/*");

    return done();
}
