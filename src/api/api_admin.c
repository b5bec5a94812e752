/* SPDX-License-Identifier: MIT */
/*
 * api_admin: staff routes that create, copy, list, show and remove events, and list their audit entries.
 *
 * Called by: api's route table. Owns nothing. With PostgreSQL gone: 503, nothing changed.
 */
#include "api/api_internal.h"

#include "base/shared_clock.h"
#include "queue/event_verb.h"
#include "queue/event_warning.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define AUDIT_PAGE    100
#define EVENTS_PAGE   100
#define LIST_JSON_MAX (8 * 1024 * 1024) /* bytes of a page of events, with their messages */

/* The event as its staff sees it. Where it is in Redis is for those who run the service. Returns new. */
static struct json *write_owned(const struct api_call *call, const struct event *event)
{
    const bool operates = call->user.role == USER_ADMIN || call->user.role == USER_SRE;
    const char *shard = operates ? queue_shard(call->api->queue, event->id) : NULL;
    struct json *body = event_write_json(event);
    json_set_str(body, "owner", event->owner);
    json_set_int(body, "epoch", event->epoch);
    json_set_int(body, "seats", event->seats);
    if (shard)
        json_set_str(body, "shard", shard);
    event_write_warnings(event, shared_clock_ms(), body);
    return body;
}

void api_answer_owned(struct api_call *call, unsigned code, const struct event *event)
{
    char etag[32];
    const struct api_presenter *present = call->present;
    if (present && present->event) {
        call->present = NULL;
        present->event(call, event);
        return;
    }
    struct json *body = write_owned(call, event);
    (void)snprintf(etag, sizeof(etag), "\"%" PRId64 "\"", event->version);
    http_req_add_header(call->req, "ETag", etag);
    api_answer_json(call, code, body);
    json_free(body);
}

/* ---- create ---- */

static void created(void *arg, enum status status, const struct event *event)
{
    struct api_call *call = arg;
    if (status == ST_CONFLICT)
        api_problem(call, 409, "id-taken", "An event with this id exists already.", "id");
    else if (status != ST_OK)
        api_fail(call, status);
    else
        api_answer_owned(call, 201, event);
}

