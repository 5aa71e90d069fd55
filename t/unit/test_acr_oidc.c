
#include "acr_oidc.h"
#include "tap.h"


#define NOW  1000000

/* a good token of the issuer below but for its name; more follows */
#define GOOD  "'iss':'https://idp','aud':'acr','exp':1000300"

#define text(name, s)                                                        \
    do {                                                                     \
        (name)->data = (const unsigned char *) (s);                          \
        (name)->len = strlen(s);                                             \
    } while (0)


static const char          *audiences[] = { "acr", "other" };
static acr_oidc_require_t   requires[2];
static acr_oidc_issuer_t    issuer;
static acr_principal_t      principal;
static unsigned char       *buffer;


static void
reset(void)
{
    text(&issuer.issuer, "https://idp");
    text(&issuer.user, "sub");
    text(&issuer.groups, "groups");
    text(&issuer.prefix, "");

    issuer.audiences = audiences;
    issuer.naudiences = 2;
    issuer.require = requires;
    issuer.nrequire = 0;
}


/* claims with ' for " */

static json_t *
object(const char *s)
{
    char    *copy, *p;
    json_t  *json;

    copy = (char *) tap_copy(s, strlen(s) + 1);

    for (p = copy; *p; p++) {
        if (*p == '\'') {
            *p = '"';
        }
    }

    json = json_loads(copy, 0, NULL);

    if (json == NULL) {
        printf("Bail out! no JSON: %s\n", s);
        exit(2);
    }

    return json;
}


static acr_oidc_e
ask_json(const json_t *claims)
{
    /* so that what is written behind it is seen */

    free(buffer);
    buffer = malloc(ACR_OIDC_BUFFER);

    return acr_oidc_principal(&issuer, claims, NOW, buffer, &principal);
}


static acr_oidc_e
ask(const char *s)
{
    json_t      *claims;
    acr_oidc_e   e;

    claims = object(s);
    e = ask_json(claims);
    json_decref(claims);

    ok(acr_oidc_error(e) != NULL, "it can be told");

    return e;
}


static int
same(const acr_text_t *t, const char *s)
{
    return t->len == strlen(s) && memcmp(t->data, s, t->len) == 0;
}


/* the name that the value has, or NULL */

static const char *
name_of(const char *value)
{
    char         claims[1024];
    static char  name[ACR_ACCESS_NAME_MAX + 1];

    snprintf(claims, sizeof(claims), "{" GOOD ",'sub':%s}", value);

    if (ask(claims) != ACR_OIDC_OK) {
        return NULL;
    }

    memcpy(name, principal.name.data, principal.name.len);
    name[principal.name.len] = '\0';

    return name;
}


static void
test_issuer(void)
{
    reset();

    is_int(ask("{" GOOD ",'sub':'alice'}"), ACR_OIDC_OK, "a good one");
    is_int(principal.kind, ACR_PRINCIPAL_USER, "a user");
    ok(same(&principal.name, "alice"), "of this name");
    ok(principal.password == NULL, "without a password");
    is_int(principal.ngroups, 0, "and groups");

    is_int(ask("{'iss':'https://idp/','aud':'acr','exp':1000300,'sub':'a'}"),
           ACR_OIDC_ISSUER, "a slash more");
    is_int(ask("{'iss':'https://id','aud':'acr','exp':1000300,'sub':'a'}"),
           ACR_OIDC_ISSUER, "a letter less");
    is_int(ask("{'iss':['https://idp'],'aud':'acr','exp':1000300,'sub':'a'}"),
           ACR_OIDC_ISSUER, "a list");
    is_int(ask("{'aud':'acr','exp':1000300,'sub':'a'}"), ACR_OIDC_ISSUER,
           "none");
    is_int(ask("{}"), ACR_OIDC_ISSUER, "nothing");

    text(&issuer.issuer, "true");
    is_int(ask("{'iss':true,'aud':'acr','exp':1000300,'sub':'a'}"),
           ACR_OIDC_ISSUER, "what is no text");
    reset();

    is_int(ask("{" GOOD ",'sub':'a','events':{}}"), ACR_OIDC_KIND, "an event");
    is_int(ask("{" GOOD ",'sub':'a','events':null}"), ACR_OIDC_KIND,
           "an event of nothing");
}


