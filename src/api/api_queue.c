/* SPDX-License-Identifier: MIT */
/*
 * api_queue: the buyer's queue routes: check (join), status, heartbeat, leave; and the public events.
 *
 *   check      -> queue_join(JOIN), which claims
 *   status     -> presence and rank index of this pod, without Redis; else queue_join(RESUME)
 *   heartbeat  -> like status, with a shorter answer; {"claim":true} -> queue_join(CLAIM)
 *   leave      -> queue_leave
 *
 * Why this way: most requests are polls of buyers far back, and this pod can answer them without Redis: the rank index
 * is a second old at most, and presence has what Redis last answered about the buyer. A buyer is shown the lowest
 * position ever shown to them, which their ticket carries, so the position never rises. The answer is a struct
 * api_turn whose JSON is written without printf, which would be the greatest cost of a join.
 * Called by: api's route table, the pages. Owns nothing. With Redis gone, requests that need it are answered 503.
 */
#include "api/api_internal.h"

#include "auth/identity.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/shared_clock.h"
#include "net/client_ip.h"
#include "queue/estimate.h"

#include <stdio.h>
#include <string.h>

/* Presence is used up to this age: longer than the longest nextPoll, and longer than the minute after which a page
 * with an open socket polls. */
#define PRESENCE_FRESH_MS 90000
#define TICKET_COOKIE_S   (7 * 24 * 3600)
/* The limit is for the whole event, so a network gets in again only when the organizer raises it. */
#define NETWORK_RETRY_S 30
/* Knuth's multiplicative hash (2^32 divided by the golden ratio): turns the count of requests into numbers spread
 * over all of 32 bits, so that the next polls of buyers who came together do not come together. */
#define KNUTH_MULTIPLIER 2654435761u

/* VISIT_PAGE becomes VISIT_CHECK or VISIT_STATUS when the ticket has been read. */
enum visit_kind { VISIT_CHECK, VISIT_STATUS, VISIT_HEARTBEAT, VISIT_LEAVE, VISIT_PAGE };

struct visit {
    enum visit_kind kind;
    bool is_page;
    bool claims;   /* the buyer is there: an offer becomes their turn */
    bool reloaded; /* the event was loaded again, because Redis had a later epoch */
    bool by_pass;  /* leave: the pass in the header names the buyer, and the turn that ends */
    bool inside;   /* was refused for load at first, but this pod knows that they are inside */
};

static void visit_loaded(void *arg, enum status status);
static void visit_told(struct api_call *call, const struct queue_place *place,
                       const struct queue_numbers *numbers);
static enum status visit_refused(struct api_call *call, const struct event *event);

/* ---- the JSON of a turn ---- */

static const char *const turn_words[] = {
    [TURN_QUEUED] = "queued",     [TURN_SCHEDULED] = "scheduled",       [TURN_PAUSED] = "paused",
    [TURN_SOLD_OUT] = "sold_out", [TURN_RESTORING] = "restoring",       [TURN_ACTIVE] = "active",
    [TURN_LEFT] = "left",         [TURN_NOT_IN_QUEUE] = "not_in_queue",
};

const char *api_turn_word(enum api_turn_status status)
{
    return turn_words[status];
}

static void add_number(struct buf *out, const char *before, uint64_t number)
{
    buf_add_str(out, before);
    buf_add_uint(out, number);
}

