/* SPDX-License-Identifier: MIT */
/*
 * api_hook: the webhooks of an event: addresses that are told what its feed has. For its owners alone.
 *
 *   GET, POST      …/webhooks               the list; a new one, whose answer has its secret
 *   PATCH, DELETE  …/webhooks/{webhook}
 *   POST           …/webhooks/{webhook}/test | rotate | replay
 *
 * Why this way: PostgreSQL has them, and courier sends; a test is sent by courier, too, so it says whether that would reach the
 * receiver. Secrets are shown once and never listed.
 * Called by: api's route table. Owns nothing. PostgreSQL gone: 503, and nothing has changed or the outcome is unknown.
 */
#include "api/api_internal.h"

#include "net/hook_url.h"
#include "selling/feed.h"
#include "selling/hook.h"

#include <stdio.h>
#include <string.h>

#define FIELDS_MAX      8192
#define TYPES_MAX       32
#define DESCRIPTION_MAX 200
#define KEEP_S          86400 /* how long an old secret signs, unless another time is asked for */
#define KEEP_MAX_S      604800

struct hook_call {
    struct hook_request request;
    const char *fields; /* JSON */
    const char *after;  /* digits; NULL: not given */
    int64_t keep_s;
};

/* ---- reading ---- */

static struct hook_call *new_call(struct api_call *call)
{
    struct hook_call *hook = http_req_alloc(call->req, sizeof(*hook));
    call->state = hook;
    hook->keep_s = KEEP_S;
    hook->request.who = api_actor(call);
    return hook;
}

/* Returns what the handler keeps, with the event and the webhook of the path; or NULL: it names none, and that was
 * answered. */
static struct hook_call *name_hook(struct api_call *call, const struct event *event)
{
    struct hook_call *hook = call->state;
    const char *id = strstr(http_req_path(call->req), "/webhooks/") + strlen("/webhooks/");
    hook->request.event = event->id;
    hook->request.id = http_req_strdup(call->req, id, strcspn(id, "/"));
    if (api_is_number(hook->request.id))
        return hook;
    api_refuse_as(call, 404, "not-found", "unknown-webhook", "This event has no such webhook.",
                  "webhook");
    return NULL;
}

static enum status read_url(struct api_call *call, struct json *fields, struct json_error *error)
{
    const char *url = NULL, *reason;
    struct client_ip *allowed;
    char wrong[160];
    bool plain;
    enum status st = json_read_str(call->body, "url", HOOK_URL_MAX, &url, error);
    if (st != ST_OK || !url)
        return st;
    st = client_ip_new(call->api->config->outbound_allow, &allowed, wrong, sizeof(wrong));
    if (st != ST_OK)
        return st;
    if (hook_url_check(url, allowed, &plain, &reason))
        json_set_str(fields, "url", url);
    else
        st = json_refuse(error, "url", "webhook-url", "%s", reason);
    client_ip_free(allowed);
    return st;
}

static bool is_type(const char *text)
{
    for (size_t i = 0; text && feed_types[i]; i++) {
        if (strcmp(feed_types[i], text) == 0)
            return true;
    }
    return false;
}

static enum status read_types(struct api_call *call, struct json *fields, struct json_error *error)
{
    const struct json *types = json_get(call->body, "types");
    if (!types)
        return ST_OK;
    if (!json_is_null(types) &&
        (!json_is_array(types) || json_array_len(types) == 0 || json_array_len(types) > TYPES_MAX))
        return json_refuse(error, "types", "not-a-list",
                           "types must be a list of types of events, or null for all.");
    for (size_t i = 0; i < json_array_len(types); i++) {
        if (!is_type(json_str_value(json_array_at(types, i))))
            return json_refuse(error, "types", "not-an-event-type",
                               "types[%zu] is no type of events: docs/integrate/events.md lists "
                               "them.",
                               i);
    }
    json_set(fields, "types", json_new_copy(types));
    return ST_OK;
}

/* Reads the body into hook->fields. */
static enum status read_fields(struct api_call *call, bool url_needed, struct json_error *error)
{
    static const char *const keys[] = {"url", "description", "types", "enabled", NULL};
    char description[TEXT_BYTES(DESCRIPTION_MAX) + 1] = "";
    struct hook_call *hook = call->state;
    struct json *fields = json_new_object();
    bool enabled = true;
    enum status st = call->body ? json_known_keys(call->body, keys, error)
                                : json_refuse(error, "", "body-needed", "A JSON body is needed.");
    if (st == ST_OK)
        st = read_url(call, fields, error);
    if (st == ST_OK && url_needed && !json_has(fields, "url"))
        st = json_refuse(error, "url", "needed", "url is needed.");
    if (st == ST_OK)
        st = json_read_text(call->body, "description", TEXT_LINE, DESCRIPTION_MAX, description,
                            error);
    if (st == ST_OK)
        st = read_types(call, fields, error);
    if (st == ST_OK)
        st = json_read_bool(call->body, "enabled", &enabled, error);
    if (st == ST_OK) {
        struct buf text;
        if (json_str(call->body, "description"))
            json_set_str(fields, "description", description);
        if (json_has(call->body, "enabled") && !json_is_null(json_get(call->body, "enabled")))
            json_set_bool(fields, "enabled", enabled);
        buf_init(&text, FIELDS_MAX);
        json_write(fields, &text);
        st = buf_status(&text);
        hook->fields = http_req_strdup(call->req, buf_str(&text), text.len);
        buf_clear(&text);
    }
    json_free(fields);
    return st;
}

