/* SPDX-License-Identifier: MIT */
/*
 * gateway_join: who a visitor is and where he stands.
 *
 *   join-queue -> token or guest cookie -> ticket -> room -> (catalog_load) -> queue_join(RESUME)
 *              -> waiting: queue-position · inside: queue-entry-allowed · neither: not-in-queue
 *   Redis or the subscription came back -> everybody who is here resumes, in bounded batches
 *   `seen` says parked or gone          -> resumes; says inside -> the entry
 *
 * Why this way: a socket never takes a new place (that is `check`, by HTTP); it resumes one, with
 * the place its ticket proved kept in the visitor, so that an emptied Redis gets it back without
 * any word from the client. A visitor whose answer is missing has an old `generation`: one pass
 * over the room finds them all, so that no failure needs a retry of its own.
 * Called by: the gateway's other files. With Redis gone the sockets stay and are told nothing.
 */
#include "gateway/gateway_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_MAX          2000 /* questions of this gateway in flight */
#define RESUMED_PER_PULSE  400  /* 18,000 in five seconds: six such pods leave Redis to the joins */
#define RETRY_MS           1000
#define SIGN_REST_MS       500  /* signs of life of who is inside are not told more often */
#define CLOSE_UNAUTHORIZED 4401 /* 4000..4999 are the application's own (RFC 6455) */

/* ---- questions ---- */

static struct gateway_call *call_new(struct gateway *gateway, struct visitor *visitor)
{
    struct gateway_call *call = xcalloc(1, sizeof(*call));
    call->gateway = gateway;
    call->visitor = visitor;
    visitor->call = call;
    gateway->calls++;
    return call;
}

static void call_drop(struct visitor *visitor)
{
    if (visitor->call)
        visitor->call->visitor = NULL;
    visitor->call = NULL;
}

/* The question could not even be asked. */
static void call_undo(struct gateway_call *call)
{
    call->visitor->call = NULL;
    call->gateway->calls--;
    free(call);
}

/* The visitor of an answered question; NULL: nobody waits for the answer. */
static struct visitor *call_finish(struct gateway_call *call)
{
    struct gateway *gateway = call->gateway;
    struct visitor *visitor = call->visitor;
    if (visitor)
        visitor->call = NULL;
    free(call);
    gateway_call_ended(gateway); /* frees the gateway only when no visitor is left */
    return visitor;
}

/* Somebody's place is not known: the pulse asks again. */
static void missed(struct room *room)
{
    room->resume_missed = true;
    room->resumed = 0;
}

static struct queue_proof proof_of(const struct visitor *visitor)
{
    struct queue_proof proof = {.ticket_place = visitor->place, .ticket_epoch = visitor->epoch};
    const struct gateway *gateway = visitor->room->gateway;
    const struct event *event = catalog_event(gateway->opts.catalog, visitor->room->id);
    int64_t life_ms = event && event->session_limit_ms > 0 ? event->session_limit_ms
                                                           : gateway->opts.config->pass_ttl_ms;
    if (visitor->since_ms && visitor->since_ms + life_ms > clock_wall_ms()) {
        proof.pass_place = visitor->place;
        proof.pass_epoch = visitor->epoch;
        proof.pass_since_ms = visitor->since_ms;
    }
    return proof;
}

/* ---- loading the event ---- */

static void refuse_all(struct gateway *gateway, struct room *room)
{
    for (struct visitor *next, *visitor = room->visitors; visitor; visitor = next) {
        next = visitor->next;
        visitor_to_fresh(gateway, visitor); /* with the last one the room is gone */
        visitor_strike(gateway, visitor, "unknown-event", "There is no such event.");
    }
}

static void room_loaded(void *arg, enum status status)
{
    struct room *room = arg;
    struct gateway *gateway = room->gateway;
    room->loading = false;
    room->load_ms = loop_now_ms(gateway->opts.loop);
    if (status == ST_OK) {
        room->known = true;
        room->load_fresh = false;
        room->resume_ms = 0;
        room->resumed = 0;
    }
    if (!room->visitors)
        room_settle(gateway, room);
    else if (status == ST_NOT_FOUND)
        refuse_all(gateway, room);
    else if (status == ST_OK)
        gateway_resume_some(gateway);
    gateway_call_ended(gateway);
}

static void room_load(struct room *room)
{
    struct gateway *gateway = room->gateway;
    if (room->loading)
        return;
    room->load_ms = loop_now_ms(gateway->opts.loop);
    if (catalog_load(gateway->opts.catalog, room->id, room->load_fresh, room_loaded, room) != ST_OK)
        return;
    room->loading = true;
    gateway->calls++;
}

