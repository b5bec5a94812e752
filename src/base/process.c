/* SPDX-License-Identifier: MIT */
/*
 * process: open files and signals of this process.
 *
 * Called by: main, crowd, provider. Owns: the number of the last signal.
 */
#include "base/process.h"

#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>

#define OPEN_FILES_LEAST 1024 /* the usual soft limit, assumed when getrlimit fails */
#define OPEN_FILES_MOST  1000000

static volatile sig_atomic_t noted;

static void on_signal(int number)
{
    noted = number;
}

unsigned process_raise_open_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return OPEN_FILES_LEAST;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return OPEN_FILES_LEAST;
    return limit.rlim_cur > OPEN_FILES_MOST ? OPEN_FILES_MOST : (unsigned)limit.rlim_cur;
}

void process_note_signals(void)
{
    const struct sigaction note = {.sa_handler = on_signal};
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGINT, &note, NULL);
    (void)sigaction(SIGTERM, &note, NULL);
    (void)sigaction(SIGHUP, &note, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL);
}

int process_noted_signal(void)
{
    return noted;
}
