
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "acr_error.h"
#include "acr_manifest.h"


#define ACR_MANIFEST_OCI_IMAGE                                               \
    "application/vnd.oci.image.manifest.v1+json"
#define ACR_MANIFEST_OCI_INDEX                                               \
    "application/vnd.oci.image.index.v1+json"

#define ACR_MANIFEST_MEDIA_NAME_MAX  127    /* RFC 6838 section 4.2 */


/*
 * What is known of a media type: the field with its references.  A manifest
 * that also has another type's fields could be taken for that type by a
 * client which does not look at the media type (CVE-2021-41190).
 */

typedef struct {
    const char           *media_type;
    acr_manifest_kind_e   kind;
    unsigned              version:1;    /* schemaVersion is required */
    unsigned              required:1;   /* as is the list */
    const char           *list;
    const char           *foreign[3];   /* fields of other types */
} acr_manifest_type_t;


typedef struct {
    const char           *name;
    json_type             type;
    unsigned              required:1;
} acr_manifest_field_t;


static const acr_manifest_type_t  acr_manifest_types[] = {

    { ACR_MANIFEST_OCI_IMAGE,
      ACR_MANIFEST_IMAGE, 1, 1, "layers", { "manifests", NULL, NULL } },

    { ACR_MANIFEST_OCI_INDEX,
      ACR_MANIFEST_INDEX, 1, 1, "manifests", { "config", "layers", NULL } },

    { "application/vnd.docker.distribution.manifest.v2+json",
      ACR_MANIFEST_IMAGE, 1, 1, "layers", { "manifests", NULL, NULL } },

    { "application/vnd.docker.distribution.manifest.list.v2+json",
      ACR_MANIFEST_INDEX, 1, 1, "manifests", { "config", "layers", NULL } },

    /* was only in release candidates of OCI image-spec 1.1, yet was pushed */

    { "application/vnd.oci.artifact.manifest.v1+json",
      ACR_MANIFEST_OTHER, 0, 0, "blobs", { "manifests", "config", "layers" } }
};


/* mediaType, digest and size are looked at more closely elsewhere */

static const acr_manifest_field_t  acr_manifest_descriptor_fields[] = {
    { "mediaType", JSON_STRING, 1 },
    { "digest", JSON_STRING, 1 },
    { "size", JSON_INTEGER, 1 },
    { "urls", JSON_ARRAY, 0 },
    { "annotations", JSON_OBJECT, 0 },
    { "artifactType", JSON_STRING, 0 },
    { "data", JSON_STRING, 0 },
    { "platform", JSON_OBJECT, 0 }
};


/* media types of layers that may not be distributed: beginnings */

static const char  *acr_manifest_optional[] = {
    "application/vnd.oci.image.layer.nondistributable.",
    "application/vnd.docker.image.rootfs.foreign."
};


static int
acr_manifest_fail(acr_manifest_t *m, const char *error)
{
    m->error = error;
    return ACR_INVALID;
}


static int
acr_manifest_nomem(acr_manifest_t *m)
{
    m->error = "not enough memory";
    return ACR_NOMEM;
}


static void
acr_manifest_text(acr_text_t *text, const char *s)
{
    text->data = (const unsigned char *) s;
    text->len = strlen(s);
}


static unsigned char
acr_manifest_lower(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') ? (unsigned char) (c | 0x20) : c;
}


/* 1 if the text begins with s; media types have no case */

static int
acr_manifest_begins(const acr_text_t *text, const char *s)
{
    size_t  i, len;

    len = strlen(s);

    if (text->len < len) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (acr_manifest_lower(text->data[i])
            != acr_manifest_lower((unsigned char) s[i]))
        {
            return 0;
        }
    }

    return 1;
}


static int
acr_manifest_is(const acr_text_t *text, const char *s)
{
    return text->len == strlen(s) && acr_manifest_begins(text, s);
}


static char *
acr_manifest_copy(const acr_text_t *text)
{
    char  *s;

    s = malloc(text->len + 1);

    if (s == NULL) {
        return NULL;
    }

    memcpy(s, text->data, text->len);
    s[text->len] = '\0';

    return s;
}


