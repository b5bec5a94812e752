/* SPDX-License-Identifier: MIT */
/*
 * api_queue: the buyer's queue routes: check (join), status, heartbeat, leave; and the public list
 * of events.
 *
 *   check      -> queue_join(JOIN)   -> answer with position, estimate, re-issued ticket
 *   status     -> presence and rank index of this pod, no Redis; else queue_join(RESUME)
 *   heartbeat  -> the same, a shorter answer
 *   leave      -> queue_leave
 *
 * A script that finds no config of the event makes us load it (Redis, else PostgreSQL) and repeat
 * the step once, within the request. The position shown is the lowest ever shown to this buyer: the
 * ticket carries it. Called by: api's route table. With Redis gone every route answers 503.
 */
#include "api/api.h"

#include "base/clock.h"
#include "base/metrics.h"
#include "base/prefetch.h"
#include "queue/admission.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What the pod last heard of a waiting buyer counts for so long: longer than the longest nextPoll, and than
 * the minute after which a page with a living socket polls. */
#define PRESENCE_FRESH_MS 90000
#define TICKET_COOKIE_S   (7 * 24 * 3600)

/* VISIT_PAGE becomes a check or a status as soon as the ticket is read. */
enum visit_kind { VISIT_CHECK, VISIT_STATUS, VISIT_HEARTBEAT, VISIT_LEAVE, VISIT_PAGE };

struct visit {
    enum visit_kind kind;
    bool is_page;
    bool reloaded; /* the event was loaded again: a script missed it, or knew a later epoch */
};

static void visit_loaded(void *arg, enum status status);

/* ---- writing the answer: by hand, since printf is what a join would spend most on ---- */

static void add_number(struct buf *out, const char *before, uint64_t number)
{
    buf_add_str(out, before);
    buf_add_uint(out, number);
}

static void make_event_info(struct api_event_info *info, const struct event *event)
{
    struct buf *out = &info->json;
    memcpy(info->event, event->id, sizeof(info->event));
    info->version = event->version;
    buf_reset(out);
    buf_add_str(out, ",\"eventInfo\":{\"title\":");
    buf_add_json_str(out, event->title, strlen(event->title));
    buf_add_str(out, ",\"artist\":");
    buf_add_json_str(out, event->artist, strlen(event->artist));
    if (event->message[0] != '\0') {
        buf_add_str(out, ",\"message\":");
        buf_add_json_str(out, event->message, strlen(event->message));
    }
    buf_add_char(out, '}');
}

/* What is shown of an event. */
static void write_event_info(struct api *api, const struct event *event)
{
    struct api_event_info *info = &api->event_info;
    if (info->version != event->version || strcmp(info->event, event->id) != 0)
        make_event_info(info, event);
    buf_add(&api->text, buf_str(&info->json), info->json.len);
}

static void add_ticket(struct buf *out, const char *text, size_t len)
{
    buf_add_str(out, ",\"ticket\":\"");
    buf_add(out, text, len);
    buf_add_char(out, '"');
}

/* Most polls find nothing new: then the ticket that came goes back as it is, and a cookie that holds it
 * is left alone, but by a join, which makes it last anew. */
static void write_ticket(struct api_call *call, struct buf *out, uint64_t place, uint64_t epoch,
                         uint64_t lowest)
{
    const struct visit *visit = call->state;
    struct buf *token = &call->api->token;
    if (call->ticket != NULL && visit->kind == VISIT_STATUS && call->ticket_kept &&
        call->proof.ticket_place == place && call->proof.ticket_epoch == epoch &&
        call->ticket_lowest == lowest) {
        add_ticket(out, call->ticket, call->ticket_len);
        return;
    }
    buf_reset(token);
    if (api_write_ticket(call, call->param, place, epoch, lowest, token) != ST_OK)
        return;
    api_set_cookie(call, "tiketi_ticket_", call->param, buf_str(token), TICKET_COOKIE_S);
    add_ticket(out, buf_str(token), token->len);
}

