
/*
 * acr_metrics: the counters of the registry in the text format of Prometheus,
 * and what counts requests.  ngx_http_acr_metrics_remotes.c has the rest.
 */

#include "ngx_http_acr_api.h"
#include "ngx_http_acr_metrics.h"


/* what a line has beside its metric, its registry, and its labels */
#define NGX_HTTP_ACR_METRICS_LINE   96
#define NGX_HTTP_ACR_METRICS_LABEL  32


typedef enum {
    NGX_HTTP_ACR_COUNTER = 0,
    NGX_HTTP_ACR_GAUGE,
    NGX_HTTP_ACR_SUM,
    NGX_HTTP_ACR_MIN,
    NGX_HTTP_ACR_HISTOGRAM
} ngx_http_acr_metric_type_e;


typedef struct {
    const char                   *name;      /* NULL: no label */
    const char                  **values;
    ngx_uint_t                    n;
} ngx_http_acr_label_t;


typedef struct {
    ngx_http_acr_metric_type_e    type;
    ngx_http_acr_label_t         *one;
    ngx_http_acr_label_t         *two;
    ngx_uint_t                    first;     /* word */
    const char                   *name;
    const char                   *help;
} ngx_http_acr_metric_t;


/* one series */

typedef struct {
    ngx_http_acr_registry_t      *registry;
    ngx_http_acr_metric_t        *metric;
    const char                   *one;       /* values of labels */
    const char                   *two;
    ngx_uint_t                    word;      /* its first */
} ngx_http_acr_series_t;


static ngx_uint_t ngx_http_acr_metrics_status(ngx_http_request_t *r);
static void ngx_http_acr_metrics_cache(ngx_http_acr_zone_t *zone,
    const char *status, off_t sent);
