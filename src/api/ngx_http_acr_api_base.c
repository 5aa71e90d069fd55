
#include "ngx_http_acr_api.h"


#define NGX_HTTP_ACR_EXTENSIONS                                              \
    "{\"extensions\":[{\"name\":\"_oci\","                                   \
    "\"url\":\"https://github.com/opencontainers/distribution-spec"          \
    "/blob/main/extensions/_oci.md\","                                       \
    "\"description\":\"which extensions there are\","                        \
    "\"endpoints\":[\"/v2/%V%s_oci/ext/discover\"]}]}"


/* OCI distribution-spec "Determining Support" */

void
ngx_http_acr_base_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    static u_char  body[] = "{}";

    ngx_http_acr_send_body(r, NGX_HTTP_OK, "application/json", body,
                           sizeof(body) - 1);
}


/* OCI distribution-spec extensions/_oci.md: of the registry, or of a name */

void
ngx_http_acr_extensions_get(ngx_http_request_t *r, ngx_http_acr_ctx_t *ctx)
{
    u_char  *p, *last;

    p = ngx_pnalloc(r->pool, sizeof(NGX_HTTP_ACR_EXTENSIONS)
                             + ctx->repository.len);
    if (p == NULL) {
        ngx_http_acr_fail_errno(r, NGX_ERROR);
        return;
    }

    last = ngx_sprintf(p, NGX_HTTP_ACR_EXTENSIONS, &ctx->repository,
                       ctx->repository.len ? "/" : "");

    ngx_http_acr_send_body(r, NGX_HTTP_OK, "application/json", p, last - p);
}
