
/*
 * Registries elsewhere, for operators: below "remotes/" of a location with
 * "acr_admin".  docs/admin.md describes it.
 */

#include "ngx_http_acr_admin.h"
#include "ngx_http_acr_metrics.h"


/* beyond what a check may take, with a token and the answer to a challenge */
#define NGX_HTTP_ACR_ADMIN_REMOTE_LATE  10000

/* bytes of a blob that are asked for */
#define NGX_HTTP_ACR_ADMIN_REMOTE_SOME  65536


typedef struct {
    ngx_http_request_t             *request;
    ngx_http_acr_remote_request_t   check;
    ngx_event_t                     timer;
    off_t                           received;
    unsigned                        blob:1;
    unsigned                        enough:1;  /* more were sent */
} ngx_http_acr_admin_check_t;


static ngx_int_t ngx_http_acr_admin_remote_path(ngx_str_t *uri,
    ngx_str_t *host, ngx_str_t *verb);
static void ngx_http_acr_admin_remote_list(ngx_http_request_t *r,
    ngx_http_acr_remotes_t *remotes);
static json_t *ngx_http_acr_admin_remote_show(ngx_http_acr_remote_t *remote);
static json_t *ngx_http_acr_admin_remote_breaker(
    ngx_http_acr_breaker_t *breaker);
static json_t *ngx_http_acr_admin_remote_number(ngx_atomic_t number);
static void ngx_http_acr_admin_remote_check(ngx_http_request_t *r,
    ngx_http_acr_remote_t *remote);
static ngx_int_t ngx_http_acr_admin_remote_what(ngx_http_request_t *r,
    ngx_http_acr_admin_check_t *c);
static ngx_int_t ngx_http_acr_admin_remote_content(ngx_http_request_t *r,
    ngx_http_acr_admin_check_t *c, ngx_str_t *name);
static ngx_int_t ngx_http_acr_admin_remote_piece(
    ngx_http_acr_remote_request_t *request, u_char *p, size_t n);
static void ngx_http_acr_admin_remote_cleanup(void *data);
static void ngx_http_acr_admin_remote_late(ngx_event_t *ev);
static void ngx_http_acr_admin_remote_checked(
    ngx_http_acr_remote_request_t *request);
static json_t *ngx_http_acr_admin_remote_outcome(
    ngx_http_acr_admin_check_t *c);


ngx_uint_t
ngx_http_acr_admin_remote(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    ngx_str_t                  host, verb;
    ngx_http_acr_remote_t     *remote;
    ngx_http_acr_main_conf_t  *mcf;

    if (ngx_http_acr_admin_remote_path(&r->uri, &host, &verb) != NGX_OK) {
        return 0;
    }

    ctx->operation = "admin_remotes";
    ngx_http_acr_metrics_begin(ctx);

    ngx_http_acr_discard(r);

    mcf = ngx_http_get_module_main_conf(r, ngx_http_acr_module);

    if (host.len == 0 && (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        ngx_http_acr_admin_remote_list(r, &mcf->remotes);
        return 1;
    }

    remote = ngx_http_acr_remote_find(&mcf->remotes, &host);

    if (remote && verb.len == 0
        && (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)))
    {
        ngx_http_acr_admin_send(r, NGX_HTTP_OK,
                                ngx_http_acr_admin_remote_show(remote));
        return 1;
    }

    if (remote && verb.len == sizeof("check") - 1
        && ngx_strncmp(verb.data, "check", verb.len) == 0
        && r->method == NGX_HTTP_POST)
    {
        ngx_http_acr_admin_remote_check(r, remote);
        return 1;
    }

    ngx_http_acr_fail_status(r, NGX_HTTP_NOT_FOUND, ACR_E_UNSUPPORTED,
                             remote || host.len == 0
                             ? "there is no such resource, or not by this "
                               "method"
                             : "nginx.conf has no such remote",
                             "path", &r->uri);

    return 1;
}


/* ".../remotes", ".../remotes/<host>" and ".../remotes/<host>/<verb>" */

