
/*
 * Content that is fetched: what is noted of it, and goes on from there.
 */

#include "ngx_shim.h"


#define CONTENT  "content that comes from elsewhere"


static ngx_http_acr_store_t       *store;
static ngx_http_acr_store_fill_t   fill;


static const char *
file(const char *tail)
{
    return shim_path("acr/fills/%.*s.0000abcd.sha256-%s%s",
                     (int) store->node.len, (char *) store->node.data,
                     shim_hex(&fill.digest), tail);
}


/* as a worker that begins, or goes on */

static ngx_int_t
begin(void)
{
    ngx_memset(&fill, 0x55, sizeof(fill));
    fill.digest = *shim_digest(CONTENT);
    fill.source = 0xabcd;

    return ngx_http_acr_store_fill_open(store, &fill, &shim_log);
}


/* appends to the file, up to that offset */

static void
append(off_t end)
{
    acr_hash_update(&fill.hash, CONTENT + fill.offset, end - fill.offset);

    ok(pwrite(fill.fd, CONTENT + fill.offset, end - fill.offset, fill.offset)
       == end - fill.offset, "up to %d is written", (int) end);

    fill.offset = end;
}


static void
end(void)
{
    (void) close(fill.fd);
}


static void
test_resumed(void)
{
    is_int(begin(), NGX_OK, "a fill begins");
    is_int(fill.offset, 0, "with nothing");
    is_int(fill.size, -1, "of unknown size");
    is_int(fill.etag_len, 0, "without an ETag");

    append(10);

    fill.size = sizeof(CONTENT) - 1;
    fill.etag_len = 5;
    ngx_memcpy(fill.etag, "\"a\\b\"", 5);

    shim_trace();
    is_int(ngx_http_acr_store_fill_save(store, &fill, &shim_log), NGX_OK,
           "it is saved");
    ok(shim_syncs() >= 2, "data and state are synced");

    append(20);
    end();

    is_int(begin(), NGX_OK, "it goes on");
    is_int(fill.offset, 10, "where it was saved");
    is_int(fill.size, sizeof(CONTENT) - 1, "the size is known");
    ok(fill.etag_len == 5 && ngx_memcmp(fill.etag, "\"a\\b\"", 5) == 0,
       "and the ETag");

    append(sizeof(CONTENT) - 1);
}


static void
test_commit(void)
{
    int           fd;
    char          buf[64];
    acr_digest_t  digest;

    acr_hash_final(&fill.hash, &digest);
    ok(acr_digest_equal(&digest, &fill.digest), "the hash went on, too");

    is_int(ngx_http_acr_store_fill_read(store, &fill.digest, fill.source,
                                        &fd, &shim_log),
           NGX_OK, "others read it meanwhile");

    ok(ftruncate(fill.fd, 100) == 0, "an origin before had sent more");

    is_int(ngx_http_acr_store_fill_commit(store, &fill, &shim_log), NGX_OK,
           "it becomes the blob");

    ok(shim_is(shim_path("docker/registry/v2/blobs/sha256/%.2s/%s/data",
                         shim_hex(&fill.digest), shim_hex(&fill.digest)),
               CONTENT), "whole");
    is_int(shim_count(shim_path("acr/fills")), 0, "nothing else stays");

    is_int(pread(fd, buf, sizeof(buf), 0), sizeof(CONTENT) - 1,
           "who has it open reads on");

    (void) close(fd);
    end();

    is_int(ngx_http_acr_store_fill_read(store, &fill.digest, fill.source,
                                        &fd, &shim_log),
           NGX_DECLINED, "it is no fill any more");

    is_int(begin(), NGX_DONE, "there is nothing to be fetched");
    is_int(fill.size, sizeof(CONTENT) - 1, "of a blob of that size");

    (void) unlink(shim_path("docker/registry/v2/blobs/sha256/%.2s/%s/data",
                            shim_hex(&fill.digest), shim_hex(&fill.digest)));
}


/* what may be found in the place of a state */

