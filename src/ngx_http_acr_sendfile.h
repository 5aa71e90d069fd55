
/*
 * A body filter: with "aio threads" nginx hands every sendfile() to a thread,
 * which costs more than sending does where the file is in the page cache, and
 * most are.  What is there is sent without one.
 */

#ifndef NGX_HTTP_ACR_SENDFILE_H
#define NGX_HTTP_ACR_SENDFILE_H

#include "ngx_http_acr.h"


/* for postconfiguration */
void ngx_http_acr_sendfile_init(void);

/* the file in b will be the body of this request, or parts of it will */
void ngx_http_acr_sendfile(ngx_http_request_t *r, ngx_buf_t *b);


#endif /* NGX_HTTP_ACR_SENDFILE_H */
