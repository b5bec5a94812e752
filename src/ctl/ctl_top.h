/* SPDX-License-Identifier: MIT */
/* ctl_top: `ctl top`: an event on sale, live. */
#ifndef TIKETI_CTL_TOP_H
#define TIKETI_CTL_TOP_H

#include "ctl/ctl_run.h"

/* Shows the event's numbers until a signal comes (with --once: once). Returns the exit code. */
int ctl_top(struct ctl_run *run);

#endif
