
/*
 * Referrers of a repository that fills itself: what its origin lists.  It is
 * remembered in shared memory for as long as a tag is (acr_cache_rule, valid=),
 * each list by itself, unless it is too large for that.  Nothing of it is
 * stored: a manifest that is asked for comes as any other, and is a referrer
 * here from then on.
 *
 * An origin that has no referrers API is asked for the index that clients push
 * instead: the tag "sha256-<hex>" (OCI distribution-spec "Referrers Tag
 * Schema").
 */

#ifndef NGX_HTTP_ACR_REFERRED_H
#define NGX_HTTP_ACR_REFERRED_H

#include "ngx_http_acr_api.h"


/* pages that are asked for, and what is taken of all of them together; what is
   beyond is left out */
#define NGX_HTTP_ACR_REFERRED_PAGES  10
#define NGX_HTTP_ACR_REFERRED_MAX    1000
#define NGX_HTTP_ACR_REFERRED_SIZE   (3 * 1024 * 1024)


typedef struct {
    ngx_str_t              digest;
    ngx_str_t              descriptor;  /* JSON, as we write it */
} ngx_http_acr_referred_t;


/*
 * What the origin of ctx->repository lists of ctx->digest, with that
 * artifactType unless it is empty: continues with next.  NGX_OK: list has
 * ngx_http_acr_referred_t's, in r->pool, in the order of digests; NGX_ERROR: it
 * does not tell, which was logged; NGX_DECLINED: there is no rule for the
 * repository.  If there is no memory the request has failed.
 */
void ngx_http_acr_referred(ngx_http_request_t *r, ngx_str_t *type,
    ngx_array_t *list, ngx_http_acr_next_pt next, void *data);


#endif /* NGX_HTTP_ACR_REFERRED_H */
