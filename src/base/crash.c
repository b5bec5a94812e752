/* SPDX-License-Identifier: MIT */
/*
 * crash: named points at which a test kills the process.
 *
 * In the program itself and not from outside, because only so a kill falls between one commit and
 * the next. Called by: main (init), ledger, processor. Owns the name; written once, before threads.
 */
#include "base/crash.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char point_name[64]; /* written once, before threads start */
static atomic_int passes_left;

void crash_init(void)
{
    /* NOLINTBEGIN(concurrency-mt-unsafe): before any thread starts */
    const char *hooks = getenv("TIKETI_TEST_HOOKS");
    const char *point = getenv("TIKETI_CRASH");
    /* NOLINTEND(concurrency-mt-unsafe) */
    if (hooks == NULL || strcmp(hooks, "1") != 0 || point == NULL)
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