/* ---- where he stands ---- */

static void tell_gone(struct visitor *visitor, const char *code, const char *message)
{
    struct gateway *gateway = visitor->room->gateway;
    bool expected = visitor->state >= VISITOR_PENDING || (visitor->flags & FLAG_ASKED);
    visitor->state = VISITOR_IDLE;
    visitor_unflag(visitor, FLAG_ASKED | FLAG_SEEN_ACTIVE);
    visitor->since_ms = 0;
    visitor->lowest = visitor->pushed = 0;
    if (expected)
        visitor_error(gateway, visitor, code, message);
}

void visitor_cleared(struct gateway *gateway, struct visitor *visitor)
{
    struct buf *text = &gateway->text;
    call_drop(visitor);
    visitor->state = VISITOR_IDLE;
    visitor->flags &= FLAG_GUEST | FLAG_WATCH;
    visitor->place = 0;
    visitor->since_ms = 0;
    visitor->epoch = visitor->lowest = visitor->pushed = 0;
    buf_reset(text);
    buf_printf(text, "{\"event\":\"queue-cleared\",\"payload\":{\"eventId\":\"%s\"}}",
               visitor->room->id);
    if (ws_send(visitor->conn, buf_str(text), text->len) != ST_OK)
        log_debug("a reader is too slow");
}

/* He waits at this place. A later one, or one of another epoch, begins a new story. */
static void now_waiting(struct visitor *visitor, const struct queue_place *place,
                        const struct queue_numbers *numbers)
{
    struct gateway *gateway = visitor->room->gateway;
    bool was_active = visitor->state == VISITOR_ACTIVE;
    bool asked = visitor->flags & FLAG_ASKED;
    if (visitor->epoch != numbers->epoch || place->place > visitor->place) {
        visitor->lowest = visitor->pushed = 0;
        visitor->since_ms = 0;
    }
    visitor->state = VISITOR_WAITING;
    visitor->place = place->place;
    visitor->epoch = (uint32_t)numbers->epoch;
    visitor_unflag(visitor,
                   FLAG_ASKED | FLAG_SEEN_ACTIVE | FLAG_TOLD_ENTRY | FLAG_TOLD_RESERVATION);
    if (!asked && !was_active && visitor->pushed)
        return; /* the next walk tells him what changed */
    /* While places are coming back, a computed position is far too good. */
    bool keep = numbers->restoring && visitor->lowest;
    visitor_position(gateway, visitor, keep ? 0 : place->position, numbers->queue_size);
    if (numbers->status != EVENT_OPEN)
        visitor_status(gateway, visitor, numbers->status);
}

/* Two connections to Redis are not read in the order in which it wrote to them: the news that he is inside may
 * come before an answer from when he still waited. One that says so twice is believed. */
static bool is_doubtful(const struct visitor *visitor, const struct queue_place *place,
                        const struct queue_numbers *numbers)
{
    return visitor->state == VISITOR_ACTIVE && !numbers->restoring &&
           numbers->epoch == visitor->epoch && place->place <= visitor->place;
}

static void place_learned(struct visitor *visitor, const struct queue_place *place,
                          const struct queue_numbers *numbers)
{
    struct room *room = visitor->room;
    const bool doubted = visitor->flags & FLAG_DOUBTED;
    visitor_unflag(visitor, FLAG_DOUBTED);
    visitor->generation = room->gateway->generation;
    visitor->sign_ms = gateway_now(room->gateway);
    room_status_news(room, numbers->status, (int64_t)numbers->version, numbers->now_ms);
    switch (place->state) {
    case QUEUE_WAITING:
    case QUEUE_PARKED:
        if (doubted || !is_doubtful(visitor, place, numbers)) {
            now_waiting(visitor, place, numbers);
            break;
        }
        visitor->flags |= FLAG_DOUBTED;
        visitor_resume(room->gateway, visitor);
        break;
    case QUEUE_ACTIVE:
        room_admit(room, visitor->buyer,
                   &(struct admission){.place = place->place,
                                       .epoch = numbers->epoch,
                                       .since_ms = place->since_ms});
        break;
    case QUEUE_GONE:
        if (visitor->epoch && visitor->epoch < numbers->epoch && !(visitor->flags & FLAG_ASKED)) {
            visitor_cleared(room->gateway, visitor);
            break;
        }
        if (numbers->status != EVENT_CLOSED) {
            tell_gone(visitor, "not-in-queue", "You hold no place in this queue.");
            break;
        }
        /* fall through */
    case QUEUE_CLOSED:
        tell_gone(visitor, "event-closed", "The sale is closed.");
        break;
    }
}

