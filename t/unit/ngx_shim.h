
/*
 * What the tests of src/store share: a store in a temporary directory that is
 * removed at the end, files to look at, and system calls that can be watched
 * and made to fail (the Makefile links them by --wrap).
 */

#ifndef NGX_SHIM_H
#define NGX_SHIM_H

#include "ngx_http_acr_store_path.h"
#include "tap.h"


/* the store, prepared, with fsync on; made at the first call */
ngx_http_acr_store_t *shim_store(void);

/* root/<path>, in one of several buffers of the thread */
const char *shim_path(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

/* as ngx_str_t; digest of a text; its hex digits; "sha256:<hex>" */
ngx_str_t *shim_str(const char *s);
acr_digest_t *shim_digest(const char *content);
const char *shim_hex(acr_digest_t *digest);
const char *shim_text(acr_digest_t *digest);

/* whole files by path; shim_is compares */
void shim_put(const char *path, const char *content);
int shim_is(const char *path, const char *content);
int shim_exists(const char *path);

/* number of names in a directory, -1 if it is not there */
int shim_count(const char *path);

/* makes a directory and those above it; writes a file in one */
void shim_mkdir(const char *path);
void shim_make(const char *path, const char *content);

/* removes a tree, returns 1 */
int shim_clear(const char *path);

/* sets the times of a file or directory to this many seconds ago */
void shim_age(const char *path, int seconds);


/* --- what was logged: the number of lines, and the last of them */

extern ngx_log_t  shim_log;
extern char       shim_logged[];
extern int        shim_lines;


/* --- system calls: "<call> <path below root>" in their order */

void shim_trace(void);                       /* begins anew */
int shim_traced(const char *fmt, ...)        /* position, or -1 */
    __attribute__((format(printf, 1, 2)));
int shim_syncs(void);                        /* number of syncs */

extern int  shim_fail_sync;       /* errno for fsync() and fdatasync() */
extern int  shim_fail_open;       /* errno for open() of a blob */
extern int  shim_fail_read;       /* errno for pread() */
extern int  shim_fail_copy;       /* errno for copy_file_range() */
extern int  shim_clone;           /* FICLONE works, by copying it all */
extern int  shim_short;           /* write() writes one byte, or EINTR */
extern int  shim_no_sleep;        /* usleep() returns at once */
extern int  shim_no_sync;         /* so do fsync() and fdatasync() */
extern void (*shim_before_open)(const char *path);
extern int  shim_no_memory;       /* ngx_alloc() fails */


#endif /* NGX_SHIM_H */
