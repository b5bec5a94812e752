/* SPDX-License-Identifier: MIT */
/*
 * gateway_join: who a subscriber is and where he stands.
 *
 *   join-queue -> token or guest cookie -> ticket -> audience -> (catalog_load) -> queue_join(RESUME)
 *              -> waiting: queue-position · inside: queue-entry-allowed · neither: not-in-queue
 *   Redis or the subscription came back -> everybody who is here resumes, in bounded batches
 *   `seen` says parked or gone          -> resumes; says inside -> the entry
 *
 * Why this way: a socket never takes a new place (that is `check`, by HTTP); it resumes one, with
 * the place its ticket proved kept in the subscriber, so that an emptied Redis gets it back without
 * any word from the client. A subscriber whose answer is missing has an old `generation`: one pass
 * over the audience finds them all, so that no failure needs a retry of its own.
 * Called by: the gateway's other files. With Redis gone the sockets stay and are told nothing.
 */
#include "gateway/gateway_internal.h"

#include "auth/identity.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_MAX          2000 /* questions of this gateway in flight */
#define RESUMED_PER_TICK   400  /* 18,000 in five seconds: six such pods leave Redis to the joins */
#define RETRY_MS           1000
#define HEARTBEAT_REST_MS  500  /* signs of life of who is inside are not told more often */
#define CLOSE_UNAUTHORIZED 4401 /* 4000..4999 are the application's own (RFC 6455) */

/* ---- questions ---- */

static struct gateway_call *call_new(struct gateway *gateway, struct subscriber *subscriber)
{
    struct gateway_call *call = xcalloc(1, sizeof(*call));
    call->gateway = gateway;
    call->subscriber = subscriber;
    subscriber->call = call;
    gateway->calls++;
    return call;
}

static void call_drop(struct subscriber *subscriber)
{
    if (subscriber->call)
        subscriber->call->subscriber = NULL;
    subscriber->call = NULL;
}

/* The question could not even be asked. */
static void call_undo(struct gateway_call *call)
{
    call->subscriber->call = NULL;
    call->gateway->calls--;
    free(call);
}

/* The subscriber of an answered question; NULL: nobody waits for the answer. */
static struct subscriber *call_finish(struct gateway_call *call)
{
    struct gateway *gateway = call->gateway;
    struct subscriber *subscriber = call->subscriber;
    if (subscriber)
        subscriber->call = NULL;
    free(call);
    gateway_call_ended(gateway); /* frees the gateway only when no subscriber is left */
    return subscriber;
}

/* Somebody's place is not known: the tick asks again. */
static void missed(struct audience *audience)
{
    audience->resume_missed = true;
    audience->resumed = 0;
}

static struct queue_proof proof_of(const struct subscriber *subscriber)
{
    struct queue_proof proof = {.ticket_place = subscriber->place,
                                .ticket_epoch = subscriber->epoch};
    const struct gateway *gateway = subscriber->audience->gateway;
    const struct event *event = catalog_event(gateway->opts.catalog, subscriber->audience->id);
    const struct identity_admission admission = {.since_ms = subscriber->since_ms,
                                                 .session_limit_ms =
                                                     event ? event->session_limit_ms : 0,
                                                 .pass_ttl_ms = gateway->opts.config->pass_ttl_ms};
    if (subscriber->since_ms && identity_admission_lasts(&admission, clock_wall_ms())) {
        proof.pass_place = subscriber->place;
        proof.pass_epoch = subscriber->epoch;
        proof.pass_since_ms = subscriber->since_ms;
    }
    return proof;
}

/* ---- loading the event ---- */

static void refuse_all(struct gateway *gateway, struct audience *audience)
{
    for (struct subscriber *next, *subscriber = audience->subscribers; subscriber;
         subscriber = next) {
        next = subscriber->next;
        subscriber_unassign(gateway, subscriber); /* with the last one the audience is gone */
        subscriber_strike(gateway, subscriber, "unknown-event", "There is no such event.");
    }
}

