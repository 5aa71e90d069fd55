
#include "ngx_http_acr_fill.h"
#include "ngx_http_acr_watch.h"

#include "../oci/acr_json.h"


/* events of an answer, and the seconds that the origin waits for one */
#define NGX_HTTP_ACR_WATCH_EVENTS   100
#define NGX_HTTP_ACR_WATCH_WAIT     25

/* ms that an answer may take, and between tries: more each time */
#define NGX_HTTP_ACR_WATCH_TIMEOUT  40000
#define NGX_HTTP_ACR_WATCH_RETRY    500
#define NGX_HTTP_ACR_WATCH_RETRIES  20

/* the same for an origin that has no events, or none for this node */
#define NGX_HTTP_ACR_WATCH_NONE     60000

/* an answer has less than this */
#define NGX_HTTP_ACR_WATCH_ANSWER   (4 * 1024 * 1024)


struct ngx_http_acr_watch_s {
    ngx_http_acr_registry_t        *registry;
    ngx_http_acr_remote_request_t   request;
    ngx_event_t                     timer;
    ngx_uint_t                      failures;   /* in a row */
    uint32_t                        origin;     /* the hash of its host */
    unsigned                        watching:1; /* it was said in the log */
    u_char                          path[128];
};


static void ngx_http_acr_watch_ask(ngx_event_t *ev);
static void ngx_http_acr_watch_answered(
    ngx_http_acr_remote_request_t *request);
static ngx_int_t ngx_http_acr_watch_read(ngx_http_acr_watch_t *watch,
    ngx_str_t *answer);
static void ngx_http_acr_watch_event(ngx_http_acr_zone_t *zone,
    json_t *event);
static ngx_str_t ngx_http_acr_watch_text(json_t *event, const char *key);
static void ngx_http_acr_watch_tell(ngx_http_acr_watch_t *watch,
    ngx_uint_t up);
static void ngx_http_acr_watch_failed(ngx_http_acr_watch_t *watch,
    ngx_str_t *why);


ngx_int_t
ngx_http_acr_watch_start(ngx_http_acr_registry_t *registry,
    ngx_cycle_t *cycle)
{
    ngx_http_acr_watch_t      *watch;
    ngx_http_acr_zone_head_t  *head;

    watch = ngx_pcalloc(cycle->pool, sizeof(ngx_http_acr_watch_t));

    if (watch == NULL) {
        return NGX_ERROR;
    }

    watch->registry = registry;
    watch->origin = ngx_http_acr_fill_host(registry->origin);

    /* the memory was another origin's before a reload: what is known of that
       one, and the numbers of its events, are nothing here */

    head = registry->zone->head;

    if (head->origin != watch->origin) {
        head->origin = watch->origin;
        head->next = 0;
        ngx_http_acr_generation_raise(registry->zone, NULL, NULL);
        ngx_http_acr_watch_tell(watch, 0);
    }

    watch->timer.handler = ngx_http_acr_watch_ask;
    watch->timer.data = watch;
    watch->timer.log = cycle->log;
    watch->timer.cancelable = 1;

    registry->watch = watch;

    ngx_add_timer(&watch->timer, 1);

    return NGX_OK;
}


void
ngx_http_acr_watch_stop(ngx_http_acr_registry_t *registry)
{
    ngx_http_acr_watch_t  *watch;

    watch = registry->watch;

    if (watch == NULL) {
        return;
    }

    ngx_http_acr_remote_cancel(&watch->request);

    if (watch->timer.timer_set) {
        ngx_del_timer(&watch->timer);
    }
}


static void
ngx_http_acr_watch_ask(ngx_event_t *ev)
{
    u_char                         *p;
    ngx_atomic_uint_t               next;
    ngx_http_acr_watch_t           *watch;
    ngx_http_acr_remote_request_t  *request;

    static ngx_str_t  nobody = ngx_string("this worker has no client");

    watch = ev->data;
    request = &watch->request;

    /* the workers that come after this one have begun to watch */

    if (ngx_exiting) {
        return;
    }

    p = ngx_cpymem(watch->path, "/acr/v1/_events",
                   sizeof("/acr/v1/_events") - 1);

    next = watch->registry->zone->head->next;

    if (next) {
        p = ngx_sprintf(p, "?after=%uA&n=%d&wait=%d", next - 1,
                        NGX_HTTP_ACR_WATCH_EVENTS, NGX_HTTP_ACR_WATCH_WAIT);
    }

    request->path.data = watch->path;
    request->path.len = p - watch->path;

    ngx_str_set(&request->scope, "registry:events:read");

    request->remote = watch->registry->origin;
    request->max = NGX_HTTP_ACR_WATCH_ANSWER;
    request->timeout = NGX_HTTP_ACR_WATCH_TIMEOUT;
    request->done = ngx_http_acr_watch_answered;
    request->data = watch;

    /* it is asked in any case, and so is the probe whether it is back */

    request->insist = 1;

    if (ngx_http_acr_remote_start(request) != NGX_OK) {
        ngx_http_acr_watch_failed(watch, &nobody);
    }
}


