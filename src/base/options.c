/* SPDX-License-Identifier: MIT */
/*
 * options: the command line of a command, from one table.
 *
 * Why this way: getopt_long knows only names. Here one row has the kind, range, default and help of an option, so
 * that all commands report errors in the same way. Called by: program (parsing, --help), crowd. Pure.
 */
#include "base/options.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define KIND(row) ((row)->kind & ~(unsigned)OPT_REQUIRED)

enum status options_refuse(struct options_error *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    return ST_INVALID;
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

bool options_read_duration(const char *text, int64_t *ret_ms)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    double number;
    const char *unit;
    if (!read_number(text, &number, &unit))
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(unit, units[i].unit) == 0 && number * units[i].ms <= (double)OPTIONS_DAY_MS) {
            *ret_ms = (int64_t)(number * units[i].ms);
            return true;
        }
    }
    return false;
}

/* Reads "A..B", or one duration for both, into two neighbouring fields. */
static bool read_range(const char *text, int64_t *ret_pair)
{
    char first[32];
    const char *dots = strstr(text, "..");
    const size_t len = dots ? (size_t)(dots - text) : strlen(text);
    if (len >= sizeof(first))
        return false;
    memcpy(first, text, len);
    first[len] = '\0';
    return options_read_duration(first, &ret_pair[0]) &&
           options_read_duration(dots ? dots + 2 : text, &ret_pair[1]) &&
           ret_pair[0] <= ret_pair[1];
}

static enum status set_option(const struct option_row *row, const char *text, void *out,
                              struct options_error *error)
{
    void *field = (char *)out + row->offset;
    int64_t *const number = field;
    double *const share = field;
    const char *dashes = KIND(row) == OPT_ARGUMENT ? "" : "--", *end;
    char *digits_end;
    switch (KIND(row)) {
    case OPT_FLAG:
        *(bool *)field = true;
        return ST_OK;
    case OPT_TEXT:
    case OPT_ARGUMENT:
        *(const char **)field = text;
        if (text[0] != '\0')
            return ST_OK;
        return options_refuse(error, "%s%s must not be empty", dashes, row->name);
    case OPT_COUNT:
        *number = strtoll(text, &digits_end, 10);
        if (text[0] >= '0' && text[0] <= '9' && *digits_end == '\0' && *number >= row->min &&
            *number <= row->max)
            return ST_OK;
        if (row->max == INT64_MAX)
            return options_refuse(error, "--%s must be an integer of at least %lld, not '%.40s'",
                                  row->name, (long long)row->min, text);
        return options_refuse(error, "--%s must be an integer from %lld to %lld, not '%.40s'",
                              row->name, (long long)row->min, (long long)row->max, text);
    case OPT_DURATION:
        if (options_read_duration(text, number) && *number >= row->min && *number <= row->max)
            return ST_OK;
        return options_refuse(
            error,
            "--%s must be a time such as 250ms, 5s, 15m or 1h, from %lld to %lld ms, not '%.40s'",
            row->name, (long long)row->min, (long long)row->max, text);
    case OPT_SHARE:
        if (read_number(text, share, &end) && *end == '\0' && *share <= 1.0)
            return ST_OK;
        return options_refuse(error, "--%s must be a share from 0 to 1, not '%.40s'", row->name,
                              text);
    case OPT_RANGE:
        if (read_range(text, number))
            return ST_OK;
        return options_refuse(
            error, "--%s must be a time such as 5s, or a range such as 250ms..5s, not '%.40s'",
            row->name, text);
    }
    return ST_INTERNAL;
}

/* ---- the command line ---- */

/* The row for an argument: by name for "--name" and "--name=value", else the row of kind OPT_ARGUMENT. NULL when
 * there is none. */
static const struct option_row *find_row(const struct option_row *rows, const char *arg)
{
    const bool named = strncmp(arg, "--", 2) == 0;
    const size_t len = named ? strcspn(arg + 2, "=") : 0;
    for (const struct option_row *row = rows; row && row->name; row++) {
        if (!named ? KIND(row) == OPT_ARGUMENT
                   : KIND(row) != OPT_ARGUMENT && strlen(row->name) == len &&
                         memcmp(row->name, arg + 2, len) == 0)
            return row;
    }
    return NULL;
}

/* Returns the value of the option at argv[*at]: the text after its "=", else the next argument, to which *at then
 * moves. Returns NULL, with `error` filled, when the value is missing or a flag is given one. A flag without a value
 * returns "". */
static const char *find_value(const struct option_row *row, int argc, char **argv, int *at,
                              struct options_error *error)
{
    if (KIND(row) == OPT_ARGUMENT)
        return argv[*at];
    const char *equals = strchr(argv[*at], '=');
    if (KIND(row) == OPT_FLAG) {
        if (equals)
            (void)options_refuse(error, "--%s takes no value", row->name);
        return equals ? NULL : "";
    }
    if (equals)
        return equals + 1;
    if (++*at < argc)
        return argv[*at];
    (void)options_refuse(error, "--%s needs a value: %s", row->name, row->help);
    return NULL;
}

enum status options_parse(const struct option_row *rows, int argc, char **argv, void *ret,
                          struct options_error *error)
{
    static const struct option_row none[] = {{0}};
    uint64_t given = 0; /* a bit for each row: was the option given? */
    if (!rows)
        rows = none;
    for (const struct option_row *row = rows; row->name; row++) {
        assert(row - rows < OPTIONS_MAX);
        if (row->fallback && set_option(row, row->fallback, ret, error) != ST_OK)
            return ST_INTERNAL;
    }
    for (int i = 0; i < argc; i++) {
        const struct option_row *row = find_row(rows, argv[i]);
        const uint64_t bit = row ? UINT64_C(1) << (row - rows) : 0;
        if (!row && strncmp(argv[i], "--", 2) == 0)
            return options_refuse(error, "%.60s is not an option", argv[i]);
        if (!row || (KIND(row) == OPT_ARGUMENT && (given & bit)))
            return options_refuse(error, "unexpected argument '%.60s'", argv[i]);
        const char *value = find_value(row, argc, argv, &i, error);
        if (!value || set_option(row, value, ret, error) != ST_OK)
            return ST_INVALID;
        given |= bit;
    }
    for (const struct option_row *row = rows; row->name; row++) {
        if (row->kind & OPT_REQUIRED && !(given & UINT64_C(1) << (row - rows)))
            return options_refuse(error, "%s%s is required: %s",
                                  KIND(row) == OPT_ARGUMENT ? "" : "--", row->name, row->help);
    }
    return ST_OK;
}

void options_help(const struct option_row *rows, FILE *out)
{
    for (; rows && rows->name; rows++) {
        char left[40];
        (void)snprintf(left, sizeof(left), "%s%s%s%s", KIND(rows) == OPT_ARGUMENT ? "" : "--",
                       rows->name, rows->value ? " " : "", rows->value ? rows->value : "");
        if (strlen(left) > 20)
            (void)fprintf(out, "  %s\n%23s%s", left, "", rows->help);
        else
            (void)fprintf(out, "  %-20s %s", left, rows->help);
        if (rows->fallback)
            (void)fprintf(out, " (default %s)", rows->fallback);
        (void)fputs(rows->kind & OPT_REQUIRED ? " (required)\n" : "\n", out);
    }
}