static void join_done(void *arg, enum status status, const struct queue_place *place,
                      const struct queue_numbers *numbers)
{
    struct visitor *visitor = call_finish(arg);
    if (!visitor)
        return;
    if (status == ST_OK) {
        place_learned(visitor, place, numbers);
        return;
    }
    visitor->generation = 0;
    missed(visitor->room);
    if (status == ST_NOT_FOUND) {
        visitor->room->known = false; /* Redis has lost the event */
        visitor->room->load_fresh = true;
        room_load(visitor->room);
    }
}

void visitor_resume(struct gateway *gateway, struct visitor *visitor)
{
    struct room *room = visitor->room;
    if (visitor->call)
        return;
    const struct event *event = catalog_event(gateway->opts.catalog, room->id);
    if (event && !event->allow_guests && (visitor->flags & FLAG_GUEST)) {
        visitor->generation = gateway->generation;
        tell_gone(visitor, "login-required", "This event needs you to be logged in.");
        return;
    }
    visitor->generation = 0;
    if (!gateway->redis_up || !room->known || gateway->calls >= CALLS_MAX) {
        missed(room);
        return;
    }
    struct queue_proof proof = proof_of(visitor);
    struct gateway_call *call = call_new(gateway, visitor);
    if (queue_join(gateway->opts.queue, QUEUE_RESUME, room->id, visitor->buyer, &proof, join_done,
                   call) == ST_OK)
        return;
    call_undo(call);
    missed(room);
}

/* ---- after an outage ---- */

static bool needs_answer(const struct gateway *gateway, const struct visitor *visitor)
{
    return visitor->state >= VISITOR_PENDING && visitor->generation != gateway->generation &&
           !visitor->call;
}

static void resume_room(struct gateway *gateway, struct room *room, unsigned *left)
{
    uint64_t now = loop_now_ms(gateway->opts.loop);
    if (!room->resuming) {
        if (room->resumed == gateway->generation ||
            (room->resume_ms && now - room->resume_ms < RETRY_MS))
            return;
        room->resuming = true;
        room->resume_missed = false;
        room->resume_ms = now;
        room->resume_at = room->visitors_last; /* who came first may be inside by now */
    }
    while (room->resume_at && *left && gateway->calls < CALLS_MAX) {
        struct visitor *visitor = room->resume_at;
        room->resume_at = visitor->prev;
        if (!needs_answer(gateway, visitor))
            continue;
        (*left)--;
        visitor_resume(gateway, visitor);
    }
    if (room->resume_at)
        return;
    room->resuming = false;
    room->resumed = room->resume_missed ? 0 : gateway->generation;
}

void gateway_resume_some(struct gateway *gateway)
{
    uint64_t now = loop_now_ms(gateway->opts.loop);
    unsigned left = RESUMED_PER_PULSE;
    if (!gateway->redis_up)
        return;
    for (struct room *room = gateway->rooms; room; room = room->next) {
        if (room->known)
            resume_room(gateway, room, &left);
        else if (!room->load_ms || now - room->load_ms >= RETRY_MS)
            room_load(room);
    }
}

/* ---- join-queue ---- */

static bool read_payload(struct gateway *gateway, struct visitor *visitor,
                         const struct json *payload, const char **ret_event)
{
    struct json_error error = {{0}, {0}};
    const char *event = NULL;
    if (json_read_str(payload, "eventId", EVENT_ID_MAX, &event, &error) != ST_OK || !event ||
        !token_is_event_id(event, strlen(event))) {
        visitor_error(gateway, visitor, "invalid", "payload.eventId must name an event.");
        return false;
    }
    *ret_event = event;
    return true;
}

/* "" when absent; NULL when it is no text at all. */
static const char *optional_text(const struct json *payload, const char *key)
{
    const struct json *value = json_get(payload, key);
    return !value || json_is_null(value) ? "" : json_str_value(value);
}

