
#include <stdlib.h>
#include <string.h>

#include "acr_access_core.h"


/*
 * A change is made in the JSON, by hand and without much ado; whether what
 * comes out is good is seen when it is loaded again, with all the checks that
 * there are for a file.
 */

static const acr_access_kind_t  acr_access_kinds[] = {
    { "admin", NULL, NULL, { "enabled", NULL }, NULL, 1 },
    { "scope-maps", "scopeMaps", "name", { "description", "actions", NULL },
      "the scope map does not exist", 0 },
    { "tokens", "tokens", "name", { "scopeMap", "enabled", NULL },
      "the token does not exist", 1 },
    { "role-assignments", "roleAssignments", "id",
      { "principal", "role", "scope", NULL },
      "the role assignment does not exist", 0 }
};

#define ACR_ACCESS_KINDS                                                     \
    (sizeof(acr_access_kinds) / sizeof(acr_access_kinds[0]))


acr_change_e
acr_access_refuse(acr_access_change_t *change, acr_change_e code,
    const char *error)
{
    change->code = code;
    change->error = error;

    return code;
}


acr_change_e
acr_access_failed(acr_access_change_t *change)
{
    return acr_access_refuse(change, ACR_CHANGE_FAILED, acr_access_nomem);
}


json_t *
acr_access_element(const json_t *list, const char *key,
    const acr_text_t *name, size_t *place)
{
    size_t       i;
    json_t      *element;
    acr_text_t   text;

    json_array_foreach(list, i, element) {
        text = acr_access_text(element, key);

        if (acr_access_compare(&text, name) == 0) {
            *place = i;
            return element;
        }
    }

    return NULL;
}


acr_change_e
acr_access_body(acr_access_change_t *change, const char *const *members)
{
    size_t  known;

    if (change->body == NULL) {
        return ACR_CHANGE_OK;
    }

    if (!json_is_object(change->body)) {
        return acr_access_refuse(change, ACR_CHANGE_INVALID,
                                 "the body is not a JSON object");
    }

    for (known = 0; *members; members++) {
        known += json_object_get(change->body, *members) != NULL;
    }

    if (known != json_object_size(change->body)) {
        return acr_access_refuse(change, ACR_CHANGE_INVALID,
                                 "the body has a member that is not known");
    }

    return ACR_CHANGE_OK;
}


acr_change_e
acr_access_set(acr_access_change_t *change)
{
    json_t             *value;
    const char *const  *member;

    for (member = change->kind->members; *member; member++) {
        value = json_object_get(change->body, *member);

        if (value && json_object_set_new(change->entry, *member,
                                         json_deep_copy(value)))
        {
            return acr_access_failed(change);
        }
    }

    return ACR_CHANGE_OK;
}


/* a new entry with what a client need not say, at the end of its list */

static acr_change_e
acr_access_append(acr_access_change_t *change)
{
    json_t             *entry;
    const char *const  *member;

    entry = json_object();

    if (json_object_set_new(entry, change->kind->key,
                            json_stringn((const char *) change->name->data,
                                         change->name->len)))
    {
        json_decref(entry);
        return acr_access_failed(change);
    }

    change->entry = entry;

    /* in the order in which the file is described */

    for (member = change->kind->members; *member; member++) {
        if (strcmp(*member, "description") == 0
            && json_object_set_new(entry, *member, json_string("")))
        {
            json_decref(entry);
            return acr_access_failed(change);
        }

        if (strcmp(*member, "enabled") == 0
            && json_object_set_new(entry, *member, json_true()))
        {
            json_decref(entry);
            return acr_access_failed(change);
        }
    }

    if (acr_access_set(change) != ACR_CHANGE_OK
        || json_object_set_new(entry, "created", json_integer(change->now))
        || (change->kind->passwords
            && json_object_set_new(entry, "passwords", json_array())))
    {
        json_decref(entry);
        return acr_access_failed(change);
    }

    if (json_array_append_new(change->list, entry)) {
        return acr_access_failed(change);
    }

    return ACR_CHANGE_OK;
}


/* a role as it is written, whatever the client wrote */

static acr_change_e
acr_access_set_role(acr_access_change_t *change)
{
    acr_text_t                text;
    const json_t             *role;
    const acr_access_role_t  *known;

    role = json_object_get(change->body, "role");

    if (!json_is_string(role)) {
        return ACR_CHANGE_OK;
    }

    text = acr_json_text(role);
    known = acr_access_role_find(&text);

    if (known && json_object_set_new(change->entry, "role",
                                     json_string(known->name)))
    {
        return acr_access_failed(change);
    }

    return ACR_CHANGE_OK;
}


static acr_change_e
acr_access_put(acr_access_change_t *change)
{
    acr_change_e  rc;

    if (!acr_access_name_valid(change->name)) {
        return acr_access_refuse(change, ACR_CHANGE_INVALID,
                                 "the name is not a letter or digit with at "
                                 "most 63 of letters, digits, \".\", \"_\" "
                                 "and \"-\" behind it");
    }

    if (change->body == NULL) {
        return acr_access_refuse(change, ACR_CHANGE_INVALID,
                                 "there is no body");
    }

    rc = acr_access_body(change, change->kind->members);

    if (rc != ACR_CHANGE_OK) {
        return rc;
    }

    rc = change->entry ? acr_access_set(change) : acr_access_append(change);

    if (rc != ACR_CHANGE_OK) {
        return rc;
    }

    return acr_access_set_role(change);
}


