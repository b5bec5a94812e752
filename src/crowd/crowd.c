/* SPDX-License-Identifier: MIT */
/*
 * crowd: the program tiketi-crowd: a rehearsal with virtual buyers over real HTTP and WebSocket, and the check of
 * the promises afterwards.
 *
 *   read the options -> resolve the targets -> read the end of the admission log -> the buyers arrive
 *   -> until all have ended, the time is over or a signal came -> read the rest of the log and PostgreSQL
 *   -> report
 *
 * Why this way: one thread and one loop serve all buyers. Each is a small object (crowd_buyer) with one deadline in
 * a shared timer heap (client/agenda.h), so ten thousand of them leave nearly all CPU time to the service on the same
 * machine. The limit of open files decides how many
 * such processes there are (crowd_fleet). Owns: everything of the run. Bounded: in time by --max-time; a target
 * off the loopback is refused without --allow-remote.
 */
#include "base/program.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/process.h"
#include "crowd/crowd_audit.h"
#include "crowd/crowd_buyer.h"
#include "crowd/crowd_fleet.h"
#include "crowd/crowd_history.h"
#include "crowd/crowd_load.h"
#include "crowd/crowd_memory.h"
#include "crowd/crowd_options.h"
#include "crowd/crowd_report.h"
#include "crowd/crowd_shop.h"
#include "net/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS        200
#define WAIT_MS        10
#define FILES_RESERVED 128 /* open files kept free for backends and libraries */
#define PROGRESS_TICKS (1000 / TICK_MS)

/* One rehearsal, from the command line to the exit code. */
struct run {
    struct crowd crowd;
    struct crowd_options options;
    struct crowd_audit *audit; /* NULL: --no-check */
    struct loop_timer *tick;
    struct loop_resolve *resolve;
    struct dial_target *resolving; /* the target under way */
    uint64_t ticks;
    bool buying;             /* between the first arrival and the end */
    struct crowd_part *part; /* NULL: this process is the whole crowd */
    struct crowd_load *load;
    struct crowd_shop *shop; /* NULL: --shop is not given, or another process reports */
    struct crowd_sum sum;
    int code; /* not 0: the run could not begin; the exit code */
};

static int complain(int code, const char *sentence)
{
    (void)fprintf(stderr, "tiketi crowd: %s\n", sentence);
    return code;
}

/* ---- the end ---- */

static void run_closed(void *arg)
{
    struct run *run = arg;
    loop_stop(run->crowd.loop);
}

static void run_close(struct run *run)
{
    struct crowd *crowd = &run->crowd;
    run->buying = false;
    for (uint32_t i = 0; i < crowd->count; i++)
        crowd_buyer_stop(&crowd->buyers[i]);
    dial_net_close_idle(crowd->web_net);
    agenda_free(crowd->agenda);
    loop_timer_close(run->tick);
    crowd_load_free(run->load);
    crowd_shop_stop(run->shop);
    crowd_shop_free(run->shop);
    crowd->agenda = NULL;
    run->load = NULL;
    run->shop = NULL;
    run->tick = NULL;
    crowd_audit_close(run->audit, run_closed, run);
}

static void run_audited(void *arg, enum status status)
{
    struct run *run = arg;
    run->sum.audit = status;
    run_close(run);
}

static void run_audit(struct run *run)
{
    if (run->audit)
        crowd_audit_finish(run->audit, run_audited, run);
    else
        run_close(run);
}

static void run_end(struct run *run)
{
    struct crowd *crowd = &run->crowd;
    run->buying = false;
    run->sum.duration_ms = (clock_mono_ns() - crowd->begun_ns) / 1000000;
    crowd_load_stop(run->load);
    crowd_shop_stop(run->shop);
    for (uint32_t i = 0; i < crowd->count; i++) {
        crowd_buyer_stop(&crowd->buyers[i]);
        crowd_out_of_touch(&crowd->buyers[i]); /* no message reaches the buyers from now on */
    }
    if (!run->part) {
        loop_timer_stop(run->tick);
        crowd_report_progress(&crowd->tally, run->sum.duration_ms / 1000, true);
        run_audit(run);
        return;
    }
    crowd_part_show(run->part, &crowd->tally);
    crowd_part_done(run->part);
    loop_timer_set(run->tick, TICK_MS);
}

