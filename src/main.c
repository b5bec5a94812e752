/* SPDX-License-Identifier: MIT */
/*
 * main: the command line: serve, migrate, token, reference, routes. crowd and provider are programs of their own,
 * which this one becomes.
 *
 * serve plans the workers of its roles, starts a thread for each, waits for a signal and drains them; worker.c says
 * how a worker drains. Why this way: signals are blocked in every thread and taken by sigwait here, so no signal
 * handler interrupts anything.
 * Owns: the workers and the health flags. Exit codes: 0, 1, 64 (usage), 78 (configuration).
 */
#include "api/api.h"
#include "auth/token.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/embed.h"
#include "base/log.h"
#include "base/process.h"
#include "base/program.h"
#include "net/db_migrate.h"
#include "queue/queue.h"
#include "queue/reference.h"
#include "worker.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORKERS_MAX    64
#define FILES_RESERVED 512  /* backends, logs, libraries, connections that are being refused */
#define PROBES_MAX     256  /* connections of an HTTP worker that only answers probes */
#define BACKLOG        4096 /* of each listening socket, as httpd asks for it */

/* ---- serve: the ports ---- */

/* Workers share a port among themselves (SO_REUSEPORT), which would also let a second process share it with us.
 * So the port is first bound without that option. Returns the exit code; 0: the port is free. */
static int check_port(const struct config *config, const char *setting, int64_t port)
{
    char service[8];
    struct addrinfo *list = NULL;
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_PASSIVE,
                                   .ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM};
    (void)snprintf(service, sizeof(service), "%d", (int)port);
    bool usable = getaddrinfo(config->http_host, service, &hints, &list) == 0, taken = false;
    if (usable) {
        const int on = 1;
        const int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (fd < 0 || bind(fd, list->ai_addr, list->ai_addrlen) != 0 || listen(fd, 1) != 0) {
            usable = errno != EADDRNOTAVAIL && errno != EAFNOSUPPORT;
            taken = usable;
        }
        if (fd >= 0)
            (void)close(fd);
        freeaddrinfo(list);
    }
    if (!usable)
        return program_fail("serve", EXIT_CONFIG,
                            "HTTP_HOST: must be a numeric address of this machine, not '%s'",
                            config->http_host);
    if (taken)
        return program_fail("serve", 1, "%s: cannot listen on %s port %d: the port is taken",
                            setting, config->http_host, (int)port);
    return 0;
}

static int check_ports(const struct config *config)
{
    const int code = check_port(config, "HTTP_PORT", config->http_port);
    if (code != 0 || (config->roles & ROLE_GATEWAY) == 0)
        return code;
    /* With SO_REUSEPORT the kernel would let both listen, and give each a share of the other's connections. */
    if (config->ws_port == config->http_port && config->ws_port != 0)
        return program_fail("serve", EXIT_CONFIG,
                            "WS_PORT: must be another port than HTTP_PORT (%d)",
                            (int)config->http_port);
    return check_port(config, "WS_PORT", config->ws_port);
}

/* ---- serve: the plan ---- */

struct plan {
    int64_t http, gateways, processors; /* how many workers of each kind */
    unsigned open_files;
    unsigned http_limit, gateway_limit; /* connections of each such worker */
    int db_min, db_max;                 /* PostgreSQL connections of each HTTP worker */
};

static int64_t worker_count(int64_t configured)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const int64_t wanted = configured > 0 ? configured : cores >= 4 ? cores / 2 : 1;
    return wanted < WORKERS_MAX / 2 - 1 ? wanted : WORKERS_MAX / 2 - 1;
}

/* How many workers of each role there are, and the share of each in open files and PostgreSQL connections. A process
 * without the api role has one HTTP worker all the same, which answers the probes. */
static struct plan plan_workers(const struct config *config)
{
    const unsigned files = process_raise_open_files();
    struct plan plan = {
        .open_files = files,
        .http = config->roles & ROLE_API ? worker_count(config->api_workers) : 1,
        .gateways = config->roles & ROLE_GATEWAY ? worker_count(config->gateway_workers) : 0,
        .processors = config->roles & ROLE_PROCESSOR ? 1 : 0};

    unsigned usable = files > 2 * FILES_RESERVED ? files - FILES_RESERVED : files / 2;
    if (config->roles & ROLE_API) {
        plan.http_limit = plan.gateway_limit = usable / (unsigned)(plan.http + plan.gateways);
    } else {
        plan.http_limit = usable > 2 * PROBES_MAX ? PROBES_MAX : usable / 2;
        if (plan.gateways > 0)
            plan.gateway_limit = (usable - plan.http_limit) / (unsigned)plan.gateways;
    }

