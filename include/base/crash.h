/* SPDX-License-Identifier: MIT */
/*
 * crash: named points at which a test ends the process, to prove that a crash there loses nothing. A point
 * costs one relaxed load unless TIKETI_TEST_HOOKS=1 and TIKETI_CRASH=name[:n] are set.
 */
#ifndef TIKETI_CRASH_H
#define TIKETI_CRASH_H

/* Reads TIKETI_TEST_HOOKS and TIKETI_CRASH. Call once, before any thread starts. */
void crash_init(void);

/* Ends the process with _exit(137) at the n-th pass (the first by default) of the point that TIKETI_CRASH
 * names. */
void crash_point(const char *name);

#endif
