
#include "ngx_http_acr_document.h"


/* milliseconds between two looks */
#define NGX_HTTP_ACR_DOCUMENT_LOOK  500


static ngx_int_t ngx_http_acr_document_load(void *data, ngx_log_t *log);
static void ngx_http_acr_document_loaded(void *data, ngx_int_t rc);
static void ngx_http_acr_document_timer(ngx_event_t *ev);


void
ngx_http_acr_document_start(ngx_http_acr_document_t *document,
    ngx_cycle_t *cycle)
{
    document->task.work = ngx_http_acr_document_load;
    document->task.done = ngx_http_acr_document_loaded;
    document->task.data = document;

    document->timer.data = document;
    document->timer.handler = ngx_http_acr_document_timer;
    document->timer.log = cycle->log;
    document->timer.cancelable = 1;

    /* nothing is served yet, so this may wait */

    ngx_http_acr_document_loaded(document,
                                 ngx_http_acr_document_load(document,
                                                            cycle->log));

    ngx_add_timer(&document->timer, NGX_HTTP_ACR_DOCUMENT_LOOK);
}


void
ngx_http_acr_document_stop(ngx_http_acr_document_t *document)
{
    if (document->timer.timer_set) {
        ngx_del_timer(&document->timer);
    }
}


void
ngx_http_acr_document_again(ngx_http_acr_document_t *document)
{
    document->again = 1;
}


static void
ngx_http_acr_document_timer(ngx_event_t *ev)
{
    ngx_http_acr_document_t *document = ev->data;

    if (ngx_exiting && ngx_event_no_timers_left() == NGX_OK) {
        return;
    }

    if (!document->task.active) {

        if (document->again) {
            ngx_memzero(&document->version,
                        sizeof(ngx_http_acr_store_version_t));
            document->again = 0;
        }

        (void) ngx_http_acr_task_post(&document->task,
                                      document->registry->slow);
    }

    ngx_add_timer(ev, NGX_HTTP_ACR_DOCUMENT_LOOK);
}


static ngx_int_t
ngx_http_acr_document_load(void *data, ngx_log_t *log)
{
    ngx_http_acr_document_t *document = data;

    u_char     *p;
    size_t      n;
    ngx_int_t   rc;

    document->read = 0;

    rc = ngx_http_acr_store_document_read(&document->registry->store,
                                          document->file, &document->version,
                                          &p, &n, log);
    if (rc != NGX_OK) {
        return rc;
    }

    document->read = 1;

    rc = document->parse(document->data, p, n, log);

    ngx_free(p);

    if (rc == ENOMEM) {

        /* as if it had not been read: the next look tries it again */

        ngx_memzero(&document->version, sizeof(ngx_http_acr_store_version_t));
    }

    return rc;
}


static void
ngx_http_acr_document_loaded(void *data, ngx_int_t rc)
{
    ngx_http_acr_document_t *document = data;

    if (document->read) {
        document->parsed(document->data, rc);
    }
}
