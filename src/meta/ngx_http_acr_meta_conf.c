
/*
 * How a Redis is reached: the arguments of acr_redis.
 */

#include "ngx_http_acr_meta.h"
#include "ngx_http_acr_redis_ssl.h"

#include <sys/un.h>


#define NGX_HTTP_ACR_META_PORT      6379
#define NGX_HTTP_ACR_META_TIMEOUT   3000
#define NGX_HTTP_ACR_META_PASSWORD  4096


/* the arguments that need one another */

typedef struct {
    ngx_str_t                    ca;
    ngx_http_acr_meta_conf_t    *conf;
} ngx_http_acr_meta_args_t;


typedef char *(*ngx_http_acr_meta_arg_pt)(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args, ngx_str_t *value);

typedef struct {
    ngx_str_t                    name;
    ngx_http_acr_meta_arg_pt     set;
} ngx_http_acr_meta_arg_t;


static char *ngx_http_acr_meta_address(ngx_conf_t *cf,
    ngx_http_acr_meta_conf_t *conf, ngx_str_t *text);
static ngx_int_t ngx_http_acr_meta_addrs(ngx_conf_t *cf,
    ngx_http_acr_meta_conf_t *conf, ngx_url_t *u);
static ngx_int_t ngx_http_acr_meta_copy(ngx_conf_t *cf, ngx_str_t *to,
    ngx_str_t *from);
static char *ngx_http_acr_meta_arg(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args, ngx_str_t *value);
static char *ngx_http_acr_meta_user(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args, ngx_str_t *value);
static char *ngx_http_acr_meta_password(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args, ngx_str_t *value);
static char *ngx_http_acr_meta_password_file(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args, ngx_str_t *value);
static char *ngx_http_acr_meta_db(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args, ngx_str_t *value);
static char *ngx_http_acr_meta_timeout(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args, ngx_str_t *value);
static char *ngx_http_acr_meta_ssl(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args, ngx_str_t *value);
static char *ngx_http_acr_meta_ssl_ca(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args, ngx_str_t *value);
static char *ngx_http_acr_meta_check(ngx_conf_t *cf,
    ngx_http_acr_meta_args_t *args);


