
#include "acr_rule.h"
#include "tap.h"


static acr_text_t
text(const char *s)
{
    acr_text_t  t;

    t.len = strlen(s);
    t.data = tap_copy(s, t.len);

    return t;
}


static acr_rule_t
rule(const char *target, const char *source)
{
    acr_rule_t   r;
    const char  *error;

    error = NULL;
    ok(acr_rule_parse(&r, text(target), text(source), &error) == ACR_OK,
       "%s from %s: %s", target, source, error ? error : "ok");

    return r;
}


static void
bad(const char *target, const char *source)
{
    acr_rule_t   r;
    const char  *error;

    error = NULL;
    ok(acr_rule_parse(&r, text(target), text(source), &error) == ACR_INVALID
       && error, "no rule: %s from %s: %s", target, source,
       error ? error : "");
}


/* name here, name there; NULL: the rule is not for it */

static void
is(acr_rule_t r, const char *name, const char *source)
{
    size_t         n;
    unsigned char  buf[ACR_NAME_MAX];

    n = acr_rule_source(&r, text(name), buf);

    ok(source ? n == strlen(source) && memcmp(buf, source, n) == 0 : n == 0,
       "%s is %s", name, source ? source : "none");

    if (source == NULL) {
        return;
    }

    n = acr_rule_target(&r, r.host, text(source), buf);

    ok(n == strlen(name) && memcmp(buf, name, n) == 0, "and back");
}


static void
is_target(acr_rule_t r, const char *host, const char *name,
    const char *target)
{
    size_t         n;
    unsigned char  buf[ACR_NAME_MAX];

    n = acr_rule_target(&r, text(host), text(name), buf);

    ok(target ? n == strlen(target) && memcmp(buf, target, n) == 0 : n == 0,
       "%s/%s is %s here", host, name, target ? target : "none");
}


static void
overlap(const char *a, const char *b, int want)
{
    acr_rule_t  ra, rb;

    ra = rule(a, strchr(a, '*') ? "one.example/*" : "one.example/x");
    rb = rule(b, strchr(b, '*') ? "two.example/*" : "two.example/x");

    is_int(acr_rule_overlaps(&ra, &rb), want, "%s and %s", a, b);
    is_int(acr_rule_overlaps(&rb, &ra), want, "%s and %s", b, a);
}


int
main(void)
{
    char        name[300];
    acr_rule_t  r;

    r = rule("hub/ubuntu", "docker.io/library/ubuntu");
    is(r, "hub/ubuntu", "library/ubuntu");
    is(r, "hub/ubuntu2", NULL);
    is(r, "hub", NULL);
    is(r, "hub/ubuntu/x", NULL);

    r = rule("hub/*", "docker.io/library/*");
    is(r, "hub/ubuntu", "library/ubuntu");
    is(r, "hub/a/b", "library/a/b");
    is(r, "hub/", NULL);
    is(r, "hub", NULL);
    is(r, "hubs/ubuntu", NULL);
    is_target(r, "docker.io", "grafana/grafana", NULL);
    is_target(r, "quay.io", "library/ubuntu", NULL);
    is_target(r, "docker.io", "library/", NULL);

    r = rule("*", "quay.io/*");
    is(r, "a/b", "a/b");
    is(r, "ubuntu", "ubuntu");

    r = rule("*", "localhost:5000/mirror/*");
    is(r, "a", "mirror/a");

    /* official images */

    r = rule("*", "docker.io/*");
    is(r, "grafana/grafana", "grafana/grafana");
    is(r, "library/ubuntu", "library/ubuntu");
    is_target(r, "docker.io", "library/ubuntu", "library/ubuntu");
    is_int(acr_rule_source(&r, text("ubuntu"), (unsigned char *) name), 14,
           "ubuntu");
    ok(memcmp(name, "library/ubuntu", 14) == 0, "is library/ubuntu");

    r = rule("u", "docker.io/ubuntu");
    is_int(acr_rule_source(&r, text("u"), (unsigned char *) name), 14,
           "so it is by a rule of its own");
    ok(memcmp(name, "library/ubuntu", 14) == 0, "library/ubuntu");
    is_target(r, "docker.io", "library/ubuntu", "u");
    is_target(r, "docker.io", "ubuntu", "u");
    is_target(r, "docker.io", "libraryyubuntu", NULL);

    r = rule("*", "quay.io/*");
    is(r, "nginx", "nginx");

    /* lengths */

    memset(name, 'a', sizeof(name));
    name[255] = '\0';
    r = rule("*", "quay.io/b/*");
    is(r, name, NULL);
    name[253] = '\0';
    is_int(acr_rule_source(&r, text(name), (unsigned char *) name), 255,
           "the longest name");

    bad("", "docker.io/x");
    bad("x", "");
    bad("x", "docker.io");
    bad("x", "docker.io/");
    bad("x", "/x");
    bad("x", "library/x");
    bad("x", "Docker.io/x");
    bad("x", "docker.io/X");
    bad("X", "docker.io/x");
    bad("x/*", "docker.io/x");
    bad("x", "docker.io/x/*");
    bad("x*", "docker.io/x*");
    bad("x/*/y", "docker.io/x/*/y");
    bad("**", "docker.io/*");
    bad("/*", "docker.io/*");
    bad("x//*", "docker.io/*");
    bad("x/*", "docker.io//*");
    bad("x", "docker.io/../x");
    bad("x", "user@docker.io/x");
    bad("x", "https://docker.io/x");

    overlap("a/*", "a/*", 1);
    overlap("a/*", "a/b/*", 1);
    overlap("*", "a/*", 1);
    overlap("a/*", "b/*", 0);
    overlap("a/*", "a/b", 0);
    overlap("a/b", "a/b", 1);
    overlap("a/b", "a/c", 0);
    overlap("a/*", "ab/*", 0);

    return done();
}
