/* SPDX-License-Identifier: MIT */
/*
 * replay_flow: does a log keep outflowPerMinute? Replays the token bucket of lua/shared.lua: no w seconds have more
 * admissions than w seconds' worth of the limit and one second's worth (at least one admission). Pure.
 */
#ifndef TIKETI_REPLAY_FLOW_H
#define TIKETI_REPLAY_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#define REPLAY_FLOW_WINDOW_MS 10000

/* Internal, but for the results at the end. All zero is a log without a limit. */
struct replay_flow {
    uint64_t rate;  /* outflowPerMinute in force; 0: no limit */
    int64_t at_ms;  /* time of the last entry, as logged */
    int64_t now_ms; /* the same, but it never goes back: a step back of the clock is no time */
    int64_t
        tokens; /* what the bucket holds at most, in parts: `rate` of them come in a microsecond */
    bool just_set;    /* no admission since the rate was set */
    uint64_t unruly;  /* so many more admissions are by hand: the limit does not hold for them */
    uint32_t *per_ms; /* admissions of the last window, by ms; NULL until there is a limit */
    uint64_t in_window;

    /* Of the window that came nearest to what is allowed, or exceeded it: its admissions, and how many are allowed.
     * Both 0: there was no limit. */
    uint64_t worst, worst_of;
};

void replay_flow_clear(struct replay_flow *flow);
/* Sets the limit that is in force at the beginning of the log, or after a part of it was lost; what came before does
 * not count. */
void replay_flow_set(struct replay_flow *flow, uint64_t rate);
/* The log says that another limit is in force from at_ms on. */
void replay_flow_change(struct replay_flow *flow, uint64_t rate, int64_t at_ms);
/* The next `count` admissions from the queue are by hand. */
void replay_flow_by_hand(struct replay_flow *flow, uint64_t count);
/* Takes the time of an entry that is no admission. */
void replay_flow_pass(struct replay_flow *flow, int64_t at_ms);
/* Takes an admission. offered: from the queue, so that it may be by hand. False: it came too early. One that came too
 * early is taken as if it had not: what follows is judged by itself. */
bool replay_flow_take(struct replay_flow *flow, bool offered, int64_t at_ms);

#endif
