/* SPDX-License-Identifier: MIT */
/* event_stats: the holder alone tells; series are bounded, and end a minute after a closed event is empty. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "queue/event_stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)

static struct buf out;

static void scrape(uint64_t now_ns)
{
    const struct metrics_text text = {.out = &out};
    buf_clear(&out);
    buf_init(&out, 4 << 20);
    event_stats_write(&text, now_ns);
    assert_int_equal(buf_status(&out), ST_OK);
}

/* The value of a series; -1: it is not told. Fails when it is told twice. */
static double value_of(const char *series)
{
    const size_t len = strlen(series);
    double value = -1;
    for (const char *at = buf_str(&out); *at != '\0'; at += strcspn(at, "\n") + 1) {
        if (strncmp(at, series, len) != 0 || at[len] != ' ')
            continue;
        assert_true(value == -1);
        value = strtod(at + len + 1, NULL);
    }
    return value;
}

static struct event_numbers numbers(enum event_status status, int64_t inside, int64_t direct)
{
    struct event_numbers now = {.status = status,
                                .limit = {.by = LIMITED_BY_OUTFLOW,
                                          .waiting = 7,
                                          .inside = inside,
                                          .threshold = 30,
                                          .base = 20},
                                .admissions_per_second = 2.5,
                                .estimate_s = -1};
    now.counts[EVENT_COUNT_DIRECT] = direct;
    now.counts[EVENT_COUNT_LEDGER_LAG] = 1500;
    return now;
}

static void only_the_holder_tells(void **state)
{
    (void)state;
    struct event_stats *stats = event_stats_open("gala");
    const struct event_numbers now = numbers(EVENT_OPEN, 4, 3);
    scrape(clock_mono_ns());
    assert_true(value_of("tiketi_event_lease_held{event=\"gala\"}") == 0);
    assert_null(strstr(buf_str(&out), "tiketi_event_waiting{"));

    event_stats_hold(stats, true, false);
    scrape(clock_mono_ns());
    assert_true(value_of("tiketi_event_lease_held{event=\"gala\"}") == 1);
    assert_null(strstr(buf_str(&out), "tiketi_event_waiting{")); /* nothing is known yet */
    event_stats_note(stats, &now);
    scrape(clock_mono_ns() + 3 * SECOND);
    assert_true(value_of("tiketi_event_waiting{event=\"gala\"}") == 7);
    assert_true(value_of("tiketi_event_inside{event=\"gala\"}") == 4);
    assert_true(value_of("tiketi_event_threshold{event=\"gala\"}") == 20);
    assert_true(value_of("tiketi_event_threshold_in_force{event=\"gala\"}") == 30);
    assert_true(value_of("tiketi_event_limited_by{event=\"gala\",reason=\"outflow\"}") == 1);
    assert_true(value_of("tiketi_event_limited_by{event=\"gala\",reason=\"threshold\"}") == 0);
    assert_true(value_of("tiketi_event_limited_by{event=\"gala\",reason=\"backend\"}") == -1);
    assert_true(value_of("tiketi_event_status{event=\"gala\",status=\"open\"}") == 1);
    assert_true(value_of("tiketi_event_status{event=\"gala\",status=\"closed\"}") == 0);
    assert_true(value_of("tiketi_event_ledger_lag_seconds{event=\"gala\"}") == 1.5);
    assert_true(value_of("tiketi_event_wait_estimate_seconds{event=\"gala\"}") == -1); /* none */
    assert_true(value_of("tiketi_event_tick_age_seconds{event=\"gala\"}") == -1);      /* never */
    assert_true(value_of("tiketi_event_seats{event=\"gala\",state=\"free\"}") == -1);
    const double age = value_of("tiketi_event_index_age_seconds{event=\"gala\"}");
    assert_true(age >= 3 && age < 4);

    event_stats_ticked(stats);
    event_stats_note_stock(stats, &(struct event_stock){5, 4, 3, 2, 49.5, "EUR"});
    scrape(clock_mono_ns());
    assert_true(value_of("tiketi_event_tick_age_seconds{event=\"gala\"}") >= 0);
    assert_true(value_of("tiketi_event_seats{event=\"gala\",state=\"free\"}") == 5);
    assert_true(value_of("tiketi_event_seats{event=\"gala\",state=\"blocked\"}") == 2);
    assert_true(value_of("tiketi_event_revenue{event=\"gala\",currency=\"EUR\"}") == 49.5);

    event_stats_hold(stats, false, true);
    scrape(clock_mono_ns());
    assert_true(value_of("tiketi_event_lease_held{event=\"gala\"}") == 0);
    assert_null(strstr(buf_str(&out), "tiketi_event_waiting{"));
    event_stats_close(stats);
    scrape(clock_mono_ns());
    assert_null(strstr(buf_str(&out), "gala"));
}

