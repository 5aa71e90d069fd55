
/*
 * A client of registries elsewhere, "remotes": for repositories that fill
 * themselves from one, and for edge nodes.
 *
 *     ngx_http_acr_remote.c            a request from its start to its end
 *     ngx_http_acr_remote_challenge.c  what is done about 401
 *     ngx_http_acr_remote_told.c       what an answer tells of the remote
 *     ngx_http_acr_remote_token.c      tokens, and who waits for them
 *     ngx_http_acr_remote_service.c    how they are asked for
 *     ngx_http_acr_remote_conf.c       directives, and how a worker begins
 *     ngx_http_acr_credentials.c       who this registry is to others
 *     ngx_http_acr_breaker.c           those that do not answer
 *
 * A request is sent with what the remote has asked for the last time: nothing,
 * Basic, or a Bearer token for the scope.  If it is answered with 401 the
 * challenge is met and the request sent once more; a second 401 is final.
 * Tokens come from the service that the remote names (Docker's "Token
 * Authentication" and "OAuth2 Token Authentication": GET, with Basic if there
 * are credentials, or POST with an identity token), are kept in the worker by
 * scope until shortly before they end, and requests that wait for the same one
 * share its fetch.
 *
 * Where things go: the remote's URL was written by the operator, so it may have
 * a private address; so may a token service on the same host, or on that of
 * "realm=".  Any other must have a public one, and be https if the remote is.
 * Credentials go to the remote and to its token service only: not where either
 * redirects to, and a challenge from there is not met.
 *
 * A remote that says when it wants to be asked again (429 or 503, Retry-After)
 * is not asked before, five minutes at most; one that does not answer, or with
 * 5xx, is assumed to be down for a while (ngx_http_acr_breaker.h), and so is
 * its token service, by itself.  All workers of a node share that; a reload
 * forgets it.
 *
 * A request keeps no exiting worker alive: whoever waits for it and should be
 * waited for has a timer of its own.
 */

#ifndef NGX_HTTP_ACR_REMOTE_H
#define NGX_HTTP_ACR_REMOTE_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "../oci/acr_challenge.h"
#include "../fetch/ngx_http_acr_fetch.h"
#include "ngx_http_acr_breaker.h"
#include "ngx_http_acr_credentials.h"


#define NGX_HTTP_ACR_REMOTE_HEADERS  8         /* of a request, at most */
#define NGX_HTTP_ACR_REMOTE_SCOPE    1024      /* bytes, at most */
#define NGX_HTTP_ACR_REMOTE_TOKENS   256       /* of a remote, in a worker */
#define NGX_HTTP_ACR_REMOTE_WAIT     300000    /* ms: longest that we believe
                                                  somebody to be limited */


typedef struct ngx_http_acr_remote_s          ngx_http_acr_remote_t;
typedef struct ngx_http_acr_remote_token_s    ngx_http_acr_remote_token_t;
typedef struct ngx_http_acr_remote_request_s  ngx_http_acr_remote_request_t;


/* what all workers know of a remote; without pointers, all zero at first */

typedef struct {
    ngx_http_acr_breaker_t          breaker;   /* of the remote */
    ngx_http_acr_breaker_t          service;   /* of its token service */
    ngx_atomic_t                    until;     /* it is not to be asked before,
                                                  in ms of ngx_current_msec;
                                                  0: at any time */
    ngx_atomic_t                    service_until; /* the same of its token
                                                  service */
    ngx_atomic_t                    limit;     /* of its RateLimit headers, and
                                                  one more; 0: not known */
    ngx_atomic_t                    remaining; /* the same */
    ngx_atomic_t                    window;    /* seconds; 0: not known */
} ngx_http_acr_remote_state_t;


struct ngx_http_acr_remote_s {

    /* of the configuration */

