/* SPDX-License-Identifier: MIT */
/* probe: the command that asks a service on this machine whether it lives or serves, for the table of commands in main.c. */
#ifndef TIKETI_PROBE_H
#define TIKETI_PROBE_H

#include "base/program.h"

struct probe_options {
    const char *ask; /* live, ready or deep */
    int64_t timeout_ms;
};
extern const struct option_row probe_rows[];
enum status probe_check(const void *options, struct options_error *error);
/* Asks and waits for the answer. Returns 0 when it is 200, else 1, with the reason on stderr. `config` is borrowed. */
int probe(struct config *config, const void *options);

#endif
