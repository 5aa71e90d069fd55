
/*
 * While blobs are added, a heap with the newest of them at its top, which is
 * the one that goes when an older one comes.
 */

#include "ngx_http_acr_store_oldest.h"

#include <stdlib.h>


static void ngx_http_acr_store_oldest_up(ngx_http_acr_store_aged_t *elts,
    ngx_uint_t i);
static void ngx_http_acr_store_oldest_down(ngx_http_acr_store_aged_t *elts,
    ngx_uint_t n);
static void ngx_http_acr_store_oldest_swap(ngx_http_acr_store_aged_t *one,
    ngx_http_acr_store_aged_t *two);
static int ngx_http_acr_store_oldest_cmp(const void *one, const void *two);


void
ngx_http_acr_store_oldest_clear(ngx_http_acr_store_oldest_t *oldest)
{
    oldest->n = 0;
    oldest->next = 0;
    oldest->more = 0;
}


void
ngx_http_acr_store_oldest_add(ngx_http_acr_store_oldest_t *oldest,
    ngx_http_acr_store_aged_t *aged)
{
    if (oldest->n < oldest->max) {
        oldest->elts[oldest->n] = *aged;
        ngx_http_acr_store_oldest_up(oldest->elts, oldest->n++);
        return;
    }

    oldest->more = 1;

    if (aged->used < oldest->elts[0].used) {
        oldest->elts[0] = *aged;
        ngx_http_acr_store_oldest_down(oldest->elts, oldest->n);
    }
}


void
ngx_http_acr_store_oldest_sort(ngx_http_acr_store_oldest_t *oldest)
{
    qsort(oldest->elts, oldest->n, sizeof(ngx_http_acr_store_aged_t),
          ngx_http_acr_store_oldest_cmp);
}


ngx_http_acr_store_aged_t *
ngx_http_acr_store_oldest_next(ngx_http_acr_store_oldest_t *oldest)
{
    return (oldest->next < oldest->n) ? &oldest->elts[oldest->next++] : NULL;
}


static void
ngx_http_acr_store_oldest_up(ngx_http_acr_store_aged_t *elts, ngx_uint_t i)
{
    ngx_uint_t  above;

    while (i) {
        above = (i - 1) / 2;

        if (elts[above].used >= elts[i].used) {
            return;
        }

        ngx_http_acr_store_oldest_swap(&elts[above], &elts[i]);
        i = above;
    }
}


static void
ngx_http_acr_store_oldest_down(ngx_http_acr_store_aged_t *elts, ngx_uint_t n)
{
    ngx_uint_t  i, below;

    i = 0;

    for ( ;; ) {
        below = 2 * i + 1;

        if (below >= n) {
            return;
        }

        if (below + 1 < n && elts[below + 1].used > elts[below].used) {
            below++;
        }

        if (elts[i].used >= elts[below].used) {
            return;
        }

        ngx_http_acr_store_oldest_swap(&elts[i], &elts[below]);
        i = below;
    }
}


static void
ngx_http_acr_store_oldest_swap(ngx_http_acr_store_aged_t *one,
    ngx_http_acr_store_aged_t *two)
{
    ngx_http_acr_store_aged_t  aged;

    aged = *one;
    *one = *two;
    *two = aged;
}


static int
ngx_http_acr_store_oldest_cmp(const void *one, const void *two)
{
    const ngx_http_acr_store_aged_t *first = one;
    const ngx_http_acr_store_aged_t *second = two;

    return (first->used > second->used) - (first->used < second->used);
}
