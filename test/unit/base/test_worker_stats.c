/* SPDX-License-Identifier: MIT */
/* worker_stats: a busy thread is told as busy, an idle one is not; the largest lateness of the last windows counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/worker_stats.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static pthread_barrier_t worked, told; /* of the two workers and the test */

static double thread_cpu(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static void *work(void *arg)
{
    struct worker_stats *stats = worker_stats_open(arg);
    while (strcmp(arg, "busy-0") == 0 && thread_cpu() < 0.2)
        continue;
    (void)pthread_barrier_wait(&worked);
    (void)pthread_barrier_wait(&told);
    worker_stats_close(stats);
    return NULL;
}

static double value_of(const char *series)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    worker_stats_write(&(struct metrics_text){.out = &out});
    const char *at = strstr(buf_str(&out), series);
    const double value = at ? strtod(at + strlen(series), NULL) : -1;
    buf_clear(&out);
    return value;
}

static void cpu_time_of_each_thread(void **state)
{
    pthread_t busy, idle;
    (void)state;
    assert_int_equal(pthread_barrier_init(&worked, NULL, 3), 0);
    assert_int_equal(pthread_barrier_init(&told, NULL, 3), 0);
    assert_int_equal(pthread_create(&busy, NULL, work, "busy-0"), 0);
    assert_int_equal(pthread_create(&idle, NULL, work, "idle-0"), 0);
    (void)pthread_barrier_wait(&worked);
    assert_true(value_of("\ntiketi_loop_busy_seconds_total{worker=\"busy-0\"} ") >= 0.2);
    const double idle_s = value_of("\ntiketi_loop_busy_seconds_total{worker=\"idle-0\"} ");
    assert_true(idle_s >= 0 && idle_s < 0.1);
    (void)pthread_barrier_wait(&told);
    (void)pthread_join(busy, NULL);
    (void)pthread_join(idle, NULL);
    (void)pthread_barrier_destroy(&worked);
    (void)pthread_barrier_destroy(&told);
    assert_true(value_of("{worker=\"busy-0\"} ") == -1); /* a thread that has ended is not asked */
}

static void the_largest_lateness_of_the_last_windows(void **state)
{
    static const char lag[] = "\ntiketi_loop_lag_seconds{worker=\"late-0\"} ";
    (void)state;
    struct worker_stats *stats = worker_stats_open("late-0");
    assert_true(value_of(lag) == 0);
    worker_stats_late(stats, 100000, 30);
    worker_stats_late(stats, 101000, 250);
    worker_stats_late(stats, 104999, 3);
    assert_true(value_of(lag) == 0.25);
    worker_stats_late(stats, 105000, 7); /* the next window: the last one still counts */
    assert_true(value_of(lag) == 0.25);
    worker_stats_late(stats, 110000, 2);
    assert_true(value_of(lag) == 0.007);
    worker_stats_late(stats, 130000, 1); /* a long sleep: nothing before it counts */
    assert_true(value_of(lag) == 0.001);
    worker_stats_close(stats);
}

static void keys_have_an_age_until_they_are_gone(void **state)
{
    static const char age[] = "\ntiketi_jwks_age_seconds{worker=\"keys-0\"} ";
    (void)state;
    worker_stats_have_keys(clock_mono_ns()); /* of a thread that is no worker */
    struct worker_stats *stats = worker_stats_open("keys-0");
    assert_true(value_of(age) == -1);
    worker_stats_have_keys(clock_mono_ns() - UINT64_C(90000000000));
    assert_true(value_of(age) >= 90 && value_of(age) < 100);
    worker_stats_have_keys(0);
    assert_true(value_of(age) == -1);
    worker_stats_close(stats);
    worker_stats_have_keys(clock_mono_ns()); /* it is none any more */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_time_of_each_thread),
        cmocka_unit_test(the_largest_lateness_of_the_last_windows),
        cmocka_unit_test(keys_have_an_age_until_they_are_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
