
/*
 * Lists of entity tags, RFC 9110 sections 8.8.3 and 13.1: the values of
 * If-Match and If-None-Match.
 */

#ifndef ACR_ETAG_H
#define ACR_ETAG_H

#include "acr_core.h"

typedef struct {
    acr_text_t   tag;          /* what stands between the quotes */
    unsigned     weak:1;       /* W/"..." */
} acr_etag_t;

/* 1 if the list is "*": any */
int acr_etag_any(const acr_text_t *list);

/*
 * Takes the next entity tag off *rest (which moves on); the text of *etag
 * points into it.  What is no entity tag is passed over up to the next comma.
 * ACR_OK, or ACR_DONE at the end.
 */
int acr_etag_next(acr_text_t *rest, acr_etag_t *etag);

#endif /* ACR_ETAG_H */
