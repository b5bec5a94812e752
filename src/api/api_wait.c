/* SPDX-License-Identifier: MIT */
/*
 * api_wait: the waiting page, and leaving the queue from it.
 *
 *   GET  /wait/{eventId}         api_visit: joins, or reads where the buyer's ticket stands
 *                                a browser without our cookie is first asked to bring it: 303 to ?cookies=TIME
 *        ?join=1                 joins, even if the buyer had a place before
 *        ?cookies=TIME           the browser was asked at TIME; if it comes without the cookie, it blocks cookies
 *        ?return=URL          where the button leads (api_return.c), by /wait/{eventId}/enter (api_enter.c)
 *        X-Tiketi-In-Place: 1    at the shop's own address, behind a proxy (api_in_place.c)
 *        ?left=1                 takes no place: the buyer has just left
 *   GET  /wait/{eventId}/leave   asks for confirmation
 *   POST /wait/{eventId}/leave   api_leave -> 303 to ?left=1
 *   GET  /offline                what the service worker shows when a waiting page cannot be loaded
 *
 * Why this way: the page is the answer of the API as text, so it works without JavaScript. The script takes
 * the same answer, with the ticket, from data-json and needs no request to start. wait.html has the elements
 * of all states; data-state selects by CSS what is shown, and the messages wait_<state>_title and
 * wait_<state>_lead.
 * A buyer without a place, or of a closed event, who has bought is shown the state "bought": for that PostgreSQL is asked,
 * and if it does not answer, the page says what the queue has answered.
 * A place needs a person who waits for it. So one is given only to a load of a whole page (no image, no frame), that is
 * not made ahead of a click, by no robot, and by a browser that keeps cookies: without its cookie it would come back
 * as another buyer each time.
 * Called by: api's route table. Redis gone: 503 and the state "unavailable", which tries again by itself.
 */
#include "api/api_gate_request.h"
#include "api/api_in_place.h"
#include "api/api_page.h"

#include "base/locale.h"
#include "base/log.h"
#include "base/shared_clock.h"
#include "queue/reference.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COOKIES_ASKED_S 600
#define PURCHASES_READ  10

#define RETRY_S         10
#define NETWORK_RETRY_S 30
#define NEXT_POLL_S     (-1) /* stands for the next_poll_s of the answer */
#define NEVER_S         0

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
    const char *code; /* code of a problem */
    struct wait_state state;
} problem_states[] = {
    {"event-closed", {"closed", NEVER_S}},      {"unknown-event", {"unknown", NEVER_S}},
    {"invalid", {"unknown", NEVER_S}},          {"login-required", {"login", NEVER_S}},
    {"too-many-requests", {"busy", RETRY_S}},   {"network-limit", {"network", NETWORK_RETRY_S}},
    {"speculative-load", {"preview", NEVER_S}}, {"banned", {"banned", NEVER_S}},
};
static const struct wait_state unavailable = {"unavailable", RETRY_S};
static const struct wait_state preview = {"preview", NEVER_S};
static const struct wait_state return_refused = {"return_refused", NEVER_S};
static const struct wait_state unsent = {"unsent", NEVER_S};
static const struct wait_state bought = {"bought", NEVER_S};
static const struct wait_state cookies_blocked = {"cookies", NEVER_S};

/* ---- the page ---- */

static const struct event *event_of(const struct api_call *call)
{
    return call->param[0] != '\0' ? catalog_event(call->api->catalog, call->param) : NULL;
}

/* Where the turn is for another shop, nothing is said of ours; wait_view.js does the same. */
static bool speaks_of_shop(struct api_call *call, const struct wait_state *state)
{
    return api_return_query(call) &&
           (strcmp(state->name, "admitted") == 0 || strcmp(state->name, "expired") == 0);
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
    api_page_set(page, "signed_in", api_signed_in_here(call) ? "1" : NULL);
    api_page_set(page, "push_key", api_push_key(call->api));
    (void)snprintf(key, sizeof(key), "wait_%s_title", state->name);
    api_page_set(page, "heading", message(page->language, key));
    (void)snprintf(key, sizeof(key), "wait_%s%s_lead", speaks_of_shop(call, state) ? "return_" : "",
                   state->name);
    const bool signs_in = strcmp(state->name, "login") == 0 && api_page_signs_in(call, event);
    api_page_set(page, "lead", message(page->language, signs_in ? "wait_login_here_lead" : key));
    const char *turn = api_page_count(page, "minutes", (uint64_t)minutes);
    const char *back = api_return_query(call);
    const struct message_value values[] = {{"minutes", turn}, {NULL, NULL}};
    api_page_set(page, "next_seats",
                 api_page_message(page, back ? "next_return" : "next_seats", values));
    api_page_set(page, "return", back);
    api_page_set(page, "in_place", gate_request_in_place(call) ? "1" : NULL);
    api_page_set(page, "own_shop", back ? NULL : "1"); /* what is sold is sold here */
    api_page_set(page, "here", api_wait_address(call, NULL));
    api_page_set(page, "join_here", api_wait_address(call, "join=1"));
    if (state->refresh_s > 0)
        api_page_set_number(page, "refresh", state->refresh_s);
}

