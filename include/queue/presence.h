/* SPDX-License-Identifier: MIT */
/*
 * presence: the state in which Redis last had each buyer that this worker serves, so that the poll of a buyer known
 * to be waiting needs no Redis. A bounded cache: PRESENCE_MAX buyers of 16 bytes each; memory is used only as they
 * come. Times are of one clock that never goes back (loop_now_ms).
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
/* Notes a state that Redis has just told. It may replace that of another buyer. */
void presence_put(struct presence *presence, const char *event, const char *buyer,
                  enum queue_state state, uint64_t now_ms);
struct presence_state {
    enum queue_state state;
    bool heartbeat_due; /* the heartbeat of this request is to be sent to Redis */
};
/* The state, if it was noted at most `max_age_ms` ago; else false and nothing is written. A heartbeat
 * is due once a second at most, however often the buyer asks. */
bool presence_get(struct presence *presence, const char *event, const char *buyer,
                  uint64_t max_age_ms, uint64_t now_ms, struct presence_state *ret_state);
/* The buyer will be put or got soon: prefetches their memory. */
void presence_prefetch(struct presence *presence, const char *event, const char *buyer);
/* No buyer was ever put: this worker serves none. */
bool presence_is_empty(const struct presence *presence);
/* The buyer has left, or their state is no longer true. */
void presence_drop(struct presence *presence, const char *event, const char *buyer);

#endif
