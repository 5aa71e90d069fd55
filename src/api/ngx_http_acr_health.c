
/*
 * acr_health: "alive" is that nginx answers, "ready" that the registry works.
 *
 * Ready is found out by a probe: a question to Redis, and a file that is
 * written, synced and removed.  A worker has one probe at a time, whose result
 * is for all requests that wait for it and for those of the next second.
 */

#include "ngx_http_acr_api.h"
#include "ngx_http_acr_health.h"


/* how long a result holds, and how long a probe may take, in ms */
#define NGX_HTTP_ACR_HEALTH_FRESH  1000
#define NGX_HTTP_ACR_HEALTH_LIMIT  5000


typedef enum {
    NGX_HTTP_ACR_HEALTH_OK = 0,
    NGX_HTTP_ACR_HEALTH_DOWN,
    NGX_HTTP_ACR_HEALTH_BEHIND,
    NGX_HTTP_ACR_HEALTH_READ_ONLY,
    NGX_HTTP_ACR_HEALTH_FULL,
    NGX_HTTP_ACR_HEALTH_FAILING
} ngx_http_acr_health_e;


typedef struct ngx_http_acr_health_s  ngx_http_acr_health_t;

struct ngx_http_acr_health_s {
    ngx_http_acr_registry_t   *registry;

    ngx_queue_t                waiting;
    ngx_event_t                timer;      /* the probe takes too long */
    ngx_msec_t                 ended;      /* the last probe */

    ngx_http_acr_health_e      redis;
    ngx_http_acr_health_e      disk;
    ngx_http_acr_health_e      logged;     /* of the disk */
    ngx_uint_t                 readable;

    ngx_http_acr_task_t        task;
    ngx_int_t                  written;    /* by the task: errno values */
    ngx_int_t                  read;

    unsigned                   known:1;    /* a probe has ended */
    unsigned                   probing:1;
    unsigned                   asking:1;   /* Redis has not answered yet */
};


/* a request, in its pool */

typedef struct {
    ngx_queue_t                queue;
    ngx_http_request_t        *request;
    ngx_uint_t                 pulls;      /* enough that pulls work */
} ngx_http_acr_health_wait_t;


