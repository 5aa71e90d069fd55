
#include "test_acr_manifest.h"


/* what clients push: all of it is to be accepted */

static void
test_real(void)
{
    accepted("OCI image", OCI, IMAGE(""), ACR_MANIFEST_IMAGE, OCI, 2);
    ok(reference('c')->size == 7 && reference('1')->size == 10, "sizes");
    ok(!reference('1')->manifest && !reference('1')->optional, "flags");
    ok(same(m.artifact_type, CONF), "artifact type is the config's");
    ok(!m.has_subject && m.annotations == NULL, "no subject or annotations");

    accepted("Docker image", DOCKER,
             V2(DOCKER) "'config':"
             DESC("application/vnd.docker.container.image.v1+json", "c",
                  "7023", "")
             ",'layers':["
             DESC("application/vnd.docker.image.rootfs.diff.tar.gzip", "1",
                  "32654", "") ","
             DESC("application/vnd.docker.image.rootfs.diff.tar.gzip", "2",
                  "16724", "") "]}",
             ACR_MANIFEST_IMAGE, DOCKER, 3);

    accepted("Docker list of platforms", LIST,
             V2(LIST) "'manifests':["
             DESC(DOCKER, "1", "7143",
                  ",'platform':{'architecture':'ppc64le','os':'linux'}") ","
             DESC(DOCKER, "2", "7682",
                  ",'platform':{'architecture':'amd64','os':'linux',"
                  "'os.version':'10.0.1','os.features':['win32k'],"
                  "'variant':'v2','features':['sse4']}") "]}",
             ACR_MANIFEST_INDEX, LIST, 2);
    ok(reference('1')->manifest && !reference('1')->optional, "an entry");
    ok(m.artifact_type == NULL, "an index has no artifact type");

    accepted("BuildKit's index with an attestation", INDEX,
             ENTRIES(DESC(OCI, "1", "481",
                          ",'platform':{'architecture':'amd64',"
                          "'os':'linux'}") ","
                     DESC(OCI, "2", "566",
                          ",'annotations':{"
                          "'vnd.docker.reference.digest':'" SHA("1") "',"
                          "'vnd.docker.reference.type':"
                          "'attestation-manifest'},"
                          "'platform':{'architecture':'unknown',"
                          "'os':'unknown'}")),
             ACR_MANIFEST_INDEX, INDEX, 2);
    ok(m.annotations == NULL, "entries' annotations are not the index's");

    accepted("BuildKit's attestation", OCI,
             V2(OCI) CONFIG ",'layers':["
             DESC("application/vnd.in-toto+json", "1", "2317",
                  ",'annotations':{'in-toto.io/predicate-type':"
                  "'https://slsa.dev/provenance/v0.2'}") "]}",
             ACR_MANIFEST_IMAGE, OCI, 2);

    accepted("BuildKit's cache: an index of layers and a config", INDEX,
             ENTRIES(DESC(LAYER, "1", "30", ",'annotations':{"
                          "'buildkit/createdat':'2024-01-01T00:00:00Z',"
                          "'containerd.io/uncompressed':'" SHA("2") "'}") ","
                     DESC("application/vnd.buildkit.cacheconfig.v0", "3",
                          "1654", "")),
             ACR_MANIFEST_INDEX, INDEX, 2);
    ok(reference('1')->manifest && reference('3')->manifest,
       "may be manifests or blobs");

    accepted("a cosign signature", OCI,
             "{'schemaVersion':2,'mediaType':'" OCI "'," CONFIG ",'layers':["
             DESC("application/vnd.dev.cosign.simplesigning.v1+json", "1",
                  "242", ",'annotations':{'dev.cosignproject.cosign/"
                  "signature':'MEUCIQ==','dev.sigstore.cosign/bundle':"
                  "'{\\\"SignedEntryTimestamp\\\":\\\"MEQ=\\\"}'}") "]}",
             ACR_MANIFEST_IMAGE, OCI, 2);

    accepted("a Helm chart, without a mediaType", OCI,
             "{'schemaVersion':2,'config':"
             DESC("application/vnd.cncf.helm.config.v1+json", "c", "117", "")
             ",'layers':["
             DESC("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "1",
                  "2487", "") ","
             DESC("application/vnd.cncf.helm.chart.provenance.v1.prov", "2",
                  "643", "")
             "],'annotations':{'org.opencontainers.image.title':'chart'}}",
             ACR_MANIFEST_IMAGE, OCI, 3);
    ok(same(m.artifact_type, "application/vnd.cncf.helm.config.v1+json"),
       "the chart's artifact type");
    ok(same(m.annotations,
            "{\"org.opencontainers.image.title\":\"chart\"}"),
       "the chart's annotations");

    accepted("an OCI artifact: empty config with its data, as layer too",
             OCI,
             V2(OCI) "'artifactType':'application/vnd.example+type','config':"
             DESC(EMPTY, "4", "2", ",'data':'e30='") ",'layers':["
             DESC(EMPTY, "4", "2", ",'data':'e30='") "],'subject':"
             DESC(OCI, "5", "123", "") ",'annotations':{'a':'b'}}",
             ACR_MANIFEST_IMAGE, OCI, 1);
    ok(same(m.artifact_type, "application/vnd.example+type"),
       "its artifact type");
    ok(m.has_subject && m.subject.hex[0] == '5', "its subject");

    accepted("an artifact index with a subject", INDEX,
             V2(INDEX) "'artifactType':'application/vnd.example',"
             "'manifests':[],'subject':" DESC(INDEX, "5", "1", "") "}",
             ACR_MANIFEST_INDEX, INDEX, 0);
    ok(same(m.artifact_type, "application/vnd.example") && m.has_subject,
       "artifact type and subject of an index");

    accepted("an ORAS artifact manifest", ORAS,
             "{'mediaType':'" ORAS "','artifactType':'signature/example',"
             "'blobs':[" DESC("application/tar", "1", "32", "") "],"
             "'subject':" DESC(DOCKER, "5", "16724", "") "}",
             ACR_MANIFEST_ARTIFACT, ORAS, 1);
    ok(!reference('1')->manifest && m.has_subject
       && same(m.artifact_type, "signature/example"), "with its blob");

    accepted("an OCI artifact manifest of the release candidates", OCI_ART,
             "{'mediaType':'" OCI_ART "','artifactType':'example/sbom',"
             "'blobs':[" DESC("text/json", "1", "32", "") "]}",
             ACR_MANIFEST_ARTIFACT, OCI_ART, 1);
    accepted("the same without blobs", OCI_ART,
             "{'mediaType':'" OCI_ART "','artifactType':'example/sbom'}",
             ACR_MANIFEST_ARTIFACT, OCI_ART, 0);

    accepted("a dev container feature: an empty blob as config", OCI,
             V2(OCI) "'config':"
             DESC("application/vnd.devcontainers", "e", "0", "") "," LAYERS
             "}", ACR_MANIFEST_IMAGE, OCI, 2);

    accepted("custom fields", OCI,
             V2(OCI) "'config':" DESC(CONF, "c", "7", ",'x':{'y':[1,null]}")
             "," LAYERS ",'org.example':'x','n':-1.5e3,'b':true}",
             ACR_MANIFEST_IMAGE, OCI, 2);

    accepted("sha512", OCI,
             LAYER_IS("{'mediaType':'" LAYER "','digest':'" SHA5("7")
                      "','size':1}"), ACR_MANIFEST_IMAGE, OCI, 2);
    ok(reference('7')->digest.alg->id == ACR_SHA512, "its algorithm");

    accepted("a layer type with a parameter", OCI,
             LAYER_IS(DESC("text/plain; charset=utf-8", "1", "3", "")),
             ACR_MANIFEST_IMAGE, OCI, 2);

    accepted("space before and behind", OCI, " \r\n\t" IMAGE("") "\n",
             ACR_MANIFEST_IMAGE, OCI, 2);

    accepted("the largest size", OCI,
             LAYER_IS(DESC(LAYER, "1", "9223372036854775807", "")),
             ACR_MANIFEST_IMAGE, OCI, 2);
    ok(reference('1')->size == INT64_MAX, "its value");
}


