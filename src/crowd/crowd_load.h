/* SPDX-License-Identifier: MIT */
/*
 * crowd_load: measures how busy the crowd itself is, so that its own slowness is not taken for the service's: how
 * late its loop runs, fifty times a second, and its share of a core.
 */
#ifndef TIKETI_CROWD_LOAD_H
#define TIKETI_CROWD_LOAD_H

#include "crowd/crowd_tally.h"
#include "net/loop.h"

struct crowd_load;

/* Returns new. Writes the measurements into `tally`, which it borrows, until crowd_load_stop. */
struct crowd_load *crowd_load_new(struct loop *loop, struct crowd_tally *tally);
void crowd_load_stop(struct crowd_load *load); /* after a last measurement */
void crowd_load_free(struct crowd_load *load); /* NULL: does nothing */

/* True when the latencies are partly the crowd's own: its loop was late, or it used nearly a whole core. */
bool crowd_load_was_bottleneck(struct crowd_tally *tally);

#endif
