
/*
 * All repositories of a volume: those that the directory has, some at a time,
 * then those that only Redis has.  When none is left that is not current, Redis
 * is complete.
 *
 * A directory that cannot be read may have repositories that nobody knows of:
 * as long as there is one, Redis stays behind, so that nothing is collected
 * that only they need, and all is walked again, later and later.
 */

#include "ngx_http_acr_rebuild.h"
#include "ngx_http_acr_work.h"


/* repositories that are rebuilt at once, and names that are read at once */
#define NGX_HTTP_ACR_VOLUME_JOBS    6
#define NGX_HTTP_ACR_VOLUME_NAMES   64

/* while another one has a repository under way, or one cannot be rebuilt; it
   doubles each time */
#define NGX_HTTP_ACR_VOLUME_RETRY   200      /* ms */
#define NGX_HTTP_ACR_VOLUME_LATER   30000

/* the same while a directory cannot be read */
#define NGX_HTTP_ACR_VOLUME_UNREAD  1000     /* ms */
#define NGX_HTTP_ACR_VOLUME_RARELY  60000

#define NGX_HTTP_ACR_VOLUME_LOG     10       /* s between lines */


enum {
    NGX_HTTP_ACR_VOLUME_REPOSITORIES = 0,
    NGX_HTTP_ACR_VOLUME_MANIFESTS,
    NGX_HTTP_ACR_VOLUME_BLOBS,
    NGX_HTTP_ACR_VOLUME_TAGS,
    NGX_HTTP_ACR_VOLUME_SKIPPED,
    NGX_HTTP_ACR_VOLUME_FAILED
};


static ngx_http_acr_work_counter_t  ngx_http_acr_volume_counters[] = {
    { "repositories", NGX_HTTP_ACR_C_REBUILT_REPOSITORIES },
    { "manifests", NGX_HTTP_ACR_C_REBUILT_MANIFESTS },
    { "blobs", NGX_HTTP_ACR_WORK_UNCOUNTED },
    { "tags", NGX_HTTP_ACR_WORK_UNCOUNTED },
    { "skipped", NGX_HTTP_ACR_WORK_UNCOUNTED },
    { "failed", NGX_HTTP_ACR_WORK_UNCOUNTED },
    { NULL, 0 }
};


typedef struct {
    ngx_http_acr_work_t          work;

    ngx_http_acr_store_walk_t   *walk;       /* or NULL: not begun */
    ngx_str_t                    names[NGX_HTTP_ACR_VOLUME_NAMES];
    u_char                       text[NGX_HTTP_ACR_VOLUME_NAMES]
                                     [ACR_NAME_MAX];
    ngx_uint_t                   nnames;
    ngx_uint_t                   next;       /* of them */
    ngx_uint_t                   jobs;       /* repositories under way */

    ngx_str_t                    last;       /* where the rest goes on */
    u_char                       last_text[ACR_NAME_MAX];
    ngx_uint_t                   found;      /* in this pass over the rest */

    ngx_http_acr_task_t          task;       /* reads names */
    ngx_event_t                  beat;       /* timer: notes, and logs */
    ngx_event_t                  retry;      /* timer: the rest again */
    ngx_msec_t                   delay;      /* of it */
    time_t                       logged;

    ngx_uint_t                   walked;     /* to the end of the directory;
                                                written by the thread */
    ngx_uint_t                   unread;     /* directories of this walk that
                                                could not be read; the same */
    ngx_uint_t                   skipped;    /* the most of any walk */
    unsigned                     again:1;    /* it is not the first walk */
    unsigned                     passed:1;   /* to the end of the rest */
    unsigned                     missed:1;   /* one was not rebuilt: Redis need
                                                not know that it is there */
    unsigned                     asking:1;   /* a question is under way */
    unsigned                     noting:1;   /* so is a note */
    unsigned                     lost:1;     /* it is not ours any more */
} ngx_http_acr_volume_t;


