
/*
 * What the files of src/store share: paths, and the operations on files that
 * everything durable is made of.  Nobody outside of src/store includes this.
 *
 * "Durable" means: the file's data is synced before it gets its name, the
 * directory is synced after that, and so is the parent of every directory
 * that was made on the way.  With acr_fsync off nothing is synced.
 *
 * Directories may be removed by others at any time while they are empty, so
 * whatever needs one tries first, makes directories on ENOENT, and tries
 * again a limited number of times.
 *
 * Functions that take a log return NGX_OK or an errno value after one log
 * line, unless said otherwise.
 */

#ifndef NGX_HTTP_ACR_STORE_PATH_H
#define NGX_HTTP_ACR_STORE_PATH_H

#include "ngx_http_acr_store.h"
#include "ngx_http_acr_store_walk.h"


#define NGX_HTTP_ACR_STORE_BLOBS         "/docker/registry/v2/blobs/"
#define NGX_HTTP_ACR_STORE_REPOSITORIES  "/docker/registry/v2/repositories/"

/* what the layout of Distribution has no place for */
#define NGX_HTTP_ACR_STORE_DETAILS       "/acr/repositories/"

/* names in blobs and repositories that prepare tries and removes again */
#define NGX_HTTP_ACR_STORE_PROBE         "_acr."

#define NGX_HTTP_ACR_STORE_DIR_ACCESS    0755
#define NGX_HTTP_ACR_STORE_FILE_ACCESS   0644

#define NGX_HTTP_ACR_STORE_TRIES         64

#define ngx_http_acr_store_gone(err)     ((err) == ENOENT || (err) == ESTALE)

/* of a struct stat, in microseconds */
#define ngx_http_acr_store_mtime(st)                                          \
    ((int64_t) (st)->st_mtim.tv_sec * 1000000 + (st)->st_mtim.tv_nsec / 1000)


/* always zero-terminated; empty once something did not fit */

typedef struct {
    size_t     len;
    char       data[PATH_MAX];
} ngx_http_acr_store_path_t;


/* --- building */

void ngx_http_acr_store_path_set(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, const char *below);

/* repositories/<name> and what is below */
void ngx_http_acr_store_path_repository(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, ngx_str_t *repository, const char *below);

/* repositories/<name>/_uploads/<uuid> */
void ngx_http_acr_store_path_session(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, ngx_str_t *repository, ngx_str_t *uuid);

/* the link of that kind (NGX_HTTP_ACR_LAYER, ..._REVISION) */
void ngx_http_acr_store_path_link(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, ngx_str_t *repository, ngx_uint_t kind,
    acr_digest_t *digest);

/* the tag's directory and what is below */
void ngx_http_acr_store_path_tag(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, ngx_str_t *repository, ngx_str_t *tag,
    const char *below);

/* the data of a blob */
void ngx_http_acr_store_path_blob(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_t *store, acr_digest_t *digest);

void ngx_http_acr_store_path_add(ngx_http_acr_store_path_t *path,
    const void *p, size_t n);

/* appends "<alg>/<hex>" */
void ngx_http_acr_store_path_digest(ngx_http_acr_store_path_t *path,
    acr_digest_t *digest);

/* back to a length it had before */
void ngx_http_acr_store_path_cut(ngx_http_acr_store_path_t *path, size_t len);

/* 32 random hex digits, zero-terminated; NGX_OK or an errno value, no log */
ngx_int_t ngx_http_acr_store_random(char *buf);

#define NGX_HTTP_ACR_STORE_RANDOM  32


/* --- the version */

#define NGX_HTTP_ACR_STORE_VERSION  "/acr/version"

/* the one that we know */
#define NGX_HTTP_ACR_STORE_KNOWN    "1"

/* as ngx_http_acr_store_version(), but newer is empty if it is not, and no log;
   0 or an errno value; path is that of the file */
ngx_err_t ngx_http_acr_store_version_read(ngx_http_acr_store_t *store,
    char *newer, size_t size, ngx_http_acr_store_path_t *path);


/* --- files */

