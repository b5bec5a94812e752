/* SPDX-License-Identifier: MIT */
/*
 * api_payment: paying for a reservation, the payment provider's webhook, refunds, lists of payments and
 * reservations for staff.
 *
 *   pay       reservation_pay -> queue_pay: its deadline -> signed order, which the buyer carries to the payment page
 *   webhook   signature -> reservation_report -> queue_leave(completed): the slot is free at once
 *   refund    the event's owner or an admin -> reservation_refund
 *
 * Why this way: we never call the provider; it calls us. Its calls may come late, twice or in the wrong order, so
 * PostgreSQL decides by the state of the reservation and the reference, not by the order of the calls
 * (sql/functions/payment.sql). A purchase ends the admission; if Redis cannot be reached, the processor frees the
 * slot later. While a payment is pending no heartbeat comes from the payment page, so Redis is told its deadline before
 * the order is handed out; without Redis the order is handed out all the same, since the seats are held in PostgreSQL.
 * Called by: api's route table, api_buy. Owns the parsed answer of PostgreSQL until the request is answered. With
 * PostgreSQL gone: 503; the provider tries again.
 */
#include "api/api_internal.h"

#include "auth/webhook.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/email.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/shared_clock.h"
#include "queue/reference.h"
#include "selling/reservation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Signatures older or newer than this are refused, so that a recorded call cannot be replayed. */
#define PAYMENTS_PAGE    100
#define REFUND_SEATS_MAX 100
/* How long after the hold a browser may come back without a cookie and be shown the purchase. */
#define RETURN_MS INT64_C(7200000)

struct payment_call {
    struct payment payment; /* what the webhook reports */
    struct refund refund;   /* what staff refund */
    struct json *body;      /* PostgreSQL's answer; freed when the request is answered */
    const char *answer;     /* PostgreSQL's answer as text, to be sent; NULL: `order` is sent */
    size_t answer_len;
    struct api_order order; /* borrows from body */
};

/* ---- the outcome of a payment ---- */

static void answer_payment(struct api_call *call)
{
    const struct payment_call *payment = call->state;
    struct json *body = payment->body; /* the request may be gone after the answer */
    if (payment->answer)
        api_answer(call, 200, payment->answer, payment->answer_len);
    else
        api_answer_order(call, &payment->order);
    json_free(body);
}

static void slot_freed(void *arg, enum status status, const struct queue_place *place,
                       const struct queue_numbers *numbers)
{
    struct api_call *call = arg;
    (void)place, (void)numbers;
    if (status != ST_OK)
        log_warn("slot not freed yet, the processor will free it",
                 LOG_TEXT("requestId", api_request_id(call)),
                 LOG_TEXT("status", status_name(status)));
    answer_payment(call);
}

/* Ends the admission in which the purchase was made, but not a later one of the same buyer. */
static enum status free_slot(struct api_call *call, const struct json *purchase)
{
    const char *event = json_str(purchase, "eventId"), *buyer = json_str(purchase, "buyer");
    const char *place = json_str(purchase, "place");
    if (!event || !buyer || !place)
        return ST_INTERNAL;
    const struct queue_proof proof = {.ticket_place = strtoull(place, NULL, 10),
                                      .ticket_epoch = (uint64_t)json_int(purchase, "epoch", 0)};
    return queue_leave(call->api->queue, &(struct queue_buyer){event, buyer, &proof, NULL},
                       QUEUE_COMPLETED, slot_freed, call);
}

/* The turns of a closed event are over: the buyer gets no order, and the seats are free when the hold ends. False: this is the
 * provider's report, whose answer does not depend on it. */
static bool refuse_closed(struct api_call *call)
{
    const struct payment_call *payment = call->state;
    struct json *body = payment->body;
    if (payment->answer)
        return false;
    api_problem(call, 410, "event-closed", "The event is closed.", NULL);
    json_free(body);
    return true;
}

static void deadline_noted(void *arg, enum status status, const struct queue_place *place,
                           const struct queue_numbers *numbers)
{
    struct api_call *call = arg;
    (void)numbers;
    if (status == ST_OK && place->state == QUEUE_CLOSED && refuse_closed(call))
        return;
    if (status != ST_OK && status != ST_NOT_FOUND)
        log_warn("payment deadline not noted in redis, the idle limit applies",
                 LOG_TEXT("requestId", api_request_id(call)),
                 LOG_TEXT("status", status_name(status)));
    answer_payment(call);
}

