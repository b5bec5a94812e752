/* SPDX-License-Identifier: MIT */
/*
 * metrics: the counters and histograms of the process, written in the Prometheus text format 0.0.4.
 *
 * Why this way: every metric is a row of a table; routes are rows that are added before the threads start;
 * the status codes of a route are counted in a small fixed list. So counting allocates nothing and takes no
 * lock. Relaxed order is enough: the numbers of one scrape need not belong to the same moment.
 * Called by: every folder; written out by api_ops. Owns: the numbers.
 */
#include "base/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define ROUTES_MAX  96
#define BUCKETS_MAX 16

/* ---- counters ---- */

static const struct {
    const char *name, *labels,
        *help; /* help NULL: the row above has the same name, with other labels */
} counter_rows[METRIC_COUNT] = {
    [METRIC_JOINS] = {"tiketi_joins_total", "", "Joins that were answered."},
    [METRIC_ADMISSIONS_DIRECT] = {"tiketi_admissions_total", "{kind=\"direct\"}",
                                  "Admissions: direct, or promoted from the queue."},
    [METRIC_ADMISSIONS_PROMOTED] = {"tiketi_admissions_total", "{kind=\"promoted\"}", NULL},
    [METRIC_EVICTIONS] = {"tiketi_evictions_total", "",
                          "Buyers evicted: idle, or over the session limit."},
    [METRIC_TICKS] = {"tiketi_ticks_total", "", "Processor ticks."},
    [METRIC_REDIS_ERRORS] = {"tiketi_redis_errors_total", "", "Failed Redis commands."},
    [METRIC_REDIS_RECONNECTS] = {"tiketi_redis_reconnects_total", "", "New Redis connections."},
    [METRIC_DB_ERRORS] = {"tiketi_postgres_errors_total", "", "Failed PostgreSQL queries."},
    [METRIC_DB_RECONNECTS] = {"tiketi_postgres_reconnects_total", "",
                              "New PostgreSQL connections."},
    [METRIC_WS_OPENED] = {"tiketi_websocket_opened_total", "", "WebSockets opened."},
    [METRIC_WS_CLOSED] = {"tiketi_websocket_closed_total", "", "WebSockets closed."},
    [METRIC_WS_DROPPED] = {"tiketi_websocket_dropped_total", "",
                           "WebSockets closed because their reader was too slow."},
    [METRIC_WS_MESSAGES] = {"tiketi_websocket_messages_total", "", "WebSocket messages sent."},
    [METRIC_MESSAGES_SKIPPED] =
        {"tiketi_channel_messages_skipped_total", "",
         "Channel messages that a gateway worker without a socket of their event did not parse."},
    [METRIC_HOLDS] = {"tiketi_holds_total", "{kind=\"buyer\"}",
                      "Reservations made: by buyers, or on admission."},
    [METRIC_AUTO_HOLDS] = {"tiketi_holds_total", "{kind=\"auto\"}", NULL},
    [METRIC_SEAT_CONFLICTS] = {"tiketi_seat_conflicts_total", "",
                               "Holds refused because another buyer took a seat."},
    [METRIC_SEAT_MAPS] = {"tiketi_seat_map_rebuilds_total", "", "Seat maps built by PostgreSQL."},
    [METRIC_PURCHASES] = {"tiketi_purchases_total", "", "Reservations paid for."},
    [METRIC_REFUNDS_DUE] = {"tiketi_refunds_total", "{state=\"due\"}", "Refunds: due, or done."},
    [METRIC_REFUNDS] = {"tiketi_refunds_total", "{state=\"done\"}", NULL},
    [METRIC_EVENT_LOOKUPS] = {"tiketi_event_lookups_total", "",
                              "Queries to PostgreSQL for event ids that Redis does not know."},
    [METRIC_UNKNOWN_EVENTS] = {"tiketi_unknown_events_total", "",
                               "Requested event ids that belong to no event."},
};

static atomic_uint_fast64_t counters[METRIC_COUNT];

void metrics_add(enum metric metric, uint64_t n)
{
    atomic_fetch_add_explicit(&counters[metric], n, memory_order_relaxed);
}

/* ---- histograms ---- */

struct histogram {
    atomic_uint_fast64_t buckets[BUCKETS_MAX + 1]; /* the last one: above every bound */
    atomic_uint_fast64_t sum_millionths;
};

static const double second_bounds[BUCKETS_MAX] = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
};
static const double size_bounds[BUCKETS_MAX] = {
    1, 2, 4, 8, 12, 16, 24, 32, 40, 48, 56, 64, 128, 256, 512, 1024,
};

static const struct {
    const char *name, *help;
    const double *bounds;
} histogram_rows[HISTOGRAM_COUNT] = {
    [HISTOGRAM_TICK] = {"tiketi_tick_duration_seconds", "Duration of a processor tick.",
                        second_bounds},
    [HISTOGRAM_REDIS] = {"tiketi_redis_duration_seconds", "Duration of a Redis command.",
                         second_bounds},
    [HISTOGRAM_DB] = {"tiketi_postgres_duration_seconds", "Duration of a PostgreSQL query.",
                      second_bounds},
    [HISTOGRAM_JOIN_BATCH] = {"tiketi_join_batch_size", "Joins of one script call.", size_bounds},
};

static struct histogram histograms[HISTOGRAM_COUNT];

