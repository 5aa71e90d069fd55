
/*
 * The directory: layout (DESIGN "Layout on disk"), and the steps by which
 * content gets there for good (DESIGN "Push").
 *
 * Every function here may block: it is to be called in a thread, except the
 * ones that only write paths.  None touches a request, a pool or a
 * connection.  They return NGX_OK or an errno value (ENOSPC, EIO...), after
 * one log line with the path, unless said otherwise.  Names, tags, digests
 * and uuids were checked by the caller.
 */

#ifndef NGX_HTTP_ACR_STORE_H
#define NGX_HTTP_ACR_STORE_H

#include <ngx_config.h>
#include <ngx_core.h>

#include "../oci/acr_attributes.h"
#include "../oci/acr_digest.h"
#include "../oci/acr_hash.h"
#include "../oci/acr_media_type.h"


#define NGX_HTTP_ACR_UUID_LEN   36

/* the directory of one registry */

typedef struct {
    ngx_str_t    root;                 /* acr_root: absolute, no slash at its
                                          end, zero-terminated */
    ngx_flag_t   fsync;                /* acr_fsync */
    ngx_str_t    node;                 /* acr_node: file name in acr/nodes */
    ngx_uint_t   slot;                 /* this worker's number */

    /* if it is set: told in a thread of each sync, its time in microseconds
       and its errno value or 0 */
    void       (*synced)(void *data, uint64_t us, ngx_err_t err);
    void        *data;
} ngx_http_acr_store_t;


/* --- configuration, at start */

/*
 * Makes the directories that every volume has (docker/registry/v2/blobs and
 * /repositories, acr/fills, acr/locks, acr/nodes, acr/quarantine, acr/tmp),
 * owned by uid and gid if we are root, and checks that the worker (uid, gid)
 * may write there, that blobs, repositories and temporary files are on one file
 * system, and that it has locks.  acr/epoch is made with a random content and
 * acr/version with our version, if they are missing.  In a volume that a newer
 * module has nothing is made or checked, and newer says so, else it is empty.
 * NULL, or why not: a static text that ends where the path is to
 * follow.  err is set to an errno value or 0, and path (PATH_MAX bytes) to
 * what it is about.
 */
const char *ngx_http_acr_store_prepare(ngx_http_acr_store_t *store, uid_t uid,
    gid_t gid, char *newer, size_t size, ngx_err_t *err, char *path);

/* room for what a volume of a newer module is told by */
#define NGX_HTTP_ACR_STORE_NEWER  128

/*
 * The version of the volume, in acr/version: of how its nodes get along (locks,
 * marks), and of what is below acr.  NGX_OK if we know it, or there is none,
 * which is the first one; NGX_DECLINED if not, so that nothing may be written:
 * newer says so.
 */
ngx_int_t ngx_http_acr_store_version(ngx_http_acr_store_t *store, char *newer,
    size_t size, ngx_log_t *log);


/* --- documents: JSON files below acr/, replaced as a whole; acr/token.key */

#define NGX_HTTP_ACR_STORE_KEY_MAX     16384

typedef struct {
    const char  *path;                 /* below the root */
    ngx_str_t    name;                 /* its lock's */
    off_t        max;                  /* bytes */
    mode_t       mode;
} ngx_http_acr_store_document_t;

extern const ngx_http_acr_store_document_t  ngx_http_acr_store_access;
extern const ngx_http_acr_store_document_t  ngx_http_acr_store_rules;

/* what a file was when it was read; all zeroes: it never was */

typedef struct {
    uint64_t     known;
    uint64_t     ino;                  /* 0: there is no file */
    int64_t      size;
    int64_t      sec;                  /* mtime */
    int64_t      nsec;
} ngx_http_acr_store_version_t;

/*
 * Reads the whole file into *p, which the caller frees (ngx_free()); NULL and a
 * length of 0 if there is none yet.  If version is not NULL: NGX_DECLINED if
 * the file is the one that it tells, else it is set.
 */
ngx_int_t ngx_http_acr_store_document_read(ngx_http_acr_store_t *store,
    const ngx_http_acr_store_document_t *document,
    ngx_http_acr_store_version_t *version, u_char **p, size_t *n,
    ngx_log_t *log);

/*
 * Changes the file under its lock, of which there is one for all nodes: calls
 * change with what it says, and replaces it, durably, by what that has put into
 * *text (from malloc(), freed here) and *len.  If change does not return NGX_OK
 * nothing is changed, and that is returned.
 */
