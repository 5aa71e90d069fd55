
/*
 * A store that is a cache: what is used is new, what is not goes, and which the
 * oldest are.
 */

#include "ngx_shim.h"
#include "ngx_http_acr_store_oldest.h"



static ngx_http_acr_store_t  *store;


static const char *
blob(const char *content)
{
    return shim_path("docker/registry/v2/blobs/sha256/%.2s/%s/data",
                     shim_hex(shim_digest(content)),
                     shim_hex(shim_digest(content)));
}


/* microseconds, of the one blob that there is; -1: there is none */

static int64_t
used(void)
{
    off_t                        size;
    int64_t                      time;
    acr_digest_t                 digest;
    ngx_http_acr_store_blobs_t  *blobs;

    time = -1;
    blobs = ngx_http_acr_store_blobs_open(store, NULL, &shim_log);

    while (ngx_http_acr_store_blobs_next(blobs, &digest, &size, &shim_log)
           == NGX_OK)
    {
        time = ngx_http_acr_store_blobs_used(blobs);
    }

    ngx_http_acr_store_blobs_close(blobs);

    return time;
}


static void
test_use(void)
{
    int64_t  before;

    is_int(ngx_http_acr_store_use(store, shim_digest("one"), 60, &shim_log),
           NGX_DECLINED, "what is not there cannot be used");

    shim_make(blob("one"), "one");
    shim_age(blob("one"), 50);
    before = used();

    is_int(ngx_http_acr_store_use(store, shim_digest("one"), 60, &shim_log),
           NGX_OK, "a blob is used again soon");
    ok(used() == before, "which is not noted");

    is_int(ngx_http_acr_store_use(store, shim_digest("one"), 40, &shim_log),
           NGX_OK, "and after a while");
    ok(used() > before, "which is");
}


static void
test_evict(void)
{
    int      lock;
    off_t    freed;
    int64_t  time;

    shim_age(blob("one"), 50);
    time = used();

    is_int(ngx_http_acr_store_lock_digest(store, shim_digest("one"), &lock,
                                          &shim_log),
           NGX_OK, "somebody stores it");
    is_int(ngx_http_acr_store_evict(store, shim_digest("one"), time, &freed,
                                    &shim_log),
           NGX_AGAIN, "and it stays");
    ngx_http_acr_store_unlock(&lock, &shim_log);

    is_int(ngx_http_acr_store_evict(store, shim_digest("one"), time - 1,
                                    &freed, &shim_log),
           NGX_DECLINED, "somebody has used it");
    is_int(freed, 0, "nothing is freed");
    ok(shim_exists(blob("one")), "and it stays");

    is_int(ngx_http_acr_store_evict(store, shim_digest("one"), time, &freed,
                                    &shim_log),
           NGX_OK, "nobody has");
    is_int(freed, 3, "so many bytes");
    is_int(shim_count(shim_path("docker/registry/v2/blobs/sha256")), 0,
           "no directory stays");
    is_int(ngx_http_acr_store_evict(store, shim_digest("one"), time, &freed,
                                    &shim_log),
           NGX_DECLINED, "it is gone");
    is_int(shim_lines, 0, "nothing is logged");
}


static void
test_free(void)
{
    uint64_t  bytes;

    bytes = 0;

    is_int(ngx_http_acr_store_free(store, &bytes, &shim_log), NGX_OK,
           "the free space");
    ok(bytes > 0, "is some");

    is_int(rename(shim_path("docker"), shim_path("away")), 0, "no volume");
    is_int(ngx_http_acr_store_free(store, &bytes, &shim_log), ENOENT,
           "has none");
    is_int(shim_lines, 1, "and it is logged");
    is_int(rename(shim_path("away"), shim_path("docker")), 0, "it is back");
}


static void
test_oldest(void)
{
    unsigned                      i, k, n, wrong;
    ngx_http_acr_store_aged_t     elts[7], aged, *next;
    ngx_http_acr_store_oldest_t   oldest;

    oldest.elts = elts;
    oldest.max = 7;

    for (n = 0; n < 40; n++) {
        ngx_http_acr_store_oldest_clear(&oldest);

        /* each number below n once, in an order that has none */

        for (i = 0; i < n; i++) {
            aged.used = (int64_t) ((i * 17 + 5) % 41);
            aged.size = n;
            ngx_http_acr_store_oldest_add(&oldest, &aged);
        }

        ngx_http_acr_store_oldest_sort(&oldest);

        wrong = 0;

        for (k = 0; (next = ngx_http_acr_store_oldest_next(&oldest)); k++) {

            /* as many are older as came before */

            aged.used = 0;

            for (i = 0; i < n; i++) {
                aged.used += ((int64_t) ((i * 17 + 5) % 41) < next->used);
            }

            wrong += (aged.used != (int64_t) k || next->size != (off_t) n);
        }

        ok(!wrong && k == ngx_min(n, 7u) && oldest.more == (n > 7),
           "the oldest of %u", n);
    }
}


int
main(void)
{
    store = shim_store();

    test_use();
    test_evict();
    test_free();
    test_oldest();

    return done();
}
