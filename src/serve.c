/* SPDX-License-Identifier: MIT */
/*
 * serve: `tiketi serve`: the workers of its roles, signals, reloads, the drain.
 *
 * It plans the workers, starts a thread for each, waits for a signal (watch.c) and drains them; worker.c says how a worker drains. Why
 * this way: signals are blocked in every thread and taken by sigwait here, so no signal handler interrupts anything.
 * Called by: main. Owns: the workers and the health flags. Exit codes: 0, 1, 64 (usage), 78 (configuration).
 */
#include "serve.h"

#include "api/api.h"
#include "auth/token.h"
#include "auth/vapid.h"
#include "base/buf.h"
#include "base/build.h"
#include "base/config.h"
#include "base/log.h"
#include "base/memory_limit.h"
#include "base/process.h"
#include "net/client_limit.h"
#include "net/connection_limits.h"
#include "page/messages.h"
#include "queue/queue.h"
#include "trial.h"
#include "watch.h"
#include "worker.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORKERS_MAX 64
#define BACKLOG     4096 /* the backlog that httpd asks for, for each listening socket */

/* ---- the log ---- */

/* From now on the log is that of a pod: each line says which, and none stops a loop. */
static void log_as(const struct config *config)
{
    char pod[64] = "", role[CONFIG_ROLES_SIZE];
    (void)gethostname(pod, sizeof(pod) - 1);
    config_write_roles(config->roles, role);
    log_identify(build_version, pod, role);
    log_set_access(config->access_log);
    log_never_block();
}

/* ---- the ports ---- */

/* Why a port cannot be used, for people. */
struct port_error {
    char text[200];
};

__attribute__((format(printf, 3, 4))) static int refuse_port(struct port_error *error, int code,
                                                             const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    return code;
}

/* Workers share a port among themselves (SO_REUSEPORT), which would also let a second process share it with us.
 * So the port is first bound without that option. Returns the exit code; 0: the port is free. */
static int check_port(const struct config *config, const char *setting, int64_t port,
                      struct port_error *error)
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
        if (fd < 0 || bind(fd, list->ai_addr, list->ai_addrlen) != 0) {
            usable = errno != EADDRNOTAVAIL && errno != EAFNOSUPPORT;
            taken = usable;
        }
        if (fd >= 0)
            (void)close(fd);
        freeaddrinfo(list);
    }
    if (!usable)
        return refuse_port(error, EXIT_CONFIG,
                           "HTTP_HOST: must be a numeric address of this machine, not '%.60s'",
                           config->http_host);
    if (taken)
        return refuse_port(error, 1, "%s: cannot listen on %.60s port %d: the port is taken",
                           setting, config->http_host, (int)port);
    return 0;
}

/* With SO_REUSEPORT the kernel would let both listen, and give each a share of the other's connections. */
static int check_distinct_ports(const struct config *config, struct port_error *error)
{
    const int64_t http = config->http_port, ws = config->ws_port, metrics = config->metrics_port;
    if (metrics != 0 && (metrics == http || metrics == ws))
        return refuse_port(error, EXIT_CONFIG,
                           "METRICS_PORT: must be another port than HTTP_PORT and WS_PORT (%d)",
                           (int)metrics);
    if ((config->roles & ROLE_GATEWAY) && ws == http && ws != 0)
        return refuse_port(error, EXIT_CONFIG, "WS_PORT: must be another port than HTTP_PORT (%d)",
                           (int)http);
    return 0;
}

static int check_ports(const struct config *config, struct port_error *error)
{
    int code = check_distinct_ports(config, error);
    if (code == 0)
        code = check_port(config, "HTTP_PORT", config->http_port, error);
    if (code == 0 && config->metrics_port != 0)
        code = check_port(config, "METRICS_PORT", config->metrics_port, error);
    if (code == 0 && (config->roles & ROLE_GATEWAY))
        code = check_port(config, "WS_PORT", config->ws_port, error);
    return code;
}

/* ---- the plan ---- */

struct plan {
    int64_t http, gateways, processors; /* how many workers of each kind */
    unsigned open_files;
    struct memory_limit memory;
    struct connection_limits connections;
    int db_min, db_max;  /* PostgreSQL connections of each HTTP worker */
    int64_t db_may_open; /* of all workers */
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
    struct plan plan = {
        .open_files = process_raise_open_files(),
        .memory = memory_limit_read(""),
        .http = config->roles & ROLE_API ? worker_count(config->api_workers) : 1,
        .gateways = config->roles & ROLE_GATEWAY ? worker_count(config->gateway_workers) : 0,
        .processors = config->roles & ROLE_PROCESSOR ? 1 : 0};
    plan.connections = connection_limits_of(
        &(struct connection_needs){.open_files = plan.open_files,
                                   .memory_bytes = plan.memory.bytes,
                                   .probes_only = (config->roles & ROLE_API) == 0,
                                   .http_workers = (unsigned)plan.http,
                                   .gateways = (unsigned)plan.gateways,
                                   .http_max = config->http_connections_max});

