
#include "ngx_http_acr_redis_conn.h"
#include "ngx_http_acr_redis_ssl.h"


/* lines about one loss, before there is only one in so many seconds */
#define NGX_HTTP_ACR_REDIS_LINES     3
#define NGX_HTTP_ACR_REDIS_LOG_TIME  60


typedef struct {
    ngx_queue_t                   queue;
    ngx_http_acr_redis_conn_t    *conn;
    ngx_http_acr_redis_pt         handler;
    void                         *data;
    ngx_msec_t                    deadline;
} ngx_http_acr_redis_command_t;


static ngx_int_t ngx_http_acr_redis_greet(ngx_http_acr_redis_conn_t *conn);
static ngx_int_t ngx_http_acr_redis_greeting(ngx_http_acr_redis_conn_t *conn,
    ngx_http_acr_redis_pt handler, ngx_str_t *args, ngx_uint_t n);
static void ngx_http_acr_redis_greeted(void *data, redisReply *reply);
static void ngx_http_acr_redis_pong(void *data, redisReply *reply);
static ngx_int_t ngx_http_acr_redis_send(ngx_http_acr_redis_conn_t *conn,
    ngx_http_acr_redis_pt handler, void *data, ngx_uint_t argc,
    const char **argv, const size_t *argvlen);
static void ngx_http_acr_redis_reply(redisAsyncContext *ac, void *reply,
    void *privdata);
static void ngx_http_acr_redis_deadline(ngx_event_t *ev);
static void ngx_http_acr_redis_fail(ngx_http_acr_redis_conn_t *conn,
    const char *reason);
static void ngx_http_acr_redis_drop(ngx_event_t *ev);
static void ngx_http_acr_redis_reason(ngx_http_acr_redis_conn_t *conn,
    ngx_uint_t level, const char *text, size_t len);


void
ngx_http_acr_redis_conn_init(ngx_http_acr_redis_conn_t *conn)
{
    ngx_queue_init(&conn->commands);

    conn->deadline.handler = ngx_http_acr_redis_deadline;
    conn->deadline.data = conn;
    conn->deadline.log = conn->log;

    conn->drop.handler = ngx_http_acr_redis_drop;
    conn->drop.data = conn;
    conn->drop.log = conn->log;
}


void
ngx_http_acr_redis_conn_open(ngx_http_acr_redis_conn_t *conn,
    ngx_http_acr_meta_addr_t *addr)
{
    const char  *reason;

    conn->alive = 1;

    /* hiredis must not be made to look up a name: that would block */

    if (addr->port == 0) {
        conn->context = redisAsyncConnectUnix((char *) addr->addr.data);

    } else {
        conn->context = redisAsyncConnect((char *) addr->addr.data,
                                          addr->port);
    }

    if (conn->context == NULL) {
        ngx_http_acr_redis_fail(conn, "no memory");
        return;
    }

    if (conn->context->err) {
        ngx_http_acr_redis_fail(conn, conn->context->errstr);
        return;
    }

    if (ngx_http_acr_redis_attach(conn, addr, &reason) != NGX_OK) {
        ngx_http_acr_redis_fail(conn, reason);
        return;
    }

    if (ngx_http_acr_redis_greet(conn) != NGX_OK) {
        ngx_http_acr_redis_fail(conn, "no memory");
    }
}


/*
 * What a new connection begins with; hiredis sends it once it is connected.
 * PING tells whether Redis will work: it is refused as long as it loads its
 * data or waits for a password.
 */

