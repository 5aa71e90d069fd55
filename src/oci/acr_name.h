
/*
 * Repository names and tags, OCI distribution-spec "Pulling manifests":
 *
 *     name  [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)...)*)*
 *     tag   [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}
 *
 * A name that passes is safe as a relative path: it has no empty component,
 * none that begins with a dot or an underscore, and no byte outside the set.
 */

#ifndef ACR_NAME_H
#define ACR_NAME_H

#include "acr_core.h"

#define ACR_NAME_MAX  255      /* bytes of a whole repository name */
#define ACR_TAG_MAX   128      /* bytes of a tag */

/* 1 if the text is a repository name of at most ACR_NAME_MAX bytes, else 0 */
int acr_name_valid(const unsigned char *p, size_t n);

/* 1 if the text is a tag, else 0 */
int acr_tag_valid(const unsigned char *p, size_t n);

#endif /* ACR_NAME_H */
