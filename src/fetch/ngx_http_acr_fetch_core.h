
/*
 * What the files of src/fetch share; ngx_http_acr_fetch.h is for all others.
 *
 * A transfer is what a fetch is made of, from its start to its end: for each
 * request of it, the first and those that redirects ask for, a name is looked
 * up (state NAME) and then a handle of libcurl is in the client's multi handle
 * (state REQUEST), for one address after the other until there is a connection:
 * libcurl 7.88 forgets to go on to the second in time if the first does not
 * answer.  Of an owner's functions only head and piece are called from within
 * libcurl.
 */

#ifndef NGX_HTTP_ACR_FETCH_CORE_H
#define NGX_HTTP_ACR_FETCH_CORE_H

#include "../ngx_http_acr_task.h"
#include "ngx_http_acr_fetch.h"
#include "acr_address.h"

#include <curl/curl.h>


#define NGX_HTTP_ACR_FETCH_REDIRECTS  5
#define NGX_HTTP_ACR_FETCH_HOST       255
#define NGX_HTTP_ACR_FETCH_ADDRESSES  16
#define NGX_HTTP_ACR_FETCH_LOOKUPS    4   /* at a time: of the threads that
                                             also sync and unlink */
#define NGX_HTTP_ACR_FETCH_KEPT       20000 /* ms: a connection for others */
#define NGX_HTTP_ACR_FETCH_MOST       16    /* of them */


/* a client of a worker */

struct ngx_http_acr_fetch_client_s {
    ngx_http_acr_fetch_conf_t    *conf;
    CURLM                        *multi;
    ngx_event_t                   timer;    /* libcurl's own */
    ngx_event_t                   drain;    /* looks for requests that ended */
    ngx_event_t                   kept;     /* closes connections */
    ngx_uint_t                    running;  /* requests in the multi handle */
    ngx_http_acr_pool_t           pool;     /* "acr_slow" */
    ngx_uint_t                    lookups;  /* in the pool */
    ngx_queue_t                   waiting;  /* transfers, for a lookup */
    ngx_queue_t                   transfers;
    ngx_log_t                    *log;
    unsigned                      closing:1; /* worker_shutdown_timeout */
};


typedef struct {
    CURLU                        *handle;
    u_char                        host[NGX_HTTP_ACR_FETCH_HOST + 1];
    size_t                        len;
    in_port_t                     port;
    u_char                        address[16];
    size_t                        literal;  /* bytes of address; 0: a name */
    unsigned                      https:1;
} ngx_http_acr_fetch_url_t;


typedef struct {
    u_char                        bytes[16];
    size_t                        len;
} ngx_http_acr_fetch_address_t;


/* what becomes of the body of an answer */

typedef enum {
    NGX_HTTP_ACR_FETCH_UNKNOWN = 0,         /* no byte of it was there yet */
    NGX_HTTP_ACR_FETCH_COLLECT,
    NGX_HTTP_ACR_FETCH_GIVE,                /* piece by piece */
    NGX_HTTP_ACR_FETCH_DROP                 /* of a redirect */
} ngx_http_acr_fetch_body_e;


/* outlives its transfer until its thread is done with it */

typedef struct {
    ngx_http_acr_task_t           task;
    ngx_http_acr_fetch_client_t  *client;
    ngx_http_acr_fetch_transfer_t *transfer; /* NULL: cancelled */
    u_char                        host[NGX_HTTP_ACR_FETCH_HOST + 1];
    ngx_http_acr_fetch_address_t  addresses[NGX_HTTP_ACR_FETCH_ADDRESSES];
    ngx_uint_t                    naddresses;
    int                           error;    /* of getaddrinfo() */
} ngx_http_acr_fetch_lookup_t;


struct ngx_http_acr_fetch_transfer_s {
    ngx_queue_t                   queue;    /* client->transfers */
    ngx_queue_t                   wait;     /* client->waiting */
    ngx_http_acr_fetch_client_t  *client;
    ngx_http_acr_fetch_t         *fetch;
    ngx_event_t                   timer;    /* the fetch's time-out */
    ngx_event_t                   failed;   /* posted: fetch->error is set */
    ngx_event_t                   idle;     /* without a byte */
    ngx_event_t                   resume;   /* posted: the owner takes more */
    ngx_msec_t                    begun;    /* to connect */
    ngx_msec_t                    heard;    /* when there was a byte */

    ngx_http_acr_fetch_url_t      url;      /* of the request */
    u_char                        written[NGX_HTTP_ACR_FETCH_HOST + 1];
    size_t                        written_len; /* 0: no host was */
    ngx_str_t                     host;     /* whom to connect to: the URL's or
                                               the proxy's */
    in_port_t                     port;
    char                          method[16];
    struct curl_slist            *headers;
    ngx_uint_t                    redirects;

    ngx_http_acr_fetch_lookup_t  *lookup;   /* state NAME */
    ngx_http_acr_fetch_address_t  addresses[NGX_HTTP_ACR_FETCH_ADDRESSES];
    ngx_uint_t                    naddresses; /* 0: the host is one */
    ngx_uint_t                    address;  /* that is tried */
    CURL                         *easy;     /* state REQUEST */
    struct curl_slist            *resolve;
    char                          error[CURL_ERROR_SIZE];

    long                          status;
    ngx_http_acr_fetch_body_e     to;
    u_char                       *answer;
    size_t                        len;      /* collected, or dropped */
    size_t                        size;

