/* SPDX-License-Identifier: MIT */
/*
 * worker_stats: how each worker is: the CPU time of its thread, by how much its loop was late, how old its keys are.
 *
 * Why this way: a worker is one thread that never blocks, so its CPU time is the time in which it was busy. The kernel counts
 * it anyway, and another thread may read its clock: a turn of the loop costs nothing more. libuv's own measurement
 * (UV_METRICS_IDLE_TIME) costs a second epoll_wait whenever a loop has nothing to do. What CPU time does not show, a thread
 * that waits for a CPU, the lateness of timers shows.
 * Called by: loop and jwks (on its thread), api_metrics (any thread). Owns: the list, under a lock that nobody holds for longer than
 * it takes to read a few clocks.
 */
#include "base/worker_stats.h"

#include "base/clock.h"
#include "base/memory.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NAME_SIZE 32
#define WINDOW_MS 5000 /* of two windows the largest lateness is told: that of the last 5 to 10 s */

struct worker_stats {
    struct worker_stats *next;
    char name[NAME_SIZE];
    clockid_t clock;                      /* the thread's CPU time */
    uint64_t window;                      /* number of the present one; only its own thread's */
    atomic_uint_fast64_t late_ms, before; /* the most in this window, and in the one before */
    atomic_uint_fast64_t keys_ns;         /* when it fetched the shop's keys; 0: it has none */
};

static _Thread_local struct worker_stats *own; /* of the calling thread; NULL: it is no worker */
static struct worker_stats *first;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct worker_stats *worker_stats_open(const char *name)
{
    struct worker_stats *stats = xcalloc(1, sizeof(*stats));
    struct worker_stats **at = &first;
    (void)snprintf(stats->name, sizeof(stats->name), "%s", name);
    if (pthread_getcpuclockid(pthread_self(), &stats->clock) != 0)
        stats->clock = CLOCK_PROCESS_CPUTIME_ID;
    pthread_mutex_lock(&lock);
    while (*at) /* at the end, so that the order stays */
        at = &(*at)->next;
    *at = stats;
    pthread_mutex_unlock(&lock);
    own = stats;
    return stats;
}

void worker_stats_close(struct worker_stats *stats)
{
    if (!stats)
        return;
    pthread_mutex_lock(&lock);
    struct worker_stats **at = &first;
    while (*at != stats)
        at = &(*at)->next;
    *at = stats->next;
    pthread_mutex_unlock(&lock);
    if (own == stats)
        own = NULL;
    free(stats);
}

void worker_stats_late(struct worker_stats *stats, uint64_t now_ms, uint64_t late_ms)
{
    const uint64_t window = now_ms / WINDOW_MS;
    if (window != stats->window) {
        const uint64_t last = atomic_load_explicit(&stats->late_ms, memory_order_relaxed);
        atomic_store_explicit(&stats->before, window == stats->window + 1 ? last : 0,
                              memory_order_relaxed);
        atomic_store_explicit(&stats->late_ms, 0, memory_order_relaxed);
        stats->window = window;
    }
    if (late_ms > atomic_load_explicit(&stats->late_ms, memory_order_relaxed))
        atomic_store_explicit(&stats->late_ms, late_ms, memory_order_relaxed);
}

void worker_stats_have_keys(uint64_t fetched_ns)
{
    if (own)
        atomic_store_explicit(&own->keys_ns, fetched_ns, memory_order_relaxed);
}

static double busy_s(const struct worker_stats *stats)
{
    struct timespec used;
    if (clock_gettime(stats->clock, &used) != 0)
        return 0;
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static double late_s(const struct worker_stats *stats)
{
    const uint64_t now = atomic_load_explicit(&stats->late_ms, memory_order_relaxed);
    const uint64_t before = atomic_load_explicit(&stats->before, memory_order_relaxed);
    return (double)(now > before ? now : before) / 1000;
}

/* NAN: it has none. */
static double keys_age_s(const struct worker_stats *stats)
{
    const uint64_t at = atomic_load_explicit(&stats->keys_ns, memory_order_relaxed);
    const uint64_t now = clock_mono_ns();
    return at == 0 ? (double)NAN : now > at ? (double)(now - at) / 1e9 : 0;
}

/* One family of all workers for which it is a number. */
static void write_family(const struct metrics_text *text, const char *name, const char *type,
                         const char *help, double (*read)(const struct worker_stats *stats))
{
    metrics_text_family(text, name, type, help);
    for (const struct worker_stats *stats = first; stats; stats = stats->next) {
        char labels[NAME_SIZE + 16];
        const double value = read(stats);
        if (isnan(value))
            continue;
        (void)snprintf(labels, sizeof(labels), "worker=\"%s\"", stats->name);
        metrics_text_number(text, name, labels, value);
    }
}

void worker_stats_write(const struct metrics_text *text)
{
    pthread_mutex_lock(&lock);
    write_family(text, "tiketi_loop_busy_seconds_total", "counter",
                 "CPU time of a worker, which is one thread: at a rate of 1 it is fully busy.",
                 busy_s);
    write_family(text, "tiketi_loop_lag_seconds", "gauge",
                 "By how much a worker's loop was late at most in the last 5 to 10 seconds.",
                 late_s);
    write_family(text, "tiketi_jwks_age_seconds", "gauge",
                 "Age of the shop's published keys (JWT_JWKS_URL) that a worker has.", keys_age_s);
    pthread_mutex_unlock(&lock);
}