/* Tells Redis that a payment of this reservation is pending, or is so no longer. */
static enum status note_deadline(struct api_call *call, const struct json *reservation,
                                 bool pending)
{
    const char *event = json_str(reservation, "eventId"), *buyer = json_str(reservation, "buyer");
    const char *expires = json_str(reservation, "expiresAt");
    struct queue_payment payment = {.claims = pending};
    if (!event || !buyer ||
        (pending && (!expires || clock_parse_rfc3339(expires, &payment.deadline_ms) != ST_OK)))
        return ST_INTERNAL;
    return queue_pay(call->api->queue, event, buyer, &payment, deadline_noted, call);
}

/* Counts the outcome, publishes a change of seats, frees the slot of a purchase, notes in Redis whether a payment is
 * pending; then answers. */
static void finish_payment(struct api_call *call, const char *outcome)
{
    static const struct {
        const char *outcome;
        enum metric metric;
        bool changes_seats, frees_slot;
    } effects[] = {
        {"confirmed", METRIC_PURCHASES, true, true},
        {"refund-due", METRIC_REFUNDS_DUE, false, false},
        {"refunded", METRIC_REFUNDS, true, false},
        {"seats-refunded", METRIC_REFUNDS, true, false},
    };
    const struct payment_call *payment = call->state;
    const char *event = json_str(payment->body, "eventId");
    const bool pending = strcmp(outcome, "pending") == 0;
    enum status freeing = ST_NOT_FOUND;
    if (pending || (strcmp(outcome, "failed") == 0 && json_str(payment->body, "expiresAt")))
        freeing = note_deadline(call, payment->body, pending);
    for (size_t i = 0; i < sizeof(effects) / sizeof(effects[0]); i++) {
        if (strcmp(effects[i].outcome, outcome) != 0)
            continue;
        metrics_add(effects[i].metric, 1);
        if (effects[i].changes_seats && event)
            api_publish_seats_changed(call->api, event);
        if (effects[i].frees_slot)
            freeing = free_slot(call, payment->body);
    }
    if (freeing != ST_OK)
        answer_payment(call);
}

/* ---- pay ---- */

enum status api_sign_order(struct api_call *call, struct api_order *order)
{
    char text[512];
    const int len = snprintf(text, sizeof(text), "pay.%s.%s.%lld.%s.%s", order->reference,
                             order->reservation, (long long)order->amount, order->currency,
                             order->expires_at ? order->expires_at : "");
    return webhook_sign(token_webhook_keys(call->api->keys), text, (size_t)len, order->signature);
}

static void add_query(struct buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    buf_add_char(out, '&');
    buf_add_str(out, name);
    buf_add_char(out, '=');
    buf_add_query(out, value);
}

void api_order_url(const struct api_order *order, const char *language, const char *zone,
                   struct buf *out)
{
    buf_add_str(out, order->payment_url);
    buf_printf(out, "%camount=%lld", strchr(order->payment_url, '?') ? '&' : '?',
               (long long)order->amount);
    add_query(out, "reference", order->reference);
    add_query(out, "reservationId", order->reservation);
    add_query(out, "provider", order->provider);
    add_query(out, "currency", order->currency);
    add_query(out, "expiresAt", order->expires_at);
    add_query(out, "signature", order->signature);
    add_query(out, "lang", language);
    add_query(out, "zone", zone);
    add_query(out, "return", order->return_url);
}

/* Appends `before`, then the text as a JSON string, or null. */
static void add_text(struct buf *out, const char *before, const char *text)
{
    buf_add_str(out, before);
    if (text)
        buf_add_json_str(out, text, strlen(text));
    else
        buf_add_str(out, "null");
}

static void write_order(const struct api_order *order, struct buf *out)
{
    add_text(out, "{\"reservationId\":", order->reservation);
    add_text(out, ",\"reservationNumber\":", order->number);
    add_text(out, ",\"status\":", order->status);
    add_text(out, ",\"provider\":", order->provider);
    add_text(out, ",\"reference\":", order->reference);
    buf_add_str(out, ",\"amount\":");
    buf_add_int(out, order->amount);
    add_text(out, ",\"currency\":", order->currency);
    add_text(out, ",\"expiresAt\":", order->expires_at);
    add_text(out, ",\"paymentUrl\":", order->payment_url);
    add_text(out, ",\"returnUrl\":", order->return_url);
    add_text(out, ",\"signature\":", order->signature[0] != '\0' ? order->signature : NULL);
    buf_add_char(out, '}');
}

void api_answer_order(struct api_call *call, const struct api_order *order)
{
    const struct api_presenter *present = call->present;
    struct buf *out = &call->api->text;
    if (present && present->order) {
        call->present = NULL;
        present->order(call, order);
        return;
    }
    buf_reset(out);
    write_order(order, out);
    api_answer(call, 200, buf_str(out), out->len);
}

