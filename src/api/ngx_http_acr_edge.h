
/*
 * An edge node: nginx before a registry (acr_origin), without an index of its
 * own.  Tokens of the origin are verified here, blobs come from the fill engine
 * (src/edge), everything else goes on to the origin by nginx's proxy, which may
 * cache it.
 */

#ifndef NGX_HTTP_ACR_EDGE_H
#define NGX_HTTP_ACR_EDGE_H

#include "ngx_http_acr_api.h"


/* for postconfiguration: the precontent phase, where "acr_edge" is on */
ngx_int_t ngx_http_acr_edge_init(ngx_conf_t *cf);

/* the filter of what the origin has answered */
void ngx_http_acr_edge_answer_init(void);

/*
 * A request for a token, which the origin gives or refuses.  What it has given
 * is given again while it is down, until the token ends (and, with
 * acr_edge_offline, beyond that); others get 503 then.  Ends the request.
 */
void ngx_http_acr_edge_token(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);

/* acr_origin: conf is the location's */
char *ngx_http_acr_set_origin(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* $acr_origin, "up" or "down": may the origin be asked?  $acr_generation: what
   is cached under another one is out of date.  $acr_cache_key: all that an
   answer of the origin depends on, for proxy_cache_key */
ngx_int_t ngx_http_acr_origin_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
ngx_int_t ngx_http_acr_generation_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
ngx_int_t ngx_http_acr_cache_key_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);

/*
 * Whether an answer of 5xx is that of somebody who has no registry behind them,
 * or of one that cannot even be pulled from.  speaks: it has Retry-After, or is
 * known to be of a registry, which has 502 for what is behind itself.
 */
ngx_uint_t ngx_http_acr_origin_dead(ngx_uint_t status, ngx_uint_t pull,
    ngx_uint_t speaks);

/* what has become of a question: NGX_OK, NGX_ERROR: the origin is dead, or
   NGX_AGAIN: nobody knows */
void ngx_http_acr_origin_told(ngx_http_acr_remote_t *origin, ngx_int_t rc,
    ngx_uint_t probe, ngx_log_t *log);


#endif /* NGX_HTTP_ACR_EDGE_H */
