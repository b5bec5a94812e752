/* SPDX-License-Identifier: MIT */
/*
 * api_reservation: seats and reservations over HTTP.
 *
 *   hold     POST /api/reservations: queue_check (inside now?) -> reservation_hold
 *   webhook  POST /api/payments/webhook: signature -> reservation_confirm -> queue_leave(completed)
 *
 * The queue cannot be walked around: a hold needs a live admission, asked of Redis in the same
 * request. PostgreSQL alone decides about seats; its JSON is passed on. With PostgreSQL gone: 503,
 * and nothing changed. Called by: api's route table.
 */
#include "api.h"

#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "reservation.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEATS_PER_ORDER_MAX 100
#define SEAT_ID_MAX         20
#define IDEMPOTENCY_KEY_MAX 128
/* A signature older or newer than this is refused: a recorded call cannot be played again. */
#define WEBHOOK_SKEW_S 300

struct order_call {
    struct reservation_order order;
    char event[EVENT_ID_MAX + 1];
    bool reloaded;
};

/* ---- answers that PostgreSQL wrote ---- */

/* A refusal: the body's own detail and seats in a problem document. */
static void answer_refusal(struct api_call *call, enum status status, const char *outcome,
                           const char *json, size_t len)
{
    static const unsigned code_of[] = {
        [ST_INVALID] = 400,  [ST_DENIED] = 403, [ST_NOT_FOUND] = 404,
        [ST_CONFLICT] = 409, [ST_STALE] = 412,  [ST_GONE] = 410,
    };
    struct json_error error;
    struct json *body = json_parse(json, len, HTTPD_BODY_MAX, &error);
    const unsigned code = status < sizeof(code_of) / sizeof(code_of[0]) ? code_of[status] : 0;
    if (body == NULL || code == 0) {
        json_free(body);
        api_fail(call, status);
        return;
    }
    char type[96];
    (void)snprintf(type, sizeof(type), "urn:tiketi:problem:%s", outcome);
    json_set_str(body, "type", type);
    json_set_str(body, "title", api_title(code));
    json_set_str(body, "code", outcome);
    json_set_int(body, "status", code);
    json_set_str(body, "requestId", api_request_id(call));
    api_answer_json(call, code, body);
    json_free(body);
}

static void answer_outcome(struct api_call *call, enum status status, unsigned ok_code,
                           const char *outcome, const char *json, size_t len)
{
    if (status == ST_OK)
        api_answer(call, ok_code, json, len);
    else if (json != NULL && outcome != NULL)
        answer_refusal(call, status, outcome, json, len);
    else
        api_fail(call, status);
}

static void publish_seats_changed(struct api *api, const char *event)
{
    char message[EVENT_ID_MAX + 64];
    const int len =
        snprintf(message, sizeof(message),
                 "{\"event\":\"seats-changed\",\"payload\":{\"eventId\":\"%s\"}}", event);
    /* A hint: a lost one is made good by the next read of the map. */
    if (queue_publish(api->queue, message, (size_t)len) != ST_OK)
        log_debug("seats-changed was not published", LOG_TEXT("event", event));
}

/* ---- hold ---- */

static void hold_checked(void *arg, enum status status, const struct queue_place *place,
                         const struct queue_numbers *numbers);

static void hold_done(void *arg, enum status status, const char *outcome, const char *json,
                      size_t len)
{
    struct api_call *call = arg;
    const struct order_call *order = call->state;
    const bool repeated = outcome != NULL && strcmp(outcome, "repeated") == 0;
    if (status == ST_OK && !repeated) {
        metrics_add(METRIC_HOLDS, 1);
        publish_seats_changed(call->api, order->event);
    }
    if (status == ST_CONFLICT)
        metrics_add(METRIC_SEAT_CONFLICTS, 1);
    answer_outcome(call, status, repeated ? 200 : 201, outcome, json, len);
}

