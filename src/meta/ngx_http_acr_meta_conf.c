
/*
 * How a Redis is reached: the arguments of acr_redis.
 */

#include "ngx_http_acr_meta.h"
#include "ngx_http_acr_redis_addr.h"
#include "ngx_http_acr_redis_ssl.h"


#define NGX_HTTP_ACR_META_TIMEOUT   3000
#define NGX_HTTP_ACR_META_PASSWORD  4096


/* the arguments that need one another */

typedef struct {
    ngx_str_t                    ca;
    ngx_http_acr_meta_conf_t    *conf;
} ngx_http_acr_meta_args_t;


typedef struct ngx_http_acr_meta_arg_s  ngx_http_acr_meta_arg_t;

typedef char *(*ngx_http_acr_meta_arg_pt)(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args, ngx_http_acr_meta_arg_t *arg,
    ngx_str_t *value);

struct ngx_http_acr_meta_arg_s {
    ngx_str_t                    name;
    ngx_http_acr_meta_arg_pt     set;
    size_t                       offset;   /* of a string in the conf */
};


static char *ngx_http_acr_meta_arg(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args, ngx_str_t *value);
static char *ngx_http_acr_meta_string(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args, ngx_http_acr_meta_arg_t *arg,
    ngx_str_t *value);
static char *ngx_http_acr_meta_password_file(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args, ngx_http_acr_meta_arg_t *arg,
    ngx_str_t *value);
static char *ngx_http_acr_meta_db(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args, ngx_http_acr_meta_arg_t *arg,
    ngx_str_t *value);
static char *ngx_http_acr_meta_timeout(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args, ngx_http_acr_meta_arg_t *arg,
    ngx_str_t *value);
static char *ngx_http_acr_meta_ssl(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args, ngx_http_acr_meta_arg_t *arg,
    ngx_str_t *value);
static char *ngx_http_acr_meta_ssl_ca(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args, ngx_http_acr_meta_arg_t *arg,
    ngx_str_t *value);
static char *ngx_http_acr_meta_check(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args);
static char *ngx_http_acr_meta_check_ssl(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args);
static char *ngx_http_acr_meta_refused(ngx_conf_t *cf, const char *reason);


static ngx_http_acr_meta_arg_t  ngx_http_acr_meta_arg_table[] = {

    { ngx_string("user="), ngx_http_acr_meta_string,
      offsetof(ngx_http_acr_meta_conf_t, user) },

    { ngx_string("password="), ngx_http_acr_meta_string,
      offsetof(ngx_http_acr_meta_conf_t, password) },

    { ngx_string("password_file="), ngx_http_acr_meta_password_file,
      offsetof(ngx_http_acr_meta_conf_t, password) },

    { ngx_string("sentinel_user="), ngx_http_acr_meta_string,
      offsetof(ngx_http_acr_meta_conf_t, sentinel_user) },

    { ngx_string("sentinel_password="), ngx_http_acr_meta_string,
      offsetof(ngx_http_acr_meta_conf_t, sentinel_password) },

    { ngx_string("sentinel_password_file="), ngx_http_acr_meta_password_file,
      offsetof(ngx_http_acr_meta_conf_t, sentinel_password) },

    { ngx_string("db="), ngx_http_acr_meta_db, 0 },
    { ngx_string("timeout="), ngx_http_acr_meta_timeout, 0 },
    { ngx_string("ssl="), ngx_http_acr_meta_ssl, 0 },
    { ngx_string("ssl_ca="), ngx_http_acr_meta_ssl_ca, 0 },
    { ngx_null_string, NULL, 0 }
};


