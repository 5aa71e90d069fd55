
#include "test_acr_access.h"


/* the text as it is, and what the last change gave */

static unsigned char  *file;
static size_t          file_len;
static json_t         *answer;
static acr_change_e    code;
static const char     *error;


static void
start(const char *s)
{
    free(file);
    file = quoted(s);
    file_len = strlen(s);
}


/*
 * "P tokens builder" and so on; a fourth word is the password.  The text is
 * changed if the change is made.
 */

static acr_change_e
change(const char *what, const char *body)
{
    int             n;
    char            method, kind[32], name[256], sub[64];
    size_t          len;
    json_t         *json, *before;
    acr_text_t      name_text, sub_text;
    acr_access_t   *access;
    unsigned char  *text, *copy;

    name[0] = '\0';
    sub[0] = '\0';
    n = sscanf(what, "%c %31s %255s %63s", &method, kind, name, sub);

    if (n < 2) {
        exit(2);
    }

    if (strcmp(name, "-") == 0) {
        name[0] = '\0';
    }

    json = NULL;

    if (body) {
        copy = quoted(body);
        json = json_loadb((char *) copy, strlen(body), JSON_DECODE_ANY, NULL);
        free(copy);

        if (json == NULL) {
            exit(2);
        }
    }

    before = json_deep_copy(json);
    name_text = text_of(name);
    sub_text = text_of(sub);

    json_decref(answer);
    answer = NULL;
    code = ACR_CHANGE_OK;
    error = "not set";

    text = acr_access_change(file, file_len, kind, &name_text, method,
                             sub[0] ? &sub_text : NULL, json, NOW, &len,
                             &answer, &code, &error);

    ok((text != NULL) == (code == ACR_CHANGE_OK)
       && (text != NULL) == (error == NULL) && (text || answer == NULL),
       "%s: text or error", what);
    ok(json_equal(json, before) || json == NULL, "the body is as it was");

    json_decref(before);
    json_decref(json);

    if (text) {
        access = acr_access_load(text, len, &error);
        ok(access != NULL, "%s: what comes out can be loaded", what);
        acr_access_free(access);
        free(file);
        file = text;
        file_len = len;
    }

    if (answer) {
        ok(!json_has(answer, "pbkdf2") && !json_has(answer, "hash")
           && !json_has(answer, "\"id\""), "no hash in the answer");
    }

    return code;
}


#define made(what, body)                                                     \
    is_int(change(what, body), ACR_CHANGE_OK, "%s", what)

/* refused: the code, words of the error, and the file is as it was */

#define refused(what, body, want, words)                                     \
    do {                                                                     \
        is_int(change(what, body), want, "refused: %s", what);               \
                                                                             \
        if (!ok(error && strstr(error, words), "why: %s", words)) {          \
            printf("#   %s\n", error ? error : "");                          \
        }                                                                    \
    } while (0)


static acr_access_t *
loaded(void)
{
    const char    *why;
    acr_access_t  *access;

    access = acr_access_load(file, file_len, &why);

    if (access == NULL) {
        printf("Bail out! %s\n", why);
        exit(2);
    }

    return access;
}


static json_t *
shown(const char *kind, const char *name)
{
    json_t        *json;
    acr_text_t     text;
    acr_access_t  *access;

    access = loaded();
    text = text_of(name);
    json = acr_access_show(access, kind, &text);
    acr_access_free(access);

    return json;
}


/* one can log in with it; the text has it nowhere */

static int
works(const char *name, const json_t *password)
{
    int               rc;
    size_t            i, n;
    acr_text_t        user, pass;
    const char       *value;
    acr_access_t     *access;
    acr_principal_t   who;

    value = json_string_value(json_object_get(password, "value"));

    if (value == NULL) {
        return 0;
    }

    n = strlen(value);

    ok(n == ACR_ACCESS_PASSWORD_LEN
       && strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == n,
       "52 characters of base32");

    for (i = 0; i + n <= file_len; i++) {
        if (memcmp(file + i, value, n) == 0) {
            ok(0, "the password is in the file");
        }
    }

    access = loaded();
    user = text_of(name);
    pass.data = (const unsigned char *) value;
    pass.len = n;

    rc = acr_access_password(access, &user, &pass, NOW, &who);

    if (rc == ACR_OK) {
        ok(acr_access_alive(access, &who, NOW), "and is alive");
    }

    acr_access_free(access);

    return rc == ACR_OK;
}