static void ngx_http_acr_metrics_get(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static ngx_uint_t ngx_http_acr_metrics_are(ngx_http_acr_registry_t *registry,
    ngx_http_acr_metric_t *metric);
static size_t ngx_http_acr_metrics_size(ngx_http_acr_registry_t *registry);
static u_char *ngx_http_acr_metrics_print(u_char *p, u_char *last,
    ngx_http_acr_registry_t *registry, ngx_http_acr_metric_t *metric);
static u_char *ngx_http_acr_metrics_series(u_char *p, u_char *last,
    ngx_http_acr_series_t *series);
static ngx_uint_t ngx_http_acr_metrics_value(ngx_http_acr_series_t *series);
static u_char *ngx_http_acr_metrics_histogram(u_char *p, u_char *last,
    ngx_http_acr_series_t *series);
static u_char *ngx_http_acr_metrics_name(u_char *p, u_char *last,
    ngx_http_acr_series_t *series, const char *suffix, const char *le);


#define NGX_HTTP_ACR_VALUE(value)  #value,

static const char  *ngx_http_acr_operations[] = {
    NGX_HTTP_ACR_OPERATIONS(NGX_HTTP_ACR_VALUE)
};

static const char  *ngx_http_acr_statuses[] = {
    NGX_HTTP_ACR_STATUSES(NGX_HTTP_ACR_VALUE)
};

static const char  *ngx_http_acr_results[] = {
    NGX_HTTP_ACR_RESULTS(NGX_HTTP_ACR_VALUE)
};

static const char  *ngx_http_acr_sources[] = {
    NGX_HTTP_ACR_SOURCES(NGX_HTTP_ACR_VALUE)
};

static const char  *ngx_http_acr_kinds[] = {
    NGX_HTTP_ACR_KINDS(NGX_HTTP_ACR_VALUE)
};

static const char  *ngx_http_acr_pools[] = {
    NGX_HTTP_ACR_POOLS(NGX_HTTP_ACR_VALUE)
};

static const char  *ngx_http_acr_caches[] = {
    NGX_HTTP_ACR_CACHES(NGX_HTTP_ACR_VALUE)
};

static const char  *ngx_http_acr_nothing[] = { "" };

#undef NGX_HTTP_ACR_VALUE


static ngx_http_acr_label_t  ngx_http_acr_label_OPERATION =
    { "operation", ngx_http_acr_operations, NGX_HTTP_ACR_N_OPERATION };

static ngx_http_acr_label_t  ngx_http_acr_label_STATUS =
    { "status", ngx_http_acr_statuses, NGX_HTTP_ACR_N_STATUS };

static ngx_http_acr_label_t  ngx_http_acr_label_RESULT =
    { "result", ngx_http_acr_results, NGX_HTTP_ACR_N_RESULT };

static ngx_http_acr_label_t  ngx_http_acr_label_SOURCE =
    { "source", ngx_http_acr_sources, NGX_HTTP_ACR_N_SOURCE };

static ngx_http_acr_label_t  ngx_http_acr_label_KIND =
    { "kind", ngx_http_acr_kinds, NGX_HTTP_ACR_N_KIND };

static ngx_http_acr_label_t  ngx_http_acr_label_POOL =
    { "pool", ngx_http_acr_pools, NGX_HTTP_ACR_N_POOL };

static ngx_http_acr_label_t  ngx_http_acr_label_CACHE =
    { "cache", ngx_http_acr_caches, NGX_HTTP_ACR_N_CACHE };

static ngx_http_acr_label_t  ngx_http_acr_label_NOTHING =
    { NULL, ngx_http_acr_nothing, 1 };


static ngx_http_acr_metric_t  ngx_http_acr_metric_table[] = {

#define NGX_HTTP_ACR_METRIC(id, type, one, two, name, help)                  \
    { NGX_HTTP_ACR_##type, &ngx_http_acr_label_##one,                        \
      &ngx_http_acr_label_##two, NGX_HTTP_ACR_C_##id, name, help },
    NGX_HTTP_ACR_METRICS(NGX_HTTP_ACR_METRIC)
#undef NGX_HTTP_ACR_METRIC

#define NGX_HTTP_ACR_METRIC(id, type, one, two, name, help)                  \
    { NGX_HTTP_ACR_##type, &ngx_http_acr_label_##one,                        \
      &ngx_http_acr_label_##two, NGX_HTTP_ACR_W_##id, name, help },
    NGX_HTTP_ACR_WORKER_METRICS(NGX_HTTP_ACR_METRIC)
#undef NGX_HTTP_ACR_METRIC

    { 0, NULL, NULL, 0, NULL, NULL }
};


static const char  *ngx_http_acr_metric_types[] = {
    "counter", "gauge", "gauge", "gauge", "histogram"
};


static const char  *ngx_http_acr_metric_bounds[] = {
#define NGX_HTTP_ACR_BOUND(us, seconds)  seconds,
    NGX_HTTP_ACR_BOUNDS(NGX_HTTP_ACR_BOUND)
#undef NGX_HTTP_ACR_BOUND
    "+Inf"
};


/* --- requests */

void
ngx_http_acr_metrics_begin(ngx_http_acr_ctx_t *ctx)
{
    ngx_uint_t          i;

    static const char  *last;      /* most requests are like the one before */
    static ngx_uint_t   number;

    if (ctx->operation != last) {
        last = ctx->operation;
        number = 0;

        for (i = 1; number == 0 && i < NGX_HTTP_ACR_N_OPERATION; i++) {
            if (ngx_strcmp(ngx_http_acr_operations[i], last) == 0) {
                number = i;
            }
        }
    }

    ctx->counted = number;

    if (number) {
        ngx_http_acr_worker_add(ctx->registry->zone,
                                NGX_HTTP_ACR_W_REQUESTS + number, 1);
    }
}


void
ngx_http_acr_metrics_end(ngx_http_acr_ctx_t *ctx)
{
    if (ctx->counted) {
        ngx_http_acr_worker_add(ctx->registry->zone,
                                NGX_HTTP_ACR_W_REQUESTS + ctx->counted, -1);
    }
}


ngx_int_t
ngx_http_acr_metrics_log(ngx_http_request_t *r)
{
    ngx_uint_t            n;
    ngx_time_t           *tp;
    ngx_msec_int_t        ms;
    ngx_http_acr_ctx_t   *ctx;
    ngx_http_acr_zone_t  *zone;

    ctx = ngx_http_acr_get_ctx(r);

    /* what has no operation counts in locations of the API only */

    if (ctx == NULL
        || (ctx->counted == 0 && ctx->conf->handler != ngx_http_acr_router))
    {
        return NGX_OK;
    }

    zone = ctx->registry->zone;

    if (zone == NULL) {
        return NGX_OK;
    }

    n = ctx->counted;

    tp = ngx_timeofday();

    ms = (ngx_msec_int_t) ((tp->sec - r->start_sec) * 1000
                           + (tp->msec - r->start_msec));
    ms = ngx_max(ms, 0);

    ngx_http_acr_count(zone, NGX_HTTP_ACR_C_REQUESTS
                             + n * NGX_HTTP_ACR_N_STATUS
                             + ngx_http_acr_metrics_status(r), 1);

    ngx_http_acr_observe(zone, NGX_HTTP_ACR_C_REQUEST_TIME
                               + n * NGX_HTTP_ACR_WORDS_HISTOGRAM,
                         (uint64_t) ms * 1000);

    ngx_http_acr_count(zone, NGX_HTTP_ACR_C_RECEIVED, r->request_length);
    ngx_http_acr_count(zone, NGX_HTTP_ACR_C_SENT, r->connection->sent);

    if (ctx->cache_status) {
        ngx_http_acr_metrics_cache(zone, ctx->cache_status,
                                   r->connection->sent);
    }

    return NGX_OK;
}


static void
ngx_http_acr_metrics_cache(ngx_http_acr_zone_t *zone, const char *status,
    off_t sent)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_ACR_N_CACHE; i++) {

        if (ngx_strcmp(ngx_http_acr_caches[i], status) == 0) {
            ngx_http_acr_count(zone, NGX_HTTP_ACR_C_CACHE_REQUESTS + i, 1);
            ngx_http_acr_count(zone, NGX_HTTP_ACR_C_CACHE_SENT + i, sent);
            return;
        }
    }
}


/* which value of the label it is: the code, its class, or "none" */

static ngx_uint_t
ngx_http_acr_metrics_status(ngx_http_request_t *r)
{
    u_char       code[NGX_INT_T_LEN + 1];
    ngx_uint_t   i, status;

    status = r->err_status ? r->err_status : r->headers_out.status;

    /* the most frequent ones, which are the first */

    if (status == NGX_HTTP_OK) {
        return 0;
    }

    *ngx_sprintf(code, "%ui", status) = '\0';

    for (i = 0; i < NGX_HTTP_ACR_N_STATUS - 1; i++) {

        if (ngx_strcmp(ngx_http_acr_statuses[i], code) == 0) {
            return i;
        }

        if (ngx_http_acr_statuses[i][1] == 'x'
            && ngx_http_acr_statuses[i][0] == code[0] && status >= 100)
        {
            return i;
        }
    }

    return i;
}


/* --- acr_metrics */

ngx_int_t
ngx_http_acr_metrics(ngx_http_request_t *r)
{
    return ngx_http_acr_handle(r, ngx_http_acr_metrics_get);
}


static void
ngx_http_acr_metrics_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    u_char                    *text, *p, *last;
    size_t                     size;
    ngx_array_t               *remotes;
    ngx_http_acr_metric_t     *metric;
    ngx_http_acr_main_conf_t  *mcf;

    if (ngx_http_acr_need_get(r) != NGX_OK) {
        return;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_acr_module);
    remotes = &mcf->remotes.remotes;

    size = ngx_http_acr_metrics_size(ctx->registry)
           + ngx_http_acr_metrics_remotes_size(ctx->registry, remotes);

    text = ngx_pnalloc(r->pool, size);
    if (text == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    p = text;
    last = text + size;

    for (metric = ngx_http_acr_metric_table; metric->name; metric++) {

        if (!ngx_http_acr_metrics_are(ctx->registry, metric)) {
            continue;
        }

        p = ngx_http_acr_metrics_print(p, last, ctx->registry, metric);
    }

    p = ngx_http_acr_metrics_remotes(p, last, ctx->registry, remotes);

    ngx_http_acr_send_body(r, NGX_HTTP_OK, "text/plain; version=0.0.4", text,
                           p - text);
}


/* what could be up or down, of something that there is: an edge node has no
   Redis, and no other one an origin */

static ngx_uint_t
ngx_http_acr_metrics_are(ngx_http_acr_registry_t *registry,
    ngx_http_acr_metric_t *metric)
{
    if (metric->type == NGX_HTTP_ACR_MIN) {
        return registry->meta_conf != NULL;
    }

    if (metric->type == NGX_HTTP_ACR_GAUGE
        && metric->first == NGX_HTTP_ACR_C_EVENTS_UP)
    {
        return registry->origin != NULL;
    }

    return 1;
}


/* no text is longer */

static size_t
ngx_http_acr_metrics_size(ngx_http_acr_registry_t *registry)
{
    size_t                  size, name, line;
    ngx_uint_t              n;
    ngx_http_acr_metric_t  *metric;

    size = 0;

    for (metric = ngx_http_acr_metric_table; metric->name; metric++) {
        name = ngx_strlen(metric->name);

        line = NGX_HTTP_ACR_METRICS_LINE + name + registry->name.len
               + 2 * NGX_HTTP_ACR_METRICS_LABEL;

        n = metric->one->n * metric->two->n;

        if (metric->type == NGX_HTTP_ACR_HISTOGRAM) {
            n *= NGX_HTTP_ACR_WORDS_HISTOGRAM + 1;
        }

        size += 2 * (NGX_HTTP_ACR_METRICS_LINE + name)
                + ngx_strlen(metric->help) + n * line;
    }

    return size;
}


static u_char *
ngx_http_acr_metrics_print(u_char *p, u_char *last,
    ngx_http_acr_registry_t *registry, ngx_http_acr_metric_t *metric)
{
    ngx_uint_t             i, j, words;
    ngx_http_acr_series_t  series;

    p = ngx_slprintf(p, last, "# HELP %s %s\n# TYPE %s %s\n", metric->name,
                     metric->help, metric->name,
                     ngx_http_acr_metric_types[metric->type]);

    series.registry = registry;
    series.metric = metric;
    series.word = metric->first;

    words = (metric->type == NGX_HTTP_ACR_HISTOGRAM)
            ? NGX_HTTP_ACR_WORDS_HISTOGRAM : 1;

    for (i = 0; i < metric->one->n; i++) {
        series.one = metric->one->values[i];

        for (j = 0; j < metric->two->n; j++) {
            series.two = metric->two->values[j];

            p = ngx_http_acr_metrics_series(p, last, &series);

            series.word += words;
        }
    }

    return p;
}


static u_char *
ngx_http_acr_metrics_series(u_char *p, u_char *last,
    ngx_http_acr_series_t *series)
{
    ngx_uint_t              value;
    ngx_http_acr_metric_t  *metric;

    metric = series->metric;

    if (metric->type == NGX_HTTP_ACR_HISTOGRAM) {
        return ngx_http_acr_metrics_histogram(p, last, series);
    }

    value = ngx_http_acr_metrics_value(series);

    /* most operations never have most of the codes */

    if (value == 0 && metric->two->name) {
        return p;
    }

    p = ngx_http_acr_metrics_name(p, last, series, "", NULL);

    return ngx_slprintf(p, last, "%ui\n", value);
}


static ngx_uint_t
ngx_http_acr_metrics_value(ngx_http_acr_series_t *series)
{
    ngx_uint_t                   i, n, value, word;
    ngx_http_acr_counters_t     *counters;
    ngx_http_acr_zone_worker_t  *worker;
    ngx_http_acr_metric_type_e   type;

    counters = series->registry->zone->counters;
    type = series->metric->type;

    if (type == NGX_HTTP_ACR_COUNTER || type == NGX_HTTP_ACR_GAUGE) {
        return ngx_http_acr_counted(series->registry->zone, series->word);
    }

    n = 0;
    value = 0;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        worker = &counters->workers[i];

        if (!ngx_http_acr_zone_lives(worker)) {
            continue;
        }

        word = worker->words[series->word];

        if (n++ == 0) {
            value = word;

        } else if (type == NGX_HTTP_ACR_SUM) {
            value += word;

        } else {
            value = ngx_min(value, word);
        }
    }

    return value;
}


