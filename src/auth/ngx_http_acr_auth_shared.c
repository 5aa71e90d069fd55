
#include "ngx_http_acr_auth_shared.h"

#include <openssl/rand.h>


#define NGX_HTTP_ACR_SHARED_FAILURES  1024
#define NGX_HTTP_ACR_SHARED_PERIOD    60     /* seconds */

/* of a credential; names of users and groups have 128 bytes at most */
#define NGX_HTTP_ACR_SHARED_DATA      936

/* a credential is looked for in so many places */
#define NGX_HTTP_ACR_SHARED_WAYS      4

/* of the zone, and in places */
#define NGX_HTTP_ACR_SHARED_PART      16
#define NGX_HTTP_ACR_SHARED_MAX       4096


typedef struct {
    time_t       until;                  /* 0: there is nothing */
    u_char       key[NGX_HTTP_ACR_KEY_LEN];
    size_t       len;
    u_char       data[NGX_HTTP_ACR_SHARED_DATA];
} ngx_http_acr_shared_place_t;


typedef struct {
    ngx_uint_t   count;
    time_t       until;
    u_char       key[NGX_HTTP_ACR_KEY_LEN];
} ngx_http_acr_shared_failures_t;


struct ngx_http_acr_shared_s {
    u_char                           salt[NGX_HTTP_ACR_SALT_LEN];
    ngx_http_acr_shared_failures_t   failures[NGX_HTTP_ACR_SHARED_FAILURES];
    ngx_uint_t                       n;  /* places; 0: only for one worker */
    ngx_http_acr_shared_place_t      places[1];
};


/* what a credential is, as bytes */

typedef struct {
    u_char      *p;
    u_char      *last;
    unsigned     bad:1;                  /* no room, or not enough */
} ngx_http_acr_shared_text_t;


static ngx_int_t ngx_http_acr_shared_create(ngx_http_acr_auth_t *auth,
    ngx_cycle_t *cycle);
static ngx_int_t ngx_http_acr_shared_init(ngx_http_acr_shared_t *shared,
    ngx_uint_t n, ngx_log_t *log);
static ngx_http_acr_shared_failures_t *ngx_http_acr_shared_failures_of(
    ngx_http_acr_auth_t *auth, u_char *key);
static ngx_http_acr_shared_place_t *ngx_http_acr_shared_places(
    ngx_http_acr_shared_t *shared, u_char *key);
static void ngx_http_acr_shared_lock(ngx_http_acr_auth_t *auth);
static void ngx_http_acr_shared_unlock(ngx_http_acr_auth_t *auth);
static size_t ngx_http_acr_shared_write(u_char *buf,
    ngx_http_acr_credential_t *credential);
static ngx_http_acr_credential_t *ngx_http_acr_shared_read(u_char *buf,
    size_t n);
static void ngx_http_acr_shared_put(ngx_http_acr_shared_text_t *text,
    const void *p, size_t n);
static void ngx_http_acr_shared_get(ngx_http_acr_shared_text_t *text,
    void *p, size_t n);
static void ngx_http_acr_shared_put_text(ngx_http_acr_shared_text_t *text,
    acr_text_t *s);
static void ngx_http_acr_shared_get_text(ngx_http_acr_shared_text_t *text,
    acr_text_t *s);


ngx_int_t
ngx_http_acr_shared_start(ngx_http_acr_auth_t *auth, ngx_cycle_t *cycle)
{
    size_t                 size;
    ngx_int_t              rc;
    ngx_uint_t             n;
    ngx_http_acr_zone_t   *zone;

    zone = auth->registry->zone;

    if (zone == NULL || zone->shpool == NULL) {
        return ngx_http_acr_shared_create(auth, cycle);
    }

    n = zone->size / NGX_HTTP_ACR_SHARED_PART
        / sizeof(ngx_http_acr_shared_place_t);
    n = ngx_min(n, NGX_HTTP_ACR_SHARED_MAX);
    n -= n % NGX_HTTP_ACR_SHARED_WAYS;

    size = sizeof(ngx_http_acr_shared_t)
           + n * sizeof(ngx_http_acr_shared_place_t);

    rc = NGX_OK;

    ngx_shmtx_lock(&zone->shpool->mutex);

    auth->shared = *zone->credentials;

    if (auth->shared == NULL) {
        auth->shared = ngx_slab_calloc_locked(zone->shpool, size);

        if (auth->shared) {
            rc = ngx_http_acr_shared_init(auth->shared, n, cycle->log);
        }

        /* the others find it only when it is ready */

        if (auth->shared && rc == NGX_OK) {
            *zone->credentials = auth->shared;
        }
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (auth->shared == NULL) {
        ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                      "acr: \"acr_zone\" \"%V\" has no room for credentials: "
                      "each worker verifies them for itself", &zone->name);

        return ngx_http_acr_shared_create(auth, cycle);
    }

    if (rc == NGX_OK) {
        auth->shpool = zone->shpool;
    }

    return rc;
}