static void write_pass(struct api_call *call, struct buf *out, const struct event *event,
                       const struct queue_place *place, uint64_t epoch)
{
    struct buf *token = &call->api->token;
    int64_t expires_ms;
    char expires[CLOCK_RFC3339_SIZE];
    buf_reset(token);
    if (api_write_pass(call, event, place, epoch, token, &expires_ms) != ST_OK)
        return;
    const int64_t left_s = (expires_ms - clock_wall_ms()) / 1000;
    api_set_cookie(call, "tiketi_pass_", call->param, buf_str(token), left_s > 1 ? left_s : 1);
    clock_format_rfc3339(expires_ms, expires);
    buf_printf(out, ",\"pass\":\"%s\",\"passExpiresAt\":\"%s\"", buf_str(token), expires);
}

/* The lowest position ever shown for this place: that of the ticket, if it is this place's. */
static uint64_t lowest_shown(const struct api_call *call, uint64_t place)
{
    return call->proof.ticket_place == place ? call->ticket_lowest : 0;
}

static void answer_active(struct api_call *call, const struct event *event,
                          const struct queue_place *place, const struct queue_numbers *numbers)
{
    struct buf *out = &call->api->text;
    buf_reset(out);
    buf_printf(out,
               "{\"queued\":false,\"status\":\"active\",\"currentUsers\":%" PRIu64
               ",\"threshold\":%" PRIu64,
               numbers->active, numbers->threshold);
    write_event_info(call->api, event);
    write_ticket(call, out, place->place, numbers->epoch, lowest_shown(call, place->place));
    write_pass(call, out, event, place, numbers->epoch);
    buf_add_char(out, '}');
    api_answer(call, 200, buf_str(out), out->len);
}

/* The word for a waiting buyer's state. */
static const char *waiting_word(const struct queue_numbers *numbers)
{
    if (numbers->restoring)
        return "restoring";
    switch (numbers->status) {
    case EVENT_DRAFT:
    case EVENT_SCHEDULED:
        return "scheduled";
    case EVENT_PAUSED:
        return "paused";
    case EVENT_SOLD_OUT:
        return "sold_out";
    default:
        return "queued";
    }
}

static void write_estimate(struct buf *out, const struct wait_estimate *wait)
{
    if (wait->known) {
        add_number(out, ",\"estimatedWait\":", (uint64_t)wait->seconds);
        add_number(out, ",\"estimatedWaitRange\":[", (uint64_t)wait->low);
        add_number(out, ",", (uint64_t)wait->high);
        buf_add_char(out, ']');
    } else {
        buf_add_str(out, ",\"estimatedWait\":null,\"estimatedWaitRange\":null");
    }
}

/* Who only polls may be let in at any time, must not seem silent, and has to be back within a restore
 * window. */
static int64_t longest_poll_s(const struct api *api, const struct event *event)
{
    const struct config *config = api->config;
    int64_t ms = event->idle_timeout_ms / 3;
    if (config->queue_silent_ms / 3 < ms)
        ms = config->queue_silent_ms / 3;
    if (config->restore_ms > 0 && config->restore_ms / 3 * 2 < ms)
        ms = config->restore_ms / 3 * 2;
    return ms / 1000;
}

