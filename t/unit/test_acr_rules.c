
#include "acr_rules.h"
#include "tap.h"


#define NOW  1790000000


static acr_text_t
text(const char *s)
{
    acr_text_t  t;

    t.len = strlen(s);
    t.data = tap_copy(s, t.len);

    return t;
}


/* what is read, or why not */

static void
loads(const char *s, size_t n, const char *expected)
{
    acr_text_t    t;
    const char   *error;
    acr_rules_t  *rules;

    if (s) {
        t = text(s);
        rules = acr_rules_load(t.data, t.len, &error);

    } else {
        rules = acr_rules_load(NULL, 0, &error);
        s = "none";
    }

    if (expected) {
        ok(rules == NULL && error && strstr(error, expected),
           "%.60s: %s", s, error ? error : "is read");
        return;
    }

    ok(rules && error == NULL && rules->n == n, "%.60s: %s", s,
       error ? error : "is read");

    acr_rules_free(rules);
}


/* a document after a change; expected: why it is refused, or NULL */

static acr_text_t
changed(acr_text_t document, int method, const char *name, const char *body,
    acr_change_e expected)
{
    size_t          len;
    json_t         *json;
    acr_text_t      t;
    const char     *error;
    acr_change_e    code;
    unsigned char  *p;

    json = body ? json_loads(body, JSON_DECODE_ANY, NULL) : NULL;
    t = text(name);
    p = acr_rules_change(document.data, document.len, &t, method, json, NOW,
                         &len, &code, &error);

    ok(code == expected && (p != NULL) == (expected == ACR_CHANGE_OK)
       && (error != NULL) == (p == NULL), "%c %s %s: %d %s", method, name,
       body ? body : "", code, error ? error : "");

    json_decref(json);

    if (p == NULL) {
        return document;
    }

    t.data = tap_copy((char *) p, len);
    t.len = len;
    free(p);

    return t;
}


static void
shows(acr_text_t document, const char *name, const char *expected)
{
    char         *s;
    json_t       *json;
    acr_text_t    t;
    const char   *error;
    acr_rules_t  *rules;

    t = text(name);
    rules = acr_rules_load(document.data, document.len, &error);
    json = rules ? acr_rules_show(rules, acr_rules_find(rules, &t)) : NULL;
    s = json ? json_dumps(json, JSON_COMPACT|JSON_SORT_KEYS) : NULL;

    ok(expected ? s && strcmp(s, expected) == 0 : rules && s == NULL,
       "%s is %s", name, s ? s : "none");

    free(s);
    json_decref(json);
    acr_rules_free(rules);
}


static const acr_text_t  none = { NULL, 0 };


#define HEAD  "{\"version\":1,\"cacheRules\":["
#define TAIL  "]}"

#define RULE(name, target, source, valid, gone)                              \
    "{\"name\":\"" name "\",\"targetRepository\":\"" target "\","            \
    "\"sourceRepository\":\"" source "\",\"valid\":" valid ","               \
    "\"gone\":\"" gone "\",\"created\":1}"

#define A  RULE("a", "hub/*", "docker.io/*", "300", "keep")
#define B  RULE("b", "hub/b", "quay.io/b/c", "0", "404")


