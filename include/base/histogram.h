/* SPDX-License-Identifier: MIT */
/*
 * histogram: how often values fell below each of some bounds, counted by any thread without a lock.
 */
#ifndef TIKETI_HISTOGRAM_H
#define TIKETI_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_BOUNDS_MAX 16

/* HISTOGRAM_BOUNDS_MAX bounds each, ascending. */
extern const double histogram_short_s[]; /* seconds: 0.1 ms to 10 s */
extern const double histogram_long_s[];  /* seconds: 1 s to 4 h */
extern const double histogram_sizes[];   /* 1 to 1,024 */

struct histogram {
    /* buckets[i] counts the values above bound i - 1 and up to bound i; the last one those above every bound. */
    atomic_uint_fast64_t buckets[HISTOGRAM_BOUNDS_MAX + 1];
    atomic_uint_fast64_t sum_millionths;
};

/* Counts `value` by `bounds`, one of the lists above: always the same for one histogram. A negative value or NaN counts as
 * 0, since the sum must never fall. */
void histogram_observe(struct histogram *histogram, const double *bounds, double value);

#endif
