
#include "../ngx_http_acr.h"


#define NGX_HTTP_ACR_DATA_LIFETIME      3600
#define NGX_HTTP_ACR_DATA_LIFETIME_MIN  2
#define NGX_HTTP_ACR_DATA_LIFETIME_MAX  (30 * 24 * 3600)

/* a secret with its line end; one byte more tells a file that is longer */
#define NGX_HTTP_ACR_DATA_FILE          (ACR_SIGNED_SECRET_MAX + 3)


static char *ngx_http_acr_data_url(ngx_conf_t *cf,
    ngx_http_acr_data_endpoint_t *endpoint, ngx_str_t *value);
static char *ngx_http_acr_data_parameter(ngx_conf_t *cf,
    ngx_http_acr_data_endpoint_t *endpoint, ngx_str_t *value);
static ngx_int_t ngx_http_acr_data_add_key(ngx_conf_t *cf,
    acr_signed_keys_t *keys, ngx_str_t *name);
static ngx_int_t ngx_http_acr_data_read_key(ngx_conf_t *cf, ngx_str_t *name,
    u_char *buf, size_t *len);
static void ngx_http_acr_data_free_keys(void *data);


void
ngx_http_acr_data_create_conf(ngx_http_acr_data_conf_t *data)
{
    data->endpoint = NGX_CONF_UNSET_PTR;
    data->keys = NGX_CONF_UNSET_PTR;
}


void
ngx_http_acr_data_merge_conf(ngx_http_acr_data_conf_t *prev,
    ngx_http_acr_data_conf_t *data)
{
    ngx_conf_merge_ptr_value(data->endpoint, prev->endpoint, NULL);
    ngx_conf_merge_ptr_value(data->keys, prev->keys, NULL);
}


/* acr_data_endpoint URL [lifetime=TIME] [min_size=SIZE] | off; */

