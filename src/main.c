/* SPDX-License-Identifier: MIT */
/*
 * main: the command line: migrate, token, vapid-key, reference, routes; serve is in serve.c, console-link and console-revoke
 * in console.c, erase and export in erase.c, probe, reconcile and plan in files of their names. crowd, provider, simulate
 * and ctl are programs of their own, which this one becomes.
 *
 * Exit codes: 0, 1, 64 (usage), 78 (configuration).
 */
#include "api/api.h"
#include "auth/token.h"
#include "auth/vapid.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/program.h"
#include "console.h"
#include "erase.h"
#include "net/db_migrate.h"
#include "plan.h"
#include "probe.h"
#include "queue/reference.h"
#include "reconcile.h"
#include "schema_wait.h"
#include "serve.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- migrate ---- */

static void print_line(const char *line)
{
    (void)puts(line);
}

struct migrate_options {
    int64_t wait_ms; /* 0: migrate */
};
static const struct option_row migrate_rows[] = {
    {"wait", OPT_DURATION, offsetof(struct migrate_options, wait_ms), 1000, OPTIONS_DAY_MS, NULL,
     "TIME",
     "change nothing: wait until another `tiketi migrate` has brought the schema to where this "
     "program can serve, for so long at most (10m); for a step before `tiketi serve`"},
    {0},
};

static int migrate(struct config *config, const void *options)
{
    const int64_t wait_ms = ((const struct migrate_options *)options)->wait_ms;
    char error[512];
    const enum status st =
        wait_ms > 0
            ? schema_wait(config->database_url, wait_ms, error, sizeof(error))
            : db_migrate(config->database_url, db_schema_own(), print_line, error, sizeof(error));
    return st == ST_OK ? 0 : program_fail("migrate", 1, "%s", error);
}

/* ---- token ---- */

struct token_options {
    const char *sub, *role;
    int64_t ttl_s;
};
static const struct option_row token_rows[] = {
    {"sub", OPT_TEXT | OPT_REQUIRED, offsetof(struct token_options, sub), 0, 0, NULL, "NAME",
     "the user's id: 1 to 255 bytes of printable text"},
    {"role", OPT_TEXT, offsetof(struct token_options, role), 0, 0, "buyer", "ROLE",
     "admin, organizer, sre, viewer, service, door or buyer"},
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
    if (token_keys_new(config, &keys, error, sizeof(error)) != ST_OK)
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
                        "--sub must be 1 to 255 bytes of printable text, and --role one of admin, "
                        "organizer, sre, viewer, service, door, buyer");
}

/* ---- vapid-key ---- */

