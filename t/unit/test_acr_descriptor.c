
#include <jansson.h>

#include "test_acr_manifest.h"


static void
test_descriptor_fields(void)
{
    size_t  i;
    char    json[1024], label[64];

    static const struct {
        const char  *descriptor;
        const char  *error;
    } bad[] = {
        { "7", "not an object" },
        { "'x'", "not an object" },
        { "[]", "not an object" },
        { "{}", "no mediaType" },
        { "{'digest':'" SHA("1") "','size':1}", "no mediaType" },
        { "{'mediaType':'a/b','size':1}", "no mediaType" },
        { "{'mediaType':'a/b','digest':'" SHA("1") "'}", "no mediaType" },
        { "{'mediaType':1,'digest':'" SHA("1") "','size':1}", "wrong type" },
        { "{'mediaType':'a/b','digest':{},'size':1}", "wrong type" },
        { DESC("a/b", "1", "'1'", ""), "wrong type" },
        { DESC("a/b", "1", "1.0", ""), "wrong type" },
        { DESC("a/b", "1", "1e2", ""), "wrong type" },
        { DESC("a/b", "1", "true", ""), "wrong type" },
        { DESC("a/b", "1", "-1", ""), "negative" },
        { DESC("a/b", "1", "-9223372036854775808", ""), "negative" },
        { DESC("a/b", "1", "1", ",'urls':'http://x'"), "wrong type" },
        { DESC("a/b", "1", "1", ",'urls':[1]"), "URL" },
        { DESC("a/b", "1", "1", ",'urls':[null]"), "URL" },
        { DESC("a/b", "1", "1", ",'annotations':[]"), "wrong type" },
        { DESC("a/b", "1", "1", ",'annotations':{'a':1}"), "annotation" },
        { DESC("a/b", "1", "1", ",'annotations':{'a':null}"), "annotation" },
        { DESC("a/b", "1", "1", ",'data':1"), "wrong type" },
        { DESC("a/b", "1", "1", ",'platform':'linux'"), "wrong type" },
        { DESC("a/b", "1", "1", ",'artifactType':{}"), "wrong type" },
        { DESC("", "1", "1", ""), "bad mediaType" },
        { DESC("ab", "1", "1", ""), "bad mediaType" },
        { DESC("a/", "1", "1", ""), "bad mediaType" },
        { DESC("/b", "1", "1", ""), "bad mediaType" },
        { DESC("a/b/c", "1", "1", ""), "bad mediaType" },
        { DESC("a/b c", "1", "1", ""), "bad mediaType" },
        { DESC("a/(b)", "1", "1", ""), "bad mediaType" },
        { DESC(";a/b", "1", "1", ""), "bad mediaType" },
        { "{'mediaType':'a/b','digest':'','size':1}", "bad digest" },
        { "{'mediaType':'a/b','digest':'sha256:','size':1}", "bad digest" },
        { "{'mediaType':'a/b','digest':'" HEX("1") "','size':1}",
          "bad digest" },
        { "{'mediaType':'a/b','digest':'" SHA("1") "1','size':1}",
          "bad digest" },
        { "{'mediaType':'a/b','digest':'" SHA("A") "','size':1}",
          "bad digest" },
        { "{'mediaType':'a/b','digest':'" SHA("g") "','size':1}",
          "bad digest" },
        { "{'mediaType':'a/b','digest':'sha512:" HEX("1") "','size':1}",
          "bad digest" },
        { "{'mediaType':'a/b','digest':' " SHA("1") "','size':1}",
          "bad digest" }
    };

    /* the same wherever a descriptor can stand */

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        sprintf(label, "bad descriptor %d, %s", (int) i, bad[i].error);

        sprintf(json, V2(OCI) CONFIG ",'layers':[%s]}", bad[i].descriptor);
        refused(label, OCI, json, bad[i].error);

        sprintf(json, V2(OCI) "'config':%s}", bad[i].descriptor);
        refused(label, OCI, json, bad[i].error);

        sprintf(json, V2(INDEX) "'manifests':[%s]}", bad[i].descriptor);
        refused(label, INDEX, json, bad[i].error);

        sprintf(json, "{'blobs':[%s]}", bad[i].descriptor);
        refused(label, ORAS, json, bad[i].error);

        sprintf(json, "{'subject':%s}", bad[i].descriptor);
        refused(label, OTHER, json, bad[i].error);
    }

    is_int(parse(OCI, LAYER_IS("{'mediaType':'a/b','digest':'blake3:"
                               HEX("1") "','size':1}")),
           ACR_UNSUPPORTED, "an algorithm that we do not have");
    ok(m.error != NULL, "with its reason");
    is_int(parse(OTHER, "{'subject':{'mediaType':'a/b','digest':"
                        "'md5:x','size':1}}"),
           ACR_UNSUPPORTED, "in a subject");
}


