
#include "ngx_http_acr_conf.h"


#define NGX_HTTP_ACR_NAME_MAX  64


static ngx_int_t ngx_http_acr_set_edge_limit(ngx_http_acr_edge_cache_t *cache,
    ngx_str_t *value);


char *
ngx_http_acr_set_handler(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
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


char *
ngx_http_acr_set_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_acr_loc_conf_t *alcf = conf;

    if (alcf->zone != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    return ngx_http_acr_zone_conf(cf, &alcf->zone);
}


char *
ngx_http_acr_set_root(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
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


char *
ngx_http_acr_set_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
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


char *
ngx_http_acr_set_name(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
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


char *
ngx_http_acr_set_interval(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
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


char *
ngx_http_acr_set_location(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
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


char *
ngx_http_acr_set_edge_cache(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_acr_loc_conf_t *alcf = conf;

    ngx_uint_t   i;
    ngx_str_t   *value;

    if (alcf->edge_cache != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    alcf->edge_cache = ngx_pcalloc(cf->pool,
                                   sizeof(ngx_http_acr_edge_cache_t));

    if (alcf->edge_cache == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_http_acr_set_edge_limit(alcf->edge_cache, &value[i])
            != NGX_OK)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" of "
                               "\"acr_edge_cache\"", &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* each one once, and none is 0 */

static ngx_int_t
ngx_http_acr_set_edge_limit(ngx_http_acr_edge_cache_t *cache, ngx_str_t *value)
{
    off_t      *size;
    ngx_str_t   s;

    if (ngx_strncmp(value->data, "inactive=", 9) == 0) {

        if (cache->inactive) {
            return NGX_ERROR;
        }

        s.data = value->data + 9;
        s.len = value->len - 9;

        cache->inactive = ngx_parse_time(&s, 1);

        return (cache->inactive > 0) ? NGX_OK : NGX_ERROR;
    }

    if (ngx_strncmp(value->data, "max_size=", 9) == 0) {
        size = &cache->max_size;

    } else if (ngx_strncmp(value->data, "min_free=", 9) == 0) {
        size = &cache->min_free;

    } else {
        return NGX_ERROR;
    }

    if (*size) {
        return NGX_ERROR;
    }

    s.data = value->data + 9;
    s.len = value->len - 9;

    *size = ngx_parse_offset(&s);

    return (*size > 0) ? NGX_OK : NGX_ERROR;
}
