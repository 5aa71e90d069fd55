
#include "ngx_http_acr_fill_core.h"


/* ms after which a worker looks at fills of others that it follows... */
#define NGX_HTTP_ACR_FILL_TICK   10

/* ...and at all of them, in case that an owner has died */
#define NGX_HTTP_ACR_FILL_LOOK   1000

/* ms after which those who wait are told, whatever has happened: nginx counts
   the time since then for send_timeout */
#define NGX_HTTP_ACR_FILL_WAKE   1000


/* a repository that the content becomes one of */

typedef struct {
    ngx_queue_t               queue;
    ngx_http_acr_fill_t      *fill;
    ngx_str_t                 repository;
    uint32_t                  source;    /* its own, and... */
    unsigned                  has:1;     /* ...that is known to have it */
    unsigned                  begun:1;
} ngx_http_acr_fill_adopter_t;


static ngx_http_acr_fill_t *ngx_http_acr_fill_find(
    ngx_http_acr_registry_t *registry, acr_digest_t *digest,
    ngx_http_acr_remote_t *remote);
static ngx_int_t ngx_http_acr_fill_now(ngx_http_acr_fill_t *fill,
    ngx_http_acr_fills_look_t *now);
static ngx_http_acr_fill_t *ngx_http_acr_fill_create(
    ngx_http_acr_registry_t *registry, acr_digest_t *digest,
    ngx_http_acr_source_t *source);
static ngx_int_t ngx_http_acr_fill_copy(ngx_pool_t *pool, ngx_str_t *to,
    ngx_str_t *from);
static ngx_int_t ngx_http_acr_fill_adopter(ngx_http_acr_fill_t *fill,
    ngx_str_t *repository, ngx_http_acr_source_t *source);
static void ngx_http_acr_fill_event(ngx_event_t *ev);
static void ngx_http_acr_fill_claim(ngx_http_acr_fill_t *fill);
static void ngx_http_acr_fill_open(ngx_http_acr_fill_t *fill);
static ngx_int_t ngx_http_acr_fill_open_work(void *data, ngx_log_t *log);
static void ngx_http_acr_fill_opened(void *data, ngx_int_t rc);
static void ngx_http_acr_fill_adopt(ngx_http_acr_fill_t *fill,
    ngx_http_acr_fills_look_t *whole);
static void ngx_http_acr_fill_adopted(void *data, ngx_int_t rc);
static void ngx_http_acr_fill_wake(ngx_http_acr_fill_t *fill, ngx_int_t rc,
    ngx_http_acr_fills_look_t *now);
static void ngx_http_acr_fill_tick(ngx_event_t *ev);
static void ngx_http_acr_fill_tick_in(ngx_http_acr_registry_t *registry,
    ngx_msec_t ms);
static void ngx_http_acr_fill_destroy(ngx_http_acr_fill_t *fill);


void
ngx_http_acr_fill_start(ngx_http_acr_registry_t *registry)
{
    ngx_queue_init(&registry->fills);

    registry->fill_tick.handler = ngx_http_acr_fill_tick;
    registry->fill_tick.data = registry;
    registry->fill_tick.log = ngx_cycle->log;
}


/* requests are gone by now */

void
ngx_http_acr_fill_stop(ngx_http_acr_registry_t *registry)
{
    ngx_queue_t          *q;
    ngx_http_acr_fill_t  *fill;

    if (registry->fills.next == NULL) {
        return;
    }

    for (q = ngx_queue_head(&registry->fills);
         q != ngx_queue_sentinel(&registry->fills);
         q = ngx_queue_next(q))
    {
        fill = ngx_queue_data(q, ngx_http_acr_fill_t, queue);

        if (fill->filler) {
            ngx_http_acr_filler_stop(fill->filler);
        }
    }

    if (registry->fill_tick.timer_set) {
        ngx_del_timer(&registry->fill_tick);
    }
}


