
/*
 * Where the master is: the sentinels of an acr_redis, asked on nginx's event
 * loop.  There is one connection, to the sentinel that has answered last; when
 * it fails the next one is tried, each with a deadline.  None of this keeps an
 * exiting worker alive.
 *
 * The log has one line when no sentinel tells the master, and one when one
 * does again.
 */

#ifndef NGX_HTTP_ACR_SENTINEL_H
#define NGX_HTTP_ACR_SENTINEL_H

#include "ngx_http_acr_meta.h"


typedef struct ngx_http_acr_sentinel_s  ngx_http_acr_sentinel_t;


/* an address with the memory of its strings; host and addr are the same */

typedef struct {
    ngx_http_acr_meta_addr_t  addr;
    u_char                    name[NGX_SOCKADDR_STRLEN];
    u_char                    text[NGX_SOCKADDR_STRLEN];
} ngx_http_acr_sentinel_addr_t;


/*
 * A sentinel has told where the master is; it is an IP address, and valid
 * during the call.  NULL: all were asked in vain.  Called about once a second,
 * whether it is news or not.
 */
typedef void (*ngx_http_acr_sentinel_pt)(void *data,
    ngx_http_acr_sentinel_addr_t *master);


/* begins to ask when the event loop runs; lives in the pool.  NULL: no
   memory */
ngx_http_acr_sentinel_t *ngx_http_acr_sentinel_create(ngx_pool_t *pool,
    ngx_http_acr_meta_conf_t *conf, ngx_http_acr_sentinel_pt handler,
    void *data, ngx_log_t *log);

/* for ever */
void ngx_http_acr_sentinel_close(ngx_http_acr_sentinel_t *sentinel);

/* asks now; the handler is called as soon as one answers */
void ngx_http_acr_sentinel_ask(ngx_http_acr_sentinel_t *sentinel);

/* what was told is no master: another sentinel may know better */
void ngx_http_acr_sentinel_doubt(ngx_http_acr_sentinel_t *sentinel);

void ngx_http_acr_sentinel_copy(ngx_http_acr_sentinel_addr_t *to,
    ngx_http_acr_sentinel_addr_t *from);


#endif /* NGX_HTTP_ACR_SENTINEL_H */
