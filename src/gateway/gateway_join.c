/* SPDX-License-Identifier: MIT */
/*
 * gateway_join: who a subscriber is and where they stand in the queue.
 *
 *   join-queue -> token or guest cookie -> ticket -> audience -> (catalog_load) -> queue_join(RESUME)
 *              -> waiting: queue-position · inside: queue-entry-allowed · neither: not-in-queue
 *   heartbeat with claim -> queue_join(CLAIM) -> an offer: turn-claimed · set aside: queue-position
 *   Redis or the channel came back -> every subscriber resumes, in bounded batches
 *   a heartbeat is answered with parked or gone -> resume; with offered or active -> the entry
 *
 * Why this way: a socket never takes a new place, which only `check` (HTTP) does: it resumes one. The subscriber
 * keeps the place that its ticket proved, so that a Redis that has lost its data gets the place back without the
 * client. A subscriber that got no answer has an old `generation`, and a pass over the audience finds all of these:
 * no failed call needs a retry of its own.
 * Called by: the gateway's other files. Redis gone: sockets stay open and nothing is sent.
 */
#include "gateway/gateway_internal.h"

#include "auth/jwks.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/shared_clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Calls in flight, per gateway. */
#define CALLS_MAX 2000
/* Places that one tick asks for: 18,000 in five seconds. Six such pods leave Redis time for joins. */
#define RESUMED_PER_TICK 400
#define RETRY_MS         1000
/* Shortest time between two heartbeats of a buyer who does not wait that are passed to Redis. */
#define HEARTBEAT_REST_MS 500
/* RFC 6455 leaves 4000..4999 to applications. */
#define CLOSE_UNAUTHORIZED 4401
#define CLOSE_BANNED       4403
#define CLOSE_TRY_AGAIN    1013

/* ---- calls ---- */

static struct gateway_call *call_new(struct gateway *gateway, struct subscriber *subscriber)
{
    struct gateway_call *call = xcalloc(1, sizeof(*call));
    call->gateway = gateway;
    call->subscriber = subscriber;
    subscriber->call = call;
    gateway->calls++;
    return call;
}

/* Frees a call that could not be started. */
static void call_undo(struct gateway_call *call)
{
    call->subscriber->call = NULL;
    call->gateway->calls--;
    free(call);
}

/* Forgets the call under way, so that its answer is ignored. */
static void call_drop(struct subscriber *subscriber)
{
    if (subscriber->call)
        subscriber->call->subscriber = NULL;
    subscriber->call = NULL;
}

/* Frees a call that was answered. Returns its subscriber; NULL: the answer is to be ignored. */
static struct subscriber *call_finish(struct gateway_call *call)
{
    struct gateway *gateway = call->gateway;
    struct subscriber *subscriber = call->subscriber;
    if (subscriber)
        subscriber->call = NULL;
    free(call);
    gateway_call_ended(gateway); /* may free the gateway, but not while it has subscribers */
    return subscriber;
}

/* Redis could not be asked for a place, or has not answered: another pass is needed. */
static void resume_missed(struct audience *audience)
{
    audience->resume_missed = true;
    audience->resumed = 0;
}

/* The place as proof for Redis, since this gateway knows it for certain: as a ticket and, while a claimed turn lasts,
 * also as a pass. */
static struct queue_proof proof_of(const struct subscriber *subscriber)
{
    struct queue_proof proof = {.ticket_place = subscriber->place,
                                .ticket_epoch = subscriber->epoch};
    const struct identity_admission session =
        audience_session(subscriber->audience, subscriber->since_ms);
    if (subscriber->since_ms && !(subscriber->flags & FLAG_OFFERED) &&
        identity_admission_lasts(&session, shared_clock_ms())) {
        proof.pass_place = subscriber->place;
        proof.pass_epoch = subscriber->epoch;
        proof.pass_since_ms = subscriber->since_ms;
    }
    return proof;
}

/* ---- loading the event ---- */

/* join-event came before the event was known. */
static void send_rooms(struct audience *audience)
{
    for (struct subscriber *at = audience->subscribers; at; at = at->next)
        subscriber_send_room(at);
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
        gateway_plan_heartbeats(gateway);
    }
    if (!audience->subscribers) {
        audience_release_if_unused(audience);
    } else if (status == ST_NOT_FOUND) {
        for (struct subscriber *next, *subscriber = audience->subscribers; subscriber;
             subscriber = next) {
            next = subscriber->next;
            subscriber_unassign(gateway, subscriber); /* frees the audience after its last one */
            subscriber_strike(gateway, subscriber, "unknown-event", "There is no such event.");
        }
    } else if (status == ST_OK) {
        send_rooms(audience);
        gateway_resume_some(gateway);
    }
    gateway_call_ended(gateway);
}