/* Go writes null for nothing, and reads it as nothing */

static void
test_null(void)
{
    accepted("layers: null", OCI, V2(OCI) CONFIG ",'layers':null}",
             ACR_MANIFEST_IMAGE, OCI, 1);
    accepted("no layers at all", OCI, V2(OCI) CONFIG "}",
             ACR_MANIFEST_IMAGE, OCI, 1);
    accepted("layers: []", OCI, V2(OCI) CONFIG ",'layers':[]}",
             ACR_MANIFEST_IMAGE, OCI, 1);
    accepted("manifests: null", INDEX, V2(INDEX) "'manifests':null}",
             ACR_MANIFEST_INDEX, INDEX, 0);
    accepted("manifests: []", INDEX, ENTRIES(""), ACR_MANIFEST_INDEX, INDEX,
             0);
    accepted("blobs: null", ORAS, "{'mediaType':'" ORAS "','blobs':null}",
             ACR_MANIFEST_ARTIFACT, ORAS, 0);
    accepted("annotations, subject, artifactType, manifests: null", OCI,
             IMAGE(",'annotations':null,'subject':null,'artifactType':null,"
                   "'manifests':null"), ACR_MANIFEST_IMAGE, OCI, 2);
    ok(m.annotations == NULL && !m.has_subject
       && same(m.artifact_type, CONF), "as if they were not there");
    accepted("config, layers: null in an index", INDEX,
             V2(INDEX) "'manifests':[],'config':null,'layers':null}",
             ACR_MANIFEST_INDEX, INDEX, 0);
    accepted("null in a descriptor", OCI,
             LAYER_IS(DESC(LAYER, "1", "3", ",'urls':null,"
                           "'annotations':null,'data':null,'platform':null,"
                           "'artifactType':null")),
             ACR_MANIFEST_IMAGE, OCI, 2);
    accepted("empty annotations, empty artifactType", OCI,
             IMAGE(",'annotations':{},'artifactType':''"),
             ACR_MANIFEST_IMAGE, OCI, 2);
    ok(m.annotations == NULL && same(m.artifact_type, CONF), "are none");
    accepted("mediaType: null", OCI,
             "{'schemaVersion':2,'mediaType':null," CONFIG "}",
             ACR_MANIFEST_IMAGE, OCI, 1);
    accepted("an empty mediaType", OCI,
             "{'schemaVersion':2,'mediaType':''," CONFIG "}",
             ACR_MANIFEST_IMAGE, OCI, 1);

    refused("config: null", OCI, V2(OCI) "'config':null," LAYERS "}",
            "no config");
    refused("no manifests", INDEX, V2(INDEX) "'annotations':{}}",
            "no manifests");
    refused("a layer that is null", OCI, LAYER_IS("null"), "not an object");
    refused("digest: null", OCI,
            LAYER_IS("{'mediaType':'a/b','digest':null,'size':1}"),
            "no mediaType, digest or size");
}