static void
test_audience(void)
{
    is_int(ask("{'iss':'https://idp','aud':'acr2','exp':1000300,'sub':'a'}"),
           ACR_OIDC_AUDIENCE, "another audience");
    is_int(ask("{'iss':'https://idp','exp':1000300,'sub':'a'}"),
           ACR_OIDC_AUDIENCE, "none");
    is_int(ask("{'iss':'https://idp','aud':{'acr':1},'exp':1000300,"
               "'sub':'a'}"), ACR_OIDC_AUDIENCE, "an object");
    is_int(ask("{'iss':'https://idp','aud':['x','other'],'exp':1000300,"
               "'sub':'a'}"), ACR_OIDC_OK, "a list that has the second");
    is_int(ask("{'iss':'https://idp','aud':'acr','azp':'x','nonce':'y',"
               "'exp':1000300,'sub':'a'}"), ACR_OIDC_OK, "azp is left alone");

    issuer.naudiences = 0;
    is_int(ask("{" GOOD ",'sub':'a'}"), ACR_OIDC_AUDIENCE, "nobody is for us");
    reset();
}


static void
test_times(void)
{
    is_int(ask("{'iss':'https://idp','aud':'acr','sub':'a'}"), ACR_OIDC_TIME,
           "without an end");
    is_int(ask("{'iss':'https://idp','aud':'acr','sub':'a','exp':999971}"),
           ACR_OIDC_OK, "29 seconds over");
    is_int(ask("{'iss':'https://idp','aud':'acr','sub':'a','exp':999970}"),
           ACR_OIDC_TIME, "30 seconds over");
    is_int(ask("{'iss':'https://idp','aud':'acr','sub':'a','exp':'1000300'}"),
           ACR_OIDC_TIME, "an end that is no number");
    is_int(ask("{" GOOD ",'sub':'a','nbf':1000030}"), ACR_OIDC_OK,
           "it begins in 30 seconds");
    is_int(ask("{" GOOD ",'sub':'a','nbf':1000031}"), ACR_OIDC_TIME,
           "in 31 seconds");
    is_int(ask("{" GOOD ",'sub':'a','iat':[]}"), ACR_OIDC_TIME,
           "an iat that is no number");
    is_int(ask("{'iss':'https://idp','aud':'x','sub':'a','exp':1}"),
           ACR_OIDC_AUDIENCE, "what else is wrong is told first");
    is_int(ask("{'iss':'https://idp','aud':'acr','sub':1,'exp':1}"),
           ACR_OIDC_USER, "also of the name");
}


static void
test_names(void)
{
    int          i;
    char         long_name[200];
    const char  *name;

    static const char  *bad[] = {
        "''", "' a'", "'a '", "'a\\nb'", "'\\u0007'", "'a\\u007f'",
        "'\\u0085'", "'\\u009f'", "1", "true", "null", "['a']", "{'a':'b'}"
    };

    for (i = 0; i < (int) (sizeof(bad) / sizeof(bad[0])); i++) {
        ok(name_of(bad[i]) == NULL, "no name: %s", bad[i]);
    }

    name = name_of("'J\xc3\xb6rg \\\\ \\\"x\\\" <a@b>:/'");
    ok(name && strcmp(name, "J\xc3\xb6rg \\ \"x\" <a@b>:/") == 0,
       "any other characters");
    name = name_of("'\\u00a0'");
    ok(name && strcmp(name, "\xc2\xa0") == 0, "behind the control characters");

    memset(long_name, 'x', sizeof(long_name));
    memcpy(long_name, "'", 1);
    memcpy(long_name + 129, "'", 2);
    ok(name_of(long_name) != NULL, "128 bytes");
    memcpy(long_name + 129, "x'", 3);
    ok(name_of(long_name) == NULL, "one more");

    text(&issuer.prefix, "kc:");
    name = name_of("'alice'");
    ok(name && strcmp(name, "kc:alice") == 0, "a prefix");
    ok(name_of("''") == NULL, "is no name");
    ok(name_of("' a'") == NULL, "nor hides a space");
    memcpy(long_name + 126, "'", 2);
    ok(name_of(long_name) != NULL, "125 bytes and a prefix");
    memcpy(long_name + 126, "x'", 3);
    ok(name_of(long_name) == NULL, "one more");
    reset();

    is_int(ask("{" GOOD "}"), ACR_OIDC_USER, "no name at all");
}


static int
claim(const char *path, const char *claims)
{
    char  all[1024];

    text(&issuer.user, path);
    snprintf(all, sizeof(all), "{" GOOD ",%s}", claims);

    return ask(all) == ACR_OIDC_OK && same(&principal.name, "me");
}


