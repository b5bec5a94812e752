/* SPDX-License-Identifier: MIT */
/* memory_limit: the least of what the cgroups of a process and its machine allow, in every layout of containers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory_limit.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB            (UINT64_C(1) << 20)
#define UNLIMITED_OF_1 "9223372036854771712"

static char root[64];

/* Writes a file below the root, with the folders that it needs. */
static void put(const char *path, const char *text)
{
    char whole[512];
    (void)snprintf(whole, sizeof(whole), "%s%s", root, path);
    for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(whole, 0700);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int drop(const char *path, const struct stat *stat, int flag, struct FTW *at)
{
    (void)stat, (void)flag, (void)at;
    return remove(path);
}

static int begin(void **state)
{
    (void)state;
    (void)strcpy(root, "/tmp/tiketi-memory-XXXXXX");
    assert_non_null(mkdtemp(root));
    put("/proc/meminfo", "MemTotal:        2097152 kB\nMemFree: 1 kB\n"); /* 2,048 MiB */
    return 0;
}

static int end(void **state)
{
    (void)state;
    return nftw(root, drop, 8, FTW_DEPTH | FTW_PHYS);
}

static void expect(uint64_t bytes, bool cgroup)
{
    const struct memory_limit limit = memory_limit_read(root);
    assert_int_equal(limit.bytes, bytes);
    assert_int_equal(limit.cgroup, cgroup);
}

static void no_cgroup_means_the_machine(void **state)
{
    (void)state;
    expect(2048 * MIB, false);
    put("/proc/self/cgroup", "0::/\n");
    expect(2048 * MIB, false);
    put("/sys/fs/cgroup/memory.max", "max\n");
    expect(2048 * MIB, false);
}

static void nothing_known_is_zero(void **state)
{
    (void)state;
    const struct memory_limit limit = memory_limit_read("/nonexistent");
    assert_int_equal(limit.bytes, 0);
    assert_false(limit.cgroup);
}

static void version_2_in_a_namespace(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/memory.max", "536870912\n");
    expect(512 * MIB, true);
}

static void version_2_below_a_slice(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/system.slice/tiketi.service\n");
    put("/sys/fs/cgroup/system.slice/tiketi.service/memory.max", "max\n");
    expect(2048 * MIB, false);
    put("/sys/fs/cgroup/system.slice/memory.max", "1073741824\n"); /* around it, and less */
    expect(1024 * MIB, true);
    put("/sys/fs/cgroup/system.slice/tiketi.service/memory.max", "268435456\n");
    expect(256 * MIB, true);
}

static void version_1(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "9:name=systemd:/a\n5:cpu,memory:/kubepods/pod1\n1:cpuset:/x\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", UNLIMITED_OF_1 "\n");
    expect(2048 * MIB, false);
    put("/sys/fs/cgroup/memory/kubepods/pod1/memory.limit_in_bytes", "402653184\n");
    expect(384 * MIB, true);
}

/* The path is the host's, and what is mounted is the container's own group. */
static void version_1_without_a_namespace(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "4:memory:/docker/0123456789abcdef\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n");
    expect(128 * MIB, true);
}

static void both_versions_at_once(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "4:memory:/a\n0::/b\n");
    put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "134217728\n");
    put("/sys/fs/cgroup/unified/b/memory.max", "67108864\n");
    expect(64 * MIB, true);
}

static void nonsense_is_passed_over(void **state)
{
    (void)state;
    put("/proc/self/cgroup",
        "\n0\n0:\n0::\n0::x\n0::/../outside\n4:memoryless:/a\n4:memory\n5:memory:\n");
    put("/sys/fs/cgroup/memory.max", "1048576\n");
    put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1048576\n");
    expect(2048 * MIB, false);
    static const char *const values[] = {"", "\n", "0\n", "-1\n", "12x\n", "5", "many\n"};
    put("/proc/self/cgroup", "0::/\n");
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        put("/sys/fs/cgroup/memory.max", values[i]);
        expect(2048 * MIB, false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_cgroup_means_the_machine, begin, end),
        cmocka_unit_test_setup_teardown(nothing_known_is_zero, begin, end),
        cmocka_unit_test_setup_teardown(version_2_in_a_namespace, begin, end),
        cmocka_unit_test_setup_teardown(version_2_below_a_slice, begin, end),
        cmocka_unit_test_setup_teardown(version_1, begin, end),
        cmocka_unit_test_setup_teardown(version_1_without_a_namespace, begin, end),
        cmocka_unit_test_setup_teardown(both_versions_at_once, begin, end),
        cmocka_unit_test_setup_teardown(nonsense_is_passed_over, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
