
/*
 * Manifests: OCI image-spec "Image Manifest" and "Image Index", Docker image
 * manifest v2 schema 2 and manifest list, and JSON objects of unknown media
 * types, which are stored as they are.  Reads what the registry has to know;
 * never rewrites, since a manifest is its exact bytes.
 */

#ifndef ACR_MANIFEST_H
#define ACR_MANIFEST_H

#include "acr_digest.h"
#include "acr_media_type.h"

#define ACR_MANIFEST_REFERENCES_MAX  1000

typedef enum {
    ACR_MANIFEST_IMAGE = 0,    /* has config and layers */
    ACR_MANIFEST_INDEX,        /* has manifests */
    ACR_MANIFEST_ARTIFACT,     /* has blobs: what OCI and ORAS once had */
    ACR_MANIFEST_OTHER         /* unknown media type */
} acr_manifest_kind_e;

typedef struct {
    acr_digest_t  digest;
    uint64_t      size;
    unsigned      manifest:1;  /* an entry of an index: a manifest or a blob
                                  of the repository; else a blob */
    unsigned      optional:1;  /* a non-distributable layer: may be missing */
} acr_reference_t;

typedef struct {
    acr_manifest_kind_e  kind;
    char                *media_type;     /* never NULL */
    char                *artifact_type;  /* as the referrers API reports it:
                                            artifactType, else the image's
                                            config.mediaType; or NULL */
    acr_reference_t     *references;     /* config, layers, manifests, blobs;
                                            each digest once */
    size_t               nreferences;
    unsigned             has_subject:1;
    unsigned             typed:1;        /* the bytes alone tell the media
                                            type: no Content-Type is needed to
                                            parse them to the same */
    acr_digest_t         subject;
    char                *annotations;    /* compact JSON object, or NULL */
    const char          *error;          /* why ACR_INVALID; static text */
} acr_manifest_t;

/*
 * Parses the bytes of a manifest that was sent with that Content-Type
 * (parameters allowed and ignored; len 0 if there was none).  It keeps no
 * state, so a thread may do it: 4 MiB take some 50 ms.
 *
 * ACR_INVALID, with m->error set, if: it is no JSON object within the bounds
 * of acr_json.h; a known field has the wrong type; schemaVersion is not 2 in
 * an image or index; its mediaType contradicts the Content-Type; a descriptor
 * has no or a bad mediaType, digest or size; a digest occurs with two sizes;
 * a field is there that belongs to another kind of manifest; an image has no
 * config or an index no manifests; there are more than
 * ACR_MANIFEST_REFERENCES_MAX references, repeated ones counted; or it is a
 * Docker schema 1 manifest.  ACR_UNSUPPORTED for a well-formed digest of an
 * algorithm that we do not have (m->error set).  ACR_NOMEM.
 *
 * A field that is null counts as absent, but a list that has to be there may
 * be null.
 *
 * The media type is the mediaType field (if not empty), else the Content-Type
 * (if it is not application/octet-stream, application/json or text/...), else
 * inferred: an index if there is "manifests", an OCI image manifest if there
 * is "config".  ACR_INVALID if none of these tells.
 *
 * Whatever it returns, m is to be given to acr_manifest_free().
 */
int acr_manifest_parse(acr_manifest_t *m, const unsigned char *p, size_t n,
    const unsigned char *content_type, size_t content_type_len);

void acr_manifest_free(acr_manifest_t *m);

/*
 * The descriptor that the referrers API lists for the manifest: mediaType,
 * digest, size, artifactType if there is one, annotations if there are any.
 * A malloc'd JSON text that the caller frees, or NULL if memory ran out.
 */
char *acr_manifest_descriptor(const acr_manifest_t *m,
    const acr_digest_t *digest, uint64_t size);

#endif /* ACR_MANIFEST_H */
