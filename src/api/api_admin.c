/* SPDX-License-Identifier: MIT */
/*
 * api_admin: staff routes that create, change and read events, add seats and read audit entries.
 *
 *   change   fetch (PostgreSQL, the record) -> owner and If-Match -> edit -> update (compare-and-set on the version,
 *            audited, one transaction) -> configure (Redis, only a greater version applies) -> publish -> answer
 *
 * Why this way: every change takes the same steps, so that a lost race or a dead backend never leaves a change half
 * done. If Redis is gone after the update, the change has still succeeded: the processor configures the stored version
 * within five seconds.
 * Called by: api's route table. Owns nothing. With PostgreSQL gone: 503, nothing changed.
 */
#include "api/api_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "selling/reservation.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AUDIT_PAGE 100

enum change_kind {
    CHANGE_PATCH,
    CHANGE_MESSAGE,
    CHANGE_VERB,
    CHANGE_CLEAR,
    CHANGE_SEATS,
    CHANGE_IMPORT
};

struct change {
    enum change_kind kind;
    enum event_verb verb;
    const char *verb_name; /* in the audit entry */
    int64_t if_match;      /* the version that the client has read; 0: it named none */
    struct event event;    /* with the change */
    struct event before;   /* as it was fetched */
};

static void answer_event(struct api_call *call, unsigned code, const struct event *event)
{
    char etag[32];
    struct json *body = event_write_json(event);
    json_set_str(body, "owner", event->owner);
    json_set_int(body, "epoch", event->epoch);
    json_set_int(body, "seats", event->seats);
    (void)snprintf(etag, sizeof(etag), "\"%" PRId64 "\"", event->version);
    http_req_add_header(call->req, "ETag", etag);
    api_answer_json(call, code, body);
    json_free(body);
}

/* Reads If-Match: `"12"`, `W/"12"` or `12`. 0: `*` or no header, any version. -1: not valid. */
static int64_t read_if_match(const struct api_call *call)
{
    const char *text = http_req_header(call->req, "If-Match");
    if (!text || strcmp(text, "*") == 0)
        return 0;
    if (strncmp(text, "W/", 2) == 0)
        text += 2;
    const char *end = *text == '"' ? "\"" : "";
    text += *end != '\0';
    const size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18 || *text == '0' || strcmp(text + digits, end) != 0)
        return -1;
    return strtoll(text, NULL, 10);
}

/* ---- channel: messages may be lost; the pods read the change from Redis within a second anyway ---- */

static void publish_event(struct api *api, const char *kind, const struct event *event)
{
    if (queue_publish_version(api->queue, kind, event) != ST_OK)
        log_debug("channel message not published", LOG_TEXT("event", event->id),
                  LOG_TEXT("kind", kind));
}

static void publish_message(struct api *api, const struct event *event)
{
    struct buf text;
    buf_init(&text, 4 * EVENT_MESSAGE_MAX);
    buf_add_str(&text, "{\"text\":");
    buf_add_json_str(&text, event->message, strlen(event->message));
    buf_add_char(&text, '}');
    if (buf_status(&text) != ST_OK ||
        queue_publish(api->queue, event->id, "message", buf_str(&text), text.len) != ST_OK)
        log_debug("channel message not published", LOG_TEXT("event", event->id),
                  LOG_TEXT("kind", "message"));
    buf_clear(&text);
}

/* ---- change: fetch -> edit -> update -> configure -> answer ---- */

static void change_configured(void *arg, enum status status, bool applied)
{
    struct api_call *call = arg;
    const struct change *change = call->state;
    (void)applied;
    if (status != ST_OK)
        log_warn("change stored but not in redis: the processor will retry",
                 LOG_TEXT("event", change->event.id), LOG_TEXT("status", status_name(status)));
    if (change->kind == CHANGE_CLEAR)
        publish_event(call->api, "queue-cleared", &change->event);
    publish_event(call->api, "config-changed", &change->event);
    if (change->before.status != change->event.status)
        publish_event(call->api, "event-status-changed", &change->event);
    if (change->kind == CHANGE_MESSAGE)
        publish_message(call->api, &change->event);
    catalog_hint(call->api->catalog, change->event.id);
    answer_event(call, 200, &change->event);
}

