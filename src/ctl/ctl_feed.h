/* SPDX-License-Identifier: MIT */
/* ctl_feed: the command that reads what happened at an event. */
#ifndef TIKETI_CTL_FEED_H
#define TIKETI_CTL_FEED_H

#include "ctl/ctl_run.h"

/* Prints the feed to its end, an event a line; with --follow it goes on until it is interrupted. Returns the exit code. */
int ctl_feed(struct ctl_run *run);

#endif
