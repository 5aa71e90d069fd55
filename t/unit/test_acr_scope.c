
#include "acr_name.h"
#include "acr_scope.h"
#include "tap.h"


#define ALL  (ACR_MAY_PULL|ACR_MAY_PUSH|ACR_MAY_DELETE                        \
              |ACR_MAY_METADATA_READ|ACR_MAY_METADATA_WRITE)


/*
 * Takes a whole text apart: "name|may;" for each scope with may in hex, "!;"
 * if one is malformed.
 */

static void
scopes(const void *p, size_t n, const char *want, const char *label)
{
    int                   rc, wrong;
    char                  buf[4096], *b;
    size_t                len;
    acr_text_t            text;
    acr_scope_t           scope;
    const unsigned char  *copy;

    copy = tap_copy(p, n);
    text.data = copy;
    text.len = n;
    b = buf;
    *b = '\0';
    wrong = 0;

    for ( ;; ) {
        len = text.len;
        memset(&scope, 0xff, sizeof(acr_scope_t));

        rc = acr_scope_next(&text, &scope);

        wrong += text.data + text.len != copy + n;

        if (rc != ACR_OK) {
            wrong += scope.name.data != NULL || scope.name.len || scope.may;
        }

        if (rc == ACR_DONE) {
            wrong += text.len != 0;
            break;
        }

        if (text.len >= len) {
            wrong++;
            break;
        }

        wrong += text.len && *text.data != ' ';

        if (rc == ACR_INVALID) {
            b += sprintf(b, "!;");
            continue;
        }

        wrong += rc != ACR_OK;

        if (scope.name.len == 0) {
            wrong += scope.name.data != NULL;

        } else {
            wrong += scope.name.data < copy
                     || scope.name.data + scope.name.len > text.data;
        }

        b += sprintf(b, "%.*s|%02x;", (int) scope.name.len,
                     (char *) scope.name.data, scope.may);
    }

    if (!ok(!wrong && strcmp(buf, want) == 0, "%s", label)) {
        printf("#   got '%s'%s\n", buf, wrong ? ", out of place" : "");
    }
}


#define is(s, want)  scopes(s, sizeof(s) - 1, want, #s)


/* prints what the text has first; what was printed has to read the same */

static void
round_trip(const char *s, const char *want)
{
    int             same;
    size_t          n;
    acr_text_t      text;
    acr_scope_t     scope, again;
    unsigned char  *buf;

    text.data = tap_copy(s, strlen(s));
    text.len = strlen(s);

    if (!is_int(acr_scope_next(&text, &scope), ACR_OK, "%s is read", s)) {
        return;
    }

    buf = malloc(ACR_SCOPE_MAX);
    n = acr_scope_print(buf, &scope);

    if (!ok(n == strlen(want) && memcmp(buf, want, n) == 0, "and printed")) {
        printf("#   got '%.*s'\n", (int) n, (char *) buf);
    }

    text.data = tap_copy(buf, n);
    text.len = n;
    same = acr_scope_next(&text, &again) == ACR_OK
           && text.len == 0
           && again.may == scope.may
           && again.name.len == scope.name.len
           && (scope.name.len == 0
               || memcmp(again.name.data, scope.name.data, scope.name.len)
                  == 0);

    ok(same, "and read again");
    free(buf);
}


static int
valid(const char *s)
{
    size_t  n;

    n = strlen(s);

    return acr_pattern_valid(tap_copy(s, n), n);
}


static int
match(const char *pattern, const char *repository)
{
    acr_text_t  p, r;

    p.len = strlen(pattern);
    p.data = tap_copy(pattern, p.len);
    r.len = strlen(repository);
    r.data = tap_copy(repository, r.len);

    return acr_pattern_match(&p, &r);
}


/* want: the pattern; bit: 0 if the right is none */

static void
right(const void *s, size_t n, const char *want, unsigned bit,
    const char *label)
{
    int                   rc;
    unsigned              got;
    acr_text_t            pattern;
    const unsigned char  *p;

    p = tap_copy(s, n);
    memset(&pattern, 0xff, sizeof(acr_text_t));
    got = 0xff;

    rc = acr_right_parse(p, n, &pattern, &got);

    if (bit == 0) {
        ok(rc == ACR_INVALID && got == 0 && pattern.data == NULL
           && pattern.len == 0, "no right: %s", label);
        return;
    }

    ok(rc == ACR_OK && got == bit && pattern.len == strlen(want)
       && (bit == ACR_MAY_EVENTS
           || (pattern.data >= p && pattern.data + pattern.len <= p + n))
       && memcmp(pattern.data, want, pattern.len) == 0
       && acr_pattern_valid(pattern.data, pattern.len), "right: %s", label);
}


