/* SPDX-License-Identifier: MIT */
/*
 * program: the start that the three programs share.
 *
 * Called by: main, crowd, provider. Owns: the settings while the program runs.
 */
#include "base/program.h"

#include <stdio.h>
#include <string.h>

#include "base/crash.h"
#include "base/log.h"

bool program_asks_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

int program_run(program_fn run, int argc, char **argv)
{
    struct config *config = NULL;
    char error[256];
    char help[] = "--help";
    char *help_only[] = {argv[0], help, NULL};
    const bool helping = program_asks_help(argc, argv);
    crash_init();
    if (config_load(&config, error, sizeof(error)) != ST_OK && !helping) {
        (void)fprintf(stderr, "tiketi: %s\n", error);
        return EXIT_CONFIG;
    }
    if (config)
        log_set_level(config->log_level);
    const int code = helping ? run(config, 2, help_only) : run(config, argc, argv);
    config_free(config);
    return code;
}
