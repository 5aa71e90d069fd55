
#include "ngx_http_acr_credentials.h"


static char *ngx_http_acr_credentials_arg(ngx_conf_t *cf,
    ngx_http_acr_credentials_t *set, ngx_str_t *value);
static ngx_int_t ngx_http_acr_credentials_file(ngx_conf_t *cf,
    ngx_http_acr_credentials_t *set, ngx_http_acr_credential_text_t *text,
    ngx_str_t *path, size_t max);
static ngx_int_t ngx_http_acr_credentials_work(void *data, ngx_log_t *log);
static ngx_int_t ngx_http_acr_credentials_read(
    ngx_http_acr_credentials_t *set, ngx_http_acr_credential_text_t *text);
static const char *ngx_http_acr_credentials_open(
    ngx_http_acr_credential_text_t *text, ngx_err_t *err);
static const char *ngx_http_acr_credentials_check(const u_char *p, size_t n,
    ngx_uint_t user);
static void ngx_http_acr_credentials_done(void *data, ngx_int_t rc);
static ngx_uint_t ngx_http_acr_credentials_take(
    ngx_http_acr_credential_text_t *text);


#define ngx_http_acr_credentials_is(value, s)                                \
    ((value)->len >= sizeof(s) - 1                                           \
     && ngx_strncmp((value)->data, s, sizeof(s) - 1) == 0)


char *
ngx_http_acr_credentials_conf(ngx_conf_t *cf, ngx_http_acr_credentials_t *set)
{
    char        *error;
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;

    set->name = value[1];
    error = NULL;

    if (set->name.len == 0) {
        return "has an empty name";
    }

    for (i = 2; i < cf->args->nelts; i++) {
        error = ngx_http_acr_credentials_arg(cf, set, &value[i]);

        if (error != NGX_CONF_OK) {
            break;
        }
    }

    if (error == NGX_CONF_OK) {

        if (set->secret.text.data == NULL) {
            error = "has neither \"password_file\" nor \"token_file\"";

        } else if (set->token && set->user.text.data) {
            error = "has both a user and a \"token_file\"";

        } else if (!set->token && set->user.text.data == NULL) {
            error = "has neither \"user\" nor \"user_file\"";
        }
    }

    if (error != NGX_CONF_OK && error != NGX_CONF_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_credential_set\" \"%V\" %s", &set->name,
                           error);
        return NGX_CONF_ERROR;
    }

    return error;
}


/* what is no parameter may be a password: it is not logged */

