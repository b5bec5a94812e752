/* SPDX-License-Identifier: MIT */
/*
 * crowd_buyer: one virtual buyer: what they wait for, and how they end.
 *
 *   arrives -> check -> admitted directly --------------------------> inside
 *                    -> queued: socket, join-queue, positions, entry -> inside
 *   waiting -> closes the page -> comes back, and checks
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
#include "crowd/crowd_history.h"
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
    crowd_history_state(buyer, buyer_state_key(state));
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
    if (buyer->out_since_ms == 0) /* no message reaches the buyer from now on */
        buyer->out_since_ms = clock_wall_ms();
    buyer_become(buyer, state);
}

/* ---- asleep ---- */

/* They close the page somewhere between the tail, where they began, and the last quarter of their way: near the head
 * many are let in at once, without having been told another position. */
bool buyer_falls_asleep(struct crowd_buyer *buyer)
{
    const struct crowd_options *options = buyer->crowd->options;
    if (!buyer->sleeper || buyer->lowest == 0)
        return false;
    if (buyer->sleeps_at == 0)
        buyer->sleeps_at =
            buyer->first_position - crowd_random(buyer->crowd, buyer->first_position * 3 / 4);
    if (buyer->lowest > buyer->sleeps_at)
        return false;
    buyer->sleeper = false;
    buyer->crowd->tally.slept++;
    crowd_buyer_stop(buyer);
    crowd_out_of_touch(buyer);
    buyer_become(buyer, BUYER_ASLEEP);
    buyer_wait(buyer, WAITS_TO_WAKE,
               (uint64_t)options->asleep_min_ms +
                   crowd_random(buyer->crowd,
                                (uint64_t)(options->asleep_max_ms - options->asleep_min_ms)));
    return true;
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

/* Notes that `what` failed, and who it was; `before` comes first. */
static void note(const struct crowd_buyer *buyer, struct crowd_notes *notes, const char *before,
                 const char *what, const char *why)
{
    char id[BUYER_ID_MAX + 1], kind[120];
    crowd_buyer_id(buyer, id);
    (void)snprintf(kind, sizeof(kind), "%s%s: %s", before, what, why);
    crowd_notes_add(notes, kind, "%s", id);
}

static void note_error(struct crowd_buyer *buyer, const char *what, const char *why)
{
    struct crowd_tally *tally = &buyer->crowd->tally;
    tally->errors++;
    note(buyer, &tally->failures, "", what, why);
}

void buyer_note_retry(struct crowd_buyer *buyer, const char *what, const char *why)
{
    struct crowd_tally *tally = &buyer->crowd->tally;
    tally->retries++;
    if (buyer->unanswered < UINT16_MAX)
        buyer->unanswered++;
    if (tally->retries_in_a_row < buyer->unanswered)
        tally->retries_in_a_row = buyer->unanswered;
    note(buyer, &tally->retried, buyer->unanswered > 1 ? "once more, " : "", what, why);
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

static void due_waking(struct crowd_buyer *buyer)
{
    buyer_become(buyer, BUYER_WAITING);
    web_ask(buyer, STEP_CHECK);
}

void crowd_buyer_due(void *arg, struct agenda_item *due)
{
    static void (*const on_due[])(struct crowd_buyer * buyer) = {
        [WAITS_NOTHING] = due_nothing,    [WAITS_TO_ARRIVE] = due_arrival,
        [WAITS_FOR_ANSWER] = web_due,     [WAITS_TO_RETRY] = due_retry,
        [WAITS_TO_POLL] = due_poll,       [WAITS_FOR_SOCKET] = due_socket,
        [WAITS_FOR_MESSAGE] = socket_due, [WAITS_TO_RECONNECT] = due_reconnect,
        [WAITS_TO_SETTLE] = due_settling, [WAITS_TO_WAKE] = due_waking,
        [WAITS_THINKING] = visit_due,
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
    /* another die, so that sleeping does not depend on the plan */
    buyer->sleeper = (double)(crowd_mix(die) >> 11) / 9007199254740992.0 < crowd->options->sleep;
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

bool crowd_buyer_consumed(const struct crowd_buyer *buyer)
{
    return buyer->log_departed && !buyer->log_kept;
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