static void
test_paths(void)
{
    ok(claim("a.b", "'a':{'b':'me'}"), "a path");
    ok(claim("a.b", "'a.b':'me'"), "a name with a dot");
    ok(claim("a.b", "'a.b':'me','a':{'b':'x'}"), "which comes first");
    ok(claim("a.b.c", "'a':{'b':{'c':'me'}}"), "three");
    ok(claim("a.b.c", "'a.b':{'c':'me'}"), "a name with a dot in front");
    ok(claim("a.b.c", "'a':{'b.c':'me'}"), "and behind");
    ok(claim("a.b.c", "'a.b':{'c':'me'},'a':{'b':{'c':'x'}}"),
       "the longest one");
    ok(claim("https://x.y/z", "'https://x.y/z':'me'"), "a URL");
    ok(claim("a.", "'a.':'me'") && claim("a.", "'a':{'':'me'}"),
       "nothing behind a dot");
    ok(claim(".a", "'':{'a':'me'}"), "or in front");
    ok(!claim("a.b.c", "'a.b':{'d':'me'},'a':{'b':{'c':'me'}}"),
       "there is no way back");
    ok(!claim("a.b", "'a':'me'") && !claim("a", "'a':{'b':'me'}"),
       "not half of it");
    ok(!claim("a.b", "'a':['me']") && !claim("a.0", "'a':['me']"),
       "nor in a list");
    ok(!claim("a.b", "'x':1") && !claim("a..b", "'a':{'b':'me'}"), "no such");
    ok(!claim("a", "'a':null") && !claim("a.b", "'a.b':null,'a':{'b':'me'}"),
       "null is none");
    ok(!claim("....", "'x':1"), "only dots");
    reset();
}


static int
required(const char *name, const char *value, const char *claims)
{
    char  all[1024];

    text(&requires[0].claim, name);
    text(&requires[0].value, value);
    snprintf(all, sizeof(all), "{" GOOD ",'sub':'a',%s}", claims);

    return ask(all);
}


static void
test_required(void)
{
    issuer.nrequire = 1;

    is_int(required("o", "acme", "'o':'acme'"), ACR_OIDC_OK, "a value");
    is_int(required("o", "acme", "'o':['x','acme']"), ACR_OIDC_OK, "a list");
    is_int(required("o", "true", "'o':true"), ACR_OIDC_OK, "true");
    is_int(required("o", "true", "'o':'true'"), ACR_OIDC_OK, "in words");
    is_int(required("o", "false", "'o':false"), ACR_OIDC_OK, "false");
    is_int(required("a.o", "x=y", "'a':{'o':'x=y'}"), ACR_OIDC_OK, "a path");

    is_int(required("o", "acme", "'o':'acme2'"), ACR_OIDC_REQUIRED, "longer");
    is_int(required("o", "acme", "'o':'acm'"), ACR_OIDC_REQUIRED, "shorter");
    is_int(required("o", "acme", "'o':'ACME'"), ACR_OIDC_REQUIRED, "capitals");
    is_int(required("o", "acme", "'o':[]"), ACR_OIDC_REQUIRED, "empty");
    is_int(required("o", "acme", "'o':[['acme']]"), ACR_OIDC_REQUIRED,
           "too deep");
    is_int(required("o", "acme", "'o':{'acme':'acme'}"), ACR_OIDC_REQUIRED,
           "an object");
    is_int(required("o", "1", "'o':1"), ACR_OIDC_REQUIRED, "a number");
    is_int(required("o", "true", "'o':false"), ACR_OIDC_REQUIRED, "not true");
    is_int(required("o", "null", "'o':null"), ACR_OIDC_REQUIRED, "null");
    is_int(required("o", "acme", "'x':'acme'"), ACR_OIDC_REQUIRED, "none");

    issuer.nrequire = 2;
    text(&requires[1].claim, "p");
    text(&requires[1].value, "q");

    is_int(required("o", "acme", "'o':'acme'"), ACR_OIDC_REQUIRED, "one");
    is_int(required("o", "acme", "'o':'acme','p':'q'"), ACR_OIDC_OK, "both");

    reset();
}


/* groups, as their names with commas between */

static const char *
groups_of(const char *value)
{
    char         claims[1024], *p;
    unsigned     i;
    static char  names[ACR_OIDC_GROUPS_LEN];

    snprintf(claims, sizeof(claims), "{" GOOD ",'sub':'a','groups':%s}",
             value);

    is_int(ask(claims), ACR_OIDC_OK, "groups are no reason to refuse it");

    p = names;
    *p = '\0';

    for (i = 0; i < principal.ngroups; i++) {
        p += sprintf(p, "%s%.*s", i ? "," : "",
                     (int) principal.groups[i].len,
                     (const char *) principal.groups[i].data);
    }

    return names;
}


/* n groups of len bytes each, of the character c: how many are kept, and
   whether they are what they were */

