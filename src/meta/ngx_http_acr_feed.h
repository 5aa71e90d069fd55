
/*
 * The feed: what Redis publishes of each change, DESIGN "Pull".  It comes by a
 * connection of its own to the Redis that is joined; the owner is told of every
 * change, and that everything may have changed whenever some were missed.
 *
 * A subscriber is not told that it hears nothing any more.  So the worker sends
 * beats, by the connection that its lookups take, to a channel of its own: when
 * one comes back, everything that was published before it was sent has come,
 * from the Redis that is asked.
 */

#ifndef NGX_HTTP_ACR_FEED_H
#define NGX_HTTP_ACR_FEED_H

#include "ngx_http_acr_meta_core.h"
#include "ngx_http_acr_redis_conn.h"


/* Lives in the pool.  NULL: no memory. */
ngx_http_acr_feed_t *ngx_http_acr_feed_create(ngx_pool_t *pool,
    ngx_http_acr_meta_t *meta);

/* for ever */
void ngx_http_acr_feed_close(ngx_http_acr_feed_t *feed);

/*
 * Redis was joined, or is lost: subscribes, and again until it succeeds; or
 * gives the subscription up.  Either may be called any number of times.
 */
void ngx_http_acr_feed_start(ngx_http_acr_feed_t *feed);
void ngx_http_acr_feed_stop(ngx_http_acr_feed_t *feed);

/* 1 if all changes are heard of, but for those of the last second */
ngx_uint_t ngx_http_acr_feed_fresh(ngx_http_acr_feed_t *feed);


#endif /* NGX_HTTP_ACR_FEED_H */