#define may(s, pattern, bit)  right(s, sizeof(s) - 1, pattern, bit, #s)
#define may_not(s)            right(s, sizeof(s) - 1, "", 0, #s)


static void
reading(void)
{
    is("", "");
    is(" ", "");
    is("    ", "");

    is("repository:app:pull", "app|01;");
    is("repository:app:push", "app|02;");
    is("repository:app:delete", "app|04;");
    is("repository:app:metadata_read", "app|08;");
    is("repository:app:metadata_write", "app|10;");
    is("repository:app:*", "app|1f;");
    is("repository:app:pull,push", "app|03;");
    is("repository:app:push,pull", "app|03;");
    is("repository:app:pull,pull,pull", "app|01;");
    is("repository:app:pull,push,delete,metadata_read,metadata_write",
       "app|1f;");
    is("repository:app:pull,*", "app|1f;");
    is("repository:app:", "app|00;");
    is("repository:app:,", "app|00;");
    is("repository:app:,,pull,,", "app|01;");
    is("repository:team/web_app/a--b.c:pull", "team/web_app/a--b.c|01;");

    /* several */

    is("repository:a:pull repository:b:push", "a|01;b|02;");
    is("repository:a:pull repository:a:push", "a|01;a|02;");
    is("  repository:a:pull   repository:b:push  ", "a|01;b|02;");
    is("repository:a:pull registry:catalog:* repository:b/c:*",
       "a|01;|20;b/c|1f;");
    is("repository:a: repository:b:pull", "a|00;b|01;");

    /* other white space is none */

    is("repository:a:pull\trepository:b:push", "!;");
    is("\trepository:a:pull", "!;");
    is("repository:a:pull\n", "a|00;");
    is("repository:a :pull", "!;!;");
    is("repository: a:pull", "!;!;");
    is("repository:a:pull, push", "a|01;!;");
    is("repository:a:pull+repository:b:push", "!;");

    /* what is malformed does not hide what is behind it */

    is("repository repository:b:push", "!;b|02;");
    is("repository:A:pull repository:b:push", "!;b|02;");
    is("a b c repository:b:push d", "!;!;!;b|02;!;");
    is("repository", "!;");
    is("repository:", "!;");
    is("repository:app", "!;");
    is("repository:pull,push", "!;");
    is(":", "!;");
    is("::", "!;");
    is(":::", "!;");
    is(":app:pull", "!;");
    is("repository::pull", "!;");
    is("repository::", "!;");
    is("repository:/:pull", "!;");
    is("repository:/a:pull", "!;");
    is("repository:a/:pull", "!;");
    is("repository:a//b:pull", "!;");
    is("repository:../a:pull", "!;");
    is("repository:a/../b:pull", "!;");
    is("repository:App:pull", "!;");
    is("repository:a%2fb:pull", "!;");
    is("repository:\xc3\xa9:pull", "!;");
    is("repository:a\0:pull", "!;");
    is("repository:a\0b:pull", "!;");
    is("repository:app:pull\0", "app|00;");
    is("\0", "!;");

    /* stars */

    is("repository:*:pull", "*|01;");
    is("repository:*:*", "*|1f;");
    is("repository:*:", "*|00;");
    is("repository:**:pull", "!;");
    is("repository:a*:pull", "!;");
    is("repository:*/a:pull", "!;");
    is("repository:team/*:pull", "!;");
    is("repository:/*:pull", "!;");
    is("*:*:*", "!;");

    /* a host with a port is no part of a name */

    is("repository:localhost:5000/app:pull", "!;");
    is("repository:reg.example.com:443/team/app:pull,push", "!;");
    is("repository:[::1]:5000/app:pull", "!;");
    is("repository:reg.example.com/app:pull", "reg.example.com/app|01;");
    is("repository:app:latest:pull", "!;");
    is("repository:app@sha256:00:pull", "!;");
    is("repository:app:pull:push", "!;");
    is("repository:app::pull", "!;");
    is("repository:localhost:5000/app", "localhost|00;");

    /* actions that are not known */

    is("repository:app:none", "app|00;");
    is("repository:app:none,pull,other", "app|01;");
    is("repository:app:Pull,PUSH", "app|00;");
    is("repository:app:pul", "app|00;");
    is("repository:app:pulls", "app|00;");
    is("repository:app:pull ", "app|01;");
    is("repository:app:**", "app|00;");
    is("repository:app:*pull", "app|00;");
    is("repository:app:metadata", "app|00;");
    is("repository:app:metadata-read", "app|00;");
    is("repository:app:content/read", "app|00;");
    is("repository:app:pull;push", "app|00;");
    is("repository:app:deleted_read,pull", "app|01;");
    is("repository:app:\xff,pull", "app|01;");

    /* types */

    is("repository(plugin):app:pull", "app|01;");
    is("repository(image):team/app:pull,push", "team/app|03;");
    is("repository(a-b.c_D9):app:pull", "app|01;");
    is("repository():app:pull", "!;");
    is("repository(:app:pull", "!;");
    is("repository(plugin:app:pull", "!;");
    is("repository(plugin(:app:pull", "!;");
    is("repository(plugin+:app:pull", "!;");
    is("repository(plugin)x:app:pull", "!;");
    is("repository(plugin)):app:pull", "!;");
    is("repository((plugin)):app:pull", "!;");
    is("repository(plugin)(plugin):app:pull", "!;");
    is("repository(plug+in):app:pull", "!;");
    is("repository(plu:gin):app:pull", "!;");
    is("repository):app:pull", "!;");
    is("repository*:app:pull", "!;");
    is("(plugin):app:pull", "!;");
    is("artifact-repository:app:pull", "|00;");
    is("plugin:app:*", "|00;");
    is("plugin(a):app:*", "|00;");
    is("Repository:app:pull", "|00;");
    is("REPOSITORY:app:pull", "|00;");
    is("repositor:app:pull", "|00;");
    is("repositorys:app:pull", "|00;");
    is("plugin::", "|00;");
    is("plugin:Any:thing/*:*", "|00;");
    is("plugin:app:* repository:app:pull", "|00;app|01;");
    is("plugin:app", "!;");

    /* the registry */

    is("registry:catalog:*", "|20;");
    is("registry(a):catalog:*", "|20;");
    is("registry:catalog:pull,*", "|20;");
    is("registry:catalog:*,pull", "|20;");
    is("registry:catalog:", "|00;");
    is("registry:catalog:pull", "|00;");
    is("registry:catalog:pull,push,delete", "|00;");
    is("registry:catalog:metadata_read", "|00;");
    is("registry:catalog", "!;");
    is("registry:Catalog:*", "|00;");
    is("registry:catalog2:*", "|00;");
    is("registry:cat:*", "|00;");
    is("registry:events:read", "|40;");
    is("registry:events:*", "|40;");
    is("registry:events:write,read", "|40;");
    is("registry:events:", "|00;");
    is("registry:events:pull", "|00;");
    is("registry:events:reads", "|00;");
    is("registry:catalog:read", "|00;");
    is("registry:*:*", "|00;");
    is("registry:*:read", "|00;");
    is("repository:events:read", "events|00;");
    is("registry:", "!;");
    is("registry::*", "|00;");
    is("repository:catalog:*", "catalog|1f;");
}


