
/*
 * From a connection to a Redis that can be used: is it one that we can work
 * with, and is it complete?  DESIGN "Complete or behind".
 */

#include "ngx_http_acr_meta_core.h"
#include "ngx_http_acr_feed.h"

#include <ngx_event.h>


static void ngx_http_acr_meta_info(void *data, redisReply *reply);
static ngx_int_t ngx_http_acr_meta_info_field(redisReply *reply,
    const char *name, ngx_str_t *value);
static ngx_int_t ngx_http_acr_meta_info_is(redisReply *reply,
    const char *name, const char *value);
static ngx_int_t ngx_http_acr_meta_fit(ngx_http_acr_meta_t *meta,
    redisReply *reply);
static void ngx_http_acr_meta_ask_volume(ngx_http_acr_meta_t *meta);
static ngx_int_t ngx_http_acr_meta_volume(void *data, ngx_log_t *log);
static void ngx_http_acr_meta_volume_known(void *data, ngx_int_t rc);
static void ngx_http_acr_meta_newer(ngx_http_acr_meta_t *meta,
    const char *what);
static ngx_int_t ngx_http_acr_meta_verdict(redisReply *word);
static void ngx_http_acr_meta_new_state(ngx_http_acr_meta_t *meta,
    redisReply *state, ngx_uint_t behind);
static void ngx_http_acr_meta_history(ngx_str_t *state);
static void ngx_http_acr_meta_tell(ngx_http_acr_meta_t *meta,
    const char *why);
static void ngx_http_acr_meta_refuse(ngx_http_acr_meta_t *meta,
    ngx_uint_t level, const char *reason);


/* what join.lua says: why a Redis is behind */

typedef struct {
    const char  *why;
    ngx_uint_t   level;
    const char  *text;
} ngx_http_acr_meta_why_t;


static ngx_http_acr_meta_why_t  ngx_http_acr_meta_whys[] = {
    { "new", NGX_LOG_NOTICE, "knows nothing of this volume yet" },
    { "schema", NGX_LOG_NOTICE, "has an index of an older schema" },
    { "volume", NGX_LOG_ALERT, "has the index of another volume" },
    { "lost", NGX_LOG_ALERT, "has lost changes" },
    { "power", NGX_LOG_WARN, "may have lost changes with the power" },
    { NULL, 0, NULL }
};


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
    meta->volume_due = 0;

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

    if (meta->feed) {
        ngx_http_acr_feed_stop(meta->feed);
    }

    ngx_http_acr_worker_set(meta->owner.zone, NGX_HTTP_ACR_W_REDIS_UP, 0);
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
        ngx_http_acr_meta_ask_volume(meta);
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
ngx_http_acr_meta_ask_volume(ngx_http_acr_meta_t *meta)
{
    if (meta->task.active) {
        meta->volume_due = 1;
        return;
    }

    meta->volume_due = 0;
    meta->task_attempt = meta->attempt;

    meta->task.work = ngx_http_acr_meta_volume;
    meta->task.done = ngx_http_acr_meta_volume_known;
    meta->task.data = meta;

    if (ngx_http_acr_task_post(&meta->task, meta->tp) != NGX_OK) {
        ngx_http_acr_meta_refuse(meta, NGX_LOG_ERR,
                                 "the thread pool has no room to read the "
                                 "marks of the volume");
    }
}


static ngx_int_t
ngx_http_acr_meta_volume(void *data, ngx_log_t *log)
{
    ngx_http_acr_meta_t *meta = data;

    return meta->owner.volume(meta->owner.data, &meta->volume, log);
}


static void
ngx_http_acr_meta_volume_known(void *data, ngx_int_t rc)
{
    ngx_http_acr_meta_t *meta = data;

    ngx_str_t  args[5];

    if (meta->closed || meta->phase != NGX_HTTP_ACR_META_JOINING) {
        return;
    }

    if (meta->volume_due) {
        ngx_http_acr_meta_ask_volume(meta);
        return;
    }

    if (meta->task_attempt != meta->attempt) {
        return;
    }

    if (rc == NGX_DECLINED) {
        ngx_http_acr_meta_newer(meta, meta->volume.newer);
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
    args[1].data = (u_char *) meta->volume.mark;
    args[1].len = ngx_strlen(meta->volume.mark);
    args[2].data = (u_char *) meta->volume.epoch;
    args[2].len = ngx_strlen(meta->volume.epoch);
    args[3].data = (u_char *) (meta->volume.certain ? "1" : "0");
    args[3].len = 1;
    args[4].data = (u_char *) (meta->volume.empty ? "1" : "0");
    args[4].len = 1;

    if (ngx_http_acr_meta_call_join(meta, args, 5) != NGX_OK) {
        ngx_http_acr_meta_refuse(meta, NGX_LOG_ERR, "no memory");
    }
}


void
ngx_http_acr_meta_joined(ngx_http_acr_meta_t *meta, redisReply *reply)
{
    u_char       buf[NGX_MAX_ERROR_STR];
    ngx_int_t    behind;
    ngx_str_t    text;
    ngx_uint_t   i;
    redisReply  *state;

    if (meta->phase != NGX_HTTP_ACR_META_JOINING) {
        return;
    }

    /* the loss of a connection ends the joining first, so this one is there,
       but join.lua could not be sent by it once more, with its text */

    if (reply == NULL) {
        ngx_http_acr_meta_refuse(meta, NGX_LOG_ERR, "no memory");
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        (void) ngx_http_acr_meta_error(reply, buf, &text);
        ngx_http_acr_redis_reset(meta->redis, NGX_LOG_ERR, &text);
        return;
    }

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) {
        goto unknown;
    }

    for (i = 0; i < 3; i++) {
        if (reply->element[i]->type != REDIS_REPLY_STRING) {
            goto unknown;
        }
    }

    if (ngx_strcmp(reply->element[0]->str, "newer") == 0) {
        ngx_http_acr_meta_newer(meta, reply->element[2]->str);
        return;
    }

    behind = ngx_http_acr_meta_verdict(reply->element[0]);
    state = reply->element[1];

    if (behind == NGX_ERROR || state->len > NGX_HTTP_ACR_META_STATE) {
        goto unknown;
    }

    ngx_http_acr_meta_new_state(meta, state, behind);

    meta->phase = NGX_HTTP_ACR_META_JOINED;
    ngx_http_acr_worker_set(meta->owner.zone, NGX_HTTP_ACR_W_REDIS_UP, 1);
    ngx_http_acr_gauge_set(meta->owner.zone, NGX_HTTP_ACR_C_BEHIND, behind);
    meta->joins++;

    ngx_http_acr_redis_usable(meta->redis);

    ngx_http_acr_meta_tell(meta, reply->element[2]->str);

    if (meta->feed) {
        ngx_http_acr_feed_start(meta->feed);
    }

    if (!behind && !meta->volume.certain) {
        meta->owner.complete(meta->owner.data);
    }

    ngx_http_acr_meta_resume(meta);

    return;

unknown:

    ngx_http_acr_meta_refuse(meta, NGX_LOG_ALERT,
                             "its answer to join.lua is not known");
}