/* Loads the event. gateway_resume_some repeats an attempt that fails. */
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

/* ---- where the buyer stands ---- */

/* The buyer has no place, or has lost it. The error is sent only if the client does not know it already. */
static void send_gone(struct subscriber *subscriber, const char *code, const char *message)
{
    const bool unexpected =
        subscriber->state >= SUBSCRIBER_PENDING || (subscriber->flags & FLAG_ANSWER_DUE);
    subscriber->state = SUBSCRIBER_IDLE;
    subscriber_unflag(subscriber, FLAG_ANSWER_DUE | FLAG_ENTRY_AWAITED | FLAG_OFFERED |
                                      FLAG_UNCLAIMED | FLAG_CLAIM_DUE);
    subscriber->since_ms =
        0; /* place and epoch stay, so that a late entry of that place is ignored */
    subscriber->lowest = subscriber->sent_position = 0;
    if (unexpected)
        subscriber_send_error(subscriber->audience->gateway, subscriber, code, message);
}

void subscriber_shut_out(struct gateway *gateway, struct subscriber *subscriber)
{
    subscriber_send_error(gateway, subscriber, "banned",
                          "You are shut out of this event: ask the organizer.");
    subscriber_close(gateway, subscriber, CLOSE_BANNED, "banned");
}

void subscriber_queue_cleared(struct gateway *gateway, struct subscriber *subscriber)
{
    call_drop(subscriber);
    subscriber->state = SUBSCRIBER_IDLE;
    subscriber->flags &= FLAG_GUEST | FLAG_WATCHES_SEATS;
    subscriber_forget_place(subscriber);
    buf_reset(&gateway->text);
    buf_printf(&gateway->text,
               "{\"event\":\"queue-cleared\",\"payload\":{\"eventId\":\"%s\",\"version\":%" PRId64
               ",\"revision\":%" PRId64 ",\"message\":\"The queue was cleared: join again.\"}}",
               subscriber->audience->id, subscriber->audience->status_version,
               subscriber->audience->status_time_ms);
    subscriber_send(subscriber, &gateway->text);
}

static void begin_waiting(struct subscriber *subscriber, const struct queue_place *place,
                          const struct queue_numbers *numbers)
{
    const unsigned unclaimed = place->state == QUEUE_UNCLAIMED ? FLAG_UNCLAIMED : 0;
    const bool was_active = subscriber->state == SUBSCRIBER_ACTIVE;
    const bool changed = (subscriber->flags & FLAG_UNCLAIMED) != unclaimed;
    const bool answer_due = subscriber->flags & FLAG_ANSWER_DUE;
    if (subscriber->epoch != numbers->epoch || place->number > subscriber->place) {
        /* A new place: the positions shown for the old one say nothing about it. */
        subscriber->lowest = subscriber->sent_position = 0;
        subscriber->since_ms = 0;
    }
    /* An offer is no admission to vouch for, and neither is a turn that has ended. */
    if (unclaimed || (subscriber->flags & FLAG_OFFERED))
        subscriber->since_ms = 0;
    subscriber->state = SUBSCRIBER_WAITING;
    subscriber->place = place->number;
    subscriber->epoch = (uint32_t)numbers->epoch;
    subscriber_unflag(subscriber, FLAG_ANSWER_DUE | FLAG_ENTRY_AWAITED | FLAG_ENTRY_SENT |
                                      FLAG_RESERVATION_SENT | FLAG_OFFERED | FLAG_UNCLAIMED);
    subscriber->flags |= (uint16_t)unclaimed;
    if (!answer_due && !was_active && !changed && subscriber->sent_position)
        return; /* the next fan-out sends what changed */
    /* In a restore window many places are missing, so a computed position is much too low. */
    const bool keep = numbers->restoring && subscriber->lowest;
    subscriber_send_position(subscriber, keep ? 0 : place->position, place->claim_from_ms, numbers);
    if (numbers->status != EVENT_OPEN)
        subscriber_send_status(subscriber, numbers->status);
}

/* Drops a return that must not be followed, and says so: the join goes on without it. Until the event is loaded it is not known
 * which are allowed. */