/* ---- the list, a new one ---- */

static enum status list_fetched(struct api_call *call, const struct event *event)
{
    return hook_list(call->api->db, event->id, api_answer_stored, call);
}

static enum status list_start(struct api_call *call)
{
    return api_staff_event(call, list_fetched);
}

static void created(void *arg, enum status status, const char *outcome, const char *json,
                    size_t len)
{
    api_answer_outcome(arg, status, 201, outcome, json, len);
}

static enum status create_fetched(struct api_call *call, const struct event *event)
{
    struct hook_call *hook = call->state;
    hook->request.event = event->id;
    return hook_create(call->api->db, &hook->request, hook->fields, created, call);
}

static enum status create_start(struct api_call *call)
{
    struct json_error error = {0};
    (void)new_call(call);
    if (read_fields(call, true, &error) != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, create_fetched);
}

/* ---- change, remove ---- */

static enum status change_fetched(struct api_call *call, const struct event *event)
{
    struct hook_call *hook = name_hook(call, event);
    return hook ? hook_change(call->api->db, &hook->request, hook->fields, api_answer_stored, call)
                : ST_OK;
}

static enum status change_start(struct api_call *call)
{
    struct json_error error = {0};
    (void)new_call(call);
    if (read_fields(call, false, &error) != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, change_fetched);
}

static void deleted(void *arg, enum status status, const char *outcome, const char *json,
                    size_t len)
{
    if (status == ST_OK)
        api_answer(arg, 204, "", 0);
    else
        api_answer_outcome(arg, status, 204, outcome, json, len);
}

static enum status delete_fetched(struct api_call *call, const struct event *event)
{
    struct hook_call *hook = name_hook(call, event);
    return hook ? hook_delete(call->api->db, &hook->request, deleted, call) : ST_OK;
}

static enum status delete_start(struct api_call *call)
{
    (void)new_call(call);
    return api_staff_event(call, delete_fetched);
}

/* ---- test, rotate, replay ---- */

static void testing(void *arg, enum status status, const char *outcome, const char *json,
                    size_t len)
{
    api_answer_outcome(arg, status, 202, outcome, json, len);
}

static enum status test_fetched(struct api_call *call, const struct event *event)
{
    struct hook_call *hook = name_hook(call, event);
    return hook ? hook_test(call->api->db, &hook->request, testing, call) : ST_OK;
}

static enum status test_start(struct api_call *call)
{
    (void)new_call(call);
    if (!api_body_is_empty(call))
        return ST_OK;
    return api_staff_event(call, test_fetched);
}

static enum status rotate_fetched(struct api_call *call, const struct event *event)
{
    struct hook_call *hook = name_hook(call, event);
    return hook ? hook_rotate(call->api->db, &hook->request, hook->keep_s, api_answer_stored, call)
                : ST_OK;
}

static enum status rotate_start(struct api_call *call)
{
    static const char *const keys[] = {"keepOldSeconds", NULL};
    struct json_error error = {0};
    struct hook_call *hook = new_call(call);
    if (json_known_keys(call->body, keys, &error) != ST_OK ||
        json_read_int(call->body, "keepOldSeconds", 0, KEEP_MAX_S, &hook->keep_s, &error) !=
            ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, rotate_fetched);
}

static enum status replay_fetched(struct api_call *call, const struct event *event)
{
    struct hook_call *hook = name_hook(call, event);
    return hook ? hook_replay(call->api->db, &hook->request, hook->after, api_answer_stored, call)
                : ST_OK;
}

/* `after` of the body or, as with the feed, of the query. */
static enum status replay_start(struct api_call *call)
{
    static const char *const keys[] = {"after", NULL};
    struct json_error error = {0};
    struct hook_call *hook = new_call(call);
    hook->after = http_req_query(call->req, "after");
    enum status st = json_known_keys(call->body, keys, &error);
    if (st == ST_OK)
        st = json_read_str(call->body, "after", 32, &hook->after, &error);
    if (st == ST_OK && hook->after && !api_is_number(hook->after))
        st = json_refuse(&error, "after", "not-a-number",
                         "after must be the `sequence` of the last event that was read, or 0.");
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, replay_fetched);
}

#define HOOKS_ROUTE "/api/admin/events/{eventId}/webhooks"
#define HOOK_ROUTE  HOOKS_ROUTE "/{webhook}"
#define HOOK_OWNERS (API_OWNERS | API_OF_OWNER)

const struct api_route api_hook_routes[] = {
    {"GET", HOOKS_ROUTE, AUTH_STAFF, HOOK_OWNERS, list_start, API_BODY_NONE},
    {"POST", HOOKS_ROUTE, AUTH_STAFF, HOOK_OWNERS, create_start, API_BODY_JSON},
    {"PATCH", HOOK_ROUTE, AUTH_STAFF, HOOK_OWNERS, change_start, API_BODY_JSON},
    {"DELETE", HOOK_ROUTE, AUTH_STAFF, HOOK_OWNERS, delete_start, API_BODY_NONE},
    {"POST", HOOK_ROUTE "/test", AUTH_STAFF, HOOK_OWNERS, test_start, API_BODY_JSON},
    {"POST", HOOK_ROUTE "/rotate", AUTH_STAFF, HOOK_OWNERS, rotate_start, API_BODY_JSON},
    {"POST", HOOK_ROUTE "/replay", AUTH_STAFF, HOOK_OWNERS, replay_start, API_BODY_JSON},
    {0},
};
