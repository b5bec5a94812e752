/* SPDX-License-Identifier: MIT */
/*
 * ctl: the program tiketi-ctl: a sale run from the terminal. The table of commands is all that the command line, --help and
 * completion are made of.
 *
 * Why this way: it calls the same routes as the console and curl, so it decides nothing itself. It reads no setting of
 * the service, since it runs on an organizer's machine. Owns: what its commands remember between two runs is in ctl_login.
 */
#include "auth/token.h"
#include "base/clock.h"
#include "base/program.h"
#include "ctl/ctl_complete.h"
#include "ctl/ctl_event.h"
#include "ctl/ctl_feed.h"
#include "ctl/ctl_forecast.h"
#include "ctl/ctl_hall.h"
#include "ctl/ctl_login.h"
#include "ctl/ctl_record.h"
#include "ctl/ctl_setting.h"
#include "ctl/ctl_team.h"
#include "ctl/ctl_top.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

#define ARGS_MAX 64
#define MANY     ARGS_MAX

#define AT(field) offsetof(struct ctl_options, field)
#define JSON                                                                                       \
    {                                                                                              \
        "json", OPT_FLAG, AT(json), 0, 0, NULL, NULL, "prints the service's answer as JSON"        \
    }
#define URL                                                                                        \
    {                                                                                              \
        "url", OPT_TEXT, AT(url), 0, 0, NULL, "URL",                                               \
            "the service, instead of the one that `login` remembered or TIKETI_URL names"          \
    }
#define YES                                                                                        \
    {                                                                                              \
        "yes", OPT_FLAG, AT(yes), 0, 0, NULL, NULL, "does it without asking"                       \
    }

#define VERSION                                                                                    \
    {                                                                                              \
        "version", OPT_TEXT, AT(version), 0, 0, NULL, "N",                                         \
            "only if the event is still this version, as `show` printed it"                        \
    }
#define SECTION                                                                                    \
    {                                                                                              \
        "section", OPT_TEXT, AT(section), 0, 0, NULL, "NAME", "the seats of this section"          \
    }
#define ROW                                                                                        \
    {                                                                                              \
        "row", OPT_TEXT, AT(row), 0, 0, NULL, "NAME", "the seats of this row"                      \
    }
#define FROM                                                                                       \
    {                                                                                              \
        "from", OPT_COUNT, AT(first), 1, 1000000, NULL, "N", "from this number on"                 \
    }
#define TO                                                                                         \
    {                                                                                              \
        "to", OPT_COUNT, AT(last), 1, 1000000, NULL, "N", "up to this number"                      \
    }
#define SEATS                                                                                      \
    {                                                                                              \
        "seats", OPT_TEXT, AT(seats), 0, 0, NULL, "IDS", "the seats of these ids, comma-separated" \
    }
#define ALL                                                                                        \
    {                                                                                              \
        "all", OPT_FLAG, AT(all), 0, 0, NULL, NULL, "all seats"                                    \
    }

static const struct option_row no_rows[] = {{0}};
static const struct option_row plain_rows[] = {JSON, URL, {0}};
static const struct option_row asked_rows[] = {YES, JSON, URL, {0}};
static const struct option_row events_rows[] = {
    {"ids", OPT_FLAG, AT(ids), 0, 0, NULL, NULL, "prints the ids alone"}, JSON, URL, {0}};
static const struct option_row create_rows[] = {
    {"id", OPT_TEXT, AT(id), 0, 0, NULL, "ID", "the event's id; by default a random one"},
    JSON,
    URL,
    {0}};
static const struct option_row copy_rows[] = {
    {"id", OPT_TEXT, AT(id), 0, 0, NULL, "ID", "the copy's id; by default a random one"},
    {"title", OPT_TEXT, AT(title), 0, 0, NULL, "TEXT", "its title; by default the same"},
    {"rehearsal", OPT_FLAG, AT(rehearsal), 0, 0, NULL, NULL,
     "to be tried, not sold: `reset` takes everything back"},
    JSON,
    URL,
    {0}};
static const struct option_row set_rows[] = {VERSION, JSON, URL, {0}};
static const struct option_row message_rows[] = {
    {"language", OPT_TEXT, AT(language), 0, 0, NULL, "CODE", "en, ko or ja; by default for all"},
    JSON,
    URL,
    {0}};
