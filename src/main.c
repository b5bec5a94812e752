/* SPDX-License-Identifier: MIT */
/*
 * main: the command line: serve, migrate, token, reference, routes. crowd and provider are programs of their own.
 *
 * serve starts one thread per worker of the roles asked for, waits for a signal and drains. Signals
 * are blocked everywhere and taken by sigwait here, so no handler runs in the middle of anything.
 * Exit codes: 0, 1, 64 (usage), 78 (configuration).
 */
#include "api/api.h"
#include "auth/token.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/embed.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/program.h"
#include "net/db_migrate.h"
#include "queue/queue.h"
#include "queue/reference.h"
#include "worker.h"

#include <errno.h>
#include <getopt.h>
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
#define FILES_RESERVED 512 /* backends, logs, libraries, those who are being turned away */
#define PROBES_MAX     256 /* connections of an HTTP worker that only answers probes */
#define BACKLOG        4096

/* ---- serve ---- */

struct fleet {
    struct worker *workers[WORKERS_MAX];
    size_t count;
    bool misconfigured; /* a worker could make nothing of a setting */
};

/* Workers share a port among themselves (SO_REUSEPORT), which would also let a second process
 * slip in beside us: so the port is first tried without it. */
static enum status try_port(const char *host, int64_t port)
{
    char service[8];
    struct addrinfo *list = NULL;
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_PASSIVE,
                                   .ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM};
    (void)snprintf(service, sizeof(service), "%d", (int)port);
    if (getaddrinfo(host, service, &hints, &list) != 0)
        return ST_INVALID;
    const int on = 1;
    const int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    enum status st = ST_OK;
    if (fd < 0 || bind(fd, list->ai_addr, list->ai_addrlen) != 0 || listen(fd, 1) != 0)
        st = errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT ? ST_INVALID : ST_CONFLICT;
    if (fd >= 0)
        (void)close(fd);
    freeaddrinfo(list);
    return st;
}

/* The exit code; 0: the port can be listened on. */
static int check_port(const struct config *config, const char *name, int64_t port)
{
    const enum status st = try_port(config->http_host, port);
    if (st == ST_OK)
        return 0;
    if (st == ST_INVALID) {
        (void)fprintf(stderr,
                      "tiketi: HTTP_HOST: \"%s\" is not an address of this machine, in numbers\n",
                      config->http_host);
        return EXIT_CONFIG;
    }
    (void)fprintf(stderr, "tiketi: cannot listen on %s port %d: the port is taken (%s)\n",
                  config->http_host, (int)port, name);
    return 1;
}

/* Both would listen there, and the kernel would give each a share of what is meant for the other. */
static int check_ws_port(const struct config *config)
{
    if (config->ws_port == config->http_port && config->ws_port != 0) {
        (void)fprintf(stderr, "tiketi: WS_PORT: must be another port than HTTP_PORT (%d)\n",
                      (int)config->http_port);
        return EXIT_CONFIG;
    }
    return check_port(config, "WS_PORT", config->ws_port);
}

static int64_t worker_count(int64_t configured)
{
    if (configured > 0)
        return configured < WORKERS_MAX / 2 - 1 ? configured : WORKERS_MAX / 2 - 1;
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const int64_t wanted = cores >= 4 ? cores / 2 : 1;
    return wanted < WORKERS_MAX / 2 - 1 ? wanted : WORKERS_MAX / 2 - 1;
}

struct plan {
    int64_t http, gateways, processors;
    unsigned http_limit, gateway_limit; /* connections of each such worker */
    int db_min, db_max;                 /* per HTTP worker */
};

/* Buyers share the open files; probes need few. */
static void plan_connections(struct plan *plan, const struct config *config, unsigned open_files)
{
    unsigned usable =
        open_files > 2 * FILES_RESERVED ? open_files - FILES_RESERVED : open_files / 2;
    if (config->roles & ROLE_API) {
        plan->http_limit = plan->gateway_limit = usable / (unsigned)(plan->http + plan->gateways);
        return;
    }
    plan->http_limit = usable > 2 * PROBES_MAX ? PROBES_MAX : usable / 2;
    if (plan->gateways > 0)
        plan->gateway_limit = (usable - plan->http_limit) / (unsigned)plan->gateways;
}

/* How many workers of each role, and each one's share of open files and connections. A process
 * without the api role has one HTTP worker all the same: it answers the probes. */
