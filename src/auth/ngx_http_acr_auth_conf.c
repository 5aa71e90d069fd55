
#include "ngx_http_acr_auth.h"

#include <openssl/evp.h>
#include <openssl/pem.h>


#define NGX_HTTP_ACR_LIFETIME_MIN  60
#define NGX_HTTP_ACR_LIFETIME_MAX  (24 * 3600)


static ngx_http_acr_role_t *ngx_http_acr_auth_push_role(ngx_conf_t *cf,
    ngx_http_acr_auth_conf_t *auth, ngx_str_t *scope);
static ngx_int_t ngx_http_acr_auth_key_file(ngx_conf_t *cf, ngx_str_t *name,
    acr_jwt_keys_t *keys);
static ngx_int_t ngx_http_acr_auth_read_key(ngx_conf_t *cf, ngx_str_t *name,
    char *buf, size_t size, size_t *len);
static ngx_int_t ngx_http_acr_auth_own_key(ngx_conf_t *cf,
    ngx_http_acr_store_t *store, uid_t uid, gid_t gid, acr_jwt_keys_t *keys);
static char *ngx_http_acr_auth_generate(void);
static ngx_int_t ngx_http_acr_auth_add_key(ngx_conf_t *cf, const char *name,
    const char *p, size_t n, acr_jwt_keys_t *keys);
static void ngx_http_acr_auth_free_keys(void *data);


void
ngx_http_acr_auth_create_conf(ngx_http_acr_auth_conf_t *auth)
{
    /*
     * set by ngx_pcalloc():
     *
     *     auth->service = NULL;
     *     auth->realm = NULL;
     *     auth->identity = NULL;
     */

    auth->enable = NGX_CONF_UNSET;
    auth->lifetime = NGX_CONF_UNSET;
    auth->failures = NGX_CONF_UNSET_UINT;
    auth->key_files = NGX_CONF_UNSET_PTR;
    auth->roles = NGX_CONF_UNSET_PTR;
    auth->issuers = NGX_CONF_UNSET_PTR;
}


void
ngx_http_acr_auth_merge_conf(ngx_http_acr_auth_conf_t *prev,
    ngx_http_acr_auth_conf_t *auth)
{
    ngx_conf_merge_value(auth->enable, prev->enable, 0);
    ngx_conf_merge_sec_value(auth->lifetime, prev->lifetime, 15 * 60);
    ngx_conf_merge_uint_value(auth->failures, prev->failures, 20);
    ngx_conf_merge_ptr_value(auth->key_files, prev->key_files, NULL);
    ngx_conf_merge_ptr_value(auth->roles, prev->roles, NULL);
    ngx_conf_merge_ptr_value(auth->issuers, prev->issuers, NULL);

    if (auth->service == NULL) {
        auth->service = prev->service;
    }

    if (auth->realm == NULL) {
        auth->realm = prev->realm;
    }

    if (auth->identity == NULL) {
        auth->identity = prev->identity;
    }
}


