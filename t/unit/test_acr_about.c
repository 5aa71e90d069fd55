
#include "acr_about.h"
#include "tap.h"

#define CONFIG  "application/vnd.oci.image.config.v1+json"

#define A32  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B32  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define A    "sha256:" A32 A32
#define B    "sha256:" B32 B32


static int
about(acr_about_t *a, const char *json)
{
    int             rc;
    size_t          n;
    unsigned char  *copy;

    n = strlen(json);
    copy = tap_copy(json, n);

    rc = acr_about_manifest(a, copy, n);


    return rc;
}


static void
image(void)
{
    acr_about_t    a;
    acr_digest_t   digest;

    is_int(about(&a, "{\"config\":{\"mediaType\":\"" CONFIG "\",\"digest\":"
                     "\"" A "\",\"size\":5},"
                     "\"layers\":[{\"size\":7},{\"size\":9},"
                     "{\"size\":\"x\"},3]}"),
           ACR_OK, "an image");
    is_int(a.size, 21, "its size");
    ok(a.config_media_type && strcmp(a.config_media_type, CONFIG) == 0,
       "the type of its config");
    acr_digest_parse(&digest, LIT(A));
    ok(a.has_config && acr_digest_equal(&a.config, &digest), "its config");
    ok(a.references == NULL && !a.partial, "it names no manifests");
    acr_about_free(&a);

    about(&a, "{\"config\":{\"mediaType\":\"" CONFIG "\",\"digest\":\"" A
              "\",\"size\":4194305}}");
    ok(!a.has_config, "a config too large");
    acr_about_free(&a);

    about(&a, "{\"config\":{\"mediaType\":\"a/b\",\"digest\":\"" A
              "\",\"size\":5}}");
    ok(!a.has_config && strcmp(a.config_media_type, "a/b") == 0,
       "a config of no image");
    acr_about_free(&a);

    about(&a, "{\"config\":{\"mediaType\":\"" CONFIG
              "\",\"digest\":\"sha256:a\",\"size\":1}}");
    ok(!a.has_config, "a config with a bad digest");
    acr_about_free(&a);

    about(&a, "{\"config\":7,\"layers\":{}}");
    ok(!a.has_config && a.size == 0, "nothing as it should be");
    acr_about_free(&a);

    about(&a, "{\"layers\":[{\"size\":-1}]}");
    ok(a.partial, "a size below 0");
    acr_about_free(&a);

    about(&a, "{\"layers\":[{\"size\":9223372036854775807},{\"size\":1}]}");
    ok(a.partial, "sizes beyond int64_t");
    acr_about_free(&a);

    about(&a, "{\"blobs\":[{\"size\":3}]}");
    is_int(a.size, 3, "an artifact");
    acr_about_free(&a);

    is_int(about(&a, "[]"), ACR_INVALID, "no object");
    acr_about_free(&a);
}


static void
an_index(void)
{
    int           i;
    char         *json, *p;
    acr_about_t   a;

    is_int(about(&a, "{\"manifests\":[{\"digest\":\"" A "\",\"platform\":"
                     "{\"architecture\":\"arm\",\"os\":\"linux\","
                     "\"variant\":\"v7\"}},{\"digest\":\"" B "\",\"platform\":"
                     "{\"os\":\"\"}},{\"digest\":\"" A "\"},{}]}"),
           ACR_OK, "an index");
    is_int(json_array_size(a.references), 3, "what it names");
    is_int(a.nchildren, 2, "each once");

    json = json_dumps(a.references, JSON_COMPACT);
    ok(strcmp(json, "[{\"digest\":\"" A "\",\"architecture\":\"arm\","
                    "\"os\":\"linux\",\"variant\":\"v7\"},{\"digest\":\"" B
                    "\"},{\"digest\":\"" A "\"}]") == 0, "%s", json);
    free(json);
    acr_about_free(&a);

    is_int(about(&a, "{\"manifests\":[]}"), ACR_OK, "an empty index");
    is_int(json_array_size(a.references), 0, "names none");
    acr_about_free(&a);

    json = malloc(300 * 100);
    p = json + sprintf(json, "{\"manifests\":[");

    for (i = 0; i < 300; i++) {
        p += sprintf(p, "%s{\"digest\":\"sha256:%064x\"}", i ? "," : "", i);
    }

    strcpy(p, "]}");

    about(&a, json);
    is_int(a.nchildren, ACR_ABOUT_CHILDREN, "many: so many are looked at");
    is_int(json_array_size(a.references), 300, "all are told");
    ok(a.partial, "and the size is not");
    acr_about_free(&a);
    free(json);
}


static void
config(const char *text, const char *architecture, const char *os)
{
    size_t          n;
    json_t         *a, *o;
    unsigned char  *copy;

    n = strlen(text);
    copy = tap_copy(text, n);

    is_int(acr_about_config(copy, n, &a, &o), ACR_OK, "%s", text);
    ok(architecture ? a && strcmp(json_string_value(a), architecture) == 0
                    : a == NULL, "%s: architecture", text);
    ok(os ? o && strcmp(json_string_value(o), os) == 0 : o == NULL,
       "%s: os", text);

    json_decref(a);
    json_decref(o);
}


int
main(void)
{
    image();
    an_index();

    config("{\"architecture\":\"amd64\",\"os\":\"linux\"}", "amd64", "linux");
    config("{\"architecture\":\"\",\"os\":7}", NULL, NULL);
    config("{\"os\":\"windows\"}", NULL, "windows");
    config("{}", NULL, NULL);
    config("no JSON", NULL, NULL);
    config("", NULL, NULL);

    return done();
}