static struct plan make_plan(const struct config *config, unsigned open_files)
{
    struct plan plan = {0};
    plan.http = config->roles & ROLE_API ? worker_count(config->api_workers) : 1;
    plan.gateways = config->roles & ROLE_GATEWAY ? worker_count(config->gateway_workers) : 0;
    plan.processors = config->roles & ROLE_PROCESSOR ? 1 : 0;
    plan_connections(&plan, config, open_files);
    const int64_t others = plan.gateways + 2 * plan.processors;
    const int64_t rest = config->db_pool_max > others ? config->db_pool_max - others : 0;
    plan.db_max = rest / plan.http > 1 ? (int)(rest / plan.http) : 1;
    plan.db_min = (int)(config->db_pool_min / plan.http);
    if (plan.db_min < 1)
        plan.db_min = 1;
    if (plan.db_min > plan.db_max)
        plan.db_min = plan.db_max;
    return plan;
}

static void worker_failed(struct fleet *fleet, const char *name, enum status status)
{
    log_error("a worker did not start", LOG_TEXT("name", name),
              LOG_TEXT("status", status_name(status)));
    fleet->misconfigured = status == ST_INVALID;
    if (fleet->misconfigured && !log_enabled(LOG_LEVEL_ERROR))
        (void)fputs("tiketi: a setting cannot be used: LOG_LEVEL=error says which\n", stderr);
}

/* `count` workers like `shared`, whose name is the part before the number. */
static bool start_workers(struct fleet *fleet, const struct worker_opts *shared, int64_t count)
{
    for (int64_t i = 0; i < count && fleet->count < WORKERS_MAX; i++) {
        char label[16];
        struct worker_opts opts = *shared;
        (void)snprintf(label, sizeof(label), "%s-%d", shared->name, (int)i);
        opts.name = label;
        const enum status st = worker_start(&opts, &fleet->workers[fleet->count]);
        if (st != ST_OK) {
            worker_failed(fleet, label, st);
            return false;
        }
        fleet->count++;
    }
    return true;
}

/* A worker without a connection could not work: where there are more of them than DB_POOL_MAX, it is
 * exceeded, and whoever shares max_connections out among pods must know. */
static void report_database(const struct config *config, const struct plan *plan)
{
    const int64_t open = plan->http * plan->db_max + plan->gateways + 2 * plan->processors;
    if (open > config->db_pool_max)
        log_warn("DB_POOL_MAX is below one connection for each worker: raise it, or have fewer",
                 LOG_NUM("limit", config->db_pool_max), LOG_NUM("connections", open));
}

/* The kernel cuts what we ask for without a word; then a rush is refused before we see it. */
static void report_backlog(void)
{
    FILE *file = fopen("/proc/sys/net/core/somaxconn", "r");
    char line[32];
    if (file != NULL && fgets(line, sizeof(line), file) != NULL && strtol(line, NULL, 10) < BACKLOG)
        log_warn("the kernel's queue of new connections is short: raise net.core.somaxconn",
                 LOG_NUM("limit", strtol(line, NULL, 10)), LOG_NUM("wanted", BACKLOG));
    if (file != NULL)
        (void)fclose(file);
}

static bool start_fleet(struct fleet *fleet, const struct config *config,
                        const struct api_health *health)
{
    const unsigned open_files = process_raise_open_files();
    const struct plan plan = make_plan(config, open_files);
    struct worker_opts opts = {.name = config->roles & ROLE_API ? "api" : "ops",
                               .role = ROLE_API,
                               .config = config,
                               .health = health,
                               .connection_limit = plan.http_limit,
                               .db_pool_min = plan.db_min,
                               .db_pool_max = plan.db_max};
    log_info("starting", LOG_NUM("openFiles", open_files),
             LOG_NUM("httpConnections", plan.http_limit), LOG_NUM("sockets", plan.gateway_limit),
             LOG_NUM("apiWorkers", plan.http), LOG_NUM("gatewayWorkers", plan.gateways),
             LOG_NUM("processors", plan.processors));
    report_backlog();
    report_database(config, &plan);
    if (!start_workers(fleet, &opts, plan.http))
        return false;
    opts.name = "gateway";
    opts.role = ROLE_GATEWAY;
    opts.connection_limit = plan.gateway_limit;
    opts.db_pool_min = opts.db_pool_max = 1;
    if (!start_workers(fleet, &opts, plan.gateways))
        return false;
    opts.name = "processor";
    opts.role = ROLE_PROCESSOR;
    opts.db_pool_max = 2;
    return start_workers(fleet, &opts, plan.processors);
}

static void drain_fleet(struct fleet *fleet, uint64_t drain_ms)
{
    for (size_t i = 0; i < fleet->count; i++)
        worker_drain(fleet->workers[i], drain_ms);
    for (size_t i = 0; i < fleet->count; i++)
        worker_join(fleet->workers[i]);
}

/* Blocks the signals we wait for; threads inherit the mask. */
static sigset_t block_signals(void)
{
    sigset_t set;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGALRM);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    return set;
}

