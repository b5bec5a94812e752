/* SPDX-License-Identifier: MIT */
/*
 * pass: what a pass says, and how long the ids in it may be. auth/token.h signs and reads them.
 */
#ifndef TIKETI_PASS_H
#define TIKETI_PASS_H

#include <stdbool.h>
#include <stdint.h>

#define BUYER_ID_MAX 257 /* bytes: "u:" and a sub of up to 255 */
#define EVENT_ID_MAX 64

struct pass {
    char event[EVENT_ID_MAX + 1];
    char buyer[BUYER_ID_MAX + 1];
    uint64_t place;
    uint64_t epoch;
    int64_t iat_s, exp_s; /* seconds since 1970 */
    /* As a cookie it names the guest where their own cookie is missing: the gate lets them in with one cookie alone. */
    bool names_guest;
    char jti[33];
};

#endif