static const struct option_row top_rows[] = {
    {"every", OPT_DURATION, AT(every_ms), 500, 3600000, "2s", "TIME", "between two refreshes"},
    {"once", OPT_FLAG, AT(once), 0, 0, NULL, NULL, "shows it once"},
    JSON,
    URL,
    {0}};
static const struct option_row report_rows[] = {
    {"csv", OPT_FLAG, AT(csv), 0, 0, NULL, NULL, "prints it as CSV"}, JSON, URL, {0}};
static const struct option_row refund_rows[] = {
    {"seats", OPT_TEXT, AT(seats), 0, 0, NULL, "IDS", "only these seats of it, comma-separated"},
    JSON,
    URL,
    {0}};
static const struct option_row release_rows[] = {
    {"completed", OPT_FLAG, AT(completed), 0, 0, NULL, NULL, "they have bought"}, JSON, URL, {0}};

static const struct option_row import_rows[] = {
    {"check", OPT_FLAG, AT(check), 0, 0, NULL, NULL,
     "changes nothing: shows the errors, and the hall that it would be"},
    {"replace", OPT_FLAG, AT(replace), 0, 0, NULL, NULL,
     "these seats instead of all that the event has"},
    VERSION,
    YES,
    JSON,
    URL,
    {0}};
static const struct option_row unblock_rows[] = {SECTION, ROW,     FROM, TO,  SEATS,
                                                 ALL,     VERSION, JSON, URL, {0}};
static const struct option_row remove_rows[] = {SECTION, ROW, FROM, TO,  SEATS, ALL,
                                                VERSION, YES, JSON, URL, {0}};
static const struct option_row block_rows[] = {{"reason", OPT_TEXT | OPT_REQUIRED, AT(reason), 0, 0,
                                                NULL, "TEXT",
                                                "why they are not for sale, for staff alone"},
                                               SECTION,
                                               ROW,
                                               FROM,
                                               TO,
                                               SEATS,
                                               ALL,
                                               VERSION,
                                               JSON,
                                               URL,
                                               {0}};
static const struct option_row reprice_rows[] = {
    {"price", OPT_COUNT | OPT_REQUIRED, AT(price), 0, INT64_C(1000000000000), NULL, "N",
     "in minor units: 1250 for EUR 12.50, 9900 for KRW 9,900"},
    SECTION,
    ROW,
    FROM,
    TO,
    SEATS,
    ALL,
    VERSION,
    JSON,
    URL,
    {0}};
static const struct option_row rename_rows[] = {
    {"new-section", OPT_TEXT, AT(new_section), 0, 0, NULL, "NAME", "the section's new name"},
    {"new-row", OPT_TEXT, AT(new_row), 0, 0, NULL, "NAME", "the row's new name"},
    SECTION,
    ROW,
    FROM,
    TO,
    SEATS,
    ALL,
    VERSION,
    JSON,
    URL,
    {0}};
static const struct option_row payments_rows[] = {
    {"due", OPT_FLAG, AT(due), 0, 0, NULL, NULL, "those of which money must still be returned"},
    {"status", OPT_TEXT, AT(status), 0, 0, NULL, "STATUS",
     "pending, paid, failed, refund_due or refunded"},
    JSON,
    URL,
    {0}};
static const struct option_row audit_rows[] = {
    {"limit", OPT_COUNT, AT(limit), 1, 100000, "50", "N", "how many, the newest first"},
    JSON,
    URL,
    {0}};
static const struct option_row feed_rows[] = {
    {"after", OPT_TEXT, AT(after), 0, 0, NULL, "SEQUENCE", "the events after this one"},
    {"types", OPT_TEXT, AT(types), 0, 0, NULL, "TYPES", "only these, comma-separated"},
    {"follow", OPT_FLAG, AT(follow), 0, 0, NULL, NULL, "goes on with what happens from now on"},
    URL,
    {0}};
static const struct option_row minutes_rows[] = {
    {"from", OPT_TEXT, AT(from), 0, 0, NULL, "TIME", "such as 2027-01-31T20:00:00Z"},
    {"to", OPT_TEXT, AT(to), 0, 0, NULL, "TIME", "the first minute that is not shown"},
    {"step", OPT_DURATION, AT(step_ms), 60000, OPTIONS_DAY_MS, NULL, "TIME",
     "of a line, in whole minutes; by default as short as 720 lines allow"},
    JSON,
    URL,
    {0}};

static int print_completion(struct ctl_run *run);