static void hold_loaded(void *arg, enum status status)
{
    struct api_call *call = arg;
    const struct order_call *order = call->state;
    if (status == ST_OK && !api_admits_buyer(call, catalog_event(call->api->catalog, order->event)))
        return;
    if (status == ST_OK)
        status = api_ask_inside(call, order->event, hold_checked);
    if (status != ST_OK)
        api_fail(call, status);
}

static void hold_checked(void *arg, enum status status, const struct queue_place *place,
                         const struct queue_numbers *numbers)
{
    struct api_call *call = arg;
    struct order_call *order = call->state;
    if (status == ST_NOT_FOUND && !order->reloaded) {
        order->reloaded = true;
        status = catalog_load(call->api->catalog, order->event, true, hold_loaded, call);
        if (status == ST_OK)
            return;
    }
    if (status == ST_OK && place->state != QUEUE_ACTIVE && numbers->restoring &&
        call->proof.pass_place > 0) {
        api_fail(call, ST_UNAVAILABLE); /* his pass counts as soon as what is spent is known */
        return;
    }
    if (status == ST_OK && place->state != QUEUE_ACTIVE) {
        api_problem(call, 403, "not-admitted", "You are not inside: wait for your turn.", NULL);
        return;
    }
    if (status == ST_OK) {
        order->order.place = place->place;
        status = reservation_hold(call->api->db, &order->order, hold_done, call);
    }
    if (status != ST_OK)
        api_fail(call, status);
}

static enum status refuse_field(struct json_error *error, const char *field, const char *detail)
{
    (void)snprintf(error->field, sizeof(error->field), "%s", field);
    (void)snprintf(error->detail, sizeof(error->detail), "%s", detail);
    return ST_INVALID;
}

/* One seat id: a string of digits, or a positive integer. Into a text of the request's arena. */
static const char *read_seat_id(struct api_call *call, const struct json *value)
{
    char text[SEAT_ID_MAX + 1];
    const char *given = json_str_value(value);
    if (given == NULL) {
        const int64_t number = json_int_value(value, 0);
        if (number <= 0)
            return NULL;
        (void)snprintf(text, sizeof(text), "%" PRId64, number);
        given = text;
    }
    const size_t len = strlen(given);
    if (len == 0 || len > 18 || strspn(given, "0123456789") != len)
        return NULL;
    return http_req_strdup(call->req, given, len);
}

static enum status read_seat_ids(struct api_call *call, struct reservation_order *order,
                                 struct json_error *error)
{
    const struct json *list = json_get(call->body, "seatIds");
    const size_t count = json_array_len(list);
    if (!json_is_array(list) || count == 0 || count > SEATS_PER_ORDER_MAX)
        return refuse_field(error, "seatIds", "seatIds must be an array of 1 to 100 seat ids.");
    const char **ids = http_req_alloc(call->req, count * sizeof(*ids));
    for (size_t i = 0; i < count; i++) {
        ids[i] = read_seat_id(call, json_array_at(list, i));
        if (ids[i] == NULL) {
            char field[32];
            (void)snprintf(field, sizeof(field), "seatIds[%zu]", i);
            return refuse_field(error, field, "A seat id is a string of digits.");
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(ids[i], ids[j]) == 0)
                return refuse_field(error, "seatIds", "A seat is named twice.");
        }
    }
    order->seat_ids = ids;
    order->seat_count = count;
    return ST_OK;
}

static enum status read_quantity(struct api_call *call, struct reservation_order *order,
                                 struct json_error *error)
{
    int64_t quantity = 0;
    enum status st =
        json_read_int(call->body, "quantity", 1, SEATS_PER_ORDER_MAX, &quantity, error);
    if (st == ST_OK)
        st = json_read_str(call->body, "section", EVENT_TEXT_MAX, &order->section, error);
    if (st == ST_OK && quantity == 0)
        return refuse_field(error, "quantity", "Either seatIds or quantity is needed.");
    order->seat_count = (size_t)quantity;
    return st;
}

