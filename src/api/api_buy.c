/* SPDX-License-Identifier: MIT */
/*
 * api_buy: the page where seats are chosen and paid.
 *
 *   GET  /buy/{eventId}   api_status, which claims if a person loads the page -> the buyer's reservations ->
 *                         the page in one of its states; a buyer who is not inside and holds nothing
 *                         is redirected to /tickets if they have bought, else to /wait
 *   POST /buy/{eventId}   action=best | pay | cancel: the API's own handler -> 303, back here or to the
 *                         payment page; with ?reservation= it is a return from payment: 303 to
 *                         the same address by GET
 *
 * Why this way: like the waiting page, it is the answer of the API as text and works without JavaScript. Then
 * seats are chosen by number ("best available"), and each form ends in a redirect, so that a reload repeats
 * nothing. A form that failed comes back as ?notice=<code of the problem>. The script takes the same
 * answers from data-json and data-reservations. Who has bought is led to their tickets whatever the queue answers, also
 * when Redis is gone.
 * Called by: api's route table. PostgreSQL gone: 503 and the state "unavailable", which tries again by itself.
 */
#include "api/api_page.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/locale.h"
#include "base/shared_clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX           (64 * 1024)
#define QUANTITY_MAX       10
#define RESERVATIONS_SHOWN 50
#define URL_MAX            2048

/* A request for the page, between the queue's answer and ours. */
struct buy {
    unsigned code;             /* the HTTP status of the queue's answer */
    const char *json;          /* the turn, for data-json; NULL after a problem */
    bool inside;               /* the queue answered that the buyer is inside */
    int64_t turn_ends_ms;      /* then the end of the turn; 0: not known */
    bool closed;               /* the queue answered that the event is closed */
    const char *problem_state; /* the state to show after a problem, if the buyer has no seats */
    struct reservation_list list;
    const struct reservation *held, *bought; /* the newest ones of this event; NULL: none */
};

static bool equal(const char *text, const char *other)
{
    return text && strcmp(text, other) == 0;
}

static bool is_post(const struct api_call *call)
{
    return strcmp(http_req_method(call->req), "POST") == 0;
}

/* ---- states ---- */

static const char *problem_state(const char *code)
{
    static const char *const states[][2] = {{"unknown-event", "unknown"},
                                            {"invalid", "unknown"},
                                            {"login-required", "login"},
                                            {"too-many-requests", "busy"}};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (strcmp(code, states[i][0]) == 0)
            return states[i][1];
    }
    return "unavailable";
}

static void find_reservations(struct buy *buy, struct api_call *call)
{
    /* from the oldest on, so that the newest one is kept */
    for (size_t i = buy->list.count; i-- > 0;) {
        const struct reservation *one = &buy->list.items[i];
        if (strcmp(one->event, call->param) != 0)
            continue;
        if (strcmp(one->status, "held") == 0)
            buy->held = one;
        if (strcmp(one->status, "confirmed") == 0)
            buy->bought = one;
    }
}

/* The state to show, in which only held seats are shown. NULL: redirect the buyer to their tickets, or else to the
 * waiting page. */
static const char *state_of(const struct buy *buy, const struct event *event)
{
    if (buy->inside)
        return event && event->seats == 0 ? "empty" : "choose";
    if (buy->held)
        return "last";
    return buy->bought || buy->code == 200 || buy->closed ? NULL : buy->problem_state;
}

/* ---- the page ---- */

