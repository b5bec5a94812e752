/* SPDX-License-Identifier: MIT */
/* cpus: how many cores the process may use. Any thread. */
#ifndef TIKETI_BASE_CPUS_H
#define TIKETI_BASE_CPUS_H

/* Cores that the process may use: those it may be scheduled on, or fewer if a quota of its cgroup or of one above says so
 * (0.5: half of one core's time). Reads a few files of the kernel, so not for hot paths. Never fails; at least 0.01. */
double cpus_allowed(void);

/* The least quota in cores of the cgroup that `membership` (as /proc/self/cgroup) names below `mount` (as /sys/fs/cgroup), and
 * of those above it, of both versions of cgroups; 0: there is none, or it cannot be read. Borrows both paths. */
double cpus_quota(const char *membership, const char *mount);

#endif
