/* SPDX-License-Identifier: MIT */
/*
 * metrics_text: families of metrics as text: Prometheus' format 0.0.4, or OpenMetrics 1.0.0.
 * A family is announced once, then all its samples follow, one after the other. Names and labels are the program's own
 * texts, and are not escaped, except where it is said.
 */
#ifndef TIKETI_METRICS_TEXT_H
#define TIKETI_METRICS_TEXT_H

#include "base/buf.h"
#include "base/histogram.h"

#include <stdint.h>

struct metrics_text {
    struct buf *out;  /* borrowed */
    bool openmetrics; /* else Prometheus' own format */
};

/* Announces a family. `type` is counter, gauge or histogram. `name` is that of its samples: it ends in _total if the
 * family is a counter, and has its unit as its last word but that, if it has one (seconds, bytes). */
void metrics_text_family(const struct metrics_text *text, const char *name, const char *type,
                         const char *help);

/* One sample. `labels` is "" or `a="b",c="d"`. */
void metrics_text_count(const struct metrics_text *text, const char *name, const char *labels,
                        uint64_t value);
void metrics_text_number(const struct metrics_text *text, const char *name, const char *labels,
                         double value);

/* Appends `name="value"` to `labels`, after a comma if there is something before it; escapes the value. */
void metrics_text_label(struct buf *labels, const char *name, const char *value);

/* All samples of one histogram, counted by `bounds`. */
void metrics_text_histogram(const struct metrics_text *text, const char *name, const char *labels,
                            const struct histogram *histogram, const double *bounds);

/* What must follow the last family. */
void metrics_text_end(const struct metrics_text *text);

#endif
