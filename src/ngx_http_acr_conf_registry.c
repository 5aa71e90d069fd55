
#include "ngx_http_acr_conf.h"
#include "auth/ngx_http_acr_oidc.h"

#include <openssl/rand.h>

#include <pwd.h>
#include <grp.h>


/* characters, all of hex, of the names that docker and podman give */
#define NGX_HTTP_ACR_CONF_CONTAINER  12


#define ngx_http_acr_conf_same(a, b)                                         \
    ((a)->len == (b)->len                                                    \
     && ngx_strncmp((a)->data, (b)->data, (b)->len) == 0)


static ngx_http_acr_registry_t *ngx_http_acr_conf_create(ngx_conf_t *cf,
    ngx_http_acr_loc_conf_t *conf);
static ngx_str_t ngx_http_acr_conf_hostname(ngx_conf_t *cf);
static time_t ngx_http_acr_conf_offline(ngx_http_acr_loc_conf_t *conf);
static char *ngx_http_acr_conf_apart(ngx_conf_t *cf,
    ngx_http_acr_registry_t *registry, ngx_http_acr_loc_conf_t *conf);
static char *ngx_http_acr_conf_agree(ngx_conf_t *cf,
    ngx_http_acr_registry_t *registry, ngx_http_acr_loc_conf_t *conf);
static char *ngx_http_acr_conf_join_auth(ngx_conf_t *cf,
    ngx_http_acr_registry_t *registry, ngx_http_acr_loc_conf_t *conf);
static ngx_uint_t ngx_http_acr_conf_same_cache(ngx_http_acr_edge_cache_t *a,
    ngx_http_acr_edge_cache_t *b);
static ngx_uint_t ngx_http_acr_conf_same_files(ngx_array_t *a,
    ngx_array_t *b);
static char *ngx_http_acr_conf_join_zone(ngx_conf_t *cf,
    ngx_http_acr_registry_t *registry, ngx_http_acr_loc_conf_t *conf);
static ngx_http_acr_pool_t *ngx_http_acr_conf_thread_pool(ngx_conf_t *cf,
    ngx_http_acr_registry_t *registry, ngx_str_t *name, ngx_uint_t label);
static void ngx_http_acr_conf_unusable(ngx_conf_t *cf, ngx_str_t *root,
    const char *why, const char *path, ngx_err_t err, uid_t uid);
static ngx_int_t ngx_http_acr_conf_worker_user(ngx_conf_t *cf, uid_t *uid,
    gid_t *gid);


char *
ngx_http_acr_conf_join(ngx_conf_t *cf, ngx_http_acr_loc_conf_t *conf)
{
    ngx_uint_t                 i;
    ngx_http_acr_registry_t   *registry, **registries;
    ngx_http_acr_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_acr_module);

    registries = mcf->registries.elts;

    for (i = 0; i < mcf->registries.nelts; i++) {
        registry = registries[i];

        if (ngx_http_acr_conf_same(&registry->store.root, &conf->root)) {

            if (ngx_http_acr_conf_agree(cf, registry, conf) != NGX_CONF_OK
                || ngx_http_acr_conf_join_auth(cf, registry, conf)
                   != NGX_CONF_OK)
            {
                return NGX_CONF_ERROR;
            }

            registry->upload_expires = ngx_max(registry->upload_expires,
                                               conf->upload_expires);
            registry->roles |= (conf->auth.roles != NULL);
            conf->registry = registry;

            return ngx_http_acr_conf_join_zone(cf, registry, conf);
        }

        if (ngx_http_acr_conf_apart(cf, registry, conf) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }
    }

    registry = ngx_http_acr_conf_create(cf, conf);

    if (registry == NULL) {
        return NGX_CONF_ERROR;
    }

    registries = ngx_array_push(&mcf->registries);

    if (registries == NULL) {
        return NGX_CONF_ERROR;
    }

    *registries = registry;
    conf->registry = registry;

    return ngx_http_acr_conf_join_zone(cf, registry, conf);
}


static ngx_http_acr_registry_t *
ngx_http_acr_conf_create(ngx_conf_t *cf, ngx_http_acr_loc_conf_t *conf)
{
    ngx_http_acr_registry_t  *registry;

    static ngx_str_t  fast = ngx_string("acr");
    static ngx_str_t  slow = ngx_string("acr_slow");

    registry = ngx_pcalloc(cf->pool, sizeof(ngx_http_acr_registry_t));

    if (registry == NULL) {
        return NULL;
    }

    registry->name = conf->name;
    registry->meta_conf = conf->meta_conf;
    registry->upload_expires = conf->upload_expires;
    registry->gc_delay = conf->gc_delay;
    registry->gc_interval = conf->gc_interval;
    registry->gc_untagged = conf->gc_untagged;
    registry->scrub_interval = conf->scrub_interval;
    registry->scrub_rate = conf->scrub_rate;
    registry->origin = conf->origin;
    registry->offline = ngx_http_acr_conf_offline(conf);
    registry->fill_max = conf->fill_max;
    registry->fill_rate = conf->fill_rate;

    if (conf->edge_cache) {
        registry->edge_cache = *conf->edge_cache;
    }

    registry->auth_on = conf->auth.enable;
    registry->roles = (conf->auth.roles != NULL);
    registry->key_files = conf->auth.key_files;
    registry->issuers = conf->auth.issuers;

    registry->store.root = conf->root;
    registry->store.fsync = conf->fsync;
    registry->store.node = conf->node.len ? conf->node
                                          : ngx_http_acr_conf_hostname(cf);

    registry->zone = conf->zone;

    registry->fast = ngx_http_acr_conf_thread_pool(cf, registry, &fast,
                                                   NGX_HTTP_ACR_POOL_acr);
    registry->slow = ngx_http_acr_conf_thread_pool(cf, registry, &slow,
                                                   NGX_HTTP_ACR_POOL_acr_slow);

    if (registry->fast == NULL || registry->slow == NULL) {
        return NULL;
    }

    return registry;
}


