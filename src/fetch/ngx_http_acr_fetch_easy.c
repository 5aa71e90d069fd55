
/*
 * What libcurl is told of a request, and what it calls for it.
 */

#include "ngx_http_acr_fetch_core.h"


#define NGX_HTTP_ACR_FETCH_AGENT   "ngx_http_acr_module"
#define NGX_HTTP_ACR_FETCH_BUFFER  131072L  /* bytes of libcurl's, for an
                                              answer that is given by piece */
#define NGX_HTTP_ACR_FETCH_LIFE    300L    /* s that a connection is used, so
                                              that names may change */


#define ngx_http_acr_fetch_set(t, option, value)                             \
    (curl_easy_setopt((t)->easy, option, value) == CURLE_OK)


static ngx_int_t ngx_http_acr_fetch_easy_request(
    ngx_http_acr_fetch_transfer_t *t);
static ngx_int_t ngx_http_acr_fetch_easy_way(
    ngx_http_acr_fetch_transfer_t *t);
static ngx_int_t ngx_http_acr_fetch_easy_again(
    ngx_http_acr_fetch_transfer_t *t);
static long ngx_http_acr_fetch_easy_patience(
    ngx_http_acr_fetch_transfer_t *t);
static ngx_int_t ngx_http_acr_fetch_easy_trust(
    ngx_http_acr_fetch_transfer_t *t);
static ngx_int_t ngx_http_acr_fetch_easy_answer(
    ngx_http_acr_fetch_transfer_t *t);
static curl_socket_t ngx_http_acr_fetch_easy_socket(void *data,
    curlsocktype purpose, struct curl_sockaddr *address);
static int ngx_http_acr_fetch_easy_vet(void *data, char *address, char *own,
    int port, int own_port);


