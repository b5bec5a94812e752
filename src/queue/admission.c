/* SPDX-License-Identifier: MIT */
/*
 * admission: the measured admission rate, the wait that follows from it, the time of the next poll.
 *
 * Why this way: an estimate must hold, so it is measured, never guessed: the rate of the last minute or so, with its
 * spread as the range. Ticks are not evenly spaced (an interval per event, ticks on request), so samples are
 * weighted by time.
 * Called by: processor (rate), api_queue and gateway (wait, next poll). Pure: owns nothing.
 */
#include "queue/admission.h"

#include <math.h>

#define REMEMBER_S     60.0 /* the window of the mean; at least REMEMBER_TICKS samples */
#define REMEMBER_TICKS 5.0
#define WAIT_MAX_S     (30.0 * 24 * 3600) /* a longer wait is given as unknown */
#define POLL_MIN_S     2
#define POLL_MAX_S     30

static void add_sample(struct admission_rate *rate, double sample, double seconds)
{
    double remember = fmax(REMEMBER_S, REMEMBER_TICKS * seconds);
    if (rate->seconds <= 0 && rate->mean > 0)
        rate->seconds = remember; /* taken over from another pod */
    rate->seconds = fmin(rate->seconds + seconds, remember);
    double weight = seconds / rate->seconds;
    double difference = sample - rate->mean;
    double step = weight * difference;
    rate->mean += step;
    rate->variance = (1 - weight) * (rate->variance + difference * step);
}

void admission_rate_add(struct admission_rate *rate, uint64_t admitted, int64_t now_ms)
{
    double seconds = (double)(now_ms - rate->last_ms) / 1000;
    bool measuring = rate->ticks > 0;
    bool timed = rate->last_ms > 0 && seconds > 0;
    if (admitted > 0)
        rate->ticks++;
    if (measuring && timed)
        add_sample(rate, (double)admitted / seconds, seconds);
    if (timed || rate->last_ms == 0 || seconds < 0)
        rate->last_ms = now_ms;
}

struct wait_estimate admission_wait(double mean, double spread, uint64_t ticks, uint64_t position)
{
    struct wait_estimate wait = {0};
    if (ticks < ADMISSION_RATE_TICKS_MIN || !(mean > 0) || !isfinite(mean) || position == 0)
        return wait;
    double seconds = (double)position / mean;
    if (!(seconds <= WAIT_MAX_S))
        return wait;
    if (!(spread > 0) || !isfinite(spread))
        spread = 0;
    /* The high end is bounded: a spread as large as the mean would make it infinite. */
    double slow = fmax(mean - spread, mean / 4);
    wait.known = true;
    wait.seconds = (int64_t)ceil(seconds);
    wait.low = (int64_t)floor((double)position / (mean + spread));
    wait.high = (int64_t)ceil((double)position / slow);
    return wait;
}

int64_t admission_next_poll(const struct wait_estimate *wait, uint64_t position, int64_t longest_s,
                            uint32_t random)
{
    /* A tenth of the wait; unknown: by how many are ahead. */
    double base = wait->known ? (double)wait->seconds / 10 : 3 + (double)position / 200;
    /* Bounds that leave space for the jitter, which keeps clients from polling at the same time. */
    base = fmin(fmax(base, POLL_MIN_S * 1.25), POLL_MAX_S / 1.2);
    double jitter = 0.8 + 0.4 * ((double)random / (double)UINT32_MAX);
    int64_t seconds = llround(base * jitter);
    seconds = seconds < POLL_MIN_S ? POLL_MIN_S : seconds > POLL_MAX_S ? POLL_MAX_S : seconds;
    return seconds <= longest_s ? seconds : longest_s > 1 ? longest_s : 1;
}
