/* SPDX-License-Identifier: MIT */
/* metrics: each series is written once, buckets are cumulative, labels are escaped, threads lose nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "base/metrics_http.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct buf text;

static void scrape(void)
{
    buf_clear(&text);
    buf_init(&text, 1 << 20);
    const struct metrics_text prometheus = {.out = &text};
    metrics_write(&prometheus);
    metrics_http_write(&prometheus);
    metrics_text_end(&prometheus);
    assert_int_equal(buf_status(&text), ST_OK);
}

/* The value of the line that begins with `series` and a space. Fails unless there is exactly one. */
static double value_of(const char *series)
{
    const size_t len = strlen(series);
    const char *found = NULL;
    for (const char *at = buf_str(&text); *at != '\0'; at += strcspn(at, "\n") + 1) {
        if (strncmp(at, series, len) != 0 || at[len] != ' ')
            continue;
        assert_null(found);
        found = at + len + 1;
    }
    assert_non_null(found);
    return strtod(found, NULL);
}

static bool has(const char *part)
{
    return strstr(buf_str(&text), part);
}

static void counters_count(void **state)
{
    (void)state;
    scrape();
    assert_true(value_of("tiketi_joins_total") == 0);
    metrics_add(METRIC_JOINS, 5);
    metrics_add(METRIC_JOINS, 2);
    metrics_add(METRIC_ADMISSIONS_PROMOTED, 3);
    scrape();
    assert_true(value_of("tiketi_joins_total") == 7);
    assert_true(value_of("tiketi_admissions_total{kind=\"promoted\"}") == 3);
    assert_true(value_of("tiketi_admissions_total{kind=\"direct\"}") == 0);
}

static void every_metric_has_a_row(void **state)
{
    (void)state;
    for (int i = 0; i < METRIC_COUNT; i++)
        metrics_add((enum metric)i, 1000000);
    scrape();
    size_t n = 0;
    for (const char *at = buf_str(&text); *at != '\0'; at += strcspn(at, "\n") + 1) {
        const char *space = strchr(at, ' ');
        n += *at != '#' && space && strtod(space, NULL) >= 1000000.0;
    }
    assert_int_equal(n, METRIC_COUNT);
    assert_false(has("(null)"));
}

static void families_are_announced_once(void **state)
{
    (void)state;
    scrape();
    for (const char *at = buf_str(&text); *at != '\0'; at += strcspn(at, "\n") + 1) {
        char line[200];
        const size_t len = strcspn(at, "\n") + 1;
        if (strncmp(at, "# TYPE ", 7) != 0)
            continue;
        assert_in_range(len, 8, sizeof(line) - 1);
        memcpy(line, at, len);
        line[len] = '\0';
        assert_ptr_equal(strstr(buf_str(&text), line), at);
        assert_null(strstr(at + len, line));
    }
    assert_true(has("# HELP tiketi_joins_total "));
    assert_true(has("# TYPE tiketi_joins_total counter\n"));
    assert_true(has("# TYPE tiketi_tick_duration_seconds histogram\n"));
    assert_true(has("# TYPE tiketi_http_request_duration_seconds histogram\n"));
}

static void buckets_are_cumulative(void **state)
{
    static const double values[] = {0.0001, 0.00011, 0.3, 0.5, 0.500001, 99, -1, NAN};
    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        metrics_observe(HISTOGRAM_TICK, values[i]);
    scrape();
    assert_true(value_of("tiketi_tick_duration_seconds_bucket{le=\"0.0001\"}") ==
                3); /* -1, NaN: 0 */
    assert_true(value_of("tiketi_tick_duration_seconds_bucket{le=\"0.00025\"}") == 4);
    assert_true(value_of("tiketi_tick_duration_seconds_bucket{le=\"0.25\"}") == 4);
    assert_true(value_of("tiketi_tick_duration_seconds_bucket{le=\"0.5\"}") == 6);
    assert_true(value_of("tiketi_tick_duration_seconds_bucket{le=\"1\"}") == 7);
    assert_true(value_of("tiketi_tick_duration_seconds_bucket{le=\"10\"}") == 7);
    assert_true(value_of("tiketi_tick_duration_seconds_bucket{le=\"+Inf\"}") == 8);
    assert_true(value_of("tiketi_tick_duration_seconds_count") == 8);
    assert_true(fabs(value_of("tiketi_tick_duration_seconds_sum") - 100.300211) < 1e-5);
}