char *
ngx_http_acr_auth_check_conf(ngx_conf_t *cf, ngx_http_acr_auth_conf_t *auth)
{
    if (auth->lifetime < NGX_HTTP_ACR_LIFETIME_MIN
        || auth->lifetime > NGX_HTTP_ACR_LIFETIME_MAX)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_token_lifetime\" must be between 60s and "
                           "24h");
        return NGX_CONF_ERROR;
    }

    if (!auth->enable && auth->identity) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_identity\" needs \"acr_auth on\"");
        return NGX_CONF_ERROR;
    }

    if (!auth->enable && auth->issuers) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_oidc_issuer\" needs \"acr_auth on\"");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_acr_set_token_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_acr_loc_conf_t *alcf = conf;

    ngx_str_t   *value, *file;
    ngx_uint_t   i;

    if (alcf->auth.key_files != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    alcf->auth.key_files = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                            sizeof(ngx_str_t));
    if (alcf->auth.key_files == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {
        file = ngx_array_push(alcf->auth.key_files);

        if (file == NULL) {
            return NGX_CONF_ERROR;
        }

        *file = value[i];

        if (ngx_conf_full_name(cf->cycle, file, 1) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* acr_role user:NAME|group:NAME|anonymous ROLE [PATTERN]; */

char *
ngx_http_acr_set_role(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_acr_loc_conf_t *alcf = conf;

    ngx_str_t            *value, all;
    acr_text_t            name;
    ngx_http_acr_role_t  *role;

    value = cf->args->elts;

    ngx_str_set(&all, "*");

    role = ngx_http_acr_auth_push_role(cf, &alcf->auth,
                                       cf->args->nelts > 3 ? &value[3] : &all);
    if (role == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ngx_strncmp(value[1].data, "user:", 5) == 0) {
        role->kind = NGX_HTTP_ACR_ROLE_USER;
        role->name.data = value[1].data + 5;
        role->name.len = value[1].len - 5;

    } else if (ngx_strncmp(value[1].data, "group:", 6) == 0) {
        role->kind = NGX_HTTP_ACR_ROLE_GROUP;
        role->name.data = value[1].data + 6;
        role->name.len = value[1].len - 6;

    } else if (ngx_strcmp(value[1].data, "anonymous") == 0) {
        role->kind = NGX_HTTP_ACR_ROLE_ANONYMOUS;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_role\" is for \"user:...\", "
                           "\"group:...\" or \"anonymous\", not for \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    if (role->kind != NGX_HTTP_ACR_ROLE_ANONYMOUS && role->name.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_role\" \"%V\" has no name", &value[1]);
        return NGX_CONF_ERROR;
    }

    name.data = value[2].data;
    name.len = value[2].len;

    role->may = acr_access_role(&name);

    if (role->may == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_role\": there is no role \"%V\", or it has "
                           "no rights here", &value[2]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_acr_set_anonymous_pull(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_acr_loc_conf_t *alcf = conf;

    ngx_str_t            *value;
    ngx_uint_t            i;
    ngx_http_acr_role_t  *role;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        role = ngx_http_acr_auth_push_role(cf, &alcf->auth, &value[i]);

        if (role == NULL) {
            return NGX_CONF_ERROR;
        }

        role->kind = NGX_HTTP_ACR_ROLE_ANONYMOUS;
        role->may = ACR_MAY_PULL|ACR_MAY_METADATA_READ;
    }

    return NGX_CONF_OK;
}


static ngx_http_acr_role_t *
ngx_http_acr_auth_push_role(ngx_conf_t *cf, ngx_http_acr_auth_conf_t *auth,
    ngx_str_t *scope)
{
    ngx_http_acr_role_t  *role;

    if (!acr_pattern_valid(scope->data, scope->len)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is no repository, nor \"*\" or \"name/*\"",
                           scope);
        return NULL;
    }

    if (auth->roles == NGX_CONF_UNSET_PTR) {
        auth->roles = ngx_array_create(cf->pool, 4,
                                       sizeof(ngx_http_acr_role_t));
        if (auth->roles == NULL) {
            return NULL;
        }
    }

    role = ngx_array_push(auth->roles);

    if (role == NULL) {
        return NULL;
    }

    ngx_memzero(role, sizeof(ngx_http_acr_role_t));

    role->scope.data = scope->data;
    role->scope.len = scope->len;

    return role;
}


/* --- keys */

acr_jwt_keys_t *
ngx_http_acr_auth_keys(ngx_conf_t *cf, ngx_array_t *files,
    ngx_http_acr_store_t *store, uid_t uid, gid_t gid, ngx_uint_t sign)
{
    ngx_str_t           *file;
    ngx_uint_t           i;
    acr_jwt_keys_t      *keys;
    ngx_pool_cleanup_t  *cln;

    keys = acr_jwt_keys_create();
    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (keys == NULL || cln == NULL) {
        acr_jwt_keys_free(keys);
        return NULL;
    }

    cln->handler = ngx_http_acr_auth_free_keys;
    cln->data = keys;

    if (files == NULL) {
        return ngx_http_acr_auth_own_key(cf, store, uid, gid, keys) == NGX_OK
               ? keys : NULL;
    }

    file = files->elts;

    for (i = 0; i < files->nelts; i++) {
        if (ngx_http_acr_auth_key_file(cf, &file[i], keys) != NGX_OK) {
            return NULL;
        }
    }

    if (sign && !acr_jwt_keys_can_sign(keys)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_token_key\": the first key, \"%V\", is not "
                           "private: it cannot sign", &file[0]);
        return NULL;
    }

    return keys;
}


static void
ngx_http_acr_auth_free_keys(void *data)
{
    acr_jwt_keys_free(data);
}


static ngx_int_t
ngx_http_acr_auth_key_file(ngx_conf_t *cf, ngx_str_t *name,
    acr_jwt_keys_t *keys)
{
    char       *buf;
    size_t      len;
    ngx_int_t   rc;

    /* one byte more tells a file that is too long */

    buf = ngx_alloc(ACR_JWT_PEM_MAX + 1, cf->log);

    if (buf == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_acr_auth_read_key(cf, name, buf, ACR_JWT_PEM_MAX + 1, &len);

    if (rc == NGX_OK && len > ACR_JWT_PEM_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_token_key\": \"%V\" is longer than %d "
                           "bytes", name, ACR_JWT_PEM_MAX);
        rc = NGX_ERROR;
    }

    if (rc == NGX_OK) {
        rc = ngx_http_acr_auth_add_key(cf, (char *) name->data, buf, len,
                                       keys);
    }

    ngx_explicit_memzero(buf, ACR_JWT_PEM_MAX + 1);
    ngx_free(buf);

    return rc;
}


/* the first size bytes of a file, or all that it has */

static ngx_int_t
ngx_http_acr_auth_read_key(ngx_conf_t *cf, ngx_str_t *name, char *buf,
    size_t size, size_t *len)
{
    ssize_t   n;
    ngx_fd_t  fd;

    fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "\"acr_token_key\": " ngx_open_file_n
                           " \"%V\" failed", name);
        return NGX_ERROR;
    }

    *len = 0;

    do {
        n = ngx_read_fd(fd, buf + *len, size - *len);

        if (n == -1) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                               "\"acr_token_key\": " ngx_read_fd_n
                               " \"%V\" failed", name);
            break;
        }

        *len += n;

    } while (n > 0 && *len < size);

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, cf->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", name);
    }

    return (n == -1) ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_http_acr_auth_own_key(ngx_conf_t *cf, ngx_http_acr_store_t *store,
    uid_t uid, gid_t gid, acr_jwt_keys_t *keys)
{
    char        *pem, buf[NGX_HTTP_ACR_STORE_KEY_MAX];
    size_t       n;
    ngx_err_t    err;
    ngx_int_t    rc;
    const char  *why;

    pem = ngx_http_acr_auth_generate();

    if (pem == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no key can be made to sign tokens with");
        return NGX_ERROR;
    }

    n = sizeof(buf);

    why = ngx_http_acr_store_key(store, pem, uid, gid, buf, &n, &err);

    ngx_explicit_memzero(pem, ngx_strlen(pem));
    free(pem);

    if (why) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, err,
                           "\"acr_root\" \"%V\": %s \"acr/token.key\"",
                           &store->root, why);
        return NGX_ERROR;
    }

    rc = ngx_http_acr_auth_add_key(cf, "acr/token.key", buf, n, keys);

    ngx_explicit_memzero(buf, sizeof(buf));

    return rc;
}


