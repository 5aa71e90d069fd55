
#include "ngx_http_acr_oidc_keys.h"

#include "acr_json.h"


#define NGX_HTTP_ACR_OIDC_TIMEOUT     10000    /* of discovery and keys, both */
#define NGX_HTTP_ACR_OIDC_DISCOVERY   65536    /* bytes */
#define NGX_HTTP_ACR_OIDC_RETRY_MAX   60

#define NGX_HTTP_ACR_OIDC_WELL_KNOWN  "/.well-known/openid-configuration"


struct ngx_http_acr_oidc_keys_s {
    ngx_http_acr_oidc_source_t   *source;
    ngx_http_acr_fetch_client_t  *client;
    ngx_http_acr_pool_t          *pool;
    ngx_http_acr_oidc_set_t      *set;       /* or NULL */
    ngx_http_acr_fetch_t          fetch;

    /* of the thread that reads what was fetched */
    ngx_http_acr_task_t           task;
    ngx_str_t                     text;
    ngx_http_acr_oidc_set_t      *read;
    const char                   *why;       /* it is none */

    ngx_str_t                     discovery; /* URL, or empty */
    ngx_queue_t                   waiters;
    ngx_event_t                   timer;     /* the next fetch */
    ngx_msec_t                    begun;     /* the last one, and */
    ngx_msec_t                    tried;     /* its end */
    time_t                        pause;     /* after a failure */
    ngx_log_t                    *log;
    unsigned                      busy:1;    /* a fetch is under way */
    unsigned                      once:1;    /* one has ended */
    unsigned                      stopped:1;
};


/* a request that waits for a fetch */

typedef struct {
    ngx_queue_t                   queue;
    ngx_http_request_t           *request;
    ngx_http_acr_next_pt          next;
    void                         *data;
    ngx_event_t                   timer;
} ngx_http_acr_oidc_waiter_t;


static ngx_int_t ngx_http_acr_oidc_keys_discovery(
    ngx_http_acr_oidc_keys_t *keys, ngx_cycle_t *cycle);
static void ngx_http_acr_oidc_keys_begin(ngx_http_acr_oidc_keys_t *keys);
static void ngx_http_acr_oidc_keys_fetch(ngx_http_acr_oidc_keys_t *keys,
    ngx_str_t *url, size_t max, ngx_http_acr_fetch_done_pt done);
static const char *ngx_http_acr_oidc_keys_status(ngx_http_acr_fetch_t *fetch);
static void ngx_http_acr_oidc_keys_discovered(ngx_http_acr_fetch_t *fetch);
static const char *ngx_http_acr_oidc_keys_document(
    ngx_http_acr_oidc_keys_t *keys, json_t *document, ngx_str_t *url);
static void ngx_http_acr_oidc_keys_fetched(ngx_http_acr_fetch_t *fetch);
static ngx_int_t ngx_http_acr_oidc_keys_parse(void *data, ngx_log_t *log);
static void ngx_http_acr_oidc_keys_parsed(void *data, ngx_int_t rc);
static const char *ngx_http_acr_oidc_keys_read(ngx_str_t *text,
    ngx_http_acr_oidc_set_t **set, ngx_log_t *log);
static void ngx_http_acr_oidc_keys_change(ngx_http_acr_oidc_keys_t *keys,
    ngx_http_acr_oidc_set_t *set);
static void ngx_http_acr_oidc_keys_failed(ngx_http_acr_oidc_keys_t *keys,
    const char *what, const char *why);
static void ngx_http_acr_oidc_keys_end(ngx_http_acr_oidc_keys_t *keys,
    ngx_int_t rc, time_t next);
static void ngx_http_acr_oidc_keys_timer(ngx_event_t *ev);
static void ngx_http_acr_oidc_keys_wait(ngx_http_request_t *r,
    ngx_http_acr_oidc_keys_t *keys, ngx_http_acr_next_pt next, void *data);
static void ngx_http_acr_oidc_keys_late(ngx_event_t *ev);
static void ngx_http_acr_oidc_keys_wake(ngx_http_acr_oidc_waiter_t *waiter,
    ngx_int_t rc);


