
/*
 * What a script's reply says: the heads of the .lua files as two tables, and
 * the errors of Redis as a third.
 */

#define ACR_SCRIPTS_TEXT

#include "ngx_http_acr_meta_core.h"

#include <ngx_sha1.h>


#define NGX_HTTP_ACR_META_LOG_TIME  60   /* s between lines about one error */


typedef struct {
    unsigned    mutation:1;    /* takes the state first */
    unsigned    waits:1;       /* for its repository, the first argument, to be
                                  rebuilt */
    unsigned    state:8;       /* which element of an "ok" is the state; that
                                  of a "miss", "locked" or "behind" is 1, of a
                                  "missing" 2; 0: it says none */
} ngx_http_acr_meta_script_t;


typedef struct {
    ngx_str_t                    word;
    ngx_http_acr_meta_status_e   status;
} ngx_http_acr_meta_word_t;


typedef struct {
    ngx_str_t   code;
    const char *advice;
    ngx_uint_t  reset;         /* a new connection may get to another Redis */
} ngx_http_acr_meta_error_t;


#define NGX_HTTP_ACR_META_CHANGE         { 1, 1, 0 }
#define NGX_HTTP_ACR_META_NOTE           { 1, 0, 0 }  /* or: with a lock */
#define NGX_HTTP_ACR_META_QUESTION       { 0, 0, 0 }
#define NGX_HTTP_ACR_META_LOOKUP(state)  { 0, 0, state }
#define NGX_HTTP_ACR_META_LIST(state)    { 0, 1, state }


static ngx_int_t ngx_http_acr_meta_read_error(ngx_http_acr_meta_t *meta,
    redisReply *reply);
static ngx_int_t ngx_http_acr_meta_read_odd(ngx_http_acr_meta_t *meta,
    ngx_uint_t script);
static ngx_int_t ngx_http_acr_meta_status(redisReply *word,
    ngx_http_acr_meta_status_e *status);
static ngx_uint_t ngx_http_acr_meta_state_at(ngx_uint_t script,
    ngx_http_acr_meta_status_e status);
static ngx_uint_t ngx_http_acr_meta_word(redisReply *reply,
    const char *word);
static ngx_uint_t ngx_http_acr_meta_has_code(const char *text,
    ngx_str_t *code);
static ngx_uint_t ngx_http_acr_meta_quiet(ngx_http_acr_meta_t *meta,
    ngx_uint_t code);


