
#include "acr_attributes.h"
#include "tap.h"


static void
parse(const char *s, int want, unsigned off, const char *state,
    const char *details)
{
    int                    rc;
    size_t                 n;
    unsigned char         *copy;
    acr_attributes_t       a;

    n = strlen(s);
    copy = tap_copy(s, n);

    rc = acr_attributes_parse(&a, copy, n);

    is_int(rc, want, "\"%s\"", s);

    if (rc == ACR_OK) {
        is_int(a.off, off, "\"%s\": what is off", s);
        ok(a.state.len == strlen(state)
           && (a.state.len == 0
               || memcmp(a.state.data, state, a.state.len) == 0),
           "\"%s\": the state", s);
        ok(a.details.len == strlen(details)
           && (a.details.len == 0
               || memcmp(a.details.data, details, a.details.len) == 0),
           "\"%s\": the details", s);
    }

}


static void
load(const char *json, int want, const char *text)
{
    int             rc;
    size_t          n, len;
    unsigned char  *copy, *buf;

    n = strlen(json);
    copy = tap_copy(json, n);
    buf = malloc(ACR_ATTRIBUTES_MAX);

    rc = acr_attributes_load(buf, &len, copy, n);

    is_int(rc, want, "%s", json);

    if (want == ACR_OK) {
        ok(len == strlen(text) && memcmp(buf, text, len) == 0,
           "%s is \"%.*s\"", json, (int) len, (char *) buf);
    }

    free(buf);
}


/* as the index has it, to JSON, and back */

static void
there_and_back(const char *text)
{
    char               *json;
    json_t             *root;
    acr_attributes_t    a;

    acr_attributes_parse(&a, (const unsigned char *) text, strlen(text));

    root = acr_attributes_json(&a);
    json = json_dumps(root, JSON_COMPACT);

    ok(strlen(json) <= ACR_ATTRIBUTES_JSON_MAX, "\"%s\" has room", text);
    load(json, ACR_OK, text);

    free(json);
    json_decref(root);
}


static void
change(const char *json, int quarantine, int want, unsigned off, unsigned on)
{
    int                        rc;
    size_t                     n;
    const char                *error;
    unsigned char             *copy;
    acr_attributes_change_t    c;

    n = strlen(json);
    copy = tap_copy(json, n);
    error = NULL;

    rc = acr_attributes_change(&c, copy, n, quarantine, &error);

    is_int(rc, want, "%s", json);

    if (rc == ACR_OK) {
        is_int(c.off, off, "%s: become false", json);
        is_int(c.on, on, "%s: become true", json);

    } else {
        ok(error && *error, "%s: and why", json);
    }

    acr_attributes_change_free(&c);
}


static void
long_details(size_t n, int want)
{
    int                        rc;
    char                      *json;
    const char                *error;
    acr_attributes_t           a;
    acr_attributes_change_t    c;

    json = malloc(n + 64);
    memset(json + sprintf(json, "{\"quarantineDetails\":\""), 'x', n);
    strcpy(json + sizeof("{\"quarantineDetails\":\"") - 1 + n, "\"}");

    rc = acr_attributes_change(&c, (unsigned char *) json, strlen(json), 1,
                               &error);
    is_int(rc, want, "details of %lu bytes", (unsigned long) n);
    acr_attributes_change_free(&c);

    memcpy(json, "- - ", 4);
    memset(json + 4, 'x', n);
    is_int(acr_attributes_parse(&a, (unsigned char *) json, 4 + n), want,
           "of the index as well");

    free(json);
}