/* logs "acr: <operation> "<path>" failed", returns err */
ngx_int_t ngx_http_acr_store_failed(ngx_log_t *log, ngx_err_t err,
    const char *operation, const char *path);

/* the same for a file of which only the descriptor is known */
ngx_int_t ngx_http_acr_store_fd_failed(ngx_log_t *log, ngx_err_t err,
    const char *operation, int fd);

/*
 * Makes the directories above path, which lies in the store's root (that one
 * is not made: it is missing if the volume is not mounted), durably.
 * NGX_AGAIN, without a log line, if one vanished meanwhile.
 */
ngx_int_t ngx_http_acr_store_make(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, ngx_log_t *log);

/* opens; with O_CREAT it makes the directories above */
ngx_int_t ngx_http_acr_store_open(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, int flags, int *fd, ngx_log_t *log);

/* renames, making the directories above to; syncs nothing else */
ngx_int_t ngx_http_acr_store_rename(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *from, ngx_http_acr_store_path_t *to,
    ngx_log_t *log);

/* syncs the directory that path lies in; NGX_DECLINED, without a log line, if
   it is gone */
ngx_int_t ngx_http_acr_store_sync_above(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, ngx_log_t *log);

/* makes the file with this content, synced, but not the directory */
ngx_int_t ngx_http_acr_store_write(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, const void *p, size_t n, ngx_log_t *log);

/*
 * The same in acr/tmp, under a new name that is put in path: a place that is
 * on the same file system, and that neither Distribution nor a walk of the
 * repositories looks at.  What a crash leaves there, sweep removes.
 */
ngx_int_t ngx_http_acr_store_write_temp(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, const void *p, size_t n, ngx_log_t *log);

/* a second name for the file, in acr/tmp; NGX_DECLINED: the file system has no
   hard links */
ngx_int_t ngx_http_acr_store_link_temp(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, ngx_http_acr_store_path_t *temp,
    ngx_log_t *log);

/* renames a file to be the data of the blob, under the digest's lock, durably;
   a file that is there is replaced.  lock: as for ngx_http_acr_store_put() */
ngx_int_t ngx_http_acr_store_rename_blob(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *from, acr_digest_t *digest, int *lock,
    ngx_log_t *log);

/* what is not there is no error */
ngx_int_t ngx_http_acr_store_unlink(ngx_http_acr_store_path_t *path,
    ngx_log_t *log);

/* what is not there, or not empty, is no error */
ngx_int_t ngx_http_acr_store_rmdir(ngx_http_acr_store_path_t *path,
    ngx_log_t *log);


/* --- small files */

/*
 * Reads at most *n bytes and sets *n to what there was; st, unless NULL, is
 * that of the file.  NGX_DECLINED, without a log line, if it is not there.
 */
ngx_int_t ngx_http_acr_store_read(ngx_http_acr_store_path_t *path,
    u_char *buf, size_t *n, struct stat *st, ngx_log_t *log);

/* NGX_OK if the content is this; NGX_DECLINED, without a log line, if it is
   another or the file is not there; n is at most 511 */
ngx_int_t ngx_http_acr_store_says(ngx_http_acr_store_path_t *path,
    const void *p, size_t n, ngx_log_t *log);

/* the content becomes this, durably, by a rename; a file that says it already
   is left alone */
ngx_int_t ngx_http_acr_store_replace(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, const void *p, size_t n, ngx_log_t *log);

/*
 * The digest that a link names.  NGX_DECLINED, without a log line, if there is
 * no link; NGX_ABORT, also without, if it is empty or torn.
 */
ngx_int_t ngx_http_acr_store_link_read(ngx_http_acr_store_path_t *path,
    acr_digest_t *digest, struct stat *st, ngx_log_t *log);

/*
 * Opens the data of a blob for reading, looking twice.  NGX_DECLINED, without
 * a log line, if it is not there or no regular file; *fd is -1 unless NGX_OK.
 */
ngx_int_t ngx_http_acr_store_open_blob(ngx_http_acr_store_path_t *path,
    int *fd, off_t *size, ngx_log_t *log);

