/* SPDX-License-Identifier: MIT */
/*
 * program: how a command starts: --help, settings, log level, options.
 *
 * Called by: main, crowd, provider, simulate. Owns: the settings and options while the command runs.
 */
#include "base/program.h"

#include "base/buf.h"
#include "base/build.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBLEMS_MAX 65536

bool program_asks_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

bool program_prints_version(const char *name, int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--version") != 0)
        return false;
    (void)printf("%s %s (%s)\n", name, build_version, build_commit);
    return true;
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

/* ---- settings ---- */

static const struct option_row setting_rows[] = {
    {"config", OPT_TEXT, 0, 0, 0, NULL, "FILE",
     "settings, a line `name = value` each; without it " CONFIG_FILE ", if there is one"},
    {"set", OPT_TEXT, 0, 0, 0, NULL, "NAME=VALUE",
     "one setting; may be given several times. It is stronger than the environment, which is "
     "stronger than the file"},
    {0},
};

/* The value of `--name VALUE` or `--name=VALUE` at argv[*at], which then is at its last argument. NULL: it is another
 * argument; "": the value is missing. */
static const char *option_value(const char *name, int argc, char **argv, int *at)
{
    const size_t len = strlen(name);
    const char *arg = argv[*at];
    if (!arg || strncmp(arg, "--", 2) != 0 || strncmp(arg + 2, name, len) != 0)
        return NULL;
    const char *rest = arg + 2 + len;
    if (*rest == '=')
        return rest + 1;
    if (*rest != '\0')
        return NULL;
    return *at + 1 < argc ? argv[++*at] : "";
}

/* Moves --config and --set out of argv into *source, whose `sets` is new. Returns how many arguments are left; -1: one of
 * them has no value, and that was reported. */
static int take_source(const char *command, int argc, char **argv, struct config_source *source)
{
    const char **sets = xcalloc((size_t)argc + 1, sizeof(*sets));
    size_t count = 0;
    int left = 0;
    source->sets = sets;
    for (int i = 0; i < argc; i++) {
        const int before = i;
        const char *file = option_value("config", argc, argv, &i);
        const char *set = file ? NULL : option_value("set", argc, argv, &i);
        if ((file && *file == '\0') || (set && *set == '\0')) {
            (void)program_fail(command, EXIT_USAGE, "%s needs a value: %s", argv[before],
                               setting_rows[file ? 0 : 1].help);
            return -1;
        }
        if (file)
            source->file = file;
        else if (set)
            sets[count++] = set;
        else
            argv[left++] = argv[i];
    }
    return left;
}

/* Each problem on a line of its own. */
static void report_problems(const char *command, const struct buf *problems, bool tolerates)
{
    const char *line = buf_str(problems);
    for (const char *end = strchr(line, '\n'); end; end = strchr(line, '\n')) {
        if (tolerates)
            (void)printf("problem  %.*s\n", (int)(end - line), line);
        else
            (void)program_fail(command, EXIT_CONFIG, "%.*s", (int)(end - line), line);
        line = end + 1;
    }
}

/* ---- a command ---- */

static void print_help(const struct program_command *command)
{
    (void)printf("Usage: tiketi %s%s%s\n\n%s", command->name, *command->usage ? " " : "",
                 command->usage, command->about);
    if (command->rows || command->need != CONFIG_NEED_NONE)
        (void)puts("");
    options_help(command->rows, stdout);
    if (command->need != CONFIG_NEED_NONE)
        options_help(setting_rows, stdout);
    if (command->print_more)
        command->print_more(stdout);
}

/* Loads the settings that the command needs, and runs it. */
static int run_command(const struct program_command *command, const struct config_source *source,
                       const void *options)
{
    struct config *config = NULL;
    struct buf problems;
    int code = EXIT_CONFIG;
    if (command->need == CONFIG_NEED_NONE)
        return command->run(NULL, options);
    const bool tolerates = command->tolerates && command->tolerates(options);
    buf_init(&problems, PROBLEMS_MAX);
    const enum status st = config_read(source, command->need, &config, &problems);
    report_problems(command->name, &problems, tolerates);
    if (st == ST_OK || tolerates) {
        log_set_level(config->log_level);
        code = command->run(config, options);
    }
    config_free(config);
    buf_clear(&problems);
    return code;
}

int program_run(const struct program_command *command, int argc, char **argv)
{
    char name[40];
    struct config_source source = {0};
    struct options_error error;
    if (program_asks_help(argc, argv)) {
        print_help(command);
        return 0;
    }
    (void)snprintf(name, sizeof(name), "tiketi %s", command->name);
    if (program_prints_version(name, argc, argv))
        return 0;
    crash_init();
    clock_init();
    const int left = command->need == CONFIG_NEED_NONE
                         ? argc - 1
                         : take_source(command->name, argc - 1, argv + 1, &source);
    void *options = xcalloc(1, command->options_size);
    int code = EXIT_USAGE;
    if (left >= 0 && options_parse(command->rows, left, argv + 1, options, &error) == ST_OK &&
        (!command->check || command->check(options, &error) == ST_OK))
        code = run_command(command, &source, options);
    else if (left >= 0)
        (void)program_fail(command->name, EXIT_USAGE, "%s", error.text);
    free(options);
    free((void *)source.sets);
    return code;
}
