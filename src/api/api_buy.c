/* SPDX-License-Identifier: MIT */
/*
 * api_buy: the page where seats are chosen and paid, and where a purchase is shown.
 *
 *   GET  /buy/{eventId}   api_status -> the buyer's reservations -> the page in one of its states; a buyer
 *                         who is not inside and holds nothing is redirected to /wait
 *   POST /buy/{eventId}   action=best | pay | cancel: the API's own handler -> 303, back here or to the
 *                         payment page
 *
 * Why this way: like the waiting page, it is the answer of the API as text and works without JavaScript. Then
 * seats are chosen by number ("best available"), and each form ends in a redirect, so that a reload repeats
 * nothing. A form that failed comes back as ?notice=<code of the problem>. The script takes the same
 * answers from data-json and data-reservations. A purchase is shown whatever the queue answers, also when
 * Redis is gone.
 * Called by: api's route table. PostgreSQL gone: 503 and the state "unavailable", which tries again by itself.
 */
#include "api/api_page.h"

#include "base/config.h"
#include "selling/money.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX     (64 * 1024)
#define QUANTITY_MAX 10
#define URL_MAX      2048

/* A request for the page, between the queue's answer and ours. */
struct buy {
    unsigned code;             /* the HTTP status of the queue's answer */
    const char *json;          /* the turn, for data-json; NULL after a problem */
    bool inside;               /* the buyer is, according to the queue */
    bool closed;               /* the event is, according to the queue */
    const char *problem_state; /* the state to show after a problem, if the buyer has no seats */
    struct reservation_list list;
    const struct reservation *held, *bought; /* the newest ones of this event; NULL: none */
    const struct reservation
        *returned; /* named by ?reservation=, after the payment page; NULL: none */
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
    const char *returned = http_req_query(call->req, "reservation");
    for (size_t i = buy->list.count; i-- > 0;) { /* from the oldest to the newest, which is kept */
        const struct reservation *one = &buy->list.items[i];
        if (strcmp(one->event, call->param) != 0)
            continue;
        if (strcmp(one->status, "held") == 0)
            buy->held = one;
        if (strcmp(one->status, "confirmed") == 0)
            buy->bought = one;
        if (equal(returned, one->id))
            buy->returned = one;
    }
}

/* The state to show, and in *ret_shown the reservation that it shows. NULL: redirect the buyer to the waiting page. */
static const char *state_of(const struct buy *buy, struct api_call *call, const struct event *event,
                            const struct reservation **ret_shown)
{
    if (buy->returned && equal(http_req_query(call->req, "payment"), "paid")) {
        const char *status = buy->returned->status;
        *ret_shown = buy->returned;
        return strcmp(status, "confirmed") == 0  ? "bought"
               : strcmp(status, "refunded") == 0 ? "refunded"
               : strcmp(status, "held") == 0     ? "confirming"
                                                 : "late";
    }
    *ret_shown = buy->held;
    if (buy->inside)
        return event && event->seats == 0 ? "empty" : "choose";
    if (buy->held)
        return "last";
    *ret_shown = buy->bought;
    if (buy->bought)
        return "bought";
    return buy->code == 200 || buy->closed ? NULL : buy->problem_state;
}

/* ---- the page ---- */

static const char *money_text(struct page *page, int64_t amount, const char *currency)
{
    struct buf text;
    buf_init(&text, 64);
    money_write(&text, amount, currency);
    const char *copy = api_page_copy(page, buf_str(&text));
    buf_clear(&text);
    return copy;
}

static void set_reservation(struct page *page, const struct reservation *reservation)
{
    struct buf rows;
    const char *expires = reservation->expires_at;
    api_page_set(page, "reservation", reservation->id);
    api_page_set(page, "number", reservation->number);
    api_page_set(page, "expires", expires);
    if (expires && strlen(expires) >= 19)
        api_page_set(page, "until", api_page_printf(page, "%.5s UTC", expires + 11));
    const char *total = money_text(page, reservation->total, reservation->currency);
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
                     money_text(&row, seat->price, seat->currency ? seat->currency : ""));
        if (api_page_fill(&row, "buy_seat.html", &rows) != ST_OK)
            buf_reset(&rows);
    }
    api_page_set_buf(page, "seats", &rows);
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

/* The outcome of the form that led here, for the message buy_notice_<outcome>; "failed" for a problem without a message
 * of its own. NULL: no form led here. */
