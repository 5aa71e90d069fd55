
/*
 * What ACR's API tells of a manifest beside its digest: its size with all that
 * it needs, what it runs on, and what an index names.  Read from the manifest
 * that is stored, and the config of an image.
 */

#ifndef ACR_ABOUT_H
#define ACR_ABOUT_H

#include "acr_digest.h"
#include "acr_json.h"

/* a config that is larger is not looked at, nor is a longer name of a platform
   or media type */
#define ACR_ABOUT_CONFIG_MAX  (4 * 1024 * 1024)
#define ACR_ABOUT_NAME_MAX    255

/* so many manifests of an index are looked at for its size */
#define ACR_ABOUT_CHILDREN    256

typedef struct {
    uint64_t        size;              /* of config and layers; of an index 0 */
    char           *config_media_type; /* or NULL */
    acr_digest_t    config;
    unsigned        has_config:1;      /* that of an image: it may tell the
                                          platform */
    json_t         *references;        /* of an index: an array of "digest",
                                          "architecture", "os" and "variant";
                                          else NULL */
    acr_digest_t    children[ACR_ABOUT_CHILDREN];
    size_t          nchildren;         /* of an index, without repetition */
    unsigned        partial:1;         /* there are more, or size is beyond
                                          int64_t */
} acr_about_t;

/*
 * Reads a manifest that was checked when it was put.  What is not as it should
 * be counts as missing.  ACR_OK; ACR_INVALID: it is no JSON object; ACR_NOMEM.
 * about is to be freed in any case.
 */
int acr_about_manifest(acr_about_t *about, const unsigned char *p, size_t n);
void acr_about_free(acr_about_t *about);

/*
 * The platform in a config (OCI image-spec "Image Configuration", and
 * Docker's): new references to strings, or NULL where there is none.  ACR_OK
 * also if it is no such JSON; ACR_NOMEM.
 */
int acr_about_config(const unsigned char *p, size_t n, json_t **architecture,
    json_t **os);

#endif /* ACR_ABOUT_H */
