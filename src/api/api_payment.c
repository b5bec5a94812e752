/* SPDX-License-Identifier: MIT */
/*
 * api_payment: money: the buyer's way to the payment page, the provider's word, refunds.
 *
 *   pay       POST /api/reservations/{id}/pay: reservation_pay -> signed order for the payment page
 *   webhook   POST /api/payments/webhook: signature -> reservation_paid -> queue_leave(completed)
 *   refund    POST /api/admin/events/{eventId}/refund: owner -> reservation_refund
 *
 * We never call the provider: a buyer carries the signed order there, the provider calls us. What it
 * says may come late, twice, or in the wrong order; PostgreSQL judges it by the reservation and the
 * reference alone (sql/functions/payment.sql). Whoever has bought is out at once; if Redis does not hear of
 * it now, the processor frees the slot later. Called by: api's route table.
 */
#include "api/api.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/metrics.h"
#include "selling/money.h"
#include "selling/reservation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A signature older or newer than this is refused: a recorded call cannot be played again. */
#define WEBHOOK_SKEW_S 300
#define PAYMENTS_PAGE  100

/* ---- sold: the slot is free at once ---- */

struct payment_call {
    struct payment payment;
    const char *answer; /* kept while the slot is freed */
    size_t answer_len;
};

static bool known_status(const char *word, bool stored)
{
    static const char *const words[] = {"paid", "failed", "refunded", "pending", "refund_due"};
    for (size_t i = 0; i < (stored ? 5 : 3); i++) {
        if (strcmp(words[i], word) == 0)
            return true;
    }
    return false;
}

static void slot_freed(void *arg, enum status status, const struct queue_place *place,
                       const struct queue_numbers *numbers)
{
    struct api_call *call = arg;
    const struct payment_call *payment = call->state;
    (void)place, (void)numbers;
    if (status != ST_OK) /* the processor frees it later */
        log_warn("a slot is not yet free", LOG_TEXT("requestId", api_request_id(call)),
                 LOG_TEXT("status", status_name(status)));
    api_answer(call, 200, payment->answer, payment->answer_len);
}

/* Ends the admission that the sale came from, and no later one of the same buyer. */
static enum status free_slot(struct api_call *call, const struct json *sale)
{
    const char *event = json_str(sale, "eventId"), *buyer = json_str(sale, "buyer");
    const char *place = json_str(sale, "place");
    if (event == NULL || buyer == NULL || place == NULL)
        return ST_INTERNAL;
    const struct queue_proof proof = {.ticket_place = strtoull(place, NULL, 10),
                                      .ticket_epoch = (uint64_t)json_int(sale, "epoch", 0)};
    return queue_leave(call->api->queue, event, buyer, &proof, QUEUE_COMPLETED, slot_freed, call);
}

/* Counts and tells what became of a payment; then answers with payment->answer. */
static void finish_payment(struct api_call *call, const char *outcome, const struct json *body)
{
    static const struct {
        const char *outcome;
        enum metric metric;
        bool seats, frees;
    } effects[] = {
        {"confirmed", METRIC_SALES, true, true},
        {"refund-due", METRIC_REFUNDS_DUE, false, false},
        {"refunded", METRIC_REFUNDS, true, false},
    };
    const struct payment_call *payment = call->state;
    const char *event = json_str(body, "eventId");
    enum status freeing = ST_NOT_FOUND;
    for (size_t i = 0; i < sizeof(effects) / sizeof(effects[0]); i++) {
        if (strcmp(effects[i].outcome, outcome) != 0)
            continue;
        metrics_add(effects[i].metric, 1);
        if (effects[i].seats && event != NULL)
            api_publish_seats_changed(call->api, event);
        if (effects[i].frees)
            freeing = free_slot(call, body);
    }
    if (freeing != ST_OK)
        api_answer(call, 200, payment->answer, payment->answer_len);
}

/* ---- pay ---- */

