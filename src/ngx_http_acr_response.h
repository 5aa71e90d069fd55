
/*
 * Answers.  Every function that sends also ends the request, so a handler
 * returns after it.
 */

#ifndef NGX_HTTP_ACR_RESPONSE_H
#define NGX_HTTP_ACR_RESPONSE_H

#include "ngx_http_acr.h"

#include <jansson.h>


/* of ACR's own API, and of its token service */
#define NGX_HTTP_ACR_JSON_UTF8  "application/json; charset=utf-8"


/*
 * Sends the error in the form of OCI distribution-spec "Error Codes" and ends
 * the request.  reason (static text, or NULL) goes into detail.reason; value
 * (what the client sent, or NULL) goes into detail under key: "name",
 * "digest", "tag", "size"...  503 and 429 carry Retry-After, and no cache may
 * keep any.  A request body that was not read is discarded.
 */
void ngx_http_acr_fail(ngx_http_request_t *r, acr_error_e e,
    const char *reason, const char *key, ngx_str_t *value);

/* the same with another status than the table's */
void ngx_http_acr_fail_status(ngx_http_request_t *r, ngx_uint_t status,
    acr_error_e e, const char *reason, const char *key, ngx_str_t *value);

/* the same for what src/store returned: 507 for ENOSPC and EDQUOT, 503 for
   EAGAIN (the queue of a thread pool is full) and EBUSY (a lock is not given
   back), else 500; NGX_ERROR too is 500.  The log line was written where it
   happened. */
void ngx_http_acr_fail_errno(ngx_http_request_t *r, ngx_int_t err);

/* fails the request with 405: attributes of what it names forbid it */
void ngx_http_acr_locked(ngx_http_request_t *r);

/* sends only a status and what headers were added, and ends the request */
void ngx_http_acr_send_status(ngx_http_request_t *r, ngx_uint_t status);

/* sends a body from memory of r->pool, and ends the request; type: static */
void ngx_http_acr_send_body(ngx_http_request_t *r, ngx_uint_t status,
    const char *type, u_char *p, size_t n);

/* sends root, of which it takes the reference, as NGX_HTTP_ACR_JSON_UTF8; NULL:
   there was no memory for it */
void ngx_http_acr_send_json(ngx_http_request_t *r, ngx_uint_t status,
    json_t *root);

/*
 * What the functions below and above end with: sends b, of which size bytes
 * are the body, and ends the request.  type: with a len of 0, none.
 */
void ngx_http_acr_send_buf(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, off_t size, ngx_buf_t *b);

/* the same without b, which the caller sends: NGX_OK, or NGX_DONE if the
   request has ended, since it has no body or could not be answered */
ngx_int_t ngx_http_acr_send_head(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, off_t size);

/*
 * Sends the blob or manifest ctx->digest of that many bytes with 200 (ranges
 * and conditions are nginx's), and ends the request.  type: Content-Type, in
 * r->pool.  Sets Docker-Content-Digest, ETag and Cache-Control: by_tag and
 * ctx->expires tell which.  If its file is not there: ngx_http_acr_missing()
 * with the digest, after a log line.
 *
 * NGX_HTTP_ACR_SIZE_UNKNOWN: nobody has said that it is there; as many bytes as
 * its file has, and no log line.
 */
#define NGX_HTTP_ACR_SIZE_UNKNOWN  -1

void ngx_http_acr_send_content(ngx_http_request_t *r, off_t size,
    ngx_str_t *type, ngx_uint_t by_tag, acr_error_e missing);

/*
 * The first half of that: b becomes the content, of which *size is told, or set
 * if it was NGX_HTTP_ACR_SIZE_UNKNOWN.  NGX_OK; NGX_DECLINED: it is not there,
 * after a log line if its size was known; NGX_ERROR.
 */
ngx_int_t ngx_http_acr_open_content(ngx_http_request_t *r, off_t *size,
    ngx_buf_t *b);

