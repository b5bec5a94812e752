/* SPDX-License-Identifier: MIT */
/*
 * api_change: staff routes that change an event: its settings, its message, its state.
 *
 *   change   fetch (PostgreSQL, the record) -> owner and If-Match -> confirmed? -> edit -> update (compare-and-set on
 *            the version, audited, one transaction) -> configure (Redis, only a greater version applies) -> publish
 *            -> answer
 *
 * Why this way: every change takes the same steps, so that a lost race or a dead backend never leaves a change half
 * done. If Redis is gone after the update, the change has still succeeded: the processor configures the stored version
 * within five seconds. What ends buyers' places (close, clear) must be confirmed if there are buyers: one request that
 * was sent by mistake must not end a sale.
 * Called by: api's route table. Owns nothing. With PostgreSQL gone: 503, nothing changed.
 */
#include "api/api_internal.h"

#include "base/log.h"
#include "base/shared_clock.h"
#include "queue/event_verb.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEMO_PROVIDER "demo" /* payments.provider where no money moves (PAYMENT_PROVIDER) */

enum change_kind { CHANGE_PATCH, CHANGE_MESSAGE, CHANGE_VERB, CHANGE_CLEAR, CHANGE_RESET };

struct change {
    enum change_kind kind;
    enum event_verb verb;  /* of CHANGE_VERB */
    const char *verb_name; /* in the audit entry */
    int64_t if_match;      /* the version that the client has read; 0: it named none */
    /* What was typed to confirm a change that ends buyers' places; has_confirm false: nothing. */
    char confirm[EVENT_TEXT_SIZE];
    bool has_confirm;
    bool of_predecessor; /* its clients confirm nothing, and read a message */
    struct event event;  /* with the change */
    struct event before; /* as it was fetched */
};

int64_t api_read_if_match(const struct api_call *call)
{
    const char *text = call->if_match ? call->if_match : http_req_header(call->req, "If-Match");
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
    const enum status st = queue_publish_version(api->queue, kind, event);
    if (st != ST_OK)
        log_debug("channel message not published", LOG_TEXT("event", event->id),
                  LOG_TEXT("kind", kind), LOG_TEXT("status", status_name(st)));
}

static void publish_message(struct api *api, const struct event *event)
{
    struct buf text;
    struct json *payload = json_new_object();
    struct json *messages = event_write_messages(event);
    buf_init(&text, 8 * TEXT_BYTES(EVENT_MESSAGE_MAX));
    json_set_str(payload, "text", event->message);
    if (messages)
        json_set(payload, "texts", messages);
    json_write(payload, &text);
    json_free(payload);
    enum status st = buf_status(&text);
    if (st == ST_OK)
        st = queue_publish(api->queue, event->id, "message", buf_str(&text), text.len);
    if (st != ST_OK)
        log_debug("channel message not published", LOG_TEXT("event", event->id),
                  LOG_TEXT("kind", "message"), LOG_TEXT("status", status_name(st)));
    buf_clear(&text);
}

/* ---- change: fetch -> edit -> update -> configure -> answer ---- */

static void answer_cleared(struct api_call *call)
{
    const struct change *change = call->state;
    struct json *body = json_new_object();
    json_set_str(body, "eventId", change->event.id);
    json_set_str(body, "message", "The queue was cleared.");
    api_answer_json(call, 200, body);
    json_free(body);
}

static void change_configured(void *arg, enum status status, bool applied)
{
    struct api_call *call = arg;
    const struct change *change = call->state;
    (void)applied;
    if (status != ST_OK && change->kind == CHANGE_RESET) {
        /* No processor works on a draft: only a repeated reset tells Redis. */
        api_problem(call, 503, "unavailable",
                    "The event was reset, but Redis could not be told: send the request again.",
                    NULL);
        return;
    }
    if (status != ST_OK)
        log_warn("change stored but not in redis: the processor will retry",
                 LOG_TEXT("event", change->event.id), LOG_TEXT("status", status_name(status)));
    if (change->kind == CHANGE_CLEAR || change->kind == CHANGE_RESET)
        publish_event(call->api, "queue-cleared", &change->event);
    if (change->kind == CHANGE_RESET)
        publish_event(call->api, "seats-changed", &change->event);
    publish_event(call->api, "config-changed", &change->event);
    if (change->before.status != change->event.status)
        publish_event(call->api, "event-status-changed", &change->event);
    if (change->kind == CHANGE_MESSAGE)
        publish_message(call->api, &change->event);
    catalog_hint(call->api->catalog, change->event.id);
    if (change->of_predecessor)
        answer_cleared(call);
    else
        api_answer_owned(call, 200, &change->event);
}