static void
ngx_http_acr_watch_answered(ngx_http_acr_remote_request_t *request)
{
    ngx_http_acr_watch_t  *watch;

    static ngx_str_t  wrong = ngx_string("its answer has no events");

    watch = request->data;

    if (request->result != NGX_HTTP_ACR_REMOTE_OK) {
        ngx_http_acr_watch_failed(watch, &request->error);
        return;
    }

    if (ngx_http_acr_watch_read(watch, &request->answer) != NGX_OK) {
        ngx_http_acr_watch_failed(watch, &wrong);
        return;
    }

    if (!watch->watching) {
        watch->watching = 1;

        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "acr: changes at origin \"%V\" are heard of",
                      &request->remote->host);
    }

    watch->failures = 0;

    ngx_http_acr_watch_tell(watch, 1);

    ngx_add_timer(&watch->timer, 1);
}


/* NGX_ERROR: it is no such answer, or there is no memory */

static ngx_int_t
ngx_http_acr_watch_read(ngx_http_acr_watch_t *watch, ngx_str_t *answer)
{
    size_t                      i;
    json_t                     *root, *events, *next, *event;
    const char                 *error;
    ngx_http_acr_zone_head_t   *head;

    head = watch->registry->zone->head;

    if (acr_json_load(&root, answer->data, answer->len, &error) != ACR_OK) {
        return NGX_ERROR;
    }

    next = json_object_get(root, "next");
    events = json_object_get(root, "events");

    if (!json_is_integer(next) || json_integer_value(next) < 0
        || (events && !json_is_array(events)))
    {
        json_decref(root);
        return NGX_ERROR;
    }

    /* this worker exits, and those that come after it have another origin */

    if (head->origin != watch->origin) {
        json_decref(root);
        return NGX_OK;
    }

    /* what was missed before the first answer is not known */

    if (head->next == 0 || json_is_true(json_object_get(root, "gap"))) {
        ngx_http_acr_generation_raise(watch->registry->zone, NULL, NULL);
    }

    json_array_foreach(events, i, event) {
        ngx_http_acr_watch_event(watch->registry->zone, event);
    }

    head->next = json_integer_value(next) + 1;

    json_decref(root);

    return NGX_OK;
}


/* what is not known to be about certain names is about the whole repository, as
   a manifest is that takes all its tags along */

static void
ngx_http_acr_watch_event(ngx_http_acr_zone_t *zone, json_t *event)
{
    size_t       i;
    json_t      *tags, *tag;
    ngx_str_t    repository, digest, name;
    ngx_uint_t   blob;
    acr_text_t   action;

    static ngx_str_t  lists = ngx_string("");

    action = acr_json_text(json_object_get(event, "action"));
    tags = json_object_get(event, "tags");

    repository = ngx_http_acr_watch_text(event, "repository");
    digest = ngx_http_acr_watch_text(event, "digest");

    blob = acr_text_is(&action, "blob_commit")
           || acr_text_is(&action, "blob_delete");

    if (digest.len == 0
        || (!blob && !acr_text_is(&action, "manifest_put")
            && !acr_text_is(&action, "tag_delete")
            && !acr_text_is(&action, "attributes_set")))
    {
        ngx_http_acr_generation_raise(zone, &repository, NULL);
        return;
    }

    ngx_http_acr_generation_raise(zone, &repository, &digest);

    if (!blob) {
        ngx_http_acr_generation_raise(zone, &repository, &lists);
    }

    json_array_foreach(tags, i, tag) {
        name.data = (u_char *) json_string_value(tag);
        name.len = json_string_length(tag);

        ngx_http_acr_generation_raise(zone, &repository, &name);
    }
}


static ngx_str_t
ngx_http_acr_watch_text(json_t *event, const char *key)
{
    ngx_str_t   s;
    acr_text_t  text;

    text = acr_json_text(json_object_get(event, key));

    s.data = (u_char *) text.data;
    s.len = text.len;

    return s;
}


/* unless this worker exits, and those that come after it have another origin */

static void
ngx_http_acr_watch_tell(ngx_http_acr_watch_t *watch, ngx_uint_t up)
{
    ngx_http_acr_zone_t  *zone;

    zone = watch->registry->zone;

    if (zone->head->origin == watch->origin) {
        ngx_http_acr_gauge_set(zone, NGX_HTTP_ACR_C_EVENTS_UP, up);
    }
}


static void
ngx_http_acr_watch_failed(ngx_http_acr_watch_t *watch, ngx_str_t *why)
{
    ngx_http_acr_remote_result_e  result;

    if (watch->failures == 0) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "acr: changes at origin \"%V\" are not heard of: %V",
                      &watch->registry->origin->host, why);

        watch->watching = 0;
    }

    ngx_http_acr_watch_tell(watch, 0);

    if (watch->failures < NGX_HTTP_ACR_WATCH_RETRIES) {
        watch->failures++;
    }

    result = watch->request.result;

    ngx_add_timer(&watch->timer,
                  (result == NGX_HTTP_ACR_REMOTE_MISSING
                   || result == NGX_HTTP_ACR_REMOTE_DENIED)
                  ? NGX_HTTP_ACR_WATCH_NONE
                  : watch->failures * NGX_HTTP_ACR_WATCH_RETRY);
}
