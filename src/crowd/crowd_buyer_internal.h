/* SPDX-License-Identifier: MIT */
/*
 * crowd_buyer_internal: what the files of one virtual buyer share; nobody else includes it.
 *
 *   crowd_buyer.c   his life: his dice, his one timer, how he ends
 *   crowd_web.c     what he asks by HTTP, and what the answers say of his place
 *   crowd_socket.c  the socket on which he waits
 *   crowd_visit.c   inside: he thinks, reserves, pays, leaves, or goes silent
 *
 * None of it blocks. Each function that reacts to an answer or a message ends by waiting for the next
 * thing or by ending the buyer, so a call of it is the last statement about him; JSON is borrowed for the
 * call. What goes wrong is counted and noted in the crowd's tally; nothing is returned.
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

#define CROWD_ANSWER_MS 10000 /* a request or handshake without an answer for so long is given up */

enum crowd_plan { PLAN_BUY, PLAN_LEAVE, PLAN_SILENT };

/* What he waits for. */
enum crowd_waits {
    WAITS_NOTHING,
    WAITS_TO_ARRIVE,
    WAITS_FOR_ANSWER,
    WAITS_TO_RETRY,
    WAITS_TO_POLL,
    WAITS_FOR_SOCKET, /* handshake, or the answer to join-queue */
    WAITS_FOR_WORD,   /* on the socket */
    WAITS_TO_RECONNECT,
    WAITS_TO_SETTLE, /* before he opens his first socket */
    WAITS_THINKING,
};

/* ---- crowd_buyer.c ---- */

/* Up to and including `max`. */
uint64_t crowd_random(struct crowd *crowd, uint64_t max);
/* A span as a text, in the crowd's scratch `text`: valid until that is written again. */
const char *crowd_span_text(struct crowd *crowd, struct crowd_span span);
/* `key` of the object is this text. */
bool crowd_word_is(const struct json *body, const char *key, const char *word);
/* The one thing he waits for, from now on. */
void buyer_wait(struct crowd_buyer *buyer, enum crowd_waits what, uint64_t at_most_ms);
void buyer_become(struct crowd_buyer *buyer, enum buyer_state state);
/* Hangs up, and that was it: `state` is one that ends. */
void buyer_end(struct crowd_buyer *buyer, enum buyer_state state);
/* Closes the connection, of which no callback runs afterwards, and sets it to NULL; NULL is let be. */
void buyer_hang_up(struct dial **conn);
/* Counts one more attempt in vain. In ms: until the next one, and not before `at_least_ms`. */
uint64_t buyer_backoff(struct crowd_buyer *buyer, int64_t at_least_ms);
/* Something that will be tried again; with --strict it counts as an error. */
void buyer_note_retry(struct crowd_buyer *buyer, const char *what, const char *why);
/* An error that ends him. */
void buyer_fail(struct crowd_buyer *buyer, const char *what, const char *why);

/* ---- crowd_web.c ---- */

/* Asks now; on the connection there is, if it leads there. The answer, or that none came, decides how
 * he goes on. */
void web_ask(struct crowd_buyer *buyer, enum crowd_step step);
/* No answer in time: he will ask again. */
void web_due(struct crowd_buyer *buyer);
/* An answer with this code says: later. */
bool web_is_not_now(unsigned code);

/* ---- crowd_socket.c ---- */

/* Dials, and joins the queue with the ticket he has. */
void socket_open(struct crowd_buyer *buyer);
/* Closes what there is, and comes back after a while, not before `at_least_ms`. */
void socket_reconnect(struct crowd_buyer *buyer, const char *why, int64_t at_least_ms);
/* No word for a while: is it dead? */
void socket_due(struct crowd_buyer *buyer);

/* ---- crowd_visit.c ---- */

/* He is told that he is inside, in an answer or a message. Told again, he goes on at once. */
void visit_begin(struct crowd_buyer *buyer, const struct json *news);
/* He thinks until his time is up, with heartbeats. */
void visit_think(struct crowd_buyer *buyer);
/* A heartbeat is due, or the thinking is over. */
void visit_due(struct crowd_buyer *buyer);
/* What he asked inside was answered with success. */
void visit_answered_list(struct crowd_buyer *buyer, const struct json *body);
void visit_answered_reserve(struct crowd_buyer *buyer, const struct json *body);
void visit_answered_pay(struct crowd_buyer *buyer, const struct json *body);
void visit_answered_charge(struct crowd_buyer *buyer, const struct json *body);
void visit_answered_outcome(struct crowd_buyer *buyer, const struct json *body);
void visit_answered_charged(struct crowd_buyer *buyer, const struct json *body);

#endif
