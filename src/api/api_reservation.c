/* SPDX-License-Identifier: MIT */
/*
 * api_reservation: holding, listing and cancelling reservations.
 *
 *   hold   request -> event known -> Redis: inside? -> yes: reservation_hold
 *                                                   no, with a key: reservation_repeat
 *
 * Why this way: nobody may buy without waiting, so every hold asks Redis whether the buyer is inside. A buyer who is
 * not inside can only get the earlier answer to their Idempotency-Key, which may have been lost on the way. That answer is
 * looked up only then, so a buyer inside costs PostgreSQL one statement. A seat whose row another transaction has
 * locked is not waited for in PostgreSQL, where the wait would keep a connection: the request waits here, and is
 * repeated a few times within half a second. PostgreSQL alone decides about seats, and its
 * JSON is the answer.
 * Called by: api's route table, api_buy. Owns nothing. With Redis or PostgreSQL gone: 503, nothing changed.
 */
#include "api/api_internal.h"

#include "base/metrics.h"
#include "selling/reservation.h"
#include "selling/seat_name.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SEATS_PER_HOLD_MAX  100
#define IDEMPOTENCY_KEY_MAX 128
#define RESERVATIONS_PAGE   50

#define BUSY_RETRY_MS 50
#define BUSY_TRIES    5 /* at once, then after 50, 100, 200 and 200 ms */

struct hold_call {
    struct api_call *call;
    struct hold_request request;
    char event[EVENT_ID_MAX + 1];
    bool closed;                                 /* the sale is, and the buyer is not inside */
    unsigned tries;                              /* how often a row was locked */
    unsigned ticks;                              /* of BUSY_RETRY_MS, until the next try */
    struct hold_call *next;                      /* in api->busy_holds */
    char section[TEXT_BYTES(SEAT_NAME_MAX) + 1]; /* "": any */
};

/* ---- reading a request for seats ---- */

