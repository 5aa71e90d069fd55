
#include "ngx_http_acr_registry.h"
#include "ngx_http_acr_settle.h"
#include "work/ngx_http_acr_collect.h"
#include "work/ngx_http_acr_rebuild.h"


#define NGX_HTTP_ACR_KEEPER_TICK    1000     /* ms */

/* ticks between looks for what is unfinished, and between sweeps */
#define NGX_HTTP_ACR_KEEPER_LOOK    5
#define NGX_HTTP_ACR_KEEPER_SWEEP   3600

/* what is unfinished for so many seconds is finished, so many at once */
#define NGX_HTTP_ACR_KEEPER_AGE     "10"
#define NGX_HTTP_ACR_KEEPER_SLICE   "100"

/* tags that are removed by one call */
#define NGX_HTTP_ACR_KEEPER_TAGS    "100"


typedef struct {
    ngx_http_acr_registry_t  *registry;
    ngx_http_acr_sweep_t      sweep;
    ngx_uint_t                ticks;
    ngx_uint_t                busy;          /* questions and entries */
    ngx_uint_t                asking;        /* what work is due */
    ngx_uint_t                rebuild;       /* 1: at work */
    ngx_uint_t                gc;
    ngx_uint_t                scrub;
} ngx_http_acr_keeper_t;


static void ngx_http_acr_keeper_tick(ngx_event_t *ev);
static void ngx_http_acr_keeper_look(ngx_http_acr_keeper_t *keeper);
static void ngx_http_acr_keeper_work(ngx_http_acr_keeper_t *keeper);
static void ngx_http_acr_keeper_due(void *data,
    ngx_http_acr_meta_reply_t *reply);
static ngx_uint_t ngx_http_acr_keeper_yes(ngx_str_t *value);
static void ngx_http_acr_keeper_ask(ngx_http_acr_keeper_t *keeper,
    ngx_uint_t script, ngx_str_t *args, ngx_uint_t n,
    ngx_http_acr_meta_pt handler);
