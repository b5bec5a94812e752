/* SPDX-License-Identifier: MIT */
/*
 * histogram: how often values fell below each of some bounds.
 *
 * Why this way: each bucket and the sum is an atomic of its own. Relaxed order is enough: the numbers of one scrape need
 * not belong to the same moment.
 * Called by: metrics, metrics_http, the processor. Owns nothing.
 */
#include "base/histogram.h"

#include <stddef.h>

const double histogram_short_s[HISTOGRAM_BOUNDS_MAX] = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
};
const double histogram_long_s[HISTOGRAM_BOUNDS_MAX] = {
    1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 5400, 7200, 14400,
};
const double histogram_sizes[HISTOGRAM_BOUNDS_MAX] = {
    1, 2, 4, 8, 12, 16, 24, 32, 40, 48, 56, 64, 128, 256, 512, 1024,
};

void histogram_observe(struct histogram *histogram, const double *bounds, double value)
{
    size_t i = 0;
    if (!(value >= 0)) /* negative (the clock went back) or NaN */
        value = 0;
    while (i < HISTOGRAM_BOUNDS_MAX && value > bounds[i])
        i++;
    atomic_fetch_add_explicit(&histogram->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_millionths, (uint64_t)(value * 1e6),
                              memory_order_relaxed);
}
