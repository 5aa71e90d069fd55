
#include <stdlib.h>
#include <string.h>

#include "acr_access_core.h"


#define ACR_ACCESS_VERSION    1

#define ACR_ACCESS_NULL_GUID  "00000000-0000-0000-0000-000000000000"

static const char *
acr_access_load_passwords(acr_access_token_t *owner, const json_t *list,
    int admin)
{
    int                   place;
    size_t                i;
    json_t               *json, *expiry;
    acr_text_t            text;
    const char           *error;
    acr_access_secret_t  *secret;

    json_array_foreach(list, i, json) {
        error = acr_access_form(json, &acr_access_password_form);

        if (error) {
            return error;
        }

        text = acr_access_text(json, "name");
        place = acr_access_password_index(&text, admin);

        if (place < 0) {
            return "a password is called what passwords are not called";
        }

        secret = &owner->secrets[place];

        if (secret->id) {
            return "a password occurs twice";
        }

        text = acr_access_text(json, "id");

        if (!acr_access_id_valid(&text)) {
            return "the id of a password is not 16 digits of hex";
        }

        secret->id = (const char *) text.data;

        text = acr_access_text(json, "hash");

        if (!acr_access_password_parse(secret, &text)) {
            return "the hash of a password is not a hash";
        }

        expiry = json_object_get(json, "expiry");
        secret->expiry = json_is_null(expiry) ? ACR_ACCESS_NEVER
                                              : json_integer_value(expiry);
    }

    if (owner->secrets[0].id && owner->secrets[1].id
        && strcmp(owner->secrets[0].id, owner->secrets[1].id) == 0)
    {
        return "two passwords have one id";
    }

    return NULL;
}


static const char *
acr_access_load_admin(acr_access_t *access, json_t *json)
{
    const char  *error;

    error = acr_access_form(json, &acr_access_admin_form);

    if (error) {
        return error;
    }

    access->admin.json = json;
    access->admin.name.data = (const unsigned char *) ACR_ACCESS_ADMIN;
    access->admin.name.len = sizeof(ACR_ACCESS_ADMIN) - 1;
    access->admin.enabled = json_is_true(json_object_get(json, "enabled"));

    return acr_access_load_passwords(&access->admin,
                                     json_object_get(json, "passwords"), 1);
}


static const char *
acr_access_load_token(acr_access_t *access, acr_access_token_t *token,
    json_t *json)
{
    acr_text_t   text;
    const char  *error;

    error = acr_access_form(json, &acr_access_token_form);

    if (error) {
        return error;
    }

    token->json = json;
    token->name = acr_access_text(json, "name");
    token->enabled = json_is_true(json_object_get(json, "enabled"));

    /* those names have a meaning of their own where one logs in */

    if (!acr_access_name_valid(&token->name)
        || acr_text_is(&token->name, ACR_ACCESS_ADMIN)
        || acr_text_is(&token->name, ACR_ACCESS_NULL_GUID))
    {
        return "the name of a token is not valid";
    }

    text = acr_access_text(json, "scopeMap");
    token->map = acr_access_find(access->maps, access->nmaps,
                                 sizeof(acr_access_map_t), &text);

    if (token->map == NULL) {
        return "the scope map of a token does not exist";
    }

    return acr_access_load_passwords(token,
                                     json_object_get(json, "passwords"), 0);
}


static const char *
acr_access_load_tokens(acr_access_t *access, const json_t *list)
{
    size_t       i, n;
    json_t      *json;
    const char  *error;

    n = json_array_size(list);

    if (n > ACR_ACCESS_TOKENS_MAX) {
        return "there are more than 10000 tokens";
    }

    if (n == 0) {
        return NULL;
    }

    access->tokens = calloc(n, sizeof(acr_access_token_t));

    if (access->tokens == NULL) {
        return acr_access_nomem;
    }

    access->ntokens = n;

    json_array_foreach(list, i, json) {
        error = acr_access_load_token(access, &access->tokens[i], json);

        if (error) {
            return error;
        }
    }

    if (!acr_access_sort(access->tokens, n, sizeof(acr_access_token_t))) {
        return "a token occurs twice";
    }

    return NULL;
}


static const char *
acr_access_load_assignment(acr_access_assignment_t *assignment, json_t *json)
{
    acr_text_t   text;
    const char  *error;

    error = acr_access_form(json, &acr_access_assignment_form);

    if (error) {
        return error;
    }

    assignment->json = json;
    assignment->id = acr_access_text(json, "id");
    assignment->principal = acr_access_text(json, "principal");
    assignment->scope = acr_access_text(json, "scope");

    if (!acr_access_name_valid(&assignment->id)) {
        return "the id of a role assignment is not valid";
    }

    if (!acr_access_principal_valid(&assignment->principal)) {
        return "the principal of a role assignment is not \"user:\" or "
               "\"group:\" with a name, nor \"anonymous\"";
    }

    text = acr_access_text(json, "role");
    assignment->role = acr_access_role_find(&text);

    if (assignment->role == NULL) {
        return "the role of a role assignment does not exist";
    }

    if (!acr_pattern_valid(assignment->scope.data, assignment->scope.len)) {
        return "the scope of a role assignment is neither a repository nor a "
               "pattern";
    }

    return NULL;
}


