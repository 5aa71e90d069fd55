
#include "ngx_http_acr_auth_shared.h"


#define NGX_HTTP_ACR_KNOWN_MAX         4096

/* how many times those of an account an address may have */
#define NGX_HTTP_ACR_FAILURES_ADDRESS  10


/* of an address, and of the account from there */

typedef struct {
    ngx_http_acr_auth_t  *auth;
    ngx_uint_t            n;
    u_char                keys[2][NGX_HTTP_ACR_KEY_LEN];
} ngx_http_acr_failures_t;


static ngx_http_acr_credential_t *ngx_http_acr_known_here(
    ngx_http_acr_auth_t *auth, u_char *key);
static void ngx_http_acr_known_keep(ngx_http_acr_auth_t *auth,
    ngx_http_acr_credential_t *credential);
static void ngx_http_acr_known_remove(ngx_http_acr_auth_t *auth,
    ngx_http_acr_credential_t *credential);
static ngx_queue_t *ngx_http_acr_known_bucket(ngx_http_acr_auth_t *auth,
    u_char *key);
static void ngx_http_acr_known_hash(u_char *key, u_char *salt, size_t len,
    ngx_str_t *parts, ngx_uint_t n);
static ngx_uint_t ngx_http_acr_failures(ngx_http_acr_auth_t *auth,
    ngx_http_request_t *r, ngx_str_t *account);
static void ngx_http_acr_failures_key(ngx_http_acr_auth_t *auth,
    ngx_http_request_t *r, ngx_str_t *account, u_char *key);
static void ngx_http_acr_failures_told(void *data,
    ngx_http_acr_meta_reply_t *reply);
static void ngx_http_acr_failures_address(ngx_http_request_t *r,
    ngx_str_t *address);


void
ngx_http_acr_known_key(ngx_http_acr_auth_t *auth, u_char *key,
    ngx_str_t *parts, ngx_uint_t n)
{
    ngx_http_acr_known_hash(key, ngx_http_acr_shared_salt(auth),
                            NGX_HTTP_ACR_SALT_LEN, parts, n);
}


static void
ngx_http_acr_known_hash(u_char *key, u_char *salt, size_t len,
    ngx_str_t *parts, ngx_uint_t n)
{
    ngx_uint_t    i;
    acr_hash_t    hash;
    acr_digest_t  digest;

    acr_hash_init(&hash, acr_algorithm_by_id(ACR_SHA256));
    acr_hash_update(&hash, salt, len);

    for (i = 0; i < n; i++) {
        acr_hash_update(&hash, &parts[i].len, sizeof(size_t));
        acr_hash_update(&hash, parts[i].data, parts[i].len);
    }

    acr_hash_final(&hash, &digest);

    ngx_memcpy(key, digest.hex, NGX_HTTP_ACR_KEY_LEN);
}


ngx_http_acr_credential_t *
ngx_http_acr_known_find(ngx_http_acr_auth_t *auth, u_char *key)
{
    ngx_http_acr_credential_t  *credential;

    credential = ngx_http_acr_known_here(auth, key);

    if (credential == NULL) {
        credential = ngx_http_acr_shared_find(auth, key);

        if (credential) {
            ngx_http_acr_known_keep(auth, credential);
        }
    }

    return credential;
}


static ngx_http_acr_credential_t *
ngx_http_acr_known_here(ngx_http_acr_auth_t *auth, u_char *key)
{
    ngx_queue_t                *q, *bucket;
    ngx_http_acr_credential_t  *credential;

    bucket = ngx_http_acr_known_bucket(auth, key);

    for (q = ngx_queue_head(bucket);
         q != ngx_queue_sentinel(bucket);
         q = ngx_queue_next(q))
    {
        credential = ngx_queue_data(q, ngx_http_acr_credential_t, bucket);

        if (ngx_memcmp(credential->key, key, NGX_HTTP_ACR_KEY_LEN) != 0) {
            continue;
        }

        if (credential->until <= ngx_time()) {
            ngx_http_acr_known_remove(auth, credential);
            return NULL;
        }

        /* a password that is in use is not hashed again, so that it is good
           where others fail, too */

        if (credential->ends == 0) {
            credential->until = ngx_time() + NGX_HTTP_ACR_KNOWN_REMEMBER;
        }

        ngx_queue_remove(&credential->order);
        ngx_queue_insert_head(&auth->order, &credential->order);

        credential->refs++;

        return credential;
    }

    return NULL;
}


void
ngx_http_acr_known_add(ngx_http_acr_auth_t *auth,
    ngx_http_acr_credential_t *credential)
{
    ngx_http_acr_known_keep(auth, credential);
    ngx_http_acr_shared_add(auth, credential);
}


/* in this worker */

static void
ngx_http_acr_known_keep(ngx_http_acr_auth_t *auth,
    ngx_http_acr_credential_t *credential)
{
    ngx_http_acr_credential_t  *same;

    /* two requests may have shown it at once */

    same = ngx_http_acr_known_here(auth, credential->key);

    if (same) {
        ngx_http_acr_credential_release(same);
        ngx_http_acr_known_remove(auth, same);
    }

    if (auth->known == NGX_HTTP_ACR_KNOWN_MAX) {
        ngx_http_acr_known_remove(auth,
                                  ngx_queue_data(ngx_queue_last(&auth->order),
                                                 ngx_http_acr_credential_t,
                                                 order));
    }

    ngx_queue_insert_head(&auth->order, &credential->order);
    ngx_queue_insert_head(ngx_http_acr_known_bucket(auth, credential->key),
                          &credential->bucket);

    auth->known++;
    credential->refs++;
}


