
/*
 * What the fuzz targets share: libFuzzer's entry, and a check that ends the
 * run, with the input kept, where an invariant does not hold.
 */

#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define check(condition)                                                     \
    do {                                                                     \
        if (!(condition)) {                                                  \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__,       \
                    #condition);                                             \
            abort();                                                         \
        }                                                                    \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


/* memory of exactly n bytes, so that the sanitizer sees any access behind */

static inline void *
fuzz_alloc(size_t n)
{
    void  *p;

    p = malloc(n ? n : 1);
    check(p != NULL);

    return p;
}


static inline int
fuzz_same(const void *a, size_t a_len, const void *b, size_t b_len)
{
    return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

#endif /* FUZZ_H */
