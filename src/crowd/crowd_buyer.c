/* SPDX-License-Identifier: MIT */
/*
 * crowd_buyer: one virtual buyer: what they wait for, and how they end.
 *
 *   arrives -> check -> admitted directly --------------------------> inside
 *                    -> queued: socket, join-queue, positions, entry -> inside
 *   inside  -> thinks -> finds their reservation, or makes one -> begins the payment
 *           -> pays at the provider -> asks until the seats are theirs: bought
 *           -> thinks -> leaves
 *           -> goes silent -> evicted
 *   A lost socket is opened again with the last ticket. A request without an answer, or answered "later", is
 *   repeated. Sold out and closed end the buyer.
 *
 * Why this way: a buyer waits for exactly one thing at a time and so has one timer. They behave as a browser would
 * and trust nothing: what they were shown is kept and compared. A buyer with a place never asks for a new one, so
 * that a lost place is noticed. crowd_web, crowd_socket and crowd_visit have what they do by HTTP, on the socket and
 * inside; this file has their states and what the others share.
 * Called by: crowd, crowd_audit. Owns: the buyer's item on the agenda, and the texts they keep.
 */
#include "crowd/crowd_buyer_internal.h"

#include "base/clock.h"
#include "crowd/crowd_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_MS     100 /* first retry; doubled each time, up to: */
#define BACKOFF_MAX_MS 3000

/* ---- small things ---- */

bool crowd_done(const struct crowd *crowd)
{
    uint32_t ended = 0;
    for (int i = 0; i < BUYER_STATE_COUNT; i++)
        ended += buyer_state_ends((enum buyer_state)i) ? crowd->tally.states[i] : 0;
    return ended == crowd->count;
}

uint64_t crowd_random(struct crowd *crowd, uint64_t max)
{
    return crowd_mix(crowd->random += 0x9e3779b97f4a7c15ULL) % (max + 1);
}

void buyer_wait(struct crowd_buyer *buyer, enum crowd_waits what, uint64_t at_most_ms)
{
    buyer->waits = what;
    agenda_set(buyer->crowd->agenda, &buyer->due, at_most_ms);
}

void buyer_become(struct crowd_buyer *buyer, enum buyer_state state)
{
    buyer->crowd->tally.states[buyer->state]--;
    buyer->crowd->tally.states[state]++;
    buyer->state = state;
}

void buyer_hang_up(struct dial **conn)
{
    dial_close(*conn);
    *conn = NULL;
}

const char *crowd_span_text(struct crowd *crowd, struct crowd_span span)
{
    buf_reset(&crowd->text);
    buf_add(&crowd->text, span.text, span.len);
    return buf_str(&crowd->text);
}

bool crowd_word_is(const struct json *body, const char *key, const char *word)
{
    const char *found = json_str(body, key);
    return found && strcmp(found, word) == 0;
}

void buyer_end(struct crowd_buyer *buyer, enum buyer_state state)
{
    crowd_buyer_stop(buyer);
    if (buyer->out_since_ms == 0) /* a later admission reaches nobody */
        buyer->out_since_ms = clock_wall_ms();
    buyer_become(buyer, state);
}

/* ---- failures ---- */

uint64_t buyer_backoff(struct crowd_buyer *buyer, int64_t at_least_ms)
{
    uint64_t most = BACKOFF_MAX_MS;
    if (buyer->attempts < 5)
        most = BACKOFF_MS << buyer->attempts;
    if (buyer->attempts < UINT16_MAX)
        buyer->attempts++;
    return (at_least_ms > 0 ? (uint64_t)at_least_ms : 0) + crowd_random(buyer->crowd, most);
}

static void note_error(struct crowd_buyer *buyer, const char *what, const char *why)
{
    char id[BUYER_ID_MAX + 1], kind[120];
    crowd_buyer_id(buyer, id);
    (void)snprintf(kind, sizeof(kind), "%s: %s", what, why);
    buyer->crowd->tally.errors++;
    crowd_notes_add(&buyer->crowd->tally.failures, kind, "%s", id);
}

void buyer_note_retry(struct crowd_buyer *buyer, const char *what, const char *why)
{
    buyer->crowd->tally.retries++;
    if (buyer->crowd->options->strict)
        note_error(buyer, what, why);
}