static void change_stored(void *arg, enum status status, const struct event *event)
{
    struct api_call *call = arg;
    struct change *change = call->state;
    struct queue *queue = call->api->queue;
    if (status == ST_CONFLICT && change->kind == CHANGE_RESET) {
        api_problem(call, 409, "real-payments",
                    "Payments of another provider than the demo's were made: refund them, and "
                    "rehearse in a copy.",
                    NULL);
        return;
    }
    if (status == ST_STALE && change->if_match == 0)
        status =
            ST_CONFLICT; /* another change came first; without If-Match, 412 would not be right */
    if (status != ST_OK) {
        api_fail(call, status);
        return;
    }
    api_log_change(call, change->verb_name, &change->before, event);
    change->event = *event;
    if (event->status == EVENT_DRAFT && change->kind != CHANGE_RESET) { /* Redis has none */
        api_answer_owned(call, 200, event);
        return;
    }
    const enum status st =
        change->kind == CHANGE_CLEAR
            ? queue_clear(queue, event->id, (uint64_t)event->epoch, change_configured, call)
            : queue_configure(queue, event, change_configured, call);
    if (st != ST_OK)
        change_configured(call, st, false);
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
    if (change->kind == CHANGE_PATCH && st == ST_OK)
        st = event_check_change(&change->before, event, shared_clock_ms(), &error);
    else if (change->kind == CHANGE_MESSAGE)
        st = event_read_message(event, call->body, &error);
    else if (change->kind == CHANGE_VERB)
        st = event_apply(event, change->verb, shared_clock_ms(), &error);
    if (change->kind == CHANGE_CLEAR && event->status == EVENT_DRAFT) {
        (void)json_refuse(&error, "status", "is-draft",
                          "The event is a draft: it has no queue to clear.");
        st = ST_CONFLICT;
    } else if (change->kind == CHANGE_RESET && !event->rehearsal) {
        (void)json_refuse(&error, "rehearsal", "not-a-rehearsal",
                          "Only a rehearsal can be reset. Rehearse in a copy of the event.");
        st = ST_CONFLICT;
    }
    if (st == ST_CONFLICT)
        api_refuse(call, 409, "wrong-state", &error);
    else if (st != ST_OK)
        api_invalid(call, &error);
    return st == ST_OK;
}

/* Stores what edit_event has allowed. */
static enum status store(struct api_call *call)
{
    struct change *change = call->state;
    struct db *db = call->api->db;
    if (change->kind == CHANGE_CLEAR)
        return catalog_bump_epoch(db, change->event.id, api_actor(call), change_stored, call);
    if (change->kind == CHANGE_RESET)
        return catalog_reset(db, change->event.id, DEMO_PROVIDER, api_actor(call), change_stored,
                             call);
    return catalog_update(db, &change->event, change->verb_name, api_actor(call), change_stored,
                          call);
}

/* ---- confirmation ---- */

/* Does it end the places of all buyers? */
static bool ends_places(const struct change *change)
{
    return change->kind == CHANGE_CLEAR || change->kind == CHANGE_RESET ||
           (change->kind == CHANGE_VERB && change->verb == EVENT_VERB_CLOSE);
}

/* Reads {"confirm"}. False: not valid, and 400 was answered. */
static bool read_confirm(struct api_call *call, struct change *change)
{
    static const char *const keys[] = {"confirm", NULL};
    struct json_error error = {0};
    if (!call->body)
        return true;
    enum status st = json_known_keys(call->body, keys, &error);
    if (st == ST_OK)
        st = json_read_text(call->body, "confirm", TEXT_LINE, EVENT_TEXT_MAX, change->confirm,
                            &error);
    change->has_confirm = change->confirm[0] != '\0';
    if (st != ST_OK)
        api_invalid(call, &error);
    return st == ST_OK;
}

/* Redis' counters. If they cannot be read there may be buyers, so the change must be confirmed. */
static void buyers_counted(void *arg, enum status status, const struct queue_stat *list,
                           size_t count)
{
    struct api_call *call = arg;
    const struct change *change = call->state;
    bool has_buyers = status != ST_OK || change->before.last_place > 0;
    for (size_t i = 0; i < count; i++)
        has_buyers = has_buyers || (strcmp(list[i].name, "joined") == 0 && list[i].value > 0);
    if (has_buyers) {
        api_problem(call, 409, "confirm-needed",
                    "Buyers have joined this event, and this ends their places: send {\"confirm\": "
                    "\"<title or id of the event>\"}, or its version as If-Match.",
                    "confirm");
        return;
    }
    status = store(call);
    if (status != ST_OK)
        api_fail(call, status);
}

