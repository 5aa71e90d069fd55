
/*
 * Reading a request's body as it arrives, without nginx's buffering, over
 * HTTP/1.1 (with a length or chunked) and HTTP/2.
 *
 * nginx reads into one buffer; the sink takes from it what it can, and reading
 * goes on only when all of it was taken.  That is the back-pressure.
 */

#ifndef NGX_HTTP_ACR_BODY_H
#define NGX_HTTP_ACR_BODY_H

#include "ngx_http_acr.h"
#include "ngx_http_acr_step.h"


/*
 * Takes from the n bytes (n > 0) at p; returns how many, or NGX_ERROR when it
 * wants no more: then done is called with NGX_ABORT.  After it has taken less
 * than n, it is called again after ngx_http_acr_body_resume() only.
 */
typedef ssize_t (*ngx_http_acr_body_sink_pt)(ngx_http_request_t *r,
    void *data, u_char *p, size_t n);

/*
 * Called once: NGX_OK when the whole body was taken, NGX_ABORT (see above),
 * or what nginx gave instead: the client has left (400), a time-out (408),
 * 500.  Then the request is to be finalized with that once the handler is
 * through.
 */
typedef void (*ngx_http_acr_body_done_pt)(ngx_http_request_t *r, void *data,
    ngx_int_t rc);


/*
 * Begins to read, with a buffer of nginx's that has at least buffer bytes,
 * whatever client_body_buffer_size says.  "100 Continue" is sent here, so
 * every check that can refuse comes before.  To be called from a continuation
 * or the handler; done may be called before it returns.
 */
void ngx_http_acr_body_read(ngx_http_request_t *r, size_t buffer,
    ngx_http_acr_body_sink_pt sink, ngx_http_acr_body_done_pt done,
    void *data);

/* the sink can take again; may call it, and done, before it returns */
void ngx_http_acr_body_resume(ngx_http_request_t *r);

/*
 * What done does with an rc that nginx gave: ends the request, with an answer
 * if there is somebody to read it.
 */
void ngx_http_acr_body_failed(ngx_http_request_t *r, ngx_int_t rc);

/*
 * Reads a whole body of at most max bytes into memory that grows as it
 * arrives.  next(r, data, NGX_OK) with *p and *n set; the memory is freed with
 * r->pool, and so p itself must live that long.  Failures end the request, a
 * longer body with 413 SIZE_INVALID, and next is not called.
 */
void ngx_http_acr_body_collect(ngx_http_request_t *r, size_t max, u_char **p,
    size_t *n, ngx_http_acr_next_pt next, void *data);


#endif /* NGX_HTTP_ACR_BODY_H */
