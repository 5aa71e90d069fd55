
#include <stdlib.h>
#include <string.h>

#include "acr_access_core.h"


/* what to call one whose rights are told */

static json_t *
acr_access_called(const char *kind, const acr_text_t *name)
{
    return json_pack("s+%", kind, name->len ? (const char *) name->data : "",
                     name->len);
}


static json_t *
acr_access_actions(unsigned may)
{
    unsigned     bit;
    json_t      *list;
    const char  *action;

    list = json_array();

    for (bit = 1; bit <= ACR_MAY_LAST; bit <<= 1) {

        if (!(may & bit)) {
            continue;
        }

        action = acr_scope_action(bit);

        if (action == NULL) {
            action = acr_scope_registry(bit, &action);
        }

        if (json_array_append_new(list, json_string(action))) {
            json_decref(list);
            return NULL;
        }
    }

    return list;
}


/* 0: no memory; by is given away */

static int
acr_access_grant(json_t *grants, json_t *by, const acr_text_t *scope,
    unsigned may)
{
    return json_array_append_new(grants,
                                 json_pack("{s:o, s:s%, s:o}", "by", by,
                                           "scope", scope->data, scope->len,
                                           "actions",
                                           acr_access_actions(may)))
           == 0;
}


/* of a right on what the scope names, that part which concerns a repository,
   or all of it */

static unsigned
acr_access_concerns(unsigned may, const acr_text_t *scope,
    const acr_text_t *repository)
{
    acr_text_t  all;

    if (repository == NULL) {
        all.data = (const unsigned char *) "*";
        all.len = 1;

        return acr_pattern_match(scope, &all) ? may : may & ~ACR_MAY_EVENTS;
    }

    return acr_pattern_match(scope, repository) ? may & ACR_MAY_ALL : 0;
}


static int
acr_access_grants_map(json_t *grants, const acr_access_map_t *map,
    const acr_text_t *repository)
{
    size_t                     i;
    unsigned                   may;
    const acr_access_grant_t  *grant;

    for (i = 0; i < map->ngrants; i++) {
        grant = &map->grants[i];
        may = acr_access_concerns(grant->may, &grant->pattern, repository);

        if (may && !acr_access_grant(grants,
                                     acr_access_called("scope map ",
                                                       &map->name),
                                     &grant->pattern, may))
        {
            return 0;
        }
    }

    return 1;
}


/* group is NULL for those that are one's own */

static int
acr_access_grants_role(json_t *grants,
    const acr_access_assignment_t *assignment, const acr_text_t *group,
    const acr_text_t *repository)
{
    json_t      *by;
    unsigned     may;
    const char  *role;

    role = assignment->role->name;
    may = acr_access_concerns(assignment->role->may, &assignment->scope,
                              repository);

    if (may == 0) {
        return 1;
    }

    by = group ? json_pack("s+++%", "role ", role, " of group ",
                           group->data, group->len)
               : json_pack("s+", "role ", role);

    return acr_access_grant(grants, by, &assignment->scope, may);
}


static int
acr_access_grants_roles(json_t *grants, const acr_access_t *access,
    const char *kind, const acr_text_t *name, const acr_text_t *group,
    const acr_text_t *repository)
{
    size_t                           i, n;
    const acr_access_assignment_t  **assigned;

    assigned = acr_access_assigned(access, kind, name, &n);

    for (i = 0; i < n; i++) {
        if (!acr_access_grants_role(grants, assigned[i], group, repository)) {
            return 0;
        }
    }

    return 1;
}


static int
acr_access_grants_admin(json_t *grants, const acr_text_t *repository)
{
    acr_text_t  all;

    all.data = (const unsigned char *) "*";
    all.len = 1;

    return acr_access_grant(grants, json_string("admin user"), &all,
                            repository ? ACR_MAY_ALL
                                       : ACR_MAY_ALL|ACR_MAY_REGISTRY);
}


static int
acr_access_grants_user(json_t *grants, const acr_access_t *access,
    const acr_principal_t *principal, const acr_text_t *repository)
{
    unsigned  i;

    if (!acr_access_grants_roles(grants, access, "user:", &principal->name,
                                 NULL, repository))
    {
        return 0;
    }

    for (i = 0; i < principal->ngroups && i < ACR_ACCESS_GROUPS_MAX; i++) {
        if (!acr_access_grants_roles(grants, access, "group:",
                                     &principal->groups[i],
                                     &principal->groups[i], repository))
        {
            return 0;
        }
    }

    return 1;
}


static json_t *
acr_access_principal(const acr_principal_t *principal)
{
    switch (principal->kind) {

    case ACR_PRINCIPAL_ADMIN:
        return json_string(ACR_ACCESS_ADMIN);

    case ACR_PRINCIPAL_TOKEN:
        return acr_access_called("token:", &principal->name);

    case ACR_PRINCIPAL_USER:
        return acr_access_called("user:", &principal->name);

    case ACR_PRINCIPAL_ANONYMOUS:
        return json_string("anonymous");
    }

    return NULL;
}