static void
test_admin(void)
{
    json_t  *first, *second;

    start("");

    refused("P admin", NULL, ACR_CHANGE_INVALID, "enabled");
    refused("P admin", "[]", ACR_CHANGE_INVALID, "enabled");
    refused("P admin", "{}", ACR_CHANGE_INVALID, "enabled");
    refused("P admin", "{'enabled':1}", ACR_CHANGE_INVALID, "enabled");
    refused("P admin", "{'enabled':null}", ACR_CHANGE_INVALID, "enabled");
    refused("P admin", "{'enabled':true,'passwords':[]}", ACR_CHANGE_INVALID,
            "not known");
    refused("D admin", NULL, ACR_CHANGE_INVALID, "deleted");
    refused("P admin admin", "{'enabled':true}", ACR_CHANGE_UNKNOWN, "one");

    made("P admin", "{'enabled':false}");
    ok(answer == NULL, "disabled as it was");

    made("P admin", "{'enabled':true}");
    ok(json_is(json_incref(json_object_get(answer, "username")), "'admin'"),
       "user name");
    first = json_deep_copy(json_array_get(json_object_get(answer,
                                                          "passwords"), 0));
    second = json_deep_copy(json_array_get(json_object_get(answer,
                                                           "passwords"), 1));
    ok(works("admin", first) && works("admin", second), "both passwords work");
    ok(!json_equal(json_object_get(first, "value"),
                   json_object_get(second, "value")), "and differ");
    ok(json_is(json_incref(json_object_get(first, "name")), "'password'")
       && json_is(json_incref(json_object_get(second, "name")),
                  "'password2'"), "their names");
    ok(json_is(shown("admin", ""),
               "{'username':'admin','enabled':true,'passwords':["
               "{'name':'password','created':1790000000,'expiry':null},"
               "{'name':'password2','created':1790000000,'expiry':null}]}"),
       "as shown");

    made("P admin", "{'enabled':true}");
    ok(answer == NULL && works("admin", first), "no others are made");

    made("P admin", "{'enabled':false}");
    ok(!works("admin", first), "none works while disabled");
    made("P admin", "{'enabled':true}");
    ok(answer == NULL && works("admin", first), "but then");

    made("G admin - password", NULL);
    ok(json_object_size(answer) == 2 && works("admin", answer), "a new one");
    ok(!works("admin", first) && works("admin", second), "for the first");
    made("G admin - password2", "{}");
    ok(works("admin", answer) && !works("admin", second), "and the second");

    refused("G admin - password1", NULL, ACR_CHANGE_UNKNOWN, "password");
    refused("G admin - passwords", NULL, ACR_CHANGE_UNKNOWN, "password");
    refused("G admin - pass", NULL, ACR_CHANGE_UNKNOWN, "password");
    refused("G admin", NULL, ACR_CHANGE_UNKNOWN, "password");
    refused("G admin - password", "{'expiry':1890000000}",
            ACR_CHANGE_INVALID, "not known");
    refused("X admin", NULL, ACR_CHANGE_INVALID, "change");
    refused("P nothing", "{}", ACR_CHANGE_UNKNOWN, "kind");

    json_decref(first);
    json_decref(second);
}


