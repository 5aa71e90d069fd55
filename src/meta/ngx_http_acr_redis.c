
#include "ngx_http_acr_redis_conn.h"
#include "ngx_http_acr_meta_core.h"
#include "ngx_http_acr_sentinel.h"


/* between attempts to connect; at first a few milliseconds */
#define NGX_HTTP_ACR_REDIS_DELAY_MIN       100
#define NGX_HTTP_ACR_REDIS_DELAY_MAX       2000

/* each attempt asks a sentinel, and so finds a new master soon */
#define NGX_HTTP_ACR_REDIS_DELAY_SENTINEL  500

/* a connection that lasted so long was good: try again at once */
#define NGX_HTTP_ACR_REDIS_STABLE          1000


struct ngx_http_acr_redis_s {
    ngx_http_acr_meta_conf_t     *conf;
    ngx_http_acr_redis_state_pt   handler;
    void                         *data;
    ngx_log_t                    *log;

    ngx_http_acr_redis_conn_t     conn;
    ngx_event_t                   connect;   /* timer: connects */

    ngx_http_acr_sentinel_t      *sentinel;  /* NULL: there are none */
    ngx_http_acr_sentinel_addr_t  master;    /* as they told last */
    ngx_http_acr_meta_addr_t     *addr;      /* that it was opened with */

    ngx_uint_t                    attempts;
    ngx_msec_t                    delay;
    ngx_msec_t                    since;     /* usable since */
    time_t                        doubted;   /* the last time, for an error */
    ngx_http_acr_redis_loss_t     loss;

    unsigned                      usable:1;
    unsigned                      asking:1;  /* waits for the sentinels */
    unsigned                      told:1;    /* master is news */
    unsigned                      moving:1;  /* given up for another master */
};


static ngx_int_t ngx_http_acr_redis_sentinels(ngx_http_acr_redis_t *redis,
    ngx_pool_t *pool);
static void ngx_http_acr_redis_connect(ngx_event_t *ev);
static void ngx_http_acr_redis_told(void *data,
    ngx_http_acr_sentinel_addr_t *master);
static void ngx_http_acr_redis_move(ngx_http_acr_redis_t *redis,
    ngx_http_acr_sentinel_addr_t *master);
static void ngx_http_acr_redis_up(void *data);
static void ngx_http_acr_redis_down(void *data, ngx_uint_t level,
    ngx_str_t *reason);
static void ngx_http_acr_redis_error(void *data, redisReply *reply);
static void ngx_http_acr_redis_explain(redisReply *reply, u_char *buf,
    ngx_str_t *text);
static void ngx_http_acr_redis_again(ngx_http_acr_redis_t *redis);


ngx_http_acr_redis_t *
ngx_http_acr_redis_create(ngx_pool_t *pool, ngx_http_acr_meta_conf_t *conf,
    ngx_http_acr_redis_state_pt handler, void *data, ngx_log_t *log)
{
    ngx_http_acr_redis_t       *redis;
    ngx_http_acr_redis_conn_t  *conn;

    redis = ngx_pcalloc(pool, sizeof(ngx_http_acr_redis_t));

    if (redis == NULL) {
        return NULL;
    }

    redis->conf = conf;
    redis->handler = handler;
    redis->data = data;
    redis->log = log;

    conn = &redis->conn;

    conn->data = redis;
    conn->up = ngx_http_acr_redis_up;
    conn->down = ngx_http_acr_redis_down;
    conn->log = log;

    ngx_http_acr_redis_conn_conf(conn, conf);
    ngx_http_acr_redis_conn_init(conn);

    redis->connect.handler = ngx_http_acr_redis_connect;
    redis->connect.data = redis;
    redis->connect.log = log;
    redis->connect.cancelable = 1;

    if (conf->master.len
        && ngx_http_acr_redis_sentinels(redis, pool) != NGX_OK)
    {
        return NULL;
    }

    ngx_add_timer(&redis->connect, 1);

    return redis;
}