typedef ngx_int_t (*ngx_http_acr_store_change_pt)(void *data, const u_char *p,
    size_t n, u_char **text, size_t *len, ngx_log_t *log);

ngx_int_t ngx_http_acr_store_document_change(ngx_http_acr_store_t *store,
    const ngx_http_acr_store_document_t *document,
    ngx_http_acr_store_change_pt change, void *data, ngx_log_t *log);

/*
 * At start, after ngx_http_acr_store_prepare(): puts pem into acr/token.key if
 * there is none, readable by nobody but uid, and reads what is there into buf;
 * *n is its size, then what was read.  NULL, or why not, to be followed by the
 * name of the file; *err is an errno value or 0.  In a volume that a newer
 * module has none is made: then buf gets pem.
 */
const char *ngx_http_acr_store_key(ngx_http_acr_store_t *store,
    const char *pem, uid_t uid, gid_t gid, char *buf, size_t *n,
    ngx_err_t *err);


/* --- content */

/*
 * Writes the path of a blob's data, zero-terminated, into buf, which has room
 * for ngx_http_acr_store_path_max(store) bytes; returns its length.
 */
size_t ngx_http_acr_store_blob_path(ngx_http_acr_store_t *store,
    acr_digest_t *digest, u_char *buf);

#define ngx_http_acr_store_path_max(store)  ((store)->root.len + 1024)

/*
 * Stores n bytes as the blob (a manifest): temporary file, sync, commit.
 *
 * lock: NULL, or where to put the descriptor of the digest's lock on NGX_OK.
 * As long as it is open no collector removes the file, so it is closed when
 * the index knows who needs it, and not before.
 */
ngx_int_t ngx_http_acr_store_put(ngx_http_acr_store_t *store,
    acr_digest_t *digest, u_char *p, size_t n, int *lock, ngx_log_t *log);


/* --- staging files of upload sessions:
       repositories/<name>/_uploads/<uuid>/<file> */

/*
 * Opens the staging file for writing at offset, making what is missing.
 *
 * from is the name of the file so far (empty: none yet).  If it is the same
 * as file, it goes on there: it must have at least offset bytes and is cut to
 * them.  If it is another, the first offset bytes of from are copied into
 * file, which is made anew (FICLONE, else copy_file_range, else read and
 * write), and from is left alone.
 *
 * *fd is set on NGX_OK.  ENOENT: from is gone or shorter than offset.
 */
ngx_int_t ngx_http_acr_store_stage(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *uuid, ngx_str_t *from, ngx_str_t *file,
    off_t offset, int *fd, ngx_log_t *log);

/* fdatasync, unless acr_fsync is off */
ngx_int_t ngx_http_acr_store_sync(ngx_http_acr_store_t *store, int fd,
    ngx_log_t *log);

/* hashes the first size bytes of the open file with h (which is initialised) */
ngx_int_t ngx_http_acr_store_hash(int fd, off_t size, acr_hash_t *h,
    ngx_log_t *log);

/*
 * The staging file becomes the blob: syncs it, makes the directory, puts it
 * there under the digest's lock by renaming a second name of it (over a file
 * that is there: this also heals one that is broken), syncs the directories.
 *
 * The staging file keeps its own name, and so does all else that the session
 * has: only the index tells whether this request still owned it, and another
 * owner begins with a copy.  The descriptor stays the caller's.  lock: as for
 * ngx_http_acr_store_put().
 */
ngx_int_t ngx_http_acr_store_commit(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *uuid, ngx_str_t *file, int fd,
    acr_digest_t *digest, int *lock, ngx_log_t *log);

/* removes the session's directory; what is not there is no error */
ngx_int_t ngx_http_acr_store_discard(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *uuid, ngx_log_t *log);

/*
 * The sweep removes what was begun and never finished, if nothing was written
 * there for age seconds: the directories of sessions and the temporary links
 * of tags in all repositories, what is left of tags that have no link, and
 * files in acr/tmp and acr/fills.
 *
 * sweep_begin returns NULL after a log line.  sweep_step looks at n entries or
 * so and returns NGX_AGAIN, or NGX_DONE when it has seen all; it may be called
 * from any thread, never from two at once, and goes on after an error.
 * sweep_end sets *removed to the number of sessions that were removed and
 * returns the first error; it may be called at any time.
 */

typedef struct ngx_http_acr_store_sweep_s  ngx_http_acr_store_sweep_t;