static void
test_wrong(void)
{
    char         save[1024], *p;
    FILE        *f;
    size_t       i, n;

    static const char  *wrong[] = { "", "{", "[]", "{}",
        "{\"offset\":0,\"hash\":\"\"}", "{\"offset\":10,\"hash\":\"0g\"}",
        "{\"offset\":-1,\"hash\":\"00\"}", "{\"offset\":1e3,\"hash\":\"00\"}" };

    is_int(begin(), NGX_OK, "another one");
    append(10);
    is_int(ngx_http_acr_store_fill_save(store, &fill, &shim_log), NGX_OK,
           "is saved");
    end();

    f = fopen(file(".state"), "r");
    n = fread(save, 1, sizeof(save) - 1, f);
    fclose(f);
    save[n] = '\0';

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        shim_put(file(".state"), wrong[i]);
        shim_lines = 0;

        is_int(begin(), NGX_OK, "with %s", wrong[i]);
        is_int(fill.offset, 0, "it begins anew");
        is_int(shim_lines, 1, "after a log line");
        end();
    }

    /* an offset that is not the hash's */

    p = strstr(save, "\"offset\":10");
    ok(p != NULL, "there is an offset");
    p[sizeof("\"offset\":") - 1] = '2';
    shim_put(file(".state"), save);
    is_int(begin(), NGX_OK, "with another offset");
    is_int(fill.offset, 0, "it begins anew");
    end();

    /* a file that has lost its end */

    p[sizeof("\"offset\":") - 1] = '1';
    shim_put(file(".state"), save);
    shim_put(file(""), "short");
    is_int(begin(), NGX_OK, "with a file that is too short");
    is_int(fill.offset, 0, "it begins anew");
    end();

    shim_put(file(".state"), save);
    shim_put(file(""), "long enough");
    is_int(begin(), NGX_OK, "with one that is not");
    is_int(fill.offset, 10, "it goes on");
    end();

    shim_lines = 0;
}


static void
test_failed(void)
{
    is_int(begin(), NGX_OK, "a disk that fails");
    append(12);
    shim_fail_sync = EIO;
    is_int(ngx_http_acr_store_fill_save(store, &fill, &shim_log), EIO,
           "saves nothing");
    fill.size = 12;
    is_int(ngx_http_acr_store_fill_commit(store, &fill, &shim_log), EIO,
           "makes no blob");
    shim_fail_sync = 0;

    fill.size = 13;
    is_int(ngx_http_acr_store_fill_commit(store, &fill, &shim_log), ENOENT,
           "nor does a file that is too short");

    is_int(ngx_http_acr_store_fill_discard(store, &fill, &shim_log),
           NGX_OK, "it is removed");
    is_int(shim_count(shim_path("acr/fills")), 0, "all of it");
    is_int(ngx_http_acr_store_fill_discard(store, &fill, &shim_log),
           NGX_OK, "once more is no error");
    is_int(ngx_http_acr_store_fill_save(store, &fill, &shim_log), NGX_OK,
           "a file that has lost its name");
    is_int(shim_count(shim_path("acr/fills")), 0, "is not noted");
    end();
}


/* there may be two that fetch the same: workers of before and after a reload */

static void
test_locked(void)
{
    ngx_http_acr_store_fill_t  other;

    is_int(begin(), NGX_OK, "one begins");
    append(10);

    other.digest = fill.digest;
    other.source = fill.source;
    is_int(ngx_http_acr_store_fill_open(store, &other, &shim_log), NGX_AGAIN,
           "another one waits");

    other.source++;
    is_int(ngx_http_acr_store_fill_open(store, &other, &shim_log), NGX_OK,
           "not if it comes from elsewhere");
    is_int(ngx_http_acr_store_fill_discard(store, &other, &shim_log), NGX_OK,
           "that goes");
    (void) close(other.fd);

    end();
    is_int(begin(), NGX_OK, "until the first one ends");
    is_int(ngx_http_acr_store_fill_discard(store, &fill, &shim_log), NGX_OK,
           "and goes");
    end();
}


/* what did not fit must not fit later */

static void
test_misfit(void)
{
    is_int(begin(), NGX_OK, "one is saved");
    append(10);
    is_int(ngx_http_acr_store_fill_save(store, &fill, &shim_log), NGX_OK,
           "and loses its file");
    end();
    is_int(unlink(file("")), 0, "all of it");

    is_int(begin(), NGX_OK, "it begins anew");
    is_int(fill.offset, 0, "with nothing");
    ok(!shim_exists(file(".state")), "and what was noted goes");
    append(20);
    end();
    is_int(begin(), NGX_OK, "killed, and begun");
    is_int(fill.offset, 0, "it begins anew again");
    is_int(ngx_http_acr_store_fill_discard(store, &fill, &shim_log), NGX_OK,
           "it goes");
    end();
    shim_lines = 0;
}


static void
test_swept(void)
{
    ngx_uint_t  removed;

    is_int(begin(), NGX_OK, "one that nobody goes on with");
    append(10);
    is_int(ngx_http_acr_store_fill_save(store, &fill, &shim_log), NGX_OK,
           "is saved");
    end();

    is_int(ngx_http_acr_store_sweep(store, 100, &removed, &shim_log), NGX_OK,
           "the sweep");
    is_int(shim_count(shim_path("acr/fills")), 2, "leaves what is new");

    shim_age(file(""), 200);
    shim_age(file(".state"), 200);
    is_int(ngx_http_acr_store_sweep(store, 100, &removed, &shim_log), NGX_OK,
           "later");
    is_int(shim_count(shim_path("acr/fills")), 0, "it takes it away");
}


int
main(void)
{
    store = shim_store();

    test_resumed();
    test_commit();
    test_wrong();
    test_failed();
    test_locked();
    test_misfit();
    test_swept();

    return done();
}