void
ngx_http_acr_redis_conn_conf(ngx_http_acr_redis_conn_t *conn,
    ngx_http_acr_meta_conf_t *conf)
{
    conn->explain = ngx_http_acr_redis_explain;
    conn->user = conf->user;
    conn->password = conf->password;
    conn->db = conf->db;
    conn->timeout = conf->timeout;
    conn->ssl_ctx = conf->ssl_ctx;
}


static ngx_int_t
ngx_http_acr_redis_sentinels(ngx_http_acr_redis_t *redis, ngx_pool_t *pool)
{
    redis->sentinel = ngx_http_acr_sentinel_create(pool, redis->conf,
                                                   ngx_http_acr_redis_told,
                                                   redis, redis->log);

    redis->conn.error = ngx_http_acr_redis_error;

    return redis->sentinel ? NGX_OK : NGX_ERROR;
}


void
ngx_http_acr_redis_close(ngx_http_acr_redis_t *redis)
{
    if (redis->sentinel) {
        ngx_http_acr_sentinel_close(redis->sentinel);
    }

    if (redis->connect.timer_set) {
        ngx_del_timer(&redis->connect);
    }

    ngx_http_acr_redis_conn_close(&redis->conn);
}


static void
ngx_http_acr_redis_connect(ngx_event_t *ev)
{
    ngx_http_acr_redis_t      *redis;
    ngx_http_acr_meta_addr_t  *addr;

    redis = ev->data;

    /* one that is being given up arms the timer once more */

    if (redis->conn.alive || redis->conn.context) {
        return;
    }

    if (redis->sentinel == NULL) {
        addr = &redis->conf->addrs[redis->attempts++ % redis->conf->naddrs];

    } else if (redis->told) {
        redis->told = 0;
        addr = &redis->master.addr;

    } else {
        redis->asking = 1;
        ngx_http_acr_sentinel_ask(redis->sentinel);
        return;
    }

    redis->addr = addr;

    ngx_http_acr_redis_conn_open(&redis->conn, addr);
}


ngx_http_acr_meta_addr_t *
ngx_http_acr_redis_where(ngx_http_acr_redis_t *redis)
{
    return redis->addr;
}


/*
 * What the sentinels say, each second and when they were asked.  While none
 * answers, none makes another one the master either, and the last one is tried
 * again.
 */

static void
ngx_http_acr_redis_told(void *data, ngx_http_acr_sentinel_addr_t *master)
{
    ngx_http_acr_redis_t *redis = data;

    ngx_str_t   *old, *new;
    ngx_uint_t   other;

    old = &redis->master.addr.text;

    if (master == NULL) {

        if (old->len == 0) {
            return;
        }

        master = &redis->master;
    }

    new = &master->addr.text;

    other = old->len != new->len
            || ngx_memcmp(old->data, new->data, new->len) != 0;

    if (redis->conn.alive) {

        if (other) {
            ngx_http_acr_redis_move(redis, master);
        }

        return;
    }

    if (!redis->asking && !other) {
        return;
    }

    if (other) {
        ngx_http_acr_sentinel_copy(&redis->master, master);
        redis->delay = 0;
    }

    redis->asking = 0;
    redis->told = 1;

    if (redis->connect.timer_set) {
        ngx_del_timer(&redis->connect);
    }

    ngx_add_timer(&redis->connect, 1);
}


static void
ngx_http_acr_redis_move(ngx_http_acr_redis_t *redis,
    ngx_http_acr_sentinel_addr_t *master)
{
    static ngx_str_t  reason = ngx_string("another one is the master");

    if (redis->usable) {
        ngx_log_error(NGX_LOG_ERR, redis->log, 0,
                      "acr: Redis \"%V\" has another master: it was %V, and "
                      "is %V now", &redis->conf->text,
                      &redis->master.addr.text, &master->addr.text);
    }

    ngx_http_acr_sentinel_copy(&redis->master, master);

    redis->told = 1;
    redis->moving = 1;

    ngx_http_acr_redis_conn_fail(&redis->conn, NGX_LOG_ERR, &reason);
}