static void observe(struct histogram *histogram, const double *bounds, double value)
{
    size_t i = 0;
    if (!(value >= 0)) /* negative (the clock went back) or NaN; the sum must never decrease */
        value = 0;
    while (i < BUCKETS_MAX && value > bounds[i])
        i++;
    atomic_fetch_add_explicit(&histogram->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_millionths, (uint64_t)(value * 1e6),
                              memory_order_relaxed);
}

void metrics_observe(enum metric_histogram histogram, double value)
{
    observe(&histograms[histogram], histogram_rows[histogram].bounds, value);
}

/* ---- HTTP ---- */

/* The status codes of our answers; every other code counts in the last slot, as "other". */
static const unsigned codes[] = {200, 201, 204, 303, 304, 400, 401, 403, 404, 405,
                                 409, 410, 412, 413, 414, 429, 431, 500, 503, 0};
#define CODE_COUNT (sizeof(codes) / sizeof(codes[0]))

static struct route {
    const char *method, *path;
    atomic_uint_fast64_t by_code[CODE_COUNT];
    struct histogram duration;
} routes[ROUTES_MAX];
static unsigned route_count; /* fixed before the threads start */

unsigned metrics_register_route(const char *method, const char *path)
{
    for (unsigned r = 0; r < route_count; r++) { /* Prometheus refuses a series that comes twice */
        if (strcmp(routes[r].method, method) == 0 && strcmp(routes[r].path, path) == 0)
            return r;
    }
    if (route_count == ROUTES_MAX)
        return ROUTES_MAX; /* metrics_http ignores this id */
    routes[route_count].method = method;
    routes[route_count].path = path;
    return route_count++;
}

void metrics_http(unsigned route, unsigned status, uint64_t duration_us)
{
    size_t i = 0;
    if (route >= route_count)
        return;
    while (codes[i] != 0 && codes[i] != status)
        i++;
    atomic_fetch_add_explicit(&routes[route].by_code[i], 1, memory_order_relaxed);
    observe(&routes[route].duration, second_bounds, (double)duration_us / 1e6);
}

/* ---- writing ---- */

static uint64_t load(const atomic_uint_fast64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

void metrics_write_header(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_write_sample(struct buf *out, const char *name, const char *label, const char *value,
                          double number)
{
    buf_printf(out, "%s{%s=\"", name, label);
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\' || *value == '\n')
            buf_add_char(out, '\\');
        buf_add(out, *value == '\n' ? "n" : value, 1);
    }
    buf_printf(out, "\"} %.17g\n", number);
}

/* `labels` is "" or `a="b",` with its comma. */
static void write_histogram(struct buf *out, const char *name, const char *labels,
                            const struct histogram *histogram, const double *bounds)
{
    uint64_t total = 0;
    for (size_t i = 0; i < BUCKETS_MAX; i++) {
        total += load(&histogram->buckets[i]);
        buf_printf(out, "%s_bucket{%sle=\"%g\"} %" PRIu64 "\n", name, labels, bounds[i], total);
    }
    total += load(&histogram->buckets[BUCKETS_MAX]);
    buf_printf(out, "%s_bucket{%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, total);
    const int label_len = (int)strlen(labels);
    const char *open = label_len > 0 ? "{" : "", *close = label_len > 0 ? "}" : "";
    const int kept = label_len > 0 ? label_len - 1 : 0; /* without the comma */
    buf_printf(out, "%s_sum%s%.*s%s %.6f\n", name, open, kept, labels, close,
               (double)load(&histogram->sum_millionths) / 1e6);
    buf_printf(out, "%s_count%s%.*s%s %" PRIu64 "\n", name, open, kept, labels, close, total);
}

void metrics_write(struct buf *out)
{
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        if (counter_rows[i].help)
            metrics_write_header(out, counter_rows[i].name, "counter", counter_rows[i].help);
        buf_printf(out, "%s%s %" PRIu64 "\n", counter_rows[i].name, counter_rows[i].labels,
                   load(&counters[i]));
    }
    for (size_t i = 0; i < HISTOGRAM_COUNT; i++) {
        metrics_write_header(out, histogram_rows[i].name, "histogram", histogram_rows[i].help);
        write_histogram(out, histogram_rows[i].name, "", &histograms[i], histogram_rows[i].bounds);
    }

    metrics_write_header(out, "tiketi_http_requests_total", "counter", "HTTP requests answered.");
    for (unsigned r = 0; r < route_count; r++) {
        for (size_t c = 0; c < CODE_COUNT; c++) {
            const uint64_t n = load(&routes[r].by_code[c]);
            char code[12] = "other";
            if (n == 0)
                continue;
            if (codes[c] != 0)
                (void)snprintf(code, sizeof(code), "%u", codes[c]);
            buf_printf(
                out,
                "tiketi_http_requests_total{method=\"%s\",path=\"%s\",status=\"%s\"} %" PRIu64 "\n",
                routes[r].method, routes[r].path, code, n);
        }
    }

    static const char durations[] = "tiketi_http_request_duration_seconds";
    metrics_write_header(out, durations, "histogram",
                         "Time from the last byte of a request to its answer.");
    for (unsigned r = 0; r < route_count; r++) {
        char labels[160];
        bool used = false;
        for (size_t c = 0; c < CODE_COUNT; c++)
            used = used || load(&routes[r].by_code[c]) > 0;
        if (!used) /* a route that was never requested is left out */
            continue;
        (void)snprintf(labels, sizeof(labels), "method=\"%s\",path=\"%s\",", routes[r].method,
                       routes[r].path);
        write_histogram(out, durations, labels, &routes[r].duration, second_bounds);
    }
}
