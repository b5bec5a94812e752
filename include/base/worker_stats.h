/* SPDX-License-Identifier: MIT */
/*
 * worker_stats: how each worker is: the CPU time of its thread, by how much its loop was late, how old the shop's keys are that
 * it has.
 */
#ifndef TIKETI_WORKER_STATS_H
#define TIKETI_WORKER_STATS_H

#include "base/metrics_text.h"

#include <stdint.h>

struct worker_stats;

/* The calling thread is the worker `name`, which is copied; two workers that live at the same time have different names.
 * Returns new: the same thread closes it before it ends. */
struct worker_stats *worker_stats_open(const char *name);
void worker_stats_close(struct worker_stats *stats); /* NULL is fine */

/* The worker's own thread: at `now_ms`, of a clock that never goes back, something ran `late_ms` after it was due. */
void worker_stats_late(struct worker_stats *stats, uint64_t now_ms, uint64_t late_ms);

/* Of the worker whose thread calls: it fetched the shop's keys at this time of clock_mono_ns; 0: it has none any more. Does
 * nothing on a thread that is no worker. */
void worker_stats_have_keys(uint64_t fetched_ns);

/* Appends tiketi_loop_busy_seconds_total and tiketi_loop_lag_seconds of every open worker, and tiketi_jwks_age_seconds of
 * those that have keys. Any thread. */
void worker_stats_write(const struct metrics_text *text);

#endif