/* What the buyer carries to the payment page cannot be altered on the way. */
static enum status sign_order(struct api_call *call, struct json *order)
{
    char mac[65], text[512];
    const char *expires = json_str(order, "expiresAt");
    const int len =
        snprintf(text, sizeof(text), "pay.%s.%s.%lld.%s.%s", json_str(order, "reference"),
                 json_str(order, "reservationId"), (long long)json_int(order, "amount", 0),
                 json_str(order, "currency"), expires != NULL ? expires : "");
    const enum status st = token_webhook_mac(call->api->keys, text, (size_t)len, mac);
    if (st == ST_OK)
        json_set_str(order, "signature", mac);
    return st;
}

/* What PostgreSQL said, less what is only ours, signed: into payment->answer. */
static void write_order(struct api_call *call, struct json *order, bool pending)
{
    static const char *const ours[] = {"eventId", "buyer", "place", "epoch"};
    struct payment_call *payment = call->state;
    struct buf *text = &call->api->text;
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        json_remove(order, ours[i]);
    json_set_str(order, "paymentUrl", pending ? call->api->config->payment_url : NULL);
    if (!pending || sign_order(call, order) != ST_OK)
        json_set_null(order, "signature");
    buf_reset(text);
    json_write(order, text);
    payment->answer = http_req_strdup(call->req, buf_str(text), text->len);
    payment->answer_len = text->len;
}

static void pay_done(void *arg, enum status status, const char *outcome, const char *json,
                     size_t len)
{
    struct api_call *call = arg;
    if (status != ST_OK) {
        api_answer_outcome(call, status, 200, outcome, json, len);
        return;
    }
    crash_point("payment-begun");
    struct json_error error;
    struct json *body = json_parse(json, len, HTTPD_BODY_MAX, &error);
    struct json *order = json_parse(json, len, HTTPD_BODY_MAX, &error);
    write_order(call, order, strcmp(outcome, "pending") == 0);
    json_free(order);
    finish_payment(call, outcome, body);
    json_free(body);
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
    return api_takes_nothing(call) ? api_pay(call, call->param) : ST_OK;
}

/* ---- the provider's webhook ---- */

/* `t=<seconds>,v1=<hex>`: HMAC-SHA-256 of "<t>.<body>", the form payment providers use. */
static enum status verify_webhook(struct api_call *call)
{
    const char *header = http_req_header(call->req, "X-Tiketi-Signature");
    size_t body_len;
    const char *body = http_req_body(call->req, &body_len);
    char expected[65];
    char *end;
    if (header == NULL || strncmp(header, "t=", 2) != 0)
        return ST_UNAUTHORIZED;
    const long long at_s = strtoll(header + 2, &end, 10);
    const long long now_s = clock_wall_ms() / 1000;
    if (at_s <= 0 || strncmp(end, ",v1=", 4) != 0 || llabs(now_s - at_s) > WEBHOOK_SKEW_S)
        return ST_UNAUTHORIZED;
    struct buf signed_text;
    buf_init(&signed_text, HTTPD_BODY_MAX + 32);
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

static enum status read_payment(struct api_call *call, struct payment *payment,
                                struct json_error *error)
{
    static const char *const keys[] = {"reservationId", "provider", "reference", "amount",
                                       "currency",      "status",   NULL};
    payment->amount = -1;
    if (call->body == NULL)
        return json_refuse(error, "", "A JSON body is needed.");
    enum status st = json_known_keys(call->body, keys, error);
    if (st == ST_OK)
        st = json_read_str(call->body, "reservationId", 64, &payment->reservation, error);
    if (st == ST_OK)
        st = json_read_str(call->body, "provider", 64, &payment->provider, error);
    if (st == ST_OK)
        st = json_read_str(call->body, "reference", 128, &payment->reference, error);
    if (st == ST_OK)
        st = json_read_str(call->body, "currency", 3, &payment->currency, error);
    if (st == ST_OK)
        st = json_read_str(call->body, "status", 16, &payment->status, error);
    if (st == ST_OK)
        st = json_read_int(call->body, "amount", 0, MONEY_AMOUNT_MAX, &payment->amount, error);
    if (st != ST_OK)
        return st;
    const struct {
        const char *name;
        bool there;
    } needed[] = {
        {"reservationId", payment->reservation != NULL},
        {"provider", payment->provider != NULL},
        {"reference", payment->reference != NULL && payment->reference[0] != '\0'},
        {"currency", payment->currency != NULL},
        {"amount", payment->amount >= 0},
    };
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (!needed[i].there)
            return json_refuse(error, needed[i].name, "%s is needed.", needed[i].name);
    }
    if (payment->status == NULL || !known_status(payment->status, false))
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
    struct json_error error;
    struct json *body = json_parse(json, len, HTTPD_BODY_MAX, &error);
    crash_point("payment-committed");
    payment->answer = http_req_strdup(call->req, json, len);
    payment->answer_len = len;
    finish_payment(call, outcome, body);
    json_free(body);
}

