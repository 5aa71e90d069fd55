
#include "acr_json.h"


/*
 * Text that is no JSON may be measured wrongly here, but only behind the
 * place where the parser will stop.
 */

static const char *
acr_json_measure(const unsigned char *p, size_t n, size_t values_max)
{
    int     string;
    size_t  i, depth, values;

    depth = 0;
    values = 0;
    string = 0;

    for (i = 0; i < n; i++) {

        if (string) {

            if (p[i] == '\\') {
                i++;

            } else if (p[i] == '"') {
                string = 0;
            }

            continue;
        }

        switch (p[i]) {

        case '"':
            string = 1;
            break;

        case '{':
        case '[':

            if (++depth > ACR_JSON_DEPTH_MAX) {
                return "JSON is nested too deeply";
            }

            /* fall through */

        case ',':

            /* a value stands behind a comma or is the first of its list */

            if (++values > values_max) {
                return "JSON has too many values";
            }

            break;

        case '}':
        case ']':

            if (depth) {
                depth--;
            }

            break;
        }
    }

    return NULL;
}


int
acr_json_load(json_t **root, const unsigned char *p, size_t n,
    const char **error)
{
    return acr_json_load_many(root, p, n, ACR_JSON_VALUES_MAX, error);
}


int
acr_json_load_many(json_t **root, const unsigned char *p, size_t n,
    size_t values_max, const char **error)
{
    json_error_t  e;

    *root = NULL;
    *error = acr_json_measure(p, n, values_max);

    if (*error) {
        return ACR_INVALID;
    }

    e.text[0] = '\0';

    *root = json_loadb((const char *) p, n, JSON_REJECT_DUPLICATES, &e);

    if (*root == NULL) {

        /* some failed allocations of jansson leave no text at all */

        if (e.text[0] == '\0'
            || json_error_code(&e) == json_error_out_of_memory)
        {
            *error = "not enough memory";
            return ACR_NOMEM;
        }

        *error = json_error_code(&e) == json_error_duplicate_key
                 ? "a key occurs twice in a JSON object"
                 : "not valid JSON";
        return ACR_INVALID;
    }

    if (!json_is_object(*root)) {
        json_decref(*root);
        *root = NULL;
        *error = "not a JSON object";
        return ACR_INVALID;
    }

    return ACR_OK;
}


json_t *
acr_json_get(const json_t *object, const char *key)
{
    json_t  *value;

    value = json_object_get(object, key);

    return json_is_null(value) ? NULL : value;
}


int
acr_json_strings(json_t *object)
{
    json_t      *value;
    const char  *key;

    json_object_foreach(object, key, value) {
        if (!json_is_string(value)) {
            return 0;
        }
    }

    return 1;
}


acr_text_t
acr_json_text(const json_t *string)
{
    acr_text_t  text;

    text.data = (const unsigned char *) json_string_value(string);
    text.len = json_string_length(string);

    return text;
}