int
main(void)
{
    char          big[200];
    acr_text_t    d;
    const char   *error;
    acr_rules_t  *rules;

    loads(NULL, 0, NULL);
    loads("", 0, "not valid JSON");
    loads(HEAD TAIL, 0, NULL);
    loads(HEAD A TAIL, 1, NULL);
    loads(HEAD A "," B TAIL, 2, NULL);

    loads("{", 0, "not valid JSON");
    loads("[]", 0, "not a JSON object");
    loads("{}", 0, "it is not an object of");
    loads("{\"version\":2,\"cacheRules\":[]}", 0, "a version that is not");
    loads("{\"version\":\"1\",\"cacheRules\":[]}", 0, "it is not an object");
    loads("{\"version\":1,\"cacheRules\":{}}", 0, "it is not an object of");
    loads("{\"version\":1,\"cacheRules\":[],\"x\":1}", 0, "it is not an");
    loads(HEAD "1" TAIL, 0, "lacks a member");
    loads(HEAD "{\"name\":\"a\"}" TAIL, 0, "lacks a member");
    loads(HEAD A "," A TAIL, 0, "one name");
    loads(HEAD A "," RULE("b", "hub/*", "quay.io/*", "1", "keep") TAIL, 0,
          "overlaps");
    loads(HEAD RULE("-a", "a", "a.b/c", "1", "keep") TAIL, 0, "a name is");
    loads(HEAD RULE("", "a", "a.b/c", "1", "keep") TAIL, 0, "a name is");
    loads(HEAD RULE("a", "A", "a.b/c", "1", "keep") TAIL, 0, "the target");
    loads(HEAD RULE("a", "a", "b/c", "1", "keep") TAIL, 0, "no host");
    loads(HEAD RULE("a", "a", "a.b/c", "-1", "keep") TAIL, 0, "no number");
    loads(HEAD RULE("a", "a", "a.b/c", "315360001", "keep") TAIL, 0,
          "no number");
    loads(HEAD RULE("a", "a", "a.b/c", "315360000", "keep") TAIL, 1, NULL);
    loads(HEAD RULE("a", "a", "a.b/c", "1.5", "keep") TAIL, 0, "its type");
    loads(HEAD RULE("a", "a", "a.b/c", "null", "keep") TAIL, 0, "its type");
    loads(HEAD RULE("a", "a", "a.b/c", "1", "410") TAIL, 0, "neither");

    d = none;
    shows(d, "a", NULL);
    d = changed(d, 'D', "a", NULL, ACR_CHANGE_UNKNOWN);
    d = changed(d, 'X', "a", NULL, ACR_CHANGE_INVALID);
    d = changed(d, 'P', "a", NULL, ACR_CHANGE_INVALID);
    d = changed(d, 'P', "a", "[]", ACR_CHANGE_INVALID);
    d = changed(d, 'P', "a", "{}", ACR_CHANGE_INVALID);
    d = changed(d, 'P', "a", "{\"targetRepository\":\"hub/*\"}",
                ACR_CHANGE_INVALID);
    d = changed(d, 'P', ".a", "{\"targetRepository\":\"hub/*\","
                "\"sourceRepository\":\"docker.io/*\"}", ACR_CHANGE_INVALID);
    d = changed(d, 'P', "a", "{\"targetRepository\":\"hub/*\","
                "\"sourceRepository\":\"docker.io/*\"}", ACR_CHANGE_OK);
    shows(d, "a", "{\"created\":1790000000,\"gone\":\"keep\",\"name\":\"a\","
          "\"sourceRepository\":\"docker.io/*\","
          "\"targetRepository\":\"hub/*\",\"valid\":300}");

    d = changed(d, 'P', "a", "{\"valid\":5,\"gone\":\"404\"}",
                ACR_CHANGE_OK);
    shows(d, "a", "{\"created\":1790000000,\"gone\":\"404\",\"name\":\"a\","
          "\"sourceRepository\":\"docker.io/*\","
          "\"targetRepository\":\"hub/*\",\"valid\":5}");

    d = changed(d, 'P', "a", "{\"valid\":\"5\"}", ACR_CHANGE_INVALID);
    d = changed(d, 'P', "a", "{\"valid\":null}", ACR_CHANGE_INVALID);
    d = changed(d, 'P', "a", "{\"name\":\"b\"}", ACR_CHANGE_INVALID);
    d = changed(d, 'P', "a", "{\"created\":5}", ACR_CHANGE_INVALID);
    d = changed(d, 'P', "a", "{\"x\":5}", ACR_CHANGE_INVALID);
    d = changed(d, 'P', "a", "{\"sourceRepository\":\"docker.io/a\"}",
                ACR_CHANGE_INVALID);
    d = changed(d, 'P', "b", "{\"targetRepository\":\"hub/x/*\","
                "\"sourceRepository\":\"quay.io/*\"}", ACR_CHANGE_CONFLICT);
    d = changed(d, 'P', "b", "{\"targetRepository\":\"hub/x\","
                "\"sourceRepository\":\"quay.io/x/y\"}", ACR_CHANGE_OK);
    shows(d, "c", NULL);

    rules = acr_rules_load(d.data, d.len, &error);
    ok(rules && rules->n == 2 && rules->entries[0].gone
       && rules->entries[0].valid == 5 && !rules->entries[1].gone
       && rules->entries[1].valid == ACR_RULES_VALID,
       "what they say is there");
    acr_rules_free(rules);

    d = changed(d, 'D', "a", NULL, ACR_CHANGE_OK);
    shows(d, "a", NULL);
    d = changed(d, 'D', "b", NULL, ACR_CHANGE_OK);
    d = changed(d, 'D', "b", NULL, ACR_CHANGE_UNKNOWN);

    d = text("{\"version\":3,\"cacheRules\":[]}");
    d = changed(d, 'D', "b", NULL, ACR_CHANGE_FAILED);

    memset(big, 'n', sizeof(big));
    big[129] = '\0';
    d = changed(none, 'P', "\xff", "{\"targetRepository\":\"hub/*\","
                "\"sourceRepository\":\"docker.io/*\"}", ACR_CHANGE_INVALID);
    d = changed(none, 'P', big, "{\"targetRepository\":\"hub/*\","
                "\"sourceRepository\":\"docker.io/*\"}", ACR_CHANGE_INVALID);
    big[128] = '\0';
    d = changed(d, 'P', big, "{\"targetRepository\":\"hub/*\","
                "\"sourceRepository\":\"docker.io/*\"}", ACR_CHANGE_OK);

    return done();
}