static enum status webhook_start(struct api_call *call)
{
    struct json_error error = {0};
    struct payment_call *payment = http_req_alloc(call->req, sizeof(*payment));
    call->state = payment;
    if (call->api->config->payment_webhook_secret == NULL) {
        api_problem(call, 503, "payment-off", "Payment is not set up.", NULL);
        return ST_OK;
    }
    const enum status st = verify_webhook(call);
    if (st != ST_OK)
        return st;
    if (read_payment(call, &payment->payment, &error) != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    crash_point("payment-received");
    return reservation_paid(call->api->db, &payment->payment, webhook_done, call);
}

/* ---- the organizer ---- */

static void refund_fetched(void *arg, enum status status, const struct event *event)
{
    struct api_call *call = arg;
    if (status == ST_OK && !api_staff_may(call, event))
        return;
    if (status == ST_OK)
        status = reservation_refund(call->api->db, event->id, json_str(call->body, "reservationId"),
                                    call->user.sub, webhook_done, call);
    if (status != ST_OK)
        api_fail(call, status);
}

static enum status refund_start(struct api_call *call)
{
    static const char *const keys[] = {"reservationId", NULL};
    struct json_error error = {0};
    const char *id = NULL;
    call->state = http_req_alloc(call->req, sizeof(struct payment_call));
    enum status st = call->body == NULL ? json_refuse(&error, "", "A JSON body is needed.")
                                        : json_known_keys(call->body, keys, &error);
    if (st == ST_OK)
        st = json_read_str(call->body, "reservationId", 64, &id, &error);
    if (st == ST_OK && id == NULL)
        st = json_refuse(&error, "reservationId", "reservationId is needed.");
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return catalog_fetch(call->api->db, call->param, refund_fetched, call);
}

static void payments_done(void *arg, enum status status, const char *outcome, const char *json,
                          size_t len)
{
    api_answer_outcome(arg, status, 200, outcome, json, len);
}

static void payments_fetched(void *arg, enum status status, const struct event *event)
{
    struct api_call *call = arg;
    if (status == ST_OK && !api_staff_may(call, event))
        return;
    if (status == ST_OK) {
        const struct payment_page page = {.event = event->id,
                                          .status = http_req_query(call->req, "status"),
                                          .before = http_req_query(call->req, "before"),
                                          .limit = (int)*(const int64_t *)call->state};
        status = reservation_payments(call->api->db, &page, payments_done, call);
    }
    if (status != ST_OK)
        api_fail(call, status);
}

static enum status payments_start(struct api_call *call)
{
    struct json_error error = {0};
    const char *word = http_req_query(call->req, "status");
    int64_t *limit = http_req_alloc(call->req, sizeof(*limit));
    call->state = limit;
    enum status st = api_read_page(call, PAYMENTS_PAGE, limit, &error) ? ST_OK : ST_INVALID;
    if (st == ST_OK && word != NULL && !known_status(word, true))
        st = json_refuse(&error, "status", "No payment has this status.");
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return catalog_fetch(call->api->db, call->param, payments_fetched, call);
}

const struct api_route api_payment_routes[] = {
    {"POST", "/api/reservations/{id}/pay", AUTH_BUYER, 0, pay_start, true},
    {"POST", "/api/payments/webhook", AUTH_NONE, 0, webhook_start, true},
    {"POST", "/api/admin/events/{eventId}/refund", AUTH_STAFF, API_STAFF, refund_start, true},
    {"GET", "/api/admin/events/{eventId}/payments", AUTH_STAFF, API_STAFF, payments_start, false},
    {0},
};