static const char *notice_of(struct api_call *call)
{
    static const char *const notices[] = {"seat-taken",  "no-adjacent",  "no-seats",
                                          "limit",       "expired",      "not-payable",
                                          "unavailable", "already-paid", "cancelled"};
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
    const struct reservation *shown;
    find_reservations(buy, call);
    const char *state = state_of(buy, call, event, &shown);
    if (!state) {
        char location[EVENT_ID_MAX + 16];
        (void)snprintf(location, sizeof(location), "/wait/%s", call->param);
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
    api_page_set(&page, "lead", message(page.language, key));
    if (notice) {
        (void)snprintf(key, sizeof(key), "buy_notice_%s", notice);
        api_page_set(&page, "notice", message(page.language, key));
    }
    if (shown)
        set_reservation(&page, shown);
    if (strcmp(state, "choose") == 0)
        set_quantities(&page, event ? event->max_seats : 4);
    if (retries || strcmp(state, "confirming") == 0)
        api_page_set_number(&page, "refresh", retries ? 10 : 3);
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
    show(call, buy, status == ST_OK ? json : NULL);
    reservation_list_clear(&buy->list);
}

static void ask_reservations(struct api_call *call)
{
    if (reservation_list(call->api->db, call->buyer, listed, call) != ST_OK)
        listed(call, ST_UNAVAILABLE, NULL, NULL, 0);
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

static void add_query(struct buf *out, const char *name, const char *value)
{
    buf_add_str(out, name);
    buf_add_char(out, '=');
    for (; value && *value; value++) {
        const bool plain = strchr("-._~", *value) || (*value >= '0' && *value <= '9') ||
                           (*value >= 'A' && *value <= 'Z') || (*value >= 'a' && *value <= 'z');
        if (plain)
            buf_add_char(out, *value);
        else
            buf_printf(out, "%%%02X", (unsigned char)*value);
    }
    buf_add_char(out, '&');
}

/* Redirects to the payment page, with the signed order, the language, and the URL that leads back to this page. */
static void show_order(struct api_call *call, const struct api_order *order)
{
    const char *host = http_req_header(call->req, "Host");
    struct page page;
    struct buf url;
    if (!order->payment_url) {
        redirect_back(call, NULL);
        return;
    }
    api_page_begin(&page, call);
    buf_init(&url, URL_MAX);
    buf_add_str(&url, order->payment_url);
    buf_add_char(&url, strchr(order->payment_url, '?') ? '&' : '?');
    add_query(&url, "reference", order->reference);
    add_query(&url, "reservationId", order->reservation);
    add_query(&url, "provider", order->provider);
    add_query(&url, "currency", order->currency);
    add_query(&url, "expiresAt", order->expires_at);
    add_query(&url, "signature", order->signature);
    add_query(&url, "amount", api_page_printf(&page, "%" PRId64, order->amount));
    add_query(&url, "lang", language_code(page.language));
    add_query(&url, "return",
              api_page_printf(&page, "%s://%s/buy/%s?reservation=%s",
                              api_over_https(call) ? "https" : "http", host ? host : "",
                              call->param, order->reservation));
    buf_truncate(&url, url.len - 1);
    if (buf_status(&url) == ST_OK)
        api_page_redirect(call, buf_str(&url));
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
    api_turn_write(call->api, turn, json);
    buy->json = http_req_strdup(call->req, buf_str(json), json->len);
    buy->inside = turn->status == TURN_ACTIVE;
    ask_reservations(call);
}

/* A problem before the handler ran: answers at once. A form from another site leads back to the page with a notice.
 * Other requests may be malformed, so no part of them goes into a redirect. */
static void show_problem(struct api_call *call, const struct api_problem *problem)
{
    struct buy *buy;
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
    if (is_post(call)) {
        redirect_back(call, problem->status >= 500 ? "unavailable" : problem->code);
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
    if (equal(action, "best"))
        return hold_best(call);
    if (id && equal(action, "pay"))
        return api_pay(call, id);
    if (id && equal(action, "cancel"))
        return api_cancel(call, id);
    return ST_INVALID;
}

const struct api_route api_buy_routes[] = {
    {"GET", "/buy/{eventId}", AUTH_BUYER, 0, api_status, API_BODY_NONE},
    {"POST", "/buy/{eventId}", AUTH_BUYER, 0, form_start, API_BODY_NONE},
    {0},
};
