
/*
 * URLs, which libcurl takes apart, so that it connects to the host that was
 * looked at here and to no other; and which addresses a request may go to.
 */

#include "ngx_http_acr_fetch_core.h"


#define NGX_HTTP_ACR_FETCH_URL  4096


static ngx_uint_t ngx_http_acr_fetch_loopback(const u_char *address,
    size_t n);
static const char *ngx_http_acr_fetch_url_parts(ngx_http_acr_fetch_url_t *url);
static const char *ngx_http_acr_fetch_url_host(ngx_http_acr_fetch_url_t *url);
static const char *ngx_http_acr_fetch_url_port(ngx_http_acr_fetch_url_t *url);
static ngx_uint_t ngx_http_acr_fetch_url_has(ngx_http_acr_fetch_url_t *url,
    CURLUPart part);


const char *
ngx_http_acr_fetch_url(ngx_http_acr_fetch_url_t *url, ngx_str_t *text,
    CURLU *base)
{
    size_t  i;
    u_char  c;
    char    copy[NGX_HTTP_ACR_FETCH_URL + 1];

    url->handle = base ? curl_url_dup(base) : curl_url();

    if (url->handle == NULL) {
        return "no memory";
    }

    if (text->len > NGX_HTTP_ACR_FETCH_URL) {
        return "the URL is too long";
    }

    for (i = 0; i < text->len; i++) {
        c = text->data[i];

        if (c <= ' ' || c > '~') {
            return "the URL has characters that no URL has";
        }

        copy[i] = c;
    }

    copy[i] = '\0';

    if (curl_url_set(url->handle, CURLUPART_URL, copy,
                     CURLU_NON_SUPPORT_SCHEME)
        != CURLUE_OK)
    {
        return "it is no URL";
    }

    return ngx_http_acr_fetch_url_parts(url);
}


static const char *
ngx_http_acr_fetch_url_parts(ngx_http_acr_fetch_url_t *url)
{
    char        *scheme;
    const char  *why;

    if (curl_url_get(url->handle, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK) {
        return "it is no URL";
    }

    why = NULL;
    url->https = 0;

    if (ngx_strcmp(scheme, "https") == 0) {
        url->https = 1;

    } else if (ngx_strcmp(scheme, "http") != 0) {
        why = "the URL is neither of http nor of https";
    }

    curl_free(scheme);

    if (why) {
        return why;
    }

    if (ngx_http_acr_fetch_url_has(url, CURLUPART_USER)
        || ngx_http_acr_fetch_url_has(url, CURLUPART_PASSWORD))
    {
        return "the URL has a user or a password";
    }

    why = ngx_http_acr_fetch_url_host(url);

    return why ? why : ngx_http_acr_fetch_url_port(url);
}


/* libcurl has decoded it, and has made addresses of all that it takes for one,
   such as 0x7f.1 */

static const char *
ngx_http_acr_fetch_url_host(ngx_http_acr_fetch_url_t *url)
{
    char    *host;
    u_char   c;
    size_t   i, n;
    u_char  *p;

    if (curl_url_get(url->handle, CURLUPART_HOST, &host, 0) != CURLUE_OK) {
        return "the URL has no host";
    }

    p = (u_char *) host;
    n = ngx_strlen(host);

    if (n > 1 && p[0] == '[' && p[n - 1] == ']') {
        p++;
        n -= 2;
    }

    if (n == 0 || n > NGX_HTTP_ACR_FETCH_HOST
        || ngx_http_acr_fetch_url_has(url, CURLUPART_ZONEID))
    {
        curl_free(host);
        return "the URL has no good host";
    }

    ngx_strlow(url->host, p, n);
    url->host[n] = '\0';
    url->len = n;
    url->literal = acr_address_parse(url->host, n, url->address);

    curl_free(host);

    for (i = 0; url->literal == 0 && i < n; i++) {
        c = url->host[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')
              || c == '-' || c == '_' || (c == '.' && i && i < n - 1)))
        {
            return "the URL has no good host";
        }
    }

    return NULL;
}