static void
lengths(void)
{
    char         s[1024], want[1024];
    size_t       n, len;
    acr_text_t   text;
    acr_scope_t  scope;

    for (n = ACR_NAME_MAX - 1; n <= ACR_NAME_MAX + 1; n++) {
        len = (size_t) sprintf(s, "repository:");
        memset(s + len, 'a', n);
        sprintf(s + len + n, ":pull");

        memset(want, 'a', n);
        sprintf(want + n, "|01;");

        scopes(s, strlen(s), n <= ACR_NAME_MAX ? want : "!;",
               n <= ACR_NAME_MAX ? "the longest name" : "a name too long");
    }

    for (n = ACR_SCOPE_ACTIONS_MAX - 1; n <= ACR_SCOPE_ACTIONS_MAX + 1; n++) {
        len = (size_t) sprintf(s, "repository:a:");
        memset(s + len, 'x', n);
        memcpy(s + len + n - 5, ",pull", 5);
        sprintf(s + len + n, " repository:b:push");

        scopes(s, strlen(s),
               n <= ACR_SCOPE_ACTIONS_MAX ? "a|01;b|02;" : "!;b|02;",
               n <= ACR_SCOPE_ACTIONS_MAX ? "the longest actions"
                                          : "actions too long");

        memset(s + len, ',', n);

        scopes(s, strlen(s),
               n <= ACR_SCOPE_ACTIONS_MAX ? "a|00;b|02;" : "!;b|02;",
               n <= ACR_SCOPE_ACTIONS_MAX ? "the most actions"
                                          : "actions too many");

        memcpy(s, "elsewheres", 10);

        scopes(s, strlen(s),
               n <= ACR_SCOPE_ACTIONS_MAX ? "|00;b|02;" : "!;b|02;",
               "of another type");
    }

    text.data = NULL;
    text.len = 0;
    is_int(acr_scope_next(&text, &scope), ACR_DONE, "no text");
    is_int(acr_scope_next(&text, &scope), ACR_DONE, "is final");

    /* cut at every place */

    len = (size_t) sprintf(s, "repository(plugin):a/b:metadata_read");

    for (n = 1; n < len; n++) {
        scopes(s, n, n < 23 ? "!;" : "a/b|00;", "cut short");
    }
}


