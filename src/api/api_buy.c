/* SPDX-License-Identifier: MIT */
/*
 * api_buy: the page where seats are chosen, paid and, in the end, held in the hand.
 *
 *   GET  /buy/{eventId}   api_status -> the buyer's reservations -> shown by state; who has no business
 *                         here is sent to /wait
 *   POST /buy/{eventId}   action=best | pay | cancel: the API's own handler -> 303, back here or to the
 *                         payment page
 *
 * Why this way: as the waiting page, it is the API's own answers in words and works without
 * JavaScript: then seats are found by number ("best available"), and every form leads to a fresh
 * page, so that a reload repeats nothing. A failed form comes back as ?notice=<the problem's code>. The
 * script takes the same answers from data-json and data-reservations. What was bought is shown whatever
 * the queue says, also when it cannot say anything. Called by: api's route table.
 */
#include "api/api_page.h"

#include "selling/money.h"
#include "selling/reservation.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX     (64 * 1024)
#define QUANTITY_MAX 10
#define ADDRESS_MAX  2048

struct buy {
    unsigned code; /* of the queue's answer */
    const char *queue, *status;
    struct page page;
    struct json *list;
    const struct json *held, *bought, *returned;
};

/* ---- which state ---- */

static bool is_status(const struct json *reservation, const char *status)
{
    const char *is = json_str(reservation, "status");
    return is != NULL && strcmp(is, status) == 0;
}

static bool is_text(const char *text, const char *is)
{
    return text != NULL && strcmp(text, is) == 0;
}

/* The list is the newest first. */
static void find_reservations(struct buy *buy, struct api_call *call)
{
    const struct json *list = json_get(buy->list, "reservations");
    const char *returned = http_req_query(call->req, "reservation");
    for (size_t i = json_array_len(list); i-- > 0;) {
        const struct json *one = json_array_at(list, i);
        const char *id = json_str(one, "id");
        if (!is_text(json_str(one, "eventId"), call->param))
            continue;
        if (is_status(one, "held"))
            buy->held = one;
        if (is_status(one, "confirmed"))
            buy->bought = one;
        if (returned != NULL && is_text(id, returned))
            buy->returned = one;
    }
}

/* What has become of the reservation he comes back from the payment page with; NULL: nothing to say. */
static const char *returned_state(const struct buy *buy, struct api_call *call)
{
    if (buy->returned == NULL || !is_text(http_req_query(call->req, "payment"), "paid"))
        return NULL;
    if (is_status(buy->returned, "confirmed"))
        return "bought";
    if (is_status(buy->returned, "refunded"))
        return "refunded";
    return is_status(buy->returned, "held") ? "confirming" : "late";
}

static const char *problem_state(const struct buy *buy)
{
    static const char *const states[][2] = {{"unknown-event", "unknown"},
                                            {"invalid", "unknown"},
                                            {"login-required", "login"},
                                            {"too-many-requests", "busy"}};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (buy->code >= 400 && is_text(buy->status, states[i][0]))
            return states[i][1];
    }
    return "unavailable";
}

/* NULL: he belongs to the waiting page. */
static const char *state_of(const struct buy *buy, struct api_call *call)
{
    const struct event *event = catalog_event(call->api->catalog, call->param);
    const char *returned = returned_state(buy, call);
    const bool inside = buy->code == 200 && is_text(buy->status, "active");
    if (returned != NULL)
        return returned;
    if (inside && event != NULL && event->seats == 0)
        return "empty";
    if (inside)
        return "choose";
    if (buy->held != NULL)
        return "last";
    if (buy->bought != NULL)
        return "bought";
    return buy->code == 200 || is_text(buy->status, "event-closed") ? NULL : problem_state(buy);
}

/* ---- what is shown ---- */

static void set_money(struct page *page, const char *name, const struct json *of, const char *key)
{
    struct buf text;
    const char *currency = json_str(of, "currency");
    buf_init(&text, 64);
    money_write(&text, json_int(of, key, 0), currency != NULL ? currency : "");
    api_page_set_buf(page, name, &text);
}

