
/*
 * Cache rules, as Azure Container Registry has them: which repositories here
 * are filled from which elsewhere.
 *
 *     target        source
 *     hub/ubuntu    docker.io/library/ubuntu    one repository
 *     hub/...       docker.io/...               all below a name ("..." is "*")
 *     ...           quay.io/...                 all
 *
 * A star is the last component, of both or of none.  The rule of one repository
 * comes before one of many.  "docker.io/ubuntu" is "docker.io/library/ubuntu",
 * as for Docker.
 */

#ifndef ACR_RULE_H
#define ACR_RULE_H

#include "acr_core.h"
#include "acr_name.h"

#define ACR_RULE_HOST_MAX  255

typedef struct {
    acr_text_t     target;     /* without its star: "hub/", or empty */
    acr_text_t     host;       /* "docker.io", with its port if it has one */
    acr_text_t     source;     /* of the repository, without its star */
    unsigned       many:1;     /* there was a star */
} acr_rule_t;

/*
 * Reads a rule, whose texts point to those that were given.  ACR_OK, or
 * ACR_INVALID with *error set to a static text: what is wrong.
 */
int acr_rule_parse(acr_rule_t *rule, acr_text_t target, acr_text_t source,
    const char **error);

/* 1 if a repository would have both, and neither is before the other */
int acr_rule_overlaps(const acr_rule_t *a, const acr_rule_t *b);

/*
 * The name that a repository of this name has at the source: writes it to buf,
 * of ACR_NAME_MAX bytes, and returns its length.  0: the rule is not for this
 * repository, or the name would be too long.
 */
size_t acr_rule_source(const acr_rule_t *rule, acr_text_t name,
    unsigned char *buf);

/* the other way round: the name here of one that is name at host */
size_t acr_rule_target(const acr_rule_t *rule, acr_text_t host,
    acr_text_t name, unsigned char *buf);

#endif /* ACR_RULE_H */