ngx_http_acr_oidc_keys_t *
ngx_http_acr_oidc_keys_start(ngx_http_acr_oidc_source_t *source,
    ngx_http_acr_pool_t *pool, ngx_cycle_t *cycle)
{
    ngx_http_acr_oidc_keys_t  *keys;
    ngx_http_acr_main_conf_t  *mcf;

    keys = ngx_pcalloc(cycle->pool, sizeof(ngx_http_acr_oidc_keys_t));

    if (keys == NULL) {
        return NULL;
    }

    keys->source = source;
    keys->pool = pool;
    keys->log = cycle->log;

    keys->task.work = ngx_http_acr_oidc_keys_parse;
    keys->task.done = ngx_http_acr_oidc_keys_parsed;
    keys->task.data = keys;

    ngx_queue_init(&keys->waiters);

    if (source->fixed) {
        source->fixed->refs++;
        keys->set = source->fixed;
        return keys;
    }

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_acr_module);

    keys->client = mcf->fetch.client;

    if (source->url.len == 0
        && ngx_http_acr_oidc_keys_discovery(keys, cycle) != NGX_OK)
    {
        return NULL;
    }

    keys->timer.data = keys;
    keys->timer.handler = ngx_http_acr_oidc_keys_timer;
    keys->timer.log = cycle->log;
    keys->timer.cancelable = 1;

    ngx_http_acr_oidc_keys_begin(keys);

    return keys;
}


void
ngx_http_acr_oidc_keys_stop(ngx_http_acr_oidc_keys_t *keys)
{
    ngx_http_acr_fetch_cancel(&keys->fetch);

    keys->busy = 0;
    keys->stopped = 1;

    if (keys->timer.timer_set) {
        ngx_del_timer(&keys->timer);
    }

    if (keys->set) {
        ngx_http_acr_oidc_keys_release(keys->set);
        keys->set = NULL;
    }
}


ngx_http_acr_oidc_set_t *
ngx_http_acr_oidc_keys_get(ngx_http_acr_oidc_keys_t *keys)
{
    if (keys->set) {
        keys->set->refs++;
    }

    return keys->set;
}


void
ngx_http_acr_oidc_keys_release(ngx_http_acr_oidc_set_t *set)
{
    if (--set->refs == 0) {
        acr_jwt_keys_free(set->keys);
        ngx_free(set);
    }
}


/* OpenID Connect Discovery 1.0, section 4: without a slash in between */

static ngx_int_t
ngx_http_acr_oidc_keys_discovery(ngx_http_acr_oidc_keys_t *keys,
    ngx_cycle_t *cycle)
{
    u_char     *p;
    ngx_str_t   issuer;

    issuer = keys->source->issuer;

    if (issuer.len && issuer.data[issuer.len - 1] == '/') {
        issuer.len--;
    }

    p = ngx_pnalloc(cycle->pool, issuer.len
                                 + sizeof(NGX_HTTP_ACR_OIDC_WELL_KNOWN));

    if (p == NULL) {
        return NGX_ERROR;
    }

    keys->discovery.data = p;
    keys->discovery.len = ngx_sprintf(p, "%V%s", &issuer,
                                      NGX_HTTP_ACR_OIDC_WELL_KNOWN)
                          - p;

    return NGX_OK;
}


static void
ngx_http_acr_oidc_keys_begin(ngx_http_acr_oidc_keys_t *keys)
{
    keys->busy = 1;
    keys->begun = ngx_current_msec;

    if (keys->timer.timer_set) {
        ngx_del_timer(&keys->timer);
    }

    if (keys->discovery.len) {
        ngx_http_acr_oidc_keys_fetch(keys, &keys->discovery,
                                     NGX_HTTP_ACR_OIDC_DISCOVERY,
                                     ngx_http_acr_oidc_keys_discovered);
        return;
    }

    ngx_http_acr_oidc_keys_fetch(keys, &keys->source->url, ACR_JWT_JWKS_MAX,
                                 ngx_http_acr_oidc_keys_fetched);
}


