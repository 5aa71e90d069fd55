
#include <stdlib.h>
#include <string.h>

#include "acr_access_core.h"


#define ACR_MAY_READ   (ACR_MAY_PULL|ACR_MAY_METADATA_READ)
#define ACR_MAY_WRITE  (ACR_MAY_PUSH|ACR_MAY_METADATA_WRITE)


const char  acr_access_nomem[] = "not enough memory";


/*
 * Azure's built-in roles as they are for a registry of mode "RBAC Registry
 * Permissions".  AcrPush has no right to write metadata: locks are for
 * Contributor and Owner.  Three exist so that assignments of them are kept,
 * but they grant nothing that there is here: neither signing by Docker Content
 * Trust nor quarantine.  The last one is ours.
 */

static const acr_access_role_t  acr_access_roles[] = {
    { "AcrPull", ACR_MAY_READ|ACR_MAY_CATALOG },
    { "AcrPush", ACR_MAY_READ|ACR_MAY_PUSH|ACR_MAY_CATALOG },
    { "AcrDelete", ACR_MAY_DELETE },
    { "Reader", ACR_MAY_READ|ACR_MAY_CATALOG },
    { "Contributor", ACR_MAY_ALL|ACR_MAY_REGISTRY },
    { "Owner", ACR_MAY_ALL|ACR_MAY_REGISTRY },
    { "Container Registry Repository Reader", ACR_MAY_READ },
    { "Container Registry Repository Writer", ACR_MAY_READ|ACR_MAY_WRITE },
    { "Container Registry Repository Contributor", ACR_MAY_ALL },
    { "Container Registry Repository Catalog Lister", ACR_MAY_CATALOG },
    { "AcrImageSigner", 0 },
    { "AcrQuarantineReader", 0 },
    { "AcrQuarantineWriter", 0 },
    { "AcrEventReader", ACR_MAY_EVENTS }
};

#define ACR_ACCESS_ROLES                                                     \
    (sizeof(acr_access_roles) / sizeof(acr_access_roles[0]))


const acr_access_role_t *
acr_access_role_find(const acr_text_t *name)
{
    size_t  i;

    for (i = 0; i < ACR_ACCESS_ROLES; i++) {
        if (acr_text_is(name, acr_access_roles[i].name)) {
            return &acr_access_roles[i];
        }
    }

    return NULL;
}


unsigned
acr_access_role(const acr_text_t *name)
{
    const acr_access_role_t  *role;

    role = acr_access_role_find(name);

    return role ? role->may : 0;
}


int
acr_access_compare(const acr_text_t *a, const acr_text_t *b)
{
    int     rc;
    size_t  n;

    n = a->len < b->len ? a->len : b->len;

    /* data may be NULL if there is none */

    rc = n ? memcmp(a->data, b->data, n) : 0;

    if (rc) {
        return rc;
    }

    return (a->len > b->len) - (a->len < b->len);
}


const void *
acr_access_find(const void *array, size_t n, size_t size,
    const acr_text_t *name)
{
    int          rc;
    size_t       low, high, middle;
    const char  *element;

    low = 0;
    high = n;

    while (low < high) {
        middle = low + (high - low) / 2;
        element = (const char *) array + middle * size;
        rc = acr_access_compare(name, (const void *) element);

        if (rc == 0) {
            return element;
        }

        if (rc < 0) {
            high = middle;

        } else {
            low = middle + 1;
        }
    }

    return NULL;
}


/* how "<kind><name>" and the principal are sorted */

static int
acr_access_compare_principal(const char *kind, const acr_text_t *name,
    const acr_text_t *principal)
{
    int         rc;
    acr_text_t  part;

    part.data = (const unsigned char *) kind;
    part.len = strlen(kind);

    if (principal->len < part.len) {
        return acr_access_compare(&part, principal);
    }

    rc = memcmp(part.data, principal->data, part.len);

    if (rc) {
        return rc;
    }

    part.data = principal->data + part.len;
    part.len = principal->len - part.len;

    return acr_access_compare(name, &part);
}


