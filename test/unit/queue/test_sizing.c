/* SPDX-License-Identifier: MIT */
/* sizing: what a sale needs. Each expected number is worked out by hand from the figures of the table. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/sizing.h"

static struct sizing_input sale(int64_t buyers)
{
    return (struct sizing_input){.buyers = buyers,
                                 .arrive_ms = 5000,
                                 .threshold = 2000,
                                 .visit_ms = 180000,
                                 .seats = 20000,
                                 .sockets = 1,
                                 .load = 0.5,
                                 .pod_cores = 1,
                                 .pod_memory_b = 512LL << 20,
                                 .pod_files = 1048576,
                                 .api_pool = 20,
                                 .gateway_pool = 5};
}

static struct sizing sized(const struct sizing_input *in)
{
    struct sizing out = {0};
    assert_int_equal(sizing_compute(in, &out), ST_OK);
    return out;
}

static bool near(double a, double b)
{
    return fabs(a - b) < 0.001 * fabs(b) + 1e-9;
}

static void test_a_hundred_thousand_in_five_seconds(void **state)
{
    (void)state;
    const struct sizing_input in = sale(100000);
    const struct sizing out = sized(&in);
    assert_true(near(out.arrivals_per_s, 20000));
    assert_true(near(out.admissions_per_s, 2000 / 180.0));
    assert_int_equal(out.waiting, 98000);
    assert_int_equal(out.sockets, 98000);
    assert_true(near(out.redis_arrival_cores, 20000 * 4.5e-6));
    assert_true(near(out.redis_arrival_s, 0.45));
    /* 45 + 3 x 7.5 + 13 µs for each who arrives, 115 µs for each of 400 holds a second. */
    assert_true(near(out.api_cores, 20000 * 80.5e-6 + 400 * 115e-6));
    assert_int_equal(out.api_pods, 4);
    assert_int_equal(out.api_by, SIZING_BY_CPU);
    /* 256 MiB / 8 KiB = 32,768 sockets in a pod: three, and one that may fail. */
    assert_int_equal(out.gateway_pods, 4);
    assert_int_equal(out.gateway_by, SIZING_BY_MEMORY);
    assert_int_equal(out.sockets_per_gateway, 32667);
    assert_int_equal(out.gateway_files, 33179);
    /* Five api pods, and five gateways and three processors while a rollout adds one of each. */
    assert_int_equal(out.db_connections, 5 * 20 + (5 + 3) * 5);
    assert_int_equal(out.max_connections, out.db_connections + 23);
    assert_int_equal(out.redis_data_b, 100000 * 630 + 20000 * 1200);
    assert_int_equal(out.redis_maxmemory_b, 256 << 20); /* the least */
    assert_int_equal(out.redis_machine_b, 512 << 20);
    assert_true(near(out.arrival_bits_per_s, 20000.0 * 22940 * 8));
    assert_true(near(out.wait_bits_per_s, 98000 * 670 * 8 / 15.0));
    assert_int_equal(out.somaxconn, 4096);
}

static void test_a_million(void **state)
{
    (void)state;
    const struct sizing_input in = sale(1000000);
    const struct sizing out = sized(&in);
    assert_true(out.redis_arrival_cores > 0.8); /* Redis is the limit */
    assert_true(near(out.redis_arrival_s, 4.5));
    assert_int_equal(out.redis_maxmemory_b, (1000000LL * 630 + 20000 * 1200) * 3 / 2);
    assert_int_equal(out.api_pods, (int64_t)ceil((200000 * 80.5e-6 + 400 * 115e-6) / 0.5));
}

static void test_what_decides(void **state)
{
    (void)state;
    struct sizing_input in = sale(100);
    struct sizing out = sized(&in);
    assert_int_equal(out.api_pods, 2);
    assert_int_equal(out.api_by, SIZING_BY_TWO);
    assert_int_equal(out.waiting, 0); /* fewer come than may be inside */
    assert_int_equal(out.sockets, 0);

    in = sale(100000);
    in.direct = true; /* 268,435,456 / 24,576 = 10,922 connections in a pod */
    out = sized(&in);
    assert_int_equal(out.api_pods, 11);
    assert_int_equal(out.api_by, SIZING_BY_MEMORY);
    assert_int_equal(out.connections_per_api, 10000);

    in = sale(100000);
    in.pod_files = 4608; /* 4,096 sockets */
    out = sized(&in);
    assert_int_equal(out.gateway_pods, 25);
    assert_int_equal(out.gateway_by, SIZING_BY_FILES);

    in = sale(100000);
    in.sockets = 0;
    out = sized(&in);
    assert_int_equal(out.gateway_pods, 2);
    assert_true(near(out.wait_bits_per_s, 0));
    in.seats = 0;
    assert_true(near(sized(&in).holds_per_s, 0));
}

static void test_more_of_anything_never_needs_less(void **state)
{
    (void)state;
    for (int64_t buyers = 1000; buyers <= 10000000; buyers *= 3) {
        const struct sizing_input in = sale(buyers), more = sale(buyers * 3);
        const struct sizing a = sized(&in), b = sized(&more);
        assert_true(b.api_pods >= a.api_pods && b.gateway_pods >= a.gateway_pods);
        assert_true(b.redis_maxmemory_b >= a.redis_maxmemory_b);
        assert_true(b.max_connections >= a.max_connections);
        struct sizing_input slow = in;
        slow.arrive_ms *= 10;
        assert_true(sized(&slow).api_pods <= a.api_pods);
        /* The pods bear it: no more than `load` of a core, nor of memory. */
        assert_true(a.api_cores <= (double)a.api_pods * 0.5 + 1e-9);
        assert_true(a.gateway_cores <= (double)a.gateway_pods * 0.5 + 1e-9);
        assert_true(a.sockets_per_gateway <= 32768); /* also when one is gone */
    }
}

static void test_what_is_refused(void **state)
{
    (void)state;
    struct sizing out = {.api_pods = 77};
    struct sizing_input wrong[8];
    for (size_t i = 0; i < 8; i++)
        wrong[i] = sale(1000);
    wrong[0].buyers = 0;
    wrong[1].arrive_ms = 0;
    wrong[2].load = 0;
    wrong[3].load = 1.5;
    wrong[4].pod_files = 512;
    wrong[5].sockets = -1;
    wrong[6].threshold = -1;
    wrong[7].pod_memory_b = 0;
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(sizing_compute(&wrong[i], &out), ST_INVALID);
    assert_int_equal(out.api_pods, 77);
}

static void test_each_figure_has_its_source(void **state)
{
    (void)state;
    for (enum sizing_figure i = 0; i < SIZING_FIGURES; i++) {
        const struct sizing_source *source = sizing_source(i);
        assert_non_null(source->name);
        assert_true(source->value > 0);
        assert_true((source->row != NULL) != (source->source != NULL));
    }
    for (enum sizing_limit i = SIZING_BY_TWO; i <= SIZING_BY_FILES; i++)
        assert_non_null(sizing_limit_name(i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hundred_thousand_in_five_seconds),
        cmocka_unit_test(test_a_million),
        cmocka_unit_test(test_what_decides),
        cmocka_unit_test(test_more_of_anything_never_needs_less),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_each_figure_has_its_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