/* `position` is what was computed now; shown is the lowest ever shown. */
static void answer_waiting(struct api_call *call, const struct event *event, uint64_t place,
                           uint64_t position, const struct queue_numbers *numbers)
{
    const struct visit *visit = call->state;
    const struct rank_index *index = catalog_index(call->api->catalog, call->param);
    struct buf *out = &call->api->text;
    struct wait_estimate wait = {0};
    const uint64_t lowest = lowest_shown(call, place);
    uint64_t shown = position;
    /* While others are still coming back, a rank says little: the ticket's position stands. */
    if (lowest > 0 && (numbers->restoring || lowest < shown || shown == 0))
        shown = lowest;
    if (shown == 0)
        shown = 1;
    if (index != NULL && numbers->status == EVENT_OPEN)
        wait = admission_wait(index->rate_mean, index->rate_spread, index->rate_ticks, shown);
    buf_reset(out);
    buf_add_str(out, "{\"queued\":true,\"status\":\"");
    buf_add_str(out, waiting_word(numbers));
    add_number(out, "\",\"position\":", shown);
    write_estimate(out, &wait);
    add_number(out, ",\"queueSize\":", numbers->queue_size > shown ? numbers->queue_size : shown);
    add_number(out, ",\"threshold\":", numbers->threshold);
    add_number(out, ",\"currentUsers\":", numbers->active);
    write_event_info(call->api, event);
    write_ticket(call, out, place, numbers->epoch, shown);
    if (visit->kind == VISIT_STATUS) {
        const uint32_t random = (uint32_t)call->api->request_seq * 2654435761u;
        const int64_t next =
            admission_next_poll(&wait, shown, longest_poll_s(call->api, event), random);
        add_number(out, ",\"nextPoll\":", (uint64_t)next);
    }
    buf_add_char(out, '}');
    api_answer(call, 200, buf_str(out), out->len);
}

static void answer_word(struct api_call *call, const char *word)
{
    struct buf *out = &call->api->text;
    buf_reset(out);
    buf_printf(out, "{\"status\":\"%s\"}", word);
    api_answer(call, 200, buf_str(out), out->len);
}

static void answer_closed(struct api_call *call)
{
    api_problem(call, 410, "event-closed", "The sale is closed.", NULL);
}

static void answer_place(struct api_call *call, const struct queue_place *place,
                         const struct queue_numbers *numbers)
{
    const struct visit *visit = call->state;
    const struct event *event = catalog_event(call->api->catalog, call->param);
    if (event == NULL) {
        api_fail(call, ST_UNAVAILABLE);
        return;
    }
    if (place->state == QUEUE_CLOSED) {
        answer_closed(call);
    } else if (place->state == QUEUE_GONE) {
        if (numbers->status == EVENT_CLOSED)
            answer_closed(call);
        else
            answer_word(call, "not_in_queue");
    } else if (visit->kind == VISIT_HEARTBEAT) {
        answer_word(call, place->state == QUEUE_ACTIVE ? "active" : waiting_word(numbers));
    } else if (place->state == QUEUE_ACTIVE) {
        answer_active(call, event, place, numbers);
    } else {
        answer_waiting(call, event, place->place, place->position, numbers);
    }
}

/* ---- through Redis ---- */

/* The queue was cleared, and this pod's copy of the event does not say so yet: a page, which joins when a
 * ticket is of an older epoch, would take it for the end of a turn. */
static bool is_cleared(const struct api_call *call, const struct queue_place *place,
                       const struct queue_numbers *numbers)
{
    const struct visit *visit = call->state;
    return visit->is_page && visit->kind == VISIT_STATUS && place->state == QUEUE_GONE &&
           numbers->epoch != call->proof.ticket_epoch;
}

static void visit_joined(void *arg, enum status status, const struct queue_place *place,
                         const struct queue_numbers *numbers)
{
    struct api_call *call = arg;
    struct visit *visit = call->state;
    struct api *api = call->api;
    if (!visit->reloaded &&
        (status == ST_NOT_FOUND || (status == ST_OK && is_cleared(call, place, numbers)))) {
        visit->reloaded = true;
        if (visit->is_page)
            visit->kind = VISIT_PAGE;
        status = catalog_load(api->catalog, call->param, true, visit_loaded, call);
        if (status == ST_OK)
            return;
    }
    if (status != ST_OK) {
        api_fail(call, status);
        return;
    }
    if (visit->kind == VISIT_LEAVE) {
        presence_drop(api->presence, call->param, call->buyer);
        api_set_cookie(call, "tiketi_ticket_", call->param, NULL, 0);
        api_set_cookie(call, "tiketi_pass_", call->param, NULL, 0);
        answer_word(call, place->state == QUEUE_GONE ? "not_in_queue" : "left");
        return;
    }
    presence_put(api->presence, call->param, call->buyer, place->state, loop_now_ms(api->loop));
    if (visit->kind == VISIT_CHECK)
        metrics_add(METRIC_JOINS, 1);
    if (place->direct)
        metrics_add(METRIC_ADMISSIONS_DIRECT, 1);
    answer_place(call, place, numbers);
}

