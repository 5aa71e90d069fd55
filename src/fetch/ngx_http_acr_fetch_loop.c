
/*
 * libcurl on nginx's event loop.  libcurl owns its sockets: it closes them,
 * reads and writes; nginx tells when, and when its time is up.
 *
 * Some versions (7.88) close a socket whose connection was not made yet before
 * they say that it is to be watched no more.
 *
 * OpenSSL's queue of errors is of the process: nginx would complain of what
 * libcurl left there.
 */

#include "ngx_http_acr_fetch_core.h"

#include <openssl/err.h>


static CURLM *ngx_http_acr_fetch_loop_multi(
    ngx_http_acr_fetch_client_t *client);
static void ngx_http_acr_fetch_loop_no_timer(
    ngx_http_acr_fetch_client_t *client);
static void ngx_http_acr_fetch_loop_kept(ngx_event_t *ev);
static int ngx_http_acr_fetch_loop_socket(CURL *easy, curl_socket_t fd,
    int what, void *data, void *watched);
static ngx_connection_t *ngx_http_acr_fetch_loop_watch(
    ngx_http_acr_fetch_client_t *client, curl_socket_t fd);
static void ngx_http_acr_fetch_loop_want(ngx_event_t *ev, ngx_int_t event,
    ngx_uint_t wanted);
static void ngx_http_acr_fetch_loop_unwatch(ngx_connection_t *c);
static int ngx_http_acr_fetch_loop_timer(CURLM *multi, long ms, void *data);
static void ngx_http_acr_fetch_loop_read(ngx_event_t *rev);
static void ngx_http_acr_fetch_loop_write(ngx_event_t *wev);
static void ngx_http_acr_fetch_loop_time(ngx_event_t *ev);
static void ngx_http_acr_fetch_loop_act(ngx_http_acr_fetch_client_t *client,
    curl_socket_t fd, int what);
static void ngx_http_acr_fetch_loop_drain(ngx_event_t *ev);
static void ngx_http_acr_fetch_loop_close(ngx_http_acr_fetch_client_t *client);


ngx_int_t
ngx_http_acr_fetch_loop_init(ngx_http_acr_fetch_client_t *client)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        ngx_log_error(NGX_LOG_EMERG, client->log, 0,
                      "acr: curl_global_init() failed");
        return NGX_ERROR;
    }

    client->multi = ngx_http_acr_fetch_loop_multi(client);

    if (client->multi == NULL) {
        ngx_log_error(NGX_LOG_EMERG, client->log, 0,
                      "acr: curl_multi_init() failed");
        curl_global_cleanup();
        return NGX_ERROR;
    }

    client->timer.data = client;
    client->timer.handler = ngx_http_acr_fetch_loop_time;
    client->timer.log = client->log;
    client->timer.cancelable = 1;

    client->drain.data = client;
    client->drain.handler = ngx_http_acr_fetch_loop_drain;
    client->drain.log = client->log;

    client->kept.data = client;
    client->kept.handler = ngx_http_acr_fetch_loop_kept;
    client->kept.log = client->log;
    client->kept.cancelable = 1;

    ERR_clear_error();

    return NGX_OK;
}


static CURLM *
ngx_http_acr_fetch_loop_multi(ngx_http_acr_fetch_client_t *client)
{
    CURLM  *multi;

    multi = curl_multi_init();

    if (multi == NULL) {
        return NULL;
    }

    (void) curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION,
                             ngx_http_acr_fetch_loop_socket);
    (void) curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, client);
    (void) curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION,
                             ngx_http_acr_fetch_loop_timer);
    (void) curl_multi_setopt(multi, CURLMOPT_TIMERDATA, client);
    (void) curl_multi_setopt(multi, CURLMOPT_PIPELINING,
                             (long) CURLPIPE_NOTHING);
    (void) curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS,
                             (long) NGX_HTTP_ACR_FETCH_MOST);

    return multi;
}


void
ngx_http_acr_fetch_loop_exit(ngx_http_acr_fetch_client_t *client)
{
    (void) curl_multi_cleanup(client->multi);

    client->multi = NULL;

    ngx_http_acr_fetch_loop_no_timer(client);

    if (client->kept.timer_set) {
        ngx_del_timer(&client->kept);
    }

    if (client->drain.posted) {
        ngx_delete_posted_event(&client->drain);
    }

    curl_global_cleanup();
    ERR_clear_error();
}