/* Sets the estimate in the words of a person: wait_model.js does the same when it changes. */
static void set_estimate(struct page *page, const struct wait_estimate *wait)
{
    static const int64_t steps[] = {1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60};
    const double minutes = (double)wait->seconds / 60;
    int64_t near = 0;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (near == 0 || fabs((double)steps[i] - minutes) < fabs((double)near - minutes))
            near = steps[i];
    }
    const int64_t quarters = llround(minutes / 15);
    const bool hours = minutes >= 75;
    const char *key = wait->seconds < 10   ? "estimate_soon"
                      : wait->seconds < 60 ? "estimate_under"
                      : !hours             ? "estimate_about"
                      : quarters % 4 == 0  ? "estimate_hours"
                                           : "estimate_hours_minutes";
    if (!wait->known)
        return;
    if (wait->low_confidence)
        api_page_set(page, "measuring", "1");
    const struct message_value values[] = {
        {"n", api_page_printf(page, "%" PRId64, near)},
        {"h", api_page_printf(page, "%" PRId64, quarters / 4)},
        {"m", api_page_printf(page, "%" PRId64, quarters % 4 * 15)},
        {NULL, NULL}};
    api_page_set(page, "estimate", api_page_message(page, key, values));
}

/* For a page without a script: how long the turn lasts from now. */
static void set_turn_left(struct page *page, int64_t ends_ms)
{
    const int64_t left_ms = ends_ms - shared_clock_ms();
    const struct message_value values[] = {
        {"minutes",
         api_page_count(page, "minutes", left_ms > 60000 ? (uint64_t)left_ms / 60000 : 1)},
        {NULL, NULL}};
    api_page_set(page, "turn_left", api_page_message(page, "turn_left", values));
}

/* Sets the seats that will be left at the buyer's turn: two digits, as wait_model.js has it. */
static void set_seats_at_turn(struct page *page, const struct stock_forecast *forecast)
{
    uint64_t unit = 1;
    if (!forecast->known || forecast->high == 0)
        return;
    while (forecast->about / unit >= 100)
        unit *= 10;
    api_page_set(page, "seats_text",
                 api_page_count(page, "seats_at_turn", (forecast->about + unit / 2) / unit * unit));
}

/* Sets the bands of prices, with what is left in each. */
static void set_stock(struct page *page, const struct stock *stock)
{
    struct buf bands;
    buf_init(&bands, 16384);
    for (size_t i = 0; i < stock->count; i++) {
        const struct stock_band *band = &stock->bands[i];
        const char *level = stock_level_name(stock_level(band));
        struct page item = *page;
        struct buf price;
        buf_init(&price, 128);
        locale_money(&price, page->language, band->from, stock->currency);
        if (band->to != band->from) {
            buf_add_str(&price, " – ");
            locale_money(&price, page->language, band->to, stock->currency);
        }
        api_page_set_buf(&item, "price", &price);
        api_page_set(&item, "level", level);
        api_page_set(&item, "word",
                     message(page->language, api_page_printf(&item, "stock_%s", level)));
        if (api_page_fill(&item, "wait_band.html", &bands) != ST_OK)
            buf_reset(&bands);
    }
    api_page_set_buf(page, "stock", &bands);
}

