
/*
 * What the files of the connection share, for them only.
 *
 *   ngx_http_acr_redis.c        connecting, commands, deadline, loss
 *   ngx_http_acr_redis_event.c  hiredis on nginx's events
 *   ngx_http_acr_redis_ssl.c    TLS
 */

#ifndef NGX_HTTP_ACR_REDIS_CORE_H
#define NGX_HTTP_ACR_REDIS_CORE_H

#include "ngx_http_acr_redis.h"

#include <ngx_event.h>


#define NGX_HTTP_ACR_REDIS_REASON  512


struct ngx_http_acr_redis_s {
    ngx_http_acr_meta_conf_t     *conf;
    ngx_http_acr_redis_state_pt   handler;
    void                         *data;
    ngx_log_t                    *log;

    redisAsyncContext            *context;
    ngx_connection_t             *connection;
    void                         *ssl;       /* of the context, or NULL */
    ngx_queue_t                   commands;  /* in flight, the oldest first */

    ngx_event_t                   deadline;  /* of the oldest command */
    ngx_event_t                   connect;   /* timer: connects */
    ngx_event_t                   drop;      /* posted: gives up the context */

    ngx_uint_t                    attempts;
    ngx_msec_t                    delay;
    ngx_msec_t                    since;     /* usable since */

    u_char                        text[NGX_HTTP_ACR_REDIS_REASON];
    ngx_str_t                     reason;    /* why it was lost, in text */
    ngx_uint_t                    level;
    ngx_uint_t                    lines;     /* logged since it was usable */
    time_t                        logged;

    unsigned                      alive:1;   /* connecting or connected */
    unsigned                      ready:1;   /* takes commands */
    unsigned                      usable:1;
    unsigned                      closed:1;
};


/* --- ngx_http_acr_redis.c */

/* the same as ngx_http_acr_redis_reset(), with static text or hiredis's */
void ngx_http_acr_redis_fail(ngx_http_acr_redis_t *redis, const char *reason);

/*
 * hiredis gives up the context.  Depending on its version, the commands are
 * told first or the events removed, so both call this.
 */
void ngx_http_acr_redis_lost(ngx_http_acr_redis_t *redis,
    redisAsyncContext *ac);


/* --- ngx_http_acr_redis_event.c */

/* makes the socket that hiredis has opened known to nginx; NGX_ERROR after
   ngx_http_acr_redis_fail() */
ngx_int_t ngx_http_acr_redis_attach(ngx_http_acr_redis_t *redis);


#endif /* NGX_HTTP_ACR_REDIS_CORE_H */
