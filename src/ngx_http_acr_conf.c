
#include "ngx_http_acr_conf.h"
#include "api/ngx_http_acr_data.h"
#include "api/ngx_http_acr_metrics.h"


#define NGX_HTTP_ACR_MANIFEST_MIN    1024
#define NGX_HTTP_ACR_MANIFEST_LIMIT  (64 * 1024 * 1024)


static void ngx_http_acr_merge_handler(ngx_http_core_loc_conf_t *clcf,
    ngx_http_acr_loc_conf_t *prev, ngx_http_acr_loc_conf_t *conf);
static void ngx_http_acr_merge_registry(ngx_http_acr_loc_conf_t *prev,
    ngx_http_acr_loc_conf_t *conf);
static void ngx_http_acr_merge_limits(ngx_http_acr_loc_conf_t *prev,
    ngx_http_acr_loc_conf_t *conf);
static void ngx_http_acr_merge_work(ngx_http_acr_loc_conf_t *prev,
    ngx_http_acr_loc_conf_t *conf);
static void ngx_http_acr_merge_fills(ngx_http_acr_loc_conf_t *prev,
    ngx_http_acr_loc_conf_t *conf);
static void ngx_http_acr_merge_api(ngx_http_acr_loc_conf_t *prev,
    ngx_http_acr_loc_conf_t *conf);
static char *ngx_http_acr_check_edge(ngx_conf_t *cf,
    ngx_http_core_loc_conf_t *clcf, ngx_http_acr_loc_conf_t *conf);
static char *ngx_http_acr_check_registry(ngx_conf_t *cf,
    ngx_http_acr_loc_conf_t *conf);
static char *ngx_http_acr_check_origin(ngx_conf_t *cf,
    ngx_http_acr_loc_conf_t *conf);
static char *ngx_http_acr_check_limits(ngx_conf_t *cf,
    ngx_http_acr_loc_conf_t *conf);
static char *ngx_http_acr_check_work(ngx_conf_t *cf,
    ngx_http_acr_loc_conf_t *conf);
static char *ngx_http_acr_check_fills(ngx_conf_t *cf,
    ngx_http_acr_loc_conf_t *conf);
static char *ngx_http_acr_check_data(ngx_conf_t *cf,
    ngx_http_acr_loc_conf_t *conf);


void *
ngx_http_acr_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_acr_main_conf_t  *mcf;

    mcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_acr_main_conf_t));

    if (mcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&mcf->registries, cf->pool, 1,
                       sizeof(ngx_http_acr_registry_t *))
        != NGX_OK)
    {
        return NULL;
    }

    if (ngx_http_acr_remotes_create(cf, &mcf->remotes) != NGX_OK) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     mcf->fetch = { no certificate, no proxy, not needed };
     */

    return mcf;
}


void *
ngx_http_acr_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_acr_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_acr_loc_conf_t));

    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->root = { 0, NULL };
     *     conf->name = { 0, NULL };
     *     conf->node = { 0, NULL };
     *     conf->upload_buffers.num = 0;
     *     conf->large = { 0, 0, 0 };
     *     conf->handler = NULL;
     *     conf->registry = NULL;
     */

    conf->enable = NGX_CONF_UNSET;
    conf->meta_conf = NGX_CONF_UNSET_PTR;
    conf->zone = NGX_CONF_UNSET_PTR;
    conf->max_blob_size = NGX_CONF_UNSET;
    conf->max_manifest_size = NGX_CONF_UNSET_SIZE;
    conf->upload_pool = NGX_CONF_UNSET_UINT;
    conf->upload_expires = NGX_CONF_UNSET;
    conf->gc_delay = NGX_CONF_UNSET;
    conf->gc_interval = NGX_CONF_UNSET;
    conf->gc_untagged = NGX_CONF_UNSET;
    conf->scrub_interval = NGX_CONF_UNSET;
    conf->scrub_rate = NGX_CONF_UNSET_SIZE;
    conf->origin = NGX_CONF_UNSET_PTR;
    conf->origin_valid = NGX_CONF_UNSET;
    conf->edge = NGX_CONF_UNSET;
    conf->edge_offline = NGX_CONF_UNSET;
    conf->edge_cache = NGX_CONF_UNSET_PTR;
    conf->cache_rules = NGX_CONF_UNSET_PTR;
    conf->fill_max = NGX_CONF_UNSET_UINT;
    conf->fill_rate = NGX_CONF_UNSET_SIZE;
    conf->fsync = NGX_CONF_UNSET;
    conf->delete = NGX_CONF_UNSET;
    conf->sparse_index = NGX_CONF_UNSET;
    conf->sparse_image = NGX_CONF_UNSET;
    conf->location = NGX_CONF_UNSET_UINT;
    conf->consistency = NGX_CONF_UNSET_UINT;

    ngx_http_acr_auth_create_conf(&conf->auth);
    ngx_http_acr_data_create_conf(&conf->data);

    return conf;
}


