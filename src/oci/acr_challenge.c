
#include <string.h>

#include "acr_challenge.h"


typedef struct {
    const unsigned char  *p;
    const unsigned char  *end;
    unsigned char        *buf;     /* where the next value goes */
} acr_challenge_reader_t;


static int acr_challenge_read(acr_challenge_reader_t *r,
    acr_challenge_t *challenge);
static int acr_challenge_parameters(acr_challenge_reader_t *r,
    acr_challenge_t *challenge);
static int acr_challenge_value(acr_challenge_reader_t *r, acr_text_t *value);
static int acr_challenge_quoted(acr_challenge_reader_t *r, acr_text_t *value);
static int acr_challenge_set(acr_challenge_t *challenge,
    const acr_text_t *name, const acr_text_t *value);
static int acr_challenge_is_parameter(const acr_challenge_reader_t *r);
static void acr_challenge_resume(acr_challenge_reader_t *r);
static acr_text_t acr_challenge_token(acr_challenge_reader_t *r);
static void acr_challenge_blanks(acr_challenge_reader_t *r);
static int acr_challenge_is_token(unsigned char c);


int
acr_challenge_next(acr_text_t *rest, unsigned char *buf,
    acr_challenge_t *challenge)
{
    int                     rc;
    acr_challenge_reader_t  r;

    if (rest->len > ACR_CHALLENGE_MAX) {
        rest->data += rest->len;
        rest->len = 0;
        return ACR_DONE;
    }

    if (rest->len == 0) {
        return ACR_DONE;
    }

    r.p = rest->data;
    r.end = rest->data + rest->len;

    do {
        r.buf = buf;

        memset(challenge, 0, sizeof(acr_challenge_t));

        rc = acr_challenge_read(&r, challenge);

    } while (rc == ACR_INVALID || rc == ACR_UNSUPPORTED);

    rest->data = r.p;
    rest->len = (size_t) (r.end - r.p);

    return rc;
}


/* ACR_INVALID, ACR_UNSUPPORTED: behind one that is to be passed over */

static int
acr_challenge_read(acr_challenge_reader_t *r, acr_challenge_t *challenge)
{
    int         rc, known;
    acr_text_t  scheme;

    while (r->p < r->end && (*r->p == ',' || *r->p == ' ' || *r->p == '\t')) {
        r->p++;
    }

    if (r->p == r->end) {
        return ACR_DONE;
    }

    scheme = acr_challenge_token(r);

    known = 1;

    if (acr_text_is(&scheme, "bearer")) {
        challenge->scheme = ACR_CHALLENGE_BEARER;

    } else if (acr_text_is(&scheme, "basic")) {
        challenge->scheme = ACR_CHALLENGE_BASIC;

    } else {
        known = 0;
    }

    rc = ACR_INVALID;

    if (scheme.len
        && (r->p == r->end || *r->p == ' ' || *r->p == '\t' || *r->p == ','))
    {
        rc = acr_challenge_parameters(r, challenge);
    }

    if (rc != ACR_OK) {
        acr_challenge_resume(r);
        return rc;
    }

    if (!known) {
        return ACR_UNSUPPORTED;
    }

    if (challenge->scheme == ACR_CHALLENGE_BEARER && challenge->realm.len == 0)
    {
        return ACR_INVALID;
    }

    return ACR_OK;
}


/* up to the comma in front of the next challenge, or the end */

