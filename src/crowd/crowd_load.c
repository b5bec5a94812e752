/* SPDX-License-Identifier: MIT */
/*
 * crowd_load: how busy the crowd itself was.
 *
 * A load generator that runs late measures its own delay. So a timer is watched: when it is late, an answer may have
 * been unread for as long. The CPU time of each second, as the kernel counts it, is measured as well.
 * Called by: crowd, crowd_report. Owns: one timer.
 */
#include "crowd/crowd_load.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdlib.h>
#include <sys/resource.h>

#define LOOK_MS         20
#define SECOND_NS       1000000000ULL
#define LATE_MS         100 /* p99; above it the latencies are mostly those of the crowd itself */
#define BUSY_PERMILLE   950
#define NS_PER_MS       1000000ULL
#define US_PER_S        1000000ULL
#define PERMILLE_PER_US 1000ULL

struct crowd_load {
    struct loop_timer *timer;
    struct crowd_tally *tally;
    uint64_t looked_ns, second_ns, second_cpu_us, begun_cpu_us;
};

static uint64_t cpu_us(long *ret_memory_kb)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    *ret_memory_kb = usage.ru_maxrss;
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * US_PER_S +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void end_second(struct crowd_load *load, uint64_t now_ns)
{
    long memory_kb = 0;
    const uint64_t used_us = cpu_us(&memory_kb);
    const uint64_t us = (now_ns - load->second_ns) / 1000;
    const uint64_t permille = (used_us - load->second_cpu_us) * PERMILLE_PER_US / (us > 0 ? us : 1);
    if (permille > load->tally->busiest_permille)
        load->tally->busiest_permille = (uint32_t)permille;
    load->tally->cpu_us = used_us - load->begun_cpu_us;
    load->tally->memory_kb = (uint64_t)memory_kb;
    load->second_ns = now_ns;
    load->second_cpu_us = used_us;
}

static void look(void *arg)
{
    struct crowd_load *load = arg;
    const uint64_t now_ns = clock_mono_ns();
    const uint64_t passed_ms = (now_ns - load->looked_ns) / NS_PER_MS;
    crowd_samples_add(&load->tally->late_ms, passed_ms > LOOK_MS ? passed_ms - LOOK_MS : 0);
    load->looked_ns = now_ns;
    if (now_ns - load->second_ns >= SECOND_NS)
        end_second(load, now_ns);
    loop_timer_set(load->timer, LOOK_MS);
}

struct crowd_load *crowd_load_new(struct loop *loop, struct crowd_tally *tally)
{
    struct crowd_load *load = xcalloc(1, sizeof(*load));
    long memory_kb = 0;
    load->tally = tally;
    load->looked_ns = load->second_ns = clock_mono_ns();
    load->begun_cpu_us = load->second_cpu_us = cpu_us(&memory_kb);
    load->timer = loop_timer_new(loop, look, load);
    loop_timer_set(load->timer, LOOK_MS);
    return load;
}

void crowd_load_stop(struct crowd_load *load)
{
    const uint64_t now_ns = clock_mono_ns();
    loop_timer_stop(load->timer);
    if (now_ns - load->second_ns >= SECOND_NS / 2) /* a shorter window says little */
        end_second(load, now_ns);
}

void crowd_load_free(struct crowd_load *load)
{
    if (!load)
        return;
    loop_timer_close(load->timer);
    free(load);
}

bool crowd_load_was_bottleneck(struct crowd_tally *tally)
{
    return tally->busiest_permille >= BUSY_PERMILLE ||
           crowd_samples_percentile(&tally->late_ms, 99) >= LATE_MS;
}
