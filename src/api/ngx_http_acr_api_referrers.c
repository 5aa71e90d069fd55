
#include "ngx_http_acr_manifest.h"
#include "ngx_http_acr_referred.h"


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
    ngx_str_t             last;        /* digest that was looked at */
    u_char                digest[ACR_DIGEST_MAX];

    ngx_uint_t            calls;

    ngx_array_t           there;       /* ngx_http_acr_referred_t, of the
                                          origin... */
    ngx_uint_t            taken;       /* ...and how many of them are done */

    ngx_array_t           found;       /* ngx_str_t: descriptors */
    size_t                size;        /* of them, with commas between */
    unsigned              more:1;
    unsigned              full:1;      /* there is no room for what follows */
} ngx_http_acr_referrers_t;


static ngx_int_t ngx_http_acr_referrers_args(ngx_http_request_t *r,
    ngx_http_acr_referrers_t *ref);
static void ngx_http_acr_referrers_there(ngx_http_request_t *r, void *data,
    ngx_int_t rc);
static void ngx_http_acr_referrers_ask(ngx_http_request_t *r,
    ngx_http_acr_referrers_t *ref);
static void ngx_http_acr_referrers_found(ngx_http_request_t *r, void *data,
    ngx_http_acr_meta_reply_t *reply);
static ngx_int_t ngx_http_acr_referrers_last(ngx_http_acr_referrers_t *ref,
    ngx_str_t *last);
static ngx_int_t ngx_http_acr_referrers_add(ngx_http_request_t *r,
    ngx_http_acr_referrers_t *ref, ngx_str_t *descriptors, ngx_uint_t n);
static ngx_int_t ngx_http_acr_referrers_local(ngx_http_request_t *r,
    ngx_http_acr_referrers_t *ref, ngx_str_t *descriptor, ngx_str_t *digest);
static ngx_int_t ngx_http_acr_referrers_merge(ngx_http_acr_referrers_t *ref,
    ngx_str_t *end);
static ngx_int_t ngx_http_acr_referrers_push(ngx_http_acr_referrers_t *ref,
    ngx_str_t *descriptor, ngx_str_t *digest);
static ngx_int_t ngx_http_acr_referrers_digest(ngx_str_t *descriptor,
    ngx_str_t *digest);
static ngx_int_t ngx_http_acr_referrers_compare(ngx_str_t *one,
    ngx_str_t *two);
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

    if (ngx_array_init(&ref->there, r->pool, 4,
                       sizeof(ngx_http_acr_referred_t))
        != NGX_OK
        || ngx_array_init(&ref->found, r->pool, 4, sizeof(ngx_str_t))
           != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    if (ref->n == 0) {
        ngx_http_acr_referrers_ask(r, ref);
        return;
    }

    ngx_http_acr_referred(r, &ref->type, &ref->there,
                          ngx_http_acr_referrers_there, ref);
}


/* without the origin there is what is here; see ngx_http_acr_through_stale() */