static void requests_count_by_route_and_status(void **state)
{
    (void)state;
#define CHECK  "method=\"POST\",route=\"/api/queue/check/{eventId}\""
#define STATUS "method=\"GET\",route=\"/api/queue/status/{eventId}\""
#define TIMED  "tiketi_http_request_duration_seconds"
    const unsigned check = metrics_register_route("POST", "/api/queue/check/{eventId}", true);
    const unsigned status = metrics_register_route("GET", "/api/queue/status/{eventId}", false);
    assert_int_not_equal(check, status);
    assert_int_equal(metrics_register_route("POST", "/api/queue/check/{eventId}", true), check);
    scrape();
    static const char *const all[] = {"2xx", "3xx", "4xx", "5xx"};
    for (size_t i = 0; i < 4; i++) {
        char series[160];
        (void)snprintf(series, sizeof(series), "tiketi_http_requests_total{%s,status=\"%s\"}",
                       STATUS, all[i]);
        assert_true(value_of(series) == 0);
    }
    assert_true(value_of("tiketi_http_errors_total{status=\"503\"}") == 0);
    assert_true(value_of("tiketi_http_errors_total{status=\"other\"}") == 0);
    assert_true(value_of(TIMED "_count{" CHECK "}") == 0);
    assert_false(has(TIMED "_count{" STATUS "}")); /* not timed, and never requested */
    metrics_http(check, 200, 1500);
    metrics_http(check, 201, 1500);
    metrics_http(check, 503, 3000000);
    metrics_http(status, 304, 10);
    metrics_http(status, 418, 10);
    metrics_http(9999, 200, 10); /* no such route: ignored */
    scrape();
    assert_true(value_of("tiketi_http_requests_total{" CHECK ",status=\"2xx\"}") == 2);
    assert_true(value_of("tiketi_http_requests_total{" CHECK ",status=\"5xx\"}") == 1);
    assert_true(value_of("tiketi_http_requests_total{" STATUS ",status=\"3xx\"}") == 1);
    assert_true(value_of("tiketi_http_requests_total{" STATUS ",status=\"4xx\"}") == 1);
    assert_true(value_of("tiketi_http_errors_total{status=\"503\"}") == 1);
    assert_true(value_of("tiketi_http_errors_total{status=\"other\"}") == 1);
    assert_true(value_of(TIMED "_bucket{" CHECK ",le=\"0.001\"}") == 0);
    assert_true(value_of(TIMED "_bucket{" CHECK ",le=\"0.0025\"}") == 2);
    assert_true(value_of(TIMED "_bucket{" CHECK ",le=\"+Inf\"}") == 3);
    assert_true(value_of(TIMED "_count{" CHECK "}") == 3);
    assert_true(value_of(TIMED "_count{" STATUS "}") == 2);
    assert_true(fabs(value_of(TIMED "_sum{" CHECK "}") - 3.003) < 1e-9);
}

static void connections_are_summed_over_the_workers(void **state)
{
    (void)state;
    struct metrics_http_meter *one = metrics_http_meter_take(), *two = metrics_http_meter_take();
    assert_ptr_not_equal(one, two);
    metrics_http_meter_set(&one->connections, 3);
    metrics_http_meter_set(&two->connections, 4);
    metrics_http_meter_set(&one->connections_max, 50);
    metrics_http_meter_set(&two->in_flight, 1);
    metrics_http_refused(HTTP_REFUSED_ADDRESS);
    metrics_http_shed();
    metrics_http_slow_reader();
    scrape();
    assert_true(value_of("tiketi_http_connections_open") == 7);
    assert_true(value_of("tiketi_http_connections_max") == 50);
    assert_true(value_of("tiketi_http_requests_in_flight") == 1);
    assert_true(value_of("tiketi_http_connections_refused_total{reason=\"address\"}") == 1);
    assert_true(value_of("tiketi_http_connections_refused_total{reason=\"limit\"}") == 0);
    assert_true(value_of("tiketi_http_connections_refused_total{reason=\"memory\"}") == 0);
    assert_true(value_of("tiketi_http_connections_shed_total") == 1);
    assert_true(value_of("tiketi_http_slow_readers_total") == 1);
    metrics_http_meter_set(&one->connections, 0);
    scrape();
    assert_true(value_of("tiketi_http_connections_open") == 4);
}