/* Who is it? False: told. */
static bool identify(struct gateway *gateway, struct visitor *visitor, const char *token,
                     char *ret_buyer, bool *ret_guest)
{
    struct user user;
    if (token && *token &&
        token_read_user(gateway->opts.keys, token, strlen(token), clock_wall_ms(), &user) ==
            ST_OK) {
        (void)snprintf(ret_buyer, BUYER_ID_MAX + 1, "u:%s", user.sub);
        *ret_guest = false;
        return true;
    }
    if (token && !*token && visitor->buyer) {
        (void)snprintf(ret_buyer, BUYER_ID_MAX + 1, "%s", visitor->buyer);
        *ret_guest = visitor->flags & FLAG_GUEST;
        return true;
    }
    visitor_error(gateway, visitor, "unauthorized", "A valid token or guest cookie is needed.");
    visitor_close(gateway, visitor, CLOSE_UNAUTHORIZED, "unauthorized");
    return false;
}

/* A ticket that is sent must hold, and name this buyer and event. False: told. */
static bool read_ticket(struct gateway *gateway, struct visitor *visitor, const char *text,
                        const char *event, const char *buyer, struct ticket *ret_ticket)
{
    if (text && !*text)
        return true;
    if (!text || ticket_read(gateway->opts.keys, text, strlen(text), ret_ticket) != ST_OK) {
        visitor_error(gateway, visitor, "unauthorized", "The ticket is not valid.");
        return false;
    }
    if (strcmp(ret_ticket->event, event) == 0 && strcmp(ret_ticket->buyer, buyer) == 0)
        return true;
    visitor_error(gateway, visitor, "not-yours", "The ticket is of another buyer or event.");
    return false;
}

static void take_ticket(struct visitor *visitor, const struct ticket *ticket)
{
    struct gateway *gateway = visitor->room->gateway;
    if (!ticket->place)
        return;
    if (visitor->place != ticket->place || visitor->epoch != ticket->epoch) {
        visitor->place = ticket->place;
        visitor->epoch = (uint32_t)ticket->epoch;
        visitor->since_ms = 0;
        visitor->lowest = visitor->pushed = 0;
        visitor_unflag(visitor, FLAG_TOLD_ENTRY | FLAG_TOLD_RESERVATION);
    }
    if (ticket->lowest && (!visitor->lowest || ticket->lowest < visitor->lowest))
        visitor->lowest = ticket->lowest < UINT32_MAX ? (uint32_t)ticket->lowest : UINT32_MAX;
    queue_note_place(gateway->opts.queue, visitor->room->id, ticket->place);
}

/* Another buyer on the same socket: what is known of the first one is not his. */
static void take_buyer(struct visitor *visitor, const char *buyer, bool guest)
{
    if (!visitor->buyer || strcmp(visitor->buyer, buyer) != 0) {
        visitor->place = 0;
        visitor->since_ms = 0;
        visitor->epoch = visitor->lowest = visitor->pushed = 0;
        visitor->flags &= FLAG_WATCH;
    }
    visitor_set_buyer(visitor, buyer);
    visitor->flags |= FLAG_ASKED | (guest ? FLAG_GUEST : 0);
}

void gateway_join_queue(struct gateway *gateway, struct visitor *visitor,
                        const struct json *payload)
{
    const char *event;
    char buyer[BUYER_ID_MAX + 1];
    bool guest;
    struct ticket ticket = {.place = 0};
    if (!read_payload(gateway, visitor, payload, &event) ||
        !identify(gateway, visitor, optional_text(payload, "token"), buyer, &guest) ||
        !read_ticket(gateway, visitor, optional_text(payload, "ticket"), event, buyer, &ticket))
        return;
    call_drop(visitor);
    visitor_enter(gateway, visitor, event);
    take_buyer(visitor, buyer, guest);
    take_ticket(visitor, &ticket);
    visitor->state = VISITOR_PENDING;
    if (!visitor->room->known && catalog_event(gateway->opts.catalog, event))
        visitor->room->known = true;
    if (!visitor->room->known)
        room_load(visitor->room);
    visitor_resume(gateway, visitor);
}

/* ---- leave-queue ---- */

static void leave_done(void *arg, enum status status, const struct queue_place *place,
                       const struct queue_numbers *numbers)
{
    struct visitor *visitor = call_finish(arg);
    (void)numbers;
    if (!visitor)
        return;
    struct gateway *gateway = visitor->room->gateway;
    if (status != ST_OK) {
        visitor_error(gateway, visitor, "unavailable", "Not done: try again.");
        visitor->generation = 0; /* a question dropped for this one is asked again */
        missed(visitor->room);
        return;
    }
    struct visitor *tab = room_first(visitor->room, visitor->buyer);
    for (; tab; tab = room_next(tab)) {
        call_drop(tab);
        if (place->place > tab->place)
            tab->place = place->place; /* consumed: no late entry of it is passed on */
        tab->generation = gateway->generation;
        tell_gone(tab, "not-in-queue", "You have left the queue.");
    }
}

