/* SPDX-License-Identifier: MIT */
/* crowd_report: the progress line and the closing report of a rehearsal, for people and as JSON. */
#ifndef TIKETI_CROWD_REPORT_H
#define TIKETI_CROWD_REPORT_H

#include "crowd_audit.h"
#include "crowd_buyer.h"
#include "status.h"

#include <stdbool.h>
#include <stdio.h>

/* All that the report tells; borrowed. */
struct crowd_outcome {
    struct crowd *crowd;
    const struct crowd_check *check; /* NULL: nothing was checked (--no-check) */
    struct crowd_findings *findings; /* likewise */
    uint64_t duration_ms;
    enum status audit; /* why the check is not complete, or ST_OK */
    bool stopped;      /* by a signal */
    bool timed_out;
};

/* A promise was broken, a request failed, or the check could not be completed. */
bool crowd_outcome_failed(const struct crowd_outcome *outcome);
void crowd_report_print(const struct crowd_outcome *outcome, FILE *out);
/* Writes the same as JSON. ST_INTERNAL when the file cannot be written. */
MUST_CHECK enum status crowd_report_write_json(const struct crowd_outcome *outcome,
                                               const char *path);
/* One line on stderr: rewritten in place on a terminal, else every fifth call. */
void crowd_report_progress(const struct crowd *crowd, uint64_t elapsed_s, bool last);

#endif