/* ---- while they buy ---- */

static void run_buy(struct run *run);

/* One of several processes waits for the others, to begin or to end. */
static void run_wait(struct run *run)
{
    if (crowd_part_all_done(run->part)) {
        run_audit(run);
        return;
    }
    loop_timer_set(run->tick, WAIT_MS);
    if (run->crowd.begun_ns != 0) {
        if (++run->ticks % (1000 / WAIT_MS) == 0 && run->audit)
            crowd_audit_follow(run->audit);
        return;
    }
    run->crowd.begun_ns = crowd_part_begin_ns(run->part);
    if (run->crowd.begun_ns != 0) {
        run_buy(run);
    } else if (process_noted_signal() != 0) {
        run->sum.stopped = true;
        run_close(run);
    }
}

static void run_tick(void *arg)
{
    struct run *run = arg;
    const struct crowd *crowd = &run->crowd;
    if (!run->buying) {
        run_wait(run);
        return;
    }
    const uint64_t elapsed_ms = (clock_mono_ns() - crowd->begun_ns) / 1000000;
    run->sum.stopped = process_noted_signal() != 0;
    run->sum.timed_out = !crowd_done(crowd) && elapsed_ms >= (uint64_t)run->options.max_time_ms;
    if (crowd_done(crowd) || run->sum.stopped || run->sum.timed_out) {
        run_end(run);
        return;
    }
    loop_timer_set(run->tick, TICK_MS);
    if (++run->ticks % PROGRESS_TICKS != 0)
        return;
    if (run->part)
        crowd_part_show(run->part, &crowd->tally);
    else
        crowd_report_progress(&crowd->tally, (elapsed_ms + 500) / 1000, false);
    if (run->audit)
        crowd_audit_follow(run->audit);
}

static void run_buy(struct run *run)
{
    struct crowd *crowd = &run->crowd;
    run->buying = true;
    run->load = crowd_load_new(crowd->loop, &crowd->tally);
    if (run->options.shop > 0 && crowd->part == 0)
        run->shop = crowd_shop_new(crowd);
    for (uint32_t i = 0; i < crowd->count; i++) {
        const uint64_t die = crowd_mix(((uint64_t)run->options.seed << 32) + crowd->first + i);
        crowd_buyer_arrive(&crowd->buyers[i], die % ((uint64_t)run->options.arrive_ms + 1));
    }
    loop_timer_set(run->tick, TICK_MS);
}

/* A single process begins at once, one of several together with the others. */
static void run_ready(struct run *run)
{
    if (!run->part) {
        run->crowd.begun_ns = clock_mono_ns();
        run_buy(run);
        return;
    }
    crowd_part_ready(run->part);
    loop_timer_set(run->tick, WAIT_MS);
}

static void run_begun(void *arg, enum status status)
{
    struct run *run = arg;
    if (status == ST_OK) {
        run_ready(run);
        return;
    }
    run->code =
        complain(1, "Redis cannot be read: is REDIS_URL that of the service? (or --no-check)");
    run_close(run);
}

/* ---- targets ---- */

enum { TARGETS = 2 * CROWD_TARGETS_MAX + 1 };

/* Target number i of all that are dialled; one that is not in use has no name. */
static struct dial_target *run_target(struct run *run, unsigned i)
{
    struct crowd *crowd = &run->crowd;
    if (i == TARGETS - 1)
        return &crowd->provider;
    return i < CROWD_TARGETS_MAX ? &crowd->http[i] : &crowd->ws[i - CROWD_TARGETS_MAX];
}

static void run_resolve(struct run *run);