static void audience_loaded(void *arg, enum status status)
{
    struct audience *audience = arg;
    struct gateway *gateway = audience->gateway;
    audience->loading = false;
    audience->load_ms = loop_now_ms(gateway->opts.loop);
    if (status == ST_OK) {
        audience->known = true;
        audience->resume_ms = 0;
        audience->resumed = 0;
    }
    if (!audience->subscribers)
        audience_release_if_unused(gateway, audience);
    else if (status == ST_NOT_FOUND)
        refuse_all(gateway, audience);
    else if (status == ST_OK)
        gateway_resume_some(gateway);
    gateway_call_ended(gateway);
}

static void audience_load(struct audience *audience)
{
    struct gateway *gateway = audience->gateway;
    if (audience->loading)
        return;
    audience->load_ms = loop_now_ms(gateway->opts.loop);
    if (catalog_load(gateway->opts.catalog, audience->id, false, audience_loaded, audience) !=
        ST_OK)
        return;
    audience->loading = true;
    gateway->calls++;
}

/* ---- where he stands ---- */

static void send_gone(struct subscriber *subscriber, const char *code, const char *message)
{
    struct gateway *gateway = subscriber->audience->gateway;
    bool expected =
        subscriber->state >= SUBSCRIBER_PENDING || (subscriber->flags & FLAG_ANSWER_DUE);
    subscriber->state = SUBSCRIBER_IDLE;
    subscriber_unflag(subscriber, FLAG_ANSWER_DUE | FLAG_SEEN_ACTIVE);
    subscriber->since_ms = 0;
    subscriber->lowest = subscriber->sent_position = 0;
    if (expected)
        subscriber_send_error(gateway, subscriber, code, message);
}

void subscriber_queue_cleared(struct gateway *gateway, struct subscriber *subscriber)
{
    struct buf *text = &gateway->text;
    call_drop(subscriber);
    subscriber->state = SUBSCRIBER_IDLE;
    subscriber->flags &= FLAG_GUEST | FLAG_WATCHES_SEATS;
    subscriber->place = 0;
    subscriber->since_ms = 0;
    subscriber->epoch = subscriber->lowest = subscriber->sent_position = 0;
    buf_reset(text);
    buf_printf(text, "{\"event\":\"queue-cleared\",\"payload\":{\"eventId\":\"%s\"}}",
               subscriber->audience->id);
    if (ws_send(subscriber->conn, buf_str(text), text->len) != ST_OK)
        log_debug("a reader is too slow");
}

/* He waits at this place. A later one, or one of another epoch, begins a new story. */
static void now_waiting(struct subscriber *subscriber, const struct queue_place *place,
                        const struct queue_numbers *numbers)
{
    struct gateway *gateway = subscriber->audience->gateway;
    bool was_active = subscriber->state == SUBSCRIBER_ACTIVE;
    bool asked = subscriber->flags & FLAG_ANSWER_DUE;
    if (subscriber->epoch != numbers->epoch || place->place > subscriber->place) {
        subscriber->lowest = subscriber->sent_position = 0;
        subscriber->since_ms = 0;
    }
    subscriber->state = SUBSCRIBER_WAITING;
    subscriber->place = place->place;
    subscriber->epoch = (uint32_t)numbers->epoch;
    subscriber_unflag(subscriber,
                      FLAG_ANSWER_DUE | FLAG_SEEN_ACTIVE | FLAG_ENTRY_SENT | FLAG_RESERVATION_SENT);
    if (!asked && !was_active && subscriber->sent_position)
        return; /* the next fan-out tells him what changed */
    /* While places are coming back, a computed position is far too good. */
    bool keep = numbers->restoring && subscriber->lowest;
    subscriber_send_position(gateway, subscriber, keep ? 0 : place->position, numbers->queue_size);
    if (numbers->status != EVENT_OPEN)
        subscriber_send_status(gateway, subscriber, numbers->status);
}

/* Two connections to Redis are not read in the order in which it wrote to them: the news that he is inside may
 * come before an answer from when he still waited. One that says so twice is believed. */
