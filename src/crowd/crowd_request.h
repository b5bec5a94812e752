/* SPDX-License-Identifier: MIT */
/* crowd_request: the texts a virtual buyer sends: HTTP requests, join-queue. */
#ifndef TIKETI_CROWD_REQUEST_H
#define TIKETI_CROWD_REQUEST_H

#include "crowd/crowd_buyer.h"

enum crowd_step {
    STEP_CHECK,
    STEP_STATUS,
    STEP_HEARTBEAT,
    STEP_LEAVE,
    STEP_LIST,    /* is there a reservation that was made for him? */
    STEP_RESERVE, /* one seat, whichever is best */
    STEP_PAY,     /* begins the payment */
    STEP_CHARGE,  /* at the provider: pays */
    STEP_OUTCOME, /* has it been sold to him? */
    STEP_CHARGED, /* at the provider: what did the service say? */
    STEP_COUNT
};

/* Where it is asked. */
const struct dial_target *crowd_step_target(const struct crowd_buyer *buyer, enum crowd_step step);
/* "POST /api/queue/check/{eventId}", for reports. */
const char *crowd_step_name(enum crowd_step step);

/* The whole request into crowd->text, which is reset first. */
void crowd_write_request(const struct crowd_buyer *buyer, enum crowd_step step);
/* The join-queue message into crowd->text; with no ticket there is nothing to join with. */
void crowd_write_join(const struct crowd_buyer *buyer);
/* The header lines a socket's handshake needs, into crowd->text. */
void crowd_write_handshake(const struct crowd_buyer *buyer);

#endif
