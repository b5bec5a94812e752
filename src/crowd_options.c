/* SPDX-License-Identifier: MIT */
/*
 * crowd_options: what a rehearsal was asked for. One table holds option, kind, bounds, default and
 * help; parsing and --help are read from it. Pure. Called by: crowd.
 */
#include "crowd_options.h"

#include "token.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum option_kind { OPT_FLAG, OPT_COUNT, OPT_TEXT, OPT_DURATION, OPT_SHARE, OPT_RANGE };

struct option {
    const char *name;
    enum option_kind kind;
    size_t offset; /* in struct crowd_options */
    int64_t min, max;
    const char *fallback; /* text of the default; NULL: none */
    const char *value;    /* what --help calls the value */
    const char *help;
};

#define AT(field) offsetof(struct crowd_options, field)
#define DAY_MS    (24LL * 3600 * 1000)

static const struct option options[] = {
    {"users", OPT_COUNT, AT(users), 1, CROWD_USERS_MAX, NULL, "N", "how many buyers (required)"},
    {"event", OPT_TEXT, AT(event), 0, 0, NULL, "ID", "the event (required)"},
    {"url", OPT_TEXT, AT(url), 0, 0, NULL, "URL",
     "the service; default http://127.0.0.1:HTTP_PORT"},
    {"ws", OPT_TEXT, AT(ws), 0, 0, NULL, "URL",
     "its sockets; default ws://(host of the url):WS_PORT/ws"},
    {"arrive", OPT_DURATION, AT(arrive_ms), 0, DAY_MS, "5s", "TIME",
     "they arrive spread over this time"},
    {"buy", OPT_SHARE, AT(buy), 0, 0, "0.8", "SHARE",
     "of those who enter, this share reserves and pays"},
    {"abandon", OPT_SHARE, AT(abandon), 0, 0, "0.1", "SHARE",
     "this share leaves again; the rest goes silent until it is evicted"},
    {"think", OPT_RANGE, AT(think_min_ms), 0, DAY_MS, "0.2s..2s", "A..B",
     "how long they think once inside"},
    {"max-time", OPT_DURATION, AT(max_time_ms), 1000, DAY_MS, "15m", "TIME",
     "ends by then, whatever happens"},
    {"seed", OPT_COUNT, AT(seed), 0, INT64_MAX, "1", "N", "of every choice the buyers make"},
    {"json", OPT_TEXT, AT(json), 0, 0, NULL, "FILE", "writes the report there as JSON too"},
    {"guests", OPT_FLAG, AT(guests), 0, 0, NULL, NULL,
     "guests by cookie, even where JWT_SECRET is set"},
    {"no-sockets", OPT_FLAG, AT(no_sockets), 0, 0, NULL, NULL,
     "they poll their status and open no WebSocket"},
    {"no-check", OPT_FLAG, AT(no_check), 0, 0, NULL, NULL,
     "does not read Redis and PostgreSQL (REDIS_URL, DATABASE_URL): fewer promises are checked"},
    {"allow-remote", OPT_FLAG, AT(allow_remote), 0, 0, NULL, NULL,
     "the service may be on another machine"},
    {"strict", OPT_FLAG, AT(strict), 0, 0, NULL, NULL,
     "what had to be tried again counts as an error"},
    {"help", OPT_FLAG, AT(help), 0, 0, NULL, NULL, "this text"},
};
#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

void crowd_options_help(FILE *out)
{
    fputs(
        "usage: tiketi crowd --users N --event ID [option…]\n\n"
        "A rehearsal: N virtual buyers arrive over real HTTP and WebSocket, wait, enter, reserve,\n"
        "and pay or give up. Ends with a report: how long it took, and whether the promises were\n"
        "kept. Exit code 1 when one was broken or a request failed.\n\n",
        out);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        char left[40];
        const struct option *option = &options[i];
        snprintf(left, sizeof(left), "--%s %s", option->name, option->value ? option->value : "");
        fprintf(out, "  %-20s %s", left, option->help);
        fprintf(out, option->fallback != NULL ? " (%s)\n" : "\n", option->fallback);
    }
    fputs("\nBuyers are users signed with JWT_SECRET where that is set, else guests. Paying needs\n"
          "PAYMENT_WEBHOOK_SECRET (or --buy 0). Times: 250ms, 5s, 15m, 1h.\n",
          out);
}

/* ---- values ---- */

static bool read_number(const char *text, double *ret, const char **ret_end)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    *ret = strtod(text, &end);
    *ret_end = end;
    return isfinite(*ret);
}

