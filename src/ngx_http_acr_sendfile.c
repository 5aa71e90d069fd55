
#include "ngx_http_acr_sendfile.h"

#include <sys/uio.h>


/*
 * The kernel reads ahead in larger steps than this, so a page in each tells of
 * those between; and so much of the file is looked at before it is sent.
 */
#define NGX_HTTP_ACR_SENDFILE_STEP   (64 * 1024)
#define NGX_HTTP_ACR_SENDFILE_AHEAD  (2 * 1024 * 1024)

/* ms for which that is good */
#define NGX_HTTP_ACR_SENDFILE_GOOD   1000


static ngx_int_t ngx_http_acr_sendfile_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static void ngx_http_acr_sendfile_choose(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static ngx_uint_t ngx_http_acr_sendfile_cached(ngx_http_acr_ctx_t *ctx,
    ngx_buf_t *b);


static ngx_http_output_body_filter_pt  ngx_http_next_body_filter;


void
ngx_http_acr_sendfile_init(void)
{
    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_acr_sendfile_filter;
}


void
ngx_http_acr_sendfile(ngx_http_request_t *r, ngx_buf_t *b)
{
#if (NGX_THREADS && defined RWF_NOWAIT)

    ngx_http_acr_get_ctx(r)->file = b->file;

#endif
}


/*
 * It comes after nginx's copy filter, which sets the file's thread_handler, and
 * is called each time when the client has taken something.  Of several ranges
 * at once the threads take care.
 */

static ngx_int_t
ngx_http_acr_sendfile_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_acr_module);

    if (ctx == NULL || ctx->file == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

#if (NGX_THREADS)

    if (in) {

        if (ctx->sending || in->next || !in->buf->in_file
            || in->buf->file != ctx->file
            || ctx->file->thread_handler == NULL
            || r->http_version >= NGX_HTTP_VERSION_20)
        {
            if (ctx->sending) {
                ctx->file->thread_handler = ctx->thread_handler;
            }

            ctx->file = NULL;

            return ngx_http_next_body_filter(r, in);
        }

        ctx->sending = in->buf;
        ctx->cached = in->buf->file_pos;
        ctx->looked = ngx_current_msec;
        ctx->thread_handler = ctx->file->thread_handler;
    }

    if (ctx->sending) {
        ngx_http_acr_sendfile_choose(r, ctx);
    }

#endif

    return ngx_http_next_body_filter(r, in);
}


#if (NGX_THREADS)

/* one that is at work, or whose work has not been looked at, has to be asked */

static void
ngx_http_acr_sendfile_choose(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_thread_task_t  *task;

    task = r->connection->sendfile_task;

    if (task && (task->event.active || task->event.complete)) {
        ctx->file->thread_handler = ctx->thread_handler;
        return;
    }

    ctx->file->thread_handler =
                            ngx_http_acr_sendfile_cached(ctx, ctx->sending)
                            ? NULL : ctx->thread_handler;
}


static ngx_uint_t
ngx_http_acr_sendfile_cached(ngx_http_acr_ctx_t *ctx, ngx_buf_t *b)
{
#ifdef RWF_NOWAIT

    off_t         last;
    u_char        byte;
    struct iovec  iov;

    iov.iov_base = &byte;
    iov.iov_len = 1;

    last = ngx_min(b->file_last, b->file_pos + NGX_HTTP_ACR_SENDFILE_AHEAD);

    if (ngx_current_msec - ctx->looked > NGX_HTTP_ACR_SENDFILE_GOOD) {
        ctx->looked = ngx_current_msec;
        ctx->cached = b->file_pos;
    }

    while (ctx->cached < last) {

        if (preadv2(b->file->fd, &iov, 1, ctx->cached, RWF_NOWAIT) != 1) {
            return 0;
        }

        ctx->cached += NGX_HTTP_ACR_SENDFILE_STEP;
    }

    return 1;

#else

    return 0;

#endif
}

#endif