static void
ngx_http_acr_known_remove(ngx_http_acr_auth_t *auth,
    ngx_http_acr_credential_t *credential)
{
    ngx_queue_remove(&credential->order);
    ngx_queue_remove(&credential->bucket);

    auth->known--;

    ngx_http_acr_credential_release(credential);
}


static ngx_queue_t *
ngx_http_acr_known_bucket(ngx_http_acr_auth_t *auth, u_char *key)
{
    return &auth->buckets[ngx_murmur_hash2(key, NGX_HTTP_ACR_KEY_LEN)
                          % NGX_HTTP_ACR_AUTH_BUCKETS];
}


void
ngx_http_acr_credential_release(ngx_http_acr_credential_t *credential)
{
    if (credential->pool && --credential->refs == 0) {
        ngx_destroy_pool(credential->pool);
    }
}


/*
 * Failures are counted for an address, behind which there may be many, and for
 * an account from there.  Were they counted for an account from wherever,
 * anybody could shut out whoever they can name, while passwords are too long to
 * be guessed.
 */

ngx_uint_t
ngx_http_acr_failing(ngx_http_acr_auth_t *auth, ngx_http_request_t *r,
    ngx_str_t *account)
{
    ngx_str_t            anyone;
    ngx_uint_t           max;
    ngx_http_acr_ctx_t  *ctx;

    ctx = ngx_http_acr_get_ctx(r);
    max = ctx->conf->auth.failures;

    if (max == 0) {
        return 0;
    }

    ngx_str_null(&anyone);

    return ngx_http_acr_failures(auth, r, &anyone)
           / NGX_HTTP_ACR_FAILURES_ADDRESS >= max
           || (account->len
               && ngx_http_acr_failures(auth, r, account) >= max);
}


/* without Redis, or memory, the nodes count each for itself */

void
ngx_http_acr_failed(ngx_http_acr_auth_t *auth, ngx_http_request_t *r,
    ngx_str_t *account)
{
    ngx_str_t                anyone, args[2];
    ngx_uint_t               i;
    ngx_http_acr_failures_t  failures, *told;

    ngx_str_null(&anyone);

    failures.auth = auth;
    failures.n = account->len ? 2 : 1;

    ngx_http_acr_failures_key(auth, r, &anyone, failures.keys[0]);
    ngx_http_acr_failures_key(auth, r, account, failures.keys[1]);

    for (i = 0; i < failures.n; i++) {
        (void) ngx_http_acr_shared_failures(auth, failures.keys[i], 1);

        args[i].data = failures.keys[i];
        args[i].len = NGX_HTTP_ACR_KEY_LEN;
    }

    /* an edge node is alone */

    if (auth->registry->meta == NULL) {
        return;
    }

    told = ngx_alloc(sizeof(ngx_http_acr_failures_t), r->connection->log);

    if (told == NULL) {
        return;
    }

    *told = failures;

    if (ngx_http_acr_meta_call(auth->registry->meta, ACR_SCRIPT_LOGIN_FAILED,
                               args, told->n, ngx_http_acr_failures_told,
                               told)
        != NGX_OK)
    {
        ngx_free(told);
    }
}


static void
ngx_http_acr_failures_told(void *data, ngx_http_acr_meta_reply_t *reply)
{
    ngx_http_acr_failures_t *failures = data;

    ngx_int_t   n;
    ngx_uint_t  i;

    if (reply->status == NGX_HTTP_ACR_META_OK && reply->n == failures->n) {

        for (i = 0; i < failures->n; i++) {
            n = ngx_atoi(reply->v[i].data, reply->v[i].len);

            if (n != NGX_ERROR) {
                ngx_http_acr_shared_failures_raise(failures->auth,
                                                   failures->keys[i], n);
            }
        }
    }

    ngx_free(failures);
}


/* how many there were lately */

static ngx_uint_t
ngx_http_acr_failures(ngx_http_acr_auth_t *auth, ngx_http_request_t *r,
    ngx_str_t *account)
{
    u_char  key[NGX_HTTP_ACR_KEY_LEN];

    ngx_http_acr_failures_key(auth, r, account, key);

    return ngx_http_acr_shared_failures(auth, key, 0);
}


/*
 * The same at all nodes.  Keys go to Redis, and people type passwords where the
 * name should be: the secret keeps them from being guessed there.
 */

static void
ngx_http_acr_failures_key(ngx_http_acr_auth_t *auth, ngx_http_request_t *r,
    ngx_str_t *account, u_char *key)
{
    ngx_str_t  parts[2];

    ngx_http_acr_failures_address(r, &parts[0]);
    parts[1] = *account;

    ngx_http_acr_known_hash(key, auth->secret, ACR_JWT_SECRET, parts, 2);
}


/* of IPv6 the network: who has one of these addresses has 2^64 of them */

static void
ngx_http_acr_failures_address(ngx_http_request_t *r, ngx_str_t *address)
{
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;

    if (r->connection->sockaddr->sa_family == AF_INET6) {
        sin6 = (struct sockaddr_in6 *) r->connection->sockaddr;

        if (!IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)) {
            address->data = sin6->sin6_addr.s6_addr;
            address->len = 8;
            return;
        }
    }
#endif

    *address = r->connection->addr_text;
}