/* a P-256 key in PEM, from malloc() */

static char *
ngx_http_acr_auth_generate(void)
{
    BIO       *bio;
    char      *data, *pem;
    long       n;
    EVP_PKEY  *key;

    pem = NULL;
    key = EVP_EC_gen("P-256");
    bio = BIO_new(BIO_s_mem());

    if (key && bio
        && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1)
    {
        n = BIO_get_mem_data(bio, &data);
        pem = (n > 0) ? strndup(data, n) : NULL;
    }

    BIO_free(bio);
    EVP_PKEY_free(key);

    return pem;
}


static ngx_int_t
ngx_http_acr_auth_add_key(ngx_conf_t *cf, const char *name, const char *p,
    size_t n, acr_jwt_keys_t *keys)
{
    int       rc;
    unsigned  before;

    before = acr_jwt_keys_count(keys);

    if (n && p[0] == '{') {
        rc = acr_jwt_keys_add_jwks(keys, (const u_char *) p, n);

        if (rc == ACR_OK && acr_jwt_keys_count(keys) == before) {
            rc = ACR_UNSUPPORTED;
        }

    } else {
        rc = acr_jwt_keys_add_pem(keys, (const u_char *) p, n);
    }

    switch (rc) {

    case ACR_OK:
        return NGX_OK;

    case ACR_UNSUPPORTED:
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_token_key\": \"%s\" has a key that tokens "
                           "cannot be signed with: RSA of 2048 bits or more, "
                           "P-256, P-384 and Ed25519 can", name);
        return NGX_ERROR;

    case ACR_NOMEM:
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "no memory for \"%s\"", name);
        return NGX_ERROR;

    default:
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"acr_token_key\": \"%s\" is no key in PEM, or is "
                           "encrypted, and no JWK set", name);
        return NGX_ERROR;
    }
}