static void waits_and_errors(void **state)
{
    (void)state;
    struct event_stats *stats = event_stats_open("waits");
    struct event_numbers now = numbers(EVENT_OPEN, 4, 3);
    event_stats_hold(stats, true,
                     false); /* the first holder: three were admitted directly before */
    event_stats_note(stats, &now);
    event_stats_waited(stats, 45);
    event_stats_erred(stats, 12);
    event_stats_erred(stats, -70);
    now.counts[EVENT_COUNT_DIRECT] = 5;
    event_stats_note(stats, &now);
    scrape(clock_mono_ns());
    assert_true(value_of("tiketi_event_wait_seconds_bucket{event=\"waits\",le=\"1\"}") == 5);
    assert_true(value_of("tiketi_event_wait_seconds_bucket{event=\"waits\",le=\"30\"}") == 5);
    assert_true(value_of("tiketi_event_wait_seconds_bucket{event=\"waits\",le=\"60\"}") == 6);
    assert_true(value_of("tiketi_event_wait_seconds_sum{event=\"waits\"}") == 45);
    assert_true(
        value_of("tiketi_event_estimate_error_seconds_sum{event=\"waits\",wait=\"longer\"}") == 12);
    assert_true(
        value_of("tiketi_event_estimate_error_seconds_sum{event=\"waits\",wait=\"shorter\"}") ==
        70);

    event_stats_hold(stats, false, true);
    event_stats_hold(stats, true, true); /* somebody else had it meanwhile, and counted theirs */
    now.counts[EVENT_COUNT_DIRECT] = 50;
    event_stats_note(stats, &now);
    now.counts[EVENT_COUNT_DIRECT] = 51;
    event_stats_note(stats, &now);
    scrape(clock_mono_ns());
    assert_true(value_of("tiketi_event_wait_seconds_count{event=\"waits\"}") == 7);
    event_stats_close(stats);
}

static void a_closed_event_is_told_for_a_minute_after_its_last_buyer(void **state)
{
    (void)state;
    struct event_stats *stats = event_stats_open("over");
    struct event_numbers now = numbers(EVENT_CLOSED, 1, 0);
    event_stats_hold(stats, true, false);
    event_stats_note(stats, &now);
    scrape(clock_mono_ns() + 3600 * SECOND);
    assert_true(value_of("tiketi_event_inside{event=\"over\"}") ==
                1); /* somebody is still inside */
    now.limit.inside = 0;
    event_stats_note(stats, &now);
    event_stats_note(stats, &now); /* the minute counts from the first of them */
    scrape(clock_mono_ns() + 59 * SECOND);
    assert_true(value_of("tiketi_event_inside{event=\"over\"}") == 0);
    scrape(clock_mono_ns() + 61 * SECOND);
    assert_null(strstr(buf_str(&out), "event=\"over\""));
    now.status = EVENT_OPEN; /* it was opened again */
    event_stats_note(stats, &now);
    scrape(clock_mono_ns() + 61 * SECOND);
    assert_true(value_of("tiketi_event_inside{event=\"over\"}") == 0);
    event_stats_close(stats);
}

