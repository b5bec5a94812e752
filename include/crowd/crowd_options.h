/* SPDX-License-Identifier: MIT */
/* crowd_options: the options of a rehearsal, in one table: kind, default and help of each. */
#ifndef TIKETI_CROWD_OPTIONS_H
#define TIKETI_CROWD_OPTIONS_H

#include "base/options.h"

#define CROWD_USERS_MAX     1000000
#define CROWD_PROCESSES_MAX 32

struct crowd_options {
    int64_t users;
    int64_t processes;   /* 0: as many as the open files ask for */
    int64_t connections; /* 0: each buyer has their own */
    const char *event;   /* all texts are borrowed from argv */
    const char *url;     /* NULL: from the configuration; else one or more, comma-separated */
    const char *provider;
    const char *ws; /* NULL: the url's host and the configured WS_PORT */
    int64_t arrive_ms;
    int64_t settle_min_ms, settle_max_ms;
    double buy, abandon; /* shares of the admitted buyers; the rest goes silent */
    double sleep;        /* share of the waiting buyers */
    int64_t asleep_min_ms, asleep_max_ms;
    int64_t think_min_ms, think_max_ms;
    int64_t max_time_ms;
    int64_t shop; /* a shop that is slow above so many inside; 0: none reports */
    int64_t seed;
    const char *json;    /* file, or NULL */
    const char *history; /* likewise */
    bool guests, no_sockets, no_check, allow_remote, strict;
};

extern const struct option_row crowd_option_rows[];

/* Checks what the table cannot say. ST_INVALID with a sentence in `error`. */
MUST_CHECK enum status crowd_options_check(const struct crowd_options *options,
                                           struct options_error *error);

#endif
