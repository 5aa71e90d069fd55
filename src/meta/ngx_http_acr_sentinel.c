
#include "ngx_http_acr_sentinel.h"
#include "ngx_http_acr_redis_conn.h"


/* between two questions, and when no sentinel has answered */
#define NGX_HTTP_ACR_SENTINEL_INTERVAL  1000

/* of a sentinel that does not answer; the next one may */
#define NGX_HTTP_ACR_SENTINEL_TIMEOUT   1000


struct ngx_http_acr_sentinel_s {
    ngx_http_acr_meta_conf_t    *conf;
    ngx_http_acr_sentinel_pt     handler;
    void                        *data;
    ngx_log_t                   *log;

    ngx_http_acr_redis_conn_t    conn;
    ngx_event_t                  timer;     /* asks, or tries a sentinel */
    ngx_uint_t                   current;   /* of the configured addresses */
    ngx_uint_t                   failed;    /* since the last answer */
    ngx_http_acr_redis_loss_t    loss;

    unsigned                     asked:1;
    unsigned                     doubted:1; /* given up for the next one */
};


static void ngx_http_acr_sentinel_timer(ngx_event_t *ev);
static void ngx_http_acr_sentinel_up(void *data);
static void ngx_http_acr_sentinel_question(ngx_http_acr_sentinel_t *sentinel);
static void ngx_http_acr_sentinel_answer(void *data, redisReply *reply);
static ngx_int_t ngx_http_acr_sentinel_read(redisReply *reply,
    ngx_http_acr_sentinel_addr_t *master, const char **reason);
static ngx_int_t ngx_http_acr_sentinel_read_addr(
    ngx_http_acr_sentinel_addr_t *master, redisReply *host, redisReply *port,
    const char **reason);
static void ngx_http_acr_sentinel_fail(ngx_http_acr_sentinel_t *sentinel,
    const char *reason);
static void ngx_http_acr_sentinel_explain(redisReply *reply, u_char *buf,
    ngx_str_t *text);
static void ngx_http_acr_sentinel_down(void *data, ngx_uint_t level,
    ngx_str_t *reason);
static void ngx_http_acr_sentinel_none(ngx_http_acr_sentinel_t *sentinel,
    ngx_str_t *addr, ngx_str_t *reason);


ngx_http_acr_sentinel_t *
ngx_http_acr_sentinel_create(ngx_pool_t *pool, ngx_http_acr_meta_conf_t *conf,
    ngx_http_acr_sentinel_pt handler, void *data, ngx_log_t *log)
{
    ngx_http_acr_sentinel_t    *sentinel;
    ngx_http_acr_redis_conn_t  *conn;

    sentinel = ngx_pcalloc(pool, sizeof(ngx_http_acr_sentinel_t));

    if (sentinel == NULL) {
        return NULL;
    }

    sentinel->conf = conf;
    sentinel->handler = handler;
    sentinel->data = data;
    sentinel->log = log;

    conn = &sentinel->conn;

    conn->data = sentinel;
    conn->up = ngx_http_acr_sentinel_up;
    conn->down = ngx_http_acr_sentinel_down;
    conn->explain = ngx_http_acr_sentinel_explain;
    conn->log = log;
    conn->user = conf->sentinel_user;
    conn->password = conf->sentinel_password;
    conn->timeout = ngx_min(conf->timeout, NGX_HTTP_ACR_SENTINEL_TIMEOUT);
    conn->ssl_ctx = conf->ssl_ctx;
    conn->background = 1;

    ngx_http_acr_redis_conn_init(conn);

    sentinel->timer.handler = ngx_http_acr_sentinel_timer;
    sentinel->timer.data = sentinel;
    sentinel->timer.log = log;
    sentinel->timer.cancelable = 1;

    ngx_add_timer(&sentinel->timer, 1);

    return sentinel;
}


void
ngx_http_acr_sentinel_close(ngx_http_acr_sentinel_t *sentinel)
{
    if (sentinel->timer.timer_set) {
        ngx_del_timer(&sentinel->timer);
    }

    ngx_http_acr_redis_conn_close(&sentinel->conn);
}


void
ngx_http_acr_sentinel_ask(ngx_http_acr_sentinel_t *sentinel)
{
    if (sentinel->conn.ready && !sentinel->asked) {
        ngx_http_acr_sentinel_question(sentinel);
    }

    /* else it is being asked, or tried, or will be by the timer */
}


