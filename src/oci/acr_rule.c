
#include "acr_rule.h"

#include <string.h>


#define ACR_RULE_HUB      "docker.io"
#define ACR_RULE_LIBRARY  "library/"


static int acr_rule_name(acr_text_t *text, unsigned *many);
static int acr_rule_host(const acr_text_t *host);
static int acr_rule_begins(acr_text_t text, acr_text_t head);
static int acr_rule_is_official(const acr_rule_t *rule, acr_text_t name);
static size_t acr_rule_join(acr_text_t head, const char *middle,
    acr_text_t tail, unsigned char *buf);


int
acr_rule_parse(acr_rule_t *rule, acr_text_t target, acr_text_t source,
    const char **error)
{
    unsigned              many;
    const unsigned char  *slash;

    slash = source.len ? memchr(source.data, '/', source.len) : NULL;

    if (slash == NULL) {
        *error = "the source has no host";
        return ACR_INVALID;
    }

    rule->host.data = source.data;
    rule->host.len = slash - source.data;

    if (!acr_rule_host(&rule->host)) {
        *error = "the source begins with no host";
        return ACR_INVALID;
    }

    rule->source.data = slash + 1;
    rule->source.len = source.len - rule->host.len - 1;

    if (!acr_rule_name(&rule->source, &many)) {
        *error = "the source is no repository and has no star at its end";
        return ACR_INVALID;
    }

    rule->many = many;
    rule->target = target;

    if (!acr_rule_name(&rule->target, &many)) {
        *error = "the target is no repository and has no star at its end";
        return ACR_INVALID;
    }

    if (many != rule->many) {
        *error = "one has a star, the other has none";
        return ACR_INVALID;
    }

    return ACR_OK;
}


/* a name, or one with "/" and a star behind it, which is cut, or a star */

static int
acr_rule_name(acr_text_t *text, unsigned *many)
{
    *many = 0;

    if (text->len && text->data[text->len - 1] == '*') {
        *many = 1;
        text->len--;

        if (text->len == 0) {
            return 1;
        }

        return text->data[text->len - 1] == '/'
               && acr_name_valid(text->data, text->len - 1);
    }

    return acr_name_valid(text->data, text->len);
}


/* what may be a host, and is told from a component of a name, as Docker does
   it: by a dot or a port, or it is "localhost" */

static int
acr_rule_host(const acr_text_t *host)
{
    size_t         i;
    unsigned char  c;

    if (host->len == 0 || host->len > ACR_RULE_HOST_MAX) {
        return 0;
    }

    for (i = 0; i < host->len; i++) {
        c = host->data[i];

        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-'
            && c != '.' && c != ':' && c != '[' && c != ']')
        {
            return 0;
        }
    }

    return acr_text_is(host, "localhost")
           || memchr(host->data, '.', host->len)
           || memchr(host->data, ':', host->len);
}


int
acr_rule_overlaps(const acr_rule_t *a, const acr_rule_t *b)
{
    if (a->many != b->many) {
        return 0;
    }

    if (!a->many) {
        return acr_text_equal(&a->target, &b->target);
    }

    return acr_rule_begins(a->target, b->target)
           || acr_rule_begins(b->target, a->target);
}


size_t
acr_rule_source(const acr_rule_t *rule, acr_text_t name, unsigned char *buf)
{
    acr_text_t  rest;

    if (!rule->many) {

        if (!acr_text_equal(&rule->target, &name)) {
            return 0;
        }

        rest.data = NULL;
        rest.len = 0;

    } else if (acr_rule_begins(name, rule->target)
               && name.len > rule->target.len)
    {
        rest.data = name.data + rule->target.len;
        rest.len = name.len - rule->target.len;

    } else {
        return 0;
    }

    return acr_rule_join(rule->source,
                         acr_rule_is_official(rule, rest) ? ACR_RULE_LIBRARY
                                                          : "",
                         rest, buf);
}


size_t
acr_rule_target(const acr_rule_t *rule, acr_text_t host, acr_text_t name,
    unsigned char *buf)
{
    acr_text_t  rest;

    if (!acr_text_equal(&rule->host, &host)) {
        return 0;
    }

    if (!rule->many) {
        rest.data = NULL;
        rest.len = 0;

        /* the source may lack what Docker puts before it */

        if (!acr_text_equal(&rule->source, &name)
            && (!acr_rule_is_official(rule, rest)
                || name.len != sizeof(ACR_RULE_LIBRARY) - 1 + rule->source.len
                || memcmp(name.data, ACR_RULE_LIBRARY,
                          sizeof(ACR_RULE_LIBRARY) - 1) != 0
                || memcmp(name.data + sizeof(ACR_RULE_LIBRARY) - 1,
                          rule->source.data, rule->source.len) != 0))
        {
            return 0;
        }

    } else if (acr_rule_begins(name, rule->source)
               && name.len > rule->source.len)
    {
        rest.data = name.data + rule->source.len;
        rest.len = name.len - rule->source.len;

    } else {
        return 0;
    }

    return acr_rule_join(rule->target, "", rest, buf);
}


static int
acr_rule_begins(acr_text_t text, acr_text_t head)
{
    return text.len >= head.len
           && (head.len == 0 || memcmp(text.data, head.data, head.len) == 0);
}


/* of Docker Hub, and of one component */

static int
acr_rule_is_official(const acr_rule_t *rule, acr_text_t rest)
{
    acr_text_t  name;

    if (!acr_text_is(&rule->host, ACR_RULE_HUB)) {
        return 0;
    }

    if (!rule->many) {
        name = rule->source;

    } else if (rule->source.len == 0) {
        name = rest;

    } else {
        return 0;
    }

    return memchr(name.data, '/', name.len) == NULL;
}


/* official images stand alone in head or in tail, so that what is put between
   them is before both */

static size_t
acr_rule_join(acr_text_t head, const char *middle, acr_text_t tail,
    unsigned char *buf)
{
    size_t  n, between;

    between = strlen(middle);
    n = head.len + between + tail.len;

    if (n > ACR_NAME_MAX) {
        return 0;
    }

    memcpy(buf, middle, between);

    if (head.len) {
        memcpy(buf + between, head.data, head.len);
    }

    if (tail.len) {
        memcpy(buf + between + head.len, tail.data, tail.len);
    }

    return n;
}