static void ngx_http_acr_volume_taken(ngx_http_acr_work_t *work,
    ngx_int_t rc);
static void ngx_http_acr_volume_step(ngx_http_acr_volume_t *volume);
static void ngx_http_acr_volume_walk_again(ngx_http_acr_volume_t *volume);
static ngx_uint_t ngx_http_acr_volume_waits(ngx_http_acr_volume_t *volume);
static void ngx_http_acr_volume_feed(ngx_http_acr_volume_t *volume);
static void ngx_http_acr_volume_done(void *data, ngx_int_t rc,
    ngx_http_acr_rebuild_counts_t *counts);
static ngx_int_t ngx_http_acr_volume_read(void *data, ngx_log_t *log);
static void ngx_http_acr_volume_have(void *data, ngx_int_t rc);
static void ngx_http_acr_volume_ask(ngx_http_acr_volume_t *volume,
    ngx_uint_t script, ngx_str_t *args, ngx_uint_t n,
    ngx_http_acr_meta_pt handler);
static void ngx_http_acr_volume_rest(ngx_http_acr_volume_t *volume);
static void ngx_http_acr_volume_rest_found(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_volume_name(ngx_http_acr_volume_t *volume,
    ngx_str_t *name);
static void ngx_http_acr_volume_finished(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_volume_beat(ngx_event_t *ev);
static void ngx_http_acr_volume_noted(ngx_http_acr_work_t *work,
    ngx_int_t rc);
static void ngx_http_acr_volume_again(ngx_http_acr_volume_t *volume);
static void ngx_http_acr_volume_retry(ngx_event_t *ev);
static void ngx_http_acr_volume_log(ngx_http_acr_volume_t *volume,
    const char *what);
static void ngx_http_acr_volume_end(ngx_http_acr_volume_t *volume,
    ngx_uint_t done);


void
ngx_http_acr_rebuild_volume(ngx_http_acr_registry_t *registry,
    ngx_uint_t *busy)
{
    ngx_http_acr_volume_t  *volume;

    volume = ngx_http_acr_work_create(registry, "rebuild",
                                      ngx_http_acr_volume_counters,
                                      sizeof(ngx_http_acr_volume_t), busy);
    if (volume == NULL) {
        return;
    }

    volume->task.data = volume;
    volume->task.work = ngx_http_acr_volume_read;
    volume->task.done = ngx_http_acr_volume_have;

    volume->beat.data = volume;
    volume->beat.handler = ngx_http_acr_volume_beat;
    volume->beat.log = ngx_cycle->log;

    volume->retry.data = volume;
    volume->retry.handler = ngx_http_acr_volume_retry;
    volume->retry.log = ngx_cycle->log;

    ngx_http_acr_work_take(&volume->work, 0,
                           ngx_http_acr_volume_taken);
}


static void
ngx_http_acr_volume_taken(ngx_http_acr_work_t *work, ngx_int_t rc)
{
    ngx_http_acr_volume_t  *volume;

    volume = (ngx_http_acr_volume_t *) work;

    if (rc != NGX_OK) {
        ngx_http_acr_volume_end(volume, 0);
        return;
    }

    volume->logged = ngx_time();

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "acr: rebuild of \"%V\" begins",
                  &work->registry->store.root);

    ngx_add_timer(&volume->beat, NGX_HTTP_ACR_WORK_NOTE);

    ngx_http_acr_volume_step(volume);
}


/* whatever has happened: what is to be done now? */

static void
ngx_http_acr_volume_step(ngx_http_acr_volume_t *volume)
{
    if (volume->lost || ngx_exiting) {

        if (!ngx_http_acr_volume_waits(volume)) {
            ngx_http_acr_volume_end(volume, 0);
        }

        return;
    }

    ngx_http_acr_volume_feed(volume);

    if (ngx_http_acr_volume_waits(volume) || volume->retry.timer_set) {
        return;
    }

    if (!volume->walked) {

        if (ngx_http_acr_task_post(&volume->task,
                                   volume->work.registry->slow)
            != NGX_OK)
        {
            volume->lost = 1;
            ngx_http_acr_volume_end(volume, 0);
        }

        return;
    }

    if (!volume->passed) {
        ngx_http_acr_volume_rest(volume);
        return;
    }

    volume->passed = 0;

    if (volume->found) {

        /* somebody has them under way, or they could not be rebuilt */

        ngx_http_acr_volume_again(volume);
        return;
    }

    if (volume->missed) {
        ngx_http_acr_volume_walk_again(volume);
        return;
    }

    ngx_http_acr_volume_ask(volume, ACR_SCRIPT_REBUILD_DONE,
                            &volume->work.owner, 1,
                            ngx_http_acr_volume_finished);
}


/*
 * The rest names what Redis has or has begun.  A repository whose first call
 * failed may be in the directory only, and so may all that is in one that could
 * not be read.  So that is walked once more; what is current by now costs a
 * call.
 */

static void
ngx_http_acr_volume_walk_again(ngx_http_acr_volume_t *volume)
{
    if (volume->walk) {
        ngx_http_acr_store_walk_close(volume->walk);
        volume->walk = NULL;
    }

    if (volume->unread) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "acr: rebuild of \"%V\": %ui directories could not be "
                      "read: Redis stays behind until they can be",
                      &volume->work.registry->store.root, volume->unread);
    }

    ngx_http_acr_volume_again(volume);

    volume->missed = 0;
    volume->walked = 0;
    volume->unread = 0;
    volume->again = 1;
}