static void change_stored(void *arg, enum status status, const struct event *event)
{
    struct api_call *call = arg;
    struct change *change = call->state;
    struct queue *queue = call->api->queue;
    if (status == ST_STALE && change->if_match == 0)
        status =
            ST_CONFLICT; /* another change came first; without If-Match, 412 would not be right */
    if (status != ST_OK) {
        api_fail(call, status);
        return;
    }
    change->event = *event;
    if (event->status == EVENT_DRAFT) { /* Redis has no drafts */
        answer_event(call, 200, event);
        return;
    }
    const enum status st =
        change->kind == CHANGE_CLEAR
            ? queue_clear(queue, event->id, (uint64_t)event->epoch, change_configured, call)
            : queue_configure(queue, event, change_configured, call);
    if (st != ST_OK)
        change_configured(call, st, false);
}

static void seats_done(void *arg, enum status status, const char *outcome, const char *json,
                       size_t len)
{
    struct api_call *call = arg;
    const struct change *change = call->state;
    if (status == ST_OK)
        publish_event(call->api, "seats-changed", &change->event);
    api_answer_outcome(call, status, 201, outcome, json, len);
}

/* Applies the change to our copy of the event; nothing is stored yet. False: impossible, and the request was answered
 * with the reason. */
static bool edit_event(struct api_call *call, struct change *change)
{
    struct event *event = &change->event;
    struct json_error error = {0};
    enum status st = ST_OK;
    if (change->kind == CHANGE_PATCH)
        st = event_read_json(event, call->body, false, &error);
    else if (change->kind == CHANGE_MESSAGE)
        st = event_read_message(event, call->body, &error);
    if (st != ST_OK) {
        api_invalid(call, &error);
        return false;
    }
    if (change->kind != CHANGE_VERB)
        return true;
    if (event_apply(event, change->verb, clock_wall_ms(), &event->status) != ST_OK) {
        char detail[96];
        (void)snprintf(detail, sizeof(detail), "The event is %s: it is not possible to %s it.",
                       event_status_name(change->before.status), change->verb_name);
        api_problem(call, 409, "wrong-state", detail, "status");
        return false;
    }
    if (change->verb == EVENT_VERB_OPEN && event->opens_at_ms == 0)
        event->opens_at_ms = clock_wall_ms();
    return true;
}

static enum status change_fetched(struct api_call *call, const struct event *event)
{
    struct change *change = call->state;
    struct db *db = call->api->db;
    size_t len;
    if (change->if_match > 0 && change->if_match != event->version)
        return ST_STALE;
    change->event = change->before = *event;
    switch (change->kind) {
    case CHANGE_CLEAR:
        return catalog_bump_epoch(db, event->id, call->user.sub, change_stored, call);
    case CHANGE_SEATS:
        return reservation_add_seats(db, event->id, call->user.sub, http_req_body(call->req, &len),
                                     seats_done, call);
    case CHANGE_IMPORT:
        return api_import_store(call, event->id, change->if_match, seats_done);
    default:
        if (!edit_event(call, change))
            return ST_OK;
        return catalog_update(db, &change->event, change->verb_name, call->user.sub, change_stored,
                              call);
    }
}

static enum status change_start(struct api_call *call, enum change_kind kind, enum event_verb verb,
                                const char *verb_name)
{
    struct change *change = http_req_alloc(call->req, sizeof(*change));
    change->kind = kind;
    change->verb = verb;
    change->verb_name = verb_name;
    change->if_match = read_if_match(call);
    call->state = change;
    if (change->if_match < 0) {
        api_problem(call, 400, "invalid", "If-Match must be an ETag of this event.", "If-Match");
        return ST_OK;
    }
    const bool wants_body = kind == CHANGE_PATCH || kind == CHANGE_MESSAGE || kind == CHANGE_SEATS;
    if (wants_body && !call->body) {
        api_problem(call, 400, "invalid", "A JSON body is needed.", "");
        return ST_OK;
    }
    if (!wants_body && kind != CHANGE_IMPORT && !api_body_is_empty(call))
        return ST_OK;
    return api_staff_event(call, change_fetched);
}

static enum status patch_start(struct api_call *call)
{
    return change_start(call, CHANGE_PATCH, EVENT_VERB_OPEN, "patch");
}

static enum status message_start(struct api_call *call)
{
    return change_start(call, CHANGE_MESSAGE, EVENT_VERB_OPEN, "message");
}

static enum status open_start(struct api_call *call)
{
    return change_start(call, CHANGE_VERB, EVENT_VERB_OPEN, "open");
}