static ngx_http_acr_meta_script_t  ngx_http_acr_meta_scripts[ACR_SCRIPT_MAX]
    =
{
    [ACR_SCRIPT_ACR_MANIFEST]    = NGX_HTTP_ACR_META_LIST(4),
    [ACR_SCRIPT_ACR_MANIFESTS]   = NGX_HTTP_ACR_META_LIST(5),
    [ACR_SCRIPT_ACR_REPOSITORY]  = NGX_HTTP_ACR_META_LIST(6),
    [ACR_SCRIPT_ACR_TAG]         = NGX_HTTP_ACR_META_LIST(5),
    [ACR_SCRIPT_ACR_TAGS]        = NGX_HTTP_ACR_META_LIST(5),
    [ACR_SCRIPT_ATTRIBUTES_SET]  = NGX_HTTP_ACR_META_CHANGE,
    [ACR_SCRIPT_BEAT]            = NGX_HTTP_ACR_META_LOOKUP(1),
    [ACR_SCRIPT_BLOB_COMMIT]     = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_BLOB_DELETE]     = NGX_HTTP_ACR_META_CHANGE,
    [ACR_SCRIPT_BLOB_FIND]       = NGX_HTTP_ACR_META_LIST(3),
    [ACR_SCRIPT_BLOB_STAT]       = NGX_HTTP_ACR_META_LOOKUP(2),
    [ACR_SCRIPT_BROKEN]          = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_CATALOG]         = NGX_HTTP_ACR_META_LOOKUP(2),
    [ACR_SCRIPT_COLLECTING_LIST] = NGX_HTTP_ACR_META_QUESTION,
    [ACR_SCRIPT_EVENTS_READ]     = NGX_HTTP_ACR_META_LOOKUP(1),
    [ACR_SCRIPT_GC_ASK]          = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_GC_BEGIN]        = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_GC_DUE]          = NGX_HTTP_ACR_META_LOOKUP(1),
    [ACR_SCRIPT_GC_END]          = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_GC_LINK]         = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_GC_MANIFEST]     = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_GC_ORPHANS]      = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_GC_REPORT]       = NGX_HTTP_ACR_META_LOOKUP(1),
    [ACR_SCRIPT_GC_UNTAGGED]     = NGX_HTTP_ACR_META_LOOKUP(1),
    [ACR_SCRIPT_JOIN]            = NGX_HTTP_ACR_META_QUESTION,
    [ACR_SCRIPT_LINK_NOW]        = NGX_HTTP_ACR_META_LOOKUP(2),
    [ACR_SCRIPT_LOGIN_FAILED]    = NGX_HTTP_ACR_META_QUESTION,
    [ACR_SCRIPT_MANIFEST_CHECK]  = NGX_HTTP_ACR_META_LIST(1),
    [ACR_SCRIPT_MANIFEST_DELETE] = NGX_HTTP_ACR_META_CHANGE,
    [ACR_SCRIPT_MANIFEST_GET]    = NGX_HTTP_ACR_META_LOOKUP(4),
    [ACR_SCRIPT_MANIFEST_PUT]    = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_PENDING_DONE]    = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_PENDING_LIST]    = NGX_HTTP_ACR_META_QUESTION,
    [ACR_SCRIPT_REBUILD_ATTRIBUTES] = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_REBUILD_BEGIN]   = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_REBUILD_BLOBS]   = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_REBUILD_DONE]    = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_REBUILD_FINISH]  = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_REBUILD_LEAVE]   = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_REBUILD_MANIFEST] = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_REBUILD_REST]    = NGX_HTTP_ACR_META_LOOKUP(2),
    [ACR_SCRIPT_REBUILD_TAGS]    = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_REBUILD_UNREAD]  = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_REBUILD_WANT]    = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_REFERRERS]       = NGX_HTTP_ACR_META_LIST(2),
    [ACR_SCRIPT_REMOVING_LIST]   = NGX_HTTP_ACR_META_QUESTION,
    [ACR_SCRIPT_REPOSITORY_NEXT] = NGX_HTTP_ACR_META_CHANGE,
    [ACR_SCRIPT_SESSIONS]        = NGX_HTTP_ACR_META_QUESTION,
    [ACR_SCRIPT_STATS]           = NGX_HTTP_ACR_META_QUESTION,
    [ACR_SCRIPT_TAG_DELETE]      = NGX_HTTP_ACR_META_CHANGE,
    [ACR_SCRIPT_TAGS_LIST]       = NGX_HTTP_ACR_META_LIST(3),
    [ACR_SCRIPT_UPLOAD_CANCEL]   = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_UPLOAD_CREATE]   = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_UPLOAD_GET]      = NGX_HTTP_ACR_META_QUESTION,
    [ACR_SCRIPT_UPLOAD_SAVE]     = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_UPLOAD_TAKE]     = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_WORK_DUE]        = NGX_HTTP_ACR_META_QUESTION,
    [ACR_SCRIPT_WORK_END]        = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_WORK_GET]        = NGX_HTTP_ACR_META_QUESTION,
    [ACR_SCRIPT_WORK_NOTE]       = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_WORK_STOP]       = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_WORK_TAKE]       = NGX_HTTP_ACR_META_NOTE,
    [ACR_SCRIPT_WORK_WANT]       = NGX_HTTP_ACR_META_NOTE
};


static ngx_http_acr_meta_word_t  ngx_http_acr_meta_words[] = {
    { ngx_string("ok"), NGX_HTTP_ACR_META_OK },
    { ngx_string("miss"), NGX_HTTP_ACR_META_MISS },
    { ngx_string("unknown"), NGX_HTTP_ACR_META_UNKNOWN },
    { ngx_string("lost"), NGX_HTTP_ACR_META_LOST },
    { ngx_string("range"), NGX_HTTP_ACR_META_RANGE },
    { ngx_string("missing"), NGX_HTTP_ACR_META_MISSING },
    { ngx_string("collecting"), NGX_HTTP_ACR_META_COLLECTING },
    { ngx_string("changed"), NGX_HTTP_ACR_META_CHANGED },
    { ngx_string("locked"), NGX_HTTP_ACR_META_LOCKED },
    { ngx_string("behind"), NGX_HTTP_ACR_META_BEHIND },
    { ngx_string("busy"), NGX_HTTP_ACR_META_BUSY },
    { ngx_string("current"), NGX_HTTP_ACR_META_CURRENT },
    { ngx_null_string, NGX_HTTP_ACR_META_DOWN }
};


/* the last row is for all others; no more than NGX_HTTP_ACR_META_CODES */