static void routes_beyond_the_table_count_nowhere(void **state)
{
    static char paths[200][16];
    (void)state;
    for (int i = 0; i < 200; i++) {
        (void)snprintf(paths[i], sizeof(paths[i]), "/r%d", i);
        metrics_http(metrics_register_route("GET", paths[i], false), 200, 1);
    }
    scrape();
    assert_true(
        value_of("tiketi_http_requests_total{method=\"GET\",route=\"/r0\",status=\"2xx\"}") == 1);
}

static void formats_differ_in_the_head_of_a_family(void **state)
{
    struct buf out, labels;
    (void)state;
    buf_init(&out, 1000);
    buf_init(&labels, 100);
    metrics_text_label(&labels, "event", "a\"b\\c\nd");
    metrics_text_label(&labels, "kind", "x");
    const struct metrics_text prometheus = {.out = &out};
    metrics_text_family(&prometheus, "tiketi_busy_seconds_total", "counter", "Busy.");
    metrics_text_number(&prometheus, "tiketi_busy_seconds_total", "", 0.5);
    metrics_text_count(&prometheus, "tiketi_busy_seconds_total", buf_str(&labels), 7);
    metrics_text_end(&prometheus);
    assert_string_equal(buf_str(&out),
                        "# HELP tiketi_busy_seconds_total Busy.\n"
                        "# TYPE tiketi_busy_seconds_total counter\n"
                        "tiketi_busy_seconds_total 0.5\n"
                        "tiketi_busy_seconds_total{event=\"a\\\"b\\\\c\\nd\",kind=\"x\"} 7\n");
    buf_reset(&out);
    const struct metrics_text openmetrics = {.out = &out, .openmetrics = true};
    metrics_text_family(&openmetrics, "tiketi_busy_seconds_total", "counter", "Busy.");
    metrics_text_number(&openmetrics, "tiketi_busy_seconds_total", "", 0.5);
    metrics_text_family(&openmetrics, "tiketi_open", "gauge", "Open.");
    metrics_text_end(&openmetrics);
    assert_string_equal(buf_str(&out), "# HELP tiketi_busy_seconds Busy.\n"
                                       "# TYPE tiketi_busy_seconds counter\n"
                                       "# UNIT tiketi_busy_seconds seconds\n"
                                       "tiketi_busy_seconds_total 0.5\n"
                                       "# HELP tiketi_open Open.\n"
                                       "# TYPE tiketi_open gauge\n"
                                       "# EOF\n");
    buf_clear(&labels);
    buf_clear(&out);
}

static void *add_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20000; i++) {
        metrics_add(METRIC_WS_MESSAGES, 1);
        metrics_observe(HISTOGRAM_DB, 0.001);
    }
    return NULL;
}

static void threads_lose_nothing(void **state)
{
    pthread_t threads[4];
    (void)state;
    scrape();
    const double before = value_of("tiketi_websocket_messages_total");
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    for (int i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
    scrape();
    assert_true(value_of("tiketi_websocket_messages_total") - before == 80000);
    assert_true(value_of("tiketi_postgres_duration_seconds_count") == 80000);
    assert_true(fabs(value_of("tiketi_postgres_duration_seconds_sum") - 80) < 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_count),
        cmocka_unit_test(every_metric_has_a_row),
        cmocka_unit_test(families_are_announced_once),
        cmocka_unit_test(buckets_are_cumulative),
        cmocka_unit_test(requests_count_by_route_and_status),
        cmocka_unit_test(connections_are_summed_over_the_workers),
        cmocka_unit_test(routes_beyond_the_table_count_nowhere),
        cmocka_unit_test(formats_differ_in_the_head_of_a_family),
        cmocka_unit_test(threads_lose_nothing),
    };
    buf_init(&text, 0);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_clear(&text);
    return failed;
}
