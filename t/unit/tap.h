
/*
 * The least of TAP: each test_*.c includes this once, calls ok() and is_int()
 * and returns done().  What is wanted is inline, so that a file may leave
 * some of it unused.
 */

#ifndef ACR_TAP_H
#define ACR_TAP_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int  tap_run, tap_failed;


#define ok(test, ...)  tap_ok(!!(test), __FILE__, __LINE__, __VA_ARGS__)

#define is_int(got, want, ...)                                               \
    tap_is_int((long long) (got), (long long) (want), __FILE__, __LINE__,    \
               __VA_ARGS__)

/* a string literal as pointer and length */
#define LIT(s)  (const unsigned char *) (s), sizeof(s) - 1


#define tap_ok(pass, file, line, ...)                                        \
    (printf("%sok %d - ", (pass) ? "" : "not ", ++tap_run),                  \
     printf(__VA_ARGS__),                                                    \
     printf("\n"),                                                           \
     (pass) ? 1                                                              \
            : (tap_failed++,                                                 \
               printf("#   failed at %s line %d\n", file, line), 0))


#define tap_is_int(got, want, file, line, ...)                               \
    (tap_ok((got) == (want), file, line, __VA_ARGS__)                        \
     ? 1 : (printf("#   got %lld, want %lld\n", (got), (want)), 0))


/*
 * A copy of exactly n bytes on the heap, so that the address sanitizer sees
 * any read behind it.  The test's process is short, nobody frees them but
 * tap_free_all().
 */

static void  *tap_copies[4096];
static int    tap_ncopies;


static inline unsigned char *
tap_copy(const void *p, size_t n)
{
    unsigned char  *copy;

    copy = malloc(n ? n : 1);

    if (copy == NULL || tap_ncopies == 4096) {
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
