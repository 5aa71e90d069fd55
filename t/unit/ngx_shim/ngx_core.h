
/* see ngx_config.h */

#ifndef NGX_SHIM_CORE_H
#define NGX_SHIM_CORE_H

#include <ngx_config.h>

#define NGX_OK        0
#define NGX_ERROR    -1
#define NGX_AGAIN    -2
#define NGX_DONE     -4
#define NGX_DECLINED -5
#define NGX_ABORT    -6

#define NGX_LOG_ALERT 2
#define NGX_LOG_CRIT  3
#define NGX_LOG_ERR   4
#define NGX_LOG_WARN  5
#define NGX_LOG_INFO  7

typedef struct {
    size_t       len;
    u_char      *data;
} ngx_str_t;

typedef struct {
    ngx_uint_t   log_level;
} ngx_log_t;

void ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#define ngx_log_error(level, log, ...)                                        \
    if ((log)->log_level >= level) ngx_log_error_core(level, log, __VA_ARGS__)

void *ngx_alloc(size_t size, ngx_log_t *log);

#define ngx_free                 free

#define ngx_string(str)          { sizeof(str) - 1, (u_char *) str }
#define ngx_str_null(str)        (str)->len = 0; (str)->data = NULL

#define ngx_errno                errno
#define ngx_set_errno(err)       errno = err

#define ngx_memzero(buf, n)      (void) memset(buf, 0, n)
#define ngx_memset(buf, c, n)    (void) memset(buf, c, n)
#define ngx_memcpy(dst, src, n)  (void) memcpy(dst, src, n)
#define ngx_cpymem(dst, src, n)  (((u_char *) memcpy(dst, src, n)) + (n))
#define ngx_memcmp(s1, s2, n)    memcmp(s1, s2, n)
#define ngx_strlen(s)            strlen(s)
#define ngx_strcmp(s1, s2)       strcmp(s1, s2)
#define ngx_strncmp(s1, s2, n)   strncmp(s1, s2, n)

#define ngx_min(val1, val2)      ((val1 > val2) ? (val2) : (val1))
#define ngx_max(val1, val2)      ((val1 < val2) ? (val2) : (val1))

#define ngx_msleep(ms)           (void) usleep(ms * 1000)

#define ngx_memmove(dst, src, n) (void) memmove(dst, src, n)
#define ngx_align(d, a)          (((d) + (a - 1)) & ~(a - 1))

/* of the test of src/ngx_http_acr_cache.c */

void shim_barrier(void);

#define ngx_memory_barrier()     shim_barrier()

typedef struct {
    ngx_uint_t   locked;
} ngx_shmtx_t;

void ngx_shmtx_lock(ngx_shmtx_t *mtx);
void ngx_shmtx_unlock(ngx_shmtx_t *mtx);

uint32_t ngx_murmur_hash2(u_char *data, size_t len);

/* of the test of src/edge/ngx_http_acr_breaker.c */

typedef ngx_uint_t             ngx_msec_t;
typedef ngx_int_t              ngx_msec_int_t;
typedef ngx_uint_t             ngx_atomic_uint_t;
typedef volatile ngx_uint_t    ngx_atomic_t;

#define ngx_atomic_cmp_set(lock, old, set)                                    \
    __sync_bool_compare_and_swap(lock, old, set)

#endif /* NGX_SHIM_CORE_H */
