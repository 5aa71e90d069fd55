
/*
 * Contents that come from another registry, while they come.  One worker of a
 * node fetches a content (its fill, see ngx_http_acr_fills.h) and appends it to
 * a file; requests of all workers follow the file up to the mark.
 *
 *     ngx_http_acr_fill.c     what a worker has of each fill that it needs
 *     ngx_http_acr_filler.c   fetches one: to a file, which becomes a blob...
 *     ngx_http_acr_filler_ask.c  ...from the origin
 *     ngx_http_acr_adopt.c    what was fetched becomes a repository's
 *     ngx_http_acr_follow.c   requests that are answered from one
 *     ngx_http_acr_direct.c   parts that are far ahead of one
 *
 * A fill goes on although its followers leave, and if its worker dies another
 * one goes on with it, where it was saved.  What is there of it is sent before
 * its digest is known to be right, but the last byte is not: a content that is
 * not the one that was asked for is never whole.
 */

#ifndef NGX_HTTP_ACR_FILL_H
#define NGX_HTTP_ACR_FILL_H

#include "../ngx_http_acr.h"
#include "ngx_http_acr_remote.h"


typedef struct ngx_http_acr_fill_s      ngx_http_acr_fill_t;
typedef struct ngx_http_acr_follower_s  ngx_http_acr_follower_t;


/* where a content comes from */

typedef struct {
    ngx_http_acr_remote_t      *remote;
    ngx_str_t                   repository;  /* its name there */
    unsigned                    has:1;       /* it has said that it has it */
} ngx_http_acr_source_t;


/* memory of its owner, all zero at first */

struct ngx_http_acr_follower_s {

    /* set by the owner: called once for each ngx_http_acr_fill_wait(), on the
       event loop and never from within a function of this header */
    void                      (*moved)(void *data);
    void                       *data;

    ngx_http_acr_fill_t        *fill;      /* that is followed, or NULL */
    ngx_queue_t                 queue;
    off_t                       want;
    unsigned                    waiting:1;
};


typedef struct {
    ngx_http_acr_fills_look_t   now;
    ngx_fd_t                    fd;        /* of the file; -1: not opened yet */
} ngx_http_acr_fill_look_t;


/*
 * Follows the fill of a content, and has it begun if there is none.  With a
 * repository the content becomes that one's, too, when it is whole, if it has
 * come from the source, or the source has it.  buffers and large are for a ring
 * (ngx_http_acr_ring_create()).
 *
 * NGX_OK; NGX_BUSY: too much is being fetched; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_acr_fill_follow(ngx_http_acr_registry_t *registry,
    acr_digest_t *digest, ngx_http_acr_source_t *source,
    ngx_http_acr_buffers_t *buffers, ngx_uint_t large, ngx_str_t *repository,
    ngx_http_acr_follower_t *follower);

/* at any time; nothing happens if it follows nothing */
void ngx_http_acr_fill_leave(ngx_http_acr_follower_t *follower);

/* NGX_DECLINED: nothing is known of it any more.  The descriptor is good while
   the fill is followed. */
ngx_int_t ngx_http_acr_fill_look(ngx_http_acr_follower_t *follower,
    ngx_http_acr_fill_look_t *look);

/* moved is called when the mark is beyond want, the size is known and the file
   open; or when the fill has ended in any way; or every few seconds */
void ngx_http_acr_fill_wait(ngx_http_acr_follower_t *follower, off_t want);

/* a number for the registry that contents come from */
uint32_t ngx_http_acr_fill_host(ngx_http_acr_remote_t *remote);

/* why a fill fails whose question has come to this, which is not OK */
ngx_http_acr_fill_error_e ngx_http_acr_fill_error(
    ngx_http_acr_remote_result_e result);

/* the source, as one that has failed is told of (ngx_http_acr_fills_look_t) */
uint32_t ngx_http_acr_fill_source(ngx_http_acr_source_t *source);


/*
 * Answers a GET or HEAD of the blob ctx->digest while it comes from the source,
 * and ends the request; unless it is whole, or was, by then: then continues
 * with whole(r, size).  What is here without having come from this source, or
 * comes from another one, is given to nobody before the source is known to have
 * it, too: continues with ask(r), which may call this again then.
 */
typedef void (*ngx_http_acr_follow_pt)(ngx_http_request_t *r, off_t size);

void ngx_http_acr_follow(ngx_http_request_t *r, acr_digest_t *digest,
    ngx_http_acr_source_t *source, ngx_http_acr_follow_pt whole,
    void (*ask)(ngx_http_request_t *r));


/* for init_process and exit_process */
void ngx_http_acr_fill_start(ngx_http_acr_registry_t *registry);
void ngx_http_acr_fill_stop(ngx_http_acr_registry_t *registry);


#endif /* NGX_HTTP_ACR_FILL_H */