/*
 * The name of a container that was not given one is another one the next time,
 * and what the node of before has noted under its own is not found.
 */

static ngx_str_t
ngx_http_acr_conf_hostname(ngx_conf_t *cf)
{
    u_char      c;
    ngx_str_t  *name;
    ngx_uint_t  i;

    name = &cf->cycle->hostname;

    for (i = 0; i < name->len; i++) {
        c = name->data[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return *name;
        }
    }

    if (name->len == NGX_HTTP_ACR_CONF_CONTAINER) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"acr_node\" is not set, and the host's name "
                           "\"%V\" seems to be that of a container: give it "
                           "one that stays", name);
    }

    return *name;
}


/* only an edge node has an origin that may be down */

static time_t
ngx_http_acr_conf_offline(ngx_http_acr_loc_conf_t *conf)
{
    return conf->origin ? conf->edge_offline : 0;
}


/* what registries of different directories must not have in common */

static char *
ngx_http_acr_conf_apart(ngx_conf_t *cf, ngx_http_acr_registry_t *registry,
    ngx_http_acr_loc_conf_t *conf)
{
    if (ngx_http_acr_conf_same(&registry->name, &conf->name)
        && registry->meta_conf && conf->meta_conf
        && ngx_http_acr_meta_same(registry->meta_conf, conf->meta_conf))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_registry\" \"%V\" is used for \"%V\" and "
                           "for \"%V\" in the same Redis",
                           &conf->name, &registry->store.root, &conf->root);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* what locations of the same directory must have in common */

static char *
ngx_http_acr_conf_agree(ngx_conf_t *cf, ngx_http_acr_registry_t *registry,
    ngx_http_acr_loc_conf_t *conf)
{
    if (registry->origin != conf->origin
        || registry->offline != ngx_http_acr_conf_offline(conf))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_root\" \"%V\" is used with two different "
                           "\"acr_origin\" or \"acr_edge_offline\", or "
                           "without, too", &conf->root);
        return NGX_CONF_ERROR;
    }

    if (!ngx_http_acr_conf_same(&registry->name, &conf->name)
        || (registry->meta_conf
            && !ngx_http_acr_meta_same(registry->meta_conf, conf->meta_conf))
        || registry->store.fsync != conf->fsync)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_root\" \"%V\" is used with two different "
                           "\"acr_registry\", \"acr_redis\" or \"acr_fsync\"",
                           &conf->root);
        return NGX_CONF_ERROR;
    }

    if (registry->gc_delay != conf->gc_delay
        || registry->gc_interval != conf->gc_interval
        || registry->gc_untagged != conf->gc_untagged
        || registry->scrub_interval != conf->scrub_interval
        || registry->scrub_rate != conf->scrub_rate)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_root\" \"%V\" is used with two different "
                           "\"acr_gc_delay\", \"acr_gc_interval\", "
                           "\"acr_gc_untagged\", \"acr_scrub_interval\" or "
                           "\"acr_scrub_rate\"", &conf->root);
        return NGX_CONF_ERROR;
    }

    if (registry->fill_max != conf->fill_max
        || registry->fill_rate != conf->fill_rate)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_root\" \"%V\" is used with two different "
                           "\"acr_fill_max\" or \"acr_fill_rate\"",
                           &conf->root);
        return NGX_CONF_ERROR;
    }

    if (!ngx_http_acr_conf_same_cache(&registry->edge_cache,
                                      conf->edge_cache))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_root\" \"%V\" is used with two different "
                           "\"acr_edge_cache\", or with one and without",
                           &conf->root);
        return NGX_CONF_ERROR;
    }

    if (!ngx_http_acr_conf_same_files(registry->key_files,
                                      conf->auth.key_files))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_root\" \"%V\" is used with two different "
                           "\"acr_token_key\"", &conf->root);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* without the directive all are 0, as none of its parameters can be */

static ngx_uint_t
ngx_http_acr_conf_same_cache(ngx_http_acr_edge_cache_t *a,
    ngx_http_acr_edge_cache_t *b)
{
    if (b == NULL) {
        return !a->max_size && !a->min_free && !a->inactive;
    }

    return a->max_size == b->max_size && a->min_free == b->min_free
           && a->inactive == b->inactive;
}


