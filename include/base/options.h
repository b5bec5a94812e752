/* SPDX-License-Identifier: MIT */
/* options: reads the command line of a command. One table describes the options; parsing and --help use it. */
#ifndef TIKETI_OPTIONS_H
#define TIKETI_OPTIONS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define OPTIONS_DAY_MS (24LL * 3600 * 1000)
#define OPTIONS_MAX    64 /* rows of a table */

/* The type of a row's field. */
enum option_kind {
    OPT_FLAG,     /* bool: --name, without a value */
    OPT_COUNT,    /* int64_t: an integer from min to max */
    OPT_TEXT,     /* const char *, not empty; borrowed from argv */
    OPT_DURATION, /* int64_t, ms from min to max: "250ms", "5s", "15m", "1h", or seconds: "0.5" */
    OPT_SHARE,    /* double, 0 to 1 */
    OPT_RANGE,    /* two neighbouring int64_t, ms: "A..B", or one duration for both */
    OPT_ARGUMENT, /* const char *, not empty: the argument without a name; one row at most */

    OPT_REQUIRED =
        0x80 /* combined with a kind by `|`: the option must be given, it has no default */
};

struct option_row {
    const char *name;     /* without "--"; NULL: end of the table */
    unsigned kind;        /* enum option_kind */
    size_t offset;        /* of the field in the command's struct */
    int64_t min, max;     /* of OPT_COUNT and OPT_DURATION */
    const char *fallback; /* the default, as text; NULL: the field stays zero */
    const char *value;    /* what --help calls the value */
    const char *help;
};

struct options_error {
    char text[256];
};

/* Fills the struct at `ret`, which the caller has zeroed, from argv (without the command's name) and from the
 * defaults. `rows` may be NULL: no options. ST_INVALID: `error` has a sentence that names the option and says
 * what is allowed; the struct is then filled in part. */
MUST_CHECK enum status options_parse(const struct option_row *rows, int argc, char **argv,
                                     void *ret, struct options_error *error);
/* Reads a duration of up to a day as OPT_DURATION does. False: it is none, and *ret_ms is unchanged. */
bool options_read_duration(const char *text, int64_t *ret_ms);
/* Fills `error` and returns ST_INVALID, for checks that a command makes itself. */
enum status options_refuse(struct options_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void options_help(const struct option_row *rows, FILE *out); /* one line for each row */

#endif