static void show_turn(struct api_call *call, const struct api_turn *turn)
{
    static const struct wait_state unlikely = {"unlikely", NEXT_POLL_S};
    const bool is_unlikely = turn->seats_at_turn.known && turn->seats_at_turn.high == 0;
    const struct wait_state *state = is_unlikely ? &unlikely : &turn_states[turn->status];
    struct page page;
    if (strcmp(http_req_method(call->req), "POST") == 0) { /* the form of leave.html */
        api_page_redirect(call, api_wait_address(call, "left=1"));
        return;
    }
    begin(&page, call, state);
    if (state->refresh_s == NEXT_POLL_S)
        api_page_set_number(&page, "refresh", turn->next_poll_s > 0 ? turn->next_poll_s : RETRY_S);
    if (!turn->brief && turn->event) {
        api_page_set(&page, "message",
                     api_page_copy(&page, event_message(turn->event, page.language)));
        api_page_set(&page, "message_language",
                     api_page_copy(&page, event_message_language(turn->event, page.language)));
    }
    if (turn->position > 0) {
        struct buf number;
        buf_init(&number, 32);
        locale_number(&number, page.language, turn->position);
        api_page_set_buf(&page, "position", &number);
        api_page_set(&page, "ahead",
                     turn->position > 1 ? api_page_count(&page, "ahead", turn->position - 1)
                     : turn->status == TURN_SCHEDULED ? message(page.language, "ahead_first")
                                                      : message(page.language, "ahead_none"));
        set_estimate(&page, &turn->wait);
    }
    set_seats_at_turn(&page, &turn->seats_at_turn);
    if (turn->event && turn->event->seats > 0 && turn->position > 0) {
        const struct counted_stock *counted = stock_cache_look(call->api->stock, call->param);
        if (counted)
            set_stock(&page, &counted->stock);
    }
    if (turn->status == TURN_ACTIVE)
        set_turn_left(&page, turn->pass_expires_ms);
    if (turn->place > 0) {
        char reference[REFERENCE_SIZE];
        reference_write(turn->place, reference);
        api_page_set(&page, "reference", api_page_copy(&page, reference));
    }
    struct buf *json = &call->api->text;
    buf_reset(json);
    api_turn_write(turn, json);
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
    if (call->return_refused)
        state = &return_refused;
    begin(&page, call, state);
    if (problem->retry_s > 0 && state->refresh_s > 0)
        api_page_set_number(&page, "refresh", problem->retry_s);
    api_page_answer(&page, api_in_place_status(call, problem->status, problem->retry_s),
                    "wait.html");
}

/* ---- who has bought ---- */

/* Shows the way to their tickets. `closed`: no others can be bought. */
static void show_bought(struct api_call *call, bool closed)
{
    struct page page;
    begin(&page, call, &bought);
    api_page_set(&page, "closed", closed ? "1" : NULL);
    api_page_answer(&page, 200, "wait.html");
}

static void purchases_listed(void *arg, enum status status, const char *outcome, const char *json,
                             size_t len)
{
    struct api_call *call = arg;
    const struct api_problem *problem = call->state; /* what was answered; NULL: no place */
    struct reservation_list list = {0};
    bool has_bought = false;
    (void)outcome;
    if (status == ST_OK && reservation_list_read(json, len, &list) != ST_OK)
        log_error("reservation list malformed", LOG_NUM("bytes", len));
    for (size_t i = 0; i < list.count; i++)
        has_bought |= strcmp(list.items[i].status, "confirmed") == 0;
    reservation_list_clear(&list);
    if (has_bought)
        show_bought(call, problem);
    else if (problem)
        show_problem(call, problem);
    else
        show_turn(call, &(struct api_turn){.status = TURN_NOT_IN_QUEUE, .brief = true});
}

static void ask_purchases(struct api_call *call, struct api_problem *problem)
{
    const struct reservation_query query = {
        .buyer = call->buyer, .event = call->param, .current = true, .limit = PURCHASES_READ};
    call->state = problem;
    if (api_list_reservations(call, &query, purchases_listed) != ST_OK)
        purchases_listed(call, ST_UNAVAILABLE, NULL, NULL, 0);
}

static bool is_get(const struct api_call *call)
{
    return strcmp(http_req_method(call->req), "GET") == 0;
}

static void present_turn(struct api_call *call, const struct api_turn *turn)
{
    if (turn->status == TURN_NOT_IN_QUEUE && is_get(call))
        ask_purchases(call, NULL);
    else
        show_turn(call, turn);
}

static void present_late_problem(struct api_call *call, const struct api_problem *problem)
{
    if (strcmp(problem->code, "event-closed") != 0 || !is_get(call)) {
        show_problem(call, problem);
        return;
    }
    struct api_problem *kept = http_req_alloc(call->req, sizeof(*kept));
    *kept = (struct api_problem){.status = problem->status, .code = "event-closed"};
    ask_purchases(call, kept);
}

const struct api_presenter api_wait_presenter = {
    .problem = show_problem, .late_problem = present_late_problem, .turn = present_turn};

/* ---- routes ---- */

static void left_known(void *arg, enum status status)
{
    struct api_call *call = arg;
    if (status != ST_OK)
        api_fail_event(call, status);
    else if (api_take_return(call, event_of(call)))
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
    if (!api_take_return(call, event_of(call)))
        return;
    api_page_begin(&page, call);
    api_page_event(&page, event_of(call));
    api_page_set(&page, "return", api_return_query(call));
    api_page_answer(&page, 200, "leave.html");
}

