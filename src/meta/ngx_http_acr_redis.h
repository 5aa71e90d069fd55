
/*
 * One connection to a Redis on nginx's event loop, through hiredis; with
 * Sentinel, to the master that a sentinel tells, each time and as soon as it
 * is another one.
 *
 * It is made anew for ever, with back-off and jitter, when it is lost.  Every
 * command has the deadline of the configuration.  When one passes, the
 * connection is given up: all its commands get no answer, and replies that
 * come late reach nobody.  While commands are in flight, their timer keeps an
 * exiting worker alive.
 *
 * The log has one line when Redis is lost, or lost for another reason, and
 * one when it is back.
 */

#ifndef NGX_HTTP_ACR_REDIS_H
#define NGX_HTTP_ACR_REDIS_H

#include "ngx_http_acr_meta.h"

#include <hiredis/hiredis.h>
#include <hiredis/async.h>


typedef struct ngx_http_acr_redis_s  ngx_http_acr_redis_t;

/*
 * The answer to a command, valid during the call only; it may be an error
 * reply.  NULL: no answer.  Called exactly once, on the event loop, not before
 * ngx_http_acr_redis_command() has returned.
 */
typedef void (*ngx_http_acr_redis_pt)(void *data, redisReply *reply);

/*
 * up: connected and authenticated, so commands can be given.  Not up: they
 * cannot any more; called before the commands in flight get no answer.
 */
typedef void (*ngx_http_acr_redis_state_pt)(void *data, ngx_uint_t up);


/* begins to connect when the event loop runs; lives in the pool.  NULL: no
   memory */
ngx_http_acr_redis_t *ngx_http_acr_redis_create(ngx_pool_t *pool,
    ngx_http_acr_meta_conf_t *conf, ngx_http_acr_redis_state_pt handler,
    void *data, ngx_log_t *log);

/* for ever; the commands in flight get no answer */
void ngx_http_acr_redis_close(ngx_http_acr_redis_t *redis);

/*
 * Gives a command; what argv refers to may be freed when this returns.
 * NGX_OK, or NGX_ERROR: not up, or no memory (the handler is not called then).
 */
ngx_int_t ngx_http_acr_redis_command(ngx_http_acr_redis_t *redis,
    ngx_http_acr_redis_pt handler, void *data, ngx_uint_t argc,
    const char **argv, const size_t *argvlen);

/* where it is, or was last; valid until the event loop goes on */
ngx_http_acr_meta_addr_t *ngx_http_acr_redis_where(
    ngx_http_acr_redis_t *redis);

/* the owner can work with this Redis: ends the back-off, and the log line that
   it is back is due */
void ngx_http_acr_redis_usable(ngx_http_acr_redis_t *redis);

/*
 * The owner cannot work with this Redis, for a reason that is logged with the
 * level: closes the connection and makes it anew later.  May be called from
 * any handler; takes effect by a posted event.
 */
void ngx_http_acr_redis_reset(ngx_http_acr_redis_t *redis, ngx_uint_t level,
    ngx_str_t *reason);

/* copies text that came from the network so that it can be logged; returns the
   end */
u_char *ngx_http_acr_redis_text(u_char *p, u_char *last, const char *text,
    size_t len);


#endif /* NGX_HTTP_ACR_REDIS_H */
