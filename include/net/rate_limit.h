/* SPDX-License-Identifier: MIT */
/*
 * rate_limit: one token bucket per client address and worker: `per_second` requests on average, twice as many
 * in a burst. The address is the network that client_ip_to_network makes of it, since one IPv6 client has 2^64
 * addresses. Workers do not share buckets, so N workers together allow up to N times the rate. The table
 * never grows: a new address takes the least recently used of the eight buckets that it may use. Pure.
 */
#ifndef TIKETI_RATE_LIMIT_H
#define TIKETI_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct rate_limit;

struct rate_limit *rate_limit_new(int64_t per_second); /* returns new; NULL for 0: no limit */
void rate_limit_free(struct rate_limit *limit);        /* NULL is fine */

/* Takes one token from the bucket of `address`. False: the bucket is empty, so the request is over the limit.
 * When `limit` is NULL, always true. */
bool rate_limit_take(struct rate_limit *limit, const char *address, uint64_t now_ms);

#endif