    const int64_t others = plan.gateways + 2 * plan.processors; /* see start_workers */
    const int64_t rest = config->db_pool_max > others ? config->db_pool_max - others : 0;
    plan.db_max = rest / plan.http > 1 ? (int)(rest / plan.http) : 1;
    plan.db_min = (int)(config->db_pool_min / plan.http);
    if (plan.db_min < 1)
        plan.db_min = 1;
    if (plan.db_min > plan.db_max)
        plan.db_min = plan.db_max;
    return plan;
}

static void log_plan(const struct config *config, const struct plan *plan)
{
    log_info("starting", LOG_NUM("openFiles", plan->open_files), LOG_NUM("httpWorkers", plan->http),
             LOG_NUM("httpConnectionsPerWorker", plan->http_limit),
             LOG_NUM("gatewayWorkers", plan->gateways),
             LOG_NUM("socketsPerWorker", plan->gateway_limit),
             LOG_NUM("processors", plan->processors));
    /* The kernel shortens a longer backlog silently. In a rush it then refuses connections that this process never
     * sees. */
    FILE *file = fopen("/proc/sys/net/core/somaxconn", "r");
    char line[32];
    if (file && fgets(line, sizeof(line), file) && strtol(line, NULL, 10) < BACKLOG)
        log_warn("listen backlog is limited by the kernel", LOG_TEXT("raise", "net.core.somaxconn"),
                 LOG_NUM("limit", strtol(line, NULL, 10)), LOG_NUM("wanted", BACKLOG));
    if (file)
        (void)fclose(file);
    /* Each worker needs a connection to work at all, so with more workers than DB_POOL_MAX the limit is exceeded.
     * That matters where several pods share max_connections. */
    const int64_t open = plan->http * plan->db_max + plan->gateways + 2 * plan->processors;
    if (open > config->db_pool_max)
        log_warn("workers may open more PostgreSQL connections than DB_POOL_MAX",
                 LOG_NUM("limit", config->db_pool_max), LOG_NUM("mayOpen", open));
}

/* ---- serve: the workers ---- */

struct fleet {
    struct worker *workers[WORKERS_MAX];
    size_t count;
    bool misconfigured; /* a worker could not use a setting */
};

/* Starts `count` workers like `shared`, named "<shared->name>-0" and so on. False when one did not start. */
static bool start_group(struct fleet *fleet, const struct worker_opts *shared, int64_t count)
{
    for (int64_t i = 0; i < count && fleet->count < WORKERS_MAX; i++) {
        char name[16];
        struct worker_opts opts = *shared;
        (void)snprintf(name, sizeof(name), "%s-%d", shared->name, (int)i);
        opts.name = name;
        const enum status st = worker_start(&opts, &fleet->workers[fleet->count]);
        if (st == ST_OK) {
            fleet->count++;
            continue;
        }
        log_error("worker start failed", LOG_TEXT("name", name),
                  LOG_TEXT("status", status_name(st)));
        fleet->misconfigured = st == ST_INVALID;
        if (fleet->misconfigured && !log_enabled(LOG_LEVEL_ERROR))
            (void)program_fail("serve", EXIT_CONFIG,
                               "a setting cannot be used; LOG_LEVEL=error says which");
        return false;
    }
    return true;
}

static bool start_workers(struct fleet *fleet, const struct config *config, const struct plan *plan,
                          const struct api_health *health)
{
    const struct worker_opts http = {.name = config->roles & ROLE_API ? "api" : "ops",
                                     .role = ROLE_API,
                                     .config = config,
                                     .health = health,
                                     .connection_limit = plan->http_limit,
                                     .db_pool_min = plan->db_min,
                                     .db_pool_max = plan->db_max};
    struct worker_opts gateway = http, processor = http;
    gateway.name = "gateway";
    gateway.role = ROLE_GATEWAY;
    gateway.connection_limit = plan->gateway_limit;
    gateway.db_pool_min = gateway.db_pool_max = 1;
    processor.name = "processor";
    processor.role = ROLE_PROCESSOR;
    processor.db_pool_min = 1;
    processor.db_pool_max = 2;
    return start_group(fleet, &http, plan->http) && start_group(fleet, &gateway, plan->gateways) &&
           start_group(fleet, &processor, plan->processors);
}

/* A second signal, or SIGALRM when the drain is overdue: ends the process at once. */
static void *end_late_drain(void *arg)
{
    int signal_number = 0;
    (void)sigwait(arg, &signal_number);
    log_error("drain cut short",
              LOG_TEXT("reason", signal_number == SIGALRM ? "deadline" : "second-signal"),
              LOG_NUM("signal", signal_number));
    _exit(1);
}

