/* SPDX-License-Identifier: MIT */
/*
 * program: how a command starts: --help, settings, log level, options.
 *
 * Called by: main, crowd, provider. Owns: the settings and options while the command runs.
 */
#include "base/program.h"

#include "base/crash.h"
#include "base/log.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool program_asks_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

int program_fail(const char *name, int code, const char *format, ...)
{
    va_list args;
    (void)fprintf(stderr, "tiketi %s: ", name);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    if (code == EXIT_USAGE)
        (void)fprintf(stderr, "See `tiketi %s --help`.\n", name);
    return code;
}

int program_run(const struct program_command *command, int argc, char **argv)
{
    if (program_asks_help(argc, argv)) {
        (void)printf("Usage: tiketi %s%s%s\n\n%s", command->name, *command->usage ? " " : "",
                     command->usage, command->about);
        if (command->rows)
            (void)puts("");
        options_help(command->rows, stdout);
        if (command->print_more)
            command->print_more(stdout);
        return 0;
    }
    struct config *config = NULL;
    char wrong[256];
    struct options_error error;
    crash_init();
    if (config_load(&config, wrong, sizeof(wrong)) != ST_OK)
        return program_fail(command->name, EXIT_CONFIG, "%s", wrong);
    log_set_level(config->log_level);
    void *options = xcalloc(1, command->options_size);
    const int code = options_parse(command->rows, argc - 1, argv + 1, options, &error) == ST_OK
                         ? command->run(config, options)
                         : program_fail(command->name, EXIT_USAGE, "%s", error.text);
    free(options);
    config_free(config);
    return code;
}