static void
test_media_type(void)
{
    static const char  *generic[] = {
        "", "application/json", "application/octet-stream", "text/plain",
        "Application/JSON; charset=utf-8", "text/html;charset=utf-8", " ", ";"
    };

    size_t  i;

    /* what Content-Type tells */

    accepted("no mediaType, OCI image", OCI,
             "{'schemaVersion':2," CONFIG "," LAYERS "}",
             ACR_MANIFEST_IMAGE, OCI, 2);
    accepted("no mediaType, Docker image", DOCKER,
             "{'schemaVersion':2," CONFIG "," LAYERS "}",
             ACR_MANIFEST_IMAGE, DOCKER, 2);
    accepted("no mediaType, OCI index", INDEX,
             "{'schemaVersion':2,'manifests':[]}",
             ACR_MANIFEST_INDEX, INDEX, 0);
    accepted("no mediaType, Docker list", LIST,
             "{'schemaVersion':2,'manifests':[]}",
             ACR_MANIFEST_INDEX, LIST, 0);
    accepted("parameters of Content-Type", "  " OCI " ; charset=utf-8;a=b",
             "{'schemaVersion':2," CONFIG "}", ACR_MANIFEST_IMAGE, OCI, 1);
    accepted("the case of Content-Type",
             "Application/VND.OCI.image.Manifest.v1+JSON", IMAGE(""),
             ACR_MANIFEST_IMAGE, OCI, 2);

    /* what is inferred */

    for (i = 0; i < sizeof(generic) / sizeof(generic[0]); i++) {
        accepted(generic[i], generic[i],
                 "{'schemaVersion':2," CONFIG "," LAYERS "}",
                 ACR_MANIFEST_IMAGE, OCI, 2);
        accepted(generic[i], generic[i],
                 "{'schemaVersion':2,'manifests':[]}",
                 ACR_MANIFEST_INDEX, INDEX, 0);
        accepted(generic[i], generic[i], V2(DOCKER) CONFIG "}",
                 ACR_MANIFEST_IMAGE, DOCKER, 1);
        accepted(generic[i], generic[i], "{'mediaType':'" OTHER "'}",
                 ACR_MANIFEST_OTHER, OTHER, 0);
        refused(generic[i], generic[i], "{'schemaVersion':2}",
                "no media type");
        refused(generic[i], generic[i],
                "{'schemaVersion':2,'layers':[],'mediaType':''}",
                "no media type");
    }

    accepted("manifests: null tells nothing, config does", "",
             "{'schemaVersion':2,'manifests':null," CONFIG "}",
             ACR_MANIFEST_IMAGE, OCI, 1);

    /* others, known by nobody */

    accepted("unknown, by the field", OTHER, "{'mediaType':'" OTHER "'}",
             ACR_MANIFEST_OTHER, OTHER, 0);
    accepted("unknown, by Content-Type", OTHER,
             "{'layers':7,'config':[],'manifests':'x','schemaVersion':3}",
             ACR_MANIFEST_OTHER, OTHER, 0);
    ok(m.artifact_type == NULL && m.annotations == NULL && !m.has_subject,
       "nothing of it is known");
    accepted("unknown, with what the referrers API needs", OTHER,
             "{'subject':" DESC(OCI, "5", "1", "")
             ",'artifactType':'a/b','annotations':{'x':'\\u00e9'}}",
             ACR_MANIFEST_OTHER, OTHER, 0);
    ok(m.has_subject && same(m.artifact_type, "a/b")
       && same(m.annotations, "{\"x\":\"\xc3\xa9\"}"), "is read");

    /* contradictions */

    refused("Docker in OCI", OCI, V2(DOCKER) CONFIG "}", "contradicts");
    refused("OCI in Docker", DOCKER, IMAGE(""), "contradicts");
    refused("an index in an image", OCI, ENTRIES(""), "contradicts");
    refused("an image in an index", INDEX, IMAGE(""), "contradicts");
    refused("an image in an unknown type", OTHER, IMAGE(""), "contradicts");
    refused("an unknown type in an image", OCI, "{'mediaType':'" OTHER "'}",
            "contradicts");
    refused("a longer type", OCI "x", IMAGE(""), "contradicts");

    /* fields of another kind: CVE-2021-41190 */

    refused("manifests in an image", OCI, IMAGE(",'manifests':[]"),
            "another media type");
    refused("config in an index", INDEX,
            V2(INDEX) "'manifests':[]," CONFIG "}", "another media type");
    refused("layers in an index", INDEX,
            V2(INDEX) "'manifests':[],'layers':[]}", "another media type");
    refused("layers in a Docker list", LIST,
            V2(LIST) "'manifests':[],'layers':[]}", "another media type");
    refused("manifests in a Docker image", DOCKER,
            V2(DOCKER) CONFIG ",'manifests':[]}", "another media type");
    refused("config in an artifact", ORAS,
            "{'mediaType':'" ORAS "'," CONFIG "}", "another media type");
    refused("manifests and config, nothing said", "",
            "{'schemaVersion':2,'manifests':[]," CONFIG "}",
            "another media type");

    /* bad ones */

    refused("Content-Type is no type", "json", IMAGE(""),
            "Content-Type is not");
    refused("Content-Type is a range", "*/*", IMAGE(""),
            "Content-Type is not");
    refused("two in Content-Type", OCI "," INDEX, IMAGE(""),
            "Content-Type is not");
    refused("mediaType is no type", "", V2("image") CONFIG "}",
            "mediaType is not a media type");
    refused("mediaType with a parameter", "", V2(OCI ";a=b") CONFIG "}",
            "mediaType is not a media type");
    refused("mediaType with a line feed", "", V2(OCI "\\n") CONFIG "}",
            "mediaType is not a media type");
    refused("mediaType is a number", "", "{'mediaType':5}",
            "mediaType is not a string");

    /* schemaVersion */

    refused("none", OCI, "{" CONFIG "," LAYERS "}", "schemaVersion");
    refused("none in an index", INDEX, "{'manifests':[]}", "schemaVersion");
    refused("1", OCI, "{'schemaVersion':1," CONFIG "}", "schemaVersion");
    refused("3", LIST, "{'schemaVersion':3,'manifests':[]}",
            "schemaVersion");
    refused("a string", OCI, "{'schemaVersion':'2'," CONFIG "}",
            "schemaVersion");
    refused("a real number", DOCKER, "{'schemaVersion':2.0," CONFIG "}",
            "schemaVersion");
    refused("null", OCI, "{'schemaVersion':null," CONFIG "}",
            "schemaVersion");

    /* schema 1 */

    refused("schema 1", "application/vnd.docker.distribution.manifest.v1+json",
            "{'schemaVersion':1,'fsLayers':[],'history':[]}", "schema 1");
    refused("schema 1, signed",
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "{'schemaVersion':1,'fsLayers':[],'signatures':[]}", "schema 1");
    refused("schema 1, said in the body", "",
            "{'schemaVersion':1,'mediaType':"
            "'application/vnd.docker.distribution.manifest.v1+json'}",
            "schema 1");
    refused("schema 1, nothing said", "application/json",
            "{'schemaVersion':1,'fsLayers':[],'history':[]}", "schema 1");
}


