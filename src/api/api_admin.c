/* SPDX-License-Identifier: MIT */
/*
 * api_admin: the organizer's routes.
 *
 * Every change takes the same way, so that a lost race or a dead backend never leaves half of one:
 *
 *   fetch (PostgreSQL, the record) -> owner and If-Match -> edit -> update (compare-and-set on the
 *   version, audited, one transaction) -> configure (Redis, only a greater version applies) ->
 *   publish config-changed -> answer with the new ETag
 *
 * Redis out of reach after the update is no error: the processor carries the stored version over
 * within five seconds. Called by: api's route table.
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
    const char *verb_name;
    int64_t if_match; /* the version the caller read; 0: none given */
    struct event event;
    struct event before;
};

/* ---- shared steps ---- */

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

static void publish_event(struct api *api, const char *kind, const struct event *event)
{
    if (queue_publish_version(api->queue, kind, event) != ST_OK)
        log_debug("a change was not published", LOG_TEXT("event", event->id));
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
        log_debug("a message was not published", LOG_TEXT("event", event->id));
    buf_clear(&text);
}

/* `"12"` or `W/"12"` or `12`; `*` and absence mean any. -1: nonsense. */
static int64_t read_if_match(const struct api_call *call)
{
    const char *text = http_req_header(call->req, "If-Match");
    if (text == NULL || strcmp(text, "*") == 0)
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

/* ---- change: fetch -> edit -> update -> configure -> answer ---- */

static void change_configured(void *arg, enum status status, bool applied)
{
    struct api_call *call = arg;
    const struct change *change = call->state;
    (void)applied;
    if (status != ST_OK)
        log_warn("a change waits for the processor to reach Redis",
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
    if (status == ST_STALE && change->if_match == 0)
        status = ST_CONFLICT; /* no version was asked for: a plain lost race */
    if (status != ST_OK) {
        api_fail(call, status);
        return;
    }
    change->event = *event;
    enum status st = ST_OK;
    if (event->status == EVENT_DRAFT) {
        answer_event(call, 200, event); /* Redis knows only events that were opened or scheduled */
        return;
    }
    if (change->kind == CHANGE_CLEAR)
        st = queue_clear(call->api->queue, event->id, (uint64_t)event->epoch, change_configured,
                         call);
    else
        st = queue_configure(call->api->queue, event, change_configured, call);
    if (st != ST_OK)
        change_configured(call, st, false);
}

/* Applies what was asked to the event as it was read. False: answered. */
static bool edit_event(struct api_call *call, struct change *change)
{
    struct json_error error = {0};
    enum status st;
    if (change->kind == CHANGE_PATCH || change->kind == CHANGE_MESSAGE) {
        st = change->kind == CHANGE_PATCH
                 ? event_read_json(&change->event, call->body, false, &error)
                 : event_read_message(&change->event, call->body, &error);
        if (st != ST_OK)
            api_invalid(call, &error);
        return st == ST_OK;
    }
    st = event_apply(&change->event, change->verb, clock_wall_ms(), &change->event.status);
    if (st != ST_OK) {
        char detail[96];
        (void)snprintf(detail, sizeof(detail), "An event that is %s cannot %s.",
                       event_status_name(change->before.status), change->verb_name);
        api_problem(call, 409, "wrong-state", detail, "status");
        return false;
    }
    if (change->verb == EVENT_VERB_OPEN && change->event.opens_at_ms == 0)
        change->event.opens_at_ms = clock_wall_ms();
    return true;
}

static void seats_done(void *arg, enum status status, const char *outcome, const char *json,
                       size_t len);

static void change_fetched(void *arg, enum status status, const struct event *event)
{
    struct api_call *call = arg;
    struct change *change = call->state;
    struct api *api = call->api;
    if (status != ST_OK) {
        api_fail(call, status);
        return;
    }
    if (!api_staff_may(call, event))
        return;
    if (change->if_match > 0 && change->if_match != event->version) {
        api_fail(call, ST_STALE);
        return;
    }
    change->event = change->before = *event;
    if (change->kind == CHANGE_CLEAR) {
        status = catalog_bump_epoch(api->db, event->id, call->user.sub, change_stored, call);
    } else if (change->kind == CHANGE_SEATS) {
        size_t len;
        const char *body = http_req_body(call->req, &len);
        status = reservation_add_seats(api->db, event->id, call->user.sub,
                                       http_req_strdup(call->req, body, len), seats_done, call);
    } else if (change->kind == CHANGE_IMPORT) {
        status = api_import_store(call, event->id, change->if_match, seats_done);
    } else if (edit_event(call, change)) {
        status = catalog_update(api->db, &change->event, change->verb_name, call->user.sub,
                                change_stored, call);
    }
    if (status != ST_OK)
        api_fail(call, status);
}

static enum status change_start(struct api_call *call, enum change_kind kind, enum event_verb verb,
                                const char *verb_name)
{
    struct change *change = http_req_alloc(call->req, sizeof(*change));
    *change = (struct change){.kind = kind, .verb = verb, .verb_name = verb_name};
    change->if_match = read_if_match(call);
    call->state = change;
    if (change->if_match < 0) {
        api_problem(call, 400, "invalid", "If-Match must be an ETag of this event.", "If-Match");
        return ST_OK;
    }
    const bool wants_body = kind == CHANGE_PATCH || kind == CHANGE_MESSAGE || kind == CHANGE_SEATS;
    if (wants_body && call->body == NULL) {
        api_problem(call, 400, "invalid", "A JSON body is needed.", "");
        return ST_OK;
    }
    if (!wants_body && kind != CHANGE_IMPORT && !api_takes_nothing(call))
        return ST_OK;
    return catalog_fetch(call->api->db, call->param, change_fetched, call);
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

/* ---- seats ---- */

static void seats_done(void *arg, enum status status, const char *outcome, const char *json,
                       size_t len)
{
    struct api_call *call = arg;
    struct change *change = call->state;
    if (status != ST_OK && json != NULL) {
        api_answer_outcome(call, status, 0, outcome, json, len);
        return;
    }
    if (status != ST_OK) {
        api_fail(call, status);
        return;
    }
    char *copy = http_req_strdup(call->req, json, len);
    publish_event(call->api, "seats-changed", &change->event);
    api_answer(call, 201, copy, len);
}

static enum status seats_start(struct api_call *call)
{
    const enum change_kind kind = call->import != NULL ? CHANGE_IMPORT : CHANGE_SEATS;
    return change_start(call, kind, EVENT_VERB_OPEN, "seats");
}

/* ---- create, list, get ---- */

static void created(void *arg, enum status status, const struct event *event)
{
    struct api_call *call = arg;
    if (status == ST_CONFLICT)
        api_problem(call, 409, "id-taken", "An event with this id exists.", "id");
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
    if (call->body == NULL) {
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

static void listed(void *arg, enum status status, const char *json, size_t len)
{
    if (status == ST_OK)
        api_answer(arg, 200, json, len);
    else
        api_fail(arg, status);
}

static enum status list_start(struct api_call *call)
{
    const char *owner = call->user.role == USER_ORGANIZER ? call->user.sub : NULL;
    return catalog_list(call->api->db, owner, false, listed, call);
}

static void got(void *arg, enum status status, const struct event *event)
{
    struct api_call *call = arg;
    if (status != ST_OK)
        api_fail(call, status);
    else if (api_staff_may(call, event))
        answer_event(call, 200, event);
}

static enum status get_start(struct api_call *call)
{
    return catalog_fetch(call->api->db, call->param, got, call);
}

/* ---- audit ---- */

static void audit_fetched(void *arg, enum status status, const struct event *event)
{
    struct api_call *call = arg;
    if (status == ST_OK && !api_staff_may(call, event))
        return;
    if (status == ST_OK)
        status = catalog_audit(call->api->db, event->id, http_req_query(call->req, "before"),
                               (int)*(const int64_t *)call->state, listed, call);
    if (status != ST_OK)
        api_fail(call, status);
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
    return catalog_fetch(call->api->db, call->param, audit_fetched, call);
}

const struct api_route api_admin_routes[] = {
    {"GET", "/api/admin/events", AUTH_STAFF, API_READERS, list_start, false},
    {"POST", "/api/admin/events", AUTH_STAFF, API_STAFF, create_start, true},
    {"GET", "/api/admin/events/{eventId}", AUTH_STAFF, API_READERS, get_start, false},
    {"PATCH", "/api/admin/events/{eventId}", AUTH_STAFF, API_OPERATORS, patch_start, true},
    {"POST", "/api/admin/events/{eventId}/seats", AUTH_STAFF, API_STAFF, seats_start,
     API_BODY_JSON_OR_CSV},
    {"POST", "/api/admin/events/{eventId}/open", AUTH_STAFF, API_STAFF, open_start, true},
    {"POST", "/api/admin/events/{eventId}/pause", AUTH_STAFF, API_OPERATORS, pause_start, true},
    {"POST", "/api/admin/events/{eventId}/resume", AUTH_STAFF, API_OPERATORS, resume_start, true},
    {"POST", "/api/admin/events/{eventId}/close", AUTH_STAFF, API_STAFF, close_start, true},
    {"POST", "/api/admin/events/{eventId}/clear", AUTH_STAFF, API_STAFF, clear_start, true},
    {"POST", "/api/admin/events/{eventId}/message", AUTH_STAFF, API_STAFF, message_start, true},
    {"GET", "/api/admin/events/{eventId}/audit", AUTH_STAFF, API_READERS, audit_start, false},
    {0},
};