static ngx_int_t
ngx_http_acr_admin_remote_path(ngx_str_t *uri, ngx_str_t *host,
    ngx_str_t *verb)
{
    u_char  *p;

    static ngx_str_t  kind = ngx_string("/remotes");

    if (ngx_http_acr_admin_below(uri, &kind, host) != NGX_OK) {
        return NGX_DECLINED;
    }

    ngx_str_null(verb);

    p = ngx_strlchr(host->data, host->data + host->len, '/');

    if (p) {
        verb->data = p + 1;
        verb->len = host->data + host->len - verb->data;
        host->len = p - host->data;
    }

    return NGX_OK;
}


static void
ngx_http_acr_admin_remote_list(ngx_http_request_t *r,
    ngx_http_acr_remotes_t *remotes)
{
    json_t                  *root, *list;
    ngx_uint_t               i;
    ngx_http_acr_remote_t  **remote;

    root = json_object();
    list = json_array();

    remote = remotes->remotes.elts;

    for (i = 0; i < remotes->remotes.nelts; i++) {
        (void) json_array_append_new(list,
                                     ngx_http_acr_admin_remote_show(remote[i]));
    }

    (void) json_object_set_new(root, "remotes", list);

    ngx_http_acr_admin_send(r, NGX_HTTP_OK, root);
}


static json_t *
ngx_http_acr_admin_remote_show(ngx_http_acr_remote_t *remote)
{
    json_t                       *root, *limit;
    ngx_http_acr_remote_state_t  *state;

    state = remote->state;

    root = json_object();

    (void) json_object_set_new(root, "host",
                               json_stringn((char *) remote->host.data,
                                            remote->host.len));
    (void) json_object_set_new(root, "url",
                               json_stringn((char *) remote->url.data,
                                            remote->url.len));
    (void) json_object_set_new(root, "credentials", remote->set.len
                               ? json_stringn((char *) remote->set.data,
                                              remote->set.len)
                               : json_null());
    (void) json_object_set_new(root, "registry",
                          ngx_http_acr_admin_remote_breaker(&state->breaker));
    (void) json_object_set_new(root, "tokenService",
                          ngx_http_acr_admin_remote_breaker(&state->service));
    (void) json_object_set_new(root, "retryAfter",
                          json_integer(ngx_http_acr_remote_limited(remote)));
    (void) json_object_set_new(root, "tokens", json_integer(remote->ntokens));

    limit = json_object();

    (void) json_object_set_new(limit, "limit",
                               ngx_http_acr_admin_remote_number(state->limit));
    (void) json_object_set_new(limit, "remaining",
                           ngx_http_acr_admin_remote_number(state->remaining));
    (void) json_object_set_new(limit, "window", state->window
                                                ? json_integer(state->window)
                                                : json_null());

    (void) json_object_set_new(root, "rateLimit", limit);

    return root;
}


static json_t *
ngx_http_acr_admin_remote_breaker(ngx_http_acr_breaker_t *breaker)
{
    json_t      *root;
    ngx_msec_t   left;
    ngx_uint_t   open;

    open = ngx_http_acr_breaker_open(breaker, ngx_current_msec, &left);

    root = json_object();

    (void) json_object_set_new(root, "down", json_boolean(open));
    (void) json_object_set_new(root, "failures",
                               json_integer(open ? breaker->failures : 0));
    (void) json_object_set_new(root, "nextTry",
                               json_integer((left + 999) / 1000));

    return root;
}


/* kept with one more, so that 0 is none */

static json_t *
ngx_http_acr_admin_remote_number(ngx_atomic_t number)
{
    return number ? json_integer(number - 1) : json_null();
}


