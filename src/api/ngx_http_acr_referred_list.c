
#include "ngx_http_acr_referred_list.h"
#include "../oci/acr_descriptor.h"


static ngx_int_t ngx_http_acr_referred_list_put(
    ngx_http_acr_referred_list_t *list, json_t *object, ngx_str_t *type);
static char *ngx_http_acr_referred_list_line(const acr_digest_t *digest,
    json_t *object);
static int ngx_http_acr_referred_list_compare(const void *one,
    const void *two);


ngx_int_t
ngx_http_acr_referred_list_add(ngx_http_acr_referred_list_t *list, u_char *p,
    size_t n, ngx_str_t *type)
{
    int          rc;
    size_t       i;
    json_t      *root, *object;
    const char  *error;

    rc = acr_json_load(&root, p, n, &error);

    if (rc != ACR_OK) {
        return (rc == ACR_NOMEM) ? NGX_ENOMEM : NGX_DECLINED;
    }

    json_array_foreach(acr_json_get(root, "manifests"), i, object) {

        if (ngx_http_acr_referred_list_put(list, object, type) != NGX_OK) {
            break;
        }
    }

    json_decref(root);

    return NGX_OK;
}


/* NGX_DONE: there is no room for more */

static ngx_int_t
ngx_http_acr_referred_list_put(ngx_http_acr_referred_list_t *list,
    json_t *object, ngx_str_t *type)
{
    char             *line;
    size_t            len;
    acr_text_t        text;
    const char       *error;
    acr_reference_t   reference;

    if (acr_descriptor_read(&reference, object, &error) != ACR_OK) {
        return NGX_OK;
    }

    if (type->len) {
        text = acr_json_text(acr_json_get(object, "artifactType"));

        if (text.len != type->len
            || ngx_memcmp(text.data, type->data, text.len) != 0)
        {
            return NGX_OK;
        }
    }

    if (list->n == NGX_HTTP_ACR_REFERRED_MAX) {
        return NGX_DONE;
    }

    line = ngx_http_acr_referred_list_line(&reference.digest, object);

    if (line == NULL) {
        return NGX_DONE;
    }

    len = ngx_strlen(line) + 1;

    if (list->size + len > NGX_HTTP_ACR_REFERRED_SIZE) {
        free(line);
        return NGX_DONE;
    }

    list->lines[list->n++] = line;
    list->size += len;

    return NGX_OK;
}


/* what the referrers API has of a manifest, in the order in which
   acr_manifest_descriptor() writes it */

static char *
ngx_http_acr_referred_list_line(const acr_digest_t *digest, json_t *object)
{
    char        *text, *line;
    json_t      *copy, *value;
    size_t       len;
    ngx_uint_t   i;

    static const char  *names[] = {
        "mediaType", "digest", "size", "artifactType", "annotations"
    };

    copy = json_object();

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        value = acr_json_get(object, names[i]);

        if (value) {
            (void) json_object_set(copy, names[i], value);
        }
    }

    text = copy ? json_dumps(copy, JSON_COMPACT) : NULL;

    json_decref(copy);

    if (text == NULL) {
        return NULL;
    }

    len = ngx_strlen(text);
    line = malloc(ACR_DIGEST_MAX + 1 + len + 1);

    if (line) {
        i = acr_digest_print((u_char *) line, digest);
        line[i++] = ' ';
        ngx_memcpy(line + i, text, len + 1);
    }

    free(text);

    return line;
}


u_char *
ngx_http_acr_referred_list_print(ngx_http_acr_referred_list_t *list,
    u_char *p)
{
    ngx_uint_t  i;

    qsort(list->lines, list->n, sizeof(char *),
          ngx_http_acr_referred_list_compare);

    for (i = 0; i < list->n; i++) {
        p = ngx_cpymem(p, list->lines[i], ngx_strlen(list->lines[i]));
        *p++ = '\n';
    }

    return p;
}


static int
ngx_http_acr_referred_list_compare(const void *one, const void *two)
{
    return ngx_strcmp(*(char * const *) one, *(char * const *) two);
}


void
ngx_http_acr_referred_list_free(ngx_http_acr_referred_list_t *list)
{
    while (list->n) {
        free(list->lines[--list->n]);
    }
}


ngx_int_t
ngx_http_acr_referred_list_read(ngx_array_t *array, ngx_str_t *text)
{
    u_char                   *p, *space, *end, *last;
    ngx_str_t                 digest;
    ngx_http_acr_referred_t  *item;

    ngx_str_null(&digest);

    last = text->data + text->len;

    for (p = text->data; p < last; p = end + 1) {
        end = ngx_strlchr(p, last, '\n');
        space = ngx_strlchr(p, last, ' ');

        if (end == NULL || space == NULL || space > end) {
            return NGX_ERROR;
        }

        if (digest.len && digest.len == (size_t) (space - p)
            && ngx_memcmp(digest.data, p, digest.len) == 0)
        {
            continue;
        }

        item = ngx_array_push(array);

        if (item == NULL) {
            return NGX_ERROR;
        }

        digest.data = p;
        digest.len = space - p;

        item->digest = digest;
        item->descriptor.data = space + 1;
        item->descriptor.len = end - space - 1;
    }

    return NGX_OK;
}
