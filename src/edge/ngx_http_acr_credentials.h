
/*
 * What this registry says to others of who it is: sets of a user and a
 * password, or of an identity token, by name (acr_credential_set).
 *
 * What stands in files is read when the configuration is, by the user who reads
 * that; and again by the workers, in the thread pool "acr_slow", when somebody
 * uses the set and has not looked for NGX_HTTP_ACR_CREDENTIALS_LOOK ms.  If a
 * file cannot be read then, which is logged once, what was known stays good.
 * Contents are never logged.
 */

#ifndef NGX_HTTP_ACR_CREDENTIALS_H
#define NGX_HTTP_ACR_CREDENTIALS_H

#include <ngx_config.h>
#include <ngx_core.h>

#include "../ngx_http_acr_task.h"


#define NGX_HTTP_ACR_CREDENTIALS_LOOK    5000
#define NGX_HTTP_ACR_CREDENTIALS_USER    256      /* bytes at most */
#define NGX_HTTP_ACR_CREDENTIALS_SECRET  16384


/* a text that may stand in a file */

typedef struct {
    ngx_str_t                     file;       /* with a zero behind it; empty:
                                                 the text was literal */
    size_t                        max;
    ngx_str_t                     text;       /* of max bytes, if of a file */
    u_char                       *read;       /* max + 2, of the thread */
    size_t                        len;        /* that were read */
} ngx_http_acr_credential_text_t;


typedef struct {
    ngx_str_t                       name;
    ngx_http_acr_credential_text_t  user;     /* empty with a token */
    ngx_http_acr_credential_text_t  secret;   /* password or token */
    unsigned                        token:1;  /* an identity token: a
                                                 "refresh_token" of Docker's
                                                 and OAuth 2's token services */

    /* of a worker */

    ngx_uint_t                      generation;  /* raised by each change */
    ngx_http_acr_task_t             task;
    ngx_http_acr_pool_t            *pool;
    ngx_queue_t                     waiters;
    ngx_msec_t                      looked;
    const char                     *why;      /* it could not be read */
    ngx_str_t                      *what;     /* this file */
    ngx_err_t                       err;
    ngx_log_t                      *log;
    unsigned                        failed:1; /* which was logged */
    unsigned                        once:1;   /* there was a look */
} ngx_http_acr_credentials_t;


/* whoever waits; ready is called once, on the event loop, unless it was taken
   out of its queue before */

typedef struct ngx_http_acr_wait_s  ngx_http_acr_wait_t;

struct ngx_http_acr_wait_s {
    ngx_queue_t                     queue;
    void                          (*ready)(ngx_http_acr_wait_t *wait);
    void                           *data;
};


/*
 * Reads the arguments of acr_credential_set.  NGX_CONF_OK, or NGX_CONF_ERROR
 * after a log line.
 */
char *ngx_http_acr_credentials_conf(ngx_conf_t *cf,
    ngx_http_acr_credentials_t *set);

/* in a worker, before it is used; pool: "acr_slow" */
void ngx_http_acr_credentials_init(ngx_http_acr_credentials_t *set,
    ngx_http_acr_pool_t *pool, ngx_log_t *log);

/*
 * Before the set is used: NGX_OK, or NGX_AGAIN: files are looked at, and
 * wait->ready is called afterwards.
 */
ngx_int_t ngx_http_acr_credentials_look(ngx_http_acr_credentials_t *set,
    ngx_http_acr_wait_t *wait);

/*
 * "Basic ..." (RFC 7617), allocated; NGX_DECLINED: there is no user; NGX_ERROR:
 * no memory.
 */
ngx_int_t ngx_http_acr_credentials_basic(ngx_http_acr_credentials_t *set,
    ngx_str_t *value);


#endif /* NGX_HTTP_ACR_CREDENTIALS_H */
