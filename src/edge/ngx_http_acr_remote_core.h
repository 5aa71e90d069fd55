
/*
 * What the files of a remote's client share; ngx_http_acr_remote.h is for all
 * others.
 */

#ifndef NGX_HTTP_ACR_REMOTE_CORE_H
#define NGX_HTTP_ACR_REMOTE_CORE_H

#include "ngx_http_acr_remote.h"


/* ngx_http_acr_remote.c */

/* the request ends with this result and error, from a posted event */
void ngx_http_acr_remote_fail(ngx_http_acr_remote_request_t *request,
    ngx_http_acr_remote_result_e result, const char *fmt, ...);

/* sends the request; authorization: the value of that header, or empty; it may
   go afterwards */
void ngx_http_acr_remote_send(ngx_http_acr_remote_request_t *request,
    ngx_str_t *authorization);

/* sends it with the user and the password, which there are */
void ngx_http_acr_remote_basic(ngx_http_acr_remote_request_t *request);

/* sets the error of a request that is about to end */
void ngx_http_acr_remote_error(ngx_http_acr_remote_request_t *request,
    const char *fmt, ...);


/* ngx_http_acr_remote_challenge.c */

/* after 401.  NGX_OK: the request goes on; NGX_DECLINED: nothing can be done
   about it, and the error is set */
ngx_int_t ngx_http_acr_remote_challenge(
    ngx_http_acr_remote_request_t *request);


/* ngx_http_acr_remote_told.c */

/* what came of a request of the remote: the breaker, and what it says of its
   limits; once for each request */
void ngx_http_acr_remote_told(ngx_http_acr_remote_request_t *request);

/* the same for its token service, of a fetch */
void ngx_http_acr_remote_told_service(ngx_http_acr_remote_t *remote,
    ngx_http_acr_fetch_t *fetch, ngx_uint_t probe);

/* Retry-After of an answer in seconds, or 0: it has none that is good */
ngx_uint_t ngx_http_acr_remote_retry_after(ngx_http_acr_fetch_t *fetch);

/* until "until" of a state, rounded up; 0: it is over */
ngx_uint_t ngx_http_acr_remote_seconds(ngx_msec_t until);

/* the result of an answer, 401 being final */
ngx_http_acr_remote_result_e ngx_http_acr_remote_result(
    ngx_http_acr_fetch_t *fetch);


/* ngx_http_acr_remote_token.c */

struct ngx_http_acr_remote_token_s {
    ngx_str_node_t                  node;      /* by scope, which is behind
                                                  this */
    ngx_queue_t                     queue;     /* remote->order */
    ngx_http_acr_remote_t          *remote;
    ngx_queue_t                     waiters;   /* ngx_http_acr_wait_t */

    ngx_str_t                       value;     /* or empty */
    ngx_msec_t                      expires;
    ngx_uint_t                      stamp;
    ngx_uint_t                      generation; /* of the credentials */

    ngx_http_acr_fetch_t            fetch;
    ngx_str_t                       body;      /* of POST */
    ngx_uint_t                      asked;     /* generation, of the fetch */
    ngx_http_acr_remote_result_e    result;    /* of the last fetch */
    ngx_uint_t                      wait;
    u_char                          error[256];
    unsigned                        busy:1;
    unsigned                        probe:1;
};

/*
 * Goes on with a request that needs a token: sends it, or waits for one, or
 * fails it.  scope: the one to ask for, if the token service is asked.
 */
void ngx_http_acr_remote_token(ngx_http_acr_remote_request_t *request,
    ngx_str_t *scope);

/* calls those who wait, after a fetch */
void ngx_http_acr_remote_token_wake(ngx_http_acr_remote_token_t *t);

/* raised by each change of the credentials */
ngx_uint_t ngx_http_acr_remote_generation(ngx_http_acr_remote_t *remote);

/* for exit_process: no fetch is under way any more, and nothing is kept */
void ngx_http_acr_remote_tokens_exit(ngx_http_acr_remote_t *remote);


/* ngx_http_acr_remote_service.c */

/*
 * Asks for a token, for the request.  NULL: ngx_http_acr_remote_token_wake()
 * is called; else why it cannot be asked for, and request->wait is set if that
 * is since the service is limited.
 */
const char *ngx_http_acr_remote_token_ask(ngx_http_acr_remote_token_t *t,
    ngx_str_t *scope, ngx_http_acr_remote_request_t *request);

/* forgets what was posted */
void ngx_http_acr_remote_token_body(ngx_http_acr_remote_token_t *t);


#endif /* NGX_HTTP_ACR_REMOTE_CORE_H */
