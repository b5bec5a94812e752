/* SPDX-License-Identifier: MIT */
/*
 * api_hall: staff routes for the seats of an event: add, replace, check, correct, block and count them.
 *
 *   seats     role and owner -> names and currency (JSON) or the file (api_csv.c) -> seats_add or seats_import
 *   seats/…   role and owner -> which seats, and to what -> seats_correct
 *   sections  role and owner -> hall_summary
 *
 * Why this way: PostgreSQL decides in one transaction whether a seat may be changed, because buyers hold seats meanwhile.
 * The event's version rises with it; the pods read the new map within a second, and the processor writes the live copy
 * (number of seats, lowest price) when it hears `config-changed`, or within five seconds.
 * Called by: api's route table. Owns nothing. With PostgreSQL gone: 503, nothing changed.
 */
#include "api/api_internal.h"

#include "base/locale.h"
#include "base/log.h"
#include "selling/reservation.h"
#include "selling/seat_name.h"

#include <stdio.h>
#include <string.h>

#define CHOICE_MAX 1000 /* seats named by their ids */
#define REASON_MAX 200  /* characters */

struct hall_call {
    struct seat_import import;
    struct seat_correction correction;
    char section[TEXT_BYTES(SEAT_NAME_MAX) + 1], row[TEXT_BYTES(SEAT_NAME_MAX) + 1];
    char new_section[TEXT_BYTES(SEAT_NAME_MAX) + 1], new_row[TEXT_BYTES(SEAT_NAME_MAX) + 1];
    char reason[TEXT_BYTES(REASON_MAX) + 1];
};

/* Reads If-Match. False: it is not valid, and the request was answered. */
static bool read_version(struct api_call *call, int64_t *ret_version)
{
    *ret_version = api_read_if_match(call);
    if (*ret_version >= 0)
        return true;
    api_problem(call, 400, "invalid", "If-Match must be an ETag of this event.", "If-Match");
    return false;
}

/* Messages may be lost: pods read the map within a second anyway, and the processor the record within five. */
static void publish_change(struct api_call *call)
{
    api_publish_seats_changed(call->api, call->param);
    const enum status st = queue_publish(call->api->queue, call->param, "config-changed", "{}", 2);
    if (st != ST_OK)
        log_debug("channel message not published", LOG_TEXT("event", call->param),
                  LOG_TEXT("kind", "config-changed"), LOG_TEXT("status", status_name(st)));
}

/* ---- add, replace, check ---- */

/* The errors of PostgreSQL name seats by their number in the list: with the field of the body instead. */
static void name_fields(struct json *body, bool is_list)
{
    struct json *errors = json_member(body, "errors");
    for (size_t i = 0; i < json_array_len(errors); i++) {
        struct json *error = json_element(errors, i);
        const int64_t seat = json_int(error, "seat", 0);
        const char *name = json_str(error, "field");
        char field[96];
        if (is_list && seat > 0)
            (void)snprintf(field, sizeof(field), "seats[%lld]%s%s", (long long)seat - 1,
                           name && name[0] ? "." : "", name ? name : "");
        else
            (void)snprintf(field, sizeof(field), "%s", is_list ? "seats" : "grid");
        json_set_str(error, "field", field);
        json_remove(error, "seat");
    }
    if (json_array_len(errors) > 0)
        json_set_str(body, "field", json_str(json_array_at(errors, 0), "field"));
}

