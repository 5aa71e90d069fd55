
/*
 * A scrub: reads all content, at acr_scrub_rate, and compares it with its
 * digests.  What is broken is moved away and noted in the index, so that nobody
 * is given it, or told that it is there; a push of it heals it.
 */

#include "ngx_http_acr_work.h"


/* what a thread reads, or looks at, before it lets others go on */
#define NGX_HTTP_ACR_SCRUB_BYTES  (4 * 1024 * 1024)
#define NGX_HTTP_ACR_SCRUB_FILES  256


enum {
    NGX_HTTP_ACR_SCRUB_BLOBS = 0,
    NGX_HTTP_ACR_SCRUB_READ,
    NGX_HTTP_ACR_SCRUB_BROKEN,
    NGX_HTTP_ACR_SCRUB_FAILED
};


static ngx_http_acr_work_counter_t  ngx_http_acr_scrub_counters[] = {
    { "blobs", NGX_HTTP_ACR_C_SCRUBBED_BLOBS },
    { "bytes", NGX_HTTP_ACR_C_SCRUBBED_BYTES },
    { "broken", NGX_HTTP_ACR_C_SCRUB_BROKEN },
    { "failed", NGX_HTTP_ACR_WORK_UNCOUNTED },
    { NULL, 0 }
};


typedef struct {
    ngx_http_acr_work_t            work;

    ngx_http_acr_store_blobs_t    *blobs;      /* or NULL: not begun */
    ngx_http_acr_store_verify_t   *verify;     /* of the digest, or NULL */
    acr_digest_t                   digest;
    ngx_http_acr_task_t            task;
    ngx_event_t                    timer;
    ngx_msec_t                     began;      /* the slice */
    off_t                          slice;      /* bytes of a slice at most */
    off_t                          read;       /* in the slice */
    off_t                          done;       /* of the digest */
    int                            lock;       /* of the digest, or -1 */

    unsigned                       broken:1;   /* it is, and was moved away */
    unsigned                       last:1;     /* there are no more */
} ngx_http_acr_scrub_t;


static void ngx_http_acr_scrub_taken(ngx_http_acr_work_t *work,
    ngx_int_t rc);
static void ngx_http_acr_scrub_slice(ngx_http_acr_scrub_t *scrub);
static ngx_int_t ngx_http_acr_scrub_read(void *data, ngx_log_t *log);
static ngx_int_t ngx_http_acr_scrub_open(ngx_http_acr_scrub_t *scrub,
    ngx_log_t *log);
static void ngx_http_acr_scrub_part(ngx_http_acr_scrub_t *scrub,
    ngx_log_t *log);
static void ngx_http_acr_scrub_bad(ngx_http_acr_scrub_t *scrub,
    ngx_log_t *log);
