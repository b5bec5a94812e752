/* SPDX-License-Identifier: MIT */
/*
 * memory_limit: how much memory this process may use before the kernel ends it: the least of its cgroup's limit (v1 or v2),
 * those of the cgroups around it, and the machine's memory.
 */
#ifndef TIKETI_MEMORY_LIMIT_H
#define TIKETI_MEMORY_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct memory_limit {
    uint64_t bytes; /* 0: not known */
    bool cgroup;    /* a cgroup limits it; false: it is all that the machine has */
};

/* Reads /proc and /sys/fs/cgroup below `root`, which is "" but in tests. Blocks for some file reads. */
struct memory_limit memory_limit_read(const char *root);

#endif
