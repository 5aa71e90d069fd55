
/*
 * Descriptors, OCI image-spec "Content Descriptors": how a manifest refers
 * to content.
 */

#ifndef ACR_DESCRIPTOR_H
#define ACR_DESCRIPTOR_H

#include "acr_json.h"
#include "acr_manifest.h"

/*
 * Reads one.  reference->manifest is left 0, reference->optional tells of a
 * layer that may not be distributed.  ACR_OK; ACR_INVALID or ACR_UNSUPPORTED
 * (a digest's algorithm) with *error set to a static text.
 */
int acr_descriptor_read(acr_reference_t *reference, const json_t *object,
    const char **error);

#endif /* ACR_DESCRIPTOR_H */