static ngx_http_acr_meta_arg_t  ngx_http_acr_meta_arg_table[] = {
    { ngx_string("user="), ngx_http_acr_meta_user },
    { ngx_string("password="), ngx_http_acr_meta_password },
    { ngx_string("password_file="), ngx_http_acr_meta_password_file },
    { ngx_string("db="), ngx_http_acr_meta_db },
    { ngx_string("timeout="), ngx_http_acr_meta_timeout },
    { ngx_string("ssl="), ngx_http_acr_meta_ssl },
    { ngx_string("ssl_ca="), ngx_http_acr_meta_ssl_ca },
    { ngx_null_string, NULL }
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

    if (ngx_http_acr_meta_address(cf, conf, &value[1]) != NGX_CONF_OK) {
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
ngx_http_acr_meta_address(ngx_conf_t *cf, ngx_http_acr_meta_conf_t *conf,
    ngx_str_t *text)
{
    ngx_url_t  u;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *text;
    u.default_port = NGX_HTTP_ACR_META_PORT;

    conf->text = *text;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s in the address \"%V\" of \"acr_redis\"",
                           u.err ? u.err : "no memory", text);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_acr_meta_copy(cf, &conf->host, &u.host) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (u.family == AF_UNIX) {

        /* hiredis 0.14 does not end a path of the greatest length */

        if (u.host.len > sizeof(((struct sockaddr_un *) 0)->sun_path) - 2) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "too long a path \"%V\" in \"acr_redis\"",
                               text);
            return NGX_CONF_ERROR;
        }

        return NGX_CONF_OK;
    }

    conf->port = u.port;

    if (ngx_http_acr_meta_addrs(cf, conf, &u) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_acr_meta_addrs(ngx_conf_t *cf, ngx_http_acr_meta_conf_t *conf,
    ngx_url_t *u)
{
    u_char      text[NGX_SOCKADDR_STRLEN];
    ngx_str_t   addr;
    ngx_uint_t  i;

    conf->addrs = ngx_palloc(cf->pool, u->naddrs * sizeof(ngx_str_t));

    if (conf->addrs == NULL) {
        return NGX_ERROR;
    }

    conf->naddrs = u->naddrs;

    for (i = 0; i < u->naddrs; i++) {
        addr.data = text;
        addr.len = ngx_sock_ntop(u->addrs[i].sockaddr, u->addrs[i].socklen,
                                 text, NGX_SOCKADDR_STRLEN, 0);

        if (ngx_http_acr_meta_copy(cf, &conf->addrs[i], &addr) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    /* the name in the certificate; "[::1]" has it without its brackets */

    if (conf->host.len && conf->host.data[0] == '[') {
        conf->host = conf->addrs[0];
    }

    return NGX_OK;
}


/* with a zero behind it, for hiredis and OpenSSL */

static ngx_int_t
ngx_http_acr_meta_copy(ngx_conf_t *cf, ngx_str_t *to, ngx_str_t *from)
{
    to->data = ngx_pnalloc(cf->pool, from->len + 1);

    if (to->data == NULL) {
        return NGX_ERROR;
    }

    to->len = from->len;
    ngx_cpystrn(to->data, from->data, from->len + 1);

    return NGX_OK;
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

        rv = arg->set(cf, args, &text);

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
ngx_http_acr_meta_user(ngx_conf_t *cf, ngx_http_acr_meta_args_t *args,
    ngx_str_t *value)
{
    if (value->len == 0) {
        return "is empty";
    }

    args->conf->user = *value;

    return NGX_CONF_OK;
}


static char *
ngx_http_acr_meta_password(ngx_conf_t *cf, ngx_http_acr_meta_args_t *args,
    ngx_str_t *value)
{
    if (args->conf->password.len) {
        return "is a second password";
    }

    if (value->len == 0) {
        return "is empty";
    }

    args->conf->password = *value;

    return NGX_CONF_OK;
}


static char *
ngx_http_acr_meta_password_file(ngx_conf_t *cf, ngx_http_acr_meta_args_t *args,
    ngx_str_t *value)
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
                           "\"password_file=\" of \"acr_redis\": "
                           ngx_open_file_n " \"%V\" failed", &path);
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
                           "\"password_file=\" of \"acr_redis\": "
                           ngx_read_fd_n " \"%V\" failed", &path);
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

    return ngx_http_acr_meta_password(cf, args, &line);
}


static char *
ngx_http_acr_meta_db(ngx_conf_t *cf, ngx_http_acr_meta_args_t *args,
    ngx_str_t *value)
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
    ngx_str_t *value)
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
    ngx_str_t *value)
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
    ngx_str_t *value)
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
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"user=\" without a password in \"acr_redis\"");
        return NGX_CONF_ERROR;
    }

    if (!conf->ssl) {

        if (args->ca.len) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"ssl_ca=\" without \"ssl=on\" in "
                               "\"acr_redis\"");
            return NGX_CONF_ERROR;
        }

        return NGX_CONF_OK;
    }

    if (conf->port == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"ssl=on\" with a unix socket in \"acr_redis\"");
        return NGX_CONF_ERROR;
    }

#if (NGX_HTTP_ACR_REDIS_SSL)

    conf->ssl_ctx = ngx_http_acr_redis_ssl_create(cf, args->ca.len ? &args->ca
                                                                   : NULL);

    return conf->ssl_ctx ? NGX_CONF_OK : NGX_CONF_ERROR;

#else

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"ssl=on\" in \"acr_redis\": this module was built "
                       "with a hiredis that has no TLS");

    return NGX_CONF_ERROR;

#endif
}