char *
ngx_http_acr_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_acr_loc_conf_t *prev = parent;
    ngx_http_acr_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    ngx_http_acr_merge_handler(clcf, prev, conf);
    ngx_http_acr_merge_registry(prev, conf);
    ngx_http_acr_merge_limits(prev, conf);
    ngx_http_acr_merge_work(prev, conf);
    ngx_http_acr_merge_fills(prev, conf);
    ngx_http_acr_merge_api(prev, conf);
    ngx_http_acr_auth_merge_conf(&prev->auth, &conf->auth);
    ngx_http_acr_data_merge_conf(&prev->data, &conf->data);

    if (!conf->enable) {
        return NGX_CONF_OK;
    }

    /* limits are acr_max_blob_size and acr_max_manifest_size here */

    clcf->client_max_body_size = 0;

    conf->large.size = conf->upload_buffers.size;
    conf->large.max = conf->upload_pool;

    if (ngx_http_acr_check_registry(cf, conf) != NGX_CONF_OK
        || ngx_http_acr_check_edge(cf, clcf, conf) != NGX_CONF_OK
        || ngx_http_acr_check_limits(cf, conf) != NGX_CONF_OK
        || ngx_http_acr_check_work(cf, conf) != NGX_CONF_OK
        || ngx_http_acr_check_fills(cf, conf) != NGX_CONF_OK
        || ngx_http_acr_check_data(cf, conf) != NGX_CONF_OK
        || ngx_http_acr_auth_check_conf(cf, &conf->auth) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    return ngx_http_acr_conf_join(cf, conf);
}


/* "if" and "limit_except" are the same location, others are not */

static void
ngx_http_acr_merge_handler(ngx_http_core_loc_conf_t *clcf,
    ngx_http_acr_loc_conf_t *prev, ngx_http_acr_loc_conf_t *conf)
{
    if (conf->enable == NGX_CONF_UNSET
        && (clcf->noname || clcf->lmt_excpt) && clcf->handler == NULL
        && prev->enable == 1)
    {
        conf->enable = 1;
        conf->handler = prev->handler;
        clcf->handler = prev->handler;
        conf->edge = prev->edge;
    }

    ngx_conf_init_value(conf->edge, 0);
    ngx_conf_init_value(conf->enable, conf->edge);
}


/* which registry this is, and where */

static void
ngx_http_acr_merge_registry(ngx_http_acr_loc_conf_t *prev,
    ngx_http_acr_loc_conf_t *conf)
{
    ngx_conf_merge_str_value(conf->root, prev->root, "");
    ngx_conf_merge_str_value(conf->name, prev->name, "default");
    ngx_conf_merge_str_value(conf->node, prev->node, "");
    ngx_conf_merge_ptr_value(conf->meta_conf, prev->meta_conf, NULL);
    ngx_conf_merge_ptr_value(conf->zone, prev->zone, NULL);
    ngx_conf_merge_value(conf->fsync, prev->fsync, 1);
}


/* what a push may take */