static unsigned
many(unsigned n, size_t len, char c)
{
    char       name[ACR_ACCESS_NAME_MAX + 1];
    json_t    *claims, *list;
    unsigned   i;
    acr_oidc_e e;

    memset(name, c, sizeof(name));
    claims = object("{" GOOD ",'sub':'a'}");
    list = json_array();

    for (i = 0; i < n; i++) {
        (void) json_array_append_new(list, json_stringn(name, len));
    }

    (void) json_object_set_new(claims, "groups", list);

    e = ask_json(claims);
    json_decref(claims);

    is_int(e, ACR_OIDC_OK, "%u groups of %zu bytes", n, len);

    for (i = 0; i < principal.ngroups; i++) {
        if (principal.groups[i].len != len
            || memcmp(principal.groups[i].data, name, len) != 0)
        {
            ok(0, "group %u", i);
        }
    }

    return principal.ngroups;
}


static void
test_groups(void)
{
    ok(strcmp(groups_of("['a','b']"), "a,b") == 0, "a list");
    ok(strcmp(groups_of("'a'"), "a") == 0, "a string");
    ok(strcmp(groups_of("[]"), "") == 0, "an empty list");
    ok(strcmp(groups_of("''"), "") == 0, "an empty name");
    ok(strcmp(groups_of("{'a':'b'}"), "") == 0, "an object");
    ok(strcmp(groups_of("5"), "") == 0, "a number");
    ok(strcmp(groups_of("null"), "") == 0, "null");
    ok(strcmp(groups_of("[1,'a',null,['b'],' c','d ','e\\n','f']"), "a,f")
       == 0, "what is no name is passed over");

    text(&issuer.prefix, "p:");
    ok(strcmp(groups_of("['a','b']"), "p:a,p:b") == 0, "a prefix");
    text(&issuer.prefix, "");

    text(&issuer.groups, "r.roles");
    is_int(ask("{" GOOD ",'sub':'a','r':{'roles':['x']}}"), ACR_OIDC_OK,
           "a path");
    ok(principal.ngroups == 1 && same(&principal.groups[0], "x"), "is found");
    reset();

    is_int(many(64, 1, 'x'), 64, "as many as can be");
    is_int(many(65, 1, 'x'), 64, "one more");
    is_int(many(10000, 1, 'x'), 64, "many more");
    is_int(many(64, 125, 'x'), 32, "long ones");
    is_int(many(64, 128, '"'), 15, "long ones, and longer in JSON");
    is_int(many(64, 128, '\\'), 15, "the other character of that kind");
    is_int(many(64, 129, 'x'), 0, "longer than a name");
}


static int
prefix(const char *s)
{
    acr_text_t  t;

    t.data = tap_copy(s, strlen(s));
    t.len = strlen(s);

    return acr_oidc_prefix_valid(&t);
}


static int
meet(const char *a, const char *b)
{
    acr_text_t  x, y;

    text(&x, a);
    text(&y, b);

    return acr_oidc_prefix_meet(&x, &y) + acr_oidc_prefix_meet(&y, &x);
}


static void
test_prefix(void)
{
    ok(prefix(""), "no prefix");
    ok(prefix("kc:") && prefix("\xc3\xb6") && prefix("a b/"), "a prefix");
    ok(prefix("1234567890123456789012345678901234567890123456789012345678901"
              "234"), "64 bytes");
    ok(!prefix("1234567890123456789012345678901234567890123456789012345678901"
               "2345"), "65 bytes");
    ok(!prefix(" a") && !prefix("a ") && !prefix(" "), "spaces");
    ok(!prefix("a\n") && !prefix("\x7f") && !prefix("\xc2\x80"),
       "control characters");
    ok(!prefix("\xff") && !prefix("a\xc2"), "no UTF-8");

    is_int(meet("", ""), 2, "none twice");
    is_int(meet("a", "a"), 2, "the same");
    is_int(meet("", "a"), 2, "one and none");
    is_int(meet("ab", "a"), 2, "a longer one");
    is_int(meet("ab", "ac"), 0, "others");
    is_int(meet("ab", "b"), 0, "of other lengths");
}


int
main(void)
{
    int  i;

    test_issuer();
    test_audience();
    test_times();
    test_names();
    test_paths();
    test_required();
    test_groups();
    test_prefix();

    for (i = ACR_OIDC_OK; i <= ACR_OIDC_TIME; i++) {
        ok(strcmp(acr_oidc_error((acr_oidc_e) i), "unknown") != 0,
           "error %d has a text", i);
    }

    ok(strcmp(acr_oidc_error((acr_oidc_e) 99), "unknown") == 0, "no error");

    free(buffer);

    return done();
}