static ngx_uint_t
ngx_http_acr_volume_waits(ngx_http_acr_volume_t *volume)
{
    return volume->jobs || volume->asking || volume->noting
           || volume->task.active;
}


static void
ngx_http_acr_volume_feed(ngx_http_acr_volume_t *volume)
{
    ngx_int_t  rc;

    /* the thread is making the list */

    if (volume->task.active) {
        return;
    }

    while (volume->jobs < NGX_HTTP_ACR_VOLUME_JOBS
           && volume->next < volume->nnames)
    {
        rc = ngx_http_acr_rebuild_repository(volume->work.registry,
                                             &volume->names[volume->next++],
                                             ngx_http_acr_volume_done,
                                             volume);
        if (rc == NGX_OK) {
            volume->jobs++;

        } else {
            volume->missed = 1;
        }
    }
}


static void
ngx_http_acr_volume_done(void *data, ngx_int_t rc,
    ngx_http_acr_rebuild_counts_t *counts)
{
    ngx_http_acr_volume_t *volume = data;

    ngx_uint_t  *counted;

    counted = volume->work.counted;

    if (rc == NGX_OK) {

        /* another walk meets those of the walk before */

        if (!counts->current || !volume->again) {
            counted[NGX_HTTP_ACR_VOLUME_REPOSITORIES]++;
        }

        counted[NGX_HTTP_ACR_VOLUME_MANIFESTS] += counts->manifests;
        counted[NGX_HTTP_ACR_VOLUME_BLOBS] += counts->blobs;
        counted[NGX_HTTP_ACR_VOLUME_TAGS] += counts->tags;
        counted[NGX_HTTP_ACR_VOLUME_SKIPPED] += counts->skipped;

    } else {
        counted[NGX_HTTP_ACR_VOLUME_FAILED]++;
        volume->missed = 1;
    }

    volume->jobs--;

    ngx_http_acr_volume_step(volume);
}


