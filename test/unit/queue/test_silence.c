/* SPDX-License-Identifier: MIT */
/* silence: an open event whose last tick does not change for three intervals; several workers count it once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "queue/silence.h"

static struct silence_look at(uint64_t now_ms, int64_t ticked_ms)
{
    return (struct silence_look){.event = "gala",
                                 .open = true,
                                 .ticked_ms = ticked_ms,
                                 .interval_ms = 10000,
                                 .now_ms = now_ms};
}

static int64_t see(struct silence *silence, uint64_t now_ms, int64_t ticked_ms)
{
    const struct silence_look look = at(now_ms, ticked_ms);
    return silence_see(silence, &look);
}

static void three_intervals(void **state)
{
    struct silence silence = {0};
    (void)state;
    assert_int_equal(see(&silence, 1000, 77), 0);
    assert_int_equal(see(&silence, 30999, 77), 0);
    assert_int_equal(silence_count(clock_mono_ns()), 0);
    assert_int_equal(see(&silence, 31000, 77), 30000);
    assert_int_equal(silence_count(clock_mono_ns()), 1);
    assert_int_equal(see(&silence, 32000, 77), 31000);
    /* Nobody repeats it: the worker has ended, or has forgotten the event. */
    assert_int_equal(silence_count(clock_mono_ns() + UINT64_C(4000000000)), 0);
    assert_int_equal(see(&silence, 33000, 78), 0);
    assert_int_equal(silence_count(clock_mono_ns()), 0);
    assert_int_equal(see(&silence, 62999, 78), 0);
    /* A clock that steps back is a change as well. */
    assert_int_equal(see(&silence, 63500, 70), 0);
    assert_int_equal(see(&silence, 93000, 70), 0);
}

static void never_sooner_than_a_lease_changes_hands(void **state)
{
    struct silence silence = {0};
    (void)state;
    struct silence_look look = at(1000, 5);
    look.interval_ms = 100;
    assert_int_equal(silence_see(&silence, &look), 0);
    look.now_ms = 5999;
    assert_int_equal(silence_see(&silence, &look), 0);
    look.now_ms = 6000;
    assert_int_equal(silence_see(&silence, &look), 5000);
    look.open = false; /* paused: that is no silence */
    assert_int_equal(silence_see(&silence, &look), 0);
    assert_int_equal(silence_count(clock_mono_ns()), 0);
    look.open = true; /* opened again: the time counts anew */
    look.now_ms = 20000;
    assert_int_equal(silence_see(&silence, &look), 0);
    look.now_ms = 24999;
    assert_int_equal(silence_see(&silence, &look), 0);
}

static void without_redis_nobody_knows(void **state)
{
    struct silence silence = {0};
    (void)state;
    assert_int_equal(see(&silence, 1000, 5), 0);
    silence_forget(&silence, "gala");
    assert_int_equal(see(&silence, 60000, 5), 0); /* the first look after it */
    assert_int_equal(see(&silence, 89999, 5), 0);
    assert_int_equal(see(&silence, 90000, 5), 30000);
    silence_forget(&silence, "gala");
    assert_int_equal(silence_count(clock_mono_ns()), 0);
}

static void two_workers_count_one_event(void **state)
{
    struct silence a = {0}, b = {0}, other = {0};
    (void)state;
    struct silence_look look = at(1000, 5);
    look.event = "twice";
    (void)silence_see(&a, &look);
    (void)silence_see(&b, &look);
    look.event = "another";
    (void)silence_see(&other, &look);
    look.now_ms = 50000;
    assert_int_equal(silence_see(&other, &look), 49000);
    look.event = "twice";
    assert_int_equal(silence_see(&a, &look), 49000);
    assert_int_equal(silence_see(&b, &look), 49000);
    assert_int_equal(silence_count(clock_mono_ns()), 2);
    /* The first one sees a tick; the other one will within a second, and does not contradict until then. */
    look.ticked_ms = 6;
    assert_int_equal(silence_see(&a, &look), 0);
    look.ticked_ms = 5;
    (void)silence_see(&b, &look);
    assert_int_equal(silence_count(clock_mono_ns()), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_intervals),
        cmocka_unit_test(never_sooner_than_a_lease_changes_hands),
        cmocka_unit_test(without_redis_nobody_knows),
        cmocka_unit_test(two_workers_count_one_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