void
ngx_http_acr_sentinel_doubt(ngx_http_acr_sentinel_t *sentinel)
{
    if (sentinel->conn.ready && sentinel->conf->naddrs > 1) {
        sentinel->doubted = 1;
        ngx_http_acr_sentinel_fail(sentinel, "what it has told is no master");
    }
}


static void
ngx_http_acr_sentinel_timer(ngx_event_t *ev)
{
    ngx_http_acr_meta_addr_t  *addr;
    ngx_http_acr_sentinel_t   *sentinel;

    sentinel = ev->data;

    if (sentinel->conn.ready) {
        ngx_http_acr_sentinel_ask(sentinel);
        return;
    }

    /* one that is being given up arms the timer once more */

    if (sentinel->conn.alive || sentinel->conn.context) {
        return;
    }

    addr = &sentinel->conf->addrs[sentinel->current];

    ngx_http_acr_redis_conn_open(&sentinel->conn, addr);
}


static void
ngx_http_acr_sentinel_up(void *data)
{
    ngx_http_acr_sentinel_question(data);
}


static void
ngx_http_acr_sentinel_question(ngx_http_acr_sentinel_t *sentinel)
{
    size_t       argvlen[3];
    const char  *argv[3];

    argv[0] = "SENTINEL";
    argvlen[0] = sizeof("SENTINEL") - 1;
    argv[1] = "get-master-addr-by-name";
    argvlen[1] = sizeof("get-master-addr-by-name") - 1;
    argv[2] = (char *) sentinel->conf->master.data;
    argvlen[2] = sentinel->conf->master.len;

    if (ngx_http_acr_redis_conn_command(&sentinel->conn,
                                        ngx_http_acr_sentinel_answer, sentinel,
                                        3, argv, argvlen)
        != NGX_OK)
    {
        ngx_http_acr_sentinel_fail(sentinel, "no memory");
        return;
    }

    sentinel->asked = 1;
}


static void
ngx_http_acr_sentinel_answer(void *data, redisReply *reply)
{
    ngx_http_acr_sentinel_t *sentinel = data;

    u_char                         buf[NGX_MAX_ERROR_STR];
    ngx_str_t                      text;
    const char                    *reason;
    ngx_http_acr_sentinel_addr_t   master;

    sentinel->asked = 0;

    if (reply == NULL || !sentinel->conn.alive) {
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        ngx_http_acr_sentinel_explain(reply, buf, &text);
        ngx_http_acr_redis_conn_fail(&sentinel->conn, NGX_LOG_ERR, &text);
        return;
    }

    if (ngx_http_acr_sentinel_read(reply, &master, &reason) != NGX_OK) {
        ngx_http_acr_sentinel_fail(sentinel, reason);
        return;
    }

    sentinel->failed = 0;

    if (sentinel->loss.lines) {
        ngx_log_error(NGX_LOG_ERR, sentinel->log, 0,
                      "acr: a sentinel of Redis \"%V\" tells its master again",
                      &sentinel->conf->text);

        sentinel->loss.lines = 0;
    }

    ngx_add_timer(&sentinel->timer, NGX_HTTP_ACR_SENTINEL_INTERVAL);

    sentinel->handler(sentinel->data, &master);
}


static ngx_int_t
ngx_http_acr_sentinel_read(redisReply *reply,
    ngx_http_acr_sentinel_addr_t *master, const char **reason)
{
    redisReply  *host, *port;

    if (reply->type == REDIS_REPLY_NIL
        || (reply->type == REDIS_REPLY_ARRAY && reply->elements == 0))
    {
        *reason = "it has no master of this name";
        return NGX_ERROR;
    }

    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2) {
        host = reply->element[0];
        port = reply->element[1];

        if (host->type == REDIS_REPLY_STRING
            && port->type == REDIS_REPLY_STRING)
        {
            return ngx_http_acr_sentinel_read_addr(master, host, port, reason);
        }
    }

    *reason = "its answer is not known: is it a sentinel?";

    return NGX_ERROR;
}


/* a name would have to be looked up, and that would block */

