/* SPDX-License-Identifier: MIT */
/* crowd_report: the progress line and the closing report of a rehearsal, for people and as JSON. */
#ifndef TIKETI_CROWD_REPORT_H
#define TIKETI_CROWD_REPORT_H

#include "base/status.h"
#include "crowd/crowd_options.h"
#include "crowd/crowd_tally.h"

#include <stdbool.h>
#include <stdio.h>

/* All that the report tells; borrowed. */
struct crowd_outcome {
    const struct crowd_options *options;
    struct crowd_sum *sum;
    bool checked; /* Redis and PostgreSQL were read (not with --no-check) */
};

/* A promise was broken, a request failed, or the check could not be completed. */
bool crowd_outcome_failed(const struct crowd_outcome *outcome);
void crowd_report_print(const struct crowd_outcome *outcome, FILE *out);
/* Writes the same as JSON. ST_INTERNAL when the file cannot be written. */
MUST_CHECK enum status crowd_report_write_json(const struct crowd_outcome *outcome,
                                               const char *path);
/* One line on stderr: rewritten in place on a terminal, else every fifth call. */
void crowd_report_progress(const struct crowd_tally *tally, uint64_t elapsed_s, bool last);

#endif
