
#include "../ngx_http_acr.h"
#include "ngx_http_acr_fetch_core.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>


/* where Debian's ca-certificates puts them, if OpenSSL does not know */
#define NGX_HTTP_ACR_FETCH_CERTIFICATES  "/etc/ssl/certs/ca-certificates.crt"


static const char *ngx_http_acr_fetch_proxy_url(ngx_http_acr_fetch_url_t *url,
    ngx_str_t *text);
static char *ngx_http_acr_fetch_proxy(ngx_conf_t *cf,
    ngx_http_acr_fetch_conf_t *conf, ngx_http_acr_fetch_url_t *url);
static ngx_int_t ngx_http_acr_fetch_load(ngx_conf_t *cf,
    ngx_http_acr_fetch_conf_t *conf);
static void ngx_http_acr_fetch_free_store(void *data);
static X509 *ngx_http_acr_fetch_any(X509_STORE *store);
static ngx_int_t ngx_http_acr_fetch_first(ngx_conf_t *cf,
    ngx_http_acr_fetch_conf_t *conf);


char *
ngx_http_acr_set_fetch_certificate(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_acr_main_conf_t *mcf = conf;

    ngx_str_t  *value;

    if (mcf->fetch.certificate.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "is empty";
    }

    mcf->fetch.certificate = value[1];

    if (ngx_conf_full_name(cf->cycle, &mcf->fetch.certificate, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_acr_set_fetch_proxy(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_acr_main_conf_t *mcf = conf;

    ngx_str_t                 *value;
    const char                *why;
    ngx_http_acr_fetch_url_t   url;

    if (mcf->fetch.proxy_set) {
        return "is duplicate";
    }

    mcf->fetch.proxy_set = 1;

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }

    why = ngx_http_acr_fetch_url(&url, &value[1], NULL);
    curl_url_cleanup(url.handle);

    if (why == NULL) {
        why = ngx_http_acr_fetch_proxy_url(&url, &value[1]);
    }

    if (why) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_fetch_proxy\" cannot be \"%V\": %s",
                           &value[1], why);
        return NGX_CONF_ERROR;
    }

    return ngx_http_acr_fetch_proxy(cf, &mcf->fetch, &url);
}


static const char *
ngx_http_acr_fetch_proxy_url(ngx_http_acr_fetch_url_t *url, ngx_str_t *text)
{
    u_char  *p, *last;

    if (url->https) {
        return "only an http proxy is known";
    }

    last = text->data + text->len;

    if (last[-1] == '/') {
        last--;
    }

    for (p = text->data + sizeof("http://") - 1; p < last; p++) {
        if (*p == '/' || *p == '?' || *p == '#') {
            return "it has more than a host and a port";
        }
    }

    return NULL;
}


/* libcurl's default is no usual port of a proxy, so it is always told */

static char *
ngx_http_acr_fetch_proxy(ngx_conf_t *cf, ngx_http_acr_fetch_conf_t *conf,
    ngx_http_acr_fetch_url_t *url)
{
    ngx_str_t  *host, *proxy;

    host = &conf->proxy_host;
    proxy = &conf->proxy;

    host->data = ngx_pnalloc(cf->pool, url->len);
    proxy->data = ngx_pnalloc(cf->pool, url->len + sizeof("http://[]:65535"));

    if (host->data == NULL || proxy->data == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memcpy(host->data, url->host, url->len);
    host->len = url->len;

    proxy->len = ngx_sprintf(proxy->data,
                             url->literal == 16 ? "http://[%V]:%ui%Z"
                                                : "http://%V:%ui%Z",
                             host, (ngx_uint_t) url->port)
                 - proxy->data - 1;

    conf->proxy_port = url->port;

    return NGX_CONF_OK;
}


void
ngx_http_acr_fetch_need(ngx_conf_t *cf)
{
    ngx_http_acr_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_acr_module);

    mcf->fetch.needed = 1;
}