static void
ngx_http_acr_oidc_keys_fetch(ngx_http_acr_oidc_keys_t *keys, ngx_str_t *url,
    size_t max, ngx_http_acr_fetch_done_pt done)
{
    ngx_msec_t             spent;
    ngx_http_acr_fetch_t  *fetch;

    static ngx_http_acr_fetch_header_t  accept = {
        ngx_string("Accept"), ngx_string("application/json")
    };

    fetch = &keys->fetch;
    spent = ngx_current_msec - keys->begun;

    fetch->url = *url;
    fetch->local = 1;
    fetch->written = keys->source->url.len ? keys->source->url
                                           : keys->source->issuer;
    fetch->headers = &accept;
    fetch->nheaders = 1;
    fetch->max = max;
    fetch->timeout = (spent < NGX_HTTP_ACR_OIDC_TIMEOUT)
                     ? NGX_HTTP_ACR_OIDC_TIMEOUT - spent : 1;
    fetch->done = done;
    fetch->data = keys;

    if (ngx_http_acr_fetch_start(keys->client, fetch) != NGX_OK) {
        ngx_http_acr_oidc_keys_failed(keys, "keys", "no memory");
    }
}


/* why the answer is not to be looked at, or NULL */

static const char *
ngx_http_acr_oidc_keys_status(ngx_http_acr_fetch_t *fetch)
{
    if (fetch->status == 0) {
        return (char *) fetch->error.data;
    }

    if (fetch->status != NGX_HTTP_OK) {
        *ngx_slprintf(fetch->text, fetch->text + sizeof(fetch->text) - 1,
                      "it answers %ui", fetch->status)
            = '\0';
        return (char *) fetch->text;
    }

    return NULL;
}


static void
ngx_http_acr_oidc_keys_discovered(ngx_http_acr_fetch_t *fetch)
{
    int                        rc;
    json_t                    *document;
    ngx_str_t                  url;
    const char                *why;
    ngx_http_acr_oidc_keys_t  *keys;

    keys = fetch->data;

    why = ngx_http_acr_oidc_keys_status(fetch);

    if (why) {
        ngx_http_acr_oidc_keys_failed(keys, "discovery document", why);
        return;
    }

    rc = acr_json_load(&document, fetch->answer.data, fetch->answer.len, &why);

    if (rc != ACR_OK) {
        ngx_http_acr_oidc_keys_failed(keys, "discovery document",
                                      rc == ACR_NOMEM ? "no memory" : why);
        return;
    }

    why = ngx_http_acr_oidc_keys_document(keys, document, &url);

    if (why) {
        ngx_http_acr_oidc_keys_failed(keys, "discovery document", why);

    } else {
        ngx_http_acr_oidc_keys_fetch(keys, &url, ACR_JWT_JWKS_MAX,
                                     ngx_http_acr_oidc_keys_fetched);
    }

    json_decref(document);
}


/*
 * Section 4.3: it has to be of this issuer.  *url goes with the document.
 */

static const char *
ngx_http_acr_oidc_keys_document(ngx_http_acr_oidc_keys_t *keys,
    json_t *document, ngx_str_t *url)
{
    json_t      *issuer, *uri;
    ngx_str_t   *wanted;
    const char  *why;
    ngx_uint_t   https;

    wanted = &keys->source->issuer;

    issuer = acr_json_get(document, "issuer");
    uri = acr_json_get(document, "jwks_uri");

    if (!json_is_string(issuer)
        || json_string_length(issuer) != wanted->len
        || ngx_memcmp(json_string_value(issuer), wanted->data, wanted->len)
           != 0)
    {
        return "it is of another issuer";
    }

    if (!json_is_string(uri)) {
        return "it has no \"jwks_uri\"";
    }

    url->data = (u_char *) json_string_value(uri);
    url->len = json_string_length(uri);

    why = ngx_http_acr_fetch_check(url, &https);

    if (why) {
        return "its \"jwks_uri\" cannot be fetched";
    }

    if (!https
        && ngx_strncasecmp(wanted->data, (u_char *) "http://", 7) != 0)
    {
        return "its \"jwks_uri\" is not of https";
    }

    return NULL;
}