static void run_resolved(void *arg, enum status status, const char *const *addresses, size_t count)
{
    struct run *run = arg;
    char sentence[200];
    if (status != ST_OK || count == 0) {
        (void)snprintf(sentence, sizeof(sentence), "%s: no such host", run->resolving->name);
        run->code = complain(1, sentence);
        run_close(run);
        return;
    }
    (void)snprintf(run->resolving->address, sizeof(run->resolving->address), "%s", addresses[0]);
    run_resolve(run);
}

/* Resolves the next target that has no address yet; when all have one, begins. */
static void run_resolve(struct run *run)
{
    for (unsigned i = 0; i < TARGETS; i++) {
        struct dial_target *target = run_target(run, i);
        if (target->name[0] == '\0' || target->address[0] != '\0')
            continue;
        run->resolving = target;
        run->resolve = loop_resolve_start(run->crowd.loop, target->name, run_resolved, run);
        return;
    }
    bool loopback = true;
    for (unsigned i = 0; i < TARGETS; i++) {
        const struct dial_target *target = run_target(run, i);
        loopback = loopback && (target->name[0] == '\0' || dial_target_is_loopback(target));
    }
    if (!loopback && !run->options.allow_remote) {
        run->code =
            complain(EXIT_USAGE, "the target is not on this machine: a crowd is a load test, "
                                 "so it needs --allow-remote");
        run_close(run);
    } else if (run->audit) {
        crowd_audit_begin(run->audit, run_begun, run);
    } else {
        run_ready(run);
    }
}

/* Reads a comma-separated list of URLs. False: one is not of this scheme, or there are too many. */
static bool read_list(const char *list, const char *scheme, struct dial_target *targets,
                      unsigned *ret_count)
{
    char url[512];
    unsigned count = 0;
    for (; *list != '\0'; count++) {
        const size_t len = strcspn(list, ",");
        if (count == CROWD_TARGETS_MAX || len >= sizeof(url))
            return false;
        (void)snprintf(url, sizeof(url), "%.*s", (int)len, list);
        if (dial_target_parse(url, scheme, &targets[count]) != ST_OK)
            return false;
        list += len + (list[len] == ',');
    }
    *ret_count = count;
    return true;
}

static int read_targets(struct run *run)
{
    struct crowd *crowd = &run->crowd;
    char url[64];
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d", (int)crowd->config->http_port);
    if (!read_list(run->options.url ? run->options.url : url, "http", crowd->http,
                   &crowd->http_count))
        return complain(EXIT_USAGE, "--url must be http://host[:port], or up to 16 such");
    if (run->options.provider &&
        dial_target_parse(run->options.provider, "http", &crowd->provider) != ST_OK)
        return complain(EXIT_USAGE, "--provider must be http://host[:port]");
    if (!run->options.ws) {
        crowd->ws[0] = crowd->http[0];
        crowd->ws[0].port = (uint16_t)crowd->config->ws_port;
        (void)snprintf(crowd->ws[0].path, sizeof(crowd->ws[0].path), "/ws");
        dial_target_name_host(&crowd->ws[0]);
        crowd->ws_count = 1;
        return 0;
    }
    if (!read_list(run->options.ws, "ws", crowd->ws, &crowd->ws_count))
        return complain(EXIT_USAGE, "--ws must be ws://host[:port]/path, or up to 16 such");
    return 0;
}

/* ---- the beginning ---- */

/* How many connections this process may open. */
static unsigned connections_max(void)
{
    const unsigned most = process_raise_open_files();
    return most > 2 * FILES_RESERVED ? most - FILES_RESERVED : most / 2;
}

static void make_buyers(struct run *run)
{
    struct crowd *crowd = &run->crowd;
    char random[33];
    token_random_hex(random);
    (void)snprintf(crowd->tag, sizeof(crowd->tag), "%.8s", random);
    crowd->random = (uint64_t)run->options.seed + ((uint64_t)crowd->part << 48);
    crowd->options = &run->options;
    crowd->buyers = xcalloc(crowd->count, sizeof(*crowd->buyers));
    table_init(&crowd->roster);
    buf_init(&crowd->text, 64 * 1024);
    buf_init(&crowd->token, 64 * 1024);
    for (uint32_t i = 0; i < crowd->count; i++)
        crowd_buyer_init(crowd, i);
}