static void add_seat(const struct page *page, const struct json *seat, struct buf *out)
{
    struct page row = *page;
    char number[24];
    (void)snprintf(number, sizeof(number), "%" PRId64, json_int(seat, "number", 0));
    api_page_set_message(&row, "seat", "seat_name",
                         (const struct message_value[]){{"section", json_str(seat, "section")},
                                                        {"row", json_str(seat, "row")},
                                                        {"number", number},
                                                        {NULL, NULL}});
    set_money(&row, "price", seat, "price");
    if (api_page_fill(&row, "buy_seat.html", out) != ST_OK)
        buf_reset(out);
}

static void set_seats(struct page *page, const struct json *reservation)
{
    struct buf rows;
    const struct json *seats = json_get(reservation, "seats");
    buf_init(&rows, LIST_MAX);
    for (size_t i = 0; i < json_array_len(seats); i++)
        add_seat(page, json_array_at(seats, i), &rows);
    api_page_set_buf(page, "seats", &rows);
}

/* The reservation that the state is about. */
static void set_reservation(struct page *page, const struct json *reservation)
{
    static const char *const fields[][2] = {
        {"reservation", "id"}, {"number", "reservationNumber"}, {"expires", "expiresAt"}};
    if (reservation == NULL)
        return;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        api_page_set(page, fields[i][0], json_str(reservation, fields[i][1]));
    const char *expires = json_str(reservation, "expiresAt");
    if (expires != NULL && strlen(expires) >= 19) {
        char until[16];
        const int len = snprintf(until, sizeof(until), "%.5s UTC", expires + 11);
        api_page_set(page, "until", http_req_strdup(page->call->req, until, (size_t)len));
    }
    set_money(page, "total", reservation, "totalAmount");
    set_seats(page, reservation);
    const struct message_value values[] = {{"amount", page->values[page->count - 2].value},
                                           {NULL, NULL}};
    api_page_set_message(page, "pay_text", "buy_pay", values);
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

/* What a form has to say; whatever has no words of its own has failed. NULL: nothing. */
static const char *notice_of(struct api_call *call)
{
    static const char *const notices[] = {"seat-taken",  "no-adjacent",  "no-seats",
                                          "limit",       "expired",      "not-payable",
                                          "unavailable", "already-paid", "cancelled"};
    const char *notice = http_req_query(call->req, "notice");
    if (is_text(http_req_query(call->req, "payment"), "cancelled"))
        notice = "cancelled";
    for (size_t i = 0; i < sizeof(notices) / sizeof(notices[0]); i++) {
        if (is_text(notice, notices[i]))
            return notices[i];
    }
    return notice != NULL ? "failed" : NULL;
}

/* buy_<state>_title and _lead, and the notice. */
static void set_words(struct page *page, struct api_call *call, const char *state)
{
    char key[64];
    const char *notice = notice_of(call);
    (void)snprintf(key, sizeof(key), "buy_%s_title", state);
    api_page_set(page, "heading", message(page->language, key));
    (void)snprintf(key, sizeof(key), "buy_%s_lead", state);
    api_page_set(page, "lead", message(page->language, key));
    if (notice == NULL)
        return;
    (void)snprintf(key, sizeof(key), "buy_notice_%s", notice);
    api_page_set(page, "notice", message(page->language, key));
}

/* The origin of the payment page: forms lead there. */
static void set_form_target(struct page *page)
{
    const char *url = page->call->api->config->payment_url;
    const char *host = url != NULL ? strstr(url, "://") : NULL;
    if (host == NULL)
        return;
    const size_t len = (size_t)(host - url) + 3 + strcspn(host + 3, "/?# ;,'\"");
    api_page_set(page, "form_to", http_req_strdup(page->call->req, url, len));
}

static void set_list(struct page *page, const struct json *list)
{
    struct buf text;
    buf_init(&text, LIST_MAX * 4);
    json_write(json_get(list, "reservations"), &text);
    api_page_set_buf(page, "reservations", &text);
}

static unsigned code_of(const char *state, unsigned code)
{
    const bool shows_failure = strcmp(state, "unavailable") == 0 || strcmp(state, "busy") == 0 ||
                               strcmp(state, "unknown") == 0 || strcmp(state, "login") == 0;
    return shows_failure && code >= 400 ? code : 200;
}

static void show(struct api_call *call, struct buy *buy, const char *state)
{
    struct page *page = &buy->page;
    const struct event *event = catalog_event(call->api->catalog, call->param);
    const bool sold = strcmp(state, "bought") == 0;
    api_page_begin(page, call);
    api_page_event(page, event);
    api_page_set(page, "state", state);
    api_page_set(page, "json", buy->code == 200 ? buy->queue : "{}");
    if (buy->list != NULL)
        set_list(page, buy->list);
    set_words(page, call, state);
    set_form_target(page);
    set_reservation(page, buy->returned != NULL && returned_state(buy, call) != NULL ? buy->returned
                          : sold                                                     ? buy->bought
                                                                                     : buy->held);
    if (strcmp(state, "choose") == 0)
        set_quantities(page, event != NULL ? event->max_seats : 4);
    if (strcmp(state, "confirming") == 0)
        api_page_set_number(page, "refresh", 3);
    if (strcmp(state, "unavailable") == 0 || strcmp(state, "busy") == 0)
        api_page_set_number(page, "refresh", 10);
    api_page_answer(page, code_of(state, buy->code), "buy.html");
}

/* ---- the way to a page ---- */

static void present(struct api_call *call, struct buy *buy)
{
    find_reservations(buy, call);
    const char *state = state_of(buy, call);
    if (state != NULL) {
        show(call, buy, state);
    } else {
        char location[EVENT_ID_MAX + 16];
        (void)snprintf(location, sizeof(location), "/wait/%s", call->param);
        api_page_redirect(call, location);
    }
    json_free(buy->list);
}

static void buy_listed(void *arg, enum status status, const char *outcome, const char *json,
                       size_t len)
{
    struct api_call *call = arg;
    struct buy *buy = call->state;
    (void)outcome;
    if (status == ST_OK)
        buy->list = json_parse(json, len, len, NULL);
    else if (buy->code < 400)
        buy->code = 503; /* nothing can be sold, or shown, without PostgreSQL */
    if (status != ST_OK)
        buy->status = NULL;
    present(call, buy);
}

static void show_visit(struct api_call *call, unsigned code, const char *json, size_t len)
{
    struct buy *buy = http_req_alloc(call->req, sizeof(*buy));
    struct json *answer = json_parse(json, len, len, NULL);
    const char *status = json_str(answer, code < 400 ? "status" : "code");
    buy->code = code;
    buy->queue = http_req_strdup(call->req, json, len);
    buy->status = status != NULL ? http_req_strdup(call->req, status, strlen(status)) : NULL;
    json_free(answer);
    call->state = buy;
    const bool asks = call->handled && strcmp(problem_state(buy), "unavailable") == 0;
    if (!asks)
        present(call, buy);
    else if (reservation_list(call->api->db, call->buyer, buy_listed, call) != ST_OK)
        buy_listed(call, ST_UNAVAILABLE, NULL, NULL, 0);
}

/* ---- forms ---- */

static void add_query(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s=", name);
    for (; value != NULL && *value != '\0'; value++) {
        const bool plain = strchr("-._~", *value) != NULL || (*value >= '0' && *value <= '9') ||
                           (*value >= 'A' && *value <= 'Z') || (*value >= 'a' && *value <= 'z');
        if (plain)
            buf_add_char(out, *value);
        else
            buf_printf(out, "%%%02X", (unsigned char)*value);
    }
    buf_add_char(out, '&');
}

/* The payment page with the order, and the way back: what order.js makes too. */
static void write_payment_address(struct api_call *call, const struct json *order, const char *url,
                                  struct buf *out)
{
    static const char *const texts[] = {"reference", "reservationId", "provider",
                                        "currency",  "expiresAt",     "signature"};
    char back[512], amount[24];
    const char *host = http_req_header(call->req, "Host");
    struct page page;
    api_page_begin(&page, call);
    buf_add_str(out, url);
    buf_add_char(out, strchr(url, '?') != NULL ? '&' : '?');
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        add_query(out, texts[i], json_str(order, texts[i]));
    (void)snprintf(amount, sizeof(amount), "%" PRId64, json_int(order, "amount", 0));
    add_query(out, "amount", amount);
    add_query(out, "lang", language_code(page.language));
    (void)snprintf(back, sizeof(back), "%s://%s/buy/%s?reservation=%s",
                   api_over_https(call) ? "https" : "http", host != NULL ? host : "", call->param,
                   json_str(order, "reservationId"));
    add_query(out, "return", back);
    buf_truncate(out, out->len - 1);
}

static void redirect_here(struct api_call *call, const char *notice)
{
    char location[EVENT_ID_MAX + 64];
    (void)snprintf(location, sizeof(location), "/buy/%s%s%.40s", call->param,
                   notice != NULL ? "?notice=" : "", notice != NULL ? notice : "");
    api_page_redirect(call, location);
}

/* A form was carried out, or not. */
static void show_form(struct api_call *call, unsigned code, const char *json, size_t len)
{
    struct json *answer = json_parse(json, len, len, NULL);
    const char *url = json_str(answer, "paymentUrl");
    const char *problem = code >= 400 ? json_str(answer, "code") : NULL;
    struct buf address;
    buf_init(&address, ADDRESS_MAX);
    if (code < 400 && url != NULL)
        write_payment_address(call, answer, url, &address);
    if (address.len > 0 && buf_status(&address) == ST_OK)
        api_page_redirect(call, buf_str(&address));
    else
        redirect_here(call, code >= 500                      ? "unavailable"
                            : code >= 400 && problem == NULL ? "failed"
                                                             : problem);
    buf_clear(&address);
    json_free(answer);
}

static void present_json(struct api_call *call, unsigned code, const char *json, size_t len)
{
    if (call->handled && strcmp(http_req_method(call->req), "POST") == 0)
        show_form(call, code, json, len);
    else
        show_visit(call, code, json, len);
}

/* A number as JSON would have it is one; any other text stays a text, which the API refuses. */
static void set_quantity(struct json *body, const char *text)
{
    if (*text != '0' && api_is_number(text))
        json_set_int(body, "quantity", strtoll(text, NULL, 10));
    else
        json_set_str(body, "quantity", text);
}

static enum status find_best(struct api_call *call)
{
    const char *quantity = http_req_form(call->req, "quantity");
    const char *section = http_req_form(call->req, "section");
    call->body = json_new_object(); /* freed with the call */
    json_set_str(call->body, "eventId", call->param);
    if (quantity != NULL)
        set_quantity(call->body, quantity);
    if (section != NULL && *section != '\0')
        json_set_str(call->body, "section", section);
    return api_hold(call);
}

static enum status form_start(struct api_call *call)
{
    const char *action = http_req_form(call->req, "action");
    const char *id = http_req_form(call->req, "reservation");
    if (is_text(action, "best"))
        return find_best(call);
    if (id != NULL && is_text(action, "pay"))
        return api_pay(call, id);
    if (id != NULL && is_text(action, "cancel"))
        return api_cancel(call, id);
    return ST_INVALID;
}

static enum status buy_start(struct api_call *call)
{
    return api_status(call);
}

const struct api_presenter api_buy_presenter = {.json = present_json};

const struct api_route api_buy_routes[] = {
    {"GET", "/buy/{eventId}", AUTH_BUYER, 0, buy_start, false},
    {"POST", "/buy/{eventId}", AUTH_BUYER, 0, form_start, false},
    {0},
};
