
#include "../ngx_http_acr.h"
#include "ngx_http_acr_remote_core.h"


#define NGX_HTTP_ACR_REMOTE_HOST     255
#define NGX_HTTP_ACR_REMOTE_CONNECT  2000
#define NGX_HTTP_ACR_REMOTE_TIMEOUT  30000


static char *ngx_http_acr_remote_arg(ngx_conf_t *cf,
    ngx_http_acr_remote_t *remote, ngx_str_t *value);
static const char *ngx_http_acr_remote_host(ngx_str_t *host);
static char *ngx_http_acr_remote_url(ngx_http_acr_remote_t *remote,
    ngx_str_t *url);
static char *ngx_http_acr_remote_time(ngx_msec_t *ms, ngx_str_t *value);
static ngx_http_acr_remote_t *ngx_http_acr_remote_create(ngx_conf_t *cf,
    ngx_http_acr_remotes_t *remotes, ngx_str_t *host);
static ngx_http_acr_credentials_t *ngx_http_acr_remote_credentials(
    ngx_http_acr_remotes_t *remotes, ngx_str_t *name);
static void ngx_http_acr_remotes_free(void *data);


#define ngx_http_acr_remote_begins(value, s)                                 \
    ((value)->len >= sizeof(s) - 1                                           \
     && ngx_strncmp((value)->data, s, sizeof(s) - 1) == 0)


ngx_int_t
ngx_http_acr_remotes_create(ngx_conf_t *cf, ngx_http_acr_remotes_t *remotes)
{
    if (ngx_array_init(&remotes->remotes, cf->pool, 4,
                       sizeof(ngx_http_acr_remote_t *))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_array_init(&remotes->sets, cf->pool, 4,
                          sizeof(ngx_http_acr_credentials_t *));
}


/* acr_credential_set NAME user=TEXT|user_file=PATH password_file=PATH;
   acr_credential_set NAME token_file=PATH; */

char *
ngx_http_acr_set_credential_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_acr_main_conf_t *mcf = conf;

    ngx_str_t                    *value;
    ngx_http_acr_credentials_t  **set;

    value = cf->args->elts;

    if (ngx_http_acr_remote_credentials(&mcf->remotes, &value[1])) {
        return "is duplicate: there is a set of this name";
    }

    set = ngx_array_push(&mcf->remotes.sets);

    if (set == NULL) {
        return NGX_CONF_ERROR;
    }

    *set = ngx_pcalloc(cf->pool, sizeof(ngx_http_acr_credentials_t));

    if (*set == NULL) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_acr_credentials_conf(cf, *set);
}


/* acr_remote HOST [URL] [credentials=NAME] [realm=URL] [connect_timeout=TIME]
   [timeout=TIME]; */

char *
ngx_http_acr_set_remote(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                   *error;
    ngx_str_t              *value;
    ngx_uint_t              i;
    ngx_http_acr_remote_t  *remote;

    value = cf->args->elts;

    remote = ngx_http_acr_remote_conf(cf, &value[1]);

    if (remote == NULL) {
        return NGX_CONF_ERROR;
    }

    if (remote->written) {
        return "is duplicate: there is a remote of this host";
    }

    remote->written = 1;

    for (i = 2; i < cf->args->nelts; i++) {

        if (i == 2 && (ngx_http_acr_remote_begins(&value[2], "http://")
                       || ngx_http_acr_remote_begins(&value[2], "https://")))
        {
            error = ngx_http_acr_remote_url(remote, &value[2]);

        } else {
            error = ngx_http_acr_remote_arg(cf, remote, &value[i]);
        }

        if (error != NGX_CONF_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"acr_remote\" \"%V\": \"%V\" %s",
                               &remote->host, &value[i], error);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_acr_remote_arg(ngx_conf_t *cf, ngx_http_acr_remote_t *remote,
    ngx_str_t *value)
{
    ngx_str_t   text;
    ngx_uint_t  https;

    if (ngx_http_acr_remote_begins(value, "credentials=")) {

        if (remote->set.len) {
            return "is duplicate";
        }

        remote->set.data = value->data + 12;
        remote->set.len = value->len - 12;

        return remote->set.len ? NGX_CONF_OK : "has no name";
    }

    if (ngx_http_acr_remote_begins(value, "realm=")) {

        if (remote->realm.len) {
            return "is duplicate";
        }

        remote->realm.data = value->data + 6;
        remote->realm.len = value->len - 6;

        return (char *) ngx_http_acr_fetch_check(&remote->realm, &https);
    }

    text = *value;

    if (ngx_http_acr_remote_begins(value, "connect_timeout=")) {
        text.data += 16;
        text.len -= 16;

        return ngx_http_acr_remote_time(&remote->connect, &text);
    }

    if (ngx_http_acr_remote_begins(value, "timeout=")) {
        text.data += 8;
        text.len -= 8;

        return ngx_http_acr_remote_time(&remote->timeout, &text);
    }

    return "is an unknown parameter";
}


static char *
ngx_http_acr_remote_time(ngx_msec_t *ms, ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_parse_time(value, 0);

    if (n == NGX_ERROR || n == 0 || n > 3600 * 1000) {
        return "is no time between 1ms and 1h";
    }

    *ms = n;

    return NGX_CONF_OK;
}


/* a host and its port, if that is written */

static const char *
ngx_http_acr_remote_host(ngx_str_t *host)
{
    u_char      c;
    size_t      i;
    ngx_str_t   port;

    if (host->len == 0 || host->len > NGX_HTTP_ACR_REMOTE_HOST) {
        return "it is empty, or too long";
    }

    ngx_str_null(&port);

    for (i = 0; i < host->len; i++) {
        c = host->data[i] = ngx_tolower(host->data[i]);

        if (c == ':' && i) {
            port.data = &host->data[i + 1];
            port.len = host->len - i - 1;
            break;
        }

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')
              || (i && (c == '-' || c == '.' || c == '_'))))
        {
            return "it is of letters, digits, \"-\", \".\" and \"_\", maybe "
                   "with a port";
        }
    }

    if (port.data
        && (ngx_atoi(port.data, port.len) < 1
            || ngx_atoi(port.data, port.len) > 65535))
    {
        return "it has no good port";
    }

    return NULL;
}


