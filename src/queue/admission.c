/* SPDX-License-Identifier: MIT */
/*
 * admission: the measured admission rate, the wait that follows from it, the time of the next poll.
 *
 * Why this way: buyers rely on the estimate, so it is measured: it follows from the admission rate of about the last
 * minute, and the spread of that rate gives its range. Until enough is measured, and where the range is too wide to plan by,
 * it is told with low confidence: a rough number is of more use than none. What is known at once is not waited for: a
 * limit on the outflow bounds the rate, another threshold scales it, and while more are inside than may be, nobody enters.
 * Ticks are not evenly spaced (an interval per event, ticks on request), so samples are weighted by time.
 * Called by: processor (rate), api_queue and gateway (wait, next poll). Pure: owns nothing.
 */
#include "queue/admission.h"

#include <math.h>

#define REMEMBER_S     60.0 /* the mean covers these seconds, or REMEMBER_TICKS ticks if longer */
#define REMEMBER_TICKS 5.0
#define WAIT_MAX_S     (30.0 * 24 * 3600) /* seconds; a longer wait is reported as unknown */
#define ERROR_MIN      0.1 /* buyers become faster and slower: no estimate is surer than this */
#define ERROR_ASSUMED  1.0 /* of an estimate that nothing was measured for: from a half to twice */
#define VISIT_S        180.0 /* assumed mean of a visit, unless the session limit is shorter */
#define CHANGED_S      10.0 /* after a change of the threshold what was measured counts as so long */
#define FULL           0.9  /* of the threshold: then it sets the pace */
#define RANGE_MAX      2    /* a range wider than this tells nobody when to be back */
#define SOON_S         60   /* but up to here it may be */
#define POLL_MIN_S     2
#define POLL_MAX_S     30

static void add_sample(struct admission_rate *rate, double sample, double seconds)
{
    double remember = fmax(REMEMBER_S, REMEMBER_TICKS * seconds);
    if (rate->seconds <= 0 && rate->mean > 0)
        rate->seconds = remember; /* another pod measured this rate */
    rate->seconds = fmin(rate->seconds + seconds, remember);
    double weight = seconds / rate->seconds;
    double difference = sample - rate->mean;
    double step = weight * difference;
    rate->mean += step;
    rate->variance = (1 - weight) * (rate->variance + difference * step);
}

/* How many of a tick's admissions count: those to slots that had become free. While slots stay empty although buyers
 * wait, the outflow limit sets the pace, and all of them count. */
static uint64_t steady_admissions(const struct admission_rate *rate,
                                  const struct admission_tick *tick)
{
    const uint64_t grown = tick->active > rate->active ? tick->active - rate->active : 0;
    if (tick->active < tick->threshold && tick->waiting > 0)
        return tick->admitted;
    return tick->admitted > grown ? tick->admitted - grown : 0;
}

void admission_rate_scale(struct admission_rate *rate, uint64_t threshold, uint64_t active)
{
    const uint64_t before = rate->threshold;
    rate->threshold = threshold;
    if (before == threshold || before == 0 || threshold == 0 || active == 0 || rate->ticks == 0)
        return;
    /* As many leave as are inside, in proportion: the slots in use set the pace. */
    const double inside = (double)active;
    const bool was_full = inside >= FULL * (double)before;
    if (threshold < active || was_full) {
        const double factor = (double)threshold / (threshold < active ? inside : (double)before);
        rate->mean *= factor;
        rate->variance *= factor * factor;
        rate->seconds = fmin(rate->seconds > 0 ? rate->seconds : REMEMBER_S, CHANGED_S);
    }
}

void admission_rate_add(struct admission_rate *rate, const struct admission_tick *tick)
{
    if (rate->threshold != tick->threshold)
        admission_rate_scale(rate, tick->threshold, rate->active);
    const double seconds = (double)(tick->now_ms - rate->last_ms) / 1000;
    const uint64_t admitted = steady_admissions(rate, tick);
    const bool measuring = rate->ticks > 0;
    const bool timed = rate->last_ms > 0 && seconds > 0;
    /* While more are inside than may be nobody can enter, which says nothing of how fast slots become free. */
    const bool overfull = tick->active > tick->threshold && admitted == 0;
    if (admitted > 0)
        rate->ticks++;
    if (measuring && timed && !overfull)
        add_sample(rate, (double)admitted / seconds, seconds);
    if (timed || rate->last_ms == 0 || seconds < 0)
        rate->last_ms = tick->now_ms;
    rate->active = tick->active;
}