static ngx_http_acr_meta_error_t  ngx_http_acr_meta_errors[] = {
    { ngx_string("READONLY"), "it is a replica: acr_redis needs the master",
      1 },
    { ngx_string("MASTERDOWN"), "it is a replica: acr_redis needs the master",
      1 },
    { ngx_string("LOADING"), "it works as soon as it has read its data", 1 },
    { ngx_string("NOAUTH"), "give acr_redis a password", 1 },
    { ngx_string("WRONGPASS"), "check the password of acr_redis", 1 },
    { ngx_string("NOPERM"), "its ACL has to allow the user of acr_redis the "
      "keys and channels acr:* and all commands of the scripts", 0 },
    { ngx_string("ERR The user executing the script can't"),  /* Redis 7.0 */
      "its ACL has to allow the user of acr_redis the keys and channels acr:* "
      "and all commands of the scripts", 0 },
    { ngx_string("ERR ACL failure in script:"),               /* Redis 7.2 */
      "its ACL has to allow the user of acr_redis the keys and channels acr:* "
      "and all commands of the scripts", 0 },
    { ngx_string("OOM"), "it is full: raise its maxmemory", 0 },
    { ngx_string("MISCONF"), "it cannot write to its disk: make room there, "
      "and see its log", 0 },
    { ngx_string("NOREPLICAS"), "too few of its replicas are connected "
      "(min-replicas-to-write)", 0 },
    { ngx_string("BUSY"), "a script of another program blocks it: see SCRIPT "
      "KILL", 0 },
    { ngx_string("WRONGTYPE"), "another program writes to keys acr:*: give "
      "acr_redis a database of its own", 0 },
    { ngx_string("MOVED"), "Redis Cluster is not supported", 0 },
    { ngx_string("CROSSSLOT"), "Redis Cluster is not supported", 0 },
    { ngx_null_string, NULL, 0 }
};

#define NGX_HTTP_ACR_META_OTHER                                              \
    (sizeof(ngx_http_acr_meta_errors) / sizeof(ngx_http_acr_meta_errors[0])  \
     - 1)

#define NGX_HTTP_ACR_META_ODD  (NGX_HTTP_ACR_META_CODES - 1)


ngx_uint_t
ngx_http_acr_meta_mutation(ngx_uint_t script)
{
    return ngx_http_acr_meta_scripts[script].mutation;
}


ngx_uint_t
ngx_http_acr_meta_waits(ngx_uint_t script)
{
    return ngx_http_acr_meta_scripts[script].waits;
}


void
ngx_http_acr_meta_text(ngx_uint_t script, ngx_str_t *text)
{
    text->data = (u_char *) acr_scripts[script].text;
    text->len = acr_scripts[script].len;
}


void
ngx_http_acr_meta_sha1(ngx_http_acr_meta_t *meta)
{
    u_char       hash[20];
    ngx_uint_t   i;
    ngx_sha1_t   sha1;

    for (i = 0; i < ACR_SCRIPT_MAX; i++) {
        ngx_sha1_init(&sha1);
        ngx_sha1_update(&sha1, acr_scripts[i].text, acr_scripts[i].len);
        ngx_sha1_final(hash, &sha1);

        ngx_hex_dump(meta->sha1[i], hash, sizeof(hash));
    }
}


ngx_uint_t
ngx_http_acr_meta_noscript(redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR
           && ngx_strncmp(reply->str, "NOSCRIPT", 8) == 0;
}


ngx_int_t
ngx_http_acr_meta_read(ngx_http_acr_meta_t *meta, ngx_uint_t script,
    redisReply *reply, ngx_http_acr_meta_reply_t *r, ngx_str_t *v)
{
    ngx_uint_t                   i, n, at;
    redisReply                  *element;
    ngx_http_acr_meta_status_e   status;

    if (reply->type == REDIS_REPLY_ERROR) {
        return ngx_http_acr_meta_read_error(meta, reply);
    }

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0) {
        return ngx_http_acr_meta_read_odd(meta, script);
    }

    if (ngx_http_acr_meta_word(reply->element[0], "state")) {
        return NGX_AGAIN;
    }

    if (ngx_http_acr_meta_status(reply->element[0], &status) != NGX_OK) {
        return ngx_http_acr_meta_read_odd(meta, script);
    }

    at = ngx_http_acr_meta_state_at(script, status);

    if (at >= reply->elements) {
        return ngx_http_acr_meta_read_odd(meta, script);
    }

    n = 0;

    for (i = 1; i < reply->elements; i++) {
        element = reply->element[i];

        if (element->type != REDIS_REPLY_STRING
            && element->type != REDIS_REPLY_NIL)
        {
            return ngx_http_acr_meta_read_odd(meta, script);
        }

        v[n].data = (u_char *) element->str;
        v[n].len = element->str ? element->len : 0;

        if (i != at) {
            n++;
            continue;
        }

        if (v[n].len != meta->state.len || v[n].len == 0
            || ngx_memcmp(v[n].data, meta->state.data, v[n].len) != 0)
        {
            return NGX_AGAIN;
        }
    }

    r->status = status;
    r->n = n;
    r->v = v;

    return NGX_OK;
}