static void ngx_http_acr_health_get(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static ngx_uint_t ngx_http_acr_health_live(ngx_http_request_t *r);
static ngx_http_acr_health_t *ngx_http_acr_health_create(
    ngx_http_acr_registry_t *registry);
static void ngx_http_acr_health_probe(ngx_http_acr_health_t *health);
static void ngx_http_acr_health_asked(void *data,
    ngx_http_acr_meta_reply_t *reply);
static ngx_int_t ngx_http_acr_health_work(void *data, ngx_log_t *log);
static void ngx_http_acr_health_done(void *data, ngx_int_t rc);
static void ngx_http_acr_health_timer(ngx_event_t *ev);
static void ngx_http_acr_health_next(ngx_http_acr_health_t *health);
static void ngx_http_acr_health_end(ngx_http_acr_health_t *health);
static void ngx_http_acr_health_log(ngx_http_acr_health_t *health);
static void ngx_http_acr_health_answer(ngx_http_request_t *r,
    ngx_http_acr_health_t *health, ngx_uint_t pulls);
static void ngx_http_acr_health_send(ngx_http_request_t *r, ngx_uint_t status,
    u_char *p, size_t n);


static const char  *ngx_http_acr_health_words[] = {
    "ok", "down", "behind", "read-only", "full", "failing"
};


ngx_int_t
ngx_http_acr_health(ngx_http_request_t *r)
{
    return ngx_http_acr_handle(r, ngx_http_acr_health_get);
}


static void
ngx_http_acr_health_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_str_t                    value;
    ngx_http_acr_health_t       *health;
    ngx_http_acr_health_wait_t  *wait;
    static u_char                alive[] = "{\"status\":\"alive\"}\n";

    if (ngx_http_acr_need_get(r) != NGX_OK) {
        return;
    }

    if (ngx_http_acr_health_live(r)) {
        ngx_http_acr_health_send(r, NGX_HTTP_OK, alive, sizeof(alive) - 1);
        return;
    }

    wait = ngx_pcalloc(r->pool, sizeof(ngx_http_acr_health_wait_t));
    health = ngx_http_acr_health_create(ctx->registry);

    if (wait == NULL || health == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    wait->request = r;
    wait->pulls = (ngx_http_acr_arg(r, "writes", &value) == NGX_OK
                   && value.len == 2
                   && ngx_strncmp(value.data, "no", 2) == 0);

    if (!health->probing && health->known
        && ngx_current_msec - health->ended < NGX_HTTP_ACR_HEALTH_FRESH)
    {
        ngx_http_acr_health_answer(r, health, wait->pulls);
        return;
    }

    ngx_queue_insert_tail(&health->waiting, &wait->queue);
    ngx_http_acr_enter(r);

    if (!health->probing) {
        ngx_http_acr_health_probe(health);
    }
}


/* <location>/live or <location>?live */

static ngx_uint_t
ngx_http_acr_health_live(ngx_http_request_t *r)
{
    size_t     n;
    ngx_str_t  value;

    n = sizeof("/live") - 1;

    if (r->uri.len >= n
        && ngx_memcmp(r->uri.data + r->uri.len - n, "/live", n) == 0)
    {
        return 1;
    }

    return ngx_http_acr_arg(r, "live", &value) == NGX_OK;
}


static ngx_http_acr_health_t *
ngx_http_acr_health_create(ngx_http_acr_registry_t *registry)
{
    ngx_http_acr_health_t  *health;

    if (registry->health) {
        return registry->health;
    }

    health = ngx_pcalloc(ngx_cycle->pool, sizeof(ngx_http_acr_health_t));

    if (health == NULL) {
        return NULL;
    }

    health->registry = registry;

    ngx_queue_init(&health->waiting);

    health->timer.handler = ngx_http_acr_health_timer;
    health->timer.data = health;
    health->timer.log = ngx_cycle->log;

    health->task.work = ngx_http_acr_health_work;
    health->task.done = ngx_http_acr_health_done;
    health->task.data = health;

    registry->health = health;

    return health;
}


/*
 * A part that has not answered at the end counts as one that does not work; it
 * is not asked again before it has.
 */

static void
ngx_http_acr_health_probe(ngx_http_acr_health_t *health)
{
    ngx_str_t   args[2];
    ngx_msec_t  limit;

    health->probing = 1;
    health->redis = NGX_HTTP_ACR_HEALTH_DOWN;
    health->disk = NGX_HTTP_ACR_HEALTH_FAILING;
    health->readable = 0;

    /* a list of nothing, which also tells whether the index is complete */

    ngx_str_null(&args[0]);
    ngx_str_set(&args[1], "0");

    if (!health->asking
        && ngx_http_acr_meta_call(health->registry->meta, ACR_SCRIPT_CATALOG,
                                  args, 2, ngx_http_acr_health_asked, health)
           == NGX_OK)
    {
        health->asking = 1;
    }

    if (!health->task.active) {
        (void) ngx_http_acr_task_post(&health->task, health->registry->slow);
    }

    /* it ends by an event in any case */

    limit = (health->asking || health->task.active)
            ? NGX_HTTP_ACR_HEALTH_LIMIT : 1;

    ngx_add_timer(&health->timer, limit);
}


static void
ngx_http_acr_health_asked(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_health_t *health = data;

    health->asking = 0;

    switch (reply->status) {

    case NGX_HTTP_ACR_META_OK:
        health->redis = NGX_HTTP_ACR_HEALTH_OK;
        break;

    case NGX_HTTP_ACR_META_BEHIND:
        health->redis = NGX_HTTP_ACR_HEALTH_BEHIND;
        break;

    default:
        health->redis = NGX_HTTP_ACR_HEALTH_DOWN;
    }

    ngx_http_acr_health_next(health);
}


static ngx_int_t
ngx_http_acr_health_work(void *data, ngx_log_t *log)
{
    ngx_http_acr_health_t *health = data;

    ngx_http_acr_store_t  *store;

    store = &health->registry->store;

    health->read = ngx_http_acr_store_probe_read(store);
    health->written = ngx_http_acr_store_probe_write(store, log);

    return NGX_OK;
}


static void
ngx_http_acr_health_done(void *data, ngx_int_t rc)
{
    ngx_http_acr_health_t *health = data;

    health->readable = (health->read == NGX_OK);

    if (!health->readable) {
        health->disk = NGX_HTTP_ACR_HEALTH_FAILING;

    } else {

        switch (health->written) {

        case NGX_OK:
            health->disk = NGX_HTTP_ACR_HEALTH_OK;
            break;

        case EROFS:
        case EACCES:
        case EPERM:
            health->disk = NGX_HTTP_ACR_HEALTH_READ_ONLY;
            break;

        case ENOSPC:
        case EDQUOT:
            health->disk = NGX_HTTP_ACR_HEALTH_FULL;
            break;

        default:
            health->disk = NGX_HTTP_ACR_HEALTH_FAILING;
        }
    }

    ngx_http_acr_health_next(health);
}


static void
ngx_http_acr_health_timer(ngx_event_t *ev)
{
    ngx_http_acr_health_end(ev->data);
}


static void
ngx_http_acr_health_next(ngx_http_acr_health_t *health)
{
    if (health->probing && !health->asking && !health->task.active) {
        ngx_http_acr_health_end(health);
    }
}


static void
ngx_http_acr_health_end(ngx_http_acr_health_t *health)
{
    ngx_queue_t                  waiting, *q;
    ngx_connection_t            *c;
    ngx_http_request_t          *r;
    ngx_http_acr_health_wait_t  *wait;

    if (health->timer.timer_set) {
        ngx_del_timer(&health->timer);
    }

    health->probing = 0;
    health->known = 1;
    health->ended = ngx_current_msec;

    ngx_http_acr_health_log(health);

    ngx_queue_init(&waiting);

    if (!ngx_queue_empty(&health->waiting)) {
        ngx_queue_add(&waiting, &health->waiting);
        ngx_queue_init(&health->waiting);
    }

    while (!ngx_queue_empty(&waiting)) {
        q = ngx_queue_head(&waiting);
        ngx_queue_remove(q);

        wait = ngx_queue_data(q, ngx_http_acr_health_wait_t, queue);

        r = wait->request;
        c = r->connection;

        if (ngx_http_acr_leave(r) == NGX_OK) {
            ngx_http_acr_health_answer(r, health, wait->pulls);
        }

        ngx_http_run_posted_requests(c);
    }
}


/* the disk's; what becomes of Redis is logged where it is found out */

static void
ngx_http_acr_health_log(ngx_http_acr_health_t *health)
{
    ngx_err_t  err;

    if (health->disk == health->logged) {
        return;
    }

    health->logged = health->disk;

    err = 0;

    if (!health->task.active) {
        err = health->readable ? health->written : health->read;
    }

    /* one level, so that no log has the one without the other */

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, err,
                  "acr: the directory \"%V\" is %s",
                  &health->registry->store.root,
                  ngx_http_acr_health_words[health->disk]);
}