static void
ngx_http_acr_merge_limits(ngx_http_acr_loc_conf_t *prev,
    ngx_http_acr_loc_conf_t *conf)
{
    ngx_conf_merge_off_value(conf->max_blob_size, prev->max_blob_size, 0);
    ngx_conf_merge_size_value(conf->max_manifest_size,
                              prev->max_manifest_size, 4 * 1024 * 1024);
    ngx_conf_merge_bufs_value(conf->upload_buffers, prev->upload_buffers,
                              4, 256 * 1024);
    ngx_conf_merge_uint_value(conf->upload_pool, prev->upload_pool, 64);
    ngx_conf_merge_sec_value(conf->upload_expires, prev->upload_expires,
                             24 * 3600);
}


/* the background work: collector and scrub */

static void
ngx_http_acr_merge_work(ngx_http_acr_loc_conf_t *prev,
    ngx_http_acr_loc_conf_t *conf)
{
    ngx_conf_merge_sec_value(conf->gc_delay, prev->gc_delay, 24 * 3600);
    ngx_conf_merge_sec_value(conf->gc_interval, prev->gc_interval, 3600);
    ngx_conf_merge_sec_value(conf->gc_untagged, prev->gc_untagged, 0);
    ngx_conf_merge_sec_value(conf->scrub_interval, prev->scrub_interval, 0);
    ngx_conf_merge_size_value(conf->scrub_rate, prev->scrub_rate,
                              16 * 1024 * 1024);
}


/* what comes from other registries */

static void
ngx_http_acr_merge_fills(ngx_http_acr_loc_conf_t *prev,
    ngx_http_acr_loc_conf_t *conf)
{
    ngx_conf_merge_ptr_value(conf->origin, prev->origin, NULL);
    ngx_conf_merge_sec_value(conf->origin_valid, prev->origin_valid, 3600);
    ngx_conf_merge_sec_value(conf->edge_offline, prev->edge_offline, 0);
    ngx_conf_merge_ptr_value(conf->edge_cache, prev->edge_cache, NULL);
    ngx_conf_merge_ptr_value(conf->cache_rules, prev->cache_rules, NULL);
    ngx_conf_merge_uint_value(conf->fill_max, prev->fill_max, 64);
    ngx_conf_merge_size_value(conf->fill_rate, prev->fill_rate, 0);
}


/* what is allowed, and what answers look like */

static void
ngx_http_acr_merge_api(ngx_http_acr_loc_conf_t *prev,
    ngx_http_acr_loc_conf_t *conf)
{
    ngx_conf_merge_value(conf->delete, prev->delete, 1);
    ngx_conf_merge_value(conf->sparse_index, prev->sparse_index, 0);
    ngx_conf_merge_value(conf->sparse_image, prev->sparse_image, 0);
    ngx_conf_merge_uint_value(conf->consistency, prev->consistency,
                              NGX_HTTP_ACR_CONSISTENCY_FEED);
    ngx_conf_merge_uint_value(conf->location, prev->location,
                              NGX_HTTP_ACR_LOCATION_RELATIVE);
}


static char *
ngx_http_acr_check_registry(ngx_conf_t *cf, ngx_http_acr_loc_conf_t *conf)
{
    if (conf->root.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr\" needs \"acr_root\", the directory of the "
                           "registry");
        return NGX_CONF_ERROR;
    }

    if (conf->origin) {
        return ngx_http_acr_check_origin(cf, conf);
    }

    if (conf->edge) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_edge\" needs \"acr_origin\", the registry "
                           "that it is an edge of");
        return NGX_CONF_ERROR;
    }

    if (conf->edge_cache) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_edge_cache\" needs \"acr_origin\": what a "
                           "registry has is no cache");
        return NGX_CONF_ERROR;
    }

    if (conf->meta_conf == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr\" needs \"acr_redis\", the address of its "
                           "Redis");
        return NGX_CONF_ERROR;
    }

    if (conf->handler == ngx_http_acr_metrics && conf->zone == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_metrics\" needs \"acr_zone\", where the "
                           "counters are");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* an edge node has no index, whatever acr_redis says for others */

