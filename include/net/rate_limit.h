/* SPDX-License-Identifier: MIT */
/*
 * rate_limit: a token bucket per client address, of one worker: `per_second` on average, twice that
 * in a burst. Bounded: the table never grows; the stalest bucket of a full neighbourhood is reused.
 */
#ifndef TIKETI_RATE_LIMIT_H
#define TIKETI_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct rate_limit;

struct rate_limit *rate_limit_new(int64_t per_second); /* NULL for 0: no limit */
void rate_limit_free(struct rate_limit *limit);

/* Takes one token of `address`. False: over the limit. NULL limit: always true. */
bool rate_limit_take(struct rate_limit *limit, const char *address, uint64_t now_ms);

#endif
