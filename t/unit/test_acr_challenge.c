
#include "acr_challenge.h"
#include "tap.h"


static void
text(char **p, const char *name, const acr_text_t *value)
{
    if (value->data) {
        *p += sprintf(*p, " %s=%.*s", name, (int) value->len,
                      (const char *) value->data);
    }
}


/* the challenges of a header, each with what is known of it */

static void
challenges(const char *header, const char *want)
{
    int              rc;
    char             got[1024], *p;
    size_t           n;
    acr_text_t       rest;
    unsigned char   *buf;
    acr_challenge_t  challenge;

    n = strlen(header);
    p = got;

    rest.data = tap_copy(header, n);
    rest.len = n;

    for ( ;; ) {
        buf = tap_copy(rest.data, rest.len);

        rc = acr_challenge_next(&rest, buf, &challenge);

        if (rc != ACR_OK) {
            break;
        }

        p += sprintf(p, "%s%s", p == got ? "" : "; ",
                     challenge.scheme == ACR_CHALLENGE_BASIC ? "basic"
                                                             : "bearer");
        text(&p, "realm", &challenge.realm);
        text(&p, "service", &challenge.service);
        text(&p, "scope", &challenge.scope);
        text(&p, "error", &challenge.error);
    }

    *p = '\0';

    is_int(rc, ACR_DONE, "%s ends", header);
    ok(strcmp(got, want) == 0, "%s: %s", header, got);
}


static void
long_ones(void)
{
    size_t           n;
    acr_text_t       rest;
    unsigned char   *p, *buf;
    acr_challenge_t  challenge;

    for (n = ACR_CHALLENGE_MAX; n <= ACR_CHALLENGE_MAX + 1; n++) {
        p = malloc(n);
        buf = malloc(n);

        if (p == NULL || buf == NULL) {
            exit(2);
        }

        memset(p, 'x', n);
        memcpy(p, "Basic realm=\"", 13);
        p[n - 1] = '"';

        rest.data = p;
        rest.len = n;

        is_int(acr_challenge_next(&rest, buf, &challenge),
               n == ACR_CHALLENGE_MAX ? ACR_OK : ACR_DONE, "%zu bytes", n);
        is_int(rest.len, 0, "are used up");

        free(p);
        free(buf);
    }
}


int
main(void)
{
    /* those of Docker Hub, of ACR, and what Distribution says with htpasswd */

    challenges("Bearer realm=\"https://auth.docker.io/token\","
               "service=\"registry.docker.io\","
               "scope=\"repository:library/nginx:pull\"",
               "bearer realm=https://auth.docker.io/token "
               "service=registry.docker.io "
               "scope=repository:library/nginx:pull");
    challenges("Bearer realm=\"https://H/oauth2/token\",service=\"H\","
               "scope=\"repository:a/b:pull,push\","
               "error=\"insufficient_scope\"",
               "bearer realm=https://H/oauth2/token service=H "
               "scope=repository:a/b:pull,push error=insufficient_scope");
    challenges("Basic realm=\"Registry Realm\"",
               "basic realm=Registry Realm");

    /* forms */

    challenges("", "");
    challenges(" , ,", "");
    challenges("bEaReR ReAlM=\"x\"", "bearer realm=x");
    challenges("Bearer realm=x", "bearer realm=x");
    challenges("Bearer  realm = \"x\" ,\tservice\t=\ty",
               "bearer realm=x service=y");
    challenges("Bearer realm=\"a\\\"b\\\\c\"", "bearer realm=a\"b\\c");
    challenges("Bearer realm=\"a,b=c\", service=\"\"",
               "bearer realm=a,b=c service=");
    challenges("Bearer realm=\"x\",,, service=y", "bearer realm=x service=y");
    challenges("Bearer realm=\"x\", nonce=\"y\", charset=UTF-8",
               "bearer realm=x");
    challenges("Basic", "basic");
    challenges("Basic, Bearer realm=x", "basic; bearer realm=x");

    /* several of them */

    challenges("Basic realm=\"a\", Bearer realm=\"b\",service=c",
               "basic realm=a; bearer realm=b service=c");
    challenges("Negotiate, Basic realm=a", "basic realm=a");
    challenges("Negotiate oYH1==, Basic realm=a", "basic realm=a");
    challenges("Negotiate oYH1=, Basic realm=a", "basic realm=a");
    challenges("Negotiate a/b+c.~, Basic realm=a", "basic realm=a");
    challenges("Basic realm=a, Negotiate oYH1", "basic realm=a");
    challenges("Digest realm=\"x, Basic realm=y\", nonce=\"\\\"\", Basic "
               "realm=a", "basic realm=a");

    /* what is none */

    challenges("Bearer", "");
    challenges("Bearer service=x", "");
    challenges("Bearer realm=\"\"", "");
    challenges("Bearer realm=", "");
    challenges("Bearer realm=\"x", "");
    challenges("Bearer realm=\"x\\", "");
    challenges("Bearer realm=\"x\\\"", "");
    challenges("Bearer realm=\"x\" service=y", "");
    challenges("Bearer realm=x, realm=y", "");
    challenges("Bearer realm=x, Realm=\"x\", Basic realm=a", "basic realm=a");
    challenges("Bearer realm=https://x/y, Basic realm=a", "basic realm=a");
    challenges("Bearer realm=https://x/y, service=z, Basic realm=a",
               "basic realm=a");
    challenges("Bearer realm=\"a\x01z\"", "");
    challenges("Bearer realm=\"a\\\x7f\"", "");
    challenges("=x, \"y\", Basic realm=a", "basic realm=a");
    challenges("Bearer:realm=x", "");
    challenges("Bearerrealm=\"x\"", "");
    challenges("BearerX realm=\"x\"", "");
    challenges("\"Bearer realm=x, Basic realm=y", "");
    challenges("Bearer abc, Basic realm=a", "basic realm=a");

    long_ones();

    return done();
}