static bool may_be_stale(const struct subscriber *subscriber, const struct queue_place *place,
                         const struct queue_numbers *numbers)
{
    return subscriber->state == SUBSCRIBER_ACTIVE && !numbers->restoring &&
           numbers->epoch == subscriber->epoch && place->place <= subscriber->place;
}

static void place_learned(struct subscriber *subscriber, const struct queue_place *place,
                          const struct queue_numbers *numbers)
{
    struct audience *audience = subscriber->audience;
    const bool unconfirmed = subscriber->flags & FLAG_WAITING_UNCONFIRMED;
    subscriber_unflag(subscriber, FLAG_WAITING_UNCONFIRMED);
    subscriber->generation = audience->gateway->generation;
    subscriber->heartbeat_ms = gateway_now(audience->gateway);
    audience_set_status(audience, numbers->status, (int64_t)numbers->version, numbers->now_ms);
    switch (place->state) {
    case QUEUE_WAITING:
    case QUEUE_PARKED:
        if (unconfirmed || !may_be_stale(subscriber, place, numbers)) {
            now_waiting(subscriber, place, numbers);
            break;
        }
        subscriber->flags |= FLAG_WAITING_UNCONFIRMED;
        subscriber_resume(audience->gateway, subscriber);
        break;
    case QUEUE_ACTIVE:
        audience_admit(audience, subscriber->buyer,
                       &(struct admission){.place = place->place,
                                           .epoch = numbers->epoch,
                                           .since_ms = place->since_ms});
        break;
    case QUEUE_GONE:
        if (subscriber->epoch && subscriber->epoch < numbers->epoch &&
            !(subscriber->flags & FLAG_ANSWER_DUE)) {
            subscriber_queue_cleared(audience->gateway, subscriber);
            break;
        }
        if (numbers->status != EVENT_CLOSED) {
            send_gone(subscriber, "not-in-queue", "You hold no place in this queue.");
            break;
        }
        /* fall through */
    case QUEUE_CLOSED:
        send_gone(subscriber, "event-closed", "The sale is closed.");
        break;
    }
}

static void join_done(void *arg, enum status status, const struct queue_place *place,
                      const struct queue_numbers *numbers)
{
    struct subscriber *subscriber = call_finish(arg);
    if (!subscriber)
        return;
    if (status == ST_OK) {
        place_learned(subscriber, place, numbers);
        return;
    }
    subscriber->generation = 0;
    missed(subscriber->audience);
    if (status == ST_NOT_FOUND) { /* there is no such event any more */
        subscriber->audience->known = false;
        audience_load(subscriber->audience);
    }
}

void subscriber_resume(struct gateway *gateway, struct subscriber *subscriber)
{
    struct audience *audience = subscriber->audience;
    if (subscriber->call)
        return;
    const struct event *event = catalog_event(gateway->opts.catalog, audience->id);
    if (event && !event->allow_guests && (subscriber->flags & FLAG_GUEST)) {
        subscriber->generation = gateway->generation;
        send_gone(subscriber, "login-required", "This event needs you to be logged in.");
        return;
    }
    subscriber->generation = 0;
    if (!gateway->redis_up || !audience->known || gateway->calls >= CALLS_MAX) {
        missed(audience);
        return;
    }
    const struct queue_proof proof = proof_of(subscriber);
    const struct queue_buyer buyer = {audience->id, subscriber->buyer, &proof};
    struct gateway_call *call = call_new(gateway, subscriber);
    if (queue_join(gateway->opts.queue, QUEUE_RESUME, &buyer, join_done, call) == ST_OK)
        return;
    call_undo(call);
    missed(audience);
}

/* ---- after an outage ---- */

static bool needs_answer(const struct gateway *gateway, const struct subscriber *subscriber)
{
    return subscriber->state >= SUBSCRIBER_PENDING &&
           subscriber->generation != gateway->generation && !subscriber->call;
}