static int
acr_challenge_parameters(acr_challenge_reader_t *r, acr_challenge_t *challenge)
{
    acr_text_t              name, value;
    acr_challenge_reader_t  ahead;

    acr_challenge_blanks(r);

    if (r->p == r->end || *r->p == ',') {
        return ACR_OK;
    }

    if (!acr_challenge_is_parameter(r)) {

        /* token68, which no scheme that is known has */

        return ACR_UNSUPPORTED;
    }

    for ( ;; ) {
        name = acr_challenge_token(r);

        acr_challenge_blanks(r);
        r->p++;
        acr_challenge_blanks(r);

        if (acr_challenge_value(r, &value) != ACR_OK
            || acr_challenge_set(challenge, &name, &value) != ACR_OK)
        {
            return ACR_INVALID;
        }

        acr_challenge_blanks(r);

        if (r->p == r->end) {
            return ACR_OK;
        }

        if (*r->p != ',') {
            return ACR_INVALID;
        }

        ahead = *r;

        while (ahead.p < ahead.end
               && (*ahead.p == ',' || *ahead.p == ' ' || *ahead.p == '\t'))
        {
            ahead.p++;
        }

        if (!acr_challenge_is_parameter(&ahead)) {
            return ACR_OK;
        }

        r->p = ahead.p;
    }
}


/* a token, or a quoted string, which is copied */

static int
acr_challenge_value(acr_challenge_reader_t *r, acr_text_t *value)
{
    acr_text_t  token;

    if (r->p < r->end && *r->p == '"') {
        r->p++;
        return acr_challenge_quoted(r, value);
    }

    token = acr_challenge_token(r);

    if (token.len == 0) {
        return ACR_INVALID;
    }

    memcpy(r->buf, token.data, token.len);

    value->data = r->buf;
    value->len = token.len;

    r->buf += token.len;

    return ACR_OK;
}


static int
acr_challenge_quoted(acr_challenge_reader_t *r, acr_text_t *value)
{
    unsigned char  c;

    value->data = r->buf;

    while (r->p < r->end) {
        c = *r->p++;

        if (c == '"') {
            value->len = (size_t) (r->buf - value->data);
            return ACR_OK;
        }

        if (c == '\\') {

            if (r->p == r->end) {
                return ACR_INVALID;
            }

            c = *r->p++;
        }

        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return ACR_INVALID;
        }

        *r->buf++ = c;
    }

    return ACR_INVALID;
}


static int
acr_challenge_set(acr_challenge_t *challenge, const acr_text_t *name,
    const acr_text_t *value)
{
    acr_text_t  *text;

    if (acr_text_is(name, "realm")) {
        text = &challenge->realm;

    } else if (acr_text_is(name, "service")) {
        text = &challenge->service;

    } else if (acr_text_is(name, "scope")) {
        text = &challenge->scope;

    } else if (acr_text_is(name, "error")) {
        text = &challenge->error;

    } else {
        return ACR_OK;
    }

    if (text->data) {
        return ACR_INVALID;
    }

    *text = *value;

    return ACR_OK;
}


/* whether a name and "=" come, and not the padding of token68 */

static int
acr_challenge_is_parameter(const acr_challenge_reader_t *r)
{
    acr_challenge_reader_t  ahead;

    ahead = *r;

    if (acr_challenge_token(&ahead).len == 0) {
        return 0;
    }

    acr_challenge_blanks(&ahead);

    if (ahead.p == ahead.end || *ahead.p != '=') {
        return 0;
    }

    ahead.p++;
    acr_challenge_blanks(&ahead);

    return ahead.p < ahead.end && *ahead.p != ',' && *ahead.p != '=';
}


/* to the next comma that is not quoted */

static void
acr_challenge_resume(acr_challenge_reader_t *r)
{
    int  quoted;

    for (quoted = 0; r->p < r->end; r->p++) {

        if (quoted && *r->p == '\\' && r->p + 1 < r->end) {
            r->p++;

        } else if (*r->p == '"') {
            quoted = !quoted;

        } else if (*r->p == ',' && !quoted) {
            return;
        }
    }
}


static acr_text_t
acr_challenge_token(acr_challenge_reader_t *r)
{
    acr_text_t  token;

    token.data = r->p;

    while (r->p < r->end && acr_challenge_is_token(*r->p)) {
        r->p++;
    }

    token.len = (size_t) (r->p - token.data);

    return token;
}


static void
acr_challenge_blanks(acr_challenge_reader_t *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t')) {
        r->p++;
    }
}


/* RFC 9110, section 5.6.2 */

static int
acr_challenge_is_token(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c >= '0' && c <= '9')
           || (c && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}
