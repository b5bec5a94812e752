/* SPDX-License-Identifier: MIT */
/* crowd_buyer: one virtual buyer, from arrival to end. */
#ifndef TIKETI_CROWD_BUYER_H
#define TIKETI_CROWD_BUYER_H

#include "crowd/crowd_state.h"

/* Prepares crowd->buyers[index]: state ABSENT, and the plan that the seed gives this buyer. */
void crowd_buyer_init(struct crowd *crowd, uint32_t index);
/* Makes the buyer arrive after so many ms. */
void crowd_buyer_arrive(struct crowd_buyer *buyer, uint64_t delay_ms);
/* The agenda's callback when a buyer's timer is due; `arg` is the crowd. */
void crowd_buyer_due(void *arg, struct agenda_item *due);
/* The admission log says that the buyer's admission has ended. */
void crowd_buyer_departed(struct crowd_buyer *buyer);
/* The log says that the buyer's last admission has ended, and with it their place. */
bool crowd_buyer_consumed(const struct crowd_buyer *buyer);
/* Closes the buyer's connections, whose callbacks do not run any more. What the buyer remembers is kept. */
void crowd_buyer_stop(struct crowd_buyer *buyer);
/* Frees what the buyer remembers. */
void crowd_buyer_clear(struct crowd_buyer *buyer);
/* True when every buyer has ended. */
bool crowd_done(const struct crowd *crowd);

#endif
