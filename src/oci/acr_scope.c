
#include <string.h>

#include "acr_name.h"
#include "acr_scope.h"


typedef struct {
    const char  *name;         /* in a scope */
    const char  *right;        /* the end of a right of a scope map */
    unsigned     bit;
} acr_scope_action_t;


static const acr_scope_action_t  acr_scope_actions[] = {
    { "pull", "/content/read", ACR_MAY_PULL },
    { "push", "/content/write", ACR_MAY_PUSH },
    { "delete", "/content/delete", ACR_MAY_DELETE },
    { "metadata_read", "/metadata/read", ACR_MAY_METADATA_READ },
    { "metadata_write", "/metadata/write", ACR_MAY_METADATA_WRITE },
    { NULL, NULL, 0 }
};


/* with all actions that there are of a name: "*" is any of them */

typedef struct {
    const char  *name;
    const char  *action;
    const char  *scope;
    unsigned     bit;
} acr_scope_registry_t;


static const acr_scope_registry_t  acr_scope_registries[] = {
    { "catalog", "*", "registry:catalog:*", ACR_MAY_CATALOG },
    { "events", "read", "registry:events:read", ACR_MAY_EVENTS },
    { NULL, NULL, NULL, 0 }
};

#define ACR_RIGHT_EVENTS  "registry/events/read"


static void
acr_scope_clear(acr_text_t *text)
{
    text->data = NULL;
    text->len = 0;
}


/* unlike acr_text_is(): nothing in a scope is the same in another case */

static int
acr_scope_is(const unsigned char *p, size_t n, const char *s)
{
    return n == strlen(s) && memcmp(p, s, n) == 0;
}


/* the length of the word that the text begins with */

static size_t
acr_scope_word(const unsigned char *p, size_t n)
{
    size_t         i;
    unsigned char  c;

    for (i = 0; i < n; i++) {
        c = p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
              || (c >= '0' && c <= '9')
              || c == '.' || c == '_' || c == '-'))
        {
            break;
        }
    }

    return i;
}


/* a word, or a word and another one in parentheses, which is taken off */

static int
acr_scope_type(acr_text_t *type)
{
    size_t                len, inner;
    const unsigned char  *p;

    p = type->data;
    len = acr_scope_word(p, type->len);

    if (len == 0) {
        return ACR_INVALID;
    }

    if (len == type->len) {
        return ACR_OK;
    }

    if (p[len] != '(') {
        return ACR_INVALID;
    }

    inner = acr_scope_word(p + len + 1, type->len - len - 1);

    if (inner == 0 || len + inner + 2 != type->len
        || p[type->len - 1] != ')')
    {
        return ACR_INVALID;
    }

    type->len = len;

    return ACR_OK;
}


/* takes the next one off a list of actions; 0: there is none */

static int
acr_scope_next_action(acr_text_t *actions, acr_text_t *action)
{
    size_t  n;

    if (actions->data == NULL) {
        return 0;
    }

    for (n = 0; n < actions->len && actions->data[n] != ','; n++) {
        /* void */
    }

    action->data = actions->data;
    action->len = n;

    if (n == actions->len) {
        acr_scope_clear(actions);
        return 1;
    }

    actions->data += n + 1;
    actions->len -= n + 1;

    return 1;
}


static unsigned
acr_scope_may(acr_text_t actions)
{
    unsigned                   may;
    acr_text_t                 text;
    const acr_scope_action_t  *action;

    may = 0;

    while (acr_scope_next_action(&actions, &text)) {

        if (acr_scope_is(text.data, text.len, "*")) {
            may |= ACR_MAY_ALL;
        }

        for (action = acr_scope_actions; action->name; action++) {
            if (acr_scope_is(text.data, text.len, action->name)) {
                may |= action->bit;
            }
        }
    }

    return may;
}


static unsigned
acr_scope_may_registry(const acr_text_t *name, acr_text_t actions)
{
    acr_text_t                   text;
    const acr_scope_registry_t  *registry;

    for (registry = acr_scope_registries; registry->name; registry++) {
        if (acr_scope_is(name->data, name->len, registry->name)) {
            break;
        }
    }

    while (acr_scope_next_action(&actions, &text)) {
        if (registry->name
            && (acr_scope_is(text.data, text.len, "*")
                || acr_scope_is(text.data, text.len, registry->action)))
        {
            return registry->bit;
        }
    }

    return 0;
}


