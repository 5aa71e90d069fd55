
/*
 * What ACR lets be said about a repository, a tag or a manifest: may it be
 * deleted, written, listed, read ("changeableAttributes" of its data-plane API,
 * containerregistry.json 2021-07-01), and the quarantine of a manifest.  All
 * four are true unless something else was said.
 *
 * The index has them as "<off> <state> <details>": off has a letter for each
 * that is false, in the order d, w, l, r, or is "-"; state is "Passed",
 * "Failed" or "-"; details are the rest, perhaps empty.  The directory has them
 * as the JSON object of the API.
 */

#ifndef ACR_ATTRIBUTES_H
#define ACR_ATTRIBUTES_H

#include "acr_json.h"

#define ACR_ATTRIBUTE_DELETE  0x01         /* deleteEnabled: d */
#define ACR_ATTRIBUTE_WRITE   0x02         /* writeEnabled: w */
#define ACR_ATTRIBUTE_LIST    0x04         /* listEnabled: l */
#define ACR_ATTRIBUTE_READ    0x08         /* readEnabled: r */

/* bytes of quarantineDetails, and of all as text */
#define ACR_ATTRIBUTES_DETAILS_MAX  4096
#define ACR_ATTRIBUTES_MAX                                                   \
    (sizeof("dwlr Passed ") - 1 + ACR_ATTRIBUTES_DETAILS_MAX)

/* longest JSON of them: a byte may become six */
#define ACR_ATTRIBUTES_JSON_MAX  (256 + 6 * ACR_ATTRIBUTES_DETAILS_MAX)

typedef struct {
    unsigned      off;         /* ACR_ATTRIBUTE_* that are false */
    acr_text_t    state;       /* of the quarantine; empty: there is none */
    acr_text_t    details;
} acr_attributes_t;

/* reads the text of the index, which may be empty: all are true.  The texts
   point into it.  ACR_OK or ACR_INVALID. */
int acr_attributes_parse(acr_attributes_t *attributes, const unsigned char *p,
    size_t n);

/* the letters of some of them into buf (4 bytes); returns their number */
size_t acr_attributes_letters(unsigned char *buf, unsigned attributes);

/* the JSON object of the API, a new reference; NULL: no memory, or the details
   are no UTF-8 */
json_t *acr_attributes_json(const acr_attributes_t *attributes);

/*
 * Reads the JSON object of a file, and prints it as the index has it into buf,
 * which has room for ACR_ATTRIBUTES_MAX bytes; *len is 0 if all are true.
 * Members that it does not know are passed over.  ACR_OK; ACR_INVALID: it is no
 * such object; ACR_NOMEM.
 */
int acr_attributes_load(unsigned char *buf, size_t *len,
    const unsigned char *p, size_t n);


/* what a PATCH of the API changes */

typedef struct {
    json_t       *root;        /* that the texts point into */
    unsigned      off;         /* become false */
    unsigned      on;          /* become true */
    acr_text_t    state;       /* empty: as it is */
    acr_text_t    details;
    unsigned      detailed:1;  /* the details change */
} acr_attributes_change_t;

/*
 * Reads the body of a PATCH; quarantine: it may change that.  ACR_OK;
 * ACR_INVALID, with *error (static): it is no object of such members;
 * ACR_NOMEM.  To be freed in any case.
 */
int acr_attributes_change(acr_attributes_change_t *change,
    const unsigned char *p, size_t n, int quarantine, const char **error);
void acr_attributes_change_free(acr_attributes_change_t *change);

#endif /* ACR_ATTRIBUTES_H */
