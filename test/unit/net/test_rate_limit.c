/* SPDX-License-Identifier: MIT */
/* rate_limit: a burst, then the rate; addresses do not affect each other, and threads share one bucket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/rate_limit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

static unsigned taken(struct rate_limit *limit, const char *address, uint64_t now_ms,
                      unsigned tries)
{
    unsigned count = 0;
    for (unsigned i = 0; i < tries; i++)
        count += rate_limit_take(limit, address, now_ms);
    return count;
}

static void off_means_no_limit(void **state)
{
    (void)state;
    struct rate_limit *limit = rate_limit_new(0);
    assert_int_equal(taken(limit, "192.0.2.1", 0, 1000), 1000);
    rate_limit_set(limit, 1);
    assert_int_equal(taken(limit, "192.0.2.1", 0, 1000), RATE_LIMIT_BURST_S);
    rate_limit_set(limit, 0);
    assert_int_equal(taken(limit, "192.0.2.1", 0, 1000), 1000);
    rate_limit_free(limit);
}

static void another_rate_keeps_what_was_used(void **state)
{
    (void)state;
    struct rate_limit *limit = rate_limit_new(10);
    assert_int_equal(taken(limit, "192.0.2.1", 1000, 40), 40);
    rate_limit_set(limit, 20);
    assert_int_equal(taken(limit, "192.0.2.1", 1000, 1000), 160);
    assert_int_equal(taken(limit, "192.0.2.2", 1000, 1000), 200);
    rate_limit_set(limit, 1);
    assert_int_equal(taken(limit, "192.0.2.1", 1000, 1000), 0);
    assert_int_equal(taken(limit, "192.0.2.1", 3000, 1000), 2);
    rate_limit_free(limit);
}

/* Loops read the clock once a turn, so one may be behind another that has used the bucket: no time passes twice. */
static void a_thread_that_is_behind_gets_nothing_for_it(void **state)
{
    (void)state;
    struct rate_limit *limit = rate_limit_new(10);
    assert_int_equal(taken(limit, "192.0.2.1", 5000, 1000), 100);
    assert_int_equal(taken(limit, "192.0.2.1", 4000, 1000), 0);
    assert_int_equal(taken(limit, "192.0.2.1", 5000, 1000), 0);
    assert_int_equal(taken(limit, "192.0.2.1", 5100, 1000), 1);
    rate_limit_free(limit);
}

#define THREADS 4

struct crowd {
    struct rate_limit *limit;
    atomic_uint let_through, of_others;
};

/* One address that all have in common, and many that none has. */
static void *ask(void *arg)
{
    struct crowd *crowd = arg;
    char address[32];
    for (unsigned i = 0; i < 20000; i++) {
        crowd->let_through += rate_limit_take(crowd->limit, "192.0.2.1", 1000 + i % 2);
        (void)snprintf(address, sizeof(address), "198.51.%u.%u", i >> 8 & 255, i & 255);
        crowd->of_others += rate_limit_has(crowd->limit, address, 1000);
        if (i % 1000 == 0)
            rate_limit_set(crowd->limit, 1000);
    }
    return NULL;
}

static void threads_share_one_bucket(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct crowd crowd = {.limit = rate_limit_new(1000)};
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &crowd), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    /* The burst, and the tokens of the millisecond that passed: not one more, however many asked. */
    assert_int_equal(crowd.let_through, 1000 * RATE_LIMIT_BURST_S + 1);
    assert_int_equal(crowd.of_others, THREADS * 20000);
    rate_limit_free(crowd.limit);
}

static void a_slow_limit_is_looked_at_without_taking(void **state)
{
    (void)state;
    struct rate_limit *limit = rate_limit_new_slow(5, 12000);
    for (int i = 0; i < 20; i++)
        assert_true(rate_limit_has(limit, "192.0.2.1", 1000));
    assert_int_equal(taken(limit, "192.0.2.1", 1000, 10), 5);
    assert_false(rate_limit_has(limit, "192.0.2.1", 12000));
    assert_true(rate_limit_has(limit, "192.0.2.2", 12000));
    assert_true(rate_limit_has(limit, "192.0.2.1", 13100));
    assert_int_equal(taken(limit, "192.0.2.1", 61100, 10), 5);
    rate_limit_free(limit);
}

static void burst_then_rate(void **state)
{
    (void)state;
    struct rate_limit *limit = rate_limit_new(10);
    assert_int_equal(taken(limit, "192.0.2.1", 1000, 1000), 10 * RATE_LIMIT_BURST_S);
    assert_int_equal(taken(limit, "192.0.2.1", 1500, 100), 5);
    assert_int_equal(taken(limit, "192.0.2.1", 1000000, 1000),
                     10 * RATE_LIMIT_BURST_S); /* never more than the burst */
    rate_limit_free(limit);
}

static void addresses_do_not_share(void **state)
{
    (void)state;
    struct rate_limit *limit = rate_limit_new(10);
    assert_int_equal(taken(limit, "192.0.2.1", 1000, 1000), 10 * RATE_LIMIT_BURST_S);
    assert_int_equal(taken(limit, "192.0.2.2", 1000, 1000), 10 * RATE_LIMIT_BURST_S);
    rate_limit_free(limit);
}

static void a_flood_of_addresses_is_bounded(void **state)
{
    (void)state;
    struct rate_limit *limit = rate_limit_new(1);
    char address[32];
    for (unsigned i = 0; i < 200000; i++) {
        (void)snprintf(address, sizeof(address), "10.%u.%u.%u", i >> 16, (i >> 8) & 255, i & 255);
        assert_true(rate_limit_take(limit, address, 1000 + i));
    }
    rate_limit_free(limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_means_no_limit),
        cmocka_unit_test(another_rate_keeps_what_was_used),
        cmocka_unit_test(a_thread_that_is_behind_gets_nothing_for_it),
        cmocka_unit_test(threads_share_one_bucket),
        cmocka_unit_test(burst_then_rate),
        cmocka_unit_test(a_slow_limit_is_looked_at_without_taking),
        cmocka_unit_test(addresses_do_not_share),
        cmocka_unit_test(a_flood_of_addresses_is_bounded),
    };
    return cmocka_run_group_tests_name("rate_limit", tests, NULL, NULL);
}