/*
 * What a newer module has made may mean what we do not know, so nothing of it
 * is read or changed.  It is asked for again as a Redis that is away is.
 */

static void
ngx_http_acr_meta_newer(ngx_http_acr_meta_t *meta, const char *what)
{
    u_char  *last, text[NGX_HTTP_ACR_REDIS_REASON];

    last = ngx_snprintf(text, sizeof(text) - 1,
                        "%s: upgrade the module of this node, which answers "
                        "pulls from the directory until then, and 503 to all "
                        "else (\"Downgrade\" in docs/deployments.md tells how "
                        "to go back)", what);
    *last = '\0';

    ngx_http_acr_meta_refuse(meta, NGX_LOG_ALERT, (char *) text);
}


/* 1: behind, 0: complete, or NGX_ERROR */

static ngx_int_t
ngx_http_acr_meta_verdict(redisReply *word)
{
    if (ngx_strcmp(word->str, "behind") == 0) {
        return 1;
    }

    return (ngx_strcmp(word->str, "complete") == 0) ? 0 : NGX_ERROR;
}


/*
 * The state is <run_id>:<epoch>:<generation>[:behind].  Another generation is
 * another history.  So may be that of another run: it was found complete by
 * what had been acknowledged until then.  The first one of a worker is no loss.
 *
 * The feed tells of changes, not of what a rebuild finds.
 */

static void
ngx_http_acr_meta_new_state(ngx_http_acr_meta_t *meta, redisReply *state,
    ngx_uint_t behind)
{
    ngx_str_t  old, new;

    old = meta->state;
    new.data = (u_char *) state->str;
    new.len = state->len;

    if (old.len) {
        ngx_http_acr_meta_history(&old);
        ngx_http_acr_meta_history(&new);

        if (old.len != new.len
            || ngx_memcmp(old.data, new.data, new.len) != 0)
        {
            meta->losses++;
        }
    }

    if (meta->owner.changed
        && (meta->state.len != state->len
            || ngx_memcmp(meta->state.data, state->str, state->len) != 0))
    {
        meta->owner.changed(meta->owner.data, NULL, NULL);
    }

    ngx_memcpy(meta->state_text, state->str, state->len);

    meta->state.data = meta->state_text;
    meta->state.len = state->len;
    meta->was_behind = meta->behind;
    meta->behind = behind;
}


/* a rebuild ends without a change of what is there */

static void
ngx_http_acr_meta_history(ngx_str_t *state)
{
    size_t  len;

    len = sizeof(":behind") - 1;

    if (state->len > len
        && ngx_memcmp(state->data + state->len - len, ":behind", len) == 0)
    {
        state->len -= len;
    }
}


/* the worker that finds something out logs it; the others need not */

static void
ngx_http_acr_meta_tell(ngx_http_acr_meta_t *meta, const char *why)
{
    ngx_uint_t                  level;
    const char                 *text;
    ngx_http_acr_meta_why_t    *w;

    if (!meta->behind) {

        if (meta->was_behind) {
            level = meta->alerted ? NGX_LOG_ERR : NGX_LOG_NOTICE;
            meta->alerted = 0;

            ngx_log_error(level, meta->log, 0,
                          "acr: Redis \"%V\" is complete for \"%V\"",
                          &meta->conf->text, &meta->prefix);
        }

        return;
    }

    level = NGX_LOG_NOTICE;
    text = "is being rebuilt";

    for (w = ngx_http_acr_meta_whys; w->why; w++) {
        if (ngx_strcmp(why, w->why) == 0) {
            level = w->level;
            text = w->text;
        }
    }

    meta->alerted = (level <= NGX_LOG_ERR);

    if (meta->was_behind && level == NGX_LOG_NOTICE) {
        return;
    }

    ngx_log_error(level, meta->log, 0,
                  "acr: Redis \"%V\" %s (\"%V\"): until it is rebuilt from "
                  "the directory, pulls are answered from there",
                  &meta->conf->text, text, &meta->prefix);
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