static char *
ngx_http_acr_credentials_arg(ngx_conf_t *cf, ngx_http_acr_credentials_t *set,
    ngx_str_t *value)
{
    size_t                           max;
    ngx_str_t                        path;
    ngx_http_acr_credential_text_t  *text;

    max = NGX_HTTP_ACR_CREDENTIALS_SECRET;
    text = &set->secret;
    path = *value;

    if (ngx_http_acr_credentials_is(value, "user=")) {

        if (set->user.text.data) {
            return "has a second user";
        }

        set->user.text.data = value->data + 5;
        set->user.text.len = value->len - 5;

        if (set->user.text.len > NGX_HTTP_ACR_CREDENTIALS_USER) {
            return "has too long a user";
        }

        return (char *) ngx_http_acr_credentials_check(set->user.text.data,
                                                       set->user.text.len, 1);
    }

    if (ngx_http_acr_credentials_is(value, "user_file=")) {
        path.data += 10;
        path.len -= 10;
        max = NGX_HTTP_ACR_CREDENTIALS_USER;
        text = &set->user;

    } else if (ngx_http_acr_credentials_is(value, "password_file=")) {
        path.data += 14;
        path.len -= 14;

    } else if (ngx_http_acr_credentials_is(value, "token_file=")) {
        path.data += 11;
        path.len -= 11;
        set->token = 1;

    } else {
        return "has an unknown parameter: known are \"user=\", "
               "\"user_file=\", \"password_file=\" and \"token_file=\"";
    }

    if (path.len == 0) {
        return "has a file without a name";
    }

    if (text->text.data) {
        return text == &set->user ? "has a second user"
                                  : "has a second password or token";
    }

    return ngx_http_acr_credentials_file(cf, set, text, &path, max) == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_acr_credentials_file(ngx_conf_t *cf, ngx_http_acr_credentials_t *set,
    ngx_http_acr_credential_text_t *text, ngx_str_t *path, size_t max)
{
    text->file = *path;
    text->max = max;

    if (ngx_conf_full_name(cf->cycle, &text->file, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    text->text.data = ngx_pnalloc(cf->pool, max);
    text->read = ngx_pnalloc(cf->pool, max + 2);

    if (text->text.data == NULL || text->read == NULL) {
        return NGX_ERROR;
    }

    text->text.len = 0;

    /* "nginx -s stop" must work whatever has become of the file */

    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_OK;
    }

    if (ngx_http_acr_credentials_read(set, text) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, set->err,
                           "\"acr_credential_set\" \"%V\": \"%V\" %s",
                           &set->name, &text->file, set->why);
        return NGX_ERROR;
    }

    (void) ngx_http_acr_credentials_take(text);

    return NGX_OK;
}


void
ngx_http_acr_credentials_init(ngx_http_acr_credentials_t *set,
    ngx_http_acr_pool_t *pool, ngx_log_t *log)
{
    ngx_queue_init(&set->waiters);

    set->pool = pool;
    set->log = log;

    set->task.work = ngx_http_acr_credentials_work;
    set->task.done = ngx_http_acr_credentials_done;
    set->task.data = set;
}


ngx_int_t
ngx_http_acr_credentials_look(ngx_http_acr_credentials_t *set,
    ngx_http_acr_wait_t *wait)
{
    if (set->user.file.len == 0 && set->secret.file.len == 0) {
        return NGX_OK;
    }

    if (!set->task.active) {

        if (set->once && ngx_current_msec - set->looked
                         < NGX_HTTP_ACR_CREDENTIALS_LOOK)
        {
            return NGX_OK;
        }

        /* if there is too much to do, what is known is good enough */

        if (ngx_http_acr_task_post(&set->task, set->pool) != NGX_OK) {
            return NGX_OK;
        }
    }

    ngx_queue_insert_tail(&set->waiters, &wait->queue);

    return NGX_AGAIN;
}


/* in a thread; nobody else touches "read", "len", "why", "what" and "err" */

static ngx_int_t
ngx_http_acr_credentials_work(void *data, ngx_log_t *log)
{
    ngx_http_acr_credentials_t *set = data;

    if (set->user.file.len
        && ngx_http_acr_credentials_read(set, &set->user) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (set->secret.file.len
        && ngx_http_acr_credentials_read(set, &set->secret) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_credentials_read(ngx_http_acr_credentials_t *set,
    ngx_http_acr_credential_text_t *text)
{
    set->err = 0;
    set->what = &text->file;
    set->why = ngx_http_acr_credentials_open(text, &set->err);

    if (set->why) {
        return NGX_ERROR;
    }

    /* one end of a line; an editor or "echo" has written it */

    if (text->len && text->read[text->len - 1] == '\n') {
        text->len--;

        if (text->len && text->read[text->len - 1] == '\r') {
            text->len--;
        }
    }

    set->why = (text->len > text->max)
               ? "is too large"
               : ngx_http_acr_credentials_check(text->read, text->len,
                                                text == &set->user);

    return set->why ? NGX_ERROR : NGX_OK;
}


/* up to max + 2 bytes: two may be the end of the line */

static const char *
ngx_http_acr_credentials_open(ngx_http_acr_credential_text_t *text,
    ngx_err_t *err)
{
    ssize_t      n;
    ngx_fd_t     fd;
    const char  *why;

    struct stat  st;

    /* whoever opens a pipe that nobody writes would wait for ever */

    fd = open((char *) text->file.data, O_RDONLY|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1) {
        *err = ngx_errno;
        return "cannot be opened";
    }

    why = NULL;
    text->len = 0;

    if (fstat(fd, &st) == -1) {
        *err = ngx_errno;
        why = "cannot be read";

    } else if (!S_ISREG(st.st_mode)) {
        why = "is no file";
    }

    while (why == NULL && text->len < text->max + 2) {
        n = read(fd, text->read + text->len, text->max + 2 - text->len);

        if (n == 0) {
            break;
        }

        if (n > 0) {
            text->len += n;

        } else if (ngx_errno != NGX_EINTR) {
            *err = ngx_errno;
            why = "cannot be read";
        }
    }

    /* nothing was written, so this tells nothing */

    (void) close(fd);

    return why;
}


/* NULL, or why it is not good for a header; a colon ends a user in one */

static const char *
ngx_http_acr_credentials_check(const u_char *p, size_t n, ngx_uint_t user)
{
    size_t  i;

    if (n == 0) {
        return user ? "has an empty user" : "is empty";
    }

    for (i = 0; i < n; i++) {

        if (p[i] < ' ' || p[i] == 0x7f) {
            return "has control characters, or more than one line";
        }

        if (user && p[i] == ':') {
            return "has a user with a colon";
        }
    }

    return NULL;
}


static void
ngx_http_acr_credentials_done(void *data, ngx_int_t rc)
{
    ngx_http_acr_credentials_t *set = data;

    ngx_uint_t            changed;
    ngx_queue_t           waiters, *q;
    ngx_http_acr_wait_t  *wait;

    set->looked = ngx_current_msec;
    set->once = 1;

    if (rc == NGX_OK) {
        changed = 0;

        if (set->user.file.len) {
            changed = ngx_http_acr_credentials_take(&set->user);
        }

        if (set->secret.file.len) {
            changed |= ngx_http_acr_credentials_take(&set->secret);
        }

        if (changed) {
            set->generation++;

            ngx_log_error(NGX_LOG_NOTICE, set->log, 0,
                          "acr: credential set \"%V\" has changed",
                          &set->name);
        }

        set->failed = 0;

    } else if (!set->failed) {
        set->failed = 1;

        ngx_log_error(NGX_LOG_ERR, set->log, set->err,
                      "acr: credential set \"%V\" stays as it was: \"%V\" %s",
                      &set->name, set->what, set->why);
    }

    ngx_queue_init(&waiters);

    if (!ngx_queue_empty(&set->waiters)) {
        ngx_queue_add(&waiters, &set->waiters);
        ngx_queue_init(&set->waiters);
    }

    while (!ngx_queue_empty(&waiters)) {
        q = ngx_queue_head(&waiters);
        ngx_queue_remove(q);

        wait = ngx_queue_data(q, ngx_http_acr_wait_t, queue);
        wait->ready(wait);
    }
}


/* 1 if it is another one */

static ngx_uint_t
ngx_http_acr_credentials_take(ngx_http_acr_credential_text_t *text)
{
    ngx_uint_t  changed;

    changed = (text->len != text->text.len
               || ngx_memcmp(text->read, text->text.data, text->len) != 0);

    if (changed) {
        ngx_memcpy(text->text.data, text->read, text->len);
        text->text.len = text->len;
    }

    ngx_explicit_memzero(text->read, text->max + 2);

    return changed;
}


ngx_int_t
ngx_http_acr_credentials_basic(ngx_http_acr_credentials_t *set,
    ngx_str_t *value)
{
    u_char     *p;
    ngx_str_t   plain, encoded;

    if (set->user.text.len == 0) {
        return NGX_DECLINED;
    }

    plain.len = set->user.text.len + 1 + set->secret.text.len;
    plain.data = ngx_alloc(plain.len, set->log);

    if (plain.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(plain.data, set->user.text.data, set->user.text.len);
    *p++ = ':';
    ngx_memcpy(p, set->secret.text.data, set->secret.text.len);

    value->data = ngx_alloc(6 + ngx_base64_encoded_length(plain.len),
                            set->log);

    if (value->data) {
        encoded.data = ngx_cpymem(value->data, "Basic ", 6);
        ngx_encode_base64(&encoded, &plain);
        value->len = 6 + encoded.len;
    }

    ngx_explicit_memzero(plain.data, plain.len);
    ngx_free(plain.data);

    return value->data ? NGX_OK : NGX_ERROR;
}