static char *
ngx_http_acr_remote_url(ngx_http_acr_remote_t *remote, ngx_str_t *url)
{
    size_t       skip;
    u_char      *p;
    ngx_uint_t   https;
    const char  *why;

    why = ngx_http_acr_fetch_check(url, &https);

    if (why) {
        return (char *) why;
    }

    remote->https = https;
    remote->url = *url;

    skip = https ? sizeof("https://") - 1 : sizeof("http://") - 1;

    if (remote->url.data[remote->url.len - 1] == '/') {
        remote->url.len--;
    }

    for (p = remote->url.data + skip;
         p < remote->url.data + remote->url.len;
         p++)
    {
        if (*p == '/' || *p == '?' || *p == '#') {
            return "has more than a host and a port: a registry's API is at "
                   "/v2/";
        }
    }

    return NGX_CONF_OK;
}


ngx_http_acr_remote_t *
ngx_http_acr_remote_conf(ngx_conf_t *cf, ngx_str_t *host)
{
    ngx_str_t                 *value, name;
    const char                *why;
    ngx_http_acr_remote_t     *remote;
    ngx_http_acr_main_conf_t  *mcf;

    value = cf->args->elts;

    name.len = host->len;
    name.data = ngx_pstrdup(cf->pool, host);

    if (name.data == NULL) {
        return NULL;
    }

    why = ngx_http_acr_remote_host(&name);

    if (why) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\": \"%V\" is no host of a registry: %s",
                           &value[0], host, why);
        return NULL;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_acr_module);

    remote = ngx_http_acr_remote_find(&mcf->remotes, &name);

    return remote ? remote
                  : ngx_http_acr_remote_create(cf, &mcf->remotes, &name);
}


static ngx_http_acr_remote_t *
ngx_http_acr_remote_create(ngx_conf_t *cf, ngx_http_acr_remotes_t *remotes,
    ngx_str_t *host)
{
    ngx_http_acr_remote_t  *remote, **place;

    remote = ngx_pcalloc(cf->pool, sizeof(ngx_http_acr_remote_t));
    place = ngx_array_push(&remotes->remotes);

    if (remote == NULL || place == NULL) {
        return NULL;
    }

    *place = remote;

    remote->host = *host;
    remote->https = 1;
    remote->connect = NGX_HTTP_ACR_REMOTE_CONNECT;
    remote->timeout = NGX_HTTP_ACR_REMOTE_TIMEOUT;

    if (host->len == sizeof("docker.io") - 1
        && ngx_strncmp(host->data, "docker.io", host->len) == 0)
    {
        ngx_str_set(&remote->url, "https://registry-1.docker.io");

    } else {
        remote->url.data = ngx_pnalloc(cf->pool,
                                       sizeof("https://") - 1 + host->len);

        if (remote->url.data == NULL) {
            return NULL;
        }

        remote->url.len = ngx_sprintf(remote->url.data, "https://%V", host)
                          - remote->url.data;
    }

    ngx_http_acr_fetch_need(cf);

    return remote;
}


