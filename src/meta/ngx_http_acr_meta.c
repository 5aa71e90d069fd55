
/*
 * Calls of scripts: from the one who asks to Redis and back.
 */

#include "ngx_http_acr_meta_core.h"
#include "ngx_http_acr_feed.h"

#include <ngx_event.h>


/* how long calls wait for a connection that is not there, and how many */
#define NGX_HTTP_ACR_META_PATIENCE  1000
#define NGX_HTTP_ACR_META_WAITING   8192

/* how long a call waits for its repository to be rebuilt */
#define NGX_HTTP_ACR_META_REBUILD   10000

/* EVALSHA, hash, 1, prefix */
#define NGX_HTTP_ACR_META_HEAD      4

/* replies with more elements than this are rare */
#define NGX_HTTP_ACR_META_ELEMENTS  32


/* one allocation: the arguments of the command and their bytes follow */

typedef struct {
    ngx_queue_t            queue;
    ngx_http_acr_meta_t   *meta;
    ngx_uint_t             script;
    ngx_http_acr_meta_pt   handler;
    void                  *data;

    uint64_t               clock;      /* the time when it was sent */
    ngx_msec_t             sent;
    ngx_msec_t             began;      /* to wait for its repository */
    ngx_uint_t             joins;      /* of the state that it was sent with */
    unsigned               eval:1;     /* with the script's text */
    unsigned               repeated:1; /* since the state was another one */
    unsigned               unsure:1;   /* waits, or has waited, for its
                                          repository */
    unsigned               failed:1;   /* that could not be rebuilt once */

    ngx_uint_t             argc;
    const char           **argv;
    size_t                *argvlen;
} ngx_http_acr_meta_call_t;


static void ngx_http_acr_meta_state(void *data, ngx_uint_t up);
static ngx_http_acr_meta_call_t *ngx_http_acr_meta_call_create(
    ngx_http_acr_meta_t *meta, ngx_uint_t script, ngx_str_t *args,
    ngx_uint_t nargs);
static void ngx_http_acr_meta_wait(ngx_http_acr_meta_call_t *call);
static void ngx_http_acr_meta_down(ngx_http_acr_meta_call_t *call);
static void ngx_http_acr_meta_send(ngx_http_acr_meta_call_t *call);
static ngx_int_t ngx_http_acr_meta_command(ngx_http_acr_meta_call_t *call);
static void ngx_http_acr_meta_reply(void *data, redisReply *reply);
static void ngx_http_acr_meta_measure(ngx_http_acr_meta_call_t *call,
    redisReply *reply);
static void ngx_http_acr_meta_understand(ngx_http_acr_meta_call_t *call,
    redisReply *reply);
static void ngx_http_acr_meta_repeat(ngx_http_acr_meta_call_t *call);
static ngx_int_t ngx_http_acr_meta_unsure(ngx_http_acr_meta_call_t *call);
static void ngx_http_acr_meta_repository(ngx_http_acr_meta_call_t *call,
    ngx_str_t *repository);
static void ngx_http_acr_meta_rebuilds(ngx_event_t *ev);
static void ngx_http_acr_meta_answer(ngx_http_acr_meta_call_t *call,
    ngx_http_acr_meta_reply_t *r);
static void ngx_http_acr_meta_patience(ngx_event_t *ev);
static void ngx_http_acr_meta_posted(ngx_event_t *ev);
static void ngx_http_acr_meta_take(ngx_queue_t *from, ngx_queue_t *to);
static void ngx_http_acr_meta_free(ngx_queue_t *calls);