static void drain_workers(struct fleet *fleet, int64_t drain_ms, sigset_t *signals)
{
    pthread_t watchdog;
    /* Workers end by themselves at drain_ms. The alarm is for one that does not: a second for the part of a second
     * that the division drops, and another one for a busy machine. */
    (void)alarm((unsigned)(drain_ms / 1000 + 2));
    if (pthread_create(&watchdog, NULL, end_late_drain, signals) == 0)
        (void)pthread_detach(watchdog);
    for (size_t i = 0; i < fleet->count; i++)
        worker_drain(fleet->workers[i], (uint64_t)drain_ms);
    for (size_t i = 0; i < fleet->count; i++)
        worker_join(fleet->workers[i]);
}

/* ---- serve ---- */

struct serve_options {
    const char *roles;
};
static const struct option_row serve_rows[] = {
    {"roles", OPT_TEXT, offsetof(struct serve_options, roles), 0, 0, NULL, "LIST",
     "roles of this process, comma-separated: api, gateway, processor; instead of ROLES"},
    {0},
};

static void print_settings(FILE *out)
{
    (void)fputs("\nSettings are environment variables. One marked [or _FILE] may also be read from "
                "the file that\n"
                "NAME_FILE names.\n\n",
                out);
    config_print_help(out);
}

static int serve(struct config *config, const void *options)
{
    /* Static, since the watchdog may still wait for the signals when this has returned. */
    static struct api_health health;
    static sigset_t signals;
    const char *roles = ((const struct serve_options *)options)->roles;
    struct fleet fleet = {0};
    char error[200];
    int signal_number = 0;

    if (roles && config_parse_roles(roles, &config->roles) != ST_OK)
        return program_fail("serve", EXIT_USAGE,
                            "--roles must be a comma-separated list of api, gateway and processor");
    if (config_require(config, CONFIG_NEED_SERVE, error, sizeof(error)) != ST_OK)
        return program_fail("serve", EXIT_CONFIG, "%s", error);

    /* Blocked before any thread starts: threads inherit the mask. */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGALRM);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);

    const int code = check_ports(config);
    if (code != 0)
        return code;
    queue_scripts_init(config->test_hooks);
    api_register_routes((config->roles & ROLE_API) == 0);

    const struct plan plan = plan_workers(config);
    log_plan(config, &plan);
    const bool started = start_workers(&fleet, config, &plan, &health);
    if (started) {
        health.ready = true;
        log_info("ready", LOG_NUM("httpPort", config->http_port),
                 LOG_NUM("wsPort", config->ws_port));
        (void)sigwait(&signals, &signal_number);
        log_info("draining", LOG_NUM("signal", signal_number));
    }
    health.draining = true;
    drain_workers(&fleet, config->drain_ms, &signals);
    log_info("stopped");
    return started ? 0 : fleet.misconfigured ? EXIT_CONFIG : 1;
}

/* ---- migrate ---- */

static void print_line(const char *line)
{
    (void)puts(line);
}

static int migrate(struct config *config, const void *options)
{
    const struct db_schema schema = {.migrations = embed_migrations,
                                     .migration_count = embed_migrations_count,
                                     .functions = embed_functions,
                                     .function_count = embed_functions_count,
                                     .generation = embed_functions_generation};
    char error[512];
    (void)options;
    if (config_require(config, CONFIG_NEED_DATABASE, error, sizeof(error)) != ST_OK)
        return program_fail("migrate", EXIT_CONFIG, "%s", error);
    if (db_migrate(config->database_url, &schema, print_line, error, sizeof(error)) != ST_OK)
        return program_fail("migrate", 1, "%s", error);
    return 0;
}

/* ---- token ---- */

struct token_options {
    const char *sub, *role;
    int64_t ttl_s;
};
static const struct option_row token_rows[] = {
    {"sub", OPT_TEXT | OPT_REQUIRED, offsetof(struct token_options, sub), 0, 0, NULL, "NAME",
     "the user's id: 1 to 128 visible ASCII characters"},
    {"role", OPT_TEXT, offsetof(struct token_options, role), 0, 0, "buyer", "ROLE",
     "admin, organizer, sre, viewer or buyer"},
    {"ttl", OPT_COUNT, offsetof(struct token_options, ttl_s), 1, INT64_C(366) * 24 * 3600, "43200",
     "SECONDS", "how long it is valid"},
    {0},
};

static int sign_token(struct config *config, const void *arg)
{
    const struct token_options *options = arg;
    char error[200];
    struct token_keys *keys;
    struct buf out;
    if (config_require(config, CONFIG_NEED_TOKEN, error, sizeof(error)) != ST_OK ||
        token_keys_new(config, &keys, error, sizeof(error)) != ST_OK)
        return program_fail("token", EXIT_CONFIG, "%s", error);
    buf_init(&out, 4096);
    const enum status st = token_write_user(keys, options->sub, options->role, clock_wall_ms(),
                                            options->ttl_s * 1000, &out);
    if (st == ST_OK)
        (void)puts(buf_str(&out));
    buf_clear(&out);
    token_keys_free(keys);
    if (st == ST_OK)
        return 0;
    return program_fail("token", EXIT_USAGE,
                        "--sub must be 1 to 128 visible ASCII characters, and --role one of admin, "
                        "organizer, sre, viewer, buyer");
}