void buyer_fail(struct crowd_buyer *buyer, const char *what, const char *why)
{
    note_error(buyer, what, why);
    buyer_end(buyer, BUYER_FAILED);
}

/* ---- what is due ---- */

static void due_nothing(struct crowd_buyer *buyer)
{
    (void)buyer;
}

static void due_arrival(struct crowd_buyer *buyer)
{
    buyer_become(buyer, BUYER_ARRIVING);
    crowd_out_of_touch(buyer); /* they may have a place before the answer comes */
    web_ask(buyer, STEP_CHECK);
}

static void due_retry(struct crowd_buyer *buyer)
{
    web_ask(buyer, buyer->step);
}

static void due_poll(struct crowd_buyer *buyer)
{
    web_ask(buyer, STEP_STATUS);
}

static void due_socket(struct crowd_buyer *buyer)
{
    socket_reconnect(buyer, "no answer in time", 0);
}

/* Every third time by HTTP: a gateway may be gone while the rest works. */
static void due_reconnect(struct crowd_buyer *buyer)
{
    if (buyer->attempts % 3 == 0)
        web_ask(buyer, STEP_STATUS);
    else
        socket_open(buyer);
}

static void due_settling(struct crowd_buyer *buyer)
{
    socket_open(buyer);
}

void crowd_buyer_due(void *arg, struct agenda_item *due)
{
    static void (*const on_due[])(struct crowd_buyer * buyer) = {
        [WAITS_NOTHING] = due_nothing,    [WAITS_TO_ARRIVE] = due_arrival,
        [WAITS_FOR_ANSWER] = web_due,     [WAITS_TO_RETRY] = due_retry,
        [WAITS_TO_POLL] = due_poll,       [WAITS_FOR_SOCKET] = due_socket,
        [WAITS_FOR_MESSAGE] = socket_due, [WAITS_TO_RECONNECT] = due_reconnect,
        [WAITS_TO_SETTLE] = due_settling, [WAITS_THINKING] = visit_due,
    };
    struct crowd_buyer *buyer =
        (struct crowd_buyer *)((char *)due - offsetof(struct crowd_buyer, due));
    (void)arg;
    on_due[buyer->waits](buyer);
}

/* ---- from arrival to end ---- */

void crowd_buyer_init(struct crowd *crowd, uint32_t index)
{
    struct crowd_buyer *buyer = &crowd->buyers[index];
    char id[BUYER_ID_MAX + 1];
    const uint64_t die =
        crowd_mix((uint64_t)crowd->options->seed * 0x9e3779b97f4a7c15ULL + crowd->first + index);
    const double share = (double)(die >> 11) / 9007199254740992.0;
    buyer->crowd = crowd;
    buyer->plan = PLAN_SILENT;
    if (share < crowd->options->buy)
        buyer->plan = PLAN_BUY;
    else if (share < crowd->options->buy + crowd->options->abandon)
        buyer->plan = PLAN_LEAVE;
    crowd->tally.states[BUYER_ABSENT]++;
    if (!crowd->users)
        return;
    crowd_buyer_id(buyer, id);
    table_add(&crowd->roster, &buyer->node, table_hash(&crowd->roster, id, strlen(id), "", 0));
}

void crowd_buyer_arrive(struct crowd_buyer *buyer, uint64_t delay_ms)
{
    buyer_wait(buyer, WAITS_TO_ARRIVE, delay_ms);
}

void crowd_buyer_departed(struct crowd_buyer *buyer)
{
    buyer->log_departed = true;
    if (buyer->state == BUYER_SILENT)
        buyer_end(buyer, BUYER_EVICTED);
}

void crowd_buyer_stop(struct crowd_buyer *buyer)
{
    buyer_hang_up(&buyer->http);
    buyer_hang_up(&buyer->socket);
    buyer->waits = WAITS_NOTHING;
    agenda_drop(buyer->crowd->agenda, &buyer->due);
}

void crowd_buyer_clear(struct crowd_buyer *buyer)
{
    free(buyer->guest);
    free(buyer->ticket);
    free(buyer->pass);
    free(buyer->reservation);
    free(buyer->order);
    free(buyer->reference);
}
