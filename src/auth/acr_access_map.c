
#include <stdlib.h>
#include <string.h>

#include "acr_access_core.h"


typedef struct {
    const char  *name;
    unsigned     may;
} acr_access_system_t;


/* every registry of ACR has these, on all of its repositories */

static const acr_access_system_t  acr_access_system[] = {
    { "_repositories_admin", ACR_MAY_ALL },
    { "_repositories_pull", ACR_MAY_PULL },
    { "_repositories_pull_metadata_read",
      ACR_MAY_PULL|ACR_MAY_METADATA_READ },
    { "_repositories_push", ACR_MAY_PULL|ACR_MAY_PUSH },
    { "_repositories_push_metadata_write",
      ACR_MAY_PULL|ACR_MAY_PUSH|ACR_MAY_METADATA_READ
      |ACR_MAY_METADATA_WRITE }
};

#define ACR_ACCESS_SYSTEM                                                    \
    (sizeof(acr_access_system) / sizeof(acr_access_system[0]))


static int
acr_access_compare_sort(const void *a, const void *b)
{
    return acr_access_compare(a, b);
}


int
acr_access_sort(void *array, size_t n, size_t size)
{
    size_t  i;
    char   *p;

    if (n < 2) {
        return 1;
    }

    qsort(array, n, size, acr_access_compare_sort);

    p = array;

    for (i = 1; i < n; i++, p += size) {
        if (acr_access_compare((void *) p, (void *) (p + size)) == 0) {
            return 0;
        }
    }

    return 1;
}


/* patterns that occur several times, with a right each, become one */

static void
acr_access_merge(acr_access_map_t *map)
{
    size_t               i, n;
    acr_access_grant_t  *grants;

    acr_access_sort(map->grants, map->ngrants, sizeof(acr_access_grant_t));

    n = 0;
    grants = map->grants;

    for (i = 0; i < map->ngrants; i++) {

        if (n && acr_access_compare(&grants[n - 1].pattern,
                                    &grants[i].pattern)
                 == 0)
        {
            grants[n - 1].may |= grants[i].may;

        } else {
            grants[n++] = grants[i];
        }
    }

    map->ngrants = n;
}


static const char *
acr_access_load_map(acr_access_map_t *map, json_t *json)
{
    size_t               i, n;
    json_t              *actions, *action;
    const char          *error;
    acr_text_t           text;
    acr_access_grant_t  *grant;

    error = acr_access_form(json, &acr_access_map_form);

    if (error) {
        return error;
    }

    map->json = json;
    map->name = acr_access_text(json, "name");

    if (!acr_access_name_valid(&map->name)) {
        return "the name of a scope map is not valid";
    }

    if (json_string_length(json_object_get(json, "description"))
        > ACR_ACCESS_DESCRIPTION_MAX)
    {
        return "the description of a scope map is longer than 256 bytes";
    }

    actions = json_object_get(json, "actions");
    n = json_array_size(actions);

    if (n > ACR_ACCESS_ACTIONS_MAX) {
        return "a scope map has more than 500 actions";
    }

    map->grants = malloc((n ? n : 1) * sizeof(acr_access_grant_t));

    if (map->grants == NULL) {
        return acr_access_nomem;
    }

    json_array_foreach(actions, i, action) {

        if (!json_is_string(action)) {
            return "an action of a scope map is not a string";
        }

        text = acr_json_text(action);
        grant = &map->grants[i];

        if (acr_right_parse(text.data, text.len, &grant->pattern, &grant->may)
            != ACR_OK)
        {
            return "an action of a scope map is not \"repositories/\", a "
                   "repository or pattern, and content/read, content/write, "
                   "content/delete, metadata/read or metadata/write, nor "
                   "\"registry/events/read\"";
        }
    }

    map->ngrants = n;
    acr_access_merge(map);

    return NULL;
}


const char *
acr_access_load_maps(acr_access_t *access, const json_t *list)
{
    size_t             i, n;
    json_t            *json;
    const char        *error;
    acr_access_map_t  *map;

    n = json_array_size(list);

    if (n > ACR_ACCESS_MAPS_MAX) {
        return "there are more than 1000 scope maps";
    }

    map = calloc(n + ACR_ACCESS_SYSTEM, sizeof(acr_access_map_t));

    if (map == NULL) {
        return acr_access_nomem;
    }

    access->maps = map;
    access->nmaps = n + ACR_ACCESS_SYSTEM;

    json_array_foreach(list, i, json) {
        error = acr_access_load_map(map++, json);

        if (error) {
            return error;
        }
    }

    for (i = 0; i < ACR_ACCESS_SYSTEM; i++, map++) {
        map->grants = malloc(sizeof(acr_access_grant_t));

        if (map->grants == NULL) {
            return acr_access_nomem;
        }

        map->name.data = (const unsigned char *) acr_access_system[i].name;
        map->name.len = strlen(acr_access_system[i].name);
        map->grants[0].pattern.data = (const unsigned char *) "*";
        map->grants[0].pattern.len = 1;
        map->grants[0].may = acr_access_system[i].may;
        map->ngrants = 1;
    }

    if (!acr_access_sort(access->maps, access->nmaps,
                         sizeof(acr_access_map_t)))
    {
        return "a scope map occurs twice";
    }

    return NULL;
}