static void
printing(void)
{
    char            name[ACR_NAME_MAX + 1], s[512];
    size_t          n;
    unsigned        bits, wrong;
    acr_text_t      text;
    acr_scope_t     scope, again;
    unsigned char  *buf;

    round_trip("repository:app:pull", "repository:app:pull");
    round_trip("repository:app:push,pull", "repository:app:pull,push");
    round_trip("repository:a/b:", "repository:a/b:");
    round_trip("repository:a/b:none", "repository:a/b:");
    round_trip("repository:*:pull", "repository:*:pull");
    round_trip("repository(plugin):app:delete", "repository:app:delete");
    round_trip("repository:app:*", "repository:app:"
               "pull,push,delete,metadata_read,metadata_write");
    round_trip("registry:catalog:*", "registry:catalog:*");
    round_trip("registry(a):catalog:pull,*", "registry:catalog:*");
    round_trip("registry:events:read", "registry:events:read");
    round_trip("registry:events:*", "registry:events:read");

    memset(name, 'a', ACR_NAME_MAX);
    name[ACR_NAME_MAX] = '\0';
    sprintf(s, "repository:%s:pull,push,delete,metadata_read,metadata_write",
            name);
    round_trip(s, s);

    buf = malloc(ACR_SCOPE_MAX);
    wrong = 0;

    for (bits = 0; bits <= ACR_MAY_ALL; bits++) {
        scope.name.data = (const unsigned char *) "a/b";
        scope.name.len = 3;
        scope.may = bits;

        n = acr_scope_print(buf, &scope);

        text.data = tap_copy(buf, n);
        text.len = n;
        wrong += acr_scope_next(&text, &again) != ACR_OK;
        wrong += again.may != bits || again.name.len != 3;
        wrong += acr_scope_next(&text, &again) != ACR_DONE;
    }

    is_int(wrong, 0, "every set of actions");

    scope.may = ACR_MAY_ALL|ACR_MAY_CATALOG;
    n = acr_scope_print(buf, &scope);
    ok(n == 18 && memcmp(buf, "registry:catalog:*", 18) == 0,
       "the catalog instead");

    scope.may = ~ (ACR_MAY_ALL|ACR_MAY_REGISTRY) | ACR_MAY_PUSH;
    n = acr_scope_print(buf, &scope);
    ok(n == 19 && memcmp(buf, "repository:a/b:push", 19) == 0,
       "other bits are nothing");

    scope.may = ACR_MAY_ALL;
    scope.name.len = ACR_NAME_MAX + 1;
    is_int(acr_scope_print(buf, &scope), 0, "a name too long is not printed");

    scope.name.data = NULL;
    scope.name.len = 0;
    is_int(acr_scope_print(buf, &scope), 0, "no name is not printed");
    scope.may = 0;
    is_int(acr_scope_print(buf, &scope), 0, "nor without actions");

    scope.may = ACR_MAY_CATALOG;
    is_int(acr_scope_print(buf, &scope), 18, "the catalog has no name");

    free(buf);
}


