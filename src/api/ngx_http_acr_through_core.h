
/*
 * What the files of pull-through share; ngx_http_acr_through.h is for others.
 *
 *     ngx_http_acr_through.c         what is here, and what is known of it
 *     ngx_http_acr_through_ask.c     a question to the origin, and what becomes
 *                                    of its answer
 *     ngx_http_acr_through_answer.c  what the client gets
 */

#ifndef NGX_HTTP_ACR_THROUGH_CORE_H
#define NGX_HTTP_ACR_THROUGH_CORE_H

#include "ngx_http_acr_through.h"
#include "../edge/ngx_http_acr_fill.h"
#include "../edge/ngx_http_acr_rule.h"
#include "../edge/ngx_http_acr_turn.h"


struct ngx_http_acr_through_s {
    ngx_http_request_t             *request_of;
    ngx_http_acr_rule_found_t       rule;

    acr_digest_t                    content;   /* of a blob */
    ngx_str_t                       question;  /* of those, one is asked at a
                                                  time */
    ngx_http_acr_turn_t             turn;
    ngx_http_acr_remote_request_t   request;
    ngx_http_acr_fetch_header_t     accept;
    ngx_event_t                     guard;

    /* what is here of a tag */
    off_t                           size;
    ngx_str_t                       type;
    ngx_str_t                       digest;

    ngx_http_acr_next_pt            next;      /* instead of an answer... */
    void                           *data;      /* ...or NULL */

    unsigned                        here:1;
    unsigned                        by_tag:1;
    unsigned                        blob:1;    /* and not a manifest */
    unsigned                        asked:1;   /* what is here is sent now */
    unsigned                        unstored:1;
};


/* ngx_http_acr_through.c */

/* notes what the origin has said of ctx->reference: OK or MISSING */
void ngx_http_acr_through_note(ngx_http_acr_ctx_t *ctx,
    ngx_http_acr_remote_result_e result);

/* where it comes from; has: the origin has said that the repository has it */
void ngx_http_acr_through_source(ngx_http_acr_through_t *through,
    ngx_uint_t has, ngx_http_acr_source_t *source);

/* the digest is what the tag has named here when the request came */
ngx_uint_t ngx_http_acr_through_is(ngx_http_acr_through_t *through,
    ngx_str_t *digest);


/* ngx_http_acr_through_ask.c */

/* asks the origin, or waits for another request that does; then
   ngx_http_acr_through_go_on() is called */
void ngx_http_acr_through_take(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);


/* ngx_http_acr_through_answer.c */

/* the end of a question: others learn of it, and the request goes on */
void ngx_http_acr_through_end(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_http_acr_remote_result_e result);

/* what has come of a question, or is remembered of one */
void ngx_http_acr_through_go_on(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_http_acr_remote_result_e result);

/* the blob through->content, as it comes; has: the origin has said that the
   repository has it */
void ngx_http_acr_through_follow(ngx_http_request_t *r,
    ngx_http_acr_through_t *through, ngx_uint_t has);


#endif /* NGX_HTTP_ACR_THROUGH_CORE_H */
