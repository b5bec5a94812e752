/* SPDX-License-Identifier: MIT */
/*
 * crowd_history: what every buyer of this process asked, sent and was told, a line of JSON each: `--history`. A checker
 * that shares nothing with the crowd or the service can judge the promises by it (test/chaos/checker.mjs).
 *
 * Each line has `at` (µs since 1970), `number` (the buyer's), `buyer` (their id; "" while a guest has none), and one of
 *   ask       a request leaves: the step, `to` (host and port)
 *   answer    it was answered: the step, `to`, `code`, `retry` (ms of Retry-After, or -1), `body` (text)
 *   none      it was not: the step, `to`, `why`
 *   socket    of a WebSocket: opening, open, claim, lost (`why`, `code` of a handshake or close frame), `to`
 *   message   a message that came on it (text)
 *   state     what became of the buyer
 */
#ifndef TIKETI_CROWD_HISTORY_H
#define TIKETI_CROWD_HISTORY_H

#include "crowd/crowd_request.h"
#include "crowd/crowd_state.h"

struct crowd_history;

/* Opens the file for writing; of several processes each has its own, `path` and a dot and its part. NULL: it cannot be
 * written. */
struct crowd_history *crowd_history_open(const char *path, unsigned part, unsigned parts);
/* Writes what is left and closes the file. ST_OK; ST_UNAVAILABLE: some of it could not be written. NULL is fine. */
MUST_CHECK enum status crowd_history_close(struct crowd_history *history);

/* Each writes a line, and does nothing in a crowd without a history. Texts are copied. */
void crowd_history_ask(const struct crowd_buyer *buyer, enum crowd_step step);
void crowd_history_answer(const struct crowd_buyer *buyer, enum crowd_step step,
                          const struct dial_answer *answer);
void crowd_history_none(const struct crowd_buyer *buyer, enum crowd_step step, const char *why);
void crowd_history_socket(const struct crowd_buyer *buyer, const char *what, unsigned code,
                          const char *why);
void crowd_history_message(const struct crowd_buyer *buyer, const char *text, size_t len);
void crowd_history_state(const struct crowd_buyer *buyer, const char *state);

#endif