static void
test_fields(void)
{
    refused("layers is an object", OCI, V2(OCI) CONFIG ",'layers':{}}",
            "not a list");
    refused("layers is a string", OCI, V2(OCI) CONFIG ",'layers':'x'}",
            "not a list");
    refused("layers is false", OCI, V2(OCI) CONFIG ",'layers':false}",
            "not a list");
    refused("manifests is an object", INDEX, V2(INDEX) "'manifests':{}}",
            "not a list");
    refused("blobs is an object", OCI_ART, "{'blobs':{}}", "not a list");
    refused("config is a list", OCI, V2(OCI) "'config':[]}",
            "not an object");
    refused("no config", OCI, V2(OCI) LAYERS "}", "no config");
    refused("no config in a Docker image", DOCKER, V2(DOCKER) LAYERS "}",
            "no config");
    refused("subject is a string", OCI, IMAGE(",'subject':'x'"),
            "not an object");
    refused("subject is a list", OCI, IMAGE(",'subject':[]"),
            "not an object");
    refused("artifactType is a number", OCI, IMAGE(",'artifactType':1"),
            "artifactType");
    refused("artifactType of an index", INDEX,
            V2(INDEX) "'manifests':[],'artifactType':{}}", "artifactType");
    refused("annotations is a list", OCI, IMAGE(",'annotations':[]"),
            "annotations is not");
    refused("an annotation is a number", OCI,
            IMAGE(",'annotations':{'a':'b','c':1}"), "an annotation is not");
    refused("an annotation is null", OCI,
            IMAGE(",'annotations':{'a':null}"), "an annotation is not");
    refused("an annotation is an object", INDEX,
            V2(INDEX) "'manifests':[],'annotations':{'a':{}}}",
            "an annotation is not");
}


