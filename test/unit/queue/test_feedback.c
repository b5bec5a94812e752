/* SPDX-License-Identifier: MIT */
/* The loop between the shop's health and the threshold: single steps, and a slow shop that is played. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/feedback.h"

static const struct feedback_rule rule = {
    .min = 50, .most = 1000, .target_p95_ms = 1000, .target_error_rate = 0.01};

static enum feedback_cause step(struct feedback *feedback, int64_t now_ms, int64_t p95_ms,
                                double error_rate, int64_t inside, int64_t waiting)
{
    return feedback_step(feedback, &rule, &(struct feedback_health){now_ms, p95_ms, error_rate},
                         &(struct feedback_room){inside, waiting, now_ms});
}

static void a_shop_that_is_well_changes_nothing_at_the_top(void **state)
{
    (void)state;
    struct feedback feedback = {0};
    assert_int_equal(step(&feedback, 60000, 100, 0, 1000, 9), FEEDBACK_NONE);
    assert_int_equal(feedback.limit, 0);
}

static void a_slow_shop_lowers_it_by_a_fifth_and_a_very_slow_one_by_half(void **state)
{
    (void)state;
    struct feedback feedback = {0};
    assert_int_equal(step(&feedback, 60000, 1001, 0, 1000, 9), FEEDBACK_SLOW);
    assert_int_equal(feedback.limit, 800);
    feedback = (struct feedback){0};
    assert_int_equal(step(&feedback, 60000, 2001, 0, 1000, 9), FEEDBACK_SLOW);
    assert_int_equal(feedback.limit, 500);
    feedback = (struct feedback){0};
    assert_int_equal(step(&feedback, 60000, 10, 0.011, 1000, 9), FEEDBACK_ERRORS);
    assert_int_equal(feedback.limit, 800);
}

static void it_is_lowered_from_what_is_inside_and_never_below_the_least(void **state)
{
    (void)state;
    struct feedback feedback = {0};
    assert_int_equal(step(&feedback, 60000, 1500, 0, 200, 0), FEEDBACK_SLOW);
    assert_int_equal(feedback.limit, 160);
    feedback = (struct feedback){0};
    assert_int_equal(step(&feedback, 60000, 90000, 0, 10, 9), FEEDBACK_SLOW);
    assert_int_equal(feedback.limit, 50);
    assert_int_equal(step(&feedback, 600000, 90000, 1, 10, 9), FEEDBACK_NONE);
}

static void it_waits_until_the_room_has_shrunk(void **state)
{
    (void)state;
    struct feedback feedback = {0};
    assert_int_equal(step(&feedback, 60000, 1500, 0, 1000, 9), FEEDBACK_SLOW);
    assert_int_equal(step(&feedback, 64000, 1500, 0, 700, 9), FEEDBACK_NONE); /* too soon */
    assert_int_equal(step(&feedback, 80000, 1500, 0, 900, 9), FEEDBACK_NONE); /* not shrunk */
    assert_int_equal(step(&feedback, 85000, 1500, 0, 800, 9), FEEDBACK_SLOW); /* shrunk */
    assert_int_equal(feedback.limit, 640);
    assert_int_equal(step(&feedback, 115000, 1500, 0, 790, 9), FEEDBACK_SLOW); /* long enough */
    assert_int_equal(feedback.limit, 512);
}

static void between_well_and_the_target_nothing_changes(void **state)
{
    (void)state;
    struct feedback feedback = {.limit = 400, .lowered_ms = 1};
    assert_int_equal(step(&feedback, 60000, 801, 0, 400, 9), FEEDBACK_NONE);
    assert_int_equal(step(&feedback, 70000, 1000, 0.01, 400, 9), FEEDBACK_NONE);
    assert_int_equal(step(&feedback, 80000, 800, 0, 400, 9), FEEDBACK_WELL);
    assert_int_equal(feedback.limit, 420); /* a twentieth */
}

static void it_is_raised_by_steps_only_where_it_is_used(void **state)
{
    (void)state;
    struct feedback feedback = {.limit = 960, .lowered_ms = 1};
    assert_int_equal(step(&feedback, 10000, 100, 0, 960, 9), FEEDBACK_NONE); /* just lowered */
    assert_int_equal(step(&feedback, 60000, 100, 0, 100, 0), FEEDBACK_NONE); /* not used */
    assert_int_equal(step(&feedback, 61000, 100, 0, 100, 9), FEEDBACK_WELL);
    assert_int_equal(feedback.limit, 998);
    assert_int_equal(step(&feedback, 65000, 100, 0, 998, 9), FEEDBACK_NONE); /* too soon */
    assert_int_equal(step(&feedback, 66000, 100, 0, 990, 0), FEEDBACK_WELL);
    assert_int_equal(feedback.limit, 1000);
    assert_int_equal(step(&feedback, 76000, 100, 0, 1000, 9), FEEDBACK_NONE);
}

static void a_report_is_judged_once(void **state)
{
    (void)state;
    struct feedback feedback = {0};
    const struct feedback_health health = {60000, 1500, 0};
    struct feedback_room room = {1000, 9, 60000};
    assert_int_equal(feedback_step(&feedback, &rule, &health, &room), FEEDBACK_SLOW);
    room.now_ms = 600000;
    assert_int_equal(feedback_step(&feedback, &rule, &health, &room), FEEDBACK_NONE);
    assert_int_equal(feedback.limit, 800); /* a shop that is silent keeps its limit */
}