static ngx_int_t
ngx_http_acr_meta_read_error(ngx_http_acr_meta_t *meta, redisReply *reply)
{
    u_char      buf[NGX_MAX_ERROR_STR];
    ngx_str_t   text;
    ngx_uint_t  code;

    code = ngx_http_acr_meta_error(reply, buf, &text);

    if (ngx_http_acr_meta_errors[code].reset) {
        ngx_http_acr_redis_reset(meta->redis, NGX_LOG_ERR, &text);

    } else if (!ngx_http_acr_meta_quiet(meta, code)) {
        ngx_log_error(NGX_LOG_ERR, meta->log, 0,
                      "acr: Redis \"%V\" refuses: %V", &meta->conf->text,
                      &text);
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_acr_meta_read_odd(ngx_http_acr_meta_t *meta, ngx_uint_t script)
{
    if (!ngx_http_acr_meta_quiet(meta, NGX_HTTP_ACR_META_ODD)) {
        ngx_log_error(NGX_LOG_ALERT, meta->log, 0,
                      "acr: Redis \"%V\" gave an answer to %s.lua that is not "
                      "known", &meta->conf->text, acr_scripts[script].name);
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_acr_meta_status(redisReply *reply,
    ngx_http_acr_meta_status_e *status)
{
    ngx_http_acr_meta_word_t  *word;

    for (word = ngx_http_acr_meta_words; word->word.len; word++) {
        if (ngx_http_acr_meta_word(reply, (char *) word->word.data)) {
            *status = word->status;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/* which element is the state; 0: none */

static ngx_uint_t
ngx_http_acr_meta_state_at(ngx_uint_t script,
    ngx_http_acr_meta_status_e status)
{
    if (ngx_http_acr_meta_scripts[script].state == 0) {
        return 0;
    }

    switch (status) {

    case NGX_HTTP_ACR_META_MISS:
    case NGX_HTTP_ACR_META_LOCKED:
    case NGX_HTTP_ACR_META_BEHIND:
        return 1;

    case NGX_HTTP_ACR_META_MISSING:
        return 2;

    default:
        return ngx_http_acr_meta_scripts[script].state;
    }
}


static ngx_uint_t
ngx_http_acr_meta_word(redisReply *reply, const char *word)
{
    size_t  len;

    len = ngx_strlen(word);

    return reply->type == REDIS_REPLY_STRING && (size_t) reply->len == len
           && ngx_memcmp(reply->str, word, len) == 0;
}


ngx_uint_t
ngx_http_acr_meta_error(redisReply *reply, u_char *buf, ngx_str_t *text)
{
    u_char      *p, *last;
    ngx_uint_t   i;

    for (i = 0; i < NGX_HTTP_ACR_META_OTHER; i++) {
        if (ngx_http_acr_meta_has_code(reply->str,
                                       &ngx_http_acr_meta_errors[i].code))
        {
            break;
        }
    }

    last = buf + NGX_MAX_ERROR_STR;
    p = buf;

    /* what is to be done first: a log line may be cut */

    if (ngx_http_acr_meta_errors[i].advice) {
        p = ngx_slprintf(p, last, "%s: ",
                         ngx_http_acr_meta_errors[i].advice);
    }

    p = ngx_http_acr_redis_text(p, last, reply->str, reply->len);

    text->data = buf;
    text->len = p - buf;

    return i;
}


ngx_str_t
ngx_http_acr_meta_printable(u_char *buf, ngx_str_t *text)
{
    ngx_str_t  s;

    s.data = buf;
    s.len = ngx_http_acr_redis_text(buf, buf + NGX_HTTP_ACR_META_TEXT,
                                    (char *) text->data, text->len)
            - buf;

    return s;
}


/*
 * The code is the first word of an error.  Redis 6.2 puts the error of a
 * command in a script behind "ERR Error running script ...: -".
 */

static ngx_uint_t
ngx_http_acr_meta_has_code(const char *text, ngx_str_t *code)
{
    const char  *p;

    p = text;

    for ( ;; ) {
        p = strstr(p, (char *) code->data);

        if (p == NULL) {
            return 0;
        }

        if ((p == text || p[-1] == '-')
            && (p[code->len] == ' ' || p[code->len] == '\0'))
        {
            return 1;
        }

        p += code->len;
    }
}


static ngx_uint_t
ngx_http_acr_meta_quiet(ngx_http_acr_meta_t *meta, ngx_uint_t code)
{
    time_t  now;

    now = ngx_time();

    if (meta->logged[code]
        && now - meta->logged[code] < NGX_HTTP_ACR_META_LOG_TIME)
    {
        return 1;
    }

    meta->logged[code] = now;

    return 0;
}