/* what locations with access control must have in common; "acr_admin" and so
   on may be elsewhere, without it */

static char *
ngx_http_acr_conf_join_auth(ngx_conf_t *cf, ngx_http_acr_registry_t *registry,
    ngx_http_acr_loc_conf_t *conf)
{
    if (!conf->auth.enable) {
        return NGX_CONF_OK;
    }

    if (!registry->auth_on) {
        registry->auth_on = 1;
        registry->issuers = conf->auth.issuers;
        return NGX_CONF_OK;
    }

    if (!ngx_http_acr_oidc_same(registry->issuers, conf->auth.issuers)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_root\" \"%V\" is used with two different "
                           "\"acr_oidc_issuer\"", &conf->root);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_acr_conf_same_files(ngx_array_t *a, ngx_array_t *b)
{
    ngx_str_t   *x, *y;
    ngx_uint_t   i;

    if (a == b) {
        return 1;
    }

    if (a == NULL || b == NULL || a->nelts != b->nelts) {
        return 0;
    }

    x = a->elts;
    y = b->elts;

    for (i = 0; i < a->nelts; i++) {
        if (!ngx_http_acr_conf_same(&x[i], &y[i])) {
            return 0;
        }
    }

    return 1;
}


/* a registry has one zone or none, and a zone is of one registry */

static char *
ngx_http_acr_conf_join_zone(ngx_conf_t *cf, ngx_http_acr_registry_t *registry,
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
ngx_http_acr_conf_thread_pool(ngx_conf_t *cf, ngx_http_acr_registry_t *registry,
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


ngx_int_t
ngx_http_acr_conf_prepare(ngx_conf_t *cf)
{
    char                       path[NGX_MAX_PATH];
    char                       newer[NGX_HTTP_ACR_STORE_NEWER];
    uid_t                      uid;
    gid_t                      gid;
    ngx_err_t                  err;
    ngx_uint_t                 i;
    const char                *why;
    ngx_http_acr_registry_t  **registry;
    ngx_http_acr_main_conf_t  *mcf;

    /* "nginx -s stop" must work whatever has become of the directories */

    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_OK;
    }

    if (ngx_http_acr_conf_worker_user(cf, &uid, &gid) != NGX_OK) {
        return NGX_ERROR;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_acr_module);

    registry = mcf->registries.elts;

    for (i = 0; i < mcf->registries.nelts; i++) {

        why = ngx_http_acr_store_prepare(&registry[i]->store, uid, gid, newer,
                                         sizeof(newer), &err, path);

        if (why) {
            ngx_http_acr_conf_unusable(cf, &registry[i]->store.root, why,
                                       path, err, uid);
            return NGX_ERROR;
        }

        if (*newer && registry[i]->origin) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"acr_root\" \"%V\": %s: an edge node "
                               "needs another directory, or an empty one",
                               &registry[i]->store.root, newer);
            return NGX_ERROR;
        }

        if (*newer) {
            ngx_conf_log_error(NGX_LOG_ALERT, cf, 0,
                               "\"acr_root\" \"%V\": %s: upgrade the module "
                               "of this node, which will only answer pulls",
                               &registry[i]->store.root, newer);
        }

        if (!registry[i]->auth_on) {

            if (registry[i]->roles) {
                ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                                   "\"acr_role\" and \"acr_anonymous_pull\" do "
                                   "nothing without \"acr_auth on\": whoever "
                                   "reaches \"acr_root\" \"%V\" may do all",
                                   &registry[i]->store.root);
            }

            continue;
        }

        registry[i]->token_keys = ngx_http_acr_auth_keys(cf,
                                                      registry[i]->key_files,
                                                      &registry[i]->store,
                                                      uid, gid,
                                                      !registry[i]->origin);
        if (registry[i]->token_keys == NULL) {
            return NGX_ERROR;
        }

        if (RAND_bytes(registry[i]->salt, sizeof(registry[i]->salt)) != 1) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "acr: RAND_bytes() failed");
            return NGX_ERROR;
        }

        if (ngx_http_acr_oidc_read_files(cf, registry[i]->issuers) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* whose files they have to be is what it is mostly about */

static void
ngx_http_acr_conf_unusable(ngx_conf_t *cf, ngx_str_t *root, const char *why,
    const char *path, ngx_err_t err, uid_t uid)
{
    struct passwd  *pwd;

    pwd = (err == NGX_EACCES || err == NGX_EPERM) ? getpwuid(uid) : NULL;

    if (pwd == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, err,
                           "\"acr_root\" \"%V\": %s: \"%s\"", root, why, path);
        return;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, err,
                       "\"acr_root\" \"%V\": %s: \"%s\" as user \"%s\"",
                       root, why, path, pwd->pw_name);
}


/* whom the workers will run as; "user" may follow the http block */

static ngx_int_t
ngx_http_acr_conf_worker_user(ngx_conf_t *cf, uid_t *uid, gid_t *gid)
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