static void set_reservation(struct page *page, const struct reservation *reservation)
{
    struct buf rows;
    api_page_set(page, "reservation", reservation->id);
    const char *total = api_page_money(page, reservation->total, reservation->currency);
    const struct message_value amount[] = {{"amount", total}, {NULL, NULL}};
    api_page_set(page, "total", total);
    api_page_set(page, "pay_text", api_page_message(page, "buy_pay", amount));

    buf_init(&rows, LIST_MAX);
    for (size_t i = 0; i < reservation->seat_count; i++) {
        const struct reserved_seat *seat = &reservation->seats[i];
        struct page row = *page;
        const struct message_value name[] = {
            {"section", seat->section},
            {"row", seat->row},
            {"number", api_page_printf(page, "%" PRId64, seat->number)},
            {NULL, NULL}};
        api_page_set(&row, "seat", api_page_message(&row, "seat_name", name));
        api_page_set(&row, "price",
                     api_page_money(&row, seat->price, seat->currency ? seat->currency : ""));
        if (api_page_fill(&row, "buy_seat.html", &rows) != ST_OK)
            buf_reset(&rows);
    }
    api_page_set_buf(page, "seats", &rows);
}

/* Sets the time limit for a page without JavaScript: the nearest of the end of the turn and of the hold, in the zone of
 * the event. Returns the seconds until then; 0: there is none. The script shows a countdown instead. */
static int64_t set_deadline(struct page *page, const struct event *event, const struct buy *buy)
{
    int64_t ends_ms = buy->inside ? buy->turn_ends_ms : 0, hold_ms = 0;
    const bool held = buy->held && buy->held->expires_at &&
                      clock_parse_rfc3339(buy->held->expires_at, &hold_ms) == ST_OK;
    if (held && (ends_ms == 0 || hold_ms <= ends_ms))
        ends_ms = hold_ms;
    const int64_t left_ms = ends_ms - shared_clock_ms();
    if (ends_ms == 0 || left_ms <= 0)
        return 0;
    const struct message_value until[] = {
        {"time", api_page_time(page, event, ends_ms, LOCALE_TIME)},
        {"zone", api_page_time(page, event, ends_ms, LOCALE_ZONE)},
        {NULL, NULL}};
    const bool pays = held && ends_ms == hold_ms;
    api_page_set(page, "until", api_page_message(page, "time_in_zone", until));
    api_page_set(page, "until_label",
                 message(page->language, pays ? "buy_held_until" : "buy_turn_until"));
    return left_ms / 1000 + 1;
}

/* The way into a shop that sells the event's tickets itself, for a buyer who has come without one: the first of returnUrls; below
 * a PATH_PREFIX the shop is on the host of this page. */
static void set_shop(struct page *page, const struct event *event)
{
    const char *at = event->return_urls, *prefix = api_prefix(page->call->api);
    size_t len;
    const char *entry = return_entry_next(&at, &len);
    const char *url = entry ? http_req_strdup(page->call->req, entry, len) : *prefix ? "/" : NULL;
    if (url)
        api_page_set(page, "shop_url",
                     api_page_own(page, "/wait/%s/enter?%s", event->id,
                                  api_return_parameter(page->call, url)));
}

/* Marks the step that the buyer is at. */
static void set_step(struct page *page, const char *state)
{
    static const char *const steps[][2] = {{"choose", "step_choose"}, {"last", "step_pay"}};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (strcmp(state, steps[i][0]) == 0)
            api_page_set(page, steps[i][1], "1");
    }
}

static void set_quantities(struct page *page, int64_t most)
{
    struct buf options;
    buf_init(&options, 4096);
    for (int64_t n = 1; n <= most && n <= QUANTITY_MAX; n++) {
        struct page option = *page;
        api_page_set_number(&option, "n", n);
        api_page_set(&option, "chosen", n == 2 || most == 1 ? "1" : "");
        if (api_page_fill(&option, "buy_option.html", &options) != ST_OK)
            break;
    }
    api_page_set_buf(page, "quantities", &options);
}

/* Sets the sections with their prices, to choose one without the map; some seconds old. */
static void set_sections(struct page *page)
{
    const struct counted_stock *counted =
        stock_cache_look(page->call->api->stock, page->call->param);
    struct buf options;
    if (!counted || counted->sections.count < 2)
        return;
    buf_init(&options, LIST_MAX);
    for (size_t i = 0; i < counted->sections.count; i++) {
        const struct stock_section *section = &counted->sections.of[i];
        struct page option = *page;
        const struct message_value price[] = {
            {"price", api_page_money(&option, section->from, counted->stock.currency)},
            {NULL, NULL}};
        api_page_set(&option, "section", section->name);
        api_page_set(&option, "left",
                     section->free == 0 ? message(page->language, "buy_left_none")
                                        : api_page_message(&option, "buy_from", price));
        if (api_page_fill(&option, "buy_section.html", &options) != ST_OK)
            buf_reset(&options);
    }
    api_page_set_buf(page, "sections", &options);
}

