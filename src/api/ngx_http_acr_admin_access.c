
/*
 * Who may do what, for operators: below "access/" of a location with
 * "acr_admin".  docs/admin.md describes it; src/auth/acr_access.h has what each
 * change means.
 */

#include "ngx_http_acr_admin.h"
#include "ngx_http_acr_metrics.h"
#include "../auth/ngx_http_acr_auth.h"


#define NGX_HTTP_ACR_ACCESS_BODY  65536


typedef struct {
    ngx_http_acr_ctx_t     *ctx;
    const char             *kind;
    acr_text_t              name;
    acr_text_t              sub;       /* of a password */
    int                     method;

    ngx_str_t               text;      /* what the client has sent */
    json_t                 *body;

    json_t                 *answer;
    ngx_http_acr_access_t  *access;    /* what has become of it */
    acr_change_e            code;
    const char             *error;
} ngx_http_acr_admin_access_t;


static void ngx_http_acr_admin_access_method(ngx_http_request_t *r,
    ngx_http_acr_admin_access_t *a);
static const char *ngx_http_acr_admin_access_kind(ngx_str_t *rest);
static ngx_http_acr_admin_access_t *ngx_http_acr_admin_access_create(
    ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_admin_access_cleanup(void *data);
static ngx_int_t ngx_http_acr_admin_access_parse(
    ngx_http_acr_admin_access_t *a, ngx_str_t *rest);
static void ngx_http_acr_admin_access_text(acr_text_t *text, u_char **p,
    u_char *last);
static ngx_http_acr_access_t *ngx_http_acr_admin_access_rights(
    ngx_http_request_t *r, ngx_http_acr_admin_access_t *a);
static void ngx_http_acr_admin_access_show(ngx_http_request_t *r,
    ngx_http_acr_admin_access_t *a);
static void ngx_http_acr_admin_access_explain(ngx_http_request_t *r,
    ngx_http_acr_admin_access_t *a);
static ngx_int_t ngx_http_acr_admin_access_principal(
    acr_principal_t *principal, ngx_str_t *text);
static void ngx_http_acr_admin_access_read(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static ngx_int_t ngx_http_acr_admin_access_work(void *data, ngx_log_t *log);
static ngx_int_t ngx_http_acr_admin_access_change(void *data, const u_char *p,
    size_t n, u_char **text, size_t *len, ngx_log_t *log);
static void ngx_http_acr_admin_access_done(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_admin_access_unknown(ngx_http_request_t *r);


static const char *ngx_http_acr_admin_access_kinds[] = {
    "admin", "tokens", "scope-maps", "role-assignments", "who", "explain",
    NULL
};


ngx_uint_t
ngx_http_acr_admin_access(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_str_t                     rest;
    const char                   *kind;
    ngx_http_acr_admin_access_t  *a;

    rest = r->uri;
    kind = ngx_http_acr_admin_access_kind(&rest);

    if (kind == NULL) {
        return 0;
    }

    ctx->operation = "admin_access";
    ngx_http_acr_metrics_begin(ctx);

    if (ctx->registry->auth == NULL) {
        ngx_http_acr_fail_status(r, NGX_HTTP_NOT_FOUND, ACR_E_UNSUPPORTED,
                                 "no location of this registry has "
                                 "\"acr_auth on\"", NULL, NULL);
        return 1;
    }

    a = ngx_http_acr_admin_access_create(r, ctx);

    if (a == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return 1;
    }

    a->kind = kind;

    if (ngx_http_acr_admin_access_parse(a, &rest) != NGX_OK) {
        ngx_http_acr_admin_access_unknown(r);
        return 1;
    }

    if (ngx_strcmp(kind, "who") == 0 || ngx_strcmp(kind, "explain") == 0) {

        if (ngx_http_acr_need_get(r) == NGX_OK) {
            ngx_http_acr_admin_access_explain(r, a);
        }

        return 1;
    }

    switch (r->method) {

    case NGX_HTTP_GET:
    case NGX_HTTP_HEAD:

        if (a->sub.len) {
            break;
        }

        ngx_http_acr_discard(r);
        ngx_http_acr_admin_access_show(r, a);
        return 1;

    case NGX_HTTP_PUT:
    case NGX_HTTP_POST:

        /* PUT makes or changes, POST generates a password */

        if ((r->method == NGX_HTTP_POST) != (a->sub.len != 0)) {
            break;
        }

        a->method = (r->method == NGX_HTTP_POST) ? 'G' : 'P';

        ngx_http_acr_body_collect(r, NGX_HTTP_ACR_ACCESS_BODY, &a->text.data,
                                  &a->text.len, ngx_http_acr_admin_access_read,
                                  a);
        return 1;

    case NGX_HTTP_DELETE:

        if (a->sub.len) {
            break;
        }

        a->method = 'D';

        ngx_http_acr_discard(r);
        ngx_http_acr_admin_access_read(r, a, NGX_OK);
        return 1;

    default:
        break;
    }

    ngx_http_acr_admin_access_method(r, a);

    return 1;
}


/* 405 */

static void
ngx_http_acr_admin_access_method(ngx_http_request_t *r,
    ngx_http_acr_admin_access_t *a)
{
    ngx_str_t  allow;

    if (a->sub.len) {
        ngx_str_set(&allow, "POST");

    } else if (ngx_strcmp(a->kind, "admin") == 0) {
        ngx_str_set(&allow, "GET, HEAD, PUT");

    } else if (a->name.len == 0) {
        ngx_str_set(&allow, "GET, HEAD");

    } else {
        ngx_str_set(&allow, "GET, HEAD, PUT, DELETE");
    }

    ngx_http_acr_fail_method(r, &allow);
}


/* what follows ".../access/<kind>" of the path */

static const char *
ngx_http_acr_admin_access_kind(ngx_str_t *rest)
{
    u_char       *p, *last, *q;
    size_t        len;
    ngx_uint_t    i;
    const char  **kind;

    kind = ngx_http_acr_admin_access_kinds;
    last = rest->data + rest->len;

    for (p = rest->data; last - p > 8; p++) {

        if (ngx_strncmp(p, "/access/", 8) != 0) {
            continue;
        }

        q = p + 8;

        for (i = 0; kind[i]; i++) {
            len = ngx_strlen(kind[i]);

            if ((size_t) (last - q) >= len
                && ngx_memcmp(q, kind[i], len) == 0
                && (q + len == last || q[len] == '/'))
            {
                rest->data = q + len;
                rest->len = last - rest->data;

                return kind[i];
            }
        }
    }

    return NULL;
}


static ngx_http_acr_admin_access_t *
ngx_http_acr_admin_access_create(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_acr_admin_access_t  *a;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_admin_access_t));

    if (cln == NULL) {
        return NULL;
    }

    a = cln->data;

    ngx_memzero(a, sizeof(ngx_http_acr_admin_access_t));

    a->ctx = ctx;

    cln->handler = ngx_http_acr_admin_access_cleanup;

    return a;
}


static void
ngx_http_acr_admin_access_cleanup(void *data)
{
    ngx_http_acr_admin_access_t *a = data;

    json_decref(a->body);
    json_decref(a->answer);

    if (a->access) {
        ngx_http_acr_access_release(a->access);
    }
}


/* "", "/<name>" or "/<name>/passwords/<password>"; admin has no name */

static ngx_int_t
ngx_http_acr_admin_access_parse(ngx_http_acr_admin_access_t *a,
    ngx_str_t *rest)
{
    u_char      *p, *last;
    acr_text_t   word;

    p = rest->data;
    last = p + rest->len;

    if (ngx_strcmp(a->kind, "admin") != 0) {
        ngx_http_acr_admin_access_text(&a->name, &p, last);
    }

    ngx_http_acr_admin_access_text(&word, &p, last);

    if (word.len) {

        if (word.len != sizeof("passwords") - 1
            || ngx_memcmp(word.data, "passwords", word.len) != 0)
        {
            return NGX_DECLINED;
        }

        ngx_http_acr_admin_access_text(&a->sub, &p, last);

        if (a->sub.len == 0) {
            return NGX_DECLINED;
        }
    }

    return (p < last) ? NGX_DECLINED : NGX_OK;
}


/* the next component of the path; empty if there is none */

static void
ngx_http_acr_admin_access_text(acr_text_t *text, u_char **p, u_char *last)
{
    u_char  *q;

    q = *p;

    if (q < last && *q == '/') {
        q++;
    }

    text->data = q;

    while (q < last && *q != '/') {
        q++;
    }

    text->len = q - text->data;
    *p = q;
}


/* NULL after it has failed the request */

static ngx_http_acr_access_t *
ngx_http_acr_admin_access_rights(ngx_http_request_t *r,
    ngx_http_acr_admin_access_t *a)
{
    ngx_http_acr_access_t  *access;

    access = a->ctx->registry->auth->access;

    if (access == NULL) {
        ngx_http_acr_fail(r, ACR_E_UNAVAILABLE,
                          "who may do what cannot be read", NULL, NULL);
    }

    return access;
}


static void
ngx_http_acr_admin_access_show(ngx_http_request_t *r,
    ngx_http_acr_admin_access_t *a)
{
    json_t                 *root;
    ngx_http_acr_access_t  *access;

    access = ngx_http_acr_admin_access_rights(r, a);

    if (access == NULL) {
        return;
    }

    root = acr_access_show(access->rights, a->kind, &a->name);

    if (root == NULL) {
        ngx_http_acr_admin_access_unknown(r);
        return;
    }

    ngx_http_acr_admin_send(r, NGX_HTTP_OK, root);
}


/* who?repository=NAME; explain?principal=token:NAME&repository=NAME */

static void
ngx_http_acr_admin_access_explain(ngx_http_request_t *r,
    ngx_http_acr_admin_access_t *a)
{
    ngx_int_t               rc;
    ngx_str_t               name, who;
    acr_text_t              repository;
    acr_principal_t         principal;
    ngx_http_acr_access_t  *access;

    access = ngx_http_acr_admin_access_rights(r, a);

    if (access == NULL) {
        return;
    }

    rc = ngx_http_acr_arg(r, "repository", &name);

    if (rc == NGX_ERROR
        || (rc == NGX_OK && !acr_name_valid(name.data, name.len))
        || (rc == NGX_DECLINED && ngx_strcmp(a->kind, "who") == 0))
    {
        ngx_http_acr_fail(r, ACR_E_NAME_INVALID, "\"repository\" is needed",
                          NULL, NULL);
        return;
    }

    repository.data = (rc == NGX_OK) ? name.data : NULL;
    repository.len = (rc == NGX_OK) ? name.len : 0;

    if (ngx_strcmp(a->kind, "who") == 0) {
        ngx_http_acr_admin_send(r, NGX_HTTP_OK,
                                acr_access_who(access->rights, &repository,
                                               ngx_time()));
        return;
    }

    if (ngx_http_acr_arg(r, "principal", &who) != NGX_OK
        || ngx_http_acr_admin_access_principal(&principal, &who) != NGX_OK)
    {
        ngx_http_acr_fail(r, ACR_E_NAME_INVALID,
                          "\"principal\" is \"admin\", \"token:NAME\", "
                          "\"user:NAME\" or \"anonymous\"", NULL, NULL);
        return;
    }

    ngx_http_acr_admin_send(r, NGX_HTTP_OK,
                            acr_access_explain(access->rights, &principal,
                                               repository.len ? &repository
                                                              : NULL,
                                               ngx_time()));
}


static ngx_int_t
ngx_http_acr_admin_access_principal(acr_principal_t *principal,
    ngx_str_t *text)
{
    ngx_memzero(principal, sizeof(acr_principal_t));

    if (text->len == 5 && ngx_strncmp(text->data, "admin", 5) == 0) {
        principal->kind = ACR_PRINCIPAL_ADMIN;
        principal->name.data = text->data;
        principal->name.len = 5;
        return NGX_OK;
    }

    if (text->len == 9 && ngx_strncmp(text->data, "anonymous", 9) == 0) {
        principal->kind = ACR_PRINCIPAL_ANONYMOUS;
        return NGX_OK;
    }

    if (text->len > 6 && ngx_strncmp(text->data, "token:", 6) == 0) {
        principal->kind = ACR_PRINCIPAL_TOKEN;
        principal->name.data = text->data + 6;
        principal->name.len = text->len - 6;
        return NGX_OK;
    }

    if (text->len > 5 && ngx_strncmp(text->data, "user:", 5) == 0) {
        principal->kind = ACR_PRINCIPAL_USER;
        principal->name.data = text->data + 5;
        principal->name.len = text->len - 5;
        return NGX_OK;
    }

    return NGX_DECLINED;
}


/* --- changes */

static void
ngx_http_acr_admin_access_read(ngx_http_request_t *r, void *data,
    ngx_int_t rc)
{
    ngx_http_acr_admin_access_t *a = data;

    if (a->text.len
        && ngx_http_acr_admin_body(r, &a->text, &a->body) != NGX_OK)
    {
        return;
    }

    /* it goes on when the client has left: a password may have changed */

    a->ctx->committing = 1;

    ngx_http_acr_run(r, a->ctx->registry->slow,
                     ngx_http_acr_admin_access_work, a,
                     ngx_http_acr_admin_access_done);
}


static ngx_int_t
ngx_http_acr_admin_access_work(void *data, ngx_log_t *log)
{
    ngx_http_acr_admin_access_t *a = data;

    return ngx_http_acr_store_document_change(&a->ctx->registry->store,
                                              &ngx_http_acr_store_access,
                                              ngx_http_acr_admin_access_change,
                                              a, log);
}


static ngx_int_t
ngx_http_acr_admin_access_change(void *data, const u_char *p, size_t n,
    u_char **text, size_t *len, ngx_log_t *log)
{
    ngx_http_acr_admin_access_t *a = data;

    *text = acr_access_change(p, n, a->kind, &a->name, a->method, &a->sub,
                              a->body, (int64_t) time(NULL), len, &a->answer,
                              &a->code, &a->error);

    if (*text == NULL) {
        return NGX_DECLINED;
    }

    return ngx_http_acr_access_parse(&a->access, *text, *len, log);
}


static void
ngx_http_acr_admin_access_done(ngx_http_request_t *r, void *data,
    ngx_int_t rc)
{
    ngx_http_acr_admin_access_t *a = data;

    ngx_str_t  name;

    name.data = (u_char *) a->name.data;
    name.len = a->name.len;

    if (rc == NGX_OK) {

        /* this worker need not wait for its next look */

        ngx_http_acr_access_take(a->ctx->registry->auth, a->access);
        a->access = NULL;

        ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                      "acr: access: %s of \"%s\", name: \"%V\"",
                      a->method == 'G' ? "a new password"
                      : a->method == 'D' ? "a removal" : "a change",
                      a->kind, &name);

        if (a->answer == NULL) {
            ngx_http_acr_send_status(r, NGX_HTTP_NO_CONTENT);
            return;
        }

        ngx_http_acr_admin_send(r, NGX_HTTP_OK, json_incref(a->answer));
        return;
    }

    if (rc != NGX_DECLINED) {
        ngx_http_acr_fail_errno(r, rc);
        return;
    }

    ngx_http_acr_admin_refuse(r, a->code, a->error, &name);
}


static void
ngx_http_acr_admin_access_unknown(ngx_http_request_t *r)
{
    ngx_http_acr_fail_status(r, NGX_HTTP_NOT_FOUND, ACR_E_UNSUPPORTED,
                             "there is no such resource", "path", &r->uri);
}
