
/*
 * Directives of the data endpoint: acr_data_endpoint, acr_data_key.
 * docs/directives.md says what they mean, docs/edge.md what they are for.
 */

#ifndef NGX_HTTP_ACR_DATA_CONF_H
#define NGX_HTTP_ACR_DATA_CONF_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "acr_signed.h"


/* acr_data_endpoint */

typedef struct {
    ngx_http_complex_value_t      url;
    time_t                        lifetime;  /* of an address */
    off_t                         min_size;  /* of a blob that is sent there */
} ngx_http_acr_data_endpoint_t;


typedef struct {
    ngx_http_acr_data_endpoint_t *endpoint;  /* NULL: off */
    acr_signed_keys_t            *keys;      /* NULL: no acr_data_key */
} ngx_http_acr_data_conf_t;


/* for the functions of the location's configuration */
void ngx_http_acr_data_create_conf(ngx_http_acr_data_conf_t *data);
void ngx_http_acr_data_merge_conf(ngx_http_acr_data_conf_t *prev,
    ngx_http_acr_data_conf_t *data);

/* setters; conf is the location's */
char *ngx_http_acr_set_data_endpoint(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_acr_set_data_key(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


#endif /* NGX_HTTP_ACR_DATA_CONF_H */
