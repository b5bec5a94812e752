/* SPDX-License-Identifier: MIT */
/*
 * presence: a bounded cache of the state that Redis last reported for each buyer of this worker, so that the poll of
 * a buyer who is known to wait needs no Redis. It has slots for PRESENCE_MAX buyers of 16 bytes each; the system
 * gives it memory only for slots that were used. Times are in ms of a clock that never goes back (loop_now_ms).
 */
#ifndef TIKETI_PRESENCE_H
#define TIKETI_PRESENCE_H

#include "queue/queue.h"

#include <stdbool.h>
#include <stdint.h>

#define PRESENCE_MAX ((size_t)1 << 20)

struct presence;

struct presence *presence_new(void);
void presence_free(struct presence *presence); /* NULL is fine */
/* Notes a state that Redis has just reported. It may replace the state of another buyer. */
void presence_put(struct presence *presence, const char *event, const char *buyer,
                  enum queue_state state, uint64_t now_ms);
struct presence_state {
    enum queue_state state;
    bool heartbeat_due; /* the caller must send the heartbeat of this request to Redis */
};
/* Reads the state. False: it was not noted within the last `max_age_ms`, and nothing was written. A heartbeat is due
 * at most once a second, however often the buyer asks. */
bool presence_get(struct presence *presence, const char *event, const char *buyer,
                  uint64_t max_age_ms, uint64_t now_ms, struct presence_state *ret_state);
/* True: presence_put was never called, so this worker serves no buyers. */
bool presence_is_empty(const struct presence *presence);
/* Forgets the state of a buyer, because they have left or it may be wrong now. */
void presence_drop(struct presence *presence, const char *event, const char *buyer);

#endif
