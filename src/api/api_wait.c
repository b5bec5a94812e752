/* SPDX-License-Identifier: MIT */
/*
 * api_wait: the waiting page, and leaving from it.
 *
 *   GET  /wait/{eventId}         api_visit: joins, or reports where a ticket is  -> shown by state
 *        ?join=1                 joins, whatever has become of an earlier place
 *        ?left=1                 joins nothing: he has just left
 *   GET  /wait/{eventId}/leave   asks whether he is sure
 *   POST /wait/{eventId}/leave   api_leave -> 303 to ?left=1
 *
 * Why this way: the page is the API's own answer in words, so it works without JavaScript; the
 * script then takes the same answer from data-state, the ticket with it, and needs no request to
 * begin. One template has the parts of all states; the state's name decides by CSS what is seen, and
 * which of the messages wait_<state>_title and wait_<state>_lead is said.
 * Called by: api's route table. With Redis gone: 503 and state "unavailable", which tries again.
 */
#include "api/api_page.h"

#include "queue/reference.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_S     10
#define SCHEDULED_S 30

/* ---- which state ---- */

struct wait_state {
    const char *said; /* the API's word: a status, or the code of a problem */
    const char *name;
    int refresh_s; /* without JavaScript; 0: never, -1: as the API says */
};

static const struct wait_state states[] = {
    {"queued", "waiting", -1},
    {"scheduled", "scheduled", SCHEDULED_S},
    {"paused", "paused", -1},
    {"restoring", "restoring", RETRY_S},
    {"sold_out", "sold_out", 60},
    {"active", "admitted", 0},
    {"not_in_queue", "expired", 0},
    {"left", "left", 0},
    {"event-closed", "closed", 0},
    {"unknown-event", "unknown", 0},
    {"invalid", "unknown", 0},
    {"login-required", "login", 0},
    {"too-many-requests", "busy", RETRY_S},
};
static const struct wait_state unavailable = {NULL, "unavailable", RETRY_S};

static const struct wait_state *state_of(const char *said)
{
    for (size_t i = 0; said != NULL && i < sizeof(states) / sizeof(states[0]); i++) {
        if (strcmp(states[i].said, said) == 0)
            return &states[i];
    }
    return &unavailable;
}

/* ---- what is shown ---- */

static void set_reference(struct page *page, const struct json *answer)
{
    struct ticket ticket;
    char text[REFERENCE_SIZE];
    const char *signed_text = json_str(answer, "ticket");
    if (signed_text == NULL ||
        ticket_read(page->call->api->keys, signed_text, strlen(signed_text), &ticket) != ST_OK)
        return;
    reference_write(ticket.place, text);
    api_page_set(page, "reference", http_req_strdup(page->call->req, text, strlen(text)));
}

static void set_count(struct page *page, const char *name, const char *key, uint64_t n)
{
    struct buf text;
    buf_init(&text, 256);
    message_count(&text, page->language, key, n);
    api_page_set_buf(page, name, &text);
}

/* Minutes from a minute and a half on, rounded away from false precision. */
static void set_estimate(struct page *page, int64_t low, int64_t high)
{
    const bool minutes = high > 90;
    const int64_t unit = minutes ? 60 : 1;
    char from[24], to[24];
    (void)snprintf(from, sizeof(from), "%" PRId64, low / unit);
    (void)snprintf(to, sizeof(to), "%" PRId64, (high + unit - 1) / unit);
    const bool soon = high < 10;
    const char *key = soon ? "estimate_soon"
                      : low / unit * unit >= high
                          ? (minutes ? "estimate_minutes" : "estimate_seconds")
                      : minutes ? "estimate_minutes_range"
                                : "estimate_seconds_range";
    api_page_set_message(page, "estimate", key,
                         (const struct message_value[]){{"low", from}, {"high", to}, {NULL, NULL}});
}

static void set_position(struct page *page, const struct json *answer)
{
    struct buf text;
    const int64_t position = json_int(answer, "position", 0);
    const struct json *range = json_get(answer, "estimatedWaitRange");
    if (position < 1)
        return;
    buf_init(&text, 32);
    buf_add_grouped(&text, (uint64_t)position);
    api_page_set_buf(page, "position", &text);
    set_count(page, "ahead", position > 1 ? "ahead" : "ahead_none", (uint64_t)position - 1);
    if (range != NULL && json_is_array(range))
        set_estimate(page, json_int_value(json_array_at(range, 0), 0),
                     json_int_value(json_array_at(range, 1), 0));
}

