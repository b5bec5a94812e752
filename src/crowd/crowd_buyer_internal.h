/* SPDX-License-Identifier: MIT */
/*
 * crowd_buyer_internal: what the files of one virtual buyer share; nobody else includes it.
 *
 *   crowd_buyer.c   states, plan, the one timer, the end
 *   crowd_web.c     HTTP requests, and what the answers mean
 *   crowd_socket.c  the socket on which the buyer waits
 *   crowd_visit.c   inside: thinks, reserves, pays, leaves, or goes silent
 *
 * None of it blocks. Each function that reacts to an answer or a message ends by waiting for the next thing or by
 * ending the buyer, so its call is the last statement about that buyer. JSON is borrowed for the call. Failures are
 * counted in the crowd's tally; nothing is returned.
 */
#ifndef TIKETI_CROWD_BUYER_INTERNAL_H
#define TIKETI_CROWD_BUYER_INTERNAL_H

#include "base/json.h"
#include "crowd/crowd_buyer.h"
#include "crowd/crowd_request.h"
#include "crowd/crowd_scan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CROWD_ANSWER_MS 10000 /* a request or handshake without an answer for so long has failed */

enum crowd_plan { PLAN_BUY, PLAN_LEAVE, PLAN_SILENT };

/* What the buyer waits for. */
enum crowd_waits {
    WAITS_NOTHING,
    WAITS_TO_ARRIVE,
    WAITS_FOR_ANSWER,
    WAITS_TO_RETRY,
    WAITS_TO_POLL,
    WAITS_FOR_SOCKET,  /* handshake, or the answer to join-queue */
    WAITS_FOR_MESSAGE, /* a message on the socket */
    WAITS_TO_RECONNECT,
    WAITS_TO_SETTLE, /* before the first socket is opened */
    WAITS_THINKING,
};

/* ---- crowd_buyer.c ---- */

/* A random number from 0 to `max`. */
uint64_t crowd_random(struct crowd *crowd, uint64_t max);
/* A span as a text, in the crowd's scratch `text`: valid until that is written again. */
const char *crowd_span_text(struct crowd *crowd, struct crowd_span span);
/* `key` of the object is this text. */
bool crowd_word_is(const struct json *body, const char *key, const char *word);
/* From now on the buyer waits for this alone. */
void buyer_wait(struct crowd_buyer *buyer, enum crowd_waits what, uint64_t at_most_ms);
void buyer_become(struct crowd_buyer *buyer, enum buyer_state state);
/* Closes the connections; `state` must be one that ends. */
void buyer_end(struct crowd_buyer *buyer, enum buyer_state state);
/* Closes *conn, of which no callback runs afterwards, and sets it to NULL; NULL is fine. */
void buyer_hang_up(struct dial **conn);
/* Counts one more failure. Returns the ms until the next attempt, at least `at_least_ms`. */
uint64_t buyer_backoff(struct crowd_buyer *buyer, int64_t at_least_ms);
/* Counts a failure that will be repeated; with --strict it is an error. */
void buyer_note_retry(struct crowd_buyer *buyer, const char *what, const char *why);
/* Counts an error and ends the buyer. */
void buyer_fail(struct crowd_buyer *buyer, const char *what, const char *why);

/* ---- crowd_web.c ---- */

/* Sends the request of this step now, over the open connection if it leads there. The answer, or its absence,
 * decides what follows. */
void web_ask(struct crowd_buyer *buyer, enum crowd_step step);
/* No answer in time: the request is repeated later. */
void web_due(struct crowd_buyer *buyer);
/* Does this code mean: later? */
bool web_is_not_now(unsigned code);

/* ---- crowd_socket.c ---- */

/* Opens the socket and joins the queue with the ticket. */
void socket_open(struct crowd_buyer *buyer);
/* Closes the socket and opens another after a while, at least `at_least_ms`. */
void socket_reconnect(struct crowd_buyer *buyer, const char *why, int64_t at_least_ms);
/* The timer of a quiet socket: is it dead? */
void socket_due(struct crowd_buyer *buyer);

/* ---- crowd_visit.c ---- */

/* An answer or a message says that the buyer is inside. Said again, they go on at once. */
void visit_begin(struct crowd_buyer *buyer, const struct json *body);
/* Thinks, with heartbeats, until the time to act. */
void visit_think(struct crowd_buyer *buyer);
/* A heartbeat is due, or the time to act. */
void visit_due(struct crowd_buyer *buyer);
/* Successful answers to requests made inside. */
void visit_answered_list(struct crowd_buyer *buyer, const struct json *body);
void visit_answered_reserve(struct crowd_buyer *buyer, const struct json *body);
void visit_answered_pay(struct crowd_buyer *buyer, const struct json *body);
void visit_answered_charge(struct crowd_buyer *buyer, const struct json *body);
void visit_answered_outcome(struct crowd_buyer *buyer, const struct json *body);
void visit_answered_charged(struct crowd_buyer *buyer, const struct json *body);

#endif