static ngx_int_t
ngx_http_acr_redis_greet(ngx_http_acr_redis_conn_t *conn)
{
    u_char      db[NGX_INT_T_LEN];
    ngx_str_t   args[3];
    ngx_uint_t  n;

    if (conn->password.len) {
        ngx_str_set(&args[0], "AUTH");
        n = 1;

        if (conn->user.len) {
            args[n++] = conn->user;
        }

        args[n++] = conn->password;

        if (ngx_http_acr_redis_greeting(conn, ngx_http_acr_redis_greeted,
                                        args, n)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (conn->db) {
        ngx_str_set(&args[0], "SELECT");
        args[1].data = db;
        args[1].len = ngx_sprintf(db, "%ui", conn->db) - db;

        if (ngx_http_acr_redis_greeting(conn, ngx_http_acr_redis_greeted,
                                        args, 2)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    ngx_str_set(&args[0], "PING");

    return ngx_http_acr_redis_greeting(conn, ngx_http_acr_redis_pong, args, 1);
}


static ngx_int_t
ngx_http_acr_redis_greeting(ngx_http_acr_redis_conn_t *conn,
    ngx_http_acr_redis_pt handler, ngx_str_t *args, ngx_uint_t n)
{
    size_t       len[3];
    ngx_uint_t   i;
    const char  *argv[3];

    for (i = 0; i < n; i++) {
        argv[i] = (char *) args[i].data;
        len[i] = args[i].len;
    }

    return ngx_http_acr_redis_send(conn, handler, conn, n, argv, len);
}


static void
ngx_http_acr_redis_greeted(void *data, redisReply *reply)
{
    ngx_http_acr_redis_conn_t *conn = data;

    u_char     buf[NGX_MAX_ERROR_STR];
    ngx_str_t  text;

    if (reply && reply->type == REDIS_REPLY_ERROR) {
        conn->explain(reply, buf, &text);
        ngx_http_acr_redis_conn_fail(conn, NGX_LOG_ERR, &text);
    }
}


static void
ngx_http_acr_redis_pong(void *data, redisReply *reply)
{
    ngx_http_acr_redis_conn_t *conn = data;

    ngx_http_acr_redis_greeted(conn, reply);

    if (reply && conn->alive) {
        conn->ready = 1;
        conn->up(conn->data);
    }
}


ngx_int_t
ngx_http_acr_redis_conn_command(ngx_http_acr_redis_conn_t *conn,
    ngx_http_acr_redis_pt handler, void *data, ngx_uint_t argc,
    const char **argv, const size_t *argvlen)
{
    if (!conn->ready) {
        return NGX_ERROR;
    }

    return ngx_http_acr_redis_send(conn, handler, data, argc, argv, argvlen);
}


static ngx_int_t
ngx_http_acr_redis_send(ngx_http_acr_redis_conn_t *conn,
    ngx_http_acr_redis_pt handler, void *data, ngx_uint_t argc,
    const char **argv, const size_t *argvlen)
{
    ngx_http_acr_redis_command_t  *command;

    command = ngx_alloc(sizeof(ngx_http_acr_redis_command_t), conn->log);

    if (command == NULL) {
        return NGX_ERROR;
    }

    command->conn = conn;
    command->handler = handler;
    command->data = data;
    command->deadline = ngx_current_msec + conn->timeout;

    if (redisAsyncCommandArgv(conn->context, ngx_http_acr_redis_reply,
                              command, argc, argv, argvlen)
        != REDIS_OK)
    {
        ngx_free(command);
        return NGX_ERROR;
    }

    ngx_queue_insert_tail(&conn->commands, &command->queue);

    /* nobody waits for the greeting, so it need not keep a worker alive */

    conn->deadline.cancelable = !conn->ready || conn->background;

    if (!conn->deadline.timer_set) {
        ngx_add_timer(&conn->deadline, conn->timeout);
    }

    return NGX_OK;
}


/* called by hiredis, also for every command of a context that is freed */

static void
ngx_http_acr_redis_reply(redisAsyncContext *ac, void *reply, void *privdata)
{
    ngx_http_acr_redis_command_t *command = privdata;

    void                       *data;
    redisReply                 *r;
    ngx_http_acr_redis_pt       handler;
    ngx_http_acr_redis_conn_t  *conn;

    conn = command->conn;
    handler = command->handler;
    data = command->data;

    ngx_queue_remove(&command->queue);
    ngx_free(command);

    if (ngx_queue_empty(&conn->commands) && conn->deadline.timer_set) {
        ngx_del_timer(&conn->deadline);
    }

    r = reply;

    if (r == NULL) {
        ngx_http_acr_redis_conn_lost(conn, ac);

    } else if (r->type == REDIS_REPLY_ERROR && conn->error) {
        conn->error(conn->data, r);
    }

    handler(data, r);
}


static void
ngx_http_acr_redis_deadline(ngx_event_t *ev)
{
    ngx_queue_t                   *q;
    ngx_msec_int_t                 left;
    ngx_http_acr_redis_conn_t     *conn;
    ngx_http_acr_redis_command_t  *command;

    conn = ev->data;

    if (ngx_queue_empty(&conn->commands)) {
        return;
    }

    q = ngx_queue_head(&conn->commands);
    command = ngx_queue_data(q, ngx_http_acr_redis_command_t, queue);

    left = (ngx_msec_int_t) (command->deadline - ngx_current_msec);

    if (left > 0) {
        ngx_add_timer(ev, (ngx_msec_t) left);
        return;
    }

    ngx_http_acr_redis_fail(conn, "no answer within the time-out");
}


void
ngx_http_acr_redis_conn_fail(ngx_http_acr_redis_conn_t *conn,
    ngx_uint_t level, ngx_str_t *reason)
{
    if (!conn->alive) {
        return;
    }

    conn->alive = 0;
    conn->ready = 0;

    ngx_http_acr_redis_reason(conn, level, (char *) reason->data, reason->len);

    ngx_post_event(&conn->drop, &ngx_posted_events);
}


static void
ngx_http_acr_redis_fail(ngx_http_acr_redis_conn_t *conn, const char *reason)
{
    ngx_str_t  text;

    text.data = (u_char *) reason;
    text.len = ngx_strlen(reason);

    ngx_http_acr_redis_conn_fail(conn, NGX_LOG_ERR, &text);
}


/*
 * hiredis must not free a context while it is at work on it, hence a posted
 * event.
 */

static void
ngx_http_acr_redis_drop(ngx_event_t *ev)
{
    redisAsyncContext          *ac;
    ngx_http_acr_redis_conn_t  *conn;

    conn = ev->data;

    if (!conn->closed) {
        conn->down(conn->data, conn->level, &conn->reason);
    }

    ac = conn->context;

    if (ac) {
        conn->context = NULL;
        redisAsyncFree(ac);
    }
}


void
ngx_http_acr_redis_conn_close(ngx_http_acr_redis_conn_t *conn)
{
    conn->closed = 1;
    conn->alive = 0;
    conn->ready = 0;

    ngx_http_acr_redis_drop(&conn->drop);

    if (conn->drop.posted) {
        ngx_delete_posted_event(&conn->drop);
    }

    if (conn->deadline.timer_set) {
        ngx_del_timer(&conn->deadline);
    }
}


void
ngx_http_acr_redis_conn_lost(ngx_http_acr_redis_conn_t *conn,
    redisAsyncContext *ac)
{
    const char  *text;

    if (!conn->alive) {
        return;
    }

    conn->alive = 0;
    conn->ready = 0;

    text = ac->c.err ? ac->c.errstr : "closed";

#if (NGX_HTTP_ACR_REDIS_SSL)

    if (conn->ssl) {
        text = ngx_http_acr_redis_ssl_error(conn->ssl, text);
    }

#endif

    ngx_http_acr_redis_reason(conn, NGX_LOG_ERR, text, ngx_strlen(text));

    conn->down(conn->data, conn->level, &conn->reason);
}


static void
ngx_http_acr_redis_reason(ngx_http_acr_redis_conn_t *conn, ngx_uint_t level,
    const char *text, size_t len)
{
    u_char  *last;

    last = ngx_http_acr_redis_text(conn->text,
                                   conn->text + sizeof(conn->text), text, len);
    conn->reason.data = conn->text;
    conn->reason.len = last - conn->text;
    conn->level = level;
}


ngx_uint_t
ngx_http_acr_redis_loss(ngx_http_acr_redis_loss_t *loss, ngx_str_t *reason)
{
    size_t  len;

    len = ngx_min(reason->len, sizeof(loss->text));

    if (loss->lines) {

        if (ngx_memcmp(reason->data, loss->text,
                       ngx_min(len, loss->reason.len))
            == 0)
        {
            return 0;
        }

        /* the addresses of a name may fail in turn, each for its reason */

        if (loss->lines >= NGX_HTTP_ACR_REDIS_LINES
            && ngx_time() - loss->logged < NGX_HTTP_ACR_REDIS_LOG_TIME)
        {
            return 0;
        }
    }

    ngx_memcpy(loss->text, reason->data, len);

    loss->reason.data = loss->text;
    loss->reason.len = len;
    loss->logged = ngx_time();
    loss->lines++;

    return 1;
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
