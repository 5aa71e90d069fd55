
/*
 * The data endpoint: pulls of blobs are sent to another host by an address that
 * is signed (acr_signed.h), where who has it needs no credentials, so that any
 * cache may stand before it.  docs/edge.md.
 */

#ifndef NGX_HTTP_ACR_DATA_H
#define NGX_HTTP_ACR_DATA_H

#include "../ngx_http_acr.h"


/* what an address has before the digest */
#define NGX_HTTP_ACR_DATA_PATH  "/acr/data/"


/* the content handler of a location with "acr_data" */
ngx_int_t ngx_http_acr_data(ngx_http_request_t *r);

/*
 * For a blob of that many bytes which the request may have.  NGX_DECLINED: it
 * is to be sent from here; NGX_DONE: the request has ended, with the address of
 * the blob at the endpoint (307), or with an error.
 */
ngx_int_t ngx_http_acr_data_redirect(ngx_http_request_t *r,
    acr_digest_t *digest, off_t size);


#endif /* NGX_HTTP_ACR_DATA_H */