void gateway_leave_queue(struct gateway *gateway, struct visitor *visitor,
                         const struct json *payload)
{
    (void)payload;
    if (visitor->state < VISITOR_PENDING) {
        visitor_error(gateway, visitor, "not-in-queue", "You hold no place in this queue.");
        return;
    }
    struct queue_proof proof = proof_of(visitor);
    call_drop(visitor);
    struct gateway_call *call = call_new(gateway, visitor);
    if (queue_leave(gateway->opts.queue, visitor->room->id, visitor->buyer, &proof, QUEUE_LEFT,
                    leave_done, call) == ST_OK)
        return;
    call_undo(call);
    visitor_error(gateway, visitor, "unavailable", "Not done: try again.");
}

/* ---- watch-seats ---- */

void gateway_watch_seats(struct gateway *gateway, struct visitor *visitor,
                         const struct json *payload)
{
    const char *event;
    if (!read_payload(gateway, visitor, payload, &event))
        return;
    if (visitor->state >= VISITOR_PENDING && strcmp(visitor->room->id, event) != 0) {
        visitor_error(gateway, visitor, "other-event", "This socket waits for another event.");
        return;
    }
    visitor_enter(gateway, visitor, event);
    visitor_watch(visitor);
    visitor_seats_start(visitor);
    if (!visitor->room->known)
        room_load(visitor->room);
}

/* ---- signs of life ---- */

void visitor_alive(struct gateway *gateway, struct visitor *visitor)
{
    const uint32_t now = gateway_now(gateway);
    const uint32_t rest_ms =
        visitor->state == VISITOR_WAITING ? gateway->sign_rest_ms : SIGN_REST_MS;
    if (visitor->state < VISITOR_PENDING || (visitor->sign_ms && now - visitor->sign_ms < rest_ms))
        return;
    visitor->sign_ms = now;
    queue_seen(gateway->opts.queue, visitor->room->id, visitor->buyer);
}

/* Auto-hold: the ledger publishes the entry together with its reservation in a moment. */
static bool hold_may_come(struct room *room)
{
    const struct event *event = catalog_event(room->gateway->opts.catalog, room->id);
    return event && event->auto_hold > 0 && event->seats > 0;
}

static void seen_active(struct room *room, struct visitor *visitor, const struct queue_place *place)
{
    const struct event *event = catalog_event(room->gateway->opts.catalog, room->id);
    bool told = visitor->state == VISITOR_ACTIVE && visitor->place == place->place;
    if (told)
        return;
    if (hold_may_come(room) && !(visitor->flags & FLAG_SEEN_ACTIVE)) {
        visitor->flags |= FLAG_SEEN_ACTIVE;
        queue_seen(room->gateway->opts.queue, room->id, visitor->buyer); /* look again */
        return;
    }
    uint64_t epoch = visitor->epoch ? visitor->epoch : event ? (uint64_t)event->epoch : 0;
    if (!epoch)
        return;
    room_admit(
        room, visitor->buyer,
        &(struct admission){.place = place->place, .epoch = epoch, .since_ms = place->since_ms});
}

/* Those behind him are at the head: he waits, but no longer at this place. */
static bool passed_by(const struct room *room, const struct visitor *visitor)
{
    const struct rank_index *index = catalog_index(room->gateway->opts.catalog, room->id);
    return index && index->count && visitor->place < index->samples[0].place;
}

static void seen_one(struct room *room, struct visitor *visitor, const struct queue_place *place)
{
    struct gateway *gateway = room->gateway;
    if (visitor->state < VISITOR_PENDING)
        return;
    switch (place->state) {
    case QUEUE_ACTIVE:
        seen_active(room, visitor, place);
        break;
    case QUEUE_WAITING:
        if (visitor->state != VISITOR_WAITING || passed_by(room, visitor))
            visitor_resume(gateway, visitor); /* back in the queue: the full answer */
        break;
    default:
        visitor_resume(gateway, visitor);
        break;
    }
}

void gateway_on_seen(struct gateway *gateway, const char *event, const char *buyer,
                     const struct queue_place *place)
{
    struct room *room = room_find(gateway, event);
    if (!room)
        return;
    struct visitor *visitor = room_first(room, buyer);
    for (; visitor; visitor = room_next(visitor))
        seen_one(room, visitor, place);
}