static void
ngx_http_acr_referrers_there(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_acr_referrers_t *ref = data;

    ngx_http_acr_referred_t  *there;

    static ngx_str_t  warning =
        ngx_string("299 - \"the origin does not answer, this may be "
                   "incomplete\"");

    if (rc == NGX_ERROR
        && ngx_http_acr_header(r, "Warning", &warning) != NGX_OK)
    {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    there = ref->there.elts;

    while (ref->taken < ref->there.nelts
           && ngx_http_acr_referrers_compare(&there[ref->taken].digest,
                                             &ref->last)
              <= 0)
    {
        ref->taken++;
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
    args[4].len = ngx_sprintf(number, "%ui", ref->n - ref->found.nelts)
                  - number;

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
        || reply->n - 2 > ref->n - ref->found.nelts)
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

    if (ref->more && !ref->full
        && ref->found.nelts < ref->n
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


/*
 * Descriptors, which are JSON already, in the order of digests, with those of
 * the origin between them.  If there is no room for all, the page ends with the
 * last one that it has; else it goes on after what was looked at.
 */

static ngx_int_t
ngx_http_acr_referrers_add(ngx_http_request_t *r,
    ngx_http_acr_referrers_t *ref, ngx_str_t *descriptors, ngx_uint_t n)
{
    ngx_int_t   rc;
    ngx_str_t   digest, last;
    ngx_uint_t  i;

    last = ref->last;

    for (i = 0; i < n; i++) {

        if (ngx_http_acr_referrers_digest(&descriptors[i], &digest) != NGX_OK)
        {
            return NGX_ERROR;
        }

        rc = ngx_http_acr_referrers_merge(ref, &digest);

        if (rc == NGX_OK) {
            rc = ngx_http_acr_referrers_local(r, ref, &descriptors[i],
                                              &digest);
        }

        if (rc != NGX_OK) {
            return (rc == NGX_DONE) ? NGX_OK : rc;
        }
    }

    rc = ngx_http_acr_referrers_merge(ref, ref->more ? &last : NULL);

    if (rc != NGX_OK) {
        return (rc == NGX_DONE) ? NGX_OK : rc;
    }

    if (ref->more) {
        ref->last = last;
    }

    return NGX_OK;
}


/* the origin may list it as well; what the script has told goes */

static ngx_int_t
ngx_http_acr_referrers_local(ngx_http_request_t *r,
    ngx_http_acr_referrers_t *ref, ngx_str_t *descriptor, ngx_str_t *digest)
{
    ngx_str_t                 copy;
    ngx_http_acr_referred_t  *there;

    there = ref->there.elts;

    if (ref->taken < ref->there.nelts
        && ngx_http_acr_referrers_compare(&there[ref->taken].digest, digest)
           == 0)
    {
        ref->taken++;
    }

    copy.len = descriptor->len;
    copy.data = ngx_pstrdup(r->pool, descriptor);

    if (copy.data == NULL
        || ngx_http_acr_referrers_digest(&copy, digest) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_acr_referrers_push(ref, &copy, digest);
}


/* those of the origin before this digest, or all; NGX_DONE: the page is full */

static ngx_int_t
ngx_http_acr_referrers_merge(ngx_http_acr_referrers_t *ref, ngx_str_t *end)
{
    ngx_int_t                 rc;
    ngx_http_acr_referred_t  *there;

    there = ref->there.elts;

    for ( /* void */ ; ref->taken < ref->there.nelts; ref->taken++) {

        if (end
            && ngx_http_acr_referrers_compare(&there[ref->taken].digest, end)
               >= 0)
        {
            break;
        }

        rc = ngx_http_acr_referrers_push(ref, &there[ref->taken].descriptor,
                                         &there[ref->taken].digest);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


/* NGX_DONE: the page is full, and goes on here */

static ngx_int_t
ngx_http_acr_referrers_push(ngx_http_acr_referrers_t *ref,
    ngx_str_t *descriptor, ngx_str_t *digest)
{
    ngx_str_t  *item;

    if (ref->found.nelts == ref->n
        || ref->size >= NGX_HTTP_ACR_REFERRERS_SIZE)
    {
        ref->more = 1;
        ref->full = 1;
        return NGX_DONE;
    }

    item = ngx_array_push(&ref->found);

    if (item == NULL) {
        return NGX_ERROR;
    }

    *item = *descriptor;

    ref->size += descriptor->len + 1;
    ref->last = *digest;

    return NGX_OK;
}


/* as acr_manifest_descriptor() writes it: a media type, which has no quotes,
   comes before it */

static ngx_int_t
ngx_http_acr_referrers_digest(ngx_str_t *descriptor, ngx_str_t *digest)
{
    u_char  *p, *last;

    static ngx_str_t  name = ngx_string("\"digest\":\"");

    last = descriptor->data + descriptor->len;

    p = ngx_strnstr(descriptor->data, (char *) name.data, descriptor->len);

    if (p == NULL) {
        return NGX_ERROR;
    }

    digest->data = p + name.len;

    last = ngx_strlchr(digest->data, last, '"');

    if (last == NULL) {
        return NGX_ERROR;
    }

    digest->len = last - digest->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_referrers_compare(ngx_str_t *one, ngx_str_t *two)
{
    return ngx_memn2cmp(one->data, two->data, one->len, two->len);
}


static void
ngx_http_acr_referrers_send(ngx_http_request_t *r,
    ngx_http_acr_referrers_t *ref)
{
    u_char      *p, *body;
    ngx_str_t   *found;
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

    found = ref->found.elts;

    for (i = 0; i < ref->found.nelts; i++) {

        if (i) {
            *p++ = ',';
        }

        p = ngx_cpymem(p, found[i].data, found[i].len);
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
