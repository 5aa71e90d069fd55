
#include "ngx_http_acr_oidc.h"


/* a parameter, "name=value", and what has become of it */

typedef struct {
    ngx_http_acr_oidc_issuer_t  *issuer;
    ngx_array_t                  audiences;    /* char * */
    ngx_array_t                  require;      /* acr_oidc_require_t */
    ngx_str_t                    jwks;
    ngx_str_t                    user;
    ngx_str_t                    groups;
    ngx_str_t                    prefix;
} ngx_http_acr_oidc_args_t;


static ngx_int_t ngx_http_acr_oidc_args(ngx_conf_t *cf,
    ngx_http_acr_oidc_args_t *args);
static ngx_int_t ngx_http_acr_oidc_arg(ngx_conf_t *cf,
    ngx_http_acr_oidc_args_t *args, ngx_str_t *name, ngx_str_t *value);
static ngx_int_t ngx_http_acr_oidc_require(ngx_conf_t *cf,
    ngx_http_acr_oidc_args_t *args, ngx_str_t *value);
static ngx_int_t ngx_http_acr_oidc_source(ngx_conf_t *cf,
    ngx_http_acr_oidc_args_t *args);
static ngx_int_t ngx_http_acr_oidc_url(ngx_conf_t *cf, const char *what,
    ngx_str_t *text, ngx_uint_t fetched);
static ngx_uint_t ngx_http_acr_oidc_loopback(ngx_str_t *host);
static ngx_int_t ngx_http_acr_oidc_mapping(ngx_conf_t *cf,
    ngx_http_acr_oidc_args_t *args);
static ngx_int_t ngx_http_acr_oidc_apart(ngx_conf_t *cf, ngx_array_t *issuers);
static ngx_http_acr_oidc_set_t *ngx_http_acr_oidc_read_file(ngx_conf_t *cf,
    ngx_http_acr_oidc_issuer_t *issuer);
static ssize_t ngx_http_acr_oidc_read_text(ngx_conf_t *cf, ngx_str_t *name,
    u_char *buf, size_t size);
static void ngx_http_acr_oidc_free_keys(void *data);


#define ngx_http_acr_oidc_text(text, str)                                    \
    (text)->data = (str)->data;                                              \
    (text)->len = (str)->len

#define ngx_http_acr_oidc_begins(str, s)                                     \
    ((str)->len >= sizeof(s) - 1                                             \
     && ngx_strncmp((str)->data, s, sizeof(s) - 1) == 0)


/* acr_oidc_issuer URL audience=TEXT ... [jwks=] [user=] [groups=] [prefix=]
   [require=CLAIM=VALUE ...]; */