ngx_int_t
ngx_http_acr_fill_follow(ngx_http_acr_registry_t *registry,
    acr_digest_t *digest, ngx_http_acr_source_t *source,
    ngx_http_acr_buffers_t *buffers, ngx_uint_t large, ngx_str_t *repository,
    ngx_http_acr_follower_t *follower)
{
    ngx_int_t             rc;
    ngx_http_acr_fill_t  *fill;

    fill = ngx_http_acr_fill_find(registry, digest, source->remote);

    if (fill == NULL) {
        fill = ngx_http_acr_fill_create(registry, digest, source);

        if (fill == NULL) {
            return NGX_ERROR;
        }

        /* those of one origin share it, and none waits for another's */

        rc = ngx_http_acr_fills_join(registry->zone,
                                     registry->identity
                                     ^ ngx_http_acr_fill_host(source->remote),
                                     &fill->text, &fill->ref);

        if (rc != NGX_OK) {
            ngx_http_acr_fill_destroy(fill);
            return rc;
        }

        fill->buffers = buffers;
        fill->large = large;
    }

    fill->busy++;

    follower->fill = fill;
    follower->waiting = 0;
    ngx_queue_insert_tail(&fill->followers, &follower->queue);
    ngx_http_acr_worker_add(registry->zone, NGX_HTTP_ACR_W_FOLLOWERS, 1);

    if (repository
        && ngx_http_acr_fill_adopter(fill, repository, source) != NGX_OK)
    {
        ngx_http_acr_fill_leave(follower);
        return NGX_ERROR;
    }

    ngx_http_acr_fill_moved(fill);
    ngx_http_acr_fill_tick_in(registry, NGX_HTTP_ACR_FILL_TICK);

    return NGX_OK;
}


/* one that is not over */

static ngx_http_acr_fill_t *
ngx_http_acr_fill_find(ngx_http_acr_registry_t *registry,
    acr_digest_t *digest, ngx_http_acr_remote_t *remote)
{
    ngx_queue_t                *q;
    ngx_http_acr_fill_t        *fill;
    ngx_http_acr_fills_look_t   now;

    for (q = ngx_queue_head(&registry->fills);
         q != ngx_queue_sentinel(&registry->fills);
         q = ngx_queue_next(q))
    {
        fill = ngx_queue_data(q, ngx_http_acr_fill_t, queue);

        if (fill->source.remote == remote
            && acr_digest_equal(&fill->digest, digest)
            && ngx_http_acr_fill_now(fill, &now) == NGX_OK
            && now.state <= NGX_HTTP_ACR_FILL_RUNNING)
        {
            return fill;
        }
    }

    return NULL;
}


