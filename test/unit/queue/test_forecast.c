/* SPDX-License-Identifier: MIT */
/* Forecasts: the arithmetic of queues, and each rule by itself. That all rules together are those of the scripts is
 * tested in test/lua/forecast.test.mjs. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "queue/forecast.h"

#define MINUTE  INT64_C(60000)
#define HOUR    INT64_C(3600000)
#define SECONDS INT64_C(1000)

/* Nobody gives up, everybody claims, buys nothing and stays for one minute; seats are no limit. */
static struct forecast_input plain(int64_t waiting, int64_t threshold)
{
    return (struct forecast_input){.waiting = waiting,
                                   .seats_per_sale = 1,
                                   .visit_mean_ms = 60000,
                                   .threshold = threshold,
                                   .interval_ms = 10 * SECONDS,
                                   .claim_ms = 90 * SECONDS,
                                   .silent_ms = 120 * SECONDS,
                                   .idle_timeout_ms = 90 * SECONDS,
                                   .seats = -1,
                                   .horizon_ms = 24 * HOUR};
}

static struct forecast_result result_of(const struct forecast_input *input)
{
    struct forecast_result result;
    const char *field = "";
    assert_int_equal(forecast_check(input, &field), ST_OK);
    struct forecast *forecast = forecast_new(input, NULL, NULL);
    while (!forecast_step(forecast, 1000))
        ;
    forecast_result(forecast, &result);
    forecast_free(forecast);
    /* Everybody is somewhere. */
    const int64_t ended =
        result.bought + result.left + result.unclaimed + result.idle + result.timeout;
    assert_true(ended <= result.entered + input->inside);
    if (result.drain_ms != FORECAST_NEVER && result.sold_out_ms == FORECAST_NEVER)
        assert_int_equal(ended, result.entered + input->inside);
    assert_true(result.entered + result.parked + result.still_waiting <=
                input->waiting + input->arrivals);
    assert_true(result.peak_inside <= input->threshold || input->surge_count > 0 ||
                input->inside > input->threshold);
    return result;
}

/* 1,000 inside, 99,000 wait; in each interval a share of the slots becomes free. */
static struct forecast_input rush(int64_t threshold, int64_t interval_ms, double visit_ms)
{
    struct forecast_input input = plain(99000, threshold);
    input.inside = 1000;
    input.interval_ms = input.first_tick_ms = interval_ms;
    input.visit_mean_ms = visit_ms;
    return input;
}

static void the_founding_arithmetic(void **state)
{
    (void)state;
    char text[FORECAST_DURATION_SIZE], sentence[120];
    /* 1,000 inside, 100 s each: 100 every 10 s */
    const struct forecast_input slow = rush(1000, 10 * SECONDS, 100000);
    const struct forecast_result now = result_of(&slow);
    assert_int_equal(now.last_wait_ms, 9900 * SECONDS);
    assert_int_equal(now.drain_ms, 9900 * SECONDS);
    forecast_write_duration(now.last_wait_ms, text);
    assert_string_equal(text, "2 h 45 min");
    assert_true(fabs(now.entered_per_minute - 600) < 1);

    /* 1,000 inside, 25 s each: 200 every 5 s */
    const struct forecast_input quick = rush(1000, 5 * SECONDS, 25000);
    const struct forecast_result then = result_of(&quick);
    assert_int_equal(then.last_wait_ms, 2475 * SECONDS);
    struct forecast_change change = forecast_compare(&now, &then);
    assert_int_equal(change.kind, FORECAST_SHORTER);
    forecast_write_change(&change, sentence, sizeof(sentence));
    assert_string_equal(sentence, "the last in line waits 42 min instead of 2 h 45 min");

    /* 5,000 inside, 50 s each: 4,000 at once, then 500 every 5 s */
    const struct forecast_input large = rush(5000, 5 * SECONDS, 50000);
    const struct forecast_result most = result_of(&large);
    assert_in_range(most.last_wait_ms, 940 * SECONDS, 960 * SECONDS);
    forecast_write_duration(most.last_wait_ms, text);
    assert_string_equal(text, "16 min");
    assert_int_equal(most.peak_inside, 5000);
}

