
/*
 * What src/store takes from nginx's headers, so that its unit tests need
 * neither nginx's sources nor its libraries.  Compiling the module is what
 * checks it against the real ones.
 */

#ifndef NGX_SHIM_CONFIG_H
#define NGX_SHIM_CONFIG_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <sys/types.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pthread.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef intptr_t   ngx_int_t;
typedef uintptr_t  ngx_uint_t;
typedef intptr_t   ngx_flag_t;
typedef int        ngx_err_t;

#define NGX_INT_T_LEN  (sizeof("-9223372036854775808") - 1)
#define NGX_INT64_LEN  (sizeof("-9223372036854775808") - 1)

#endif /* NGX_SHIM_CONFIG_H */
