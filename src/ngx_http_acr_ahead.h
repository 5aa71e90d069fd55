
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

/* b, of a file, will be the body of this request, or parts of it will.
   NGX_ERROR: no memory */
ngx_int_t ngx_http_acr_ahead(ngx_http_request_t *r, ngx_buf_t *b);


#endif /* NGX_HTTP_ACR_AHEAD_H */
