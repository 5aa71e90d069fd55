
#include "ngx_http_acr_fetch_core.h"


static ngx_int_t ngx_http_acr_fetch_copy(ngx_http_acr_fetch_transfer_t *t);
static ngx_int_t ngx_http_acr_fetch_headers(ngx_http_acr_fetch_transfer_t *t);
static ngx_int_t ngx_http_acr_fetch_append(struct curl_slist **list,
    const char *line);
static const char *ngx_http_acr_fetch_written(
    ngx_http_acr_fetch_transfer_t *t);
static void ngx_http_acr_fetch_request(ngx_http_acr_fetch_transfer_t *t);
static ngx_uint_t ngx_http_acr_fetch_was_kept(
    ngx_http_acr_fetch_transfer_t *t);
static void ngx_http_acr_fetch_answered(ngx_http_acr_fetch_transfer_t *t);
static void ngx_http_acr_fetch_redirect(ngx_http_acr_fetch_transfer_t *t);
static const char *ngx_http_acr_fetch_target(ngx_http_acr_fetch_transfer_t *t,
    ngx_http_acr_fetch_url_t *url);
static ngx_int_t ngx_http_acr_fetch_elsewhere(
    ngx_http_acr_fetch_transfer_t *t);
static void ngx_http_acr_fetch_request_failed(
    ngx_http_acr_fetch_transfer_t *t, CURLcode rc);
static void ngx_http_acr_fetch_unwanted(ngx_http_acr_fetch_transfer_t *t);
static void ngx_http_acr_fetch_error(ngx_http_acr_fetch_transfer_t *t,
    const char *fmt, va_list args);
static void ngx_http_acr_fetch_timeout(ngx_event_t *ev);
static void ngx_http_acr_fetch_failed(ngx_event_t *ev);
static void ngx_http_acr_fetch_detach(ngx_http_acr_fetch_transfer_t *t);
static void ngx_http_acr_fetch_reset(ngx_http_acr_fetch_transfer_t *t);
static void ngx_http_acr_fetch_free(ngx_http_acr_fetch_transfer_t *t);


ngx_int_t
ngx_http_acr_fetch_init(ngx_http_acr_fetch_conf_t *conf, ngx_cycle_t *cycle)
{
    ngx_http_acr_fetch_client_t  *client;

    static ngx_str_t  slow = ngx_string("acr_slow");

    if (!conf->needed) {
        return NGX_OK;
    }

    client = ngx_pcalloc(cycle->pool, sizeof(ngx_http_acr_fetch_client_t));

    if (client == NULL) {
        return NGX_ERROR;
    }

    client->conf = conf;
    client->log = cycle->log;

    ngx_queue_init(&client->waiting);
    ngx_queue_init(&client->transfers);

    client->pool.tp = ngx_thread_pool_get(cycle, &slow);
    client->pool.label = NGX_HTTP_ACR_POOL_acr_slow;

    if (client->pool.tp == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "acr: there is no thread_pool \"%V\"", &slow);
        return NGX_ERROR;
    }

    if (ngx_http_acr_fetch_loop_init(client) != NGX_OK) {
        return NGX_ERROR;
    }

    conf->client = client;

    return NGX_OK;
}


ngx_uint_t
ngx_http_acr_fetch_closing(ngx_http_acr_fetch_client_t *client)
{
    return client == NULL || client->closing;
}


/* owners have cancelled what was theirs, or are gone */

void
ngx_http_acr_fetch_exit(ngx_http_acr_fetch_conf_t *conf)
{
    ngx_queue_t                    *q;
    ngx_http_acr_fetch_client_t    *client;
    ngx_http_acr_fetch_transfer_t  *t;

    client = conf->client;

    if (client == NULL) {
        return;
    }

    while (!ngx_queue_empty(&client->transfers)) {
        q = ngx_queue_head(&client->transfers);
        t = ngx_queue_data(q, ngx_http_acr_fetch_transfer_t, queue);

        ngx_http_acr_fetch_detach(t);
        ngx_http_acr_fetch_free(t);
    }

    ngx_http_acr_fetch_loop_exit(client);

    conf->client = NULL;
}