    ngx_str_t                       host;      /* as users write it */
    ngx_str_t                       url;       /* "https://host[:port]" */
    ngx_str_t                       realm;     /* a URL whose host the token
                                                  service may have; or empty */
    ngx_str_t                       set;       /* name of the credentials */
    ngx_http_acr_credentials_t     *credentials; /* or NULL */
    ngx_msec_t                      connect;
    ngx_msec_t                      timeout;   /* of a request that has none,
                                                  and of one for a token */
    unsigned                        written:1; /* by acr_remote */
    unsigned                        https:1;

    ngx_http_acr_remote_state_t    *state;     /* shared by the workers */

    /* of a worker */

    ngx_http_acr_fetch_client_t    *client;    /* NULL: not started */
    ngx_log_t                      *log;
    unsigned                        known:1;   /* what it asks for: */
    acr_challenge_e                 scheme;
    ngx_str_t                       service;   /* of the last challenge, both */
    ngx_str_t                       service_url;
    ngx_rbtree_t                    tokens;
    ngx_rbtree_node_t               sentinel;
    ngx_queue_t                     order;     /* the one used last comes
                                                  first */
    ngx_uint_t                      ntokens;
    ngx_uint_t                      stamp;     /* of the token got last */
};


/* of the main configuration; all zero at first */

typedef struct {
    ngx_array_t                     remotes;   /* ngx_http_acr_remote_t * */
    ngx_array_t                     sets;      /* ngx_http_acr_credentials_t *
                                                */
    ngx_shm_t                       shm;       /* of their states */
    ngx_http_acr_pool_t             pool;      /* "acr_slow", in a worker */
} ngx_http_acr_remotes_t;


typedef enum {
    NGX_HTTP_ACR_REMOTE_OK = 0,     /* 2xx, and 304; with the status */
    NGX_HTTP_ACR_REMOTE_DENIED,     /* 401 or 403, whatever was offered, or
                                       there was nothing to offer */
    NGX_HTTP_ACR_REMOTE_MISSING,    /* 404, 410 */
    NGX_HTTP_ACR_REMOTE_LIMITED,    /* 429, 503 with Retry-After, or it was not
                                       asked since it has said so before */
    NGX_HTTP_ACR_REMOTE_FAILED      /* all else: other statuses, no answer, or
                                       it was not asked since it is assumed to
                                       be down */
} ngx_http_acr_remote_result_e;


/* on the event loop, and never from within a function of this header */
typedef void (*ngx_http_acr_remote_done_pt)(
    ngx_http_acr_remote_request_t *request);

/*
 * As those of a fetch (ngx_http_acr_fetch.h), and as little may be done there:
 * of the functions below only ngx_http_acr_remote_header().  They are called
 * for an answer that is to be the result, and if that is OK; the bodies of all
 * others are collected.  status is set.  With NGX_ERROR error may be set.
 */
typedef ngx_int_t (*ngx_http_acr_remote_head_pt)(
    ngx_http_acr_remote_request_t *request);
typedef ngx_int_t (*ngx_http_acr_remote_piece_pt)(
    ngx_http_acr_remote_request_t *request, u_char *p, size_t n);


/*
 * A request is memory of its owner: all zero at first, and not to be moved,
 * freed or changed between its start and done; the texts, too, stay until then.
 */

struct ngx_http_acr_remote_request_s {

    /* set by the owner */

    ngx_http_acr_remote_t          *remote;
    ngx_str_t                       method;    /* empty: GET */
    ngx_str_t                       path;      /* "/v2/...", escaped where it
                                                  has to be, and arguments */
    ngx_str_t                       scope;     /* "repository:name:pull", or
                                                  empty */
    ngx_http_acr_fetch_header_t    *headers;   /* no Authorization */
    ngx_uint_t                      nheaders;
    size_t                          max;       /* bytes of the answer's body, if
                                                  it is collected */
    ngx_msec_t                      timeout;   /* of each request that is made
                                                  for it; 0: the remote's, or
                                                  any if idle is set */
    ngx_msec_t                      idle;      /* as of a fetch; 0: any */
    ngx_http_acr_remote_head_pt     head;      /* NULL: none, as if NGX_OK */
    ngx_http_acr_remote_piece_pt    piece;     /* NULL: bodies are collected */
    ngx_http_acr_remote_done_pt     done;
    void                           *data;
    unsigned                        insist:1;  /* also of a remote that is
                                                  assumed to be down */