static void
ngx_http_acr_admin_remote_check(ngx_http_request_t *r,
    ngx_http_acr_remote_t *remote)
{
    ngx_pool_cleanup_t          *cln;
    ngx_http_acr_admin_check_t  *c;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_acr_admin_check_t));

    if (cln == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    c = cln->data;

    ngx_memzero(c, sizeof(ngx_http_acr_admin_check_t));

    cln->handler = ngx_http_acr_admin_remote_cleanup;

    c->request = r;

    if (ngx_http_acr_admin_remote_what(r, c) != NGX_OK) {
        return;
    }

    c->check.remote = remote;
    c->check.max = 65536;
    c->check.done = ngx_http_acr_admin_remote_checked;
    c->check.data = c;

    c->timer.data = c;
    c->timer.handler = ngx_http_acr_admin_remote_late;
    c->timer.log = ngx_cycle->log;

    if (ngx_http_acr_remote_start(&c->check) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    /* keeps an exiting worker alive; all that is asked for ends before it */

    ngx_add_timer(&c->timer,
                  3 * remote->timeout + NGX_HTTP_ACR_ADMIN_REMOTE_LATE);

    ngx_http_acr_enter(r);
}


/*
 * "/v2/", or what the arguments name; insist=false leaves one alone that is
 * assumed to be down.  NGX_DONE: the request has failed.
 */

static ngx_int_t
ngx_http_acr_admin_remote_what(ngx_http_request_t *r,
    ngx_http_acr_admin_check_t *c)
{
    ngx_int_t  rc;
    ngx_str_t  value;

    ngx_str_set(&c->check.path, "/v2/");

    rc = ngx_http_acr_arg(r, "insist", &value);

    c->check.insist = !(rc == NGX_OK && value.len == 5
                        && ngx_strncmp(value.data, "false", 5) == 0);

    rc = ngx_http_acr_arg(r, "repository", &value);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    if (rc != NGX_OK || !acr_name_valid(value.data, value.len)) {
        ngx_http_acr_fail(r, ACR_E_NAME_INVALID, "\"repository\" is no name",
                          NULL, NULL);
        return NGX_DONE;
    }

    return ngx_http_acr_admin_remote_content(r, c, &value);
}


/* reference= by HEAD, which registries do not count as a pull, or the first
   bytes of blob= */

static ngx_int_t
ngx_http_acr_admin_remote_content(ngx_http_request_t *r,
    ngx_http_acr_admin_check_t *c, ngx_str_t *name)
{
    u_char                         *p;
    ngx_int_t                       rc;
    ngx_str_t                       reference;
    ngx_uint_t                      digest;
    acr_digest_t                    parsed;
    ngx_http_acr_remote_request_t  *check;

    static ngx_http_acr_fetch_header_t  accept = {
        ngx_string("Accept"),
        ngx_string("application/vnd.oci.image.index.v1+json, "
                   "application/vnd.oci.image.manifest.v1+json, "
                   "application/vnd.docker.distribution.manifest.list.v2+json, "
                   "application/vnd.docker.distribution.manifest.v2+json, "
                   "*/*")
    };

    static ngx_http_acr_fetch_header_t  range = {
        ngx_string("Range"), ngx_string("bytes=0-65535")
    };

    check = &c->check;

    rc = ngx_http_acr_arg(r, "blob", &reference);
    c->blob = (rc != NGX_DECLINED);

    if (!c->blob) {
        rc = ngx_http_acr_arg(r, "reference", &reference);
    }

    if (rc == NGX_DECLINED) {
        rc = NGX_OK;
        ngx_str_set(&reference, "latest");
    }

    digest = (rc == NGX_OK
              && acr_digest_parse(&parsed, reference.data, reference.len)
                 == ACR_OK);

    if (rc != NGX_OK
        || (!digest && (c->blob
                        || !acr_tag_valid(reference.data, reference.len))))
    {
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_REQUEST, ACR_E_UNSUPPORTED,
                                 c->blob ? "\"blob\" is no digest"
                                         : "\"reference\" is neither a tag nor "
                                           "a digest",
                                 NULL, NULL);
        return NGX_DONE;
    }

    p = ngx_pnalloc(r->pool, 2 * name->len + reference.len
                             + sizeof("/v2//manifests/repository::pull"));

    if (p == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return NGX_DONE;
    }

    check->path.data = p;
    p = ngx_sprintf(p, "/v2/%V/%s/%V", name, c->blob ? "blobs" : "manifests",
                    &reference);
    check->path.len = p - check->path.data;

    check->scope.data = p;
    p = ngx_sprintf(p, "repository:%V:pull", name);
    check->scope.len = p - check->scope.data;

    check->nheaders = 1;

    if (c->blob) {
        check->headers = &range;
        check->piece = ngx_http_acr_admin_remote_piece;

    } else {
        ngx_str_set(&check->method, "HEAD");
        check->headers = &accept;
    }

    return NGX_OK;
}


