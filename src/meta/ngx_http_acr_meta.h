
/*
 * Redis as the registry's index: one function that runs a script of this
 * directory and gives its answer back.  Which scripts there are, and what
 * each takes and returns, stands at the head of each .lua file; the keys are
 * in schema.md.  DESIGN: "Redis", "Complete or behind".
 *
 * What this hides from its callers: the connection and its pipelining, the
 * deadline, NOSCRIPT, the state that every mutation has to know and every
 * lookup has to see, and joining a Redis whose state is another one.
 */

#ifndef NGX_HTTP_ACR_META_H
#define NGX_HTTP_ACR_META_H

#include <ngx_config.h>
#include <ngx_core.h>

#include "../ngx_http_acr_task.h"
#include "acr_scripts.h"               /* enum ACR_SCRIPT_..., by embed.sh */


typedef struct ngx_http_acr_meta_s  ngx_http_acr_meta_t;


/* the first word of a script's answer */

typedef enum {
    NGX_HTTP_ACR_META_DOWN = 0,        /* no answer: not connected, deadline,
                                          error of Redis.  A mutation may or
                                          may not have happened. */
    NGX_HTTP_ACR_META_BEHIND,          /* this Redis is behind, and does not
                                          know the repository yet, or all of
                                          them: no answer either, and nothing
                                          has changed */
    NGX_HTTP_ACR_META_OK,
    NGX_HTTP_ACR_META_MISS,
    NGX_HTTP_ACR_META_UNKNOWN,
    NGX_HTTP_ACR_META_LOST,
    NGX_HTTP_ACR_META_RANGE,
    NGX_HTTP_ACR_META_MISSING,
    NGX_HTTP_ACR_META_COLLECTING,
    NGX_HTTP_ACR_META_CHANGED,
    NGX_HTTP_ACR_META_LOCKED,          /* attributes forbid it */
    NGX_HTTP_ACR_META_BUSY,
    NGX_HTTP_ACR_META_CURRENT
} ngx_http_acr_meta_status_e;


typedef struct {
    ngx_http_acr_meta_status_e  status;
    ngx_uint_t                  n;     /* what follows the first word; of a
                                          lookup without the state */
    ngx_str_t                  *v;     /* valid during the callback only */
} ngx_http_acr_meta_reply_t;


/* always called exactly once for each call (but see ngx_http_acr_meta_close()),
   never before the call returned */
typedef void (*ngx_http_acr_meta_pt)(void *data,
    ngx_http_acr_meta_reply_t *reply);


/* the strings have a zero behind them */

typedef struct {
    ngx_str_t     text;                /* for log lines */
    ngx_str_t     host;                /* whom its certificate is for */
    ngx_str_t     addr;                /* numeric, or the path of a socket */
    in_port_t     port;                /* 0: a unix socket */
} ngx_http_acr_meta_addr_t;


/* how a Redis is reached: acr_redis */

typedef struct {
    ngx_str_t     text;                /* as configured, for log lines */
    ngx_str_t     master;              /* the name that sentinels have for it;
                                          empty: there are none */
    ngx_http_acr_meta_addr_t
                 *addrs;               /* of the Redis, or of its sentinels,
                                          looked up at start */
    ngx_uint_t    naddrs;
    ngx_str_t     user;                /* empty: AUTH without a user */
    ngx_str_t     password;            /* empty: no AUTH */
    ngx_str_t     sentinel_user;       /* the same for sentinels */
    ngx_str_t     sentinel_password;
    ngx_uint_t    db;
    ngx_msec_t    timeout;             /* of a command, and of connecting */
    ngx_flag_t    ssl;
    void         *ssl_ctx;             /* SSL_CTX; NULL without ssl */
} ngx_http_acr_meta_conf_t;


/*
 * Fills conf from cf->args of acr_redis, of which the first is the directive:
 * the address (unix:<path>, <host>[:<port>], <IPv4>, [<IPv6>]:<port>, or
 * sentinel://<host>[:<port>][,...]/<master>), then user=, password=,
 * password_file= (its first line), db=, timeout=, ssl=on|off, ssl_ca=<file>
 * (instead of the system's), and with sentinels sentinel_user=,
 * sentinel_password=, sentinel_password_file=, in any order.
 * NGX_CONF_OK, or NGX_CONF_ERROR after it logged what is wrong.
 */
char *ngx_http_acr_meta_conf(ngx_conf_t *cf, ngx_http_acr_meta_conf_t *conf,
    ngx_array_t *args);

/* what a volume says of its registry, see ngx_http_acr_store_marks(); both
   texts are zero-terminated */

typedef struct {
    char          mark[64];            /* the highest acknowledged sequence of
                                          any node, decimal; "0": none */
    char          epoch[64];
    char          newer[128];          /* what a newer module has of it, for
                                          the log */
    ngx_uint_t    certain;             /* no higher mark was lost */
    ngx_uint_t    empty;               /* there is nothing in it */
} ngx_http_acr_meta_volume_t;


