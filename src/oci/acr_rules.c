
#include <stdlib.h>
#include <string.h>

#include "acr_json.h"
#include "acr_rules.h"


#define ACR_RULES_VERSION  1


typedef struct {
    const char   *name;
    json_type     type;
    int           client;          /* may set it */
} acr_rules_member_t;

typedef struct {
    acr_rules_t       *rules;
    const acr_text_t  *name;
    const json_t      *body;
    int64_t            now;
    acr_change_e       code;
    const char        *error;
} acr_rules_change_t;


static const char *acr_rules_read(acr_rules_t *rules);
static const char *acr_rules_entry(acr_rules_entry_t *entry,
    const json_t *json);
static const char *acr_rules_members(const json_t *json);
static const acr_rules_member_t *acr_rules_member(const char *name);
static const char *acr_rules_clash(const acr_rules_t *rules, size_t place);
static void acr_rules_apply(acr_rules_change_t *change, int method);
static void acr_rules_put(acr_rules_change_t *change);
static json_t *acr_rules_append(acr_rules_change_t *change, json_t *list);
static void acr_rules_delete(acr_rules_change_t *change);
static void acr_rules_refuse(acr_rules_change_t *change, acr_change_e code,
    const char *error);
static unsigned char *acr_rules_print(acr_rules_change_t *change, size_t *len);


const char  acr_rules_nomem[] = "there is no memory";

static const char  acr_rules_name[] =
    "a name is at most 128 of letters, digits, \".\", \"_\" and \"-\", and "
    "begins with neither \".\" nor \"-\"";
static const char  acr_rules_type[] = "a member of a rule is not of its type";
static const char  acr_rules_twice[] = "two rules have one name";
static const char  acr_rules_overlap[] = "it overlaps with another rule";

static const acr_rules_member_t  acr_rules_form[] = {
    { "name", JSON_STRING, 0 },
    { "targetRepository", JSON_STRING, 1 },
    { "sourceRepository", JSON_STRING, 1 },
    { "valid", JSON_INTEGER, 1 },
    { "gone", JSON_STRING, 1 },
    { "created", JSON_INTEGER, 0 }
};

#define ACR_RULES_MEMBERS                                                    \
    (sizeof(acr_rules_form) / sizeof(acr_rules_form[0]))

/* what a document has without any */

#define acr_rules_empty()                                                    \
    json_pack("{s:i,s:[]}", "version", ACR_RULES_VERSION, "cacheRules")


acr_rules_t *
acr_rules_load(const unsigned char *p, size_t n, const char **error)
{
    int           rc;
    acr_rules_t  *rules;

    *error = acr_rules_nomem;

    rules = calloc(1, sizeof(acr_rules_t));

    if (rules == NULL) {
        return NULL;
    }

    rc = ACR_OK;

    if (n > ACR_RULES_TEXT_MAX) {
        *error = "it is too large";
        rc = ACR_INVALID;

    } else if (p) {
        rc = acr_json_load(&rules->root, p, n, error);

    } else {
        rules->root = acr_rules_empty();
    }

    if (rc == ACR_NOMEM || (rc == ACR_OK && rules->root == NULL)) {
        *error = acr_rules_nomem;

    } else if (rc == ACR_OK) {
        *error = acr_rules_read(rules);
    }

    if (*error) {
        acr_rules_free(rules);
        return NULL;
    }

    return rules;
}


void
acr_rules_free(acr_rules_t *rules)
{
    if (rules) {
        json_decref(rules->root);
        free(rules->entries);
        free(rules);
    }
}


/* NULL, or why it is no document */

static const char *
acr_rules_read(acr_rules_t *rules)
{
    size_t       i, n;
    json_t      *list, *version;
    const char  *error;

    list = json_object_get(rules->root, "cacheRules");
    version = json_object_get(rules->root, "version");

    if (!json_is_array(list) || !json_is_integer(version)
        || json_object_size(rules->root) != 2)
    {
        return "it is not an object of \"version\" and \"cacheRules\"";
    }

    if (json_integer_value(version) != ACR_RULES_VERSION) {
        return "it is of a version that is not known";
    }

    n = json_array_size(list);

    if (n > ACR_RULES_MAX) {
        return "there are more than 1000 rules";
    }

    rules->entries = calloc(n ? n : 1, sizeof(acr_rules_entry_t));

    if (rules->entries == NULL) {
        return acr_rules_nomem;
    }

    for (i = 0; i < n; i++) {
        error = acr_rules_entry(&rules->entries[i], json_array_get(list, i));

        if (error == NULL) {
            error = acr_rules_clash(rules, i);
        }

        if (error) {
            return error;
        }

        rules->n++;
    }

    return NULL;
}