/* The outcome of the form that led here, for the message buy_notice_<outcome>; "failed" for a problem without a message
 * of its own. NULL: no form led here. */
static const char *notice_of(struct api_call *call)
{
    static const char *const notices[] = {
        "seat-taken",  "no-adjacent", "no-seats",     "limit",     "held-too-long", "expired",
        "not-payable", "unavailable", "already-paid", "cancelled", "email"};
    const char *notice = http_req_query(call->req, "notice");
    if (equal(http_req_query(call->req, "payment"), "cancelled"))
        notice = "cancelled";
    for (size_t i = 0; i < sizeof(notices) / sizeof(notices[0]); i++) {
        if (equal(notice, notices[i]))
            return notices[i];
    }
    return notice ? "failed" : NULL;
}

/* The origin of the payment page; NULL: none is configured. */
static const char *payment_origin(struct page *page)
{
    const char *url = page->call->api->config->payment_url;
    const char *host = url ? strstr(url, "://") : NULL;
    if (!host)
        return NULL;
    const size_t len = (size_t)(host - url) + 3 + strcspn(host + 3, "/?# ;,'\"");
    return http_req_strdup(page->call->req, url, len);
}

/* Answers with the page. `reservations`: the JSON of the buyer's reservations; NULL: it could not be read. */
static void show(struct api_call *call, struct buy *buy, const char *reservations)
{
    const struct event *event = catalog_event(call->api->catalog, call->param);
    find_reservations(buy, call);
    const char *state = state_of(buy, event);
    if (!state) {
        char location[EVENT_ID_MAX + 16];
        (void)snprintf(location, sizeof(location), buy->bought ? "/tickets/%s" : "/wait/%s",
                       call->param);
        api_page_redirect(call, location);
        return;
    }

    struct page page;
    char key[64];
    const char *notice = notice_of(call);
    const bool retries = strcmp(state, "unavailable") == 0 || strcmp(state, "busy") == 0;
    const bool failed = strcmp(state, buy->problem_state ? buy->problem_state : "") == 0;
    api_page_begin(&page, call);
    api_page_event(&page, event);
    page.form_origin = payment_origin(&page);
    api_page_set(&page, "state", state);
    api_page_set(&page, "json", buy->json ? buy->json : "{}");
    api_page_set(&page, "reservations", reservations);
    (void)snprintf(key, sizeof(key), "buy_%s_title", state);
    api_page_set(&page, "heading", message(page.language, key));
    (void)snprintf(key, sizeof(key), "buy_%s_lead", state);
    const bool signs_in = strcmp(state, "login") == 0 && api_page_signs_in(call, event);
    api_page_set(&page, "lead", message(page.language, signs_in ? "wait_login_here_lead" : key));
    if (notice) {
        (void)snprintf(key, sizeof(key), "buy_notice_%s", notice);
        api_page_set(&page, "notice", message(page.language, key));
    }
    if (buy->held)
        set_reservation(&page, buy->held);
    if (strcmp(state, "choose") == 0) {
        set_quantities(&page, event ? event->max_seats : 4);
        set_sections(&page);
    }
    set_step(&page, state);
    if (event && strcmp(state, "empty") == 0)
        set_shop(&page, event);
    int64_t refresh_s = retries ? 10 : 0;
    if (strcmp(state, "choose") == 0 || strcmp(state, "last") == 0)
        refresh_s = set_deadline(&page, event, buy);
    if (refresh_s > 0)
        api_page_set_number(&page, "refresh", refresh_s);
    api_page_answer(&page, failed ? buy->code : 200, "buy.html");
}

