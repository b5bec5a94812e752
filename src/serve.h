/* SPDX-License-Identifier: MIT */
/* serve: the command that runs the service, for the table of commands in main.c. */
#ifndef TIKETI_SERVE_H
#define TIKETI_SERVE_H

#include "base/program.h"

struct serve_options {
    const char *roles; /* instead of those of the settings; NULL: those */
    bool check_config; /* only tries the settings */
};
extern const struct option_row serve_rows[];
bool serve_tolerates(const void *options); /* see struct program_command */
enum status serve_check(const void *options, struct options_error *error);
void serve_print_settings(FILE *out); /* for --help */
/* Serves until a signal. Returns the exit code. */
int serve(struct config *config, const void *options);

#endif
