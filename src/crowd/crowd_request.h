/* SPDX-License-Identifier: MIT */
/* crowd_request: writes what a virtual buyer sends: HTTP requests, handshakes, join-queue. */
#ifndef TIKETI_CROWD_REQUEST_H
#define TIKETI_CROWD_REQUEST_H

#include "crowd/crowd_state.h"

enum crowd_step {
    STEP_CHECK,
    STEP_STATUS,
    STEP_HEARTBEAT,
    STEP_LEAVE,
    STEP_LIST,    /* is there a reservation from auto-hold? */
    STEP_RESERVE, /* one seat, the best available */
    STEP_PAY,     /* begins the payment */
    STEP_CHARGE,  /* at the provider: pays */
    STEP_OUTCOME, /* has the reservation been confirmed? */
    STEP_CHARGED, /* at the provider: what did the service answer? */
    STEP_COUNT
};

/* The target of a step: the service or the provider. */
const struct dial_target *crowd_step_target(const struct crowd_buyer *buyer, enum crowd_step step);
/* "POST /api/queue/check/{eventId}", for reports. */
const char *crowd_step_name(enum crowd_step step);

/* Writes the whole request into crowd->text, which is reset first. */
void crowd_write_request(const struct crowd_buyer *buyer, enum crowd_step step);
/* Writes the join-queue message into crowd->text. The buyer must have a ticket. */
void crowd_write_join(const struct crowd_buyer *buyer);
/* Writes the header lines of a handshake into crowd->text. */
void crowd_write_handshake(const struct crowd_buyer *buyer);
/* Writes the message that claims an offer into crowd->text. */
void crowd_write_claim(const struct crowd_buyer *buyer);

#endif
