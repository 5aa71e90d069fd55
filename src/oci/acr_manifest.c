
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acr_descriptor.h"
#include "acr_error.h"
#include "acr_json.h"
#include "acr_manifest.h"
#include "acr_media_type.h"


#define ACR_MANIFEST_OCI_IMAGE                                               \
    "application/vnd.oci.image.manifest.v1+json"
#define ACR_MANIFEST_OCI_INDEX                                               \
    "application/vnd.oci.image.index.v1+json"

/* the beginning of its media types */
#define ACR_MANIFEST_DOCKER_SCHEMA1                                          \
    "application/vnd.docker.distribution.manifest.v1+"


typedef struct {
    const char           *media_type;
    acr_manifest_kind_e   kind;
} acr_manifest_type_t;


/*
 * The field with the references.  A manifest that also has another kind's
 * fields could be taken for that kind by a client which does not look at the
 * media type (CVE-2021-41190).
 */

typedef struct {
    const char           *list;
    const char           *foreign[3];
} acr_manifest_fields_t;


static const acr_manifest_type_t  acr_manifest_types[] = {
    { ACR_MANIFEST_OCI_IMAGE, ACR_MANIFEST_IMAGE },
    { ACR_MANIFEST_OCI_INDEX, ACR_MANIFEST_INDEX },
    { "application/vnd.docker.distribution.manifest.v2+json",
      ACR_MANIFEST_IMAGE },
    { "application/vnd.docker.distribution.manifest.list.v2+json",
      ACR_MANIFEST_INDEX },

    /* no release of a specification has these, yet they were pushed */

    { "application/vnd.oci.artifact.manifest.v1+json",
      ACR_MANIFEST_ARTIFACT },
    { "application/vnd.cncf.oras.artifact.manifest.v1+json",
      ACR_MANIFEST_ARTIFACT }
};

#define ACR_MANIFEST_TYPES                                                   \
    (sizeof(acr_manifest_types) / sizeof(acr_manifest_types[0]))


