/* SPDX-License-Identifier: MIT */
/* rate_limit: a burst of twice the rate, then the rate; addresses do not affect each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/rate_limit.h"

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
    assert_null(rate_limit_new(0));
    assert_int_equal(taken(NULL, "192.0.2.1", 0, 1000), 1000);
}

static void burst_then_rate(void **state)
{
    (void)state;
    struct rate_limit *limit = rate_limit_new(10);
    assert_int_equal(taken(limit, "192.0.2.1", 1000, 100), 20);
    assert_int_equal(taken(limit, "192.0.2.1", 1500, 100), 5);
    assert_int_equal(taken(limit, "192.0.2.1", 100000, 100), 20); /* never more than the burst */
    rate_limit_free(limit);
}

static void addresses_do_not_share(void **state)
{
    (void)state;
    struct rate_limit *limit = rate_limit_new(10);
    assert_int_equal(taken(limit, "192.0.2.1", 1000, 100), 20);
    assert_int_equal(taken(limit, "192.0.2.2", 1000, 100), 20);
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
        cmocka_unit_test(burst_then_rate),
        cmocka_unit_test(addresses_do_not_share),
        cmocka_unit_test(a_flood_of_addresses_is_bounded),
    };
    return cmocka_run_group_tests_name("rate_limit", tests, NULL, NULL);
}