static ngx_int_t
ngx_http_acr_volume_read(void *data, ngx_log_t *log)
{
    ngx_http_acr_volume_t *volume = data;

    ngx_int_t   rc;
    ngx_str_t   name;
    ngx_uint_t  n;

    volume->nnames = 0;
    volume->next = 0;

    if (volume->walk == NULL) {
        volume->walk = ngx_http_acr_store_walk_open(
                                         &volume->work.registry->store, log);
        if (volume->walk == NULL) {
            return NGX_ENOMEM;
        }
    }

    /* what cannot be read counts too, so that a slice ends */

    for (n = 0; n < NGX_HTTP_ACR_VOLUME_NAMES; n++) {

        rc = ngx_http_acr_store_walk_next(volume->walk, &name, log);

        if (rc == NGX_OK) {
            ngx_http_acr_volume_name(volume, &name);
            continue;
        }

        if (rc == NGX_DONE) {
            volume->walked = 1;
            return NGX_OK;
        }

        volume->unread++;
    }

    return NGX_OK;
}


static void
ngx_http_acr_volume_have(void *data, ngx_int_t rc)
{
    ngx_http_acr_volume_t *volume = data;

    ngx_uint_t  more;

    volume->unread += (rc != NGX_OK);

    /* what one walk after the other cannot read is counted once */

    if (volume->unread > volume->skipped) {
        more = volume->unread - volume->skipped;
        volume->skipped = volume->unread;

        volume->work.counted[NGX_HTTP_ACR_VOLUME_SKIPPED] += more;
    }

    if (rc != NGX_OK) {

        /* the rest is not to be asked for: without the directory of all, what
           Redis has would be taken for removed */

        ngx_http_acr_volume_walk_again(volume);

    } else if (volume->unread) {
        volume->missed = 1;
    }

    ngx_http_acr_volume_step(volume);
}


static void
ngx_http_acr_volume_ask(ngx_http_acr_volume_t *volume, ngx_uint_t script,
    ngx_str_t *args, ngx_uint_t n, ngx_http_acr_meta_pt handler)
{
    if (ngx_http_acr_meta_call(volume->work.registry->meta, script, args, n,
                               handler, volume)
        == NGX_OK)
    {
        volume->asking = 1;
        return;
    }

    volume->lost = 1;
    ngx_http_acr_volume_end(volume, 0);
}


/* repositories that Redis has, and that are not current */

static void
ngx_http_acr_volume_rest(ngx_http_acr_volume_t *volume)
{
    u_char     number[NGX_INT_T_LEN];
    ngx_str_t  args[2];

    args[0] = volume->last;

    args[1].data = number;
    args[1].len = ngx_sprintf(number, "%ui",
                              (ngx_uint_t) NGX_HTTP_ACR_VOLUME_NAMES)
                  - number;

    ngx_http_acr_volume_ask(volume, ACR_SCRIPT_REBUILD_REST, args, 2,
                            ngx_http_acr_volume_rest_found);
}


static void
ngx_http_acr_volume_rest_found(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_volume_t *volume = data;

    ngx_str_t   *last;
    ngx_uint_t   i;

    volume->asking = 0;

    if (reply->status != NGX_HTTP_ACR_META_OK || reply->n < 2
        || reply->v[1].len > ACR_NAME_MAX)
    {
        volume->lost = 1;
        ngx_http_acr_volume_step(volume);
        return;
    }

    volume->passed = !(reply->v[0].len == 1 && reply->v[0].data[0] == '1');

    last = &reply->v[1];
    volume->last.data = volume->last_text;
    volume->last.len = last->len;
    ngx_memcpy(volume->last_text, last->data, last->len);

    volume->nnames = 0;
    volume->next = 0;

    /* what is one too many is found in the next pass */

    for (i = 2; i < reply->n; i++) {
        volume->found++;

        if (volume->nnames < NGX_HTTP_ACR_VOLUME_NAMES
            && acr_name_valid(reply->v[i].data, reply->v[i].len))
        {
            ngx_http_acr_volume_name(volume, &reply->v[i]);
        }
    }

    ngx_http_acr_volume_step(volume);
}


static void
ngx_http_acr_volume_name(ngx_http_acr_volume_t *volume, ngx_str_t *name)
{
    ngx_uint_t  n;

    n = volume->nnames++;

    volume->names[n].data = volume->text[n];
    volume->names[n].len = name->len;
    ngx_memcpy(volume->text[n], name->data, name->len);
}


