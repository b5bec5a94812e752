/* SPDX-License-Identifier: MIT */
/*
 * api_checkin: tickets at the door.
 *
 *   scans   role and event -> each code's signature is verified -> checkin_batch: used for the first time, or not
 *   list    role and event -> the tickets that are valid now, for doors that lose their network
 *   page    /door/{eventId}
 *
 * Why this way: a code proves by its signature that we sold the seat, but not that it was not refunded or used since: that
 * PostgreSQL says, in one transaction for a batch. A door without a network verifies by the public key and its list, and
 * sends its scans later: a scan has the door's time and name, so that a repeated batch changes nothing.
 * Called by: api's route table. Owns nothing. With PostgreSQL gone: 503, and the page goes on as without a network.
 */
#include "api/api_page.h"

#include "auth/token.h"
#include "base/clock.h"
#include "selling/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SCANS_MAX   50 /* signatures that one request has verified */
#define LIST_LIMIT  5000
#define DEVICE_MAX  64
#define SCANS_BYTES (64 * 1024)

#define API_DOORS (API_OWNERS | API_ROLE(DOOR))

/* ---- scans ---- */

/* Appends a scan for checkin_batch. A code is a JWS; anything else was typed: a reservation's number, or with a dot the id
 * of one of its seats. */
static void write_scan(struct api_call *call, const struct json *scan, struct buf *out)
{
    const char *ticket = json_str(scan, "ticket"), *dot = strchr(ticket, '.');
    struct eticket_claim claim = {.seat = ""};
    if (dot && strchr(dot + 1, '.')) {
        if (eticket_read(call->api->keys, ticket, strlen(ticket), &claim) != ST_OK) {
            buf_add_str(out, "{\"outcome\":\"not_valid\"}");
            return;
        }
        if (strcmp(claim.event, call->param) != 0) {
            buf_add_str(out, "{\"outcome\":\"other_event\"}");
            return;
        }
    } else {
        const size_t len = dot ? (size_t)(dot - ticket) : strlen(ticket);
        const size_t seat_len = dot ? strlen(dot + 1) : 0;
        if (len == 0 || len >= sizeof(claim.number) || seat_len >= sizeof(claim.seat) - 1 ||
            (dot && (seat_len == 0 || strspn(dot + 1, "0123456789") != seat_len))) {
            buf_add_str(out, "{\"outcome\":\"not_valid\"}");
            return;
        }
        (void)snprintf(claim.number, sizeof(claim.number), "%.*s", (int)len, ticket);
        (void)snprintf(claim.seat, sizeof(claim.seat), "%s", dot ? dot + 1 : "");
    }
    const char *device = json_str(scan, "device");
    buf_add_str(out, "{\"number\":");
    buf_add_json_str(out, claim.number, strlen(claim.number));
    if (claim.seat[0] != '\0')
        buf_printf(out, ",\"seat\":%s", claim.seat);
    buf_add_str(out, ",\"device\":");
    buf_add_json_str(out, device, strlen(device));
    buf_printf(out, ",\"at\":\"%s\",\"letIn\":%s}", json_str(scan, "scannedAt"),
               json_bool(scan, "letIn", false) ? "true" : "false");
}

static enum status scans_fetched(struct api_call *call, const struct event *event)
{
    const struct json *scans = json_get(call->body, "scans");
    struct buf list;
    buf_init(&list, 2 * SCANS_BYTES);
    for (size_t i = 0; i < json_array_len(scans); i++) {
        buf_add_char(&list, i == 0 ? '[' : ',');
        write_scan(call, json_array_at(scans, i), &list);
    }
    buf_add_char(&list, ']');
    enum status st = buf_status(&list);
    if (st == ST_OK)
        st = history_check_in(call->api->db, event->id, api_actor(call), buf_str(&list),
                              api_answer_stored, call);
    buf_clear(&list);
    return st;
}

static enum status read_scan(const struct json *scan, struct json_error *error)
{
    static const char *const keys[] = {"ticket", "scannedAt", "device", "letIn", NULL};
    const char *ticket = NULL, *device = NULL;
    int64_t at = -1;
    bool let_in;
    enum status st = json_known_keys(scan, keys, error);
    if (st == ST_OK)
        st = json_read_str(scan, "ticket", 1024, &ticket, error);
    if (st == ST_OK)
        st = json_read_str(scan, "device", DEVICE_MAX, &device, error);
    if (st == ST_OK)
        st = json_read_time(scan, "scannedAt", &at, error);
    if (st == ST_OK)
        st = json_read_bool(scan, "letIn", &let_in, error);
    if (st == ST_OK && (!ticket || ticket[0] == '\0'))
        st = json_refuse(error, "ticket", "needed", "ticket is needed.");
    if (st == ST_OK && (!device || device[0] == '\0'))
        st = json_refuse(error, "device", "needed", "device is needed: the name of the door.");
    if (st == ST_OK && at < 0)
        st = json_refuse(error, "scannedAt", "needed", "scannedAt is needed.");
    return st;
}

static enum status scans_start(struct api_call *call)
{
    static const char *const keys[] = {"scans", NULL};
    struct json_error error = {0};
    const struct json *scans = json_get(call->body, "scans");
    const size_t count = json_array_len(scans);
    enum status st = call->body ? json_known_keys(call->body, keys, &error)
                                : json_refuse(&error, "", "body-needed", "A JSON body is needed.");
    if (st == ST_OK && (!json_is_array(scans) || count == 0 || count > SCANS_MAX))
        st = json_refuse(&error, "scans", "not-a-list", "scans must be a list of 1 to %d scans.",
                         SCANS_MAX);
    for (size_t i = 0; st == ST_OK && i < count; i++) {
        st = read_scan(json_array_at(scans, i), &error);
        if (st != ST_OK) {
            char path[32];
            (void)snprintf(path, sizeof(path), "scans[%zu]", i);
            (void)json_refuse_in(&error, path);
        }
    }
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, scans_fetched);
}

/* ---- the list ---- */

static enum status list_fetched(struct api_call *call, const struct event *event)
{
    const char *after = http_req_query(call->req, "after");
    return history_door_list(call->api->db, event->id, after ? after : "0", LIST_LIMIT,
                             api_answer_stored, call);
}

static enum status list_start(struct api_call *call)
{
    const char *after = http_req_query(call->req, "after");
    if (after && !api_is_number(after)) {
        api_problem(call, 400, "invalid", "after must be the next of another page of this list.",
                    "after");
        return ST_OK;
    }
    return api_staff_event(call, list_fetched);
}

const struct api_route api_checkin_routes[] = {
    {"POST", "/api/checkin/{eventId}", AUTH_STAFF, API_DOORS, scans_start, API_BODY_JSON},
    {"GET", "/api/checkin/{eventId}", AUTH_STAFF, API_DOORS, list_start, API_BODY_NONE},
    {0},
};

/* ---- the page ---- */

static enum status page_fetched(struct api_call *call, const struct event *event)
{
    struct page page;
    api_page_begin(&page, call);
    page.camera = true;
    api_page_set(&page, "event", event->id);
    api_page_set(&page, "title", event->title);
    api_page_set(&page, "zone", event->time_zone);
    api_page_set(&page, "csrf", api_csrf(call));
    api_page_answer(&page, 200, "door.html");
    return ST_OK;
}

static enum status page_start(struct api_call *call)
{
    return api_staff_event(call, page_fetched);
}

const struct api_route api_door_routes[] = {
    {"GET", "/door/{eventId}", AUTH_STAFF, API_DOORS, page_start, API_BODY_NONE},
    {0},
};