static void check_return(struct gateway *gateway, struct subscriber *subscriber, const char *id)
{
    const struct event *event = catalog_event(gateway->opts.catalog, id);
    struct return_url url;
    if (!subscriber->return_url || !event)
        return;
    const enum return_verdict verdict = return_url_read(
        subscriber->return_url, gateway->opts.config->public_url, event->return_urls, &url);
    if (verdict == RETURN_OK)
        return;
    free(subscriber->return_url);
    subscriber->return_url = NULL;
    subscriber_send_error(gateway, subscriber, "return-refused", return_verdict_detail(verdict));
}

static void join_done(void *arg, enum status status, const struct queue_place *place,
                      const struct queue_numbers *numbers)
{
    struct subscriber *subscriber = call_finish(arg);
    if (!subscriber)
        return;
    struct audience *audience = subscriber->audience;
    struct gateway *gateway = audience->gateway;
    if (status != ST_OK) {
        subscriber->generation = 0;
        resume_missed(audience);
        if (status == ST_NOT_FOUND) { /* the event no longer exists */
            audience->known = false;
            audience_load(audience);
        }
        return;
    }
    const bool unconfirmed = subscriber->flags & FLAG_WAITING_UNCONFIRMED;
    subscriber_unflag(subscriber, FLAG_WAITING_UNCONFIRMED);
    subscriber->generation = gateway->generation;
    subscriber->heartbeat_ms = gateway_now(gateway);
    audience_set_status(audience, numbers->status, (int64_t)numbers->version, numbers->now_ms);
    check_return(gateway, subscriber, audience->id);
    switch (place->state) {
    case QUEUE_WAITING:
    case QUEUE_PARKED:
    case QUEUE_UNCLAIMED:
        /* Channel messages and answers come over two connections, so the message of an admission may overtake an
         * answer that was given before it. Redis is asked again when it answers "waiting" to a buyer admitted at
         * that place, and the second such answer is believed. */
        if (!unconfirmed && place->state != QUEUE_UNCLAIMED &&
            subscriber->state == SUBSCRIBER_ACTIVE && !numbers->restoring &&
            numbers->epoch == subscriber->epoch && place->number <= subscriber->place) {
            subscriber->flags |= FLAG_WAITING_UNCONFIRMED;
            subscriber_resume(gateway, subscriber);
        } else {
            begin_waiting(subscriber, place, numbers);
        }
        break;
    case QUEUE_OFFERED:
    case QUEUE_ACTIVE:
        audience_admit(audience, subscriber->buyer,
                       &(struct admission){.place = place->number,
                                           .epoch = numbers->epoch,
                                           .since_ms = place->since_ms,
                                           .claimed = place->state == QUEUE_ACTIVE,
                                           .pay_until_ms = place->pay_until_ms});
        break;
    case QUEUE_GONE:
    case QUEUE_REFUSED: /* not in answer to a resume, which takes no new place */
        if (subscriber->epoch && subscriber->epoch < numbers->epoch &&
            !(subscriber->flags & FLAG_ANSWER_DUE))
            subscriber_queue_cleared(gateway, subscriber);
        else if (numbers->status == EVENT_CLOSED)
            send_gone(subscriber, "event-closed", "The event is closed.");
        else
            send_gone(subscriber, "not-in-queue", "You hold no place in this queue.");
        break;
    case QUEUE_BANNED:
        subscriber_shut_out(gateway, subscriber);
        return;
    case QUEUE_CLOSED:
        if (numbers->restoring && proof_of(subscriber).pass_place > 0) {
            /* The turn may outlast the closing: it counts once the consumed places are loaded. */
            subscriber->generation = 0;
            resume_missed(audience);
        } else {
            send_gone(subscriber, "event-closed", "The event is closed.");
        }
        break;
    }
    if (subscriber->flags & FLAG_CLAIM_DUE) {
        subscriber_unflag(subscriber, FLAG_CLAIM_DUE);
        subscriber_claim(gateway, subscriber);
    }
}

static void ask(struct gateway *gateway, struct subscriber *subscriber, enum queue_join_mode mode)
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
        resume_missed(audience);
        return;
    }
    const struct queue_proof proof = proof_of(subscriber);
    const struct queue_buyer buyer = {audience->id, subscriber->buyer, &proof, NULL};
    struct gateway_call *call = call_new(gateway, subscriber);
    if (queue_join(gateway->opts.queue, mode, &buyer, join_done, call) == ST_OK)
        return;
    call_undo(call);
    resume_missed(audience);
}