static void the_wait_follows_the_position(void **state)
{
    (void)state;
    struct forecast_input input = plain(1000, 100); /* 100 a minute */
    struct forecast *forecast = forecast_new(&input, NULL, NULL);
    while (!forecast_step(forecast, 1))
        ;
    assert_int_equal(forecast_wait_ms(forecast, 0), 0);
    assert_int_equal(forecast_wait_ms(forecast, 99), 0);
    assert_int_equal(forecast_wait_ms(forecast, 100), MINUTE);
    assert_int_equal(forecast_wait_ms(forecast, 999), 9 * MINUTE);
    struct forecast_result result;
    forecast_result(forecast, &result);
    assert_int_equal(result.last_wait_ms, 9 * MINUTE);
    assert_int_equal(result.wait_p50_ms, 4 * MINUTE);
    assert_int_equal(result.wait_p90_ms, 8 * MINUTE);
    assert_int_equal(result.wait_max_ms, 9 * MINUTE);
    assert_int_equal(result.end_ms, 10 * MINUTE);
    assert_int_equal(result.peak_waiting, 1000);
    forecast_free(forecast);
}

/* A slot that becomes free waits for the next tick: half an interval on average. */
static void an_interval_leaves_slots_empty(void **state)
{
    (void)state;
    struct forecast_input input = plain(20000, 100);
    input.visit_spread_ms = 30000;
    input.interval_ms = 1 * SECONDS;
    const double quick = (double)result_of(&input).drain_ms;
    input.interval_ms = 60 * SECONDS;
    const double slow = (double)result_of(&input).drain_ms;
    assert_true(fabs(quick - 199.0 * 60500) < 0.01 * quick);
    assert_true(fabs(slow - 199.0 * 90000) < 0.03 * slow);
}

static void nobody_waits_while_there_is_room(void **state)
{
    (void)state;
    struct forecast_input input = plain(0, 100);
    input.arrivals = 900;
    input.arrive_ms = 10 * MINUTE; /* 90 a minute, 90 inside */
    const struct forecast_result result = result_of(&input);
    assert_int_equal(result.direct, 900);
    assert_int_equal(result.wait_max_ms, 0);
    assert_int_equal(result.peak_waiting, 0);
    assert_in_range(result.peak_inside, 89, 91);
    assert_int_equal(result.drain_ms, 0);
    input.threshold = 80;
    const struct forecast_result busy = result_of(&input);
    assert_true(busy.direct < 900);
    assert_int_equal(busy.entered, 900);
    assert_true(busy.drain_ms > 8 * MINUTE);
}

/* The interval is too long for it, but the next token is waited for, whatever the promotion is. */
static void outflow_is_a_flow(void **state)
{
    (void)state;
    for (int continuous = 0; continuous <= 1; continuous++) {
        struct forecast_input input = plain(1000, 1000);
        input.outflow_per_minute = 100;
        input.interval_ms = 5 * SECONDS;
        input.continuous = continuous;
        struct forecast *forecast = forecast_new(&input, NULL, NULL);
        while (!forecast_step(forecast, 100000))
            ;
        /* One enters at 0, when the bucket holds 1.67; buyer n when n - 0.67 more have come. */
        for (int64_t buyer = 1; buyer < 1000; buyer += 111) {
            const int64_t token_ms = buyer * 600 - 400;
            assert_in_range(forecast_wait_ms(forecast, buyer), token_ms, token_ms + 600);
        }
        struct forecast_result result;
        forecast_result(forecast, &result);
        assert_in_range(result.last_wait_ms, 599000, 599600);
        forecast_free(forecast);
    }
}