static void resume_audience(struct gateway *gateway, struct audience *audience, unsigned *left)
{
    uint64_t now = loop_now_ms(gateway->opts.loop);
    if (!audience->resuming) {
        if (audience->resumed == gateway->generation ||
            (audience->resume_ms && now - audience->resume_ms < RETRY_MS))
            return;
        audience->resuming = true;
        audience->resume_missed = false;
        audience->resume_ms = now;
        audience->resume_at = audience->subscribers_last; /* who came first may be inside by now */
    }
    while (audience->resume_at && *left && gateway->calls < CALLS_MAX) {
        struct subscriber *subscriber = audience->resume_at;
        audience->resume_at = subscriber->prev;
        if (!needs_answer(gateway, subscriber))
            continue;
        (*left)--;
        subscriber_resume(gateway, subscriber);
    }
    if (audience->resume_at)
        return;
    audience->resuming = false;
    audience->resumed = audience->resume_missed ? 0 : gateway->generation;
}

void gateway_resume_some(struct gateway *gateway)
{
    uint64_t now = loop_now_ms(gateway->opts.loop);
    unsigned left = RESUMED_PER_TICK;
    if (!gateway->redis_up)
        return;
    for (struct audience *audience = gateway->audiences; audience; audience = audience->next) {
        if (audience->known)
            resume_audience(gateway, audience, &left);
        else if (!audience->load_ms || now - audience->load_ms >= RETRY_MS)
            audience_load(audience);
    }
}

/* ---- join-queue ---- */