/* A second signal, or the end of the drain time: leave at once. */
static void *hurry(void *arg)
{
    int signal_number = 0;
    (void)sigwait(arg, &signal_number);
    log_error("not drained in time: leaving now", LOG_NUM("signal", signal_number));
    _exit(1);
}

static int serve(const struct config *config)
{
    static struct api_health health;
    static sigset_t signals; /* the watchdog may look at it when this has returned */
    struct fleet fleet = {0};
    int signal_number = 0;
    signals = block_signals();
    int code = check_port(config, "HTTP_PORT", config->http_port);
    if (code == 0 && (config->roles & ROLE_GATEWAY) != 0)
        code = check_ws_port(config);
    if (code != 0)
        return code;
    queue_scripts_init(config->test_hooks);
    api_register_routes((config->roles & ROLE_API) == 0);
    const bool started = start_fleet(&fleet, config, &health);
    if (started) {
        health.ready = true;
        log_info("ready", LOG_NUM("httpPort", config->http_port),
                 LOG_NUM("wsPort", config->ws_port));
        (void)sigwait(&signals, &signal_number);
        log_info("draining", LOG_NUM("signal", signal_number));
    }
    health.draining = true;
    pthread_t watchdog;
    (void)alarm((unsigned)(config->drain_ms / 1000 + 2));
    if (pthread_create(&watchdog, NULL, hurry, &signals) == 0)
        (void)pthread_detach(watchdog);
    drain_fleet(&fleet, (uint64_t)config->drain_ms);
    log_info("stopped");
    return started ? 0 : fleet.misconfigured ? EXIT_CONFIG : 1;
}

static int serve_main(struct config *config, int argc, char **argv)
{
    static const struct option options[] = {
        {"roles", required_argument, NULL, 'r'}, {"help", no_argument, NULL, 'h'}, {0}};
    char error[200];
    int option;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread has been started yet */
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h') {
            (void)printf("Usage: tiketi serve [--roles api,gateway,processor]\n\n"
                         "Serves until SIGTERM or SIGINT, then drains within DRAIN_MS.\n\n"
                         "Settings are environment variables:\n\n");
            config_print_help(stdout);
            return 0;
        }
        if (option != 'r' || config_parse_roles(optarg, &config->roles) != ST_OK) {
            (void)fprintf(stderr, "tiketi serve: bad option; see tiketi serve --help\n");
            return EXIT_USAGE;
        }
    }
    if (optind != argc) {
        (void)fprintf(stderr, "tiketi serve: unexpected '%s'\n", argv[optind]);
        return EXIT_USAGE;
    }
    if (config_require(config, CONFIG_NEED_SERVE, error, sizeof(error)) != ST_OK) {
        (void)fprintf(stderr, "tiketi: %s\n", error);
        return EXIT_CONFIG;
    }
    return serve(config);
}

/* ---- migrate ---- */

static void say_line(const char *line)
{
    (void)puts(line);
}

static int migrate_main(struct config *config, int argc, char **argv)
{
    char error[512];
    if (argc > 1) {
        const bool help = strcmp(argv[1], "--help") == 0;
        (void)fprintf(help ? stdout : stderr, "Usage: tiketi migrate\n\nBrings the database at "
                                              "DATABASE_URL to this program's schema. "
                                              "Safe to run from several pods at once.\n");
        return help ? 0 : EXIT_USAGE;
    }
    if (config_require(config, CONFIG_NEED_DATABASE, error, sizeof(error)) != ST_OK) {
        (void)fprintf(stderr, "tiketi: %s\n", error);
        return EXIT_CONFIG;
    }
    const struct db_schema schema = {.migrations = embed_migrations,
                                     .migration_count = embed_migrations_count,
                                     .functions = embed_functions,
                                     .function_count = embed_functions_count,
                                     .generation = embed_functions_generation};
    const enum status st =
        db_migrate(config->database_url, &schema, say_line, error, sizeof(error));
    if (st != ST_OK)
        (void)fprintf(stderr, "tiketi migrate: %s\n", error);
    return st == ST_OK ? 0 : 1;
}

/* ---- token ---- */

static const char token_help[] =
    "Usage: tiketi token --sub NAME [--role admin|organizer|sre|viewer|buyer] [--ttl SECONDS]\n\n"
    "Prints a JWT signed with JWT_SECRET, for a terminal. Default role buyer, default ttl 43200.\n";

