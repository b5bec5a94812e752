/* SPDX-License-Identifier: MIT */
/*
 * crowd_load: how busy the crowd itself was, so that nobody takes its own slowness for the service's:
 * how late its loop is, looked at fifty times a second, and its share of a core.
 */
#ifndef TIKETI_CROWD_LOAD_H
#define TIKETI_CROWD_LOAD_H

#include "crowd/crowd_tally.h"
#include "net/loop.h"

struct crowd_load;

/* Notes into `tally` from now on; borrowed. */
struct crowd_load *crowd_load_new(struct loop *loop, struct crowd_tally *tally);
void crowd_load_stop(struct crowd_load *load); /* the last look */
void crowd_load_free(struct crowd_load *load); /* NULL is fine */

/* What the latencies are worth: the crowd was late itself, or had no core to itself. */
bool crowd_load_was_bottleneck(struct crowd_tally *tally);

#endif