ngx_http_acr_remote_t *
ngx_http_acr_remote_find(ngx_http_acr_remotes_t *remotes, ngx_str_t *host)
{
    ngx_uint_t               i;
    ngx_http_acr_remote_t  **remote;

    remote = remotes->remotes.elts;

    for (i = 0; i < remotes->remotes.nelts; i++) {

        if (remote[i]->host.len == host->len
            && ngx_strncasecmp(remote[i]->host.data, host->data, host->len)
               == 0)
        {
            return remote[i];
        }
    }

    return NULL;
}


static ngx_http_acr_credentials_t *
ngx_http_acr_remote_credentials(ngx_http_acr_remotes_t *remotes,
    ngx_str_t *name)
{
    ngx_uint_t                    i;
    ngx_http_acr_credentials_t  **set;

    set = remotes->sets.elts;

    for (i = 0; i < remotes->sets.nelts; i++) {

        if (set[i]->name.len == name->len
            && ngx_strncmp(set[i]->name.data, name->data, name->len) == 0)
        {
            return set[i];
        }
    }

    return NULL;
}


/* what is shared by the workers is of this configuration */

ngx_int_t
ngx_http_acr_remotes_prepare(ngx_conf_t *cf, ngx_http_acr_remotes_t *remotes)
{
    ngx_uint_t                    i;
    ngx_pool_cleanup_t           *cln;
    ngx_http_acr_remote_t       **remote;
    ngx_http_acr_remote_state_t  *state;

    remote = remotes->remotes.elts;

    for (i = 0; i < remotes->remotes.nelts; i++) {

        if (remote[i]->set.len == 0) {
            continue;
        }

        remote[i]->credentials = ngx_http_acr_remote_credentials(remotes,
                                                            &remote[i]->set);
        if (remote[i]->credentials == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"acr_remote\" \"%V\": there is no "
                          "\"acr_credential_set\" \"%V\"", &remote[i]->host,
                          &remote[i]->set);
            return NGX_ERROR;
        }
    }

    if (remotes->remotes.nelts == 0) {
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (cln == NULL) {
        return NGX_ERROR;
    }

    remotes->shm.size = remotes->remotes.nelts
                        * sizeof(ngx_http_acr_remote_state_t);
    remotes->shm.log = cf->log;
    ngx_str_set(&remotes->shm.name, "acr_remotes");

    if (ngx_shm_alloc(&remotes->shm) != NGX_OK) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_acr_remotes_free;
    cln->data = &remotes->shm;

    state = (ngx_http_acr_remote_state_t *) remotes->shm.addr;

    for (i = 0; i < remotes->remotes.nelts; i++) {
        remote[i]->state = &state[i];
    }

    return NGX_OK;
}


static void
ngx_http_acr_remotes_free(void *data)
{
    ngx_shm_free(data);
}


ngx_int_t
ngx_http_acr_remotes_init(ngx_http_acr_remotes_t *remotes,
    ngx_http_acr_fetch_client_t *client, ngx_cycle_t *cycle)
{
    ngx_uint_t                    i;
    ngx_http_acr_remote_t       **remote;
    ngx_http_acr_credentials_t  **set;

    static ngx_str_t  slow = ngx_string("acr_slow");

    if (remotes->remotes.nelts == 0) {
        return NGX_OK;
    }

    remotes->pool.tp = ngx_thread_pool_get(cycle, &slow);
    remotes->pool.label = NGX_HTTP_ACR_POOL_acr_slow;

    if (remotes->pool.tp == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "acr: there is no thread_pool \"%V\"", &slow);
        return NGX_ERROR;
    }

    set = remotes->sets.elts;

    for (i = 0; i < remotes->sets.nelts; i++) {
        ngx_http_acr_credentials_init(set[i], &remotes->pool, cycle->log);
    }

    remote = remotes->remotes.elts;

    for (i = 0; i < remotes->remotes.nelts; i++) {
        ngx_rbtree_init(&remote[i]->tokens, &remote[i]->sentinel,
                        ngx_str_rbtree_insert_value);
        ngx_queue_init(&remote[i]->order);

        remote[i]->log = cycle->log;
        remote[i]->client = client;
    }

    return NGX_OK;
}


void
ngx_http_acr_remotes_exit(ngx_http_acr_remotes_t *remotes)
{
    ngx_uint_t               i;
    ngx_http_acr_remote_t  **remote;

    remote = remotes->remotes.elts;

    for (i = 0; i < remotes->remotes.nelts; i++) {

        if (remote[i]->client) {
            ngx_http_acr_remote_tokens_exit(remote[i]);
            remote[i]->client = NULL;
        }
    }
}