static void
ngx_http_acr_health_answer(ngx_http_request_t *r,
    ngx_http_acr_health_t *health, ngx_uint_t pulls)
{
    u_char            *p, *last;
    ngx_uint_t         ready;
    static ngx_str_t   retry_after = ngx_string("5");

    /* pulls need no Redis */

    ready = pulls ? health->readable
                  : (health->redis != NGX_HTTP_ACR_HEALTH_DOWN
                     && health->disk == NGX_HTTP_ACR_HEALTH_OK);

    p = ngx_pnalloc(r->pool, 128);

    if (p == NULL
        || (!ready && ngx_http_acr_header(r, "Retry-After", &retry_after)
                      != NGX_OK))
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    last = ngx_snprintf(p, 128, "{\"status\":\"%s\",\"redis\":\"%s\","
                        "\"disk\":\"%s\"}\n", ready ? "ready" : "unready",
                        ngx_http_acr_health_words[health->redis],
                        ngx_http_acr_health_words[health->disk]);

    ngx_http_acr_health_send(r, ready ? NGX_HTTP_OK
                                      : NGX_HTTP_SERVICE_UNAVAILABLE,
                             p, last - p);
}


static void
ngx_http_acr_health_send(ngx_http_request_t *r, ngx_uint_t status, u_char *p,
    size_t n)
{
    static ngx_str_t  no_store = ngx_string("no-store");

    if (ngx_http_acr_header(r, "Cache-Control", &no_store) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_send_body(r, status, "application/json", p, n);
}
