
#include "acr_json.h"
#include "test_acr_manifest.h"


static void
test_json(void)
{
    size_t   i, n;
    char    *text;

    refused("nothing", OCI, "", "not valid JSON");
    refused("half", OCI, V2(OCI) CONFIG, "not valid JSON");
    refused("something behind", OCI, IMAGE("") "x", "not valid JSON");
    refused("two documents", OCI, IMAGE("") IMAGE(""), "not valid JSON");
    refused("a byte order mark", OCI, "\xef\xbb\xbf" IMAGE(""),
            "not valid JSON");
    refused("an array", OCI, "[" IMAGE("") "]", "not a JSON object");
    refused("a string", OCI, "'x'", "not valid JSON");
    refused("null", OCI, "null", "not valid JSON");
    refused("not UTF-8", OCI, IMAGE(",'a':'\xff'"), "not valid JSON");
    refused("half a surrogate pair", OCI, IMAGE(",'a':'\\ud800'"),
            "not valid JSON");
    refused("a zero in a string", OCI, IMAGE(",'a':'\\u0000'"),
            "not valid JSON");
    refused_n("a zero byte", OCI, "{}\0", 3, "not valid JSON");
    refused("a comment", OCI, "/* */" IMAGE(""), "not valid JSON");
    refused("a comma too many", OCI, IMAGE(","), "not valid JSON");
    refused("an integer beyond 64 bits", OCI,
            IMAGE(",'a':9223372036854775808"), "not valid JSON");
    refused("a number beyond double", OCI, IMAGE(",'a':1e999"),
            "not valid JSON");

    refused("mediaType twice", OCI, IMAGE(",'mediaType':'" OCI "'"),
            "occurs twice");
    refused("twice, one of them escaped", OCI,
            IMAGE(",'l\\u0061yers':[]"), "occurs twice");
    refused("twice in a descriptor", OCI,
            LAYER_IS(DESC(LAYER, "1", "3", ",'size':3")), "occurs twice");
    refused("twice in what is unknown", OTHER, "{'a':{'b':[{'c':1,'c':1}]}}",
            "occurs twice");
    accepted("the same key in two objects", OTHER,
             "{'a':{'b':1},'b':{'a':1}}", ACR_MANIFEST_OTHER, OTHER, 0);

    /* depth: {"a":[[...]]} */

    text = malloc(2 * ACR_JSON_VALUES_MAX + 100);

    for (i = ACR_JSON_DEPTH_MAX; i <= ACR_JSON_DEPTH_MAX + 1; i++) {
        n = (size_t) sprintf(text, "{'a':");
        memset(text + n, '[', i - 1);
        memset(text + n + i - 1, ']', i - 1);
        n += 2 * (i - 1);
        text[n++] = '}';

        is_int(parse_n(OTHER, text, n),
               i == ACR_JSON_DEPTH_MAX ? ACR_OK : ACR_INVALID,
               "%d levels", (int) i);
    }

    ok(strstr(m.error, "too deeply") != NULL, "the reason");

    memset(text, '[', 100000);
    refused_n("brackets without end", OTHER, text, 100000, "too deeply");

    accepted("brackets in a string", OTHER,
             "{'a':'[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\'[[[[[[[',"
             "'b':'\\\\','c':'{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{'}",
             ACR_MANIFEST_OTHER, OTHER, 0);
    refused("a string without end", OTHER, "{'a':'[[[\\", "not valid JSON");
    accepted("many lists side by side", OTHER,
             "{'a':[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],"
             "[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]}",
             ACR_MANIFEST_OTHER, OTHER, 0);

    /* the number of values: the object, the list and its numbers */

    n = (size_t) sprintf(text, "{'a':[0");

    for (i = 3; i < ACR_JSON_VALUES_MAX + 1; i++) {
        text[n++] = ',';
        text[n++] = '0';
    }

    sprintf(text + n, "]}");
    accepted("as many values as are allowed", OTHER, text,
             ACR_MANIFEST_OTHER, OTHER, 0);
    sprintf(text + n, ",0]}");
    refused("one more", OTHER, text, "too many values");

    free(text);
}


int
main(void)
{
    test_json();

    acr_manifest_free(&m);

    return done();
}