static void
actions(void)
{
    unsigned  bits, named;

    is_int(strcmp(acr_scope_action(ACR_MAY_PULL), "pull"), 0, "pull");
    is_int(strcmp(acr_scope_action(ACR_MAY_PUSH), "push"), 0, "push");
    is_int(strcmp(acr_scope_action(ACR_MAY_DELETE), "delete"), 0, "delete");
    is_int(strcmp(acr_scope_action(ACR_MAY_METADATA_READ), "metadata_read"),
           0, "metadata_read");
    is_int(strcmp(acr_scope_action(ACR_MAY_METADATA_WRITE), "metadata_write"),
           0, "metadata_write");

    named = 0;

    for (bits = 0; bits < 256; bits++) {
        named += acr_scope_action(bits) != NULL;
    }

    is_int(named, 5, "and nothing else has a name");
    is_int(ACR_MAY_ALL, ALL, "all of them");
}


static void
patterns(void)
{
    char  s[ACR_NAME_MAX + 8], r[ACR_NAME_MAX + 8];

    ok(valid("*"), "all");
    ok(valid("team"), "a name");
    ok(valid("team/app"), "a name of two parts");
    ok(valid("team/*"), "those below");
    ok(valid("a/*"), "those below a short one");
    ok(valid("team/a.b_c--d/*"), "those below two parts");

    ok(!valid(""), "empty");
    ok(!valid("**"), "two stars");
    ok(!valid("/*"), "below nothing");
    ok(!valid("*/*"), "below all");
    ok(!valid("team*"), "a star behind a name");
    ok(!valid("team-*"), "behind a separator");
    ok(!valid("team/a*"), "behind part of a name");
    ok(!valid("*/app"), "a star first");
    ok(!valid("team/*/app"), "a star between");
    ok(!valid("team/**"), "two stars below");
    ok(!valid("team/*/*"), "two below");
    ok(!valid("team//*"), "two slashes");
    ok(!valid("team/"), "a slash at the end");
    ok(!valid("/team"), "a slash first");
    ok(!valid("team/ *"), "a space");
    ok(!valid("Team"), "upper case");
    ok(!valid("Team/*"), "upper case below");
    ok(!valid("host:5000/*"), "a port");
    ok(!valid("../*"), "dots");
    ok(!valid("team/* "), "a space behind");
    ok(!acr_pattern_valid(tap_copy("team/*\0", 7), 7), "a zero behind");
    ok(!acr_pattern_valid(tap_copy("*\0", 2), 2), "a zero behind a star");
    ok(!acr_pattern_valid(NULL, 0), "none");

    memset(s, 'a', sizeof(s));
    s[ACR_NAME_MAX] = '\0';
    ok(valid(s), "the longest name");
    s[ACR_NAME_MAX - 2] = '/';
    s[ACR_NAME_MAX - 1] = '*';
    ok(valid(s), "the longest pattern");

    memcpy(r, s, sizeof(s));
    r[ACR_NAME_MAX - 1] = 'b';
    ok(match(s, r), "covers the longest name");

    memset(s, 'a', sizeof(s));
    s[ACR_NAME_MAX + 1] = '\0';
    ok(!valid(s), "a name too long");
    s[ACR_NAME_MAX - 1] = '/';
    s[ACR_NAME_MAX] = '*';
    ok(!valid(s), "a pattern too long");

    ok(match("*", "team"), "all: a name");
    ok(match("*", "a"), "all: a short one");
    ok(match("*", "team/a/b"), "all: a long one");
    ok(match("*", "*"), "all: all");
    ok(!match("*", ""), "all: not the empty one");

    ok(match("team", "team"), "a name is itself");
    ok(match("team/a", "team/a"), "one of two parts is too");
    ok(!match("team", "tea"), "not a shorter one");
    ok(!match("team", "teams"), "not a longer one");
    ok(!match("team", "team/a"), "not one below");
    ok(!match("team/a", "team"), "not one above");
    ok(!match("team", "maet"), "not another one");
    ok(!match("team", "*"), "not all");
    ok(!match("team", ""), "not the empty one");
    ok(!match("a", "*"), "a short one is not all");

    ok(match("team/*", "team/a"), "below: one");
    ok(match("team/*", "team/a/b"), "below: one further down");
    ok(match("team/*", "team/team"), "below: the same again");
    ok(!match("team/*", "team"), "below: not itself");
    ok(!match("team/*", "teams"), "below: not a longer name");
    ok(!match("team/*", "teams/a"), "below: nor what is below it");
    ok(!match("team/*", "tea/m"), "below: not a slash elsewhere");
    ok(!match("team/*", "a/team/a"), "below: not further down");
    ok(!match("team/*", "other"), "below: not another one");
    ok(!match("team/*", "*"), "below: not all");
    ok(!match("team/*", "team/"), "below: not nothing");
    ok(!match("team/*", ""), "below: not the empty one");
    ok(match("team/a/*", "team/a/b"), "below two parts: one");
    ok(!match("team/a/*", "team/a"), "below two parts: not itself");
    ok(!match("team/a/*", "team/ab/c"), "below two parts: not a longer name");
    ok(!match("a-b/*", "a/b/c"), "below: separators differ");
    ok(!match("", ""), "no pattern covers nothing");
    ok(!match("", "a"), "no pattern");
}


