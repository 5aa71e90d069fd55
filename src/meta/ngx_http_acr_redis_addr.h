
/*
 * The address of acr_redis, when the configuration is read.
 */

#ifndef NGX_HTTP_ACR_REDIS_ADDR_H
#define NGX_HTTP_ACR_REDIS_ADDR_H

#include "ngx_http_acr_meta.h"


/*
 * Reads text, one of the forms of ngx_http_acr_meta_conf(), into conf->text,
 * master, addrs and naddrs, of which there is at least one.  Names are looked
 * up.  NGX_CONF_OK, or NGX_CONF_ERROR after it logged what is wrong.
 */
char *ngx_http_acr_redis_addr(ngx_conf_t *cf, ngx_http_acr_meta_conf_t *conf,
    ngx_str_t *text);


#endif /* NGX_HTTP_ACR_REDIS_ADDR_H */
