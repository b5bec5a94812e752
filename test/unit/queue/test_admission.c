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

#define INSIDE 500

/* A tick of an event that is full before it and after it. */
static void add(struct admission_rate *rate, uint64_t admitted, int64_t now_ms)
{
    rate->active = INSIDE;
    admission_rate_add(rate, &(struct admission_tick){.admitted = admitted,
                                                      .active = INSIDE,
                                                      .threshold = INSIDE,
                                                      .waiting = 9000,
                                                      .now_ms = now_ms});
}

static struct wait_estimate wait_of(double mean, double spread, uint64_t ticks, uint64_t position)
{
    return admission_wait(&(struct admission_pace){.mean = mean,
                                                   .spread = spread,
                                                   .ticks = ticks,
                                                   .interval_ms = 1000,
                                                   .inside = INSIDE,
                                                   .threshold = INSIDE,
                                                   .session_limit_ms = 600000,
                                                   .stock = UINT64_MAX},
                          position);
}

/* Follows from what was measured, steadily enough. */
static bool sure(struct wait_estimate wait)
{
    return wait.known && !wait.low_confidence;
}

static void nothing_is_known_at_first(void **state)
{
    (void)state;
    struct admission_rate rate = {0};
    for (int64_t t = 1000; t <= 60000; t += 1000)
        add(&rate, 0, t);
    assert_int_equal(rate.ticks, 0);
    assert_false(sure(wait_of(rate.mean, 0, rate.ticks, 1)));
}

static void the_first_fill_is_no_rate(void **state)
{
    (void)state;
    struct admission_rate rate = {0};
    add(&rate, 0, 10000);
    add(&rate, 1000, 20000);
    assert_int_equal(rate.ticks, 1);
    NEAR(rate.mean, 0, 0);
    add(&rate, 30, 30000);
    add(&rate, 30, 40000);
    NEAR(rate.mean, 3, 1e-9);
    NEAR(rate.variance, 0, 1e-9);
    struct wait_estimate wait = wait_of(rate.mean, 0, rate.ticks, 300);
    assert_true(wait.known);
    assert_int_equal(wait.seconds, 100);
    assert_int_equal(wait.low, 90); /* no estimate is surer than a tenth */
    assert_int_equal(wait.high, 110);
}

/* The event opens and fills its 300 slots in three ticks; then, for a minute, nobody is through; then 2 a second are. */
static void the_burst_of_the_opening_does_not_count(void **state)
{
    (void)state;
    struct admission_rate rate = {0};
    struct admission_tick tick = {.threshold = 300, .waiting = 5000, .now_ms = 1000};
    for (int i = 0; i < 3; i++) {
        tick.admitted = 100;
        tick.active += 100;
        tick.threshold = tick.active; /* the limit is raised step by step */
        tick.now_ms += 1000;
        admission_rate_add(&rate, &tick);
    }
    tick.admitted = 0;
    for (int i = 0; i < 60; i++) {
        tick.now_ms += 1000;
        admission_rate_add(&rate, &tick);
    }
    assert_int_equal(rate.ticks, 0);
    assert_false(sure(wait_of(rate.mean, sqrt(rate.variance), rate.ticks, 1000)));
    tick.admitted = 2;
    for (int i = 0; i < 5; i++) {
        tick.now_ms += 1000;
        admission_rate_add(&rate, &tick);
    }
    NEAR(rate.mean, 2, 1e-9);
    /* A threshold raised by 200 admits 202 at once, which is no rate; but 500 leave faster than 300. */
    tick.admitted = 202;
    tick.active += 200;
    tick.threshold += 200;
    tick.now_ms += 1000;
    admission_rate_add(&rate, &tick);
    NEAR(rate.mean, 2 * 500 / 300.0, 0.3);
}

/* While slots are empty the outflow limit sets the pace, and buyers do wait at that pace. */
static void an_outflow_limit_is_a_rate(void **state)
{
    (void)state;
    struct admission_rate rate = {0};
    for (int i = 1; i <= 20; i++)
        admission_rate_add(&rate, &(struct admission_tick){.admitted = 5,
                                                           .active = (uint64_t)i * 5,
                                                           .threshold = 1000,
                                                           .waiting = 800,
                                                           .now_ms = i * 1000});
    NEAR(rate.mean, 5, 1e-9);
}

static void three_ticks_must_have_admitted(void **state)
{
    (void)state;
    struct admission_rate rate = {0};
    for (int64_t i = 1; i <= 2; i++)
        add(&rate, 5, i * 1000);
    assert_false(sure(wait_of(rate.mean, 0, rate.ticks, 1)));
    add(&rate, 0, 3000);
    assert_false(sure(wait_of(rate.mean, 0, rate.ticks, 1)));
    add(&rate, 5, 4000);
    assert_true(sure(wait_of(rate.mean, 0, rate.ticks, 1)));
}