void subscriber_resume(struct gateway *gateway, struct subscriber *subscriber)
{
    ask(gateway, subscriber, QUEUE_RESUME);
}

void subscriber_claim(struct gateway *gateway, struct subscriber *subscriber)
{
    if (subscriber->call)
        subscriber->flags |= FLAG_CLAIM_DUE; /* its answer may be what is to be claimed */
    else if (subscriber->flags & (FLAG_OFFERED | FLAG_UNCLAIMED))
        ask(gateway, subscriber, QUEUE_CLAIM);
    else
        subscriber_heartbeat(gateway, subscriber);
}

/* ---- after an outage ---- */

/* Continues the pass over the audience, or begins one if it is due. *left: calls that this tick may still make. */
static void resume_audience(struct gateway *gateway, struct audience *audience, unsigned *left)
{
    const uint64_t now = loop_now_ms(gateway->opts.loop);
    if (!audience->resuming) {
        if (audience->resumed == gateway->generation ||
            (audience->resume_ms && now - audience->resume_ms < RETRY_MS))
            return;
        audience->resuming = true;
        audience->resume_missed = false;
        audience->resume_ms = now;
        audience->resume_at = audience->subscribers_last; /* the oldest may be inside by now */
    }
    while (audience->resume_at && *left && gateway->calls < CALLS_MAX) {
        struct subscriber *subscriber = audience->resume_at;
        audience->resume_at = subscriber->prev;
        if (subscriber->state < SUBSCRIBER_PENDING || subscriber->call ||
            subscriber->generation == gateway->generation)
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
    const uint64_t now = loop_now_ms(gateway->opts.loop);
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

const char *gateway_read_event_id(struct gateway *gateway, struct subscriber *subscriber,
                                  const struct json *payload)
{
    const char *id = NULL;
    if (json_read_str(payload, "eventId", EVENT_ID_MAX, &id, NULL) == ST_OK && id &&
        token_is_event_id(id, strlen(id)))
        return id;
    subscriber_send_error(gateway, subscriber, "invalid",
                          "payload.eventId must be the id of an event.");
    return NULL;
}

const char *gateway_optional_text(const struct json *payload, const char *key)
{
    const struct json *value = json_get(payload, key);
    return !value || json_is_null(value) ? "" : json_str_value(value);
}

enum status gateway_identify(struct gateway *gateway, const struct subscriber *subscriber,
                             const char *token, char *ret_buyer, bool *ret_guest,
                             const char **ret_refusal)
{
    struct user user;
    const enum status st = token && *token
                               ? identity_read_user(gateway->opts.keys, token, strlen(token),
                                                    shared_clock_ms(), &user, ret_buyer)
                               : ST_NOT_FOUND;
    if (st == ST_OK) {
        *ret_guest = false;
        return ST_OK;
    }
    if (st == ST_BUSY && jwks_renews(gateway->opts.jwks))
        return ST_BUSY;
    if (token && !*token && subscriber->buyer) {
        (void)snprintf(ret_buyer, BUYER_ID_MAX + 1, "%s", subscriber->buyer);
        *ret_guest = subscriber->flags & FLAG_GUEST;
        return ST_OK;
    }
    *ret_refusal = token && *token ? token_refusal(gateway->opts.keys)
                                   : "A valid token or guest cookie is needed.";
    return ST_UNAUTHORIZED;
}

/* Identifies the buyer. False: the client was sent an error and the socket is closing. */
static bool identify(struct gateway *gateway, struct subscriber *subscriber, const char *token,
                     char *ret_buyer, bool *ret_guest)
{
    const char *refusal;
    switch (gateway_identify(gateway, subscriber, token, ret_buyer, ret_guest, &refusal)) {
    case ST_OK:
        return true;
    case ST_BUSY:
        subscriber_send_error(gateway, subscriber, "unavailable",
                              "The keys of the shop are being fetched: try again.");
        subscriber_close(gateway, subscriber, CLOSE_TRY_AGAIN, "keys");
        return false;
    default:
        subscriber_send_error(gateway, subscriber, "unauthorized", refusal);
        subscriber_close(gateway, subscriber, CLOSE_UNAUTHORIZED, "unauthorized");
        return false;
    }
}

/* Gives the subscriber the place of a verified ticket. */
static void take_ticket(struct subscriber *subscriber, const struct ticket *ticket)
{
    if (!ticket->place)
        return;
    if (subscriber->place != ticket->place || subscriber->epoch != ticket->epoch) {
        subscriber_forget_place(subscriber);
        subscriber->place = ticket->place;
        subscriber->epoch = (uint32_t)ticket->epoch;
        subscriber_unflag(subscriber, FLAG_ENTRY_SENT | FLAG_RESERVATION_SENT);
    }
    if (ticket->lowest && (!subscriber->lowest || ticket->lowest < subscriber->lowest))
        subscriber->lowest = ticket->lowest < UINT32_MAX ? (uint32_t)ticket->lowest : UINT32_MAX;
    queue_note_place(subscriber->audience->gateway->opts.queue, subscriber->audience->id,
                     ticket->place);
}

/* Reads payload.return: where the buyer goes next, as this tab was asked for it. */
static void take_return(struct gateway *gateway, struct subscriber *subscriber, const char *id,
                        const struct json *payload)
{
    const char *text = gateway_optional_text(payload, "return"),
               *own = gateway->opts.config->public_url;
    struct return_url url;
    free(subscriber->return_url);
    subscriber->return_url = NULL;
    if (text && *text == '\0')
        return;
    const enum return_verdict verdict = text ? return_url_parse(text, own, &url) : RETURN_NOT_A_URL;
    if (verdict != RETURN_OK) {
        subscriber_send_error(gateway, subscriber, "return-refused",
                              return_verdict_detail(verdict));
        return;
    }
    subscriber->return_url = xstrdup(url.text);
    check_return(gateway, subscriber, id);
}

void gateway_join_queue(struct gateway *gateway, struct subscriber *subscriber,
                        const struct json *payload)
{
    const char *id = gateway_read_event_id(gateway, subscriber, payload);
    char buyer[BUYER_ID_MAX + 1];
    bool guest;
    if (!id ||
        !identify(gateway, subscriber, gateway_optional_text(payload, "token"), buyer, &guest))
        return;
    const char *text = gateway_optional_text(payload, "ticket");
    struct ticket ticket = {.place = 0};
    enum status st = text ? ST_OK : ST_UNAUTHORIZED;
    if (text && *text)
        st = identity_read_ticket(
            gateway->opts.keys, NULL,
            &(struct identity_proof){
                .text = text, .len = strlen(text), .event = id, .buyer = buyer},
            &ticket);
    if (st != ST_OK) {
        const bool not_yours = st == ST_DENIED;
        subscriber_send_error(gateway, subscriber, not_yours ? "not-yours" : "unauthorized",
                              not_yours ? "The ticket is of another buyer or event."
                                        : "The ticket is not valid.");
        return;
    }

    take_return(gateway, subscriber, id, payload);
    call_drop(subscriber);
    subscriber_enter(gateway, subscriber, id);
    if (!subscriber->buyer || strcmp(subscriber->buyer, buyer) != 0) {
        /* The socket has another buyer now, who must not inherit anything of the first one. */
        subscriber_forget_place(subscriber);
        subscriber->flags &= FLAG_WATCHES_SEATS;
        subscriber_set_buyer(subscriber, buyer);
    }
    subscriber->flags |= FLAG_ANSWER_DUE | (guest ? FLAG_GUEST : 0);
    take_ticket(subscriber, &ticket);
    subscriber->state = SUBSCRIBER_PENDING;
    if (!subscriber->audience->known && catalog_event(gateway->opts.catalog, id)) {
        subscriber->audience->known = true;
        gateway_plan_heartbeats(gateway);
    }
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
        subscriber->generation = 0; /* this call may have replaced a resume: ask again */
        resume_missed(subscriber->audience);
        return;
    }
    struct subscriber *tab = audience_first_of_buyer(subscriber->audience, subscriber->buyer);
    for (; tab; tab = audience_next_of_buyer(tab)) {
        call_drop(tab);
        if (place->number > tab->place)
            /* this place is consumed now, so a late entry for it is ignored */
            tab->place = place->number;
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
    const struct queue_buyer buyer = {subscriber->audience->id, subscriber->buyer, &proof, NULL};
    call_drop(subscriber);
    struct gateway_call *call = call_new(gateway, subscriber);
    if (queue_leave(gateway->opts.queue, &buyer, QUEUE_LEFT, leave_done, call) == ST_OK)
        return;
    call_undo(call);
    subscriber_send_error(gateway, subscriber, "unavailable", "Not done: try again.");
}

/* ---- watch-seats ---- */

bool subscriber_look_on(struct gateway *gateway, struct subscriber *subscriber, const char *id)
{
    if (subscriber->state >= SUBSCRIBER_PENDING && strcmp(subscriber->audience->id, id) != 0) {
        subscriber_send_error(gateway, subscriber, "other-event",
                              "This socket waits for another event: open a second one.");
        return false;
    }
    subscriber_enter(gateway, subscriber, id);
    if (!subscriber->audience->known)
        audience_load(subscriber->audience);
    return true;
}

void gateway_watch_seats(struct gateway *gateway, struct subscriber *subscriber,
                         const struct json *payload)
{
    const char *id = gateway_read_event_id(gateway, subscriber, payload);
    if (!id || !subscriber_look_on(gateway, subscriber, id))
        return;
    subscriber_watch_seats(subscriber);
    subscriber_start_seats(subscriber);
}

/* ---- heartbeats and the answers to them ---- */

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

/* A heartbeat was answered with offered or active. The subscriber may not know yet that its buyer was admitted, or has
 * claimed on another way. */
static void heard_inside(struct subscriber *subscriber, const struct queue_place *place)
{
    const bool claimed = place->state == QUEUE_ACTIVE;
    struct audience *audience = subscriber->audience;
    struct gateway *gateway = audience->gateway;
    const struct event *event = catalog_event(gateway->opts.catalog, audience->id);
    const bool auto_hold = event && event->auto_hold > 0 && event->seats > 0;
    const uint64_t epoch = subscriber->epoch ? subscriber->epoch
                           : event           ? (uint64_t)event->epoch
                                             : 0;
    const bool known = subscriber->state == SUBSCRIBER_ACTIVE && subscriber->place == place->number;
    if (known && !(subscriber->flags & FLAG_OFFERED) == claimed &&
        (claimed || subscriber->since_ms == place->since_ms))
        return;
    if (auto_hold && !known && !(subscriber->flags & FLAG_ENTRY_AWAITED)) {
        /* The ledger is about to publish the entry with its reservation. If it has not come by the next answer, the
         * entry is sent without it. */
        subscriber->flags |= FLAG_ENTRY_AWAITED;
        queue_heartbeat(gateway->opts.queue, audience->id, subscriber->buyer);
    } else if (epoch) {
        audience_admit(audience, subscriber->buyer,
                       &(struct admission){.place = place->number,
                                           .epoch = epoch,
                                           .since_ms = place->since_ms,
                                           .claimed = claimed,
                                           .pay_until_ms = place->pay_until_ms});
    }
}

/* A heartbeat was answered with unclaimed: the buyer was set aside. */
static void heard_unclaimed(struct subscriber *subscriber, const struct queue_place *place,
                            const struct queue_numbers *numbers)
{
    if (subscriber->state != SUBSCRIBER_WAITING || !(subscriber->flags & FLAG_UNCLAIMED))
        begin_waiting(subscriber, place, numbers);
}

void audience_shut_out(struct audience *audience, const char *buyer)
{
    struct gateway *gateway = audience->gateway;
    struct subscriber *subscriber = audience_first_of_buyer(audience, buyer);
    for (struct subscriber *next; subscriber; subscriber = next) {
        next = audience_next_of_buyer(subscriber);
        subscriber_shut_out(gateway, subscriber); /* the audience may be gone after its last one */
    }
}

void gateway_on_heartbeat(struct gateway *gateway, const char *event, const char *buyer,
                          const struct queue_place *place, const struct queue_numbers *numbers)
{
    struct audience *audience = audience_find(gateway, event);
    if (!audience)
        return;
    const struct rank_index *index = catalog_index(gateway->opts.catalog, audience->id);
    if (place->state == QUEUE_BANNED) {
        audience_shut_out(audience, buyer);
        return;
    }
    struct subscriber *subscriber = audience_first_of_buyer(audience, buyer);
    for (; subscriber; subscriber = audience_next_of_buyer(subscriber)) {
        if (subscriber->state < SUBSCRIBER_PENDING)
            continue;
        if (place->state == QUEUE_ACTIVE || place->state == QUEUE_OFFERED)
            heard_inside(subscriber, place);
        else if (place->state == QUEUE_UNCLAIMED)
            heard_unclaimed(subscriber, place, numbers);
        else if (place->state != QUEUE_WAITING || subscriber->state != SUBSCRIBER_WAITING ||
                 (subscriber->flags & FLAG_UNCLAIMED) ||
                 (index && index->count && subscriber->place < index->samples[0].place))
            subscriber_resume(gateway, subscriber); /* gone, parked, or waiting at another place */
    }
}