static void
test_map(void)
{
    start("");

    refused("P scope-maps ci", NULL, ACR_CHANGE_INVALID, "body");
    refused("P scope-maps ci", "1", ACR_CHANGE_INVALID, "object");
    refused("P scope-maps ci", "{}", ACR_CHANGE_INVALID, "lacks");
    refused("P scope-maps ci", "{'actions':[1]}", ACR_CHANGE_INVALID,
            "string");
    refused("P scope-maps ci", "{'actions':['a/b']}", ACR_CHANGE_INVALID,
            "action");
    refused("P scope-maps ci", "{'actions':[],'name':'x'}",
            ACR_CHANGE_INVALID, "not known");
    refused("P scope-maps ci", "{'actions':[],'description':null}",
            ACR_CHANGE_INVALID, "type");
    refused("P scope-maps _ci", "{'actions':[]}", ACR_CHANGE_INVALID, "name");
    refused("P scope-maps ../ci", "{'actions':[]}", ACR_CHANGE_INVALID,
            "name");
    refused("P scope-maps", "{'actions':[]}", ACR_CHANGE_INVALID, "name");
    refused("P scope-maps a\"b", "{'actions':[]}", ACR_CHANGE_INVALID, "name");
    refused("P scope-maps a\xff", "{'actions':[]}", ACR_CHANGE_INVALID,
            "name");
    refused("P scope-maps _repositories_pull", "{'actions':[]}",
            ACR_CHANGE_CONFLICT, "system");
    refused("D scope-maps _repositories_pull", NULL, ACR_CHANGE_CONFLICT,
            "system");
    refused("D scope-maps ci", NULL, ACR_CHANGE_UNKNOWN, "not exist");
    refused("G scope-maps ci password1", NULL, ACR_CHANGE_INVALID,
            "passwords");

    made("P scope-maps ci", "{'actions':['repositories/a/content/read']}");
    ok(answer == NULL, "no answer");
    ok(json_is(shown("scope-maps", "ci"),
               "{'name':'ci','type':'UserDefined','description':'',"
               "'created':1790000000,"
               "'actions':['repositories/a/content/read']}"), "made");

    made("P scope-maps ci", "{'description':'for \\u00e9'}");
    made("P scope-maps ci", "{'actions':[]}");
    ok(json_is(shown("scope-maps", "ci"),
               "{'name':'ci','type':'UserDefined','description':'for \xc3\xa9'"
               ",'created':1790000000,'actions':[]}"), "replaced");

    made("P tokens a", "{'scopeMap':'ci'}");
    refused("D scope-maps ci", NULL, ACR_CHANGE_CONFLICT, "a token");
    made("P tokens a", "{'scopeMap':'_repositories_pull'}");
    made("D scope-maps ci", NULL);
    ok(shown("scope-maps", "ci") == NULL, "deleted");
}


