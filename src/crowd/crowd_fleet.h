/* SPDX-License-Identifier: MIT */
/*
 * crowd_fleet: one crowd in several processes, which begin together and hand over their counts. Why: the open files
 * of a process are limited, and the number of buyers must not be.
 */
#ifndef TIKETI_CROWD_FLEET_H
#define TIKETI_CROWD_FLEET_H

#include "crowd/crowd_tally.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- called in a process of the crowd ---- */

struct crowd_part;

unsigned crowd_part_index(const struct crowd_part *part);
/* This process is ready to begin. */
void crowd_part_ready(struct crowd_part *part);
/* The time when all processes begin, by clock_mono_ns; 0: not all are ready yet. */
uint64_t crowd_part_begin_ns(const struct crowd_part *part);
/* Gives the progress of this process to the parent, which shows the sum. */
void crowd_part_show(struct crowd_part *part, const struct crowd_tally *tally);
/* The buyers of this process have ended. The audit waits until those of all processes have. */
void crowd_part_done(struct crowd_part *part);
bool crowd_part_all_done(const struct crowd_part *part);
/* Writes the result of this process for the parent. ST_INTERNAL: it could not be written. */
MUST_CHECK enum status crowd_part_hand_over(struct crowd_part *part, const struct crowd_sum *sum);

/* ---- called in the parent ---- */

/* Runs work(arg, part) in `parts` processes, shows their progress and waits for them. A noted signal (process.h) is
 * passed on to them. Returns 0 when all have handed over their results, whose sum is in *ret_sum; else the exit code
 * of the first process that failed. */
int crowd_fleet_run(unsigned parts, int (*work)(void *arg, struct crowd_part *part), void *arg,
                    struct crowd_sum *ret_sum);

#endif
