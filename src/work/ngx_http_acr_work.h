
/*
 * The work that a registry does by itself, in one worker of one node at a
 * time: "rebuild", "gc" and "scrub".  Who has it, how far it is, and what it
 * was asked for, stands in Redis (work_*.lua), so that any node can tell and
 * go on.  The lease only saves work: each step is safe beside another one of
 * its kind.
 *
 * The keeper (src/ngx_http_acr_keeper.c) asks what is due and begins it.
 */

#ifndef NGX_HTTP_ACR_WORK_H
#define NGX_HTTP_ACR_WORK_H

#include "../ngx_http_acr.h"
#include "../ngx_http_acr_task.h"
#include "../store/ngx_http_acr_store_walk.h"


/* a note that the work goes on comes at least so often, in ms */
#define NGX_HTTP_ACR_WORK_NOTE       5000

/* counters of a kind of work at most */
#define NGX_HTTP_ACR_WORK_COUNTERS   8

/* where the work is, as text: at most so many bytes */
#define NGX_HTTP_ACR_WORK_AT         300


/* a counter of the work, and what counts the same for acr_metrics
   (NGX_HTTP_ACR_C_..., or NGX_HTTP_ACR_WORK_UNCOUNTED) */

typedef struct {
    const char                  *name;
    ngx_uint_t                   metric;
} ngx_http_acr_work_counter_t;

#define NGX_HTTP_ACR_WORK_UNCOUNTED  ((ngx_uint_t) -1)


typedef struct ngx_http_acr_work_s  ngx_http_acr_work_t;

/* NGX_OK: it is ours (still); NGX_DECLINED: it is somebody else's, or was
   stopped; NGX_ERROR: Redis does not answer */
typedef void (*ngx_http_acr_work_next_pt)(ngx_http_acr_work_t *work,
    ngx_int_t rc);


/* what every kind of work has; the work's own structure begins with it */

struct ngx_http_acr_work_s {
    ngx_http_acr_registry_t     *registry;
    const char                  *kind;
    ngx_str_t                    owner;       /* of this attempt */
    ngx_uint_t                  *busy;

    ngx_http_acr_work_counter_t *counters;    /* one without a name ends them */
    ngx_uint_t                   counted[NGX_HTTP_ACR_WORK_COUNTERS];
    ngx_uint_t                   noted[NGX_HTTP_ACR_WORK_COUNTERS];

    u_char                       at[NGX_HTTP_ACR_WORK_AT];
    size_t                       at_len;
    u_char                       request[NGX_HTTP_ACR_WORK_AT];
    size_t                       request_len;

    ngx_msec_t                   note;        /* the time of the last one */
    time_t                       started;
    ngx_http_acr_work_next_pt    next;

    ngx_pool_t                  *pool;
    unsigned                     taken:1;     /* it was ours */
};


/*
 * A new attempt at work: size bytes of a pool of its own, zeroed, of which the
 * first are ngx_http_acr_work_t; NULL: no memory.  busy is set to 1.
 */
void *ngx_http_acr_work_create(ngx_http_acr_registry_t *registry,
    const char *kind, ngx_http_acr_work_counter_t *counters, size_t size,
    ngx_uint_t *busy);

/* takes the lease, if it is due: every is the interval in seconds, 0 if there
   is none; work->at and work->request are those of the registry then */
void ngx_http_acr_work_take(ngx_http_acr_work_t *work, time_t every,
    ngx_http_acr_work_next_pt next);

/*
 * Says how far the work is (work->at, and what was counted since) and renews
 * the lease, if the last note is old enough or now is set; else only
 * continues, at once.
 */
void ngx_http_acr_work_go_on(ngx_http_acr_work_t *work, ngx_uint_t now,
    ngx_http_acr_work_next_pt next);

/*
 * The end of an attempt: gives the lease back, if it is still ours, then frees
 * the work and clears *busy.  If the work is not done somebody goes on from
 * where it was noted last.
 */
void ngx_http_acr_work_end(ngx_http_acr_work_t *work, ngx_uint_t done);


/* --- the kinds of work; each ends by itself if it is somebody else's */

/* removes what nothing refers to; src/meta/schema.md has the protocol */
void ngx_http_acr_collect(ngx_http_acr_registry_t *registry,
    ngx_uint_t *busy);

/* reads all content and compares it with its digests */
void ngx_http_acr_scrub(ngx_http_acr_registry_t *registry, ngx_uint_t *busy);


#endif /* NGX_HTTP_ACR_WORK_H */
