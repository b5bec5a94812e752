/* SPDX-License-Identifier: MIT */
/* options: a command's options from one table: parsing and --help are read from it. */
#ifndef TIKETI_OPTIONS_H
#define TIKETI_OPTIONS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define OPTIONS_DAY_MS (24LL * 3600 * 1000)

/* What a row's field is: bool, int64_t, const char * (borrowed from argv), int64_t ms, double from
 * 0 to 1, two neighbouring int64_t of ms ("A..B", or one time for both). */
enum option_kind { OPT_FLAG, OPT_COUNT, OPT_TEXT, OPT_DURATION, OPT_SHARE, OPT_RANGE };

struct option_row {
    const char *name; /* NULL: end of the table */
    enum option_kind kind;
    size_t offset;        /* of the field in the command's struct */
    int64_t min, max;     /* of OPT_COUNT and OPT_DURATION */
    const char *fallback; /* text of the default; NULL: the field stays zero */
    const char *value;    /* what --help calls the value */
    const char *help;
};

struct options_error {
    char text[200];
};

/* Fills *ret, which is zeroed before, from argv or by default. ST_INVALID
 * with a sentence in `error`. */
MUST_CHECK enum status options_parse(const struct option_row *rows, int argc, char **argv,
                                     void *ret, struct options_error *error);
void options_help(const struct option_row *rows, FILE *out); /* one line for each */

/* "250ms", "5s", "15m", "1h" or plain seconds ("0.5") -> ms, at most a day. */
MUST_CHECK enum status options_duration(const char *text, int64_t *ret_ms);

#endif
