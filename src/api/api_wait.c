/* SPDX-License-Identifier: MIT */
/*
 * api_wait: the waiting page, and leaving the queue from it.
 *
 *   GET  /wait/{eventId}         api_visit: joins, or reads where the buyer's ticket stands
 *        ?join=1                 joins, even if the buyer had a place before
 *        ?left=1                 takes no place: the buyer has just left
 *   GET  /wait/{eventId}/leave   asks for confirmation
 *   POST /wait/{eventId}/leave   api_leave -> 303 to ?left=1
 *
 * Why this way: the page is the answer of the API as text, so it works without JavaScript. The script takes
 * the same answer, with the ticket, from data-json and needs no request to start. wait.html has the elements
 * of all states; data-state selects by CSS what is shown, and the messages wait_<state>_title and
 * wait_<state>_lead.
 * Called by: api's route table. Redis gone: 503 and the state "unavailable", which tries again by itself.
 */
#include "api/api_page.h"

#include "queue/reference.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RETRY_S     10
#define NEXT_POLL_S (-1) /* the answer's next_poll_s */
#define NEVER_S     0

/* ---- states ---- */

struct wait_state {
    const char *name;
    int refresh_s; /* after this time a page without JavaScript loads itself again */
};

static const struct wait_state turn_states[] = {
    [TURN_QUEUED] = {"waiting", NEXT_POLL_S},   [TURN_SCHEDULED] = {"scheduled", 30},
    [TURN_PAUSED] = {"paused", NEXT_POLL_S},    [TURN_SOLD_OUT] = {"sold_out", 60},
    [TURN_RESTORING] = {"restoring", RETRY_S},  [TURN_ACTIVE] = {"admitted", NEVER_S},
    [TURN_NOT_IN_QUEUE] = {"expired", NEVER_S}, [TURN_LEFT] = {"left", NEVER_S},
};

static const struct {
    const char *code; /* the problem's */
    struct wait_state state;
} problem_states[] = {
    {"event-closed", {"closed", NEVER_S}},    {"unknown-event", {"unknown", NEVER_S}},
    {"invalid", {"unknown", NEVER_S}},        {"login-required", {"login", NEVER_S}},
    {"too-many-requests", {"busy", RETRY_S}},
};
static const struct wait_state unavailable = {"unavailable", RETRY_S};

/* ---- the page ---- */

static const struct event *event_of(const struct api_call *call)
{
    return call->param[0] != '\0' ? catalog_event(call->api->catalog, call->param) : NULL;
}

static void begin(struct page *page, struct api_call *call, const struct wait_state *state)
{
    const struct event *event = event_of(call);
    const int64_t turn_ms = event ? event->session_limit_ms : 0;
    const int64_t minutes = turn_ms >= 60000 ? turn_ms / 60000 : 1;
    char key[64];
    api_page_begin(page, call);
    api_page_event(page, event);
    api_page_set(page, "state", state->name);
    (void)snprintf(key, sizeof(key), "wait_%s_title", state->name);
    api_page_set(page, "heading", message(page->language, key));
    (void)snprintf(key, sizeof(key), "wait_%s_lead", state->name);
    api_page_set(page, "lead", message(page->language, key));
    const char *turn = api_page_count(page, "minutes", (uint64_t)minutes);
    const struct message_value values[] = {{"minutes", turn}, {NULL, NULL}};
    api_page_set(page, "turn", turn);
    api_page_set(page, "next_seats", api_page_message(page, "next_seats", values));
    if (state->refresh_s > 0)
        api_page_set_number(page, "refresh", state->refresh_s);
}

/* Sets the estimate: in minutes if it may be more than 90 s. The lower bound is rounded down, the upper one up. */
static void set_estimate(struct page *page, int64_t low_s, int64_t high_s)
{
    const bool minutes = high_s > 90;
    const int64_t unit = minutes ? 60 : 1;
    const struct message_value values[] = {
        {"low", api_page_printf(page, "%" PRId64, low_s / unit)},
        {"high", api_page_printf(page, "%" PRId64, (high_s + unit - 1) / unit)},
        {NULL, NULL}};
    const char *key;
    if (high_s < 10)
        key = "estimate_soon";
    else if (low_s / unit * unit >= high_s)
        key = minutes ? "estimate_minutes" : "estimate_seconds";
    else
        key = minutes ? "estimate_minutes_range" : "estimate_seconds_range";
    api_page_set(page, "estimate", api_page_message(page, key, values));
}

