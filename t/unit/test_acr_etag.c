
#include "acr_etag.h"
#include "tap.h"


/* the tags of a list, each with a comma behind it, weak ones with a "~" */

static void
etags(const char *list, const char *want)
{
    int         rc;
    char        got[256], *p;
    size_t      n;
    acr_text_t  rest;
    acr_etag_t  etag;

    n = strlen(list);
    p = got;

    rest.data = tap_copy(list, n);
    rest.len = n;

    while ((rc = acr_etag_next(&rest, &etag)) == ACR_OK) {

        if (etag.weak) {
            *p++ = '~';
        }

        memcpy(p, etag.tag.data, etag.tag.len);
        p += etag.tag.len;
        *p++ = ',';
    }

    *p = '\0';

    is_int(rc, ACR_DONE, "%s ends", list);
    ok(strcmp(got, want) == 0, "%s: %s", list, got);
}


static int
any(const char *list)
{
    acr_text_t  text;

    text.data = (const unsigned char *) list;
    text.len = strlen(list);

    return acr_etag_any(&text);
}


int
main(void)
{
    etags("", "");
    etags("\"a\"", "a,");
    etags("\"a\", \"b\"", "a,b,");
    etags("\"a\",\"b\"\t,", "a,b,");
    etags(" , ,\"a\"", "a,");
    etags("W/\"a\", \"b\"", "~a,b,");
    etags("w/\"a\"", "");
    etags("\"\"", ",");
    etags("\"a,b\"", "a,b,");

    etags("a", "");
    etags("a, \"b\"", "b,");
    etags("\"a", "");
    etags("\"", "");
    etags("W/", "");
    etags("W/x, \"b\"", "b,");
    etags("\"a\"x, \"b\"", "b,");
    etags("\"a\" \"b\", \"c\"", "c,");
    etags("*", "");

    ok(any("*"), "any");
    ok(!any("**"), "not two stars");
    ok(!any(""), "not nothing");
    ok(!any("\"*\""), "not a tag of a star");

    return done();
}
