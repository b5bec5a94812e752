/* SPDX-License-Identifier: MIT */
/*
 * clock: wall and monotonic time; times as text (RFC 3339, HTTP). Places in a queue never come from this clock:
 * they come from Redis' TIME, which all pods share.
 */
#ifndef TIKETI_CLOCK_H
#define TIKETI_CLOCK_H

#include "base/status.h"

#include <stdint.h>

/* The pod's own clock. What buyers, organizers and other pods see is dated by shared_clock.h instead. */
int64_t clock_wall_ms(void); /* ms since 1970-01-01 UTC */
/* Seconds since 1970-01-01 UTC, read from the kernel's last timer tick: a few ms late, at a tenth of the cost
 * of clock_wall_ms. */
int64_t clock_wall_s(void);
uint64_t clock_mono_ns(void); /* monotonic: for durations only */
/* Under TIKETI_TEST_HOOKS=1 both wall clocks are wrong by TIKETI_CLOCK_SHIFT_MS, or by the 64-bit number of ms that the file
 * TIKETI_CLOCK_SHIFT_FILE has at the moment. Before any thread starts. */
void clock_init(void);

#define CLOCK_RFC3339_SIZE 32 /* fits "2026-11-21T20:00:00.000Z" and its NUL */

/* Writes `ms` milliseconds since 1970 as RFC 3339, in UTC and with milliseconds, into
 * out[CLOCK_RFC3339_SIZE]. */
void clock_format_rfc3339(int64_t ms, char *out);

/* Reads RFC 3339: date, 'T', time, an optional fraction (at most nine digits; cut to ms), 'Z' or an offset.
 * ST_INVALID for anything else, for impossible dates, and for years outside 1970..9999. */
MUST_CHECK enum status clock_parse_rfc3339(const char *text, int64_t *ret_ms);

#endif