ngx_http_acr_store_sweep_t *ngx_http_acr_store_sweep_begin(
    ngx_http_acr_store_t *store, time_t age, ngx_log_t *log);
ngx_int_t ngx_http_acr_store_sweep_step(ngx_http_acr_store_sweep_t *sweep,
    ngx_uint_t n, ngx_log_t *log);
ngx_int_t ngx_http_acr_store_sweep_end(ngx_http_acr_store_sweep_t *sweep,
    ngx_uint_t *removed);

/* all of it at once */
ngx_int_t ngx_http_acr_store_sweep(ngx_http_acr_store_t *store, time_t age,
    ngx_uint_t *removed, ngx_log_t *log);


/* --- fills: content that is being fetched from another registry,
       acr/fills/<node>.<source>.<alg>-<hex> and the same with .state */

#define NGX_HTTP_ACR_FILL_ETAG  256

typedef struct {
    acr_digest_t  digest;
    uint32_t      source;              /* a number for where it comes from */
    int           fd;                  /* to read and write, or -1 */
    off_t         offset;              /* so much is there, and hashed */
    acr_hash_t    hash;
    off_t         size;                /* of all of it; -1: not known */
    u_char        etag[NGX_HTTP_ACR_FILL_ETAG];  /* as the origin wrote it */
    size_t        etag_len;            /* 0: it had none */
} ngx_http_acr_store_fill_t;

/*
 * Opens what there is of the content fill->digest from fill->source, or begins
 * anew, and sets all else of fill.  What is behind the offset is neither cut
 * nor to be relied on: others may be reading the file up to where an owner
 * before had come.  The file is locked until its descriptor is closed.
 *
 * NGX_DONE: all of the content is there already, as a blob of fill->size bytes;
 * NGX_AGAIN, without a log line: another process has it, such as a worker that
 * ends; nothing is open in either case.
 */
ngx_int_t ngx_http_acr_store_fill_open(ngx_http_acr_store_t *store,
    ngx_http_acr_store_fill_t *fill, ngx_log_t *log);

/* opens it to read; NGX_DECLINED, without a log line: it is not there (any
   more) */
ngx_int_t ngx_http_acr_store_fill_read(ngx_http_acr_store_t *store,
    acr_digest_t *digest, uint32_t source, int *fd, ngx_log_t *log);

/* syncs the data, then notes offset, hash, size and ETag, so that
   ngx_http_acr_store_fill_open() goes on there; not if the file has lost its
   name */
ngx_int_t ngx_http_acr_store_fill_save(ngx_http_acr_store_t *store,
    ngx_http_acr_store_fill_t *fill, ngx_log_t *log);

/*
 * All of fill->size bytes is there, and has the digest: it becomes the blob,
 * durably, under the digest's lock.  The descriptor stays open; it is the
 * blob's then.
 */
ngx_int_t ngx_http_acr_store_fill_commit(ngx_http_acr_store_t *store,
    ngx_http_acr_store_fill_t *fill, ngx_log_t *log);

/* removes what there is of it */
ngx_int_t ngx_http_acr_store_fill_discard(ngx_http_acr_store_t *store,
    ngx_http_acr_store_fill_t *fill, ngx_log_t *log);


/* --- links: what a repository holds, and what its tags name */

#define NGX_HTTP_ACR_LAYER     1       /* _layers/<alg>/<hex>/link */
#define NGX_HTTP_ACR_REVISION  2       /* _manifests/revisions/... */
#define NGX_HTTP_ACR_TAG       4       /* _manifests/tags/<tag>/current/link;
                                          only in lists */

/* makes the link durable, with every directory above it; one that is there
   and whole is left alone */
ngx_int_t ngx_http_acr_store_link(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_uint_t kind, acr_digest_t *digest,
    ngx_log_t *log);

/*
 * Step (a) of a tag's put: tags/<tag>/index/<alg>/<hex>/link, and a temporary
 * file beside current/link that has the digest, all durable.  token (a uuid)
 * makes the temporary file's name.
 */
ngx_int_t ngx_http_acr_store_tag_prepare(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *tag, acr_digest_t *digest,
    ngx_str_t *token, ngx_log_t *log);

/* the put was refused after all: removes the temporary file */
void ngx_http_acr_store_tag_abandon(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *tag, ngx_str_t *token, ngx_log_t *log);


/* --- step (c): makes the disk equal to what Redis says now */

