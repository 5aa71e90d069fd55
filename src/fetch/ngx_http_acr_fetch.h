
/*
 * The module's one HTTP client, for what it asks of others by itself: libcurl
 * on nginx's event loop.  DESIGN, sections 9 and 11.
 *
 *     ngx_http_acr_fetch.c        a fetch from its start to its end, redirects
 *     ngx_http_acr_fetch_easy.c   what libcurl is told of a request
 *     ngx_http_acr_fetch_answer.c what becomes of an answer, pauses
 *     ngx_http_acr_fetch_loop.c   libcurl on nginx's events and timers
 *     ngx_http_acr_fetch_name.c   names, in the thread pool "acr_slow"
 *     ngx_http_acr_fetch_url.c    URLs, and which addresses may be asked
 *     ngx_http_acr_fetch_conf.c   directives, and whose certificates are good
 *     acr_address.c               what an address is; plain C
 *
 * Two things would stop the event loop if libcurl did them: looking up names,
 * and reading the certificates that are trusted.  Names are looked up in the
 * thread pool, and libcurl is given addresses; certificates are read once, when
 * the configuration is.
 *
 * HTTP/1.1 only, over http or https, the latter with TLS 1.2 or later, always
 * verified.
 *
 * Where a fetch may go: to public addresses; to private ones (loopback, too)
 * only for a host that the operator has written; to link-local ones, where
 * clouds keep secrets, only if the operator has written the address itself.
 * Each address is looked at when it has been looked up, and again when its
 * socket is made.  Redirects (301, 302, 303, 307, 308) are followed, five at
 * most, each under the same rules; never from https to http.  To another origin
 * go neither Authorization nor Cookie, nor a body: a redirect that would take
 * it there is an error.  Through a proxy (acr_fetch_proxy) names are the
 * proxy's; addresses that stand in a URL are looked at all the same.
 *
 * Connections are used again, for the same origin.  The address of one is
 * looked at before each request, by the rules of that request: the connection
 * may have been made for somebody else.  A server may close one just then, and
 * libcurl sends the request again; so only GET and HEAD are sent over one of
 * before.  http through a proxy has a new one each time.  At most 16 are kept.
 * One that nobody has used for 20 s is used no more, and closed when the next
 * request begins; all are closed when there was no request for so long.
 *
 * An answer is collected, up to a number of bytes, or given to its owner piece
 * by piece, however long it is.  An owner that cannot take a piece pauses the
 * fetch: then nothing is read from the server, and what was read already, up to
 * 128 KiB, is kept.  Nothing is decompressed.
 *
 * A fetch keeps no exiting worker alive: whoever waits for it and should be
 * waited for has a timer of its own.
 */

#ifndef NGX_HTTP_ACR_FETCH_H
#define NGX_HTTP_ACR_FETCH_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <openssl/x509.h>


typedef struct ngx_http_acr_fetch_s           ngx_http_acr_fetch_t;
typedef struct ngx_http_acr_fetch_client_s    ngx_http_acr_fetch_client_t;
typedef struct ngx_http_acr_fetch_transfer_s  ngx_http_acr_fetch_transfer_t;


/* of the configuration; all zero at first */

typedef struct {
    ngx_str_t                       certificate; /* a file; empty: system's */
    ngx_str_t                       proxy;       /* "http://host:port"; empty:
                                                    none */
    ngx_str_t                       proxy_host;
    in_port_t                       proxy_port;
    X509_STORE                     *store;
    ngx_str_t                       first;       /* one of store, in PEM */
    ngx_http_acr_fetch_client_t    *client;      /* of this worker, or NULL */
    unsigned                        proxy_set:1;
    unsigned                        needed:1;
} ngx_http_acr_fetch_conf_t;


typedef struct {
    ngx_str_t                       name;
    ngx_str_t                       value;
} ngx_http_acr_fetch_header_t;


/* on the event loop, and never from within a function of this header */
typedef void (*ngx_http_acr_fetch_done_pt)(ngx_http_acr_fetch_t *fetch);

/*
 * From within libcurl: of the functions of this header they may call only
 * ngx_http_acr_fetch_header().
 *
 * head is called once, before piece and done, unless there is no answer: status
 * and headers are there, of the final one, since those of redirects and their
 * bodies are nobody's.  NGX_OK: the body is given to piece; NGX_DECLINED: it is
 * collected up to max, as without piece; NGX_ERROR: the fetch ends with the
 * error "refused by its owner", or a text that the owner has put into
 * fetch->error.
 */
typedef ngx_int_t (*ngx_http_acr_fetch_head_pt)(ngx_http_acr_fetch_t *fetch);

/*
 * The next n bytes of the body.  NGX_OK: they were taken; NGX_AGAIN: none of
 * them was, and the same come again, maybe in pieces of other sizes, after
 * ngx_http_acr_fetch_resume(); NGX_ERROR: as of head.
 */
typedef ngx_int_t (*ngx_http_acr_fetch_piece_pt)(ngx_http_acr_fetch_t *fetch,
    u_char *p, size_t n);