static void
test_token(void)
{
    json_t           *first;
    acr_text_t        text;
    acr_access_t     *access;
    acr_principal_t   who;

    start(FILE_OF(ADMIN_OFF, MAP("ci", "'app/content/read'"), "", ""));

    refused("P tokens t", NULL, ACR_CHANGE_INVALID, "body");
    refused("P tokens t", "{}", ACR_CHANGE_INVALID, "lacks");
    refused("P tokens t", "{'scopeMap':'cd'}", ACR_CHANGE_INVALID, "exist");
    refused("P tokens t", "{'scopeMap':1}", ACR_CHANGE_INVALID, "type");
    refused("P tokens t", "{'scopeMap':'ci','enabled':'no'}",
            ACR_CHANGE_INVALID, "type");
    refused("P tokens t", "{'scopeMap':'ci','passwords':[]}",
            ACR_CHANGE_INVALID, "not known");
    refused("P tokens admin", "{'scopeMap':'ci'}", ACR_CHANGE_INVALID,
            "name");
    refused("P tokens ADMIN", "{'scopeMap':'ci'}", ACR_CHANGE_INVALID,
            "name");
    refused("P tokens 00000000-0000-0000-0000-000000000000",
            "{'scopeMap':'ci'}", ACR_CHANGE_INVALID, "name");
    refused("D tokens t", NULL, ACR_CHANGE_UNKNOWN, "not exist");
    refused("G tokens t password1", NULL, ACR_CHANGE_UNKNOWN, "not exist");

    made("P tokens t", "{'scopeMap':'ci'}");
    ok(answer == NULL, "no password yet");
    ok(json_is(shown("tokens", "t"),
               "{'name':'t','enabled':true,'scopeMap':'ci',"
               "'created':1790000000,'passwords':[]}"), "made");

    refused("G tokens t password", NULL, ACR_CHANGE_UNKNOWN, "password1");
    refused("G tokens t password1", "[]", ACR_CHANGE_INVALID, "object");
    refused("G tokens t password1", "{'x':1}", ACR_CHANGE_INVALID,
            "not known");
    refused("G tokens t password1", "{'expiry':'x'}", ACR_CHANGE_INVALID,
            "expiry");
    refused("G tokens t password1", "{'expiry':1790000000}",
            ACR_CHANGE_INVALID, "expiry");
    refused("G tokens t password1", "{'expiry':9007199254740993}",
            ACR_CHANGE_INVALID, "expiry");
    refused("G tokens t password1", "{'expiry':1790000000.5}",
            ACR_CHANGE_INVALID, "expiry");

    made("G tokens t password1", "{'expiry':1790000001}");
    ok(json_object_size(answer) == 5 && works("t", answer), "a password");
    ok(json_is(json_incref(json_object_get(answer, "username")), "'t'")
       && json_is(json_incref(json_object_get(answer, "name")),
                  "'password1'")
       && json_is(json_incref(json_object_get(answer, "created")),
                  "1790000000")
       && json_is(json_incref(json_object_get(answer, "expiry")),
                  "1790000001"), "the answer");
    first = json_incref(answer);

    made("G tokens t password2", "{'expiry':null}");
    ok(json_is_null(json_object_get(answer, "expiry"))
       && works("t", answer) && works("t", first), "the second");

    /* who logged in with a password that is made anew is out */

    access = loaded();
    text = text_of("t");
    who = principal(ACR_PRINCIPAL_TOKEN, "t", NULL);
    ok(acr_access_alive(access, &who, NOW), "alive");

    {
        acr_text_t  pass;

        pass.data = (const unsigned char *)
                    json_string_value(json_object_get(answer, "value"));
        pass.len = ACR_ACCESS_PASSWORD_LEN;
        is_int(acr_access_password(access, &text, &pass, NOW, &who), ACR_OK,
               "log in");
        who.password = (const char *) tap_copy(who.password,
                                               ACR_ACCESS_ID_LEN + 1);
        who.name = text;
    }

    acr_access_free(access);

    made("G tokens t password2", NULL);
    access = loaded();
    ok(!acr_access_alive(access, &who, NOW), "not with the old password");
    is_int(may(access, &who, "app"), 0, "nothing");
    who.password = NULL;
    is_int(may(access, &who, "app"), ACR_MAY_PULL, "by name");
    acr_access_free(access);

    made("P tokens t", "{'enabled':false}");
    ok(!works("t", first), "disabled");
    made("P tokens t", "{'enabled':true}");
    ok(works("t", first), "enabled");
    made("P tokens t", "{'scopeMap':'_repositories_push'}");
    ok(works("t", first), "another scope map");

    made("D tokens t", NULL);
    ok(!works("t", first) && shown("tokens", "t") == NULL, "deleted");
    made("P tokens t", "{'scopeMap':'ci','enabled':false}");
    ok(!works("t", first), "another of this name");

    json_decref(first);
}


