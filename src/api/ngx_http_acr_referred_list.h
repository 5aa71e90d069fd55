
/*
 * What an origin lists of referrers, as text: a line of each, the digest, a
 * space, and the descriptor as we write it.
 */

#ifndef NGX_HTTP_ACR_REFERRED_LIST_H
#define NGX_HTTP_ACR_REFERRED_LIST_H

#include "ngx_http_acr_referred.h"


/* malloc'd; all zero at first */

typedef struct {
    char                  *lines[NGX_HTTP_ACR_REFERRED_MAX];
    ngx_uint_t             n;
    size_t                 size;       /* of the text */
} ngx_http_acr_referred_list_t;


/*
 * In a thread: adds the descriptors of an index that have this artifactType,
 * unless it is empty, as far as there is room.  What is no descriptor is passed
 * over.  NGX_OK; NGX_DECLINED: it is no index; NGX_ENOMEM.
 */
ngx_int_t ngx_http_acr_referred_list_add(ngx_http_acr_referred_list_t *list,
    u_char *p, size_t n, ngx_str_t *type);

/* writes the text, in the order of digests, and returns its end */
u_char *ngx_http_acr_referred_list_print(ngx_http_acr_referred_list_t *list,
    u_char *p);

void ngx_http_acr_referred_list_free(ngx_http_acr_referred_list_t *list);

/* pushes ngx_http_acr_referred_t's that point into the text, each digest once.
   NGX_ERROR: no memory, or it is no such text */
ngx_int_t ngx_http_acr_referred_list_read(ngx_array_t *array,
    ngx_str_t *text);


#endif /* NGX_HTTP_ACR_REFERRED_LIST_H */
