/* SPDX-License-Identifier: MIT */
/*
 * plan: tiketi plan: pods, Redis, PostgreSQL, sockets, files and bandwidth for a sale, each with where it comes from.
 *
 * Why this way: queue/sizing reckons; here are only the options and the table. Asks no server. Called by: main.
 */
#include "plan.h"

#include "base/json.h"
#include "queue/sizing.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#define AT(field) offsetof(struct plan_options, field)
#define MANY      INT64_C(100000000)

const struct option_row plan_rows[] = {
    {"buyers", OPT_COUNT | OPT_REQUIRED, AT(buyers), 1, MANY, NULL, "N", "come to the sale"},
    {"arrive", OPT_DURATION, AT(arrive_ms), 1, OPTIONS_DAY_MS, "5s", "TIME",
     "all of them arrive within it"},
    {"threshold", OPT_COUNT, AT(threshold), 0, 10000000, "1000", "N", "inside at once at most"},
    {"visit", OPT_DURATION, AT(visit_ms), 1, OPTIONS_DAY_MS, "3m", "TIME", "mean time inside"},
    {"seats", OPT_COUNT, AT(seats), 0, 10000000, "0", "N", "to be sold; 0: a pure waiting room"},
    {"sockets", OPT_SHARE, AT(sockets), 0, 0, "1", "SHARE",
     "of those who wait that have a socket open; the others poll"},
    {"direct", OPT_FLAG, AT(direct), 0, 0, NULL, NULL,
     "each buyer has a connection of their own to a pod, as behind a network load balancer; "
     "without "
     "it a proxy shares its connections"},
    {"load", OPT_SHARE, AT(load), 0, 0, "0.5", "SHARE",
     "of the cores of the pods that may be busy at the peak"},
    {"cores", OPT_COUNT, AT(cores), 1, 256, "1", "N",
     "cores of a pod (API_WORKERS, GATEWAY_WORKERS)"},
    {"memory", OPT_COUNT, AT(memory_mib), 1, 1048576, "512", "MIB", "memory of a pod, MiB"},
    {"files", OPT_COUNT, AT(files), 513, 100000000, "1048576", "N",
     "open files that a process may have (ulimit -n)"},
    {"api-pool", OPT_COUNT, AT(api_pool), 1, 10000, "20", "N", "DB_POOL_MAX of an api pod"},
    {"gateway-pool", OPT_COUNT, AT(gateway_pool), 1, 10000, "5", "N",
     "DB_POOL_MAX of a gateway and of a processor"},
    {"json", OPT_FLAG, AT(json), 0, 0, NULL, NULL, "prints the numbers as JSON"},
    {"figures", OPT_FLAG, AT(figures), 0, 0, NULL, NULL, "prints the measured figures as well"},
    {0},
};

__attribute__((format(printf, 3, 4))) static void row(const char *what, const char *from,
                                                      const char *format, ...)
{
    char value[80];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    (void)printf("%-42s %-26s %s\n", what, value, from);
}

static double mib(int64_t bytes)
{
    return (double)bytes / (1 << 20);
}

static void print_pods(const struct plan_options *options, const struct sizing *plan)
{
    char from[160];
    (void)snprintf(from, sizeof(from), "%.2f cores at the peak, %.0f %% of %" PRId64 "; by %s",
                   plan->api_cores, options->load * 100, options->cores,
                   sizing_limit_name(plan->api_by));
    row("api pods", from, "%" PRId64, plan->api_pods);
    (void)snprintf(from, sizeof(from), "%.2f cores at the peak; by %s", plan->gateway_cores,
                   sizing_limit_name(plan->gateway_by));
    row("gateway pods", from, "%" PRId64, plan->gateway_pods);
    row("processor pods", "one works, one stands by", "%" PRId64, plan->processor_pods);
    row("API_WORKERS, GATEWAY_WORKERS", "one for each core of a pod", "%" PRId64, options->cores);
    row("sockets in a gateway, when one is gone", "8 KiB each of half the memory", "%" PRId64,
        plan->sockets_per_gateway);
    row("HTTP connections in an api pod",
        options->direct ? "a buyer each, when one pod is gone"
                        : "those of the proxy (--direct: a buyer each)",
        options->direct ? "%" PRId64 : "-", plan->connections_per_api);
    row("ulimit -n of an api pod, at least", "its connections and 512", "%" PRId64,
        plan->api_files);
    row("ulimit -n of a gateway, at least", "its sockets and 512", "%" PRId64, plan->gateway_files);
    row("net.core.somaxconn of a pod, at least", "eight listening sockets a worker", "%" PRId64,
        plan->somaxconn);
}