static void
ngx_http_acr_fetch_loop_no_timer(ngx_http_acr_fetch_client_t *client)
{
    if (client->timer.timer_set) {
        ngx_del_timer(&client->timer);
    }

    if (client->timer.posted) {
        ngx_delete_posted_event(&client->timer);
    }
}


/*
 * When there was no request for some time: libcurl does not look after
 * connections that it keeps, but when the next one begins, and cannot be told
 * to close them.  While a request lasts long, those of others wait for that.
 */

static void
ngx_http_acr_fetch_loop_kept(ngx_event_t *ev)
{
    CURLM                        *multi;
    ngx_http_acr_fetch_client_t  *client;

    client = ev->data;

    if (client->running) {
        return;
    }

    multi = ngx_http_acr_fetch_loop_multi(client);

    if (multi == NULL) {
        return;
    }

    (void) curl_multi_cleanup(client->multi);

    client->multi = multi;

    ngx_http_acr_fetch_loop_no_timer(client);
    ERR_clear_error();
}


/* libcurl only asks for its timer here */

ngx_int_t
ngx_http_acr_fetch_loop_add(ngx_http_acr_fetch_transfer_t *t)
{
    CURLMcode  rc;

    rc = curl_multi_add_handle(t->client->multi, t->easy);

    ERR_clear_error();

    if (rc != CURLM_OK) {
        return NGX_ERROR;
    }

    t->added = 1;
    t->client->running++;

    return NGX_OK;
}


CURLcode
ngx_http_acr_fetch_loop_resume(ngx_http_acr_fetch_transfer_t *t)
{
    CURLcode  rc;

    rc = curl_easy_pause(t->easy, CURLPAUSE_CONT);

    ERR_clear_error();

    /* it may have ended the request all the same */

    ngx_post_event(&t->client->drain, &ngx_posted_events);

    return rc;
}


void
ngx_http_acr_fetch_loop_remove(ngx_http_acr_fetch_transfer_t *t)
{
    if (!t->added) {
        return;
    }

    t->added = 0;
    t->client->running--;

    (void) curl_multi_remove_handle(t->client->multi, t->easy);

    ERR_clear_error();

    ngx_add_timer(&t->client->kept, NGX_HTTP_ACR_FETCH_KEPT);
}


/*
 * Called by libcurl: a socket is to be watched, in another way, or no more.
 * The handle may be one of libcurl's own.
 */

static int
ngx_http_acr_fetch_loop_socket(CURL *easy, curl_socket_t fd, int what,
    void *data, void *watched)
{
    ngx_connection_t             *c = watched;
    ngx_http_acr_fetch_client_t  *client = data;

    if (what == CURL_POLL_REMOVE) {

        if (c) {
            ngx_http_acr_fetch_loop_unwatch(c);
            (void) curl_multi_assign(client->multi, fd, NULL);
        }

        return 0;
    }

    if (c == NULL) {
        c = ngx_http_acr_fetch_loop_watch(client, fd);

        /* nothing happens to it then, until its time is up */

        if (c == NULL) {
            return 0;
        }
    }

    ngx_http_acr_fetch_loop_want(c->read, NGX_READ_EVENT,
                                 what & CURL_POLL_IN);
    ngx_http_acr_fetch_loop_want(c->write, NGX_WRITE_EVENT,
                                 what & CURL_POLL_OUT);

    return 0;
}


static ngx_connection_t *
ngx_http_acr_fetch_loop_watch(ngx_http_acr_fetch_client_t *client,
    curl_socket_t fd)
{
    ngx_connection_t  *c;

    c = ngx_get_connection(fd, client->log);

    if (c == NULL) {
        return NULL;
    }

    c->data = client;
    c->read->handler = ngx_http_acr_fetch_loop_read;
    c->read->log = client->log;
    c->write->handler = ngx_http_acr_fetch_loop_write;
    c->write->log = client->log;

    if (curl_multi_assign(client->multi, fd, c) != CURLM_OK) {
        ngx_http_acr_fetch_loop_unwatch(c);
        return NULL;
    }

    return c;
}


/* level-triggered, since libcurl may not read all that there is */

static void
ngx_http_acr_fetch_loop_want(ngx_event_t *ev, ngx_int_t event,
    ngx_uint_t wanted)
{
    if (wanted && !ev->active) {
        (void) ngx_add_event(ev, event, NGX_LEVEL_EVENT);

    } else if (!wanted && ev->active) {
        (void) ngx_del_event(ev, event, 0);
    }
}


