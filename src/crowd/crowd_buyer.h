/* SPDX-License-Identifier: MIT */
/* crowd_buyer: one virtual buyer: from arrival to end. */
#ifndef TIKETI_CROWD_BUYER_H
#define TIKETI_CROWD_BUYER_H

#include "crowd/crowd_state.h"

/* Decides by the seed what the buyer will do; they are ABSENT. */
void crowd_buyer_init(struct crowd *crowd, uint32_t index);
/* The buyer arrives after so many ms. */
void crowd_buyer_arrive(struct crowd_buyer *buyer, uint64_t delay_ms);
/* The agenda's callback: `arg` is the crowd. */
void crowd_buyer_due(void *arg, struct agenda_item *due);
/* The log says that the buyer's admission has ended. */
void crowd_buyer_departed(struct crowd_buyer *buyer);
/* Closes the buyer's connections: none of their callbacks runs afterwards. Keeps what they remember. */
void crowd_buyer_stop(struct crowd_buyer *buyer);
/* Frees what the buyer remembers. */
void crowd_buyer_clear(struct crowd_buyer *buyer);
/* Has every buyer ended? */
bool crowd_done(const struct crowd *crowd);

#endif