/* wait_<state>_title and wait_<state>_lead, with how long a turn lasts. */
static void set_words(struct page *page, const char *state, const struct event *event)
{
    char key[64], minutes[24];
    const int64_t ms = event != NULL ? event->session_limit_ms : 0;
    (void)snprintf(minutes, sizeof(minutes), "%" PRId64, ms / 60000 > 0 ? ms / 60000 : 1);
    const struct message_value values[] = {{"minutes", minutes}, {NULL, NULL}};
    (void)snprintf(key, sizeof(key), "wait_%s_title", state);
    api_page_set_message(page, "heading", key, values);
    (void)snprintf(key, sizeof(key), "wait_%s_lead", state);
    api_page_set_message(page, "lead", key, values);
    set_count(page, "turn", "minutes", (uint64_t)strtoull(minutes, NULL, 10));
    const struct message_value turn[] = {{"minutes", page->values[page->count - 1].value},
                                         {NULL, NULL}};
    api_page_set_message(page, "next_seats", "next_seats", turn);
}

static void set_refresh(struct page *page, const struct wait_state *state,
                        const struct json *answer)
{
    const int64_t seconds =
        state->refresh_s < 0 ? json_int(answer, "nextPoll", RETRY_S) : state->refresh_s;
    if (seconds > 0)
        api_page_set_number(page, "refresh", seconds);
}

static void present_left(struct api_call *call)
{
    char location[EVENT_ID_MAX + 32];
    (void)snprintf(location, sizeof(location), "/wait/%s?left=1", call->param);
    api_page_redirect(call, location);
}

static bool is_leaving(const struct api_call *call)
{
    return strcmp(http_req_method(call->req), "POST") == 0;
}

static bool asks_to_leave(const struct api_call *call)
{
    return call->route != NULL && strstr(call->route->path, "/leave") != NULL;
}

static void present_json(struct api_call *call, unsigned code, const char *json, size_t len)
{
    struct page page;
    const struct event *event =
        call->param[0] != '\0' ? catalog_event(call->api->catalog, call->param) : NULL;
    struct json *answer = json_parse(json, len, len, NULL);
    if (is_leaving(call) && code == 200) {
        json_free(answer);
        present_left(call);
        return;
    }
    const struct wait_state *state = state_of(json_str(answer, code < 400 ? "status" : "code"));
    const char *message = json_str(json_get(answer, "eventInfo"), "message");
    api_page_begin(&page, call);
    api_page_event(&page, event);
    api_page_set(&page, "state", state->name);
    api_page_set(&page, "json", http_req_strdup(call->req, json, len));
    if (message != NULL)
        api_page_set(&page, "message", http_req_strdup(call->req, message, strlen(message)));
    set_words(&page, state->name, event);
    set_position(&page, answer);
    set_reference(&page, answer);
    set_refresh(&page, state, answer);
    json_free(answer);
    api_page_answer(&page, code, asks_to_leave(call) && code == 200 ? "leave.html" : "wait.html");
}

/* ---- the routes ---- */

static void answer_word(struct api_call *call, const char *word)
{
    char json[64];
    const int len = snprintf(json, sizeof(json), "{\"status\":\"%s\"}", word);
    api_answer(call, 200, json, (size_t)len);
}

static void known(void *arg, enum status status)
{
    struct api_call *call = arg;
    if (status == ST_OK)
        answer_word(call, "left");
    else if (status == ST_NOT_FOUND)
        api_problem(call, 404, "unknown-event", "There is no such event.", "eventId");
    else
        api_fail(call, status);
}

/* A page about the event that takes no place in its queue. */
static enum status show_event(struct api_call *call)
{
    if (catalog_event(call->api->catalog, call->param) == NULL)
        return catalog_load(call->api->catalog, call->param, false, known, call);
    known(call, ST_OK);
    return ST_OK;
}

static enum status wait_start(struct api_call *call)
{
    if (http_req_query(call->req, "left") != NULL ||
        strcmp(http_req_method(call->req), "HEAD") == 0)
        return show_event(call);
    return api_visit(call, http_req_query(call->req, "join") != NULL);
}

const struct api_presenter api_wait_presenter = {.json = present_json};

const struct api_route api_wait_routes[] = {
    {"GET", "/wait/{eventId}", AUTH_BUYER, 0, wait_start, false},
    {"GET", "/wait/{eventId}/leave", AUTH_BUYER, 0, show_event, false},
    {"POST", "/wait/{eventId}/leave", AUTH_BUYER, 0, api_leave, false},
    {0},
};
