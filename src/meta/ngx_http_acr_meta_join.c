
/*
 * From a connection to a Redis that can be used: is it one that we can work
 * with, and is it complete?  DESIGN "Complete or behind".
 */

#include "ngx_http_acr_meta_core.h"

#include <ngx_event.h>


static void ngx_http_acr_meta_info(void *data, redisReply *reply);
static ngx_int_t ngx_http_acr_meta_info_field(redisReply *reply,
    const char *name, ngx_str_t *value);
static ngx_int_t ngx_http_acr_meta_info_is(redisReply *reply,
    const char *name, const char *value);
static ngx_int_t ngx_http_acr_meta_fit(ngx_http_acr_meta_t *meta,
    redisReply *reply);
static void ngx_http_acr_meta_ask_marks(ngx_http_acr_meta_t *meta);
static ngx_int_t ngx_http_acr_meta_marks(void *data, ngx_log_t *log);
static void ngx_http_acr_meta_marks_known(void *data, ngx_int_t rc);
static void ngx_http_acr_meta_refuse(ngx_http_acr_meta_t *meta,
    ngx_uint_t level, const char *reason);


void
ngx_http_acr_meta_join(ngx_http_acr_meta_t *meta)
{
    const char  *argv[1];
    size_t       argvlen[1];

    if (meta->phase == NGX_HTTP_ACR_META_JOINED) {
        meta->since = ngx_current_msec;
    }

    meta->phase = NGX_HTTP_ACR_META_JOINING;
    meta->attempt++;
    meta->marks_due = 0;

    argv[0] = "INFO";
    argvlen[0] = sizeof("INFO") - 1;

    if (ngx_http_acr_redis_command(meta->redis, ngx_http_acr_meta_info, meta,
                                   1, argv, argvlen)
        != NGX_OK)
    {
        ngx_http_acr_meta_refuse(meta, NGX_LOG_ERR, "no memory");
    }
}


void
ngx_http_acr_meta_leave(ngx_http_acr_meta_t *meta)
{
    if (meta->phase == NGX_HTTP_ACR_META_JOINED) {
        meta->since = ngx_current_msec;
    }

    meta->phase = NGX_HTTP_ACR_META_OFF;
}


static void
ngx_http_acr_meta_info(void *data, redisReply *reply)
{
    ngx_http_acr_meta_t *meta = data;

    u_char      buf[NGX_MAX_ERROR_STR];
    ngx_str_t   text;

    if (reply == NULL || meta->phase != NGX_HTTP_ACR_META_JOINING) {
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        (void) ngx_http_acr_meta_error(reply, buf, &text);
        ngx_http_acr_redis_reset(meta->redis, NGX_LOG_ERR, &text);
        return;
    }

    if (ngx_http_acr_meta_fit(meta, reply) == NGX_OK) {
        ngx_http_acr_meta_ask_marks(meta);
    }
}


/* can we work with this Redis? */

static ngx_int_t
ngx_http_acr_meta_fit(ngx_http_acr_meta_t *meta, redisReply *reply)
{
    size_t     i;
    ngx_str_t  run_id;

    if ((reply->type != REDIS_REPLY_STRING
#ifdef REDIS_REPLY_VERB
         && reply->type != REDIS_REPLY_VERB
#endif
        )
        || ngx_http_acr_meta_info_field(reply, "run_id", &run_id) != NGX_OK
        || run_id.len == 0 || run_id.len > NGX_HTTP_ACR_META_RUN_ID)
    {
        ngx_http_acr_meta_refuse(meta, NGX_LOG_ERR,
                                 "its INFO has no run_id: is it a Redis?");
        return NGX_ERROR;
    }

    for (i = 0; i < run_id.len; i++) {
        if (run_id.data[i] <= ' ' || run_id.data[i] == ':') {
            ngx_http_acr_meta_refuse(meta, NGX_LOG_ERR,
                                     "the run_id in its INFO is malformed");
            return NGX_ERROR;
        }
    }

    if (ngx_http_acr_meta_info_is(reply, "role", "slave") == NGX_OK) {
        ngx_http_acr_meta_refuse(meta, NGX_LOG_ERR,
                                 "it is a replica: acr_redis needs the "
                                 "master");
        return NGX_ERROR;
    }

    if (ngx_http_acr_meta_info_is(reply, "maxmemory", "0") != NGX_OK
        && ngx_http_acr_meta_info_is(reply, "maxmemory_policy", "noeviction")
           != NGX_OK)
    {
        ngx_http_acr_meta_refuse(meta, NGX_LOG_ALERT,
                                 "it would evict keys and so lose content: "
                                 "set its maxmemory-policy to noeviction");
        return NGX_ERROR;
    }

    ngx_memcpy(meta->run_id, run_id.data, run_id.len);
    meta->run_id_len = run_id.len;

    return NGX_OK;
}


/* the lines of INFO are name:value */