static acr_change_e
acr_access_delete(acr_access_change_t *change)
{
    size_t  place;

    if (change->kind->list == NULL) {
        return acr_access_refuse(change, ACR_CHANGE_INVALID,
                                 "the admin user can be disabled, but not "
                                 "deleted");
    }

    if (change->entry == NULL) {
        return acr_access_refuse(change, ACR_CHANGE_UNKNOWN,
                                 change->kind->unknown);
    }

    if (strcmp(change->kind->list, "scopeMaps") == 0
        && acr_access_element(json_object_get(change->root, "tokens"),
                              "scopeMap", change->name, &place))
    {
        return acr_access_refuse(change, ACR_CHANGE_CONFLICT,
                                 "a token has this scope map");
    }

    if (json_array_remove(change->list, change->place)) {
        return acr_access_failed(change);
    }

    return ACR_CHANGE_OK;
}


/* finds what the change is about, and makes it */

static acr_change_e
acr_access_apply(acr_access_change_t *change, const acr_access_t *access,
    const char *kind, int method)
{
    unsigned                 i;
    const acr_access_map_t  *map;

    for (i = 0; i < ACR_ACCESS_KINDS; i++) {
        if (strcmp(acr_access_kinds[i].name, kind) == 0) {
            change->kind = &acr_access_kinds[i];
        }
    }

    if (change->kind == NULL) {
        return acr_access_refuse(change, ACR_CHANGE_UNKNOWN,
                                 "there is nothing of this kind");
    }

    if (change->kind->list == NULL) {

        if (change->name->len) {
            return acr_access_refuse(change, ACR_CHANGE_UNKNOWN,
                                     "there is only one admin user");
        }

        change->entry = json_object_get(change->root, "admin");

    } else {
        change->list = json_object_get(change->root, change->kind->list);
        change->entry = acr_access_element(change->list, change->kind->key,
                                           change->name, &change->place);
    }

    if (strcmp(kind, "scope-maps") == 0) {
        map = acr_access_find(access->maps, access->nmaps,
                              sizeof(acr_access_map_t), change->name);

        if (map && map->json == NULL) {
            return acr_access_refuse(change, ACR_CHANGE_CONFLICT,
                                     "a scope map of the system cannot be "
                                     "changed");
        }
    }

    switch (method) {

    case 'P':
        return change->kind->list ? acr_access_put(change)
                                  : acr_access_put_admin(change);

    case 'D':
        return acr_access_delete(change);

    case 'G':
        return acr_access_post(change);
    }

    return acr_access_refuse(change, ACR_CHANGE_INVALID,
                             "there is no such change");
}


/* what was changed, as a text that can be loaded */

static unsigned char *
acr_access_print(acr_access_change_t *change, size_t *len)
{
    char          *text;
    acr_access_t  *access;

    /* lines, for whoever has to look into it, or to compare two of them */

    text = json_dumps(change->root, JSON_INDENT(1));

    if (text == NULL) {
        acr_access_failed(change);
        return NULL;
    }

    *len = strlen(text);
    access = acr_access_load((unsigned char *) text, *len, &change->error);

    if (access == NULL) {
        change->code = change->error == acr_access_nomem ? ACR_CHANGE_FAILED
                                                         : ACR_CHANGE_INVALID;
        free(text);
        return NULL;
    }

    /* where memory is short, jansson's lexer can lose a part of a string */

    if (!json_equal(access->root, change->root)) {
        acr_access_failed(change);
        free(text);
        text = NULL;
    }

    acr_access_free(access);

    return (unsigned char *) text;
}


unsigned char *
acr_access_change(const unsigned char *p, size_t n, const char *kind,
    const acr_text_t *name, int method, const acr_text_t *sub,
    const json_t *body, int64_t now, size_t *len, json_t **answer,
    acr_change_e *code, const char **error)
{
    acr_access_t         *access;
    unsigned char        *text;
    acr_access_change_t   change;

    *len = 0;
    *answer = NULL;

    access = acr_access_load(p, n, error);

    if (access == NULL) {
        *code = ACR_CHANGE_FAILED;
        return NULL;
    }

    memset(&change, 0, sizeof(acr_access_change_t));

    change.root = access->root;
    change.name = name;
    change.sub = sub;
    change.body = body;
    change.now = now;

    text = NULL;

    /* access is ours alone, and no decision is made with it any more */

    if (acr_access_apply(&change, access, kind, method) == ACR_CHANGE_OK) {
        text = acr_access_print(&change, len);
    }

    if (text) {
        *answer = change.answer;

    } else {
        json_decref(change.answer);
    }

    *code = change.code;
    *error = change.error;

    acr_access_free(access);

    return text;
}