static void add_time(struct buf *out, const char *before, int64_t time_ms)
{
    char text[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(time_ms, text);
    buf_add_str(out, before);
    buf_add_str(out, text);
    buf_add_char(out, '"');
}

static void add_revision(struct buf *out, const struct api_turn *turn)
{
    if (turn->revision <= 0)
        return;
    add_number(out, ",\"version\":", turn->version);
    add_number(out, ",\"revision\":", (uint64_t)turn->revision);
}

/* Is the turn an offer, or claimed? */
static void add_claim(struct buf *out, const struct api_turn *turn)
{
    if (turn->claim_expires_ms > 0)
        add_time(out, ",\"claimed\":false,\"claimExpiresAt\":\"", turn->claim_expires_ms);
    else
        buf_add_str(out, ",\"claimed\":true");
}

/* The end of a short answer. The message is for clients that show it as it is. */
static void add_brief_end(struct buf *out, const struct api_turn *turn)
{
    if (turn->status == TURN_LEFT)
        buf_add_str(out, ",\"message\":\"You have left the queue.\"");
    if (turn->status == TURN_NOT_IN_QUEUE) {
        add_number(out, ",\"currentUsers\":", turn->active);
        buf_add_str(out, ",\"message\":\"You are not in this queue.\"");
    }
    buf_add_char(out, '}');
}

static bool waits(const struct api_turn *turn)
{
    return turn->status != TURN_ACTIVE && turn->status != TURN_LEFT &&
           turn->status != TURN_NOT_IN_QUEUE;
}

void api_turn_write(const struct api_turn *turn, struct buf *out)
{
    const struct event *event = turn->event;
    const struct wait_estimate *wait = &turn->wait;
    buf_add_str(out,
                waits(turn) ? "{\"queued\":true,\"status\":\"" : "{\"queued\":false,\"status\":\"");
    buf_add_str(out, turn_words[turn->status]);
    buf_add_char(out, '"');
    if (turn->status == TURN_ACTIVE)
        add_claim(out, turn);
    if (turn->unclaimed)
        buf_add_str(out, ",\"unclaimed\":true");
    if (turn->claim_from_ms > 0)
        add_time(out, ",\"claimFrom\":\"", turn->claim_from_ms);
    add_revision(out, turn);
    if (turn->brief) {
        add_brief_end(out, turn);
        return;
    }
    if (turn->status == TURN_ACTIVE) {
        add_number(out, ",\"currentUsers\":", turn->active);
        add_number(out, ",\"threshold\":", turn->threshold);
    } else {
        add_number(out, ",\"position\":", turn->position);
        if (wait->known) {
            add_number(out, ",\"estimatedWait\":", (uint64_t)wait->seconds);
            add_number(out, ",\"estimatedWaitRange\":[", (uint64_t)wait->low);
            add_number(out, ",", (uint64_t)wait->high);
            buf_add_str(out, wait->low_confidence ? "],\"estimateConfidence\":\"low\""
                                                  : "],\"estimateConfidence\":\"high\"");
        } else {
            buf_add_str(out, ",\"estimatedWait\":null,\"estimatedWaitRange\":null,"
                             "\"estimateConfidence\":null");
        }
        add_number(out, ",\"queueSize\":", turn->queue_size);
        add_number(out, ",\"threshold\":", turn->threshold);
        add_number(out, ",\"currentUsers\":", turn->active);
        if (turn->seats_at_turn.known) {
            add_number(out, ",\"seatsAtTurn\":", turn->seats_at_turn.about);
            add_number(out, ",\"seatsAtTurnRange\":[", turn->seats_at_turn.low);
            add_number(out, ",", turn->seats_at_turn.high);
            buf_add_str(out, turn->seats_at_turn.high == 0 ? "],\"unlikely\":true" : "]");
        }
    }
    buf_add_str(out, ",\"eventInfo\":{\"title\":");
    buf_add_json_str(out, event->title, strlen(event->title));
    buf_add_str(out, ",\"artist\":");
    buf_add_json_str(out, event->artist, strlen(event->artist));
    if (event->message[0] != '\0') {
        buf_add_str(out, ",\"message\":");
        buf_add_json_str(out, event->message, strlen(event->message));
    }
    struct json *messages = event_write_messages(event);
    if (messages) {
        buf_add_str(out, ",\"messages\":");
        json_write(messages, out);
        json_free(messages);
    }
    buf_add_char(out, '}');
    if (turn->ticket) {
        buf_add_str(out, ",\"ticket\":\"");
        buf_add(out, turn->ticket, turn->ticket_len);
        buf_add_char(out, '"');
    }
    if (turn->pass) {
        buf_add_str(out, ",\"pass\":\"");
        buf_add(out, turn->pass, turn->pass_len);
        add_time(out, "\",\"passExpiresAt\":\"", turn->pass_expires_ms);
    }
    if (turn->turn_ends_ms > 0) {
        add_time(out, ",\"turnEndsAt\":\"", turn->turn_ends_ms);
        add_number(out, ",\"idleTimeoutMs\":", (uint64_t)event->idle_timeout_ms);
    }
    if (turn->return_url) {
        buf_add_str(out, ",\"returnUrl\":");
        buf_add_json_str(out, turn->return_url, strlen(turn->return_url));
    }
    if (turn->next_poll_s > 0)
        add_number(out, ",\"nextPoll\":", (uint64_t)turn->next_poll_s);
    buf_add_char(out, '}');
}

void api_answer_turn(struct api_call *call, const struct api_turn *turn)
{
    const struct api_presenter *present = call->present;
    struct buf *out = &call->api->text;
    if (present && present->turn) {
        call->present = NULL;
        present->turn(call, turn);
        return;
    }
    buf_reset(out);
    api_turn_write(turn, out);
    api_answer(call, 200, buf_str(out), out->len);
}

/* ---- filling a turn ---- */

/* Adds the ticket, with the lowest position shown, to the turn. Most polls change nothing: then the ticket that was
 * sent as a cookie is the answer's, and the cookie is not set again. A join always sets it, which renews its age. */
static void add_ticket(struct api_call *call, struct api_turn *turn, uint64_t epoch,
                       uint64_t lowest)
{
    const struct visit *visit = call->state;
    struct buf *text = &call->api->ticket;
    if (call->ticket && visit->kind == VISIT_STATUS && call->ticket_in_cookie &&
        call->proof.ticket_place == turn->place && call->proof.ticket_epoch == epoch &&
        call->ticket_lowest == lowest) {
        turn->ticket = call->ticket;
        turn->ticket_len = call->ticket_len;
        return;
    }
    buf_reset(text);
    if (api_write_ticket(call, call->param, turn->place, epoch, lowest, text) != ST_OK)
        return;
    api_set_proof(call, COOKIE_TICKET, buf_str(text), TICKET_COOKIE_S);
    turn->ticket = buf_str(text);
    turn->ticket_len = text->len;
}

/* The lowest position ever shown for this place, according to the ticket; 0: the ticket is of another place. */
static uint64_t lowest_shown(const struct api_call *call, uint64_t place)
{
    return call->proof.ticket_place == place ? call->ticket_lowest : 0;
}

/* Adds the pass to the turn. That which was sent is the answer's until half of its life is over, since a signature costs as
 * much as all else of the answer; a join always gets a new one. */
static void add_pass(struct api_call *call, struct api_turn *turn, const struct queue_place *place,
                     uint64_t epoch)
{
    const struct visit *visit = call->state;
    struct buf *text = &call->api->pass;
    if (call->pass && visit->kind != VISIT_CHECK && call->proof.pass_epoch == epoch &&
        !api_pass_is_due(call, turn->event, place)) {
        turn->pass = call->pass;
        turn->pass_len = call->pass_len;
        turn->pass_expires_ms = call->pass_expires_ms;
        if (call->pass_in_cookie)
            return;
    } else {
        buf_reset(text);
        if (api_write_pass(call, turn->event, place, epoch, text, &turn->pass_expires_ms) != ST_OK)
            return;
        turn->pass = buf_str(text);
        turn->pass_len = text->len;
    }
    const int64_t left_s = (turn->pass_expires_ms - shared_clock_ms()) / 1000;
    api_set_proof(call, COOKIE_PASS, turn->pass, left_s > 1 ? left_s : 1);
}

static void answer_active(struct api_call *call, const struct event *event,
                          const struct queue_place *place, const struct queue_numbers *numbers)
{
    struct api_turn turn = {.status = TURN_ACTIVE,
                            .event = event,
                            .version = numbers->version,
                            .revision = numbers->now_ms,
                            .place = place->number,
                            .epoch = numbers->epoch,
                            .return_url = call->target ? call->target->text : NULL,
                            .queue_size = numbers->queue_size,
                            .threshold = numbers->threshold,
                            .active = numbers->active};
    add_ticket(call, &turn, numbers->epoch, lowest_shown(call, place->number));
    if (place->state == QUEUE_OFFERED) { /* no pass: it is for those who have come */
        turn.claim_expires_ms = place->since_ms + event->claim_ms;
        api_answer_turn(call, &turn);
        return;
    }
    turn.turn_ends_ms = api_turn_end(event, place);
    add_pass(call, &turn, place, numbers->epoch);
    api_answer_turn(call, &turn);
}

static enum api_turn_status waiting_status(const struct queue_numbers *numbers)
{
    if (numbers->restoring)
        return TURN_RESTORING;
    switch (numbers->status) {
    case EVENT_DRAFT:
    case EVENT_SCHEDULED:
        return TURN_SCHEDULED;
    case EVENT_PAUSED:
        return TURN_PAUSED;
    case EVENT_SOLD_OUT:
        return TURN_SOLD_OUT;
    default:
        return TURN_QUEUED;
    }
}

/* The longest nextPoll: a buyer who only polls must learn of an offer well before it runs out, must not count as silent,
 * and must poll within a restore window. */
static int64_t longest_poll_s(const struct api *api, const struct event *event)
{
    const struct config *config = api->config;
    int64_t ms = event->claim_ms / 3;
    if (event->silent_ms / 3 < ms)
        ms = event->silent_ms / 3;
    if (config->restore_ms > 0 && config->restore_ms / 3 * 2 < ms)
        ms = config->restore_ms / 3 * 2;
    return ms / 1000;
}

/* The position was computed now; the answer shows the lowest position ever shown. */
static void answer_waiting(struct api_call *call, const struct event *event,
                           const struct queue_place *at, const struct queue_numbers *numbers)
{
    const struct visit *visit = call->state;
    const struct rank_index *index = catalog_index(call->api->catalog, call->param);
    const uint64_t place = at->number, lowest = lowest_shown(call, place);
    uint64_t shown = at->position;
    if (shown == 0 && index && index->epoch == numbers->epoch)
        (void)index_position(index, place, &shown); /* set aside: Redis tells no position */
    /* In a restore window others are still missing, so the rank is too low: the ticket's position is shown. */
    if (lowest > 0 && (numbers->restoring || lowest < shown || shown == 0))
        shown = lowest;
    if (shown == 0)
        shown = 1;
    struct api_turn turn = {.status = waiting_status(numbers),
                            .event = event,
                            .version = numbers->version,
                            .revision = numbers->now_ms,
                            .unclaimed = at->state == QUEUE_UNCLAIMED,
                            .claim_from_ms = at->claim_from_ms,
                            .place = place,
                            .position = shown,
                            .queue_size = numbers->queue_size > shown ? numbers->queue_size : shown,
                            .threshold = numbers->threshold,
                            .active = numbers->active};
    if (numbers->status == EVENT_OPEN)
        turn.wait = estimate_wait(index, event, shown);
    if (index && turn.status == TURN_QUEUED && event->seats > 0) {
        const struct counted_stock *counted = stock_cache_look(call->api->stock, call->param);
        if (counted)
            turn.seats_at_turn = stock_forecast(&counted->stock, index->admitted, index->active,
                                                shown - 1, (uint64_t)event->max_seats);
    }
    if (visit->kind == VISIT_STATUS) {
        const uint32_t spread = (uint32_t)call->api->request_seq * KNUTH_MULTIPLIER;
        turn.next_poll_s =
            admission_next_poll(&turn.wait, shown, longest_poll_s(call->api, event), spread);
    }
    add_ticket(call, &turn, numbers->epoch, shown);
    api_answer_turn(call, &turn);
}

static void answer_status(struct api_call *call, enum api_turn_status status,
                          const struct queue_numbers *numbers)
{
    api_answer_turn(call, &(struct api_turn){.status = status,
                                             .brief = true,
                                             .version = numbers->version,
                                             .revision = numbers->now_ms,
                                             .active = numbers->active});
}

/* The answer of a heartbeat. One that claims gets the pass with it. */
static void answer_heartbeat(struct api_call *call, const struct event *event,
                             const struct queue_place *place, const struct queue_numbers *numbers)
{
    const struct visit *visit = call->state;
    struct api_turn turn = {.brief = true,
                            .status = waiting_status(numbers),
                            .unclaimed = place->state == QUEUE_UNCLAIMED,
                            .claim_from_ms = place->claim_from_ms,
                            .version = numbers->version,
                            .revision = numbers->now_ms};
    if (visit->claims && place->state == QUEUE_ACTIVE) {
        answer_active(call, event, place, numbers);
        return;
    }
    if (place->state == QUEUE_ACTIVE || place->state == QUEUE_OFFERED)
        turn.status = TURN_ACTIVE;
    if (place->state == QUEUE_OFFERED)
        turn.claim_expires_ms = place->since_ms + event->claim_ms;
    api_answer_turn(call, &turn);
}

void api_refuse_banned(struct api_call *call)
{
    api_problem(call, 403, "banned", "You are shut out of this event: ask the organizer.", NULL);
}

/* The buyer's network has had all of its places. */
static void refuse_network(struct api_call *call, const struct event *event)
{
    char detail[256];
    metrics_add(METRIC_PLACES_REFUSED, 1);
    api_limit_met(call);
    (void)snprintf(detail, sizeof(detail),
                   "Your network has taken %lld places in this queue, as many as one network may "
                   "take. If you share it with many others, use another connection, such as "
                   "mobile data, or ask the organizer to raise the limit.",
                   (long long)event->places_per_network);
    api_answer_problem(call, &(struct api_problem){.status = 429,
                                                   .code = "network-limit",
                                                   .detail = detail,
                                                   .retry_s = NETWORK_RETRY_S});
}

static void answer_place(struct api_call *call, const struct queue_place *place,
                         const struct queue_numbers *numbers)
{
    const struct visit *visit = call->state;
    const struct event *event = catalog_event(call->api->catalog, call->param);
    const bool closed = place->state == QUEUE_CLOSED ||
                        (place->state == QUEUE_GONE && numbers->status == EVENT_CLOSED);
    /* In a restore window the pass of a turn that outlasts the closing counts once the consumed places are loaded. */
    if (!event || (closed && numbers->restoring && call->proof.pass_place > 0))
        api_fail(call, ST_UNAVAILABLE);
    else if (closed)
        api_problem(call, 410, "event-closed", "The event is closed.", NULL);
    else if (place->state == QUEUE_REFUSED)
        refuse_network(call, event);
    else if (place->state == QUEUE_BANNED)
        api_refuse_banned(call);
    else if (place->state == QUEUE_GONE)
        answer_status(call, TURN_NOT_IN_QUEUE, numbers);
    else if (visit->kind == VISIT_HEARTBEAT)
        answer_heartbeat(call, event, place, numbers);
    else if (place->state == QUEUE_ACTIVE || place->state == QUEUE_OFFERED)
        answer_active(call, event, place, numbers);
    else
        answer_waiting(call, event, place, numbers);
}

/* ---- through Redis ---- */

static void visit_answered(void *arg, enum status status, const struct queue_place *place,
                           const struct queue_numbers *numbers)
{
    struct api_call *call = arg;
    struct visit *visit = call->state;
    struct api *api = call->api;
    /* The queue was cleared and our copy of the event is old, so the page asked for a status. Reload the event; the
     * page then joins instead of showing that its turn has ended. */
    const bool was_cleared = status == ST_OK && visit->is_page && visit->kind == VISIT_STATUS &&
                             place->state == QUEUE_GONE &&
                             numbers->epoch != call->proof.ticket_epoch;
    if (was_cleared && !visit->reloaded) {
        visit->reloaded = true;
        visit->kind = VISIT_PAGE;
        status = catalog_load(api->catalog, call->param, true, visit_loaded, call);
        if (status == ST_OK)
            return;
    }
    if (status == ST_FULL)
        status = visit_refused(call, catalog_event(api->catalog, call->param));
    else if (status == ST_OK)
        visit_told(call, place, numbers);
    if (status != ST_OK)
        api_fail_event(call, status);
}

static void visit_told(struct api_call *call, const struct queue_place *place,
                       const struct queue_numbers *numbers)
{
    const struct visit *visit = call->state;
    const struct api *api = call->api;
    if (visit->kind == VISIT_LEAVE && place->state != QUEUE_BANNED) {
        presence_drop(api->presence, call->param, call->buyer);
        api_set_proof(call, COOKIE_TICKET, NULL, 0);
        api_set_proof(call, COOKIE_PASS, NULL, 0);
        answer_status(call, place->state == QUEUE_GONE ? TURN_NOT_IN_QUEUE : TURN_LEFT, numbers);
        return;
    }
    if (place->state != QUEUE_REFUSED)
        presence_put(api->presence, call->param, call->buyer, place->state, loop_now_ms(api->loop));
    if (visit->kind == VISIT_CHECK && place->state != QUEUE_REFUSED && place->state != QUEUE_BANNED)
        metrics_add(METRIC_JOINS, 1);
    if (place->direct)
        metrics_add(METRIC_ADMISSIONS_DIRECT, 1);
    answer_place(call, place, numbers);
}

/* ---- without Redis ---- */

/* Answers a status or heartbeat without Redis: if Redis last answered that the buyer is waiting, and the rank index says
 * that the place is not at the head. The heartbeat is sent to Redis with the next second's batch. False: not answered,
 * Redis must be asked. */
static bool answer_locally(struct api_call *call, const struct event *event)
{
    const struct visit *visit = call->state;
    const struct api *api = call->api;
    const struct queue_proof *proof = &call->proof;
    const struct rank_index *index = catalog_index(api->catalog, call->param);
    struct presence_state state;
    uint64_t position = 0;
    if (visit->kind != VISIT_STATUS && visit->kind != VISIT_HEARTBEAT)
        return false;
    if (!index || proof->ticket_place == 0 || proof->ticket_epoch != index->epoch)
        return false;
    if (index->status == EVENT_CLOSED)
        return false; /* the queue has ended, but presence may still say waiting */
    if (index->restoring || proof->pass_place > 0)
        return false; /* Redis may have lost the place; joining with the proof restores it */
    if (!presence_get(api->presence, call->param, call->buyer, PRESENCE_FRESH_MS,
                      loop_now_ms(api->loop), &state) ||
        state.state != QUEUE_WAITING)
        return false;
    switch (index_position(index, proof->ticket_place, &position)) {
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
    if (state.heartbeat_due)
        queue_heartbeat(api->queue, call->param, call->buyer);
    const struct queue_place place = {
        .state = QUEUE_WAITING, .number = proof->ticket_place, .position = position};
    if (visit->kind == VISIT_HEARTBEAT)
        answer_heartbeat(call, event, &place, &numbers);
    else
        answer_waiting(call, event, &place, &numbers);
    return true;
}

/* ---- the steps of a visit ---- */

/* Asks Redis, or answers that too many do. */
static enum status visit_join(struct api_call *call, const struct event *event)
{
    const struct visit *visit = call->state;
    char network[CLIENT_NETWORK_SIZE];
    const enum queue_join_mode mode = visit->kind == VISIT_CHECK && !visit->inside ? QUEUE_JOIN
                                      : visit->claims || visit->inside             ? QUEUE_CLAIM
                                                                                   : QUEUE_RESUME;
    const struct queue_buyer buyer = {
        call->param, call->buyer, &call->proof,
        visit->kind == VISIT_CHECK ? api_places_network(call, event, network) : NULL};
    const enum status st = queue_join(call->api->queue, mode, &buyer, visit_answered, call);
    return st == ST_FULL ? visit_refused(call, event) : st;
}

/* Too many join. Somebody with a place may have come without their ticket, by another device or a program of the shop: they
 * are asked for once more, as one who has it. */
static enum status visit_refused(struct api_call *call, const struct event *event)
{
    struct visit *visit = call->state;
    struct api *api = call->api;
    struct presence_state state;
    const bool known = presence_get(api->presence, call->param, call->buyer, PRESENCE_FRESH_MS,
                                    loop_now_ms(api->loop), &state) &&
                       state.state != QUEUE_GONE;
    if (event && known && !call->proof.known) {
        call->proof.known = true;
        visit->inside = state.state == QUEUE_ACTIVE || state.state == QUEUE_OFFERED;
        return visit_join(call, event);
    }
    api_load_refuse(call, !known && call->proof.ticket_place == 0);
    return ST_OK;
}

/* Who leaves without being known otherwise, such as a shop's server with the buyer's pass: the pass says who it is. */
static void leave_by_pass(struct api_call *call)
{
    struct visit *visit = call->state;
    const char *text = http_req_header(call->req, "X-Tiketi-Pass");
    struct pass pass;
    if (visit->kind != VISIT_LEAVE || !call->new_guest || !text)
        return;
    const struct identity_proof proof = {
        .text = text, .len = strlen(text), .event = call->param}; /* of any buyer */
    if (identity_read_pass(call->api->keys, &proof, shared_clock_ms(), &pass) != ST_OK)
        return;
    visit->by_pass = true;
    call->guest = false;
    memcpy(call->buyer, pass.buyer, sizeof(call->buyer));
}

/* Runs the visit as soon as the catalog has the event. */
static enum status visit_run(struct api_call *call, const struct event *event)
{
    struct visit *visit = call->state;
    struct queue *queue = call->api->queue;
    if (!api_take_return(call, event))
        return ST_OK;
    leave_by_pass(call);
    if (!api_allows_buyer(call, event))
        return ST_OK;
    const enum status st = api_read_proof(call, call->param);
    if (st != ST_OK)
        return st;
    const bool has_ticket = call->proof.ticket_place > 0;
    if (has_ticket)
        queue_note_place(queue, call->param, call->proof.ticket_place);
    if (visit->kind == VISIT_PAGE)
        visit->kind = has_ticket && call->proof.ticket_epoch == (uint64_t)event->epoch
                          ? VISIT_STATUS
                          : VISIT_CHECK;
    if (visit->kind == VISIT_LEAVE)
        return queue_leave(queue,
                           &(struct queue_buyer){call->param, call->buyer, &call->proof, NULL},
                           visit->by_pass ? QUEUE_RELEASED : QUEUE_LEFT, visit_answered, call);
    return visit->kind != VISIT_CHECK && answer_locally(call, event) ? ST_OK
                                                                     : visit_join(call, event);
}

static void visit_loaded(void *arg, enum status status)
{
    struct api_call *call = arg;
    const struct event *event = catalog_event(call->api->catalog, call->param);
    if (status == ST_OK && !event)
        status = ST_UNAVAILABLE;
    if (status != ST_OK) {
        api_fail_event(call, status);
        return;
    }
    status = visit_run(call, event);
    if (status != ST_OK)
        api_fail(call, status);
}

static enum status visit_start(struct api_call *call, enum visit_kind kind, bool claims)
{
    struct visit *visit = http_req_alloc(call->req, sizeof(*visit));
    visit->kind = kind;
    visit->is_page = kind == VISIT_PAGE;
    visit->claims = claims;
    call->state = visit;
    const struct event *event = catalog_event(call->api->catalog, call->param);
    if (!event)
        return catalog_load(call->api->catalog, call->param, false, visit_loaded, call);
    return visit_run(call, event);
}

static enum status check_start(struct api_call *call)
{
    return api_body_is_empty(call) ? visit_start(call, VISIT_CHECK, true) : ST_OK;
}

enum status api_status(struct api_call *call, bool claims)
{
    return visit_start(call, VISIT_STATUS, claims);
}

static enum status status_start(struct api_call *call)
{
    return api_status(call, false);
}

static enum status heartbeat_start(struct api_call *call)
{
    static const char *const keys[] = {"claim", NULL};
    struct json_error error = {0};
    bool claims = call->api->config->compat_tiketi_node; /* its clients know no claim */
    enum status st = call->body ? json_known_keys(call->body, keys, &error) : ST_OK;
    if (st == ST_OK && call->body)
        st = json_read_bool(call->body, "claim", &claims, &error);
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return visit_start(call, VISIT_HEARTBEAT, claims);
}

enum status api_visit(struct api_call *call, bool join)
{
    return visit_start(call, join ? VISIT_CHECK : VISIT_PAGE, true);
}

enum status api_leave(struct api_call *call)
{
    return api_body_is_empty(call) ? visit_start(call, VISIT_LEAVE, false) : ST_OK;
}

/* ---- public events ---- */

static void answer_list(struct api_call *call, const struct event_list *list)
{
    const char *before = http_req_query(call->req, "before");
    const int64_t limit = *(const int64_t *)call->state;
    struct buf *out = &call->api->text;
    if (!before && limit == LISTING_PAGE) {
        api_answer_shared(call, "application/json", list->version, list->first);
        return;
    }
    const size_t from = listing_find(list, before);
    char etag[64];
    (void)snprintf(etag, sizeof(etag), "\"%.16s-%zu-%d\"", list->version, from, (int)limit);
    if (api_not_modified(call, etag, "no-cache"))
        return;
    buf_reset(out);
    listing_write_page(list, from, (size_t)limit, out);
    api_answer(call, 200, buf_str(out), out->len);
}

static void listed(void *arg, enum status status, const struct event_list *list)
{
    if (status == ST_OK)
        answer_list(arg, list);
    else
        api_fail(arg, status);
}

static enum status list_start(struct api_call *call)
{
    struct json_error error = {0};
    struct listing *listing = call->api->listing;
    const struct event_list *list = listing_fresh(listing);
    int64_t *limit = http_req_alloc(call->req, sizeof(*limit));
    call->state = limit;
    if (!api_read_page(call, api_is_cursor, LISTING_PAGE, limit, &error))
        api_invalid(call, &error);
    else if (list)
        answer_list(call, list);
    else
        listing_get(listing, listed, call);
    return ST_OK;
}

static void event_loaded(void *arg, enum status status)
{
    struct api_call *call = arg;
    const struct event *event = catalog_event(call->api->catalog, call->param);
    if (status == ST_OK && !event)
        status = ST_NOT_FOUND;
    if (status != ST_OK) {
        api_fail(call, status);
        return;
    }
    struct json *body = event_write_public(event);
    api_answer_json(call, 200, body);
    json_free(body);
}

static enum status event_start(struct api_call *call)
{
    return api_with_event(call, call->param, event_loaded);
}

const struct api_route api_queue_routes[] = {
    {"POST", "/api/queue/check/{eventId}", AUTH_BUYER, 0, check_start, API_BODY_JSON},
    {"GET", "/api/queue/status/{eventId}", AUTH_BUYER, 0, status_start, API_BODY_NONE},
    {"POST", "/api/queue/heartbeat/{eventId}", AUTH_BUYER, 0, heartbeat_start, API_BODY_JSON},
    {"POST", "/api/queue/leave/{eventId}", AUTH_BUYER, 0, api_leave, API_BODY_JSON},
    {"GET", "/api/events", AUTH_NONE, 0, list_start, API_BODY_NONE},
    {"GET", "/api/events/{eventId}", AUTH_NONE, 0, event_start, API_BODY_NONE},
    {0},
};
