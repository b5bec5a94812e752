/* SPDX-License-Identifier: MIT */
/*
 * crowd_buyer_internal: what the files of one virtual buyer share. No other file includes it.
 *
 *   crowd_buyer.c   states, plan, the one timer, the end
 *   crowd_web.c     HTTP requests, and what the answers mean
 *   crowd_socket.c  the socket on which the buyer waits
 *   crowd_visit.c   the buyer is inside: thinks, reserves, pays, leaves, or goes silent
 *
 * Nothing here blocks. A function that reacts to an answer or a message either makes the buyer wait for the next one
 * or ends the buyer, so its caller must not touch the buyer afterwards. JSON is borrowed for the call. Failures are
 * counted in the crowd's tally and not returned.
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

#define CROWD_ANSWER_MS                                                                            \
    10000 /* a request or handshake that is not answered within this time has failed */

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
    WAITS_TO_SETTLE, /* between the first answer and the first socket: --settle */
    WAITS_TO_WAKE,   /* with the page closed: --sleep */
    WAITS_THINKING,
};

/* ---- crowd_buyer.c ---- */

/* A random number from 0 to `max`. */
uint64_t crowd_random(struct crowd *crowd, uint64_t max);
/* The span as a text in crowd->text: valid until that scratch buffer is written again. */
const char *crowd_span_text(struct crowd *crowd, struct crowd_span span);
/* True when the member `key` of the object is this text. */
bool crowd_word_is(const struct json *body, const char *key, const char *word);
/* From now on the buyer waits only for `what`, and its timer is due after `at_most_ms`. */
void buyer_wait(struct crowd_buyer *buyer, enum crowd_waits what, uint64_t at_most_ms);
/* Changes the state and the tally's counts. */
void buyer_become(struct crowd_buyer *buyer, enum buyer_state state);
/* Ends the buyer and closes their connections. buyer_state_ends(state) must be true. */
void buyer_end(struct crowd_buyer *buyer, enum buyer_state state);
/* Closes *conn, whose callbacks do not run any more, and sets it to NULL. Does nothing if *conn is NULL. */
void buyer_hang_up(struct dial **conn);
/* True, and the page is closed until the buyer wakes: they are a sleeper, and it is time. */
bool buyer_falls_asleep(struct crowd_buyer *buyer);
/* Counts one more failure in a row. Returns the ms to wait before the next attempt, at least `at_least_ms`. */
uint64_t buyer_backoff(struct crowd_buyer *buyer, int64_t at_least_ms);
/* Counts a failure after which the buyer tries again. With --strict it counts as an error. */
void buyer_note_retry(struct crowd_buyer *buyer, const char *what, const char *why);
/* Counts an error and ends the buyer. */
void buyer_fail(struct crowd_buyer *buyer, const char *what, const char *why);

/* ---- crowd_web.c ---- */

/* Sends the request of this step, over the open connection if that leads to the step's target. The answer decides
 * what follows. */
void web_ask(struct crowd_buyer *buyer, enum crowd_step step);
/* No answer came in time: the request is repeated later. */
void web_due(struct crowd_buyer *buyer);
/* True when this HTTP status means that the request should be repeated later. */
bool web_is_not_now(unsigned code);

/* ---- crowd_socket.c ---- */

/* Opens the socket and joins the queue with the ticket. */
void socket_open(struct crowd_buyer *buyer);
/* Claims the turn that was offered. `turn-claimed` answers it. */
void socket_claim(struct crowd_buyer *buyer);
/* Closes the socket and opens another one after a while, at least `at_least_ms`. `why` goes into the report. */
void socket_reconnect(struct crowd_buyer *buyer, const char *why, int64_t at_least_ms);
/* The buyer's timer while they wait on a socket: reconnects if nothing was heard for too long. */
void socket_due(struct crowd_buyer *buyer);

/* ---- crowd_visit.c ---- */

/* An answer or a message (`news`) says that the buyer is inside, or has an offer. A repeated one makes them act at once. */
void visit_begin(struct crowd_buyer *buyer, const struct json *body);
/* The buyer thinks, and sends heartbeats, until it is time to act. */
void visit_think(struct crowd_buyer *buyer);
/* The buyer's timer while they think: sends a heartbeat, or acts. */
void visit_due(struct crowd_buyer *buyer);
/* Each handles the successful answer to a request that was made inside. */
void visit_answered_list(struct crowd_buyer *buyer, const struct json *body);
void visit_answered_reserve(struct crowd_buyer *buyer, const struct json *body);
void visit_answered_pay(struct crowd_buyer *buyer, const struct json *body);
void visit_answered_charge(struct crowd_buyer *buyer, const struct json *body);
void visit_answered_outcome(struct crowd_buyer *buyer, const struct json *body);
void visit_answered_charged(struct crowd_buyer *buyer, const struct json *body);

#endif