static const struct ctl_command {
    const char *name, *args, *summary; /* a name of two words counts before the first one alone */
    int least, most;                   /* arguments */
    const struct option_row *rows;
    int (*run)(struct ctl_run *run);
    bool alone; /* speaks to no service, or finds it itself */
} commands[] = {
    {"login", "URL", "remember a service and a token, which is read from the standard input", 1, 1,
     no_rows, ctl_login, true},
    {"logout", "", "forget them", 0, 0, no_rows, ctl_logout, true},
    {"events", "", "list the events", 0, 0, events_rows, ctl_events, false},
    {"show", "EVENT", "an event and its settings", 1, 1, plain_rows, ctl_show, false},
    {"create", "TITLE [SETTING=VALUE ...]", "make a draft", 1, MANY, create_rows, ctl_create,
     false},
    {"set", "EVENT SETTING=VALUE ...", "change settings: threshold=500 interval=5s", 2, MANY,
     set_rows, ctl_set, false},
    {"copy", "EVENT", "make a draft with the same hall, prices and settings", 1, 1, copy_rows,
     ctl_copy, false},
    {"readiness", "EVENT", "is it ready to open? exits with 1 if something is bad", 1, 1,
     plain_rows, ctl_readiness, false},
    {"publish", "EVENT", "show a draft to buyers; it opens at its time", 1, 1, plain_rows, ctl_verb,
     false},
    {"open", "EVENT", "open it now", 1, 1, plain_rows, ctl_verb, false},
    {"pause", "EVENT", "let nobody in until it is resumed", 1, 1, plain_rows, ctl_verb, false},
    {"resume", "EVENT", "go on", 1, 1, plain_rows, ctl_verb, false},
    {"close", "EVENT", "end the sale", 1, 1, asked_rows, ctl_verb_asked, false},
    {"reopen", "EVENT", "undo its end", 1, 1, plain_rows, ctl_verb, false},
    {"clear", "EVENT", "end every place and admission", 1, 1, asked_rows, ctl_verb_asked, false},
    {"delete", "EVENT", "delete a draft", 1, 1, asked_rows, ctl_verb_asked, false},
    {"reset", "EVENT", "take a rehearsal back, its purchases too", 1, 1, asked_rows, ctl_verb_asked,
     false},
    {"seats", "EVENT", "the sections: free, held, sold, blocked, revenue", 1, 1, plain_rows,
     ctl_seats, false},
    {"seats import", "EVENT FILE", "add the seats of a CSV file; - is the standard input", 2, 2,
     import_rows, ctl_seats_import, false},
    {"seats block", "EVENT", "take free seats out of the sale", 1, 1, block_rows, ctl_seats_correct,
     false},
    {"seats unblock", "EVENT", "put them back into it", 1, 1, unblock_rows, ctl_seats_correct,
     false},
    {"seats reprice", "EVENT", "another price for seats that are not sold", 1, 1, reprice_rows,
     ctl_seats_correct, false},
    {"seats rename", "EVENT", "another section or row", 1, 1, rename_rows, ctl_seats_correct,
     false},
    {"seats remove", "EVENT", "remove seats that are neither held nor sold", 1, 1, remove_rows,
     ctl_seats_correct, false},
    {"message", "EVENT [TEXT]", "tell all who wait; without TEXT take it away", 1, 2, message_rows,
     ctl_message, false},
    {"admit", "EVENT N", "let N in now, never above the threshold", 2, 2, plain_rows, ctl_admit,
     false},
    {"process", "EVENT", "run a tick now", 1, 1, plain_rows, ctl_verb, false},
    {"top", "EVENT", "its numbers, live", 1, 1, top_rows, ctl_top, false},
    {"forecast", "EVENT [SETTING=VALUE ...]", "what a change would do, and what is assumed", 1,
     MANY, plain_rows, ctl_forecast, false},
    {"report", "EVENT", "how the sale went", 1, 1, report_rows, ctl_report, false},
    {"minutes", "EVENT", "the sale minute by minute, and what was changed meanwhile", 1, 1,
     minutes_rows, ctl_minutes, false},
    {"feed", "EVENT", "what happened, an event a line: CloudEvents as JSON", 1, 1, feed_rows,
     ctl_feed, false},
    {"audit", "EVENT", "who changed what, and when", 1, 1, audit_rows, ctl_audit, false},
    {"buyer", "EVENT WHO", "what happened to a buyer, by reference, reservation number or id", 2, 2,
     plain_rows, ctl_buyer, false},
    {"payments", "EVENT", "the payments, newest first", 1, 1, payments_rows, ctl_payments, false},
    {"refund", "EVENT RESERVATION", "give the money of a purchase back, by its number or id", 2, 2,
     refund_rows, ctl_refund, false},
    {"release", "EVENT BUYER", "end a buyer's turn, by their id or reservation number", 2, 2,
     release_rows, ctl_release, false},
    {"ban", "EVENT BUYER REASON", "shut a buyer out, by their id; the place is kept", 3, 3,
     plain_rows, ctl_ban, false},
    {"unban", "EVENT BUYER", "take a ban back", 2, 2, plain_rows, ctl_unban, false},
    {"bans", "EVENT", "who is shut out, and why", 1, 1, plain_rows, ctl_bans, false},
    {"resend", "EVENT", "send the mails again that could not be delivered", 1, 1, plain_rows,
     ctl_resend, false},
    {"team", "EVENT", "who shares the event, and who is invited", 1, 1, plain_rows, ctl_team,
     false},
    {"team invite", "EVENT ROLE [NAME]", "a link for one owner, editor or viewer; it works once", 2,
     3, plain_rows, ctl_team_invite, false},
    {"team remove", "EVENT WHO", "take the event from a person, or an invitation back", 2, 2,
     asked_rows, ctl_team_remove, false},
    {"completion", "SHELL", "completion for bash or zsh: source <(tiketi ctl completion bash)", 1,
     1, no_rows, print_completion, true},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static int print_completion(struct ctl_run *run)
{
    struct ctl_word words[COMMAND_COUNT];
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        words[i] = (struct ctl_word){commands[i].name, commands[i].summary, commands[i].args,
                                     commands[i].rows};
    if (!ctl_complete(run->args[0], words, COMMAND_COUNT, stdout))
        return ctl_fail(run, CTL_USAGE, "'%.40s' is neither bash nor zsh", run->args[0]);
    return CTL_OK;
}

/* ---- help ---- */

static void print_exit_codes(FILE *out)
{
    (void)fputs("\nExit codes: 0 done; 1 refused by the service; 2 a wrong command line; 3 the "
                "service did not\n"
                "answer, or cannot now; 4 somebody else has changed the event, or its state does "
                "not allow it;\n"
                "5 not allowed: no valid token, or another role or owner is needed.\n",
                out);
}

static void print_commands(FILE *out)
{
    (void)fputs("Usage: tiketi ctl COMMAND [arguments] [options]\n\n"
                "Runs a sale from the terminal, by the same routes as the console.\n\n",
                out);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        char left[48];
        (void)snprintf(left, sizeof(left), "%s %s", commands[i].name, commands[i].args);
        (void)fprintf(out, "  %-36s %s\n", left, commands[i].summary);
    }
    (void)fputs("\nThe service and the token come from `tiketi ctl login`, which keeps them in\n"
                "$XDG_CONFIG_HOME/tiketi/ctl.json (or ~/.config), or from TIKETI_URL and "
                "TIKETI_TOKEN.\n",
                out);
    print_exit_codes(out);
    (void)fputs("\n`tiketi ctl COMMAND --help` says more.\n", out);
}

