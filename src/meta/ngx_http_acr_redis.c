
#include "ngx_http_acr_redis_core.h"
#include "ngx_http_acr_redis_ssl.h"


/* between attempts to connect; at first a few milliseconds */
#define NGX_HTTP_ACR_REDIS_DELAY_MIN  100
#define NGX_HTTP_ACR_REDIS_DELAY_MAX  2000

/* a connection that lasted so long was good: try again at once */
#define NGX_HTTP_ACR_REDIS_STABLE     1000

/* lines about one loss, before there is only one in so many seconds */
#define NGX_HTTP_ACR_REDIS_LINES      3
#define NGX_HTTP_ACR_REDIS_LOG_TIME   60


typedef struct {
    ngx_queue_t                   queue;
    ngx_http_acr_redis_t         *redis;
    ngx_http_acr_redis_pt         handler;
    void                         *data;
    ngx_msec_t                    deadline;
} ngx_http_acr_redis_command_t;


static void ngx_http_acr_redis_connect(ngx_event_t *ev);
static ngx_int_t ngx_http_acr_redis_greet(ngx_http_acr_redis_t *redis);
static ngx_int_t ngx_http_acr_redis_greeting(ngx_http_acr_redis_t *redis,
    ngx_http_acr_redis_pt handler, ngx_str_t *args, ngx_uint_t n);
static void ngx_http_acr_redis_greeted(void *data, redisReply *reply);
static void ngx_http_acr_redis_pong(void *data, redisReply *reply);
static ngx_int_t ngx_http_acr_redis_send(ngx_http_acr_redis_t *redis,
    ngx_http_acr_redis_pt handler, void *data, ngx_uint_t argc,
    const char **argv, const size_t *argvlen);
static void ngx_http_acr_redis_reply(redisAsyncContext *ac, void *reply,
    void *privdata);
static void ngx_http_acr_redis_deadline(ngx_event_t *ev);
static void ngx_http_acr_redis_drop(ngx_event_t *ev);
static void ngx_http_acr_redis_log(ngx_http_acr_redis_t *redis,
    ngx_str_t *reason);
static void ngx_http_acr_redis_again(ngx_http_acr_redis_t *redis);


ngx_http_acr_redis_t *
ngx_http_acr_redis_create(ngx_pool_t *pool, ngx_http_acr_meta_conf_t *conf,
    ngx_http_acr_redis_state_pt handler, void *data, ngx_log_t *log)
{
    ngx_http_acr_redis_t  *redis;

    redis = ngx_pcalloc(pool, sizeof(ngx_http_acr_redis_t));

    if (redis == NULL) {
        return NULL;
    }

    redis->conf = conf;
    redis->handler = handler;
    redis->data = data;
    redis->log = log;

    ngx_queue_init(&redis->commands);

    redis->deadline.handler = ngx_http_acr_redis_deadline;
    redis->deadline.data = redis;
    redis->deadline.log = log;

    redis->connect.handler = ngx_http_acr_redis_connect;
    redis->connect.data = redis;
    redis->connect.log = log;
    redis->connect.cancelable = 1;

    redis->drop.handler = ngx_http_acr_redis_drop;
    redis->drop.data = redis;
    redis->drop.log = log;

    ngx_add_timer(&redis->connect, 1);

    return redis;
}


void
ngx_http_acr_redis_close(ngx_http_acr_redis_t *redis)
{
    redis->closed = 1;
    redis->alive = 0;
    redis->ready = 0;

    if (redis->connect.timer_set) {
        ngx_del_timer(&redis->connect);
    }

    ngx_http_acr_redis_drop(&redis->drop);

    if (redis->drop.posted) {
        ngx_delete_posted_event(&redis->drop);
    }

    if (redis->deadline.timer_set) {
        ngx_del_timer(&redis->deadline);
    }
}


static void
ngx_http_acr_redis_connect(ngx_event_t *ev)
{
    ngx_str_t                 *addr;
    ngx_http_acr_redis_t      *redis;
    ngx_http_acr_meta_conf_t  *conf;

    redis = ev->data;
    conf = redis->conf;

    /* hiredis must not be made to look up a name: that would block */

    if (conf->port == 0) {
        redis->context = redisAsyncConnectUnix((char *) conf->host.data);

    } else {
        addr = &conf->addrs[redis->attempts++ % conf->naddrs];
        redis->context = redisAsyncConnect((char *) addr->data, conf->port);
    }

    redis->alive = 1;

    if (redis->context == NULL) {
        ngx_http_acr_redis_fail(redis, "no memory");
        return;
    }

    if (redis->context->err) {
        ngx_http_acr_redis_fail(redis, redis->context->errstr);
        return;
    }

    if (ngx_http_acr_redis_attach(redis) != NGX_OK) {
        return;
    }

    if (ngx_http_acr_redis_greet(redis) != NGX_OK) {
        ngx_http_acr_redis_fail(redis, "no memory");
    }
}


/*
 * What a new connection begins with; hiredis sends it once it is connected.
 * PING tells whether Redis will work: it is refused as long as it loads its
 * data or waits for a password.
 */