static void
rights(void)
{
    char    s[512], want[ACR_NAME_MAX + 2];
    size_t  n;

    may("registry/events/read", "*", ACR_MAY_EVENTS);
    may("repositories/app/content/read", "app", ACR_MAY_PULL);
    may("repositories/app/content/write", "app", ACR_MAY_PUSH);
    may("repositories/app/content/delete", "app", ACR_MAY_DELETE);
    may("repositories/app/metadata/read", "app", ACR_MAY_METADATA_READ);
    may("repositories/app/metadata/write", "app", ACR_MAY_METADATA_WRITE);
    may("app/content/read", "app", ACR_MAY_PULL);
    may("app/metadata/write", "app", ACR_MAY_METADATA_WRITE);
    may("repositories/*/content/read", "*", ACR_MAY_PULL);
    may("*/content/delete", "*", ACR_MAY_DELETE);
    may("repositories/team/app/content/read", "team/app", ACR_MAY_PULL);
    may("repositories/team/*/content/write", "team/*", ACR_MAY_PUSH);
    may("team/*/metadata/read", "team/*", ACR_MAY_METADATA_READ);

    /* names like the words around them */

    may("content/read/content/write", "content/read", ACR_MAY_PUSH);
    may("content/content/read", "content", ACR_MAY_PULL);
    may("metadata/metadata/read", "metadata", ACR_MAY_METADATA_READ);
    may("repositories/repositories/content/read", "repositories",
        ACR_MAY_PULL);
    may("repositories/repositories/a/content/read", "repositories/a",
        ACR_MAY_PULL);
    may("repositoriesa/content/read", "repositoriesa", ACR_MAY_PULL);
    may("a/repositories/content/read", "a/repositories", ACR_MAY_PULL);
    may_not("repositories/content/read");

    may_not("");
    may_not("/");
    may_not("app");
    may_not("content/read");
    may_not("/content/read");
    may_not("repositories/");
    may_not("repositories//content/read");
    may_not("repositories/app");
    may_not("repositories/app/");
    may_not("repositories/app/content");
    may_not("repositories/app/content/");
    may_not("repositories/app/content/rea");
    may_not("repositories/app/content/reads");
    may_not("repositories/app/content/read/");
    may_not("repositories/app/content/read ");
    may_not(" repositories/app/content/read");
    may_not("repositories/app/content/*");
    may_not("repositories/app/metadata/delete");
    may_not("repositories/app/pull");
    may_not("repositories/app/Content/Read");
    may_not("Repositories/app/content/read");
    may_not("/repositories/app/content/read");
    may_not("repositories/app//content/read");
    may_not("repositories/App/content/read");
    may_not("repositories/a*/content/read");
    may_not("repositories/*/app/content/read");
    may_not("repositories/**/content/read");
    may_not("repositories/../content/read");
    may_not("repositories/a:b/content/read");
    may_not("repositories/app/content/read,content/write");
    may_not("repositories/app/content/read\0");
    may_not("repositories/app\0/content/read");
    may_not("gateway/app/config/read");
    may_not("registry/events/write");
    may_not("registry/events/reads");
    may_not("registry/catalog/read");
    may_not("repositories/registry/events/read");
    may_not("repositories/*/events/read");
    right(NULL, 0, "", 0, "none");

    for (n = ACR_NAME_MAX; n <= ACR_NAME_MAX + 1; n++) {
        memset(want, 'a', n);
        want[n] = '\0';
        sprintf(s, "repositories/%s/content/read", want);
        right(s, strlen(s), want, n <= ACR_NAME_MAX ? ACR_MAY_PULL : 0,
              "the longest");
    }
}


int
main(void)
{
    reading();
    lengths();
    printing();
    actions();
    patterns();
    rights();

    return done();
}
