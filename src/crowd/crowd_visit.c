/* SPDX-License-Identifier: MIT */
/*
 * crowd_visit: a virtual buyer's time inside.
 *
 *   offered -> claims
 *   begins -> thinks, with heartbeats -> leaves
 *                                     -> finds their reservation, or makes one -> begins the payment
 *                                        -> pays at the provider -> asks until the seats are theirs
 *          -> goes silent
 *
 * Why this way: that the provider took the money does not make a seat theirs; only the service says that. So the
 * buyer asks until the service says sold, or until the provider says that the money goes back. Called by: crowd_web,
 * crowd_socket, crowd_buyer. Owns nothing.
 */
#include "crowd/crowd_buyer_internal.h"

#include "base/clock.h"
#include "crowd/crowd_memory.h"

#include <stdlib.h>
#include <string.h>

#define HEARTBEAT_MS 20000 /* while thinking */
#define OUTCOME_MS   300   /* between two questions whether the payment has arrived */

void visit_think(struct crowd_buyer *buyer)
{
    const uint64_t now = loop_now_ms(buyer->crowd->loop);
    const uint64_t left = buyer->think_until_ms > now ? buyer->think_until_ms - now : 0;
    buyer_wait(buyer, WAITS_THINKING, left < HEARTBEAT_MS ? left : HEARTBEAT_MS);
}

static void act(struct crowd_buyer *buyer)
{
    if (buyer->plan == PLAN_LEAVE)
        web_ask(buyer, STEP_LEAVE);
    else
        web_ask(buyer, buyer->reservation ? STEP_PAY : STEP_LIST);
}

void visit_due(struct crowd_buyer *buyer)
{
    if (buyer->think_until_ms > loop_now_ms(buyer->crowd->loop))
        web_ask(buyer, STEP_HEARTBEAT);
    else
        act(buyer);
}

/* The turn is only offered: claims it as a page that is looked at does, on the socket if there is one. */
static void claim(struct crowd_buyer *buyer)
{
    if (buyer->socket)
        socket_claim(buyer);
    else
        web_ask(buyer, STEP_CHECK);
}

void visit_begin(struct crowd_buyer *buyer, const struct json *body)
{
    const struct crowd_options *options = buyer->crowd->options;
    const struct json *reservation = json_get(body, "reservation");
    const bool again = buyer->state == BUYER_INSIDE;
    crowd_in_touch(buyer);
    if (!again)
        buyer->entry_ms = clock_wall_ms();
    if (!json_bool(body, "claimed", true)) {
        claim(buyer);
        return;
    }
    crowd_keep_text(&buyer->pass, json_str(body, "pass"));
    if (reservation && json_is_object(reservation))
        (void)crowd_take_reservation(buyer, reservation);
    buyer_hang_up(&buyer->socket);
    if (again) { /* a refusal inside made them ask again: go on */
        act(buyer);
        return;
    }
    buyer->attempts = 0;
    buyer_become(buyer, BUYER_INSIDE);
    if (buyer->plan == PLAN_SILENT) {
        buyer_hang_up(&buyer->http);
        crowd_out_of_touch(buyer);
        buyer->waits = WAITS_NOTHING;
        agenda_drop(buyer->crowd->agenda, &buyer->due);
        buyer_become(buyer,
                     options->no_check || buyer->log_departed ? BUYER_EVICTED : BUYER_SILENT);
        return;
    }
    buyer->think_until_ms =
        loop_now_ms(buyer->crowd->loop) + (uint64_t)options->think_min_ms +
        crowd_random(buyer->crowd, (uint64_t)(options->think_max_ms - options->think_min_ms));
    visit_think(buyer);
}

/* ---- the reservation ---- */

void visit_answered_list(struct crowd_buyer *buyer, const struct json *body)
{
    const struct json *list = json_is_array(body) ? body : json_get(body, "reservations");
    for (size_t i = 0; i < json_array_len(list); i++) {
        if (!crowd_take_reservation(buyer, json_array_at(list, i)))
            continue;
        web_ask(buyer, STEP_PAY);
        return;
    }
    web_ask(buyer, STEP_RESERVE);
}

void visit_answered_reserve(struct crowd_buyer *buyer, const struct json *body)
{
    if (crowd_take_reservation(buyer, body))
        web_ask(buyer, STEP_PAY);
    else
        buyer_fail(buyer, crowd_step_name(STEP_RESERVE), "the answer is not a held reservation");
}

/* ---- the payment ---- */

/* The signed order goes to the provider unchanged. */
void visit_answered_pay(struct crowd_buyer *buyer, const struct json *body)
{
    struct buf text;
    if (crowd_word_is(body, "status", "confirmed")) { /* it cost nothing */
        buyer_end(buyer, BUYER_BOUGHT);
        return;
    }
    buf_init(&text, 4096);
    json_write(body, &text);
    crowd_keep_text(&buyer->order, buf_str(&text));
    buf_clear(&text);
    crowd_keep_text(&buyer->reference, json_str(body, "reference"));
    web_ask(buyer, STEP_CHARGE);
}

void visit_answered_charge(struct crowd_buyer *buyer, const struct json *body)
{
    (void)body;
    free(buyer->order);
    buyer->order = NULL;
    buyer->attempts = 0;
    web_ask(buyer, STEP_OUTCOME);
}

static void ask_later(struct crowd_buyer *buyer)
{
    buyer->step = STEP_OUTCOME;
    buyer_wait(buyer, WAITS_TO_RETRY, OUTCOME_MS + buyer_backoff(buyer, 0));
}

void visit_answered_outcome(struct crowd_buyer *buyer, const struct json *body)
{
    if (crowd_word_is(body, "status", "confirmed"))
        buyer_end(buyer, BUYER_BOUGHT);
    else if (crowd_word_is(body, "status", "held") || !buyer->reference)
        ask_later(buyer);
    else
        web_ask(buyer, STEP_CHARGED);
}

/* The hold has ended: a late webhook may still have sold the seats, else the money is due back. */
void visit_answered_charged(struct crowd_buyer *buyer, const struct json *body)
{
    if (crowd_word_is(body, "payment", "refund_due") || crowd_word_is(body, "payment", "refunded"))
        buyer_end(buyer, BUYER_REFUNDED);
    else
        ask_later(buyer);
}