ngx_int_t
ngx_http_acr_fetch_easy(ngx_http_acr_fetch_transfer_t *t)
{
    t->easy = curl_easy_init();

    if (t->easy == NULL) {
        return NGX_ERROR;
    }

    if (!ngx_http_acr_fetch_set(t, CURLOPT_PRIVATE, t)
        || !ngx_http_acr_fetch_set(t, CURLOPT_ERRORBUFFER, t->error))
    {
        return NGX_ERROR;
    }

    if (ngx_http_acr_fetch_easy_answer(t) != NGX_OK
        || ngx_http_acr_fetch_easy_request(t) != NGX_OK
        || ngx_http_acr_fetch_easy_way(t) != NGX_OK
        || ngx_http_acr_fetch_easy_trust(t) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_fetch_easy_answer(ngx_http_acr_fetch_transfer_t *t)
{
    if (!ngx_http_acr_fetch_set(t, CURLOPT_WRITEFUNCTION,
                                ngx_http_acr_fetch_answer_write)
        || !ngx_http_acr_fetch_set(t, CURLOPT_WRITEDATA, t)
        || !ngx_http_acr_fetch_set(t, CURLOPT_HEADERFUNCTION,
                                   ngx_http_acr_fetch_answer_header)
        || !ngx_http_acr_fetch_set(t, CURLOPT_HEADERDATA, t))
    {
        return NGX_ERROR;
    }

    if (t->fetch->piece
        && !ngx_http_acr_fetch_set(t, CURLOPT_BUFFERSIZE,
                                   NGX_HTTP_ACR_FETCH_BUFFER))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_fetch_easy_request(ngx_http_acr_fetch_transfer_t *t)
{
    if (!ngx_http_acr_fetch_set(t, CURLOPT_CURLU, t->url.handle)
        || !ngx_http_acr_fetch_set(t, CURLOPT_PROTOCOLS_STR, "http,https")
        || !ngx_http_acr_fetch_set(t, CURLOPT_HTTP_VERSION,
                                   (long) CURL_HTTP_VERSION_1_1)
        || !ngx_http_acr_fetch_set(t, CURLOPT_FOLLOWLOCATION, 0L)
        || !ngx_http_acr_fetch_set(t, CURLOPT_USERAGENT,
                                   NGX_HTTP_ACR_FETCH_AGENT)
        || !ngx_http_acr_fetch_set(t, CURLOPT_HTTPHEADER, t->headers))
    {
        return NGX_ERROR;
    }

    if (t->body
        && (!ngx_http_acr_fetch_set(t, CURLOPT_POSTFIELDSIZE_LARGE,
                                    (curl_off_t) t->fetch->body.len)
            || !ngx_http_acr_fetch_set(t, CURLOPT_POSTFIELDS,
                                       (char *) t->fetch->body.data)))
    {
        return NGX_ERROR;
    }

    if (ngx_strcmp(t->method, "HEAD") == 0
        && !ngx_http_acr_fetch_set(t, CURLOPT_NOBODY, 1L))
    {
        return NGX_ERROR;
    }

    return ngx_http_acr_fetch_set(t, CURLOPT_CUSTOMREQUEST, t->method)
           ? NGX_OK : NGX_ERROR;
}


/* without a proxy of ours libcurl would look for one in the environment */

static ngx_int_t
ngx_http_acr_fetch_easy_way(ngx_http_acr_fetch_transfer_t *t)
{
    ngx_http_acr_fetch_conf_t  *conf;

    conf = t->client->conf;

    if (!ngx_http_acr_fetch_set(t, CURLOPT_PROXY,
                                conf->proxy.len && !t->local
                                    ? (char *) conf->proxy.data : "")
        || !ngx_http_acr_fetch_set(t, CURLOPT_NOPROXY, "")
        || !ngx_http_acr_fetch_set(t, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L)
        || !ngx_http_acr_fetch_set(t, CURLOPT_CONNECTTIMEOUT_MS,
                                   ngx_http_acr_fetch_easy_patience(t))
        || !ngx_http_acr_fetch_set(t, CURLOPT_HEADEROPT,
                                   (long) CURLHEADER_SEPARATE)
        || !ngx_http_acr_fetch_set(t, CURLOPT_NOSIGNAL, 1L)
        || !ngx_http_acr_fetch_set(t, CURLOPT_QUICK_EXIT, 1L)
        || !ngx_http_acr_fetch_set(t, CURLOPT_OPENSOCKETFUNCTION,
                                   ngx_http_acr_fetch_easy_socket)
        || !ngx_http_acr_fetch_set(t, CURLOPT_OPENSOCKETDATA, t))
    {
        return NGX_ERROR;
    }

    if (t->resolve && !ngx_http_acr_fetch_set(t, CURLOPT_RESOLVE, t->resolve)) {
        return NGX_ERROR;
    }

    return ngx_http_acr_fetch_easy_again(t);
}


/*
 * Which connections of before are good, and whether that of this request will
 * be.  libcurl takes one of the same scheme, host, port and proxy only, but it
 * was vetted by the rules of whoever it was made for: it is vetted anew.
 *
 * A server may close one at any time, and libcurl sends the request again then:
 * what must not be done twice has a new one.  A proxy would be given requests
 * for several hosts over one.
 */

static ngx_int_t
ngx_http_acr_fetch_easy_again(ngx_http_acr_fetch_transfer_t *t)
{
    ngx_uint_t  again, kept;

    kept = (t->url.https || t->local || t->client->conf->proxy.len == 0);

    again = kept && !t->fresh
            && (ngx_strcmp(t->method, "GET") == 0
                || ngx_strcmp(t->method, "HEAD") == 0);

    if (!ngx_http_acr_fetch_set(t, CURLOPT_FORBID_REUSE, kept ? 0L : 1L)
        || !ngx_http_acr_fetch_set(t, CURLOPT_FRESH_CONNECT, again ? 0L : 1L)
        || !ngx_http_acr_fetch_set(t, CURLOPT_MAXAGE_CONN,
                                   (long) NGX_HTTP_ACR_FETCH_KEPT / 1000)
        || !ngx_http_acr_fetch_set(t, CURLOPT_MAXLIFETIME_CONN,
                                   NGX_HTTP_ACR_FETCH_LIFE)
        || !ngx_http_acr_fetch_set(t, CURLOPT_PREREQFUNCTION,
                                   ngx_http_acr_fetch_easy_vet)
        || !ngx_http_acr_fetch_set(t, CURLOPT_PREREQDATA, t))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * The ms for a connection: an address that does not answer leaves time for the
 * others; of the time for all of the fetch the last one has half.  0 is
 * libcurl's default, 5 minutes.
 */

static long
ngx_http_acr_fetch_easy_patience(ngx_http_acr_fetch_transfer_t *t)
{
    ngx_uint_t  left;
    ngx_msec_t  ms, connect, spent;

    left = t->naddresses ? t->naddresses - t->address : 1;
    ms = 0;

    if (t->fetch->timeout) {
        ms = t->fetch->timeout / (left + 1) + 1;
    }

    if (t->fetch->connect) {
        spent = ngx_current_msec - t->begun;

        connect = (spent < t->fetch->connect) ? t->fetch->connect - spent : 0;
        connect = connect / left + 1;

        ms = ms ? ngx_min(ms, connect) : connect;
    }

    return (long) ms;
}


/*
 * libcurl would read its own certificates for each connection, unless it is
 * given at least one; then its store is replaced by ours.
 */

static ngx_int_t
ngx_http_acr_fetch_easy_trust(ngx_http_acr_fetch_transfer_t *t)
{
    struct curl_blob            blob;
    ngx_http_acr_fetch_conf_t  *conf;

    if (!t->url.https) {
        return NGX_OK;
    }

    conf = t->client->conf;

    blob.data = conf->first.data;
    blob.len = conf->first.len;
    blob.flags = CURL_BLOB_NOCOPY;

    if (!ngx_http_acr_fetch_set(t, CURLOPT_SSL_VERIFYPEER, 1L)
        || !ngx_http_acr_fetch_set(t, CURLOPT_SSL_VERIFYHOST, 2L)
        || !ngx_http_acr_fetch_set(t, CURLOPT_SSLVERSION,
                                   (long) CURL_SSLVERSION_TLSv1_2)
        || !ngx_http_acr_fetch_set(t, CURLOPT_SSL_SESSIONID_CACHE, 0L)
        || !ngx_http_acr_fetch_set(t, CURLOPT_CAPATH, NULL)
        || !ngx_http_acr_fetch_set(t, CURLOPT_CAINFO_BLOB, &blob)
        || !ngx_http_acr_fetch_set(t, CURLOPT_SSL_CTX_FUNCTION,
                                   ngx_http_acr_fetch_trust)
        || !ngx_http_acr_fetch_set(t, CURLOPT_SSL_CTX_DATA, conf))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* whatever libcurl has got an address from: it must be one that may be asked */

static curl_socket_t
ngx_http_acr_fetch_easy_socket(void *data, curlsocktype purpose,
    struct curl_sockaddr *address)
{
    ngx_http_acr_fetch_transfer_t *t = data;

    u_char  *bytes;
    size_t   n;

    n = ngx_http_acr_fetch_sockaddr(&address->addr, &bytes);

    if (purpose != CURLSOCKTYPE_IPCXN
        || n == 0
        || !ngx_http_acr_fetch_may(t, bytes, n))
    {
        t->refused = 1;
        return CURL_SOCKET_BAD;
    }

    return socket(address->family, address->socktype|SOCK_CLOEXEC,
                  address->protocol);
}


/* before the request is sent, over a connection that may be one of before */

static int
ngx_http_acr_fetch_easy_vet(void *data, char *address, char *own, int port,
    int own_port)
{
    ngx_http_acr_fetch_transfer_t *t = data;

    size_t  n;
    u_char  bytes[16];

    n = acr_address_parse((u_char *) address, ngx_strlen(address), bytes);

    if (n == 0 || !ngx_http_acr_fetch_may(t, bytes, n)) {
        t->refused = 1;
        return CURL_PREREQFUNC_ABORT;
    }

    return CURL_PREREQFUNC_OK;
}
