
#include <string.h>

#include "acr_attributes.h"


typedef struct {
    const char     *name;
    unsigned        bit;
    unsigned char   letter;
} acr_attribute_t;


static const acr_attribute_t  acr_attribute_table[] = {
    { "deleteEnabled", ACR_ATTRIBUTE_DELETE, 'd' },
    { "writeEnabled", ACR_ATTRIBUTE_WRITE, 'w' },
    { "listEnabled", ACR_ATTRIBUTE_LIST, 'l' },
    { "readEnabled", ACR_ATTRIBUTE_READ, 'r' }
};

#define ACR_ATTRIBUTES_N                                                     \
    (sizeof(acr_attribute_table) / sizeof(acr_attribute_table[0]))


static int acr_attributes_state(const acr_text_t *state);
static int acr_attributes_member(acr_attributes_change_t *change,
    const char *name, json_t *value, int quarantine, const char **error);
static const acr_attribute_t *acr_attributes_find(const char *name);


/* takes the text before the next space off *rest; 0: there is no space */

static int
acr_attributes_word(acr_text_t *rest, acr_text_t *word)
{
    const unsigned char  *p;

    p = rest->len ? memchr(rest->data, ' ', rest->len) : NULL;

    if (p == NULL) {
        return 0;
    }

    word->data = rest->data;
    word->len = (size_t) (p - rest->data);

    rest->data = p + 1;
    rest->len -= word->len + 1;

    return 1;
}


int
acr_attributes_parse(acr_attributes_t *attributes, const unsigned char *p,
    size_t n)
{
    size_t      i, at;
    acr_text_t  rest, off, state;

    memset(attributes, 0, sizeof(acr_attributes_t));

    if (n == 0) {
        return ACR_OK;
    }

    rest.data = p;
    rest.len = n;

    if (!acr_attributes_word(&rest, &off)
        || !acr_attributes_word(&rest, &state)
        || rest.len > ACR_ATTRIBUTES_DETAILS_MAX)
    {
        return ACR_INVALID;
    }

    /* in the order of the table, each once */

    at = 0;

    for (i = 0; i < ACR_ATTRIBUTES_N; i++) {

        if (at < off.len && off.data[at] == acr_attribute_table[i].letter) {
            attributes->off |= acr_attribute_table[i].bit;
            at++;
        }
    }

    if (off.len == 1 && off.data[0] == '-') {
        at = 1;
    }

    if (at == 0 || at != off.len) {
        return ACR_INVALID;
    }

    if (!(state.len == 1 && state.data[0] == '-')) {

        if (!acr_attributes_state(&state)) {
            return ACR_INVALID;
        }

        attributes->state = state;
    }

    attributes->details = rest;

    return ACR_OK;
}


static int
acr_attributes_state(const acr_text_t *state)
{
    return state->len == 6 && (memcmp(state->data, "Passed", 6) == 0
                               || memcmp(state->data, "Failed", 6) == 0);
}


size_t
acr_attributes_letters(unsigned char *buf, unsigned attributes)
{
    size_t  i, n;

    n = 0;

    for (i = 0; i < ACR_ATTRIBUTES_N; i++) {

        if (attributes & acr_attribute_table[i].bit) {
            buf[n++] = acr_attribute_table[i].letter;
        }
    }

    return n;
}


json_t *
acr_attributes_json(const acr_attributes_t *attributes)
{
    size_t   i;
    json_t  *root;

    root = json_object();

    for (i = 0; root && i < ACR_ATTRIBUTES_N; i++) {

        if (json_object_set_new(root, acr_attribute_table[i].name,
                                json_boolean(!(attributes->off
                                               & acr_attribute_table[i].bit)))
            != 0)
        {
            goto failed;
        }
    }

    if (root && attributes->state.len
        && json_object_set_new(root, "quarantineState",
                               json_stringn((const char *)
                                            attributes->state.data,
                                            attributes->state.len))
           != 0)
    {
        goto failed;
    }

    if (root && attributes->details.len
        && json_object_set_new(root, "quarantineDetails",
                               json_stringn((const char *)
                                            attributes->details.data,
                                            attributes->details.len))
           != 0)
    {
        goto failed;
    }

    return root;

failed:

    json_decref(root);

    return NULL;
}


