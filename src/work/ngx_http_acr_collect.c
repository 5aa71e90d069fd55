
/*
 * A run of the collector, in slices, so that it costs others little and holds
 * no list of what there is:
 *
 *   orphans     files in blobs/ that the index does not know become candidates
 *   untagged    manifests that have had no tag for acr_gc_untagged are removed
 *   candidates  blobs that no manifest needs leave their repository, and what
 *               no repository holds leaves the disk
 *
 * Asked for "dry_run", it only counts what the last would remove now.
 */

#include "ngx_http_acr_collect.h"
#include "../ngx_http_acr_settle.h"


#define NGX_HTTP_ACR_COLLECT_FILES   500     /* that are looked up at once */
#define NGX_HTTP_ACR_COLLECT_SLICE   32      /* that are removed at once */
#define NGX_HTTP_ACR_COLLECT_REPORT  300     /* that are counted at once */

#define NGX_HTTP_ACR_COLLECT_ENTRY   (ACR_NAME_MAX + 1 + ACR_DIGEST_MAX)


enum {
    NGX_HTTP_ACR_COLLECT_ORPHANS = 0,
    NGX_HTTP_ACR_COLLECT_MANIFESTS,
    NGX_HTTP_ACR_COLLECT_LINKS,
    NGX_HTTP_ACR_COLLECT_BLOBS,
    NGX_HTTP_ACR_COLLECT_BYTES,
    NGX_HTTP_ACR_COLLECT_KEPT,
    NGX_HTTP_ACR_COLLECT_FAILED
};


static ngx_http_acr_work_counter_t  ngx_http_acr_collect_counters[] = {
    { "orphans", NGX_HTTP_ACR_WORK_UNCOUNTED },
    { "manifests", NGX_HTTP_ACR_C_COLLECTED_MANIFESTS },
    { "links", NGX_HTTP_ACR_C_COLLECTED_LINKS },
    { "blobs", NGX_HTTP_ACR_C_COLLECTED_BLOBS },
    { "bytes", NGX_HTTP_ACR_C_COLLECTED_BYTES },
    { "kept", NGX_HTTP_ACR_WORK_UNCOUNTED },
    { "failed", NGX_HTTP_ACR_WORK_UNCOUNTED },
    { NULL, 0 }
};


typedef struct ngx_http_acr_collect_s  ngx_http_acr_collect_t;

typedef void (*ngx_http_acr_collect_pt)(ngx_http_acr_collect_t *run);


/* an entry of a slice: a link or a manifest of a repository, or a digest */

typedef struct {
    ngx_http_acr_collect_t      *run;
    ngx_str_t                    repository;  /* empty: none */
    ngx_str_t                    digest;
    u_char                       text[NGX_HTTP_ACR_COLLECT_ENTRY];
} ngx_http_acr_collect_entry_t;


struct ngx_http_acr_collect_s {
    ngx_http_acr_work_t          work;
    ngx_http_acr_collect_pt      phase;

    ngx_http_acr_store_blobs_t  *blobs;       /* or NULL: not begun */
    acr_digest_t                *digests;     /* that a thread has found */
    ngx_uint_t                   ndigests;
    ngx_uint_t                   last;        /* there are no more */
    ngx_http_acr_task_t          task;

    ngx_http_acr_collect_entry_t entries[NGX_HTTP_ACR_COLLECT_SLICE];
    ngx_uint_t                   calls;       /* under way */
    ngx_uint_t                   removed;     /* of this slice */
    ngx_uint_t                   offset;      /* of a report */
};


static void ngx_http_acr_collect_taken(ngx_http_acr_work_t *work,
    ngx_int_t rc);
static void ngx_http_acr_collect_next(ngx_http_acr_collect_t *run);
static void ngx_http_acr_collect_noted(ngx_http_acr_work_t *work,
    ngx_int_t rc);
static void ngx_http_acr_collect_call(ngx_http_acr_collect_t *run,
    ngx_uint_t script, ngx_str_t *args, ngx_uint_t n,
    ngx_http_acr_meta_pt handler);
static ngx_str_t *ngx_http_acr_collect_number(ngx_str_t *arg, u_char *buf,
    ngx_int_t n);

static void ngx_http_acr_collect_orphans(ngx_http_acr_collect_t *run);
static ngx_int_t ngx_http_acr_collect_read(void *data, ngx_log_t *log);
static void ngx_http_acr_collect_have(void *data, ngx_int_t rc);
static void ngx_http_acr_collect_added(void *data,
    ngx_http_acr_meta_reply_t *reply);

