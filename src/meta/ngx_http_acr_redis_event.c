
/*
 * hiredis on nginx's event loop.  hiredis owns the socket: it opens and closes
 * it, reads and writes; nginx tells when.
 */

#include "ngx_http_acr_redis_conn.h"
#include "ngx_http_acr_redis_ssl.h"


static void ngx_http_acr_redis_keepalive(ngx_http_acr_redis_conn_t *conn);
static void ngx_http_acr_redis_read(ngx_event_t *rev);
static void ngx_http_acr_redis_write(ngx_event_t *wev);
static void ngx_http_acr_redis_add_read(void *data);
static void ngx_http_acr_redis_del_read(void *data);
static void ngx_http_acr_redis_add_write(void *data);
static void ngx_http_acr_redis_del_write(void *data);
static void ngx_http_acr_redis_add(ngx_http_acr_redis_conn_t *conn,
    ngx_event_t *ev, ngx_int_t event);
static void ngx_http_acr_redis_del(ngx_http_acr_redis_conn_t *conn,
    ngx_event_t *ev, ngx_int_t event);
static void ngx_http_acr_redis_unheard(ngx_http_acr_redis_conn_t *conn);
static void ngx_http_acr_redis_cleanup(void *data);


ngx_int_t
ngx_http_acr_redis_attach(ngx_http_acr_redis_conn_t *conn,
    ngx_http_acr_meta_addr_t *addr, const char **reason)
{
    ngx_connection_t   *c;
    redisAsyncContext  *ac;

    ac = conn->context;

    c = ngx_get_connection(ac->c.fd, conn->log);

    if (c == NULL) {
        *reason = "no free connections";
        return NGX_ERROR;
    }

    c->data = conn;
    c->read->handler = ngx_http_acr_redis_read;
    c->read->log = conn->log;
    c->write->handler = ngx_http_acr_redis_write;
    c->write->log = conn->log;

    conn->connection = c;

    ac->ev.data = conn;
    ac->ev.addRead = ngx_http_acr_redis_add_read;
    ac->ev.delRead = ngx_http_acr_redis_del_read;
    ac->ev.addWrite = ngx_http_acr_redis_add_write;
    ac->ev.delWrite = ngx_http_acr_redis_del_write;
    ac->ev.cleanup = ngx_http_acr_redis_cleanup;

    if (addr->port) {
        ngx_http_acr_redis_keepalive(conn);
    }

#if (NGX_HTTP_ACR_REDIS_SSL)

    if (conn->ssl_ctx) {
        conn->ssl = ngx_http_acr_redis_ssl_start(ac, conn->ssl_ctx,
                                                 &addr->host, reason);

        if (conn->ssl == NULL) {
            return NGX_ERROR;
        }
    }

#endif

    return NGX_OK;
}


/* finds out that a peer has vanished while there are no commands */

static void
ngx_http_acr_redis_keepalive(ngx_http_acr_redis_conn_t *conn)
{
    int           value;
    ngx_socket_t  fd;

    fd = conn->connection->fd;
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

    ngx_log_error(NGX_LOG_ALERT, conn->log, ngx_socket_errno,
                  "acr: setsockopt() for keepalive failed");
}


/* hiredis may free the context in these two, and the connection with it */

static void
ngx_http_acr_redis_read(ngx_event_t *rev)
{
    ngx_connection_t           *c;
    ngx_http_acr_redis_conn_t  *conn;

    c = rev->data;
    conn = c->data;

    if (conn->alive) {
        redisAsyncHandleRead(conn->context);
    }
}


static void
ngx_http_acr_redis_write(ngx_event_t *wev)
{
    ngx_connection_t           *c;
    ngx_http_acr_redis_conn_t  *conn;

    c = wev->data;
    conn = c->data;

    if (conn->alive) {
        redisAsyncHandleWrite(conn->context);
    }
}


static void
ngx_http_acr_redis_add_read(void *data)
{
    ngx_http_acr_redis_conn_t *conn = data;

    ngx_http_acr_redis_add(conn, conn->connection->read, NGX_READ_EVENT);
}


static void
ngx_http_acr_redis_del_read(void *data)
{
    ngx_http_acr_redis_conn_t *conn = data;

    ngx_http_acr_redis_del(conn, conn->connection->read, NGX_READ_EVENT);
}


static void
ngx_http_acr_redis_add_write(void *data)
{
    ngx_http_acr_redis_conn_t *conn = data;

    ngx_http_acr_redis_add(conn, conn->connection->write, NGX_WRITE_EVENT);
}


static void
ngx_http_acr_redis_del_write(void *data)
{
    ngx_http_acr_redis_conn_t *conn = data;

    ngx_http_acr_redis_del(conn, conn->connection->write, NGX_WRITE_EVENT);
}


/*
 * Level-triggered, since hiredis reads 16 KiB and then waits for the next
 * event.
 */

static void
ngx_http_acr_redis_add(ngx_http_acr_redis_conn_t *conn, ngx_event_t *ev,
    ngx_int_t event)
{
    if (!ev->active && ngx_add_event(ev, event, NGX_LEVEL_EVENT) != NGX_OK) {
        ngx_http_acr_redis_unheard(conn);
    }
}


static void
ngx_http_acr_redis_del(ngx_http_acr_redis_conn_t *conn, ngx_event_t *ev,
    ngx_int_t event)
{
    if (ev->active && ngx_del_event(ev, event, 0) != NGX_OK) {
        ngx_http_acr_redis_unheard(conn);
    }
}


static void
ngx_http_acr_redis_unheard(ngx_http_acr_redis_conn_t *conn)
{
    static ngx_str_t  reason = ngx_string("its events cannot be awaited");

    ngx_http_acr_redis_conn_fail(conn, NGX_LOG_ERR, &reason);
}


/* hiredis closes the socket itself, right after this */

static void
ngx_http_acr_redis_cleanup(void *data)
{
    ngx_http_acr_redis_conn_t *conn = data;

    ngx_connection_t  *c;

    if (conn->context) {
        ngx_http_acr_redis_conn_lost(conn, conn->context);
    }

    conn->context = NULL;
    conn->ssl = NULL;

    c = conn->connection;
    conn->connection = NULL;

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
