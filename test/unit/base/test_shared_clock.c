/* SPDX-License-Identifier: MIT */
/* shared_clock: the best sample decides, the clock never falls but for a step of Redis' clock, and the skew is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/shared_clock.h"

#define MS INT64_C(1000) /* in us */

/* Redis' clock is `ahead_us` before this machine's; the round trip took `trip_us`, and all of it on the way there (1),
 * back (0), or half and half (0.5). */
static void sample(int64_t ahead_us, int64_t trip_us, double there)
{
    const uint64_t now_ns = clock_mono_ns();
    const uint64_t sent_ns = now_ns - (uint64_t)trip_us * 1000;
    const int64_t wall_us = clock_wall_ms() * 1000;
    const int64_t at_us = wall_us - trip_us + (int64_t)(there * (double)trip_us);
    shared_clock_sample(at_us + ahead_us, sent_ns, now_ns);
}

static void assert_ahead(int64_t expected_ms, int64_t error_ms)
{
    const int64_t ahead_ms = shared_clock_ms() - clock_wall_ms();
    assert_in_range(ahead_ms - expected_ms + error_ms + 1, 0, 2 * (error_ms + 1));
}

static void test_own_clock_before_the_first_sample(void **state)
{
    (void)state;
    assert_ahead(0, 1);
    assert_int_equal(shared_clock_skew_ms(), 0);
    assert_in_range(shared_clock_s() - clock_wall_s() + 1, 0, 2);
}

static void test_the_first_sample_counts_at_once(void **state)
{
    (void)state;
    sample(-3600000 * MS, 2 * MS, 0.5);
    assert_ahead(-3600000, 1);
    assert_in_range(shared_clock_skew_ms(), 3600000 - 2, 3600000 + 2);
    assert_in_range(shared_clock_s() - clock_wall_s() + 3600 + 1, 0, 2);
}

static void test_a_slow_round_trip_does_not_spoil_a_good_one(void **state)
{
    (void)state;
    sample(0, 1 * MS, 0.5);
    assert_ahead(0, 1);
    sample(0, 400 * MS, 1); /* by itself it would say 200 ms */
    assert_ahead(0, 1);
    sample(0, 400 * MS, 0);
    assert_ahead(0, 1);
}

static void test_a_slow_sample_counts_when_it_contradicts(void **state)
{
    (void)state;
    sample(0, 1 * MS, 0.5);
    sample(5000 * MS, 400 * MS, 0.5);
    assert_ahead(5000, 1);
    sample(5000 * MS, 1 * MS, 0.5);
    assert_ahead(5000, 2);
}

static void test_never_back_for_a_small_correction(void **state)
{
    (void)state;
    sample(6000 * MS, 1 * MS, 0.5);
    const int64_t before_ms = shared_clock_ms();
    sample(4000 * MS, 1 * MS, 0.5);
    for (int i = 0; i < 1000; i++)
        assert_true(shared_clock_ms() >= before_ms);
}

static void test_follows_redis_back_over_a_large_step(void **state)
{
    (void)state;
    sample(7200000 * MS, 1 * MS, 0.5);
    assert_ahead(7200000, 2);
    sample(0, 1 * MS, 0.5);
    assert_ahead(0, 2);
    assert_in_range(shared_clock_skew_ms() + 5, 0, 10);
}

static void test_nonsense_is_ignored(void **state)
{
    (void)state;
    sample(0, 1 * MS, 0.5);
    shared_clock_sample(0, clock_mono_ns(), clock_mono_ns());
    shared_clock_sample(INT64_C(1700000000000000), clock_mono_ns() + 1000000, clock_mono_ns());
    assert_ahead(0, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_clock_before_the_first_sample),
        cmocka_unit_test(test_the_first_sample_counts_at_once),
        cmocka_unit_test(test_a_slow_round_trip_does_not_spoil_a_good_one),
        cmocka_unit_test(test_a_slow_sample_counts_when_it_contradicts),
        cmocka_unit_test(test_never_back_for_a_small_correction),
        cmocka_unit_test(test_follows_redis_back_over_a_large_step),
        cmocka_unit_test(test_nonsense_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
