/* SPDX-License-Identifier: MIT */
/*
 * shared_clock: Redis' clock as this process knows it: the monotonic clock plus an offset that is measured every second.
 *
 * Why this way: the monotonic clock does not step when somebody sets the pod's clock, and it goes on while Redis is
 * away. A sample is as good as its round trip is short, since the reply may have been written at any moment of it. So
 * a better sample replaces a worse one, a worse one counts only as far as it contradicts the offset in force, and the
 * quality in force fades, so that drift is followed. The offset may fall by the error of a sample: a thread
 * then sees the clock stand still for a moment, but never go back. When Redis' clock itself steps back by more than
 * HOLD_MAX_US (a failover to a host whose clock is wrong), the pods follow: what the scripts decide is dated by it.
 * Called by: redis (samples), api, gateway, processor (time). Owns: the offset, for the life of the process.
 * When Redis is gone: the clock goes on.
 */
#include "base/shared_clock.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define HOLD_MAX_US  INT64_C(10000000)
#define SLACK_US     2000 /* two samples contradict each other only beyond their round trips and this */
#define FADE_US      100 /* the quality in force becomes worse by so much, and a quarter, per sample */
#define LOG_AGAIN_MS 1000 /* a skew that changed by this, and a tenth, is logged again */

static atomic_int_fast64_t offset_us; /* Redis' clock less the monotonic clock */
static atomic_uint steps;             /* 0: no sample yet; else rises when the clock may go back */
static atomic_int_fast64_t skew_ms;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of the following */
static int64_t quality_us; /* half the round trip of the sample in force */
static int64_t logged_ms;  /* the skew that was logged last; 0: none is */

static int64_t mono_us(void)
{
    return (int64_t)(clock_mono_ns() / 1000);
}

int64_t shared_clock_ms(void)
{
    static _Thread_local unsigned last_step;
    static _Thread_local int64_t last_ms;
    const unsigned step = atomic_load_explicit(&steps, memory_order_acquire);
    if (step == 0)
        return clock_wall_ms();
    const int64_t now_ms =
        (mono_us() + atomic_load_explicit(&offset_us, memory_order_relaxed)) / 1000;
    if (step == last_step && now_ms < last_ms)
        return last_ms;
    last_step = step;
    last_ms = now_ms;
    return now_ms;
}

int64_t shared_clock_s(void)
{
    if (atomic_load_explicit(&steps, memory_order_acquire) == 0)
        return clock_wall_s();
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return ((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 +
            atomic_load_explicit(&offset_us, memory_order_relaxed)) /
           1000000;
}

int64_t shared_clock_skew_ms(void)
{
    return atomic_load_explicit(&skew_ms, memory_order_relaxed);
}

/* Once per change: when a limit is crossed, and when the skew itself has changed. */
static void log_skew(int64_t now_ms)
{
    const int64_t size = llabs(now_ms), logged = llabs(logged_ms);
    const bool warns = size > SHARED_CLOCK_SKEW_WARN_MS;
    const bool alarms = size > SHARED_CLOCK_SKEW_ALARM_MS;
    if (!warns) {
        if (logged_ms)
            log_info("clock agrees with redis again", LOG_NUM("skewMs", now_ms));
        logged_ms = 0;
        return;
    }
    if (logged_ms && alarms == (logged > SHARED_CLOCK_SKEW_ALARM_MS) &&
        llabs(now_ms - logged_ms) < LOG_AGAIN_MS + logged / 10)
        return;
    logged_ms = now_ms;
    if (alarms)
        log_error("clock differs from redis", LOG_NUM("skewMs", now_ms));
    else
        log_warn("clock differs from redis", LOG_NUM("skewMs", now_ms));
}

void shared_clock_sample(int64_t remote_us, uint64_t sent_ns, uint64_t received_ns)
{
    if (received_ns < sent_ns || remote_us <= 0)
        return;
    const int64_t error_us = (int64_t)((received_ns - sent_ns) / 2000);
    const int64_t sample_us = remote_us - (int64_t)(sent_ns / 1000) - error_us;
    (void)pthread_mutex_lock(&mutex);
    const int64_t in_force_us = atomic_load(&offset_us);
    const bool first = atomic_load(&steps) == 0;
    const bool contradicts =
        !first && llabs(sample_us - in_force_us) > error_us + quality_us + SLACK_US;
    const bool back = contradicts && in_force_us - sample_us > HOLD_MAX_US;
    quality_us += FADE_US + quality_us / 4;
    if (first || contradicts || error_us <= quality_us) {
        atomic_store(&offset_us, sample_us);
        quality_us = error_us;
    }
    if (contradicts && llabs(sample_us - in_force_us) > SHARED_CLOCK_SKEW_WARN_MS * 1000)
        log_warn("redis clock stepped", LOG_NUM("ms", (sample_us - in_force_us) / 1000));
    if (first || back)
        atomic_fetch_add(&steps, 1);
    const int64_t own_ms = clock_wall_ms() - (mono_us() + atomic_load(&offset_us)) / 1000;
    atomic_store(&skew_ms, own_ms);
    metrics_set(GAUGE_CLOCK_SKEW, (double)own_ms / 1000);
    log_skew(own_ms);
    (void)pthread_mutex_unlock(&mutex);
}