static void print_names(const char *const *names, FILE *out)
{
    size_t column = 2;
    (void)fputs(" ", out);
    for (; *names; names++) {
        if (column + strlen(*names) > 96) {
            (void)fputs("\n ", out);
            column = 2;
        }
        column += (size_t)fprintf(out, " %s", *names);
    }
    (void)fputc('\n', out);
}

/* The commands whose name begins with this one. */
static void print_longer(const char *name, FILE *out)
{
    const size_t len = strlen(name);
    bool any = false;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strncmp(commands[i].name, name, len) != 0 || commands[i].name[len] != ' ')
            continue;
        (void)fprintf(out, "%s  %s %s: %s\n", any ? "" : "\nBesides:\n", commands[i].name,
                      commands[i].args, commands[i].summary);
        any = true;
    }
}

static void print_help(const struct ctl_command *command, FILE *out)
{
    (void)fprintf(out, "Usage: tiketi ctl %s %s%s\n\n%s.\n", command->name, command->args,
                  command->rows[0].name ? " [options]" : "", command->summary);
    print_longer(command->name, out);
    if (strstr(command->args, "SETTING=VALUE")) {
        (void)fputs("\nSettings, by the names of the API; a time has a unit, 250ms, 5s, 15m or 1h; "
                    "surge=5000:2000,20000:4000\nor surge=none; "
                    "returnUrls=https://shop.example,https://other.example/tickets or none; null "
                    "removes:\n",
                    out);
        print_names(ctl_setting_names, out);
    }
    if (command->run == ctl_forecast) {
        (void)fputs("\nBesides, what is assumed of buyers, where it was not measured:\n", out);
        print_names(ctl_forecast_names, out);
    }
    (void)fputc('\n', out);
    options_help(command->rows, out);
    print_exit_codes(out);
}

