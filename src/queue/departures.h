/* SPDX-License-Identifier: MIT */
/*
 * departures: the ends of visits and offers that a forecast has planned, the earliest first (a binary heap).
 */
#ifndef TIKETI_DEPARTURES_H
#define TIKETI_DEPARTURES_H

#include <stddef.h>
#include <stdint.h>

struct departure {
    int64_t at, buyer;
    uint16_t held; /* seats */
    uint8_t kind;  /* enum forecast_move_kind: LEFT, BOUGHT, UNCLAIMED, IDLE, TIMEOUT */
};

/* {0} is empty. `heap` is freed by its owner; heap[0] is the earliest, and of equals the one with the lower buyer. */
struct departures {
    struct departure *heap;
    size_t count, size;
};

void departures_push(struct departures *departures, struct departure departure);
/* Takes the earliest one out; there must be one. */
struct departure departures_pop(struct departures *departures);

#endif
