
#include "ngx_http_acr_redis_ssl.h"


#if (NGX_HTTP_ACR_REDIS_SSL)

#include <hiredis/hiredis_ssl.h>

#include <openssl/ssl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>


static void ngx_http_acr_redis_ssl_cleanup(void *data);
static ngx_int_t ngx_http_acr_redis_ssl_name(SSL *ssl, ngx_str_t *host);


void *
ngx_http_acr_redis_ssl_create(ngx_conf_t *cf, ngx_str_t *ca)
{
    int                  rc;
    SSL_CTX             *ctx;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (cln == NULL) {
        return NULL;
    }

    ERR_clear_error();

    ctx = SSL_CTX_new(TLS_client_method());

    if (ctx == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "SSL_CTX_new() failed");
        return NULL;
    }

    cln->handler = ngx_http_acr_redis_ssl_cleanup;
    cln->data = ctx;

    if (ca) {
        rc = SSL_CTX_load_verify_locations(ctx, (char *) ca->data, NULL);

    } else {
        rc = SSL_CTX_set_default_verify_paths(ctx);
    }

    if (rc != 1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "cannot load the trusted certificates of "
                           "\"acr_redis\"%s%s: %s", ca ? " from " : "",
                           ca ? (char *) ca->data : "",
                           ERR_reason_error_string(ERR_peek_error()));
        ERR_clear_error();
        return NULL;
    }

    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "SSL_CTX_set_min_proto_version() failed");
        return NULL;
    }

    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);

    return ctx;
}


static void
ngx_http_acr_redis_ssl_cleanup(void *data)
{
    SSL_CTX_free(data);
}


void *
ngx_http_acr_redis_ssl_start(redisAsyncContext *ac, void *ctx,
    ngx_str_t *host, const char **reason)
{
    SSL  *ssl;

    *reason = "TLS cannot be begun";

    ERR_clear_error();

    ssl = SSL_new(ctx);

    if (ssl == NULL) {
        return NULL;
    }

    if (ngx_http_acr_redis_ssl_name(ssl, host) != NGX_OK) {
        SSL_free(ssl);
        return NULL;
    }

    if (redisInitiateSSL(&ac->c, ssl) != REDIS_OK) {
        *reason = ngx_http_acr_redis_ssl_error(ssl, ac->c.errstr);
        SSL_free(ssl);
        return NULL;
    }

    return ssl;
}


/* what the certificate has to be for: a host name, or an address */

static ngx_int_t
ngx_http_acr_redis_ssl_name(SSL *ssl, ngx_str_t *host)
{
    char               *name;
    X509_VERIFY_PARAM  *param;

    name = (char *) host->data;
    param = SSL_get0_param(ssl);

    if (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1) {
        return NGX_OK;
    }

    ERR_clear_error();

    if (X509_VERIFY_PARAM_set1_host(param, name, host->len) != 1
        || SSL_set_tlsext_host_name(ssl, name) != 1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


const char *
ngx_http_acr_redis_ssl_error(void *ssl, const char *text)
{
    long  rc;

    rc = SSL_get_verify_result(ssl);

    /* nobody else is to find what hiredis has left in OpenSSL's queue */

    ERR_clear_error();

    return (rc == X509_V_OK) ? text : X509_verify_cert_error_string(rc);
}


#endif