static enum status read_order(struct api_call *call, struct order_call *order,
                              struct json_error *error)
{
    static const char *const keys[] = {"eventId", "seatIds", "quantity", "section", NULL};
    const char *event = NULL;
    enum status st = json_known_keys(call->body, keys, error);
    if (st == ST_OK)
        st = json_read_str(call->body, "eventId", EVENT_ID_MAX, &event, error);
    if (st != ST_OK)
        return st;
    if (event == NULL || !token_is_event_id(event, strlen(event)))
        return refuse_field(error, "eventId", "eventId is 1 to 64 of A-Z a-z 0-9 _ -.");
    (void)snprintf(order->event, sizeof(order->event), "%s", event);
    if (json_has(call->body, "seatIds") && json_has(call->body, "quantity"))
        return refuse_field(error, "quantity", "Give seatIds or quantity, not both.");
    return json_has(call->body, "seatIds") ? read_seat_ids(call, &order->order, error)
                                           : read_quantity(call, &order->order, error);
}

static bool plain_key(const char *key)
{
    const size_t len = strlen(key);
    if (len == 0 || len > IDEMPOTENCY_KEY_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (key[i] <= ' ' || key[i] > '~')
            return false;
    }
    return true;
}

static enum status hold_start(struct api_call *call)
{
    struct json_error error = {0};
    struct order_call *order = http_req_alloc(call->req, sizeof(*order));
    const char *key = http_req_header(call->req, "Idempotency-Key");
    enum status st = ST_OK;
    call->state = order;
    if (call->body == NULL)
        st = refuse_field(&error, "", "A JSON body is needed.");
    else if (key != NULL && !plain_key(key))
        st = refuse_field(&error, "Idempotency-Key", "1 to 128 printable characters.");
    else
        st = read_order(call, order, &error);
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    order->order.event = order->event;
    order->order.buyer = call->buyer;
    order->order.idempotency_key = key;
    st = api_read_proof(call, order->event);
    if (st != ST_OK)
        return st;
    const struct event *event = catalog_event(call->api->catalog, order->event);
    if (event == NULL)
        return catalog_load(call->api->catalog, order->event, false, hold_loaded, call);
    hold_loaded(call, ST_OK);
    return ST_OK;
}

/* ---- the buyer's own ---- */

static void own_done(void *arg, enum status status, const char *outcome, const char *json,
                     size_t len)
{
    answer_outcome(arg, status, 200, outcome, json, len);
}

static enum status list_start(struct api_call *call)
{
    return reservation_list(call->api->db, call->buyer, own_done, call);
}

static enum status get_start(struct api_call *call)
{
    return reservation_get(call->api->db, call->buyer, call->param, own_done, call);
}

static void cancel_done(void *arg, enum status status, const char *outcome, const char *json,
                        size_t len)
{
    struct api_call *call = arg;
    if (status == ST_OK) {
        struct json_error error;
        struct json *body = json_parse(json, len, HTTPD_BODY_MAX, &error);
        const char *event = json_str(body, "eventId");
        if (event != NULL)
            publish_seats_changed(call->api, event);
        json_free(body);
    }
    answer_outcome(call, status, 200, outcome, json, len);
}

static enum status cancel_start(struct api_call *call)
{
    return reservation_cancel(call->api->db, call->buyer, call->param, cancel_done, call);
}

/* ---- the seat map ---- */

static void map_done(void *arg, enum status status, const char *outcome, const char *json,
                     size_t len)
{
    answer_outcome(arg, status, 200, outcome, json, len);
}

static enum status map_start(struct api_call *call)
{
    return reservation_seat_map(call->api->db, call->param, map_done, call);
}

/* ---- the provider's webhook ---- */

struct webhook_call {
    struct payment payment;
    char *answer; /* of PostgreSQL, kept while the slot is freed */
    size_t answer_len;
};