static void
ngx_http_acr_oidc_keys_fetched(ngx_http_acr_fetch_t *fetch)
{
    const char                *why;
    ngx_http_acr_oidc_keys_t  *keys;

    keys = fetch->data;

    why = ngx_http_acr_oidc_keys_status(fetch);

    if (why) {
        ngx_http_acr_oidc_keys_failed(keys, "keys", why);
        return;
    }

    /* OpenSSL checks each key, which takes up to a millisecond: for a thread,
       with a copy, for the answer goes with the fetch */

    keys->text.len = fetch->answer.len;
    keys->text.data = ngx_alloc(fetch->answer.len + 1, keys->log);

    if (keys->text.data == NULL) {
        ngx_http_acr_oidc_keys_failed(keys, "keys", "no memory");
        return;
    }

    ngx_memcpy(keys->text.data, fetch->answer.data, fetch->answer.len);

    if (ngx_http_acr_task_post(&keys->task, keys->pool) != NGX_OK) {
        ngx_free(keys->text.data);
        ngx_http_acr_oidc_keys_failed(keys, "keys", "too much is under way");
    }
}


static ngx_int_t
ngx_http_acr_oidc_keys_parse(void *data, ngx_log_t *log)
{
    ngx_http_acr_oidc_keys_t *keys = data;

    keys->read = NULL;
    keys->why = ngx_http_acr_oidc_keys_read(&keys->text, &keys->read, log);

    return NGX_OK;
}


static void
ngx_http_acr_oidc_keys_parsed(void *data, ngx_int_t rc)
{
    ngx_http_acr_oidc_keys_t *keys = data;

    ngx_free(keys->text.data);

    if (keys->stopped) {

        if (keys->read) {
            ngx_http_acr_oidc_keys_release(keys->read);
        }

        return;
    }

    if (keys->why) {
        ngx_http_acr_oidc_keys_failed(keys, "keys", keys->why);
        return;
    }

    ngx_http_acr_oidc_keys_change(keys, keys->read);
}


static const char *
ngx_http_acr_oidc_keys_read(ngx_str_t *text, ngx_http_acr_oidc_set_t **set,
    ngx_log_t *log)
{
    int              rc;
    acr_jwt_keys_t  *keys;

    keys = acr_jwt_keys_create();

    if (keys == NULL) {
        return "no memory";
    }

    rc = acr_jwt_keys_add_jwks(keys, text->data, text->len);

    if (rc != ACR_OK || acr_jwt_keys_count(keys) == 0) {
        acr_jwt_keys_free(keys);

        return (rc == ACR_OK) ? "there is none that can be used"
               : (rc == ACR_NOMEM) ? "no memory" : "it is no JWK set";
    }

    *set = ngx_alloc(sizeof(ngx_http_acr_oidc_set_t), log);

    if (*set == NULL) {
        acr_jwt_keys_free(keys);
        return "no memory";
    }

    (*set)->keys = keys;
    (*set)->refs = 1;

    return NULL;
}


static void
ngx_http_acr_oidc_keys_change(ngx_http_acr_oidc_keys_t *keys,
    ngx_http_acr_oidc_set_t *set)
{
    if (keys->set) {
        ngx_http_acr_oidc_keys_release(keys->set);
    }

    keys->set = set;
    keys->pause = 0;

    ngx_log_error(NGX_LOG_INFO, keys->log, 0,
                  "acr: issuer \"%V\": %ui keys", &keys->source->issuer,
                  (ngx_uint_t) acr_jwt_keys_count(set->keys));

    ngx_http_acr_oidc_keys_end(keys, NGX_OK, NGX_HTTP_ACR_OIDC_REFRESH);
}