static int
acr_access_compare_principals(const void *a, const void *b)
{
    int                             rc;
    const acr_access_assignment_t  *one, *two;

    one = *(const acr_access_assignment_t *const *) a;
    two = *(const acr_access_assignment_t *const *) b;

    rc = acr_access_compare(&one->principal, &two->principal);

    return rc ? rc : acr_access_compare(&one->id, &two->id);
}


static const char *
acr_access_load_assignments(acr_access_t *access, const json_t *list)
{
    size_t                    i, n;
    json_t                   *json;
    const char               *error;
    acr_access_assignment_t  *assignment;

    n = json_array_size(list);

    if (n > ACR_ACCESS_ASSIGNMENTS_MAX) {
        return "there are more than 10000 role assignments";
    }

    if (n == 0) {
        return NULL;
    }

    assignment = calloc(n, sizeof(acr_access_assignment_t));
    access->assignments = assignment;
    access->principals = malloc(n * sizeof(acr_access_assignment_t *));

    if (assignment == NULL || access->principals == NULL) {
        return acr_access_nomem;
    }

    access->nassignments = n;

    json_array_foreach(list, i, json) {
        error = acr_access_load_assignment(&assignment[i], json);

        if (error) {
            return error;
        }
    }

    if (!acr_access_sort(assignment, n, sizeof(acr_access_assignment_t))) {
        return "a role assignment occurs twice";
    }

    for (i = 0; i < n; i++) {
        access->principals[i] = &assignment[i];
    }

    qsort(access->principals, n, sizeof(acr_access_assignment_t *),
          acr_access_compare_principals);

    return NULL;
}


/* what a file may leave out, for whoever changes or shows it */

static const char *
acr_access_complete(json_t *root)
{
    unsigned  i;

    static const char  *lists[] = { "scopeMaps", "tokens", "roleAssignments" };

    if (json_object_get(root, "admin") == NULL
        && json_object_set_new(root, "admin",
                               json_pack("{s:b, s:[]}", "enabled", 0,
                                         "passwords")))
    {
        return acr_access_nomem;
    }

    for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (json_object_get(root, lists[i]) == NULL
            && json_object_set_new(root, lists[i], json_array()))
        {
            return acr_access_nomem;
        }
    }

    return NULL;
}


static const char *
acr_access_load_all(acr_access_t *access)
{
    json_t      *root;
    const char  *error;

    root = access->root;

    /* of another version anything may be different: say that first */

    if (json_integer_value(json_object_get(root, "version"))
        != ACR_ACCESS_VERSION)
    {
        return "its version is not 1";
    }

    error = acr_access_form(root, &acr_access_root_form);

    if (error == NULL) {
        error = acr_access_complete(root);
    }

    if (error == NULL) {
        error = acr_access_load_admin(access, json_object_get(root, "admin"));
    }

    if (error == NULL) {
        error = acr_access_load_maps(access,
                                     json_object_get(root, "scopeMaps"));
    }

    if (error == NULL) {
        error = acr_access_load_tokens(access,
                                       json_object_get(root, "tokens"));
    }

    if (error == NULL) {
        error = acr_access_load_assignments(access,
                                  json_object_get(root, "roleAssignments"));
    }

    return error;
}


static json_t *
acr_access_parse(const unsigned char *p, size_t n, const char **error)
{
    json_t  *root;

    if (n == 0) {
        root = json_pack("{s:i}", "version", ACR_ACCESS_VERSION);

        if (root == NULL) {
            *error = acr_access_nomem;
        }

        return root;
    }

    if (n > ACR_ACCESS_TEXT_MAX) {
        *error = "it is longer than 32 MiB";
        return NULL;
    }

    if (acr_json_load_many(&root, p, n, ACR_ACCESS_VALUES_MAX, error)
        == ACR_NOMEM)
    {
        *error = acr_access_nomem;
    }

    return root;
}


acr_access_t *
acr_access_load(const unsigned char *p, size_t n, const char **error)
{
    size_t                           i, count;
    acr_text_t                       none;
    acr_access_t                    *access;
    const acr_access_assignment_t  **assigned;

    access = calloc(1, sizeof(acr_access_t));

    if (access == NULL) {
        *error = acr_access_nomem;
        return NULL;
    }

    *error = NULL;
    access->root = acr_access_parse(p, n, error);

    if (access->root) {
        *error = acr_access_load_all(access);
    }

    if (*error) {
        acr_access_free(access);
        return NULL;
    }

    none.data = NULL;
    none.len = 0;
    assigned = acr_access_assigned(access, "anonymous", &none, &count);

    for (i = 0; i < count; i++) {
        if (assigned[i]->role->may & ACR_MAY_PULL) {
            access->anonymous = 1;
        }
    }

    return access;
}


void
acr_access_free(acr_access_t *access)
{
    size_t  i;

    if (access == NULL) {
        return;
    }

    for (i = 0; i < access->nmaps; i++) {
        free(access->maps[i].grants);
    }

    free(access->maps);
    free(access->tokens);
    free(access->assignments);
    free(access->principals);
    json_decref(access->root);
    free(access);
}