static const char *
acr_rules_entry(acr_rules_entry_t *entry, const json_t *json)
{
    acr_text_t   gone;
    const char  *error;

    error = acr_rules_members(json);

    if (error) {
        return error;
    }

    entry->name = acr_json_text(json_object_get(json, "name"));

    if (!acr_tag_valid(entry->name.data, entry->name.len)) {
        return acr_rules_name;
    }

    if (acr_rule_parse(&entry->rule,
                   acr_json_text(json_object_get(json, "targetRepository")),
                   acr_json_text(json_object_get(json, "sourceRepository")),
                   &error)
        != ACR_OK)
    {
        return error;
    }

    entry->valid = json_integer_value(json_object_get(json, "valid"));

    if (entry->valid < 0 || entry->valid > ACR_RULES_VALID_MAX) {
        return "\"valid\" is no number of seconds, ten years at most";
    }

    gone = acr_json_text(json_object_get(json, "gone"));
    entry->gone = acr_text_is(&gone, "404") != 0;

    if (!entry->gone && !acr_text_is(&gone, "keep")) {
        return "\"gone\" is neither \"keep\" nor \"404\"";
    }

    return NULL;
}


/* it has all members, and no other */

static const char *
acr_rules_members(const json_t *json)
{
    size_t   i;
    json_t  *value;

    for (i = 0; i < ACR_RULES_MEMBERS; i++) {
        value = json_object_get(json, acr_rules_form[i].name);

        if (value == NULL) {
            return "a rule lacks a member: targetRepository and "
                   "sourceRepository are needed";
        }

        if (json_typeof(value) != acr_rules_form[i].type) {
            return acr_rules_type;
        }
    }

    return json_object_size(json) == ACR_RULES_MEMBERS
           ? NULL : "a rule has a member that is not known";
}


static const acr_rules_member_t *
acr_rules_member(const char *name)
{
    size_t  i;

    for (i = 0; i < ACR_RULES_MEMBERS; i++) {
        if (strcmp(acr_rules_form[i].name, name) == 0) {
            return &acr_rules_form[i];
        }
    }

    return NULL;
}


/* with one that is before it */

static const char *
acr_rules_clash(const acr_rules_t *rules, size_t place)
{
    size_t                    i;
    const acr_rules_entry_t  *entry, *other;

    entry = &rules->entries[place];

    for (i = 0; i < place; i++) {
        other = &rules->entries[i];

        if (acr_text_equal(&other->name, &entry->name)) {
            return acr_rules_twice;
        }

        if (acr_rule_overlaps(&other->rule, &entry->rule)) {
            return acr_rules_overlap;
        }
    }

    return NULL;
}


size_t
acr_rules_find(const acr_rules_t *rules, const acr_text_t *name)
{
    size_t  i;

    for (i = 0; i < rules->n; i++) {
        if (acr_text_equal(&rules->entries[i].name, name)) {
            break;
        }
    }

    return i;
}


json_t *
acr_rules_show(const acr_rules_t *rules, size_t place)
{
    return json_deep_copy(json_array_get(json_object_get(rules->root,
                                                         "cacheRules"),
                                         place));
}


/* --- changes: made in the JSON; whether what comes out is good is seen when
       it is loaded again, with all the checks that there are for a document */

unsigned char *
acr_rules_change(const unsigned char *p, size_t n, const acr_text_t *name,
    int method, const json_t *body, int64_t now, size_t *len,
    acr_change_e *code, const char **error)
{
    unsigned char       *text;
    acr_rules_change_t   change;

    *len = 0;

    memset(&change, 0, sizeof(acr_rules_change_t));

    change.rules = acr_rules_load(p, n, error);

    if (change.rules == NULL) {
        *code = ACR_CHANGE_FAILED;
        return NULL;
    }

    change.name = name;
    change.body = body;
    change.now = now;

    acr_rules_apply(&change, method);

    text = (change.code == ACR_CHANGE_OK) ? acr_rules_print(&change, len)
                                          : NULL;
    *code = change.code;
    *error = change.error;

    acr_rules_free(change.rules);

    return text;
}