static void ngx_http_acr_keeper_pending(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_keeper_settle(ngx_http_acr_keeper_t *keeper,
    ngx_str_t *repository, ngx_str_t *name);
static void ngx_http_acr_keeper_settled(void *data, ngx_int_t rc);
static void ngx_http_acr_keeper_removing(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_keeper_removed(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_keeper_collecting(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_keeper_collected(void *data, ngx_int_t rc,
    off_t freed);
static void ngx_http_acr_keeper_stats(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_keeper_gauge(ngx_http_acr_zone_t *zone,
    ngx_str_t *name, ngx_str_t *value);
static ngx_int_t ngx_http_acr_keeper_split(ngx_str_t *entry,
    const char *separators, ngx_str_t *repository, ngx_str_t *name);


ngx_int_t
ngx_http_acr_keeper_start(ngx_http_acr_registry_t *registry,
    ngx_cycle_t *cycle)
{
    ngx_http_acr_keeper_t  *keeper;

    keeper = ngx_pcalloc(cycle->pool, sizeof(ngx_http_acr_keeper_t));

    if (keeper == NULL) {
        return NGX_ERROR;
    }

    keeper->registry = registry;
    keeper->sweep.registry = registry;

    registry->keeper.data = keeper;
    registry->keeper.handler = ngx_http_acr_keeper_tick;
    registry->keeper.log = cycle->log;
    registry->keeper.cancelable = 1;

    ngx_add_timer(&registry->keeper, NGX_HTTP_ACR_KEEPER_TICK);

    return NGX_OK;
}


static void
ngx_http_acr_keeper_tick(ngx_event_t *ev)
{
    ngx_http_acr_keeper_t  *keeper;

    keeper = ev->data;

    if (ngx_exiting) {
        return;
    }

    ngx_add_timer(ev, NGX_HTTP_ACR_KEEPER_TICK);

    if (keeper->ticks % NGX_HTTP_ACR_KEEPER_SWEEP == 0) {
        ngx_http_acr_sweep(&keeper->sweep);
    }

    if (!keeper->asking) {
        ngx_http_acr_keeper_work(keeper);
    }

    if (keeper->ticks++ % NGX_HTTP_ACR_KEEPER_LOOK == 0 && !keeper->busy) {
        ngx_http_acr_keeper_look(keeper);
    }
}


static void
ngx_http_acr_keeper_look(ngx_http_acr_keeper_t *keeper)
{
    ngx_str_t  args[2];

    ngx_str_set(&args[0], NGX_HTTP_ACR_KEEPER_AGE);
    ngx_str_set(&args[1], NGX_HTTP_ACR_KEEPER_SLICE);

    ngx_http_acr_keeper_ask(keeper, ACR_SCRIPT_PENDING_LIST, args, 2,
                            ngx_http_acr_keeper_pending);
    ngx_http_acr_keeper_ask(keeper, ACR_SCRIPT_REMOVING_LIST, args, 2,
                            ngx_http_acr_keeper_removing);
    ngx_http_acr_keeper_ask(keeper, ACR_SCRIPT_COLLECTING_LIST, args, 2,
                            ngx_http_acr_keeper_collecting);

    if (keeper->registry->zone) {
        ngx_http_acr_keeper_ask(keeper, ACR_SCRIPT_STATS, NULL, 0,
                                ngx_http_acr_keeper_stats);
    }
}


/* is there work for one node of all? */

static void
ngx_http_acr_keeper_work(ngx_http_acr_keeper_t *keeper)
{
    u_char                    gc[NGX_TIME_T_LEN], scrub[NGX_TIME_T_LEN];
    ngx_str_t                 args[2];
    ngx_http_acr_registry_t  *registry;

    registry = keeper->registry;

    args[0].data = gc;
    args[0].len = ngx_sprintf(gc, "%T", registry->gc_interval) - gc;
    args[1].data = scrub;
    args[1].len = ngx_sprintf(scrub, "%T", registry->scrub_interval) - scrub;

    if (ngx_http_acr_meta_call(registry->meta, ACR_SCRIPT_WORK_DUE, args, 2,
                               ngx_http_acr_keeper_due, keeper)
        == NGX_OK)
    {
        keeper->asking = 1;
    }
}


static void
ngx_http_acr_keeper_due(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_keeper_t *keeper = data;

    keeper->asking = 0;

    if (reply->status != NGX_HTTP_ACR_META_OK || reply->n < 3 || ngx_exiting)
    {
        return;
    }

    if (ngx_http_acr_keeper_yes(&reply->v[0]) && !keeper->rebuild) {
        ngx_http_acr_rebuild_volume(keeper->registry, &keeper->rebuild);
    }

    if (ngx_http_acr_keeper_yes(&reply->v[1]) && !keeper->gc) {
        ngx_http_acr_collect(keeper->registry, &keeper->gc);
    }

    if (ngx_http_acr_keeper_yes(&reply->v[2]) && !keeper->scrub) {
        ngx_http_acr_scrub(keeper->registry, &keeper->scrub);
    }
}


static ngx_uint_t
ngx_http_acr_keeper_yes(ngx_str_t *value)
{
    return value->len == 1 && value->data[0] == '1';
}


/* what cannot be asked now is asked at a later tick */

static void
ngx_http_acr_keeper_ask(ngx_http_acr_keeper_t *keeper, ngx_uint_t script,
    ngx_str_t *args, ngx_uint_t n, ngx_http_acr_meta_pt handler)
{
    if (ngx_http_acr_meta_call(keeper->registry->meta, script, args, n,
                               handler, keeper)
        == NGX_OK)
    {
        keeper->busy++;
    }
}


/* "<repository>:<tag>", "<repository>@<digest>" or "<repository>:" */

static void
ngx_http_acr_keeper_pending(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_keeper_t *keeper = data;

    ngx_str_t   repository, name;
    ngx_uint_t  i;

    keeper->busy--;

    if (reply->status != NGX_HTTP_ACR_META_OK || ngx_exiting) {
        return;
    }

    for (i = 0; i < reply->n; i++) {
        if (ngx_http_acr_keeper_split(&reply->v[i], ":@", &repository, &name)
            == NGX_OK)
        {
            ngx_http_acr_keeper_settle(keeper, &repository, &name);
        }
    }
}


static void
ngx_http_acr_keeper_settle(ngx_http_acr_keeper_t *keeper,
    ngx_str_t *repository, ngx_str_t *name)
{
    if (ngx_http_acr_settle_one(keeper->registry, repository, name, NULL, NULL,
                                ngx_http_acr_keeper_settled, keeper)
        == NGX_OK)
    {
        keeper->busy++;
    }
}


static void
ngx_http_acr_keeper_settled(void *data, ngx_int_t rc)
{
    ngx_http_acr_keeper_t *keeper = data;

    keeper->busy--;
}


/* "<repository> <digest>": a slice of each; its tags are pending then */

static void
ngx_http_acr_keeper_removing(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_keeper_t *keeper = data;

    ngx_str_t   args[4];
    ngx_uint_t  i;

    keeper->busy--;

    if (reply->status != NGX_HTTP_ACR_META_OK || ngx_exiting) {
        return;
    }

    ngx_str_null(&args[2]);
    ngx_str_set(&args[3], NGX_HTTP_ACR_KEEPER_TAGS);

    for (i = 0; i < reply->n; i++) {
        if (ngx_http_acr_keeper_split(&reply->v[i], " ", &args[0], &args[1])
            == NGX_OK)
        {
            ngx_http_acr_keeper_ask(keeper, ACR_SCRIPT_MANIFEST_DELETE, args,
                                    4, ngx_http_acr_keeper_removed);
        }
    }
}


static void
ngx_http_acr_keeper_removed(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_keeper_t *keeper = data;

    keeper->busy--;
}


/* a digest whose collector has died */

static void
ngx_http_acr_keeper_collecting(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_keeper_t *keeper = data;

    ngx_uint_t  i;

    keeper->busy--;

    if (reply->status != NGX_HTTP_ACR_META_OK || ngx_exiting) {
        return;
    }

    for (i = 0; i < reply->n; i++) {
        if (ngx_http_acr_collect_resume(keeper->registry, &reply->v[i],
                                        ngx_http_acr_keeper_collected, keeper)
            == NGX_OK)
        {
            keeper->busy++;
        }
    }
}


static void
ngx_http_acr_keeper_collected(void *data, ngx_int_t rc, off_t freed)
{
    ngx_http_acr_keeper_t *keeper = data;

    keeper->busy--;
}


/* what only Redis knows, for acr_metrics */

static void
ngx_http_acr_keeper_stats(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_keeper_t *keeper = data;

    ngx_uint_t  i;

    keeper->busy--;

    if (reply->status != NGX_HTTP_ACR_META_OK) {
        return;
    }

    for (i = 0; i + 1 < reply->n; i += 2) {
        ngx_http_acr_keeper_gauge(keeper->registry->zone, &reply->v[i],
                                  &reply->v[i + 1]);
    }
}


static void
ngx_http_acr_keeper_gauge(ngx_http_acr_zone_t *zone, ngx_str_t *name,
    ngx_str_t *value)
{
    ngx_int_t   n;
    ngx_uint_t  i;

    static struct {
        ngx_str_t   name;
        ngx_uint_t  metric;
    } gauges[] = {
        { ngx_string("state"), NGX_HTTP_ACR_C_BEHIND },
        { ngx_string("sessions"), NGX_HTTP_ACR_C_SESSIONS },
        { ngx_string("pending_age"), NGX_HTTP_ACR_C_PENDING_AGE },
        { ngx_string("broken"), NGX_HTTP_ACR_C_BROKEN },
        { ngx_string("gc_finished"), NGX_HTTP_ACR_C_GC_FINISHED },
        { ngx_string("scrub_finished"), NGX_HTTP_ACR_C_SCRUB_FINISHED }
    };

    for (i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {

        if (name->len != gauges[i].name.len
            || ngx_strncmp(name->data, gauges[i].name.data, name->len) != 0)
        {
            continue;
        }

        if (gauges[i].metric == NGX_HTTP_ACR_C_BEHIND) {
            n = ngx_strncmp(value->data, "behind", value->len) == 0;

        } else {
            n = ngx_atoi(value->data, value->len);
        }

        if (n != NGX_ERROR) {
            ngx_http_acr_gauge_set(zone, gauges[i].metric, n);
        }
    }
}


static ngx_int_t
ngx_http_acr_keeper_split(ngx_str_t *entry, const char *separators,
    ngx_str_t *repository, ngx_str_t *name)
{
    size_t        n;
    u_char        buf[NGX_HTTP_ACR_META_TEXT];
    ngx_str_t     text;
    acr_digest_t  digest;

    for (n = 0; n < entry->len; n++) {
        if (ngx_strchr(separators, entry->data[n])) {
            break;
        }
    }

    repository->data = entry->data;
    repository->len = n;

    name->data = entry->data + n + 1;
    name->len = (n < entry->len) ? entry->len - n - 1 : 0;

    if (acr_name_valid(repository->data, repository->len)
        && ((name->len == 0 && n < entry->len && entry->data[n] == ':')
            || acr_tag_valid(name->data, name->len)
            || acr_digest_parse(&digest, name->data, name->len) == ACR_OK))
    {
        return NGX_OK;
    }

    text = ngx_http_acr_meta_printable(buf, entry);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "acr: an entry of unfinished work is no name: \"%V\"",
                  &text);

    return NGX_ERROR;
}
