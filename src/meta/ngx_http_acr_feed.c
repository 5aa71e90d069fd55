
#include "ngx_http_acr_feed.h"

#include <openssl/rand.h>


/* ms between beats, and how long one is good for after it was sent */
#define NGX_HTTP_ACR_FEED_BEAT    250
#define NGX_HTTP_ACR_FEED_FRESH   1000

/* ms between attempts to subscribe */
#define NGX_HTTP_ACR_FEED_RETRY   500

/* ms without a beat that has come back after which the subscription is given
   up, if not the time-out of a command, which is longer by default */
#define NGX_HTTP_ACR_FEED_DEAF    2000

/* beats that may be under way */
#define NGX_HTTP_ACR_FEED_BEATS   8

#define NGX_HTTP_ACR_FEED_TOKEN   16     /* bytes, twice as many digits */


struct ngx_http_acr_feed_s {
    ngx_http_acr_meta_t         *meta;
    ngx_http_acr_redis_conn_t    conn;
    ngx_http_acr_redis_loss_t    loss;
    ngx_event_t                  timer;      /* connects, or beats */

    ngx_str_t                    changes;    /* channels */
    ngx_str_t                    beats;
    ngx_str_t                    worker;     /* the last part of beats */

    ngx_msec_t                   sent[NGX_HTTP_ACR_FEED_BEATS];
    ngx_uint_t                   last;       /* number of the last beat */
    ngx_msec_t                   good;       /* when the last one that has come
                                                back was sent */
    ngx_msec_t                   heard;      /* when that was, or when Redis
                                                was joined */
    unsigned                     wanted:1;
    unsigned                     subscribed:1;
    unsigned                     fresh:1;    /* one has come back */
};


static ngx_int_t ngx_http_acr_feed_channels(ngx_http_acr_feed_t *feed,
    ngx_pool_t *pool);
static void ngx_http_acr_feed_timer(ngx_event_t *ev);
static void ngx_http_acr_feed_up(void *data);
static void ngx_http_acr_feed_down(void *data, ngx_uint_t level,
    ngx_str_t *reason);
static void ngx_http_acr_feed_reply(redisAsyncContext *ac, void *reply,
    void *privdata);
static void ngx_http_acr_feed_subscribed(ngx_http_acr_feed_t *feed,
    redisReply *number);
static void ngx_http_acr_feed_message(ngx_http_acr_feed_t *feed,
    redisReply *channel, redisReply *text);
static ngx_uint_t ngx_http_acr_feed_is(redisReply *reply, ngx_str_t *text);
static void ngx_http_acr_feed_change(ngx_http_acr_feed_t *feed,
    redisReply *text);
static ngx_int_t ngx_http_acr_feed_word(u_char **p, u_char *last,
    ngx_str_t *word);
