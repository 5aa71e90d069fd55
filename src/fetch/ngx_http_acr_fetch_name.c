
/*
 * Names are looked up by getaddrinfo() in the thread pool "acr_slow": it may
 * take as long as the resolver of the system is told to try.  Whoever waited
 * may be gone then.
 *
 * A name server that does not answer must not keep all threads of the pool, so
 * only few names are looked up at a time.
 */

#include "ngx_http_acr_fetch_core.h"

#include <netdb.h>


static void ngx_http_acr_fetch_name_begin(ngx_http_acr_fetch_transfer_t *t);
static ngx_int_t ngx_http_acr_fetch_name_work(void *data, ngx_log_t *log);
static void ngx_http_acr_fetch_name_done(void *data, ngx_int_t rc);
static void ngx_http_acr_fetch_name_found(ngx_http_acr_fetch_transfer_t *t,
    ngx_http_acr_fetch_lookup_t *lookup);


void
ngx_http_acr_fetch_name(ngx_http_acr_fetch_transfer_t *t)
{
    if (t->client->lookups < NGX_HTTP_ACR_FETCH_LOOKUPS) {
        ngx_http_acr_fetch_name_begin(t);
        return;
    }

    t->waiting = 1;
    ngx_queue_insert_tail(&t->client->waiting, &t->wait);
}


void
ngx_http_acr_fetch_name_forget(ngx_http_acr_fetch_transfer_t *t)
{
    if (t->waiting) {
        t->waiting = 0;
        ngx_queue_remove(&t->wait);
    }

    if (t->lookup) {
        t->lookup->transfer = NULL;
        t->lookup = NULL;
    }
}


static void
ngx_http_acr_fetch_name_begin(ngx_http_acr_fetch_transfer_t *t)
{
    ngx_http_acr_fetch_client_t  *client;
    ngx_http_acr_fetch_lookup_t  *lookup;

    client = t->client;

    lookup = ngx_calloc(sizeof(ngx_http_acr_fetch_lookup_t), client->log);

    if (lookup == NULL) {
        ngx_http_acr_fetch_fail(t, "no memory");
        return;
    }

    lookup->client = client;
    lookup->transfer = t;
    ngx_memcpy(lookup->host, t->host.data, t->host.len);

    lookup->task.work = ngx_http_acr_fetch_name_work;
    lookup->task.done = ngx_http_acr_fetch_name_done;
    lookup->task.data = lookup;

    if (ngx_http_acr_task_post(&lookup->task, &client->pool) != NGX_OK) {
        ngx_free(lookup);
        ngx_http_acr_fetch_fail(t, "too much waits to be done in threads");
        return;
    }

    t->lookup = lookup;
    client->lookups++;
}


/* in a thread */

static ngx_int_t
ngx_http_acr_fetch_name_work(void *data, ngx_log_t *log)
{
    ngx_http_acr_fetch_lookup_t *lookup = data;

    size_t                         n;
    u_char                        *bytes;
    struct addrinfo                hints, *list, *ai;
    ngx_http_acr_fetch_address_t  *address;

    ngx_memzero(&hints, sizeof(struct addrinfo));

    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;

    lookup->error = getaddrinfo((char *) lookup->host, NULL, &hints, &list);

    if (lookup->error) {
        return NGX_ERROR;
    }

    for (ai = list;
         ai && lookup->naddresses < NGX_HTTP_ACR_FETCH_ADDRESSES;
         ai = ai->ai_next)
    {
        n = ngx_http_acr_fetch_sockaddr(ai->ai_addr, &bytes);

        if (n) {
            address = &lookup->addresses[lookup->naddresses++];
            ngx_memcpy(address->bytes, bytes, n);
            address->len = n;
        }
    }

    freeaddrinfo(list);

    return NGX_OK;
}


static void
ngx_http_acr_fetch_name_done(void *data, ngx_int_t rc)
{
    ngx_http_acr_fetch_lookup_t *lookup = data;

    ngx_queue_t                    *q;
    ngx_http_acr_fetch_client_t    *client;
    ngx_http_acr_fetch_transfer_t  *t;

    client = lookup->client;
    client->lookups--;

    t = lookup->transfer;

    if (t) {
        t->lookup = NULL;
        ngx_http_acr_fetch_name_found(t, lookup);
    }

    ngx_free(lookup);

    while (client->lookups < NGX_HTTP_ACR_FETCH_LOOKUPS
           && !ngx_queue_empty(&client->waiting))
    {
        q = ngx_queue_head(&client->waiting);
        t = ngx_queue_data(q, ngx_http_acr_fetch_transfer_t, wait);

        t->waiting = 0;
        ngx_queue_remove(&t->wait);

        ngx_http_acr_fetch_name_begin(t);
    }
}


static void
ngx_http_acr_fetch_name_found(ngx_http_acr_fetch_transfer_t *t,
    ngx_http_acr_fetch_lookup_t *lookup)
{
    ngx_uint_t                     i;
    ngx_http_acr_fetch_address_t  *address;

    if (lookup->error) {
        ngx_http_acr_fetch_fail(t, "its name was not found: %s",
                                gai_strerror(lookup->error));
        return;
    }

    for (i = 0; i < lookup->naddresses; i++) {
        address = &lookup->addresses[i];

        if (ngx_http_acr_fetch_may(t, address->bytes, address->len)) {
            t->addresses[t->naddresses++] = *address;
        }
    }

    if (t->naddresses == 0) {
        ngx_http_acr_fetch_fail(t, "its address must not be asked");
        return;
    }

    t->begun = ngx_current_msec;

    ngx_http_acr_fetch_named(t);
}


/*
 * "+host:port:address": libcurl is told, so that it need not look for itself.
 * Without the plus it would never forget.
 */

ngx_int_t
ngx_http_acr_fetch_name_tell(ngx_http_acr_fetch_transfer_t *t)
{
    int                            family;
    u_char                        *p;
    ngx_http_acr_fetch_address_t  *address;
    u_char                         text[NGX_HTTP_ACR_FETCH_HOST
                                        + sizeof("+:65535:")
                                        + NGX_INET6_ADDRSTRLEN];

    address = &t->addresses[t->address];
    family = (address->len == 4) ? AF_INET : AF_INET6;

    p = ngx_sprintf(text, "+%V:%ui:", &t->host, (ngx_uint_t) t->port);
    p += ngx_inet_ntop(family, address->bytes, p, NGX_INET6_ADDRSTRLEN);
    *p = '\0';

    t->resolve = curl_slist_append(NULL, (char *) text);

    return t->resolve ? NGX_OK : NGX_ERROR;
}
