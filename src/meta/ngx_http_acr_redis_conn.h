
/*
 * A single connection to a Redis or a sentinel, on nginx's event loop through
 * hiredis; whoever owns it decides what comes after its loss.
 *
 *   ngx_http_acr_redis_conn.c   opening, commands, deadline, loss
 *   ngx_http_acr_redis_event.c  hiredis on nginx's events
 *   ngx_http_acr_redis_ssl.c    TLS
 */

#ifndef NGX_HTTP_ACR_REDIS_CONN_H
#define NGX_HTTP_ACR_REDIS_CONN_H

#include "ngx_http_acr_redis.h"

#include <ngx_event.h>


#define NGX_HTTP_ACR_REDIS_REASON  512


typedef struct ngx_http_acr_redis_conn_s  ngx_http_acr_redis_conn_t;

/* it is open, commands can be given */
typedef void (*ngx_http_acr_redis_up_pt)(void *data);

/*
 * It is lost, or could not be opened, for this reason, which is printable and
 * valid during the call.  The commands in flight get no answer after that.  It
 * may be opened again, but not before the owner has returned to the event
 * loop.
 */
typedef void (*ngx_http_acr_redis_down_pt)(void *data, ngx_uint_t level,
    ngx_str_t *reason);

/* what to say of an error reply: into buf of NGX_MAX_ERROR_STR bytes, or as it
   stands in the reply */
typedef void (*ngx_http_acr_redis_explain_pt)(redisReply *reply, u_char *buf,
    ngx_str_t *text);


/* a command was answered with this error; called before its handler */
typedef void (*ngx_http_acr_redis_error_pt)(void *data, redisReply *reply);


struct ngx_http_acr_redis_conn_s {

    /* set by the owner before ngx_http_acr_redis_conn_init() */

    void                           *data;
    ngx_http_acr_redis_up_pt        up;
    ngx_http_acr_redis_down_pt      down;
    ngx_http_acr_redis_explain_pt   explain;
    ngx_http_acr_redis_error_pt     error;     /* or NULL */
    ngx_log_t                      *log;
    ngx_str_t                       user;      /* as in the configuration */
    ngx_str_t                       password;
    ngx_uint_t                      db;
    ngx_msec_t                      timeout;   /* of a command */
    void                           *ssl_ctx;   /* NULL: no TLS */

    /* its commands do not keep an exiting worker alive */
    unsigned                        background:1;

    unsigned                        alive:1;   /* opening or open */
    unsigned                        ready:1;   /* takes commands */
    unsigned                        closed:1;  /* for ever */

    redisAsyncContext              *context;
    ngx_connection_t               *connection;
    void                           *ssl;       /* of the context, or NULL */
    ngx_queue_t                     commands;  /* in flight, oldest first */
    ngx_event_t                     deadline;  /* of the oldest command */
    ngx_event_t                     drop;      /* posted: frees the context */

    u_char                          text[NGX_HTTP_ACR_REDIS_REASON];
    ngx_str_t                       reason;    /* in text */
    ngx_uint_t                      level;
};


/* lines in the log about one loss */

typedef struct {
    u_char                          text[NGX_HTTP_ACR_REDIS_REASON];
    ngx_str_t                       reason;    /* of the last one, in text */
    ngx_uint_t                      lines;     /* 0: there was none */
    time_t                          logged;
} ngx_http_acr_redis_loss_t;


/* --- ngx_http_acr_redis.c */

/* sets what is of the registry's Redis, and no sentinel's: credentials,
   database, time-out, TLS, and how its errors are explained */
void ngx_http_acr_redis_conn_conf(ngx_http_acr_redis_conn_t *conn,
    ngx_http_acr_meta_conf_t *conf);


/* --- ngx_http_acr_redis_conn.c */

void ngx_http_acr_redis_conn_init(ngx_http_acr_redis_conn_t *conn);

/*
 * Connects, authenticates and asks whether it works; ends with up() or down(),
 * neither of which is called before this has returned.  It must not be alive.
 * addr is needed during the call only.
 */
void ngx_http_acr_redis_conn_open(ngx_http_acr_redis_conn_t *conn,
    ngx_http_acr_meta_addr_t *addr);

/* as ngx_http_acr_redis_command() */
ngx_int_t ngx_http_acr_redis_conn_command(ngx_http_acr_redis_conn_t *conn,
    ngx_http_acr_redis_pt handler, void *data, ngx_uint_t argc,
    const char **argv, const size_t *argvlen);

/*
 * Gives it up, from any handler, if it is alive; reason is copied.  down() is
 * called by a posted event.
 */
void ngx_http_acr_redis_conn_fail(ngx_http_acr_redis_conn_t *conn,
    ngx_uint_t level, ngx_str_t *reason);

/* for ever: down() is not called, the commands in flight get no answer */
void ngx_http_acr_redis_conn_close(ngx_http_acr_redis_conn_t *conn);

/* hiredis gives up the context.  Depending on its version, the commands are
   told first or the events removed, so both call this. */
void ngx_http_acr_redis_conn_lost(ngx_http_acr_redis_conn_t *conn,
    redisAsyncContext *ac);

/*
 * 1 if a line about the loss is due, which is noted: the first one, and those
 * for another reason, of which there are few.  A reason that another one
 * begins with is the same.  The owner sets lines to 0 when all is well.
 */
ngx_uint_t ngx_http_acr_redis_loss(ngx_http_acr_redis_loss_t *loss,
    ngx_str_t *reason);


/* --- ngx_http_acr_redis_event.c */

/* makes the socket that hiredis has opened known to nginx, and begins TLS with
   whom host names; NGX_ERROR: *reason is why not */
ngx_int_t ngx_http_acr_redis_attach(ngx_http_acr_redis_conn_t *conn,
    ngx_http_acr_meta_addr_t *addr, const char **reason);


#endif /* NGX_HTTP_ACR_REDIS_CONN_H */