ngx_http_acr_meta_t *
ngx_http_acr_meta_create(ngx_pool_t *pool, ngx_http_acr_meta_conf_t *conf,
    ngx_str_t *name, ngx_http_acr_pool_t *tp, ngx_http_acr_meta_owner_t *owner,
    ngx_log_t *log)
{
    ngx_http_acr_meta_t  *meta;

    meta = ngx_pcalloc(pool, sizeof(ngx_http_acr_meta_t));

    if (meta == NULL) {
        return NULL;
    }

    meta->conf = conf;
    meta->log = log;
    meta->tp = tp;
    meta->owner = *owner;
    meta->since = ngx_current_msec;

    meta->prefix.data = ngx_pnalloc(pool, name->len + sizeof("acr:{}") - 1);

    if (meta->prefix.data == NULL) {
        return NULL;
    }

    meta->prefix.len = ngx_sprintf(meta->prefix.data, "acr:{%V}", name)
                       - meta->prefix.data;

    ngx_queue_init(&meta->waiting);
    ngx_queue_init(&meta->unsure);
    ngx_queue_init(&meta->down);

    meta->rebuilds.handler = ngx_http_acr_meta_rebuilds;
    meta->rebuilds.data = meta;
    meta->rebuilds.log = log;

    meta->patience.handler = ngx_http_acr_meta_patience;
    meta->patience.data = meta;
    meta->patience.log = log;

    meta->posted.handler = ngx_http_acr_meta_posted;
    meta->posted.data = meta;
    meta->posted.log = log;

    ngx_http_acr_meta_sha1(meta);

    meta->redis = ngx_http_acr_redis_create(pool, conf,
                                            ngx_http_acr_meta_state, meta,
                                            log);
    if (meta->redis == NULL) {
        return NULL;
    }

    if (owner->changed) {
        meta->feed = ngx_http_acr_feed_create(pool, meta);

        if (meta->feed == NULL) {
            return NULL;
        }
    }

    return meta;
}


void
ngx_http_acr_meta_close(ngx_http_acr_meta_t *meta)
{
    meta->closed = 1;

    if (meta->feed) {
        ngx_http_acr_feed_close(meta->feed);
    }

    ngx_http_acr_redis_close(meta->redis);

    if (meta->patience.timer_set) {
        ngx_del_timer(&meta->patience);
    }

    if (meta->rebuilds.timer_set) {
        ngx_del_timer(&meta->rebuilds);
    }

    if (meta->posted.posted) {
        ngx_delete_posted_event(&meta->posted);
    }

    ngx_http_acr_meta_free(&meta->waiting);
    ngx_http_acr_meta_free(&meta->unsure);
    ngx_http_acr_meta_free(&meta->down);
}


static void
ngx_http_acr_meta_state(void *data, ngx_uint_t up)
{
    ngx_http_acr_meta_t *meta = data;

    if (up) {
        ngx_http_acr_count(meta->owner.zone, NGX_HTTP_ACR_C_REDIS_CONNECTS, 1);
        ngx_http_acr_meta_join(meta);

    } else {
        ngx_http_acr_meta_leave(meta);
    }
}