static void print_plan(const struct plan_options *options, const struct sizing *plan)
{
    row("what", "from", "%s", "needed");
    row("arrivals", "--buyers, --arrive", "%.0f /s", plan->arrivals_per_s);
    row("waiting, of them on sockets", "--threshold, --sockets", "%" PRId64 ", %" PRId64,
        plan->waiting, plan->sockets);
    row("admissions", "--threshold, --visit", "%.1f /s", plan->admissions_per_s);
    row("Redis' core at the arrival", "4.5 µs a join: performance.md", "%.0f %%",
        plan->redis_arrival_cores * 100);
    row("Redis' core while they wait", "2 % for a million, 11 µs an admission", "%.1f %%",
        plan->redis_wait_cores * 100);
    row("Redis' maxmemory", "630 B a buyer, 1.2 kB a sale, and half", "%.0f MiB",
        mib(plan->redis_maxmemory_b));
    row("memory of Redis' machine", "twice: the file is rewritten", "%.0f MiB",
        mib(plan->redis_machine_b));
    print_pods(options, plan);
    if (options->seats > 0)
        row("holds, at the beginning", "the first inside, or admissions", "%.0f /s",
            plan->holds_per_s);
    row("connections to PostgreSQL", "pods and a rollout's: operations.md", "%" PRId64,
        plan->db_connections);
    row("max_connections of PostgreSQL, at least", "and 3 reserved, 20 for others", "%" PRId64,
        plan->max_connections);
    row("bandwidth at the arrival", "23 kB a buyer; a CDN takes 10 of them", "%.0f Mbit/s",
        plan->arrival_bits_per_s / 1e6);
    row("bandwidth while they wait", "670 B to each every 15 s", "%.0f Mbit/s",
        plan->wait_bits_per_s / 1e6);
}

static void print_warnings(const struct plan_options *options, const struct sizing *plan)
{
    if (plan->redis_arrival_cores > 0.8)
        (void)printf(
            "! Redis' one core is busy for %.1f s with an arrival of %.1f s: some are answered "
            "503 and come again. Let them\n  arrive over more time, as by a static page in "
            "front.\n",
            plan->redis_arrival_s / 0.8, (double)options->arrive_ms / 1000);
    if (options->seats > 0 && plan->holds_per_s > plan->holds_most_per_s * options->load)
        (void)printf(
            "! %.0f holds a second: one PostgreSQL on two cores did %.0f. Give it more cores, "
            "or lower the threshold.\n",
            plan->holds_per_s, plan->holds_most_per_s);
    if (plan->max_connections > 300)
        (void)printf("! %" PRId64
                     " connections cost PostgreSQL 5 to 10 MB each: put PgBouncer between "
                     "(operations.md).\n",
                     plan->max_connections);
    (void)puts(
        "How long they wait: `tiketi simulate`. Try it out: `tiketi crowd` (docs/sale-day.md).");
}

static void print_figures(void)
{
    for (enum sizing_figure i = 0; i < SIZING_FIGURES; i++) {
        const struct sizing_source *figure = sizing_source(i);
        (void)printf("%-42s %g %s\t%s\n", figure->name, figure->value, figure->unit,
                     figure->row ? figure->row : figure->source);
    }
}

static void print_json(const struct sizing *plan)
{
    const struct {
        const char *name;
        double value;
    } numbers[] = {
        {"arrivalsPerSecond", plan->arrivals_per_s},
        {"admissionsPerSecond", plan->admissions_per_s},
        {"waiting", (double)plan->waiting},
        {"sockets", (double)plan->sockets},
        {"redisArrivalCores", plan->redis_arrival_cores},
        {"redisWaitCores", plan->redis_wait_cores},
        {"redisMaxmemoryBytes", (double)plan->redis_maxmemory_b},
        {"redisMachineBytes", (double)plan->redis_machine_b},
        {"apiCores", plan->api_cores},
        {"apiPods", (double)plan->api_pods},
        {"gatewayCores", plan->gateway_cores},
        {"gatewayPods", (double)plan->gateway_pods},
        {"processorPods", (double)plan->processor_pods},
        {"socketsPerGateway", (double)plan->sockets_per_gateway},
        {"connectionsPerApi", (double)plan->connections_per_api},
        {"apiFiles", (double)plan->api_files},
        {"gatewayFiles", (double)plan->gateway_files},
        {"somaxconn", (double)plan->somaxconn},
        {"holdsPerSecond", plan->holds_per_s},
        {"databaseConnections", (double)plan->db_connections},
        {"maxConnections", (double)plan->max_connections},
        {"arrivalBitsPerSecond", plan->arrival_bits_per_s},
        {"waitBitsPerSecond", plan->wait_bits_per_s},
    };
    struct json *out = json_new_object();
    struct buf text;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        json_set_real(out, numbers[i].name, numbers[i].value);
    buf_init(&text, 8192);
    json_write(out, &text);
    (void)puts(buf_str(&text));
    buf_clear(&text);
    json_free(out);
}

int plan(struct config *config, const void *arg)
{
    const struct plan_options *options = arg;
    const struct sizing_input in = {.buyers = options->buyers,
                                    .arrive_ms = options->arrive_ms,
                                    .threshold = options->threshold,
                                    .visit_ms = options->visit_ms,
                                    .seats = options->seats,
                                    .sockets = options->sockets,
                                    .load = options->load,
                                    .pod_cores = options->cores,
                                    .pod_memory_b = options->memory_mib << 20,
                                    .pod_files = options->files,
                                    .api_pool = options->api_pool,
                                    .gateway_pool = options->gateway_pool,
                                    .direct = options->direct};
    struct sizing result;
    (void)config;
    if (sizing_compute(&in, &result) != ST_OK) /* the options' ranges leave this one */
        return program_fail("plan", EXIT_USAGE, "--load must be above 0");
    if (options->json) {
        print_json(&result);
        return 0;
    }
    print_plan(options, &result);
    print_warnings(options, &result);
    if (options->figures)
        print_figures();
    return 0;
}
