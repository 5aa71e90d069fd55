
#include <string.h>

#include "acr_descriptor.h"
#include "acr_media_type.h"


typedef struct {
    const char  *name;
    json_type    type;
    unsigned     required:1;
} acr_descriptor_field_t;


static const acr_descriptor_field_t  acr_descriptor_fields[] = {
    { "mediaType", JSON_STRING, 1 },
    { "digest", JSON_STRING, 1 },
    { "size", JSON_INTEGER, 1 },
    { "urls", JSON_ARRAY, 0 },
    { "annotations", JSON_OBJECT, 0 },
    { "artifactType", JSON_STRING, 0 },
    { "data", JSON_STRING, 0 },
    { "platform", JSON_OBJECT, 0 }
};

#define ACR_DESCRIPTOR_FIELDS                                                \
    (sizeof(acr_descriptor_fields) / sizeof(acr_descriptor_fields[0]))


static const char *
acr_descriptor_check(const json_t *object)
{
    size_t                         i;
    json_t                        *value, *urls;
    const acr_descriptor_field_t  *field;

    if (!json_is_object(object)) {
        return "a descriptor is not an object";
    }

    for (i = 0; i < ACR_DESCRIPTOR_FIELDS; i++) {
        field = &acr_descriptor_fields[i];
        value = acr_json_get(object, field->name);

        if (value == NULL && field->required) {
            return "a descriptor has no mediaType, digest or size";
        }

        if (value && json_typeof(value) != field->type) {
            return "a descriptor has a field of a wrong type";
        }
    }

    if (!acr_json_strings(acr_json_get(object, "annotations"))) {
        return "an annotation is not a string";
    }

    urls = acr_json_get(object, "urls");

    json_array_foreach(urls, i, value) {
        if (!json_is_string(value)) {
            return "a URL is not a string";
        }
    }

    if (json_integer_value(json_object_get(object, "size")) < 0) {
        return "a descriptor has a negative size";
    }

    return NULL;
}


int
acr_descriptor_read(acr_reference_t *reference, const json_t *object,
    const char **error)
{
    int         rc;
    acr_text_t  text;

    memset(reference, 0, sizeof(acr_reference_t));

    *error = acr_descriptor_check(object);

    if (*error) {
        return ACR_INVALID;
    }

    /* tools that ask the system for a file's type get it with a charset */

    text = acr_json_text(json_object_get(object, "mediaType"));
    text = acr_media_type_bare(text.data, text.len);

    if (!acr_media_type_valid(text.data, text.len)) {
        *error = "a descriptor has a bad mediaType";
        return ACR_INVALID;
    }

    reference->optional =
        acr_text_begins(&text,
                         "application/vnd.oci.image.layer.nondistributable.")
        || acr_text_begins(&text,
                         "application/vnd.docker.image.rootfs.foreign.");

    reference->size = (uint64_t)
        json_integer_value(json_object_get(object, "size"));

    text = acr_json_text(json_object_get(object, "digest"));

    rc = acr_digest_parse(&reference->digest, text.data, text.len);

    if (rc == ACR_UNSUPPORTED) {
        *error = "a digest has an algorithm that is not supported";

    } else if (rc != ACR_OK) {
        *error = "a descriptor has a bad digest";
    }

    return rc;
}