static int print_vapid_key(struct config *config, const void *options)
{
    struct buf out;
    (void)config;
    (void)options;
    buf_init(&out, 64);
    const enum status st = vapid_write_new_key(&out);
    if (st == ST_OK)
        (void)puts(buf_str(&out));
    buf_clear(&out);
    return st == ST_OK ? 0 : program_fail("vapid-key", 1, "OpenSSL cannot make a key of P-256");
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
      .need = CONFIG_NEED_SERVE,
      .usage = "[--roles LIST] [--check-config]",
      .about =
          "Serves until SIGTERM or SIGINT, then drains within DRAIN_MS; a second one ends it at "
          "once. SIGHUP reads\n"
          "the settings again.\n",
      .rows = serve_rows,
      .options_size = sizeof(struct serve_options),
      .print_more = serve_print_settings,
      .tolerates = serve_tolerates,
      .check = serve_check,
      .run = serve},
     "run any of the roles api, gateway, processor"},
    {{.name = "probe",
      .need = CONFIG_NEED_SETTINGS,
      .usage = "[--ask WHAT] [--timeout TIME]",
      .about = "Asks the service on this machine, on the port that answers probes. Exit code 0: it "
               "answered 200;\n"
               "1: it did not, and why is on stderr.\n",
      .rows = probe_rows,
      .options_size = sizeof(struct probe_options),
      .check = probe_check,
      .run = probe},
     "ask whether the service lives, for health checks"},
    {{.name = "migrate",
      .need = CONFIG_NEED_DATABASE,
      .usage = "[--wait TIME]",
      .about = "Brings the database at DATABASE_URL to this program's schema. Safe to run from "
               "several pods\n"
               "at once.\n",
      .rows = migrate_rows,
      .options_size = sizeof(struct migrate_options),
      .run = migrate},
     "bring the database schema up to date"},
    {{.name = "reconcile",
      .need = CONFIG_NEED_DATABASE,
      .usage = "[--event ID] [--books FILE] [--apply]",
      .about =
          "Compares a PostgreSQL that was restored from a backup with the live Redis, and with the "
          "books of the\n"
          "payment provider, and puts back what it lacks: docs/backup.md. Needs DATABASE_URL and "
          "REDIS_URL.\n"
          "Exit code: 0 nothing differs, or all was put back; 2 something is left for people.\n",
      .rows = reconcile_rows,
      .options_size = sizeof(struct reconcile_options),
      .run = reconcile},
     "compare a restored database with Redis, and put back what it lacks"},
    {{.name = "token",
      .need = CONFIG_NEED_TOKEN,
      .usage = "--sub NAME [--role ROLE] [--ttl SECONDS]",
      .about = "Prints a JWT that is signed with JWT_SECRETS, for use on a terminal.\n",
      .rows = token_rows,
      .options_size = sizeof(struct token_options),
      .run = sign_token},
     "sign a JWT for use on a terminal"},
    {{.name = "console-link",
      .need = CONFIG_NEED_KEYS,
      .usage = "[--role ROLE] [--name NAME] [--events IDS] [--url URL]",
      .about = "Prints a link that signs one person in to the console, once, within ten minutes. "
               "Needs\n"
               "TICKET_KEYS and no backend.\n",
      .rows = console_link_rows,
      .options_size = sizeof(struct console_link_options),
      .run = console_link},
     "print a one-time link to the console"},
    {{.name = "console-revoke",
      .need = CONFIG_NEED_DATABASE,
      .usage = "--name NAME | --session ID | --all | --list",
      .about = "Ends sessions of the console: they are refused within two seconds. Needs "
               "DATABASE_URL.\n",
      .rows = console_revoke_rows,
      .options_size = sizeof(struct console_revoke_options),
      .run = console_revoke},
     "end sessions of the console"},
    {{.name = "export",
      .need = CONFIG_NEED_BACKENDS,
      .usage = "--buyer ID [--who NAME]",
      .about = "Prints everything that is stored about one buyer, in PostgreSQL and Redis, as a "
               "JSON document.\n"
               "It is audited. docs/privacy.md says what is stored, and for how long.\n",
      .rows = export_rows,
      .options_size = sizeof(struct erase_options),
      .check = erase_check,
      .run = export_buyer},
     "print all that is stored about a buyer"},
    {{.name = "erase",
      .need = CONFIG_NEED_BACKENDS,
      .usage = "--buyer ID [--force] [--who NAME]",
      .about =
          "Erases one buyer from PostgreSQL and Redis. Records of money and admissions stay, "
          "under pseudonyms.\n"
          "It cannot be undone, is audited without the id, and may be repeated at any time. "
          "Nothing is erased\n"
          "while a payment is under way, or, without --force, while the buyer waits, is inside "
          "or holds seats.\n",
      .rows = erase_rows,
      .options_size = sizeof(struct erase_options),
      .check = erase_check,
      .run = erase_buyer},
     "erase a buyer, for good"},
    {{.name = "vapid-key",
      .usage = "",
      .about = "Prints a new random key for VAPID_KEYS, with which push messages are sent.\n",
      .run = print_vapid_key},
     "a new key for push messages"},
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
    {{.name = "plan",
      .usage = "--buyers N [options]",
      .about =
          "Prints what a sale needs: pods, Redis, PostgreSQL, sockets, open files, bandwidth, each "
          "with where it\n"
          "comes from (docs/capacity.md). Asks no server.\n",
      .rows = plan_rows,
      .options_size = sizeof(struct plan_options),
      .run = plan},
     "say what a sale needs: pods, Redis, PostgreSQL, sockets"},
    {{.name = "crowd"}, "rehearse an event with virtual buyers and check the promises"},
    {{.name = "provider"}, "a payment provider for tests and demos"},
    {{.name = "simulate"}, "forecast a sale: waits, the empty queue, sold out"},
    {{.name = "ctl"}, "run a sale from the terminal"},
    {{.name = "proxy"}, "put the waiting room in front of a shop"},
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
    static char help_flag[] = "--help", version_flag[] = "--version";
    if (argc > 2 && strcmp(argv[1], "help") == 0) { /* "help COMMAND" is "COMMAND --help" */
        argv[1] = argv[2];
        argv[2] = help_flag;
    } else if (argc == 2 && strcmp(argv[1], "help") == 0) {
        argv[1] = help_flag;
    } else if (argc == 2 && strcmp(argv[1], "version") == 0) {
        argv[1] = version_flag;
    }
    const bool help = program_asks_help(argc, argv);
    if (program_prints_version("tiketi", argc, argv))
        return 0;
    for (size_t i = 0; argc > 1 && i < COMMAND_COUNT; i++) {
        const struct program_command *program = &commands[i].program;
        if (strcmp(argv[1], program->name) == 0)
            return program->run ? program_run(program, argc - 1, argv + 1)
                                : become_program(program->name, argv + 1);
    }
    FILE *out = help ? stdout : stderr;
    if (argc > 1 && !help)
        (void)fprintf(out, "tiketi: '%.40s' is not a command\n\n", argv[1]);
    (void)fputs("Usage: tiketi COMMAND [options]\n\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        (void)fprintf(out, "  %-14s  %s\n", commands[i].program.name, commands[i].summary);
    (void)fputs("\n`tiketi COMMAND --help` says more; `tiketi --version` says which one this is.\n",
                out);
    return help ? 0 : EXIT_USAGE;
}
