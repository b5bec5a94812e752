/* SPDX-License-Identifier: MIT */
/* ctl_run: how a command of `tiketi ctl` fails, asks and waits. Called by: all of ctl. */
#include "ctl/ctl_run.h"

#include "base/clock.h"
#include "base/process.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int ctl_fail(const struct ctl_run *run, enum ctl_exit code, const char *format, ...)
{
    va_list args;
    (void)fprintf(stderr, "tiketi ctl %s: ", run->name);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    if (code == CTL_USAGE)
        (void)fprintf(stderr, "See `tiketi ctl %s --help`.\n", run->name);
    return (int)code;
}

bool ctl_confirm(const struct ctl_run *run, const char *what)
{
    char line[128];
    if (run->options.yes)
        return true;
    if (!isatty(STDIN_FILENO)) {
        (void)ctl_fail(run, CTL_USAGE, "--yes is needed where nobody can be asked");
        return false;
    }
    (void)fprintf(stderr, "Type the event's id to %s: ", what);
    if (!fgets(line, sizeof(line), stdin))
        return false;
    line[strcspn(line, "\r\n")] = '\0';
    if (strcmp(line, run->args[0]) == 0)
        return true;
    (void)ctl_fail(run, CTL_USAGE, "that is not its id: nothing was done");
    return false;
}

bool ctl_wait_ms(int64_t ms)
{
    const uint64_t until = clock_mono_ns() + (uint64_t)ms * 1000000;
    for (uint64_t now; process_noted_signal() == 0 && (now = clock_mono_ns()) < until;)
        (void)poll(NULL, 0, (int)((until - now) / 1000000 % 100 + 1));
    return process_noted_signal() == 0;
}