static void listed(void *arg, enum status status, const char *outcome, const char *json, size_t len)
{
    struct api_call *call = arg;
    struct buy *buy = call->state;
    (void)outcome;
    if (status == ST_OK)
        status = reservation_list_read(json, len, &buy->list);
    if (status != ST_OK) { /* without PostgreSQL nothing can be sold or shown */
        buy->inside = buy->closed = false;
        buy->problem_state = "unavailable";
        if (buy->code < 400)
            buy->code = 503;
    }
    struct reservation_list list = buy->list; /* the answer frees `buy` when the client has gone */
    show(call, buy, status == ST_OK ? json : NULL);
    reservation_list_clear(&list);
}

static void ask_reservations(struct api_call *call)
{
    /* what the buyer has of this event, whatever else they have */
    const struct reservation_query query = {
        .buyer = call->buyer, .event = call->param, .current = true, .limit = RESERVATIONS_SHOWN};
    if (api_list_reservations(call, &query, listed) != ST_OK)
        listed(call, ST_UNAVAILABLE, NULL, NULL, 0);
}

static void seats_read(void *arg, const char *event, enum status status,
                       const struct shared_text *map)
{
    struct api_call *call = arg;
    if (status == ST_OK)
        (void)stock_cache_count(call->api->stock, event, map);
    ask_reservations(call);
}

static struct buy *new_buy(struct api_call *call, unsigned code)
{
    struct buy *buy = http_req_alloc(call->req, sizeof(*buy));
    buy->code = code;
    call->state = buy;
    return buy;
}

/* ---- the answer to a form ---- */

static void redirect_back(struct api_call *call, const char *notice)
{
    char location[EVENT_ID_MAX + 64];
    (void)snprintf(location, sizeof(location), "/buy/%s%s%.40s", call->param,
                   notice ? "?notice=" : "", notice ? notice : "");
    api_page_redirect(call, location);
}

/* Redirects to the payment page, with the signed order, the language, and the URL that leads back to this page. */
static void show_order(struct api_call *call, const struct api_order *order)
{
    struct page page;
    struct buf url;
    if (!order->payment_url || !order->return_url) {
        redirect_back(call, order->payment_url ? "failed" : NULL);
        return;
    }
    api_page_begin(&page, call);
    buf_init(&url, URL_MAX);
    const struct event *event = catalog_event(call->api->catalog, call->param);
    api_order_url(order, language_code(page.language),
                  event && event->time_zone[0] != '\0' ? event->time_zone : NULL, &url);
    if (buf_status(&url) == ST_OK)
        api_page_redirect_away(call, buf_str(&url));
    else
        redirect_back(call, "failed");
    buf_clear(&url);
}

/* Seats were held or released: the page, loaded again, shows it. */
static void show_reservation(struct api_call *call)
{
    redirect_back(call, NULL);
}

/* ---- presenter ---- */

static void show_turn(struct api_call *call, const struct api_turn *turn)
{
    struct buy *buy = new_buy(call, 200);
    struct buf *json = &call->api->text;
    buf_reset(json);
    api_turn_write(turn, json);
    buy->json = http_req_strdup(call->req, buf_str(json), json->len);
    buy->inside = turn->status == TURN_ACTIVE && turn->claim_expires_ms == 0;
    buy->turn_ends_ms = turn->turn_ends_ms;
    const struct event *event = catalog_event(call->api->catalog, call->param);
    /* A page without a script shows the sections: it waits for the first count of them. */
    if (!buy->inside || !event || event->seats == 0 ||
        stock_cache_look(call->api->stock, call->param) ||
        seat_maps_get(call->api->seat_maps, call->param, seats_read, call) != ST_OK)
        ask_reservations(call);
}

/* Does a payment page send the buyer back with a form? Forms of our own have nothing in the query. */
static bool returns_by_post(const struct api_call *call)
{
    return is_post(call) && http_req_query(call->req, "reservation");
}

