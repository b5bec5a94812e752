/* SPDX-License-Identifier: MIT */
/*
 * api_ban: staff shut a buyer out of an event, take that back, and list who is shut out.
 *
 *   ban    body -> ban_add (PostgreSQL: the ban, the seats) -> queue_ban (Redis: turn and place) -> ban_note (the place)
 *   unban  body -> ban_remove -> queue_unban, with the place that PostgreSQL has kept
 *
 * Why this way: PostgreSQL has the record, and Redis follows it: when Redis cannot be reached in the middle, the answer is 503,
 * and a processor makes both agree (processor_bans.c); both requests may be repeated.
 * Called by: api's route table. Owns nothing. With PostgreSQL gone: 503, nothing changed.
 */
#include "api/api_internal.h"

#include "auth/identity.h"
#include "base/log.h"
#include "selling/ban.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BANS_PAGE  100
#define REASON_MAX 200 /* characters */
#define PASS_MAX   4096
/* A shop's server may do it, too: it sees who misbehaves. */
#define API_MACHINES (API_OWNERS | API_ROLE(SERVICE))

struct ban_call {
    bool bans; /* else it takes a ban back */
    char buyer[BUYER_ID_MAX + 1];
    char reason[TEXT_BYTES(REASON_MAX) + 1];
    bool changed; /* unban: there was a ban */
    int64_t limit;
};

static struct ban_request request_of(struct api_call *call)
{
    const struct ban_call *ban = call->state;
    return (struct ban_request){
        .event = call->param, .buyer = ban->buyer, .reason = ban->reason, .who = api_actor(call)};
}

static void answer_ban(struct api_call *call)
{
    const struct ban_call *ban = call->state;
    struct json *body = json_new_object();
    json_set_str(body, "eventId", call->param);
    json_set_str(body, "buyer", ban->buyer);
    json_set_bool(body, "banned", ban->bans);
    if (ban->bans)
        json_set_str(body, "reason", ban->reason);
    else
        json_set_bool(body, "changed", ban->changed);
    api_answer_json(call, 200, body);
    json_free(body);
}

static void ban_noted(void *arg, enum status status, const char *outcome, const char *json,
                      size_t len)
{
    (void)outcome, (void)json, (void)len;
    if (status == ST_OK)
        answer_ban(arg);
    else
        api_fail(arg, status); /* repeated, it notes the place that Redis keeps */
}

static void ban_done(void *arg, enum status status, const struct queue_place *place,
                     const struct queue_numbers *numbers)
{
    struct api_call *call = arg;
    const struct ban_call *ban = call->state;
    const struct ban_request request = request_of(call);
    if (status != ST_OK) {
        api_fail_event(call, status);
        return;
    }
    presence_drop(call->api->presence, call->param, ban->buyer);
    if (!ban->bans || place->number == 0) {
        answer_ban(call);
        return;
    }
    status = ban_note(call->api->db, &request, place->number, numbers->epoch, ban_noted, call);
    if (status != ST_OK)
        api_fail(call, status);
}

/* PostgreSQL has the change: Redis follows. */
static void ban_stored(void *arg, enum status status, const char *outcome, const char *json,
                       size_t len)
{
    struct api_call *call = arg;
    struct ban_call *ban = call->state;
    if (status != ST_OK) {
        api_answer_outcome(call, status, 200, outcome, json, len);
        return;
    }
    struct json *body = json_parse(json, len, HTTP_BODY_MAX, NULL);
    const char *place = json_str(body, "place"), *epoch = json_str(body, "epoch");
    const struct queue_ban change = {.buyer = ban->buyer,
                                     .place = place ? strtoull(place, NULL, 10) : 0,
                                     .epoch = epoch ? strtoull(epoch, NULL, 10) : 0};
    json_free(body);
    ban->changed = strcmp(outcome, "nothing") != 0;
    if (ban->bans)
        api_publish_seats_changed(call->api, call->param);
    status = (ban->bans ? queue_ban : queue_unban)(call->api->queue, call->param, &change, ban_done,
                                                   call);
    if (status != ST_OK)
        api_fail(call, status);
}

