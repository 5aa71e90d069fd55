
#include "ngx_http_acr_manifest.h"


/* descriptors of a page, unless the client asks for another number */
#define NGX_HTTP_ACR_REFERRERS_PAGE   100

/*
 * A page asks the script again while a filter, or large descriptors, leave it
 * unfilled; it ends soon after NGX_HTTP_ACR_REFERRERS_SIZE bytes.
 */

#define NGX_HTTP_ACR_REFERRERS_CALLS  10
#define NGX_HTTP_ACR_REFERRERS_SIZE   (3 * 1024 * 1024)

#define NGX_HTTP_ACR_REFERRERS_HEAD                                          \
    "{\"schemaVersion\":2,"                                                  \
    "\"mediaType\":\"" NGX_HTTP_ACR_REFERRERS_TYPE "\",\"manifests\":["

#define NGX_HTTP_ACR_REFERRERS_TAIL   "]}\n"

#define NGX_HTTP_ACR_REFERRERS_TYPE                                          \
    "application/vnd.oci.image.index.v1+json"


typedef struct {
    ngx_http_acr_ctx_t   *ctx;
    ngx_str_t             type;        /* artifactType, or empty */
    ngx_uint_t            n;           /* asked for */
    ngx_uint_t            found;
    ngx_str_t             last;        /* digest that was looked at */
    u_char                digest[ACR_DIGEST_MAX];

    ngx_uint_t            calls;

    /* what they have found, with commas between */
    ngx_str_t             parts[NGX_HTTP_ACR_REFERRERS_CALLS];
    ngx_uint_t            nparts;
    size_t                size;
    unsigned              more:1;
} ngx_http_acr_referrers_t;


static ngx_int_t ngx_http_acr_referrers_args(ngx_http_request_t *r,
    ngx_http_acr_referrers_t *ref);
static void ngx_http_acr_referrers_ask(ngx_http_request_t *r,
    ngx_http_acr_referrers_t *ref);
static void ngx_http_acr_referrers_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static ngx_int_t ngx_http_acr_referrers_last(ngx_http_acr_referrers_t *ref,
    ngx_str_t *last);
static ngx_int_t ngx_http_acr_referrers_add(ngx_http_request_t *r,
    ngx_http_acr_referrers_t *ref, ngx_str_t *descriptors, ngx_uint_t n);
static void ngx_http_acr_referrers_send(ngx_http_request_t *r,
    ngx_http_acr_referrers_t *ref);
static ngx_int_t ngx_http_acr_referrers_headers(ngx_http_request_t *r,
    ngx_http_acr_referrers_t *ref);


/*
 * GET /v2/<name>/referrers/<digest>, OCI distribution-spec "Listing
 * Referrers".  There is always an answer: neither the subject nor the
 * repository has to exist.
 */

void
ngx_http_acr_referrers_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    acr_digest_t               subject;
    ngx_http_acr_referrers_t  *ref;

    if (ngx_http_acr_need_digest(r, &subject, &ctx->reference) != NGX_OK) {
        return;
    }

    ref = ngx_pcalloc(r->pool, sizeof(ngx_http_acr_referrers_t));

    if (ref == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    ref->ctx = ctx;

    if (ngx_http_acr_referrers_args(r, ref) != NGX_OK) {
        return;
    }

    ngx_http_acr_referrers_ask(r, ref);
}


/* NGX_OK, or NGX_DONE after it has failed the request */

static ngx_int_t
ngx_http_acr_referrers_args(ngx_http_request_t *r,
    ngx_http_acr_referrers_t *ref)
{
    ngx_int_t  rc;
    ngx_str_t  n;

    if (ngx_http_acr_page(r, &ref->n, &ref->last) != NGX_OK) {
        return NGX_DONE;
    }

    rc = ngx_http_acr_arg(r, "n", &n);

    if (rc == NGX_DECLINED) {
        ref->n = NGX_HTTP_ACR_REFERRERS_PAGE;
    }

    if (rc != NGX_ERROR) {
        rc = ngx_http_acr_arg(r, "artifactType", &ref->type);
    }

    if (rc == NGX_ERROR) {
        ngx_http_acr_fail_status(r, NGX_HTTP_BAD_REQUEST, ACR_E_UNSUPPORTED,
                                 "the query is malformed", "query", &r->args);
        return NGX_DONE;
    }

    return NGX_OK;
}


static void
ngx_http_acr_referrers_ask(ngx_http_request_t *r,
    ngx_http_acr_referrers_t *ref)
{
    u_char     number[NGX_INT_T_LEN];
    ngx_str_t  args[5];

    args[0] = ref->ctx->repository;
    args[1] = ref->ctx->digest;
    args[2] = ref->type;
    args[3] = ref->last;

    args[4].data = number;
    args[4].len = ngx_sprintf(number, "%ui", ref->n - ref->found) - number;

    ngx_http_acr_ask(r, ACR_SCRIPT_REFERRERS, args, 5,
                     ngx_http_acr_referrers_found, ref);
}


