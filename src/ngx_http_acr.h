
/*
 * What the nginx-facing files share: the registry, the configuration of a
 * location, and the state of a request.
 *
 * A registry is a parameter of everything; nothing here is global.
 */

#ifndef NGX_HTTP_ACR_H
#define NGX_HTTP_ACR_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "oci/acr_core.h"
#include "oci/acr_digest.h"
#include "oci/acr_error.h"
#include "oci/acr_etag.h"
#include "oci/acr_hash.h"
#include "oci/acr_manifest.h"
#include "oci/acr_name.h"
#include "oci/acr_path.h"
#include "oci/acr_query.h"
#include "oci/acr_range.h"

#include "ngx_http_acr_task.h"
#include "ngx_http_acr_zone.h"
#include "meta/ngx_http_acr_meta.h"
#include "store/ngx_http_acr_ring.h"
#include "store/ngx_http_acr_store.h"
#include "auth/ngx_http_acr_auth_conf.h"
#include "auth/ngx_http_acr_data_conf.h"
#include "fetch/ngx_http_acr_fetch.h"
#include "edge/ngx_http_acr_remote.h"


typedef struct ngx_http_acr_auth_s        ngx_http_acr_auth_t;
typedef struct ngx_http_acr_rules_s       ngx_http_acr_rules_t;
typedef struct ngx_http_acr_credential_s  ngx_http_acr_credential_t;
typedef struct ngx_http_acr_used_s        ngx_http_acr_used_t;


/* acr_edge_cache: what an edge node keeps at most */

typedef struct {
    off_t                      max_size;   /* bytes; 0: any */
    off_t                      min_free;   /* bytes; 0: any */
    time_t                     inactive;   /* seconds; 0: it stays */
} ngx_http_acr_edge_cache_t;


/* one directory and one set of keys in a Redis; shared by the locations that
   name the same acr_root */

typedef struct {
    ngx_str_t                  name;       /* acr_registry, in Redis keys */
    ngx_http_acr_store_t       store;
    ngx_http_acr_meta_conf_t  *meta_conf;
    ngx_http_acr_meta_t       *meta;       /* of this worker */
    ngx_http_acr_remote_t     *origin;     /* of an edge node, whose registry is
                                              that one: there is no meta then,
                                              and the store is a cache.  Else
                                              NULL */
    time_t                     offline;    /* acr_edge_offline */
    struct ngx_http_acr_watch_s  *watch;   /* of one worker, else NULL */

    ngx_http_acr_zone_t       *zone;       /* acr_zone, or NULL */
    uint32_t                   identity;   /* another registry has another */

    ngx_http_acr_pool_t       *fast;       /* "acr": writes and hashes */
    ngx_http_acr_pool_t       *slow;       /* "acr_slow": what may wait */

    time_t                     upload_expires;
    time_t                     gc_delay;
    time_t                     gc_interval;    /* 0: on request only */
    time_t                     gc_untagged;    /* 0: they stay */
    time_t                     scrub_interval; /* 0: on request only */
    size_t                     scrub_rate;     /* bytes a second; 0: any */

    ngx_uint_t                 fill_max;   /* fills at once, on a node */
    size_t                     fill_rate;  /* bytes a second of all; 0: any */
    ngx_queue_t                fills;      /* that this worker needs */
    ngx_event_t                fill_tick;  /* when it looks at them */
    ngx_uint_t                 directs;    /* ngx_http_acr_direct_t's */
    ngx_queue_t                turns;      /* ngx_http_acr_turn_t's */

    ngx_http_acr_edge_cache_t  edge_cache;
    ngx_http_acr_used_t       *used;       /* of this worker of an edge node */

    ngx_event_t                keeper;     /* timer of the background work */
    ngx_http_acr_task_t        seal;       /* of this node's marks */
    ngx_queue_t                rebuilds;   /* of repositories, in this worker */
    ngx_uint_t                 tokens;     /* given out by this worker */
    ngx_uint_t                 reading;    /* of manifests, for ACR's API */

    struct ngx_http_acr_health_s  *health; /* of this worker, or NULL */
    struct ngx_http_acr_events_s  *events; /* those who wait for some here */

    ngx_array_t               *key_files;  /* acr_token_key */
    acr_jwt_keys_t            *token_keys; /* NULL: acr_auth is on nowhere */
    u_char                     salt[16];   /* of this configuration: keys and
                                              issuers that it does not have any
                                              more are good for nothing */
    ngx_array_t               *issuers;    /* acr_oidc_issuer, or NULL */
    ngx_http_acr_auth_t       *auth;       /* of this worker, or NULL */
    ngx_http_acr_rules_t      *rules;      /* of this worker, or NULL */
    unsigned                   auth_on:1;
    unsigned                   roles:1;    /* a location has acr_role */
} ngx_http_acr_registry_t;


typedef struct {
    ngx_array_t                registries; /* ngx_http_acr_registry_t * */
    ngx_http_acr_fetch_conf_t  fetch;
    ngx_http_acr_remotes_t     remotes;
} ngx_http_acr_main_conf_t;


