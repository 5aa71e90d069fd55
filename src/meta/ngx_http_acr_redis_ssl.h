
/*
 * TLS to a Redis, where hiredis has it (its library hiredis_ssl).  The peer's
 * certificate is always verified, and its name or address too.
 */

#ifndef NGX_HTTP_ACR_REDIS_SSL_H
#define NGX_HTTP_ACR_REDIS_SSL_H

#include "ngx_http_acr_redis.h"


#if (NGX_HTTP_ACR_REDIS_SSL)

/*
 * Makes the SSL_CTX of a configuration.  ca: a file with the certificates to
 * trust, zero-terminated, or NULL for the system's.  NULL after it logged
 * what is wrong.
 */
void *ngx_http_acr_redis_ssl_create(ngx_conf_t *cf, ngx_str_t *ca);

/* begins TLS on a context that is connecting, with what was created; host is
   the name or address that the certificate has to be for, zero-terminated.
   Returns its SSL, which belongs to the context, or NULL with the reason */
void *ngx_http_acr_redis_ssl_start(redisAsyncContext *ac, void *ctx,
    ngx_str_t *host, const char **reason);

/* why the certificate was refused, or text if it was not */
const char *ngx_http_acr_redis_ssl_error(void *ssl, const char *text);

#endif


#endif /* NGX_HTTP_ACR_REDIS_SSL_H */
