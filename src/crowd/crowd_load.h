/* SPDX-License-Identifier: MIT */
/*
 * crowd_load: how busy the crowd itself was, so that its slowness is not taken for the service's: how late its loop
 * is, measured fifty times a second, and its share of a core.
 */
#ifndef TIKETI_CROWD_LOAD_H
#define TIKETI_CROWD_LOAD_H

#include "crowd/crowd_tally.h"
#include "net/loop.h"

struct crowd_load;

/* Writes into `tally` from now on; borrows it. */
struct crowd_load *crowd_load_new(struct loop *loop, struct crowd_tally *tally);
void crowd_load_stop(struct crowd_load *load); /* takes the last measurement */
void crowd_load_free(struct crowd_load *load); /* NULL is fine */

/* The latencies are also the crowd's own: it was late, or had no core for itself. */
bool crowd_load_was_bottleneck(struct crowd_tally *tally);

#endif
