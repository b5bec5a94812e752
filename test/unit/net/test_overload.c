/* SPDX-License-Identifier: MIT */
/* overload: a burst is told from a load that does not end, newcomers are refused first, and all come again evenly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/overload.h"

#define MOST 1000

static bool newcomer(struct overload *overload, uint64_t age_ms, uint64_t now_ms)
{
    return overload_refuses(overload, OVERLOAD_NEWCOMER, false, age_ms, now_ms);
}

static bool returning(struct overload *overload, uint64_t age_ms, uint64_t now_ms)
{
    return overload_refuses(overload, OVERLOAD_RETURNING, false, age_ms, now_ms);
}

static void test_a_burst_waits(void **state)
{
    struct overload overload = {.most_ms = MOST};
    (void)state;
    assert_false(newcomer(&overload, 0, 5000));
    for (uint64_t ms = 1; ms <= MOST; ms++) /* the oldest of a burst grows old with it */
        assert_false(newcomer(&overload, ms, 5000 + ms));
    assert_true(newcomer(&overload, MOST + 1, 5000 + MOST + 1));
    assert_true(returning(&overload, MOST + 1, 5000 + MOST + 1));
}

static void test_a_standing_wait_is_for_those_with_a_place(void **state)
{
    struct overload overload = {.most_ms = MOST};
    (void)state;
    assert_false(newcomer(&overload, 400, 4000 - MOST));
    assert_false(
        newcomer(&overload, 400, 4001)); /* after a pause: it says nothing of the time between */
    assert_false(newcomer(&overload, 0, 4002));
    assert_false(newcomer(&overload, 400, 5000));
    assert_false(newcomer(&overload, 400, 5000 + MOST));
    assert_true(newcomer(&overload, 400, 5000 + MOST + 1));
    assert_false(newcomer(&overload, MOST / 4, 5000 + MOST + 1));
    assert_false(returning(&overload, 400, 5000 + MOST + 1));
    /* To refuse somebody for whom there is room helps nobody. */
    assert_false(overload_refuses(&overload, OVERLOAD_NEWCOMER, true, 400, 5000 + MOST + 1));
    assert_true(overload_refuses(&overload, OVERLOAD_NEWCOMER, true, MOST + 1, 5000 + MOST + 1));
    /* 100 ms are not calm; 50 are, and the next burst may wait again. */
    assert_false(newcomer(&overload, 100, 5000 + 2 * MOST));
    assert_true(newcomer(&overload, 400, 5001 + 2 * MOST));
    assert_false(newcomer(&overload, 50, 5002 + 2 * MOST));
    assert_false(newcomer(&overload, 400, 5003 + 2 * MOST));
}

static void test_those_who_were_refused_come_again_evenly(void **state)
{
    struct comeback comeback = {0};
    unsigned most = 0, sum = 0;
    (void)state;
    for (int i = 0; i < 100; i++)
        comeback_taken(&comeback, 1000 + (uint64_t)i); /* 100 a second */
    /* 900 are refused: it takes nine seconds to serve them. */
    for (uint32_t i = 0; i < 900; i++) {
        const unsigned s = comeback_refused(&comeback, i * 2654435761u >> 12, 1900);
        assert_in_range(s, 1, 10);
        most = s > most ? s : most;
        sum += s;
    }
    assert_in_range(most, 9, 10);
    assert_in_range(sum / 900, 2, 5); /* the first ones may come sooner */
    /* 800 of them were served: the next one waits little. */
    for (int i = 0; i < 800; i++)
        comeback_taken(&comeback, 2000 + (uint64_t)i);
    for (uint32_t i = 0; i < 50; i++)
        assert_in_range(comeback_refused(&comeback, i * 2654435761u >> 12, 2900), 1, 2);
}

static void test_nobody_waits_more_than_a_minute(void **state)
{
    struct comeback comeback = {0};
    unsigned most = 0;
    (void)state;
    for (uint32_t i = 0; i < 5000; i++) { /* nobody is taken at all */
        const unsigned s = comeback_refused(&comeback, i * 2654435761u >> 12, 1000);
        assert_in_range(s, 1, 60);
        most = s > most ? s : most;
    }
    assert_int_equal(most, 60);
    /* Two minutes later those who did not come again are forgotten. */
    assert_int_equal(comeback_refused(&comeback, 59, 1000 + 121000), 1 + 59 % 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_burst_waits),
        cmocka_unit_test(test_a_standing_wait_is_for_those_with_a_place),
        cmocka_unit_test(test_those_who_were_refused_come_again_evenly),
        cmocka_unit_test(test_nobody_waits_more_than_a_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
