
#include "ngx_http_acr_document.h"


/* milliseconds between two looks */
#define NGX_HTTP_ACR_DOCUMENT_LOOK  500


static void ngx_http_acr_document_timer(ngx_event_t *ev);
static void ngx_http_acr_document_look(ngx_http_acr_document_t *document);
static ngx_int_t ngx_http_acr_document_load(void *data, ngx_log_t *log);
static ngx_int_t ngx_http_acr_document_read(
    ngx_http_acr_document_t *document, u_char **p, size_t *n, ngx_log_t *log);
static void ngx_http_acr_document_loaded(void *data, ngx_int_t rc);


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

    ngx_http_acr_document_look(document);

    ngx_add_timer(ev, NGX_HTTP_ACR_DOCUMENT_LOOK);
}


static void
ngx_http_acr_document_look(ngx_http_acr_document_t *document)
{
    if (document->task.active) {
        return;
    }

    if (document->again) {
        ngx_memzero(&document->version, sizeof(ngx_http_acr_store_version_t));
        document->again = 0;
    }

    (void) ngx_http_acr_task_post(&document->task, document->registry->slow);
}


static ngx_int_t
ngx_http_acr_document_load(void *data, ngx_log_t *log)
{
    ngx_http_acr_document_t *document = data;

    u_char     *p;
    size_t      n;
    ngx_int_t   rc;

    document->read = 0;

    rc = ngx_http_acr_document_read(document, &p, &n, log);

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


/* what stays as it is, an error too, is told of once, and not twice a second */

static ngx_int_t
ngx_http_acr_document_read(ngx_http_acr_document_t *document, u_char **p,
    size_t *n, ngx_log_t *log)
{
    ngx_int_t  rc;
    ngx_log_t  quiet;

    quiet = *log;
    quiet.log_level = NGX_LOG_STDERR;

    rc = ngx_http_acr_store_document_read(&document->registry->store,
                                          document->file, &document->version,
                                          p, n, &quiet);

    if (rc == NGX_OK || rc == NGX_DECLINED) {
        document->failed = 0;
        return rc;
    }

    /* EAGAIN: it was replaced just now */

    if (rc != EAGAIN && rc != document->failed) {
        ngx_log_error(NGX_LOG_CRIT, log, rc,
                      "acr: %s cannot be read, what it has said before holds",
                      document->file->path + 1);

        document->failed = rc;
    }

    return rc;
}


static void
ngx_http_acr_document_loaded(void *data, ngx_int_t rc)
{
    ngx_http_acr_document_t *document = data;

    if (document->again) {

        if (document->read) {
            document->parsed(document->data, NGX_DECLINED);
        }

        ngx_http_acr_document_look(document);
        return;
    }

    if (document->read) {
        document->parsed(document->data, rc);
    }
}