static u_char *
ngx_http_acr_metrics_histogram(u_char *p, u_char *last,
    ngx_http_acr_series_t *series)
{
    ngx_uint_t            i, n, sum;
    ngx_uint_t            counts[NGX_HTTP_ACR_N_BOUNDS + 1];
    ngx_http_acr_zone_t  *zone;

    zone = series->registry->zone;
    n = 0;

    for (i = 0; i <= NGX_HTTP_ACR_N_BOUNDS; i++) {
        n += ngx_http_acr_counted(zone, series->word + i);
        counts[i] = n;
    }

    if (n == 0 && series->metric->one->name) {
        return p;
    }

    for (i = 0; i <= NGX_HTTP_ACR_N_BOUNDS; i++) {
        p = ngx_http_acr_metrics_name(p, last, series, "_bucket",
                                      ngx_http_acr_metric_bounds[i]);
        p = ngx_slprintf(p, last, "%ui\n", counts[i]);
    }

    sum = ngx_http_acr_counted(zone, series->word + i);

    p = ngx_http_acr_metrics_name(p, last, series, "_sum", NULL);
    p = ngx_slprintf(p, last, "%ui.%06ui\n", sum / 1000000, sum % 1000000);

    p = ngx_http_acr_metrics_name(p, last, series, "_count", NULL);

    return ngx_slprintf(p, last, "%ui\n", n);
}


static u_char *
ngx_http_acr_metrics_name(u_char *p, u_char *last,
    ngx_http_acr_series_t *series, const char *suffix, const char *le)
{
    ngx_http_acr_metric_t  *metric;

    metric = series->metric;

    p = ngx_slprintf(p, last, "%s%s{registry=\"%V\"", metric->name, suffix,
                     &series->registry->name);

    if (metric->one->name) {
        p = ngx_slprintf(p, last, ",%s=\"%s\"", metric->one->name,
                         series->one);
    }

    if (metric->two->name) {
        p = ngx_slprintf(p, last, ",%s=\"%s\"", metric->two->name,
                         series->two);
    }

    if (le) {
        p = ngx_slprintf(p, last, ",le=\"%s\"", le);
    }

    return ngx_slprintf(p, last, "} ");
}