char *
ngx_http_acr_meta_conf(ngx_conf_t *cf, ngx_http_acr_meta_conf_t *conf,
    ngx_array_t *args)
{
    ngx_str_t                 *value;
    ngx_uint_t                 i;
    ngx_http_acr_meta_args_t   all;

    ngx_memzero(conf, sizeof(ngx_http_acr_meta_conf_t));
    ngx_memzero(&all, sizeof(ngx_http_acr_meta_args_t));

    all.conf = conf;
    conf->timeout = NGX_HTTP_ACR_META_TIMEOUT;

    value = args->elts;

    if (args->nelts < 2) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no address in \"acr_redis\"");
        return NGX_CONF_ERROR;
    }

    if (ngx_http_acr_redis_addr(cf, conf, &value[1]) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < args->nelts; i++) {
        if (ngx_http_acr_meta_arg(cf, &all, &value[i]) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return ngx_http_acr_meta_check(cf, &all);
}


static char *
ngx_http_acr_meta_arg(ngx_conf_t *cf, ngx_http_acr_meta_args_t *args,
    ngx_str_t *value)
{
    char                     *rv;
    ngx_str_t                 text;
    ngx_http_acr_meta_arg_t  *arg;

    for (arg = ngx_http_acr_meta_arg_table; arg->name.len; arg++) {

        if (value->len < arg->name.len
            || ngx_strncmp(value->data, arg->name.data, arg->name.len) != 0)
        {
            continue;
        }

        text.data = value->data + arg->name.len;
        text.len = value->len - arg->name.len;

        rv = arg->set(cf, args, arg, &text);

        /* the value may be a password */

        if (rv != NGX_CONF_OK && rv != NGX_CONF_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" of \"acr_redis\" %s", &arg->name, rv);
            return NGX_CONF_ERROR;
        }

        return rv;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown parameter \"%V\" of \"acr_redis\"", value);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_acr_meta_string(ngx_conf_t *cf, ngx_http_acr_meta_args_t *args,
    ngx_http_acr_meta_arg_t *arg, ngx_str_t *value)
{
    char  *p = (char *) args->conf;

    ngx_str_t  *field;

    field = (ngx_str_t *) (p + arg->offset);

    if (field->len) {
        return "is a second one";
    }

    if (value->len == 0) {
        return "is empty";
    }

    *field = *value;

    return NGX_CONF_OK;
}


static char *
ngx_http_acr_meta_password_file(ngx_conf_t *cf, ngx_http_acr_meta_args_t *args,
    ngx_http_acr_meta_arg_t *arg, ngx_str_t *value)
{
    u_char      buf[NGX_HTTP_ACR_META_PASSWORD], *end;
    ssize_t     n;
    ngx_fd_t    fd;
    ngx_err_t   err;
    ngx_str_t   path, line;

    if (value->len == 0) {
        return "is empty";
    }

    path = *value;

    if (ngx_conf_full_name(cf->cycle, &path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    fd = ngx_open_file(path.data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "\"%V\" of \"acr_redis\": "
                           ngx_open_file_n " \"%V\" failed", &arg->name,
                           &path);
        return NGX_CONF_ERROR;
    }

    n = ngx_read_fd(fd, buf, sizeof(buf));
    err = (n == -1) ? ngx_errno : 0;

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", &path);
    }

    if (n == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, err,
                           "\"%V\" of \"acr_redis\": "
                           ngx_read_fd_n " \"%V\" failed", &arg->name, &path);
        return NGX_CONF_ERROR;
    }

    end = ngx_strlchr(buf, buf + n, '\n');

    if (end == NULL && n == sizeof(buf)) {
        ngx_explicit_memzero(buf, sizeof(buf));
        return "has too long a line";
    }

    line.data = buf;
    line.len = end ? (size_t) (end - buf) : (size_t) n;

    if (line.len && buf[line.len - 1] == '\r') {
        line.len--;
    }

    line.data = ngx_pstrdup(cf->pool, &line);

    ngx_explicit_memzero(buf, sizeof(buf));

    if (line.data == NULL) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_acr_meta_string(cf, args, arg, &line);
}


static char *
ngx_http_acr_meta_db(ngx_conf_t *cf, ngx_http_acr_meta_args_t *args,
    ngx_http_acr_meta_arg_t *arg, ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n == NGX_ERROR || n > NGX_MAX_INT32_VALUE) {
        return "is no number";
    }

    args->conf->db = n;

    return NGX_CONF_OK;
}


static char *
ngx_http_acr_meta_timeout(ngx_conf_t *cf, ngx_http_acr_meta_args_t *args,
    ngx_http_acr_meta_arg_t *arg, ngx_str_t *value)
{
    ngx_int_t  ms;

    ms = ngx_parse_time(value, 0);

    if (ms == NGX_ERROR || ms == 0 || ms > NGX_MAX_INT32_VALUE) {
        return "is no time";
    }

    args->conf->timeout = ms;

    return NGX_CONF_OK;
}


