/* SPDX-License-Identifier: MIT */
/*
 * crash: named points at which a test ends the process.
 *
 * Why this way: a kill from outside cannot be timed to fall between one commit and the next.
 * Called by: program (init), ledger, processor. Owns: the point's name, written once before any thread starts.
 */
#include "base/crash.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char point_name[64];
static atomic_int passes_left;

void crash_init(void)
{
    /* NOLINTBEGIN(concurrency-mt-unsafe): before any thread starts */
    const char *hooks = getenv("TIKETI_TEST_HOOKS");
    const char *point = getenv("TIKETI_CRASH");
    /* NOLINTEND(concurrency-mt-unsafe) */
    if (!hooks || strcmp(hooks, "1") != 0 || !point)
        return;
    const size_t len = strcspn(point, ":");
    if (len == 0 || len >= sizeof(point_name))
        return;
    memcpy(point_name, point, len);
    const long n = point[len] == ':' ? strtol(point + len + 1, NULL, 10) : 1;
    atomic_store(&passes_left, n > 0 ? (int)n : 1);
}

void crash_point(const char *name)
{
    if (atomic_load_explicit(&passes_left, memory_order_relaxed) == 0 ||
        strcmp(name, point_name) != 0)
        return;
    if (atomic_fetch_sub(&passes_left, 1) == 1)
        _exit(137);
}
