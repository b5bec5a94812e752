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
 * of a sample is the time since the sample before it, divided by the time remembered: a plain average over the first
 * minute, exponential after that. So a tick on request that comes shortly after another tick hardly counts. Direct
 * admissions are left out. A tick that admitted nobody counts as zero, once there has been an admission.
 * An admission to a slot that was empty says nothing about how fast slots become free: the burst at the opening and
 * after a higher threshold does not count. The first tick that counts only starts the measurement. */
struct admission_rate {
    double mean;
    double variance;
    uint64_t ticks; /* number of ticks with an admission that counts */
    int64_t last_ms;
    uint64_t active;    /* inside after the tick before */
    uint64_t threshold; /* in force then; 0: not known */
    /* time measured, at most the time remembered; 0 with a mean: another pod measured it */
    double seconds;
};
struct admission_tick {
    uint64_t admitted;                   /* direct admissions left out */
    uint64_t active, threshold, waiting; /* after it */
    int64_t now_ms;                      /* of a clock that never goes back */
};
/* Adds a sample. */
void admission_rate_add(struct admission_rate *rate, const struct admission_tick *tick);
/* Another threshold is in force, and `active` are inside: where the threshold sets the pace, the rate will be in
 * proportion. What was measured is scaled, and counts little from now on. Nothing happens if it is the same. */
void admission_rate_scale(struct admission_rate *rate, uint64_t threshold, uint64_t active);

#define ADMISSION_RATE_TICKS_MIN 3 /* with fewer ticks nothing counts as measured */

/* How fast the queue moves, as a rank index tells it, and what the settings allow. */
struct admission_pace {
    double mean, spread;         /* admissions per second */
    uint64_t ticks;              /* that they were measured over */
    int64_t interval_ms;         /* so often buyers are admitted: event_promote_ms */
    uint64_t inside, threshold;  /* threshold: in force; 0: nobody enters */
    uint64_t outflow_per_minute; /* 0: no limit */
    int64_t session_limit_ms;
    uint64_t stock; /* so many buyers still get seats; UINT64_MAX: seats do not limit admissions */
};
struct wait_estimate {
    bool known; /* false: nobody enters, or the wait is beyond measure */
    /* It is not measured but follows from threshold, outflow and an assumed visit; or it is measured, and uneven; or the
     * seats may not last until then. */
    bool low_confidence;
    /* With confidence high is at most twice low, or at most a minute. */
    int64_t seconds, low, high;
};
/* Estimates the wait of the buyer at `position` (from 1). */
struct wait_estimate admission_wait(const struct admission_pace *pace, uint64_t position);

/* Returns the seconds until a client should poll again: 2 near the head, 30 far back, moved by up to 20 % either way
 * by `random`. The result is at least 1 and at most `longest_s`. */
int64_t admission_next_poll(const struct wait_estimate *wait, uint64_t position, int64_t longest_s,
                            uint32_t random);

#endif
