
/*
 * Walks over the directory.  They keep open directories, not names, so their
 * memory does not grow with the number of entries; a caller takes some, goes
 * away, and takes more later, also from another thread, but never from two at
 * once.
 *
 * What is made or removed meanwhile may be seen or not.  What is there from
 * the beginning to the end is seen once.
 *
 * ..._open() returns NULL after a log line.  ..._next() returns NGX_OK with an
 * entry, NGX_DONE at the end, or an errno value after a log line: something
 * could not be read, and the walk goes on behind it with the next call.
 */

#ifndef NGX_HTTP_ACR_STORE_WALK_H
#define NGX_HTTP_ACR_STORE_WALK_H

#include "ngx_http_acr_store.h"

#include "../oci/acr_name.h"


typedef struct ngx_http_acr_store_walk_s   ngx_http_acr_store_walk_t;
typedef struct ngx_http_acr_store_list_s   ngx_http_acr_store_list_t;
typedef struct ngx_http_acr_store_blobs_s  ngx_http_acr_store_blobs_t;


/* --- repositories: directories that have _layers, _manifests or _uploads */

ngx_http_acr_store_walk_t *ngx_http_acr_store_walk_open(
    ngx_http_acr_store_t *store, ngx_log_t *log);

/*
 * The next name, which is valid until the next call.  Directories whose name
 * can be no repository's are passed over with what is below them, after one
 * log line for the directory that they are in; so are, without one, symbolic
 * links.
 */
ngx_int_t ngx_http_acr_store_walk_next(ngx_http_acr_store_walk_t *walk,
    ngx_str_t *repository, ngx_log_t *log);

void ngx_http_acr_store_walk_close(ngx_http_acr_store_walk_t *walk);


/* --- what a repository has */

typedef struct {
    ngx_str_t       tag;       /* of tags; in the buffer below */
    acr_digest_t    digest;
    int64_t         mtime;     /* of the link, microseconds */
    int64_t         created;   /* of a tag: when it was first made */
    u_char          name[ACR_TAG_MAX];
    unsigned        unread:1;  /* the link could not be read (EIO) */
} ngx_http_acr_store_entry_t;

/* kind: NGX_HTTP_ACR_LAYER, NGX_HTTP_ACR_REVISION or NGX_HTTP_ACR_TAG; store
   is kept, the name of the repository is copied */
ngx_http_acr_store_list_t *ngx_http_acr_store_list_open(
    ngx_http_acr_store_t *store, ngx_str_t *repository, ngx_uint_t kind,
    ngx_log_t *log);

/*
 * The link is read while the lock of its name is held (ngx_http_acr_store_lock
 * of the repository and the tag or digest), which is waited for up to ten
 * seconds, then EBUSY: who has it may be about to change the link.
 *
 * NGX_DECLINED, after a log line: the link is empty, torn, cannot be read, or
 * is of a layer or revision and names another digest.  The entry says which one
 * it is: its tag, or the digest that it should name.
 *
 * Names that are no tag or digest, and directories without a link, are passed
 * over without a word: a removal was cut short, or a put is under way.
 */
ngx_int_t ngx_http_acr_store_list_next(ngx_http_acr_store_list_t *list,
    ngx_http_acr_store_entry_t *entry, ngx_log_t *log);

/*
 * What can be done about an entry, of a layer or revision, that was declined:
 * if the link is empty or torn, and the content of the digest is there and
 * whole, it names that from now on.  If it names the same content by another
 * algorithm (Distribution has one file of a blob, by its sha256), the digest
 * gets a file of its own, a hard link to that one.  All of the file is read.
 *
 * NGX_OK: the link names its digest, durably, after a log line.  NGX_DECLINED,
 * without one: there is no link, or no such content.
 */
ngx_int_t ngx_http_acr_store_mend(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_uint_t kind, acr_digest_t *digest,
    ngx_log_t *log);

void ngx_http_acr_store_list_close(ngx_http_acr_store_list_t *list);


/* --- blobs: blobs/<alg>/<2 hex>/<hex>/data */

#define NGX_HTTP_ACR_STORE_AT  16

/*
 * Algorithms and two-digit directories come in sorted order.  after is what
 * blobs_at has written: it begins with that directory again, so what was taken
 * of it comes twice.  NULL, or any other text, begins at the beginning.
 */
ngx_http_acr_store_blobs_t *ngx_http_acr_store_blobs_open(
    ngx_http_acr_store_t *store, const char *after, ngx_log_t *log);

/* size: of the data, in bytes.  What is no blob is passed over, after one log
   line at most for a directory. */
ngx_int_t ngx_http_acr_store_blobs_next(ngx_http_acr_store_blobs_t *blobs,
    acr_digest_t *digest, off_t *size, ngx_log_t *log);

/* when the last one that came was used, or made: the mtime of its file, in
   microseconds */
int64_t ngx_http_acr_store_blobs_used(ngx_http_acr_store_blobs_t *blobs);

/* the directory that it is in, "sha256/3f", zero-terminated in a buffer of
   NGX_HTTP_ACR_STORE_AT bytes */
void ngx_http_acr_store_blobs_at(ngx_http_acr_store_blobs_t *blobs,
    char *buf);

void ngx_http_acr_store_blobs_close(ngx_http_acr_store_blobs_t *blobs);


#endif /* NGX_HTTP_ACR_STORE_WALK_H */
