/* SPDX-License-Identifier: MIT */
/*
 * program: what tiketi, tiketi-crowd and tiketi-provider do alike at their start: settings, log level, --help.
 */
#ifndef TIKETI_PROGRAM_H
#define TIKETI_PROGRAM_H

#include "base/config.h"

/* Exit codes beside 0 (done) and 1 (failed): sysexits.h's EX_USAGE and EX_CONFIG. */
enum { EXIT_USAGE = 64, EXIT_CONFIG = 78 };

/* `argv[0]` is the command's name; `config` is borrowed, and NULL where the settings are wrong and only
 * --help was asked for. Returns the exit code. */
typedef int (*program_fn)(struct config *config, int argc, char **argv);

/* Loads the settings from the environment, sets the log level and runs `run`. Wrong settings: says which on
 * stderr and returns EXIT_CONFIG. With --help or -h anywhere in argv, `run` is called with --help alone,
 * whatever the settings are. */
int program_run(program_fn run, int argc, char **argv);

/* Is --help or -h among the arguments after argv[0]? */
bool program_asks_help(int argc, char **argv);

#endif