static void the_mean_is_admissions_over_time(void **state)
{
    (void)state;
    struct admission_rate rate = {0};
    int64_t t = 1000;
    add(&rate, 100, t);
    uint64_t sum = 0;
    for (int i = 0; i < 20; i++) { /* 40 s: less than is remembered */
        uint64_t n = i % 3 ? 4 : 0;
        sum += n;
        add(&rate, n, t += 2000);
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
        add(&rate, 10, t += 1000);
    NEAR(rate.mean, 10, 1e-6);
    for (int i = 0; i < 300; i++)
        add(&rate, 2, t += 1000);
    NEAR(rate.mean, 2, 0.1);
    assert_true(rate.variance < 1);
}

static void a_tick_on_request_does_not_upset_it(void **state)
{
    (void)state;
    struct admission_rate rate = {0};
    int64_t t = 1000;
    for (int i = 0; i < 12; i++)
        add(&rate, 50, t += 10000);
    double before = rate.mean;
    add(&rate, 3, t += 5); /* 600 a second, for 5 ms */
    NEAR(rate.mean, before, 0.1);
    add(&rate, 3, t); /* no time at all */
    NEAR(rate.mean, before, 0.1);
    add(&rate, 3, t - 60000); /* the clock was set back */
    NEAR(rate.mean, before, 0.1);
    add(&rate, 50, t - 50000);
    NEAR(rate.mean, 5, 0.2);
}

static void a_long_interval_is_remembered_by_its_ticks(void **state)
{
    (void)state;
    struct admission_rate rate = {0};
    int64_t t = 1000;
    for (int i = 0; i < 30; i++)
        add(&rate, i % 2 ? 600 : 0, t += 300000);
    NEAR(rate.mean, 1, 0.35);
    assert_true(sqrt(rate.variance) > 0.5);
}

static void a_rate_taken_over_goes_on(void **state)
{
    (void)state;
    struct admission_rate rate = {.mean = 8, .variance = 4, .ticks = 9, .last_ms = 50000};
    add(&rate, 0, 51000);
    assert_true(rate.mean > 7.5 && rate.mean < 8);
}

static void the_range_holds_the_estimate(void **state)
{
    (void)state;
    for (double spread = 0; spread < 40; spread += 0.7)
        for (uint64_t position = 1; position < 200000; position = position * 3 + 1) {
            struct wait_estimate wait = wait_of(7.5, spread, 30, position);
            assert_true(wait.known);
            assert_true(wait.low <= wait.seconds && wait.seconds <= wait.high);
            assert_true(wait.seconds >= 1);
            assert_true(wait.low_confidence || wait.high <= 2 * wait.low || wait.high <= 60);
        }
}

static void a_range_is_never_wider_than_twice(void **state)
{
    (void)state;
    struct wait_estimate wait = wait_of(2, 0.5, 30, 1000); /* steady */
    assert_true(sure(wait));
    assert_in_range(wait.low, 430, 480);
    assert_in_range(wait.high, 540, 570);
    wait =
        wait_of(2, 8, 4, 3000); /* one tick in four admits many: after four of them nobody knows */
    assert_true(wait.low_confidence);
    assert_int_equal(wait.seconds, 1500);
    assert_in_range(wait.low, 300, 600);
    wait = wait_of(2, 4, 60, 3000); /* less uneven, and after sixty: it is sure */
    assert_true(sure(wait));
    assert_true(wait.high <= 2 * wait.low);
}

static void no_estimate_from_nonsense(void **state)
{
    (void)state;
    const double bad[] = {0, -1, NAN, INFINITY, 1e-12};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(wait_of(bad[i], 1, 9, 1000).seconds, 360); /* as if nothing was measured */
    assert_false(wait_of(5, 1, 9, 0).known);
    assert_true(sure(wait_of(5, NAN, 9, 10)));
    assert_true(sure(wait_of(5, -3, 9, 10)));
    assert_false(wait_of(5, 0, 9, UINT64_MAX).known);
}

/* Until enough is measured: threshold, visit and outflow. */
static void a_first_estimate_has_low_confidence(void **state)
{
    (void)state;
    struct admission_pace pace = {.interval_ms = 1000,
                                  .inside = 100,
                                  .threshold = 100,
                                  .session_limit_ms = 600000,
                                  .stock = UINT64_MAX};
    struct wait_estimate wait = admission_wait(&pace, 200);
    assert_true(wait.known && wait.low_confidence);
    assert_int_equal(wait.seconds, 360); /* twice a visit of three minutes */
    assert_int_equal(wait.low, 180);
    assert_int_equal(wait.high, 720);
    pace.session_limit_ms = 60000;
    assert_int_equal(admission_wait(&pace, 200).seconds, 120);
    pace.inside = 40; /* sixty enter now */
    assert_int_equal(admission_wait(&pace, 60).seconds, 1);
    assert_int_equal(admission_wait(&pace, 160).seconds, 60);
    pace.outflow_per_minute = 60;
    assert_int_equal(admission_wait(&pace, 60).seconds, 60);
    assert_int_equal(admission_wait(&pace, 160).seconds, 160);
    pace.threshold = 0;
    assert_false(admission_wait(&pace, 1).known); /* nobody enters */
}

static void the_outflow_bounds_what_was_measured(void **state)
{
    (void)state;
    struct admission_pace pace = {.mean = 20,
                                  .ticks = 60,
                                  .interval_ms = 1000,
                                  .inside = 100,
                                  .threshold = 100,
                                  .stock = UINT64_MAX};
    assert_int_equal(admission_wait(&pace, 322).seconds, 17);
    pace.outflow_per_minute = 120;
    const struct wait_estimate wait = admission_wait(&pace, 322);
    assert_int_equal(wait.seconds, 161);
    assert_true(sure(wait));
    pace.stock = 300; /* seats for three hundred of them */
    assert_true(sure(admission_wait(&pace, 300)));
    assert_true(admission_wait(&pace, 301).low_confidence);
}

/* 200 inside, 4 a second enter: visits of 50 s. With a threshold of 10 nobody enters until 190 have left, and then one each
 * five seconds. */
static void another_threshold_scales_the_rate_at_once(void **state)
{
    (void)state;
    struct admission_rate rate = {0};
    struct admission_tick tick = {
        .admitted = 4, .active = 200, .threshold = 200, .waiting = 500, .now_ms = 1000};
    for (int i = 0; i < 90; i++, tick.now_ms += 1000)
        admission_rate_add(&rate, &tick);
    NEAR(rate.mean, 4, 0.01);
    admission_rate_scale(&rate, 200, 200); /* the same: nothing happens */
    NEAR(rate.mean, 4, 0.01);
    admission_rate_scale(&rate, 10, 200);
    NEAR(rate.mean, 0.2, 0.001);
    struct admission_pace pace = {.mean = rate.mean,
                                  .ticks = rate.ticks,
                                  .interval_ms = 1000,
                                  .inside = 200,
                                  .threshold = 10,
                                  .stock = UINT64_MAX};
    /* 50 s * ln 20 until there is a slot, and 37 buyers at 0.2 a second. */
    assert_in_range(admission_wait(&pace, 37).seconds, 330, 340);
    assert_in_range(admission_wait(&pace, 1).seconds, 150, 160);
    /* Nobody enters meanwhile, and the rate does not sink to nothing. */
    tick.threshold = 10;
    tick.admitted = 0;
    for (tick.active = 190; tick.active > 10; tick.active -= 10, tick.now_ms += 1000)
        admission_rate_add(&rate, &tick);
    NEAR(rate.mean, 0.2, 0.001);
    admission_rate_scale(&rate, 400, 10);
    NEAR(rate.mean, 8, 0.01);
    /* With an outflow limit half of the slots are empty: another threshold changes nothing. */
    rate = (struct admission_rate){.mean = 3, .ticks = 50, .threshold = 200, .seconds = 60};
    admission_rate_scale(&rate, 400, 100);
    NEAR(rate.mean, 3, 0.001);
}

static void polls_are_between_2_and_30_seconds(void **state)
{
    (void)state;
    const uint32_t dice[] = {0, 1, UINT32_MAX / 2, UINT32_MAX};
    for (size_t d = 0; d < sizeof(dice) / sizeof(dice[0]); d++) {
        for (uint64_t position = 0; position < 1000000; position = position * 2 + 1) {
            struct wait_estimate wait = wait_of(3, 1, 5, position);
            int64_t poll = admission_next_poll(&wait, position, 3600, dice[d]);
            assert_in_range(poll, 2, 30);
            poll = admission_next_poll(&(struct wait_estimate){0}, position, 3600, dice[d]);
            assert_in_range(poll, 2, 30);
        }
    }
    struct wait_estimate near = wait_of(10, 0, 5, 5);
    struct wait_estimate far = wait_of(10, 0, 5, 100000);
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
        cmocka_unit_test(the_burst_of_the_opening_does_not_count),
        cmocka_unit_test(an_outflow_limit_is_a_rate),
        cmocka_unit_test(three_ticks_must_have_admitted),
        cmocka_unit_test(the_mean_is_admissions_over_time),
        cmocka_unit_test(a_first_estimate_has_low_confidence),
        cmocka_unit_test(the_outflow_bounds_what_was_measured),
        cmocka_unit_test(another_threshold_scales_the_rate_at_once),
        cmocka_unit_test(it_follows_a_change),
        cmocka_unit_test(a_tick_on_request_does_not_upset_it),
        cmocka_unit_test(a_long_interval_is_remembered_by_its_ticks),
        cmocka_unit_test(a_rate_taken_over_goes_on),
        cmocka_unit_test(the_range_holds_the_estimate),
        cmocka_unit_test(a_range_is_never_wider_than_twice),
        cmocka_unit_test(no_estimate_from_nonsense),
        cmocka_unit_test(polls_are_between_2_and_30_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