const acr_access_assignment_t **
acr_access_assigned(const acr_access_t *access, const char *kind,
    const acr_text_t *name, size_t *n)
{
    size_t  low, high, middle, end;

    low = 0;
    high = access->nassignments;

    while (low < high) {
        middle = low + (high - low) / 2;

        if (acr_access_compare_principal(kind, name,
                                   &access->principals[middle]->principal)
            > 0)
        {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    for (end = low; end < access->nassignments; end++) {
        if (acr_access_compare_principal(kind, name,
                                      &access->principals[end]->principal))
        {
            break;
        }
    }

    *n = end - low;

    return access->principals ? access->principals + low : NULL;
}


static int
acr_access_secret_alive(const acr_access_token_t *owner, const char *id,
    int64_t now)
{
    unsigned                    i;
    const acr_access_secret_t  *secret;

    if (id == NULL) {
        return 1;
    }

    for (i = 0; i < ACR_ACCESS_PASSWORDS; i++) {
        secret = &owner->secrets[i];

        if (secret->id && strcmp(secret->id, id) == 0) {
            return secret->expiry > now;
        }
    }

    return 0;
}


const acr_access_token_t *
acr_access_owner(const acr_access_t *access, const acr_principal_t *principal,
    int64_t now)
{
    const acr_access_token_t  *owner;

    owner = principal->kind == ACR_PRINCIPAL_ADMIN
            ? &access->admin
            : acr_access_find(access->tokens, access->ntokens,
                              sizeof(acr_access_token_t), &principal->name);

    if (owner == NULL || !owner->enabled
        || !acr_access_secret_alive(owner, principal->password, now))
    {
        return NULL;
    }

    return owner;
}


int
acr_access_alive(const acr_access_t *access, const acr_principal_t *principal,
    int64_t now)
{
    switch (principal->kind) {

    case ACR_PRINCIPAL_ADMIN:
    case ACR_PRINCIPAL_TOKEN:
        return acr_access_owner(access, principal, now) != NULL;

    case ACR_PRINCIPAL_USER:
    case ACR_PRINCIPAL_ANONYMOUS:
        return 1;
    }

    return 0;
}


/* what the assignments of one principal add up to; of all repositories if
   repository is NULL */

static unsigned
acr_access_add(const acr_access_t *access, const char *kind,
    const acr_text_t *name, const acr_text_t *repository)
{
    size_t                           i, n;
    unsigned                         may;
    const acr_access_assignment_t  **assigned;

    may = 0;
    assigned = acr_access_assigned(access, kind, name, &n);

    for (i = 0; i < n; i++) {

        /* most are cheaply seen to add nothing */

        if ((assigned[i]->role->may & ~may)
            && (repository == NULL
                || acr_pattern_match(&assigned[i]->scope, repository)))
        {
            may |= assigned[i]->role->may;
        }
    }

    return may;
}


static unsigned
acr_access_assignments(const acr_access_t *access,
    const acr_principal_t *principal, const acr_text_t *repository)
{
    unsigned    i, may;
    acr_text_t  none;

    if (principal->kind == ACR_PRINCIPAL_ANONYMOUS) {
        none.data = NULL;
        none.len = 0;

        return acr_access_add(access, "anonymous", &none, repository);
    }

    may = acr_access_add(access, "user:", &principal->name, repository);

    for (i = 0; i < principal->ngroups && i < ACR_ACCESS_GROUPS_MAX; i++) {
        may |= acr_access_add(access, "group:", &principal->groups[i],
                              repository);
    }

    return may;
}


unsigned
acr_access_repository(const acr_access_t *access,
    const acr_principal_t *principal, const acr_text_t *repository,
    int64_t now)
{
    size_t                     i;
    unsigned                   may;
    const acr_access_map_t    *map;
    const acr_access_token_t  *owner;

    switch (principal->kind) {

    case ACR_PRINCIPAL_ADMIN:
        return acr_access_owner(access, principal, now) ? ACR_MAY_ALL : 0;

    case ACR_PRINCIPAL_TOKEN:
        owner = acr_access_owner(access, principal, now);

        if (owner == NULL) {
            return 0;
        }

        may = 0;
        map = owner->map;

        for (i = 0; i < map->ngrants; i++) {
            if ((map->grants[i].may & ~may)
                && acr_pattern_match(&map->grants[i].pattern, repository))
            {
                may |= map->grants[i].may;
            }
        }

        return may & ACR_MAY_ALL;

    case ACR_PRINCIPAL_USER:
    case ACR_PRINCIPAL_ANONYMOUS:
        return acr_access_assignments(access, principal, repository)
               & ACR_MAY_ALL;
    }

    return 0;
}


unsigned
acr_access_registry(const acr_access_t *access,
    const acr_principal_t *principal, int64_t now)
{
    size_t                     i;
    acr_text_t                 all;
    const acr_access_token_t  *owner;

    all.data = (const unsigned char *) "*";
    all.len = 1;

    switch (principal->kind) {

    case ACR_PRINCIPAL_ADMIN:
        return acr_access_owner(access, principal, now) ? ACR_MAY_REGISTRY
                                                        : 0;

    case ACR_PRINCIPAL_TOKEN:
        owner = acr_access_owner(access, principal, now);

        for (i = 0; owner && i < owner->map->ngrants; i++) {
            if (owner->map->grants[i].may & ACR_MAY_EVENTS) {
                return ACR_MAY_EVENTS;
            }
        }

        return 0;

    case ACR_PRINCIPAL_USER:
    case ACR_PRINCIPAL_ANONYMOUS:
        return (acr_access_assignments(access, principal, NULL)
                & ACR_MAY_CATALOG)
               | (acr_access_assignments(access, principal, &all)
                  & ACR_MAY_EVENTS);
    }

    return 0;
}


int
acr_access_anonymous(const acr_access_t *access)
{
    return (int) access->anonymous;
}
