
/*
 * What the tests of manifests share: JSON without its quotation marks, and
 * functions that parse it and compare.
 */

#ifndef TEST_ACR_MANIFEST_H
#define TEST_ACR_MANIFEST_H

#include "acr_manifest.h"
#include "tap.h"


/* JSON is written with ' for ", and digests as sixty-four times a digit */

#define HEX8(c)  c c c c c c c c
#define HEX(c)   HEX8(c) HEX8(c) HEX8(c) HEX8(c) HEX8(c) HEX8(c) HEX8(c)     \
                 HEX8(c)
#define SHA(c)   "sha256:" HEX(c)
#define SHA5(c)  "sha512:" HEX(c) HEX(c)

#define DESC(type, c, size, more)                                            \
    "{'mediaType':'" type "','digest':'" SHA(c) "','size':" size more "}"

#define OCI      "application/vnd.oci.image.manifest.v1+json"
#define INDEX    "application/vnd.oci.image.index.v1+json"
#define DOCKER   "application/vnd.docker.distribution.manifest.v2+json"
#define LIST     "application/vnd.docker.distribution.manifest.list.v2+json"
#define OCI_ART  "application/vnd.oci.artifact.manifest.v1+json"
#define ORAS     "application/vnd.cncf.oras.artifact.manifest.v1+json"
#define OTHER    "application/vnd.example.thing.v1+json"

#define CONF     "application/vnd.oci.image.config.v1+json"
#define EMPTY    "application/vnd.oci.empty.v1+json"
#define LAYER    "application/vnd.oci.image.layer.v1.tar+gzip"
#define NONDIST  "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
#define FOREIGN  "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

#define CONFIG   "'config':" DESC(CONF, "c", "7", "")
#define LAYERS   "'layers':[" DESC(LAYER, "1", "10", "") "]"
#define V2(type) "{'schemaVersion':2,'mediaType':'" type "',"

/* an image or index that lacks only what is given, up to its end */
#define IMAGE(more)    V2(OCI) CONFIG "," LAYERS more "}"
#define LAYER_IS(d)    V2(OCI) CONFIG ",'layers':[" d "]}"
#define ENTRIES(list)  V2(INDEX) "'manifests':[" list "]}"


static acr_manifest_t  m;


static inline unsigned char *
quoted(const char *text, size_t n)
{
    size_t          i;
    unsigned char  *copy;

    copy = tap_copy(text, n);

    for (i = 0; i < n; i++) {
        if (copy[i] == '\'') {
            copy[i] = '"';
        }
    }

    return copy;
}


static inline int
parse_n(const char *type, const char *json, size_t n)
{
    acr_manifest_free(&m);

    return acr_manifest_parse(&m, quoted(json, n), n,
                              tap_copy(type, strlen(type)), strlen(type));
}


static inline int
parse(const char *type, const char *json)
{
    return parse_n(type, json, strlen(json));
}


static inline void
accepted(const char *label, const char *type, const char *json,
    acr_manifest_kind_e kind, const char *media_type, size_t nreferences)
{
    int  rc;

    rc = parse(type, json);

    if (!ok(rc == ACR_OK && m.error == NULL && m.media_type, "%s", label)) {
        printf("#   %d: %s\n", rc, m.error ? m.error : "no error");
        return;
    }

    is_int(m.kind, kind, "%s: kind", label);
    ok(strcmp(m.media_type, media_type) == 0, "%s: media type", label);
    is_int(m.nreferences, nreferences, "%s: references", label);
}


static inline void
refused_n(const char *label, const char *type, const char *json, size_t n,
    const char *error)
{
    int  rc;

    rc = parse_n(type, json, n);

    if (!ok(rc == ACR_INVALID && m.error && strstr(m.error, error), "%s",
            label))
    {
        printf("#   %d: %s\n", rc, m.error ? m.error : "no error");
    }
}


static inline void
refused(const char *label, const char *type, const char *json,
    const char *error)
{
    refused_n(label, type, json, strlen(json), error);
}


static inline int
same(const char *got, const char *want)
{
    return (got == NULL || want == NULL) ? got == want
                                         : strcmp(got, want) == 0;
}


static inline const acr_reference_t *
reference(char c)
{
    size_t  i;

    for (i = 0; i < m.nreferences; i++) {
        if (m.references[i].digest.hex[0] == (unsigned char) c) {
            return &m.references[i];
        }
    }

    printf("Bail out! no reference to %c\n", c);
    exit(2);
}

#endif /* TEST_ACR_MANIFEST_H */
