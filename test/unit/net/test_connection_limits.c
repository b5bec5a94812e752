/* SPDX-License-Identifier: MIT */
/* connection_limits: the least of open files, memory and the setting decides, and says so; no worker has no connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/connection_limits.h"

#define MIB (UINT64_C(1) << 20)

static struct connection_limits of(unsigned files, uint64_t memory, unsigned http,
                                   unsigned gateways, int64_t max)
{
    return connection_limits_of(&(struct connection_needs){.open_files = files,
                                                           .memory_bytes = memory,
                                                           .http_workers = http,
                                                           .gateways = gateways,
                                                           .http_max = max});
}

static void few_files_decide(void **state)
{
    (void)state;
    struct connection_limits limits = of(20512, 24000 * MIB, 1, 1, 0);
    assert_int_equal(limits.http, 10000);
    assert_int_equal(limits.sockets, 10000);
    assert_int_equal(limits.http_by, BOUND_FILES);
    assert_int_equal(limits.sockets_by, BOUND_FILES);
    limits = of(1024, 24000 * MIB, 1, 0, 0);
    assert_int_equal(limits.http, 512);
    assert_int_equal(limits.sockets, 0);
    assert_int_equal(of(20512, 0, 1, 0, 0).http, 20000); /* the memory is not known */
}

/* A usual container: a million files, and 512 MiB. */
static void little_memory_decides(void **state)
{
    (void)state;
    struct connection_limits limits = of(1000000, 512 * MIB, 2, 0, 0);
    assert_int_equal(limits.http_by, BOUND_MEMORY);
    assert_int_equal(limits.http, 128 * MIB / (24 * 1024));
    limits = of(1000000, 512 * MIB, 1, 1, 0);
    assert_int_equal(limits.http, 128 * MIB / (24 * 1024));
    assert_int_equal(limits.sockets, 128 * MIB / (8 * 1024));
    assert_int_equal(limits.sockets_by, BOUND_MEMORY);
    /* All of them together fit into half of it. */
    assert_true(limits.http * UINT64_C(24) * 1024 + limits.sockets * UINT64_C(8) * 1024 <=
                256 * MIB);
}

static void the_setting_is_for_the_process(void **state)
{
    (void)state;
    struct connection_limits limits = of(20512, 512 * MIB, 2, 0, 5000);
    assert_int_equal(limits.http, 2500);
    assert_int_equal(limits.http_by, BOUND_SETTING);
    /* It may ask for more than the memory allows, but not for more than the files do. */
    limits = of(1000000, 64 * MIB, 1, 0, 100000);
    assert_int_equal(limits.http, 100000);
    assert_int_equal(limits.http_by, BOUND_SETTING);
    limits = of(20512, 512 * MIB, 1, 0, 100000);
    assert_int_equal(limits.http, 20000);
    assert_int_equal(limits.http_by, BOUND_FILES);
    /* It says nothing of sockets. */
    limits = of(1000000, 512 * MIB, 1, 1, 7);
    assert_int_equal(limits.http, 7);
    assert_int_equal(limits.sockets_by, BOUND_MEMORY);
    assert_int_equal(of(20512, 0, 4, 0, 1).http, 1); /* each worker has one */
}

static void probes_need_few(void **state)
{
    (void)state;
    const struct connection_needs needs = {.open_files = 1000000,
                                           .memory_bytes = 512 * MIB,
                                           .probes_only = true,
                                           .http_workers = 1,
                                           .gateways = 2,
                                           .http_max = 9};
    const struct connection_limits limits = connection_limits_of(&needs);
    assert_int_equal(limits.http, 256);
    assert_int_equal(limits.sockets, 128 * MIB / (8 * 1024));
    struct connection_needs processor = needs;
    processor.gateways = 0;
    assert_int_equal(connection_limits_of(&processor).http, 256);
    assert_int_equal(connection_limits_of(&processor).sockets, 0);
}

static void bounds_have_names(void **state)
{
    (void)state;
    assert_string_equal(connection_bound_name(BOUND_FILES), "files");
    assert_string_equal(connection_bound_name(BOUND_MEMORY), "memory");
    assert_string_equal(connection_bound_name(BOUND_SETTING), "setting");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_files_decide),
        cmocka_unit_test(little_memory_decides),
        cmocka_unit_test(the_setting_is_for_the_process),
        cmocka_unit_test(probes_need_few),
        cmocka_unit_test(bounds_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