static void
ngx_http_acr_redis_up(void *data)
{
    ngx_http_acr_redis_t *redis = data;

    redis->handler(redis->data, 1);
}


static void
ngx_http_acr_redis_down(void *data, ngx_uint_t level, ngx_str_t *reason)
{
    ngx_http_acr_redis_t *redis = data;

    if (!redis->moving && ngx_http_acr_redis_loss(&redis->loss, reason)) {
        ngx_log_error(level, redis->log, 0, "acr: Redis \"%V\"%s%V %s: %V",
                      &redis->conf->text, redis->sentinel ? ", master " : "",
                      &redis->master.addr.text,
                      redis->usable ? "is lost" : "is not usable", reason);
    }

    redis->handler(redis->data, 0);

    ngx_http_acr_redis_again(redis);
}


/*
 * A master that has lost its replicas may be the old one, cut off together
 * with the sentinel that names it.
 */

static void
ngx_http_acr_redis_error(void *data, redisReply *reply)
{
    ngx_http_acr_redis_t *redis = data;

    if (strstr(reply->str, "NOREPLICAS") && redis->doubted != ngx_time()) {
        redis->doubted = ngx_time();
        ngx_http_acr_sentinel_doubt(redis->sentinel);
    }
}


static void
ngx_http_acr_redis_explain(redisReply *reply, u_char *buf, ngx_str_t *text)
{
    (void) ngx_http_acr_meta_error(reply, buf, text);
}


ngx_int_t
ngx_http_acr_redis_command(ngx_http_acr_redis_t *redis,
    ngx_http_acr_redis_pt handler, void *data, ngx_uint_t argc,
    const char **argv, const size_t *argvlen)
{
    return ngx_http_acr_redis_conn_command(&redis->conn, handler, data, argc,
                                           argv, argvlen);
}


void
ngx_http_acr_redis_usable(ngx_http_acr_redis_t *redis)
{
    if (redis->usable || !redis->conn.ready) {
        return;
    }

    redis->usable = 1;
    redis->since = ngx_current_msec;

    if (redis->loss.lines) {

        /* the level of the loss, so that no log has one without the other */

        ngx_log_error(NGX_LOG_ERR, redis->log, 0,
                      "acr: Redis \"%V\"%s%V is back", &redis->conf->text,
                      redis->sentinel ? ", master " : "",
                      &redis->master.addr.text);

        redis->loss.lines = 0;
    }
}


void
ngx_http_acr_redis_reset(ngx_http_acr_redis_t *redis, ngx_uint_t level,
    ngx_str_t *reason)
{
    ngx_http_acr_redis_conn_fail(&redis->conn, level, reason);
}


static void
ngx_http_acr_redis_again(ngx_http_acr_redis_t *redis)
{
    ngx_msec_t  delay, max;

    if (redis->moving) {
        redis->moving = 0;
        redis->delay = 0;
        delay = 0;

    } else if (redis->usable
               && ngx_current_msec - redis->since > NGX_HTTP_ACR_REDIS_STABLE)
    {
        redis->delay = 0;
        delay = ngx_random() % (NGX_HTTP_ACR_REDIS_DELAY_MIN / 2);

    } else {
        max = NGX_HTTP_ACR_REDIS_DELAY_MAX;

        if (redis->sentinel) {

            /* what this sentinel has told leads nowhere */

            max = NGX_HTTP_ACR_REDIS_DELAY_SENTINEL;
            ngx_http_acr_sentinel_doubt(redis->sentinel);
        }

        redis->delay = ngx_min(ngx_max(2 * redis->delay,
                                       NGX_HTTP_ACR_REDIS_DELAY_MIN),
                               max);
        delay = redis->delay / 2 + ngx_random() % (redis->delay / 2);
    }

    redis->usable = 0;

    ngx_add_timer(&redis->connect, delay + 1);
}
