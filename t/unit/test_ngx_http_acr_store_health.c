
/*
 * Whether the directory can be written and read, and who is told of syncs.
 */

#include "ngx_shim.h"


static ngx_http_acr_store_t  *store;
static int                    nsynced, nfailed;
static ngx_err_t              last;


static void
synced(void *data, uint64_t us, ngx_err_t err)
{
    ok(data == store && us < 60 * 1000000, "a time that can be");

    nsynced++;
    nfailed += (err != 0);
    last = err;
}


static void
test_write(void)
{
    shim_trace();

    is_int(ngx_http_acr_store_probe_write(store, &shim_log), NGX_OK,
           "it can be written");
    is_int(shim_syncs(), 1, "and synced");
    is_int(shim_count(shim_path("acr/tmp")), 0, "nothing stays");

    store->fsync = 0;
    shim_trace();

    is_int(ngx_http_acr_store_probe_write(store, &shim_log), NGX_OK,
           "the same without syncs");
    is_int(shim_syncs(), 0, "of which there is none");

    store->fsync = 1;
    shim_fail_sync = EIO;

    is_int(ngx_http_acr_store_probe_write(store, &shim_log), EIO,
           "a disk that fails");
    is_int(shim_count(shim_path("acr/tmp")), 0, "nothing stays either");

    shim_fail_sync = 0;

    is_int(rename(shim_path("acr"), shim_path("away")), 0, "all away");
    shim_put(shim_path("acr"), "");
    is_int(ngx_http_acr_store_probe_write(store, &shim_log), ENOTDIR,
           "no place to write to");
    is_int(unlink(shim_path("acr")), 0, "that is over");
    is_int(rename(shim_path("away"), shim_path("acr")), 0, "it is back");

    is_int(shim_lines, 0, "nothing is logged");
}


static void
test_read(void)
{
    is_int(ngx_http_acr_store_probe_read(store), NGX_OK, "it can be read");

    is_int(rename(shim_path("acr/epoch"), shim_path("acr/away")), 0,
           "no epoch");
    is_int(ngx_http_acr_store_probe_read(store), ENOENT, "is no volume");
    shim_put(shim_path("acr/epoch"), "");
    is_int(ngx_http_acr_store_probe_read(store), ENOENT, "nor an empty one");
    is_int(rename(shim_path("acr/away"), shim_path("acr/epoch")), 0,
           "it is back");

    is_int(rename(shim_path("docker"), shim_path("away")), 0, "no blobs");
    is_int(ngx_http_acr_store_probe_read(store), ENOENT, "is no volume");
    is_int(rename(shim_path("away"), shim_path("docker")), 0, "they are back");

    is_int(ngx_http_acr_store_probe_read(store), NGX_OK, "it can be read");
    is_int(shim_lines, 0, "nothing is logged");
}


static void
test_synced(void)
{
    int  n;

    store->synced = synced;
    store->data = store;

    n = shim_lines;
    shim_trace();

    is_int(ngx_http_acr_store_put(store, shim_digest("told"),
                                  (u_char *) "told", 4, NULL, &shim_log),
           NGX_OK, "a blob");
    is_int(nsynced, shim_syncs(), "all syncs are told");
    ok(nsynced > 1 && nfailed == 0, "of file and directories");

    shim_fail_sync = EIO;

    is_int(ngx_http_acr_store_put(store, shim_digest("failed"),
                                  (u_char *) "failed", 6, NULL, &shim_log),
           EIO, "one that fails");
    is_int(nfailed, 1, "is told as that");
    is_int(last, EIO, "with its error");
    is_int(shim_lines, n + 1, "and logged");

    shim_fail_sync = 0;
}


int
main(void)
{
    store = shim_store();

    test_write();
    test_read();
    test_synced();

    return done();
}