/* Visits of a minute, ticks of ten seconds: slots stay empty for five seconds of 65, unless they are refilled at once. */
static void continuous_promotion_leaves_no_slot_empty(void **state)
{
    (void)state;
    struct forecast_input input = plain(2000, 100);
    input.interval_ms = 10 * SECONDS;
    input.visit_mean_ms = 20 * SECONDS;
    input.visit_spread_ms = 20 * SECONDS;
    const struct forecast_result slow = result_of(&input);
    input.continuous = true;
    const struct forecast_result fast = result_of(&input);
    assert_true(slow.entered_per_minute < 0.85 * 300);
    assert_true(fast.entered_per_minute > 0.98 * 300);
    /* Nobody leaves: there is nothing to refill, and both are alike. */
    input.visit_mean_ms = 1e9;
    input.visit_spread_ms = 0;
    input.horizon_ms = 10 * MINUTE;
    assert_int_equal(result_of(&input).entered, 100);
    input.continuous = false;
    assert_int_equal(result_of(&input).entered, 100);
}

static void surge_rules_raise_the_threshold_and_let_go_late(void **state)
{
    (void)state;
    struct forecast_input input = plain(1000, 10);
    input.surge_count = 2;
    input.surge[0] = (struct surge_rule){.queue_above = 500, .threshold = 100};
    input.surge[1] = (struct surge_rule){.queue_above = 800, .threshold = 200};
    const struct forecast_result result = result_of(&input);
    assert_int_equal(result.peak_inside, 200);
    /* 200 enter at 0, 200 more at 1 min (800 wait: still above 80 % of 800), then 600: 100 a minute. At 400 waiting the
     * lower rule still holds, below it the base is in force. */
    struct forecast *forecast = forecast_new(&input, NULL, NULL);
    while (!forecast_step(forecast, 100000))
        ;
    assert_int_equal(forecast_wait_ms(forecast, 199), 0);
    assert_int_equal(forecast_wait_ms(forecast, 399), 1 * MINUTE);
    assert_int_equal(forecast_wait_ms(forecast, 599), 3 * MINUTE);
    assert_int_equal(forecast_wait_ms(forecast, 699), 4 * MINUTE);
    assert_int_equal(forecast_wait_ms(forecast, 709), 5 * MINUTE);
    forecast_free(forecast);
    input.surge[1].threshold = 5; /* below the base: the base stays in force */
    input.surge_count = 2;
    input.surge[0].threshold = 5;
    assert_int_equal(result_of(&input).peak_inside, 10);
}

static void an_offer_that_nobody_claims_holds_its_slot(void **state)
{
    (void)state;
    struct forecast_input input = plain(1000, 10);
    input.no_show = 1;
    const struct forecast_result none = result_of(&input);
    assert_int_equal(none.unclaimed, 1000);
    /* 90 s and the tick after: an offer that is exactly claimMs old has not run out yet */
    assert_int_equal(none.last_wait_ms, 99 * 100 * SECONDS);
    input.no_show = 0.1;
    const struct forecast_result some = result_of(&input);
    assert_in_range(some.unclaimed, 95, 105);
    assert_int_equal(some.left, 1000 - some.unclaimed);
}

static void who_gave_up_costs_no_slot(void **state)
{
    (void)state;
    struct forecast_input input = plain(10000, 100);
    const struct forecast_result all = result_of(&input);
    input.abandon = 0.02; /* a minute: after an hour 70 % have given up */
    const struct forecast_result fewer = result_of(&input);
    assert_true(fewer.parked > 3000);
    assert_true(fewer.unclaimed > 50); /* gave up within silentMs: their offers run out */
    assert_true(fewer.last_wait_ms < all.last_wait_ms * 0.7);
    assert_int_equal(fewer.parked + fewer.unclaimed + fewer.left, 10000);
}

static void idle_buyers_and_long_visits_end_at_a_tick(void **state)
{
    (void)state;
    struct forecast_input input = plain(100, 10);
    input.idle = 1;
    const struct forecast_result idle = result_of(&input);
    assert_int_equal(idle.idle, 100);
    assert_int_equal(idle.last_wait_ms, 9 * 100 * SECONDS);
    input.idle = 0;
    input.session_limit_ms = 30 * SECONDS;
    const struct forecast_result late = result_of(&input);
    assert_int_equal(late.timeout, 100);
    assert_int_equal(late.last_wait_ms, 9 * 40 * SECONDS);
    input.session_limit_ms = 60 * SECONDS; /* as long as a visit: they go by themselves */
    assert_int_equal(result_of(&input).timeout, 0);
}

