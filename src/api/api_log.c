/* SPDX-License-Identifier: MIT */
/*
 * api_log: what the log says of an answer, and of a change.
 *
 *   request failed   each answer of 500 and more, but not that of a probe: what made it unready has a line of its own
 *   request          the access log, as ACCESS_LOG says; without probes
 *   event changed    a change by staff that the audit has, too
 *
 * Why this way: a line has the route's template and never the path, so that no ticket, proof or id of a buyer gets into it;
 * nor the client's address, which is personal data: the proxy in front has it, under the same X-Request-Id.
 * Called by: api_answer, once for each answer; api_change. Owns nothing.
 */
#include "api/api_internal.h"

#include "base/log.h"

#include <string.h>

#define FIELDS_MAX 10

struct fields {
    struct log_field list[FIELDS_MAX];
    size_t count;
};

static void add(struct fields *fields, struct log_field field)
{
    fields->list[fields->count++] = field;
}

static void add_known(struct fields *fields, const char *key, const char *text)
{
    if (text && *text != '\0')
        add(fields, LOG_TEXT(key, text));
}

/* The event that the path names; NULL: none. */
static const char *named_event(const struct api_call *call)
{
    return call->route && strstr(call->route->path, "{eventId}") ? call->param : NULL;
}

static void describe(const struct api_call *call, const struct api_answered *answered,
                     struct fields *fields)
{
    fields->count = 0;
    add(fields, LOG_TEXT("requestId", call->trace.request_id));
    add_known(fields, "traceId", call->trace.trace_id);
    add(fields, LOG_TEXT("method", http_req_method(call->req)));
    add(fields, LOG_TEXT("route", call->route ? call->route->path : "(unmatched)"));
    add(fields, LOG_NUM("status", answered->status));
    add_known(fields, "code", call->problem_code);
    add(fields, LOG_MS("durationMs", answered->took_us));
    add_known(fields, "event", named_event(call));
}

void api_log_answer(const struct api_call *call, const struct api_answered *answered)
{
    struct fields fields;
    const bool probe = call->route && api_is_probe(call->route->path);
    if (answered->status >= 500 && !probe) {
        describe(call, answered, &fields);
        static struct log_site site;
        log_write(LOG_LEVEL_WARN, &site, "request failed", fields.list, fields.count);
    }
    if (probe || !log_access_due(answered->status))
        return;
    describe(call, answered, &fields);
    if (answered->bytes >= 0)
        add(&fields, LOG_NUM("bytes", answered->bytes));
    log_access("request", fields.list, fields.count);
}

/* ---- changes ---- */

#define VALUE_MAX  (512 * 1024) /* of an event; a line has a KiB of it at most */
#define CHANGE_MAX 8

struct change_log {
    const struct json *before, *after;
    const char *event, *who, *verb;
    unsigned lines;
};

static void log_field(struct change_log *log, const char *field, const char *before,
                      const char *after)
{
    struct log_field fields[CHANGE_MAX] = {LOG_TEXT("event", log->event), LOG_TEXT("who", log->who),
                                           LOG_TEXT("verb", log->verb)};
    size_t count = 3;
    if (field) {
        fields[count++] = LOG_TEXT("field", field);
        fields[count++] = LOG_TEXT("before", before);
        fields[count++] = LOG_TEXT("after", after);
    }
    log->lines++;
    log_write(LOG_LEVEL_INFO, NULL, "event changed", fields, count); /* each counts */
}

/* Appends a text as it is, another value as JSON. */
static void write_value(const struct json *value, struct buf *out)
{
    const char *text = value ? json_str_value(value) : NULL;
    buf_init(out, VALUE_MAX);
    if (text)
        buf_add_str(out, text);
    else if (value)
        json_write(value, out);
}

static void compare_field(void *arg, const char *key, const struct json *value)
{
    struct change_log *log = arg;
    struct buf before, after;
    if (strcmp(key, "version") == 0) /* it says nothing but that there was a change */
        return;
    write_value(json_get(log->before, key), &before);
    write_value(value, &after);
    if (before.len != after.len || memcmp(buf_str(&before), buf_str(&after), after.len) != 0)
        log_field(log, key, buf_str(&before), buf_str(&after));
    buf_clear(&before);
    buf_clear(&after);
}

static void note_missing(void *arg, const char *key, const struct json *value)
{
    struct change_log *log = arg;
    struct buf before;
    if (json_has(log->after, key))
        return;
    write_value(value, &before);
    log_field(log, key, buf_str(&before), "");
    buf_clear(&before);
}

void api_log_change(struct api_call *call, const char *verb, const struct event *before,
                    const struct event *after)
{
    const char *actor = api_actor(call);
    if (!log_enabled(LOG_LEVEL_INFO))
        return;
    struct json *old = event_write_json(before), *new = event_write_json(after);
    struct change_log log = {.before = old,
                             .after = new,
                             .event = after->id,
                             .who = http_req_strdup(call->req, actor, strcspn(actor, "\t")),
                             .verb = verb};
    json_each(new, compare_field, &log);
    json_each(old, note_missing, &log);
    if (log.lines == 0)
        log_field(&log, NULL, NULL, NULL);
    json_free(old);
    json_free(new);
}