static enum status ban_fetched(struct api_call *call, const struct event *event)
{
    const struct ban_call *ban = call->state;
    const struct ban_request request = request_of(call);
    if (event->status == EVENT_DRAFT) {
        api_refuse_as(call, 409, "wrong-state", "is-draft", "Nobody is in a draft.", "status");
        return ST_OK;
    }
    return (ban->bans ? ban_add : ban_remove)(call->api->db, &request, ban_stored, call);
}

/* ---- the body ---- */

/* A buyer id, or a pass, which names one. */
static enum status read_buyer(struct api_call *call, struct json_error *error)
{
    struct ban_call *ban = call->state;
    const char *buyer = NULL, *text = NULL;
    enum status st = json_read_str(call->body, "buyer", BUYER_ID_MAX, &buyer, error);
    if (st == ST_OK)
        st = json_read_str(call->body, "pass", PASS_MAX, &text, error);
    if (st != ST_OK)
        return st;
    if (!buyer == !text)
        return json_refuse(error, "buyer", "one-of-two", "Give buyer or pass.");
    if (buyer && !token_names_buyer(buyer))
        return json_refuse(error, "buyer", "unknown-person", "Give a buyer id: u:…, o:… or g:….");
    struct pass pass;
    const struct identity_proof proof = {
        .text = text, .len = text ? strlen(text) : 0, .event = call->param};
    if (text && identity_read_pass(call->api->keys, &proof, 0, &pass) != ST_OK)
        return json_refuse(error, "pass", "not-a-pass", "This is no pass of this event.");
    (void)snprintf(ban->buyer, sizeof(ban->buyer), "%s", text ? pass.buyer : buyer);
    return ST_OK;
}

static enum status change_start(struct api_call *call, bool bans)
{
    static const char *const keys[] = {"buyer", "pass", "reason", NULL};
    static const char *const keys_back[] = {"buyer", "pass", NULL};
    struct json_error error = {0};
    struct ban_call *ban = http_req_alloc(call->req, sizeof(*ban));
    call->state = ban;
    ban->bans = bans;
    enum status st = call->body ? json_known_keys(call->body, bans ? keys : keys_back, &error)
                                : json_refuse(&error, "", "body-needed", "A JSON body is needed.");
    if (st == ST_OK)
        st = read_buyer(call, &error);
    if (st == ST_OK && bans)
        st = json_read_text(call->body, "reason", TEXT_LINE, REASON_MAX, ban->reason, &error);
    if (st == ST_OK && bans && ban->reason[0] == '\0')
        st = json_refuse(&error, "reason", "needed", "reason is needed: why they are shut out.");
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, ban_fetched);
}

static enum status ban_start(struct api_call *call)
{
    return change_start(call, true);
}

static enum status unban_start(struct api_call *call)
{
    return change_start(call, false);
}

/* ---- the list ---- */

static enum status list_fetched(struct api_call *call, const struct event *event)
{
    const struct ban_call *list = call->state;
    char limit[24];
    (void)snprintf(limit, sizeof(limit), "%d", (int)list->limit);
    return ban_page(call->api->db, event->id, http_req_query(call->req, "before"), limit,
                    api_answer_stored, call);
}

/* cursor_of in sql/functions: a number, a dot and a buyer's id, which may have dots itself. */
static bool is_ban_cursor(const char *text)
{
    const size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= 18 && text[digits] == '.' && strlen(text) <= 19 + BUYER_ID_MAX &&
           token_names_buyer(text + digits + 1);
}

static enum status list_start(struct api_call *call)
{
    struct json_error error = {0};
    struct ban_call *list = http_req_alloc(call->req, sizeof(*list));
    call->state = list;
    if (!api_read_page(call, is_ban_cursor, BANS_PAGE, &list->limit, &error)) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, list_fetched);
}

const struct api_route api_ban_routes[] = {
    {"POST", "/api/admin/events/{eventId}/ban", AUTH_STAFF, API_MACHINES, ban_start, API_BODY_JSON},
    {"POST", "/api/admin/events/{eventId}/unban", AUTH_STAFF, API_MACHINES, unban_start,
     API_BODY_JSON},
    {"GET", "/api/admin/events/{eventId}/bans", AUTH_STAFF, API_OWNERS, list_start, API_BODY_NONE},
    {0},
};
