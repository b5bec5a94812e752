/* SPDX-License-Identifier: MIT */
/*
 * options: a command's options from one table: parsing and --help are read from it. Pure.
 * Called by: crowd_options, provider_options.
 */
#include "base/options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS OPTIONS_DAY_MS

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

enum status options_duration(const char *text, int64_t *ret_ms)
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
    if (options_duration(first, &ret_pair[0]) != ST_OK ||
        options_duration(dots != NULL ? dots + 2 : text, &ret_pair[1]) != ST_OK ||
        ret_pair[0] > ret_pair[1])
        return ST_INVALID;
    return ST_OK;
}

static enum status set_option(const struct option_row *option, const char *text, void *out)
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
        st = options_duration(text, field);
        break;
    }
    const int64_t value = *(int64_t *)field;
    return st == ST_OK && value >= option->min && value <= option->max ? ST_OK : ST_INVALID;
}

/* ---- the command line ---- */

static const struct option_row *find_option(const struct option_row *rows, const char *name,
                                            size_t len)
{
    for (; rows->name != NULL; rows++) {
        if (strlen(rows->name) == len && memcmp(rows->name, name, len) == 0)
            return rows;
    }
    return NULL;
}

/* The argument at *at, and its value if that is the next one. */
static enum status read_argument(const struct option_row *rows, int argc, char **argv, int *at,
                                 void *out, struct options_error *error)
{
    const char *arg = argv[*at];
    const char *name = strncmp(arg, "--", 2) == 0 ? arg + 2 : "";
    const size_t len = strcspn(name, "=");
    const struct option_row *option = find_option(rows, name, len);
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    if (option == NULL || (option->kind == OPT_FLAG && value != NULL)) {
        (void)snprintf(error->text, sizeof(error->text), "unknown option %s", arg);
        return ST_INVALID;
    }
    if (option->kind != OPT_FLAG && value == NULL) {
        if (*at + 1 >= argc) {
            (void)snprintf(error->text, sizeof(error->text), "--%s needs a value: %s", option->name,
                           option->help);
            return ST_INVALID;
        }
        value = argv[++*at];
    }
    if (set_option(option, value, out) == ST_OK)
        return ST_OK;
    (void)snprintf(error->text, sizeof(error->text), "--%s %s: not a valid value", option->name,
                   value);
    if (option->kind == OPT_COUNT && option->max < INT64_MAX)
        (void)snprintf(error->text, sizeof(error->text), "--%s %s: from %lld to %lld", option->name,
                       value, (long long)option->min, (long long)option->max);
    return ST_INVALID;
}

enum status options_parse(const struct option_row *rows, int argc, char **argv, void *ret,
                          struct options_error *error)
{
    for (const struct option_row *row = rows; row->name != NULL; row++) {
        if (row->fallback != NULL && set_option(row, row->fallback, ret) != ST_OK)
            return ST_INTERNAL;
    }
    for (int i = 0; i < argc; i++) {
        const enum status st = read_argument(rows, argc, argv, &i, ret, error);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

void options_help(const struct option_row *rows, FILE *out)
{
    for (; rows->name != NULL; rows++) {
        char left[40];
        (void)snprintf(left, sizeof(left), "--%s %s", rows->name, rows->value ? rows->value : "");
        (void)fprintf(out, "  %-20s %s", left, rows->help);
        (void)fprintf(out, rows->fallback != NULL ? " (%s)\n" : "\n", rows->fallback);
    }
}
