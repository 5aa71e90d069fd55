
/*
 * ACR's data-plane API, /acr/v1: containerregistry.json 2021-07-01 of
 * azure-rest-api-specs.  Where real answers of ACR differ from that, clients
 * rely on those, and so do we.
 *
 *   ngx_http_acr_api_v1.c            what all of it shares; a repository; PATCH
 *   ngx_http_acr_api_v1_tags.c       tags
 *   ngx_http_acr_api_v1_manifests.c  manifests
 *   ngx_http_acr_api_v1_delete.c     the deletion of a repository
 *   ngx_http_acr_api_v1_events.c     the log of events, which ACR does not have
 *
 * A tag is deleted as in /v2/ (ngx_http_acr_api_manifest_delete.c), the catalog
 * is that of /v2/ (ngx_http_acr_api_catalog.c).
 */

#ifndef NGX_HTTP_ACR_V1_H
#define NGX_HTTP_ACR_V1_H

#include "ngx_http_acr_api.h"

#include <jansson.h>


/* paging and order of a list, from the query */

typedef struct {
    ngx_uint_t   n;
    ngx_str_t    last;
    ngx_str_t    order;        /* "", "timeasc" or "timedesc" */
    ngx_str_t    time;         /* of last, microseconds: of our Link */
    ngx_str_t    digest;       /* of tags: of this manifest only */
    u_char       number[NGX_INT_T_LEN];
    ngx_str_t    number_text;  /* n, for a script */
} ngx_http_acr_v1_page_t;

/* NGX_OK, or NGX_DONE after it has failed the request; n is max at most */
ngx_int_t ngx_http_acr_v1_page(ngx_http_request_t *r,
    ngx_http_acr_v1_page_t *page, ngx_uint_t max);

/*
 * Adds the Link to the next page of "_tags" or "_manifests", if more (v[0]) is
 * "1"; v[1] and v[2] are the last name that was looked at and its time.
 * NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_acr_v1_link(ngx_http_request_t *r, const char *what,
    ngx_http_acr_v1_page_t *page, ngx_str_t *v);


/* {"registry":…,"imageName":…}, a new reference; NULL: no memory */
json_t *ngx_http_acr_v1_root(ngx_str_t *registry, ngx_str_t *repository);

/* ISO 8601 as ACR writes it, of microseconds in decimal; a new reference; NULL:
   no memory */
json_t *ngx_http_acr_v1_time(ngx_str_t *us);

/* adds "changeableAttributes", of what the index says; NGX_ERROR: no memory, or
   that is none */
ngx_int_t ngx_http_acr_v1_attributes(json_t *object, ngx_str_t *text);

/* fails the request: there is no such repository */
void ngx_http_acr_v1_unknown(ngx_http_request_t *r);

/* there is no such tag (or manifest, if ctx->digest is set), or not even the
   repository: asks, and fails */
void ngx_http_acr_v1_item_unknown(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);


#endif /* NGX_HTTP_ACR_V1_H */