static void ngx_http_acr_feed_beat(ngx_http_acr_feed_t *feed);
static ngx_uint_t ngx_http_acr_feed_deaf(ngx_http_acr_feed_t *feed);
static void ngx_http_acr_feed_beaten(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_feed_back(ngx_http_acr_feed_t *feed,
    redisReply *text);
static void ngx_http_acr_feed_unknown(ngx_http_acr_feed_t *feed);


ngx_http_acr_feed_t *
ngx_http_acr_feed_create(ngx_pool_t *pool, ngx_http_acr_meta_t *meta)
{
    ngx_http_acr_feed_t        *feed;
    ngx_http_acr_redis_conn_t  *conn;

    feed = ngx_pcalloc(pool, sizeof(ngx_http_acr_feed_t));

    if (feed == NULL) {
        return NULL;
    }

    feed->meta = meta;

    if (ngx_http_acr_feed_channels(feed, pool) != NGX_OK) {
        return NULL;
    }

    conn = &feed->conn;

    conn->data = feed;
    conn->up = ngx_http_acr_feed_up;
    conn->down = ngx_http_acr_feed_down;
    conn->log = meta->log;
    conn->background = 1;

    ngx_http_acr_redis_conn_conf(conn, meta->conf);
    ngx_http_acr_redis_conn_init(conn);

    feed->timer.handler = ngx_http_acr_feed_timer;
    feed->timer.data = feed;
    feed->timer.log = meta->log;
    feed->timer.cancelable = 1;

    return feed;
}


static ngx_int_t
ngx_http_acr_feed_channels(ngx_http_acr_feed_t *feed, ngx_pool_t *pool)
{
    u_char     *p;
    size_t      len;
    ngx_str_t  *prefix;
    u_char      token[NGX_HTTP_ACR_FEED_TOKEN];

    if (RAND_bytes(token, sizeof(token)) != 1) {
        ngx_log_error(NGX_LOG_EMERG, feed->meta->log, 0,
                      "acr: RAND_bytes() failed");
        return NGX_ERROR;
    }

    prefix = &feed->meta->prefix;
    len = 2 * prefix->len + sizeof(":feed:beat:") - 1
          + 2 * NGX_HTTP_ACR_FEED_TOKEN;

    p = ngx_pnalloc(pool, len);

    if (p == NULL) {
        return NGX_ERROR;
    }

    feed->changes.data = p;
    p = ngx_sprintf(p, "%V:feed", prefix);
    feed->changes.len = p - feed->changes.data;

    feed->beats.data = p;
    p = ngx_sprintf(p, "%V:beat:", prefix);

    feed->worker.data = p;
    p = ngx_hex_dump(p, token, NGX_HTTP_ACR_FEED_TOKEN);

    feed->worker.len = p - feed->worker.data;
    feed->beats.len = p - feed->beats.data;

    return NGX_OK;
}


void
ngx_http_acr_feed_close(ngx_http_acr_feed_t *feed)
{
    feed->wanted = 0;
    feed->subscribed = 0;

    if (feed->timer.timer_set) {
        ngx_del_timer(&feed->timer);
    }

    ngx_http_acr_redis_conn_close(&feed->conn);
}


void
ngx_http_acr_feed_start(ngx_http_acr_feed_t *feed)
{
    feed->wanted = 1;
    feed->heard = ngx_current_msec;

    if (!feed->conn.alive && !feed->timer.timer_set) {
        ngx_add_timer(&feed->timer, 1);
    }
}


void
ngx_http_acr_feed_stop(ngx_http_acr_feed_t *feed)
{
    static ngx_str_t  reason = ngx_string("Redis is lost");

    feed->wanted = 0;
    feed->subscribed = 0;
    feed->fresh = 0;

    if (feed->timer.timer_set) {
        ngx_del_timer(&feed->timer);
    }

    ngx_http_acr_redis_conn_fail(&feed->conn, NGX_LOG_INFO, &reason);
}


ngx_uint_t
ngx_http_acr_feed_fresh(ngx_http_acr_feed_t *feed)
{
    return feed->fresh
           && ngx_current_msec - feed->good < NGX_HTTP_ACR_FEED_FRESH;
}


static void
ngx_http_acr_feed_timer(ngx_event_t *ev)
{
    ngx_http_acr_feed_t  *feed;

    static ngx_str_t      reason = ngx_string("no answer to SUBSCRIBE");

    feed = ev->data;

    /* a worker that ends needs no feed, and no timer of its calls either */

    if (!feed->wanted || ngx_exiting || ngx_quit || ngx_terminate) {
        return;
    }

    if (feed->subscribed) {
        ngx_http_acr_feed_beat(feed);
        return;
    }

    if (feed->conn.ready) {
        ngx_http_acr_redis_conn_fail(&feed->conn, NGX_LOG_ERR, &reason);
        return;
    }

    /* the context of the last attempt may not have been freed yet */

    if (feed->conn.context == NULL && !feed->conn.alive) {
        ngx_http_acr_redis_conn_open(&feed->conn,
                               ngx_http_acr_redis_where(feed->meta->redis));
        return;
    }

    ngx_add_timer(ev, NGX_HTTP_ACR_FEED_RETRY);
}


static void
ngx_http_acr_feed_up(void *data)
{
    ngx_http_acr_feed_t *feed = data;

    size_t      len[3];
    const char *argv[3];

    static ngx_str_t  reason = ngx_string("no memory");

    argv[0] = "SUBSCRIBE";
    len[0] = sizeof("SUBSCRIBE") - 1;
    argv[1] = (char *) feed->changes.data;
    len[1] = feed->changes.len;
    argv[2] = (char *) feed->beats.data;
    len[2] = feed->beats.len;

    if (redisAsyncCommandArgv(feed->conn.context, ngx_http_acr_feed_reply,
                              feed, 3, argv, len)
        != REDIS_OK)
    {
        ngx_http_acr_redis_conn_fail(&feed->conn, NGX_LOG_ERR, &reason);
        return;
    }

    /* hiredis knows no deadline */

    ngx_add_timer(&feed->timer, feed->meta->conf->timeout);
}


static void
ngx_http_acr_feed_down(void *data, ngx_uint_t level, ngx_str_t *reason)
{
    ngx_http_acr_feed_t *feed = data;

    feed->subscribed = 0;
    feed->fresh = 0;

    ngx_http_acr_worker_set(feed->meta->owner.zone, NGX_HTTP_ACR_W_FEED_UP, 0);

    if (!feed->wanted) {
        return;
    }

    if (ngx_http_acr_redis_loss(&feed->loss, reason)) {
        ngx_log_error(NGX_LOG_WARN, feed->meta->log, 0,
                      "acr: the feed of Redis \"%V\" is lost, every lookup "
                      "asks Redis meanwhile: %V",
                      &feed->meta->conf->text, reason);
    }

    if (!feed->timer.timer_set) {
        ngx_add_timer(&feed->timer, NGX_HTTP_ACR_FEED_RETRY);
    }
}


/* called by hiredis, for every message, and with NULL when it ends */

static void
ngx_http_acr_feed_reply(redisAsyncContext *ac, void *reply, void *privdata)
{
    ngx_http_acr_feed_t *feed = privdata;

    redisReply        *r, **e;

    static ngx_str_t   subscribe = ngx_string("subscribe");
    static ngx_str_t   message = ngx_string("message");

    r = reply;

    if (r == NULL) {
        ngx_http_acr_redis_conn_lost(&feed->conn, ac);
        return;
    }

    if (!feed->wanted || !feed->conn.alive) {
        return;
    }

    if (r->type != REDIS_REPLY_ARRAY || r->elements != 3) {
        ngx_http_acr_feed_unknown(feed);
        return;
    }

    e = r->element;

    if (ngx_http_acr_feed_is(e[0], &subscribe)) {
        ngx_http_acr_feed_subscribed(feed, e[2]);

    } else if (ngx_http_acr_feed_is(e[0], &message)
               && e[2]->type == REDIS_REPLY_STRING)
    {
        ngx_http_acr_feed_message(feed, e[1], e[2]);

    } else {
        ngx_http_acr_feed_unknown(feed);
    }
}


/* there are two channels; what was published before that was missed, so
   everything may have changed */

static void
ngx_http_acr_feed_subscribed(ngx_http_acr_feed_t *feed, redisReply *number)
{
    ngx_http_acr_meta_t  *meta;

    if (number->type != REDIS_REPLY_INTEGER || number->integer != 2) {
        return;
    }

    meta = feed->meta;

    feed->subscribed = 1;
    feed->heard = ngx_current_msec;
    meta->owner.changed(meta->owner.data, NULL, NULL);

    if (feed->timer.timer_set) {
        ngx_del_timer(&feed->timer);
    }

    ngx_http_acr_feed_beat(feed);
}


static void
ngx_http_acr_feed_message(ngx_http_acr_feed_t *feed, redisReply *channel,
    redisReply *text)
{
    if (ngx_http_acr_feed_is(channel, &feed->beats)) {
        ngx_http_acr_feed_back(feed, text);

    } else if (ngx_http_acr_feed_is(channel, &feed->changes)) {
        ngx_http_acr_feed_change(feed, text);

    } else {
        ngx_http_acr_feed_unknown(feed);
    }
}


static ngx_uint_t
ngx_http_acr_feed_is(redisReply *reply, ngx_str_t *text)
{
    return reply->type == REDIS_REPLY_STRING
           && (size_t) reply->len == text->len
           && ngx_memcmp(reply->str, text->data, text->len) == 0;
}


/* "<seq> <action> <repository> <tag or digest>", of which the last two may be
   empty */

static void
ngx_http_acr_feed_change(ngx_http_acr_feed_t *feed, redisReply *text)
{
    u_char               *p, *last;
    ngx_str_t             seq, action, repository, name;
    ngx_http_acr_meta_t  *meta;

    p = (u_char *) text->str;
    last = p + text->len;

    if (ngx_http_acr_feed_word(&p, last, &seq) != NGX_OK
        || ngx_http_acr_feed_word(&p, last, &action) != NGX_OK
        || ngx_http_acr_feed_word(&p, last, &repository) != NGX_OK)
    {
        ngx_http_acr_feed_unknown(feed);
        return;
    }

    name.data = p;
    name.len = last - p;

    meta = feed->meta;

    if (repository.len == 0) {
        meta->owner.changed(meta->owner.data, NULL, NULL);
        return;
    }

    meta->owner.changed(meta->owner.data, &repository, &name);
}


static ngx_int_t
ngx_http_acr_feed_word(u_char **p, u_char *last, ngx_str_t *word)
{
    u_char  *end;

    end = ngx_strlchr(*p, last, ' ');

    if (end == NULL) {
        return NGX_ERROR;
    }

    word->data = *p;
    word->len = end - *p;

    *p = end + 1;

    return NGX_OK;
}


/* also finds out that the state of Redis is another one, while nobody asks */

static void
ngx_http_acr_feed_beat(ngx_http_acr_feed_t *feed)
{
    u_char                number[NGX_INT_T_LEN];
    ngx_str_t             args[2];
    ngx_http_acr_meta_t  *meta;

    static ngx_str_t      reason = ngx_string("beats do not come back");

    meta = feed->meta;

    if (ngx_http_acr_feed_deaf(feed)) {
        ngx_http_acr_redis_conn_fail(&feed->conn, NGX_LOG_ERR, &reason);
        return;
    }

    if (meta->phase == NGX_HTTP_ACR_META_JOINED) {
        feed->last++;
        feed->sent[feed->last % NGX_HTTP_ACR_FEED_BEATS] = ngx_current_msec;

        args[0] = feed->worker;
        args[1].data = number;
        args[1].len = ngx_sprintf(number, "%ui", feed->last) - number;

        /* without memory there is no beat, and the feed is not relied on */

        (void) ngx_http_acr_meta_call(meta, ACR_SCRIPT_BEAT, args, 2,
                                      ngx_http_acr_feed_beaten, feed);
    }

    if (!feed->timer.timer_set) {
        ngx_add_timer(&feed->timer, NGX_HTTP_ACR_FEED_BEAT);
    }
}


/* a peer that has vanished, or something on the way, may say nothing at all */

static ngx_uint_t
ngx_http_acr_feed_deaf(ngx_http_acr_feed_t *feed)
{
    ngx_msec_t  limit;

    if (feed->meta->phase != NGX_HTTP_ACR_META_JOINED) {
        feed->heard = ngx_current_msec;
        return 0;
    }

    limit = ngx_max(feed->meta->conf->timeout, NGX_HTTP_ACR_FEED_DEAF);

    return ngx_current_msec - feed->heard > limit;
}


/* it counts when it has come back */

static void
ngx_http_acr_feed_beaten(void *data, ngx_http_acr_meta_reply_t *reply)
{
}


static void
ngx_http_acr_feed_back(ngx_http_acr_feed_t *feed, redisReply *text)
{
    ngx_int_t  n;

    n = ngx_atoi((u_char *) text->str, text->len);

    if (n == NGX_ERROR || (ngx_uint_t) n > feed->last
        || feed->last - n >= NGX_HTTP_ACR_FEED_BEATS)
    {
        return;
    }

    feed->good = feed->sent[n % NGX_HTTP_ACR_FEED_BEATS];
    feed->heard = ngx_current_msec;

    if (feed->fresh) {
        return;
    }

    feed->fresh = 1;
    ngx_http_acr_worker_set(feed->meta->owner.zone, NGX_HTTP_ACR_W_FEED_UP, 1);

    if (feed->loss.lines) {
        ngx_log_error(NGX_LOG_WARN, feed->meta->log, 0,
                      "acr: the feed of Redis \"%V\" is back",
                      &feed->meta->conf->text);
        feed->loss.lines = 0;
    }
}


static void
ngx_http_acr_feed_unknown(ngx_http_acr_feed_t *feed)
{
    static ngx_str_t  reason = ngx_string("a message that is not known");

    ngx_http_acr_redis_conn_fail(&feed->conn, NGX_LOG_ERR, &reason);
}
