
/*
 * The configuration: how it is made, merged and checked, and how directives
 * are read.  The table of directives is in ngx_http_acr_module.c.
 *
 *     ngx_http_acr_conf.c            made, merged and checked
 *     ngx_http_acr_conf_set.c        setters of directives
 *     ngx_http_acr_conf_registry.c   the registries that it describes
 *
 * What belongs to a subject of its own is read by that subject, and only a
 * pointer to it is in ngx_http_acr_loc_conf_t: ngx_http_acr_meta_conf() reads
 * "acr_redis", ngx_http_acr_zone_conf() "acr_zone".
 *
 * Whatever returns NGX_CONF_ERROR, NGX_ERROR or NULL has logged why, or there
 * is no memory.
 */

#ifndef NGX_HTTP_ACR_CONF_H
#define NGX_HTTP_ACR_CONF_H

#include "ngx_http_acr.h"


/* no registry yet: ngx_http_acr_main_conf_t */
void *ngx_http_acr_create_main_conf(ngx_conf_t *cf);

/* nothing is set: ngx_http_acr_loc_conf_t */
void *ngx_http_acr_create_loc_conf(ngx_conf_t *cf);

/*
 * Every field gets its value.  If the location is one of the module's, they
 * are checked, conf->registry is set, and nginx's client_max_body_size is off.
 */
char *ngx_http_acr_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);

/*
 * conf->registry: the one of conf's acr_root, or a new one.  Locations that
 * share a registry agree on what is of the registry, and no two registries
 * share a name in a Redis or a zone.
 */
char *ngx_http_acr_conf_join(ngx_conf_t *cf, ngx_http_acr_loc_conf_t *conf);

/*
 * The directories of all registries, for the user whom the workers will run
 * as: once the whole configuration is known to be sound.
 */
ngx_int_t ngx_http_acr_conf_prepare(ngx_conf_t *cf);


/*
 * Setters of directives: conf is a ngx_http_acr_loc_conf_t.  What is wrong, as
 * a directive returns it, or NGX_CONF_OK.
 */

/* "acr" and the other directives that make a location the module's; cmd->post
   is its content handler */
char *ngx_http_acr_set_handler(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* acr_zone */
char *ngx_http_acr_set_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* acr_root: an absolute path without a slash at its end */
char *ngx_http_acr_set_root(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* acr_redis */
char *ngx_http_acr_set_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* acr_location */
char *ngx_http_acr_set_location(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* acr_edge_cache */
char *ngx_http_acr_set_edge_cache(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* a name that becomes part of Redis keys or a file name: ngx_str_t at
   cmd->offset */
char *ngx_http_acr_set_name(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* a time, or "off", which is 0: time_t at cmd->offset */
char *ngx_http_acr_set_interval(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


#endif /* NGX_HTTP_ACR_CONF_H */