/*
 * Depth is checked before the parser recurses.  Text that is no JSON may be
 * measured wrongly here, but then the parser refuses it.
 */

static int
acr_manifest_too_deep(const unsigned char *p, size_t n)
{
    int       string;
    size_t    i;
    unsigned  depth;

    depth = 0;
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

            if (++depth > ACR_MANIFEST_DEPTH_MAX) {
                return 1;
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

    return 0;
}


static int
acr_manifest_load(acr_manifest_t *m, json_t **root, const unsigned char *p,
    size_t n)
{
    json_error_t  error;

    if (acr_manifest_too_deep(p, n)) {
        return acr_manifest_fail(m, "manifest is nested too deeply");
    }

    memset(&error, 0, sizeof(json_error_t));

    *root = json_loadb((const char *) p, n, JSON_REJECT_DUPLICATES, &error);

    if (*root == NULL) {

        /* some failed allocations of jansson leave no text at all */

        if (error.text[0] == '\0'
            || json_error_code(&error) == json_error_out_of_memory)
        {
            return acr_manifest_nomem(m);
        }

        if (json_error_code(&error) == json_error_duplicate_key) {
            return acr_manifest_fail(m, "a key occurs twice in an object");
        }

        return acr_manifest_fail(m, "manifest is not valid JSON");
    }

    if (!json_is_object(*root)) {
        return acr_manifest_fail(m, "manifest is not a JSON object");
    }

    return ACR_OK;
}


/* the media type in a Content-Type; empty if that says nothing */

static int
acr_manifest_content_type(acr_manifest_t *m, acr_text_t *type,
    const unsigned char *p, size_t n)
{
    size_t  len;

    for (len = 0; len < n && p[len] != ';'; len++) {
        /* void */
    }

    while (len && (p[len - 1] == ' ' || p[len - 1] == '\t')) {
        len--;
    }

    while (len && (*p == ' ' || *p == '\t')) {
        p++;
        len--;
    }

    type->data = p;
    type->len = len;

    if (len == 0) {
        return ACR_OK;
    }

    if (!acr_media_type_valid(p, len)) {
        return acr_manifest_fail(m, "Content-Type is not a media type");
    }

    if (acr_manifest_is(type, "application/octet-stream")
        || acr_manifest_is(type, "application/json")
        || acr_manifest_begins(type, "text/"))
    {
        type->len = 0;
    }

    return ACR_OK;
}


/* finds out the media type; *type is set if it is one that we know */

static int
acr_manifest_media_type(acr_manifest_t *m, json_t *root,
    const acr_text_t *content_type, const acr_manifest_type_t **type)
{
    size_t      i;
    json_t     *field, *version;
    acr_text_t  media_type;

    field = json_object_get(root, "mediaType");
    version = json_object_get(root, "schemaVersion");

    if (field) {

        if (!json_is_string(field)) {
            return acr_manifest_fail(m, "mediaType is not a string");
        }

        acr_manifest_text(&media_type, json_string_value(field));

        if (!acr_media_type_valid(media_type.data, media_type.len)) {
            return acr_manifest_fail(m, "mediaType is not a media type");
        }

        if (content_type->len
            && !acr_manifest_is(content_type, json_string_value(field)))
        {
            return acr_manifest_fail(m, "mediaType contradicts Content-Type");
        }

    } else if (content_type->len) {
        media_type = *content_type;

    } else if (json_is_integer(version) && json_integer_value(version) == 1) {
        return acr_manifest_fail(m, "Docker schema 1 is not supported");

    } else if (json_object_get(root, "manifests")) {
        acr_manifest_text(&media_type, ACR_MANIFEST_OCI_INDEX);

    } else if (json_object_get(root, "config")) {
        acr_manifest_text(&media_type, ACR_MANIFEST_OCI_IMAGE);

    } else {
        return acr_manifest_fail(m, "manifest has no media type");
    }

    if (acr_manifest_begins(&media_type,
                     "application/vnd.docker.distribution.manifest.v1+"))
    {
        return acr_manifest_fail(m, "Docker schema 1 is not supported");
    }

    m->media_type = acr_manifest_copy(&media_type);

    if (m->media_type == NULL) {
        return acr_manifest_nomem(m);
    }

    *type = NULL;
    m->kind = ACR_MANIFEST_OTHER;

    for (i = 0;
         i < sizeof(acr_manifest_types) / sizeof(acr_manifest_types[0]);
         i++)
    {
        if (acr_manifest_is(&media_type, acr_manifest_types[i].media_type)) {
            *type = &acr_manifest_types[i];
            m->kind = (*type)->kind;
            break;
        }
    }

    if (*type == NULL || (version == NULL && !(*type)->version)) {
        return ACR_OK;
    }

    if (!json_is_integer(version) || json_integer_value(version) != 2) {
        return acr_manifest_fail(m, "schemaVersion is not 2");
    }

    return ACR_OK;
}


/* 1 if all values of an object are strings, as those of annotations are */

static int
acr_manifest_strings(json_t *object)
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


static int
acr_manifest_read_descriptor(acr_manifest_t *m, json_t *object,
    acr_reference_t *reference)
{
    int                          rc;
    size_t                       i, n;
    json_t                      *value;
    acr_text_t                   text;
    const acr_manifest_field_t  *field;

    memset(reference, 0, sizeof(acr_reference_t));

    if (!json_is_object(object)) {
        return acr_manifest_fail(m, "a descriptor is not an object");
    }

    n = sizeof(acr_manifest_descriptor_fields)
        / sizeof(acr_manifest_descriptor_fields[0]);

    for (i = 0; i < n; i++) {
        field = &acr_manifest_descriptor_fields[i];
        value = json_object_get(object, field->name);

        if (value == NULL) {

            if (field->required) {
                return acr_manifest_fail(m, "a descriptor has no mediaType, "
                                            "digest or size");
            }

        } else if (json_typeof(value) != field->type) {
            return acr_manifest_fail(m, "a descriptor has a field of a wrong "
                                        "type");
        }
    }

    value = json_object_get(object, "annotations");

    if (value && !acr_manifest_strings(value)) {
        return acr_manifest_fail(m, "an annotation is not a string");
    }

    value = json_object_get(object, "mediaType");
    acr_manifest_text(&text, json_string_value(value));

    if (!acr_media_type_valid(text.data, text.len)) {
        return acr_manifest_fail(m, "a descriptor has a bad mediaType");
    }

    n = sizeof(acr_manifest_optional) / sizeof(acr_manifest_optional[0]);

    for (i = 0; i < n; i++) {
        if (acr_manifest_begins(&text, acr_manifest_optional[i])) {
            reference->optional = 1;
        }
    }

    value = json_object_get(object, "urls");

    if (value && json_array_size(value)) {

        for (i = 0; i < json_array_size(value); i++) {
            if (!json_is_string(json_array_get(value, i))) {
                return acr_manifest_fail(m, "a URL is not a string");
            }
        }

        reference->optional = 1;
    }

    value = json_object_get(object, "size");

    if (json_integer_value(value) < 0) {
        return acr_manifest_fail(m, "a descriptor has a negative size");
    }

    reference->size = (uint64_t) json_integer_value(value);

    value = json_object_get(object, "digest");
    acr_manifest_text(&text, json_string_value(value));

    rc = acr_digest_parse(&reference->digest, text.data, text.len);

    if (rc == ACR_UNSUPPORTED) {
        m->error = "a digest has an algorithm that is not supported";

    } else if (rc != ACR_OK) {
        m->error = "a descriptor has a bad digest";
    }

    return rc;
}


static int
acr_manifest_add(acr_manifest_t *m, const acr_reference_t *reference)
{
    size_t            i;
    acr_reference_t  *r;

    for (i = 0; i < m->nreferences; i++) {
        r = &m->references[i];

        if (!acr_digest_equal(&r->digest, &reference->digest)) {
            continue;
        }

        if (r->size != reference->size) {
            return acr_manifest_fail(m, "a digest occurs with two sizes");
        }

        /* required once is required */

        r->optional &= reference->optional;

        return ACR_OK;
    }

    m->references[m->nreferences++] = *reference;

    return ACR_OK;
}


static int
acr_manifest_references(acr_manifest_t *m, json_t *root,
    const acr_manifest_type_t *type)
{
    int              rc;
    size_t           i, n;
    json_t          *config, *list;
    acr_reference_t  reference;

    for (i = 0; i < sizeof(type->foreign) / sizeof(type->foreign[0]); i++) {
        if (type->foreign[i] && json_object_get(root, type->foreign[i])) {
            return acr_manifest_fail(m, "manifest has a field that belongs "
                                        "to another media type");
        }
    }

    list = json_object_get(root, type->list);

    if (list ? !json_is_array(list) : type->required) {
        return acr_manifest_fail(m, "manifest has no list of layers, blobs "
                                    "or manifests");
    }

    n = json_array_size(list);
    config = NULL;

    if (type->kind == ACR_MANIFEST_IMAGE) {
        config = json_object_get(root, "config");

        if (config == NULL) {
            return acr_manifest_fail(m, "manifest has no config");
        }

        n++;
    }

    if (n > ACR_MANIFEST_REFERENCES_MAX) {
        return acr_manifest_fail(m, "manifest has too many references");
    }

    if (n == 0) {
        return ACR_OK;
    }

    m->references = malloc(n * sizeof(acr_reference_t));

    if (m->references == NULL) {
        return acr_manifest_nomem(m);
    }

    if (config) {
        rc = acr_manifest_read_descriptor(m, config, &reference);

        if (rc != ACR_OK) {
            return rc;
        }

        /* only layers may be missing */

        reference.optional = 0;

        rc = acr_manifest_add(m, &reference);

        if (rc != ACR_OK) {
            return rc;
        }
    }

    for (i = 0; i < json_array_size(list); i++) {
        rc = acr_manifest_read_descriptor(m, json_array_get(list, i),
                                          &reference);

        if (rc != ACR_OK) {
            return rc;
        }

        if (type->kind == ACR_MANIFEST_INDEX) {
            reference.manifest = 1;
            reference.optional = 0;
        }

        rc = acr_manifest_add(m, &reference);

        if (rc != ACR_OK) {
            return rc;
        }
    }

    return ACR_OK;
}


/* what the referrers API needs, which manifests of any type may have */

static int
acr_manifest_referrer(acr_manifest_t *m, json_t *root)
{
    int              rc;
    json_t          *value;
    acr_text_t       text;
    acr_reference_t  reference;

    value = json_object_get(root, "subject");

    if (value) {
        rc = acr_manifest_read_descriptor(m, value, &reference);

        if (rc != ACR_OK) {
            return rc;
        }

        m->has_subject = 1;
        m->subject = reference.digest;
    }

    value = json_object_get(root, "artifactType");

    if (value && !json_is_string(value)) {
        return acr_manifest_fail(m, "artifactType is not a string");
    }

    if (json_string_length(value) == 0) {
        value = NULL;

        if (m->kind == ACR_MANIFEST_IMAGE) {
            value = json_object_get(json_object_get(root, "config"),
                                    "mediaType");
        }
    }

    if (value) {
        acr_manifest_text(&text, json_string_value(value));

        m->artifact_type = acr_manifest_copy(&text);

        if (m->artifact_type == NULL) {
            return acr_manifest_nomem(m);
        }
    }

    value = json_object_get(root, "annotations");

    if (value == NULL) {
        return ACR_OK;
    }

    if (!json_is_object(value)) {
        return acr_manifest_fail(m, "annotations is not an object");
    }

    if (!acr_manifest_strings(value)) {
        return acr_manifest_fail(m, "an annotation is not a string");
    }

    if (json_object_size(value) == 0) {
        return ACR_OK;
    }

    m->annotations = json_dumps(value, JSON_COMPACT);

    if (m->annotations == NULL) {
        return acr_manifest_nomem(m);
    }

    return ACR_OK;
}


int
acr_manifest_parse(acr_manifest_t *m, const unsigned char *p, size_t n,
    const unsigned char *content_type, size_t content_type_len)
{
    int                         rc;
    json_t                     *root;
    acr_text_t                  type;
    const acr_manifest_type_t  *known;

    memset(m, 0, sizeof(acr_manifest_t));

    root = NULL;
    known = NULL;

    rc = acr_manifest_content_type(m, &type, content_type, content_type_len);

    if (rc == ACR_OK) {
        rc = acr_manifest_load(m, &root, p, n);
    }

    if (rc == ACR_OK) {
        rc = acr_manifest_media_type(m, root, &type, &known);
    }

    if (rc == ACR_OK && known) {
        rc = acr_manifest_references(m, root, known);
    }

    if (rc == ACR_OK) {
        rc = acr_manifest_referrer(m, root);
    }

    json_decref(root);

    return rc;
}


void
acr_manifest_free(acr_manifest_t *m)
{
    free(m->media_type);
    free(m->artifact_type);
    free(m->references);
    free(m->annotations);

    memset(m, 0, sizeof(acr_manifest_t));
}


static unsigned char *
acr_manifest_put(unsigned char *p, const char *s)
{
    size_t  len;

    len = strlen(s);
    memcpy(p, s, len);

    return p + len;
}


static unsigned char *
acr_manifest_put_escaped(unsigned char *p, const char *s)
{
    return p + acr_json_escape(p, (const unsigned char *) s, strlen(s));
}


char *
acr_manifest_descriptor(const acr_manifest_t *m, const acr_digest_t *digest,
    uint64_t size)
{
    size_t          len, i;
    unsigned char  *buf, *p, number[20];

    /* what stands around the values is far below 256 bytes */

    len = 256 + ACR_DIGEST_MAX + 6 * strlen(m->media_type);

    if (m->artifact_type) {
        len += 6 * strlen(m->artifact_type);
    }

    if (m->annotations) {
        len += strlen(m->annotations);
    }

    buf = malloc(len);

    if (buf == NULL) {
        return NULL;
    }

    p = acr_manifest_put(buf, "{\"mediaType\":\"");
    p = acr_manifest_put_escaped(p, m->media_type);

    p = acr_manifest_put(p, "\",\"digest\":\"");
    p += acr_digest_print(p, digest);

    p = acr_manifest_put(p, "\",\"size\":");

    i = sizeof(number);

    do {
        number[--i] = (unsigned char) ('0' + size % 10);
        size /= 10;
    } while (size);

    memcpy(p, number + i, sizeof(number) - i);
    p += sizeof(number) - i;

    if (m->artifact_type) {
        p = acr_manifest_put(p, ",\"artifactType\":\"");
        p = acr_manifest_put_escaped(p, m->artifact_type);
        p = acr_manifest_put(p, "\"");
    }

    if (m->annotations) {
        p = acr_manifest_put(p, ",\"annotations\":");
        p = acr_manifest_put(p, m->annotations);
    }

    p = acr_manifest_put(p, "}");
    *p = '\0';

    return (char *) buf;
}


/* the length of RFC 6838's restricted-name at p, or 0 */

static size_t
acr_media_type_name(const unsigned char *p, size_t n)
{
    size_t         i;
    unsigned char  c;

    for (i = 0; i < n; i++) {
        c = acr_manifest_lower(p[i]);

        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
            continue;
        }

        if (i == 0 || c == '\0' || strchr("!#$&-^_.+", c) == NULL) {
            break;
        }
    }

    return i > ACR_MANIFEST_MEDIA_NAME_MAX ? 0 : i;
}


int
acr_media_type_valid(const unsigned char *p, size_t n)
{
    size_t  len;

    len = acr_media_type_name(p, n);

    if (len == 0 || len == n || p[len] != '/') {
        return 0;
    }

    p += len + 1;
    n -= len + 1;

    return n != 0 && acr_media_type_name(p, n) == n;
}
