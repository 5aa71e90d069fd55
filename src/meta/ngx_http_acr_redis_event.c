
/*
 * hiredis on nginx's event loop.  hiredis owns the socket: it opens and closes
 * it, reads and writes; nginx tells when.
 */

#include "ngx_http_acr_redis_core.h"
#include "ngx_http_acr_redis_ssl.h"


static void ngx_http_acr_redis_keepalive(ngx_http_acr_redis_t *redis);
static void ngx_http_acr_redis_read(ngx_event_t *rev);
static void ngx_http_acr_redis_write(ngx_event_t *wev);
static void ngx_http_acr_redis_add_read(void *data);
static void ngx_http_acr_redis_del_read(void *data);
static void ngx_http_acr_redis_add_write(void *data);
static void ngx_http_acr_redis_del_write(void *data);
static void ngx_http_acr_redis_add(ngx_http_acr_redis_t *redis,
    ngx_event_t *ev, ngx_int_t event);
static void ngx_http_acr_redis_del(ngx_http_acr_redis_t *redis,
    ngx_event_t *ev, ngx_int_t event);
static void ngx_http_acr_redis_cleanup(void *data);


ngx_int_t
ngx_http_acr_redis_attach(ngx_http_acr_redis_t *redis)
{
    ngx_connection_t   *c;
    redisAsyncContext  *ac;
#if (NGX_HTTP_ACR_REDIS_SSL)
    const char         *reason;
#endif

    ac = redis->context;

    c = ngx_get_connection(ac->c.fd, redis->log);

    if (c == NULL) {
        ngx_http_acr_redis_fail(redis, "no free connections");
        return NGX_ERROR;
    }

    c->data = redis;
    c->read->handler = ngx_http_acr_redis_read;
    c->read->log = redis->log;
    c->write->handler = ngx_http_acr_redis_write;
    c->write->log = redis->log;

    redis->connection = c;

    ac->ev.data = redis;
    ac->ev.addRead = ngx_http_acr_redis_add_read;
    ac->ev.delRead = ngx_http_acr_redis_del_read;
    ac->ev.addWrite = ngx_http_acr_redis_add_write;
    ac->ev.delWrite = ngx_http_acr_redis_del_write;
    ac->ev.cleanup = ngx_http_acr_redis_cleanup;

    if (redis->conf->port) {
        ngx_http_acr_redis_keepalive(redis);
    }

#if (NGX_HTTP_ACR_REDIS_SSL)

    if (redis->conf->ssl_ctx) {
        redis->ssl = ngx_http_acr_redis_ssl_start(ac, redis->conf, &reason);

        if (redis->ssl == NULL) {
            ngx_http_acr_redis_fail(redis, reason);
            return NGX_ERROR;
        }
    }

#endif

    return NGX_OK;
}


/* finds out that a peer has vanished while there are no commands */

static void
ngx_http_acr_redis_keepalive(ngx_http_acr_redis_t *redis)
{
    int           value;
    ngx_socket_t  fd;

    fd = redis->connection->fd;
    value = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof(int)) == -1) {
        goto failed;
    }

#if (NGX_HAVE_KEEPALIVE_TUNABLE)

    value = 15;

    if (setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &value, sizeof(int)) == -1) {
        goto failed;
    }

    value = 5;

    if (setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &value, sizeof(int))
        == -1)
    {
        goto failed;
    }

#endif

    return;

failed:

    ngx_log_error(NGX_LOG_ALERT, redis->log, ngx_socket_errno,
                  "acr: setsockopt() for keepalive failed");
}


/* hiredis may free the context in these two, and the connection with it */

static void
ngx_http_acr_redis_read(ngx_event_t *rev)
{
    ngx_connection_t      *c;
    ngx_http_acr_redis_t  *redis;

    c = rev->data;
    redis = c->data;

    if (redis->alive) {
        redisAsyncHandleRead(redis->context);
    }
}


static void
ngx_http_acr_redis_write(ngx_event_t *wev)
{
    ngx_connection_t      *c;
    ngx_http_acr_redis_t  *redis;

    c = wev->data;
    redis = c->data;

    if (redis->alive) {
        redisAsyncHandleWrite(redis->context);
    }
}


static void
ngx_http_acr_redis_add_read(void *data)
{
    ngx_http_acr_redis_t *redis = data;

    ngx_http_acr_redis_add(redis, redis->connection->read, NGX_READ_EVENT);
}


static void
ngx_http_acr_redis_del_read(void *data)
{
    ngx_http_acr_redis_t *redis = data;

    ngx_http_acr_redis_del(redis, redis->connection->read, NGX_READ_EVENT);
}


static void
ngx_http_acr_redis_add_write(void *data)
{
    ngx_http_acr_redis_t *redis = data;

    ngx_http_acr_redis_add(redis, redis->connection->write, NGX_WRITE_EVENT);
}


static void
ngx_http_acr_redis_del_write(void *data)
{
    ngx_http_acr_redis_t *redis = data;

    ngx_http_acr_redis_del(redis, redis->connection->write, NGX_WRITE_EVENT);
}


/*
 * Level-triggered, since hiredis reads 16 KiB and then waits for the next
 * event.
 */

static void
ngx_http_acr_redis_add(ngx_http_acr_redis_t *redis, ngx_event_t *ev,
    ngx_int_t event)
{
    if (!ev->active && ngx_add_event(ev, event, NGX_LEVEL_EVENT) != NGX_OK) {
        ngx_http_acr_redis_fail(redis, "its events cannot be awaited");
    }
}


static void
ngx_http_acr_redis_del(ngx_http_acr_redis_t *redis, ngx_event_t *ev,
    ngx_int_t event)
{
    if (ev->active && ngx_del_event(ev, event, 0) != NGX_OK) {
        ngx_http_acr_redis_fail(redis, "its events cannot be awaited");
    }
}


/* hiredis closes the socket itself, right after this */

static void
ngx_http_acr_redis_cleanup(void *data)
{
    ngx_http_acr_redis_t *redis = data;

    ngx_connection_t  *c;

    if (redis->context) {
        ngx_http_acr_redis_lost(redis, redis->context);
    }

    redis->context = NULL;
    redis->ssl = NULL;

    c = redis->connection;
    redis->connection = NULL;

    if (ngx_del_conn) {
        ngx_del_conn(c, NGX_CLOSE_EVENT);

    } else {
        if (c->read->active) {
            ngx_del_event(c->read, NGX_READ_EVENT, NGX_CLOSE_EVENT);
        }

        if (c->write->active) {
            ngx_del_event(c->write, NGX_WRITE_EVENT, NGX_CLOSE_EVENT);
        }
    }

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    ngx_free_connection(c);
    c->fd = (ngx_socket_t) -1;
}
