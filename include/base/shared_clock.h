/* SPDX-License-Identifier: MIT */
/*
 * shared_clock: the time that all pods share: Redis' clock, as this process knows it. Events, turns, tickets, passes,
 * tokens and signatures are dated and judged by it, never by the pod's own clock, which may be wrong.
 *
 * (Service time is something else: Redis' clock less the time in which Redis could not be reached; see lua/shared.lua.)
 */
#ifndef TIKETI_SHARED_CLOCK_H
#define TIKETI_SHARED_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* ms, or s, since 1970 UTC. Any thread. Until the first sample it is the pod's own clock. Never falls within a thread,
 * unless Redis' clock itself stepped back by more than 10 s. */
int64_t shared_clock_ms(void);
int64_t shared_clock_s(void); /* a few ms late, at a quarter of the cost */

/* Redis said that it was remote_us (since 1970) at some moment between these two of clock_mono_ns. Any thread. Logs
 * when the pod's clock differs, and sets tiketi_clock_skew_seconds. */
void shared_clock_sample(int64_t remote_us, uint64_t sent_ns, uint64_t received_ns);

/* The pod's own clock less Redis'; 0 before the first sample. */
int64_t shared_clock_skew_ms(void);
#define SHARED_CLOCK_SKEW_WARN_MS  1000  /* above this it is logged, and named by /readyz */
#define SHARED_CLOCK_SKEW_ALARM_MS 30000 /* above this it is logged as an error */

#endif
