
/*
 * The error codes of OCI distribution-spec "Error Codes", with the HTTP
 * status that each has when nothing more special is known.  One table: the
 * enumeration, the names and the messages all come from it.
 *
 * An answer of 4xx must have a code of the specification, so where it has none
 * that fits, the nearest is used with a status of its own.  Three are ACR's:
 * clients of its API, and of what its locks refuse, look for them.  The last
 * three are ours, and of 5xx.
 */

#ifndef ACR_ERROR_H
#define ACR_ERROR_H

#include "acr_core.h"

#define ACR_ERRORS(X)                                                        \
    X(BLOB_UNKNOWN, 404, "blob unknown to registry")                         \
    X(BLOB_UPLOAD_INVALID, 400, "blob upload invalid")                       \
    X(BLOB_UPLOAD_UNKNOWN, 404, "blob upload unknown to registry")           \
    X(DIGEST_INVALID, 400, "provided digest did not match uploaded content") \
    X(MANIFEST_BLOB_UNKNOWN, 404,                                            \
      "manifest references a manifest or blob unknown to registry")          \
    X(MANIFEST_INVALID, 400, "manifest invalid")                             \
    X(MANIFEST_UNKNOWN, 404, "manifest unknown to registry")                 \
    X(NAME_INVALID, 400, "invalid repository name")                          \
    X(NAME_UNKNOWN, 404, "repository name not known to registry")            \
    X(PAGINATION_NUMBER_INVALID, 400, "invalid number of results requested") \
    X(REGISTRY_DISALLOWED_OPERATION, 405,                                    \
      "the operation is disallowed on this registry, repository or image")   \
    X(SIZE_INVALID, 413, "provided length did not match content length")     \
    X(TAG_UNKNOWN, 404, "the specified tag does not exist")                  \
    X(UNAUTHORIZED, 401, "authentication required")                          \
    X(DENIED, 403, "requested access to the resource is denied")             \
    X(UNSUPPORTED, 405, "the operation is unsupported")                      \
    X(TOOMANYREQUESTS, 429, "too many requests")                             \
    X(UNAVAILABLE, 503, "the registry is temporarily unavailable")           \
    X(STORAGE_FULL, 507, "the registry has no space left")                   \
    X(UNKNOWN, 500, "internal error")

typedef enum {
#define ACR_ERROR_ENUM(code, status, message)  ACR_E_##code,
    ACR_ERRORS(ACR_ERROR_ENUM)
#undef ACR_ERROR_ENUM
    ACR_E_MAX
} acr_error_e;

typedef struct {
    const char  *code;         /* "BLOB_UNKNOWN" */
    unsigned     status;       /* HTTP status */
    const char  *message;
} acr_error_t;

/* the row of the table; never NULL for a value of acr_error_e */
const acr_error_t *acr_error(acr_error_e e);

/*
 * Writes n bytes of text as the inside of a JSON string (RFC 8259 section 7):
 * quotes, backslashes and control characters escaped, bytes that are not
 * UTF-8 replaced by U+FFFD.  Returns the length written; buf has room for
 * 6 * n bytes.
 */
size_t acr_json_escape(unsigned char *buf, const unsigned char *p, size_t n);

#endif /* ACR_ERROR_H */
