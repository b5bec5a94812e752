/* SPDX-License-Identifier: MIT */
/*
 * forecast_visits: how long the visits of a forecast last, as a table of quantiles.
 */
#ifndef TIKETI_FORECAST_VISITS_H
#define TIKETI_FORECAST_VISITS_H

#include <stddef.h>

#define VISITS 1024 /* entries of the table */

struct visits {
    double lengths[VISITS];    /* ms, ascending */
    double before[VISITS + 1]; /* sum of the shorter ones */
};

/* What is known of them, as in struct forecast_input, which forecast_check has accepted. */
struct visits_known {
    double mean_ms, spread_ms;
    const double *quantiles_ms;
    size_t quantile_count; /* 0: mean and spread */
};
/* Fills the table, which is all 0. */
void visits_fill(struct visits *visits, const struct visits_known *known);
/* The length in ms at the probability `p`, from 0 to below 1. */
double visits_length(const struct visits *visits, double p);
/* The same of a visit that is met at some moment: long ones are met more often than short ones. */
double visits_length_met(const struct visits *visits, double p);

#endif