/* Seconds in which nobody enters because more are inside than may be: until enough have left, who leave the slower the
 * fewer are left. visit: the mean, s. */
static double overfull_s(const struct admission_pace *pace, double visit)
{
    return pace->inside > pace->threshold
               ? visit * log((double)pace->inside / (double)pace->threshold)
               : 0;
}

/* The wait that follows from what is set, where nothing was measured. */
static double assumed_wait(const struct admission_pace *pace, uint64_t position)
{
    const double limit = (double)pace->session_limit_ms / 1000;
    const double visit = limit > 0 && limit < VISIT_S ? limit : VISIT_S;
    const uint64_t free = pace->threshold > pace->inside ? pace->threshold - pace->inside : 0;
    if (position <= free)
        return (double)pace->interval_ms / 1000;
    return (double)(position - free) * visit / (double)pace->threshold + overfull_s(pace, visit);
}

static bool is_measured(const struct admission_pace *pace)
{
    return pace->ticks >= ADMISSION_RATE_TICKS_MIN && pace->mean > 0 && isfinite(pace->mean);
}

/* The spread is that of one tick. The mean of many ticks is surer: of those measured, and of those to come. */
static double measured_error(const struct admission_pace *pace, double seconds)
{
    const double spread = pace->spread > 0 && isfinite(pace->spread) ? pace->spread : 0;
    const double interval = pace->interval_ms > 0 ? (double)pace->interval_ms / 1000 : 1;
    const double measured = fmin((double)pace->ticks, fmax(REMEMBER_S / interval, REMEMBER_TICKS));
    const double to_come = fmax(seconds / interval, 1);
    return fmax(spread / pace->mean * sqrt(1 / measured + 1 / to_come), ERROR_MIN);
}

struct wait_estimate admission_wait(const struct admission_pace *pace, uint64_t position)
{
    struct wait_estimate wait = {0};
    if (position == 0 || pace->threshold == 0)
        return wait;
    bool measured = is_measured(pace);
    double seconds = 0, error = ERROR_ASSUMED;
    if (measured) {
        seconds = (double)position / pace->mean;
        error = measured_error(pace, seconds);
        seconds += overfull_s(pace, (double)pace->threshold / pace->mean);
        measured = seconds <= WAIT_MAX_S; /* else nobody has entered for long */
    }
    if (!measured) {
        seconds = assumed_wait(pace, position);
        error = ERROR_ASSUMED;
    }
    if (pace->outflow_per_minute > 0)
        seconds = fmax(seconds, (double)position * 60 / (double)pace->outflow_per_minute);
    if (!(seconds <= WAIT_MAX_S))
        return wait;
    const double low = floor(seconds / (1 + error)), high = ceil(seconds * (1 + error) - 1e-9);
    const bool wide = high > RANGE_MAX * low && high > SOON_S;
    wait.known = true;
    wait.low_confidence = !measured || wide || position > pace->stock;
    wait.seconds = (int64_t)ceil(seconds);
    wait.low = (int64_t)low;
    wait.high = (int64_t)high;
    return wait;
}

int64_t admission_next_poll(const struct wait_estimate *wait, uint64_t position, int64_t longest_s,
                            uint32_t random)
{
    /* A tenth of the wait; if that is unknown, it follows from the number of buyers ahead. */
    double base = wait->known ? (double)wait->seconds / 10 : 3 + (double)position / 200;
    /* These bounds leave space for the jitter, which keeps clients from polling at the same time. */
    base = fmin(fmax(base, POLL_MIN_S * 1.25), POLL_MAX_S / 1.2);
    double jitter = 0.8 + 0.4 * ((double)random / (double)UINT32_MAX);
    int64_t seconds = llround(base * jitter);
    seconds = seconds < POLL_MIN_S ? POLL_MIN_S : seconds > POLL_MAX_S ? POLL_MAX_S : seconds;
    return seconds <= longest_s ? seconds : longest_s > 1 ? longest_s : 1;
}