/* the socket stays open, or libcurl closes it right after this, or has done */

static void
ngx_http_acr_fetch_loop_unwatch(ngx_connection_t *c)
{
    if (fcntl(c->fd, F_GETFD) == -1) {
        c->read->active = 0;
        c->write->active = 0;
    }

    ngx_http_acr_fetch_loop_want(c->read, NGX_READ_EVENT, 0);
    ngx_http_acr_fetch_loop_want(c->write, NGX_WRITE_EVENT, 0);

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    ngx_free_connection(c);
    c->fd = (ngx_socket_t) -1;
}


/*
 * Called by libcurl, which must not be called back from here.  A timer that is
 * set is set anew, since nginx leaves one that differs little as it is.
 */

static int
ngx_http_acr_fetch_loop_timer(CURLM *multi, long ms, void *data)
{
    ngx_http_acr_fetch_client_t  *client = data;

    if (client->timer.timer_set) {
        ngx_del_timer(&client->timer);
    }

    if (ms == 0) {
        ngx_post_event(&client->timer, &ngx_posted_next_events);
        return 0;
    }

    if (client->timer.posted) {
        ngx_delete_posted_event(&client->timer);
    }

    if (ms > 0) {
        ngx_add_timer(&client->timer, (ngx_msec_t) ms);
    }

    return 0;
}


static void
ngx_http_acr_fetch_loop_read(ngx_event_t *rev)
{
    ngx_connection_t             *c;
    ngx_http_acr_fetch_client_t  *client;

    c = rev->data;
    client = c->data;

    /* worker_shutdown_timeout: all connections are told so */

    if (c->close) {
        client->closing = 1;
        ngx_post_event(&client->drain, &ngx_posted_events);
        return;
    }

    ngx_http_acr_fetch_loop_act(client, c->fd, CURL_CSELECT_IN);
}


static void
ngx_http_acr_fetch_loop_write(ngx_event_t *wev)
{
    ngx_connection_t  *c;

    c = wev->data;

    ngx_http_acr_fetch_loop_act(c->data, c->fd, CURL_CSELECT_OUT);
}


static void
ngx_http_acr_fetch_loop_time(ngx_event_t *ev)
{
    ngx_http_acr_fetch_loop_act(ev->data, CURL_SOCKET_TIMEOUT, 0);
}


/* the connection of the socket may be gone afterwards */

static void
ngx_http_acr_fetch_loop_act(ngx_http_acr_fetch_client_t *client,
    curl_socket_t fd, int what)
{
    int        running;
    CURLMcode  rc;

    rc = curl_multi_socket_action(client->multi, fd, what, &running);

    ERR_clear_error();

    if (rc != CURLM_OK) {
        ngx_log_error(NGX_LOG_ERR, client->log, 0,
                      "acr: curl_multi_socket_action() failed: %s",
                      curl_multi_strerror(rc));
    }

    /* owners are not called from here: they may end what libcurl works on */

    ngx_post_event(&client->drain, &ngx_posted_events);
}


static void
ngx_http_acr_fetch_loop_drain(ngx_event_t *ev)
{
    int                             left;
    CURL                           *easy;
    CURLMsg                        *msg;
    CURLcode                        rc;
    ngx_http_acr_fetch_client_t    *client;
    ngx_http_acr_fetch_transfer_t  *t;

    client = ev->data;

    if (client->closing) {
        ngx_http_acr_fetch_loop_close(client);
        return;
    }

    for ( ;; ) {
        msg = curl_multi_info_read(client->multi, &left);

        if (msg == NULL) {
            return;
        }

        if (msg->msg != CURLMSG_DONE) {
            continue;
        }

        /* the message goes with the handle */

        easy = msg->easy_handle;
        rc = msg->data.result;

        (void) curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t);

        ngx_http_acr_fetch_requested(t, rc);
    }
}


/* each is told by an event of its own, so that what owners do is no matter */

static void
ngx_http_acr_fetch_loop_close(ngx_http_acr_fetch_client_t *client)
{
    ngx_queue_t                    *q;
    ngx_http_acr_fetch_transfer_t  *t;

    for (q = ngx_queue_head(&client->transfers);
         q != ngx_queue_sentinel(&client->transfers);
         q = ngx_queue_next(q))
    {
        t = ngx_queue_data(q, ngx_http_acr_fetch_transfer_t, queue);

        ngx_http_acr_fetch_fail(t, "the worker is to end");
    }
}