    const int64_t others = plan.gateways + 2 * plan.processors; /* see start_workers */
    const int64_t rest = config->db_pool_max > others ? config->db_pool_max - others : 0;
    plan.db_max = rest / plan.http > 1 ? (int)(rest / plan.http) : 1;
    plan.db_min = (int)(config->db_pool_min / plan.http);
    if (plan.db_min < 1)
        plan.db_min = 1;
    if (plan.db_min > plan.db_max)
        plan.db_min = plan.db_max;
    plan.db_may_open = plan.http * plan.db_max + others;
    return plan;
}

/* One address never has more than half of all. 0: it may have any number. */
static unsigned share_of(int64_t setting, int64_t all)
{
    const int64_t half = all > 1 ? all / 2 : 1;
    return (unsigned)(setting < half ? setting : half);
}

/* What one address may take of this process. */
static struct client_limit_opts limits_of_an_address(const struct config *config,
                                                     const struct plan *plan)
{
    const struct connection_limits *each = &plan->connections;
    return (struct client_limit_opts){
        .per_second = config->rate_limit_per_ip,
        .shares = {[CLIENT_CONNECTIONS] =
                       share_of(config->http_connections_per_ip, each->http * plan->http),
                   [CLIENT_SOCKETS] =
                       share_of(config->ws_sockets_per_ip, each->sockets * plan->gateways)}};
}

static void log_plan(const struct config *config, const struct plan *plan)
{
    const struct connection_limits *connections = &plan->connections;
    /* Each line names version, pod and role. */
    log_info("starting", LOG_TEXT("commit", build_commit), LOG_NUM("openFiles", plan->open_files),
             LOG_NUM("memoryBytes", plan->memory.bytes),
             LOG_TEXT("memoryOf", plan->memory.cgroup ? "cgroup" : "machine"),
             LOG_NUM("httpWorkers", plan->http),
             LOG_NUM("httpConnectionsPerWorker", connections->http),
             LOG_TEXT("httpConnectionsBy", connection_bound_name(connections->http_by)),
             LOG_NUM("gatewayWorkers", plan->gateways),
             LOG_NUM("socketsPerWorker", connections->sockets),
             LOG_TEXT("socketsBy", connection_bound_name(connections->sockets_by)),
             LOG_NUM("processors", plan->processors));
    if (config->file)
        log_info("settings read from a file", LOG_TEXT("file", config->file));
    config_log_risks(config);
    /* The kernel shortens a longer backlog silently. In a rush it then refuses connections that this process never
     * sees. */
    FILE *file = fopen("/proc/sys/net/core/somaxconn", "r");
    char line[32];
    if (file && fgets(line, sizeof(line), file) && strtol(line, NULL, 10) < BACKLOG)
        log_warn("listen backlog is cut by the kernel, connections may be lost in a rush",
                 LOG_TEXT("raise", "net.core.somaxconn"), LOG_NUM("limit", strtol(line, NULL, 10)),
                 LOG_NUM("wanted", BACKLOG));
    if (file)
        (void)fclose(file);
    /* Each worker needs a connection to work at all, so with more workers than DB_POOL_MAX the limit is exceeded.
     * That matters where several pods share max_connections. */
    if (plan->db_may_open > config->db_pool_max)
        log_warn("workers may open more PostgreSQL connections than DB_POOL_MAX",
                 LOG_NUM("limit", config->db_pool_max), LOG_NUM("mayOpen", plan->db_may_open));
}

/* ---- the workers ---- */

