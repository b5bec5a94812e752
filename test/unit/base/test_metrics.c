/* SPDX-License-Identifier: MIT */
/* metrics: each series is written once, buckets are cumulative, labels are escaped, threads lose nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"

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
    metrics_write(&text);
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
    const unsigned check = metrics_register_route("POST", "/api/queue/check/{eventId}");
    const unsigned status = metrics_register_route("GET", "/api/queue/status/{eventId}");
    assert_int_not_equal(check, status);
    assert_int_equal(metrics_register_route("POST", "/api/queue/check/{eventId}"), check);
    scrape();
    assert_false(has("/api/queue/check")); /* never requested: no series */
    metrics_http(check, 200, 1500);
    metrics_http(check, 200, 1500);
    metrics_http(check, 503, 3000000);
    metrics_http(status, 200, 10);
    metrics_http(status, 418, 10);
    metrics_http(9999, 200, 10); /* no such route: ignored */
    scrape();
#define CHECK  "method=\"POST\",path=\"/api/queue/check/{eventId}\""
#define STATUS "method=\"GET\",path=\"/api/queue/status/{eventId}\""
    assert_true(value_of("tiketi_http_requests_total{" CHECK ",status=\"200\"}") == 2);
    assert_true(value_of("tiketi_http_requests_total{" CHECK ",status=\"503\"}") == 1);
    assert_true(value_of("tiketi_http_requests_total{" STATUS ",status=\"other\"}") == 1);
    assert_true(value_of("tiketi_http_request_duration_seconds_bucket{" CHECK ",le=\"0.001\"}") ==
                0);
    assert_true(value_of("tiketi_http_request_duration_seconds_bucket{" CHECK ",le=\"0.0025\"}") ==
                2);
    assert_true(value_of("tiketi_http_request_duration_seconds_bucket{" CHECK ",le=\"+Inf\"}") ==
                3);
    assert_true(value_of("tiketi_http_request_duration_seconds_count{" CHECK "}") == 3);
    assert_true(value_of("tiketi_http_request_duration_seconds_count{" STATUS "}") == 2);
    assert_true(fabs(value_of("tiketi_http_request_duration_seconds_sum{" CHECK "}") - 3.003) <
                1e-9);
}

static void routes_beyond_the_table_count_nowhere(void **state)
{
    static char paths[200][16];
    (void)state;
    for (int i = 0; i < 200; i++) {
        (void)snprintf(paths[i], sizeof(paths[i]), "/r%d", i);
        metrics_http(metrics_register_route("GET", paths[i]), 200, 1);
    }
    scrape();
    assert_true(
        value_of("tiketi_http_requests_total{method=\"GET\",path=\"/r0\",status=\"200\"}") == 1);
}

static void gauges_of_the_caller(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 1000);
    metrics_write_header(&out, "tiketi_queue_size", "gauge", "Waiting buyers.");
    metrics_write_sample(&out, "tiketi_queue_size", "eventId", "demo", 99000);
    metrics_write_sample(&out, "tiketi_queue_size", "eventId", "a\"b\\c\nd", 0.5);
    assert_string_equal(buf_str(&out), "# HELP tiketi_queue_size Waiting buyers.\n"
                                       "# TYPE tiketi_queue_size gauge\n"
                                       "tiketi_queue_size{eventId=\"demo\"} 99000\n"
                                       "tiketi_queue_size{eventId=\"a\\\"b\\\\c\\nd\"} 0.5\n");
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
        cmocka_unit_test(routes_beyond_the_table_count_nowhere),
        cmocka_unit_test(gauges_of_the_caller),
        cmocka_unit_test(threads_lose_nothing),
    };
    buf_init(&text, 0);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_clear(&text);
    return failed;
}
