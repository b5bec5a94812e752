/* SPDX-License-Identifier: MIT */
/*
 * metrics_text: families of metrics as text: Prometheus' format 0.0.4, or OpenMetrics 1.0.0.
 *
 * Why this way: the formats differ in three things, and every caller writes both through the same calls: OpenMetrics names a
 * counter's family without _total, says the unit, and ends with a line of its own.
 * Called by: metrics, metrics_http, api_metrics. Owns nothing.
 */
#include "base/metrics_text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char total[] = "_total";

/* Does the `len` bytes of `name` end with `tail`? */
static bool ends_with(const char *name, size_t len, const char *tail)
{
    const size_t tail_len = strlen(tail);
    return len > tail_len && memcmp(name + len - tail_len, tail, tail_len) == 0;
}

void metrics_text_family(const struct metrics_text *text, const char *name, const char *type,
                         const char *help)
{
    static const char *const units[] = {"seconds", "bytes"};
    size_t len = strlen(name);
    if (text->openmetrics && ends_with(name, len, total))
        len -= sizeof(total) - 1;
    buf_printf(text->out, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)len, name, help, (int)len, name,
               type);
    for (size_t i = 0; text->openmetrics && i < sizeof(units) / sizeof(units[0]); i++) {
        if (ends_with(name, len, units[i]))
            buf_printf(text->out, "# UNIT %.*s %s\n", (int)len, name, units[i]);
    }
}

/* "name{labels} " or "name " */
static void write_name(const struct metrics_text *text, const char *name, const char *labels)
{
    buf_printf(text->out, *labels ? "%s{%s} " : "%s%s ", name, labels);
}

void metrics_text_count(const struct metrics_text *text, const char *name, const char *labels,
                        uint64_t value)
{
    write_name(text, name, labels);
    buf_printf(text->out, "%" PRIu64 "\n", value);
}

void metrics_text_number(const struct metrics_text *text, const char *name, const char *labels,
                         double value)
{
    write_name(text, name, labels);
    if (isfinite(value))
        buf_printf(text->out, "%.15g\n", value);
    else
        buf_printf(text->out, "%s\n", isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
}

void metrics_text_label(struct buf *labels, const char *name, const char *value)
{
    buf_printf(labels, "%s%s=\"", labels->len > 0 ? "," : "", name);
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\' || *value == '\n')
            buf_add_char(labels, '\\');
        buf_add(labels, *value == '\n' ? "n" : value, 1);
    }
    buf_add_char(labels, '"');
}

static uint64_t load(const atomic_uint_fast64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

void metrics_text_histogram(const struct metrics_text *text, const char *name, const char *labels,
                            const struct histogram *histogram, const double *bounds)
{
    const char *comma = *labels ? "," : "";
    uint64_t count = 0;
    for (size_t i = 0; i < HISTOGRAM_BOUNDS_MAX; i++) {
        count += load(&histogram->buckets[i]);
        buf_printf(text->out, "%s_bucket{%s%sle=\"%g%s\"} %" PRIu64 "\n", name, labels, comma,
                   bounds[i], text->openmetrics && bounds[i] == floor(bounds[i]) ? ".0" : "",
                   count);
    }
    count += load(&histogram->buckets[HISTOGRAM_BOUNDS_MAX]);
    buf_printf(text->out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, count);
    buf_printf(text->out, *labels ? "%s_sum{%s} %.6f\n" : "%s_sum%s %.6f\n", name, labels,
               (double)load(&histogram->sum_millionths) / 1e6);
    buf_printf(text->out, *labels ? "%s_count{%s} %" PRIu64 "\n" : "%s_count%s %" PRIu64 "\n", name,
               labels, count);
}

void metrics_text_end(const struct metrics_text *text)
{
    if (text->openmetrics)
        buf_printf(text->out, "# EOF\n");
}