static void
acr_rules_apply(acr_rules_change_t *change, int method)
{
    switch (method) {

    case 'P':
        acr_rules_put(change);
        break;

    case 'D':
        acr_rules_delete(change);
        break;

    default:
        acr_rules_refuse(change, ACR_CHANGE_INVALID,
                         "there is no such change");
    }
}


static void
acr_rules_put(acr_rules_change_t *change)
{
    size_t                     place;
    json_t                    *list, *entry, *value;
    const char                *key;
    const acr_rules_member_t  *member;

    if (!json_is_object(change->body)) {
        acr_rules_refuse(change, ACR_CHANGE_INVALID,
                         "the body is not a JSON object");
        return;
    }

    if (!acr_tag_valid(change->name->data, change->name->len)) {
        acr_rules_refuse(change, ACR_CHANGE_INVALID, acr_rules_name);
        return;
    }

    list = json_object_get(change->rules->root, "cacheRules");
    place = acr_rules_find(change->rules, change->name);

    entry = (place < change->rules->n) ? json_array_get(list, place)
                                       : acr_rules_append(change, list);
    if (entry == NULL) {
        acr_rules_refuse(change, ACR_CHANGE_FAILED, acr_rules_nomem);
        return;
    }

    /* the macro wants what is not const, but changes nothing */

    json_object_foreach((json_t *) change->body, key, value) {
        member = acr_rules_member(key);

        if (member == NULL || !member->client) {
            acr_rules_refuse(change, ACR_CHANGE_INVALID,
                             "the body has a member that is not known");
            return;
        }

        /* what may be large is not copied */

        if (json_typeof(value) != member->type) {
            acr_rules_refuse(change, ACR_CHANGE_INVALID, acr_rules_type);
            return;
        }

        if (json_object_set_new(entry, key, json_deep_copy(value))) {
            acr_rules_refuse(change, ACR_CHANGE_FAILED, acr_rules_nomem);
            return;
        }
    }
}


/* a new one, which still lacks what a client has to say; NULL: no memory */

static json_t *
acr_rules_append(acr_rules_change_t *change, json_t *list)
{
    json_t  *entry;

    entry = json_pack("{s:o,s:i,s:s,s:I}",
                      "name", json_stringn((const char *) change->name->data,
                                           change->name->len),
                      "valid", ACR_RULES_VALID,
                      "gone", "keep",
                      "created", (json_int_t) change->now);

    return json_array_append_new(list, entry) ? NULL : entry;
}


static void
acr_rules_delete(acr_rules_change_t *change)
{
    size_t  place;

    place = acr_rules_find(change->rules, change->name);

    if (place == change->rules->n) {
        acr_rules_refuse(change, ACR_CHANGE_UNKNOWN,
                         "there is no rule of this name");
        return;
    }

    if (json_array_remove(json_object_get(change->rules->root, "cacheRules"),
                          place))
    {
        acr_rules_refuse(change, ACR_CHANGE_FAILED, acr_rules_nomem);
    }
}


static void
acr_rules_refuse(acr_rules_change_t *change, acr_change_e code,
    const char *error)
{
    change->code = code;
    change->error = error;
}


static unsigned char *
acr_rules_print(acr_rules_change_t *change, size_t *len)
{
    char         *text;
    acr_rules_t  *rules;

    /* lines, for whoever has to look into it, or to compare two of them */

    text = json_dumps(change->rules->root, JSON_INDENT(1));

    if (text == NULL) {
        acr_rules_refuse(change, ACR_CHANGE_FAILED, acr_rules_nomem);
        return NULL;
    }

    *len = strlen(text);

    rules = acr_rules_load((unsigned char *) text, *len, &change->error);

    if (rules == NULL) {
        change->code = (change->error == acr_rules_nomem) ? ACR_CHANGE_FAILED
                       : (change->error == acr_rules_overlap)
                         ? ACR_CHANGE_CONFLICT : ACR_CHANGE_INVALID;
        free(text);
        return NULL;
    }

    acr_rules_free(rules);

    return (unsigned char *) text;
}
