/* SPDX-License-Identifier: MIT */
/* nearest: slips of one typist are near, other names are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/nearest.h"

#include <string.h>

static void the_distance_counts_slips(void **state)
{
    static const struct {
        const char *a, *b;
        unsigned distance;
    } cases[] = {
        {"", "", 0},
        {"", "abc", 3},
        {"abc", "", 3},
        {"abc", "ABC", 0},
        {"abc", "abd", 1},
        {"abc", "abcd", 1},
        {"abcd", "acd", 1},
        {"abcd", "abdc", 1},
        {"abcd", "badc", 2},
        {"kitten", "sitting", 3},
        {"ca", "abc", 3},
        {"abcdef", "abdcfe", 2},
        {"THRESHOLD", "TRESHOLD", 1},
        {"THRESHOLD", "TRHESHOLD", 1},
        {"a", "b", 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(nearest_distance(cases[i].a, cases[i].b), cases[i].distance);
        assert_int_equal(nearest_distance(cases[i].b, cases[i].a), cases[i].distance);
    }
}

static void long_names_are_near_to_nothing(void **state)
{
    char longest[NEAREST_MAX + 1], longer[NEAREST_MAX + 2];
    (void)state;
    memset(longest, 'x', NEAREST_MAX);
    memset(longer, 'x', NEAREST_MAX + 1);
    longest[NEAREST_MAX] = longer[NEAREST_MAX + 1] = '\0';
    assert_int_equal(nearest_distance(longest, longest), 0);
    assert_int_equal(nearest_distance(longest, longer), NEAREST_MAX + 1);
    assert_int_equal(nearest_slips(longer, longer), -1);
    assert_int_equal(nearest_slips(longest, longest), 0);
}

static void a_short_name_may_have_one_slip_a_long_one_two(void **state)
{
    (void)state;
    assert_int_equal(nearest_slips("DB_PORT", "WS_PORT"), -1);
    assert_int_equal(nearest_slips("WS_PROT", "WS_PORT"), 1);
    assert_int_equal(nearest_slips("REDSI_HOTS", "REDIS_HOST"), 2);
    assert_int_equal(nearest_slips("redis_host", "REDIS_HOST"), 0);
    assert_int_equal(nearest_slips("LOGLEVEL", "LOG_LEVEL"), 1);
    assert_int_equal(nearest_slips("LEVEL_LOG", "LOG_LEVEL"), 2); /* the same letters */
    assert_int_equal(nearest_slips("LEVEL_LOGS", "LOG_LEVEL"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_distance_counts_slips),
        cmocka_unit_test(long_names_are_near_to_nothing),
        cmocka_unit_test(a_short_name_may_have_one_slip_a_long_one_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
