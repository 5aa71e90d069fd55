
#include "acr_core.h"
#include "tap.h"


static int
is(const char *text, const char *s)
{
    acr_text_t  t;

    t.len = strlen(text);
    t.data = tap_copy(text, t.len);

    return acr_text_is(&t, s);
}


static int
begins(const char *text, const char *s)
{
    acr_text_t  t;

    t.len = strlen(text);
    t.data = tap_copy(text, t.len);

    return acr_text_begins(&t, s);
}


static int
equal(const char *a, const char *b)
{
    acr_text_t  x, y;

    x.len = strlen(a);
    x.data = tap_copy(a, x.len);
    y.len = strlen(b);
    y.data = tap_copy(b, y.len);

    return acr_text_equal(&x, &y);
}


int
main(void)
{
    acr_text_t  text;

    ok(is("Application/JSON", "application/json"), "in any case");
    ok(is("Application/JSON", "APPLICATION/json"), "of both");
    ok(!is("Application/JSON", "application/"), "is not its beginning");
    ok(!is("Application/JSON", "application/json1"), "is not longer");
    ok(is("", "") && !is("", "a") && !is("a", ""), "nothing");

    ok(begins("Application/JSON", "APPLICATION/"), "begins");
    ok(begins("Application/JSON", "application/json"), "with all of it");
    ok(begins("Application/JSON", ""), "with nothing");
    ok(!begins("Application/JSON", "application/json1"), "not with more");
    ok(!begins("Application/JSON", "pplication"), "not in the middle");
    ok(begins("", "") && !begins("", "a"), "nothing begins with nothing");

    ok(!is("@[", "`{") && !is("\xc4", "\xe4"), "only letters of ASCII");

    text.data = NULL;
    text.len = 0;
    ok(acr_text_is(&text, "") && !acr_text_begins(&text, "a"), "no text");

    ok(equal("ab", "ab") && equal("", ""), "the same bytes");
    ok(!equal("ab", "aB") && !equal("ab", "a") && !equal("", "a"), "others");
    ok(acr_text_equal(&text, &text), "no text is no text");

    return done();
}