#define NGX_HTTP_ACR_LOCATION_RELATIVE   0
#define NGX_HTTP_ACR_LOCATION_ABSOLUTE   1   /* by scheme and Host */
#define NGX_HTTP_ACR_LOCATION_FORWARDED  2   /* by X-Forwarded-Proto, -Host */

#define NGX_HTTP_ACR_CONSISTENCY_FEED    0
#define NGX_HTTP_ACR_CONSISTENCY_STRICT  1   /* Redis is always asked */

typedef struct {
    ngx_flag_t                 enable;
    ngx_http_handler_pt        handler;    /* of "acr", "acr_admin"... */
    ngx_str_t                  root;
    ngx_str_t                  name;
    ngx_str_t                  node;
    ngx_http_acr_meta_conf_t  *meta_conf;
    ngx_http_acr_zone_t       *zone;

    off_t                      max_blob_size;       /* 0: no limit */
    size_t                     max_manifest_size;
    ngx_bufs_t                 upload_buffers;      /* large ones: a transfer */
    ngx_uint_t                 upload_pool;         /* large ones: a worker */
    ngx_http_acr_buffers_t     large;               /* of this worker */
    time_t                     upload_expires;

    time_t                     gc_delay;
    time_t                     gc_interval;
    time_t                     gc_untagged;
    time_t                     scrub_interval;
    size_t                     scrub_rate;

    ngx_http_acr_remote_t     *origin;     /* NULL: it is no edge node */
    time_t                     origin_valid; /* seconds for which an origin is
                                              believed that it has a blob */
    ngx_flag_t                 edge;       /* requests go on to the origin */
    time_t                     edge_offline; /* seconds for which tokens are
                                              good beyond their end while the
                                              origin is down */
    ngx_http_acr_edge_cache_t *edge_cache; /* or NULL */

    ngx_array_t               *cache_rules; /* ngx_http_acr_rule_t, or NULL */
    ngx_uint_t                 fill_max;
    size_t                     fill_rate;

    ngx_flag_t                 fsync;
    ngx_flag_t                 delete;
    ngx_flag_t                 sparse_index;
    ngx_flag_t                 sparse_image;
    ngx_uint_t                 location;
    ngx_uint_t                 consistency;

    ngx_http_acr_auth_conf_t   auth;
    ngx_http_acr_data_conf_t   data;

    ngx_http_acr_registry_t   *registry;
} ngx_http_acr_loc_conf_t;


typedef struct ngx_http_acr_body_s   ngx_http_acr_body_t;
typedef struct ngx_http_acr_ahead_s  ngx_http_acr_ahead_t;
typedef struct ngx_http_acr_through_s  ngx_http_acr_through_t;
typedef struct ngx_http_acr_direct_s  ngx_http_acr_direct_t;
typedef struct ngx_http_acr_asked_s  ngx_http_acr_asked_t;

typedef struct {
    ngx_http_acr_loc_conf_t   *conf;
    ngx_http_acr_registry_t   *registry;
    ngx_http_acr_body_t       *body;       /* that is being read */

    const char                *operation;  /* static, e.g. "blob_get" */
    ngx_uint_t                 counted;    /* its number among metrics */
    ngx_str_t                  repository; /* checked by the router */
    ngx_str_t                  reference;  /* of the path, decoded: digest, tag
                                              or uuid; not checked */
    ngx_str_t                  digest;     /* "sha256:...", once it is known */
    const acr_error_t         *error;      /* that was answered, or NULL */
    uint64_t                   stamp;      /* taken before Redis was asked */
    time_t                     expires;    /* of the address that the request
                                              has come by; 0: of none */
    const char                *cache_status; /* of what may come from elsewhere:
                                              static, or NULL */
    ngx_http_acr_through_t    *through;    /* the same, while it comes */

    ngx_http_acr_credential_t *credential; /* who asks; NULL: acr_auth off */
    ngx_str_t                  identity;   /* their name */

    struct ngx_http_acr_step_s  *steps;    /* that are over */
    struct ngx_http_acr_settle_list_s  *settling;  /* the same */
    ngx_http_acr_ahead_t      *ahead;      /* of a file that is sent, or NULL */
    ngx_http_acr_direct_t     *direct;     /* that is sent as it comes, or NULL
                                              */
    ngx_http_acr_asked_t      *asked;      /* the origin, or NULL */

    unsigned                   refills:2;  /* of what went before it was sent */
    unsigned                   refused:1;  /* the origin is not to be asked */
    unsigned                   renewed:1;  /* rights were looked at for it */
    unsigned                   acr:1;      /* of ACR's own API, /acr/v1 */
    unsigned                   gone:1;     /* nginx has terminated it */
    unsigned                   committing:1; /* goes on although it is gone */
    unsigned                   remembers:1;  /* what is found out, as of stamp,
                                                goes to the shared memory */
} ngx_http_acr_ctx_t;


extern ngx_module_t  ngx_http_acr_module;


#define ngx_http_acr_get_ctx(r)                                              \
    ((ngx_http_acr_ctx_t *) ngx_http_get_module_ctx(r, ngx_http_acr_module))


#endif /* NGX_HTTP_ACR_H */
