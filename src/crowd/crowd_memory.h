/* SPDX-License-Identifier: MIT */
/*
 * crowd_memory: what a virtual buyer remembers: their id, when they were in touch, the place and positions they were
 * shown, the seats they hold. An answer that contradicts it is a broken promise, which is counted in the crowd's
 * tally.
 */
#ifndef TIKETI_CROWD_MEMORY_H
#define TIKETI_CROWD_MEMORY_H

#include "base/json.h"
#include "crowd/crowd_scan.h"
#include "crowd/crowd_state.h"

uint64_t crowd_mix(uint64_t z); /* mixes the bits of a number (splitmix64's finalizer) */
/* Replaces *field by a copy of `text`, and frees the old one. Does nothing when `text` is NULL. */
void crowd_keep_text(char **field, const char *text);

uint32_t crowd_buyer_number(const struct crowd_buyer *buyer); /* unique among all processes */
/* The pods that the buyer uses now: for HTTP, and for the socket. */
const struct dial_target *crowd_buyer_http(const struct crowd_buyer *buyer);
const struct dial_target *crowd_buyer_ws(const struct crowd_buyer *buyer);
/* Writes the buyer id ("u:…", "g:…") into out[BUYER_ID_MAX + 1]; "" while a guest has none. */
void crowd_buyer_id(const struct crowd_buyer *buyer, char *out);
/* NULL: no buyer of this process has this id. */
struct crowd_buyer *crowd_find_buyer(const struct crowd *crowd, const char *id);
/* Hash of a seat id. Two sets of seats are equal when their sizes and the sums of their hashes are. */
uint64_t crowd_seat_hash(const char *id);

/* The times when the buyer was out of touch, until now. */
struct replay_witness crowd_buyer_witness(const struct crowd_buyer *buyer);
/* Begins and ends a time when the buyer is out of touch: has no socket, and gets no answer. */
void crowd_out_of_touch(struct crowd_buyer *buyer);
void crowd_in_touch(struct crowd_buyer *buyer);

/* Each notes one value of an answer. NULL, or a value that the answer did not have, changes nothing. */
void crowd_take_guest(struct crowd_buyer *buyer, const char *guest);
void crowd_take_ticket(struct crowd_buyer *buyer, const char *ticket);
void crowd_take_position(struct crowd_buyer *buyer, int64_t position);
/* The word of an answer. */
enum crowd_confidence crowd_confidence(struct crowd_span word);
/* Notes the first estimate of each confidence: it is compared with the admission later. */
void crowd_take_estimate(struct crowd_buyer *buyer, int64_t seconds, enum crowd_confidence how);
/* True when it is a held reservation of this event. */
bool crowd_take_reservation(struct crowd_buyer *buyer, const struct json *reservation);

#endif
