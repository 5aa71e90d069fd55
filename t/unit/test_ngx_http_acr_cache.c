/*
 * The cache in shared memory: what is found is what was put last and has not
 * changed since, whatever else happens, also to a worker that is killed.
 */

#include "ngx_http_acr_cache.h"
#include "tap.h"

#include <setjmp.h>


#define REPOSITORIES  5
#define NAMES         40
#define VALUE_MAX     3000

typedef struct {
    int                    known;
    uint64_t               stamp;
    uint64_t               changed;
    size_t                 len;
    unsigned               seed;
} model_t;


static ngx_shmtx_t           mutex;
static ngx_http_acr_cache_t *cache;
static u_char               *memory;
static int                   barriers;      /* killed at the last of them */
static jmp_buf               killed;
static int                   narrow;        /* names share their hashes */

static const size_t          size = NGX_HTTP_ACR_CACHE_MIN;


void
ngx_shmtx_lock(ngx_shmtx_t *mtx)
{
    if (mtx->locked++) {
        printf("Bail out!  locked twice\n");
        exit(1);
    }
}


void
ngx_shmtx_unlock(ngx_shmtx_t *mtx)
{
    mtx->locked--;
}


uint32_t
ngx_murmur_hash2(u_char *data, size_t len)
{
    uint32_t  h;

    for (h = 2166136261u; len; len--) {
        h = (h ^ *data++) * 16777619u;
    }

    return narrow ? h % 3 : h;
}


void
shim_barrier(void)
{
    if (barriers && --barriers == 0) {
        longjmp(killed, 1);
    }
}


static void
begin(void)
{
    memset(memory, 0xee, size);
    mutex.locked = 0;
    cache = ngx_http_acr_cache_init(memory, size, &mutex);
}


static ngx_str_t *
str(const char *s)
{
    static ngx_str_t  strs[4];
    static int        n;

    n = (n + 1) % 4;
    strs[n].data = (u_char *) s;
    strs[n].len = strlen(s);

    return &strs[n];
}


static void
put(int kind, const char *repository, const char *name, uint64_t stamp,
    const char *value)
{
    ngx_http_acr_cache_put(cache, kind, str(repository), str(name), stamp,
                           (u_char *) value, strlen(value));
}


/* "": nothing */

static const char *
get(int kind, const char *repository, const char *name)
{
    ssize_t      n;
    static char  buf[VALUE_MAX + 1];

    n = ngx_http_acr_cache_get(cache, kind, str(repository), str(name),
                               (u_char *) buf, VALUE_MAX);
    buf[n < 0 ? 0 : n] = '\0';

    return buf;
}


#define is_str(got, want, name)  ok(strcmp(got, want) == 0, "%s: %s", name, got)


static void
test_names(void)
{
    uint64_t  s;

    begin();

    is_str(get(1, "a", "x"), "", "nothing at first");

    put(1, "a", "x", 0, "one");
    is_str(get(1, "a", "x"), "one", "what was put");
    is_str(get(1, "ax", ""), "", "where a name ends matters");
    is_str(get(2, "a", "x"), "", "another kind");
    is_str(get(1, "b", "x"), "", "another repository");
    is_str(get(1, "a", "y"), "", "another name");

    put(1 | 7 << 8, "a", "x", 0, "another one's");
    is_str(get(1, "a", "x"), "one", "of another registry");
    is_str(get(1 | 7 << 8, "a", "x"), "another one's", "who has its own");

    put(2, "a", "x", 0, "kind");
    put(1, "a", "x", 0, "two");
    is_str(get(1, "a", "x"), "two", "the last one");
    is_str(get(2, "a", "x"), "kind", "both kinds");

    is_int(ngx_http_acr_cache_get(cache, 1, str("a"), str("x"), NULL, 3), 3,
           "its length");
    is_int(ngx_http_acr_cache_get(cache, 1, str("a"), str("x"), NULL, 2),
           NGX_DECLINED, "no room for it");

    s = ngx_http_acr_cache_stamp(cache);
    ngx_http_acr_cache_changed(cache, str("a"), str("x"));
    is_str(get(1, "a", "x"), "", "it has changed");
    put(1, "a", "x", s, "late");
    is_str(get(1, "a", "x"), "", "what was told before that");
    put(1, "a", "x", ngx_http_acr_cache_stamp(cache), "new");
    is_str(get(1, "a", "x"), "new", "what was told after that");
    put(1, "a", "x", 0, "older");
    is_str(get(1, "a", "x"), "new", "nobody who was told before has a say");

    s = ngx_http_acr_cache_stamp(cache);
    put(1, "a", "y", s, "y");
    put(1, "b", "x", s, "b");
    put(4, "", "d", s, "content");
    ngx_http_acr_cache_changed(cache, str("a"), str(""));
    is_str(get(1, "a", "x"), "", "the repository has changed");
    is_str(get(1, "a", "y"), "", "all of it");
    is_str(get(1, "b", "x"), "b", "but no other");
    is_str(get(4, "", "d"), "content", "and no content");

    ngx_http_acr_cache_changed(cache, str("b"), str("y"));
    is_str(get(1, "b", "x"), "b", "another name changes");
    ngx_http_acr_cache_changed(cache, str("b"), str("d"));
    is_str(get(4, "", "d"), "content", "or the digest in a repository");

    ngx_http_acr_cache_changed(cache, str(""), str(""));
    is_str(get(1, "b", "x"), "", "everything has changed");
    is_str(get(4, "", "d"), "", "contents too");
}