static void
ngx_http_acr_volume_finished(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_volume_t *volume = data;

    volume->asking = 0;

    switch (reply->status) {

    case NGX_HTTP_ACR_META_OK:
        ngx_http_acr_volume_log(volume, "is complete");
        ngx_http_acr_volume_end(volume, 1);
        return;

    case NGX_HTTP_ACR_META_BUSY:
        ngx_http_acr_volume_again(volume);
        return;

    default:
        volume->lost = 1;
        ngx_http_acr_volume_step(volume);
    }
}


static void
ngx_http_acr_volume_beat(ngx_event_t *ev)
{
    ngx_http_acr_volume_t  *volume;

    volume = ev->data;

    ngx_add_timer(ev, NGX_HTTP_ACR_WORK_NOTE);

    if (ngx_time() - volume->logged >= NGX_HTTP_ACR_VOLUME_LOG) {
        ngx_http_acr_volume_log(volume, "goes on");
    }

    if (!volume->noting && !volume->asking) {
        volume->noting = 1;
        ngx_http_acr_work_go_on(&volume->work, 1, ngx_http_acr_volume_noted);
    }
}


static void
ngx_http_acr_volume_noted(ngx_http_acr_work_t *work, ngx_int_t rc)
{
    ngx_http_acr_volume_t  *volume;

    volume = (ngx_http_acr_volume_t *) work;

    volume->noting = 0;
    volume->lost |= (rc == NGX_DECLINED);

    ngx_http_acr_volume_step(volume);
}


/* one more pass over the rest */

static void
ngx_http_acr_volume_again(ngx_http_acr_volume_t *volume)
{
    ngx_msec_t  first, last;

    volume->found = 0;
    volume->last.len = 0;

    if (volume->unread) {
        first = NGX_HTTP_ACR_VOLUME_UNREAD;
        last = NGX_HTTP_ACR_VOLUME_RARELY;

    } else {
        first = NGX_HTTP_ACR_VOLUME_RETRY;
        last = NGX_HTTP_ACR_VOLUME_LATER;
    }

    volume->delay = ngx_max(ngx_min(2 * volume->delay, last), first);

    ngx_add_timer(&volume->retry, volume->delay);
}


static void
ngx_http_acr_volume_retry(ngx_event_t *ev)
{
    ngx_http_acr_volume_step(ev->data);
}


static void
ngx_http_acr_volume_log(ngx_http_acr_volume_t *volume, const char *what)
{
    ngx_uint_t  *counted;

    counted = volume->work.counted;
    volume->logged = ngx_time();

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "acr: rebuild of \"%V\" %s: %ui repositories, "
                  "%ui manifests, %ui blobs, %ui tags, %ui passed over, "
                  "%ui to be tried again, in %T s",
                  &volume->work.registry->store.root, what,
                  counted[NGX_HTTP_ACR_VOLUME_REPOSITORIES],
                  counted[NGX_HTTP_ACR_VOLUME_MANIFESTS],
                  counted[NGX_HTTP_ACR_VOLUME_BLOBS],
                  counted[NGX_HTTP_ACR_VOLUME_TAGS],
                  counted[NGX_HTTP_ACR_VOLUME_SKIPPED],
                  counted[NGX_HTTP_ACR_VOLUME_FAILED],
                  ngx_time() - volume->work.started);
}


static void
ngx_http_acr_volume_end(ngx_http_acr_volume_t *volume, ngx_uint_t done)
{
    if (volume->walk) {
        ngx_http_acr_store_walk_close(volume->walk);
        volume->walk = NULL;
    }

    if (volume->beat.timer_set) {
        ngx_del_timer(&volume->beat);
    }

    if (volume->retry.timer_set) {
        ngx_del_timer(&volume->retry);
    }

    ngx_http_acr_work_end(&volume->work, done);
}