/* and the second, also for what there is of a content that comes */
void ngx_http_acr_send_opened(ngx_http_request_t *r, off_t size,
    ngx_str_t *type, ngx_uint_t by_tag, acr_error_e missing, ngx_buf_t *b);

/* the head of a part of it, with 206, whatever Range says.  NGX_OK: the caller
   sends the part, and ends the request; NGX_DONE: it has ended */
ngx_int_t ngx_http_acr_send_part(ngx_http_request_t *r, acr_range_t *range,
    off_t size, ngx_str_t *type, ngx_uint_t by_tag, acr_error_e missing);

/*
 * Ends the request like ngx_http_acr_fail() if the directory does not have
 * what is asked for, unless that is so because the volume itself is away: then
 * with 503, for nothing may be called unknown that only cannot be seen.  The
 * bytes of value have to live as long as the request.
 */
void ngx_http_acr_missing(ngx_http_request_t *r, acr_error_e error,
    const char *reason, const char *key, ngx_str_t *value);

/* adds a header; key is static text, value stays referred to.  NGX_ERROR: no
   memory */
ngx_int_t ngx_http_acr_header(ngx_http_request_t *r, const char *key,
    ngx_str_t *value);

/* the same with the value made by ngx_sprintf in r->pool; less than 4 KiB */
ngx_int_t ngx_http_acr_header_printf(ngx_http_request_t *r, const char *key,
    const char *fmt, ...);

/* sets Location to the path made by ngx_sprintf (percent-encoded already
   where needed), relative or absolute as acr_location says */
ngx_int_t ngx_http_acr_location(ngx_http_request_t *r, const char *fmt, ...);

/* the scheme and the host that the client has used, as acr_location says;
   NGX_DECLINED: it has named no host that can be written back */
ngx_int_t ngx_http_acr_origin(ngx_http_request_t *r, ngx_str_t *scheme,
    ngx_str_t *host);

/*
 * Deals with a request body that nobody has read, so that it is never run as
 * the next request: nginx reads it away, or, if it is too large for that or
 * the client waits for "100 Continue", the connection closes after the
 * answer.  The functions above do it; a handler that will read no body does
 * it first.
 */
void ngx_http_acr_discard(ngx_http_request_t *r);

/* "sha256:<hex>" in r->pool; data is NULL if there is no memory */
ngx_str_t ngx_http_acr_digest_text(ngx_http_request_t *r,
    const acr_digest_t *digest);

/*
 * Parses a digest of a path or query, and notes it in ctx->digest.  NGX_OK,
 * or NGX_DONE after it has failed the request with DIGEST_INVALID (UNSUPPORTED
 * algorithms too: status 400).
 */
ngx_int_t ngx_http_acr_need_digest(ngx_http_request_t *r, acr_digest_t *digest,
    ngx_str_t *text);

/*
 * The decoded value of the first query parameter of that name.  NGX_OK;
 * NGX_DECLINED if there is none; NGX_ERROR if the query is malformed or there
 * is no memory.
 */
ngx_int_t ngx_http_acr_arg(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);

/*
 * The paging parameters "n" and "last" (OCI distribution-spec "Listing
 * Tags"): *n is 1000 without n, and never more.  *last is empty
 * without it.  NGX_OK, or NGX_DONE after it has failed the request.
 */
ngx_int_t ngx_http_acr_page(ngx_http_request_t *r, ngx_uint_t *n,
    ngx_str_t *last);

/*
 * Adds the Link of RFC 8288 to the next page: path (of the request, as we
 * write it) with n, last and, unless it is NULL, artifactType.
 */
ngx_int_t ngx_http_acr_link_next(ngx_http_request_t *r, ngx_str_t *path,
    ngx_uint_t n, ngx_str_t *last, ngx_str_t *artifact_type);


#endif /* NGX_HTTP_ACR_RESPONSE_H */