/* whoever does not know ranges sends all of it */

static ngx_int_t
ngx_http_acr_admin_remote_piece(ngx_http_acr_remote_request_t *request,
    u_char *p, size_t n)
{
    ngx_http_acr_admin_check_t  *c;

    c = request->data;

    c->received += n;

    if (c->received > NGX_HTTP_ACR_ADMIN_REMOTE_SOME) {
        c->enough = 1;
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_acr_admin_remote_cleanup(void *data)
{
    ngx_http_acr_admin_check_t *c = data;

    ngx_http_acr_remote_cancel(&c->check);

    if (c->timer.timer_set) {
        ngx_del_timer(&c->timer);
    }
}


static void
ngx_http_acr_admin_remote_late(ngx_event_t *ev)
{
    ngx_connection_t            *connection;
    ngx_http_request_t          *r;
    ngx_http_acr_admin_check_t  *c;

    c = ev->data;
    r = c->request;
    connection = r->connection;

    ngx_http_acr_remote_cancel(&c->check);

    if (ngx_http_acr_leave(r) == NGX_OK) {
        ngx_http_acr_fail(r, ACR_E_UNAVAILABLE, "the check took too long",
                          NULL, NULL);
    }

    ngx_http_run_posted_requests(connection);
}


static void
ngx_http_acr_admin_remote_checked(ngx_http_acr_remote_request_t *request)
{
    ngx_connection_t            *connection;
    ngx_http_request_t          *r;
    ngx_http_acr_admin_check_t  *c;

    c = request->data;
    r = c->request;
    connection = r->connection;

    if (c->timer.timer_set) {
        ngx_del_timer(&c->timer);
    }

    if (ngx_http_acr_leave(r) == NGX_OK) {
        ngx_http_acr_admin_send(r, NGX_HTTP_OK,
                                ngx_http_acr_admin_remote_outcome(c));
    }

    ngx_http_run_posted_requests(connection);
}


static json_t *
ngx_http_acr_admin_remote_outcome(ngx_http_acr_admin_check_t *c)
{
    json_t                         *root;
    ngx_str_t                       digest;
    ngx_http_acr_remote_request_t  *request;

    static const char  *results[] = {
        "ok", "denied", "missing", "limited", "failed"
    };

    request = &c->check;

    /* it was ended here */

    if (c->enough) {
        request->result = NGX_HTTP_ACR_REMOTE_OK;
        request->status = NGX_HTTP_OK;
        request->error.len = 0;
    }

    root = ngx_http_acr_admin_remote_show(request->remote);

    (void) json_object_set_new(root, "result",
                               json_string(results[request->result]));
    (void) json_object_set_new(root, "reachable",
                               json_boolean(request->status != 0));
    (void) json_object_set_new(root, "authentication",
                               json_string(request->bearer ? "bearer"
                                           : request->basic ? "basic"
                                           : "none"));
    (void) json_object_set_new(root, "status",
                               request->status ? json_integer(request->status)
                                               : json_null());
    (void) json_object_set_new(root, "error", request->error.len
                               ? json_stringn((char *) request->error.data,
                                              request->error.len)
                               : json_null());

    if (c->blob) {
        (void) json_object_set_new(root, "received",
                                   json_integer(c->received));
        return root;
    }

    if (ngx_http_acr_remote_header(request, "Docker-Content-Digest", &digest)
        == NGX_OK)
    {
        (void) json_object_set_new(root, "digest",
                                   json_stringn((char *) digest.data,
                                                digest.len));
    }

    return root;
}
