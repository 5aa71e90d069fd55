
/*
 * The path of a request, taken apart: which resource of the OCI
 * distribution-spec it names (section "Endpoints"), of which repository.
 * Repository names contain slashes, so a path is read from its end.
 */

#ifndef ACR_PATH_H
#define ACR_PATH_H

#include "acr_core.h"

typedef enum {
    ACR_PATH_NONE = 0,         /* nothing of ours */
    ACR_PATH_BASE,             /* /v2/ and /v2 */
    ACR_PATH_BLOB,             /* /v2/<name>/blobs/<digest> */
    ACR_PATH_UPLOADS,          /* /v2/<name>/blobs/uploads/ (slash optional) */
    ACR_PATH_UPLOAD,           /* /v2/<name>/blobs/uploads/<uuid> */
    ACR_PATH_MANIFEST,         /* /v2/<name>/manifests/<reference> */
    ACR_PATH_TAGS,             /* /v2/<name>/tags/list */
    ACR_PATH_REFERRERS,        /* /v2/<name>/referrers/<digest> */
    ACR_PATH_CATALOG,          /* /v2/_catalog */
    ACR_PATH_EXTENSIONS,       /* /v2/_oci/ext/discover, also below <name>,
                                  whose name is then set */
    ACR_PATH_TOKEN,            /* /oauth2/token, of Docker's and ACR's */
    ACR_PATH_EXCHANGE,         /* /oauth2/exchange, of ACR's */
    ACR_PATH_KEYS,             /* /oauth2/keys: RFC 7517 */

    /* from here on ACR's API */

    ACR_PATH_ACR_CATALOG,      /* /acr/v1/_catalog */
    ACR_PATH_ACR_EVENTS,       /* /acr/v1/_events, of ours */
    ACR_PATH_ACR_REPOSITORY,   /* /acr/v1/<name> */
    ACR_PATH_ACR_TAGS,         /* /acr/v1/<name>/_tags */
    ACR_PATH_ACR_TAG,          /* /acr/v1/<name>/_tags/<tag> */
    ACR_PATH_ACR_MANIFESTS,    /* /acr/v1/<name>/_manifests */
    ACR_PATH_ACR_MANIFEST      /* /acr/v1/<name>/_manifests/<digest> */
} acr_path_e;

typedef struct {
    acr_path_e   resource;
    acr_text_t   name;         /* repository; not yet checked, see acr_name.h */
    acr_text_t   reference;    /* digest, tag or uuid; not yet checked */
} acr_path_t;

/*
 * Parses a decoded path (without the query).  The texts of *path point into
 * it.  Sets path->resource to ACR_PATH_NONE where nothing fits.
 * A name is never empty where the resource has one.
 */
void acr_path_parse(acr_path_t *path, const unsigned char *p, size_t n);

#endif /* ACR_PATH_H */
