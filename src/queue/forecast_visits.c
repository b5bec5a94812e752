/* SPDX-License-Identifier: MIT */
/*
 * forecast_visits: how long the visits of a forecast last, as a table of quantiles.
 *
 * Why this way: a visit costs one look into the table, and the mean is exact. Called by: forecast. Pure. Owns nothing.
 */
#include "queue/forecast_visits.h"

#include <math.h>

/* The standard normal distribution's quantile; Acklam's approximation, its relative error is below 2e-9. */
static double normal_quantile(double p)
{
    static const double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,
                               -2.759285104469687e+02, 1.383577518672690e+02,
                               -3.066479806614716e+01, 2.506628277459239e+00};
    static const double b[] = {-5.447609879822406e+01, 1.615858368580409e+02,
                               -1.556989798598866e+02, 6.680131188771972e+01,
                               -1.328068155288572e+01};
    static const double c[] = {-7.784894002430293e-03, -3.223964580411365e-01,
                               -2.400758277161838e+00, -2.549732539343734e+00,
                               4.374664141464968e+00,  2.938163982698783e+00};
    static const double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                               3.754408661907416e+00};
    const double low = 0.02425, tail = p < 0.5 ? p : 1 - p;
    if (tail < low) {
        const double q = sqrt(-2 * log(tail));
        const double z = (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
                         ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
        return p < 0.5 ? z : -z;
    }
    const double q = p - 0.5, r = q * q;
    return (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
           (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
}

void visits_fill(struct visits *visits, const struct visits_known *known)
{
    const double ratio = known->quantile_count ? 0 : known->spread_ms / known->mean_ms;
    const double sigma = sqrt(log1p(ratio * ratio));
    double sum = 0;
    for (size_t i = 0; i < VISITS; i++) {
        const double p = ((double)i + 0.5) / VISITS;
        if (known->quantile_count > 0) {
            const double at = p * (double)(known->quantile_count - 1);
            const size_t low = (size_t)at;
            const double *q = &known->quantiles_ms[low];
            visits->lengths[i] = q[0] + (q[1] - q[0]) * (at - (double)low);
        } else {
            visits->lengths[i] = exp(sigma * normal_quantile(p));
        }
        sum += visits->lengths[i];
    }
    /* Exact in its mean, although the table has no longest visits. */
    const double scale = known->quantile_count > 0 ? 1 : known->mean_ms * VISITS / sum;
    for (size_t i = 0; i < VISITS; i++) {
        visits->lengths[i] = fmax(visits->lengths[i] * scale, 1);
        visits->before[i + 1] = visits->before[i] + visits->lengths[i];
    }
}

double visits_length(const struct visits *visits, double p)
{
    return visits->lengths[(size_t)(p * VISITS)];
}

double visits_length_met(const struct visits *visits, double p)
{
    const double aim = p * visits->before[VISITS];
    size_t low = 0, high = VISITS - 1;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (visits->before[middle + 1] < aim)
            low = middle + 1;
        else
            high = middle;
    }
    return visits->lengths[low];
}
