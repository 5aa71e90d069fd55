
/*
 * Cache rules that operators have made (acr_rule.h has what one means), each
 * with a name of the form of a tag, as they stand in a document:
 *
 *     { "version": 1, "cacheRules": [
 *       { "name": "hub", "targetRepository": "hub/...",
 *         "sourceRepository": "docker.io/...", "valid": 300, "gone": "keep",
 *         "created": 1795637495 } ] }
 *
 * with "*" for "...".  The names of members are those of Azure Container
 * Registry's resource "cacheRules"; "valid" and "gone" are the parameters of
 * the directive.
 */

#ifndef ACR_RULES_H
#define ACR_RULES_H

#include <jansson.h>

#include "acr_change.h"
#include "acr_rule.h"

#define ACR_RULES_MAX        1000
#define ACR_RULES_TEXT_MAX   (4 * 1024 * 1024)

/* seconds */
#define ACR_RULES_VALID      300                     /* if nothing is said */
#define ACR_RULES_VALID_MAX  (10 * 365 * 24 * 3600)


typedef struct {
    acr_text_t       name;
    acr_rule_t       rule;
    int64_t          valid;         /* seconds */
    unsigned         gone:1;        /* "404", and not "keep" */
} acr_rules_entry_t;

/* texts point into it */

typedef struct {
    json_t             *root;
    acr_rules_entry_t  *entries;
    size_t              n;
} acr_rules_t;


/*
 * Reads a document; NULL is one without rules, an empty text is broken.  No two
 * rules overlap or have one name.  NULL: *error (static) says why,
 * acr_rules_nomem: there is no memory.
 */
acr_rules_t *acr_rules_load(const unsigned char *p, size_t n,
    const char **error);
void acr_rules_free(acr_rules_t *rules);

extern const char  acr_rules_nomem[];

/* the place of a rule, or rules->n */
size_t acr_rules_find(const acr_rules_t *rules, const acr_text_t *name);

/* a rule as operators see it, a new reference; NULL: no memory */
json_t *acr_rules_show(const acr_rules_t *rules, size_t place);

/*
 * Changes a document: method is 'P' (PUT: makes a rule, or sets what body has)
 * or 'D' (DELETE).  body: what the client has sent, an object, or NULL.  now:
 * seconds since 1970.  Returns the new text, from malloc() and with its length
 * in *len; NULL: *code says how it is refused, *error (static) why.
 */
unsigned char *acr_rules_change(const unsigned char *p, size_t n,
    const acr_text_t *name, int method, const json_t *body, int64_t now,
    size_t *len, acr_change_e *code, const char **error);

#endif /* ACR_RULES_H */