static void stored(void *arg, enum status status, const char *outcome, const char *json, size_t len)
{
    struct api_call *call = arg;
    if (status == ST_OK && strcmp(outcome, "added") == 0)
        publish_change(call);
    if (call->import) {
        api_import_answer(call, status, outcome, json, len);
        return;
    }
    struct json *body = json ? json_parse(json, len, len, NULL) : NULL;
    if (!json_has(body, "errors")) {
        api_answer_outcome(call, status, 201, outcome, json, len);
    } else {
        name_fields(body, json_has(call->body, "seats"));
        if (status == ST_OK)
            json_remove(body, "field");
        if (status == ST_OK)
            api_answer_json(call, 200, body);
        else
            api_answer_problem(call,
                               &(struct api_problem){.status = status == ST_CONFLICT ? 409 : 400,
                                                     .code = outcome,
                                                     .detail = json_str(body, "detail"),
                                                     .field = json_str(body, "field"),
                                                     .more = body});
    }
    json_free(body);
}

static enum status add_seats(struct api_call *call, const struct seat_import *import)
{
    struct json_error error = {0};
    bool changed;
    size_t len;
    if (seat_names_clean(call->body, &changed, &error) != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    struct buf clean;
    buf_init(&clean, 4 * HTTP_BODY_MAX);
    if (changed)
        json_write(call->body, &clean);
    enum status st = buf_status(&clean);
    if (st == ST_OK)
        st = reservation_add_seats(call->api->db, import,
                                   changed ? buf_str(&clean) : http_req_body(call->req, &len),
                                   stored, call);
    buf_clear(&clean);
    return st;
}

static enum status seats_fetched(struct api_call *call, const struct event *event)
{
    struct hall_call *hall = call->state;
    struct seat_import *import = &hall->import;
    if (import->version > 0 && import->version != event->version)
        return ST_STALE;
    import->event = call->param;
    import->actor = api_actor(call);
    return call->import ? api_import_store(call, import, stored) : add_seats(call, import);
}

static enum status seats_start(struct api_call *call)
{
    struct hall_call *hall = http_req_alloc(call->req, sizeof(*hall));
    struct json_error error = {0};
    call->state = hall;
    if (!read_version(call, &hall->import.version))
        return ST_OK;
    if (!api_read_flag(call, "replace", &hall->import.replaces, &error) ||
        !api_read_flag(call, "check", &hall->import.only_checks, &error)) {
        api_invalid(call, &error);
        return ST_OK;
    }
    if (!call->import && !call->body) {
        api_problem(call, 400, "invalid",
                    api_sends_csv(call->req)
                        ? "The file is empty."
                        : "A JSON body is needed, or a file with Content-Type: text/csv.",
                    "");
        return ST_OK;
    }
    return api_staff_event(call, seats_fetched);
}

/* ---- correct ---- */

static enum status read_ids(struct api_call *call, const struct json *list,
                            struct seat_correction *correction, struct json_error *error)
{
    const size_t count = json_array_len(list);
    if (!json_is_array(list) || count == 0 || count > CHOICE_MAX)
        return json_refuse(error, "where.seatIds", "not-a-list",
                           "seatIds must be an array of 1 to 1000 seat ids.");
    const char **ids = http_req_alloc(call->req, count * sizeof(*ids));
    for (size_t i = 0; i < count; i++) {
        ids[i] = api_read_seat_id(call, json_array_at(list, i));
        if (!ids[i])
            return json_refuse(error, "where.seatIds", "not-an-id",
                               "A seat id must be a string of 1 to 18 digits.");
    }
    correction->seat_ids = ids;
    correction->seat_count = count;
    return ST_OK;
}

/* Names the field in the object `where`. */
static enum status in_where(enum status status, struct json_error *error)
{
    char field[sizeof(error->field)];
    if (status == ST_OK)
        return ST_OK;
    (void)snprintf(field, sizeof(field), "where.%.80s", error->field);
    memcpy(error->field, field, sizeof(field));
    return status;
}

/* Reads which seats are meant: {"seatIds"}, {"section", "row", "from", "to"}, or {"all": true}. */
static enum status read_where(struct api_call *call, struct hall_call *hall,
                              struct json_error *error)
{
    static const char *const keys[] = {"seatIds", "section", "row", "from", "to", "all", NULL};
    struct seat_correction *correction = &hall->correction;
    const struct json *where = json_get(call->body, "where");
    bool all = false;
    if (!json_is_object(where))
        return json_refuse(error, "where", "which-seats",
                           "where says which seats: seatIds, or section, row, from "
                           "and to, or \"all\": true.");
    enum status st = json_known_keys(where, keys, error);
    if (st == ST_OK)
        st = json_read_text(where, "section", TEXT_NAME, SEAT_NAME_MAX, hall->section, error);
    if (st == ST_OK)
        st = json_read_text(where, "row", TEXT_NAME, SEAT_NAME_MAX, hall->row, error);
    if (st == ST_OK)
        st = json_read_int(where, "from", 1, 1000000, &correction->from, error);
    if (st == ST_OK)
        st = json_read_int(where, "to", 1, 1000000, &correction->to, error);
    if (st == ST_OK)
        st = json_read_bool(where, "all", &all, error);
    if (st != ST_OK)
        return in_where(st, error);
    const bool by_name = hall->section[0] || hall->row[0] || correction->from || correction->to;
    const bool by_id = json_has(where, "seatIds");
    if ((int)by_name + (int)by_id + (int)all != 1)
        return json_refuse(error, "where", "which-seats",
                           "where needs seatIds, or names of seats, or \"all\": true, and one of "
                           "these only.");
    if (by_id)
        return read_ids(call, json_get(where, "seatIds"), correction, error);
    correction->section = hall->section[0] ? hall->section : NULL;
    correction->row = hall->row[0] ? hall->row : NULL;
    return ST_OK;
}

/* Reads what is to become of the seats: the fields that the verb takes. */
static enum status read_change(const struct json *body, struct hall_call *hall,
                               struct json_error *error)
{
    struct seat_correction *correction = &hall->correction;
    const char *verb = correction->verb;
    const bool reprices = strcmp(verb, "reprice") == 0, renames = strcmp(verb, "rename") == 0;
    const bool blocks = strcmp(verb, "block") == 0;
    const char *const keys[] = {"where",
                                reprices  ? "price"
                                : renames ? "section"
                                : blocks  ? "reason"
                                          : NULL,
                                renames ? "row" : NULL, NULL};
    correction->price = -1;
    enum status st = json_known_keys(body, keys, error);
    if (st == ST_OK && reprices)
        st = json_read_int(body, "price", 0, INT64_C(1000000000000), &correction->price, error);
    if (st == ST_OK && reprices && correction->price < 0)
        st = json_refuse(error, "price", "needed", "price is needed.");
    if (st == ST_OK && renames)
        st = json_read_text(body, "section", TEXT_NAME, SEAT_NAME_MAX, hall->new_section, error);
    if (st == ST_OK && renames)
        st = json_read_text(body, "row", TEXT_NAME, SEAT_NAME_MAX, hall->new_row, error);
    if (st == ST_OK && renames && !hall->new_section[0] && !hall->new_row[0])
        st = json_refuse(error, "section", "needed", "section or row is needed, the new name.");
    if (st == ST_OK && blocks)
        st = json_read_text(body, "reason", TEXT_LINE, REASON_MAX, hall->reason, error);
    if (st == ST_OK && blocks && !hall->reason[0])
        st = json_refuse(error, "reason", "needed",
                         "reason is needed: why the seats are not for sale.");
    correction->new_section = hall->new_section[0] ? hall->new_section : NULL;
    correction->new_row = hall->new_row[0] ? hall->new_row : NULL;
    correction->reason = blocks ? hall->reason : NULL;
    return st;
}

/* Adds what an organizer should know: some of the seats are as they were. */
static void add_warning(struct json *body)
{
    const struct json *left = json_get(body, "left");
    const long long held = json_int(left, "held", 0), sold = json_int(left, "sold", 0);
    struct json *warnings = json_new_array();
    if (held + sold > 0) {
        char message[128];
        struct json *warning = json_new_object();
        (void)snprintf(message, sizeof(message),
                       "%lld held and %lld sold seats were left as they are.", held, sold);
        json_set_str(warning, "code", "seats-taken");
        json_set_str(warning, "field", "where");
        json_set_str(warning, "message", message);
        json_append(warnings, warning);
    }
    json_set(body, "warnings", warnings);
}

static void corrected(void *arg, enum status status, const char *outcome, const char *json,
                      size_t len)
{
    struct api_call *call = arg;
    struct json *body = status == ST_OK ? json_parse(json, len, len, NULL) : NULL;
    if (!body) {
        api_answer_outcome(call, status, 200, outcome, json, len);
        return;
    }
    if (json_int(body, "changed", 0) > 0)
        publish_change(call);
    add_warning(body);
    api_answer_json(call, 200, body);
    json_free(body);
}

static enum status correct_fetched(struct api_call *call, const struct event *event)
{
    struct hall_call *hall = call->state;
    (void)event;
    hall->correction.event = call->param;
    hall->correction.actor = api_actor(call);
    return reservation_correct_seats(call->api->db, &hall->correction, corrected, call);
}

/* The verb is the last part of the route's path. */
static enum status correct_start(struct api_call *call)
{
    struct hall_call *hall = http_req_alloc(call->req, sizeof(*hall));
    struct json_error error = {0};
    call->state = hall;
    hall->correction.verb = strrchr(call->route->path, '/') + 1;
    if (!read_version(call, &hall->correction.version))
        return ST_OK;
    enum status st =
        call->body ? ST_OK
                   : json_refuse(&error, "", "body-needed", "A JSON body is needed, with where.");
    if (st == ST_OK)
        st = read_change(call->body, hall, &error);
    if (st == ST_OK)
        st = read_where(call, hall, &error);
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, correct_fetched);
}