char *
ngx_http_acr_set_data_endpoint(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_acr_loc_conf_t *alcf = conf;

    char                          *rv;
    ngx_str_t                     *value;
    ngx_uint_t                     i;
    ngx_http_acr_data_endpoint_t  *endpoint;

    if (alcf->data.endpoint != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        alcf->data.endpoint = NULL;
        return NGX_CONF_OK;
    }

    endpoint = ngx_pcalloc(cf->pool, sizeof(ngx_http_acr_data_endpoint_t));

    if (endpoint == NULL) {
        return NGX_CONF_ERROR;
    }

    endpoint->lifetime = NGX_HTTP_ACR_DATA_LIFETIME;

    rv = ngx_http_acr_data_url(cf, endpoint, &value[1]);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_acr_data_parameter(cf, endpoint, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    alcf->data.endpoint = endpoint;

    return NGX_CONF_OK;
}


static char *
ngx_http_acr_data_url(ngx_conf_t *cf, ngx_http_acr_data_endpoint_t *endpoint,
    ngx_str_t *value)
{
    acr_text_t                         base;
    ngx_http_compile_complex_value_t   ccv;

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = value;
    ccv.complex_value = &endpoint->url;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    base.data = value->data;
    base.len = value->len;

    if (endpoint->url.lengths == NULL && acr_signed_base(&base) != ACR_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_data_endpoint\" must be \"off\", or an URL "
                           "of http or https without arguments, not \"%V\"",
                           value);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_acr_data_parameter(ngx_conf_t *cf,
    ngx_http_acr_data_endpoint_t *endpoint, ngx_str_t *value)
{
    ngx_str_t  s;

    if (ngx_strncmp(value->data, "lifetime=", 9) == 0) {
        s.data = value->data + 9;
        s.len = value->len - 9;

        endpoint->lifetime = ngx_parse_time(&s, 1);

        if (endpoint->lifetime < NGX_HTTP_ACR_DATA_LIFETIME_MIN
            || endpoint->lifetime > NGX_HTTP_ACR_DATA_LIFETIME_MAX)
        {
            return "\"lifetime\" must be between 2s and 30d";
        }

        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "min_size=", 9) == 0) {
        s.data = value->data + 9;
        s.len = value->len - 9;

        endpoint->min_size = ngx_parse_offset(&s);

        if (endpoint->min_size == NGX_ERROR) {
            return "\"min_size\" is no size";
        }

        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"acr_data_endpoint\" has no parameter \"%V\"", value);

    return NGX_CONF_ERROR;
}


/* --- keys */

char *
ngx_http_acr_set_data_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_acr_loc_conf_t *alcf = conf;

    ngx_str_t           *value;
    ngx_uint_t           i;
    acr_signed_keys_t   *keys;
    ngx_pool_cleanup_t  *cln;

    if (alcf->data.keys != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    keys = acr_signed_keys_create();
    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (keys == NULL || cln == NULL) {
        acr_signed_keys_free(keys);
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_http_acr_data_free_keys;
    cln->data = keys;

    alcf->data.keys = keys;

    /* "nginx -s stop" must work whatever has become of the files */

    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_CONF_OK;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_conf_full_name(cf->cycle, &value[i], 1) != NGX_OK
            || ngx_http_acr_data_add_key(cf, keys, &value[i]) != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static void
ngx_http_acr_data_free_keys(void *data)
{
    acr_signed_keys_free(data);
}


static ngx_int_t
ngx_http_acr_data_add_key(ngx_conf_t *cf, acr_signed_keys_t *keys,
    ngx_str_t *name)
{
    int        rc;
    size_t     len;
    ngx_int_t  read;
    u_char     buf[NGX_HTTP_ACR_DATA_FILE];

    read = ngx_http_acr_data_read_key(cf, name, buf, &len);

    rc = (read == NGX_OK) ? acr_signed_keys_add(keys, buf, len) : ACR_OK;

    ngx_explicit_memzero(buf, sizeof(buf));

    if (read != NGX_OK) {
        return NGX_ERROR;
    }

    switch (rc) {

    case ACR_OK:
        return NGX_OK;

    case ACR_UNSUPPORTED:
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_data_key\": the secret of \"%V\" is there "
                           "twice, or there are more than %d", name,
                           ACR_SIGNED_KEYS_MAX);
        return NGX_ERROR;

    case ACR_NOMEM:
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "no memory for \"%V\"", name);
        return NGX_ERROR;

    default:
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_data_key\": \"%V\" is not one line of %d to "
                           "%d printable characters", name,
                           ACR_SIGNED_SECRET_MIN, ACR_SIGNED_SECRET_MAX);
        return NGX_ERROR;
    }
}


/* buf has room for NGX_HTTP_ACR_DATA_FILE bytes, and no more are read */

static ngx_int_t
ngx_http_acr_data_read_key(ngx_conf_t *cf, ngx_str_t *name, u_char *buf,
    size_t *len)
{
    ssize_t          n;
    ngx_fd_t         fd;
    ngx_file_info_t  fi;

    fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "\"acr_data_key\": " ngx_open_file_n
                           " \"%V\" failed", name);
        return NGX_ERROR;
    }

    /* secrets that are mounted into containers often are: it still works */

    if (ngx_fd_info(fd, &fi) != NGX_FILE_ERROR
        && (ngx_file_access(&fi) & S_IROTH))
    {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"acr_data_key\": everybody on this machine can "
                           "read the secret in \"%V\"", name);
    }

    *len = 0;

    do {
        n = ngx_read_fd(fd, buf + *len, NGX_HTTP_ACR_DATA_FILE - *len);

        if (n == -1) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                               "\"acr_data_key\": " ngx_read_fd_n
                               " \"%V\" failed", name);
            break;
        }

        *len += n;

    } while (n > 0 && *len < NGX_HTTP_ACR_DATA_FILE);

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, cf->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", name);
    }

    return (n == -1) ? NGX_ERROR : NGX_OK;
}
