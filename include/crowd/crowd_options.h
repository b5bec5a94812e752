/* SPDX-License-Identifier: MIT */
/* crowd_options: what a rehearsal was asked for: one table holds option, kind, default and help. */
#ifndef TIKETI_CROWD_OPTIONS_H
#define TIKETI_CROWD_OPTIONS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CROWD_USERS_MAX     200000
#define CROWD_PROCESSES_MAX 32

struct crowd_options {
    int64_t users;
    int64_t processes;   /* 0: as many as the open files ask for */
    int64_t connections; /* 0: each buyer has his own */
    const char *event;   /* all texts are borrowed from argv */
    const char *url;     /* NULL: from the configuration; else one or more, comma-separated */
    const char *provider;
    const char *ws; /* NULL: the url's host and the configured WS_PORT */
    int64_t arrive_ms;
    int64_t settle_min_ms, settle_max_ms;
    double buy, abandon; /* shares of those who enter; the rest goes silent */
    int64_t think_min_ms, think_max_ms;
    int64_t max_time_ms;
    int64_t seed;
    const char *json; /* file, or NULL */
    bool guests, no_sockets, no_check, allow_remote, strict;
    bool help;
};

/* Fills every option, from argv or by default. ST_INVALID with a sentence in `error`. */
MUST_CHECK enum status crowd_options_parse(int argc, char **argv, struct crowd_options *ret_options,
                                           char *error, size_t error_size);
void crowd_options_help(FILE *out);

#endif