    unsigned                      waiting:1;
    unsigned                      added:1;   /* easy is in the multi handle */
    unsigned                      body:1;    /* is to be sent */
    unsigned                      private:1; /* may be asked... */
    unsigned                      link:1;    /* ...and these */
    unsigned                      local:1;   /* only this machine may be */
    unsigned                      large:1;   /* the answer is */
    unsigned                      refused:1; /* the address is */
    unsigned                      unwanted:1; /* the answer is, by its owner */
    unsigned                      enough:1;  /* a redirect's body was long */
    unsigned                      paused:1;
    unsigned                      fresh:1;   /* its connection is to be new */
};


/* ngx_http_acr_fetch.c */

/* goes on with a request whose addresses are known */
void ngx_http_acr_fetch_named(ngx_http_acr_fetch_transfer_t *t);

/* goes on, or calls done, after a request; from the drain event */
void ngx_http_acr_fetch_requested(ngx_http_acr_fetch_transfer_t *t,
    CURLcode rc);

/* done will be called, from a posted event, with this error */
void ngx_http_acr_fetch_fail(ngx_http_acr_fetch_transfer_t *t,
    const char *fmt, ...);

/* calls done; not from within libcurl */
void ngx_http_acr_fetch_end(ngx_http_acr_fetch_transfer_t *t);


/* ngx_http_acr_fetch_answer.c */

void ngx_http_acr_fetch_answer_init(ngx_http_acr_fetch_transfer_t *t);

/* for libcurl: CURLOPT_WRITEFUNCTION and CURLOPT_HEADERFUNCTION */
size_t ngx_http_acr_fetch_answer_write(char *p, size_t size, size_t n,
    void *data);
size_t ngx_http_acr_fetch_answer_header(char *p, size_t size, size_t n,
    void *data);

/*
 * t->status and t->to, once the headers are there; the owner is asked by head.
 * NGX_ERROR: it does not want the answer.
 */
ngx_int_t ngx_http_acr_fetch_answer_head(ngx_http_acr_fetch_transfer_t *t);

/* a byte was heard, or is waited for from now on */
void ngx_http_acr_fetch_answer_heard(ngx_http_acr_fetch_transfer_t *t);

/* nothing of it is kept */
void ngx_http_acr_fetch_answer_reset(ngx_http_acr_fetch_transfer_t *t);

/* nothing will happen any more */
void ngx_http_acr_fetch_answer_detach(ngx_http_acr_fetch_transfer_t *t);


/* ngx_http_acr_fetch_easy.c: t->easy for the request; NGX_ERROR: no memory */
ngx_int_t ngx_http_acr_fetch_easy(ngx_http_acr_fetch_transfer_t *t);


/* ngx_http_acr_fetch_loop.c */

ngx_int_t ngx_http_acr_fetch_loop_init(ngx_http_acr_fetch_client_t *client);
void ngx_http_acr_fetch_loop_exit(ngx_http_acr_fetch_client_t *client);

/* puts t->easy into the multi handle; NGX_ERROR: it cannot be */
ngx_int_t ngx_http_acr_fetch_loop_add(ngx_http_acr_fetch_transfer_t *t);

/*
 * Goes on with a request that was paused: libcurl gives at once what it has
 * kept.  What it says of that is the end of the request, if it is an error.
 */
CURLcode ngx_http_acr_fetch_loop_resume(ngx_http_acr_fetch_transfer_t *t);

/* takes it out, and ends the request if it is under way */
void ngx_http_acr_fetch_loop_remove(ngx_http_acr_fetch_transfer_t *t);


/* ngx_http_acr_fetch_name.c */

/*
 * Looks up the host and continues with ngx_http_acr_fetch_named(), or fails.
 * It may wait for its turn.
 */
void ngx_http_acr_fetch_name(ngx_http_acr_fetch_transfer_t *t);

/* t->resolve: the address of the name that is to be tried; NGX_ERROR: no
   memory */
ngx_int_t ngx_http_acr_fetch_name_tell(ngx_http_acr_fetch_transfer_t *t);

/* for a transfer that ends: it waits no more */
void ngx_http_acr_fetch_name_forget(ngx_http_acr_fetch_transfer_t *t);


/* ngx_http_acr_fetch_url.c */

/*
 * Reads a URL, which may be relative to base if that is not NULL: NULL, or a
 * static text that says what is wrong.  url->handle is to be freed with
 * curl_url_cleanup() in any case.
 */
const char *ngx_http_acr_fetch_url(ngx_http_acr_fetch_url_t *url,
    ngx_str_t *text, CURLU *base);

/* whether it is this machine, by an address or as "localhost" */
ngx_uint_t ngx_http_acr_fetch_is_local(ngx_http_acr_fetch_url_t *url);

/* whether scheme, host and port are equal */
ngx_uint_t ngx_http_acr_fetch_same_origin(ngx_http_acr_fetch_url_t *a,
    ngx_http_acr_fetch_url_t *b);

/* whether the transfer's request may go to the address */
ngx_uint_t ngx_http_acr_fetch_may(ngx_http_acr_fetch_transfer_t *t,
    const u_char *address, size_t n);

/* an address of a socket: its bytes, and how many; 0: of another family */
size_t ngx_http_acr_fetch_sockaddr(struct sockaddr *sa, u_char **address);


/* ngx_http_acr_fetch_conf.c: for CURLOPT_SSL_CTX_FUNCTION; data is the
   ngx_http_acr_fetch_conf_t */
CURLcode ngx_http_acr_fetch_trust(CURL *easy, void *ctx, void *data);


#endif /* NGX_HTTP_ACR_FETCH_CORE_H */