static char *
ngx_http_acr_meta_ssl(ngx_conf_t *cf, ngx_http_acr_meta_args_t *args,
    ngx_http_acr_meta_arg_t *arg, ngx_str_t *value)
{
    if (value->len == 2 && ngx_strncmp(value->data, "on", 2) == 0) {
        args->conf->ssl = 1;
        return NGX_CONF_OK;
    }

    if (value->len == 3 && ngx_strncmp(value->data, "off", 3) == 0) {
        args->conf->ssl = 0;
        return NGX_CONF_OK;
    }

    return "is \"on\" or \"off\"";
}


static char *
ngx_http_acr_meta_ssl_ca(ngx_conf_t *cf, ngx_http_acr_meta_args_t *args,
    ngx_http_acr_meta_arg_t *arg, ngx_str_t *value)
{
    if (value->len == 0) {
        return "is empty";
    }

    args->ca = *value;

    if (ngx_conf_full_name(cf->cycle, &args->ca, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_acr_meta_check(ngx_conf_t *cf, ngx_http_acr_meta_args_t *args)
{
    ngx_http_acr_meta_conf_t  *conf;

    conf = args->conf;

    if (conf->user.len && conf->password.len == 0) {
        return ngx_http_acr_meta_refused(cf, "\"user=\" without a password");
    }

    if (conf->sentinel_user.len && conf->sentinel_password.len == 0) {
        return ngx_http_acr_meta_refused(cf, "\"sentinel_user=\" without a "
                                         "password of sentinels");
    }

    if (conf->sentinel_password.len && conf->master.len == 0) {
        return ngx_http_acr_meta_refused(cf, "a password of sentinels without "
                                         "\"sentinel://\"");
    }

    if (conf->ssl) {
        return ngx_http_acr_meta_check_ssl(cf, args);
    }

    if (args->ca.len) {
        return ngx_http_acr_meta_refused(cf, "\"ssl_ca=\" without \"ssl=on\"");
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_acr_meta_check_ssl(ngx_conf_t *cf, ngx_http_acr_meta_args_t *args)
{
    ngx_http_acr_meta_conf_t  *conf;

    conf = args->conf;

    if (conf->addrs[0].port == 0) {
        return ngx_http_acr_meta_refused(cf, "\"ssl=on\" with a unix socket");
    }

#if (NGX_HTTP_ACR_REDIS_SSL)

    conf->ssl_ctx = ngx_http_acr_redis_ssl_create(cf, args->ca.len ? &args->ca
                                                                   : NULL);

    return conf->ssl_ctx ? NGX_CONF_OK : NGX_CONF_ERROR;

#else

    return ngx_http_acr_meta_refused(cf, "this module was built with a hiredis "
                                     "that has no TLS, hence no \"ssl=on\"");

#endif
}


static char *
ngx_http_acr_meta_refused(ngx_conf_t *cf, const char *reason)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s in \"acr_redis\"", reason);

    return NGX_CONF_ERROR;
}


ngx_uint_t
ngx_http_acr_meta_same(ngx_http_acr_meta_conf_t *a,
    ngx_http_acr_meta_conf_t *b)
{
    ngx_uint_t                 i, j;
    ngx_http_acr_meta_addr_t  *one, *two;

    if (a == b) {
        return 1;
    }

    if (a->db != b->db
        || a->master.len != b->master.len
        || (a->master.len != 0
            && ngx_strncmp(a->master.data, b->master.data, a->master.len)
               != 0))
    {
        return 0;
    }

    for (i = 0; i < a->naddrs; i++) {
        one = &a->addrs[i];

        for (j = 0; j < b->naddrs; j++) {
            two = &b->addrs[j];

            if (one->port == two->port
                && (ngx_strcmp(one->addr.data, two->addr.data) == 0
                    || ngx_strcmp(one->host.data, two->host.data) == 0))
            {
                return 1;
            }
        }
    }

    return 0;
}