static ngx_http_acr_fill_t *
ngx_http_acr_fill_create(ngx_http_acr_registry_t *registry,
    acr_digest_t *digest, ngx_http_acr_source_t *source)
{
    ngx_pool_t           *pool;
    ngx_http_acr_fill_t  *fill;

    pool = ngx_create_pool(1024, ngx_cycle->log);

    if (pool == NULL) {
        return NULL;
    }

    fill = ngx_pcalloc(pool, sizeof(ngx_http_acr_fill_t));

    if (fill == NULL) {
        goto failed;
    }

    fill->pool = pool;
    fill->registry = registry;
    fill->digest = *digest;
    fill->fd = NGX_INVALID_FILE;
    fill->woken = ngx_current_msec;

    fill->source.remote = source->remote;

    if (ngx_http_acr_fill_copy(pool, &fill->source.repository,
                               &source->repository)
        != NGX_OK)
    {
        goto failed;
    }

    fill->text.data = ngx_pnalloc(pool, ACR_DIGEST_MAX);

    if (fill->text.data == NULL) {
        goto failed;
    }

    fill->text.len = acr_digest_print(fill->text.data, digest);

    ngx_queue_init(&fill->followers);
    ngx_queue_init(&fill->waiting);
    ngx_queue_init(&fill->adopters);

    fill->moved.handler = ngx_http_acr_fill_event;
    fill->moved.data = fill;
    fill->moved.log = ngx_cycle->log;

    ngx_queue_insert_tail(&registry->fills, &fill->queue);

    return fill;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


static ngx_int_t
ngx_http_acr_fill_copy(ngx_pool_t *pool, ngx_str_t *to, ngx_str_t *from)
{
    to->len = from->len;
    to->data = ngx_pstrdup(pool, from);

    return (to->data == NULL) ? NGX_ERROR : NGX_OK;
}


/* a repository is noted once */

static ngx_int_t
ngx_http_acr_fill_adopter(ngx_http_acr_fill_t *fill, ngx_str_t *repository,
    ngx_http_acr_source_t *source)
{
    ngx_queue_t                  *q;
    ngx_http_acr_fill_adopter_t  *adopter;

    for (q = ngx_queue_head(&fill->adopters);
         q != ngx_queue_sentinel(&fill->adopters);
         q = ngx_queue_next(q))
    {
        adopter = ngx_queue_data(q, ngx_http_acr_fill_adopter_t, queue);

        if (adopter->repository.len == repository->len
            && ngx_memcmp(adopter->repository.data, repository->data,
                          repository->len)
               == 0)
        {
            adopter->has |= source->has;
            return NGX_OK;
        }
    }

    adopter = ngx_pcalloc(fill->pool, sizeof(ngx_http_acr_fill_adopter_t));

    if (adopter == NULL
        || ngx_http_acr_fill_copy(fill->pool, &adopter->repository, repository)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    adopter->fill = fill;
    adopter->source = ngx_http_acr_fill_source(source);
    adopter->has = source->has;
    fill->busy++;

    ngx_queue_insert_tail(&fill->adopters, &adopter->queue);

    return NGX_OK;
}


void
ngx_http_acr_fill_leave(ngx_http_acr_follower_t *follower)
{
    ngx_http_acr_fill_t  *fill;

    fill = follower->fill;

    if (fill == NULL) {
        return;
    }

    ngx_queue_remove(&follower->queue);
    ngx_http_acr_worker_add(fill->registry->zone, NGX_HTTP_ACR_W_FOLLOWERS,
                            -1);

    follower->fill = NULL;
    follower->waiting = 0;

    ngx_http_acr_fill_release(fill);
}


ngx_int_t
ngx_http_acr_fill_look(ngx_http_acr_follower_t *follower,
    ngx_http_acr_fill_look_t *look)
{
    ngx_http_acr_fill_t  *fill;

    fill = follower->fill;

    look->fd = fill->fd;

    return ngx_http_acr_fill_now(fill, &look->now);
}


/* slow clients need it long after others have its place */

static ngx_int_t
ngx_http_acr_fill_now(ngx_http_acr_fill_t *fill,
    ngx_http_acr_fills_look_t *now)
{
    ngx_int_t  rc;

    if (fill->ended) {
        *now = fill->over;
        return NGX_OK;
    }

    rc = ngx_http_acr_fills_look(fill->registry->zone, &fill->ref, now);

    if (rc == NGX_OK && now->state > NGX_HTTP_ACR_FILL_RUNNING) {
        fill->over = *now;
        fill->ended = 1;
    }

    return rc;
}


void
ngx_http_acr_fill_wait(ngx_http_acr_follower_t *follower, off_t want)
{
    ngx_http_acr_fill_t  *fill;

    fill = follower->fill;

    follower->want = want;
    follower->waiting = 1;

    ngx_queue_remove(&follower->queue);
    ngx_queue_insert_tail(&fill->waiting, &follower->queue);

    /* it may have moved since the follower has looked */

    ngx_http_acr_fill_moved(fill);
    ngx_http_acr_fill_tick_in(fill->registry, NGX_HTTP_ACR_FILL_TICK);
}


uint32_t
ngx_http_acr_fill_host(ngx_http_acr_remote_t *remote)
{
    return ngx_crc32_short(remote->host.data, remote->host.len);
}


uint32_t
ngx_http_acr_fill_source(ngx_http_acr_source_t *source)
{
    uint32_t  hash;

    ngx_crc32_init(hash);
    ngx_crc32_update(&hash, source->remote->host.data,
                     source->remote->host.len);
    ngx_crc32_update(&hash, (u_char *) "/", 1);
    ngx_crc32_update(&hash, source->repository.data, source->repository.len);
    ngx_crc32_final(hash);

    return hash;
}


void
ngx_http_acr_fill_moved(ngx_http_acr_fill_t *fill)
{
    ngx_post_event(&fill->moved, &ngx_posted_next_events);
}


static void
ngx_http_acr_fill_event(ngx_event_t *ev)
{
    ngx_int_t                   rc;
    ngx_http_acr_fill_t        *fill;
    ngx_http_acr_fills_look_t   now;

    fill = ev->data;

    fill->busy++;

    rc = ngx_http_acr_fill_now(fill, &now);

    /* a worker that is to end at once leaves it to others */

    if (rc == NGX_OK && now.state == NGX_HTTP_ACR_FILL_IDLE) {

        if (ngx_http_acr_fetch_closing(fill->source.remote->client)) {
            ngx_http_acr_fill_adopt(fill, NULL);

        } else {
            ngx_http_acr_fill_claim(fill);
        }
    }

    if (rc == NGX_OK && now.state == NGX_HTTP_ACR_FILL_RUNNING
        && now.size >= 0 && fill->fd == NGX_INVALID_FILE
        && !ngx_queue_empty(&fill->waiting))
    {
        ngx_http_acr_fill_open(fill);
    }

    if (rc != NGX_OK || now.state > NGX_HTTP_ACR_FILL_RUNNING) {
        ngx_http_acr_fill_adopt(fill,
                                (rc == NGX_OK
                                 && now.state == NGX_HTTP_ACR_FILL_WHOLE)
                                ? &now : NULL);
    }

    ngx_http_acr_fill_wake(fill, rc, &now);

    ngx_http_acr_fill_release(fill);
}


/* those of other workers may do so as well; the first one gets it */

static void
ngx_http_acr_fill_claim(ngx_http_acr_fill_t *fill)
{
    ngx_http_acr_registry_t  *registry;

    registry = fill->registry;

    if (fill->filler
        || ngx_http_acr_fills_claim(registry->zone, &fill->ref,
                                    ngx_http_acr_fill_source(&fill->source),
                                    registry->fill_max)
           != NGX_OK)
    {
        return;
    }

    if (ngx_http_acr_filler_start(fill) != NGX_OK) {
        ngx_http_acr_fills_end(registry->zone, &fill->ref,
                               NGX_HTTP_ACR_FILL_IDLE, 0,
                               ngx_http_acr_fill_source(&fill->source));
    }
}


static void
ngx_http_acr_fill_open(ngx_http_acr_fill_t *fill)
{
    if (fill->open.active) {
        return;
    }

    fill->open.work = ngx_http_acr_fill_open_work;
    fill->open.done = ngx_http_acr_fill_opened;
    fill->open.data = fill;

    if (ngx_http_acr_task_post(&fill->open, fill->registry->slow) == NGX_OK) {
        fill->busy++;
    }
}


static ngx_int_t
ngx_http_acr_fill_open_work(void *data, ngx_log_t *log)
{
    ngx_http_acr_fill_t *fill = data;

    return ngx_http_acr_store_fill_read(&fill->registry->store, &fill->digest,
                                        ngx_http_acr_fill_host(
                                            fill->source.remote),
                                        &fill->fd, log);
}


/* if it is not there it has just become a blob, or was given up: that will be
   seen */

static void
ngx_http_acr_fill_opened(void *data, ngx_int_t rc)
{
    ngx_http_acr_fill_t *fill = data;

    if (rc != NGX_OK) {
        fill->fd = NGX_INVALID_FILE;
    }

    ngx_http_acr_fill_moved(fill);
    ngx_http_acr_fill_release(fill);
}


/* NULL: there is nothing to be adopted */

static void
ngx_http_acr_fill_adopt(ngx_http_acr_fill_t *fill,
    ngx_http_acr_fills_look_t *whole)
{
    ngx_queue_t                  *q, *next;
    ngx_http_acr_fill_adopter_t  *adopter;

    for (q = ngx_queue_head(&fill->adopters);
         q != ngx_queue_sentinel(&fill->adopters);
         q = next)
    {
        next = ngx_queue_next(q);
        adopter = ngx_queue_data(q, ngx_http_acr_fill_adopter_t, queue);

        if (adopter->begun) {
            continue;
        }

        adopter->begun = 1;

        if (whole == NULL
            || (!adopter->has && adopter->source != whole->source)
            || ngx_http_acr_adopt(fill->registry, &adopter->repository,
                                  &fill->digest, whole->size,
                                  ngx_http_acr_fill_adopted, adopter)
               != NGX_OK)
        {
            ngx_queue_remove(&adopter->queue);
            fill->busy--;
        }
    }
}


/* if it has failed, the next one who asks for it finds the file, and tries it
   again */

static void
ngx_http_acr_fill_adopted(void *data, ngx_int_t rc)
{
    ngx_http_acr_fill_adopter_t *adopter = data;

    ngx_queue_remove(&adopter->queue);
    ngx_http_acr_fill_release(adopter->fill);
}


/* followers may leave meanwhile, also others than the one who is told */

static void
ngx_http_acr_fill_wake(ngx_http_acr_fill_t *fill, ngx_int_t rc,
    ngx_http_acr_fills_look_t *now)
{
    ngx_uint_t                all, file;
    ngx_queue_t               waiting, *q;
    ngx_http_acr_follower_t  *follower;

    if (ngx_queue_empty(&fill->waiting)) {
        return;
    }

    all = (rc != NGX_OK || now->state > NGX_HTTP_ACR_FILL_RUNNING);
    file = (!all && now->size >= 0 && fill->fd != NGX_INVALID_FILE);

    if (ngx_current_msec - fill->woken >= NGX_HTTP_ACR_FILL_WAKE) {
        fill->woken = ngx_current_msec;
        all = 1;
    }

    waiting = fill->waiting;
    waiting.next->prev = &waiting;
    waiting.prev->next = &waiting;
    ngx_queue_init(&fill->waiting);

    while (!ngx_queue_empty(&waiting)) {
        q = ngx_queue_head(&waiting);
        follower = ngx_queue_data(q, ngx_http_acr_follower_t, queue);

        ngx_queue_remove(q);

        if (!all && (!file || now->mark <= follower->want)) {
            ngx_queue_insert_tail(&fill->waiting, q);
            continue;
        }

        ngx_queue_insert_tail(&fill->followers, q);

        follower->waiting = 0;
        follower->moved(follower->data);
    }
}


static void
ngx_http_acr_fill_tick(ngx_event_t *ev)
{
    ngx_uint_t                others;
    ngx_queue_t              *q;
    ngx_http_acr_fill_t      *fill;
    ngx_http_acr_registry_t  *registry;

    registry = ev->data;

    if (ngx_queue_empty(&registry->fills)) {
        return;
    }

    others = 0;

    for (q = ngx_queue_head(&registry->fills);
         q != ngx_queue_sentinel(&registry->fills);
         q = ngx_queue_next(q))
    {
        fill = ngx_queue_data(q, ngx_http_acr_fill_t, queue);

        ngx_http_acr_fill_moved(fill);

        if (fill->filler == NULL) {
            others = 1;
        }
    }

    ngx_http_acr_fill_tick_in(registry, others ? NGX_HTTP_ACR_FILL_TICK
                                               : NGX_HTTP_ACR_FILL_LOOK);
}


/* in ms at most; nginx does not move a timer by less than 300 ms */

static void
ngx_http_acr_fill_tick_in(ngx_http_acr_registry_t *registry, ngx_msec_t ms)
{
    ngx_event_t  *ev;

    ev = &registry->fill_tick;

    if (ev->timer_set) {

        if ((ngx_msec_int_t) (ev->timer.key - ngx_current_msec)
            <= (ngx_msec_int_t) ms)
        {
            return;
        }

        ngx_del_timer(ev);
    }

    ngx_add_timer(ev, ms);
}


void
ngx_http_acr_fill_release(ngx_http_acr_fill_t *fill)
{
    if (--fill->busy == 0) {
        ngx_http_acr_fill_destroy(fill);
    }
}


static void
ngx_http_acr_fill_destroy(ngx_http_acr_fill_t *fill)
{
    if (fill->moved.posted) {
        ngx_delete_posted_event(&fill->moved);
    }

    if (fill->fd != NGX_INVALID_FILE && ngx_close_file(fill->fd) == -1) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                      "acr: close() of a fill failed, digest: \"%V\"",
                      &fill->text);
    }

    ngx_queue_remove(&fill->queue);

    ngx_destroy_pool(fill->pool);
}