static ngx_int_t
ngx_http_acr_sentinel_read_addr(ngx_http_acr_sentinel_addr_t *master,
    redisReply *host, redisReply *port, const char **reason)
{
    size_t                     len;
    u_char                    *p, in6[16];
    ngx_int_t                  n, v6;
    ngx_http_acr_meta_addr_t  *addr;

    p = (u_char *) host->str;
    len = host->len;
    v6 = 0;

    if (len == 0 || len > NGX_INET6_ADDRSTRLEN
        || ngx_inet_addr(p, len) == INADDR_NONE)
    {
        if (len == 0 || len > NGX_INET6_ADDRSTRLEN
            || ngx_inet6_addr(p, len, in6) != NGX_OK)
        {
            *reason = "it tells a host name instead of an address: set its "
                      "resolve-hostnames and announce-hostnames to \"no\"";
            return NGX_ERROR;
        }

        v6 = 1;
    }

    n = ngx_atoi((u_char *) port->str, port->len);

    if (n < 1 || n > 65535) {
        *reason = "it tells an invalid port";
        return NGX_ERROR;
    }

    addr = &master->addr;

    addr->port = (in_port_t) n;
    addr->addr.data = master->name;
    addr->addr.len = len;
    ngx_cpystrn(master->name, p, len + 1);
    addr->host = addr->addr;

    addr->text.data = master->text;
    addr->text.len = ngx_sprintf(master->text, v6 ? "[%V]:%i" : "%V:%i",
                                 &addr->addr, n)
                     - master->text;

    return NGX_OK;
}


void
ngx_http_acr_sentinel_copy(ngx_http_acr_sentinel_addr_t *to,
    ngx_http_acr_sentinel_addr_t *from)
{
    *to = *from;

    to->addr.addr.data = to->name;
    to->addr.host.data = to->name;
    to->addr.text.data = to->text;
}


static void
ngx_http_acr_sentinel_fail(ngx_http_acr_sentinel_t *sentinel,
    const char *reason)
{
    ngx_str_t  text;

    text.data = (u_char *) reason;
    text.len = ngx_strlen(reason);

    ngx_http_acr_redis_conn_fail(&sentinel->conn, NGX_LOG_ERR, &text);
}


static void
ngx_http_acr_sentinel_explain(redisReply *reply, u_char *buf, ngx_str_t *text)
{
    u_char  *p, *last;

    p = buf;
    last = buf + NGX_MAX_ERROR_STR;

    if (ngx_strncmp(reply->str, "NOAUTH", 6) == 0
        || ngx_strncmp(reply->str, "WRONGPASS", 9) == 0)
    {
        p = ngx_slprintf(p, last, "check the sentinel_password of acr_redis: ");

    } else if (ngx_strncmp(reply->str, "NOPERM", 6) == 0) {
        p = ngx_slprintf(p, last, "its ACL has to allow the sentinel_user of "
                         "acr_redis PING and SENTINEL: ");
    }

    p = ngx_http_acr_redis_text(p, last, reply->str, reply->len);

    text->data = buf;
    text->len = p - buf;
}


static void
ngx_http_acr_sentinel_down(void *data, ngx_uint_t level, ngx_str_t *reason)
{
    ngx_http_acr_sentinel_t *sentinel = data;

    ngx_msec_t   delay;
    ngx_str_t   *addr;

    addr = &sentinel->conf->addrs[sentinel->current].text;
    sentinel->current = (sentinel->current + 1) % sentinel->conf->naddrs;
    delay = 1;

    if (sentinel->doubted) {
        sentinel->doubted = 0;

    } else {
        if (sentinel->loss.lines == 0) {
            ngx_log_error(NGX_LOG_INFO, sentinel->log, 0,
                          "acr: sentinel %V of Redis \"%V\" is passed over: "
                          "%V", addr, &sentinel->conf->text, reason);
        }

        if (++sentinel->failed >= sentinel->conf->naddrs) {
            sentinel->failed = 0;
            delay += NGX_HTTP_ACR_SENTINEL_INTERVAL / 2
                     + ngx_random() % (NGX_HTTP_ACR_SENTINEL_INTERVAL / 2);
            ngx_http_acr_sentinel_none(sentinel, addr, reason);
        }
    }

    ngx_add_timer(&sentinel->timer, delay);
}


static void
ngx_http_acr_sentinel_none(ngx_http_acr_sentinel_t *sentinel,
    ngx_str_t *addr, ngx_str_t *reason)
{
    if (ngx_http_acr_redis_loss(&sentinel->loss, reason)) {
        ngx_log_error(NGX_LOG_ERR, sentinel->log, 0,
                      "acr: no sentinel of Redis \"%V\" tells its master, "
                      "at last %V: %V", &sentinel->conf->text, addr, reason);
    }

    sentinel->handler(sentinel->data, NULL);
}