static void seats_are_sold_once_and_limit_admissions(void **state)
{
    (void)state;
    struct forecast_input input = plain(1000, 100);
    input.seats = 333;
    input.auto_hold = 2;
    input.buy = 1;
    input.seats_per_sale = 2.5;
    const struct forecast_result all = result_of(&input);
    assert_int_equal(all.sold, 333);
    assert_int_equal(all.seats_left, 0);
    assert_true(all.sold_out_ms != FORECAST_NEVER);
    assert_true(all.still_waiting > 0);
    assert_int_equal(all.drain_ms, FORECAST_NEVER);
    assert_int_equal(all.last_wait_ms, FORECAST_NEVER);
    assert_in_range(all.bought, 130,
                    150); /* 333 seats, 2.5 each, 2 when only those held are left */
    input.seats = 10000;
    const struct forecast_result some = result_of(&input);
    assert_int_equal(some.sold, 2500); /* 1,000 purchases of 2.5 on average, exactly */
    assert_int_equal(some.sold_out_ms, FORECAST_NEVER);
    assert_int_equal(some.seats_left, 7500);
    input.seats = 30; /* 15 may enter, although 100 would have room */
    assert_int_equal(result_of(&input).peak_inside, 15);
    input.auto_hold = 0; /* seats do not limit admissions */
    assert_int_equal(result_of(&input).peak_inside, 100);
    assert_int_equal(result_of(&input).sold, 30);
}

static void half_of_them_buy(void **state)
{
    (void)state;
    struct forecast_input input = plain(10000, 500);
    input.buy = 0.5;
    input.visit_spread_ms = 40000;
    const struct forecast_result result = result_of(&input);
    assert_in_range(result.bought, 4980, 5020);
    assert_int_equal(result.sold, 0);
    assert_int_equal(result.seats_left, -1);
}

/* Measured visits: from 0.2 s to 2 s, all alike. */
static void visits_may_be_given_by_quantiles(void **state)
{
    (void)state;
    struct forecast_input input = plain(10000, 100);
    input.interval_ms = 100;
    input.visit_quantile_count = 2;
    input.visit_quantiles_ms[0] = 200;
    input.visit_quantiles_ms[1] = 2000;
    const double drain = (double)result_of(&input).drain_ms;
    const double mean = 1100 + 50; /* and half an interval */
    assert_true(fabs(drain - 99 * mean) < 0.02 * drain);
}

static void a_spread_keeps_the_mean(void **state)
{
    (void)state;
    struct forecast_input input = plain(50000, 500);
    input.interval_ms = 500;
    const double alike = (double)result_of(&input).drain_ms;
    input.visit_spread_ms = 60000;
    const double spread = (double)result_of(&input).drain_ms;
    assert_true(fabs(spread - alike) < 0.02 * alike);
}

/* Those who are inside at the beginning leave one after the other, not all at once. */
static void visits_under_way_end_evenly(void **state)
{
    (void)state;
    struct forecast_input input = plain(600, 600);
    input.inside = 600;
    input.first_tick_ms = input.interval_ms;
    struct forecast *forecast = forecast_new(&input, NULL, NULL);
    while (!forecast_step(forecast, 100000))
        ;
    for (int64_t part = 1; part <= 6; part++)
        assert_in_range(forecast_wait_ms(forecast, part * 100 - 1), (part - 1) * 10 * SECONDS + 1,
                        (part + 1) * 10 * SECONDS);
    forecast_free(forecast);
}