static int print_token(const struct config *config, const char *sub, const char *role, long ttl_s)
{
    char error[200];
    struct token_keys *keys;
    struct buf out;
    if (config_require(config, CONFIG_NEED_TOKEN, error, sizeof(error)) != ST_OK ||
        token_keys_new(config, &keys, error, sizeof(error)) != ST_OK) {
        (void)fprintf(stderr, "tiketi: %s\n", error);
        return EXIT_CONFIG;
    }
    buf_init(&out, 4096);
    const enum status st =
        token_write_user(keys, sub, role, clock_wall_ms(), (int64_t)ttl_s * 1000, &out);
    if (st == ST_OK)
        (void)printf("%s\n", buf_str(&out));
    else
        (void)fprintf(stderr,
                      "tiketi token: the name is not a valid sub, or the role is unknown\n");
    buf_clear(&out);
    token_keys_free(keys);
    return st == ST_OK ? 0 : EXIT_USAGE;
}

static int token_main(struct config *config, int argc, char **argv)
{
    static const struct option options[] = {{"sub", required_argument, NULL, 's'},
                                            {"role", required_argument, NULL, 'r'},
                                            {"ttl", required_argument, NULL, 't'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *sub = NULL, *role = "buyer";
    long ttl_s = 43200;
    int option;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread has been started yet */
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 's') {
            sub = optarg;
        } else if (option == 'r') {
            role = optarg;
        } else if (option == 't') {
            char *end;
            ttl_s = strtol(optarg, &end, 10);
            if (*end != '\0' || ttl_s <= 0 || ttl_s > 366L * 24 * 3600) {
                (void)fprintf(stderr, "tiketi token: --ttl is 1 to 31622400 seconds\n");
                return EXIT_USAGE;
            }
        } else {
            (void)fputs(token_help, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : EXIT_USAGE;
        }
    }
    if (sub == NULL || optind != argc) {
        (void)fputs(token_help, stderr);
        return EXIT_USAGE;
    }
    return print_token(config, sub, role, ttl_s);
}

/* ---- routes ---- */

static int routes_main(struct config *config, int argc, char **argv)
{
    (void)config;
    if (argc > 1) {
        const bool help = strcmp(argv[1], "--help") == 0;
        (void)fprintf(help ? stdout : stderr,
                      "Usage: tiketi routes\n\nPrints every HTTP route: method, path, and who may: "
                      "anybody (none), a buyer, or\nthe roles. /openapi.json says the rest.\n");
        return help ? 0 : EXIT_USAGE;
    }
    api_register_routes(false);
    api_print_routes(stdout);
    return 0;
}

/* ---- reference ---- */

static int reference_main(struct config *config, int argc, char **argv)
{
    char when[CLOCK_RFC3339_SIZE];
    uint64_t place;
    (void)config;
    if (argc != 2 || reference_read(argv[1], &place) != ST_OK) {
        const bool help = argc == 2 && strcmp(argv[1], "--help") == 0;
        (void)fprintf(help ? stdout : stderr,
                      "Usage: tiketi reference 1K0R-T4B4-J84\n\nPrints the place that a buyer's "
                      "reference for support stands for, and when it was taken.\n");
        return help ? 0 : EXIT_USAGE;
    }
    clock_format_rfc3339((int64_t)(place / 1000), when);
    (void)printf("%" PRIu64 " %s\n", place, when);
    return 0;
}

/* ---- the command table ---- */

static const struct command {
    const char *name, *help;
    program_fn run; /* NULL: a program of its own, tiketi-NAME, beside this one */
} commands[] = {
    {"serve", "run any of the roles api, gateway, processor", serve_main},
    {"migrate", "bring the database schema up to date", migrate_main},
    {"token", "sign a JWT for a terminal", token_main},
    {"reference", "the place behind a buyer's reference for support", reference_main},
    {"routes", "list the HTTP routes", routes_main},
    {"crowd", "rehearse an event with virtual buyers and check the promises", NULL},
    {"provider", "a payment provider for tests and demos", NULL},
};

static void print_usage(FILE *out)
{
    (void)fprintf(out, "Usage: tiketi COMMAND [options]\n\n");
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        (void)fprintf(out, "  %-9s  %s\n", commands[i].name, commands[i].help);
    (void)fprintf(out, "\ntiketi COMMAND --help says more.\n");
}

/* Becomes the program tiketi-NAME of this one's folder. Returns only when that fails. */
static int run_program(const char *name, char **argv)
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
    (void)fprintf(stderr, "tiketi: cannot run tiketi-%s, which belongs beside tiketi: %s\n", name,
                  slash ? strerrordesc_np(errno) : "this program's own path is unknown");
    return 1;
}

int main(int argc, char **argv)
{
    const struct command *command = NULL;
    for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            command = &commands[i];
    }
    if (!command) {
        const bool help = program_asks_help(argc, argv);
        print_usage(help ? stdout : stderr);
        return help ? 0 : EXIT_USAGE;
    }
    if (!command->run)
        return run_program(command->name, argv + 1);
    return program_run(command->run, argc - 1, argv + 1);
}