struct fleet {
    struct worker *workers[WORKERS_MAX];
    size_t count;
    bool misconfigured;                /* a worker could not use a setting */
    struct client_limit *client_limit; /* of all workers */
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
                          struct api_health *health)
{
    const struct worker_opts http = {.name = config->roles & ROLE_API ? "api" : "ops",
                                     .role = ROLE_API,
                                     .config = config,
                                     .health = health,
                                     .client_limit = fleet->client_limit,
                                     .connection_limit = plan->connections.http,
                                     .limited_by_memory = plan->connections.http_by == BOUND_MEMORY,
                                     .db_pool_min = plan->db_min,
                                     .db_pool_max = plan->db_max,
                                     .db_may_open = plan->db_may_open,
                                     .schema = db_schema_own()};
    struct worker_opts gateway = http, processor = http;
    gateway.name = "gateway";
    gateway.role = ROLE_GATEWAY;
    gateway.connection_limit = plan->connections.sockets;
    gateway.db_pool_min = gateway.db_pool_max = 1;
    processor.name = "processor";
    processor.role = ROLE_PROCESSOR;
    processor.db_pool_min = 1;
    processor.db_pool_max = 2;
    return start_group(fleet, &http, plan->http) && start_group(fleet, &gateway, plan->gateways) &&
           start_group(fleet, &processor, plan->processors);
}