static void what_stands_still_ends(void **state)
{
    (void)state;
    struct forecast_input input = plain(10, 0);
    const struct forecast_result closed = result_of(&input);
    assert_int_equal(closed.drain_ms, FORECAST_NEVER);
    assert_int_equal(closed.still_waiting, 10);
    assert_int_equal(closed.wait_p50_ms, FORECAST_NEVER);
    input = plain(1000, 1);
    input.horizon_ms = 10 * MINUTE;
    const struct forecast_result cut = result_of(&input);
    assert_int_equal(cut.last_wait_ms, FORECAST_NEVER);
    assert_int_equal(cut.still_waiting, 989); /* at 0, 1, … 10 minutes */
    input = plain(0, 10);
    const struct forecast_result nobody = result_of(&input);
    assert_int_equal(nobody.drain_ms, 0);
    assert_int_equal(nobody.last_wait_ms, 0);
    assert_int_equal(nobody.end_ms, 0);
}

static void small_steps_give_the_same(void **state)
{
    (void)state;
    struct forecast_input input = plain(5000, 300);
    input.arrivals = 5000;
    input.arrive_ms = 20 * MINUTE;
    input.inside = 100;
    input.visit_spread_ms = 50000;
    input.no_show = 0.07;
    input.abandon = 0.003;
    input.idle = 0.05;
    input.buy = 0.7;
    input.seats = 20000;
    input.auto_hold = 1;
    input.seats_per_sale = 1.7;
    const struct forecast_result whole = result_of(&input);
    struct forecast *forecast = forecast_new(&input, NULL, NULL);
    while (!forecast_step(forecast, 1))
        ;
    struct forecast_result steps;
    forecast_result(forecast, &steps);
    assert_memory_equal(&whole, &steps, sizeof(whole));
    size_t count;
    const struct forecast_point *points = forecast_points(forecast, &count);
    assert_in_range(count, 100, FORECAST_POINTS);
    assert_int_equal(points[0].at_ms, 0);
    assert_int_equal(points[count - 1].at_ms, steps.end_ms);
    for (size_t i = 1; i < count; i++) {
        assert_true(points[i].at_ms > points[i - 1].at_ms);
        assert_true(points[i].entered >= points[i - 1].entered);
    }
    assert_int_equal(points[count - 1].entered, steps.entered);
    assert_int_equal(points[count - 1].sold, steps.sold);
    forecast_free(forecast);
}

static void what_cannot_be_forecast_is_named(void **state)
{
    (void)state;
    const char *field = NULL;
    struct forecast_input input = plain(10, 10);
    input.no_show = 1.01;
    assert_int_equal(forecast_check(&input, &field), ST_INVALID);
    assert_string_equal(field, "noShow");
    input.no_show = NAN;
    assert_int_equal(forecast_check(&input, &field), ST_INVALID);
    input = plain(FORECAST_BUYERS_MAX, 10);
    input.arrivals = 1;
    assert_int_equal(forecast_check(&input, &field), ST_INVALID);
    assert_string_equal(field, "arrivals");
    input = plain(10, 10);
    input.interval_ms = 0;
    assert_int_equal(forecast_check(&input, &field), ST_INVALID);
    assert_string_equal(field, "intervalMs");
    input = plain(10, 10);
    input.visit_mean_ms = 0;
    assert_int_equal(forecast_check(&input, &field), ST_INVALID);
    assert_string_equal(field, "visit");
    input.visit_quantile_count = 2;
    input.visit_quantiles_ms[0] = 10; /* descending */
    assert_int_equal(forecast_check(&input, &field), ST_INVALID);
}