static void
ngx_http_acr_oidc_keys_failed(ngx_http_acr_oidc_keys_t *keys,
    const char *what, const char *why)
{
    keys->pause = keys->pause ? ngx_min(2 * keys->pause,
                                        NGX_HTTP_ACR_OIDC_RETRY_MAX)
                              : 1;

    ngx_log_error(NGX_LOG_ERR, keys->log, 0,
                  "acr: issuer \"%V\": cannot get its %s: %s; next try in %T s",
                  &keys->source->issuer, what, why, keys->pause);

    ngx_http_acr_oidc_keys_end(keys, NGX_ERROR, keys->pause);
}


static void
ngx_http_acr_oidc_keys_end(ngx_http_acr_oidc_keys_t *keys, ngx_int_t rc,
    time_t next)
{
    ngx_queue_t                  waiters, *q;
    ngx_http_acr_oidc_waiter_t  *waiter;

    keys->busy = 0;
    keys->once = 1;
    keys->tried = ngx_current_msec;

    ngx_add_timer(&keys->timer, (ngx_msec_t) next * 1000);

    /* those who come while these are told wait for another fetch, or not */

    ngx_queue_init(&waiters);

    if (!ngx_queue_empty(&keys->waiters)) {
        ngx_queue_add(&waiters, &keys->waiters);
        ngx_queue_init(&keys->waiters);
    }

    while (!ngx_queue_empty(&waiters)) {
        q = ngx_queue_head(&waiters);
        waiter = ngx_queue_data(q, ngx_http_acr_oidc_waiter_t, queue);

        ngx_http_acr_oidc_keys_wake(waiter, rc);
    }
}


static void
ngx_http_acr_oidc_keys_timer(ngx_event_t *ev)
{
    ngx_http_acr_oidc_keys_begin(ev->data);
}


void
ngx_http_acr_oidc_keys_renew(ngx_http_request_t *r,
    ngx_http_acr_oidc_keys_t *keys, ngx_http_acr_next_pt next, void *data)
{
    if (keys->source->fixed
        || (!keys->busy && keys->once
            && ngx_current_msec - keys->tried
               < NGX_HTTP_ACR_OIDC_PAUSE * 1000))
    {
        next(r, data, NGX_DECLINED);
        return;
    }

    ngx_http_acr_oidc_keys_wait(r, keys, next, data);
}


/*
 * The timer keeps an exiting worker alive for the request; the fetch, which
 * does not, ends before it.
 */

static void
ngx_http_acr_oidc_keys_wait(ngx_http_request_t *r,
    ngx_http_acr_oidc_keys_t *keys, ngx_http_acr_next_pt next, void *data)
{
    ngx_http_acr_oidc_waiter_t  *waiter;

    if (!keys->busy) {
        ngx_http_acr_oidc_keys_begin(keys);
    }

    /* no memory */

    if (!keys->busy) {
        next(r, data, NGX_ERROR);
        return;
    }

    waiter = ngx_pcalloc(r->pool, sizeof(ngx_http_acr_oidc_waiter_t));

    if (waiter == NULL) {
        next(r, data, NGX_ERROR);
        return;
    }

    waiter->request = r;
    waiter->next = next;
    waiter->data = data;

    waiter->timer.data = waiter;
    waiter->timer.handler = ngx_http_acr_oidc_keys_late;
    waiter->timer.log = ngx_cycle->log;

    ngx_queue_insert_tail(&keys->waiters, &waiter->queue);
    ngx_add_timer(&waiter->timer, 2 * NGX_HTTP_ACR_OIDC_TIMEOUT);

    ngx_http_acr_enter(r);
}


static void
ngx_http_acr_oidc_keys_late(ngx_event_t *ev)
{
    ngx_http_acr_oidc_keys_wake(ev->data, NGX_ERROR);
}


static void
ngx_http_acr_oidc_keys_wake(ngx_http_acr_oidc_waiter_t *waiter, ngx_int_t rc)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    ngx_queue_remove(&waiter->queue);

    if (waiter->timer.timer_set) {
        ngx_del_timer(&waiter->timer);
    }

    r = waiter->request;
    c = r->connection;

    if (ngx_http_acr_leave(r) == NGX_OK) {
        waiter->next(r, waiter->data, rc);
    }

    ngx_http_run_posted_requests(c);
}
