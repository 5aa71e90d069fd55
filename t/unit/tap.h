
/*
 * The least of TAP: each test_*.c includes this once, calls ok() and is_int()
 * and returns done().  What is wanted is inline, so that a file may leave
 * some of it unused.
 */

#ifndef ACR_TAP_H
#define ACR_TAP_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int  tap_run, tap_failed;


/* both return 1 if the test passed, and take a printf() format and its
   arguments as the test's name */

#define ok(test, ...)  tap_ok(!!(test), __FILE__, __LINE__, __VA_ARGS__)

#define is_int(got, want, ...)                                               \
    tap_is_int((long long) (got), (long long) (want), __FILE__, __LINE__,    \
               __VA_ARGS__)

/* a string literal as pointer and length */
#define LIT(s)  (const unsigned char *) (s), sizeof(s) - 1


static inline int
tap_result(int pass, const char *file, int line, const char *name,
    va_list args)
{
    printf("%sok %d - ", pass ? "" : "not ", ++tap_run);
    vprintf(name, args);
    printf("\n");

    if (!pass) {
        tap_failed++;
        printf("#   failed at %s line %d\n", file, line);
    }

    return pass;
}


__attribute__((format(printf, 4, 5)))
static inline int
tap_ok(int pass, const char *file, int line, const char *name, ...)
{
    va_list  args;

    va_start(args, name);
    pass = tap_result(pass, file, line, name, args);
    va_end(args);

    return pass;
}


__attribute__((format(printf, 5, 6)))
static inline int
tap_is_int(long long got, long long want, const char *file, int line,
    const char *name, ...)
{
    int      pass;
    va_list  args;

    va_start(args, name);
    pass = tap_result(got == want, file, line, name, args);
    va_end(args);

    if (!pass) {
        printf("#   got %lld, want %lld\n", got, want);
    }

    return pass;
}


/*
 * A copy of exactly n bytes on the heap, so that the address sanitizer sees
 * any read behind it.  The test's process is short, nobody frees them but
 * done().
 */

static void  *tap_copies[8192];
static int    tap_ncopies;


static inline unsigned char *
tap_copy(const void *p, size_t n)
{
    unsigned char  *copy;

    copy = malloc(n ? n : 1);

    if (copy == NULL || tap_ncopies == 8192) {
        printf("Bail out! no memory for a copy\n");
        exit(2);
    }

    if (n) {
        memcpy(copy, p, n);
    }

    tap_copies[tap_ncopies++] = copy;

    return copy;
}


static inline int
done(void)
{
    while (tap_ncopies) {
        free(tap_copies[--tap_ncopies]);
    }

    printf("1..%d\n", tap_run);

    return tap_failed ? 1 : 0;
}

#endif /* ACR_TAP_H */
