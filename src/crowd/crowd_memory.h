/* SPDX-License-Identifier: MIT */
/*
 * crowd_memory: what a virtual buyer remembers: who he is, when he was in touch, the place and
 * positions he was shown, the seats he was promised. What contradicts it is a broken promise.
 */
#ifndef TIKETI_CROWD_MEMORY_H
#define TIKETI_CROWD_MEMORY_H

#include "base/json.h"
#include "crowd/crowd_buyer.h"

uint64_t crowd_mix(uint64_t z); /* scatters a number */
/* Copies `text` into *field, freeing what was there; NULL changes nothing. */
void crowd_keep_text(char **field, const char *text);

void crowd_out_of_touch(struct crowd_buyer *buyer);
void crowd_in_touch(struct crowd_buyer *buyer);

/* All read what an answer said; NULL or absent values change nothing. */
void crowd_take_guest(struct crowd_buyer *buyer, const char *guest);
void crowd_take_ticket(struct crowd_buyer *buyer, const char *ticket);
void crowd_take_position(struct crowd_buyer *buyer, int64_t position);
/* True when it is a reservation that is held for this event. */
bool crowd_take_reservation(struct crowd_buyer *buyer, const struct json *reservation);

#endif
