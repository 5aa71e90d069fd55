
#include <jansson.h>

#include "acr_manifest.h"
#include "fuzz.h"


static void
references(const acr_manifest_t *m)
{
    size_t                  i, j;
    const acr_reference_t  *r;

    check(m->nreferences <= ACR_MANIFEST_REFERENCES_MAX);
    check(m->kind != ACR_MANIFEST_OTHER || m->nreferences == 0);

    for (i = 0; i < m->nreferences; i++) {
        r = &m->references[i];

        check(r->size <= INT64_MAX);
        check(r->manifest == (m->kind == ACR_MANIFEST_INDEX));
        check(!(r->manifest && r->optional));

        for (j = 0; j < i; j++) {
            check(!acr_digest_equal(&r->digest, &m->references[j].digest));
        }
    }
}


static int
is(const json_t *object, const char *key, const char *want)
{
    const char  *got;

    got = json_string_value(json_object_get(object, key));

    return want ? (got && strcmp(got, want) == 0) : got == NULL;
}


/* the descriptor says what the manifest says */

static void
descriptor(const acr_manifest_t *m)
{
    char           *text;
    json_t         *json, *annotations;
    acr_digest_t    digest;

    digest.alg = acr_algorithm((const unsigned char *) "sha512", 6);
    memset(digest.hex, 'a', sizeof(digest.hex));

    text = acr_manifest_descriptor(m, &digest, INT64_MAX);
    check(text != NULL);

    json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    check(json_is_object(json));

    check(is(json, "mediaType", m->media_type));
    check(is(json, "artifactType", m->artifact_type));
    check(json_integer_value(json_object_get(json, "size")) == INT64_MAX);
    check(json_object_size(json) == 3 + (size_t) (m->artifact_type != NULL)
                                    + (size_t) (m->annotations != NULL));

    annotations = m->annotations
                  ? json_loads(m->annotations, JSON_REJECT_DUPLICATES, NULL)
                  : NULL;
    check(m->annotations == NULL || json_object_size(annotations));
    check(annotations == NULL
          || json_equal(annotations, json_object_get(json, "annotations")));

    json_decref(annotations);
    json_decref(json);
    free(text);
}


/* with its own media type as Content-Type it is the same manifest */

static void
again(const acr_manifest_t *m, const uint8_t *p, size_t n)
{
    acr_manifest_t  same;

    if (strcmp(m->media_type, "application/json") == 0
        || strcmp(m->media_type, "application/octet-stream") == 0)
    {
        return;
    }

    check(acr_manifest_parse(&same, p, n,
                             (const unsigned char *) m->media_type,
                             strlen(m->media_type)) == ACR_OK);

    check(same.kind == m->kind && same.nreferences == m->nreferences);
    check(same.has_subject == m->has_subject);
    check(strcmp(same.media_type, m->media_type) == 0);

    acr_manifest_free(&same);
}


/* the first line of the input is the Content-Type */

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    int              rc;
    size_t           len;
    acr_manifest_t   m;
    const uint8_t   *body;

    body = n ? memchr(p, '\n', n) : NULL;
    len = body ? (size_t) (body - p) : n;
    body = body ? body + 1 : p + n;
    n -= (size_t) (body - p);

    rc = acr_manifest_parse(&m, body, n, p, len);

    if (rc == ACR_OK) {
        check(m.error == NULL);
        check(m.media_type != NULL);
        check(acr_media_type_valid((const unsigned char *) m.media_type,
                                   strlen(m.media_type)));
        check(m.artifact_type == NULL || m.artifact_type[0]);
        check(!m.has_subject || m.subject.alg);

        references(&m);
        descriptor(&m);
        again(&m, body, n);

    } else {
        check(rc == ACR_INVALID || rc == ACR_UNSUPPORTED);
        check(m.error != NULL && m.error[0]);
    }

    acr_manifest_free(&m);

    return 0;
}