/* hashes the bytes from offset to end with h; EIO if the file ends before */
ngx_int_t ngx_http_acr_store_hash_part(int fd, off_t offset, off_t end,
    acr_hash_t *h, ngx_log_t *log);

/* the file with the media type of a manifest goes, durably, and with it the
   directories that it was alone in */
ngx_int_t ngx_http_acr_store_type_remove(ngx_http_acr_store_t *store,
    ngx_str_t *repository, acr_digest_t *digest, ngx_log_t *log);


/* any file of NGX_HTTP_ACR_STORE_DETAILS, in the same way; what is not there is
   no error */
ngx_int_t ngx_http_acr_store_detail_remove(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, ngx_log_t *log);


/* --- trees */

/* NGX_DECLINED, without a log line: it is not there */
ngx_int_t ngx_http_acr_store_stat(ngx_http_acr_store_path_t *path,
    struct stat *st, ngx_log_t *log);

/* removes the directories above the data of a blob that are empty; path is
   cut meanwhile */
ngx_int_t ngx_http_acr_store_prune_blob(ngx_http_acr_store_t *store,
    ngx_http_acr_store_path_t *path, acr_digest_t *digest, ngx_log_t *log);

/*
 * Opens a directory to read it.  NGX_DECLINED, without a log line: it is not
 * there, or is none.  The caller gives it to closedir().
 */
ngx_int_t ngx_http_acr_store_dir_open(ngx_http_acr_store_path_t *path,
    DIR **dir, ngx_log_t *log);

/* the next name, but "." and "..", which is valid until the next call;
   NGX_DONE at the end, or if the directory is gone */
ngx_int_t ngx_http_acr_store_dir_read(DIR *dir,
    ngx_http_acr_store_path_t *path, const char **name, ngx_log_t *log);

/* calls visit for every name in the directory but "." and ".."; path is
   extended by it meanwhile.  A directory that is not there, or is none, is
   no error.  Goes on after an error and returns the first one. */

typedef ngx_int_t (*ngx_http_acr_store_visit_pt)(
    ngx_http_acr_store_path_t *path, const char *name, void *data,
    ngx_log_t *log);

ngx_int_t ngx_http_acr_store_each(ngx_http_acr_store_path_t *path,
    ngx_http_acr_store_visit_pt visit, void *data, ngx_log_t *log);

/* removes a tree; what others put there meanwhile stays, and is no error */
ngx_int_t ngx_http_acr_store_prune(ngx_http_acr_store_path_t *path,
    ngx_log_t *log);

/*
 * Removes the directories above path that are empty, up to the one whose path
 * has keep bytes, which stays.  path is cut meanwhile.
 */
ngx_int_t ngx_http_acr_store_prune_above(ngx_http_acr_store_path_t *path,
    size_t keep, ngx_log_t *log);

/* trees are this deep at most (the names of repositories aside) */
#define NGX_HTTP_ACR_STORE_DEPTH  8


/* walk_open, but names that are no repository's are logged at this level */
ngx_http_acr_store_walk_t *ngx_http_acr_store_walk_begin(
    ngx_http_acr_store_t *store, ngx_uint_t level, ngx_log_t *log);


/* --- marks */

#define NGX_HTTP_ACR_STORE_SLOT    64

/* the boot id of a mark that was synced at an orderly exit */
#define NGX_HTTP_ACR_STORE_SEALED  "00000000-0000-0000-0000-000000000000"

typedef struct {
    uint64_t   seq;
    char       boot[NGX_HTTP_ACR_UUID_LEN + 1];    /* zero-terminated */
} ngx_http_acr_store_slot_t;

/*
 * Reads the line at offset.  Without a log line: NGX_DECLINED: the file ends
 * before; NGX_AGAIN: it was never written; NGX_ABORT: it is no mark.
 */
ngx_int_t ngx_http_acr_store_mark_read(ngx_http_acr_store_path_t *path,
    int fd, off_t offset, ngx_http_acr_store_slot_t *slot, ngx_log_t *log);

/* zero-terminated, read once a process */
ngx_int_t ngx_http_acr_store_boot_id(const char **boot, ngx_log_t *log);


#endif /* NGX_HTTP_ACR_STORE_PATH_H */
