/* SPDX-License-Identifier: MIT */
/*
 * metrics_http: the answers to HTTP requests, counted by route and status, and the connections they come on.
 *
 * Why this way: routes are rows that are added before the threads start. A route is counted by class of status, and the
 * exact codes of errors without a route: all of both from the start would be ten thousand series. So counting allocates
 * nothing and takes no lock. Relaxed order is enough: the numbers of one scrape need not belong to the same moment.
 * Called by: api, httpd; written out by api_metrics. Owns: the numbers.
 */
#include "base/metrics_http.h"

#include <stdio.h>
#include <string.h>

#define ROUTES_MAX 192
#define METERS_MAX 64

static const char *const classes[] = {"2xx", "3xx", "4xx", "5xx"};
#define CLASS_COUNT (sizeof(classes) / sizeof(classes[0]))

/* The codes of our errors; every other one counts in the last slot, as "other". */
static const unsigned codes[] = {400, 401, 403, 404, 405, 408, 409, 410, 412,
                                 413, 414, 429, 431, 500, 503, 505, 0};
#define CODE_COUNT (sizeof(codes) / sizeof(codes[0]))

static struct route {
    const char *method, *path;
    bool timed;
    atomic_uint_fast64_t by_class[CLASS_COUNT];
    struct histogram duration;
} routes[ROUTES_MAX];
static unsigned route_count; /* fixed before the threads start */

static atomic_uint_fast64_t errors[CODE_COUNT];
static atomic_uint_fast64_t refused[HTTP_REFUSALS], shed, slow_readers;

static struct metrics_http_meter meters[METERS_MAX];
static atomic_uint meters_taken;

unsigned metrics_register_route(const char *method, const char *path, bool timed)
{
    for (unsigned r = 0; r < route_count; r++) { /* Prometheus refuses a series that comes twice */
        if (strcmp(routes[r].method, method) == 0 && strcmp(routes[r].path, path) == 0)
            return r;
    }
    if (route_count == ROUTES_MAX)
        return ROUTES_MAX; /* metrics_http ignores this id */
    routes[route_count].method = method;
    routes[route_count].path = path;
    routes[route_count].timed = timed;
    return route_count++;
}

static void count(atomic_uint_fast64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

void metrics_http(unsigned route, unsigned status, uint64_t duration_us)
{
    if (route >= route_count)
        return;
    const unsigned class = status < 300 ? 0 : status < 400 ? 1 : status < 500 ? 2 : 3;
    count(&routes[route].by_class[class]);
    histogram_observe(&routes[route].duration, histogram_short_s, (double)duration_us / 1e6);
    if (class < 2)
        return;
    size_t i = 0;
    while (codes[i] != 0 && codes[i] != status)
        i++;
    count(&errors[i]);
}

struct metrics_http_meter *metrics_http_meter_take(void)
{
    const unsigned taken = atomic_fetch_add_explicit(&meters_taken, 1, memory_order_relaxed);
    return &meters[taken < METERS_MAX ? taken : METERS_MAX - 1];
}

void metrics_http_refused(enum metrics_http_refusal reason)
{
    count(&refused[reason]);
}

void metrics_http_shed(void)
{
    count(&shed);
}

void metrics_http_slow_reader(void)
{
    count(&slow_readers);
}

/* ---- writing ---- */

static uint64_t load(const atomic_uint_fast64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void write_requests(const struct metrics_text *text)
{
    static const char requests[] = "tiketi_http_requests_total";
    static const char failed[] = "tiketi_http_errors_total";
    char labels[192];
    metrics_text_family(text, requests, "counter", "HTTP requests answered.");
    for (unsigned r = 0; r < route_count; r++) {
        for (size_t c = 0; c < CLASS_COUNT; c++) {
            (void)snprintf(labels, sizeof(labels), "method=\"%s\",route=\"%s\",status=\"%s\"",
                           routes[r].method, routes[r].path, classes[c]);
            metrics_text_count(text, requests, labels, load(&routes[r].by_class[c]));
        }
    }
    metrics_text_family(text, failed, "counter",
                        "HTTP requests answered with 400 or more, by the exact status.");
    for (size_t i = 0; i < CODE_COUNT; i++) {
        char code[12] = "other";
        if (codes[i] != 0)
            (void)snprintf(code, sizeof(code), "%u", codes[i]);
        (void)snprintf(labels, sizeof(labels), "status=\"%s\"", code);
        metrics_text_count(text, failed, labels, load(&errors[i]));
    }
}

static void write_durations(const struct metrics_text *text)
{
    static const char durations[] = "tiketi_http_request_duration_seconds";
    char labels[192];
    metrics_text_family(text, durations, "histogram",
                        "Time from the last byte of a request to its answer.");
    for (unsigned r = 0; r < route_count; r++) {
        bool used = routes[r].timed;
        for (size_t c = 0; c < CLASS_COUNT; c++)
            used = used || load(&routes[r].by_class[c]) > 0;
        if (!used)
            continue;
        (void)snprintf(labels, sizeof(labels), "method=\"%s\",route=\"%s\"", routes[r].method,
                       routes[r].path);
        metrics_text_histogram(text, durations, labels, &routes[r].duration, histogram_short_s);
    }
}

static void write_gauge(const struct metrics_text *text, const char *name, const char *help,
                        size_t offset)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < METERS_MAX; i++)
        sum += atomic_load_explicit((atomic_uint *)(void *)((char *)&meters[i] + offset),
                                    memory_order_relaxed);
    metrics_text_family(text, name, "gauge", help);
    metrics_text_count(text, name, "", sum);
}

static void write_connections(const struct metrics_text *text)
{
    static const char *const reasons[HTTP_REFUSALS] = {[HTTP_REFUSED_LIMIT] = "reason=\"limit\"",
                                                       [HTTP_REFUSED_ADDRESS] =
                                                           "reason=\"address\"",
                                                       [HTTP_REFUSED_MEMORY] = "reason=\"memory\""};
    static const char refusals[] = "tiketi_http_connections_refused_total";
    static const char sheds[] = "tiketi_http_connections_shed_total";
    static const char slow[] = "tiketi_http_slow_readers_total";
    write_gauge(text, "tiketi_http_requests_in_flight",
                "HTTP requests that have begun to arrive and are not wholly answered.",
                offsetof(struct metrics_http_meter, in_flight));
    write_gauge(text, "tiketi_http_connections_open", "Open HTTP connections.",
                offsetof(struct metrics_http_meter, connections));
    write_gauge(text, "tiketi_http_connections_max", "HTTP connections that may be open.",
                offsetof(struct metrics_http_meter, connections_max));
    metrics_text_family(text, refusals, "counter",
                        "New HTTP connections answered with 503, or let in for a probe alone: the "
                        "limit is met, an address has its share, the limit that memory gives.");
    for (size_t i = 0; i < HTTP_REFUSALS; i++)
        metrics_text_count(text, refusals, reasons[i], load(&refused[i]));
    metrics_text_family(text, sheds, "counter",
                        "Idle HTTP connections closed to let another one in.");
    metrics_text_count(text, sheds, "", load(&shed));
    metrics_text_family(text, slow, "counter",
                        "HTTP connections ended because the client read its answer too slowly.");
    metrics_text_count(text, slow, "", load(&slow_readers));
}

void metrics_http_write(const struct metrics_text *text)
{
    write_requests(text);
    write_durations(text);
    write_connections(text);
}
