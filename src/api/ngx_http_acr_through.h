
/*
 * Pull-through: repositories that fill themselves from a registry elsewhere, by
 * acr_cache_rule.  What was pulled is a repository as any other; these
 * functions are for what is not there, or may be out of date.
 */

#ifndef NGX_HTTP_ACR_THROUGH_H
#define NGX_HTTP_ACR_THROUGH_H

#include "ngx_http_acr_api.h"
#include "../edge/ngx_http_acr_rule.h"


/*
 * containerd asks mirrors with the name that a repository has at its origin,
 * and says which that is by "ns=<host>": makes ctx->repository the one that is
 * filled from there, and answers OCI-Namespace.  NGX_OK, or NGX_DONE after it
 * has failed the request: none is.
 */
ngx_int_t ngx_http_acr_through_namespace(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);

/*
 * Is host, the argument "ns", what containerd says to a mirror of this
 * registry, such as an edge node?  Not the Host, nor what else a client has a
 * say in: "ns" may be set by nginx, so that nothing but one other registry can
 * be reached.
 */
ngx_uint_t ngx_http_acr_through_own(ngx_http_acr_ctx_t *ctx, ngx_str_t *host);

/* at the begin of a GET or HEAD: sets ctx->through by the rule that was found
   before or, if it is NULL, the one that there is for the repository, if any.
   NGX_ERROR: no memory */
ngx_int_t ngx_http_acr_through_begin(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, ngx_http_acr_rule_found_t *rule);

/*
 * What the answer of a lookup of a manifest or blob is to who asks.  In a
 * repository that may not be read what is not there is a miss, since who pushes
 * looks for it; but it is locked where it would come from elsewhere.
 */
ngx_http_acr_meta_status_e ngx_http_acr_through_status(ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_meta_reply_t *reply);

/*
 * With ctx->through.  The manifest ctx->reference is not there: NGX_OK if it is
 * asked for elsewhere, which ends the request; NGX_DECLINED: it was, just now.
 */
ngx_int_t ngx_http_acr_through_manifest(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);

/* the tag ctx->reference names the manifest ctx->digest here: the same, or
   NGX_DECLINED: it can be sent as it is */
ngx_int_t ngx_http_acr_through_tag(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx, off_t size, ngx_str_t *type);

/*
 * The same for who is no client, after ngx_http_acr_through_begin(): the
 * manifest ctx->reference becomes what it is at the origin now, whatever is
 * remembered, and next(r, data, rc) is called with what has come of it, a
 * ngx_http_acr_remote_result_e.  here: the digest that a tag has here, or NULL.
 * If the client has left the request ends.
 */
void ngx_http_acr_through_fetch(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_str_t *here, ngx_http_acr_next_pt next, void *data);

/* the same, after which it is known whether the origin has the blob
   ctx->reference: next is called with what it says */
void ngx_http_acr_through_has(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_next_pt next, void *data);

/* the blob ctx->digest is not there: ends the request */
void ngx_http_acr_through_blob(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx,
    acr_digest_t *digest);


#endif /* NGX_HTTP_ACR_THROUGH_H */
