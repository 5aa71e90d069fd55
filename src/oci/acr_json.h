
/*
 * JSON that strangers wrote.  What the parser makes of a text takes up to
 * eighty times the memory of the text, and its recursion is deep, so both
 * are bounded before it runs.
 */

#ifndef ACR_JSON_H
#define ACR_JSON_H

#include <jansson.h>

#include "acr_core.h"

#define ACR_JSON_DEPTH_MAX   32
#define ACR_JSON_VALUES_MAX  65536

/*
 * Reads a JSON object.  ACR_OK; ACR_INVALID, with *error set to a static
 * text, if it is no JSON object, is nested deeper than ACR_JSON_DEPTH_MAX, has
 * more than ACR_JSON_VALUES_MAX values, a key twice in an object, a zero byte
 * in a string, or a number beyond int64_t or double; ACR_NOMEM.
 * The caller releases *root with json_decref(); it is NULL unless ACR_OK.
 */
int acr_json_load(json_t **root, const unsigned char *p, size_t n,
    const char **error);

/* the same with another limit than ACR_JSON_VALUES_MAX, for our own files */
int acr_json_load_many(json_t **root, const unsigned char *p, size_t n,
    size_t values_max, const char **error);

/*
 * A member of an object, or NULL if there is none or it is null: Go's encoder
 * writes null for what was left empty, and its decoder takes it for nothing.
 */
json_t *acr_json_get(const json_t *object, const char *key);

/* 1 if every value of the object is a string, else 0 */
int acr_json_strings(json_t *object);

/* the bytes of a string, which go with it */
acr_text_t acr_json_text(const json_t *string);

#endif /* ACR_JSON_H */
