
/*
 * What the nginx-facing files share: the registry, the configuration of a
 * location, the state of a request, and the vocabulary of asynchronous steps.
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
#include "oci/acr_hash.h"
#include "oci/acr_manifest.h"
#include "oci/acr_name.h"
#include "oci/acr_path.h"
#include "oci/acr_query.h"
#include "oci/acr_range.h"


typedef struct ngx_http_acr_redis_s  ngx_http_acr_redis_t;


typedef struct {
    ngx_str_t              name;       /* of the registry, in Redis keys */
    ngx_str_t              root;       /* <acr_root>, no trailing slash */
    ngx_http_acr_redis_t  *redis;      /* its connection in this worker */
    ngx_flag_t             fsync;
} ngx_http_acr_registry_t;


typedef struct {
    ngx_array_t            registries; /* of ngx_http_acr_registry_t * */
} ngx_http_acr_main_conf_t;


typedef struct {
    ngx_flag_t                enable;
    ngx_str_t                 root;
    ngx_str_t                 name;
    ngx_http_acr_redis_t     *redis;   /* as configured, not connected */

    off_t                     max_blob_size;      /* 0: no limit */
    size_t                    max_manifest_size;
    size_t                    small_buffer;       /* of a transfer's start */
    size_t                    large_buffer;
    ngx_uint_t                large_buffers;      /* in a worker at most */
    time_t                    upload_expires;

    ngx_flag_t                fsync;
    ngx_flag_t                delete;
    ngx_flag_t                sparse_index;
    ngx_flag_t                absolute_location;
    ngx_flag_t                trust_forwarded;

    ngx_thread_pool_t        *pool;    /* "acr": writes and hashes */
    ngx_thread_pool_t        *slow;    /* "acr_slow": what may wait for long */
    ngx_http_acr_registry_t  *registry;
} ngx_http_acr_loc_conf_t;


typedef struct {
    ngx_http_acr_loc_conf_t  *conf;
    ngx_http_acr_registry_t  *registry;

    const char               *operation;   /* for $acr_operation */
    ngx_str_t                 repository;
    ngx_str_t                 reference;   /* as the client wrote it */
    ngx_str_t                 digest;      /* "sha256:...", once it is known */
    const acr_error_t        *error;

    void                     *state;       /* of the handler at work */

    unsigned                  gone:1;      /* nginx has terminated it */
    unsigned                  committing:1; /* goes on although it is gone */
} ngx_http_acr_ctx_t;


extern ngx_module_t  ngx_http_acr_module;


#define ngx_http_acr_get_ctx(r)                                              \
    ((ngx_http_acr_ctx_t *) ngx_http_get_module_ctx(r, ngx_http_acr_module))


#endif /* NGX_HTTP_ACR_H */