/* The address to which the payment page leads the buyer back, in whatever browser; NULL: our own URL is not known. The
 * same at each call for one hold. */
static const char *return_url(struct api_call *call, const struct api_order *order,
                              const char *event)
{
    const char *own_url = api_own_url(call);
    char proof[RETURN_PROOF_SIZE];
    int64_t expires_ms;
    struct buf url;
    if (!own_url || !event || !order->expires_at ||
        clock_parse_rfc3339(order->expires_at, &expires_ms) != ST_OK ||
        token_write_return(call->api->keys, order->reservation, expires_ms + RETURN_MS, proof) !=
            ST_OK)
        return NULL;
    buf_init(&url, 2048);
    buf_printf(&url, "%s/tickets/%s?reservation=%s&proof=%s", own_url, event, order->reservation,
               proof);
    const char *copy = http_req_strdup(call->req, buf_str(&url), url.len);
    buf_clear(&url);
    return copy;
}

static void pay_done(void *arg, enum status status, const char *outcome, const char *json,
                     size_t len)
{
    struct api_call *call = arg;
    struct payment_call *payment = call->state;
    struct api_order *order = &payment->order;
    if (status != ST_OK) {
        api_answer_outcome(call, status, 200, outcome, json, len);
        return;
    }
    crash_point("payment-begun");
    const struct json *body = payment->body = json_parse(json, len, HTTP_BODY_MAX, NULL);
    *order = (struct api_order){.reservation = json_str(body, "reservationId"),
                                .number = json_str(body, "reservationNumber"),
                                .status = json_str(body, "status"),
                                .provider = json_str(body, "provider"),
                                .reference = json_str(body, "reference"),
                                .amount = json_int(body, "amount", 0),
                                .currency = json_str(body, "currency"),
                                .expires_at = json_str(body, "expiresAt")};
    if (strcmp(outcome, "pending") == 0) {
        order->payment_url = call->api->config->payment_url;
        order->return_url = return_url(call, order, json_str(body, "eventId"));
        if (api_sign_order(call, order) != ST_OK)
            order->signature[0] = '\0';
    }
    finish_payment(call, outcome);
}

enum status api_pay(struct api_call *call, const char *id, const char *email,
                    enum language language)
{
    const struct config *config = call->api->config;
    char address[EMAIL_SIZE] = "";
    if (email && email_read(email, address) != ST_OK) {
        api_problem(call, 400, "invalid",
                    "email must be one e-mail address such as name@example.com.", "email");
        return ST_OK;
    }
    const struct pay_request request = {
        .buyer = call->buyer,
        .id = id,
        .provider =
            webhook_is_set(token_webhook_keys(call->api->keys)) ? config->payment_provider : NULL,
        .email = address[0] != '\0' ? address : NULL,
        .language = language_code(language)};
    call->state = http_req_alloc(call->req, sizeof(struct payment_call));
    return reservation_pay(call->api->db, &request, pay_done, call);
}

static enum status pay_start(struct api_call *call)
{
    static const char *const keys[] = {"email", "language", NULL};
    struct json_error error = {0};
    const char *email = NULL, *tag = NULL;
    enum language language = language_accept(http_req_header(call->req, "Accept-Language"));
    enum status st = call->body ? json_known_keys(call->body, keys, &error) : ST_OK;
    if (st == ST_OK)
        st = json_read_str(call->body, "email", 2 * EMAIL_SIZE, &email, &error);
    if (st == ST_OK)
        st = json_read_str(call->body, "language", 35, &tag, &error);
    if (st == ST_OK && tag && !language_parse(tag, strlen(tag), &language))
        st = json_refuse(&error, "language", "not-one-of", "language must be en, ko or ja.");
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_pay(call, call->param, email, language);
}

/* ---- the provider's webhook ---- */

static enum status verify_webhook(struct api_call *call)
{
    const char *header = http_req_header(call->req, "X-Tiketi-Signature");
    size_t len;
    const char *body = http_req_body(call->req, &len);
    return header ? webhook_read_header(token_webhook_keys(call->api->keys), header,
                                        shared_clock_ms() / 1000, body, len)
                  : ST_UNAUTHORIZED;
}

/* Is it a status that a provider may report or, with `stored`, one that a stored payment may have? */
static bool is_payment_status(const char *word, bool stored)
{
    static const char *const words[] = {"paid", "failed", "refunded", "pending", "refund_due"};
    for (size_t i = 0; i < (stored ? 5 : 3); i++) {
        if (strcmp(words[i], word) == 0)
            return true;
    }
    return false;
}

