/* SPDX-License-Identifier: MIT */
/* The measured rate, the wait, the next poll. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/admission.h"

#define NEAR(a, b, by) assert_true(fabs((a) - (b)) <= (by))

static void nothing_is_known_at_first(void **state)
{
    (void)state;
    struct admission_rate rate = {0};
    for (int64_t t = 1000; t <= 60000; t += 1000)
        admission_rate_add(&rate, 0, t);
    assert_int_equal(rate.ticks, 0);
    assert_false(admission_wait(rate.mean, 0, rate.ticks, 1).known);
}

static void the_first_fill_is_no_rate(void **state)
{
    (void)state;
    struct admission_rate rate = {0};
    admission_rate_add(&rate, 0, 10000);
    admission_rate_add(&rate, 1000, 20000);
    assert_int_equal(rate.ticks, 1);
    NEAR(rate.mean, 0, 0);
    admission_rate_add(&rate, 30, 30000);
    admission_rate_add(&rate, 30, 40000);
    NEAR(rate.mean, 3, 1e-9);
    NEAR(rate.variance, 0, 1e-9);
    struct wait_estimate wait = admission_wait(rate.mean, 0, rate.ticks, 300);
    assert_true(wait.known);
    assert_int_equal(wait.seconds, 100);
    assert_int_equal(wait.low, 100);
    assert_int_equal(wait.high, 100);
}

static void three_ticks_must_have_admitted(void **state)
{
    (void)state;
    struct admission_rate rate = {0};
    for (int64_t i = 1; i <= 2; i++)
        admission_rate_add(&rate, 5, i * 1000);
    assert_false(admission_wait(rate.mean, 0, rate.ticks, 1).known);
    admission_rate_add(&rate, 0, 3000);
    assert_false(admission_wait(rate.mean, 0, rate.ticks, 1).known);
    admission_rate_add(&rate, 5, 4000);
    assert_true(admission_wait(rate.mean, 0, rate.ticks, 1).known);
}

static void the_mean_is_admissions_over_time(void **state)
{
    (void)state;
    struct admission_rate rate = {0};
    int64_t t = 1000;
    admission_rate_add(&rate, 100, t);
    uint64_t sum = 0;
    for (int i = 0; i < 20; i++) { /* 40 s: less than is remembered */
        uint64_t n = i % 3 ? 4 : 0;
        sum += n;
        admission_rate_add(&rate, n, t += 2000);
    }
    NEAR(rate.mean, (double)sum / 40, 1e-9);
    assert_true(rate.variance > 0);
}

static void it_follows_a_change(void **state)
{
    (void)state;
    struct admission_rate rate = {0};
    int64_t t = 1000;
    for (int i = 0; i < 60; i++)
        admission_rate_add(&rate, 10, t += 1000);
    NEAR(rate.mean, 10, 1e-6);
    for (int i = 0; i < 300; i++)
        admission_rate_add(&rate, 2, t += 1000);
    NEAR(rate.mean, 2, 0.1);
    assert_true(rate.variance < 1);
}

static void a_tick_on_request_does_not_upset_it(void **state)
{
    (void)state;
    struct admission_rate rate = {0};
    int64_t t = 1000;
    for (int i = 0; i < 12; i++)
        admission_rate_add(&rate, 50, t += 10000);
    double before = rate.mean;
    admission_rate_add(&rate, 3, t += 5); /* 600 a second, for 5 ms */
    NEAR(rate.mean, before, 0.1);
    admission_rate_add(&rate, 3, t); /* no time at all */
    NEAR(rate.mean, before, 0.1);
    admission_rate_add(&rate, 3, t - 60000); /* the clock was set back */
    NEAR(rate.mean, before, 0.1);
    admission_rate_add(&rate, 50, t - 50000);
    NEAR(rate.mean, 5, 0.2);
}

static void a_long_interval_is_remembered_by_its_ticks(void **state)
{
    (void)state;
    struct admission_rate rate = {0};
    int64_t t = 1000;
    for (int i = 0; i < 30; i++)
        admission_rate_add(&rate, i % 2 ? 600 : 0, t += 300000);
    NEAR(rate.mean, 1, 0.35);
    assert_true(sqrt(rate.variance) > 0.5);
}

static void a_rate_taken_over_goes_on(void **state)
{
    (void)state;
    struct admission_rate rate = {.mean = 8, .variance = 4, .ticks = 9, .last_ms = 50000};
    admission_rate_add(&rate, 0, 51000);
    assert_true(rate.mean > 7.5 && rate.mean < 8);
}

static void the_range_holds_the_estimate(void **state)
{
    (void)state;
    for (double spread = 0; spread < 40; spread += 0.7)
        for (uint64_t position = 1; position < 200000; position = position * 3 + 1) {
            struct wait_estimate wait = admission_wait(7.5, spread, 3, position);
            assert_true(wait.known);
            assert_true(wait.low <= wait.seconds && wait.seconds <= wait.high);
            assert_true(wait.seconds >= 1);
            assert_true(wait.high <= 4 * wait.seconds + 1);
        }
}

static void no_estimate_from_nonsense(void **state)
{
    (void)state;
    const double bad[] = {0, -1, NAN, INFINITY, 1e-12};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(admission_wait(bad[i], 1, 9, 1000).known);
    assert_false(admission_wait(5, 1, 9, 0).known);
    assert_true(admission_wait(5, NAN, 9, 10).known);
    assert_true(admission_wait(5, -3, 9, 10).known);
    assert_false(admission_wait(5, 0, 9, UINT64_MAX).known);
}

static void polls_are_between_2_and_30_seconds(void **state)
{
    (void)state;
    const uint32_t dice[] = {0, 1, UINT32_MAX / 2, UINT32_MAX};
    for (size_t d = 0; d < sizeof(dice) / sizeof(dice[0]); d++) {
        for (uint64_t position = 0; position < 1000000; position = position * 2 + 1) {
            struct wait_estimate wait = admission_wait(3, 1, 5, position);
            int64_t poll = admission_next_poll(&wait, position, 3600, dice[d]);
            assert_in_range(poll, 2, 30);
            poll = admission_next_poll(&(struct wait_estimate){0}, position, 3600, dice[d]);
            assert_in_range(poll, 2, 30);
        }
    }
    struct wait_estimate near = admission_wait(10, 0, 5, 5);
    struct wait_estimate far = admission_wait(10, 0, 5, 100000);
    assert_int_equal(admission_next_poll(&near, 5, 3600, 0), 2);
    assert_in_range(admission_next_poll(&far, 100000, 3600, 0), 20, 20);
    assert_in_range(admission_next_poll(&far, 100000, 3600, UINT32_MAX), 30, 30);
    assert_int_equal(admission_next_poll(&far, 100000, 20, UINT32_MAX), 20);
    assert_int_equal(admission_next_poll(&near, 5, 0, 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_at_first),
        cmocka_unit_test(the_first_fill_is_no_rate),
        cmocka_unit_test(three_ticks_must_have_admitted),
        cmocka_unit_test(the_mean_is_admissions_over_time),
        cmocka_unit_test(it_follows_a_change),
        cmocka_unit_test(a_tick_on_request_does_not_upset_it),
        cmocka_unit_test(a_long_interval_is_remembered_by_its_ticks),
        cmocka_unit_test(a_rate_taken_over_goes_on),
        cmocka_unit_test(the_range_holds_the_estimate),
        cmocka_unit_test(no_estimate_from_nonsense),
        cmocka_unit_test(polls_are_between_2_and_30_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