ngx_int_t
ngx_http_acr_meta_call(ngx_http_acr_meta_t *meta, ngx_uint_t script,
    ngx_str_t *args, ngx_uint_t nargs, ngx_http_acr_meta_pt handler,
    void *data)
{
    ngx_http_acr_meta_call_t  *call;

    if (meta->closed) {
        return NGX_ERROR;
    }

    call = ngx_http_acr_meta_call_create(meta, script, args, nargs);

    if (call == NULL) {
        return NGX_ERROR;
    }

    call->handler = handler;
    call->data = data;

    if (meta->phase == NGX_HTTP_ACR_META_JOINED) {
        ngx_http_acr_meta_send(call);

    } else {
        ngx_http_acr_meta_wait(call);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_acr_meta_call_join(ngx_http_acr_meta_t *meta, ngx_str_t *args,
    ngx_uint_t nargs)
{
    ngx_http_acr_meta_call_t  *call;

    call = ngx_http_acr_meta_call_create(meta, ACR_SCRIPT_JOIN, args, nargs);

    if (call == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_acr_meta_command(call) != NGX_OK) {
        ngx_free(call);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_http_acr_meta_call_t *
ngx_http_acr_meta_call_create(ngx_http_acr_meta_t *meta, ngx_uint_t script,
    ngx_str_t *args, ngx_uint_t nargs)
{
    u_char                    *p;
    size_t                     size, argc;
    ngx_uint_t                 i, n;
    ngx_http_acr_meta_call_t  *call;

    n = NGX_HTTP_ACR_META_HEAD;

    if (ngx_http_acr_meta_mutation(script)) {
        n++;
    }

    /* the arguments are in memory, so their sum is no overflow */

    argc = n + nargs;
    size = sizeof(ngx_http_acr_meta_call_t)
           + argc * (sizeof(char *) + sizeof(size_t));

    for (i = 0; i < nargs; i++) {
        size += args[i].len;
    }

    call = ngx_alloc(size, meta->log);

    if (call == NULL) {
        return NULL;
    }

    ngx_memzero(call, sizeof(ngx_http_acr_meta_call_t));

    call->meta = meta;
    call->script = script;
    call->argc = argc;
    call->argv = (const char **) (call + 1);
    call->argvlen = (size_t *) (call->argv + argc);

    p = (u_char *) (call->argvlen + argc);

    for (i = 0; i < nargs; i++) {
        call->argv[n + i] = (char *) p;
        call->argvlen[n + i] = args[i].len;

        if (args[i].len) {
            p = ngx_cpymem(p, args[i].data, args[i].len);
        }
    }

    return call;
}


static void
ngx_http_acr_meta_wait(ngx_http_acr_meta_call_t *call)
{
    ngx_msec_t            passed;
    ngx_http_acr_meta_t  *meta;

    meta = call->meta;
    passed = ngx_current_msec - meta->since;

    if (passed >= NGX_HTTP_ACR_META_PATIENCE
        || meta->nwaiting >= NGX_HTTP_ACR_META_WAITING)
    {
        ngx_http_acr_meta_down(call);
        return;
    }

    ngx_queue_insert_tail(&meta->waiting, &call->queue);
    meta->nwaiting++;

    if (!meta->patience.timer_set) {
        ngx_add_timer(&meta->patience, NGX_HTTP_ACR_META_PATIENCE - passed);
    }
}


static void
ngx_http_acr_meta_down(ngx_http_acr_meta_call_t *call)
{
    ngx_http_acr_meta_t  *meta;

    meta = call->meta;

    ngx_queue_insert_tail(&meta->down, &call->queue);

    ngx_post_event(&meta->posted, &ngx_posted_events);
}


static void
ngx_http_acr_meta_send(ngx_http_acr_meta_call_t *call)
{
    if (ngx_http_acr_meta_command(call) != NGX_OK) {
        ngx_http_acr_meta_down(call);
    }
}


static ngx_int_t
ngx_http_acr_meta_command(ngx_http_acr_meta_call_t *call)
{
    ngx_str_t             text;
    ngx_http_acr_meta_t  *meta;

    meta = call->meta;

    if (call->eval) {
        ngx_http_acr_meta_text(call->script, &text);

        call->argv[0] = "EVAL";
        call->argvlen[0] = sizeof("EVAL") - 1;
        call->argv[1] = (char *) text.data;
        call->argvlen[1] = text.len;

    } else {
        call->argv[0] = "EVALSHA";
        call->argvlen[0] = sizeof("EVALSHA") - 1;
        call->argv[1] = (char *) meta->sha1[call->script];
        call->argvlen[1] = sizeof(meta->sha1[0]);
    }

    call->argv[2] = "1";
    call->argvlen[2] = 1;
    call->argv[3] = (char *) meta->prefix.data;
    call->argvlen[3] = meta->prefix.len;

    if (ngx_http_acr_meta_mutation(call->script)) {
        call->argv[4] = (char *) meta->state.data;
        call->argvlen[4] = meta->state.len;
    }

    call->joins = meta->joins;
    call->clock = ngx_http_acr_zone_clock();
    call->sent = ngx_current_msec;

    ngx_http_acr_count(meta->owner.zone, NGX_HTTP_ACR_C_REDIS_CALLS, 1);

    return ngx_http_acr_redis_command(meta->redis, ngx_http_acr_meta_reply,
                                      call, call->argc, call->argv,
                                      call->argvlen);
}


static void
ngx_http_acr_meta_reply(void *data, redisReply *reply)
{
    ngx_http_acr_meta_call_t *call = data;

    ngx_http_acr_meta_t        *meta;
    ngx_http_acr_meta_reply_t   r;

    meta = call->meta;

    if (meta->closed) {
        ngx_free(call);
        return;
    }

    ngx_http_acr_meta_measure(call, reply);

    if (reply && !call->eval && ngx_http_acr_meta_noscript(reply)) {
        call->eval = 1;

        if (ngx_http_acr_meta_command(call) == NGX_OK) {
            return;
        }

        reply = NULL;
    }

    if (call->script == ACR_SCRIPT_JOIN) {
        ngx_free(call);
        ngx_http_acr_meta_joined(meta, reply);
        return;
    }

    if (reply == NULL) {
        ngx_memzero(&r, sizeof(ngx_http_acr_meta_reply_t));
        ngx_http_acr_meta_answer(call, &r);
        return;
    }

    ngx_http_acr_meta_understand(call, reply);
}


/* that Redis has to be told the script is no error */

static void
ngx_http_acr_meta_measure(ngx_http_acr_meta_call_t *call, redisReply *reply)
{
    ngx_uint_t            kind;
    ngx_http_acr_meta_t  *meta;

    meta = call->meta;

    if (reply == NULL) {
        kind = (ngx_current_msec - call->sent >= meta->conf->timeout)
               ? NGX_HTTP_ACR_KIND_deadline : NGX_HTTP_ACR_KIND_down;

        ngx_http_acr_count(meta->owner.zone,
                           NGX_HTTP_ACR_C_REDIS_ERRORS + kind, 1);
        return;
    }

    ngx_http_acr_observe(meta->owner.zone, NGX_HTTP_ACR_C_REDIS_TIME,
                         ngx_http_acr_zone_clock() - call->clock);

    if (reply->type == REDIS_REPLY_ERROR
        && !ngx_http_acr_meta_noscript(reply))
    {
        ngx_http_acr_count(meta->owner.zone, NGX_HTTP_ACR_C_REDIS_ERRORS
                                             + NGX_HTTP_ACR_KIND_error, 1);
    }
}


static void
ngx_http_acr_meta_understand(ngx_http_acr_meta_call_t *call,
    redisReply *reply)
{
    ngx_int_t                   rc;
    ngx_str_t                  *v, elements[NGX_HTTP_ACR_META_ELEMENTS];
    ngx_http_acr_meta_t        *meta;
    ngx_http_acr_meta_reply_t   r;

    meta = call->meta;
    v = elements;

    ngx_memzero(&r, sizeof(ngx_http_acr_meta_reply_t));

    if (reply->type == REDIS_REPLY_ARRAY
        && reply->elements > NGX_HTTP_ACR_META_ELEMENTS)
    {
        v = ngx_alloc(reply->elements * sizeof(ngx_str_t), meta->log);

        if (v == NULL) {
            ngx_http_acr_meta_answer(call, &r);
            return;
        }
    }

    rc = ngx_http_acr_meta_read(meta, call->script, reply, &r, v);

    if (rc == NGX_AGAIN) {
        ngx_http_acr_meta_repeat(call);

    } else if (r.status != NGX_HTTP_ACR_META_BEHIND
               || ngx_http_acr_meta_unsure(call) != NGX_OK)
    {
        ngx_http_acr_meta_answer(call, &r);
    }

    if (v != elements) {
        ngx_free(v);
    }
}


/*
 * The state is not the one that this worker knew when it asked.  Whoever
 * finds that first joins, all others wait.
 */

static void
ngx_http_acr_meta_repeat(ngx_http_acr_meta_call_t *call)
{
    ngx_http_acr_meta_t  *meta;

    meta = call->meta;

    if (call->repeated) {
        ngx_http_acr_meta_down(call);
        return;
    }

    call->repeated = 1;

    if (meta->phase == NGX_HTTP_ACR_META_JOINED) {

        if (call->joins != meta->joins) {
            ngx_http_acr_meta_send(call);
            return;
        }

        ngx_http_acr_meta_join(meta);
    }

    ngx_http_acr_meta_wait(call);
}


/*
 * Redis does not know the repository yet.  NGX_OK: the call waits until it is
 * rebuilt; NGX_DECLINED: it does not wait, or has waited enough.
 */

static ngx_int_t
ngx_http_acr_meta_unsure(ngx_http_acr_meta_call_t *call)
{
    ngx_str_t             repository;
    ngx_msec_t            passed;
    ngx_http_acr_meta_t  *meta;

    meta = call->meta;

    if (!ngx_http_acr_meta_waits(call->script)) {
        return NGX_DECLINED;
    }

    if (!call->unsure) {
        call->unsure = 1;
        call->began = ngx_current_msec;
    }

    passed = ngx_current_msec - call->began;

    if (passed >= NGX_HTTP_ACR_META_REBUILD) {
        return NGX_DECLINED;
    }

    ngx_http_acr_meta_repository(call, &repository);

    if (meta->owner.unsure(meta->owner.data, &repository) != NGX_OK) {
        return NGX_DECLINED;
    }

    /* the state may change once more meanwhile */

    call->repeated = 0;

    ngx_queue_insert_tail(&meta->unsure, &call->queue);

    if (!meta->rebuilds.timer_set) {
        ngx_add_timer(&meta->rebuilds, NGX_HTTP_ACR_META_REBUILD - passed);
    }

    return NGX_OK;
}


static void
ngx_http_acr_meta_repository(ngx_http_acr_meta_call_t *call,
    ngx_str_t *repository)
{
    ngx_uint_t  n;

    n = NGX_HTTP_ACR_META_HEAD
        + (ngx_http_acr_meta_mutation(call->script) ? 1 : 0);

    repository->data = (u_char *) call->argv[n];
    repository->len = call->argvlen[n];
}


void
ngx_http_acr_meta_rebuilt(ngx_http_acr_meta_t *meta, ngx_str_t *repository,
    ngx_uint_t ok)
{
    ngx_str_t                   name;
    ngx_queue_t                 calls, *q;
    ngx_http_acr_meta_call_t   *call;
    ngx_http_acr_meta_reply_t   r;

    ngx_memzero(&r, sizeof(ngx_http_acr_meta_reply_t));
    r.status = NGX_HTTP_ACR_META_BEHIND;

    ngx_http_acr_meta_take(&meta->unsure, &calls);

    while (!ngx_queue_empty(&calls)) {
        q = ngx_queue_head(&calls);
        ngx_queue_remove(q);

        call = ngx_queue_data(q, ngx_http_acr_meta_call_t, queue);

        ngx_http_acr_meta_repository(call, &name);

        if (name.len != repository->len
            || ngx_memcmp(name.data, repository->data, name.len) != 0)
        {
            ngx_queue_insert_tail(&meta->unsure, &call->queue);
            continue;
        }

        /* what has failed once may have met another Redis, or a short want of
           memory; if it fails again there is a reason that stays */

        if (!ok && call->failed) {
            ngx_http_acr_meta_answer(call, &r);
            continue;
        }

        call->failed = !ok;

        if (meta->phase == NGX_HTTP_ACR_META_JOINED) {
            ngx_http_acr_meta_send(call);

        } else {
            ngx_http_acr_meta_wait(call);
        }
    }

    /* or it would keep a worker that exits */

    if (ngx_queue_empty(&meta->unsure) && meta->rebuilds.timer_set) {
        ngx_del_timer(&meta->rebuilds);
    }
}


/* those that have waited enough get BEHIND */

static void
ngx_http_acr_meta_rebuilds(ngx_event_t *ev)
{
    ngx_queue_t                 calls, *q;
    ngx_msec_t                  passed;
    ngx_http_acr_meta_t        *meta;
    ngx_http_acr_meta_call_t   *call;
    ngx_http_acr_meta_reply_t   r;

    meta = ev->data;

    ngx_memzero(&r, sizeof(ngx_http_acr_meta_reply_t));
    r.status = NGX_HTTP_ACR_META_BEHIND;

    ngx_http_acr_meta_take(&meta->unsure, &calls);

    while (!ngx_queue_empty(&calls)) {
        q = ngx_queue_head(&calls);
        ngx_queue_remove(q);

        call = ngx_queue_data(q, ngx_http_acr_meta_call_t, queue);
        passed = ngx_current_msec - call->began;

        if (passed >= NGX_HTTP_ACR_META_REBUILD) {
            ngx_http_acr_meta_answer(call, &r);
            continue;
        }

        ngx_queue_insert_tail(&meta->unsure, &call->queue);

        if (!ev->timer_set) {
            ngx_add_timer(ev, NGX_HTTP_ACR_META_REBUILD - passed);
        }
    }
}


ngx_str_t
ngx_http_acr_meta_argument(const char *s)
{
    ngx_str_t  text;

    text.data = (u_char *) s;
    text.len = s ? ngx_strlen(s) : 0;

    return text;
}


ngx_uint_t
ngx_http_acr_meta_fresh(ngx_http_acr_meta_t *meta)
{
    return meta->feed && meta->phase == NGX_HTTP_ACR_META_JOINED
           && ngx_http_acr_feed_fresh(meta->feed);
}


ngx_uint_t
ngx_http_acr_meta_losses(ngx_http_acr_meta_t *meta)
{
    return meta->losses;
}


static void
ngx_http_acr_meta_answer(ngx_http_acr_meta_call_t *call,
    ngx_http_acr_meta_reply_t *r)
{
    void                  *data;
    ngx_http_acr_meta_pt   handler;

    handler = call->handler;
    data = call->data;

    ngx_free(call);

    handler(data, r);
}


void
ngx_http_acr_meta_resume(ngx_http_acr_meta_t *meta)
{
    ngx_queue_t                calls, *q;
    ngx_http_acr_meta_call_t  *call;

    if (meta->patience.timer_set) {
        ngx_del_timer(&meta->patience);
    }

    meta->nwaiting = 0;
    ngx_http_acr_meta_take(&meta->waiting, &calls);

    while (!ngx_queue_empty(&calls)) {
        q = ngx_queue_head(&calls);
        ngx_queue_remove(q);

        call = ngx_queue_data(q, ngx_http_acr_meta_call_t, queue);
        ngx_http_acr_meta_send(call);
    }
}


static void
ngx_http_acr_meta_patience(ngx_event_t *ev)
{
    ngx_queue_t           calls;
    ngx_http_acr_meta_t  *meta;

    meta = ev->data;

    meta->nwaiting = 0;
    ngx_http_acr_meta_take(&meta->waiting, &calls);

    if (!ngx_queue_empty(&calls)) {
        ngx_queue_add(&meta->down, &calls);
        ngx_post_event(&meta->posted, &ngx_posted_events);
    }
}


static void
ngx_http_acr_meta_posted(ngx_event_t *ev)
{
    ngx_queue_t                 calls, *q;
    ngx_http_acr_meta_t        *meta;
    ngx_http_acr_meta_call_t   *call;
    ngx_http_acr_meta_reply_t   r;

    meta = ev->data;

    ngx_memzero(&r, sizeof(ngx_http_acr_meta_reply_t));

    /* a handler may make new calls */

    ngx_http_acr_meta_take(&meta->down, &calls);

    while (!ngx_queue_empty(&calls)) {
        q = ngx_queue_head(&calls);
        ngx_queue_remove(q);

        call = ngx_queue_data(q, ngx_http_acr_meta_call_t, queue);
        ngx_http_acr_count(meta->owner.zone, NGX_HTTP_ACR_C_REDIS_ERRORS
                                             + NGX_HTTP_ACR_KIND_down, 1);
        ngx_http_acr_meta_answer(call, &r);
    }
}


static void
ngx_http_acr_meta_take(ngx_queue_t *from, ngx_queue_t *to)
{
    ngx_queue_init(to);

    if (!ngx_queue_empty(from)) {
        ngx_queue_add(to, from);
        ngx_queue_init(from);
    }
}


static void
ngx_http_acr_meta_free(ngx_queue_t *calls)
{
    ngx_queue_t               *q;
    ngx_http_acr_meta_call_t  *call;

    while (!ngx_queue_empty(calls)) {
        q = ngx_queue_head(calls);
        ngx_queue_remove(q);

        call = ngx_queue_data(q, ngx_http_acr_meta_call_t, queue);
        ngx_free(call);
    }
}