ngx_int_t
ngx_http_acr_fetch_prepare(ngx_conf_t *cf, ngx_http_acr_fetch_conf_t *conf)
{
    ngx_pool_cleanup_t  *cln;

    /* "nginx -s stop" must work whatever has become of the file */

    if (ngx_process == NGX_PROCESS_SIGNALLER
        || (!conf->needed && conf->certificate.len == 0))
    {
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (cln == NULL) {
        return NGX_ERROR;
    }

    conf->store = X509_STORE_new();

    if (conf->store == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_acr_fetch_free_store;
    cln->data = conf->store;

    if (ngx_http_acr_fetch_load(cf, conf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_acr_fetch_first(cf, conf);
}


static ngx_int_t
ngx_http_acr_fetch_load(ngx_conf_t *cf, ngx_http_acr_fetch_conf_t *conf)
{
    ngx_err_t      err;
    const char    *reason;
    unsigned long  error;

    ERR_clear_error();

    if (conf->certificate.len) {

        if (X509_STORE_load_file(conf->store, (char *) conf->certificate.data)
            == 1)
        {
            return NGX_OK;
        }

        error = ERR_peek_error();
        err = ERR_SYSTEM_ERROR(error) ? ERR_GET_REASON(error) : 0;
        reason = err ? "cannot be read" : ERR_reason_error_string(error);

        ngx_conf_log_error(NGX_LOG_EMERG, cf, err,
                           "\"acr_fetch_trusted_certificate\" \"%V\": %s",
                           &conf->certificate,
                           reason ? reason : "has no certificate");

        ERR_clear_error();
        return NGX_ERROR;
    }

    /* a registry may be used without any: http needs none */

    if (X509_STORE_load_file(conf->store, X509_get_default_cert_file()) != 1
        && X509_STORE_load_file(conf->store, NGX_HTTP_ACR_FETCH_CERTIFICATES)
           != 1)
    {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "the system trusts no certificates, so nothing can "
                           "be fetched over https: see "
                           "\"acr_fetch_trusted_certificate\"");
    }

    ERR_clear_error();

    return NGX_OK;
}


static void
ngx_http_acr_fetch_free_store(void *data)
{
    X509_STORE_free(data);
}


static X509 *
ngx_http_acr_fetch_any(X509_STORE *store)
{
    int                     i;
    X509                   *cert;
    STACK_OF(X509_OBJECT)  *objects;

    objects = X509_STORE_get0_objects(store);

    for (i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        cert = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));

        if (cert) {
            return cert;
        }
    }

    return NULL;
}


/* conf->first, if the store has any: libcurl wants to be given one */

static ngx_int_t
ngx_http_acr_fetch_first(ngx_conf_t *cf, ngx_http_acr_fetch_conf_t *conf)
{
    BIO   *bio;
    long   n;
    char  *p;
    X509  *cert;

    cert = ngx_http_acr_fetch_any(conf->store);

    if (cert == NULL) {
        return NGX_OK;
    }

    bio = BIO_new(BIO_s_mem());

    if (bio == NULL) {
        return NGX_ERROR;
    }

    if (PEM_write_bio_X509(bio, cert) != 1) {
        BIO_free(bio);
        return NGX_ERROR;
    }

    n = BIO_get_mem_data(bio, &p);

    conf->first.data = ngx_pnalloc(cf->pool, n);

    if (conf->first.data == NULL) {
        BIO_free(bio);
        return NGX_ERROR;
    }

    ngx_memcpy(conf->first.data, p, n);
    conf->first.len = n;

    BIO_free(bio);

    return NGX_OK;
}


CURLcode
ngx_http_acr_fetch_trust(CURL *easy, void *ctx, void *data)
{
    ngx_http_acr_fetch_conf_t *conf = data;

    SSL_CTX_set1_cert_store(ctx, conf->store);

    return CURLE_OK;
}
