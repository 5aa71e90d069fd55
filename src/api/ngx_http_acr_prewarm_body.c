
#include "ngx_http_acr_prewarm.h"
#include "../oci/acr_json.h"


#define NGX_HTTP_ACR_PREWARM_REFERENCES  100
#define NGX_HTTP_ACR_PREWARM_PLATFORMS   20


static ngx_int_t ngx_http_acr_prewarm_body_platforms(
    ngx_http_acr_prewarm_t *prewarm, json_t *list);
static ngx_int_t ngx_http_acr_prewarm_body_platform(
    ngx_http_acr_prewarm_t *prewarm, acr_text_t text);
static ngx_int_t ngx_http_acr_prewarm_body_references(
    ngx_http_acr_prewarm_t *prewarm, json_t *list);
static void ngx_http_acr_prewarm_body_wrong(ngx_http_acr_prewarm_t *prewarm,
    const char *reason, const char *key, ngx_str_t *value);


ngx_int_t
ngx_http_acr_prewarm_body(ngx_http_acr_prewarm_t *prewarm, json_t *body)
{
    if (ngx_http_acr_prewarm_body_platforms(prewarm,
                                            acr_json_get(body, "platforms"))
        != NGX_OK)
    {
        ngx_http_acr_prewarm_body_wrong(prewarm, "\"platforms\" is a list of "
                                        "at most 20, as \"linux/arm64/v8\" or "
                                        "\"*\"", NULL, NULL);
        return NGX_DONE;
    }

    return ngx_http_acr_prewarm_body_references(prewarm,
                                            acr_json_get(body, "references"));
}


static ngx_int_t
ngx_http_acr_prewarm_body_platforms(ngx_http_acr_prewarm_t *prewarm,
    json_t *list)
{
    size_t   i;
    json_t  *value;

    if (list == NULL) {
        return NGX_OK;
    }

    if (!json_is_array(list)
        || json_array_size(list) > NGX_HTTP_ACR_PREWARM_PLATFORMS)
    {
        return NGX_ERROR;
    }

    json_array_foreach(list, i, value) {

        if (!json_is_string(value)
            || ngx_http_acr_prewarm_body_platform(prewarm,
                                                  acr_json_text(value))
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_prewarm_body_platform(ngx_http_acr_prewarm_t *prewarm,
    acr_text_t text)
{
    u_char                           *p, *slash, *last;
    ngx_uint_t                        i;
    acr_text_t                       *part[3];
    ngx_http_acr_prewarm_platform_t  *platform;

    platform = ngx_array_push(&prewarm->platforms);

    if (platform == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(platform, sizeof(ngx_http_acr_prewarm_platform_t));

    if (text.len == 1 && text.data[0] == '*') {
        return NGX_OK;
    }

    part[0] = &platform->os;
    part[1] = &platform->architecture;
    part[2] = &platform->variant;

    p = (u_char *) text.data;
    last = p + text.len;

    for (i = 0; i < 3; i++) {
        slash = ngx_strlchr(p, last, '/');

        part[i]->data = p;
        part[i]->len = (slash ? slash : last) - p;

        if (part[i]->len == 0) {
            return NGX_ERROR;
        }

        if (slash == NULL) {
            return (i == 0) ? NGX_ERROR : NGX_OK;
        }

        p = slash + 1;
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_acr_prewarm_body_references(ngx_http_acr_prewarm_t *prewarm,
    json_t *list)
{
    size_t       i;
    json_t      *value;
    ngx_int_t    rc;
    ngx_str_t    name;
    acr_text_t   text;

    i = json_array_size(list);

    if (i == 0 || i > NGX_HTTP_ACR_PREWARM_REFERENCES) {
        ngx_http_acr_prewarm_body_wrong(prewarm, "\"references\" is a list of "
                                        "1 to 100", NULL, NULL);
        return NGX_DONE;
    }

    json_array_foreach(list, i, value) {
        text = acr_json_text(value);

        name.len = text.len;
        name.data = (u_char *) text.data;

        rc = json_is_string(value)
             ? ngx_http_acr_prewarm_add(prewarm, &name) : NGX_DECLINED;

        if (rc == NGX_ERROR) {
            ngx_http_acr_fail_errno(prewarm->request, NGX_ERROR);
            return NGX_DONE;
        }

        if (rc != NGX_OK) {
            ngx_http_acr_prewarm_body_wrong(prewarm, "a reference is "
                                            "\"name:tag\" or "
                                            "\"name@digest\", of a name that "
                                            "a cache rule is for",
                                            "reference", &name);
            return NGX_DONE;
        }
    }

    return NGX_OK;
}


static void
ngx_http_acr_prewarm_body_wrong(ngx_http_acr_prewarm_t *prewarm,
    const char *reason, const char *key, ngx_str_t *value)
{
    ngx_http_acr_fail_status(prewarm->request, NGX_HTTP_BAD_REQUEST,
                             ACR_E_UNSUPPORTED, reason, key, value);
}
