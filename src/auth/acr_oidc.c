
#include <string.h>

#include "acr_jwt.h"
#include "acr_json.h"
#include "acr_oidc.h"


/* of a principal in a role assignment */
#define ACR_OIDC_GROUP  "group:"


const char *
acr_oidc_error(acr_oidc_e e)
{
    switch (e) {

    case ACR_OIDC_OK:
        return "valid";

    case ACR_OIDC_KIND:
        return "it tells of an event";

    case ACR_OIDC_ISSUER:
        return "it is of another issuer";

    case ACR_OIDC_AUDIENCE:
        return "it is for another audience";

    case ACR_OIDC_REQUIRED:
        return "it lacks what \"require\" asks for";

    case ACR_OIDC_USER:
        return "it has no name of a user, or one that is not valid";

    case ACR_OIDC_TIME:
        return "it is over, or not valid yet";
    }

    return "unknown";
}


/* the name is not terminated by a zero, as json_object_get() needs it */

static json_t *
acr_oidc_member(const json_t *object, const unsigned char *name, size_t n)
{
    return json_object_getn(object, (const char *) name, n);
}


/* NULL: there is none, or it is null */

static json_t *
acr_oidc_claim(const json_t *claims, const acr_text_t *name)
{
    size_t                n, end;
    json_t               *value;
    const unsigned char  *p;

    p = name->data;
    n = name->len;

    for ( ;; ) {
        value = acr_oidc_member(claims, p, n);

        if (value) {
            return json_is_null(value) ? NULL : value;
        }

        /* a shorter name, and the rest in what it names */

        for (end = n; end; end--) {
            if (p[end - 1] != '.') {
                continue;
            }

            value = acr_oidc_member(claims, p, end - 1);

            if (json_is_object(value)) {
                break;
            }
        }

        if (end == 0) {
            return NULL;
        }

        claims = value;
        p += end;
        n -= end;
    }
}


static int
acr_oidc_same(const acr_text_t *text, const char *p, size_t n)
{
    return text->len == n && memcmp(text->data, p, n) == 0;
}


/* true and false are meant by their names: email_verified is such a claim */

static int
acr_oidc_is(const json_t *value, const acr_text_t *text)
{
    switch (value ? json_typeof(value) : JSON_NULL) {

    case JSON_STRING:
        return acr_oidc_same(text, json_string_value(value),
                             json_string_length(value));

    case JSON_TRUE:
        return acr_oidc_same(text, "true", 4);

    case JSON_FALSE:
        return acr_oidc_same(text, "false", 5);

    default:
        return 0;
    }
}


static int
acr_oidc_has(const json_t *claims, const acr_oidc_require_t *require)
{
    size_t         i;
    const json_t  *claim, *value;

    claim = acr_oidc_claim(claims, &require->claim);

    if (!json_is_array(claim)) {
        return acr_oidc_is(claim, &require->value);
    }

    json_array_foreach(claim, i, value) {
        if (acr_oidc_is(value, &require->value)) {
            return 1;
        }
    }

    return 0;
}


/*
 * A name with its prefix, written to buf, which has room for
 * ACR_ACCESS_NAME_MAX; 0: it can be nobody's.
 */

static int
acr_oidc_name(const acr_text_t *prefix, const json_t *value,
    unsigned char *buf, acr_text_t *name)
{
    acr_text_t     text, principal;
    unsigned char  tmp[sizeof(ACR_OIDC_GROUP) - 1 + ACR_ACCESS_NAME_MAX], *p;

    if (!json_is_string(value)) {
        return 0;
    }

    text = acr_json_text(value);

    if (text.len == 0 || text.data[0] == ' '
        || text.len > ACR_ACCESS_NAME_MAX
        || prefix->len + text.len > ACR_ACCESS_NAME_MAX)
    {
        return 0;
    }

    p = tmp;

    memcpy(p, ACR_OIDC_GROUP, sizeof(ACR_OIDC_GROUP) - 1);
    p += sizeof(ACR_OIDC_GROUP) - 1;

    if (prefix->len) {
        memcpy(p, prefix->data, prefix->len);
    }

    memcpy(p + prefix->len, text.data, text.len);

    name->data = buf;
    name->len = prefix->len + text.len;

    principal.data = tmp;
    principal.len = sizeof(ACR_OIDC_GROUP) - 1 + name->len;

    /* users and groups have the same names */

    if (!acr_access_principal_valid(&principal)) {
        return 0;
    }

    memcpy(buf, p, name->len);

    return 1;
}


