
/*
 * What the files of the meta layer share, for them only.
 *
 *   ngx_http_acr_meta.c        calls: waiting, sending, answering
 *   ngx_http_acr_meta_join.c   from a connection to a Redis that can be used
 *   ngx_http_acr_meta_reply.c  what a reply says
 *   ngx_http_acr_meta_conf.c   the arguments of acr_redis
 *   ngx_http_acr_feed.c        what others change
 */

#ifndef NGX_HTTP_ACR_META_CORE_H
#define NGX_HTTP_ACR_META_CORE_H

#include "ngx_http_acr_meta.h"
#include "ngx_http_acr_redis.h"
#include "../ngx_http_acr_task.h"


#define NGX_HTTP_ACR_META_STATE   256
#define NGX_HTTP_ACR_META_RUN_ID  64
#define NGX_HTTP_ACR_META_CODES   20     /* kinds of errors, see ..._reply.c */


typedef enum {
    NGX_HTTP_ACR_META_OFF = 0,           /* not connected */
    NGX_HTTP_ACR_META_JOINING,           /* the state is being found out */
    NGX_HTTP_ACR_META_JOINED
} ngx_http_acr_meta_phase_e;


typedef struct ngx_http_acr_feed_s  ngx_http_acr_feed_t;


struct ngx_http_acr_meta_s {
    ngx_http_acr_redis_t        *redis;
    ngx_http_acr_feed_t         *feed;   /* NULL: it is not wanted */
    ngx_http_acr_meta_conf_t    *conf;
    ngx_log_t                   *log;
    ngx_str_t                    prefix; /* acr:{<name>} */

    ngx_http_acr_meta_phase_e    phase;
    ngx_msec_t                   since;  /* not joined since */
    ngx_uint_t                   joins;  /* how often it has joined */
    ngx_str_t                    state;  /* in state_text */
    u_char                       state_text[NGX_HTTP_ACR_META_STATE];
    ngx_uint_t                   losses; /* how often the generation changed */
    unsigned                     behind:1;
    unsigned                     was_behind:1; /* before this join */
    unsigned                     alerted:1; /* the log tells what was lost */

    unsigned                     closed:1;
    unsigned                     volume_due:1;

    /* calls: that wait for the join; that wait for their repository; that get
       DOWN as soon as possible */

    ngx_queue_t                  waiting;
    ngx_uint_t                   nwaiting;
    ngx_event_t                  patience; /* timer: they have waited enough */
    ngx_queue_t                  unsure;
    ngx_event_t                  rebuilds; /* timer: the oldest has */
    ngx_queue_t                  down;
    ngx_event_t                  posted;

    /* joining */

    ngx_http_acr_pool_t         *tp;
    ngx_http_acr_meta_owner_t    owner;
    ngx_http_acr_task_t          task;
    ngx_uint_t                   attempt;
    ngx_uint_t                   task_attempt;
    ngx_http_acr_meta_volume_t   volume;
    u_char                       run_id[NGX_HTTP_ACR_META_RUN_ID];
    size_t                       run_id_len;

    time_t                       logged[NGX_HTTP_ACR_META_CODES];
    u_char                       sha1[ACR_SCRIPT_MAX][40];
};


/* --- ngx_http_acr_meta.c */

/* the same as ngx_http_acr_meta_call() for join.lua, whose answer goes to
   ngx_http_acr_meta_joined() */
ngx_int_t ngx_http_acr_meta_call_join(ngx_http_acr_meta_t *meta,
    ngx_str_t *args, ngx_uint_t nargs);

/* the phase is JOINED: gives the waiting calls to Redis */
void ngx_http_acr_meta_resume(ngx_http_acr_meta_t *meta);


/* --- ngx_http_acr_meta_join.c */

/* connected, or the state is another one: finds out the state */
void ngx_http_acr_meta_join(ngx_http_acr_meta_t *meta);

/* what join.lua has answered, NULL: nothing */
void ngx_http_acr_meta_joined(ngx_http_acr_meta_t *meta, redisReply *reply);

/* the connection is lost */
void ngx_http_acr_meta_leave(ngx_http_acr_meta_t *meta);


/* --- ngx_http_acr_meta_reply.c */

/* 1 if the script is a mutation, so that it takes the state first */
ngx_uint_t ngx_http_acr_meta_mutation(ngx_uint_t script);

/* 1 if it waits for its repository, which is the first argument */
ngx_uint_t ngx_http_acr_meta_waits(ngx_uint_t script);

/* the EVAL text of a script, and where EVALSHA's names are to be written */
void ngx_http_acr_meta_text(ngx_uint_t script, ngx_str_t *text);
void ngx_http_acr_meta_sha1(ngx_http_acr_meta_t *meta);

/* 1 if it is the error that Redis does not have the script */
ngx_uint_t ngx_http_acr_meta_noscript(redisReply *reply);

/*
 * Reads the reply of a script.  NGX_OK: r is set; r->v points into v, which
 * has room for all elements, and that into the reply.  NGX_AGAIN: the state is
 * another one.  NGX_ERROR: an error of Redis or nothing that we know; it was
 * logged, and the connection is being made anew if that may help.
 */
ngx_int_t ngx_http_acr_meta_read(ngx_http_acr_meta_t *meta,
    ngx_uint_t script, redisReply *reply, ngx_http_acr_meta_reply_t *r,
    ngx_str_t *v);

/*
 * The text of an error reply with what is to be done about it, into buf of
 * NGX_MAX_ERROR_STR bytes.  Returns its row in the table of errors.
 */
ngx_uint_t ngx_http_acr_meta_error(redisReply *reply, u_char *buf,
    ngx_str_t *text);


#endif /* NGX_HTTP_ACR_META_CORE_H */
