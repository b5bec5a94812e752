/* SPDX-License-Identifier: MIT */
/*
 * api_reservation: holding, listing and cancelling reservations.
 *
 *   hold   request -> event known -> Redis: inside? -> yes: reservation_hold
 *                                                   no, with a key: reservation_repeat
 *
 * Why this way: nobody may buy without waiting, so every hold asks Redis whether the buyer is inside. A buyer who is
 * not inside can only get the earlier answer to their Idempotency-Key, which may have been lost on the way. That answer is
 * looked up only then, so a buyer inside costs PostgreSQL one statement. PostgreSQL alone decides about seats, and its
 * JSON is the answer.
 * Called by: api's route table, api_buy. Owns nothing. With Redis or PostgreSQL gone: 503, nothing changed.
 */
#include "api/api_internal.h"

#include "base/metrics.h"
#include "selling/reservation.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SEATS_PER_HOLD_MAX  100
#define IDEMPOTENCY_KEY_MAX 128

struct hold_call {
    struct hold_request request;
    char event[EVENT_ID_MAX + 1];
};

/* ---- reading a request for seats ---- */

/* Reads a seat id, which is a string of digits or a positive integer, as text that lives as long as the request. NULL:
 * it is neither. */
static const char *read_seat_id(struct api_call *call, const struct json *value)
{
    char text[24];
    const char *given = json_str_value(value);
    const int64_t number = json_int_value(value, 0);
    if (!given && number <= 0)
        return NULL;
    if (!given) {
        (void)snprintf(text, sizeof(text), "%" PRId64, number);
        given = text;
    }
    return api_is_number(given) ? http_req_strdup(call->req, given, strlen(given)) : NULL;
}

static enum status read_seat_ids(struct api_call *call, struct hold_request *request,
                                 struct json_error *error)
{
    const struct json *list = json_get(call->body, "seatIds");
    const size_t count = json_array_len(list);
    if (!json_is_array(list) || count == 0 || count > SEATS_PER_HOLD_MAX)
        return json_refuse(error, "seatIds", "seatIds must be an array of 1 to 100 seat ids.");
    const char **ids = http_req_alloc(call->req, count * sizeof(*ids));
    for (size_t i = 0; i < count; i++) {
        ids[i] = read_seat_id(call, json_array_at(list, i));
        if (!ids[i]) {
            char field[32];
            (void)snprintf(field, sizeof(field), "seatIds[%zu]", i);
            return json_refuse(error, field, "A seat id must be a string of 1 to 18 digits.");
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(ids[i], ids[j]) == 0)
                return json_refuse(error, "seatIds", "seatIds names a seat twice.");
        }
    }
    request->seat_ids = ids;
    request->seat_count = count;
    return ST_OK;
}

static enum status read_hold(struct api_call *call, struct hold_call *hold,
                             struct json_error *error)
{
    static const char *const keys[] = {"eventId", "seatIds", "quantity", "section", NULL};
    const struct json *body = call->body;
    const char *event = NULL;
    int64_t quantity = 0;
    enum status st = json_known_keys(body, keys, error);
    if (st == ST_OK)
        st = json_read_str(body, "eventId", EVENT_ID_MAX, &event, error);
    if (st != ST_OK)
        return st;
    if (!event || !token_is_event_id(event, strlen(event)))
        return json_refuse(error, "eventId",
                           "eventId must have 1 to 64 characters of A-Z, a-z, 0-9, _ and -.");
    (void)snprintf(hold->event, sizeof(hold->event), "%s", event);
    if (json_has(body, "seatIds") && json_has(body, "quantity"))
        return json_refuse(error, "quantity", "Give seatIds or quantity, not both.");
    if (json_has(body, "seatIds"))
        return read_seat_ids(call, &hold->request, error);
    st = json_read_int(body, "quantity", 1, SEATS_PER_HOLD_MAX, &quantity, error);
    if (st == ST_OK)
        st = json_read_str(body, "section", EVENT_TEXT_MAX, &hold->request.section, error);
    if (st == ST_OK && quantity == 0)
        return json_refuse(error, "quantity", "Either seatIds or quantity is needed.");
    hold->request.seat_count = (size_t)quantity;
    return st;
}

