/* SPDX-License-Identifier: MIT */
/*
 * cpus: how many cores the process may use: the denominator of "80 % of its CPU".
 *
 * Why this way: the number of cores of the machine is not it; containers are confined by affinity (cpusets) or by a quota
 * of their cgroup, which may be that of a group above. A quota may change while the process runs, so nothing is kept.
 * Called by: process_stats. Owns nothing.
 */
#include "base/cpus.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads the two words of `path`, such as "50000 100000" or "max 100000". */
static double read_ratio(const char *path, const char *period_path)
{
    char quota[32] = "", period[32] = "";
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    const int words = fscanf(file, "%31s %31s", quota, period);
    (void)fclose(file);
    file = words > 0 && period_path ? fopen(period_path, "re") : NULL;
    if (file) {
        if (fscanf(file, "%31s", period) != 1)
            period[0] = '\0';
        (void)fclose(file);
    }
    const double used = strtod(quota, NULL), per = strtod(period, NULL); /* "max", "-1": none */
    return used > 0 && per > 0 ? used / per : 0;
}

static double lesser(double a, double b)
{
    return b > 0 && (a == 0 || b < a) ? b : a;
}

/* The least quota of `group`, such as "/kubepods/pod1/abc", and of those above it. Cuts the text. */
static double group_quota(const char *mount, const char *controller, char *group)
{
    double least = 0;
    for (;;) {
        char path[PATH_MAX], period_path[PATH_MAX];
        const char *between = *controller ? "/" : "";
        const char *name = *controller ? "cpu.cfs_quota_us" : "cpu.max";
        const int len =
            snprintf(path, sizeof(path), "%s%s%s%s/%s", mount, between, controller, group, name);
        const int period_len = snprintf(period_path, sizeof(period_path), "%s%s%s%s/%s", mount,
                                        between, controller, group, "cpu.cfs_period_us");
        if (len > 0 && (size_t)len < sizeof(path) && period_len > 0 &&
            (size_t)period_len < sizeof(period_path))
            least = lesser(least, read_ratio(path, *controller ? period_path : NULL));
        char *slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

double cpus_quota(const char *membership, const char *mount)
{
    char line[PATH_MAX + 128];
    double least = 0;
    FILE *file = fopen(membership, "re");
    if (!file)
        return 0;
    /* Lines are number:controllers:path; version 2 has no controllers. */
    while (fgets(line, sizeof(line), file)) {
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *controllers++ = '\0';
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        if (strcmp(group, "/") == 0)
            *group = '\0';
        char list[sizeof(line) + 2];
        (void)snprintf(list, sizeof(list), ",%s,", controllers);
        if (*controllers == '\0' || strstr(list, ",cpu,"))
            least = lesser(least, group_quota(mount, *controllers ? "cpu" : "", group));
    }
    (void)fclose(file);
    return least;
}

double cpus_allowed(void)
{
    cpu_set_t set; /* too small for a machine of more than 1,024 cores */
    const double scheduled = sched_getaffinity(0, sizeof(set), &set) == 0
                                 ? CPU_COUNT(&set)
                                 : (double)sysconf(_SC_NPROCESSORS_ONLN);
    const double least = lesser(scheduled, cpus_quota("/proc/self/cgroup", "/sys/fs/cgroup"));
    return least > 0.01 ? least : 0.01;
}