static void
ngx_http_acr_referrers_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_referrers_t *ref = data;

    if (reply->status != NGX_HTTP_ACR_META_OK
        || reply->n < 2
        || reply->n - 2 > ref->n - ref->found)
    {
        ngx_http_acr_manifest_unexpected(r);
        return;
    }

    ref->calls++;
    ref->more = (reply->v[0].len == 1 && reply->v[0].data[0] == '1');

    if (ref->more && ngx_http_acr_referrers_last(ref, &reply->v[1]) != NGX_OK)
    {
        ngx_http_acr_manifest_unexpected(r);
        return;
    }

    if (ngx_http_acr_referrers_add(r, ref, &reply->v[2], reply->n - 2)
        != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    if (ref->more
        && ref->found < ref->n
        && ref->calls < NGX_HTTP_ACR_REFERRERS_CALLS
        && ref->size < NGX_HTTP_ACR_REFERRERS_SIZE)
    {
        ngx_http_acr_referrers_ask(r, ref);
        return;
    }

    ngx_http_acr_referrers_send(r, ref);
}


static ngx_int_t
ngx_http_acr_referrers_last(ngx_http_acr_referrers_t *ref, ngx_str_t *last)
{
    acr_digest_t  digest;

    if (acr_digest_parse(&digest, last->data, last->len) != ACR_OK) {
        return NGX_ERROR;
    }

    ref->last.data = ref->digest;
    ref->last.len = acr_digest_print(ref->digest, &digest);

    return NGX_OK;
}


/* descriptors are JSON already */

static ngx_int_t
ngx_http_acr_referrers_add(ngx_http_request_t *r,
    ngx_http_acr_referrers_t *ref, ngx_str_t *descriptors, ngx_uint_t n)
{
    u_char      *p;
    size_t       size;
    ngx_str_t   *part;
    ngx_uint_t   i;

    if (n == 0) {
        return NGX_OK;
    }

    size = n;

    for (i = 0; i < n; i++) {
        size += descriptors[i].len;
    }

    part = &ref->parts[ref->nparts++];

    part->data = ngx_pnalloc(r->pool, size);

    if (part->data == NULL) {
        return NGX_ERROR;
    }

    p = part->data;

    for (i = 0; i < n; i++) {

        if (ref->found++) {
            *p++ = ',';
        }

        p = ngx_cpymem(p, descriptors[i].data, descriptors[i].len);
    }

    part->len = p - part->data;
    ref->size += part->len;

    return NGX_OK;
}


static void
ngx_http_acr_referrers_send(ngx_http_request_t *r,
    ngx_http_acr_referrers_t *ref)
{
    u_char      *p, *body;
    ngx_uint_t   i;

    if (ngx_http_acr_referrers_headers(r, ref) != NGX_OK) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    body = ngx_pnalloc(r->pool, sizeof(NGX_HTTP_ACR_REFERRERS_HEAD)
                                + ref->size
                                + sizeof(NGX_HTTP_ACR_REFERRERS_TAIL));

    if (body == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    p = ngx_cpymem(body, NGX_HTTP_ACR_REFERRERS_HEAD,
                   sizeof(NGX_HTTP_ACR_REFERRERS_HEAD) - 1);

    for (i = 0; i < ref->nparts; i++) {
        p = ngx_cpymem(p, ref->parts[i].data, ref->parts[i].len);
    }

    p = ngx_cpymem(p, NGX_HTTP_ACR_REFERRERS_TAIL,
                   sizeof(NGX_HTTP_ACR_REFERRERS_TAIL) - 1);

    ngx_http_acr_send_body(r, NGX_HTTP_OK, NGX_HTTP_ACR_REFERRERS_TYPE, body,
                           p - body);
}


static ngx_int_t
ngx_http_acr_referrers_headers(ngx_http_request_t *r,
    ngx_http_acr_referrers_t *ref)
{
    u_char            *p;
    ngx_str_t          path;
    ngx_str_t         *type;
    static ngx_str_t   filters = ngx_string("artifactType");

    type = ref->type.len ? &ref->type : NULL;

    if (type
        && ngx_http_acr_header(r, "OCI-Filters-Applied", &filters) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!ref->more) {
        return NGX_OK;
    }

    path.data = ngx_pnalloc(r->pool, sizeof("/v2//referrers/")
                                     + ref->ctx->repository.len
                                     + ref->ctx->digest.len);

    if (path.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(path.data, "/v2/%V/referrers/%V", &ref->ctx->repository,
                    &ref->ctx->digest);

    path.len = p - path.data;

    return ngx_http_acr_link_next(r, &path, ref->n, &ref->last, type);
}