static void
test_references(void)
{
    int      i, n;
    size_t   len;
    char    *json;

    accepted("a layer twice", OCI,
             LAYER_IS(DESC(LAYER, "1", "9", "") "," DESC(LAYER, "2", "8", "")
                      "," DESC(LAYER, "1", "9", "")),
             ACR_MANIFEST_IMAGE, OCI, 3);
    refused("with two sizes", OCI,
            LAYER_IS(DESC(LAYER, "1", "9", "") "," DESC(LAYER, "1", "8", "")),
            "two sizes");
    refused("as config with another size", OCI,
            LAYER_IS(DESC(LAYER, "c", "8", "")), "two sizes");
    accepted("an entry for two platforms", INDEX,
             ENTRIES(DESC(OCI, "1", "9", ",'platform':{'os':'a'}") ","
                     DESC(OCI, "1", "9", ",'platform':{'os':'b'}")),
             ACR_MANIFEST_INDEX, INDEX, 1);
    accepted("the subject is no reference", OCI,
             IMAGE(",'subject':" DESC(OCI, "1", "11", "")),
             ACR_MANIFEST_IMAGE, OCI, 2);

    /* the order stays: the config, then the layers */

    parse(OCI, LAYER_IS(DESC(LAYER, "3", "1", "") ","
                        DESC(LAYER, "2", "1", "")));
    ok(m.references[0].digest.hex[0] == 'c'
       && m.references[1].digest.hex[0] == '3'
       && m.references[2].digest.hex[0] == '2', "in their order");

    json = malloc(1100 * 200);

    for (n = ACR_MANIFEST_REFERENCES_MAX - 1;
         n <= ACR_MANIFEST_REFERENCES_MAX + 1;
         n++)
    {
        len = (size_t) sprintf(json, V2(INDEX) "'manifests':[");

        for (i = 0; i < n; i++) {
            len += (size_t) sprintf(json + len, "%s{'mediaType':'" OCI "',"
                                    "'digest':'sha256:%064x','size':%d}",
                                    i ? "," : "", i, i);
        }

        sprintf(json + len, "]}");

        if (n > ACR_MANIFEST_REFERENCES_MAX) {
            refused("1001 entries", INDEX, json, "too many references");
            break;
        }

        accepted("many entries", INDEX, json, ACR_MANIFEST_INDEX, INDEX,
                 (size_t) n);

        /* an image has its config as well */

        len = (size_t) sprintf(json, V2(OCI) CONFIG ",'layers':[");

        for (i = 0; i < n; i++) {
            len += (size_t) sprintf(json + len, "%s" DESC(LAYER, "1", "1",
                                                          ""),
                                    i ? "," : "");
        }

        sprintf(json + len, "]}");

        if (n == ACR_MANIFEST_REFERENCES_MAX) {
            refused("1000 layers and a config", OCI, json,
                    "too many references");

        } else {
            accepted("999 times a layer", OCI, json, ACR_MANIFEST_IMAGE, OCI,
                     2);
        }
    }

    free(json);
}