/* Shows a state of the page that takes no place. */
static void show_state_as(struct api_call *call, unsigned status, const struct wait_state *state)
{
    struct page page;
    begin(&page, call, state);
    api_page_answer(&page, status, "wait.html");
}

static void show_state(struct api_call *call, const struct wait_state *state)
{
    show_state_as(call, 200, state);
}

static void preview_known(void *arg, enum status status)
{
    struct api_call *call = arg;
    call->guest = false; /* no cookie: nobody visits */
    if (status != ST_OK)
        api_fail_event(call, status);
    else if (api_take_return(call, event_of(call)))
        show_state_as(call, gate_request_in_place(call) ? api_in_place_status(call, 503, 0) : 200,
                      &preview);
}

static void unsent_known(void *arg, enum status status)
{
    struct api_call *call = arg;
    if (status != ST_OK)
        api_fail_event(call, status);
    else if (api_take_return(call, event_of(call)))
        show_state_as(call, 401, &unsent);
}

/* Was the browser asked for its cookie a moment ago? An older TIME is that of a link that somebody has copied. */
static bool was_asked(const struct api_call *call)
{
    const char *time = http_req_query(call->req, "cookies");
    return time && api_is_number(time) &&
           llabs(strtoll(time, NULL, 10) - shared_clock_s()) <= COOKIES_ASKED_S;
}

/* The browser has sent no cookie of ours. The answer sets one, and leads back here once. */
static void cookies_known(void *arg, enum status status)
{
    struct api_call *call = arg;
    if (status != ST_OK) {
        api_fail_event(call, status);
        return;
    }
    if (!api_take_return(call, event_of(call)) || !api_allows_buyer(call, event_of(call)))
        return;
    if (was_asked(call)) {
        show_state(call, &cookies_blocked);
        return;
    }
    const char *query = http_req_query_text(call->req);
    struct buf *location = &call->api->text;
    buf_reset(location);
    buf_printf(location, "/wait/%s%s%s%scookies=%" PRId64, call->param, query, *query ? "&" : "?",
               gate_request_in_place(call) ? "in-place=1&" : "", shared_clock_s());
    api_page_redirect(call, buf_str(location));
}

static void back_known(void *arg, enum status status)
{
    struct api_call *call = arg;
    if (status == ST_OK && !api_take_return(call, event_of(call)))
        return;
    if (status == ST_OK && !api_in_place_lead_back(call))
        status = api_visit(call, false);
    if (status != ST_OK)
        api_fail_event(call, status);
}

static enum status wait_start(struct api_call *call)
{
    if (api_in_place_refuses(call))
        return ST_OK;
    if (api_in_place_unsent(call))
        return api_with_event(call, call->param, unsent_known);
    if (api_in_place_comes_back(call))
        return api_with_event(call, call->param, back_known);
    if (http_req_query(call->req, "left") || strcmp(http_req_method(call->req), "HEAD") == 0)
        return api_with_event(call, call->param, left_known); /* takes no place */
    if (api_loaded_ahead(call)) {
        /* Browsers drop a page that they have loaded ahead if its status is an error, and load it when it is wanted. */
        call->guest = false;
        api_problem(call, 403, "speculative-load",
                    "The page is not loaded ahead: a place is given when it is opened.", NULL);
        return ST_OK;
    }
    if (!api_loaded_by_person(call))
        return api_with_event(call, call->param, preview_known);
    if (call->new_guest)
        return api_with_event(call, call->param, cookies_known);
    return api_visit(call, http_req_query(call->req, "join") != NULL);
}

static enum status leave_page_start(struct api_call *call)
{
    return api_with_event(call, call->param, leave_known);
}

static enum status offline_start(struct api_call *call)
{
    struct page page;
    call->guest = false; /* the service worker asks for it: nobody visits */
    api_page_begin(&page, call);
    api_page_answer(&page, 200, "offline.html");
    return ST_OK;
}

const struct api_route api_wait_routes[] = {
    {"GET", "/offline", AUTH_NONE, 0, offline_start, API_BODY_NONE},
    {"GET", "/wait/{eventId}", AUTH_BUYER, 0, wait_start, API_BODY_NONE},
    {"GET", "/wait/{eventId}/leave", AUTH_BUYER, 0, leave_page_start, API_BODY_NONE},
    {"POST", "/wait/{eventId}/leave", AUTH_BUYER, 0, api_leave, API_BODY_NONE},
    {0},
};
