
/*
 * Links that do not name their digest, though its content is there.
 */

#include "ngx_shim.h"


#define CONTENT  "a layer"


static ngx_http_acr_store_t  *store;
static acr_digest_t           alias;


static ngx_int_t
mend(ngx_uint_t kind, acr_digest_t *digest)
{
    return ngx_http_acr_store_mend(store, shim_str("team/app"), kind, digest,
                                   &shim_log);
}


static ngx_int_t
unalias(acr_digest_t *digest)
{
    return mend(NGX_HTTP_ACR_LAYER, digest);
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


static void
test_alias(void)
{
    struct stat    st;
    acr_digest_t  *digest, other;

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

    shim_put(link_of(&alias), shim_text(digest));
    is_int(unalias(&alias), NGX_OK, "again, with the file there");
    is_int(shim_count(shim_path("acr/tmp")), 0, "nothing is left over");
}


static void
test_torn(void)
{
    acr_digest_t  *digest, *other;

    digest = shim_digest("torn");
    other = shim_digest("other");

    shim_make(link_of(digest), "");
    is_int(unalias(digest), NGX_DECLINED, "an empty link, and no content");

    shim_make(data_of(digest), "other");
    is_int(unalias(digest), NGX_DECLINED, "other content");
    ok(shim_is(link_of(digest), ""), "the link stays");

    shim_put(data_of(digest), "torn");
    is_int(unalias(digest), NGX_OK, "the content is there");
    ok(shim_is(link_of(digest), shim_text(digest)), "the link names it");

    shim_put(link_of(digest), "sha256:0123");
    is_int(unalias(digest), NGX_OK, "a torn link");
    ok(shim_is(link_of(digest), shim_text(digest)), "is mended");

    shim_make(data_of(other), "other");
    shim_put(link_of(digest), shim_text(other));
    is_int(unalias(digest), NGX_DECLINED, "one that names something else");
    ok(shim_is(link_of(digest), shim_text(other)), "stays");

    is_int(mend(NGX_HTTP_ACR_REVISION, digest), NGX_DECLINED, "no revision");
    shim_make(shim_path("docker/registry/v2/repositories/team/app/_manifests"
                        "/revisions/sha256/%s/link", shim_hex(digest)), "");
    is_int(mend(NGX_HTTP_ACR_REVISION, digest), NGX_OK, "a revision");
}


int
main(void)
{
    store = shim_store();

    test_alias();
    test_torn();

    return done();
}