/* ---- routes ---- */

static int print_routes(struct config *config, const void *options)
{
    (void)config;
    (void)options;
    api_register_routes(false);
    api_print_routes(stdout);
    return 0;
}

/* ---- reference ---- */

struct reference_options {
    const char *reference;
};
static const struct option_row reference_rows[] = {
    {"REFERENCE", OPT_ARGUMENT | OPT_REQUIRED, offsetof(struct reference_options, reference), 0, 0,
     NULL, NULL, "a buyer's reference, such as 1K0R-T4B4-J84"},
    {0},
};

static int print_place(struct config *config, const void *options)
{
    const char *reference = ((const struct reference_options *)options)->reference;
    char when[CLOCK_RFC3339_SIZE];
    uint64_t place;
    (void)config;
    if (reference_read(reference, &place) != ST_OK)
        return program_fail("reference", EXIT_USAGE,
                            "'%.40s' is not a reference such as 1K0R-T4B4-J84: is it misspelt?",
                            reference);
    clock_format_rfc3339((int64_t)(place / 1000), when);
    (void)printf("%" PRIu64 " %s\n", place, when);
    return 0;
}

/* ---- the command line ---- */

static const struct command {
    struct program_command program; /* run NULL: the program tiketi-NAME beside this one */
    const char *summary;
} commands[] = {
    {{.name = "serve",
      .usage = "[--roles LIST]",
      .about = "Serves until SIGTERM or SIGINT, then drains within DRAIN_MS.\n",
      .rows = serve_rows,
      .options_size = sizeof(struct serve_options),
      .print_more = print_settings,
      .run = serve},
     "run any of the roles api, gateway, processor"},
    {{.name = "migrate",
      .usage = "",
      .about = "Brings the database at DATABASE_URL to this program's schema. Safe to run from "
               "several pods\n"
               "at once.\n",
      .run = migrate},
     "bring the database schema up to date"},
    {{.name = "token",
      .usage = "--sub NAME [--role ROLE] [--ttl SECONDS]",
      .about = "Prints a JWT that is signed with JWT_SECRET, for use on a terminal.\n",
      .rows = token_rows,
      .options_size = sizeof(struct token_options),
      .run = sign_token},
     "sign a JWT for use on a terminal"},
    {{.name = "reference",
      .usage = "REFERENCE",
      .about = "Prints the place that a buyer's reference for support stands for, and when it was "
               "given.\n",
      .rows = reference_rows,
      .options_size = sizeof(struct reference_options),
      .run = print_place},
     "the place behind a buyer's reference for support"},
    {{.name = "routes",
      .usage = "",
      .about = "Prints every HTTP route: method, path, and who may use it: everyone (none), a "
               "buyer, or the\n"
               "roles. /openapi.json describes them.\n",
      .run = print_routes},
     "list the HTTP routes"},
    {{.name = "crowd"}, "rehearse an event with virtual buyers and check the promises"},
    {{.name = "provider"}, "a payment provider for tests and demos"},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

/* Becomes the program tiketi-NAME in this program's folder. Returns only when that fails. */
static int become_program(const char *name, char **argv)
{
    char path[PATH_MAX];
    const ssize_t len = readlink("/proc/self/exe", path, sizeof(path));
    const char *slash = len > 0 ? memrchr(path, '/', (size_t)len) : NULL;
    if (slash) {
        const size_t folder = (size_t)(slash - path) + 1;
        if ((size_t)snprintf(path + folder, sizeof(path) - folder, "tiketi-%s", name) <
            sizeof(path) - folder)
            (void)execv(path, argv);
    }
    return program_fail(name, 1, "cannot run tiketi-%s, which must be in the folder of tiketi: %s",
                        name,
                        slash ? strerrordesc_np(errno) : "this program's own path is unknown");
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < COMMAND_COUNT; i++) {
        const struct program_command *program = &commands[i].program;
        if (strcmp(argv[1], program->name) == 0)
            return program->run ? program_run(program, argc - 1, argv + 1)
                                : become_program(program->name, argv + 1);
    }
    const bool help = program_asks_help(argc, argv);
    FILE *out = help ? stdout : stderr;
    if (argc > 1 && !help)
        (void)fprintf(out, "tiketi: '%.40s' is not a command\n\n", argv[1]);
    (void)fputs("Usage: tiketi COMMAND [options]\n\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        (void)fprintf(out, "  %-9s  %s\n", commands[i].program.name, commands[i].summary);
    (void)fputs("\n`tiketi COMMAND --help` says more.\n", out);
    return help ? 0 : EXIT_USAGE;
}