int
acr_attributes_load(unsigned char *buf, size_t *len, const unsigned char *p,
    size_t n)
{
    int                       rc;
    size_t                    i;
    json_t                   *root, *value;
    const char               *name, *error;
    unsigned char            *end;
    acr_attributes_change_t   c;

    *len = 0;

    rc = acr_json_load(&root, p, n, &error);

    if (rc != ACR_OK) {
        return rc;
    }

    memset(&c, 0, sizeof(acr_attributes_change_t));
    c.root = root;

    json_object_foreach(root, name, value) {
        rc = acr_attributes_member(&c, name, value, 1, &error);

        if (rc == ACR_INVALID) {
            json_decref(root);
            return rc;
        }
    }

    if (c.off || c.state.len || c.details.len) {
        end = buf + acr_attributes_letters(buf, c.off);

        if (c.off == 0) {
            *end++ = '-';
        }

        *end++ = ' ';

        if (c.state.len == 0) {
            *end++ = '-';
        }

        for (i = 0; i < c.state.len; i++) {
            *end++ = c.state.data[i];
        }

        *end++ = ' ';

        if (c.details.len) {
            memcpy(end, c.details.data, c.details.len);
            end += c.details.len;
        }

        *len = (size_t) (end - buf);
    }

    json_decref(root);

    return ACR_OK;
}


int
acr_attributes_change(acr_attributes_change_t *change,
    const unsigned char *p, size_t n, int quarantine, const char **error)
{
    int          rc;
    json_t      *value;
    const char  *name;

    memset(change, 0, sizeof(acr_attributes_change_t));

    rc = acr_json_load(&change->root, p, n, error);

    if (rc != ACR_OK) {
        return rc;
    }

    json_object_foreach(change->root, name, value) {
        rc = acr_attributes_member(change, name, value, quarantine, error);

        if (rc == ACR_UNSUPPORTED) {
            *error = "there is no such attribute";
            return ACR_INVALID;
        }

        if (rc != ACR_OK) {
            return rc;
        }
    }

    return ACR_OK;
}


void
acr_attributes_change_free(acr_attributes_change_t *change)
{
    json_decref(change->root);
    change->root = NULL;
}


/* ACR_UNSUPPORTED: nothing is known of this name */

static int
acr_attributes_member(acr_attributes_change_t *change, const char *name,
    json_t *value, int quarantine, const char **error)
{
    const acr_attribute_t  *attribute;

    attribute = acr_attributes_find(name);

    if (attribute) {

        if (!json_is_boolean(value)) {
            *error = "an attribute is neither true nor false";
            return ACR_INVALID;
        }

        if (json_is_true(value)) {
            change->on |= attribute->bit;

        } else {
            change->off |= attribute->bit;
        }

        return ACR_OK;
    }

    if (quarantine && strcmp(name, "quarantineState") == 0) {
        change->state = acr_json_text(value);

        if (!acr_attributes_state(&change->state)) {
            *error = "quarantineState is neither Passed nor Failed";
            return ACR_INVALID;
        }

        return ACR_OK;
    }

    if (quarantine && strcmp(name, "quarantineDetails") == 0) {
        change->details = acr_json_text(value);
        change->detailed = 1;

        if (!json_is_string(value)
            || change->details.len > ACR_ATTRIBUTES_DETAILS_MAX)
        {
            *error = "quarantineDetails is no string, or too long";
            return ACR_INVALID;
        }

        return ACR_OK;
    }

    return ACR_UNSUPPORTED;
}


static const acr_attribute_t *
acr_attributes_find(const char *name)
{
    size_t  i;

    for (i = 0; i < ACR_ATTRIBUTES_N; i++) {

        if (strcmp(name, acr_attribute_table[i].name) == 0) {
            return &acr_attribute_table[i];
        }
    }

    return NULL;
}
