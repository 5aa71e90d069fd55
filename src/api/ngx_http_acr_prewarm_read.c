
#include "ngx_http_acr_prewarm.h"
#include "../oci/acr_descriptor.h"
#include "../oci/acr_json.h"


static ngx_int_t ngx_http_acr_prewarm_parse(ngx_http_acr_prewarm_t *prewarm,
    u_char *p, size_t n);
static ngx_int_t ngx_http_acr_prewarm_index(ngx_http_acr_prewarm_t *prewarm,
    u_char *p, size_t n);
static ngx_uint_t ngx_http_acr_prewarm_wanted(ngx_http_acr_prewarm_t *prewarm,
    json_t *platform);
static ngx_uint_t ngx_http_acr_prewarm_same(acr_text_t *text,
    acr_text_t *wanted);


ngx_int_t
ngx_http_acr_prewarm_read(void *data, ngx_log_t *log)
{
    ngx_http_acr_prewarm_t *prewarm = data;

    u_char        *p;
    size_t         n;
    ngx_int_t      rc;
    acr_digest_t   digest;

    if (acr_digest_parse(&digest, prewarm->digest.data, prewarm->digest.len)
        != ACR_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_acr_store_load(&prewarm->ctx->registry->store, &digest,
                                 prewarm->ctx->conf->max_manifest_size, &p,
                                 &n, log);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_acr_prewarm_parse(prewarm, p, n);

    ngx_free(p);

    prewarm->text += n;

    return rc;
}


/* NGX_DECLINED: none of an index is wanted; NGX_ABORT: it is no manifest;
   NGX_ERROR: no memory */

static ngx_int_t
ngx_http_acr_prewarm_parse(ngx_http_acr_prewarm_t *prewarm, u_char *p,
    size_t n)
{
    size_t                         i;
    ngx_int_t                      rc;
    acr_manifest_t                 m;
    ngx_http_acr_prewarm_child_t  *child;

    rc = NGX_ABORT;

    if (acr_manifest_parse(&m, p, n, prewarm->type.data, prewarm->type.len)
        != ACR_OK)
    {
        goto done;
    }

    rc = NGX_ERROR;

    prewarm->children = ngx_alloc((m.nreferences + 1)
                                  * sizeof(ngx_http_acr_prewarm_child_t),
                                  ngx_cycle->log);

    if (prewarm->children == NULL) {
        goto done;
    }

    if (m.kind == ACR_MANIFEST_INDEX) {
        rc = ngx_http_acr_prewarm_index(prewarm, p, n);
        goto done;
    }

    for (i = 0; i < m.nreferences; i++) {

        if (m.references[i].optional) {
            continue;
        }

        child = &prewarm->children[prewarm->nchildren++];

        child->digest = m.references[i].digest;
        child->size = m.references[i].size;
        child->manifest = 0;
    }

    rc = NGX_OK;

done:

    acr_manifest_free(&m);

    return rc;
}


/* each digest is there once, whatever platforms it has; there is room for as
   many as are different */

static ngx_int_t
ngx_http_acr_prewarm_index(ngx_http_acr_prewarm_t *prewarm, u_char *p,
    size_t n)
{
    size_t                         i;
    json_t                        *root, *object;
    ngx_uint_t                     k;
    const char                    *error;
    acr_reference_t                reference;
    ngx_http_acr_prewarm_child_t  *child;

    if (acr_json_load(&root, p, n, &error) != ACR_OK) {
        return NGX_ABORT;
    }

    json_array_foreach(acr_json_get(root, "manifests"), i, object) {

        if (!ngx_http_acr_prewarm_wanted(prewarm,
                                         acr_json_get(object, "platform"))
            || acr_descriptor_read(&reference, object, &error) != ACR_OK)
        {
            continue;
        }

        child = prewarm->children;

        for (k = 0; k < prewarm->nchildren; k++) {

            if (acr_digest_equal(&child[k].digest, &reference.digest)) {
                break;
            }
        }

        child[k].digest = reference.digest;
        child[k].size = reference.size;
        child[k].manifest = 1;

        prewarm->nchildren = ngx_max(prewarm->nchildren, k + 1);
    }

    json_decref(root);

    return prewarm->nchildren ? NGX_OK : NGX_DECLINED;
}


/* what has no variant has the usual one of its architecture, as for
   containerd */

static ngx_uint_t
ngx_http_acr_prewarm_wanted(ngx_http_acr_prewarm_t *prewarm, json_t *platform)
{
    ngx_uint_t                        i;
    acr_text_t                        os, architecture, variant;
    ngx_http_acr_prewarm_platform_t  *wanted;

    static acr_text_t  arm64 = { (unsigned char *) "arm64", 5 };
    static acr_text_t  arm = { (unsigned char *) "arm", 3 };
    static acr_text_t  v7 = { (unsigned char *) "v7", 2 };
    static acr_text_t  v8 = { (unsigned char *) "v8", 2 };

    os = acr_json_text(acr_json_get(platform, "os"));
    architecture = acr_json_text(acr_json_get(platform, "architecture"));
    variant = acr_json_text(acr_json_get(platform, "variant"));

    if (variant.len == 0) {

        if (ngx_http_acr_prewarm_same(&architecture, &arm64)) {
            variant = v8;

        } else if (ngx_http_acr_prewarm_same(&architecture, &arm)) {
            variant = v7;
        }
    }

    wanted = prewarm->platforms.elts;

    for (i = 0; i < prewarm->platforms.nelts; i++) {

        if (wanted[i].os.len == 0
            || (ngx_http_acr_prewarm_same(&os, &wanted[i].os)
                && ngx_http_acr_prewarm_same(&architecture,
                                             &wanted[i].architecture)
                && (wanted[i].variant.len == 0
                    || ngx_http_acr_prewarm_same(&variant,
                                                 &wanted[i].variant))))
        {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_acr_prewarm_same(acr_text_t *text, acr_text_t *wanted)
{
    return text->len == wanted->len
           && ngx_memcmp(text->data, wanted->data, text->len) == 0;
}
