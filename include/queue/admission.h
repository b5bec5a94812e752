/* SPDX-License-Identifier: MIT */
/*
 * admission: pure arithmetic of waiting: the measured admission rate, the wait estimate, when to
 * poll next. Who enters is decided in Lua alone.
 */
#ifndef TIKETI_ADMISSION_H
#define TIKETI_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

/* Weighted mean and variance of admissions per second, one sample per tick (West, 1979, incremental
 * form). A sample weighs what the time it covers does in the time remembered: a plain average over
 * the first minute, exponential after that; so a tick on request, a moment after another one, does
 * not upset it. Direct admissions do not count; a tick that admitted nobody counts as a zero
 * once there has been an admission. The first tick that admits fills an empty room, which says
 * nothing about how fast places come free: it only starts the measuring. */
struct admission_rate {
    double mean;
    double variance;
    uint64_t ticks; /* ticks that admitted */
    int64_t last_ms;
    double seconds; /* measured so far, at most what is remembered; 0 with ticks: taken over */
};
void admission_rate_add(struct admission_rate *rate, uint64_t admitted, int64_t now_ms);

#define ADMISSION_RATE_TICKS_MIN 3

struct wait_estimate {
    bool known; /* false until three ticks have admitted, or while nobody is being admitted */
    int64_t seconds, low, high;
};
/* Wait of the buyer at 1-based `position`, in whole seconds. */
struct wait_estimate admission_wait(double mean, double spread, uint64_t ticks, uint64_t position);

/* Seconds until a client should poll again: near the head often, far back rarely (2..30), with
 * +-20 % jitter taken from `random`; never more than `longest_s`, but 1. */
int64_t admission_next_poll(const struct wait_estimate *wait, uint64_t position, int64_t longest_s,
                            uint32_t random);

#endif