static enum status read_seat_ids(struct api_call *call, struct hold_request *request,
                                 struct json_error *error)
{
    const struct json *list = json_get(call->body, "seatIds");
    const size_t count = json_array_len(list);
    if (!json_is_array(list) || count == 0 || count > SEATS_PER_HOLD_MAX)
        return json_refuse(error, "seatIds", "not-a-list",
                           "seatIds must be an array of 1 to 100 seat ids.");
    const char **ids = http_req_alloc(call->req, count * sizeof(*ids));
    for (size_t i = 0; i < count; i++) {
        ids[i] = api_read_seat_id(call, json_array_at(list, i));
        if (!ids[i]) {
            char field[32];
            (void)snprintf(field, sizeof(field), "seatIds[%zu]", i);
            return json_refuse(error, field, "not-an-id",
                               "A seat id must be a string of 1 to 18 digits.");
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(ids[i], ids[j]) == 0)
                return json_refuse(error, "seatIds", "named-twice", "seatIds names a seat twice.");
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
        return json_refuse(error, "eventId", "not-an-id",
                           "eventId must have 1 to 64 characters of A-Z, a-z, 0-9, _ and -.");
    (void)snprintf(hold->event, sizeof(hold->event), "%s", event);
    if (json_has(body, "seatIds") && json_has(body, "quantity"))
        return json_refuse(error, "quantity", "one-of-two", "Give seatIds or quantity, not both.");
    if (json_has(body, "seatIds"))
        return read_seat_ids(call, &hold->request, error);
    st = json_read_int(body, "quantity", 1, SEATS_PER_HOLD_MAX, &quantity, error);
    if (st == ST_OK)
        st = json_read_text(body, "section", TEXT_NAME, SEAT_NAME_MAX, hold->section, error);
    if (st == ST_OK && quantity == 0)
        return json_refuse(error, "quantity", "one-of-two",
                           "Either seatIds or quantity is needed.");
    hold->request.seat_count = (size_t)quantity;
    hold->request.section = json_str(body, "section") ? hold->section : NULL;
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
    struct hold_call *hold = call->state;
    struct api *api = call->api;
    const bool repeated = outcome && strcmp(outcome, "repeated") == 0;
    if (status == ST_BUSY && ++hold->tries < BUSY_TRIES) {
        hold->ticks = hold->tries < 3 ? hold->tries : 4;
        if (!api->busy_holds)
            loop_timer_set(api->busy_timer, BUSY_RETRY_MS);
        hold->next = api->busy_holds;
        api->busy_holds = hold;
        return;
    }
    if (status == ST_OK && !repeated) {
        metrics_add(METRIC_HOLDS, 1);
        api_publish_seats_changed(api, hold->event);
    }
    if (status == ST_CONFLICT)
        metrics_add(METRIC_SEAT_CONFLICTS, 1);
    if (hold->closed && outcome && strcmp(outcome, "not-admitted") == 0)
        api_problem(call, 410, "event-closed", "The event is closed.", NULL);
    else
        api_answer_outcome(call, status, repeated ? 200 : 201, outcome, json, len);
}

/* Runs every BUSY_RETRY_MS while holds wait for a locked row. */
void api_retry_holds(void *arg)
{
    struct api *api = arg;
    struct hold_call *hold = api->busy_holds;
    api->busy_holds = NULL;
    for (struct hold_call *next; hold; hold = next) {
        next = hold->next;
        struct api_call *call = hold->call;
        if (--hold->ticks > 0) {
            hold->next = api->busy_holds;
            api->busy_holds = hold;
            continue;
        }
        const enum status st = reservation_hold(api->db, &hold->request, hold_done, call);
        if (st != ST_OK)
            api_fail(call, st);
    }
    if (api->busy_holds)
        loop_timer_set(api->busy_timer, BUSY_RETRY_MS);
}

void api_end_holds(struct api *api)
{
    for (struct hold_call *hold = api->busy_holds; hold; hold = hold->next)
        hold->ticks = 1;
    api_retry_holds(api);
}

void api_forget_hold(struct api_call *call)
{
    for (struct hold_call **at = &call->api->busy_holds; *at; at = &(*at)->next) {
        if ((*at)->call == call) {
            *at = (*at)->next;
            return;
        }
    }
}

static void hold_checked(void *arg, enum status status, const struct queue_place *place,
                         const struct queue_numbers *numbers)
{
    struct api_call *call = arg;
    struct hold_call *hold = call->state;
    struct hold_request *request = &hold->request;
    struct db *db = call->api->db;
    hold->closed =
        status == ST_OK && (place->state == QUEUE_CLOSED ||
                            (place->state == QUEUE_GONE && numbers->status == EVENT_CLOSED));
    if (status == ST_OK && place->state == QUEUE_ACTIVE) {
        request->place = place->number;
        status = reservation_hold(db, request, hold_done, call);
    } else if (status == ST_OK && place->state == QUEUE_BANNED) {
        api_refuse_banned(call);
    } else if (status == ST_OK && numbers->restoring && call->proof.pass_place > 0) {
        status = ST_UNAVAILABLE; /* the pass counts once consumed places are loaded */
    } else if (status == ST_OK && request->idempotency_key) {
        status = reservation_repeat(db, request, hold_done, call);
    } else if (hold->closed) {
        api_problem(call, 410, "event-closed", "The event is closed.", NULL);
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
    hold->call = call;
    if (!call->body)
        st = json_refuse(&error, "", "body-needed", "A JSON body is needed.");
    else if (key && !is_idempotency_key(key))
        st = json_refuse(&error, "Idempotency-Key", "not-an-id",
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

enum status api_list_reservations(struct api_call *call, const struct reservation_query *query,
                                  reservation_cb cb)
{
    static const char none[] = "{\"reservations\":[],\"next\":null}";
    if (!call->new_guest)
        return reservation_list(call->api->db, query, cb, call);
    cb(call, ST_OK, "listed", none, sizeof(none) - 1);
    return ST_OK;
}

static enum status list_start(struct api_call *call)
{
    struct json_error error = {0};
    const char *event = http_req_query(call->req, "eventId");
    const char *current = http_req_query(call->req, "current");
    int64_t limit;
    enum status st = ST_OK;
    if (event && !token_is_event_id(event, strlen(event)))
        st = json_refuse(&error, "eventId", "not-an-id", "eventId must be the id of an event.");
    else if (current && strcmp(current, "1") != 0 && strcmp(current, "0") != 0)
        st = json_refuse(&error, "current", "not-a-flag", "current must be 0 or 1.");
    else if (!api_read_page(call, api_is_cursor, RESERVATIONS_PAGE, &limit, &error))
        st = ST_INVALID;
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    const struct reservation_query query = {.buyer = call->buyer,
                                            .event = event,
                                            .current = current && *current == '1',
                                            .before = http_req_query(call->req, "before"),
                                            .limit = (int)limit};
    return api_list_reservations(call, &query, api_answer_stored);
}

static enum status get_start(struct api_call *call)
{
    return reservation_get(call->api->db, call->buyer, call->param, api_answer_stored, call);
}

/* What PostgreSQL has answered, until Redis knows that no payment of this reservation is pending any more. */
struct cancel_call {
    const char *outcome, *json; /* as long as the request */
    size_t len;
};

static void cancel_noted(void *arg, enum status status, const struct queue_place *place,
                         const struct queue_numbers *numbers)
{
    struct api_call *call = arg;
    const struct cancel_call *cancel = call->state;
    (void)place, (void)numbers, (void)status; /* without Redis the deadline ends by itself */
    api_answer_outcome(call, ST_OK, 200, cancel->outcome, cancel->json, cancel->len);
}

static void cancel_done(void *arg, enum status status, const char *outcome, const char *json,
                        size_t len)
{
    struct api_call *call = arg;
    struct cancel_call *cancel = call->state;
    enum status noting = ST_NOT_FOUND;
    if (status == ST_OK) {
        struct json *body = json_parse(json, len, HTTP_BODY_MAX, NULL);
        const char *event = json_str(body, "eventId");
        if (event) {
            api_publish_seats_changed(call->api, event);
            *cancel = (struct cancel_call){.outcome =
                                               http_req_strdup(call->req, outcome, strlen(outcome)),
                                           .json = http_req_strdup(call->req, json, len),
                                           .len = len};
            noting = queue_pay(call->api->queue, event, call->buyer,
                               &(struct queue_payment){.claims = true}, cancel_noted, call);
        }
        json_free(body);
    }
    if (noting != ST_OK)
        api_answer_outcome(call, status, 200, outcome, json, len);
}

enum status api_cancel(struct api_call *call, const char *id)
{
    call->state = http_req_alloc(call->req, sizeof(struct cancel_call));
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
