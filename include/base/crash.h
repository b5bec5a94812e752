/* SPDX-License-Identifier: MIT */
/*
 * crash: named points at which a test kills the process, to prove that a crash there loses nothing.
 * Without TIKETI_TEST_HOOKS=1 and TIKETI_CRASH=name[:n] a point costs one relaxed load.
 */
#ifndef TIKETI_CRASH_H
#define TIKETI_CRASH_H

/* Reads TIKETI_TEST_HOOKS and TIKETI_CRASH; call once before threads start. */
void crash_init(void);

/* _exit(137) at the n-th pass (default first) of the point named in TIKETI_CRASH. */
void crash_point(const char *name);

#endif