char *
ngx_http_acr_set_oidc_issuer(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_acr_loc_conf_t *alcf = conf;

    ngx_array_t               **issuers;
    ngx_http_acr_oidc_args_t    args;

    issuers = &alcf->auth.issuers;

    if (*issuers == NGX_CONF_UNSET_PTR) {
        *issuers = ngx_array_create(cf->pool, 2,
                                    sizeof(ngx_http_acr_oidc_issuer_t));
        if (*issuers == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    if ((*issuers)->nelts == NGX_HTTP_ACR_OIDC_ISSUERS_MAX) {
        return "has too many issuers";
    }

    ngx_memzero(&args, sizeof(ngx_http_acr_oidc_args_t));

    args.issuer = ngx_array_push(*issuers);

    if (args.issuer == NULL
        || ngx_array_init(&args.audiences, cf->pool, 2, sizeof(char *))
           != NGX_OK
        || ngx_array_init(&args.require, cf->pool, 2,
                          sizeof(acr_oidc_require_t))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(args.issuer, sizeof(ngx_http_acr_oidc_issuer_t));

    if (ngx_http_acr_oidc_args(cf, &args) != NGX_OK
        || ngx_http_acr_oidc_source(cf, &args) != NGX_OK
        || ngx_http_acr_oidc_mapping(cf, &args) != NGX_OK
        || ngx_http_acr_oidc_apart(cf, *issuers) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_acr_oidc_args(ngx_conf_t *cf, ngx_http_acr_oidc_args_t *args)
{
    u_char      *p;
    ngx_str_t   *value, name;
    ngx_uint_t   i, n;

    value = cf->args->elts;
    n = cf->args->nelts - 1;

    args->issuer->args = ngx_palloc(cf->pool, n * sizeof(ngx_str_t));

    if (args->issuer->args == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(args->issuer->args, &value[1], n * sizeof(ngx_str_t));
    args->issuer->nargs = n;

    args->issuer->source.issuer = value[1];

    for (i = 2; i <= n; i++) {
        p = ngx_strlchr(value[i].data, value[i].data + value[i].len, '=');

        if (p == NULL || p + 1 == value[i].data + value[i].len) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"acr_oidc_issuer\": \"%V\" has no value",
                               &value[i]);
            return NGX_ERROR;
        }

        name.data = value[i].data;
        name.len = p - name.data;

        p++;

        value[i].len -= p - value[i].data;
        value[i].data = p;

        if (ngx_http_acr_oidc_arg(cf, args, &name, &value[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_oidc_arg(ngx_conf_t *cf, ngx_http_acr_oidc_args_t *args,
    ngx_str_t *name, ngx_str_t *value)
{
    u_char      **audience;
    ngx_uint_t    i;

    struct {
        ngx_str_t    name;
        ngx_str_t   *value;
    } once[] = {
        { ngx_string("jwks"), &args->jwks },
        { ngx_string("user"), &args->user },
        { ngx_string("groups"), &args->groups },
        { ngx_string("prefix"), &args->prefix },
        { ngx_null_string, NULL }
    };

    if (name->len == 8 && ngx_strncmp(name->data, "audience", 8) == 0) {
        audience = ngx_array_push(&args->audiences);

        if (audience == NULL) {
            return NGX_ERROR;
        }

        /* words of the configuration end with a zero */

        *audience = value->data;

        return NGX_OK;
    }

    if (name->len == 7 && ngx_strncmp(name->data, "require", 7) == 0) {
        return ngx_http_acr_oidc_require(cf, args, value);
    }

    for (i = 0; once[i].value; i++) {

        if (name->len != once[i].name.len
            || ngx_strncmp(name->data, once[i].name.data, name->len) != 0)
        {
            continue;
        }

        if (once[i].value->data) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"acr_oidc_issuer\": \"%V\" is duplicate",
                               name);
            return NGX_ERROR;
        }

        *once[i].value = *value;

        return NGX_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"acr_oidc_issuer\" has an unknown parameter \"%V\"",
                       name);
    return NGX_ERROR;
}


static ngx_int_t
ngx_http_acr_oidc_require(ngx_conf_t *cf, ngx_http_acr_oidc_args_t *args,
    ngx_str_t *value)
{
    u_char              *p, *last;
    acr_oidc_require_t  *require;

    last = value->data + value->len;
    p = ngx_strlchr(value->data, last, '=');

    if (p == NULL || p == value->data || p + 1 == last) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_oidc_issuer\": \"require=%V\" must be "
                           "\"require=claim=value\"", value);
        return NGX_ERROR;
    }

    require = ngx_array_push(&args->require);

    if (require == NULL) {
        return NGX_ERROR;
    }

    require->claim.data = value->data;
    require->claim.len = p - value->data;
    require->value.data = p + 1;
    require->value.len = last - (p + 1);

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_oidc_source(ngx_conf_t *cf, ngx_http_acr_oidc_args_t *args)
{
    ngx_http_acr_oidc_issuer_t  *issuer;

    issuer = args->issuer;

    if (ngx_http_acr_oidc_url(cf, "the issuer", &issuer->source.issuer,
                              args->jwks.len == 0)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (args->jwks.len == 0) {
        ngx_http_acr_fetch_need(cf);
        return NGX_OK;
    }

    if (ngx_http_acr_oidc_begins(&args->jwks, "https://")
        || ngx_http_acr_oidc_begins(&args->jwks, "http://"))
    {
        issuer->source.url = args->jwks;

        ngx_http_acr_fetch_need(cf);

        return ngx_http_acr_oidc_url(cf, "\"jwks\"", &issuer->source.url, 1);
    }

    issuer->file = args->jwks;

    return ngx_conf_full_name(cf->cycle, &issuer->file, 1);
}


/*
 * What is fetched says who may do what, so it comes over TLS, or from this
 * machine.  An issuer of which nothing is fetched is a name and nothing else.
 */

static ngx_int_t
ngx_http_acr_oidc_url(ngx_conf_t *cf, const char *what, ngx_str_t *text,
    ngx_uint_t fetched)
{
    size_t       i, skip;
    ngx_url_t    url;
    ngx_uint_t   https;
    const char  *error;

    error = "is not of the form \"https://host/path\"";
    skip = 0;

    if (ngx_http_acr_oidc_begins(text, "https://")) {
        skip = sizeof("https://") - 1;

    } else if (ngx_http_acr_oidc_begins(text, "http://")) {
        skip = sizeof("http://") - 1;
    }

    if (skip == 0) {
        goto failed;
    }

    if (text->len > ACR_OIDC_ISSUER_MAX) {
        error = "is too long";
        goto failed;
    }

    for (i = 0; i < text->len; i++) {

        if (text->data[i] <= 0x20 || text->data[i] >= 0x7f
            || ngx_strchr("\"<>\\^`{|}", text->data[i]) != NULL)
        {
            error = "has a character that a URL has not";
            goto failed;
        }

        if (text->data[i] == '#' || text->data[i] == '?') {
            error = "has a query or a fragment";
            goto failed;
        }
    }

    ngx_memzero(&url, sizeof(ngx_url_t));

    url.url.data = text->data + skip;
    url.url.len = text->len - skip;
    url.default_port = 443;
    url.uri_part = 1;
    url.no_resolve = 1;

    if (ngx_strncasecmp(url.url.data, (u_char *) "unix:", 5) == 0
        || ngx_parse_url(cf->pool, &url) != NGX_OK
        || ngx_strlchr(url.host.data, url.host.data + url.host.len, '@')
           != NULL)
    {
        goto failed;
    }

    if (fetched && ngx_http_acr_fetch_check(text, &https) != NULL) {
        goto failed;
    }

    if (fetched && skip == sizeof("http://") - 1
        && !ngx_http_acr_oidc_loopback(&url.host))
    {
        error = "is fetched, and \"http\" is for this machine only";
        goto failed;
    }

    return NGX_OK;

failed:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"acr_oidc_issuer\": %s \"%V\" %s", what, text, error);
    return NGX_ERROR;
}


static ngx_uint_t
ngx_http_acr_oidc_loopback(ngx_str_t *host)
{
    in_addr_t  addr;

    if (host->len == 9
        && ngx_strncasecmp(host->data, (u_char *) "localhost", 9) == 0)
    {
        return 1;
    }

    if (host->len == 5 && ngx_strncmp(host->data, "[::1]", 5) == 0) {
        return 1;
    }

    addr = ngx_inet_addr(host->data, host->len);

    return addr != INADDR_NONE && (ntohl(addr) >> 24) == IN_LOOPBACKNET;
}


static ngx_int_t
ngx_http_acr_oidc_mapping(ngx_conf_t *cf, ngx_http_acr_oidc_args_t *args)
{
    acr_oidc_issuer_t           *mapping;
    ngx_http_acr_oidc_issuer_t  *issuer;

    issuer = args->issuer;
    mapping = &issuer->mapping;

    if (args->audiences.nelts == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_oidc_issuer\" \"%V\" needs \"audience=\"",
                           &issuer->source.issuer);
        return NGX_ERROR;
    }

    if (args->user.len == 0) {
        ngx_str_set(&args->user, "sub");
    }

    if (args->groups.len == 0) {
        ngx_str_set(&args->groups, "groups");
    }

    ngx_http_acr_oidc_text(&mapping->issuer, &issuer->source.issuer);
    ngx_http_acr_oidc_text(&mapping->user, &args->user);
    ngx_http_acr_oidc_text(&mapping->groups, &args->groups);
    ngx_http_acr_oidc_text(&mapping->prefix, &args->prefix);

    if (!acr_oidc_prefix_valid(&mapping->prefix)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_oidc_issuer\": no name can begin with the "
                           "prefix \"%V\", or it is too long", &args->prefix);
        return NGX_ERROR;
    }

    mapping->audiences = args->audiences.elts;
    mapping->naudiences = args->audiences.nelts;
    mapping->require = args->require.elts;
    mapping->nrequire = args->require.nelts;

    return NGX_OK;
}


/* the last issuer of the list does not speak for one before it */

static ngx_int_t
ngx_http_acr_oidc_apart(ngx_conf_t *cf, ngx_array_t *issuers)
{
    ngx_str_t                   *name;
    ngx_uint_t                   i;
    ngx_http_acr_oidc_issuer_t  *issuer, *last;

    issuer = issuers->elts;
    last = &issuer[issuers->nelts - 1];
    name = &last->source.issuer;

    for (i = 0; i + 1 < issuers->nelts; i++) {

        if (issuer[i].source.issuer.len == name->len
            && ngx_memcmp(issuer[i].source.issuer.data, name->data, name->len)
               == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"acr_oidc_issuer\" \"%V\" is duplicate",
                               name);
            return NGX_ERROR;
        }

        if (acr_oidc_prefix_meet(&issuer[i].mapping.prefix,
                                 &last->mapping.prefix))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"acr_oidc_issuer\": names of \"%V\" and "
                               "\"%V\" could be the same: each needs a "
                               "\"prefix\" with which the other's does not "
                               "begin",
                               &issuer[i].source.issuer, name);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_uint_t
ngx_http_acr_oidc_same(ngx_array_t *a, ngx_array_t *b)
{
    ngx_uint_t                   i, j;
    ngx_http_acr_oidc_issuer_t  *x, *y;

    if (a == b) {
        return 1;
    }

    if (a == NULL || b == NULL || a->nelts != b->nelts) {
        return 0;
    }

    x = a->elts;
    y = b->elts;

    for (i = 0; i < a->nelts; i++) {

        if (x[i].nargs != y[i].nargs) {
            return 0;
        }

        for (j = 0; j < x[i].nargs; j++) {

            if (x[i].args[j].len != y[i].args[j].len
                || ngx_memcmp(x[i].args[j].data, y[i].args[j].data,
                              x[i].args[j].len)
                   != 0)
            {
                return 0;
            }
        }
    }

    return 1;
}


/* --- keys in files */

ngx_int_t
ngx_http_acr_oidc_read_files(ngx_conf_t *cf, ngx_array_t *issuers)
{
    ngx_uint_t                   i;
    ngx_http_acr_oidc_issuer_t  *issuer;

    if (issuers == NULL) {
        return NGX_OK;
    }

    issuer = issuers->elts;

    for (i = 0; i < issuers->nelts; i++) {

        /* another registry may have the same list */

        if (issuer[i].file.len == 0 || issuer[i].source.fixed) {
            continue;
        }

        issuer[i].source.fixed = ngx_http_acr_oidc_read_file(cf, &issuer[i]);

        if (issuer[i].source.fixed == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* the set lives as long as the configuration, which has the first reference */

static ngx_http_acr_oidc_set_t *
ngx_http_acr_oidc_read_file(ngx_conf_t *cf, ngx_http_acr_oidc_issuer_t *issuer)
{
    int                       rc;
    u_char                   *buf;
    ssize_t                   n;
    ngx_pool_cleanup_t       *cln;
    ngx_http_acr_oidc_set_t  *set;

    set = ngx_palloc(cf->pool, sizeof(ngx_http_acr_oidc_set_t));
    cln = ngx_pool_cleanup_add(cf->pool, 0);
    buf = ngx_alloc(ACR_JWT_JWKS_MAX + 1, cf->log);

    if (set == NULL || cln == NULL || buf == NULL) {
        ngx_free(buf);
        return NULL;
    }

    set->refs = 1;
    set->keys = acr_jwt_keys_create();

    if (set->keys == NULL) {
        ngx_free(buf);
        return NULL;
    }

    cln->handler = ngx_http_acr_oidc_free_keys;
    cln->data = set->keys;

    n = ngx_http_acr_oidc_read_text(cf, &issuer->file, buf,
                                    ACR_JWT_JWKS_MAX + 1);

    rc = (n == -1) ? ACR_OK : acr_jwt_keys_add_jwks(set->keys, buf, n);

    ngx_free(buf);

    if (n == -1) {
        return NULL;
    }

    if (rc != ACR_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_oidc_issuer\" \"%V\": \"%V\" %s",
                           &issuer->source.issuer, &issuer->file,
                           rc == ACR_NOMEM ? "cannot be read: no memory"
                                           : "is no JWK set");
        return NULL;
    }

    if (acr_jwt_keys_count(set->keys) == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_oidc_issuer\" \"%V\": \"%V\" has no key that "
                           "tokens can be verified with",
                           &issuer->source.issuer, &issuer->file);
        return NULL;
    }

    return set;
}


/* as much as there is and as fits; -1 after a log line */

static ssize_t
ngx_http_acr_oidc_read_text(ngx_conf_t *cf, ngx_str_t *name, u_char *buf,
    size_t size)
{
    size_t    len;
    ssize_t   n;
    ngx_fd_t  fd;

    fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "\"acr_oidc_issuer\": " ngx_open_file_n
                           " \"%V\" failed", name);
        return -1;
    }

    len = 0;

    do {
        n = ngx_read_fd(fd, buf + len, size - len);

        if (n == -1) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                               "\"acr_oidc_issuer\": " ngx_read_fd_n
                               " \"%V\" failed", name);
            break;
        }

        len += n;

    } while (n && len < size);

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, cf->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", name);
    }

    return (n == -1) ? -1 : (ssize_t) len;
}


static void
ngx_http_acr_oidc_free_keys(void *data)
{
    acr_jwt_keys_free(data);
}