/* Where hundreds are answered together, a twentieth of a join. */
static void visit_soon(void *arg, unsigned ahead)
{
    const struct api_call *call = arg;
    switch (ahead) {
    case 3:
        prefetch(call, sizeof(*call));
        break;
    case 2:
        http_req_prefetch(call->req);
        prefetch(call->state, sizeof(struct visit));
        break;
    default:
        http_req_prefetch_answer(call->req);
        presence_prefetch(call->api->presence, call->param, call->buyer);
    }
}

void api_queue_open(struct api *api)
{
    queue_on_soon(api->queue, visit_joined, visit_soon);
}

static enum status visit_redis(struct api_call *call)
{
    const struct visit *visit = call->state;
    struct queue *queue = call->api->queue;
    if (visit->kind == VISIT_LEAVE)
        return queue_leave(queue, call->param, call->buyer, &call->proof, QUEUE_LEFT, visit_joined,
                           call);
    return queue_join(queue, visit->kind == VISIT_CHECK ? QUEUE_JOIN : QUEUE_RESUME, call->param,
                      call->buyer, &call->proof, visit_joined, call);
}

/* ---- without Redis ---- */

/* A buyer whom the last `seen` called waiting, and whose place the index puts behind the head:
 * answered here; his sign of life goes with the next second's batch. */
static bool visit_local(struct api_call *call, const struct event *event)
{
    const struct visit *visit = call->state;
    struct api *api = call->api;
    const struct rank_index *index = catalog_index(api->catalog, call->param);
    enum queue_state state;
    bool sign_due;
    uint64_t position = 0;
    if (visit->kind != VISIT_STATUS && visit->kind != VISIT_HEARTBEAT)
        return false;
    if (index == NULL || call->proof.ticket_place == 0 || call->proof.ticket_epoch != index->epoch)
        return false;
    if (index->status == EVENT_CLOSED)
        return false; /* nobody waits any more, whatever was last seen */
    if (index->restoring || call->proof.pass_place > 0)
        return false; /* Redis may know of his place only by his proof */
    if (!presence_get(api->presence, call->param, call->buyer, PRESENCE_FRESH_MS,
                      loop_now_ms(api->loop), &state, &sign_due) ||
        state != QUEUE_WAITING)
        return false;
    switch (index_position(index, call->proof.ticket_place, &position)) {
    case INDEX_AHEAD:
        return false;
    case INDEX_BEYOND:
        position = call->ticket_lowest > 0 ? call->ticket_lowest : index->queue_size + 1;
        break;
    default:
        break;
    }
    const struct queue_numbers numbers = {.status = index->status,
                                          .restoring = index->restoring,
                                          .version = index->version,
                                          .epoch = index->epoch,
                                          .queue_size = index->queue_size,
                                          .active = index->active,
                                          .threshold = index->threshold,
                                          .now_ms = index->time_ms};
    if (sign_due)
        queue_seen(api->queue, call->param, call->buyer);
    if (visit->kind == VISIT_HEARTBEAT)
        answer_word(call, waiting_word(&numbers));
    else
        answer_waiting(call, event, call->proof.ticket_place, position, &numbers);
    return true;
}

/* ---- the steps ---- */