ngx_int_t
ngx_http_acr_fetch_start(ngx_http_acr_fetch_client_t *client,
    ngx_http_acr_fetch_t *fetch)
{
    const char                     *why;
    ngx_http_acr_fetch_transfer_t  *t;

    if (client == NULL) {
        return NGX_ERROR;
    }

    t = ngx_calloc(sizeof(ngx_http_acr_fetch_transfer_t), client->log);

    if (t == NULL) {
        return NGX_ERROR;
    }

    t->client = client;
    t->fetch = fetch;

    t->timer.data = t;
    t->timer.handler = ngx_http_acr_fetch_timeout;
    t->timer.log = client->log;
    t->timer.cancelable = 1;

    t->failed.data = t;
    t->failed.handler = ngx_http_acr_fetch_failed;
    t->failed.log = client->log;

    ngx_http_acr_fetch_answer_init(t);

    fetch->status = 0;
    fetch->received = 0;
    ngx_str_null(&fetch->answer);
    ngx_str_null(&fetch->error);
    fetch->easy = NULL;

    if (ngx_http_acr_fetch_copy(t) != NGX_OK) {
        ngx_http_acr_fetch_free(t);
        return NGX_ERROR;
    }

    fetch->transfer = t;

    ngx_queue_insert_tail(&client->transfers, &t->queue);

    if (fetch->timeout) {
        ngx_add_timer(&t->timer, fetch->timeout);
    }

    why = ngx_http_acr_fetch_url(&t->url, &fetch->url, NULL);

    if (why == NULL) {
        why = ngx_http_acr_fetch_written(t);
    }

    if (why) {
        ngx_http_acr_fetch_fail(t, "%s", why);

    } else if (client->closing) {
        ngx_http_acr_fetch_fail(t, "the worker is to end");

    } else {
        ngx_http_acr_fetch_request(t);
    }

    return NGX_OK;
}


/* what may be gone when a redirect needs it again */

static ngx_int_t
ngx_http_acr_fetch_copy(ngx_http_acr_fetch_transfer_t *t)
{
    ngx_http_acr_fetch_t  *fetch;

    fetch = t->fetch;

    fetch->elsewhere = 0;
    fetch->large = 0;

    if (fetch->method.len >= sizeof(t->method)) {
        return NGX_ERROR;
    }

    if (fetch->method.len) {
        ngx_memcpy(t->method, fetch->method.data, fetch->method.len);

    } else {
        ngx_memcpy(t->method, "GET", 3);
    }

    t->body = (fetch->body.len != 0);

    return ngx_http_acr_fetch_headers(t);
}


/* as libcurl wants them; a name with ";" is one without a value */