int
acr_scope_next(acr_text_t *text, acr_scope_t *scope)
{
    size_t                len, first, last;
    acr_text_t            type, name, actions;
    const unsigned char  *p;

    acr_scope_clear(&scope->name);
    scope->may = 0;

    while (text->len && *text->data == ' ') {
        text->data++;
        text->len--;
    }

    if (text->len == 0) {
        return ACR_DONE;
    }

    p = text->data;

    for (len = 0; len < text->len && p[len] != ' '; len++) {
        /* void */
    }

    text->data += len;
    text->len -= len;

    /*
     * The first colon and the last: those of a host with a port would be
     * between them, in a name that is then none.
     */

    for (first = 0; first < len && p[first] != ':'; first++) {
        /* void */
    }

    if (first == len) {
        return ACR_INVALID;
    }

    for (last = len - 1; p[last] != ':'; last--) {
        /* void */
    }

    if (last == first) {
        return ACR_INVALID;
    }

    type.data = p;
    type.len = first;

    name.data = p + first + 1;
    name.len = last - first - 1;

    actions.data = p + last + 1;
    actions.len = len - last - 1;

    if (acr_scope_type(&type) != ACR_OK
        || actions.len > ACR_SCOPE_ACTIONS_MAX)
    {
        return ACR_INVALID;
    }

    if (acr_scope_is(type.data, type.len, "repository")) {

        if (!acr_name_valid(name.data, name.len)
            && !acr_scope_is(name.data, name.len, "*"))
        {
            return ACR_INVALID;
        }

        scope->name = name;
        scope->may = acr_scope_may(actions);

        return ACR_OK;
    }

    if (acr_scope_is(type.data, type.len, "registry")) {
        scope->may = acr_scope_may_registry(&name, actions);
    }

    return ACR_OK;
}


static unsigned char *
acr_scope_copy(unsigned char *b, const void *p, size_t n)
{
    memcpy(b, p, n);

    return b + n;
}


size_t
acr_scope_print(unsigned char *buf, const acr_scope_t *scope)
{
    unsigned char               *b;
    const acr_scope_action_t    *action;
    const acr_scope_registry_t  *registry;

    for (registry = acr_scope_registries; registry->name; registry++) {
        if (scope->may & registry->bit) {
            b = acr_scope_copy(buf, registry->scope, strlen(registry->scope));
            return (size_t) (b - buf);
        }
    }

    if (scope->name.len == 0 || scope->name.len > ACR_NAME_MAX) {
        return 0;
    }

    b = acr_scope_copy(buf, "repository:", sizeof("repository:") - 1);
    b = acr_scope_copy(b, scope->name.data, scope->name.len);
    *b++ = ':';

    for (action = acr_scope_actions; action->name; action++) {

        if (!(scope->may & action->bit)) {
            continue;
        }

        if (b[-1] != ':') {
            *b++ = ',';
        }

        b = acr_scope_copy(b, action->name, strlen(action->name));
    }

    return (size_t) (b - buf);
}


const char *
acr_scope_action(unsigned bit)
{
    const acr_scope_action_t  *action;

    for (action = acr_scope_actions; action->name; action++) {
        if (action->bit == bit) {
            return action->name;
        }
    }

    return NULL;
}


const char *
acr_scope_registry(unsigned bit, const char **action)
{
    const acr_scope_registry_t  *registry;

    for (registry = acr_scope_registries; registry->name; registry++) {
        if (registry->bit == bit) {
            *action = registry->action;
            return registry->name;
        }
    }

    return NULL;
}


int
acr_pattern_valid(const unsigned char *p, size_t n)
{
    if (acr_scope_is(p, n, "*")) {
        return 1;
    }

    if (n > ACR_NAME_MAX) {
        return 0;
    }

    if (n > 2 && p[n - 2] == '/' && p[n - 1] == '*') {
        n -= 2;
    }

    return acr_name_valid(p, n);
}


int
acr_pattern_match(const acr_text_t *pattern, const acr_text_t *repository)
{
    size_t  n;

    n = pattern->len;

    if (n == 0 || repository->len == 0) {
        return 0;
    }

    if (pattern->data[n - 1] == '*') {

        /* what is before the star, with its slash, and something below it */

        n--;

        return repository->len > n
               && memcmp(repository->data, pattern->data, n) == 0;
    }

    return repository->len == n
           && memcmp(repository->data, pattern->data, n) == 0;
}


int
acr_right_parse(const unsigned char *p, size_t n, acr_text_t *pattern,
    unsigned *bit)
{
    size_t                     len;
    const acr_scope_action_t  *action;

    acr_scope_clear(pattern);
    *bit = 0;

    if (acr_scope_is(p, n, ACR_RIGHT_EVENTS)) {
        pattern->data = (const unsigned char *) "*";
        pattern->len = 1;
        *bit = ACR_MAY_EVENTS;

        return ACR_OK;
    }

    len = sizeof("repositories/") - 1;

    if (n >= len && memcmp(p, "repositories/", len) == 0) {
        p += len;
        n -= len;
    }

    for (action = acr_scope_actions; action->name; action++) {
        len = strlen(action->right);

        if (n <= len || memcmp(p + n - len, action->right, len) != 0) {
            continue;
        }

        if (!acr_pattern_valid(p, n - len)) {
            return ACR_INVALID;
        }

        pattern->data = p;
        pattern->len = n - len;
        *bit = action->bit;

        return ACR_OK;
    }

    return ACR_INVALID;
}
