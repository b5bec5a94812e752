/* SPDX-License-Identifier: MIT */
/*
 * crowd_memory: what a virtual buyer remembers: their id, when they were in touch, the place and positions they were
 * shown, the seats they hold. What contradicts it is a broken promise, counted in the crowd's tally.
 */
#ifndef TIKETI_CROWD_MEMORY_H
#define TIKETI_CROWD_MEMORY_H

#include "base/json.h"
#include "crowd/crowd_state.h"

uint64_t crowd_mix(uint64_t z); /* mixes the bits of a number (splitmix64's finalizer) */
/* Copies `text` into *field, freeing what was there; NULL changes nothing. */
void crowd_keep_text(char **field, const char *text);

uint32_t crowd_buyer_number(const struct crowd_buyer *buyer); /* in the whole crowd */
/* The pod that the buyer uses now, for HTTP and for the socket. */
const struct dial_target *crowd_buyer_http(const struct crowd_buyer *buyer);
const struct dial_target *crowd_buyer_ws(const struct crowd_buyer *buyer);
/* Writes the buyer id ("u:…", "g:…") into out[BUYER_ID_MAX + 1]; "" while a guest has none. */
void crowd_buyer_id(const struct crowd_buyer *buyer, char *out);
/* NULL: not a buyer of this process. */
struct crowd_buyer *crowd_find_buyer(const struct crowd *crowd, const char *id);
/* Hash of a seat id. Seats are compared by their number and the sum of their hashes: order does not matter. */
uint64_t crowd_seat_hash(const char *id);

/* When the buyer was out of touch, up to now. */
struct crowd_witness crowd_buyer_witness(const struct crowd_buyer *buyer);
/* From now on, or no longer, the buyer is out of touch: without a socket and without an answer. */
void crowd_out_of_touch(struct crowd_buyer *buyer);
void crowd_in_touch(struct crowd_buyer *buyer);

/* Each takes one value of an answer; NULL or absent values change nothing. */
void crowd_take_guest(struct crowd_buyer *buyer, const char *guest);
void crowd_take_ticket(struct crowd_buyer *buyer, const char *ticket);
void crowd_take_position(struct crowd_buyer *buyer, int64_t position);
/* True when it is a reservation that is held for this event. */
bool crowd_take_reservation(struct crowd_buyer *buyer, const struct json *reservation);

#endif