    /* set when done is called; texts go when it returns, but for the error */

    ngx_http_acr_remote_result_e    result;
    ngx_uint_t                      status;    /* 0: there is no answer */
    ngx_str_t                       answer;    /* its body, if it was
                                                  collected; of one that is not
                                                  OK it may be left out */
    ngx_str_t                       error;     /* printable, for a log line,
                                                  with a zero behind it; empty
                                                  if the result is OK */
    ngx_uint_t                      wait;      /* seconds, of one that is
                                                  limited; 0: not said */
    unsigned                        bearer:1;  /* what it was sent with last */
    unsigned                        basic:1;

    /* of the client */

    ngx_http_acr_fetch_t            fetch;
    ngx_http_acr_wait_t             waiter;    /* for files, or a token */
    ngx_http_acr_remote_token_t    *token;     /* that is waited for */
    ngx_event_t                     event;     /* posted: there is a result */
    ngx_uint_t                      stamp;     /* of the token it was sent
                                                  with */
    unsigned                        active:1;
    unsigned                        waiting:1;
    unsigned                        probe:1;   /* of the breaker */
    unsigned                        told:1;    /* the breaker was */
    unsigned                        refused:1; /* the answer, by its owner */
    unsigned                        challenged:1;
    u_char                          text[256];
};


/*
 * Starts a request.  NGX_OK: done is called once, unless it is cancelled
 * before; the owner may free the request or start it again there.  NGX_ERROR:
 * this worker has no client.
 */
ngx_int_t ngx_http_acr_remote_start(ngx_http_acr_remote_request_t *request);

/* at any time: nothing of the request is touched afterwards; nothing happens if
   it is not under way.  A token that it waits for is fetched all the same. */
void ngx_http_acr_remote_cancel(ngx_http_acr_remote_request_t *request);

/* at any time, but for head and piece: these go on from an event, if piece has
   returned NGX_AGAIN; else nothing happens */
void ngx_http_acr_remote_resume(ngx_http_acr_remote_request_t *request);

/* a header of the answer, for head, piece and done: its last value, or
   NGX_DECLINED */
ngx_int_t ngx_http_acr_remote_header(ngx_http_acr_remote_request_t *request,
    const char *name, ngx_str_t *value);

/* seconds until the remote may be asked again; 0: now */
ngx_uint_t ngx_http_acr_remote_limited(ngx_http_acr_remote_t *remote);


/* acr_credential_set and acr_remote: conf is the main one */
char *ngx_http_acr_set_credential_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_acr_set_remote(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/*
 * The remote of that host, at any time of the configuration: that of its
 * acr_remote, which may come later, else https://registry-1.docker.io for
 * docker.io and https://<host> for any other.  NULL after a log line that
 * names the directive (cf->args): it is no host, or there is no memory.
 */
ngx_http_acr_remote_t *ngx_http_acr_remote_conf(ngx_conf_t *cf,
    ngx_str_t *host);

/* the remote of a host, or NULL */
ngx_http_acr_remote_t *ngx_http_acr_remote_find(
    ngx_http_acr_remotes_t *remotes, ngx_str_t *host);

/* before and after the configuration is read: NGX_ERROR after a log line, or
   there is no memory */
ngx_int_t ngx_http_acr_remotes_create(ngx_conf_t *cf,
    ngx_http_acr_remotes_t *remotes);
ngx_int_t ngx_http_acr_remotes_prepare(ngx_conf_t *cf,
    ngx_http_acr_remotes_t *remotes);

/* for init_process, after the client of src/fetch, and for exit_process, before
   it and after all that asks remotes */
ngx_int_t ngx_http_acr_remotes_init(ngx_http_acr_remotes_t *remotes,
    ngx_http_acr_fetch_client_t *client, ngx_cycle_t *cycle);
void ngx_http_acr_remotes_exit(ngx_http_acr_remotes_t *remotes);


#endif /* NGX_HTTP_ACR_REMOTE_H */