static void free_buyers(struct crowd *crowd)
{
    for (uint32_t i = 0; i < crowd->count; i++)
        crowd_buyer_clear(&crowd->buyers[i]);
    table_clear(&crowd->roster);
    free(crowd->buyers);
    buf_clear(&crowd->text);
    buf_clear(&crowd->token);
    crowd_tally_clear(&crowd->tally);
}

static void report(struct run *run, struct crowd_sum *sum)
{
    const struct crowd_outcome outcome = {
        .options = &run->options, .sum = sum, .checked = !run->options.no_check};
    crowd_report_print(&outcome, stdout);
    (void)fflush(stdout);
    run->code = crowd_outcome_failed(&outcome) ? 1 : 0;
    if (run->options.json && crowd_report_write_json(&outcome, run->options.json) != ST_OK)
        run->code = complain(1, "the JSON report cannot be written");
}

/* Gives the counts of this process to its parent. The sum borrows them from the crowd and the audit. */
static void hand_over(struct run *run)
{
    struct crowd_sum *sum = &run->sum;
    sum->tally = run->crowd.tally;
    sum->tally.processes = 1;
    if (run->audit) {
        sum->check = *crowd_audit_check(run->audit);
        sum->findings = *crowd_audit_findings(run->audit);
    }
    if (!run->part)
        report(run, sum);
    else if (crowd_part_hand_over(run->part, sum) != ST_OK)
        run->code = complain(1, "the counts of this process cannot be handed over");
}

/* Opens the networks of connections. With --connections the buyers share connections, which have a network of their
 * own. */
static void open_nets(struct run *run, unsigned open_max)
{
    struct crowd *crowd = &run->crowd;
    const uint64_t all = (uint64_t)run->options.connections, parts = crowd->parts;
    const uint64_t own = all * (crowd->part + 1) / parts - all * crowd->part / parts;
    const unsigned most = open_max / 4; /* the part of the open files without sockets: run_all */
    const struct dial_net_opts opts = {
        .loop = crowd->loop, .open_max = open_max, .seed = (uint64_t)run->options.seed};
    struct dial_net_opts web_opts = opts;
    crowd->net = crowd->web_net = dial_net_new(&opts);
    if (all == 0)
        return;
    web_opts.shares = true;
    web_opts.open_max = own > most ? most : own > 0 ? (unsigned)own : 1;
    crowd->web_net = dial_net_new(&web_opts);
}

/* Runs the whole rehearsal of one process. Returns its exit code. */
static int run_part(struct run *run, unsigned open_max)
{
    struct crowd *crowd = &run->crowd;
    char error[200];
    crowd->users = crowd->config->jwt_secrets && !run->options.guests;
    if (token_keys_new(crowd->config, &crowd->keys, error, sizeof(error)) != ST_OK)
        return complain(EXIT_CONFIG, error);
    if (run->options.shop > 0 && !crowd->config->jwt_secrets) {
        token_keys_free(crowd->keys);
        return complain(EXIT_CONFIG, "--shop reports as staff: set JWT_SECRETS");
    }
    crowd->loop = loop_new();
    if (!crowd->loop) {
        token_keys_free(crowd->keys);
        return complain(1, "no event loop: out of open files");
    }
    if (run->options.history) {
        crowd->history = crowd_history_open(run->options.history, crowd->part, crowd->parts);
        if (!crowd->history) {
            loop_free(crowd->loop);
            token_keys_free(crowd->keys);
            return complain(EXIT_USAGE, "--history cannot be written");
        }
    }
    make_buyers(run);
    open_nets(run, open_max);
    crowd->agenda = agenda_new(crowd->loop, crowd->count, crowd_buyer_due, crowd);
    run->tick = loop_timer_new(crowd->loop, run_tick, run);
    if (!run->options.no_check &&
        crowd_audit_open(crowd, &run->audit, error, sizeof(error)) != ST_OK) {
        run->code = complain(EXIT_CONFIG, error);
        run_close(run);
    } else {
        run_resolve(run);
    }
    loop_run(crowd->loop); /* until the last connection is closed */
    if (crowd->web_net != crowd->net)
        dial_net_free(crowd->web_net);
    dial_net_free(crowd->net);
    if (crowd_history_close(crowd->history) != ST_OK && run->code == 0)
        run->code = complain(1, "the history has gaps: a line of it could not be written");
    crowd->history = NULL;
    if (run->code == 0)
        hand_over(run);
    crowd_audit_free(run->audit);
    loop_free(crowd->loop);
    free_buyers(crowd);
    token_keys_free(crowd->keys);
    return run->code;
}

