/* SPDX-License-Identifier: MIT */
/* ctl_hall: the commands about an event's seats. Each returns the exit code. */
#ifndef TIKETI_CTL_HALL_H
#define TIKETI_CTL_HALL_H

#include "ctl/ctl_run.h"

/* seats: the sections, with how many seats are free, held, sold and blocked, and the revenue. */
int ctl_seats(struct ctl_run *run);
/* seats import: a CSV file, or "-" for the standard input. Its errors are told as "line N: message" on stderr. */
int ctl_seats_import(struct ctl_run *run);
/* seats block, unblock, reprice, rename, remove. The last one is asked first, unless --yes is given. */
int ctl_seats_correct(struct ctl_run *run);

#endif
