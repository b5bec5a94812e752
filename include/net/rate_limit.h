/* SPDX-License-Identifier: MIT */
/*
 * rate_limit: a token bucket per client address, in the memory of one worker: `per_second` requests on
 * average, twice as many in a burst. The table never grows: when it is full around an address, the bucket
 * that was unused for longest is reused. Pure.
 */
#ifndef TIKETI_RATE_LIMIT_H
#define TIKETI_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct rate_limit;

struct rate_limit *rate_limit_new(int64_t per_second); /* returns new; NULL for 0: no limit */
void rate_limit_free(struct rate_limit *limit);        /* NULL is fine */

/* Takes one token of `address`. False: over the limit. A NULL limit allows everything. */
bool rate_limit_take(struct rate_limit *limit, const char *address, uint64_t now_ms);

#endif
