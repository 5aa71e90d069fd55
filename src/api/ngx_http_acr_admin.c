
#include "ngx_http_acr_admin.h"
#include "ngx_http_acr_metrics.h"

#define NGX_HTTP_ACR_ADMIN_SESSIONS  100     /* of a page */
#define NGX_HTTP_ACR_ADMIN_NAME      128     /* bytes of one that is told */

/* what sessions.lua says of each */
#define NGX_HTTP_ACR_ADMIN_SESSION   6


typedef struct {
    ngx_str_t                 name;          /* what follows the location */
    ngx_uint_t                methods;
    const char               *operation;
    ngx_http_acr_handler_pt   handler;
} ngx_http_acr_admin_route_t;


static void ngx_http_acr_admin_route(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static ngx_http_acr_admin_route_t *ngx_http_acr_admin_find(
    ngx_http_request_t *r, ngx_str_t *name);
static void ngx_http_acr_admin_name(ngx_http_request_t *r, ngx_str_t *name);

static void ngx_http_acr_admin_stats(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_admin_stats_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_admin_sessions(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_admin_sessions_found(ngx_http_request_t *r,
    void *data, ngx_http_acr_meta_reply_t *reply);

static void ngx_http_acr_admin_get(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_admin_got(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static json_t *ngx_http_acr_admin_flag(json_t *object, const char *name);
static void ngx_http_acr_admin_want(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_admin_rebuild(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_admin_wanted(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_admin_stop(ngx_http_request_t *r,
    ngx_http_acr_ctx_t *ctx);
static void ngx_http_acr_admin_stopped(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);

static void ngx_http_acr_admin_pairs(json_t *object, ngx_str_t *v,
    ngx_uint_t n);
static json_t *ngx_http_acr_admin_value(ngx_str_t *value);
static void ngx_http_acr_admin_unexpected(ngx_http_request_t *r);


static ngx_http_acr_admin_route_t  ngx_http_acr_admin_routes[] = {

    { ngx_string("stats"), NGX_HTTP_GET|NGX_HTTP_HEAD,
      "admin_stats", ngx_http_acr_admin_stats },

    { ngx_string("sessions"), NGX_HTTP_GET|NGX_HTTP_HEAD,
      "admin_sessions", ngx_http_acr_admin_sessions },

    { ngx_string("rebuild"), NGX_HTTP_GET|NGX_HTTP_HEAD,
      "admin_rebuild_get", ngx_http_acr_admin_get },

    { ngx_string("rebuild"), NGX_HTTP_POST,
      "admin_rebuild", ngx_http_acr_admin_rebuild },

    { ngx_string("gc"), NGX_HTTP_GET|NGX_HTTP_HEAD,
      "admin_gc_get", ngx_http_acr_admin_get },

    { ngx_string("gc"), NGX_HTTP_POST,
      "admin_gc", ngx_http_acr_admin_want },

    { ngx_string("gc"), NGX_HTTP_DELETE,
      "admin_gc_stop", ngx_http_acr_admin_stop },

    { ngx_string("scrub"), NGX_HTTP_GET|NGX_HTTP_HEAD,
      "admin_scrub_get", ngx_http_acr_admin_get },

    { ngx_string("scrub"), NGX_HTTP_POST,
      "admin_scrub", ngx_http_acr_admin_want },

    { ngx_string("scrub"), NGX_HTTP_DELETE,
      "admin_scrub_stop", ngx_http_acr_admin_stop },

    { ngx_null_string, 0, NULL, NULL }
};


ngx_int_t
ngx_http_acr_admin(ngx_http_request_t *r)
{
    return ngx_http_acr_handle(r, ngx_http_acr_admin_route);
}


static void
ngx_http_acr_admin_route(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_str_t                    name;
    ngx_http_acr_admin_route_t  *route;

    if (ngx_http_acr_admin_access(r, ctx)
        || ngx_http_acr_admin_rules(r, ctx)
        || ngx_http_acr_admin_remote(r, ctx)
        || ngx_http_acr_admin_prewarm(r, ctx))
    {
        return;
    }

    ngx_http_acr_discard(r);

    ngx_http_acr_admin_name(r, &name);

    route = ngx_http_acr_admin_find(r, &name);

    if (route) {
        ctx->operation = route->operation;
        ctx->reference = route->name;
        ngx_http_acr_metrics_begin(ctx);

        route->handler(r, ctx);

        return;
    }

    ngx_http_acr_fail_status(r, NGX_HTTP_NOT_FOUND, ACR_E_UNSUPPORTED,
                             "there is no such resource, or not by this "
                             "method", "path", &r->uri);
}


static ngx_http_acr_admin_route_t *
ngx_http_acr_admin_find(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_http_acr_admin_route_t  *route;

    for (route = ngx_http_acr_admin_routes; route->handler; route++) {

        if (route->name.len == name->len
            && ngx_memcmp(route->name.data, name->data, name->len) == 0
            && (route->methods & r->method))
        {
            return route;
        }
    }

    return NULL;
}


/* the last component of the path */

static void
ngx_http_acr_admin_name(ngx_http_request_t *r, ngx_str_t *name)
{
    u_char  *p;

    *name = r->uri;

    if (name->len && name->data[name->len - 1] == '/') {
        name->len--;
    }

    for (p = name->data + name->len; p > name->data && p[-1] != '/'; p--) {
        /* void */
    }

    name->len -= p - name->data;
    name->data = p;
}


ngx_int_t
ngx_http_acr_admin_below(ngx_str_t *uri, ngx_str_t *kind, ngx_str_t *rest)
{
    u_char  *p, *last;

    last = uri->data + uri->len;

    for (p = uri->data; (size_t) (last - p) >= kind->len; p++) {

        if (ngx_memcmp(p, kind->data, kind->len) != 0) {
            continue;
        }

        if (p + kind->len < last && p[kind->len] != '/') {
            continue;
        }

        p += kind->len;

        if (p < last) {
            p++;
        }

        if (p < last && last[-1] == '/') {
            last--;
        }

        rest->data = p;
        rest->len = last - p;

        return NGX_OK;
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_acr_admin_body(ngx_http_request_t *r, ngx_str_t *text, json_t **body)
{
    const char  *error;

    switch (acr_json_load(body, text->data, text->len, &error)) {

    case ACR_OK:
        return NGX_OK;

    case ACR_NOMEM:
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NGX_ERROR;

    default:
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_REQUEST, ACR_E_UNSUPPORTED,
                                 error, NULL, NULL);
        return NGX_ERROR;
    }
}


void
ngx_http_acr_admin_refuse(ngx_http_request_t *r, acr_change_e code,
    const char *error, ngx_str_t *name)
{
    ngx_str_t    what;
    ngx_uint_t   status;
    acr_error_e  e;

    e = ACR_E_UNSUPPORTED;

    switch (code) {

    case ACR_CHANGE_INVALID:
        status = NGX_HTTP_BAD_REQUEST;
        break;

    case ACR_CHANGE_UNKNOWN:
        status = NGX_HTTP_NOT_FOUND;
        break;

    case ACR_CHANGE_CONFLICT:
        status = NGX_HTTP_CONFLICT;
        break;

    default:
        status = NGX_HTTP_INTERNAL_SERVER_ERROR;
        e = ACR_E_UNKNOWN;
    }

    what.data = name->data;
    what.len = ngx_min(name->len, NGX_HTTP_ACR_ADMIN_NAME);

    ngx_http_acr_fail_status(r, status, e, error, "name", &what);
}


static void
ngx_http_acr_admin_stats(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_ask(r, ACR_SCRIPT_STATS, NULL, 0,
                     ngx_http_acr_admin_stats_found, NULL);
}


static void
ngx_http_acr_admin_stats_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    json_t  *root;

    if (reply->status != NGX_HTTP_ACR_META_OK) {
        ngx_http_acr_admin_unexpected(r);
        return;
    }

    root = json_object();

    ngx_http_acr_admin_pairs(root, reply->v, reply->n);
    ngx_http_acr_admin_send(r, NGX_HTTP_OK, root);
}


/* upload sessions that are open; "offset" and "n" are a page of them */

static void
ngx_http_acr_admin_sessions(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    u_char      limit[NGX_INT_T_LEN];
    ngx_int_t   rc;
    ngx_str_t   args[2], last;
    ngx_uint_t  n;

    if (ngx_http_acr_page(r, &n, &last) != NGX_OK) {
        return;
    }

    rc = ngx_http_acr_arg(r, "offset", &args[0]);

    if (rc == NGX_ERROR
        || (rc == NGX_OK
            && ngx_atoi(args[0].data, args[0].len) == NGX_ERROR))
    {
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_REQUEST, ACR_E_UNSUPPORTED,
                                 "\"offset\" is no number", NULL, NULL);
        return;
    }

    if (rc == NGX_DECLINED) {
        ngx_str_set(&args[0], "0");
    }

    args[1].data = limit;
    args[1].len = ngx_sprintf(limit, "%ui",
                              ngx_min(n, NGX_HTTP_ACR_ADMIN_SESSIONS))
                  - limit;

    ngx_http_acr_ask(r, ACR_SCRIPT_SESSIONS, args, 2,
                     ngx_http_acr_admin_sessions_found, NULL);
}


static void
ngx_http_acr_admin_sessions_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    json_t      *root, *list, *session;
    ngx_str_t   *v;
    ngx_uint_t   i;

    static const char  *names[NGX_HTTP_ACR_ADMIN_SESSION] = {
        "uuid", "repository", "offset", "started", "held", "expires"
    };

    if (reply->status != NGX_HTTP_ACR_META_OK || reply->n == 0) {
        ngx_http_acr_admin_unexpected(r);
        return;
    }

    root = json_object();
    list = json_array();

    for (v = &reply->v[1];
         v + NGX_HTTP_ACR_ADMIN_SESSION <= reply->v + reply->n;
         v += NGX_HTTP_ACR_ADMIN_SESSION)
    {
        session = json_object();

        for (i = 0; i < NGX_HTTP_ACR_ADMIN_SESSION; i++) {

            if (i == 4) {
                (void) json_object_set_new(session, names[i],
                                           json_boolean(v[i].len == 1
                                                        && *v[i].data == '1'));
                continue;
            }

            (void) json_object_set_new(session, names[i], (i < 2)
                                       ? json_stringn((char *) v[i].data,
                                                      v[i].len)
                                       : ngx_http_acr_admin_value(&v[i]));
        }

        (void) json_array_append_new(list, session);
    }

    (void) json_object_set_new(root, "sessions", list);
    (void) json_object_set_new(root, "more",
                               json_boolean(reply->v[0].len == 1
                                            && *reply->v[0].data == '1'));

    ngx_http_acr_admin_send(r, NGX_HTTP_OK, root);
}


/* --- work: rebuild, gc, scrub */

static void
ngx_http_acr_admin_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_ask(r, ACR_SCRIPT_WORK_GET, &ctx->reference, 1,
                     ngx_http_acr_admin_got, NULL);
}


static void
ngx_http_acr_admin_got(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    json_t              *root, *request;
    ngx_uint_t           behind;
    ngx_http_acr_ctx_t  *ctx;

    if (reply->status != NGX_HTTP_ACR_META_OK || reply->n == 0) {
        ngx_http_acr_admin_unexpected(r);
        return;
    }

    ctx = ngx_http_acr_get_ctx(r);
    behind = (reply->v[0].len == 1 && *reply->v[0].data == '1');

    root = json_object();

    ngx_http_acr_admin_pairs(root, &reply->v[1], reply->n - 1);

    (void) json_object_set_new(root, "running",
                               ngx_http_acr_admin_flag(root, "running"));
    (void) json_object_set_new(root, "requested",
                               ngx_http_acr_admin_flag(root, "requested"));

    if (ngx_strcmp(ctx->reference.data, "rebuild") == 0) {
        (void) json_object_set_new(root, "requested", json_boolean(behind));

    } else if (ngx_strcmp(ctx->reference.data, "gc") == 0) {
        request = json_object_get(root, "request");
        (void) json_object_set_new(root, "dry_run",
                                   json_boolean(json_string_length(request)));
    }

    (void) json_object_del(root, "request");
    (void) json_object_del(root, "wanted");
    (void) json_object_del(root, "until");

    ngx_http_acr_admin_send(r, NGX_HTTP_OK, root);
}


static json_t *
ngx_http_acr_admin_flag(json_t *object, const char *name)
{
    return json_boolean(json_integer_value(json_object_get(object, name)));
}


static void
ngx_http_acr_admin_want(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_int_t  rc;
    ngx_str_t  args[2], value;

    args[0] = ctx->reference;
    ngx_str_null(&args[1]);

    rc = ngx_http_acr_arg(r, "dry_run", &value);

    if (rc == NGX_OK) {

        if (value.len == 4 && ngx_strncmp(value.data, "true", 4) == 0
            && ngx_strcmp(ctx->reference.data, "gc") == 0)
        {
            ngx_str_set(&args[1], "dry_run");

        } else if (value.len != 5 || ngx_strncmp(value.data, "false", 5) != 0)
        {
            rc = NGX_ERROR;
        }
    }

    if (rc == NGX_ERROR) {
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_REQUEST, ACR_E_UNSUPPORTED,
                                 "\"dry_run\" is \"true\" or \"false\", and "
                                 "of \"gc\" only", NULL, NULL);
        return;
    }

    ngx_http_acr_ask(r, ACR_SCRIPT_WORK_WANT, args, 2,
                     ngx_http_acr_admin_wanted, NULL);
}


static void
ngx_http_acr_admin_rebuild(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_ask(r, ACR_SCRIPT_REBUILD_WANT, NULL, 0,
                     ngx_http_acr_admin_wanted, NULL);
}


static void
ngx_http_acr_admin_wanted(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    json_t              *root;
    ngx_http_acr_ctx_t  *ctx;

    if (reply->status != NGX_HTTP_ACR_META_OK) {
        ngx_http_acr_admin_unexpected(r);
        return;
    }

    ctx = ngx_http_acr_get_ctx(r);

    ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                  "acr: %V was requested", &ctx->reference);

    root = json_object();

    (void) json_object_set_new(root, "requested", json_true());

    ngx_http_acr_admin_send(r, NGX_HTTP_ACCEPTED, root);
}


static void
ngx_http_acr_admin_stop(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_http_acr_ask(r, ACR_SCRIPT_WORK_STOP, &ctx->reference, 1,
                     ngx_http_acr_admin_stopped, NULL);
}


static void
ngx_http_acr_admin_stopped(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    if (reply->status != NGX_HTTP_ACR_META_OK) {
        ngx_http_acr_admin_unexpected(r);
        return;
    }

    ngx_http_acr_send_status(r, NGX_HTTP_NO_CONTENT);
}


/* --- JSON.  jansson passes a NULL on: if memory runs out in between, a member
       is missing or json_dumps() fails, and then so does the request. */

static void
ngx_http_acr_admin_pairs(json_t *object, ngx_str_t *v, ngx_uint_t n)
{
    u_char      name[64];
    ngx_uint_t  i;

    for (i = 0; i + 1 < n; i += 2) {

        if (v[i].len >= sizeof(name)) {
            continue;
        }

        ngx_cpystrn(name, v[i].data, v[i].len + 1);

        (void) json_object_set_new(object, (char *) name,
                                   ngx_http_acr_admin_value(&v[i + 1]));
    }
}


/* a number, if it looks like one */

static json_t *
ngx_http_acr_admin_value(ngx_str_t *value)
{
    off_t  number;

    number = ngx_atoof(value->data, value->len);

    return (number == NGX_ERROR)
           ? json_stringn((char *) value->data, value->len)
           : json_integer(number);
}


void
ngx_http_acr_admin_send(ngx_http_request_t *r, ngx_uint_t status,
    json_t *root)
{
    char    *text;
    size_t   len;
    u_char  *p;

    text = root ? json_dumps(root, JSON_COMPACT|JSON_SORT_KEYS) : NULL;

    json_decref(root);

    if (text == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    len = ngx_strlen(text);
    p = ngx_pnalloc(r->pool, len + 1);

    if (p) {
        ngx_memcpy(p, text, len);
        p[len] = '\n';
    }

    free(text);

    if (p == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ngx_http_acr_send_body(r, status, "application/json", p, len + 1);
}


static void
ngx_http_acr_admin_unexpected(ngx_http_request_t *r)
{
    ngx_http_acr_fail(r, ACR_E_UNKNOWN, "unexpected answer of the index",
                      NULL, NULL);
}
