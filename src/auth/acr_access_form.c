
#include <string.h>

#include "acr_access_core.h"


/* the errors of a form */
#define acr_access_errors(what)                                              \
    what " has a member that is not known",                                  \
    what " lacks a member",                                                  \
    what " has a member that is not of its type"


const acr_access_form_t  acr_access_root_form = {
    { { "version", JSON_INTEGER, 0 },
      { "admin", JSON_OBJECT, 1 },
      { "scopeMaps", JSON_ARRAY, 1 },
      { "tokens", JSON_ARRAY, 1 },
      { "roleAssignments", JSON_ARRAY, 1 } },
    acr_access_errors("the object")
};

const acr_access_form_t  acr_access_admin_form = {
    { { "enabled", JSON_TRUE, 0 },
      { "passwords", JSON_ARRAY, 1 } },
    acr_access_errors("admin")
};

const acr_access_form_t  acr_access_password_form = {
    { { "name", JSON_STRING, 0 },
      { "created", JSON_INTEGER, 0 },
      { "expiry", JSON_NULL, 0 },
      { "id", JSON_STRING, 0 },
      { "hash", JSON_STRING, 0 } },
    acr_access_errors("a password")
};

const acr_access_form_t  acr_access_map_form = {
    { { "name", JSON_STRING, 0 },
      { "description", JSON_STRING, 1 },
      { "created", JSON_INTEGER, 0 },
      { "actions", JSON_ARRAY, 0 } },
    acr_access_errors("a scope map")
};

const acr_access_form_t  acr_access_token_form = {
    { { "name", JSON_STRING, 0 },
      { "enabled", JSON_TRUE, 0 },
      { "scopeMap", JSON_STRING, 0 },
      { "created", JSON_INTEGER, 0 },
      { "passwords", JSON_ARRAY, 1 } },
    acr_access_errors("a token")
};

const acr_access_form_t  acr_access_assignment_form = {
    { { "id", JSON_STRING, 0 },
      { "principal", JSON_STRING, 0 },
      { "role", JSON_STRING, 0 },
      { "scope", JSON_STRING, 0 },
      { "created", JSON_INTEGER, 0 } },
    acr_access_errors("a role assignment")
};


static int
acr_access_time_valid(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 0
           && json_integer_value(value) <= ACR_ACCESS_TIME_MAX;
}


static int
acr_access_typed(const json_t *value, json_type type)
{
    switch (type) {

    case JSON_TRUE:
        return json_is_boolean(value);

    case JSON_INTEGER:
        return acr_access_time_valid(value);

    case JSON_NULL:
        return json_is_null(value) || acr_access_time_valid(value);

    default:
        return json_typeof(value) == type;
    }
}


const char *
acr_access_form(json_t *object, const acr_access_form_t *form)
{
    size_t                      known;
    unsigned                    i;
    const json_t               *value;
    const acr_access_member_t  *member;

    if (!json_is_object(object)) {
        return form->type;
    }

    known = 0;

    for (i = 0; i < ACR_ACCESS_MEMBERS_MAX && form->members[i].name; i++) {
        member = &form->members[i];
        value = json_object_get(object, member->name);

        if (value == NULL) {

            if (!member->optional) {
                return form->missing;
            }

            continue;
        }

        if (!acr_access_typed(value, member->type)) {
            return form->type;
        }

        known++;
    }

    return known == json_object_size(object) ? NULL : form->unknown;
}


static int
acr_access_alnum(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c >= '0' && c <= '9');
}


int
acr_access_name_valid(const acr_text_t *name)
{
    size_t         i;
    unsigned char  c;

    if (name->len == 0 || name->len > 64 || !acr_access_alnum(name->data[0])) {
        return 0;
    }

    for (i = 1; i < name->len; i++) {
        c = name->data[i];

        if (!acr_access_alnum(c) && c != '.' && c != '_' && c != '-') {
            return 0;
        }
    }

    return 1;
}


/* users and groups come from elsewhere: any name that can be shown */

int
acr_access_principal_valid(const acr_text_t *principal)
{
    size_t                i, n;
    const unsigned char  *p;

    p = principal->data;
    n = principal->len;

    if (n == 9 && memcmp(p, "anonymous", 9) == 0) {
        return 1;
    }

    if (n > 5 && memcmp(p, "user:", 5) == 0) {
        i = 5;

    } else if (n > 6 && memcmp(p, "group:", 6) == 0) {
        i = 6;

    } else {
        return 0;
    }

    if (n - i > ACR_ACCESS_NAME_MAX || p[i] == ' ' || p[n - 1] == ' ') {
        return 0;
    }

    for ( /* void */ ; i < n; i++) {

        /* it is UTF-8, where 0xc2 begins the other control characters */

        if (p[i] < 0x20 || p[i] == 0x7f
            || (p[i] == 0xc2 && i + 1 < n && p[i + 1] < 0xa0))
        {
            return 0;
        }
    }

    return 1;
}


int
acr_access_id_valid(const acr_text_t *id)
{
    size_t         i;
    unsigned char  c;

    for (i = 0; i < id->len; i++) {
        c = id->data[i];

        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) {
            return 0;
        }
    }

    return id->len == ACR_ACCESS_ID_LEN;
}