/*
 * The lock of a tag or a digest of a repository: an OFD lock on one of 1,024
 * files in acr/locks, by a hash of "<repository> <name>".  Does not wait.
 * NGX_OK with *fd set, NGX_AGAIN if somebody has it, or an errno value.
 * Closing *fd gives it back.
 */
ngx_int_t ngx_http_acr_store_lock(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *name, int *fd, ngx_log_t *log);

/*
 * The same of up to NGX_HTTP_ACR_STORE_NAMES names of the repository: all of
 * their locks, or none.  Of names that share a file it is locked once.
 */

#define NGX_HTTP_ACR_STORE_NAMES  8

typedef struct {
    ngx_uint_t   n;                    /* descriptors */
    int          fd[NGX_HTTP_ACR_STORE_NAMES];
} ngx_http_acr_store_locks_t;

ngx_int_t ngx_http_acr_store_lock_names(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *names, ngx_uint_t n,
    ngx_http_acr_store_locks_t *locks, ngx_log_t *log);

/* the same as ngx_http_acr_store_lock(), but waits up to ten seconds, then
   EBUSY */
ngx_int_t ngx_http_acr_store_lock_wait(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *name, int *fd, ngx_log_t *log);

/*
 * The lock of a blob, of which there is one for all repositories, without
 * waiting: NGX_OK with *fd set, NGX_AGAIN, or an errno value.  Whoever stores
 * the blob waits for it before the file gets its name.
 */
ngx_int_t ngx_http_acr_store_lock_digest(ngx_http_acr_store_t *store,
    acr_digest_t *digest, int *fd, ngx_log_t *log);

/* the same, but waits up to ten seconds, then EBUSY */
ngx_int_t ngx_http_acr_store_lock_blob(ngx_http_acr_store_t *store,
    acr_digest_t *digest, int *fd, ngx_log_t *log);

/* gives a lock back: closes *fd, unless it is -1, and makes it -1 */
void ngx_http_acr_store_unlock(int *fd, ngx_log_t *log);

/* gives back all of them, if there are any; n is 0 then */
void ngx_http_acr_store_unlock_names(ngx_http_acr_store_locks_t *locks,
    ngx_log_t *log);

/*
 * With the tag's lock held.  digest: current/link becomes it, durably (by
 * renaming the temporary file of token if there is one and it says so).
 * NULL: current/link goes, durably, then the rest of the tag's directory as
 * far as nothing new is in it.  A link that is right already is left alone.
 */
ngx_int_t ngx_http_acr_store_tag_apply(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *tag, acr_digest_t *digest,
    ngx_str_t *token, ngx_log_t *log);

/*
 * With the digest's lock held: kinds (NGX_HTTP_ACR_LAYER, ..._REVISION or'ed)
 * are the links that are to be there; the others go, and with the revision
 * its media type.  Durable.
 */
ngx_int_t ngx_http_acr_store_links_apply(ngx_http_acr_store_t *store,
    ngx_str_t *repository, acr_digest_t *digest, ngx_uint_t kinds,
    ngx_log_t *log);


/* --- reading: what the directory says */

/*
 * What the tag names, if that is a manifest of the repository: what
 * current/link says, and there is a revision link of it.  *digest is set on
 * NGX_OK.  NGX_DECLINED, without a log line: no such tag, a torn or empty
 * link, or no such revision.
 */
ngx_int_t ngx_http_acr_store_find_tag(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *tag, acr_digest_t *digest,
    ngx_log_t *log);

/* NGX_OK if the repository has the link of that kind, and whole; NGX_DECLINED,
   without a log line, if not */
ngx_int_t ngx_http_acr_store_find_link(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_uint_t kind, acr_digest_t *digest,
    ngx_log_t *log);

/* the size of the blob's data in bytes; NGX_DECLINED, without a log line, if
   it is not there or no regular file */
ngx_int_t ngx_http_acr_store_size(ngx_http_acr_store_t *store,
    acr_digest_t *digest, off_t *size, ngx_log_t *log);

/*
 * The whole content of a blob of at most max bytes, checked against its
 * digest, in memory that the caller gives back by ngx_free().  An empty one
 * has *n 0 and memory all the same; *p is NULL unless NGX_OK.
 *
 * NGX_DECLINED, without a log line: it is not there.  NGX_ABORT, after a log
 * line: it does not match its digest.  EFBIG: larger than max.
 */