static void a_change_is_told_as_a_sentence(void **state)
{
    (void)state;
    const struct {
        struct forecast_result now, then;
        enum forecast_change_kind kind;
        const char *sentence;
    } rows[] = {
        {{.last_wait_ms = 2460000},
         {.last_wait_ms = 9900000},
         FORECAST_LONGER,
         "the last in line waits 2 h 45 min instead of 41 min"},
        {{.last_wait_ms = 2450000},
         {.last_wait_ms = 2459000},
         FORECAST_SAME,
         "the last in line waits 41 min, as now"},
        {{.last_wait_ms = FORECAST_NEVER},
         {.last_wait_ms = 61000},
         FORECAST_ENTERS,
         "the last in line waits 61 s instead of never entering"},
        {{.last_wait_ms = 61000},
         {.last_wait_ms = FORECAST_NEVER, .sold_out_ms = FORECAST_NEVER},
         FORECAST_NEVER_ENTERS,
         "the last in line never enters"},
        {{.last_wait_ms = 61000},
         {.last_wait_ms = FORECAST_NEVER, .sold_out_ms = 5000},
         FORECAST_SOLD_OUT_FIRST,
         "all seats are sold before the last in line enters"},
        {{.last_wait_ms = 0}, {.last_wait_ms = 0}, FORECAST_NOBODY_WAITS, "nobody waits"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char sentence[120];
        const struct forecast_change change = forecast_compare(&rows[i].now, &rows[i].then);
        assert_int_equal(change.kind, rows[i].kind);
        forecast_write_change(&change, sentence, sizeof(sentence));
        assert_string_equal(sentence, rows[i].sentence);
    }
}

static void durations_are_rounded_up(void **state)
{
    (void)state;
    const struct {
        int64_t ms;
        const char *text;
    } rows[] = {{0, "0 s"},
                {1, "1 s"},
                {90000, "90 s"},
                {90001, "2 min"},
                {3540001, "1 h"},
                {3600000, "1 h"},
                {3600001, "1 h 1 min"},
                {9900000, "2 h 45 min"},
                {FORECAST_NEVER, "never"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[FORECAST_DURATION_SIZE];
        forecast_write_duration(rows[i].ms, text);
        assert_string_equal(text, rows[i].text);
    }
}

/* A shop that is slow above 340 inside: with feedback it serves as many as with the threshold that is right for it. */
static void a_slow_shop_gets_what_it_bears(void **state)
{
    (void)state;
    for (int continuous = 0; continuous <= 1; continuous++) {
        struct forecast_input right = plain(30000, 340), input = plain(30000, 1000);
        right.continuous = input.continuous = continuous;
        right.interval_ms = input.interval_ms = 5 * SECONDS;
        right.visit_spread_ms = input.visit_spread_ms = 30000;
        input.threshold_min = 50;
        input.target_p95_ms = 1000;
        input.shop_bears = 340;
        const struct forecast_result best = result_of(&right), result = result_of(&input);
        assert_true((double)result.last_wait_ms < 1.06 * (double)best.last_wait_ms);
        assert_true(result.limit_least >= 340 * 3 / 4);
        assert_true(result.limit_most <= 340 * 6 / 5);
        assert_true(result.slow_share > 0 && result.slow_share < 0.08);
        input.threshold_min = 0; /* its health changes nothing */
        assert_int_equal(result_of(&input).limit_most, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_founding_arithmetic),
        cmocka_unit_test(the_wait_follows_the_position),
        cmocka_unit_test(an_interval_leaves_slots_empty),
        cmocka_unit_test(nobody_waits_while_there_is_room),
        cmocka_unit_test(outflow_is_a_flow),
        cmocka_unit_test(continuous_promotion_leaves_no_slot_empty),
        cmocka_unit_test(surge_rules_raise_the_threshold_and_let_go_late),
        cmocka_unit_test(an_offer_that_nobody_claims_holds_its_slot),
        cmocka_unit_test(who_gave_up_costs_no_slot),
        cmocka_unit_test(idle_buyers_and_long_visits_end_at_a_tick),
        cmocka_unit_test(seats_are_sold_once_and_limit_admissions),
        cmocka_unit_test(half_of_them_buy),
        cmocka_unit_test(visits_may_be_given_by_quantiles),
        cmocka_unit_test(a_spread_keeps_the_mean),
        cmocka_unit_test(visits_under_way_end_evenly),
        cmocka_unit_test(a_slow_shop_gets_what_it_bears),
        cmocka_unit_test(what_stands_still_ends),
        cmocka_unit_test(small_steps_give_the_same),
        cmocka_unit_test(what_cannot_be_forecast_is_named),
        cmocka_unit_test(a_change_is_told_as_a_sentence),
        cmocka_unit_test(durations_are_rounded_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