/* of this worker alone */

static ngx_int_t
ngx_http_acr_shared_create(ngx_http_acr_auth_t *auth, ngx_cycle_t *cycle)
{
    auth->shared = ngx_pcalloc(cycle->pool, sizeof(ngx_http_acr_shared_t));

    if (auth->shared == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_acr_shared_init(auth->shared, 0, cycle->log);
}


static ngx_int_t
ngx_http_acr_shared_init(ngx_http_acr_shared_t *shared, ngx_uint_t n,
    ngx_log_t *log)
{
    if (RAND_bytes(shared->salt, sizeof(shared->salt)) != 1) {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "acr: RAND_bytes() failed");
        return NGX_ERROR;
    }

    shared->n = n;

    return NGX_OK;
}


u_char *
ngx_http_acr_shared_salt(ngx_http_acr_auth_t *auth)
{
    return auth->shared->salt;
}


ngx_http_acr_credential_t *
ngx_http_acr_shared_find(ngx_http_acr_auth_t *auth, u_char *key)
{
    time_t                        until;
    size_t                        len;
    ngx_uint_t                    i;
    ngx_http_acr_credential_t    *credential;
    ngx_http_acr_shared_place_t  *place;
    u_char                        data[NGX_HTTP_ACR_SHARED_DATA];

    if (auth->shared->n == 0) {
        return NULL;
    }

    len = 0;
    until = 0;
    place = ngx_http_acr_shared_places(auth->shared, key);

    ngx_http_acr_shared_lock(auth);

    for (i = 0; i < NGX_HTTP_ACR_SHARED_WAYS; i++) {

        if (place[i].until > ngx_time()
            && ngx_memcmp(place[i].key, key, NGX_HTTP_ACR_KEY_LEN) == 0)
        {
            until = place[i].until;
            len = ngx_min(place[i].len, NGX_HTTP_ACR_SHARED_DATA);
            ngx_memcpy(data, place[i].data, len);
            break;
        }
    }

    ngx_http_acr_shared_unlock(auth);

    if (until == 0) {
        return NULL;
    }

    credential = ngx_http_acr_shared_read(data, len);

    if (credential) {
        credential->until = until;
        ngx_memcpy(credential->key, key, NGX_HTTP_ACR_KEY_LEN);
    }

    return credential;
}


void
ngx_http_acr_shared_add(ngx_http_acr_auth_t *auth,
    ngx_http_acr_credential_t *credential)
{
    size_t                        len;
    ngx_uint_t                    i;
    ngx_http_acr_shared_place_t  *place, *best;
    u_char                        data[NGX_HTTP_ACR_SHARED_DATA];

    /* tokens of nobody in particular cost nothing to get, any number of them */

    if (auth->shared->n == 0
        || credential->principal.kind == ACR_PRINCIPAL_ANONYMOUS)
    {
        return;
    }

    len = ngx_http_acr_shared_write(data, credential);

    if (len == 0) {
        return;
    }

    place = ngx_http_acr_shared_places(auth->shared, credential->key);

    ngx_http_acr_shared_lock(auth);

    /* the same, or that which ends first: an empty one ends with 0 */

    best = place;

    for (i = 0; i < NGX_HTTP_ACR_SHARED_WAYS; i++) {

        if (ngx_memcmp(place[i].key, credential->key, NGX_HTTP_ACR_KEY_LEN)
            == 0)
        {
            best = &place[i];
            break;
        }

        if (place[i].until < best->until) {
            best = &place[i];
        }
    }

    best->until = 0;

    ngx_memory_barrier();

    ngx_memcpy(best->key, credential->key, NGX_HTTP_ACR_KEY_LEN);
    ngx_memcpy(best->data, data, len);
    best->len = len;

    ngx_memory_barrier();

    best->until = credential->until;

    ngx_http_acr_shared_unlock(auth);
}


/*
 * A place of the table is of one key.  Who comes to a place of another takes
 * one off its count, and has the place when nothing is left: so nobody is taken
 * for another, and those who fail most are known.
 */

