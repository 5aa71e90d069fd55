
/*
 * ngx_http_acr_module: a container registry.
 *
 * This file is the table of contents: the directives, the variables, and what
 * happens at configuration time and in each process.  A request goes from the
 * content handler, ngx_http_acr_router(), by the table in
 * src/api/ngx_http_acr_router.c to the file of its resource in src/api.
 */

#include "src/ngx_http_acr.h"
#include "src/ngx_http_acr_registry.h"
#include "src/api/ngx_http_acr_api.h"
#include "src/api/ngx_http_acr_admin.h"
#include "src/api/ngx_http_acr_health.h"
#include "src/api/ngx_http_acr_metrics.h"

#include <pwd.h>
#include <grp.h>


#define NGX_HTTP_ACR_NAME_MAX         64
#define NGX_HTTP_ACR_MANIFEST_MIN     1024
#define NGX_HTTP_ACR_MANIFEST_LIMIT   (64 * 1024 * 1024)


static ngx_int_t ngx_http_acr_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_http_acr_init(ngx_conf_t *cf);
static void *ngx_http_acr_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_acr_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_acr_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_acr_check(ngx_conf_t *cf, ngx_http_acr_loc_conf_t *conf);
static char *ngx_http_acr_join_registry(ngx_conf_t *cf,
    ngx_http_acr_loc_conf_t *conf);
static char *ngx_http_acr_join_zone(ngx_conf_t *cf,
    ngx_http_acr_registry_t *registry, ngx_http_acr_loc_conf_t *conf);
static ngx_http_acr_pool_t *ngx_http_acr_thread_pool(ngx_conf_t *cf,
    ngx_http_acr_registry_t *registry, ngx_str_t *name, ngx_uint_t label);
static ngx_int_t ngx_http_acr_worker_user(ngx_conf_t *cf, uid_t *uid,
    gid_t *gid);
static ngx_int_t ngx_http_acr_init_process(ngx_cycle_t *cycle);
static void ngx_http_acr_exit_process(ngx_cycle_t *cycle);

