/* SPDX-License-Identifier: MIT */
/*
 * api_reservation: reservations over HTTP.
 *
 *   hold   POST /api/reservations: queue_is_inside (inside now?) -> reservation_hold
 *                                             not inside, but a key -> reservation_repeat
 *
 * The queue cannot be walked around: a hold needs a live admission, asked of Redis in the same
 * request. Who is not inside (any more) gets the answer that was his under this key, for he may have
 * lost it, and nothing else. Only then is it looked for: who is inside asks PostgreSQL once. PostgreSQL alone decides about seats; its JSON is passed on. With PostgreSQL gone: 503,
 * and nothing changed. Called by: api's route table.
 */
#include "api/api_internal.h"

#include "base/metrics.h"
#include "selling/reservation.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEATS_PER_ORDER_MAX 100
#define SEAT_ID_MAX         20
#define IDEMPOTENCY_KEY_MAX 128

struct order_call {
    struct reservation_order order;
    char event[EVENT_ID_MAX + 1];
};

/* ---- hold ---- */

static void hold_done(void *arg, enum status status, const char *outcome, const char *json,
                      size_t len)
{
    struct api_call *call = arg;
    const struct order_call *order = call->state;
    const bool repeated = outcome != NULL && strcmp(outcome, "repeated") == 0;
    if (status == ST_OK && !repeated) {
        metrics_add(METRIC_HOLDS, 1);
        api_publish_seats_changed(call->api, order->event);
    }
    if (status == ST_CONFLICT)
        metrics_add(METRIC_SEAT_CONFLICTS, 1);
    api_answer_outcome(call, status, repeated ? 200 : 201, outcome, json, len);
}

static void hold_checked(void *arg, enum status status, const struct queue_place *place,
                         const struct queue_numbers *numbers)
{
    struct api_call *call = arg;
    struct order_call *order = call->state;
    if (status == ST_OK && place->state != QUEUE_ACTIVE && numbers->restoring &&
        call->proof.pass_place > 0) {
        api_fail(call,
                 ST_UNAVAILABLE); /* his pass counts as soon as the consumed places are known */
        return;
    }
    if (status == ST_OK && place->state != QUEUE_ACTIVE && order->order.idempotency_key == NULL) {
        api_problem(call, 403, "not-admitted", "You are not inside: wait for your turn.", NULL);
        return;
    }
    if (status == ST_OK && place->state != QUEUE_ACTIVE) {
        status = reservation_repeat(call->api->db, &order->order, hold_done, call);
    } else if (status == ST_OK) {
        order->order.place = place->place;
        status = reservation_hold(call->api->db, &order->order, hold_done, call);
    }
    if (status != ST_OK)
        api_fail(call, status);
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
        return json_refuse(error, "seatIds", "seatIds must be an array of 1 to 100 seat ids.");
    const char **ids = http_req_alloc(call->req, count * sizeof(*ids));
    for (size_t i = 0; i < count; i++) {
        ids[i] = read_seat_id(call, json_array_at(list, i));
        if (ids[i] == NULL) {
            char field[32];
            (void)snprintf(field, sizeof(field), "seatIds[%zu]", i);
            return json_refuse(error, field, "A seat id is a string of digits.");
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(ids[i], ids[j]) == 0)
                return json_refuse(error, "seatIds", "A seat is named twice.");
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
        return json_refuse(error, "quantity", "Either seatIds or quantity is needed.");
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
        return json_refuse(error, "eventId", "eventId is 1 to 64 of A-Z a-z 0-9 _ -.");
    (void)snprintf(order->event, sizeof(order->event), "%s", event);
    if (json_has(call->body, "seatIds") && json_has(call->body, "quantity"))
        return json_refuse(error, "quantity", "Give seatIds or quantity, not both.");
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

enum status api_hold(struct api_call *call)
{
    struct json_error error = {0};
    struct order_call *order = http_req_alloc(call->req, sizeof(*order));
    const char *key = http_req_header(call->req, "Idempotency-Key");
    enum status st = ST_OK;
    call->state = order;
    if (call->body == NULL)
        st = json_refuse(&error, "", "A JSON body is needed.");
    else if (key != NULL && !plain_key(key))
        st = json_refuse(&error, "Idempotency-Key", "1 to 128 printable characters.");
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
    api_answer_outcome(arg, status, 200, outcome, json, len);
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
            api_publish_seats_changed(call->api, event);
        json_free(body);
    }
    api_answer_outcome(call, status, 200, outcome, json, len);
}

enum status api_cancel(struct api_call *call, const char *id)
{
    return reservation_cancel(call->api->db, call->buyer, id, cancel_done, call);
}

static enum status cancel_start(struct api_call *call)
{
    return api_takes_nothing(call) ? api_cancel(call, call->param) : ST_OK;
}

const struct api_route api_reservation_routes[] = {
    {"POST", "/api/reservations", AUTH_BUYER, 0, api_hold, true},
    {"GET", "/api/reservations", AUTH_BUYER, 0, list_start, false},
    {"GET", "/api/reservations/{id}", AUTH_BUYER, 0, get_start, false},
    {"POST", "/api/reservations/{id}/cancel", AUTH_BUYER, 0, cancel_start, true},
    {0},
};
