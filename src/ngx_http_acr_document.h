
/*
 * A document of a registry (ngx_http_acr_store.h), of which each worker has
 * what it has made of it: looked at twice a second, and read and made again
 * when it was replaced, by whichever node.
 *
 * A change that was acknowledged is therefore in force everywhere within a
 * second; the worker that has made it itself has it at once.
 */

#ifndef NGX_HTTP_ACR_DOCUMENT_H
#define NGX_HTTP_ACR_DOCUMENT_H

#include "ngx_http_acr.h"
#include "ngx_http_acr_task.h"


typedef struct {

    /* of the owner */

    ngx_http_acr_registry_t                *registry;
    const ngx_http_acr_store_document_t    *file;
    void                                   *data;

    /* in a thread, or before anything is served: makes something of the text,
       which is NULL if there is no file.  NGX_OK; NGX_ERROR after a log line:
       it is wrong, which is told of once; ENOMEM: the next look tries it
       again */
    ngx_int_t                             (*parse)(void *data, const u_char *p,
                                                   size_t n, ngx_log_t *log);

    /* on the event loop: parse has returned this; or NGX_DECLINED: what it has
       made is out of date, and is to be released.  Not called if the document
       could not be read */
    void                                  (*parsed)(void *data, ngx_int_t rc);

    /* all zero at first */

    ngx_http_acr_store_version_t            version;   /* of the task, while it
                                                          runs */
    ngx_http_acr_task_t                     task;
    ngx_event_t                             timer;
    ngx_uint_t                              read;      /* likewise */
    ngx_int_t                               failed;    /* likewise: the error
                                                          that was told of */
    ngx_uint_t                              again;
} ngx_http_acr_document_t;


/* for init_process: reads it at once */
void ngx_http_acr_document_start(ngx_http_acr_document_t *document,
    ngx_cycle_t *cycle);

/* for exit_process */
void ngx_http_acr_document_stop(ngx_http_acr_document_t *document);

/*
 * This worker has taken what it has written itself.  A look that is under way
 * may have seen what was before, so it is not believed; and two changes that
 * were written one after the other may arrive in the other order: so the
 * document is read again.
 */
void ngx_http_acr_document_again(ngx_http_acr_document_t *document);


#endif /* NGX_HTTP_ACR_DOCUMENT_H */