static int
acr_access_grants(json_t *grants, const acr_access_t *access,
    const acr_principal_t *principal, const acr_text_t *repository,
    int64_t now)
{
    acr_text_t                 none;
    const acr_access_token_t  *owner;

    switch (principal->kind) {

    case ACR_PRINCIPAL_ADMIN:
        owner = acr_access_owner(access, principal, now);

        return owner == NULL || acr_access_grants_admin(grants, repository);

    case ACR_PRINCIPAL_TOKEN:
        owner = acr_access_owner(access, principal, now);

        return owner == NULL
               || acr_access_grants_map(grants, owner->map, repository);

    case ACR_PRINCIPAL_USER:
        return acr_access_grants_user(grants, access, principal, repository);

    case ACR_PRINCIPAL_ANONYMOUS:
        none.data = NULL;
        none.len = 0;

        return acr_access_grants_roles(grants, access, "anonymous", &none,
                                       NULL, repository);
    }

    return 0;
}


json_t *
acr_access_explain(const acr_access_t *access,
    const acr_principal_t *principal, const acr_text_t *repository,
    int64_t now)
{
    json_t  *grants;

    grants = json_array();

    if (grants == NULL
        || !acr_access_grants(grants, access, principal, repository, now))
    {
        json_decref(grants);
        return NULL;
    }

    /* json_pack() releases both if one is missing */

    return json_pack("{s:o, s:o}", "principal",
                     acr_access_principal(principal), "grants", grants);
}


/* 0: no memory; one without grants is left out, both are given away */

static int
acr_access_who_add(json_t *list, json_t *called, json_t *grants)
{
    if (called && grants && json_array_size(grants) == 0) {
        json_decref(called);
        json_decref(grants);
        return 1;
    }

    return json_array_append_new(list, json_pack("{s:o, s:o}",
                                                 "principal", called,
                                                 "grants", grants))
           == 0;
}


/* several tokens have one scope map: they share the JSON of its grants */

static int
acr_access_who_tokens(json_t *list, const acr_access_t *access,
    const acr_text_t *repository)
{
    int                        done;
    size_t                     i, place;
    json_t                   **grants;
    const acr_access_token_t  *token;

    grants = calloc(access->nmaps, sizeof(json_t *));

    if (grants == NULL) {
        return 0;
    }

    done = 1;

    for (i = 0; done && i < access->ntokens; i++) {
        token = &access->tokens[i];
        place = (size_t) (token->map - access->maps);

        if (!token->enabled) {
            continue;
        }

        if (grants[place] == NULL) {
            grants[place] = json_array();
            done = grants[place]
                   && acr_access_grants_map(grants[place], token->map,
                                            repository);
        }

        done = done
               && acr_access_who_add(list,
                                     acr_access_called("token:",
                                                       &token->name),
                                     json_incref(grants[place]));
    }

    for (i = 0; i < access->nmaps; i++) {
        json_decref(grants[i]);
    }

    free(grants);

    return done;
}


static int
acr_access_who_assigned(json_t *list, const acr_access_t *access,
    const acr_text_t *repository)
{
    size_t                           i, n;
    json_t                          *grants;
    const acr_text_t                *principal;
    const acr_access_assignment_t  **assigned;

    assigned = access->principals;
    n = access->nassignments;
    i = 0;

    while (i < n) {
        principal = &assigned[i]->principal;
        grants = json_array();

        do {
            if (grants
                && !acr_access_grants_role(grants, assigned[i], NULL,
                                           repository))
            {
                json_decref(grants);
                grants = NULL;
            }

            i++;

        } while (i < n && acr_access_compare(principal,
                                             &assigned[i]->principal)
                          == 0);

        if (!acr_access_who_add(list, acr_access_called("", principal),
                                grants))
        {
            return 0;
        }
    }

    return 1;
}


json_t *
acr_access_who(const acr_access_t *access, const acr_text_t *repository,
    int64_t now)
{
    int      done;
    json_t  *list, *grants;

    /* a token's passwords may all be gone: its rights would be there with the
       next one */

    (void) now;

    list = json_array();

    if (list == NULL) {
        return NULL;
    }

    done = 1;

    if (access->admin.enabled) {
        grants = json_array();
        done = grants && acr_access_grants_admin(grants, repository)
               && acr_access_who_add(list, json_string(ACR_ACCESS_ADMIN),
                                     json_incref(grants));
        json_decref(grants);
    }

    done = done && acr_access_who_tokens(list, access, repository)
           && acr_access_who_assigned(list, access, repository);

    if (!done) {
        json_decref(list);
        return NULL;
    }

    return list;
}
