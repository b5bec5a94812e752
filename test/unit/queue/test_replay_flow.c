/* SPDX-License-Identifier: MIT */
/*
 * replay_flow: what outflowPerMinute allows is accepted to the last admission, and one more is not.
 */
#include "queue/replay.h"
#include "queue/replay_flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define T0 INT64_C(1800000000000)

static struct replay_flow flow;

static int set_up(void **state)
{
    (void)state;
    flow = (struct replay_flow){.rate = 0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    replay_flow_clear(&flow);
    return 0;
}

/* So many admissions at that time; returns how many of them came too early. */
static int takes(int count, int64_t at_ms)
{
    int early = 0;
    for (int i = 0; i < count; i++)
        early += !replay_flow_take(&flow, true, T0 + at_ms);
    return early;
}

static void without_a_limit_all_is_allowed(void **state)
{
    (void)state;
    assert_int_equal(takes(100000, 0), 0);
    assert_int_equal(flow.worst_of, 0);
}

static void a_second_s_worth_at_once_then_the_rate(void **state)
{
    (void)state;
    replay_flow_change(&flow, 600, T0);
    assert_int_equal(takes(10, 0), 0);
    assert_int_equal(takes(1, 0), 1);
    for (int64_t at = 100; at <= 20000; at += 100)
        assert_int_equal(takes(1, at), 0);
    assert_int_equal(takes(1, 20000), 1);
    /* Ten at once, one that came too early, and one each 100 ms. */
    assert_int_equal(flow.worst_of, 110);
    assert_int_equal(flow.worst, 110);
    assert_int_equal(takes(10, 40000), 0);
    assert_int_equal(takes(1, 40000), 1);
}

static void a_small_rate_allows_one(void **state)
{
    (void)state;
    replay_flow_change(&flow, 2, T0);
    assert_int_equal(takes(1, 0), 0);
    assert_int_equal(takes(1, 29998), 1);
    assert_int_equal(takes(1, 59999), 0); /* a ms early: times are rounded */
    assert_int_equal(takes(2, 3600000), 1);
}

static void long_windows_are_judged_as_well(void **state)
{
    (void)state;
    replay_flow_change(&flow, 600, T0);
    int early[2] = {0, 0};
    for (int64_t at = 0; at < 110000; at += 99) /* 1 % too fast: no 10 s show it, but 100 do */
        early[at > 85000] += takes(1, at);
    assert_int_equal(early[0], 0);
    assert_true(early[1] > 0);
    assert_in_range(flow.worst, 101, 102);
}

static void a_changed_rate_keeps_the_bucket(void **state)
{
    (void)state;
    replay_flow_change(&flow, 60, T0);
    assert_int_equal(takes(1, 0), 0);
    replay_flow_change(&flow, 6000, T0 + 500); /* a half of a token, and a larger bucket */
    assert_int_equal(takes(1, 500), 1);
    replay_flow_change(&flow, 6000, T0 + 500);
    assert_int_equal(takes(50, 1000), 0);
    assert_int_equal(takes(2, 1000), 2);
    replay_flow_change(&flow, 60, T0 + 3000); /* it was full: one is left */
    assert_int_equal(takes(2, 3000), 1);
    replay_flow_change(&flow, 0, T0 + 3000);
    assert_int_equal(takes(500, 3000), 0);
}

/* The copy of the log in PostgreSQL may lack the first of two changes to one rate without an admission between them. */
static void two_changes_in_a_row_begin_with_a_full_bucket(void **state)
{
    (void)state;
    replay_flow_change(&flow, 6, T0);
    assert_int_equal(takes(1, 0), 0);
    replay_flow_change(&flow, 120, T0 + 2000);
    replay_flow_change(&flow, 60, T0 + 2100);
    assert_int_equal(takes(1, 2100), 0);
    assert_int_equal(takes(1, 2100), 1);
}

static void admissions_by_hand_are_allowed_and_take_tokens(void **state)
{
    (void)state;
    replay_flow_change(&flow, 600, T0);
    assert_int_equal(takes(3, 0), 0);
    replay_flow_by_hand(&flow, 40);
    assert_false(!replay_flow_take(&flow, false, T0)); /* a direct admission is none of them */
    assert_int_equal(takes(40, 0), 0);
    assert_int_equal(takes(1, 0), 1);
    assert_int_equal(takes(2, 200), 0);
    assert_true(flow.worst <= 7);
}

static void a_step_back_of_the_clock_is_no_time(void **state)
{
    (void)state;
    replay_flow_change(&flow, 60, T0);
    assert_int_equal(takes(1, 3600000), 0);
    replay_flow_pass(&flow, T0);
    assert_int_equal(takes(1, 500), 1);
    assert_int_equal(takes(1, 1500), 0);
}

static unsigned sentences;

static void count_sentence(void *arg, const char *kind, const char *example)
{
    (void)arg;
    assert_string_equal(kind, "admitted before the outflow limit allowed it");
    assert_string_equal(example, "u:x with place 4, limit 120 a minute");
    sentences++;
}

/* In a log: direct admissions count, restored ones do not; entries of no buyer change no count; a loss of data gives back a
 * full bucket and keeps the limit. */
static void a_log_is_judged(void **state)
{
    (void)state;
    struct replay check;
    sentences = 0;
    replay_init(&check, 120000, count_sentence, NULL);
    struct replay_entry entry = {.kind = REPLAY_OUTFLOW, .place = 120, .epoch = 1, .at_ms = T0};
    entry.threshold = 100;
    replay_take(&check, &entry, "", NULL);
    static const enum replay_kind enter[] = {REPLAY_DIRECT, REPLAY_RESTORED, REPLAY_OFFERED,
                                             REPLAY_OFFERED};
    for (uint64_t i = 0; i < 4; i++) {
        entry = (struct replay_entry){.kind = enter[i], .place = i + 1, .epoch = 1, .at_ms = T0};
        entry.threshold = 100;
        entry.inside = entry.n = i + 1;
        replay_take(&check, &entry, "u:x", NULL);
    }
    assert_int_equal(check.outflow_breaks, 1);
    assert_int_equal(sentences, 1);
    entry = (struct replay_entry){.kind = REPLAY_BY_HAND, .place = 1, .epoch = 1, .at_ms = T0};
    entry.inside = entry.n = 4;
    replay_take(&check, &entry, "", NULL);
    for (uint64_t i = 5; i <= 6; i++) {
        entry.kind = REPLAY_OFFERED;
        entry.place = entry.inside = entry.n = i;
        entry.threshold = 100;
        if (i == 6)
            replay_loss(&check, T0);
        replay_take(&check, &entry, "u:x", NULL);
    }
    assert_int_equal(check.outflow_breaks, 1);
    assert_int_equal(check.over_admissions, 0);
    assert_int_equal(check.flow.rate, 120);
    replay_clear(&check);
}

#define CHECK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHECK(without_a_limit_all_is_allowed),
        CHECK(a_second_s_worth_at_once_then_the_rate),
        CHECK(a_small_rate_allows_one),
        CHECK(long_windows_are_judged_as_well),
        CHECK(a_changed_rate_keeps_the_bucket),
        CHECK(two_changes_in_a_row_begin_with_a_full_bucket),
        CHECK(admissions_by_hand_are_allowed_and_take_tokens),
        CHECK(a_step_back_of_the_clock_is_no_time),
        CHECK(a_log_is_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
