
#include "acr_about.h"
#include "fuzz.h"


int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    json_t        *architecture, *os;
    acr_about_t    about;

    if (acr_about_manifest(&about, data, size) == ACR_OK) {
        check(about.size <= INT64_MAX);
        check(about.nchildren <= ACR_ABOUT_CHILDREN);
        check(about.nchildren <= json_array_size(about.references));
        check(!about.has_config || about.config.alg);
    }

    acr_about_free(&about);

    if (acr_about_config(data, size, &architecture, &os) == ACR_OK) {
        check(architecture == NULL || json_string_length(architecture));
        check(os == NULL || json_string_length(os));
    }

    json_decref(architecture);
    json_decref(os);

    return 0;
}