static void
test_assignment(void)
{
    acr_access_t     *access;
    acr_principal_t   who;

    start("");

    refused("P role-assignments r", "{}", ACR_CHANGE_INVALID, "lacks");
    refused("P role-assignments r", "{'principal':'alice','role':'AcrPull',"
            "'scope':'*'}", ACR_CHANGE_INVALID, "principal");
    refused("P role-assignments r", "{'principal':'user:a','role':'Acr',"
            "'scope':'*'}", ACR_CHANGE_INVALID, "role");
    refused("P role-assignments r", "{'principal':'user:a','role':'AcrPull',"
            "'scope':'a*'}", ACR_CHANGE_INVALID, "scope");
    refused("P role-assignments r", "{'principal':'user:a','role':'AcrPull',"
            "'scope':'*','id':'b'}", ACR_CHANGE_INVALID, "not known");
    refused("P role-assignments r", "{'principal':'user:a\\n','role':"
            "'AcrPull','scope':'*'}", ACR_CHANGE_INVALID, "principal");
    refused("P role-assignments -r", "{'principal':'user:a','role':"
            "'AcrPull','scope':'*'}", ACR_CHANGE_INVALID, "name");
    refused("D role-assignments r", NULL, ACR_CHANGE_UNKNOWN, "exist");
    refused("G role-assignments r password1", NULL, ACR_CHANGE_INVALID,
            "passwords");

    made("P role-assignments r", "{'principal':'user:a','role':'acrpull',"
                                 "'scope':'*'}");
    ok(json_is(shown("role-assignments", "r"),
               "{'id':'r','principal':'user:a','role':'AcrPull','scope':'*',"
               "'created':1790000000}"), "made, with the role's own name");

    who = principal(ACR_PRINCIPAL_USER, "a", NULL);
    access = loaded();
    is_int(may(access, &who, "x"), ACR_MAY_PULL|ACR_MAY_METADATA_READ,
           "it holds");
    acr_access_free(access);

    made("P role-assignments r", "{'role':'AcrDelete'}");
    made("P role-assignments s", "{'principal':'anonymous','role':'AcrPull',"
                                 "'scope':'public/*'}");
    access = loaded();
    is_int(may(access, &who, "x"), ACR_MAY_DELETE, "another role");
    ok(acr_access_anonymous(access), "the anonymous");
    acr_access_free(access);

    made("D role-assignments r", NULL);
    access = loaded();
    is_int(may(access, &who, "x"), 0, "deleted");
    ok(acr_access_anonymous(access), "the other is still there");
    acr_access_free(access);
}


static void
test_file(void)
{
    start("{");
    refused("P admin", "{'enabled':true}", ACR_CHANGE_FAILED, "JSON");

    start("{'version':1}");
    made("P admin", "{'enabled':true}");
    made("P scope-maps a", "{'actions':[]}");
    made("P tokens a", "{'scopeMap':'a'}");

    /* passwords may be left out of a file, too */

    start("{'version':1,'admin':{'enabled':true},'tokens':[{'name':'t',"
          "'enabled':true,'scopeMap':'_repositories_pull','created':1}]}");
    made("G tokens t password2", NULL);
    ok(works("t", answer), "t");
    made("G admin - password2", NULL);
    ok(works("admin", answer), "admin");

    start(WHOLE);
    made("P tokens builder", "{'enabled':false}");
    made("D tokens all", NULL);
    ok(json_is(shown("tokens", "builder"),
               "{'name':'builder','enabled':false,'scopeMap':'ci',"
               "'created':1,'passwords':["
               "{'name':'password1','created':1,'expiry':null},"
               "{'name':'password2','created':1,'expiry':1790000100}]}"),
       "what is not changed stays");
}


/* what is full takes no other one, and can be emptied */

static void
test_full(void)
{
    char      *text, *p;
    unsigned   i;

    text = malloc(10000 * 96 + 64);

    if (text == NULL) {
        exit(2);
    }

    p = text + sprintf(text, "{'version':1,'tokens':[");

    for (i = 0; i < 10000; i++) {
        p += sprintf(p, "%s{'name':'t%u','enabled':true,'scopeMap':"
                     "'_repositories_pull','created':1}", i ? "," : "", i);
    }

    sprintf(p, "]}");
    start(text);
    free(text);

    refused("P tokens one-more", "{'scopeMap':'_repositories_pull'}",
            ACR_CHANGE_INVALID, "10000 tokens");
    made("D tokens t5000", NULL);
    made("P tokens one-more", "{'scopeMap':'_repositories_pull'}");
}