static void
test_sizes(void)
{
    size_t     n;
    ngx_str_t  name;
    u_char    *large;

    begin();

    large = calloc(1, size);

    ngx_http_acr_cache_put(cache, 4, str(""), str("large"), 0, large, size);
    is_int(ngx_http_acr_cache_get(cache, 4, str(""), str("large"), NULL, size),
           NGX_DECLINED, "a value that is too large");

    for (n = size; n > 0; n /= 2) {
        ngx_http_acr_cache_put(cache, 4, str(""), str("large"), 0, large, n);

        if (ngx_http_acr_cache_get(cache, 4, str(""), str("large"), NULL, size)
            > 0)
        {
            break;
        }
    }

    ok(n > 8192 && n < size / 8, "the largest one has about %d bytes", (int) n);

    name.data = large;
    name.len = 0x10000;
    ngx_http_acr_cache_put(cache, 1, str("a"), &name, 0, large, 1);
    is_int(ngx_http_acr_cache_get(cache, 1, str("a"), &name, NULL, 1),
           NGX_DECLINED, "a name that is too long");

    ngx_http_acr_cache_put(cache, 1, str("a"), str("empty"), 0, NULL, 0);
    is_int(ngx_http_acr_cache_get(cache, 1, str("a"), str("empty"), NULL, 0),
           0, "an empty value");

    free(large);
}


/* what is in use stays, what is not makes room */

static void
test_ring(void)
{
    int          i, found, lost;
    char         name[32];
    const char  *some;

    begin();

    some = "a value of about as many bytes as the digest of a manifest has";

    put(1, "a", "hot", 0, "hot");

    lost = 0;

    for (i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "cold%d", i);
        put(1, "a", name, 0, some);

        if (strcmp(get(1, "a", "hot"), "hot") != 0) {
            lost++;
            put(1, "a", "hot", 0, "hot");
        }
    }

    /* others that share its places may push it out */

    ok(lost < 20, "what is in use stays, but for %d times", lost);

    found = 0;

    for (i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "cold%d", i);
        found += (get(1, "a", name)[0] != '\0');
    }

    ok(found > 500 && found < 4000, "of the others the last %d", found);

    snprintf(name, sizeof(name), "cold%d", 19999);
    is_str(get(1, "a", name), some, "the last one");
}


static void
fill(char *buf, model_t *m)
{
    size_t  i;

    for (i = 0; i < m->len; i++) {
        buf[i] = (char) (m->seed + i * 7);
    }
}


/* against a model, with kills between what is done under the lock */

static void
test_random(int steps, int kills)
{
    int             i, r, n, kind, wrong, hits;
    char            repository[8], name[16];
    ssize_t         got;
    model_t        *m;
    uint64_t        stamp;
    static model_t  models[2][REPOSITORIES][NAMES];
    static char     buf[VALUE_MAX], want[VALUE_MAX];

    begin();
    memset(models, 0, sizeof(models));

    wrong = 0;
    hits = 0;

    for (i = 0; i < steps; i++) {
        kind = rand() % 2;
        r = rand() % REPOSITORIES;
        n = rand() % NAMES;
        m = &models[kind][r][n];

        snprintf(repository, sizeof(repository), "r%d", r);
        snprintf(name, sizeof(name), "n%d", n);

        if (kills && rand() % 10 == 0) {
            barriers = 1 + rand() % 2;
        }

        if (setjmp(killed)) {

            /* the master gives the lock back; what was under way may be there
               or not, but whole: its model says what it would be */

            mutex.locked = 0;
            continue;
        }

        switch (rand() % 8) {

        case 0:
            ngx_http_acr_cache_changed(cache, str(repository), str(name));

            stamp = ngx_http_acr_cache_stamp(cache);
            models[0][r][n].changed = stamp;
            models[1][r][n].changed = stamp;
            break;

        case 1:
        case 2:
            m->len = rand() % (rand() % 4 ? 100 : VALUE_MAX);
            m->seed = rand();
            m->stamp = ngx_http_acr_cache_stamp(cache);
            m->known = 1;
            fill(buf, m);
            ngx_http_acr_cache_put(cache, 1 + kind, str(repository), str(name),
                                   m->stamp, (u_char *) buf, m->len);
            break;

        default:
            got = ngx_http_acr_cache_get(cache, 1 + kind, str(repository),
                                         str(name), (u_char *) buf, VALUE_MAX);
            if (got < 0) {
                break;
            }

            hits++;
            fill(want, m);

            /* one that a kill has kept from being put leaves what was before */

            if (!m->known || m->stamp < m->changed
                || (!kills && ((size_t) got != m->len
                               || memcmp(buf, want, got) != 0)))
            {
                wrong++;
            }

            while (--got > 0) {
                if ((char) (buf[got] - buf[got - 1]) != 7) {
                    wrong++;
                    break;
                }
            }
        }

        barriers = 0;
    }

    barriers = 0;

    is_int(wrong, 0, "%d steps%s%s", steps, kills ? " with kills" : "",
           narrow ? ", few hashes" : "");
    ok(hits > (narrow ? 100 : steps / 20), "%d were found", hits);
}


int
main(void)
{
    memory = aligned_alloc(4096, size);

    test_names();
    test_sizes();
    test_ring();

    srand(1);
    test_random(200000, 0);
    test_random(200000, 1);

    narrow = 1;
    test_random(50000, 0);
    test_random(50000, 1);

    free(memory);

    return done();
}