static enum status change_fetched(struct api_call *call, const struct event *event)
{
    struct change *change = call->state;
    if (change->if_match > 0 && change->if_match != event->version)
        return ST_STALE;
    change->event = change->before = *event;
    if (!edit_event(call, change))
        return ST_OK;
    if (!ends_places(change) || change->if_match > 0 || change->of_predecessor)
        return store(call);
    if (!change->has_confirm)
        return queue_read_stats(call->api->queue, event->id, buyers_counted, call);
    if (strcmp(change->confirm, event->title) == 0 || strcmp(change->confirm, event->id) == 0)
        return store(call);
    api_refuse_as(call, 400, "invalid", "confirm-mismatch",
                  "confirm is neither the title nor the id of this event.", "confirm");
    return ST_OK;
}

/* ---- handlers ---- */

static enum status change_start(struct api_call *call, enum change_kind kind, const char *verb_name)
{
    struct change *change = http_req_alloc(call->req, sizeof(*change));
    change->kind = kind;
    change->verb_name = verb_name;
    change->if_match = api_read_if_match(call);
    change->of_predecessor = call->route->roles & API_OF_PREDECESSOR;
    call->state = change;
    if (kind == CHANGE_VERB && event_verb_parse(verb_name, &change->verb) != ST_OK)
        return ST_INTERNAL;
    if (change->if_match < 0) {
        api_problem(call, 400, "invalid", "If-Match must be an ETag of this event.", "If-Match");
        return ST_OK;
    }
    const bool wants_body = kind == CHANGE_PATCH || kind == CHANGE_MESSAGE;
    if (wants_body && !call->body) {
        api_problem(call, 400, "invalid", "A JSON body is needed.", "");
        return ST_OK;
    }
    if (ends_places(change) ? !read_confirm(call, change) : !wants_body && !api_body_is_empty(call))
        return ST_OK;
    return api_staff_event(call, change_fetched);
}

static enum status patch_start(struct api_call *call)
{
    return change_start(call, CHANGE_PATCH, "patch");
}

static enum status message_start(struct api_call *call)
{
    return change_start(call, CHANGE_MESSAGE, "message");
}

/* The verb is the last part of the route's path. */
static enum status verb_start(struct api_call *call)
{
    return change_start(call, CHANGE_VERB, strrchr(call->route->path, '/') + 1);
}

enum status api_clear(struct api_call *call)
{
    return change_start(call, CHANGE_CLEAR, "clear");
}

static enum status reset_start(struct api_call *call)
{
    return change_start(call, CHANGE_RESET, "reset");
}

#define EVENT_ROUTE "/api/admin/events/{eventId}"

const struct api_route api_change_routes[] = {
    {"PATCH", EVENT_ROUTE, AUTH_STAFF, API_OPERATORS, patch_start, API_BODY_EVENT},
    {"POST", EVENT_ROUTE "/message", AUTH_STAFF, API_OWNERS, message_start, API_BODY_JSON},
    {"POST", EVENT_ROUTE "/publish", AUTH_STAFF, API_OWNERS, verb_start, API_BODY_JSON},
    {"POST", EVENT_ROUTE "/open", AUTH_STAFF, API_OWNERS, verb_start, API_BODY_JSON},
    {"POST", EVENT_ROUTE "/pause", AUTH_STAFF, API_OPERATORS, verb_start, API_BODY_JSON},
    {"POST", EVENT_ROUTE "/resume", AUTH_STAFF, API_OPERATORS, verb_start, API_BODY_JSON},
    {"POST", EVENT_ROUTE "/close", AUTH_STAFF, API_OWNERS | API_OF_OWNER, verb_start,
     API_BODY_JSON},
    {"POST", EVENT_ROUTE "/reopen", AUTH_STAFF, API_OWNERS, verb_start, API_BODY_JSON},
    {"POST", EVENT_ROUTE "/clear", AUTH_STAFF, API_OWNERS | API_OF_OWNER, api_clear, API_BODY_JSON},
    {"POST", EVENT_ROUTE "/reset", AUTH_STAFF, API_OWNERS | API_OF_OWNER, reset_start,
     API_BODY_JSON},
    {0},
};