static ngx_int_t
ngx_http_acr_fetch_headers(ngx_http_acr_fetch_transfer_t *t)
{
    u_char                       *line, *p;
    ngx_int_t                     rc;
    ngx_uint_t                    i;
    ngx_http_acr_fetch_header_t  *header;

    for (i = 0; i < t->fetch->nheaders; i++) {
        header = &t->fetch->headers[i];

        line = ngx_alloc(header->name.len + header->value.len + 3,
                         t->client->log);

        if (line == NULL) {
            return NGX_ERROR;
        }

        if (header->value.len) {
            p = ngx_sprintf(line, "%V: %V", &header->name, &header->value);

        } else {
            p = ngx_sprintf(line, "%V;", &header->name);
        }

        *p = '\0';

        /* nobody can put another header, or another request, into a value */

        for (p = line; *p; p++) {
            if (*p < ' ' && *p != '\t') {
                *p = ' ';
            }
        }

        rc = ngx_http_acr_fetch_append(&t->headers, (char *) line);

        ngx_free(line);

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    /* nobody is to be asked whether a body may come */

    return ngx_http_acr_fetch_append(&t->headers, "Expect:");
}


static ngx_int_t
ngx_http_acr_fetch_append(struct curl_slist **list, const char *line)
{
    struct curl_slist  *longer;

    longer = curl_slist_append(*list, line);

    if (longer == NULL) {
        return NGX_ERROR;
    }

    *list = longer;

    return NGX_OK;
}


static const char *
ngx_http_acr_fetch_written(ngx_http_acr_fetch_transfer_t *t)
{
    const char                *why;
    ngx_http_acr_fetch_url_t   url;

    if (t->fetch->written.len == 0) {
        return NULL;
    }

    why = ngx_http_acr_fetch_url(&url, &t->fetch->written, NULL);
    curl_url_cleanup(url.handle);

    if (why == NULL) {
        ngx_memcpy(t->written, url.host, url.len);
        t->written_len = url.len;
    }

    return why;
}


/* begins a request: the first, or that of a redirect */

static void
ngx_http_acr_fetch_request(ngx_http_acr_fetch_transfer_t *t)
{
    u_char                      address[16];
    size_t                      literal;
    ngx_http_acr_fetch_url_t   *url;
    ngx_http_acr_fetch_conf_t  *conf;

    url = &t->url;
    conf = t->client->conf;

    t->naddresses = 0;
    t->address = 0;
    t->fresh = 0;

    t->private = (t->written_len == url->len
                  && ngx_memcmp(t->written, url->host, url->len) == 0);
    t->link = t->private && url->literal;
    t->local = (t->fetch->local && !url->https);

    if (url->literal
        && !ngx_http_acr_fetch_may(t, url->address, url->literal))
    {
        ngx_http_acr_fetch_fail(t, "its address must not be asked");
        return;
    }

    if (t->local && !ngx_http_acr_fetch_is_local(url)) {
        ngx_http_acr_fetch_fail(t, "over http only this machine may be "
                                "asked");
        return;
    }

    if (url->https && conf->first.len == 0) {
        ngx_http_acr_fetch_fail(t, "there are no trusted certificates");
        return;
    }

    if (conf->proxy.len && !t->local) {
        t->host = conf->proxy_host;
        t->port = conf->proxy_port;
        literal = acr_address_parse(t->host.data, t->host.len, address);

        /* which the operator has written */

        t->private = 1;
        t->link = (literal != 0);

    } else {
        t->host.data = url->host;
        t->host.len = url->len;
        t->port = url->port;
        literal = url->literal;
    }

    ngx_http_acr_fetch_answer_heard(t);

    if (literal) {
        t->begun = ngx_current_msec;
        ngx_http_acr_fetch_named(t);

    } else {
        ngx_http_acr_fetch_name(t);
    }
}


void
ngx_http_acr_fetch_named(ngx_http_acr_fetch_transfer_t *t)
{
    if (t->naddresses && ngx_http_acr_fetch_name_tell(t) != NGX_OK) {
        ngx_http_acr_fetch_fail(t, "no memory");
        return;
    }

    ngx_http_acr_fetch_answer_heard(t);

    if (ngx_http_acr_fetch_easy(t) != NGX_OK) {
        ngx_http_acr_fetch_fail(t, "libcurl does not take the request");
        return;
    }

    if (ngx_http_acr_fetch_loop_add(t) != NGX_OK) {
        ngx_http_acr_fetch_fail(t, "libcurl does not begin the request");
    }
}


void
ngx_http_acr_fetch_requested(ngx_http_acr_fetch_transfer_t *t, CURLcode rc)
{
    ngx_http_acr_fetch_loop_remove(t);

    if (t->failed.posted) {
        return;
    }

    if ((rc == CURLE_COULDNT_CONNECT || rc == CURLE_OPERATION_TIMEDOUT)
        && !t->refused && t->address + 1 < t->naddresses)
    {
        ngx_http_acr_fetch_reset(t);
        t->address++;
        ngx_http_acr_fetch_named(t);
        return;
    }

    if (t->refused && !t->fresh && ngx_http_acr_fetch_was_kept(t)) {
        ngx_http_acr_fetch_reset(t);
        t->refused = 0;
        t->fresh = 1;
        ngx_http_acr_fetch_named(t);
        return;
    }

    if (rc != CURLE_OK && !t->enough) {
        ngx_http_acr_fetch_request_failed(t, rc);
        return;
    }

    /* there was no body */

    if (t->to == NGX_HTTP_ACR_FETCH_UNKNOWN
        && ngx_http_acr_fetch_answer_head(t) != NGX_OK)
    {
        ngx_http_acr_fetch_unwanted(t);
        return;
    }

    if (t->to == NGX_HTTP_ACR_FETCH_DROP) {
        ngx_http_acr_fetch_redirect(t);
        return;
    }

    ngx_http_acr_fetch_answered(t);
}


/* whether the request had a connection of one before */

static ngx_uint_t
ngx_http_acr_fetch_was_kept(ngx_http_acr_fetch_transfer_t *t)
{
    long  made;

    return curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &made) == CURLE_OK
           && made == 0;
}


static void
ngx_http_acr_fetch_answered(ngx_http_acr_fetch_transfer_t *t)
{
    t->fetch->status = t->status;

    if (t->to == NGX_HTTP_ACR_FETCH_COLLECT) {
        t->fetch->answer.data = t->answer;
        t->fetch->answer.len = t->len;
    }

    ngx_http_acr_fetch_end(t);
}