ngx_uint_t
ngx_http_acr_shared_failures(ngx_http_acr_auth_t *auth, u_char *key,
    ngx_uint_t count)
{
    ngx_uint_t                       n;
    ngx_http_acr_shared_failures_t  *f;

    f = ngx_http_acr_shared_failures_of(auth, key);

    ngx_http_acr_shared_lock(auth);

    if (f->until <= ngx_time()) {
        f->count = 0;
    }

    if (f->count && ngx_memcmp(f->key, key, NGX_HTTP_ACR_KEY_LEN) != 0) {
        f->count -= count;
        n = 0;

    } else {

        if (count && f->count == 0) {
            ngx_memcpy(f->key, key, NGX_HTTP_ACR_KEY_LEN);
            f->until = ngx_time() + NGX_HTTP_ACR_SHARED_PERIOD;
        }

        f->count += count;
        n = f->count;
    }

    ngx_http_acr_shared_unlock(auth);

    return n;
}


/* who has lost the place since then is not known any more */

void
ngx_http_acr_shared_failures_raise(ngx_http_acr_auth_t *auth, u_char *key,
    ngx_uint_t n)
{
    ngx_http_acr_shared_failures_t  *f;

    f = ngx_http_acr_shared_failures_of(auth, key);

    ngx_http_acr_shared_lock(auth);

    if (f->until > ngx_time() && f->count && f->count < n
        && ngx_memcmp(f->key, key, NGX_HTTP_ACR_KEY_LEN) == 0)
    {
        f->count = n;
    }

    ngx_http_acr_shared_unlock(auth);
}


static ngx_http_acr_shared_failures_t *
ngx_http_acr_shared_failures_of(ngx_http_acr_auth_t *auth, u_char *key)
{
    return &auth->shared->failures[ngx_murmur_hash2(key, NGX_HTTP_ACR_KEY_LEN)
                                   % NGX_HTTP_ACR_SHARED_FAILURES];
}


static ngx_http_acr_shared_place_t *
ngx_http_acr_shared_places(ngx_http_acr_shared_t *shared, u_char *key)
{
    ngx_uint_t  set;

    set = ngx_murmur_hash2(key, NGX_HTTP_ACR_KEY_LEN)
          % (shared->n / NGX_HTTP_ACR_SHARED_WAYS);

    return &shared->places[set * NGX_HTTP_ACR_SHARED_WAYS];
}


static void
ngx_http_acr_shared_lock(ngx_http_acr_auth_t *auth)
{
    if (auth->shpool) {
        ngx_shmtx_lock(&auth->shpool->mutex);
    }
}


static void
ngx_http_acr_shared_unlock(ngx_http_acr_auth_t *auth)
{
    if (auth->shpool) {
        ngx_shmtx_unlock(&auth->shpool->mutex);
    }
}


/* --- a credential as bytes, of this machine and this version */

/* returns the length; 0: there is no room */

static size_t
ngx_http_acr_shared_write(u_char *buf, ngx_http_acr_credential_t *credential)
{
    u_char                       kind, flags, may;
    uint16_t                     n;
    ngx_uint_t                   i;
    acr_text_t                   password;
    acr_principal_t             *principal;
    ngx_http_acr_shared_text_t   text;

    text.p = buf;
    text.last = buf + NGX_HTTP_ACR_SHARED_DATA;
    text.bad = 0;

    principal = &credential->principal;

    kind = (u_char) principal->kind;
    flags = credential->narrowed | credential->bearer << 1
            | credential->registry;

    ngx_http_acr_shared_put(&text, &kind, sizeof(kind));
    ngx_http_acr_shared_put(&text, &flags, sizeof(flags));
    ngx_http_acr_shared_put(&text, &credential->ends, sizeof(time_t));
    ngx_http_acr_shared_put_text(&text, &principal->name);

    /* no password is the empty one: none has an empty id */

    password.data = (const u_char *) principal->password;
    password.len = principal->password ? ngx_strlen(principal->password) : 0;
    ngx_http_acr_shared_put_text(&text, &password);

    n = (uint16_t) principal->ngroups;
    ngx_http_acr_shared_put(&text, &n, sizeof(n));

    for (i = 0; i < principal->ngroups; i++) {
        ngx_http_acr_shared_put_text(&text, &principal->groups[i]);
    }

    if (credential->nscopes > 0xffff) {
        return 0;
    }

    n = (uint16_t) credential->nscopes;
    ngx_http_acr_shared_put(&text, &n, sizeof(n));

    for (i = 0; i < credential->nscopes; i++) {
        may = (u_char) credential->scopes[i].may;
        ngx_http_acr_shared_put(&text, &may, sizeof(may));
        ngx_http_acr_shared_put_text(&text, &credential->scopes[i].name);
    }

    return text.bad ? 0 : (size_t) (text.p - buf);
}


