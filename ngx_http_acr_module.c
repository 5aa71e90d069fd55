
/*
 * ngx_http_acr_module: a container registry.
 *
 * This file is the table of contents: the directives, the variables, and what
 * happens at configuration time and in each process.  How directives are read,
 * merged and checked is in src/ngx_http_acr_conf*.c.  A request goes from the
 * content handler, ngx_http_acr_router(), by the table in
 * src/api/ngx_http_acr_router.c to the file of its resource in src/api.
 */

#include "src/ngx_http_acr_ahead.h"
#include "src/ngx_http_acr_conf.h"
#include "src/ngx_http_acr_registry.h"
#include "src/edge/ngx_http_acr_rule.h"
#include "src/api/ngx_http_acr_api.h"
#include "src/api/ngx_http_acr_admin.h"
#include "src/api/ngx_http_acr_edge.h"
#include "src/api/ngx_http_acr_data.h"
#include "src/api/ngx_http_acr_health.h"
#include "src/api/ngx_http_acr_metrics.h"


static ngx_int_t ngx_http_acr_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_http_acr_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_acr_init_process(ngx_cycle_t *cycle);
static void ngx_http_acr_exit_process(ngx_cycle_t *cycle);

static ngx_int_t ngx_http_acr_text_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_acr_registry_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_acr_operation_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_acr_cache_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_acr_error_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_conf_enum_t  ngx_http_acr_consistencies[] = {
    { ngx_string("feed"), NGX_HTTP_ACR_CONSISTENCY_FEED },
    { ngx_string("strict"), NGX_HTTP_ACR_CONSISTENCY_STRICT },
    { ngx_null_string, 0 }
};


static ngx_command_t  ngx_http_acr_commands[] = {

    { ngx_string("acr"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_acr_set_handler,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      ngx_http_acr_router },

    { ngx_string("acr_admin"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_acr_set_handler,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      ngx_http_acr_admin },

    { ngx_string("acr_data"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_acr_set_handler,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      ngx_http_acr_data },

    { ngx_string("acr_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_acr_set_handler,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      ngx_http_acr_metrics },

    { ngx_string("acr_health"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_acr_set_handler,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      ngx_http_acr_health },

    { ngx_string("acr_zone"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_acr_set_zone,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("acr_root"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_acr_set_root,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("acr_redis"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_acr_set_redis,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("acr_registry"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_acr_set_name,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, name),
      NULL },

    { ngx_string("acr_node"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_acr_set_name,
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
      ngx_http_acr_set_interval,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, gc_interval),
      NULL },

    { ngx_string("acr_gc_untagged"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_acr_set_interval,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, gc_untagged),
      NULL },

    { ngx_string("acr_scrub_interval"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_acr_set_interval,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, scrub_interval),
      NULL },

    { ngx_string("acr_scrub_rate"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, scrub_rate),
      NULL },

    { ngx_string("acr_origin"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_acr_set_origin,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("acr_edge"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, edge),
      NULL },

    { ngx_string("acr_edge_offline"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_acr_set_interval,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, edge_offline),
      NULL },

    { ngx_string("acr_edge_cache"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_acr_set_edge_cache,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("acr_cache_rule"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE23
      |NGX_CONF_TAKE4,
      ngx_http_acr_set_cache_rule,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, cache_rules),
      NULL },

    { ngx_string("acr_fill_max"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, fill_max),
      NULL },

    { ngx_string("acr_fill_rate"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, fill_rate),
      NULL },

    { ngx_string("acr_location"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_acr_set_location,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, location),
      NULL },

    { ngx_string("acr_tag_consistency"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, consistency),
      ngx_http_acr_consistencies },

    { ngx_string("acr_auth"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, auth.enable),
      NULL },

    { ngx_string("acr_token_key"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_acr_set_token_key,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("acr_token_lifetime"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, auth.lifetime),
      NULL },

    { ngx_string("acr_auth_failures"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, auth.failures),
      NULL },

    { ngx_string("acr_service"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, auth.service),
      NULL },

    { ngx_string("acr_realm"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, auth.realm),
      NULL },

    { ngx_string("acr_identity"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_acr_loc_conf_t, auth.identity),
      NULL },

    { ngx_string("acr_role"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE23,
      ngx_http_acr_set_role,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("acr_anonymous_pull"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_acr_set_anonymous_pull,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("acr_oidc_issuer"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_acr_set_oidc_issuer,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("acr_data_endpoint"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_acr_set_data_endpoint,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("acr_data_key"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_acr_set_data_key,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("acr_fetch_trusted_certificate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_acr_set_fetch_certificate,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("acr_fetch_proxy"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_acr_set_fetch_proxy,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("acr_credential_set"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_2MORE,
      ngx_http_acr_set_credential_set,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("acr_remote"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_acr_set_remote,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
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

    { ngx_string("acr_identity"), NULL, ngx_http_acr_text_variable,
      offsetof(ngx_http_acr_ctx_t, identity), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("acr_operation"), NULL,
      ngx_http_acr_operation_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("acr_origin"), NULL,
      ngx_http_acr_origin_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("acr_generation"), NULL,
      ngx_http_acr_generation_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("acr_cache_key"), NULL,
      ngx_http_acr_cache_key_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("acr_cache_status"), NULL,
      ngx_http_acr_cache_status_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

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
 * The log phase, which counts requests; and files and directories, once the
 * whole configuration is known to be sound.
 */

static ngx_int_t
ngx_http_acr_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *handler;
    ngx_http_acr_main_conf_t   *mcf;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    handler = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);

    if (handler == NULL) {
        return NGX_ERROR;
    }

    *handler = ngx_http_acr_metrics_log;

    ngx_http_acr_ahead_init();

    if (ngx_http_acr_edge_init(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_acr_module);

    if (ngx_http_acr_fetch_prepare(cf, &mcf->fetch) != NGX_OK
        || ngx_http_acr_remotes_prepare(cf, &mcf->remotes) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_acr_conf_prepare(cf);
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

    if (ngx_http_acr_fetch_init(&mcf->fetch, cycle) != NGX_OK
        || ngx_http_acr_remotes_init(&mcf->remotes, mcf->fetch.client, cycle)
           != NGX_OK)
    {
        return NGX_ERROR;
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

    ngx_http_acr_remotes_exit(&mcf->remotes);
    ngx_http_acr_fetch_exit(&mcf->fetch);
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
ngx_http_acr_cache_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r->main);

    if (ctx == NULL || ctx->cache_status == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_acr_set_variable(v, (u_char *) ctx->cache_status,
                              ngx_strlen(ctx->cache_status));

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