static void ngx_http_acr_scrub_have(void *data, ngx_int_t rc);
static void ngx_http_acr_scrub_told(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_scrub_noted(ngx_http_acr_work_t *work,
    ngx_int_t rc);
static void ngx_http_acr_scrub_timer(ngx_event_t *ev);
static void ngx_http_acr_scrub_stop(ngx_http_acr_scrub_t *scrub,
    ngx_uint_t done);


void
ngx_http_acr_scrub(ngx_http_acr_registry_t *registry, ngx_uint_t *busy)
{
    ngx_http_acr_scrub_t  *scrub;

    scrub = ngx_http_acr_work_create(registry, "scrub",
                                     ngx_http_acr_scrub_counters,
                                     sizeof(ngx_http_acr_scrub_t), busy);
    if (scrub == NULL) {
        return;
    }

    scrub->lock = -1;
    scrub->slice = NGX_HTTP_ACR_SCRUB_BYTES;

    /*
     * A pause of more than a second would cost the lease, and keep a worker
     * that exits.
     */

    if (registry->scrub_rate
        && registry->scrub_rate < NGX_HTTP_ACR_SCRUB_BYTES)
    {
        scrub->slice = (off_t) registry->scrub_rate;
    }

    scrub->task.data = scrub;
    scrub->task.work = ngx_http_acr_scrub_read;
    scrub->task.done = ngx_http_acr_scrub_have;

    scrub->timer.data = scrub;
    scrub->timer.handler = ngx_http_acr_scrub_timer;
    scrub->timer.log = ngx_cycle->log;

    ngx_http_acr_work_take(&scrub->work, registry->scrub_interval,
                           ngx_http_acr_scrub_taken);
}


static void
ngx_http_acr_scrub_taken(ngx_http_acr_work_t *work, ngx_int_t rc)
{
    if (rc != NGX_OK) {
        ngx_http_acr_scrub_stop((ngx_http_acr_scrub_t *) work, 0);
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "acr: scrub of \"%V\" %s", &work->registry->store.root,
                  work->at_len ? "goes on" : "begins");

    ngx_http_acr_scrub_slice((ngx_http_acr_scrub_t *) work);
}


static void
ngx_http_acr_scrub_slice(ngx_http_acr_scrub_t *scrub)
{
    scrub->began = ngx_current_msec;

    if (ngx_http_acr_task_post(&scrub->task, scrub->work.registry->slow)
        != NGX_OK)
    {
        ngx_http_acr_scrub_stop(scrub, 0);
    }
}


/* one slice; it ends early when something broken was found */

static ngx_int_t
ngx_http_acr_scrub_read(void *data, ngx_log_t *log)
{
    ngx_http_acr_scrub_t *scrub = data;

    ngx_int_t   rc;
    ngx_uint_t  files;

    scrub->read = 0;
    scrub->broken = 0;

    files = 0;

    while (scrub->read < scrub->slice
           && files < NGX_HTTP_ACR_SCRUB_FILES
           && !scrub->broken)
    {
        if (scrub->verify == NULL) {
            files++;

            rc = ngx_http_acr_scrub_open(scrub, log);

            if (rc == NGX_DONE) {
                scrub->last = 1;
                return NGX_OK;
            }

            if (rc == NGX_DECLINED) {
                continue;
            }

            if (rc != NGX_OK) {
                return rc;
            }
        }

        ngx_http_acr_scrub_part(scrub, log);
    }

    return NGX_OK;
}


/* the next file: NGX_DECLINED if it cannot be opened, NGX_DONE at the end */

static ngx_int_t
ngx_http_acr_scrub_open(ngx_http_acr_scrub_t *scrub, ngx_log_t *log)
{
    char                   at[NGX_HTTP_ACR_STORE_AT];
    off_t                  size;
    ngx_int_t              rc;
    ngx_http_acr_store_t  *store;

    store = &scrub->work.registry->store;

    if (scrub->blobs == NULL) {

        at[0] = '\0';

        if (scrub->work.at_len < sizeof(at)) {
            ngx_memcpy(at, scrub->work.at, scrub->work.at_len);
            at[scrub->work.at_len] = '\0';
        }

        scrub->blobs = ngx_http_acr_store_blobs_open(store,
                                                     at[0] ? at : NULL, log);
        if (scrub->blobs == NULL) {
            return NGX_ENOMEM;
        }
    }

    rc = ngx_http_acr_store_blobs_next(scrub->blobs, &scrub->digest, &size,
                                       log);
    if (rc == NGX_DONE) {
        return rc;
    }

    /* a directory that cannot be read is no reason not to read the others */

    if (rc != NGX_OK) {
        scrub->work.counted[NGX_HTTP_ACR_SCRUB_FAILED]++;
        return NGX_DECLINED;
    }

    ngx_http_acr_store_blobs_at(scrub->blobs, at);

    scrub->work.at_len = ngx_strlen(at);
    ngx_memcpy(scrub->work.at, at, scrub->work.at_len);

    rc = ngx_http_acr_store_verify_open(store, &scrub->digest, &scrub->verify,
                                        log);

    if (rc != NGX_OK) {
        scrub->verify = NULL;
    }

    switch (rc) {

    case NGX_OK:
    case NGX_DECLINED:
        return rc;

    case EIO:
        ngx_http_acr_scrub_bad(scrub, log);
        return NGX_DECLINED;

    default:
        scrub->work.counted[NGX_HTTP_ACR_SCRUB_FAILED]++;
        return NGX_DECLINED;
    }
}


static void
ngx_http_acr_scrub_part(ngx_http_acr_scrub_t *scrub, ngx_log_t *log)
{
    off_t      n;
    ngx_int_t  rc;

    rc = ngx_http_acr_store_verify_step(scrub->verify,
                                        scrub->slice - scrub->read, &n, log);
    scrub->read += n - scrub->done;
    scrub->work.counted[NGX_HTTP_ACR_SCRUB_READ] += n - scrub->done;
    scrub->done = n;

    if (rc == NGX_AGAIN) {
        return;
    }

    ngx_http_acr_store_verify_close(scrub->verify);

    scrub->verify = NULL;
    scrub->done = 0;
    scrub->work.counted[NGX_HTTP_ACR_SCRUB_BLOBS]++;

    if (rc == NGX_ABORT || rc == EIO) {
        ngx_http_acr_scrub_bad(scrub, log);

    } else if (rc != NGX_OK) {
        scrub->work.counted[NGX_HTTP_ACR_SCRUB_FAILED]++;
    }
}


/* it may have been healed meanwhile, or removed */

static void
ngx_http_acr_scrub_bad(ngx_http_acr_scrub_t *scrub, ngx_log_t *log)
{
    ngx_int_t  rc;

    rc = ngx_http_acr_store_quarantine(&scrub->work.registry->store,
                                       &scrub->digest, &scrub->lock, log);

    if (rc == NGX_OK) {
        scrub->broken = 1;
        scrub->work.counted[NGX_HTTP_ACR_SCRUB_BROKEN]++;

    } else if (rc != NGX_DECLINED) {
        scrub->work.counted[NGX_HTTP_ACR_SCRUB_FAILED]++;
    }
}


static void
ngx_http_acr_scrub_have(void *data, ngx_int_t rc)
{
    ngx_http_acr_scrub_t *scrub = data;

    u_char     text[ACR_DIGEST_MAX];
    ngx_str_t  digest;

    if (rc != NGX_OK) {
        ngx_http_acr_scrub_stop(scrub, 0);
        return;
    }

    if (!scrub->broken) {
        ngx_http_acr_work_go_on(&scrub->work, scrub->last,
                                ngx_http_acr_scrub_noted);
        return;
    }

    digest.data = text;
    digest.len = acr_digest_print(text, &scrub->digest);

    ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                  "acr: scrub: \"%V\" of \"%V\" is broken, and was moved to "
                  "acr/quarantine: push it again", &digest,
                  &scrub->work.registry->store.root);

    if (ngx_http_acr_meta_call(scrub->work.registry->meta, ACR_SCRIPT_BROKEN,
                               &digest, 1, ngx_http_acr_scrub_told, scrub)
        != NGX_OK)
    {
        ngx_http_acr_scrub_stop(scrub, 0);
    }
}