/* Runs the part of one of several processes. Returns its exit code. */
static int run_share(void *arg, struct crowd_part *part)
{
    struct run *run = arg;
    struct crowd *crowd = &run->crowd;
    const uint64_t users = (uint64_t)run->options.users;
    const unsigned index = crowd_part_index(part);
    run->part = part;
    crowd->part = index;
    crowd->first = (uint32_t)(users * index / crowd->parts);
    crowd->count = (uint32_t)(users * (index + 1) / crowd->parts) - crowd->first;
    return run_part(run, connections_max());
}

static int run_all(struct run *run)
{
    struct crowd *crowd = &run->crowd;
    struct crowd_sum sum;
    const unsigned open_max = connections_max();
    const int code = read_targets(run);
    if (code != 0)
        return code;
    process_note_signals();
    /* A buyer has one connection; two for a moment, while the socket opens. Without sockets, and with shared connections,
     * they have none of their own. */
    const struct crowd_options *options = &run->options;
    const bool shared = options->no_sockets && options->connections > 0;
    const int64_t buyers_max = shared ? CROWD_USERS_MAX : open_max / 4 * 3;
    const int64_t needed = (options->users + buyers_max - 1) / buyers_max;
    crowd->parts = (unsigned)(run->options.processes > needed ? run->options.processes : needed);
    crowd->count = (uint32_t)run->options.users;
    if (crowd->parts > CROWD_PROCESSES_MAX)
        return complain(EXIT_USAGE, "the limit of open files is too low for so many buyers "
                                    "(raise `ulimit -Hn`)");
    if (crowd->parts <= 1)
        return run_part(run, open_max);
    memset(&sum, 0, sizeof(sum));
    run->code = crowd_fleet_run(crowd->parts, run_share, run, &sum);
    if (run->code == 0)
        report(run, &sum);
    crowd_sum_clear(&sum);
    return run->code;
}

static int rehearse(struct config *config, const void *options)
{
    struct options_error error;
    if (crowd_options_check(options, &error) != ST_OK)
        return program_fail("crowd", EXIT_USAGE, "%s", error.text);
    struct run *run = xcalloc(1, sizeof(*run));
    run->crowd.config = config;
    run->options = *(const struct crowd_options *)options;
    const int code = run_all(run);
    free(run);
    return code;
}

static void print_more(FILE *out)
{
    (void)fputs("\nBuyers are users signed with JWT_SECRETS where that is set, else guests.\n"
                "Times: 250ms, 5s, 15m, 1h.\n",
                out);
}

int main(int argc, char **argv)
{
    static const struct program_command command = {
        .name = "crowd",
        .need = CONFIG_NEED_SETTINGS,
        .usage = "--users N --event ID --provider URL [options]",
        .about = "A rehearsal: N virtual buyers arrive over real HTTP and WebSocket, wait, enter, "
                 "reserve,\n"
                 "and pay or give up. It ends with a report: how long it took, and whether the "
                 "promises were\n"
                 "kept. Exit code 1 when one was broken or a request failed.\n",
        .rows = crowd_option_rows,
        .options_size = sizeof(struct crowd_options),
        .print_more = print_more,
        .run = rehearse};
    return program_run(&command, argc, argv);
}