/* The event is known to this pod: proofs, then the short way or the long one. */
static enum status visit_known(struct api_call *call, const struct event *event)
{
    struct visit *visit = call->state;
    if (!api_admits_buyer(call, event))
        return ST_OK;
    const enum status st = api_read_proof(call, call->param);
    if (st != ST_OK)
        return st;
    if (visit->kind == VISIT_PAGE)
        visit->kind =
            call->proof.ticket_place > 0 && call->proof.ticket_epoch == (uint64_t)event->epoch
                ? VISIT_STATUS
                : VISIT_CHECK;
    if (call->proof.ticket_place > 0)
        queue_note_place(call->api->queue, call->param, call->proof.ticket_place);
    if (visit_local(call, event))
        return ST_OK;
    return visit_redis(call);
}

static void visit_loaded(void *arg, enum status status)
{
    struct api_call *call = arg;
    const struct event *event = catalog_event(call->api->catalog, call->param);
    if (status == ST_OK && event == NULL)
        status = ST_UNAVAILABLE;
    if (status == ST_NOT_FOUND) {
        api_problem(call, 404, "unknown-event", "There is no such event.", "eventId");
        return;
    }
    if (status == ST_OK)
        status = visit_known(call, event);
    if (status != ST_OK)
        api_fail(call, status);
}

static enum status visit_start(struct api_call *call, enum visit_kind kind)
{
    struct visit *visit = http_req_alloc(call->req, sizeof(*visit));
    visit->kind = kind;
    visit->is_page = kind == VISIT_PAGE;
    call->state = visit;
    if (!api_takes_nothing(call))
        return ST_OK;
    const struct event *event = catalog_event(call->api->catalog, call->param);
    if (event == NULL)
        return catalog_load(call->api->catalog, call->param, false, visit_loaded, call);
    return visit_known(call, event);
}

static enum status check_start(struct api_call *call)
{
    return visit_start(call, VISIT_CHECK);
}

enum status api_status(struct api_call *call)
{
    return visit_start(call, VISIT_STATUS);
}

static enum status heartbeat_start(struct api_call *call)
{
    return visit_start(call, VISIT_HEARTBEAT);
}

enum status api_visit(struct api_call *call, bool join)
{
    return visit_start(call, join ? VISIT_CHECK : VISIT_PAGE);
}

enum status api_leave(struct api_call *call)
{
    return visit_start(call, VISIT_LEAVE);
}

/* ---- public events ---- */

static void list_done(void *arg, enum status status, const char *json, size_t len)
{
    struct api_call *call = arg;
    if (status == ST_OK)
        api_answer(call, 200, json, len);
    else
        api_fail(call, status);
}

static enum status list_start(struct api_call *call)
{
    return catalog_list(call->api->db, NULL, true, list_done, call);
}

static void event_loaded(void *arg, enum status status)
{
    struct api_call *call = arg;
    const struct event *event = catalog_event(call->api->catalog, call->param);
    if (status != ST_OK || event == NULL) {
        api_fail(call, status != ST_OK ? status : ST_NOT_FOUND);
        return;
    }
    struct json *body = event_write_json(event);
    api_answer_json(call, 200, body);
    json_free(body);
}

static enum status event_start(struct api_call *call)
{
    if (catalog_event(call->api->catalog, call->param) == NULL)
        return catalog_load(call->api->catalog, call->param, false, event_loaded, call);
    event_loaded(call, ST_OK);
    return ST_OK;
}

const struct api_route api_queue_routes[] = {
    {"POST", "/api/queue/check/{eventId}", AUTH_BUYER, 0, check_start, true},
    {"GET", "/api/queue/status/{eventId}", AUTH_BUYER, 0, api_status, false},
    {"POST", "/api/queue/heartbeat/{eventId}", AUTH_BUYER, 0, heartbeat_start, true},
    {"POST", "/api/queue/leave/{eventId}", AUTH_BUYER, 0, api_leave, true},
    {"GET", "/api/events", AUTH_NONE, 0, list_start, false},
    {"GET", "/api/events/{eventId}", AUTH_NONE, 0, event_start, false},
    {0},
};