enum status crowd_duration_parse(const char *text, int64_t *ret_ms)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    double number;
    const char *unit;
    if (!read_number(text, &number, &unit))
        return ST_INVALID;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(unit, units[i].unit) != 0)
            continue;
        const double ms = number * units[i].ms;
        if (ms > (double)DAY_MS)
            return ST_INVALID;
        *ret_ms = (int64_t)ms;
        return ST_OK;
    }
    return ST_INVALID;
}

static enum status read_count(const char *text, int64_t *ret)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return ST_INVALID;
    *ret = strtoll(text, &end, 10);
    return *end == '\0' ? ST_OK : ST_INVALID;
}

static enum status read_share(const char *text, double *ret)
{
    const char *end;
    if (!read_number(text, ret, &end) || *end != '\0' || *ret > 1.0)
        return ST_INVALID;
    return ST_OK;
}

/* "A..B", or one time for both; into two neighbouring fields. */
static enum status read_range(const char *text, int64_t *ret_pair)
{
    char first[32];
    const char *dots = strstr(text, "..");
    const size_t len = dots != NULL ? (size_t)(dots - text) : strlen(text);
    if (len >= sizeof(first))
        return ST_INVALID;
    memcpy(first, text, len);
    first[len] = '\0';
    if (crowd_duration_parse(first, &ret_pair[0]) != ST_OK ||
        crowd_duration_parse(dots != NULL ? dots + 2 : text, &ret_pair[1]) != ST_OK ||
        ret_pair[0] > ret_pair[1])
        return ST_INVALID;
    return ST_OK;
}

static enum status set_option(const struct option *option, const char *text,
                              struct crowd_options *out)
{
    void *field = (char *)out + option->offset;
    enum status st = ST_OK;
    switch (option->kind) {
    case OPT_FLAG:
        *(bool *)field = true;
        return ST_OK;
    case OPT_TEXT:
        *(const char **)field = text;
        return text[0] != '\0' ? ST_OK : ST_INVALID;
    case OPT_SHARE:
        return read_share(text, field);
    case OPT_RANGE:
        return read_range(text, field);
    case OPT_COUNT:
        st = read_count(text, field);
        break;
    case OPT_DURATION:
        st = crowd_duration_parse(text, field);
        break;
    }
    const int64_t value = *(int64_t *)field;
    return st == ST_OK && value >= option->min && value <= option->max ? ST_OK : ST_INVALID;
}

/* ---- the command line ---- */

static const struct option *find_option(const char *name, size_t len)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
            return &options[i];
    }
    return NULL;
}

static enum status read_argument(int argc, char **argv, int *at, struct crowd_options *out,
                                 char *error, size_t error_size)
{
    const char *arg = argv[*at];
    const char *name = strncmp(arg, "--", 2) == 0 ? arg + 2 : "";
    const size_t len = strcspn(name, "=");
    const struct option *option = find_option(name, len);
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    if (option == NULL || (option->kind == OPT_FLAG && value != NULL)) {
        snprintf(error, error_size, "unknown option %s", arg);
        return ST_INVALID;
    }
    if (option->kind != OPT_FLAG && value == NULL) {
        if (*at + 1 >= argc) {
            snprintf(error, error_size, "--%s needs a value: %s", option->name, option->help);
            return ST_INVALID;
        }
        value = argv[++*at];
    }
    if (set_option(option, value, out) == ST_OK)
        return ST_OK;
    snprintf(error, error_size, "--%s %s: not a valid value", option->name, value);
    if (option->kind == OPT_COUNT && option->max < INT64_MAX)
        snprintf(error, error_size, "--%s %s: from %lld to %lld", option->name, value,
                 (long long)option->min, (long long)option->max);
    return ST_INVALID;
}

enum status crowd_options_parse(int argc, char **argv, struct crowd_options *ret_options,
                                char *error, size_t error_size)
{
    struct crowd_options out = {0};
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (options[i].fallback != NULL &&
            set_option(&options[i], options[i].fallback, &out) != ST_OK)
            return ST_INTERNAL;
    }
    for (int i = 0; i < argc; i++) {
        const enum status st = read_argument(argc, argv, &i, &out, error, error_size);
        if (st != ST_OK)
            return st;
    }
    const char *missing = NULL;
    if (out.users == 0)
        missing = "--users N is required";
    else if (out.event == NULL || !token_is_event_id(out.event, strlen(out.event)))
        missing = "--event ID is required: 1 to 64 of A-Z a-z 0-9 _ -";
    else if (out.buy + out.abandon > 1.0 + 1e-9)
        missing = "--buy and --abandon are shares of the same buyers: together at most 1";
    if (missing != NULL && !out.help) {
        snprintf(error, error_size, "%s", missing);
        return ST_INVALID;
    }
    *ret_options = out;
    return ST_OK;
}