static bool is_idempotency_key(const char *key)
{
    const size_t len = strlen(key);
    for (size_t i = 0; i < len; i++) {
        if (key[i] <= ' ' || key[i] > '~')
            return false;
    }
    return len > 0 && len <= IDEMPOTENCY_KEY_MAX;
}

/* ---- hold ---- */

static void hold_done(void *arg, enum status status, const char *outcome, const char *json,
                      size_t len)
{
    struct api_call *call = arg;
    const struct hold_call *hold = call->state;
    const bool repeated = outcome && strcmp(outcome, "repeated") == 0;
    if (status == ST_OK && !repeated) {
        metrics_add(METRIC_HOLDS, 1);
        api_publish_seats_changed(call->api, hold->event);
    }
    if (status == ST_CONFLICT)
        metrics_add(METRIC_SEAT_CONFLICTS, 1);
    api_answer_outcome(call, status, repeated ? 200 : 201, outcome, json, len);
}

static void hold_checked(void *arg, enum status status, const struct queue_place *place,
                         const struct queue_numbers *numbers)
{
    struct api_call *call = arg;
    struct hold_request *request = &((struct hold_call *)call->state)->request;
    struct db *db = call->api->db;
    if (status == ST_OK && place->state == QUEUE_ACTIVE) {
        request->place = place->number;
        status = reservation_hold(db, request, hold_done, call);
    } else if (status == ST_OK && numbers->restoring && call->proof.pass_place > 0) {
        status = ST_UNAVAILABLE; /* the pass counts once consumed places are loaded */
    } else if (status == ST_OK && request->idempotency_key) {
        status = reservation_repeat(db, request, hold_done, call);
    } else if (status == ST_OK) {
        api_problem(call, 403, "not-admitted",
                    "You are not inside: join the queue and wait for your turn.", NULL);
    }
    if (status != ST_OK)
        api_fail(call, status);
}

static void hold_loaded(void *arg, enum status status)
{
    struct api_call *call = arg;
    const struct hold_call *hold = call->state;
    if (status == ST_OK && !api_allows_buyer(call, catalog_event(call->api->catalog, hold->event)))
        return;
    if (status == ST_OK)
        status = api_ask_inside(call, hold->event, hold_checked);
    if (status != ST_OK)
        api_fail(call, status);
}

enum status api_hold(struct api_call *call)
{
    struct json_error error = {0};
    struct hold_call *hold = http_req_alloc(call->req, sizeof(*hold));
    const char *key = http_req_header(call->req, "Idempotency-Key");
    enum status st = ST_OK;
    call->state = hold;
    if (!call->body)
        st = json_refuse(&error, "", "A JSON body is needed.");
    else if (key && !is_idempotency_key(key))
        st = json_refuse(&error, "Idempotency-Key",
                         "Idempotency-Key must have 1 to 128 printable characters without spaces.");
    else
        st = read_hold(call, hold, &error);
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    hold->request.event = hold->event;
    hold->request.buyer = call->buyer;
    hold->request.idempotency_key = key;
    st = api_read_proof(call, hold->event);
    return st == ST_OK ? api_with_event(call, hold->event, hold_loaded) : st;
}

/* ---- the buyer's own reservations ---- */

static enum status list_start(struct api_call *call)
{
    return reservation_list(call->api->db, call->buyer, api_answer_stored, call);
}

static enum status get_start(struct api_call *call)
{
    return reservation_get(call->api->db, call->buyer, call->param, api_answer_stored, call);
}

static void cancel_done(void *arg, enum status status, const char *outcome, const char *json,
                        size_t len)
{
    struct api_call *call = arg;
    if (status == ST_OK) {
        struct json *body = json_parse(json, len, HTTP_BODY_MAX, NULL);
        const char *event = json_str(body, "eventId");
        if (event)
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
    return api_body_is_empty(call) ? api_cancel(call, call->param) : ST_OK;
}

const struct api_route api_reservation_routes[] = {
    {"POST", "/api/reservations", AUTH_BUYER, 0, api_hold, API_BODY_JSON},
    {"GET", "/api/reservations", AUTH_BUYER, 0, list_start, API_BODY_NONE},
    {"GET", "/api/reservations/{id}", AUTH_BUYER, 0, get_start, API_BODY_NONE},
    {"POST", "/api/reservations/{id}/cancel", AUTH_BUYER, 0, cancel_start, API_BODY_JSON},
    {0},
};
