/* SPDX-License-Identifier: MIT */
/*
 * admission: the arithmetic of waiting: the measured admission rate, the estimated wait, the time of the next poll.
 * Pure functions. Who is admitted is decided in Lua alone.
 */
#ifndef TIKETI_ADMISSION_H
#define TIKETI_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

/* Weighted mean and variance of admissions per second, one sample per tick (West, 1979, incremental form). The weight
 * of a sample is the share of its time in the time remembered: a plain average over the first minute, exponential
 * after that. So a tick on request, a moment after another one, hardly counts. Direct admissions are left out. A tick
 * that admitted nobody counts as zero, once there has been an admission. The first tick that admits fills an empty
 * event, which says nothing about how fast slots come free: it only starts the measurement. */
struct admission_rate {
    double mean;
    double variance;
    uint64_t ticks; /* that admitted */
    int64_t last_ms;
    double
        seconds; /* measured, at most what is remembered; 0 with a mean: taken over from another pod */
};
/* `admitted` buyers by the tick at `now_ms`. */
void admission_rate_add(struct admission_rate *rate, uint64_t admitted, int64_t now_ms);

#define ADMISSION_RATE_TICKS_MIN 3 /* before that there is no estimate */

struct wait_estimate {
    bool known; /* false: too few ticks have admitted, or nobody is being admitted */
    int64_t seconds, low, high;
};
/* The wait of the buyer at `position` (from 1). mean, spread: admissions per second. */
struct wait_estimate admission_wait(double mean, double spread, uint64_t ticks, uint64_t position);

/* Seconds until a client should poll again: 2 near the head, 30 far back, with 20 % of jitter by `random` either way.
 * At most `longest_s`, at least 1. */
int64_t admission_next_poll(const struct wait_estimate *wait, uint64_t position, int64_t longest_s,
                            uint32_t random);

#endif
