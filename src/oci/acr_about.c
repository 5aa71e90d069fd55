
#include <stdlib.h>
#include <string.h>

#include "acr_about.h"


#define ACR_ABOUT_OCI_CONFIG                                                 \
    "application/vnd.oci.image.config.v1+json"
#define ACR_ABOUT_DOCKER_CONFIG                                              \
    "application/vnd.docker.container.image.v1+json"


static int acr_about_name(const json_t *value);
static void acr_about_add(acr_about_t *about, const json_t *descriptor);
static int acr_about_config_read(acr_about_t *about, json_t *config);
static int acr_about_index(acr_about_t *about, json_t *manifests);
static int acr_about_child(acr_about_t *about, json_t *descriptor);
static int acr_about_digest(acr_digest_t *digest, const json_t *descriptor);


int
acr_about_manifest(acr_about_t *about, const unsigned char *p, size_t n)
{
    int          rc;
    size_t       i;
    json_t      *root, *list;
    const char  *error;

    memset(about, 0, sizeof(acr_about_t));

    rc = acr_json_load(&root, p, n, &error);

    if (rc != ACR_OK) {
        return rc;
    }

    list = acr_json_get(root, "manifests");

    if (json_is_array(list)) {
        rc = acr_about_index(about, list);
        json_decref(root);
        return rc;
    }

    rc = acr_about_config_read(about, acr_json_get(root, "config"));

    list = acr_json_get(root, "layers");

    if (list == NULL) {
        list = acr_json_get(root, "blobs");
    }

    for (i = 0; i < json_array_size(list); i++) {
        acr_about_add(about, json_array_get(list, i));
    }

    json_decref(root);

    return rc;
}


void
acr_about_free(acr_about_t *about)
{
    free(about->config_media_type);
    json_decref(about->references);

    about->config_media_type = NULL;
    about->references = NULL;
}


/* 1 if it is a string that says something */

static int
acr_about_name(const json_t *value)
{
    size_t  n;

    n = json_string_length(value);

    return n != 0 && n <= ACR_ABOUT_NAME_MAX;
}


static void
acr_about_add(acr_about_t *about, const json_t *descriptor)
{
    json_int_t  size;

    size = json_integer_value(json_object_get(descriptor, "size"));

    if (size < 0 || about->size > INT64_MAX - (uint64_t) size) {
        about->partial = 1;
        return;
    }

    about->size += (uint64_t) size;
}


static int
acr_about_config_read(acr_about_t *about, json_t *config)
{
    const char  *type;

    if (config == NULL) {
        return ACR_OK;
    }

    acr_about_add(about, config);

    type = json_string_value(json_object_get(config, "mediaType"));

    if (acr_about_name(json_object_get(config, "mediaType"))) {
        about->config_media_type = malloc(strlen(type) + 1);

        if (about->config_media_type == NULL) {
            return ACR_NOMEM;
        }

        strcpy(about->config_media_type, type);
    }

    if (about->config_media_type
        && (strcmp(about->config_media_type, ACR_ABOUT_OCI_CONFIG) == 0
            || strcmp(about->config_media_type, ACR_ABOUT_DOCKER_CONFIG) == 0)
        && acr_about_digest(&about->config, config)
        && json_integer_value(json_object_get(config, "size"))
           <= ACR_ABOUT_CONFIG_MAX)
    {
        about->has_config = 1;
    }

    return ACR_OK;
}


static int
acr_about_index(acr_about_t *about, json_t *manifests)
{
    size_t  i;

    about->references = json_array();

    if (about->references == NULL) {
        return ACR_NOMEM;
    }

    for (i = 0; i < json_array_size(manifests); i++) {

        if (acr_about_child(about, json_array_get(manifests, i)) != ACR_OK) {
            return ACR_NOMEM;
        }
    }

    return ACR_OK;
}


static int
acr_about_child(acr_about_t *about, json_t *descriptor)
{
    size_t         i;
    json_t        *reference, *platform, *value;
    acr_digest_t   digest;

    static const char  *fields[] = { "architecture", "os", "variant", NULL };

    if (!acr_about_digest(&digest, descriptor)) {
        return ACR_OK;
    }

    reference = json_object();

    if (reference == NULL
        || json_object_set(reference, "digest",
                           json_object_get(descriptor, "digest"))
           != 0)
    {
        json_decref(reference);
        return ACR_NOMEM;
    }

    platform = acr_json_get(descriptor, "platform");

    for (i = 0; fields[i]; i++) {
        value = json_object_get(platform, fields[i]);

        if (acr_about_name(value)
            && json_object_set(reference, fields[i], value) != 0)
        {
            json_decref(reference);
            return ACR_NOMEM;
        }
    }

    if (json_array_append_new(about->references, reference) != 0) {
        return ACR_NOMEM;
    }

    for (i = 0; i < about->nchildren; i++) {

        if (acr_digest_equal(&about->children[i], &digest)) {
            return ACR_OK;
        }
    }

    if (about->nchildren == ACR_ABOUT_CHILDREN) {
        about->partial = 1;
        return ACR_OK;
    }

    about->children[about->nchildren++] = digest;

    return ACR_OK;
}


static int
acr_about_digest(acr_digest_t *digest, const json_t *descriptor)
{
    acr_text_t  text;

    text = acr_json_text(json_object_get(descriptor, "digest"));

    return text.data && acr_digest_parse(digest, text.data, text.len)
                        == ACR_OK;
}


int
acr_about_config(const unsigned char *p, size_t n, json_t **architecture,
    json_t **os)
{
    int          rc;
    json_t      *root, *value;
    const char  *error;

    *architecture = NULL;
    *os = NULL;

    rc = acr_json_load(&root, p, n, &error);

    if (rc != ACR_OK) {
        return rc == ACR_NOMEM ? rc : ACR_OK;
    }

    value = json_object_get(root, "architecture");

    if (acr_about_name(value)) {
        *architecture = json_incref(value);
    }

    value = json_object_get(root, "os");

    if (acr_about_name(value)) {
        *os = json_incref(value);
    }

    json_decref(root);

    return ACR_OK;
}