static void redirect_to_get(struct api_call *call)
{
    struct buf *location = &call->api->text;
    buf_reset(location);
    buf_printf(location, "/buy/%s%s", call->param, http_req_query_text(call->req));
    api_page_redirect(call, buf_str(location));
}

/* A problem before the handler ran: answers at once. A form from another site leads back to the page with a notice.
 * Other requests may be malformed, so no part of them goes into a redirect. */
static void show_problem(struct api_call *call, const struct api_problem *problem)
{
    struct buy *buy;
    if (strcmp(problem->code, "foreign-origin") == 0 && returns_by_post(call)) {
        redirect_to_get(call);
        return;
    }
    if (is_post(call) && strcmp(problem->code, "foreign-origin") == 0) {
        redirect_back(call, problem->code);
        return;
    }
    buy = new_buy(call, problem->status);
    buy->closed = strcmp(problem->code, "event-closed") == 0;
    buy->problem_state = problem_state(problem->code);
    show(call, buy, NULL);
}

static void show_late_problem(struct api_call *call, const struct api_problem *problem)
{
    if (is_post(
            call)) { /* the notice of a field that the buyer filled in is named like the field */
        redirect_back(call, problem->status >= 500           ? "unavailable"
                            : equal(problem->field, "email") ? "email"
                                                             : problem->code);
        return;
    }
    if (strcmp(problem->code, "banned") ==
        0) { /* the waiting page says it, unless they hold or have bought seats */
        show_turn(call, &(struct api_turn){.status = TURN_NOT_IN_QUEUE, .brief = true});
        return;
    }
    if (strcmp(problem_state(problem->code), "unavailable") != 0) {
        show_problem(call, problem);
        return;
    }
    struct buy *buy = new_buy(call, problem->status);
    buy->closed = strcmp(problem->code, "event-closed") == 0;
    buy->problem_state = "unavailable";
    ask_reservations(call);
}

const struct api_presenter api_buy_presenter = {.problem = show_problem,
                                                .late_problem = show_late_problem,
                                                .turn = show_turn,
                                                .order = show_order,
                                                .reservation = show_reservation};

/* ---- routes ---- */

/* action=best: makes the form's fields the body of POST /api/reservations, whose handler validates them. */
static enum status hold_best(struct api_call *call)
{
    const char *quantity = http_req_form(call->req, "quantity");
    const char *section = http_req_form(call->req, "section");
    call->body = json_new_object(); /* freed with the call */
    json_set_str(call->body, "eventId", call->param);
    if (quantity && *quantity != '0' && api_is_number(quantity))
        json_set_int(call->body, "quantity", strtoll(quantity, NULL, 10));
    else if (quantity)
        json_set_str(call->body, "quantity",
                     quantity); /* api_hold refuses it: it is not a number */
    if (section && *section)
        json_set_str(call->body, "section", section);
    return api_hold(call);
}

static enum status form_start(struct api_call *call)
{
    const char *action = http_req_form(call->req, "action");
    const char *id = http_req_form(call->req, "reservation");
    if (returns_by_post(call)) {
        redirect_to_get(call);
        return ST_OK;
    }
    if (equal(action, "best"))
        return hold_best(call);
    if (id && equal(action, "pay")) {
        struct page page;
        api_page_choose_language(&page, call);
        return api_pay(call, id, http_req_form(call->req, "email"), page.language);
    }
    if (id && equal(action, "cancel"))
        return api_cancel(call, id);
    return ST_INVALID;
}

static enum status page_start(struct api_call *call)
{
    const bool shown = strcmp(http_req_method(call->req), "HEAD") != 0;
    return api_status(call, shown && api_loaded_by_person(call));
}

const struct api_route api_buy_routes[] = {
    {"GET", "/buy/{eventId}", AUTH_BUYER, 0, page_start, API_BODY_NONE},
    {"POST", "/buy/{eventId}", AUTH_BUYER, 0, form_start, API_BODY_NONE},
    {0},
};