/* `t=<seconds>,v1=<hex>`: HMAC-SHA-256 of "<t>.<body>", the form payment providers use. */
static enum status verify_webhook(struct api_call *call)
{
    const char *header = http_req_header(call->req, "X-Tiketi-Signature");
    size_t body_len;
    const char *body = http_req_body(call->req, &body_len);
    char expected[65];
    char *end;
    if (call->api->config->payment_webhook_secret == NULL)
        return ST_UNAVAILABLE;
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
    const char *word = NULL;
    payment->amount = -1;
    if (call->body == NULL)
        return refuse_field(error, "", "A JSON body is needed.");
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
        st = json_read_str(call->body, "status", 16, &word, error);
    if (st == ST_OK)
        st =
            json_read_int(call->body, "amount", 0, INT64_C(1000000000000), &payment->amount, error);
    if (st != ST_OK)
        return st;
    if (payment->reservation == NULL)
        return refuse_field(error, "reservationId", "reservationId is needed.");
    if (payment->provider == NULL)
        return refuse_field(error, "provider", "provider is needed.");
    if (payment->reference == NULL || payment->reference[0] == '\0')
        return refuse_field(error, "reference", "reference is needed.");
    if (payment->currency == NULL)
        return refuse_field(error, "currency", "currency is needed.");
    if (payment->amount < 0)
        return refuse_field(error, "amount", "amount is needed, in minor units.");
    if (word == NULL || strcmp(word, "paid") != 0)
        return refuse_field(error, "status", "status must be \"paid\".");
    return ST_OK;
}

static void webhook_freed(void *arg, enum status status, const struct queue_place *place,
                          const struct queue_numbers *numbers)
{
    struct api_call *call = arg;
    const struct webhook_call *webhook = call->state;
    (void)place;
    (void)numbers;
    if (status != ST_OK) /* the processor frees it later */
        log_warn("a slot is not yet free", LOG_TEXT("requestId", api_request_id(call)),
                 LOG_TEXT("status", status_name(status)));
    api_answer(call, 200, webhook->answer, webhook->answer_len);
}

static void webhook_confirmed(void *arg, enum status status, const char *outcome, const char *json,
                              size_t len)
{
    struct api_call *call = arg;
    struct webhook_call *webhook = call->state;
    if (status != ST_OK) {
        answer_outcome(call, status, 200, outcome, json, len);
        return;
    }
    struct json_error error;
    struct json *body = json_parse(json, len, HTTPD_BODY_MAX, &error);
    const char *event = json_str(body, "eventId");
    const char *buyer = json_str(body, "buyer");
    const bool confirmed = strcmp(outcome, "confirmed") == 0;
    if (event != NULL && confirmed)
        publish_seats_changed(call->api, event);
    webhook->answer = http_req_strdup(call->req, json, len);
    webhook->answer_len = len;
    enum status started = ST_INTERNAL;
    if (event != NULL && buyer != NULL && confirmed)
        started =
            queue_leave(call->api->queue, event, buyer, NULL, QUEUE_COMPLETED, webhook_freed, call);
    json_free(body);
    if (started != ST_OK)
        api_answer(call, 200, webhook->answer, webhook->answer_len);
}

static enum status webhook_start(struct api_call *call)
{
    struct json_error error = {0};
    struct webhook_call *webhook = http_req_alloc(call->req, sizeof(*webhook));
    call->state = webhook;
    const enum status st = verify_webhook(call);
    if (st != ST_OK)
        return st;
    if (read_payment(call, &webhook->payment, &error) != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return reservation_confirm(call->api->db, &webhook->payment, webhook_confirmed, call);
}

const struct api_route api_reservation_routes[] = {
    {"GET", "/api/seats/{eventId}", AUTH_NONE, 0, map_start, false},
    {"POST", "/api/reservations", AUTH_BUYER, 0, hold_start, true},
    {"GET", "/api/reservations", AUTH_BUYER, 0, list_start, false},
    {"GET", "/api/reservations/{id}", AUTH_BUYER, 0, get_start, false},
    {"POST", "/api/reservations/{id}/cancel", AUTH_BUYER, 0, cancel_start, true},
    {"POST", "/api/payments/webhook", AUTH_NONE, 0, webhook_start, true},
    {0},
};
