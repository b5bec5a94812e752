/* SPDX-License-Identifier: MIT */
/*
 * estimate: how long a buyer waits, from what the rank index and the event's settings say. Pure.
 */
#ifndef TIKETI_ESTIMATE_H
#define TIKETI_ESTIMATE_H

#include "queue/admission.h"
#include "queue/event.h"
#include "queue/index.h"

/* Estimates the wait of the buyer at `position` (from 1). Known for every event that admits buyers; not while it is
 * scheduled, paused, sold out or closed, or while nobody may be inside. index NULL: none was published yet, and the estimate
 * follows from the settings; event NULL: not known. */
struct wait_estimate estimate_wait(const struct rank_index *index, const struct event *event,
                                   uint64_t position);

#endif