static ngx_int_t
ngx_http_acr_redis_greet(ngx_http_acr_redis_t *redis)
{
    u_char                     db[NGX_INT_T_LEN];
    ngx_uint_t                 n;
    ngx_str_t                  args[3];
    ngx_http_acr_meta_conf_t  *conf;

    conf = redis->conf;

    if (conf->password.len) {
        ngx_str_set(&args[0], "AUTH");
        n = 1;

        if (conf->user.len) {
            args[n++] = conf->user;
        }

        args[n++] = conf->password;

        if (ngx_http_acr_redis_greeting(redis, ngx_http_acr_redis_greeted,
                                        args, n)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (conf->db) {
        ngx_str_set(&args[0], "SELECT");
        args[1].data = db;
        args[1].len = ngx_sprintf(db, "%ui", conf->db) - db;

        if (ngx_http_acr_redis_greeting(redis, ngx_http_acr_redis_greeted,
                                        args, 2)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    ngx_str_set(&args[0], "PING");

    return ngx_http_acr_redis_greeting(redis, ngx_http_acr_redis_pong, args,
                                       1);
}


static ngx_int_t
ngx_http_acr_redis_greeting(ngx_http_acr_redis_t *redis,
    ngx_http_acr_redis_pt handler, ngx_str_t *args, ngx_uint_t n)
{
    size_t       len[3];
    ngx_uint_t   i;
    const char  *argv[3];

    for (i = 0; i < n; i++) {
        argv[i] = (char *) args[i].data;
        len[i] = args[i].len;
    }

    return ngx_http_acr_redis_send(redis, handler, redis, n, argv, len);
}


static void
ngx_http_acr_redis_greeted(void *data, redisReply *reply)
{
    ngx_http_acr_redis_t *redis = data;

    if (reply && reply->type == REDIS_REPLY_ERROR) {
        ngx_http_acr_redis_fail(redis, reply->str);
    }
}


static void
ngx_http_acr_redis_pong(void *data, redisReply *reply)
{
    ngx_http_acr_redis_t *redis = data;

    ngx_http_acr_redis_greeted(redis, reply);

    if (reply && redis->alive) {
        redis->ready = 1;
        redis->handler(redis->data, 1);
    }
}


ngx_int_t
ngx_http_acr_redis_command(ngx_http_acr_redis_t *redis,
    ngx_http_acr_redis_pt handler, void *data, ngx_uint_t argc,
    const char **argv, const size_t *argvlen)
{
    if (!redis->ready) {
        return NGX_ERROR;
    }

    return ngx_http_acr_redis_send(redis, handler, data, argc, argv, argvlen);
}


static ngx_int_t
ngx_http_acr_redis_send(ngx_http_acr_redis_t *redis,
    ngx_http_acr_redis_pt handler, void *data, ngx_uint_t argc,
    const char **argv, const size_t *argvlen)
{
    ngx_http_acr_redis_command_t  *command;

    command = ngx_alloc(sizeof(ngx_http_acr_redis_command_t), redis->log);

    if (command == NULL) {
        return NGX_ERROR;
    }

    command->redis = redis;
    command->handler = handler;
    command->data = data;
    command->deadline = ngx_current_msec + redis->conf->timeout;

    if (redisAsyncCommandArgv(redis->context, ngx_http_acr_redis_reply,
                              command, argc, argv, argvlen)
        != REDIS_OK)
    {
        ngx_free(command);
        return NGX_ERROR;
    }

    ngx_queue_insert_tail(&redis->commands, &command->queue);

    /* nobody waits for the greeting, so it need not keep a worker alive */

    redis->deadline.cancelable = !redis->ready;

    if (!redis->deadline.timer_set) {
        ngx_add_timer(&redis->deadline, redis->conf->timeout);
    }

    return NGX_OK;
}


/* called by hiredis, also for every command of a context that is freed */

static void
ngx_http_acr_redis_reply(redisAsyncContext *ac, void *reply, void *privdata)
{
    ngx_http_acr_redis_command_t *command = privdata;

    void                   *data;
    ngx_http_acr_redis_t   *redis;
    ngx_http_acr_redis_pt   handler;

    redis = command->redis;
    handler = command->handler;
    data = command->data;

    ngx_queue_remove(&command->queue);
    ngx_free(command);

    if (ngx_queue_empty(&redis->commands) && redis->deadline.timer_set) {
        ngx_del_timer(&redis->deadline);
    }

    if (reply == NULL) {
        ngx_http_acr_redis_lost(redis, ac);
    }

    handler(data, reply);
}


static void
ngx_http_acr_redis_deadline(ngx_event_t *ev)
{
    ngx_queue_t                   *q;
    ngx_msec_int_t                 left;
    ngx_http_acr_redis_t          *redis;
    ngx_http_acr_redis_command_t  *command;

    redis = ev->data;

    if (ngx_queue_empty(&redis->commands)) {
        return;
    }

    q = ngx_queue_head(&redis->commands);
    command = ngx_queue_data(q, ngx_http_acr_redis_command_t, queue);

    left = (ngx_msec_int_t) (command->deadline - ngx_current_msec);

    if (left > 0) {
        ngx_add_timer(ev, (ngx_msec_t) left);
        return;
    }

    ngx_http_acr_redis_fail(redis, "no answer within the time-out");
}


void
ngx_http_acr_redis_usable(ngx_http_acr_redis_t *redis)
{
    if (redis->usable || !redis->ready) {
        return;
    }

    redis->usable = 1;
    redis->since = ngx_current_msec;

    if (redis->lines) {

        /* the level of the loss, so that no log has one without the other */

        ngx_log_error(NGX_LOG_ERR, redis->log, 0, "acr: Redis \"%V\" is back",
                      &redis->conf->text);

        redis->lines = 0;
    }
}


void
ngx_http_acr_redis_reset(ngx_http_acr_redis_t *redis, ngx_uint_t level,
    ngx_str_t *reason)
{
    if (!redis->alive) {
        return;
    }

    redis->alive = 0;
    redis->ready = 0;
    redis->level = level;

    ngx_http_acr_redis_log(redis, reason);

    ngx_post_event(&redis->drop, &ngx_posted_events);
}


void
ngx_http_acr_redis_fail(ngx_http_acr_redis_t *redis, const char *reason)
{
    ngx_str_t  text;

    text.data = (u_char *) reason;
    text.len = ngx_strlen(reason);

    ngx_http_acr_redis_reset(redis, NGX_LOG_ERR, &text);
}


/*
 * hiredis must not free a context while it is at work on it, hence a posted
 * event.
 */

static void
ngx_http_acr_redis_drop(ngx_event_t *ev)
{
    redisAsyncContext     *ac;
    ngx_http_acr_redis_t  *redis;

    redis = ev->data;

    if (!redis->closed) {
        redis->handler(redis->data, 0);
    }

    ac = redis->context;

    if (ac) {
        redis->context = NULL;
        redisAsyncFree(ac);
    }

    if (!redis->closed) {
        ngx_http_acr_redis_again(redis);
    }
}


void
ngx_http_acr_redis_lost(ngx_http_acr_redis_t *redis, redisAsyncContext *ac)
{
    ngx_str_t    reason;
    const char  *text;

    if (!redis->alive) {
        return;
    }

    redis->alive = 0;
    redis->ready = 0;
    redis->level = NGX_LOG_ERR;

    text = ac->c.err ? ac->c.errstr : "closed";

#if (NGX_HTTP_ACR_REDIS_SSL)

    if (redis->ssl) {
        text = ngx_http_acr_redis_ssl_error(redis->ssl, text);
    }

#endif

    reason.data = (u_char *) text;
    reason.len = ngx_strlen(text);

    ngx_http_acr_redis_log(redis, &reason);

    redis->handler(redis->data, 0);

    ngx_http_acr_redis_again(redis);
}


static void
ngx_http_acr_redis_log(ngx_http_acr_redis_t *redis, ngx_str_t *reason)
{
    u_char     *last, text[NGX_HTTP_ACR_REDIS_REASON];
    ngx_str_t   clean;

    last = ngx_http_acr_redis_text(text, text + sizeof(text),
                                   (char *) reason->data, reason->len);

    clean.data = text;
    clean.len = last - text;

    if (redis->lines) {

        if (clean.len == redis->reason.len
            && ngx_memcmp(clean.data, redis->reason.data, clean.len) == 0)
        {
            return;
        }

        /* the addresses of a name may fail in turn, each for its reason */

        if (redis->lines >= NGX_HTTP_ACR_REDIS_LINES
            && ngx_time() - redis->logged < NGX_HTTP_ACR_REDIS_LOG_TIME)
        {
            return;
        }
    }

    ngx_log_error(redis->level, redis->log, 0, "acr: Redis \"%V\" %s: %V",
                  &redis->conf->text,
                  redis->usable ? "is lost" : "is not usable", &clean);

    ngx_memcpy(redis->text, text, clean.len);

    redis->reason.data = redis->text;
    redis->reason.len = clean.len;
    redis->logged = ngx_time();
    redis->lines++;
}


static void
ngx_http_acr_redis_again(ngx_http_acr_redis_t *redis)
{
    ngx_msec_t  delay;

    if (redis->usable
        && ngx_current_msec - redis->since > NGX_HTTP_ACR_REDIS_STABLE)
    {
        redis->delay = 0;
        delay = ngx_random() % (NGX_HTTP_ACR_REDIS_DELAY_MIN / 2);

    } else {
        redis->delay = ngx_min(ngx_max(2 * redis->delay,
                                       NGX_HTTP_ACR_REDIS_DELAY_MIN),
                               NGX_HTTP_ACR_REDIS_DELAY_MAX);
        delay = redis->delay / 2 + ngx_random() % (redis->delay / 2);
    }

    redis->usable = 0;

    ngx_add_timer(&redis->connect, delay + 1);
}


u_char *
ngx_http_acr_redis_text(u_char *p, u_char *last, const char *text, size_t len)
{
    u_char  c;

    while (p < last && len--) {
        c = (u_char) *text++;
        *p++ = (c < 0x20 || c > 0x7e) ? '?' : c;
    }

    return p;
}