static ngx_int_t
ngx_http_acr_meta_info_field(redisReply *reply, const char *name,
    ngx_str_t *value)
{
    u_char  *p, *end, *last;
    size_t   len;

    p = (u_char *) reply->str;
    last = p + reply->len;
    len = ngx_strlen(name);

    while (p < last) {
        end = ngx_strlchr(p, last, '\n');

        if (end == NULL) {
            end = last;
        }

        if ((size_t) (end - p) > len && p[len] == ':'
            && ngx_memcmp(p, name, len) == 0)
        {
            value->data = p + len + 1;
            value->len = end - value->data;

            if (value->len && value->data[value->len - 1] == '\r') {
                value->len--;
            }

            return NGX_OK;
        }

        p = end + 1;
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_acr_meta_info_is(redisReply *reply, const char *name,
    const char *value)
{
    ngx_str_t  field;

    if (ngx_http_acr_meta_info_field(reply, name, &field) != NGX_OK
        || field.len != ngx_strlen(value)
        || ngx_memcmp(field.data, value, field.len) != 0)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/*
 * The marks have to be read after this Redis has answered: before that,
 * another node may still have raised its mark by what this Redis has lost.
 * So a task that an earlier attempt has left running is no use.
 */

static void
ngx_http_acr_meta_ask_marks(ngx_http_acr_meta_t *meta)
{
    if (meta->task.active) {
        meta->marks_due = 1;
        return;
    }

    meta->marks_due = 0;
    meta->task_attempt = meta->attempt;

    meta->task.work = ngx_http_acr_meta_marks;
    meta->task.done = ngx_http_acr_meta_marks_known;
    meta->task.data = meta;

    if (ngx_http_acr_task_post(&meta->task, meta->tp) != NGX_OK) {
        ngx_http_acr_meta_refuse(meta, NGX_LOG_ERR,
                                 "the thread pool has no room to read the "
                                 "marks of the volume");
    }
}


static ngx_int_t
ngx_http_acr_meta_marks(void *data, ngx_log_t *log)
{
    ngx_http_acr_meta_t *meta = data;

    ngx_int_t  rc;

    rc = meta->marks(meta->marks_data, meta->mark, meta->epoch, log);

    meta->mark[NGX_HTTP_ACR_META_TEXT - 1] = '\0';
    meta->epoch[NGX_HTTP_ACR_META_TEXT - 1] = '\0';

    return rc;
}


static void
ngx_http_acr_meta_marks_known(void *data, ngx_int_t rc)
{
    ngx_http_acr_meta_t *meta = data;

    ngx_str_t  args[3];

    if (meta->closed || meta->phase != NGX_HTTP_ACR_META_JOINING) {
        return;
    }

    if (meta->marks_due) {
        ngx_http_acr_meta_ask_marks(meta);
        return;
    }

    if (meta->task_attempt != meta->attempt) {
        return;
    }

    if (rc != NGX_OK) {
        ngx_http_acr_meta_refuse(meta, NGX_LOG_ERR,
                                 "the marks of the volume cannot be read, so "
                                 "whether it is complete is not known");
        return;
    }

    args[0].data = meta->run_id;
    args[0].len = meta->run_id_len;
    args[1].data = (u_char *) meta->mark;
    args[1].len = ngx_strlen(meta->mark);
    args[2].data = (u_char *) meta->epoch;
    args[2].len = ngx_strlen(meta->epoch);

    if (ngx_http_acr_meta_call_join(meta, args, 3) != NGX_OK) {
        ngx_http_acr_meta_refuse(meta, NGX_LOG_ERR, "no memory");
    }
}


void
ngx_http_acr_meta_joined(ngx_http_acr_meta_t *meta, redisReply *reply)
{
    u_char       buf[NGX_MAX_ERROR_STR];
    ngx_str_t    text;
    ngx_uint_t   behind, was;
    redisReply  *word, *state;

    if (reply == NULL || meta->phase != NGX_HTTP_ACR_META_JOINING) {
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        (void) ngx_http_acr_meta_error(reply, buf, &text);
        ngx_http_acr_redis_reset(meta->redis, NGX_LOG_ERR, &text);
        return;
    }

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
        goto unknown;
    }

    word = reply->element[0];
    state = reply->element[1];

    if (word->type != REDIS_REPLY_STRING || state->type != REDIS_REPLY_STRING
        || state->len > NGX_HTTP_ACR_META_STATE)
    {
        goto unknown;
    }

    if (word->len == 6 && ngx_memcmp(word->str, "behind", 6) == 0) {
        behind = 1;

    } else if (word->len == 8 && ngx_memcmp(word->str, "complete", 8) == 0) {
        behind = 0;

    } else {
        goto unknown;
    }

    was = meta->behind;

    ngx_memcpy(meta->state_text, state->str, state->len);

    meta->state.data = meta->state_text;
    meta->state.len = state->len;
    meta->behind = behind;
    meta->phase = NGX_HTTP_ACR_META_JOINED;
    meta->joins++;

    ngx_http_acr_redis_usable(meta->redis);

    if (behind && !was) {
        ngx_log_error(NGX_LOG_ALERT, meta->log, 0,
                      "acr: Redis \"%V\" has lost changes of \"%V\": what it "
                      "does not find may be there, so lists and deletes wait "
                      "for a rebuild", &meta->conf->text, &meta->prefix);

    } else if (was && !behind) {
        ngx_log_error(NGX_LOG_ERR, meta->log, 0,
                      "acr: Redis \"%V\" is complete for \"%V\"",
                      &meta->conf->text, &meta->prefix);
    }

    ngx_http_acr_meta_resume(meta);

    return;

unknown:

    ngx_http_acr_meta_refuse(meta, NGX_LOG_ALERT,
                             "its answer to join.lua is not known");
}


static void
ngx_http_acr_meta_refuse(ngx_http_acr_meta_t *meta, ngx_uint_t level,
    const char *reason)
{
    ngx_str_t  text;

    text.data = (u_char *) reason;
    text.len = ngx_strlen(reason);

    ngx_http_acr_redis_reset(meta->redis, level, &text);
}
