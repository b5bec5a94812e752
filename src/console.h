/* SPDX-License-Identifier: MIT */
/* console: the commands that let people into the console and out of it, for the table of commands in main.c. */
#ifndef TIKETI_CONSOLE_H
#define TIKETI_CONSOLE_H

#include "base/program.h"

struct console_link_options {
    const char *role, *name, *events, *url;
};
extern const struct option_row console_link_rows[];
/* Prints a one-time link. Returns the exit code, as does console_revoke. */
int console_link(struct config *config, const void *arg);

struct console_revoke_options {
    const char *name;
    int64_t session;
    bool all, list;
};
extern const struct option_row console_revoke_rows[];
/* Ends sessions, or lists them. */
int console_revoke(struct config *config, const void *arg);

#endif