/* what the index needs of its owner, with data */

typedef struct {

    /* asked in a thread of the pool when a Redis has to be joined.  NGX_OK;
       NGX_DECLINED: a newer module has it, and newer says so; or another value:
       then, too, joining is tried again later. */
    ngx_int_t   (*volume)(void *data, ngx_http_acr_meta_volume_t *volume,
                          ngx_log_t *log);

    /* calls wait for this repository to be rebuilt: the owner sees to it, and
       calls ngx_http_acr_meta_rebuilt(), later, when that has ended in any way.
       NGX_OK, or NGX_ERROR: it cannot be begun. */
    ngx_int_t   (*unsure)(void *data, ngx_str_t *repository);

    /* Redis is complete, and the volume was not certain */
    void        (*complete)(void *data);

    /* NULL: the feed is not wanted.  Else: a change has been made, of a name
       (a tag or digest) of a repository; with an empty name, anything of the
       repository; without a repository, anything. */
    void        (*changed)(void *data, ngx_str_t *repository,
                           ngx_str_t *name);

    void         *data;

    /* where calls are counted, or NULL */
    ngx_http_acr_zone_t  *zone;
} ngx_http_acr_meta_owner_t;


/*
 * 1 if both lead to the same database: they have an address in common, and
 * the same name of the master and number of the database.
 */
ngx_uint_t ngx_http_acr_meta_same(ngx_http_acr_meta_conf_t *a,
    ngx_http_acr_meta_conf_t *b);

/*
 * The index of one registry in this worker; begins to connect, and connects
 * again for ever, with back-off.  name is the registry's (it becomes the key
 * prefix acr:{<name>}).
 *
 * Lives in the pool, to be called from init_process.  NULL: no memory.
 */
ngx_http_acr_meta_t *ngx_http_acr_meta_create(ngx_pool_t *pool,
    ngx_http_acr_meta_conf_t *conf, ngx_str_t *name, ngx_http_acr_pool_t *tp,
    ngx_http_acr_meta_owner_t *owner, ngx_log_t *log);

/*
 * To be called from exit_process: closes the connection.  Calls that were not
 * answered (there are none unless the worker was told to quit at once) are
 * never called back.
 */
void ngx_http_acr_meta_close(ngx_http_acr_meta_t *meta);

/*
 * Runs a script.  args are what it takes as ARGV, without the state: that is
 * put before them where the script is a mutation.  They may be freed when
 * this returns.
 *
 * Where the state is another one, joins and asks once more.  Where nothing is
 * connected and joined the callback gets DOWN at once (by a posted event),
 * except in the first second of a worker and after a loss, when the call
 * waits until that second is over.  So a call takes at most two seconds and
 * two time-outs, mostly far less.
 *
 * A change or list of a repository that a Redis which is behind does not know
 * waits up to ten seconds more until it is rebuilt, and gets BEHIND if that is
 * not over then, or has failed twice; a lookup that the directory
 * can answer as well (blob_stat, manifest_get) gets BEHIND at once, and so do
 * the commits (blob_commit, manifest_put), whose callers hold a lock.
 *
 * NGX_OK, or NGX_ERROR: no memory (the callback is not called then).
 */
ngx_int_t ngx_http_acr_meta_call(ngx_http_acr_meta_t *meta,
    ngx_uint_t script, ngx_str_t *args, ngx_uint_t nargs,
    ngx_http_acr_meta_pt handler, void *data);

/* the repository was rebuilt, or could not be (ok is 0): calls that wait for it
   are sent again, but not once more if it has failed again */
void ngx_http_acr_meta_rebuilt(ngx_http_acr_meta_t *meta,
    ngx_str_t *repository, ngx_uint_t ok);

/*
 * Text of a reply that nobody has checked, for a log line: as much of it as
 * buf has room for, NGX_HTTP_ACR_META_TEXT bytes, without those that would make
 * another line, or that a terminal obeys.
 */
#define NGX_HTTP_ACR_META_TEXT  256

ngx_str_t ngx_http_acr_meta_printable(u_char *buf, ngx_str_t *text);

/* an argument of a call; NULL is the empty one.  Not copied. */
ngx_str_t ngx_http_acr_meta_argument(const char *s);

/*
 * 1 if the owner is told of all changes, by any node, a second after they have
 * been made at the latest, and mostly at once.
 */
ngx_uint_t ngx_http_acr_meta_fresh(ngx_http_acr_meta_t *meta);

/* how often this worker has found that its Redis is not the one, or has not the
   content, that it had: what was done before is not to be relied on then */
ngx_uint_t ngx_http_acr_meta_losses(ngx_http_acr_meta_t *meta);


#endif /* NGX_HTTP_ACR_META_H */