static bool read_payload(struct gateway *gateway, struct subscriber *subscriber,
                         const struct json *payload, const char **ret_event)
{
    struct json_error error = {{0}, {0}};
    const char *event = NULL;
    if (json_read_str(payload, "eventId", EVENT_ID_MAX, &event, &error) != ST_OK || !event ||
        !token_is_event_id(event, strlen(event))) {
        subscriber_send_error(gateway, subscriber, "invalid",
                              "payload.eventId must name an event.");
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
static bool identify(struct gateway *gateway, struct subscriber *subscriber, const char *token,
                     char *ret_buyer, bool *ret_guest)
{
    struct user user;
    if (token && *token &&
        identity_read_user(gateway->opts.keys, token, strlen(token), clock_wall_ms(), &user,
                           ret_buyer) == ST_OK) {
        *ret_guest = false;
        return true;
    }
    if (token && !*token && subscriber->buyer) {
        (void)snprintf(ret_buyer, BUYER_ID_MAX + 1, "%s", subscriber->buyer);
        *ret_guest = subscriber->flags & FLAG_GUEST;
        return true;
    }
    subscriber_send_error(gateway, subscriber, "unauthorized",
                          "A valid token or guest cookie is needed.");
    subscriber_close(gateway, subscriber, CLOSE_UNAUTHORIZED, "unauthorized");
    return false;
}

/* A ticket that is sent must hold, and name this buyer and event. False: told. */
static bool read_ticket(struct gateway *gateway, struct subscriber *subscriber, const char *text,
                        const char *event, const char *buyer, struct ticket *ret_ticket)
{
    if (text && !*text)
        return true;
    const struct identity_proof proof = {
        .text = text, .len = text ? strlen(text) : 0, .event = event, .buyer = buyer};
    const enum status st =
        text ? identity_read_ticket(gateway->opts.keys, NULL, &proof, ret_ticket) : ST_UNAUTHORIZED;
    if (st == ST_OK)
        return true;
    if (st == ST_DENIED)
        subscriber_send_error(gateway, subscriber, "not-yours",
                              "The ticket is of another buyer or event.");
    else
        subscriber_send_error(gateway, subscriber, "unauthorized", "The ticket is not valid.");
    return false;
}

static void take_ticket(struct subscriber *subscriber, const struct ticket *ticket)
{
    struct gateway *gateway = subscriber->audience->gateway;
    if (!ticket->place)
        return;
    if (subscriber->place != ticket->place || subscriber->epoch != ticket->epoch) {
        subscriber->place = ticket->place;
        subscriber->epoch = (uint32_t)ticket->epoch;
        subscriber->since_ms = 0;
        subscriber->lowest = subscriber->sent_position = 0;
        subscriber_unflag(subscriber, FLAG_ENTRY_SENT | FLAG_RESERVATION_SENT);
    }
    if (ticket->lowest && (!subscriber->lowest || ticket->lowest < subscriber->lowest))
        subscriber->lowest = ticket->lowest < UINT32_MAX ? (uint32_t)ticket->lowest : UINT32_MAX;
    queue_note_place(gateway->opts.queue, subscriber->audience->id, ticket->place);
}

/* Another buyer on the same socket: what is known of the first one is not his. */
static void take_buyer(struct subscriber *subscriber, const char *buyer, bool guest)
{
    if (!subscriber->buyer || strcmp(subscriber->buyer, buyer) != 0) {
        subscriber->place = 0;
        subscriber->since_ms = 0;
        subscriber->epoch = subscriber->lowest = subscriber->sent_position = 0;
        subscriber->flags &= FLAG_WATCHES_SEATS;
    }
    subscriber_set_buyer(subscriber, buyer);
    subscriber->flags |= FLAG_ANSWER_DUE | (guest ? FLAG_GUEST : 0);
}

void gateway_join_queue(struct gateway *gateway, struct subscriber *subscriber,
                        const struct json *payload)
{
    const char *event;
    char buyer[BUYER_ID_MAX + 1];
    bool guest;
    struct ticket ticket = {.place = 0};
    if (!read_payload(gateway, subscriber, payload, &event) ||
        !identify(gateway, subscriber, optional_text(payload, "token"), buyer, &guest) ||
        !read_ticket(gateway, subscriber, optional_text(payload, "ticket"), event, buyer, &ticket))
        return;
    call_drop(subscriber);
    subscriber_enter(gateway, subscriber, event);
    take_buyer(subscriber, buyer, guest);
    take_ticket(subscriber, &ticket);
    subscriber->state = SUBSCRIBER_PENDING;
    if (!subscriber->audience->known && catalog_event(gateway->opts.catalog, event))
        subscriber->audience->known = true;
    if (!subscriber->audience->known)
        audience_load(subscriber->audience);
    subscriber_resume(gateway, subscriber);
}

/* ---- leave-queue ---- */

static void leave_done(void *arg, enum status status, const struct queue_place *place,
                       const struct queue_numbers *numbers)
{
    struct subscriber *subscriber = call_finish(arg);
    (void)numbers;
    if (!subscriber)
        return;
    struct gateway *gateway = subscriber->audience->gateway;
    if (status != ST_OK) {
        subscriber_send_error(gateway, subscriber, "unavailable", "Not done: try again.");
        subscriber->generation = 0; /* a question dropped for this one is asked again */
        missed(subscriber->audience);
        return;
    }
    struct subscriber *tab = audience_first(subscriber->audience, subscriber->buyer);
    for (; tab; tab = audience_next(tab)) {
        call_drop(tab);
        if (place->place > tab->place)
            tab->place = place->place; /* consumed: no late entry of it is passed on */
        tab->generation = gateway->generation;
        send_gone(tab, "not-in-queue", "You have left the queue.");
    }
}

void gateway_leave_queue(struct gateway *gateway, struct subscriber *subscriber,
                         const struct json *payload)
{
    (void)payload;
    if (subscriber->state < SUBSCRIBER_PENDING) {
        subscriber_send_error(gateway, subscriber, "not-in-queue",
                              "You hold no place in this queue.");
        return;
    }
    const struct queue_proof proof = proof_of(subscriber);
    const struct queue_buyer buyer = {subscriber->audience->id, subscriber->buyer, &proof};
    call_drop(subscriber);
    struct gateway_call *call = call_new(gateway, subscriber);
    if (queue_leave(gateway->opts.queue, &buyer, QUEUE_LEFT, leave_done, call) == ST_OK)
        return;
    call_undo(call);
    subscriber_send_error(gateway, subscriber, "unavailable", "Not done: try again.");
}

/* ---- watch-seats ---- */

void gateway_watch_seats(struct gateway *gateway, struct subscriber *subscriber,
                         const struct json *payload)
{
    const char *event;
    if (!read_payload(gateway, subscriber, payload, &event))
        return;
    if (subscriber->state >= SUBSCRIBER_PENDING && strcmp(subscriber->audience->id, event) != 0) {
        subscriber_send_error(gateway, subscriber, "other-event",
                              "This socket waits for another event.");
        return;
    }
    subscriber_enter(gateway, subscriber, event);
    subscriber_watch_seats(subscriber);
    subscriber_start_seats(subscriber);
    if (!subscriber->audience->known)
        audience_load(subscriber->audience);
}

/* ---- signs of life ---- */

void subscriber_heartbeat(struct gateway *gateway, struct subscriber *subscriber)
{
    const uint32_t now = gateway_now(gateway);
    if (subscriber->state < SUBSCRIBER_PENDING)
        return;
    const uint32_t rest_ms = subscriber->state == SUBSCRIBER_WAITING
                                 ? subscriber->audience->heartbeat_rest_ms
                                 : HEARTBEAT_REST_MS;
    if (subscriber->heartbeat_ms && now - subscriber->heartbeat_ms < rest_ms)
        return;
    subscriber->heartbeat_ms = now;
    queue_heartbeat(gateway->opts.queue, subscriber->audience->id, subscriber->buyer);
}

/* Auto-hold: the ledger publishes the entry together with its reservation in a moment. */
static bool hold_may_come(struct audience *audience)
{
    const struct event *event = catalog_event(audience->gateway->opts.catalog, audience->id);
    return event && event->auto_hold > 0 && event->seats > 0;
}

static void seen_active(struct audience *audience, struct subscriber *subscriber,
                        const struct queue_place *place)
{
    const struct event *event = catalog_event(audience->gateway->opts.catalog, audience->id);
    bool told = subscriber->state == SUBSCRIBER_ACTIVE && subscriber->place == place->place;
    if (told)
        return;
    if (hold_may_come(audience) && !(subscriber->flags & FLAG_SEEN_ACTIVE)) {
        subscriber->flags |= FLAG_SEEN_ACTIVE;
        queue_heartbeat(audience->gateway->opts.queue, audience->id,
                        subscriber->buyer); /* look again */
        return;
    }
    uint64_t epoch = subscriber->epoch ? subscriber->epoch : event ? (uint64_t)event->epoch : 0;
    if (!epoch)
        return;
    audience_admit(
        audience, subscriber->buyer,
        &(struct admission){.place = place->place, .epoch = epoch, .since_ms = place->since_ms});
}

/* Those behind him are at the head: he waits, but no longer at this place. */
static bool passed_by(const struct audience *audience, const struct subscriber *subscriber)
{
    const struct rank_index *index = catalog_index(audience->gateway->opts.catalog, audience->id);
    return index && index->count && subscriber->place < index->samples[0].place;
}

static void seen_one(struct audience *audience, struct subscriber *subscriber,
                     const struct queue_place *place)
{
    struct gateway *gateway = audience->gateway;
    if (subscriber->state < SUBSCRIBER_PENDING)
        return;
    switch (place->state) {
    case QUEUE_ACTIVE:
        seen_active(audience, subscriber, place);
        break;
    case QUEUE_WAITING:
        if (subscriber->state != SUBSCRIBER_WAITING || passed_by(audience, subscriber))
            subscriber_resume(gateway, subscriber); /* back in the queue: the full answer */
        break;
    default:
        subscriber_resume(gateway, subscriber);
        break;
    }
}

void gateway_on_seen(struct gateway *gateway, const char *event, const char *buyer,
                     const struct queue_place *place)
{
    struct audience *audience = audience_find(gateway, event);
    if (!audience)
        return;
    struct subscriber *subscriber = audience_first(audience, buyer);
    for (; subscriber; subscriber = audience_next(subscriber))
        seen_one(audience, subscriber, place);
}