/* jansson's allocations fail, one after the other: nothing leaks, and a
   change is made as a whole or not at all */

static long  allocations_left = -1;


static void *
failing_malloc(size_t n)
{
    if (allocations_left == 0) {
        return NULL;
    }

    if (allocations_left > 0) {
        allocations_left--;
    }

    return malloc(n);
}


static void
test_memory(void)
{
    int             left, wrong;
    long            i;
    size_t          len;
    json_t         *body, *json;
    unsigned        j;
    acr_text_t      name, sub, repository;
    acr_access_t   *access;
    unsigned char  *text;

    static const struct {
        const char  *kind;
        const char  *name;
        int          method;
        const char  *sub;
        const char  *body;
    } cases[] = {
        { "admin", "", 'P', "", "{\"enabled\":true}" },
        { "tokens", "new", 'P', "", "{\"scopeMap\":\"ci\"}" },
        { "tokens", "builder", 'G', "password1", "{\"expiry\":1890000000}" },
        { "tokens", "builder", 'D', "", "{}" },
        { "scope-maps", "new", 'P', "", "{\"actions\":[\"a/content/read\"]}" },
        { "role-assignments", "new", 'P', "",
          "{\"principal\":\"user:a\",\"role\":\"Owner\",\"scope\":\"*\"}" }
    };

    start(FILE_OF(ADMIN_OFF, MAP("ci", ""),
                  TOKEN("builder", "true", "ci", ""),
                  ROLE("r", "group:a", "Owner", "*")));

    for (j = 0; j < sizeof(cases) / sizeof(cases[0]); j++) {
        name = text_of(cases[j].name);
        sub = text_of(cases[j].sub);
        wrong = 0;

        for (i = 0; i < 5000; i++) {
            json_set_alloc_funcs(malloc, free);
            body = json_loads(cases[j].body, 0, NULL);
            json_decref(answer);
            json_set_alloc_funcs(failing_malloc, free);

            allocations_left = i;
            text = acr_access_change(file, file_len, cases[j].kind, &name,
                                     cases[j].method, &sub, body, NOW, &len,
                                     &answer, &code, &error);
            left = allocations_left != 0;
            allocations_left = -1;

            /* the lexer may take what it has no memory for as no JSON */

            wrong += text ? code != ACR_CHANGE_OK
                          : answer || error == NULL
                            || (code != ACR_CHANGE_FAILED
                                && strstr(error, "JSON") == NULL);
            free(text);
            json_decref(body);

            if (left) {
                break;
            }
        }

        ok(i > 20 && i < 5000, "%s: %ld allocations", cases[j].kind, i);
        is_int(wrong, 0, "%s: as a whole or not at all", cases[j].kind);
    }

    json_set_alloc_funcs(malloc, free);
    json_decref(answer);
    answer = NULL;

    start(WHOLE);
    access = loaded();
    repository = text_of("app");
    name.len = 0;
    json_set_alloc_funcs(failing_malloc, free);

    for (j = 0; j < 5; j++) {
        for (i = 0; i < 5000; i++) {
            allocations_left = i;
            json = j == 0 ? acr_access_who(access, &repository, NOW)
                   : acr_access_show(access,
                                     j == 1 ? "tokens"
                                     : j == 2 ? "scope-maps"
                                     : j == 3 ? "admin" : "role-assignments",
                                     &name);
            left = allocations_left != 0;
            allocations_left = -1;
            json_decref(json);

            if (left) {
                ok(json != NULL, "shown after %ld allocations", i);
                break;
            }
        }
    }

    json_set_alloc_funcs(malloc, free);
    acr_access_free(access);
}


int
main(void)
{
    test_admin();
    test_map();
    test_token();
    test_assignment();
    test_file();
    test_full();
    test_memory();

    free(file);
    json_decref(answer);

    return done();
}