static void without_a_least_threshold_the_limit_ends(void **state)
{
    (void)state;
    const struct feedback_rule off = {.most = 1000, .target_p95_ms = 1, .target_error_rate = 1};
    const struct feedback_health health = {60000, 1500, 0};
    const struct feedback_room room = {1000, 9, 60000};
    struct feedback feedback = {.limit = 300, .judged_ms = 50000};
    assert_int_equal(feedback_step(&feedback, &off, &health, &room), FEEDBACK_OFF);
    assert_int_equal(feedback.limit, 0);
    assert_int_equal(feedback_step(&feedback, &off, &health, &room), FEEDBACK_NONE);
}

static void a_lower_base_is_below_the_least(void **state)
{
    (void)state;
    const struct feedback_rule low = {
        .min = 50, .most = 20, .target_p95_ms = 1000, .target_error_rate = 0.01};
    const struct feedback_health health = {60000, 1500, 0};
    const struct feedback_room room = {20, 9, 60000};
    struct feedback feedback = {.limit = 300};
    assert_int_equal(feedback_step(&feedback, &low, &health, &room), FEEDBACK_NONE);
}

/* ---- a slow shop ---- */

struct shop {
    double bears, visit_s;
    int report_s;
};

struct played {
    int64_t least, most; /* of the limit, in the second half */
    double mean_inside;
};

/* A fifth more or less than the truth, the same in each run. */
static double noise(int s)
{
    return 0.8 + 0.4 * (double)((s * 2654435761U >> 8) % 1000) / 999;
}

/* Plays an hour of a rush that never ends, and goes on with *feedback and *inside. A report has the mean since the one
 * before it. */
static struct played play(const struct shop *shop, struct feedback *feedback, double *inside,
                          int from_s)
{
    struct played played = {.least = INT64_MAX};
    double sum = 0, p95 = 0;
    for (int s = from_s + 1; s <= from_s + 3600; s++) {
        const int64_t limit = feedback->limit > 0 ? feedback->limit : rule.most;
        *inside -= *inside / shop->visit_s;
        *inside = *inside < (double)limit ? (double)limit : *inside;
        p95 += feedback_shop_p95_ms(*inside, shop->bears, 1000) * noise(s);
        if (s % shop->report_s == 0) {
            (void)step(feedback, s * INT64_C(1000), (int64_t)(p95 / shop->report_s), 0,
                       (int64_t)*inside, 9);
            p95 = 0;
        }
        if (s <= from_s + 1800)
            continue;
        played.least = limit < played.least ? limit : played.least;
        played.most = limit > played.most ? limit : played.most;
        sum += *inside;
    }
    played.mean_inside = sum / 1800;
    return played;
}

static void assert_steady(const struct shop *shop, const struct played *played)
{
    const double right = shop->bears;
    print_message(
        "a shop that bears %.0f, visit %.0f s: limit %d to %d, mean inside %.0f of %.0f\n",
        shop->bears, shop->visit_s, (int)played->least, (int)played->most, played->mean_inside,
        right);
    assert_true((double)played->least >= 0.75 * right);
    assert_true((double)played->most <= 1.1 * right);
    assert_true(played->mean_inside >= 0.85 * right);
}

static void a_slow_shop_is_neither_starved_nor_swung(void **state)
{
    (void)state;
    static const struct shop shops[] = {
        {340, 60, 10}, {340, 300, 10}, {340, 20, 5}, {128, 120, 10}, {765, 60, 30}};
    for (size_t i = 0; i < sizeof(shops) / sizeof(shops[0]); i++) {
        struct feedback feedback = {0};
        double inside = 0;
        const struct played played = play(&shops[i], &feedback, &inside, 0);
        assert_steady(&shops[i], &played);
    }
}

static void it_follows_a_shop_that_gets_worse_and_better(void **state)
{
    (void)state;
    static const struct shop shops[] = {{510, 60, 10}, {170, 60, 10}, {510, 60, 10}};
    struct feedback feedback = {0};
    double inside = 0;
    for (size_t i = 0; i < sizeof(shops) / sizeof(shops[0]); i++) {
        const struct played played = play(&shops[i], &feedback, &inside, (int)i * 3600);
        assert_steady(&shops[i], &played);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shop_that_is_well_changes_nothing_at_the_top),
        cmocka_unit_test(a_slow_shop_lowers_it_by_a_fifth_and_a_very_slow_one_by_half),
        cmocka_unit_test(it_is_lowered_from_what_is_inside_and_never_below_the_least),
        cmocka_unit_test(it_waits_until_the_room_has_shrunk),
        cmocka_unit_test(between_well_and_the_target_nothing_changes),
        cmocka_unit_test(it_is_raised_by_steps_only_where_it_is_used),
        cmocka_unit_test(a_report_is_judged_once),
        cmocka_unit_test(without_a_least_threshold_the_limit_ends),
        cmocka_unit_test(a_lower_base_is_below_the_least),
        cmocka_unit_test(a_slow_shop_is_neither_starved_nor_swung),
        cmocka_unit_test(it_follows_a_shop_that_gets_worse_and_better),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