static char *
ngx_http_acr_check_origin(ngx_conf_t *cf, ngx_http_acr_loc_conf_t *conf)
{
    conf->meta_conf = NULL;

    if (conf->handler && conf->handler != ngx_http_acr_metrics) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "where \"acr_origin\" is, there can be "
                           "\"acr_edge\" and \"acr_metrics\", and no other "
                           "handler of a registry");
        return NGX_CONF_ERROR;
    }

    if (conf->cache_rules) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_cache_rule\" cannot be where "
                           "\"acr_origin\" is");
        return NGX_CONF_ERROR;
    }

    if (conf->zone == NULL || conf->zone->size < NGX_HTTP_ACR_ZONE_FILLS) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_origin\" needs an \"acr_zone\" of 2m at "
                           "least");
        return NGX_CONF_ERROR;
    }

    if (conf->auth.enable && conf->auth.key_files == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_auth\" of an edge node needs "
                           "\"acr_token_key\", the public key of the origin");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* without a way to the origin nginx would look for files in its "root" */

static char *
ngx_http_acr_check_edge(ngx_conf_t *cf, ngx_http_core_loc_conf_t *clcf,
    ngx_http_acr_loc_conf_t *conf)
{
    if (conf->edge && clcf->handler == NULL
        && !clcf->noname && !clcf->lmt_excpt)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_edge\" needs \"proxy_pass\" beside it, to "
                           "the origin");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_acr_check_limits(ngx_conf_t *cf, ngx_http_acr_loc_conf_t *conf)
{
    if (conf->max_manifest_size < NGX_HTTP_ACR_MANIFEST_MIN
        || conf->max_manifest_size > NGX_HTTP_ACR_MANIFEST_LIMIT)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_max_manifest_size\" must be between 1k and "
                           "64m");
        return NGX_CONF_ERROR;
    }

    if (conf->upload_buffers.num > NGX_HTTP_ACR_RING_LARGE
        || conf->upload_buffers.size < NGX_HTTP_ACR_RING_SMALL
        || conf->upload_buffers.size > 16 * 1024 * 1024)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_upload_buffers\" must be 1 to %d, of 64k to "
                           "16m", NGX_HTTP_ACR_RING_LARGE);
        return NGX_CONF_ERROR;
    }

    if (conf->upload_expires < 1 || conf->upload_expires > 365 * 24 * 3600) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_upload_expires\" must be between 1s and "
                           "365d");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_acr_check_work(ngx_conf_t *cf, ngx_http_acr_loc_conf_t *conf)
{
    if (conf->gc_delay < 1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_gc_delay\" must be at least 1s: it is the "
                           "time that a push may take");
        return NGX_CONF_ERROR;
    }

    if (conf->gc_untagged && conf->gc_untagged < conf->gc_delay) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_gc_untagged\" must not be less than "
                           "\"acr_gc_delay\"");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_acr_check_fills(ngx_conf_t *cf, ngx_http_acr_loc_conf_t *conf)
{
    if (conf->cache_rules
        && (conf->zone == NULL || conf->zone->size < NGX_HTTP_ACR_ZONE_FILLS))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_cache_rule\" needs an \"acr_zone\" of 2m "
                           "at least");
        return NGX_CONF_ERROR;
    }

    if (conf->fill_max < 1 || conf->fill_max > NGX_HTTP_ACR_FILLS_MAX / 2) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_fill_max\" must be between 1 and %d",
                           NGX_HTTP_ACR_FILLS_MAX / 2);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_acr_check_data(ngx_conf_t *cf, ngx_http_acr_loc_conf_t *conf)
{
    if (conf->data.keys) {
        return NGX_CONF_OK;
    }

    if (conf->handler == ngx_http_acr_data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_data\" needs \"acr_data_key\", with which "
                           "addresses are verified");
        return NGX_CONF_ERROR;
    }

    if (conf->data.endpoint) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_data_endpoint\" needs \"acr_data_key\", with "
                           "which addresses are signed");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
