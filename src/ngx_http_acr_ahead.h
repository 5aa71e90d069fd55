
/*
 * A body filter: what is sent of a file is in the page cache by then, so that
 * neither sendfile() nor read() makes the worker wait for a disk.  What is not
 * there a thread reads before; "aio threads", which hands each piece of every
 * file to one, is not needed.
 *
 * It comes before nginx's copy filter, so that it does not matter whether that
 * passes the file on or, as for TLS, reads it.
 */

#ifndef NGX_HTTP_ACR_AHEAD_H
#define NGX_HTTP_ACR_AHEAD_H

#include "ngx_http_acr.h"


/* for postconfiguration */
void ngx_http_acr_ahead_init(void);

/* a file that grows while it is sent */

typedef struct {

    /* up to which offset it is there; NGX_ERROR, after a log line: the rest
       never will be */
    off_t                     (*there)(void *data);

    /* calls ngx_http_acr_ahead_go_on(), later, when it is there beyond this
       offset; or before, which is no harm */
    void                      (*wait)(void *data, off_t offset);

    void                       *data;
} ngx_http_acr_growing_t;


/*
 * b, of a file, will be the body of this request, or parts of it will.  If the
 * file grows (else growing is NULL), what is not there is waited for, and if it
 * never will be the connection is broken.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_acr_ahead(ngx_http_request_t *r, ngx_buf_t *b,
    ngx_http_acr_growing_t *growing);

/* from an event: sends what there is now */
void ngx_http_acr_ahead_go_on(ngx_http_request_t *r);


#endif /* NGX_HTTP_ACR_AHEAD_H */