static enum status read_payment(const struct json *body, struct payment *payment,
                                struct json_error *error)
{
    static const char *const keys[] = {"reservationId", "provider", "reference", "amount",
                                       "currency",      "status",   "refundId",  NULL};
    payment->amount = -1;
    if (!body)
        return json_refuse(error, "", "body-needed", "A JSON body is needed.");
    enum status st = json_known_keys(body, keys, error);
    if (st == ST_OK)
        st = json_read_str(body, "reservationId", 64, &payment->reservation, error);
    if (st == ST_OK)
        st = json_read_str(body, "provider", 64, &payment->provider, error);
    if (st == ST_OK)
        st = json_read_str(body, "reference", 128, &payment->reference, error);
    if (st == ST_OK)
        st = json_read_str(body, "currency", 3, &payment->currency, error);
    if (st == ST_OK)
        st = json_read_str(body, "status", 16, &payment->status, error);
    if (st == ST_OK)
        st = json_read_str(body, "refundId", 128, &payment->refund, error);
    if (st == ST_OK)
        st = json_read_int(body, "amount", 0, MONEY_AMOUNT_MAX, &payment->amount, error);
    if (st != ST_OK)
        return st;
    const struct {
        const char *name;
        bool given;
    } required[] = {
        {"reservationId", payment->reservation},
        {"provider", payment->provider},
        {"reference", payment->reference && payment->reference[0] != '\0'},
        {"currency", payment->currency},
        {"amount", payment->amount >= 0},
    };
    for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
        if (!required[i].given)
            return json_refuse(error, required[i].name, "needed", "%s is needed.",
                               required[i].name);
    }
    if (!payment->status || !is_payment_status(payment->status, false))
        return json_refuse(error, "status", "not-one-of",
                           "status must be paid, failed or refunded.");
    if (payment->refund && (payment->refund[0] == '\0' || strcmp(payment->status, "refunded") != 0))
        return json_refuse(error, "refundId", "refund-id",
                           "refundId is the id of a refund, and goes with the status refunded.");
    return ST_OK;
}

static void webhook_done(void *arg, enum status status, const char *outcome, const char *json,
                         size_t len)
{
    struct api_call *call = arg;
    struct payment_call *payment = call->state;
    if (status != ST_OK) {
        api_answer_outcome(call, status, 200, outcome, json, len);
        return;
    }
    crash_point("payment-committed");
    payment->body = json_parse(json, len, HTTP_BODY_MAX, NULL);
    payment->answer = http_req_strdup(call->req, json, len);
    payment->answer_len = len;
    finish_payment(call, outcome);
}

