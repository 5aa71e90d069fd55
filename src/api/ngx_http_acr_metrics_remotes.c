
/*
 * acr_metrics: what all workers know of the registries that the node asks.
 * Their hosts are of the configuration, and there are as many series.
 */

#include "ngx_http_acr_api.h"
#include "ngx_http_acr_metrics.h"


#define NGX_HTTP_ACR_METRICS_LINE  96


typedef struct {
    const char   *name;
    const char   *help;
    ngx_int_t   (*value)(ngx_http_acr_remote_t *remote);
} ngx_http_acr_metrics_remote_t;


static ngx_int_t ngx_http_acr_metrics_up(ngx_http_acr_remote_t *remote);
static ngx_int_t ngx_http_acr_metrics_wait(ngx_http_acr_remote_t *remote);
static ngx_int_t ngx_http_acr_metrics_limit(ngx_http_acr_remote_t *remote);
static ngx_int_t ngx_http_acr_metrics_left(ngx_http_acr_remote_t *remote);


static ngx_http_acr_metrics_remote_t  ngx_http_acr_metrics_of_remotes[] = {

    { "acr_remote_up",
      "Whether the remote is asked, and not assumed to be down.",
      ngx_http_acr_metrics_up },

    { "acr_remote_wait_seconds",
      "Time until the remote wants to be asked again.",
      ngx_http_acr_metrics_wait },

    { "acr_remote_limit",
      "Requests that the remote allows in its time, as it has said last.",
      ngx_http_acr_metrics_limit },

    { "acr_remote_remaining",
      "Requests of these that were left, as it has said last.",
      ngx_http_acr_metrics_left },

    { NULL, NULL, NULL }
};


size_t
ngx_http_acr_metrics_remotes_size(ngx_http_acr_registry_t *registry,
    ngx_array_t *remotes)
{
    size_t                          size;
    ngx_uint_t                      i;
    ngx_http_acr_remote_t         **remote;
    ngx_http_acr_metrics_remote_t  *metric;

    size = 0;
    remote = remotes->elts;

    for (metric = ngx_http_acr_metrics_of_remotes; metric->name; metric++) {

        size += 2 * (NGX_HTTP_ACR_METRICS_LINE + ngx_strlen(metric->name))
                + ngx_strlen(metric->help);

        for (i = 0; i < remotes->nelts; i++) {
            size += NGX_HTTP_ACR_METRICS_LINE + ngx_strlen(metric->name)
                    + registry->name.len + remote[i]->host.len;
        }
    }

    return size;
}


u_char *
ngx_http_acr_metrics_remotes(u_char *p, u_char *last,
    ngx_http_acr_registry_t *registry, ngx_array_t *remotes)
{
    ngx_int_t                       value;
    ngx_uint_t                      i;
    ngx_http_acr_remote_t         **remote;
    ngx_http_acr_metrics_remote_t  *metric;

    remote = remotes->elts;

    for (metric = ngx_http_acr_metrics_of_remotes; metric->name; metric++) {

        p = ngx_slprintf(p, last, "# HELP %s %s\n# TYPE %s gauge\n",
                         metric->name, metric->help, metric->name);

        for (i = 0; i < remotes->nelts; i++) {
            value = metric->value(remote[i]);

            if (value == NGX_ERROR) {
                continue;
            }

            p = ngx_slprintf(p, last,
                             "%s{registry=\"%V\",remote=\"%V\"} %i\n",
                             metric->name, &registry->name, &remote[i]->host,
                             value);
        }
    }

    return p;
}


/* NGX_ERROR: not known */

static ngx_int_t
ngx_http_acr_metrics_up(ngx_http_acr_remote_t *remote)
{
    ngx_msec_t  left;

    return !ngx_http_acr_breaker_open(&remote->state->breaker,
                                      ngx_current_msec, &left);
}


static ngx_int_t
ngx_http_acr_metrics_wait(ngx_http_acr_remote_t *remote)
{
    return ngx_http_acr_remote_limited(remote);
}


static ngx_int_t
ngx_http_acr_metrics_limit(ngx_http_acr_remote_t *remote)
{
    return (ngx_int_t) remote->state->limit - 1;
}


static ngx_int_t
ngx_http_acr_metrics_left(ngx_http_acr_remote_t *remote)
{
    return (ngx_int_t) remote->state->remaining - 1;
}