/* A second signal, or SIGALRM when the drain is overdue: ends the process at once. A reload is no reason to. */
static void *end_late_drain(void *arg)
{
    int signal_number = SIGHUP;
    while (signal_number == SIGHUP)
        (void)sigwait(arg, &signal_number);
    if (signal_number == SIGALRM)
        log_error("not drained in time, the process ends at once");
    else
        log_error("ended by a second signal before it was drained",
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

/* ---- reload ---- */

/* Reads the settings as they were read at start, and makes the keys of each worker. ST_INVALID: `problems` has got a line
 * for each that is wrong; there is nothing new then. */
static enum status read_again(const struct config *current, const struct serve_options *options,
                              size_t workers, struct config **ret_config,
                              struct token_keys **ret_keys, struct buf *problems)
{
    struct config *config;
    size_t made = 0;
    char error[200] = "";
    enum status st = config_load(current->source, CONFIG_NEED_SERVE, &config, problems);
    if (st != ST_OK)
        return st;
    if (options->roles)
        st = config_parse_roles(options->roles, &config->roles);
    while (st == ST_OK && made < workers) {
        st = token_keys_new(config, &ret_keys[made], error, sizeof(error));
        made += st == ST_OK;
    }
    if (st == ST_OK && config->vapid_keys) {
        struct vapid *vapid = NULL;
        st = vapid_new(config->vapid_keys, config->vapid_subject, &vapid);
        vapid_free(vapid);
        if (st != ST_OK)
            (void)snprintf(error, sizeof(error),
                           "VAPID_KEYS: must be keys of `tiketi vapid-key`, comma-separated, each "
                           "once");
    }
    if (st == ST_OK) {
        *ret_config = config;
        return ST_OK;
    }
    buf_printf(problems, "%s\n", error);
    while (made > 0)
        token_keys_free(ret_keys[--made]);
    config_free(config);
    return st;
}

/* A log line for each line of `problems`. */
static void log_problems(const char *lines)
{
    for (const char *end = strchr(lines, '\n'); end; end = strchr(lines, '\n')) {
        char line[600];
        (void)snprintf(line, sizeof(line), "%.*s", (int)(end - lines), lines);
        log_write(LOG_LEVEL_ERROR, NULL, "reload refused, all settings stay as they are",
                  (struct log_field[]){LOG_TEXT("error", line)}, 1);
        lines = end + 1;
    }
}

/* Puts new values of the settings that may change in force, on all workers, or none of them. */
static void reload(const struct fleet *fleet, const struct plan *plan,
                   const struct serve_options *options, const struct config **current)
{
    struct config *wanted;
    struct token_keys *keys[WORKERS_MAX];
    struct buf problems;
    buf_init(&problems, 65536);
    const enum status st = read_again(*current, options, fleet->count, &wanted, keys, &problems);
    if (st != ST_OK)
        log_problems(buf_str(&problems));
    buf_clear(&problems);
    if (st != ST_OK)
        return;
    const struct config *next = config_adopt(*current, wanted);
    log_set_level(next->log_level);
    log_set_access(next->access_log);
    const struct client_limit_opts limits = limits_of_an_address(next, plan);
    client_limit_set(fleet->client_limit, &limits);
    for (size_t i = 0; i < fleet->count; i++)
        worker_reconfigure(fleet->workers[i], next, keys[i]);
    config_free(*current);
    *current = next;
    config_free(wanted);
    log_info("reloaded");
}

/* ---- serve ---- */

const struct option_row serve_rows[] = {
    {"roles", OPT_TEXT, offsetof(struct serve_options, roles), 0, 0, NULL, "LIST",
     "roles of this process, comma-separated: api, gateway, processor; instead of ROLES"},
    {"check-config", OPT_FLAG, offsetof(struct serve_options, check_config), 0, 0, NULL, NULL,
     "check all settings, try every file and server that they name, print what was found, and end: "
     "0, or 78 when there is a problem"},
    {0},
};

bool serve_tolerates(const void *options)
{
    return ((const struct serve_options *)options)->check_config;
}

enum status serve_check(const void *options, struct options_error *error)
{
    const char *roles = ((const struct serve_options *)options)->roles;
    unsigned bits;
    if (!roles || config_parse_roles(roles, &bits) == ST_OK)
        return ST_OK;
    return options_refuse(error,
                          "--roles must be a comma-separated list of api, gateway and processor");
}

void serve_print_settings(FILE *out)
{
    (void)fputs(
        "\nA setting is given by --set, as an environment variable, or in the file of --config, "
        "the "
        "strongest\n"
        "first. An empty value counts as unset. NAME_FILE names a file that holds the value of "
        "NAME. After\n"
        "SIGHUP all files are read again, and settings marked [reload] get their new values.\n\n",
        out);
    config_print_help(out);
}

/* Ports that are taken are no problem: the service may be running. */
static int check_settings(const struct config *config)
{
    unsigned problems = config->faulty;
    struct port_error error;
    queue_scripts_init(config->test_hooks);
    config_log_risks(config);
    if (check_port(config, "HTTP_HOST", 0, &error) != 0 ||
        check_distinct_ports(config, &error) != 0) {
        problems++;
        (void)printf("problem  %s\n", error.text);
    }
    const struct plan plan = plan_workers(config);
    problems += trial_run(config, plan.db_may_open);
    (void)puts(problems == 0 ? "All settings can be used." : "There are problems.");
    return problems == 0 ? 0 : EXIT_CONFIG;
}

int serve(struct config *config, const void *options)
{
    /* Static, because the thread that waits for signals may still run when this function has returned. */
    static struct api_health health;
    static sigset_t signals;
    const char *roles = ((const struct serve_options *)options)->roles;
    const unsigned signing = ROLE_API | ROLE_GATEWAY, checked = config->roles;
    const struct config *current; /* `config` until the first reload */
    struct fleet fleet = {0};
    struct watch watch;
    int signal_number = 0;

    if (roles && config_parse_roles(roles, &config->roles) != ST_OK)
        return EXIT_USAGE; /* serve_check has looked at it */
    /* The settings were checked with the roles of ROLES. */
    if ((config->roles & signing) && !(checked & signing) && !config->ticket_keys)
        return program_fail("serve", EXIT_CONFIG, "TICKET_KEYS: must be set for --roles %s", roles);
    if (serve_tolerates(options))
        return check_settings(config);

    /* Signals are blocked before any thread starts, because threads inherit the mask. */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGUSR1, SIG_IGN);
    (void)signal(SIGUSR2, SIG_IGN);
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGALRM);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);

    log_as(config);
    struct port_error error;
    const int code = check_ports(config, &error);
    if (code != 0)
        return program_fail("serve", code, "%s", error.text);
    watch_open(&watch);
    queue_scripts_init(config->test_hooks);
    api_register_routes((config->roles & ROLE_API) == 0);
    messages_load(); /* for pages and mail */

    const struct plan plan = plan_workers(config);
    log_plan(config, &plan);
    const struct client_limit_opts limits = limits_of_an_address(config, &plan);
    if (client_limit_new(config->trusted_proxies, &limits, &fleet.client_limit, error.text,
                         sizeof(error.text)) != ST_OK)
        return program_fail("serve", EXIT_CONFIG, "TRUSTED_PROXIES: %s", error.text);
    health.starting = health.unreached = (unsigned)(plan.http + plan.gateways + plan.processors);
    const bool started = start_workers(&fleet, config, &plan, &health);
    current = config_ref(config);
    watch_begin(&watch, fleet.workers, fleet.count, &health);
    while (started && (signal_number = watch_wait(&watch, &signals)) == SIGHUP) {
        watch_reloading(&watch);
        reload(&fleet, &plan, options, &current);
        watch_reloaded(&watch);
    }
    watch_stopping(&watch, config->drain_ms);
    if (started)
        log_info("draining", LOG_NUM("signal", signal_number));
    health.draining = true;
    drain_workers(&fleet, config->drain_ms, &signals);
    client_limit_free(fleet.client_limit);
    config_free(current);
    watch_close(&watch);
    log_info("stopped");
    return started ? 0 : fleet.misconfigured ? EXIT_CONFIG : 1;
}