ngx_int_t ngx_http_acr_store_load(ngx_http_acr_store_t *store,
    acr_digest_t *digest, size_t max, u_char **p, size_t *n, ngx_log_t *log);

/*
 * The media type of a manifest whose bytes do not tell it (!m.typed, see
 * acr_manifest.h), durably, in acr/repositories.  EINVAL: it is none.
 *
 * A removal of the same digest that is under way may take it away again until
 * the revision is known to Redis; so it is put once more, which is cheap,
 * before links_apply under the digest's lock.
 */
ngx_int_t ngx_http_acr_store_type_put(ngx_http_acr_store_t *store,
    ngx_str_t *repository, acr_digest_t *digest, const char *type, size_t len,
    ngx_log_t *log);

/*
 * Copies it, without a terminating zero, to buf of ACR_MEDIA_TYPE_MAX bytes.
 * NGX_DECLINED: there is none, or, after a log line, the file has no valid
 * one.
 */
ngx_int_t ngx_http_acr_store_type_get(ngx_http_acr_store_t *store,
    ngx_str_t *repository, acr_digest_t *digest, u_char *buf, size_t *len,
    ngx_log_t *log);


/* --- attributes: acr/repositories/<name>/_attributes.json of the repository,
       .../_tags/<tag>.json, .../_manifests/<alg>/<hex>.attributes.json */

/*
 * With the lock of the name held (a tag, a digest, or empty for the
 * repository): the file becomes what the text says, durably, and goes if that
 * is empty.  text is as the index has it (acr_attributes.h); EINVAL if it is
 * none.
 */
ngx_int_t ngx_http_acr_store_attributes_apply(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *name, ngx_str_t *text, ngx_log_t *log);

/*
 * Reads them into buf of ACR_ATTRIBUTES_MAX bytes; *len is 0 if there is no
 * file.  A file that cannot be read or understood, after a log line, counts as
 * one that forbids everything but lists: EIO with "dwr" in buf.
 */
ngx_int_t ngx_http_acr_store_attributes_read(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *name, u_char *buf, size_t *len,
    ngx_log_t *log);

/*
 * May this be read?  tag and digest may be NULL.  NGX_OK; NGX_DECLINED: the
 * repository, the tag or the manifest is not to be read; or an errno value.
 */
ngx_int_t ngx_http_acr_store_readable(ngx_http_acr_store_t *store,
    ngx_str_t *repository, ngx_str_t *tag, acr_digest_t *digest,
    ngx_log_t *log);

/* 1 if anything of the repository may have attributes, so that it is worth
   looking */
ngx_uint_t ngx_http_acr_store_has_details(ngx_http_acr_store_t *store,
    ngx_str_t *repository);

/* when the repository was made, as far as its directories tell: microseconds,
   0 if they do not */
int64_t ngx_http_acr_store_created(ngx_http_acr_store_t *store,
    ngx_str_t *repository);


/* --- scrub: is the content still what its digest says? */

/*
 * Reads the blob and compares.  *bytes is what was read.  What the page cache
 * did not have before is dropped from it again.
 *
 * NGX_OK: it matches.  NGX_DECLINED, without a log line: it is not there or no
 * regular file.  NGX_ABORT, after a log line: it does not match.  EIO: it
 * cannot be read, or was cut meanwhile, which is as good as broken.  Another
 * errno value tells nothing about the blob.
 */
ngx_int_t ngx_http_acr_store_verify(ngx_http_acr_store_t *store,
    acr_digest_t *digest, off_t *bytes, ngx_log_t *log);

/*
 * The same in steps, for blobs that take long.  verify_open sets *verify on
 * NGX_OK, or returns NGX_DECLINED or an errno value as above.  verify_step
 * reads max bytes at most and sets *bytes to what was read so far: NGX_AGAIN
 * if there is more, else as above.
 */

typedef struct ngx_http_acr_store_verify_s  ngx_http_acr_store_verify_t;

ngx_int_t ngx_http_acr_store_verify_open(ngx_http_acr_store_t *store,
    acr_digest_t *digest, ngx_http_acr_store_verify_t **verify,
    ngx_log_t *log);
ngx_int_t ngx_http_acr_store_verify_step(ngx_http_acr_store_verify_t *verify,
    off_t max, off_t *bytes, ngx_log_t *log);
void ngx_http_acr_store_verify_close(ngx_http_acr_store_verify_t *verify);

