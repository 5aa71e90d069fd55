
#include <fnmatch.h>

#include "acr_name.h"
#include "acr_scope.h"
#include "fuzz.h"


/* a scope, printed and read again, is the scope */

static void
round_trip(const acr_scope_t *scope)
{
    size_t          len;
    acr_text_t      text;
    acr_scope_t     again;
    unsigned char  *buf, *exact;

    buf = fuzz_alloc(ACR_SCOPE_MAX);
    len = acr_scope_print(buf, scope);
    check(len <= ACR_SCOPE_MAX);

    exact = fuzz_alloc(len);
    memcpy(exact, buf, len);
    free(buf);

    text.data = exact;
    text.len = len;

    if (scope->name.len == 0 && scope->may == 0) {
        check(len == 0);

    } else {
        check(acr_scope_next(&text, &again) == ACR_OK);
        check(again.may == scope->may);
        check(fuzz_same(again.name.data, again.name.len,
                        scope->name.data, scope->name.len));
    }

    check(acr_scope_next(&text, &again) == ACR_DONE);

    free(exact);
}


/* a scope alone says what it says among others */

static void
alone(const uint8_t *p, size_t n, int want, const acr_scope_t *scope)
{
    int             rc;
    acr_text_t      text;
    acr_scope_t     again;
    unsigned char  *exact;

    exact = fuzz_alloc(n);
    memcpy(exact, p, n);

    text.data = exact;
    text.len = n;

    rc = acr_scope_next(&text, &again);

    check(rc == want && text.len == 0);
    check(again.may == scope->may);
    check(fuzz_same(again.name.data, again.name.len,
                    scope->name.data, scope->name.len));

    free(exact);
}


static void
scopes(const uint8_t *p, size_t n)
{
    int             rc;
    acr_text_t      text;
    acr_scope_t     scope;
    const uint8_t  *begin;

    text.data = p;
    text.len = n;

    for ( ;; ) {
        begin = text.data;
        memset(&scope, 0xff, sizeof(acr_scope_t));

        rc = acr_scope_next(&text, &scope);

        check(text.data + text.len == p + n);

        if (rc == ACR_DONE) {
            check(text.len == 0);
            check(scope.name.len == 0 && scope.may == 0);
            return;
        }

        check(text.data > begin);
        check(text.len == 0 || *text.data == ' ');

        alone(begin, (size_t) (text.data - begin), rc, &scope);

        if (rc == ACR_INVALID) {
            check(scope.name.len == 0 && scope.may == 0);
            continue;
        }

        check(rc == ACR_OK);

        if (scope.name.len) {
            check(scope.name.data > begin);
            check(scope.name.data + scope.name.len < text.data);
            check(acr_name_valid(scope.name.data, scope.name.len)
                  || fuzz_same(scope.name.data, scope.name.len, "*", 1));
            check(acr_pattern_valid(scope.name.data, scope.name.len));
            check((scope.may & ~ACR_MAY_ALL) == 0);

        } else {
            check(scope.name.data == NULL);
            check(scope.may == 0 || scope.may == ACR_MAY_CATALOG
                  || scope.may == ACR_MAY_EVENTS);
        }

        round_trip(&scope);
    }
}


static void
right(const uint8_t *p, size_t n)
{
    char       *text;
    size_t      len;
    unsigned    bit, again_bit;
    acr_text_t  pattern, again;

    if (acr_right_parse(p, n, &pattern, &bit) != ACR_OK) {
        check(pattern.len == 0 && bit == 0);
        return;
    }

    check(acr_pattern_valid(pattern.data, pattern.len));

    if (bit == ACR_MAY_EVENTS) {
        check(fuzz_same(p, n, "registry/events/read", 20));
        return;
    }

    check(acr_scope_action(bit) != NULL);
    check(pattern.data >= p && pattern.data + pattern.len < p + n);

    /* with the prefix, it is the same */

    text = fuzz_alloc(13 + (size_t) (p + n - pattern.data));
    memcpy(text, "repositories/", 13);
    len = (size_t) (p + n - pattern.data);
    memcpy(text + 13, pattern.data, len);

    check(acr_right_parse((unsigned char *) text, 13 + len, &again, &again_bit)
          == ACR_OK);
    check(again_bit == bit);
    check(fuzz_same(again.data, again.len, pattern.data, pattern.len));

    free(text);
}


static char *
string(const acr_text_t *text)
{
    char  *s;

    s = fuzz_alloc(text->len + 1);
    memcpy(s, text->data, text->len);
    s[text->len] = '\0';

    return s;
}


/* of a valid name and a valid pattern, the C library says the same */

static void
match(const acr_text_t *pattern, const acr_text_t *repository)
{
    int         got;
    char       *p, *r;
    acr_text_t  below;

    if (!acr_pattern_valid(pattern->data, pattern->len)) {
        return;
    }

    check(pattern->len && pattern->len <= ACR_NAME_MAX);

    if (acr_name_valid(pattern->data, pattern->len)) {
        check(acr_pattern_match(pattern, pattern));
        check(memchr(pattern->data, '*', pattern->len) == NULL);

    } else {
        check(memchr(pattern->data, '*', pattern->len)
              == pattern->data + pattern->len - 1);
    }

    if (!acr_name_valid(repository->data, repository->len)) {
        return;
    }

    got = acr_pattern_match(pattern, repository);

    p = string(pattern);
    r = string(repository);

    check(got == (fnmatch(p, r, FNM_NOESCAPE) == 0));

    /* what is below the repository, of which it is none */

    free(r);
    r = fuzz_alloc(repository->len + 3);
    memcpy(r, repository->data, repository->len);
    memcpy(r + repository->len, "/*", 3);

    below.data = (unsigned char *) r;
    below.len = repository->len + 2;

    check(acr_pattern_valid(below.data, below.len)
          == (below.len <= ACR_NAME_MAX));
    check(!acr_pattern_match(&below, repository));

    r[repository->len + 1] = 'a';

    check(!acr_pattern_match(repository, &below));
    check(acr_pattern_match(pattern, &below)
          == (fnmatch(p, r, FNM_NOESCAPE) == 0));

    if (got && strchr(p, '*')) {
        check(acr_pattern_match(pattern, &below));
    }

    free(p);
    free(r);
}


/* a text, or a pattern and a repository with a line's end between them */

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    uint8_t        *exact;
    acr_text_t      pattern, repository;
    const uint8_t  *end;

    scopes(p, n);
    right(p, n);

    end = n ? memchr(p, '\n', n) : NULL;

    if (end == NULL) {
        pattern.data = p;
        pattern.len = n;
        match(&pattern, &pattern);
        return 0;
    }

    exact = fuzz_alloc((size_t) (end - p));
    memcpy(exact, p, (size_t) (end - p));

    pattern.data = exact;
    pattern.len = (size_t) (end - p);
    repository.data = end + 1;
    repository.len = n - pattern.len - 1;

    match(&pattern, &repository);

    free(exact);

    return 0;
}