static void
ngx_http_acr_fetch_redirect(ngx_http_acr_fetch_transfer_t *t)
{
    const char                *why;
    ngx_uint_t                 same;
    ngx_http_acr_fetch_url_t   url;

    if (++t->redirects > NGX_HTTP_ACR_FETCH_REDIRECTS) {
        ngx_http_acr_fetch_fail(t, "it redirects too often");
        return;
    }

    why = ngx_http_acr_fetch_target(t, &url);

    if (why) {
        curl_url_cleanup(url.handle);
        ngx_http_acr_fetch_fail(t, "it redirects to where it must not: %s",
                                why);
        return;
    }

    same = ngx_http_acr_fetch_same_origin(&t->url, &url);

    ngx_http_acr_fetch_reset(t);

    curl_url_cleanup(t->url.handle);
    t->url = url;

    if ((t->status == NGX_HTTP_SEE_OTHER
         && ngx_strcmp(t->method, "HEAD") != 0)
        || ((t->status == NGX_HTTP_MOVED_PERMANENTLY
             || t->status == NGX_HTTP_MOVED_TEMPORARILY)
            && ngx_strcmp(t->method, "POST") == 0))
    {
        ngx_memcpy(t->method, "GET", sizeof("GET"));
        t->body = 0;
    }

    if (!same) {
        t->fetch->elsewhere = 1;
    }

    if (!same && t->body) {
        ngx_http_acr_fetch_fail(t, "it redirects a body to another origin");
        return;
    }

    if (!same && ngx_http_acr_fetch_elsewhere(t) != NGX_OK) {
        ngx_http_acr_fetch_fail(t, "no memory");
        return;
    }

    ngx_http_acr_fetch_request(t);
}


/* url->handle is to be freed in any case */

static const char *
ngx_http_acr_fetch_target(ngx_http_acr_fetch_transfer_t *t,
    ngx_http_acr_fetch_url_t *url)
{
    ngx_str_t    location;
    const char  *why;

    ngx_str_null(&location);
    (void) ngx_http_acr_fetch_header(t->fetch, "Location", &location);

    why = ngx_http_acr_fetch_url(url, &location, t->url.handle);

    if (why == NULL && t->url.https && !url->https) {
        why = "from https to http";
    }

    return why;
}


/* what another origin must not see */

static ngx_int_t
ngx_http_acr_fetch_elsewhere(ngx_http_acr_fetch_transfer_t *t)
{
    u_char             *line;
    struct curl_slist  *header, *headers;

    headers = NULL;

    for (header = t->headers; header; header = header->next) {
        line = (u_char *) header->data;

        if (ngx_strncasecmp(line, (u_char *) "authorization:", 14) == 0
            || ngx_strncasecmp(line, (u_char *) "cookie:", 7) == 0)
        {
            continue;
        }

        if (ngx_http_acr_fetch_append(&headers, header->data) != NGX_OK) {
            curl_slist_free_all(headers);
            return NGX_ERROR;
        }
    }

    curl_slist_free_all(t->headers);
    t->headers = headers;

    return NGX_OK;
}


static void
ngx_http_acr_fetch_request_failed(ngx_http_acr_fetch_transfer_t *t,
    CURLcode rc)
{
    char  *p;

    if (t->large) {
        t->fetch->large = 1;
        ngx_http_acr_fetch_fail(t, "its answer has more than %uz bytes",
                                t->fetch->max);
        return;
    }

    if (t->refused) {
        ngx_http_acr_fetch_fail(t, "its address must not be asked");
        return;
    }

    if (t->unwanted) {
        ngx_http_acr_fetch_unwanted(t);
        return;
    }

    /* what libcurl says may have parts of what a server has sent */

    for (p = t->error; *p; p++) {
        if (*p < ' ' || *p > '~' || *p == '"') {
            *p = '?';
        }
    }

    ngx_http_acr_fetch_fail(t, "%s", t->error[0] ? t->error
                                                 : curl_easy_strerror(rc));
}


/* the owner's text may be where ours would be written to */

static void
ngx_http_acr_fetch_unwanted(ngx_http_acr_fetch_transfer_t *t)
{
    size_t                 n;
    ngx_http_acr_fetch_t  *fetch;
    u_char                 text[sizeof(t->fetch->text)];

    fetch = t->fetch;

    if (fetch->error.len == 0) {
        ngx_http_acr_fetch_fail(t, "refused by its owner");
        return;
    }

    n = ngx_min(fetch->error.len, sizeof(text));
    ngx_memcpy(text, fetch->error.data, n);

    ngx_http_acr_fetch_fail(t, "%*s", n, text);
}


void
ngx_http_acr_fetch_fail(ngx_http_acr_fetch_transfer_t *t, const char *fmt, ...)
{
    va_list  args;

    if (t->failed.posted) {
        return;
    }

    va_start(args, fmt);
    ngx_http_acr_fetch_error(t, fmt, args);
    va_end(args);

    /* the next events, since the loop may not have begun to wait for any */

    ngx_post_event(&t->failed, &ngx_posted_next_events);
}