/* ---- the command line ---- */

/* The option that the argument names; NULL: it is none of this command. */
static const struct option_row *find_row(const struct option_row *rows, const char *arg)
{
    const size_t len = strcspn(arg + 2, "=");
    for (; rows->name; rows++) {
        if (strlen(rows->name) == len && strncmp(rows->name, arg + 2, len) == 0)
            return rows;
    }
    return NULL;
}

/* Takes options and arguments apart; after "--" all are arguments. */
static enum ctl_exit parse(const struct ctl_command *command, int argc, char **argv,
                           struct ctl_run *run)
{
    static char *options[2 * ARGS_MAX], *args[ARGS_MAX];
    struct options_error error;
    int option_count = 0;
    bool only_args = false;
    for (int i = 0; i < argc; i++) {
        if (!only_args && strcmp(argv[i], "--") == 0) {
            only_args = true;
        } else if (only_args || strncmp(argv[i], "--", 2) != 0) {
            if (run->count == command->most)
                return (enum ctl_exit)ctl_fail(run, CTL_USAGE, "unexpected argument '%.60s'",
                                               argv[i]);
            args[run->count++] = argv[i];
        } else if (option_count + 2 <= 2 * ARGS_MAX) {
            const struct option_row *row = find_row(command->rows, argv[i]);
            options[option_count++] = argv[i];
            if (row && row->kind != OPT_FLAG && !strchr(argv[i], '=') && i + 1 < argc)
                options[option_count++] = argv[++i];
        }
    }
    if (options_parse(command->rows, option_count, options, &run->options, &error) != ST_OK)
        return (enum ctl_exit)ctl_fail(run, CTL_USAGE, "%s", error.text);
    if (run->count < command->least)
        return (enum ctl_exit)ctl_fail(run, CTL_USAGE, "it needs %s", command->args);
    run->args = args;
    if (strncmp(command->args, "EVENT", 5) == 0 && !token_is_event_id(args[0], strlen(args[0])))
        return (enum ctl_exit)ctl_fail(run, CTL_USAGE, "'%.64s' is no event's id", args[0]);
    return CTL_OK;
}

/* How many arguments are the command's name; 0: it is another one. */
static int count_words(const char *name, int argc, char **argv)
{
    const size_t len = strcspn(name, " ");
    if (argc < 2 || strlen(argv[1]) != len || strncmp(name, argv[1], len) != 0)
        return 0;
    if (name[len] == '\0')
        return 1;
    return argc > 2 && strcmp(name + len + 1, argv[2]) == 0 ? 2 : 0;
}

/* The command with the longest name that the command line begins with; NULL: none. An event that is called like a second
 * word is named behind "--". */
static const struct ctl_command *find_command(int argc, char **argv, int *ret_words)
{
    const struct ctl_command *found = NULL;
    *ret_words = 0;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const int words = count_words(commands[i].name, argc, argv);
        if (words > *ret_words) {
            *ret_words = words;
            found = &commands[i];
        }
    }
    return found;
}

int main(int argc, char **argv)
{
    const bool help = program_asks_help(argc, argv);
    if (program_prints_version("tiketi ctl", argc, argv))
        return CTL_OK;
    int words;
    const struct ctl_command *command = find_command(argc, argv, &words);
    /* for the widths of letters; NOLINTNEXTLINE(concurrency-mt-unsafe) */
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    clock_init();
    if (command && help) {
        print_help(command, stdout);
        return CTL_OK;
    }
    if (command) {
        struct ctl_run run = {.name = command->name};
        enum ctl_exit exit = parse(command, argc - 1 - words, argv + 1 + words, &run);
        if (exit == CTL_OK && !command->alone)
            exit = ctl_login_read(&run);
        return exit == CTL_OK ? command->run(&run) : (int)exit;
    }
    if (help) {
        print_commands(stdout);
        return CTL_OK;
    }
    if (argc > 1)
        (void)fprintf(stderr, "tiketi ctl: '%.40s' is not a command\n\n", argv[1]);
    print_commands(stderr);
    return CTL_USAGE;
}
