/* SPDX-License-Identifier: MIT */
/* ctl_run: a command of `tiketi ctl` that runs: what it was given, what it asks and answers. The other files work on it. */
#ifndef TIKETI_CTL_RUN_H
#define TIKETI_CTL_RUN_H

#include "base/json.h"
#include "base/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What `tiketi ctl` exits with; docs/organizer.md and --help list them. */
enum ctl_exit {
    CTL_OK = 0,
    CTL_REFUSED = 1, /* the service refuses: its reason is on stderr */
    CTL_USAGE = 2,   /* the command line is wrong; nothing was sent */
    CTL_UNREACHABLE =
        3, /* no answer, or the service cannot answer now; a change may or may not have been made */
    CTL_CONFLICT = 4,   /* somebody else has changed the event, or its state does not allow this */
    CTL_NOT_ALLOWED = 5 /* no valid token, or its role or owner may not */
};

/* The options of all commands; each takes some of them. */
struct ctl_options {
    bool json, yes, completed, once, csv, ids, replace, check, all, due, rehearsal;
    const char *url, *version, *id, *title, *language, *seats;
    const char *section, *row, *new_section, *new_row, *reason; /* of seats */
    const char *status, *from, *to;
    const char *after, *types; /* of the feed */
    bool follow;
    int64_t every_ms, step_ms, limit;
    int64_t first, last, price; /* numbers of seats in a row, 0: not given; minor units */
};

struct ctl_run {
    const char *name; /* of the command, for messages */
    struct ctl_options options;
    char *const *args; /* the arguments without a name; as many as the command takes */
    int count;
    const char *url, *token; /* of the service; set by ctl_login_read */
};

/* Writes "tiketi ctl NAME: <sentence>" to stderr and returns `code`; for CTL_USAGE it adds how to see the help. */
int ctl_fail(const struct ctl_run *run, enum ctl_exit code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Has the user agreed: by --yes, or by typing the event's id when asked "Type the event's id to <what>: "? False: no, and that
 * nothing was done was told; the exit code is then CTL_USAGE. */
bool ctl_confirm(const struct ctl_run *run, const char *what);

/* Waits, after process_note_signals. False: a signal has come. */
bool ctl_wait_ms(int64_t ms);

#endif
