/* SPDX-License-Identifier: MIT */
/*
 * silence: open events that no processor ticks. A worker notices it where it sees the event anyway: a processor when it tries
 * for the lease, the others when they read the live copy, each once a second.
 */
#ifndef TIKETI_SILENCE_H
#define TIKETI_SILENCE_H

#include <stdbool.h>
#include <stdint.h>

#define SILENCE_INTERVALS 3    /* without a tick for so many intervals an event is silent */
#define SILENCE_MIN_MS    5000 /* but not sooner: a lease goes to another pod within four seconds */

/* What one worker has seen of one event. Zero: nothing yet. */
struct silence {
    int64_t ticked_ms; /* as it was last seen */
    uint64_t since_ms; /* since when it has not changed, by the worker's own clock; 0: not known */
    bool silent;
};

/* What a worker sees of an event, by Redis. */
struct silence_look {
    const char *event;
    bool open;
    int64_t ticked_ms, interval_ms;
    uint64_t now_ms; /* of the worker's loop */
};
/* Notes it, and tells the process (silence_count, and a log line a minute) if the event is silent. Returns for how many ms
 * nobody has ticked; 0: it is not silent. No clocks are compared: the time counts from when this worker saw the last tick,
 * or saw the event open. */
int64_t silence_see(struct silence *silence, const struct silence_look *look);
/* Redis did not answer: nothing is known, and the time counts from the next look. */
void silence_forget(struct silence *silence, const char *event);

/* Events that any worker of this process sees as silent. Any thread. `now_ns`: clock_mono_ns. */
unsigned silence_count(uint64_t now_ns);

#endif