/*
 * A fetch is memory of its owner: all zero at first, and not to be moved, freed
 * or changed between its start and done.
 */

struct ngx_http_acr_fetch_s {

    /* set by the owner; texts are copied by the start, but for the body */

    ngx_str_t                       url;
    ngx_str_t                       written;  /* a URL of the configuration:
                                                 its host was written by the
                                                 operator; empty: public
                                                 addresses only */
    unsigned                        local:1;  /* over http only this machine,
                                                 whatever redirects say, and
                                                 never by a proxy */
    ngx_str_t                       method;   /* empty: GET; at most 15
                                                 characters */
    ngx_http_acr_fetch_header_t    *headers;
    ngx_uint_t                      nheaders;
    ngx_str_t                       body;     /* whose Content-Type is among
                                                 the headers */
    size_t                          max;      /* bytes of a body that is
                                                 collected; more are an error */
    ngx_msec_t                      timeout;  /* for all of it, pauses too;
                                                 0: any */
    ngx_msec_t                      connect;  /* for the connection of each
                                                 request, TLS too; 0: only
                                                 timeout counts */
    ngx_msec_t                      idle;     /* without a byte of the answer,
                                                 while it is not paused; 0: any.
                                                 A name, and a connection, may
                                                 take as long */
    ngx_http_acr_fetch_head_pt      head;     /* NULL: none, as if NGX_OK */
    ngx_http_acr_fetch_piece_pt     piece;    /* NULL: bodies are collected */
    ngx_http_acr_fetch_done_pt      done;
    void                           *data;

    /* set when done is called; texts go when it returns, but for the error */

    ngx_uint_t                      status;   /* whatever it is, for head, too;
                                                 0: there is an error, also that
                                                 the body has ended early */
    ngx_str_t                       answer;   /* the body that was collected */
    off_t                           received; /* bytes that piece has taken, so
                                                 far */
    ngx_str_t                       error;    /* printable, for a log line;
                                                 with a zero behind it */

    /* of the client */

    ngx_http_acr_fetch_transfer_t  *transfer; /* under way, else NULL */
    void                           *easy;     /* that has the headers of the
                                                 answer, for head, piece and
                                                 done */
    u_char                          text[256];

    /* set when done is called, and for whoever has to know whose answer it
       is */

    unsigned                        elsewhere:1; /* a redirect has led to
                                                    another origin */
    unsigned                        large:1;     /* the error is that max was
                                                    not enough */
};


/*
 * Starts a fetch.  NGX_OK: done is called once, unless it is cancelled before;
 * the owner may free the fetch or start it again there.  NGX_ERROR: no memory,
 * or client is NULL, and done is not called.  A URL that is no good is told by
 * done.
 */
ngx_int_t ngx_http_acr_fetch_start(ngx_http_acr_fetch_client_t *client,
    ngx_http_acr_fetch_t *fetch);

/* at any time, but for head and piece: nothing of the fetch is touched
   afterwards; nothing happens if it is not under way */
void ngx_http_acr_fetch_cancel(ngx_http_acr_fetch_t *fetch);

/* at any time, but for head and piece: these go on from an event, if piece has
   returned NGX_AGAIN; else nothing happens */
void ngx_http_acr_fetch_resume(ngx_http_acr_fetch_t *fetch);

/* a header of the answer, for head, piece and done: its last value, or
   NGX_DECLINED */
ngx_int_t ngx_http_acr_fetch_header(ngx_http_acr_fetch_t *fetch,
    const char *name, ngx_str_t *value);

/* the same for one that may be there several times: n begins with 0 */
ngx_int_t ngx_http_acr_fetch_header_nth(ngx_http_acr_fetch_t *fetch,
    const char *name, ngx_uint_t n, ngx_str_t *value);

/* 1 if both are URLs, of the same host, whatever their schemes and ports */
ngx_uint_t ngx_http_acr_fetch_same_host(ngx_str_t *a, ngx_str_t *b);

/*
 * Whether a text is a URL that can be fetched: NULL, or a static text that
 * says why not.  *https is set.
 */
const char *ngx_http_acr_fetch_check(ngx_str_t *url, ngx_uint_t *https);


/* acr_fetch_trusted_certificate, acr_fetch_proxy: conf is the main one */
char *ngx_http_acr_set_fetch_certificate(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_acr_set_fetch_proxy(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* while the configuration is read: something of it will fetch.  Without that
   no certificates are read, and workers have no client. */
void ngx_http_acr_fetch_need(ngx_conf_t *cf);

/* when it has been read: the certificates; NGX_ERROR after a log line */
ngx_int_t ngx_http_acr_fetch_prepare(ngx_conf_t *cf,
    ngx_http_acr_fetch_conf_t *conf);

/* for init_process and exit_process, before and after all that fetches */
ngx_int_t ngx_http_acr_fetch_init(ngx_http_acr_fetch_conf_t *conf,
    ngx_cycle_t *cycle);
void ngx_http_acr_fetch_exit(ngx_http_acr_fetch_conf_t *conf);


#endif /* NGX_HTTP_ACR_FETCH_H */