/* how long it is in JSON: of what a name may have two characters are escaped */

static size_t
acr_oidc_json_len(const acr_text_t *name)
{
    size_t  i, n;

    n = name->len + sizeof("\"\",") - 1;

    for (i = 0; i < name->len; i++) {
        if (name->data[i] == '"' || name->data[i] == '\\') {
            n++;
        }
    }

    return n;
}


static void
acr_oidc_groups(const acr_oidc_issuer_t *issuer, const json_t *claim,
    unsigned char *buf, acr_principal_t *principal)
{
    size_t          i, n, len, total;
    acr_text_t     *group;
    const json_t   *value;
    unsigned char   name[ACR_ACCESS_NAME_MAX];

    n = json_is_array(claim) ? json_array_size(claim) : claim != NULL;
    total = 0;

    for (i = 0; i < n && principal->ngroups < ACR_ACCESS_GROUPS_MAX; i++) {
        value = json_is_array(claim) ? json_array_get(claim, i) : claim;
        group = &principal->groups[principal->ngroups];

        if (!acr_oidc_name(&issuer->prefix, value, name, group)) {
            continue;
        }

        len = acr_oidc_json_len(group);

        if (len > ACR_OIDC_GROUPS_LEN - total) {
            continue;
        }

        total += len;

        memcpy(buf, name, group->len);
        group->data = buf;
        buf += group->len;

        principal->ngroups++;
    }
}


static int
acr_oidc_for_us(const acr_oidc_issuer_t *issuer, const json_t *claims)
{
    size_t  i;

    for (i = 0; i < issuer->naudiences; i++) {
        if (acr_jwt_audience(claims, issuer->audiences[i])) {
            return 1;
        }
    }

    return 0;
}


acr_oidc_e
acr_oidc_principal(const acr_oidc_issuer_t *issuer, const json_t *claims,
    int64_t now, unsigned char *buf, acr_principal_t *principal)
{
    size_t         i;
    const json_t  *iss;

    memset(principal, 0, sizeof(acr_principal_t));

    principal->kind = ACR_PRINCIPAL_USER;

    iss = json_object_get(claims, "iss");

    if (!json_is_string(iss) || !acr_oidc_is(iss, &issuer->issuer)) {
        return ACR_OIDC_ISSUER;
    }

    if (json_object_get(claims, "events")) {
        return ACR_OIDC_KIND;
    }

    if (!acr_oidc_for_us(issuer, claims)) {
        return ACR_OIDC_AUDIENCE;
    }

    for (i = 0; i < issuer->nrequire; i++) {
        if (!acr_oidc_has(claims, &issuer->require[i])) {
            return ACR_OIDC_REQUIRED;
        }
    }

    if (!acr_oidc_name(&issuer->prefix, acr_oidc_claim(claims, &issuer->user),
                       buf, &principal->name))
    {
        return ACR_OIDC_USER;
    }

    acr_oidc_groups(issuer, acr_oidc_claim(claims, &issuer->groups),
                    buf + principal->name.len, principal);

    /* last, so that a token of which this is told was good once */

    if (!acr_jwt_in_time(claims, now, ACR_OIDC_SKEW)) {
        return ACR_OIDC_TIME;
    }

    return ACR_OIDC_OK;
}


int
acr_oidc_prefix_valid(const acr_text_t *prefix)
{
    int            valid;
    json_t        *text;
    acr_text_t     none, name;
    unsigned char  buf[ACR_ACCESS_NAME_MAX];

    if (prefix->len == 0) {
        return 1;
    }

    if (prefix->len > ACR_OIDC_PREFIX_MAX) {
        return 0;
    }

    /* NULL, too, if it is no UTF-8 */

    text = json_stringn((const char *) prefix->data, prefix->len);

    none.data = NULL;
    none.len = 0;

    valid = 0;

    if (text) {
        valid = acr_oidc_name(&none, text, buf, &name);
    }

    json_decref(text);

    return valid;
}


int
acr_oidc_prefix_meet(const acr_text_t *a, const acr_text_t *b)
{
    size_t  n;

    n = a->len < b->len ? a->len : b->len;

    return n == 0 || memcmp(a->data, b->data, n) == 0;
}
