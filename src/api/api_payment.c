/* SPDX-License-Identifier: MIT */
/*
 * api_payment: paying for a reservation, the payment provider's webhook, refunds, the list of payments.
 *
 *   pay       reservation_pay -> signed order, which the buyer carries to the payment page
 *   webhook   signature -> reservation_report -> queue_leave(completed): the slot is free at once
 *   refund    the event's owner or an admin -> reservation_refund
 *
 * Why this way: we never call the provider; it calls us. Its calls may come late, twice or in the wrong order, so
 * PostgreSQL decides by the state of the reservation and the reference, not by the order of the calls
 * (sql/functions/payment.sql). A purchase ends the admission; if Redis cannot be reached, the processor frees the
 * slot later.
 * Called by: api's route table, api_buy. Owns the parsed answer of PostgreSQL until the request is answered. With
 * PostgreSQL gone: 503; the provider tries again.
 */
#include "api/api_internal.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/metrics.h"
#include "selling/money.h"
#include "selling/reservation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Signatures older or newer than this are refused, so that a recorded call cannot be replayed. */
#define WEBHOOK_SKEW_S 300
#define PAYMENTS_PAGE  100

struct payment_call {
    struct payment payment; /* what the webhook reports */
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
    return queue_leave(call->api->queue, &(struct queue_buyer){event, buyer, &proof},
                       QUEUE_COMPLETED, slot_freed, call);
}

/* Counts the outcome, publishes a change of seats, frees the slot of a purchase; then answers. */
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
    };
    const struct payment_call *payment = call->state;
    const char *event = json_str(payment->body, "eventId");
    enum status freeing = ST_NOT_FOUND;
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

/* Signs the order, because the buyer carries it to the payment page and could change it. */
static enum status sign_order(struct api_call *call, struct api_order *order)
{
    char text[512];
    const int len = snprintf(text, sizeof(text), "pay.%s.%s.%lld.%s.%s", order->reference,
                             order->reservation, (long long)order->amount, order->currency,
                             order->expires_at ? order->expires_at : "");
    return token_webhook_mac(call->api->keys, text, (size_t)len, order->signature);
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
        if (sign_order(call, order) != ST_OK)
            order->signature[0] = '\0';
    }
    finish_payment(call, outcome);
}

enum status api_pay(struct api_call *call, const char *id)
{
    const struct config *config = call->api->config;
    call->state = http_req_alloc(call->req, sizeof(struct payment_call));
    return reservation_pay(call->api->db, call->buyer, id,
                           config->payment_webhook_secret ? config->payment_provider : NULL,
                           pay_done, call);
}

static enum status pay_start(struct api_call *call)
{
    return api_body_is_empty(call) ? api_pay(call, call->param) : ST_OK;
}

/* ---- the provider's webhook ---- */

/* The header is `t=<seconds since 1970>,v1=<hex HMAC-SHA-256 of "<t>.<body>">`, which is common among providers. */
static enum status verify_webhook(struct api_call *call)
{
    const char *header = http_req_header(call->req, "X-Tiketi-Signature");
    size_t body_len;
    const char *body = http_req_body(call->req, &body_len);
    char expected[65];
    char *end;
    if (!header || strncmp(header, "t=", 2) != 0)
        return ST_UNAUTHORIZED;
    const long long at_s = strtoll(header + 2, &end, 10);
    const long long now_s = clock_wall_ms() / 1000;
    if (at_s <= 0 || strncmp(end, ",v1=", 4) != 0 || llabs(now_s - at_s) > WEBHOOK_SKEW_S)
        return ST_UNAUTHORIZED;
    struct buf signed_text;
    buf_init(&signed_text, HTTP_BODY_MAX + 32);
    buf_printf(&signed_text, "%lld.", at_s);
    buf_add(&signed_text, body, body_len);
    enum status st = buf_status(&signed_text);
    if (st == ST_OK)
        st = token_webhook_mac(call->api->keys, buf_str(&signed_text), signed_text.len, expected);
    buf_clear(&signed_text);
    if (st == ST_OK && !token_equal(end + 4, strlen(end + 4), expected, strlen(expected)))
        st = ST_UNAUTHORIZED;
    return st;
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
                                       "currency",      "status",   NULL};
    payment->amount = -1;
    if (!body)
        return json_refuse(error, "", "A JSON body is needed.");
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
            return json_refuse(error, required[i].name, "%s is needed.", required[i].name);
    }
    if (!payment->status || !is_payment_status(payment->status, false))
        return json_refuse(error, "status", "status must be paid, failed or refunded.");
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
    if (!call->api->config->payment_webhook_secret) {
        api_problem(call, 503, "payment-off",
                    "Payment is not set up: PAYMENT_WEBHOOK_SECRET is missing.", NULL);
        return ST_OK;
    }
    const enum status st = verify_webhook(call);
    if (st != ST_OK)
        return st;
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
    return reservation_refund(call->api->db, event->id, json_str(call->body, "reservationId"),
                              call->user.sub, webhook_done, call);
}

static enum status refund_start(struct api_call *call)
{
    static const char *const keys[] = {"reservationId", NULL};
    struct json_error error = {0};
    const char *id = NULL;
    call->state = http_req_alloc(call->req, sizeof(struct payment_call));
    enum status st = call->body ? json_known_keys(call->body, keys, &error)
                                : json_refuse(&error, "", "A JSON body is needed.");
    if (st == ST_OK)
        st = json_read_str(call->body, "reservationId", 64, &id, &error);
    if (st == ST_OK && !id)
        st = json_refuse(&error, "reservationId", "reservationId is needed.");
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, refund_fetched);
}

static enum status payments_fetched(struct api_call *call, const struct event *event)
{
    const int64_t *limit = call->state;
    const struct payment_page page = {.event = event->id,
                                      .status = http_req_query(call->req, "status"),
                                      .before = http_req_query(call->req, "before"),
                                      .limit = (int)*limit};
    return reservation_payments(call->api->db, &page, api_answer_stored, call);
}

static enum status payments_start(struct api_call *call)
{
    struct json_error error = {0};
    const char *status = http_req_query(call->req, "status");
    int64_t *limit = http_req_alloc(call->req, sizeof(*limit));
    call->state = limit;
    enum status st = api_read_page(call, PAYMENTS_PAGE, limit, &error) ? ST_OK : ST_INVALID;
    if (st == ST_OK && status && !is_payment_status(status, true))
        st = json_refuse(&error, "status",
                         "status must be pending, paid, failed, refund_due or refunded.");
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, payments_fetched);
}

const struct api_route api_payment_routes[] = {
    {"POST", "/api/reservations/{id}/pay", AUTH_BUYER, 0, pay_start, API_BODY_JSON},
    {"POST", "/api/payments/webhook", AUTH_NONE, 0, webhook_start, API_BODY_JSON},
    {"POST", "/api/admin/events/{eventId}/refund", AUTH_STAFF, API_OWNERS, refund_start,
     API_BODY_JSON},
    {"GET", "/api/admin/events/{eventId}/payments", AUTH_STAFF, API_OWNERS, payments_start,
     API_BODY_NONE},
    {0},
};