/* ---- count ---- */

static void counted(void *arg, enum status status, const char *outcome, const char *json,
                    size_t len)
{
    struct api_call *call = arg;
    struct json *body = status == ST_OK ? json_parse(json, len, len, NULL) : NULL;
    if (!body) {
        api_answer_outcome(call, status, 200, outcome, json, len);
        return;
    }
    const char *currency = json_str(body, "currency");
    if (currency)
        json_set_int(body, "currencyDecimals", locale_currency_decimals(currency));
    else
        json_set_null(body, "currencyDecimals");
    api_answer_json(call, 200, body);
    json_free(body);
}

static enum status sections_fetched(struct api_call *call, const struct event *event)
{
    (void)event;
    return reservation_count_seats(call->api->db, call->param, counted, call);
}

static enum status sections_start(struct api_call *call)
{
    return api_staff_event(call, sections_fetched);
}

#define EVENT_ROUTE "/api/admin/events/{eventId}"

const struct api_route api_hall_routes[] = {
    {"POST", EVENT_ROUTE "/seats", AUTH_STAFF, API_OWNERS, seats_start, API_BODY_JSON_OR_CSV},
    {"POST", EVENT_ROUTE "/seats/remove", AUTH_STAFF, API_OWNERS, correct_start, API_BODY_JSON},
    {"POST", EVENT_ROUTE "/seats/rename", AUTH_STAFF, API_OWNERS, correct_start, API_BODY_JSON},
    {"POST", EVENT_ROUTE "/seats/reprice", AUTH_STAFF, API_OWNERS, correct_start, API_BODY_JSON},
    {"POST", EVENT_ROUTE "/seats/block", AUTH_STAFF, API_OWNERS, correct_start, API_BODY_JSON},
    {"POST", EVENT_ROUTE "/seats/unblock", AUTH_STAFF, API_OWNERS, correct_start, API_BODY_JSON},
    {"GET", EVENT_ROUTE "/sections", AUTH_STAFF, API_READERS, sections_start, API_BODY_NONE},
    {0},
};
