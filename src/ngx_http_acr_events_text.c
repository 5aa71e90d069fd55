
/*
 * {"events":[{"seq":…,"time":"…","action":"…","repository":"…","digest":"…",
 * "tags":["…"],"actor":"…"}],"next":…,"gap":false}
 */

#include "ngx_http_acr_events.h"


/* elements of an event in the reply: events_read.lua */

#define NGX_HTTP_ACR_EVENT_SEQ         0
#define NGX_HTTP_ACR_EVENT_ACTION      1
#define NGX_HTTP_ACR_EVENT_REPOSITORY  2
#define NGX_HTTP_ACR_EVENT_DIGEST      3
#define NGX_HTTP_ACR_EVENT_TAG         4
#define NGX_HTTP_ACR_EVENT_ACTOR       5
#define NGX_HTTP_ACR_EVENT_ELEMENTS    6

/* what all of them have; quotes and commas of tags are less than the six bytes
   that each of their own may take */
#define NGX_HTTP_ACR_EVENT_SIZE                                              \
    (sizeof("{\"seq\":,\"time\":\"1970-01-01T00:00:00.000000Z\","            \
            "\"action\":\"\",\"repository\":\"\",\"digest\":\"\","           \
            "\"tags\":[\"\"],\"actor\":\"\"},")                              \
     + 2 * NGX_OFF_T_LEN)


static size_t ngx_http_acr_events_size(ngx_http_acr_events_page_t *page);
static u_char *ngx_http_acr_events_print(u_char *p, ngx_str_t *v);
static u_char *ngx_http_acr_events_time(u_char *p, off_t us);
static u_char *ngx_http_acr_events_tags(u_char *p, ngx_str_t *tags);
static u_char *ngx_http_acr_events_string(u_char *p, ngx_str_t *s);
static ngx_uint_t ngx_http_acr_events_word(ngx_str_t *rest, ngx_str_t *word);