static enum status pause_start(struct api_call *call)
{
    return change_start(call, CHANGE_VERB, EVENT_VERB_PAUSE, "pause");
}

static enum status resume_start(struct api_call *call)
{
    return change_start(call, CHANGE_VERB, EVENT_VERB_RESUME, "resume");
}

static enum status close_start(struct api_call *call)
{
    return change_start(call, CHANGE_VERB, EVENT_VERB_CLOSE, "close");
}

static enum status clear_start(struct api_call *call)
{
    return change_start(call, CHANGE_CLEAR, EVENT_VERB_OPEN, "clear");
}

static enum status seats_start(struct api_call *call)
{
    return change_start(call, call->import ? CHANGE_IMPORT : CHANGE_SEATS, EVENT_VERB_OPEN,
                        "seats");
}

/* ---- create, list, get, audit ---- */

static void created(void *arg, enum status status, const struct event *event)
{
    struct api_call *call = arg;
    if (status == ST_CONFLICT)
        api_problem(call, 409, "id-taken", "An event with this id exists already.", "id");
    else if (status != ST_OK)
        api_fail(call, status);
    else
        answer_event(call, 201, event);
}

static enum status create_start(struct api_call *call)
{
    struct json_error error = {0};
    struct event *event = http_req_alloc(call->req, sizeof(*event));
    event_init(event, call->api->config);
    if (!call->body) {
        api_problem(call, 400, "invalid", "A JSON body is needed.", "");
        return ST_OK;
    }
    if (event_read_json(event, call->body, true, &error) != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    (void)snprintf(event->owner, sizeof(event->owner), "%s", call->user.sub);
    return catalog_create(call->api->db, event, call->user.sub, created, call);
}

static enum status list_start(struct api_call *call)
{
    const char *owner = call->user.role == USER_ORGANIZER ? call->user.sub : NULL;
    return catalog_list(call->api->db, owner, false, api_answer_list, call);
}

static enum status get_fetched(struct api_call *call, const struct event *event)
{
    answer_event(call, 200, event);
    return ST_OK;
}

static enum status get_start(struct api_call *call)
{
    return api_staff_event(call, get_fetched);
}

static enum status audit_fetched(struct api_call *call, const struct event *event)
{
    const int64_t *limit = call->state;
    return catalog_audit(call->api->db, event->id, http_req_query(call->req, "before"), (int)*limit,
                         api_answer_list, call);
}

static enum status audit_start(struct api_call *call)
{
    struct json_error error = {0};
    int64_t *limit = http_req_alloc(call->req, sizeof(*limit));
    call->state = limit;
    if (!api_read_page(call, AUDIT_PAGE, limit, &error)) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, audit_fetched);
}

const struct api_route api_admin_routes[] = {
    {"GET", "/api/admin/events", AUTH_STAFF, API_READERS, list_start, API_BODY_NONE},
    {"POST", "/api/admin/events", AUTH_STAFF, API_OWNERS, create_start, API_BODY_JSON},
    {"GET", "/api/admin/events/{eventId}", AUTH_STAFF, API_READERS, get_start, API_BODY_NONE},
    {"PATCH", "/api/admin/events/{eventId}", AUTH_STAFF, API_OPERATORS, patch_start, API_BODY_JSON},
    {"POST", "/api/admin/events/{eventId}/seats", AUTH_STAFF, API_OWNERS, seats_start,
     API_BODY_JSON_OR_CSV},
    {"POST", "/api/admin/events/{eventId}/open", AUTH_STAFF, API_OWNERS, open_start, API_BODY_JSON},
    {"POST", "/api/admin/events/{eventId}/pause", AUTH_STAFF, API_OPERATORS, pause_start,
     API_BODY_JSON},
    {"POST", "/api/admin/events/{eventId}/resume", AUTH_STAFF, API_OPERATORS, resume_start,
     API_BODY_JSON},
    {"POST", "/api/admin/events/{eventId}/close", AUTH_STAFF, API_OWNERS, close_start,
     API_BODY_JSON},
    {"POST", "/api/admin/events/{eventId}/clear", AUTH_STAFF, API_OWNERS, clear_start,
     API_BODY_JSON},
    {"POST", "/api/admin/events/{eventId}/message", AUTH_STAFF, API_OWNERS, message_start,
     API_BODY_JSON},
    {"GET", "/api/admin/events/{eventId}/audit", AUTH_STAFF, API_READERS, audit_start,
     API_BODY_NONE},
    {0},
};