static void
ngx_http_acr_fetch_error(ngx_http_acr_fetch_transfer_t *t, const char *fmt,
    va_list args)
{
    u_char                *p, *last;
    ngx_http_acr_fetch_t  *fetch;

    fetch = t->fetch;

    last = fetch->text + sizeof(fetch->text) - 1;
    p = ngx_vslprintf(fetch->text, last, fmt, args);
    *p = '\0';

    fetch->error.data = fetch->text;
    fetch->error.len = p - fetch->text;
}


static void
ngx_http_acr_fetch_timeout(ngx_event_t *ev)
{
    ngx_http_acr_fetch_transfer_t *t = ev->data;

    if (t->easy == NULL) {
        ngx_http_acr_fetch_fail(t, "its name was not found in %M ms",
                                t->fetch->timeout);

    } else {
        ngx_http_acr_fetch_fail(t, "no whole answer in %M ms",
                                t->fetch->timeout);
    }

    ngx_http_acr_fetch_end(t);
}


static void
ngx_http_acr_fetch_failed(ngx_event_t *ev)
{
    ngx_http_acr_fetch_end(ev->data);
}


void
ngx_http_acr_fetch_end(ngx_http_acr_fetch_transfer_t *t)
{
    ngx_http_acr_fetch_t  *fetch;

    fetch = t->fetch;

    ngx_http_acr_fetch_detach(t);

    if (fetch->error.len) {
        fetch->status = 0;
        fetch->easy = NULL;
    }

    fetch->transfer = NULL;
    fetch->done(fetch);

    /* from here on the fetch may be gone, or under way again */

    ngx_http_acr_fetch_free(t);
}


void
ngx_http_acr_fetch_cancel(ngx_http_acr_fetch_t *fetch)
{
    ngx_http_acr_fetch_transfer_t  *t;

    t = fetch->transfer;

    if (t == NULL) {
        return;
    }

    fetch->transfer = NULL;
    fetch->easy = NULL;

    ngx_http_acr_fetch_detach(t);
    ngx_http_acr_fetch_free(t);
}


ngx_int_t
ngx_http_acr_fetch_header(ngx_http_acr_fetch_t *fetch, const char *name,
    ngx_str_t *value)
{
    struct curl_header  *header;

    if (fetch->easy == NULL
        || curl_easy_header(fetch->easy, name, 0, CURLH_HEADER, -1, &header)
           != CURLHE_OK)
    {
        return NGX_DECLINED;
    }

    /* the last one, whose number is known now */

    if (header->amount > 1
        && curl_easy_header(fetch->easy, name, header->amount - 1,
                            CURLH_HEADER, -1, &header)
           != CURLHE_OK)
    {
        return NGX_DECLINED;
    }

    value->data = (u_char *) header->value;
    value->len = ngx_strlen(header->value);

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_fetch_header_nth(ngx_http_acr_fetch_t *fetch, const char *name,
    ngx_uint_t n, ngx_str_t *value)
{
    struct curl_header  *header;

    if (fetch->easy == NULL
        || curl_easy_header(fetch->easy, name, n, CURLH_HEADER, -1, &header)
           != CURLHE_OK)
    {
        return NGX_DECLINED;
    }

    value->data = (u_char *) header->value;
    value->len = ngx_strlen(header->value);

    return NGX_OK;
}


/* nothing will happen to it any more */

static void
ngx_http_acr_fetch_detach(ngx_http_acr_fetch_transfer_t *t)
{
    ngx_queue_remove(&t->queue);

    if (t->timer.timer_set) {
        ngx_del_timer(&t->timer);
    }

    if (t->failed.posted) {
        ngx_delete_posted_event(&t->failed);
    }

    ngx_http_acr_fetch_answer_detach(t);
    ngx_http_acr_fetch_name_forget(t);
    ngx_http_acr_fetch_loop_remove(t);
}


/* what is of one request */

static void
ngx_http_acr_fetch_reset(ngx_http_acr_fetch_transfer_t *t)
{
    if (t->easy) {
        curl_easy_cleanup(t->easy);
        t->easy = NULL;
    }

    curl_slist_free_all(t->resolve);
    t->resolve = NULL;

    t->fetch->easy = NULL;
    t->error[0] = '\0';

    ngx_http_acr_fetch_answer_reset(t);
}


static void
ngx_http_acr_fetch_free(ngx_http_acr_fetch_transfer_t *t)
{
    if (t->easy) {
        curl_easy_cleanup(t->easy);
    }

    curl_slist_free_all(t->resolve);
    curl_slist_free_all(t->headers);
    curl_url_cleanup(t->url.handle);

    if (t->answer) {
        ngx_free(t->answer);
    }

    ngx_free(t);
}
