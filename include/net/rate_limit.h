/* SPDX-License-Identifier: MIT */
/*
 * rate_limit: one token bucket per client address, for all workers of the process: `per_second` requests on average, those
 * of RATE_LIMIT_BURST_S seconds in a burst. The caller passes what counts (client_ip_to_counted) instead of the address,
 * because one IPv6 client has 2^64 addresses. The table never grows: a new address takes over the least recently used of
 * the eight buckets that it may use. Every function but rate_limit_free may be called from any thread.
 */
#ifndef TIKETI_RATE_LIMIT_H
#define TIKETI_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

/* When a sale opens, everybody behind one address loads the page in the same few seconds: a campus, an office, a
 * mobile carrier. docs/decisions/0057 has the figures. */
#define RATE_LIMIT_BURST_S 10

struct rate_limit;

struct rate_limit *rate_limit_new(int64_t per_second); /* returns new; 0: no limit */
/* Another rate: `burst` at once, and one more each time that every_ms have passed. Returns new. */
struct rate_limit *rate_limit_new_slow(unsigned burst, unsigned every_ms);
void rate_limit_free(struct rate_limit *limit); /* NULL is fine */
/* Another rate from now on, 0: no limit; addresses keep what they have used. */
void rate_limit_set(struct rate_limit *limit, int64_t per_second);

/* Takes one token from the bucket of `address`. False: the bucket is empty, so the request is over the limit. `now_ms` is
 * monotonic; that of one thread may be somewhat behind another's. */
bool rate_limit_take(struct rate_limit *limit, const char *address, uint64_t now_ms);
/* Would rate_limit_take be true? Takes nothing. */
bool rate_limit_has(struct rate_limit *limit, const char *address, uint64_t now_ms);

#endif