static enum status create_start(struct api_call *call)
{
    struct json_error error = {0};
    struct event *event = http_req_alloc(call->req, sizeof(*event));
    event_init(event, call->api->config);
    if (api_staff_invited(call)) {
        api_refuse_as(call, 403, "forbidden", "invited",
                      "You were invited to an event, which does not allow you to create others.",
                      NULL);
        return ST_OK;
    }
    if (!call->body) {
        api_problem(call, 400, "invalid", "A JSON body is needed.", "");
        return ST_OK;
    }
    const struct event before = *event;
    if (event_read_json(event, call->body, true, &error) != ST_OK ||
        event_check_change(&before, event, shared_clock_ms(), &error) != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    (void)snprintf(event->owner, sizeof(event->owner), "%s", call->user.sub);
    return catalog_create(call->api->db, event, api_actor(call), created, call);
}

/* ---- copy, delete ---- */

static enum status copy_fetched(struct api_call *call, const struct event *event)
{
    return catalog_copy(call->api->db, event->id, call->state, api_actor(call), created, call);
}

/* {"id", "title", "rehearsal"}: what the copy has of its own. */
static enum status copy_start(struct api_call *call)
{
    static const char *const keys[] = {"id", "title", "rehearsal", NULL};
    struct json_error error = {0};
    struct catalog_copy *copy = http_req_alloc(call->req, sizeof(*copy));
    char title[EVENT_TEXT_SIZE] = "";
    const char *id = NULL;
    call->state = copy;
    if (!call->body)
        return api_staff_event(call, copy_fetched);
    enum status st = json_known_keys(call->body, keys, &error);
    if (st == ST_OK)
        st = event_read_id(call->body, &id, &error);
    if (st == ST_OK)
        st = json_read_text(call->body, "title", TEXT_LINE, EVENT_TEXT_MAX, title, &error);
    if (st == ST_OK && json_has(call->body, "title") && title[0] == '\0')
        st = json_refuse(&error, "title", "needed",
                         "title is not blanks alone; leave it out to keep it.");
    if (st == ST_OK)
        st = json_read_bool(call->body, "rehearsal", &copy->rehearsal, &error);
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    copy->id = id ? http_req_strdup(call->req, id, strlen(id)) : NULL;
    copy->title = title[0] != '\0' ? http_req_strdup(call->req, title, strlen(title)) : NULL;
    return api_staff_event(call, copy_fetched);
}

static void deleted(void *arg, enum status status, const struct event *event)
{
    struct api_call *call = arg;
    (void)event;
    if (status == ST_OK) {
        catalog_hint(call->api->catalog, call->param);
        api_answer(call, 204, "", 0);
    } else if (status == ST_CONFLICT) {
        api_refuse_as(
            call, 409, "wrong-state", "draft-only",
            "Only a draft can be removed: close the event instead. A rehearsal is a draft "
            "again after reset.",
            "status");
    } else {
        api_fail_event(call, status);
    }
}

static enum status delete_fetched(struct api_call *call, const struct event *event)
{
    return catalog_delete(call->api->db, event->id, api_read_if_match(call), api_actor(call),
                          deleted, call);
}

static enum status delete_start(struct api_call *call)
{
    if (api_read_if_match(call) < 0) {
        api_problem(call, 400, "invalid", "If-Match must be an ETag of this event.", "If-Match");
        return ST_OK;
    }
    return api_staff_event(call, delete_fetched);
}

/* Adds to each event of the list what only the program can say of it. */
static void listed(void *arg, enum status status, const char *json, size_t len)
{
    struct api_call *call = arg;
    struct json *list = status == ST_OK ? json_parse(json, len, LIST_JSON_MAX, NULL) : NULL;
    const struct json *events = json_get(list, "events");
    struct json *body = json_new_object(), *out = json_new_array();
    if (status == ST_OK && !list)
        status = ST_INTERNAL;
    for (size_t i = 0; i < json_array_len(events) && status == ST_OK; i++) {
        struct event event;
        status = event_read_row(&event, json_array_at(events, i));
        if (status == ST_OK)
            json_append(out, write_owned(call, &event));
    }
    json_set(body, "events", out);
    json_set_str(body, "next", json_str(list, "next"));
    if (status == ST_OK)
        api_answer_json(call, 200, body);
    else
        api_fail(call, status);
    json_free(body);
    json_free(list);
}

static enum status list_start(struct api_call *call)
{
    const struct catalog_choice choice = api_staff_choice(call);
    struct json_error error = {0};
    int64_t limit;
    if (!api_read_page(call, api_is_cursor, EVENTS_PAGE, &limit, &error)) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return catalog_list(call->api->db, &choice, http_req_query(call->req, "before"), (int)limit,
                        listed, call);
}

static enum status get_fetched(struct api_call *call, const struct event *event)
{
    api_answer_owned(call, 200, event);
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
    if (!api_read_page(call, api_is_number, AUDIT_PAGE, limit, &error)) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, audit_fetched);
}

const struct api_route api_admin_routes[] = {
    {"GET", "/api/admin/events", AUTH_STAFF, API_READERS, list_start, API_BODY_NONE},
    {"POST", "/api/admin/events", AUTH_STAFF, API_OWNERS, create_start, API_BODY_EVENT},
    {"GET", "/api/admin/events/{eventId}", AUTH_STAFF, API_READERS, get_start, API_BODY_NONE},
    {"DELETE", "/api/admin/events/{eventId}", AUTH_STAFF, API_OWNERS | API_OF_OWNER, delete_start,
     API_BODY_NONE},
    {"POST", "/api/admin/events/{eventId}/copy", AUTH_STAFF, API_OWNERS, copy_start, API_BODY_JSON},
    {"GET", "/api/admin/events/{eventId}/audit", AUTH_STAFF, API_READERS, audit_start,
     API_BODY_NONE},
    {0},
};