static void
test_optional(void)
{
    /* only the media type tells: Distribution and zot do the same */

    accepted("non-distributable layers", OCI,
             V2(OCI) CONFIG ",'layers':["
             DESC(NONDIST, "1", "9", ",'urls':['https://example.com/1']") ","
             DESC("application/vnd.oci.image.layer.nondistributable.v1.tar",
                  "2", "9", "") ","
             DESC(FOREIGN, "3", "9", ",'urls':['https://example.com/3']") ","
             DESC("Application/vnd.OCI.image.layer.NONdistributable.v1.tar",
                  "4", "9", "") ","
             DESC(LAYER, "5", "9", ",'urls':['https://example.com/5']") ","
             DESC("application/vnd.docker.image.rootfs.diff.tar.gzip", "6",
                  "9", "") "]}",
             ACR_MANIFEST_IMAGE, OCI, 7);
    ok(reference('1')->optional && reference('2')->optional
       && reference('3')->optional && reference('4')->optional,
       "may be missing");
    ok(!reference('5')->optional && !reference('6')->optional
       && !reference('c')->optional, "the others may not");

    accepted("a config is never optional", OCI,
             V2(OCI) "'config':" DESC(NONDIST, "c", "1", "") "}",
             ACR_MANIFEST_IMAGE, OCI, 1);
    ok(!reference('c')->optional, "as it says");
    accepted("nor an entry of an index", INDEX,
             ENTRIES(DESC(NONDIST, "1", "1", "")),
             ACR_MANIFEST_INDEX, INDEX, 1);
    ok(!reference('1')->optional && reference('1')->manifest, "as it says");

    accepted("optional, then required", OCI,
             LAYER_IS(DESC(NONDIST, "1", "9", "") ","
                      DESC(LAYER, "1", "9", "")),
             ACR_MANIFEST_IMAGE, OCI, 2);
    ok(!reference('1')->optional, "is required");
    accepted("required, then optional", OCI,
             LAYER_IS(DESC(LAYER, "1", "9", "") ","
                      DESC(NONDIST, "1", "9", "")),
             ACR_MANIFEST_IMAGE, OCI, 2);
    ok(!reference('1')->optional, "is required");
    accepted("optional twice", OCI,
             LAYER_IS(DESC(NONDIST, "1", "9", "") ","
                      DESC(NONDIST, "1", "9", "")),
             ACR_MANIFEST_IMAGE, OCI, 2);
    ok(reference('1')->optional, "is optional");
    accepted("as config and layer", OCI,
             LAYER_IS(DESC(NONDIST, "c", "7", "")),
             ACR_MANIFEST_IMAGE, OCI, 1);
    ok(!reference('c')->optional, "is required");
}


static void
descriptor_is(const char *label, const char *type, const char *json,
    uint64_t size, const char *want)
{
    char           *got, *text;
    json_t         *back;
    acr_digest_t    digest;

    acr_digest_parse(&digest, LIT(SHA("a")));
    is_int(parse(type, json), ACR_OK, "%s: parsed", label);

    got = acr_manifest_descriptor(&m, &digest, size);
    text = (char *) quoted(want, strlen(want) + 1);

    if (!ok(got && strcmp(got, text) == 0, "%s: descriptor", label)) {
        printf("#   got %s\n", got);
    }

    back = json_loads(got, JSON_REJECT_DUPLICATES, NULL);
    ok(back != NULL, "%s: is JSON", label);
    json_decref(back);
    free(got);
}


static void
test_descriptor(void)
{
    descriptor_is("image", OCI, IMAGE(""), 528,
                  "{'mediaType':'" OCI "','digest':'" SHA("a")
                  "','size':528,'artifactType':'" CONF "'}");
    descriptor_is("index", INDEX, ENTRIES(""), 0,
                  "{'mediaType':'" INDEX "','digest':'" SHA("a")
                  "','size':0}");
    descriptor_is("unknown, largest size", OTHER, "{'annotations':{}}",
                  INT64_MAX, "{'mediaType':'" OTHER "','digest':'" SHA("a")
                  "','size':9223372036854775807}");
    descriptor_is("artifact type and annotations", INDEX,
                  V2(INDEX) "'manifests':[],'artifactType':'x/\\'\\\\\\n',"
                  "'annotations':{'k\\'':'v\\n\\u00e9/','a':''}}", 3,
                  "{'mediaType':'" INDEX "','digest':'" SHA("a")
                  "','size':3,'artifactType':'x/\\'\\\\\\n',"
                  "'annotations':{'k\\'':'v\\n\xc3\xa9/','a':''}}");
}


int
main(void)
{
    test_descriptor_fields();
    test_optional();
    test_descriptor();

    acr_manifest_free(&m);

    return done();
}
