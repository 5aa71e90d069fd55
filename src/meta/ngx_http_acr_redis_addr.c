
#include "ngx_http_acr_redis_addr.h"

#include <sys/un.h>


#define NGX_HTTP_ACR_REDIS_PORT       6379
#define NGX_HTTP_ACR_SENTINEL_PORT    26379

#define NGX_HTTP_ACR_SENTINEL_MAX     16     /* in the configuration */
#define NGX_HTTP_ACR_SENTINEL_SCHEME  "sentinel://"
#define NGX_HTTP_ACR_SENTINEL_NAME    255    /* characters of a master's name */


static char *ngx_http_acr_redis_addr_sentinels(ngx_conf_t *cf,
    ngx_http_acr_meta_conf_t *conf, ngx_str_t *text, ngx_array_t *addrs);
static char *ngx_http_acr_redis_addr_master(ngx_conf_t *cf,
    ngx_http_acr_meta_conf_t *conf, u_char *p, u_char *last);
static char *ngx_http_acr_redis_addr_add(ngx_conf_t *cf,
    ngx_http_acr_meta_conf_t *conf, ngx_str_t *text, in_port_t port,
    ngx_array_t *addrs);
static ngx_int_t ngx_http_acr_redis_addr_unix(ngx_conf_t *cf, ngx_url_t *u,
    ngx_array_t *addrs);
static ngx_int_t ngx_http_acr_redis_addr_inet(ngx_conf_t *cf, ngx_url_t *u,
    ngx_array_t *addrs);
static ngx_int_t ngx_http_acr_redis_addr_copy(ngx_conf_t *cf, ngx_str_t *to,
    u_char *data, size_t len);
static char *ngx_http_acr_redis_addr_error(ngx_conf_t *cf,
    ngx_http_acr_meta_conf_t *conf, const char *reason);