static const acr_manifest_fields_t  acr_manifest_fields[] = {
    { "layers", { "manifests", NULL, NULL } },        /* image */
    { "manifests", { "config", "layers", NULL } },    /* index */
    { "blobs", { "config", "layers", "manifests" } }  /* artifact */
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


/* a copy that ends with a zero byte */

static int
acr_manifest_copy(acr_manifest_t *m, char **copy, const acr_text_t *text)
{
    *copy = malloc(text->len + 1);

    if (*copy == NULL) {
        return acr_manifest_nomem(m);
    }

    memcpy(*copy, text->data, text->len);
    (*copy)[text->len] = '\0';

    return ACR_OK;
}


/* the media type in a Content-Type; empty if that says nothing */

static int
acr_manifest_content_type(acr_manifest_t *m, acr_text_t *type,
    const unsigned char *p, size_t n)
{
    *type = acr_media_type_bare(p, n);

    if (type->len == 0) {
        return ACR_OK;
    }

    if (!acr_media_type_valid(type->data, type->len)) {
        return acr_manifest_fail(m, "Content-Type is not a media type");
    }

    if (acr_text_is(type, "application/octet-stream")
        || acr_text_is(type, "application/json")
        || acr_text_begins(type, "text/"))
    {
        type->len = 0;
    }

    return ACR_OK;
}


/* what the fields tell where there is no mediaType, or NULL */

static const char *
acr_manifest_inferred(json_t *root)
{
    if (acr_json_get(root, "manifests")) {
        return ACR_MANIFEST_OCI_INDEX;
    }

    if (acr_json_get(root, "config")) {
        return ACR_MANIFEST_OCI_IMAGE;
    }

    if (acr_json_get(root, "fsLayers")) {
        return ACR_MANIFEST_DOCKER_SCHEMA1 "json";
    }

    return NULL;
}


/* *type is that of the Content-Type, and then that of the manifest */

static int
acr_manifest_media_type(acr_manifest_t *m, json_t *root, acr_text_t *type)
{
    json_t      *field;
    acr_text_t   text;
    const char  *inferred;

    field = acr_json_get(root, "mediaType");

    if (field && !json_is_string(field)) {
        return acr_manifest_fail(m, "mediaType is not a string");
    }

    if (json_string_length(field)) {
        text = acr_json_text(field);

        if (!acr_media_type_valid(text.data, text.len)) {
            return acr_manifest_fail(m, "mediaType is not a media type");
        }

        if (type->len && !acr_text_is(type, json_string_value(field))) {
            return acr_manifest_fail(m, "mediaType contradicts Content-Type");
        }

        *type = text;
        m->typed = 1;

        return ACR_OK;
    }

    inferred = acr_manifest_inferred(root);

    if (type->len) {
        m->typed = inferred && type->len == strlen(inferred)
                   && memcmp(type->data, inferred, type->len) == 0;

        return ACR_OK;
    }

    if (inferred == NULL) {
        return acr_manifest_fail(m, "manifest has no media type");
    }

    type->data = (const unsigned char *) inferred;
    type->len = strlen(inferred);
    m->typed = 1;

    return ACR_OK;
}


static int
acr_manifest_kind(acr_manifest_t *m, json_t *root, const acr_text_t *type)
{
    size_t   i;
    json_t  *version;

    if (acr_text_begins(type, ACR_MANIFEST_DOCKER_SCHEMA1)) {
        return acr_manifest_fail(m, "Docker schema 1 is not supported");
    }

    m->kind = ACR_MANIFEST_OTHER;

    for (i = 0; i < ACR_MANIFEST_TYPES; i++) {
        if (acr_text_is(type, acr_manifest_types[i].media_type)) {
            m->kind = acr_manifest_types[i].kind;
            break;
        }
    }

    if (m->kind == ACR_MANIFEST_IMAGE || m->kind == ACR_MANIFEST_INDEX) {
        version = json_object_get(root, "schemaVersion");

        if (json_integer_value(version) != 2) {
            return acr_manifest_fail(m, "schemaVersion is not 2");
        }
    }

    return ACR_OK;
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
acr_manifest_config(acr_manifest_t *m, json_t *root)
{
    int              rc;
    json_t          *config;
    acr_reference_t  reference;

    config = acr_json_get(root, "config");

    if (config == NULL) {
        return acr_manifest_fail(m, "manifest has no config");
    }

    rc = acr_descriptor_read(&reference, config, &m->error);

    if (rc != ACR_OK) {
        return rc;
    }

    /* only layers may be missing */

    reference.optional = 0;

    return acr_manifest_add(m, &reference);
}


static int
acr_manifest_list(acr_manifest_t *m, json_t *list)
{
    int              rc;
    size_t           i;
    json_t          *entry;
    acr_reference_t  reference;

    json_array_foreach(list, i, entry) {
        rc = acr_descriptor_read(&reference, entry, &m->error);

        if (rc != ACR_OK) {
            return rc;
        }

        if (m->kind == ACR_MANIFEST_INDEX) {
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


static int
acr_manifest_references(acr_manifest_t *m, json_t *root)
{
    int                           rc;
    size_t                        i, n;
    json_t                       *list;
    const acr_manifest_fields_t  *fields;

    fields = &acr_manifest_fields[m->kind];

    for (i = 0; i < 3 && fields->foreign[i]; i++) {
        if (acr_json_get(root, fields->foreign[i])) {
            return acr_manifest_fail(m, "manifest has a field that belongs "
                                        "to another media type");
        }
    }

    list = acr_json_get(root, fields->list);

    if (list && !json_is_array(list)) {
        return acr_manifest_fail(m, "layers, manifests or blobs is not a "
                                    "list");
    }

    /* an empty one may be null; only an index has to have it */

    if (m->kind == ACR_MANIFEST_INDEX
        && json_object_get(root, fields->list) == NULL)
    {
        return acr_manifest_fail(m, "index has no manifests");
    }

    n = json_array_size(list) + (m->kind == ACR_MANIFEST_IMAGE);

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

    if (m->kind == ACR_MANIFEST_IMAGE) {
        rc = acr_manifest_config(m, root);

        if (rc != ACR_OK) {
            return rc;
        }
    }

    return acr_manifest_list(m, list);
}


static int
acr_manifest_subject(acr_manifest_t *m, json_t *root)
{
    int              rc;
    json_t          *subject;
    acr_reference_t  reference;

    subject = acr_json_get(root, "subject");

    if (subject == NULL) {
        return ACR_OK;
    }

    rc = acr_descriptor_read(&reference, subject, &m->error);

    if (rc == ACR_OK) {
        m->has_subject = 1;
        m->subject = reference.digest;
    }

    return rc;
}


static int
acr_manifest_artifact_type(acr_manifest_t *m, json_t *root)
{
    json_t      *type;
    acr_text_t   text;

    type = acr_json_get(root, "artifactType");

    if (type && !json_is_string(type)) {
        return acr_manifest_fail(m, "artifactType is not a string");
    }

    if (json_string_length(type) == 0) {

        if (m->kind != ACR_MANIFEST_IMAGE) {
            return ACR_OK;
        }

        type = json_object_get(json_object_get(root, "config"), "mediaType");
    }

    text = acr_json_text(type);

    return acr_manifest_copy(m, &m->artifact_type, &text);
}


static int
acr_manifest_annotations(acr_manifest_t *m, json_t *root)
{
    json_t  *annotations;

    annotations = acr_json_get(root, "annotations");

    if (annotations && !json_is_object(annotations)) {
        return acr_manifest_fail(m, "annotations is not an object");
    }

    if (!acr_json_strings(annotations)) {
        return acr_manifest_fail(m, "an annotation is not a string");
    }

    if (json_object_size(annotations) == 0) {
        return ACR_OK;
    }

    m->annotations = json_dumps(annotations, JSON_COMPACT);

    if (m->annotations == NULL) {
        return acr_manifest_nomem(m);
    }

    return ACR_OK;
}


static int
acr_manifest_read(acr_manifest_t *m, json_t *root, acr_text_t *type)
{
    int  rc;

    rc = acr_manifest_media_type(m, root, type);

    if (rc == ACR_OK) {
        rc = acr_manifest_kind(m, root, type);
    }

    if (rc == ACR_OK) {
        rc = acr_manifest_copy(m, &m->media_type, type);
    }

    if (rc == ACR_OK && m->kind != ACR_MANIFEST_OTHER) {
        rc = acr_manifest_references(m, root);
    }

    if (rc == ACR_OK) {
        rc = acr_manifest_subject(m, root);
    }

    if (rc == ACR_OK) {
        rc = acr_manifest_artifact_type(m, root);
    }

    if (rc == ACR_OK) {
        rc = acr_manifest_annotations(m, root);
    }

    return rc;
}


int
acr_manifest_parse(acr_manifest_t *m, const unsigned char *p, size_t n,
    const unsigned char *content_type, size_t content_type_len)
{
    int          rc;
    json_t      *root;
    acr_text_t   type;

    memset(m, 0, sizeof(acr_manifest_t));

    rc = acr_manifest_content_type(m, &type, content_type, content_type_len);

    if (rc != ACR_OK) {
        return rc;
    }

    rc = acr_json_load(&root, p, n, &m->error);

    if (rc != ACR_OK) {
        return rc;
    }

    rc = acr_manifest_read(m, root, &type);

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


char *
acr_manifest_descriptor(const acr_manifest_t *m, const acr_digest_t *digest,
    uint64_t size)
{
    char           *json;
    size_t          type_len, annotations_len;
    unsigned char  *p;

    type_len = m->artifact_type ? strlen(m->artifact_type) : 0;
    annotations_len = m->annotations ? strlen(m->annotations) : 0;

    /* the names of the fields, and the size, are far below 256 bytes */

    json = malloc(256 + ACR_MEDIA_TYPE_MAX + ACR_DIGEST_MAX + 6 * type_len
                  + annotations_len);

    if (json == NULL) {
        return NULL;
    }

    /* a media type has no bytes that JSON escapes */

    p = (unsigned char *) json;

    p += sprintf(json, "{\"mediaType\":\"%s\",\"digest\":\"%s:%.*s\","
                       "\"size\":%" PRIu64,
                 m->media_type, digest->alg->name,
                 (int) digest->alg->hex_len, (const char *) digest->hex, size);

    if (type_len) {
        p += sprintf((char *) p, ",\"artifactType\":\"");
        p += acr_json_escape(p, (const unsigned char *) m->artifact_type,
                             type_len);
        *p++ = '"';
    }

    if (annotations_len) {
        p += sprintf((char *) p, ",\"annotations\":%s", m->annotations);
    }

    *p++ = '}';
    *p = '\0';

    return json;
}
