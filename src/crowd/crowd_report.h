/* SPDX-License-Identifier: MIT */
/* crowd_report: the progress line and the closing report of a rehearsal, for people and as JSON. */
#ifndef TIKETI_CROWD_REPORT_H
#define TIKETI_CROWD_REPORT_H

#include "base/status.h"
#include "crowd/crowd_options.h"
#include "crowd/crowd_tally.h"

#include <stdbool.h>
#include <stdio.h>

/* What the report shows; borrowed. */
struct crowd_outcome {
    const struct crowd_options *options;
    struct crowd_sum *sum;
    bool
        checked; /* the promises were checked against Redis and PostgreSQL; false with --no-check */
};

/* True when a promise was broken, a request failed, or the check could not be completed. */
bool crowd_outcome_failed(const struct crowd_outcome *outcome);
/* Writes the report for people. */
void crowd_report_print(const struct crowd_outcome *outcome, FILE *out);
/* Writes the report as JSON. ST_INTERNAL: the file cannot be written. */
MUST_CHECK enum status crowd_report_write_json(const struct crowd_outcome *outcome,
                                               const char *path);
/* One line on stderr. On a terminal each call rewrites it in place; else only every fifth call writes one. */
void crowd_report_progress(const struct crowd_tally *tally, uint64_t elapsed_s, bool last);

#endif