int
main(void)
{
    unsigned char  letters[4];

    parse("", ACR_OK, 0, "", "");
    parse("- - ", ACR_OK, 0, "", "");
    parse("d - ", ACR_OK, ACR_ATTRIBUTE_DELETE, "", "");
    parse("dwlr - ", ACR_OK, 15, "", "");
    parse("wr Passed ", ACR_OK, ACR_ATTRIBUTE_WRITE|ACR_ATTRIBUTE_READ,
          "Passed", "");
    parse("l Failed {\"a\": 1}", ACR_OK, ACR_ATTRIBUTE_LIST, "Failed",
          "{\"a\": 1}");

    parse("d", ACR_INVALID, 0, "", "");
    parse("d -", ACR_INVALID, 0, "", "");
    parse(" - ", ACR_INVALID, 0, "", "");
    parse("wd - ", ACR_INVALID, 0, "", "");
    parse("dd - ", ACR_INVALID, 0, "", "");
    parse("-d - ", ACR_INVALID, 0, "", "");
    parse("x - ", ACR_INVALID, 0, "", "");
    parse("dx - ", ACR_INVALID, 0, "", "");
    parse("d passed ", ACR_INVALID, 0, "", "");
    parse("d  ", ACR_INVALID, 0, "", "");

    is_int(acr_attributes_letters(letters, 0), 0, "no letters");
    ok(acr_attributes_letters(letters, 15) == 4
       && memcmp(letters, "dwlr", 4) == 0, "all letters");
    ok(acr_attributes_letters(letters, ACR_ATTRIBUTE_READ) == 1
       && letters[0] == 'r', "one letter");

    load("{}", ACR_OK, "");
    load("{\"deleteEnabled\":true}", ACR_OK, "");
    load("{\"deleteEnabled\":false,\"readEnabled\":false}", ACR_OK, "dr - ");
    load("{\"writeEnabled\":false,\"later\":[1]}", ACR_OK, "w - ");
    load("{\"quarantineState\":\"Passed\"}", ACR_OK, "- Passed ");
    load("{\"quarantineDetails\":\"x y\"}", ACR_OK, "- - x y");
    load("{\"deleteEnabled\":0}", ACR_INVALID, "");
    load("{\"quarantineState\":\"no\"}", ACR_INVALID, "");
    load("{\"quarantineDetails\":{}}", ACR_INVALID, "");
    load("[]", ACR_INVALID, "");
    load("", ACR_INVALID, "");

    there_and_back("dwlr Failed {\"a\":\"\\\"\"}");
    there_and_back("d - ");
    there_and_back("- Passed ");

    change("{}", 0, ACR_OK, 0, 0);
    change("{\"deleteEnabled\":false,\"writeEnabled\":true}", 0, ACR_OK,
           ACR_ATTRIBUTE_DELETE, ACR_ATTRIBUTE_WRITE);
    change("{\"listEnabled\":false,\"readEnabled\":false}", 1, ACR_OK,
           ACR_ATTRIBUTE_LIST|ACR_ATTRIBUTE_READ, 0);
    change("{\"quarantineState\":\"Failed\"}", 1, ACR_OK, 0, 0);
    change("{\"quarantineState\":\"Failed\"}", 0, ACR_INVALID, 0, 0);
    change("{\"quarantineState\":1}", 1, ACR_INVALID, 0, 0);
    change("{\"quarantineDetails\":1}", 1, ACR_INVALID, 0, 0);
    change("{\"deleteEnabled\":null}", 0, ACR_INVALID, 0, 0);
    change("{\"deleteEnabled\":\"true\"}", 0, ACR_INVALID, 0, 0);
    change("{\"deleteenabled\":true}", 0, ACR_INVALID, 0, 0);
    change("{\"changeableAttributes\":{}}", 0, ACR_INVALID, 0, 0);
    change("{\"deleteEnabled\":true,\"deleteEnabled\":false}", 0, ACR_INVALID,
           0, 0);
    change("true", 0, ACR_INVALID, 0, 0);
    change("", 0, ACR_INVALID, 0, 0);

    long_details(ACR_ATTRIBUTES_DETAILS_MAX, ACR_OK);
    long_details(ACR_ATTRIBUTES_DETAILS_MAX + 1, ACR_INVALID);

    return done();
}
