/* SPDX-License-Identifier: MIT */
/*
 * process_stats: what the kernel says of this process, under the names that every Prometheus client uses, and which build
 * it is.
 */
#ifndef TIKETI_PROCESS_STATS_H
#define TIKETI_PROCESS_STATS_H

#include "base/metrics_text.h"

/* Appends tiketi_build_info and process_*. What /proc does not tell is left out. Counting the open files takes the kernel
 * some milliseconds when there are tens of thousands of them, so they are counted once in five seconds at most. */
void process_stats_write(const struct metrics_text *text);

#endif