/* typed means just this: with no Content-Type it is parsed to the same */

static void
test_typed(void)
{
    int      typed;
    char    *type;
    size_t   i;

    static const struct {
        const char  *type;
        const char  *json;
        int          typed;
    } tests[] = {
        { OCI, IMAGE(""), 1 },
        { DOCKER, V2(DOCKER) CONFIG "}", 1 },
        { OTHER, "{'mediaType':'" OTHER "'}", 1 },
        { "Application/VND.OCI.image.manifest.v1+json", IMAGE(""), 1 },
        { "", "{'schemaVersion':2," CONFIG "}", 1 },
        { "application/json", "{'schemaVersion':2,'manifests':[]}", 1 },
        { OCI, "{'schemaVersion':2," CONFIG "}", 1 },
        { INDEX, "{'schemaVersion':2,'manifests':[]}", 1 },
        { OCI "; a=b", "{'schemaVersion':2,'mediaType':''," CONFIG "}", 1 },
        { DOCKER, "{'schemaVersion':2," CONFIG "}", 0 },
        { LIST, "{'schemaVersion':2,'manifests':[]}", 0 },
        { INDEX, "{'schemaVersion':2,'manifests':null}", 0 },
        { ORAS, "{'blobs':[]}", 0 },
        { OTHER, "{}", 0 },
        { OTHER, "{'config':1}", 0 },
        { OTHER, "{'manifests':[],'mediaType':null}", 0 },
        { "Application/VND.OCI.image.manifest.v1+json",
          "{'schemaVersion':2," CONFIG "}", 0 }
    };

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {

        is_int(parse(tests[i].type, tests[i].json), ACR_OK, "%s: %s",
               tests[i].type, tests[i].json);
        is_int(m.typed, tests[i].typed, "typed");

        typed = m.typed;
        type = (char *) tap_copy(m.media_type, strlen(m.media_type) + 1);

        is_int(parse("", tests[i].json) == ACR_OK
               && strcmp(type, m.media_type) == 0, typed, "so it is");
    }
}


/* the conformance suite's large manifest */

static void
test_large(void)
{
    int      i;
    size_t   n;
    char    *json;

    json = malloc(4 * 1024 * 1024);

    n = (size_t) sprintf(json, V2(OCI) CONFIG "," LAYERS ",'annotations':{");

    for (i = 0; i < 390; i++) {
        n += (size_t) sprintf(json + n, "%s'large-annotation-%d':'",
                              i ? "," : "", i);
        memset(json + n, 'A', 10000);
        n += 10000;
        json[n++] = '\'';
    }

    n += (size_t) sprintf(json + n, "}}");

    is_int(parse_n(OCI, json, n), ACR_OK, "390 annotations of 10,000 bytes");
    ok(m.annotations && strlen(m.annotations) > 3900000, "all are there");

    free(json);
}


int
main(void)
{
    test_real();
    test_null();
    test_media_type();
    test_fields();
    test_references();
    test_typed();
    test_large();

    acr_manifest_free(&m);

    return done();
}