static char *ngx_http_acr_handler(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_acr_root(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_acr_redis(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_acr_name(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_acr_location_slot(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_acr_interval(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_acr_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

static ngx_int_t ngx_http_acr_text_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_acr_registry_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_acr_operation_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_acr_error_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_command_t  ngx_http_acr_commands[] = {

    { ngx_string("acr"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_acr_handler,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      ngx_http_acr_router },

    { ngx_string("acr_admin"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_acr_handler,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      ngx_http_acr_admin },

    { ngx_string("acr_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_acr_handler,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      ngx_http_acr_metrics },

    { ngx_string("acr_health"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_acr_handler,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      ngx_http_acr_health },

    { ngx_string("acr_zone"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_acr_zone,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("acr_root"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_acr_root,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("acr_redis"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_acr_redis,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("acr_registry"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_acr_name,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, name),
      NULL },

    { ngx_string("acr_node"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_acr_name,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, node),
      NULL },

    { ngx_string("acr_fsync"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, fsync),
      NULL },

    { ngx_string("acr_delete"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, delete),
      NULL },

    { ngx_string("acr_sparse_index"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, sparse_index),
      NULL },

    { ngx_string("acr_sparse_image"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, sparse_image),
      NULL },

    { ngx_string("acr_max_blob_size"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_off_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, max_blob_size),
      NULL },

    { ngx_string("acr_max_manifest_size"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, max_manifest_size),
      NULL },

    { ngx_string("acr_upload_buffers"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE2,
      ngx_conf_set_bufs_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, upload_buffers),
      NULL },

    { ngx_string("acr_upload_pool"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, upload_pool),
      NULL },

    { ngx_string("acr_upload_expires"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, upload_expires),
      NULL },

    { ngx_string("acr_gc_delay"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, gc_delay),
      NULL },

    { ngx_string("acr_gc_interval"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_acr_interval,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, gc_interval),
      NULL },

    { ngx_string("acr_gc_untagged"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_acr_interval,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, gc_untagged),
      NULL },

    { ngx_string("acr_scrub_interval"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_acr_interval,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, scrub_interval),
      NULL },

    { ngx_string("acr_scrub_rate"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, scrub_rate),
      NULL },

    { ngx_string("acr_location"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_acr_location_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, location),
      NULL },

      ngx_null_command
};


static ngx_http_variable_t  ngx_http_acr_variables[] = {

    { ngx_string("acr_registry"), NULL,
      ngx_http_acr_registry_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("acr_repository"), NULL, ngx_http_acr_text_variable,
      offsetof(ngx_http_acr_ctx_t, repository), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("acr_reference"), NULL, ngx_http_acr_text_variable,
      offsetof(ngx_http_acr_ctx_t, reference), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("acr_digest"), NULL, ngx_http_acr_text_variable,
      offsetof(ngx_http_acr_ctx_t, digest), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("acr_operation"), NULL,
      ngx_http_acr_operation_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("acr_error"), NULL,
      ngx_http_acr_error_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


static ngx_http_module_t  ngx_http_acr_module_ctx = {
    ngx_http_acr_add_variables,            /* preconfiguration */
    ngx_http_acr_init,                     /* postconfiguration */

    ngx_http_acr_create_main_conf,         /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_acr_create_loc_conf,          /* create location configuration */
    ngx_http_acr_merge_loc_conf            /* merge location configuration */
};


ngx_module_t  ngx_http_acr_module = {
    NGX_MODULE_V1,
    &ngx_http_acr_module_ctx,              /* module context */
    ngx_http_acr_commands,                 /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_acr_init_process,             /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_acr_exit_process,             /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_acr_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_acr_variables; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);

        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


/*
 * The log phase, which counts requests; and the directories, once the whole
 * configuration is known to be sound.
 */

static ngx_int_t
ngx_http_acr_init(ngx_conf_t *cf)
{
    char                       path[NGX_MAX_PATH];
    uid_t                      uid;
    gid_t                      gid;
    ngx_err_t                  err;
    ngx_uint_t                 i;
    const char                *why;
    ngx_http_handler_pt       *handler;
    ngx_http_acr_registry_t  **registry;
    ngx_http_acr_main_conf_t  *mcf;
    ngx_http_core_main_conf_t *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    handler = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);

    if (handler == NULL) {
        return NGX_ERROR;
    }

    *handler = ngx_http_acr_metrics_log;

    /* "nginx -s stop" must work whatever has become of the directories */

    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_OK;
    }

    if (ngx_http_acr_worker_user(cf, &uid, &gid) != NGX_OK) {
        return NGX_ERROR;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_acr_module);

    registry = mcf->registries.elts;

    for (i = 0; i < mcf->registries.nelts; i++) {

        why = ngx_http_acr_store_prepare(&registry[i]->store, uid, gid, &err,
                                         path);

        if (why) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, err,
                               "\"acr_root\" \"%V\": %s: \"%s\"",
                               &registry[i]->store.root, why, path);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* whom the workers will run as; "user" may follow the http block */

static ngx_int_t
ngx_http_acr_worker_user(ngx_conf_t *cf, uid_t *uid, gid_t *gid)
{
    struct group     *grp;
    struct passwd    *pwd;
    ngx_core_conf_t  *ccf;

    *uid = geteuid();
    *gid = getegid();

    if (*uid != 0) {
        return NGX_OK;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                           ngx_core_module);

    if (ccf->user != (ngx_uid_t) NGX_CONF_UNSET_UINT) {
        *uid = ccf->user;
        *gid = ccf->group;
        return NGX_OK;
    }

    pwd = getpwnam(NGX_USER);
    grp = getgrnam(NGX_GROUP);

    if (pwd == NULL || grp == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr\" needs \"user\" before \"http\"");
        return NGX_ERROR;
    }

    *uid = pwd->pw_uid;
    *gid = grp->gr_gid;

    return NGX_OK;
}


static void *
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

    return mcf;
}


static void *
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
    conf->fsync = NGX_CONF_UNSET;
    conf->delete = NGX_CONF_UNSET;
    conf->sparse_index = NGX_CONF_UNSET;
    conf->sparse_image = NGX_CONF_UNSET;
    conf->location = NGX_CONF_UNSET_UINT;

    return conf;
}


static char *
ngx_http_acr_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_acr_loc_conf_t *prev = parent;
    ngx_http_acr_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    /* "if" and "limit_except" are the same location, others are not */

    if (conf->enable == NGX_CONF_UNSET
        && (clcf->noname || clcf->lmt_excpt) && clcf->handler == NULL
        && prev->enable == 1)
    {
        conf->enable = 1;
        conf->handler = prev->handler;
        clcf->handler = prev->handler;
    }

    ngx_conf_init_value(conf->enable, 0);

    ngx_conf_merge_str_value(conf->root, prev->root, "");
    ngx_conf_merge_str_value(conf->name, prev->name, "default");
    ngx_conf_merge_str_value(conf->node, prev->node, "");
    ngx_conf_merge_ptr_value(conf->meta_conf, prev->meta_conf, NULL);
    ngx_conf_merge_ptr_value(conf->zone, prev->zone, NULL);

    ngx_conf_merge_off_value(conf->max_blob_size, prev->max_blob_size, 0);
    ngx_conf_merge_size_value(conf->max_manifest_size,
                              prev->max_manifest_size, 4 * 1024 * 1024);
    ngx_conf_merge_bufs_value(conf->upload_buffers, prev->upload_buffers,
                              4, 256 * 1024);
    ngx_conf_merge_uint_value(conf->upload_pool, prev->upload_pool, 64);
    ngx_conf_merge_sec_value(conf->upload_expires, prev->upload_expires,
                             24 * 3600);

    ngx_conf_merge_sec_value(conf->gc_delay, prev->gc_delay, 24 * 3600);
    ngx_conf_merge_sec_value(conf->gc_interval, prev->gc_interval, 3600);
    ngx_conf_merge_sec_value(conf->gc_untagged, prev->gc_untagged, 0);
    ngx_conf_merge_sec_value(conf->scrub_interval, prev->scrub_interval, 0);
    ngx_conf_merge_size_value(conf->scrub_rate, prev->scrub_rate,
                              16 * 1024 * 1024);

    ngx_conf_merge_value(conf->fsync, prev->fsync, 1);
    ngx_conf_merge_value(conf->delete, prev->delete, 1);
    ngx_conf_merge_value(conf->sparse_index, prev->sparse_index, 0);
    ngx_conf_merge_value(conf->sparse_image, prev->sparse_image, 0);
    ngx_conf_merge_uint_value(conf->location, prev->location,
                              NGX_HTTP_ACR_LOCATION_RELATIVE);

    if (!conf->enable) {
        return NGX_CONF_OK;
    }

    /* limits are acr_max_blob_size and acr_max_manifest_size here */

    clcf->client_max_body_size = 0;

    conf->large.size = conf->upload_buffers.size;
    conf->large.max = conf->upload_pool;

    if (ngx_http_acr_check(cf, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_acr_join_registry(cf, conf);
}


static char *
ngx_http_acr_check(ngx_conf_t *cf, ngx_http_acr_loc_conf_t *conf)
{
    if (conf->root.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr\" needs \"acr_root\", the directory of the "
                           "registry");
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


/* finds the registry of this acr_root, or makes it */

static char *
ngx_http_acr_join_registry(ngx_conf_t *cf, ngx_http_acr_loc_conf_t *conf)
{
    ngx_uint_t                 i;
    ngx_http_acr_registry_t   *registry, **registries;
    ngx_http_acr_main_conf_t  *mcf;

    static ngx_str_t  fast = ngx_string("acr");
    static ngx_str_t  slow = ngx_string("acr_slow");

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_acr_module);

    registries = mcf->registries.elts;

    for (i = 0; i < mcf->registries.nelts; i++) {
        registry = registries[i];

        if (registry->store.root.len != conf->root.len
            || ngx_strncmp(registry->store.root.data, conf->root.data,
                           conf->root.len)
               != 0)
        {
            if (registry->name.len == conf->name.len
                && ngx_strncmp(registry->name.data, conf->name.data,
                               conf->name.len)
                   == 0
                && ngx_http_acr_meta_same(registry->meta_conf,
                                          conf->meta_conf))
            {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "\"acr_registry\" \"%V\" is used for "
                                   "\"%V\" and for \"%V\" in the same Redis",
                                   &conf->name, &registry->store.root,
                                   &conf->root);
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (registry->name.len != conf->name.len
            || ngx_strncmp(registry->name.data, conf->name.data,
                           conf->name.len)
               != 0
            || !ngx_http_acr_meta_same(registry->meta_conf, conf->meta_conf)
            || registry->store.fsync != conf->fsync)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"acr_root\" \"%V\" is used with two "
                               "different \"acr_registry\", \"acr_redis\" or "
                               "\"acr_fsync\"", &conf->root);
            return NGX_CONF_ERROR;
        }

        if (registry->gc_delay != conf->gc_delay
            || registry->gc_interval != conf->gc_interval
            || registry->gc_untagged != conf->gc_untagged
            || registry->scrub_interval != conf->scrub_interval
            || registry->scrub_rate != conf->scrub_rate)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"acr_root\" \"%V\" is used with two "
                               "different \"acr_gc_delay\", "
                               "\"acr_gc_interval\", \"acr_gc_untagged\", "
                               "\"acr_scrub_interval\" or "
                               "\"acr_scrub_rate\"", &conf->root);
            return NGX_CONF_ERROR;
        }

        registry->upload_expires = ngx_max(registry->upload_expires,
                                           conf->upload_expires);
        conf->registry = registry;

        return ngx_http_acr_join_zone(cf, registry, conf);
    }

    registry = ngx_pcalloc(cf->pool, sizeof(ngx_http_acr_registry_t));

    if (registry == NULL) {
        return NGX_CONF_ERROR;
    }

    registries = ngx_array_push(&mcf->registries);

    if (registries == NULL) {
        return NGX_CONF_ERROR;
    }

    *registries = registry;
    conf->registry = registry;

    registry->name = conf->name;
    registry->meta_conf = conf->meta_conf;
    registry->upload_expires = conf->upload_expires;
    registry->gc_delay = conf->gc_delay;
    registry->gc_interval = conf->gc_interval;
    registry->gc_untagged = conf->gc_untagged;
    registry->scrub_interval = conf->scrub_interval;
    registry->scrub_rate = conf->scrub_rate;

    registry->store.root = conf->root;
    registry->store.fsync = conf->fsync;
    registry->store.node = conf->node.len ? conf->node : cf->cycle->hostname;

    registry->zone = conf->zone;

    registry->fast = ngx_http_acr_thread_pool(cf, registry, &fast,
                                              NGX_HTTP_ACR_POOL_acr);
    registry->slow = ngx_http_acr_thread_pool(cf, registry, &slow,
                                              NGX_HTTP_ACR_POOL_acr_slow);

    if (registry->fast == NULL || registry->slow == NULL) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_acr_join_zone(cf, registry, conf);
}


/* a registry has one zone or none, and a zone is of one registry */

static char *
ngx_http_acr_join_zone(ngx_conf_t *cf, ngx_http_acr_registry_t *registry,
    ngx_http_acr_loc_conf_t *conf)
{
    ngx_http_acr_zone_t  *zone;

    zone = registry->zone;

    if (zone != conf->zone) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_root\" \"%V\" is used with two different "
                           "\"acr_zone\", or with one and without",
                           &conf->root);
        return NGX_CONF_ERROR;
    }

    if (zone == NULL) {
        return NGX_CONF_OK;
    }

    if (zone->owner && zone->owner != registry) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_zone\" \"%V\" is used for another "
                           "\"acr_root\" than \"%V\", too", &zone->name,
                           &conf->root);
        return NGX_CONF_ERROR;
    }

    zone->owner = registry;

    registry->store.synced = ngx_http_acr_zone_synced;
    registry->store.data = zone;

    return NGX_CONF_OK;
}


static ngx_http_acr_pool_t *
ngx_http_acr_thread_pool(ngx_conf_t *cf, ngx_http_acr_registry_t *registry,
    ngx_str_t *name, ngx_uint_t label)
{
    ngx_http_acr_pool_t  *pool;

    pool = ngx_palloc(cf->pool, sizeof(ngx_http_acr_pool_t));

    if (pool == NULL) {
        return NULL;
    }

    pool->tp = ngx_thread_pool_get(cf->cycle, name);

    if (pool->tp == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr\" needs \"thread_pool %V threads=...\" "
                           "before \"http\"", name);
        return NULL;
    }

    pool->zone = registry->zone;
    pool->label = label;

    return pool;
}


static ngx_int_t
ngx_http_acr_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                  i;
    ngx_http_acr_registry_t   **registry;
    ngx_http_acr_main_conf_t   *mcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_acr_module);

    if (mcf == NULL) {
        return NGX_OK;
    }

    registry = mcf->registries.elts;

    for (i = 0; i < mcf->registries.nelts; i++) {
        if (ngx_http_acr_registry_start(registry[i], cycle) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_acr_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                  i;
    ngx_http_acr_registry_t   **registry;
    ngx_http_acr_main_conf_t   *mcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return;
    }

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_acr_module);

    if (mcf == NULL) {
        return;
    }

    registry = mcf->registries.elts;

    for (i = 0; i < mcf->registries.nelts; i++) {
        ngx_http_acr_registry_stop(registry[i]);
    }
}


/* "acr" and the other directives that make a location ours */

static char *
ngx_http_acr_handler(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_acr_loc_conf_t *alcf = conf;

    ngx_http_core_loc_conf_t  *clcf;

    if (alcf->enable != NGX_CONF_UNSET) {
        return "is duplicate, or is not the only one of its kind here";
    }

    alcf->enable = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    alcf->handler = (ngx_http_handler_pt) cmd->post;
    clcf->handler = alcf->handler;

    return NGX_CONF_OK;
}


/* a time, or "off" */

static char *
ngx_http_acr_interval(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    time_t     *field;
    ngx_str_t  *value;

    field = (time_t *) (p + cmd->offset);
    value = cf->args->elts;

    if (*field == NGX_CONF_UNSET
        && ngx_strcmp(value[1].data, "off") == 0)
    {
        *field = 0;
        return NGX_CONF_OK;
    }

    return ngx_conf_set_sec_slot(cf, cmd, conf);
}


static char *
ngx_http_acr_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_acr_loc_conf_t *alcf = conf;

    if (alcf->zone != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    return ngx_http_acr_zone_conf(cf, &alcf->zone);
}


static char *
ngx_http_acr_root(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_acr_loc_conf_t *alcf = conf;

    ngx_str_t  *value;

    if (alcf->root.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    alcf->root = value[1];

    if (alcf->root.len == 0) {
        return "is empty";
    }

    if (ngx_conf_full_name(cf->cycle, &alcf->root, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    while (alcf->root.len > 1 && alcf->root.data[alcf->root.len - 1] == '/') {
        alcf->root.data[--alcf->root.len] = '\0';
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_acr_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_acr_loc_conf_t *alcf = conf;

    if (alcf->meta_conf != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    alcf->meta_conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_acr_meta_conf_t));

    if (alcf->meta_conf == NULL) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_acr_meta_conf(cf, alcf->meta_conf, cf->args);
}


/* a name that becomes part of Redis keys or a file name */

static char *
ngx_http_acr_name(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    u_char      c;
    size_t      i;
    ngx_str_t  *field, *value;

    field = (ngx_str_t *) (p + cmd->offset);

    if (field->data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].len > NGX_HTTP_ACR_NAME_MAX) {
        return "must have 1 to 64 characters";
    }

    for (i = 0; i < value[1].len; i++) {
        c = value[1].data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
              || (c >= '0' && c <= '9') || c == '-' || c == '_'
              || (c == '.' && i)))
        {
            return "may only have letters, digits, \"-\", \"_\" and \".\"";
        }
    }

    *field = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_acr_location_slot(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_acr_loc_conf_t *alcf = conf;

    ngx_str_t  *value;

    if (alcf->location != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "relative") == 0) {
        alcf->location = NGX_HTTP_ACR_LOCATION_RELATIVE;

    } else if (ngx_strcmp(value[1].data, "absolute") == 0) {
        alcf->location = NGX_HTTP_ACR_LOCATION_ABSOLUTE;

    } else if (ngx_strcmp(value[1].data, "forwarded") == 0) {
        alcf->location = NGX_HTTP_ACR_LOCATION_FORWARDED;

    } else {
        return "must be \"relative\", \"absolute\" or \"forwarded\"";
    }

    return NGX_CONF_OK;
}


static void
ngx_http_acr_set_variable(ngx_http_variable_value_t *v, u_char *p, size_t n)
{
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = n;
    v->data = p;
}


static ngx_int_t
ngx_http_acr_text_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t           *text;
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r->main);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    text = (ngx_str_t *) ((char *) ctx + data);

    if (text->len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_acr_set_variable(v, text->data, text->len);

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_registry_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r->main);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_acr_set_variable(v, ctx->registry->name.data,
                              ctx->registry->name.len);

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_operation_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r->main);

    if (ctx == NULL || ctx->operation == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_acr_set_variable(v, (u_char *) ctx->operation,
                              ngx_strlen(ctx->operation));

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_error_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r->main);

    if (ctx == NULL || ctx->error == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_acr_set_variable(v, (u_char *) ctx->error->code,
                              ngx_strlen(ctx->error->code));

    return NGX_OK;
}
