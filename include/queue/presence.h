/* SPDX-License-Identifier: MIT */
/*
 * presence: what this pod last heard of each buyer it serves: the answer of a join, or of the last `seen`
 * batch. A poll of a buyer known to be waiting needs no Redis. Bounded: PRESENCE_MAX are remembered, of 16
 * bytes each, in memory that is touched only as they come.
 */
#ifndef TIKETI_PRESENCE_H
#define TIKETI_PRESENCE_H

#include "queue/queue.h"

#include <stdbool.h>
#include <stdint.h>

#define PRESENCE_MAX ((size_t)1 << 20)

struct presence;

struct presence *presence_new(void);
void presence_free(struct presence *presence);
/* Records a state heard from Redis now. Where too many are fresh, another is forgotten. */
void presence_put(struct presence *presence, const char *event, const char *buyer,
                  enum queue_state state, uint64_t now_ms);
/* The state heard at most `max_age_ms` ago; false when unknown or older. *ret_sign_due: Redis is to be
 * told of this sign of life; true in each second once at most, however often the buyer asks. */
bool presence_get(struct presence *presence, const char *event, const char *buyer,
                  uint64_t max_age_ms, uint64_t now_ms, enum queue_state *ret_state,
                  bool *ret_sign_due);
/* A hint that he will be put or got soon. */
void presence_prefetch(struct presence *presence, const char *event, const char *buyer);
/* Nobody was ever put: this worker serves no buyers. */
bool presence_is_empty(const struct presence *presence);
void presence_drop(struct presence *presence, const char *event, const char *buyer);

#endif