static enum status webhook_start(struct api_call *call)
{
    struct json_error error = {0};
    struct payment_call *payment = http_req_alloc(call->req, sizeof(*payment));
    call->state = payment;
    if (!webhook_is_set(token_webhook_keys(call->api->keys))) {
        api_problem(call, 503, "payment-off",
                    "Payment is not set up: PAYMENT_WEBHOOK_SECRETS is missing.", NULL);
        return ST_OK;
    }
    const enum status st = verify_webhook(call);
    if (st != ST_OK)
        return st;
    if (!api_parse_body(call)) /* only now: nothing that is not signed reaches the parser */
        return ST_OK;
    if (read_payment(call->body, &payment->payment, &error) != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    crash_point("payment-received");
    return reservation_report(call->api->db, &payment->payment, webhook_done, call);
}

/* ---- staff ---- */

static enum status refund_fetched(struct api_call *call, const struct event *event)
{
    struct payment_call *payment = call->state;
    payment->refund.event = event->id;
    payment->refund.actor = api_actor(call);
    return reservation_refund(call->api->db, &payment->refund, webhook_done, call);
}

static enum status read_refund(struct api_call *call, struct refund *refund,
                               struct json_error *error)
{
    static const char *const keys[] = {"reservationId", "reservationNumber", "seatIds", "resell",
                                       NULL};
    const struct json *body = call->body, *list = json_get(body, "seatIds");
    const char *id = NULL, *number = NULL;
    bool resell = true;
    enum status st = body ? json_known_keys(body, keys, error)
                          : json_refuse(error, "", "body-needed", "A JSON body is needed.");
    if (st == ST_OK)
        st = json_read_str(body, "reservationId", 64, &id, error);
    if (st == ST_OK)
        st = json_read_str(body, "reservationNumber", 64, &number, error);
    if (st == ST_OK)
        st = json_read_bool(body, "resell", &resell, error);
    if (st == ST_OK && !id == !number)
        st = json_refuse(error, "reservationId", "one-of-two",
                         "Either reservationId or reservationNumber is needed, and not both.");
    const size_t count = json_array_len(list);
    if (st == ST_OK && list && (!json_is_array(list) || count == 0 || count > REFUND_SEATS_MAX))
        st = json_refuse(error, "seatIds", "not-a-list",
                         "seatIds must be an array of 1 to 100 seat ids.");
    const char **ids = list ? http_req_alloc(call->req, (count + 1) * sizeof(*ids)) : NULL;
    for (size_t i = 0; ids && st == ST_OK && i < count; i++) {
        ids[i] = api_read_seat_id(call, json_array_at(list, i));
        if (!ids[i])
            st = json_refuse(error, "seatIds", "not-an-id",
                             "A seat id must be a string of 1 to 18 digits.");
    }
    *refund = (struct refund){.reservation = id ? id : number,
                              .seat_ids = ids,
                              .seat_count = count,
                              .keeps_seats = !resell};
    return st;
}

static enum status refund_start(struct api_call *call)
{
    struct json_error error = {0};
    struct payment_call *payment = http_req_alloc(call->req, sizeof(*payment));
    call->state = payment;
    if (read_refund(call, &payment->refund, &error) != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, refund_fetched);
}

struct list_call {
    int64_t limit;
    bool due; /* of payments: only those of which money is due */
};

static enum status payments_fetched(struct api_call *call, const struct event *event)
{
    const struct list_call *list = call->state;
    const struct payment_page page = {.event = event->id,
                                      .status = http_req_query(call->req, "status"),
                                      .due = list->due,
                                      .before = http_req_query(call->req, "before"),
                                      .limit = (int)list->limit};
    return reservation_payments(call->api->db, &page, api_answer_stored, call);
}

static enum status payments_start(struct api_call *call)
{
    struct json_error error = {0};
    const char *status = http_req_query(call->req, "status");
    struct list_call *list = http_req_alloc(call->req, sizeof(*list));
    call->state = list;
    enum status st = api_read_page(call, api_is_number, PAYMENTS_PAGE, &list->limit, &error) &&
                             api_read_flag(call, "due", &list->due, &error)
                         ? ST_OK
                         : ST_INVALID;
    if (st == ST_OK && status && !is_payment_status(status, true))
        st = json_refuse(&error, "status", "not-one-of",
                         "status must be pending, paid, failed, refund_due or refunded.");
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, payments_fetched);
}

static enum status found_fetched(struct api_call *call, const struct event *event)
{
    const struct list_call *list = call->state;
    struct reservation_search search = {.event = event->id,
                                        .text = http_req_query(call->req, "find"),
                                        .before = http_req_query(call->req, "before"),
                                        .limit = (int)list->limit};
    if (!search.text || reference_read(search.text, &search.place) != ST_OK)
        search.place = 0;
    return reservation_find(call->api->db, &search, api_answer_stored, call);
}

static enum status reservations_start(struct api_call *call)
{
    struct json_error error = {0};
    const char *find = http_req_query(call->req, "find");
    struct list_call *list = http_req_alloc(call->req, sizeof(*list));
    call->state = list;
    enum status st = api_read_page(call, api_is_cursor, PAYMENTS_PAGE, &list->limit, &error)
                         ? ST_OK
                         : ST_INVALID;
    if (st == ST_OK && find && (find[0] == '\0' || strlen(find) > BUYER_ID_MAX))
        st =
            json_refuse(&error, "find", "unknown-name",
                        "find must be a reservation's number or id, a buyer's id, or the reference "
                        "that the waiting page shows.");
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, found_fetched);
}

const struct api_route api_payment_routes[] = {
    {"POST", "/api/reservations/{id}/pay", AUTH_BUYER, 0, pay_start, API_BODY_JSON},
    {"POST", "/api/payments/webhook", AUTH_NONE, 0, webhook_start, API_BODY_NONE},
    {"POST", "/api/admin/events/{eventId}/refund", AUTH_STAFF, API_OWNERS | API_OF_OWNER,
     refund_start, API_BODY_JSON},
    {"GET", "/api/admin/events/{eventId}/payments", AUTH_STAFF, API_OWNERS, payments_start,
     API_BODY_NONE},
    {"GET", "/api/admin/events/{eventId}/reservations", AUTH_STAFF, API_OWNERS, reservations_start,
     API_BODY_NONE},
    {0},
};