/*
 * If Redis could not be told it still says that the blob is there; its file is
 * not, so nobody is given it.
 */

static void
ngx_http_acr_scrub_told(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_scrub_t *scrub = data;

    /* a push of the digest may heal it from here on */

    ngx_http_acr_store_unlock(&scrub->lock, ngx_cycle->log);

    ngx_http_acr_work_go_on(&scrub->work, 1, ngx_http_acr_scrub_noted);
}


static void
ngx_http_acr_scrub_noted(ngx_http_acr_work_t *work, ngx_int_t rc)
{
    ngx_uint_t             *counted;
    ngx_msec_t              passed, pause;
    ngx_http_acr_scrub_t   *scrub;

    scrub = (ngx_http_acr_scrub_t *) work;

    if (rc != NGX_OK) {
        ngx_http_acr_scrub_stop(scrub, 0);
        return;
    }

    if (scrub->last) {
        counted = work->counted;

        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "acr: scrub of \"%V\" is complete: %ui blobs of %ui "
                      "bytes, %ui were broken, %ui could not be read",
                      &work->registry->store.root,
                      counted[NGX_HTTP_ACR_SCRUB_BLOBS],
                      counted[NGX_HTTP_ACR_SCRUB_READ],
                      counted[NGX_HTTP_ACR_SCRUB_BROKEN],
                      counted[NGX_HTTP_ACR_SCRUB_FAILED]);

        ngx_http_acr_scrub_stop(scrub, 1);
        return;
    }

    pause = 0;

    if (work->registry->scrub_rate) {
        pause = (ngx_msec_t) (scrub->read * 1000
                              / (off_t) work->registry->scrub_rate);
        passed = ngx_current_msec - scrub->began;
        pause = (pause > passed) ? pause - passed : 0;
    }

    ngx_add_timer(&scrub->timer, pause);
}


static void
ngx_http_acr_scrub_timer(ngx_event_t *ev)
{
    ngx_http_acr_scrub_slice(ev->data);
}


static void
ngx_http_acr_scrub_stop(ngx_http_acr_scrub_t *scrub, ngx_uint_t done)
{
    ngx_http_acr_store_unlock(&scrub->lock, ngx_cycle->log);

    if (scrub->verify) {
        ngx_http_acr_store_verify_close(scrub->verify);
    }

    if (scrub->blobs) {
        ngx_http_acr_store_blobs_close(scrub->blobs);
    }

    ngx_http_acr_work_end(&scrub->work, done);
}
