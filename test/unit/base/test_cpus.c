/* SPDX-License-Identifier: MIT */
/* The cores that a process may use, from files such as the kernel's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cpus.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/tiketi-cpus-XXXXXX";
static char path[256];

static const char *at(const char *name)
{
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text)
{
    char command[512];
    (void)snprintf(command, sizeof(command), "mkdir -p \"$(dirname '%s')\"", at(name));
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): our own names */
    FILE *file = fopen(at(name), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static double quota(const char *membership)
{
    char mount[sizeof(path)];
    put("membership", membership);
    (void)snprintf(mount, sizeof(mount), "%s/mount", folder);
    return cpus_quota(at("membership"), mount);
}

static void near(double a, double b)
{
    assert_true(a > b - 1e-9 && a < b + 1e-9);
}

static void a_quota_of_its_group_or_of_one_above(void **state)
{
    (void)state;
    put("mount/pods/one/cpu.max", "150000 100000\n");
    put("mount/pods/cpu.max", "max 100000\n");
    near(quota("0::/pods/one\n"), 1.5);
    put("mount/pods/cpu.max", "50000 100000\n");
    near(quota("0::/pods/one\n"), 0.5);
    near(quota("0::/pods/other\n"), 0.5);
    near(quota("0::/elsewhere\n"), 0);
    put("mount/cpu.max", "400000 100000\n"); /* in a container its own group is the root */
    near(quota("0::/\n"), 4);
    near(quota("0::/elsewhere\n"), 4);
}

static void version_1_of_cgroups(void **state)
{
    (void)state;
    put("mount/cpu/docker/a/cpu.cfs_quota_us", "250000\n");
    put("mount/cpu/docker/a/cpu.cfs_period_us", "100000\n");
    put("mount/cpu/docker/b/cpu.cfs_quota_us", "-1\n");
    put("mount/cpu/docker/b/cpu.cfs_period_us", "100000\n");
    near(quota("9:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n"), 2.5);
    near(quota("9:memory:/docker/a\n4:cpuacct,cpu:/docker/b\n"), 0);
    near(quota("4:cpuset:/docker/a\n"), 0);
}

static void what_cannot_be_read_is_no_quota(void **state)
{
    (void)state;
    put("mount/odd/cpu.max", "many words\n");
    put("mount/zero/cpu.max", "100000 0\n");
    put("mount/cpu.max", "");
    near(quota("0::/odd\n"), 0);
    near(quota("0::/zero\n"), 0);
    near(quota("nonsense\n::\n"), 0);
    near(cpus_quota("/nowhere", "/nowhere"), 0);
}

static void this_process_has_some(void **state)
{
    (void)state;
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
    const double all = cpus_allowed();
    assert_true(all > 0 && all <= CPU_COUNT(&set));
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++) {
        if (CPU_ISSET(cpu, &set))
            CPU_SET(cpu, &one);
    }
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    assert_true(cpus_allowed() <= 1);
    assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command); /* NOLINT(cert-env33-c): our own folder */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quota_of_its_group_or_of_one_above),
        cmocka_unit_test(version_1_of_cgroups),
        cmocka_unit_test(what_cannot_be_read_is_no_quota),
        cmocka_unit_test(this_process_has_some),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
