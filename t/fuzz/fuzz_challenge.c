
#include "acr_challenge.h"
#include "fuzz.h"


/* what was read is where it may be, and has nothing that a header must not */

static void
inside(const acr_text_t *text, const unsigned char *buf, size_t n)
{
    size_t  i;

    if (text->data == NULL) {
        check(text->len == 0);
        return;
    }

    check(text->data >= buf && text->data + text->len <= buf + n);

    for (i = 0; i < text->len; i++) {
        check(text->data[i] >= ' ' || text->data[i] == '\t');
        check(text->data[i] != 0x7f);
    }
}


/* a challenge alone, with all of it quoted, is the same */

static void
again(const acr_challenge_t *challenge)
{
    size_t            i;
    acr_text_t        rest, realm;
    unsigned char    *text, *buf, *p;
    acr_challenge_t   other;

    realm = challenge->realm;

    text = fuzz_alloc(2 * realm.len + 15);
    p = text;

    memcpy(p, challenge->scheme == ACR_CHALLENGE_BASIC
              ? "Basic  realm=\"" : "Bearer realm=\"", 14);
    p += 14;

    for (i = 0; i < realm.len; i++) {
        *p++ = '\\';
        *p++ = realm.data[i];
    }

    *p++ = '"';

    rest.data = text;
    rest.len = (size_t) (p - text);

    buf = fuzz_alloc(rest.len);

    if (rest.len <= ACR_CHALLENGE_MAX) {
        check(acr_challenge_next(&rest, buf, &other) == ACR_OK);
        check(other.scheme == challenge->scheme);
        check(fuzz_same(other.realm.data, other.realm.len, realm.data,
                        realm.len));
        check(rest.len == 0);
    }

    free(text);
    free(buf);
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    size_t            room;
    uint8_t          *copy;
    acr_text_t        rest;
    unsigned char    *buf;
    const uint8_t    *last;
    acr_challenge_t   challenge;

    copy = fuzz_alloc(n);

    if (n) {
        memcpy(copy, p, n);
    }

    rest.data = copy;
    rest.len = n;

    for ( ;; ) {
        last = rest.data;
        room = rest.len;
        buf = fuzz_alloc(room);

        if (acr_challenge_next(&rest, buf, &challenge) != ACR_OK) {
            break;
        }

        check(n <= ACR_CHALLENGE_MAX);
        check(rest.data > last && rest.data + rest.len == copy + n);
        check(challenge.scheme == ACR_CHALLENGE_BASIC
              || challenge.realm.len != 0);

        inside(&challenge.realm, buf, room);
        inside(&challenge.service, buf, room);
        inside(&challenge.scope, buf, room);
        inside(&challenge.error, buf, room);

        again(&challenge);
        free(buf);
    }

    check(rest.len == 0);

    free(buf);
    free(copy);

    return 0;
}