static void show_turn(struct api_call *call, const struct api_turn *turn)
{
    const struct wait_state *state = &turn_states[turn->status];
    struct page page;
    if (strcmp(http_req_method(call->req), "POST") == 0) { /* the form of leave.html */
        char location[EVENT_ID_MAX + 32];
        (void)snprintf(location, sizeof(location), "/wait/%s?left=1", call->param);
        api_page_redirect(call, location);
        return;
    }
    begin(&page, call, state);
    if (state->refresh_s == NEXT_POLL_S)
        api_page_set_number(&page, "refresh", turn->next_poll_s > 0 ? turn->next_poll_s : RETRY_S);
    if (!turn->brief && turn->event)
        api_page_set(&page, "message", api_page_copy(&page, turn->event->message));
    if (turn->position > 0) {
        struct buf number;
        buf_init(&number, 32);
        buf_add_grouped(&number, turn->position);
        api_page_set_buf(&page, "position", &number);
        api_page_set(
            &page, "ahead",
            api_page_count(&page, turn->position > 1 ? "ahead" : "ahead_none", turn->position - 1));
        if (turn->wait.known)
            set_estimate(&page, turn->wait.low, turn->wait.high);
    }
    if (turn->place > 0) {
        char reference[REFERENCE_SIZE];
        reference_write(turn->place, reference);
        api_page_set(&page, "reference", api_page_copy(&page, reference));
    }
    struct buf *json = &call->api->text;
    buf_reset(json);
    api_turn_write(call->api, turn, json);
    api_page_set(&page, "json", buf_str(json));
    api_page_answer(&page, 200, "wait.html");
}

static void show_problem(struct api_call *call, const struct api_problem *problem)
{
    const struct wait_state *state = &unavailable;
    struct page page;
    for (size_t i = 0; i < sizeof(problem_states) / sizeof(problem_states[0]); i++) {
        if (strcmp(problem_states[i].code, problem->code) == 0)
            state = &problem_states[i].state;
    }
    begin(&page, call, state);
    api_page_answer(&page, problem->status, "wait.html");
}

const struct api_presenter api_wait_presenter = {.problem = show_problem, .turn = show_turn};

/* ---- routes ---- */

static void left_known(void *arg, enum status status)
{
    struct api_call *call = arg;
    if (status != ST_OK)
        api_fail_event(call, status);
    else
        api_answer_turn(call, &(struct api_turn){.status = TURN_LEFT, .brief = true});
}

static void leave_known(void *arg, enum status status)
{
    struct api_call *call = arg;
    struct page page;
    if (status != ST_OK) {
        api_fail_event(call, status);
        return;
    }
    api_page_begin(&page, call);
    api_page_event(&page, event_of(call));
    api_page_answer(&page, 200, "leave.html");
}

static enum status wait_start(struct api_call *call)
{
    if (http_req_query(call->req, "left") || strcmp(http_req_method(call->req), "HEAD") == 0)
        return api_with_event(call, call->param, left_known); /* takes no place */
    return api_visit(call, http_req_query(call->req, "join") != NULL);
}

static enum status leave_page_start(struct api_call *call)
{
    return api_with_event(call, call->param, leave_known);
}

const struct api_route api_wait_routes[] = {
    {"GET", "/wait/{eventId}", AUTH_BUYER, 0, wait_start, API_BODY_NONE},
    {"GET", "/wait/{eventId}/leave", AUTH_BUYER, 0, leave_page_start, API_BODY_NONE},
    {"POST", "/wait/{eventId}/leave", AUTH_BUYER, 0, api_leave, API_BODY_NONE},
    {0},
};
