
/*
 * A part of a content that is far ahead of its fill: it comes from the origin
 * by a request of its own, is sent to the client as it comes, and is not kept.
 * The fill goes on beside it.
 *
 * Nothing tells whether it is what the digest promises, since that is known of
 * a whole content only: the client sees when it has all.  An answer that ends
 * early breaks the client's connection.  A few buffers are all the memory that
 * it takes; while they are full nothing is read from the origin.
 *
 * Each worker has as many of them at once as fills may run on the node
 * (acr_fill_max), and they share the fills' bandwidth (acr_fill_rate).
 */

#ifndef NGX_HTTP_ACR_DIRECT_H
#define NGX_HTTP_ACR_DIRECT_H

#include "ngx_http_acr_fill.h"


/*
 * Bytes beyond the mark that a part has to begin.  Waiting for them costs
 * nothing, and at 100 Mbit/s a second or so; a request costs a way or two to
 * the origin and to where that redirects, counts for the origin's limits, and
 * its bytes come twice.
 */
#define NGX_HTTP_ACR_DIRECT_AHEAD  (16 * 1024 * 1024)


typedef void (*ngx_http_acr_direct_pt)(ngx_http_request_t *r, void *data);

/*
 * The request asks for ctx->digest, which has that size and is there up to the
 * mark.  NGX_OK: it is answered by this, or by declined(r, data) later, if the
 * origin does not give the part.  NGX_DECLINED: it has to be answered
 * otherwise, since it asks for no single part that is so far ahead, or has
 * other conditions than If-Range and If-Match, or there are too many of them.
 * The names of the source stay until the request ends.
 */
ngx_int_t ngx_http_acr_direct(ngx_http_request_t *r,
    ngx_http_acr_source_t *source, off_t size, off_t mark,
    ngx_http_acr_direct_pt declined, void *data);


#endif /* NGX_HTTP_ACR_DIRECT_H */