ngx_int_t
ngx_http_acr_events_page(ngx_http_acr_events_page_t *page,
    ngx_http_acr_meta_reply_t *reply)
{
    ngx_uint_t  i;

    if (reply->status != NGX_HTTP_ACR_META_OK || reply->n < 2
        || (reply->n - 2) % NGX_HTTP_ACR_EVENT_ELEMENTS)
    {
        return NGX_ERROR;
    }

    page->gap = (reply->v[0].len == 1 && reply->v[0].data[0] == '1');
    page->next = ngx_atoof(reply->v[1].data, reply->v[1].len);
    page->v = reply->v + 2;
    page->n = (reply->n - 2) / NGX_HTTP_ACR_EVENT_ELEMENTS;

    if (page->next == NGX_ERROR) {
        return NGX_ERROR;
    }

    for (i = 0; i < page->n; i++) {
        if (ngx_atoof(page->v[i * NGX_HTTP_ACR_EVENT_ELEMENTS].data,
                      page->v[i * NGX_HTTP_ACR_EVENT_ELEMENTS].len)
            == NGX_ERROR)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_http_acr_events_text_t *
ngx_http_acr_events_text(ngx_http_acr_events_page_t *page, ngx_log_t *log)
{
    u_char                      *p;
    ngx_uint_t                   i;
    ngx_http_acr_events_text_t  *text;

    text = ngx_alloc(sizeof(ngx_http_acr_events_text_t)
                     + ngx_http_acr_events_size(page), log);

    if (text == NULL) {
        return NULL;
    }

    text->refs = 1;
    text->text.data = (u_char *) (text + 1);

    p = ngx_sprintf(text->text.data, "{\"events\":[");

    for (i = 0; i < page->n; i++) {

        if (i) {
            *p++ = ',';
        }

        p = ngx_http_acr_events_print(p,
                               page->v + i * NGX_HTTP_ACR_EVENT_ELEMENTS);
    }

    p = ngx_sprintf(p, "],\"next\":%O,\"gap\":%s}\n", page->next,
                    page->gap ? "true" : "false");

    text->text.len = p - text->text.data;

    return text;
}


static size_t
ngx_http_acr_events_size(ngx_http_acr_events_page_t *page)
{
    size_t      size;
    ngx_uint_t  i;

    size = sizeof("{\"events\":[],\"next\":,\"gap\":false}\n") + NGX_OFF_T_LEN
           + page->n * NGX_HTTP_ACR_EVENT_SIZE;

    for (i = 0; i < page->n * NGX_HTTP_ACR_EVENT_ELEMENTS; i++) {
        size += 6 * page->v[i].len;
    }

    return size;
}


static u_char *
ngx_http_acr_events_print(u_char *p, ngx_str_t *v)
{
    off_t  seq;

    seq = ngx_atoof(v[NGX_HTTP_ACR_EVENT_SEQ].data,
                    v[NGX_HTTP_ACR_EVENT_SEQ].len);

    p = ngx_sprintf(p, "{\"seq\":%O,\"time\":\"", seq);
    p = ngx_http_acr_events_time(p, seq);
    p = ngx_sprintf(p, "\",\"action\":");
    p = ngx_http_acr_events_string(p, &v[NGX_HTTP_ACR_EVENT_ACTION]);
    p = ngx_sprintf(p, ",\"repository\":");
    p = ngx_http_acr_events_string(p, &v[NGX_HTTP_ACR_EVENT_REPOSITORY]);
    p = ngx_sprintf(p, ",\"digest\":");
    p = ngx_http_acr_events_string(p, &v[NGX_HTTP_ACR_EVENT_DIGEST]);
    p = ngx_sprintf(p, ",\"tags\":[");
    p = ngx_http_acr_events_tags(p, &v[NGX_HTTP_ACR_EVENT_TAG]);
    p = ngx_sprintf(p, "],\"actor\":");
    p = ngx_http_acr_events_string(p, &v[NGX_HTTP_ACR_EVENT_ACTOR]);

    *p++ = '}';

    return p;
}


/* a sequence is the time in microseconds, if the clock did not go back */

static u_char *
ngx_http_acr_events_time(u_char *p, off_t us)
{
    ngx_tm_t  tm;

    ngx_gmtime((time_t) (us / 1000000), &tm);

    return ngx_sprintf(p, "%4d-%02d-%02dT%02d:%02d:%02d.%06OZ",
                       tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                       tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec,
                       us % 1000000);
}


static u_char *
ngx_http_acr_events_tags(u_char *p, ngx_str_t *tags)
{
    u_char     *first;
    ngx_str_t   rest, tag;

    first = p;
    rest = *tags;

    while (ngx_http_acr_events_word(&rest, &tag)) {

        if (p != first) {
            *p++ = ',';
        }

        p = ngx_http_acr_events_string(p, &tag);
    }

    return p;
}


static u_char *
ngx_http_acr_events_string(u_char *p, ngx_str_t *s)
{
    *p++ = '"';
    p += acr_json_escape(p, s->data, s->len);
    *p++ = '"';

    return p;
}


void
ngx_http_acr_events_forget(ngx_http_acr_events_page_t *page,
    ngx_http_acr_cache_t *cache)
{
    ngx_str_t   *v, rest, tag;
    ngx_uint_t   i;

    for (i = 0; i < page->n; i++) {
        v = page->v + i * NGX_HTTP_ACR_EVENT_ELEMENTS;

        rest = v[NGX_HTTP_ACR_EVENT_TAG];

        /* only what is about all of a repository has no digest */

        ngx_http_acr_cache_changed(cache, &v[NGX_HTTP_ACR_EVENT_REPOSITORY],
                                   &v[NGX_HTTP_ACR_EVENT_DIGEST]);

        while (ngx_http_acr_events_word(&rest, &tag)) {
            ngx_http_acr_cache_changed(cache,
                                       &v[NGX_HTTP_ACR_EVENT_REPOSITORY],
                                       &tag);
        }
    }
}


/* takes the next word off; 0: there is none */

static ngx_uint_t
ngx_http_acr_events_word(ngx_str_t *rest, ngx_str_t *word)
{
    u_char  *p, *last;

    last = rest->data + rest->len;

    while (rest->data < last && *rest->data == ' ') {
        rest->data++;
    }

    p = ngx_strlchr(rest->data, last, ' ');

    if (p == NULL) {
        p = last;
    }

    word->data = rest->data;
    word->len = p - rest->data;

    rest->data = p;
    rest->len = last - p;

    return word->len != 0;
}
