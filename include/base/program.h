/* SPDX-License-Identifier: MIT */
/*
 * program: how a command of tiketi, tiketi-crowd or tiketi-provider starts: --help, settings, log level, options.
 */
#ifndef TIKETI_PROGRAM_H
#define TIKETI_PROGRAM_H

#include "base/config.h"
#include "base/options.h"

/* Exit codes beside 0 (done) and 1 (failed): sysexits.h's EX_USAGE and EX_CONFIG. */
enum { EXIT_USAGE = 64, EXIT_CONFIG = 78 };

struct program_command {
    const char *name;              /* "serve", as in "tiketi serve" */
    const char *usage;             /* its arguments in short; "" where it has none */
    const char *about;             /* for --help: what it does; whole lines */
    enum config_need need;         /* CONFIG_NEED_NONE: it reads no settings, and gets no config */
    const struct option_row *rows; /* NULL: it has no options */
    size_t options_size;           /* of the struct that the rows fill */
    void (*print_more)(FILE *out); /* for --help, after the options; may be NULL */
    /* Does it run although settings are wrong? Then they are printed on stdout, a line "problem  NAME: sentence" each, and
     * it gets what config_read makes. NULL: it does not. */
    bool (*tolerates)(const void *options);
    /* Are the options right together? ST_INVALID as options_refuse. NULL: they always are. */
    enum status (*check)(const void *options, struct options_error *error);
    /* Runs it and returns the exit code. `options` and `config` are borrowed; `config` is NULL for CONFIG_NEED_NONE. */
    int (*run)(struct config *config, const void *options);
};

/* When --help or -h is among the arguments, or --version is the first: prints that and returns 0, without reading the
 * settings. Otherwise loads the settings, also those of --config FILE and --set NAME=VALUE in argv, sets the log level,
 * parses the rest of argv (argv[0] is the command's name), runs the command and returns its exit code. Reports on stderr
 * every setting that is wrong, and an argument that is. */
int program_run(const struct program_command *command, int argc, char **argv);

/* Is --help or -h among the arguments after argv[0]? */
bool program_asks_help(int argc, char **argv);

/* When the first argument after argv[0] is --version: prints `name` (such as "tiketi crowd"), version and commit on
 * stdout, and returns true. */
bool program_prints_version(const char *name, int argc, char **argv);

/* Writes "tiketi NAME: <sentence>" to stderr and returns `code`. For EXIT_USAGE it adds how to see the help. */
int program_fail(const char *name, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