char *
ngx_http_acr_redis_addr(ngx_conf_t *cf, ngx_http_acr_meta_conf_t *conf,
    ngx_str_t *text)
{
    char         *rv;
    size_t        len;
    ngx_str_t     rest;
    ngx_array_t   addrs;

    conf->text = *text;
    len = sizeof(NGX_HTTP_ACR_SENTINEL_SCHEME) - 1;

    if (ngx_array_init(&addrs, cf->pool, 4, sizeof(ngx_http_acr_meta_addr_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (text->len >= len
        && ngx_strncmp(text->data, NGX_HTTP_ACR_SENTINEL_SCHEME, len) == 0)
    {
        rest.data = text->data + len;
        rest.len = text->len - len;

        rv = ngx_http_acr_redis_addr_sentinels(cf, conf, &rest, &addrs);

    } else {
        rv = ngx_http_acr_redis_addr_add(cf, conf, text,
                                         NGX_HTTP_ACR_REDIS_PORT, &addrs);
    }

    conf->addrs = addrs.elts;
    conf->naddrs = addrs.nelts;

    return rv;
}


/* <host>[:<port>][,<host>[:<port>]...]/<master> */

static char *
ngx_http_acr_redis_addr_sentinels(ngx_conf_t *cf,
    ngx_http_acr_meta_conf_t *conf, ngx_str_t *text, ngx_array_t *addrs)
{
    u_char      *p, *last, *end;
    ngx_str_t    one;
    ngx_uint_t   n;

    p = text->data;
    last = text->data + text->len;

    for (n = 1; /* void */ ; n++) {

        if (n > NGX_HTTP_ACR_SENTINEL_MAX) {
            return ngx_http_acr_redis_addr_error(cf, conf,
                                                 "more than 16 sentinels");
        }

        if (last - p >= 5 && ngx_strncasecmp(p, (u_char *) "unix:", 5) == 0) {
            return ngx_http_acr_redis_addr_error(cf, conf,
                                                 "unix socket of a sentinel");
        }

        for (end = p; end < last && *end != ',' && *end != '/'; end++) {
            /* void */
        }

        one.data = p;
        one.len = end - p;

        if (ngx_http_acr_redis_addr_add(cf, conf, &one,
                                        NGX_HTTP_ACR_SENTINEL_PORT, addrs)
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }

        if (end == last) {
            return ngx_http_acr_redis_addr_error(cf, conf,
                                                 "no name of the master");
        }

        p = end + 1;

        if (*end == '/') {
            return ngx_http_acr_redis_addr_master(cf, conf, p, last);
        }
    }
}


/* as Sentinel itself demands it */

static char *
ngx_http_acr_redis_addr_master(ngx_conf_t *cf, ngx_http_acr_meta_conf_t *conf,
    u_char *p, u_char *last)
{
    u_char  *s;

    if (p == last) {
        return ngx_http_acr_redis_addr_error(cf, conf,
                                             "no name of the master");
    }

    if (last - p > NGX_HTTP_ACR_SENTINEL_NAME) {
        return ngx_http_acr_redis_addr_error(cf, conf,
                                             "too long a name of the master");
    }

    for (s = p; s < last; s++) {

        if ((*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z')
            || (*s >= 'A' && *s <= 'Z')
            || *s == '-' || *s == '_' || *s == '.')
        {
            continue;
        }

        return ngx_http_acr_redis_addr_error(cf, conf,
                                             "a name of the master that has "
                                             "other characters than letters, "
                                             "digits, \"-\", \"_\", \".\"");
    }

    if (ngx_http_acr_redis_addr_copy(cf, &conf->master, p, last - p)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* a single one, which may have several addresses */

static char *
ngx_http_acr_redis_addr_add(ngx_conf_t *cf, ngx_http_acr_meta_conf_t *conf,
    ngx_str_t *text, in_port_t port, ngx_array_t *addrs)
{
    ngx_int_t  rc;
    ngx_url_t  u;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *text;
    u.default_port = port;

    if (text->len == 0) {
        return ngx_http_acr_redis_addr_error(cf, conf, "no host");
    }

    /* of these nginx would say "invalid host" */

    if (text->data[0] == '/') {
        return ngx_http_acr_redis_addr_error(cf, conf,
                                             "\"unix:\" is missing before the "
                                             "path");
    }

    if (ngx_strnstr(text->data, "://", text->len)) {
        return ngx_http_acr_redis_addr_error(cf, conf,
                                             "\"host:port\" and no URL is "
                                             "needed");
    }

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        return ngx_http_acr_redis_addr_error(cf, conf,
                                             u.err ? u.err : "no memory");
    }

    if (u.family != AF_UNIX) {
        rc = ngx_http_acr_redis_addr_inet(cf, &u, addrs);

    } else {

        /* hiredis 0.14 does not end a path of the greatest length */

        if (u.host.len > sizeof(((struct sockaddr_un *) 0)->sun_path) - 2) {
            return ngx_http_acr_redis_addr_error(cf, conf, "too long a path");
        }

        rc = ngx_http_acr_redis_addr_unix(cf, &u, addrs);
    }

    return (rc == NGX_OK) ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_acr_redis_addr_unix(ngx_conf_t *cf, ngx_url_t *u, ngx_array_t *addrs)
{
    ngx_http_acr_meta_addr_t  *addr;

    addr = ngx_array_push(addrs);

    if (addr == NULL) {
        return NGX_ERROR;
    }

    addr->port = 0;
    addr->text = u->url;

    if (ngx_http_acr_redis_addr_copy(cf, &addr->addr, u->host.data,
                                     u->host.len)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    addr->host = addr->addr;

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_redis_addr_inet(ngx_conf_t *cf, ngx_url_t *u, ngx_array_t *addrs)
{
    u_char                     buf[NGX_SOCKADDR_STRLEN];
    size_t                     len;
    ngx_str_t                  host;
    ngx_uint_t                 i;
    ngx_http_acr_meta_addr_t  *addr;

    if (ngx_http_acr_redis_addr_copy(cf, &host, u->host.data, u->host.len)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < u->naddrs; i++) {
        addr = ngx_array_push(addrs);

        if (addr == NULL) {
            return NGX_ERROR;
        }

        addr->port = u->port;
        addr->text = u->addrs[i].name;

        len = ngx_sock_ntop(u->addrs[i].sockaddr, u->addrs[i].socklen, buf,
                            NGX_SOCKADDR_STRLEN, 0);

        if (ngx_http_acr_redis_addr_copy(cf, &addr->addr, buf, len)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        /* "[::1]" is in a certificate without its brackets */

        addr->host = (host.data[0] == '[') ? addr->addr : host;
    }

    return NGX_OK;
}


/* with a zero behind it, for hiredis and OpenSSL */

static ngx_int_t
ngx_http_acr_redis_addr_copy(ngx_conf_t *cf, ngx_str_t *to, u_char *data,
    size_t len)
{
    to->data = ngx_pnalloc(cf->pool, len + 1);

    if (to->data == NULL) {
        return NGX_ERROR;
    }

    to->len = len;
    ngx_cpystrn(to->data, data, len + 1);

    return NGX_OK;
}


static char *
ngx_http_acr_redis_addr_error(ngx_conf_t *cf, ngx_http_acr_meta_conf_t *conf,
    const char *reason)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "%s in the address \"%V\" of \"acr_redis\"", reason,
                       &conf->text);

    return NGX_CONF_ERROR;
}