static void ngx_http_acr_collect_untagged(ngx_http_acr_collect_t *run);
static void ngx_http_acr_collect_candidates(ngx_http_acr_collect_t *run);
static void ngx_http_acr_collect_list(ngx_http_acr_collect_t *run,
    ngx_uint_t script, time_t age, ngx_http_acr_meta_pt handler);
static void ngx_http_acr_collect_untagged_due(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_collect_candidates_due(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_collect_due(ngx_http_acr_collect_t *run,
    ngx_http_acr_meta_reply_t *reply, ngx_uint_t script, time_t age,
    ngx_http_acr_meta_pt handler);
static ngx_int_t ngx_http_acr_collect_parse(
    ngx_http_acr_collect_entry_t *entry, ngx_str_t *text);
static ngx_int_t ngx_http_acr_collect_remove(
    ngx_http_acr_collect_entry_t *entry, ngx_uint_t script, time_t age,
    ngx_http_acr_meta_pt handler);
static void ngx_http_acr_collect_manifest_gone(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_collect_link_gone(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_collect_gone(ngx_http_acr_collect_entry_t *entry,
    ngx_http_acr_meta_reply_t *reply, ngx_uint_t counter);
static void ngx_http_acr_collect_settled(void *data, ngx_int_t rc);
static void ngx_http_acr_collect_freed(void *data, ngx_int_t rc,
    off_t freed);
static void ngx_http_acr_collect_over(ngx_http_acr_collect_t *run);

static void ngx_http_acr_collect_report(ngx_http_acr_collect_t *run);
static void ngx_http_acr_collect_reported(void *data,
    ngx_http_acr_meta_reply_t *reply);
static ngx_int_t ngx_http_acr_collect_sizes(void *data, ngx_log_t *log);
static void ngx_http_acr_collect_sized(void *data, ngx_int_t rc);

static void ngx_http_acr_collect_finish(ngx_http_acr_collect_t *run);
static void ngx_http_acr_collect_stop(ngx_http_acr_collect_t *run,
    ngx_uint_t done);


void
ngx_http_acr_collect(ngx_http_acr_registry_t *registry, ngx_uint_t *busy)
{
    ngx_http_acr_collect_t  *run;

    run = ngx_http_acr_work_create(registry, "gc",
                                   ngx_http_acr_collect_counters,
                                   sizeof(ngx_http_acr_collect_t), busy);
    if (run == NULL) {
        return;
    }

    run->digests = ngx_palloc(run->work.pool, NGX_HTTP_ACR_COLLECT_FILES
                                              * sizeof(acr_digest_t));
    if (run->digests == NULL) {
        ngx_http_acr_work_end(&run->work, 0);
        return;
    }

    run->task.data = run;

    ngx_http_acr_work_take(&run->work, registry->gc_interval,
                           ngx_http_acr_collect_taken);
}


static void
ngx_http_acr_collect_taken(ngx_http_acr_work_t *work, ngx_int_t rc)
{
    ngx_http_acr_collect_t  *run;

    run = (ngx_http_acr_collect_t *) work;

    if (rc != NGX_OK) {
        ngx_http_acr_collect_stop(run, 0);
        return;
    }

    run->phase = ngx_http_acr_collect_orphans;

    if (ngx_strnstr(work->request, "dry_run", work->request_len)) {
        run->phase = ngx_http_acr_collect_report;
    }

    run->phase(run);
}


/* a slice is over: what the phase does next, if the work is still ours */

static void
ngx_http_acr_collect_next(ngx_http_acr_collect_t *run)
{
    ngx_http_acr_work_go_on(&run->work, 0, ngx_http_acr_collect_noted);
}


static void
ngx_http_acr_collect_noted(ngx_http_acr_work_t *work, ngx_int_t rc)
{
    ngx_http_acr_collect_t  *run;

    run = (ngx_http_acr_collect_t *) work;

    if (rc != NGX_OK) {
        ngx_http_acr_collect_stop(run, 0);
        return;
    }

    run->phase(run);
}


static void
ngx_http_acr_collect_call(ngx_http_acr_collect_t *run, ngx_uint_t script,
    ngx_str_t *args, ngx_uint_t n, ngx_http_acr_meta_pt handler)
{
    if (ngx_http_acr_meta_call(run->work.registry->meta, script, args, n,
                               handler, run)
        != NGX_OK)
    {
        ngx_http_acr_collect_stop(run, 0);
    }
}


static ngx_str_t *
ngx_http_acr_collect_number(ngx_str_t *arg, u_char *buf, ngx_int_t n)
{
    arg->data = buf;
    arg->len = ngx_sprintf(buf, "%i", n) - buf;

    return arg;
}


/* --- orphans */

static void
ngx_http_acr_collect_orphans(ngx_http_acr_collect_t *run)
{
    if (run->last) {
        run->phase = ngx_http_acr_collect_untagged;
        run->phase(run);
        return;
    }

    run->task.work = ngx_http_acr_collect_read;
    run->task.done = ngx_http_acr_collect_have;

    if (ngx_http_acr_task_post(&run->task, run->work.registry->slow)
        != NGX_OK)
    {
        ngx_http_acr_collect_stop(run, 0);
    }
}


static ngx_int_t
ngx_http_acr_collect_read(void *data, ngx_log_t *log)
{
    ngx_http_acr_collect_t *run = data;

    char                   at[NGX_HTTP_ACR_STORE_AT];
    off_t                  size;
    ngx_int_t              rc;
    ngx_uint_t             failed;
    ngx_http_acr_store_t  *store;

    store = &run->work.registry->store;
    run->ndigests = 0;
    failed = 0;

    if (run->blobs == NULL) {

        at[0] = '\0';

        if (run->work.at_len < sizeof(at)) {
            ngx_memcpy(at, run->work.at, run->work.at_len);
            at[run->work.at_len] = '\0';
        }

        run->blobs = ngx_http_acr_store_blobs_open(store, at[0] ? at : NULL,
                                                   log);
        if (run->blobs == NULL) {
            return NGX_ENOMEM;
        }
    }

    while (run->ndigests + failed < NGX_HTTP_ACR_COLLECT_FILES) {

        rc = ngx_http_acr_store_blobs_next(run->blobs,
                                           &run->digests[run->ndigests],
                                           &size, log);
        if (rc == NGX_DONE) {
            run->last = 1;
            break;
        }

        /* what cannot be read is no reason to leave the rest to lie */

        if (rc != NGX_OK) {
            run->work.counted[NGX_HTTP_ACR_COLLECT_FAILED]++;
            failed++;
            continue;
        }

        run->ndigests++;
    }

    ngx_http_acr_store_blobs_at(run->blobs, at);

    run->work.at_len = ngx_strlen(at);
    ngx_memcpy(run->work.at, at, run->work.at_len);

    return NGX_OK;
}


static void
ngx_http_acr_collect_have(void *data, ngx_int_t rc)
{
    ngx_http_acr_collect_t *run = data;

    u_char      *text;
    ngx_int_t    sent;
    ngx_str_t   *args;
    ngx_uint_t   i;

    if (rc != NGX_OK) {
        ngx_http_acr_collect_stop(run, 0);
        return;
    }

    if (run->ndigests == 0) {
        ngx_http_acr_collect_next(run);
        return;
    }

    args = ngx_alloc(run->ndigests * (sizeof(ngx_str_t) + ACR_DIGEST_MAX),
                     ngx_cycle->log);

    if (args == NULL) {
        ngx_http_acr_collect_stop(run, 0);
        return;
    }

    text = (u_char *) &args[run->ndigests];

    for (i = 0; i < run->ndigests; i++) {
        args[i].data = text;
        args[i].len = acr_digest_print(text, &run->digests[i]);
        text += args[i].len;
    }

    sent = ngx_http_acr_meta_call(run->work.registry->meta,
                                  ACR_SCRIPT_GC_ORPHANS, args, run->ndigests,
                                  ngx_http_acr_collect_added, run);
    ngx_free(args);

    if (sent != NGX_OK) {
        ngx_http_acr_collect_stop(run, 0);
    }
}


static void
ngx_http_acr_collect_added(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_collect_t *run = data;

    ngx_int_t  n;

    if (reply->status != NGX_HTTP_ACR_META_OK || reply->n == 0) {
        ngx_http_acr_collect_stop(run, 0);
        return;
    }

    n = ngx_atoi(reply->v[0].data, reply->v[0].len);

    if (n != NGX_ERROR) {
        run->work.counted[NGX_HTTP_ACR_COLLECT_ORPHANS] += n;
    }

    ngx_http_acr_collect_next(run);
}


/* --- what is due */

static void
ngx_http_acr_collect_untagged(ngx_http_acr_collect_t *run)
{
    if (run->work.registry->gc_untagged == 0) {
        run->phase = ngx_http_acr_collect_candidates;
        run->phase(run);
        return;
    }

    ngx_http_acr_collect_list(run, ACR_SCRIPT_GC_UNTAGGED,
                              run->work.registry->gc_untagged,
                              ngx_http_acr_collect_untagged_due);
}


static void
ngx_http_acr_collect_candidates(ngx_http_acr_collect_t *run)
{
    ngx_http_acr_collect_list(run, ACR_SCRIPT_GC_DUE,
                              run->work.registry->gc_delay,
                              ngx_http_acr_collect_candidates_due);
}


static void
ngx_http_acr_collect_list(ngx_http_acr_collect_t *run, ngx_uint_t script,
    time_t age, ngx_http_acr_meta_pt handler)
{
    u_char     seconds[NGX_INT_T_LEN], n[NGX_INT_T_LEN];
    ngx_str_t  args[2];

    ngx_http_acr_collect_number(&args[0], seconds, age);
    ngx_http_acr_collect_number(&args[1], n, NGX_HTTP_ACR_COLLECT_SLICE);

    ngx_http_acr_collect_call(run, script, args, 2, handler);
}


static void
ngx_http_acr_collect_untagged_due(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_collect_t *run = data;

    if (reply->status == NGX_HTTP_ACR_META_OK && reply->n == 0) {
        run->phase = ngx_http_acr_collect_candidates;
        run->phase(run);
        return;
    }

    ngx_http_acr_collect_due(run, reply, ACR_SCRIPT_GC_MANIFEST,
                             run->work.registry->gc_untagged,
                             ngx_http_acr_collect_manifest_gone);
}


static void
ngx_http_acr_collect_candidates_due(void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_collect_t *run = data;

    if (reply->status == NGX_HTTP_ACR_META_OK && reply->n == 0) {
        ngx_http_acr_collect_finish(run);
        return;
    }

    ngx_http_acr_collect_due(run, reply, ACR_SCRIPT_GC_LINK,
                             run->work.registry->gc_delay,
                             ngx_http_acr_collect_link_gone);
}


/*
 * Begins the removal of every entry of a slice.  The call that is not made
 * holds the end of the slice up until all are.
 */

static void
ngx_http_acr_collect_due(ngx_http_acr_collect_t *run,
    ngx_http_acr_meta_reply_t *reply, ngx_uint_t script, time_t age,
    ngx_http_acr_meta_pt handler)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i;
    ngx_http_acr_collect_entry_t  *entry;

    if (reply->status != NGX_HTTP_ACR_META_OK) {
        ngx_http_acr_collect_stop(run, 0);
        return;
    }

    run->calls = 1;
    run->removed = 0;

    for (i = 0; i < reply->n && i < NGX_HTTP_ACR_COLLECT_SLICE; i++) {
        entry = &run->entries[i];
        entry->run = run;

        if (ngx_http_acr_collect_parse(entry, &reply->v[i]) != NGX_OK) {
            continue;
        }

        if (entry->repository.len) {
            rc = ngx_http_acr_collect_remove(entry, script, age, handler);

        } else {
            rc = ngx_http_acr_collect_digest(run->work.registry,
                                             &entry->digest, age,
                                             ngx_http_acr_collect_freed,
                                             entry);
        }

        if (rc == NGX_OK) {
            run->calls++;
        }
    }

    ngx_http_acr_collect_over(run);
}


/* "<repository> <digest>" or "<digest>", copied */

static ngx_int_t
ngx_http_acr_collect_parse(ngx_http_acr_collect_entry_t *entry,
    ngx_str_t *text)
{
    u_char        *p, *last, buf[NGX_HTTP_ACR_META_TEXT];
    ngx_str_t      printable;
    acr_digest_t   digest;

    if (text->len > sizeof(entry->text)) {
        goto invalid;
    }

    ngx_memcpy(entry->text, text->data, text->len);

    last = entry->text + text->len;
    p = ngx_strlchr(entry->text, last, ' ');

    entry->repository.data = entry->text;
    entry->repository.len = p ? p - entry->text : 0;

    entry->digest.data = p ? p + 1 : entry->text;
    entry->digest.len = last - entry->digest.data;

    if ((p == NULL || acr_name_valid(entry->repository.data,
                                     entry->repository.len))
        && acr_digest_parse(&digest, entry->digest.data, entry->digest.len)
           == ACR_OK)
    {
        return NGX_OK;
    }

invalid:

    printable = ngx_http_acr_meta_printable(buf, text);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "acr: an entry of the candidates is no name: \"%V\"",
                  &printable);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_acr_collect_remove(ngx_http_acr_collect_entry_t *entry,
    ngx_uint_t script, time_t age, ngx_http_acr_meta_pt handler)
{
    u_char     seconds[NGX_INT_T_LEN];
    ngx_str_t  args[3];

    args[0] = entry->repository;
    args[1] = entry->digest;
    ngx_http_acr_collect_number(&args[2], seconds, age);

    return ngx_http_acr_meta_call(entry->run->work.registry->meta, script,
                                  args, 3, handler, entry);
}


static void
ngx_http_acr_collect_manifest_gone(void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_collect_gone(data, reply, NGX_HTTP_ACR_COLLECT_MANIFESTS);
}


static void
ngx_http_acr_collect_link_gone(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_collect_gone(data, reply, NGX_HTTP_ACR_COLLECT_LINKS);
}


/* the index has let it go: the links on disk follow */

static void
ngx_http_acr_collect_gone(ngx_http_acr_collect_entry_t *entry,
    ngx_http_acr_meta_reply_t *reply, ngx_uint_t counter)
{
    ngx_uint_t              *counted;
    ngx_http_acr_change_t    change;
    ngx_http_acr_collect_t  *run;

    run = entry->run;
    counted = run->work.counted;

    if (reply->status == NGX_HTTP_ACR_META_OK && reply->n) {
        counted[counter]++;
        run->removed++;

        ngx_memzero(&change, sizeof(ngx_http_acr_change_t));

        if (ngx_http_acr_changed(run->work.registry, &change, reply) == NGX_OK
            && ngx_http_acr_settle_one(run->work.registry, &entry->repository,
                                       &entry->digest, &change, NULL,
                                       ngx_http_acr_collect_settled, entry)
               == NGX_OK)
        {
            return;
        }

        /* it stays pending, and the keeper settles it */

        counted[NGX_HTTP_ACR_COLLECT_FAILED]++;

    } else if (reply->status == NGX_HTTP_ACR_META_UNKNOWN) {
        counted[NGX_HTTP_ACR_COLLECT_KEPT]++;
        run->removed++;

    } else {
        counted[NGX_HTTP_ACR_COLLECT_FAILED]++;
    }

    ngx_http_acr_collect_over(run);
}


static void
ngx_http_acr_collect_settled(void *data, ngx_int_t rc)
{
    ngx_http_acr_collect_entry_t *entry = data;

    if (rc != NGX_OK) {
        entry->run->work.counted[NGX_HTTP_ACR_COLLECT_FAILED]++;
    }

    ngx_http_acr_collect_over(entry->run);
}


static void
ngx_http_acr_collect_freed(void *data, ngx_int_t rc, off_t freed)
{
    ngx_http_acr_collect_entry_t *entry = data;

    ngx_uint_t              *counted;
    ngx_http_acr_collect_t  *run;

    run = entry->run;
    counted = run->work.counted;

    switch (rc) {

    case NGX_OK:
        run->removed++;
        counted[NGX_HTTP_ACR_COLLECT_BLOBS]++;
        counted[NGX_HTTP_ACR_COLLECT_BYTES] += freed;
        break;

    case NGX_DECLINED:
        run->removed++;
        counted[NGX_HTTP_ACR_COLLECT_KEPT]++;
        break;

    default:
        counted[NGX_HTTP_ACR_COLLECT_FAILED]++;
    }

    ngx_http_acr_collect_over(run);
}


/* when all entries of a slice are through, the next one; if there was no
   progress, another run may have more luck */

static void
ngx_http_acr_collect_over(ngx_http_acr_collect_t *run)
{
    if (--run->calls) {
        return;
    }

    if (run->removed) {
        ngx_http_acr_collect_next(run);
        return;
    }

    if (run->phase == ngx_http_acr_collect_untagged) {
        run->phase = ngx_http_acr_collect_candidates;
        ngx_http_acr_collect_next(run);
        return;
    }

    ngx_http_acr_collect_finish(run);
}


/* --- a dry run */

static void
ngx_http_acr_collect_report(ngx_http_acr_collect_t *run)
{
    u_char     seconds[NGX_INT_T_LEN], offset[NGX_INT_T_LEN],
               n[NGX_INT_T_LEN];
    ngx_str_t  args[3];

    if (run->last) {
        ngx_http_acr_collect_finish(run);
        return;
    }

    ngx_http_acr_collect_number(&args[0], seconds,
                                run->work.registry->gc_delay);
    ngx_http_acr_collect_number(&args[1], offset, run->offset);
    ngx_http_acr_collect_number(&args[2], n, NGX_HTTP_ACR_COLLECT_REPORT);

    ngx_http_acr_collect_call(run, ACR_SCRIPT_GC_REPORT, args, 3,
                              ngx_http_acr_collect_reported);
}


static void
ngx_http_acr_collect_reported(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_collect_t *run = data;

    off_t        bytes;
    ngx_int_t    links;
    ngx_str_t   *text;
    ngx_uint_t   i, *counted;

    if (reply->status != NGX_HTTP_ACR_META_OK || reply->n < 3) {
        ngx_http_acr_collect_stop(run, 0);
        return;
    }

    links = ngx_atoi(reply->v[1].data, reply->v[1].len);
    bytes = ngx_atoof(reply->v[2].data, reply->v[2].len);

    if (links == NGX_ERROR || bytes == NGX_ERROR) {
        ngx_http_acr_collect_stop(run, 0);
        return;
    }

    counted = run->work.counted;

    counted[NGX_HTTP_ACR_COLLECT_LINKS] += links;
    counted[NGX_HTTP_ACR_COLLECT_BYTES] += bytes;

    run->offset += NGX_HTTP_ACR_COLLECT_REPORT;
    run->last = !(reply->v[0].len == 1 && reply->v[0].data[0] == '1');
    run->ndigests = 0;

    for (i = 3; i < reply->n; i++) {
        text = &reply->v[i];

        if (run->ndigests < NGX_HTTP_ACR_COLLECT_FILES
            && acr_digest_parse(&run->digests[run->ndigests], text->data,
                                text->len)
               == ACR_OK)
        {
            run->ndigests++;
        }
    }

    run->task.work = ngx_http_acr_collect_sizes;
    run->task.done = ngx_http_acr_collect_sized;

    if (ngx_http_acr_task_post(&run->task, run->work.registry->slow)
        != NGX_OK)
    {
        ngx_http_acr_collect_stop(run, 0);
    }
}


static ngx_int_t
ngx_http_acr_collect_sizes(void *data, ngx_log_t *log)
{
    ngx_http_acr_collect_t *run = data;

    off_t        size;
    ngx_int_t    rc;
    ngx_uint_t   i, *counted;

    counted = run->work.counted;

    for (i = 0; i < run->ndigests; i++) {

        rc = ngx_http_acr_store_size(&run->work.registry->store,
                                     &run->digests[i], &size, log);
        if (rc == NGX_OK) {
            counted[NGX_HTTP_ACR_COLLECT_BLOBS]++;
            counted[NGX_HTTP_ACR_COLLECT_BYTES] += size;

        } else if (rc != NGX_DECLINED) {
            counted[NGX_HTTP_ACR_COLLECT_FAILED]++;
        }
    }

    return NGX_OK;
}


static void
ngx_http_acr_collect_sized(void *data, ngx_int_t rc)
{
    ngx_http_acr_collect_next(data);
}


/* --- the end */

static void
ngx_http_acr_collect_finish(ngx_http_acr_collect_t *run)
{
    ngx_uint_t  *counted;

    counted = run->work.counted;

    if (run->phase != ngx_http_acr_collect_report
        && (counted[NGX_HTTP_ACR_COLLECT_MANIFESTS]
            || counted[NGX_HTTP_ACR_COLLECT_LINKS]
            || counted[NGX_HTTP_ACR_COLLECT_BLOBS]
            || counted[NGX_HTTP_ACR_COLLECT_FAILED]))
    {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "acr: collected from \"%V\": %ui untagged manifests, "
                      "%ui links, %ui blobs of %ui bytes; %ui failed",
                      &run->work.registry->store.root,
                      counted[NGX_HTTP_ACR_COLLECT_MANIFESTS],
                      counted[NGX_HTTP_ACR_COLLECT_LINKS],
                      counted[NGX_HTTP_ACR_COLLECT_BLOBS],
                      counted[NGX_HTTP_ACR_COLLECT_BYTES],
                      counted[NGX_HTTP_ACR_COLLECT_FAILED]);
    }

    ngx_http_acr_collect_stop(run, 1);
}


static void
ngx_http_acr_collect_stop(ngx_http_acr_collect_t *run, ngx_uint_t done)
{
    if (run->blobs) {
        ngx_http_acr_store_blobs_close(run->blobs);
        run->blobs = NULL;
    }

    ngx_http_acr_work_end(&run->work, done);
}