static const char *
ngx_http_acr_fetch_url_port(ngx_http_acr_fetch_url_t *url)
{
    char       *text;
    ngx_int_t   port;

    if (curl_url_get(url->handle, CURLUPART_PORT, &text, CURLU_DEFAULT_PORT)
        != CURLUE_OK)
    {
        return "the URL has no good port";
    }

    port = ngx_atoi((u_char *) text, ngx_strlen(text));

    curl_free(text);

    if (port < 1 || port > 65535) {
        return "the URL has no good port";
    }

    url->port = (in_port_t) port;

    return NULL;
}


static ngx_uint_t
ngx_http_acr_fetch_url_has(ngx_http_acr_fetch_url_t *url, CURLUPart part)
{
    char  *text;

    if (curl_url_get(url->handle, part, &text, 0) != CURLUE_OK) {
        return 0;
    }

    curl_free(text);

    return 1;
}


const char *
ngx_http_acr_fetch_check(ngx_str_t *url, ngx_uint_t *https)
{
    const char                *why;
    ngx_http_acr_fetch_url_t   parts;

    why = ngx_http_acr_fetch_url(&parts, url, NULL);
    curl_url_cleanup(parts.handle);

    *https = (why == NULL && parts.https);

    return why;
}


ngx_uint_t
ngx_http_acr_fetch_same_host(ngx_str_t *a, ngx_str_t *b)
{
    ngx_uint_t                 same;
    ngx_http_acr_fetch_url_t   one, other;

    same = (ngx_http_acr_fetch_url(&one, a, NULL) == NULL);
    same &= (ngx_http_acr_fetch_url(&other, b, NULL) == NULL);

    same = same && one.len == other.len
           && ngx_memcmp(one.host, other.host, one.len) == 0;

    curl_url_cleanup(one.handle);
    curl_url_cleanup(other.handle);

    return same;
}


ngx_uint_t
ngx_http_acr_fetch_same_origin(ngx_http_acr_fetch_url_t *a,
    ngx_http_acr_fetch_url_t *b)
{
    return a->https == b->https && a->port == b->port && a->len == b->len
           && ngx_memcmp(a->host, b->host, a->len) == 0;
}


ngx_uint_t
ngx_http_acr_fetch_is_local(ngx_http_acr_fetch_url_t *url)
{
    if (url->literal) {
        return ngx_http_acr_fetch_loopback(url->address, url->literal);
    }

    return url->len == sizeof("localhost") - 1
           && ngx_strncasecmp(url->host, (u_char *) "localhost", url->len)
              == 0;
}


static ngx_uint_t
ngx_http_acr_fetch_loopback(const u_char *address, size_t n)
{
    static const u_char  ipv6[16] = { 0, 0, 0, 0, 0, 0, 0, 0,
                                      0, 0, 0, 0, 0, 0, 0, 1 };

    if (n == 4) {
        return address[0] == 127;
    }

    return n == 16 && ngx_memcmp(address, ipv6, 16) == 0;
}


ngx_uint_t
ngx_http_acr_fetch_may(ngx_http_acr_fetch_transfer_t *t, const u_char *address,
    size_t n)
{
    if (t->local && !ngx_http_acr_fetch_loopback(address, n)) {
        return 0;
    }

    switch (acr_address_class(address, n)) {

    case ACR_ADDRESS_PUBLIC:
        return 1;

    case ACR_ADDRESS_PRIVATE:
        return t->private;

    case ACR_ADDRESS_LINK:
        return t->link;

    default:
        return 0;
    }
}


size_t
ngx_http_acr_fetch_sockaddr(struct sockaddr *sa, u_char **address)
{
    switch (sa->sa_family) {

    case AF_INET:
        *address = (u_char *) &((struct sockaddr_in *) sa)->sin_addr;
        return 4;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        *address = (u_char *) &((struct sockaddr_in6 *) sa)->sin6_addr;
        return 16;
#endif

    default:
        return 0;
    }
}