static void series_are_bounded_and_held_events_come_first(void **state)
{
    static struct event_stats *all[EVENT_STATS_MAX + 2];
    const struct event_numbers now = numbers(EVENT_OPEN, 4, 3);
    char id[32];
    (void)state;
    for (int i = 0; i < EVENT_STATS_MAX + 2; i++) {
        (void)snprintf(id, sizeof(id), "event-%d", i);
        all[i] = event_stats_open(id);
    }
    scrape(clock_mono_ns());
    assert_true(value_of("tiketi_event_lease_held{event=\"event-199\"}") == 0);
    assert_true(value_of("tiketi_event_lease_held{event=\"event-201\"}") == -1);
    event_stats_hold(all[201], true, false); /* takes the series of one that is not held */
    event_stats_note(all[201], &now);
    scrape(clock_mono_ns());
    assert_true(value_of("tiketi_event_waiting{event=\"event-201\"}") == 7);
    size_t rows = 0;
    for (const char *at = buf_str(&out); (at = strstr(at, "\ntiketi_event_lease_held{")); at++)
        rows++;
    assert_int_equal(rows, EVENT_STATS_MAX);

    for (int i = 0; i < EVENT_STATS_MAX + 2; i++) {
        event_stats_hold(all[i], true, false);
        event_stats_note(all[i], &now);
    }
    scrape(clock_mono_ns());
    rows = 0;
    for (const char *at = buf_str(&out); (at = strstr(at, "\ntiketi_event_waiting{")); at++)
        rows++;
    assert_int_equal(rows, EVENT_STATS_MAX);
    struct buf text;
    buf_init(&text, 1 << 20);
    metrics_write(&(struct metrics_text){.out = &text});
    assert_non_null(strstr(buf_str(&text), "\ntiketi_events_unexported_total 2\n"));
    buf_clear(&text);
    /* One of them ends: a later one, which goes on, is told from then on. */
    assert_null(strstr(buf_str(&out), "event=\"event-200\""));
    event_stats_close(all[0]);
    event_stats_note(all[200], &now);
    scrape(clock_mono_ns());
    assert_true(value_of("tiketi_event_waiting{event=\"event-200\"}") == 7);
    for (int i = 1; i < EVENT_STATS_MAX + 2; i++)
        event_stats_close(all[i]);
}

static void two_workers_have_an_event(void **state)
{
    (void)state;
    struct event_stats *old = event_stats_open("both");
    struct event_stats *new = event_stats_open("both");
    const struct event_numbers now = numbers(EVENT_OPEN, 4, 3);
    event_stats_hold(new, true, false);
    event_stats_note(new, &now);
    scrape(clock_mono_ns());
    assert_true(value_of("tiketi_event_waiting{event=\"both\"}") == 7);
    event_stats_close(new);
    event_stats_hold(old, true, true);
    event_stats_note(old, &now);
    scrape(clock_mono_ns());
    assert_true(value_of("tiketi_event_waiting{event=\"both\"}") == 7);
    event_stats_close(old);
}

static void counts_are_read_strictly(void **state)
{
    int64_t counts[EVENT_COUNT_COUNT];
    (void)state;
    assert_int_equal(event_counts_parse("1 2 3 4 5 6 7 8 9 10 11 12 13", counts), ST_OK);
    assert_int_equal(counts[EVENT_COUNT_JOINED], 1);
    assert_int_equal(counts[EVENT_COUNT_PARKED], 12);
    assert_int_equal(counts[EVENT_COUNT_LEDGER_LAG], 13);
    static const char *const bad[] = {"", "1 2 3", "1 2 3 4 5 6 7 8 9 10 11 12 13 14",
                                      "1 2 3 4 5 6 7 8 9 10 11 12 x",
                                      "1,2 3 4 5 6 7 8 9 10 11 12 13"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(event_counts_parse(bad[i], counts), ST_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_holder_tells),
        cmocka_unit_test(waits_and_errors),
        cmocka_unit_test(a_closed_event_is_told_for_a_minute_after_its_last_buyer),
        cmocka_unit_test(series_are_bounded_and_held_events_come_first),
        cmocka_unit_test(two_workers_have_an_event),
        cmocka_unit_test(counts_are_read_strictly),
    };
    buf_init(&out, 0);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_clear(&out);
    return failed;
}