static ngx_http_acr_credential_t *
ngx_http_acr_shared_read(u_char *buf, size_t len)
{
    u_char                       kind, flags, may, *p;
    time_t                       ends;
    uint16_t                     n;
    ngx_uint_t                   i;
    acr_text_t                   password, name;
    acr_scope_t                 *scopes;
    acr_principal_t              principal;
    ngx_http_acr_credential_t   *credential;
    ngx_http_acr_shared_text_t   text;
    char                         id[ACR_ACCESS_ID_LEN + 1];

    text.p = buf;
    text.last = buf + len;
    text.bad = 0;

    ngx_memzero(&principal, sizeof(acr_principal_t));

    ngx_http_acr_shared_get(&text, &kind, sizeof(kind));
    ngx_http_acr_shared_get(&text, &flags, sizeof(flags));
    ngx_http_acr_shared_get(&text, &ends, sizeof(time_t));
    ngx_http_acr_shared_get_text(&text, &principal.name);
    ngx_http_acr_shared_get_text(&text, &password);
    ngx_http_acr_shared_get(&text, &n, sizeof(n));

    if (text.bad || n > ACR_ACCESS_GROUPS_MAX
        || password.len > ACR_ACCESS_ID_LEN)
    {
        return NULL;
    }

    principal.kind = kind;
    principal.ngroups = n;

    if (password.len) {
        ngx_memcpy(id, password.data, password.len);
        id[password.len] = '\0';
        principal.password = id;
    }

    for (i = 0; i < principal.ngroups; i++) {
        ngx_http_acr_shared_get_text(&text, &principal.groups[i]);
    }

    ngx_http_acr_shared_get(&text, &n, sizeof(n));

    if (text.bad) {
        return NULL;
    }

    credential = ngx_http_acr_credential_create(&principal);

    if (credential == NULL) {
        return NULL;
    }

    credential->narrowed = flags & 1;
    credential->bearer = flags >> 1 & 1;
    credential->registry = flags & ACR_MAY_REGISTRY;
    credential->ends = ends;

    scopes = ngx_pcalloc(credential->pool, (n + 1) * sizeof(acr_scope_t));

    if (scopes == NULL) {
        goto failed;
    }

    for (i = 0; i < n; i++) {
        ngx_http_acr_shared_get(&text, &may, sizeof(may));
        ngx_http_acr_shared_get_text(&text, &name);

        if (text.bad) {
            goto failed;
        }

        p = ngx_pnalloc(credential->pool, name.len + 1);

        if (p == NULL) {
            goto failed;
        }

        ngx_memcpy(p, name.data, name.len);

        scopes[i].may = may;
        scopes[i].name.data = p;
        scopes[i].name.len = name.len;
    }

    credential->scopes = scopes;
    credential->nscopes = n;

    return credential;

failed:

    ngx_http_acr_credential_release(credential);

    return NULL;
}


static void
ngx_http_acr_shared_put(ngx_http_acr_shared_text_t *text, const void *p,
    size_t n)
{
    if (text->bad || n > (size_t) (text->last - text->p)) {
        text->bad = 1;
        return;
    }

    if (n) {
        text->p = ngx_cpymem(text->p, p, n);
    }
}


static void
ngx_http_acr_shared_get(ngx_http_acr_shared_text_t *text, void *p, size_t n)
{
    if (text->bad || n > (size_t) (text->last - text->p)) {
        text->bad = 1;
        ngx_memzero(p, n);
        return;
    }

    ngx_memcpy(p, text->p, n);
    text->p += n;
}


static void
ngx_http_acr_shared_put_text(ngx_http_acr_shared_text_t *text, acr_text_t *s)
{
    uint16_t  n;

    if (s->len > NGX_HTTP_ACR_SHARED_DATA) {
        text->bad = 1;
        return;
    }

    n = (uint16_t) s->len;

    ngx_http_acr_shared_put(text, &n, sizeof(n));
    ngx_http_acr_shared_put(text, s->data, n);
}


/* points into the bytes */

static void
ngx_http_acr_shared_get_text(ngx_http_acr_shared_text_t *text, acr_text_t *s)
{
    uint16_t  n;

    ngx_http_acr_shared_get(text, &n, sizeof(n));

    s->data = text->p;
    s->len = 0;

    if (text->bad || n > (size_t) (text->last - text->p)) {
        text->bad = 1;
        return;
    }

    s->len = n;
    text->p += n;
}
