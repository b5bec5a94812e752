/* SPDX-License-Identifier: MIT */
/*
 * crowd_fleet: one crowd in several processes: they begin together and hand over their counts. The open files of a
 * process are limited; the number of buyers must not be.
 */
#ifndef TIKETI_CROWD_FLEET_H
#define TIKETI_CROWD_FLEET_H

#include "crowd/crowd_tally.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- a process of it ---- */

struct crowd_part;

unsigned crowd_part_index(const struct crowd_part *part);
/* This process is ready to begin. */
void crowd_part_ready(struct crowd_part *part);
/* When all begin, by clock_mono_ns; 0: not all are ready. */
uint64_t crowd_part_begin_ns(const struct crowd_part *part);
void crowd_part_show(struct crowd_part *part, const struct crowd_tally *tally); /* its progress */
/* The buyers of this process have ended; the audit waits until those of all others have, too. */
void crowd_part_done(struct crowd_part *part);
bool crowd_part_all_done(const struct crowd_part *part);
MUST_CHECK enum status crowd_part_hand_over(struct crowd_part *part, const struct crowd_sum *sum);

/* ---- all of it ---- */

/* Runs work(arg, part) in `parts` processes, shows their progress and waits for them. 0: all have handed over, and
 * the sum is in *ret_sum. Else the exit code of the first process that failed. A noted signal (process.h) is
 * passed on to them. */
int crowd_fleet_run(unsigned parts, int (*work)(void *arg, struct crowd_part *part), void *arg,
                    struct crowd_sum *ret_sum);

#endif
