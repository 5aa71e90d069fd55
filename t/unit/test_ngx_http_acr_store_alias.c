
/*
 * Links of Distribution that name the file of another digest.
 */

#include "ngx_shim.h"


#define CONTENT  "a layer"


static ngx_http_acr_store_t  *store;
static acr_digest_t           alias;


static ngx_int_t
unalias(acr_digest_t *digest)
{
    return ngx_http_acr_store_unalias(store, shim_str("team/app"), digest,
                                      &shim_log);
}


static const char *
link_of(acr_digest_t *digest)
{
    return shim_path("docker/registry/v2/repositories/team/app/_layers/%s/%s"
                     "/link", digest->alg->name, shim_hex(digest));
}


static const char *
data_of(acr_digest_t *digest)
{
    const char  *hex;

    hex = shim_hex(digest);

    return shim_path("docker/registry/v2/blobs/%s/%.2s/%s/data",
                     digest->alg->name, hex, hex);
}


static void
sha512(acr_digest_t *digest, const char *content)
{
    acr_hash_t  hash;

    acr_hash_init(&hash, acr_algorithm((const unsigned char *) "sha512", 6));
    acr_hash_update(&hash, content, strlen(content));
    acr_hash_final(&hash, digest);
}


int
main(void)
{
    struct stat    st;
    acr_digest_t  *digest, other;

    store = shim_store();
    digest = shim_digest(CONTENT);

    sha512(&alias, CONTENT);
    sha512(&other, "another layer");

    is_int(unalias(&alias), NGX_DECLINED, "no link");
    is_int(shim_lines, 0, "%s", shim_logged);

    shim_make(link_of(&alias), shim_text(digest));
    is_int(unalias(&alias), NGX_DECLINED, "what it names is not there");

    shim_make(data_of(digest), CONTENT);
    shim_make(link_of(&other), shim_text(digest));
    is_int(unalias(&other), NGX_DECLINED, "it has another digest");
    ok(!shim_exists(data_of(&other)), "there is no file of that");
    ok(shim_is(link_of(&other), shim_text(digest)), "the link stays");

    is_int(unalias(&alias), NGX_OK, "an alias");
    ok(shim_is(data_of(&alias), CONTENT), "there is a file of its own");
    ok(shim_is(link_of(&alias), shim_text(&alias)), "which the link names");
    is_int(shim_lines, 1, "one line: %s", shim_logged);
    ok(stat(data_of(&alias), &st) == 0 && st.st_nlink == 2,
       "it is a second name of the other");
    is_int(shim_count(shim_path("acr/tmp")), 0, "nothing is left over");

    is_int(unalias(&alias), NGX_DECLINED, "it is none any more");

    shim_put(link_of(&alias), "");
    is_int(unalias(&alias), NGX_DECLINED, "an empty link is none");

    shim_put(link_of(&alias), shim_text(digest));
    is_int(unalias(&alias), NGX_OK, "again, with the file there");
    is_int(shim_count(shim_path("acr/tmp")), 0, "nothing is left over");

    return done();
}