/*
 * Verifies once more and, if the blob is broken or gives EIO, moves it to
 * acr/quarantine/<alg>-<hex>.<seconds>, durably, under the blob's lock, unless
 * somebody has stored it again meanwhile.  The lock is not held while it
 * reads.  The file loses its permissions, so that who has it open can see that
 * it was moved (ngx_http_acr_store_stale()).
 *
 * NGX_OK, after a log line: moved, though a sync may have failed since.
 * NGX_DECLINED: it is right by now, or gone.
 * lock: as for ngx_http_acr_store_put(), until the index knows.
 */
ngx_int_t ngx_http_acr_store_quarantine(ngx_http_acr_store_t *store,
    acr_digest_t *digest, int *lock, ngx_log_t *log);

/* 1 if this open file of a blob was moved to quarantine, or is no blob any
   more; does not block */
ngx_uint_t ngx_http_acr_store_stale(int fd);


/* --- collect */

/*
 * With the lock of the blob held (ngx_http_acr_store_lock_digest): removes it,
 * durably, and the directories that are empty then.  *freed is the size of
 * what was removed, 0 if it was not there, which is no error.
 */
ngx_int_t ngx_http_acr_store_collect(ngx_http_acr_store_t *store,
    acr_digest_t *digest, off_t *freed, ngx_log_t *log);


/* --- a store that is a cache, of an edge node */

/*
 * The blob is used now.  What was used less than grain seconds ago is left
 * alone.  NGX_DECLINED, without a log line: it is not there.
 */
ngx_int_t ngx_http_acr_store_use(ngx_http_acr_store_t *store,
    acr_digest_t *digest, time_t grain, ngx_log_t *log);

/*
 * Removes the blob, unless it was used after this time (microseconds); who has
 * it open can read on.  *freed is its size.  Without a log line: NGX_DECLINED:
 * it was used, or is gone; NGX_AGAIN: somebody has its lock.
 */
ngx_int_t ngx_http_acr_store_evict(ngx_http_acr_store_t *store,
    acr_digest_t *digest, int64_t used, off_t *freed, ngx_log_t *log);

/* bytes that we may still take on the file system of the blobs */
ngx_int_t ngx_http_acr_store_free(ngx_http_acr_store_t *store,
    uint64_t *bytes, ngx_log_t *log);


/* --- marks: acr/nodes/<node> */

/*
 * Notes the highest sequence that this worker has acknowledged (microseconds,
 * decimal in the file, with the boot id): one line of 64 bytes in its slot.
 * Threads may call it at once; the highest wins.  Not synced: it survives a
 * kill, and the boot id tells whether there was a power loss since.
 */
ngx_int_t ngx_http_acr_store_mark(ngx_http_acr_store_t *store, uint64_t seq,
    ngx_log_t *log);

/*
 * At the exit of a worker: syncs its mark, and makes its boot id all zeroes to
 * say so.  A worker that has none, or whose slot is not of this boot, has
 * nothing to do.
 */
ngx_int_t ngx_http_acr_store_mark_seal(ngx_http_acr_store_t *store,
    ngx_log_t *log);

/*
 * Does the same to the lines of this node that an earlier boot has left, since
 * nobody may use their slots again: to be called when what "not certain" means
 * has been seen to, or it would be so at every start.
 */
ngx_int_t ngx_http_acr_store_marks_seal(ngx_http_acr_store_t *store,
    ngx_log_t *log);

/*
 * The highest mark of all nodes, decimal, and the content of acr/epoch, both
 * zero-terminated in buffers of 64 bytes.  "0" if there is none.
 *
 * *certain is 0 if this node may have had higher ones: its file has a line of
 * an earlier boot that was not sealed, or one that is no mark.  (With
 * acr_fsync off it may be 1 all the same.)  *empty is 1 if there is nothing
 * in blobs and repositories.
 */
ngx_int_t ngx_http_acr_store_marks(ngx_http_acr_store_t *store, char *mark,
    char *epoch, ngx_uint_t *certain, ngx_uint_t *empty, ngx_log_t *log);


/* --- health; without log lines */

/* writes a small file in acr/tmp, syncs it, and removes it */
ngx_int_t ngx_http_acr_store_probe_write(ngx_http_acr_store_t *store,
    ngx_log_t *log);

/* whether there is a volume that can be read */
ngx_int_t ngx_http_acr_store_probe_read(ngx_http_acr_store_t *store);


#endif /* NGX_HTTP_ACR_STORE_H */
