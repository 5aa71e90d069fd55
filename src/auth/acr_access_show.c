
#include <string.h>

#include "acr_access_core.h"


typedef struct {
    const char  *action;
    unsigned     bit;
} acr_access_right_t;


static const acr_access_right_t  acr_access_rights[] = {
    { "repositories/*/content/read", ACR_MAY_PULL },
    { "repositories/*/content/write", ACR_MAY_PUSH },
    { "repositories/*/content/delete", ACR_MAY_DELETE },
    { "repositories/*/metadata/read", ACR_MAY_METADATA_READ },
    { "repositories/*/metadata/write", ACR_MAY_METADATA_WRITE }
};

#define ACR_ACCESS_RIGHTS                                                    \
    (sizeof(acr_access_rights) / sizeof(acr_access_rights[0]))


/* a copy of the members of these names, or NULL: no memory */

static json_t *
acr_access_copy(const json_t *json, const char *const *names)
{
    json_t        *copy;
    const json_t  *value;

    copy = json_object();

    for ( /* void */ ; copy && *names; names++) {
        value = json_object_get(json, *names);

        if (value
            && json_object_set_new(copy, *names, json_deep_copy(value)))
        {
            json_decref(copy);
            copy = NULL;
        }
    }

    return copy;
}


/* all but what the password is checked with */

static json_t *
acr_access_show_passwords(const json_t *passwords)
{
    size_t   i;
    json_t  *list, *password;

    static const char *const  shown[] = { "name", "created", "expiry", NULL };

    list = json_array();

    json_array_foreach(passwords, i, password) {
        if (json_array_append_new(list, acr_access_copy(password, shown))) {
            json_decref(list);
            return NULL;
        }
    }

    return list;
}


static json_t *
acr_access_show_owner(const acr_access_token_t *owner)
{
    json_t  *json;

    static const char *const  shown[] = {
        "name", "enabled", "scopeMap", "created", NULL
    };

    json = acr_access_copy(owner->json, shown);

    if (json_object_set_new(json, "passwords",
                            acr_access_show_passwords(
                                json_object_get(owner->json, "passwords"))))
    {
        json_decref(json);
        return NULL;
    }

    return json;
}


static json_t *
acr_access_show_token(const void *p)
{
    return acr_access_show_owner(p);
}


static json_t *
acr_access_show_system(const acr_access_map_t *map)
{
    size_t   i;
    json_t  *json, *actions;

    actions = json_array();

    for (i = 0; i < ACR_ACCESS_RIGHTS; i++) {
        if ((map->grants[0].may & acr_access_rights[i].bit)
            && json_array_append_new(actions,
                                  json_string(acr_access_rights[i].action)))
        {
            json_decref(actions);
            return NULL;
        }
    }

    /* json_pack() takes actions, and fails if there are none */

    json = json_pack("{s:s%, s:s, s:o}", "name", map->name.data,
                     map->name.len, "type", "SystemDefined", "actions",
                     actions);

    return json;
}


static json_t *
acr_access_show_map(const void *p)
{
    json_t                  *json;
    const acr_access_map_t  *map;

    static const char *const  shown[] = {
        "name", "description", "created", "actions", NULL
    };

    map = p;

    if (map->json == NULL) {
        return acr_access_show_system(map);
    }

    json = acr_access_copy(map->json, shown);

    if (json_object_set_new(json, "type", json_string("UserDefined"))) {
        json_decref(json);
        return NULL;
    }

    return json;
}


static json_t *
acr_access_show_assignment(const void *p)
{
    const acr_access_assignment_t  *assignment;

    static const char *const  shown[] = {
        "id", "principal", "role", "scope", "created", NULL
    };

    assignment = p;

    return acr_access_copy(assignment->json, shown);
}


/* one element of an array that is sorted by names, or all of them */

static json_t *
acr_access_show_array(const void *array, size_t n, size_t size,
    const acr_text_t *name, json_t *(*show)(const void *p))
{
    size_t       i;
    json_t      *list;
    const void  *element;

    if (name->len) {
        element = acr_access_find(array, n, size, name);

        return element ? show(element) : NULL;
    }

    list = json_array();

    for (i = 0; list && i < n; i++) {
        element = (const char *) array + i * size;

        if (json_array_append_new(list, show(element))) {
            json_decref(list);
            list = NULL;
        }
    }

    return list;
}


json_t *
acr_access_show(const acr_access_t *access, const char *kind,
    const acr_text_t *name)
{
    json_t  *json;

    if (strcmp(kind, "admin") == 0) {

        if (name->len) {
            return NULL;
        }

        json = acr_access_show_owner(&access->admin);

        if (json_object_set_new(json, "username",
                                json_string(ACR_ACCESS_ADMIN)))
        {
            json_decref(json);
            return NULL;
        }

        return json;
    }

    if (strcmp(kind, "tokens") == 0) {
        return acr_access_show_array(access->tokens, access->ntokens,
                                     sizeof(acr_access_token_t), name,
                                     acr_access_show_token);
    }

    if (strcmp(kind, "scope-maps") == 0) {
        return acr_access_show_array(access->maps, access->nmaps,
                                     sizeof(acr_access_map_t), name,
                                     acr_access_show_map);
    }

    if (strcmp(kind, "role-assignments") == 0) {
        return acr_access_show_array(access->assignments,
                                     access->nassignments,
                                     sizeof(acr_access_assignment_t), name,
                                     acr_access_show_assignment);
    }

    return NULL;
}
