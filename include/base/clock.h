/* SPDX-License-Identifier: MIT */
/* clock: wall and monotonic time; RFC 3339 text, and that of HTTP. Places never come from here: Redis' TIME gives them. */
#ifndef TIKETI_CLOCK_H
#define TIKETI_CLOCK_H

#include "base/status.h"

#include <stdint.h>

int64_t clock_wall_ms(void);  /* ms since 1970-01-01 UTC */
int64_t clock_wall_s(void);   /* the same in seconds; a tenth of the cost */
uint64_t clock_mono_ns(void); /* monotonic; for durations only */

#define CLOCK_RFC3339_SIZE 32 /* "2026-11-21T20:00:00.000Z" and its NUL fit */

/* Writes `ms` since the epoch as UTC RFC 3339 with milliseconds into `out[CLOCK_RFC3339_SIZE]`. */
void clock_format_rfc3339(int64_t ms, char *out);

#define CLOCK_HTTP_SIZE 30 /* "Sat, 21 Nov 2026 20:00:00 GMT" and its NUL */
/* Writes `s` since the epoch as the Date header has it (RFC 9110 5.6.7) into `out[CLOCK_HTTP_SIZE]`. */
void clock_format_http(int64_t s, char *out);

/* Parses RFC 3339 (date, 'T', time, optional fraction, 'Z' or offset). ST_INVALID on anything
 * else, years outside 1970..9999, or an impossible date. */
MUST_CHECK enum status clock_parse_rfc3339(const char *text, int64_t *ret_ms);

#endif
